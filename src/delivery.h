/*-------------------------------------------------------------------------
 *
 * delivery.h
 *	  Sends the jobs of the outbox.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_DELIVERY_H
#define BILL24_DELIVERY_H

#include "datatype/timestamp.h"

typedef struct B24Delivery B24Delivery;

extern B24Delivery *b24_delivery_new(bool in_call);
extern bool b24_delivery_go_on(B24Delivery *delivery, TimestampTz since, bool claim,
							   long *wait_ms);
extern int	b24_delivery_in_flight(const B24Delivery *delivery);
extern bool b24_delivery_wants(const B24Delivery *delivery, const char *server);
extern int64 b24_delivery_finished(const B24Delivery *delivery);
extern bool b24_delivery_is_away(const B24Delivery *delivery);
extern void b24_delivery_end(B24Delivery *delivery);

#endif							/* BILL24_DELIVERY_H */
