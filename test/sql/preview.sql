--
-- Previews: the request that every operation would send, and that nothing is.
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

CREATE FUNCTION preview(operation text, request jsonb) RETURNS text LANGUAGE sql AS $$
	SELECT concat_ws(' ', p ->> 'method', replace(p ->> 'url', current_setting('test.url'), ''), p ->> 'body')
	FROM bill24_preview(operation, request) p
$$;
SELECT set_config('test.url', :'url', false) = :'url' AS set;
SET timezone = 'UTC';
SET client_min_messages = notice;
SELECT bill24_request('POST', '/_sim/reset') AS reset;

-- a preview as it is; secrets are not in it
SELECT jsonb_pretty(bill24_preview('get_customer', '{"sync_code": "C0001"}') - 'url' #- '{headers,User-Agent}');
SELECT bill24_preview('get_customer', '{"sync_code": "C0001"}') #>> '{headers,User-Agent}' ~ '^bill24/[0-9.]+ PostgreSQL/[0-9a-z.]+$' AS agent;
SELECT bill24_preview('get_customer', '{"sync_code": "C0001"}') ->> 'url' = :'url' || '/customer/get_customer_detail' AS good;
SELECT bill24_preview('get_available_banks', '{}') - 'url' #- '{headers,User-Agent}' AS preview;

-- every operation
SELECT preview('create_customer', '{"sync_code": "C0001", "name": "Customer A"}');
SELECT preview('create_customer', '{"sync_code": "C0001", "name": "Customer A", "name_kh": "អតិថិជន ក", "phone": "010 795 790", "email": "a@example.com",
	"wallets": [{"name": "Customer A Wallet", "currency": "KHR"}]}');
SELECT preview('get_customer', '{"sync_code": "C0001"}');
SELECT preview('update_customer', '{"sync_code": "C0001"}');
SELECT preview('update_customer', '{"sync_code": "C0001", "email": "a@example.com", "name": null}');
SELECT preview('delete_customer', '{"sync_code": "C0001"}');
SELECT preview('get_wallet_balance', '{"sync_code": "C0001"}');
SELECT preview('get_payment_methods', '{"sync_code": "a/b c?d#e%f"}');
SELECT preview('get_wallet_history', '{"sync_code": "C0001"}');
SELECT preview('get_wallet_history', '{"sync_code": "C0001", "wallet_id": "w", "tran_type": "t", "from_time": "2025-01-01T10:13:58", "to_time": "2026-05-12", "page": 2, "page_size": 10}');
SELECT preview('settle_payment', '{"ref_id": "R0001", "sync_code": "C0001", "amount": 100, "currency": "KHR", "payment_to": "ST001",
	"bill_date": "2025-11-20", "due_date": "2025-11-27"}');
SELECT preview('settle_payment', '{"ref_id": "R0001", "sync_code": "C0001", "amount": 10.50, "currency": "USD", "payment_to": "ST001",
	"bill_date": "2025-11-20T10:30:00+07:00", "due_date": "2025-11-27", "description": "d", "payment_method_token": "secret-of-a-payment",
	"total_tax": 0, "total_amount_khr": 43050.00, "exchange_rate_khr": "4100", "details": [{"item_name": "100KWh", "amount": 10.50}]}');
SELECT preview('get_bills', '{"from_date": "2025-07-01", "to_date": "2025-07-31"}');
SELECT preview('get_bills', '{"from_date": "2025-07-01", "to_date": "2025-07-31", "sync_code": "C 1", "currency": "KHR"}');
SELECT preview('get_bill', '{"ref_id": "R/1"}');
SELECT preview('get_transaction', '{"ref_id": "R0001"}');
SELECT preview('onboard_sub_biller', '{"supplier_sync_code": "Cpo001", "name": "Station 1"}');
SELECT preview('onboard_sub_biller', '{"supplier_sync_code": "Cpo001", "name": "Station 1", "name_kh": "ស្ថានីយ៏ទី១", "address": "Phnom Penh",
	"bank_id": "AC", "return_url": "https://example.com/r?a=b", "currency": "KHR"}');
SELECT preview('get_available_banks', '{}');
SELECT preview('add_link_account', '{"supplier_sync_code": "Cpo001", "bank_id": "AC", "return_url": "https://example.com/"}');
SELECT preview('verify_linked_account', '{"supplier_sync_code": "Cpo001", "bank_id": "AC"}');

-- operations that there are not, or that are no operations
SELECT try($$SELECT bill24_preview('create_custommer', '{}')$$);
SELECT try($$SELECT bill24_preview('authorize', '{}')$$) ~ '^22023: unknown operation "authorize"' AS refused LIMIT 1;
SELECT try($$SELECT bill24_preview('request', '{}')$$) ~ '^22023: unknown operation "request"' AS refused LIMIT 1;
SELECT try($$SELECT bill24_preview('preview', '{}')$$) ~ '^22023: unknown operation "preview"' AS refused LIMIT 1;
-- the function's name will do as well
SELECT bill24_preview('bill24_get_customer', '{"sync_code": "C0001"}') = bill24_preview('get_customer', '{"sync_code": "C0001"}') AS same;
SELECT try($$SELECT bill24_preview('', '{}')$$) ~ '^22023: unknown operation ""' AS refused LIMIT 1;

-- arguments
SELECT try($$SELECT bill24_preview('get_customer', '{}')$$);
SELECT try($$SELECT bill24_preview('get_customer', '{"sync_code": null}')$$);
SELECT try($$SELECT bill24_preview('get_customer', '{"sync_code": ""}')$$);
SELECT try($$SELECT bill24_preview('get_customer', '{"customer_sync_code": "C0001"}')$$);
SELECT try($$SELECT bill24_preview('get_customer', '{"sync_code": "C0001", "server": "other"}')$$);
SELECT try($$SELECT bill24_preview('get_customer', '{"sync_code": "C0001", "missing_ok": true}')$$);
SELECT try($$SELECT bill24_preview('get_customer', '{"sync_code": ["C0001"]}')$$);
SELECT try($$SELECT bill24_preview('get_customer', '{"sync_code": {"code": "C0001"}}')$$);
SELECT try($$SELECT bill24_preview('get_customer', '["C0001"]')$$);
SELECT try($$SELECT bill24_preview('get_customer', '"C0001"')$$);
SELECT try($$SELECT bill24_preview('get_customer', 'null')$$);
SELECT try($$SELECT bill24_preview('get_available_banks', '{"x": 1}')$$);
SELECT try($$SELECT bill24_preview(NULL, '{}')$$);
SELECT try($$SELECT bill24_preview('get_customer', NULL)$$);
SELECT try($$SELECT bill24_preview('get_customer', '{"sync_code": "C0001"}', NULL)$$);
SELECT try($$SELECT bill24_preview('get_customer', '{"sync_code": "C0001"}', 'nowhere')$$);
-- a number or a boolean where a text belongs is its text
SELECT preview('get_customer', '{"sync_code": 12345678901234567890.50}');
SELECT preview('get_customer', '{"sync_code": true}');
-- and a text where a number or a time belongs is read
SELECT preview('get_wallet_history', '{"sync_code": "C0001", "page": "3"}');
SELECT split_part(try($$SELECT bill24_preview('get_wallet_history', '{"sync_code": "C0001", "page": "three"}')$$), ':', 1);
SELECT split_part(try($$SELECT bill24_preview('get_wallet_history', '{"sync_code": "C0001", "page": 1.5}')$$), ':', 1);
SELECT split_part(try($$SELECT bill24_preview('get_wallet_history', '{"sync_code": "C0001", "page": 99999999999}')$$), ':', 1);
SELECT split_part(try($$SELECT bill24_preview('get_wallet_history', '{"sync_code": "C0001", "page": true}')$$), ':', 1);
SELECT split_part(try($$SELECT bill24_preview('get_wallet_history', '{"sync_code": "C0001", "from_time": "no time"}')$$), ':', 1);
SELECT split_part(try($$SELECT bill24_preview('get_bills', '{"from_date": "2025-02-30", "to_date": "2025-03-01"}')$$), ':', 1);

-- functions of the same names that another has made are no operations: neither their DEFAULTs nor their types' input run
CREATE ROLE regress_bill24_maker;
SELECT current_schema AS schema \gset
GRANT CREATE, USAGE ON SCHEMA :"schema" TO regress_bill24_maker;
SET ROLE regress_bill24_maker;
-- (immutable, so that it runs where an expression is simplified)
CREATE FUNCTION trap(value text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	RAISE WARNING 'the trap runs: %', value;
	RETURN value;
END $$;
CREATE FUNCTION trapped_value(value text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	RAISE WARNING 'the trap runs for a domain: %', value;
	RETURN true;
END $$;
CREATE DOMAIN trapping AS text CHECK (trapped_value(value));
CREATE FUNCTION bill24_get_bill(ref_id text DEFAULT trap('DEFAULT of get_bill'), more text DEFAULT trap('another'), server name DEFAULT 'bill24')
	RETURNS text LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION bill24_get_customer(sync_code trapping DEFAULT trap('DEFAULT of get_customer'), server name DEFAULT 'bill24')
	RETURNS text LANGUAGE sql AS 'SELECT $1::text';
CREATE FUNCTION bill24_authorize(token trapping DEFAULT trap('DEFAULT of authorize'), server name DEFAULT 'bill24')
	RETURNS text LANGUAGE sql AS 'SELECT $1::text';
RESET ROLE;
SET client_min_messages = warning;
SELECT preview('get_bill', '{"ref_id": "R0001"}');
SELECT try($$SELECT bill24_preview('get_bill', '{}')$$);
SELECT try($$SELECT bill24_preview('get_bill', '{"more": "x"}')$$);
SELECT preview('get_customer', '{"sync_code": "C0001"}');
SELECT try($$SELECT bill24_preview('get_customer', '{}')$$);
SELECT try($$SELECT bill24_preview('authorize', '{"token": "x"}')$$) ~ '^22023: unknown operation "authorize"' AS refused LIMIT 1;
SELECT try($$SELECT bill24_preview('authorize', '{}')$$) ~ '^22023: unknown operation "authorize"' AS refused LIMIT 1;
SELECT count(*) AS lines, bool_or(t ~ 'authorize') AS named FROM try($$SELECT bill24_preview('none', '{}')$$) t;
DROP FUNCTION bill24_get_bill(text, text, name);
DROP FUNCTION bill24_get_customer(trapping, name);
DROP FUNCTION bill24_authorize(trapping, name);
DROP DOMAIN trapping;
DROP FUNCTION trapped_value(text);
DROP FUNCTION trap(text);
REVOKE ALL ON SCHEMA :"schema" FROM regress_bill24_maker;
DROP ROLE regress_bill24_maker;
SET client_min_messages = notice;

-- the options of the account matter, its reachability does not
ALTER USER MAPPING FOR CURRENT_USER SERVER bill24 OPTIONS (DROP hash_token);
SELECT try($$SELECT bill24_preview('settle_payment', '{"ref_id": "R0001", "sync_code": "C0001", "amount": 100, "currency": "KHR", "payment_to": "ST001",
	"bill_date": "2025-11-20", "due_date": "2025-11-27"}')$$);
CREATE SERVER nobody FOREIGN DATA WRAPPER bill24 OPTIONS (base_url 'https://example.com/base/');
CREATE USER MAPPING FOR CURRENT_USER SERVER nobody;
SELECT bill24_preview('get_customer', '{"sync_code": "C0001"}', 'nobody') ->> 'url' AS url;

-- nothing was sent
SELECT bill24_request('GET', '/_sim/stats') -> 'requests' AS requests;
SET client_min_messages = warning;
DROP FUNCTION preview(text, jsonb);

DROP FUNCTION try(text);
DROP EXTENSION bill24 CASCADE;
