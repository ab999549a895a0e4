/*-------------------------------------------------------------------------
 *
 * stat.h
 *	  Statistics: what the requests came to, per server and operation.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_STAT_H
#define BILL24_STAT_H

#include "endpoint.h"
#include "shared.h"

/* One request and its answer. */
typedef struct B24StatSample
{
	B24Status	status;
	bool		retried;		/* not the first try */
	size_t		bytes_sent;
	size_t		bytes_received;
	long		total_us;
} B24StatSample;

typedef enum B24StatOutcome
{
	B24_STAT_DONE,
	B24_STAT_REFUSED,
	B24_STAT_THROTTLED,
	B24_STAT_UNKNOWN,
	B24_STAT_UNREACHABLE,
	B24_STAT_OUTCOMES
} B24StatOutcome;

/* Below 1 ms, 2 ms, 4 ms ... 32768 ms, and the rest. */
#define B24_STAT_BUCKETS 17

/* The counts of an operation, for people. */
typedef struct B24StatRow
{
	Oid			serverid;		/* invalid: of those that found no room */
	const char *operation;
	bool		worker;
	uint64		outcomes[B24_STAT_OUTCOMES];
	uint64		retries;
	uint64		bytes_sent;
	uint64		bytes_received;
	uint64		total_us;
	uint64		max_us;
	uint64		latency[B24_STAT_BUCKETS];
	int64		since;			/* TimestampTz */
} B24StatRow;

extern B24SharedPart b24_stat_part;

extern void b24_stat_count(Oid serverid, const B24Endpoint *endpoint,
						   bool worker, const B24StatSample *sample);
extern bool b24_stat_next(int *position, B24StatRow *row);
extern void b24_stat_reset(Oid serverid);

#endif							/* BILL24_STAT_H */
