/*-------------------------------------------------------------------------
 *
 * check.c
 *	  The doctor: what works between this database and the provider.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"
#include "utils/builtins.h"

#include "call.h"
#include "report.h"
#include "text.h"
#include "token.h"

/* A clock that is off by more is worth a word. */
#define TOLERABLE_SKEW_S 60

static void
put_step(ReturnSetInfo *set, const char *step, bool ok, const char *detail,
		 const char *hint)
{
	Datum		values[4];
	bool		nulls[4] = {false, false, detail == NULL, hint == NULL};

	values[0] = CStringGetTextDatum(step);
	values[1] = BoolGetDatum(ok);
	values[2] = detail != NULL ? CStringGetTextDatum(detail) : (Datum) 0;
	values[3] = hint != NULL ? CStringGetTextDatum(hint) : (Datum) 0;
	tuplestore_putvalues(set->setResult, set->setDesc, values, nulls);
}

static char *
milliseconds(const char *what, long from_us, long to_us)
{
	return psprintf("%s %.1f ms", what, (to_us - from_us) / 1000.0);
}

/* The steps up to the answer; false where the trouble is. */
static bool
check_connection(ReturnSetInfo *set, const B24Account *account,
				 const B24HttpAnswer *answer)
{
	const char *text = b24_text_for_message(answer->text);

	if (answer->resolved_us == 0 && answer->connected_us == 0)
	{
		put_step(set, "dns", false, text,
				 "Check the host name in base_url, and name resolution on the database server.");
		return false;
	}
	put_step(set, "dns", true, milliseconds("resolved in", 0, answer->resolved_us), NULL);

	if (answer->connected_us == 0)
	{
		put_step(set, "connection", false, text,
				 "Check the port in base_url, and whether a firewall lets the database server out.");
		return false;
	}
	put_step(set, "connection", true,
			 milliseconds("connected in", answer->resolved_us, answer->connected_us), NULL);

	if (!b24_url_is_https(account->base_url))
		put_step(set, "tls", true, "none: plain http, as allow_http says",
				 "Only for tests: over http anybody on the way can read and change payments.");
	else if (answer->secured_us == 0)
	{
		put_step(set, "tls", false, text,
				 "If the server's certificate is signed by an authority of your own, name it in the server option ca_file.");
		return false;
	}
	else
		put_step(set, "tls", true,
				 milliseconds("verified in", answer->connected_us, answer->secured_us), NULL);
	return true;
}

/* The account, or NULL after the row that tells why there is none. */
static const B24Account *
check_account(FunctionCallInfo fcinfo, const B24Provider *provider)
{
	const B24Account *account;
	const char *hint = NULL;
	B24Problem	problem;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"server\" must not be NULL")));
	account = b24_account_try(NameStr(*PG_GETARG_NAME(0)), provider, &problem, &hint);
	InitMaterializedSRF(fcinfo, 0);
	if (account == NULL)
		put_step((ReturnSetInfo *) fcinfo->resultinfo, "configuration", false,
				 problem.text, hint);
	return account;
}

PG_FUNCTION_INFO_V1(bill24_check);

/*
 * bill24_check(server name): one row a step, up to the first that fails:
 * configuration, dns, connection, tls, authorization (page "Authorization"),
 * clock.  Logs in anew, over a new connection.  Errors: only 42704 no such
 * server, 42809 one of another wrapper, 42501 no USAGE; the rest is in rows.
 */
Datum
bill24_check(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *set = (ReturnSetInfo *) fcinfo->resultinfo;
	const B24Account *account;
	B24LoginReport report;
	B24Reply	failure;
	bool		ok;

	account = check_account(fcinfo, &b24_bill24);
	if (account == NULL)
		PG_RETURN_NULL();
	put_step(set, "configuration", true,
			 account->secrets.hash_token != NULL ? account->base_url :
			 psprintf("%s, without hash_token", account->base_url),
			 account->secrets.hash_token != NULL ? NULL :
			 "bill24_settle_payment() needs the option hash_token in the user mapping.");

	memset(&report, 0, sizeof(report));
	memset(&failure, 0, sizeof(failure));
	ok = b24_token_login(account, &report, &failure);
	if (failure.status == B24_NO_CREDENTIAL)
	{
		put_step(set, "authorization", false, failure.text,
				 b24_status_info(failure.status)->hint);
		PG_RETURN_NULL();
	}
	if (!check_connection(set, account, &report.answer))
		PG_RETURN_NULL();
	if (!ok)
	{
		put_step(set, "authorization", false,
				 psprintf("%s (%s)", b24_reply_message(&b24_endpoints[B24_EP_authorize],
												   &account->secrets, &failure),
						  b24_reply_detail(&account->secrets, &failure) != NULL ?
						  b24_reply_detail(&account->secrets, &failure) : "no answer"),
				 b24_status_info(failure.status)->hint);
		PG_RETURN_NULL();
	}
	put_step(set, "authorization", true,
			 report.lifetime_s > 0 ?
			 psprintf("the token is valid for %ld s", report.lifetime_s) :
			 "the answer does not say how long the token is valid", NULL);
	if (!report.skew_known)
		put_step(set, "clock", true, "the provider does not tell its time", NULL);
	else
		put_step(set, "clock", labs(report.skew_s) <= TOLERABLE_SKEW_S,
				 psprintf("the provider's clock is %ld s ahead", report.skew_s),
				 labs(report.skew_s) <= TOLERABLE_SKEW_S ? NULL :
				 "Tokens are reckoned by the provider's clock, so calls work; but set the clock of the database server.");
	PG_RETURN_NULL();
}

/* A request that is made for its answer's sake alone. */
typedef struct Probe
{
	B24Waiter	waiter;			/* first: the transfer's owner */
	MemoryContextCallback callback;
	B24Transfer *transfer;
	B24Json    *arguments;
	B24Request	request;
	B24HttpAnswer answer;		/* its body is gone */
	B24Reply	reply;
} Probe;

static void
end_probe(void *arg)
{
	Probe	   *probe = arg;

	if (probe->transfer != NULL)
		b24_http_end(probe->transfer);
	b24_json_free(probe->arguments);
	b24_request_free(&probe->request);
	b24_reply_free(&probe->reply);
}

/*
 * Asks for a customer that is not there, over a new connection.  The probe
 * lives as long as the current memory context.
 */
static Probe *
ask_for_nobody(const B24Account *account, B24Problem *problem)
{
	static const char nobody[] = "customer_00000000000000000000000000000000";
	const B24Endpoint *endpoint = &b24_endpoints[B24_EP_paycombat_get_customer];
	Probe	   *probe = palloc0(sizeof(Probe));
	B24HttpOptions options = account->http;

	probe->callback.func = end_probe;
	probe->callback.arg = probe;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &probe->callback);
	probe->arguments = b24_json_new_object();
	problem->status = B24_OK;
	if (probe->arguments == NULL ||
		!b24_json_set(probe->arguments, endpoint->remote_key,
					  b24_json_new_string(nobody, strlen(nobody))))
		b24_problem(problem, B24_NO_MEMORY, "out of memory");
	else if (b24_encode(endpoint, account->base_url, probe->arguments, &account->secrets,
						&probe->request, problem) == B24_OK)
		(void) b24_sign(account->provider, &account->secrets, NULL, &probe->request, problem);
	if (problem->status != B24_OK)
		return probe;

	options.fresh = true;
	probe->transfer = b24_http_start(b24_pool(), &probe->request, &options, &probe->waiter);
	if (probe->transfer == NULL)
	{
		b24_problem(problem, B24_NO_MEMORY, "could not start a transfer");
		return probe;
	}
	while (!probe->waiter.is_done)
		b24_pool_wait(-1);
	probe->answer = *b24_http_answer(probe->transfer);
	b24_decode(endpoint, &probe->answer, &probe->reply);
	probe->answer.body = NULL;
	b24_http_end(probe->transfer);
	probe->transfer = NULL;
	return probe;
}

PG_FUNCTION_INFO_V1(paycombat_check);

/*
 * paycombat_check(server name): as bill24_check(), up to authorization, which
 * is whether PayCombat answers at all to a question with this x_token: there
 * is no login.  Whether it takes the signature_key shows only when something
 * is changed.
 */
Datum
paycombat_check(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *set = (ReturnSetInfo *) fcinfo->resultinfo;
	const B24Account *account = check_account(fcinfo, &b24_paycombat);
	const char *key_hint = "paycombat_create_customer() and paycombat_update_customer() need the option signature_key in the user mapping.";
	const char *detail;
	B24Problem	problem;
	B24Status	status;
	Probe	   *probe;

	if (account == NULL)
		PG_RETURN_NULL();
	put_step(set, "configuration", true,
			 account->secrets.signature_key != NULL ? account->base_url :
			 psprintf("%s, without signature_key", account->base_url),
			 account->secrets.signature_key != NULL ? NULL : key_hint);
	probe = ask_for_nobody(account, &problem);
	if (problem.status != B24_OK)
	{
		put_step(set, "authorization", false, problem.text,
				 b24_status_info(problem.status)->hint);
		PG_RETURN_NULL();
	}
	if (!check_connection(set, account, &probe->answer))
		PG_RETURN_NULL();
	status = probe->reply.status;
	detail = b24_reply_detail(&account->secrets, &probe->reply);

	/* that there is no such customer is the best of answers */
	if (status == B24_OK || status == B24_NOT_FOUND || status == B24_INVALID)
		put_step(set, "authorization", true, "the x_token is accepted", NULL);
	else
		put_step(set, "authorization", false,
				 psprintf("%s (%s)", b24_reply_message(&b24_endpoints[B24_EP_paycombat_get_customer],
													   &account->secrets, &probe->reply),
						  detail != NULL ? detail : "no answer"),
				 b24_status_info(status)->hint);
	PG_RETURN_NULL();
}
