/*-------------------------------------------------------------------------
 *
 * lookgroup.c
 *	  Groups of quiet customers, which are looked at together.
 *
 * A look that finds nothing new changes nothing of its customer: of a whole
 * group of them one row says that they were looked at.  A customer of which
 * there is news leaves its group, and joins the one that is open when it is
 * quiet again.  Only the worker that looks has to do with groups.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"
#include "utils/builtins.h"

#include "columns.h"
#include "lookgroup.h"
#include "store.h"

/* Looks spread over a tenth of the interval before and behind their time. */
TimestampTz
b24_jittered(TimestampTz from, int seconds)
{
	return from + (TimestampTz) (seconds * (0.9 + 0.2 * b24_random()) * USECS_PER_SEC);
}

/* The earliest that b24_jittered may say. */
TimestampTz
b24_jittered_least(TimestampTz from, int seconds)
{
	return from + (TimestampTz) (seconds * 0.9 * USECS_PER_SEC);
}

/* A new group with so many members; it is open while it has room. */
static int64
make_group(const char *server, const B24ServerSettings *settings, int members)
{
	static B24Statement make = {
		"INSERT INTO bill24.look_group (server, is_open, members, next_look_at)"
		" VALUES ($1, $2, $3, $4) RETURNING id",
		4, {"text", "boolean", "integer", "timestamptz"}
	};
	Datum		values[4];

	values[0] = CStringGetTextDatum(server);
	values[1] = BoolGetDatum(members < B24_GROUP_SIZE);
	values[2] = Int32GetDatum(members);
	values[3] = TimestampTzGetDatum(b24_jittered(GetCurrentTimestamp(), settings->max_sync_s));
	b24_store_run(&make, values, NULL);
	return DatumGetInt64(b24_store_value(0, 1, NULL));
}

/* Puts so many into the group that is open; returns for how many it had room. */
static int
fill_open_group(const char *server, const B24ServerSettings *settings, int64 *groups,
				int count)
{
	/* there is one open group a server, and an index of these alone: see store.c */
	static B24Statement find = {
		"SELECT id, members FROM bill24.look_group WHERE server IS NOT DISTINCT FROM $1 AND is_open"
		" FOR UPDATE SKIP LOCKED", 1, {"text"}
	};
	static B24Statement fill = {
		"UPDATE bill24.look_group SET members = $2, is_open = $3,"
		" next_look_at = LEAST(next_look_at, $4) WHERE id = $1",
		4, {"bigint", "integer", "boolean", "timestamptz"}
	};
	Datum		values[4];
	int64		id;
	int			members;
	int			room;

	values[0] = CStringGetTextDatum(server);
	if (b24_store_run(&find, values, NULL) == 0)
		return 0;
	id = DatumGetInt64(b24_store_value(0, 1, NULL));
	members = DatumGetInt32(b24_store_value(0, 2, NULL));
	room = Min(count, B24_GROUP_SIZE - members);
	for (int i = 0; i < room; i++)
		groups[i] = id;
	values[0] = Int64GetDatum(id);
	values[1] = Int32GetDatum(members + room);
	values[2] = BoolGetDatum(members + room < B24_GROUP_SIZE);
	values[3] = TimestampTzGetDatum(b24_jittered(GetCurrentTimestamp(), settings->max_sync_s));
	b24_store_run(&fill, values, NULL);
	return room;
}

/* Groups for so many customers that were just looked at. */
void
b24_group_join(const char *server, const B24ServerSettings *settings,
			   int64 *groups, int count)
{
	int			done = 0;

	while (count - done >= B24_GROUP_SIZE)
	{
		int64		id = make_group(server, settings, B24_GROUP_SIZE);

		for (int i = 0; i < B24_GROUP_SIZE; i++)
			groups[done++] = id;
	}
	if (done < count)
		done += fill_open_group(server, settings, groups + done, count - done);
	if (done < count)
	{
		int64		id = make_group(server, settings, count - done);

		while (done < count)
			groups[done++] = id;
	}
}

/*
 * The groups (of B24DueGroup) that are due, behind a place in their order; at
 * most limit of them.
 */
List *
b24_group_due(const char *server, TimestampTz until, TimestampTz after,
			  int64 after_id, int limit)
{
	static B24Statement find = {
		"SELECT id, next_look_at, looked_at FROM bill24.look_group"
		" WHERE server = $1 AND next_look_at <= $2 AND (next_look_at, id + 0) > ($3, $4)"
		" ORDER BY server, next_look_at, id + 0 LIMIT $5",
		5, {"text", "timestamptz", "timestamptz", "bigint", "integer"}
	};
	Datum		values[5];
	uint64		count;
	List	   *list = NIL;

	values[0] = CStringGetTextDatum(server);
	values[1] = TimestampTzGetDatum(until);
	values[2] = TimestampTzGetDatum(after);
	values[3] = Int64GetDatum(after_id);
	values[4] = Int32GetDatum(limit);
	count = b24_store_run(&find, values, NULL);
	for (uint64 i = 0; i < count; i++)
	{
		B24DueGroup *g = palloc(sizeof(B24DueGroup));
		bool		isnull;

		g->id = DatumGetInt64(b24_store_value(i, 1, NULL));
		g->due_at = DatumGetTimestampTz(b24_store_value(i, 2, NULL));
		g->looked_at = DatumGetTimestampTz(b24_store_value(i, 3, &isnull));
		if (isnull)
			g->looked_at = 0;
		list = lappend(list, g);
	}
	return list;
}

/* Its members (of B24Member); from now on nobody joins it. */
List *
b24_group_members(int64 group)
{
	static B24Statement close = {
		"UPDATE bill24.look_group SET is_open = false WHERE id = $1 AND is_open IS NOT DISTINCT FROM true",
		1, {"bigint"}
	};
	static B24Statement find = {
		"SELECT sync_code, owner::oid, digest FROM bill24.tracked WHERE look_group = $1",
		1, {"bigint"}
	};
	Datum		value = Int64GetDatum(group);
	uint64		count;
	List	   *list = NIL;

	b24_store_run(&close, &value, NULL);
	count = b24_store_run(&find, &value, NULL);
	for (uint64 i = 0; i < count; i++)
	{
		B24Member  *m = palloc(sizeof(B24Member));

		m->sync_code = b24_store_text(i, 1);
		m->owner = DatumGetObjectId(b24_store_value(i, 2, NULL));
		m->digest = DatumGetInt64(b24_store_value(i, 3, NULL));
		list = lappend(list, m);
	}
	return list;
}

/*
 * All members were asked for since looked_at, and answered as before, or have
 * left.  With looked_at 0 that is not so, and only the next look is set, as it
 * is where all should have left and somebody has not.
 */
void
b24_group_write(int64 group, TimestampTz looked_at, int members,
				TimestampTz next_look_at)
{
	static B24Statement write = {
		"UPDATE bill24.look_group SET looked_at = COALESCE($2, looked_at), members = $3,"
		" next_look_at = $4 WHERE id = $1",
		4, {"bigint", "timestamptz", "integer", "timestamptz"}
	};

	/* of a group that is gone, nobody would look at whoever is in it */
	static B24Statement drop = {
		"DELETE FROM bill24.look_group WHERE id = $1 AND NOT EXISTS ("
		"SELECT FROM bill24.tracked WHERE look_group = $1)", 1, {"bigint"}
	};
	char		nulls[] = "    ";
	Datum		values[4];

	values[0] = Int64GetDatum(group);
	values[1] = TimestampTzGetDatum(looked_at);
	nulls[1] = looked_at == 0 ? 'n' : ' ';
	values[2] = Int32GetDatum(members);
	values[3] = TimestampTzGetDatum(next_look_at);
	if (members > 0)
		b24_store_run(&write, values, nulls);
	else if (b24_store_run(&drop, values, nulls) == 0)
	{
		nulls[1] = 'n';
		b24_store_run(&write, values, nulls);
	}
}

/* Too few are left of it: they are looked at alone, until they join another. */
void
b24_group_dissolve(int64 group, TimestampTz next_look_at)
{
	static B24Statement release = {
		"UPDATE bill24.tracked t SET look_group = NULL, next_look_at = $2,"
		" read_at = greatest(t.read_at,"
		"  (SELECT g.looked_at FROM bill24.look_group g WHERE g.id = $1))"
		" WHERE t.look_group = $1", 2, {"bigint", "timestamptz"}
	};
	static B24Statement drop = {
		"DELETE FROM bill24.look_group WHERE id = $1", 1, {"bigint"}
	};
	Datum		values[2];

	values[0] = Int64GetDatum(group);
	values[1] = TimestampTzGetDatum(next_look_at);
	b24_store_run(&release, values, NULL);
	b24_store_run(&drop, values, NULL);
}
