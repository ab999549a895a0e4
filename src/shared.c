/*-------------------------------------------------------------------------
 *
 * shared.c
 *	  Shared memory, when the module is preloaded.
 *
 * Without shared_preload_libraries every process has the same structures for
 * itself, without a lock.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#define B24_ASKS_FOR_SHMEM
#include "compat.h"
#include "storage/shmem.h"

#include "shared.h"

#define TRANCHE "bill24"

static shmem_startup_hook_type previous_startup = NULL;
static B24SharedPart *const *all_parts = NULL;
static int	part_count = 0;

static void
request(void)
{
	for (int i = 0; i < part_count; i++)
		RequestAddinShmemSpace(MAXALIGN(all_parts[i]->size));
	RequestNamedLWLockTranche(TRANCHE, part_count);
}

static void
startup(void)
{
	LWLockPadded *locks;

	if (previous_startup != NULL)
		previous_startup();

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	locks = GetNamedLWLockTranche(TRANCHE);
	for (int i = 0; i < part_count; i++)
	{
		B24SharedPart *part = all_parts[i];
		bool		found;

		part->lock = &locks[i].lock;
		part->memory = ShmemInitStruct(part->name, part->size, &found);
		if (!found)
			part->init(part->memory);
	}
	LWLockRelease(AddinShmemInitLock);
}

/* Shares these parts.  Called while the postmaster preloads the module. */
void
b24_shared_preload(B24SharedPart *const *parts, int count)
{
	all_parts = parts;
	part_count = count;
	b24_ask_for_shmem(request);
	previous_startup = shmem_startup_hook;
	shmem_startup_hook = startup;
}

/* The memory of a part, shared or this process's own. */
void *
b24_shared_memory(B24SharedPart *part)
{
	if (part->memory == NULL)
	{
		void	   *memory = MemoryContextAlloc(TopMemoryContext, part->size);

		part->init(memory);
		part->memory = memory;
	}
	return part->memory;
}

void
b24_shared_lock(B24SharedPart *part, LWLockMode mode)
{
	if (part->lock != NULL)
		LWLockAcquire(part->lock, mode);
}

void
b24_shared_unlock(B24SharedPart *part)
{
	if (part->lock != NULL)
		LWLockRelease(part->lock);
}
