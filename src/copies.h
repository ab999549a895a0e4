/*-------------------------------------------------------------------------
 *
 * copies.h
 *	  What customers and wallets were last seen to be.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_COPIES_H
#define BILL24_COPIES_H

#include "mirror.h"

extern void b24_copies_write(const char *server, const B24Look **looks,
							 const bool *known, int count, bool sure,
							 B24News *news);
extern void b24_copies_tell(const char *server, const B24News *news);

#endif							/* BILL24_COPIES_H */
