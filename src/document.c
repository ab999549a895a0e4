/*-------------------------------------------------------------------------
 *
 * document.c
 *	  A JSON value as jsonb, without a detour by its text.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"
#include "fmgr.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"

#include "document.h"

/* A document under way. */
typedef struct Build
{
	JsonbParseState *state;
	JsonbValue *result;			/* once it is complete */
} Build;

static void add(Build *build, const B24Json *json, JsonbIteratorToken as);

static void
set_string(JsonbValue *value, const char *text, size_t length)
{
	value->type = jbvString;
	value->val.string.val = unconstify(char *, text);
	value->val.string.len = (int) length;
}

static bool
add_member(const char *key, B24Json *json, void *context)
{
	Build	   *build = context;
	JsonbValue	value;

	set_string(&value, key, strlen(key));
	(void) pushJsonbValue(&build->state, WJB_KEY, &value);
	add(build, json, WJB_VALUE);
	return true;
}

static void
set_scalar(JsonbValue *value, const B24Json *json)
{
	size_t		length = 0;
	const char *text;

	switch (b24_json_type(json))
	{
		case B24_JSON_BOOLEAN:
			value->type = jbvBool;
			value->val.boolean = b24_json_boolean(json);
			break;
		case B24_JSON_NUMBER:
			value->type = jbvNumeric;
			value->val.numeric =
				DatumGetNumeric(DirectFunctionCall3(numeric_in,
													CStringGetDatum(b24_json_number(json)),
													ObjectIdGetDatum(InvalidOid),
													Int32GetDatum(-1)));
			break;
		case B24_JSON_STRING:
			text = b24_json_string(json, &length);
			set_string(value, text, length);
			break;
		default:
			value->type = jbvNull;
			break;
	}
}

static void
add(Build *build, const B24Json *json, JsonbIteratorToken as)
{
	JsonbValue	value;

	switch (b24_json_type(json))
	{
		case B24_JSON_OBJECT:
			(void) pushJsonbValue(&build->state, WJB_BEGIN_OBJECT, NULL);
			(void) b24_json_each(json, add_member, build);
			build->result = pushJsonbValue(&build->state, WJB_END_OBJECT, NULL);
			break;
		case B24_JSON_ARRAY:
			(void) pushJsonbValue(&build->state, WJB_BEGIN_ARRAY, NULL);
			for (size_t i = 0; i < b24_json_length(json); i++)
				add(build, b24_json_element(json, i), WJB_ELEM);
			build->result = pushJsonbValue(&build->state, WJB_END_ARRAY, NULL);
			break;
		default:
			set_scalar(&value, json);
			(void) pushJsonbValue(&build->state, as, &value);
			break;
	}
}

/*
 * A JSON value as jsonb, in the current memory context: what jsonb's input
 * makes of its text.  The value must fit, see b24_fits, and the database's
 * encoding be UTF-8.
 */
Datum
b24_document(const B24Json *json)
{
	Build		build = {NULL, NULL};
	JsonbValue	value;

	if (b24_json_type(json) == B24_JSON_OBJECT || b24_json_type(json) == B24_JSON_ARRAY)
		add(&build, json, WJB_DONE);
	else
	{
		/* what is neither is kept as an array that says so */
		memset(&value, 0, sizeof(value));
		value.type = jbvArray;
		value.val.array.rawScalar = true;
		value.val.array.nElems = 1;
		(void) pushJsonbValue(&build.state, WJB_BEGIN_ARRAY, &value);
		add(&build, json, WJB_ELEM);
		build.result = pushJsonbValue(&build.state, WJB_END_ARRAY, NULL);
	}
	return JsonbPGetDatum(JsonbValueToJsonb(build.result));
}
