/*-------------------------------------------------------------------------
 *
 * stringify.h
 *	  JSON as ECMAScript's JSON.stringify writes it.  Floor A: pure functions.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_STRINGIFY_H
#define BILL24_STRINGIFY_H

#include "json.h"

/* More than any takes; the longest is like -1.2345678901234567e-300. */
#define B24_NUMBER_SIZE 48

extern bool b24_stringify_number(const char *digits, char out[B24_NUMBER_SIZE]);
extern B24Status b24_stringify(const B24Json *value, B24Json **out,
							   B24Problem *problem);

#endif							/* BILL24_STRINGIFY_H */
