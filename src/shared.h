/*-------------------------------------------------------------------------
 *
 * shared.h
 *	  Shared memory, when the module is preloaded.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_SHARED_H
#define BILL24_SHARED_H

#include "storage/lwlock.h"

/* What is shared; the parts belong to the files that are named. */
typedef struct B24Shared
{
	LWLock	   *lock;			/* NULL if this process has it for itself */
	struct B24TokenTable *tokens;	/* token.c */
} B24Shared;

extern void b24_shared_init(void);
extern B24Shared *b24_shared(void);

#endif							/* BILL24_SHARED_H */
