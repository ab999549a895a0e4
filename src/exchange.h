/*-------------------------------------------------------------------------
 *
 * exchange.h
 *	  Requests to an account and their replies, one or many at once.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_EXCHANGE_H
#define BILL24_EXCHANGE_H

#include "account.h"
#include "codec.h"
#include "token.h"
#include "wait.h"

typedef struct B24Exchange
{
	const B24Account *account;
	int			max_in_flight;	/* as the account and the descriptors allow */
	int			in_flight;

	/* exchange.c's own */
	MemoryContext context;
	B24Token	token;			/* the last one used, to spare a look-up */
	struct B24Job *done;		/* first in, first out */
	struct B24Job **done_tail;
} B24Exchange;

/* One operation under way.  Lives in a memory context of its own. */
typedef struct B24Job
{
	B24Waiter	waiter;			/* first: the transfer's owner */
	MemoryContextCallback callback;
	MemoryContext context;
	B24Exchange *exchange;
	const B24Endpoint *endpoint;
	void	   *user;			/* the caller's own */

	B24Json    *arguments;		/* by SQL name; the caller fills it in */
	B24Request	request;
	B24Reply	reply;			/* the result */

	B24Transfer *transfer;
	uint64		generation;		/* of the bearer token it was sent with */
	bool		repeated;		/* after a 401 */
	struct B24Job *next;		/* in the list of those that are done */
} B24Job;

extern B24Exchange *b24_exchange_new(const B24Account *account);
extern B24Job *b24_job_new(B24Exchange *exchange, const B24Endpoint *endpoint);
extern B24Status b24_job_encode(B24Job *job, B24Problem *problem);
extern void b24_job_send(B24Job *job);
extern B24Job *b24_exchange_wait(B24Exchange *exchange);
extern void b24_job_free(B24Job *job);
extern void b24_exchange_end(B24Exchange *exchange);

/* The usual case: one job, start to end. */
extern void b24_job_run(B24Job *job);

#endif							/* BILL24_EXCHANGE_H */
