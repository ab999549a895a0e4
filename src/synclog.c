/*-------------------------------------------------------------------------
 *
 * synclog.c
 *	  The transactions of the looks: what was found is written.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"
#include "utils/guc.h"

#include "agenda.h"
#include "apart.h"
#include "clock.h"
#include "lookgroup.h"
#include "synclog.h"
#include "transaction.h"

/* A group with fewer members is dissolved. */
#define SMALL_GROUP (B24_GROUP_SIZE / 4)

/* After an error, the next try comes so late. */
#define PAUSE_MS 1000

/* After so many customers that could not be written, the others wait for the next try. */
#define MAX_FAILURES 10

/* Written one by one, nobody holds up the others for longer than that. */
#define LOCK_TIMEOUT "20ms"

/* How often people are told how fast it goes. */
#define RATE_EVERY_MS 1000

/* What is to be told of a customer in its place, if what was read cannot be written. */
static void
make_unwritable(B24Visit *visit)
{
	visit->look.outcome = B24_LOOK_FAILED;
	visit->look.sqlstate = "XX000";
	visit->look.error = "what was read could not be written; the server's log tells why";
	visit->look.patient = true;
	visit->is_found = true;
}

static void
write_looks(B24Sync *sync, B24Site *site, B24Visit *first, int count)
{
	B24Look    *looks = palloc(Max(count, 1) * sizeof(B24Look));
	B24Visit   *visit = first;
	B24Written	written;

	for (int i = 0; i < count; i++, visit = visit->next)
	{
		b24_visit_find(visit);
		visit->left_alone = false;
		looks[i] = visit->look;
		looks[i].owner = visit->owner;
		looks[i].has_account = visit->sender != NULL;
		if (visit->sender != NULL)
			looks[i].account = visit->sender->account->number;
	}
	b24_mirror_write(site->server->name, &site->server->settings, looks, count, &written);
	site->next_look_at = Min(site->next_look_at, written.next_look_at);
	site->due_again_at = Min(site->due_again_at, written.next_look_at);

	/* some are not written: their groups were not looked at as a whole */
	if (written.skipped > 0)
	{
		long		wait_ms = B24_LOCKED_EVERY_MS;

		visit = first;
		for (int i = 0; i < count; i++, visit = visit->next)
		{
			if (visit->group == NULL)
				continue;
			visit->group->spoiled = true;
			wait_ms = B24_LEFT_ALONE_MS;
		}
		sync->look_over_at_ms = b24_earlier_ms(sync->look_over_at_ms, b24_now_ms() + wait_ms);
	}
}

/*
 * Gives up one that something is in the way of, such as a lock.  It is due as
 * before, but is not to hold up the others again and again.
 */
static void
leave_alone(B24Sync *sync, B24Site *site, B24Visit *visit)
{
	B24UnderWay *entry;
	bool		found;
	uint64		hash = visit->hash;

	b24_site_give_up(sync, site, visit);
	entry = hash_search(sync->under_way, &hash, HASH_ENTER, &found);
	entry->due_again = false;
	entry->left_until_ms = b24_now_ms() + B24_LEFT_ALONE_MS;
	sync->look_over_at_ms = b24_earlier_ms(sync->look_over_at_ms, entry->left_until_ms);
}

/* They are written, or cannot be. */
static void
drop_looks(B24Sync *sync, B24Site *site)
{
	for (; site->writing > 0; site->writing--)
	{
		B24Visit   *visit = b24_visit_pop(&site->ended);

		sync->ended--;
		if (visit->left_alone)
		{
			leave_alone(sync, site, visit);
			continue;
		}
		if (visit->group != NULL)
		{
			visit->group->left++;
			b24_site_finish_group(sync, site, visit->group);
		}
		b24_site_drop(sync, site, visit);
	}

	/* not earlier, since nobody is taken up who is on his way */
	if (site->due_again_at <= GetCurrentTimestamp())
		b24_site_rewind(site, site->due_again_at);
}

static void
write_group(B24Site *site, const B24VisitGroup *group)
{
	const B24ServerSettings *settings = &site->server->settings;
	int			left = group->members - group->left;
	TimestampTz next = b24_jittered(group->started_at, settings->max_sync_s);
	TimestampTz now = GetCurrentTimestamp();

	/* others were taken up meanwhile, and nobody looks at what is due before them */
	next = Max(next, now);

	b24_group_write(group->id, group->started_at, left, next);
	if (left > 0 && left < SMALL_GROUP && group->members > left)
		b24_group_dissolve(group->id, next);
	site->next_look_at = Min(site->next_look_at, next);
}

static void
drop_groups(B24Sync *sync, B24Site *site)
{
	while (site->writing_groups != NULL)
	{
		B24VisitGroup *group = site->writing_groups;

		site->writing_groups = group->next;

		/* it is still due */
		if (group->spoiled)
			sync->look_over_at_ms = b24_earlier_ms(sync->look_over_at_ms,
												   b24_now_ms() + B24_LEFT_ALONE_MS);
		pfree(group);
		sync->ended--;
	}
}

static void
note_rate(B24Site *site)
{
	int64		now = b24_now_ms();
	int64		elapsed = now - site->rate_at_ms;

	if (elapsed < RATE_EVERY_MS)
		return;
	if (site->looks > 0 && elapsed < 10 * RATE_EVERY_MS)
		b24_agenda_note_rate(site->server->name, site->looks * 1000.0 / elapsed);
	site->looks = 0;
	site->rate_at_ms = now;
}

/* Does an error come of this server's state, and not of what was to be written? */
static bool
is_passing(int sqlstate)
{
	int			class = ERRCODE_TO_CATEGORY(sqlstate);

	return class == ERRCODE_TO_CATEGORY(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE) ||
		class == ERRCODE_TO_CATEGORY(ERRCODE_INSUFFICIENT_RESOURCES) ||
		class == ERRCODE_TO_CATEGORY(ERRCODE_OPERATOR_INTERVENTION) ||
		class == ERRCODE_TO_CATEGORY(ERRCODE_TRANSACTION_ROLLBACK) ||
		class == ERRCODE_TO_CATEGORY(ERRCODE_IO_ERROR);
}

/* What of a site is written together. */
typedef struct Batch
{
	B24Sync    *sync;
	B24Site    *site;
	B24Visit   *first;			/* of so many visits */
	int			count;
	const B24VisitGroup *groups;
	bool		all;			/* that there is, or one visit or group by itself */
} Batch;

static void
write_batch(void *argument)
{
	const Batch *b = argument;
	int			settings = NewGUCNestLevel();

	if (!b->all)
		(void) set_config_option("lock_timeout", LOCK_TIMEOUT, PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	if (b->count > 0)
		write_looks(b->sync, b->site, b->first, b->count);
	for (const B24VisitGroup *g = b->groups; g != NULL; g = b->all ? g->next : NULL)
		write_group(b->site, g);
	if (b->all)
		note_rate(b->site);
	AtEOXact_GUC(true, settings);
}

/*
 * Writes it in a subtransaction.  False after an error, which is told to the
 * log; nothing was written then.
 */
static bool
write_apart(Batch *b, int *sqlstate)
{
	const char *server = b->site->server->name;
	ErrorData  *error = b24_apart(write_batch, b);

	if (error == NULL)
		return true;
	*sqlstate = error->sqlerrcode;
	ereport(LOG,
			(errcode(error->sqlerrcode),
			 b->all ? errmsg("what was found at customers of server \"%s\" could not be written together: %s",
							 server, error->message) :
			 b->count > 0 ? errmsg("what was found at customer \"%s\" of server \"%s\" could not be written: %s",
								   b->first->look.sync_code, server, error->message) :
			 errmsg("that a group of customers of server \"%s\" was looked at could not be written: %s",
					server, error->message),
			 error->detail != NULL ? errdetail_internal("%s", error->detail) : 0,
			 error->context != NULL ? (errcontext("%s", error->context)) : 0));
	FreeErrorData(error);
	return false;
}

static bool
write_visit(B24Sync *sync, B24Site *site, B24Visit *visit, int *sqlstate)
{
	Batch		one = {sync, site, visit, 1, NULL, false};

	return write_apart(&one, sqlstate);
}

static bool
write_one_group(B24Sync *sync, B24Site *site, const B24VisitGroup *group, int *sqlstate)
{
	Batch		one = {sync, site, NULL, 0, group, false};

	return write_apart(&one, sqlstate);
}

/*
 * Writes what was found at a server's customers: together, and after an error
 * one by one, so that who cannot be written is known, and no other is blamed or
 * held up.
 */
static void
write_site(B24Sync *sync, B24Site *site)
{
	B24Visit   *visit = site->ended.first;
	Batch		all = {sync, site, visit, site->ended.count, site->writing_groups, true};
	int			failures = 0;
	int			sqlstate = 0;

	site->writing = site->ended.count;
	site->due_again_at = DT_NOEND;
	if (site->writing == 0 && site->writing_groups == NULL && site->looks == 0)
	{
		note_rate(site);
		return;
	}
	if (write_apart(&all, &sqlstate))
		return;
	for (site->writing = 0; visit != NULL && failures < MAX_FAILURES; visit = visit->next)
	{
		site->writing++;
		if (write_visit(sync, site, visit, &sqlstate))
			continue;
		failures++;
		if (!is_passing(sqlstate))
		{
			make_unwritable(visit);
			if (write_visit(sync, site, visit, &sqlstate))
				continue;
		}
		visit->left_alone = true;
	}
	if (visit != NULL)
		sync->paused_until_ms = b24_now_ms() + PAUSE_MS;
	for (B24VisitGroup *g = site->writing_groups; g != NULL; g = g->next)
		g->spoiled = !write_one_group(sync, site, g, &sqlstate);
}

/* Writes what was found and takes up what is due; false after an error. */
static bool
work(B24Sync *sync, bool take_up)
{
	static B24Statement check_now = {"SET CONSTRAINTS ALL IMMEDIATE", 0, {NULL}};
	volatile bool ok = true;
	B24Store	store;

	PG_TRY();
	{
		b24_transaction_begin(&store, sync->in_call);

		/* the error may have come with the commit, which blames nobody */
		if (sync->careful)
			b24_store_run(&check_now, NULL, NULL);
		for (B24Site *s = sync->sites; s != NULL; s = s->next)
			write_site(sync, s);
		if (take_up)
			b24_takeup_heed_news(sync);
		for (B24Site *s = sync->sites; s != NULL && take_up && sync->is_ours; s = s->next)
		{
			if (b24_takeup_is_wanted(sync, s))
				b24_takeup(sync, s);
		}
		b24_transaction_commit(&store, sync->in_call, false, sync->scratch);
	}
	PG_CATCH();
	{
		ok = false;
		b24_transaction_failed(sync->in_call, sync->scratch);
	}
	PG_END_TRY();
	return ok;
}

/* After an error that was nobody's: all is as before, and tried again. */
static void
after_error(B24Sync *sync)
{
	/* whom it came from is passed over for a while: see take_up */
	if (sync->being_prepared != NULL)
		b24_visit_free(sync->being_prepared);
	sync->being_prepared = NULL;

	/* those that were taken up are still open to others, who may join them */
	for (B24VisitGroup *g = sync->taken; g != NULL; g = g->next_taken)
		g->spoiled = true;
	if (sync->being_taken != NULL)
	{
		sync->being_taken->spoiled = true;
		b24_site_finish_group(sync, NULL, sync->being_taken);
		sync->being_taken = NULL;
	}
	for (B24Site *s = sync->sites; s != NULL; s = s->next)
	{
		B24VisitGroup **last = &s->through;

		while (*last != NULL)
			last = &(*last)->next;
		*last = s->writing_groups;
		s->writing_groups = NULL;
		s->writing = 0;
		b24_site_rewind(s, DT_NOBEGIN);
	}
	sync->careful = true;
	sync->paused_until_ms = b24_now_ms() + PAUSE_MS;
	b24_takeup_watch_servers();
}

/*
 * Writes what was found and takes up what is due, in one transaction.  An error
 * is told of, and the next one comes a little later; that only writes, so that
 * what cannot be taken up does not keep from being written what was found.
 */
void
b24_synclog_write(B24Sync *sync, bool look)
{
	bool		take_up = look && !(sync->careful && sync->ended > 0);

	sync->taken = NULL;
	for (B24Site *s = sync->sites; s != NULL; s = s->next)
	{
		s->writing_groups = s->through;
		s->through = NULL;
	}
	if (!work(sync, take_up))
	{
		after_error(sync);
		return;
	}
	if (take_up)
		sync->since = DT_NOEND;
	for (B24Site *s = sync->sites; s != NULL; s = s->next)
	{
		drop_groups(sync, s);
		drop_looks(sync, s);
	}
	sync->careful = false;
}
