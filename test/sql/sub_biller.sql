--
-- Sub-billers: onboarding, banks, and the accounts that they link.
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

-- banks
SELECT b ->> 'bank_id' AS bank_id, b ->> 'bank_name' AS name, b ->> 'bank_name_kh' AS name_kh
FROM jsonb_array_elements(bill24_get_available_banks()) b;
SELECT jsonb_array_length(bill24_get_available_banks('bill24')) AS banks;

-- with only what is required, and with a bank
SELECT bill24_onboard_sub_biller('CPO001', 'Station 1');
SELECT bill24_onboard_sub_biller('CPO002', 'Station 2', 'ស្ថានីយ៏ទី២', 'Chbar Ompov, Phnom Penh', 'AC', 'https://example.com/r?a=b&c=d', 'KHR');
SELECT s ->> 'supplier_sync_code' AS code, s ->> 'name' AS name, s -> 'add_link_account' AS link
FROM bill24_onboard_sub_biller(supplier_sync_code => 'CPO/3 "x"', name => 'Station 3', address => E'two\nlines') s;
SELECT try($$SELECT bill24_onboard_sub_biller('CPO001', 'Station 1 again')$$);
SELECT try($$SELECT bill24_onboard_sub_biller('CPO004', 'Station 4', bank_id => 'AC')$$);
SELECT try($$SELECT bill24_onboard_sub_biller('CPO004', 'Station 4', bank_id => 'NOBANK', return_url => 'https://example.com/')$$);
SELECT try($$SELECT bill24_onboard_sub_biller(NULL, 'Station 4')$$);
SELECT try($$SELECT bill24_onboard_sub_biller('', 'Station 4')$$);
SELECT try($$SELECT bill24_onboard_sub_biller('CPO004', NULL)$$);

-- a payment can be for one of them
SELECT sync_code FROM bill24_create_customer('C0001', 'Customer A', wallets => '[{"name": "Riel", "currency": "KHR"}]');
SELECT bill24_request('POST', '/_sim/topup', '{"sync_code": "C0001", "amount": 100}') -> 'balance' AS balance;
SELECT payment_status FROM bill24_settle_payment('R0001', 'C0001', 100, 'KHR', 'CPO002', '2025-11-20', '2099-12-31');

-- links for further accounts
SELECT bill24_add_link_account('CPO001', 'ABA', 'https://example.com/');
SELECT bill24_add_link_account('CPO001', 'AC', 'https://example.com/', 'USD') -> 'add_link_account' AS link;
SELECT try($$SELECT bill24_add_link_account('NOBODY', 'ABA', 'https://example.com/')$$);
SELECT try($$SELECT bill24_add_link_account('CPO001', 'NOBANK', 'https://example.com/')$$);
SELECT try($$SELECT bill24_add_link_account('CPO001', 'ABA', NULL)$$);
SELECT try($$SELECT bill24_add_link_account('CPO001', '', 'https://example.com/')$$);

-- what is linked
SELECT bill24_verify_linked_account('CPO002');
SELECT a ->> 'bank_code' AS bank, a ->> 'currency' AS currency, a ->> 'account_number' AS account
FROM jsonb_array_elements(bill24_verify_linked_account('CPO001') -> 'bank_account_linked') a ORDER BY 1;
SELECT bill24_verify_linked_account('CPO001', 'ABA') #>> '{bank_account_linked,0,bank_name}' AS bank;
SELECT bill24_verify_linked_account('CPO001', 'AMK') -> 'bank_account_linked' AS accounts;
SELECT bill24_verify_linked_account('CPO/3 "x"') -> 'bank_account_linked' AS accounts;
SELECT try($$SELECT bill24_verify_linked_account('NOBODY')$$);
SELECT try($$SELECT bill24_verify_linked_account('')$$);

-- answers of the provider: the bank's own trouble, and one that is lost
SELECT bill24_request('POST', '/_sim/fault', '{"kind": "body", "effect": false, "path": "/on_boarding/add_link_account",
	"body": {"code": "001", "message": "The connection to the bank has a problem", "message_kh": "តំណភ្ជាប់ទៅកាន់ធានាគាមានបញ្ហា"}}') ? 'fault' AS asked;
SELECT try($$SELECT bill24_add_link_account('CPO001', 'ABA', 'https://example.com/')$$);
SELECT bill24_request('POST', '/_sim/fault', '{"kind": "drop_after", "path": "/on_boarding/on_boarding_supplier"}') ? 'fault' AS asked;
SELECT regexp_replace(try($$SELECT bill24_onboard_sub_biller('CPO005', 'Station 5')$$), '(unknown: ).*', '\1...');
SELECT try($$SELECT bill24_onboard_sub_biller('CPO005', 'Station 5')$$);
-- numbers and texts of an answer that is not documented are passed on as they are
SELECT bill24_request('POST', '/_sim/fault', '{"kind": "body", "path": "/on_boarding/get_available_bank",
	"body": "{\"code\": \"000\", \"data\": [{\"id\": 12345678901234567890123, \"limit\": 10.50, \"none\": null, \"name\": \"\\u1780\"}]}"}') ? 'fault' AS asked;
SELECT bill24_get_available_banks();
SELECT bill24_request('POST', '/_sim/fault', '{"kind": "body", "path": "/on_boarding/get_available_bank", "body": {"code": "000", "data": []}}') ? 'fault' AS asked;
SELECT bill24_get_available_banks();
SELECT bill24_request('POST', '/_sim/fault', '{"kind": "body", "path": "/on_boarding/get_available_bank", "body": "{\"code\": \"000\", \"data\": [1e400000]}"}') ? 'fault' AS asked;
SELECT try($$SELECT bill24_get_available_banks()$$);
SELECT bill24_request('POST', '/_sim/fault', '{"kind": "body", "path": "/on_boarding/get_available_bank", "body": "{\"code\": \"000\", \"data\": [\"\\u0000\"]}"}') ? 'fault' AS asked;
SELECT try($$SELECT bill24_get_available_banks()$$);
SET client_min_messages = warning;

DROP FUNCTION try(text);
DROP EXTENSION bill24 CASCADE;
