#!/bin/bash
#
# enqueue.sh: what putting jobs into the outbox costs, as a table.
#
# To be started by run.sh, or by "sandbox.sh run test/bench/enqueue.sh".  Each row inserts the same
# rows into two tables, in turn: one with bill24's trigger, one with a PL/pgSQL
# trigger that does no more than insert into a plain table.  The table has the
# medians.
#
#	B24_BENCH_RUNS (7)		how often each row is measured
#	B24_BENCH_ROWS (10000)	rows of a statement

set -euo pipefail

runs=${B24_BENCH_RUNS:-7}
count=${B24_BENCH_ROWS:-10000}

die()
{
	echo "bench: $*" >&2
	exit 1
}

[ -n "${B24SIM_URL:-}" ] || die "start this with 'test/tools/sandbox.sh run test/bench/enqueue.sh'"

sql()
{
	psql -XAtq -v ON_ERROR_STOP=1 "$@"
}

# In a database of its own, whose outbox nobody delivers meanwhile: to the
# extension it looks like a copy of another one.
set_up()
{
	sql -c 'DROP DATABASE IF EXISTS bench_enqueue' -c 'CREATE DATABASE bench_enqueue' 2>/dev/null
	export PGDATABASE=bench_enqueue
	sql <<SQL
SET client_min_messages = warning;
BEGIN;
CREATE EXTENSION bill24;
UPDATE bill24.home SET database = 1;
COMMIT;
CREATE SERVER bill24 FOREIGN DATA WRAPPER bill24
	OPTIONS (base_url '$B24SIM_URL', allow_http 'true');
CREATE USER MAPPING FOR CURRENT_USER SERVER bill24 OPTIONS (
	token '00000000-0000-4000-8000-000000000001', client_id 'demo_client', secret 'demo-secret');
CREATE TABLE plain_log (id bigserial PRIMARY KEY, operation text, key text, request jsonb);
CREATE TABLE bare (id bigserial PRIMARY KEY, code text, name text);
CREATE TABLE plain_statement (LIKE bare INCLUDING ALL);
CREATE TABLE plain_row (LIKE bare INCLUDING ALL);
CREATE TABLE bill24_statement (LIKE bare INCLUDING ALL);
CREATE TABLE bill24_row (LIKE bare INCLUDING ALL);
CREATE TABLE sql_statement (LIKE bare INCLUDING ALL);
CREATE FUNCTION plain_statement() RETURNS trigger LANGUAGE plpgsql AS \$\$
BEGIN
	INSERT INTO plain_log (operation, key, request)
	SELECT 'create_customer', code, jsonb_build_object('sync_code', code, 'name', name) FROM new_rows;
	RETURN NULL;
END \$\$;
CREATE FUNCTION plain_row() RETURNS trigger LANGUAGE plpgsql AS \$\$
BEGIN
	INSERT INTO plain_log (operation, key, request)
	VALUES ('create_customer', NEW.code, jsonb_build_object('sync_code', NEW.code, 'name', NEW.name));
	RETURN NULL;
END \$\$;
-- as a superuser may, and nobody else: what plain SQL into the same table costs
CREATE FUNCTION sql_statement() RETURNS trigger LANGUAGE plpgsql AS \$\$
BEGIN
	INSERT INTO bill24.outbox (server, operation, key, request, owner)
	SELECT 'bill24', 'create_customer', code, jsonb_build_object('sync_code', code, 'name', name), 'postgres'::regrole FROM new_rows;
	RETURN NULL;
END \$\$;
CREATE TRIGGER t AFTER INSERT ON plain_statement REFERENCING NEW TABLE AS new_rows
	FOR EACH STATEMENT EXECUTE FUNCTION plain_statement();
CREATE TRIGGER t AFTER INSERT ON sql_statement REFERENCING NEW TABLE AS new_rows
	FOR EACH STATEMENT EXECUTE FUNCTION sql_statement();
CREATE TRIGGER t AFTER INSERT ON plain_row FOR EACH ROW EXECUTE FUNCTION plain_row();
CREATE TRIGGER t AFTER INSERT ON bill24_statement REFERENCING NEW TABLE AS new_rows
	FOR EACH STATEMENT EXECUTE FUNCTION bill24_customer_trigger('sync_code=code', 'name=name');
CREATE TRIGGER t AFTER INSERT ON bill24_row FOR EACH ROW
	EXECUTE FUNCTION bill24_customer_trigger('sync_code=code', 'name=name');
SQL
}

# insert TABLE: the statement
insert()
{
	echo "INSERT INTO $1 (code, name) SELECT 'C' || lpad(i::text, 7, '0'), 'Customer ' || i FROM generate_series(1, $count) i;"
}

# enqueue: the function, of a query
enqueue()
{
	echo "SELECT count(bill24_enqueue('create_customer', jsonb_build_object('sync_code', 'C' || lpad(i::text, 7, '0'), 'name', 'Customer ' || i))) FROM generate_series(1, $count) i;"
}

plain_insert()
{
	echo "INSERT INTO plain_log (operation, key, request) SELECT 'create_customer', 'C' || lpad(i::text, 7, '0'), jsonb_build_object('sync_code', 'C' || lpad(i::text, 7, '0'), 'name', 'Customer ' || i) FROM generate_series(1, $count) i;"
}

# One session for all, so that what a first time costs is paid before; each
# sample starts from tables that have been emptied, after a checkpoint.
script()
{
	local n statement
	for ((n = 0; n <= runs; n++)); do
		for statement in "$@"; do
			printf '%s\n' '\timing off' 'TRUNCATE bare, plain_log, plain_statement, plain_row, bill24_statement, bill24_row, sql_statement;' \
				'TRUNCATE bill24.outbox;' CHECKPOINT\; '\timing on' "$statement"
		done
	done
}

median()
{
	printf '%s\n' "$@" | sort -g |
		awk '{ v[NR] = $1 } END { print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'
}

cell()
{
	local sorted
	mapfile -t sorted < <(printf '%s\n' "$@" | sort -g)
	printf '%.1f ms (%.1f to %.1f)' "$(median "$@")" "${sorted[0]}" "${sorted[-1]}"
}

# row LABEL OURS THEIRS: measures and prints
row()
{
	local times ours=() theirs=() ratios=() i
	mapfile -t times < <(script "$2" "$3" | sql | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p')
	[ ${#times[@]} = $((2 * runs + 2)) ] || die "only ${#times[@]} times were measured"
	for ((i = 2; i < ${#times[@]}; i += 2)); do		# the first pair warms up
		ours+=("${times[i]}")
		theirs+=("${times[i + 1]}")
		ratios+=("$(awk "BEGIN { print ${times[i]} / ${times[i + 1]} }")")
	done
	printf '| %s | %s | %s | %.2f |\n' "$1" "$(cell "${ours[@]}")" "$(cell "${theirs[@]}")" "$(median "${ratios[@]}")"
}

set_up
cat <<END

- machine: $(nproc) cores, load average $(cut -d' ' -f1-3 /proc/loadavg) at the start; PostgreSQL $(sql -c 'SHOW server_version'), fsync = $(sql -c 'SHOW fsync')
- $count rows by one statement; $runs runs, alternating; median (least to most); the ratio is the median of the runs' ratios, less is faster

| | bill24 | PL/pgSQL into a plain table | ratio |
|---|---|---|---|
END
row "trigger FOR EACH STATEMENT" "$(insert bill24_statement)" "$(insert plain_statement)"
row "trigger FOR EACH ROW" "$(insert bill24_row)" "$(insert plain_row)"
row "bill24_enqueue() in a query, beside INSERT ... SELECT" "$(enqueue)" "$(plain_insert)"
row "for comparison: plain SQL into bill24.outbox FOR EACH STATEMENT" "$(insert sql_statement)" "$(insert plain_statement)"
row "for comparison: no trigger" "$(insert bare)" "$(insert plain_statement)"
sql -d postgres -c 'DROP DATABASE bench_enqueue'		# and its worker
