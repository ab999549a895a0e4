/*-------------------------------------------------------------------------
 *
 * verdict.h
 *	  What an outcome means for a job of the outbox.  Floor A: pure functions.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_VERDICT_H
#define BILL24_VERDICT_H

#include "provider.h"

typedef enum B24Verdict
{
	B24_VERDICT_DONE,
	B24_VERDICT_FAILED,			/* the provider said no; not retried */
	B24_VERDICT_RETRY,			/* nothing was done: later, once more */
	B24_VERDICT_UNKNOWN,		/* something may have been done: find out */
	B24_VERDICT_SEND,			/* found out that nothing was done: now */
	B24_VERDICT_PARKED			/* a person decides */
} B24Verdict;

/* What is done with a job that is taken up. */
typedef enum B24Step
{
	B24_STEP_SEND,
	B24_STEP_LOOK_UP,
	B24_STEP_PARK				/* its outcome is unknown, and stays so */
} B24Step;

extern B24Step b24_step(const B24Endpoint *endpoint, bool unknown,
						bool resend);
extern B24Verdict b24_verdict_sent(const B24Endpoint *endpoint, int attempt,
								   const B24Reply *reply, bool resend);
extern B24Verdict b24_verdict_looked_up(const B24Endpoint *endpoint,
										const B24Json *arguments,
										const B24Reply *reply,
										B24Problem *problem);
extern long b24_backoff_ms(int attempt, long base_ms, long retry_after_s,
						   double random);

#endif							/* BILL24_VERDICT_H */
