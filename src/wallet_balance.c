/*-------------------------------------------------------------------------
 *
 * wallet_balance.c
 *	  The wallets of a customer, from the mirror or from the provider.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "call.h"
#include "feed.h"
#include "report.h"
#include "seen.h"
#include "store.h"
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

/*
 * The rows from the mirror, if it was right at that time or later; false if it
 * was not, or does not know.
 */
static bool
from_mirror(ReturnSetInfo *set, const B24Account *account, text *code,
			TimestampTz since)
{
	static B24Statement find = {
		"SELECT w.id, w.name, w.balance, w.currency, s.synced_at, c.deleted_at IS NOT NULL"
		" FROM bill24.tracked t LEFT JOIN bill24.look_group g ON g.id = t.look_group,"
		" LATERAL (SELECT CASE WHEN t.next_look_at IS NULL THEN GREATEST(t.read_at, g.looked_at)"
		"  ELSE t.read_at END AS synced_at) s"
		" JOIN bill24.customer_copy c ON c.sync_code = $1 AND c.server = $2"
		" LEFT JOIN bill24.wallet_copy w ON w.sync_code = $1 AND w.server = $2 AND w.deleted_at IS NULL"
		" WHERE t.sync_code = $1 AND t.server = $2 AND s.synced_at >= $3"
		" AND (t.wanted_at IS NULL OR t.wanted_at <= s.synced_at)",
		3, {"text", "text", "timestamptz"}
	};
	Datum		values[3];
	B24Store	store;
	uint64		count;
	bool		gone;

	values[0] = PointerGetDatum(code);
	values[1] = CStringGetTextDatum(account->server);
	values[2] = TimestampTzGetDatum(since);
	b24_store_open(&store);
	count = b24_store_run_latest(&find, values);
	gone = count > 0 && DatumGetBool(b24_store_value(0, 6, NULL));
	for (uint64 i = 0; i < count && !gone; i++)
	{
		Datum		row[COLUMN_COUNT];
		bool		nulls[COLUMN_COUNT];

		for (int c = 0; c < COLUMN_COUNT; c++)
			row[c] = b24_store_value(i, c + 1, &nulls[c]);

		/* without an id it is a customer without wallets */
		if (!nulls[COLUMN_ID])
			tuplestore_putvalues(set->setResult, set->setDesc, row, nulls);
	}
	b24_store_close(&store);
	if (gone)
		raise_not_found(account);
	return count > 0;
}

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
	const B24CallSite *site = b24_call_site(fcinfo);
	const B24Account *account;
	ReturnSetInfo *set = (ReturnSetInfo *) fcinfo->resultinfo;
	TimestampTz since;
	B24Problem	problem;
	text	   *code;

	b24_call_refuse_nulls(site, fcinfo, 2);
	account = b24_call_account(site, fcinfo);
	code = PG_GETARG_TEXT_PP(0);
	if (!b24_text_argument_fits("sync_code", VARDATA_ANY(code), VARSIZE_ANY_EXHDR(code),
								true, &problem))
		ereport(ERROR,
				(errcode(b24_sqlstate(problem.status)),
				 errmsg("%s", problem.text)));
	since = oldest(PG_GETARG_DATUM(1));
	InitMaterializedSRF(fcinfo, 0);
	if (b24_feed_changed(account->serverid, text_to_cstring(code)) ||
		!from_mirror(set, account, code, since))
		from_provider(set, account, code);
	PG_RETURN_NULL();
}
