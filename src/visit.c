/*-------------------------------------------------------------------------
 *
 * visit.c
 *	  A look at a customer on its way, from the request to what it found.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "compat.h"

#include "paycombat_customer.h"
#include "report.h"
#include "text.h"
#include "visit.h"

/* A customer of a server, as a number; equal ones are taken for the same. */
uint64
b24_visit_hash(const char *server, const char *sync_code)
{
	uint64		hash = hash_bytes_extended((const unsigned char *) server,
										   strlen(server), 0);

	return hash_bytes_extended((const unsigned char *) sync_code, strlen(sync_code), hash);
}

static void
cleanup(void *arg)
{
	B24Visit   *visit = arg;

	if (visit->job != NULL)
		b24_job_free(visit->job);
	if (visit->sender != NULL)
		visit->sender->errands--;
}

B24Visit *
b24_visit_new(MemoryContext parent, const char *server, const char *sync_code, Oid owner)
{
	MemoryContext context = AllocSetContextCreate(parent, "bill24 visit",
												  ALLOCSET_SMALL_SIZES);
	B24Visit   *visit = MemoryContextAllocZero(context, sizeof(B24Visit));
	MemoryContextCallback *callback = MemoryContextAlloc(context, sizeof(*callback));

	callback->func = cleanup;
	callback->arg = visit;
	MemoryContextRegisterResetCallback(context, callback);
	visit->context = context;
	visit->hash = b24_visit_hash(server, sync_code);
	visit->owner = owner;
	visit->look.sync_code = MemoryContextStrdup(context, sync_code);
	return visit;
}

/* Frees a visit, in flight or not. */
void
b24_visit_free(B24Visit *visit)
{
	MemoryContextDelete(visit->context);
}

static void
fail(B24Visit *visit, B24Status status, const char *text)
{
	visit->look.outcome = B24_LOOK_FAILED;
	visit->look.sqlstate = b24_status_info(status)->sqlstate;
	visit->look.error = MemoryContextStrdup(visit->context, text);
	visit->look.patient = status == B24_NO_CREDENTIAL || status == B24_LOGIN_REFUSED ||
		status == B24_BAD_ARGUMENT;
	visit->is_found = true;
}

/* Who is to be asked, in whose name; false with the failure if nobody can be. */
static bool
find_sender(B24Visit *visit, B24Destination *server, B24Inbox *inbox)
{
	B24Problem	problem;
	B24Sender  *sender = server->senders;

	/* mostly the same as for the one before */
	if (sender == NULL || sender->account->userid != visit->owner ||
		!b24_account_is_current(sender->account))
		sender = b24_sender_find(server, inbox, visit->owner, &problem);
	if (sender == NULL)
	{
		fail(visit, problem.status, b24_text_for_message(problem.text));
		return false;
	}
	visit->sender = sender;
	sender->errands++;
	return true;
}

/* Keeps a customer that is not in the copies. */
static void
keep(const B24Look *look)
{
	const B24Visit *visit = look->user;
	const B24Job *job = visit->job;
	const B24Account *account = visit->sender->account;

	if (look->outcome == B24_LOOK_GONE)
		b24_paycombat_customer_keep(account->server, account->number,
									&b24_endpoints[B24_EP_paycombat_delete_customer],
									job->arguments, NULL, look->asked_at, LOG);
	else if (!b24_repeats_secret(&account->secrets, job->reply.result))
		b24_paycombat_customer_keep(account->server, account->number, job->endpoint,
									job->arguments, job->reply.result, look->asked_at,
									LOG);
}

/*
 * Makes the request (page "Get Customer Details").  False if there is none, and
 * the visit is at its end with a failure.
 */
bool
b24_visit_prepare(B24Visit *visit, B24Destination *server, B24Inbox *inbox)
{
	const char *code = visit->look.sync_code;
	int			length = strlen(code);
	const B24Account *account;
	const B24Endpoint *endpoint;
	MemoryContext old;
	B24Problem	problem;

	visit->look.asked_at = GetCurrentTimestamp();
	if (GetDatabaseEncoding() == PG_SQL_ASCII &&
		!pg_verify_mbstr(PG_UTF8, code, length, true))
	{
		fail(visit, B24_BAD_ARGUMENT, "the sync_code is not valid UTF-8");
		return false;
	}
	if (!find_sender(visit, server, inbox))
		return false;
	old = MemoryContextSwitchTo(visit->context);
	visit->utf8_code = b24_text_to_utf8(code, length, &length);
	MemoryContextSwitchTo(old);
	account = visit->sender->account;
	endpoint = account->provider->look;
	visit->job = b24_job_new(visit->sender->exchange, endpoint);
	visit->job->user = visit;
	visit->look.user = visit;
	visit->look.keep = endpoint->keeps != B24_KEEPS_NOTHING ? keep : NULL;
	if (!b24_json_put(visit->job->arguments, endpoint->key != NULL ? endpoint->key : "sync_code",
					  b24_json_new_string(visit->utf8_code, length)))
		b24_problem(&problem, B24_NO_MEMORY, "out of memory");
	else if (b24_errand_complete(endpoint, &visit->job->arguments, account, &problem) == B24_OK &&
			 b24_job_encode(visit->job, &problem) == B24_OK)
		return true;
	fail(visit, problem.status, b24_text_for_message(problem.text));
	return false;
}

/* What the answer says, in a number; false if it cannot be read. */
static bool
read_answer(B24Visit *visit, int64 *digest)
{
	const B24Json *result = visit->job->reply.result;
	size_t		length = 0;
	const char *text;

	if (visit->look.keep == NULL)
	{
		if (!b24_seen_customer(result, visit->utf8_code, &visit->seen, &visit->problem))
			return false;
		*digest = visit->seen.digest;
		return true;
	}
	text = b24_json_text(result, &length);
	if (text == NULL)
	{
		b24_problem(&visit->problem, B24_NO_MEMORY, "out of memory");
		return false;
	}
	*digest = (int64) hash_bytes_extended((const unsigned char *) text, length, 1);
	visit->seen.digest = *digest;
	return true;
}

/*
 * An answer arrived, or it is known that none will.  For B24_VISIT_LATER,
 * wait_ms is when to ask this server again.  This is outside of transactions.
 */
B24VisitEnd
b24_visit_end(B24Visit *visit, long *wait_ms)
{
	const B24Reply *reply = &visit->job->reply;
	int64		digest = B24_DIGEST_GONE;

	if (reply->status == B24_THROTTLED || reply->status == B24_CIRCUIT_OPEN)
	{
		*wait_ms = Min(Max(reply->retry_after_s, 1), 3600) * 1000L;
		return B24_VISIT_LATER;
	}
	if (reply->status == B24_OK)
	{
		MemoryContext old = MemoryContextSwitchTo(visit->context);
		bool		is_readable = read_answer(visit, &digest);

		MemoryContextSwitchTo(old);
		if (!is_readable)
			return B24_VISIT_WRITE;
	}
	else if (reply->status != B24_NOT_FOUND)
		return B24_VISIT_WRITE;
	return visit->group != NULL && visit->has_digest && digest == visit->digest ?
		B24_VISIT_NO_NEWS : B24_VISIT_WRITE;
}

/*
 * Makes the same request once more, of a visit that has ended; false if it
 * cannot.
 */
bool
b24_visit_again(B24Visit *visit)
{
	B24Job	   *old = visit->job;
	B24Job	   *job = b24_job_new(old->exchange, old->endpoint);
	B24Json    *none = job->arguments;
	B24Problem	ignored;

	job->user = visit;
	job->arguments = old->arguments;
	old->arguments = none;
	visit->job = job;
	b24_job_free(old);
	return b24_job_encode(job, &ignored) == B24_OK;
}

static void
explain(B24Visit *visit)
{
	const B24Reply *reply = &visit->job->reply;
	const B24Secrets *secrets = &visit->sender->account->secrets;
	char	   *message = b24_reply_message(visit->job->endpoint, secrets, reply);
	char	   *detail = b24_reply_detail(secrets, reply);

	fail(visit, reply->status, detail != NULL && reply->text[0] == '\0' ?
		 psprintf("%s (%s)", message, detail) : message);
	if (reply->of_login)
		visit->look.patient = true;
}

/* What a visit that has ended found, as it is to be written. */
void
b24_visit_find(B24Visit *visit)
{
	MemoryContext old;

	if (visit->is_found)
		return;
	old = MemoryContextSwitchTo(visit->context);
	visit->look.customer = visit->seen;
	if (visit->job->reply.status == B24_NOT_FOUND)
		visit->look.outcome = B24_LOOK_GONE;
	else if (visit->job->reply.status != B24_OK)
		explain(visit);
	else if (visit->problem.status == B24_OK &&
			 b24_seen_localize(&visit->look.customer, &visit->problem))
		visit->look.outcome = B24_LOOK_READ;
	else
		fail(visit, B24_NONSENSE, psprintf("could not read the answer: %s",
										   b24_text_for_message(visit->problem.text)));

	/* not sooner, since an error must not leave an outcome that was not found */
	visit->is_found = true;
	MemoryContextSwitchTo(old);
}
