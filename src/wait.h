/*-------------------------------------------------------------------------
 *
 * wait.h
 *	  The pool of this process, and the one place where it waits.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_WAIT_H
#define BILL24_WAIT_H

#include "http.h"

/*
 * The owner of a transfer in this pool: begins with one of these.  It is told
 * when its transfer is done, at a point where errors may be raised.
 */
typedef struct B24Waiter
{
	bool		is_done;
	void		(*done) (struct B24Waiter *waiter); /* or NULL */
} B24Waiter;

extern const char *b24_user_agent(void);
extern B24Http *b24_pool(void);
extern int	b24_pool_capacity(void);
extern int	b24_pool_pace(void);
extern int	b24_pool_expect(int transfers);
extern void b24_pool_wait(long max_ms);
extern void b24_pool_wait_for_place(long max_ms);
extern void b24_pool_return_within(long ms);

#endif							/* BILL24_WAIT_H */
