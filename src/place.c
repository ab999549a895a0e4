/*-------------------------------------------------------------------------
 *
 * place.c
 *	  The place of a worker in the roster: what the worker itself does with it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "roster_table.h"

/* This process, if it is a worker. */
static B24WorkerEntry *me = NULL;
static B24DatabaseEntry *mine = NULL;
static uint64 my_ticket = 0;
static char my_error[B24_ROSTER_TEXT] = "the process ended without a message";

/* When a worker's process ends, in whatever way. */
static void
detach(int code, Datum argument)
{
	b24_lock_roster(LW_EXCLUSIVE);
	if (me->place.ticket == my_ticket)
	{
		if (code != 0 && my_error[0] != '\0' && mine->closers == 0)
			b24_count_failure(mine, my_error);
		memset(me, 0, sizeof(*me));
	}
	b24_wake_launcher();
	b24_unlock_roster();
}

/*
 * This process is a worker and takes its place.  False if it is not wanted any
 * more.
 */
bool
b24_roster_attach(const B24Place *place)
{
	B24WorkerEntry *worker = &b24_roster()->workers[place->index];
	B24DatabaseEntry *database;
	bool		ok;

	if (!b24_roster_is_shared())
		return false;
	b24_lock_roster(LW_EXCLUSIVE);
	database = b24_find_database(place->database);
	ok = worker->place.ticket == place->ticket && database != NULL &&
		database->closers == 0;
	if (ok)
	{
		worker->pid = MyProcPid;
		pg_atomic_init_u64(&worker->since, 0);
		worker->latch = MyLatch;
		worker->started_at = GetCurrentTimestamp();
		worker->started_ms = b24_now_ms();
		database->due_ms = 0;
		database->no_extension = false;
		me = worker;
		mine = database;
		my_ticket = place->ticket;
	}
	else if (worker->place.ticket == place->ticket)
		memset(worker, 0, sizeof(*worker));
	b24_unlock_roster();
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

/*
 * Since when there may be jobs that nobody has looked at, as those tell who
 * wake us; DT_NOBEGIN if it is not known, DT_NOEND if there are none.  To be
 * read after the counter; the next time it is about what came after this one.
 */
TimestampTz
b24_roster_since(void)
{
	uint64		mark = pg_atomic_exchange_u64(&me->since, PG_UINT64_MAX);

	return mark == 0 ? DT_NOBEGIN : mark == PG_UINT64_MAX ? DT_NOEND :
		(TimestampTz) mark;
}

/* Somebody wants this database to be left alone. */
bool
b24_roster_must_end(void)
{
	return ((volatile B24DatabaseEntry *) mine)->closers > 0;
}

/* Other databases wait for a place. */
bool
b24_roster_is_crowded(void)
{
	return ((volatile B24Roster  *) b24_roster())->crowded;
}

/* There are more workers than that, and this one is among the last. */
bool
b24_roster_is_surplus(int count)
{
	B24WorkerEntry *workers = b24_roster()->workers;

	b24_lock_roster(LW_SHARED);
	for (B24WorkerEntry *w = workers; w < me; w++)
		count -= w->place.ticket != 0 && w->place.database == me->place.database;
	b24_unlock_roster();
	return count <= 0;
}

/* Goes up whenever the extension may have come, gone or changed. */
uint32
b24_roster_extension_changes(void)
{
	return ((volatile B24DatabaseEntry *) mine)->extension_changes;
}

/* The extension is there: others may start. */
void
b24_roster_started(void)
{
	b24_lock_roster(LW_EXCLUSIVE);
	me->is_starting = false;
	b24_wake_launcher();
	b24_unlock_roster();
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
	int64		now;
	int64		well_at;

	if (((volatile B24DatabaseEntry *) mine)->failures == 0)
		return -1;
	now = b24_now_ms();
	well_at = me->started_ms +
		Min(INT64CONST(1) << Min(mine->failures, 6), B24_MAX_BACKOFF_S) * 1000 / 2;
	if (now < well_at)
		return (long) (well_at - now);
	b24_lock_roster(LW_EXCLUSIVE);
	mine->failures = 0;
	mine->error[0] = '\0';
	b24_unlock_roster();
	return -1;
}

/*
 * Nothing is to be done for so many milliseconds (-1: at all).  False if there
 * is, as the database was woken since "seen".
 */
bool
b24_roster_leave(uint64 seen, B24Leaving leaving, long wait_ms)
{
	int64		due_ms = b24_now_ms() + wait_ms;
	bool		ok;

	b24_lock_roster(LW_EXCLUSIVE);
	ok = pg_atomic_read_u64(&mine->wakes) == seen;
	if (ok)
	{
		mine->served = seen;
		mine->no_extension = leaving == B24_LEAVE_NO_EXTENSION;
		if (wait_ms >= 0 && (mine->due_ms == 0 || due_ms < mine->due_ms))
			mine->due_ms = due_ms;
		mine->failures = 0;
		mine->error[0] = '\0';
	}
	b24_unlock_roster();
	return ok;
}

/*
 * This worker leaves, and what it did alone another that is there may do now:
 * that one looks again.  No other is started for it, since b24_roster_leave was
 * told when something is due.
 */
void
b24_roster_hand_over(void)
{
	B24WorkerEntry *workers = b24_roster()->workers;
	bool		is_alone = true;

	b24_lock_roster(LW_EXCLUSIVE);
	for (B24WorkerEntry *w = workers; w < workers + B24_ROSTER_WORKERS; w++)
	{
		if (w != me && w->place.database == me->place.database && w->latch != NULL)
			is_alone = false;
	}
	if (!is_alone)
	{
		bool		is_wanted = b24_is_wanted(mine);
		uint64		before = pg_atomic_fetch_add_u64(&mine->wakes, 1);

		/* a latch alone may be reset on the way: the counter says so, too */
		if (!is_wanted)
			mine->served = before + 1;
		b24_wake_workers(me->place.database, DT_NOBEGIN);
	}
	b24_unlock_roster();
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
	b24_lock_roster(LW_EXCLUSIVE);
	strlcpy(me->state, state, sizeof(me->state));
	me->in_flight = in_flight;
	b24_unlock_roster();
	snprintf(text, sizeof(text), "bill24: %s, %d in flight", state, in_flight);
	pgstat_report_activity(in_flight > 0 ? STATE_RUNNING : STATE_IDLE, text);
}
