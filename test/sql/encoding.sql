--
-- Databases in other encodings than UTF-8, which is what goes over the wire.
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

SELECT current_database() AS utf8_database \gset
CREATE DATABASE regress_bill24_latin1 TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C';
CREATE DATABASE regress_bill24_ascii TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C';
SELECT sync_code FROM bill24_create_customer('KHMER', 'អតិថិជន', 'អតិថិជន', wallets => '[{"name": "Riel", "currency": "KHR"}]');
SELECT bill24_request('POST', '/_sim/topup', '{"sync_code": "KHMER", "amount": 1000}') -> 'balance' AS balance;
DROP EXTENSION bill24 CASCADE;

\c regress_bill24_latin1
SET client_min_messages = warning;
CREATE EXTENSION bill24;
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

SHOW server_encoding;
-- what can be converted is
SELECT sync_code, name, email FROM bill24_create_customer('Café', 'Müller & Søn ÿ', email => 'é@example.com',
	wallets => '[{"name": "Geldbörse", "currency": "KHR"}]');
SELECT c.sync_code, c.name, w.name FROM bill24_get_customer('Café') c, unnest(c.wallets) w;
SELECT count(*) FROM bill24_get_wallet_balance('Café');
SELECT sync_code, name FROM bill24_get_wallet_balances('{Café}');
SELECT substring(bill24_preview('get_payment_methods', '{"sync_code": "Café"}') ->> 'url' FROM '/instant.*') AS url;
SELECT bill24_preview('create_customer', '{"sync_code": "Café", "name": "Müller", "wallets": [{"name": "Börse"}]}') ->> 'body' AS body;
SELECT bill24_request('POST', '/_sim/set_customer', '{"sync_code": "Café", "name": "À bientôt"}');
SELECT name FROM bill24_get_customer('Café');
SELECT jsonb_typeof(bill24_request('GET', '/_sim/customers?from=Caf%C3%A9&limit=1')) AS type;
-- the limit is in characters
SELECT length(sync_code) FROM bill24_create_customer(repeat('é', 50), 'Name');
SELECT try($$SELECT bill24_create_customer(repeat('é', 51), 'Name')$$);
-- what cannot be is an error where nothing is lost by it
SELECT split_part(try($$SELECT bill24_get_customer('KHMER')$$), ':', 1) LIMIT 1;
SELECT split_part(try($$SELECT bill24_get_payment_methods('Café')$$), ':', 1) LIMIT 1;
SELECT split_part(try($$SELECT bill24_get_available_banks()$$), ':', 1) LIMIT 1;
SELECT name, balance FROM bill24_get_wallet_balance('KHMER');
-- and never hides that something was done
SELECT * FROM bill24_settle_payment('R0001', 'KHMER', 100, 'KHR', 'ST001', '2025-11-20', '2099-12-31');
SELECT sync_code, name, name_kh, phone FROM bill24_update_customer('KHMER', phone => '010');
SELECT * FROM bill24_delete_customer('Café');
SELECT bill24_request('GET', '/_sim/effects?key=R0001') -> 'charges' AS charges;
SELECT bill24_request('POST', '/customer/update', '{"sync_code": "KHMER", "phone": "011"}') IS NULL AS untold;
-- messages are written in other words rather than lost
SELECT try($$SELECT bill24_get_customer('NOBODY')$$);
SELECT try($$SELECT bill24_settle_payment('R0001', 'KHMER', 100, 'KHR', 'ST001', '2025-11-20', '2099-12-31')$$);
SELECT sync_code, sqlstate, error FROM bill24_get_wallet_balances('{NOBODY}');

\c regress_bill24_ascii
SET client_min_messages = warning;
CREATE EXTENSION bill24;
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

SHOW server_encoding;
-- bytes are taken for UTF-8, and refused if they are none
SELECT sync_code, name FROM bill24_create_customer('ក', 'អតិថិជន ក');
SELECT sync_code, name, octet_length(name) FROM bill24_get_customer('ក');
SELECT name FROM bill24_get_customer('KHMER');
SELECT sync_code FROM bill24_get_wallet_balances('{ក}');
SELECT split_part(try($$SELECT bill24_get_customer(E'\xe9')$$), ':', 1) LIMIT 1;
SELECT split_part(try($$SELECT bill24_create_customer('BYTES', E'M\xfcller')$$), ':', 1) LIMIT 1;
SELECT split_part(try($$SELECT bill24_update_customer('KHMER', name => E'\xe1\x9e')$$), ':', 1) LIMIT 1;
SELECT sqlstate, error FROM bill24_get_wallet_balances(ARRAY[E'\xe9', 'BYTES']);
SELECT bill24_get_customer('BYTES', missing_ok => true) IS NULL AS missing;
-- the limit is in characters of what is sent
SELECT octet_length(sync_code) FROM bill24_create_customer(repeat('ក', 50), 'Name');
SELECT split_part(try($$SELECT bill24_create_customer(repeat('ក', 51), 'Name')$$), ':', 1) LIMIT 1;
SELECT * FROM bill24_delete_customer('ក');
SELECT bill_status FROM bill24_settle_payment('R0002', 'KHMER', 100, 'KHR', 'ST001', '2025-11-20', '2099-12-31', 'វិក្កយបត្រ');
SELECT description FROM bill24_get_bill('R0002');
SELECT try($$SELECT bill24_get_customer('NOBODY')$$);

\c :utf8_database
DROP DATABASE regress_bill24_latin1;
DROP DATABASE regress_bill24_ascii;
