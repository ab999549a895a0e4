/*
 * bill24_supplier.c
 *		The pages of the Activate Sub Biller API.
 */
#include "bill24.h"
#include "event.h"
#include "state.h"

#include <stdio.h>
#include <string.h>

static const char *const supplier_texts[] = {
	"supplier_sync_code", "name", "name_kh", "address", "bank_id",
	"return_url", "currency", NULL
};

static const Bill24Refusal bank_not_found = {
	"312", "Bank not found", "មិនមានធនាគារនេះទេ"
};

static const Bill24Refusal supplier_not_found = {
	"314", "Supplier not found", "ស្វែងរកម្ជាស់អាជីវកម្មមិនឃើញ"
};

/* These pages answer in small letters. */
static void
succeed(SimAnswer *answer, json_object *data)
{
	bill24_reply(answer, "000", "success", "ជោគជ័យ", data);
}

static void
put_code(json_object *object, const SimSupplier *supplier)
{
	char		code[16];

	snprintf(code, sizeof(code), "%d", supplier->code);
	sim_put_text(object, "code", code);
}

static void
put_names(json_object *object, const SimSupplier *supplier)
{
	sim_put_text(object, "name", supplier->name);
	sim_put_text(object, "name_kh", supplier->name_kh);
	sim_put_text(object, "address", supplier->address);
}

/*
 * The supplier, with the bank's page where the account is linked.  Without a
 * bank there is no page; that the object is null then is a guess.
 */
static json_object *
supplier_data(const SimSupplier *supplier, const char *bank_id)
{
	json_object *data = json_object_new_object();
	json_object *link = NULL;
	char		url[128];

	put_code(data, supplier);
	sim_put_text(data, "supplier_sync_code", supplier->sync_code);
	put_names(data, supplier);
	if (!bill24_is_blank(bank_id))
	{
		link = json_object_new_object();
		snprintf(url, sizeof(url),
				 "https://example.bank.com.kh/47291847702%sPURE%d", bank_id,
				 supplier->code);
		sim_put_text(link, "web_url", url);
	}
	sim_put(data, "add_link_account", link);
	return data;
}

static void
link_account(json_object *body)
{
	json_object *event = sim_event_new("link");

	sim_put_text(event, "sync_code", sim_text(body, "supplier_sync_code"));
	sim_put_text(event, "bank_id", sim_text(body, "bank_id"));
	sim_put_text(event, "currency", sim_text(body, "currency"));
	sim_commit(event);
}

void
bill24_onboard_supplier(SimRequest *request, SimAnswer *answer)
{
	static const Bill24Refusal exists = {
		"310", "Supplier already exist", "ម្ចាស់អាជីវកម្មមានរួចហើយ"
	};
	json_object *body = request->json;
	Bill24Complaints complaints = {0};
	const char *sync_code;
	const char *bank_id;
	json_object *event;

	if (!bill24_check_body(request, answer, supplier_texts, NULL))
		return;
	sync_code = sim_text(body, "supplier_sync_code");
	bank_id = sim_text(body, "bank_id");
	if (bill24_is_blank(sync_code))
		bill24_complain(&complaints, "Please provide [supplier_sync_code].");
	if (bill24_is_blank(sim_text(body, "name")))
		bill24_complain(&complaints, "Please provide [name].");
	if (!bill24_is_blank(bank_id) &&
		bill24_is_blank(sim_text(body, "return_url")))
		bill24_complain(&complaints, "Please provide [return_url].");
	if (bill24_complained(answer, &complaints, NULL))
		return;
	if (sim_supplier_find(sync_code) != NULL)
	{
		bill24_refuse(answer, &exists, NULL);
		return;
	}
	if (!bill24_is_blank(bank_id) && sim_bank_find(bank_id) == NULL)
	{
		bill24_refuse(answer, &bank_not_found, NULL);
		return;
	}

	event = sim_event_new("supplier");
	sim_put_text(event, "sync_code", sync_code);
	sim_put_text(event, "name", sim_text(body, "name"));
	sim_put_text(event, "name_kh", sim_text(body, "name_kh"));
	sim_put_text(event, "address", sim_text(body, "address"));
	sim_commit(event);
	if (!bill24_is_blank(bank_id))
		link_account(body);
	succeed(answer, supplier_data(sim_supplier_find(sync_code), bank_id));
}

/*
 * The page of Get Available Banks shows no answer: these fields are invented,
 * after those of a linked account.
 */
void
bill24_get_banks(SimRequest *request, SimAnswer *answer)
{
	json_object *list = json_object_new_array();
	int			count;
	const SimBank *banks = sim_banks(&count);

	(void) request;
	for (int i = 0; i < count; i++)
	{
		json_object *bank = json_object_new_object();

		sim_put_text(bank, "bank_id", banks[i].id);
		sim_put_text(bank, "bank_name", banks[i].name);
		sim_put_text(bank, "bank_name_kh", banks[i].name_kh);
		sim_put_text(bank, "bank_logo", "");
		json_object_array_add(list, bank);
	}
	bill24_success(answer, list);
}

void
bill24_add_link_account(SimRequest *request, SimAnswer *answer)
{
	static const char *const required[] = {
		"supplier_sync_code", "bank_id", "return_url"
	};
	json_object *body = request->json;
	Bill24Complaints complaints = {0};
	SimSupplier *supplier;
	const char *bank_id;

	if (!bill24_check_body(request, answer, supplier_texts, NULL))
		return;
	for (size_t i = 0; i < sim_lengthof(required); i++)
	{
		if (bill24_is_blank(sim_text(body, required[i])))
			bill24_complain(&complaints, "Please provide [%s].", required[i]);
	}
	if (bill24_complained(answer, &complaints, NULL))
		return;
	supplier = sim_supplier_find(sim_text(body, "supplier_sync_code"));
	if (supplier == NULL)
	{
		bill24_refuse(answer, &supplier_not_found, NULL);
		return;
	}
	bank_id = sim_text(body, "bank_id");
	if (sim_bank_find(bank_id) == NULL)
	{
		bill24_refuse(answer, &bank_not_found, NULL);
		return;
	}
	link_account(body);
	succeed(answer, supplier_data(supplier, bank_id));
}

static json_object *
account_json(json_object *account)
{
	json_object *object = json_object_new_object();
	const SimBank *bank = sim_bank_find(sim_text(account, "bank_id"));
	const char *currency = sim_text(account, "currency");
	char		logo[128];

	sim_put_text(object, "account_number", "0001******4411");
	sim_put_text(object, "status", "active");
	sim_put_text(object, "currency",
				 bill24_is_blank(currency) ? "KHR" : currency);
	sim_put_text(object, "bank_code", bank->id);
	sim_put_text(object, "bank_name", bank->name);
	sim_put_text(object, "bank_name_kh", bank->name_kh);
	snprintf(logo, sizeof(logo), "https://b24-upload.s3.ap-southeast-1"
			 ".amazonaws.com/banklogo2024/%s.png", bank->id);
	sim_put_text(object, "bank_logo", logo);
	return object;
}

/* No codes are listed for this page: 314 is the one of Add Link Account. */
void
bill24_verify_linked_account(SimRequest *request, SimAnswer *answer)
{
	json_object *body = request->json;
	Bill24Complaints complaints = {0};
	SimSupplier *supplier;
	const char *bank_id;
	json_object *data;
	json_object *linked;

	if (!bill24_check_body(request, answer, supplier_texts, NULL))
		return;
	if (bill24_is_blank(sim_text(body, "supplier_sync_code")))
		bill24_complain(&complaints, "Please provide [supplier_sync_code].");
	if (bill24_complained(answer, &complaints, NULL))
		return;
	supplier = sim_supplier_find(sim_text(body, "supplier_sync_code"));
	if (supplier == NULL)
	{
		bill24_refuse(answer, &supplier_not_found, NULL);
		return;
	}
	bank_id = sim_text(body, "bank_id");
	linked = json_object_new_array();
	for (size_t i = 0; i < json_object_array_length(supplier->accounts); i++)
	{
		json_object *account =
			json_object_array_get_idx(supplier->accounts, i);

		if (bill24_is_blank(bank_id) ||
			strcmp(bank_id, sim_text(account, "bank_id")) == 0)
			json_object_array_add(linked, account_json(account));
	}
	data = json_object_new_object();
	sim_put_text(data, "supplier_sync_code", supplier->sync_code);
	put_code(data, supplier);
	put_names(data, supplier);
	sim_put(data, "bank_account_linked", linked);
	bill24_success(answer, data);
}
