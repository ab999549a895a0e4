/*-------------------------------------------------------------------------
 *
 * home.c
 *	  The cluster and database that an outbox belongs to.
 *
 * A copy of a database must not send what the original sends.  So the outbox
 * says where it belongs, by the cluster's system identifier and the database's
 * OID, and a dump takes that along: restored elsewhere, there is a row that
 * says so.  A standby has both in common with its primary, and goes on by
 * itself when it is promoted; for the same reason a clone of the whole cluster
 * that is started beside the original is not recognized.
 *
 * An old dump that is restored into the database that it is from has the
 * identity right, and jobs that were delivered meanwhile.  So the row also says
 * which transaction wrote it, as its own xmin does: whatever reads a dump
 * writes the row anew, in another transaction.  The xmin stays when the row is
 * frozen, and through VACUUM FULL and CLUSTER; what else rewrites the table
 * only makes the outbox wait to be adopted.  (A transaction of the same number,
 * four billion later, is as good as none.)
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "compat.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "nodes/makefuncs.h"
#include "utils/snapmgr.h"

#include "home.h"
#include "store.h"
#include "tracked.h"
#include "wake.h"

/* Columns of bill24.home, by their numbers. */
#define HOME_SYSTEM_IDENTIFIER 1
#define HOME_DATABASE 2
#define HOME_WRITTEN_BY 4

static void
fill_identity(Datum *values)
{
	values[0] = Int64GetDatum((int64) GetSystemIdentifier());
	values[1] = ObjectIdGetDatum(MyDatabaseId);
}

/* Does a row speak of this database, and was it written here? */
static bool
is_of_here(TupleTableSlot *row)
{
	Datum		values[2];
	Datum		system_identifier;
	Datum		database;
	Datum		written_by;
	Datum		writer;
	bool		isnull[4];

	fill_identity(values);
	system_identifier = slot_getattr(row, HOME_SYSTEM_IDENTIFIER, &isnull[0]);
	database = slot_getattr(row, HOME_DATABASE, &isnull[1]);
	written_by = slot_getattr(row, HOME_WRITTEN_BY, &isnull[2]);
	writer = slot_getsysattr(row, MinTransactionIdAttributeNumber, &isnull[3]);
	return !isnull[0] && !isnull[1] && !isnull[2] && !isnull[3] &&
		DatumGetInt64(system_identifier) == DatumGetInt64(values[0]) &&
		DatumGetObjectId(database) == DatumGetObjectId(values[1]) &&
		DatumGetTransactionId(written_by) == DatumGetTransactionId(writer);
}

/*
 * Does the outbox belong here?  Between b24_store_open and b24_store_close.
 * Asked before every claim, so the table is read without a statement.
 */
bool
b24_home_is_here(void)
{
	Relation	relation = table_openrv(makeRangeVar("bill24", "home", -1), AccessShareLock);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	TableScanDesc scan = table_beginscan(relation, snapshot, 0, NULL);
	TupleTableSlot *row = table_slot_create(relation, NULL);
	bool		here = false;

	while (table_scan_getnextslot(scan, ForwardScanDirection, row))
	{
		here = is_of_here(row);
		if (!here)
			break;
	}
	ExecDropSingleTupleTableSlot(row);
	table_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(relation, AccessShareLock);
	return here;
}

PG_FUNCTION_INFO_V1(bill24_adopt_outbox);

/*
 * bill24_adopt_outbox(): from now on the outbox belongs to this database, and
 * its jobs are delivered from here; customers that are mirrored are all looked
 * at anew.  CREATE EXTENSION does the same.
 */
Datum
bill24_adopt_outbox(PG_FUNCTION_ARGS)
{
	static B24Statement forget = {"DELETE FROM bill24.home"};
	static B24Statement adopt = {
		"INSERT INTO bill24.home (system_identifier, database, written_by) VALUES ($1, $2, $3)",
		3, {"bigint", "oid", "xid"}
	};
	Datum		values[3];
	B24Store	store;

	fill_identity(values);

	/* of the subtransaction, if this is one */
	values[2] = TransactionIdGetDatum(GetCurrentTransactionId());
	b24_store_open(&store);
	b24_store_run(&forget, NULL, NULL);
	b24_store_run(&adopt, values, NULL);
	b24_tracked_doubt_all();
	b24_store_close(&store);
	b24_wake_at_end();
	PG_RETURN_VOID();
}
