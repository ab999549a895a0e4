--
-- What a role needs, and that nobody sees the secrets of another.
--
\pset format unaligned
\pset null '(null)'
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS bill24 CASCADE;
CREATE EXTENSION bill24;
\set url `echo "$B24SIM_URL"`
CREATE SERVER bill24 FOREIGN DATA WRAPPER bill24 OPTIONS (base_url :'url', allow_http 'true');
CREATE USER MAPPING FOR CURRENT_USER SERVER bill24 OPTIONS (
	token '00000000-0000-4000-8000-000000000001', client_id 'demo_client',
	secret 'demo-secret', hash_token 'demo-hash-token');

-- runs a statement, and tells only its SQLSTATE, since the words of PostgreSQL
-- itself differ between versions
CREATE OR REPLACE FUNCTION state(command text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE command;
	RETURN 'fine';
EXCEPTION WHEN others THEN
	RETURN SQLSTATE;
END $$;

-- one call of every function
CREATE TABLE calls (n int PRIMARY KEY GENERATED ALWAYS AS IDENTITY, call text);
INSERT INTO calls (call) VALUES
	('bill24_check()'),
	('bill24_create_customer(''C0002'', ''Customer B'')'),
	('bill24_get_customer(''C0001'')'),
	('bill24_update_customer(''C0001'', ''Customer A'')'),
	('bill24_delete_customer(''C0002'')'),
	('bill24_get_wallet_balance(''C0001'')'),
	('bill24_get_wallet_balances(''{C0001}'')'),
	('bill24_get_payment_methods(''C0001'')'),
	('bill24_get_wallet_history(''C0001'')'),
	('bill24_settle_payment(''R0001'', ''C0001'', 0, ''KHR'', ''ST001'', ''2025-11-20'', ''2099-12-31'')'),
	('bill24_fetch_bills(''2025-11-20'', ''2025-11-20'')'),
	('bill24_get_bills(''2025-11-20'', ''2025-11-20'')'),
	('bill24_get_bill(''R0001'')'),
	('bill24_get_transaction(''R0001'')'),
	('bill24_onboard_sub_biller(''CPO001'', ''Station 1'')'),
	('bill24_get_available_banks()'),
	('bill24_add_link_account(''CPO001'', ''AC'', ''https://example.com/'')'),
	('bill24_verify_linked_account(''CPO001'')'),
	('bill24_request(''GET'', ''/_sim/config'')'),
	('bill24_preview(''get_customer'', ''{"sync_code": "C0001"}'')'),
	('bill24.circuits()'),
	('bill24.stats()'),
	('bill24_reset_circuit()'),
	('bill24_stat_reset()'),
	('bill24_enqueue(''delete_customer'', ''{"sync_code": "C0003"}'')'),
	('bill24_wait(0)'),
	('bill24_retry(0)'),
	('bill24_cancel(0)'),
	('bill24_resolve(0, ''done'')'),
	('bill24_adopt_outbox()'),
	('bill24_track(''{C0001}'')'),
	('bill24_refresh(''{C0001}'')'),
	('bill24_wallet_balance(''C0001'')'),
	('bill24_untrack(''{C0001}'')');
-- none is forgotten
SELECT proname FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
	JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
WHERE extname = 'bill24' AND prokind = 'f' AND prorettype <> 'trigger'::regtype AND proname !~ '_fdw_validator$'
	-- those of PayCombat are in paycombat.sql
	AND proname !~ '^paycombat_'
	AND pronamespace <> 'bill24'::regnamespace AND NOT EXISTS (SELECT FROM calls WHERE split_part(call, '(', 1) = proname);
SELECT sync_code FROM bill24_create_customer('C0001', 'Customer A', wallets => '[{"name": "Riel", "currency": "KHR"}]');

-- with nothing
CREATE ROLE regress_bill24_nobody;
GRANT SELECT ON calls TO regress_bill24_nobody;
SET ROLE regress_bill24_nobody;
SELECT call, state('SELECT * FROM ' || call) FROM calls ORDER BY n;
SELECT state('CREATE SERVER mine FOREIGN DATA WRAPPER bill24 OPTIONS (base_url ''https://example.com'')');
SELECT state('CREATE USER MAPPING FOR CURRENT_USER SERVER bill24 OPTIONS (token ''t'')');
SELECT state('ALTER SERVER bill24 OPTIONS (SET base_url ''https://example.com'')');
SELECT state('ALTER USER MAPPING FOR CURRENT_USER SERVER bill24 OPTIONS (ADD token ''t'')');
SELECT state('CREATE FUNCTION mine(text, text, jsonb, name) RETURNS jsonb AS ''$libdir/bill24'', ''bill24_request'' LANGUAGE C');
RESET ROLE;

-- with USAGE alone there are no credentials
GRANT USAGE ON FOREIGN SERVER bill24 TO regress_bill24_nobody;
SET ROLE regress_bill24_nobody;
SELECT call, state('SELECT * FROM ' || call) FROM calls ORDER BY n;
SELECT step, ok FROM bill24_check();
-- a role with USAGE may bring its own
CREATE USER MAPPING FOR CURRENT_USER SERVER bill24 OPTIONS (token 'mine', client_id 'mine', secret 'mine');
SELECT state('SELECT bill24_get_customer(''C0001'')');
SELECT umoptions FROM pg_user_mappings WHERE srvname = 'bill24' AND usename = CURRENT_USER;
-- but does not see those of others, nor change them
SELECT count(*), count(umoptions) FROM pg_user_mappings WHERE srvname = 'bill24' AND usename <> CURRENT_USER;
SELECT state('SELECT * FROM pg_user_mapping');
SELECT state('CREATE USER MAPPING FOR PUBLIC SERVER bill24 OPTIONS (token ''t'')');
DROP USER MAPPING FOR CURRENT_USER SERVER bill24;
RESET ROLE;

-- the owner of the credentials may do everything but send to any path
CREATE USER MAPPING FOR regress_bill24_nobody SERVER bill24 OPTIONS (
	token '00000000-0000-4000-8000-000000000001', client_id 'demo_client',
	secret 'demo-secret', hash_token 'demo-hash-token');
SET ROLE regress_bill24_nobody;
SELECT call, state('SELECT * FROM ' || call) FROM calls ORDER BY n;
SELECT bill24_preview('settle_payment', '{"ref_id": "R0001", "sync_code": "C0001", "amount": 0, "currency": "KHR", "payment_to": "ST001",
	"bill_date": "2025-11-20", "due_date": "2099-12-31"}')::text ~ ('demo-' || 'secret|demo-' || 'hash|eyJ') AS shows_secrets;
RESET ROLE;
-- those of PUBLIC can be used, and not be read
DROP USER MAPPING FOR regress_bill24_nobody SERVER bill24;
CREATE USER MAPPING FOR PUBLIC SERVER bill24 OPTIONS (
	token '00000000-0000-4000-8000-000000000001', client_id 'demo_client', secret 'demo-secret');
SET ROLE regress_bill24_nobody;
SELECT state('SELECT bill24_get_customer(''C0001'')');
SELECT count(*), count(umoptions) FROM pg_user_mappings WHERE srvname = 'bill24';
RESET ROLE;
SELECT count(*) FROM pg_settings WHERE setting ~ ('demo-' || 'secret|demo-' || 'hash|Bearer');
SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND query ~ ('demo-' || 'secret|Bearer');

SET client_min_messages = warning;
DROP TABLE calls;
DROP FUNCTION state(text);
DROP EXTENSION bill24 CASCADE;
DROP ROLE regress_bill24_nobody;
