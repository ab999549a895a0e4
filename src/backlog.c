/*-------------------------------------------------------------------------
 *
 * backlog.c
 *	  The jobs of the outbox as the delivery sees them: claims and results.
 *
 * All of this runs between b24_store_open and b24_store_close, and what claims
 * jobs or writes results also under b24_lease_exclude_others: then it is
 * enough to look which job of a key has its turn.  That is the one that is
 * being sent, unknown or parked, if there is such a one, or else the first that
 * is unfinished.  (They may differ: a job's number is taken when it is
 * enqueued, and a later number may be committed, and sent, earlier.)
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

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "compat.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/resowner.h"

#include "backlog.h"
#include "columns.h"
#include "endpoint.h"
#include "lease.h"
#include "provider.h"
#include "store.h"

#define CLOCK_NOW "pg_catalog.clock_timestamp()"

/* Has a job taken up after a delay. */
#define AFTER(delay) " next_attempt_at = " CLOCK_NOW " + " delay ", scheduled_at = " CLOCK_NOW
#define AT_ONCE " next_attempt_at = " CLOCK_NOW ", scheduled_at = " CLOCK_NOW

/* So many jobs are rescheduled at once. */
#define MAX_RESCHEDULE 10000

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
 * forgotten, and is looked at again now and then.
 */
static void
let_wait(const int64 *ids, const int64 *heads, int count)
{
	static B24Statement lock_heads = {
		"SELECT id FROM bill24.outbox WHERE id = ANY ($1) AND finished_at IS NULL ORDER BY id"
		" FOR UPDATE SKIP LOCKED", 1, {"bigint[]"}
	};
	static B24Statement mark = {
		"UPDATE bill24.outbox SET state = 'waiting', next_attempt_at = NULL"
		" WHERE id = ANY ($1) AND state = 'queued'", 1, {"bigint[]"}
	};
	static B24Statement delay_unknown = {
		"UPDATE bill24.outbox SET" AFTER("'1 minute'")
		" WHERE id = ANY ($1) AND state = 'unknown'", 1, {"bigint[]"}
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
		"SELECT id, operation, owner::oid, attempts, request, merged_into IS NOT NULL OR EXISTS ("
		"  SELECT FROM bill24.outbox m WHERE m.merged_into = o.id"
		"  AND m.merged_into IS NOT NULL AND m.state = 'waiting') FROM bill24.outbox o"
		" WHERE server = $1 AND account = $5 AND key = $2 AND finished_at IS NULL AND id > $3"
		" ORDER BY id LIMIT $4", 5, {"text", "text", "bigint", "integer", "bigint"}
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
		" AND merged_into IS NOT NULL AND state = 'waiting' ORDER BY id", 1, {"bigint"}
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

static void
mark_claimed(List *claims, const char *state, bool unknown, int64 lease)
{
	static B24Statement mark = {
		"UPDATE bill24.outbox SET state = $2, attempts = attempts + 1,"
		" next_attempt_at = NULL, leased_by = $3 WHERE id = ANY ($1)",
		3, {"bigint[]", "text", "bigint"}
	};
	int64	   *ids = palloc(Max(list_length(claims), 1) * sizeof(int64));
	Datum		values[3];
	ListCell   *cell;
	int			count = 0;

	foreach(cell, claims)
	{
		B24Claim   *claim = lfirst(cell);

		if (claim->unknown == unknown)
			ids[count++] = claim->id;
	}
	if (count == 0)
		return;
	values[0] = b24_int8_array(ids, count);
	values[1] = CStringGetTextDatum(state);
	values[2] = Int64GetDatum(lease);
	if (b24_store_run(&mark, values, NULL) != count)
		elog(ERROR, "could not claim all of %d jobs", count);
}

static const char *
coalescing_operations(void)
{
	StringInfoData list;

	initStringInfo(&list);
	appendStringInfoChar(&list, '{');
	for (int i = 0; i < B24_EP_COUNT; i++)
	{
		if (b24_endpoints[i].coalesces)
			appendStringInfo(&list, "%s%s", list.len > 1 ? "," : "",
							 b24_endpoints[i].name);
	}
	appendStringInfoChar(&list, '}');
	return list.data;
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
		"  ORDER BY e.server, e.account, e.key, e.id LIMIT 1) IS NULL THEN c.id ELSE COALESCE("
		"  (SELECT a.id FROM bill24.outbox a WHERE a.server = c.server"
		"   AND a.account = c.account AND a.key = c.key"
		"   AND a.state IN ('sending', 'unknown', 'parked') AND a.id <> c.id"
		"   AND (c.state = 'queued' OR a.id < c.id OR a.leased_by IS NOT NULL)"
		"   ORDER BY a.server, a.account, a.key, a.id LIMIT 1),"
		"  CASE WHEN c.state = 'unknown' THEN c.id ELSE"
		"   (SELECT h.id FROM bill24.outbox h WHERE h.server = c.server"
		"    AND h.account = c.account AND h.key = c.key"
		"    AND h.finished_at IS NULL AND h.merged_into IS NULL ORDER BY h.server, h.account, h.key, h.id LIMIT 1) END) END,"
		" c.state = 'queued' AND c.attempts = 0 AND c.operation = ANY ($4) AND EXISTS ("
		"  SELECT FROM bill24.outbox f WHERE f.server = c.server"
		"  AND f.account = c.account AND f.key = c.key"
		"  AND f.finished_at IS NULL AND f.id > c.id), c.next_attempt_at, c.account,"
		" c.operation = ANY ($4) AND ("
		"  SELECT m.id FROM bill24.outbox m WHERE m.merged_into = c.id"
		"  AND m.merged_into IS NOT NULL AND m.state = 'waiting' LIMIT 1) IS NOT NULL"
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
	values[3] = OidFunctionCall3(F_ARRAY_IN, CStringGetDatum(coalescing_operations()),
								 ObjectIdGetDatum(TEXTOID), Int32GetDatum(-1));
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

/*
 * Of jobs that have ended, those whose key has others that have not: puts them
 * first, and returns how many they are.  Mostly there are none, and nothing is
 * to be done for them.
 */
static int
keep_those_with_others(const char *server, int64 *ids, bool *done, int64 *accounts,
					   char **keys, int count)
{
	static B24Statement find = {
		"SELECT k.n FROM unnest($2, $3, $4) AS k(n, account, key), LATERAL ("
		" SELECT FROM bill24.outbox o WHERE o.server = $1 AND o.account = k.account"
		" AND o.key = k.key AND o.finished_at IS NULL"
		" ORDER BY o.server, o.account, o.key, o.id LIMIT 1) h",
		4, {"text", "bigint[]", "bigint[]", "text[]"}
	};
	int64	   *numbers = palloc(count * sizeof(int64));
	Datum		values[4];
	int			found;

	for (int i = 0; i < count; i++)
		numbers[i] = i;
	values[0] = CStringGetTextDatum(server);
	values[1] = b24_int8_array(numbers, count);
	values[2] = b24_int8_array(accounts, count);
	values[3] = b24_text_array(keys, count);
	found = (int) b24_store_run_latest(&find, values);
	for (int i = 0; i < found; i++)
	{
		/* in the order of the arrays, as unnest() gives them */
		int64		n = DatumGetInt64(b24_store_value(i, 1, NULL));

		ids[i] = ids[n];
		done[i] = done[n];
		accounts[i] = accounts[n];
		keys[i] = keys[n];
	}
	return found;
}

/*
 * Jobs have ended; those that were merged into them are done with them, or
 * wait for their own turn again.  Having been tried, they are not merged again.
 */
static void
end_merged(const int64 *ids, const bool *done, int count)
{
	static B24Statement end = {
		"UPDATE bill24.outbox m SET state = CASE WHEN r.done THEN 'done' ELSE 'waiting' END,"
		" finished_at = CASE WHEN r.done THEN pg_catalog.clock_timestamp() END,"
		" response = CASE WHEN r.done THEN pg_catalog.jsonb_build_object('merged_into', r.id) END,"
		" merged_into = CASE WHEN r.done THEN r.id END,"
		" attempts = m.attempts + CASE WHEN r.done THEN 0 ELSE 1 END"
		" FROM unnest($1, $2) AS r(id, done)"
		" WHERE m.merged_into = r.id AND m.merged_into IS NOT NULL AND m.state = 'waiting'",
		2, {"bigint[]", "boolean[]"}
	};
	B24Column	flags;
	Datum		values[2];

	b24_column_init(&flags, BOOLOID, count);
	for (int i = 0; i < count; i++)
		b24_column_add(&flags, BoolGetDatum(done[i]));
	values[0] = b24_int8_array(ids, count);
	values[1] = b24_column_array(&flags);
	b24_store_run_latest(&end, values);
}

/* The jobs that the last statement found: their numbers are its first column. */
static Datum
found_jobs(uint64 count)
{
	int64	   *ids = palloc(Max(count, 1) * sizeof(int64));
	Datum		jobs;

	for (uint64 i = 0; i < count; i++)
		ids[i] = DatumGetInt64(b24_store_value(i, 1, NULL));
	jobs = b24_int8_array(ids, (int) count);
	pfree(ids);
	return jobs;
}

/* Changes those jobs of a list that nobody has locked; returns how many. */
static uint64
let_go_on(Datum jobs)
{
	static B24Statement go_on = {
		"UPDATE bill24.outbox SET state = 'queued'," AT_ONCE
		" WHERE id = ANY (ARRAY(SELECT o.id FROM bill24.outbox o WHERE o.id = ANY ($1)"
		"  AND o.state = 'waiting' FOR UPDATE SKIP LOCKED))", 1, {"bigint[]"}
	};

	return b24_store_run_latest(&go_on, &jobs);
}

/*
 * Lets the next job of each of these keys go on, if it waits: the one before
 * it has ended.  Returns how many do; *skipped tells that a person has one.
 */
static uint64
free_keys(const char *server, const int64 *accounts, char *const *keys, int count,
		  bool *skipped)
{
	static B24Statement find = {
		"SELECT h.id FROM unnest($2, $3) AS k(account, key), LATERAL ("
		" SELECT o.id, o.state FROM bill24.outbox o WHERE o.server = $1"
		" AND o.account = k.account AND o.key = k.key"
		" AND o.finished_at IS NULL AND o.merged_into IS NULL"
		" ORDER BY o.server, o.account, o.key, o.id LIMIT 1) h"
		" WHERE h.state = 'waiting' AND NOT EXISTS ("
		"  SELECT FROM bill24.outbox a WHERE a.server = $1"
		"  AND a.account = k.account AND a.key = k.key"
		"  AND a.state IN ('sending', 'unknown', 'parked'))",
		3, {"text", "bigint[]", "text[]"}
	};
	Datum		values[3];
	uint64		found;
	uint64		freed;

	values[0] = CStringGetTextDatum(server);
	values[1] = b24_int8_array(accounts, count);
	values[2] = b24_text_array(keys, count);
	found = b24_store_run_latest(&find, values);
	*skipped = false;
	if (found == 0)
		return 0;
	freed = let_go_on(found_jobs(found));
	*skipped = freed < found;
	return freed;
}

/* A job was ended by hand: what depends on it goes on. */
void
b24_backlog_ended(const char *server, int64 account, const char *key, int64 id,
				  bool done)
{
	char	   *copy = unconstify(char *, key);
	bool		ignored;		/* all is looked over when this transaction ends */

	end_merged(&id, &done, 1);
	free_keys(server, &account, &copy, 1, &ignored);
}

/*
 * Writes outcomes of jobs of one server that this process has the lease of.
 * Returns in how many milliseconds the first of the jobs that are due again,
 * or due now that another has ended, will be so; -1 if there is none.
 * *skipped tells that a person has one that could go on.  An outcome's account
 * becomes the one that the job has by now.
 */
long
b24_backlog_write(const char *server, B24Outcome *outcomes, int count,
				  int64 lease, bool *skipped)
{
	/*
	 * unnest() of several arrays is syntax, and takes no schema.  The lease is
	 * compared in a way for which no index serves: the job is found by its id.
	 */
	static B24Statement write = {
		"UPDATE bill24.outbox o SET state = r.state, leased_by = NULL,"
		" attempts = o.attempts - r.unsent,"
		" next_attempt_at = " CLOCK_NOW " + r.delay_ms * '1 millisecond'::interval,"
		" scheduled_at = CASE WHEN r.delay_ms IS NOT NULL THEN " CLOCK_NOW " END,"
		" finished_at = CASE WHEN r.finished THEN " CLOCK_NOW " END,"
		" response = r.response, sqlstate = r.sqlstate, error = r.error"
		" FROM unnest($1, $2, $3, $4, $5, $6, $7, $8)"
		"  WITH ORDINALITY AS r(id, state, finished, unsent, delay_ms, response, sqlstate, error, n)"
		" WHERE o.id = r.id AND o.leased_by IS NOT DISTINCT FROM $9 RETURNING r.n, o.account",
		9, {"bigint[]", "text[]", "boolean[]", "integer[]", "double precision[]", "jsonb[]",
		"text[]", "text[]", "bigint"}
	};
	static const Oid types[] = {
		INT8OID, TEXTOID, BOOLOID, INT4OID, FLOAT8OID, JSONBOID, TEXTOID, TEXTOID
	};
	Datum		values[lengthof(types) + 1];
	B24Column	columns[lengthof(types)];
	char	  **keys = palloc(count * sizeof(char *));
	int64	   *accounts = palloc(count * sizeof(int64));
	int64	   *ids = palloc(count * sizeof(int64));
	bool	   *done = palloc(count * sizeof(bool));
	uint64		written;
	int			finished = 0;
	long		due_ms = -1;

	for (int c = 0; c < lengthof(types); c++)
		b24_column_init(&columns[c], types[c], count);
	for (int i = 0; i < count; i++)
	{
		const B24Outcome *o = &outcomes[i];

		b24_column_add(&columns[0], Int64GetDatum(o->id));
		b24_column_add_text(&columns[1], o->state);
		b24_column_add(&columns[2], BoolGetDatum(o->finished));
		b24_column_add(&columns[3], Int32GetDatum(o->unsent ? 1 : 0));
		if (o->finished || o->split || strcmp(o->state, "parked") == 0)
			b24_column_add_null(&columns[4]);
		else
		{
			b24_column_add(&columns[4], Float8GetDatum((double) o->delay_ms));
			if (due_ms < 0 || o->delay_ms < due_ms)
				due_ms = o->delay_ms;
		}
		if (o->response == (Datum) 0)
			b24_column_add_null(&columns[5]);
		else
			b24_column_add(&columns[5], o->response);
		b24_column_add_text(&columns[6], o->sqlstate);
		b24_column_add_text(&columns[7], o->error);
	}
	for (int c = 0; c < lengthof(types); c++)
		values[c] = b24_column_array(&columns[c]);
	values[lengthof(types)] = Int64GetDatum(lease);
	written = b24_store_run(&write, values, NULL);

	/* it may have followed its user mapping to another since it was claimed */
	for (uint64 i = 0; i < written; i++)
		outcomes[DatumGetInt64(b24_store_value(i, 1, NULL)) - 1].account =
			DatumGetInt64(b24_store_value(i, 2, NULL));
	for (int i = 0; i < count; i++)
	{
		const B24Outcome *o = &outcomes[i];

		if (o->finished || o->split)
		{
			accounts[finished] = o->account;
			ids[finished] = o->id;
			done[finished] = strcmp(o->state, "done") == 0;
			keys[finished++] = unconstify(char *, o->key);
		}
	}
	*skipped = false;
	if (finished > 0)
		finished = keep_those_with_others(server, ids, done, accounts, keys, finished);
	if (finished > 0)
		end_merged(ids, done, finished);
	if (finished > 0 && free_keys(server, accounts, keys, finished, skipped) > 0)
		due_ms = 0;
	return due_ms;
}

/*
 * Runs a statement so that an error undoes no more than the statement itself;
 * false if there was one, of which the log is told.  *count is how many rows it
 * had.
 */
static bool
run_apart(B24Statement *statement, Datum *values, uint64 *count)
{
	MemoryContext old = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool ok = true;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(old);
	PG_TRY();
	{
		*count = b24_store_run(statement, values, NULL);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(old);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(old);
		if (error->sqlerrcode == ERRCODE_QUERY_CANCELED)
			ReThrowError(error);
		error->elevel = LOG;
		ThrowErrorData(error);
		ok = false;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	CurrentResourceOwner = owner;
	return ok;
}

/*
 * Jobs whose process is gone: whether they were sent, and what came of that,
 * has to be found out, a moment later, since the provider may still be busy
 * with them.  One that cannot be changed holds up no other.  False if there are
 * such.
 */
bool
b24_backlog_recover(int64 mine)
{
	static B24Statement find = {
		"SELECT leased_by, pg_catalog.array_agg(id) FROM bill24.outbox"
		" WHERE state IN ('sending', 'unknown', 'parked') AND leased_by IS NOT NULL"
		" AND leased_by <> $1 GROUP BY leased_by", 1, {"bigint"}
	};
	static B24Statement recover = {
		"UPDATE bill24.outbox SET state = 'unknown', leased_by = NULL,"
		AFTER("'1 second'") ", sqlstate = $3, error = $4"
		" WHERE id = ANY (ARRAY(SELECT o.id FROM bill24.outbox o"
		"  WHERE o.id = ANY ($2) AND o.leased_by = $1 FOR UPDATE SKIP LOCKED))",
		4, {"bigint", "bigint[]", "text", "text"}
	};
	Datum		value = Int64GetDatum(mine);
	int			count = (int) b24_store_run(&find, &value, NULL);
	Datum	   *leases = palloc(Max(count, 1) * sizeof(Datum));
	Datum	   *jobs = palloc(Max(count, 1) * sizeof(Datum));
	bool		all = true;

	for (int i = 0; i < count; i++)
	{
		leases[i] = b24_store_value(i, 1, NULL);
		jobs[i] = PointerGetDatum(DatumGetArrayTypePCopy(b24_store_value(i, 2, NULL)));
	}
	for (int i = 0; i < count; i++)
	{
		Datum		values[4];
		Datum	   *ids;
		int			id_count;
		uint64		recovered = 0;

		if (!b24_lease_is_over(DatumGetInt64(leases[i])))
			continue;
		values[0] = leases[i];
		values[1] = jobs[i];
		values[2] = CStringGetTextDatum(b24_status_info(B24_NO_ANSWER)->sqlstate);
		values[3] = CStringGetTextDatum("the process that had it is gone, the outcome is unknown");
		deconstruct_array(DatumGetArrayTypeP(jobs[i]), INT8OID, sizeof(int64),
						  FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &ids, NULL, &id_count);
		if (run_apart(&recover, values, &recovered))
		{
			all = all && recovered == id_count;
			continue;
		}
		for (int n = 0; n < id_count; n++)
		{
			int64		id = DatumGetInt64(ids[n]);

			values[1] = b24_int8_array(&id, 1);
			all = run_apart(&recover, values, &recovered) && recovered == 1 && all;
		}
	}
	return all;
}

/*
 * Lets go on all jobs that wait for nothing: what they waited for may have
 * ended in the hands of two persons at once, or have been deleted.  One step
 * in the index for each key that has waiting jobs.  False if some were passed
 * over, since a person has them.
 */
bool
b24_backlog_unblock(void)
{
	static B24Statement find_merged = {
		"SELECT m.id FROM bill24.outbox m"
		" WHERE m.state = 'waiting' AND m.merged_into IS NOT NULL AND NOT EXISTS ("
		"  SELECT FROM bill24.outbox n WHERE n.id = m.merged_into AND n.finished_at IS NULL)"
	};
	static B24Statement unmerge = {
		"UPDATE bill24.outbox SET merged_into = NULL"
		" WHERE id = ANY (ARRAY(SELECT m.id FROM bill24.outbox m WHERE m.id = ANY ($1)"
		"  AND m.state = 'waiting' FOR UPDATE SKIP LOCKED))", 1, {"bigint[]"}
	};
	static B24Statement find_free = {
		"WITH RECURSIVE w AS ("
		" (SELECT server, account, key, id FROM bill24.outbox"
		"  WHERE state = 'waiting' AND merged_into IS NULL"
		"  ORDER BY server, account, key, id LIMIT 1)"
		" UNION ALL"
		" SELECT n.server, n.account, n.key, n.id FROM w, LATERAL ("
		"  SELECT o.server, o.account, o.key, o.id FROM bill24.outbox o"
		"  WHERE o.state = 'waiting' AND o.merged_into IS NULL AND (o.server, o.account, o.key) > (w.server, w.account, w.key)"
		"  ORDER BY o.server, o.account, o.key, o.id LIMIT 1) n)"
		" SELECT w.id FROM w, LATERAL (SELECT u.id FROM bill24.outbox u"
		"  WHERE u.server = w.server AND u.account = w.account AND u.key = w.key"
		"  AND u.finished_at IS NULL AND u.merged_into IS NULL"
		"  ORDER BY u.server, u.account, u.key, u.id LIMIT 1) h"
		" WHERE h.id = w.id AND NOT EXISTS ("
		"  SELECT FROM bill24.outbox a WHERE a.server = w.server"
		"  AND a.account = w.account AND a.key = w.key"
		"  AND a.state IN ('sending', 'unknown', 'parked'))"
	};
	bool		all = true;
	uint64		found;
	Datum		jobs;

	found = b24_store_run(&find_merged, NULL, NULL);
	if (found > 0)
	{
		jobs = found_jobs(found);
		all = b24_store_run_latest(&unmerge, &jobs) == found;
	}
	found = b24_store_run(&find_free, NULL, NULL);
	if (found > 0)
		all = let_go_on(found_jobs(found)) == found && all;
	return all;
}

/*
 * Jobs whose time was set by a clock that was set back since would wait for it
 * to come there again: they begin their delay anew.  At most some are done at
 * once; sets more if there are others.  False if a person has some.
 */
bool
b24_backlog_reschedule(const char *server, bool *more)
{
	static B24Statement find = {
		"SELECT id FROM bill24.outbox WHERE server = $1"
		" AND next_attempt_at > $2 AND next_attempt_at < 'infinity'"
		" AND COALESCE(scheduled_at, created_at) > $2"
		" ORDER BY server, next_attempt_at, id LIMIT $3",
		3, {"text", "timestamptz", "integer"}
	};
	static B24Statement begin_anew = {
		"UPDATE bill24.outbox o SET"
		AFTER("GREATEST(o.next_attempt_at - COALESCE(o.scheduled_at, o.created_at), '0')")
		" WHERE id = ANY (ARRAY(SELECT u.id FROM bill24.outbox u WHERE u.id = ANY ($1)"
		"  AND u.next_attempt_at IS NOT NULL FOR UPDATE SKIP LOCKED))", 1, {"bigint[]"}
	};
	Datum		values[3];
	uint64		found;
	uint64		done;
	Datum		jobs;

	values[0] = CStringGetTextDatum(server);
	values[1] = TimestampTzGetDatum(GetCurrentTimestamp());
	values[2] = Int32GetDatum(MAX_RESCHEDULE);
	found = b24_store_run(&find, values, NULL);
	if (found == 0)
		return true;
	jobs = found_jobs(found);
	done = b24_store_run_latest(&begin_anew, &jobs);
	if (found == MAX_RESCHEDULE && done > 0)
		*more = true;
	return done == found;
}

/*
 * Deletes finished jobs of a server that are older than the retention, at most
 * limit of them.  Returns how many.
 */
int
b24_backlog_prune(const char *server, int retention_s, int limit)
{
	static B24Statement prune = {
		"DELETE FROM bill24.outbox WHERE id = ANY (ARRAY("
		" SELECT o.id FROM bill24.outbox o WHERE o.server = $1 AND o.finished_at IS NOT NULL"
		" AND o.finished_at < pg_catalog.clock_timestamp() - $2 * '1 second'::interval"
		" ORDER BY o.server, o.finished_at LIMIT $3 FOR UPDATE SKIP LOCKED))", 3, {"text", "double precision", "integer"}
	};
	Datum		values[3];

	values[0] = CStringGetTextDatum(server);
	values[1] = Float8GetDatum(retention_s);
	values[2] = Int32GetDatum(limit);
	return (int) b24_store_run(&prune, values, NULL);
}
