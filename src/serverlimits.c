/*-------------------------------------------------------------------------
 *
 * serverlimits.c
 *	  Load control: how much a server is asked at once, by everybody.
 *
 * A slot in shared memory belongs to a server of a database: the requests in
 * flight, the token bucket and the circuit breaker.  Each slot has a spinlock,
 * under which nothing is done but reckoning; the lock of the whole part is
 * taken only to find a slot for the first time.
 *
 * Nobody is woken.  Whoever has to wait is told how long, by chance, and the
 * longer the more are waiting, so that all of them together ask about 2000
 * times a second, and a place that is free is taken within a millisecond.
 *
 * What a process holds is also counted by itself, and given back when it
 * ends.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "compat.h"
#include "storage/spin.h"

#include "bucket.h"
#include "clock.h"
#include "serverlimits.h"

#define SLOTS 256

#define MS INT64CONST(1000000)

/* After so many direct calls that were let in before a worker, it has its turn. */
#define DIRECT_RUN 8

/* So long after a direct call, workers leave places to the next. */
#define DIRECT_RECENT_NS (10000 * MS)

/* Whoever waits asks again at least every second; else it has been stopped. */
#define LONGEST_WAIT_NS (1000 * MS)
#define WAITER_LOST_NS (3000 * MS)

/*
 * How soon a worker looks again whether others gave places back, and one that
 * has none.
 */
#define WORKER_WAIT_NS (50 * MS)
#define POOREST_WAIT_NS (5 * MS)

typedef struct Slot
{
	slock_t		mutex;
	Oid			database;		/* invalid: unused */
	Oid			serverid;
	int			in_flight[2];	/* direct, workers */
	int			waiting;		/* processes with a direct call that waits */
	int			direct_run;		/* let in while a worker had to wait */
	int64		worker_wait;	/* when one last had to, for direct calls */
	int			poor;			/* the worker that wants more and has fewest */
	int			poor_has;		/* so many */
	int64		poor_since;
	int64		poor_until;		/* it asks again by then */
	int			last_status;
	int64		last_direct;
	int64		last_wait;		/* of a direct call */
	int64		last_used;
	B24Bucket	bucket;
	B24Circuit	circuit;
} Slot;

/* What this process has of a slot. */
typedef struct Held
{
	int			in_flight[2];
	int64		last_worker;	/* when a worker's request was last let in */
	int			stale;			/* of these: sent before the circuit opened */
	uint32		era;			/* of the circuit, when last looked at */
} Held;

static Held held[SLOTS];
static int	waits_for = -1;		/* the slot, if a direct call waits */

static void
slots_init(void *memory)
{
	Slot	   *slots = memory;

	memset(slots, 0, SLOTS * sizeof(Slot));
	for (int i = 0; i < SLOTS; i++)
	{
		SpinLockInit(&slots[i].mutex);
		slots[i].last_status = -1;
	}
}

B24SharedPart b24_limits_part = {
	.name = "bill24 limits",
	.size = SLOTS * sizeof(Slot),
	.init = slots_init,
};

static Slot *
the_slots(void)
{
	return b24_shared_memory(&b24_limits_part);
}

/* Rounded up: whoever comes too early comes twice. */
static long
to_ms(int64 ns)
{
	return (Min(ns, LONGEST_WAIT_NS) + MS - 1) / MS;
}

/*
 * The slot of a server, from the part's list; -1 if it has none.  Makes one
 * if asked to, of one that is unused or of the one used least recently among
 * those where nothing is in flight.
 */
static int
find_slot(Oid serverid, bool make)
{
	Slot	   *slots = the_slots();
	int			found = -1;
	int			oldest = -1;

	b24_shared_lock(&b24_limits_part, make ? LW_EXCLUSIVE : LW_SHARED);
	for (int i = 0; i < SLOTS && found < 0; i++)
	{
		if (slots[i].database == MyDatabaseId && slots[i].serverid == serverid)
			found = i;
		else if (!OidIsValid(slots[i].database))
		{
			if (oldest < 0 || OidIsValid(slots[oldest].database))
				oldest = i;
		}
		else if (slots[i].in_flight[0] == 0 && slots[i].in_flight[1] == 0 &&
				 slots[i].waiting == 0 &&
				 (oldest < 0 || (OidIsValid(slots[oldest].database) &&
								 slots[i].last_used < slots[oldest].last_used)))
			oldest = i;
	}
	if (found < 0 && make && oldest >= 0)
	{
		Slot	   *slot = &slots[oldest];

		/* somebody may have come into its old server meanwhile */
		SpinLockAcquire(&slot->mutex);
		if (slot->in_flight[0] == 0 && slot->in_flight[1] == 0 && slot->waiting == 0)
		{
			uint32		era = slot->circuit.era;

			slot->database = MyDatabaseId;
			slot->serverid = serverid;
			slot->last_status = -1;
			slot->last_direct = slot->last_wait = slot->poor_until = 0;
			slot->last_used = b24_now_ns();
			slot->bucket.full_at = 0;
			slot->circuit = (B24Circuit) {.era = era + 1};
			found = oldest;
		}
		SpinLockRelease(&slot->mutex);
	}
	b24_shared_unlock(&b24_limits_part);
	return found;
}

/* The slot of a server, locked; NULL if it has none. */
static Slot *
lock_slot(Oid serverid, bool make)
{
	static struct
	{
		Oid			serverid;
		int			slot;
	}			known[64];

	Slot	   *slots = the_slots();
	int			place = serverid % lengthof(known);

	/* a slot just found can be lost to another, but not for ever */
	for (int i = 0; i < 3; i++)
	{
		if (known[place].serverid == serverid && OidIsValid(serverid))
		{
			Slot	   *slot = &slots[known[place].slot];

			SpinLockAcquire(&slot->mutex);
			if (slot->serverid == serverid && slot->database == MyDatabaseId)
				return slot;
			SpinLockRelease(&slot->mutex);
		}
		known[place].slot = find_slot(serverid, make);
		known[place].serverid = known[place].slot >= 0 ? serverid : InvalidOid;
		if (known[place].slot < 0)
			break;
	}
	return NULL;
}

/* What this process has of a slot that it has locked. */
static Held *
look_at(const Slot *slot)
{
	Held	   *mine = &held[slot - the_slots()];

	if (mine->era != slot->circuit.era)
	{
		mine->era = slot->circuit.era;
		mine->stale = mine->in_flight[0] + mine->in_flight[1];
	}
	return mine;
}

/* The direct call that waited does so no more. */
static void
wait_is_over(void)
{
	if (waits_for >= 0)
	{
		Slot	   *slot = &the_slots()[waits_for];

		waits_for = -1;
		SpinLockAcquire(&slot->mutex);
		slot->waiting--;
		SpinLockRelease(&slot->mutex);
	}
}

static void
at_xact(XactEvent event, void *arg)
{
	wait_is_over();
}

static void
at_subxact(SubXactEvent event, SubTransactionId self, SubTransactionId parent,
		   void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		wait_is_over();
}

/* Whatever this process still has is free again. */
static void
at_exit(int code, Datum arg)
{
	Slot	   *slots = the_slots();

	wait_is_over();
	for (int i = 0; i < SLOTS; i++)
	{
		if (held[i].in_flight[0] == 0 && held[i].in_flight[1] == 0)
			continue;
		SpinLockAcquire(&slots[i].mutex);
		slots[i].in_flight[0] -= held[i].in_flight[0];
		slots[i].in_flight[1] -= held[i].in_flight[1];
		if (slots[i].circuit.state == B24_CIRCUIT_IS_PROBED &&
			slots[i].circuit.prober == MyProcPid)
			b24_circuit_give_up(&slots[i].circuit, b24_now_ns());
		SpinLockRelease(&slots[i].mutex);
		memset(&held[i], 0, sizeof(Held));
	}
}

static void
register_callbacks(void)
{
	static bool registered = false;

	if (registered)
		return;
	registered = true;
	RegisterXactCallback(at_xact, NULL);
	RegisterSubXactCallback(at_subxact, NULL);
	before_shmem_exit(at_exit, (Datum) 0);
}

/* A direct call waits, or was here a moment ago. */
static bool
direct_is_waiting(const Slot *slot, int64 now)
{
	return slot->waiting > 0 && now < slot->last_wait + WAITER_LOST_NS;
}

/*
 * All places are taken.  A worker that has fewer of them than others is noted,
 * and these take no more while it has at least two fewer, or none, and they had
 * one since it waits: so they come to have equally many, or each its turn, and
 * none waits until another has nothing left to send.
 */
static int64
wait_for_place(Slot *slot, const Held *mine, bool worker, int64 now)
{
	int			has = mine->in_flight[1];
	int64		wait_ns;

	if (!worker)
		return MS;
	wait_ns = has == 0 ? POOREST_WAIT_NS : WORKER_WAIT_NS;
	if (slot->poor == MyProcPid || has < slot->poor_has || now >= slot->poor_until)
	{
		if (slot->poor != MyProcPid || now >= slot->poor_until)
			slot->poor_since = now;
		slot->poor = MyProcPid;
		slot->poor_has = has;
		slot->poor_until = now + 2 * wait_ns;
	}
	return wait_ns;
}

static bool
leaves_it_to_poorer(const Slot *slot, const Held *mine, int64 now)
{
	return slot->poor != MyProcPid && now < slot->poor_until &&
		(mine->in_flight[1] > slot->poor_has + 1 ||
		 (slot->poor_has == 0 && mine->last_worker > slot->poor_since));
}

/*
 * How many requests may begin now.  If none, wait_ns tells when to ask again:
 * -1 when one of this process's own requests has to end before.
 */
static int
room_in(Slot *slot, const Held *mine, const B24Limits *limits,
		bool worker, int64 now, int64 *wait_ns)
{
	int			in_flight = slot->in_flight[0] + slot->in_flight[1];
	int			places = limits->max_in_flight;
	int			tokens = INT_MAX;
	int			spare = 0;

	if (!worker && slot->direct_run >= DIRECT_RUN &&
		now < slot->worker_wait + 2 * WORKER_WAIT_NS)
	{
		*wait_ns = MS;
		return 0;
	}
	if (worker && slot->direct_run < DIRECT_RUN)
	{
		if (direct_is_waiting(slot, now))
		{
			*wait_ns = WORKER_WAIT_NS;
			return 0;
		}

		/* of a single place, nothing can be left */
		if (slot->last_direct > 0 && now < slot->last_direct + DIRECT_RECENT_NS &&
			places > 1)
			places -= spare = Max(places / 8, 1);
	}
	if (in_flight >= places)
	{
		*wait_ns = in_flight == mine->in_flight[0] + mine->in_flight[1] ? -1 :
			wait_for_place(slot, mine, worker, now);
		return 0;
	}
	if (worker && leaves_it_to_poorer(slot, mine, now))
	{
		*wait_ns = slot->poor_until - now;
		return 0;
	}
	if (limits->max_per_second > 0)
	{
		tokens = b24_bucket_room(&slot->bucket, limits->max_per_second, now,
								 wait_ns);
		if (worker && spare > 0 && tokens > 0)
		{
			spare = b24_bucket_size(limits->max_per_second) / 8;
			*wait_ns = b24_bucket_interval_ns(limits->max_per_second);
			tokens = Max(tokens - spare, 0);
		}
	}
	return Min(places - in_flight, tokens);
}

/*
 * Whether a request may be sent now, the circuit's opinion included.  One that
 * would be the probe must be the only one of its process: so it can be told
 * from those that are late.
 */
static B24Admission
judge(Slot *slot, const Held *mine, const B24Limits *limits, bool worker,
	  int64 now, int *room, bool *probe, int64 *wait_ns)
{
	B24Passage	passage;

	if (limits->circuit_failures == 0 && slot->circuit.state != B24_CIRCUIT_IS_CLOSED)
		b24_circuit_reset(&slot->circuit);
	passage = b24_circuit_ask(&slot->circuit, now, wait_ns);
	*probe = passage == B24_PASSAGE_PROBE;
	if (passage == B24_PASSAGE_BARRED)
		return B24_CIRCUIT_OPEN_NOW;
	*room = room_in(slot, mine, limits, worker, now, wait_ns);
	if (*probe && mine->in_flight[0] + mine->in_flight[1] > 0)
		*room = 0;
	if (*room > 0)
		return B24_ADMITTED;

	/* what fills the places are requests that have no answer */
	if (*probe)
	{
		*wait_ns = LONGEST_WAIT_NS;
		return B24_CIRCUIT_OPEN_NOW;
	}
	return B24_BUSY;
}

/* So long waits a direct call, and counts as one that waits. */
static int64
begin_wait(Slot *slot, const B24Limits *limits, int64 now, int64 wait_ns)
{
	uint32		random = (uint32) (now ^ now >> 16 ^ MyProcPid) * 2654435769U >> 8;
	int64		step = MS;

	if (waits_for < 0)
	{
		slot->waiting++;
		waits_for = slot - the_slots();
	}
	slot->last_wait = now;
	if (wait_ns < 0)
		return wait_ns;
	if (limits->max_per_second > 0)
		step = Max(b24_bucket_interval_ns(limits->max_per_second), MS);
	return Min(wait_ns + random % Max(slot->waiting, 2) * step, LONGEST_WAIT_NS);
}

/*
 * Takes one place and one token for a request that is sent now.  If there is
 * none, wait_ms says when to ask again, at most a second; -1: when one of the
 * caller's own requests is over.  If the circuit is open, wait_ms says for how
 * long, as far as that can be told.  A server for which there is no slot has
 * no limits.  A direct call that was told to wait counts as waiting until it
 * is let in or turned away, or the (sub)transaction ends.
 */
B24Admission
b24_limits_enter(const B24Limits *limits, bool worker, long *wait_ms)
{
	B24Admission admission;
	int64		now = b24_now_ns();
	int64		wait_ns = 0;
	bool		probe;
	int			room;
	Held	   *mine;
	Slot	   *slot;

	register_callbacks();
	*wait_ms = 0;

	/* a process waits for one server at a time */
	if (waits_for >= 0 && the_slots()[waits_for].serverid != limits->serverid)
		wait_is_over();
	slot = lock_slot(limits->serverid, true);
	if (slot == NULL)
		return B24_ADMITTED;
	mine = look_at(slot);
	slot->last_used = now;
	admission = judge(slot, mine, limits, worker, now, &room, &probe, &wait_ns);
	if (!worker)
		slot->last_direct = now;
	if (worker && admission == B24_BUSY && direct_is_waiting(slot, now))
		slot->worker_wait = now;
	if (admission == B24_ADMITTED)
	{
		if (worker)
			slot->direct_run = 0;
		else if (now < slot->worker_wait + 2 * WORKER_WAIT_NS)
			slot->direct_run++;
		slot->in_flight[worker]++;
		mine->in_flight[worker]++;
		if (worker)
			mine->last_worker = now;
		if (worker && slot->poor == MyProcPid)
			slot->poor_until = 0;
		if (probe)
			b24_circuit_probe(&slot->circuit, MyProcPid, now);
		if (limits->max_per_second > 0)
			b24_bucket_take(&slot->bucket, limits->max_per_second, now);
	}
	if (!worker && admission == B24_BUSY)
		wait_ns = begin_wait(slot, limits, now, wait_ns);
	else if (!worker && waits_for >= 0)
	{
		slot->waiting--;
		waits_for = -1;
	}
	SpinLockRelease(&slot->mutex);
	if (admission == B24_CIRCUIT_OPEN_NOW)
		*wait_ms = (wait_ns + MS - 1) / MS;
	else if (admission == B24_BUSY)
		*wait_ms = wait_ns < 0 ? -1 : to_ms(wait_ns);
	return admission;
}

/*
 * Gives a place back.  was_tried is false if the end says nothing about the
 * server: a request that was cancelled, or never begun.
 */
void
b24_limits_leave(const B24Limits *limits, bool worker, B24Status status,
				 bool was_tried)
{
	B24Health	health = was_tried ? b24_circuit_health(status) : B24_HEALTH_NONE;
	Slot	   *slot = lock_slot(limits->serverid, false);
	B24Circuit *circuit;
	Held	   *mine;

	if (slot == NULL)
		return;
	mine = look_at(slot);
	if (mine->in_flight[worker] == 0)
	{
		/* let in when there was no slot, or given back at exit */
		SpinLockRelease(&slot->mutex);
		return;
	}
	slot->in_flight[worker]--;
	mine->in_flight[worker]--;
	if (was_tried)
		slot->last_status = status;
	circuit = &slot->circuit;
	if (circuit->state == B24_CIRCUIT_IS_PROBED && circuit->prober == MyProcPid)
	{
		if (was_tried)
			b24_circuit_probed(circuit, health, b24_now_ns());
		else
			b24_circuit_give_up(circuit, b24_now_ns());
	}
	else if (mine->stale > 0)
		mine->stale--;			/* the oldest end first, more or less */
	else if (health != B24_HEALTH_NONE)
		b24_circuit_note(circuit, health, limits->circuit_failures,
						 health == B24_HEALTH_BAD ? b24_now_ns() : 0);
	SpinLockRelease(&slot->mutex);
}

/* The servers of this database, in the current memory context. */
int
b24_limits_states(B24LimitsState **states)
{
	Slot	   *slots = the_slots();
	int			count = 0;

	*states = palloc(SLOTS * sizeof(B24LimitsState));
	for (int i = 0; i < SLOTS; i++)
	{
		Slot		copy;

		SpinLockAcquire(&slots[i].mutex);
		copy = slots[i];
		SpinLockRelease(&slots[i].mutex);
		if (copy.database != MyDatabaseId)
			continue;
		(*states)[count++] = (B24LimitsState) {
			.serverid = copy.serverid,
			.direct = copy.in_flight[0],
			.workers = copy.in_flight[1],
			.last_status = copy.last_status,
			.circuit = copy.circuit,
		};
	}
	return count;
}

/* Closes the circuit of a server, if there is one. */
void
b24_limits_reset(Oid serverid)
{
	Slot	   *slot = lock_slot(serverid, false);

	if (slot == NULL)
		return;
	b24_circuit_reset(&slot->circuit);
	SpinLockRelease(&slot->mutex);
}
