/*-------------------------------------------------------------------------
 *
 * store.c
 *	  SQL on this extension's own tables.
 *
 * It runs as the owner of the tables, whoever called, as a referential
 * integrity trigger does; and with settings of its own, so that neither the
 * caller's search path nor the caller's, or a table's missing, statistics
 * decide what it does: every statement has one good plan, by index, and that
 * one must be taken with ten rows and with ten million.
 *
 * The settings keep the planner from reading a whole table, but not from reading
 * a whole index.  While the table is small that costs nothing, and the plan is
 * kept.  So no statement gives it a reason to, and these are the reasons:
 *
 * - the index has an order that is of use.  That of a join by = is, though merge
 *	 joins are off: rows are found by = ANY (ARRAY[...]), by ctid, or in a
 *	 subselect or LATERAL query with LIMIT or OFFSET 0, which are no such joins.
 *	 That of an ORDER BY is, and columns that are compared by = do not count in
 *	 it, so that an index of the others has it, too: see BEHIND.  What has to be
 *	 sorted is sorted by id + 0;
 * - it is a partial index, and the statement implies its condition.  Whoever has
 *	 the number of a row does not tell: IS NOT DISTINCT FROM and num_nulls() say
 *	 the same as = and IS NULL, but nothing to the planner;
 * - a column is compared that is in it, but not its first.  Again the planner
 *	 is not told, or only the index that is meant has the order asked for.
 *
 * An error ends the (sub)transaction, and with it all that was changed here.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "compat.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "store.h"

static const struct
{
	const char *name;
	const char *value;
}			settings[] = {
	{"search_path", "pg_catalog, pg_temp"},
	{"plan_cache_mode", "force_generic_plan"},
	{"enable_seqscan", "off"},
	{"enable_bitmapscan", "off"},
	{"enable_hashjoin", "off"},
	{"enable_mergejoin", "off"},
	{"enable_material", "off"},
	{"enable_sort", "off"},
	{"enable_incremental_sort", "off"},
	{"enable_nestloop", "on"},
	{"enable_indexscan", "on"},
	{"enable_tidscan", "on"},
	{"enable_hashagg", "on"},
	{"jit", "off"},
	{"max_parallel_workers_per_gather", "0"},
};

/* This process has the settings for good. */
static bool settled = false;

/*
 * Keeps the extension from being dropped while we are at its tables, or waits
 * until it has been: whoever drops it begins here too, and locks them in an
 * order of his own.  Returns its table outbox, which tells that it is still the
 * extension that was locked here before: this one is asked of a cache, and the
 * extension itself of none.
 */
static Oid
lock_extension(void)
{
	static Oid	known = InvalidOid;
	static Oid	known_outbox = InvalidOid;
	Oid			locked = InvalidOid;
	Oid			outbox;

	if (OidIsValid(known))
		LockDatabaseObject(ExtensionRelationId, known, 0, AccessShareLock);
	outbox = get_relname_relid("outbox", get_namespace_oid("bill24", true));
	if (OidIsValid(known) && OidIsValid(outbox) && outbox == known_outbox)
		return outbox;

	known_outbox = InvalidOid;
	known = get_extension_oid("bill24", false);
	while (known != locked)
	{
		locked = known;
		LockDatabaseObject(ExtensionRelationId, locked, 0, AccessShareLock);
		known = get_extension_oid("bill24", false);
	}
	known_outbox = get_relname_relid("outbox", get_namespace_oid("bill24", false));
	return known_outbox;
}

static Oid
owner_of(Oid outbox)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(outbox));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation \"bill24.outbox\" does not exist"),
				 errhint("It belongs to the extension bill24, which has to be created anew.")));
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

/*
 * For a process that runs no statements but those of this extension: it has the
 * settings from here on, and not anew for every transaction.
 */
void
b24_store_settle(void)
{
	for (int i = 0; i < lengthof(settings); i++)
		SetConfigOption(settings[i].name, settings[i].value, PGC_SUSET, PGC_S_OVERRIDE);
	settled = true;
}

/* From here to b24_store_close, statements run as said above. */
void
b24_store_open(B24Store *store)
{
	Oid			owner = owner_of(lock_extension());

	GetUserIdAndSecContext(&store->user, &store->security);
	SetUserIdAndSecContext(owner,
						   store->security | SECURITY_LOCAL_USERID_CHANGE);
	store->settings = NewGUCNestLevel();
	for (int i = 0; i < lengthof(settings) && !settled; i++)
		(void) set_config_option(settings[i].name, settings[i].value, PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
}

void
b24_store_close(B24Store *store)
{
	SPI_finish();
	AtEOXact_GUC(true, store->settings);
	SetUserIdAndSecContext(store->user, store->security);
}

static void
prepare(B24Statement *statement)
{
	Oid			types[lengthof(statement->args)];
	SPIPlanPtr	plan;

	for (int i = 0; i < statement->nargs; i++)
		types[i] = DatumGetObjectId(DirectFunctionCall1(regtypein,
														CStringGetDatum(statement->args[i])));
	plan = SPI_prepare(statement->sql, statement->nargs, types);
	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
	SPI_keepplan(plan);
	statement->plan = plan;
}

static uint64
run(B24Statement *statement, Datum *values, const char *nulls, Snapshot snapshot)
{
	int			result;

	if (statement->plan == NULL)
		prepare(statement);
	result = SPI_execute_snapshot(statement->plan, values, nulls, snapshot,
								  InvalidSnapshot, false, true, 0);
	if (result < 0)
		elog(ERROR, "SPI_execute_snapshot failed: %s", SPI_result_code_string(result));
	return SPI_processed;
}

/* Runs a statement; returns how many rows it had. */
uint64
b24_store_run(B24Statement *statement, Datum *values, const char *nulls)
{
	return run(statement, values, nulls, InvalidSnapshot);
}

/*
 * The same, seeing what is committed by now, also where the transaction has
 * one snapshot for all of its statements.
 */
uint64
b24_store_run_latest(B24Statement *statement, Datum *values)
{
	return run(statement, values, NULL, GetLatestSnapshot());
}

/* A column, counted from 1, of a row, counted from 0, of the last result. */
Datum
b24_store_value(uint64 row, int column, bool *isnull)
{
	bool		ignored;

	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column,
						 isnull != NULL ? isnull : &ignored);
}

/* A text of the last result, in the current memory context; NULL for NULL. */
char *
b24_store_text(uint64 row, int column)
{
	bool		isnull;
	Datum		value = b24_store_value(row, column, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}
