/*-------------------------------------------------------------------------
 *
 * json.h
 *	  JSON values.  Floor A; the one user of json-c.
 *
 * json-c's headers and PostgreSQL's cannot be included in one file (both
 * declare json_object), so everything else sees an opaque B24Json.
 *
 * Numbers never pass through a double: they are kept as the digits that were
 * read, and written as the digits that were given.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_JSON_H
#define BILL24_JSON_H

#include <stdbool.h>
#include <stddef.h>

#include "status.h"

typedef struct json_object B24Json;

typedef enum B24JsonType
{
	B24_JSON_NULL,				/* also: absent */
	B24_JSON_BOOLEAN,
	B24_JSON_NUMBER,
	B24_JSON_STRING,
	B24_JSON_ARRAY,
	B24_JSON_OBJECT
} B24JsonType;

/* How deep an answer may nest; the documented ones nest four levels. */
#define B24_JSON_DEPTH 32

/* reading */
extern B24Json *b24_json_parse(const char *text, size_t length,
							   B24Problem *problem);
extern B24JsonType b24_json_type(const B24Json *json);
extern const char *b24_json_type_name(const B24Json *json);
extern B24Json *b24_json_get(const B24Json *object, const char *key);
extern B24Json *b24_json_path(const B24Json *json, const char *path);
extern const char *b24_json_string(const B24Json *json, size_t *length);
extern const char *b24_json_number(const B24Json *json);
extern bool b24_json_boolean(const B24Json *json);
extern size_t b24_json_length(const B24Json *array);
extern B24Json *b24_json_element(const B24Json *array, size_t index);

/*
 * Calls visit(key, value, context) for each member until it returns false.
 * Returns false if a visit did.
 */
typedef bool (*B24JsonVisit) (const char *key, B24Json *value, void *context);
extern bool b24_json_each(const B24Json *object, B24JsonVisit visit,
						  void *context);

/*
 * Building.  All of these return false when memory is out.  b24_json_put
 * and b24_json_set take the value over, also when it fails; NULL is JSON's null.
 */
extern B24Json *b24_json_new_object(void);
extern B24Json *b24_json_new_array(void);
extern B24Json *b24_json_new_string(const char *text, size_t length);
extern B24Json *b24_json_new_number(const char *digits);
extern B24Json *b24_json_new_boolean(bool value);
extern B24Json *b24_json_share(B24Json *json);
extern bool b24_json_put(B24Json *object, const char *path, B24Json *value);
extern bool b24_json_set(B24Json *object, const char *key, B24Json *value);
extern bool b24_json_append(B24Json *array, B24Json *value);
extern void b24_json_free(B24Json *json);

/* Compact text, "/" not escaped.  Lives as long as the value is unchanged. */
extern const char *b24_json_text(const B24Json *json, size_t *length);

#endif							/* BILL24_JSON_H */
