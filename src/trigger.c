/*-------------------------------------------------------------------------
 *
 * trigger.c
 *	  The trigger that keeps customers at the provider like the rows of a table.
 *
 *	INSERT		creates a customer
 *	UPDATE		updates it, if what is sent changed; deletes it and creates
 *				another, if it is another customer now
 *	DELETE		deletes it
 *
 * Which operations these are, the provider's row says (see provider.h).  Fired
 * for each row, jobs are in the order of the rows.  Fired for each statement,
 * all deletes come first, then all creates, then the updates: so rows may
 * exchange their keys, or hand them on.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/trigger.h"
#include "compat.h"
#include "executor/tuptable.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"

#include "arguments.h"
#include "call.h"
#include "customer.h"

/* Jobs of a statement that are held in memory at once. */
#define PIECE 1000

/* A role that is able to send, and what is known of that in a statement. */
typedef struct Checked
{
	Oid			userid;
	int64		account;		/* its number */
	bool		warned[B24_CHANGE_COUNT];
} Checked;

/* The trigger at work. */
typedef struct Work
{
	const B24Mapping *mapping;
	Relation	relation;
	Oid			owner;
	Checked    *checked;
	B24NewJob  *jobs;
	int			count;
	int			size;			/* of jobs */
	MemoryContext context;		/* of what they hold; NULL: the current one */
} Work;

/* ---- how it was fired ---- */

static void
refuse_firing(const TriggerData *trigdata, const char *message, const char *events,
			  const char *referencing)
{
	const char *relation = quote_identifier(RelationGetRelationName(trigdata->tg_relation));

	ereport(ERROR,
			(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
			 errmsg("trigger \"%s\" %s", trigdata->tg_trigger->tgname, message),
			 errhint("CREATE TRIGGER ... AFTER %s ON %s %s EXECUTE FUNCTION %s(...).",
					 events, relation, referencing,
					 get_func_name(trigdata->tg_trigger->tgfoid))));
}

static void
check_firing(FunctionCallInfo fcinfo)
{
	const TriggerData *trigdata = (TriggerData *) fcinfo->context;
	Oid			function = fcinfo->flinfo->fn_oid;
	TriggerEvent event;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("%s() is not called, but fired by a trigger", get_func_name(function)),
				 errhint("CREATE TRIGGER ... AFTER INSERT OR UPDATE OR DELETE ON ... FOR EACH ROW EXECUTE FUNCTION %s(...).",
						 get_func_name(function))));
	event = trigdata->tg_event;
	if (TRIGGER_FIRED_BY_TRUNCATE(event))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("trigger \"%s\" cannot tell the provider of TRUNCATE",
						trigdata->tg_trigger->tgname),
				 errdetail("The rows of table \"%s\" that go are not known.",
						   RelationGetRelationName(trigdata->tg_relation)),
				 errhint("Use DELETE, or drop the trigger to have the customers stay at the provider.")));
	if (!TRIGGER_FIRED_AFTER(event))
		refuse_firing(trigdata, "must be fired AFTER",
					  "INSERT OR UPDATE OR DELETE", "FOR EACH ROW");
	if (TRIGGER_FIRED_FOR_ROW(event))
		return;
	if (TRIGGER_FIRED_BY_INSERT(event) && trigdata->tg_newtable == NULL)
		refuse_firing(trigdata, "has no table of the new rows", "INSERT",
					  "REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT");
	if (TRIGGER_FIRED_BY_UPDATE(event) &&
		(trigdata->tg_newtable == NULL || trigdata->tg_oldtable == NULL))
		refuse_firing(trigdata, "has no tables of the old and new rows", "UPDATE",
					  "REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT");
	if (TRIGGER_FIRED_BY_DELETE(event) && trigdata->tg_oldtable == NULL)
		refuse_firing(trigdata, "has no table of the old rows", "DELETE",
					  "REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT");
}

/* The role must be able to send, which is checked once per statement. */
static Checked *
check_account(FunctionCallInfo fcinfo, const B24Mapping *mapping, Oid userid)
{
	Checked    *checked = fcinfo->flinfo->fn_extra;
	int64		account;

	if (checked != NULL && checked->userid == userid)
		return checked;
	account = b24_account_open(mapping->server, mapping->provider)->number;
	if (checked == NULL)
		checked = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(Checked));
	checked->userid = userid;
	checked->account = account;
	fcinfo->flinfo->fn_extra = checked;
	return checked;
}

/* ---- what becomes of a change ---- */

/*
 * What a provider says of its requests beyond their fields and texts, it says
 * now.  For most there is nothing, and rows are many.
 */
static void
check_request(const B24Mapping *mapping, const B24NewJob *new)
{
	const B24Account *account;
	B24Json    *arguments;

	if (new->endpoint->adjust == NULL)
		return;
	account = b24_account_open(mapping->server, mapping->provider);
	arguments = b24_arguments_parse(new->request);
	PG_TRY();
	{
		b24_call_rehearse(account, new->endpoint, arguments);
	}
	PG_FINALLY();
	{
		b24_json_free(arguments);
	}
	PG_END_TRY();
}

/* Says so, once per statement, if the path of an operation is not documented. */
static void
warn(const Work *work, B24Change change)
{
	const B24Mapping *mapping = work->mapping;

	if (work->checked->warned[change])
		return;
	work->checked->warned[change] = true;
	if (mapping->endpoints[change]->path_is_guess)
		b24_call_warn(b24_account_open(mapping->server, mapping->provider),
					  mapping->endpoints[change]);
}

static void
call_now(const B24Mapping *mapping, const B24NewJob *new)
{
	const B24Account *account = b24_account_open(mapping->server, mapping->provider);
	B24Exchange *exchange = b24_exchange_new(account);
	B24Job	   *job = b24_job_with(exchange, new->endpoint,
								   b24_arguments_parse(new->request));

	b24_call_complete(job);
	b24_call_job(job, false);
	b24_exchange_end(job->exchange);
}

static void
flush(Work *work)
{
	b24_outbox_add(work->mapping->server, work->checked->account, work->owner,
				   work->jobs, work->count, NULL);
	work->count = 0;
	if (work->context != NULL)
		MemoryContextReset(work->context);
}

/* One change of one row. */
static void
add(Work *work, B24Change change, TupleTableSlot *row)
{
	B24NewJob  *job = &work->jobs[work->count];
	MemoryContext old = CurrentMemoryContext;

	CHECK_FOR_INTERRUPTS();
	if (work->context != NULL)
		MemoryContextSwitchTo(work->context);
	b24_customer_job(work->mapping, work->relation, change, row, job);
	check_request(work->mapping, job);
	warn(work, change);
	switch (work->mapping->mode)
	{
		case B24_MODE_OUTBOX:
			work->count++;
			break;
		case B24_MODE_CALL:
			call_now(work->mapping, job);
			break;
		case B24_MODE_DRY_RUN:
			ereport(NOTICE,
					(errmsg("would enqueue %s %s", job->endpoint->name,
							JsonbToCString(NULL, &job->request->root,
										   VARSIZE(job->request)))));
			break;
	}
	MemoryContextSwitchTo(old);
	if (work->count == work->size)
		flush(work);
	else if (work->count == 0 && work->context != NULL)
		MemoryContextReset(work->context);
}

/* ---- for each row ---- */

static void
fired_for_row(const TriggerData *trigdata, Work *work)
{
	TupleTableSlot *row = trigdata->tg_trigslot;

	if (TRIGGER_FIRED_BY_INSERT(trigdata->tg_event))
		add(work, B24_CHANGE_CREATE, row);
	else if (TRIGGER_FIRED_BY_DELETE(trigdata->tg_event))
		add(work, B24_CHANGE_DELETE, row);
	else if (b24_customer_is_other(work->mapping, row, trigdata->tg_newslot))
	{
		if (b24_customer_has_key(work->mapping, row))
			add(work, B24_CHANGE_DELETE, row);
		add(work, B24_CHANGE_CREATE, trigdata->tg_newslot);
	}
	else if (b24_customer_differs(work->mapping, row, trigdata->tg_newslot))
		add(work, B24_CHANGE_UPDATE, trigdata->tg_newslot);
}

/* ---- for each statement ---- */

/* A reader of a transition table, which others read as well. */
typedef struct Reader
{
	Tuplestorestate *rows;
	int			pointer;
	TupleTableSlot *slot;
	MemoryContext context;		/* of what the slot holds, if it was on disk */
} Reader;

static void
begin_reading(Reader *reader, Tuplestorestate *rows, Relation relation)
{
	reader->rows = rows;
	reader->pointer = tuplestore_alloc_read_pointer(rows, EXEC_FLAG_REWIND);
	reader->slot = MakeSingleTupleTableSlot(RelationGetDescr(relation),
											&TTSOpsMinimalTuple);
	reader->context = CurrentMemoryContext;
}

static void
rewind_reader(Reader *reader)
{
	tuplestore_select_read_pointer(reader->rows, reader->pointer);
	tuplestore_rescan(reader->rows);
}

static bool
read_row(Reader *reader)
{
	MemoryContext old = MemoryContextSwitchTo(reader->context);
	bool		found;

	tuplestore_select_read_pointer(reader->rows, reader->pointer);
	found = tuplestore_gettupleslot(reader->rows, true, false, reader->slot);
	MemoryContextSwitchTo(old);
	return found;
}

static void
end_reading(Reader *reader)
{
	ExecDropSingleTupleTableSlot(reader->slot);
}

static void
add_all(Work *work, B24Change change, Tuplestorestate *rows)
{
	Reader		reader;

	begin_reading(&reader, rows, work->relation);
	rewind_reader(&reader);
	while (read_row(&reader))
		add(work, change, reader.slot);
	end_reading(&reader);
}

/*
 * One of the three runs over the rows of an UPDATE, for one kind of change.
 * found says which other kinds there are.
 */
static void
add_updated(Work *work, B24Change change, Reader *old, Reader *new, bool *found)
{
	const B24Mapping *mapping = work->mapping;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "bill24 row", ALLOCSET_SMALL_SIZES);
	MemoryContext before = MemoryContextSwitchTo(context);

	rewind_reader(old);
	rewind_reader(new);
	for (;;)
	{
		bool		has_old = read_row(old);
		bool		has_new = read_row(new);

		/* rows are paired by their order, so there must be as many of both */
		if (has_old != has_new)
			ereport(ERROR,
					(errcode(ERRCODE_TRIGGERED_ACTION_EXCEPTION),
					 errmsg("the old and new rows of an UPDATE of table \"%s\" are not as many",
							RelationGetRelationName(work->relation)),
					 errhint("Another trigger may have kept rows from being moved to another partition. Use a trigger FOR EACH ROW.")));
		if (!has_old)
			break;
		if (b24_customer_is_other(mapping, old->slot, new->slot))
		{
			found[B24_CHANGE_CREATE] = true;
			if (change == B24_CHANGE_DELETE &&
				b24_customer_has_key(mapping, old->slot))
				add(work, change, old->slot);
			else if (change == B24_CHANGE_CREATE)
				add(work, change, new->slot);
		}
		else if ((change == B24_CHANGE_UPDATE || !found[B24_CHANGE_UPDATE]) &&
				 b24_customer_differs(mapping, old->slot, new->slot))
		{
			found[B24_CHANGE_UPDATE] = true;
			if (change == B24_CHANGE_UPDATE)
				add(work, change, new->slot);
		}
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(before);
	MemoryContextDelete(context);
}

static void
add_all_updated(Work *work, Tuplestorestate *old_rows, Tuplestorestate *new_rows)
{
	Reader		old;
	Reader		new;
	bool		found[B24_CHANGE_COUNT] = {false};

	begin_reading(&old, old_rows, work->relation);
	begin_reading(&new, new_rows, work->relation);
	add_updated(work, B24_CHANGE_DELETE, &old, &new, found);
	if (found[B24_CHANGE_CREATE])
		add_updated(work, B24_CHANGE_CREATE, &old, &new, found);
	if (found[B24_CHANGE_UPDATE])
		add_updated(work, B24_CHANGE_UPDATE, &old, &new, found);
	end_reading(&old);
	end_reading(&new);
}

static void
fired_for_statement(const TriggerData *trigdata, Work *work)
{
	if (TRIGGER_FIRED_BY_INSERT(trigdata->tg_event))
		add_all(work, B24_CHANGE_CREATE, trigdata->tg_newtable);
	else if (TRIGGER_FIRED_BY_DELETE(trigdata->tg_event))
		add_all(work, B24_CHANGE_DELETE, trigdata->tg_oldtable);
	else
		add_all_updated(work, trigdata->tg_oldtable, trigdata->tg_newtable);
}

PG_FUNCTION_INFO_V1(bill24_customer_trigger);

/*
 * bill24_customer_trigger('field=column', ..., 'server=name', 'mode=outbox'),
 * and paycombat_customer_trigger, which differs in the server that is meant if
 * none is named.  The role that runs the statement needs what calling an operation needs.
 * Errors: 39P01 fired in a way that will not do, 0A000 fired by TRUNCATE;
 * those of the mapping and of the rows.
 */
Datum
bill24_customer_trigger(PG_FUNCTION_ARGS)
{
	const TriggerData *trigdata = (TriggerData *) fcinfo->context;
	B24NewJob	of_row[3];
	Work		work = {.jobs = of_row, .size = lengthof(of_row)};

	check_firing(fcinfo);
	work.mapping = b24_mapping(trigdata);
	work.relation = trigdata->tg_relation;
	work.owner = GetUserId();
	work.checked = check_account(fcinfo, work.mapping, work.owner);
	if (TRIGGER_FIRED_FOR_ROW(trigdata->tg_event))
		fired_for_row(trigdata, &work);
	else
	{
		work.jobs = palloc(PIECE * sizeof(B24NewJob));
		work.size = PIECE;
		work.context = AllocSetContextCreate(CurrentMemoryContext, "bill24 jobs",
											 ALLOCSET_DEFAULT_SIZES);
		fired_for_statement(trigdata, &work);
	}
	flush(&work);
	return PointerGetDatum(NULL);
}
