#!/bin/bash
#
# backlog.sh: whether a long queue slows delivery down.
#
# To be started by run.sh.  The queue is filled with rows, past the functions,
# by the table's owner; the first 50,000 deliveries are timed.
#
#	B24_BENCH_BACKLOG (1000000)	the long queue; the short one has 50,000
#	B24_BENCH_BACKLOG_RUNS (2)	how often each is measured, in turn

set -euo pipefail

. "$(dirname "$0")/outbox.sh"
long=${B24_BENCH_BACKLOG:-1000000}
runs=${B24_BENCH_BACKLOG_RUNS:-2}
timed=50000
in_flight=64

# fill COUNT: prints the time right before COMMIT.  One job goes through the
# function, which wakes the worker.
fill()
{
	sql -v count="$(($1 - 1))" <<'END'
BEGIN;
INSERT INTO bill24.outbox (server, operation, key, request, owner)
SELECT 'delivery', 'create_customer', 'L' || lpad(i::text, 7, '0'),
	jsonb_build_object('sync_code', 'L' || lpad(i::text, 7, '0'), 'name', 'Customer ' || i), current_user::regrole
FROM generate_series(1, :count) AS i;
SELECT bill24_enqueue('create_customer', '{"sync_code": "LAST", "name": "Customer"}', 'delivery') AS last \gset
ANALYZE bill24.outbox;
SELECT extract(epoch FROM clock_timestamp());
COMMIT;
END
}

# rate COUNT: deliveries per second of the first ones
rate()
{
	local start end

	outbox_reset 0 $in_flight
	start=$(fill "$1")
	wait_answered $((timed + 2 * in_flight))
	end=$(now)
	calculate "$timed / ($end - $start)"
}

outbox_prepare
short_rates=() long_rates=()
for ((run = 1; run <= runs; run++)); do
	progress "backlog: $timed"
	short_rates+=("$(rate $timed)")
	wait_done
	progress "backlog: $long"
	long_rates+=("$(rate "$long")")
	left=$(sql -c 'SELECT count(*) FROM bill24.outbox WHERE finished_at IS NULL')
done
outbox_reset 0 $in_flight
short_rate=$(median "${short_rates[@]}")
long_rate=$(median "${long_rates[@]}")

cat <<END

| the first $timed deliveries, $in_flight in flight, answered at once | each run | median | ratio |
|---|---|---|---|
| of $timed jobs | $(for r in "${short_rates[@]}"; do pretty "$r" /s; echo -n ' '; done)| $(pretty "$short_rate" /s) | |
| of $long jobs ($left left then) | $(for r in "${long_rates[@]}"; do pretty "$r" /s; echo -n ' '; done)| $(pretty "$long_rate" /s) | $(printf '%.2f' "$(calculate "$long_rate / $short_rate")") |
END
outbox_footing
