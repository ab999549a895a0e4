/*-------------------------------------------------------------------------
 *
 * launcher.c
 *	  The process that starts workers where there is work.
 *
 * It compares what should run with what runs whenever its latch is set, and
 * else sleeps until the next time that it knows of, or for ever.  It is
 * connected to no database, so that it is in nobody's way.  When it starts, it
 * has a worker look at every database, since nobody knows what is left there
 * from before.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "compat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "tcop/tcopprot.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "launcher.h"
#include "roster.h"
#include "wake.h"
#include "worker.h"

/* When there is no process to be had. */
#define RETRY_MS 5000
#define TELL_AGAIN_S 3600

#define RESTART_S 1

/* Workers that were asked for and have not come yet. */
#define MAX_STARTS 256

typedef struct Starts
{
	int			count;
	B24Place	places[MAX_STARTS];
	BackgroundWorkerHandle *handles[MAX_STARTS];
} Starts;

static Starts starts;
static List *to_look_at = NIL;	/* databases that still want a look */
static MemoryContext context;

/* Whether workers can connect to a database of this kind. */
static bool
is_open(Form_pg_database database)
{
	/* a limit of -2 is what an interrupted DROP DATABASE leaves */
	return database->datallowconn && database->datconnlimit != -2;
}

/* All databases where there may be jobs from before. */
static void
list_databases(void)
{
	Relation	relation;
	TableScanDesc scan;
	HeapTuple	tuple;

	list_free(to_look_at);
	to_look_at = NIL;
	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	relation = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(relation, 0, NULL);
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_database database = (Form_pg_database) GETSTRUCT(tuple);
		MemoryContext old;

		if (!is_open(database) || database->datistemplate)
			continue;
		old = MemoryContextSwitchTo(context);
		to_look_at = lappend_oid(to_look_at, database->oid);
		MemoryContextSwitchTo(old);
	}
	table_endscan(scan);
	table_close(relation, AccessShareLock);
	CommitTransactionCommand();
	MemoryContextSwitchTo(context);
}

/*
 * Whether workers can connect to this database.  Who wakes us has committed,
 * but may not have told the caches yet, so this looks at the table.
 */
static bool
can_connect(Oid database)
{
	Relation	relation;
	ScanKeyData key;
	Snapshot	snapshot;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		result;

	StartTransactionCommand();
	relation = table_open(DatabaseRelationId, AccessShareLock);
	ScanKeyInit(&key, Anum_pg_database_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(database));
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	
	/* without the index: it is not at hand until somebody connects */
	scan = systable_beginscan(relation, InvalidOid, false, snapshot, 1, &key);
	tuple = systable_getnext(scan);
	result = HeapTupleIsValid(tuple) && is_open((Form_pg_database) GETSTRUCT(tuple));
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(relation, AccessShareLock);
	CommitTransactionCommand();
	MemoryContextSwitchTo(context);
	return result;
}

/* Forgets the starts that are over, with a worker or without. */
static void
look_at_starts(void)
{
	int			kept = 0;

	for (int i = 0; i < starts.count; i++)
	{
		pid_t		pid;
		bool		is_over = !b24_roster_is_starting(&starts.places[i]);

		if (!is_over && GetBackgroundWorkerPid(starts.handles[i], &pid) == BGWH_STOPPED)
		{
			b24_roster_release(&starts.places[i], "the worker's process could not be started");
			is_over = true;
		}
		if (is_over)
			pfree(starts.handles[i]);
		else
		{
			starts.places[kept] = starts.places[i];
			starts.handles[kept++] = starts.handles[i];
		}
	}
	starts.count = kept;
	b24_roster_expire(starts.places, starts.count);
}

/* Asks for a worker.  False if no process can be had. */
static bool
start(const B24Place *place)
{
	static TimestampTz told_at = 0;
	BackgroundWorkerHandle *handle;
	TimestampTz now;

	if (!can_connect(place->database))
	{
		b24_roster_release(place, NULL);
		b24_roster_forget(place->database);
		return true;
	}
	if (starts.count < MAX_STARTS && b24_worker_start(place, &handle))
	{
		starts.places[starts.count] = *place;
		starts.handles[starts.count++] = handle;
		return true;
	}
	b24_roster_release(place, NULL);
	now = GetCurrentTimestamp();
	if (told_at == 0 || now > told_at + TELL_AGAIN_S * USECS_PER_SEC)
	{
		told_at = now;
		ereport(LOG,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("bill24: out of background worker slots"),
				 errdetail("Databases with something to deliver take turns."),
				 errhint("You might need to increase max_worker_processes.")));
	}
	return false;
}

/* Starts what should run; returns when to look again, 0 for never. */
static int64
start_all(void)
{
	static bool was_crowded = false;
	B24Place	place;
	int64		next;
	bool		crowded = false;

	/* one by one, so that what is woken now need not wait for all of them */
	if (to_look_at != NIL && starts.count == 0)
	{
		crowded = !b24_roster_look_at(linitial_oid(to_look_at));
		if (!crowded)
			to_look_at = list_delete_first(to_look_at);
	}
	while (b24_roster_next(b24_workers, &place, &next))
	{
		if (!start(&place))
		{
			crowded = true;
			break;
		}
	}
	if (crowded)
	{
		int64		retry = b24_now_ms() + RETRY_MS;

		next = next == 0 ? retry : Min(next, retry);
	}
	if (crowded || was_crowded)
		b24_roster_crowd(crowded);
	was_crowded = crowded;
	return next;
}

static void
gone(int code, Datum argument)
{
	b24_roster_launcher(false);
}

/* The background worker that is always there. */
void
b24_launcher_main(Datum argument)
{
	uint32		wait_event = b24_wait_event("Bill24Launcher");
	bool		look_again = false;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	pgstat_report_appname("bill24 launcher");
	context = AllocSetContextCreate(TopMemoryContext, "bill24 launcher",
									ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(context);

	b24_roster_launcher(true);
	before_shmem_exit(gone, (Datum) 0);
	list_databases();
	for (;;)
	{
		int64		next;
		long		timeout_ms = -1;

		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		look_at_starts();
		look_again = b24_roster_overflowed() || look_again;
		if (to_look_at == NIL && look_again)
		{
			look_again = false;
			list_databases();
		}
		next = start_all();
		if (next != 0)
		{
			int64		now = b24_now_ms();

			timeout_ms = (long) Min(Max(next - now, 0), INT_MAX);
		}
		(void) WaitLatch(MyLatch,
						 WL_LATCH_SET | WL_EXIT_ON_PM_DEATH | (timeout_ms < 0 ? 0 : WL_TIMEOUT),
						 timeout_ms, wait_event);
	}
}

/* While the postmaster preloads the module: registers the launcher. */
void
b24_launcher_preload(void)
{
	BackgroundWorker worker;

	/* an upgrade wants nobody to write */
	if (IsBinaryUpgrade)
		return;
	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = RESTART_S;
	strlcpy(worker.bgw_library_name, B24_EXTENSION, sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "b24_launcher_main", sizeof(worker.bgw_function_name));
	strlcpy(worker.bgw_name, "bill24 launcher", sizeof(worker.bgw_name));
	strlcpy(worker.bgw_type, "bill24 launcher", sizeof(worker.bgw_type));
	RegisterBackgroundWorker(&worker);
}
