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
 * them.  An error in a transaction loses nothing either: the results stay
 * here, and are written one by one then, so that one that cannot be written
 * holds up no other.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <time.h>

#include "access/xact.h"
#include "compat.h"
#include "executor/spi.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "delivery.h"
#include "errand.h"
#include "home.h"
#include "lease.h"
#include "store.h"
#include "wake.h"

/*
 * Claimed ahead of what is in flight, which is as much: at least, and at most.
 * Those jobs are nobody else's, and have to be looked up after a crash.
 */
#define MIN_STOCK 8
#define MAX_STOCK 512

/* Results are written when there are so many, or one has waited so long. */
#define RESULTS_AT_ONCE 128
#define RESULT_PATIENCE_MS 10

/* After a transaction that failed, the next one is this long in coming. */
#define MIN_PAUSE_MS 1000
#define MAX_PAUSE_MS 60000

/* A process that has nothing under way ends after so many. */
#define MAX_FAILURES 3

/* What somebody has locked is looked at again after this time. */
#define LOCKED_EVERY_MS 1000

/* After something was done, all is looked over once more, but not more often. */
#define LOOK_OVER_EVERY_MS 10000

/* Old jobs are deleted so many at a time, now and then. */
#define PRUNE_AT_ONCE 1000
#define PRUNE_EVERY_MS 60000
#define PRUNE_ON_MS 100

/* Nothing is waited for longer than this without another look at the clock. */
#define MAX_WAIT_MS (3600 * 1000)

/* How long to wait for a place among those in flight, if others have them. */
#define PLACE_EVERY_MS 10

/* How long a transaction waits for a row that a superuser has locked. */
#define LOCK_TIMEOUT "500ms"

/*
 * After an error, so many claims are of one job each: if it was by one of them
 * that it came, that one is passed over, and holds up no other.
 */
#define CAUTIOUS 600

/* So many transactions, then the sockets have their turn. */
#define ROUNDS 4

/* A list of errands, first in, first out. */
typedef struct Queue
{
	B24Errand  *first;
	B24Errand **tail;
	int			count;
} Queue;

/* A role's account on a server, with its exchange. */
typedef struct Sender
{
	MemoryContext context;
	struct Server *server;
	const B24Account *account;
	B24Exchange *exchange;
	int			errands;		/* that use it */
	struct Sender *next;
} Sender;

typedef struct Server
{
	struct Server *next;
	char	   *name;
	B24ServerSettings settings;
	Sender	   *senders;
	Queue		fresh;			/* claimed in this transaction */
	Queue		stock;			/* claimed, to be sent */
	Queue		ended;			/* to be written */
	Queue		stuck;			/* could not be written, for now */
	int			in_flight;
	B24Position position;		/* what lies before it has been looked at */
	bool		more;			/* there is more to claim */
	int64		blocked_until_ms;
	int64		prune_at_ms;
	bool		prune_on;		/* there is more to delete */
} Server;

struct B24Delivery
{
	MemoryContext context;
	MemoryContext errands;
	bool		in_call;		/* of bill24_work, so SPI has the transactions */
	bool		away;			/* these jobs are not ours to deliver */
	int64		lease;
	B24Inbox   *inbox;
	Server	   *servers;
	int			in_flight;
	int64		finished;

	int64		look_at_ms;		/* when something is due, -1 if nothing is */
	TimestampTz since;			/* what is due since then is to be looked at */
	TimestampTz looked_at;		/* the clock then */
	int64		look_over_at_ms;	/* when to look at all once more, or -1 */
	int64		looked_over_at_ms;
	int64		ended_since_ms; /* the oldest result that is not written */
	int64		paused_until_ms;	/* after an error */
	int			failures;		/* in a row */
	int			cautious;		/* claims one by one, so many times more */
	int64		stuck_until_ms;
	int			stuck_failures; /* in a row */
};

static int64
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* The earlier of two times, of which -1 is never. */
static int64
earlier(int64 a, int64 b)
{
	return a < 0 ? b : b < 0 ? a : Min(a, b);
}

/*
 * Queues
 */
static void
push(Queue *queue, B24Errand *errand)
{
	if (queue->count++ == 0)
		queue->tail = &queue->first;
	errand->next = NULL;
	*queue->tail = errand;
	queue->tail = &errand->next;
}

static B24Errand *
pop(Queue *queue)
{
	B24Errand  *errand = queue->first;

	if (errand != NULL)
	{
		queue->first = errand->next;
		queue->count--;
	}
	return errand;
}

static int
count_ended(const B24Delivery *d)
{
	int			count = 0;

	for (const Server *s = d->servers; s != NULL; s = s->next)
		count += s->ended.count;
	return count;
}

/* Is anything claimed that has not come to its end? */
static bool
is_busy(const B24Delivery *d)
{
	for (const Server *s = d->servers; s != NULL; s = s->next)
	{
		if (s->in_flight + s->stock.count + s->ended.count + s->stuck.count > 0)
			return true;
	}
	return false;
}

/* An errand is through, and its result waits to be written. */
static void
end_errand(B24Delivery *d, Server *server, B24Errand *errand)
{
	if (count_ended(d) == 0)
		d->ended_since_ms = now_ms();
	push(&server->ended, errand);
}

/* Servers come and go; these are looked at when there is news. */
static bool servers_changed = true;

static void
note_servers_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	servers_changed = true;
}

/*
 * Servers and accounts
 */
static Server *
find_server(B24Delivery *d, const char *name)
{
	Server	   *server;

	for (server = d->servers; server != NULL; server = server->next)
	{
		if (strcmp(server->name, name) == 0)
			return server;
	}
	server = MemoryContextAllocZero(d->context, sizeof(Server));
	server->name = MemoryContextStrdup(d->context, name);
	server->position.at = DT_NOBEGIN;
	server->next = d->servers;
	d->servers = server;
	return server;
}

static void
release_sender(Server *server, Sender *sender)
{
	Sender	  **link = &server->senders;

	while (*link != sender)
		link = &(*link)->next;
	*link = sender->next;
	MemoryContextDelete(sender->context);
}

/*
 * The one to send a role's jobs; NULL with the problem if its account is not
 * complete.  Those whose account has changed go as soon as they can.
 */
static Sender *
find_sender(B24Delivery *d, Server *server, Oid owner, B24Problem *problem)
{
	MemoryContext context = AllocSetContextCreate(d->context, "bill24 sender",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	const B24Account *account = b24_account_of(server->name, owner, problem);
	Sender	   *found = NULL;
	Sender	   *next;

	MemoryContextSwitchTo(old);
	for (Sender *s = server->senders; s != NULL; s = next)
	{
		next = s->next;
		if (account != NULL && s->account == account)
			found = s;
		else if (s->errands == 0 && s->account->userid == owner)
			release_sender(server, s);
	}
	if (found != NULL || account == NULL)
	{
		MemoryContextDelete(context);
		return found;
	}
	found = MemoryContextAllocZero(context, sizeof(Sender));
	found->context = context;
	found->server = server;
	found->account = account;
	old = MemoryContextSwitchTo(context);
	found->exchange = b24_exchange_detached(account, d->inbox);
	MemoryContextSwitchTo(old);
	found->next = server->senders;
	server->senders = found;
	return found;
}

static void
free_errand(B24Errand *errand)
{
	Sender	   *sender = errand->user;

	if (sender != NULL)
		sender->errands--;
	b24_errand_free(errand);
}

/* How many jobs to have claimed ahead. */
static int
stock_target(const Server *server)
{
	const B24Limits *limits = &server->settings.limits;
	int			target = Min(Max(2 * limits->max_in_flight, MIN_STOCK), MAX_STOCK);

	if (limits->max_per_second > 0)
		target = Min(target, limits->max_per_second);
	return target;
}

/*
 * Transactions
 */
static void
begin(B24Delivery *d, B24Store *store, bool exclude_others)
{
	if (!d->in_call)
	{
		SetCurrentStatementStartTimestamp();
		StartTransactionCommand();
	}

	/* every statement is to see what others have committed */
	XactIsoLevel = XACT_READ_COMMITTED;
	PushActiveSnapshot(GetTransactionSnapshot());
	b24_store_open(store);
	if (exclude_others)
		b24_lease_exclude_others();
	(void) set_config_option("lock_timeout", LOCK_TIMEOUT, PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

static void
commit(B24Delivery *d, B24Store *store)
{
	b24_store_close(store);
	PopActiveSnapshot();

	/* what is sent next must not be forgotten, whatever synchronous_commit is */
	ForceSyncCommit();
	if (d->in_call)
	{
		SPI_commit();
		SPI_start_transaction();
	}
	else
	{
		CommitTransactionCommand();

		/* autovacuum has to know of the rows that die here */
		pgstat_report_stat(false);
	}
	MemoryContextSwitchTo(d->context);
}

/*
 * After an error in a transaction.  In a procedure it is the caller's; here it
 * is reported, and everything is tried again a little later.
 */
static void
recover_from_error(B24Delivery *d)
{
	/* with nothing to lose, this process may as well begin anew */
	if (d->in_call || (d->failures >= MAX_FAILURES && !is_busy(d)))
		PG_RE_THROW();
	HOLD_INTERRUPTS();
	MemoryContextSwitchTo(d->context);
	EmitErrorReport();
	AbortCurrentTransaction();
	MemoryContextSwitchTo(d->context);
	FlushErrorState();
	RESUME_INTERRUPTS();
}

/* When to try again after so many errors in a row. */
static int64
after_errors(int count)
{
	int64		pause = MIN_PAUSE_MS;

	while (--count > 0 && pause < MAX_PAUSE_MS)
		pause *= 2;
	return now_ms() + Min(pause, MAX_PAUSE_MS);
}

/*
 * Writes up to count of a server's results.  Some of them make jobs due: those
 * that are tried again, and those that waited.
 */
static void
write_results(B24Delivery *d, Server *server, int count)
{
	B24Outcome *outcomes = palloc(count * sizeof(B24Outcome));
	int			n = 0;
	long		due_ms;
	bool		skipped;

	for (B24Errand *e = server->ended.first; e != NULL && n < count; e = e->next)
		b24_errand_outcome(e, &server->settings, &outcomes[n++]);
	due_ms = b24_backlog_write(server->name, outcomes, n, d->lease, &skipped);
	if (due_ms >= 0)
		d->look_at_ms = earlier(d->look_at_ms, now_ms() + due_ms);
	if (skipped)
		d->look_over_at_ms = earlier(d->look_over_at_ms, now_ms() + LOCKED_EVERY_MS);
}

/* They are on disk: forget them. */
static void
drop_results(B24Delivery *d, Server *server, int count)
{
	while (count-- > 0)
	{
		if (!server->ended.first->unsent)
			d->finished++;
		free_errand(pop(&server->ended));
	}
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
 * A job that raises an error by what it says is parked, and holds up no other.
 */
static void
take_over(B24Delivery *d, Server *server, const B24Claim *claim)
{
	MemoryContext old = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	B24Errand  *errand = b24_errand_new(d->errands, claim);
	B24Problem	problem;

	push(&server->fresh, errand);
	errand->verdict = B24_VERDICT_PARKED;
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(old);
	PG_TRY();
	{
		if (b24_errand_read(errand, claim))
		{
			Sender	   *sender = find_sender(d, server, claim->owner, &problem);

			if (sender == NULL)
				b24_errand_end(errand, B24_VERDICT_PARKED, &problem);
			else
			{
				errand->user = sender;
				sender->errands++;
				b24_errand_prepare(errand, sender->exchange);
			}
		}
		ReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(old);
		CurrentResourceOwner = owner;
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(old);
		error = CopyErrorData();
		if (!is_about_data(error->sqlerrcode))
			PG_RE_THROW();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(old);
		CurrentResourceOwner = owner;
		b24_problem(&problem, B24_BAD_ARGUMENT, "%s", error->message);
		b24_errand_end(errand, B24_VERDICT_PARKED, &problem);
	}
	PG_END_TRY();
}

/* What its options say; of a server that is gone, all jobs are parked. */
static void
load_settings(Server *server)
{
	if (b24_server_settings(server->name, &server->settings))
		return;
	memset(&server->settings, 0, sizeof(server->settings));
	server->settings.max_attempts = 1;
}

/* Claims what a server's stock lacks. */
static void
claim_for(B24Delivery *d, Server *server, TimestampTz until)
{
	List	   *claims;
	ListCell   *cell;
	int			target;

	load_settings(server);
	target = stock_target(server);
	if (server->stock.count > target / 2)
		return;
	claims = b24_backlog_claim(server->name, until,
							   d->cautious > 0 ? 1 : target - server->stock.count,
							   d->lease, &server->position, &server->more);
	foreach(cell, claims)
		take_over(d, server, lfirst(cell));
	if (d->look_over_at_ms < 0)
		d->look_over_at_ms = Max(now_ms(), d->looked_over_at_ms + LOOK_OVER_EVERY_MS);
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

	if (now < d->looked_at ||
		(d->look_over_at_ms >= 0 && now_ms() >= d->look_over_at_ms))
		d->since = DT_NOBEGIN;
	d->looked_at = now;
	if (d->since == DT_NOBEGIN)
	{
		names = b24_backlog_servers();
		b24_backlog_recover(d->lease);
		b24_backlog_unblock();
		d->looked_over_at_ms = now_ms();
		d->look_over_at_ms = -1;
	}
	if (servers_changed)
		names = list_concat(names, b24_backlog_known_servers());
	servers_changed = false;
	foreach(cell, names)
		load_settings(find_server(d, lfirst(cell)));
	for (Server *s = d->servers; s != NULL; s = s->next)
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
	for (Server *s = d->servers; s != NULL; s = s->next)
	{
		B24Due		due;
		TimestampTz now = GetCurrentTimestamp();

		if (!b24_backlog_next(s->name, &s->position, &due))
		{
			s->more = false;
			continue;
		}
		if (due.at <= now && now_ms() >= s->blocked_until_ms)
		{
			claim_for(d, s, due.until);
			if (s->more || !b24_backlog_next(s->name, &s->position, &due))
				continue;
		}
		if (!s->more)
			d->look_at_ms = earlier(d->look_at_ms,
									Max(now_ms() + Max(due.at - now + 999, 0) / 1000,
										s->blocked_until_ms));
	}
}

/* Deletes what has been kept long enough, a piece at a time. */
static void
prune(B24Delivery *d, Server *server)
{
	B24Store	store;
	int			deleted;

	server->prune_at_ms = now_ms() + PRUNE_EVERY_MS;
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
			server->prune_at_ms = now_ms() + PRUNE_ON_MS;
	}
	PG_CATCH();
	{
		recover_from_error(d);
		server->prune_on = false;
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
	for (Server *s = d->servers; s != NULL; s = s->next)
	{
		while (s->fresh.count > 0)
			free_errand(pop(&s->fresh));
	}

	servers_changed = true;
	d->look_at_ms = now_ms();
	d->look_over_at_ms = now_ms() + LOOK_OVER_EVERY_MS;

	/* claimed by itself, it is the one that cannot be, and passed over */
	d->since = d->cautious > 0 ? DT_NOEND : DT_NOBEGIN;
}

/* Claimed, and on disk: sent next, or already at its end. */
static void
stock_fresh(B24Delivery *d)
{
	for (Server *s = d->servers; s != NULL; s = s->next)
	{
		B24Errand  *errand;

		while ((errand = pop(&s->fresh)) != NULL)
		{
			if (errand->job != NULL && errand->problem.status == B24_OK)
				push(&s->stock, errand);
			else
				end_errand(d, s, errand);
		}
	}
}

/* Results and claims, in one transaction; false if there was an error. */
static bool
work(B24Delivery *d, bool claim)
{
	volatile bool ok = true;
	B24Store	store;

	PG_TRY();
	{
		begin(d, &store, true);
		for (Server *s = d->servers; s != NULL; s = s->next)
		{
			if (s->ended.count > 0)
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
	for (Server *s = d->servers; s != NULL; s = s->next)
		drop_results(d, s, s->ended.count);
	stock_fresh(d);
	if (claim)
		d->since = DT_NOEND;
	if (claim && d->cautious > 0)
		d->cautious--;
	d->failures = 0;
	d->paused_until_ms = 0;
	b24_wake_finished();
	return true;
}

/* One result in a transaction of its own; false if there was an error. */
static bool
write_one(B24Delivery *d, Server *server)
{
	volatile bool ok = true;
	B24Store	store;

	PG_TRY();
	{
		begin(d, &store, true);
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
		drop_results(d, server, 1);
	return ok;
}

/*
 * All of them together could not be written: one by one, then.  Those that
 * still cannot are set aside for a while, so that they do not hold up others.
 */
static void
write_one_by_one(B24Delivery *d)
{
	bool		failed = false;

	for (Server *s = d->servers; s != NULL; s = s->next)
	{
		while (s->ended.count > 0)
		{
			if (!write_one(d, s))
			{
				failed = true;
				push(&s->stuck, pop(&s->ended));
			}
		}
	}
	d->stuck_failures = failed ? d->stuck_failures + 1 : 0;
	d->stuck_until_ms = failed ? after_errors(d->stuck_failures) : 0;
	b24_wake_finished();
}

/* Tries those again that were set aside. */
static void
write_stuck(B24Delivery *d)
{
	if (d->stuck_until_ms == 0 || now_ms() < d->stuck_until_ms)
		return;
	for (Server *s = d->servers; s != NULL; s = s->next)
	{
		B24Errand  *errand;

		while ((errand = pop(&s->stuck)) != NULL)
			end_errand(d, s, errand);
	}
	write_one_by_one(d);
}

/*
 * Sending
 */
static void
take_answers(B24Delivery *d)
{
	B24Job	   *job;

	while ((job = b24_inbox_take(d->inbox)) != NULL)
	{
		B24Errand  *errand = job->user;
		Server	   *server = ((Sender *) errand->user)->server;

		server->in_flight--;
		d->in_flight--;
		b24_errand_answered(errand);
		end_errand(d, server, errand);
	}
}

/* Nothing more can be sent to a server for a while: others may have its jobs. */
static void
put_stock_back(B24Delivery *d, Server *server)
{
	B24Errand  *errand;

	while ((errand = pop(&server->stock)) != NULL)
	{
		b24_errand_put_back(errand);
		end_errand(d, server, errand);
	}
	server->more = false;
}

static void
send_stock(B24Delivery *d)
{
	for (Server *s = d->servers; s != NULL; s = s->next)
	{
		int64		now = now_ms();

		while (s->stock.count > 0 && now >= s->blocked_until_ms)
		{
			B24Errand  *errand = s->stock.first;
			long		wait_ms = 0;
			B24Offer	offer;

			/* who has been taken the right, or was given other secrets */
			if (!b24_account_is_current(((Sender *) errand->user)->account))
			{
				put_stock_back(d, s);
				break;
			}
			offer = b24_job_offer(errand->job, &wait_ms);

			if (offer == B24_OFFER_TAKEN)
			{
				(void) pop(&s->stock);
				s->in_flight++;
				d->in_flight++;
				continue;
			}

			/* a place is free again when one of ours ends, or one of others' */
			if (wait_ms < 0)
				wait_ms = s->in_flight > 0 ? 0 : PLACE_EVERY_MS;
			s->blocked_until_ms = now + wait_ms;
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
	int64		at = claim ? earlier(d->look_at_ms, d->look_over_at_ms) : -1;

	if (claim && d->since != DT_NOEND)
		at = now_ms();
	if (count_ended(d) > 0)
		at = earlier(at, d->ended_since_ms + RESULT_PATIENCE_MS);
	if (at >= 0)
		at = Max(at, d->paused_until_ms);
	if (d->stuck_until_ms > 0)
		at = earlier(at, d->stuck_until_ms);
	for (const Server *s = d->servers; s != NULL; s = s->next)
	{
		if (s->prune_on)
			at = earlier(at, s->prune_at_ms);
		if (s->stock.count > 0 && s->blocked_until_ms > 0 &&
			(s->in_flight == 0 || s->blocked_until_ms > now_ms()))
			at = earlier(at, s->blocked_until_ms);
	}
	return at;
}

/* Is it time for a transaction? */
static bool
wants_transaction(const B24Delivery *d, bool claim, bool *claims)
{
	int64		now = now_ms();
	int			ended = count_ended(d);

	*claims = false;
	if (now < d->paused_until_ms)
		return false;
	if (claim && (d->since != DT_NOEND ||
				  (d->look_at_ms >= 0 && now >= d->look_at_ms) ||
				  (d->look_over_at_ms >= 0 && now >= d->look_over_at_ms)))
		*claims = true;
	for (const Server *s = d->servers; s != NULL; s = s->next)
	{
		if (claim && s->more && now >= s->blocked_until_ms &&
			s->stock.count <= stock_target(s) / 2)
			*claims = true;
	}
	return *claims || ended >= RESULTS_AT_ONCE ||
		(ended > 0 && (d->in_flight == 0 ||
					   now - d->ended_since_ms >= RESULT_PATIENCE_MS));
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
	{
		before_shmem_exit(at_exit, (Datum) 0);
		CacheRegisterSyscacheCallback(FOREIGNSERVEROID, note_servers_changed, (Datum) 0);
	}
	registered = true;
	d->context = context;
	d->in_call = in_call;
	d->away = true;
	d->errands = AllocSetContextCreate(context, "bill24 errands",
									   ALLOCSET_DEFAULT_SIZES);
	(void) b24_pool();
	d->inbox = b24_inbox_new();
	d->look_at_ms = d->look_over_at_ms = -1;
	d->since = DT_NOBEGIN;
	servers_changed = true;
	current = d;
	MemoryContextSwitchTo(old);
	return d;
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
static void
settle_in(B24Delivery *d)
{
	B24Store	store;

	begin(d, &store, false);
	d->away = !b24_home_is_here();
	if (!d->away && d->lease == 0)
		d->lease = b24_lease_take();
	commit(d, &store);
	warn_if_away(d);
}

/*
 * Goes on with everything that can go on now, without waiting.  Looks at jobs
 * that are due since a time, as those tell who wake us: DT_NOBEGIN for all, as
 * is to be done first, DT_NOEND if there is no news.  With
 * claim false, only what has been claimed is brought to its end.  wait_ms is
 * how long it may be left alone if no socket has news, -1 for ever.  False
 * when nothing is claimed any more and all results are written.
 */
bool
b24_delivery_go_on(B24Delivery *d, TimestampTz since, bool claim, long *wait_ms)
{
	MemoryContext old = MemoryContextSwitchTo(d->context);
	bool		claims;
	int			rounds = 0;
	int64		at;

	*wait_ms = -1;
	d->since = Min(d->since, since);
	if (d->away && d->since == DT_NOBEGIN)
		settle_in(d);
	if (d->away)
	{
		d->since = DT_NOEND;
		claim = false;
	}
	take_answers(d);
	for (Server *s = d->servers; s != NULL && !claim; s = s->next)
		put_stock_back(d, s);
	send_stock(d);
	write_stuck(d);
	while (wants_transaction(d, claim && !d->away, &claims) && rounds++ < ROUNDS)
	{
		if (!work(d, claims))
		{
			if (count_ended(d) > 0)
				write_one_by_one(d);
			else if (++d->failures >= MAX_FAILURES)
				d->paused_until_ms = after_errors(d->failures - MAX_FAILURES + 1);
			d->cautious = CAUTIOUS;
		}
		send_stock(d);
		if (claim)
			warn_if_away(d);
	}
	for (Server *s = d->servers; s != NULL; s = s->next)
	{
		if (s->settings.limits.serverid != InvalidOid && now_ms() >= s->prune_at_ms &&
			now_ms() >= d->paused_until_ms)
			prune(d, s);
	}

	at = next_time(d, claim && !d->away);
	if (at >= 0)
		*wait_ms = (long) Min(Max(at - now_ms(), 0), MAX_WAIT_MS);
	if (rounds > ROUNDS)
		*wait_ms = 0;

	/* what was counted in the last second would wait for the next transaction */
	if (rounds > 0 && *wait_ms != 0 && !d->in_call && !is_busy(d))
		pgstat_report_stat(true);
	MemoryContextSwitchTo(old);
	return is_busy(d);
}

int
b24_delivery_in_flight(const B24Delivery *d)
{
	return d->in_flight;
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
	bool		left_behind = is_busy(d);

	current = NULL;
	MemoryContextDelete(d->errands);
	for (Server *s = d->servers; s != NULL; s = s->next)
	{
		while (s->senders != NULL)
			release_sender(s, s->senders);
	}
	if (d->lease != 0)
		b24_lease_give_back(d->lease);
	if (left_behind)
		b24_wake_database(MyDatabaseId);
	MemoryContextDelete(d->context);
}
