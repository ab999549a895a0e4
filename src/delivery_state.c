/*-------------------------------------------------------------------------
 *
 * delivery_state.c
 *	  What a delivery knows: its jobs that are under way, and what comes next.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "delivery_state.h"

/* How many results wait to be written? */
int
b24_delivery_count_ended(const B24Delivery *d)
{
	int			count = 0;

	for (const B24Destination *s = d->destinations; s != NULL; s = s->next)
		count += s->ended.count;
	return count;
}

/* Is anything claimed that has not come to its end? */
bool
b24_delivery_is_busy(const B24Delivery *d)
{
	for (const B24Destination *s = d->destinations; s != NULL; s = s->next)
	{
		if (s->in_flight + s->stock.count + s->ended.count + s->stuck.count > 0)
			return true;
	}
	return false;
}

/* An errand is through, and its result waits to be written. */
void
b24_delivery_end_errand(B24Delivery *d, B24Destination *server, B24Errand *errand)
{
	if (b24_delivery_count_ended(d) == 0)
		d->ended_since_ms = b24_now_ms();
	b24_queue_push(&server->ended, errand);
}
