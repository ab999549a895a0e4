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

/* An attempt, in the current memory context; nothing is sent yet. */
B24LoginAttempt *
b24_login_new(const B24Account *account, bool fresh)
{
	B24LoginAttempt *attempt = palloc0(sizeof(B24LoginAttempt));

	attempt->account = account;
	attempt->fresh = fresh;
	attempt->callback.func = cleanup;
	attempt->callback.arg = attempt;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &attempt->callback);
	return attempt;
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

/*
 * One login request, with a refresh token or, if that is NULL, with the
 * credentials alone.  True if it brought a bearer token; the attempt has what
 * came of it in any case.  Waits, and raises what an interrupt asks for.
 */
bool
b24_login_try(B24LoginAttempt *attempt, const char *refresh)
{
	const B24Endpoint *endpoint = &b24_endpoints[B24_EP_authorize];
	const B24Account *account = attempt->account;
	B24HttpOptions options = account->http;
	B24Transfer *done;
	B24Problem	problem;

	forget(attempt);
	if (b24_encode_login(endpoint, account->base_url, &account->secrets, refresh,
						 &attempt->request, &problem) != B24_OK)
		return fail(attempt, &problem);
	options.fresh = attempt->fresh;
	attempt->waiter.is_done = false;
	attempt->transfer = b24_http_start(b24_pool(), &attempt->request, &options,
									   &attempt->waiter);
	if (attempt->transfer == NULL)
	{
		b24_problem(&problem, B24_NO_MEMORY, "could not start a transfer");
		return fail(attempt, &problem);
	}
	while (!attempt->waiter.is_done)
		b24_pool_wait(-1);

	done = attempt->transfer;
	attempt->answer = *b24_http_answer(done);
	b24_decode(endpoint, &attempt->answer, &attempt->reply);
	attempt->answer.body = NULL;
	attempt->transfer = NULL;
	b24_http_end(done);
	return read_login(attempt);
}
