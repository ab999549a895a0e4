/*-------------------------------------------------------------------------
 *
 * setback.h
 *	  How a delivery goes on after a transaction that failed.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_SETBACK_H
#define BILL24_SETBACK_H

#include "delivery_state.h"

extern void b24_setback_catch(B24Delivery *d, bool waited_for_turn);
extern void b24_setback_locked(B24Delivery *d);
extern void b24_setback_failed(B24Delivery *d);
extern void b24_setback_over(B24Delivery *d, bool claimed);
extern void b24_setback_forget_error(B24Delivery *d);
extern int64 b24_setback_retry_ms(int failures, bool locked);
extern bool b24_setback_locks_out(const B24Delivery *d);
extern bool b24_setback_gives_up(const B24Delivery *d);

#endif							/* BILL24_SETBACK_H */
