/*-------------------------------------------------------------------------
 *
 * turn.h
 *	  Which job of a key has its turn, where there are several.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_TURN_H
#define BILL24_TURN_H

#include "backlog.h"

extern void b24_turns_find(List *claims);

#endif							/* BILL24_TURN_H */
