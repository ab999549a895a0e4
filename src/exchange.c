/*-------------------------------------------------------------------------
 *
 * exchange.c
 *	  Requests to an account and their replies, one or many at once.
 *
 * A direct call is an exchange with one job, a batch is one with many; both
 * wait, and end with their (sub)transaction.  A detached exchange never waits:
 * its jobs lie in a list while a login is under way, and come to an inbox.
 *
 * What a job holds outside PostgreSQL's memory is given back by a callback of
 * its memory context, on every error path.  Where that memory outlives the
 * error, as a cursor's does, transfers and places end with the
 * (sub)transaction; see also wait.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "compat.h"

#include "exchange.h"
#include "stat.h"

/* How often to look whether the login of another process is over. */
#define LOOK_AGAIN_MS 20

/* How long to wait at most for a place that somebody may give back. */
#define PLACE_WAIT_MS 5

struct B24Inbox
{
	dlist_head	done;
	dlist_head	exchanges;
};

/* The jobs of this process that have a place of the limits. */
static dlist_head admitted = DLIST_STATIC_INIT(admitted);

/* Of all detached exchanges: what they expect, and have under way. */
static int	detached_expected = 0;
static int	detached_in_flight = 0;

/*
 * Places of the limits
 */
static bool
is_worker(const B24Exchange *exchange)
{
	return exchange->inbox != NULL;
}

/* Gives the place back, once, however often it is asked for. */
static void
leave(B24Job *job, B24Status status, bool tried)
{
	if (!job->admitted)
		return;
	job->admitted = false;
	dlist_delete(&job->admitted_link);
	b24_limits_leave(&job->exchange->account->limits, is_worker(job->exchange),
					 status, tried);
}

static void
leave_all(bool detached_too)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &admitted)
	{
		B24Job	   *job = dlist_container(B24Job, admitted_link, iter.cur);

		if (detached_too || !is_worker(job->exchange))
			leave(job, B24_NO_ANSWER, false);
	}
}

static void
at_xact(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_ABORT || event == XACT_EVENT_PARALLEL_ABORT)
		leave_all(false);
}

static void
at_subxact(SubXactEvent event, SubTransactionId self, SubTransactionId parent,
		   void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		leave_all(false);
}

static void
at_exit(int code, Datum arg)
{
	leave_all(true);
}

static B24Admission
enter(B24Job *job, long *wait_ms)
{
	static bool registered = false;
	B24Admission admission;

	if (!registered)
	{
		RegisterXactCallback(at_xact, NULL);
		RegisterSubXactCallback(at_subxact, NULL);
		before_shmem_exit(at_exit, (Datum) 0);
		registered = true;
	}
	if (job->admitted)
		return B24_ADMITTED;
	admission = b24_limits_enter(&job->exchange->account->limits,
								 is_worker(job->exchange), wait_ms);
	if (admission == B24_ADMITTED)
	{
		job->admitted = true;
		dlist_push_tail(&admitted, &job->admitted_link);
	}
	return admission;
}

/*
 * Jobs and where they are
 */
static void
unlink_job(B24Job *job)
{
	if (job->place != B24_JOB_NOWHERE)
		dlist_delete(&job->link);
	job->place = B24_JOB_NOWHERE;
}

static void
begin(B24Job *job)
{
	if (job->under_way)
		return;
	job->under_way = true;
	job->exchange->in_flight++;
	if (is_worker(job->exchange))
		detached_in_flight++;
}

static void
end(B24Job *job)
{
	if (!job->under_way)
		return;
	job->under_way = false;
	job->exchange->in_flight--;
	if (is_worker(job->exchange))
		detached_in_flight--;
}

static void
push_done(B24Job *job)
{
	B24Exchange *exchange = job->exchange;

	job->place = B24_JOB_DONE;
	dlist_push_tail(is_worker(exchange) ? &exchange->inbox->done : &exchange->done,
					&job->link);
}

static B24Job *
pop_done(dlist_head *done)
{
	B24Job	   *job;

	if (dlist_is_empty(done))
		return NULL;
	job = dlist_container(B24Job, link, dlist_pop_head_node(done));
	job->place = B24_JOB_NOWHERE;
	end(job);
	return job;
}

static void
job_cleanup(void *arg)
{
	B24Job	   *job = arg;

	if (job->transfer != NULL)
		b24_http_end(job->transfer);
	unlink_job(job);
	leave(job, B24_NO_ANSWER, false);
	end(job);
	b24_request_free(&job->request);
	b24_reply_free(&job->reply);
	b24_json_free(job->arguments);
}

/* Was it refused for its bearer token, and not yet sent once more? */
static bool
is_to_be_repeated(const B24Job *job)
{
	return job->reply.status == B24_UNAUTHORIZED && !job->repeated &&
		job->exchange->account->provider->login != NULL;
}

/* A transfer is done: read the answer while it is there. */
static void
transfer_done(B24Waiter *waiter)
{
	B24Job	   *job = (B24Job *) waiter;
	B24Exchange *exchange = job->exchange;
	B24Transfer *transfer = job->transfer;
	const B24HttpAnswer *answer = b24_http_answer(transfer);
	B24StatSample sample;

	b24_decode(job->endpoint, answer, &job->reply);
	sample.status = job->reply.status;
	sample.retried = job->repeated;
	sample.bytes_sent = answer->bytes_sent;
	sample.bytes_received = answer->bytes_received;
	sample.total_us = answer->total_us;
	b24_stat_count(exchange->account->serverid, job->endpoint,
				   is_worker(exchange), &sample);
	job->transfer = NULL;
	b24_http_end(transfer);

	/*
	 * A detached job that will be sent once more keeps its place, since it
	 * cannot wait for another.  A direct one must not, since others of its own
	 * exchange may be waiting for places before its turn comes.
	 */
	if (!is_worker(exchange) || !is_to_be_repeated(job))
		leave(job, job->reply.status, true);
	push_done(job);
}

/*
 * A job with these arguments, of which it takes over a reference; with none, if
 * that is NULL, they are to be added.
 */
B24Job *
b24_job_with(B24Exchange *exchange, const B24Endpoint *endpoint, B24Json *arguments)
{
	MemoryContext context = AllocSetContextCreate(exchange->context, "bill24 job",
												  ALLOCSET_SMALL_SIZES);
	B24Job	   *job = MemoryContextAllocZero(context, sizeof(B24Job));

	job->waiter.done = transfer_done;
	job->context = context;
	job->exchange = exchange;
	job->endpoint = endpoint;
	job->arguments = arguments;
	job->callback.func = job_cleanup;
	job->callback.arg = job;
	MemoryContextRegisterResetCallback(context, &job->callback);
	if (job->arguments == NULL)
		job->arguments = b24_json_new_object();
	if (job->arguments == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	return job;
}

/* A job with no arguments yet. */
B24Job *
b24_job_new(B24Exchange *exchange, const B24Endpoint *endpoint)
{
	return b24_job_with(exchange, endpoint, NULL);
}

/* Frees a job, wherever it is; what is in flight is not waited for. */
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

/*
 * Sending
 */
static void
clear_reply(B24Job *job)
{
	b24_reply_free(&job->reply);
	memset(&job->reply, 0, sizeof(B24Reply));
}

/* Done without having been sent; the reply says why. */
static void
fail_unsent(B24Job *job)
{
	/* where nobody can log in because nobody answers, the server is down */
	leave(job, job->reply.status,
		  job->reply.of_login && job->reply.status == B24_UNREACHABLE);
	push_done(job);
}

static void
fail(B24Job *job, B24Status status, const char *text)
{
	job->reply.status = status;
	strlcpy(job->reply.text, text, sizeof(job->reply.text));
	fail_unsent(job);
}

/* Sends a job whose exchange has a token, if it needs one. */
static void
transmit(B24Job *job)
{
	B24Exchange *exchange = job->exchange;
	const B24Account *account = exchange->account;
	B24HttpOptions options = account->http;
	B24Problem	problem;

	job->generation = exchange->token.generation;
	if (b24_sign(account->provider, &account->secrets, exchange->token.bearer,
				 &job->request, &problem) != B24_OK)
	{
		fail(job, problem.status, problem.text);
		return;
	}
	options.detached = is_worker(exchange);
	job->waiter.is_done = false;
	job->transfer = b24_http_start(b24_pool(), &job->request, &options,
								   &job->waiter);
	if (job->transfer == NULL)
		fail(job, B24_NO_MEMORY, "could not start a transfer");
}

static void
drop_token(B24Exchange *exchange)
{
	if (exchange->token.bearer != NULL)
		pfree(exchange->token.bearer);
	exchange->token.bearer = NULL;
}

/* The token at hand, a new one, or none yet if the exchange is detached. */
static B24TokenState
have_token(B24Exchange *exchange, B24Reply *failure)
{
	B24TokenState state;
	MemoryContext old;

	if (exchange->account->provider->login == NULL ||
		(exchange->token.bearer != NULL &&
		 GetCurrentTimestamp() < exchange->token.renew_at))
		return B24_TOKEN_READY;
	drop_token(exchange);
	old = MemoryContextSwitchTo(exchange->context);
	if (is_worker(exchange))
		state = b24_token_poll(exchange->account, &exchange->renewal,
							   &exchange->token, failure);
	else
		state = b24_token_get(exchange->account, &exchange->token, failure) ?
			B24_TOKEN_READY : B24_TOKEN_FAILED;
	MemoryContextSwitchTo(old);
	return state;
}

/* Has a look at the token wake us if nothing else does. */
static void
look_again_soon(B24Exchange *exchange)
{
	exchange->look_again_at =
		TimestampTzPlusMilliseconds(GetCurrentTimestamp(), LOOK_AGAIN_MS);
	if (exchange->renewal == NULL)
		b24_pool_return_within(LOOK_AGAIN_MS);
}

/* Sends an admitted job, or has it wait for a token. */
static void
go(B24Job *job)
{
	B24Exchange *exchange = job->exchange;

	clear_reply(job);
	begin(job);
	if (!dlist_is_empty(&exchange->waiting))
	{
		/* behind those that wait already; what they wait for is looked after */
		job->place = B24_JOB_WAITING;
		dlist_push_tail(&exchange->waiting, &job->link);
		return;
	}
	switch (have_token(exchange, &job->reply))
	{
		case B24_TOKEN_READY:
			transmit(job);
			break;
		case B24_TOKEN_FAILED:
			fail_unsent(job);
			break;
		case B24_TOKEN_WAIT:
			job->place = B24_JOB_WAITING;
			dlist_push_tail(&exchange->waiting, &job->link);
			look_again_soon(exchange);
			break;
	}
}

/* A job was refused for its token: the next is sent with a new one. */
static void
repeat_with_new_token(B24Job *job)
{
	B24Exchange *exchange = job->exchange;

	job->repeated = true;
	b24_token_refused(exchange->account, job->generation);
	if (exchange->token.generation == job->generation)
		drop_token(exchange);
}

/*
 * Direct exchanges
 */
static B24Exchange *
make_exchange(const B24Account *account)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "bill24 exchange",
												  ALLOCSET_SMALL_SIZES);
	B24Exchange *exchange = MemoryContextAllocZero(context, sizeof(B24Exchange));

	exchange->account = account;
	exchange->context = context;
	dlist_init(&exchange->done);
	dlist_init(&exchange->waiting);
	return exchange;
}

/* An exchange with an account, in the current memory context. */
B24Exchange *
b24_exchange_new(const B24Account *account)
{
	B24Exchange *exchange = make_exchange(account);

	exchange->max_in_flight = b24_pool_expect(account->max_in_flight);
	return exchange;
}

/* Ends an exchange with all its jobs, whether they are done or not. */
void
b24_exchange_end(B24Exchange *exchange)
{
	MemoryContextDelete(exchange->context);
}

/*
 * Sends a job whose request is made.  Its outcome, also that of a login that
 * failed, comes from b24_exchange_wait.  Waits for a place, while what is in
 * flight goes on and gives places back.
 */
void
b24_job_send(B24Job *job)
{
	B24Admission admission;
	long		wait_ms = -1;

	while ((admission = enter(job, &wait_ms)) == B24_BUSY)
		b24_pool_wait_for_place(wait_ms < 0 ? PLACE_WAIT_MS : Max(wait_ms, 1));
	if (admission == B24_CIRCUIT_OPEN_NOW)
	{
		clear_reply(job);
		begin(job);
		job->reply.status = B24_CIRCUIT_OPEN;
		push_done(job);
		return;
	}
	go(job);
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

		while (dlist_is_empty(&exchange->done) && exchange->in_flight > 0)
			b24_pool_wait(-1);
		job = pop_done(&exchange->done);
		if (job == NULL || !is_to_be_repeated(job))
			return job;
		repeat_with_new_token(job);
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

/*
 * Detached exchanges
 */

/* For the jobs of detached exchanges; must outlive them. */
B24Inbox *
b24_inbox_new(void)
{
	B24Inbox   *inbox = palloc(sizeof(B24Inbox));

	dlist_init(&inbox->done);
	dlist_init(&inbox->exchanges);
	return inbox;
}

static void
detached_cleanup(void *arg)
{
	B24Exchange *exchange = arg;

	dlist_delete(&exchange->inbox_link);
	detached_expected -= exchange->account->max_in_flight;
}

/*
 * An exchange that belongs to no transaction, in the current memory context.
 * It keeps its account; b24_account_is_current tells when to make a new one.
 */
B24Exchange *
b24_exchange_detached(const B24Account *account, B24Inbox *inbox)
{
	B24Exchange *exchange = make_exchange(account);
	MemoryContext old = MemoryContextSwitchTo(exchange->context);

	b24_account_keep(account);
	MemoryContextSwitchTo(old);
	exchange->inbox = inbox;
	dlist_push_tail(&inbox->exchanges, &exchange->inbox_link);
	detached_expected += account->max_in_flight;

	/* called before the account is given back */
	exchange->callback.func = detached_cleanup;
	exchange->callback.arg = exchange;
	MemoryContextRegisterResetCallback(exchange->context, &exchange->callback);
	exchange->max_in_flight = Min(account->max_in_flight,
								  b24_pool_expect(detached_expected));
	return exchange;
}

/*
 * Takes a job whose request is made, if there is a place for it; it comes back
 * from b24_inbox_take.  Else it stays the caller's, to be offered again after
 * wait_ms, or with -1 when some other job is done.
 */
B24Offer
b24_job_offer(B24Job *job, long *wait_ms)
{
	B24Exchange *exchange = job->exchange;

	/* all descriptors in use: a transfer would wait with its time running */
	*wait_ms = -1;
	if (exchange->in_flight >= exchange->max_in_flight ||
		detached_in_flight >= b24_pool_expect(detached_expected))
		return B24_OFFER_LATER;
	switch (enter(job, wait_ms))
	{
		case B24_BUSY:
			return B24_OFFER_LATER;
		case B24_CIRCUIT_OPEN_NOW:
			return B24_OFFER_CIRCUIT_OPEN;
		case B24_ADMITTED:
			break;
	}
	go(job);
	return B24_OFFER_TAKEN;
}

/* The clock may have been set back. */
static bool
is_time_to_look(const B24Exchange *exchange)
{
	int64		left_us = exchange->look_again_at - GetCurrentTimestamp();

	return left_us <= 0 || left_us > LOOK_AGAIN_MS * 1000;
}

/* Goes on with the jobs that wait for a token, if their login is over. */
static void
serve_waiting(B24Exchange *exchange)
{
	B24Reply	failure;
	B24TokenState state;
	dlist_mutable_iter iter;

	if (dlist_is_empty(&exchange->waiting))
		return;
	if (exchange->renewal != NULL ? !b24_renewal_is_over(exchange->renewal) :
		!is_time_to_look(exchange))
	{
		if (exchange->renewal == NULL)
			b24_pool_return_within(LOOK_AGAIN_MS);
		return;
	}
	memset(&failure, 0, sizeof(failure));
	state = have_token(exchange, &failure);
	if (state == B24_TOKEN_WAIT)
	{
		look_again_soon(exchange);
		return;
	}
	dlist_foreach_modify(iter, &exchange->waiting)
	{
		B24Job	   *job = dlist_container(B24Job, link, iter.cur);

		unlink_job(job);
		if (state == B24_TOKEN_READY)
			transmit(job);
		else
		{
			job->reply = failure;
			fail_unsent(job);
		}
	}
}

/*
 * The next job that is done, or NULL; never waits.  One that was refused for
 * its bearer token is sent once more, as by b24_exchange_wait.
 */
B24Job *
b24_inbox_take(B24Inbox *inbox)
{
	dlist_iter	iter;
	B24Job	   *job;

	dlist_foreach(iter, &inbox->exchanges)
		serve_waiting(dlist_container(B24Exchange, inbox_link, iter.cur));
	while ((job = pop_done(&inbox->done)) != NULL && is_to_be_repeated(job))
	{
		repeat_with_new_token(job);
		go(job);
	}
	return job;
}
