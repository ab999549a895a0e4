#!/bin/bash
#
# memory.sh: what the process that delivers takes, and whether it grows.
#
# To be started by run.sh.
#
#	B24_BENCH_DELIVERIES (200000)	a tenth of them between two looks

set -euo pipefail

. "$(dirname "$0")/outbox.sh"
deliveries=${B24_BENCH_DELIVERIES:-200000}
step=$((deliveries / 10))

# memory PID: resident and private memory in kB
memory()
{
	awk '/^Rss:/ { rss = $2 } /^Private_Dirty:/ { dirty = $2 } END { print rss, dirty }' "/proc/$1/smaps_rollup"
}

kilobytes()
{
	printf '%s kB (%s kB of it its own)' "$1" "$2"
}

outbox_prepare
outbox_reset 0 512
worker=$(process 'bill24 worker')
read -r -a warm < <(memory "$worker")

# so slow that all requests are under way at once
progress "memory: 512 in flight"
set_latency 4000
enqueue F 2000 >/dev/null
wait_for "512 are in flight" in_flight_is 512
read -r -a full < <(memory "$worker")
set_latency 0
wait_done
"$bare" create "$B24SIM_URL" 100 1 X >/dev/null
simulator /_sim/reset '{}' >/dev/null
set_latency 4000
"$bare" create "$B24SIM_URL" 512 512 B >/dev/null &
loop=$!
wait_for "512 of the loop are in flight" in_flight_is 512
read -r -a loop_full < <(memory $loop)
wait $loop

looks=()
outbox_reset 0 512
for ((i = 1; i <= 10; i++)); do
	progress "memory: $((i * step)) deliveries"
	simulator /_sim/reset '{}' >/dev/null
	sql -c 'TRUNCATE bill24.outbox'
	enqueue "M$i-" "$step" >/dev/null
	wait_for "$step deliveries" created "$step"
	wait_done
	read -r rss dirty < <(memory "$worker")
	looks+=("$rss $dirty")
done
[ "$(process 'bill24 worker')" = "$worker" ] || die "the worker is another one than before"
read -r -a first <<<"${looks[0]}"
read -r -a last <<<"${looks[9]}"

cat <<END

| memory of the worker | resident |
|---|---|
| after 1,024 deliveries | $(kilobytes "${warm[@]}") |
| with 512 requests in flight | $(kilobytes "${full[@]}") |
| for comparison: the bare loop with 512 | $(kilobytes "${loop_full[@]}") |
| after $step deliveries | $(kilobytes "${first[@]}") |
| after $deliveries deliveries | $(kilobytes "${last[@]}"), $(printf '%+d' $((last[1] - first[1]))) kB |

- its own memory, in kB, at each look: $(printf '%s\n' "${looks[@]}" | awk '{ printf "%s%s", sep, $2; sep = ", " }')
END
outbox_footing
