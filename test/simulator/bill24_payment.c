/*
 * bill24_payment.c
 *		The page Settle Payment: push a bill and charge it.
 *
 * The order of the checks is the one observed: fields and formats, hash,
 * customer, supplier, payment token, duplicate, balance.
 */
#include "bill24.h"
#include "event.h"
#include "state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIGEST_SIZE	64

/* What is read from the body before anything is looked up. */
typedef struct Push
{
	const char *ref_id;
	const char *currency;
	const char *sync_code;
	const char *payment_to;
	const char *token;
	const char *total_text;		/* the JSON number as it was sent */
	SimMoney	total;
	int64_t		date_us;
	int64_t		due_us;
	json_object *details;		/* array or NULL */
} Push;

static const char *const push_texts[] = {
	"ref_id", "date", "due_date", "currency", "customer_sync_code",
	"payment_method_token", "payment_to", "description", "hash", NULL
};

/* The data of an answer; a refused push has null in place of both. */
static json_object *
push_data(const char *status)
{
	static const char *const parts[] = {"bill", "payment"};
	json_object *data = json_object_new_object();

	for (size_t i = 0; i < sim_lengthof(parts); i++)
	{
		json_object *part = NULL;

		if (status != NULL)
		{
			part = json_object_new_object();
			sim_put_text(part, "status", status);
		}
		sim_put(data, parts[i], part);
	}
	return data;
}

/* Absent, null, or a JSON number, with or without quotes, or empty. */
static bool
is_loose_number(json_object *body, const char *key)
{
	json_object *value = json_object_object_get(body, key);
	SimMoney	amount;

	return value == NULL || sim_amount(value, &amount) ||
		(json_object_is_type(value, json_type_string) &&
		 json_object_get_string_len(value) == 0);
}

/*
 * Add up the lines; false if one of them is no line.
 */
static bool
add_details(json_object *details, SimMoney *sum)
{
	*sum = 0;
	if (!json_object_is_type(details, json_type_array))
		return false;
	for (size_t i = 0; i < json_object_array_length(details); i++)
	{
		json_object *line = json_object_array_get_idx(details, i);
		json_object *value = json_object_object_get(line, "amount");
		SimMoney	amount = 0;

		if (!json_object_is_type(line, json_type_object) ||
			json_object_is_type(value, json_type_string) ||
			(value != NULL && !sim_amount(value, &amount)))
			return false;
		*sum += amount;
	}
	return true;
}

/*
 * Read and check the total and the lines; false if they cannot be read.
 *
 * Whether tax belongs to the sum is not known: the observed rule is the sum of
 * the lines' amounts.  A negative total is refused in words of our own.
 */
static bool
read_total(json_object *body, Push *push, Bill24Complaints *complaints)
{
	json_object *value = json_object_object_get(body, "total_amount");
	SimMoney	sum;
	char		text[SIM_MONEY_SIZE];

	push->details = json_object_object_get(body, "details");
	if (value == NULL)
	{
		bill24_complain(complaints, "Please provide [total_amount].");
		return true;
	}
	if (json_object_is_type(value, json_type_string) ||
		!sim_amount(value, &push->total))
		return false;
	push->total_text = json_object_get_string(value);
	if (push->total < 0)
		bill24_complain(complaints, "The [total_amount] field must not be "
						"negative.");
	if (push->details == NULL)
		return true;
	if (!add_details(push->details, &sum))
		return false;
	if (json_object_array_length(push->details) > 0 && sum != push->total)
	{
		sim_money_text(sum, text);
		bill24_complain(complaints, "The [total_amount] field must be equal "
						"to %s.", text);
	}
	return true;
}

/*
 * Read and check the two dates; false if they are no times.
 */
static bool
read_dates(json_object *body, Push *push, Bill24Complaints *complaints)
{
	const char *date = sim_text(body, "date");
	const char *due = sim_text(body, "due_date");
	bool		late = true;

	if (date == NULL)
		bill24_complain(complaints, "Please provide [date].");
	else if (!sim_time_parse(date, &push->date_us))
		return false;
	if (due == NULL)
		bill24_complain(complaints, "Please provide [due_date].");
	else
	{
		if (!sim_time_parse(due, &push->due_us))
			return false;
		late = push->due_us <= push->date_us ||
			push->due_us < sim_provider_us();
	}
	if (late)
		bill24_complain(complaints, "MsgDueDateMustBeGreaterThanCurrentDate");
	return true;
}

/*
 * Read the body; false after the refusal.
 */
static bool
read_push(SimRequest *request, SimAnswer *answer, Push *push)
{
	json_object *body = request->json;
	Bill24Complaints complaints = {0};

	if (!bill24_check_body(request, answer, push_texts, push_data(NULL)))
		return false;
	push->ref_id = sim_text(body, "ref_id");
	push->currency = sim_text(body, "currency");
	push->sync_code = sim_text(body, "customer_sync_code");
	push->payment_to = sim_text(body, "payment_to");
	push->token = sim_text(body, "payment_method_token");

	if (bill24_is_blank(push->ref_id))
	{
		bill24_complain(&complaints, "The RefId field is required.");
		bill24_complain(&complaints, "Please provide [ref_id].");
	}
	if (!read_dates(body, push, &complaints))
	{
		bill24_payload_error(answer, push_data(NULL));
		return false;
	}
	if (bill24_is_blank(push->currency))
		bill24_complain(&complaints, "Please provide [currency].");
	if (!read_total(body, push, &complaints) ||
		!is_loose_number(body, "total_amount_khr") ||
		!is_loose_number(body, "exchange_rate_khr") ||
		!is_loose_number(body, "total_tax"))
	{
		bill24_payload_error(answer, push_data(NULL));
		return false;
	}
	if (bill24_is_blank(push->sync_code))
		bill24_complain(&complaints, "Please provide [customer_sync_code].");
	if (bill24_is_blank(push->payment_to))
		bill24_complain(&complaints, "Please provide [payment_to].");
	if (bill24_is_blank(sim_text(body, "hash")))
		bill24_complain(&complaints, "Please provide [hash].");
	return !bill24_complained(answer, &complaints, push_data(NULL));
}

/*
 * Base64 of the raw HMAC-SHA-512 of ref_id, date, currency, total_amount,
 * customer_sync_code and payment_to, one behind the other.  The date is its
 * fourteen digits in UTC, the amount is the text of the JSON number.
 */
static bool
hash_is_right(const Push *push, const char *given)
{
	char		date[SIM_TIME_SIZE];
	unsigned char digest[DIGEST_SIZE];
	char	   *message;
	char	   *expected;
	bool		right;

	sim_time_digits(push->date_us, date);
	if (asprintf(&message, "%s%s%s%s%s%s", push->ref_id, date, push->currency,
				 push->total_text, push->sync_code, push->payment_to) < 0)
		abort();
	sim_hmac_sha512(sim_credentials.hash_token, message, digest);
	expected = sim_base64(digest, sizeof(digest));
	right = strcmp(expected, given) == 0;
	free(expected);
	free(message);
	return right;
}

/*
 * The wallet to charge: that of the token, or without one the first of the
 * bill's currency.  Returns its number, or -1 with the refusal.
 */
static int
find_wallet(const Push *push, const SimCustomer *customer,
			const Bill24Refusal **refusal)
{
	static const Bill24Refusal bad_token = {
		"314", "Payment method token invalid", "Payment Token មិនត្រឹមត្រូវ"
	};
	static const Bill24Refusal no_method = {
		"312", "Payment method not found", "រកមិនឃើញវិធីបង់ប្រាក់នេះ"
	};

	*refusal = bill24_is_blank(push->token) ? &no_method : &bad_token;
	for (int i = 0; i < customer->wallet_count; i++)
	{
		const SimWallet *wallet = &customer->wallets[i];
		bool		currency = strcmp(wallet->currency, push->currency) == 0;
		char		token[SIM_UUID_SIZE];

		if (!sim_wallet_visible(wallet))
			continue;
		if (bill24_is_blank(push->token))
		{
			if (currency)
				return i;
			continue;
		}
		sim_uuid(wallet->token_serial, token);
		if (strcmp(token, push->token) == 0)
		{
			*refusal = &no_method;
			return currency ? i : -1;
		}
	}
	return -1;
}

/* The lines as bills show them; "item_mame" is how the sample spells it. */
static json_object *
stored_details(json_object *details)
{
	static const char *const keys[] = {
		"description", "quantity", "price", "amount"
	};
	json_object *list = json_object_new_array();
	size_t		count = details == NULL ? 0 :
		json_object_array_length(details);

	for (size_t i = 0; i < count; i++)
	{
		json_object *line = json_object_array_get_idx(details, i);
		json_object *stored = json_object_new_object();
		const char *name = sim_text(line, "item_name");

		sim_put_text(stored, "item_name",
					 name != NULL ? name : sim_text(line, "item_mame"));
		for (size_t k = 0; k < sim_lengthof(keys); k++)
			sim_put(stored, keys[k], json_object_get(
				json_object_object_get(line, keys[k])));
		json_object_array_add(list, stored);
	}
	return list;
}

static void
store_bill(json_object *body, const Push *push, int wallet, bool paid)
{
	json_object *event = sim_event_new("bill");

	sim_put_text(event, "ref_id", push->ref_id);
	sim_put_text(event, "sync_code", push->sync_code);
	sim_put_text(event, "description", sim_text(body, "description"));
	sim_put_text(event, "currency", push->currency);
	sim_put_text(event, "total", push->total_text);
	sim_put_text(event, "payment_to", push->payment_to);
	sim_put_int(event, "date", push->date_us);
	sim_put_int(event, "due", push->due_us);
	sim_put(event, "details", stored_details(push->details));
	sim_put_int(event, "wallet", wallet);
	sim_put(event, "paid", json_object_new_boolean(paid));
	if (sim_config.balance_lag_ms > 0)
		sim_put_int(event, "visible_ms",
					sim_real_ms() + sim_config.balance_lag_ms);
	sim_commit(event);
}

/*
 * A bill that cannot be paid remains, unpaid, and its ref_id is used up.
 */
void
bill24_push_bill(SimRequest *request, SimAnswer *answer)
{
	static const Bill24Refusal bad_hash = {
		"318", "Invalid hash token", "Hash token មិនត្រឹមត្រូវ"
	};
	static const Bill24Refusal no_supplier = {
		"315", "Invalid payment_to.Supplier not found.",
		"រកមិនឃើញម្ចាស់អាជីវកម្មដែលត្រូវទូទាត់ទៅកាន់"
	};
	static const Bill24Refusal duplicate = {
		"327", "Bill already exist", "វិក្កយបត្រនេះមានរួចហើយ"
	};
	static const Bill24Refusal no_money = {
		"401", "Insufficient balance in the wallet to proceed with payment.",
		"កាបូបលុយអេឡិចត្រូនិចសមតុល្យមិនគ្រប់គ្រាន់សូមធ្វើការបញ្ចូលលុយដើម្បីបន្តការទូទាត់"
	};
	const Bill24Refusal *refusal = NULL;
	Push		push = {0};
	SimCustomer *customer;
	int			wallet = -1;

	if (!read_push(request, answer, &push))
		return;
	customer = sim_customer_find(push.sync_code);
	if (!hash_is_right(&push, sim_text(request->json, "hash")))
		refusal = &bad_hash;
	else if (customer == NULL)
		refusal = &bill24_customer_not_found;
	else if (sim_supplier_find(push.payment_to) == NULL)
		refusal = &no_supplier;
	else
	{
		wallet = find_wallet(&push, customer, &refusal);
		if (wallet >= 0)
			refusal = sim_bill_find(push.ref_id) != NULL ? &duplicate : NULL;
	}
	if (refusal == NULL && customer->wallets[wallet].balance < push.total)
	{
		refusal = &no_money;
		store_bill(request->json, &push, wallet, false);
	}
	if (refusal != NULL)
	{
		bill24_refuse(answer, refusal, push_data(NULL));
		return;
	}
	store_bill(request->json, &push, wallet, true);
	bill24_reply(answer, "SUCCESS",
				 "Bill pushed and payment captured successfully.",
				 "បញ្ជូនវិក័យ្យបត្រនិងធ្វើការទូទាត់រួចរាល់ !",
				 push_data("success"));
}
