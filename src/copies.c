/*-------------------------------------------------------------------------
 *
 * copies.c
 *	  What customers and wallets were last seen to be.
 *
 * Rows are written only where something differs.  Changes of balances are
 * kept, and told to who listens on the channel bill24_wallet.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/async.h"
#include "compat.h"
#include "storage/itemptr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "columns.h"
#include "copies.h"
#include "store.h"

#define CHANNEL "bill24_wallet"

/* From there on the server warns that its queue fills. */
#define MAX_QUEUE_USAGE 0.5

/* That is told no more often, by a process. */
#define WARN_EVERY_MS 5000

/* A payload must be shorter than async.c's limit, which it does not export. */
#define MAX_PAYLOAD 7900

/* A wallet as it is in the copies. */
typedef struct Wallet
{
	struct Wallet *next;
	ItemPointerData place;		/* which nobody else can change */
	char	   *id;
	char	   *name;
	char	   *currency;
	Datum		balance;
	bool		deleted;
	bool		seen;
} Wallet;

/* Columns of what is to be written. */
typedef struct Batch
{
	const char *server;
	B24Column	customer[6];	/* sync_code, name, name_kh, phone, email, changed_at */
	B24Column	gone[2];		/* sync_code, deleted_at */
	B24Column	wallet[6];		/* sync_code, id, name, balance, currency, changed_at */
	B24Column	lost[2];		/* place, deleted_at */
	B24Column	change[6];		/* sync_code, id, currency, old, new, seen_at */
} Batch;

static void
init_columns(B24Column *columns, const Oid *types, int count, int capacity)
{
	for (int i = 0; i < count; i++)
		b24_column_init(&columns[i], types[i], capacity);
}

static void
run(B24Statement *statement, const char *server, const B24Column *columns, int count)
{
	Datum		values[8];

	if (columns[0].count == 0)
		return;
	values[0] = CStringGetTextDatum(server);
	for (int i = 0; i < count; i++)
		values[i + 1] = b24_column_array(&columns[i]);
	b24_store_run_latest(statement, values);
}

/* The wallets that the copies have of these looks' customers, a list a look. */
static Wallet **
read_wallets(const char *server, const B24Look **looks, const bool *known, int count)
{
	static B24Statement find = {
		"SELECT k.n, w.id, w.name, w.currency, w.balance, w.deleted_at IS NOT NULL, w.ctid"
		" FROM unnest($2, $3) AS k(n, code), LATERAL ("
		"  SELECT c.ctid, c.id, c.name, c.currency, c.balance, c.deleted_at FROM bill24.wallet_copy c"
		"  WHERE c.sync_code = k.code AND c.server = $1 OFFSET 0) w",
		3, {"text", "integer[]", "text[]"}
	};
	Wallet	  **wallets = palloc0(count * sizeof(Wallet *));
	B24Column	columns[2];
	Datum		values[3];
	uint64		found;

	b24_column_init(&columns[0], INT4OID, count);
	b24_column_init(&columns[1], TEXTOID, count);
	for (int i = 0; i < count; i++)
	{
		if (!known[i])
			continue;
		b24_column_add(&columns[0], Int32GetDatum(i));
		b24_column_add_text(&columns[1], looks[i]->sync_code);
	}
	if (columns[0].count == 0)
		return wallets;
	values[0] = CStringGetTextDatum(server);
	values[1] = b24_column_array(&columns[0]);
	values[2] = b24_column_array(&columns[1]);
	found = b24_store_run_latest(&find, values);
	for (uint64 i = 0; i < found; i++)
	{
		int			n = DatumGetInt32(b24_store_value(i, 1, NULL));
		Wallet	   *w = palloc0(sizeof(Wallet));

		w->id = b24_store_text(i, 2);
		w->name = b24_store_text(i, 3);
		w->currency = b24_store_text(i, 4);
		w->balance = PointerGetDatum(DatumGetNumericCopy(b24_store_value(i, 5, NULL)));
		w->deleted = DatumGetBool(b24_store_value(i, 6, NULL));
		w->place = *(ItemPointer) DatumGetPointer(b24_store_value(i, 7, NULL));
		w->next = wallets[n];
		wallets[n] = w;
	}
	return wallets;
}

static bool
same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static void
add_change(Batch *batch, const B24Look *look, const char *id, const char *currency,
		   const Datum *old, const Datum *new)
{
	B24Column  *c = batch->change;

	b24_column_add_text(&c[0], look->sync_code);
	b24_column_add_text(&c[1], id);
	b24_column_add_text(&c[2], currency);
	if (old != NULL)
		b24_column_add(&c[3], *old);
	else
		b24_column_add_null(&c[3]);
	if (new != NULL)
		b24_column_add(&c[4], *new);
	else
		b24_column_add_null(&c[4]);
	b24_column_add(&c[5], TimestampTzGetDatum(look->asked_at));
}

/*
 * A wallet that was seen.  What a first look finds is no change; what it finds
 * later is, also a wallet that was not there before.
 */
static void
add_wallet(Batch *batch, const B24Look *look, const B24SeenWallet *seen, Wallet *old,
		   bool known)
{
	Datum		balance = DirectFunctionCall3(numeric_in, CStringGetDatum(seen->balance),
											  ObjectIdGetDatum(InvalidOid),
											  Int32GetDatum(-1));
	bool		was_there = old != NULL && !old->deleted;
	bool		same_balance = was_there &&
		DatumGetBool(DirectFunctionCall2(numeric_eq, balance, old->balance));
	B24Column  *c = batch->wallet;

	if (old != NULL)
		old->seen = true;
	if (same_balance && same_text(seen->name, old->name) &&
		same_text(seen->currency, old->currency))
		return;
	b24_column_add_text(&c[0], look->sync_code);
	b24_column_add_text(&c[1], seen->id);
	b24_column_add_text(&c[2], seen->name);
	b24_column_add(&c[3], balance);
	b24_column_add_text(&c[4], seen->currency);
	b24_column_add(&c[5], TimestampTzGetDatum(look->asked_at));
	if (known && !same_balance)
		add_change(batch, look, seen->id, seen->currency,
				   was_there ? &old->balance : NULL, &balance);
}

static void
add_look(Batch *batch, const B24Look *look, Wallet *wallets, bool known)
{
	const B24SeenCustomer *seen = &look->customer;
	bool		read = look->outcome == B24_LOOK_READ;

	if (read)
	{
		B24Column  *c = batch->customer;

		b24_column_add_text(&c[0], look->sync_code);
		b24_column_add_text(&c[1], seen->name);
		b24_column_add_text(&c[2], seen->name_kh);
		b24_column_add_text(&c[3], seen->phone);
		b24_column_add_text(&c[4], seen->email);
		b24_column_add(&c[5], TimestampTzGetDatum(look->asked_at));
	}
	else
	{
		b24_column_add_text(&batch->gone[0], look->sync_code);
		b24_column_add(&batch->gone[1], TimestampTzGetDatum(look->asked_at));
	}
	for (int i = 0; read && i < seen->wallet_count; i++)
	{
		Wallet	   *old = wallets;

		while (old != NULL && strcmp(old->id, seen->wallets[i].id) != 0)
			old = old->next;
		add_wallet(batch, look, &seen->wallets[i], old, known);
	}
	for (Wallet *w = wallets; w != NULL; w = w->next)
	{
		if (w->seen || w->deleted || (read && !seen->tells_wallets))
			continue;
		b24_column_add(&batch->lost[0], PointerGetDatum(&w->place));
		b24_column_add(&batch->lost[1], TimestampTzGetDatum(look->asked_at));
		add_change(batch, look, w->id, w->currency, &w->balance, NULL);
	}
}

/* How many wallets these looks may be about. */
static int
count_wallets(const B24Look **looks, Wallet **wallets, int count)
{
	int			all = 0;

	for (int i = 0; i < count; i++)
	{
		all += looks[i]->customer.wallet_count;
		for (Wallet *w = wallets[i]; w != NULL; w = w->next)
			all++;
	}
	return all;
}

static void
append_number(StringInfo out, const char *name, const B24Column *column, int i)
{
	appendStringInfo(out, ",\"%s\":%s", name, column->nulls[i] ? "null" :
					 DatumGetCString(DirectFunctionCall1(numeric_out, column->values[i])));
}

static void
append_text(StringInfo out, const char *name, const B24Column *column, int i)
{
	appendStringInfo(out, ",\"%s\":", name);
	if (column->nulls[i])
		appendStringInfoString(out, "null");
	else
		escape_json(out, TextDatumGetCString(column->values[i]));
}

/* Keeps the changes until all of the transaction are there. */
static void
gather(const Batch *batch, B24News *news)
{
	const B24Column *c = batch->change;
	MemoryContext old = MemoryContextSwitchTo(news->context);

	for (int i = 0; i < c[0].count && !news->too_long &&
		 news->count + i < B24_MAX_NEWS; i++)
	{
		StringInfoData payload;

		initStringInfo(&payload);
		appendStringInfoString(&payload, "{\"server\":");
		escape_json(&payload, batch->server);
		append_text(&payload, "sync_code", &c[0], i);
		append_text(&payload, "id", &c[1], i);
		append_text(&payload, "currency", &c[2], i);
		append_number(&payload, "old_balance", &c[3], i);
		append_number(&payload, "new_balance", &c[4], i);
		appendStringInfoChar(&payload, '}');
		news->too_long = payload.len > MAX_PAYLOAD;
		news->payloads[news->count + i] = payload.data;
	}
	news->count += c[0].count;
	MemoryContextSwitchTo(old);
}

/*
 * Tells who listens of each change, or of how many there were.  If somebody
 * listens and does not read, nobody is told any more before it comes to an
 * error at COMMIT: that the queue is full is not to stop those who pay.
 */
void
b24_copies_tell(const char *server, const B24News *news)
{
	static TimestampTz warned_at = 0;
	StringInfoData payload;

	if (news->count == 0)
		return;
	if (DatumGetFloat8(OidFunctionCall0(F_PG_NOTIFICATION_QUEUE_USAGE)) > MAX_QUEUE_USAGE)
	{
		TimestampTz now = GetCurrentTimestamp();

		/* a time to come is of a clock that was set back since */
		if (warned_at <= now && !TimestampDifferenceExceeds(warned_at, now, WARN_EVERY_MS))
			return;
		warned_at = now;
		ereport(WARNING,
				(errmsg("%d changes of balances are not told of, since the queue of NOTIFY is half full",
						news->count),
				 errdetail("They are in bill24.wallet_change."),
				 errhint("A session that listens must end its transaction before it is told anything.")));
		return;
	}
	if (news->count <= B24_MAX_NEWS && !news->too_long)
	{
		for (int i = 0; i < news->count; i++)
			Async_Notify(CHANNEL, news->payloads[i]);
		return;
	}
	initStringInfo(&payload);
	appendStringInfoString(&payload, "{\"server\":");
	escape_json(&payload, server);
	appendStringInfo(&payload, ",\"changes\":%d}", news->count);
	Async_Notify(CHANNEL, payload.data);
}

/*
 * Writes what these looks saw, each of a customer of its own whose row in
 * bill24.tracked is locked.  known tells whose copies there may be; with sure,
 * there are none of the others.  Changes are added to the news, for
 * b24_copies_tell.
 */
void
b24_copies_write(const char *server, const B24Look **looks, const bool *known, int count,
				 bool sure, B24News *news)
{
#define INSERT_CUSTOMERS \
		"INSERT INTO bill24.customer_copy AS c" \
		" (server, sync_code, name, name_kh, phone, email, changed_at)" \
		" SELECT $1, r.* FROM unnest($2, $3, $4, $5, $6, $7) AS r(a, b, c, d, e, f)"
#define INSERT_WALLETS \
		"INSERT INTO bill24.wallet_copy AS w" \
		" (server, sync_code, id, name, balance, currency, changed_at)" \
		" SELECT $1, r.* FROM unnest($2, $3, $4, $5, $6, $7) AS r(a, b, c, d, e, f)"
	static B24Statement add_customers = {
		INSERT_CUSTOMERS,
		7, {"text", "text[]", "text[]", "text[]", "text[]", "text[]", "timestamptz[]"}
	};
	static B24Statement put_customers = {
		INSERT_CUSTOMERS
		" ON CONFLICT (sync_code, server) DO UPDATE SET name = excluded.name,"
		" name_kh = excluded.name_kh, phone = excluded.phone, email = excluded.email,"
		" changed_at = excluded.changed_at, deleted_at = NULL"
		" WHERE c.deleted_at IS NOT NULL OR (c.name, c.name_kh, c.phone, c.email)"
		" IS DISTINCT FROM (excluded.name, excluded.name_kh, excluded.phone, excluded.email)",
		7, {"text", "text[]", "text[]", "text[]", "text[]", "text[]", "timestamptz[]"}
	};
	static B24Statement bury_customers = {
		"INSERT INTO bill24.customer_copy AS c (server, sync_code, changed_at, deleted_at)"
		" SELECT $1, r.a, r.b, r.b FROM unnest($2, $3) AS r(a, b)"
		" ON CONFLICT (sync_code, server) DO UPDATE SET deleted_at = excluded.deleted_at"
		" WHERE c.deleted_at IS NULL", 3, {"text", "text[]", "timestamptz[]"}
	};
	static B24Statement add_wallets = {
		INSERT_WALLETS,
		7, {"text", "text[]", "text[]", "text[]", "numeric[]", "text[]", "timestamptz[]"}
	};
	static B24Statement put_wallets = {
		INSERT_WALLETS
		" ON CONFLICT (sync_code, server, id) DO UPDATE SET name = excluded.name,"
		" balance = excluded.balance, currency = excluded.currency,"
		" changed_at = excluded.changed_at, deleted_at = NULL",
		7, {"text", "text[]", "text[]", "text[]", "numeric[]", "text[]", "timestamptz[]"}
	};
	static B24Statement bury_wallets = {
		"UPDATE bill24.wallet_copy w SET deleted_at = r.b"
		" FROM unnest($2, $3) AS r(a, b) WHERE w.ctid = r.a AND w.server IS NOT DISTINCT FROM $1",
		3, {"text", "tid[]", "timestamptz[]"}
	};
	static B24Statement put_changes = {
		"INSERT INTO bill24.wallet_change"
		" (server, sync_code, id, currency, old_balance, new_balance, seen_at)"
		" SELECT $1, r.* FROM unnest($2, $3, $4, $5, $6, $7) AS r(a, b, c, d, e, f)",
		7, {"text", "text[]", "text[]", "text[]", "numeric[]", "numeric[]", "timestamptz[]"}
	};
	static const Oid customer_types[] = {
		TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID
	};
	static const Oid gone_types[] = {TEXTOID, TIMESTAMPTZOID};
	static const Oid wallet_types[] = {
		TEXTOID, TEXTOID, TEXTOID, NUMERICOID, TEXTOID, TIMESTAMPTZOID
	};
	static const Oid lost_types[] = {TIDOID, TIMESTAMPTZOID};
	static const Oid change_types[] = {
		TEXTOID, TEXTOID, TEXTOID, NUMERICOID, NUMERICOID, TIMESTAMPTZOID
	};
	Wallet	  **wallets = read_wallets(server, looks, known, count);
	int			all = count_wallets(looks, wallets, count);
	Batch		batch = {.server = server};

	init_columns(batch.customer, customer_types, lengthof(customer_types), count);
	init_columns(batch.gone, gone_types, lengthof(gone_types), count);
	init_columns(batch.wallet, wallet_types, lengthof(wallet_types), all);
	init_columns(batch.lost, lost_types, lengthof(lost_types), all);
	init_columns(batch.change, change_types, lengthof(change_types), all);
	for (int i = 0; i < count; i++)
	{
		add_look(&batch, looks[i], wallets[i], known[i]);
		sure = sure && !known[i];
	}
	run(&bury_wallets, server, batch.lost, lengthof(lost_types));
	run(sure ? &add_customers : &put_customers, server, batch.customer, lengthof(customer_types));
	run(&bury_customers, server, batch.gone, lengthof(gone_types));
	run(sure ? &add_wallets : &put_wallets, server, batch.wallet, lengthof(wallet_types));
	run(&put_changes, server, batch.change, lengthof(change_types));
	gather(&batch, news);
}
