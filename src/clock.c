/*-------------------------------------------------------------------------
 *
 * clock.c
 *	  The clock by which things are waited for.
 *
 *-------------------------------------------------------------------------
 */
#include "clock.h"

#include <time.h>

int64_t
b24_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t
b24_now_ms(void)
{
	return b24_now_ns() / 1000000;
}

/* The earlier of two times, of which -1 is never. */
int64_t
b24_earlier_ms(int64_t a, int64_t b)
{
	if (a < 0 || b < 0)
		return a < 0 ? b : a;
	return a < b ? a : b;
}
