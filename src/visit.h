/*-------------------------------------------------------------------------
 *
 * visit.h
 *	  A look at a customer on its way, from the request to what it found.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_VISIT_H
#define BILL24_VISIT_H

#include "destination.h"
#include "mirror.h"

/* Customers that are looked at together. */
typedef struct B24VisitGroup
{
	struct B24VisitGroup *next;
	struct B24VisitGroup *next_under_way;
	struct B24VisitGroup *next_taken;	/* taken up in the same transaction */
	int64		id;
	TimestampTz looked_at;		/* the time before; 0 if there was none */
	TimestampTz started_at;
	int			members;
	int			open;			/* visits that have not come to their end */
	int			left;			/* members of which there was news */
	bool		spoiled;		/* not all were visited */
} B24VisitGroup;

typedef struct B24Visit
{
	struct B24Visit *next;
	MemoryContext context;		/* with all of it */
	uint64		hash;			/* of server and code */
	char	   *utf8_code;
	Oid			owner;
	B24VisitGroup *group;		/* NULL if it is alone */
	bool		has_digest;
	int64		digest;			/* of what is known */
	B24Sender  *sender;
	B24Job	   *job;
	B24SeenCustomer seen;		/* when it has ended well, still in UTF-8 */
	B24Problem	problem;		/* when an answer was not readable */
	bool		is_found;		/* look says what it found */
	bool		left_alone;		/* it could not be written now */
	B24Look		look;
} B24Visit;

/* What an ended visit calls for. */
typedef enum B24VisitEnd
{
	B24_VISIT_NO_NEWS,			/* nothing is to be written of it */
	B24_VISIT_WRITE,
	B24_VISIT_LATER				/* nothing was learned, and nobody is to blame */
} B24VisitEnd;

extern B24Visit *b24_visit_new(MemoryContext parent, const char *server,
							   const char *sync_code, Oid owner);
extern uint64 b24_visit_hash(const char *server, const char *sync_code);
extern bool b24_visit_prepare(B24Visit *visit, B24Destination *server,
							  B24Inbox *inbox);
extern B24VisitEnd b24_visit_end(B24Visit *visit, long *wait_ms);
extern bool b24_visit_again(B24Visit *visit);
extern void b24_visit_find(B24Visit *visit);
extern void b24_visit_free(B24Visit *visit);

#endif							/* BILL24_VISIT_H */
