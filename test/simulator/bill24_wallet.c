/*
 * bill24_wallet.c
 *		The pages Get Wallet Balance, Get Payment Methods and Get Wallet
 *		History.
 */
#include "bill24.h"
#include "state.h"

#include <stdio.h>
#include <string.h>

static const char *const key_texts[] = {"customer_sync_code", NULL};

/*
 * The visible wallets of a customer that exists.
 */
json_object *
bill24_wallets(const char *sync_code)
{
	SimCustomer *customer = sim_customer_find(sync_code);
	json_object *list = json_object_new_array();

	for (int i = 0; i < customer->wallet_count; i++)
	{
		SimWallet  *wallet = &customer->wallets[i];
		json_object *entry;

		if (!sim_wallet_visible(wallet))
			continue;
		entry = json_object_new_object();
		sim_put_uuid(entry, "id", wallet->serial);
		sim_put_text(entry, "name", wallet->name);
		sim_put_money(entry, "balance", sim_wallet_visible_balance(wallet));
		sim_put_text(entry, "currency", wallet->currency);
		json_object_array_add(list, entry);
	}
	return list;
}

/*
 * The customer of a body with a customer_sync_code, or NULL after the refusal.
 */
static SimCustomer *
find_customer(SimRequest *request, SimAnswer *answer)
{
	Bill24Complaints complaints = {0};
	const char *sync_code;
	SimCustomer *customer;

	if (!bill24_check_body(request, answer, key_texts, NULL))
		return NULL;
	sync_code = sim_text(request->json, "customer_sync_code");
	if (bill24_is_blank(sync_code))
		bill24_complain(&complaints, "Please provide [customer_sync_code].");
	if (bill24_complained(answer, &complaints, NULL))
		return NULL;
	customer = sim_customer_find(sync_code);
	if (customer == NULL)
		bill24_refuse(answer, &bill24_customer_not_found,
					  json_object_new_array());
	return customer;
}

void
bill24_get_wallet_balance(SimRequest *request, SimAnswer *answer)
{
	SimCustomer *customer = find_customer(request, answer);

	if (customer != NULL)
		bill24_success(answer, bill24_wallets(customer->sync_code));
}

void
bill24_get_payment_methods(SimRequest *request, SimAnswer *answer)
{
	SimCustomer *customer = sim_customer_find(request->parameter);
	json_object *list = json_object_new_array();

	if (customer == NULL)
	{
		bill24_refuse(answer, &bill24_customer_not_found, list);
		return;
	}
	for (int i = 0; i < customer->wallet_count; i++)
	{
		SimWallet  *wallet = &customer->wallets[i];
		json_object *entry;
		char		money[SIM_MONEY_SIZE * 2];
		char		text[256];

		if (!sim_wallet_visible(wallet))
			continue;
		sim_money_display(sim_wallet_visible_balance(wallet), money);
		entry = json_object_new_object();
		sim_put_uuid(entry, "id", wallet->serial);
		sim_put_text(entry, "type", "wallet");
		sim_put_text(entry, "name", wallet->name);
		snprintf(text, sizeof(text), "Balance : %s %s", money,
				 wallet->currency);
		sim_put_text(entry, "sub_title", text);
		snprintf(text, sizeof(text), "សមតុល្យ : %s %s", money,
				 wallet->currency);
		sim_put_text(entry, "sub_title_kh", text);
		sim_put_uuid(entry, "token", wallet->token_serial);
		sim_put(entry, "is_default", json_object_new_boolean(i == 0));
		sim_put_text(entry, "logo", "");
		json_object_array_add(list, entry);
	}
	bill24_success(answer, list);
}

/* The filters of a history request. */
typedef struct HistoryFilter
{
	const char *wallet_id;
	const char *tran_type;
	int64_t		from_us;
	int64_t		to_us;
} HistoryFilter;

static bool
filter_passes(const HistoryFilter *filter, const SimWallet *wallet,
			  const SimMovement *movement)
{
	char		id[SIM_UUID_SIZE];

	sim_uuid(wallet->serial, id);
	return (bill24_is_blank(filter->wallet_id) ||
			strcmp(filter->wallet_id, id) == 0) &&
		(bill24_is_blank(filter->tran_type) ||
		 strcmp(filter->tran_type,
				movement->amount < 0 ? "payment" : "top_up") == 0) &&
		movement->at_us >= filter->from_us &&
		movement->at_us <= filter->to_us;
}

static json_object *
movement_json(const SimWallet *wallet, const SimMovement *movement)
{
	json_object *object = json_object_new_object();
	char		when[SIM_TIME_SIZE];

	sim_put_uuid(object, "id", movement->serial);
	sim_put_uuid(object, "wallet_id", wallet->serial);
	sim_put_text(object, "tran_type",
				 movement->amount < 0 ? "payment" : "top_up");
	sim_put_money(object, "amount", movement->amount < 0 ?
				  -movement->amount : movement->amount);
	sim_put_text(object, "currency", wallet->currency);
	sim_put_money(object, "balance", movement->balance);
	sim_time_local(movement->at_us, 6, false, when);
	sim_put_text(object, "tran_date", when);
	sim_put_text(object, "reference", movement->reference);
	return object;
}

/* A bound of the date range; false if it is there and no time. */
static bool
read_bound(json_object *body, const char *key, int64_t *us)
{
	json_object *value = json_object_object_get(body, key);

	if (value == NULL)
		return true;
	if (!json_object_is_type(value, json_type_string))
		return false;
	return *json_object_get_string(value) == '\0' ||
		sim_time_parse(json_object_get_string(value), us);
}

/*
 * The page of Get Wallet History shows no answer.  This one has the envelope
 * and the pagination of Get Bills, and lines whose fields are invented: a
 * client can rely on the envelope only.
 */
void
bill24_get_wallet_histories(SimRequest *request, SimAnswer *answer)
{
	SimCustomer *customer = find_customer(request, answer);
	json_object *body = request->json;
	HistoryFilter filter = {.from_us = INT64_MIN, .to_us = INT64_MAX};
	json_object *paging;
	json_object *data;
	json_object *pagination;
	json_object *histories;
	int64_t		page_index;
	int64_t		page_size;
	int64_t		row = 0;

	if (customer == NULL)
		return;
	filter.wallet_id = sim_text(body, "wallet_id");
	filter.tran_type = sim_text(body, "tran_type");
	if (!read_bound(body, "d1", &filter.from_us) ||
		!read_bound(body, "d2", &filter.to_us))
	{
		bill24_payload_error(answer, NULL);
		return;
	}
	paging = json_object_object_get(body, "pagination");
	page_index = bill24_page_part(sim_integer(paging, "page_index", 1), 1);
	page_size = bill24_page_part(sim_integer(paging, "page_size", 10), 10);

	histories = json_object_new_array();
	for (int i = 0; i < customer->wallet_count; i++)
	{
		SimWallet  *wallet = &customer->wallets[i];

		for (SimMovement *movement = wallet->movements; movement != NULL;
			 movement = movement->next)
		{
			if (!filter_passes(&filter, wallet, movement))
				continue;
			if (row / page_size == page_index - 1)
				json_object_array_add(histories,
									  movement_json(wallet, movement));
			row++;
		}
	}
	pagination = json_object_new_object();
	sim_put_int(pagination, "page_index", page_index);
	sim_put_int(pagination, "page_size", page_size);
	sim_put_int(pagination, "page_count", (row + page_size - 1) / page_size);
	sim_put_int(pagination, "row_count", row);
	data = json_object_new_object();
	sim_put(data, "pagination", pagination);
	sim_put(data, "histories", histories);
	bill24_success(answer, data);
}
