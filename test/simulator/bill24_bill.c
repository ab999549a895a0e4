/*
 * bill24_bill.c
 *		The pages Get Bills (both generations), Get Single Bill and Get
 *		Transaction Detail.
 */
#include "bill24.h"
#include "state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DAY_US	INT64_C(86400000000)

/* What a list of bills asks for. */
typedef struct BillFilter
{
	int64_t		from_us;
	int64_t		to_us;
	char	   *currency;		/* blank: any */
	char	   *sync_code;		/* blank: any */
} BillFilter;

static void
put_time(json_object *object, const char *key, int64_t us)
{
	char		text[SIM_TIME_SIZE];

	sim_time_local(us, 6, false, text);
	sim_put_text(object, key, text);
}

static void
put_day(json_object *object, const char *key, int64_t us)
{
	char		text[SIM_TIME_SIZE];

	sim_time_midnight(us, text);
	sim_put_text(object, key, text);
}

/* A paid bill has no checkout any more, an unpaid one no payment yet. */
static json_object *
payment_json(const SimBill *bill)
{
	json_object *payment = json_object_new_object();
	char		number[32];
	char		link[96];

	snprintf(number, sizeof(number), "%llu",
			 (unsigned long long) bill->checkout);
	snprintf(link, sizeof(link),
			 "https://checkout-demo.bill24.io/checkoutv2/%s", number);
	sim_put_text(payment, "checkout_link", bill->paid ? "" : link);
	sim_put_text(payment, "checkout_ref", bill->paid ? "" : number);
	if (bill->paid)
		put_time(payment, "payment_date", bill->paid_us);
	else
		sim_put(payment, "payment_date", NULL);
	sim_put_text(payment, "payment_method", bill->paid ? "wallet" : "");
	return payment;
}

static json_object *
bill_json(const SimBill *bill, bool older)
{
	json_object *object = json_object_new_object();

	sim_put_text(object, "ref_id", bill->ref_id);
	put_day(object, "date", bill->date_us);
	put_day(object, "due_date", bill->due_us);
	sim_put_text(object, "description", bill->description);
	sim_put_text(object, "currency", bill->currency);
	sim_put(object, "total_amount", json_object_new_double_s(0, bill->total));
	sim_put_text(object, "customer_sync_code", bill->sync_code);
	if (older)
	{
		sim_put_int(object, "total_tax", 0);
		sim_put_text(object, "invoice_status",
					 bill->paid ? "success" : "unpaid");
	}
	else
		sim_put_text(object, "bill_status", bill->paid ? "paid" : "unpaid");
	sim_put(object, "details", json_object_get(bill->details));
	sim_put(object, "payment", payment_json(bill));
	return object;
}

/* What the server answers for a bill that it does not know. */
static json_object *
empty_bill_json(void)
{
	json_object *object = json_object_new_object();
	json_object *payment = json_object_new_object();

	sim_put_text(object, "ref_id", "");
	sim_put_text(object, "date", "0001-01-01T00:00:00");
	sim_put_text(object, "due_date", "0001-01-01T00:00:00");
	sim_put_text(object, "description", "");
	sim_put_text(object, "currency", "");
	sim_put_int(object, "total_amount", 0);
	sim_put_text(object, "customer_sync_code", "");
	sim_put_text(object, "bill_status", "");
	sim_put(object, "details", json_object_new_array());
	sim_put_text(payment, "checkout_link", "");
	sim_put_text(payment, "checkout_ref", "");
	sim_put_text(payment, "payment_date", "0001-01-01T00:00:00");
	sim_put_text(payment, "payment_method", "");
	sim_put(object, "payment", payment);
	return object;
}

void
bill24_get_single_bill(SimRequest *request, SimAnswer *answer)
{
	static const Bill24Refusal not_found = {
		"324", "Bill not found.", "រកមិនឃើញវិក្កយបត្រ"
	};
	const SimBill *bill = sim_bill_find(request->parameter);

	if (bill == NULL)
		bill24_refuse(answer, &not_found, empty_bill_json());
	else
		bill24_success(answer, bill_json(bill, false));
}

/*
 * A bill that nobody pushed, for a list that never ends.
 */
static json_object *
invented_bill_json(int64_t number)
{
	char		ref_id[48];
	SimBill		bill = {
		.ref_id = ref_id,
		.sync_code = (char *) "ENDLESS",
		.description = (char *) "",
		.currency = (char *) "KHR",
		.total = (char *) "1",
		.date_us = sim_provider_us(),
		.due_us = sim_provider_us() + 7 * DAY_US,
		.paid = true,
		.paid_us = sim_provider_us()
	};
	json_object *object;

	snprintf(ref_id, sizeof(ref_id), "ENDLESS-%lld", (long long) number);
	object = bill_json(&bill, false);
	json_object_object_add(object, "details", json_object_new_array());
	return object;
}

static bool
filter_passes(const BillFilter *filter, const SimBill *bill)
{
	return bill->date_us >= filter->from_us && bill->date_us < filter->to_us &&
		(bill24_is_blank(filter->currency) ||
		 strcmp(filter->currency, bill->currency) == 0) &&
		(bill24_is_blank(filter->sync_code) ||
		 strcmp(filter->sync_code, bill->sync_code) == 0);
}

/*
 * The bills of a page, oldest first; returns how many pass the filter.
 */
static int64_t
collect_page(const BillFilter *filter, int64_t page_index, int64_t page_size,
			 json_object *list)
{
	int64_t		row = 0;

	for (const SimBill *bill = sim_bill_first(); bill != NULL;
		 bill = bill->hh.next)
	{
		if (!filter_passes(filter, bill))
			continue;
		if (row / page_size == page_index - 1)
			json_object_array_add(list, bill_json(bill, false));
		row++;
	}
	return row;
}

/*
 * Read a date of the query.  Its absence and its nonsense are complained of
 * in words of our own: that both are required is documented, not what is said
 * of them when they are missing.
 */
static void
read_day(SimRequest *request, const char *name, int64_t *us,
		 Bill24Complaints *complaints)
{
	char	   *text = sim_request_query(request, name);

	if (bill24_is_blank(text))
		bill24_complain(complaints, "Please provide [%s].", name);
	else if (!sim_time_parse(text, us))
		bill24_complain(complaints, "[%s] is not a valid date.", name);
	else if (strlen(text) == strlen("2025-01-01") &&
			 strcmp(name, "to_date") == 0)
		*us += DAY_US;			/* a day includes all of itself */
	else if (strcmp(name, "to_date") == 0)
		*us += 1;
	free(text);
}

/* The page as it is, then as the configured quirk has it. */
static json_object *
page_data(const BillFilter *filter, int64_t page_index, int64_t page_size)
{
	json_object *data = json_object_new_object();
	json_object *pagination = json_object_new_object();
	json_object *bills = json_object_new_array();
	int64_t		told_index = page_index;
	int64_t		told_size = page_size;
	int64_t		row_count;
	int64_t		page_count;

	if (sim_config.page_quirk == SIM_PAGE_REPEAT)
		told_index = page_index = 1;
	row_count = collect_page(filter, page_index, page_size, bills);
	page_count = (row_count + page_size - 1) / page_size;

	switch ((SimPageQuirk) sim_config.page_quirk)
	{
		case SIM_PAGE_NONE:
		case SIM_PAGE_REPEAT:
			break;

		case SIM_PAGE_ENDLESS:
			for (int64_t i = (int64_t) json_object_array_length(bills);
				 i < page_size; i++)
				json_object_array_add(bills, invented_bill_json(
					(page_index - 1) * page_size + i + 1));
			page_count = page_index + 1;
			row_count = page_count * page_size;
			break;

		case SIM_PAGE_WRONG_INDEX:
			told_index = page_index + 7;
			break;

		case SIM_PAGE_EMPTY_PROMISE:
			page_count++;
			row_count += page_size;
			break;

		case SIM_PAGE_DOCUMENTED:
			row_count = 625;
			page_count = 1;
			told_size = 10;
			break;
	}
	sim_put_int(pagination, "page_index", told_index);
	sim_put_int(pagination, "page_size", told_size);
	sim_put_int(pagination, "page_count", page_count);
	sim_put_int(pagination, "row_count", row_count);
	sim_put(data, "pagination", pagination);
	sim_put(data, "bills", bills);
	return data;
}

void
bill24_get_bills(SimRequest *request, SimAnswer *answer)
{
	Bill24Complaints complaints = {0};
	BillFilter	filter = {0};
	int64_t		page_index = sim_request_number(request, "page_index", 1);
	int64_t		page_size = sim_request_number(request, "page_size", 10);

	read_day(request, "from_date", &filter.from_us, &complaints);
	read_day(request, "to_date", &filter.to_us, &complaints);
	if (bill24_complained(answer, &complaints, NULL))
		return;
	filter.currency = sim_request_query(request, "Currency");
	filter.sync_code = sim_request_query(request, "customer_sync_code");
	page_index = bill24_page_part(page_index, 1);
	page_size = bill24_page_part(page_size, 10);
	bill24_success(answer, page_data(&filter, page_index, page_size));
	free(filter.currency);
	free(filter.sync_code);
}

/*
 * The older page: all bills of a customer in an array.  For a customer that
 * is not known the array is empty; that is a guess.
 */
void
bill24_get_bills_older(SimRequest *request, SimAnswer *answer)
{
	json_object *list = json_object_new_array();

	for (const SimBill *bill = sim_bill_first(); bill != NULL;
		 bill = bill->hh.next)
	{
		if (strcmp(bill->sync_code, request->parameter) == 0)
			json_object_array_add(list, bill_json(bill, true));
	}
	bill24_success(answer, list);
}

/*
 * Only a payment is a transaction.  What is said of an unknown one is not
 * documented; the code is the one of an unknown bill.
 */
void
bill24_get_transaction(SimRequest *request, SimAnswer *answer)
{
	static const char *const texts[] = {"reference", NULL};
	static const Bill24Refusal not_found = {
		"324", "Transaction not found.", "រកមិនឃើញប្រតិបត្តិការ"
	};
	Bill24Complaints complaints = {0};
	const char *reference;
	const SimBill *bill;
	json_object *data;
	char		bank_ref[32];

	if (!bill24_check_body(request, answer, texts, NULL))
		return;
	reference = sim_text(request->json, "reference");
	if (bill24_is_blank(reference))
		bill24_complain(&complaints, "Please provide [reference].");
	if (bill24_complained(answer, &complaints, NULL))
		return;
	bill = sim_bill_find(reference);
	if (bill == NULL || !bill->paid)
	{
		bill24_refuse(answer, &not_found, NULL);
		return;
	}

	data = json_object_new_object();
	sim_put_text(data, "reference_id", bill->ref_id);
	sim_put_uuid(data, "transaction_id", bill->transaction_serial);
	/* the receiver's id need not be a real one, but it must be stable */
	sim_put_uuid(data, "supplier_id", (uint64_t)
				 sim_supplier_find(bill->payment_to)->code << 32);
	sim_put_text(data, "transaction_type", "wallet_payment");
	sim_put(data, "tran_amount", json_object_new_double_s(0, bill->total));
	sim_put(data, "total_amount", json_object_new_double_s(0, bill->total));
	sim_put_text(data, "currency", bill->currency);
	put_time(data, "tran_date", bill->paid_us);
	put_time(data, "expire_date", bill->paid_us + 30 * DAY_US);
	sim_put_text(data, "status", "success");
	sim_put_text(data, "customer_name", bill->customer_name);
	sim_put_text(data, "customer_name_kh", bill->customer_name_kh == NULL ?
				 "" : bill->customer_name_kh);
	sim_put_text(data, "bank_id", NULL);
	snprintf(bank_ref, sizeof(bank_ref), "FT%llu",
			 (unsigned long long) bill->checkout);
	sim_put_text(data, "bank_ref", bank_ref);
	bill24_reply(answer, "000", "Transaction found",
				 "ប្រតិបត្តិការបានរកឃើញ", data);
}
