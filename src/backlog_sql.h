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
 * account, key, server, id; with = or id > ..., the primary key would, too: see
 * store.c.
 */
#define BEHIND(o, server, account, key, id) \
	" (" o ".account, " o ".key, " o ".server, " o ".id) > (" account ", " key ", " server ", " id ")" \
	" AND (" o ".account, " o ".key, " o ".server) <= (" account ", " key ", " server ")"
#define IN_ORDER(o) \
	" ORDER BY " o ".account, " o ".key, " o ".server, " o ".id"

/* The jobs of a server that have a time, and their order: index outbox_due. */
#define SERVER_HASH(server) "pg_catalog.hashtextextended(" server ", 0)"
#define TO_BE_TAKEN_UP(o, server) \
	" " SERVER_HASH(o ".server") " = " SERVER_HASH(server) " AND " o ".server = " server \
	" AND " o ".next_attempt_at IS NOT NULL"
#define AS_DUE(o) \
	" ORDER BY " SERVER_HASH(o ".server") ", " o ".next_attempt_at, " o ".id"

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
