/*-------------------------------------------------------------------------
 *
 * turn.c
 *	  Which job of a key has its turn, where there are several.
 *
 * This runs while jobs are claimed: see backlog.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "backlog_sql.h"
#include "columns.h"
#include "endpoint.h"
#include "store.h"
#include "turn.h"

static int
compare_ids(const void *a, const void *b)
{
	int64		left = *(const int64 *) a;
	int64		right = *(const int64 *) b;

	return left < right ? -1 : left > right;
}

static int
compare_claims(const ListCell *a, const ListCell *b)
{
	return compare_ids(&((B24Claim *) lfirst(a))->id, &((B24Claim *) lfirst(b))->id);
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
 * Marks jobs as waiting for the one of their key that has its turn.  That one is
 * locked for the moment, lest it ends meanwhile in the hands of a person who
 * does not see that somebody waits.  Where a person has it already, the job is
 * looked at again a second later; one whose outcome is unknown must not be
 * forgotten, and is looked at again now and then.  All are found by their
 * numbers: no condition is one of a partial index, see store.c.
 */
static void
let_wait(List *claims)
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
	int			count = list_length(claims);
	int64	   *heads = palloc(count * sizeof(int64));
	int64	   *wait = palloc(count * sizeof(int64));
	int64	   *later = palloc(count * sizeof(int64));
	int			wait_count = 0;
	int			later_count = 0;
	int			locked;
	Datum		value;
	ListCell   *cell;

	count = 0;
	foreach(cell, claims)
		heads[count++] = ((B24Claim *) lfirst(cell))->head;
	value = b24_int8_array(heads, count);
	locked = (int) b24_store_run(&lock_heads, &value, NULL);
	for (int i = 0; i < locked; i++)
		heads[i] = DatumGetInt64(b24_store_value(i, 1, NULL));
	foreach(cell, claims)
	{
		B24Claim   *claim = lfirst(cell);

		if (bsearch(&claim->head, heads, locked, sizeof(int64), compare_ids) != NULL)
			wait[wait_count++] = claim->id;
		else
			later[later_count++] = claim->id;
	}
	value = b24_int8_array(wait, wait_count);
	if (wait_count > 0 && b24_store_run(&mark, &value, NULL) < wait_count)
		b24_store_run(&delay_unknown, &value, NULL);
	value = b24_int8_array(later, later_count);
	if (later_count > 0)
		b24_store_run(&delay, &value, NULL);
}

/*
 * Of locked jobs whose keys have other unfinished ones: which of their keys has
 * its turn, what follows them, and what is merged into them.  Those that do not
 * have it wait from here on.
 */
void
b24_turns_find(List *claims)
{
	static B24Statement find = {
		"SELECT c.id, COALESCE("
		"  (SELECT a.id FROM bill24.outbox a WHERE" BEHIND("a", "c.server", "c.account", "c.key", "0")
		"   AND a.state IN ('sending', 'unknown', 'parked') AND a.id <> c.id"
		"   AND (c.state = 'queued' OR a.id < c.id OR a.leased_by IS NOT NULL)"
		IN_ORDER("a") " LIMIT 1),"
		"  CASE WHEN c.state = 'unknown' THEN c.id ELSE"
		"   (SELECT h.id FROM bill24.outbox h WHERE" BEHIND("h", "c.server", "c.account", "c.key", "0")
		"    AND h.finished_at IS NULL AND" BY_ITSELF("h") IN_ORDER("h") " LIMIT 1) END),"
		" c.state = 'queued' AND c.attempts = 0 AND c.operation = ANY ($2) AND ("
		"  SELECT f.id FROM bill24.outbox f WHERE" BEHIND("f", "c.server", "c.account", "c.key", "c.id")
		"  AND f.finished_at IS NULL LIMIT 1) IS NOT NULL,"
		" c.operation = ANY ($2) AND ("
		"  SELECT m.id FROM bill24.outbox m WHERE m.merged_into = c.id"
		"  AND m.merged_into IS NOT NULL AND m.state = 'waiting' LIMIT 1) IS NOT NULL"
		" FROM bill24.outbox c WHERE c.id = ANY ($1) ORDER BY c.id + 0",
		2, {"bigint[]", "text[]"}
	};
	List	   *sorted = list_copy(claims);
	List	   *waiting = NIL;
	int64	   *ids = palloc(list_length(claims) * sizeof(int64));
	int			count = 0;
	Datum		values[2];
	ListCell   *cell;

	list_sort(sorted, compare_claims);
	foreach(cell, sorted)
		ids[count++] = ((B24Claim *) lfirst(cell))->id;
	values[0] = b24_int8_array(ids, count);
	values[1] = coalescing_operations();
	if (b24_store_run(&find, values, NULL) != count)
		elog(ERROR, "could not find all of %d jobs", count);
	count = 0;
	foreach(cell, sorted)
	{
		B24Claim   *claim = lfirst(cell);

		claim->head = DatumGetInt64(b24_store_value(count, 2, NULL));
		claim->followed = DatumGetBool(b24_store_value(count, 3, NULL));
		claim->merged = DatumGetBool(b24_store_value(count, 4, NULL));
		if (claim->head != claim->id)
			waiting = lappend(waiting, claim);
		count++;
	}
	if (waiting != NIL)
		let_wait(waiting);
}
