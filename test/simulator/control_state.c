/*
 * control_state.c
 *		Changes and views of what the provider knows, past its API.
 */
#include "control.h"
#include "event.h"
#include "state.h"

#include <stdlib.h>
#include <string.h>

#define LIST_LIMIT	1000		/* where none is asked for */
#define SEED_LIMIT	10000000	/* more would not fit into memory */
#define CODE_LIMIT	100			/* bytes of a seeded code */

/*
 * The customer that the body names, or NULL after the refusal.
 */
static SimCustomer *
find_customer(SimRequest *request, SimAnswer *answer)
{
	const char *sync_code = sim_text(request->json, "sync_code");
	SimCustomer *customer = sync_code == NULL ? NULL :
		sim_customer_find(sync_code);

	if (customer == NULL)
		sim_answer_error(answer, MHD_HTTP_NOT_FOUND, "no such customer: %s",
						 sync_code == NULL ? "(no sync_code)" : sync_code);
	return customer;
}

/* The one who asked may read the result where it is short. */
static void
answer_count(SimAnswer *answer, const char *name, int64_t count)
{
	json_object *object = json_object_new_object();

	sim_put_int(object, name, count);
	sim_answer_json(answer, MHD_HTTP_OK, object);
}

static void
answer_ok(SimAnswer *answer)
{
	json_object *object = json_object_new_object();

	sim_put(object, "ok", json_object_new_boolean(true));
	sim_answer_json(answer, MHD_HTTP_OK, object);
}

void
control_expire_tokens(SimRequest *request, SimAnswer *answer)
{
	json_object *event = sim_event_new("expire");

	sim_put(event, "refresh", json_object_new_boolean(
		sim_boolean(request->json, "refresh", false)));
	sim_commit(event);
	answer_ok(answer);
}

/*
 * Money from outside, into the wallet of the currency (without one: the
 * first wallet).  A negative amount takes it away.
 */
void
control_topup(SimRequest *request, SimAnswer *answer)
{
	SimCustomer *customer = find_customer(request, answer);
	const char *currency = sim_text(request->json, "currency");
	json_object *event;
	json_object *object;
	SimMoney	amount;
	char		text[SIM_MONEY_SIZE];
	int			i = 0;

	if (customer == NULL)
		return;
	if (!sim_amount(json_object_object_get(request->json, "amount"), &amount))
	{
		sim_answer_error(answer, MHD_HTTP_BAD_REQUEST, "no amount");
		return;
	}
	while (i < customer->wallet_count && currency != NULL &&
		   strcmp(customer->wallets[i].currency, currency) != 0)
		i++;
	if (i >= customer->wallet_count)
	{
		sim_answer_error(answer, MHD_HTTP_NOT_FOUND, "no such wallet");
		return;
	}

	sim_money_text(amount, text);
	event = sim_event_new("topup");
	sim_put_text(event, "sync_code", customer->sync_code);
	sim_put_int(event, "wallet", i);
	sim_put_text(event, "amount", text);
	if (sim_config.balance_lag_ms > 0)
		sim_put_int(event, "visible_ms",
					sim_real_ms() + sim_config.balance_lag_ms);
	sim_commit(event);

	object = json_object_new_object();
	sim_put_money(object, "balance", customer->wallets[i].balance);
	sim_put_text(object, "currency", customer->wallets[i].currency);
	sim_answer_json(answer, MHD_HTTP_OK, object);
}

void
control_set_customer(SimRequest *request, SimAnswer *answer)
{
	static const char *const texts[] = {"name", "name_kh", "phone", "email"};
	SimCustomer *customer = find_customer(request, answer);
	json_object *event;

	if (customer == NULL)
		return;
	event = sim_event_new("customer_update");
	sim_put(event, "quiet", json_object_new_boolean(true));
	sim_put_text(event, "sync_code", customer->sync_code);
	for (size_t i = 0; i < sim_lengthof(texts); i++)
	{
		if (json_object_object_get_ex(request->json, texts[i], NULL))
			sim_put_text(event, texts[i], sim_text(request->json, texts[i]));
	}
	sim_commit(event);
	answer_ok(answer);
}

/* Whatever its balance is. */
void
control_remove_customer(SimRequest *request, SimAnswer *answer)
{
	SimCustomer *customer = find_customer(request, answer);
	json_object *event;

	if (customer == NULL)
		return;
	event = sim_event_new("customer_delete");
	sim_put(event, "quiet", json_object_new_boolean(true));
	sim_put_text(event, "sync_code", customer->sync_code);
	sim_commit(event);
	answer_ok(answer);
}

/*
 * Copy an amount of the body to an event as text; false if it is none.
 */
static bool
copy_amount(json_object *event, json_object *body, const char *key)
{
	json_object *value = json_object_object_get(body, key);
	SimMoney	amount = 0;
	char		text[SIM_MONEY_SIZE];

	if (value != NULL && !sim_amount(value, &amount))
		return false;
	sim_money_text(amount, text);
	sim_put_text(event, key, text);
	return true;
}

static const char *
text_or(json_object *body, const char *key, const char *otherwise)
{
	const char *text = sim_text(body, key);

	return text == NULL ? otherwise : text;
}

/* The same for many customers at once. */
void
control_topup_many(SimRequest *request, SimAnswer *answer)
{
	json_object *body = request->json;
	json_object *event = sim_event_new("topup_many");
	int64_t		count = sim_integer(body, "count", 0);
	int64_t		from = sim_integer(body, "from", 1);
	int64_t		step = sim_integer(body, "step", 1);
	const char *prefix = text_or(body, "prefix", "C");

	if (count < 0 || count > SEED_LIMIT || from < 0 || from > SEED_LIMIT ||
		step < 1 || step > SEED_LIMIT || strlen(prefix) > CODE_LIMIT ||
		!copy_amount(event, body, "amount"))
	{
		json_object_put(event);
		sim_answer_error(answer, MHD_HTTP_BAD_REQUEST, "impossible top-up");
		return;
	}
	sim_put_text(event, "prefix", prefix);
	sim_put_int(event, "from", from);
	sim_put_int(event, "count", count);
	sim_put_int(event, "step", step);
	if (sim_config.balance_lag_ms > 0)
		sim_put_int(event, "visible_ms",
					sim_real_ms() + sim_config.balance_lag_ms);
	json_object_get(event);
	sim_commit(event);
	answer_count(answer, "topped_up", sim_integer(event, "done", 0));
	json_object_put(event);
}

void
control_seed(SimRequest *request, SimAnswer *answer)
{
	json_object *body = request->json;
	json_object *event = sim_event_new("seed");
	int64_t		count = sim_integer(body, "count", 0);
	int64_t		wallets = sim_integer(body, "wallets", 1);
	int64_t		from = sim_integer(body, "from", 1);
	const char *prefix = text_or(body, "prefix", "C");

	if (count < 0 || count > SEED_LIMIT || from < 0 || from > SEED_LIMIT ||
		wallets < 0 || wallets > SIM_MAX_WALLETS ||
		strlen(prefix) > CODE_LIMIT ||
		!copy_amount(event, body, "balance"))
	{
		json_object_put(event);
		sim_answer_error(answer, MHD_HTTP_BAD_REQUEST, "impossible seed");
		return;
	}
	sim_put_text(event, "prefix", prefix);
	sim_put_int(event, "from", from);
	sim_put_int(event, "count", count);
	sim_put_int(event, "wallets", wallets);
	sim_put_text(event, "currency", text_or(body, "currency", "KHR"));
	sim_commit(event);
	answer_count(answer, "seeded", count);
}

void
control_seed_bills(SimRequest *request, SimAnswer *answer)
{
	json_object *body = request->json;
	json_object *event = sim_event_new("seed_bills");
	int64_t		count = sim_integer(body, "count", 0);
	int64_t		from = sim_integer(body, "from", 1);
	const char *sync_code = text_or(body, "sync_code", "");
	int64_t		date_us = sim_provider_us();

	if (count < 0 || count > SEED_LIMIT || from < 0 || from > SEED_LIMIT ||
		*sync_code == '\0' || strlen(sync_code) > CODE_LIMIT ||
		!copy_amount(event, body, "amount") ||
		(sim_text(body, "date") != NULL &&
		 !sim_time_parse(sim_text(body, "date"), &date_us)))
	{
		json_object_put(event);
		sim_answer_error(answer, MHD_HTTP_BAD_REQUEST, "impossible seed");
		return;
	}
	sim_put_text(event, "sync_code", sync_code);
	sim_put_int(event, "from", from);
	sim_put_int(event, "count", count);
	sim_put_text(event, "currency", text_or(body, "currency", "KHR"));
	sim_put_int(event, "date", date_us);
	sim_commit(event);
	answer_count(answer, "seeded", count);
}

void
control_customers(SimRequest *request, SimAnswer *answer)
{
	char	   *from = sim_request_query(request, "from");
	char	   *after = sim_request_query(request, "after");

	sim_answer_json(answer, MHD_HTTP_OK, sim_customers_json(from, after,
		sim_request_number(request, "limit", LIST_LIMIT)));
	free(from);
	free(after);
}
