/*-------------------------------------------------------------------------
 *
 * utility.c
 *	  Statements that concern workers: of databases, and COMMIT PREPARED and
 *	  ROLLBACK PREPARED.
 *
 * DROP DATABASE and its like want nobody in the database.  PostgreSQL waits
 * five seconds and gives up, so the workers there are asked to leave before,
 * and none starts until the statement is over.  Who may not run the statement
 * disturbs nobody.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "commands/extension.h"
#include "compat.h"
#include "nodes/parsenodes.h"
#include "tcop/utility.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "roster.h"
#include "utility.h"
#include "wake.h"

/* How long workers have to leave, and when they are no longer just asked. */
#define PATIENCE_MS 5000
#define POLITE_MS 200
#define LOOK_MS 2

static ProcessUtility_hook_type previous_utility = NULL;

static bool
may_create_databases(void)
{
	bool		result = superuser();
	HeapTuple	role = SearchSysCache1(AUTHOID, ObjectIdGetDatum(GetUserId()));

	if (HeapTupleIsValid(role))
	{
		result = result || ((Form_pg_authid) GETSTRUCT(role))->rolcreatedb;
		ReleaseSysCache(role);
	}
	return result;
}

static bool
is_template(Oid database)
{
	bool		result = false;
	HeapTuple	tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(database));

	if (HeapTupleIsValid(tuple))
	{
		result = ((Form_pg_database) GETSTRUCT(tuple))->datistemplate;
		ReleaseSysCache(tuple);
	}
	return result;
}

static DefElem *
find_option(List *options, const char *name)
{
	ListCell   *cell;

	foreach(cell, options)
	{
		DefElem    *option = lfirst(cell);

		if (strcmp(option->defname, name) == 0)
			return option;
	}
	return NULL;
}

/*
 * The database that must have no workers while the statement runs, or
 * InvalidOid.
 */
static Oid
database_to_close(Node *statement)
{
	const char *name = NULL;
	bool		is_source = false;
	bool		needs_createdb = false;
	Oid			database;

	if (IsA(statement, DropdbStmt))
		name = castNode(DropdbStmt, statement)->dbname;
	else if (IsA(statement, CreatedbStmt))
	{
		DefElem    *option = find_option(castNode(CreatedbStmt, statement)->options,
										 "template");

		name = option != NULL && option->arg != NULL ? defGetString(option) :
			"template1";
		is_source = needs_createdb = true;
	}
	else if (IsA(statement, RenameStmt) &&
			 castNode(RenameStmt, statement)->renameType == OBJECT_DATABASE)
	{
		name = castNode(RenameStmt, statement)->subname;
		needs_createdb = true;
	}
	else if (IsA(statement, AlterDatabaseStmt) &&
			 find_option(castNode(AlterDatabaseStmt, statement)->options,
						 "tablespace") != NULL)
		name = castNode(AlterDatabaseStmt, statement)->dbname;

	if (name == NULL || IsTransactionBlock())
		return InvalidOid;
	database = get_database_oid(name, true);
	if (!OidIsValid(database) || (database == MyDatabaseId && !is_source) ||
		(needs_createdb && !may_create_databases()) ||
		!((is_source && is_template(database)) ||
		  b24_is_database_owner(database, GetUserId())))
		return InvalidOid;
	return database;
}

static void
reopen(int code, Datum database)
{
	b24_roster_open(DatumGetObjectId(database));
}

/* Waits until the workers of a closed database are gone, for a while. */
static void
wait_for_workers(Oid database)
{
	static uint32 wait_event = 0;
	int			waited = 0;

	if (wait_event == 0)
		wait_event = b24_wait_event("Bill24WorkersEnd");
	while (waited < PATIENCE_MS &&
		   b24_roster_ask_to_end(database, waited == POLITE_MS) > 0)
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 LOOK_MS, wait_event);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		waited += LOOK_MS;
	}
}

/* Can there be something to do, now that servers or accounts are others? */
static bool
changes_accounts(Node *statement)
{
	switch (nodeTag(statement))
	{
		case T_CreateForeignServerStmt:
		case T_AlterForeignServerStmt:
		case T_CreateUserMappingStmt:
		case T_AlterUserMappingStmt:
			return true;
		case T_RenameStmt:
			return castNode(RenameStmt, statement)->renameType == OBJECT_FOREIGN_SERVER;
		case T_GrantStmt:
			return castNode(GrantStmt, statement)->objtype == OBJECT_FOREIGN_SERVER;
		default:
			return false;
	}
}

static void
run(B24_UTILITY_PARAMETERS)
{
	if (previous_utility != NULL)
		previous_utility(B24_UTILITY_ARGUMENTS);
	else
		standard_ProcessUtility(B24_UTILITY_ARGUMENTS);
}

static void
process_utility(B24_UTILITY_PARAMETERS)
{
	Node	   *statement = pstmt->utilityStmt;
	Oid			database = database_to_close(statement);

	if (OidIsValid(database))
	{
		/* also if this process ends meanwhile */
		b24_roster_close(database);
		PG_ENSURE_ERROR_CLEANUP(reopen, ObjectIdGetDatum(database));
		{
			wait_for_workers(database);
			run(B24_UTILITY_ARGUMENTS);
		}
		PG_END_ENSURE_ERROR_CLEANUP(reopen, ObjectIdGetDatum(database));
		if (IsA(statement, DropdbStmt))
			b24_roster_forget(database);
		b24_roster_open(database);
		return;
	}

	run(B24_UTILITY_ARGUMENTS);
	if (IsA(statement, TransactionStmt) &&
		(castNode(TransactionStmt, statement)->kind == TRANS_STMT_COMMIT_PREPARED ||
		 castNode(TransactionStmt, statement)->kind == TRANS_STMT_ROLLBACK_PREPARED))
	{
		/*
		 * it may have enqueued, or have created or dropped the extension; and
		 * whatever became of it, jobs that it had locked are free
		 */
		bool		exists = OidIsValid(get_extension_oid(B24_EXTENSION, true));

		b24_roster_wake(MyDatabaseId, !exists, !exists, DT_NOBEGIN);
	}
	else if (changes_accounts(statement) &&
			 OidIsValid(get_extension_oid(B24_EXTENSION, true)))
		b24_wake_at_end();
	else if (IsA(statement, AlterDatabaseStmt) &&
			 find_option(castNode(AlterDatabaseStmt, statement)->options,
						 "allow_connections") != NULL)
	{
		database = get_database_oid(castNode(AlterDatabaseStmt, statement)->dbname, true);
		if (OidIsValid(database))
			b24_wake_database_at_commit(database);
	}
}

/* While the postmaster preloads the module: sets the hook. */
void
b24_utility_preload(void)
{
	previous_utility = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
}
