/*-------------------------------------------------------------------------
 *
 * wake.h
 *	  Waking workers when there is something to do, and waiting for them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_WAKE_H
#define BILL24_WAKE_H

#include "datatype/timestamp.h"

#include "shared.h"

#define B24_EXTENSION "bill24"

extern B24SharedPart b24_wake_part;

extern void b24_wake_preload(void);
extern void b24_wake_at_commit(void);
extern void b24_wake_at_end(void);
extern void b24_wake_database_at_commit(Oid database);
extern void b24_wake_database(Oid database);
extern void b24_wake_finished(void);
extern bool b24_wake_wait(long timeout_ms);
extern TimestampTz b24_wake_own(void);

#endif							/* BILL24_WAKE_H */
