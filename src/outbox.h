/*-------------------------------------------------------------------------
 *
 * outbox.h
 *	  The table of jobs, and adding to it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_OUTBOX_H
#define BILL24_OUTBOX_H

#include "utils/jsonb.h"

#include "endpoint.h"

/* Of a request; more would burden the worker for all others. */
#define B24_REQUEST_BYTES 65536

/* Longer keys would not fit the index. */
#define B24_KEY_BYTES 1000

typedef struct B24NewJob
{
	const B24Endpoint *endpoint;
	text	   *key;			/* in the database's encoding */
	Jsonb	   *request;
} B24NewJob;

extern Oid	b24_outbox_relation(void);
extern bool b24_outbox_is_locked(void);
extern int64 b24_outbox_add(const char *server, int64 account, Oid owner,
							const B24NewJob *jobs, int count, int64 *ids);

#endif							/* BILL24_OUTBOX_H */
