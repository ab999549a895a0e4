/*
 * bill24.h
 *		The operations of Bill24.
 *
 * What they answer follows the pages of the API, and what was observed on the
 * demo server where that differs.  Business errors come under HTTP 200.
 */
#ifndef SIM_BILL24_H
#define SIM_BILL24_H

#include "server.h"

/* The complaints about a request's fields, joined as the server joins them. */
typedef struct Bill24Complaints
{
	size_t		used;
	char		text[2048];
} Bill24Complaints;

/* A refusal with its code and both messages. */
typedef struct Bill24Refusal
{
	const char *code;
	const char *message;
	const char *message_kh;
} Bill24Refusal;

extern const Bill24Refusal bill24_customer_not_found;

/* bill24.c */
extern void bill24_reply(SimAnswer *answer, const char *code,
						 const char *message, const char *message_kh,
						 json_object *data);
extern void bill24_success(SimAnswer *answer, json_object *data);
extern void bill24_refuse(SimAnswer *answer, const Bill24Refusal *refusal,
						  json_object *data);
extern bool bill24_is_blank(const char *text);
extern int64_t bill24_page_part(int64_t asked, int64_t otherwise);
extern bool bill24_check_body(SimRequest *request, SimAnswer *answer,
							  const char *const *texts, json_object *data);
extern void bill24_complain(Bill24Complaints *complaints,
							const char *format, ...)
	__attribute__((format(printf, 2, 3)));
extern bool bill24_complained(SimAnswer *answer,
							  const Bill24Complaints *complaints,
							  json_object *data);
extern void bill24_payload_error(SimAnswer *answer, json_object *data);

/* bill24_token.c */
extern void bill24_authorize(SimRequest *request, SimAnswer *answer);
extern bool bill24_bearer(SimRequest *request, SimAnswer *answer);
extern void bill24_unauthorized(SimAnswer *answer);
extern json_object *bill24_authorize_stats(void);
extern int64_t bill24_unauthorized_count(void);
extern void bill24_token_stats_reset(void);

/* bill24_customer.c */
extern void bill24_create_customer(SimRequest *request, SimAnswer *answer);
extern void bill24_get_customer(SimRequest *request, SimAnswer *answer);
extern void bill24_update_customer(SimRequest *request, SimAnswer *answer);
extern void bill24_delete_customer(SimRequest *request, SimAnswer *answer);

/* bill24_wallet.c */
extern json_object *bill24_wallets(const char *sync_code);
extern void bill24_get_wallet_balance(SimRequest *request, SimAnswer *answer);
extern void bill24_get_payment_methods(SimRequest *request,
									   SimAnswer *answer);
extern void bill24_get_wallet_histories(SimRequest *request,
										SimAnswer *answer);

/* bill24_payment.c */
extern void bill24_push_bill(SimRequest *request, SimAnswer *answer);

/* bill24_bill.c */
extern void bill24_get_bills(SimRequest *request, SimAnswer *answer);
extern void bill24_get_bills_older(SimRequest *request, SimAnswer *answer);
extern void bill24_get_single_bill(SimRequest *request, SimAnswer *answer);
extern void bill24_get_transaction(SimRequest *request, SimAnswer *answer);

/* bill24_supplier.c */
extern void bill24_onboard_supplier(SimRequest *request, SimAnswer *answer);
extern void bill24_get_banks(SimRequest *request, SimAnswer *answer);
extern void bill24_add_link_account(SimRequest *request, SimAnswer *answer);
extern void bill24_verify_linked_account(SimRequest *request,
										 SimAnswer *answer);

#endif							/* SIM_BILL24_H */
