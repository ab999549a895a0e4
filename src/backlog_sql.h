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

/*
 * The jobs of a key behind one of them, or behind number 0, and their order.
 * As rows are compared, no other index serves than those that begin with
 * server, account, key, id; with = or id > ..., the primary key would, too: see
 * store.c.
 */
#define BEHIND(o, server, account, key, id) \
	" (" o ".server, " o ".account, " o ".key, " o ".id) > (" server ", " account ", " key ", " id ")" \
	" AND (" o ".server, " o ".account, " o ".key) <= (" server ", " account ", " key ")"
#define IN_ORDER(o) \
	" ORDER BY " o ".server, " o ".account, " o ".key, " o ".id"

/*
 * Has a job its own turn?  It has not while it is merged into another; but that
 * one may have been deleted.
 */
#define BY_ITSELF(o) \
	" (" o ".merged_into IS NULL OR (SELECT t.finished_at IS NULL FROM bill24.outbox t" \
	" WHERE t.id = " o ".merged_into) IS NOT TRUE)"

extern Datum b24_backlog_found(uint64 count);
extern uint64 b24_backlog_let_go_on(Datum jobs);

#endif							/* BILL24_BACKLOG_SQL_H */
