/*-------------------------------------------------------------------------
 *
 * worker.h
 *	  The background worker of a database.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_WORKER_H
#define BILL24_WORKER_H

#include "postmaster/bgworker.h"

#include "roster.h"

/* bill24.workers, bill24.worker_idle_timeout */
extern int	b24_workers;
extern int	b24_worker_idle_timeout;

extern bool b24_worker_start(const B24Place *place, BackgroundWorkerHandle **handle);
extern PGDLLEXPORT void b24_worker_main(Datum argument);

#endif							/* BILL24_WORKER_H */
