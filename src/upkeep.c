/*-------------------------------------------------------------------------
 *
 * upkeep.c
 *	  Jobs of which nothing tells that there is something to do, or that
 *	  nobody needs any more.
 *
 * See backlog.c for what holds here.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "compat.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "apart.h"
#include "backlog.h"
#include "backlog_sql.h"
#include "columns.h"
#include "lease.h"
#include "provider.h"
#include "store.h"

/* So many jobs are rescheduled at once. */
#define MAX_RESCHEDULE 10000

/* A statement, and how many rows it had. */
typedef struct Run
{
	B24Statement *statement;
	Datum	   *values;
	uint64		count;
} Run;

static void
run(void *argument)
{
	Run		   *r = argument;

	r->count = b24_store_run(r->statement, r->values, NULL);
}

/*
 * Runs a statement so that an error undoes no more than the statement itself;
 * false if there was one, of which the log is told.  *count is how many rows it
 * had.
 */
static bool
run_apart(B24Statement *statement, Datum *values, uint64 *count)
{
	Run			r = {statement, values, 0};
	ErrorData  *error = b24_apart(run, &r);

	*count = r.count;
	if (error == NULL)
		return true;
	error->elevel = LOG;
	ThrowErrorData(error);
	return false;
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
		" WHERE m.state = 'waiting' AND m.merged_into IS NOT NULL AND" BY_ITSELF("m")
	};
	static B24Statement unmerge = {
		"UPDATE bill24.outbox SET merged_into = NULL"
		" WHERE id = ANY (ARRAY(SELECT m.id FROM bill24.outbox m WHERE m.id = ANY ($1)"
		"  AND m.state = 'waiting' FOR UPDATE SKIP LOCKED))", 1, {"bigint[]"}
	};
	static B24Statement find_free = {
		"WITH RECURSIVE w AS ("
		" (SELECT o.server, o.account, o.key, o.id FROM bill24.outbox o"
		"  WHERE o.state = 'waiting' AND o.merged_into IS NULL" IN_ORDER("o") " LIMIT 1)"
		" UNION ALL"
		" SELECT n.server, n.account, n.key, n.id FROM w, LATERAL ("
		"  SELECT o.server, o.account, o.key, o.id FROM bill24.outbox o"
		"  WHERE o.state = 'waiting' AND o.merged_into IS NULL"
		"  AND (o.account, o.key, o.server) > (w.account, w.key, w.server)" IN_ORDER("o") " LIMIT 1) n)"
		" SELECT w.id FROM w, LATERAL (SELECT u.id FROM bill24.outbox u"
		"  WHERE" BEHIND("u", "w.server", "w.account", "w.key", "0")
		"  AND u.finished_at IS NULL AND" BY_ITSELF("u") IN_ORDER("u") " LIMIT 1) h"
		" WHERE h.id = w.id AND ("
		"  SELECT a.id FROM bill24.outbox a WHERE a.server = w.server"
		"  AND a.account = w.account AND a.key = w.key"
		"  AND a.state IN ('sending', 'unknown', 'parked') LIMIT 1) IS NULL"
	};
	bool		all = true;
	uint64		found;
	Datum		jobs;

	found = b24_store_run(&find_merged, NULL, NULL);
	if (found > 0)
	{
		jobs = b24_backlog_found(found);
		all = b24_store_run_latest(&unmerge, &jobs) == found;
	}
	found = b24_store_run(&find_free, NULL, NULL);
	if (found > 0)
		all = b24_backlog_let_go_on(b24_backlog_found(found)) == found && all;
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
		"SELECT o.id FROM bill24.outbox o WHERE" TO_BE_TAKEN_UP("o", "$1")
		" AND o.next_attempt_at > $2 AND o.next_attempt_at < 'infinity'"
		" AND COALESCE(o.scheduled_at, o.created_at) > $2" AS_DUE("o") " LIMIT $3",
		3, {"text", "timestamptz", "integer"}
	};
	static B24Statement begin_anew = {
		"UPDATE bill24.outbox o SET"
		AFTER("GREATEST(o.next_attempt_at - COALESCE(o.scheduled_at, o.created_at), '0')")
		" WHERE id = ANY (ARRAY(SELECT u.id FROM bill24.outbox u WHERE u.id = ANY ($1)"
		"  AND pg_catalog.num_nulls(u.next_attempt_at) = 0 FOR UPDATE SKIP LOCKED))", 1, {"bigint[]"}
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
	jobs = b24_backlog_found(found);
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
