/*
 * bill24.c
 *		What the operations of Bill24 have in common: the envelope, and the
 *		checks of a request's fields.
 */
#include "bill24.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const Bill24Refusal bill24_customer_not_found = {
	"311", "Customer not found", "រកមិនឃើញអតិថិជន"
};

void
bill24_reply(SimAnswer *answer, const char *code, const char *message,
			 const char *message_kh, json_object *data)
{
	json_object *envelope = json_object_new_object();

	sim_put_text(envelope, "code", code);
	sim_put_text(envelope, "message", message);
	sim_put_text(envelope, "message_kh", message_kh);
	sim_put(envelope, "data", data);
	sim_answer_json(answer, MHD_HTTP_OK, envelope);
}

void
bill24_success(SimAnswer *answer, json_object *data)
{
	bill24_reply(answer, "000", "Success", "ជោគជ័យ", data);
}

void
bill24_refuse(SimAnswer *answer, const Bill24Refusal *refusal,
			  json_object *data)
{
	bill24_reply(answer, refusal->code, refusal->message, refusal->message_kh,
				 data);
}

/* Absent, null and empty are the same to the server. */
bool
bill24_is_blank(const char *text)
{
	return text == NULL || *text == '\0';
}

/*
 * A page's number or size; what makes no sense is replaced.  No limit is
 * documented: ours only keeps the arithmetic safe.
 */
int64_t
bill24_page_part(int64_t asked, int64_t otherwise)
{
	return asked < 1 ? otherwise : asked > 1000000 ? 1000000 : asked;
}

/*
 * What the demo server says of a body that it cannot read into its types, be
 * it no JSON at all or a text where a date belongs.
 */
void
bill24_payload_error(SimAnswer *answer, json_object *data)
{
	bill24_reply(answer, "ERR_MISSED_FIELD", "The payload field is required.",
				 "The payload field is required.", data);
}

/*
 * True if the body is an object whose members `texts` (NULL at the end) are
 * texts, null, or absent.  If not, answers so; *data is given away then.
 */
bool
bill24_check_body(SimRequest *request, SimAnswer *answer,
				  const char *const *texts, json_object *data)
{
	bool		good = json_object_is_type(request->json, json_type_object);

	for (; good && *texts != NULL; texts++)
	{
		json_object *value = json_object_object_get(request->json, *texts);

		good = value == NULL || json_object_is_type(value, json_type_string);
	}
	if (good)
		json_object_put(data);
	else
		bill24_payload_error(answer, data);
	return good;
}

void
bill24_complain(Bill24Complaints *complaints, const char *format, ...)
{
	size_t		room = sizeof(complaints->text);
	va_list		arguments;
	int			length;

	if (complaints->used > 0)
		complaints->used += (size_t)
			snprintf(complaints->text + complaints->used,
					 room - complaints->used, ", ");
	va_start(arguments, format);
	length = vsnprintf(complaints->text + complaints->used,
					   room - complaints->used, format, arguments);
	va_end(arguments);
	complaints->used += (size_t) length;
	/* there are never so many, but a text must not run over */
	if (complaints->used > room - 3)
		complaints->used = room - 3;
}

/*
 * True if there were complaints, which are the answer then.  *data is given
 * away in either case.
 */
bool
bill24_complained(SimAnswer *answer, const Bill24Complaints *complaints,
				  json_object *data)
{
	if (complaints->used == 0)
	{
		json_object_put(data);
		return false;
	}
	bill24_reply(answer, "ERR_MISSED_FIELD", complaints->text,
				 complaints->text, data);
	return true;
}
