/*-------------------------------------------------------------------------
 *
 * destination.h
 *	  A server as the delivery of the outbox sees it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_DESTINATION_H
#define BILL24_DESTINATION_H

#include "errand.h"
#include "tracked.h"

/* A list of errands, first in, first out. */
typedef struct B24Queue
{
	B24Errand  *first;
	B24Errand **tail;
	int			count;
} B24Queue;

/* What the mirror could not be told yet. */
typedef struct B24Untold
{
	MemoryContext context;		/* of all of it; NULL: there is nothing */
	B24Told    *told;
	int			count;
	TimestampTz again_at;		/* when to try again */
} B24Untold;

/* A role's account on a server, with its exchange. */
typedef struct B24Sender
{
	MemoryContext context;
	struct B24Destination *server;
	const B24Account *account;
	B24Exchange *exchange;
	int			errands;		/* that use it */
	struct B24Sender *next;
} B24Sender;

typedef struct B24Destination
{
	struct B24Destination *next;
	MemoryContext context;
	char	   *name;
	B24ServerSettings settings;
	B24Sender  *senders;
	B24Queue	fresh;			/* claimed in this transaction */
	B24Queue	stock;			/* claimed, to be sent */
	B24Queue	ended;			/* to be written */
	B24Queue	stuck;			/* could not be written, for now */
	int			untried;		/* the first so many have yet to be tried again */
	B24Untold	untold;			/* somebody had the customers locked */
	B24Untold	untold_next;	/* the same, if this transaction commits */
	bool		told;			/* and then, that is what counts */
	int			in_flight;
	B24Position position;		/* what lies before it has been looked at */
	bool		more;			/* there is more to claim */
	int64		blocked_until_ms;
	bool		wants_place;	/* blocked until then, or until one of ours is free */
	int64		prune_at_ms;
	bool		prune_on;		/* there is more to delete */
} B24Destination;

/*
 * Results are written when there are so many.  If they cannot be, no more than
 * these and what may be in flight anyway come together, as they would have to
 * be looked up after a crash.
 */
#define B24_RESULTS_AT_ONCE 256

extern void b24_queue_push(B24Queue *queue, B24Errand *errand);
extern void b24_queue_push_first(B24Queue *queue, B24Errand *errand);
extern B24Errand *b24_queue_pop(B24Queue *queue);

extern B24Destination *b24_destination_find(B24Destination **all, const char *name);
extern void b24_destination_load(B24Destination *server);
extern int	b24_destination_stock(const B24Destination *server);
extern bool b24_destination_may_claim(const B24Destination *server);
extern bool b24_destination_may_send(const B24Destination *server);
extern B24Sender *b24_sender_find(B24Destination *server, B24Inbox *inbox,
								  Oid owner, B24Problem *problem);
extern void b24_sender_release(B24Destination *server, B24Sender *sender);
extern void b24_sender_free_errand(B24Errand *errand);

#endif							/* BILL24_DESTINATION_H */
