/*-------------------------------------------------------------------------
 *
 * call.c
 *	  The SQL functions that call an operation now, in this statement.
 *
 * One C function serves them all: the row of endpointlist.h says what goes on
 * the wire, the SQL declaration what goes in and comes out.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/dependency.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "compat.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "call.h"
#include "errand.h"
#include "feed.h"
#include "operation.h"
#include "paycombat_customer.h"
#include "report.h"
#include "store.h"

/* Signature and result type, looked up once per place in a query. */
const B24CallSite *
b24_call_site(FunctionCallInfo fcinfo)
{
	FmgrInfo   *flinfo = fcinfo->flinfo;
	B24CallSite *site = flinfo->fn_extra;
	Oid			type;
	TupleDesc	tupdesc = NULL;
	TypeFuncClass class;

	if (site != NULL)
		return site;
	site = MemoryContextAllocZero(flinfo->fn_mcxt, sizeof(B24CallSite));
	site->signature = b24_signature(flinfo->fn_oid, flinfo->fn_mcxt);
	site->returns_set = get_func_retset(flinfo->fn_oid);
	class = get_call_result_type(fcinfo, &type, &tupdesc);
	if (class != TYPEFUNC_COMPOSITE && class != TYPEFUNC_SCALAR)
		elog(ERROR, "unexpected result type of function %u", flinfo->fn_oid);
	site->result = b24_type(type, -1, class == TYPEFUNC_COMPOSITE ? tupdesc : NULL,
							flinfo->fn_mcxt);
	flinfo->fn_extra = site;
	return site;
}

/*
 * The account that the argument "server" names, of a provider or (wanted is
 * NULL) of any.
 */
const B24Account *
b24_call_account(const B24CallSite *site, FunctionCallInfo fcinfo,
				 const B24Provider *wanted)
{
	int			i = site->signature->server;

	if (i < 0 || PG_ARGISNULL(i))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"server\" must not be NULL"),
				 errhint("Leave it out to call the server \"%s\".",
						 b24_operation_provider(site->signature->function)->name)));
	return b24_account_open(NameStr(*PG_GETARG_NAME(i)), wanted);
}

/* What the argument "missing_ok" says; false if there is none. */
bool
b24_call_missing_ok(const B24CallSite *site, FunctionCallInfo fcinfo)
{
	int			i = site->signature->missing_ok;

	return i >= 0 && !PG_ARGISNULL(i) && PG_GETARG_BOOL(i);
}

/* The first arguments, so many, must not be NULL. */
void
b24_call_refuse_nulls(const B24CallSite *site, FunctionCallInfo fcinfo, int count)
{
	for (int i = 0; i < count; i++)
	{
		if (PG_ARGISNULL(i))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("argument \"%s\" must not be NULL",
							site->signature->parameters[i].name)));
	}
}

/* The extension that the function belongs to. */
Oid
b24_call_extension(FunctionCallInfo fcinfo)
{
	B24CallSite *site = fcinfo->flinfo->fn_extra;

	if (!OidIsValid(site->extension))
		site->extension = getExtensionOfObject(ProcedureRelationId,
											   fcinfo->flinfo->fn_oid);
	return site->extension;
}

/*
 * Makes the arguments of a job what its operation wants: in the order of the
 * function's, and with the provider's own key where the caller gave ours alone.
 * Error: 22004 if neither is there, KH404 if there is none for ours.
 */
void
b24_call_complete(B24Job *job)
{
	const B24Endpoint *endpoint = job->endpoint;
	bool		looks = endpoint->remote_key != NULL &&
		b24_json_get(job->arguments, endpoint->remote_key) == NULL;
	B24Problem	problem;
	B24Status	status;
	B24Store	store;

	if (looks)
		b24_store_open(&store);
	status = b24_errand_complete(endpoint, &job->arguments, job->exchange->account,
								 &problem);
	if (looks)
		b24_store_close(&store);
	if (status != B24_OK)
		b24_report_problem(endpoint->name, &problem);
}

/*
 * Finds what is wrong with a request that will be sent later, by making it.
 * The provider's own key may become known only when the jobs before this one
 * have been sent: to see whether all else is right, anything does.  Raises the
 * errors of the call itself that need no answer.
 */
void
b24_call_rehearse(const B24Account *account, const B24Endpoint *endpoint,
				  B24Json *arguments)
{
	B24Request	request = {0};
	B24Problem	problem;
	B24Status	status;

	if (endpoint->remote_key != NULL &&
		b24_json_get(arguments, endpoint->remote_key) == NULL &&
		!b24_json_set(arguments, endpoint->remote_key, b24_json_new_string("-", 1)))
		status = b24_problem(&problem, B24_NO_MEMORY, "out of memory");
	else
		status = b24_encode(endpoint, account->base_url, arguments,
							&account->secrets, &request, &problem);
	b24_request_free(&request);
	if (status != B24_OK)
		b24_report_problem(endpoint->name, &problem);
}

/*
 * Makes the request of a job from its arguments, sends it and waits.  What is
 * no success is an error, except what is not found where that may be.  All
 * direct calls pass here, so here the mirror learns of them, and what the
 * answer tells of a customer is kept.
 */
void
b24_call_job(B24Job *job, bool missing_ok)
{
	const B24Account *account = job->exchange->account;
	TimestampTz asked_at;
	B24Problem	problem;

	if (b24_job_encode(job, &problem) != B24_OK)
		b24_report_problem(job->endpoint->name, &problem);
	asked_at = GetCurrentTimestamp();
	b24_job_run(job);
	b24_feed(job, asked_at);
	if (job->reply.status != B24_OK &&
		(job->reply.status != B24_NOT_FOUND || !missing_ok))
		b24_report_reply(account->server, job->endpoint, &account->secrets,
						 &job->reply);
	if (job->reply.status == B24_OK &&
		job->endpoint->keeps != B24_KEEPS_NOTHING &&
		!b24_repeats_secret(&account->secrets, job->reply.result))
		b24_paycombat_customer_keep(account->server, account->number, job->endpoint,
									job->arguments, job->reply.result, 0, WARNING);
}

/*
 * A look-up that does not say what it is about, or is about something else
 * than was asked, is no answer.
 */
static void
check_echo(const B24Job *job)
{
	static const struct
	{
		B24EndpointId endpoint;
		const char *argument;
		const char *field;
	}			keys[] = {
		{B24_EP_get_customer, "sync_code", "sync_code"},
		{B24_EP_get_bill, "ref_id", "ref_id"},
		{B24_EP_get_transaction, "ref_id", "reference_id"},
		{B24_EP_paycombat_get_customer, "customer_id", "customer_id"},
	};

	for (int i = 0; i < lengthof(keys); i++)
	{
		const B24Json *field = b24_json_get(job->reply.result, keys[i].field);
		const char *asked = b24_json_string(b24_json_get(job->arguments,
														 keys[i].argument), NULL);
		const char *told = b24_json_string(field, NULL);
		B24Problem	problem;

		if (job->endpoint != &b24_endpoints[keys[i].endpoint])
			continue;
		if (told == NULL)
			told = b24_json_number(field);
		if (told != NULL && strcmp(asked, told) == 0)
			continue;
		b24_problem(&problem, B24_NONSENSE,
					told == NULL ? "it does not say which %s it is about" :
					"it is about another %s than was asked for", keys[i].argument);
		b24_report_misfit(job->endpoint, &problem);
	}
}

/* A result of several rows, all of one answer. */
static void
return_rows(FunctionCallInfo fcinfo, const B24CallSite *site,
			const B24Endpoint *endpoint, const B24Reading *reading,
			const B24Json *rows)
{
	ReturnSetInfo *set = (ReturnSetInfo *) fcinfo->resultinfo;
	int			columns = set->setDesc->natts;
	Datum	   *values = palloc0(columns * sizeof(Datum));
	bool	   *nulls = palloc(columns * sizeof(bool));
	B24Problem	problem;

	memset(nulls, true, columns * sizeof(bool));
	if (b24_json_type(rows) != B24_JSON_ARRAY)
	{
		b24_problem(&problem, B24_NONSENSE, "field \"%s\" should be an array",
					endpoint->result);
		b24_report_misfit(endpoint, &problem);
	}
	for (size_t i = 0; i < b24_json_length(rows); i++)
	{
		const B24Json *row = b24_json_element(rows, i);

		if (row == NULL)
			b24_problem(&problem, B24_NONSENSE, "an element of \"%s\" is null",
						endpoint->result);
		if (row == NULL ||
			!b24_fits(site->result, row, endpoint->result, &problem))
			b24_report_misfit(endpoint, &problem);
		b24_values(site->result, reading, row, values, nulls);
		tuplestore_putvalues(set->setResult, set->setDesc, values, nulls);
	}
}

/* A result of one value. */
static Datum
return_value(const B24CallSite *site, const B24Job *job,
			 const B24Reading *reading, bool *isnull)
{
	const B24Endpoint *endpoint = job->endpoint;
	const char *name = endpoint->result[0] != '\0' ? endpoint->result : "answer";
	B24Problem	problem;

	if (!b24_fits(site->result, job->reply.result, name, &problem))
		b24_report_misfit(endpoint, &problem);
	check_echo(job);
	return b24_value(site->result, reading, job->reply.result, isnull);
}

/* Says so if the operation is sent to a path that is not documented. */
void
b24_call_warn(const B24Account *account, const B24Endpoint *endpoint)
{
	if (endpoint->path_is_guess &&
		b24_endpoint_path(endpoint, &account->secrets) == endpoint->path)
		ereport(WARNING,
				(errmsg("the path of %s is not documented", endpoint->name),
				 errdetail("It is sent to %s.", endpoint->path),
				 errhint("Ask the provider for the path, and set the option %s of server \"%s\" to it, even to the same.",
						 endpoint->path_option, account->server)));
}

/*
 * Calls an operation with the arguments of an SQL function and returns its
 * result.  Errors: see the table in status.c; a function that reads returns
 * NULL, or no row, for what is not found if missing_ok says so.
 */
Datum
b24_call(FunctionCallInfo fcinfo, B24EndpointId id)
{
	const B24Endpoint *endpoint = &b24_endpoints[id];
	const B24CallSite *site = b24_call_site(fcinfo);
	const B24Account *account = b24_call_account(site, fcinfo, endpoint->provider);
	B24Reading	reading = {.operation = endpoint->name, .tolerant = endpoint->changes};
	B24Job	   *job = b24_job_new(b24_exchange_new(account), endpoint);
	Datum		result = (Datum) 0;
	bool		isnull = true;

	b24_arguments_put(site->signature, fcinfo, job->arguments);
	b24_call_complete(job);
	b24_call_warn(account, endpoint);
	if (site->returns_set)
		InitMaterializedSRF(fcinfo, 0);
	b24_call_job(job, b24_call_missing_ok(site, fcinfo));

	if (job->reply.status != B24_OK)
		;						/* not found: NULL, or no row */
	else if (site->returns_set)
		return_rows(fcinfo, site, endpoint, &reading, job->reply.result);
	else
		result = return_value(site, job, &reading, &isnull);
	b24_exchange_end(job->exchange);
	if (isnull)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(result);
}

/* One entry point for each row: bill24_create_customer and so on. */
#define B24_SPECIAL(name_, ...)
#define B24_ENDPOINT(name_, ...) \
	PG_FUNCTION_INFO_V1(bill24_##name_); \
	Datum \
	bill24_##name_(PG_FUNCTION_ARGS) \
	{ \
		return b24_call(fcinfo, B24_EP_##name_); \
	}
#include "endpointlist.h"
