/*-------------------------------------------------------------------------
 *
 * customer.c
 *	  A row of a table as a customer of the provider.
 *
 * This runs for every row of a table that is kept at the provider, so texts
 * go into jsonb as they are; only documents, such as wallets, are put through
 * the codec here.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "compat.h"
#include "utils/builtins.h"
#include "utils/datum.h"

#include "arguments.h"
#include "customer.h"
#include "datum.h"
#include "report.h"
#include "text.h"

typedef struct Text
{
	const char *data;
	int			length;
} Text;

/* A column's value as the text that is sent. */
static Text
text_of(const B24MappedField *field, Datum value)
{
	Text		result;

	if (field->kind == B24_COLUMN_TEXT || field->kind == B24_COLUMN_PADDED)
	{
		struct varlena *packed = PG_DETOAST_DATUM_PACKED(value);

		result.data = VARDATA_ANY(packed);
		result.length = VARSIZE_ANY_EXHDR(packed);
	}
	else
	{
		result.data = OutputFunctionCall(unconstify(FmgrInfo *, &field->output), value);
		result.length = strlen(result.data);
	}
	while (field->kind == B24_COLUMN_PADDED && result.length > 0 &&
		   result.data[result.length - 1] == ' ')
		result.length--;
	return result;
}

/* Is what would be sent for a field not the same for both rows? */
static bool
field_differs(const B24MappedField *field, TupleTableSlot *old, TupleTableSlot *new)
{
	bool		old_isnull;
	bool		new_isnull;
	Datum		old_value = slot_getattr(old, field->column, &old_isnull);
	Datum		new_value = slot_getattr(new, field->column, &new_isnull);
	Text		old_text;
	Text		new_text;

	if (old_isnull || new_isnull)
		return old_isnull != new_isnull;
	if (datum_image_eq(old_value, new_value, field->by_value, field->length))
		return false;
	old_text = text_of(field, old_value);
	new_text = text_of(field, new_value);
	return old_text.length != new_text.length ||
		memcmp(old_text.data, new_text.data, old_text.length) != 0;
}

/* Can the row have a customer? */
bool
b24_customer_has_key(const B24Mapping *mapping, TupleTableSlot *row)
{
	return !slot_attisnull(row, mapping->key->column);
}

/* Are these rows different customers, or is one of them none? */
bool
b24_customer_is_other(const B24Mapping *mapping, TupleTableSlot *old,
					  TupleTableSlot *new)
{
	return field_differs(mapping->key, old, new);
}

/*
 * Is there something to update, of a customer that is the same?  What matters
 * is the text: a value that is equal in the eyes of its type and not written
 * the same, as in citext, is sent.
 */
bool
b24_customer_differs(const B24Mapping *mapping, TupleTableSlot *old,
					 TupleTableSlot *new)
{
	for (int i = 0; i < mapping->count; i++)
	{
		if (mapping->fields[i].taken[B24_CHANGE_UPDATE] &&
			field_differs(&mapping->fields[i], old, new))
			return true;
	}
	return false;
}

static void
refuse_null(const B24Mapping *mapping, Relation relation, B24Change change,
			const B24MappedField *field)
{
	ereport(ERROR,
			(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
			 errmsg("field \"%s\" of %s must not be NULL", field->parameter.name,
					mapping->endpoints[change]->name),
			 errdetail("Column \"%s\" of table \"%s\" is NULL.",
					   NameStr(TupleDescAttr(RelationGetDescr(relation), field->column - 1)->attname),
					   RelationGetRelationName(relation)),
			 errtablecol(relation, field->column)));
}

/* A text as a member of the request. */
static void
set_text(JsonbValue *member, Relation relation, B24Change change,
		 const B24MappedField *field, Datum value)
{
	Text		t = text_of(field, value);
	B24Problem	problem;

	if (!b24_text_argument_fits(field->parameter.name, t.data, t.length,
								field->required[change], &problem))
		ereport(ERROR,
				(errcode(b24_sqlstate(problem.status)),
				 errmsg("%s", problem.text),
				 errdetail("It comes from column \"%s\" of table \"%s\".",
						   NameStr(TupleDescAttr(RelationGetDescr(relation), field->column - 1)->attname),
						   RelationGetRelationName(relation)),
				 errtablecol(relation, field->column)));

	/* what could not be sent later is an error now */
	if (GetDatabaseEncoding() != PG_UTF8)
		(void) b24_text_to_utf8(t.data, t.length, NULL);
	member->type = jbvString;
	member->val.string.val = unconstify(char *, t.data);
	member->val.string.len = t.length;
}

/*
 * A document as a member of the request, checked as the same argument of a
 * call is; false if it is JSON's null.
 */
static bool
set_document(JsonbValue *member, const B24MappedField *field, Datum value)
{
	const B24Parameter *p = &field->parameter;
	char	   *text = OutputFunctionCall(unconstify(FmgrInfo *, &field->output), value);
	B24Json    *scratch = b24_json_new_object();
	Jsonb	   *jsonb = NULL;

	PG_TRY();
	{
		if (scratch == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_OUT_OF_MEMORY),
					 errmsg("out of memory")));

		/* the column may be json, where anything goes that jsonb refuses */
		value = DirectFunctionCall1(jsonb_in, CStringGetDatum(text));
		if (p->type == JSONOID)
			value = CStringGetTextDatum(text);
		b24_argument_put(p, value, false, scratch);
		jsonb = b24_arguments_to_jsonb(scratch);
	}
	PG_FINALLY();
	{
		b24_json_free(scratch);
	}
	PG_END_TRY();
	getKeyJsonValueFromContainer(&jsonb->root, p->name, strlen(p->name), member);
	return member->type != jbvNull;
}

/* The text that orders jobs, if it is not too long for that. */
static text *
key_of(Relation relation, const B24MappedField *field, const JsonbValue *member)
{
	if (member->val.string.len > B24_KEY_BYTES)
		ereport(ERROR,
				(errcode(ERRCODE_STRING_DATA_RIGHT_TRUNCATION),
				 errmsg("field \"%s\" is too long to be enqueued",
						field->parameter.name),
				 errdetail("It has %d bytes, and at most %d can be.",
						   member->val.string.len, B24_KEY_BYTES),
				 errtablecol(relation, field->column)));
	return cstring_to_text_with_len(member->val.string.val, member->val.string.len);
}

/* The pairs are in jsonb's order already, so there is nothing to sort. */
static Jsonb *
request_of(JsonbPair *pairs, int count, bool has_document)
{
	JsonbParseState *state = NULL;
	JsonbValue	object;

	if (!has_document)
	{
		object.type = jbvObject;
		object.val.object.nPairs = count;
		object.val.object.pairs = pairs;
		return JsonbValueToJsonb(&object);
	}
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < count; i++)
	{
		pushJsonbValue(&state, WJB_KEY, &pairs[i].key);
		pushJsonbValue(&state, WJB_VALUE, &pairs[i].value);
	}
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/*
 * What is to be sent for a row, in the current memory context.  A column that
 * is NULL is left out.  Errors: 22004 a required column is NULL, 22001 a text
 * that is too long, 22023 an empty one that is required.  What else the provider
 * would refuse is for the caller to find.
 */
void
b24_customer_job(const B24Mapping *mapping, Relation relation, B24Change change,
				 TupleTableSlot *row, B24NewJob *job)
{
	JsonbPair	pairs[B24_MAX_FIELDS];
	int			count = 0;
	bool		has_document = false;

	job->endpoint = mapping->endpoints[change];
	job->key = NULL;
	for (int i = 0; i < mapping->count; i++)
	{
		const B24MappedField *field = &mapping->fields[i];
		JsonbValue *member = &pairs[count].value;
		Datum		value;
		bool		isnull;

		if (!field->taken[change])
			continue;
		value = slot_getattr(row, field->column, &isnull);
		if (isnull)
		{
			if (field->required[change])
				refuse_null(mapping, relation, change, field);
			continue;
		}
		if (field->kind == B24_COLUMN_DOCUMENT)
		{
			if (!set_document(member, field, value))
				continue;
			has_document = true;
		}
		else
			set_text(member, relation, change, field, value);
		if (field == mapping->key)
			job->key = key_of(relation, field, member);
		pairs[count].key = field->name;
		pairs[count].order = count;
		count++;
	}
	if (job->key == NULL)
		elog(ERROR, "no field \"%s\"", mapping->key->parameter.name);
	job->request = request_of(pairs, count, has_document);
}
