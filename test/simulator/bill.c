/*
 * bill.c
 *		Bills, paid and unpaid, oldest first.
 */
#include "state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DAY_US			INT64_C(86400000000)
#define FIRST_CHECKOUT	UINT64_C(2000000000002686890)	/* as in the samples */

static SimBill *bills;

SimBill *
sim_bill_find(const char *ref_id)
{
	SimBill    *bill;

	HASH_FIND_STR(bills, ref_id, bill);
	return bill;
}

SimBill *
sim_bill_first(void)
{
	return bills;
}

static SimBill *
add_bill(const char *ref_id, const char *sync_code)
{
	SimBill    *bill = sim_alloc(sizeof(SimBill));
	SimCustomer *customer = sim_customer_find(sync_code);

	bill->transaction_serial = sim_random_serial();
	bill->checkout = FIRST_CHECKOUT + bill->transaction_serial;
	bill->ref_id = sim_strdup(ref_id);
	bill->sync_code = sim_strdup(sync_code);
	if (customer != NULL)
	{
		bill->customer_name = sim_strdup(customer->name);
		bill->customer_name_kh = sim_strdup(customer->name_kh);
	}
	HASH_ADD_KEYPTR(hh, bills, bill->ref_id, strlen(bill->ref_id), bill);
	return bill;
}

/*
 * A pushed bill, and its charge if it was paid.
 */
void
sim_bill_apply(json_object *event)
{
	SimBill    *bill = add_bill(sim_text(event, "ref_id"),
								sim_text(event, "sync_code"));
	json_object *more;
	SimCustomer *customer;
	SimMoney	total = 0;

	bill->description = sim_strdup(sim_text(event, "description"));
	bill->currency = sim_strdup(sim_text(event, "currency"));
	bill->total = sim_strdup(sim_text(event, "total"));
	bill->payment_to = sim_strdup(sim_text(event, "payment_to"));
	bill->date_us = sim_integer(event, "date", 0);
	bill->due_us = sim_integer(event, "due", 0);
	bill->paid = sim_boolean(event, "paid", false);
	bill->details =
		json_object_get(json_object_object_get(event, "details"));
	if (!bill->paid)
		return;

	bill->paid_us = sim_integer(event, "at", 0);
	customer = sim_customer_find(bill->sync_code);
	sim_money_parse(bill->total, &total);
	sim_wallet_move(&customer->wallets[sim_integer(event, "wallet", 0)],
					-total, bill->ref_id, event);

	more = json_object_new_object();
	sim_put_text(more, "sync_code", bill->sync_code);
	sim_put_money(more, "amount", total);
	sim_put_text(more, "currency", bill->currency);
	sim_effect_add("charge", bill->ref_id, event, more);
	if (strcmp(bill->ref_id, bill->sync_code) != 0)
		sim_effect_count("charge", bill->sync_code);
}

/*
 * Many paid bills of one customer by one event: its code, "-B" and seven
 * digits.  They cost nobody anything.
 */
void
sim_bill_apply_seed(json_object *event)
{
	const char *sync_code = sim_text(event, "sync_code");
	int64_t		from = sim_integer(event, "from", 1);
	int64_t		count = sim_integer(event, "count", 0);
	char		ref_id[192];

	for (int64_t i = from; i < from + count; i++)
	{
		SimBill    *bill;

		snprintf(ref_id, sizeof(ref_id), "%s-B%07lld", sync_code,
				 (long long) i);
		if (sim_bill_find(ref_id) != NULL)
			continue;
		bill = add_bill(ref_id, sync_code);
		bill->description = sim_strdup("seeded");
		bill->currency = sim_strdup(sim_text(event, "currency"));
		bill->total = sim_strdup(sim_text(event, "amount"));
		bill->payment_to = sim_strdup("ST001");
		bill->date_us = sim_integer(event, "date", 0);
		bill->due_us = bill->date_us + 7 * DAY_US;
		bill->paid_us = bill->date_us;
		bill->paid = true;
		bill->details = json_object_new_array();
	}
}

void
sim_bills_reset(void)
{
	SimBill    *bill;
	SimBill    *next;

	HASH_ITER(hh, bills, bill, next)
	{
		HASH_DEL(bills, bill);
		free(bill->ref_id);
		free(bill->sync_code);
		free(bill->customer_name);
		free(bill->customer_name_kh);
		free(bill->description);
		free(bill->currency);
		free(bill->total);
		free(bill->payment_to);
		json_object_put(bill->details);
		free(bill);
	}
}
