/*-------------------------------------------------------------------------
 *
 * roster_table.c
 *	  The table behind roster.h, for the files that keep it.
 *
 * A database that nobody waits for needs no entry.  Should all entries be in
 * use, a flag makes the launcher look at every database in turn, as soon as
 * there is room.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "roster_table.h"

static void
roster_init(void *memory)
{
	B24Roster  *roster = memory;

	memset(roster, 0, sizeof(*roster));
	for (int i = 0; i < B24_ROSTER_DATABASES; i++)
		pg_atomic_init_u64(&roster->databases[i].wakes, 0);
}

B24SharedPart b24_roster_part = {
	.name = "bill24 workers",
	.size = sizeof(B24Roster),
	.init = roster_init,
};

/* The memory, shared or this process's own. */
B24Roster *
b24_roster(void)
{
	return b24_shared_memory(&b24_roster_part);
}

/* Nothing that is done under this lock may fail. */
void
b24_lock_roster(LWLockMode mode)
{
	b24_shared_lock(&b24_roster_part, mode);
}

void
b24_unlock_roster(void)
{
	b24_shared_unlock(&b24_roster_part);
}

/* Whether there are workers at all: the module was preloaded. */
bool
b24_roster_is_shared(void)
{
	return b24_roster_part.lock != NULL;
}

/* The entry of a database, or NULL. */
B24DatabaseEntry *
b24_find_database(Oid oid)
{
	B24DatabaseEntry *databases = b24_roster()->databases;

	for (int i = 0; i < B24_ROSTER_DATABASES; i++)
	{
		if (databases[i].oid == oid)
			return &databases[i];
	}
	return NULL;
}

/* How many workers a database has, with those to come. */
int
b24_count_workers(Oid oid)
{
	B24WorkerEntry *workers = b24_roster()->workers;
	int			count = 0;

	for (int i = 0; i < B24_ROSTER_WORKERS; i++)
		count += workers[i].place.ticket != 0 && workers[i].place.database == oid;
	return count;
}

/* Whether there may be something that no worker has seen. */
bool
b24_is_wanted(B24DatabaseEntry *database)
{
	return pg_atomic_read_u64(&database->wakes) != database->served;
}

/* How easily the entry of a database at rest can be spared. */
static int64
ease(const B24DatabaseEntry *database)
{
	if (database->no_extension)
		return PG_INT64_MAX;
	return database->due_ms == 0 ? PG_INT64_MAX - 1 : database->due_ms;
}

/*
 * The entry of a database; a new one may take the place of one at rest.  Where
 * the extension is not comes first, then where nothing is due, then what is
 * due last; at that time all are looked at.  NULL if there is no room.
 */
B24DatabaseEntry *
b24_claim_database(Oid oid)
{
	B24Roster  *roster = b24_roster();
	B24DatabaseEntry *database = b24_find_database(oid);

	if (database != NULL)
		return database;
	database = b24_find_database(InvalidOid);
	if (database == NULL)
	{
		for (int i = 0; i < B24_ROSTER_DATABASES; i++)
		{
			B24DatabaseEntry *d = &roster->databases[i];

			if (b24_is_wanted(d) || d->closers > 0 || d->failures > 0 ||
				b24_count_workers(d->oid) > 0)
				continue;
			if (database == NULL || ease(d) > ease(database))
				database = d;
		}
		if (database == NULL)
			return NULL;
		if (database->due_ms != 0 &&
			(roster->look_ms == 0 || database->due_ms < roster->look_ms))
			roster->look_ms = database->due_ms;
	}
	memset(database, 0, sizeof(*database));
	database->oid = oid;
	pg_atomic_init_u64(&database->wakes, 0);
	return database;
}

/* Has the launcher compare what should run with what runs. */
void
b24_wake_launcher(void)
{
	Latch	   *latch = b24_roster()->launcher;

	if (latch != NULL)
		SetLatch(latch);
}

/* There may be work from this time on; the lock may be a shared one. */
void
b24_wake_workers(Oid database, TimestampTz since)
{
	B24WorkerEntry *workers = b24_roster()->workers;
	uint64		mark = since > 0 ? (uint64) since : 0;

	for (int i = 0; i < B24_ROSTER_WORKERS; i++)
	{
		uint64		known;

		if (workers[i].place.database != database || workers[i].latch == NULL)
			continue;
		known = pg_atomic_read_u64(&workers[i].since);
		while (mark < known &&
			   !pg_atomic_compare_exchange_u64(&workers[i].since, &known, mark))
			;
		SetLatch(workers[i].latch);
	}
}

/* A failure: the next start is the later, the more there were in a row. */
void
b24_count_failure(B24DatabaseEntry *database, const char *error)
{
	int			backoff_s = B24_MAX_BACKOFF_S;

	if (database->failures < 6)
		backoff_s = Min(1 << database->failures, B24_MAX_BACKOFF_S);
	database->failures++;
	database->not_before_ms = b24_now_ms() + backoff_s * INT64CONST(1000);
	strlcpy(database->error, error, sizeof(database->error));
}
