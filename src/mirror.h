/*-------------------------------------------------------------------------
 *
 * mirror.h
 *	  The local copies of customers and wallets, and when each is looked at.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_MIRROR_H
#define BILL24_MIRROR_H

#include "account.h"
#include "seen.h"

/* How a look at a customer ended. */
typedef enum B24LookOutcome
{
	B24_LOOK_READ,
	B24_LOOK_GONE,				/* the provider does not know it */
	B24_LOOK_FAILED
} B24LookOutcome;

typedef struct B24Look
{
	const char *sync_code;		/* in the database's encoding */
	Oid			owner;			/* with whose account it was asked for, */
	bool		has_account;
	int64		account;		/* and the number of that, if there was one */
	TimestampTz asked_at;		/* before it was sent */
	B24LookOutcome outcome;
	B24SeenCustomer customer;	/* if it was read */
	const char *sqlstate;		/* if it failed */
	const char *error;
	bool		patient;		/* failed in a way that does not pass soon */

	/*
	 * Keeps what was found, where that is not in the copies; NULL where it is.
	 * Called for every look that did not fail, with the customer's row locked.
	 */
	void		(*keep) (const struct B24Look *look);
	void	   *user;			/* for it */

	/* of the group that it was looked at with; 0 and 0 if with none */
	int64		group;
	TimestampTz group_looked_at;
} B24Look;

/* What came of writing looks. */
typedef struct B24Written
{
	TimestampTz next_look_at;	/* the first that is due again; DT_NOEND if none */
	int			skipped;		/* somebody has them locked */
} B24Written;

/* So many changes of balances in a transaction are told of one by one. */
#define B24_MAX_NEWS 100

/* The changes of a server's balances that a transaction has seen so far. */
typedef struct B24News
{
	MemoryContext context;		/* for the payloads */
	int			count;
	bool		too_long;		/* a payload was: only their number can be told */
	const char *payloads[B24_MAX_NEWS]; /* of the first */
} B24News;

extern void b24_mirror_write(const char *server, const B24ServerSettings *settings,
							 const B24Look *looks, int count, B24Written *written);
extern void b24_mirror_write_calls(const char *server, const B24ServerSettings *settings,
								   const B24Look *looks, int count, B24News *news);

#endif							/* BILL24_MIRROR_H */
