--
-- Customers: create, get, update, delete.
--
\pset format unaligned
\pset null '(null)'
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS bill24 CASCADE;
CREATE EXTENSION bill24;
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

SET client_min_messages = notice;

-- only what is required
SELECT id ~ '^[0-9a-f-]{36}$' AS has_id, sync_code, name, name_kh, phone, email, wallets
FROM bill24_create_customer('C0001', 'Customer A');

-- everything
SELECT id ~ '^[0-9a-f-]{36}$' AS has_id, sync_code, name, name_kh, phone, email, wallets
FROM bill24_create_customer('C0002', 'Customer B', 'អតិថិជន ខ', '010 795 790', 'b@example.com',
	'[{"name": "Riel", "currency": "KHR"}, {"name": "Dollar", "currency": "USD"}]');

-- by names, and the wallets as rows
SELECT c.sync_code, c.phone, w.*
FROM bill24_create_customer(sync_code => 'C0003', name => 'Customer C', phone => '081991210/077881701',
	wallets => '[{"name": "Riel", "currency": "KHR"}]') c, unnest(c.wallets) w;

-- empty lists, and JSON null
SELECT wallets FROM bill24_create_customer('C0004', 'Customer D', wallets => '[]');
SELECT wallets FROM bill24_create_customer('C0005', 'Customer E', wallets => 'null');

-- names need not be unique
SELECT sync_code, name FROM bill24_create_customer('C0006', 'Customer A');

-- as many as there are rows
SELECT c.sync_code, c.name
FROM generate_series(1, 3) i, bill24_create_customer('MANY' || i, 'Customer ' || i) c
ORDER BY 1;

-- what exists is an error
SELECT try($$SELECT bill24_create_customer('C0001', 'Another')$$);
SELECT name FROM bill24_get_customer('C0001');

-- a customer with its wallets; this operation does not tell the id
SELECT * FROM bill24_get_customer('C0001');
SELECT c.id, c.sync_code, c.name, c.name_kh, c.phone, c.email,
	w.id ~ '^[0-9a-f-]{36}$' AS wallet_has_id, w.name, w.balance, w.currency
FROM bill24_get_customer('C0002') c, unnest(c.wallets) w;
SELECT (bill24_get_customer('C0002')).name_kh = 'អតិថិជន ខ' AS same;

-- what does not exist is an error, unless that is asked for
SELECT try($$SELECT bill24_get_customer('NOBODY')$$);
SELECT try($$SELECT bill24_get_customer('NOBODY', missing_ok => false)$$);
SELECT try($$SELECT bill24_get_customer('NOBODY', missing_ok => NULL)$$);
SELECT bill24_get_customer('NOBODY', missing_ok => true) IS NULL AS missing;
SELECT * FROM bill24_get_customer('NOBODY', missing_ok => true);
SELECT (bill24_get_customer('C0001', missing_ok => true)).name;

-- only what is not NULL is sent, and changed
SELECT (bill24_request('POST', '/_sim/config', '{"record": true}')) -> 'record' AS record;
SELECT sync_code, name, name_kh, phone, email, wallets
FROM bill24_update_customer('C0002', phone => '0122558963');
SELECT sync_code, name, name_kh, phone, email
FROM bill24_update_customer('C0002', 'Updated', 'អតិថិជន គ', '', 'new@example.com');
SELECT sync_code, name, name_kh, phone, email FROM bill24_update_customer('C0002');
SELECT r ->> 'method' AS method, r ->> 'url' AS url, r ->> 'body' AS body
FROM jsonb_array_elements(bill24_request('GET', '/_sim/requests')) r;
SELECT name, name_kh, phone, email FROM bill24_get_customer('C0002');
SELECT try($$SELECT bill24_update_customer('NOBODY', 'Name')$$);

-- deleting
SELECT * FROM bill24_delete_customer('C0001');
SELECT try($$SELECT bill24_get_customer('C0001')$$);
SELECT try($$SELECT bill24_delete_customer('C0001')$$);
SELECT sync_code FROM bill24_create_customer('C0001', 'Customer A again');

-- not while there is money
SELECT bill24_request('POST', '/_sim/topup', '{"sync_code": "C0002", "currency": "USD", "amount": "0.01"}');
SELECT try($$SELECT bill24_delete_customer('C0002')$$);
SELECT bill24_request('POST', '/_sim/topup', '{"sync_code": "C0002", "currency": "USD", "amount": "-0.01"}');
SELECT code FROM bill24_delete_customer('C0002');

-- the provider's own rules
SELECT try($$SELECT bill24_create_customer('R0001', 'Rule', email => 'not an address')$$);
SELECT try($$SELECT bill24_create_customer('R0001', 'Rule', email => '@', wallets => '[{"name": "W"}, {"currency": "KHR"}]')$$);
SELECT try($$SELECT bill24_create_customer('R0001', 'Rule', wallets => '{"name": "W", "currency": "KHR"}')$$);
SELECT try($$SELECT bill24_create_customer('R0001', 'Rule', wallets => '["KHR"]')$$);
SELECT try($$SELECT bill24_create_customer('R0001', 'Rule', wallets =>
	'[{"name": "1", "currency": "KHR"}, {"name": "2", "currency": "USD"}, {"name": "3", "currency": "KHR"}]')$$);
SELECT bill24_get_customer('R0001', missing_ok => true) IS NULL AS missing;

-- what needs no provider to be refused; counted below
SELECT bill24_request('POST', '/_sim/reset') AS reset;
SELECT try($$SELECT bill24_create_customer(NULL, 'Name')$$);
SELECT try($$SELECT bill24_create_customer('', 'Name')$$);
SELECT try($$SELECT bill24_create_customer('L0001', NULL)$$);
SELECT try($$SELECT bill24_create_customer('L0001', '')$$);
SELECT try($$SELECT bill24_create_customer('L0001', 'Name', server => NULL)$$);
SELECT try($$SELECT bill24_get_customer(NULL)$$);
SELECT try($$SELECT bill24_get_customer('')$$);
SELECT try($$SELECT bill24_get_customer(NULL, missing_ok => true)$$);
SELECT try($$SELECT bill24_update_customer(NULL, 'Name')$$);
SELECT try($$SELECT bill24_delete_customer(NULL)$$);
SELECT try($$SELECT bill24_create_customer(repeat('x', 51), 'Name')$$);
SELECT try($$SELECT bill24_create_customer(repeat('ក', 51), 'Name')$$);
SELECT try($$SELECT bill24_get_customer(repeat('x', 51))$$);
SELECT try($$SELECT bill24_update_customer(repeat('x', 51), 'Name')$$);
SELECT try($$SELECT bill24_delete_customer(repeat('x', 100000))$$);
SELECT bill24_request('GET', '/_sim/stats') -> 'requests' AS requests;

-- the limit is in characters
SELECT sync_code = repeat('x', 50) AS same FROM bill24_create_customer(repeat('x', 50), 'Name');
SELECT sync_code = repeat('ក', 50) AS same FROM bill24_create_customer(repeat('ក', 50), 'Name');
SELECT sync_code = repeat('ក', 50) AS same FROM bill24_get_customer(repeat('ក', 50));
SELECT sync_code = repeat('😀', 50) AS same FROM bill24_create_customer(repeat('😀', 50), 'Name');
SELECT count(*) FROM bill24_get_payment_methods(repeat('😀', 50));

-- any text goes there and back, also where it is a part of the path
CREATE TABLE texts (n int PRIMARY KEY GENERATED ALWAYS AS IDENTITY, t text);
INSERT INTO texts (t) VALUES ('a/b'), ('.'), ('..'), ('...'), ('../..'), ('?'), ('a?b=c'), ('%'), ('%2F'), ('%2e%2e'),
	(' '), (' a b '), ('+'), ('&'), ('='), ('#'), (';'), (':'), ('@'), ('//'), ('/'), ('\'), ('a\nb'), ('"'), (''''),
	(E'a\nb'), (E'\r\n'), (E'\t'), (E'\x01'), (E'\x7f'), ('{sync_code}'), ('{}'), ('[]'), ('null'), ('true'), ('0'),
	('1e5'), ('<b>'), ('ក/ខ'), ('😀'), ('é'), (E'e\u0301'), (U&'\200B'), (U&'\FEFF'), (U&'\2028'), (U&'\FFFF'),
	('\u0041'), ('$1'), ('%s%n'), ('../../_sim/reset'), ('a/get_payment_methods?');
SELECT count(*), count(DISTINCT t) FROM texts;
SELECT n, t FROM texts
WHERE ROW(t, 'Name of ' || t) IS DISTINCT FROM (
	SELECT ROW(c.sync_code, c.name) FROM bill24_create_customer(t, 'Name of ' || t,
		wallets => '[{"name": "W", "currency": "KHR"}]') c);
SELECT n, t FROM texts
WHERE ROW(t, 'Name of ' || t) IS DISTINCT FROM (
	SELECT ROW(c.sync_code, c.name) FROM bill24_get_customer(t) c);
SELECT n, t FROM texts
WHERE 1 IS DISTINCT FROM (SELECT count(*) FROM bill24_get_payment_methods(t) m WHERE m.type = 'wallet');
SELECT n, t FROM texts
WHERE 1 IS DISTINCT FROM (SELECT count(*) FROM bill24_get_wallet_balance(t));
SELECT n, t FROM texts
WHERE ROW(t, t, t, t) IS DISTINCT FROM (
	SELECT ROW(c.name, c.name_kh, c.phone, c.email)
	FROM bill24_update_customer(t, t, t, t, 'a@b') u, bill24_get_customer(t) g,
		LATERAL (SELECT g.name, g.name_kh, g.phone, CASE g.email WHEN 'a@b' THEN t END AS email) c);
SELECT n, t FROM texts WHERE '000' IS DISTINCT FROM (SELECT code FROM bill24_delete_customer(t));
SELECT n, t FROM texts WHERE (bill24_get_customer(t, missing_ok => true)).sync_code IS NOT NULL;

-- long texts
SELECT length(name), name = repeat('ខ"\', 100000) AS same
FROM bill24_create_customer('LONG', repeat('ខ"\', 100000));
SELECT length(name), name = repeat('ខ"\', 100000) AS same FROM bill24_get_customer('LONG');

-- a call has happened, also if its transaction then has not
BEGIN;
SELECT sync_code FROM bill24_create_customer('ROLLED', 'Back');
ROLLBACK;
SELECT sync_code, name FROM bill24_get_customer('ROLLED');

-- an error leaves nothing behind
BEGIN;
SAVEPOINT s;
SELECT bill24_get_customer('NOBODY');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT name FROM bill24_get_customer('ROLLED');
COMMIT;

-- a read-only transaction is about the database, and allows calls
BEGIN READ ONLY;
SELECT name FROM bill24_get_customer('ROLLED');
COMMIT;

SELECT bill24_request('GET', '/_sim/effects?key=ROLLED') AS effects;
SELECT bill24_request('GET', '/_sim/effects?key=LONG') AS effects;
SET client_min_messages = warning;
DROP TABLE texts;

DROP FUNCTION try(text);
DROP EXTENSION bill24 CASCADE;
