/*-------------------------------------------------------------------------
 *
 * tidings.h
 *	  What the deliveries of the outbox tell the mirror.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_TIDINGS_H
#define BILL24_TIDINGS_H

#include "destination.h"

extern bool b24_tidings_are_due(const B24Destination *server);
extern bool b24_tidings_are_left(const B24Destination *server);
extern void b24_tidings_tell(B24Destination *server, const B24Outcome *outcomes,
							 int count);
extern void b24_tidings_committed(B24Destination *server);

#endif							/* BILL24_TIDINGS_H */
