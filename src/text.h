/*-------------------------------------------------------------------------
 *
 * text.h
 *	  Text between the database's encoding and the wire's, which is UTF-8.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_TEXT_H
#define BILL24_TEXT_H

#include <stddef.h>

#include "json.h"

extern char *b24_text_to_utf8(const char *text, int length, int *out_length);
extern char *b24_text_from_utf8(const char *text, size_t length);
extern char *b24_text_try_from_utf8(const char *text, size_t length);
extern char *b24_text_for_message(const char *utf8);

#endif							/* BILL24_TEXT_H */
