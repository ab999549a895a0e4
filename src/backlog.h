/*-------------------------------------------------------------------------
 *
 * backlog.h
 *	  The jobs of the outbox as the delivery sees them: claims and results.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_BACKLOG_H
#define BILL24_BACKLOG_H

#include "nodes/pg_list.h"
#include "storage/itemptr.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

/*
 * How far the jobs of a server have been looked at, in the order in which they
 * are due.
 */
typedef struct B24Position
{
	TimestampTz at;
	int64		id;
} B24Position;

/* A job as it was claimed. */
typedef struct B24Claim
{
	int64		id;
	ItemPointerData place;		/* of its row, if it is known */
	int64		account;
	char	   *operation;
	char	   *key;
	Jsonb	   *request;
	Oid			owner;
	bool		unknown;		/* whether it has had its effect */
	int64		head;			/* the job of its key that has its turn */
	bool		followed;		/* by others that may become one with it */
	bool		merged;			/* with the values of earlier ones */
	int			attempt;		/* this one's number */
} B24Claim;

/* What became of one. */
typedef struct B24Outcome
{
	int64		id;
	int64		account;
	const char *key;
	const char *state;
	bool		finished;
	bool		split;			/* waits for those that were merged into it */
	bool		unsent;			/* was not even tried: the attempt does not count */
	long		delay_ms;		/* until it is due again, if it is not finished */
	Datum		response;		/* jsonb; 0 for none */
	const char *sqlstate;		/* or NULL */
	const char *error;			/* or NULL */
} B24Outcome;

extern List *b24_backlog_servers(void);
extern List *b24_backlog_known_servers(void);
extern bool b24_backlog_next(const char *server, B24Position *position,
							 TimestampTz *due_at);
extern List *b24_backlog_claim(const char *server, int limit, int64 lease,
							   B24Position *position, bool *more);
extern long b24_backlog_write(const char *server, B24Outcome *outcomes,
							  int count, int64 lease, bool *skipped);
extern bool b24_backlog_recover(int64 mine);
extern bool b24_backlog_unblock(void);
extern bool b24_backlog_reschedule(const char *server, bool *more);
extern int	b24_backlog_prune(const char *server, int retention_s, int limit);
extern void b24_backlog_ended(const char *server, int64 account, const char *key,
							  int64 id, bool done);

#endif							/* BILL24_BACKLOG_H */
