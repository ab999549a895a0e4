/*-------------------------------------------------------------------------
 *
 * wake.c
 *	  Waking those that deliver.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "wake.h"

/* This transaction enqueued: its commit wakes who delivers. */
void
b24_wake_at_commit(void)
{
}
