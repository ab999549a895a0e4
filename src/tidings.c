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

#include "compat.h"

#include "apart.h"
#include "tidings.h"
#include "wake.h"

/* So many customers' news are kept; whoever locks more waits for the next look. */
#define MAX_LEFT 10000

/*
 * Somebody may have registered one of the customers and not committed yet;
 * there is no way to pass over what cannot be seen but to give up waiting.
 */
#define LOCK_TIMEOUT "20ms"

/* After so many failures in a transaction, the rest waits for the next try. */
#define MAX_FAILURES 10

/* What was left out is tried again so often. */
#define AGAIN_EVERY (1000 * INT64CONST(1000))

/* Is it time to try something again? */
bool
b24_tidings_are_due(const B24Destination *server)
{
	return server->untold.count > 0 && GetCurrentTimestamp() >= server->untold.again_at;
}

/* Is there something to be tried again, now or later? */
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

/* Keeps this for the time after the commit. */
static void
keep(B24Destination *server, const B24Told *told, int count, TimestampTz again_at)
{
	B24Untold  *kept = &server->untold_next;
	MemoryContext old;

	server->told = true;
	kept->context = AllocSetContextCreate(server->context, "bill24 untold",
										  ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(kept->context);
	kept->told = palloc(count * sizeof(B24Told));
	kept->again_at = again_at;
	for (int i = 0; i < count && kept->count < MAX_LEFT; i++)
	{
		B24Told    *t = &kept->told[kept->count];

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

/* What of a server is written together. */
typedef struct Batch
{
	B24Destination *server;
	B24Told    *told;
	int			count;
} Batch;

static void
write_batch(void *argument)
{
	Batch	   *batch = argument;
	int			settings = NewGUCNestLevel();
	int			locked;

	(void) set_config_option("lock_timeout", LOCK_TIMEOUT, PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	b24_tracked_told(batch->server->name, &batch->server->settings, false, batch->told,
					 batch->count, &locked);
	AtEOXact_GUC(true, settings);
}

/*
 * Writes it in a subtransaction; what could not be written is marked as locked.
 * False after an error, when nothing was.
 */
static bool
write_apart(B24Destination *server, B24Told *told, int count)
{
	Batch		batch = {server, told, count};
	ErrorData  *error = b24_apart(write_batch, &batch);

	if (error == NULL)
		return true;
	ereport(error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE ? DEBUG1 : LOG,
			(errcode(error->sqlerrcode),
			 errmsg("the mirror could not be told of deliveries: %s", error->message),
			 errdetail("It is tried again.")));
	return false;
}

/*
 * Writes it, after an error by halves, so that whoever is in the way of one
 * customer holds up no other.
 */
static void
write_by_halves(B24Destination *server, B24Told *told, int count, int *failures)
{
	if (count == 0)
		return;
	if (*failures < MAX_FAILURES)
	{
		if (write_apart(server, told, count))
			return;
		(*failures)++;
		if (count > 1)
		{
			write_by_halves(server, told, count / 2, failures);
			write_by_halves(server, told + count / 2, count - count / 2, failures);
			return;
		}
	}
	for (int i = 0; i < count; i++)
		told[i].locked = true;
}

/* Is there older news of the same customer that has to come first? */
static bool
has_to_wait(const B24Untold *untold, const B24Told *told)
{
	for (int i = 0; i < untold->count; i++)
	{
		if (strcmp(untold->told[i].sync_code, told->sync_code) == 0)
			return true;
	}
	return false;
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
	const B24Untold *untold = &server->untold;
	bool		due = b24_tidings_are_due(server);
	TimestampTz now = GetCurrentTimestamp();
	int			size = untold->count + count;
	B24Told    *waiting = palloc(Max(size, 1) * sizeof(B24Told));
	B24Told    *told = palloc(Max(size, 1) * sizeof(B24Told));
	int			wait_count = 0;
	int			n = 0;
	int			written;
	int			failures = 0;

	/* the transaction before may have come to nothing */
	forget(&server->untold_next);
	server->told = false;
	if (!server->settings.mirror)
	{
		forget(&server->untold);
		return;
	}
	for (int i = 0; i < untold->count; i++)
	{
		if (due)
			told[n++] = untold->told[i];
		else
			waiting[wait_count++] = untold->told[i];
	}
	for (int i = 0; i < count; i++, errand = errand->next)
	{
		if (strcmp(outcomes[i].state, "done") != 0 ||
			!b24_told(errand->endpoint, errand->arguments, errand->job->reply.result,
					  ((const B24Sender *) errand->user)->account, now, &told[n]))
			continue;
		if (!due && has_to_wait(untold, &told[n]))
			waiting[wait_count++] = told[n];
		else
			n++;
	}
	if (n == 0 && wait_count == untold->count)
		return;
	write_by_halves(server, told, n, &failures);
	written = n;
	for (int i = 0; i < n; i++)
	{
		if (told[i].locked)
		{
			waiting[wait_count++] = told[i];
			written--;
		}
	}
	if (wait_count > 0)
		keep(server, waiting, wait_count, due || untold->count == 0 ? now + AGAIN_EVERY :
			 untold->again_at);
	else
		server->told = untold->count > 0;

	/* whoever looks at customers may be another process, or asleep by then */
	if (written > 0)
		b24_wake_at_commit();
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
