/*-------------------------------------------------------------------------
 *
 * merge.c
 *	  Updates of a key that wait for one another, sent as one.
 *
 * This runs while jobs are claimed: see backlog.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"
#include "utils/builtins.h"

#include "backlog_sql.h"
#include "columns.h"
#include "merge.h"
#include "store.h"

/* So many updates of a key become one at a time. */
#define MAX_MERGE 100

/*
 * The jobs behind this one that can be sent in one with it: those of the same
 * operation and owner that follow at once.  The last of them is sent with the
 * values of all, the later over the earlier.  The others wait for it, and are
 * done with it; if it is refused, each has its turn by itself, as it may have
 * been for a value of another.  Returns how many those are.
 */
int
b24_merge_followers(const char *server, B24Claim *claim)
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
	claim->id = claim->head = ids[count - 1];
	ItemPointerSetInvalid(&claim->place);
	claim->request = DatumGetJsonbP(merged);
	claim->merged = true;
	return count - 1;
}

/* Puts the values of those that were merged into a job before below its own. */
void
b24_merge_earlier(B24Claim *claim)
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
