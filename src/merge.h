/*-------------------------------------------------------------------------
 *
 * merge.h
 *	  Updates of a key that wait for one another, sent as one.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_MERGE_H
#define BILL24_MERGE_H

#include "backlog.h"

extern int	b24_merge_followers(const char *server, B24Claim *claim);
extern void b24_merge_earlier(B24Claim *claim);

#endif							/* BILL24_MERGE_H */
