/*-------------------------------------------------------------------------
 *
 * bills.h
 *	  Bills of a period, page by page.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_BILLS_H
#define BILL24_BILLS_H

#include "json.h"

extern void b24_bills_put_page(B24Json *arguments, long page);

#endif							/* BILL24_BILLS_H */
