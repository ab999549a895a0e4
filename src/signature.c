/*-------------------------------------------------------------------------
 *
 * signature.c
 *	  What a function takes, and its arguments from a call or from jsonb.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "compat.h"
#include "nodes/nodes.h"
#include "nodes/primnodes.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/syscache.h"

#include "signature.h"
#include "text.h"

/* What a function takes, read from the catalog. */
static B24Signature *
read_signature(Oid function, MemoryContext context)
{
	B24Signature *signature = MemoryContextAllocZero(context, sizeof(B24Signature));
	MemoryContext old = MemoryContextSwitchTo(context);
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Form_pg_proc proc;
	Oid		   *types;
	char	  **names;
	char	   *modes;
	int			total;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", function);
	proc = (Form_pg_proc) GETSTRUCT(tuple);
	total = get_func_arg_info(tuple, &types, &names, &modes);
	signature->function = function;
	signature->server = -1;
	signature->missing_ok = -1;
	for (int i = 0; i < total; i++)
	{
		B24Parameter *p = &signature->parameters[signature->count];
		Oid			output;
		bool		varlena;

		if (modes != NULL && modes[i] != FUNC_PARAM_IN)
			continue;
		p->name = names[i];
		p->utf8_name = b24_text_to_utf8(names[i], strlen(names[i]), NULL);
		p->type = types[i];
		p->required = signature->count < proc->pronargs - proc->pronargdefaults;
		getTypeOutputInfo(p->type, &output, &varlena);
		fmgr_info_cxt(output, &p->output, context);
		getTypeInputInfo(p->type, &p->input_function, &p->input_param);
		if (strcmp(p->name, "server") == 0)
			signature->server = signature->count;
		else if (strcmp(p->name, "missing_ok") == 0)
			signature->missing_ok = signature->count;
		p->control = signature->server == signature->count ||
			signature->missing_ok == signature->count;
		signature->count++;
	}
	ReleaseSysCache(tuple);
	MemoryContextSwitchTo(old);
	return signature;
}

/*
 * The DEFAULTs of the parameters, NULL where there is none; only constants
 * serve ours.  Reading them costs more than all the rest of a signature.
 */
static void
read_defaults(B24Signature *signature, MemoryContext context)
{
	HeapTuple	tuple;
	Datum		datum;
	bool		isnull;
	List	   *defaults;
	int			first;

	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(signature->function));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", signature->function);
	datum = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_proargdefaults, &isnull);
	defaults = isnull ? NIL :
		castNode(List, stringToNode(TextDatumGetCString(datum)));
	ReleaseSysCache(tuple);
	first = signature->count - list_length(defaults);
	for (int i = 0; i < signature->count; i++)
	{
		B24Parameter *p = &signature->parameters[i];
		Node	   *node = i < first ? NULL :
			eval_const_expressions(NULL, list_nth(defaults, i - first));
		Const	   *value = node != NULL && IsA(node, Const) ? (Const *) node : NULL;
		MemoryContext old;

		p->default_isnull = value == NULL || value->constisnull;
		if (p->default_isnull)
			continue;
		old = MemoryContextSwitchTo(context);
		p->default_value = datumCopy(value->constvalue, value->constbyval,
									 value->constlen);
		MemoryContextSwitchTo(old);
	}
}

/* What a function takes, for a call that has all arguments. */
const B24Signature *
b24_signature(Oid function, MemoryContext context)
{
	return read_signature(function, context);
}

/* The same for arguments that come as jsonb, where some may be left out. */
const B24Signature *
b24_signature_with_defaults(Oid function, MemoryContext context)
{
	B24Signature *signature = read_signature(function, context);

	read_defaults(signature, context);
	return signature;
}

/* Puts all arguments of a call into the object of arguments. */
void
b24_arguments_put(const B24Signature *signature, FunctionCallInfo fcinfo,
				  B24Json *arguments)
{
	for (int i = 0; i < signature->count; i++)
		b24_argument_put(&signature->parameters[i], PG_GETARG_DATUM(i),
						 PG_ARGISNULL(i), arguments);
}

static const B24Parameter *
find_parameter(const B24Signature *signature, const char *name)
{
	StringInfoData valid;

	for (int i = 0; i < signature->count; i++)
	{
		if (strcmp(signature->parameters[i].name, name) == 0 &&
			!signature->parameters[i].control)
			return &signature->parameters[i];
	}
	initStringInfo(&valid);
	for (int i = 0; i < signature->count; i++)
	{
		if (!signature->parameters[i].control)
			appendStringInfo(&valid, "%s%s", valid.len > 0 ? ", " : "",
							 signature->parameters[i].name);
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown argument \"%s\"", name),
			 valid.len > 0 ? errhint("The operation takes: %s.", valid.data) :
			 errhint("The operation takes no arguments.")));
	return NULL;				/* not reached */
}

/* A member of a request as a value of the parameter's type. */
static Datum
jsonb_argument(const B24Parameter *p, JsonbValue *value, bool *isnull)
{
	const char *text = NULL;
	bool		document = p->type == JSONOID || p->type == JSONBOID;

	*isnull = value->type == jbvNull;
	if (*isnull)
		return (Datum) 0;
	if (document)
	{
		Jsonb	   *jsonb = JsonbValueToJsonb(value);

		text = JsonbToCString(NULL, &jsonb->root, VARSIZE(jsonb));
	}
	else if (value->type == jbvString)
		text = pnstrdup(value->val.string.val, value->val.string.len);
	else if (value->type == jbvNumeric)
		text = DatumGetCString(DirectFunctionCall1(numeric_out,
												   NumericGetDatum(value->val.numeric)));
	else if (value->type == jbvBool)
		text = value->val.boolean ? "true" : "false";
	else
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" must not be an array or object", p->name)));
	return OidInputFunctionCall(p->input_function, unconstify(char *, text),
								p->input_param, -1);
}

/*
 * Puts the arguments of a request, an object keyed by the SQL names, into the
 * object of arguments, checked as those of a call are.  The signature is one
 * with DEFAULTs.  Errors: 22023 no object, unknown argument, wrong type; otherwise those of b24_argument_put
 * and of the types' input functions.
 */
void
b24_arguments_from_jsonb(const B24Signature *signature, Jsonb *request,
						 B24Json *arguments)
{
	Datum		values[FUNC_MAX_ARGS];
	bool		nulls[FUNC_MAX_ARGS];
	JsonbIterator *iterator = JsonbIteratorInit(&request->root);
	JsonbIteratorToken token;
	JsonbValue	value;
	const B24Parameter *p = NULL;

	if (!JB_ROOT_IS_OBJECT(request))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the request must be a JSON object"),
				 errhint("Its keys are the names of the function's arguments.")));
	for (int i = 0; i < signature->count; i++)
	{
		values[i] = signature->parameters[i].default_value;
		nulls[i] = signature->parameters[i].default_isnull;
	}
	(void) JsonbIteratorNext(&iterator, &value, false);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			p = find_parameter(signature, pnstrdup(value.val.string.val,
												   value.val.string.len));
		else if (token == WJB_VALUE)
		{
			int			i = (int) (p - signature->parameters);

			values[i] = jsonb_argument(p, &value, &nulls[i]);
		}
	}
	for (int i = 0; i < signature->count; i++)
		b24_argument_put(&signature->parameters[i], values[i], nulls[i], arguments);
}

static bool
add_missing(const char *name, B24Json *value, void *context)
{
	B24Json    *object = context;

	return b24_json_get(object, name) != NULL ||
		b24_json_set(object, name, b24_json_share(value));
}

/*
 * Has the members of an object of arguments in the order of the parameters,
 * which jsonb does not keep; others come behind them.
 */
void
b24_arguments_order(const B24Signature *signature, B24Json **arguments)
{
	B24Json    *ordered = b24_json_new_object();
	bool		ok = ordered != NULL;

	for (int i = 0; i < signature->count && ok; i++)
	{
		const char *name = signature->parameters[i].utf8_name;
		B24Json    *value = b24_json_get(*arguments, name);

		if (value != NULL)
			ok = b24_json_set(ordered, name, b24_json_share(value));
	}
	ok = ok && b24_json_each(*arguments, add_missing, ordered);
	if (!ok)
	{
		b24_json_free(ordered);
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	}
	b24_json_free(*arguments);
	*arguments = ordered;
}
