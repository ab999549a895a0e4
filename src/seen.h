/*-------------------------------------------------------------------------
 *
 * seen.h
 *	  A customer as an answer tells of it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_SEEN_H
#define BILL24_SEEN_H

#include "json.h"

/* Texts are NULL where the answer has none. */
typedef struct B24SeenWallet
{
	const char *id;				/* never NULL */
	const char *name;
	const char *balance;		/* a number's digits, never NULL */
	const char *currency;
} B24SeenWallet;

typedef struct B24SeenCustomer
{
	const char *name;
	const char *name_kh;
	const char *phone;
	const char *email;
	const char *remote_id;
	bool		tells_wallets;	/* else it says nothing about them */
	int			wallet_count;
	B24SeenWallet *wallets;
	int64		digest;			/* equal for answers that say the same */
} B24SeenCustomer;

/* The digest of a customer that is not there. */
#define B24_DIGEST_GONE INT64CONST(0)

extern bool b24_seen_customer(const B24Json *result, const char *utf8_code,
							  B24SeenCustomer *seen, B24Problem *problem);
extern bool b24_seen_localize(B24SeenCustomer *seen, B24Problem *problem);

#endif							/* BILL24_SEEN_H */
