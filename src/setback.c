/*-------------------------------------------------------------------------
 *
 * setback.c
 *	  How a delivery goes on after a transaction that failed.
 *
 * A worker reports the error, and tries again a little later.  In a procedure
 * it is the caller's, who gets it once it is clear that it will not pass.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "setback.h"
#include "transaction.h"

/* After a transaction that failed, the next one is this long in coming. */
#define MIN_PAUSE_MS 1000
#define MAX_PAUSE_MS 60000

/* While something stays locked, which mostly is over soon, up to this. */
#define MAX_LOCKED_PAUSE_MS 5000

/* A process that has nothing under way ends after so many. */
#define MAX_FAILURES 3

/* A procedure tries so long to write what was answered, before it raises. */
#define CALL_PATIENCE_MS 30000

/*
 * After an error, so many claims are of one job each: if it was by one of them
 * that it came, that one is passed over, and holds up no other.
 */
#define CAUTIOUS 600

/* Is an error of this server's state, which may be another soon? */
static bool
may_pass(int sqlstate)
{
	int			class = ERRCODE_TO_CATEGORY(sqlstate);

	return sqlstate == ERRCODE_LOCK_NOT_AVAILABLE ||
		class == ERRCODE_TO_CATEGORY(ERRCODE_INSUFFICIENT_RESOURCES) ||
		class == ERRCODE_TO_CATEGORY(ERRCODE_TRANSACTION_ROLLBACK);
}

/* In a procedure an error is kept, to be raised later: the one that stays. */
static void
keep_error(B24Delivery *d)
{
	ErrorData  *error = b24_transaction_undo(d->context, d->scratch);

	if (d->error != NULL && !may_pass(d->error->sqlerrcode))
	{
		FreeErrorData(error);
		return;
	}
	if (d->error != NULL)
		FreeErrorData(d->error);
	else
		d->raise_at_ms = b24_now_ms() + CALL_PATIENCE_MS;
	d->error = error;
}

/* It has passed, if nothing is left that it was about. */
void
b24_setback_forget_error(B24Delivery *d)
{
	if (d->error == NULL || d->stuck_until_ms != 0 || !may_pass(d->error->sqlerrcode))
		return;
	FreeErrorData(d->error);
	d->error = NULL;
}

/*
 * In a procedure: is there an error that will not pass, or has it been waited
 * for long enough?  Then only what was claimed is brought to its end.
 */
bool
b24_setback_gives_up(const B24Delivery *d)
{
	return d->error != NULL &&
		(!may_pass(d->error->sqlerrcode) || b24_now_ms() >= d->raise_at_ms ||
		 !b24_delivery_is_busy(d));
}

/*
 * In PG_CATCH, after an error in a transaction: undoes it.  waited_for_turn: it
 * had yet to keep out others that claim, or move jobs.
 */
void
b24_setback_catch(B24Delivery *d, bool waited_for_turn)
{
	d->sqlstate = geterrcode();
	d->missed_turn = waited_for_turn && d->sqlstate == ERRCODE_LOCK_NOT_AVAILABLE;

	/* with nothing to lose, this process may as well begin anew */
	if (d->in_call)
		keep_error(d);
	else
		b24_transaction_failed(d->failures >= MAX_FAILURES && !b24_delivery_is_busy(d),
							   d->scratch);
}

/* When to try again after so many failures in a row. */
int64
b24_setback_retry_ms(int failures, bool locked)
{
	int64		pause = MIN_PAUSE_MS;

	while (--failures > 0 && pause < MAX_PAUSE_MS)
		pause *= 2;
	return b24_now_ms() + Min(pause, locked ? MAX_LOCKED_PAUSE_MS : MAX_PAUSE_MS);
}

/* Somebody has locked the table, or keeps us out: all of it waits. */
void
b24_setback_locked(B24Delivery *d)
{
	d->paused_until_ms = b24_setback_retry_ms(++d->lock_failures, true);
}

/* Does nothing go on for that reason? */
bool
b24_setback_locks_out(const B24Delivery *d)
{
	return d->lock_failures > 0 && b24_now_ms() < d->paused_until_ms;
}

/* A transaction failed, and what was claimed was the matter. */
void
b24_setback_failed(B24Delivery *d)
{
	if (++d->failures >= MAX_FAILURES)
		d->paused_until_ms = b24_setback_retry_ms(d->failures - MAX_FAILURES + 1, false);
	d->cautious = CAUTIOUS;
}

/* A transaction went well; claimed: it was also looked for what is due. */
void
b24_setback_over(B24Delivery *d, bool claimed)
{
	if (claimed || d->lock_failures > 0)
		d->paused_until_ms = 0;
	d->lock_failures = 0;
	if (claimed)
		d->failures = 0;
	if (claimed && d->cautious > 0)
		d->cautious--;
	b24_setback_forget_error(d);
}
