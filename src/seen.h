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

/* Texts are in the database's encoding, NULL where the answer has none. */
typedef struct B24SeenWallet
{
	char	   *id;				/* never NULL */
	char	   *name;
	char	   *balance;		/* a number's digits, never NULL */
	char	   *currency;
} B24SeenWallet;

typedef struct B24SeenCustomer
{
	char	   *name;
	char	   *name_kh;
	char	   *phone;
	char	   *email;
	char	   *remote_id;
	bool		tells_wallets;	/* else it says nothing about them */
	int			wallet_count;
	B24SeenWallet *wallets;
	int64		digest;			/* equal for answers that say the same */
} B24SeenCustomer;

/* The digest of a customer that is not there. */
#define B24_DIGEST_GONE INT64CONST(0)

extern bool b24_seen_customer(const B24Json *result, const char *utf8_code,
							  B24SeenCustomer *seen, B24Problem *problem);

#endif							/* BILL24_SEEN_H */
