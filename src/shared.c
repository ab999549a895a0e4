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
#include "token.h"

#define NAME "bill24"

static shmem_startup_hook_type previous_startup = NULL;
static B24Shared shared;
static bool ready = false;

static void
request(void)
{
	RequestAddinShmemSpace(MAXALIGN(b24_token_table_size()));
	RequestNamedLWLockTranche(NAME, 1);
}

static void
startup(void)
{
	bool		found;

	if (previous_startup != NULL)
		previous_startup();

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared.lock = &GetNamedLWLockTranche(NAME)->lock;
	shared.tokens = ShmemInitStruct(NAME " tokens", b24_token_table_size(), &found);
	if (!found)
		b24_token_table_init(shared.tokens);
	LWLockRelease(AddinShmemInitLock);
	ready = true;
}

/* Called from _PG_init while the postmaster preloads the module. */
void
b24_shared_init(void)
{
	b24_ask_for_shmem(request);
	previous_startup = shmem_startup_hook;
	shmem_startup_hook = startup;
}

/* The shared structures, or this process's own. */
B24Shared *
b24_shared(void)
{
	if (!ready)
	{
		shared.tokens = MemoryContextAllocExtended(TopMemoryContext,
												   b24_token_table_size(),
												   MCXT_ALLOC_ZERO);
		b24_token_table_init(shared.tokens);
		ready = true;
	}
	return &shared;
}
