/*-------------------------------------------------------------------------
 *
 * operation.c
 *	  From an operation's name to what it is on the wire and in SQL.
 *
 * Finding the function of an operation and reading its declaration costs more
 * than all the rest of an enqueued job, so signatures are kept until any
 * function changes.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/dependency.h"
#include "catalog/pg_proc.h"
#include "compat.h"
#include "utils/catcache.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "operation.h"
#include "provider.h"

typedef struct Known
{
	Oid			extension;
	uint64		seen;			/* invalidations, when it was read */
	MemoryContext context;
	const B24Signature *signature;	/* NULL: not known */
} Known;

static Known known[B24_EP_COUNT];
static uint64 invalidations = 0;
static bool callback_registered = false;

static void
invalidate(Datum arg, int cacheid, uint32 hashvalue)
{
	invalidations++;
}

/*
 * The provider whose server a function means if none is named, by the
 * function's name: paycombat_... means PayCombat's.
 */
const B24Provider *
b24_operation_provider(Oid function)
{
	const char *name = get_func_name(function);

	for (const B24Provider *const *p = b24_providers; name != NULL && *p != NULL; p++)
	{
		size_t		length = strlen((*p)->name);

		if (strncmp(name, (*p)->name, length) == 0 && name[length] == '_')
			return *p;
	}
	return b24_providers[0];
}

/*
 * The SQL function of an operation.  Its declaration is the schema of the
 * request.  Only one of this extension will do: others may have made functions
 * of that name, whose DEFAULTs and types would run with the caller's rights.
 */
static Oid
function_of(const B24Endpoint *endpoint, Oid extension)
{
	char	   *name = psprintf("%s%s", endpoint->provider->prefix, endpoint->name);
	CatCList   *list = SearchSysCacheList1(PROCNAMEARGSNSP, CStringGetDatum(name));
	Oid			function = InvalidOid;

	for (int i = 0; i < list->n_members; i++)
	{
		Form_pg_proc proc = (Form_pg_proc) GETSTRUCT(&list->members[i]->tuple);

		if (getExtensionOfObject(ProcedureRelationId, proc->oid) == extension)
			function = proc->oid;
	}
	ReleaseSysCacheList(list);
	return function;
}

/* The signature of an operation's function; NULL if there is no function. */
static const B24Signature *
signature_of(const B24Endpoint *endpoint, Oid extension)
{
	Known	   *k = &known[endpoint - b24_endpoints];
	MemoryContext context;
	const B24Signature *signature;
	uint64		seen;
	Oid			function;

	if (k->signature != NULL && k->seen == invalidations && k->extension == extension)
		return k->signature;
	if (!callback_registered)
	{
		CacheRegisterSyscacheCallback(PROCOID, invalidate, (Datum) 0);
		callback_registered = true;
	}
	if (k->signature != NULL)
	{
		/* a caller further up may still be using it */
		MemoryContextSetParent(k->context, TopTransactionContext);
		k->signature = NULL;
	}
	seen = invalidations;
	function = function_of(endpoint, extension);
	if (!OidIsValid(function))
		return NULL;
	context = AllocSetContextCreate(CurrentMemoryContext, "bill24 operation",
									ALLOCSET_SMALL_SIZES);
	signature = b24_signature_with_defaults(function, context);
	MemoryContextSetParent(context, CacheMemoryContext);
	k->extension = extension;
	k->seen = seen;
	k->context = context;
	k->signature = signature;
	return signature;
}

static bool
can_be_enqueued(const B24Endpoint *endpoint)
{
	return endpoint->changes && endpoint->key != NULL;
}

static const B24Signature *
find(const char *name, const B24Provider *provider, Oid extension, bool to_enqueue,
	 const B24Endpoint **endpoint)
{
	const B24Signature *signature = NULL;
	StringInfoData valid;

	*endpoint = b24_endpoint_of(provider, name);
	if (*endpoint != NULL)
		signature = signature_of(*endpoint, extension);
	if (signature != NULL)
		return signature;
	initStringInfo(&valid);
	for (int i = 0; i < B24_EP_COUNT; i++)
	{
		const B24Endpoint *other = &b24_endpoints[i];

		if (other->provider == provider &&
			(!to_enqueue || can_be_enqueued(other)) &&
			OidIsValid(function_of(other, extension)))
			appendStringInfo(&valid, "%s%s", valid.len > 0 ? ", " : "", other->name);
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown operation \"%s\"", name),
			 to_enqueue ?
			 errhint("The operations that can be enqueued are: %s.", valid.data) :
			 errhint("The operations are: %s.", valid.data)));
	return NULL;				/* not reached */
}

/*
 * The provider's operation of that name, with or without the prefix of its
 * function, and what its function takes; good until the end of the caller's own work, so to
 * be asked for again rather than kept.  Error: 22023 there is none.
 */
const B24Signature *
b24_operation(const char *name, const B24Provider *provider, Oid extension,
			  const B24Endpoint **endpoint)
{
	return find(name, provider, extension, false, endpoint);
}

/* The same for the outbox.  Error: 22023 also for one that only reads. */
const B24Signature *
b24_operation_to_enqueue(const char *name, const B24Provider *provider,
						 Oid extension, const B24Endpoint **endpoint)
{
	const B24Signature *signature = find(name, provider, extension, true, endpoint);

	if (!can_be_enqueued(*endpoint))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("operation \"%s\" only reads and cannot be enqueued",
						(*endpoint)->name),
				 errhint("Call %s%s() instead.", provider->prefix, (*endpoint)->name)));
	return signature;
}
