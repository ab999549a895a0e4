/*-------------------------------------------------------------------------
 *
 * arguments.c
 *	  The arguments of a job as they are kept: the object of arguments as jsonb.
 *
 * What is kept has been converted already: dates and numbers are as they go
 * on the wire, so reading it back takes no session's settings.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"
#include "utils/builtins.h"

#include "arguments.h"
#include "text.h"

static bool
is_scalar(const char *key, B24Json *value, void *context)
{
	B24JsonType type = b24_json_type(value);

	return type != B24_JSON_ARRAY && type != B24_JSON_OBJECT;
}

/* As jsonb, every number with its digits. */
Jsonb *
b24_arguments_to_jsonb(const B24Json *arguments)
{
	size_t		length = 0;
	const char *text = b24_json_text(arguments, &length);
	Jsonb	   *jsonb;

	if (text == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	jsonb = DatumGetJsonbP(DirectFunctionCall1(jsonb_in,
											   CStringGetDatum(b24_text_from_utf8(text, length))));

	/* what is an argument by itself may be nested too deep as a part of them */
	if (!b24_json_each(arguments, is_scalar, NULL))
		b24_json_free(b24_arguments_parse(jsonb));
	return jsonb;
}

/* Back from jsonb; the caller frees it. */
B24Json *
b24_arguments_parse(const Jsonb *request)
{
	Jsonb	   *jsonb = unconstify(Jsonb *, request);
	char	   *text = JsonbToCString(NULL, &jsonb->root, VARSIZE(jsonb));
	int			length;
	B24Problem	problem;
	B24Json    *json;

	text = b24_text_to_utf8(text, strlen(text), &length);
	json = b24_json_parse(text, length, &problem);
	if (json == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the arguments cannot be sent"),
				 errdetail("%s.", problem.text)));
	return json;
}
