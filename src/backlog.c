/*-------------------------------------------------------------------------
 *
 * backlog.c
 *	  The jobs of the outbox as the delivery sees them, and their claims.
 *
 * All of this, and of outcome.c and upkeep.c, runs between b24_store_open and
 * b24_store_close, and what claims jobs or writes results also under
 * b24_lease_exclude_others: then it is enough to look which job of a key has its
 * turn.  That is the one that is being sent, unknown or parked, if there is such
 * a one, or else the first that is unfinished.  (They may differ: a job's number
 * is taken when it is enqueued, and a later number may be committed, and sent,
 * earlier.)
 *
 * A job that has to wait is marked so, once, and not looked at again before
 * the job before it has ended.  So a claim costs what it claims, however many
 * jobs there are and however many of them wait for one another.
 *
 * A person may have locked any row at any time, for as long as a transaction
 * lasts.  Nothing here waits for that: such jobs are passed over.  Of the end
 * of a transaction that used our functions we are told; of others, such as one
 * that was prepared, or has locked rows by itself, we are not.  So whoever
 * passes over something says so, and it is looked over again until nothing is
 * passed over any more.
 *
 * Nor does anything here trust the clock not to be set back: next_attempt_at is
 * never written without scheduled_at, which tells when that was (if not when it
 * was enqueued).  If that lies in the future, the clock was set back since, and
 * the job begins its delay anew, which mostly is none: see
 * b24_backlog_reschedule.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "compat.h"
#include "utils/builtins.h"

#include "backlog.h"
#include "backlog_sql.h"
#include "columns.h"
#include "merge.h"
#include "provider.h"
#include "store.h"
#include "turn.h"

/* So many updates become others at a time. */
#define MAX_MERGE_ALL 1000

/*
 * The servers that have unfinished jobs: one step in the index for each that has
 * jobs with a time, and all others that are under way or parked.  Whoever waits
 * does so for one of those.
 */
List *
b24_backlog_servers(void)
{
	static B24Statement find = {
		"WITH RECURSIVE s AS ("
		" (SELECT o.server FROM bill24.outbox o WHERE o.next_attempt_at IS NOT NULL"
		AS_DUE("o") " LIMIT 1)"
		" UNION ALL"
		" SELECT n.server FROM s, LATERAL ("
		"  SELECT o.server FROM bill24.outbox o WHERE o.next_attempt_at IS NOT NULL"
		"  AND " SERVER_HASH("o.server") " > " SERVER_HASH("s.server")
		AS_DUE("o") " LIMIT 1) n)"
		" SELECT server FROM s UNION"
		" SELECT server FROM bill24.outbox WHERE state IN ('sending', 'unknown', 'parked')"
	};
	uint64		count = b24_store_run(&find, NULL, NULL);
	List	   *list = NIL;

	for (uint64 i = 0; i < count; i++)
		list = lappend(list, b24_store_text(i, 1));
	return list;
}

/* All servers that jobs can be enqueued for. */
List *
b24_backlog_known_servers(void)
{
	static B24Statement find = {
		"SELECT s.srvname::text FROM pg_catalog.pg_foreign_server s"
		" JOIN pg_catalog.pg_foreign_data_wrapper w ON s.srvfdw = w.oid"
		" WHERE w.fdwname = ANY ($1)", 1, {"text[]"}
	};
	char	   *wrappers[8];
	int			wrapper_count = 0;
	Datum		value;
	uint64		count;
	List	   *list = NIL;

	for (const B24Provider *const *p = b24_providers; *p != NULL; p++)
		wrappers[wrapper_count++] = unconstify(char *, (*p)->name);
	Assert(wrapper_count <= lengthof(wrappers));
	value = b24_text_array(wrappers, wrapper_count);
	count = b24_store_run(&find, &value, NULL);
	for (uint64 i = 0; i < count; i++)
		list = lappend(list, b24_store_text(i, 1));
	return list;
}

/*
 * When the next job of a server is due, behind a position, which moves on to
 * where all that is due has been looked at; false if there is no job.
 */
bool
b24_backlog_next(const char *server, B24Position *position, TimestampTz *due_at)
{
	static B24Statement next = {
		"SELECT o.next_attempt_at FROM bill24.outbox o WHERE" TO_BE_TAKEN_UP("o", "$1")
		" AND (o.next_attempt_at, o.id) > ($2, $3)" AS_DUE("o") " LIMIT 1",
		3, {"text", "timestamptz", "bigint"}
	};
	Datum		values[3];
	TimestampTz now = GetCurrentTimestamp();
	bool		found;

	values[0] = CStringGetTextDatum(server);
	values[1] = TimestampTzGetDatum(position->at);
	values[2] = Int64GetDatum(position->id);
	found = b24_store_run(&next, values, NULL) > 0;
	*due_at = found ? DatumGetTimestampTz(b24_store_value(0, 1, NULL)) : DT_NOEND;
	if (*due_at > now)
	{
		position->at = Max(position->at, now);
		position->id = 0;
	}
	return found;
}

/*
 * By their places where those are known, since they were locked there; only the
 * last of those that are sent together has to be looked for.
 */
static void
mark_claimed(List *claims, const char *state, bool unknown, int64 lease)
{
#define MARK "UPDATE bill24.outbox SET state = $2, attempts = attempts + 1," \
	" next_attempt_at = NULL, leased_by = $3 WHERE "
	static B24Statement mark = {MARK "ctid = ANY ($1)", 3, {"tid[]", "text", "bigint"}};
	static B24Statement mark_by_id = {MARK "id = ANY ($1)", 3, {"bigint[]", "text", "bigint"}};
	B24Column	places;
	B24Column	ids;
	Datum		values[3];
	ListCell   *cell;
	uint64		marked = 0;

	b24_column_init(&places, TIDOID, list_length(claims));
	b24_column_init(&ids, INT8OID, list_length(claims));
	foreach(cell, claims)
	{
		B24Claim   *claim = lfirst(cell);

		if (claim->unknown != unknown)
			continue;
		if (ItemPointerIsValid(&claim->place))
			b24_column_add(&places, PointerGetDatum(&claim->place));
		else
			b24_column_add(&ids, Int64GetDatum(claim->id));
	}
	values[1] = CStringGetTextDatum(state);
	values[2] = Int64GetDatum(lease);
	if (places.count > 0)
	{
		values[0] = b24_column_array(&places);
		marked += b24_store_run(&mark, values, NULL);
	}
	if (ids.count > 0)
	{
		values[0] = b24_column_array(&ids);
		marked += b24_store_run(&mark_by_id, values, NULL);
	}
	if (marked != places.count + ids.count)
		elog(ERROR, "could not claim all of %d jobs", places.count + ids.count);
}

/*
 * Claims jobs of a server behind a position, the ones that are due longest
 * first, at most limit of them: counts the attempt and writes the lease.  The
 * position moves behind them; jobs that a person has locked are passed over.
 * Fewer than limit may be claimed though there are more, since some have to
 * wait for others.  The claims (of B24Claim) are in the current memory context.
 */
List *
b24_backlog_claim(const char *server, int limit, int64 lease, B24Position *position,
				  bool *more)
{
	static B24Statement find = {
		"SELECT c.id, c.operation, c.key, c.request, c.owner::oid, c.state = 'unknown',"
		" c.attempts, c.account, c.next_attempt_at, c.ctid, ("
		"  SELECT e.id FROM bill24.outbox e WHERE e.server = c.server AND e.account = c.account"
		"  AND e.key = c.key AND e.finished_at IS NULL AND e.id <> c.id"
		"  LIMIT 1) IS NOT NULL"
		" FROM bill24.outbox c WHERE" TO_BE_TAKEN_UP("c", "$1")
		" AND c.next_attempt_at <= $2 AND (c.next_attempt_at, c.id) > ($4, $5)"
		AS_DUE("c") " LIMIT $3 FOR UPDATE OF c SKIP LOCKED",
		5, {"text", "timestamptz", "integer", "timestamptz", "bigint"}
	};
	Datum		values[5];
	TimestampTz now = GetCurrentTimestamp();
	uint64		count;
	List	   *found = NIL;
	List	   *not_alone = NIL;
	List	   *claims = NIL;
	ListCell   *cell;
	int			merged = 0;

	values[0] = CStringGetTextDatum(server);
	values[1] = TimestampTzGetDatum(now);
	values[2] = Int32GetDatum(limit);
	values[3] = TimestampTzGetDatum(position->at);
	values[4] = Int64GetDatum(position->id);
	count = b24_store_run(&find, values, NULL);
	*more = count == limit;
	if (count < limit && position->at < now)
	{
		/* all that is due, but for what somebody has locked */
		position->at = now;
		position->id = 0;
	}
	else if (count > 0)
	{
		position->at = DatumGetTimestampTz(b24_store_value(count - 1, 9, NULL));
		position->id = DatumGetInt64(b24_store_value(count - 1, 1, NULL));
	}
	for (uint64 i = 0; i < count; i++)
	{
		B24Claim   *claim = palloc(sizeof(B24Claim));

		claim->id = claim->head = DatumGetInt64(b24_store_value(i, 1, NULL));
		claim->operation = b24_store_text(i, 2);
		claim->key = b24_store_text(i, 3);
		claim->request = DatumGetJsonbPCopy(b24_store_value(i, 4, NULL));
		claim->owner = DatumGetObjectId(b24_store_value(i, 5, NULL));
		claim->unknown = DatumGetBool(b24_store_value(i, 6, NULL));
		claim->attempt = DatumGetInt32(b24_store_value(i, 7, NULL)) + 1;
		claim->account = DatumGetInt64(b24_store_value(i, 8, NULL));
		claim->place = *(ItemPointer) DatumGetPointer(b24_store_value(i, 10, NULL));
		claim->followed = claim->merged = false;
		found = lappend(found, claim);
		if (DatumGetBool(b24_store_value(i, 11, NULL)))
			not_alone = lappend(not_alone, claim);
	}
	SPI_freetuptable(SPI_tuptable);

	if (not_alone != NIL)
		b24_turns_find(not_alone);
	foreach(cell, found)
	{
		B24Claim   *claim = lfirst(cell);

		if (claim->head != claim->id)
			continue;
		claims = lappend(claims, claim);
		if (claim->merged)
			b24_merge_earlier(claim);
		else if (claim->followed && merged < MAX_MERGE_ALL)
			merged += b24_merge_followers(server, claim);
	}
	mark_claimed(claims, "sending", false, lease);
	mark_claimed(claims, "unknown", true, lease);
	return claims;
}
