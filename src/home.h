/*-------------------------------------------------------------------------
 *
 * home.h
 *	  The cluster and database that an outbox belongs to.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_HOME_H
#define BILL24_HOME_H

extern bool b24_home_is_here(void);

#define B24_AWAY_MESSAGE "the outbox was copied from another database or restored from a dump, and delivers nothing"
#define B24_AWAY_HINT "If this database is to deliver its jobs from now on, and no other one does, call bill24_adopt_outbox()."

#endif							/* BILL24_HOME_H */
