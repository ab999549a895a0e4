/*-------------------------------------------------------------------------
 *
 * transaction.c
 *	  The transactions of a worker, or of a procedure that does its work.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "compat.h"
#include "executor/spi.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"

#include "transaction.h"

/* How long a transaction waits for a row that a superuser has locked. */
#define LOCK_TIMEOUT "500ms"

/*
 * From here to the commit, statements run as in b24_store_open.  With in_call,
 * the caller is a procedure that SPI runs without atomicity; all of it is in a
 * subtransaction then, since that is what can be undone there.
 */
void
b24_transaction_begin(B24Store *store, bool in_call)
{
	if (in_call)
	{
		MemoryContext old = CurrentMemoryContext;

		BeginInternalSubTransaction(NULL);
		MemoryContextSwitchTo(old);
	}
	else
	{
		SetCurrentStatementStartTimestamp();
		StartTransactionCommand();
	}

	/* every statement is to see what others have committed */
	XactIsoLevel = XACT_READ_COMMITTED;
	PushActiveSnapshot(GetTransactionSnapshot());
	b24_store_open(store);
	(void) set_config_option("lock_timeout", LOCK_TIMEOUT, PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

/*
 * Commits; durable: on disk, whatever synchronous_commit is.  What is not may
 * be lost in a crash, and must be such that it can be found out again.
 */
void
b24_transaction_commit(B24Store *store, bool in_call, bool durable, MemoryContext after)
{
	b24_store_close(store);
	PopActiveSnapshot();
	if (in_call)
		ReleaseCurrentSubTransaction();
	if (durable)
		ForceSyncCommit();
	else
		(void) set_config_option("synchronous_commit", "off", PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
	if (in_call)
	{
		SPI_commit();
		SPI_start_transaction();
	}
	else
	{
		CommitTransactionCommand();
		b24_notify_committed();

		/* autovacuum has to know of the rows that die here */
		pgstat_report_stat(false);
	}
	MemoryContextSwitchTo(after);
}

/*
 * Undoes the subtransaction of a procedure's, which nobody else would end, and
 * returns the error, in a memory context.
 */
static ErrorData *
undo(MemoryContext context)
{
	ErrorData  *error;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	FlushErrorState();
	RollbackAndReleaseCurrentSubTransaction();
	return error;
}

/* After an error in one: reports it, or has it raised further. */
void
b24_transaction_failed(bool rethrow, MemoryContext after)
{
	if (rethrow && IsSubTransaction())
		ReThrowError(undo(after));
	if (rethrow)
		PG_RE_THROW();
	HOLD_INTERRUPTS();
	MemoryContextSwitchTo(after);
	EmitErrorReport();
	AbortCurrentTransaction();
	MemoryContextSwitchTo(after);
	FlushErrorState();
	RESUME_INTERRUPTS();
}

/*
 * After an error in one of a procedure that goes on nevertheless: undoes it,
 * and begins anew, so that nothing of it holds up others.  Returns the error,
 * in a memory context.  An error of the commit itself, and somebody's wish to
 * end this, are raised further.
 */
ErrorData *
b24_transaction_undo(MemoryContext context, MemoryContext after)
{
	ErrorData  *error;

	if (!IsSubTransaction())
		PG_RE_THROW();
	error = undo(context);
	if (error->sqlerrcode == ERRCODE_QUERY_CANCELED)
		ReThrowError(error);
	SPI_commit();
	SPI_start_transaction();
	MemoryContextSwitchTo(after);
	return error;
}
