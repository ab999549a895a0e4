/*-------------------------------------------------------------------------
 *
 * feed.c
 *	  What direct calls tell the mirror, at the end of their transaction.
 *
 * A call has happened, whatever becomes of the statement or the savepoint
 * around it; but what a transaction that fails has learnt goes with it.  So
 * notes are kept in memory and written when the transaction is about to commit:
 * customers are locked for a moment only, in the order of their codes, and a
 * long transaction stands in nobody's way.
 *
 * The commit does not fail for the mirror's sake.  An error there is a warning,
 * and the customers are looked at when their time comes.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "commands/extension.h"
#include "compat.h"
#include "common/hashfn.h"
#include "foreign/foreign.h"
#include "utils/acl.h"
#include "utils/hsearch.h"
#include "utils/snapmgr.h"

#include "apart.h"
#include "copies.h"
#include "feed.h"
#include "mirror.h"
#include "store.h"
#include "text.h"
#include "tracked.h"
#include "wake.h"

/*
 * A transaction keeps so many answers.  Of further customers it is only kept
 * that they are to be mirrored, so that the worker asks for them once more: a
 * hundred bytes each, where an answer may have any number of wallets.
 */
#define MAX_ANSWERS 10000

/* Notes are written so many at once. */
#define BATCH 500

/* So often, if others change customers meanwhile. */
#define MAX_TRIES 10

/* Nobody holds these rows for long but a person who is at them. */
#define LOCK_TIMEOUT "100ms"

#define FEED_HINT "Register the customers with bill24_track(), and have them looked at with bill24_refresh()."

/* Two merchants may have the same code for different customers. */
typedef struct Key
{
	Oid			serverid;
	int64		account;		/* the merchant's number */
	const char *code;			/* in the database's encoding */
} Key;

/* What this transaction knows of a customer. */
typedef struct Note
{
	Key			key;			/* first */
	Oid			owner;			/* who called last */
	bool		has_told;
	B24Told		told;
	bool		has_answer;
	B24Look		look;			/* the last answer: read, or gone */
} Note;

/* All in a context below the transaction's. */
static MemoryContext context = NULL;
static HTAB *notes = NULL;
static int	answers = 0;

/* The transaction is about to be prepared, which a notification forbids. */
static bool is_preparing = false;

static uint32
hash_key(const void *key, Size size)
{
	const Key  *k = key;

	return hash_combine(DatumGetUInt32(hash_uint32(k->serverid ^ (uint32) k->account)),
						hash_bytes((const unsigned char *) k->code, strlen(k->code)));
}

static int
compare_keys(const void *a, const void *b, Size size)
{
	const Key  *x = a;
	const Key  *y = b;

	return x->serverid != y->serverid || x->account != y->account ||
		strcmp(x->code, y->code) != 0;
}

static void write_notes(void);

static void
forget_all(void)
{
	/* the memory goes with the transaction */
	context = NULL;
	notes = NULL;
	answers = 0;
}

static void
at_xact(XactEvent event, void *argument)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			is_preparing = event == XACT_EVENT_PRE_PREPARE;
			if (notes != NULL)
				write_notes();
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PREPARE:
		case XACT_EVENT_ABORT:
			forget_all();
			break;
		default:
			break;
	}
}

static void
begin_notes(void)
{
	static bool registered = false;
	HASHCTL		info;

	if (notes != NULL)
		return;
	if (!registered)
		RegisterXactCallback(at_xact, NULL);
	registered = true;
	context = AllocSetContextCreate(TopTransactionContext, "bill24 feed",
									ALLOCSET_DEFAULT_SIZES);
	memset(&info, 0, sizeof(info));
	info.keysize = sizeof(Key);
	info.entrysize = sizeof(Note);
	info.hash = hash_key;
	info.match = compare_keys;
	info.hcxt = context;
	notes = hash_create("bill24 notes", 16, &info,
						HASH_ELEM | HASH_FUNCTION | HASH_COMPARE | HASH_CONTEXT);
}

static Note *
find_note(const B24Account *account, const char *code, HASHACTION action)
{
	Key			key = {.serverid = account->serverid,.account = account->number,.code = code};
	Note	   *note;
	bool		found;

	if (action == HASH_ENTER)
		begin_notes();
	if (notes == NULL)
		return NULL;
	note = hash_search(notes, &key, action, &found);
	if (action == HASH_ENTER && !found)
	{
		/* out of memory must not leave a key that points to the caller's */
		note->has_told = note->has_answer = false;
		note->key.code = "";
		note->key.code = MemoryContextStrdup(context, code);
	}
	return note;
}

static const char *
keep_text(const char *text)
{
	return text != NULL ? MemoryContextStrdup(context, text) : NULL;
}

/* A text that a later one replaces; so does none, if it clears. */
static void
replace_text(const char **kept, const char *text, bool clears)
{
	const char *old = *kept;

	if (text == NULL ? !clears : old != NULL && strcmp(old, text) == 0)
		return;
	*kept = keep_text(text);
	if (old != NULL)
		pfree(unconstify(char *, old));
}

static void
note_told(const B24Account *account, const B24Told *told)
{
	Note	   *note = find_note(account, told->sync_code, HASH_ENTER);
	B24Told		later = *told;

	if (!note->has_told)
	{
		note->told = *told;
		note->told.name = note->told.phone = note->told.email = NULL;
		note->told.remote_id = NULL;
		note->told.sync_code = note->key.code;
		note->has_told = true;
	}

	/* first the texts, so that merging has nothing left to take over */
	replace_text(&note->told.name, told->name, told->creates);
	replace_text(&note->told.phone, told->phone, told->creates);
	replace_text(&note->told.email, told->email, told->creates);
	replace_text(&note->told.remote_id, told->remote_id, told->creates);
	note->told.creates = note->told.creates || told->creates;
	later.creates = false;
	later.name = later.phone = later.email = later.remote_id = NULL;
	b24_told_merge(&note->told, &later);
}

/*
 * Keeps an answer to get_customer, unless it says what was said before.
 * Answers that are replaced stay in memory: as many as there were changes.
 */
static void
note_answer(Note *note, TimestampTz asked_at, const B24SeenCustomer *seen)
{
	B24Look    *look = &note->look;
	bool		is_whole = true;
	B24Problem	ignored;
	MemoryContext old;

	if (!note->has_answer && answers >= MAX_ANSWERS)
		return;
	if (note->has_answer && seen != NULL && look->outcome == B24_LOOK_READ &&
		look->customer.digest == seen->digest)
	{
		look->asked_at = asked_at;
		return;
	}
	answers += !note->has_answer;
	note->has_answer = false;
	memset(look, 0, sizeof(*look));
	look->sync_code = note->key.code;
	look->asked_at = asked_at;
	look->outcome = B24_LOOK_GONE;
	if (seen != NULL)
	{
		old = MemoryContextSwitchTo(context);
		look->outcome = B24_LOOK_READ;
		look->customer = *seen;
		is_whole = b24_seen_localize(&look->customer, &ignored);
		MemoryContextSwitchTo(old);
	}
	note->has_answer = is_whole;
}

/* What an answer to get_customer tells: how the customer is, or that it is not. */
static void
feed_answer(const B24Job *job, const B24Told *told, TimestampTz asked_at)
{
	const B24Account *account = job->exchange->account;
	const char *utf8_code = b24_json_string(b24_json_get(job->arguments, "sync_code"), NULL);
	B24SeenCustomer seen;
	B24Problem	ignored;
	Note	   *note;

	if (job->reply.status == B24_NOT_FOUND)
	{
		note = find_note(account, told->sync_code, HASH_ENTER);
		note_answer(note, asked_at, NULL);
		return;
	}

	/* what cannot be read, or is about another customer, tells nothing */
	if (!b24_seen_customer(job->reply.result, utf8_code, &seen, &ignored))
		return;
	note_told(account, told);

	/* nor does one that is not whole; the worker finds out if that is all */
	if (!seen.tells_wallets)
		return;
	note = find_note(account, told->sync_code, HASH_ENTER);
	note_answer(note, asked_at, &seen);
}

/*
 * Takes note of a direct call that has been answered, for the mirror.
 * asked_at is when it was sent, or a moment before.
 */
void
b24_feed(const B24Job *job, TimestampTz asked_at)
{
	const B24Account *account = job->exchange->account;
	bool		reads = job->endpoint->tells == B24_TELLS_READ;
	MemoryContext old;
	B24Told		told;
	Note	   *note;

	if (job->endpoint->tells == B24_TELLS_NOTHING ||
		(job->reply.status != B24_OK && (job->reply.status != B24_NOT_FOUND || !reads)) ||
		RecoveryInProgress() || IsInParallelMode())
		return;

	/* what is read here goes with the job */
	old = MemoryContextSwitchTo(job->context);
	if (b24_told(job->endpoint, job->arguments, job->reply.result, account,
				 GetCurrentTimestamp(), &told))
	{
		if (reads && job->endpoint->keeps == B24_KEEPS_NOTHING)
			feed_answer(job, &told, asked_at);
		else
			note_told(account, &told);
		note = find_note(account, told.sync_code, HASH_FIND);
		if (note != NULL)
			note->owner = account->userid;
	}
	MemoryContextSwitchTo(old);
}

/* Has this transaction changed the account's customer, so that the mirror is behind? */
bool
b24_feed_changed(const B24Account *account, const char *code)
{
	const Note *note = find_note(account, code, HASH_FIND);

	return note != NULL && note->has_told && note->told.wants;
}

static int
compare_texts(const void *a, const void *b)
{
	return strcmp(*(const char *const *) a, *(const char *const *) b);
}

/*
 * Forgets what was noted of customers, whose codes are in order: from here on
 * they are not mirrored.  As in bill24_untrack, those of the account's
 * merchant, if there is one, and of roles that the user is a member of.  If
 * that is rolled back to a savepoint, the notes are gone all the same.
 */
void
b24_feed_forget(Oid serverid, const B24Account *account, Oid user,
				const char *const *codes, int count)
{
	HASH_SEQ_STATUS scan;
	Note	   *note;

	if (notes == NULL)
		return;
	hash_seq_init(&scan, notes);
	while ((note = hash_seq_search(&scan)) != NULL)
	{
		if (note->key.serverid != serverid ||
			bsearch(&note->key.code, codes, count, sizeof(char *), compare_texts) == NULL ||
			((account == NULL || account->number != note->key.account) &&
			 !has_privs_of_role(user, note->owner)))
			continue;
		answers -= note->has_answer;
		note->has_answer = note->has_told = false;
	}
}

/* ---- writing ---- */

static int
compare_notes(const void *a, const void *b)
{
	const Note *x = *(Note *const *) a;
	const Note *y = *(Note *const *) b;

	if (x->key.serverid != y->key.serverid)
		return x->key.serverid < y->key.serverid ? -1 : 1;
	if (strcmp(x->key.code, y->key.code) != 0)
		return strcmp(x->key.code, y->key.code);
	return x->key.account < y->key.account ? -1 : x->key.account > y->key.account;
}

/* All notes that say something, by server, code and merchant. */
static Note **
sorted_notes(int *count)
{
	Note	  **sorted = palloc(Max(hash_get_num_entries(notes), 1) * sizeof(Note *));
	HASH_SEQ_STATUS scan;
	Note	   *note;

	*count = 0;
	hash_seq_init(&scan, notes);
	while ((note = hash_seq_search(&scan)) != NULL)
	{
		if (note->has_told || note->has_answer)
			sorted[(*count)++] = note;
	}
	qsort(sorted, *count, sizeof(Note *), compare_notes);
	return sorted;
}

/* Does the mirror know already what the note's answer says? */
static bool
is_known(const Note *note, const B24Standing *standing,
		 const B24ServerSettings *settings, TimestampTz now)
{
	const B24Look *look = &note->look;
	int64		digest = look->outcome == B24_LOOK_GONE ? B24_DIGEST_GONE :
		look->customer.digest;

	return standing->has_digest && standing->digest == digest && !standing->failing &&
		standing->read_at != DT_NOBEGIN && standing->wanted_at <= standing->read_at &&
		(standing->has_remote_id || look->customer.remote_id == NULL) &&
		standing->read_at > now - settings->min_sync_s * USECS_PER_SEC;
}

/*
 * Writes notes of one server, at most BATCH; true if the worker has something
 * to do then.  Customers of whom nothing new was learnt are only read.
 */
static bool
write_batch(const char *server, const B24ServerSettings *settings, bool wait,
			Note *const *batch, int count, B24News *news)
{
	TimestampTz now = GetCurrentTimestamp();
	B24Standing *standing = palloc(count * sizeof(B24Standing));
	const char **codes = palloc(count * sizeof(char *));
	B24Told    *told = palloc(count * sizeof(B24Told));
	B24Look    *looks = palloc(count * sizeof(B24Look));
	int			told_count = 0;
	int			look_count = 0;
	int			locked = 0;

	for (int i = 0; i < count; i++)
		codes[i] = batch[i]->key.code;
	b24_tracked_standing(server, codes, count, standing);
	for (int i = 0; i < count; i++)
	{
		const Note *note = batch[i];
		const B24Standing *s = &standing[i];

		if (s->tracked &&
			b24_tracked_is_of_another(server, s->owner, note->owner,
										 note->key.account))
			continue;
		if (note->has_told &&
			(note->told.wants || !s->tracked || (s->failing && s->owner != note->told.owner)))
			told[told_count++] = note->told;
		if (note->has_answer && (s->tracked || note->has_told) &&
			!(s->tracked && is_known(note, s, settings, now)))
		{
			B24Look    *look = &looks[look_count++];

			*look = note->look;
			look->owner = note->owner;
			look->has_account = true;
			look->account = note->key.account;
		}
	}
	if (told_count > 0)
		b24_tracked_told(server, settings, wait, told, told_count, &locked);
	if (locked > 0)
		ereport(WARNING,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("the mirror was not told of changes of %d customers, which another transaction has locked",
						locked),
				 errhint(FEED_HINT)));
	if (look_count > 0 && !is_preparing)
		b24_mirror_write_calls(server, settings, looks, look_count, news);
	return told_count > 0 || look_count > 0;
}

/* Writes the notes of one server. */
static bool
write_server(Oid serverid, bool wait, Note *const *sorted, int count)
{
	ForeignServer *server = GetForeignServerExtended(serverid, FSV_MISSING_OK);
	MemoryContext scratch;
	MemoryContext old;
	B24ServerSettings settings;
	B24News		news = {.context = CurrentMemoryContext};
	bool		wake = false;

	if (server == NULL || !b24_server_settings(server->servername, &settings) ||
		!settings.mirror)
		return false;
	scratch = AllocSetContextCreate(CurrentMemoryContext, "bill24 notes",
									ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(scratch);
	for (int done = 0; done < count; done += BATCH)
	{
		B24Store	store;

		b24_store_open(&store);
		(void) set_config_option("lock_timeout", LOCK_TIMEOUT, PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
		if (write_batch(server->servername, &settings, wait, sorted + done,
						Min(BATCH, count - done), &news))
			wake = true;
		b24_store_close(&store);
		MemoryContextReset(scratch);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(scratch);
	b24_copies_tell(server->servername, &news);
	return wake;
}

static void
write_all(bool wait)
{
	int			count;
	Note	  **sorted = sorted_notes(&count);
	bool		wake = false;
	int			end;

	for (int begin = 0; begin < count; begin = end)
	{
		Oid			serverid = sorted[begin]->key.serverid;

		for (end = begin; end < count && sorted[end]->key.serverid == serverid; end++)
			;
		if (write_server(serverid, wait, sorted + begin, end - begin))
			wake = true;
	}
	if (wake)
		b24_wake_at_commit();
}

/* The same, with a snapshot. */
static void
write_now(void *wait)
{
	PushActiveSnapshot(GetTransactionSnapshot());
	write_all(*(bool *) wait);
	PopActiveSnapshot();
}

/*
 * Writes it in a subtransaction; the error, if there was one that is not to
 * end the transaction.
 */
static ErrorData *
write_apart(bool wait)
{
	MemoryContextSwitchTo(context);
	return b24_apart(write_now, &wait);
}

/*
 * The transaction is about to commit.  Nothing is written where nothing can
 * be, or if the extension or a server is gone by now.
 *
 * Others are waited for at first, which in the order of codes ends soon; if a
 * person has a customer locked, that one is passed over.  Where a transaction
 * keeps its first snapshot, a customer that is changed between a look at it and
 * its lock is an error, and all of it is tried again.
 */
static void
write_notes(void)
{
	MemoryContext old = CurrentMemoryContext;
	ErrorData  *error = NULL;
	bool		wait = true;

	if (XactReadOnly || !OidIsValid(get_extension_oid(B24_EXTENSION, true)))
		return;
	for (int tries = 0; tries < MAX_TRIES; tries++)
	{
		error = write_apart(wait);
		if (error == NULL ||
			(error->sqlerrcode != ERRCODE_T_R_SERIALIZATION_FAILURE &&
			 (error->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE || !wait)))
			break;
		wait = wait && error->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE;
	}
	if (error != NULL)
		ereport(WARNING,
				(errcode(error->sqlerrcode),
				 errmsg("the mirror could not be told of the calls of this transaction: %s",
						error->message),
				 errhint(FEED_HINT)));
	MemoryContextSwitchTo(old);
}
