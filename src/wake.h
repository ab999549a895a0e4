/*-------------------------------------------------------------------------
 *
 * wake.h
 *	  Waking those that deliver.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_WAKE_H
#define BILL24_WAKE_H

extern void b24_wake_at_commit(void);

#endif							/* BILL24_WAKE_H */
