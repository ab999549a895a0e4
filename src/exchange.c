/*-------------------------------------------------------------------------
 *
 * exchange.c
 *	  Requests to an account and their replies, one or many at once.
 *
 * A direct call is an exchange with one job, a batch is one with many.  What
 * a job holds outside PostgreSQL's memory is given back by a callback of its
 * memory context, on every error path.  Where that memory outlives the error,
 * as a cursor's does, the transfer ends with the (sub)transaction; see wait.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "exchange.h"

/* An exchange with an account, in the current memory context. */
B24Exchange *
b24_exchange_new(const B24Account *account)
{
	B24Exchange *exchange = palloc0(sizeof(B24Exchange));

	exchange->account = account;
	exchange->context = AllocSetContextCreate(CurrentMemoryContext,
											  "bill24 exchange",
											  ALLOCSET_SMALL_SIZES);
	exchange->done_tail = &exchange->done;
	exchange->max_in_flight = b24_pool_expect(account->max_in_flight);
	return exchange;
}

static void
job_cleanup(void *arg)
{
	B24Job	   *job = arg;

	if (job->transfer != NULL)
		b24_http_end(job->transfer);
	b24_request_free(&job->request);
	b24_reply_free(&job->reply);
	b24_json_free(job->arguments);
}

static void
push_done(B24Job *job)
{
	job->next = NULL;
	*job->exchange->done_tail = job;
	job->exchange->done_tail = &job->next;
}

/* A transfer is done: read the answer while it is there. */
static void
transfer_done(B24Waiter *waiter)
{
	B24Job	   *job = (B24Job *) waiter;
	B24Transfer *transfer = job->transfer;

	b24_decode(job->endpoint, b24_http_answer(transfer), &job->reply);
	job->transfer = NULL;
	b24_http_end(transfer);
	job->exchange->in_flight--;
	push_done(job);
}

/* A job with no arguments yet. */
B24Job *
b24_job_new(B24Exchange *exchange, const B24Endpoint *endpoint)
{
	MemoryContext context = AllocSetContextCreate(exchange->context, "bill24 job",
												  ALLOCSET_SMALL_SIZES);
	B24Job	   *job = MemoryContextAllocZero(context, sizeof(B24Job));

	job->waiter.done = transfer_done;
	job->context = context;
	job->exchange = exchange;
	job->endpoint = endpoint;
	job->callback.func = job_cleanup;
	job->callback.arg = job;
	MemoryContextRegisterResetCallback(context, &job->callback);
	job->arguments = b24_json_new_object();
	if (job->arguments == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	return job;
}

/* Frees a job that is not in flight, or has been returned as done. */
void
b24_job_free(B24Job *job)
{
	MemoryContextDelete(job->context);
}

/* Makes the request from the arguments. */
B24Status
b24_job_encode(B24Job *job, B24Problem *problem)
{
	const B24Account *account = job->exchange->account;

	b24_request_free(&job->request);
	return b24_encode(job->endpoint, account->base_url, job->arguments,
					  &account->secrets, &job->request, problem);
}

static void
fail(B24Job *job, const B24Problem *problem)
{
	job->reply.status = problem->status;
	strlcpy(job->reply.text, problem->text, sizeof(job->reply.text));
	push_done(job);
}

/* Ends an exchange with all its jobs, whether they are done or not. */
void
b24_exchange_end(B24Exchange *exchange)
{
	MemoryContextDelete(exchange->context);
}

/* The token at hand, or a new one; false with the reply filled in. */
static bool
have_token(B24Exchange *exchange, B24Reply *failure)
{
	MemoryContext old;
	bool		ok;

	if (exchange->token.bearer != NULL)
		return true;
	old = MemoryContextSwitchTo(exchange->context);
	ok = b24_token_get(exchange->account, &exchange->token, failure);
	MemoryContextSwitchTo(old);
	return ok;
}

/*
 * Sends a job whose request is made.  Its outcome, also that of a login that
 * failed, comes from b24_exchange_wait.
 */
void
b24_job_send(B24Job *job)
{
	B24Exchange *exchange = job->exchange;
	const B24Account *account = exchange->account;
	B24Problem	problem;
	const char *bearer = NULL;

	b24_reply_free(&job->reply);
	memset(&job->reply, 0, sizeof(B24Reply));
	if (account->provider->login != NULL)
	{
		if (!have_token(exchange, &job->reply))
		{
			push_done(job);
			return;
		}
		bearer = exchange->token.bearer;
		job->generation = exchange->token.generation;
	}
	if (b24_sign(account->provider, &account->secrets, bearer, &job->request,
				 &problem) != B24_OK)
	{
		fail(job, &problem);
		return;
	}
	job->waiter.is_done = false;
	job->transfer = b24_http_start(b24_pool(), &job->request, &account->http,
								   &job->waiter);
	if (job->transfer == NULL)
	{
		b24_problem(&problem, B24_NO_MEMORY, "could not start a transfer");
		fail(job, &problem);
		return;
	}
	exchange->in_flight++;
}

/*
 * The next job that is done, NULL when none is under way.  A job that was
 * refused for its bearer token is sent once more, with a new one: a 401 says
 * that nothing was done.
 */
B24Job *
b24_exchange_wait(B24Exchange *exchange)
{
	for (;;)
	{
		B24Job	   *job;

		while (exchange->done == NULL && exchange->in_flight > 0)
			b24_pool_wait(-1);
		job = exchange->done;
		if (job == NULL)
			return NULL;
		exchange->done = job->next;
		if (exchange->done == NULL)
			exchange->done_tail = &exchange->done;

		if (job->reply.status != B24_UNAUTHORIZED || job->repeated ||
			exchange->account->provider->login == NULL)
			return job;
		job->repeated = true;
		b24_token_refused(exchange->account, job->generation);
		if (exchange->token.bearer != NULL &&
			exchange->token.generation == job->generation)
		{
			pfree(exchange->token.bearer);
			exchange->token.bearer = NULL;
		}
		b24_job_send(job);
	}
}

/* Sends the one job of an exchange and waits for it. */
void
b24_job_run(B24Job *job)
{
	b24_job_send(job);
	while (b24_exchange_wait(job->exchange) != job)
		;
}
