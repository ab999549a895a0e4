/*-------------------------------------------------------------------------
 *
 * outcome.c
 *	  What became of jobs is written, and those that waited for them go on.
 *
 * See backlog.c for what holds here.
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
#include "store.h"

/*
 * Jobs have ended; those that were merged into them are done with them, or
 * wait for their own turn again.  Having been tried, they are not merged again.
 */
static void
end_merged(const int64 *ids, const bool *done, int count)
{
	static B24Statement end = {
		"UPDATE bill24.outbox SET state = 'done', finished_at = " CLOCK_NOW ","
		" response = pg_catalog.jsonb_build_object('merged_into', merged_into)"
		" WHERE merged_into = ANY ($1) AND merged_into IS NOT NULL AND state = 'waiting'",
		1, {"bigint[]"}
	};
	static B24Statement split = {
		"UPDATE bill24.outbox SET merged_into = NULL, response = NULL, attempts = attempts + 1"
		" WHERE merged_into = ANY ($1) AND merged_into IS NOT NULL AND state = 'waiting'",
		1, {"bigint[]"}
	};

	/* not joined with the flags: see store.c */
	for (int which = 0; which < 2; which++)
	{
		int64	   *some = palloc(count * sizeof(int64));
		int			some_count = 0;
		Datum		value;

		for (int i = 0; i < count; i++)
		{
			if (done[i] == (which == 0))
				some[some_count++] = ids[i];
		}
		if (some_count == 0)
			continue;
		value = b24_int8_array(some, some_count);
		b24_store_run_latest(which == 0 ? &end : &split, &value);
	}
}

/* The jobs that the last statement found: their numbers are its first column. */
Datum
b24_backlog_found(uint64 count)
{
	int64	   *ids = palloc(Max(count, 1) * sizeof(int64));
	Datum		jobs;

	for (uint64 i = 0; i < count; i++)
		ids[i] = DatumGetInt64(b24_store_value(i, 1, NULL));
	jobs = b24_int8_array(ids, (int) count);
	pfree(ids);
	return jobs;
}

/*
 * Changes those jobs of a list that nobody has locked, or merged into another
 * meanwhile; returns how many.
 */
uint64
b24_backlog_let_go_on(Datum jobs)
{
	static B24Statement go_on = {
		"UPDATE bill24.outbox SET state = 'queued'," AT_ONCE
		" WHERE id = ANY (ARRAY(SELECT o.id FROM bill24.outbox o WHERE o.id = ANY ($1)"
		"  AND o.state = 'waiting' AND pg_catalog.num_nulls(o.merged_into) = 1"
		"  FOR UPDATE SKIP LOCKED))", 1, {"bigint[]"}
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
		" SELECT o.id, o.state FROM bill24.outbox o WHERE" BEHIND("o", "$1", "k.account", "k.key", "0")
		" AND o.finished_at IS NULL AND" BY_ITSELF("o") IN_ORDER("o") " LIMIT 1) h"
		" WHERE h.state = 'waiting' AND ("
		"  SELECT a.id FROM bill24.outbox a WHERE a.server = $1"
		"  AND a.account = k.account AND a.key = k.key"
		"  AND a.state IN ('sending', 'unknown', 'parked') LIMIT 1) IS NULL",
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
	freed = b24_backlog_let_go_on(b24_backlog_found(found));
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
	 * compared in a way for which no index serves: the job is found by its id,
	 * and that by what is not a join for the planner, see store.c.  Whether its
	 * key has others that have not ended is seen as it was before this
	 * statement, which will do: they are marked as waiting by nobody else now.
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
		" WHERE o.id = ANY (ARRAY[r.id]) AND o.leased_by IS NOT DISTINCT FROM $9"
		" RETURNING r.n, o.account, ("
		"  SELECT e.id FROM bill24.outbox e WHERE e.server = o.server AND e.account = o.account"
		"  AND e.key = o.key AND e.finished_at IS NULL AND e.id <> o.id LIMIT 1) IS NOT NULL",
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
	bool	   *alone = palloc0(count * sizeof(bool));
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
	{
		int64		n = DatumGetInt64(b24_store_value(i, 1, NULL)) - 1;

		outcomes[n].account = DatumGetInt64(b24_store_value(i, 2, NULL));
		alone[n] = !DatumGetBool(b24_store_value(i, 3, NULL));
	}

	/*
	 * Mostly there are no others, and nothing is to be done for them.  One
	 * that is split waits itself, for those that were merged into it.
	 */
	for (int i = 0; i < count; i++)
	{
		const B24Outcome *o = &outcomes[i];

		if (o->split || (o->finished && !alone[i]))
		{
			accounts[finished] = o->account;
			ids[finished] = o->id;
			done[finished] = strcmp(o->state, "done") == 0;
			keys[finished++] = unconstify(char *, o->key);
		}
	}
	*skipped = false;
	if (finished > 0)
		end_merged(ids, done, finished);
	if (finished > 0 && free_keys(server, accounts, keys, finished, skipped) > 0)
		due_ms = 0;
	return due_ms;
}
