/*-------------------------------------------------------------------------
 *
 * paycombat_customer.c
 *	  The table bill24.paycombat_customer: PayCombat's customers as last told.
 *
 * PayCombat knows a customer by its customer_id, we by its
 * organization_reference_id, and there is no documented way to ask for the one
 * by the other.  So what an answer tells is kept here, by our key; customers
 * without one are not kept.
 *
 * It is about something that has been done already, so that no error in here
 * may become one of the call or of the delivery: it is told, and that is all.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "compat.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#include "apart.h"
#include "paycombat_customer.h"
#include "row.h"
#include "store.h"
#include "text.h"

/* Longer ones would not fit an index; real ones have some 40 characters. */
#define MAX_ID_BYTES 1000

/* How long to wait for a row that another transaction is about to make. */
#define LOCK_TIMEOUT "500ms"

/*
 * Of the rows of one customer, those of an account.  These are few; a condition
 * that both indexes of the table serve could have all of the account read: see
 * store.c.
 */
#define OF_ACCOUNT(server_, account_) \
	" AND server IS NOT DISTINCT FROM " server_ " AND account IS NOT DISTINCT FROM " account_

/* A text that the table can hold, in the database's encoding; NULL otherwise. */
static char *
id_of(const B24Json *object, const char *field)
{
	size_t		length = 0;
	const char *utf8 = b24_json_string(b24_json_get(object, field), &length);
	char	   *text;

	if (utf8 == NULL || length == 0 || strlen(utf8) != length)
		return NULL;
	text = b24_text_try_from_utf8(utf8, length);
	return text != NULL && strlen(text) <= MAX_ID_BYTES ? text : NULL;
}

/*
 * Puts the provider's own key among the arguments, where it is missing and the
 * operation needs it: the one that is kept for our key.  The arguments stay in
 * the order of the function's.  B24_NULL_ARGUMENT if our key is missing, too;
 * B24_NOT_FOUND if nothing is kept for it.
 */
B24Status
b24_paycombat_customer_complete(const B24Account *account,
								const B24Endpoint *endpoint,
								const B24Signature *signature,
								B24Json **arguments, B24Problem *problem)
{
	static B24Statement find = {
		"SELECT customer_id FROM bill24.paycombat_customer"
		" WHERE organization_reference_id = $1" OF_ACCOUNT("$2", "$3"),
		3, {"text", "text", "bigint"}
	};
	Datum		values[3];
	char	   *reference;
	const char *utf8;
	int			length;

	if (endpoint->remote_key == NULL ||
		b24_json_get(*arguments, endpoint->remote_key) != NULL)
		return B24_OK;
	reference = id_of(*arguments, endpoint->key);
	if (reference == NULL)
		return b24_problem(problem, B24_NULL_ARGUMENT,
						   "argument \"%s\" is missing, and \"%s\" is as well",
						   endpoint->remote_key, endpoint->key);
	values[0] = CStringGetTextDatum(reference);
	values[1] = CStringGetTextDatum(account->server);
	values[2] = Int64GetDatum(account->number);
	if (b24_store_run(&find, values, NULL) == 0)
		return b24_problem(problem, B24_NOT_FOUND,
						   "no %s is known for this %s; see the table bill24.paycombat_customer",
						   endpoint->remote_key, endpoint->key);
	utf8 = b24_store_text(0, 1);
	utf8 = b24_text_to_utf8(utf8, strlen(utf8), &length);
	if (!b24_json_set(*arguments, endpoint->remote_key, b24_json_new_string(utf8, length)))
		return b24_problem(problem, B24_NO_MEMORY, "out of memory");
	b24_arguments_order(signature, arguments);
	return B24_OK;
}

/* Our key for a customer of PayCombat's; NULL if it is not known. */
char *
b24_paycombat_customer_reference(const B24Account *account, const char *customer_id)
{
	static B24Statement find = {
		"SELECT organization_reference_id FROM bill24.paycombat_customer"
		" WHERE customer_id = $1" OF_ACCOUNT("$2", "$3"),
		3, {"text", "text", "bigint"}
	};
	Datum		values[3];

	values[0] = CStringGetTextDatum(customer_id);
	values[1] = CStringGetTextDatum(account->server);
	values[2] = Int64GetDatum(account->number);
	return b24_store_run(&find, values, NULL) > 0 ? b24_store_text(0, 1) : NULL;
}

/* It is gone: what was told of it last stays. */
static void
bury(const char *server, int64 account, const char *customer_id)
{
	static B24Statement statement = {
		"UPDATE bill24.paycombat_customer SET deleted_at = pg_catalog.clock_timestamp(),"
		" changed_at = pg_catalog.clock_timestamp(), synced_at = pg_catalog.clock_timestamp()"
		" WHERE customer_id = $1" OF_ACCOUNT("$2", "$3") " AND deleted_at IS NULL",
		3, {"text", "text", "bigint"}
	};
	Datum		values[3];

	values[0] = CStringGetTextDatum(customer_id);
	values[1] = CStringGetTextDatum(server);
	values[2] = Int64GetDatum(account);
	b24_store_run(&statement, values, NULL);
}

/* The whole answer as jsonb; 0 if a database cannot hold it. */
static Datum
document_of(const B24Endpoint *endpoint, const B24Json *customer)
{
	const B24Type *type = b24_type(JSONBOID, -1, NULL, CurrentMemoryContext);
	B24Reading	reading = {.operation = endpoint->name, .tolerant = true};
	B24Problem	problem;
	bool		isnull;
	Datum		value;

	if (!b24_fits(type, customer, "answer", &problem))
		return (Datum) 0;
	value = b24_value(type, &reading, customer, &isnull);
	return isnull ? (Datum) 0 : value;
}

static Datum
boolean_of(const B24Json *customer, const char *field, char *null)
{
	const B24Json *value = b24_json_get(customer, field);

	*null = b24_json_type(value) == B24_JSON_BOOLEAN ? ' ' : 'n';
	return BoolGetDatum(b24_json_boolean(value));
}

/*
 * Is there a row that another transaction has changed and not committed yet?
 * That one was told at about the same time; nobody is to wait for its end.
 */
static bool
is_in_other_hands(Datum server, Datum account, Datum reference)
{
#define OF_REFERENCE "SELECT 1 FROM bill24.paycombat_customer" \
	" WHERE organization_reference_id = $1" OF_ACCOUNT("$2", "$3")
	static B24Statement find = {
		OF_REFERENCE, 3, {"text", "text", "bigint"}
	};
	static B24Statement lock = {
		OF_REFERENCE " FOR UPDATE SKIP LOCKED", 3, {"text", "text", "bigint"}
	};
	Datum		values[3];

	values[0] = reference;
	values[1] = server;
	values[2] = account;
	return b24_store_run(&find, values, NULL) > 0 &&
		b24_store_run(&lock, values, NULL) == 0;
}

/*
 * May what a look was told be written?  Not if a call or a job has told of the
 * customer since the look began, or our key has become another customer's: that
 * is the last word, and there will be another look.  A time to come is of a
 * clock that was set back.  The row stays locked.
 */
static bool
is_still_news(Datum server, Datum account, Datum reference, Datum customer_id,
			  TimestampTz asked_at)
{
	static B24Statement lock = {
		OF_REFERENCE " AND customer_id = $4"
		" AND (synced_at <= $5 OR synced_at > pg_catalog.clock_timestamp())"
		" FOR UPDATE SKIP LOCKED",
		5, {"text", "text", "bigint", "text", "timestamptz"}
	};
	Datum		values[5];

	values[0] = reference;
	values[1] = server;
	values[2] = account;
	values[3] = customer_id;
	values[4] = TimestampTzGetDatum(asked_at);
	return b24_store_run(&lock, values, NULL) > 0;
}

/*
 * Writes a customer as it was told.  A row of an earlier reference of it goes;
 * one of a customer that was deleted since comes back to life.
 */
static void
put(const char *server, int64 account, const B24Endpoint *endpoint,
	const char *reference, const char *customer_id, const B24Json *customer,
	TimestampTz asked_at)
{
	static B24Statement forget = {
		"DELETE FROM bill24.paycombat_customer WHERE customer_id = $1"
		OF_ACCOUNT("$2", "$3") " AND organization_reference_id <> $4",
		4, {"text", "text", "bigint", "text"}
	};
	static B24Statement write = {
		"INSERT INTO bill24.paycombat_customer AS c (customer_id, server, account,"
		"  organization_reference_id, type, is_active, is_wallet_ready, customer,"
		"  changed_at, synced_at) SELECT $1, $2, $3, $4, $5, $6, $7, $8, s.t, s.t"
		" FROM (SELECT pg_catalog.clock_timestamp() AS t) s"
		" ON CONFLICT (organization_reference_id, server, account) DO UPDATE SET"
		"  customer_id = EXCLUDED.customer_id, type = EXCLUDED.type,"
		"  is_active = EXCLUDED.is_active, is_wallet_ready = EXCLUDED.is_wallet_ready,"
		"  customer = EXCLUDED.customer, synced_at = EXCLUDED.synced_at, deleted_at = NULL,"
		"  changed_at = CASE WHEN c.customer IS DISTINCT FROM EXCLUDED.customer"
		"   OR c.deleted_at IS NOT NULL THEN EXCLUDED.changed_at ELSE c.changed_at END",
		8, {"text", "text", "bigint", "text", "text", "boolean", "boolean", "jsonb"}
	};
	Datum		values[8];
	char		nulls[] = "        ";
	char	   *type = id_of(customer, "type");

	values[7] = document_of(endpoint, customer);
	if (values[7] == (Datum) 0)
		return;
	values[0] = CStringGetTextDatum(customer_id);
	values[1] = CStringGetTextDatum(server);
	values[2] = Int64GetDatum(account);
	values[3] = CStringGetTextDatum(reference);
	values[4] = type != NULL ? CStringGetTextDatum(type) : (Datum) 0;
	nulls[4] = type != NULL ? ' ' : 'n';
	values[5] = boolean_of(customer, "is_active", &nulls[5]);
	values[6] = boolean_of(customer, "is_wallet_ready", &nulls[6]);
	if (asked_at != 0 ?
		!is_still_news(values[1], values[2], values[3], values[0], asked_at) :
		is_in_other_hands(values[1], values[2], values[3]))
		return;
	b24_store_run(&forget, values, NULL);
	b24_store_run(&write, values, nulls);
}

static void
keep(const char *server, int64 account, const B24Endpoint *endpoint,
	 const B24Json *arguments, const B24Json *customer, TimestampTz asked_at)
{
	B24Account	of = {.server = server, .number = account};
	char	   *asked = id_of(arguments, endpoint->remote_key != NULL ?
							  endpoint->remote_key : "customer_id");
	char	   *told = id_of(customer, "customer_id");
	char	   *reference;

	/* an answer about another customer, or about none, says nothing of this */
	if (endpoint->keeps == B24_KEEPS_TOMBSTONE)
	{
		if (asked != NULL)
			bury(server, account, asked);
		return;
	}
	if (told == NULL || (asked != NULL && strcmp(asked, told) != 0))
		return;

	reference = id_of(arguments, endpoint->key);
	if (reference == NULL)
		reference = id_of(customer, "organization_reference_id");
	if (reference == NULL)
		reference = b24_paycombat_customer_reference(&of, told);
	if (reference != NULL)
		put(server, account, endpoint, reference, told, customer, asked_at);
}

/*
 * The account of a merchant has another number: its customers are known under
 * that from now on, unless they are already; with copy, under both.
 */
void
b24_paycombat_customer_move(const char *server, int64 from, int64 to, bool copy)
{
	static B24Statement add = {
		"INSERT INTO bill24.paycombat_customer (organization_reference_id, server, account,"
		"  customer_id, type, is_active, is_wallet_ready, customer, changed_at, synced_at, deleted_at)"
		" SELECT organization_reference_id, server, $3, customer_id, type, is_active,"
		"  is_wallet_ready, customer, changed_at, synced_at, deleted_at"
		" FROM bill24.paycombat_customer c WHERE c.server = $1 AND c.account = $2 AND ("
		"  SELECT n.customer_id FROM bill24.paycombat_customer n WHERE n.customer_id = c.customer_id"
		OF_ACCOUNT("$1", "$3") " LIMIT 1) IS NULL"
		" ON CONFLICT DO NOTHING", 3, {"text", "bigint", "bigint"}
	};
	static B24Statement forget = {
		"DELETE FROM bill24.paycombat_customer WHERE server = $1 AND account = $2",
		2, {"text", "bigint"}
	};
	Datum		values[3];

	values[0] = CStringGetTextDatum(server);
	values[1] = Int64GetDatum(from);
	values[2] = Int64GetDatum(to);
	b24_store_run_latest(&add, values);
	if (!copy)
		b24_store_run_latest(&forget, values);
}

/* What of an answer is kept: see b24_paycombat_customer_keep. */
typedef struct Keep
{
	const char *server;
	int64		account;
	const B24Endpoint *endpoint;
	const B24Json *arguments;
	const B24Json *customer;
	TimestampTz asked_at;
} Keep;

static void
keep_in_store(void *argument)
{
	const Keep *k = argument;
	B24Store	store;

	b24_store_open(&store);
	(void) set_config_option("lock_timeout", LOCK_TIMEOUT, PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	keep(k->server, k->account, k->endpoint, k->arguments, k->customer, k->asked_at);
	b24_store_close(&store);
}

/*
 * Keeps what the answer to an operation, which succeeded, tells of a customer:
 * "customer" is the result of the reply.  asked_at is when a look began, whose
 * answer may be older than what is kept; 0 for others, which have the last word.
 * In a transaction that only reads, nothing is kept.  What goes wrong is told at elevel and undone.
 */
void
b24_paycombat_customer_keep(const char *server, int64 account,
							const B24Endpoint *endpoint, const B24Json *arguments,
							const B24Json *customer, TimestampTz asked_at,
							int elevel)
{
	Keep		k = {server, account, endpoint, arguments, customer, asked_at};
	ErrorData  *error;

	if (endpoint->keeps == B24_KEEPS_NOTHING || XactReadOnly || RecoveryInProgress())
		return;
	error = b24_apart(keep_in_store, &k);
	if (error != NULL)
		ereport(elevel,
				(errcode(error->sqlerrcode),
				 errmsg("what %s answered is not kept in bill24.paycombat_customer: %s",
						endpoint->name, error->message)));
}
