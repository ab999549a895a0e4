/*-------------------------------------------------------------------------
 *
 * ledger.c
 *	  The transactions of a delivery: results are written, and jobs claimed.
 *
 * An error in a transaction loses nothing: the results stay here, and are
 * written one by one then, so that one that cannot be written holds up no
 * other.  The same goes for a job that cannot be claimed.  Where it is the
 * whole table that somebody has locked, all of it waits.
 *
 * Results that are not written would be lost in a crash: while there are many
 * of a server, nothing more is claimed for it, and nothing sent.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"
#include "executor/spi.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/syscache.h"

#include "apart.h"
#include "home.h"
#include "ledger.h"
#include "lease.h"
#include "outbox.h"
#include "tidings.h"
#include "transaction.h"
#include "wake.h"

/* After a transaction that failed, the next one is this long in coming. */
#define MIN_PAUSE_MS 1000
#define MAX_PAUSE_MS 60000

/* A process that has nothing under way ends after so many. */
#define MAX_FAILURES 3

/*
 * What somebody has locked is looked at again after this time, which doubles
 * up to that of the next look-over.
 */
#define LOCKED_EVERY_MS 1000

/* While it stays locked, after longer ones, up to this. */
#define MAX_LOCKED_PAUSE_MS 5000

/*
 * One by one, nobody waits long for a row, as the next one may be free; and
 * after this time the sockets have their turn.
 */
#define APART_LOCK_TIMEOUT "10ms"
#define APART_MS 250

/* A procedure tries so long to write what was answered, before it raises. */
#define CALL_PATIENCE_MS 30000

/* After something was done, all is looked over once more, but not more often. */
#define LOOK_OVER_EVERY_MS 10000

/* A clock that is set back less than this may also have been read slowly. */
#define CLOCK_TOLERANCE_MS 100

/* Old jobs are deleted so many at a time, now and then. */
#define PRUNE_AT_ONCE 1000
#define PRUNE_EVERY_MS 60000
#define PRUNE_ON_MS 100

/* Of jobs that a clock has left behind, the next ones follow so much later. */
#define RESCHEDULE_ON_MS 100

/*
 * After an error, so many claims are of one job each: if it was by one of them
 * that it came, that one is passed over, and holds up no other.
 */
#define CAUTIOUS 600

int
b24_ledger_count(const B24Delivery *d)
{
	int			count = 0;

	for (const B24Destination *s = d->destinations; s != NULL; s = s->next)
		count += s->ended.count;
	return count;
}

/* Is anything claimed that has not come to its end? */
bool
b24_ledger_is_busy(const B24Delivery *d)
{
	for (const B24Destination *s = d->destinations; s != NULL; s = s->next)
	{
		if (s->in_flight + s->stock.count + s->ended.count + s->stuck.count > 0)
			return true;
	}
	return false;
}

/* Does nothing go on, since the table is locked? */
bool
b24_ledger_is_locked_out(const B24Delivery *d)
{
	return d->lock_failures > 0 && b24_now_ms() < d->paused_until_ms;
}

static int
most_unwritten(const B24Destination *server)
{
	return server->settings.limits.max_in_flight + B24_RESULTS_AT_ONCE;
}

/*
 * May more of a server's jobs be claimed?  What has just ended does not count,
 * as it is written in the transaction that claims.
 */
bool
b24_ledger_may_claim(const B24Destination *server)
{
	return server->in_flight + server->stuck.count < most_unwritten(server);
}

/* May more of what was claimed be sent? */
bool
b24_ledger_may_send(const B24Destination *server)
{
	return server->in_flight + server->ended.count + server->stuck.count <
		most_unwritten(server);
}

/* An errand is through, and its result waits to be written. */
void
b24_ledger_end_errand(B24Delivery *d, B24Destination *server, B24Errand *errand)
{
	if (b24_ledger_count(d) == 0)
		d->ended_since_ms = b24_now_ms();
	b24_queue_push(&server->ended, errand);
}

/* Servers come and go; these are looked at when there is news. */
static bool servers_changed = true;

static void
note_servers_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	servers_changed = true;
}

/* For a delivery that begins: all is to be looked at. */
void
b24_ledger_open(B24Delivery *d)
{
	static bool registered = false;

	if (!registered)
		CacheRegisterSyscacheCallback(FOREIGNSERVEROID, note_servers_changed, (Datum) 0);
	registered = true;
	servers_changed = true;
	d->away = true;
	d->look_at_ms = d->look_over_at_ms = -1;
	d->since = DT_NOBEGIN;
	d->clock_ahead_ms = PG_INT64_MIN;
	d->reschedule = true;
}

static B24Destination *
find_destination(B24Delivery *d, const char *name)
{
	MemoryContext old = MemoryContextSwitchTo(d->context);
	B24Destination *server = b24_destination_find(&d->destinations, name);

	MemoryContextSwitchTo(old);
	return server;
}

static void
begin(B24Delivery *d, B24Store *store, bool exclude_others)
{
	d->has_turn = false;
	b24_transaction_begin(store, d->in_call);
	if (exclude_others)
		b24_lease_exclude_others();
	d->has_turn = exclude_others;
}

/* What is sent next must not be forgotten. */
static void
commit(B24Delivery *d, B24Store *store)
{
	b24_transaction_commit(store, d->in_call, true, d->scratch);
}

/* Is an error of this server's state, which may be another soon? */
static bool
may_pass(int sqlstate)
{
	int			class = ERRCODE_TO_CATEGORY(sqlstate);

	return sqlstate == ERRCODE_LOCK_NOT_AVAILABLE ||
		class == ERRCODE_TO_CATEGORY(ERRCODE_INSUFFICIENT_RESOURCES) ||
		class == ERRCODE_TO_CATEGORY(ERRCODE_TRANSACTION_ROLLBACK);
}

/* In a procedure an error is kept, to be raised later: the one that stays. */
static void
keep_error(B24Delivery *d)
{
	ErrorData  *error = b24_transaction_undo(d->context, d->scratch);

	if (d->error != NULL && !may_pass(d->error->sqlerrcode))
	{
		FreeErrorData(error);
		return;
	}
	if (d->error != NULL)
		FreeErrorData(d->error);
	else
		d->raise_at_ms = b24_now_ms() + CALL_PATIENCE_MS;
	d->error = error;
}

/* It has passed, if nothing is left that it was about. */
static void
forget_error(B24Delivery *d)
{
	if (d->error == NULL || d->stuck_until_ms != 0 || !may_pass(d->error->sqlerrcode))
		return;
	FreeErrorData(d->error);
	d->error = NULL;
}

/*
 * In a procedure: is there an error that will not pass, or has it been waited
 * for long enough?  Then only what was claimed is brought to its end.
 */
bool
b24_ledger_gives_up(const B24Delivery *d)
{
	return d->error != NULL &&
		(!may_pass(d->error->sqlerrcode) || b24_now_ms() >= d->raise_at_ms ||
		 !b24_ledger_is_busy(d));
}

/*
 * After an error in a transaction.  In a procedure it is the caller's, sooner
 * or later; here it is reported, and everything is tried again a little later.
 */
static void
recover_from_error(B24Delivery *d)
{
	d->sqlstate = geterrcode();

	/* with nothing to lose, this process may as well begin anew */
	if (d->in_call)
		keep_error(d);
	else
		b24_transaction_failed(d->failures >= MAX_FAILURES && !b24_ledger_is_busy(d),
							   d->scratch);
}

/* When to try again after so many errors in a row. */
static int64
after_errors(int count)
{
	int64		pause = MIN_PAUSE_MS;

	while (--count > 0 && pause < MAX_PAUSE_MS)
		pause *= 2;
	return b24_now_ms() + Min(pause, MAX_PAUSE_MS);
}

/* The same for what somebody has locked, which mostly is over soon. */
static int64
after_locks(int count)
{
	return Min(after_errors(count), b24_now_ms() + MAX_LOCKED_PAUSE_MS);
}

/* After a lock was waited for in vain: is it on the whole table? */
static bool
table_is_locked(B24Delivery *d)
{
	volatile bool locked = false;
	B24Store	store;

	PG_TRY();
	{
		begin(d, &store, false);
		locked = b24_outbox_is_locked();
		commit(d, &store);
	}
	PG_CATCH();
	{
		recover_from_error(d);
	}
	PG_END_TRY();
	return locked;
}

/* Did a transaction wait in vain for others that claim, or move jobs? */
static bool
has_missed_turn(const B24Delivery *d)
{
	return d->sqlstate == ERRCODE_LOCK_NOT_AVAILABLE && !d->has_turn;
}

/* A transaction failed: decides how to go on. */
void
b24_ledger_failed(B24Delivery *d)
{
	if (has_missed_turn(d) ||
		(d->sqlstate == ERRCODE_LOCK_NOT_AVAILABLE && table_is_locked(d)))
		d->paused_until_ms = after_locks(++d->lock_failures);
	else if (b24_ledger_count(d) > 0)
		d->apart = true;
	else
	{
		/* neither results nor anything else: what was claimed was the matter */
		if (++d->failures >= MAX_FAILURES)
			d->paused_until_ms = after_errors(d->failures - MAX_FAILURES + 1);
		d->cautious = CAUTIOUS;
	}
}

/*
 * Writes up to count of a server's results.  Some of them make jobs due: those
 * that are tried again, and those that waited.
 */
static void
write_results(B24Delivery *d, B24Destination *server, int count)
{
	B24Outcome *outcomes = palloc(count * sizeof(B24Outcome));
	int			n = 0;
	int			kept = 0;
	long		due_ms = -1;
	bool		skipped = false;

	for (B24Errand *e = server->ended.first; e != NULL && n < count; e = e->next)
		b24_errand_outcome(e, &server->settings, &outcomes[n++]);
	if (n > 0)
		due_ms = b24_backlog_write(server->name, outcomes, n, d->lease, &skipped);
	b24_tidings_tell(server, outcomes, n);
	for (B24Errand *e = server->ended.first; e != NULL && kept < n; e = e->next)
		b24_errand_keep(e, server->name, outcomes[kept++].account);
	if (due_ms >= 0)
		d->look_at_ms = b24_earlier_ms(d->look_at_ms, b24_now_ms() + due_ms);
	if (skipped || b24_tidings_are_left(server))
		d->look_over_at_ms = b24_earlier_ms(d->look_over_at_ms, b24_now_ms() + LOCKED_EVERY_MS);
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

/* Does an error speak of what was asked for, and not of this server's state? */
static bool
is_about_data(int sqlstate)
{
	int			class = ERRCODE_TO_CATEGORY(sqlstate);

	return class == ERRCODE_TO_CATEGORY(ERRCODE_DATA_EXCEPTION) ||
		class == ERRCODE_TO_CATEGORY(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION) ||
		class == ERRCODE_TO_CATEGORY(ERRCODE_SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION) ||
		class == ERRCODE_TO_CATEGORY(ERRCODE_PROGRAM_LIMIT_EXCEEDED) ||
		class == ERRCODE_TO_CATEGORY(ERRCODE_FDW_ERROR);
}

/*
 * Takes over a claimed job: from here on it is ours to end, in whatever way.
 * Raises errors by what the job says.
 */
static void
take_over_one(B24Delivery *d, B24Destination *server, const B24Claim *claim)
{
	B24Errand  *errand = b24_errand_new(d->errands, claim);
	B24Sender  *sender;
	B24Problem	problem;

	b24_queue_push(&server->fresh, errand);
	if (!b24_errand_read(errand, claim))
		return;
	sender = b24_sender_find(server, d->inbox, claim->owner, &problem);
	if (sender == NULL)
	{
		b24_errand_end(errand, B24_VERDICT_PARKED, &problem);
		return;
	}
	errand->user = sender;
	sender->errands++;
	b24_errand_prepare(errand, sender->exchange);
}

/* Claims of a server that are taken over together. */
typedef struct TakeOver
{
	B24Delivery *delivery;
	B24Destination *server;
	List	   *claims;
} TakeOver;

static void
take_over_each(void *argument)
{
	TakeOver   *t = argument;
	ListCell   *cell;

	foreach(cell, t->claims)
		take_over_one(t->delivery, t->server, lfirst(cell));
}

/* The same with all of these; false with the reason if one of them cannot be. */
static bool
take_over_all(B24Delivery *d, B24Destination *server, List *claims, B24Problem *problem)
{
	TakeOver	all = {d, server, claims};
	ErrorData  *error = b24_apart(take_over_each, &all);

	if (error == NULL)
		return true;
	if (!is_about_data(error->sqlerrcode))
		ReThrowError(error);
	b24_problem(problem, B24_BAD_ARGUMENT, "%s", error->message);
	return false;
}

/*
 * Takes over what was claimed: all at once if that goes well, else one by one,
 * and a job that raises an error is parked, and holds up no other.
 */
static void
take_over(B24Delivery *d, B24Destination *server, List *claims)
{
	B24Problem	problem;
	ListCell   *cell;

	if (take_over_all(d, server, claims, &problem))
		return;
	while (server->fresh.count > 0)
		b24_sender_free_errand(b24_queue_pop(&server->fresh));
	foreach(cell, claims)
	{
		B24Errand  *errand;

		if (take_over_all(d, server, list_make1(lfirst(cell)), &problem))
			continue;
		for (errand = server->fresh.first; errand->next != NULL; errand = errand->next)
			;
		b24_errand_end(errand, B24_VERDICT_PARKED, &problem);
	}
}

/*
 * Lets jobs go on of whom nobody tells.  Who has locked one of them may not tell
 * either when it is free, so it is looked for again.
 */
static void
look_over(B24Delivery *d, List *servers)
{
	bool		all = b24_backlog_recover(d->lease);
	bool		reschedule = d->reschedule;
	bool		more = false;
	ListCell   *cell;

	all = b24_backlog_unblock() && all;

	/* it reads all that wait to be tried again */
	d->reschedule = false;
	foreach(cell, servers)
	{
		if (reschedule && !b24_backlog_reschedule(lfirst(cell), &more))
		{
			d->reschedule = true;
			all = false;
		}
	}
	d->looked_over_at_ms = b24_now_ms();
	d->look_over_at_ms = -1;
	if (all)
		d->passed_over = 0;
	else
	{
		d->look_over_at_ms = d->looked_over_at_ms +
			Min(LOCKED_EVERY_MS << Min(d->passed_over, 10), LOOK_OVER_EVERY_MS);
		d->passed_over++;
	}
	if (more)
	{
		d->reschedule = true;
		d->look_over_at_ms = d->looked_over_at_ms + RESCHEDULE_ON_MS;
	}

	/* what the mirror could not be told is tried again in such a transaction */
	for (B24Destination *s = d->destinations; s != NULL; s = s->next)
	{
		if (b24_tidings_are_left(s))
			d->look_over_at_ms = b24_earlier_ms(d->look_over_at_ms,
												d->looked_over_at_ms + LOCKED_EVERY_MS);
	}
}

/* Claims what a server's stock lacks. */
static void
claim_for(B24Delivery *d, B24Destination *server)
{
	List	   *claims;
	int			target;

	b24_destination_load(server);
	target = b24_destination_stock(server);
	if (server->stock.count > target / 2 || !b24_ledger_may_claim(server))
	{
		/* when there is room for it */
		server->more = true;
		return;
	}
	claims = b24_backlog_claim(server->name,
							   d->cautious > 0 ? 1 : target - server->stock.count,
							   d->lease, &server->position, &server->more);
	take_over(d, server, claims);
	if (d->look_over_at_ms < 0)
		d->look_over_at_ms = Max(b24_now_ms(), d->looked_over_at_ms + LOOK_OVER_EVERY_MS);
}

/* Was the clock set back since this was asked last, as far as one can tell? */
static bool
clock_was_set_back(B24Delivery *d, TimestampTz now)
{
	int64		ahead_ms = now / 1000 - b24_now_ms();
	bool		set_back = now < d->looked_at ||
		(d->clock_ahead_ms != PG_INT64_MIN &&
		 ahead_ms < d->clock_ahead_ms - CLOCK_TOLERANCE_MS);

	d->looked_at = now;
	d->clock_ahead_ms = set_back ? ahead_ms : Max(ahead_ms, d->clock_ahead_ms);
	return set_back;
}

/*
 * Moves back to what is to be looked at.  Jobs that come due later than what
 * was looked at are found anyway; others are those of transactions that were
 * long under way, of whom we are told, and what was passed over since somebody
 * had locked it, for which all is looked over now and then.
 */
static void
move_back(B24Delivery *d)
{
	TimestampTz now = GetCurrentTimestamp();
	List	   *names = NIL;
	ListCell   *cell;

	/* who wakes us may have begun before the clock was set back */
	if (clock_was_set_back(d, now) || (d->since > now && d->since != DT_NOEND))
	{
		d->reschedule = true;
		d->since = DT_NOBEGIN;
	}
	if (d->look_over_at_ms >= 0 && b24_now_ms() >= d->look_over_at_ms)
		d->since = DT_NOBEGIN;
	if (d->since == DT_NOBEGIN)
	{
		names = b24_backlog_servers();
		look_over(d, names);
	}
	if (servers_changed)
		names = list_concat(names, b24_backlog_known_servers());
	servers_changed = false;
	foreach(cell, names)
		b24_destination_load(find_destination(d, lfirst(cell)));
	for (B24Destination *s = d->destinations; s != NULL; s = s->next)
	{
		if (d->since <= s->position.at)
		{
			s->position.at = d->since;
			s->position.id = 0;
		}
	}
}

/*
 * Looks what there is: claims what is due, and notes when the next will be.
 * Servers that are blocked are left alone.
 */
static void
look(B24Delivery *d)
{
	/* a dump may just have been read into this database */
	d->away = !b24_home_is_here();
	d->look_at_ms = -1;
	if (d->away)
		return;
	move_back(d);
	for (B24Destination *s = d->destinations; s != NULL; s = s->next)
	{
		TimestampTz due_at;
		TimestampTz now = GetCurrentTimestamp();

		if (!b24_backlog_next(s->name, &s->position, &due_at))
		{
			s->more = false;
			continue;
		}
		if (due_at <= now && b24_now_ms() >= s->blocked_until_ms)
		{
			claim_for(d, s);
			if (s->more || !b24_backlog_next(s->name, &s->position, &due_at))
				continue;
		}
		if (!s->more)
			d->look_at_ms = b24_earlier_ms(d->look_at_ms,
									Max(b24_now_ms() + Max(due_at - now + 999, 0) / 1000,
										s->blocked_until_ms));
	}
}

/* Deletes what has been kept long enough, a piece at a time. */
void
b24_ledger_prune(B24Delivery *d, B24Destination *server)
{
	B24Store	store;
	int			deleted;

	server->prune_at_ms = b24_now_ms() + PRUNE_EVERY_MS;
	if (server->settings.retention_s <= 0)
		return;
	PG_TRY();
	{
		begin(d, &store, false);
		deleted = b24_backlog_prune(server->name, server->settings.retention_s,
									PRUNE_AT_ONCE);
		commit(d, &store);
		server->prune_on = deleted == PRUNE_AT_ONCE;
		if (server->prune_on)
			server->prune_at_ms = b24_now_ms() + PRUNE_ON_MS;
	}
	PG_CATCH();
	{
		recover_from_error(d);
		server->prune_on = false;

		/* it passes over rows that are locked: this is the table */
		if (d->sqlstate == ERRCODE_LOCK_NOT_AVAILABLE)
			d->paused_until_ms = after_locks(++d->lock_failures);
	}
	PG_END_TRY();
}

/*
 * What was claimed in a transaction that came to nothing was not claimed, and
 * what was looked at in it was not.
 */
static void
forget_fresh(B24Delivery *d)
{
	for (B24Destination *s = d->destinations; s != NULL; s = s->next)
	{
		while (s->fresh.count > 0)
			b24_sender_free_errand(b24_queue_pop(&s->fresh));
	}

	/* nothing was looked at */
	if (has_missed_turn(d))
		return;
	servers_changed = true;
	d->reschedule = true;
	d->look_at_ms = b24_now_ms();
	d->look_over_at_ms = b24_now_ms() + LOOK_OVER_EVERY_MS;

	/* claimed by itself, it is the one that cannot be, and passed over */
	d->since = d->cautious > 0 ? DT_NOEND : DT_NOBEGIN;
}

/* Claimed, and on disk: sent next, or already at its end. */
static void
stock_fresh(B24Delivery *d)
{
	for (B24Destination *s = d->destinations; s != NULL; s = s->next)
	{
		B24Errand  *errand;

		while ((errand = b24_queue_pop(&s->fresh)) != NULL)
		{
			if (errand->job != NULL && errand->problem.status == B24_OK)
				b24_queue_push(&s->stock, errand);
			else
				b24_ledger_end_errand(d, s, errand);
		}
	}
}

/* Results and claims, in one transaction; false if there was an error. */
bool
b24_ledger_work(B24Delivery *d, bool claim)
{
	volatile bool ok = true;
	B24Store	store;

	PG_TRY();
	{
		begin(d, &store, true);
		for (B24Destination *s = d->destinations; s != NULL; s = s->next)
		{
			if (s->ended.count > 0 || b24_tidings_are_due(s))
				write_results(d, s, s->ended.count);
		}
		if (claim)
			look(d);
		commit(d, &store);
	}
	PG_CATCH();
	{
		ok = false;
		recover_from_error(d);
	}
	PG_END_TRY();
	if (!ok)
	{
		forget_fresh(d);
		return false;
	}
	for (B24Destination *s = d->destinations; s != NULL; s = s->next)
		drop_results(d, s, s->ended.count);
	stock_fresh(d);
	if (claim)
		d->since = DT_NOEND;
	if (claim && d->cautious > 0)
		d->cautious--;
	if (claim || d->lock_failures > 0)
		d->paused_until_ms = 0;
	if (claim)
		d->failures = 0;
	d->lock_failures = 0;
	forget_error(d);
	b24_wake_finished();
	return true;
}

/*
 * One result, of no queue, in a transaction of its own.  If it cannot be
 * written, it is set aside for a while, so that it does not hold up others.
 */
static void
write_alone(B24Delivery *d, B24Destination *server, B24Errand *errand)
{
	volatile bool ok = true;
	B24Queue	others = server->ended;
	B24Store	store;

	memset(&server->ended, 0, sizeof(server->ended));
	b24_queue_push(&server->ended, errand);
	PG_TRY();
	{
		begin(d, &store, true);
		(void) set_config_option("lock_timeout", APART_LOCK_TIMEOUT, PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
		write_results(d, server, 1);
		commit(d, &store);
	}
	PG_CATCH();
	{
		ok = false;
		recover_from_error(d);
	}
	PG_END_TRY();
	if (ok)
	{
		drop_results(d, server, 1);
		b24_wake_finished();
	}
	server->ended = others;
	if (ok)
		return;
	b24_queue_push(&server->stuck, errand);
	d->only_locked = d->only_locked && d->sqlstate == ERRCODE_LOCK_NOT_AVAILABLE;
	if (d->stuck_until_ms == 0)
		d->stuck_until_ms = after_errors(++d->stuck_failures);
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
			write_alone(d, s, b24_queue_pop(&s->ended));
		}
	}
	d->apart = false;
	forget_error(d);
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
		b24_ledger_is_locked_out(d))
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
			write_alone(d, s, b24_queue_pop(&s->stuck));
		}
		stuck = stuck || s->stuck.count > 0;
	}
	d->trying_stuck = false;
	d->stuck_failures = stuck ? d->stuck_failures + 1 : 0;
	d->stuck_until_ms = !stuck ? 0 : d->only_locked ? after_locks(d->stuck_failures) :
		after_errors(d->stuck_failures);
	forget_error(d);
}

void
b24_ledger_warn_if_away(const B24Delivery *d)
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
		begin(d, &store, false);
		d->away = !b24_home_is_here();
		if (!d->away && d->lease == 0)
			d->lease = b24_lease_take();
		commit(d, &store);
	}
	PG_CATCH();
	{
		b24_transaction_failed(true, d->scratch);
	}
	PG_END_TRY();
	b24_ledger_warn_if_away(d);
}

