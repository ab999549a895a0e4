/*
 * paycombat_customer.c
 *		The pages Create, Update, Get Detail, Disable and Delete Customer.
 *
 * Nothing says that an organization_reference_id is unique, so here it is not:
 * a client that sends a create twice makes two customers, and is found out.
 * The setting paycombat_unique has it refused.
 */
#include "paycombat.h"
#include "event.h"
#include "state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct PaycombatCustomer
{
	char	   *id;
	json_object *data;			/* as it is answered */
	UT_hash_handle hh;
} PaycombatCustomer;

static PaycombatCustomer *customers;

static const char *const company_required[] = {
	"name", "registration_number", "incorporation_country", "address_country",
	NULL
};

static const char *const individual_required[] = {
	"first_name", "last_name", "address_country", NULL
};

static PaycombatCustomer *
find(const char *id)
{
	PaycombatCustomer *customer = NULL;

	if (id != NULL)
		HASH_FIND_STR(customers, id, customer);
	return customer;
}

static bool
is_taken(const char *reference)
{
	for (PaycombatCustomer *c = customers; c != NULL; c = c->hh.next)
	{
		const char *other = sim_text(c->data, "organization_reference_id");

		if (other != NULL && strcmp(other, reference) == 0)
			return true;
	}
	return false;
}

/* Like 2024-12-30T02:53:52.470Z. */
static void
put_time(json_object *object, const char *key, int64_t us)
{
	time_t		seconds = (time_t) (us / 1000000);
	struct tm	tm;
	char		text[64];
	size_t		length;

	gmtime_r(&seconds, &tm);
	length = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text + length, sizeof(text) - length, ".%03dZ",
			 (int) (us / 1000 % 1000));
	sim_put_text(object, key, text);
}

/* What happened, under our key if there is one. */
static void
note(const char *effect, PaycombatCustomer *customer, json_object *event)
{
	json_object *more = json_object_new_object();
	const char *reference = sim_text(customer->data, "organization_reference_id");

	sim_put_text(more, "name", sim_text(customer->data, "description"));
	sim_put_text(more, "customer_id", customer->id);
	sim_effect_add(effect, reference != NULL ? reference : customer->id, event,
				   more);
}

/* An empty text clears a field. */
static void
merge(json_object *into, json_object *from)
{
	json_object_object_foreach(from, key, value)
	{
		const char *text = json_object_is_type(value, json_type_string) ?
			json_object_get_string(value) : NULL;

		json_object_object_add(into, key, text != NULL && *text == '\0' ?
							   NULL : json_object_get(value));
	}
}

static void
copy_member(json_object *into, json_object *from, const char *key)
{
	sim_put(into, key, json_object_get(json_object_object_get(from, key)));
}

static void
apply_create(json_object *event)
{
	json_object *body = json_object_object_get(event, "body");
	PaycombatCustomer *customer = sim_alloc(sizeof(PaycombatCustomer));
	json_object *data = json_object_new_object();

	customer->id = sim_strdup(sim_text(event, "customer_id"));
	customer->data = data;
	sim_put_text(data, "customer_id", customer->id);
	sim_put_text(data, "org_id", "org_59b8fb2f52254f95ac54d0e140f4e429");
	copy_member(data, body, "type");
	copy_member(data, body, "description");
	sim_put_text(data, "webhook_url", NULL);
	copy_member(data, body, "metadata");
	sim_put(data, "is_active", json_object_new_boolean(true));
	sim_put(data, "is_wallet_ready", json_object_new_boolean(false));
	copy_member(data, body, "organization_reference_id");
	sim_put(data, "is_gca_enabled", json_object_new_boolean(false));
	sim_put_text(data, "gca_activation_status", "NOT_STARTED");
	sim_put(data, "gca_activated_at", NULL);
	sim_put(data, "is_sender_validation_enabled",
			json_object_new_boolean(false));
	sim_put(data, "payin_sender_id_list", NULL);
	sim_put(data, "company_domain", NULL);
	/* what is answered for a company is not documented */
	if (json_object_object_get(body, "company") != NULL)
		copy_member(data, body, "company");
	copy_member(data, body, "individual");
	sim_put_text(data, "created_by", "api_access_key:AK_FINMO_SBX_***");
	put_time(data, "created_at", sim_integer(event, "at", 0));
	put_time(data, "updated_at", sim_integer(event, "at", 0));
	HASH_ADD_KEYPTR(hh, customers, customer->id, strlen(customer->id),
					customer);
	note("create", customer, event);
}

static void
remove_customer(PaycombatCustomer *customer)
{
	HASH_DEL(customers, customer);
	json_object_put(customer->data);
	free(customer->id);
	free(customer);
}

/* One event for all changes: what happened is in its member "what". */
void
paycombat_apply(json_object *event)
{
	const char *what = sim_text(event, "what");
	json_object *body = json_object_object_get(event, "body");
	PaycombatCustomer *customer = find(sim_text(event, "customer_id"));

	if (strcmp(what, "create") == 0)
	{
		apply_create(event);
		return;
	}
	if (strcmp(what, "delete") == 0)
	{
		note("delete", customer, event);
		remove_customer(customer);
		return;
	}
	if (strcmp(what, "disable") == 0)
		sim_put(customer->data, "is_active", json_object_new_boolean(false));
	else
	{
		json_object_object_foreach(body, key, value)
		{
			json_object *old = json_object_object_get(customer->data, key);

			if (strcmp(key, "customer_id") == 0)
				continue;
			if ((strcmp(key, "individual") == 0 ||
				 strcmp(key, "company") == 0) && old != NULL)
				merge(old, value);
			else
			{
				json_object *one = json_object_new_object();

				sim_put(one, key, json_object_get(value));
				merge(customer->data, one);
				json_object_put(one);
			}
		}
	}
	put_time(customer->data, "updated_at", sim_integer(event, "at", 0));
	note("update", customer, event);
}

static void
commit(const char *what, const char *id, json_object *body)
{
	json_object *event = sim_event_new("paycombat");

	sim_put_text(event, "what", what);
	sim_put_text(event, "customer_id", id);
	sim_put(event, "body", json_object_get(body));
	sim_commit(event);
}

/* An answer must not change with what it tells of. */
static json_object *
copy_of(json_object *data)
{
	json_object *copy = NULL;

	if (json_object_deep_copy(data, &copy, NULL) != 0)
		abort();
	return copy;
}

static void
complain(SimAnswer *answer, const char *object, const char *field)
{
	char		message[128];

	snprintf(message, sizeof(message), "%s%s%s is required", object,
			 *object != '\0' ? "." : "", field);
	paycombat_refuse(answer, MHD_HTTP_BAD_REQUEST, message);
}

/* Is one of the two objects there without what it needs? */
static bool
lacks(SimRequest *request, SimAnswer *answer, const char *object,
	  const char *const *required)
{
	json_object *value = json_object_object_get(request->json, object);

	if (value == NULL)
		return false;
	if (!json_object_is_type(value, json_type_object))
	{
		paycombat_refuse(answer, MHD_HTTP_BAD_REQUEST, "no object");
		return true;
	}
	for (; required != NULL && *required != NULL; required++)
	{
		const char *text = sim_text(value, *required);

		if (text == NULL || *text == '\0')
		{
			complain(answer, object, *required);
			return true;
		}
	}
	return false;
}

void
paycombat_create(SimRequest *request, SimAnswer *answer)
{
	static const char *const required[] = {"description", "type"};
	json_object *body = request->json;
	const char *reference = sim_text(body, "organization_reference_id");
	char		uuid[SIM_UUID_SIZE];
	char		id[64] = "customer_";
	size_t		length = strlen(id);

	for (size_t i = 0; i < sim_lengthof(required); i++)
	{
		if (sim_text(body, required[i]) == NULL)
		{
			complain(answer, "", required[i]);
			return;
		}
	}
	if (lacks(request, answer, "company", company_required) ||
		lacks(request, answer, "individual", individual_required) ||
		lacks(request, answer, "metadata", NULL))
		return;
	if (sim_config.paycombat_unique && reference != NULL && is_taken(reference))
	{
		paycombat_refuse(answer, MHD_HTTP_CONFLICT,
						 "organization_reference_id already exists");
		return;
	}
	sim_uuid(sim_random_serial(), uuid);
	for (const char *c = uuid; *c != '\0'; c++)
	{
		if (*c != '-')
			id[length++] = *c;
	}
	id[length] = '\0';
	commit("create", id, body);
	paycombat_success(answer, copy_of(find(id)->data), PAYCOMBAT_SINGLE);
}

/* The customer that the path or the body names, or NULL after the refusal. */
static PaycombatCustomer *
named(const char *id, SimAnswer *answer)
{
	PaycombatCustomer *customer = find(id);

	if (customer == NULL)
		paycombat_refuse(answer, MHD_HTTP_NOT_FOUND, "Customer not found");
	return customer;
}

void
paycombat_update(SimRequest *request, SimAnswer *answer)
{
	PaycombatCustomer *customer = named(sim_text(request->json, "customer_id"),
										answer);

	if (customer == NULL || lacks(request, answer, "company", NULL) ||
		lacks(request, answer, "individual", NULL))
		return;
	commit("update", customer->id, request->json);
	paycombat_success(answer, copy_of(customer->data), PAYCOMBAT_SINGLE);
}

void
paycombat_get(SimRequest *request, SimAnswer *answer)
{
	PaycombatCustomer *customer = named(request->parameter, answer);

	if (customer != NULL)
		paycombat_success(answer, copy_of(customer->data), PAYCOMBAT_SINGLE);
}

void
paycombat_disable(SimRequest *request, SimAnswer *answer)
{
	PaycombatCustomer *customer = named(request->parameter, answer);

	if (customer == NULL)
		return;
	commit("disable", customer->id, NULL);
	paycombat_success(answer, copy_of(customer->data), PAYCOMBAT_DOUBLE);
}

void
paycombat_delete(SimRequest *request, SimAnswer *answer)
{
	PaycombatCustomer *customer = named(request->parameter, answer);
	json_object *data;

	if (customer == NULL)
		return;
	data = copy_of(customer->data);
	commit("delete", customer->id, NULL);
	paycombat_success(answer, data, PAYCOMBAT_DOUBLE);
}

void
paycombat_reset(void)
{
	PaycombatCustomer *customer;
	PaycombatCustomer *next;

	HASH_ITER(hh, customers, customer, next)
		remove_customer(customer);
}
