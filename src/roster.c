/*-------------------------------------------------------------------------
 *
 * roster.c
 *	  Which databases have something to do, and which workers are there.
 *
 * A database's counter of wakes goes up whenever there may be something to do
 * in it.  It is raised before any latch is set, and a worker reads it before
 * it looks for work, so whatever it has not seen is still to be looked at:
 * none gets lost.  A database whose counter differs from what its workers had
 * seen when the last of them left ("served") should have workers.
 *
 * A database that nobody waits for needs no entry.  Should all entries be in
 * use, a flag makes the launcher look at every database in turn, as soon as
 * there is room.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>

#include "compat.h"
#include "port/atomics.h"
#include "storage/procarray.h"
#include "utils/timestamp.h"

#include "roster.h"

#define DATABASES 256
#define WORKERS 256

/* A start that hangs for so long does not hold up others any more. */
#define STARTING_MS 10000

/* So many are started at a time. */
#define MAX_STARTING 4

#define MAX_BACKOFF_S 60

typedef struct Database
{
	Oid			oid;			/* InvalidOid: not in use */
	pg_atomic_uint64 wakes;
	uint64		served;
	uint32		extension_changes;
	int			closers;		/* how many want it to be left alone */
	bool		no_extension;
	TimestampTz due_at;			/* when to wake by itself */
	TimestampTz not_before;		/* of the next start, after a failure */
	int			failures;		/* in a row */
	char		error[B24_ROSTER_TEXT];
} Database;

typedef struct Worker
{
	B24Place	place;			/* ticket 0: not in use */
	int			pid;			/* 0: the process is not there yet */
	Latch	   *latch;
	bool		is_starting;	/* until it has seen the extension */
	TimestampTz started_at;
	int			in_flight;
	char		state[16];
} Worker;

typedef struct Roster
{
	Latch	   *launcher;		/* or NULL */
	uint64		tickets;
	int			cursor;			/* so that all have their turn */
	bool		overflow;		/* a database found no entry */
	bool		crowded;		/* a worker that is idle should make room */
	Database	databases[DATABASES];
	Worker		workers[WORKERS];
} Roster;

/* This process, if it is a worker. */
static Worker *me = NULL;
static Database *mine = NULL;
static uint64 my_ticket = 0;
static char my_error[B24_ROSTER_TEXT] = "the process ended without a message";

static void
roster_init(void *memory)
{
	Roster	   *roster = memory;

	memset(roster, 0, sizeof(*roster));
	for (int i = 0; i < DATABASES; i++)
		pg_atomic_init_u64(&roster->databases[i].wakes, 0);
}

B24SharedPart b24_roster_part = {
	.name = "bill24 workers",
	.size = sizeof(Roster),
	.init = roster_init,
};

static Roster *
the_roster(void)
{
	return b24_shared_memory(&b24_roster_part);
}

static void
lock_roster(LWLockMode mode)
{
	b24_shared_lock(&b24_roster_part, mode);
}

static void
unlock_roster(void)
{
	b24_shared_unlock(&b24_roster_part);
}

/* Whether there are workers at all: the module was preloaded. */
bool
b24_roster_is_shared(void)
{
	return b24_roster_part.lock != NULL;
}

static Database *
find_database(Oid oid)
{
	Database   *databases = the_roster()->databases;

	for (int i = 0; i < DATABASES; i++)
	{
		if (databases[i].oid == oid)
			return &databases[i];
	}
	return NULL;
}

static int
count_workers(Oid oid)
{
	Worker	   *workers = the_roster()->workers;
	int			count = 0;

	for (int i = 0; i < WORKERS; i++)
		count += workers[i].place.ticket != 0 && workers[i].place.database == oid;
	return count;
}

static bool
is_wanted(Database *database)
{
	return pg_atomic_read_u64(&database->wakes) != database->served;
}

/*
 * The entry of a database; a new one may take the place of one at rest.  NULL
 * if there is no room.
 */
static Database *
claim_database(Oid oid)
{
	Roster	   *roster = the_roster();
	Database   *database = find_database(oid);
	Database   *rests = NULL;

	if (database == NULL)
		database = find_database(InvalidOid);
	else
		return database;
	for (int i = 0; i < DATABASES && database == NULL; i++)
	{
		Database   *d = &roster->databases[i];

		if (is_wanted(d) || d->closers > 0 || d->due_at != 0 || d->failures > 0 ||
			count_workers(d->oid) > 0)
			continue;
		if (d->no_extension)
			database = d;
		else
			rests = d;
	}
	if (database == NULL)
		database = rests;
	if (database == NULL)
		return NULL;
	memset(database, 0, sizeof(*database));
	database->oid = oid;
	pg_atomic_init_u64(&database->wakes, 0);
	return database;
}

static void
wake_launcher(void)
{
	Latch	   *latch = the_roster()->launcher;

	if (latch != NULL)
		SetLatch(latch);
}

static void
wake_workers(Oid database)
{
	Worker	   *workers = the_roster()->workers;

	for (int i = 0; i < WORKERS; i++)
	{
		if (workers[i].place.database == database && workers[i].latch != NULL)
			SetLatch(workers[i].latch);
	}
}

/* ---- for those who have work to do ---- */

/*
 * There may be something to do in a database.  "Afresh" means that its
 * extension came, went or changed, so that what failed before may work now.
 * May be called where errors must not be raised.
 */
bool
b24_roster_wake(Oid oid, bool only_known, bool afresh)
{
	Database   *database;
	bool		was_wanted = true;

	if (!b24_roster_is_shared())
		return false;

	/* mostly there is an entry, and a worker that needs no launcher */
	lock_roster(afresh ? LW_EXCLUSIVE : LW_SHARED);
	database = find_database(oid);
	if (database == NULL && !only_known)
	{
		if (!afresh)
		{
			unlock_roster();
			lock_roster(LW_EXCLUSIVE);
		}
		database = claim_database(oid);
		if (database == NULL)
			the_roster()->overflow = true;
	}
	if (database != NULL)
	{
		if (afresh)
		{
			database->extension_changes++;
			database->failures = 0;
			database->not_before = 0;
			database->error[0] = '\0';
		}

		/* who finds it at rest tells the launcher; the others need not */
		was_wanted = pg_atomic_fetch_add_u64(&database->wakes, 1) != database->served;
		wake_workers(oid);
	}
	if (!was_wanted || afresh || (database == NULL && !only_known))
		wake_launcher();
	unlock_roster();
	return database != NULL;
}

/* From now on no worker starts in a database, until it is opened again. */
void
b24_roster_close(Oid oid)
{
	Database   *database;

	lock_roster(LW_EXCLUSIVE);
	database = claim_database(oid);
	if (database != NULL)
		database->closers++;
	unlock_roster();
}

/* The end of what b24_roster_close() began. */
void
b24_roster_open(Oid oid)
{
	Database   *database;

	lock_roster(LW_EXCLUSIVE);
	database = find_database(oid);
	if (database != NULL && database->closers > 0 && --database->closers == 0)
	{
		/* if it is there for this only, it goes */
		if (pg_atomic_read_u64(&database->wakes) == 0)
			database->oid = InvalidOid;
		wake_launcher();
	}
	unlock_roster();
}

/*
 * Asks the workers of a database that was closed to end.  Returns how many
 * there still are.
 */
int
b24_roster_ask_to_end(Oid oid, bool by_signal)
{
	Worker	   *workers = the_roster()->workers;
	int			count = 0;

	/* while the lock is held none can leave, so the processes are theirs */
	lock_roster(LW_SHARED);
	for (int i = 0; i < WORKERS; i++)
	{
		if (workers[i].place.database != oid || workers[i].latch == NULL)
			continue;
		count++;
		if (by_signal)
			kill(workers[i].pid, SIGTERM);
		else
			SetLatch(workers[i].latch);
	}
	unlock_roster();
	return count;
}

/* There is no such database any more, or nobody can connect to it. */
void
b24_roster_forget(Oid oid)
{
	Database   *database;

	lock_roster(LW_EXCLUSIVE);
	database = find_database(oid);
	if (database != NULL && count_workers(oid) == 0)
		database->oid = InvalidOid;
	else if (database != NULL)
	{
		/* one is on its way, and will not find it */
		database->served = pg_atomic_read_u64(&database->wakes);
		database->due_at = 0;
		database->failures = 0;
	}
	unlock_roster();
}

static void
fill_row(B24RosterRow *row, Database *database, const Worker *worker)
{
	memset(row, 0, sizeof(*row));
	if (database != NULL)
	{
		row->database = database->oid;
		row->failures = database->failures;
		strlcpy(row->error, database->error, sizeof(row->error));
	}
	if (worker != NULL)
	{
		row->database = worker->place.database;
		row->pid = worker->pid;
		row->started_at = worker->pid != 0 ? worker->started_at : 0;
		row->in_flight = worker->in_flight;
		strlcpy(row->state, worker->is_starting ? "starting" : worker->state,
				sizeof(row->state));
		return;
	}
	if (is_wanted(database) && database->failures > 0)
	{
		strlcpy(row->state, "backing off", sizeof(row->state));
		row->next_start_at = database->not_before;
	}
	else if (is_wanted(database))
		strlcpy(row->state, "starting", sizeof(row->state));
	else if (database->no_extension)
		strlcpy(row->state, "no extension", sizeof(row->state));
	else
	{
		strlcpy(row->state, "stopped", sizeof(row->state));
		row->next_start_at = database->due_at;
	}
}

/* All there is to be seen, in the current memory context. */
B24RosterRow *
b24_roster_rows(int *count)
{
	Roster	   *roster = the_roster();
	B24RosterRow *rows = palloc_extended((DATABASES + WORKERS) * sizeof(B24RosterRow),
										 MCXT_ALLOC_ZERO);
	int			n = 0;

	lock_roster(LW_SHARED);
	for (int i = 0; i < WORKERS; i++)
	{
		if (roster->workers[i].place.ticket != 0)
			fill_row(&rows[n++], find_database(roster->workers[i].place.database),
					 &roster->workers[i]);
	}
	for (int i = 0; i < DATABASES; i++)
	{
		Database   *database = &roster->databases[i];

		if (database->oid != InvalidOid && count_workers(database->oid) == 0)
			fill_row(&rows[n++], database, NULL);
	}
	unlock_roster();
	*count = n;
	return rows;
}

/* ---- for workers ---- */

/* A failure: the next start is the later, the more there were in a row. */
static void
count_failure(Database *database, const char *error)
{
	int			backoff_s = MAX_BACKOFF_S;

	if (database->failures < 6)
		backoff_s = Min(1 << database->failures, MAX_BACKOFF_S);
	database->failures++;
	database->not_before = GetCurrentTimestamp() + backoff_s * USECS_PER_SEC;
	strlcpy(database->error, error, sizeof(database->error));
}

/* When a worker's process ends, in whatever way. */
static void
detach(int code, Datum argument)
{
	lock_roster(LW_EXCLUSIVE);
	if (me->place.ticket == my_ticket)
	{
		if (code != 0 && my_error[0] != '\0' && mine->closers == 0)
			count_failure(mine, my_error);
		memset(me, 0, sizeof(*me));
	}
	wake_launcher();
	unlock_roster();
}

/*
 * This process is a worker and takes its place.  False if it is not wanted any
 * more.
 */
bool
b24_roster_attach(const B24Place *place)
{
	Worker	   *worker = &the_roster()->workers[place->index];
	Database   *database;
	bool		ok;

	if (!b24_roster_is_shared())
		return false;
	lock_roster(LW_EXCLUSIVE);
	database = find_database(place->database);
	ok = worker->place.ticket == place->ticket && database != NULL &&
		database->closers == 0;
	if (ok)
	{
		worker->pid = MyProcPid;
		worker->latch = MyLatch;
		worker->started_at = GetCurrentTimestamp();
		database->due_at = 0;
		database->no_extension = false;
		me = worker;
		mine = database;
		my_ticket = place->ticket;
	}
	else if (worker->place.ticket == place->ticket)
		memset(worker, 0, sizeof(*worker));
	unlock_roster();
	if (ok)
		before_shmem_exit(detach, (Datum) 0);
	return ok;
}

/* The counter, to be read before looking for work. */
uint64
b24_roster_wakes(void)
{
	uint64		wakes = pg_atomic_read_u64(&mine->wakes);

	pg_memory_barrier();
	return wakes;
}

/* Somebody wants this database to be left alone. */
bool
b24_roster_must_end(void)
{
	return ((volatile Database *) mine)->closers > 0;
}

/* Other databases wait for a place. */
bool
b24_roster_is_crowded(void)
{
	return ((volatile Roster *) the_roster())->crowded;
}

/* There are more workers than that, and this one is among the last. */
bool
b24_roster_is_surplus(int count)
{
	Worker	   *workers = the_roster()->workers;

	lock_roster(LW_SHARED);
	for (Worker *w = workers; w < me; w++)
		count -= w->place.ticket != 0 && w->place.database == me->place.database;
	unlock_roster();
	return count <= 0;
}

/* Goes up whenever the extension may have come, gone or changed. */
uint32
b24_roster_extension_changes(void)
{
	return ((volatile Database *) mine)->extension_changes;
}

/* The extension is there: others may start. */
void
b24_roster_started(void)
{
	lock_roster(LW_EXCLUSIVE);
	me->is_starting = false;
	wake_launcher();
	unlock_roster();
	b24_worker_note(NULL, 0);
}

/*
 * All went well so far.  Failures are forgotten when a worker has run without
 * one for as long as it had to wait before; returns when to tell again, in
 * milliseconds, or -1.
 */
long
b24_roster_well(void)
{
	TimestampTz now;
	TimestampTz well_at;

	if (((volatile Database *) mine)->failures == 0)
		return -1;
	now = GetCurrentTimestamp();
	well_at = me->started_at +
		Min(INT64CONST(1) << Min(mine->failures, 6), MAX_BACKOFF_S) * USECS_PER_SEC / 2;
	if (now < well_at)
		return (well_at - now) / 1000 + 1;
	lock_roster(LW_EXCLUSIVE);
	mine->failures = 0;
	mine->error[0] = '\0';
	unlock_roster();
	return -1;
}

/*
 * Nothing is to be done before due_at (0: at all).  False if there is, as the
 * database was woken since "seen".
 */
bool
b24_roster_leave(uint64 seen, B24Leaving leaving, TimestampTz due_at)
{
	bool		ok;

	lock_roster(LW_EXCLUSIVE);
	ok = pg_atomic_read_u64(&mine->wakes) == seen;
	if (ok)
	{
		mine->served = seen;
		mine->no_extension = leaving == B24_LEAVE_NO_EXTENSION;
		if (due_at != 0 && (mine->due_at == 0 || due_at < mine->due_at))
			mine->due_at = due_at;
		mine->failures = 0;
		mine->error[0] = '\0';
	}
	unlock_roster();
	return ok;
}

/*
 * What will be told of this worker if its process ends with an error; "" if
 * that is no failure, since somebody wanted it to end.
 */
void
b24_roster_failed(const char *error)
{
	int			length = strlen(error);

	length = pg_mbcliplen(error, length, sizeof(my_error) - 1);
	memcpy(my_error, error, length);
	my_error[length] = '\0';
}

/*
 * What this worker is about, for bill24.worker and pg_stat_activity; without a
 * state it is running or idle.  In other processes this does nothing.
 */
void
b24_worker_note(const char *state, int in_flight)
{
	char		text[64];

	if (state == NULL)
		state = in_flight > 0 ? "running" : "idle";
	if (me == NULL || (me->in_flight == in_flight && strcmp(me->state, state) == 0))
		return;
	lock_roster(LW_EXCLUSIVE);
	strlcpy(me->state, state, sizeof(me->state));
	me->in_flight = in_flight;
	unlock_roster();
	snprintf(text, sizeof(text), "bill24: %s, %d in flight", state, in_flight);
	pgstat_report_activity(in_flight > 0 ? STATE_RUNNING : STATE_IDLE, text);
}

/* ---- for the launcher ---- */

/* This process is the launcher, or no longer. */
void
b24_roster_launcher(bool present)
{
	lock_roster(LW_EXCLUSIVE);
	the_roster()->launcher = present ? MyLatch : NULL;
	unlock_roster();
}

/* Whether some database, nobody knows which, was to be woken. */
bool
b24_roster_overflowed(void)
{
	bool		overflow;

	lock_roster(LW_EXCLUSIVE);
	overflow = the_roster()->overflow;
	the_roster()->overflow = false;
	unlock_roster();
	return overflow;
}

/* Has a worker look at a database.  False if there is no room now. */
bool
b24_roster_look_at(Oid oid)
{
	Database   *database;

	lock_roster(LW_EXCLUSIVE);
	database = claim_database(oid);
	if (database != NULL)
		pg_atomic_fetch_add_u64(&database->wakes, 1);
	unlock_roster();
	return database != NULL;
}

/*
 * Whether the database should have one more worker now, if those with less
 * than that many should.  *next becomes the time when it may, if that is the
 * earliest.
 */
static bool
should_start(Database *database, int workers, TimestampTz now, TimestampTz *next)
{
	TimestampTz at;
	bool		is_due = database->due_at != 0 && database->due_at <= now;

	if (database->oid == InvalidOid || database->closers > 0)
		return false;
	if (!is_wanted(database) && database->due_at == 0)
		return false;
	if (count_workers(database->oid) >= workers)
		return false;
	at = is_wanted(database) || is_due ? 0 : database->due_at;
	at = Max(at, database->not_before);
	if (at > now)
	{
		if (*next == 0 || at < *next)
			*next = at;
		return false;
	}
	if (is_due)
	{
		database->due_at = 0;
		pg_atomic_fetch_add_u64(&database->wakes, 1);
	}
	return true;
}

/*
 * Reserves the place of the worker that is to be started next; first come the
 * databases that have none.  False if there is none to start now, or none can
 * be; *next is when to look again by itself, 0 for never.
 */
bool
b24_roster_next(int workers, B24Place *place, TimestampTz *next)
{
	Roster	   *roster = the_roster();
	TimestampTz now = GetCurrentTimestamp();
	Worker	   *vacant = NULL;
	Database   *found = NULL;
	int			starting = 0;

	*next = 0;
	lock_roster(LW_EXCLUSIVE);
	for (int i = 0; i < WORKERS; i++)
	{
		Worker	   *w = &roster->workers[i];

		if (w->place.ticket == 0)
			vacant = vacant == NULL ? w : vacant;
		else if (w->is_starting && now < w->started_at + STARTING_MS * INT64CONST(1000))
		{
			/* nobody may tell us when its time has run out */
			starting++;
			if (*next == 0 || *next > w->started_at + STARTING_MS * INT64CONST(1000))
				*next = w->started_at + STARTING_MS * INT64CONST(1000);
		}
	}
	for (int limit = 1; limit <= workers && found == NULL; limit += Max(workers - 1, 1))
	{
		for (int i = 0; i < DATABASES && found == NULL; i++)
		{
			int			at = (roster->cursor + i) % DATABASES;

			if (should_start(&roster->databases[at], limit, now, next))
			{
				found = &roster->databases[at];
				roster->cursor = at + 1;
			}
		}
	}
	if (found != NULL && vacant != NULL && starting < MAX_STARTING)
	{
		memset(vacant, 0, sizeof(*vacant));
		vacant->place.ticket = ++roster->tickets;
		vacant->place.database = found->oid;
		vacant->place.index = vacant - roster->workers;
		vacant->is_starting = true;
		vacant->started_at = now;
		*place = vacant->place;
	}
	else
		found = NULL;
	unlock_roster();
	return found != NULL;
}

/* Whether a place is kept for a worker that has not come yet. */
bool
b24_roster_is_starting(const B24Place *place)
{
	Worker	   *worker = &the_roster()->workers[place->index];
	bool		is_starting;

	lock_roster(LW_SHARED);
	is_starting = worker->place.ticket == place->ticket && worker->pid == 0;
	unlock_roster();
	return is_starting;
}

/* Its worker will not come; with an error that is a failure. */
void
b24_roster_release(const B24Place *place, const char *error)
{
	Worker	   *worker = &the_roster()->workers[place->index];
	Database   *database;

	lock_roster(LW_EXCLUSIVE);
	if (worker->place.ticket == place->ticket && worker->pid == 0)
	{
		memset(worker, 0, sizeof(*worker));
		database = find_database(place->database);
		if (database != NULL && error != NULL)
			count_failure(database, error);
	}
	unlock_roster();
}

/*
 * Releases the places that wait for workers of which this launcher, who knows
 * only these, has no news: one before it reserved them.
 */
void
b24_roster_expire(const B24Place *known, int count)
{
	Worker	   *workers = the_roster()->workers;
	TimestampTz limit = GetCurrentTimestamp() - STARTING_MS * INT64CONST(1000);

	lock_roster(LW_EXCLUSIVE);
	for (int i = 0; i < WORKERS; i++)
	{
		bool		is_known = false;

		if (workers[i].place.ticket == 0 || workers[i].pid != 0 ||
			workers[i].started_at > limit)
			continue;
		for (int k = 0; k < count; k++)
			is_known = is_known || known[k].ticket == workers[i].place.ticket;
		if (!is_known)
			memset(&workers[i], 0, sizeof(Worker));
	}
	unlock_roster();
}

/* No more processes can be had: who is idle should make room. */
void
b24_roster_crowd(bool crowded)
{
	Roster	   *roster = the_roster();

	lock_roster(LW_EXCLUSIVE);
	roster->crowded = crowded;
	for (int i = 0; i < WORKERS && crowded; i++)
	{
		if (roster->workers[i].latch != NULL && roster->workers[i].in_flight == 0)
			SetLatch(roster->workers[i].latch);
	}
	unlock_roster();
}
