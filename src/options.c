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

#define SERVER ForeignServerRelationId
#define MAPPING UserMappingRelationId

static const B24Option options[] = {
	/* name, catalog, kind, default, min, max, superuser */
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

	{"token", MAPPING, B24_OPTION_SECRET, NULL, 0, 0, false},
	{"client_id", MAPPING, B24_OPTION_SECRET, NULL, 0, 0, false},
	{"secret", MAPPING, B24_OPTION_SECRET, NULL, 0, 0, false},
	{"hash_token", MAPPING, B24_OPTION_SECRET, NULL, 0, 0, false},
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

/* What the user may have meant; NULL if nothing comes near. */
const char *
b24_option_nearest(const char *name, Oid catalog)
{
	const char *nearest = NULL;
	int			best = 4;		/* more edits than that are no typing error */
	int			length = strnlen(name, NAMEDATALEN);

	for (int i = 0; i < lengthof(options); i++)
	{
		int			distance;

		if (options[i].catalog != catalog)
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
check_url(const char *value)
{
	B24Problem	problem;

	if (b24_url_check_base(value, &problem) != B24_OK)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for option \"base_url\""),
				 errdetail("The value cannot be used: %s.", problem.text),
				 errhint("Write it as in https://merchantapi-demo.bill24.io.")));
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
check_value(const B24Option *option, const char *value)
{
	bool		ignored;

	/* not for the kind's own sake: a secret may stand in the wrong option */
	switch (option->kind)
	{
		case B24_OPTION_URL:
			check_url(value);
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
report_unknown(const char *name, Oid catalog)
{
	StringInfoData valid;
	const char *nearest = b24_option_nearest(name, catalog);
	Oid			elsewhere = catalog == SERVER ? MAPPING : SERVER;
	const char *where = catalog == SERVER ? "user mapping" : "server";
	const char *what = catalog == SERVER ? "server" :
		catalog == MAPPING ? "user mapping" : "foreign-data wrapper";

	initStringInfo(&valid);
	for (int i = 0; i < lengthof(options); i++)
	{
		if (options[i].catalog == catalog)
			appendStringInfo(&valid, "%s%s", valid.len > 0 ? ", " : "",
							 options[i].name);
	}
	ereport(ERROR,
			(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
			 errmsg("invalid option \"%s\" for a %s", name, what),
			 valid.len > 0 ? errdetail("Valid options are: %s.", valid.data) :
			 errdetail("There are no valid options in this context."),
			 b24_option_find(name, elsewhere) != NULL ?
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
check_together(List *list, Oid catalog)
{
	if (catalog == SERVER)
	{
		const char *url = b24_option_value(list, "base_url", catalog);

		if (url == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_FDW_OPTION_NAME_NOT_FOUND),
					 errmsg("option \"base_url\" is required"),
					 errhint("The demonstration server is https://merchantapi-demo.bill24.io.")));
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

PG_FUNCTION_INFO_V1(bill24_fdw_validator);

/*
 * Checks the options of CREATE and ALTER.  Errors: HV00D unknown option, with
 * the nearest name; 22023 bad value; HV00J base_url missing; 42501 an option
 * that only a superuser may set.
 */
Datum
bill24_fdw_validator(PG_FUNCTION_ARGS)
{
	List	   *list = untransformRelOptions(PG_GETARG_DATUM(0));
	Oid			catalog = PG_GETARG_OID(1);
	ListCell   *cell;

	foreach(cell, list)
	{
		DefElem    *def = lfirst_node(DefElem, cell);
		const B24Option *option = b24_option_find(def->defname, catalog);

		if (option == NULL)
			report_unknown(def->defname, catalog);
		if (option->superuser && !superuser())
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("permission denied to set option \"%s\"", option->name),
					 errdetail("Only a superuser can set it, or change the others while it is set.")));
		check_value(option, defGetString(def));
	}
	if (catalog == SERVER || catalog == MAPPING)
		check_together(list, catalog);
	PG_RETURN_VOID();
}
