/*-------------------------------------------------------------------------
 *
 * job.c
 *	  What a person can do with the jobs of the outbox.
 *
 * A job belongs to the role that enqueued it: that role, its members and
 * superusers may see it and decide about it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "access/xact.h"
#include "compat.h"
#include "nodes/parsenodes.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "account.h"
#include "backlog.h"
#include "columns.h"
#include "sync.h"
#include "endpoint.h"
#include "home.h"
#include "store.h"
#include "verdict.h"
#include "wait.h"
#include "wake.h"

/* Who waits looks by himself after this time. */
#define LOOK_AGAIN_MS 5000

typedef struct Job
{
	int64		id;
	char	   *server;
	int64		account;
	Oid			owner;
	char	   *operation;
	char	   *key;
	char	   *state;
	int			attempts;
	bool		leased;
	bool		merged;			/* into a later one */
	bool		uncommitted;	/* by this transaction */
} Job;

static void
require(FunctionCallInfo fcinfo, int argument, const char *name)
{
	if (PG_ARGISNULL(argument))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"%s\" must not be NULL", name)));
}

/*
 * Reads a job, as it is committed by now or by this transaction.  Who may not
 * see it is told the same as if it were not there; to be asked without a lock
 * first, so that nobody can lock, or wait for, what others have.
 */
static void
read_job(const B24Store *store, int64 id, bool lock, Job *job)
{
#define COLUMNS "SELECT server, operation, key, state, attempts," \
	" leased_by IS NOT NULL, owner::oid, xmin, account, merged_into IS NOT NULL FROM bill24.outbox WHERE id = $1"
	static B24Statement read = {COLUMNS, 1, {"bigint"}};
	static B24Statement read_locked = {COLUMNS " FOR UPDATE", 1, {"bigint"}};
	Datum		value = Int64GetDatum(id);
	uint64		count = b24_store_run_latest(lock ? &read_locked : &read, &value);

	if (lock)
		b24_wake_at_end();
	if (count == 0 ||
		!has_privs_of_role(store->user, DatumGetObjectId(b24_store_value(0, 7, NULL))))
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("job " INT64_FORMAT " does not exist", id),
				 errhint("Jobs are seen by the role that enqueued them. Finished jobs are deleted after the time in the server option retention.")));
	job->id = id;
	job->server = b24_store_text(0, 1);
	job->account = DatumGetInt64(b24_store_value(0, 9, NULL));
	job->owner = DatumGetObjectId(b24_store_value(0, 7, NULL));
	job->operation = b24_store_text(0, 2);
	job->key = b24_store_text(0, 3);
	job->state = b24_store_text(0, 4);
	job->attempts = DatumGetInt32(b24_store_value(0, 5, NULL));
	job->merged = DatumGetBool(b24_store_value(0, 10, NULL));
	job->leased = DatumGetBool(b24_store_value(0, 6, NULL));
	job->uncommitted =
		TransactionIdIsCurrentTransactionId(DatumGetTransactionId(b24_store_value(0, 8, NULL)));
}

static bool
is_one_of(const char *state, const char *states)
{
	const char *found = strstr(states, state);

	return found != NULL;
}

static void
refuse(const Job *job, const char *what, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("cannot %s job " INT64_FORMAT ": it is %s", what, job->id,
					job->leased ? "being sent" :
					job->merged ? "merged into a later one" : job->state),
			 errhint("%s", hint)));
}

/* The jobs that a transaction has changed, kept for as long as it lasts. */
typedef struct Changes
{
	FullTransactionId transaction;
	int			count;
	int			size;
	int64	   *ids;
} Changes;

static Changes changes;

/* This transaction has the job, until it ends. */
static void
note_change(const Job *job)
{
	FullTransactionId transaction = GetTopFullTransactionId();

	if (!FullTransactionIdEquals(changes.transaction, transaction))
	{
		/* what there was went with the transaction before */
		changes.count = 0;
		changes.size = 16;
		changes.ids = MemoryContextAlloc(TopTransactionContext,
										 changes.size * sizeof(int64));
		changes.transaction = transaction;
	}
	if (changes.count == changes.size)
	{
		changes.size *= 2;
		changes.ids = repalloc_huge(changes.ids, changes.size * sizeof(int64));
	}
	changes.ids[changes.count++] = job->id;
}

/*
 * Does a job wait for one that this transaction has changed?  To others that
 * one is locked, whatever has become of it here, and holds up what is behind
 * it.  One that was enqueued here as well is not there for them.
 */
static bool
waits_for_own(const Job *job)
{
	static B24Statement find = {
		"SELECT xmin FROM bill24.outbox WHERE id = ANY ($1) AND id < $5"
		" AND server = $2 AND account = $3 AND key = $4 AND created_at <> pg_catalog.now()",
		5, {"bigint[]", "text", "bigint", "text", "bigint"}
	};
	FullTransactionId transaction = GetTopFullTransactionIdIfAny();
	uint64		found;
	Datum		values[5];

	if (!FullTransactionIdIsValid(transaction) ||
		!FullTransactionIdEquals(changes.transaction, transaction))
		return false;
	values[0] = b24_int8_array(changes.ids, changes.count);
	values[1] = CStringGetTextDatum(job->server);
	values[2] = Int64GetDatum(job->account);
	values[3] = CStringGetTextDatum(job->key);
	values[4] = Int64GetDatum(job->id);
	found = b24_store_run_latest(&find, values);
	for (uint64 i = 0; i < found; i++)
	{
		/* not if it was rolled back to a savepoint */
		if (TransactionIdIsCurrentTransactionId(DatumGetTransactionId(b24_store_value(i, 1, NULL))))
			return true;
	}
	return false;
}

/* Changes a job that was read with a lock, also in a transaction of old. */
static void
change(const Job *job, B24Statement *statement, Datum *values)
{
	if (b24_store_run_latest(statement, values) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not serialize access due to concurrent update")));
	note_change(job);
}

/* Ends a job by hand, and lets the next one of its key go on. */
static void
finish(const Job *job, const char *state, const char *note)
{
	static B24Statement end = {
		"UPDATE bill24.outbox SET state = $2, next_attempt_at = NULL,"
		" finished_at = pg_catalog.clock_timestamp(), error = CASE WHEN $3 <> '' THEN $3 ELSE error END,"
		" sqlstate = CASE WHEN $2 = 'done' THEN NULL ELSE sqlstate END"
		" WHERE id = $1", 3, {"bigint", "text", "text"}
	};
	Datum		values[3];

	values[0] = Int64GetDatum(job->id);
	values[1] = CStringGetTextDatum(state);
	values[2] = CStringGetTextDatum(note != NULL ? note : "");
	change(job, &end, values);
	b24_backlog_ended(job->server, job->account, job->key, job->id,
					  strcmp(state, "done") == 0);
}

/* When a timeout that begins now is over. */
static TimestampTz
time_after(Datum timeout)
{
	Interval	zero = {0};

	if (DatumGetBool(DirectFunctionCall2(interval_lt, timeout, IntervalPGetDatum(&zero))))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("argument \"timeout\" must not be negative")));
	return DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval,
												   TimestampTzGetDatum(GetCurrentTimestamp()),
												   timeout));
}

PG_FUNCTION_INFO_V1(bill24_wait);

/*
 * bill24_wait(id bigint, timeout interval): waits until a job has ended or is
 * parked, and returns its state; after the timeout, the state that it has by
 * then.  timeout NULL waits for ever.  Errors: P0002 no such job; 55000 a job
 * that this transaction enqueued or changed, or that waits for one that it
 * changed, since it cannot end before that is committed; 22008 a negative
 * timeout.
 */
Datum
bill24_wait(PG_FUNCTION_ARGS)
{
	TimestampTz end = DT_NOEND;
	bool		first = true;
	Job			job;

	require(fcinfo, 0, "id");
	if (!PG_ARGISNULL(1))
		end = time_after(PG_GETARG_DATUM(1));
	for (;;)
	{
		MemoryContext old = CurrentMemoryContext;
		B24Store	store;
		long		left_ms;
		bool		is_over;
		bool		waits;

		b24_store_open(&store);
		read_job(&store, PG_GETARG_INT64(0), false, &job);
		job.state = MemoryContextStrdup(old, job.state);
		is_over = is_one_of(job.state, "done failed cancelled parked");

		/* while it waits, this transaction changes nothing */
		waits = first && !is_over && !job.uncommitted && waits_for_own(&job);
		first = false;
		b24_store_close(&store);
		if (job.uncommitted)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("cannot wait for job " INT64_FORMAT " in the transaction that enqueued it",
							job.id),
					 errdetail("It is delivered after that transaction has been committed."),
					 errhint("COMMIT first, then wait.")));
		if (waits)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("cannot wait for job " INT64_FORMAT " in a transaction that changed an earlier one of its key",
							job.id),
					 errdetail("It is delivered after that transaction has been committed."),
					 errhint("COMMIT first, then wait.")));
		if (is_over)
			break;
		left_ms = end == DT_NOEND ? -1 :
			(long) ((end - GetCurrentTimestamp() + 999) / 1000);
		if (end != DT_NOEND && left_ms <= 0)
			break;
		/* not everything that ends a job can ring, such as a superuser's DELETE */
		b24_wake_wait(left_ms < 0 ? LOOK_AGAIN_MS : Min(left_ms, LOOK_AGAIN_MS));
	}
	PG_RETURN_TEXT_P(cstring_to_text(job.state));
}

PG_FUNCTION_INFO_V1(bill24_retry);

/*
 * bill24_retry(id bigint): a parked job is taken up again, first of all by a
 * look-up if it may have had its effect; one that waits for its next attempt
 * is taken up now; one that failed or was cancelled is enqueued anew.  Returns
 * the number of the job that is to be sent.  Errors: P0002 no such job, 55000
 * there is nothing to be tried again.
 */
Datum
bill24_retry(PG_FUNCTION_ARGS)
{
	static B24Statement again = {
		"UPDATE bill24.outbox SET state = $2, attempts = $3,"
		" next_attempt_at = pg_catalog.clock_timestamp(),"
		" scheduled_at = pg_catalog.clock_timestamp() WHERE id = $1",
		3, {"bigint", "text", "integer"}
	};
	static B24Statement anew = {
		"INSERT INTO bill24.outbox (server, account, operation, key, request, owner)"
		" SELECT server, $2, operation, key, request, owner FROM bill24.outbox WHERE id = $1"
		" RETURNING id", 2, {"bigint", "bigint"}
	};
	const B24Endpoint *endpoint;
	bool		unknown;
	B24Store	store;
	Datum		values[3];
	Job			job;

	require(fcinfo, 0, "id");
	b24_store_open(&store);
	read_job(&store, PG_GETARG_INT64(0), false, &job);
	read_job(&store, PG_GETARG_INT64(0), true, &job);
	values[0] = Int64GetDatum(job.id);
	if (is_one_of(job.state, "failed cancelled"))
	{
		B24Problem	ignored;
		const B24Account *account = b24_account_of(job.server, job.owner, &ignored);

		/* in order with what its owner enqueues now */
		values[1] = Int64GetDatum(account != NULL ? account->number : job.account);
		change(&job, &anew, values);
		job.id = DatumGetInt64(b24_store_value(0, 1, NULL));
	}
	else if (!job.leased && is_one_of(job.state, "parked queued unknown"))
	{
		endpoint = b24_endpoint_find(job.operation);
		unknown = strcmp(job.state, "queued") != 0 && job.attempts > 0 &&
			endpoint != NULL && b24_step(endpoint, true, false) != B24_STEP_PARK;
		values[1] = CStringGetTextDatum(unknown ? "unknown" : "queued");
		values[2] = Int32GetDatum(job.attempts > 0 ? 1 : 0);
		change(&job, &again, values);
	}
	else
		refuse(&job, "retry", "Jobs that are parked, failed or cancelled can be tried again, and those that wait for their next attempt.");
	b24_store_close(&store);
	PG_RETURN_INT64(job.id);
}

PG_FUNCTION_INFO_V1(bill24_cancel);

/*
 * bill24_cancel(id bigint): the job will not be sent (again).  Errors: P0002
 * no such job, 55000 it is too late, or not known whether it is.
 */
Datum
bill24_cancel(PG_FUNCTION_ARGS)
{
	B24Store	store;
	Job			job;

	require(fcinfo, 0, "id");
	b24_store_open(&store);
	read_job(&store, PG_GETARG_INT64(0), false, &job);
	read_job(&store, PG_GETARG_INT64(0), true, &job);
	if (job.leased || job.merged || !is_one_of(job.state, "queued waiting parked"))
		refuse(&job, "cancel",
			   job.leased || job.merged || strcmp(job.state, "unknown") == 0 ?
			   "It may have had its effect. Wait for its outcome with bill24_wait()." :
			   "It has ended.");
	finish(&job, "cancelled", NULL);
	b24_store_close(&store);
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(bill24_resolve);

/*
 * bill24_resolve(id bigint, outcome text, note text): a person has found out
 * what became of a job that is parked, or whose outcome is unknown.  outcome
 * is "done" or "failed"; the note, if there is one, is kept in its column
 * error.  Errors: P0002 no such job, 22023 another outcome, 55000 there is
 * nothing to be decided.
 */
Datum
bill24_resolve(PG_FUNCTION_ARGS)
{
	char	   *outcome;
	B24Store	store;
	Job			job;

	require(fcinfo, 0, "id");
	require(fcinfo, 1, "outcome");
	outcome = text_to_cstring(PG_GETARG_TEXT_PP(1));
	if (strcmp(outcome, "done") != 0 && strcmp(outcome, "failed") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid outcome \"%s\"", outcome),
				 errhint("It is \"done\" or \"failed\".")));
	b24_store_open(&store);
	read_job(&store, PG_GETARG_INT64(0), false, &job);
	read_job(&store, PG_GETARG_INT64(0), true, &job);
	if (job.leased || !is_one_of(job.state, "parked unknown"))
		refuse(&job, "resolve",
			   "Only jobs that are parked, or whose outcome is unknown, are decided by hand.");
	finish(&job, outcome,
		   PG_ARGISNULL(2) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(2)));
	b24_store_close(&store);
	PG_RETURN_VOID();
}

/* Delivers, and looks, until nothing is due any more, or the time is up. */
static int64
deliver(TimestampTz end)
{
	B24Delivery *delivery = b24_delivery_new(true);
	B24Sync    *sync = b24_sync_new(true, delivery);
	volatile int64 finished = 0;
	TimestampTz since = DT_NOBEGIN;

	PG_TRY();
	{
		for (;;)
		{
			TimestampTz now = GetCurrentTimestamp();
			bool		in_time = now < end;
			TimestampTz own;
			bool		busy;
			long		wait_ms;
			long		sync_wait_ms;

			CHECK_FOR_INTERRUPTS();
			busy = b24_delivery_go_on(delivery, since, in_time, &wait_ms);

			/* what was delivered is looked at, too */
			own = b24_wake_own();
			since = Min(since, own);
			if (b24_sync_go_on(sync, since, in_time && !b24_delivery_is_away(delivery),
							   &sync_wait_ms))
				busy = true;
			if (sync_wait_ms >= 0)
				wait_ms = wait_ms < 0 ? sync_wait_ms : Min(wait_ms, sync_wait_ms);
			since = DT_NOEND;
			if (b24_delivery_is_away(delivery))
				ereport(ERROR,
						(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						 errmsg(B24_AWAY_MESSAGE),
						 errhint(B24_AWAY_HINT)));
			if (!busy && (wait_ms != 0 || !in_time))
				break;

			/* when the time is up, what has not been sent is given back */
			if (in_time && end != DT_NOEND &&
				(wait_ms < 0 || wait_ms > (end - now) / 1000 + 1))
				wait_ms = (long) Min((end - now) / 1000 + 1, INT_MAX);
			b24_pool_wait(wait_ms);
		}
		finished = b24_delivery_finished(delivery);
	}
	PG_FINALLY();
	{
		(void) b24_sync_end(sync, true);
		b24_delivery_end(delivery);
	}
	PG_END_TRY();
	return finished;
}

PG_FUNCTION_INFO_V1(bill24_work);

/*
 * CALL bill24_work(timeout interval, INOUT finished bigint): delivers what is
 * due, as the worker does, and commits on its way.  Returns when nothing is
 * due any more, or when the timeout is over and what was sent by then has
 * ended.  finished counts the attempts.  Errors: 2D000 in a transaction block,
 * 55000 the outbox belongs to another database.
 */
Datum
bill24_work(PG_FUNCTION_ARGS)
{
	TimestampTz end = DT_NOEND;
	TupleDesc	tupdesc;
	Datum		value;
	bool		isnull = false;

	if (fcinfo->context == NULL || !IsA(fcinfo->context, CallContext) ||
		castNode(CallContext, fcinfo->context)->atomic)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TRANSACTION_TERMINATION),
				 errmsg("bill24_work() cannot be called in a transaction block"),
				 errdetail("It commits what it has claimed before it is sent."),
				 errhint("CALL it by itself, outside of BEGIN and of functions.")));
	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	tupdesc = BlessTupleDesc(tupdesc);
	if (!PG_ARGISNULL(0))
		end = time_after(PG_GETARG_DATUM(0));
	if (SPI_connect_ext(SPI_OPT_NONATOMIC) != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	SPI_commit();
	SPI_start_transaction();
	value = Int64GetDatum(deliver(end));
	SPI_finish();
	return HeapTupleGetDatum(heap_form_tuple(tupdesc, &value, &isnull));
}
