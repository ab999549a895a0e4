#!/bin/bash
#
# unit.sh PROGRAM...: run the unit tests, each in the TAP format.  A program
# that dies without naming a failed test (a sanitizer's report, a crash) gets a
# "not ok" of its own.

set -u

export CMOCKA_MESSAGE_OUTPUT=TAP
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_stack_use_after_return=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}

[ $# -gt 0 ] || echo "unit: there are no tests"
failed=0
for program; do
	name=$(basename "$program")
	echo "# $name"
	output=$("$program" 2>&1)
	status=$?
	printf '%s\n' "$output"
	if [ $status != 0 ]; then
		failed=$((failed + 1))
		grep -q '^not ok' <<<"$output" || echo "not ok - $name exited with status $status"
	elif ! grep -q '^ok' <<<"$output"; then
		failed=$((failed + 1))
		echo "not ok - $name ran no test"
	fi
done
[ $failed = 0 ]
