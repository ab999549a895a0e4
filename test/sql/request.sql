--
-- Requests to any path of the server.
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

-- the whole answer, whatever it is
SELECT sync_code FROM bill24_create_customer('C0001', 'Customer A');
SELECT bill24_request('POST', '/customer/get_customer_detail', '{"sync_code": "C0001"}');
SELECT bill24_request('GET', '/instant_payment/get_bills?from_date=2025-07-01&to_date=2025-07-31') -> 'data' AS data;
SELECT bill24_request('GET', '/bill_payment/C0001/get_bills');
SELECT bill24_request('GET', '/_sim/customers?limit=0');
SELECT jsonb_typeof(bill24_request('GET', '/_sim/config', NULL, 'bill24'));
SELECT bill24_request(path => '/_sim/fault', method => 'GET');

-- what it says comes as it is
CREATE FUNCTION answered(body text) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	PERFORM bill24_request('POST', '/_sim/fault', jsonb_build_object('kind', 'body',
		'path', '/customer/get_customer_detail', 'body', body));
	RETURN bill24_request('POST', '/customer/get_customer_detail', '{}');
END $$;
SELECT answered(b) AS answer, answered(b) = b::jsonb AS same
FROM (VALUES ('{"a": [[], {}, [1, -0, 1.50, 1e5, -2.5E-3, 12345678901234567890123], null, true, false], "": {}}'),
	('{"last": 1, "wins": 2, "last": {"z": "", "k": [[[{"deep": "\u1781\ud83d\ude00"}]]]}}'),
	('{"\u1780": "\t\"\\\/\n", "long": [0.1000000000000000000000000000000000001]}'),
	('[]'), ('{}'), ('[{"a": 1}, 2]'), ('"text"'), ('5.0'), ('true')) AS v(b);
DROP FUNCTION answered(text);

-- methods
SELECT bill24_request('DELETE', '/_sim/fault');
SELECT try($$SELECT bill24_request('PUT', '/customer/create', '{}')$$);
SELECT try($$SELECT bill24_request('PATCH', '/customer/create', '{}')$$);
SELECT try($$SELECT bill24_request('get', '/_sim/stats')$$);
SELECT try($$SELECT bill24_request('HEAD', '/_sim/stats')$$);
SELECT try($$SELECT bill24_request('CONNECT', '/_sim/stats')$$);
SELECT try($$SELECT bill24_request(E'GET /evil HTTP/1.1\r\nX:', '/_sim/stats')$$);
SELECT try($$SELECT bill24_request('', '/_sim/stats')$$);
SELECT try($$SELECT bill24_request(NULL, '/_sim/stats')$$);

-- paths
SELECT try($$SELECT bill24_request('GET', NULL)$$);
SELECT try($$SELECT bill24_request('GET', '')$$);
SELECT try($$SELECT bill24_request('GET', '_sim/stats')$$);
SELECT try($$SELECT bill24_request('GET', '@attacker.example/')$$);
SELECT try($$SELECT bill24_request('GET', ':80/')$$);
SELECT try($$SELECT bill24_request('GET', 'http://attacker.example/')$$);
SELECT try($$SELECT bill24_request('GET', '/a b')$$);
SELECT try($$SELECT bill24_request('GET', E'/a\r\nX-Evil: 1')$$);
SELECT try($$SELECT bill24_request('GET', E'/a\tb')$$);
SELECT try($$SELECT bill24_request('GET', '/a#b')$$);
SELECT try($$SELECT bill24_request('GET', '/a\b')$$);
SELECT try($$SELECT bill24_request('GET', '/ក')$$);
SELECT bill24_request('POST', '/_sim/config', '{"record": true}') -> 'record' AS record;
SELECT split_part(try($$SELECT bill24_request('GET', '//attacker.example/')$$), ':', 1) LIMIT 1;
SELECT split_part(try($$SELECT bill24_request('GET', '/../../etc/passwd')$$), ':', 1) LIMIT 1;
SELECT split_part(try($$SELECT bill24_request('GET', '/%2e%2e/%00?a=%0d%0a')$$), ':', 1) LIMIT 1;
SELECT split_part(try($$SELECT bill24_request('GET', '/{[a-z]}/{a,b}')$$), ':', 1) LIMIT 1;
SELECT split_part(try($$SELECT bill24_request('GET', '/' || repeat('a', 5000))$$), ':', 1) LIMIT 1;

-- bodies are sent as they are, with a GET, too
SELECT split_part(try($$SELECT bill24_request('POST', '/echo', '{"b": 1.50, "a": "ក/\"\\", "c": null}')$$), ':', 1) LIMIT 1;
SELECT split_part(try($$SELECT bill24_request('POST', '/echo', '[1, 2]')$$), ':', 1) LIMIT 1;
SELECT split_part(try($$SELECT bill24_request('POST', '/echo', '"text"')$$), ':', 1) LIMIT 1;
SELECT split_part(try($$SELECT bill24_request('POST', '/echo', 'null')$$), ':', 1) LIMIT 1;
SELECT split_part(try($$SELECT bill24_request('POST', '/echo')$$), ':', 1) LIMIT 1;
SELECT split_part(try($$SELECT bill24_request('GET', '/echo', '{"a": 1}')$$), ':', 1) LIMIT 1;
SELECT split_part(try($$SELECT bill24_request('DELETE', '/echo')$$), ':', 1) LIMIT 1;
-- (libcurl may write an escape in capitals)
SELECT r ->> 'method' AS method, left(replace(r ->> 'url', '%2e', '%2E'), 40) AS url, r ->> 'body' AS body,
	r #>> '{headers,Content-Type}' AS type, r #>> '{headers,Accept}' AS accept, r #>> '{headers,Authorization}' ~ '^Bearer .' AS bearer,
	r #>> '{headers,User-Agent}' ~ '^bill24/[0-9.]+ PostgreSQL/[0-9]' AS agent, r #>> '{headers,Host}' ~ '^127.0.0.1:' AS host
FROM jsonb_array_elements(bill24_request('GET', '/_sim/requests')) r;
SELECT bill24_request('POST', '/_sim/config', '{"record": false}') -> 'record' AS record;

-- a code that is no success is an error; of the codes only those are told apart that are the same everywhere
SELECT try($$SELECT bill24_request('POST', '/customer/get_customer_detail', '{"sync_code": "NOBODY"}')$$);
SELECT try($$SELECT bill24_request('POST', '/customer/create', '{"sync_code": "C0001", "name": "Customer A"}')$$);
SELECT try($$SELECT bill24_request('POST', '/customer/create', '{"sync_code": "C0001"}')$$);
SELECT try($$SELECT bill24_request('GET', '/nowhere')$$);
SELECT try($$SELECT bill24_request('POST', '/nowhere')$$);
SELECT bill24_request('POST', '/_sim/fault', '{"kind": "body", "effect": false, "path": "/a", "body": {"code": 401, "message": "Business"}}') ? 'fault' AS asked;
SELECT try($$SELECT bill24_request('POST', '/a')$$);
SELECT bill24_request('POST', '/_sim/fault', '{"kind": "body", "effect": false, "path": "/a", "body": {"code": "SUCCESS", "data": [{"status": 0}]}}') ? 'fault' AS asked;
SELECT bill24_request('POST', '/a');
-- no envelope, and no content at all
SELECT bill24_request('POST', '/_sim/fault', '{"kind": "body", "effect": false, "path": "/a", "body": "[{\"amount\": 10.50, \"id\": 12345678901234567890123}]"}') ? 'fault' AS asked;
SELECT bill24_request('GET', '/a');
SELECT bill24_request('POST', '/_sim/fault', '{"kind": "body", "effect": false, "path": "/a", "body": "\"text\""}') ? 'fault' AS asked;
SELECT bill24_request('GET', '/a');
SELECT bill24_request('POST', '/_sim/fault', '{"kind": "status", "status": 204, "path": "/a"}') ? 'fault' AS asked;
SELECT try($$SELECT bill24_request('DELETE', '/a')$$);
SELECT bill24_request('POST', '/_sim/fault', '{"kind": "status", "status": 400, "path": "/a", "body": {"error": "bad"}}') ? 'fault' AS asked;
SELECT try($$SELECT bill24_request('POST', '/a')$$);
SELECT bill24_request('POST', '/_sim/fault', '{"kind": "body", "effect": false, "path": "/a", "body": "[1e400000]"}') ? 'fault' AS asked;
SELECT try($$SELECT bill24_request('POST', '/a')$$);
SELECT bill24_request('POST', '/_sim/fault', '{"kind": "drop_after", "path": "/a"}') ? 'fault' AS asked;
SELECT regexp_replace(try($$SELECT bill24_request('POST', '/a')$$), '(unknown: ).*', '\1...');

-- not for everybody
CREATE ROLE regress_bill24_user;
GRANT USAGE ON FOREIGN SERVER bill24 TO regress_bill24_user;
CREATE USER MAPPING FOR regress_bill24_user SERVER bill24 OPTIONS (
	token '00000000-0000-4000-8000-000000000001', client_id 'demo_client', secret 'demo-secret');
SET ROLE regress_bill24_user;
SELECT try($$SELECT bill24_request('GET', '/_sim/stats')$$);
SELECT name FROM bill24_get_customer('C0001');
RESET ROLE;
GRANT EXECUTE ON FUNCTION bill24_request(text, text, jsonb, name) TO regress_bill24_user;
SET ROLE regress_bill24_user;
SELECT jsonb_typeof(bill24_request('GET', '/_sim/stats'));
RESET ROLE;
SET client_min_messages = warning;

DROP FUNCTION try(text);
DROP EXTENSION bill24 CASCADE;
DROP ROLE regress_bill24_user;
