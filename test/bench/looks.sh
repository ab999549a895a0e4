# shellcheck shell=bash
# To be sourced: what the benchmarks of the mirror have in common.

. "$(dirname "${BASH_SOURCE[0]}")/outbox.sh"

# A server of its own in the database PGDATABASE.
mirror_prepare()
{
	sql <<SQL
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS bill24;
DROP SERVER IF EXISTS mirror CASCADE;
CREATE SERVER mirror FOREIGN DATA WRAPPER bill24
	OPTIONS (base_url '$B24SIM_URL', allow_http 'true', max_in_flight '64');
CREATE USER MAPPING FOR CURRENT_USER SERVER mirror
	OPTIONS (token '00000000-0000-4000-8000-000000000001', client_id 'demo_client', secret 'demo-secret');
SQL
}

# Nobody is mirrored, and the simulator knows nobody; then a few looks, so that
# the worker runs, with a token and its connections.
mirror_reset()
{
	local latency=$1 in_flight=$2

	wait_for "requests are let go" in_flight_is 0
	forget_all
	simulator /_sim/reset '{}' >/dev/null
	sql -c "ALTER SERVER mirror OPTIONS (SET max_in_flight '$in_flight')"
	seed W $((in_flight * 2))
	track W $((in_flight * 2)) >/dev/null
	wait_looked $((in_flight * 2))
	simulator /_sim/reset '{}' >/dev/null
	forget_all
	set_latency "$latency"

	# what was written before is not to be paid for now
	sql -c CHECKPOINT
}

forget_all()
{
	sql -c 'TRUNCATE bill24.tracked, bill24.look_group, bill24.customer_copy, bill24.wallet_copy, bill24.wallet_change'
}

seed()
{
	simulator /_sim/seed "{\"prefix\": \"$1\", \"count\": $2, \"balance\": 5000}" >/dev/null
}

# track PREFIX COUNT: one transaction; prints the time right before its COMMIT.
track()
{
	sql -v prefix="$1" -v count="$2" <<'END'
BEGIN;
SELECT bill24_track(ARRAY(SELECT :'prefix' || lpad(i::text, 7, '0') FROM generate_series(1, :count) AS i), 'mirror')
	AS new \gset
SELECT extract(epoch FROM clock_timestamp());
COMMIT;
END
}

# How many customers were asked for at the simulator.
asked()
{
	simulator /_sim/stats | sed -n 's|.*"\\*/customer\\*/get_customer_detail": *\([0-9]*\).*|\1|p'
}

asked_for()
{
	local count
	count=$(asked)
	[ "${count:-0}" -ge "$1" ]
}

# By index: the view sync_progress reads all that is tracked.
nothing_due()
{
	[ "$(sql -c "SELECT NOT EXISTS (SELECT FROM bill24.tracked WHERE server = 'mirror' AND next_look_at <= now())
		AND NOT EXISTS (SELECT FROM bill24.look_group WHERE server = 'mirror' AND next_look_at <= now())")" = t ]
}

# wait_looked COUNT: until so many were asked for since the simulator's reset,
# and nobody is due.
wait_looked()
{
	wait_for "$1 customers were asked for" asked_for "$1"
	wait_for "nobody is due" nothing_due
}

# The process that looks, in this database.
looker()
{
	sql -c "SELECT pid FROM pg_stat_activity WHERE backend_type = 'bill24 worker' AND datname = current_database()
		ORDER BY pid LIMIT 1"
}

# Seconds of the processor that a process has taken.
cpu_of()
{
	awk '{ printf "%.6f", $1 / 1e9 }' "/proc/$1/schedstat"
}

# Is everything read, and nothing else?
check_progress()
{
	local progress
	progress=$(sql -c "SELECT tracked, due, done, failed FROM bill24.sync_progress WHERE server = 'mirror'")
	[ "$progress" = "$1|0|$1|0" ] || die "of $1 customers (tracked|due|done|failed) are $progress"
}

# check_copies COUNT: are the copies what the simulator has, row by row?
check_copies()
{
	local differences
	differences=$("$bare" page "$B24SIM_URL/_sim/customers?limit=100000000" |
		sql -c "CREATE TEMP TABLE page (customers json)" \
			-c "COPY page FROM STDIN (FORMAT csv, DELIMITER E'\x01', QUOTE E'\x02')" \
			-c "SELECT count(*) FILTER (WHERE (s.name, s.wallet, s.currency, s.balance)
						IS DISTINCT FROM (c.name, c.wallet, c.currency, c.balance)),
					count(DISTINCT s.sync_code)
				FROM (SELECT (k ->> 'sync_code') COLLATE \"C\" AS sync_code, k ->> 'name' AS name,
						(w ->> 'id') COLLATE \"C\" AS id, w ->> 'name' AS wallet, w ->> 'currency' AS currency,
						(w ->> 'balance')::numeric AS balance
					FROM page, json_array_elements(customers) AS k, json_array_elements(k -> 'wallets') AS w) AS s
				FULL JOIN (SELECT c.sync_code, c.name, w.id, w.name AS wallet, w.currency, w.balance
					FROM bill24.customer c JOIN bill24.wallet w USING (sync_code, server)
					WHERE c.deleted_at IS NULL AND w.deleted_at IS NULL) AS c
				USING (sync_code, id)")
	[ "$differences" = "0|$1" ] || die "copies of $1 customers: (rows that differ|customers) are $differences"
}

# upsert COUNT: customers a second that one session writes to plain tables of
# the same shape, 1,000 a transaction
upsert()
{
	local start end

	{
		cat <<'END'
SET client_min_messages = warning;
DROP SCHEMA IF EXISTS plain CASCADE;
CREATE SCHEMA plain;
CREATE TABLE plain.tracked (LIKE bill24.tracked INCLUDING ALL);
CREATE TABLE plain.customer_copy (LIKE bill24.customer_copy INCLUDING ALL);
CREATE TABLE plain.wallet_copy (LIKE bill24.wallet_copy INCLUDING ALL);
END
		echo "INSERT INTO plain.tracked (sync_code, server, owner)
			SELECT 'C' || lpad(i::text, 7, '0'), 'mirror', current_user::regrole FROM generate_series(1, $1) AS i;"
		cat <<'END'
CHECKPOINT;
PREPARE schedule(integer) AS
INSERT INTO plain.tracked (sync_code, server, owner, next_look_at, look_interval, read_at, digest)
SELECT 'C' || lpad(i::text, 7, '0'), 'mirror', current_user::regrole, now() + '1 hour', 3600, now(), i
FROM generate_series($1, $1 + 999) AS i
ON CONFLICT (sync_code, server) DO UPDATE SET next_look_at = excluded.next_look_at,
	look_interval = excluded.look_interval, read_at = excluded.read_at, digest = excluded.digest;
PREPARE customer(integer) AS
INSERT INTO plain.customer_copy (sync_code, server, name, changed_at)
SELECT 'C' || lpad(i::text, 7, '0'), 'mirror', 'Customer C' || lpad(i::text, 7, '0'), now()
FROM generate_series($1, $1 + 999) AS i
ON CONFLICT (sync_code, server) DO UPDATE SET name = excluded.name, changed_at = excluded.changed_at;
PREPARE wallet(integer) AS
INSERT INTO plain.wallet_copy (sync_code, server, id, name, balance, currency, changed_at)
SELECT 'C' || lpad(i::text, 7, '0'), 'mirror', '00000000-0000-4000-8000-00000' || lpad(i::text, 7, '0'),
	'C' || lpad(i::text, 7, '0') || ' Wallet 1', 5000, 'KHR', now()
FROM generate_series($1, $1 + 999) AS i
ON CONFLICT (sync_code, server, id) DO UPDATE SET name = excluded.name, balance = excluded.balance,
	currency = excluded.currency, changed_at = excluded.changed_at;
SELECT extract(epoch FROM clock_timestamp());
END
		for ((i = 1; i <= $1; i += 1000)); do
			echo "BEGIN; EXECUTE schedule($i); EXECUTE customer($i); EXECUTE wallet($i); COMMIT;"
		done
		echo 'SELECT extract(epoch FROM clock_timestamp());'
	} >"$work/upsert.sql"
	{ read -r start; read -r end; } < <(sql -f "$work/upsert.sql")
	calculate "int(($1 + 999) / 1000) * 1000 / ($end - $start)"
}

# fill COUNT: so many customers that are quiet for a while, every other one in
# a group; written past the worker
fill()
{
	sql -v count="$1" <<'END'
ALTER TABLE bill24.tracked SET (autovacuum_enabled = off);
TRUNCATE bill24.tracked, bill24.look_group, bill24.customer_copy, bill24.wallet_copy;
SELECT id AS mirror FROM bill24.mirror_id \gset
INSERT INTO bill24.look_group (id, server, is_open, members, next_look_at, looked_at)
SELECT :mirror + i, 'mirror', false, 64, now() + '1 hour' + i * interval '1 ms', now()
FROM generate_series(1, :count / 128 + 1) AS i;
SELECT FROM setval('bill24.look_group_id_seq', :mirror + :count / 128 + 1);
INSERT INTO bill24.tracked (sync_code, server, owner, next_look_at, look_group, look_interval, read_at, digest, mirror_id)
SELECT 'Q' || lpad(i::text, 7, '0'), 'mirror', current_user::regrole,
	CASE WHEN i % 2 = 0 THEN now() + '1 hour' + i * interval '1 ms' END,
	CASE WHEN i % 2 = 1 THEN :mirror + i / 128 + 1 END, 3600, now(), i, :mirror
FROM generate_series(1, :count) AS i;
VACUUM ANALYZE bill24.tracked;
VACUUM ANALYZE bill24.look_group;
CHECKPOINT;
END
}

# Milliseconds for the statement of b24_agenda_due, as if all were due, with
# the settings of b24_store_open; the median of 101.
pick()
{
	local times

	times=$({
		cat <<'END'
VACUUM bill24.tracked;
SET plan_cache_mode = force_generic_plan;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SET jit = off;
PREPARE due(text, timestamptz, timestamptz, text, integer) AS
SELECT sync_code, owner::oid, next_look_at FROM bill24.tracked
WHERE server = $1 AND next_look_at IS NOT NULL AND next_look_at <= $2
AND (next_look_at, sync_code) > ($3, $4) ORDER BY server, next_look_at, sync_code LIMIT $5;
END
		for ((i = 1; i <= 101; i++)); do
			cat <<'END'
SELECT clock_timestamp() AS start \gset
EXECUTE due('mirror', 'infinity', '-infinity', '', 128) \g /dev/null
SELECT 1000 * extract(epoch FROM clock_timestamp() - :'start'::timestamptz);
END
		done
	} | sql)
	# shellcheck disable=SC2086  # words
	median $times
}
