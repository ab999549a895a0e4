/*-------------------------------------------------------------------------
 *
 * delivery.h
 *	  Delivery of the outbox.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_DELIVERY_H
#define BILL24_DELIVERY_H

typedef struct B24Delivery B24Delivery;

extern B24Delivery *b24_delivery_begin(void);
extern bool b24_delivery_go_on(B24Delivery *d, long *wait_ms);
extern void b24_delivery_end(B24Delivery *d);

#endif							/* BILL24_DELIVERY_H */
