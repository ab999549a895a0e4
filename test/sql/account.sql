--
-- Accounts: which server, whose credentials, and from where.
--
\pset format unaligned
\pset null '(null)'
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS bill24 CASCADE;
CREATE EXTENSION bill24;
\set url `echo "$B24SIM_URL"`
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

-- the doctor's words without what differs from run to run
CREATE FUNCTION checked(server text) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT concat_ws(' | ', step, ok, regexp_replace(regexp_replace(regexp_replace(detail, '-?[0-9.]+ m?s', '(time)'),
			'http://[0-9.]+:[0-9]+', '(url)'), '(connect:?) .*', '\1 ...'), hint)
	FROM bill24_check(server)
$$;

-- no server at all, and one that is not for this
SELECT try($$SELECT bill24_get_customer('C0001')$$);
SELECT try($$SELECT bill24_get_customer('C0001', 'another')$$);
SELECT try($$SELECT * FROM bill24_check()$$);
CREATE FOREIGN DATA WRAPPER regress_bill24_other;
CREATE SERVER another FOREIGN DATA WRAPPER regress_bill24_other;
SELECT try($$SELECT bill24_get_customer('C0001', 'another')$$);
SELECT try($$SELECT bill24_request('GET', '/', NULL, 'another')$$);
SELECT try($$SELECT * FROM bill24_check('another')$$);
SELECT try($$SELECT * FROM bill24_check(NULL)$$);

-- no mapping, one that is not complete, and one that is
CREATE SERVER bill24 FOREIGN DATA WRAPPER bill24 OPTIONS (base_url :'url', allow_http 'true');
SELECT try($$SELECT bill24_get_customer('C0001')$$);
SELECT checked('bill24');
CREATE USER MAPPING FOR CURRENT_USER SERVER bill24;
SELECT try($$SELECT bill24_get_customer('C0001')$$);
SELECT checked('bill24');
ALTER USER MAPPING FOR CURRENT_USER SERVER bill24 OPTIONS (ADD token '00000000-0000-4000-8000-000000000001', ADD client_id 'demo_client');
SELECT try($$SELECT bill24_get_customer('C0001')$$);
ALTER USER MAPPING FOR CURRENT_USER SERVER bill24 OPTIONS (ADD secret 'demo-secret');
SELECT sync_code FROM bill24_create_customer('C0001', 'Customer A');
SELECT checked('bill24');
ALTER USER MAPPING FOR CURRENT_USER SERVER bill24 OPTIONS (ADD hash_token 'demo-hash-token');
SELECT step, ok, hint FROM bill24_check();
ALTER USER MAPPING FOR CURRENT_USER SERVER bill24 OPTIONS (SET client_id 'nobody');
SELECT checked('bill24');
ALTER USER MAPPING FOR CURRENT_USER SERVER bill24 OPTIONS (SET client_id 'demo_client');

-- a changed server is noticed, and so is a new one of the same name
SELECT name FROM bill24_get_customer('C0001');
ALTER SERVER bill24 OPTIONS (SET base_url 'http://127.0.0.1:1');
SELECT split_part(try($$SELECT bill24_get_customer('C0001')$$), ':', 1) LIMIT 1;
SELECT checked('bill24');
ALTER SERVER bill24 OPTIONS (SET base_url :'url');
SELECT name FROM bill24_get_customer('C0001');
ALTER SERVER bill24 RENAME TO "Bill 24";
SELECT try($$SELECT bill24_get_customer('C0001')$$);
SELECT name FROM bill24_get_customer('C0001', 'Bill 24');
SELECT try($$SELECT bill24_get_customer('NOBODY', 'Bill 24')$$);
DROP USER MAPPING FOR CURRENT_USER SERVER "Bill 24";
SELECT try($$SELECT bill24_get_customer('C0001', 'Bill 24')$$);
DROP SERVER "Bill 24";
SELECT try($$SELECT bill24_get_customer('C0001', 'Bill 24')$$);
CREATE SERVER bill24 FOREIGN DATA WRAPPER bill24 OPTIONS (base_url :'url', allow_http 'true');
-- a change that is rolled back is none
BEGIN;
CREATE USER MAPPING FOR CURRENT_USER SERVER bill24 OPTIONS (
	token '00000000-0000-4000-8000-000000000001', client_id 'demo_client', secret 'demo-secret');
SELECT name FROM bill24_get_customer('C0001');
ROLLBACK;
SELECT split_part(try($$SELECT bill24_get_customer('C0001')$$), ':', 1) LIMIT 1;

-- roles
CREATE ROLE regress_bill24_one;
CREATE ROLE regress_bill24_two;
CREATE USER MAPPING FOR regress_bill24_one SERVER bill24 OPTIONS (
	token '00000000-0000-4000-8000-000000000001', client_id 'demo_client', secret 'demo-secret');
SET ROLE regress_bill24_one;
SELECT try($$SELECT bill24_get_customer('C0001')$$);
SELECT try($$SELECT * FROM bill24_check()$$);
RESET ROLE;
GRANT USAGE ON FOREIGN SERVER bill24 TO regress_bill24_one, regress_bill24_two;
SET ROLE regress_bill24_one;
SELECT name FROM bill24_get_customer('C0001');
-- another role's mapping is not for this one, not even for a superuser
SET ROLE regress_bill24_two;
SELECT split_part(try($$SELECT bill24_get_customer('C0001')$$), ':', 1) LIMIT 1;
RESET ROLE;
SELECT split_part(try($$SELECT bill24_get_customer('C0001')$$), ':', 1) LIMIT 1;
-- PUBLIC's is for all that have none of their own
CREATE USER MAPPING FOR PUBLIC SERVER bill24 OPTIONS (
	token '00000000-0000-4000-8000-000000000001', client_id 'demo_client', secret 'demo-secret');
SET ROLE regress_bill24_two;
SELECT name FROM bill24_get_customer('C0001');
RESET ROLE;
CREATE USER MAPPING FOR regress_bill24_two SERVER bill24 OPTIONS (
	token '00000000-0000-4000-8000-000000000001', client_id 'demo_client', secret 'a-wrong-secret');
SET ROLE regress_bill24_two;
SELECT split_part(try($$SELECT bill24_get_customer('C0001')$$), ':', 1) LIMIT 1;
RESET ROLE;
DROP USER MAPPING FOR regress_bill24_two SERVER bill24;
SET ROLE regress_bill24_two;
SELECT name FROM bill24_get_customer('C0001');
RESET ROLE;
DROP USER MAPPING FOR PUBLIC SERVER bill24;
-- who may not use the server may not go on using it
SET ROLE regress_bill24_one;
SELECT name FROM bill24_get_customer('C0001');
RESET ROLE;
REVOKE USAGE ON FOREIGN SERVER bill24 FROM regress_bill24_one;
SET ROLE regress_bill24_one;
SELECT split_part(try($$SELECT bill24_get_customer('C0001')$$), ':', 1) LIMIT 1;
RESET ROLE;
GRANT USAGE ON FOREIGN SERVER bill24 TO regress_bill24_one;

-- a SECURITY DEFINER function uses its owner's account
CREATE FUNCTION customer_name(sync_code text) RETURNS text LANGUAGE sql SECURITY DEFINER AS $$
	SELECT (bill24_get_customer(sync_code)).name
$$;
ALTER FUNCTION customer_name(text) OWNER TO regress_bill24_one;
SET ROLE regress_bill24_two;
SELECT customer_name('C0001');
SELECT split_part(try($$SELECT bill24_get_customer('C0001')$$), ':', 1) LIMIT 1;
RESET ROLE;

-- credentials in a file, which others cannot read (COPY doubles a backslash, tr undoes that)
SELECT current_setting('data_directory') || '/regress_bill24.json' AS file \gset
CREATE FUNCTION file(content text, mode text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	path text := current_setting('data_directory') || '/regress_bill24.json';
BEGIN
	EXECUTE format('COPY (SELECT %L) TO PROGRAM %L', content, format('umask 077; tr -s "\\\\" > "%s"; chmod %s "%s"', path, mode, path));
END $$;
CREATE USER MAPPING FOR CURRENT_USER SERVER bill24 OPTIONS (credentials_file :'file');
SELECT try($$SELECT bill24_get_customer('C0001')$$);
SELECT file('{"token": "00000000-0000-4000-8000-000000000001", "client_id": "demo_client", "secret": "demo-secret", "hash_token": "demo-hash-token"}', '644');
SELECT try($$SELECT bill24_get_customer('C0001')$$);
SELECT * FROM bill24_check();
SELECT file('{"token": "00000000-0000-4000-8000-000000000001", "client_id": "demo_client", "secret": "demo-secret", "hash_token": "demo-hash-token"}', '602');
SELECT split_part(try($$SELECT bill24_get_customer('C0001')$$), ':', 1) LIMIT 1;
SELECT file('{"token": "00000000-0000-4000-8000-000000000001", "client_id": "demo_client", "secret": "demo-secret", "hash_token": "demo-hash-token"}', '640');
SELECT name FROM bill24_get_customer('C0001');
SELECT bill24_preview('settle_payment', '{"ref_id": "R0001", "sync_code": "C0001", "amount": 100, "currency": "KHR", "payment_to": "ST001",
	"bill_date": "2025-11-20", "due_date": "2025-11-27"}') ->> 'body' ~ 'dgvnSFHlTZgeW1rDts20XvGl' AS hash_is_right;
-- a changed file is noticed, in the same session
SELECT file('{"token": "00000000-0000-4000-8000-000000000001", "client_id": "demo_client", "secret": "an-outdated-one"}', '600');
SELECT try($$SELECT bill24_get_customer('C0001')$$);
SELECT file('{"token": "00000000-0000-4000-8000-000000000001", "client_id": "demo_client", "secret": "demo-secret"}', '600');
SELECT name FROM bill24_get_customer('C0001');
SELECT file('{"token": "00000000-0000-4000-8000-000000000001", "client_id": "demo_client", "secret": "demo-secret"}', '604');
SELECT split_part(try($$SELECT bill24_get_customer('C0001')$$), ':', 1) LIMIT 1;
-- and one that says something else says so, without its content
SELECT file('{"token": "00000000-0000-4000-8000-000000000001", "client_id": "demo_client"}', '600');
SELECT split_part(try($$SELECT bill24_get_customer('C0001')$$), ':', 1) LIMIT 1;
SELECT file('{"tokn": "hidden-value"}', '600');
SELECT try($$SELECT bill24_get_customer('C0001')$$);
SELECT file('{"base_url": "https://example.com"}', '600');
SELECT try($$SELECT bill24_get_customer('C0001')$$);
SELECT file('{"credentials_file": "/etc/passwd"}', '600');
SELECT try($$SELECT bill24_get_customer('C0001')$$);
SELECT file('{"token": 42}', '600');
SELECT try($$SELECT bill24_get_customer('C0001')$$);
SELECT file('{"token": ""}', '600');
SELECT try($$SELECT bill24_get_customer('C0001')$$);
SELECT file('["hidden-value"]', '600');
SELECT try($$SELECT bill24_get_customer('C0001')$$);
SELECT file('token=hidden-value', '600');
SELECT try($$SELECT bill24_get_customer('C0001')$$);
SELECT file('', '600');
SELECT try($$SELECT bill24_get_customer('C0001')$$);
SELECT file(repeat(' ', 100000) || '{}', '600');
SELECT try($$SELECT bill24_get_customer('C0001')$$);
SELECT file('{"token": "00000000-0000-4000-8000-000000000001\u0000", "client_id": "demo_client", "secret": "demo-secret"}', '600');
SELECT try($$SELECT bill24_get_customer('C0001')$$);
SELECT file('{"token": "00000000-0000-4000-8000-000000000001", "client_id": "demo_client", "secret": "hidden\u0000value"}', '600');
SELECT try($$SELECT bill24_get_customer('C0001')$$);
SELECT file('{"token": "\u0000"}', '600');
SELECT try($$SELECT bill24_get_customer('C0001')$$);
-- what is no file is refused at once (after a while the pipe opens, so that nobody waits for ever)
SET statement_timeout = '1s';
COPY (SELECT) TO PROGRAM 'rm regress_bill24.json; mkfifo -m 600 regress_bill24.json; (sleep 2; : <> regress_bill24.json) </dev/null >/dev/null 2>&1 &';
SELECT try($$SELECT bill24_get_customer('C0001')$$);
COPY (SELECT) TO PROGRAM 'rm regress_bill24.json; mkdir -m 700 regress_bill24.json';
SELECT try($$SELECT bill24_get_customer('C0001')$$);
COPY (SELECT) TO PROGRAM 'rmdir regress_bill24.json; ln -s /dev/zero regress_bill24.json';
SELECT try($$SELECT bill24_get_customer('C0001')$$);
RESET statement_timeout;
COPY (SELECT) TO PROGRAM 'rm regress_bill24.json';
SELECT split_part(try($$SELECT bill24_get_customer('C0001')$$), ':', 1) LIMIT 1;
ALTER USER MAPPING FOR CURRENT_USER SERVER bill24 OPTIONS (SET credentials_file '/');
SELECT split_part(try($$SELECT bill24_get_customer('C0001')$$), ':', 1) LIMIT 1;
ALTER USER MAPPING FOR CURRENT_USER SERVER bill24 OPTIONS (DROP credentials_file, ADD token '00000000-0000-4000-8000-000000000001',
	ADD client_id 'demo_client', ADD secret 'demo-secret');
SELECT name FROM bill24_get_customer('C0001');

DROP FUNCTION customer_name(text);
DROP FUNCTION file(text, text);
DROP FUNCTION checked(text);
DROP FUNCTION try(text);
DROP EXTENSION bill24 CASCADE;
DROP FOREIGN DATA WRAPPER regress_bill24_other CASCADE;
DROP ROLE regress_bill24_one;
DROP ROLE regress_bill24_two;
