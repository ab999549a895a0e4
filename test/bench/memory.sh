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

outbox_prepare
outbox_reset 0 512
worker=$(process 'bill24 worker')
warm=$(own_memory "$worker")

# so slow that all requests are under way at once
progress "memory: 512 in flight"
set_latency 4000
enqueue F 2000 >/dev/null
wait_for "512 are in flight" in_flight_is 512
full=$(own_memory "$worker")
set_latency 0
wait_done
"$bare" create "$B24SIM_URL" 100 1 X >/dev/null
simulator /_sim/reset '{}' >/dev/null
set_latency 4000
"$bare" create "$B24SIM_URL" 512 512 B >/dev/null &
loop=$!
wait_for "512 of the loop are in flight" in_flight_is 512
loop_full=$(own_memory $loop)
wait $loop

looks=()
outbox_reset 0 512
for ((i = 1; i <= 10; i++)); do
	progress "memory: $((i * step)) deliveries"
	simulator /_sim/reset '{}' >/dev/null
	sql -c 'TRUNCATE bill24.outbox'
	enqueue "M$i-" "$step" >/dev/null
	wait_done
	looks+=("$(own_memory "$worker")")
done
[ "$(process 'bill24 worker')" = "$worker" ] || die "the worker is another one than before"

cat <<END

| memory of the worker, without what is shared | |
|---|---|
| after 1,024 deliveries | $warm kB |
| with 512 requests in flight | $full kB |
| for comparison: the bare loop with 512 | $loop_full kB |
| after $step deliveries | ${looks[0]} kB |
| after $deliveries deliveries | ${looks[9]} kB, $(printf '%+d' $((looks[9] - looks[0]))) kB |

- at each look, in kB: $(printf '%s\n' "${looks[@]}" | paste -sd ' ' | sed 's/ /, /g')
END
outbox_footing
