/*-------------------------------------------------------------------------
 *
 * jsontext.h
 *	  What is to be known of a JSON text before a parser sees it.
 *
 * Floor A.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_JSONTEXT_H
#define BILL24_JSONTEXT_H

#include <stdbool.h>
#include <stddef.h>

/* One digit less than the shortest integer that does not fit 64 bits. */
#define B24_SAFE_DIGITS 18

/* What a scan of the numbers of a text found. */
typedef struct B24NumberScan
{
	size_t		long_integers;	/* how many do not fit 64 bits for sure */
	bool		malformed;		/* something that is no number, or no string */
} B24NumberScan;

extern bool b24_json_is_number_text(const char *text, size_t length);
extern bool b24_text_is_utf8(const char *text, size_t length);
extern size_t b24_escape_beyond_ascii(const char *text, size_t length, char *out);
extern bool b24_json_escapes_fit(const char *text, size_t length);
extern B24NumberScan b24_scan_numbers(const char *text, size_t length, char *out);

#endif							/* BILL24_JSONTEXT_H */
