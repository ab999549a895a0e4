--
-- Bearer tokens: one login for many calls, and one renewal.
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

-- another spelling of the same address, so that this account has a token of its own
SELECT replace(:'url', '127.0.0.1', '127.1') AS control_url \gset
CREATE SERVER control FOREIGN DATA WRAPPER bill24 OPTIONS (base_url :'control_url', allow_http 'true');
CREATE USER MAPPING FOR CURRENT_USER SERVER control OPTIONS (
	token '00000000-0000-4000-8000-000000000001', client_id 'demo_client', secret 'demo-secret');
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

CREATE FUNCTION control(path text, body jsonb DEFAULT NULL) RETURNS jsonb LANGUAGE sql AS $$
	SELECT bill24_request('POST', '/_sim/' || path, body, 'control')
$$;
-- the logins since the last time, and the requests without a valid token
CREATE FUNCTION logins(OUT "full" int, OUT refresh int, OUT refused int, OUT unauthorized int) LANGUAGE plpgsql AS $$
DECLARE
	now jsonb := bill24_request('GET', '/_sim/stats', NULL, 'control');
	before jsonb := coalesce(nullif(current_setting('test.stats', true), ''),
		'{"authorize": {"full": 0, "refresh": 0, "refused": 0}, "unauthorized": 0}');
BEGIN
	PERFORM set_config('test.stats', now::text, false);
	"full" := (now #>> '{authorize,full}')::int - (before #>> '{authorize,full}')::int;
	refresh := (now #>> '{authorize,refresh}')::int - (before #>> '{authorize,refresh}')::int;
	refused := (now #>> '{authorize,refused}')::int - (before #>> '{authorize,refused}')::int;
	unauthorized := (now ->> 'unauthorized')::int - (before ->> 'unauthorized')::int;
END $$;
SET client_min_messages = notice;

-- one login for everything
SELECT control('seed', '{"prefix": "S", "count": 60, "balance": 1}');
SELECT logins() IS NOT NULL AS counting;
SELECT name FROM bill24_get_customer('S0000001');
SELECT name FROM bill24_get_customer('S0000002');
SELECT count(*) FROM bill24_get_wallet_balances(ARRAY(SELECT 'S' || lpad(i::text, 7, '0') FROM generate_series(1, 60) i));
SELECT * FROM logins();

-- an expired token is renewed once, with the refresh token, and the call repeated
SELECT control('expire_tokens');
SELECT name FROM bill24_get_customer('S0000001');
SELECT * FROM logins();
SELECT name FROM bill24_get_customer('S0000001');
SELECT * FROM logins();
-- also for a call that changes something, which happens once
SELECT control('expire_tokens');
SELECT sync_code FROM bill24_create_customer('C0001', 'Customer A');
SELECT * FROM logins();
SELECT bill24_request('GET', '/_sim/effects?key=C0001', NULL, 'control') -> 'created' AS created;
-- a refresh token that is refused: the credentials are used instead
SELECT control('expire_tokens', '{"refresh": true}');
SELECT name FROM bill24_get_customer('S0000001');
SELECT * FROM logins();
-- one renewal for many
SELECT control('expire_tokens');
SELECT count(*), count(sqlstate) FROM bill24_get_wallet_balances(ARRAY(SELECT 'S' || lpad(i::text, 7, '0') FROM generate_series(1, 60) i));
SELECT "full" + refresh AS renewals, refused, unauthorized BETWEEN 1 AND 60 AS unauthorized FROM logins();
-- the provider forgot everything
SELECT control('reset', '{"tokens": true}');
SELECT control('seed', '{"prefix": "S", "count": 60, "balance": 1}');
SELECT set_config('test.stats', '', false);
SELECT logins() IS NOT NULL AS counting;
SELECT name FROM bill24_get_customer('S0000001');
SELECT * FROM logins();

-- another session, which shares the token if the library is preloaded
SELECT current_setting('test.stats') AS stats \gset
\c
SELECT set_config('test.stats', :'stats', false) IS NOT NULL AS counting;
SELECT name FROM bill24_get_customer('S0000001');
SELECT "full" = 0 OR current_setting('shared_preload_libraries') !~ 'bill24' AS shared, refresh, refused, unauthorized FROM logins();

-- a token that is never accepted: renewed once, then an error
SELECT control('fault', '{"kind": "unauthorized", "path": "/customer/get_customer_detail", "count": -1}') ? 'fault' AS asked;
SELECT try($$SELECT bill24_get_customer('S0000001')$$);
SELECT "full" + refresh AS renewals, refused, unauthorized FROM logins();
SELECT try($$SELECT bill24_get_customer('S0000001', missing_ok => true)$$);
SELECT "full" + refresh AS renewals, refused, unauthorized FROM logins();
SELECT control('clear_faults');
SELECT name FROM bill24_get_customer('S0000001');
-- tokens that expire at once
SELECT control('config', '{"token_lifetime_s": 0}') -> 'token_lifetime_s' AS token_lifetime_s;
SELECT control('expire_tokens', '{"refresh": true}');
SELECT split_part(try($$SELECT bill24_get_customer('S0000001')$$), ':', 1) LIMIT 1;
SELECT "full" + refresh AS renewals, unauthorized FROM logins();
SELECT control('config', '{"token_lifetime_s": 21600}') -> 'token_lifetime_s' AS token_lifetime_s;
SELECT name FROM bill24_get_customer('S0000001');
SELECT logins() IS NOT NULL AS counting;

-- clocks that differ, and lifetimes that are not told or make no sense
SELECT control('config', '{"clock_skew_s": 86400}') -> 'clock_skew_s' AS clock_skew_s;
SELECT control('expire_tokens', '{"refresh": true}');
SELECT name FROM bill24_get_customer('S0000001');
SELECT name FROM bill24_get_customer('S0000001');
SELECT "full", refresh, unauthorized FROM logins();
SELECT control('config', '{"clock_skew_s": -86400}') -> 'clock_skew_s' AS clock_skew_s;
SELECT control('expire_tokens', '{"refresh": true}');
SELECT name FROM bill24_get_customer('S0000001');
SELECT name FROM bill24_get_customer('S0000001');
SELECT "full", refresh, unauthorized FROM logins();
SELECT control('config', '{"clock_skew_s": 0}') -> 'clock_skew_s' AS clock_skew_s;
CREATE FUNCTION with_login(patch jsonb, OUT name text, OUT again text, OUT "full" int, OUT unauthorized int) LANGUAGE plpgsql AS $$
BEGIN
	PERFORM control('expire_tokens', '{"refresh": true}');
	PERFORM control('fault', '{"kind": "patch", "path": "/merchantsecurity/authorize", "match": "\"refreshToken\":\"\""}' || patch);
	PERFORM logins();
	name := (bill24_get_customer('S0000001')).name;
	again := (bill24_get_customer('S0000001')).name;
	SELECT l."full", l.unauthorized INTO "full", unauthorized FROM logins() l;
END $$;
SELECT * FROM with_login('{"remove": ["data.tokenExpireTime"]}');
SELECT * FROM with_login('{"set": {"data.tokenExpireTime": null}}');
SELECT * FROM with_login('{"set": {"data.tokenExpireTime": "tomorrow"}}');
SELECT * FROM with_login('{"set": {"data.tokenExpireTime": "2001-01-01T00:00:00.0000000+07:00"}}');
SELECT * FROM with_login('{"set": {"data.tokenExpireTime": "9999-12-31T23:59:59Z"}}');
SELECT * FROM with_login('{"set": {"data.tokenExpireTime": 1700000000}}');
SELECT * FROM with_login('{"remove": ["data.refreshToken", "data.issuer", "message"], "set": {"code": "SUCCESS"}}');

-- credentials that are wrong; a refusal is not asked for twice in a row
SELECT logins() IS NOT NULL AS counting;
ALTER USER MAPPING FOR CURRENT_USER SERVER bill24 OPTIONS (SET secret 'wrong-secret-1');
SELECT try($$SELECT bill24_get_customer('S0000001')$$);
SELECT try($$SELECT bill24_create_customer('C0002', 'Customer B')$$);
SELECT try($$SELECT bill24_get_customer('S0000001', missing_ok => true)$$);
SELECT * FROM logins();
-- other credentials are another matter
ALTER USER MAPPING FOR CURRENT_USER SERVER bill24 OPTIONS (SET secret 'demo-secret');
SELECT name FROM bill24_get_customer('S0000001');
SELECT refused, unauthorized FROM logins();
-- however it is refused
SELECT control('config', '{"authorize_fail_status": 401}') -> 'authorize_fail_status' AS status;
ALTER USER MAPPING FOR CURRENT_USER SERVER bill24 OPTIONS (SET secret 'wrong-secret-2');
SELECT try($$SELECT bill24_get_customer('S0000001')$$);
SELECT control('config', '{"authorize_fail_status": 403}') -> 'authorize_fail_status' AS status;
ALTER USER MAPPING FOR CURRENT_USER SERVER bill24 OPTIONS (SET secret 'wrong-secret-3');
SELECT try($$SELECT bill24_get_customer('S0000001')$$);
SELECT control('config', '{"authorize_fail_status": 200}') -> 'authorize_fail_status' AS status;
-- answers that are none; nothing was sent but the login
CREATE FUNCTION failed_login(n int, fault jsonb) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM control('fault', '{"path": "/merchantsecurity/authorize"}' || fault);
	EXECUTE format('ALTER USER MAPPING FOR CURRENT_USER SERVER bill24 OPTIONS (SET secret ''wrong-secret-%s'')', n);
	RETURN QUERY SELECT regexp_replace(t, '(unknown: |not JSON: ).*?( \(HTTP|$)', '\1...\2')
		FROM try('SELECT bill24_create_customer(''C0003'', ''Customer C'')') t;
END $$;
SELECT failed_login(4, '{"kind": "status", "status": 500}');
SELECT failed_login(5, '{"kind": "status", "status": 429, "retry_after": "7"}');
SELECT failed_login(6, '{"kind": "body", "body": "<html></html>"}');
SELECT failed_login(7, '{"kind": "body", "body": {"code": 200, "message": "", "data": {}}}');
SELECT failed_login(8, '{"kind": "body", "body": {"code": 200, "message": "", "data": {"token": ""}}}');
SELECT failed_login(9, '{"kind": "body", "body": {"code": 200, "message": "", "data": {"token": "a\r\nHost: b"}}}');
SELECT failed_login(10, jsonb_build_object('kind', 'body', 'body', jsonb_build_object('code', 200, 'data', jsonb_build_object('token', repeat('x', 10000)))));
SELECT failed_login(11, '{"kind": "drop_after", "count": -1}');
SELECT control('clear_faults');
SELECT failed_login(12, '{"kind": "body", "body": {"code": "316", "message": "No such merchant"}}');
SELECT failed_login(13, '{"kind": "status", "status": 302, "headers": {"Location": "http://example.com/"}}');
-- a secret in a message is not shown in part, wherever the message is cut
SELECT count(*) FILTER (WHERE t LIKE '28000%') AS refused, count(*) FILTER (WHERE t LIKE '%wrong-%') AS shown
FROM generate_series(100, 120) n, LATERAL failed_login(n, jsonb_build_object('kind', 'body',
	'body', jsonb_build_object('code', '1', 'message', repeat(' ', 910 + n) || 'wrong-secret-' || n))) t;
ALTER USER MAPPING FOR CURRENT_USER SERVER bill24 OPTIONS (SET secret 'demo-secret');
SELECT bill24_get_customer('C0003', missing_ok => true) IS NULL AS nothing_was_sent;

SET client_min_messages = warning;
DROP FUNCTION failed_login(int, jsonb);
DROP FUNCTION with_login(jsonb);
DROP FUNCTION logins();
DROP FUNCTION control(text, jsonb);

DROP FUNCTION try(text);
DROP EXTENSION bill24 CASCADE;
