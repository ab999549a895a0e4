/*-------------------------------------------------------------------------
 *
 * mapping.c
 *	  What a trigger's arguments say: which column is which field.
 *
 * The arguments are read when a trigger is first fired in a process, and what
 * they say is kept until its table, or any function or server, changes.  Partitions have
 * triggers of their own, and may have their columns in other places.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>

#include "catalog/dependency.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "compat.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "account.h"
#include "mapping.h"
#include "operation.h"
#include "provider.h"

typedef struct Entry
{
	Oid			trigger;		/* the key */
	MemoryContext context;
	B24Mapping *mapping;
	bool		stale;
} Entry;

static HTAB *entries = NULL;
static uint64 invalidations = 0;

/* ---- the arguments ---- */

static const char *
trimmed(const char *text, int length)
{
	while (length > 0 && isspace((unsigned char) text[0]))
	{
		text++;
		length--;
	}
	while (length > 0 && isspace((unsigned char) text[length - 1]))
		length--;
	return pnstrdup(text, length);
}

static void
refuse_argument(const Trigger *trigger, const char *message, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%s in the arguments of trigger \"%s\"", message, trigger->tgname),
			 errhint("%s", hint)));
}

/* What an argument looks like. */
static const char *
usage(const B24Mapping *mapping)
{
	return psprintf("Arguments are like '%s=code': a field, and the column that it is taken from.",
					mapping->provider->create->key);
}

static const B24Parameter *
find_field(const B24Signature *signature, const Trigger *trigger, const char *name)
{
	StringInfoData valid;

	initStringInfo(&valid);
	for (int i = 0; i < signature->count; i++)
	{
		const B24Parameter *p = &signature->parameters[i];

		if (p->control)
			continue;
		if (strcmp(p->name, name) == 0)
			return p;
		appendStringInfo(&valid, "%s%s", valid.len > 0 ? ", " : "", p->name);
	}
	refuse_argument(trigger, psprintf("unknown field \"%s\"", name),
					psprintf("The fields are: %s. Besides there are server and mode.",
							 valid.data));
	return NULL;				/* not reached */
}

/* The column of that name, which is written as the catalog has it. */
static Form_pg_attribute
find_column(Relation relation, const Trigger *trigger, const char *name)
{
	TupleDesc	tupdesc = RelationGetDescr(relation);
	StringInfoData valid;

	initStringInfo(&valid);
	for (int i = 0; i < tupdesc->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(tupdesc, i);

		if (column->attisdropped)
			continue;
		if (strcmp(NameStr(column->attname), name) == 0)
			return column;
		appendStringInfo(&valid, "%s%s", valid.len > 0 ? ", " : "",
						 NameStr(column->attname));
	}
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("table \"%s\" has no column \"%s\", which trigger \"%s\" names",
					RelationGetRelationName(relation), name, trigger->tgname),
			 errhint("The columns are: %s.", valid.data)));
	return NULL;				/* not reached */
}

static void
set_column(B24MappedField *field, Relation relation, Form_pg_attribute column)
{
	Oid			type = getBaseType(column->atttypid);
	Oid			output;
	bool		varlena;

	if (column->attgenerated != '\0' &&
		column->attgenerated != ATTRIBUTE_GENERATED_STORED)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("column \"%s\" of table \"%s\" has no value in a trigger",
						NameStr(column->attname), RelationGetRelationName(relation)),
				 errdetail("It is a virtual generated column."),
				 errhint("Make it a stored one, or name another column.")));
	field->column = column->attnum;
	field->length = column->attlen;
	field->by_value = column->attbyval;
	getTypeOutputInfo(column->atttypid, &output, &varlena);
	fmgr_info_cxt(output, &field->output, CurrentMemoryContext);
	if (field->parameter.type == JSONBOID || field->parameter.type == JSONOID)
	{
		if (type != JSONBOID && type != JSONOID)
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("column \"%s\" of table \"%s\" cannot be field \"%s\"",
							NameStr(column->attname),
							RelationGetRelationName(relation), field->parameter.name),
					 errdetail("The field takes json or jsonb.")));
		field->kind = B24_COLUMN_DOCUMENT;
	}
	else if (type == TEXTOID || type == VARCHAROID)
		field->kind = B24_COLUMN_TEXT;
	else if (type == BPCHAROID)
		field->kind = B24_COLUMN_PADDED;
	else
		field->kind = B24_COLUMN_OTHER;
}

/*
 * What each of the three operations has to say of a field.  Without our key
 * there is nothing to be done for a row, even where the provider can do without.
 */
static void
set_operations(B24MappedField *field, bool is_key,
			   const B24Signature *const signatures[B24_CHANGE_COUNT])
{
	for (int change = 0; change < B24_CHANGE_COUNT; change++)
	{
		for (int i = 0; i < signatures[change]->count; i++)
		{
			const B24Parameter *p = &signatures[change]->parameters[i];

			if (strcmp(p->name, field->parameter.name) == 0)
			{
				field->taken[change] = true;
				field->required[change] = p->required || is_key;
			}
		}
	}
}

static void
add_field(B24Mapping *mapping, Relation relation, const Trigger *trigger,
		  const B24Signature *const signatures[B24_CHANGE_COUNT],
		  const char *name, const char *column)
{
	const B24Parameter *p = find_field(signatures[B24_CHANGE_CREATE], trigger, name);
	B24MappedField *field = &mapping->fields[mapping->count];

	for (int i = 0; i < mapping->count; i++)
	{
		if (strcmp(mapping->fields[i].parameter.name, name) == 0)
			refuse_argument(trigger, psprintf("field \"%s\" twice", name),
							"Every field is given once.");
	}
	if (mapping->count == B24_MAX_FIELDS)
		elog(ERROR, "more than %d fields", B24_MAX_FIELDS);
	field->parameter = *p;
	field->parameter.name = pstrdup(name);
	field->parameter.utf8_name = pstrdup(p->utf8_name);
	fmgr_info_cxt(p->output.fn_oid, &field->parameter.output, CurrentMemoryContext);
	field->name.type = jbvString;
	field->name.val.string.val = unconstify(char *, field->parameter.name);
	field->name.val.string.len = strlen(name);
	set_column(field, relation, find_column(relation, trigger, column));
	set_operations(field, strcmp(name, mapping->provider->create->key) == 0,
				   signatures);
	mapping->count++;
}

static void
set_mode(B24Mapping *mapping, const Trigger *trigger, const char *mode)
{
	if (strcmp(mode, "outbox") == 0)
		mapping->mode = B24_MODE_OUTBOX;
	else if (strcmp(mode, "call") == 0)
		mapping->mode = B24_MODE_CALL;
	else if (strcmp(mode, "dry_run") == 0)
		mapping->mode = B24_MODE_DRY_RUN;
	else
		refuse_argument(trigger, psprintf("unknown mode \"%s\"", mode),
						"The modes are outbox, call and dry_run.");
}

/* jsonb has the shorter key first, and equally long ones by their bytes. */
static int
compare_fields(const void *a, const void *b)
{
	const char *x = ((const B24MappedField *) a)->parameter.name;
	const char *y = ((const B24MappedField *) b)->parameter.name;
	size_t		x_length = strlen(x);
	size_t		y_length = strlen(y);

	if (x_length != y_length)
		return x_length < y_length ? -1 : 1;
	return memcmp(x, y, x_length);
}

/* What must be given is what creating a customer takes, and our key. */
static void
check_complete(const B24Mapping *mapping, const B24Signature *signature,
			   const Trigger *trigger)
{
	for (int i = 0; i < signature->count; i++)
	{
		const B24Parameter *p = &signature->parameters[i];
		bool		found = !p->required && strcmp(p->name, mapping->provider->create->key) != 0;

		for (int f = 0; f < mapping->count; f++)
			found = found || strcmp(mapping->fields[f].parameter.name, p->name) == 0;
		if (!found)
			refuse_argument(trigger, psprintf("no field \"%s\"", p->name), usage(mapping));
	}
}

/* The value of the argument of that name, which is not a field; NULL if none. */
static const char *
find_setting(const Trigger *trigger, const char *name)
{
	const char *found = NULL;

	for (int i = 0; i < trigger->tgnargs; i++)
	{
		const char *argument = trigger->tgargs[i];
		const char *equals = strchr(argument, '=');

		if (equals == NULL || strcmp(trimmed(argument, equals - argument), name) != 0)
			continue;
		if (found != NULL)
			refuse_argument(trigger, psprintf("\"%s\" twice", name),
							"It is given once, or not at all.");
		found = trimmed(equals + 1, strlen(equals + 1));
	}
	return found;
}

/*
 * Reads the arguments, in the current memory context.  Whose operations they
 * are about, the server tells; one that is not there is for others to refuse.
 */
static B24Mapping *
read_mapping(Relation relation, const Trigger *trigger)
{
	Oid			extension = getExtensionOfObject(ProcedureRelationId, trigger->tgfoid);
	const B24Provider *provider = b24_operation_provider(trigger->tgfoid);
	const B24Signature *signatures[B24_CHANGE_COUNT];
	B24Mapping *mapping = palloc0(sizeof(B24Mapping));
	const char *mode = find_setting(trigger, "mode");

	mapping->relation = RelationGetRelid(relation);
	mapping->server = find_setting(trigger, "server");
	if (mapping->server == NULL)
		mapping->server = provider->name;
	mapping->provider = b24_server_provider(mapping->server);
	if (mapping->provider == NULL)
		mapping->provider = provider;
	if (mode != NULL)
		set_mode(mapping, trigger, mode);
	mapping->endpoints[B24_CHANGE_DELETE] = mapping->provider->remove;
	mapping->endpoints[B24_CHANGE_CREATE] = mapping->provider->create;
	mapping->endpoints[B24_CHANGE_UPDATE] = mapping->provider->update;
	for (int change = 0; change < B24_CHANGE_COUNT; change++)
		signatures[change] = b24_operation(mapping->endpoints[change]->name,
										   mapping->provider, extension,
										   &mapping->endpoints[change]);
	for (int i = 0; i < trigger->tgnargs; i++)
	{
		const char *argument = trigger->tgargs[i];
		const char *equals = strchr(argument, '=');
		const char *name;

		if (equals == NULL)
			refuse_argument(trigger, psprintf("no \"=\" in \"%s\"", argument), usage(mapping));
		name = trimmed(argument, equals - argument);
		if (strcmp(name, "server") != 0 && strcmp(name, "mode") != 0)
			add_field(mapping, relation, trigger, signatures, name,
					  trimmed(equals + 1, strlen(equals + 1)));
	}
	check_complete(mapping, signatures[B24_CHANGE_CREATE], trigger);
	qsort(mapping->fields, mapping->count, sizeof(B24MappedField), compare_fields);
	for (int i = 0; i < mapping->count; i++)
	{
		if (strcmp(mapping->fields[i].parameter.name, mapping->provider->create->key) == 0)
			mapping->key = &mapping->fields[i];
	}
	return mapping;
}

/* ---- keeping them ---- */

static void
invalidate_relation(Datum arg, Oid relation)
{
	HASH_SEQ_STATUS scan;
	Entry	   *entry;

	invalidations++;
	hash_seq_init(&scan, entries);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		if (!OidIsValid(relation) || entry->mapping->relation == relation)
			entry->stale = true;
	}
}

static void
invalidate_all(Datum arg, int cacheid, uint32 hashvalue)
{
	invalidate_relation(arg, InvalidOid);
}

/* Takes out what is stale; a caller further up may still be using it. */
static void
forget_stale(void)
{
	HASH_SEQ_STATUS scan;
	Entry	   *entry;

	hash_seq_init(&scan, entries);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		if (!entry->stale)
			continue;
		MemoryContextSetParent(entry->context, TopTransactionContext);
		hash_search(entries, &entry->trigger, HASH_REMOVE, NULL);
	}
}

static void
make_table(void)
{
	HASHCTL		control;

	memset(&control, 0, sizeof(control));
	control.keysize = sizeof(Oid);
	control.entrysize = sizeof(Entry);
	entries = hash_create("bill24 triggers", 16, &control, HASH_ELEM | HASH_BLOBS);
	CacheRegisterRelcacheCallback(invalidate_relation, (Datum) 0);
	CacheRegisterSyscacheCallback(PROCOID, invalidate_all, (Datum) 0);
	CacheRegisterSyscacheCallback(FOREIGNSERVEROID, invalidate_all, (Datum) 0);
}

/*
 * What the arguments of the trigger that is being fired say; good until the
 * end of the caller's own work.  Errors: 22023 arguments that make no sense,
 * 42703 no such column, 42804 a column of the wrong type.
 */
const B24Mapping *
b24_mapping(const TriggerData *trigdata)
{
	Oid			trigger = trigdata->tg_trigger->tgoid;
	Entry	   *entry;
	MemoryContext context;
	MemoryContext old;
	B24Mapping *mapping;
	uint64		seen;

	if (entries == NULL)
		make_table();
	entry = hash_search(entries, &trigger, HASH_FIND, NULL);
	if (entry != NULL && !entry->stale)
		return entry->mapping;

	forget_stale();
	seen = invalidations;
	context = AllocSetContextCreate(CurrentMemoryContext, "bill24 trigger",
									ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(context);
	mapping = read_mapping(trigdata->tg_relation, trigdata->tg_trigger);
	MemoryContextSwitchTo(old);
	entry = hash_search(entries, &trigger, HASH_ENTER, NULL);
	entry->context = context;
	entry->mapping = mapping;
	entry->stale = seen != invalidations;
	MemoryContextSetParent(context, CacheMemoryContext);
	return mapping;
}
