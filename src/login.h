/*-------------------------------------------------------------------------
 *
 * login.h
 *	  A login: from credentials to a bearer token.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_LOGIN_H
#define BILL24_LOGIN_H

#include "account.h"
#include "codec.h"
#include "wait.h"

/* The documented samples have about 1,000 and 64 characters. */
#define B24_MAX_BEARER 6144
#define B24_MAX_REFRESH 1024

typedef struct B24LoginAttempt
{
	B24Waiter	waiter;			/* first: the transfer's owner */
	bool		fresh;			/* over a new connection */
	bool		detached;		/* from any transaction */
	bool		ok;				/* it brought a bearer token */
	B24Reply	reply;			/* what came of it */
	B24Login	login;			/* if that is B24_OK */
	B24HttpAnswer answer;		/* without its body */

	/* told when it is over, whatever came of it; may begin the next */
	void		(*over) (struct B24LoginAttempt *attempt);
	void	   *user;			/* the caller's own */

	/* login.c's own */
	const B24Account *account;
	MemoryContextCallback callback;
	B24Request	request;
	B24Transfer *transfer;
	bool		again;			/* not the first request */
} B24LoginAttempt;

extern B24LoginAttempt *b24_login_new(const B24Account *account);
extern void b24_login_start(B24LoginAttempt *attempt, const char *refresh);

#endif							/* BILL24_LOGIN_H */
