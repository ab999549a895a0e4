--
-- Statistics: what requests came to.
--
\pset format unaligned
\pset null '(null)'
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS bill24 CASCADE;
CREATE EXTENSION bill24;
\set url `echo "$B24SIM_URL"`
CREATE SERVER bill24 FOREIGN DATA WRAPPER bill24 OPTIONS (base_url :'url', allow_http 'true', mirror 'false', request_timeout '300ms');
CREATE USER MAPPING FOR CURRENT_USER SERVER bill24 OPTIONS (
	token '00000000-0000-4000-8000-000000000001', client_id 'demo_client', secret 'demo-secret');
CREATE SERVER control FOREIGN DATA WRAPPER bill24 OPTIONS (base_url :'url', allow_http 'true', mirror 'false');
CREATE USER MAPPING FOR CURRENT_USER SERVER control OPTIONS (
	token '00000000-0000-4000-8000-000000000001', client_id 'demo_client', secret 'demo-secret');
CREATE FUNCTION control(path text, body jsonb DEFAULT NULL) RETURNS void LANGUAGE sql AS $$
	SELECT bill24_request('POST', '/_sim/' || path, body, 'control')
$$;
CREATE FUNCTION state(command text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE command;
	RETURN 'fine';
EXCEPTION WHEN others THEN
	RETURN SQLSTATE;
END $$;
SELECT control('seed', '{"count": 3, "prefix": "C", "balance": 5}');
CREATE FUNCTION balance(OUT sqlstate text) LANGUAGE sql AS $$
	SELECT state($q$SELECT bill24_get_wallet_balance('C0000001')$q$)
$$;
CREATE VIEW counts AS
	SELECT operation, caller, calls, done, refused, throttled, unknown, unreachable, retries
	FROM bill24.stat WHERE server = 'bill24' AND operation <> 'authorize' ORDER BY operation;

-- every kind of outcome
SELECT balance();
SELECT state($$SELECT bill24_get_customer('nobody')$$);
SELECT control('fault', '{"kind": "status", "status": 429, "path": "/instant_payment/get_wallet_balance"}');
SELECT balance();
SELECT control('fault', '{"kind": "status", "status": 500, "path": "/instant_payment/get_wallet_balance"}');
SELECT balance();
SELECT control('fault', '{"kind": "half_body", "path": "/instant_payment/get_wallet_balance"}');
SELECT balance();
SELECT control('fault', '{"kind": "hang", "path": "/instant_payment/get_wallet_balance"}');
SELECT balance();
SELECT control('clear_faults');
SELECT * FROM counts;
-- a 401 is followed by a second try
SELECT control('expire_tokens');
SELECT balance();
SELECT operation, calls, done, refused, retries FROM counts WHERE operation = 'get_wallet_balance';
-- many at once
SELECT count(*) FROM bill24_get_wallet_balances('{C0000001,C0000002,C0000003}');
SELECT operation, calls, done FROM counts WHERE operation = 'get_wallet_balance';

-- sizes and times
SELECT operation, bytes_sent > 10 * calls AS sent, bytes_received > 10 * done AS received,
	total_time >= max_time AND max_time >= mean_time AND mean_time > 0 AS times,
	max_time >= 300 AS waited, array_length(latency, 1) AS buckets,
	(SELECT sum(n) FROM unnest(latency) n) = calls AS all_in_buckets,
	latency[10] + latency[11] AS "256 to 1023 ms", since < clock_timestamp() AS since
FROM bill24.stat WHERE server = 'bill24' AND operation IN ('get_wallet_balance', 'get_customer') ORDER BY operation;

-- who may see it: those with USAGE
CREATE ROLE regress_bill24_nobody;
SET ROLE regress_bill24_nobody;
SELECT count(*) FROM bill24.stat;
SELECT count(*) FROM bill24.stats();
SELECT state('SELECT bill24_stat_reset()');
RESET ROLE;
GRANT USAGE ON FOREIGN SERVER bill24 TO regress_bill24_nobody;
SET ROLE regress_bill24_nobody;
SELECT DISTINCT server FROM bill24.stat;
SELECT count(*) > 0 AS some FROM bill24.stats();
RESET ROLE;

-- begin anew
SELECT bill24_stat_reset('missing');
SELECT bill24_stat_reset('bill24');
SELECT count(*) FROM counts;
SELECT count(*) > 0 AS some FROM bill24.stat WHERE server = 'control';
SELECT balance();
SELECT operation, calls, done, max_time < 300 AS anew, since > now() - interval '1 min' AS since
FROM bill24.stat WHERE server = 'bill24' AND operation = 'get_wallet_balance';
SELECT bill24_stat_reset();
SELECT count(*) FROM bill24.stat;

DROP VIEW counts;
DROP FUNCTION balance();
DROP FUNCTION control(text, jsonb);
DROP FUNCTION state(text);
DROP EXTENSION bill24 CASCADE;
DROP ROLE regress_bill24_nobody;
