/*-------------------------------------------------------------------------
 *
 * wallet_balance.c
 *	  The wallets of a customer, from the mirror or from the provider.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_collation.h"
#include "compat.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "call.h"
#include "feed.h"
#include "report.h"
#include "seen.h"
#include "text.h"

/* The columns of bill24_wallet_balance; see its declaration. */
enum
{
	COLUMN_ID, COLUMN_NAME, COLUMN_BALANCE, COLUMN_CURRENCY, COLUMN_SYNCED_AT, COLUMN_COUNT
};

/* The oldest look that will do. */
static TimestampTz
oldest(Datum max_age)
{
	Interval	zero = {0};

	if (DatumGetBool(DirectFunctionCall2(interval_lt, max_age, IntervalPGetDatum(&zero))))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"max_age\" must not be negative")));
	return DatumGetTimestampTz(DirectFunctionCall2(timestamptz_mi_interval,
												   TimestampTzGetDatum(GetCurrentTimestamp()),
												   max_age));
}

static void
raise_not_found(const B24Account *account)
{
	B24Reply	reply = {.status = B24_NOT_FOUND};

	b24_report_reply(account->server, &b24_endpoints[B24_EP_get_customer],
					 &account->secrets, &reply);
}

/* ---- from the mirror ---- */

/* The columns of the tables; see their declarations. */
enum
{
	TRACKED_OWNER = 3, TRACKED_NEXT_LOOK_AT = 5, TRACKED_LOOK_GROUP = 6, TRACKED_WANTED_AT = 7,
	TRACKED_READ_AT = 10, TRACKED_MIRROR_ID = 12,
	MIRROR_ID = 1,
	GROUP_ID = 1, GROUP_LOOKED_AT = 6,
	CUSTOMER_DELETED_AT = 8,
	WALLET_ID = 3, WALLET_NAME, WALLET_BALANCE, WALLET_CURRENCY, WALLET_DELETED_AT = 8
};

/* A table of the mirror, read by its primary key, if it has one. */
typedef struct TableScan
{
	Relation	table;
	SysScanDesc scan;
} TableScan;

static void
begin_scan(TableScan *scan, const char *table, const char *key, Snapshot snapshot,
		   ScanKey keys, int count)
{
	Oid			namespace = get_namespace_oid("bill24", false);
	Oid			relation = get_relname_relid(table, namespace);
	Oid			index = key != NULL ? get_relname_relid(key, namespace) : InvalidOid;

	if (!OidIsValid(relation) || (key != NULL && !OidIsValid(index)))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation \"bill24.%s\" does not exist", table)));
	scan->table = table_open(relation, AccessShareLock);
	scan->scan = systable_beginscan(scan->table, index, key != NULL, snapshot, count,
									keys);
}

static void
end_scan(TableScan *scan)
{
	systable_endscan(scan->scan);
	table_close(scan->table, AccessShareLock);
}

static Datum
column_of(const TableScan *scan, HeapTuple row, int column, bool *isnull)
{
	return heap_getattr(row, column, RelationGetDescr(scan->table), isnull);
}

/* A time of a row; DT_NOBEGIN for NULL. */
static TimestampTz
time_of(const TableScan *scan, HeapTuple row, int column)
{
	bool		isnull;
	Datum		value = column_of(scan, row, column, &isnull);

	return isnull ? DT_NOBEGIN : DatumGetTimestampTz(value);
}

/* When the customers of a group were last looked at together. */
static TimestampTz
group_looked_at(Snapshot snapshot, Datum group)
{
	TimestampTz looked_at = DT_NOBEGIN;
	ScanKeyData key;
	HeapTuple	row;
	TableScan	scan;

	ScanKeyInit(&key, GROUP_ID, BTEqualStrategyNumber, F_INT8EQ, group);
	begin_scan(&scan, "look_group", "look_group_pkey", snapshot, &key, 1);
	row = systable_getnext(scan.scan);
	if (HeapTupleIsValid(row))
		looked_at = time_of(&scan, row, GROUP_LOOKED_AT);
	end_scan(&scan);
	return looked_at;
}

/* Is that the number of this mirror?  Whoever bears another was restored. */
static bool
is_of_this_mirror(Snapshot snapshot, int64 id)
{
	bool		same = false;
	bool		isnull;
	HeapTuple	row;
	TableScan	scan;

	begin_scan(&scan, "mirror_id", NULL, snapshot, NULL, 0);
	row = systable_getnext(scan.scan);
	if (HeapTupleIsValid(row))
		same = DatumGetInt64(column_of(&scan, row, MIRROR_ID, &isnull)) == id;
	end_scan(&scan);
	return same;
}

/*
 * May what was read with the account of that role be told to this one's?  Two
 * merchants on one server may have the same sync_code for different customers,
 * and whoever has other secrets has to show them to the provider.
 */
static bool
shares_account(const B24Account *account, Oid owner)
{
	B24Problem	ignored;
	const B24Account *other;

	if (owner == account->userid)
		return true;
	other = b24_account_of(account->server, owner, &ignored);
	return other != NULL &&
		memcmp(other->digest, account->digest, sizeof(account->digest)) == 0;
}

/*
 * When a customer was last looked at with success; DT_NOBEGIN if never, or not
 * with this account.
 */
static TimestampTz
looked_at(const B24Account *account, Snapshot snapshot, ScanKey keys)
{
	TimestampTz at = DT_NOBEGIN;
	TimestampTz wanted_at = DT_NOBEGIN;
	bool		in_group = false;
	bool		has_mirror = false;
	int64		mirror = 0;
	Datum		group = (Datum) 0;
	Oid			owner = InvalidOid;
	HeapTuple	row;
	TableScan	scan;

	begin_scan(&scan, "tracked", "tracked_pkey", snapshot, keys, 2);
	row = systable_getnext(scan.scan);
	if (HeapTupleIsValid(row))
	{
		bool		isnull;

		owner = DatumGetObjectId(column_of(&scan, row, TRACKED_OWNER, &isnull));
		at = time_of(&scan, row, TRACKED_READ_AT);
		wanted_at = time_of(&scan, row, TRACKED_WANTED_AT);
		(void) column_of(&scan, row, TRACKED_NEXT_LOOK_AT, &in_group);
		group = column_of(&scan, row, TRACKED_LOOK_GROUP, &isnull);
		in_group = in_group && !isnull;
		mirror = DatumGetInt64(column_of(&scan, row, TRACKED_MIRROR_ID, &isnull));
		has_mirror = !isnull;
	}
	end_scan(&scan);
	if (!OidIsValid(owner) || !shares_account(account, owner) ||
		(has_mirror && !is_of_this_mirror(snapshot, mirror)))
		return DT_NOBEGIN;
	if (in_group)
		at = Max(at, group_looked_at(snapshot, group));

	/* since then there was a payment, or somebody wanted another look */
	return wanted_at > at ? DT_NOBEGIN : at;
}

/* The wallets that are there; false if there never was one. */
static bool
put_copies(ReturnSetInfo *set, Snapshot snapshot, ScanKey keys, TimestampTz synced_at)
{
	bool		found = false;
	HeapTuple	row;
	TableScan	scan;

	begin_scan(&scan, "wallet_copy", "wallet_copy_pkey", snapshot, keys, 2);
	while (HeapTupleIsValid(row = systable_getnext(scan.scan)))
	{
		Datum		values[COLUMN_COUNT];
		bool		nulls[COLUMN_COUNT] = {false};

		found = true;
		if (time_of(&scan, row, WALLET_DELETED_AT) != DT_NOBEGIN)
			continue;
		values[COLUMN_ID] = column_of(&scan, row, WALLET_ID, &nulls[COLUMN_ID]);
		values[COLUMN_NAME] = column_of(&scan, row, WALLET_NAME, &nulls[COLUMN_NAME]);
		values[COLUMN_BALANCE] = column_of(&scan, row, WALLET_BALANCE,
										   &nulls[COLUMN_BALANCE]);
		values[COLUMN_CURRENCY] = column_of(&scan, row, WALLET_CURRENCY,
											&nulls[COLUMN_CURRENCY]);
		values[COLUMN_SYNCED_AT] = TimestampTzGetDatum(synced_at);
		tuplestore_putvalues(set->setResult, set->setDesc, values, nulls);
	}
	end_scan(&scan);
	return found;
}

/*
 * The rows from the mirror, if it was right at that time or later; false if it
 * was not, or does not know, or was read with another account.  What is committed by now counts, whatever the
 * age of the transaction.
 *
 * The tables are read without the executor, as the catalogs are: a statement,
 * with the settings and the user that it takes, would cost twice as much as
 * the SELECT that this is there to spare a biller.
 */
static bool
from_mirror(ReturnSetInfo *set, const B24Account *account, text *code,
			TimestampTz since)
{
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	bool		known = false;
	bool		gone = false;
	TimestampTz synced_at;
	ScanKeyData keys[2];
	HeapTuple	row;
	TableScan	scan;

	ScanKeyEntryInitialize(&keys[0], 0, 1, BTEqualStrategyNumber, InvalidOid,
						   C_COLLATION_OID, F_TEXTEQ, PointerGetDatum(code));
	ScanKeyEntryInitialize(&keys[1], 0, 2, BTEqualStrategyNumber, InvalidOid,
						   C_COLLATION_OID, F_TEXTEQ, CStringGetTextDatum(account->server));
	synced_at = looked_at(account, snapshot, keys);
	if (synced_at != DT_NOBEGIN && synced_at >= since)
	{
		begin_scan(&scan, "customer_copy", "customer_copy_pkey", snapshot, keys, 2);
		row = systable_getnext(scan.scan);
		known = HeapTupleIsValid(row);
		gone = known && time_of(&scan, row, CUSTOMER_DELETED_AT) != DT_NOBEGIN;
		end_scan(&scan);
	}

	/* no wallets: are there none, or did the answer not tell of them? */
	if (known && !gone)
		known = put_copies(set, snapshot, keys, synced_at);
	UnregisterSnapshot(snapshot);
	if (gone)
		raise_not_found(account);
	return known;
}

/* ---- from the provider ---- */

static void
put_text(Datum *value, bool *isnull, const char *text)
{
	*isnull = text == NULL;
	*value = text == NULL ? (Datum) 0 : CStringGetTextDatum(text);
}

static void
put_wallet(ReturnSetInfo *set, const B24SeenWallet *wallet, TimestampTz synced_at)
{
	Datum		row[COLUMN_COUNT];
	bool		nulls[COLUMN_COUNT] = {false};

	put_text(&row[COLUMN_ID], &nulls[COLUMN_ID], wallet->id);
	put_text(&row[COLUMN_NAME], &nulls[COLUMN_NAME], wallet->name);
	row[COLUMN_BALANCE] = DirectFunctionCall3(numeric_in, CStringGetDatum(wallet->balance),
											  ObjectIdGetDatum(InvalidOid),
											  Int32GetDatum(-1));
	put_text(&row[COLUMN_CURRENCY], &nulls[COLUMN_CURRENCY], wallet->currency);
	row[COLUMN_SYNCED_AT] = TimestampTzGetDatum(synced_at);
	tuplestore_putvalues(set->setResult, set->setDesc, row, nulls);
}

/* The rows from the provider; the call itself tells the mirror. */
static void
from_provider(ReturnSetInfo *set, const B24Account *account, text *code)
{
	const B24Endpoint *endpoint = &b24_endpoints[B24_EP_get_customer];
	B24Job	   *job = b24_job_new(b24_exchange_new(account), endpoint);
	TimestampTz asked_at = GetCurrentTimestamp();
	int			length;
	const char *utf8 = b24_text_to_utf8(VARDATA_ANY(code), VARSIZE_ANY_EXHDR(code),
										&length);
	B24SeenCustomer seen;
	B24Problem	problem;

	utf8 = pnstrdup(utf8, length);
	if (!b24_json_put(job->arguments, "sync_code", b24_json_new_string(utf8, length)))
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	b24_call_job(job, false);
	if (!b24_seen_customer(job->reply.result, utf8, &seen, &problem) ||
		!b24_seen_localize(&seen, &problem))
		b24_report_misfit(endpoint, &problem);
	if (!seen.tells_wallets)
	{
		b24_problem(&problem, B24_NONSENSE, "it does not tell of wallets");
		b24_report_misfit(endpoint, &problem);
	}
	for (int i = 0; i < seen.wallet_count; i++)
		put_wallet(set, &seen.wallets[i], asked_at);
	b24_exchange_end(job->exchange);
}

PG_FUNCTION_INFO_V1(bill24_wallet_balance);

/*
 * bill24_wallet_balance(sync_code text, max_age interval, server name): the
 * wallets of a customer as they were at synced_at.  From the mirror if it was
 * right max_age ago or later, and this transaction has not changed the customer
 * since; else from the provider, whose answer the mirror takes over when this
 * transaction commits.  Errors: those of get_customer, also if it is the mirror
 * that knows that the customer is gone (KH404); 22023 a negative max_age.
 */
Datum
bill24_wallet_balance(PG_FUNCTION_ARGS)
{
	static const char *const names[] = {"sync_code", "max_age", "server"};
	const B24Account *account;
	ReturnSetInfo *set = (ReturnSetInfo *) fcinfo->resultinfo;
	TimestampTz since;
	B24Problem	problem;
	text	   *code;

	for (int i = 0; i < lengthof(names); i++)
	{
		if (PG_ARGISNULL(i))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("argument \"%s\" must not be NULL", names[i])));
	}
	account = b24_account_open(NameStr(*PG_GETARG_NAME(2)), &b24_bill24);
	code = PG_GETARG_TEXT_PP(0);
	if (!b24_text_argument_fits("sync_code", VARDATA_ANY(code), VARSIZE_ANY_EXHDR(code),
								true, &problem))
		ereport(ERROR,
				(errcode(b24_sqlstate(problem.status)),
				 errmsg("%s", problem.text)));
	since = oldest(PG_GETARG_DATUM(1));
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	if (b24_feed_changed(account, text_to_cstring(code)) ||
		!from_mirror(set, account, code, since))
		from_provider(set, account, code);
	PG_RETURN_NULL();
}
