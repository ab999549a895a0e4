/*-------------------------------------------------------------------------
 *
 * preview.c
 *	  Dry runs, and requests to paths that have no function of their own.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "bills.h"
#include "call.h"
#include "jsontext.h"
#include "operation.h"
#include "report.h"
#include "stringify.h"
#include "text.h"

/* What stands for a secret. */
#define MASK "***"

static JsonbValue
string_value(const char *utf8)
{
	JsonbValue	value;
	char	   *text = b24_text_from_utf8(utf8, strlen(utf8));

	value.type = jbvString;
	value.val.string.val = text;
	value.val.string.len = strlen(text);
	return value;
}

static void
push(JsonbParseState **state, const char *key, JsonbValue value)
{
	JsonbValue	name = string_value(key);

	pushJsonbValue(state, WJB_KEY, &name);
	pushJsonbValue(state, WJB_VALUE, &value);
}

static Jsonb *
request_to_jsonb(const B24Request *request)
{
	JsonbParseState *state = NULL;
	JsonbValue	null = {.type = jbvNull};
	JsonbValue	headers = string_value("headers");

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push(&state, "method", string_value(request->method));
	push(&state, "url", string_value(request->url));
	pushJsonbValue(&state, WJB_KEY, &headers);
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < request->header_count; i++)
	{
		char	   *name = pstrdup(request->headers[i]);
		char	   *colon = strchr(name, ':');

		*colon = '\0';
		push(&state, name, string_value(colon + 2));
	}
	push(&state, "User-Agent", string_value(b24_user_agent()));
	push(&state, "Accept-Encoding", string_value("gzip"));
	pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	push(&state, "body", request->body != NULL ? string_value(request->body) : null);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

PG_FUNCTION_INFO_V1(bill24_preview);

/*
 * bill24_preview(operation text, request jsonb, server name): the request
 * that a call would send, and nothing is sent.  request has the arguments of
 * the operation's function by name.  Errors: 22023 unknown operation or
 * argument, and those of the call itself.
 */
Datum
bill24_preview(PG_FUNCTION_ARGS)
{
	const B24CallSite *site = b24_call_site(fcinfo);
	const B24Account *account;
	const B24Endpoint *endpoint;
	const B24Signature *signature;
	const char *operation;
	B24Job	   *job;
	B24Secrets	masked;
	B24Problem	problem;
	Jsonb	   *result;

	b24_call_refuse_nulls(site, fcinfo, 3);
	account = b24_call_account(site, fcinfo, NULL);
	operation = text_to_cstring(PG_GETARG_TEXT_PP(0));
	signature = b24_operation(operation, account->provider, b24_call_extension(fcinfo),
							  &endpoint);
	job = b24_job_new(b24_exchange_new(account), endpoint);
	b24_arguments_from_jsonb(signature, PG_GETARG_JSONB_P(1), job->arguments);
	if (endpoint == &b24_endpoints[B24_EP_get_bills])
		b24_bills_put_page(job->arguments, 1);

	/* what is a header as it is; a signature tells nothing of its key */
	masked = account->secrets;
	masked.x_token = MASK;
	if (b24_job_encode(job, &problem) != B24_OK ||
		b24_sign(account->provider, &masked, MASK, &job->request, &problem) != B24_OK)
		b24_report_problem(endpoint->name, &problem);
	result = request_to_jsonb(&job->request);
	b24_exchange_end(job->exchange);
	PG_RETURN_JSONB_P(result);
}

/*
 * Sends a request to any path of a provider's server, with a body of UTF-8 or
 * NULL, and returns the whole answer.  One that is no success is an error, as
 * everywhere; one that does not say is returned as it is.
 */
static Datum
send_any(FunctionCallInfo fcinfo, const B24Provider *provider, const char *body)
{
	const B24CallSite *site = b24_call_site(fcinfo);
	const B24Account *account = b24_call_account(site, fcinfo, provider);
	const char *method = text_to_cstring(PG_GETARG_TEXT_PP(0));
	const char *path = text_to_cstring(PG_GETARG_TEXT_PP(1));
	B24Endpoint *endpoint;
	B24Reading	reading = {.operation = "request", .tolerant = false};
	B24Job	   *job;
	B24Problem	problem;
	Datum		result;
	bool		isnull;

	/* an operation made for this call; it lives as long as the job */
	endpoint = palloc0(sizeof(B24Endpoint));
	endpoint->name = "request";
	endpoint->provider = account->provider;
	endpoint->method = method;
	endpoint->result = "";
	endpoint->changes = strcmp(method, "GET") != 0;
	reading.tolerant = endpoint->changes;
	job = b24_job_new(b24_exchange_new(account), endpoint);
	if (b24_encode_raw(account->base_url, method, path, body, &job->request,
					   &problem) != B24_OK)
		b24_report_problem(endpoint->name, &problem);
	b24_job_run(job);
	if (job->reply.status != B24_OK)
		b24_report_reply(account->server, endpoint, &account->secrets, &job->reply);
	if (!b24_fits(site->result, job->reply.result, "answer", &problem))
		b24_report_misfit(endpoint, &problem);
	result = b24_value(site->result, &reading, job->reply.result, &isnull);
	b24_exchange_end(job->exchange);
	if (isnull)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(result);
}

PG_FUNCTION_INFO_V1(bill24_request);

/*
 * bill24_request(method text, path text, body jsonb, server name): any path
 * of the server.  Errors: 22023 bad method or path, and those of any operation.
 */
Datum
bill24_request(PG_FUNCTION_ARGS)
{
	char	   *body = NULL;

	b24_call_refuse_nulls(b24_call_site(fcinfo), fcinfo, 2);
	if (!PG_ARGISNULL(2))
	{
		Jsonb	   *jsonb = PG_GETARG_JSONB_P(2);

		body = JsonbToCString(NULL, &jsonb->root, VARSIZE(jsonb));
		body = b24_text_to_utf8(body, strlen(body), NULL);
	}
	return send_any(fcinfo, &b24_bill24, body);
}

/* A body as JSON.stringify writes it. */
static char *
stringified(const char *local)
{
	int			length;
	const char *utf8 = b24_text_to_utf8(local, strlen(local), &length);
	B24Problem	problem;
	B24Json    *json;
	B24Json    *copy;
	char	   *text = NULL;

	if (!b24_json_escapes_fit(utf8, length))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"body\" cannot be sent"),
				 errdetail("It escapes a NUL character, or half of a surrogate pair.")));
	if (strcmp(utf8, "null") == 0)
		return pstrdup(utf8);
	json = b24_json_parse(utf8, length, &problem);
	if (json != NULL && b24_stringify(json, &copy, &problem) == B24_OK)
	{
		text = MemoryContextAllocExtended(CurrentMemoryContext,
										  strlen(b24_json_text(copy, NULL)) + 1,
										  MCXT_ALLOC_NO_OOM);
		if (text != NULL)
			strcpy(text, b24_json_text(copy, NULL));
		else
			b24_problem(&problem, B24_NO_MEMORY, "out of memory");
		b24_json_free(copy);
	}
	b24_json_free(json);
	if (text == NULL)
		ereport(ERROR,
				(errcode(problem.status == B24_NO_MEMORY ? ERRCODE_OUT_OF_MEMORY :
						 ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"body\" cannot be sent"),
				 errdetail("%s.", problem.text)));
	return text;
}

PG_FUNCTION_INFO_V1(paycombat_request);

/*
 * paycombat_request(method text, path text, body json, server name): any path
 * of the server.  The body goes out, signed, as JSON.stringify writes it.
 * Errors: 22023 bad method or path, a number in the body that no double holds;
 * and those of any operation.
 */
Datum
paycombat_request(PG_FUNCTION_ARGS)
{
	char	   *body = NULL;

	b24_call_refuse_nulls(b24_call_site(fcinfo), fcinfo, 2);
	if (!PG_ARGISNULL(2))
		body = stringified(text_to_cstring(PG_GETARG_TEXT_PP(2)));
	return send_any(fcinfo, &b24_paycombat, body);
}
