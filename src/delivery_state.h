/*-------------------------------------------------------------------------
 *
 * delivery_state.h
 *	  What a delivery knows: its jobs that are under way, and what comes next.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_DELIVERY_STATE_H
#define BILL24_DELIVERY_STATE_H

#include "clock.h"
#include "delivery.h"
#include "destination.h"

/* Times in ms are of the clock in clock.h. */
struct B24Delivery
{
	MemoryContext context;
	MemoryContext errands;
	MemoryContext scratch;		/* of one step */
	bool		in_call;		/* of bill24_work, so SPI has the transactions */
	bool		away;			/* these jobs are not ours to deliver */
	int64		lease;
	B24Inbox   *inbox;
	B24Destination *destinations;
	int			in_flight;
	int64		finished;
	int64		ended_since_ms; /* the oldest result that is not written */
	int64		excluded_since_ms;	/* others write; 0: they do not */

	/* what is looked at: claims.c */
	int64		look_at_ms;		/* when something is due, -1 if nothing is */
	TimestampTz since;			/* what is due since then is to be looked at */
	TimestampTz looked_at;		/* the clock then */
	int64		clock_ahead_ms; /* of the one that nobody sets, at the most */
	bool		reschedule;		/* jobs may have times of a clock that was ahead */
	int64		look_over_at_ms;	/* when to look at all once more, or -1 */
	int64		looked_over_at_ms;
	int			passed_over;	/* look-overs in a row that somebody's locks hindered */

	/* after a transaction that failed: setback.c */
	int			sqlstate;		/* of the last error */
	bool		missed_turn;	/* it only waited for others, in vain */
	int64		paused_until_ms;
	int			failures;		/* in a row */
	int			lock_failures;	/* in a row, since the table is locked */
	int			cautious;		/* claims one by one, so many times more */
	ErrorData  *error;			/* in a call: to be raised, if it stays so */
	int64		raise_at_ms;

	/* results that could not be written: ledger.c */
	bool		apart;			/* they are to be written one by one */
	int64		stuck_until_ms; /* 0: none are */
	int			stuck_failures; /* in a row */
	bool		trying_stuck;	/* some of them have been tried again */
	bool		only_locked;	/* those that failed had only to wait */
};

extern int	b24_delivery_count_ended(const B24Delivery *d);
extern bool b24_delivery_is_busy(const B24Delivery *d);
extern void b24_delivery_end_errand(B24Delivery *d, B24Destination *server,
									B24Errand *errand);

#endif							/* BILL24_DELIVERY_STATE_H */
