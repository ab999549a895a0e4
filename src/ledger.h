/*-------------------------------------------------------------------------
 *
 * ledger.h
 *	  The transactions of a delivery: results are written, and jobs claimed.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_LEDGER_H
#define BILL24_LEDGER_H

#include "delivery_state.h"

extern void b24_ledger_settle_in(B24Delivery *d);
extern void b24_ledger_work(B24Delivery *d, bool claim);
extern void b24_ledger_write_apart(B24Delivery *d);
extern void b24_ledger_write_stuck(B24Delivery *d);
extern void b24_ledger_prune(B24Delivery *d);

#endif							/* BILL24_LEDGER_H */
