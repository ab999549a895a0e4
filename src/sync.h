/*-------------------------------------------------------------------------
 *
 * sync.h
 *	  Looks at the customers that are mirrored.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_SYNC_H
#define BILL24_SYNC_H

#include "delivery.h"

typedef struct B24Sync B24Sync;

extern B24Sync *b24_sync_new(bool in_call, B24Delivery *delivery);
extern bool b24_sync_go_on(B24Sync *sync, TimestampTz since, bool look, long *wait_ms);
extern int	b24_sync_in_flight(const B24Sync *sync);
extern bool b24_sync_end(B24Sync *sync, bool wake);

#endif							/* BILL24_SYNC_H */
