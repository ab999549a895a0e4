/*
 * supplier.c
 *		Sub-billers ("suppliers") and the banks they can link.
 */
#include "state.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_CODE	2839		/* as in the samples */

static const SimBank banks[] = {
	{"AC", "ACLEDA", "អេស៊ីលីដា"},
	{"ABA", "ABA", "អេប៊ីអេ"},
	{"AMK", "AMK", "អេអឹមខេ"},
};

static SimSupplier *suppliers;

static SimSupplier *
add_supplier(const char *sync_code, const char *name)
{
	SimSupplier *supplier = sim_alloc(sizeof(SimSupplier));

	supplier->code = FIRST_CODE + (int) HASH_COUNT(suppliers);
	supplier->sync_code = sim_strdup(sync_code);
	supplier->name = sim_strdup(name);
	supplier->accounts = json_object_new_array();
	HASH_ADD_KEYPTR(hh, suppliers, supplier->sync_code,
					strlen(supplier->sync_code), supplier);
	return supplier;
}

/* One is there from the start, so that a payment needs no onboarding. */
SimSupplier *
sim_supplier_find(const char *sync_code)
{
	SimSupplier *supplier;

	if (suppliers == NULL)
		add_supplier("ST001", "Station 1");
	HASH_FIND_STR(suppliers, sync_code, supplier);
	return supplier;
}

const SimBank *
sim_bank_find(const char *id)
{
	for (size_t i = 0; i < sim_lengthof(banks); i++)
	{
		if (strcmp(banks[i].id, id) == 0)
			return &banks[i];
	}
	return NULL;
}

const SimBank *
sim_banks(int *count)
{
	*count = sim_lengthof(banks);
	return banks;
}

void
sim_supplier_apply(json_object *event)
{
	SimSupplier *supplier;

	sim_supplier_find("");		/* the first one takes the first code */
	supplier = add_supplier(sim_text(event, "sync_code"),
							sim_text(event, "name"));
	supplier->name_kh = sim_strdup(sim_text(event, "name_kh"));
	supplier->address = sim_strdup(sim_text(event, "address"));
}

/*
 * Link a bank account.  In truth a person fills in the bank's page first; here
 * the page is as good as filled in.
 */
void
sim_supplier_apply_link(json_object *event)
{
	SimSupplier *supplier = sim_supplier_find(sim_text(event, "sync_code"));
	json_object *account = json_object_new_object();

	sim_put_text(account, "bank_id", sim_text(event, "bank_id"));
	sim_put_text(account, "currency", sim_text(event, "currency"));
	json_object_array_add(supplier->accounts, account);
}

void
sim_suppliers_reset(void)
{
	SimSupplier *supplier;
	SimSupplier *next;

	HASH_ITER(hh, suppliers, supplier, next)
	{
		HASH_DEL(suppliers, supplier);
		free(supplier->sync_code);
		free(supplier->name);
		free(supplier->name_kh);
		free(supplier->address);
		json_object_put(supplier->accounts);
		free(supplier);
	}
}
