/*
 * bill24_customer.c
 *		The pages Create, Get, Update and Delete Customer.
 */
#include "bill24.h"
#include "event.h"
#include "state.h"

#include <string.h>

#define SYNC_CODE_LIMIT	50		/* characters */

static const char *const customer_texts[] = {
	"sync_code", "name", "name_kh", "phone", "email", NULL
};

static const char *const key_texts[] = {"sync_code", NULL};

/*
 * Copy a member of the request, if it is there, to an event.
 */
static void
copy_text(json_object *event, json_object *body, const char *key)
{
	if (json_object_object_get_ex(body, key, NULL))
		sim_put_text(event, key, sim_text(body, key));
}

static void
check_sync_code(Bill24Complaints *complaints, const char *sync_code)
{
	if (bill24_is_blank(sync_code))
		bill24_complain(complaints, "Please provide [sync_code].");
	else if (sim_utf8_length(sync_code) > SYNC_CODE_LIMIT)
		bill24_complain(complaints, "[sync_code] must have 50 or fewer "
						"digits. Please adjust and retry.");
}

/* One "@", with something on both sides: no more is known to be checked. */
static void
check_email(Bill24Complaints *complaints, const char *email)
{
	const char *at;

	if (bill24_is_blank(email))
		return;
	at = strchr(email, '@');
	if (at == NULL || at == email || at[1] == '\0' ||
		strchr(at + 1, '@') != NULL)
		bill24_complain(complaints, "'Email' is not a valid email address.");
}

/*
 * The customer as Create and Update answer it; Update's wallets are always an
 * empty list.
 */
static json_object *
customer_data(const SimCustomer *customer, bool wallets)
{
	json_object *data = json_object_new_object();
	json_object *list = json_object_new_array();

	sim_put_uuid(data, "id", customer->serial);
	sim_put_text(data, "sync_code", customer->sync_code);
	sim_put_text(data, "name", customer->name);
	sim_put_text(data, "name_kh", customer->name_kh);
	sim_put_text(data, "phone", customer->phone);
	sim_put_text(data, "email", customer->email);
	for (int i = 0; wallets && i < customer->wallet_count; i++)
	{
		json_object *wallet = json_object_new_object();

		sim_put_text(wallet, "name", customer->wallets[i].name);
		sim_put_text(wallet, "currency", customer->wallets[i].currency);
		json_object_array_add(list, wallet);
	}
	sim_put(data, "wallet", list);
	return data;
}

/* The hollow customer that Delete answers. */
static json_object *
empty_customer_data(void)
{
	json_object *data = json_object_new_object();

	sim_put_text(data, "id", "");
	sim_put_text(data, "sync_code", "");
	sim_put_text(data, "name", "");
	sim_put_text(data, "name_kh", NULL);
	sim_put_text(data, "phone", NULL);
	sim_put_text(data, "email", NULL);
	sim_put(data, "wallet", json_object_new_array());
	return data;
}

/*
 * Check the list of wallets; false if it is not even a list of objects.
 */
static bool
check_wallets(Bill24Complaints *complaints, json_object *wallets)
{
	if (wallets == NULL)
		return true;
	if (!json_object_is_type(wallets, json_type_array))
		return false;
	for (size_t i = 0; i < json_object_array_length(wallets); i++)
	{
		json_object *wallet = json_object_array_get_idx(wallets, i);
		json_object *name = json_object_object_get(wallet, "name");
		json_object *currency = json_object_object_get(wallet, "currency");

		if (!json_object_is_type(wallet, json_type_object) ||
			(name != NULL && !json_object_is_type(name, json_type_string)) ||
			(currency != NULL &&
			 !json_object_is_type(currency, json_type_string)))
			return false;
		/* required once a wallet is sent; the wording is a guess */
		if (bill24_is_blank(json_object_get_string(name)))
			bill24_complain(complaints, "Please provide [wallet.name].");
		if (bill24_is_blank(json_object_get_string(currency)))
			bill24_complain(complaints, "Please provide [wallet.currency].");
	}
	return true;
}

void
bill24_create_customer(SimRequest *request, SimAnswer *answer)
{
	static const Bill24Refusal exists = {
		"310", "This customer already exist", "អតិថិជននេះមានរួចហើយ"
	};
	static const Bill24Refusal too_many = {
		"320", "A customer can have at most 2 wallets",
		"អតិថិជនអាចមាន 2 wallet យ៉ាងច្រើនបំផុត"
	};
	json_object *body = request->json;
	Bill24Complaints complaints = {0};
	const char *sync_code;
	json_object *wallets;
	json_object *event;

	if (!bill24_check_body(request, answer, customer_texts, NULL))
		return;
	sync_code = sim_text(body, "sync_code");
	wallets = json_object_object_get(body, "wallet");
	check_sync_code(&complaints, sync_code);
	if (bill24_is_blank(sim_text(body, "name")))
		bill24_complain(&complaints, "Please provide [name].");
	check_email(&complaints, sim_text(body, "email"));
	if (!check_wallets(&complaints, wallets))
	{
		bill24_payload_error(answer, NULL);
		return;
	}
	if (bill24_complained(answer, &complaints, NULL))
		return;
	if (wallets != NULL && json_object_array_length(wallets) > SIM_MAX_WALLETS)
	{
		bill24_refuse(answer, &too_many, NULL);
		return;
	}
	if (sim_customer_find(sync_code) != NULL)
	{
		/* that "data" is an object was observed, what it holds was not */
		bill24_refuse(answer, &exists, empty_customer_data());
		return;
	}

	event = sim_event_new("customer_create");
	for (const char *const *key = customer_texts; *key != NULL; key++)
		copy_text(event, body, *key);
	if (wallets != NULL)
		sim_put(event, "wallet", json_object_get(wallets));
	if (sim_config.wallet_lag_ms > 0)
		sim_put_int(event, "visible_ms",
					sim_real_ms() + sim_config.wallet_lag_ms);
	sim_commit(event);

	/* the other customer operations say "000" */
	bill24_reply(answer, "SUCCESS", "Success", "ជោគជ័យ",
				 customer_data(sim_customer_find(sync_code), true));
}

/*
 * The customer that an operation by key alone is about, or NULL after the
 * refusal.  These operations call the field by another name than the one it
 * is sent under.
 */
static SimCustomer *
find_by_key(SimRequest *request, SimAnswer *answer)
{
	Bill24Complaints complaints = {0};
	const char *sync_code;
	SimCustomer *customer;

	if (!bill24_check_body(request, answer, key_texts, NULL))
		return NULL;
	sync_code = sim_text(request->json, "sync_code");
	if (bill24_is_blank(sync_code))
		bill24_complain(&complaints, "Please provide [customer_sync_code].");
	if (bill24_complained(answer, &complaints, NULL))
		return NULL;
	customer = sim_customer_find(sync_code);
	if (customer == NULL)
		bill24_refuse(answer, &bill24_customer_not_found, NULL);
	return customer;
}

/* "walletBalances" is in camel case, and the customer's id is missing. */
void
bill24_get_customer(SimRequest *request, SimAnswer *answer)
{
	SimCustomer *customer = find_by_key(request, answer);
	json_object *data;

	if (customer == NULL)
		return;
	data = json_object_new_object();
	sim_put_text(data, "sync_code", customer->sync_code);
	sim_put_text(data, "name", customer->name);
	sim_put_text(data, "name_kh", customer->name_kh);
	sim_put_text(data, "phone", customer->phone);
	sim_put_text(data, "email", customer->email);
	sim_put(data, "walletBalances", bill24_wallets(customer->sync_code));
	bill24_success(answer, data);
}

/*
 * Whether absent fields are kept or cleared is not documented: here they are
 * kept, and those that are sent as null are cleared.
 */
void
bill24_update_customer(SimRequest *request, SimAnswer *answer)
{
	json_object *body = request->json;
	Bill24Complaints complaints = {0};
	const char *sync_code;
	json_object *event;

	if (!bill24_check_body(request, answer, customer_texts, NULL))
		return;
	sync_code = sim_text(body, "sync_code");
	check_sync_code(&complaints, sync_code);
	if (json_object_object_get_ex(body, "name", NULL) &&
		bill24_is_blank(sim_text(body, "name")))
		bill24_complain(&complaints, "Please provide [name].");
	check_email(&complaints, sim_text(body, "email"));
	if (bill24_complained(answer, &complaints, NULL))
		return;
	if (sim_customer_find(sync_code) == NULL)
	{
		bill24_refuse(answer, &bill24_customer_not_found, NULL);
		return;
	}

	event = sim_event_new("customer_update");
	for (const char *const *key = customer_texts; *key != NULL; key++)
		copy_text(event, body, *key);
	sim_commit(event);
	bill24_reply(answer, "000", "Customer profile updated successfully.",
				 " អតិថិជនបានកែប្រែជោគជ័យ។ ",
				 customer_data(sim_customer_find(sync_code), false));
}

/* The codes of this page have no "not found": 311 as elsewhere is a guess. */
void
bill24_delete_customer(SimRequest *request, SimAnswer *answer)
{
	static const Bill24Refusal has_money = {
		"407", "Cannot delete customer: wallet balance not zero.",
		"មិនអាចលុបអតិថិជននេះបានទេ ទឹកប្រាក់នៅសល់ក្នុងកាបូបលុយ។"
	};
	SimCustomer *customer = find_by_key(request, answer);
	json_object *event;

	if (customer == NULL)
		return;
	if (sim_customer_has_money(customer))
	{
		bill24_refuse(answer, &has_money, NULL);
		return;
	}
	event = sim_event_new("customer_delete");
	sim_put_text(event, "sync_code", customer->sync_code);
	sim_commit(event);
	bill24_reply(answer, "000", " Customer deleted successfully. ",
				 " អតិថិជនបានលុបជោគជ័យ។ ", empty_customer_data());
}
