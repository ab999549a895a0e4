/*
 * text.c
 *		Memory that is there or the process is not, and short ways to read and
 *		build JSON objects.
 */
#include "sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Zeroed memory; running out of it ends the simulator. */
void *
sim_alloc(size_t size)
{
	void	   *memory = calloc(1, size);

	if (memory == NULL)
	{
		fprintf(stderr, "b24sim: out of memory\n");
		exit(1);
	}
	return memory;
}

/* A copy, or NULL of NULL. */
char *
sim_strdup(const char *text)
{
	size_t		size;

	if (text == NULL)
		return NULL;
	size = strlen(text) + 1;
	return memcpy(sim_alloc(size), text, size);
}

/* The member's text, or NULL if it is absent, null or no string. */
const char *
sim_text(json_object *object, const char *key)
{
	json_object *value;

	if (!json_object_object_get_ex(object, key, &value) ||
		!json_object_is_type(value, json_type_string))
		return NULL;
	return json_object_get_string(value);
}

int64_t
sim_integer(json_object *object, const char *key, int64_t otherwise)
{
	json_object *value;

	if (!json_object_object_get_ex(object, key, &value) || value == NULL)
		return otherwise;
	return json_object_get_int64(value);
}

bool
sim_boolean(json_object *object, const char *key, bool otherwise)
{
	json_object *value;

	if (!json_object_object_get_ex(object, key, &value) || value == NULL)
		return otherwise;
	return json_object_get_boolean(value);
}

/*
 * The exact amount of a number, or of a text that is one.
 *
 * The library keeps the source text of fractions, but not that of integers
 * beyond 64 bits, which it cuts to the largest it knows: those are refused.
 */
bool
sim_amount(json_object *value, SimMoney *money)
{
	if (json_object_is_type(value, json_type_int) &&
		(json_object_get_uint64(value) == UINT64_MAX ||
		 json_object_get_int64(value) == INT64_MIN))
		return false;
	if (!json_object_is_type(value, json_type_int) &&
		!json_object_is_type(value, json_type_double) &&
		!json_object_is_type(value, json_type_string))
		return false;
	return sim_money_parse(json_object_get_string(value), money);
}

/*
 * Add a member.  The key must be a constant, and must be new in the object.
 */
void
sim_put(json_object *object, const char *key, json_object *value)
{
	json_object_object_add_ex(object, key, value,
							  JSON_C_OBJECT_ADD_KEY_IS_NEW |
							  JSON_C_OBJECT_KEY_IS_CONSTANT);
}

/* A text, or null. */
void
sim_put_text(json_object *object, const char *key, const char *value)
{
	sim_put(object, key, value == NULL ? NULL : json_object_new_string(value));
}

void
sim_put_int(json_object *object, const char *key, int64_t value)
{
	sim_put(object, key, json_object_new_int64(value));
}

/* A JSON number with exactly the digits of the amount. */
void
sim_put_money(json_object *object, const char *key, SimMoney value)
{
	char		text[SIM_MONEY_SIZE];

	sim_money_text(value, text);
	sim_put(object, key, json_object_new_double_s(0, text));
}

void
sim_put_uuid(json_object *object, const char *key, uint64_t serial)
{
	char		text[SIM_UUID_SIZE];

	sim_uuid(serial, text);
	sim_put_text(object, key, text);
}
