/*-------------------------------------------------------------------------
 *
 * wait.c
 *	  The pool of this process, and the one place where it waits.
 *
 * libcurl names sockets and a timeout; one WaitEventSet holds them together
 * with the latch and the death of the postmaster, so that a cancel, a timeout
 * or a shutdown ends the wait at once.  Interrupts are served here only.
 *
 * The set lives as long as the process.  A WaitEventSet cannot give up a
 * single socket, so one that libcurl has no wish for stays in, watched for
 * reading: it mostly is an idle connection that the next call uses again.  If
 * it reports something, or the set is full, the set is built anew.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "compat.h"
#include "storage/fd.h"

#include "wait.h"

/* The latch and the postmaster. */
#define FIXED_EVENTS 2

/* How many sockets are served after one wait. */
#define MAX_EVENTS 64

/* By which part the pace changes after a wait: see note_answers. */
#define SLOWER 32
#define FASTER 8

static int	pace = 0;			/* 0: no limit was found yet */
static B24Http *pool = NULL;
static WaitEventSet *set = NULL;
static B24Socket **slots = NULL;	/* by position in the set */
static int	slot_count = 0;		/* in use, including those of closed sockets */
static int	slot_limit = 0;
static bool set_is_stale = false;

/* The next wait ends within that; -1: no such wish. */
static long return_within_ms = -1;

static bool
acquire_fd(void)
{
	return AcquireExternalFD();
}

static void
release_fd(void)
{
	ReleaseExternalFD();
}

/*
 * No statement of a user runs while transfers are under way, so at the end of
 * a (sub)transaction that failed, all that are left belong to what failed; but
 * not the detached, which belong to no transaction.
 * They must not go on: the memory of their owners may live on, in a cursor
 * that was opened before the savepoint, and the next call would drive them.
 */
static void
at_xact(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_ABORT || event == XACT_EVENT_PARALLEL_ABORT)
		b24_http_abandon(pool);
}

static void
at_subxact(SubXactEvent event, SubTransactionId self, SubTransactionId parent,
		   void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		b24_http_abandon(pool);
}

/* Who we say we are; a packager's addition to the version stays at home. */
const char *
b24_user_agent(void)
{
	static char agent[64];

	snprintf(agent, sizeof(agent), "bill24/%s PostgreSQL/%.*s", B24_VERSION,
			 (int) strcspn(PG_VERSION, " "), PG_VERSION);
	return agent;
}

/* The pool of this process, made at first use. */
B24Http *
b24_pool(void)
{
	static bool initialized = false;
	static const B24HttpHooks hooks = {acquire_fd, release_fd};

	if (!initialized && !b24_http_init())
		ereport(ERROR,
				(errcode(ERRCODE_SYSTEM_ERROR),
				 errmsg("could not initialize libcurl")));
	initialized = true;
	if (pool == NULL)
	{
		pool = b24_http_new(&hooks, b24_user_agent());
		if (pool != NULL)
		{
			RegisterXactCallback(at_xact, NULL);
			RegisterSubXactCallback(at_subxact, NULL);
		}
	}
	if (pool == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	return pool;
}

/*
 * How many transfers there can be at once in this process: PostgreSQL lets it
 * have a third of its descriptors for such things (see fd.c), and a few of
 * them are for others.
 */
int
b24_pool_capacity(void)
{
	return Max(max_safe_fds / 3 - 8, 4);
}

/*
 * Up to that many transfers are wanted at once.  Returns how many may be; more
 * would wait in libcurl, with their timeouts running.
 */
int
b24_pool_expect(int transfers)
{
	int			most = b24_pool_capacity();

	b24_http_limit(b24_pool(), most, Min(Max(transfers, 16), most));
	return Min(transfers, most);
}

/*
 * How many requests this process should have in flight: more than it can deal
 * with the answers of would only cost it time, since libcurl goes through all
 * its connections for each of them.  At most the capacity.
 */
int
b24_pool_pace(void)
{
	int			most = b24_pool_capacity();

	return pace == 0 ? most : Min(pace, most);
}

/*
 * A wait that finds as many answers as it can take is one that was late.  One
 * alone says nothing, since a transaction may have come between: only where
 * nearly all are so, fewer in flight will do.
 */
static void
note_answers(int count)
{
	int			most = b24_pool_capacity();

	if (count == MAX_EVENTS)
		pace = Max(b24_pool_pace() - b24_pool_pace() / SLOWER, MAX_EVENTS);
	else if (pace != 0 && pace < most)
		pace += Max(pace / FASTER, 1);
}

static int
wishes(const B24Socket *s)
{
	return (s->want_read ? WL_SOCKET_READABLE : 0) |
		(s->want_write ? WL_SOCKET_WRITEABLE : 0);
}

/*
 * A new set, still without sockets.  The pool tells of all of them again, so
 * that an error in here or later loses none.
 */
static void
rebuild_set(void)
{
	int			kept = 0;

	for (int i = 0; i < slot_count; i++)
	{
		if (slots[i] == NULL)
			continue;
		slots[i]->position = -1;
		b24_http_tell_again(pool, slots[i]);
		slots[i] = NULL;
		kept++;
	}
	slot_count = 0;
	if (set != NULL)
	{
		WaitEventSet *old_set = set;

		set = NULL;
		FreeWaitEventSet(old_set);
	}
	if (slot_limit < FIXED_EVENTS + 2 * kept || slots == NULL)
	{
		int			limit = FIXED_EVENTS + Max(2 * kept, 16);

		slots = slots == NULL ?
			MemoryContextAlloc(TopMemoryContext, limit * sizeof(B24Socket *)) :
			repalloc(slots, limit * sizeof(B24Socket *));
		memset(slots, 0, limit * sizeof(B24Socket *));
		slot_limit = limit;
	}
	set_is_stale = true;		/* until it is complete */
	set = b24_create_wait_event_set(slot_limit);
	AddWaitEventToSet(set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);

	/* in single-user mode there is no postmaster; the place stays empty */
	if (IsUnderPostmaster)
		AddWaitEventToSet(set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	slot_count = IsUnderPostmaster ? FIXED_EVENTS : FIXED_EVENTS - 1;
	set_is_stale = false;
}

/* Brings the set in line with what libcurl wishes now. */
static void
update_set(void)
{
	B24Socket  *s;

	if (set == NULL || set_is_stale)
		rebuild_set();
	while ((s = b24_http_next_changed(pool)) != NULL)
	{
		if (s->closed)
		{
			/*
			 * The kernel has forgotten it already; its slot stays empty.  But
			 * one that is libcurl's own may be open, and come again.
			 */
			if (s->position >= 0)
			{
				slots[s->position] = NULL;
				set_is_stale = set_is_stale || !s->ours;
			}
			free(s);
		}
		else if (wishes(s) == 0)
			continue;
		else if (s->position < 0 && (set_is_stale || slot_count == slot_limit))
		{
			b24_http_tell_again(pool, s);
			rebuild_set();
		}
		else if (s->position < 0)
		{
			set_is_stale = true;	/* until it is in there */
			s->armed = wishes(s);
			s->position = AddWaitEventToSet(set, s->armed, s->fd, NULL, NULL);
			slots[s->position] = s;
			slot_count = s->position + 1;
			set_is_stale = false;
		}
		else if (s->armed != wishes(s))
		{
			s->armed = wishes(s);
			ModifyWaitEvent(set, s->position, s->armed, NULL);
		}
	}
}

/* Tells the owners of the transfers that are done. */
static void
hand_out_done(void)
{
	B24Transfer *transfer;

	while ((transfer = b24_http_next_done(pool)) != NULL)
	{
		B24Waiter  *waiter = b24_http_owner(transfer);

		waiter->is_done = true;
		if (waiter->done != NULL)
			waiter->done(waiter);
	}
}

/* Of two times to wait the shorter; negative is for ever. */
static long
sooner(long a, long b)
{
	return a < 0 ? b : b < 0 ? a : Min(a, b);
}

/*
 * Somebody has to look at something that the pool does not see: the next wait
 * ends after at most so long.
 */
void
b24_pool_return_within(long ms)
{
	return_within_ms = sooner(return_within_ms, ms);
}

/* How long to wait: as long as everybody allows, -1 for ever. */
static long
timeout_ms(long max_ms)
{
	long		timeout = sooner(b24_http_timeout_ms(pool),
								 sooner(max_ms, return_within_ms));

	return_within_ms = -1;
	return timeout;
}

/*
 * As b24_pool_wait; without_answers is what is told to be waited for if no
 * answer is to come.
 */
static void
wait_for(long max_ms, uint32 without_answers)
{
	static uint32 answer_event = 0;
	WaitEvent	events[MAX_EVENTS];
	long		timeout;
	int			count;

	(void) b24_pool();
	if (answer_event == 0)
		answer_event = b24_wait_event("Bill24Answer");

	CHECK_FOR_INTERRUPTS();
	if (b24_http_timeout_ms(pool) == 0)
	{
		b24_http_drive(pool, NULL, false, false);
		hand_out_done();
		return;
	}

	timeout = timeout_ms(max_ms);
	update_set();
	count = WaitEventSetWait(set, timeout, events, MAX_EVENTS,
							 b24_http_is_busy(pool) ? answer_event : without_answers);
	note_answers(count);
	if (count == 0)
		b24_http_drive(pool, NULL, false, false);
	for (int i = 0; i < count; i++)
	{
		B24Socket  *s;

		if (events[i].events & WL_LATCH_SET)
		{
			ResetLatch(MyLatch);
			CHECK_FOR_INTERRUPTS();
			continue;
		}
		s = slots[events[i].pos];
		if (s == NULL || (!s->closed && wishes(s) == 0))
			set_is_stale = true;
		else if (!s->closed)
			b24_http_drive(pool, s,
						   (events[i].events & WL_SOCKET_READABLE) != 0,
						   (events[i].events & WL_SOCKET_WRITEABLE) != 0);
	}
	hand_out_done();
}

/*
 * Waits until something can go on, and lets it go on; at most max_ms, or with
 * -1 without a limit.  Ends when the latch is set.  May return early.  Raises
 * whatever an interrupt asks for; the transfers then end with the memory
 * contexts of those who started them.
 */
void
b24_pool_wait(long max_ms)
{
	static uint32 idle_event = 0;

	if (idle_event == 0)
		idle_event = b24_wait_event("Bill24Idle");
	wait_for(max_ms, idle_event);
}

/* The same, for a call that has to wait until others give a place back. */
void
b24_pool_wait_for_place(long max_ms)
{
	static uint32 place_event = 0;

	if (place_event == 0)
		place_event = b24_wait_event("Bill24Place");
	wait_for(max_ms, place_event);
}
