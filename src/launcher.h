/*-------------------------------------------------------------------------
 *
 * launcher.h
 *	  The process that starts workers where there is work.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_LAUNCHER_H
#define BILL24_LAUNCHER_H

extern void b24_launcher_preload(void);
extern PGDLLEXPORT void b24_launcher_main(Datum argument);

#endif							/* BILL24_LAUNCHER_H */
