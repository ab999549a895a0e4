#!/bin/bash
#
# mirror.sh: how fast customers are read into the mirror, and what it costs to
# read them again.
#
# To be started by run.sh.
#
#	B24_BENCH_MIRROR (100000)	customers
#	B24_BENCH_MIRROR_S (10)		the time that a first sync takes at best, where
#								the provider is slow
#	B24_BENCH_MIRROR_RUNS (1)	how often each first sync is measured, in turn
#								with the other two
#	B24_BENCH_TRACKED (5000000)	customers that are quiet while others are due; the few
#								that they are compared with are 10,000
#	B24_BENCH_TRACKED_RUNS (3)	how often that is measured, in turn with few
#	B24_BENCH_MIRROR_PARTS (first again many balance)	what is measured

set -euo pipefail

. "$(dirname "$0")/looks.sh"
customers=${B24_BENCH_MIRROR:-100000}
row_s=${B24_BENCH_MIRROR_S:-10}
runs=${B24_BENCH_MIRROR_RUNS:-1}
tracked=${B24_BENCH_TRACKED:-5000000}
tracked_runs=${B24_BENCH_TRACKED_RUNS:-3}
due=10000
read -r -a parts <<<"${B24_BENCH_MIRROR_PARTS:-first again many balance}"

# count_for LATENCY IN_FLIGHT
count_for()
{
	local count=$customers

	[ "$1" = 0 ] || count=$((row_s * 1000 * $2 / $1))
	[ "$count" -le "$customers" ] || count=$customers
	echo "$count"
}

# ---- the first sync -----------------------------------------------------

# watch_memory PID FILE: the most that a process takes besides the shared
# memory, in kB, until it is killed.
watch_memory()
{
	local most=0 now

	while now=$(own_memory "$1"); do
		[ "$now" -le "$most" ] || { most=$now; echo "$most" >"$2"; }
		sleep 0.1
	done
}

# first_sync LATENCY IN_FLIGHT COUNT: customers a second, and the most memory
first_sync()
{
	local start end watcher

	mirror_reset "$1" "$2"
	seed C "$3"
	watch_memory "$(looker)" "$work/memory" 2>"$work/watch_memory" &
	watcher=$!
	start=$(track C "$3")
	wait_looked "$3"
	end=$(now)
	kill $watcher
	wait $watcher 2>/dev/null || true
	check_progress "$3"
	check_copies "$3"
	echo "$(calculate "$3 / ($end - $start)") $(cat "$work/memory")"
}

# bare_detail LATENCY IN_FLIGHT COUNT
bare_detail()
{
	local calls seconds

	simulator /_sim/reset '{}' >/dev/null
	seed C "$3"
	set_latency "$1"
	read -r calls seconds < <("$bare" detail "$B24SIM_URL" "$3" "$2" C) || die "the bare loop failed"
	calculate "$calls / $seconds"
}

first()
{
	local latency in_flight row our their writes smaller most_memory=0
	local -A ours=() theirs=() upserts=() count=()

	for ((run = 1; run <= runs; run++)); do
		for latency in 0 50 200; do
			for in_flight in 64 512; do
				row="$latency $in_flight"
				count[$row]=$(count_for "$latency" "$in_flight")
				progress "mirror: $latency ms, $in_flight in flight, ${count[$row]} customers"
				read -r our memory < <(first_sync "$latency" "$in_flight" "${count[$row]}")
				[ -n "$our" ] || die "the first sync failed"
				ours[$row]+=" $our"
				theirs[$row]+=" $(bare_detail "$latency" "$in_flight" "${count[$row]}")"
				upserts[$row]+=" $(upsert "${count[$row]}")"
				[ "$memory" -le "$most_memory" ] || most_memory=$memory
			done
		done
	done
	sql -c 'SET client_min_messages = warning' -c 'DROP SCHEMA plain CASCADE'

	cat <<'END'

| first sync | customers | bill24 | bare libcurl loop | batched upsert | ratio to the slower one |
|---|---|---|---|---|---|
END
	for latency in 0 50 200; do
		for in_flight in 64 512; do
			row="$latency $in_flight"
			# shellcheck disable=SC2086  # words
			our=$(median ${ours[$row]}) their=$(median ${theirs[$row]}) writes=$(median ${upserts[$row]})
			smaller=$(calculate "$their < $writes ? $their : $writes")
			printf '| answers after %s ms, %s in flight | %s | %s | %s | %s | %.2f |\n' "$latency" "$in_flight" \
				"${count[$row]}" "$(pretty "$our" /s)" "$(pretty "$their" /s)" "$(pretty "$writes" /s)" \
				"$(calculate "$our / $smaller")"
		done
	done
	cat <<END

- from the COMMIT that tracks them until none is due; afterwards the copies are compared with the simulator's customers, row by row; runs: $runs
- the loop asks for the same customers, the upsert writes their rows of the three tables, 1,000 customers a transaction, from one session
- most memory of the worker in all of that, without the shared memory: $most_memory kB
END
}

# ---- once more ----------------------------------------------------------

wal_place()
{
	sql -c 'SELECT pg_current_wal_insert_lsn()'
}

wal_since()
{
	sql -c "SELECT pg_current_wal_insert_lsn() - '$1'::pg_lsn"
}

full_page_writes()
{
	sql -c "ALTER SYSTEM SET full_page_writes = $1" -c 'SELECT FROM pg_reload_conf()'
	wait_for "full_page_writes is $1" setting_is full_page_writes "$1"
	sql -c CHECKPOINT
}

setting_is()
{
	[ "$(sql -c "SHOW $1")" = "$2" ]
}

# Row versions that were left behind, since the statistics were reset.
dead_rows()
{
	sql -c "SELECT sum(n_tup_upd + n_tup_del) FROM pg_stat_user_tables WHERE schemaname = 'bill24'"
}

# The counts of other processes come late: the worker tells of its own after a
# transaction, once a second at most.
settled_dead_rows()
{
	local before='' count

	until count=$(dead_rows) && [ "$count" = "$before" ]; do
		before=$count
		sleep 1.2
		sql -c 'SELECT FROM bill24.wake()'
		sleep 0.2
	done
	echo "$count"
}

# look_again: all customers; sets rate, wal, dead, each of 100,000 looks
look_again()
{
	local start end before calls

	settled_dead_rows >/dev/null
	sql -c "UPDATE bill24.look_group SET next_look_at = now()" \
		-c "UPDATE bill24.tracked SET next_look_at = now() WHERE next_look_at IS NOT NULL" \
		-c 'VACUUM bill24.tracked, bill24.look_group, bill24.customer_copy, bill24.wallet_copy' \
		-c CHECKPOINT
	dead=$(dead_rows)
	calls=$(asked)
	before=$(wal_place)
	start=$(now)
	sql -c 'SELECT FROM bill24.wake()'
	wait_looked $((calls + customers))
	end=$(now)
	wal=$(wal_since "$before")
	calls=$(($(asked) - calls))
	rate=$(calculate "$calls / ($end - $start)")
	dead=$(($(settled_dead_rows) - dead))
	check_progress "$customers"
	wal=$(calculate "$wal / $calls") dead=$(calculate "$dead * 100000 / $calls")
}

# WAL of a row that is put there once more, unchanged
wal_of_upsert()
{
	local before

	sql -c CHECKPOINT
	before=$(wal_place)
	sql <<'END'
INSERT INTO again AS c SELECT * FROM bill24.customer_copy
ON CONFLICT (sync_code, server) DO UPDATE SET name = excluded.name, name_kh = excluded.name_kh,
	phone = excluded.phone, email = excluded.email, changed_at = excluded.changed_at, deleted_at = NULL
WHERE (c.name, c.name_kh, c.phone, c.email)
	IS DISTINCT FROM (excluded.name, excluded.name_kh, excluded.phone, excluded.email);
END
	calculate "$(wal_since "$before") / $customers"
}

again()
{
	local rows=() full upsert_wal changed=$((customers / 100)) from=0 table

	mirror_reset 0 64
	seed C "$customers"
	for table in tracked look_group customer_copy wallet_copy wallet_change; do
		sql -c "ALTER TABLE bill24.$table SET (autovacuum_enabled = off)"
	done
	track C "$customers" >/dev/null
	wait_looked "$customers"
	sql -c 'CREATE TABLE again (LIKE bill24.customer_copy INCLUDING ALL)' \
		-c 'INSERT INTO again SELECT * FROM bill24.customer_copy' -c 'VACUUM again'
	for full in on off; do
		full_page_writes $full
		progress "mirror: once more, nothing changed, full_page_writes $full"
		look_again
		upsert_wal=$(wal_of_upsert)
		rows+=("$(printf '| nothing changed, full_page_writes %s | %s | %.1f | %.1f | %.0f |' $full \
			"$(pretty "$rate" /s)" "$wal" "$upsert_wal" "$dead")")
	done
	for full in off on; do
		full_page_writes $full
		progress "mirror: once more, 1 % changed, full_page_writes $full"
		from=$((from + 1))
		simulator /_sim/topup_many "{\"from\": $from, \"count\": $changed, \"step\": 100, \"amount\": \"2.5\"}" >/dev/null
		look_again
		rows+=("$(printf '| 1 %% changed, full_page_writes %s | %s | %.1f | | %.0f |' $full \
			"$(pretty "$rate" /s)" "$wal" "$dead")")
		[ "$(sql -c 'SELECT count(*) FROM bill24.wallet_change')" = $((from * changed)) ] ||
			die "$((from * changed)) balances changed, and $(sql -c 'SELECT count(*) FROM bill24.wallet_change') changes were seen"
	done
	check_copies "$customers"
	sql -c 'ALTER SYSTEM RESET full_page_writes' -c 'SELECT FROM pg_reload_conf()' -c 'DROP TABLE again'
	for table in tracked look_group customer_copy wallet_copy wallet_change; do
		sql -c "ALTER TABLE bill24.$table RESET (autovacuum_enabled)"
	done

	cat <<END

| once more, $customers customers, 64 in flight | looks | WAL of a look | of a row of an upsert that changes nothing | dead rows by 100,000 looks |
|---|---|---|---|---|
END
	printf '%s\n' "${rows[@]}"
	echo
	echo "- all are due at once; vacuumed, and a checkpoint, before each row; WAL in bytes, of everything the server wrote meanwhile; dead rows are updated and deleted ones of all tables of the mirror; the last row has also those that changed in the row before, which are not in groups now"
}

# ---- beside many --------------------------------------------------------

# look_at_due PREFIX: those that are due, for the first time; customers a second,
# and microseconds of the worker's processor time for each
look_at_due()
{
	local start end cpu worker

	simulator /_sim/reset '{}' >/dev/null
	seed "$1" $due
	worker=$(looker)
	cpu=$(cpu_of "$worker")
	start=$(track "$1" $due)
	wait_looked $due
	end=$(now)
	echo "$(calculate "$due / ($end - $start)") $(calculate "($(cpu_of "$worker") - $cpu) * 1e6 / $due")"
}

# look_at_groups PREFIX: the same ones once more, in groups
look_at_groups()
{
	local start end before cpu worker

	worker=$(looker)
	before=$(asked)
	sql -v prefix="$1%" <<'END'
UPDATE bill24.look_group SET next_look_at = now()
WHERE id IN (SELECT look_group FROM bill24.tracked WHERE sync_code LIKE :'prefix');
END
	cpu=$(cpu_of "$worker")
	start=$(now)
	sql -c 'SELECT FROM bill24.wake()'
	wait_looked $((before + due))
	end=$(now)
	echo "$(calculate "$due / ($end - $start)") $(calculate "($(cpu_of "$worker") - $cpu) * 1e6 / $due")"
}

many()
{
	local large=mirror_large run keep few_pick many_pick

	mirror_reset 0 64
	sql -c 'SET client_min_messages = warning' -c "DROP DATABASE IF EXISTS $large" -c "CREATE DATABASE $large"
	PGDATABASE=$large mirror_prepare
	fill $due
	progress "mirror: $tracked are tracked"
	PGDATABASE=$large fill "$tracked"

	# the first run is not counted: it starts the workers
	keep=$work/warm
	for ((run = 0; run <= tracked_runs; run++)); do
		progress "mirror: $due are due, of few and of many"
		look_at_due "D$run" >>"$keep.few_first"
		look_at_groups "D$run" >>"$keep.few_again"
		PGDATABASE=$large look_at_due "D$run" >>"$keep.many_first"
		PGDATABASE=$large look_at_groups "D$run" >>"$keep.many_again"
		keep=$work/counted
	done
	few_pick=$(pick) many_pick=$(PGDATABASE=$large pick)
	few_pick=$(median "$few_pick" "$(pick)") many_pick=$(median "$many_pick" "$(PGDATABASE=$large pick)")
	sql -c 'ALTER TABLE bill24.tracked RESET (autovacuum_enabled)'
	PGDATABASE=$large sql -c 'SET client_min_messages = warning' -c 'DROP EXTENSION bill24 CASCADE'

	cat <<END

| $due are due, answered at once, 64 in flight | beside $due that are not | beside $tracked | ratio |
|---|---|---|---|
END
	ratio_row 'looked at for the first time' first
	ratio_row 'once more, in groups' again
	printf '| choosing 128 of those that are not in groups, if all were due | %.2f ms | %.2f ms | %.2f |\n' \
		"$few_pick" "$many_pick" "$(calculate "$many_pick / $few_pick")"
	echo
	echo "- in two databases, in turn, $tracked_runs times: medians (each); half of those that are not due are in groups; the ratio is of the worker's processor time for a look (less is faster)"
}

# ratio_row WHAT FILE: of the files counted.few_FILE and counted.many_FILE
ratio_row()
{
	local size rates times
	local -A median_time=()

	printf '| %s ' "$1"
	for size in few many; do
		mapfile -t rates < <(cut -d' ' -f1 "$work/counted.${size}_$2")
		mapfile -t times < <(cut -d' ' -f2 "$work/counted.${size}_$2")
		median_time[$size]=$(median "${times[@]}")
		printf '| %s; %.1f µs (%s) ' "$(pretty "$(median "${rates[@]}")" /s)" "${median_time[$size]}" \
			"$(printf '%.1f ' "${times[@]}" | sed 's/ $//; s/ /, /g')"
	done
	printf '| %.2f |\n' "$(calculate "${median_time[many]} / ${median_time[few]}")"
}

each()
{
	local rate sep=''

	for rate in "$@"; do
		echo -n "$sep$(pretty "$rate" /s)"
		sep=', '
	done
}

# ---- a balance from the mirror ------------------------------------------

# selects SCRIPT: transactions a second of one client
selects()
{
	pgbench -n -M prepared -T 5 -f "$1" 2>&1 | sed -n 's/^tps = \([0-9.]*\) .*without.*/\1/p' || die "pgbench failed"
}

balance()
{
	local run our=() their=() code="'C' || lpad((:i)::text, 7, '0')"

	mirror_reset 0 64
	seed C $due
	track C $due >/dev/null
	wait_looked $due
	cat >"$work/ours.sql" <<END
\set i random(1, $due)
SELECT * FROM bill24_wallet_balance($code, '1 day', 'mirror')
END
	cat >"$work/theirs.sql" <<END
\set i random(1, $due)
SELECT id, name, balance, currency, changed_at FROM bill24.wallet_copy WHERE sync_code = $code AND server = 'mirror'
END
	for ((run = 1; run <= 2; run++)); do
		progress "mirror: balances, run $run"
		our+=("$(selects "$work/ours.sql")")
		their+=("$(selects "$work/theirs.sql")")
	done
	[ "$(asked)" = $due ] || die "balances were asked for at the provider"
	cat <<END

| a balance, one client, prepared | bill24_wallet_balance() | SELECT by index | ratio |
|---|---|---|---|
| of $due customers | $(pretty "$(median "${our[@]}")" /s) ($(each "${our[@]}")) | $(pretty "$(median "${their[@]}")" /s) ($(each "${their[@]}")) | $(printf '%.2f' "$(calculate "$(median "${our[@]}") / $(median "${their[@]}")")") |
END
}

raise_file_limit
mirror_prepare
for part in "${parts[@]}"; do
	"$part"
done
outbox_footing
