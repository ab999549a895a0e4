/*-------------------------------------------------------------------------
 *
 * utility.h
 *	  Statements that concern workers: of databases, and COMMIT PREPARED.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_UTILITY_H
#define BILL24_UTILITY_H

extern void b24_utility_preload(void);

#endif							/* BILL24_UTILITY_H */
