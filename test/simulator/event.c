/*
 * event.c
 *		The one way in which the state changes.
 */
#include "event.h"
#include "paycombat.h"
#include "state.h"

#include <string.h>

typedef struct EventKind
{
	const char *name;
	void		(*apply) (json_object *event);
} EventKind;

static const EventKind kinds[] = {
	{"customer_create", sim_customer_apply_create},
	{"customer_update", sim_customer_apply_update},
	{"customer_delete", sim_customer_apply_delete},
	{"topup", sim_customer_apply_topup},
	{"topup_many", sim_customer_apply_topup_many},
	{"seed", sim_customer_apply_seed},
	{"bill", sim_bill_apply},
	{"seed_bills", sim_bill_apply_seed},
	{"supplier", sim_supplier_apply},
	{"link", sim_supplier_apply_link},
	{"token", sim_token_apply},
	{"expire", sim_token_apply_expire},
	{"paycombat", paycombat_apply},
};

/* An event with its kind and the provider's time. */
json_object *
sim_event_new(const char *kind)
{
	json_object *event = json_object_new_object();

	sim_put_text(event, "event", kind);
	sim_put_int(event, "at", sim_provider_us());
	return event;
}

/* False if the kind is unknown. */
bool
sim_event_apply(json_object *event)
{
	const char *name = sim_text(event, "event");

	for (size_t i = 0; name != NULL && i < sim_lengthof(kinds); i++)
	{
		if (strcmp(kinds[i].name, name) == 0)
		{
			kinds[i].apply(event);
			return true;
		}
	}
	return false;
}

/* Apply an event, which is given away, and keep it. */
void
sim_commit(json_object *event)
{
	sim_event_apply(event);
	sim_journal_write(event);
	json_object_put(event);
}

/*
 * Forget everything; the tokens only if asked to, since a reset between two
 * tests must not look like an expiry to a client that lives on.
 */
void
sim_state_reset(bool tokens)
{
	sim_customers_reset();
	paycombat_reset();
	sim_bills_reset();
	sim_suppliers_reset();
	sim_effects_reset();
	sim_random_serial_reset();
	if (tokens)
		sim_tokens_reset();
	sim_journal_truncate();
	sim_tokens_journal();
}
