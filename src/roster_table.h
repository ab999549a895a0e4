/*-------------------------------------------------------------------------
 *
 * roster_table.h
 *	  The table behind roster.h, for the files that keep it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_ROSTER_TABLE_H
#define BILL24_ROSTER_TABLE_H

#include "port/atomics.h"
#include "storage/latch.h"

#include "roster.h"

#define B24_ROSTER_DATABASES 256
#define B24_ROSTER_WORKERS 256

/* How long a database waits, at the most, after failures. */
#define B24_MAX_BACKOFF_S 60

/*
 * A database; its counter may be raised under a shared lock.  What is waited
 * for is measured by a clock that nobody sets: see clock.h.
 */
typedef struct B24DatabaseEntry
{
	Oid			oid;			/* InvalidOid: not in use */
	pg_atomic_uint64 wakes;
	uint64		served;
	uint32		extension_changes;
	int			closers;		/* how many want it to be left alone */
	bool		no_extension;
	int64		due_ms;			/* when to wake by itself, or 0 */
	int64		not_before_ms;	/* of the next start, after a failure */
	int			failures;		/* in a row */
	char		error[B24_ROSTER_TEXT];
} B24DatabaseEntry;

/* A worker, or the place for one that is to come. */
typedef struct B24WorkerEntry
{
	B24Place	place;			/* ticket 0: not in use */
	int			pid;			/* 0: the process is not there yet */
	Latch	   *latch;
	bool		is_starting;	/* until it has seen the extension */
	pg_atomic_uint64 since;		/* see b24_roster_since */
	TimestampTz started_at;
	int64		started_ms;		/* the same */
	int			in_flight;
	char		state[16];
} B24WorkerEntry;

typedef struct B24Roster
{
	Latch	   *launcher;		/* or NULL */
	uint64		tickets;
	int			cursor;			/* so that all have their turn */
	bool		overflow;		/* a database found no entry */
	int64		look_ms;		/* when one that lost its entry is due, or 0 */
	bool		crowded;		/* a worker that is idle should make room */
	B24DatabaseEntry databases[B24_ROSTER_DATABASES];
	B24WorkerEntry workers[B24_ROSTER_WORKERS];
} B24Roster;

extern B24Roster *b24_roster(void);
extern void b24_lock_roster(LWLockMode mode);
extern void b24_unlock_roster(void);

/* with the lock held */
extern B24DatabaseEntry *b24_find_database(Oid oid);
extern B24DatabaseEntry *b24_claim_database(Oid oid);
extern int	b24_count_workers(Oid oid);
extern bool b24_is_wanted(B24DatabaseEntry *database);
extern void b24_count_failure(B24DatabaseEntry *database, const char *error);
extern void b24_wake_launcher(void);
extern void b24_wake_workers(Oid database, TimestampTz since);

#endif							/* BILL24_ROSTER_TABLE_H */
