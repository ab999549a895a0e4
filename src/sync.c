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

#include "compat.h"

#include "clock.h"
#include "lease.h"
#include "sync.h"
#include "synclog.h"
#include "wake.h"

/* What was found is written when there is so much, or it has waited so long. */
#define LOOKS_AT_ONCE 128
#define LOOK_PATIENCE_MS 50

/* Of the requests that may be in flight, one in so many is left to others, up to. */
#define SHARE_OF_OTHERS 8
#define MOST_FOR_OTHERS 16

/* Who wakes us has committed, but may not have told the caches until then. */
#define CACHES_MS 1000

static B24Site *
site_of(B24Sync *sync, const B24Visit *visit)
{
	B24Site	   *site = sync->sites;

	while (site->server != visit->sender->server)
		site = site->next;
	return site;
}

/* Was the customer read, or seen not to be there? */
static bool
was_read(const B24Visit *visit)
{
	B24Status	status = visit->job->reply.status;

	return status == B24_NOT_FOUND ||
		(status == B24_OK && visit->problem.status == B24_OK);
}

static void
take_answers(B24Sync *sync)
{
	B24Job	   *job;

	while ((job = b24_inbox_take(sync->inbox)) != NULL)
	{
		B24Visit   *visit = job->user;
		B24Site	   *site = site_of(sync, visit);
		long		wait_ms = 0;

		site->in_flight--;
		sync->in_flight--;
		switch (b24_visit_end(visit, &wait_ms))
		{
			case B24_VISIT_NO_NEWS:
				site->looks++;
				b24_site_finish_group(sync, site, visit->group);
				b24_site_drop(sync, site, visit);
				break;
			case B24_VISIT_WRITE:
				site->looks += was_read(visit);
				b24_site_put(sync, site, visit);
				break;
			case B24_VISIT_LATER:
				site->blocked_until_ms = b24_now_ms() + wait_ms;

				/* a group must not begin anew for each that is one too many */
				if (visit->group != NULL && b24_visit_again(visit))
				{
					b24_visit_push(&site->stock, visit);
					site->holding = true;
					break;
				}
				b24_site_give_up(sync, site, visit);
				b24_site_rewind(site, DT_NOBEGIN);
				break;
		}
	}
}

static int
most_in_flight(const B24Sync *sync, const B24Site *site)
{
	int			most = site->server->settings.limits.max_in_flight;
	int			capacity = b24_pool_capacity();

	if (most > 1)
		most -= Min(Max(most / SHARE_OF_OTHERS, 1), MOST_FOR_OTHERS);
	return Min(most, Min(capacity - capacity / SHARE_OF_OTHERS, b24_pool_pace()) -
			   b24_delivery_in_flight(sync->delivery));
}

static void
send_stock(B24Sync *sync, B24Site *site)
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
			b24_site_empty(sync, site);
			return;
		}
		visit->look.asked_at = GetCurrentTimestamp();
		offer = b24_job_offer(visit->job, &wait_ms);
		if (offer == B24_OFFER_TAKEN)
		{
			(void) b24_visit_pop(&site->stock);
			site->in_flight++;
			sync->in_flight++;
			continue;
		}
		if (wait_ms < 0)
			wait_ms = site->in_flight > 0 ? 0 : LOOK_PATIENCE_MS;
		site->blocked_until_ms = now + wait_ms;
		if (offer == B24_OFFER_CIRCUIT_OPEN)
			b24_site_empty(sync, site);
		return;
	}
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
	for (const B24Site *s = sync->sites; s != NULL && sync->is_ours; s = s->next)
	{
		if (b24_takeup_is_wanted(sync, s) ||
			(!s->more && s->next_look_at <= GetCurrentTimestamp()))
			return true;
	}
	return false;
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
	for (const B24Site *s = sync->sites; s != NULL && look && sync->is_ours; s = s->next)
	{
		/* the delivery's jobs come first, and their answers wake us */
		if (b24_delivery_wants(sync->delivery, s->server->name) ||
			(b24_delivery_in_flight(sync->delivery) > 0 && most_in_flight(sync, s) <= 0))
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

/* Is there anybody to be looked at, now or later? */
static bool
has_looks(const B24Sync *sync)
{
	for (const B24Site *s = sync->sites; s != NULL; s = s->next)
	{
		if (!s->server->settings.mirror ||
			s->server->settings.limits.serverid == InvalidOid)
			continue;
		if (s->more || s->next_look_at != DT_NOEND || sync->in_flight > 0 ||
			s->stock.count > 0 || sync->ended > 0 || sync->look_over_at_ms >= 0)
			return true;
	}
	return false;
}

/* The looks of this process, if they are to be ended with it. */
static B24Sync *current = NULL;

/*
 * The process ends in the middle of them.  Others have been told that they are
 * not to look, and nobody else tells them when they are.
 */
static void
at_exit(int code, Datum arg)
{
	if (current == NULL || !current->is_ours)
		return;
	current->is_ours = false;
	b24_lease_end_looks();
	b24_wake_database(MyDatabaseId);
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
		before_shmem_exit(at_exit, (Datum) 0);
	registered = true;
	b24_takeup_watch_servers();
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
	info.entrysize = sizeof(B24UnderWay);
	info.hcxt = context;
	sync->under_way = hash_create("bill24 customers under way", B24_MAX_STOCK, &info,
								  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	current = sync;
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
	for (B24Site *s = sync->sites; s != NULL; s = s->next)
	{
		if (look)
			send_stock(sync, s);
		else
			b24_site_empty(sync, s);
	}
	take_answers(sync);			/* to what could not even be sent */
	worked = wants_transaction(sync, look);
	if (worked)
	{
		b24_synclog_write(sync, look);
		for (B24Site *s = sync->sites; s != NULL && look; s = s->next)
			send_stock(sync, s);
		take_answers(sync);
	}
	at = next_time(sync, look);
	*wait_ms = at < 0 ? -1 : (long) Min(Max(at - b24_now_ms(), 0), INT_MAX);
	is_busy = sync->ended > 0 || sync->in_flight > 0;
	for (B24Site *s = sync->sites; s != NULL; s = s->next)
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

/*
 * Ends it, whatever is in flight; also after an error.  With wake, the others
 * of this database learn that one of them is to look; without, the caller sees
 * to that.  False if it was not this process that looked.
 */
bool
b24_sync_end(B24Sync *sync, bool wake)
{
	bool		was_ours = sync->is_ours;
	bool		had_looks = has_looks(sync);

	current = NULL;
	MemoryContextDelete(sync->visits);
	for (B24Destination *d = sync->destinations; d != NULL; d = d->next)
	{
		while (d->senders != NULL)
			b24_sender_release(d, d->senders);
	}
	if (was_ours)
		b24_lease_end_looks();
	if (was_ours && had_looks && wake)
		b24_wake_database(MyDatabaseId);
	MemoryContextDelete(sync->context);
	return was_ours;
}
