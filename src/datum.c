/*-------------------------------------------------------------------------
 *
 * datum.c
 *	  SQL values to JSON, as the declaration of a function says.
 *
 * The declaration is the schema of the parameters: an argument without
 * DEFAULT is required, one that is NULL is omitted, and the type decides what
 * it is in JSON:
 *
 *	smallint ... numeric	a number with exactly its digits, without trailing
 *							zeros of the fraction; an amount, so not negative
 *	boolean					true, false
 *	json, jsonb				what it is
 *	date					2025-11-20
 *	timestamp				2025-11-20T10:13:58
 *	timestamptz				a midnight of the session's time zone is that date;
 *							any other instant is written in UTC, with "Z"
 *	everything else			a string
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "compat.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "datum.h"
#include "jsontext.h"
#include "report.h"
#include "text.h"

/* Longest texts in characters, where the provider is known to have a limit. */
static const struct
{
	const char *name;
	int			characters;
}			limits[] = {
	{"sync_code", 50},			/* observed on the demo server */
};

/*
 * Characters as the provider counts them.  What an SQL_ASCII database holds
 * goes out as UTF-8.
 */
static int
count_characters(const char *text, int length)
{
	int			characters = 0;

	if (GetDatabaseEncoding() != PG_SQL_ASCII)
		return pg_mbstrlen_with_len(text, length);
	for (int i = 0; i < length; i++)
		characters += ((unsigned char) text[i] & 0xc0) != 0x80;
	return characters;
}

/* A text argument must not be empty if it is required, nor too long. */
bool
b24_text_argument_fits(const char *name, const char *text, int length,
					   bool required, B24Problem *problem)
{
	if (required && length == 0)
	{
		b24_problem(problem, B24_BAD_ARGUMENT, "argument \"%s\" must not be empty",
					name);
		return false;
	}
	for (int i = 0; i < lengthof(limits); i++)
	{
		int			characters;

		if (length <= limits[i].characters || strcmp(limits[i].name, name) != 0)
			continue;
		characters = count_characters(text, length);
		if (characters > limits[i].characters)
		{
			b24_problem(problem, B24_TOO_LONG,
						"argument \"%s\" has %d characters, but the provider takes at most %d",
						name, characters, limits[i].characters);
			return false;
		}
	}
	return true;
}

static B24Json *
string_json(const char *text, int length)
{
	const char *utf8 = b24_text_to_utf8(text, length, &length);

	return b24_json_new_string(utf8, length);
}

static B24Json *
number_json(const B24Parameter *p, Datum value)
{
	const char *digits;

	if (p->type == NUMERICOID)
	{
		value = DirectFunctionCall1(numeric_trim_scale, value);
		digits = DatumGetCString(DirectFunctionCall1(numeric_out, value));
	}
	else
		digits = OutputFunctionCall(unconstify(FmgrInfo *, &p->output), value);
	if (digits[0] == '-' || !b24_json_is_number_text(digits, strlen(digits)))
		ereport(ERROR,
				(errcode(b24_sqlstate(B24_BAD_NUMBER)),
				 errmsg("argument \"%s\" must be finite and not negative", p->name),
				 errdetail("The value is %s.", digits)));
	return b24_json_new_number(digits);
}

static B24Json *
document_json(const B24Parameter *p, Datum value)
{
	char	   *text = OutputFunctionCall(unconstify(FmgrInfo *, &p->output), value);
	int			length;
	B24Problem	problem;
	B24Json    *json;

	text = b24_text_to_utf8(text, strlen(text), &length);

	/* jsonb has none of these */
	if (!b24_json_escapes_fit(text, length))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" cannot be sent", p->name),
				 errdetail("It escapes a NUL character, or half of a surrogate pair.")));
	if (strcmp(text, "null") == 0)
		return NULL;			/* JSON's null */
	json = b24_json_parse(text, length, &problem);
	if (json == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" cannot be sent", p->name),
				 errdetail("%s.", problem.text)));
	return json;
}

static void
no_such_time(const B24Parameter *p)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
			 errmsg("argument \"%s\" must be a finite time between the years 1 and 9999",
					p->name)));
}

static B24Json *
time_json(const B24Parameter *p, Datum value)
{
	struct pg_tm tm;
	fsec_t		fsec = 0;
	int			tz = 0;
	char		text[64];
	bool		is_date = false;
	const char *zone = "";

	memset(&tm, 0, sizeof(tm));
	if (p->type == DATEOID)
	{
		DateADT		date = DatumGetDateADT(value);

		if (DATE_NOT_FINITE(date))
			no_such_time(p);
		j2date(date + POSTGRES_EPOCH_JDATE, &tm.tm_year, &tm.tm_mon, &tm.tm_mday);
		is_date = true;
	}
	else
	{
		Timestamp	timestamp = DatumGetTimestamp(value);

		if (TIMESTAMP_NOT_FINITE(timestamp))
			no_such_time(p);
		if (p->type == TIMESTAMPTZOID)
		{
			if (timestamp2tm(timestamp, &tz, &tm, &fsec, NULL, NULL) != 0)
				no_such_time(p);
			is_date = tm.tm_hour == 0 && tm.tm_min == 0 && tm.tm_sec == 0 && fsec == 0;
			zone = "Z";
		}
		if (!is_date && timestamp2tm(timestamp, NULL, &tm, &fsec, NULL, NULL) != 0)
			no_such_time(p);
	}
	if (tm.tm_year < 1 || tm.tm_year > 9999)
		no_such_time(p);

	if (is_date)
		snprintf(text, sizeof(text), "%04d-%02d-%02d", tm.tm_year, tm.tm_mon,
				 tm.tm_mday);
	else if (fsec / 1000 != 0)
		snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d.%03d%s",
				 tm.tm_year, tm.tm_mon, tm.tm_mday, tm.tm_hour, tm.tm_min,
				 tm.tm_sec, (int) (fsec / 1000), zone);
	else
		snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d%s",
				 tm.tm_year, tm.tm_mon, tm.tm_mday, tm.tm_hour, tm.tm_min,
				 tm.tm_sec, zone);
	return b24_json_new_string(text, strlen(text));
}

static B24Json *
value_json(const B24Parameter *p, Datum value)
{
	switch (p->type)
	{
		case TEXTOID:
		case VARCHAROID:
			{
				text	   *t = DatumGetTextPP(value);
				int			length = VARSIZE_ANY_EXHDR(t);
				B24Problem	problem;

				if (!b24_text_argument_fits(p->name, VARDATA_ANY(t), length,
											p->required, &problem))
					ereport(ERROR,
							(errcode(b24_sqlstate(problem.status)),
							 errmsg("%s", problem.text)));
				return string_json(VARDATA_ANY(t), length);
			}
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case NUMERICOID:
			return number_json(p, value);
		case BOOLOID:
			return b24_json_new_boolean(DatumGetBool(value));
		case JSONOID:
		case JSONBOID:
			return document_json(p, value);
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return time_json(p, value);
		default:
			{
				char	   *text = OutputFunctionCall(unconstify(FmgrInfo *, &p->output),
													  value);

				return string_json(text, strlen(text));
			}
	}
}

/*
 * Puts one argument into the object of arguments, under its SQL name.  Errors
 * are found here, before anything is sent: 22004 required and NULL, 22001 too
 * long, 22023 empty or no amount, 22008 no such time.
 */
void
b24_argument_put(const B24Parameter *p, Datum value, bool isnull,
				 B24Json *arguments)
{
	B24Json    *json;

	if (p->control)
		return;
	if (isnull)
	{
		if (p->required)
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("argument \"%s\" must not be NULL", p->name),
					 errhint("Only arguments with a DEFAULT may be left out or NULL.")));
		return;
	}
	json = value_json(p, value);
	if ((json == NULL && p->type != JSONOID && p->type != JSONBOID) ||
		!b24_json_put(arguments, p->utf8_name, json))
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
}
