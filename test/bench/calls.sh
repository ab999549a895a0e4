#!/bin/bash
#
# calls.sh: what a call by bill24 costs beside a bare libcurl loop, as a table.
#
# To be started by run.sh.  Each row is measured several times, bill24 and bare
# loop in turn, so that what else the machine does hits both; the table has the
# medians.  Every sample is checked against the simulator's own count of
# requests.
#
#	B24_BENCH_RUNS (5)		how often each row is measured
#	B24_BENCH_PARTS (abcde)	which parts:
#		a	calls one after the other, from one backend
#		b	the same from 8 and from 32 backends
#		c	many wallet balances at once, against a slow server
#		d	memory of a backend
#		e	how soon a cancel ends a call
#	B24_BENCH_LIMIT (300)	after so many seconds no further run is begun

set -euo pipefail

. "$(dirname "$0")/tools.sh"
runs=${B24_BENCH_RUNS:-5}
parts=${B24_BENCH_PARTS:-abcde}
limit=${B24_BENCH_LIMIT:-300}

sample_s=2						# of calls one after the other
latency_ms=50					# of the slow server
customers=10000
memory_calls=100000
cancels=100

load=$(cut -d' ' -f1-3 /proc/loadavg)

# How many wallet balances the simulator has been asked for.
asked()
{
	local count
	count=$(simulator /_sim/stats |
		sed -n 's|.*"/instant_payment/get_wallet_balance": *\([0-9]*\).*|\1|p')
	echo "${count:-0}"
}

# check_asked BEFORE CALLS: did all these calls, and no others, happen?
check_asked()
{
	local now
	now=$(asked)
	[ $((now - $1)) = "$2" ] ||
		die "$2 calls were counted here, but the simulator was asked $((now - $1)) times"
}

# ---- samples and rows ---------------------------------------------------

declare -A samples=()			# "row side" => values
rows=()

# note ROW SIDE VALUE
note()
{
	samples[$1 $2]+=" $3"
}

# row NAME LABEL UNIT BARE: the order of the table.  UNIT is "/s" or "s", BARE
# the row that has the bare loop's samples, if any.
row()
{
	rows+=("$1|$2|$3|$4")
}

# cell UNIT VALUE...: median (least to most)
cell()
{
	local unit=$1 sorted
	shift
	mapfile -t sorted < <(printf '%s\n' "$@" | sort -g)
	printf '%s (%s to %s)' "$(pretty "$(median "$@")" "$unit")" \
		"$(pretty "${sorted[0]}" "$unit")" "$(pretty "${sorted[-1]}" "$unit")"
}

# print_row NAME LABEL UNIT BARE: the ratio is the median of the runs' ratios,
# and always more for faster.  Without BARE there is nothing to compare with.
print_row()
{
	local ours theirs ratios=() i

	read -r -a ours <<<"${samples[$1 bill24]:-}"
	read -r -a theirs <<<"${samples[${4:-none} bare]:-}"
	[ ${#ours[@]} -gt 0 ] || return 0
	if [ -z "$4" ]; then
		printf '| %s | %s | | |\n' "$2" "$(cell "$3" "${ours[@]}")"
		return
	fi
	for i in "${!ours[@]}"; do
		if [ "$3" = /s ]; then
			ratios+=("$(calculate "${ours[i]} / ${theirs[i]}")")
		else
			ratios+=("$(calculate "${theirs[i]} / ${ours[i]}")")
		fi
	done
	printf '| %s | %s | %s | %.2f |\n' "$2" "$(cell "$3" "${ours[@]}")" \
		"$(cell "$3" "${theirs[@]}")" "$(median "${ratios[@]}")"
}

# ---- calls one after the other ------------------------------------------

cat >"$work/statement.sql" <<'END'
SELECT count(w.balance)
FROM generate_series(1, :calls) AS i,
	LATERAL bill24_get_wallet_balance('C' || lpad(i::text, 7, '0')) AS w;
END

cat >"$work/transaction.sql" <<'END'
\set i random(1, 1000)
SELECT * FROM bill24_get_wallet_balance('C' || lpad(:i::text, 7, '0'));
END

echo 'SELECT 1;' >"$work/nothing.sql"

# backends ROW COUNT MODE SCRIPT CALLS: calls per second of so many backends
# that run the script, which makes so many calls; transactions per second if
# it makes none.
backends()
{
	local before output transactions rate cores
	cores=$(nproc)

	before=$(asked)
	output=$(timeout 60 pgbench -n -c "$2" -j "$((cores < $2 ? cores : $2))" \
		-T "$sample_s" -M "$3" -D calls="$5" -f "$work/$4.sql" 2>"$work/stderr") ||
		die "pgbench failed: $(cat "$work/stderr")"
	transactions=$(sed -n 's|^number of transactions actually processed: \([0-9]*\).*|\1|p' <<<"$output")
	rate=$(awk '/^tps = / { rate = $3 } END { print rate }' <<<"$output")
	check_asked "$before" $((transactions * $5))
	note "$1" bill24 "$(calculate "$rate * ($5 == 0 ? 1 : $5)")"
}

# bare_processes ROW COUNT: calls per second of so many bare loops.
bare_processes()
{
	local before calls seconds

	before=$(asked)
	read -r calls seconds < <("$bare" easy "$B24SIM_URL" "$sample_s" "$2") ||
		die "the bare loop failed"
	check_asked "$before" "$calls"
	note "$1" bare "$(calculate "$calls / $seconds")"
}

run_one_backend()
{
	backends a1 1 prepared statement 1000
	bare_processes a1 1
	backends a2 1 prepared transaction 1
	backends a3 1 simple transaction 1
	backends a4 1 prepared nothing 0
}

# run_backends COUNT
run_backends()
{
	backends "b$1-1" "$1" prepared statement 100
	bare_processes "b$1-1" "$1"
	backends "b$1-2" "$1" prepared transaction 1
}

# ---- many at once -------------------------------------------------------

# batch CODES SERVER: seconds, and how many balances came.  One call before it
# loads what a first call loads, as the login does in the bare loop.
batch()
{
	timeout 120 psql -XAtq -v ON_ERROR_STOP=1 -F ' ' -v codes="$1" -v server="$2" <<'END'
SELECT count(*) AS first FROM bill24_get_wallet_balance('C0000001', :'server') \gset
SELECT array_agg('C' || lpad(i::text, 7, '0')) AS list
FROM generate_series(1, :codes) AS i \gset
SELECT clock_timestamp() AS start \gset
SELECT count(balance) AS came FROM bill24_get_wallet_balances(:'list', :'server') \gset
SELECT extract(epoch FROM clock_timestamp() - :'start'), :came;
END
}

# run_batch ROW CODES SERVER IN_FLIGHT
run_batch()
{
	local before seconds came calls

	before=$(asked)
	read -r seconds came < <(batch "$2" "$3") || die "the batch failed"
	[ "$came" = "$2" ] || die "only $came of $2 balances came"
	check_asked "$before" $(($2 + 1))
	note "$1" bill24 "$seconds"

	before=$(asked)
	read -r calls seconds < <("$bare" multi "$B24SIM_URL" "$2" "$4") ||
		die "the bare loop failed"
	check_asked "$before" "$calls"
	note "$1" bare "$seconds"
}

run_batches()
{
	set_latency $latency_ms
	run_batch c64-1 1000 narrow 64
	run_batch c64-2 10000 narrow 64
	run_batch c512-1 1000 wide 512
	run_batch c512-2 10000 wide 512
	set_latency 0
}

# What a server with the default number of files makes of 512 at once.
default_row=
run_default_files()
{
	local seconds came

	progress "default settings"
	set_latency $latency_ms
	read -r seconds came < <(batch 10000 wide) || die "the batch failed"
	set_latency 0
	default_row="| 10,000 codes, 512 in flight, max_files_per_process = $(sql -c 'SHOW max_files_per_process') | $(pretty "$seconds" s), $came of 10000 balances | | |"
}

# ---- memory -------------------------------------------------------------

# statements COUNT HUNDREDS: SQL, each with so many hundred calls.  Two short
# series, since a long one takes memory itself.
statements()
{
	local i
	for ((i = 0; i < $1; i++)); do
		echo "SELECT count(w.balance) FROM generate_series(1, $2) AS h, generate_series(1, 100) AS i," \
			"LATERAL bill24_get_wallet_balance('C' || lpad((h % 90 * 100 + i)::text, 7, '0')) AS w;"
	done
}

# Half of the calls in small statements, half of them in a single one; before
# that some for warming up.
memory_row=
run_memory()
{
	local half=$((memory_calls / 2)) before file

	progress memory
	before=$(asked)
	{
		echo 'SELECT pg_backend_pid() AS pid \gset'
		echo '\setenv PID :pid'
		statements 50 1
		statements 1 50
		echo "\\! cat /proc/\$PID/status >$work/memory.before"
		statements $((half / 100)) 1
		statements 1 $((half / 100))
		echo "\\! cat /proc/\$PID/status >$work/memory.after"
	} | timeout 120 psql -XAtq -v ON_ERROR_STOP=1 >/dev/null || die "the calls failed"
	check_asked "$before" $((10000 + memory_calls))
	for file in "$work"/memory.{before,after}; do
		awk '/^(VmRSS|RssAnon):/ { print $1, $2 }' "$file"
	done >"$work/memory"
	memory_row="| memory of a backend, growth over $memory_calls calls | $(awk '
		$1 in first { growth[$1] = $2 - first[$1]; next }
		{ first[$1] = $2 }
		END {
			printf "%+d kB of %d kB (VmRSS), %+d kB of it its own (RssAnon)",
				growth["VmRSS:"], first["VmRSS:"], growth["RssAnon:"]
		}' "$work/memory") | | |"
}

# ---- cancel -------------------------------------------------------------

# One session calls and hangs, call after call; another one notices that it
# does, waits a moment, notes the time and cancels.  The time of the return is
# what the next statement of the first session sees.
cancel_row=
run_cancels()
{
	local i delays

	progress cancels
	sql <<'END'
CREATE UNLOGGED TABLE bench_session (pid integer);
CREATE UNLOGGED TABLE bench_cancelled (n integer, at timestamptz);
CREATE UNLOGGED TABLE bench_returned (n integer, at timestamptz, sqlstate text);
END
	simulator /_sim/fault '{"kind": "hang", "match": "HANG", "count": -1}' >/dev/null
	{
		echo "SET statement_timeout = '10s'; SET synchronous_commit = off;"
		echo "INSERT INTO bench_session SELECT pg_backend_pid();"
		for ((i = 1; i <= cancels; i++)); do
			echo "/* call $i of */ SELECT count(*) FROM bill24_get_wallet_balance('HANG');"
			echo "INSERT INTO bench_returned VALUES ($i, clock_timestamp(), :'SQLSTATE');"
		done
	} | timeout 60 psql -XAtq >/dev/null 2>&1 &

	# shellcheck disable=SC2016  # SQL's dollars
	printf '
		SET statement_timeout = %s;
		DO $$
		DECLARE
			t timestamptz;
			session integer;
		BEGIN
			FOR n IN 1..%s LOOP
				LOOP
					PERFORM pg_sleep(0.001), pg_stat_clear_snapshot();
					SELECT s.pid INTO session
					FROM bench_session s JOIN pg_stat_activity a USING (pid)
					WHERE a.state = %s AND a.wait_event_type = %s AND
						a.query LIKE format(%s, n);
					EXIT WHEN FOUND;
				END LOOP;
				PERFORM pg_sleep(0.002 + 0.008 * random());
				t := clock_timestamp();
				PERFORM pg_cancel_backend(session);
				INSERT INTO bench_cancelled VALUES (n, t);
			END LOOP;
		END
		$$;' "'50s'" $cancels "'active'" "'Extension'" "'/* call %s of */%%'" | sql ||
		die "could not cancel"
	wait $!
	simulator /_sim/clear_faults '{}' >/dev/null
	mapfile -t delays < <(sql -c "
		SELECT extract(epoch FROM r.at - c.at) * 1000
		FROM bench_cancelled c JOIN bench_returned r USING (n)
		WHERE r.sqlstate = '57014' ORDER BY 1")
	[ ${#delays[@]} = "$cancels" ] || die "only ${#delays[@]} of $cancels calls were cancelled"
	cancel_row="| return after pg_cancel_backend, $cancels times | $(printf 'median %.1f ms, worst %.1f ms' \
		"$(median "${delays[@]}")" "${delays[-1]}") | | |"
	sql -c 'DROP TABLE bench_session, bench_cancelled, bench_returned'
}

# ---- all of it ----------------------------------------------------------

set_up()
{
	simulator /_sim/seed "{\"prefix\": \"C\", \"count\": $customers, \"wallets\": 1, \"balance\": 1000}" >/dev/null
	sql <<SQL
CREATE EXTENSION IF NOT EXISTS bill24;
CREATE SERVER bill24 FOREIGN DATA WRAPPER bill24
	OPTIONS (base_url '$B24SIM_URL', allow_http 'true');
CREATE SERVER narrow FOREIGN DATA WRAPPER bill24
	OPTIONS (base_url '$B24SIM_URL', allow_http 'true', max_in_flight '64');
CREATE SERVER wide FOREIGN DATA WRAPPER bill24
	OPTIONS (base_url '$B24SIM_URL', allow_http 'true', max_in_flight '512');
DO \$\$
DECLARE
	server text;
BEGIN
	FOREACH server IN ARRAY ARRAY['bill24', 'narrow', 'wide'] LOOP
		EXECUTE format('CREATE USER MAPPING FOR CURRENT_USER SERVER %I
			OPTIONS (token ''00000000-0000-4000-8000-000000000001'',
				client_id ''demo_client'', secret ''demo-secret'')', server);
	END LOOP;
END
\$\$;
SQL
}

print_table()
{
	local r name label unit bare_row

	cat <<END

- command: \`make bench\` with B24_BENCH=calls B24_BENCH_RUNS=$runs B24_BENCH_PARTS=$parts; runs of each sample, alternating: $done_runs; $SECONDS s in all
- machine: $(machine), load average $load at the start
- PostgreSQL $(sql -c 'SHOW server_version'), max_files_per_process = $(sql -c 'SHOW max_files_per_process'); $("$bare" version | cut -d' ' -f1-2)
- calls one after the other: the simulator answers at once; bill24 by \`pgbench -c BACKENDS -T $sample_s\`, bare by \`bare_loop easy URL $sample_s PROCESSES\` on kept connections
- calls at once: the simulator answers after $latency_ms ms; bill24 by \`bill24_get_wallet_balances()\`, bare by \`bare_loop multi URL CODES IN_FLIGHT\`
- median (least to most); the ratio is the median of the runs' ratios, more is faster

| | bill24 | bare libcurl loop | ratio |
|---|---|---|---|
END
	for r in "${rows[@]}"; do
		IFS='|' read -r name label unit bare_row <<<"$r"
		print_row "$name" "$label" "$unit" "$bare_row"
	done
	for r in "$default_row" "$memory_row" "$cancel_row"; do
		[ -z "$r" ] || echo "$r"
	done
}

row a1 "1 backend, 1,000 calls per statement" /s a1
row a2 "1 backend, 1 call per transaction, prepared" /s a1
row a3 "1 backend, 1 call per transaction, simple protocol" /s a1
row a4 "for comparison: 1 backend, SELECT 1 per transaction, prepared" /s ""
for count in 8 32; do
	row "b$count-1" "$count backends, 100 calls per statement" /s "b$count-1"
	row "b$count-2" "$count backends, 1 call per transaction, prepared" /s "b$count-1"
done
for count in 64 512; do
	row "c$count-1" "1,000 codes, $count in flight" s "c$count-1"
	row "c$count-2" "10,000 codes, $count in flight" s "c$count-2"
done

set_up
[[ $parts != *c* ]] || run_default_files
raise_file_limit
done_runs=0
while [ $done_runs -lt "$runs" ]; do
	if [ $SECONDS -ge "$limit" ]; then
		progress "the time is up"
		break
	fi
	done_runs=$((done_runs + 1))
	progress "run $done_runs of $runs"
	[[ $parts != *a* ]] || run_one_backend
	[[ $parts != *b* ]] || { run_backends 8; run_backends 32; }
	[[ $parts != *c* ]] || run_batches
done
[[ $parts != *d* ]] || run_memory
[[ $parts != *e* ]] || run_cancels
print_table
