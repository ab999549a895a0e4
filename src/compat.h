/*-------------------------------------------------------------------------
 *
 * compat.h
 *	  What differs between PostgreSQL 13 and 18, and nothing else.
 *
 * Each shim has the shape of the newest release.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_COMPAT_H
#define BILL24_COMPAT_H

#include "access/genam.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "catalog/pg_foreign_server.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/execnodes.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"

#if PG_VERSION_NUM < 150000
#include "commands/async.h"
#endif
#if PG_VERSION_NUM >= 140000
#include "utils/wait_event.h"
#endif
#if PG_VERSION_NUM >= 150000
#include "common/pg_prng.h"
#endif
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif
#if PG_VERSION_NUM >= 180000
#include "storage/waiteventset.h"
#endif

/* 18 tells pg_get_loaded_modules() about modules that name themselves */
#if PG_VERSION_NUM >= 180000
#define B24_MODULE_MAGIC PG_MODULE_MAGIC_EXT(.name = "bill24", .version = B24_VERSION)
#else
#define B24_MODULE_MAGIC PG_MODULE_MAGIC
#endif

/* 16 has one function for the rights on all kinds of objects */
static inline AclResult
b24_server_aclcheck(Oid serverid, Oid userid)
{
#if PG_VERSION_NUM >= 160000
	return object_aclcheck(ForeignServerRelationId, serverid, userid, ACL_USAGE);
#else
	return pg_foreign_server_aclcheck(serverid, userid, ACL_USAGE);
#endif
}

static inline bool
b24_server_ownercheck(Oid serverid, Oid userid)
{
#if PG_VERSION_NUM >= 160000
	return object_ownercheck(ForeignServerRelationId, serverid, userid);
#else
	return pg_foreign_server_ownercheck(serverid, userid);
#endif
}

/* A set that lives as long as the process; 17 has resource owners instead. */
static inline WaitEventSet *
b24_create_wait_event_set(int events)
{
#if PG_VERSION_NUM >= 170000
	return CreateWaitEventSet(NULL, events);
#else
	return CreateWaitEventSet(TopMemoryContext, events);
#endif
}

/* 17 lets an extension name what it waits for */
static inline uint32
b24_wait_event(const char *name)
{
#if PG_VERSION_NUM >= 170000
	return WaitEventExtensionNew(name);
#else
	return PG_WAIT_EXTENSION;
#endif
}

/* 15 fills a tuplestore for a set-returning function by itself */
#if PG_VERSION_NUM < 150000
#define MAT_SRF_USE_EXPECTED_DESC 0x01

static inline void
InitMaterializedSRF(FunctionCallInfo fcinfo, bits32 flags)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext old;
	TupleDesc	tupdesc;

	if (rsinfo == NULL || !IsA(rsinfo, ReturnSetInfo) ||
		!(rsinfo->allowedModes & SFRM_Materialize))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("set-valued function called in context that cannot accept a set")));
	old = MemoryContextSwitchTo(rsinfo->econtext->ecxt_per_query_memory);
	if (flags & MAT_SRF_USE_EXPECTED_DESC)
		tupdesc = CreateTupleDescCopy(rsinfo->expectedDesc);
	else if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	rsinfo->returnMode = SFRM_Materialize;
	rsinfo->setResult = tuplestore_begin_heap((rsinfo->allowedModes & SFRM_Materialize_Random) != 0,
											  false, work_mem);
	rsinfo->setDesc = BlessTupleDesc(tupdesc);
	MemoryContextSwitchTo(old);
}
#endif

/* 14 wants to know of updates that leave an index alone */
static inline void
b24_index_insert(Relation index, Datum *values, bool *nulls, ItemPointer tid,
				 Relation heap, IndexUniqueCheck check, IndexInfo *info)
{
#if PG_VERSION_NUM >= 140000
	index_insert(index, values, nulls, tid, heap, check, false, info);
#else
	index_insert(index, values, nulls, tid, heap, check, info);
#endif
}

/* 17 lets an index keep something from one insert to the next */
static inline void
b24_index_insert_cleanup(Relation index, IndexInfo *info)
{
#if PG_VERSION_NUM >= 170000
	index_insert_cleanup(index, info);
#endif
}

/* 14 can convert without an error: false if a character has no equivalent */
static inline bool
b24_try_convert(int from, int to, const char *text, int length, char *out, int size)
{
	Oid			proc = FindDefaultConversionProc(from, to);

	if (!OidIsValid(proc))
		return false;
#if PG_VERSION_NUM >= 140000
	return pg_do_encoding_conversion_buf(proc, from, to,
										 (unsigned char *) unconstify(char *, text),
										 length, (unsigned char *) out, size,
										 true) == length;
#else
	{
		MemoryContext old = CurrentMemoryContext;
		volatile bool ok = true;

		/* a conversion function holds nothing that its error could leave */
		PG_TRY();
		{
			OidFunctionCall5(proc, Int32GetDatum(from), Int32GetDatum(to),
							 CStringGetDatum(text), CStringGetDatum(out),
							 Int32GetDatum(length));
		}
		PG_CATCH();
		{
			MemoryContextSwitchTo(old);
			FlushErrorState();
			ok = false;
		}
		PG_END_TRY();
		return ok;
	}
#endif
}

/* 14 tells hooks of utility statements whether they may change the tree */
#if PG_VERSION_NUM >= 140000
#define B24_UTILITY_PARAMETERS \
	PlannedStmt *pstmt, const char *query_string, bool read_only_tree, \
	ProcessUtilityContext context, ParamListInfo params, \
	QueryEnvironment *query_env, DestReceiver *dest, QueryCompletion *qc
#define B24_UTILITY_ARGUMENTS \
	pstmt, query_string, read_only_tree, context, params, query_env, dest, qc
#else
#define B24_UTILITY_PARAMETERS \
	PlannedStmt *pstmt, const char *query_string, \
	ProcessUtilityContext context, ParamListInfo params, \
	QueryEnvironment *query_env, DestReceiver *dest, QueryCompletion *qc
#define B24_UTILITY_ARGUMENTS \
	pstmt, query_string, context, params, query_env, dest, qc
#endif

/* 16 has one function for the owners of all kinds of objects */
static inline bool
b24_is_database_owner(Oid database, Oid userid)
{
#if PG_VERSION_NUM >= 160000
	return object_ownercheck(DatabaseRelationId, database, userid);
#else
	return pg_database_ownercheck(database, userid);
#endif
}

/* 14 gave the predefined roles their names */
static inline bool
b24_is_monitor(Oid userid)
{
#if PG_VERSION_NUM >= 140000
	return has_privs_of_role(userid, ROLE_PG_MONITOR);
#else
	return has_privs_of_role(userid, DEFAULT_ROLE_MONITOR);
#endif
}

/* 15 keeps the prefix of our settings to us */
static inline void
b24_reserve_settings(const char *prefix)
{
#if PG_VERSION_NUM >= 150000
	MarkGUCPrefixReserved(prefix);
#else
	EmitWarningsOnPlaceholders(prefix);
#endif
}

/*
 * To be called after a commit outside of a session: before 15, the commit
 * itself does not tell who listens.
 */
static inline void
b24_notify_committed(void)
{
#if PG_VERSION_NUM < 150000
	ProcessCompletedNotifies();
#endif
}

/* A random number in [0, 1); 15 has a generator of its own */
static inline double
b24_random(void)
{
#if PG_VERSION_NUM >= 150000
	return pg_prng_double(&pg_global_prng_state);
#else
	return (double) random() / ((double) MAX_RANDOM_VALUE + 1);
#endif
}

/*
 * 15 wants shared memory to be asked for in a hook.  For the one file that
 * asks, which defines B24_ASKS_FOR_SHMEM.
 */
#ifdef B24_ASKS_FOR_SHMEM
static void (*b24_shmem_request) (void);

#if PG_VERSION_NUM >= 150000
static shmem_request_hook_type b24_previous_shmem_request;

static void
b24_shmem_request_hook(void)
{
	if (b24_previous_shmem_request != NULL)
		b24_previous_shmem_request();
	b24_shmem_request();
}
#endif

static inline void
b24_ask_for_shmem(void (*request) (void))
{
	b24_shmem_request = request;
#if PG_VERSION_NUM >= 150000
	b24_previous_shmem_request = shmem_request_hook;
	shmem_request_hook = b24_shmem_request_hook;
#else
	b24_shmem_request();
#endif
}
#endif							/* B24_ASKS_FOR_SHMEM */

#endif							/* BILL24_COMPAT_H */
