/*-------------------------------------------------------------------------
 *
 * endpoint.c
 *	  The table of remote operations, and looking things up in it.
 *
 *-------------------------------------------------------------------------
 */
#include "endpoint.h"

#include <string.h>

#include "provider.h"

const B24Endpoint b24_endpoints[B24_EP_COUNT] = {
#define B24_ENDPOINT(name_, ...) {.name = #name_, __VA_ARGS__},
#define B24_SPECIAL(name_, ...) {.name = #name_, __VA_ARGS__},
#include "endpointlist.h"
#undef B24_ENDPOINT
#undef B24_SPECIAL
};

const B24Provider *const b24_providers[] = {&b24_bill24, &b24_paycombat, NULL};

/* The provider of that name, or of that foreign-data wrapper; NULL if none. */
const B24Provider *
b24_provider_find(const char *name)
{
	const B24Provider *const *p = b24_providers;

	while (*p != NULL && strcmp((*p)->name, name) != 0)
		p++;
	return *p;
}

/* The operation of that name, NULL if there is none. */
const B24Endpoint *
b24_endpoint_find(const char *name)
{
	for (int i = 0; i < B24_EP_COUNT; i++)
	{
		if (strcmp(b24_endpoints[i].name, name) == 0)
			return &b24_endpoints[i];
	}
	return NULL;
}

/* Is the text these three, one behind the other? */
static bool
is_joined(const char *text, const char *prefix, const char *joint, const char *name)
{
	size_t		prefix_length = strlen(prefix);
	size_t		joint_length = strlen(joint);

	return strncmp(text, prefix, prefix_length) == 0 &&
		strncmp(text + prefix_length, joint, joint_length) == 0 &&
		strcmp(text + prefix_length + joint_length, name) == 0;
}

/*
 * A provider's operation by its name in the table, by that of its SQL function,
 * or by that without the provider's name before it; NULL if there is none.
 */
const B24Endpoint *
b24_endpoint_of(const B24Provider *provider, const char *name)
{
	for (int i = 0; i < B24_EP_COUNT; i++)
	{
		const B24Endpoint *e = &b24_endpoints[i];

		if (e->provider == provider &&
			(strcmp(e->name, name) == 0 ||
			 is_joined(name, provider->prefix, "", e->name) ||
			 is_joined(e->name, provider->name, "_", name)))
			return e;
	}
	return NULL;
}

/* The row's path, or the one that the account's server has instead. */
const char *
b24_endpoint_path(const B24Endpoint *endpoint, const B24Secrets *secrets)
{
	ptrdiff_t	i = endpoint - b24_endpoints;
	bool		in_table = endpoint >= b24_endpoints && i < B24_EP_COUNT;

	return in_table && secrets != NULL && secrets->paths[i] != NULL ?
		secrets->paths[i] : endpoint->path;
}

/*
 * What an argument is called on the wire: its own name, unless the row says
 * otherwise.  A renamed one is written to buffer.
 */
const char *
b24_endpoint_wire_name(const B24Endpoint *endpoint, const char *argument,
					   char *buffer, size_t size)
{
	const char *pair = endpoint->rename;
	size_t		length = strlen(argument);

	while (pair != NULL && *pair != '\0')
	{
		size_t		pair_length = strcspn(pair, ",");

		if (pair_length > length && pair[length] == '=' &&
			strncmp(pair, argument, length) == 0 &&
			pair_length - length - 1 < size)
		{
			memcpy(buffer, pair + length + 1, pair_length - length - 1);
			buffer[pair_length - length - 1] = '\0';
			return buffer;
		}
		pair += pair_length + (pair[pair_length] == ',');
	}
	return argument;
}

/*
 * Where a column of a result is found, when not under its own name.  The
 * pages of the documentation differ among themselves; both forms are read.
 */
static const struct
{
	const char *column;
	const char *path;
}			aliases[] = {
	{"sync_code", "customer_sync_code"},
	{"wallets", "walletBalances"},	/* Get Customer Details */
	{"wallets", "wallet"},		/* Create Customer */
	{"bill_status", "invoice_status"},	/* Get list bills, older page */
	{"bill_status", "data.bill.status"},	/* Settle Payment */
	{"payment_status", "data.payment.status"},
	{"checkout_link", "payment.checkout_link"},
	{"checkout_ref", "payment.checkout_ref"},
	{"payment_date", "payment.payment_date"},
	{"payment_ref", "payment.payment_ref"},
	{"payment_method", "payment.payment_method"},
};

/* The value for a column of a result; NULL when absent or null. */
B24Json *
b24_endpoint_field(const B24Json *object, const char *column)
{
	B24Json    *value;

	/* all that is told, also what has no column */
	if (strcmp(column, "raw") == 0)
		return (B24Json *) object;
	value = b24_json_get(object, column);

	for (size_t i = 0; value == NULL && i < sizeof(aliases) / sizeof(aliases[0]); i++)
	{
		if (strcmp(aliases[i].column, column) == 0)
			value = b24_json_path(object, aliases[i].path);
	}
	return value;
}
