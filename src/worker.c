/*-------------------------------------------------------------------------
 *
 * worker.c
 *	  The background worker of a database.
 *
 * It delivers as long as there is something to deliver, waits a while for
 * more, and leaves.  An error does not end it at once, as there may be
 * requests under way whose answers would be lost: only one that comes again
 * and again does.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_extension.h"
#include "compat.h"
#include "postmaster/interrupt.h"
#include "storage/condition_variable.h"
#include "tcop/tcopprot.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "store.h"
#include "sync.h"
#include "wait.h"
#include "wake.h"
#include "worker.h"

/* So many errors in a row end it; between them it waits. */
#define MAX_ERRORS 3
#define ERROR_WAIT_MS 300

/* How often bill24.worker is brought up to date while there is much to do. */
#define TELL_EVERY_MS 100

int			b24_workers = 1;
int			b24_worker_idle_timeout = 300000;

static emit_log_hook_type previous_emit_log = NULL;
static Oid	extension = InvalidOid;
static uint32 extension_changes;

/* Keeps the text of what ends this process. */
static void
emit_log(ErrorData *error)
{
	if (previous_emit_log != NULL)
		previous_emit_log(error);
	if (error->elevel >= FATAL && error->sqlerrcode == ERRCODE_ADMIN_SHUTDOWN)
		b24_roster_failed("");
	else if (error->elevel >= ERROR && error->message != NULL)
		b24_roster_failed(error->message);
}

static void
override(const char *name, const char *value)
{
	/* some are not there in all releases */
	if (GetConfigOption(name, true, false) != NULL)
		SetConfigOption(name, value, PGC_SUSET, PGC_S_OVERRIDE);
}

/*
 * What is set for sessions of the database is not meant for this one.  Above
 * all, what was claimed must be on disk before it is sent.
 */
static void
override_settings(void)
{
	b24_store_settle();
	override("default_transaction_isolation", "read committed");
	override("default_transaction_read_only", "off");
	override("default_transaction_deferrable", "off");
	override("session_replication_role", "origin");
	override("statement_timeout", "0");
	override("lock_timeout", "0");
	override("transaction_timeout", "0");
	override("idle_in_transaction_session_timeout", "0");
	if (synchronous_commit == SYNCHRONOUS_COMMIT_OFF)
		override("synchronous_commit", "local");
}

/*
 * The extension as the table has it: who wakes us has committed, but may not
 * have told the caches yet.
 */
static Oid
find_extension(void)
{
	Relation	relation = table_open(ExtensionRelationId, AccessShareLock);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	Oid			result = InvalidOid;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ,
				CStringGetDatum(B24_EXTENSION));
	scan = systable_beginscan(relation, ExtensionNameIndexId, true, snapshot, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		result = ((Form_pg_extension) GETSTRUCT(tuple))->oid;
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(relation, AccessShareLock);
	return result;
}

/*
 * Whether the extension is there, and still the one that it was.  What it was
 * is known after the first call.
 */
static bool
extension_is_there(void)
{
	Oid			found;

	extension_changes = b24_roster_extension_changes();
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	found = find_extension();
	CommitTransactionCommand();
	if (!OidIsValid(extension))
		extension = found;
	return OidIsValid(found) && found == extension;
}

/*
 * Tells the log of an error, whose data it takes.  The database's name is in
 * no message of its own.
 */
static void
report(ErrorData *error)
{
	error->elevel = WARNING;
	b24_roster_failed(error->message != NULL ? error->message : "");
	ThrowErrorData(error);
	FreeErrorData(error);
}

static long
sooner(long a, long b)
{
	return a < 0 ? b : b < 0 ? a : Min(a, b);
}

/*
 * One step of the delivery and of the looks.  False if it failed; the error is in *error, and
 * what was under way still is.
 */
static bool
go_on(B24Delivery *delivery, B24Sync *sync, TimestampTz since, bool claim,
	  bool *is_busy, long *wait_ms, ErrorData **error)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool ok = true;

	/* it is what now() says in the transactions that follow */
	SetCurrentStatementStartTimestamp();
	PG_TRY();
	{
		long		sync_wait_ms = -1;

		*is_busy = b24_delivery_go_on(delivery, since, claim, wait_ms);
		if (b24_sync_go_on(sync, since, claim && !b24_delivery_is_away(delivery),
						   &sync_wait_ms))
			*is_busy = true;
		*wait_ms = sooner(*wait_ms, sync_wait_ms);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		*error = CopyErrorData();
		FlushErrorState();

		/* it may have come without a transaction, which then frees nothing */
		HOLD_INTERRUPTS();
		LWLockReleaseAll();
		ConditionVariableCancelSleep();
		AbortCurrentTransaction();
		RESUME_INTERRUPTS();
		MemoryContextSwitchTo(context);
		ok = false;
	}
	PG_END_TRY();
	return ok;
}

/* By the clock that nobody sets back. */
static long
milliseconds_until(int64 time_ms)
{
	return (long) Min(Max(time_ms - b24_now_ms(), 0), INT_MAX);
}

/* Leaves with nothing more to do, unless there is. */
static void
leave(B24Delivery *delivery, B24Sync *sync, uint64 seen, B24Leaving leaving, long wait_ms)
{
	if (!b24_roster_leave(seen, leaving, wait_ms))
		return;
	if (sync != NULL && b24_sync_end(sync, false))
		b24_roster_hand_over();
	if (delivery != NULL)
		b24_delivery_end(delivery);
	proc_exit(0);
}

/* Shows what is going on; the number in flight not more often than one can read. */
static void
tell(const B24Delivery *delivery, const B24Sync *sync)
{
	static TimestampTz told_at = 0;
	static bool was_running = false;
	int			in_flight = b24_delivery_in_flight(delivery) + b24_sync_in_flight(sync);
	TimestampTz now = GetCurrentTimestamp();

	if (in_flight > 0 && was_running && now >= told_at &&
		now < told_at + TELL_EVERY_MS * INT64CONST(1000))
		return;
	told_at = now;
	was_running = in_flight > 0;
	b24_worker_note(b24_delivery_is_away(delivery) ? "away" : NULL, in_flight);
}

/* Delivers until there is a reason to end. */
static void
deliver(B24Delivery *delivery, B24Sync *sync)
{
	uint64		seen = b24_roster_wakes();
	TimestampTz since = DT_NOBEGIN;
	int64		idle_since = b24_now_ms();
	bool		is_surplus = b24_roster_is_surplus(b24_workers);
	bool		is_busy = false;
	int			errors = 0;

	for (;;)
	{
		uint64		wakes;
		TimestampTz news;
		ErrorData  *error = NULL;
		long		wait_ms = -1;
		long		idle_ms;

		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
			override_settings();
			is_surplus = b24_roster_is_surplus(b24_workers);
		}
		if (b24_roster_must_end())
			return;
		wakes = b24_roster_wakes();
		news = b24_roster_since();
		since = Min(since, news);
		if (since != DT_NOEND || is_busy)
			idle_since = b24_now_ms();
		seen = wakes;
		if (extension_changes != b24_roster_extension_changes() && !extension_is_there())
			return;

		if (!go_on(delivery, sync, since, !is_surplus, &is_busy, &wait_ms, &error))
		{
			int64		end = b24_now_ms() + ERROR_WAIT_MS;

			/* without the extension errors are to be expected */
			if (!extension_is_there())
				return;
			report(error);
			if (++errors == MAX_ERRORS)
				proc_exit(1);

			/* answers may come meanwhile */
			while ((wait_ms = milliseconds_until(end)) > 0)
				b24_pool_wait(wait_ms);
			continue;
		}
		errors = 0;
		since = DT_NOEND;
		tell(delivery, sync);

		if (!is_busy)
		{
			if (is_surplus)
				return;
			idle_ms = milliseconds_until(idle_since + b24_worker_idle_timeout);
			if (wait_ms != 0 && (idle_ms == 0 || b24_roster_is_crowded()))
				leave(delivery, sync, seen, B24_LEAVE_IDLE, wait_ms);
			wait_ms = sooner(wait_ms, Max(idle_ms, 1));
		}
		wait_ms = sooner(wait_ms, b24_roster_well());

		/* a latch that was set before may have been reset on the way */
		if (b24_roster_wakes() == seen)
			b24_pool_wait(wait_ms);
	}
}

/*
 * libcurl allocates some larger pieces for every transfer and frees them, for
 * each of which glibc would put its lists of small ones in order.
 */
static void
tune_malloc(void)
{
#ifdef __GLIBC__
	mallopt(M_MXFAST, 0);
#endif
}

/* The background worker. */
void
b24_worker_main(Datum argument)
{
	B24Place	place;
	B24Delivery *delivery;
	B24Sync    *sync;
	uint64		seen;

	memcpy(&place, MyBgworkerEntry->bgw_extra, sizeof(place));
	if (!b24_roster_attach(&place))
		proc_exit(0);
	tune_malloc();
	previous_emit_log = emit_log_hook;
	emit_log_hook = emit_log;
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();

	BackgroundWorkerInitializeConnectionByOid(place.database, InvalidOid, 0);
	pgstat_report_appname("bill24 worker");
	override_settings();

	seen = b24_roster_wakes();
	while (!extension_is_there())
	{
		leave(NULL, NULL, seen, B24_LEAVE_NO_EXTENSION, -1);
		seen = b24_roster_wakes();
	}
	b24_roster_started();

	MemoryContextSwitchTo(AllocSetContextCreate(TopMemoryContext, "bill24 worker",
												ALLOCSET_DEFAULT_SIZES));
	(void) b24_pool();
	delivery = b24_delivery_new(false);
	sync = b24_sync_new(false, delivery);
	deliver(delivery, sync);
	(void) b24_sync_end(sync, true);
	b24_delivery_end(delivery);
	proc_exit(0);
}

/* Asks the postmaster for a worker; false if it has no room for one. */
bool
b24_worker_start(const B24Place *place, BackgroundWorkerHandle **handle)
{
	BackgroundWorker worker;

	StaticAssertStmt(sizeof(*place) <= sizeof(worker.bgw_extra),
					 "a place does not fit");
	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker.bgw_library_name, B24_EXTENSION, sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "b24_worker_main", sizeof(worker.bgw_function_name));
	snprintf(worker.bgw_name, sizeof(worker.bgw_name), "bill24 worker of database %u",
			 place->database);
	strlcpy(worker.bgw_type, "bill24 worker", sizeof(worker.bgw_type));
	worker.bgw_main_arg = ObjectIdGetDatum(place->database);
	memcpy(worker.bgw_extra, place, sizeof(*place));
	worker.bgw_notify_pid = MyProcPid;
	return RegisterDynamicBackgroundWorker(&worker, handle);
}
