/*-------------------------------------------------------------------------
 *
 * delivery.c
 *	  Delivery of the outbox: a stand-in that sends nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "compat.h"
#include "executor/spi.h"
#include "utils/snapmgr.h"

#include "delivery.h"
#include "roster.h"
#include "wake.h"

struct B24Delivery
{
	int			rounds;
};

B24Delivery *
b24_delivery_begin(void)
{
	return palloc0(sizeof(B24Delivery));
}

bool
b24_delivery_go_on(B24Delivery *d, long *wait_ms)
{
	bool		isnull;
	uint64		done;

	StartTransactionCommand();
	SPI_connect();
	PushActiveSnapshot(GetTransactionSnapshot());
	SPI_execute("UPDATE bill24.outbox SET state = 'done', next_attempt_at = NULL, finished_at = now()"
				" WHERE next_attempt_at <= now()", false, 0);
	done = SPI_processed;
	SPI_execute("SELECT ceil(extract(epoch FROM min(next_attempt_at) - clock_timestamp()) * 1000)::int8"
				" FROM bill24.outbox WHERE next_attempt_at IS NOT NULL", true, 0);
	*wait_ms = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	*wait_ms = isnull ? -1 : Max(*wait_ms, 0);
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
	if (done > 0)
		b24_wake_finished();
	b24_worker_note(NULL, 0);
	return false;
}

void
b24_delivery_end(B24Delivery *d)
{
	pfree(d);
}
