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

/* Something to be shared; whoever it belongs to declares one of these. */
typedef struct B24SharedPart
{
	const char *name;
	Size		size;
	void		(*init) (void *memory);

	/* filled in by shared.c */
	void	   *memory;
	LWLock	   *lock;			/* NULL if this process has it for itself */
} B24SharedPart;

extern void b24_shared_preload(B24SharedPart *const *parts, int count);
extern void *b24_shared_memory(B24SharedPart *part);
extern void b24_shared_lock(B24SharedPart *part, LWLockMode mode);
extern void b24_shared_unlock(B24SharedPart *part);

#endif							/* BILL24_SHARED_H */
