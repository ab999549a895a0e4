/*
 * paycombat_text.c
 *		JSON.stringify(JSON.parse(body)), for a server that computes signatures
 *		over that.  It is written apart from the client's, to check it.
 */
#include "paycombat.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Out
{
	char	   *text;
	size_t		size;
	size_t		room;
} Out;

static void
put(Out *out, const char *text, size_t size)
{
	if (out->size + size + 1 > out->room)
	{
		out->room = (out->size + size + 1) * 2;
		out->text = realloc(out->text, out->room);
		if (out->text == NULL)
			abort();
	}
	memcpy(out->text + out->size, text, size);
	out->size += size;
	out->text[out->size] = '\0';
}

static void
put_text(Out *out, const char *text, size_t size)
{
	static const char special[] = "\b\t\n\f\r\"\\";
	static const char letters[] = "btnfr\"\\";

	put(out, "\"", 1);
	for (size_t i = 0; i < size; i++)
	{
		char		c = text[i];
		const char *found = c == '\0' ? NULL : strchr(special, c);
		char		escape[8];

		if (found != NULL)
			put(out, escape, (size_t) sprintf(escape, "\\%c",
											  letters[found - special]));
		else if ((unsigned char) c < ' ')
			put(out, escape, (size_t) sprintf(escape, "\\u%04x", c));
		else
			put(out, &c, 1);
	}
	put(out, "\"", 1);
}

/* The next number with as many digits; after all nines there is none. */
static void
round_up(char *text)
{
	size_t		i = strcspn(text, "e");

	while (i-- > 0)
	{
		if (text[i] == '.')
			continue;
		if (text[i] != '9')
		{
			text[i]++;
			return;
		}
		text[i] = '0';
	}
}

/* As Number::toString of ECMAScript has it. */
static void
put_number(Out *out, double number)
{
	char		text[64];
	char		digits[32];
	char	   *exponent;
	int			count = 0;
	int			point;

	if (number == 0 || !isfinite(number))
	{
		put(out, number == 0 ? "0" : "null", number == 0 ? 1 : 4);
		return;
	}
	for (int precision = 0; precision < 17; precision++)
	{
		sprintf(text, "%.*e", precision, fabs(number));
		if (strtod(text, NULL) == fabs(number))
			break;
		/* at a power of two, the nearest may be too far away below it */
		round_up(text);
		if (strtod(text, NULL) == fabs(number))
			break;
	}
	exponent = strchr(text, 'e');
	point = atoi(exponent + 1) + 1;
	for (const char *c = text; c < exponent; c++)
	{
		if (*c != '.')
			digits[count++] = *c;
	}
	while (count > 1 && digits[count - 1] == '0')
		count--;

	if (number < 0)
		put(out, "-", 1);
	if (point > 21 || point < -5)
	{
		put(out, digits, 1);
		if (count > 1)
		{
			put(out, ".", 1);
			put(out, digits + 1, (size_t) count - 1);
		}
		put(out, text, (size_t) sprintf(text, "e%+d", point - 1));
		return;
	}
	if (point <= 0)
		put(out, "0.", 2);
	for (int i = point; i < 0; i++)
		put(out, "0", 1);
	for (int i = 0; i < count || i < point; i++)
	{
		if (i == point && point > 0)
			put(out, ".", 1);
		put(out, i < count ? &digits[i] : "0", 1);
	}
}

/* The number of an array's element that a key is, or -1. */
static int64_t
index_of(const char *key)
{
	char		again[32];
	long long	number = strtoll(key, NULL, 10);

	sprintf(again, "%lld", number);
	return strcmp(key, again) == 0 && number >= 0 && number < 4294967295LL ?
		number : -1;
}

static void put_json(Out *out, json_object *json);

static void
put_member(Out *out, const char *key, json_object *value)
{
	if (out->text[out->size - 1] != '{')
		put(out, ",", 1);
	put_text(out, key, strlen(key));
	put(out, ":", 1);
	put_json(out, value);
}

/* Keys that are indexes come first, the smallest of them before the others. */
static void
put_object(Out *out, json_object *object)
{
	int64_t		last = -1;

	put(out, "{", 1);
	for (;;)
	{
		int64_t		next = INT64_MAX;
		const char *next_key = NULL;
		json_object *next_value = NULL;

		json_object_object_foreach(object, key, value)
		{
			int64_t		index = index_of(key);

			if (index > last && index < next)
			{
				next = index;
				next_key = key;
				next_value = value;
			}
		}
		if (next_key == NULL)
			break;
		put_member(out, next_key, next_value);
		last = next;
	}
	json_object_object_foreach(object, other, member)
	{
		if (index_of(other) < 0)
			put_member(out, other, member);
	}
	put(out, "}", 1);
}

static void
put_json(Out *out, json_object *json)
{
	switch (json_object_get_type(json))
	{
		case json_type_null:
			put(out, "null", 4);
			break;
		case json_type_boolean:
			if (json_object_get_boolean(json))
				put(out, "true", 4);
			else
				put(out, "false", 5);
			break;
		case json_type_int:
		case json_type_double:
			put_number(out, json_object_get_double(json));
			break;
		case json_type_string:
			put_text(out, json_object_get_string(json),
					 (size_t) json_object_get_string_len(json));
			break;
		case json_type_array:
			put(out, "[", 1);
			for (size_t i = 0; i < json_object_array_length(json); i++)
			{
				if (i > 0)
					put(out, ",", 1);
				put_json(out, json_object_array_get_idx(json, i));
			}
			put(out, "]", 1);
			break;
		case json_type_object:
			put_object(out, json);
			break;
	}
}

/* The text, allocated. */
char *
paycombat_stringify(json_object *json)
{
	Out			out = {NULL, 0, 0};

	put_json(&out, json);
	return out.text;
}
