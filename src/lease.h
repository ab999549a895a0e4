/*-------------------------------------------------------------------------
 *
 * lease.h
 *	  Which process has a job.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_LEASE_H
#define BILL24_LEASE_H

extern int64 b24_lease_take(void);
extern void b24_lease_give_back(int64 lease);
extern bool b24_lease_is_over(int64 lease);
extern void b24_lease_exclude_others(void);
extern bool b24_lease_is_excluded(void);
extern bool b24_lease_looks(void);
extern void b24_lease_end_looks(void);

#endif							/* BILL24_LEASE_H */
