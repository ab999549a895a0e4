/*-------------------------------------------------------------------------
 *
 * delivery.c
 *	  Sends the jobs of the outbox.
 *
 * One transaction writes the results that have come in and claims new jobs;
 * it is flushed to disk, and then they are sent, with no transaction open.
 * More jobs are claimed than can be in flight, so that an answer makes room
 * for the next request at once, and a transaction serves many.
 *
 * Whatever ends this process leaves its claims behind, and with them the
 * lease, which ends with the process: who comes next finds out what became of
 * them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"
#include "storage/ipc.h"

#include "claims.h"
#include "ledger.h"
#include "lease.h"
#include "setback.h"
#include "wake.h"

/* Results are written when there are many, or one has waited so long. */
#define RESULT_PATIENCE_MS 10

/* Nothing is waited for longer than this without another look at the clock. */
#define MAX_WAIT_MS (3600 * 1000)

/* How long to wait for a place among those in flight, if others have them. */
#define PLACE_EVERY_MS 10

/*
 * While another process is in such a transaction, the sockets have their turn,
 * but not for longer than this.
 */
#define TURN_PATIENCE_MS 20

/* So many transactions, or for so long, then the sockets have their turn. */
#define ROUNDS 4
#define ROUNDS_MS 100

static void
take_answers(B24Delivery *d)
{
	B24Job	   *job;

	while ((job = b24_inbox_take(d->inbox)) != NULL)
	{
		B24Errand  *errand = job->user;
		B24Destination *server = ((B24Sender *) errand->user)->server;

		server->in_flight--;
		d->in_flight--;
		if (server->wants_place)
			server->blocked_until_ms = 0;
		b24_errand_answered(errand);
		b24_delivery_end_errand(d, server, errand);
	}
}

/* Nothing more can be sent to a server for a while: others may have its jobs. */
static void
put_stock_back(B24Delivery *d, B24Destination *server)
{
	B24Errand  *errand;

	while ((errand = b24_queue_pop(&server->stock)) != NULL)
	{
		b24_errand_put_back(errand);
		b24_delivery_end_errand(d, server, errand);
	}
	server->more = false;
}

/*
 * How many requests to one server may be in flight here: all of them share the
 * descriptors of this process, of which a server that does not answer must
 * leave some to the others.
 */
static int
share_of_one(const B24Delivery *d)
{
	int			all = b24_pool_capacity();
	int			busy = 0;

	for (const B24Destination *s = d->destinations; s != NULL; s = s->next)
		busy += s->in_flight > 0 || s->stock.count > 0;
	return Max(Min(all - all / 8, b24_pool_pace()) / Max(busy, 1), 1);
}

static void
send_stock(B24Delivery *d)
{
	int			share = share_of_one(d);

	for (B24Destination *s = d->destinations; s != NULL; s = s->next)
	{
		int64		now = b24_now_ms();

		while (s->stock.count > 0 && now >= s->blocked_until_ms &&
			   s->in_flight < share && b24_destination_may_send(s))
		{
			B24Errand  *errand = s->stock.first;
			long		wait_ms = 0;
			B24Offer	offer;

			/* who has been taken the right, or was given other secrets */
			if (!b24_account_is_current(((B24Sender *) errand->user)->account))
			{
				put_stock_back(d, s);
				break;
			}
			offer = b24_job_offer(errand->job, &wait_ms);

			if (offer == B24_OFFER_TAKEN)
			{
				(void) b24_queue_pop(&s->stock);
				s->in_flight++;
				d->in_flight++;
				continue;
			}

			/* a place is free again when one of ours ends, or one of others' */
			if (wait_ms < 0)
				wait_ms = s->in_flight > 0 ? 0 : PLACE_EVERY_MS;
			s->blocked_until_ms = now + wait_ms;
			s->wants_place = offer == B24_OFFER_LATER;
			if (offer == B24_OFFER_CIRCUIT_OPEN)
				put_stock_back(d, s);
			break;
		}
	}
}

/* When there is something to do again that no socket tells of. */
static int64
next_time(const B24Delivery *d, bool claim)
{
	int64		at = claim ? b24_claims_next_look_ms(d) : -1;

	if (at >= 0)
		at = Max(at, d->paused_until_ms);
	if (b24_delivery_count_ended(d) > 0)
		at = b24_earlier_ms(at, d->apart ? b24_now_ms() :
							d->ended_since_ms + RESULT_PATIENCE_MS);
	if (d->stuck_until_ms > 0)
		at = b24_earlier_ms(at, d->stuck_until_ms);
	if (at >= 0 && b24_setback_locks_out(d))
		at = Max(at, d->paused_until_ms);
	for (const B24Destination *s = d->destinations; s != NULL; s = s->next)
	{
		if (s->prune_on)
			at = b24_earlier_ms(at, s->prune_at_ms);
		if (s->stock.count > 0 && b24_destination_may_send(s) &&
			(s->in_flight == 0 || s->blocked_until_ms > b24_now_ms()))
			at = b24_earlier_ms(at, s->blocked_until_ms);
	}
	return at;
}

/* Is it another's turn, and something else to be done meanwhile? */
static bool
is_others_turn(B24Delivery *d)
{
	int64		now = b24_now_ms();

	if (d->in_flight == 0 || !b24_lease_is_excluded())
		return false;
	if (d->excluded_since_ms == 0)
		d->excluded_since_ms = now;
	return now - d->excluded_since_ms < TURN_PATIENCE_MS;
}

/* Is it time for a transaction, and is it to claim? */
static bool
wants_transaction(const B24Delivery *d, bool claim, bool *claims)
{
	int			ended = b24_delivery_count_ended(d);

	if (b24_setback_locks_out(d))
		return false;
	*claims = claim && b24_claims_are_due(d);
	return *claims || ended >= B24_RESULTS_AT_ONCE ||
		(ended > 0 && (d->in_flight == 0 ||
					   b24_now_ms() - d->ended_since_ms >= RESULT_PATIENCE_MS));
}

/* The delivery of this process, if it is to be ended with it. */
static B24Delivery *current = NULL;

/*
 * The process ends in the middle of it.  The lease would end with it, but only
 * after this; and somebody has to find out what becomes of its jobs.
 */
static void
at_exit(int code, Datum arg)
{
	if (current == NULL || current->lease == 0)
		return;
	b24_lease_give_back(current->lease);
	current->lease = 0;
	b24_wake_database(MyDatabaseId);
}

/*
 * A delivery of this process, to be ended in any case.  With in_call the
 * caller is a procedure that SPI runs without atomicity; otherwise no
 * transaction must be open.
 */
B24Delivery *
b24_delivery_new(bool in_call)
{
	static bool registered = false;
	MemoryContext context = AllocSetContextCreate(TopMemoryContext,
												  "bill24 delivery",
												  ALLOCSET_DEFAULT_SIZES);
	B24Delivery *d = MemoryContextAllocZero(context, sizeof(B24Delivery));
	MemoryContext old = MemoryContextSwitchTo(context);

	if (!registered)
		before_shmem_exit(at_exit, (Datum) 0);
	registered = true;
	d->context = context;
	d->in_call = in_call;
	d->errands = AllocSetContextCreate(context, "bill24 errands",
									   ALLOCSET_DEFAULT_SIZES);
	d->scratch = AllocSetContextCreate(context, "bill24 delivery step",
									   ALLOCSET_DEFAULT_SIZES);
	(void) b24_pool();
	d->inbox = b24_inbox_new();
	d->away = true;
	b24_claims_open(d);
	current = d;
	MemoryContextSwitchTo(old);
	return d;
}

/*
 * In a procedure that gives up: once all that was sent has been answered, and
 * all that can be written is, the error is raised.
 */
static void
raise_if_nothing_goes_on(B24Delivery *d, long *wait_ms)
{
	bool		stock = false;

	for (const B24Destination *s = d->destinations; s != NULL; s = s->next)
		stock = stock || s->stock.count > 0;
	if (d->in_flight > 0)
		return;
	if (!stock && (b24_delivery_count_ended(d) == 0 || b24_setback_locks_out(d)))
		ReThrowError(d->error);
	*wait_ms = 0;
}

/*
 * Goes on with everything that can go on now, without waiting.  Looks at jobs
 * that are due since a time, as those tell who wake us: DT_NOBEGIN for all, as
 * is to be done first, DT_NOEND if there is no news.  With claim false, only
 * what has been claimed is brought to its end.  wait_ms is how long it may be
 * left alone if no socket has news, -1 for ever.  False when nothing is claimed
 * any more and all results are written.
 */
bool
b24_delivery_go_on(B24Delivery *d, TimestampTz since, bool claim, long *wait_ms)
{
	MemoryContext old = MemoryContextSwitchTo(d->scratch);
	bool		claims;
	bool		more = false;
	bool		others_turn = false;
	int			rounds = 0;
	int64		began = b24_now_ms();
	int64		at;

	MemoryContextReset(d->scratch);
	*wait_ms = -1;
	d->since = Min(d->since, since);
	if (d->away && d->since == DT_NOBEGIN)
		b24_ledger_settle_in(d);
	if (d->away)
	{
		d->since = DT_NOEND;
		claim = false;
	}
	if (b24_setback_gives_up(d))
		claim = false;
	take_answers(d);
	for (B24Destination *s = d->destinations; s != NULL && !claim; s = s->next)
		put_stock_back(d, s);
	send_stock(d);
	take_answers(d);			/* to what could not even be sent */
	if (d->apart || d->stuck_until_ms > 0)
	{
		if (d->apart)
			b24_ledger_write_apart(d);
		b24_ledger_write_stuck(d);
		send_stock(d);			/* there may be room for more now */
		take_answers(d);
	}
	while (!d->apart && wants_transaction(d, claim && !d->away, &claims))
	{
		more = rounds == ROUNDS || (rounds > 0 && b24_now_ms() - began >= ROUNDS_MS);
		others_turn = !more && is_others_turn(d);
		if (more || others_turn)
			break;
		rounds++;
		b24_ledger_work(d, claims);
		send_stock(d);
		take_answers(d);
	}
	if (!others_turn)
		d->excluded_since_ms = 0;
	if (!d->apart)
		b24_ledger_prune(d);

	at = next_time(d, claim && !d->away);
	if (at >= 0)
		*wait_ms = (long) Min(Max(at - b24_now_ms(), 0), MAX_WAIT_MS);
	if (more)
		*wait_ms = 0;
	else if (others_turn)
		*wait_ms = 1;
	if (b24_setback_gives_up(d))
		raise_if_nothing_goes_on(d, wait_ms);

	/* what was counted in the last second would wait for the next transaction */
	if (rounds > 0 && *wait_ms != 0 && !d->in_call && !b24_delivery_is_busy(d))
		pgstat_report_stat(true);
	MemoryContextSwitchTo(old);
	return b24_delivery_is_busy(d);
}

int
b24_delivery_in_flight(const B24Delivery *d)
{
	return d->in_flight;
}

/* Are there jobs that wait to be sent to a server? */
bool
b24_delivery_wants(const B24Delivery *d, const char *server)
{
	for (const B24Destination *s = d->destinations; s != NULL; s = s->next)
	{
		if (strcmp(s->name, server) == 0)
			return (s->stock.count > 0 || s->more) && b24_destination_may_send(s);
	}
	return false;
}

/* How many attempts, look-ups included, came to an end so far. */
int64
b24_delivery_finished(const B24Delivery *d)
{
	return d->finished;
}

/* Does this outbox belong elsewhere? */
bool
b24_delivery_is_away(const B24Delivery *d)
{
	return d->away;
}

/*
 * Ends it, whatever is in flight; also after an error.  Who comes next finds
 * out what became of that.
 */
void
b24_delivery_end(B24Delivery *d)
{
	bool		left_behind = b24_delivery_is_busy(d);

	current = NULL;
	MemoryContextDelete(d->errands);
	for (B24Destination *s = d->destinations; s != NULL; s = s->next)
	{
		while (s->senders != NULL)
			b24_sender_release(s, s->senders);
	}
	if (d->lease != 0)
		b24_lease_give_back(d->lease);
	if (left_behind)
		b24_wake_database(MyDatabaseId);
	MemoryContextDelete(d->context);
}
