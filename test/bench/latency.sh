#!/bin/bash
#
# latency.sh: how long it takes from COMMIT until the request is at the
# provider.
#
# To be started by run.sh.  Each transaction enqueues one job and notes the time
# in the same message as its COMMIT; the simulator tells when the request had
# arrived.  COMMIT itself, with its flush of the WAL, is part of that; it is
# measured alone as well.
#
#	B24_BENCH_LATENCY_S (8)		of each rate; of 1/s, four times as long

set -euo pipefail

. "$(dirname "$0")/outbox.sh"
seconds=${B24_BENCH_LATENCY_S:-8}

cat >"$work/commit.sql" <<'END'
\set n random(1, 1000000000000)
BEGIN;
SELECT bill24_enqueue('create_customer', jsonb_build_object('sync_code', 'L' || :n, 'name', 'Customer'), 'delivery');
INSERT INTO bench_commit VALUES ('L' || :n, clock_timestamp()) \; COMMIT;
END

cat >"$work/alone.sql" <<'END'
BEGIN;
INSERT INTO bench_commit VALUES ('alone', clock_timestamp());
COMMIT;
END

# What COMMIT takes in a transaction that enqueues nothing.
commit_alone()
{
	pgbench -n -r -c 1 -t 500 -f "$work/alone.sql" 2>"$work/stderr" |
		awk '/COMMIT;/ { print $1 }'
}

# row RATE
row()
{
	local clients=$(($1 < 8 ? 1 : 8)) time=$(($1 < 8 ? 4 * seconds : seconds))

	progress "latency: $1/s"
	outbox_reset 0 64
	sql -c 'TRUNCATE bench_commit'
	pgbench -n -c $clients -j 2 -R "$1" -T "$time" -f "$work/commit.sql" >"$work/stdout" 2>&1 ||
		die "pgbench failed: $(cat "$work/stdout")"
	wait_done
	sql -v rate="$1" <<'END'
SELECT format('| %s/s | %s | %s ms | %s ms | %s ms | %s ms | %s ms |', :'rate', count(*),
	round(min(ms), 2), round((percentile_cont(0.5) WITHIN GROUP (ORDER BY ms))::numeric, 2),
	round((percentile_cont(0.9) WITHIN GROUP (ORDER BY ms))::numeric, 2),
	round((percentile_cont(0.99) WITHIN GROUP (ORDER BY ms))::numeric, 2), round(max(ms), 2))
FROM (
	SELECT ((e ->> 'at')::numeric / 1e6 - extract(epoch FROM c.at)::numeric) * 1000 AS ms
	FROM jsonb_array_elements(bill24_request('GET', '/_sim/effects?limit=1000000', server => 'delivery')) AS e
		JOIN bench_commit c ON c.code = e ->> 'key') AS d;
END
}

outbox_prepare
sql -c 'SET client_min_messages = warning; DROP TABLE IF EXISTS bench_commit;
	CREATE TABLE bench_commit (code text, at timestamptz)'
alone=$(commit_alone)
rows=
for rate in 1 10 100 1000; do
	rows+=$(row $rate)$'\n'
done
sql -c 'DROP TABLE bench_commit'

cat <<END

| COMMIT until the request is at the provider, commits | n | least | median | 90 % | 99 % | most |
|---|---|---|---|---|---|---|
$rows
- COMMIT alone, of a transaction that enqueues nothing, takes $alone ms on average
END
outbox_footing
