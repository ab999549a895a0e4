--
-- Errors: every kind of answer that is none, and every SQLSTATE.
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

-- hits the next request to the path by a fault, sends one, and tells what came
-- of it; the words of libraries are masked
CREATE FUNCTION reading(fault jsonb) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM bill24_request('POST', '/_sim/fault', '{"path": "/customer/get_customer_detail"}' || fault);
	RETURN QUERY SELECT regexp_replace(t, '(unknown: |no answer: |connect: |not JSON: ).*?( \(HTTP|$)', '\1...\2')
		FROM try('SELECT bill24_get_customer(''C0001'')') t;
END $$;
CREATE FUNCTION changing(fault jsonb) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM bill24_request('POST', '/_sim/fault', '{"path": "/customer/update"}' || fault);
	RETURN QUERY SELECT regexp_replace(t, '(unknown: |no answer: |connect: |not JSON: ).*?( \(HTTP|$)', '\1...\2')
		FROM try('SELECT bill24_update_customer(''C0001'', ''Customer A'')') t;
END $$;
SET client_min_messages = notice;
SELECT sync_code FROM bill24_create_customer('C0001', 'Customer A', wallets => '[{"name": "Riel", "currency": "KHR"}]');

-- HTTP statuses
SELECT reading('{"kind": "status", "status": 500}');
SELECT changing('{"kind": "status", "status": 500}');
SELECT reading('{"kind": "status", "status": 500, "body": {"code": "999", "message": "Something broke", "message_kh": "ខូច"}}');
SELECT reading('{"kind": "status", "status": 500, "body": {"code": "000", "message": "Success", "data": {"name": "Not this"}}}');
SELECT reading('{"kind": "status", "status": 502, "body": "<html><body>Bad Gateway</body></html>", "content_type": "text/html"}');
SELECT changing('{"kind": "status", "status": 504}');
SELECT changing('{"kind": "status", "status": 429, "retry_after": "7"}');
SELECT reading('{"kind": "status", "status": 429}');
SELECT reading('{"kind": "status", "status": 429, "retry_after": "soon", "body": {"code": "429", "message": "Too many"}}');
SELECT reading('{"kind": "status", "status": 400}');
SELECT changing('{"kind": "status", "status": 400, "body": {"code": "ERR_MISSED_FIELD", "message": "Please provide [sync_code]."}}');
SELECT reading('{"kind": "status", "status": 403, "body": "<html>Forbidden</html>"}');
SELECT reading('{"kind": "status", "status": 404, "body": {"code": "311", "message": "Customer not found"}}');
SELECT reading('{"kind": "status", "status": 404, "body": {"title": "Not Found"}}');
SELECT reading('{"kind": "status", "status": 404, "body": {"code": "000", "data": {"name": "Not this"}}}');
SELECT reading('{"kind": "status", "status": 204}');
SELECT reading('{"kind": "status", "status": 301, "headers": {"Location": "/customer/create"}}');
SELECT changing('{"kind": "status", "status": 302, "headers": {"Location": "http://example.com/"}, "body": "<html>moved</html>"}');
SELECT reading('{"kind": "status", "status": 307, "headers": {"Location": "//example.com/"}, "body": {"code": "000", "data": {}}}');
SELECT reading('{"kind": "unauthorized", "count": 2}');
SELECT changing('{"kind": "status", "status": 401, "count": 2, "body": {"code": "401", "message": "Unauthorized"}}');

-- bodies that are no answer
SELECT reading('{"kind": "body", "body": ""}');
SELECT changing('{"kind": "body", "body": ""}');
SELECT reading('{"kind": "body", "body": "   "}');
SELECT reading('{"kind": "body", "body": "<!DOCTYPE html><html></html>"}');
SELECT reading('{"kind": "body", "body": "Service unavailable"}');
SELECT reading('{"kind": "garbage"}') ~ '^08P01: ' AS refused LIMIT 1;
SELECT reading('{"kind": "body", "body": "null"}');
SELECT reading('{"kind": "body", "body": "true"}');
SELECT reading('{"kind": "body", "body": "[]"}');
SELECT reading('{"kind": "body", "body": "\"000\""}');
SELECT reading('{"kind": "body", "body": "{}"}');
SELECT reading('{"kind": "body", "body": "{\"code\":\"000\",\"data\":{\"name\":\"Brea"}');
SELECT changing('{"kind": "body", "body": "{\"code\":\"000\",\"data\":{\"name\":\"Brea"}');
SELECT reading('{"kind": "body", "body": "{\"code\":\"000\",\"data\":{}} and more"}');
SELECT reading('{"kind": "body", "body": "{''code'':''000'',''data'':{}}"}');
SELECT reading('{"kind": "body", "body": "{\"code\":\"000\",\"data\":{\"name\":1e}}"}');
-- a NUL byte, bytes that are no UTF-8, a byte order mark
SELECT reading('{"kind": "body", "body_base64": "eyJjb2RlIjoiMDAwIiwiZGF0YSI6eyJzeW5jX2NvZGUiOiJDMDAwMSIsIm5hbWUiOiIAIn19"}');
SELECT reading('{"kind": "body", "body_base64": "eyJjb2RlIjoiMDAwIiwiZGF0YSI6eyJzeW5jX2NvZGUiOiJDMDAwMSIsIm5hbWUiOiL//iJ9fQ=="}');
SELECT reading('{"kind": "body", "body_base64": "eyJjb2RlIjoiMzExIiwibWVzc2FnZSI6IuGeIn0="}');
SELECT reading('{"kind": "body", "body_base64": "77u/eyJjb2RlIjoiMDAwIiwiZGF0YSI6eyJzeW5jX2NvZGUiOiJDMDAwMSIsIm5hbWUiOiJCT00ifX0="}');
-- the same NUL as an escape, and half a surrogate pair
SELECT reading('{"kind": "body", "body": "{\"code\":\"000\",\"data\":{\"name\":\"a\\u0000b\"}}"}');
SELECT reading('{"kind": "body", "body": "{\"code\":\"000\",\"data\":{\"sync_code\":\"C0001\",\"name\":\"\\ud83d\\ude00\"}}"}');
SELECT count(*) > 0 AS told FROM reading('{"kind": "body", "body": "{\"code\":\"000\",\"data\":{\"name\":\"\\ud83d\"}}"}');
-- too deep
SELECT reading(jsonb_build_object('kind', 'body', 'body', '{"code":"000","data":' || repeat('[', 100000)));
SELECT reading(jsonb_build_object('kind', 'body', 'body', '{"code":"000","data":{"x":' || repeat('[', 40) || repeat(']', 40) || '}}'));

-- answers of the wrong shape
SELECT reading('{"kind": "body", "body": {"code": null, "data": {}}}');
SELECT reading('{"kind": "body", "body": {"code": ["000"], "data": {}}}');
SELECT reading('{"kind": "body", "body": {"code": true, "data": {}}}');
SELECT reading('{"kind": "body", "body": {"code": "000"}}');
SELECT changing('{"kind": "body", "body": {"code": "000"}}');
SELECT reading('{"kind": "body", "body": {"code": "000", "data": null}}');
SELECT reading('{"kind": "body", "body": {"code": "000", "data": []}}');
SELECT changing('{"kind": "body", "body": {"code": "000", "data": []}}');
SELECT reading('{"kind": "body", "body": {"code": "000", "data": "C0001"}}');
SELECT reading('{"kind": "patch", "set": {"data.name": {"en": "A"}}}');
SELECT reading('{"kind": "patch", "set": {"data.name": ["A"]}}');
SELECT changing('{"kind": "patch", "set": {"data.email": {"a": "b"}}}');
SELECT reading('{"kind": "patch", "set": {"data.walletBalances": {}}}');
SELECT reading('{"kind": "patch", "set": {"data.walletBalances": [1]}}');
SELECT reading('{"kind": "patch", "set": {"data.walletBalances.0.balance": "much"}}');
SELECT reading('{"kind": "patch", "set": {"data.sync_code": "C0002"}}');
-- lenient where nothing can be mistaken
SELECT reading('{"kind": "patch", "set": {"data.name": 7, "data.email": true, "data.phone": null, "data.new": {"x": [1]}, "new": 1}, "remove": ["data.name_kh", "message", "data.walletBalances.0.id"]}');
SELECT reading('{"kind": "patch", "set": {"code": "SUCCESS"}}') ~ '^fine: ' AS good;
SELECT reading('{"kind": "patch", "set": {"code": "0000"}}');
SELECT reading('{"kind": "patch", "raw": {"code": "000"}}') ~ '^08P01: ' AS refused LIMIT 1;

-- numbers that no computer has
SELECT reading('{"kind": "patch", "raw": {"data.walletBalances.0.balance": "1e400000"}}');
SELECT reading('{"kind": "patch", "raw": {"data.walletBalances.0.balance": "123456789012345678901234567890"}}') ~ '123456789012345678901234567890' AS good;
SELECT reading('{"kind": "patch", "raw": {"data.unknown": "1e400000"}}') ~ '^fine: ' AS good;

-- connections that break
SELECT changing('{"kind": "drop_before"}');
SELECT changing('{"kind": "drop_after"}');
SELECT changing('{"kind": "reset_after"}');
SELECT changing('{"kind": "half_body"}');
SELECT reading('{"kind": "drop_before", "count": -1}');
SELECT bill24_request('POST', '/_sim/clear_faults') AS cleared;
SELECT reading('{"kind": "half_body"}');

-- answers without end, and smaller than they are
SELECT reading('{"kind": "huge", "bytes": 104857600}');
SELECT changing('{"kind": "huge", "bytes": 104857600}');
SELECT reading('{"kind": "endless"}');
SELECT reading('{"kind": "huge", "bytes": 1073741824, "gzip": true}');
SELECT reading('{"kind": "body", "body_base64": "H4sIZ2FyYmFnZQ==", "headers": {"Content-Encoding": "gzip"}}') ~ '^08P01: ' AS refused LIMIT 1;
SELECT reading('{"kind": "gzip"}') ~ '^fine: ' AS good;
ALTER SERVER bill24 OPTIONS (ADD max_response_size '1kB');
SELECT reading('{"kind": "huge", "bytes": 1024}');
SELECT reading('{"kind": "huge", "bytes": 900}');
ALTER SERVER bill24 OPTIONS (DROP max_response_size);

-- an answer that never comes
ALTER SERVER bill24 OPTIONS (ADD request_timeout '100ms');
SELECT reading('{"kind": "hang"}');
SELECT changing('{"kind": "hang"}');
SELECT reading('{"kind": "slow_body", "ms": 60}');
ALTER SERVER bill24 OPTIONS (DROP request_timeout);
SELECT bill24_request('POST', '/_sim/clear_faults') AS cleared;

-- nobody there, and somebody who does not speak TLS
\set port `echo "$B24SIM_PORT"`
SELECT 'https://127.0.0.1:' || :'port' AS tls_url \gset
CREATE SERVER nobody FOREIGN DATA WRAPPER bill24 OPTIONS (base_url 'http://127.0.0.1:1', allow_http 'true', mirror 'false');
CREATE USER MAPPING FOR CURRENT_USER SERVER nobody OPTIONS (token 'a', client_id 'b', secret 'c');
CREATE SERVER tls FOREIGN DATA WRAPPER bill24 OPTIONS (base_url :'tls_url');
CREATE USER MAPPING FOR CURRENT_USER SERVER tls OPTIONS (token 'a', client_id 'b', secret 'c');
SELECT regexp_replace(try($$SELECT bill24_create_customer('C0002', 'Customer B', server => 'nobody')$$), '(log in: ).*', '\1...');
SELECT regexp_replace(try($$SELECT bill24_get_customer('C0002', 'tls')$$), '(log in: ).*', '\1...');

-- what the provider can say
SELECT try($$SELECT bill24_get_customer('NOBODY')$$);
SELECT try($$SELECT bill24_create_customer('C0001', 'Customer A')$$);
SELECT changing('{"kind": "body", "effect": false, "body": {"code": "777", "message": "Unheard of", "message_kh": "មិនធ្លាប់ឮ"}}');
SELECT changing('{"kind": "body", "effect": false, "body": {"code": 777}}');
SELECT changing('{"kind": "body", "effect": false, "body": {"code": "ERR_MISSED_FIELD", "message": "Same", "message_kh": "Same"}}');
SELECT changing('{"kind": "body", "effect": false, "body": {"code": "511", "message": " Padded. ", "message_kh": " ខ្មែរ "}}');
SELECT changing('{"kind": "body", "effect": false, "body": {"code": "511", "message": "two\nlines\tand \u0007 a bell", "message_kh": ""}}');
SELECT max(length(t)) BETWEEN 600 AND 800 AS shortened FROM changing(jsonb_build_object('kind', 'body', 'effect', false,
	'body', jsonb_build_object('code', repeat('9', 100), 'message', repeat('long ', 1000)))) t;

-- secrets that a provider repeats are not shown
SELECT changing('{"kind": "body", "effect": false, "body": {"code": "999",
	"message": "demo_client, demo-secret, demo-hash-token and 00000000-0000-4000-8000-000000000001"}}');

SELECT changing(jsonb_build_object('kind', 'body', 'effect', false, 'body',
	jsonb_build_object('code', '999', 'message', 'token ' || repeat('eyJhbGciOi.', 20) || ' is wrong')));

-- nor where the text is cut: not at the end of a long message, and not in a code that is none
SELECT t LIKE '%...%' AS shortened, t ~ 'demo-(s|h)|demo_c|00000000-' AS shown FROM generate_series(570, 605) n, LATERAL (
	SELECT string_agg(t, E'\n') AS t FROM changing(jsonb_build_object('kind', 'body', 'effect', false,
		'body', jsonb_build_object('code', '999', 'message', repeat('a ', n / 2) || left(' ', n % 2) || 'demo-secret and more'))) t) c
GROUP BY 1, 2 ORDER BY 1;
SELECT changing('{"kind": "body", "effect": false, "body": {"code": "code-of-27-characters-demo-secret", "message": "Long code"}}');
SELECT changing(jsonb_build_object('kind', 'body', 'effect', false, 'body', jsonb_build_object('code', repeat('9', 40), 'message', 'Long code')));
SELECT changing('{"kind": "body", "effect": false, "body": {"code": "00000000-0000-4000-8000-000000000001", "message": "Long code"}}');
SELECT changing('{"kind": "body", "effect": false, "body": "{\"code\": 1234567890123456789012345678901234567890, \"message\": \"Long code\"}"}');
SELECT changing('{"kind": "body", "effect": false, "body": "{\"code\": \"000\\u0000\", \"message\": \"No code\", \"data\": {}}"}');
SELECT changing('{"kind": "body", "effect": false, "body": "{\"code\": \"\\u0000\", \"message\": \"No code\", \"data\": {}}"}');
SELECT reading('{"kind": "body", "body": "{\"code\": \"SUCCESS\\u0000SUCCESS\", \"message\": \"No code\", \"data\": {\"name\": \"Not this\"}}"}');
-- the longest code that is shown, and the first that is not
SELECT substring(t FROM 'code (9*)') IS NOT NULL AS shown, min(n), max(n) FROM generate_series(1, 60) n, LATERAL (
	SELECT string_agg(t, E'\n') AS t FROM changing(jsonb_build_object('kind', 'body', 'effect', false,
		'body', jsonb_build_object('code', repeat('9', n), 'message', 'Long code'))) t) c
GROUP BY 1 ORDER BY 1 DESC;
-- the same in a refused login
CREATE SERVER refusing FOREIGN DATA WRAPPER bill24 OPTIONS (base_url :'url', allow_http 'true', mirror 'false');
CREATE USER MAPPING FOR CURRENT_USER SERVER refusing OPTIONS (
	token '00000000-0000-4000-8000-000000000002', client_id 'another_client', secret 'another-secret');
SELECT bill24_request('POST', '/_sim/fault', '{"path": "/merchantsecurity/authorize", "match": "another", "kind": "body", "effect": false,
	"body": {"code": "code-of-27-characters-another-secret", "message": "another-secret and another_client"}}') IS NOT NULL AS asked;
SELECT try($$SELECT bill24_get_customer('C0001', 'refusing')$$);

-- a secret of nothing but what takes its place
SET statement_timeout = '5s';
CREATE SERVER asterisks FOREIGN DATA WRAPPER bill24 OPTIONS (base_url :'url', allow_http 'true', mirror 'false');
CREATE USER MAPPING FOR CURRENT_USER SERVER asterisks OPTIONS (
	token '00000000-0000-4000-8000-000000000001', client_id 'demo_client', secret 'demo-secret', hash_token '******');
SELECT bill24_request('POST', '/_sim/fault', '{"path": "/customer/update", "kind": "body", "effect": false,
	"body": {"code": "999", "message": "***************** and demo-secret"}}') IS NOT NULL AS asked;
SELECT try($$SELECT bill24_update_customer('C0001', 'Customer A', server => 'asterisks')$$);
RESET statement_timeout;
SET client_min_messages = warning;
DROP SERVER refusing CASCADE;
DROP SERVER asterisks CASCADE;
SET client_min_messages = notice;

-- long numbers where a text belongs keep their digits, in a document as well
CREATE FUNCTION told_as_id(number text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM bill24_request('POST', '/_sim/fault', jsonb_build_object('path', '/customer/get_customer_detail',
		'kind', 'patch', 'raw', jsonb_build_object('data.id', number)));
	RETURN (bill24_get_customer('C0001')).id;
END $$;
CREATE FUNCTION told_in_document(number text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM bill24_request('POST', '/_sim/fault', jsonb_build_object('path', '/document', 'kind', 'body', 'effect', false,
		'body', format('{"code": "000", "data": [%s, {"id": %s}]}', number, number)));
	RETURN (SELECT concat_ws(' ', d #>> '{data,0}', d #>> '{data,1,id}') FROM bill24_request('GET', '/document') d);
END $$;
SELECT n AS number, told_as_id(n) = n AS text, told_in_document(n) = n || ' ' || n AS document
FROM unnest('{1, 999999999999999999, 1000000000000000000, 1234567890123456789, -1234567890123456789, 9223372036854775807, 9223372036854775808,
	-9223372036854775808, -9223372036854775809, 9999999999999999999, 12345678901234567890, 18446744073709551615, 18446744073709551616,
	12345678901234567890123, 99999999999999999999999999999999999999, 1000000000000000000000000000000000000000000000000000000000001}'::text[]) n;
SELECT told_as_id(repeat('1234567890', 10)) = repeat('1234567890', 10) AS same, told_in_document(repeat('7', 500)) = repeat('7', 500) || ' ' || repeat('7', 500) AS same_in_document;
DROP FUNCTION told_as_id(text);
DROP FUNCTION told_in_document(text);

-- arguments
SELECT try($$SELECT bill24_create_customer('', 'Name')$$);
SELECT try($$SELECT bill24_create_customer(NULL, 'Name')$$);
SELECT try($$SELECT bill24_create_customer(repeat('x', 51), 'Name')$$);

-- and after all that everything works
SELECT name FROM bill24_get_customer('C0001');
SELECT name FROM bill24_update_customer('C0001', 'Customer B');

SET client_min_messages = warning;
DROP FUNCTION reading(jsonb);
DROP FUNCTION changing(jsonb);

DROP FUNCTION try(text);
DROP EXTENSION bill24 CASCADE;
