/*-------------------------------------------------------------------------
 *
 * options.c
 *	  The options of servers and user mappings: one table, which drives
 *	  validation, defaults and hints.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/reloptions.h"
#include "catalog/pg_foreign_data_wrapper.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_user_mapping.h"
#include "commands/defrem.h"
#include "compat.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/varlena.h"

#include "http.h"
#include "options.h"
#include "provider.h"

#define SERVER ForeignServerRelationId
#define MAPPING UserMappingRelationId

void		(*b24_options_of_mapping_change) (void) = NULL;

static const B24Option options[] = {
	/* name, catalog, kind, default, min, max, superuser, provider, words */
	{"base_url", SERVER, B24_OPTION_URL, NULL, 0, 0, false},
	{"allow_http", SERVER, B24_OPTION_BOOLEAN, "false", 0, 0, true},
	{"ca_file", SERVER, B24_OPTION_FILE, NULL, 0, 0, true},
	{"connect_timeout", SERVER, B24_OPTION_MILLISECONDS, "5s", 1, 3600 * 1000, false},
	{"request_timeout", SERVER, B24_OPTION_MILLISECONDS, "30s", 1, 3600 * 1000, false},
	{"max_response_size", SERVER, B24_OPTION_BYTES, "4MB", 1024, 512 * 1024 * 1024, false},
	{"max_in_flight", SERVER, B24_OPTION_COUNT, "64", 1, 1000, false},
	{"max_per_second", SERVER, B24_OPTION_COUNT, "0", 0, 100000, false},
	{"circuit_failures", SERVER, B24_OPTION_COUNT, "10", 0, 10000, false},
	{"max_attempts", SERVER, B24_OPTION_COUNT, "20", 1, 10000, false},
	{"retry_delay", SERVER, B24_OPTION_MILLISECONDS, "1s", 1, 3600 * 1000, false},
	{"retention", SERVER, B24_OPTION_SECONDS, "7d", 0, 3650 * 86400, false},
	{"mirror", SERVER, B24_OPTION_BOOLEAN, "true", 0, 0, false},
	{"sync_interval", SERVER, B24_OPTION_SECONDS, "1h", 1, 365 * 86400, false},
	{"min_sync_interval", SERVER, B24_OPTION_SECONDS, "1min", 1, 365 * 86400, false},
	{"second_look", SERVER, B24_OPTION_SECONDS, "20s", 0, 86400, false},

	/* PayCombat: may a create whose answer was lost be sent again? */
	{"resend_unknown", SERVER, B24_OPTION_BOOLEAN, "false", 0, 0, false, &b24_paycombat},

	/* PayCombat: what PATCH without a body is signed as */
	{"bodyless_signature", SERVER, B24_OPTION_WORD, "none", 0, 0, false, &b24_paycombat,
	"none, empty, object"},

	/* PayCombat: paths that turned out to be others */
	{"create_customer_path", SERVER, B24_OPTION_PATH, NULL, 0, 0, false, &b24_paycombat},
	{"update_customer_path", SERVER, B24_OPTION_PATH, NULL, 0, 0, false, &b24_paycombat},
	{"get_customer_path", SERVER, B24_OPTION_PATH, NULL, 0, 0, false, &b24_paycombat},
	{"disable_customer_path", SERVER, B24_OPTION_PATH, NULL, 0, 0, false, &b24_paycombat},
	{"delete_customer_path", SERVER, B24_OPTION_PATH, NULL, 0, 0, false, &b24_paycombat},

	{"token", MAPPING, B24_OPTION_SECRET, NULL, 0, 0, false, &b24_bill24},
	{"client_id", MAPPING, B24_OPTION_SECRET, NULL, 0, 0, false, &b24_bill24},
	{"secret", MAPPING, B24_OPTION_SECRET, NULL, 0, 0, false, &b24_bill24},
	{"hash_token", MAPPING, B24_OPTION_SECRET, NULL, 0, 0, false, &b24_bill24},
	{"x_token", MAPPING, B24_OPTION_SECRET, NULL, 0, 0, false, &b24_paycombat},
	{"signature_key", MAPPING, B24_OPTION_SECRET, NULL, 0, 0, false, &b24_paycombat},
	{"credentials_file", MAPPING, B24_OPTION_FILE, NULL, 0, 0, true},
};

/* The option of that name, NULL if there is none. */
const B24Option *
b24_option_find(const char *name, Oid catalog)
{
	for (int i = 0; i < lengthof(options); i++)
	{
		if (options[i].catalog == catalog && strcmp(options[i].name, name) == 0)
			return &options[i];
	}
	return NULL;
}

/* Has a provider's server, or a mapping of it, such an option? */
static bool
is_of(const B24Option *option, Oid catalog, const B24Provider *provider)
{
	return option->catalog == catalog &&
		(option->provider == NULL || option->provider == provider);
}

/* What the user may have meant; NULL if nothing comes near. */
static const char *
nearest_option(const char *name, Oid catalog, const B24Provider *provider)
{
	const char *nearest = NULL;
	int			best = 4;		/* more edits than that are no typing error */
	int			length = strnlen(name, NAMEDATALEN);

	for (int i = 0; i < lengthof(options); i++)
	{
		int			distance;

		if (!is_of(&options[i], catalog, provider))
			continue;
		distance = varstr_levenshtein_less_equal(name, length, options[i].name,
												 strlen(options[i].name),
												 1, 1, 1, best, true);
		if (distance < best)
		{
			best = distance;
			nearest = options[i].name;
		}
	}
	return nearest;
}

/* The value given, or the default; NULL if there is neither. */
const char *
b24_option_value(List *list, const char *name, Oid catalog)
{
	ListCell   *cell;

	foreach(cell, list)
	{
		DefElem    *def = lfirst_node(DefElem, cell);

		if (strcmp(def->defname, name) == 0)
			return defGetString(def);
	}
	return b24_option_find(name, catalog)->fallback;
}

static int
unit_of(const B24Option *option)
{
	switch (option->kind)
	{
		case B24_OPTION_MILLISECONDS:
			return GUC_UNIT_MS;
		case B24_OPTION_SECONDS:
			return GUC_UNIT_S;
		case B24_OPTION_BYTES:
			return GUC_UNIT_BYTE;
		default:
			return 0;
	}
}

static bool
read_number(const B24Option *option, const char *value, int *number,
			const char **hint)
{
	int			unit = unit_of(option);

	return parse_int(value, number, unit, hint) &&
		(unit != 0 || strspn(value, "0123456789") == strlen(value));
}

static void
check_number(const B24Option *option, const char *value)
{
	int			number = 0;
	const char *hint = NULL;
	int			unit = unit_of(option);

	if (!read_number(option, value, &number, &hint))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for option \"%s\": \"%s\"",
						option->name, value),
				 hint != NULL ? errhint("%s", hint) : 0));
	if (number < option->min || number > option->max)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%d is out of range for option \"%s\"", number, option->name),
				 errdetail("The value must be between %d and %d%s.",
						   option->min, option->max,
						   unit == GUC_UNIT_MS ? " milliseconds" :
						   unit == GUC_UNIT_S ? " seconds" :
						   unit == GUC_UNIT_BYTE ? " bytes" : "")));
}

/*
 * A number in its base unit: milliseconds, seconds, bytes or pieces.  The
 * validator has seen it, unless somebody took the validator away: the default
 * stands in for what is no such number, with a problem.
 */
B24Status
b24_option_number(List *list, const char *name, Oid catalog, int *number,
				  B24Problem *problem)
{
	const B24Option *option = b24_option_find(name, catalog);
	const char *hint;

	if (read_number(option, b24_option_value(list, name, catalog), number, &hint) &&
		*number >= option->min && *number <= option->max)
		return B24_OK;
	(void) read_number(option, option->fallback, number, &hint);
	return b24_problem(problem, B24_BAD_ARGUMENT,
					   "the value of option \"%s\" is of no use", name);
}

/* The same for a truth value; what is none counts as false. */
bool
b24_option_boolean(List *list, const char *name, Oid catalog)
{
	bool		value = false;

	return parse_bool(b24_option_value(list, name, catalog), &value) && value;
}

static void
check_url(const char *value, const B24Provider *provider)
{
	B24Problem	problem;

	if (b24_url_check_base(value, &problem) != B24_OK)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for option \"base_url\""),
				 errdetail("The value cannot be used: %s.", problem.text),
				 errhint("Write it as in %s.", provider->base_url_example)));
}

static void
check_word(const B24Option *option, const char *value)
{
	const char *found = value[0] != '\0' && strpbrk(value, ", ") == NULL ?
		strstr(option->words, value) : NULL;
	size_t		length = strlen(value);

	if (found == NULL || (found != option->words && found[-1] != ' ') ||
		(found[length] != ',' && found[length] != '\0'))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for option \"%s\"", option->name),
				 errhint("It is one of: %s.", option->words)));
}

/*
 * A path has to name what the operation's own names, and nothing else; what is
 * in it goes out as it is.
 */
static void
check_path(const B24Option *option, const char *value)
{
	const char *own = NULL;
	const char *place;
	const char *why = NULL;

	for (int i = 0; i < B24_EP_COUNT; i++)
	{
		if (b24_endpoints[i].path_option != NULL &&
			strcmp(b24_endpoints[i].path_option, option->name) == 0)
			own = b24_endpoints[i].path;
	}
	Assert(own != NULL);
	place = strchr(own, '{');
	if (value[0] != '/')
		why = "It does not begin with \"/\".";
	for (const char *p = value; *p != '\0' && why == NULL; p++)
	{
		if ((unsigned char) *p <= ' ' || (unsigned char) *p >= 0x7f ||
			strchr("#\\?", *p) != NULL)
			why = "It has a character that must be percent-encoded, or a query.";
		else if (*p == '{' && place != NULL && strncmp(p, place, strlen(place)) == 0)
			p += strlen(place) - 1;
		else if (*p == '{' || *p == '}')
			why = "It names something else in braces.";
	}
	if (why == NULL && place != NULL && strstr(value, place) == NULL)
		why = psprintf("It does not have %s in it.", place);
	if (why != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for option \"%s\"", option->name),
				 errdetail("%s", why),
				 errhint("Write it as in %s.", own)));
}

static void
check_secret(const B24Option *option, const char *value)
{
	if (value[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"%s\" must not be empty", option->name)));
}

static void
check_value(const B24Option *option, const char *value,
			const B24Provider *provider)
{
	bool		ignored;

	/* not for the kind's own sake: a secret may stand in the wrong option */
	switch (option->kind)
	{
		case B24_OPTION_URL:
			check_url(value, provider);
			break;
		case B24_OPTION_MILLISECONDS:
		case B24_OPTION_SECONDS:
		case B24_OPTION_BYTES:
		case B24_OPTION_COUNT:
			check_number(option, value);
			break;
		case B24_OPTION_BOOLEAN:
			if (!parse_bool(value, &ignored))
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("option \"%s\" requires a Boolean value",
								option->name)));
			break;
		case B24_OPTION_WORD:
			check_word(option, value);
			break;
		case B24_OPTION_PATH:
			check_path(option, value);
			break;
		case B24_OPTION_FILE:
			if (!is_absolute_path(value))
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("option \"%s\" must be an absolute path",
								option->name)));
			break;
		case B24_OPTION_SECRET:
			check_secret(option, value);
			break;
	}
}

static void
report_unknown(const char *name, Oid catalog, const B24Provider *provider)
{
	StringInfoData valid;
	const char *nearest = nearest_option(name, catalog, provider);
	const B24Option *elsewhere = b24_option_find(name, catalog == SERVER ? MAPPING : SERVER);
	const char *where = catalog == SERVER ? "user mapping" : "server";
	const char *what = catalog == SERVER ? "server" :
		catalog == MAPPING ? "user mapping" : "foreign-data wrapper";

	initStringInfo(&valid);
	for (int i = 0; i < lengthof(options); i++)
	{
		if (is_of(&options[i], catalog, provider))
			appendStringInfo(&valid, "%s%s", valid.len > 0 ? ", " : "",
							 options[i].name);
	}
	ereport(ERROR,
			(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
			 errmsg("invalid option \"%s\" for a %s", name, what),
			 valid.len > 0 ? errdetail("Valid options are: %s.", valid.data) :
			 errdetail("There are no valid options in this context."),
			 elsewhere != NULL && is_of(elsewhere, elsewhere->catalog, provider) ?
			 errhint("\"%s\" is an option of a %s.", name, where) :
			 nearest != NULL ? errhint("Perhaps you meant the option \"%s\".", nearest) : 0));
}

static bool
is_given(List *list, const char *name)
{
	ListCell   *cell;

	foreach(cell, list)
	{
		if (strcmp(lfirst_node(DefElem, cell)->defname, name) == 0)
			return true;
	}
	return false;
}

static void
check_intervals(List *list)
{
	int			least;
	int			most;
	B24Problem	ignored;

	(void) b24_option_number(list, "min_sync_interval", SERVER, &least, &ignored);
	(void) b24_option_number(list, "sync_interval", SERVER, &most, &ignored);
	if (least > most && is_given(list, "min_sync_interval"))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"min_sync_interval\" must not be more than \"sync_interval\""),
				 errdetail("They are %d and %d seconds.", least, most)));
}

/*
 * What only holds between options.  A server needs an address; http is for
 * those who said so; a mapping has its secrets here or in a file.
 */
static void
check_together(List *list, Oid catalog, const B24Provider *provider)
{
	if (catalog == SERVER)
	{
		const char *url = b24_option_value(list, "base_url", catalog);

		if (url == NULL)
			url = provider->base_url;
		if (url == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_FDW_OPTION_NAME_NOT_FOUND),
					 errmsg("option \"base_url\" is required"),
					 errhint("The demonstration server is %s.", provider->base_url_example)));
		if (!b24_url_is_https(url) &&
			!b24_option_boolean(list, "allow_http", catalog))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("option \"base_url\" must begin with https://"),
					 errdetail("Over http, tokens and payments could be read and changed on the way."),
					 errhint("For tests on one machine, a superuser can set the server option allow_http.")));
		check_intervals(list);
	}
	else if (catalog == MAPPING &&
			 b24_option_value(list, "credentials_file", catalog) != NULL &&
			 list_length(list) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"credentials_file\" excludes all others"),
				 errhint("Put the secrets either into the file or into the user mapping.")));
}

/*
 * Checks the options of CREATE and ALTER.  Errors: HV00D unknown option, with
 * the nearest name; 22023 bad value; HV00J base_url missing; 42501 an option
 * that only a superuser may set.
 */
static Datum
validate(FunctionCallInfo fcinfo, const B24Provider *provider)
{
	List	   *list = untransformRelOptions(PG_GETARG_DATUM(0));
	Oid			catalog = PG_GETARG_OID(1);
	ListCell   *cell;

	foreach(cell, list)
	{
		DefElem    *def = lfirst_node(DefElem, cell);
		const B24Option *option = b24_option_find(def->defname, catalog);

		if (option == NULL || !is_of(option, catalog, provider))
			report_unknown(def->defname, catalog, provider);
		if (option->superuser && !superuser())
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("permission denied to set option \"%s\"", option->name),
					 errdetail("Only a superuser can set it, or change the others while it is set.")));
		check_value(option, defGetString(def), provider);
	}
	if (catalog == SERVER || catalog == MAPPING)
		check_together(list, catalog, provider);
	if (catalog == MAPPING && b24_options_of_mapping_change != NULL)
		b24_options_of_mapping_change();
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(bill24_fdw_validator);

/* The options of Bill24's servers and user mappings. */
Datum
bill24_fdw_validator(PG_FUNCTION_ARGS)
{
	return validate(fcinfo, &b24_bill24);
}

PG_FUNCTION_INFO_V1(paycombat_fdw_validator);

/* Those of PayCombat's. */
Datum
paycombat_fdw_validator(PG_FUNCTION_ARGS)
{
	return validate(fcinfo, &b24_paycombat);
}
