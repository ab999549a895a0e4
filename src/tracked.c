/*-------------------------------------------------------------------------
 *
 * tracked.c
 *	  Which customers are mirrored, and that they are to be looked at.
 *
 * All of this runs between b24_store_open and b24_store_close.  Each statement
 * is for many customers, in the order of their codes: who locks rows in one
 * order never waits for one that waits for him.  What calls and deliveries
 * tell waits for nobody who has a row locked, since that may be a person's
 * transaction; such rows are left out, and the caller learns which.
 *
 * Two merchants on one server may have the same sync_code for different
 * customers.  Of those the mirror has the first: whatever is told or asked for
 * with another merchant's account is not about it, and changes nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "compat.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "columns.h"
#include "store.h"
#include "text.h"
#include "tracked.h"

/*
 * A row of tracked, t, is to be looked at, since that time.  The time of its
 * group does not hold for it any more.
 */
#define WANT(since) \
	" next_look_at = pg_catalog.clock_timestamp()," \
	" wanted_at = GREATEST(t.wanted_at, " since ")," \
	" read_at = CASE WHEN t.look_group IS NULL THEN t.read_at ELSE GREATEST(t.read_at," \
	"  (SELECT g.looked_at FROM bill24.look_group g WHERE g.id = t.look_group)) END," \
	" look_group = NULL"

#define CLOCK_NOW "pg_catalog.clock_timestamp()"

/*
 * Is a customer that is tracked for that role another merchant's than this
 * account's, which is or was that of owner?  A merchant with a new token since
 * is still the same.  Whose role has no account any more is anybody's; whose
 * account cannot be read now is not.
 */
bool
b24_tracked_is_of_another(const char *server, Oid tracked_for, Oid owner, int64 account)
{
	const B24Account *first;
	const B24Account *now;
	B24Problem	problem;

	if (tracked_for == owner)
		return false;
	first = b24_account_of(server, tracked_for, &problem);
	if (first == NULL)
		return problem.status != B24_NO_ROLE && problem.status != B24_NO_MAPPING &&
			problem.status != B24_NO_USAGE;
	if (first->number == account)
		return false;
	now = b24_account_of(server, owner, &problem);
	return now == NULL || now->number != first->number;
}

/* ---- what is told ---- */

/* A member as text of the database; NULL if it is none, or cannot be one. */
static char *
text_of(const B24Json *object, const char *name)
{
	size_t		length = 0;
	const char *text = b24_json_string(b24_json_get(object, name), &length);

	if (text == NULL || strlen(text) != length)
		return NULL;
	return b24_text_try_from_utf8(text, length);
}

/*
 * What the success of an operation tells, in the current memory context;
 * false if it is nothing.  The result may be NULL.
 */
bool
b24_told(const B24Endpoint *endpoint, const B24Json *arguments,
		 const B24Json *result, const B24Account *account, TimestampTz at,
		 B24Told *told)
{
	B24Tells	tells = endpoint->tells;

	if (tells == B24_TELLS_NOTHING)
		return false;
	memset(told, 0, sizeof(*told));
	told->sync_code = text_of(arguments, endpoint->key != NULL ? endpoint->key : "sync_code");
	if (told->sync_code == NULL || told->sync_code[0] == '\0')
		return false;
	told->owner = account->userid;
	told->account = account->number;
	told->registers = tells != B24_TELLS_GONE;
	told->wants = tells != B24_TELLS_READ;
	told->changed_at = told->wants ? at : DT_NOBEGIN;
	told->settled_at = tells == B24_TELLS_SETTLED ? at : DT_NOBEGIN;
	told->creates = tells == B24_TELLS_CREATED;
	told->sent_at = DT_NOBEGIN;
	if (tells == B24_TELLS_CREATED || tells == B24_TELLS_UPDATED)
	{
		told->name = text_of(arguments, "name");
		told->phone = text_of(arguments, "phone");
		told->email = text_of(arguments, "email");
		if (told->name != NULL || told->phone != NULL || told->email != NULL)
			told->sent_at = at;
		told->remote_id = text_of(result, "id");
		if (told->remote_id != NULL && told->remote_id[0] == '\0')
			told->remote_id = NULL;
	}
	return true;
}

/* Adds what was told later of the same customer; its texts are taken over. */
void
b24_told_merge(B24Told *told, const B24Told *later)
{
	told->owner = later->owner;
	told->account = later->account;
	told->registers = told->registers || later->registers;
	told->wants = told->wants || later->wants;
	told->changed_at = Max(told->changed_at, later->changed_at);
	told->settled_at = Max(told->settled_at, later->settled_at);
	told->creates = told->creates || later->creates;
	told->sent_at = Max(told->sent_at, later->sent_at);
	if (later->name != NULL || later->creates)
		told->name = later->name;
	if (later->phone != NULL || later->creates)
		told->phone = later->phone;
	if (later->email != NULL || later->creates)
		told->email = later->email;
	if (later->remote_id != NULL || later->creates)
		told->remote_id = later->remote_id;
}

/* Is it about the same customer, of the same merchant? */
static bool
is_of_same(const B24Told *a, const B24Told *b)
{
	return a->account == b->account && strcmp(a->sync_code, b->sync_code) == 0;
}

/* By code and merchant, and of one customer in the order in which they were told. */
static int
compare_told(const void *a, const void *b)
{
	const B24Told *x = *(B24Told *const *) a;
	const B24Told *y = *(B24Told *const *) b;
	int			order = strcmp(x->sync_code, y->sync_code);

	if (order == 0 && x->account != y->account)
		order = x->account < y->account ? -1 : 1;
	return order != 0 ? order : x < y ? -1 : 1;
}

/* ---- writing it ---- */

enum
{
	CODE, OWNER, WANTED_AT, AGAIN_AT, REMOTE_ID, SENT_AT, CREATES, NAME, PHONE, EMAIL, PLACE, COLUMNS
};

#define TOLD "unnest($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)" \
	" AS r(code, owner, wanted_at, again_at, remote_id, sent_at, creates, name, phone, email, place)"
#define TOLD_TYPES {"text", "text[]", "oid[]", "timestamptz[]", "timestamptz[]", "text[]", \
	"timestamptz[]", "boolean[]", "text[]", "text[]", "text[]", "tid[]"}

static const Oid column_types[COLUMNS] = {
	TEXTOID, OIDOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, TIMESTAMPTZOID, BOOLOID,
	TEXTOID, TEXTOID, TEXTOID, TIDOID
};

static void
put_text(Datum *value, bool *isnull, const char *text)
{
	*isnull = text == NULL;
	*value = text == NULL ? (Datum) 0 : CStringGetTextDatum(text);
}

static void
put_time(Datum *value, bool *isnull, TimestampTz time)
{
	*isnull = time == DT_NOBEGIN;
	*value = TimestampTzGetDatum(time);
}

/* The parameters for TOLD. */
static void
fill(Datum *parameters, const char *server, const B24ServerSettings *settings,
	 B24Told *const *told, int count)
{
	Datum	   *values[COLUMNS];
	bool	   *nulls[COLUMNS];

	for (int c = 0; c < COLUMNS; c++)
	{
		values[c] = palloc(count * sizeof(Datum));
		nulls[c] = palloc0(count * sizeof(bool));
	}
	for (int i = 0; i < count; i++)
	{
		const B24Told *t = told[i];
		TimestampTz again_at = DT_NOBEGIN;

		if (t->settled_at != DT_NOBEGIN && settings->second_look_s > 0)
			again_at = t->settled_at + settings->second_look_s * USECS_PER_SEC;
		values[CODE][i] = CStringGetTextDatum(t->sync_code);
		values[OWNER][i] = ObjectIdGetDatum(t->owner);
		put_time(&values[WANTED_AT][i], &nulls[WANTED_AT][i],
				 t->wants ? t->changed_at : DT_NOBEGIN);
		put_time(&values[AGAIN_AT][i], &nulls[AGAIN_AT][i], again_at);
		put_text(&values[REMOTE_ID][i], &nulls[REMOTE_ID][i], t->remote_id);
		put_time(&values[SENT_AT][i], &nulls[SENT_AT][i], t->sent_at);
		values[CREATES][i] = BoolGetDatum(t->creates);
		put_text(&values[NAME][i], &nulls[NAME][i], t->name);
		put_text(&values[PHONE][i], &nulls[PHONE][i], t->phone);
		put_text(&values[EMAIL][i], &nulls[EMAIL][i], t->email);
		nulls[PLACE][i] = !ItemPointerIsValid(&t->place);
		values[PLACE][i] = PointerGetDatum(&t->place);
	}
	parameters[0] = CStringGetTextDatum(server);
	for (int c = 0; c < COLUMNS; c++)
		parameters[c + 1] = b24_datum_array(values[c], nulls[c], count, column_types[c]);
}

/*
 * Locks the rows that are to be changed: those that are to be looked at, and
 * those whose looks fail, if now another role can look.  Moves them to the
 * front, and returns how many they are.  What is about another merchant's
 * customer is dropped, and not counted any more.
 */
static int
lock(const char *server, bool wait, B24Told **told, int *told_count)
{
#define LOCK(how) "SELECT r.n::integer, t.ctid, t.owner" \
	" FROM unnest($2, $3, $4) WITH ORDINALITY AS r(code, owner, wants, n), LATERAL (" \
	"  SELECT u.ctid, u.owner::oid FROM bill24.tracked u WHERE u.sync_code = r.code AND u.server = $1" \
	"  AND (r.wants OR (u.failures > 0 AND u.owner::oid <> r.owner)) FOR UPDATE" how ") t"
#define LOCK_TYPES {"text", "text[]", "oid[]", "boolean[]"}
	static B24Statement find = {LOCK(""), 4, LOCK_TYPES};
	static B24Statement find_unlocked = {LOCK(" SKIP LOCKED"), 4, LOCK_TYPES};
	int			count = *told_count;
	Datum	   *codes = palloc(count * sizeof(Datum));
	Datum	   *owners = palloc(count * sizeof(Datum));
	Datum	   *wants = palloc(count * sizeof(Datum));
	B24Told   **others = palloc(count * sizeof(B24Told *));
	int			other_count = 0;
	int			position = 0;
	int			kept = 0;
	int			found;
	Datum		values[4];

	for (int i = 0; i < count; i++)
	{
		codes[i] = CStringGetTextDatum(told[i]->sync_code);
		owners[i] = ObjectIdGetDatum(told[i]->owner);
		wants[i] = BoolGetDatum(told[i]->wants);
	}
	values[0] = CStringGetTextDatum(server);
	values[1] = b24_datum_array(codes, NULL, count, TEXTOID);
	values[2] = b24_datum_array(owners, NULL, count, OIDOID);
	values[3] = b24_datum_array(wants, NULL, count, BOOLOID);
	found = (int) b24_store_run_latest(wait ? &find : &find_unlocked, values);

	/* in the order of the arrays, as unnest() gives them */
	for (int i = 0; i < found; i++)
	{
		int			n = DatumGetInt32(b24_store_value(i, 1, NULL)) - 1;

		B24Told    *t = told[n];

		while (position < n)
			others[other_count++] = told[position++];
		position++;
		if (b24_tracked_is_of_another(server, DatumGetObjectId(b24_store_value(i, 3, NULL)),
									  t->owner, t->account))
			continue;
		t->place = *(ItemPointer) DatumGetPointer(b24_store_value(i, 2, NULL));
		told[kept++] = t;
	}
	SPI_freetuptable(SPI_tuptable);
	while (position < count)
		others[other_count++] = told[position++];
	memcpy(told + kept, others, other_count * sizeof(B24Told *));
	*told_count = kept + other_count;
	return kept;
}

/* Changes rows that are locked. */
static void
update(const char *server, const B24ServerSettings *settings, B24Told *const *told,
	   int count)
{
	static B24Statement update = {
		"UPDATE bill24.tracked t SET" WANT("COALESCE(r.wanted_at, " CLOCK_NOW ")") ","
		" again_at = GREATEST(t.again_at, r.again_at),"
		" owner = CASE WHEN t.failures > 0 THEN r.owner::regrole ELSE t.owner END,"
		" remote_id = COALESCE(r.remote_id, CASE WHEN NOT r.creates THEN t.remote_id END),"
		" sent_at = COALESCE(r.sent_at, t.sent_at),"
		" sent_name = COALESCE(r.name, CASE WHEN NOT r.creates THEN t.sent_name END),"
		" sent_phone = COALESCE(r.phone, CASE WHEN NOT r.creates THEN t.sent_phone END),"
		" sent_email = COALESCE(r.email, CASE WHEN NOT r.creates THEN t.sent_email END)"
		" FROM " TOLD " WHERE t.ctid = r.place AND t.server IS NOT DISTINCT FROM $1",
		12, TOLD_TYPES
	};
	Datum		values[COLUMNS + 1];

	fill(values, server, settings, told, count);
	b24_store_run_latest(&update, values);
}

/*
 * Adds rows that are not there; those that could not be are moved to the
 * front, and their number returned.
 */
static int
insert(const char *server, const B24ServerSettings *settings, B24Told **told,
	   int count)
{
	static B24Statement insert = {
		"INSERT INTO bill24.tracked (sync_code, server, owner, wanted_at, again_at, remote_id,"
		"  sent_at, sent_name, sent_phone, sent_email)"
		" SELECT r.code, $1, r.owner::regrole, r.wanted_at, r.again_at, r.remote_id,"
		"  r.sent_at, r.name, r.phone, r.email"
		" FROM " TOLD " ON CONFLICT (sync_code, server) DO NOTHING RETURNING sync_code",
		12, TOLD_TYPES
	};
	Datum		values[COLUMNS + 1];
	int			added;
	int			next = 0;
	int			left = 0;

	fill(values, server, settings, told, count);
	added = (int) b24_store_run_latest(&insert, values);
	for (int i = 0; i < count && added < count; i++)
	{
		/* in the order of the arrays, here too */
		if (next < added && strcmp(b24_store_text(next, 1), told[i]->sync_code) == 0)
			next++;
		else
			told[left++] = told[i];
	}
	SPI_freetuptable(SPI_tuptable);
	return left;
}

/*
 * Writes what calls or deliveries tell.  Unless it waits for them, *locked is
 * how many were left out since somebody has their rows locked; those are
 * marked so.
 */
void
b24_tracked_told(const char *server, const B24ServerSettings *settings, bool wait,
				 B24Told *told, int count, int *locked)
{
	B24Told   **sorted = palloc(Max(count, 1) * sizeof(B24Told *));
	B24Told   **rest;
	int			distinct = 0;
	int			found;
	int			registering = 0;
	int			silent = 0;
	B24Told   **unknown;

	*locked = 0;
	for (int i = 0; i < count; i++)
	{
		told[i].locked = false;
		sorted[i] = &told[i];
	}
	if (count == 0)
		return;
	qsort(sorted, count, sizeof(B24Told *), compare_told);
	for (int i = 0; i < count; i++)
	{
		if (distinct > 0 && is_of_same(sorted[distinct - 1], sorted[i]))
			b24_told_merge(sorted[distinct - 1], sorted[i]);
		else
			sorted[distinct++] = sorted[i];
	}

	found = lock(server, wait, sorted, &distinct);
	if (found > 0)
		update(server, settings, sorted, found);
	rest = sorted + found;
	unknown = palloc((distinct - found + 1) * sizeof(B24Told *));
	for (int i = 0; i < distinct - found; i++)
	{
		if (rest[i]->registers)
			rest[registering++] = rest[i];
		else
			unknown[silent++] = rest[i];
	}
	if (registering > 0)
		registering = insert(server, settings, rest, registering);

	/*
	 * Those that are there had nothing to be changed, were added by somebody
	 * else in this moment, or are locked.
	 */
	found = 0;
	for (int i = 0; i < registering; i++)
		found += rest[i]->wants;
	if (found > 0)
	{
		found = lock(server, wait, rest, &registering);
		if (found > 0)
			update(server, settings, rest, found);
	}
	for (int i = found; i < registering; i++)
	{
		rest[i]->locked = rest[i]->wants;
		*locked += rest[i]->locked;
	}
	if (silent > 0)
	{
		B24Standing *standing = palloc(silent * sizeof(B24Standing));
		const char **codes = palloc(silent * sizeof(char *));

		for (int i = 0; i < silent; i++)
			codes[i] = unknown[i]->sync_code;
		b24_tracked_standing(server, codes, silent, standing);
		for (int i = 0; i < silent; i++)
		{
			unknown[i]->locked = standing[i].tracked;
			*locked += unknown[i]->locked;
		}
	}
}

/* ---- asking ---- */

/* How customers stand, as it is committed by now or by this transaction. */
void
b24_tracked_standing(const char *server, const char *const *codes, int count,
					 B24Standing *standing)
{
	static B24Statement find = {
		"SELECT r.n::integer, t.owner::oid,"
		" CASE WHEN t.next_look_at IS NULL THEN GREATEST(t.read_at,"
		"  (SELECT g.looked_at FROM bill24.look_group g WHERE g.id = t.look_group))"
		"  ELSE t.read_at END,"
		" t.wanted_at, t.digest, t.failures > 0, t.remote_id IS NOT NULL, " B24_IS_RESTORED
		" FROM unnest($2) WITH ORDINALITY AS r(code, n), LATERAL ("
		"  SELECT * FROM bill24.tracked u"
		"  WHERE u.sync_code = r.code AND u.server = $1 OFFSET 0) t",
		2, {"text", "text[]"}
	};
	Datum	   *texts = palloc(count * sizeof(Datum));
	Datum		values[2];
	uint64		found;

	for (int i = 0; i < count; i++)
		texts[i] = CStringGetTextDatum(codes[i]);
	memset(standing, 0, count * sizeof(B24Standing));
	values[0] = CStringGetTextDatum(server);
	values[1] = b24_datum_array(texts, NULL, count, TEXTOID);
	found = b24_store_run_latest(&find, values);
	for (uint64 i = 0; i < found; i++)
	{
		B24Standing *s = &standing[DatumGetInt32(b24_store_value(i, 1, NULL)) - 1];
		bool		isnull;

		s->tracked = true;
		s->owner = DatumGetObjectId(b24_store_value(i, 2, NULL));
		s->read_at = DatumGetTimestampTz(b24_store_value(i, 3, &isnull));
		if (isnull)
			s->read_at = DT_NOBEGIN;
		s->wanted_at = DatumGetTimestampTz(b24_store_value(i, 4, &isnull));
		if (isnull)
			s->wanted_at = DT_NOBEGIN;
		s->digest = DatumGetInt64(b24_store_value(i, 5, &isnull));
		s->has_digest = !isnull;
		s->failing = DatumGetBool(b24_store_value(i, 6, NULL));
		s->has_remote_id = DatumGetBool(b24_store_value(i, 7, NULL));
		if (DatumGetBool(b24_store_value(i, 8, NULL)))
		{
			s->read_at = DT_NOBEGIN;
			s->has_digest = false;
		}
	}
	SPI_freetuptable(SPI_tuptable);
}

/* ---- what a person asks for; the codes are distinct, and in their order ---- */

/* Rows of customers that are locked. */
typedef struct Locked
{
	uint64		count;
	Datum	   *places;
	Datum	   *codes;
	Oid		   *owners;
} Locked;

/* Locks the rows of customers, of all or of those with failures. */
static void
lock_codes(const char *server, Datum codes, bool failing, Locked *locked)
{
	static B24Statement find = {
		"SELECT t.ctid, t.sync_code, t.owner FROM unnest($2) AS r(code), LATERAL ("
		"  SELECT u.ctid, u.sync_code, u.owner::oid FROM bill24.tracked u"
		"  WHERE u.sync_code = r.code AND u.server = $1 AND (NOT $3 OR u.failures > 0)"
		"  FOR UPDATE) t", 3, {"text", "text[]", "boolean"}
	};
	Datum		values[3];
	uint64		found;

	values[0] = CStringGetTextDatum(server);
	values[1] = codes;
	values[2] = BoolGetDatum(failing);
	found = b24_store_run_latest(&find, values);
	locked->count = found;
	locked->places = palloc(Max(found, 1) * sizeof(Datum));
	locked->codes = palloc(Max(found, 1) * sizeof(Datum));
	locked->owners = palloc(Max(found, 1) * sizeof(Oid));
	for (uint64 i = 0; i < found; i++)
	{
		locked->places[i] = b24_store_value(i, 1, NULL);
		locked->codes[i] = b24_store_value(i, 2, NULL);
		locked->owners[i] = DatumGetObjectId(b24_store_value(i, 3, NULL));
	}
}

/*
 * Passes over those of another merchant than this account's, or if there is
 * none, of all; but not over those of roles that the user is a member of.
 */
static void
keep_own(const char *server, const B24Account *account, Oid user, Locked *locked)
{
	uint64		kept = 0;

	for (uint64 i = 0; i < locked->count; i++)
	{
		Oid			owner = locked->owners[i];

		if ((!OidIsValid(user) || !has_privs_of_role(user, owner)) &&
			(account == NULL ||
			 b24_tracked_is_of_another(server, owner, account->userid, account->number)))
			continue;
		locked->places[kept] = locked->places[i];
		locked->codes[kept++] = locked->codes[i];
	}
	locked->count = kept;
}

/* Where they are, an array. */
static Datum
places_of(const Locked *locked)
{
	return b24_datum_array(locked->places, NULL, (int) locked->count, TIDOID);
}

/*
 * Has customers mirrored, and returns how many of them were not.  Of those
 * that were, the ones whose looks fail are looked at once more, with this
 * account.  *wanted tells whether there is anybody to look at.
 */
uint64
b24_tracked_add(const char *server, const B24Account *account, Datum *codes, int count,
				bool *wanted)
{
	static B24Statement insert = {
		"INSERT INTO bill24.tracked (sync_code, server, owner, wanted_at)"
		" SELECT r.code, $1, $2::regrole, " CLOCK_NOW " FROM unnest($3) AS r(code)"
		" ON CONFLICT (sync_code, server) DO NOTHING",
		3, {"text", "oid", "text[]"}
	};
	static B24Statement retry = {
		"UPDATE bill24.tracked t SET" WANT(CLOCK_NOW) ", owner = $2::regrole"
		" WHERE t.ctid = ANY ($1)", 2, {"tid[]", "oid"}
	};
	Datum		values[3];
	uint64		added;
	Locked		failing = {0};

	values[0] = CStringGetTextDatum(server);
	values[1] = ObjectIdGetDatum(account->userid);
	values[2] = b24_datum_array(codes, NULL, count, TEXTOID);
	added = b24_store_run_latest(&insert, values);
	if (added < (uint64) count)
	{
		lock_codes(server, values[2], true, &failing);
		keep_own(server, account, InvalidOid, &failing);
	}
	if (failing.count > 0)
	{
		values[0] = places_of(&failing);
		b24_store_run_latest(&retry, values);
	}
	*wanted = added + failing.count > 0;
	return added;
}

/* Has customers looked at next; returns how many of them are mirrored. */
uint64
b24_tracked_refresh(const char *server, Datum *codes, int count)
{
	static B24Statement refresh = {
		"UPDATE bill24.tracked t SET" WANT(CLOCK_NOW) " WHERE t.ctid = ANY ($1)", 1, {"tid[]"}
	};
	Locked		locked;
	Datum		places;

	lock_codes(server, b24_datum_array(codes, NULL, count, TEXTOID), false, &locked);
	places = places_of(&locked);
	if (locked.count > 0)
		b24_store_run_latest(&refresh, &places);
	return locked.count;
}

/*
 * Forgets customers and their copies; returns how many.  Those are left alone
 * that are neither of the account's merchant, if there is one, nor of a role
 * that the user is a member of.
 */
uint64
b24_tracked_remove(const char *server, const B24Account *account, Oid user,
				   Datum *codes, int count)
{
	static B24Statement forget = {
		"DELETE FROM bill24.tracked t WHERE t.ctid = ANY ($1)", 1, {"tid[]"}
	};
	static B24Statement forget_wallets = {
		"DELETE FROM bill24.wallet_copy w WHERE w.ctid = ANY (ARRAY("
		" SELECT c.ctid FROM unnest($2) AS r(code), LATERAL ("
		"  SELECT u.ctid FROM bill24.wallet_copy u"
		"  WHERE u.sync_code = r.code AND u.server = $1 OFFSET 0) c))", 2, {"text", "text[]"}
	};
	static B24Statement forget_customers = {
		"DELETE FROM bill24.customer_copy w WHERE w.ctid = ANY (ARRAY("
		" SELECT c.ctid FROM unnest($2) AS r(code), LATERAL ("
		"  SELECT u.ctid FROM bill24.customer_copy u"
		"  WHERE u.sync_code = r.code AND u.server = $1 OFFSET 0) c))", 2, {"text", "text[]"}
	};
	Locked		locked;
	Datum		places;
	Datum		values[2];

	/* whoever was tracked by others while a lock was waited for is not ours */
	lock_codes(server, b24_datum_array(codes, NULL, count, TEXTOID), false, &locked);
	keep_own(server, account, user, &locked);
	if (locked.count == 0)
		return 0;
	places = places_of(&locked);
	values[0] = CStringGetTextDatum(server);
	values[1] = b24_datum_array(locked.codes, NULL, (int) locked.count, TEXTOID);
	b24_store_run_latest(&forget, &places);
	b24_store_run_latest(&forget_wallets, values);
	b24_store_run_latest(&forget_customers, values);
	return locked.count;
}

/*
 * Has all customers looked at anew: the copies are another database's, or were
 * left behind there.  From here on this is another mirror than the one that it
 * was copied from, if it was: a dump of that is not taken for one of this.  No
 * group of before is used any more.  What the looks find is no news, by which they would be looked
 * at more often.
 */
void
b24_tracked_doubt_all(void)
{
	/* greater than any group's: if this is rolled back, the sequence is not */
	static B24Statement renumber = {
		"UPDATE bill24.mirror_id SET id = (SELECT s.last_value FROM bill24.look_group_id_seq s)"
		" + 1 + pg_catalog.abs(pg_catalog.hashtextextended(pg_catalog.gen_random_uuid()::text, 0::bigint)"
		"  % 1000000000000000)"
	};
	static B24Statement restart = {
		"SELECT pg_catalog.setval('bill24.look_group_id_seq', m.id) FROM bill24.mirror_id m"
	};
	static B24Statement doubt = {
		"UPDATE bill24.tracked t SET next_look_at = " CLOCK_NOW ", wanted_at = " CLOCK_NOW ","
		" read_at = CASE WHEN (SELECT true FROM bill24.customer_copy c"
		"   WHERE c.sync_code = t.sync_code AND c.server = t.server LIMIT 1)"
		"  THEN CASE WHEN t.look_group IS NULL THEN t.read_at ELSE GREATEST(t.read_at,"
		"   (SELECT g.looked_at FROM bill24.look_group g WHERE g.id = t.look_group)) END END,"
		" look_group = NULL, look_interval = NULL, digest = NULL, mirror_id = " B24_MIRROR_ID
	};
	static B24Statement leave = {"DELETE FROM bill24.look_group"};

	b24_store_run_latest(&renumber, NULL);
	b24_store_run_latest(&restart, NULL);
	b24_store_run_latest(&doubt, NULL);
	b24_store_run_latest(&leave, NULL);
}

/*
 * Restored customers that were quiet wait for a group that is not here: they
 * are looked at by themselves, now.  At most limit of them; returns how many.
 * For the process that looks; two steps in an index if there are none.  What
 * somebody has locked is left to the next time.
 */
int
b24_tracked_release_restored(int limit)
{
#define STRAYS(behind) "ARRAY(SELECT t.ctid FROM bill24.tracked t" \
	" WHERE t.look_group " behind " LIMIT $1 FOR UPDATE SKIP LOCKED)"
	static B24Statement release = {
		"UPDATE bill24.tracked t SET next_look_at = " CLOCK_NOW ", look_group = NULL"
		" WHERE t.ctid = ANY (" STRAYS("<= " B24_MIRROR_ID)
		"  || " STRAYS("> (SELECT s.last_value FROM bill24.look_group_id_seq s)") ")",
		1, {"integer"}
	};
	Datum		value = Int32GetDatum(limit);

	return (int) b24_store_run_latest(&release, &value);
}
