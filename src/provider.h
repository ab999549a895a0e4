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
	const char *x_token;		/* PayCombat's merchant identifier */
	const char *signature_key;	/* key of its signatures */

	/* no secrets, but the account's as well: what its server's options say */
	const char *bodyless_signature; /* none, empty or object; NULL: none */
	const char *paths[B24_EP_COUNT];	/* instead of the rows'; mostly NULL */
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
	const char *name;			/* also of its foreign-data wrapper, and of
								 * the server that is meant if none is named */
	const char *prefix;			/* of its SQL functions, before the row's name */
	const char *base_url;		/* the default; NULL: it has to be given */
	const char *base_url_example;
	bool		keeps_order;	/* members go out in the order of arguments */

	/*
	 * The secrets of an account, NULL at the end: the first "identity" of them
	 * tell whose account it is, and "needed" of them nothing goes without.
	 */
	const char *const *credentials;
	int			identity;
	int			needed;

	/* The operation that tells how a customer is, by our key. */
	const B24Endpoint *look;

	/* Those for a row of a table of customers that is new, changed, gone. */
	const B24Endpoint *create;
	const B24Endpoint *update;
	const B24Endpoint *remove;

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
extern const B24Provider b24_paycombat;

/* All of them, NULL at the end. */
extern const B24Provider *const b24_providers[];

extern const B24Provider *b24_provider_find(const char *name);

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

/* in paycombat_provider.c */
extern B24Status b24_paycombat_create(const B24Secrets *secrets, B24Json *wire,
									  B24Problem *problem);
extern B24Status b24_paycombat_update(const B24Secrets *secrets, B24Json *wire,
									  B24Problem *problem);

#endif							/* BILL24_PROVIDER_H */
