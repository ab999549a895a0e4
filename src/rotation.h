/*-------------------------------------------------------------------------
 *
 * rotation.h
 *	  Jobs and customers follow a user mapping that gets other credentials.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_ROTATION_H
#define BILL24_ROTATION_H

extern void b24_rotation_init(void);

#endif							/* BILL24_ROTATION_H */
