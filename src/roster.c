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
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>

#include "compat.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "roster_table.h"

/* A start that hangs for so long does not hold up others any more. */
#define STARTING_MS 10000

/* So many are started at a time. */
#define MAX_STARTING 4

/* ---- for those who have work to do ---- */

/*
 * There may be something to do in a database, in jobs that are due since that
 * time; DT_NOBEGIN if that is not known.  "Afresh" means that its
 * extension came, went or changed, so that what failed before may work now.
 * May be called where errors must not be raised.
 */
bool
b24_roster_wake(Oid oid, bool only_known, bool afresh, TimestampTz since)
{
	B24DatabaseEntry *database;
	bool		was_wanted = true;

	if (!b24_roster_is_shared())
		return false;

	/* mostly there is an entry, and a worker that needs no launcher */
	b24_lock_roster(afresh ? LW_EXCLUSIVE : LW_SHARED);
	database = b24_find_database(oid);
	if (database == NULL && !only_known)
	{
		if (!afresh)
		{
			b24_unlock_roster();
			b24_lock_roster(LW_EXCLUSIVE);
		}
		database = b24_claim_database(oid);
		if (database == NULL)
			b24_roster()->overflow = true;
	}
	if (database != NULL)
	{
		if (afresh)
		{
			database->extension_changes++;
			database->failures = 0;
			database->not_before_ms = 0;
			database->error[0] = '\0';
		}

		/* who finds it at rest tells the launcher; the others need not */
		was_wanted = pg_atomic_fetch_add_u64(&database->wakes, 1) != database->served;
		b24_wake_workers(oid, since);
	}
	if (!was_wanted || afresh || (database == NULL && !only_known))
		b24_wake_launcher();
	b24_unlock_roster();
	return database != NULL;
}

/* From now on no worker starts in a database, until it is opened again. */
void
b24_roster_close(Oid oid)
{
	B24DatabaseEntry *database;

	b24_lock_roster(LW_EXCLUSIVE);
	database = b24_claim_database(oid);
	if (database != NULL)
		database->closers++;
	b24_unlock_roster();
}

/* The end of what b24_roster_close() began. */
void
b24_roster_open(Oid oid)
{
	B24DatabaseEntry *database;

	b24_lock_roster(LW_EXCLUSIVE);
	database = b24_find_database(oid);
	if (database != NULL && database->closers > 0 && --database->closers == 0)
	{
		/* if it is there for this only, it goes */
		if (pg_atomic_read_u64(&database->wakes) == 0)
			database->oid = InvalidOid;
		b24_wake_launcher();
	}
	b24_unlock_roster();
}

/*
 * Asks the workers of a database that was closed to end.  Returns how many
 * there still are.
 */
int
b24_roster_ask_to_end(Oid oid, bool by_signal)
{
	B24WorkerEntry *workers = b24_roster()->workers;
	int			count = 0;

	/* while the lock is held none can leave, so the processes are theirs */
	b24_lock_roster(LW_SHARED);
	for (int i = 0; i < B24_ROSTER_WORKERS; i++)
	{
		if (workers[i].place.database != oid || workers[i].latch == NULL)
			continue;
		count++;
		if (by_signal)
			kill(workers[i].pid, SIGTERM);
		else
			SetLatch(workers[i].latch);
	}
	b24_unlock_roster();
	return count;
}

/* There is no such database any more, or nobody can connect to it. */
void
b24_roster_forget(Oid oid)
{
	B24DatabaseEntry *database;

	b24_lock_roster(LW_EXCLUSIVE);
	database = b24_find_database(oid);
	if (database != NULL && b24_count_workers(oid) == 0)
		database->oid = InvalidOid;
	else if (database != NULL)
	{
		/* one is on its way, and will not find it */
		database->served = pg_atomic_read_u64(&database->wakes);
		database->due_ms = 0;
		database->failures = 0;
	}
	b24_unlock_roster();
}

/* What the clock on the wall will show then; 0 for never. */
static TimestampTz
on_the_wall(int64 at_ms)
{
	return at_ms == 0 ? 0 :
		GetCurrentTimestamp() + (at_ms - b24_now_ms()) * 1000;
}

static void
fill_row(B24RosterRow *row, B24DatabaseEntry *database, const B24WorkerEntry *worker)
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
	if (b24_is_wanted(database) && database->failures > 0)
	{
		strlcpy(row->state, "backing off", sizeof(row->state));
		row->next_start_at = on_the_wall(database->not_before_ms);
	}
	else if (b24_is_wanted(database))
		strlcpy(row->state, "starting", sizeof(row->state));
	else if (database->no_extension)
		strlcpy(row->state, "no extension", sizeof(row->state));
	else
	{
		strlcpy(row->state, "stopped", sizeof(row->state));
		row->next_start_at = on_the_wall(database->due_ms);
	}
}

/* All there is to be seen, in the current memory context. */
B24RosterRow *
b24_roster_rows(int *count)
{
	B24Roster  *roster = b24_roster();
	B24RosterRow *rows = palloc_extended((B24_ROSTER_DATABASES + B24_ROSTER_WORKERS) * sizeof(B24RosterRow),
										 MCXT_ALLOC_ZERO);
	int			n = 0;

	b24_lock_roster(LW_SHARED);
	for (int i = 0; i < B24_ROSTER_WORKERS; i++)
	{
		if (roster->workers[i].place.ticket != 0)
			fill_row(&rows[n++], b24_find_database(roster->workers[i].place.database),
					 &roster->workers[i]);
	}
	for (int i = 0; i < B24_ROSTER_DATABASES; i++)
	{
		B24DatabaseEntry *database = &roster->databases[i];

		if (database->oid != InvalidOid && b24_count_workers(database->oid) == 0)
			fill_row(&rows[n++], database, NULL);
	}
	b24_unlock_roster();
	*count = n;
	return rows;
}

/* ---- for the launcher ---- */

/*
 * This process is the launcher, or no longer.  A new one knows nothing of the
 * workers that the one before it was about to start: if they come, they find
 * their places taken.
 */
void
b24_roster_launcher(bool present)
{
	B24Roster  *roster = b24_roster();

	b24_lock_roster(LW_EXCLUSIVE);
	roster->launcher = present ? MyLatch : NULL;
	for (int i = 0; present && i < B24_ROSTER_WORKERS; i++)
	{
		if (roster->workers[i].place.ticket != 0 && roster->workers[i].pid == 0)
			memset(&roster->workers[i], 0, sizeof(B24WorkerEntry));
	}
	b24_unlock_roster();
}

/* Whether some database, nobody knows which, has something to do. */
bool
b24_roster_overflowed(void)
{
	B24Roster  *roster = b24_roster();
	bool		overflow;

	b24_lock_roster(LW_EXCLUSIVE);
	overflow = roster->overflow;
	roster->overflow = false;
	if (roster->look_ms != 0 && roster->look_ms <= b24_now_ms())
	{
		overflow = true;
		roster->look_ms = 0;
	}
	b24_unlock_roster();
	return overflow;
}

/* Has a worker look at a database.  False if there is no room now. */
bool
b24_roster_look_at(Oid oid)
{
	B24DatabaseEntry *database;

	b24_lock_roster(LW_EXCLUSIVE);
	database = b24_claim_database(oid);
	if (database != NULL)
		pg_atomic_fetch_add_u64(&database->wakes, 1);
	b24_unlock_roster();
	return database != NULL;
}

/*
 * Whether the database should have one more worker now, if those with less
 * than that many should.  *next_ms becomes the time when it may, if that is the
 * earliest.
 */
static bool
should_start(B24DatabaseEntry *database, int workers, int64 now, int64 *next_ms)
{
	int64		at;
	bool		is_due = database->due_ms != 0 && database->due_ms <= now;

	if (database->oid == InvalidOid || database->closers > 0)
		return false;
	if (!b24_is_wanted(database) && database->due_ms == 0)
		return false;
	if (b24_count_workers(database->oid) >= workers)
		return false;
	at = b24_is_wanted(database) || is_due ? 0 : database->due_ms;
	at = Max(at, database->not_before_ms);
	if (at > now)
	{
		if (*next_ms == 0 || at < *next_ms)
			*next_ms = at;
		return false;
	}
	if (is_due)
	{
		database->due_ms = 0;
		pg_atomic_fetch_add_u64(&database->wakes, 1);
	}
	return true;
}

/*
 * Reserves the place of the worker that is to be started next; first come the
 * databases that have none.  False if there is none to start now, or none can
 * be; *next_ms is when to look again by itself, 0 for never.
 */
bool
b24_roster_next(int workers, B24Place *place, int64 *next_ms)
{
	B24Roster  *roster = b24_roster();
	int64		now = b24_now_ms();
	B24WorkerEntry *vacant = NULL;
	B24DatabaseEntry *found = NULL;
	int			starting = 0;

	b24_lock_roster(LW_EXCLUSIVE);
	*next_ms = roster->look_ms;
	for (int i = 0; i < B24_ROSTER_WORKERS; i++)
	{
		B24WorkerEntry *w = &roster->workers[i];

		if (w->place.ticket == 0)
			vacant = vacant == NULL ? w : vacant;
		else if (w->is_starting && now < w->started_ms + STARTING_MS)
		{
			/* nobody may tell us when its time has run out */
			starting++;
			if (*next_ms == 0 || *next_ms > w->started_ms + STARTING_MS)
				*next_ms = w->started_ms + STARTING_MS;
		}
	}
	for (int limit = 1; limit <= workers && found == NULL; limit += Max(workers - 1, 1))
	{
		for (int i = 0; i < B24_ROSTER_DATABASES && found == NULL; i++)
		{
			int			at = (roster->cursor + i) % B24_ROSTER_DATABASES;

			if (should_start(&roster->databases[at], limit, now, next_ms))
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
		vacant->started_at = GetCurrentTimestamp();
		vacant->started_ms = now;
		*place = vacant->place;
	}
	else
		found = NULL;
	b24_unlock_roster();
	return found != NULL;
}

/* Whether a place is kept for a worker that has not come yet. */
bool
b24_roster_is_starting(const B24Place *place)
{
	B24WorkerEntry *worker = &b24_roster()->workers[place->index];
	bool		is_starting;

	b24_lock_roster(LW_SHARED);
	is_starting = worker->place.ticket == place->ticket && worker->pid == 0;
	b24_unlock_roster();
	return is_starting;
}

/* Its worker will not come; with an error that is a failure. */
void
b24_roster_release(const B24Place *place, const char *error)
{
	B24WorkerEntry *worker = &b24_roster()->workers[place->index];
	B24DatabaseEntry *database;

	b24_lock_roster(LW_EXCLUSIVE);
	if (worker->place.ticket == place->ticket && worker->pid == 0)
	{
		memset(worker, 0, sizeof(*worker));
		database = b24_find_database(place->database);
		if (database != NULL && error != NULL)
			b24_count_failure(database, error);
	}
	b24_unlock_roster();
}

/*
 * Releases the places that wait for workers of which this launcher, who knows
 * only these, has no news: one before it reserved them.
 */
void
b24_roster_expire(const B24Place *known, int count)
{
	B24WorkerEntry *workers = b24_roster()->workers;
	int64		limit = b24_now_ms() - STARTING_MS;

	b24_lock_roster(LW_EXCLUSIVE);
	for (int i = 0; i < B24_ROSTER_WORKERS; i++)
	{
		bool		is_known = false;

		if (workers[i].place.ticket == 0 || workers[i].pid != 0 ||
			workers[i].started_ms > limit)
			continue;
		for (int k = 0; k < count; k++)
			is_known = is_known || known[k].ticket == workers[i].place.ticket;
		if (!is_known)
			memset(&workers[i], 0, sizeof(B24WorkerEntry));
	}
	b24_unlock_roster();
}

/* No more processes can be had: who is idle should make room. */
void
b24_roster_crowd(bool crowded)
{
	B24Roster  *roster = b24_roster();

	b24_lock_roster(LW_EXCLUSIVE);
	roster->crowded = crowded;
	for (int i = 0; i < B24_ROSTER_WORKERS && crowded; i++)
	{
		if (roster->workers[i].latch != NULL && roster->workers[i].in_flight == 0)
			SetLatch(roster->workers[i].latch);
	}
	b24_unlock_roster();
}
