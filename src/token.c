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
 * Whoever calls directly waits for a login; detached exchanges look again from
 * time to time.  Both run the same login, as a transfer of its own.
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

/* A login that this process has taken on. */
struct B24Renewal
{
	MemoryContextCallback callback;
	MemoryContext context;		/* everything of it, this struct included */
	B24Renewal *next;			/* among those that are not over */
	uint8		digest[B24_SHA256_LENGTH];
	B24LoginAttempt *attempt;
	bool		detached;		/* from any transaction */
	bool		refreshing;		/* this is the try with the refresh token */
	bool		over;
	bool		ok;
};

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

/* Those that are under way in this process. */
static B24Renewal *renewals = NULL;

/* Is somebody about to log in, or this process elsewhere? */
static bool
is_being_renewed(const Slot *slot, TimestampTz now)
{
	if (slot->renewer == 0 || now >= slot->renewer_until)
		return false;
	if (slot->renewer != MyProcPid)
		return BackendPidGetProc(slot->renewer) != NULL;
	for (B24Renewal *r = renewals; r != NULL; r = r->next)
	{
		if (memcmp(r->digest, slot->digest, B24_SHA256_LENGTH) == 0)
			return true;
	}
	return false;
}

static void
mark_over(B24Renewal *renewal)
{
	renewal->over = true;
	for (B24Renewal **link = &renewals; *link != NULL; link = &(*link)->next)
	{
		if (*link == renewal)
		{
			*link = renewal->next;
			break;
		}
	}
}

/* Gives up a renewal that did not come to its end. */
static void
give_up(void *arg)
{
	B24Renewal *renewal = arg;
	Slot	   *slot;

	if (renewal->over)
		return;
	mark_over(renewal);
	lock_table(LW_EXCLUSIVE);
	slot = find_slot(renewal->digest);
	if (slot != NULL && slot->renewer == MyProcPid)
		slot->renewer = 0;
	unlock_table();
	ConditionVariableBroadcast(&the_table()->changed);
}

/* Their memory may live on, in a cursor that was opened before the savepoint. */
static void
at_subxact(SubXactEvent event, SubTransactionId self, SubTransactionId parent,
		   void *arg)
{
	B24Renewal *next;

	if (event != SUBXACT_EVENT_ABORT_SUB)
		return;
	for (B24Renewal *r = renewals; r != NULL; r = next)
	{
		next = r->next;
		if (!r->detached)
			give_up(r);
	}
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
settle(B24Renewal *renewal)
{
	const B24LoginAttempt *attempt = renewal->attempt;
	TimestampTz now = GetCurrentTimestamp();
	Slot	   *slot;

	lock_table(LW_EXCLUSIVE);
	slot = claim_slot(renewal->digest);
	slot->renewer = 0;
	slot->last_used = now;
	if (attempt->ok)
		note_token(slot, &attempt->login, now);
	else
		note_failure(slot, &attempt->reply, now);
	renewal->ok = attempt->ok;
	mark_over(renewal);
	unlock_table();
	ConditionVariableBroadcast(&the_table()->changed);
}

/* One request of the login is over. */
static void
attempt_over(B24LoginAttempt *attempt)
{
	B24Renewal *renewal = attempt->user;

	/* whoever does not answer to this will not answer to the other */
	if (!attempt->ok && renewal->refreshing &&
		attempt->reply.status != B24_UNREACHABLE &&
		attempt->reply.status != B24_NO_ANSWER)
	{
		renewal->refreshing = false;
		b24_login_start(attempt, NULL);
	}
	else
		settle(renewal);
}

/*
 * Begins to log in: with the refresh token if there is one, else, or if that is
 * not taken, with the credentials.  This process has the renewal, until its
 * outcome is known or its memory, below the current, is freed.
 */
static B24Renewal *
begin_renewal(const B24Account *account, const char *refresh, bool fresh,
			  bool detached)
{
	static bool registered = false;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "bill24 login",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	B24Renewal *renewal = palloc0(sizeof(B24Renewal));

	memcpy(renewal->digest, account->digest, B24_SHA256_LENGTH);
	renewal->context = context;
	renewal->detached = detached;
	renewal->refreshing = refresh[0] != '\0';
	if (!registered)
		RegisterSubXactCallback(at_subxact, NULL);
	registered = true;
	renewal->next = renewals;
	renewals = renewal;

	/* called after the attempt's own, so that no transfer is left by then */
	renewal->callback.func = give_up;
	renewal->callback.arg = renewal;
	MemoryContextRegisterResetCallback(context, &renewal->callback);
	renewal->attempt = b24_login_new(account);
	renewal->attempt->fresh = fresh;
	renewal->attempt->detached = detached;
	renewal->attempt->over = attempt_over;
	renewal->attempt->user = renewal;
	b24_login_start(renewal->attempt, renewal->refreshing ? refresh : NULL);
	MemoryContextSwitchTo(old);
	return renewal;
}

bool
b24_renewal_is_over(const B24Renewal *renewal)
{
	return renewal->over;
}

static void
copy_failure(const Slot *slot, B24Reply *failure)
{
	failure->of_login = true;
	if (slot == NULL || slot->failed_status == B24_OK)
	{
		failure->status = B24_UNREACHABLE;	/* crowded out meanwhile */
		return;
	}
	failure->status = slot->failed_status;
	failure->http_status = slot->failed_http_status;
	failure->retry_after_s = slot->failed_retry_after_s;
	strlcpy(failure->code, slot->failed_code, sizeof(failure->code));
	strlcpy(failure->text, slot->failed_text, sizeof(failure->text));
}

/* The failure of a login that has just ended. */
static void
last_failure(const B24Account *account, B24Reply *failure)
{
	lock_table(LW_SHARED);
	copy_failure(find_slot(account->digest), failure);
	unlock_table();
}

/* Has it a token that needs no renewal yet? */
static bool
is_fresh(const Slot *slot, TimestampTz now)
{
	return slot->bearer[0] != '\0' && now < slot->renew_at;
}

/* Copies the token of the table if there is one to be used. */
static bool
use_token(const B24Account *account, TimestampTz now, B24Token *token)
{
	char		bearer[B24_MAX_BEARER];
	size_t		length = 0;
	Slot	   *slot;

	lock_table(LW_SHARED);
	slot = find_slot(account->digest);
	if (slot != NULL &&
		(is_fresh(slot, now) ||
		 (slot->bearer[0] != '\0' && now < slot->expires_at &&
		  (now < slot->failed_until || is_being_renewed(slot, now)))))
	{
		/* palloc may fail, so not under the lock */
		length = strlen(slot->bearer);
		memcpy(bearer, slot->bearer, length + 1);
		token->generation = slot->generation;
		token->renew_at = slot->renew_at;
		slot->last_used = now;	/* one word: a race does no harm */
	}
	unlock_table();
	if (length == 0)
		return false;
	token->bearer = pnstrdup(bearer, length);
	return true;
}

/*
 * Without a token: takes the renewal on, with the refresh token to be tried,
 * unless others have, or failed just now, or are done with it: then there is
 * one to be used.
 */
static B24TokenState
take_on(const B24Account *account, TimestampTz now, bool in_any_case,
		bool *taken, char *refresh, B24Reply *failure)
{
	B24TokenState state = B24_TOKEN_WAIT;
	Slot	   *slot;

	*taken = false;
	lock_table(LW_EXCLUSIVE);
	slot = claim_slot(account->digest);
	slot->last_used = now;
	if (is_fresh(slot, now) && !in_any_case)
		state = B24_TOKEN_READY;
	else if (now < slot->failed_until && !in_any_case)
	{
		copy_failure(slot, failure);
		state = B24_TOKEN_FAILED;
	}
	else if (!is_being_renewed(slot, now))
	{
		*taken = true;
		slot->renewer = MyProcPid;
		slot->renewer_until = now + 1000 *
			(2 * (int64) account->http.request_timeout_ms + 1000);
		strlcpy(refresh, in_any_case ? "" : slot->refresh, B24_MAX_REFRESH);
		slot->refresh[0] = '\0';	/* tried once */
	}
	unlock_table();
	return state;
}

/* Sleeps until the login of another may be over. */
static void
wait_for_another(const B24Account *account, TimestampTz now)
{
	static uint32 wait_event = 0;
	const Slot *slot;
	bool		under_way;
	bool		here;

	if (wait_event == 0)
		wait_event = b24_wait_event("Bill24Login");
	ConditionVariablePrepareToSleep(&the_table()->changed);
	lock_table(LW_SHARED);
	slot = find_slot(account->digest);
	under_way = slot != NULL && is_being_renewed(slot, now);
	here = under_way && slot->renewer == MyProcPid;
	unlock_table();
	if (under_way && !here)
		ConditionVariableTimedSleep(&the_table()->changed, 1000, wait_event);
	ConditionVariableCancelSleep();

	/* a detached one of this process goes on only as we drive it */
	if (here)
		b24_pool_wait(1000);
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
	for (;;)
	{
		TimestampTz now = GetCurrentTimestamp();
		char		refresh[B24_MAX_REFRESH];
		B24Renewal *renewal;
		bool		taken;
		bool		ok;
		B24TokenState state;

		/* most calls end here */
		if (report == NULL && use_token(account, now, token))
			return true;
		state = take_on(account, now, report != NULL, &taken, refresh, failure);
		if (state == B24_TOKEN_FAILED)
			return false;
		if (state == B24_TOKEN_READY)
			continue;
		if (!taken)
		{
			wait_for_another(account, now);
			continue;
		}
		renewal = begin_renewal(account, refresh, report != NULL, false);
		while (!renewal->over)
			b24_pool_wait(-1);
		ok = renewal->ok;
		if (report != NULL)
		{
			report->answer = renewal->attempt->answer;
			report->skew_known = renewal->attempt->login.skew_known;
			report->skew_s = renewal->attempt->login.skew_s;
			report->lifetime_s = renewal->attempt->login.lifetime_s;
		}
		MemoryContextDelete(renewal->context);
		if (report != NULL && !ok)
			last_failure(account, failure);
		if (report != NULL)
			return ok;
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

/*
 * The same without waiting and outside of any transaction: to be asked again
 * while it says so.  A login that this begins is kept in *renewal, initially
 * NULL, in the current memory context, which must be the same each time.
 */
B24TokenState
b24_token_poll(const B24Account *account, B24Renewal **renewal,
			   B24Token *token, B24Reply *failure)
{
	for (;;)
	{
		TimestampTz now = GetCurrentTimestamp();
		char		refresh[B24_MAX_REFRESH];
		bool		failed = false;
		bool		taken;
		B24TokenState state;

		if (*renewal != NULL)
		{
			if (!(*renewal)->over)
				return B24_TOKEN_WAIT;
			failed = !(*renewal)->ok;
			MemoryContextDelete((*renewal)->context);
			*renewal = NULL;
		}
		if (use_token(account, now, token))
			return B24_TOKEN_READY;
		if (failed)
		{
			last_failure(account, failure);
			return B24_TOKEN_FAILED;
		}
		state = take_on(account, now, false, &taken, refresh, failure);
		if (state == B24_TOKEN_READY)
			continue;
		if (!taken)
			return state;
		*renewal = begin_renewal(account, refresh, false, true);
	}
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
