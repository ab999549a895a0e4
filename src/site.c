/*-------------------------------------------------------------------------
 *
 * site.c
 *	  A server whose customers are mirrored, and its visits.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "clock.h"
#include "site.h"

void
b24_visit_push(B24VisitQueue *queue, B24Visit *visit)
{
	if (queue->count++ == 0)
		queue->tail = &queue->first;
	visit->next = NULL;
	*queue->tail = visit;
	queue->tail = &visit->next;
}

B24Visit *
b24_visit_pop(B24VisitQueue *queue)
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
rewind_place(B24SyncPlace *place, TimestampTz to)
{
	if (to > place->at)
		return;
	place->at = to;
	place->code[0] = '\0';
	place->id = 0;
}

/* Takes up again what is due since then. */
void
b24_site_rewind(B24Site *site, TimestampTz to)
{
	rewind_place(&site->customers, to);
	rewind_place(&site->groups, to);
	site->more = true;
}

/*
 * The end of visits
 */

/* All of a group have been visited: it can be taken up again when it is due. */
static void
close_group(B24Sync *sync, B24VisitGroup *group)
{
	B24VisitGroup **link = &sync->groups;

	while (*link != group)
		link = &(*link)->next_under_way;
	*link = group->next_under_way;
}

/* Is a group on its way? */
bool
b24_site_has_group(const B24Sync *sync, int64 id)
{
	const B24VisitGroup *group = sync->groups;

	while (group != NULL && group->id != id)
		group = group->next_under_way;
	return group != NULL;
}

/* One of its visits has come to its end. */
void
b24_site_finish_group(B24Sync *sync, B24Site *site, B24VisitGroup *group)
{
	if (--group->open > 0)
		return;
	close_group(sync, group);
	if (group->spoiled)
	{
		/* it is still due, but not so soon that it would go round and round */
		sync->look_over_at_ms = b24_earlier_ms(sync->look_over_at_ms,
											   b24_now_ms() + B24_LEFT_ALONE_MS);
		pfree(group);
		return;
	}
	group->next = site->through;
	site->through = group;
	if (sync->ended++ == 0)
		sync->ended_since_ms = b24_now_ms();
}

/* Frees a visit that has come to its end, so that the customer can be taken up. */
void
b24_site_drop(B24Sync *sync, B24Site *site, B24Visit *visit)
{
	B24UnderWay   *entry = hash_search(sync->under_way, &visit->hash, HASH_REMOVE, NULL);

	if (entry != NULL && entry->due_again)
	{
		rewind_place(&site->customers, entry->again_at);
		site->more = true;
	}
	b24_visit_free(visit);
}

/* The same for one that has come to nothing. */
void
b24_site_give_up(B24Sync *sync, B24Site *site, B24Visit *visit)
{
	if (visit->group != NULL)
	{
		visit->group->spoiled = true;
		b24_site_finish_group(sync, site, visit->group);
	}
	b24_site_drop(sync, site, visit);
}

void
b24_site_put(B24Sync *sync, B24Site *site, B24Visit *visit)
{
	if (visit->group != NULL)
	{
		visit->look.group = visit->group->id;
		visit->look.group_looked_at = visit->group->looked_at;
	}
	b24_visit_push(&site->ended, visit);
	if (sync->ended++ == 0)
		sync->ended_since_ms = b24_now_ms();
}

/* Nothing more can be sent to a server for a while. */
void
b24_site_empty(B24Sync *sync, B24Site *site)
{
	B24Visit   *visit;

	while ((visit = b24_visit_pop(&site->stock)) != NULL)
		b24_site_give_up(sync, site, visit);
	b24_site_rewind(site, DT_NOBEGIN);
}
