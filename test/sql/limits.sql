--
-- Load control: the circuit breaker, the rate, and who may see and reset it.
--
\pset format unaligned
\pset null '(null)'
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS bill24 CASCADE;
CREATE EXTENSION bill24;
\set url `echo "$B24SIM_URL"`
CREATE SERVER bill24 FOREIGN DATA WRAPPER bill24 OPTIONS (base_url :'url', allow_http 'true', mirror 'false', circuit_failures '3');
CREATE USER MAPPING FOR CURRENT_USER SERVER bill24 OPTIONS (
	token '00000000-0000-4000-8000-000000000001', client_id 'demo_client', secret 'demo-secret');
CREATE SERVER control FOREIGN DATA WRAPPER bill24 OPTIONS (base_url :'url', allow_http 'true', mirror 'false', circuit_failures '0');
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
CREATE VIEW now AS
	SELECT state, failures, opened_at <= clock_timestamp() AS opened, retry_at > opened_at AS retries,
		in_flight_direct, in_flight_workers, last_status
	FROM bill24.circuit WHERE server = 'bill24';
SELECT control('seed', '{"count": 3, "prefix": "C", "balance": 5}');
\set call 'SELECT state($$SELECT bill24_get_wallet_balance(''C0000001'')$$)'

-- nobody has called yet
SELECT * FROM now;
:call;
SELECT * FROM now;
-- what the provider decides is no failure
SELECT state($$SELECT bill24_get_customer('nobody')$$) FROM generate_series(1, 5);
SELECT * FROM now;
-- failures count when they come one after the other
SELECT control('fault', '{"kind": "status", "status": 500, "count": 2, "path": "/instant_payment/get_wallet_balance"}');
:call;
:call;
SELECT * FROM now;
:call;
SELECT * FROM now;

-- the third opens the circuit, whatever the kind
SELECT control('fault', '{"kind": "status", "status": 500, "path": "/instant_payment/get_wallet_balance"}');
SELECT control('fault', '{"kind": "half_body", "path": "/instant_payment/get_wallet_balance"}');
SELECT control('fault', '{"kind": "status", "status": 500, "path": "/instant_payment/get_wallet_balance"}');
:call;
:call;
:call;
SELECT * FROM now;
-- now nothing is sent
SELECT bill24_request('GET', '/_sim/stats', NULL, 'control') -> 'requests' AS requests \gset
SELECT bill24_get_wallet_balance('C0000001');
:call;
SELECT sync_code, sqlstate FROM bill24_get_wallet_balances('{C0000001,C0000002}');
SELECT bill24_request('GET', '/_sim/stats', NULL, 'control') -> 'requests' = :'requests' AS nothing_was_sent;
-- another server has another circuit
SELECT state($$SELECT bill24_get_wallet_balance('C0000001', 'control')$$);
-- who is told to goes on at once
SELECT bill24_reset_circuit();
SELECT * FROM now;
:call;
SELECT * FROM now;

-- after a second one request is let through, and if it succeeds, all are
SELECT control('fault', '{"kind": "status", "status": 500, "count": 4, "path": "/instant_payment/get_wallet_balance"}');
:call;
:call;
:call;
SELECT pg_sleep(1.15);
SELECT * FROM now;
:call;
-- it failed: two seconds
SELECT state, failures, retry_at > opened_at + interval '3 s' AS longer FROM bill24.circuit WHERE server = 'bill24';
SELECT pg_sleep(1.15);
:call;
SELECT pg_sleep(1.2);
SELECT state FROM now;
:call;
SELECT * FROM now;

-- an option that is changed takes effect at once
SELECT control('fault', '{"kind": "status", "status": 500, "count": 4, "path": "/instant_payment/get_wallet_balance"}');
ALTER SERVER bill24 OPTIONS (SET circuit_failures '1');
:call;
:call;
ALTER SERVER bill24 OPTIONS (SET circuit_failures '0');
:call;
:call;
:call;
:call;
SELECT * FROM now;

-- who may see and reset it
CREATE ROLE regress_bill24_nobody;
SET ROLE regress_bill24_nobody;
SELECT count(*) FROM bill24.circuit;
SELECT count(*) FROM bill24.circuits();
SELECT state('SELECT bill24_reset_circuit()');
SELECT state('SELECT bill24_reset_circuit(''missing'')');
SELECT state('SELECT bill24_reset_circuit(NULL)');
RESET ROLE;
GRANT USAGE ON FOREIGN SERVER bill24 TO regress_bill24_nobody;
SET ROLE regress_bill24_nobody;
SELECT server, state FROM bill24.circuit;
SELECT count(*) FROM bill24.circuits();
SELECT bill24_reset_circuit();
RESET ROLE;
GRANT USAGE ON FOREIGN DATA WRAPPER bill24 TO regress_bill24_nobody;
ALTER SERVER bill24 OWNER TO regress_bill24_nobody;
SET ROLE regress_bill24_nobody;
SELECT bill24_reset_circuit();
RESET ROLE;
CREATE FOREIGN DATA WRAPPER regress_bill24_other;
CREATE SERVER other FOREIGN DATA WRAPPER regress_bill24_other;
SELECT bill24_reset_circuit('other');
DROP FOREIGN DATA WRAPPER regress_bill24_other CASCADE;

-- at most so many a second, and a burst of a tenth
ALTER SERVER bill24 OPTIONS (ADD max_per_second '20');
SELECT clock_timestamp() AS start \gset
SELECT count(b.balance) FROM generate_series(1, 22) i, LATERAL bill24_get_wallet_balance('C000000' || 1 + i % 3) b;
SELECT clock_timestamp() - :'start' >= interval '0.99 s' AS slow_enough;

-- a server that is gone is not shown
DROP SERVER control CASCADE;
SELECT server FROM bill24.circuit;
DROP VIEW now;
DROP FUNCTION control(text, jsonb);
DROP FUNCTION state(text);
DROP EXTENSION bill24 CASCADE;
DROP ROLE regress_bill24_nobody;
