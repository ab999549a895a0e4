--
-- The mirror: its objects, who may read them, and its views.
--
\pset format unaligned
\pset null '(null)'
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS bill24 CASCADE;
-- as in a copy: nobody is looked at
BEGIN;
CREATE EXTENSION bill24;
UPDATE bill24.home SET database = 1;
COMMIT;
\set url `echo "$B24SIM_URL"`
CREATE SERVER bill24 FOREIGN DATA WRAPPER bill24 OPTIONS (base_url :'url', allow_http 'true');
CREATE USER MAPPING FOR CURRENT_USER SERVER bill24 OPTIONS (
	token '00000000-0000-4000-8000-000000000001', client_id 'demo_client', secret 'demo-secret');
SET timezone = 'UTC';

-- what there is, with its columns
CREATE VIEW relation AS
	SELECT c.oid, c.relname, c.relkind, c.relacl FROM pg_class c
	WHERE c.relnamespace = 'bill24'::regnamespace AND c.relkind IN ('r', 'v', 'S') AND c.relname ~
		'^(look_group|looked|mirror_id|tracked|customer|customer_copy|wallet|wallet_copy|wallet_change|look_rate|freshness|sync_progress|drift)';
SELECT r.relname, r.relkind, string_agg(attname || ' ' || format_type(atttypid, atttypmod) || CASE WHEN attnotnull THEN ' not null' ELSE '' END, ', ' ORDER BY attnum) AS columns
FROM relation r JOIN pg_attribute a ON attrelid = r.oid AND attnum > 0 AND NOT attisdropped AND relkind <> 'S'
GROUP BY 1, 2 ORDER BY relname COLLATE "C";
-- nothing is unique across customers: keys begin with sync_code, but for those of groups and of servers
SELECT r.relname, i.indexrelid::regclass AS index, (SELECT string_agg(attname, ', ' ORDER BY k.n) FROM unnest(i.indkey) WITH ORDINALITY AS k(attnum, n)
	JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum = k.attnum) AS columns
FROM relation r JOIN pg_index i ON i.indrelid = r.oid WHERE indisunique ORDER BY relname COLLATE "C", 2;
SELECT r.relname, conname FROM relation r JOIN pg_constraint ON conrelid = r.oid WHERE contype = 'f';
-- what a dump has
SELECT c.relname, k.condition = '' AS all_rows FROM pg_extension e, unnest(extconfig, extcondition) AS k(oid, condition)
	JOIN relation c ON c.oid = k.oid WHERE extname = 'bill24' ORDER BY relname COLLATE "C";

-- every object has a comment, and of those that people read every column whose name does not say it
SELECT relname AS without_comment FROM relation WHERE relkind <> 'S' AND coalesce(obj_description(oid, 'pg_class'), '') = '';
SELECT p.oid::regprocedure AS without_comment FROM pg_proc p
WHERE proname ~ '^bill24_(track|untrack|refresh|wallet_balance)$' AND coalesce(obj_description(oid, 'pg_proc'), '') = '';

-- what others may do: nothing, but see how many changes there were, which pg_dump asks of all, and call functions about servers that they may use
SELECT relname AS readable FROM relation r WHERE EXISTS (SELECT FROM aclexplode(r.relacl) WHERE grantee = 0);
CREATE ROLE regress_bill24_mirror;
CREATE FUNCTION pg_temp.state(command text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE command;
	RETURN 'fine';
EXCEPTION WHEN others THEN
	RETURN SQLSTATE || ': ' || SQLERRM;
END $$;
SELECT relname, has_table_privilege('regress_bill24_mirror', oid, 'SELECT, INSERT, UPDATE, DELETE') AS any_right FROM relation
WHERE relkind <> 'S' AND has_table_privilege('regress_bill24_mirror', oid, 'SELECT, INSERT, UPDATE, DELETE');
SET ROLE regress_bill24_mirror;
SELECT pg_temp.state($$SELECT bill24_track('{A}')$$);
SELECT pg_temp.state($$SELECT bill24_refresh('{A}')$$);
SELECT pg_temp.state($$SELECT bill24_untrack('{A}')$$);
SELECT pg_temp.state($$SELECT * FROM bill24_wallet_balance('A')$$);
RESET ROLE;

-- rows, as looks leave them
INSERT INTO bill24.look_group (id, server, is_open, members, next_look_at, looked_at) VALUES
	(1, 'bill24', true, 2, '2099-01-01', '2026-01-02 12:00');
INSERT INTO bill24.tracked (sync_code, server, owner, tracked_at, next_look_at, look_group, read_at, digest, failures, failed_at, sqlstate, error, sent_at, sent_name, sent_phone, sent_email) VALUES
	('A', 'bill24', current_user::regrole, '2026-01-01', NULL, 1, '2026-01-01 12:00', 1, 0, NULL, NULL, NULL, '2026-01-01 13:00', 'other', '012', NULL),
	('B', 'bill24', current_user::regrole, '2026-01-01', NULL, 1, '2026-01-03 12:00', 2, 0, NULL, NULL, NULL, '2026-01-04', 'not read since', NULL, NULL),
	('C', 'bill24', current_user::regrole, '2026-01-01', '2026-01-05', NULL, '2026-01-01 12:00', 3, 2, '2026-01-02', '08006', 'no answer', NULL, NULL, NULL, NULL),
	('D', 'bill24', current_user::regrole, '2026-01-01', '2026-01-05', NULL, '2026-01-01 12:00', 0, 0, NULL, NULL, NULL, '2026-01-01', 'gone', NULL, NULL),
	('E', 'bill24', current_user::regrole, '2026-01-01', '2099-01-05', NULL, NULL, NULL, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
	('A', 'else', current_user::regrole, '2026-01-01', '2099-01-05', NULL, '2026-01-01 12:00', 1, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO bill24.customer_copy (sync_code, server, name, phone, email, changed_at, deleted_at) VALUES
	('A', 'bill24', 'a', '012', 'a@example.com', '2026-01-01 12:00', NULL), ('B', 'bill24', 'b', NULL, NULL, '2026-01-03 12:00', NULL),
	('C', 'bill24', 'c', NULL, NULL, '2026-01-01 12:00', NULL), ('D', 'bill24', 'd', NULL, NULL, '2026-01-01', '2026-01-01 12:00'),
	('A', 'else', 'a elsewhere', NULL, NULL, '2026-01-01 12:00', NULL);
INSERT INTO bill24.wallet_copy (sync_code, server, id, name, balance, currency, changed_at, deleted_at) VALUES
	('A', 'bill24', 'w1', 'Riel', 12345678901234.990, 'KHR', '2026-01-01 12:00', NULL), ('A', 'bill24', 'w2', 'Dollar', 0.30, 'USD', '2026-01-01 12:00', NULL),
	('D', 'bill24', 'w1', 'Riel', 5, 'KHR', '2026-01-01', '2026-01-01 12:00'), ('A', 'else', 'w1', 'Riel', -1, 'KHR', '2026-01-01 12:00', NULL),
	('Z', 'bill24', 'w1', 'of nobody who is tracked', 1, 'KHR', '2026-01-01 12:00', NULL);
SELECT * FROM bill24.customer ORDER BY sync_code, server;
SELECT * FROM bill24.wallet ORDER BY sync_code, server, id;
SELECT * FROM bill24.drift ORDER BY sync_code, server, field;
SELECT server, customers, never_read, failing, gone, oldest, newest, greatest_age = now() - oldest AS age, median_age < greatest_age AS median FROM bill24.freshness ORDER BY server;
SELECT * FROM bill24.sync_progress ORDER BY server;
INSERT INTO bill24.look_rate VALUES ('bill24', now(), 2);
SELECT rate, estimated_end = now() + due / 2.0 * '1 second'::interval AS in_time FROM bill24.sync_progress WHERE server = 'bill24';
UPDATE bill24.look_rate SET noted_at = now() - '11 seconds'::interval;
SELECT rate, estimated_end FROM bill24.sync_progress WHERE server = 'bill24';

-- a customer is either in a group or has a time of its own
\set VERBOSITY terse
UPDATE bill24.tracked SET look_group = 1 WHERE sync_code = 'C';
UPDATE bill24.tracked SET next_look_at = now() WHERE sync_code = 'A';
INSERT INTO bill24.look_group (id, server, next_look_at) VALUES (2, 'bill24', now());
\set VERBOSITY default

-- asked for: the time of its group is kept as its own
SELECT bill24_refresh('{A, B, nobody}');
SELECT sync_code, look_group, next_look_at IS NOT NULL AS due, wanted_at IS NOT NULL AS wanted, read_at FROM bill24.tracked WHERE server = 'bill24' AND sync_code IN ('A', 'B') ORDER BY 1;
SELECT sync_code, synced_at FROM bill24.customer WHERE server = 'bill24' AND sync_code IN ('A', 'B') ORDER BY 1;
SELECT bill24_track('{A, F, F}');
SELECT bill24_untrack('{A, F, nobody}');
SELECT sync_code, server FROM bill24.customer ORDER BY 1, 2;
SELECT sync_code, server, id FROM bill24.wallet ORDER BY 1, 2, 3;

-- its options
ALTER SERVER bill24 OPTIONS (ADD min_sync_interval '2h');
ALTER SERVER bill24 OPTIONS (ADD sync_interval '3h', ADD min_sync_interval '2h');
ALTER SERVER bill24 OPTIONS (SET sync_interval '1h');
ALTER SERVER bill24 OPTIONS (DROP min_sync_interval, SET sync_interval '30s');
ALTER SERVER bill24 OPTIONS (ADD second_look '2d');
ALTER SERVER bill24 OPTIONS (ADD mirror 'perhaps');
ALTER SERVER bill24 OPTIONS (ADD mirror 'off');
SELECT bill24_track('{A}');
DROP VIEW relation;
DROP EXTENSION bill24 CASCADE;
DROP ROLE regress_bill24_mirror;
