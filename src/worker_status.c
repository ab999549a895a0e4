/*-------------------------------------------------------------------------
 *
 * worker_status.c
 *	  What bill24.worker shows.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_extension.h"
#include "commands/dbcommands.h"
#include "commands/extension.h"
#include "compat.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "home.h"
#include "roster.h"
#include "store.h"
#include "wake.h"

PG_FUNCTION_INFO_V1(bill24_worker_status);
PG_FUNCTION_INFO_V1(bill24_wake);

/*
 * Keeps the extension from being dropped, as b24_store_open does; false, at
 * once, if somebody is about to do that.
 */
static bool
lock_extension_at_once(void)
{
	Oid			extension = get_extension_oid("bill24", true);
	LOCKTAG		tag;

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, ExtensionRelationId, extension, 0);
	return LockAcquire(&tag, AccessShareLock, false, true) != LOCKACQUIRE_NOT_AVAIL;
}

/* Is this database's outbox not delivered from here, as far as can be told? */
static bool
is_away(void)
{
	B24Store	store;
	bool		here;

	/* who looks after workers must not wait for others */
	if (!lock_extension_at_once())
		return false;
	b24_store_open(&store);
	here = b24_home_is_here();
	b24_store_close(&store);
	return !here;
}

/*
 * A worker that is away leaves after a while, as one with nothing to do, and one
 * that has nothing to do does not look whether it is; why jobs are not delivered
 * is told all the same.
 */
static void
tell_if_away(B24RosterRow *row)
{
	if (row->database == MyDatabaseId &&
		(strcmp(row->state, "stopped") == 0 || strcmp(row->state, "idle") == 0) &&
		is_away())
		strlcpy(row->state, "away", sizeof(row->state));
}

/* A text of another database, which may be in another encoding. */
static text *
safe_text(char *text)
{
	if (!pg_verifymbstr(text, strlen(text), true))
	{
		for (char *c = text; *c != '\0'; c++)
		{
			if (IS_HIGHBIT_SET(*c))
				*c = '?';
		}
	}
	return cstring_to_text(text);
}

static void
put_row(ReturnSetInfo *set, B24RosterRow *row, bool with_error)
{
	char	   *name = get_database_name(row->database);
	NameData	database;
	Datum		values[8];
	bool		nulls[8] = {false};

	/* dropped a moment ago */
	if (name == NULL)
		return;
	namestrcpy(&database, name);
	values[0] = NameGetDatum(&database);
	values[1] = Int32GetDatum(row->pid);
	nulls[1] = row->pid == 0;
	values[2] = CStringGetTextDatum(row->state);
	values[3] = TimestampTzGetDatum(row->started_at);
	nulls[3] = row->started_at == 0;
	values[4] = TimestampTzGetDatum(row->next_start_at);
	nulls[4] = row->next_start_at == 0;
	values[5] = Int32GetDatum(row->failures);
	nulls[6] = row->error[0] == '\0' || !with_error;
	values[6] = nulls[6] ? (Datum) 0 : PointerGetDatum(safe_text(row->error));
	values[7] = Int32GetDatum(row->in_flight);
	tuplestore_putvalues(set->setResult, set->setDesc, values, nulls);
}

/*
 * The workers of this database, and for monitoring roles those of all; a
 * database without one has a row that tells why.  What an error says is for
 * them and the owner of the database.
 */
Datum
bill24_worker_status(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *set = (ReturnSetInfo *) fcinfo->resultinfo;
	bool		all = b24_is_monitor(GetUserId());
	bool		with_error = all || b24_is_database_owner(MyDatabaseId, GetUserId());
	bool		seen = false;
	B24RosterRow *rows;
	int			count;

	InitMaterializedSRF(fcinfo, 0);
	if (!b24_roster_is_shared())
		return (Datum) 0;
	rows = b24_roster_rows(&count);
	for (int i = 0; i < count; i++)
	{
		seen = seen || rows[i].database == MyDatabaseId;
		if (!all && rows[i].database != MyDatabaseId)
			continue;
		tell_if_away(&rows[i]);
		put_row(set, &rows[i], with_error);
	}
	if (!seen)
	{
		B24RosterRow none = {.database = MyDatabaseId, .state = "stopped"};

		tell_if_away(&none);
		put_row(set, &none, false);
	}
	return (Datum) 0;
}

/* Has workers look at all of the outbox when this transaction is over. */
Datum
bill24_wake(PG_FUNCTION_ARGS)
{
	b24_wake_at_end();
	PG_RETURN_VOID();
}
