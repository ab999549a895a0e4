/*-------------------------------------------------------------------------
 *
 * bill24.c
 *	  The module: magic block and initialization.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"
#include "fmgr.h"

#include "serverlimits.h"
#include "launcher.h"
#include "roster.h"
#include "rotation.h"
#include "shared.h"
#include "stat.h"
#include "token.h"
#include "utility.h"
#include "wake.h"
#include "worker.h"

B24_MODULE_MAGIC;

static B24SharedPart *const parts[] = {
	&b24_token_part,
	&b24_limits_part,
	&b24_stat_part,
	&b24_roster_part,
	&b24_wake_part,
};

extern PGDLLEXPORT void _PG_init(void);

static void
define_settings(void)
{
	DefineCustomIntVariable("bill24.workers",
							"Sets how many workers deliver the outbox of a database that has something to deliver.",
							NULL,
							&b24_workers,
							1, 1, B24_MAX_WORKERS,
							PGC_SIGHUP, 0,
							NULL, NULL, NULL);
	DefineCustomIntVariable("bill24.worker_idle_timeout",
							"Sets how long a worker that has nothing to deliver waits before it ends.",
							"Another one starts when there is something to deliver.",
							&b24_worker_idle_timeout,
							5 * 60 * 1000, 0, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MS,
							NULL, NULL, NULL);
	b24_reserve_settings("bill24");
}

void
_PG_init(void)
{
	define_settings();
	b24_rotation_init();

	/* otherwise there is nothing to share, and every process is on its own */
	if (process_shared_preload_libraries_in_progress)
	{
		b24_shared_preload(parts, lengthof(parts));
		b24_wake_preload();
		b24_utility_preload();
		b24_launcher_preload();
	}
}
