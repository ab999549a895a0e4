/*
 * effect.c
 *		What really happened: every customer created, updated, deleted, and
 *		every charge, in order and counted by key.  This is how a test proves
 *		that something happened once.
 *
 * Counts last for the whole life: a customer that is created, deleted and
 * created again counts two creations.
 */
#include "state.h"

#include <stdlib.h>
#include <string.h>

/* The kinds of effects, and the names of their counters. */
static const struct
{
	const char *effect;
	const char *counter;
	const char *total;
}			kinds[] = {
	{"create", "created", "customers_created"},
	{"update", "updated", "customers_updated"},
	{"delete", "deleted", "customers_deleted"},
	{"charge", "charges", "charges"},
};

#define KINDS	sim_lengthof(kinds)

typedef struct KeyCount
{
	char	   *key;
	int64_t		counts[KINDS];
	UT_hash_handle hh;
} KeyCount;

static KeyCount *by_key;
static int64_t totals[KINDS];
static json_object **effects;
static size_t effect_count;
static size_t effect_room;

static size_t
kind_number(const char *effect)
{
	size_t		i = 0;

	while (i < KINDS && strcmp(kinds[i].effect, effect) != 0)
		i++;
	if (i == KINDS)
		abort();
	return i;
}

/*
 * Count an effect under a key without listing it: a charge counts under its
 * ref_id, where it is listed, and under its customer, where it is not.
 */
void
sim_effect_count(const char *effect, const char *key)
{
	KeyCount   *count;

	HASH_FIND_STR(by_key, key, count);
	if (count == NULL)
	{
		count = sim_alloc(sizeof(KeyCount));
		count->key = sim_strdup(key);
		HASH_ADD_KEYPTR(hh, by_key, count->key, strlen(count->key), count);
	}
	count->counts[kind_number(effect)]++;
}

/*
 * An effect has happened, by an event that tells when; *more, which is given
 * away, tells more about it.
 */
void
sim_effect_add(const char *effect, const char *key, json_object *event,
			   json_object *more)
{
	json_object *entry = json_object_new_object();

	totals[kind_number(effect)]++;
	sim_effect_count(effect, key);

	if (effect_count == effect_room)
	{
		effect_room = effect_room * 2 + 1024;
		effects = realloc(effects, effect_room * sizeof(*effects));
		if (effects == NULL)
			abort();
	}
	sim_put_int(entry, "n", (int64_t) effect_count + 1);
	sim_put_text(entry, "effect", effect);
	sim_put_text(entry, "key", key);
	sim_put_int(entry, "at", sim_integer(event, "at", 0));
	json_object_object_foreach(more, name, value)
		json_object_object_add(entry, name, json_object_get(value));
	json_object_put(more);
	effects[effect_count++] = entry;
}

/* The counts of one key, all zero if nothing ever happened to it. */
json_object *
sim_effect_key_json(const char *key)
{
	json_object *object = json_object_new_object();
	KeyCount   *count;

	HASH_FIND_STR(by_key, key, count);
	for (size_t i = 0; i < KINDS; i++)
		sim_put_int(object, kinds[i].counter,
					count == NULL ? 0 : count->counts[i]);
	return object;
}

json_object *
sim_effect_list_json(int64_t from, int64_t limit)
{
	json_object *list = json_object_new_array();

	if (from < 1)
		from = 1;
	for (int64_t n = from; n <= (int64_t) effect_count && limit-- > 0; n++)
		json_object_array_add(list, json_object_get(effects[n - 1]));
	return list;
}

json_object *
sim_effect_totals_json(void)
{
	json_object *object = json_object_new_object();

	for (size_t i = 0; i < KINDS; i++)
		sim_put_int(object, kinds[i].total, totals[i]);
	return object;
}

void
sim_effects_reset(void)
{
	KeyCount   *count;
	KeyCount   *next;

	HASH_ITER(hh, by_key, count, next)
	{
		HASH_DEL(by_key, count);
		free(count->key);
		free(count);
	}
	for (size_t i = 0; i < effect_count; i++)
		json_object_put(effects[i]);
	effect_count = 0;
	memset(totals, 0, sizeof(totals));
}
