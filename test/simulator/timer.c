/*
 * timer.c
 *		The requests that wait for a time, earliest first: a binary heap, in
 *		which each request knows its place so that it can leave early.
 */
#include "server.h"

#include <stdlib.h>

static SimRequest **heap;		/* from 1; the parent of i is i / 2 */
static size_t heap_used;
static size_t heap_room;

static void
place(SimRequest *request, size_t slot)
{
	heap[slot] = request;
	request->timer_slot = slot;
}

/* Move a request towards the root or the leaves until the order is right. */
static void
settle(SimRequest *request, size_t slot)
{
	while (slot > 1 && heap[slot / 2]->due_ms > request->due_ms)
	{
		place(heap[slot / 2], slot);
		slot /= 2;
	}
	for (;;)
	{
		size_t		child = slot * 2;

		if (child + 1 <= heap_used &&
			heap[child + 1]->due_ms < heap[child]->due_ms)
			child++;
		if (child > heap_used || heap[child]->due_ms >= request->due_ms)
			break;
		place(heap[child], slot);
		slot = child;
	}
	place(request, slot);
}

void
sim_timer_add(SimRequest *request)
{
	if (heap_used + 1 >= heap_room)
	{
		heap_room = heap_room * 2 + 64;
		heap = realloc(heap, heap_room * sizeof(*heap));
		if (heap == NULL)
			abort();
	}
	heap_used++;
	settle(request, heap_used);
}

void
sim_timer_remove(SimRequest *request)
{
	size_t		slot = request->timer_slot;
	SimRequest *last;

	if (slot == 0)
		return;
	request->timer_slot = 0;
	last = heap[heap_used--];
	if (last != request)
		settle(last, slot);
}

/* The next to be woken, or NULL. */
SimRequest *
sim_timer_first(void)
{
	return heap_used == 0 ? NULL : heap[1];
}
