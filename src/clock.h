/*-------------------------------------------------------------------------
 *
 * clock.h
 *	  The clock by which things are waited for.
 *
 * Floor A.  Nobody sets it, and it is the same for all processes of a machine.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_CLOCK_H
#define BILL24_CLOCK_H

#include <stdint.h>

extern int64_t b24_now_ns(void);
extern int64_t b24_now_ms(void);
extern int64_t b24_earlier_ms(int64_t a, int64_t b);

#endif							/* BILL24_CLOCK_H */
