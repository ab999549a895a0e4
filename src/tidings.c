/*-------------------------------------------------------------------------
 *
 * tidings.c
 *	  What the deliveries of the outbox tell the mirror.
 *
 * It is written in the transaction that writes the outcomes, but never in
 * their way: in a subtransaction of its own, and without waiting for a person
 * who has a customer's row locked.  What could not be written for that reason
 * is kept, and tried again a little later.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "compat.h"
#include "utils/resowner.h"

#include "tidings.h"

/* So many customers' news are kept; whoever locks more waits for the next look. */
#define MAX_LEFT 10000

/*
 * Somebody may have registered one of the customers and not committed yet;
 * there is no way to pass over what cannot be seen but to give up waiting.
 */
#define LOCK_TIMEOUT "20ms"

/* Is there something to be tried again? */
bool
b24_tidings_are_left(const B24Destination *server)
{
	return server->untold.count > 0 || server->untold_next.count > 0;
}

static char *
copy_text(const char *text)
{
	return text != NULL ? pstrdup(text) : NULL;
}

static void
forget(B24Untold *untold)
{
	if (untold->context != NULL)
		MemoryContextDelete(untold->context);
	memset(untold, 0, sizeof(*untold));
}

/* Keeps what was left out, for the time after the commit. */
static void
keep(B24Destination *server, const B24Told *told, int count)
{
	B24Untold  *kept = &server->untold_next;
	MemoryContext old;

	server->told = true;
	kept->context = AllocSetContextCreate(server->context, "bill24 untold",
										  ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(kept->context);
	kept->told = palloc(count * sizeof(B24Told));
	for (int i = 0; i < count && kept->count < MAX_LEFT; i++)
	{
		B24Told    *t = &kept->told[kept->count];

		if (!told[i].locked)
			continue;
		*t = told[i];
		t->sync_code = copy_text(t->sync_code);
		t->name = copy_text(t->name);
		t->phone = copy_text(t->phone);
		t->email = copy_text(t->email);
		t->remote_id = copy_text(t->remote_id);
		kept->count++;
	}
	MemoryContextSwitchTo(old);
}

/*
 * Writes it, and returns how much could not be, which is marked as locked:
 * after an error, all of it.
 */
static int
write_apart(B24Destination *server, B24Told *told, int count)
{
	MemoryContext old = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile int locked = 0;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(old);
	PG_TRY();
	{
		int			settings = NewGUCNestLevel();
		int			left;

		(void) set_config_option("lock_timeout", LOCK_TIMEOUT, PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
		b24_tracked_told(server->name, &server->settings, false, told, count,
						 &left);
		AtEOXact_GUC(true, settings);
		locked = left;
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(old);
		error = CopyErrorData();
		if (error->sqlerrcode == ERRCODE_QUERY_CANCELED)
			PG_RE_THROW();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(old);
		ereport(error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE ? DEBUG1 : LOG,
				(errcode(error->sqlerrcode),
				 errmsg("the mirror could not be told of deliveries: %s", error->message),
				 errdetail("It is tried again.")));
		for (int i = 0; i < count; i++)
			told[i].locked = true;
		locked = count;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	CurrentResourceOwner = owner;
	return locked;
}

/*
 * Tells the mirror what these outcomes of a server's first errands that have
 * ended mean, and what was left over before.  Between b24_store_open and
 * b24_store_close.
 */
void
b24_tidings_tell(B24Destination *server, const B24Outcome *outcomes, int count)
{
	const B24Errand *errand = server->ended.first;
	TimestampTz now = GetCurrentTimestamp();
	B24Told    *told;
	int			n = 0;

	/* the transaction before may have come to nothing */
	forget(&server->untold_next);
	server->told = false;
	if (!server->settings.mirror)
	{
		forget(&server->untold);
		return;
	}
	told = palloc((server->untold.count + count + 1) * sizeof(B24Told));
	for (int i = 0; i < server->untold.count; i++)
		told[n++] = server->untold.told[i];
	for (int i = 0; i < count; i++, errand = errand->next)
	{
		if (strcmp(outcomes[i].state, "done") == 0 &&
			b24_told(errand->endpoint, errand->arguments, errand->job->reply.result,
					 ((const B24Sender *) errand->user)->account->userid, now, &told[n]))
			n++;
	}
	if (n == 0)
		return;
	if (write_apart(server, told, n) > 0)
		keep(server, told, n);
	else
		server->told = server->untold.count > 0;
}

/* The transaction has committed: what it left out is what is left. */
void
b24_tidings_committed(B24Destination *server)
{
	if (!server->told)
		return;
	forget(&server->untold);
	server->untold = server->untold_next;
	memset(&server->untold_next, 0, sizeof(server->untold_next));
	server->told = false;
}
