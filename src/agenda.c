/*-------------------------------------------------------------------------
 *
 * agenda.c
 *	  Which customers are to be looked at by themselves, and when.
 *
 * Every statement here is a few steps in an index, however many customers are
 * tracked and however many of them are due.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"
#include "utils/builtins.h"

#include "agenda.h"
#include "store.h"

/*
 * The customers (of B24DueCustomer) that are due, behind a place in their
 * order; at most limit of them.
 */
List *
b24_agenda_due(const char *server, TimestampTz until, TimestampTz after,
			   const char *after_code, int limit)
{
	static B24Statement find = {
		"SELECT sync_code, owner::oid, next_look_at FROM bill24.tracked"
		" WHERE server = $1 AND next_look_at IS NOT NULL AND next_look_at <= $2"
		" AND (next_look_at, sync_code) > ($3, $4)"
		" ORDER BY server, next_look_at, sync_code LIMIT $5",
		5, {"text", "timestamptz", "timestamptz", "text", "integer"}
	};
	Datum		values[5];
	uint64		count;
	List	   *list = NIL;

	values[0] = CStringGetTextDatum(server);
	values[1] = TimestampTzGetDatum(until);
	values[2] = TimestampTzGetDatum(after);
	values[3] = CStringGetTextDatum(after_code);
	values[4] = Int32GetDatum(limit);
	count = b24_store_run(&find, values, NULL);
	for (uint64 i = 0; i < count; i++)
	{
		B24DueCustomer *c = palloc(sizeof(B24DueCustomer));

		c->sync_code = b24_store_text(i, 1);
		c->owner = DatumGetObjectId(b24_store_value(i, 2, NULL));
		c->due_at = DatumGetTimestampTz(b24_store_value(i, 3, NULL));
		list = lappend(list, c);
	}
	return list;
}

/* When the next customer or group is due after a time; DT_NOEND if none is. */
TimestampTz
b24_agenda_next(const char *server, TimestampTz after)
{
	static B24Statement customer = {
		"SELECT next_look_at FROM bill24.tracked"
		" WHERE server = $1 AND next_look_at IS NOT NULL AND next_look_at > $2"
		" ORDER BY server, next_look_at, sync_code LIMIT 1", 2, {"text", "timestamptz"}
	};
	static B24Statement group = {
		"SELECT next_look_at FROM bill24.look_group WHERE server = $1 AND next_look_at > $2"
		" ORDER BY server, next_look_at, id + 0 LIMIT 1", 2, {"text", "timestamptz"}
	};
	TimestampTz next = DT_NOEND;
	Datum		values[2];

	values[0] = CStringGetTextDatum(server);
	values[1] = TimestampTzGetDatum(after);
	if (b24_store_run(&customer, values, NULL) > 0)
		next = DatumGetTimestampTz(b24_store_value(0, 1, NULL));
	if (b24_store_run(&group, values, NULL) > 0)
		next = Min(next, DatumGetTimestampTz(b24_store_value(0, 1, NULL)));
	return next;
}

/*
 * Looks are to be so many seconds apart at most: those that are planned for
 * later come sooner, spread over that time.  Mostly there are none.  False if some
 * were passed over, since somebody has them locked.
 */
bool
b24_agenda_shorten(const char *server, int seconds)
{
	static B24Statement customers = {
		"UPDATE bill24.tracked t SET next_look_at = l.next_look_at FROM ("
		"  SELECT ctid, pg_catalog.clock_timestamp() + pg_catalog.random() * $3 * '1 second'::interval"
		"   AS next_look_at FROM bill24.tracked"
		"  WHERE server = $1 AND next_look_at IS NOT NULL AND next_look_at > $2"
		"  ORDER BY server, next_look_at, sync_code FOR UPDATE SKIP LOCKED) l WHERE t.ctid = l.ctid",
		3, {"text", "timestamptz", "integer"}
	};
	static B24Statement groups = {
		"UPDATE bill24.look_group SET next_look_at ="
		"  pg_catalog.clock_timestamp() + pg_catalog.random() * $3 * '1 second'::interval"
		" WHERE server = $1 AND next_look_at > $2",
		3, {"text", "timestamptz", "integer"}
	};
	static B24Statement left = {
		"SELECT FROM bill24.tracked"
		" WHERE server = $1 AND next_look_at IS NOT NULL AND next_look_at > $2"
		" ORDER BY server, next_look_at, sync_code LIMIT 1", 2, {"text", "timestamptz"}
	};
	Datum		values[3];

	values[0] = CStringGetTextDatum(server);

	/* no look is planned for later than this: see b24_jittered */
	values[1] = TimestampTzGetDatum(GetCurrentTimestamp() +
									(TimestampTz) (1.1 * seconds * USECS_PER_SEC));
	values[2] = Int32GetDatum(seconds);
	b24_store_run(&customers, values, NULL);
	b24_store_run(&groups, values, NULL);
	return b24_store_run(&left, values, NULL) == 0;
}

/* Tells people how many customers a second are being read. */
void
b24_agenda_note_rate(const char *server, double per_second)
{
	static B24Statement note = {
		"INSERT INTO bill24.look_rate AS r (server, noted_at, per_second)"
		" VALUES ($1, pg_catalog.clock_timestamp(), $2) ON CONFLICT (server)"
		" DO UPDATE SET noted_at = excluded.noted_at, per_second = excluded.per_second",
		2, {"text", "double precision"}
	};
	Datum		values[2];

	values[0] = CStringGetTextDatum(server);
	values[1] = Float8GetDatum(per_second);
	b24_store_run(&note, values, NULL);
}
