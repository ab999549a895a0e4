/*-------------------------------------------------------------------------
 *
 * provider.h
 *	  What differs between providers: logging in, signing, decoding.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_PROVIDER_H
#define BILL24_PROVIDER_H

#include "endpoint.h"
#include "http.h"

/*
 * The secrets of an account; NULL where the account has none.  They are
 * arguments of the codec, so that it is a pure function.
 */
struct B24Secrets
{
	const char *token;			/* Bill24's merchant token */
	const char *client_id;
	const char *secret;
	const char *hash_token;		/* key of Settle Payment's hash */
};

/* What a successful login brings. */
typedef struct B24Login
{
	char	   *bearer;			/* malloc'd; goes into the Authorization header */
	char	   *refresh;		/* malloc'd, or NULL */
	long		lifetime_s;		/* from now on; 0 if the answer does not say */
	long		skew_s;			/* provider's clock minus ours, if known */
	bool		skew_known;
} B24Login;

/*
 * More than is ever shown of a text, so that a secret in it is recognized
 * before it is cut.
 */
#define B24_REPLY_TEXT 1024

/* An answer as the rest of the house sees it. */
typedef struct B24Reply
{
	B24Status	status;
	bool		of_login;		/* the request was not sent: no bearer token */
	long		http_status;	/* 0 if none arrived */
	char		code[32];		/* the provider's code, "" if none */
	const char *message;		/* in root; NULL if none */
	const char *message_kh;		/* in root; NULL if none */
	char		text[B24_REPLY_TEXT];	/* ours, when the answer is unreadable */
	long		retry_after_s;	/* -1 if the provider did not say */
	B24Json    *root;			/* the whole answer, owned */
	B24Json    *result;			/* the endpoint's part of root; NULL only where
								 * any answer will do */
} B24Reply;

struct B24Provider
{
	const char *name;

	/* Arguments of the login request; NULL for providers without one. */
	B24Status	(*login) (const B24Secrets *secrets, const char *refresh,
						  B24Json *wire, B24Problem *problem);

	/* Last step before sending; sees the body as it goes out. */
	B24Status	(*sign) (const B24Secrets *secrets, const char *bearer,
						 B24Request *request, B24Problem *problem);

	/* From bytes to a decision. */
	void		(*decode) (const B24Endpoint *endpoint,
						   const B24HttpAnswer *answer, B24Reply *reply);
};

extern const B24Provider b24_bill24;

/* in bill24_provider.c */
extern B24Status b24_settle_hash(const B24Secrets *secrets, B24Json *wire,
								 B24Problem *problem);
extern B24Found b24_customer_found(const B24Json *arguments,
								   const B24Json *result, B24Problem *problem);
extern B24Found b24_bill_found(const B24Json *arguments, const B24Json *result,
							   B24Problem *problem);
extern B24Status b24_bill24_login(const B24Reply *reply, long server_time_s,
								  long now_s, B24Login *login,
								  B24Problem *problem);

#endif							/* BILL24_PROVIDER_H */
