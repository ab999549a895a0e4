#!/bin/bash
#
# idle.sh: what launcher and worker cost while there is nothing to do, beside
# processes of PostgreSQL's own.
#
# To be started by run.sh.
#
#	B24_BENCH_IDLE_S (10)

set -euo pipefail

. "$(dirname "$0")/outbox.sh"
seconds=${B24_BENCH_IDLE_S:-10}
names=('bill24 launcher' 'bill24 worker' 'walwriter' 'autovacuum launcher' 'logical replication launcher')

# look PID: nanoseconds of CPU time, and how often it was switched to
look()
{
	echo "$(cut -d' ' -f1 "/proc/$1/schedstat")" \
		"$(awk '/ctxt_switches/ { sum += $2 } END { print sum }' "/proc/$1/status")"
}

outbox_prepare
outbox_reset 0 64

# once, ten seconds after the last delivery, the worker looks for what is old
sleep 15
progress idle
declare -A pids=() before=()
for name in "${names[@]}"; do
	pids[$name]=$(process "$name")
	[ -n "${pids[$name]}" ] || continue
	before[$name]=$(look "${pids[$name]}")
done
sleep "$seconds"

cat <<END

| idle for $seconds s | CPU time | context switches |
|---|---|---|
END
for name in "${names[@]}"; do
	[ -n "${pids[$name]}" ] || continue
	read -r cpu switches < <(look "${pids[$name]}")
	read -r cpu_before switches_before <<<"${before[$name]}"
	printf '| %s | %.3f ms | %d |\n' "$name" "$(calculate "($cpu - $cpu_before) / 1e6")" \
		$((switches - switches_before))
done
outbox_footing
