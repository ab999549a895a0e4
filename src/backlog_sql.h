/*-------------------------------------------------------------------------
 *
 * backlog_sql.h
 *	  What the statements about the jobs of the outbox have in common.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_BACKLOG_SQL_H
#define BILL24_BACKLOG_SQL_H

#define CLOCK_NOW "pg_catalog.clock_timestamp()"

/* Has a job taken up after a delay. */
#define AFTER(delay) " next_attempt_at = " CLOCK_NOW " + " delay ", scheduled_at = " CLOCK_NOW
#define AT_ONCE " next_attempt_at = " CLOCK_NOW ", scheduled_at = " CLOCK_NOW

extern Datum b24_backlog_found(uint64 count);
extern uint64 b24_backlog_let_go_on(Datum jobs);

#endif							/* BILL24_BACKLOG_SQL_H */
