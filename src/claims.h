/*-------------------------------------------------------------------------
 *
 * claims.h
 *	  Claims of a delivery: what is due is looked for, and taken over.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_CLAIMS_H
#define BILL24_CLAIMS_H

#include "delivery_state.h"

extern void b24_claims_open(B24Delivery *d);
extern int64 b24_claims_next_look_ms(const B24Delivery *d);
extern bool b24_claims_are_due(const B24Delivery *d);
extern void b24_claims_look_in(B24Delivery *d, long ms);
extern void b24_claims_look_over_soon(B24Delivery *d);

/* in a transaction, and after it */
extern void b24_claims_look(B24Delivery *d);
extern void b24_claims_committed(B24Delivery *d);
extern void b24_claims_undone(B24Delivery *d);

#endif							/* BILL24_CLAIMS_H */
