/*-------------------------------------------------------------------------
 *
 * bucket.h
 *	  A token bucket: at most so many a second.
 *
 * Floor A.  The caller has the clock, in nanoseconds, and the lock.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_BUCKET_H
#define BILL24_BUCKET_H

#include <stdint.h>

/* All zeroes is a full one. */
typedef struct B24Bucket
{
	int64_t		full_at;		/* when all that was taken is there again */
} B24Bucket;

extern int	b24_bucket_size(int per_second);
extern int64_t b24_bucket_interval_ns(int per_second);
extern int	b24_bucket_room(const B24Bucket *bucket, int per_second,
							int64_t now, int64_t *wait_ns);
extern void b24_bucket_take(B24Bucket *bucket, int per_second, int64_t now);

#endif							/* BILL24_BUCKET_H */
