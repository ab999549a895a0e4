/*-------------------------------------------------------------------------
 *
 * takeup.h
 *	  Customers that are due are taken up.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_TAKEUP_H
#define BILL24_TAKEUP_H

#include "site.h"

/* Prepared ahead of what is in flight, at most. */
#define B24_MAX_STOCK 1024

extern void b24_takeup_watch_servers(void);
extern bool b24_takeup_is_wanted(const B24Sync *sync, const B24Site *site);
extern void b24_takeup(B24Sync *sync, B24Site *site);
extern void b24_takeup_heed_news(B24Sync *sync);

#endif							/* BILL24_TAKEUP_H */
