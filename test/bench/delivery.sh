#!/bin/bash
#
# delivery.sh: how fast what is queued is delivered, beside a bare libcurl loop
# that sends the same requests: by one worker, as is the default, and by two.
#
# To be started by run.sh.  A queue is filled in one transaction; its COMMIT
# starts the clock, the last job that is done stops it.  The loop starts with
# all requests in its memory and ends with the last answer.
#
#	B24_BENCH_DELIVERY_RUNS (1)	how often each row is measured, in turn with the
#								loop
#	B24_BENCH_DELIVERY_MS (0 50 200)	after how long the provider answers
#	B24_BENCH_DELIVERY_S (10)	the time that a row takes at best, where the
#								provider is slow; else 50,000 jobs

set -euo pipefail

. "$(dirname "$0")/outbox.sh"
runs=${B24_BENCH_DELIVERY_RUNS:-1}
row_s=${B24_BENCH_DELIVERY_S:-10}
read -r -a latencies <<<"${B24_BENCH_DELIVERY_MS:-0 50 200}"
most_jobs=${B24_BENCH_JOBS:-50000}

declare -A ours=() theirs=() jobs=()

# set_workers COUNT
set_workers()
{
	sql -c "ALTER SYSTEM SET bill24.workers = $1" -c 'SELECT pg_reload_conf()' >/dev/null
	watch_for "there are $1 workers" "count(*) = $1 FROM bill24.worker WHERE state IN ('running', 'idle')"
}

# jobs_for LATENCY IN_FLIGHT: a multiple of 64 * 50
jobs_for()
{
	local count=$most_jobs

	[ "$1" = 0 ] || count=$((row_s * 1000 / $1 * $2))
	[ $count -le $most_jobs ] || count=$most_jobs
	[ $count -ge $(($2 * 50)) ] || count=$(($2 * 50))
	echo $count
}

# deliver LATENCY IN_FLIGHT JOBS: jobs per second
deliver()
{
	local start end

	outbox_reset "$1" "$2"
	start=$(enqueue D "$3")
	wait_answered $(($3 + 2 * $2))
	watch_for "all is done" "$nothing_left"
	end=$(now)
	wait_done
	[ "$(sim_stat customers_created)" = $(($3 + 2 * $2)) ] || die "$3 jobs had $(sim_stat customers_created) effects"
	calculate "$3 / ($end - $start)"
}

# bare_deliver LATENCY IN_FLIGHT JOBS
bare_deliver()
{
	local calls seconds

	simulator /_sim/reset '{}' >/dev/null
	set_latency "$1"
	read -r calls seconds < <("$bare" create "$B24SIM_URL" "$3" "$2" B) || die "the bare loop failed"
	[ "$(sim_stat customers_created)" = "$3" ] || die "$3 calls had $(sim_stat customers_created) effects"
	calculate "$calls / $seconds"
}

outbox_prepare
for ((run = 1; run <= runs; run++)); do
	for latency in "${latencies[@]}"; do
		for in_flight in 64 512; do
			row="$latency $in_flight"
			jobs[$row]=$(jobs_for "$latency" "$in_flight")
			for workers in 1 2; do
				progress "delivery: $latency ms, $in_flight in flight, ${jobs[$row]} jobs, $workers workers"
				set_workers $workers
				ours[$row $workers]+=" $(deliver "$latency" "$in_flight" "${jobs[$row]}")"
			done
			theirs[$row]+=" $(bare_deliver "$latency" "$in_flight" "${jobs[$row]}")"
		done
	done
done
set_workers 1

cat <<'END'

| delivery | jobs | one worker | two workers | bare libcurl loop | ratio | at most, by latency |
|---|---|---|---|---|---|---|
END
for latency in "${latencies[@]}"; do
	for in_flight in 64 512; do
		row="$latency $in_flight"
		# shellcheck disable=SC2086  # words
		one=$(median ${ours[$row 1]}) two=$(median ${ours[$row 2]}) their=$(median ${theirs[$row]})
		limit=
		[ $latency = 0 ] || limit=$(pretty $((in_flight * 1000 / latency)) /s)
		printf '| answers after %s ms, %s in flight | %s | %s | %s | %s | %.2f, %.2f | %s |\n' "$latency" "$in_flight" \
			"${jobs[$row]}" "$(pretty "$one" /s)" "$(pretty "$two" /s)" "$(pretty "$their" /s)" \
			"$(calculate "$one / $their")" "$(calculate "$two / $their")" "$limit"
	done
done
outbox_footing
echo "- create_customer with a code and a name, queued by one transaction; from its COMMIT until the last job is done, every effect counted; runs: $runs"
