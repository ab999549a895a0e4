/*-------------------------------------------------------------------------
 *
 * apart.h
 *	  Work whose errors undo no more than itself.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_APART_H
#define BILL24_APART_H

extern ErrorData *b24_apart(void (*work) (void *), void *argument);

#endif							/* BILL24_APART_H */
