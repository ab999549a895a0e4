/*-------------------------------------------------------------------------
 *
 * login.c
 *	  A login: from credentials to a bearer token.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <time.h>

#include "compat.h"

#include "login.h"
#include "stat.h"

static void
forget(B24LoginAttempt *attempt)
{
	b24_request_free(&attempt->request);
	b24_reply_free(&attempt->reply);
	free(attempt->login.bearer);
	free(attempt->login.refresh);
	memset(&attempt->reply, 0, sizeof(B24Reply));
	memset(&attempt->login, 0, sizeof(B24Login));
}

static void
cleanup(void *arg)
{
	B24LoginAttempt *attempt = arg;

	if (attempt->transfer != NULL)
		b24_http_end(attempt->transfer);
	forget(attempt);
}

static bool
fail(B24LoginAttempt *attempt, const B24Problem *problem)
{
	attempt->reply.status = problem->status;
	strlcpy(attempt->reply.text, problem->text, sizeof(attempt->reply.text));
	return false;
}

/* What the answer brought. */
static bool
read_login(B24LoginAttempt *attempt)
{
	B24Problem	problem;

	if (attempt->reply.status != B24_OK)
		return false;
	if (b24_bill24_login(&attempt->reply, attempt->answer.server_time_s,
						 (long) time(NULL), &attempt->login, &problem) != B24_OK)
		return fail(attempt, &problem);
	if (strlen(attempt->login.bearer) >= B24_MAX_BEARER)
	{
		b24_problem(&problem, B24_NONSENSE,
					"the bearer token is longer than %d characters",
					B24_MAX_BEARER - 1);
		return fail(attempt, &problem);
	}
	return true;
}

/* The transfer is done: read the answer while it is there. */
static void
transfer_done(B24Waiter *waiter)
{
	B24LoginAttempt *attempt = (B24LoginAttempt *) waiter;
	B24Transfer *done = attempt->transfer;
	B24StatSample sample;

	attempt->answer = *b24_http_answer(done);
	b24_decode(&b24_endpoints[B24_EP_authorize], &attempt->answer, &attempt->reply);
	attempt->answer.body = NULL;
	attempt->transfer = NULL;
	b24_http_end(done);
	attempt->ok = read_login(attempt);

	sample.status = attempt->reply.status;
	sample.retried = attempt->again;
	sample.bytes_sent = attempt->answer.bytes_sent;
	sample.bytes_received = attempt->answer.bytes_received;
	sample.total_us = attempt->answer.total_us;
	b24_stat_count(attempt->account->serverid, NULL, attempt->detached, &sample);
	attempt->again = true;
	attempt->over(attempt);
}

/* An attempt, in the current memory context; nothing is sent yet. */
B24LoginAttempt *
b24_login_new(const B24Account *account)
{
	B24LoginAttempt *attempt = palloc0(sizeof(B24LoginAttempt));

	attempt->account = account;
	attempt->waiter.done = transfer_done;
	attempt->callback.func = cleanup;
	attempt->callback.arg = attempt;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &attempt->callback);
	return attempt;
}

/*
 * Sends one login request, with a refresh token or, if that is NULL, with the
 * credentials alone.  The attempt's "over" is called when its outcome is known,
 * which may be before this returns.
 */
void
b24_login_start(B24LoginAttempt *attempt, const char *refresh)
{
	const B24Account *account = attempt->account;
	B24HttpOptions options = account->http;
	B24Problem	problem;

	forget(attempt);
	attempt->ok = false;
	if (b24_encode_login(&b24_endpoints[B24_EP_authorize], account->base_url,
						 &account->secrets, refresh, &attempt->request,
						 &problem) == B24_OK)
	{
		options.fresh = attempt->fresh;
		options.detached = attempt->detached;
		attempt->waiter.is_done = false;
		attempt->transfer = b24_http_start(b24_pool(), &attempt->request, &options,
										   &attempt->waiter);
		if (attempt->transfer != NULL)
			return;
		b24_problem(&problem, B24_NO_MEMORY, "could not start a transfer");
	}
	fail(attempt, &problem);
	attempt->over(attempt);
}
