/*-------------------------------------------------------------------------
 *
 * json.c
 *	  JSON values, by json-c.
 *
 * json-c reads strictly here, with some things that it does not do itself:
 *
 *	- It saturates integers beyond 64 bits without a word.  Such an integer is
 *	  handed to it with "e0" behind it: then it keeps the text, from which the
 *	  "e0" is taken away again.
 *	- It takes NaN, Infinity and "1." for numbers.  They are refused.
 *	- Its version 0.18 refuses everything beyond ASCII.  It gets that escaped.
 *	- It stops at a NUL byte.  A text with one is refused.
 *	- It takes keys in single quotes.  They are refused.
 *	- A tokener remembers half of a surrogate pair, also when it is reset.  Each
 *	  text has a new one.
 *	- It takes overlong UTF-8, surrogates and characters beyond U+10FFFF.
 *	  They are refused.
 *
 *-------------------------------------------------------------------------
 */
#include "json.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "jsontext.h"

#define TEXT_FLAGS (JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)

static struct json_object *
parse_strictly(struct json_tokener *tokener, const char *text, size_t length)
{
	struct json_object *json;

	json_tokener_set_flags(tokener,
						   JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	json = json_tokener_parse_ex(tokener, text, (int) length);

	/* a number at the very end is complete only once nothing follows */
	if (json_tokener_get_error(tokener) == json_tokener_continue)
		json = json_tokener_parse_ex(tokener, "", 1);
	return json;
}

/* json-c 0.18 takes all bytes beyond ASCII for control characters. */
static bool
takes_only_ascii(void)
{
	static int	known = -1;

	if (known < 0)
	{
		struct json_tokener *tokener = json_tokener_new_ex(B24_JSON_DEPTH);

		if (tokener == NULL)
			return false;
		json_object_put(parse_strictly(tokener, "\"\xc3\xa9\"", 4));
		known = json_tokener_get_error(tokener) != json_tokener_success;
		json_tokener_free(tokener);
	}
	return known != 0;
}

/* Parses a text that b24_scan_numbers has passed. */
static B24Json *
parse_scanned(const char *text, size_t length, B24Problem *problem)
{
	struct json_tokener *tokener = json_tokener_new_ex(B24_JSON_DEPTH);
	struct json_object *json;
	enum json_tokener_error error;
	char	   *escaped = NULL;

	if (takes_only_ascii())
	{
		escaped = malloc(3 * length + 1);
		if (escaped != NULL)
			length = b24_escape_beyond_ascii(text, length, escaped);
		text = escaped;
	}
	if (tokener == NULL || text == NULL)
	{
		if (tokener != NULL)
			json_tokener_free(tokener);
		free(escaped);
		b24_problem(problem, B24_NO_MEMORY, "out of memory");
		return NULL;
	}
	json = parse_strictly(tokener, text, length);
	error = json_tokener_get_error(tokener);
	if (error == json_tokener_success && json == NULL)
		b24_problem(problem, B24_NONSENSE, "the answer is JSON null");
	else if (error == json_tokener_error_parse_eof)
		b24_problem(problem, B24_NONSENSE, "the JSON text breaks off");
	else if (error == json_tokener_error_depth)
		b24_problem(problem, B24_NONSENSE,
					"the JSON text nests deeper than %d levels", B24_JSON_DEPTH);
	else if (error == json_tokener_error_parse_utf8_string)
		b24_problem(problem, B24_NONSENSE, "the JSON text is not valid UTF-8");
	else if (error != json_tokener_success)
		b24_problem(problem, B24_NONSENSE, "the text is not JSON: %s at byte %zu",
					json_tokener_error_desc(error),
					(size_t) json_tokener_get_parse_end(tokener));
	if (error != json_tokener_success)
	{
		json_object_put(json);
		json = NULL;
	}
	json_tokener_free(tokener);
	free(escaped);
	return json;
}

/* Takes the "e0" away again; false when memory is out. */
static bool
restore_integers(struct json_object *json)
{
	struct json_object_iterator at;
	struct json_object_iterator end;
	const char *text;
	char	   *digits;
	size_t		sign;
	size_t		length;

	switch (json_object_get_type(json))
	{
		case json_type_double:
			text = json_object_to_json_string_ext(json, TEXT_FLAGS);
			if (text == NULL)
				return false;
			sign = *text == '-';
			length = strspn(text + sign, "0123456789");
			if (length <= B24_SAFE_DIGITS || strcmp(text + sign + length, "e0") != 0)
				return true;
			digits = strdup(text);
			if (digits == NULL)
				return false;
			digits[sign + length] = '\0';
			json_object_set_serializer(json, json_object_userdata_to_json_string,
									   digits, json_object_free_userdata);
			return true;
		case json_type_array:
			for (size_t i = 0; i < json_object_array_length(json); i++)
			{
				if (!restore_integers(json_object_array_get_idx(json, i)))
					return false;
			}
			return true;
		case json_type_object:
			at = json_object_iter_begin(json);
			end = json_object_iter_end(json);
			for (; !json_object_iter_equal(&at, &end); json_object_iter_next(&at))
			{
				if (!restore_integers(json_object_iter_peek_value(&at)))
					return false;
			}
			return true;
		default:
			return true;
	}
}

/*
 * Parses one JSON text.  NULL, with the problem filled in, when it is not
 * one; a bare null counts as none, since no operation answers it.
 */
B24Json *
b24_json_parse(const char *text, size_t length, B24Problem *problem)
{
	B24NumberScan scan;
	B24Json    *json;
	char	   *widened;

	/* a byte order mark is of no use, but some servers send one */
	if (length >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
	{
		text += 3;
		length -= 3;
	}
	if (length > 0x3fffffff)
	{
		b24_problem(problem, B24_TOO_LARGE, "the JSON text is too large");
		return NULL;
	}
	if (length == 0)
	{
		b24_problem(problem, B24_NONSENSE, "the answer is empty");
		return NULL;
	}
	if (memchr(text, '\0', length) != NULL)
	{
		b24_problem(problem, B24_NONSENSE, "the JSON text contains a NUL byte");
		return NULL;
	}

	if (!b24_text_is_utf8(text, length))
	{
		b24_problem(problem, B24_NONSENSE, "the JSON text is not valid UTF-8");
		return NULL;
	}

	scan = b24_scan_numbers(text, length, NULL);
	if (scan.long_integers == 0 || scan.malformed)
	{
		json = parse_scanned(text, length, problem);
		if (json != NULL && scan.malformed)
		{
			b24_problem(problem, B24_NONSENSE,
						"the JSON text has a number or a string that is none");
			json_object_put(json);
			json = NULL;
		}
		return json;
	}

	widened = malloc(length + 2 * scan.long_integers);
	if (widened == NULL)
	{
		b24_problem(problem, B24_NO_MEMORY, "out of memory");
		return NULL;
	}
	b24_scan_numbers(text, length, widened);
	json = parse_scanned(widened, length + 2 * scan.long_integers, problem);
	free(widened);
	if (json != NULL && !restore_integers(json))
	{
		b24_problem(problem, B24_NO_MEMORY, "out of memory");
		json_object_put(json);
		json = NULL;
	}
	return json;
}

B24JsonType
b24_json_type(const B24Json *json)
{
	switch (json_object_get_type(json))
	{
		case json_type_null:
			return B24_JSON_NULL;
		case json_type_boolean:
			return B24_JSON_BOOLEAN;
		case json_type_double:
		case json_type_int:
			return B24_JSON_NUMBER;
		case json_type_object:
			return B24_JSON_OBJECT;
		case json_type_array:
			return B24_JSON_ARRAY;
		case json_type_string:
			return B24_JSON_STRING;
	}
	return B24_JSON_NULL;
}

/* The type's name as JSON calls it. */
const char *
b24_json_type_name(const B24Json *json)
{
	static const char *const names[] = {
		"null", "boolean", "number", "string", "array", "object"
	};

	return names[b24_json_type(json)];
}

/* A member of an object; NULL when absent, null, or when it is no object. */
B24Json *
b24_json_get(const B24Json *object, const char *key)
{
	struct json_object *value = NULL;

	if (json_object_get_type(object) != json_type_object)
		return NULL;
	json_object_object_get_ex(object, key, &value);
	return value;
}

/* Follows a path of keys, as in "data.bill.status"; "" is the value itself. */
B24Json *
b24_json_path(const B24Json *json, const char *path)
{
	char		key[64];
	size_t		length;

	while (json != NULL && *path != '\0')
	{
		length = strcspn(path, ".");
		if (length >= sizeof(key))
			return NULL;
		memcpy(key, path, length);
		key[length] = '\0';
		json = b24_json_get(json, key);
		path += length + (path[length] == '.');
	}
	return (B24Json *) json;
}

/* The text of a string, NULL for anything else; it may contain NUL bytes. */
const char *
b24_json_string(const B24Json *json, size_t *length)
{
	if (json_object_get_type(json) != json_type_string)
		return NULL;
	if (length != NULL)
		*length = (size_t) json_object_get_string_len(json);
	return json_object_get_string((struct json_object *) json);
}

/* The digits of a number as they were read, NULL for anything else. */
const char *
b24_json_number(const B24Json *json)
{
	return b24_json_type(json) == B24_JSON_NUMBER ?
		b24_json_text(json, NULL) : NULL;
}

bool
b24_json_boolean(const B24Json *json)
{
	return json_object_get_type(json) == json_type_boolean &&
		json_object_get_boolean(json);
}

/* How many elements an array has; 0 for anything else. */
size_t
b24_json_length(const B24Json *array)
{
	return json_object_get_type(array) == json_type_array ?
		json_object_array_length(array) : 0;
}

B24Json *
b24_json_element(const B24Json *array, size_t index)
{
	return index < b24_json_length(array) ?
		json_object_array_get_idx(array, index) : NULL;
}

bool
b24_json_each(const B24Json *object, B24JsonVisit visit, void *context)
{
	struct json_object_iterator at;
	struct json_object_iterator end;

	if (json_object_get_type(object) != json_type_object)
		return true;
	at = json_object_iter_begin((struct json_object *) object);
	end = json_object_iter_end(object);
	while (!json_object_iter_equal(&at, &end))
	{
		if (!visit(json_object_iter_peek_name(&at),
				   json_object_iter_peek_value(&at), context))
			return false;
		json_object_iter_next(&at);
	}
	return true;
}

B24Json *
b24_json_new_object(void)
{
	return json_object_new_object();
}

B24Json *
b24_json_new_array(void)
{
	return json_object_new_array();
}

/* A string of valid UTF-8. */
B24Json *
b24_json_new_string(const char *text, size_t length)
{
	return json_object_new_string_len(text, (int) length);
}

/* A number, written as these digits. */
B24Json *
b24_json_new_number(const char *digits)
{
	return json_object_new_double_s(0, digits);
}

B24Json *
b24_json_new_boolean(bool value)
{
	return json_object_new_boolean(value);
}

/* One more owner of a value; each gives it up by b24_json_free or _put. */
B24Json *
b24_json_share(B24Json *json)
{
	return json_object_get(json);
}

/*
 * Sets a member.  A path with dots, as in "pagination.page_size", makes the
 * objects on its way.
 */
bool
b24_json_put(B24Json *object, const char *path, B24Json *value)
{
	const char *dot;

	while ((dot = strchr(path, '.')) != NULL)
	{
		char		key[64];
		size_t		length = (size_t) (dot - path);
		struct json_object *inner = NULL;

		if (length >= sizeof(key))
			break;
		memcpy(key, path, length);
		key[length] = '\0';
		if (!json_object_object_get_ex(object, key, &inner))
		{
			inner = json_object_new_object();
			if (inner == NULL ||
				json_object_object_add(object, key, inner) != 0)
			{
				json_object_put(inner);
				json_object_put(value);
				return false;
			}
		}
		object = inner;
		path = dot + 1;
	}
	if (json_object_object_add(object, path, value) == 0)
		return true;
	json_object_put(value);
	return false;
}

/* Sets a member of exactly that key, dots and all; takes the value over. */
bool
b24_json_set(B24Json *object, const char *key, B24Json *value)
{
	if (json_object_object_add(object, key, value) == 0)
		return true;
	json_object_put(value);
	return false;
}

bool
b24_json_append(B24Json *array, B24Json *value)
{
	if (json_object_array_add(array, value) == 0)
		return true;
	json_object_put(value);
	return false;
}

/* Gives up a value; NULL is allowed. */
void
b24_json_free(B24Json *json)
{
	json_object_put(json);
}

const char *
b24_json_text(const B24Json *json, size_t *length)
{
	size_t		ignored;

	return json_object_to_json_string_length((struct json_object *) json,
											 TEXT_FLAGS,
											 length != NULL ? length : &ignored);
}
