/*-------------------------------------------------------------------------
 *
 * paycombat_customer.h
 *	  The table bill24.paycombat_customer: PayCombat's customers as last told.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_PAYCOMBAT_CUSTOMER_H
#define BILL24_PAYCOMBAT_CUSTOMER_H

#include "account.h"
#include "signature.h"

/* Between b24_store_open and b24_store_close. */
extern B24Status b24_paycombat_customer_complete(const B24Account *account,
												 const B24Endpoint *endpoint,
												 const B24Signature *signature,
												 B24Json **arguments,
												 B24Problem *problem);
extern char *b24_paycombat_customer_reference(const B24Account *account,
											  const char *customer_id);
extern void b24_paycombat_customer_move(const char *server, int64 from, int64 to,
										bool copy);

extern void b24_paycombat_customer_keep(const char *server, int64 account,
										const B24Endpoint *endpoint,
										const B24Json *arguments,
										const B24Json *customer,
										TimestampTz asked_at, int elevel);

#endif							/* BILL24_PAYCOMBAT_CUSTOMER_H */
