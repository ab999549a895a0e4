/*-------------------------------------------------------------------------
 *
 * sync.c
 *	  Looks at the customers that are mirrored.
 *
 * One process of a database does that, over the same connections and limits
 * as the delivery of the outbox, which comes first: a look is only sent to a
 * server for which no job waits.  What is under way is known to this process
 * alone.  When it ends, nothing is lost: the customers are due as before.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "compat.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/syscache.h"

#include "agenda.h"
#include "backlog.h"
#include "ledger.h"
#include "lease.h"
#include "lookgroup.h"
#include "sync.h"
#include "transaction.h"
#include "visit.h"

/* What was found is written when there is so much, or it has waited so long. */
#define LOOKS_AT_ONCE 128
#define LOOK_PATIENCE_MS 50

/* Prepared ahead of what is in flight: at least, and at most. */
#define MIN_STOCK 8
#define MAX_STOCK 1024

/* Of the requests that may be in flight, one in so many is left to others, up to. */
#define SHARE_OF_OTHERS 8
#define MOST_FOR_OTHERS 16

/* A group with fewer members is dissolved. */
#define SMALL_GROUP (B24_GROUP_SIZE / 4)

/* After an error, or what somebody has locked, the next try comes so late. */
#define PAUSE_MS 1000
#define LOCKED_EVERY_MS 2000

/* What could not be written, through no fault of its own, is left alone so long. */
#define LEFT_ALONE_MS 10000

/* Who wakes us has committed, but may not have told the caches until then. */
#define CACHES_MS 1000

/* How often people are told how fast it goes. */
#define RATE_EVERY_MS 1000

typedef struct Queue
{
	B24Visit   *first;
	B24Visit  **tail;
	int			count;
} Queue;

/* A place in the order in which customers, or groups, are due. */
typedef struct Place
{
	TimestampTz at;
	char		code[512];		/* longer ones are looked at twice, at worst */
	int64		id;
} Place;

/* A server that has customers. */
typedef struct Site
{
	struct Site *next;
	B24Destination *server;
	Queue		stock;			/* to be sent */
	Queue		ended;			/* to be written */
	B24VisitGroup *through;		/* groups to be written */
	int			writing;		/* of those that ended, in this transaction */
	TimestampTz due_again_at;	/* the first of those */
	B24VisitGroup *writing_groups;
	int			in_flight;
	Place		customers;		/* what lies before has been taken up */
	Place		groups;
	bool		more;			/* there may be more that is due */
	TimestampTz next_look_at;	/* when something is due, if there is no more now */
	int64		blocked_until_ms;
	bool		holding;		/* of what is in stock, the server wants nothing yet */
	int64		looks;			/* since the rate was told */
	int64		rate_at_ms;
} Site;

/* A customer that is on its way. */
typedef struct UnderWay
{
	uint64		hash;			/* first: the key */
	TimestampTz due_at;
	bool		due_again;		/* has come due meanwhile, at again_at */
	TimestampTz again_at;
	int64		left_until_ms;	/* not on its way, but left alone; else 0 */
} UnderWay;

struct B24Sync
{
	MemoryContext context;
	MemoryContext visits;
	MemoryContext scratch;
	B24Delivery *delivery;
	bool		in_call;
	bool		is_ours;		/* this process is the one that looks */
	B24Inbox   *inbox;
	B24Destination *destinations;
	Site	   *sites;
	HTAB	   *under_way;		/* of UnderWay */
	int			in_flight;
	int			ended;
	int64		ended_since_ms;
	B24VisitGroup *taken;		/* in this transaction */
	TimestampTz since;			/* what is due since then is to be taken up */
	int64		paused_until_ms;
	int64		look_over_at_ms;	/* when to take up all again, or -1 */
	bool		one_by_one;		/* after an error: which one was it? */
	bool		error_passes;	/* the last error was nobody's fault */
};

static bool servers_changed = true;

static void
note_servers_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	servers_changed = true;
}

static void
push(Queue *queue, B24Visit *visit)
{
	if (queue->count++ == 0)
		queue->tail = &queue->first;
	visit->next = NULL;
	*queue->tail = visit;
	queue->tail = &visit->next;
}

static B24Visit *
pop(Queue *queue)
{
	B24Visit   *visit = queue->first;

	if (visit != NULL)
	{
		queue->first = visit->next;
		queue->count--;
	}
	return visit;
}

static void
rewind_place(Place *place, TimestampTz to)
{
	if (to > place->at)
		return;
	place->at = to;
	place->code[0] = '\0';
	place->id = 0;
}

/* Takes up again what is due since then. */
static void
rewind_site(Site *site, TimestampTz to)
{
	rewind_place(&site->customers, to);
	rewind_place(&site->groups, to);
	site->more = true;
}

/*
 * The end of visits
 */
static void
finish_group(B24Sync *sync, Site *site, B24VisitGroup *group)
{
	if (--group->open > 0)
		return;
	if (group->spoiled)
	{
		/* it is still due, but not so soon that it would go round and round */
		sync->look_over_at_ms = b24_earlier_ms(sync->look_over_at_ms,
											   b24_now_ms() + LOCKED_EVERY_MS);
		pfree(group);
		return;
	}
	group->next = site->through;
	site->through = group;
	if (sync->ended++ == 0)
		sync->ended_since_ms = b24_now_ms();
}

/* Frees a visit that has come to its end, so that the customer can be taken up. */
static void
drop(B24Sync *sync, Site *site, B24Visit *visit)
{
	UnderWay   *entry = hash_search(sync->under_way, &visit->hash, HASH_REMOVE, NULL);

	if (entry != NULL && entry->due_again)
	{
		rewind_place(&site->customers, entry->again_at);
		site->more = true;
	}
	b24_visit_free(visit);
}

/* The same for one that has come to nothing. */
static void
give_up(B24Sync *sync, Site *site, B24Visit *visit)
{
	if (visit->group != NULL)
	{
		visit->group->spoiled = true;
		finish_group(sync, site, visit->group);
	}
	drop(sync, site, visit);
}

static void
put_to_be_written(B24Sync *sync, Site *site, B24Visit *visit)
{
	if (visit->group != NULL)
	{
		visit->look.group = visit->group->id;
		visit->look.group_looked_at = visit->group->looked_at;
	}
	push(&site->ended, visit);
	if (sync->ended++ == 0)
		sync->ended_since_ms = b24_now_ms();
}

/* Nothing more can be sent to a server for a while. */
static void
empty_stock(B24Sync *sync, Site *site)
{
	B24Visit   *visit;

	while ((visit = pop(&site->stock)) != NULL)
		give_up(sync, site, visit);
	rewind_site(site, DT_NOBEGIN);
}

static Site *
site_of(B24Sync *sync, const B24Visit *visit)
{
	Site	   *site = sync->sites;

	while (site->server != visit->sender->server)
		site = site->next;
	return site;
}

static void
take_answers(B24Sync *sync)
{
	B24Job	   *job;

	while ((job = b24_inbox_take(sync->inbox)) != NULL)
	{
		B24Visit   *visit = job->user;
		Site	   *site = site_of(sync, visit);
		long		wait_ms = 0;

		site->in_flight--;
		sync->in_flight--;
		switch (b24_visit_end(visit, &wait_ms))
		{
			case B24_VISIT_NO_NEWS:
				site->looks++;
				finish_group(sync, site, visit->group);
				drop(sync, site, visit);
				break;
			case B24_VISIT_WRITE:
				site->looks++;
				put_to_be_written(sync, site, visit);
				break;
			case B24_VISIT_LATER:
				site->blocked_until_ms = b24_now_ms() + wait_ms;

				/* a group must not begin anew for each that is one too many */
				if (visit->group != NULL && b24_visit_again(visit))
				{
					push(&site->stock, visit);
					site->holding = true;
					break;
				}
				give_up(sync, site, visit);
				rewind_site(site, DT_NOBEGIN);
				break;
		}
	}
}

/*
 * Sending
 */
static int
most_in_flight(const B24Sync *sync, const Site *site)
{
	int			most = site->server->settings.limits.max_in_flight;
	int			capacity = b24_pool_capacity();

	if (most > 1)
		most -= Min(Max(most / SHARE_OF_OTHERS, 1), MOST_FOR_OTHERS);
	return Min(most, capacity - capacity / SHARE_OF_OTHERS -
			   b24_delivery_in_flight(sync->delivery));
}

static void
send_stock(B24Sync *sync, Site *site)
{
	int			most = most_in_flight(sync, site);
	int64		now = b24_now_ms();

	if (now >= site->blocked_until_ms)
		site->holding = false;
	while (site->stock.count > 0 && site->in_flight < most &&
		   now >= site->blocked_until_ms &&
		   !b24_delivery_wants(sync->delivery, site->server->name))
	{
		B24Visit   *visit = site->stock.first;
		long		wait_ms = 0;
		B24Offer	offer;

		/* who has been taken the right, or was given other secrets */
		if (!b24_account_is_current(visit->sender->account))
		{
			empty_stock(sync, site);
			return;
		}
		visit->look.asked_at = GetCurrentTimestamp();
		offer = b24_job_offer(visit->job, &wait_ms);
		if (offer == B24_OFFER_TAKEN)
		{
			(void) pop(&site->stock);
			site->in_flight++;
			sync->in_flight++;
			continue;
		}
		if (wait_ms < 0)
			wait_ms = site->in_flight > 0 ? 0 : LOOK_PATIENCE_MS;
		site->blocked_until_ms = now + wait_ms;
		if (offer == B24_OFFER_CIRCUIT_OPEN)
			empty_stock(sync, site);
		return;
	}
}

/*
 * Taking up what is due, in a transaction
 */
static int
target_of(const Site *site)
{
	const B24Limits *limits = &site->server->settings.limits;
	int			target = Min(Max(2 * limits->max_in_flight, MIN_STOCK), MAX_STOCK);

	if (limits->max_per_second > 0)
		target = Min(target, limits->max_per_second);
	return target;
}

/* Is it time to look what is due? */
static bool
wants_stock(const B24Sync *sync, const Site *site)
{
	return site->more && site->stock.count <= target_of(site) / 2 &&
		b24_now_ms() >= site->blocked_until_ms &&
		!b24_delivery_wants(sync->delivery, site->server->name);
}

/* Has a customer visited; false if it is on its way already. */
static bool
take_up(B24Sync *sync, Site *site, const char *sync_code, Oid owner,
		TimestampTz due_at, B24VisitGroup *group, const int64 *digest)
{
	uint64		hash = b24_visit_hash(site->server->name, sync_code);
	UnderWay   *entry;
	B24Visit   *visit;
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
	entry->left_until_ms = 0;
	visit = b24_visit_new(sync->visits, site->server->name, sync_code, owner);
	if (digest != NULL)
	{
		visit->has_digest = true;
		visit->digest = *digest;
	}
	visit->group = group;
	if (group != NULL)
		group->open++;
	if (b24_visit_prepare(visit, site->server, sync->inbox))
		push(&site->stock, visit);
	else
		put_to_be_written(sync, site, visit);
	return true;
}

/* Takes up customers that are looked at alone; returns how many were due. */
static int
take_up_customers(B24Sync *sync, Site *site, TimestampTz now, int limit)
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
take_up_group(B24Sync *sync, Site *site, const B24DueGroup *due, TimestampTz now)
{
	List	   *members = b24_group_members(due->id);
	B24VisitGroup *group = MemoryContextAllocZero(sync->context, sizeof(B24VisitGroup));
	ListCell   *cell;

	group->id = due->id;
	group->looked_at = due->looked_at;
	group->started_at = now;
	group->members = list_length(members);
	group->open = 1;			/* until all have been taken up */
	foreach(cell, members)
	{
		B24Member  *m = lfirst(cell);

		if (!take_up(sync, site, m->sync_code, m->owner, now, group, &m->digest))
			group->spoiled = true;
	}
	if (group->open > 1)
	{
		group->next_taken = sync->taken;
		sync->taken = group;
	}
	finish_group(sync, site, group);
}

/* The same for groups; returns how many customers those may have. */
static int
take_up_groups(B24Sync *sync, Site *site, TimestampTz now, int limit)
{
	List	   *due = b24_group_due(site->server->name, now, site->groups.at,
									site->groups.id, (limit - 1) / B24_GROUP_SIZE + 1);
	ListCell   *cell;

	foreach(cell, due)
	{
		B24DueGroup *g = lfirst(cell);

		take_up_group(sync, site, g, now);
		site->groups.at = g->due_at;
		site->groups.id = g->id;
	}
	return list_length(due) * B24_GROUP_SIZE;
}

static void
take_up_due(B24Sync *sync, Site *site)
{
	TimestampTz now = GetCurrentTimestamp();
	int			limit;

	b24_destination_load(site->server);
	limit = sync->one_by_one ? 1 : target_of(site) - site->stock.count;
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
		rewind_site(site, DT_NOBEGIN);
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
		Site	   *site = sync->sites;

		while (site != NULL && site->server != server)
			site = site->next;
		if (site == NULL)
		{
			site = palloc0(sizeof(Site));
			site->server = server;
			site->due_again_at = DT_NOEND;
			site->next = sync->sites;
			sync->sites = site;
		}
		rewind_site(site, DT_NOBEGIN);
		MemoryContextSwitchTo(old);
	}
	return true;
}

/* Plans that are of a longer sync_interval than servers have now. */
static void
shorten_plans(B24Sync *sync)
{
	for (Site *s = sync->sites; s != NULL; s = s->next)
	{
		b24_destination_load(s->server);
		if (s->server->settings.mirror && s->server->settings.limits.serverid != InvalidOid)
			b24_agenda_shorten(s->server->name, s->server->settings.max_sync_s);
	}
}

/*
 * Writing
 */

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
write_looks(B24Sync *sync, Site *site)
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
											   b24_now_ms() + LOCKED_EVERY_MS);
	}
}

/* They are written. */
static void
drop_looks(B24Sync *sync, Site *site)
{
	for (; site->writing > 0; site->writing--)
	{
		B24Visit   *visit = pop(&site->ended);

		sync->ended--;
		if (visit->group != NULL)
		{
			visit->group->left++;
			finish_group(sync, site, visit->group);
		}
		drop(sync, site, visit);
	}

	/* not earlier, since nobody is taken up who is on his way */
	if (site->due_again_at <= GetCurrentTimestamp())
		rewind_site(site, site->due_again_at);
}

static void
write_group(Site *site, const B24VisitGroup *group)
{
	const B24ServerSettings *settings = &site->server->settings;
	int			left = group->members - group->left;
	TimestampTz next = b24_jittered(group->started_at, settings->max_sync_s);

	b24_group_write(group->id, group->started_at, left, next);
	if (left > 0 && left < SMALL_GROUP && group->members > left)
		b24_group_dissolve(group->id, next);
	site->next_look_at = Min(site->next_look_at, next);
}

static void
drop_groups(B24Sync *sync, Site *site)
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
note_rate(Site *site)
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

static bool
wants_transaction(const B24Sync *sync, bool look)
{
	int64		now = b24_now_ms();

	if (now < sync->paused_until_ms)
		return false;
	if (sync->ended >= LOOKS_AT_ONCE ||
		(sync->ended > 0 && (sync->in_flight == 0 ||
							 now - sync->ended_since_ms >= LOOK_PATIENCE_MS)))
		return true;
	if (!look)
		return false;
	if (sync->since != DT_NOEND ||
		(sync->look_over_at_ms >= 0 && now >= sync->look_over_at_ms))
		return true;
	for (const Site *s = sync->sites; s != NULL && sync->is_ours; s = s->next)
	{
		if (wants_stock(sync, s) ||
			(!s->more && s->next_look_at <= GetCurrentTimestamp()))
			return true;
	}
	return false;
}

/* Is there news of what is due? */
static void
heed_news(B24Sync *sync)
{
	bool		was_ours = sync->is_ours;
	bool		loaded = load_sites(sync);

	if (!was_ours)
		sync->is_ours = b24_lease_looks();
	if (sync->is_ours && (loaded || !was_ours))
		shorten_plans(sync);
	if (sync->look_over_at_ms >= 0 && b24_now_ms() >= sync->look_over_at_ms)
	{
		sync->since = DT_NOBEGIN;
		sync->look_over_at_ms = -1;
	}
	for (Site *s = sync->sites; s != NULL; s = s->next)
	{
		if (sync->since != DT_NOEND)
			rewind_site(s, sync->since);
		else if (s->next_look_at <= GetCurrentTimestamp())
			s->more = true;
	}
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
		for (Site *s = sync->sites; s != NULL; s = s->next)
		{
			write_looks(sync, s);
			for (B24VisitGroup *g = s->writing_groups; g != NULL; g = g->next)
				write_group(s, g);
			note_rate(s);
		}
		if (look)
			heed_news(sync);
		for (Site *s = sync->sites; s != NULL && look && sync->is_ours; s = s->next)
		{
			if (wants_stock(sync, s))
				take_up_due(sync, s);
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
leave_alone(B24Sync *sync, Site *site, B24Visit *visit)
{
	UnderWay   *entry;
	bool		found;
	uint64		hash = visit->hash;

	give_up(sync, site, visit);
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
	for (Site *s = sync->sites; s != NULL; s = s->next)
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
			leave_alone(sync, s, pop(&s->ended));
		}
		else if (visit != NULL && sync->one_by_one)
		{
			if (visit->look.sqlstate == NULL || strcmp(visit->look.sqlstate, "XX000") != 0)
				make_unwritable(visit);
			else
			{
				/* not even that: nobody takes it up again before we end */
				(void) pop(&s->ended);
				sync->ended--;
				if (visit->group != NULL)
				{
					visit->group->spoiled = true;
					finish_group(sync, s, visit->group);
				}
				b24_visit_free(visit);
			}
		}
		rewind_site(s, DT_NOBEGIN);
	}
	sync->one_by_one = true;
	sync->paused_until_ms = b24_now_ms() + PAUSE_MS;
	servers_changed = true;
}

static void
run_transaction(B24Sync *sync, bool look)
{
	sync->taken = NULL;
	for (Site *s = sync->sites; s != NULL; s = s->next)
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
	for (Site *s = sync->sites; s != NULL; s = s->next)
	{
		drop_groups(sync, s);
		drop_looks(sync, s);
	}
	if (sync->ended == 0)
		sync->one_by_one = false;
}

/* When there is something to do that no socket tells of. */
static int64
next_time(const B24Sync *sync, bool look)
{
	int64		now = b24_now_ms();
	int64		at = -1;

	if (sync->ended > 0)
		at = sync->ended_since_ms + LOOK_PATIENCE_MS;
	if (look && sync->since != DT_NOEND)
		at = now;
	if (look)
		at = b24_earlier_ms(at, sync->look_over_at_ms);
	for (const Site *s = sync->sites; s != NULL && look && sync->is_ours; s = s->next)
	{
		/* the delivery's jobs come first, and their answers wake us */
		if (b24_delivery_wants(sync->delivery, s->server->name))
			continue;
		if (s->stock.count > 0 && (s->in_flight == 0 || s->blocked_until_ms > now))
			at = b24_earlier_ms(at, Max(s->blocked_until_ms, now));
		else if (s->more && s->stock.count == 0)
			at = b24_earlier_ms(at, Max(s->blocked_until_ms, now));
		else if (!s->more && s->next_look_at != DT_NOEND)
			at = b24_earlier_ms(at, now + Max(s->next_look_at - GetCurrentTimestamp() + 999,
											  0) / 1000);
	}
	if (at >= 0)
		at = Max(at, sync->paused_until_ms);
	return at;
}

/*
 * Looks for a delivery's process, to be ended in any case, and before the
 * delivery; in_call as there.
 */
B24Sync *
b24_sync_new(bool in_call, B24Delivery *delivery)
{
	static bool registered = false;
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "bill24 sync",
												  ALLOCSET_DEFAULT_SIZES);
	B24Sync    *sync = MemoryContextAllocZero(context, sizeof(B24Sync));
	MemoryContext old = MemoryContextSwitchTo(context);
	HASHCTL		info;

	if (!registered)
		CacheRegisterSyscacheCallback(FOREIGNSERVEROID, note_servers_changed, (Datum) 0);
	registered = true;
	servers_changed = true;
	sync->context = context;
	sync->delivery = delivery;
	sync->in_call = in_call;
	sync->visits = AllocSetContextCreate(context, "bill24 visits", ALLOCSET_DEFAULT_SIZES);
	sync->scratch = AllocSetContextCreate(context, "bill24 sync step",
										  ALLOCSET_DEFAULT_SIZES);
	sync->inbox = b24_inbox_new();
	sync->since = DT_NOBEGIN;
	sync->look_over_at_ms = -1;
	memset(&info, 0, sizeof(info));
	info.keysize = sizeof(uint64);
	info.entrysize = sizeof(UnderWay);
	info.hcxt = context;
	sync->under_way = hash_create("bill24 customers under way", MAX_STOCK, &info,
								  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	MemoryContextSwitchTo(old);
	return sync;
}

/*
 * Goes on with everything that can go on now, without waiting.  Takes up what
 * is due since a time: see b24_delivery_go_on.  With look false, only what is
 * in flight is brought to its end.  wait_ms is how long it may be left alone if
 * no socket has news, -1 for ever.  False when nothing is under way any more.
 */
bool
b24_sync_go_on(B24Sync *sync, TimestampTz since, bool look, long *wait_ms)
{
	MemoryContext old = MemoryContextSwitchTo(sync->scratch);
	bool		is_busy;
	bool		worked;
	int64		at;

	MemoryContextReset(sync->scratch);
	sync->since = Min(sync->since, since);
	if (since == DT_NOBEGIN)
		sync->look_over_at_ms = b24_earlier_ms(sync->look_over_at_ms,
											   b24_now_ms() + CACHES_MS);
	take_answers(sync);
	for (Site *s = sync->sites; s != NULL; s = s->next)
	{
		if (look)
			send_stock(sync, s);
		else
			empty_stock(sync, s);
	}
	take_answers(sync);			/* to what could not even be sent */
	worked = wants_transaction(sync, look);
	if (worked)
	{
		run_transaction(sync, look);
		for (Site *s = sync->sites; s != NULL && look; s = s->next)
			send_stock(sync, s);
		take_answers(sync);
	}
	at = next_time(sync, look);
	*wait_ms = at < 0 ? -1 : (long) Min(Max(at - b24_now_ms(), 0), INT_MAX);
	is_busy = sync->ended > 0 || sync->in_flight > 0;
	for (Site *s = sync->sites; s != NULL; s = s->next)
		is_busy = is_busy || (s->stock.count > 0 && !s->holding);

	/* what was counted in the last second would wait for the next transaction */
	if (worked && !is_busy && !sync->in_call)
		pgstat_report_stat(true);
	MemoryContextSwitchTo(old);
	return is_busy;
}

int
b24_sync_in_flight(const B24Sync *sync)
{
	return sync->in_flight;
}

/* Ends it, whatever is in flight; also after an error. */
void
b24_sync_end(B24Sync *sync)
{
	MemoryContextDelete(sync->visits);
	for (B24Destination *d = sync->destinations; d != NULL; d = d->next)
	{
		while (d->senders != NULL)
			b24_sender_release(d, d->senders);
	}
	if (sync->is_ours)
		b24_lease_end_looks();
	MemoryContextDelete(sync->context);
}
