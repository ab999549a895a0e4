/*
 * customer.c
 *		Customers and their wallets.
 */
#include "state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static SimCustomer *customers;

/* All of them by sync_code, made when first asked for; NULL: out of date. */
static SimCustomer **sorted;

SimCustomer *
sim_customer_find(const char *sync_code)
{
	SimCustomer *customer;

	HASH_FIND_STR(customers, sync_code, customer);
	return customer;
}

/* True if any wallet has a balance: such a customer cannot be deleted. */
bool
sim_customer_has_money(const SimCustomer *customer)
{
	for (int i = 0; i < customer->wallet_count; i++)
	{
		if (customer->wallets[i].balance != 0)
			return true;
	}
	return false;
}

/* A new customer's wallets appear after a while. */
bool
sim_wallet_visible(const SimWallet *wallet)
{
	return wallet->visible_ms == 0 || wallet->visible_ms <= sim_real_ms();
}

/*
 * The balance as it is told, which lags behind the true one.
 */
SimMoney
sim_wallet_visible_balance(SimWallet *wallet)
{
	SimMoney	visible = wallet->balance;
	SimPending **link = &wallet->pending;

	while (*link != NULL)
	{
		SimPending *pending = *link;

		if (pending->visible_ms <= sim_real_ms())
		{
			*link = pending->next;
			free(pending);
		}
		else
		{
			visible -= pending->amount;
			link = &pending->next;
		}
	}
	return visible;
}

/*
 * Change a balance by a part of *event, which tells when, and when the change
 * becomes visible.
 */
void
sim_wallet_move(SimWallet *wallet, SimMoney amount, const char *reference,
				json_object *event)
{
	int64_t		visible_ms = sim_integer(event, "visible_ms", 0);
	SimMovement *movement = sim_alloc(sizeof(SimMovement));

	wallet->balance += amount;
	movement->serial = sim_random_serial();
	movement->at_us = sim_integer(event, "at", 0);
	movement->amount = amount;
	movement->balance = wallet->balance;
	movement->reference = sim_strdup(reference);
	movement->next = wallet->movements;
	wallet->movements = movement;

	if (visible_ms > sim_real_ms())
	{
		SimPending *pending = sim_alloc(sizeof(SimPending));

		pending->amount = amount;
		pending->visible_ms = visible_ms;
		pending->next = wallet->pending;
		wallet->pending = pending;
	}
}

static SimCustomer *
add_customer(const char *sync_code, const char *name)
{
	SimCustomer *customer = sim_alloc(sizeof(SimCustomer));

	customer->serial = sim_random_serial();
	customer->sync_code = sim_strdup(sync_code);
	customer->name = sim_strdup(name);
	HASH_ADD_KEYPTR(hh, customers, customer->sync_code,
					strlen(customer->sync_code), customer);
	free(sorted);
	sorted = NULL;
	return customer;
}

static SimWallet *
add_wallet(SimCustomer *customer, const char *name, const char *currency,
		   int64_t visible_ms)
{
	SimWallet  *wallet = &customer->wallets[customer->wallet_count++];

	wallet->serial = sim_random_serial();
	wallet->token_serial = sim_random_serial();
	wallet->name = sim_strdup(name);
	wallet->currency = sim_strdup(currency);
	wallet->visible_ms = visible_ms;
	return wallet;
}

static void
free_wallet(SimWallet *wallet)
{
	while (wallet->pending != NULL)
	{
		SimPending *next = wallet->pending->next;

		free(wallet->pending);
		wallet->pending = next;
	}
	while (wallet->movements != NULL)
	{
		SimMovement *next = wallet->movements->next;

		free(wallet->movements->reference);
		free(wallet->movements);
		wallet->movements = next;
	}
	free(wallet->name);
	free(wallet->currency);
}

static void
remove_customer(SimCustomer *customer)
{
	HASH_DEL(customers, customer);
	for (int i = 0; i < customer->wallet_count; i++)
		free_wallet(&customer->wallets[i]);
	free(customer->sync_code);
	free(customer->name);
	free(customer->name_kh);
	free(customer->phone);
	free(customer->email);
	free(customer);
	free(sorted);
	sorted = NULL;
}

/* Replace a text of the customer if the event has one. */
static void
take_text(json_object *event, const char *key, char **text)
{
	if (!json_object_object_get_ex(event, key, NULL))
		return;
	free(*text);
	*text = sim_strdup(sim_text(event, key));
}

static void
note_effect(json_object *event, const char *effect,
			const SimCustomer *customer)
{
	json_object *more;

	/* what is done behind the caller's back is no effect of a call */
	if (sim_boolean(event, "quiet", false))
		return;
	more = json_object_new_object();
	sim_put_text(more, "name", customer->name);
	sim_put_text(more, "phone", customer->phone);
	sim_effect_add(effect, customer->sync_code, event, more);
}

void
sim_customer_apply_create(json_object *event)
{
	SimCustomer *customer = add_customer(sim_text(event, "sync_code"),
										 sim_text(event, "name"));
	json_object *wallets;

	take_text(event, "name_kh", &customer->name_kh);
	take_text(event, "phone", &customer->phone);
	take_text(event, "email", &customer->email);
	if (json_object_object_get_ex(event, "wallet", &wallets))
	{
		for (size_t i = 0; i < json_object_array_length(wallets); i++)
		{
			json_object *wallet = json_object_array_get_idx(wallets, i);

			add_wallet(customer, sim_text(wallet, "name"),
					   sim_text(wallet, "currency"),
					   sim_integer(event, "visible_ms", 0));
		}
	}
	note_effect(event, "create", customer);
}

void
sim_customer_apply_update(json_object *event)
{
	SimCustomer *customer = sim_customer_find(sim_text(event, "sync_code"));

	take_text(event, "name", &customer->name);
	take_text(event, "name_kh", &customer->name_kh);
	take_text(event, "phone", &customer->phone);
	take_text(event, "email", &customer->email);
	note_effect(event, "update", customer);
}

void
sim_customer_apply_delete(json_object *event)
{
	SimCustomer *customer = sim_customer_find(sim_text(event, "sync_code"));

	note_effect(event, "delete", customer);
	remove_customer(customer);
}

void
sim_customer_apply_topup(json_object *event)
{
	SimCustomer *customer = sim_customer_find(sim_text(event, "sync_code"));
	SimMoney	amount = 0;

	sim_money_parse(sim_text(event, "amount"), &amount);
	sim_wallet_move(&customer->wallets[sim_integer(event, "wallet", 0)],
					amount, "", event);
}

/*
 * The first wallets of many customers, by one event: codes as of a seed, each
 * `step` behind the one before.  Those that do not exist are left out; how many
 * there were is put into the event.
 */
void
sim_customer_apply_topup_many(json_object *event)
{
	const char *prefix = sim_text(event, "prefix");
	int64_t		number = sim_integer(event, "from", 1);
	int64_t		count = sim_integer(event, "count", 0);
	int64_t		done = 0;
	SimMoney	amount = 0;
	char		code[128];

	sim_money_parse(sim_text(event, "amount"), &amount);
	for (; count > 0; count--, number += sim_integer(event, "step", 1))
	{
		SimCustomer *customer;

		snprintf(code, sizeof(code), "%s%07lld", prefix, (long long) number);
		customer = sim_customer_find(code);
		if (customer == NULL || customer->wallet_count == 0)
			continue;
		sim_wallet_move(&customer->wallets[0], amount, "", event);
		done++;
	}
	sim_put_int(event, "done", done);
}

/*
 * Many customers by one event: codes with seven digits behind a prefix.  Those
 * that exist already are left alone.
 */
void
sim_customer_apply_seed(json_object *event)
{
	const char *prefix = sim_text(event, "prefix");
	const char *currency = sim_text(event, "currency");
	int64_t		from = sim_integer(event, "from", 1);
	int64_t		count = sim_integer(event, "count", 0);
	int64_t		wallets = sim_integer(event, "wallets", 1);
	SimMoney	balance = 0;
	char		code[128];
	char		text[160];

	sim_money_parse(sim_text(event, "balance"), &balance);
	for (int64_t i = from; i < from + count; i++)
	{
		SimCustomer *customer;

		snprintf(code, sizeof(code), "%s%07lld", prefix, (long long) i);
		if (sim_customer_find(code) != NULL)
			continue;
		snprintf(text, sizeof(text), "Customer %s", code);
		customer = add_customer(code, text);
		for (int64_t w = 0; w < wallets; w++)
		{
			/* the second one has the other currency of the country */
			const char *other = strcmp(currency, "KHR") == 0 ? "USD" : "KHR";

			snprintf(text, sizeof(text), "%s Wallet %lld", code,
					 (long long) w + 1);
			add_wallet(customer, text, w == 0 ? currency : other,
					   0)->balance = balance;
		}
	}
}

static int
compare_customers(const void *a, const void *b)
{
	return strcmp((*(SimCustomer *const *) a)->sync_code,
				  (*(SimCustomer *const *) b)->sync_code);
}

static void
sort_customers(void)
{
	SimCustomer *customer;
	SimCustomer *next;
	size_t		n = 0;

	sorted = sim_alloc((HASH_COUNT(customers) + 1) * sizeof(*sorted));
	HASH_ITER(hh, customers, customer, next)
		sorted[n++] = customer;
	qsort(sorted, n, sizeof(*sorted), compare_customers);
}

static json_object *
customer_json(SimCustomer *customer)
{
	json_object *object = json_object_new_object();
	json_object *wallets = json_object_new_array();

	sim_put_text(object, "sync_code", customer->sync_code);
	sim_put_uuid(object, "id", customer->serial);
	sim_put_text(object, "name", customer->name);
	sim_put_text(object, "name_kh", customer->name_kh);
	sim_put_text(object, "phone", customer->phone);
	sim_put_text(object, "email", customer->email);
	for (int i = 0; i < customer->wallet_count; i++)
	{
		SimWallet  *wallet = &customer->wallets[i];
		json_object *entry = json_object_new_object();

		sim_put_uuid(entry, "id", wallet->serial);
		sim_put_text(entry, "name", wallet->name);
		sim_put_text(entry, "currency", wallet->currency);
		sim_put_money(entry, "balance", wallet->balance);
		sim_put_money(entry, "visible_balance",
					  sim_wallet_visible_balance(wallet));
		json_object_array_add(wallets, entry);
	}
	sim_put(object, "wallets", wallets);
	return object;
}

/*
 * The true state by sync_code (compared byte by byte), beginning at `from`, or
 * behind `after`; both may be NULL.
 */
json_object *
sim_customers_json(const char *from, const char *after, int64_t limit)
{
	json_object *list = json_object_new_array();
	size_t		low = 0;
	size_t		high = HASH_COUNT(customers);

	if (sorted == NULL)
		sort_customers();
	while (low < high)
	{
		size_t		middle = (low + high) / 2;
		const char *code = sorted[middle]->sync_code;

		if ((from != NULL && strcmp(code, from) < 0) ||
			(after != NULL && strcmp(code, after) <= 0))
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < HASH_COUNT(customers) && limit-- > 0; low++)
		json_object_array_add(list, customer_json(sorted[low]));
	return list;
}

void
sim_customers_reset(void)
{
	SimCustomer *customer;
	SimCustomer *next;

	HASH_ITER(hh, customers, customer, next)
		remove_customer(customer);
}
