/*-------------------------------------------------------------------------
 *
 * lease.c
 *	  Which process has a job.
 *
 * A lease is a number, written into the job, and a lock on that number, which
 * the process holds for as long as it lives or until it is through.  So it
 * cannot run out under a process that is slow, stopped or has a wrong clock,
 * and it ends with the process, however that ends: nobody takes over what
 * might still be sent, and nobody waits for what is dead.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"
#include "storage/lock.h"

#include "lease.h"

/* Sets our locks apart from those that users take, which have 1 or 2 here. */
#define LOCK_CLASS 2424

/* Numbers that are no process's: see b24_lease_exclude_others, b24_lease_looks. */
#define CLAIMS 0
#define LOOKS 1
#define MOST_RESERVED 15

static void
set_tag(LOCKTAG *tag, int64 number)
{
	SET_LOCKTAG_ADVISORY(*tag, MyDatabaseId, (uint32) ((uint64) number >> 32),
						 (uint32) number, LOCK_CLASS);
}

/* A new lease, for as long as this session lives; never 0. */
int64
b24_lease_take(void)
{
	for (;;)
	{
		LOCKTAG		tag;
		int64		lease;

		if (!pg_strong_random(&lease, sizeof(lease)))
			ereport(ERROR,
					(errcode(ERRCODE_INTERNAL_ERROR),
					 errmsg("could not generate random values")));
		if (lease >= 0 && lease <= MOST_RESERVED)
			continue;
		set_tag(&tag, lease);
		if (LockAcquire(&tag, ExclusiveLock, true, true) == LOCKACQUIRE_OK)
			return lease;
	}
}

void
b24_lease_give_back(int64 lease)
{
	LOCKTAG		tag;

	set_tag(&tag, lease);
	LockRelease(&tag, ExclusiveLock, true);
}

/* Is the process that took it gone, or through?  Not to be asked of one's own. */
bool
b24_lease_is_over(int64 lease)
{
	LOCKTAG		tag;

	set_tag(&tag, lease);
	if (LockAcquire(&tag, ExclusiveLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
		return false;
	LockRelease(&tag, ExclusiveLock, false);
	return true;
}

/*
 * From here to the end of the transaction no other process of this database
 * claims jobs or writes results.
 */
void
b24_lease_exclude_others(void)
{
	LOCKTAG		tag;

	set_tag(&tag, CLAIMS);
	(void) LockAcquire(&tag, ExclusiveLock, false, false);
}

/* Would that have to wait? */
bool
b24_lease_is_excluded(void)
{
	LOCKTAG		tag;
	int			count;

	set_tag(&tag, CLAIMS);
	pfree(GetLockConflicts(&tag, ExclusiveLock, &count));
	return count > 0;
}

/*
 * Becomes the process of its database that looks at customers, unless another
 * is it.  Not to be asked again by who is it already, which it is until b24_lease_end_looks, or until it ends.
 */
bool
b24_lease_looks(void)
{
	LOCKTAG		tag;

	set_tag(&tag, LOOKS);
	return LockAcquire(&tag, ExclusiveLock, true, true) == LOCKACQUIRE_OK;
}

void
b24_lease_end_looks(void)
{
	b24_lease_give_back(LOOKS);
}
