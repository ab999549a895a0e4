--
-- Enqueueing: what is refused at once, and what is kept of the rest.
--
\pset format unaligned
\pset null '(null)'
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS bill24 CASCADE;
-- as in a copy: nothing is delivered
BEGIN;
CREATE EXTENSION bill24;
UPDATE bill24.home SET database = 1;
COMMIT;
\set url `echo "$B24SIM_URL"`
CREATE SERVER bill24 FOREIGN DATA WRAPPER bill24 OPTIONS (base_url :'url', allow_http 'true', mirror 'false');
CREATE USER MAPPING FOR CURRENT_USER SERVER bill24 OPTIONS (
	token '00000000-0000-4000-8000-000000000001', client_id 'demo_client',
	secret 'demo-secret', hash_token 'demo-hash-token');
-- runs a statement, and tells its result or its error in lines
CREATE OR REPLACE FUNCTION try(command text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	result text;
	state text;
	message text;
	detail text;
	hint text;
BEGIN
	IF command ~ '^SELECT' THEN
		EXECUTE command INTO result;
	ELSE
		EXECUTE command;
	END IF;
	RETURN NEXT 'fine: ' || coalesce(result, '(null)');
EXCEPTION WHEN others THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
		detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN NEXT state || ': ' || message;
	IF detail <> '' THEN RETURN NEXT 'DETAIL: ' || detail; END IF;
	IF hint <> '' THEN RETURN NEXT 'HINT: ' || hint; END IF;
END $$;
-- the jobs that are new since this was asked last, in their order
CREATE TABLE seen (id bigint);
INSERT INTO seen VALUES (0);
CREATE FUNCTION jobs(OUT operation text, OUT key text, OUT request jsonb) RETURNS SETOF record LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY SELECT o.operation, o.key, o.request FROM bill24.outbox o WHERE o.id > (SELECT max(s.id) FROM seen s) ORDER BY o.id;
	INSERT INTO seen SELECT coalesce(max(o.id), 0) FROM bill24.outbox o;
END $$;
SET timezone = 'Asia/Phnom_Penh';
SET client_min_messages = notice;

-- a job as it is
SELECT bill24_enqueue('create_customer', '{"sync_code": "C0001", "name": "Customer A"}') > 0 AS numbered;
BEGIN;
SELECT bill24_enqueue('create_customer', '{"sync_code": "C0001", "name": "Customer A"}') AS id \gset
SELECT id = :id AS id, server, operation, key, request, owner = current_user::regrole AS owner, state, attempts,
	next_attempt_at = now() AS due, leased_by, response, sqlstate, error, created_at = now() AS created, finished_at
FROM bill24.outbox WHERE id = :id;
ROLLBACK;
SELECT count(*) FROM bill24.outbox;
SELECT * FROM jobs();

-- every operation, the request as it goes on the wire
SELECT bill24_enqueue('create_customer', '{"sync_code": "C1", "name": "A", "name_kh": "ក", "phone": "1", "email": "e", "wallets": [{"name": "Riel", "currency": "KHR"}]}') > 0 AS ok;
SELECT bill24_enqueue('bill24_update_customer', '{"sync_code": "C1", "name": "B", "phone": null}') > 0 AS ok;
SELECT bill24_enqueue('delete_customer', '{"sync_code": "C1"}') > 0 AS ok;
SELECT bill24_enqueue('settle_payment', '{"ref_id": "R1", "sync_code": "C1", "amount": 100.500, "currency": "KHR", "payment_to": "ST001",
	"bill_date": "2025-11-20", "due_date": "2025-11-27 10:13:58.25", "total_tax": "1.50", "exchange_rate_khr": 4000.00,
	"total_amount_khr": 12345678901234567890.123456789012345678901, "details": {"n": 1.10, "big": 123456789012345678901234567890}}') > 0 AS ok;
SELECT bill24_enqueue('onboard_sub_biller', '{"supplier_sync_code": "S1", "name": "S"}') > 0 AS ok;
SELECT bill24_enqueue('add_link_account', '{"supplier_sync_code": "S1", "bank_id": "AC", "return_url": "https://example.com/a/b"}') > 0 AS ok;
SELECT * FROM jobs();

-- operations
SELECT try($$SELECT bill24_enqueue('create_custommer', '{}')$$);
SELECT try($$SELECT bill24_enqueue('authorize', '{}')$$);
SELECT try($$SELECT bill24_enqueue('enqueue', '{}')$$);
SELECT try($$SELECT bill24_enqueue('', '{}')$$);
SELECT try($$SELECT bill24_enqueue('get_customer', '{"sync_code": "C0001"}')$$);
SELECT try($$SELECT bill24_enqueue('bill24_get_bills', '{}')$$);
SELECT try($$SELECT bill24_enqueue('verify_linked_account', '{}')$$);
SELECT try($$SELECT bill24_enqueue(NULL, '{}')$$);
SELECT try($$SELECT bill24_enqueue('create_customer', NULL)$$);
SELECT try($$SELECT bill24_enqueue('create_customer', '{}', NULL)$$);

-- requests
SELECT try($$SELECT bill24_enqueue('create_customer', '[]')$$);
SELECT try($$SELECT bill24_enqueue('create_customer', '"C0001"')$$);
SELECT try($$SELECT bill24_enqueue('create_customer', 'null')$$);
SELECT try($$SELECT bill24_enqueue('create_customer', '{"sync_code": "C0001"}')$$);
SELECT try($$SELECT bill24_enqueue('create_customer', '{"sync_code": null, "name": "A"}')$$);
SELECT try($$SELECT bill24_enqueue('create_customer', '{"sync_code": "", "name": "A"}')$$);
SELECT try($$SELECT bill24_enqueue('create_customer', '{"sync_code": "C1", "name": ["A"]}')$$);
SELECT try($$SELECT bill24_enqueue('create_customer', '{"sync_code": "C1", "name": "A", "nam": "A"}')$$);
SELECT try($$SELECT bill24_enqueue('create_customer', '{"sync_code": "C1", "name": "A", "server": "x"}')$$);
SELECT try(format($$SELECT bill24_enqueue('create_customer', '{"sync_code": "%s", "name": "A"}')$$, repeat('x', 51)));
SELECT try(format($$SELECT bill24_enqueue('create_customer', '{"sync_code": "%s", "name": "A"}') > 0$$, repeat('ក', 50)));
SELECT try(format($$SELECT bill24_enqueue('add_link_account', '{"supplier_sync_code": "%s", "bank_id": "AC", "return_url": "u"}')$$, repeat('x', 1001)));
SELECT try(format($$SELECT bill24_enqueue('add_link_account', '{"supplier_sync_code": "%s", "bank_id": "AC", "return_url": "u"}') > 0$$, repeat(md5('x'), 31)));
SELECT try($$SELECT bill24_enqueue('settle_payment', '{"ref_id": "R1", "sync_code": "C1", "amount": -1, "currency": "KHR", "payment_to": "ST001", "bill_date": "2025-11-20", "due_date": "2025-11-27"}')$$);
SELECT try($$SELECT bill24_enqueue('settle_payment', '{"ref_id": "R1", "sync_code": "C1", "amount": "NaN", "currency": "KHR", "payment_to": "ST001", "bill_date": "2025-11-20", "due_date": "2025-11-27"}')$$);
SELECT try($$SELECT bill24_enqueue('settle_payment', '{"ref_id": "R1", "sync_code": "C1", "amount": "x", "currency": "KHR", "payment_to": "ST001", "bill_date": "2025-11-20", "due_date": "2025-11-27"}')$$);
SELECT try($$SELECT bill24_enqueue('settle_payment', '{"ref_id": "R1", "sync_code": "C1", "amount": 1, "currency": "KHR", "payment_to": "ST001", "bill_date": "2025-02-30", "due_date": "2025-11-27"}')$$) ~ '^22008' AS refused LIMIT 1;
-- nested as deep as an answer may be is too deep as a part of the arguments
SELECT try(format($$SELECT bill24_enqueue('create_customer', '{"sync_code": "C1", "name": "A", "wallets": %s%s}')$$, repeat('[', 32), repeat(']', 32)));
SELECT try(format($$SELECT bill24_enqueue('create_customer', '{"sync_code": "C1", "name": "A", "wallets": %s%s}') > 0$$, repeat('[', 30), repeat(']', 30)));
SELECT count(*) FROM jobs();

-- what is unusual and right: numbers of many digits, members given twice, control characters, a long text
SELECT bill24_enqueue('settle_payment', '{"ref_id": "R1", "sync_code": "C1", "amount": 1e400, "currency": "KHR", "payment_to": "ST001", "bill_date": "2025-11-20", "due_date": "2025-11-27"}') > 0 AS ok;
SELECT request -> 'amount' = '1e400' AS same FROM jobs();
SELECT bill24_enqueue('create_customer', '{"sync_code": "C1", "sync_code": "C2", "name": 12345678901234567890.50}') > 0 AS ok;
SELECT bill24_enqueue('create_customer', jsonb_build_object('sync_code', E'a\\b"c/\t\x01\x7f', 'name', E'ស្រី\r\n\\u0000')) > 0 AS ok;
SELECT key = E'a\\b"c/\t\x01\x7f' AS key_same, request ->> 'name' = E'ស្រី\r\n\\u0000' AS name_same, request FROM jobs() OFFSET 1;
SELECT bill24_enqueue('create_customer', jsonb_build_object('sync_code', 'C1', 'name', (SELECT string_agg(md5(i::text), '') FROM generate_series(1, 2000) i))) > 0 AS ok;
SELECT key, length(request ->> 'name'), md5(request ->> 'name') = md5((SELECT string_agg(md5(i::text), '') FROM generate_series(1, 2000) i)) AS same FROM jobs();
SELECT try($$SELECT bill24_enqueue('create_customer', jsonb_build_object('sync_code', 'C1', 'name', repeat('x', 65536)))$$);
-- the session's settings do not matter to what is kept
SET datestyle = 'SQL, DMY';
SET extra_float_digits = -15;
SET row_security = off;
SET session_replication_role = replica;
SET search_path = pg_temp, public;
SELECT bill24_enqueue('settle_payment', '{"ref_id": "R1", "sync_code": "C1", "amount": 1.10, "currency": "KHR", "payment_to": "ST001", "bill_date": "2025-11-20", "due_date": "2025-11-27 00:00+00"}') > 0 AS ok;
RESET ALL;
\pset null '(null)'
SET client_min_messages = notice;
SELECT request FROM jobs();

-- transactions
BEGIN;
SAVEPOINT s;
SELECT bill24_enqueue('delete_customer', '{"sync_code": "undone"}') > 0 AS ok;
ROLLBACK TO s;
SELECT bill24_enqueue('delete_customer', '{"sync_code": "kept"}') > 0 AS ok;
SELECT key FROM jobs();
SAVEPOINT t;
SELECT bill24_enqueue('delete_customer', '{"sync_code": "kept as well"}') > 0 AS ok;
RELEASE t;
COMMIT;
SELECT key FROM jobs();
SELECT key FROM bill24.outbox WHERE key = 'undone';
BEGIN READ ONLY;
SELECT bill24_enqueue('delete_customer', '{"sync_code": "C1"}');
ROLLBACK;
-- the plan, the table and the functions may change in between
ALTER TABLE bill24.outbox ADD COLUMN note text;
SELECT bill24_enqueue('delete_customer', '{"sync_code": "after ADD COLUMN"}') > 0 AS ok;
ALTER TABLE bill24.outbox DROP COLUMN note;
CREATE INDEX regress_more ON bill24.outbox (upper(key)) WHERE length(key) > 3;
CREATE INDEX regress_gin ON bill24.outbox USING gin (request);
SELECT count(bill24_enqueue('delete_customer', jsonb_build_object('sync_code', 'many' || i))) FROM generate_series(1, 500) i;
SET enable_seqscan = off;
SELECT count(*) FROM bill24.outbox WHERE upper(key) LIKE 'MANY%' AND length(key) > 3;
SELECT count(*) FROM bill24.outbox WHERE request @> '{"sync_code": "many7"}';
SELECT key FROM bill24.outbox WHERE server = 'bill24' AND key = 'many77' AND finished_at IS NULL;
SELECT count(*) FROM bill24.outbox WHERE server = 'bill24' AND next_attempt_at <= now() AND key LIKE 'many%';
RESET enable_seqscan;
DROP INDEX bill24.regress_more, bill24.regress_gin;
REINDEX TABLE bill24.outbox;
SELECT count(*) FROM jobs();
-- numbers follow the order of a statement
SELECT bool_and(id > lag) FROM (SELECT id, lag(id) OVER (ORDER BY substring(key FROM 5)::int) FROM bill24.outbox WHERE key LIKE 'many%') s;

-- rights: of the server, of the table, and whose job it is
CREATE ROLE regress_bill24_clerk;
CREATE ROLE regress_bill24_other;
CREATE ROLE regress_bill24_chief IN ROLE regress_bill24_clerk;
GRANT SELECT ON seen TO PUBLIC;
SET ROLE regress_bill24_clerk;
SELECT try($$SELECT bill24_enqueue('delete_customer', '{"sync_code": "C1"}')$$);
RESET ROLE;
GRANT USAGE ON FOREIGN SERVER bill24 TO regress_bill24_clerk, regress_bill24_other;
SET ROLE regress_bill24_clerk;
SELECT try($$SELECT bill24_enqueue('delete_customer', '{"sync_code": "C1"}')$$);
SELECT try($$SELECT bill24_enqueue('delete_customer', '{"sync_code": "C1"}', 'nowhere')$$);
RESET ROLE;
CREATE USER MAPPING FOR PUBLIC SERVER bill24 OPTIONS (
	token '00000000-0000-4000-8000-000000000001', client_id 'demo_client', secret 'demo-secret');
SET ROLE regress_bill24_clerk;
SELECT try($$SELECT bill24_enqueue('settle_payment', '{"ref_id": "R1", "sync_code": "C1", "amount": 1, "currency": "KHR", "payment_to": "ST001", "bill_date": "2025-11-20", "due_date": "2025-11-27"}')$$);
SELECT try($$SELECT bill24_enqueue('delete_customer', '{"sync_code": "clerk"}') > 0$$);
SELECT key, owner FROM bill24.outbox;
SELECT try($$INSERT INTO bill24.outbox (server, operation, key, request, owner) VALUES ('bill24', 'delete_customer', 'x', '{}', 'regress_bill24_clerk')$$);
SELECT try($$UPDATE bill24.outbox SET key = 'x'$$);
SELECT try($$DELETE FROM bill24.outbox$$);
SELECT try($$TRUNCATE bill24.outbox$$);
SELECT try($$SELECT nextval('bill24.outbox_id_seq')$$);
SELECT try($$SELECT setval('bill24.outbox_id_seq', 1)$$);
SET row_security = off;
SELECT try($$SELECT count(*) FROM bill24.outbox$$);
SELECT try($$SELECT bill24_enqueue('delete_customer', '{"sync_code": "clerk again"}') > 0$$);
RESET row_security;
SET ROLE regress_bill24_other;
SELECT key, owner FROM bill24.outbox;
SET ROLE regress_bill24_chief;
SELECT key, owner FROM bill24.outbox ORDER BY id;
RESET ROLE;
-- in a SECURITY DEFINER function the job is the definer's
CREATE FUNCTION close_account(code text) RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	AS $$ SELECT public.bill24_enqueue('delete_customer', jsonb_build_object('sync_code', code)) $$;
ALTER FUNCTION close_account(text) OWNER TO regress_bill24_clerk;
SET ROLE regress_bill24_other;
SELECT close_account('by other');
SELECT key, owner FROM bill24.outbox;
RESET ROLE;
SELECT key, owner FROM bill24.outbox WHERE key = 'by other';
DROP FUNCTION close_account(text);
-- a function of the same name is no operation
CREATE FUNCTION bill24_delete_customer(something_else text) RETURNS text LANGUAGE sql AS 'SELECT $1';
SELECT try($$SELECT bill24_enqueue('delete_customer', '{"something_else": "C1"}')$$);
DROP FUNCTION bill24_delete_customer(text);

-- nothing was sent
SELECT bill24_request('GET', '/_sim/stats') -> 'requests' AS requests;
-- dropped and made again, in the same session
SET client_min_messages = warning;
DROP FUNCTION jobs();
DROP TABLE seen;
DROP EXTENSION bill24 CASCADE;
CREATE EXTENSION bill24;
CREATE SERVER bill24 FOREIGN DATA WRAPPER bill24 OPTIONS (base_url :'url', allow_http 'true', mirror 'false');
CREATE USER MAPPING FOR PUBLIC SERVER bill24 OPTIONS (token 't', client_id 'c', secret 's');
SELECT bill24_enqueue('delete_customer', '{"sync_code": "C1"}') AS id;
SELECT id, key FROM bill24.outbox;
DROP FUNCTION try(text);
DROP EXTENSION bill24 CASCADE;
DROP ROLE regress_bill24_chief;
DROP ROLE regress_bill24_clerk;
DROP ROLE regress_bill24_other;
