/*-------------------------------------------------------------------------
 *
 * verdict.c
 *	  What an outcome means for a job of the outbox.  Floor A: pure functions.
 *
 * The rule behind all of it: a change that may have been made is not sent
 * again before that has been found out, unless making it twice is the same as
 * making it once.
 *
 *-------------------------------------------------------------------------
 */
#include "verdict.h"

/* The longest wait between two attempts, unless the provider asks for more. */
#define MAX_BACKOFF_MS (24L * 3600 * 1000)

/* The most that a provider can ask to wait for. */
#define MAX_RETRY_AFTER_S (24L * 3600)

/* As the row has it, or as the account's server allows (resend_unknown). */
static B24Recovery
recovery_of(const B24Endpoint *endpoint, bool resend)
{
	return endpoint->may_resend && resend ? B24_RECOVER_RESEND : endpoint->recovery;
}

/* How to go on with a job, depending on whether its outcome is unknown. */
B24Step
b24_step(const B24Endpoint *endpoint, bool unknown, bool resend)
{
	B24Recovery recovery = recovery_of(endpoint, resend);

	if (!unknown || recovery == B24_RECOVER_RESEND)
		return B24_STEP_SEND;
	return recovery == B24_RECOVER_LOOK_UP ? B24_STEP_LOOK_UP :
		B24_STEP_PARK;
}

/* Nothing was sent, for a reason that only a person can remove. */
static bool
needs_setting_up(B24Status status)
{
	return status == B24_NO_MAPPING || status == B24_NO_CREDENTIAL ||
		status == B24_CREDENTIALS_FILE;
}

/*
 * A job was sent, for the attempt-th time.  From the second time on, "it is
 * there already" may speak of our own attempt before, and has to be looked
 * into.
 */
B24Verdict
b24_verdict_sent(const B24Endpoint *endpoint, int attempt, const B24Reply *reply,
				 bool resend)
{
	if (needs_setting_up(reply->status))
		return B24_VERDICT_PARKED;
	if (reply->of_login)
		return B24_VERDICT_RETRY;
	switch (b24_status_info(reply->status)->retry)
	{
		case B24_RETRY_FREELY:
		case B24_RETRY_AFTER_LOGIN:
			return B24_VERDICT_RETRY;
		case B24_RETRY_AFTER_LOOKUP:
			return recovery_of(endpoint, resend) == B24_RECOVER_BY_HAND ?
				B24_VERDICT_PARKED : B24_VERDICT_UNKNOWN;
		case B24_RETRY_NEVER:
			break;
	}
	if (reply->status == B24_OK)
		return B24_VERDICT_DONE;
	if (attempt > 1)
	{
		if (reply->status == B24_NOT_FOUND && endpoint->gone_is_done)
			return B24_VERDICT_DONE;
		if ((reply->status == B24_ALREADY_EXISTS ||
			 reply->status == B24_ALREADY_PAID) &&
			endpoint->recovery == B24_RECOVER_LOOK_UP)
			return B24_VERDICT_UNKNOWN;

		/* there may be our own, of which we do not know the provider's key */
		if (reply->status == B24_ALREADY_EXISTS && endpoint->may_resend)
			return B24_VERDICT_PARKED;
	}
	return B24_VERDICT_FAILED;
}

/*
 * A job whose outcome was unknown was looked up.  The problem says why it is
 * parked, or why it stays unknown though there was an answer; its status is
 * B24_OK where the reply says all.
 */
B24Verdict
b24_verdict_looked_up(const B24Endpoint *endpoint, const B24Json *arguments,
					  const B24Reply *reply, B24Problem *problem)
{
	problem->status = B24_OK;
	problem->text[0] = '\0';
	if (needs_setting_up(reply->status))
		return B24_VERDICT_PARKED;
	if (reply->of_login)
		return B24_VERDICT_UNKNOWN;
	if (reply->status == B24_NOT_FOUND)
		return B24_VERDICT_SEND;
	if (reply->status == B24_OK)
	{
		switch (endpoint->found(arguments, reply->result, problem))
		{
			case B24_FOUND_OURS:
				return B24_VERDICT_DONE;
			case B24_FOUND_OTHER:
				return B24_VERDICT_PARKED;
			case B24_FOUND_NONSENSE:
				return B24_VERDICT_UNKNOWN;
		}
	}

	/* a look-up that is refused for good will not tell anything tomorrow */
	return b24_status_info(reply->status)->retry == B24_RETRY_NEVER ?
		B24_VERDICT_PARKED : B24_VERDICT_UNKNOWN;
}

/*
 * How long to wait after the attempt-th attempt: full jitter (any time up to
 * an exponentially growing limit, random being in [0, 1)), and at least what
 * the provider asks for.  Milliseconds; retry_after_s is -1 if it asks for
 * nothing.
 */
long
b24_backoff_ms(int attempt, long base_ms, long retry_after_s, double random)
{
	long		limit = base_ms;
	long		asked = 0;

	for (int i = 1; i < attempt && limit < MAX_BACKOFF_MS; i++)
		limit *= 2;
	if (limit > MAX_BACKOFF_MS)
		limit = MAX_BACKOFF_MS;
	if (retry_after_s > 0)
		asked = 1000 * (retry_after_s < MAX_RETRY_AFTER_S ? retry_after_s :
						MAX_RETRY_AFTER_S);
	return asked + (long) (random * (double) limit);
}
