/*-------------------------------------------------------------------------
 *
 * stat.c
 *	  Statistics: what the requests came to, per server and operation.
 *
 * A table of counters in shared memory.  A slot once given to an operation is
 * its own until the server is restarted, so that it is found, counted in and
 * read without a lock; only who needs a new one takes it.  When the table is
 * full, what finds no slot is counted in the last one, for all together.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "compat.h"
#include "port/atomics.h"
#include "utils/timestamp.h"

#include "stat.h"

#define SLOTS 1024				/* a power of two */
#define OTHER SLOTS				/* behind them: for what finds none */

/* bill24_request() has no row in the table of operations. */
#define REQUEST B24_EP_COUNT

typedef struct Slot
{
	/* written before the slot is marked as used, never changed after */
	pg_atomic_uint32 used;
	Oid			database;
	Oid			serverid;
	uint16		endpoint;		/* B24EndpointId, or REQUEST */
	bool		worker;

	pg_atomic_uint64 outcomes[B24_STAT_OUTCOMES];
	pg_atomic_uint64 retries;
	pg_atomic_uint64 bytes_sent;
	pg_atomic_uint64 bytes_received;
	pg_atomic_uint64 total_us;
	pg_atomic_uint64 max_us;
	pg_atomic_uint64 latency[B24_STAT_BUCKETS];
	pg_atomic_uint64 since;		/* TimestampTz */
} Slot;

/* Those of the counters that are there once. */
static pg_atomic_uint64 *
counter(Slot *slot, int i)
{
	pg_atomic_uint64 *all[] = {
		&slot->retries, &slot->bytes_sent, &slot->bytes_received,
		&slot->total_us, &slot->max_us,
	};

	if (i < lengthof(all))
		return all[i];
	i -= lengthof(all);
	if (i < B24_STAT_OUTCOMES)
		return &slot->outcomes[i];
	i -= B24_STAT_OUTCOMES;
	return i < B24_STAT_BUCKETS ? &slot->latency[i] : NULL;
}

static void
slots_init(void *memory)
{
	Slot	   *slots = memory;

	memset(slots, 0, (SLOTS + 1) * sizeof(Slot));
	for (int i = 0; i <= SLOTS; i++)
	{
		pg_atomic_init_u32(&slots[i].used, i == OTHER);
		pg_atomic_init_u64(&slots[i].since, 0);
		for (int j = 0; counter(&slots[i], j) != NULL; j++)
			pg_atomic_init_u64(counter(&slots[i], j), 0);
	}
}

B24SharedPart b24_stat_part = {
	.name = "bill24 statistics",
	.size = (SLOTS + 1) * sizeof(Slot),
	.init = slots_init,
};

static Slot *
the_slots(void)
{
	return b24_shared_memory(&b24_stat_part);
}

/*
 * The slot of an operation; with room, the free one where it belongs, NULL if
 * there is none.
 */
static Slot *
find_slot(Oid serverid, uint16 endpoint, bool worker, bool *is_free)
{
	Slot	   *slots = the_slots();
	uint32		start = hash_combine(murmurhash32(MyDatabaseId),
									 murmurhash32(serverid ^ (uint32) endpoint << 24 ^
												  (uint32) worker << 23));

	*is_free = false;
	for (uint32 i = 0; i < SLOTS; i++)
	{
		Slot	   *slot = &slots[(start + i) % SLOTS];

		if (pg_atomic_read_u32(&slot->used) == 0)
		{
			*is_free = true;
			return slot;
		}
		pg_read_barrier();
		if (slot->serverid == serverid && slot->endpoint == endpoint &&
			slot->worker == worker && slot->database == MyDatabaseId)
			return slot;
	}
	return NULL;
}

static Slot *
slot_of(Oid serverid, uint16 endpoint, bool worker)
{
	bool		is_free;
	Slot	   *slot = find_slot(serverid, endpoint, worker, &is_free);

	if (slot != NULL && is_free)
	{
		b24_shared_lock(&b24_stat_part, LW_EXCLUSIVE);
		slot = find_slot(serverid, endpoint, worker, &is_free);
		if (slot != NULL && is_free)
		{
			slot->database = MyDatabaseId;
			slot->serverid = serverid;
			slot->endpoint = endpoint;
			slot->worker = worker;
			pg_atomic_write_u64(&slot->since, GetCurrentTimestamp());
			pg_write_barrier();
			pg_atomic_write_u32(&slot->used, 1);
		}
		b24_shared_unlock(&b24_stat_part);
	}
	return slot != NULL ? slot : &the_slots()[OTHER];
}

static B24StatOutcome
outcome_of(B24Status status)
{
	if (status == B24_OK)
		return B24_STAT_DONE;
	if (status == B24_THROTTLED)
		return B24_STAT_THROTTLED;
	if (b24_status_info(status)->retry == B24_RETRY_AFTER_LOOKUP)
		return B24_STAT_UNKNOWN;

	/* whatever was found on our side, nothing was sent */
	return status < B24_NO_ANSWER ? B24_STAT_UNREACHABLE : B24_STAT_REFUSED;
}

static int
bucket_of(long us)
{
	uint64		ms = us > 0 ? (uint64) us / 1000 : 0;
	int			bucket = 0;

	while (ms > 0 && bucket < B24_STAT_BUCKETS - 1)
	{
		ms >>= 1;
		bucket++;
	}
	return bucket;
}

/* The place in the table, or the one behind it for what is made by hand. */
static uint16
id_of(const B24Endpoint *endpoint)
{
	if (endpoint == NULL)
		return B24_EP_authorize;
	if (endpoint < b24_endpoints || endpoint >= b24_endpoints + B24_EP_COUNT)
		return REQUEST;
	return endpoint - b24_endpoints;
}

static void
add(pg_atomic_uint64 *counter, uint64 value)
{
	if (value > 0)
		pg_atomic_fetch_add_u64(counter, value);
}

/* Counts a request that is over; no endpoint: a login. */
void
b24_stat_count(Oid serverid, const B24Endpoint *endpoint, bool worker,
			   const B24StatSample *sample)
{
	Slot	   *slot = slot_of(serverid, id_of(endpoint), worker);
	uint64		us = Max(sample->total_us, 0);
	uint64		most = pg_atomic_read_u64(&slot->max_us);

	add(&slot->outcomes[outcome_of(sample->status)], 1);
	add(&slot->retries, sample->retried ? 1 : 0);
	add(&slot->bytes_sent, sample->bytes_sent);
	add(&slot->bytes_received, sample->bytes_received);
	add(&slot->total_us, us);
	add(&slot->latency[bucket_of(sample->total_us)], 1);
	while (us > most &&
		   !pg_atomic_compare_exchange_u64(&slot->max_us, &most, us))
		;
}

/*
 * The next row of this database, and the one for what found no slot if there
 * is something in it.  Begins at position 0; false behind the last.
 */
bool
b24_stat_next(int *position, B24StatRow *row)
{
	Slot	   *slots = the_slots();

	for (; *position <= SLOTS; ++*position)
	{
		Slot	   *slot = &slots[*position];
		uint64		calls = 0;

		if (pg_atomic_read_u32(&slot->used) == 0)
			continue;
		pg_read_barrier();
		if (*position != OTHER && slot->database != MyDatabaseId)
			continue;
		for (int i = 0; i < B24_STAT_OUTCOMES; i++)
			calls += row->outcomes[i] = pg_atomic_read_u64(&slot->outcomes[i]);
		if (calls == 0)
			continue;
		row->serverid = slot->serverid;
		row->operation = *position == OTHER ? "other" :
			slot->endpoint == REQUEST ? "request" : b24_endpoints[slot->endpoint].name;
		row->worker = slot->worker;
		row->retries = pg_atomic_read_u64(&slot->retries);
		row->bytes_sent = pg_atomic_read_u64(&slot->bytes_sent);
		row->bytes_received = pg_atomic_read_u64(&slot->bytes_received);
		row->total_us = pg_atomic_read_u64(&slot->total_us);
		row->max_us = pg_atomic_read_u64(&slot->max_us);
		for (int i = 0; i < B24_STAT_BUCKETS; i++)
			row->latency[i] = pg_atomic_read_u64(&slot->latency[i]);
		row->since = pg_atomic_read_u64(&slot->since);
		++*position;
		return true;
	}
	return false;
}

/*
 * Sets the counters of a server to zero, or those of all of this database and
 * what found no slot.  What is counted meanwhile may be lost in part.
 */
void
b24_stat_reset(Oid serverid)
{
	Slot	   *slots = the_slots();
	TimestampTz now = GetCurrentTimestamp();

	for (int i = 0; i <= SLOTS; i++)
	{
		Slot	   *slot = &slots[i];

		if (pg_atomic_read_u32(&slot->used) == 0)
			continue;
		pg_read_barrier();
		if (i == OTHER ? OidIsValid(serverid) :
			(slot->database != MyDatabaseId ||
			 (OidIsValid(serverid) && slot->serverid != serverid)))
			continue;
		pg_atomic_write_u64(&slot->since, now);
		for (int j = 0; counter(slot, j) != NULL; j++)
			pg_atomic_write_u64(counter(slot, j), 0);
	}
}
