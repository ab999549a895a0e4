/*-------------------------------------------------------------------------
 *
 * errand.c
 *	  A job of the outbox on its way, from the claim to the outcome.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "compat.h"

#include "arguments.h"
#include "errand.h"
#include "operation.h"
#include "paycombat_customer.h"
#include "report.h"
#include "row.h"
#include "text.h"

/* What is said of a job whose outcome is unknown, and that could be sent again. */
#define MAY_RESEND ", and is sent again only with the server option resend_unknown"

static void
cleanup(void *arg)
{
	B24Errand  *errand = arg;

	b24_json_free(errand->arguments);
	if (errand->job != NULL)
		b24_job_free(errand->job);
}

/* An errand for a claimed job. */
B24Errand *
b24_errand_new(MemoryContext parent, const B24Claim *claim)
{
	MemoryContext context = AllocSetContextCreate(parent, "bill24 errand",
												  ALLOCSET_SMALL_SIZES);
	B24Errand  *errand = MemoryContextAllocZero(context, sizeof(B24Errand));

	errand->context = context;
	errand->callback.func = cleanup;
	errand->callback.arg = errand;
	MemoryContextRegisterResetCallback(context, &errand->callback);
	errand->id = claim->id;
	errand->account = claim->account;
	errand->key = MemoryContextStrdup(context, claim->key);
	errand->attempt = claim->attempt;
	errand->unknown = claim->unknown;
	errand->merged = claim->merged;
	return errand;
}

/* Frees an errand, in flight or not. */
void
b24_errand_free(B24Errand *errand)
{
	MemoryContextDelete(errand->context);
}

/* Ends an errand before anything was sent. */
void
b24_errand_end(B24Errand *errand, B24Verdict verdict, const B24Problem *problem)
{
	errand->verdict = verdict;
	errand->problem = *problem;
}

/*
 * Reads what is to be done.  False if that cannot be, and the errand is at its
 * end; raises errors of the conversion between encodings.
 */
bool
b24_errand_read(B24Errand *errand, const B24Claim *claim)
{
	B24Problem	problem;

	errand->endpoint = b24_endpoint_find(claim->operation);
	if (errand->endpoint == NULL || !errand->endpoint->changes)
	{
		b24_problem(&problem, B24_BAD_ARGUMENT, "there is no operation \"%.60s\" for the outbox",
					claim->operation);
		b24_errand_end(errand, B24_VERDICT_FAILED, &problem);
		return false;
	}
	errand->arguments = b24_arguments_parse(claim->request);
	if (b24_json_type(errand->arguments) != B24_JSON_OBJECT)
	{
		b24_problem(&problem, B24_BAD_ARGUMENT, "the request is not an object that can be sent");
		b24_errand_end(errand, B24_VERDICT_FAILED, &problem);
		return false;
	}
	return true;
}

/*
 * The arguments in the order of the function's, where that counts, and with
 * the provider's own key, where that is missing.
 */
B24Status
b24_errand_complete(const B24Endpoint *endpoint, B24Json **arguments,
					const B24Account *account, B24Problem *problem)
{
	const B24Signature *signature;

	if (!endpoint->provider->keeps_order)
		return B24_OK;
	signature = b24_operation(endpoint->name, endpoint->provider,
							  get_extension_oid("bill24", false), &endpoint);
	b24_arguments_order(signature, arguments);
	return b24_paycombat_customer_complete(account, endpoint, signature, arguments,
										   problem);
}

/*
 * Makes the request: the job's, or the look-up of what became of it.  False if
 * there is none, and the errand is at its end.
 */
bool
b24_errand_prepare(B24Errand *errand, B24Exchange *exchange)
{
	const B24Endpoint *endpoint = errand->endpoint;
	const B24Account *account = exchange->account;
	B24Step		step = b24_step(endpoint, errand->unknown, account->resend_unknown);
	B24Problem	problem;
	B24Job	   *job;
	bool		ok = true;

	errand->resend = account->resend_unknown;
	if (endpoint->provider != account->provider)
	{
		b24_problem(&problem, B24_NO_SERVER,
					"server \"%s\" is not a server of foreign-data wrapper \"%s\" any more",
					account->server, endpoint->provider->name);
		b24_errand_end(errand, B24_VERDICT_PARKED, &problem);
		return false;
	}
	if (step == B24_STEP_PARK)
	{
		b24_problem(&problem, B24_NO_ANSWER,
					"the outcome is unknown, and %s cannot be looked up%s", endpoint->name,
					endpoint->may_resend ? MAY_RESEND : "");
		b24_errand_end(errand, B24_VERDICT_PARKED, &problem);
		return false;
	}
	if (b24_errand_complete(endpoint, &errand->arguments, account, &problem) != B24_OK)
	{
		b24_errand_end(errand, B24_VERDICT_PARKED, &problem);
		return false;
	}
	errand->looking_up = step == B24_STEP_LOOK_UP;
	job = errand->looking_up ?
		b24_job_new(exchange, b24_endpoint_find(endpoint->lookup)) :
		b24_job_with(exchange, endpoint, b24_json_share(errand->arguments));
	job->user = errand;
	errand->job = job;
	if (errand->looking_up)
		ok = b24_json_put(job->arguments, endpoint->lookup_by,
						  b24_json_share(b24_json_get(errand->arguments,
													  endpoint->lookup_by)));
	if (!ok)
		b24_problem(&problem, B24_NO_MEMORY, "out of memory");
	else
		ok = b24_job_encode(job, &problem) == B24_OK;
	if (!ok)
	{
		B24Reply	reply = {.status = problem.status};

		b24_errand_end(errand, errand->looking_up ? B24_VERDICT_PARKED :
					   b24_verdict_sent(endpoint, 1, &reply, errand->resend), &problem);
	}
	return ok;
}

/* An answer arrived, or it is known that none will. */
void
b24_errand_answered(B24Errand *errand)
{
	const B24Reply *reply = &errand->job->reply;

	errand->problem.status = B24_OK;
	errand->problem.text[0] = '\0';
	errand->verdict = errand->looking_up ?
		b24_verdict_looked_up(errand->endpoint, errand->arguments, reply,
							  &errand->problem) :
		b24_verdict_sent(errand->endpoint, errand->attempt, reply, errand->resend);
}

/* It cannot be sent now, through no fault of its own: as if never claimed. */
void
b24_errand_put_back(B24Errand *errand)
{
	errand->unsent = true;
	errand->verdict = errand->unknown ? B24_VERDICT_UNKNOWN : B24_VERDICT_RETRY;
	errand->problem.status = B24_OK;
}

/* The provider's data as jsonb; 0 if there is none that can be kept. */
static Datum
response_of(const B24Errand *errand)
{
	static const B24Type *type = NULL;
	B24Reading	reading = {.operation = errand->endpoint->name, .tolerant = true};
	const B24Json *result = errand->job->reply.result;
	B24Problem	problem;
	bool		isnull;
	Datum		value;

	if (type == NULL)
		type = b24_type(JSONBOID, -1, NULL, TopMemoryContext);
	if (b24_json_type(result) == B24_JSON_NULL ||
		b24_repeats_secret(&errand->job->exchange->account->secrets, result) ||
		!b24_fits(type, result, "answer", &problem))
		return (Datum) 0;
	value = b24_value(type, &reading, result, &isnull);
	return isnull ? (Datum) 0 : value;
}

/* Why it ended without success, in words, and with the SQLSTATE for that. */
static void
explain(const B24Errand *errand, const char *prefix, B24Outcome *outcome)
{
	B24Status	status = errand->problem.status;
	const char *text;

	if (status != B24_OK)
		text = b24_text_for_message(errand->problem.text);
	else
	{
		const B24Job *job = errand->job;
		const B24Secrets *secrets = &job->exchange->account->secrets;
		const char *message = b24_reply_message(job->endpoint, secrets, &job->reply);
		const char *detail = b24_reply_detail(secrets, &job->reply);

		status = job->reply.status;
		text = detail != NULL ? psprintf("%s (%s)", message, detail) : message;
	}
	outcome->sqlstate = b24_status_info(status)->sqlstate;
	outcome->error = psprintf("%s%s%s", prefix,
							  errand->looking_up ? "looking it up: " : "", text);
}

/*
 * Keeps what the answer told of a customer, of the account that the job has by
 * now.  To be called in the transaction that writes the outcome.
 */
void
b24_errand_keep(const B24Errand *errand, const char *server, int64 account)
{
	if (errand->verdict == B24_VERDICT_DONE && errand->job != NULL &&
		!errand->looking_up && !errand->unsent &&
		errand->endpoint->keeps != B24_KEEPS_NOTHING &&
		!b24_repeats_secret(&errand->job->exchange->account->secrets,
							errand->job->reply.result))
		b24_paycombat_customer_keep(server, account, errand->endpoint,
									errand->job->arguments,
									errand->job->reply.result, 0, LOG);
}

/*
 * What is to be written of an errand that has ended, in the current memory
 * context.
 */
void
b24_errand_outcome(const B24Errand *errand, const B24ServerSettings *settings,
				   B24Outcome *outcome)
{
	B24Verdict	verdict = errand->verdict;
	const char *prefix = "";
	long		retry_after_s = -1;
	bool		at_once;

	memset(outcome, 0, sizeof(*outcome));
	outcome->id = errand->id;
	outcome->account = errand->account;
	outcome->key = errand->key;
	if (errand->unsent)
	{
		outcome->unsent = true;
		outcome->state = errand->unknown ? "unknown" : "queued";
		return;
	}
	if ((verdict == B24_VERDICT_RETRY || verdict == B24_VERDICT_UNKNOWN) &&
		errand->attempt >= settings->max_attempts)
	{
		verdict = B24_VERDICT_PARKED;
		prefix = psprintf("gave up after %d attempts: ", errand->attempt);
	}
	if (errand->job != NULL && errand->problem.status == B24_OK)
		retry_after_s = errand->job->reply.retry_after_s;

	switch (verdict)
	{
		case B24_VERDICT_DONE:
			outcome->state = "done";
			outcome->finished = true;
			outcome->response = response_of(errand);
			return;
		case B24_VERDICT_FAILED:
			outcome->state = errand->merged ? "waiting" : "failed";
			outcome->split = errand->merged;
			outcome->finished = !errand->merged;
			break;
		case B24_VERDICT_SEND:
			outcome->state = "queued";
			return;
		case B24_VERDICT_PARKED:
			outcome->state = "parked";
			if (errand->problem.status == B24_OK && errand->endpoint->may_resend &&
				prefix[0] == '\0')
				prefix = b24_status_info(errand->job->reply.status)->retry == B24_RETRY_AFTER_LOOKUP ?
					"cannot be looked up" MAY_RESEND ": " :
					errand->job->reply.status == B24_ALREADY_EXISTS ?
					"an earlier attempt may have made it: " : "";
			break;
		case B24_VERDICT_RETRY:
		case B24_VERDICT_UNKNOWN:
			outcome->state = verdict == B24_VERDICT_RETRY ? "queued" : "unknown";

			/* a clear answer that has to be looked into needs no patience */
			at_once = !errand->looking_up && errand->problem.status == B24_OK &&
				b24_status_info(errand->job->reply.status)->retry == B24_RETRY_NEVER &&
				!errand->job->reply.of_login;
			if (!at_once)
				outcome->delay_ms = b24_backoff_ms(errand->attempt,
												   settings->retry_delay_ms,
												   retry_after_s, b24_random());

			/* whoever gave no answer may still be busy with it */
			if (!at_once && verdict == B24_VERDICT_UNKNOWN)
				outcome->delay_ms += settings->retry_delay_ms;
			break;
	}
	explain(errand, prefix, outcome);
}
