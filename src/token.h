/*-------------------------------------------------------------------------
 *
 * token.h
 *	  Bearer tokens: one login for everybody.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_TOKEN_H
#define BILL24_TOKEN_H

#include "account.h"
#include "shared.h"

/* A token as one request uses it. */
typedef struct B24Token
{
	char	   *bearer;			/* palloc'd */
	uint64		generation;		/* which login it is from */
	TimestampTz renew_at;		/* look for another from then on */
} B24Token;

/* How a login went, for the doctor. */
typedef struct B24LoginReport
{
	B24HttpAnswer answer;		/* its body is gone */
	long		skew_s;
	bool		skew_known;
	long		lifetime_s;
} B24LoginReport;

extern B24SharedPart b24_token_part;

/* A login under way. */
typedef struct B24Renewal B24Renewal;

typedef enum B24TokenState
{
	B24_TOKEN_READY,
	B24_TOKEN_FAILED,			/* the login did */
	B24_TOKEN_WAIT				/* for a login, ours or another's */
} B24TokenState;

extern bool b24_token_get(const B24Account *account, B24Token *token,
						  B24Reply *failure);
extern B24TokenState b24_token_poll(const B24Account *account,
									B24Renewal **renewal, B24Token *token,
									B24Reply *failure);
extern bool b24_renewal_is_over(const B24Renewal *renewal);
extern void b24_token_refused(const B24Account *account, uint64 generation);
extern bool b24_token_login(const B24Account *account, B24LoginReport *report,
							B24Reply *failure);

#endif							/* BILL24_TOKEN_H */
