/*-------------------------------------------------------------------------
 *
 * exchange.h
 *	  Requests to an account and their replies, one or many at once.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_EXCHANGE_H
#define BILL24_EXCHANGE_H

#include "lib/ilist.h"

#include "account.h"
#include "codec.h"
#include "token.h"
#include "wait.h"

/* Jobs that are done, of several detached exchanges. */
typedef struct B24Inbox B24Inbox;

typedef struct B24Exchange
{
	const B24Account *account;
	int			max_in_flight;	/* as the account and the descriptors allow */
	int			in_flight;		/* sent, or to be sent, and not returned as done */

	/* exchange.c's own */
	MemoryContext context;
	MemoryContextCallback callback;
	B24Token	token;			/* the last one used, to spare a look-up */
	dlist_head	done;			/* first in, first out; if there is no inbox */
	B24Inbox   *inbox;			/* of a detached one */
	dlist_node	inbox_link;		/* among the exchanges of the inbox */
	dlist_head	waiting;		/* jobs that wait for a token */
	B24Renewal *renewal;		/* the login they wait for, if it is ours */
	TimestampTz look_again_at;	/* if it is another's */
} B24Exchange;

/* In which list of its exchange a job is. */
typedef enum B24JobPlace
{
	B24_JOB_NOWHERE,
	B24_JOB_WAITING,
	B24_JOB_DONE
} B24JobPlace;

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

	/* exchange.c's own */
	bool		under_way;		/* counted in in_flight */
	bool		admitted;		/* has a place of the limits */
	dlist_node	admitted_link;	/* among all of this process that have one */
	B24JobPlace place;
	dlist_node	link;			/* in that list */
} B24Job;

extern B24Exchange *b24_exchange_new(const B24Account *account);
extern B24Job *b24_job_new(B24Exchange *exchange, const B24Endpoint *endpoint);
extern B24Job *b24_job_with(B24Exchange *exchange, const B24Endpoint *endpoint,
							B24Json *arguments);
extern B24Status b24_job_encode(B24Job *job, B24Problem *problem);
extern void b24_job_send(B24Job *job);
extern B24Job *b24_exchange_wait(B24Exchange *exchange);
extern void b24_job_free(B24Job *job);
extern void b24_exchange_end(B24Exchange *exchange);

/* The usual case: one job, start to end. */
extern void b24_job_run(B24Job *job);

/*
 * Detached: many jobs of several accounts at once, outside of any transaction
 * and without ever waiting.
 */
typedef enum B24Offer
{
	B24_OFFER_TAKEN,
	B24_OFFER_LATER,
	B24_OFFER_CIRCUIT_OPEN
} B24Offer;

extern B24Inbox *b24_inbox_new(void);
extern B24Exchange *b24_exchange_detached(const B24Account *account,
										  B24Inbox *inbox);
extern B24Offer b24_job_offer(B24Job *job, long *wait_ms);
extern B24Job *b24_inbox_take(B24Inbox *inbox);

#endif							/* BILL24_EXCHANGE_H */
