/*-------------------------------------------------------------------------
 *
 * takeup.c
 *	  Customers that are due are taken up.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"
#include "utils/inval.h"
#include "utils/syscache.h"

#include "agenda.h"
#include "backlog.h"
#include "clock.h"
#include "home.h"
#include "lease.h"
#include "lookgroup.h"
#include "takeup.h"
#include "tracked.h"

/* So many restored customers are taken out of groups of another mirror at once. */
#define MAX_RELEASED 10000

/* Prepared ahead of what is in flight, at least. */
#define MIN_STOCK 8

/* Who cannot even be taken up for an error is passed over so long. */
#define PASSED_OVER_MS (10 * 60 * 1000)

static bool servers_changed = true;

static void
note_servers_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	servers_changed = true;
}

/* From here on, and now, servers are looked at when they have changed. */
void
b24_takeup_watch_servers(void)
{
	static bool registered = false;

	if (!registered)
		CacheRegisterSyscacheCallback(FOREIGNSERVEROID, note_servers_changed, (Datum) 0);
	registered = true;
	servers_changed = true;
}

static int
target_of(const B24Site *site)
{
	const B24Limits *limits = &site->server->settings.limits;
	int			target = Min(Max(2 * limits->max_in_flight, MIN_STOCK), B24_MAX_STOCK);

	if (limits->max_per_second > 0)
		target = Min(target, limits->max_per_second);
	return target;
}

/* Is it time to look what is due? */
bool
b24_takeup_is_wanted(const B24Sync *sync, const B24Site *site)
{
	return site->more && site->stock.count <= target_of(site) / 2 &&
		b24_now_ms() >= site->blocked_until_ms &&
		!b24_delivery_wants(sync->delivery, site->server->name);
}

/* Has a customer visited; false if it is on its way already. */
static bool
take_up(B24Sync *sync, B24Site *site, const char *sync_code, Oid owner,
		TimestampTz due_at, B24VisitGroup *group, const int64 *digest)
{
	uint64		hash = b24_visit_hash(site->server->name, sync_code);
	B24UnderWay *entry;
	B24Visit   *visit;
	bool		is_ready;
	bool		found;

	entry = hash_search(sync->under_way, &hash, HASH_ENTER, &found);
	if (found && entry->left_until_ms > 0)
	{
		if (b24_now_ms() < entry->left_until_ms)
		{
			sync->look_over_at_ms = b24_earlier_ms(sync->look_over_at_ms,
												   entry->left_until_ms);
			return false;
		}
	}
	else if (found)
	{
		/*
		 * A group comes again by itself, since it is spoiled.  Who looks over
		 * all again meets what is on its way, which is still due as it was.
		 */
		if (group == NULL && due_at != entry->due_at)
		{
			entry->due_again = true;
			entry->again_at = due_at;
		}
		return false;
	}
	entry->due_at = due_at;
	entry->due_again = false;
	entry->left_until_ms = b24_now_ms() + PASSED_OVER_MS;
	visit = b24_visit_new(sync->visits, site->server->name, sync_code, owner);
	if (digest != NULL)
	{
		visit->has_digest = true;
		visit->digest = *digest;
	}
	sync->being_prepared = visit;
	is_ready = b24_visit_prepare(visit, site->server, sync->inbox);
	sync->being_prepared = NULL;
	entry->left_until_ms = 0;
	visit->group = group;
	if (group != NULL)
		group->open++;
	if (is_ready)
		b24_visit_push(&site->stock, visit);
	else
		b24_site_put(sync, site, visit);
	return true;
}

/* Takes up customers that are looked at alone; returns how many were due. */
static int
take_up_customers(B24Sync *sync, B24Site *site, TimestampTz now, int limit)
{
	List	   *due = b24_agenda_due(site->server->name, now, site->customers.at,
									 site->customers.code, limit);
	ListCell   *cell;

	foreach(cell, due)
	{
		B24DueCustomer *c = lfirst(cell);

		(void) take_up(sync, site, c->sync_code, c->owner, c->due_at, NULL, NULL);
		site->customers.at = c->due_at;
		strlcpy(site->customers.code, c->sync_code, sizeof(site->customers.code));
	}
	return list_length(due);
}

static void
take_up_group(B24Sync *sync, B24Site *site, const B24DueGroup *due, TimestampTz now)
{
	List	   *members = b24_group_members(due->id);
	B24VisitGroup *group = MemoryContextAllocZero(sync->context, sizeof(B24VisitGroup));
	ListCell   *cell;

	group->id = due->id;
	group->looked_at = due->looked_at;
	group->started_at = now;
	group->members = list_length(members);
	group->next_under_way = sync->groups;
	sync->groups = group;
	group->open = 1;			/* until all have been taken up */
	sync->being_taken = group;
	foreach(cell, members)
	{
		B24Member  *m = lfirst(cell);

		if (!take_up(sync, site, m->sync_code, m->owner, now, group, &m->digest))
			group->spoiled = true;
	}
	sync->being_taken = NULL;
	if (group->open > 1)
	{
		group->next_taken = sync->taken;
		sync->taken = group;
	}
	b24_site_finish_group(sync, site, group);
}

/* The same for groups; returns how many customers those may have. */
static int
take_up_groups(B24Sync *sync, B24Site *site, TimestampTz now, int limit)
{
	List	   *due = b24_group_due(site->server->name, now, site->groups.at,
									site->groups.id, (limit - 1) / B24_GROUP_SIZE + 1);
	ListCell   *cell;

	foreach(cell, due)
	{
		B24DueGroup *g = lfirst(cell);

		if (!b24_site_has_group(sync, g->id))
			take_up_group(sync, site, g, now);
		site->groups.at = g->due_at;
		site->groups.id = g->id;
	}
	return list_length(due) * B24_GROUP_SIZE;
}

void
b24_takeup(B24Sync *sync, B24Site *site)
{
	TimestampTz now = GetCurrentTimestamp();
	int			limit;

	b24_destination_load(site->server);
	limit = target_of(site) - site->stock.count;
	if (!site->server->settings.mirror || site->server->settings.limits.serverid == InvalidOid)
	{
		site->more = false;
		site->next_look_at = DT_NOEND;
		return;
	}

	/* there is more than is wanted, since the limits were lowered */
	if (limit <= 0)
		return;

	/* the clock was set back */
	if (site->customers.at > now || site->groups.at > now)
		b24_site_rewind(site, DT_NOBEGIN);
	limit -= take_up_customers(sync, site, now, limit);
	if (limit > 0)
		limit -= take_up_groups(sync, site, now, limit);
	site->more = limit <= 0;
	if (!site->more)
		site->next_look_at = b24_agenda_next(site->server->name, now);
}

/* All servers, now and when they have changed; false if they have not. */
static bool
load_sites(B24Sync *sync)
{
	ListCell   *cell;
	List	   *names;

	if (!servers_changed)
		return false;
	names = b24_backlog_known_servers();
	servers_changed = false;
	foreach(cell, names)
	{
		MemoryContext old = MemoryContextSwitchTo(sync->context);
		B24Destination *server = b24_destination_find(&sync->destinations, lfirst(cell));
		B24Site	   *site = sync->sites;

		while (site != NULL && site->server != server)
			site = site->next;
		if (site == NULL)
		{
			site = palloc0(sizeof(B24Site));
			site->server = server;
			site->due_again_at = DT_NOEND;
			site->next = sync->sites;
			sync->sites = site;
		}
		b24_site_rewind(site, DT_NOBEGIN);
		MemoryContextSwitchTo(old);
	}
	return true;
}

/* Plans that are of a longer sync_interval than servers have now; false if some were left. */
static bool
shorten_plans(B24Sync *sync)
{
	bool		all = true;

	for (B24Site *s = sync->sites; s != NULL; s = s->next)
	{
		b24_destination_load(s->server);
		if (s->server->settings.mirror && s->server->settings.limits.serverid != InvalidOid &&
			!b24_agenda_shorten(s->server->name, s->server->settings.max_sync_s))
			all = false;
	}
	return all;
}

/* Nobody is looked at from a copy; who adopts it wakes us. */
static void
stay_away(B24Sync *sync)
{
	for (B24Site *s = sync->sites; s != NULL; s = s->next)
	{
		s->more = false;
		s->next_look_at = DT_NOEND;
	}
}

/* Is there news of what is due? */
void
b24_takeup_heed_news(B24Sync *sync)
{
	bool		was_ours = sync->is_ours;
	bool		loaded = load_sites(sync);
	bool		look_over = sync->look_over_at_ms >= 0 &&
		b24_now_ms() >= sync->look_over_at_ms;

	if (!was_ours)
		sync->is_ours = b24_lease_looks();
	if (sync->is_ours && (loaded || !was_ours || (look_over && sync->shorten_again)))
		sync->shorten_again = !shorten_plans(sync);
	if (look_over)
	{
		sync->since = DT_NOBEGIN;
		sync->look_over_at_ms = -1;
	}
	if (sync->shorten_again)
		sync->look_over_at_ms = b24_earlier_ms(sync->look_over_at_ms,
											   b24_now_ms() + B24_LOCKED_EVERY_MS);
	if (sync->is_ours && (sync->since == DT_NOBEGIN || !was_ours))
	{
		/* a dump may have been restored since we started */
		if (!b24_home_is_here())
		{
			stay_away(sync);
			return;
		}
		if (b24_tracked_release_restored(MAX_RELEASED) >= MAX_RELEASED)
			sync->look_over_at_ms = b24_now_ms();
	}
	for (B24Site *s = sync->sites; s != NULL; s = s->next)
	{
		if (sync->since != DT_NOEND)
			b24_site_rewind(s, sync->since);
		else if (s->next_look_at <= GetCurrentTimestamp())
			s->more = true;
	}
}
