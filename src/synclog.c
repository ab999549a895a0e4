/*-------------------------------------------------------------------------
 *
 * synclog.c
 *	  The transactions of the looks: what was found is written.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "compat.h"

#include "agenda.h"
#include "ledger.h"
#include "lookgroup.h"
#include "synclog.h"
#include "transaction.h"

/* A group with fewer members is dissolved. */
#define SMALL_GROUP (B24_GROUP_SIZE / 4)

/* After an error, the next try comes so late. */
#define PAUSE_MS 1000

/* What could not be written, through no fault of its own, is left alone so long. */
#define LEFT_ALONE_MS 10000

/* How often people are told how fast it goes. */
#define RATE_EVERY_MS 1000

/* What the next look finds is all there will be: one that cannot be written. */
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
write_looks(B24Sync *sync, B24Site *site)
{
	B24Look    *looks = palloc(Max(site->writing, 1) * sizeof(B24Look));
	B24Written	written;
	int			n = 0;

	for (B24Visit *v = site->ended.first; v != NULL && n < site->writing; v = v->next)
	{
		b24_visit_find(v);
		looks[n++] = v->look;
	}
	b24_mirror_write(site->server->name, &site->server->settings, looks, n, true,
					 &written);
	if (written.next_look_at != DT_NOEND)
		site->next_look_at = Min(site->next_look_at, written.next_look_at);
	site->due_again_at = written.next_look_at;

	/* some are not written: their groups were not looked at as a whole */
	if (written.skipped > 0)
	{
		for (B24Visit *v = site->ended.first; v != NULL; v = v->next)
		{
			if (v->group != NULL)
				v->group->spoiled = true;
		}
		sync->look_over_at_ms = b24_earlier_ms(sync->look_over_at_ms,
											   b24_now_ms() + B24_LOCKED_EVERY_MS);
	}
}

/* They are written. */
static void
drop_looks(B24Sync *sync, B24Site *site)
{
	for (; site->writing > 0; site->writing--)
	{
		B24Visit   *visit = b24_visit_pop(&site->ended);

		sync->ended--;
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

/* Writes what was found and takes up what is due; false after an error. */
static bool
work(B24Sync *sync, bool look)
{
	volatile bool ok = true;
	B24Store	store;

	PG_TRY();
	{
		b24_transaction_begin(&store, sync->in_call);
		for (B24Site *s = sync->sites; s != NULL; s = s->next)
		{
			write_looks(sync, s);
			for (B24VisitGroup *g = s->writing_groups; g != NULL; g = g->next)
				write_group(s, g);
			note_rate(s);
		}
		if (look)
			b24_takeup_heed_news(sync);
		for (B24Site *s = sync->sites; s != NULL && look && sync->is_ours; s = s->next)
		{
			if (b24_takeup_is_wanted(sync, s))
				b24_takeup(sync, s);
		}
		b24_transaction_commit(&store, sync->in_call, false, sync->scratch);
	}
	PG_CATCH();
	{
		ok = false;
		sync->error_passes = is_passing(geterrcode());
		b24_transaction_failed(sync->in_call, sync->scratch);
	}
	PG_END_TRY();
	return ok;
}

/*
 * Gives up one that something else is in the way of, such as a lock.  It is due
 * as before, but is not to hold up the others again and again.
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
	entry->left_until_ms = b24_now_ms() + LEFT_ALONE_MS;
	sync->look_over_at_ms = b24_earlier_ms(sync->look_over_at_ms, entry->left_until_ms);
}

/* After an error: one by one, until the one is found that it comes from. */
static void
after_error(B24Sync *sync)
{
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
		B24Visit   *visit = s->ended.first;
		B24VisitGroup **last = &s->through;

		while (*last != NULL)
			last = &(*last)->next;
		*last = s->writing_groups;
		s->writing_groups = NULL;
		if (visit != NULL && sync->one_by_one && sync->error_passes)
		{
			sync->ended--;
			leave_alone(sync, s, b24_visit_pop(&s->ended));
		}
		else if (visit != NULL && sync->one_by_one)
		{
			if (visit->look.sqlstate == NULL || strcmp(visit->look.sqlstate, "XX000") != 0)
				make_unwritable(visit);
			else
			{
				/* not even that: nobody takes it up again before we end */
				(void) b24_visit_pop(&s->ended);
				sync->ended--;
				if (visit->group != NULL)
				{
					visit->group->spoiled = true;
					b24_site_finish_group(sync, s, visit->group);
				}
				b24_visit_free(visit);
			}
		}
		b24_site_rewind(s, DT_NOBEGIN);
	}
	sync->one_by_one = true;
	sync->paused_until_ms = b24_now_ms() + PAUSE_MS;
	b24_takeup_watch_servers();
}

/*
 * Writes what was found and takes up what is due, in one transaction.  An error
 * is told of, and the next one comes a little later.
 */
void
b24_synclog_write(B24Sync *sync, bool look)
{
	sync->taken = NULL;
	for (B24Site *s = sync->sites; s != NULL; s = s->next)
	{
		s->writing = sync->one_by_one ? Min(s->ended.count, 1) : s->ended.count;
		s->writing_groups = s->through;
		s->through = NULL;
	}
	if (!work(sync, look))
	{
		after_error(sync);
		return;
	}
	if (look)
		sync->since = DT_NOEND;
	for (B24Site *s = sync->sites; s != NULL; s = s->next)
	{
		drop_groups(sync, s);
		drop_looks(sync, s);
	}
	if (sync->ended == 0)
		sync->one_by_one = false;
}
