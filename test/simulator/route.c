/*
 * route.c
 *		Which handler answers which path.  Another operation is another row.
 */
#include "bill24.h"
#include "control.h"
#include "paycombat.h"

#include <stdlib.h>
#include <string.h>

static const SimRoute routes[] = {
	/* *INDENT-OFF* */
	{"POST", "/merchantsecurity/authorize", bill24_authorize, NULL},

	{"POST", "/customer/create", bill24_create_customer, bill24_bearer},
	{"POST", "/customer/get_customer_detail", bill24_get_customer, bill24_bearer},
	{"POST", "/customer/update", bill24_update_customer, bill24_bearer},
	{"POST", "/customer/delete", bill24_delete_customer, bill24_bearer},

	{"POST", "/instant_payment/get_wallet_balance", bill24_get_wallet_balance, bill24_bearer},
	{"POST", "/instant_payment/get_wallet_histories", bill24_get_wallet_histories, bill24_bearer},
	{"GET", "/instant_payment/get_bills", bill24_get_bills, bill24_bearer},
	{"GET", "/instant_payment/get_single_bill/{ref_id}", bill24_get_single_bill, bill24_bearer},
	{"GET", "/instant_payment/{customer_sync_code}/get_payment_methods", bill24_get_payment_methods, bill24_bearer},
	{"POST", "/bill_payment/push_bill_with_payment", bill24_push_bill, bill24_bearer},
	{"GET", "/bill_payment/{customer_sync_code}/get_bills", bill24_get_bills_older, bill24_bearer},
	{"POST", "/transaction/instant_payment/detail", bill24_get_transaction, bill24_bearer},

	{"POST", "/on_boarding/on_boarding_supplier", bill24_onboard_supplier, bill24_bearer},
	{"GET", "/on_boarding/get_available_bank", bill24_get_banks, bill24_bearer},
	{"POST", "/on_boarding/add_link_account", bill24_add_link_account, bill24_bearer},
	{"POST", "/on_boarding/verify_linked_account", bill24_verify_linked_account, bill24_bearer},

	{"POST", "/api/v1/customer/create", paycombat_create, paycombat_guard},
	{"PATCH", "/api/v1/customer/update", paycombat_update, paycombat_guard},
	{"GET", "/api/v1/customer/customer/{customer_id}", paycombat_get, paycombat_guard},
	{"PATCH", "/api/v1/customer/disable/{customer_id}", paycombat_disable, paycombat_guard},
	{"DELETE", "/api/v1/customer/customer/{customer_id}", paycombat_delete, paycombat_guard},

	{"POST", "/_sim/reset", control_reset, NULL},
	{"GET", "/_sim/stats", control_stats, NULL},
	{"GET", "/_sim/effects", control_effects, NULL},
	{"GET", "/_sim/config", control_get_config, NULL},
	{"POST", "/_sim/config", control_set_config, NULL},
	{"GET", "/_sim/fault", control_list_faults, NULL},
	{"POST", "/_sim/fault", control_add_fault, NULL},
	{"DELETE", "/_sim/fault", control_clear_faults, NULL},
	{"POST", "/_sim/clear_faults", control_clear_faults, NULL},
	{"GET", "/_sim/requests", control_requests, NULL},
	{"POST", "/_sim/expire_tokens", control_expire_tokens, NULL},
	{"POST", "/_sim/topup", control_topup, NULL},
	{"POST", "/_sim/topup_many", control_topup_many, NULL},
	{"POST", "/_sim/set_customer", control_set_customer, NULL},
	{"POST", "/_sim/remove_customer", control_remove_customer, NULL},
	{"POST", "/_sim/seed", control_seed, NULL},
	{"POST", "/_sim/seed_bills", control_seed_bills, NULL},
	{"GET", "/_sim/customers", control_customers, NULL},
	/* *INDENT-ON* */
};

#define ROUTES	sim_lengthof(routes)

static int64_t counts[ROUTES];
static int64_t other_count;		/* of paths that are not in the table */

/*
 * True if the path is one of the pattern's; the decoded segment that stands
 * in the place of "{name}" is stored in *parameter.
 */
static bool
pattern_matches(const char *pattern, const char *path, char **parameter)
{
	size_t		literal = strcspn(pattern, "{");
	const char *rest;
	size_t		segment;

	if (pattern[literal] == '\0')
		return strcmp(pattern, path) == 0;
	if (strncmp(pattern, path, literal) != 0)
		return false;
	rest = strchr(pattern, '}') + 1;
	segment = strcspn(path + literal, "/");
	if (segment == 0 || strcmp(path + literal + segment, rest) != 0)
		return false;
	*parameter = sim_url_decode(path + literal, segment, false);
	return true;
}

/*
 * The route of a request, or NULL; then *path_known tells whether another
 * method would have had one.
 */
const SimRoute *
sim_route_find(SimRequest *request, bool *path_known)
{
	*path_known = false;
	for (size_t i = 0; i < ROUTES; i++)
	{
		char	   *parameter = NULL;

		if (!pattern_matches(routes[i].pattern, request->path, &parameter))
			continue;
		*path_known = true;
		if (strcmp(routes[i].method, request->method) == 0)
		{
			request->parameter = parameter;
			return &routes[i];
		}
		free(parameter);
	}
	return NULL;
}

void
sim_route_count(const SimRoute *route)
{
	if (route == NULL)
		other_count++;
	else
		counts[route - routes]++;
}

/* The requests by the pattern of their paths, where there were any. */
json_object *
sim_route_counts(void)
{
	json_object *object = json_object_new_object();

	for (size_t i = 0; i < ROUTES; i++)
	{
		if (counts[i] > 0)
			sim_put_int(object, routes[i].pattern, counts[i]);
	}
	if (other_count > 0)
		sim_put_int(object, "(other)", other_count);
	return object;
}

void
sim_route_counts_reset(void)
{
	memset(counts, 0, sizeof(counts));
	other_count = 0;
}
