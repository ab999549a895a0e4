/*-------------------------------------------------------------------------
 *
 * balances.c
 *	  The wallet balances of many customers, concurrently.
 *
 * Answers become rows as they arrive, and each makes room for the next
 * request, so that the slowest holds nobody.  The rows go to a tuplestore,
 * which spills to disk: memory depends on how many are in flight, not on how
 * many are asked for.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "compat.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"

#include "call.h"
#include "report.h"
#include "text.h"

/* The columns of bill24_get_wallet_balances; see its declaration. */
enum
{
	COLUMN_SYNC_CODE,
	COLUMN_SQLSTATE = 5,
	COLUMN_ERROR,
	COLUMN_COUNT
};

typedef struct Batch
{
	const B24Account *account;
	const B24Endpoint *endpoint;
	const B24CallSite *site;
	B24Reading	reading;
	ReturnSetInfo *set;
	MemoryContext scratch;		/* of one row */
} Batch;

static uint32
hash_text(const void *key, Size size)
{
	const text *t = *(text *const *) key;

	return DatumGetUInt32(hash_any((const unsigned char *) VARDATA_ANY(t),
								   VARSIZE_ANY_EXHDR(t)));
}

static int
compare_text(const void *a, const void *b, Size size)
{
	const text *x = *(text *const *) a;
	const text *y = *(text *const *) b;
	int			length = VARSIZE_ANY_EXHDR(x);

	return length != VARSIZE_ANY_EXHDR(y) ? 1 :
		memcmp(VARDATA_ANY(x), VARDATA_ANY(y), length);
}

/* The codes of the array without its duplicates; NULL elements are refused. */
static int
distinct_codes(ArrayType *array, Datum **codes)
{
	bool	   *nulls;
	int			count;
	int			kept = 0;
	HASHCTL		info;
	HTAB	   *seen;

	if (ARR_NDIM(array) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("argument \"sync_codes\" must be a one-dimensional array")));
	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, codes, &nulls, &count);

	memset(&info, 0, sizeof(info));
	info.keysize = sizeof(text *);
	info.entrysize = sizeof(text *);
	info.hash = hash_text;
	info.match = compare_text;
	info.hcxt = CurrentMemoryContext;
	seen = hash_create("bill24 codes", Max(count, 16), &info,
					   HASH_ELEM | HASH_FUNCTION | HASH_COMPARE | HASH_CONTEXT);
	for (int i = 0; i < count; i++)
	{
		text	   *code;
		bool		found;

		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("argument \"sync_codes\" must not contain NULL")));
		code = DatumGetTextPP((*codes)[i]);
		hash_search(seen, &code, HASH_ENTER, &found);
		if (!found)
			(*codes)[kept++] = PointerGetDatum(code);
	}
	hash_destroy(seen);
	return kept;
}

static void
put_row(Batch *batch, Datum code, const B24Json *wallet, int sqlstate,
		const char *error)
{
	Datum		values[COLUMN_COUNT];
	bool		nulls[COLUMN_COUNT];

	Assert(batch->set->setDesc->natts == COLUMN_COUNT);
	b24_values(batch->site->result, &batch->reading, wallet, values, nulls);
	values[COLUMN_SYNC_CODE] = code;
	nulls[COLUMN_SYNC_CODE] = false;
	nulls[COLUMN_SQLSTATE] = nulls[COLUMN_ERROR] = true;
	if (error != NULL)
	{
		values[COLUMN_SQLSTATE] = CStringGetTextDatum(unpack_sql_state(sqlstate));
		values[COLUMN_ERROR] = CStringGetTextDatum(error);
		nulls[COLUMN_SQLSTATE] = nulls[COLUMN_ERROR] = false;
	}
	tuplestore_putvalues(batch->set->setResult, batch->set->setDesc, values, nulls);
}

/* Can all wallets of an answer be read?  Then the rows raise no error. */
static bool
are_wallets(const Batch *batch, const B24Json *wallets, B24Problem *problem)
{
	if (b24_json_type(wallets) != B24_JSON_ARRAY)
	{
		b24_problem(problem, B24_NONSENSE, "\"%s\" should be an array",
					batch->endpoint->result);
		return false;
	}
	for (size_t i = 0; i < b24_json_length(wallets); i++)
	{
		const B24Json *wallet = b24_json_element(wallets, i);

		if (wallet == NULL)
		{
			b24_problem(problem, B24_NONSENSE, "an element of \"%s\" is null",
						batch->endpoint->result);
			return false;
		}
		if (!b24_fits(batch->site->result, wallet, "wallet", problem))
			return false;
	}
	return true;
}

/*
 * The rows of one customer: one per wallet, one without a wallet if there is
 * none, or one with what went wrong.
 */
static void
put_reply(Batch *batch, const B24Job *job)
{
	Datum		code = PointerGetDatum(job->user);
	const B24Reply *reply = &job->reply;
	const B24Secrets *secrets = &batch->account->secrets;
	B24Problem	problem;

	if (reply->status != B24_OK)
	{
		char	   *message = b24_reply_message(batch->endpoint, secrets, reply);
		char	   *detail = b24_reply_detail(secrets, reply);

		put_row(batch, code, NULL, b24_sqlstate(reply->status),
				detail != NULL && reply->text[0] == '\0' ?
				psprintf("%s (%s)", message, detail) : message);
	}
	else if (!are_wallets(batch, reply->result, &problem))
		put_row(batch, code, NULL, b24_sqlstate(problem.status),
				psprintf("could not read the answer: %s", problem.text));
	else if (b24_json_length(reply->result) == 0)
		put_row(batch, code, NULL, 0, NULL);
	else
	{
		for (size_t i = 0; i < b24_json_length(reply->result); i++)
			put_row(batch, code, b24_json_element(reply->result, i), 0, NULL);
	}
}

/* Sends the request for one code; false if the code itself is not acceptable. */
static bool
send_one(Batch *batch, B24Exchange *exchange, text *code)
{
	int			length = VARSIZE_ANY_EXHDR(code);
	const char *utf8;
	B24Job	   *job;
	B24Problem	problem;

	if (!b24_text_argument_fits("sync_code", VARDATA_ANY(code), length, true,
								&problem))
	{
		put_row(batch, PointerGetDatum(code), NULL, b24_sqlstate(problem.status),
				problem.text);
		return false;
	}
	if (GetDatabaseEncoding() == PG_SQL_ASCII &&
		!pg_verify_mbstr(PG_UTF8, VARDATA_ANY(code), length, true))
	{
		put_row(batch, PointerGetDatum(code), NULL, ERRCODE_CHARACTER_NOT_IN_REPERTOIRE,
				"the code is not valid UTF-8");
		return false;
	}
	job = b24_job_new(exchange, batch->endpoint);
	job->user = code;
	utf8 = b24_text_to_utf8(VARDATA_ANY(code), length, &length);
	if (!b24_json_put(job->arguments, "sync_code", b24_json_new_string(utf8, length)) ||
		b24_job_encode(job, &problem) != B24_OK)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	b24_job_send(job);
	return true;
}

PG_FUNCTION_INFO_V1(bill24_get_wallet_balances);

/*
 * bill24_get_wallet_balances(sync_codes text[], server name): the wallets of
 * many customers, at most max_in_flight requests at once (page "Get Wallet
 * Balance").  Rows come as the answers do.  Errors: 22004 NULL array or
 * element, those of the account and of the login; what goes wrong with one
 * customer is a row with sqlstate and error.
 */
Datum
bill24_get_wallet_balances(PG_FUNCTION_ARGS)
{
	const B24CallSite *site = b24_call_site(fcinfo);
	const B24Account *account = b24_call_account(site, fcinfo, &b24_bill24);
	Batch		batch = {
		.account = account,
		.endpoint = &b24_endpoints[B24_EP_get_wallet_balance],
		.site = site,
		.reading = {.operation = "get_wallet_balance", .tolerant = true},
		.set = (ReturnSetInfo *) fcinfo->resultinfo,
	};
	B24Exchange *exchange;
	B24Job	   *job;
	Datum	   *codes;
	int			count;
	int			sent = 0;
	int			under_way = 0;
	MemoryContext old;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"sync_codes\" must not be NULL")));
	InitMaterializedSRF(fcinfo, 0);
	count = distinct_codes(PG_GETARG_ARRAYTYPE_P(0), &codes);
	exchange = b24_exchange_new(account);
	batch.scratch = AllocSetContextCreate(CurrentMemoryContext, "bill24 rows",
										  ALLOCSET_DEFAULT_SIZES);

	old = MemoryContextSwitchTo(batch.scratch);
	while (sent < count || under_way > 0)
	{
		CHECK_FOR_INTERRUPTS();
		while (sent < count && under_way < exchange->max_in_flight)
			under_way += send_one(&batch, exchange, DatumGetTextPP(codes[sent++]));
		job = b24_exchange_wait(exchange);
		if (job == NULL)
			continue;
		under_way--;

		/* without a login there is no answer for anybody */
		if (job->reply.status == B24_LOGIN_REFUSED)
			b24_report_reply(account->server, batch.endpoint, &account->secrets,
							 &job->reply);
		put_reply(&batch, job);
		b24_job_free(job);
		MemoryContextReset(batch.scratch);
	}
	MemoryContextSwitchTo(old);
	b24_exchange_end(exchange);
	PG_RETURN_NULL();
}
