/*-------------------------------------------------------------------------
 *
 * jsontext.c
 *	  What is to be known of a JSON text before a parser sees it.
 *
 *-------------------------------------------------------------------------
 */
#include "jsontext.h"

#include <stdio.h>
#include <string.h>

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Is this the text of a JSON number, all of it? */
bool
b24_json_is_number_text(const char *text, size_t length)
{
	const char *p = text;
	const char *end = text + length;
	const char *start;

	if (p < end && *p == '-')
		p++;
	start = p;
	while (p < end && is_digit(*p))
		p++;
	if (p == start || (*start == '0' && p - start > 1))
		return false;
	if (p < end && *p == '.')
	{
		start = ++p;
		while (p < end && is_digit(*p))
			p++;
		if (p == start)
			return false;
	}
	if (p < end && (*p == 'e' || *p == 'E'))
	{
		p++;
		if (p < end && (*p == '+' || *p == '-'))
			p++;
		start = p;
		while (p < end && is_digit(*p))
			p++;
		if (p == start)
			return false;
	}
	return p == end;
}

/* As PostgreSQL sees it: shortest forms only, no surrogates. */
bool
b24_text_is_utf8(const char *text, size_t length)
{
	const unsigned char *p = (const unsigned char *) text;
	const unsigned char *end = p + length;

	while (p < end)
	{
		unsigned char first = *p++;
		unsigned char low = 0x80;	/* bounds of the second byte */
		unsigned char high = 0xbf;
		int			more;

		if (first < 0x80)
			continue;
		if (first < 0xc2 || first > 0xf4)
			return false;
		more = first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
		if (first == 0xe0)
			low = 0xa0;
		else if (first == 0xed)
			high = 0x9f;
		else if (first == 0xf0)
			low = 0x90;
		else if (first == 0xf4)
			high = 0x8f;
		for (; more > 0; more--, p++)
		{
			if (p == end || *p < low || *p > high)
				return false;
			low = 0x80;
			high = 0xbf;
		}
	}
	return true;
}

/* The number of a character, whose first byte p points to; moves p behind it. */
static unsigned int
take_character(const unsigned char **p)
{
	unsigned int c = *(*p)++;
	int			more = c < 0xc0 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;

	if (more > 0)
		c &= 0x3f >> more;
	for (; more > 0; more--)
		c = c << 6 | (*(*p)++ & 0x3f);
	return c;
}

/*
 * Writes a text of valid UTF-8 with every character beyond ASCII as \\u and
 * four digits, twice for those that need it.  out has room for three times
 * the length, and a NUL.  Returns how long it is.
 */
size_t
b24_escape_beyond_ascii(const char *text, size_t length, char *out)
{
	const unsigned char *p = (const unsigned char *) text;
	const unsigned char *end = p + length;
	char	   *start = out;

	while (p < end)
	{
		unsigned int c = take_character(&p);

		if (c < 0x80)
			*out++ = (char) c;
		else if (c < 0x10000)
			out += sprintf(out, "\\u%04x", c);
		else
			out += sprintf(out, "\\u%04x\\u%04x", 0xd800 + ((c - 0x10000) >> 10),
						   0xdc00 + ((c - 0x10000) & 0x3ff));
	}
	*out = '\0';
	return (size_t) (out - start);
}

/* The number of "\\u" and four digits; -1 if there is no such thing. */
static long
escaped_character(const char *p, const char *end)
{
	long		c = 0;

	if (end - p < 6 || p[0] != '\\' || p[1] != 'u')
		return -1;
	for (int i = 2; i < 6; i++)
	{
		char		d = p[i];

		if (is_digit(d))
			c = c * 16 + d - '0';
		else if ((d >= 'a' && d <= 'f') || (d >= 'A' && d <= 'F'))
			c = c * 16 + (d | 0x20) - 'a' + 10;
		else
			return -1;
	}
	return c;
}

/*
 * Does a JSON text escape nothing but characters?  Neither NUL, which texts
 * here cannot have, nor half of a surrogate pair, which is none, and of which
 * json-c makes a replacement character.
 */
bool
b24_json_escapes_fit(const char *text, size_t length)
{
	const char *end = text + length;

	for (const char *p = text; p < end; p++)
	{
		long		c;

		if (*p != '\\')
			continue;
		c = escaped_character(p, end);
		if (c == 0 || (c >= 0xdc00 && c <= 0xdfff))
			return false;
		if (c >= 0xd800 && c <= 0xdbff)
		{
			long		second = escaped_character(p + 6, end);

			if (second < 0xdc00 || second > 0xdfff)
				return false;
			p += 6;
		}
		p += c >= 0 ? 5 : 1;
	}
	return true;
}

/*
 * Looks at every number outside strings.  With out, also copies the text
 * there, with "e0" behind each long integer.
 */
B24NumberScan
b24_scan_numbers(const char *text, size_t length, char *out)
{
	B24NumberScan scan = {0, false};
	bool		in_string = false;
	size_t		i = 0;

	while (i < length)
	{
		char		c = text[i];
		size_t		from = i;
		size_t		run;

		if (in_string)
		{
			/* an escaped character cannot end the string */
			run = c == '\\' && i + 1 < length ? 2 : 1;
			in_string = c != '"';
		}
		else if (is_digit(c) || c == '-')
		{
			bool		integer = true;

			for (run = 1; from + run < length; run++)
			{
				char		d = text[from + run];

				if (is_digit(d))
					continue;
				if (d != '.' && d != 'e' && d != 'E' && d != '+' && d != '-')
					break;
				integer = false;
			}
			if (!b24_json_is_number_text(text + from, run))
				scan.malformed = true;
			else if (integer && run - (c == '-') > B24_SAFE_DIGITS)
			{
				scan.long_integers++;
				if (out != NULL)
				{
					memcpy(out, text + from, run);
					out += run;
					memcpy(out, "e0", 2);
					out += 2;
					i += run;
					continue;
				}
			}
		}
		else
		{
			run = 1;
			in_string = c == '"';
			/* of what JSON allows outside strings, nothing has these */
			if (c == 'N' || c == 'I' || c == '\'')
				scan.malformed = true;
		}
		if (out != NULL)
		{
			memcpy(out, text + from, run);
			out += run;
		}
		i += run;
	}
	return scan;
}
