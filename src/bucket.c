/*-------------------------------------------------------------------------
 *
 * bucket.c
 *	  A token bucket: at most so many a second.
 *
 * It holds a tenth of a second's tokens, at least one, also at the start:
 * enough for calls that come together, and in no second more than the rate
 * and that much.  It is one number, the time when it will be full again.
 *
 *-------------------------------------------------------------------------
 */
#include "bucket.h"

#define SECOND INT64_C(1000000000)

/* How many tokens are in a full one. */
int
b24_bucket_size(int per_second)
{
	return per_second >= 20 ? per_second / 10 : 1;
}

/* From one token to the next; rounded so that it is never too fast. */
int64_t
b24_bucket_interval_ns(int per_second)
{
	return (SECOND + per_second - 1) / per_second;
}

/* How many tokens there are; if none, wait_ns is the time to the next. */
int
b24_bucket_room(const B24Bucket *bucket, int per_second, int64_t now,
				int64_t *wait_ns)
{
	int64_t		interval = b24_bucket_interval_ns(per_second);
	int64_t		size = b24_bucket_size(per_second) * interval;
	int64_t		missing = bucket->full_at > now ? bucket->full_at - now : 0;

	/* the rate may have been lowered: no older debt than the new size */
	if (missing > size)
		missing = size;
	if (size - missing >= interval)
		return (int) ((size - missing) / interval);
	*wait_ns = interval - (size - missing);
	return 0;
}

/* Takes a token, which has to be there. */
void
b24_bucket_take(B24Bucket *bucket, int per_second, int64_t now)
{
	int64_t		interval = b24_bucket_interval_ns(per_second);
	int64_t		latest = now + (b24_bucket_size(per_second) - 1) * interval;

	if (bucket->full_at < now)
		bucket->full_at = now;
	if (bucket->full_at > latest)
		bucket->full_at = latest;
	bucket->full_at += interval;
}
