/*-------------------------------------------------------------------------
 *
 * rotation.c
 *	  Jobs and customers follow a user mapping that gets other credentials.
 *
 * Jobs are in order per key and account, and an account is known by a number
 * that comes of its credentials.  With a new token it is another one; but the
 * jobs that were enqueued before are sent with the new token, too, and those
 * that are enqueued now have to come after them.  So the unfinished jobs of a
 * mapping get its new number, and so do the customers of PayCombat's that are
 * kept for the old one.
 *
 * That is done when the transaction that changes a mapping is about to commit,
 * whatever statements they were: what the transaction leaves in the catalog is
 * compared with what it found there.  Claims and results are kept out, for no
 * longer than the commit takes.  The wrapper's validator tells that there may
 * be something to do, as it is called in every session, also in one that has
 * not used this module before.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_user_mapping.h"
#include "compat.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "account.h"
#include "backlog_sql.h"
#include "columns.h"
#include "lease.h"
#include "options.h"
#include "outbox.h"
#include "paycombat_customer.h"
#include "rotation.h"
#include "store.h"
#include "wake.h"

/*
 * How long the commit waits for each lock: a person who has a job locked would
 * hold up all deliveries with it.
 */
#define LOCK_TIMEOUT_MS 1000
#define LOCK_TIMEOUT "1s"

/* A mapping that this transaction has made or changed. */
typedef struct Change
{
	Oid			serverid;
	Oid			userid;			/* InvalidOid: PUBLIC */
	bool		has_before;
	int64		before;			/* its account's number until now */
} Change;

static bool expected = false;

/* The number of the account that a mapping as it is in the catalog stands for. */
static bool
number_of(Relation relation, HeapTuple tuple, const char **server, int64 *number)
{
	Form_pg_user_mapping mapping = (Form_pg_user_mapping) GETSTRUCT(tuple);
	bool		isnull;
	Datum		options = heap_getattr(tuple, Anum_pg_user_mapping_umoptions,
									   RelationGetDescr(relation), &isnull);

	return !isnull && b24_account_number(mapping->umserver, options, server, number);
}

static Change *
find_change(List **changes, Oid serverid, Oid userid)
{
	ListCell   *cell;
	Change	   *change;

	foreach(cell, *changes)
	{
		change = lfirst(cell);
		if (change->serverid == serverid && change->userid == userid)
			return change;
	}
	change = palloc0(sizeof(Change));
	change->serverid = serverid;
	change->userid = userid;
	*changes = lappend(*changes, change);
	return change;
}

/*
 * The mappings (of Change) that are other than when this transaction began.
 * What it has replaced is still in the table, as its own doing: whoever looks
 * at every version finds it.
 */
static List *
find_changes(Relation relation)
{
	TableScanDesc scan = table_beginscan(relation, SnapshotAny, 0, NULL);
	List	   *changes = NIL;
	HeapTuple	tuple;

	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		HeapTupleHeader header = tuple->t_data;
		Form_pg_user_mapping mapping = (Form_pg_user_mapping) GETSTRUCT(tuple);
		bool		is_new = TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(header));
		bool		is_replaced = !(header->t_infomask & HEAP_XMAX_INVALID) &&
			!HEAP_XMAX_IS_LOCKED_ONLY(header->t_infomask) &&
			TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetUpdateXid(header));
		Change	   *change;
		const char *ignored;

		if (!is_new && !is_replaced)
			continue;
		change = find_change(&changes, mapping->umserver, mapping->umuser);
		if (!is_new)
			change->has_before = number_of(relation, tuple, &ignored, &change->before);
	}
	table_endscan(scan);
	return changes;
}

/*
 * Is there a mapping of a server whose account still has that number, or may
 * have it, as its file cannot be read at the moment?
 */
static bool
is_in_use(Relation relation, Oid serverid, int64 number)
{
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	TableScanDesc scan = table_beginscan(relation, snapshot, 0, NULL);
	bool		found = false;
	HeapTuple	tuple;

	while (!found && (tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		const char *ignored;
		int64		other;

		if (((Form_pg_user_mapping) GETSTRUCT(tuple))->umserver != serverid ||
			heap_attisnull(tuple, Anum_pg_user_mapping_umoptions, RelationGetDescr(relation)))
			continue;
		found = !number_of(relation, tuple, &ignored, &other) || other == number;
	}
	table_endscan(scan);
	UnregisterSnapshot(snapshot);
	return found;
}

static bool
has_mapping(Oid serverid, Oid userid)
{
	return SearchSysCacheExists2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(userid),
								 ObjectIdGetDatum(serverid));
}

/*
 * Gives the unfinished jobs that are sent with a mapping the number of its
 * account.  A job that is being sent gets it, too.  Their order stays, as it
 * comes of their numbers; where there are others of the key, the claims see to
 * it that only the first is sent.  True if there was any.
 */
static bool
move_jobs(const char *server, const Change *change, int64 number, bool prepare)
{
	/*
	 * One step in the index for each account, and then all entries of the
	 * others, those of their jobs of other servers as well: a key stands before
	 * the server there.  Accounts are seldom changed.
	 */
#define OTHERS \
	"WITH RECURSIVE a AS (" \
	" (SELECT o.account FROM bill24.outbox o WHERE o.finished_at IS NULL" \
	IN_ORDER("o") " LIMIT 1)" \
	" UNION ALL" \
	" SELECT n.account FROM a, LATERAL (" \
	"  SELECT o.account FROM bill24.outbox o" \
	"  WHERE o.finished_at IS NULL AND o.account > a.account" IN_ORDER("o") " LIMIT 1) n)"
#define JOBS_OF_OTHERS \
	" FROM a, LATERAL (SELECT j.id, j.owner::oid AS owner FROM bill24.outbox j" \
	"  WHERE j.server = $1 AND j.account = a.account AND j.finished_at IS NULL" \
	IN_ORDER("j") " OFFSET 0) o WHERE a.account <> $2"
	static B24Statement find = {
		OTHERS " SELECT DISTINCT o.owner" JOBS_OF_OTHERS, 2, {"text", "bigint"}
	};
	static B24Statement move = {
		"UPDATE bill24.outbox SET account = $2 WHERE id = ANY (ARRAY("
		OTHERS " SELECT o.id" JOBS_OF_OTHERS " AND o.owner::bigint = ANY ($3)))",
		3, {"text", "bigint", "bigint[]"}
	};
	Datum		values[3];
	int			found;
	int64	   *owners;
	int			count = 0;

	values[0] = CStringGetTextDatum(server);
	values[1] = Int64GetDatum(number);
	found = (int) b24_store_run_latest(&find, values);
	owners = palloc(Max(found, 1) * sizeof(int64));
	for (int i = 0; i < found; i++)
	{
		Oid			owner = DatumGetObjectId(b24_store_value(i, 1, NULL));

		if (OidIsValid(change->userid) ? owner == change->userid :
			!has_mapping(change->serverid, owner))
			owners[count++] = owner;
	}
	if (count == 0)
		return false;

	/* it would keep deliveries out until somebody ends it */
	if (prepare)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot PREPARE a transaction that has changed the account of unfinished jobs"),
				 errdetail("A user mapping of server \"%s\" has other credentials now.", server)));

	/*
	 * A claim looks at the others of a job's key by the account.  Whoever
	 * claims now has to be through first, and who claims next sees all jobs as
	 * they are then.
	 */
	b24_lease_exclude_others();
	values[2] = b24_int8_array(owners, count);
	return b24_store_run_latest(&move, values) > 0;
}

/*
 * As b24_store_open, with no long wait for what others have locked; the caller
 * may have asked for a shorter one.
 */
static void
open_store(B24Store *store)
{
	b24_store_open(store);
	if (LockTimeout == 0 || LockTimeout > LOCK_TIMEOUT_MS)
		(void) set_config_option("lock_timeout", LOCK_TIMEOUT, PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

/* What this transaction did to mappings, at its end. */
static void
follow(bool prepare)
{
	Relation	relation;
	List	   *changes;
	ListCell   *cell;
	bool		moved = false;

	/* the last statement's doing is to be seen */
	CommandCounterIncrement();
	if (IsBinaryUpgrade || !OidIsValid(b24_outbox_relation()))
		return;
	PushActiveSnapshot(GetTransactionSnapshot());
	relation = table_open(UserMappingRelationId, AccessShareLock);
	changes = find_changes(relation);
	foreach(cell, changes)
	{
		Change	   *change = lfirst(cell);
		HeapTuple	tuple = SearchSysCache2(USERMAPPINGUSERSERVER,
											ObjectIdGetDatum(change->userid),
											ObjectIdGetDatum(change->serverid));
		const char *server;
		int64		number;
		B24Store	store;

		/* who has no mapping any more sends nothing */
		if (!HeapTupleIsValid(tuple))
			continue;
		if (number_of(relation, tuple, &server, &number))
		{
			open_store(&store);
			if (move_jobs(server, change, number, prepare))
				moved = true;
			if (change->has_before && change->before != number)
				b24_paycombat_customer_move(server, change->before, number,
											is_in_use(relation, change->serverid,
													  change->before));
			b24_store_close(&store);
		}
		ReleaseSysCache(tuple);
	}
	table_close(relation, AccessShareLock);
	PopActiveSnapshot();

	/* some may wait for those of other roles no longer */
	if (moved)
		b24_wake_at_end();
}

static void
at_xact(XactEvent event, void *argument)
{
	bool		was_expected = expected;

	if (event == XACT_EVENT_PARALLEL_PRE_COMMIT || event == XACT_EVENT_PARALLEL_COMMIT ||
		event == XACT_EVENT_PARALLEL_ABORT)
		return;
	expected = false;
	if (was_expected &&
		(event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PRE_PREPARE))
		follow(event == XACT_EVENT_PRE_PREPARE);
}

static void
expect(void)
{
	static bool registered = false;

	if (!registered)
		RegisterXactCallback(at_xact, NULL);
	registered = true;
	expected = true;
}

/* While the module is loaded: has the validator tell. */
void
b24_rotation_init(void)
{
	b24_options_of_mapping_change = expect;
}
