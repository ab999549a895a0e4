# shellcheck shell=bash
# To be sourced: what the benchmarks of the outbox have in common.

. "$(dirname "${BASH_SOURCE[0]}")/tools.sh"

# Once: a server of its own, on a database server with many files.  Without a
# mirror, whose looks at what was delivered would go on beside the bare loop.
outbox_prepare()
{
	raise_file_limit
	sql <<SQL
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS bill24;
DROP SERVER IF EXISTS delivery CASCADE;
CREATE SERVER delivery FOREIGN DATA WRAPPER bill24
	OPTIONS (base_url '$B24SIM_URL', allow_http 'true', max_in_flight '64', max_response_size '256MB', mirror 'false');
CREATE USER MAPPING FOR CURRENT_USER SERVER delivery
	OPTIONS (token '00000000-0000-4000-8000-000000000001', client_id 'demo_client', secret 'demo-secret');
SQL
	coproc watcher { psql -XAtq -v ON_ERROR_STOP=1; }
}

# tells CONDITION: is it true?  Asked of a session that stays: programs that
# were started for each look would take their share of the processors from what
# is measured, and nothing of that kind runs beside the bare loop.
tells()
{
	local answer

	echo "SELECT $1;" >&"${watcher[1]}"
	read -r -t 60 -u "${watcher[0]}" answer || die "the session that looks does not answer"
	[ "$answer" = t ]
}

# watch_for WHAT CONDITION: until it is true, looking often
watch_for()
{
	local end=$((SECONDS + 180)) none

	until tells "$2"; do
		[ $SECONDS -lt $end ] || die "never came true: $1"
		read -r -t 0.02 -u "${watcher[0]}" none || :
	done
}

# Nothing is queued, and the simulator knows nobody; then a few deliveries, so
# that the worker runs, with a token and its connections.
outbox_reset()
{
	local latency=$1 in_flight=$2

	sql -c 'TRUNCATE bill24.outbox'
	wait_for "requests are let go" in_flight_is 0
	sql -c "SELECT FROM bill24_stat_reset('delivery')"
	simulator /_sim/reset '{}' >/dev/null
	sql -c "ALTER SERVER delivery OPTIONS (SET max_in_flight '$in_flight')"
	enqueue W $((in_flight * 2)) | tail -n 1 >/dev/null
	wait_done
	set_latency "$latency"

	# what was written before is not to be paid for now
	sql -c CHECKPOINT
}

# enqueue PREFIX COUNT: one transaction, by the function; prints the time
# right before its COMMIT.
enqueue()
{
	sql -v prefix="$1" -v count="$2" <<'END'
BEGIN;
SELECT count(bill24_enqueue('create_customer', jsonb_build_object('sync_code', :'prefix' || lpad(i::text, 7, '0'),
	'name', 'Customer ' || i), 'delivery')) AS enqueued FROM generate_series(1, :count) AS i \gset
SELECT extract(epoch FROM clock_timestamp());
COMMIT;
END
}

# sim_stat NAME: a number of the simulator's statistics
sim_stat()
{
	simulator /_sim/stats | sed -n "s|.*\"$1\": *\([0-9]*\).*|\1|p"
}

# wait_answered COUNT: until that many deliveries, since the reset, have succeeded.
wait_answered()
{
	watch_for "$1 deliveries" "coalesce(sum(done), 0) >= $1 FROM bill24.stat
		WHERE server = 'delivery' AND operation = 'create_customer' AND caller = 'worker'"
}

in_flight_is()
{
	[ "$(sim_stat in_flight)" -eq "$1" ]
}

now()
{
	date +%s.%N
}

# wait_for WHAT COMMAND...: until it succeeds, looking often
wait_for()
{
	local what=$1 end=$((SECONDS + 180))
	shift
	until "$@"; do
		[ $SECONDS -lt $end ] || die "never came true: $what"
		sleep 0.02
	done
}

nothing_left="NOT EXISTS (SELECT FROM bill24.outbox WHERE server = 'delivery' AND finished_at IS NULL)"

# Until every job is done; what is not done then is an error of ours.
wait_done()
{
	watch_for "all is done" "$nothing_left"
	[ "$(sql -c "SELECT count(*) FROM bill24.outbox WHERE state <> 'done'")" = 0 ] ||
		die "not all was done: $(sql -c 'SELECT state, sqlstate, error, count(*) FROM bill24.outbox GROUP BY 1, 2, 3')"
}

# process NAME: the number of a process of the database server
process()
{
	sql -c "SELECT pid FROM pg_stat_activity WHERE backend_type = '$1' ORDER BY pid LIMIT 1"
}

outbox_footing()
{
	echo
	echo "- $(machine), load average $load at the start; PostgreSQL $(sql -c 'SHOW server_version'), fsync $(sql -c 'SHOW fsync'); simulator, client and server together on it"
}

load=$(cut -d' ' -f1-3 /proc/loadavg)
