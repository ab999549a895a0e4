/*-------------------------------------------------------------------------
 *
 * wake.c
 *	  Waking workers when there is something to do, and waiting for them.
 *
 * What a transaction did is seen by others when it has committed, so that is
 * when workers are woken.  The same goes for the extension itself: when it is
 * created or dropped, by whatever statement, workers look again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "compat.h"
#include "port/atomics.h"
#include "storage/condition_variable.h"
#include "utils/timestamp.h"

#include "roster.h"
#include "wake.h"

/* Without shared memory nobody tells us, so it is looked after so long. */
#define ALONE_MS 100

/* Databases share these by chance; some then look once too often. */
#define BELLS 64

typedef struct Bell
{
	ConditionVariable rung;
	pg_atomic_uint64 count;
} Bell;

static object_access_hook_type previous_object_access = NULL;

/* What the commit of this transaction is to do. */
static bool wake_pending = false;
static bool end_pending = false;	/* also if it fails */
static Oid	database_pending = InvalidOid;	/* another one, also to be woken */
static bool afresh_pending = false; /* the extension came or went */
static bool created_extension = false;	/* some extension, perhaps ours */

/* Since when this process has made work for a worker. */
static TimestampTz own_since = DT_NOEND;

static void
bells_init(void *memory)
{
	Bell	   *bells = memory;

	for (int i = 0; i < BELLS; i++)
	{
		ConditionVariableInit(&bells[i].rung);
		pg_atomic_init_u64(&bells[i].count, 0);
	}
}

B24SharedPart b24_wake_part = {
	.name = "bill24 bells",
	.size = BELLS * sizeof(Bell),
	.init = bells_init,
};

static Bell *
my_bell(void)
{
	return (Bell *) b24_shared_memory(&b24_wake_part) + MyDatabaseId % BELLS;
}

static void
at_xact(XactEvent event, void *argument)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:

			/* the last moment to look into a catalog */
			if (created_extension && OidIsValid(get_extension_oid(B24_EXTENSION, true)))
				afresh_pending = true;
			created_extension = false;
			return;
		case XACT_EVENT_COMMIT:
			if (end_pending)
				b24_wake_finished();
			if (afresh_pending || end_pending)
				b24_roster_wake(MyDatabaseId, false, afresh_pending, DT_NOBEGIN);
			else if (wake_pending)
			{
				TimestampTz since = GetCurrentTransactionStartTimestamp();

				own_since = Min(own_since, since);
				b24_roster_wake(MyDatabaseId, false, false, since);
			}
			if (OidIsValid(database_pending))
				b24_roster_wake(database_pending, false, true, DT_NOBEGIN);
			break;
		case XACT_EVENT_ABORT:
			if (end_pending)
				b24_roster_wake(MyDatabaseId, false, false, DT_NOBEGIN);
			break;
		case XACT_EVENT_PREPARE:	/* COMMIT PREPARED will wake */
			break;
		default:
			return;
	}
	wake_pending = false;
	end_pending = false;
	database_pending = InvalidOid;
	afresh_pending = false;
	created_extension = false;
}

static void
expect_end(void)
{
	static bool registered = false;

	if (!registered)
		RegisterXactCallback(at_xact, NULL);
	registered = true;
}

static void
object_access(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id,
			  void *argument)
{
	if (previous_object_access != NULL)
		previous_object_access(access, class_id, object_id, sub_id, argument);
	if (class_id != ExtensionRelationId)
		return;
	if (access == OAT_POST_CREATE)
	{
		/* its name cannot be looked up yet */
		created_extension = true;
		expect_end();
	}
	else if (access == OAT_DROP)
	{
		const char *name = get_extension_name(object_id);

		if (name != NULL && strcmp(name, B24_EXTENSION) == 0)
			afresh_pending = true;
		expect_end();
	}
}

/* While the postmaster preloads the module: sets the hooks. */
void
b24_wake_preload(void)
{
	previous_object_access = object_access_hook;
	object_access_hook = object_access;
}

/* This transaction has work for a worker, if it commits. */
void
b24_wake_at_commit(void)
{
	wake_pending = true;
	expect_end();
}

/*
 * This transaction has locked jobs, which workers then pass over; they look
 * again when it is over, however it ends.
 */
void
b24_wake_at_end(void)
{
	end_pending = true;
	expect_end();
}

/* When this transaction commits, workers can start in that database. */
void
b24_wake_database_at_commit(Oid database)
{
	database_pending = database;
	expect_end();
}

/* There may be work for a worker in a database, now. */
void
b24_wake_database(Oid database)
{
	b24_roster_wake(database, false, false, DT_NOBEGIN);
}

/*
 * Since when there may be work that transactions of this process have made;
 * DT_NOEND if they have not since this was last asked.  For who does the work
 * of a worker, as workers may not be there to be woken.
 */
TimestampTz
b24_wake_own(void)
{
	TimestampTz since = own_since;

	own_since = DT_NOEND;
	return since;
}

/* Jobs of this database have finished: whoever waits for one looks again. */
void
b24_wake_finished(void)
{
	Bell	   *bell = my_bell();

	pg_atomic_fetch_add_u64(&bell->count, 1);
	ConditionVariableBroadcast(&bell->rung);
}

/*
 * Waits until jobs may have finished since it was called last, at most so long
 * (-1: no limit).  The first call returns at once, so that a caller who looks,
 * then waits, then looks again misses nothing.  False if the time is over.
 */
bool
b24_wake_wait(long timeout_ms)
{
	static uint32 wait_event = 0;
	static uint64 heard = PG_UINT64_MAX;
	Bell	   *bell = my_bell();
	TimestampTz end = timeout_ms < 0 ? 0 :
		GetCurrentTimestamp() + timeout_ms * INT64CONST(1000);
	bool		rang;

	if (wait_event == 0)
		wait_event = b24_wait_event("Bill24Finished");
	if (b24_wake_part.lock == NULL)
	{
		bool		in_time = timeout_ms < 0 || timeout_ms > ALONE_MS;

		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 in_time ? ALONE_MS : timeout_ms, wait_event);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		return in_time;
	}

	ConditionVariablePrepareToSleep(&bell->rung);
	while (!(rang = pg_atomic_read_u64(&bell->count) != heard))
	{
		TimestampTz now = timeout_ms < 0 ? 0 : GetCurrentTimestamp();

		if (timeout_ms < 0)
			ConditionVariableSleep(&bell->rung, wait_event);
		else if (now >= end)
			break;
		else
			(void) ConditionVariableTimedSleep(&bell->rung, (end - now) / 1000 + 1,
											   wait_event);
	}
	ConditionVariableCancelSleep();
	heard = pg_atomic_read_u64(&bell->count);
	return rang;
}
