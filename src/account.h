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
#include "serverlimits.h"
#include "provider.h"

typedef struct B24Account
{
	Oid			serverid;
	Oid			userid;			/* whose rights count */
	const char *server;			/* its name */
	const char *base_url;		/* without a slash behind it */
	const B24Provider *provider;
	B24HttpOptions http;
	B24Limits	limits;			/* of the server, for all its accounts */
	int			max_in_flight;
	bool		resend_unknown; /* what may have been made is sent again */
	B24Secrets	secrets;

	/* Equal for accounts that may share a bearer token. */
	uint8		digest[B24_SHA256_LENGTH];

	/* Equal for accounts of the same merchant; tells nothing of its secrets. */
	int64		number;
} B24Account;

/* What is set for a server. */
typedef struct B24ServerSettings
{
	B24Limits	limits;
	int			max_attempts;
	int			retry_delay_ms;
	int			retention_s;	/* 0: for ever */
	bool		mirror;			/* are its customers mirrored? */
	int			min_sync_s;		/* looks at a customer are so far apart, */
	int			max_sync_s;		/* at least and at most */
	int			second_look_s;	/* after a payment, look once more so much later */
} B24ServerSettings;

extern const B24Provider *b24_server_provider(const char *server);
extern bool b24_server_settings(const char *server,
								B24ServerSettings *settings);
extern const B24Account *b24_account_open(const char *server,
										  const B24Provider *wanted);
extern const B24Account *b24_account_try(const char *server,
										 const B24Provider *wanted,
										 B24Problem *problem, const char **hint);
extern const B24Account *b24_account_of(const char *server, Oid userid,
										B24Problem *problem);
extern bool b24_account_number(Oid serverid, Datum options, const char **name,
							   int64 *number);
extern void b24_account_keep(const B24Account *account);
extern bool b24_account_is_current(const B24Account *account);

#endif							/* BILL24_ACCOUNT_H */
