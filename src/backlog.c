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
#include "provider.h"
#include "store.h"

/* So many updates of a key become one at a time, and so many of all keys. */
#define MAX_MERGE 100
#define MAX_MERGE_ALL 1000

/*
 * The servers that have unfinished jobs: one step in the index for each of
 * them.
 */
List *
b24_backlog_servers(void)
{
	static B24Statement find = {
		"WITH RECURSIVE s AS ("
		" (SELECT server FROM bill24.outbox WHERE finished_at IS NULL"
		"  ORDER BY server, account, key, id LIMIT 1)"
		" UNION ALL"
		" SELECT n.server FROM s, LATERAL ("
		"  SELECT o.server FROM bill24.outbox o"
		"  WHERE o.finished_at IS NULL AND o.server > s.server"
		"  ORDER BY o.server, o.account, o.key, o.id LIMIT 1) n)"
		" SELECT server FROM s"
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
		"SELECT next_attempt_at FROM bill24.outbox"
		" WHERE server = $1 AND next_attempt_at IS NOT NULL"
		" AND (next_attempt_at, id) > ($2, $3)"
		" ORDER BY server, next_attempt_at, id LIMIT 1",
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
 * Marks jobs as waiting for the one of their key that has its turn.  That one is
 * locked for the moment, lest it ends meanwhile in the hands of a person who
 * does not see that somebody waits.  Where a person has it already, the job is
 * looked at again a second later; one whose outcome is unknown must not be
 * forgotten, and is looked at again now and then.  All are found by their
 * numbers: no condition is one of a partial index, see store.c.
 */
static void
let_wait(const int64 *ids, const int64 *heads, int count)
{
	static B24Statement lock_heads = {
		"SELECT id FROM bill24.outbox WHERE id = ANY ($1)"
		" AND pg_catalog.num_nulls(finished_at) = 1 ORDER BY id"
		" FOR UPDATE SKIP LOCKED", 1, {"bigint[]"}
	};
	static B24Statement mark = {
		"UPDATE bill24.outbox SET state = 'waiting', next_attempt_at = NULL"
		" WHERE id = ANY ($1) AND state = 'queued'", 1, {"bigint[]"}
	};
	static B24Statement delay_unknown = {
		"UPDATE bill24.outbox SET" AFTER("'1 minute'")
		" WHERE id = ANY ($1) AND state IS NOT DISTINCT FROM 'unknown'", 1, {"bigint[]"}
	};
	static B24Statement delay = {
		"UPDATE bill24.outbox SET" AFTER("'1 second'")
		" WHERE id = ANY ($1)", 1, {"bigint[]"}
	};
	Datum		value = b24_int8_array(heads, count);
	int			locked = (int) b24_store_run(&lock_heads, &value, NULL);
	int64	   *free_heads = palloc(Max(locked, 1) * sizeof(int64));
	int64	   *wait = palloc(count * sizeof(int64));
	int64	   *later = palloc(count * sizeof(int64));
	int			wait_count = 0;
	int			later_count = 0;

	for (int i = 0; i < locked; i++)
		free_heads[i] = DatumGetInt64(b24_store_value(i, 1, NULL));
	for (int i = 0; i < count; i++)
	{
		int			low = 0;
		int			high = locked;

		while (low < high)
		{
			int			middle = (low + high) / 2;

			if (free_heads[middle] < heads[i])
				low = middle + 1;
			else
				high = middle;
		}
		if (low < locked && free_heads[low] == heads[i])
			wait[wait_count++] = ids[i];
		else
			later[later_count++] = ids[i];
	}
	value = b24_int8_array(wait, wait_count);
	if (wait_count > 0 && b24_store_run(&mark, &value, NULL) < wait_count)
		b24_store_run(&delay_unknown, &value, NULL);
	value = b24_int8_array(later, later_count);
	if (later_count > 0)
		b24_store_run(&delay, &value, NULL);
}

/*
 * The jobs behind this one that can be sent in one with it: those of the same
 * operation and owner that follow at once.  The last of them is sent with the
 * values of all, the later over the earlier.  The others wait for it, and are
 * done with it; if it is refused, each has its turn by itself, as it may have
 * been for a value of another.  Returns how many those are.
 */
static int
coalesce(const char *server, B24Claim *claim)
{
	static B24Statement find = {
		"SELECT id, operation, owner::oid, attempts, request, merged_into IS NOT NULL OR ("
		"  SELECT m.id FROM bill24.outbox m WHERE m.merged_into = o.id"
		"  AND m.merged_into IS NOT NULL AND m.state = 'waiting' LIMIT 1) IS NOT NULL"
		" FROM bill24.outbox o WHERE" BEHIND("o", "$1", "$5", "$2", "$3")
		" AND o.finished_at IS NULL" IN_ORDER("o") " LIMIT $4",
		5, {"text", "text", "bigint", "integer", "bigint"}
	};
	static B24Statement lock = {
		"SELECT id FROM bill24.outbox WHERE id = ANY ($1)"
		" AND state IN ('waiting', 'queued') ORDER BY id"
		" FOR UPDATE SKIP LOCKED", 1, {"bigint[]"}
	};
	static B24Statement merge = {
		"UPDATE bill24.outbox SET state = 'waiting', next_attempt_at = NULL, merged_into = $2"
		" WHERE id = ANY ($1)", 2, {"bigint[]", "bigint"}
	};
	Datum		values[5];
	int64		ids[MAX_MERGE + 1];
	Datum		requests[MAX_MERGE + 1];
	Datum		merged = JsonbPGetDatum(claim->request);
	int			found;
	int			locked;
	int			count = 1;

	if (!JB_ROOT_IS_OBJECT(claim->request))
		return 0;
	values[0] = CStringGetTextDatum(server);
	values[1] = CStringGetTextDatum(claim->key);
	values[2] = Int64GetDatum(claim->id);
	values[3] = Int32GetDatum(MAX_MERGE);
	values[4] = Int64GetDatum(claim->account);
	found = (int) b24_store_run(&find, values, NULL);
	ids[0] = claim->id;
	for (int i = 0; i < found; i++)
	{
		char	   *operation = b24_store_text(i, 2);
		Jsonb	   *request = DatumGetJsonbPCopy(b24_store_value(i, 5, NULL));

		if (!JB_ROOT_IS_OBJECT(request) || strcmp(operation, claim->operation) != 0 ||
			DatumGetObjectId(b24_store_value(i, 3, NULL)) != claim->owner ||
			DatumGetInt32(b24_store_value(i, 4, NULL)) != 0 ||
			DatumGetBool(b24_store_value(i, 6, NULL)))
			break;
		ids[count] = DatumGetInt64(b24_store_value(i, 1, NULL));
		requests[count++] = JsonbPGetDatum(request);
	}

	/* one that a person has at the moment ends the row */
	if (count == 1)
		return 0;
	values[0] = b24_int8_array(ids + 1, count - 1);
	locked = (int) b24_store_run(&lock, values, NULL);
	found = 1;
	while (found < count && found <= locked &&
		   ids[found] == DatumGetInt64(b24_store_value(found - 1, 1, NULL)))
		found++;
	count = found;
	if (count == 1)
		return 0;

	for (int i = 1; i < count; i++)
	{
		Jsonb	   *before = DatumGetJsonbP(merged);

		merged = DirectFunctionCall2(jsonb_concat, merged, requests[i]);
		if (before != DatumGetJsonbP(merged))
			pfree(before);
		if (requests[i] != merged)
			pfree(DatumGetPointer(requests[i]));
	}
	values[0] = b24_int8_array(ids, count - 1);
	values[1] = Int64GetDatum(ids[count - 1]);
	b24_store_run(&merge, values, NULL);
	claim->id = ids[count - 1];
	ItemPointerSetInvalid(&claim->place);
	claim->request = DatumGetJsonbP(merged);
	claim->merged = true;
	return count - 1;
}

/* Puts the values of those that were merged into a job before below its own. */
static void
add_merged(B24Claim *claim)
{
	static B24Statement find = {
		"SELECT request FROM bill24.outbox WHERE merged_into = $1"
		" AND merged_into IS NOT NULL AND state = 'waiting' ORDER BY id + 0", 1, {"bigint"}
	};
	Datum		value = Int64GetDatum(claim->id);
	int			count = (int) b24_store_run(&find, &value, NULL);
	Datum		merged = (Datum) 0;

	for (int i = 0; i <= count; i++)
	{
		Datum		request = i == count ? JsonbPGetDatum(claim->request) :
			b24_store_value(i, 1, NULL);

		merged = i == 0 ? request : DirectFunctionCall2(jsonb_concat, merged, request);
	}
	claim->request = DatumGetJsonbPCopy(merged);
	claim->merged = count > 0;
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

/* The names of those of whose jobs several can be sent as one, as an array. */
static Datum
coalescing_operations(void)
{
	char	   *names[B24_EP_COUNT];
	int			count = 0;

	for (int i = 0; i < B24_EP_COUNT; i++)
	{
		if (b24_endpoints[i].coalesces)
			names[count++] = unconstify(char *, b24_endpoints[i].name);
	}
	return b24_text_array(names, count);
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
		"SELECT c.id, c.operation, c.key, c.request, c.owner::oid,"
		" c.state = 'unknown', c.attempts,"
		" CASE WHEN ("
		"  SELECT e.id FROM bill24.outbox e WHERE e.server = c.server AND e.account = c.account"
		"  AND e.key = c.key AND e.finished_at IS NULL AND e.id <> c.id"
		"  LIMIT 1) IS NULL THEN c.id ELSE COALESCE("
		"  (SELECT a.id FROM bill24.outbox a WHERE" BEHIND("a", "c.server", "c.account", "c.key", "0")
		"   AND a.state IN ('sending', 'unknown', 'parked') AND a.id <> c.id"
		"   AND (c.state = 'queued' OR a.id < c.id OR a.leased_by IS NOT NULL)"
		IN_ORDER("a") " LIMIT 1),"
		"  CASE WHEN c.state = 'unknown' THEN c.id ELSE"
		"   (SELECT h.id FROM bill24.outbox h WHERE" BEHIND("h", "c.server", "c.account", "c.key", "0")
		"    AND h.finished_at IS NULL AND h.merged_into IS NULL" IN_ORDER("h") " LIMIT 1) END) END,"
		" c.state = 'queued' AND c.attempts = 0 AND c.operation = ANY ($4) AND ("
		"  SELECT f.id FROM bill24.outbox f WHERE" BEHIND("f", "c.server", "c.account", "c.key", "c.id")
		"  AND f.finished_at IS NULL LIMIT 1) IS NOT NULL, c.next_attempt_at, c.account,"
		" c.operation = ANY ($4) AND ("
		"  SELECT m.id FROM bill24.outbox m WHERE m.merged_into = c.id"
		"  AND m.merged_into IS NOT NULL AND m.state = 'waiting' LIMIT 1) IS NOT NULL, c.ctid"
		" FROM bill24.outbox c WHERE c.server = $1 AND c.next_attempt_at <= $2"
		" AND c.next_attempt_at IS NOT NULL AND (c.next_attempt_at, c.id) > ($5, $6)"
		" ORDER BY c.server, c.next_attempt_at, c.id LIMIT $3 FOR UPDATE OF c SKIP LOCKED",
		6, {"text", "timestamptz", "integer", "text[]", "timestamptz", "bigint"}
	};
	Datum		values[6];
	TimestampTz now = GetCurrentTimestamp();
	uint64		count;
	List	   *claims = NIL;
	List	   *followed = NIL;
	ListCell   *cell;
	int64	   *waiting;
	int64	   *heads;
	int			wait_count = 0;
	int			merged = 0;

	values[0] = CStringGetTextDatum(server);
	values[1] = TimestampTzGetDatum(now);
	values[2] = Int32GetDatum(limit);
	values[3] = coalescing_operations();
	values[4] = TimestampTzGetDatum(position->at);
	values[5] = Int64GetDatum(position->id);
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
		position->at = DatumGetTimestampTz(b24_store_value(count - 1, 10, NULL));
		position->id = DatumGetInt64(b24_store_value(count - 1, 1, NULL));
	}
	waiting = palloc(Max(count, 1) * sizeof(int64));
	heads = palloc(Max(count, 1) * sizeof(int64));
	for (uint64 i = 0; i < count; i++)
	{
		int64		id = DatumGetInt64(b24_store_value(i, 1, NULL));
		int64		head = DatumGetInt64(b24_store_value(i, 8, NULL));
		B24Claim   *claim;

		if (id != head)
		{
			waiting[wait_count] = id;
			heads[wait_count++] = head;
			continue;
		}
		claim = palloc(sizeof(B24Claim));
		claim->id = id;
		claim->place = *(ItemPointer) DatumGetPointer(b24_store_value(i, 13, NULL));
		claim->account = DatumGetInt64(b24_store_value(i, 11, NULL));
		claim->operation = b24_store_text(i, 2);
		claim->key = b24_store_text(i, 3);
		claim->request = DatumGetJsonbPCopy(b24_store_value(i, 4, NULL));
		claim->owner = DatumGetObjectId(b24_store_value(i, 5, NULL));
		claim->unknown = DatumGetBool(b24_store_value(i, 6, NULL));
		claim->attempt = DatumGetInt32(b24_store_value(i, 7, NULL)) + 1;
		claim->merged = DatumGetBool(b24_store_value(i, 12, NULL));
		claims = lappend(claims, claim);
		if (DatumGetBool(b24_store_value(i, 9, NULL)) && !claim->merged)
			followed = lappend(followed, claim);
	}
	SPI_freetuptable(SPI_tuptable);

	if (wait_count > 0)
		let_wait(waiting, heads, wait_count);
	foreach(cell, claims)
	{
		if (((B24Claim *) lfirst(cell))->merged)
			add_merged(lfirst(cell));
	}
	foreach(cell, followed)
	{
		if (merged < MAX_MERGE_ALL)
			merged += coalesce(server, lfirst(cell));
	}
	mark_claimed(claims, "sending", false, lease);
	mark_claimed(claims, "unknown", true, lease);
	return claims;
}
