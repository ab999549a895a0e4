/*-------------------------------------------------------------------------
 *
 * roster.h
 *	  Which databases have something to do, and which workers are there.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_ROSTER_H
#define BILL24_ROSTER_H

#include "datatype/timestamp.h"

#include "shared.h"

/* The most that bill24.workers can be. */
#define B24_MAX_WORKERS 16

#define B24_ROSTER_TEXT 256

/* A worker's place, as the launcher hands it on to the worker. */
typedef struct B24Place
{
	uint64		ticket;			/* no other place ever had it */
	Oid			database;
	int			index;
} B24Place;

/* How a worker went that has nothing more to do. */
typedef enum B24Leaving
{
	B24_LEAVE_IDLE,
	B24_LEAVE_NO_EXTENSION
} B24Leaving;

/* A worker, or a database without one: what the view shows. */
typedef struct B24RosterRow
{
	Oid			database;
	int			pid;			/* 0 if there is none */
	char		state[16];
	TimestampTz started_at;		/* 0 if not started */
	TimestampTz next_start_at;	/* 0 if there is no such time */
	int			failures;
	int			in_flight;
	char		error[B24_ROSTER_TEXT]; /* in the encoding of that database */
} B24RosterRow;

extern B24SharedPart b24_roster_part;

extern bool b24_roster_is_shared(void);

/* for those who have work to do */
extern bool b24_roster_wake(Oid database, bool only_known, bool afresh,
							TimestampTz since);
extern void b24_roster_close(Oid database);
extern void b24_roster_open(Oid database);
extern int	b24_roster_ask_to_end(Oid database, bool by_signal);
extern void b24_roster_forget(Oid database);
extern B24RosterRow *b24_roster_rows(int *count);

/* for workers */
extern bool b24_roster_attach(const B24Place *place);
extern uint64 b24_roster_wakes(void);
extern TimestampTz b24_roster_since(void);
extern bool b24_roster_must_end(void);
extern bool b24_roster_is_crowded(void);
extern bool b24_roster_is_surplus(int workers);
extern uint32 b24_roster_extension_changes(void);
extern void b24_roster_started(void);
extern long b24_roster_well(void);
extern bool b24_roster_leave(uint64 seen, B24Leaving leaving, long wait_ms);
extern void b24_roster_hand_over(void);
extern void b24_roster_failed(const char *error);
extern void b24_worker_note(const char *state, int in_flight);

/* for the launcher */
extern void b24_roster_launcher(bool present);
extern bool b24_roster_overflowed(void);
extern bool b24_roster_look_at(Oid database);
extern bool b24_roster_next(int workers, B24Place *place, int64 *next_ms);
extern bool b24_roster_is_starting(const B24Place *place);
extern void b24_roster_release(const B24Place *place, const char *error);
extern void b24_roster_expire(const B24Place *known, int count);
extern void b24_roster_crowd(bool crowded);

#endif							/* BILL24_ROSTER_H */
