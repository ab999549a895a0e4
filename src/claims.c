/*-------------------------------------------------------------------------
 *
 * claims.c
 *	  Claims of a delivery: what is due is looked for, and taken over.
 *
 * A job that cannot be claimed is passed over, so that it holds up no other.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"
#include "utils/inval.h"
#include "utils/syscache.h"

#include "apart.h"
#include "claims.h"
#include "home.h"
#include "tidings.h"

/*
 * What somebody has locked is looked at again after this time, which doubles
 * up to that of the next look-over.
 */
#define PASSED_OVER_EVERY_MS 1000

/* After something was done, all is looked over once more, but not more often. */
#define LOOK_OVER_EVERY_MS 10000

/* A clock that is set back less than this may also have been read slowly. */
#define CLOCK_TOLERANCE_MS 100

/* Of jobs that a clock has left behind, the next ones follow so much later. */
#define RESCHEDULE_ON_MS 100

/* Servers come and go; these are looked at when there is news. */
static bool servers_changed = true;

static void
note_servers_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	servers_changed = true;
}

/* For a delivery that begins: all is to be looked at. */
void
b24_claims_open(B24Delivery *d)
{
	static bool registered = false;

	if (!registered)
		CacheRegisterSyscacheCallback(FOREIGNSERVEROID, note_servers_changed, (Datum) 0);
	registered = true;
	servers_changed = true;
	d->look_at_ms = d->look_over_at_ms = -1;
	d->since = DT_NOBEGIN;
	d->clock_ahead_ms = PG_INT64_MIN;
	d->reschedule = true;
}

/* When to look again: 0 for at once, -1 for never. */
int64
b24_claims_next_look_ms(const B24Delivery *d)
{
	return d->since != DT_NOEND ? 0 : b24_earlier_ms(d->look_at_ms, d->look_over_at_ms);
}

/* Is it time to look, or is there more to claim and room for it? */
bool
b24_claims_are_due(const B24Delivery *d)
{
	int64		now = b24_now_ms();
	int64		look_ms = b24_claims_next_look_ms(d);

	if (now < d->paused_until_ms)
		return false;
	if (look_ms >= 0 && now >= look_ms)
		return true;
	for (const B24Destination *s = d->destinations; s != NULL; s = s->next)
	{
		if (s->more && now >= s->blocked_until_ms && b24_destination_may_claim(s) &&
			s->stock.count <= b24_destination_stock(s) / 2)
			return true;
	}
	return false;
}

/* Something is due in a while. */
void
b24_claims_look_in(B24Delivery *d, long ms)
{
	d->look_at_ms = b24_earlier_ms(d->look_at_ms, b24_now_ms() + ms);
}

/* Somebody's lock was in the way of something. */
void
b24_claims_look_over_soon(B24Delivery *d)
{
	d->look_over_at_ms = b24_earlier_ms(d->look_over_at_ms, b24_now_ms() + PASSED_OVER_EVERY_MS);
}

/* Does an error speak of what was asked for, and not of this server's state? */
static bool
is_about_data(int sqlstate)
{
	int			class = ERRCODE_TO_CATEGORY(sqlstate);

	return class == ERRCODE_TO_CATEGORY(ERRCODE_DATA_EXCEPTION) ||
		class == ERRCODE_TO_CATEGORY(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION) ||
		class == ERRCODE_TO_CATEGORY(ERRCODE_SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION) ||
		class == ERRCODE_TO_CATEGORY(ERRCODE_PROGRAM_LIMIT_EXCEEDED) ||
		class == ERRCODE_TO_CATEGORY(ERRCODE_FDW_ERROR);
}

/*
 * Takes over a claimed job: from here on it is ours to end, in whatever way.
 * Raises errors by what the job says.
 */
static void
take_over_one(B24Delivery *d, B24Destination *server, const B24Claim *claim)
{
	B24Errand  *errand = b24_errand_new(d->errands, claim);
	B24Sender  *sender;
	B24Problem	problem;

	b24_queue_push(&server->fresh, errand);
	if (!b24_errand_read(errand, claim))
		return;
	sender = b24_sender_find(server, d->inbox, claim->owner, &problem);
	if (sender == NULL)
	{
		b24_errand_end(errand, B24_VERDICT_PARKED, &problem);
		return;
	}
	errand->user = sender;
	sender->errands++;
	b24_errand_prepare(errand, sender->exchange);
}

/* Claims of a server that are taken over together. */
typedef struct TakeOver
{
	B24Delivery *delivery;
	B24Destination *server;
	List	   *claims;
} TakeOver;

static void
take_over_each(void *argument)
{
	TakeOver   *t = argument;
	ListCell   *cell;

	foreach(cell, t->claims)
		take_over_one(t->delivery, t->server, lfirst(cell));
}

/* The same with all of these; false with the reason if one of them cannot be. */
static bool
take_over_all(B24Delivery *d, B24Destination *server, List *claims, B24Problem *problem)
{
	TakeOver	all = {d, server, claims};
	ErrorData  *error = b24_apart(take_over_each, &all);

	if (error == NULL)
		return true;
	if (!is_about_data(error->sqlerrcode))
		ReThrowError(error);
	b24_problem(problem, B24_BAD_ARGUMENT, "%s", error->message);
	return false;
}

static void
free_fresh(B24Destination *server)
{
	while (server->fresh.count > 0)
		b24_sender_free_errand(b24_queue_pop(&server->fresh));
}

/*
 * Takes over what was claimed: all at once if that goes well, else one by one,
 * and a job that raises an error is parked, and holds up no other.
 */
static void
take_over(B24Delivery *d, B24Destination *server, List *claims)
{
	B24Problem	problem;
	ListCell   *cell;

	if (take_over_all(d, server, claims, &problem))
		return;
	free_fresh(server);
	foreach(cell, claims)
	{
		B24Errand  *errand;

		if (take_over_all(d, server, list_make1(lfirst(cell)), &problem))
			continue;
		for (errand = server->fresh.first; errand->next != NULL; errand = errand->next)
			;
		b24_errand_end(errand, B24_VERDICT_PARKED, &problem);
	}
}

/*
 * Lets jobs go on of whom nobody tells.  Who has locked one of them may not tell
 * either when it is free, so it is looked for again.  Returns the servers that
 * have unfinished jobs.
 */
static List *
look_over(B24Delivery *d)
{
	List	   *servers;
	bool		all = b24_backlog_recover(d->lease);
	bool		more = false;
	ListCell   *cell;

	all = b24_backlog_unblock() && all;
	servers = b24_backlog_servers();

	/* it reads all that wait to be tried again */
	if (d->reschedule)
	{
		bool		done = true;

		foreach(cell, servers)
			done = b24_backlog_reschedule(lfirst(cell), &more) && done;
		d->reschedule = more || !done;
		all = all && done;
	}
	d->looked_over_at_ms = b24_now_ms();
	d->look_over_at_ms = more ? d->looked_over_at_ms + RESCHEDULE_ON_MS : all ? -1 :
		d->looked_over_at_ms +
		Min(PASSED_OVER_EVERY_MS << Min(d->passed_over, 10), LOOK_OVER_EVERY_MS);
	d->passed_over = all ? 0 : d->passed_over + 1;

	/* what the mirror could not be told is tried again in such a transaction */
	for (B24Destination *s = d->destinations; s != NULL; s = s->next)
	{
		if (b24_tidings_are_left(s))
			b24_claims_look_over_soon(d);
	}
	return servers;
}

/* Claims what a server's stock lacks. */
static void
claim_for(B24Delivery *d, B24Destination *server)
{
	List	   *claims;
	int			target;

	b24_destination_load(server);
	target = b24_destination_stock(server);
	if (server->stock.count > target / 2 || !b24_destination_may_claim(server))
	{
		/* when there is room for it */
		server->more = true;
		return;
	}
	claims = b24_backlog_claim(server->name,
							   d->cautious > 0 ? 1 : target - server->stock.count,
							   d->lease, &server->position, &server->more);
	take_over(d, server, claims);
	if (d->look_over_at_ms < 0)
		d->look_over_at_ms = Max(b24_now_ms(), d->looked_over_at_ms + LOOK_OVER_EVERY_MS);
}

/* Was the clock set back since this was asked last, as far as one can tell? */
static bool
clock_was_set_back(B24Delivery *d, TimestampTz now)
{
	int64		ahead_ms = now / 1000 - b24_now_ms();
	bool		set_back = now < d->looked_at ||
		(d->clock_ahead_ms != PG_INT64_MIN &&
		 ahead_ms < d->clock_ahead_ms - CLOCK_TOLERANCE_MS);

	d->looked_at = now;
	d->clock_ahead_ms = set_back ? ahead_ms : Max(ahead_ms, d->clock_ahead_ms);
	return set_back;
}

/*
 * Moves back to what is to be looked at.  Jobs that come due later than what
 * was looked at are found anyway; others are those of transactions that were
 * long under way, of whom we are told, and what was passed over since somebody
 * had locked it, for which all is looked over now and then.
 */
static void
move_back(B24Delivery *d)
{
	TimestampTz now = GetCurrentTimestamp();
	List	   *names = NIL;
	ListCell   *cell;

	/* who wakes us may have begun before the clock was set back */
	if (clock_was_set_back(d, now) || (d->since > now && d->since != DT_NOEND))
	{
		d->reschedule = true;
		d->since = DT_NOBEGIN;
	}
	if (d->look_over_at_ms >= 0 && b24_now_ms() >= d->look_over_at_ms)
		d->since = DT_NOBEGIN;
	if (d->since == DT_NOBEGIN)
		names = look_over(d);
	if (servers_changed)
	{
		servers_changed = false;
		names = list_concat(names, b24_backlog_known_servers());
	}
	foreach(cell, names)
	{
		MemoryContext old = MemoryContextSwitchTo(d->context);
		B24Destination *server = b24_destination_find(&d->destinations, lfirst(cell));

		MemoryContextSwitchTo(old);
		b24_destination_load(server);
	}
	for (B24Destination *s = d->destinations; s != NULL; s = s->next)
	{
		if (d->since <= s->position.at)
		{
			s->position.at = d->since;
			s->position.id = 0;
		}
	}
}

/*
 * Looks what there is at a server: claims what is due.  Returns in how many
 * milliseconds to look again, -1 for never.  at_once: something is due, or so
 * we are told; it is not asked first.
 */
static int64
look_at(B24Delivery *d, B24Destination *server, bool at_once)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz due_at = now;

	if (!at_once && !b24_backlog_next(server->name, &server->position, &due_at))
	{
		server->more = false;
		return -1;
	}
	if (due_at > now)
		server->more = false;
	else if (b24_now_ms() >= server->blocked_until_ms)
	{
		claim_for(d, server);
		if (server->more || !b24_backlog_next(server->name, &server->position, &due_at))
			return -1;
	}
	if (server->more)
		return -1;
	return Max(Max(due_at - now + 999, 0) / 1000, server->blocked_until_ms - b24_now_ms());
}

/*
 * Looks what there is: claims what is due, and notes when the next will be.
 * Servers that are blocked are left alone.
 */
void
b24_claims_look(B24Delivery *d)
{
	bool		told;

	/* a dump may just have been read into this database */
	d->away = !b24_home_is_here();
	d->look_at_ms = -1;
	if (d->away)
		return;
	move_back(d);
	told = d->since != DT_NOBEGIN && d->since != DT_NOEND;
	for (B24Destination *s = d->destinations; s != NULL; s = s->next)
	{
		/* of several servers we are not told which it is */
		int64		wait_ms = look_at(d, s, told && d->destinations->next == NULL);

		if (wait_ms >= 0)
			d->look_at_ms = b24_earlier_ms(d->look_at_ms, b24_now_ms() + wait_ms);
	}
}

/* Claimed, and on disk: sent next, or already at its end. */
void
b24_claims_committed(B24Delivery *d)
{
	for (B24Destination *s = d->destinations; s != NULL; s = s->next)
	{
		B24Errand  *errand;

		while ((errand = b24_queue_pop(&s->fresh)) != NULL)
		{
			if (errand->job != NULL && errand->problem.status == B24_OK)
				b24_queue_push(&s->stock, errand);
			else
				b24_delivery_end_errand(d, s, errand);
		}
	}
	d->since = DT_NOEND;
}

/*
 * What was claimed in a transaction that came to nothing was not claimed, and
 * what was looked at in it was not.
 */
void
b24_claims_undone(B24Delivery *d)
{
	for (B24Destination *s = d->destinations; s != NULL; s = s->next)
		free_fresh(s);

	/* nothing was looked at */
	if (d->missed_turn)
		return;
	servers_changed = true;
	d->reschedule = true;
	d->look_at_ms = b24_now_ms();
	d->look_over_at_ms = b24_now_ms() + LOOK_OVER_EVERY_MS;

	/* claimed by itself, it is the one that cannot be, and passed over */
	d->since = d->cautious > 0 ? DT_NOEND : DT_NOBEGIN;
}
