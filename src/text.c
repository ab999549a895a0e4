/*-------------------------------------------------------------------------
 *
 * text.c
 *	  Text between the database's encoding and the wire's, which is UTF-8.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"
#include "text.h"

/* Longer texts of a provider are cut off in messages. */
#define MESSAGE_LIMIT 600

/*
 * A text of the database as UTF-8, perhaps the same pointer.  An SQL_ASCII
 * database does not know what its bytes mean; they must be UTF-8 already.
 * Errors: 22021 if they are not, 22P05 if a character has no equivalent.
 */
char *
b24_text_to_utf8(const char *text, int length, int *out_length)
{
	char	   *utf8;

	if (GetDatabaseEncoding() == PG_SQL_ASCII)
		pg_verify_mbstr(PG_UTF8, text, length, false);
	utf8 = pg_server_to_any(text, length, PG_UTF8);
	if (out_length != NULL)
		*out_length = utf8 == text ? length : (int) strlen(utf8);
	return utf8;
}

/*
 * Valid UTF-8 as a palloc'd text of the database.  Error 22P05 if a character
 * has no equivalent there.
 */
char *
b24_text_from_utf8(const char *text, size_t length)
{
	char	   *converted = pg_any_to_server(text, (int) length, PG_UTF8);

	return converted != text ? converted : pnstrdup(text, length);
}

/* The same, but NULL instead of the error. */
char *
b24_text_try_from_utf8(const char *text, size_t length)
{
	int			encoding = GetDatabaseEncoding();
	Size		size = length * MAX_CONVERSION_GROWTH + 1;
	char	   *out;

	if (encoding == PG_UTF8 || encoding == PG_SQL_ASCII)
		return pnstrdup(text, length);
	if (length > 0x0fffffff / MAX_CONVERSION_GROWTH)
		return NULL;
	out = palloc0(size);
	if (length > 0 &&
		!b24_try_convert(PG_UTF8, encoding, text, (int) length, out, (int) size))
	{
		pfree(out);
		return NULL;
	}
	return out;
}

/*
 * A provider's words, fit for an error message: on one line, not too long,
 * and never itself the cause of an error.  Characters that the database's
 * encoding lacks are written as \u and hexadecimal digits.
 */
char *
b24_text_for_message(const char *utf8)
{
	StringInfoData out;
	int			left = (int) strnlen(utf8, MESSAGE_LIMIT);

	initStringInfo(&out);
	while (left > 0)
	{
		int			width = pg_utf_mblen((const unsigned char *) utf8);
		char	   *local;

		if (width > left)
			break;
		if ((unsigned char) *utf8 < ' ' || *utf8 == 0x7f)
			appendStringInfoChar(&out, ' ');
		else if (!pg_utf8_islegal((const unsigned char *) utf8, width))
			appendStringInfoChar(&out, '?');
		else if (width == 1)
			appendStringInfoChar(&out, *utf8);
		else if ((local = b24_text_try_from_utf8(utf8, width)) != NULL)
			appendStringInfoString(&out, local);
		else
			appendStringInfo(&out, "\\u%04X",
							 (unsigned int) utf8_to_unicode((const unsigned char *) utf8));
		utf8 += width;
		left -= width;
	}
	if (left > 0 || *utf8 != '\0')
		appendStringInfoString(&out, "...");
	return out.data;
}
