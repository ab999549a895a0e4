/*-------------------------------------------------------------------------
 *
 * enqueue.c
 *	  The SQL function that puts an operation into the outbox.
 *
 * Whatever can be found wrong with a request is found here, in the statement
 * of the caller, by making the request that will be sent.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"
#include "utils/builtins.h"

#include "arguments.h"
#include "call.h"
#include "operation.h"
#include "outbox.h"
#include "paycombat_customer.h"
#include "store.h"
#include "text.h"

/* What is made outside of PostgreSQL's memory, given back on every path. */
typedef struct Draft
{
	MemoryContextCallback callback;
	B24Json    *arguments;
} Draft;

static void
free_draft(void *arg)
{
	Draft	   *draft = arg;

	b24_json_free(draft->arguments);
	draft->arguments = NULL;
}

static Draft *
new_draft(void)
{
	Draft	   *draft = palloc0(sizeof(Draft));

	draft->callback.func = free_draft;
	draft->callback.arg = draft;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &draft->callback);
	draft->arguments = b24_json_new_object();
	if (draft->arguments == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	return draft;
}

/* A text argument in the database's encoding; NULL if it is not there. */
static char *
text_argument(const B24Json *arguments, const char *name)
{
	size_t		length = 0;
	const char *utf8 = b24_json_string(b24_json_get(arguments, name), &length);

	return utf8 != NULL ? b24_text_from_utf8(utf8, length) : NULL;
}

/* Our key for the provider's own; that one itself if nothing is known of it. */
static char *
key_behind(const B24Account *account, char *remote_key)
{
	MemoryContext old = CurrentMemoryContext;
	B24Store	store;
	char	   *key;

	b24_store_open(&store);
	key = b24_paycombat_customer_reference(account, remote_key);
	if (key != NULL)
		key = MemoryContextStrdup(old, key);
	b24_store_close(&store);
	return key != NULL ? key : remote_key;
}

/* The argument that orders jobs, or what stands for it. */
static text *
key_of(const B24Account *account, const B24Endpoint *endpoint,
	   const B24Json *arguments)
{
	char	   *key = text_argument(arguments, endpoint->key);

	if (endpoint->remote_key != NULL && b24_json_get(arguments, endpoint->remote_key) != NULL)
		key = key_behind(account, text_argument(arguments, endpoint->remote_key));
	if (key == NULL || key[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"%s\" is needed for a job", endpoint->key),
				 errdetail("Jobs with the same are sent in their order.")));
	if (strlen(key) > B24_KEY_BYTES)
		ereport(ERROR,
				(errcode(ERRCODE_STRING_DATA_RIGHT_TRUNCATION),
				 errmsg("argument \"%s\" is too long to be enqueued", endpoint->key),
				 errdetail("It has %zu bytes, and at most %d can be.", strlen(key),
						   B24_KEY_BYTES)));
	return cstring_to_text(key);
}

PG_FUNCTION_INFO_V1(bill24_enqueue);

/*
 * bill24_enqueue(operation text, request jsonb, server name): sends an
 * operation after commit; returns the number of the job.  request has the
 * arguments of the operation's function by name.  The job belongs to the
 * current role, which inside of a SECURITY DEFINER function is its owner, and
 * is sent with that role's user mapping.  Errors: 22023 unknown operation or
 * argument, an operation that only reads; otherwise those of the call itself
 * that need no answer.
 */
Datum
bill24_enqueue(PG_FUNCTION_ARGS)
{
	const B24CallSite *site = b24_call_site(fcinfo);
	const B24Account *account;
	const B24Signature *signature;
	B24NewJob	job;
	Draft	   *draft;
	int64		id;

	b24_call_refuse_nulls(site, fcinfo, 2);
	account = b24_call_account(site, fcinfo, NULL);
	signature = b24_operation_to_enqueue(text_to_cstring(PG_GETARG_TEXT_PP(0)),
										 account->provider,
										 b24_call_extension(fcinfo), &job.endpoint);
	draft = new_draft();
	b24_arguments_from_jsonb(signature, PG_GETARG_JSONB_P(1), draft->arguments);
	job.request = b24_arguments_to_jsonb(draft->arguments);
	job.key = key_of(account, job.endpoint, draft->arguments);
	b24_call_rehearse(account, job.endpoint, draft->arguments);
	free_draft(draft);
	b24_call_warn(account, job.endpoint);
	id = b24_outbox_add(account->server, account->number, GetUserId(), &job, 1, NULL);
	PG_RETURN_INT64(id);
}
