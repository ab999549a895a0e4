/*
 * state.h
 *		What the provider knows: customers and their wallets, bills, suppliers,
 *		tokens, and a count of all effects.
 *
 * The state changes by events alone (event.h), so that replaying the journal
 * leads to the same state.  The functions here read it.
 */
#ifndef SIM_STATE_H
#define SIM_STATE_H

#include "sim.h"

#include <uthash.h>

#define SIM_MAX_WALLETS	2

/* A change of a balance that is not visible yet. */
typedef struct SimPending
{
	struct SimPending *next;
	SimMoney	amount;
	int64_t		visible_ms;
} SimPending;

/* One line of a wallet's history. */
typedef struct SimMovement
{
	struct SimMovement *next;	/* the one before it in time */
	uint64_t	serial;
	int64_t		at_us;
	SimMoney	amount;			/* negative: a payment */
	SimMoney	balance;		/* after it */
	char	   *reference;		/* the bill's ref_id; "" for a top-up */
} SimMovement;

typedef struct SimWallet
{
	uint64_t	serial;			/* its id */
	uint64_t	token_serial;	/* its payment method token */
	char	   *name;
	char	   *currency;
	SimMoney	balance;		/* the true one */
	int64_t		visible_ms;		/* 0: at once */
	SimPending *pending;
	SimMovement *movements;		/* newest first */
} SimWallet;

typedef struct SimCustomer
{
	uint64_t	serial;			/* its id */
	char	   *sync_code;
	char	   *name;
	char	   *name_kh;		/* this and the following may be NULL */
	char	   *phone;
	char	   *email;
	int			wallet_count;
	SimWallet	wallets[SIM_MAX_WALLETS];
	UT_hash_handle hh;
} SimCustomer;

typedef struct SimBill
{
	uint64_t	transaction_serial;
	char	   *ref_id;
	char	   *sync_code;
	char	   *customer_name;	/* when it was pushed */
	char	   *customer_name_kh;
	char	   *description;
	char	   *currency;
	char	   *total;			/* as the JSON number was sent */
	char	   *payment_to;
	int64_t		date_us;
	int64_t		due_us;
	int64_t		paid_us;
	bool		paid;
	uint64_t	checkout;		/* the number in the link of an unpaid one */
	json_object *details;		/* array */
	UT_hash_handle hh;
} SimBill;

typedef struct SimSupplier
{
	char	   *sync_code;
	char	   *name;
	char	   *name_kh;		/* may be NULL */
	char	   *address;		/* may be NULL */
	int			code;			/* Bill24's number for it */
	json_object *accounts;		/* array of {bank_id, currency} */
	UT_hash_handle hh;
} SimSupplier;

typedef struct SimBank
{
	const char *id;
	const char *name;
	const char *name_kh;
} SimBank;

/* customer.c */
extern SimCustomer *sim_customer_find(const char *sync_code);
extern bool sim_customer_has_money(const SimCustomer *customer);
extern bool sim_wallet_visible(const SimWallet *wallet);
extern SimMoney sim_wallet_visible_balance(SimWallet *wallet);
extern void sim_wallet_move(SimWallet *wallet, SimMoney amount,
							const char *reference, json_object *event);
extern json_object *sim_customers_json(const char *from, const char *after,
									   int64_t limit);
extern void sim_customers_reset(void);
extern void sim_customer_apply_create(json_object *event);
extern void sim_customer_apply_update(json_object *event);
extern void sim_customer_apply_delete(json_object *event);
extern void sim_customer_apply_topup(json_object *event);
extern void sim_customer_apply_topup_many(json_object *event);
extern void sim_customer_apply_seed(json_object *event);

/* bill.c */
extern SimBill *sim_bill_find(const char *ref_id);
extern SimBill *sim_bill_first(void);	/* oldest; follow hh.next */
extern void sim_bills_reset(void);
extern void sim_bill_apply(json_object *event);
extern void sim_bill_apply_seed(json_object *event);

/* supplier.c */
extern SimSupplier *sim_supplier_find(const char *sync_code);
extern const SimBank *sim_bank_find(const char *id);
extern const SimBank *sim_banks(int *count);
extern void sim_suppliers_reset(void);
extern void sim_supplier_apply(json_object *event);
extern void sim_supplier_apply_link(json_object *event);

/* token.c */
extern bool sim_token_valid(const char *token);
extern bool sim_refresh_valid(const char *token);
extern void sim_tokens_reset(void);
extern void sim_tokens_journal(void);
extern void sim_token_apply(json_object *event);
extern void sim_token_apply_expire(json_object *event);

/* effect.c */
extern void sim_effect_add(const char *effect, const char *key,
						   json_object *event, json_object *more);
extern void sim_effect_count(const char *effect, const char *key);
extern json_object *sim_effect_key_json(const char *key);
extern json_object *sim_effect_list_json(int64_t from, int64_t limit);
extern json_object *sim_effect_totals_json(void);
extern void sim_effects_reset(void);

#endif							/* SIM_STATE_H */
