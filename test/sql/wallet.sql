--
-- Wallets: balances of one and of many, payment methods, history.
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

-- the balance is this text in the next answer; then what becomes of it
CREATE FUNCTION told(raw text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM bill24_request('POST', '/_sim/fault', jsonb_build_object('kind', 'patch',
		'path', '/instant_payment/get_wallet_balance', 'raw', jsonb_build_object('data.0.balance', raw)));
	RETURN QUERY SELECT try('SELECT balance FROM bill24_get_wallet_balance(''C0001'')');
END $$;
SET client_min_messages = notice;

SELECT sync_code FROM bill24_create_customer('C0001', 'Customer A', wallets =>
	'[{"name": "Riel", "currency": "KHR"}, {"name": "Dollar", "currency": "USD"}]');
SELECT sync_code FROM bill24_create_customer('C0002', 'Customer B', wallets => '[{"name": "កាបូប", "currency": "KHR"}]');
SELECT sync_code FROM bill24_create_customer('C0003', 'Customer C');

-- one customer
SELECT id ~ '^[0-9a-f-]{36}$' AS has_id, name, balance, currency FROM bill24_get_wallet_balance('C0001');
SELECT name, balance, currency FROM bill24_get_wallet_balance('C0002');
SELECT count(*) FROM bill24_get_wallet_balance('C0003');
SELECT (bill24_get_wallet_balance('C0002')).currency;

-- balances are exact
SELECT bill24_request('POST', '/_sim/topup', '{"sync_code": "C0001", "amount": "0.1"}') -> 'balance' AS balance;
SELECT bill24_request('POST', '/_sim/topup', '{"sync_code": "C0001", "amount": "0.2"}') -> 'balance' AS balance;
SELECT currency, balance, balance = 0.3 AS exact FROM bill24_get_wallet_balance('C0001');
SELECT bill24_request('POST', '/_sim/topup', '{"sync_code": "C0001", "currency": "USD", "amount": "0.0000001"}') -> 'balance' AS balance;
SELECT bill24_request('POST', '/_sim/topup', '{"sync_code": "C0002", "amount": "12345678901234567890123456"}') -> 'balance' AS balance;
SELECT currency, balance FROM bill24_get_wallet_balance('C0001');
SELECT currency, balance FROM bill24_get_wallet_balance('C0002');
SELECT bill24_request('POST', '/_sim/topup', '{"sync_code": "C0002", "amount": "0.0000000001"}') -> 'balance' AS balance;
SELECT currency, balance FROM bill24_get_wallet_balance('C0002');
SELECT w.currency, w.balance FROM bill24_get_customer('C0002') c, unnest(c.wallets) w;
SELECT bill24_request('POST', '/_sim/topup', '{"sync_code": "C0002", "amount": "-12345678901234567890122222.0000000001"}') -> 'balance' AS balance;

-- however a number is written
SELECT told('1e-7');
SELECT told('1E+3');
SELECT told('1.50e2');
SELECT told('10.50');
SELECT told('-5.25');
SELECT told('-0');
SELECT told('0.1');
SELECT told('106001');
SELECT told('9007199254740993');
SELECT told('9223372036854775807');
SELECT told('9223372036854775808');
SELECT told('18446744073709551616');
SELECT told('-9223372036854775809');
SELECT told('123456789012345678901234567890');
SELECT told('0.123456789012345678901234567890');
SELECT told('"12.50"');
SELECT told('null');
SELECT told('""');
SELECT length(told('1' || repeat('0', 900)));

-- and what is none
SELECT told('1e400000');
SELECT told('1e-400000');
SELECT told('1' || repeat('0', 2000));
SELECT told('"12.50 KHR"');
SELECT told('"1,234.00"');
SELECT told('" 1"');
SELECT told('"NaN"');
SELECT told('true');
SELECT told('[1]');
SELECT told('{"amount": 1}');
SELECT told('NaN') ~ '^08P01' AS refused LIMIT 1;
SELECT told('Infinity') ~ '^08P01' AS refused LIMIT 1;
SELECT told('01') ~ '^08P01' AS refused LIMIT 1;
SELECT told('1.') ~ '^08P01' AS refused LIMIT 1;
SELECT told('.5') ~ '^08P01' AS refused LIMIT 1;
SELECT told('+1') ~ '^08P01' AS refused LIMIT 1;
SELECT told('0x10') ~ '^08P01' AS refused LIMIT 1;
SELECT told('') ~ '^08P01' AS refused LIMIT 1;

-- who does not exist
SELECT try($$SELECT bill24_get_wallet_balance('NOBODY')$$);
SELECT * FROM bill24_get_wallet_balance('NOBODY', missing_ok => true);
SELECT try($$SELECT bill24_get_wallet_balance(NULL)$$);
SELECT try($$SELECT bill24_get_wallet_balance('')$$);
SELECT try($$SELECT bill24_get_wallet_balance(repeat('x', 51))$$);
SELECT bill24_request('POST', '/_sim/fault', '{"kind": "status", "path": "/instant_payment/get_wallet_balance",
	"status": 404, "body": {"code": "404", "message": "Record not found"}}') ? 'fault' AS asked;
SELECT try($$SELECT bill24_get_wallet_balance('C0001')$$);

-- beside a table
CREATE TABLE customer (code text);
INSERT INTO customer VALUES ('C0001'), ('C0002'), ('C0003'), ('NOBODY');
SELECT c.code, w.currency, w.balance
FROM customer c LEFT JOIN bill24_get_wallet_balance(c.code, missing_ok => true) w ON true
ORDER BY c.code, w.currency;

-- many customers
SELECT sync_code, id IS NOT NULL AS has_id, name, balance, currency, sqlstate, error
FROM bill24_get_wallet_balances(ARRAY(SELECT code FROM customer)) ORDER BY sync_code, currency;
SELECT sync_code, currency, balance FROM bill24_get_wallet_balances('{C0002,C0002,C0001,C0002}') ORDER BY 1, 2;
SELECT sync_code, currency, balance FROM bill24_get_wallet_balances('[5:6]={C0002,C0003}') ORDER BY 1, 2;
SELECT * FROM bill24_get_wallet_balances('{}');
SELECT sync_code, sqlstate, error FROM bill24_get_wallet_balances(ARRAY['', repeat('x', 51), repeat('ខ', 51), 'C0003'])
ORDER BY length(sync_code), sync_code COLLATE "C";
SELECT try($$SELECT bill24_get_wallet_balances(NULL)$$);
SELECT try($$SELECT bill24_get_wallet_balances(ARRAY['C0001', NULL])$$);
SELECT try($$SELECT bill24_get_wallet_balances('{{C0001},{C0002}}')$$);
SELECT try($$SELECT bill24_get_wallet_balances('{C0001}', NULL)$$);
SELECT try($$SELECT bill24_get_wallet_balances('{C0001}', 'no_such_server')$$);

-- each is asked for once, and never more at once than the server allows
SELECT bill24_request('POST', '/_sim/reset') AS reset;
SELECT bill24_request('POST', '/_sim/seed', '{"prefix": "S", "count": 300, "wallets": 2, "balance": "1500.25"}') AS seed;
SELECT bill24_request('POST', '/_sim/config', '{"latency_ms": 2}') -> 'latency_ms' AS latency_ms;
SELECT count(*), count(DISTINCT sync_code), sum(balance), count(sqlstate)
FROM bill24_get_wallet_balances(ARRAY(SELECT 'S' || lpad(i::text, 7, '0') FROM generate_series(1, 300) i));
SELECT s -> 'requests' AS requests, (s ->> 'max_in_flight')::int BETWEEN 2 AND 64 AS in_flight
FROM bill24_request('GET', '/_sim/stats') s;
ALTER SERVER bill24 OPTIONS (ADD max_in_flight '3');
SELECT bill24_request('POST', '/_sim/reset') AS reset;
SELECT bill24_request('POST', '/_sim/seed', '{"prefix": "S", "count": 40, "balance": "7"}') AS seed;
SELECT bill24_request('POST', '/_sim/config', '{"latency_ms": 2}') -> 'latency_ms' AS latency_ms;
SELECT count(*), sum(balance)
FROM bill24_get_wallet_balances(ARRAY(SELECT 'S' || lpad(i::text, 7, '0') FROM generate_series(1, 40) i));
SELECT s -> 'requests' AS requests, (s ->> 'max_in_flight')::int BETWEEN 2 AND 3 AS in_flight
FROM bill24_request('GET', '/_sim/stats') s;
ALTER SERVER bill24 OPTIONS (DROP max_in_flight);
SELECT bill24_request('POST', '/_sim/config', '{"latency_ms": 0}') -> 'latency_ms' AS latency_ms;

-- what goes wrong with one does not concern the others
SELECT count(bill24_request('POST', '/_sim/fault', f || '{"path": "/instant_payment/get_wallet_balance"}')) AS faults
FROM unnest(ARRAY[
	'{"kind": "status", "status": 500, "match": "S0000002"}',
	'{"kind": "status", "status": 429, "match": "S0000003", "retry_after": "7"}',
	'{"kind": "drop_before", "match": "S0000004", "count": -1}',
	'{"kind": "body", "match": "S0000005", "body": "<html>502</html>"}',
	'{"kind": "body", "match": "S0000006", "body": {"code": "000", "data": {}}}',
	'{"kind": "body", "match": "S0000007", "body": {"code": "000", "data": [{"balance": "much"}]}}',
	'{"kind": "body", "match": "S0000008", "body": {"code": "000", "data": [null]}}',
	'{"kind": "body", "match": "S0000009", "body": {"code": "999", "message": "No", "message_kh": "ទេ"}}',
	'{"kind": "body", "match": "S0000010", "body": {"code": "000"}}',
	'{"kind": "unauthorized", "match": "S0000011"}']::jsonb[]) f;
SELECT sync_code, balance, sqlstate, regexp_replace(error, '(unknown: |no answer: | \().*', '\1...') AS error
FROM bill24_get_wallet_balances(ARRAY(SELECT 'S' || lpad(i::text, 7, '0') FROM generate_series(1, 12) i))
ORDER BY sync_code;

SELECT bill24_request('POST', '/_sim/clear_faults') AS cleared;

-- an account that cannot log in is an error, as it concerns all
ALTER USER MAPPING FOR CURRENT_USER SERVER bill24 OPTIONS (SET secret 'another-secret');
SELECT try($$SELECT count(*) FROM bill24_get_wallet_balances('{S0000001,S0000002}')$$);
ALTER USER MAPPING FOR CURRENT_USER SERVER bill24 OPTIONS (SET secret 'demo-secret');
SELECT count(*) FROM bill24_get_wallet_balances('{S0000001,S0000002}');

-- ways to pay
SELECT bill24_request('POST', '/_sim/reset') AS reset;
SELECT sync_code FROM bill24_create_customer('C0001', 'Customer A', wallets =>
	'[{"name": "Riel", "currency": "KHR"}, {"name": "Dollar", "currency": "USD"}]');
SELECT bill24_request('POST', '/_sim/topup', '{"sync_code": "C0001", "amount": 1234}') -> 'balance' AS balance;
SELECT id IS NOT NULL AS has_id, type, name, sub_title, sub_title_kh, token IS NOT NULL AS has_token, is_default, logo
FROM bill24_get_payment_methods('C0001');
SELECT try($$SELECT bill24_get_payment_methods('NOBODY')$$);
SELECT * FROM bill24_get_payment_methods('NOBODY', missing_ok => true);
SELECT try($$SELECT bill24_get_payment_methods('')$$);
SELECT try($$SELECT bill24_get_payment_methods(NULL)$$);

-- history, as the provider answers it
SELECT bill24_request('POST', '/_sim/topup', '{"sync_code": "C0001", "amount": 66}') -> 'balance' AS balance;
SELECT h -> 'pagination' AS pagination, jsonb_array_length(h -> 'histories') AS rows, h #> '{histories,0,amount}' AS amount
FROM bill24_get_wallet_history('C0001') h;
SELECT bill24_request('POST', '/_sim/config', '{"record": true}') -> 'record' AS record;
SELECT bill24_get_wallet_history('C0001') -> 'pagination' AS pagination;
SELECT bill24_get_wallet_history('C0001', 'no such wallet', 'payment', '2025-01-01 10:13:58', '2026-05-12 13:13:58.123456', 2, 10) AS history;
SELECT bill24_get_wallet_history('C0001', wallet_id => NULL, tran_type => NULL, page => NULL, page_size => 1) -> 'pagination' AS pagination;
SELECT r ->> 'body' AS body FROM jsonb_array_elements(bill24_request('GET', '/_sim/requests')) r;
SELECT try($$SELECT bill24_get_wallet_history('C0001', page => -1)$$);
SELECT try($$SELECT bill24_get_wallet_history('C0001', from_time => 'infinity')$$);
SELECT try($$SELECT bill24_get_wallet_history('C0001', to_time => '0001-01-01 BC')$$);
SELECT try($$SELECT bill24_get_wallet_history('NOBODY')$$);

SET client_min_messages = warning;
DROP TABLE customer;
DROP FUNCTION told(text);

DROP FUNCTION try(text);
DROP EXTENSION bill24 CASCADE;
