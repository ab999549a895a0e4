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

#include "limits.h"
#include "shared.h"
#include "stat.h"
#include "token.h"

B24_MODULE_MAGIC;

static B24SharedPart *const parts[] = {
	&b24_token_part,
	&b24_limits_part,
	&b24_stat_part,
};

extern PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
	/* otherwise there is nothing to share, and every process is on its own */
	if (process_shared_preload_libraries_in_progress)
		b24_shared_preload(parts, lengthof(parts));
}
