/*-------------------------------------------------------------------------
 *
 * account.h
 *	  An account: a foreign server and the credentials of a user mapping.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_ACCOUNT_H
#define BILL24_ACCOUNT_H

#include "utils/timestamp.h"

#include "hmac.h"
#include "provider.h"

typedef struct B24Account
{
	Oid			serverid;
	Oid			userid;			/* whose rights count */
	const char *server;			/* its name */
	const char *base_url;		/* without a slash behind it */
	const B24Provider *provider;
	B24HttpOptions http;
	int			max_in_flight;
	B24Secrets	secrets;

	/* Equal for accounts that may share a bearer token. */
	uint8		digest[B24_SHA256_LENGTH];
} B24Account;

extern const B24Account *b24_account_open(const char *server);
extern const B24Account *b24_account_try(const char *server,
										 B24Problem *problem);

#endif							/* BILL24_ACCOUNT_H */
