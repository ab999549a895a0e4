#!/bin/bash
#
# fuzz.sh PROGRAM: fuzz for B24_FUZZ_SECONDS (60), starting from the inputs in
# test/fuzz/corpus.  New inputs and crashes go to build/fuzz.

set -eu

seconds=${B24_FUZZ_SECONDS:-60}
corpus=$(dirname "$1")/corpus
mkdir -p "$corpus"

seeds=()
[ ! -d test/fuzz/corpus ] || seeds+=(test/fuzz/corpus)
options=(-max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048
	-print_final_stats=1 -artifact_prefix="$(dirname "$1")/")
for dictionary in test/fuzz/*.dict; do
	[ ! -f "$dictionary" ] || options+=(-dict="$dictionary")
done

log=$(dirname "$1")/log
if ! "$1" "${options[@]}" "$corpus" "${seeds[@]}" >"$log" 2>&1; then
	cat "$log"
	exit 1
fi
echo "fuzz: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") inputs in $seconds s, no crash"
