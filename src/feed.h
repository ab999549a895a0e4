/*-------------------------------------------------------------------------
 *
 * feed.h
 *	  What direct calls tell the mirror, at the end of their transaction.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_FEED_H
#define BILL24_FEED_H

#include "exchange.h"

extern void b24_feed(const B24Job *job, TimestampTz asked_at);
extern bool b24_feed_changed(const B24Account *account, const char *code);
extern void b24_feed_forget(Oid serverid, const B24Account *account, Oid user,
							const char *const *codes, int count);

#endif							/* BILL24_FEED_H */
