/*-------------------------------------------------------------------------
 *
 * ledger.c
 *	  The transactions of a delivery: results are written, and jobs claimed.
 *
 * An error in a transaction loses nothing: the results stay here, and are
 * written one by one then, so that one that cannot be written holds up no
 * other.  Where it is the whole table that somebody has locked, all of it
 * waits.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"
#include "utils/guc.h"

#include "claims.h"
#include "home.h"
#include "ledger.h"
#include "lease.h"
#include "outbox.h"
#include "setback.h"
#include "tidings.h"
#include "transaction.h"
#include "wake.h"

/*
 * One by one, nobody waits long for a row, as the next one may be free; and
 * after this time the sockets have their turn.
 */
#define APART_LOCK_TIMEOUT "10ms"
#define APART_MS 250

/* Old jobs are deleted so many at a time, now and then. */
#define PRUNE_AT_ONCE 1000
#define PRUNE_EVERY_MS 60000
#define PRUNE_ON_MS 100

/* What is done in a transaction. */
typedef void (*Work) (B24Delivery *d, void *argument);

/*
 * Does something in a transaction of its own, which is on disk then: what is
 * sent next must not be forgotten.  False if there was an error, and nothing
 * was done.
 */
static bool
transact(B24Delivery *d, bool exclude_others, Work work, void *argument)
{
	volatile bool ok = true;
	volatile bool waits_for_turn = exclude_others;
	B24Store	store;

	PG_TRY();
	{
		b24_transaction_begin(&store, d->in_call);
		if (exclude_others)
			b24_lease_exclude_others();
		waits_for_turn = false;
		work(d, argument);
		b24_transaction_commit(&store, d->in_call, true, d->scratch);
	}
	PG_CATCH();
	{
		ok = false;
		b24_setback_catch(d, waits_for_turn);
	}
	PG_END_TRY();
	return ok;
}

static void
warn_if_away(const B24Delivery *d)
{
	if (d->away && !d->in_call)
		ereport(WARNING,
				(errmsg(B24_AWAY_MESSAGE), errhint(B24_AWAY_HINT)));
}

/*
 * Looks whether the jobs of this database are to be delivered from here, and
 * takes a lease if they are.
 */
void
b24_ledger_settle_in(B24Delivery *d)
{
	B24Store	store;

	PG_TRY();
	{
		b24_transaction_begin(&store, d->in_call);
		d->away = !b24_home_is_here();
		if (!d->away && d->lease == 0)
			d->lease = b24_lease_take();
		b24_transaction_commit(&store, d->in_call, true, d->scratch);
	}
	PG_CATCH();
	{
		b24_transaction_failed(true, d->scratch);
	}
	PG_END_TRY();
	warn_if_away(d);
}

/*
 * Writes the first so many of a server's results.  Some of them make jobs due:
 * those that are tried again, and those that waited.
 */
static void
write_results(B24Delivery *d, B24Destination *server, int count)
{
	B24Outcome *outcomes = palloc(count * sizeof(B24Outcome));
	const B24Errand *errand = server->ended.first;
	long		due_ms = -1;
	bool		skipped = false;

	for (int i = 0; i < count; i++, errand = errand->next)
		b24_errand_outcome(errand, &server->settings, &outcomes[i]);
	if (count > 0)
		due_ms = b24_backlog_write(server->name, outcomes, count, d->lease, &skipped);
	b24_tidings_tell(server, outcomes, count);
	errand = server->ended.first;
	for (int i = 0; i < count; i++, errand = errand->next)
		b24_errand_keep(errand, server->name, outcomes[i].account);
	if (due_ms >= 0)
		b24_claims_look_in(d, due_ms);
	if (skipped || b24_tidings_are_left(server))
		b24_claims_look_over_soon(d);
}

/* They are on disk: forget them. */
static void
drop_results(B24Delivery *d, B24Destination *server, int count)
{
	while (count-- > 0)
	{
		if (!server->ended.first->unsent)
			d->finished++;
		b24_sender_free_errand(b24_queue_pop(&server->ended));
	}
	b24_tidings_committed(server);
}

static void
write_and_claim(B24Delivery *d, void *claim)
{
	for (B24Destination *s = d->destinations; s != NULL; s = s->next)
	{
		if (s->ended.count > 0 || b24_tidings_are_due(s))
			write_results(d, s, s->ended.count);
	}
	if (*(bool *) claim)
		b24_claims_look(d);
}

static void
ask_whether_locked(B24Delivery *d, void *locked)
{
	*(bool *) locked = b24_outbox_is_locked();
}

/* After an error: was it a lock on the whole table that was waited for? */
static bool
table_is_locked(B24Delivery *d)
{
	bool		locked = false;

	if (d->sqlstate == ERRCODE_LOCK_NOT_AVAILABLE)
		(void) transact(d, false, ask_whether_locked, &locked);
	return locked;
}

/* Results and claims, in one transaction. */
void
b24_ledger_work(B24Delivery *d, bool claim)
{
	if (transact(d, true, write_and_claim, &claim))
	{
		for (B24Destination *s = d->destinations; s != NULL; s = s->next)
			drop_results(d, s, s->ended.count);
		if (claim)
			b24_claims_committed(d);
		b24_setback_over(d, claim);
		b24_wake_finished();
	}
	else
	{
		b24_claims_undone(d);
		if (d->missed_turn || table_is_locked(d))
			b24_setback_locked(d);
		else if (b24_delivery_count_ended(d) > 0)
			d->apart = true;
		else
			b24_setback_failed(d);
	}
	if (claim)
		warn_if_away(d);
}

static void
write_first(B24Delivery *d, void *server)
{
	(void) set_config_option("lock_timeout", APART_LOCK_TIMEOUT, PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	write_results(d, server, 1);
}

/*
 * Writes a server's first result in a transaction of its own.  If it cannot be
 * written, it is set aside for a while, so that it does not hold up others.
 */
static void
write_alone(B24Delivery *d, B24Destination *server)
{
	if (transact(d, true, write_first, server))
	{
		drop_results(d, server, 1);
		b24_wake_finished();
		return;
	}
	b24_queue_push(&server->stuck, b24_queue_pop(&server->ended));
	d->only_locked = d->only_locked && d->sqlstate == ERRCODE_LOCK_NOT_AVAILABLE;
	if (d->stuck_until_ms == 0)
		d->stuck_until_ms = b24_setback_retry_ms(++d->stuck_failures, false);
}

/*
 * All of them together could not be written: one by one, then, for a moment.
 * Goes on with d->apart the next time if there are more.
 */
void
b24_ledger_write_apart(B24Delivery *d)
{
	int64		end = b24_now_ms() + APART_MS;

	for (B24Destination *s = d->destinations; s != NULL; s = s->next)
	{
		while (s->ended.count > 0)
		{
			if (b24_now_ms() >= end)
				return;
			write_alone(d, s);
		}
	}
	d->apart = false;
	b24_setback_forget_error(d);
}

/*
 * Tries those again that were set aside, for a moment; what has not had its
 * turn then has it the next time.
 */
void
b24_ledger_write_stuck(B24Delivery *d)
{
	int64		end = b24_now_ms() + APART_MS;
	bool		stuck = false;

	if (d->stuck_until_ms == 0 || b24_now_ms() < d->stuck_until_ms ||
		b24_setback_locks_out(d))
		return;
	if (!d->trying_stuck)
	{
		for (B24Destination *s = d->destinations; s != NULL; s = s->next)
			s->untried = s->stuck.count;
		d->trying_stuck = d->only_locked = true;
	}
	for (B24Destination *s = d->destinations; s != NULL; s = s->next)
	{
		while (s->untried > 0)
		{
			if (b24_now_ms() >= end)
				return;
			s->untried--;
			b24_queue_push_first(&s->ended, b24_queue_pop(&s->stuck));
			write_alone(d, s);
		}
		stuck = stuck || s->stuck.count > 0;
	}
	d->trying_stuck = false;
	d->stuck_failures = stuck ? d->stuck_failures + 1 : 0;
	d->stuck_until_ms = stuck ? b24_setback_retry_ms(d->stuck_failures, d->only_locked) : 0;
	b24_setback_forget_error(d);
}

/* What is deleted of a server at once. */
typedef struct Prune
{
	const B24Destination *server;
	int			deleted;
} Prune;

static void
delete_some(B24Delivery *d, void *argument)
{
	Prune	   *p = argument;

	p->deleted = b24_backlog_prune(p->server->name, p->server->settings.retention_s,
								   PRUNE_AT_ONCE);
}

/* Deletes what has been kept long enough, a piece at a time. */
static void
prune(B24Delivery *d, B24Destination *server)
{
	Prune		p = {server, 0};

	server->prune_at_ms = b24_now_ms() + PRUNE_EVERY_MS;
	if (server->settings.retention_s <= 0)
		return;

	server->prune_on = false;
	if (transact(d, false, delete_some, &p))
	{
		server->prune_on = p.deleted == PRUNE_AT_ONCE;
		if (server->prune_on)
			server->prune_at_ms = b24_now_ms() + PRUNE_ON_MS;
	}

	/* it passes over rows that are locked: this is the table */
	else if (d->sqlstate == ERRCODE_LOCK_NOT_AVAILABLE)
		b24_setback_locked(d);
}

/* The same for all servers whose time it is. */
void
b24_ledger_prune(B24Delivery *d)
{
	for (B24Destination *s = d->destinations; s != NULL; s = s->next)
	{
		if (s->settings.limits.serverid != InvalidOid && b24_now_ms() >= s->prune_at_ms &&
			b24_now_ms() >= d->paused_until_ms)
			prune(d, s);
	}
}
