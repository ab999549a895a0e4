/*
 * config.c
 *		The configuration: one table for reading, changing and showing it.
 */
#include "sim.h"

#include <string.h>

typedef enum SettingType
{
	SETTING_INTEGER,
	SETTING_BOOLEAN,
	SETTING_WORD				/* an int, told as one of some words */
} SettingType;

typedef struct Setting
{
	const char *name;
	SettingType type;
	size_t		offset;			/* in SimConfig */
	int64_t		least;
	int64_t		most;
	const char *const *words;	/* NULL at the end */
} Setting;

static const char *const page_quirks[] = {
	"none", "repeat", "endless", "wrong_index", "empty_promise", "documented",
	NULL
};

static const char *const close_afters[] = {"false", "true", "silent", NULL};

static const char *const envelopes[] = {
	"documented", "single", "double", NULL
};

static const char *const signatures[] = {"raw", "reserialized", NULL};

static const char *const bodyless[] = {"none", "empty", "object", NULL};

#define DAY_MS	86400000

static const Setting settings[] = {
	{"latency_ms", SETTING_INTEGER, offsetof(SimConfig, latency_ms),
	0, DAY_MS, NULL},
	{"jitter_ms", SETTING_INTEGER, offsetof(SimConfig, jitter_ms),
	0, DAY_MS, NULL},
	{"token_lifetime_s", SETTING_INTEGER,
	offsetof(SimConfig, token_lifetime_s), 0, INT32_MAX, NULL},
	{"clock_skew_s", SETTING_INTEGER, offsetof(SimConfig, clock_skew_s),
	-INT32_MAX, INT32_MAX, NULL},
	{"wallet_lag_ms", SETTING_INTEGER, offsetof(SimConfig, wallet_lag_ms),
	0, DAY_MS, NULL},
	{"balance_lag_ms", SETTING_INTEGER, offsetof(SimConfig, balance_lag_ms),
	0, DAY_MS, NULL},
	{"authorize_fail_status", SETTING_INTEGER,
	offsetof(SimConfig, authorize_fail_status), 200, 599, NULL},
	{"seed", SETTING_INTEGER, offsetof(SimConfig, seed),
	INT64_MIN, INT64_MAX, NULL},
	{"keepalive_timeout_s", SETTING_INTEGER,
	offsetof(SimConfig, keepalive_timeout_s), 0, 86400, NULL},
	{"page_quirk", SETTING_WORD, offsetof(SimConfig, page_quirk),
	0, 0, page_quirks},
	{"close_after", SETTING_WORD, offsetof(SimConfig, close_after),
	0, 0, close_afters},
	{"paycombat_envelope", SETTING_WORD,
	offsetof(SimConfig, paycombat_envelope), 0, 0, envelopes},
	{"paycombat_signature", SETTING_WORD,
	offsetof(SimConfig, paycombat_signature), 0, 0, signatures},
	{"paycombat_bodyless", SETTING_WORD,
	offsetof(SimConfig, paycombat_bodyless), 0, 0, bodyless},
	{"paycombat_unique", SETTING_BOOLEAN,
	offsetof(SimConfig, paycombat_unique), 0, 1, NULL},
	{"record", SETTING_BOOLEAN, offsetof(SimConfig, record), 0, 1, NULL},
};

/* The command line changes these before the start; reset returns to them. */
SimConfig	sim_config = {
	.token_lifetime_s = 21600,
	.authorize_fail_status = 200,
	.seed = 1
};

static SimConfig start_config;

/*
 * Remember the configuration as the one to return to.
 */
void
sim_config_start(void)
{
	start_config = sim_config;
	sim_random_seed((uint64_t) sim_config.seed);
}

void
sim_config_reset(void)
{
	sim_config = start_config;
	sim_random_seed((uint64_t) sim_config.seed);
}

/*
 * Read one value into *config; false if it does not fit the setting.
 */
static bool
read_value(const Setting *setting, json_object *value, SimConfig *config)
{
	void	   *place = (char *) config + setting->offset;
	const char *word;
	int64_t		number;

	switch (setting->type)
	{
		case SETTING_INTEGER:
			if (!json_object_is_type(value, json_type_int))
				return false;
			number = json_object_get_int64(value);
			if (number < setting->least || number > setting->most)
				return false;
			*(int64_t *) place = number;
			return true;

		case SETTING_BOOLEAN:
			if (!json_object_is_type(value, json_type_boolean))
				return false;
			*(bool *) place = json_object_get_boolean(value);
			return true;

		case SETTING_WORD:
			/* true and false count as the words of their names */
			word = json_object_get_string(value);
			for (int i = 0; word != NULL && setting->words[i] != NULL; i++)
			{
				if (strcmp(word, setting->words[i]) == 0)
				{
					*(int *) place = i;
					return true;
				}
			}
			return false;
	}
	return false;
}

/*
 * Change the settings that *values names, all or none.  Returns the name that
 * is unknown or has a wrong value, or NULL.
 */
const char *
sim_config_set(json_object *values)
{
	SimConfig	changed = sim_config;

	json_object_object_foreach(values, name, value)
	{
		bool		fits = false;

		for (size_t i = 0; i < sim_lengthof(settings); i++)
		{
			if (strcmp(settings[i].name, name) == 0)
				fits = read_value(&settings[i], value, &changed);
		}
		if (!fits)
			return name;
	}

	sim_config = changed;
	if (json_object_object_get_ex(values, "seed", NULL))
		sim_random_seed((uint64_t) sim_config.seed);
	return NULL;
}

json_object *
sim_config_json(void)
{
	json_object *object = json_object_new_object();

	for (size_t i = 0; i < sim_lengthof(settings); i++)
	{
		const Setting *setting = &settings[i];
		const void *place = (const char *) &sim_config + setting->offset;

		switch (setting->type)
		{
			case SETTING_INTEGER:
				sim_put_int(object, setting->name, *(const int64_t *) place);
				break;
			case SETTING_BOOLEAN:
				sim_put(object, setting->name,
						json_object_new_boolean(*(const bool *) place));
				break;
			case SETTING_WORD:
				sim_put_text(object, setting->name,
							 setting->words[*(const int *) place]);
				break;
		}
	}
	return object;
}
