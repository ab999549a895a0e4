#!/bin/bash
#
# run.sh [PART...]: what bill24 costs beside a bare libcurl loop, as tables.
#
# To be started by "make bench", that is by "sandbox.sh bench", which gives it
# a private server and a simulator in the environment.  The parts, all of them
# unless some are named here or in B24_BENCH, are scripts of this directory:
#
#	calls		direct calls
#	enqueue		putting jobs into the outbox
#	delivery	delivering what is queued, against servers of several speeds
#	backlog		the same with a long queue
#	latency		from COMMIT to the provider
#	memory		of the process that delivers
#	idle		what it costs while there is nothing to do
#	mirror		reading customers into the mirror, and reading them again
#
# Their own settings stand at their top.

set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
read -r -a parts <<<"${*:-${B24_BENCH:-calls enqueue delivery backlog latency memory idle mirror}}"

. "$here/tools.sh"
prepare
trap 'rm -rf "$work"' EXIT
for part in "${parts[@]}"; do
	[ -f "$here/$part.sh" ] && [[ $part != @(run|tools|outbox|looks) ]] || die "there is no part $part"
done
for part in "${parts[@]}"; do
	bash "$here/$part.sh"
done
