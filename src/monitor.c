/*-------------------------------------------------------------------------
 *
 * monitor.c
 *	  The SQL functions that show load control and statistics.
 *
 * What is known of a server is shown to those who have USAGE on it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "compat.h"
#include "foreign/foreign.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "provider.h"
#include "serverlimits.h"
#include "stat.h"

/* Servers that were dropped leave something behind. */
static bool
may_see(Oid serverid)
{
	return SearchSysCacheExists1(FOREIGNSERVEROID, ObjectIdGetDatum(serverid)) &&
		b24_server_aclcheck(serverid, GetUserId()) == ACLCHECK_OK;
}

/* The server of that name.  Errors: 42704 there is none, 42809 another's. */
static Oid
server_named(const char *name)
{
	Oid			serverid = get_foreign_server_oid(name, true);

	if (!OidIsValid(serverid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("server \"%s\" does not exist", name)));
	if (b24_provider_find(GetForeignDataWrapper(GetForeignServer(serverid)->fdwid)->fdwname) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("server \"%s\" is not a server of foreign-data wrapper \"bill24\" or \"paycombat\"",
						name)));
	return serverid;
}

/* The time of day that the monotonic clock's was. */
static Datum
time_of_day(int64 clock)
{
	return TimestampTzGetDatum(GetCurrentTimestamp() +
							   (clock - b24_now_ns()) / 1000);
}

static const char *
state_name(const B24Circuit *circuit)
{
	if (circuit->state == B24_CIRCUIT_IS_CLOSED)
		return "closed";
	return circuit->state == B24_CIRCUIT_IS_OPEN &&
		b24_now_ns() < circuit->retry_at ? "open" : "half-open";
}

PG_FUNCTION_INFO_V1(bill24_circuits);

/* The rows of the view bill24.circuit, with the server's OID. */
Datum
bill24_circuits(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *set = (ReturnSetInfo *) fcinfo->resultinfo;
	B24LimitsState *states;
	int			count;

	InitMaterializedSRF(fcinfo, 0);
	count = b24_limits_states(&states);
	for (int i = 0; i < count; i++)
	{
		const B24Circuit *circuit = &states[i].circuit;
		Datum		values[8] = {0};
		bool		nulls[8] = {false};

		if (!may_see(states[i].serverid))
			continue;
		values[0] = ObjectIdGetDatum(states[i].serverid);
		values[1] = CStringGetTextDatum(state_name(circuit));
		values[2] = Int32GetDatum(circuit->failures);
		if (circuit->state == B24_CIRCUIT_IS_CLOSED)
			nulls[3] = nulls[4] = true;
		else
		{
			values[3] = time_of_day(circuit->opened_at);
			values[4] = time_of_day(circuit->retry_at);
		}
		values[5] = Int32GetDatum(states[i].direct);
		values[6] = Int32GetDatum(states[i].workers);
		if (states[i].last_status < 0)
			nulls[7] = true;
		else
			values[7] = CStringGetTextDatum(b24_status_info(states[i].last_status)->name);
		tuplestore_putvalues(set->setResult, set->setDesc, values, nulls);
	}
	PG_RETURN_NULL();
}

PG_FUNCTION_INFO_V1(bill24_reset_circuit);

/*
 * bill24_reset_circuit(server name): closes the circuit of a server at once.
 * Errors: 42704 no such server, 42809 one of another wrapper, 42501 not its
 * owner, 22004 NULL.
 */
Datum
bill24_reset_circuit(PG_FUNCTION_ARGS)
{
	const char *name;
	Oid			serverid;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"server\" must not be NULL")));
	name = NameStr(*PG_GETARG_NAME(0));
	serverid = server_named(name);
	if (!b24_server_ownercheck(serverid, GetUserId()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of foreign server %s", name)));
	b24_limits_reset(serverid);
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(bill24_stats);

/* The rows of the view bill24.stat, with the server's OID. */
Datum
bill24_stats(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *set = (ReturnSetInfo *) fcinfo->resultinfo;
	B24StatRow	row;
	int			position = 0;

	InitMaterializedSRF(fcinfo, 0);
	while (b24_stat_next(&position, &row))
	{
		Datum		latency[B24_STAT_BUCKETS];
		Datum		values[17];
		bool		nulls[17] = {false};
		uint64		calls = 0;
		int			i = 0;

		if (OidIsValid(row.serverid) && !may_see(row.serverid))
			continue;
		nulls[0] = nulls[2] = !OidIsValid(row.serverid);
		for (int j = 0; j < B24_STAT_OUTCOMES; j++)
			calls += row.outcomes[j];
		for (int j = 0; j < B24_STAT_BUCKETS; j++)
			latency[j] = Int64GetDatum(row.latency[j]);
		values[i++] = ObjectIdGetDatum(row.serverid);
		values[i++] = CStringGetTextDatum(row.operation);
		values[i++] = CStringGetTextDatum(row.worker ? "worker" : "direct");
		values[i++] = Int64GetDatum(calls);
		for (int j = 0; j < B24_STAT_OUTCOMES; j++)
			values[i++] = Int64GetDatum(row.outcomes[j]);
		values[i++] = Int64GetDatum(row.retries);
		values[i++] = Int64GetDatum(row.bytes_sent);
		values[i++] = Int64GetDatum(row.bytes_received);
		values[i++] = Float8GetDatum(row.total_us / 1000.0);
		values[i++] = Float8GetDatum(row.total_us / 1000.0 / calls);
		values[i++] = Float8GetDatum(row.max_us / 1000.0);
		values[i++] = PointerGetDatum(construct_array(latency, B24_STAT_BUCKETS, INT8OID, 8,
													  FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
		nulls[i] = row.since == 0;
		values[i] = TimestampTzGetDatum(row.since);
		tuplestore_putvalues(set->setResult, set->setDesc, values, nulls);
	}
	PG_RETURN_NULL();
}

PG_FUNCTION_INFO_V1(bill24_stat_reset);

/*
 * bill24_stat_reset(server name): the statistics of a server, or of all,
 * begin anew.  Errors: 42704 no such server, 42809 one of another wrapper.
 */
Datum
bill24_stat_reset(PG_FUNCTION_ARGS)
{
	b24_stat_reset(PG_ARGISNULL(0) ? InvalidOid :
				   server_named(NameStr(*PG_GETARG_NAME(0))));
	PG_RETURN_VOID();
}
