/*-------------------------------------------------------------------------
 *
 * ledger.h
 *	  The transactions of a delivery: results are written, and jobs claimed.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_LEDGER_H
#define BILL24_LEDGER_H

#include "clock.h"
#include "delivery.h"
#include "destination.h"

/*
 * Results are written when there are so many.  If they cannot be, no more than
 * these and what may be in flight anyway come together, as they would have to
 * be looked up after a crash.
 */
#define B24_RESULTS_AT_ONCE 256

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

	int64		look_at_ms;		/* when something is due, -1 if nothing is */
	TimestampTz since;			/* what is due since then is to be looked at */
	TimestampTz looked_at;		/* the clock then */
	int64		clock_ahead_ms; /* of the one that nobody sets, at the most */
	bool		reschedule;		/* jobs may have times of a clock that was ahead */
	int64		look_over_at_ms;	/* when to look at all once more, or -1 */
	int64		looked_over_at_ms;
	int			passed_over;	/* look-overs in a row that somebody's locks hindered */
	int64		excluded_since_ms;	/* others write; 0: they do not */
	int64		ended_since_ms; /* the oldest result that is not written */
	int64		paused_until_ms;	/* after an error */
	int			failures;		/* in a row */
	int			cautious;		/* claims one by one, so many times more */
	bool		has_turn;		/* in the last transaction others were kept out */
	int			sqlstate;		/* of the last error in a transaction */
	int			lock_failures;	/* in a row, since the table is locked */
	bool		apart;			/* results are to be written one by one */
	int64		stuck_until_ms; /* 0: none are */
	int			stuck_failures; /* in a row */
	bool		trying_stuck;	/* some of them have been tried again */
	bool		only_locked;	/* those that failed had only to wait */
	ErrorData  *error;			/* in a call: to be raised, if it stays so */
	int64		raise_at_ms;
};

extern void b24_ledger_open(B24Delivery *d);
extern void b24_ledger_settle_in(B24Delivery *d);
extern void b24_ledger_warn_if_away(const B24Delivery *d);
extern void b24_ledger_end_errand(B24Delivery *d, B24Destination *server,
								  B24Errand *errand);
extern int	b24_ledger_count(const B24Delivery *d);
extern bool b24_ledger_is_busy(const B24Delivery *d);
extern bool b24_ledger_is_locked_out(const B24Delivery *d);
extern bool b24_ledger_may_claim(const B24Destination *server);
extern bool b24_ledger_may_send(const B24Destination *server);
extern bool b24_ledger_gives_up(const B24Delivery *d);
extern bool b24_ledger_work(B24Delivery *d, bool claim);
extern void b24_ledger_failed(B24Delivery *d);
extern void b24_ledger_write_apart(B24Delivery *d);
extern void b24_ledger_write_stuck(B24Delivery *d);
extern void b24_ledger_prune(B24Delivery *d, B24Destination *server);

#endif							/* BILL24_LEDGER_H */
