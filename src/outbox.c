/*-------------------------------------------------------------------------
 *
 * outbox.c
 *	  The table of jobs, and adding to it.
 *
 * Rows go straight to the table and its indexes, without the executor: no
 * rights, policies, search_path or settings of the caller's have a say, and an
 * AFTER trigger on a busy table costs little more than the rows themselves.
 * It is an insert like any other otherwise: it is logged, belongs to the
 * (sub)transaction and is seen by later commands.  The table's constraints
 * hold because of what is inserted; triggers that somebody puts on it are not
 * fired.
 *
 * What preparing costs (a plan would be the same) is kept until the table
 * changes.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/index.h"
#include "catalog/pg_class.h"
#include "catalog/pg_namespace.h"
#include "commands/extension.h"
#include "commands/sequence.h"
#include "compat.h"
#include "executor/executor.h"
#include "optimizer/optimizer.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "outbox.h"
#include "wake.h"

/* Rows that are inserted at once. */
#define BATCH 200

/* The columns that are not NULL in a new row, in the order of add_row. */
static const char *const column_names[] = {
	"id", "server", "account", "operation", "key", "request", "owner", "state",
	"attempts", "next_attempt_at", "created_at"
};

#define COLUMNS ((int) lengthof(column_names))

/* Those of them that differ among the rows of one insert. */
static const char *const columns_of_rows[] = {"id", "operation", "key", "request"};

typedef struct OneIndex
{
	Oid			index;
	IndexInfo  *info;
	bool		unique;
	bool		all_or_none;	/* of the rows of an insert are in it */
} OneIndex;

/* The table, prepared. */
typedef struct Outbox
{
	MemoryContext context;		/* everything of it, this struct included */
	Oid			relation;
	Oid			sequence;
	int			columns[COLUMNS];	/* positions, from 0 */
	TupleDesc	tupdesc;
	EState	   *estate;
	OneIndex   *indexes;
	int			index_count;
	const TupleTableSlotOps *slot_ops;
	TupleTableSlot *slots[BATCH];	/* made when needed */
} Outbox;

static Oid	outbox_relation = InvalidOid;
static Outbox *outbox = NULL;
static bool outbox_stale = false;
static bool callback_registered = false;

static void
invalidate(Datum arg, Oid relation)
{
	bool		ours = !OidIsValid(relation) || relation == outbox_relation;

	for (int i = 0; !ours && outbox != NULL && i < outbox->index_count; i++)
		ours = relation == outbox->indexes[i].index;
	if (ours)
	{
		outbox_relation = InvalidOid;
		outbox_stale = true;
	}
}

/* A relation of the extension's schema, if it is the extension's own. */
static Oid
member(Oid extension, Oid namespace, const char *name)
{
	Oid			relation = get_relname_relid(name, namespace);

	if (OidIsValid(relation) &&
		getExtensionOfObject(RelationRelationId, relation) == extension)
		return relation;
	return InvalidOid;
}

/* The table; InvalidOid if the extension is not there. */
Oid
b24_outbox_relation(void)
{
	Oid			extension;
	Oid			namespace;

	if (OidIsValid(outbox_relation))
		return outbox_relation;
	if (!callback_registered)
	{
		CacheRegisterRelcacheCallback(invalidate, (Datum) 0);
		callback_registered = true;
	}
	extension = get_extension_oid("bill24", true);
	namespace = get_namespace_oid("bill24", true);
	if (OidIsValid(extension) && OidIsValid(namespace))
		outbox_relation = member(extension, namespace, "outbox");
	return outbox_relation;
}

/*
 * Has somebody locked the whole table, so that none of its rows can be changed
 * for now?  To be asked in a transaction.
 */
bool
b24_outbox_is_locked(void)
{
	Oid			relation = b24_outbox_relation();

	if (!OidIsValid(relation))
		return false;
	if (!ConditionalLockRelationOid(relation, RowExclusiveLock))
		return true;
	UnlockRelationOid(relation, RowExclusiveLock);
	return false;
}

static int
column_of(Relation relation, const char *name)
{
	AttrNumber	number = get_attnum(RelationGetRelid(relation), name);

	if (number == InvalidAttrNumber)
		elog(ERROR, "table \"%s\" has no column \"%s\"",
			 RelationGetRelationName(relation), name);
	return number - 1;
}

/* Has a condition the same result for all rows of an insert? */
static bool
is_of_all_rows(Relation relation, List *condition)
{
	Bitmapset  *columns = NULL;

	pull_varattnos((Node *) condition, 1, &columns);

	/* the row as such, and what the system keeps with it */
	for (int i = FirstLowInvalidHeapAttributeNumber; i <= 0; i++)
	{
		if (bms_is_member(i - FirstLowInvalidHeapAttributeNumber, columns))
			return false;
	}
	for (int i = 0; i < lengthof(columns_of_rows); i++)
	{
		if (bms_is_member(column_of(relation, columns_of_rows[i]) + 1 -
						  FirstLowInvalidHeapAttributeNumber, columns))
			return false;
	}
	return true;
}

static void
prepare_indexes(Outbox *o, Relation relation)
{
	List	   *list = RelationGetIndexList(relation);
	ListCell   *cell;

	o->indexes = palloc0((list_length(list) + 1) * sizeof(OneIndex));
	foreach(cell, list)
	{
		OneIndex   *i = &o->indexes[o->index_count];
		Relation	index = index_open(lfirst_oid(cell), RowExclusiveLock);

		i->index = RelationGetRelid(index);
		i->info = BuildIndexInfo(index);
		i->unique = index->rd_index->indisunique;
		i->all_or_none = is_of_all_rows(relation, i->info->ii_Predicate);
		if (index->rd_index->indisexclusion ||
			(i->unique && !index->rd_index->indimmediate))
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("cannot enqueue while index \"%s\" is on table \"%s\"",
							RelationGetRelationName(index),
							RelationGetRelationName(relation)),
					 errdetail("Neither exclusion constraints nor deferrable ones are supported there.")));
		if (i->info->ii_ReadyForInserts)
			o->index_count++;
		index_close(index, NoLock);
	}
}

static Outbox *
prepare(Relation relation)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "bill24 outbox",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Outbox	   *o = palloc0(sizeof(Outbox));

	o->context = context;
	o->relation = RelationGetRelid(relation);
	o->sequence = member(getExtensionOfObject(RelationRelationId, o->relation),
						 RelationGetNamespace(relation), "outbox_id_seq");
	if (!OidIsValid(o->sequence))
		elog(ERROR, "table \"%s\" has no sequence",
			 RelationGetRelationName(relation));
	for (int i = 0; i < COLUMNS; i++)
		o->columns[i] = column_of(relation, column_names[i]);

	/* a copy is not counted, and so belongs to no transaction */
	o->tupdesc = CreateTupleDescCopy(RelationGetDescr(relation));
	o->slot_ops = table_slot_callbacks(relation);
	o->estate = CreateExecutorState();
	prepare_indexes(o, relation);
	MemoryContextSwitchTo(old);
	return o;
}

/* Opens the table, with everything prepared for inserting. */
static Relation
open_outbox(void)
{
	Relation	relation;

	for (;;)
	{
		Oid			oid = b24_outbox_relation();

		if (!OidIsValid(oid))
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_TABLE),
					 errmsg("the outbox of extension \"bill24\" does not exist"),
					 errhint("The extension may have been dropped, or its table renamed.")));
		relation = table_open(oid, RowExclusiveLock);

		/* what changed while we waited for the lock is known now */
		if (outbox_relation == oid)
			break;
		table_close(relation, RowExclusiveLock);
	}
	if (outbox != NULL && (outbox_stale || outbox->relation != outbox_relation))
	{
		/* an index expression further up may still be using it */
		MemoryContextSetParent(outbox->context, TopTransactionContext);
		outbox = NULL;
	}
	if (outbox == NULL)
	{
		Outbox	   *o;

		outbox_stale = false;
		o = prepare(relation);
		MemoryContextSetParent(o->context, CacheMemoryContext);
		outbox = o;				/* if it is stale by now, the next one sees it */
	}
	return relation;
}

/* What all rows of an insert have in common. */
typedef struct Common
{
	Datum		server;
	Datum		account;
	Datum		state;
	Datum		owner;
	Datum		now;
	const B24Endpoint *endpoint;	/* whose name operation is */
	Datum		operation;
} Common;

static int64
add_row(Outbox *o, Common *common, const B24NewJob *job, TupleTableSlot *slot)
{
	Datum		values[COLUMNS];
	int64		id;

	if (VARSIZE(job->request) > B24_REQUEST_BYTES)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("the request is too large for the outbox"),
				 errdetail("It has %u bytes, and may have %d.",
						   (unsigned int) VARSIZE(job->request), B24_REQUEST_BYTES)));
	id = nextval_internal(o->sequence, false);

	if (common->endpoint != job->endpoint)
	{
		common->endpoint = job->endpoint;
		common->operation = CStringGetTextDatum(job->endpoint->name);
	}
	values[0] = Int64GetDatum(id);
	values[1] = common->server;
	values[2] = common->account;
	values[3] = common->operation;
	values[4] = PointerGetDatum(job->key);
	values[5] = JsonbPGetDatum(job->request);
	values[6] = common->owner;
	values[7] = common->state;
	values[8] = Int32GetDatum(0);
	values[9] = common->now;
	values[10] = common->now;

	ExecClearTuple(slot);
	memset(slot->tts_isnull, true, o->tupdesc->natts * sizeof(bool));
	for (int i = 0; i < COLUMNS; i++)
	{
		slot->tts_values[o->columns[i]] = values[i];
		slot->tts_isnull[o->columns[i]] = false;
	}
	ExecStoreVirtualTuple(slot);
	return id;
}

/* Is a row in an index, by its condition? */
static bool
belongs_into(Outbox *o, IndexInfo *info, TupleTableSlot *slot)
{
	ExprContext *econtext = GetPerTupleExprContext(o->estate);
	bool		result;

	if (info->ii_Predicate == NIL)
		return true;
	if (info->ii_PredicateState == NULL)
		info->ii_PredicateState = ExecPrepareQual(info->ii_Predicate, o->estate);
	econtext->ecxt_scantuple = slot;
	result = ExecQual(info->ii_PredicateState, econtext);
	ResetExprContext(econtext);
	return result;
}

static void
insert_into_index(Outbox *o, Relation relation, OneIndex *i, int count)
{
	ExprContext *econtext = GetPerTupleExprContext(o->estate);
	IndexInfo  *info = i->info;
	Relation	index;

	if (i->all_or_none && !belongs_into(o, info, o->slots[0]))
		return;
	index = index_open(i->index, RowExclusiveLock);
	info->ii_AmCache = NULL;
	info->ii_Context = CurrentMemoryContext;
	for (int n = 0; n < count; n++)
	{
		TupleTableSlot *slot = o->slots[n];
		Datum		values[INDEX_MAX_KEYS];
		bool		nulls[INDEX_MAX_KEYS];

		if (!i->all_or_none && !belongs_into(o, info, slot))
			continue;
		econtext->ecxt_scantuple = slot;
		FormIndexDatum(info, slot, o->estate, values, nulls);
		b24_index_insert(index, values, nulls, &slot->tts_tid, relation,
						 i->unique ? UNIQUE_CHECK_YES : UNIQUE_CHECK_NO, info);
		ResetExprContext(econtext);
	}
	b24_index_insert_cleanup(index, info);
	info->ii_AmCache = NULL;
	index_close(index, NoLock);
}

/* Inserts so many jobs, not more than BATCH; returns the last one's number. */
static int64
add_batch(Outbox *o, Relation relation, Common *common, const B24NewJob *jobs,
		  int count, int64 *ids)
{
	int64		id = 0;

	for (int n = 0; n < count; n++)
	{
		if (o->slots[n] == NULL)
		{
			MemoryContext old = MemoryContextSwitchTo(o->context);

			o->slots[n] = MakeSingleTupleTableSlot(o->tupdesc, o->slot_ops);
			MemoryContextSwitchTo(old);
		}
		id = add_row(o, common, &jobs[n], o->slots[n]);
		if (ids != NULL)
			ids[n] = id;
	}
	if (count == 1)
		table_tuple_insert(relation, o->slots[0], GetCurrentCommandId(true), 0, NULL);
	else
		table_multi_insert(relation, o->slots, count, GetCurrentCommandId(true), 0, NULL);
	for (int i = 0; i < o->index_count; i++)
		insert_into_index(o, relation, &o->indexes[i], count);
	for (int n = 0; n < count; n++)
		ExecClearTuple(o->slots[n]);
	return id;
}

/*
 * Adds jobs of an account (its number) in this order, and returns the number
 * of the last one; ids, if it is not NULL, takes the numbers of all.  Whoever calls this has checked that
 * the owner may send them.  Errors: 25006 in a read-only transaction, 54000 a
 * request that is too large.
 */
int64
b24_outbox_add(const char *server, int64 account, Oid owner,
			   const B24NewJob *jobs, int count, int64 *ids)
{
	Relation	relation;
	Outbox	   *o;
	Common		common = {.endpoint = NULL};
	MemoryContext context;
	MemoryContext old;
	int64		id = 0;

	if (count == 0)
		return 0;
	PreventCommandIfReadOnly("INSERT");
	PreventCommandIfParallelMode("INSERT");
	context = AllocSetContextCreate(CurrentMemoryContext, "bill24 insert",
									ALLOCSET_DEFAULT_SIZES);
	relation = open_outbox();
	o = outbox;
	old = MemoryContextSwitchTo(context);
	common.server = CStringGetTextDatum(server);
	common.account = Int64GetDatum(account);
	common.state = CStringGetTextDatum("queued");
	common.owner = ObjectIdGetDatum(owner);
	common.now = TimestampTzGetDatum(GetCurrentTransactionStartTimestamp());
	for (int done = 0; done < count; done += BATCH)
		id = add_batch(o, relation, &common, jobs + done, Min(BATCH, count - done),
					   ids != NULL ? ids + done : NULL);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	table_close(relation, NoLock);
	b24_wake_at_commit();
	return id;
}
