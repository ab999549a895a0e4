/*-------------------------------------------------------------------------
 *
 * token.c
 *	  Bearer tokens: one login for everybody.
 *
 * A slot of the table belongs to a set of credentials.  Whoever finds it
 * without a usable token takes the renewal on, and the others wait for the
 * outcome, good or bad: a failure is kept for a short while, so that many
 * callers do not all try the same wrong password.  A token that is due for
 * renewal serves on until it expires, if it cannot be renewed.
 *
 * A renewal that ends in an error of its own (a cancel, say) is given up by a
 * memory context callback.  Should a process vanish in the middle of one, the
 * others see that, or its time runs out.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "compat.h"
#include "storage/condition_variable.h"
#include "storage/procarray.h"
#include "utils/timestamp.h"

#include "login.h"
#include "token.h"

#define SLOTS 64

/* How long a refusal, or another failure, is passed on without a new try. */
#define KEEP_REFUSAL_MS 5000
#define KEEP_FAILURE_MS 1000

/* The most that a provider can ask to wait for. */
#define MAX_KEEP_S 60

/* When the provider does not say how long a token lasts. */
#define ASSUMED_LIFETIME_S 300

/* A token is renewed when a tenth of its life is left, at most this. */
#define MAX_MARGIN_S 300

typedef struct Slot
{
	uint8		digest[B24_SHA256_LENGTH];
	bool		used;
	uint64		generation;		/* counts the logins */
	TimestampTz last_used;
	TimestampTz renew_at;
	TimestampTz expires_at;
	int			renewer;		/* process, 0 for none */
	TimestampTz renewer_until;

	/* of the last login, if it failed */
	TimestampTz failed_until;
	B24Status	failed_status;
	long		failed_http_status;
	long		failed_retry_after_s;
	char		failed_code[32];
	char		failed_text[B24_REPLY_TEXT];

	char		bearer[B24_MAX_BEARER]; /* "" for none */
	char		refresh[B24_MAX_REFRESH];
} Slot;

typedef struct Table
{
	ConditionVariable changed;	/* a renewal ended */
	uint64		generations;
	Slot		slots[SLOTS];
} Table;

/* A renewal that this process has taken on. */
typedef struct Renewal
{
	MemoryContextCallback callback;
	uint8		digest[B24_SHA256_LENGTH];
	bool		over;
} Renewal;

static void
table_init(void *memory)
{
	Table	   *table = memory;

	memset(table, 0, sizeof(*table));
	ConditionVariableInit(&table->changed);
}

B24SharedPart b24_token_part = {
	.name = "bill24 tokens",
	.size = sizeof(Table),
	.init = table_init,
};

static Table *
the_table(void)
{
	return b24_shared_memory(&b24_token_part);
}

static void
lock_table(LWLockMode mode)
{
	b24_shared_lock(&b24_token_part, mode);
}

static void
unlock_table(void)
{
	b24_shared_unlock(&b24_token_part);
}

static Slot *
find_slot(const uint8 *digest)
{
	Slot	   *slots = the_table()->slots;

	for (int i = 0; i < SLOTS; i++)
	{
		if (slots[i].used && memcmp(slots[i].digest, digest, B24_SHA256_LENGTH) == 0)
			return &slots[i];
	}
	return NULL;
}

/* The slot of these credentials; a new one takes the place of the oldest. */
static Slot *
claim_slot(const uint8 *digest)
{
	Slot	   *slots = the_table()->slots;
	Slot	   *slot = find_slot(digest);

	if (slot != NULL)
		return slot;
	slot = &slots[0];
	for (int i = 0; i < SLOTS; i++)
	{
		if (!slots[i].used)
		{
			slot = &slots[i];
			break;
		}
		if (slots[i].last_used < slot->last_used)
			slot = &slots[i];
	}
	memset(slot, 0, sizeof(Slot));
	memcpy(slot->digest, digest, B24_SHA256_LENGTH);
	slot->used = true;
	return slot;
}

static bool
is_renewed_by_another(const Slot *slot, TimestampTz now)
{
	return slot->renewer != 0 && slot->renewer != MyProcPid &&
		now < slot->renewer_until && BackendPidGetProc(slot->renewer) != NULL;
}

/* The one that is under way in this process, or NULL. */
static Renewal *current = NULL;

/* Gives up a renewal that did not come to its end. */
static void
give_up(void *arg)
{
	Renewal    *renewal = arg;
	Slot	   *slot;

	if (current == renewal)
		current = NULL;
	if (renewal->over)
		return;
	renewal->over = true;
	lock_table(LW_EXCLUSIVE);
	slot = find_slot(renewal->digest);
	if (slot != NULL && slot->renewer == MyProcPid)
		slot->renewer = 0;
	unlock_table();
	ConditionVariableBroadcast(&the_table()->changed);
}

/* Its memory may live on, in a cursor that was opened before the savepoint. */
static void
at_subxact(SubXactEvent event, SubTransactionId self, SubTransactionId parent,
		   void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB && current != NULL)
		give_up(current);
}

/*
 * Keeps a failure for those who come in the next moment.  Whatever happened
 * to the login, the request that wanted the token was not sent: its outcome
 * is known, and it may be sent freely.
 */
static void
note_failure(Slot *slot, const B24Reply *reply, TimestampTz now)
{
	const char *message = b24_status_info(reply->status)->message;
	const char *text = reply->text;
	long		wait_ms = reply->status == B24_LOGIN_REFUSED ? KEEP_REFUSAL_MS :
		KEEP_FAILURE_MS;

	if (text[0] == '\0' && reply->message != NULL)
		text = reply->message;

	/* what is cut off must lie beyond what is shown, where spaces are not */
	text += strspn(text, " ");
	if (reply->retry_after_s > 0)
		wait_ms = Min(reply->retry_after_s, MAX_KEEP_S) * 1000;
	slot->failed_until = now + wait_ms * INT64CONST(1000);
	slot->failed_status = reply->status;
	slot->failed_http_status = reply->http_status;
	slot->failed_retry_after_s = reply->retry_after_s;
	strlcpy(slot->failed_code, reply->code, sizeof(slot->failed_code));
	strlcpy(slot->failed_text, text, sizeof(slot->failed_text));
	if (b24_status_info(reply->status)->retry == B24_RETRY_AFTER_LOOKUP)
	{
		slot->failed_status = B24_UNREACHABLE;
		snprintf(slot->failed_text, sizeof(slot->failed_text), "%s%s%s",
				 message, text[0] != '\0' ? ": " : "", text);
	}
	b24_trim_utf8(slot->failed_text);
}

static void
note_token(Slot *slot, const B24Login *login, TimestampTz now)
{
	long		lifetime = login->lifetime_s > 0 ? login->lifetime_s :
		ASSUMED_LIFETIME_S;
	long		margin = Min(MAX_MARGIN_S, lifetime / 10);

	/* far beyond any use, and safe to reckon with */
	lifetime = Min(lifetime, 10L * 365 * 86400);
	slot->generation = ++the_table()->generations;
	slot->expires_at = now + lifetime * USECS_PER_SEC;
	slot->renew_at = slot->expires_at - margin * USECS_PER_SEC;
	slot->failed_until = 0;
	strlcpy(slot->bearer, login->bearer, sizeof(slot->bearer));
	slot->refresh[0] = '\0';
	if (login->refresh != NULL && strlen(login->refresh) < B24_MAX_REFRESH)
		strlcpy(slot->refresh, login->refresh, sizeof(slot->refresh));
}

/* Puts the outcome of a login into its slot, and lets the others go on. */
static void
settle(Renewal *renewal, const B24LoginAttempt *attempt)
{
	TimestampTz now = GetCurrentTimestamp();
	Slot	   *slot;

	lock_table(LW_EXCLUSIVE);
	slot = claim_slot(renewal->digest);
	slot->renewer = 0;
	slot->last_used = now;
	if (attempt->reply.status == B24_OK)
		note_token(slot, &attempt->login, now);
	else
		note_failure(slot, &attempt->reply, now);
	renewal->over = true;
	unlock_table();
	ConditionVariableBroadcast(&the_table()->changed);
}

/*
 * Logs in: with the refresh token if there is one, else, or if that is not
 * taken, with the credentials.  This process has the renewal.
 */
static bool
renew(const B24Account *account, const char *refresh, B24LoginReport *report)
{
	static bool registered = false;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "bill24 login",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Renewal    *renewal = palloc0(sizeof(Renewal));
	B24LoginAttempt *attempt;
	bool		ok = false;
	bool		answered = true;

	memcpy(renewal->digest, account->digest, B24_SHA256_LENGTH);
	renewal->callback.func = give_up;
	renewal->callback.arg = renewal;
	MemoryContextRegisterResetCallback(context, &renewal->callback);
	if (!registered)
		RegisterSubXactCallback(at_subxact, NULL);
	registered = true;
	current = renewal;

	attempt = b24_login_new(account, report != NULL);
	if (refresh[0] != '\0')
	{
		ok = b24_login_try(attempt, refresh);

		/* whoever does not answer to this will not answer to the other */
		answered = attempt->reply.status != B24_UNREACHABLE &&
			attempt->reply.status != B24_NO_ANSWER;
	}
	if (!ok && answered)
		ok = b24_login_try(attempt, NULL);
	if (report != NULL)
	{
		report->answer = attempt->answer;
		report->skew_known = attempt->login.skew_known;
		report->skew_s = attempt->login.skew_s;
		report->lifetime_s = attempt->login.lifetime_s;
	}
	settle(renewal, attempt);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return ok;
}

static void
copy_failure(const Slot *slot, B24Reply *failure)
{
	failure->status = slot->failed_status;
	failure->http_status = slot->failed_http_status;
	failure->retry_after_s = slot->failed_retry_after_s;
	failure->of_login = true;
	strlcpy(failure->code, slot->failed_code, sizeof(failure->code));
	strlcpy(failure->text, slot->failed_text, sizeof(failure->text));
}

/*
 * A usable bearer token, from the table or by a login; waits for the login of
 * another if there is one under way.  False with the failure of the login.
 * With a report, logs in in any case.
 */
static bool
get(const B24Account *account, B24Token *token, B24LoginReport *report,
	B24Reply *failure)
{
	static uint32 wait_event = 0;

	if (wait_event == 0)
		wait_event = b24_wait_event("Bill24Login");

	for (;;)
	{
		TimestampTz now = GetCurrentTimestamp();
		char		refresh[B24_MAX_REFRESH];
		Slot	   *slot;

		/* most calls end here */
		lock_table(LW_SHARED);
		slot = find_slot(account->digest);
		if (slot != NULL && report == NULL && slot->bearer[0] != '\0' &&
			(now < slot->renew_at ||
			 (now < slot->expires_at &&
			  (now < slot->failed_until || is_renewed_by_another(slot, now)))))
		{
			char		bearer[B24_MAX_BEARER];
			size_t		length = strlen(slot->bearer);

			/* palloc may fail, so not under the lock */
			memcpy(bearer, slot->bearer, length + 1);
			token->generation = slot->generation;
			slot->last_used = now;	/* one word: a race does no harm */
			unlock_table();
			token->bearer = pnstrdup(bearer, length);
			return true;
		}
		unlock_table();

		lock_table(LW_EXCLUSIVE);
		slot = claim_slot(account->digest);
		slot->last_used = now;
		if (now < slot->failed_until && report == NULL)
		{
			copy_failure(slot, failure);
			unlock_table();
			return false;
		}
		if (is_renewed_by_another(slot, now))
		{
			unlock_table();
			ConditionVariablePrepareToSleep(&the_table()->changed);
			lock_table(LW_SHARED);
			slot = find_slot(account->digest);
			if (slot == NULL || !is_renewed_by_another(slot, now))
			{
				unlock_table();
				ConditionVariableCancelSleep();
				continue;
			}
			unlock_table();
			ConditionVariableTimedSleep(&the_table()->changed, 1000,
										wait_event);
			ConditionVariableCancelSleep();
			continue;
		}
		slot->renewer = MyProcPid;
		slot->renewer_until = now + 1000 *
			(2 * (int64) account->http.request_timeout_ms + 1000);
		strlcpy(refresh, report == NULL ? slot->refresh : "", sizeof(refresh));
		slot->refresh[0] = '\0';	/* tried once */
		unlock_table();

		if (!renew(account, refresh, report) && report != NULL)
		{
			lock_table(LW_SHARED);
			slot = find_slot(account->digest);
			if (slot != NULL)
				copy_failure(slot, failure);
			else
				failure->status = B24_UNREACHABLE;	/* crowded out meanwhile */
			unlock_table();
			return false;
		}
		if (report != NULL)
			return true;
	}
}

/*
 * A bearer token for a request; false, with what came of the login, if none
 * could be had.  Raises nothing but what an interrupt asks for.
 */
bool
b24_token_get(const B24Account *account, B24Token *token, B24Reply *failure)
{
	return get(account, token, NULL, failure);
}

/* The provider did not take a token of that login: it is not used again. */
void
b24_token_refused(const B24Account *account, uint64 generation)
{
	Slot	   *slot;

	lock_table(LW_EXCLUSIVE);
	slot = find_slot(account->digest);
	if (slot != NULL && slot->generation == generation)
		slot->bearer[0] = '\0';
	unlock_table();
}

/* Logs in on a new connection, whatever there is, and tells how it went. */
bool
b24_token_login(const B24Account *account, B24LoginReport *report,
				B24Reply *failure)
{
	B24Token	token;

	return get(account, &token, report, failure);
}
