/*-------------------------------------------------------------------------
 *
 * unit.h
 *	  What the unit tests share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_UNIT_H
#define BILL24_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "json.h"
#include "jsontext.h"

#define COUNT(array_) (sizeof(array_) / sizeof((array_)[0]))

/* A JSON text that must be one. */
static inline B24Json *
json(const char *text)
{
	B24Problem	problem = {B24_OK, ""};
	B24Json    *parsed = b24_json_parse(text, strlen(text), &problem);

	if (parsed == NULL)
		fail_msg("\"%s\" does not parse: %s", text, problem.text);
	return parsed;
}

/* Is this valid UTF-8 to PostgreSQL: shortest form, no surrogates? */
static inline bool
is_utf8(const char *text, size_t length)
{
	const unsigned char *p = (const unsigned char *) text;
	const unsigned char *end = p + length;

	while (p < end)
	{
		int			more;
		unsigned int least;
		unsigned int value;

		if (*p < 0x80)
		{
			p++;
			continue;
		}
		if ((*p & 0xe0) == 0xc0)
			more = 1, least = 0x80, value = *p & 0x1f;
		else if ((*p & 0xf0) == 0xe0)
			more = 2, least = 0x800, value = *p & 0x0f;
		else if ((*p & 0xf8) == 0xf0)
			more = 3, least = 0x10000, value = *p & 0x07;
		else
			return false;
		if (end - p <= more)
			return false;
		for (p++; more > 0; more--, p++)
		{
			if ((*p & 0xc0) != 0x80)
				return false;
			value = value << 6 | (*p & 0x3f);
		}
		if (value < least || value > 0x10ffff ||
			(value >= 0xd800 && value <= 0xdfff))
			return false;
	}
	return true;
}

#endif							/* BILL24_UNIT_H */
