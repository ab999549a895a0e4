/*-------------------------------------------------------------------------
 *
 * status.h
 *	  Every outcome that a remote operation can have.
 *
 * Floor A: no PostgreSQL in here.  Functions of this floor return one of
 * these values and never longjmp; what a value means to a user (SQLSTATE,
 * whether and when to try again, what to do) stands in one table, status.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_STATUS_H
#define BILL24_STATUS_H

#include <stddef.h>

typedef enum B24Status
{
	B24_OK,

	/* found on our side, before anything was sent */
	B24_BAD_ARGUMENT,			/* a value the operation cannot take */
	B24_NULL_ARGUMENT,			/* a required value is missing */
	B24_TOO_LONG,				/* longer than the provider takes */
	B24_BAD_NUMBER,				/* NaN, infinite or negative */
	B24_NO_SERVER,				/* the server does not exist, or is not for this */
	B24_NO_ROLE,				/* the role does not exist any more */
	B24_NO_USAGE,				/* the role may not use the server */
	B24_NO_MAPPING,				/* the role has no account on the server */
	B24_NO_CREDENTIAL,			/* the account lacks a secret it needs */
	B24_CREDENTIALS_FILE,		/* the file of its secrets is of no use */
	B24_NO_MEMORY,
	B24_CIRCUIT_OPEN,			/* the server failed too often: not now */

	/* the connection */
	B24_UNREACHABLE,			/* no byte of the request was sent */
	B24_NO_ANSWER,				/* sent, but what became of it is unknown */

	/* the answer could not be read */
	B24_NONSENSE,				/* not the documented shape */
	B24_TOO_LARGE,				/* more than max_response_size */

	/* the provider's own decisions */
	B24_UNAUTHORIZED,			/* bearer token missing, wrong or expired */
	B24_LOGIN_REFUSED,			/* the credentials themselves were refused */
	B24_KEY_REFUSED,			/* the same, of a request that bears them itself */
	B24_REFUSED,				/* a code we know nothing more about */
	B24_INSUFFICIENT_FUNDS,
	B24_NOT_FOUND,
	B24_ALREADY_EXISTS,
	B24_ALREADY_PAID,
	B24_INVALID,				/* the provider's validation */
	B24_BALANCE_NOT_ZERO,
	B24_THROTTLED,
	B24_PAYMENT_TOKEN,			/* hash or payment method token is wrong */
	B24_SERVER_ERROR,

	B24_STATUS_COUNT
} B24Status;

/* When may the same request be sent again? */
typedef enum B24Retry
{
	B24_RETRY_NEVER,			/* the same request gets the same answer */
	B24_RETRY_AFTER_LOGIN,		/* with a new bearer token */
	B24_RETRY_FREELY,			/* it had no effect */
	B24_RETRY_AFTER_LOOKUP		/* it may have had its effect: ask first */
} B24Retry;

typedef struct B24StatusInfo
{
	const char *name;			/* lower case, for tables and tests */
	const char *sqlstate;		/* five characters */
	B24Retry	retry;
	const char *message;		/* ends the sentence "could not ...: " */
	const char *hint;			/* what to do next, or NULL */
} B24StatusInfo;

/*
 * An error text for the caller to pass on.  It never holds a secret, and it
 * is valid UTF-8 where it quotes the provider.
 */
typedef struct B24Problem
{
	B24Status	status;
	char		text[256];
} B24Problem;

extern const B24StatusInfo *b24_status_info(B24Status status);
extern B24Status b24_problem(B24Problem *problem, B24Status status,
							 const char *format,...)
			__attribute__((format(printf, 3, 4)));
extern void b24_trim_utf8(char *text);

#endif							/* BILL24_STATUS_H */
