/*-------------------------------------------------------------------------
 *
 * errand.h
 *	  A job of the outbox on its way, from the claim to the outcome.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_ERRAND_H
#define BILL24_ERRAND_H

#include "backlog.h"
#include "exchange.h"
#include "verdict.h"

typedef struct B24Errand
{
	MemoryContext context;		/* everything of it but the job */
	MemoryContextCallback callback;
	struct B24Errand *next;
	void	   *user;			/* the owner's own */

	int64		id;
	int64		account;
	char	   *key;
	int			attempt;
	bool		unknown;		/* it was so when it was claimed */
	bool		merged;			/* with the values of earlier ones */
	bool		looking_up;
	bool		resend;			/* the account's resend_unknown */
	const B24Endpoint *endpoint;	/* NULL if there is no such operation */
	B24Json    *arguments;
	B24Job	   *job;			/* NULL if it did not come to that */

	/* when it has ended */
	bool		unsent;
	B24Verdict	verdict;
	B24Problem	problem;		/* why; status B24_OK: the reply tells */
} B24Errand;

extern B24Errand *b24_errand_new(MemoryContext parent, const B24Claim *claim);
extern bool b24_errand_read(B24Errand *errand, const B24Claim *claim);
extern bool b24_errand_prepare(B24Errand *errand, B24Exchange *exchange);
extern B24Status b24_errand_complete(const B24Endpoint *endpoint, B24Json **arguments,
									 const B24Account *account, B24Problem *problem);
extern void b24_errand_end(B24Errand *errand, B24Verdict verdict,
						   const B24Problem *problem);
extern void b24_errand_answered(B24Errand *errand);
extern void b24_errand_put_back(B24Errand *errand);
extern void b24_errand_outcome(const B24Errand *errand,
							   const B24ServerSettings *settings,
							   B24Outcome *outcome);
extern void b24_errand_keep(const B24Errand *errand, const char *server,
							int64 account);
extern void b24_errand_free(B24Errand *errand);

#endif							/* BILL24_ERRAND_H */
