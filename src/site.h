/*-------------------------------------------------------------------------
 *
 * site.h
 *	  A server whose customers are mirrored, and its visits.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_SITE_H
#define BILL24_SITE_H

#include "sync.h"
#include "utils/hsearch.h"
#include "visit.h"

/* What is in the way, as a lock, is looked at again after this time. */
#define B24_LOCKED_EVERY_MS 2000

/*
 * What could not be written, through no fault of its own, is left alone so
 * long; and a group of which one could not be, since all of it is read anew.
 */
#define B24_LEFT_ALONE_MS 10000

typedef struct B24VisitQueue
{
	B24Visit   *first;
	B24Visit  **tail;
	int			count;
} B24VisitQueue;

/* A place in the order in which customers, or groups, are due. */
typedef struct B24SyncPlace
{
	TimestampTz at;
	char		code[512];		/* longer ones are looked at twice, at worst */
	int64		id;
} B24SyncPlace;

/* A server that has customers. */
typedef struct B24Site
{
	struct B24Site *next;
	B24Destination *server;
	B24VisitQueue		stock;			/* to be sent */
	B24VisitQueue		ended;			/* to be written */
	B24VisitGroup *through;		/* groups to be written */
	int			writing;		/* of those that ended, in this transaction */
	TimestampTz due_again_at;	/* the first of those */
	B24VisitGroup *writing_groups;
	int			in_flight;
	B24SyncPlace		customers;		/* what lies before has been taken up */
	B24SyncPlace		groups;
	bool		more;			/* there may be more that is due */
	TimestampTz next_look_at;	/* when something is due, if there is no more now */
	int64		blocked_until_ms;
	bool		holding;		/* of what is in stock, the server wants nothing yet */
	int64		looks;			/* that read a customer, since the rate was told */
	int64		rate_at_ms;
} B24Site;

/* A customer that is on its way. */
typedef struct B24UnderWay
{
	uint64		hash;			/* first: the key */
	TimestampTz due_at;
	bool		due_again;		/* has come due meanwhile, at again_at */
	TimestampTz again_at;
	int64		left_until_ms;	/* not on its way, but left alone; else 0 */
} B24UnderWay;

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
	B24Site	   *sites;
	HTAB	   *under_way;		/* of B24UnderWay */
	int			in_flight;
	int			ended;
	int64		ended_since_ms;
	B24VisitGroup *groups;		/* that are under way */
	B24VisitGroup *taken;		/* in this transaction */
	B24VisitGroup *being_taken;
	TimestampTz since;			/* what is due since then is to be taken up */
	int64		paused_until_ms;
	int64		look_over_at_ms;	/* when to take up all again, or -1 */
	bool		shorten_again;	/* plans were left as they are, since locked */
	B24Visit   *being_prepared;
	bool		careful;		/* after an error: first is written what was found */
};

extern void b24_visit_push(B24VisitQueue *queue, B24Visit *visit);
extern B24Visit *b24_visit_pop(B24VisitQueue *queue);
extern void b24_site_rewind(B24Site *site, TimestampTz to);
extern void b24_site_finish_group(B24Sync *sync, B24Site *site, B24VisitGroup *group);
extern bool b24_site_has_group(const B24Sync *sync, int64 id);
extern void b24_site_drop(B24Sync *sync, B24Site *site, B24Visit *visit);
extern void b24_site_give_up(B24Sync *sync, B24Site *site, B24Visit *visit);
extern void b24_site_put(B24Sync *sync, B24Site *site, B24Visit *visit);
extern void b24_site_empty(B24Sync *sync, B24Site *site);

#endif							/* BILL24_SITE_H */
