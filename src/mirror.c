/*-------------------------------------------------------------------------
 *
 * mirror.c
 *	  What looks at customers have found, and when to look again.
 *
 * A customer's row in bill24.tracked is locked before anything of it is
 * written; rows that somebody else has locked are passed over, so that nobody
 * waits for anybody here.  An answer to what was asked before the answer that
 * is there changes nothing.
 *
 * What is committed by now counts, also in a person's transaction that is old
 * and has one snapshot for all of its statements.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "compat.h"
#include "storage/itemptr.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "columns.h"
#include "copies.h"
#include "lookgroup.h"
#include "mirror.h"
#include "report.h"
#include "store.h"
#include "tracked.h"
#include "verdict.h"

/* What does not pass soon is not tried again sooner than this. */
#define PATIENCE_MS (60 * 1000)

/* News makes the interval so many times shorter, quiet twice as long. */
#define SHORTER 4

/* A row of bill24.tracked, as it was and as it will be. */
typedef struct Row
{
	const B24Look *look;
	ItemPointerData place;
	TimestampTz read_at;		/* also with its group; 0 if never */
	bool		was_read;		/* there are copies */
	bool		has_copy;		/* restored, as its copy was by somebody, too */
	TimestampTz wanted_at;		/* 0 if nobody did */
	TimestampTz again_at;		/* 0 if not */
	TimestampTz next_look_at;	/* 0 if in a group */
	int64		group;			/* 0 if in none */
	bool		has_digest;
	int64		digest;
	int			interval_s;		/* 0 if not yet known */
	int			failures;
	bool		news;			/* the copies are to be written */
	bool		joins;			/* it goes into a group */
	const char *sqlstate;
	const char *error;
} Row;

static TimestampTz
time_or_0(uint64 row, int column)
{
	bool		isnull;
	Datum		value = b24_store_value(row, column, &isnull);

	return isnull ? 0 : DatumGetTimestampTz(value);
}

static int
compare_codes(const void *a, const void *b)
{
	return strcmp((*(const B24Look *const *) a)->sync_code,
				  (*(const B24Look *const *) b)->sync_code);
}

/*
 * Is a row that is looked at with the account of that role not the customer
 * that this look was about?  It may have been forgotten by one merchant and be
 * another's meanwhile.
 */
static bool
is_of_another(const char *server, const B24Look *look, Oid owner)
{
	if (look->owner == owner)
		return false;
	return !look->has_account ||
		b24_tracked_is_of_another(server, owner, look->owner, look->account);
}

/*
 * Locks the rows of these looks, which are sorted by code so that two who do
 * this meet in order.  Returns how many rows are to be written, untracked and
 * locked ones and those of another merchant left out; *found is how many there
 * were with the latter.
 */
static int
lock_rows(const char *server, const B24Look **looks, int count, Row *rows, int *found)
{
	static B24Statement lock = {
		"SELECT k.n, t.ctid, GREATEST(t.read_at,"
		"  (SELECT g.looked_at FROM bill24.look_group g WHERE g.id = t.look_group)),"
		" t.wanted_at, t.again_at, t.next_look_at, t.look_group, t.digest, t.look_interval,"
		" t.failures, " B24_IS_RESTORED ", t.owner::oid,"
		" COALESCE(CASE WHEN " B24_IS_RESTORED " THEN (SELECT true FROM bill24.customer_copy c"
		"  WHERE c.sync_code = t.sync_code AND c.server = $1 LIMIT 1) END, false)"
		" FROM unnest($2, $3) AS k(n, code), LATERAL ("
		"  SELECT u.ctid, u.* FROM bill24.tracked u"
		"  WHERE u.sync_code = k.code AND u.server = $1 FOR UPDATE SKIP LOCKED) t",
		3, {"text", "integer[]", "text[]"}
	};
	B24Column	columns[2];
	Datum		values[3];
	int			kept = 0;

	b24_column_init(&columns[0], INT4OID, count);
	b24_column_init(&columns[1], TEXTOID, count);
	for (int i = 0; i < count; i++)
	{
		b24_column_add(&columns[0], Int32GetDatum(i));
		b24_column_add_text(&columns[1], looks[i]->sync_code);
	}
	values[0] = CStringGetTextDatum(server);
	values[1] = b24_column_array(&columns[0]);
	values[2] = b24_column_array(&columns[1]);
	*found = (int) b24_store_run_latest(&lock, values);
	for (int i = 0; i < *found; i++)
	{
		Row		   *row = &rows[kept];
		bool		isnull;

		memset(row, 0, sizeof(*row));
		row->look = looks[DatumGetInt32(b24_store_value(i, 1, NULL))];
		if (is_of_another(server, row->look, DatumGetObjectId(b24_store_value(i, 12, NULL))))
			continue;

		/* two merchants ask for what is nobody's: the first one has it */
		if (kept > 0 && strcmp(rows[kept - 1].look->sync_code, row->look->sync_code) == 0)
			continue;
		kept++;
		row->place = *(ItemPointer) DatumGetPointer(b24_store_value(i, 2, NULL));
		row->read_at = time_or_0(i, 3);
		row->was_read = row->read_at != 0;
		row->wanted_at = time_or_0(i, 4);
		row->again_at = time_or_0(i, 5);
		row->next_look_at = time_or_0(i, 6);
		row->group = DatumGetInt64(b24_store_value(i, 7, &isnull));
		if (isnull)
			row->group = 0;
		row->digest = DatumGetInt64(b24_store_value(i, 8, &isnull));
		row->has_digest = !isnull;
		row->interval_s = DatumGetInt32(b24_store_value(i, 9, &isnull));
		if (isnull)
			row->interval_s = 0;
		row->failures = DatumGetInt32(b24_store_value(i, 10, NULL));
		row->has_copy = DatumGetBool(b24_store_value(i, 13, NULL));

		/* what it says is of another mirror */
		if (DatumGetBool(b24_store_value(i, 11, NULL)))
		{
			row->read_at = 0;
			row->was_read = false;
			row->has_digest = false;
			row->interval_s = 0;
		}
	}
	return kept;
}

/* How many of these are tracked, locked or not. */
static int
count_tracked(const char *server, const B24Look **looks, int count)
{
	static B24Statement find = {
		"SELECT FROM unnest($2) AS k(code), LATERAL ("
		"  SELECT FROM bill24.tracked u WHERE u.sync_code = k.code AND u.server = $1 OFFSET 0) t",
		2, {"text", "text[]"}
	};
	B24Column	codes;
	Datum		values[2];

	b24_column_init(&codes, TEXTOID, count);
	for (int i = 0; i < count; i++)
		b24_column_add_text(&codes, looks[i]->sync_code);
	values[0] = CStringGetTextDatum(server);
	values[1] = b24_column_array(&codes);
	return (int) b24_store_run_latest(&find, values);
}

/* When to look again at what was read. */
static void
schedule(Row *row, const B24ServerSettings *settings, bool may_group, TimestampTz now)
{
	TimestampTz asked_at = row->look->asked_at;
	bool		was_in_group = row->group != 0;
	int			interval_s = Min(row->interval_s, settings->max_sync_s);

	if (interval_s == 0)
		interval_s = settings->max_sync_s;
	else if (row->news)
		interval_s = Max(settings->min_sync_s, interval_s / SHORTER);
	else
		interval_s = (int) Min((int64) interval_s * 2, settings->max_sync_s);
	row->interval_s = interval_s;

	/* somebody asked for a look after this one had begun: that is still due */
	if (row->wanted_at > asked_at && row->wanted_at <= now && row->next_look_at != 0)
		return;
	row->group = 0;
	if (row->again_at > asked_at)
	{
		row->next_look_at = Min(Max(row->again_at, now),
								b24_jittered(now, row->interval_s));
		return;
	}
	row->again_at = 0;
	row->joins = may_group && row->look->keep == NULL &&
		row->interval_s >= settings->max_sync_s;
	row->next_look_at = row->joins ? 0 : b24_jittered(now, row->interval_s);

	/*
	 * If its group is just being looked at, an answer that came after this one
	 * may say again what was known before: then nothing is written of it, nor
	 * is it known to be later, since a group has one time for all.
	 */
	if (!may_group && was_in_group && row->news)
		row->next_look_at = now;
}

static void
fail(Row *row, const B24ServerSettings *settings, const char *sqlstate,
	 const char *error, TimestampTz now)
{
	const B24Look *look = row->look;
	long		delay_ms;

	/* the time of its group holds for it no longer, but up to here it did */
	if (row->group != 0 && row->group == look->group)
		row->read_at = Max(row->read_at, look->group_looked_at);
	row->group = 0;
	row->failures = Min(row->failures + 1, 1000000);
	row->sqlstate = sqlstate;
	row->error = error;

	/* somebody asked for a look after this one had begun: that is still due */
	if (row->wanted_at > look->asked_at && row->wanted_at <= now && row->next_look_at != 0)
		return;
	delay_ms = b24_backoff_ms(row->failures, settings->retry_delay_ms, -1, b24_random()) +
		settings->retry_delay_ms;
	if (look->patient)
		delay_ms = Max(delay_ms, PATIENCE_MS);
	delay_ms = Min(delay_ms, settings->max_sync_s * 1000L);
	row->next_look_at = now + delay_ms * INT64CONST(1000);
}

/* Do the copies have a wallet of this customer that is there? */
static bool
has_wallets(const char *server, const char *sync_code)
{
	static B24Statement find = {
		"SELECT FROM bill24.wallet_copy WHERE sync_code = $1 AND server = $2"
		" AND deleted_at IS NULL LIMIT 1", 2, {"text", "text"}
	};
	Datum		values[2];

	values[0] = CStringGetTextDatum(sync_code);
	values[1] = CStringGetTextDatum(server);
	return b24_store_run_latest(&find, values) > 0;
}

/* What a look changes; false if nothing. */
static bool
apply(const char *server, Row *row, const B24ServerSettings *settings, bool may_group,
	  TimestampTz now)
{
	const B24Look *look = row->look;
	bool		gone = look->outcome == B24_LOOK_GONE;
	int64		digest = gone ? B24_DIGEST_GONE : look->customer.digest;

	/* a time to come is of a clock that was set back since */
	if (row->read_at >= look->asked_at && row->read_at <= now)
		return false;
	if (look->outcome == B24_LOOK_FAILED)
	{
		fail(row, settings, look->sqlstate, look->error, now);
		return true;
	}

	/* what is kept was told of a customer that was there, be it not by a look */
	if (gone && !row->was_read && look->keep == NULL)
	{
		fail(row, settings, b24_status_info(B24_NOT_FOUND)->sqlstate,
			 "the provider does not know this customer", now);
		return true;
	}

	/* what does not tell of wallets must not make old balances new */
	if (!gone && look->keep == NULL && !look->customer.tells_wallets && row->was_read &&
		has_wallets(server, look->sync_code))
	{
		fail(row, settings, b24_status_info(B24_NONSENSE)->sqlstate,
			 "could not read the answer: it does not tell of wallets", now);
		return true;
	}
	row->news = !row->has_digest || row->digest != digest;
	schedule(row, settings, may_group, now);
	row->read_at = look->asked_at;
	row->failures = 0;
	return true;
}

static void
write_copies(const char *server, Row *const *rows, int count, bool sure, B24News *news)
{
	const B24Look **looks = palloc(Max(count, 1) * sizeof(B24Look *));
	bool	   *known = palloc(Max(count, 1) * sizeof(bool));
	int			n = 0;

	for (int i = 0; i < count; i++)
	{
		if (rows[i]->look->keep != NULL && rows[i]->failures == 0)
			rows[i]->look->keep(rows[i]->look);
		if (!rows[i]->news || rows[i]->look->keep != NULL)
			continue;
		looks[n] = rows[i]->look;
		known[n++] = rows[i]->was_read || rows[i]->has_copy;
	}
	if (n > 0)
		b24_copies_write(server, looks, known, n, sure, news);
}

static void
join_groups(const char *server, const B24ServerSettings *settings, Row *const *rows,
			int count)
{
	int64	   *groups = palloc(Max(count, 1) * sizeof(int64));
	int			n = 0;

	for (int i = 0; i < count; i++)
		n += rows[i]->joins;
	if (n > 0)
		b24_group_join(server, settings, groups, n);
	for (int i = count; i-- > 0;)
	{
		if (rows[i]->joins)
			rows[i]->group = groups[--n];
	}
}

static void
add_time(B24Column *column, TimestampTz at)
{
	if (at == 0)
		b24_column_add_null(column);
	else
		b24_column_add(column, TimestampTzGetDatum(at));
}

static void
write_rows(Row *const *rows, int count, TimestampTz now)
{
	static B24Statement write = {
		"UPDATE bill24.tracked t SET next_look_at = r.b, look_group = r.c, again_at = r.d,"
		" look_interval = r.e, read_at = r.f, digest = r.g, failures = r.h, failed_at = r.i,"
		" sqlstate = r.j, error = r.k, remote_id = COALESCE(r.l, t.remote_id),"
		" mirror_id = " B24_MIRROR_ID
		" FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
		"  AS r(a, b, c, d, e, f, g, h, i, j, k, l) WHERE t.ctid = r.a",
		12, {"tid[]", "timestamptz[]", "bigint[]", "timestamptz[]", "integer[]",
			"timestamptz[]", "bigint[]", "integer[]", "timestamptz[]", "text[]", "text[]",
		"text[]"}
	};
	static const Oid types[] = {
		TIDOID, TIMESTAMPTZOID, INT8OID, TIMESTAMPTZOID, INT4OID, TIMESTAMPTZOID, INT8OID,
		INT4OID, TIMESTAMPTZOID, TEXTOID, TEXTOID, TEXTOID
	};
	B24Column	c[lengthof(types)];
	Datum		values[lengthof(types)];

	for (int i = 0; i < lengthof(types); i++)
		b24_column_init(&c[i], types[i], count);
	for (int i = 0; i < count; i++)
	{
		Row		   *row = rows[i];
		B24LookOutcome outcome = row->failures > 0 ? B24_LOOK_FAILED : row->look->outcome;

		b24_column_add(&c[0], PointerGetDatum(&row->place));
		add_time(&c[1], row->next_look_at);
		if (row->group != 0)
			b24_column_add(&c[2], Int64GetDatum(row->group));
		else
			b24_column_add_null(&c[2]);
		add_time(&c[3], row->again_at);
		if (row->interval_s != 0)
			b24_column_add(&c[4], Int32GetDatum(row->interval_s));
		else
			b24_column_add_null(&c[4]);
		add_time(&c[5], row->read_at);
		if (outcome == B24_LOOK_READ)
			b24_column_add(&c[6], Int64GetDatum(row->look->customer.digest));
		else if (outcome == B24_LOOK_GONE)
			b24_column_add(&c[6], Int64GetDatum(B24_DIGEST_GONE));
		else if (row->has_digest)
			b24_column_add(&c[6], Int64GetDatum(row->digest));
		else
			b24_column_add_null(&c[6]);
		b24_column_add(&c[7], Int32GetDatum(row->failures));
		add_time(&c[8], row->failures > 0 ? now : 0);
		b24_column_add_text(&c[9], row->sqlstate);
		b24_column_add_text(&c[10], row->error);
		b24_column_add_text(&c[11], outcome == B24_LOOK_READ ?
							row->look->customer.remote_id : NULL);
	}
	for (int i = 0; i < lengthof(types); i++)
		values[i] = b24_column_array(&c[i]);
	b24_store_run_latest(&write, values);
}

/* With may_group, quiet ones go into groups. */
static void
write_looks(const char *server, const B24ServerSettings *settings, const B24Look *looks,
			int count, bool may_group, B24News *news, B24Written *written)
{
	const B24Look **sorted = palloc(Max(count, 1) * sizeof(B24Look *));
	Row		   *rows = palloc(Max(count, 1) * sizeof(Row));
	Row		  **changed = palloc(Max(count, 1) * sizeof(Row *));
	TimestampTz now;
	int			changed_count = 0;
	int			locked;
	int			found;

	written->next_look_at = DT_NOEND;
	written->skipped = 0;
	if (count == 0)
		return;
	for (int i = 0; i < count; i++)
		sorted[i] = &looks[i];
	qsort(sorted, count, sizeof(B24Look *), compare_codes);
	locked = lock_rows(server, sorted, count, rows, &found);

	/* not before: what others have written until then is not of the future */
	now = GetCurrentTimestamp();
	if (found < count)
		written->skipped = count_tracked(server, sorted, count) - found;
	for (int i = 0; i < locked; i++)
	{
		if (apply(server, &rows[i], settings, may_group, now))
			changed[changed_count++] = &rows[i];
		if (rows[i].next_look_at != 0)
			written->next_look_at = Min(written->next_look_at, rows[i].next_look_at);
		else if (rows[i].joins)
			written->next_look_at = Min(written->next_look_at,
										b24_jittered_least(now, settings->max_sync_s));
	}
	if (changed_count == 0)
		return;
	join_groups(server, settings, changed, changed_count);

	/*
	 * Where nothing was read there is nothing in the way of what is new, which
	 * is then written without looking for it.  If there is all the same, that
	 * is an error, after which looks are written one by one, and with care.
	 */
	write_copies(server, changed, changed_count, may_group && count > 1, news);
	write_rows(changed, changed_count, now);
}

/*
 * Writes what the worker's looks at customers of one server have found, each
 * customer once, and tells of changes.  Those that are not tracked, or by now
 * are another merchant's, are left alone.  Between b24_store_open and b24_store_close.
 */
void
b24_mirror_write(const char *server, const B24ServerSettings *settings,
				 const B24Look *looks, int count, B24Written *written)
{
	B24News		news = {.context = CurrentMemoryContext};

	write_looks(server, settings, looks, count, true, &news, written);
	b24_copies_tell(server, &news);
}

/* The same for what calls have found; the changes are added to the news. */
void
b24_mirror_write_calls(const char *server, const B24ServerSettings *settings,
					   const B24Look *looks, int count, B24News *news)
{
	B24Written	ignored;

	write_looks(server, settings, looks, count, false, news, &ignored);
}
