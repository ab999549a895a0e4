/*-------------------------------------------------------------------------
 *
 * row.c
 *	  Answers as SQL values, as the result type of a function says.
 *
 * Columns find their values by name.  Reading is lenient where nothing can be
 * mistaken: fields that are unknown are ignored, missing ones are NULL, an
 * empty text is NULL unless text is wanted, a number may come as a text that
 * holds nothing but a number, and a text may come as a number.  Everything
 * else does not fit and is an unreadable answer, never a guess.
 *
 * Whether an answer fits is asked first and raises nothing; what fits is then
 * converted without an error of its content.
 *
 * Numbers go from their digits to numeric, never through a double.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "compat.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "document.h"
#include "endpoint.h"
#include "jsontext.h"
#include "row.h"
#include "text.h"

/* Amounts are shorter; what is longer is an attack on our memory. */
#define MAX_DIGITS 1000
#define MAX_EXPONENT 1000

typedef enum Kind
{
	KIND_TEXT,
	KIND_NUMBER,
	KIND_BOOLEAN,
	KIND_DOCUMENT,
	KIND_TIME,
	KIND_ROW,
	KIND_ARRAY
} Kind;

struct B24Type
{
	Oid			oid;
	int32		typmod;
	Kind		kind;
	FmgrInfo	input;
	Oid			input_param;

	/* rows */
	TupleDesc	tupdesc;
	const struct B24Type **columns; /* NULL where dropped */

	/* arrays */
	const struct B24Type *element;
	int16		length;
	bool		by_value;
	char		align;
};

/*
 * Prepares a type; with a tuple descriptor, the row type that it describes.
 * Lives in the context.
 */
const B24Type *
b24_type(Oid oid, int32 typmod, TupleDesc tupdesc, MemoryContext context)
{
	B24Type    *type = MemoryContextAllocZero(context, sizeof(B24Type));
	MemoryContext old = MemoryContextSwitchTo(context);
	Oid			element;
	Oid			input;

	type->oid = oid;
	type->typmod = typmod;
	if (tupdesc == NULL && type_is_rowtype(oid))
		tupdesc = lookup_rowtype_tupdesc_copy(oid, typmod);
	if (tupdesc != NULL)
	{
		type->kind = KIND_ROW;
		type->tupdesc = BlessTupleDesc(CreateTupleDescCopy(tupdesc));
		type->columns = palloc0(tupdesc->natts * sizeof(B24Type *));
		for (int i = 0; i < tupdesc->natts; i++)
		{
			Form_pg_attribute column = TupleDescAttr(tupdesc, i);

			if (!column->attisdropped)
				type->columns[i] = b24_type(column->atttypid, column->atttypmod,
											NULL, context);
		}
	}
	else if (OidIsValid(element = get_element_type(oid)))
	{
		type->kind = KIND_ARRAY;
		type->element = b24_type(element, typmod, NULL, context);
		get_typlenbyvalalign(element, &type->length, &type->by_value, &type->align);
	}
	else
	{
		type->kind = oid == NUMERICOID || oid == INT8OID || oid == INT4OID ? KIND_NUMBER :
			oid == BOOLOID ? KIND_BOOLEAN :
			oid == JSONOID || oid == JSONBOID ? KIND_DOCUMENT :
			oid == TIMESTAMPOID || oid == TIMESTAMPTZOID || oid == DATEOID ? KIND_TIME : KIND_TEXT;
		getTypeInputInfo(oid, &input, &type->input_param);
		fmgr_info_cxt(input, &type->input, context);
	}
	MemoryContextSwitchTo(old);
	return type;
}

static Datum
input(const B24Type *type, const char *text)
{
	return InputFunctionCall(unconstify(FmgrInfo *, &type->input),
							 unconstify(char *, text), type->input_param,
							 type->typmod);
}

/*
 * UTF-8 to the database's encoding.  What cannot be converted is an error, or
 * NULL with a warning.
 */
static char *
local_text(const B24Reading *reading, const char *utf8, size_t length)
{
	char	   *text = b24_text_try_from_utf8(utf8, length);
	const char *column = reading->column != NULL ? reading->column : "answer";

	/* no word about this one: it says in Khmer what message says in English */
	if (text == NULL && !(reading->tolerant && strcmp(column, "message_kh") == 0))
		ereport(reading->tolerant ? WARNING : ERROR,
				(errcode(ERRCODE_UNTRANSLATABLE_CHARACTER),
				 errmsg("\"%s\" in the answer to %s has characters that encoding \"%s\" lacks",
						column, reading->operation, GetDatabaseEncodingName()),
				 reading->tolerant ? errdetail("It is returned as NULL.") :
				 errhint("A database with encoding UTF8 can hold all texts of the provider.")));
	return text;
}

/* The digits of a number, or of a text that is one; NULL otherwise. */
static const char *
digits_of(const B24Json *json)
{
	size_t		length = 0;
	const char *digits = b24_json_number(json);

	if (digits == NULL)
	{
		digits = b24_json_string(json, &length);
		if (digits == NULL || !b24_json_is_number_text(digits, length))
			return NULL;
	}
	return digits;
}

static bool
in_range(const char *digits)
{
	const char *exponent = strpbrk(digits, "eE");

	return strlen(digits) <= MAX_DIGITS &&
		(exponent == NULL ||
		 (strlen(exponent) <= 8 && abs(atoi(exponent + 1)) <= MAX_EXPONENT));
}

/* Is every number and text in there one that jsonb can hold? */
static bool
fits_jsonb_member(const char *key, B24Json *value, void *context)
{
	size_t		length = 0;
	const char *text;

	switch (b24_json_type(value))
	{
		case B24_JSON_NUMBER:
			return in_range(b24_json_number(value));
		case B24_JSON_STRING:
			text = b24_json_string(value, &length);
			return strlen(text) == length;
		case B24_JSON_ARRAY:
			for (size_t i = 0; i < b24_json_length(value); i++)
			{
				if (!fits_jsonb_member("", b24_json_element(value, i), context))
					return false;
			}
			return true;
		case B24_JSON_OBJECT:
			return b24_json_each(value, fits_jsonb_member, context);
		case B24_JSON_NULL:
		case B24_JSON_BOOLEAN:
			break;
	}
	return true;
}

/*
 * The digits of a time like 2025-04-08T11:51:58.049221, as the provider
 * prints them, in a form that PostgreSQL's input takes without an error.  A
 * zone is left out where the type has none: Bill24's documentation does not say
 * which zone the others are in.  Where the type has one, as PayCombat's times
 * do, they are in UTC, and so is one without a zone.  False if it is no time.
 */
static bool
parse_time(const B24Type *type, const char *text, char *out, size_t size)
{
	char		zone[16] = "";
	int			y,
				m,
				d,
				hour = 0,
				minute = 0,
				second = 0;
	int			used = 0;
	char		fraction[8] = "";

	if (sscanf(text, "%4d-%2d-%2d%n", &y, &m, &d, &used) != 3)
		return false;
	text += used;
	if (*text == 'T' || *text == ' ')
	{
		used = 0;
		if (sscanf(text + 1, "%2d:%2d:%2d%n", &hour, &minute, &second, &used) != 3)
			return false;
		text += 1 + used;
		if (*text == '.')
		{
			size_t		digits = strspn(text + 1, "0123456789");

			if (digits == 0)
				return false;
			/* what is finer than a microsecond cannot be kept */
			strlcpy(fraction, text, Min(digits + 2, sizeof(fraction)));
			text += 1 + digits;
		}
		if (*text == 'Z')
			text++;
		else if (*text == '+' || *text == '-')
		{
			size_t		length = 1 + strspn(text + 1, "0123456789:");
			int			hours;
			int			minutes;

			/* what is no zone is for the types that have none to ignore */
			if (length == 6 && sscanf(text + 1, "%2d:%2d", &hours, &minutes) == 2 &&
				hours < 15 && minutes < 60)
				strlcpy(zone, text, 7);
			else if (type->oid == TIMESTAMPTZOID)
				return false;
			text += length;
		}
	}
	if (*text != '\0' || y < 1 || m < 1 || m > 12 || d < 1 ||
		d > day_tab[isleap(y)][m - 1] || hour < 0 || hour > 23 ||
		minute < 0 || minute > 59 || second < 0 || second > 59)
		return false;
	if (type->oid != TIMESTAMPTZOID)
		zone[0] = '\0';
	else if (zone[0] == '\0')
		strlcpy(zone, "+00:00", sizeof(zone));
	snprintf(out, size, "%04d-%02d-%02d %02d:%02d:%02d%s%s", y, m, d, hour, minute,
			 second, fraction, zone);
	return true;
}

/* What a kind of type should be given, for errors. */
static const char *const wanted[] = {
	[KIND_TEXT] = "a string without NUL characters",
	[KIND_NUMBER] = "a number of a sensible size",
	[KIND_BOOLEAN] = "true or false",
	[KIND_DOCUMENT] = "free of NUL characters and of numbers beyond a sensible size",
	[KIND_TIME] = "a time like 2025-07-08T22:46:10.243324",
	[KIND_ROW] = "an object",
	[KIND_ARRAY] = "an array",
};

/* Where no text is wanted, an empty one says nothing. */
static bool
is_null(const B24Type *type, const B24Json *json)
{
	size_t		length = 0;

	return b24_json_type(json) == B24_JSON_NULL ||
		(type->kind != KIND_TEXT && type->kind != KIND_DOCUMENT &&
		 b24_json_string(json, &length) != NULL && length == 0);
}

/* The scalars of b24_fits. */
static bool
scalar_fits(const B24Type *type, const B24Json *json)
{
	size_t		length = 0;
	const char *text = b24_json_string(json, &length);
	char		time[64];

	switch (type->kind)
	{
		case KIND_TEXT:
			return text != NULL ? strlen(text) == length :
				b24_json_type(json) != B24_JSON_OBJECT &&
				b24_json_type(json) != B24_JSON_ARRAY;
		case KIND_NUMBER:
			text = digits_of(json);
			return text != NULL && in_range(text);
		case KIND_BOOLEAN:
			return b24_json_type(json) == B24_JSON_BOOLEAN;
		case KIND_DOCUMENT:
			return fits_jsonb_member("", unconstify(B24Json *, json), NULL);
		case KIND_TIME:
			return text != NULL && strlen(text) == length &&
				parse_time(type, text, time, sizeof(time));
		case KIND_ROW:
			return b24_json_type(json) == B24_JSON_OBJECT;
		case KIND_ARRAY:
			return b24_json_type(json) == B24_JSON_ARRAY;
	}
	return false;
}

static void
misfit(const B24Type *type, const B24Json *json, const char *name,
	   B24Problem *problem)
{
	B24JsonType is = b24_json_type(json);
	const char *article = is == B24_JSON_ARRAY || is == B24_JSON_OBJECT ? "an" : "a";

	if ((type->kind == KIND_NUMBER && is == B24_JSON_NUMBER) ||
		(type->kind == KIND_TEXT && is == B24_JSON_STRING))
		article = "another";
	if (type->kind == KIND_DOCUMENT)
		b24_problem(problem, B24_NONSENSE, "field \"%s\" should be %s", name,
					wanted[type->kind]);
	else
		b24_problem(problem, B24_NONSENSE, "field \"%s\" should be %s, but is %s %s",
					name, wanted[type->kind], article, b24_json_type_name(json));
}

/* Can this be read as a value of that type?  If not, the problem says why. */
bool
b24_fits(const B24Type *type, const B24Json *json, const char *name,
		 B24Problem *problem)
{
	if (is_null(type, json))
		return true;
	if (!scalar_fits(type, json))
	{
		misfit(type, json, name, problem);
		return false;
	}
	if (type->kind == KIND_ROW)
	{
		for (int i = 0; i < type->tupdesc->natts; i++)
		{
			const char *column = NameStr(TupleDescAttr(type->tupdesc, i)->attname);

			if (type->columns[i] != NULL &&
				!b24_fits(type->columns[i], b24_endpoint_field(json, column),
						  column, problem))
				return false;
		}
	}
	else if (type->kind == KIND_ARRAY)
	{
		for (size_t i = 0; i < b24_json_length(json); i++)
		{
			if (!b24_fits(type->element, b24_json_element(json, i), name, problem))
				return false;
		}
	}
	return true;
}

static Datum
text_value(const B24Type *type, const B24Reading *reading, const B24Json *json,
		   bool *isnull)
{
	size_t		length = 0;
	const char *utf8 = b24_json_string(json, &length);
	char	   *text;

	if (utf8 == NULL || type->kind == KIND_DOCUMENT)
		utf8 = b24_json_text(json, &length);
	text = local_text(reading, utf8, length);
	*isnull = text == NULL;
	return *isnull ? (Datum) 0 : input(type, text);
}

static Datum
row_value(const B24Type *type, const B24Reading *reading, const B24Json *json)
{
	Datum	   *values = palloc(type->tupdesc->natts * sizeof(Datum));
	bool	   *nulls = palloc(type->tupdesc->natts * sizeof(bool));

	b24_values(type, reading, json, values, nulls);
	return HeapTupleGetDatum(heap_form_tuple(type->tupdesc, values, nulls));
}

static Datum
array_value(const B24Type *type, const B24Reading *reading, const B24Json *json)
{
	const B24Type *element = type->element;
	int			count = (int) b24_json_length(json);
	Datum	   *values = palloc(count * sizeof(Datum));
	bool	   *nulls = palloc(count * sizeof(bool));
	int			lower = 1;

	if (count == 0)
		return PointerGetDatum(construct_empty_array(element->oid));
	for (int i = 0; i < count; i++)
		values[i] = b24_value(element, reading, b24_json_element(json, i), &nulls[i]);
	return PointerGetDatum(construct_md_array(values, nulls, 1, &count, &lower,
											  element->oid, type->length,
											  type->by_value, type->align));
}

/* One value, which fits; null and absent values are NULL. */
Datum
b24_value(const B24Type *type, const B24Reading *reading, const B24Json *json,
		  bool *isnull)
{
	char		time[64];

	*isnull = is_null(type, json);
	if (*isnull)
		return (Datum) 0;

	switch (type->kind)
	{
		case KIND_TEXT:
			return text_value(type, reading, json, isnull);
		case KIND_DOCUMENT:
			return type->oid == JSONBOID && GetDatabaseEncoding() == PG_UTF8 ?
				b24_document(json) : text_value(type, reading, json, isnull);
		case KIND_NUMBER:
			return input(type, digits_of(json));
		case KIND_BOOLEAN:
			return BoolGetDatum(b24_json_boolean(json));
		case KIND_TIME:
			if (!parse_time(type, b24_json_string(json, NULL), time, sizeof(time)))
				elog(ERROR, "time does not fit");
			return input(type, time);
		case KIND_ROW:
			return row_value(type, reading, json);
		case KIND_ARRAY:
			return array_value(type, reading, json);
	}
	elog(ERROR, "unexpected kind of type %d", (int) type->kind);
	return (Datum) 0;			/* not reached */
}

/* The columns of a row that fits, each from the field of its name. */
void
b24_values(const B24Type *row, const B24Reading *reading, const B24Json *json,
		   Datum *values, bool *nulls)
{
	B24Reading	of_column = *reading;

	for (int i = 0; i < row->tupdesc->natts; i++)
	{
		of_column.column = NameStr(TupleDescAttr(row->tupdesc, i)->attname);
		nulls[i] = true;
		values[i] = (Datum) 0;
		if (row->columns[i] != NULL)
			values[i] = b24_value(row->columns[i], &of_column,
								  b24_endpoint_field(json, of_column.column),
								  &nulls[i]);
	}
}
