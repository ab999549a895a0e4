/*-------------------------------------------------------------------------
 *
 * synclog.h
 *	  The transactions of the looks: what was found is written.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_SYNCLOG_H
#define BILL24_SYNCLOG_H

#include "takeup.h"

extern void b24_synclog_write(B24Sync *sync, bool look);

#endif							/* BILL24_SYNCLOG_H */
