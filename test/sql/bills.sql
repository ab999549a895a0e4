--
-- Bills and transactions: one, many, page by page, and only as far as needed.
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

-- how many pages were asked for since the last time
CREATE FUNCTION pages() RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	before int := coalesce(nullif(current_setting('test.pages', true), ''), '0');
	now int := coalesce((bill24_request('GET', '/_sim/stats') #>> '{by_path,/instant_payment/get_bills}')::int, 0);
BEGIN
	PERFORM set_config('test.pages', now::text, false);
	RETURN now - before;
END $$;
SET client_min_messages = notice;
SET datestyle = 'ISO';

-- one bill
SELECT sync_code FROM bill24_create_customer('C0001', 'Customer A', 'អតិថិជន ក', wallets => '[{"name": "Riel", "currency": "KHR"}]');
SELECT bill24_request('POST', '/_sim/topup', '{"sync_code": "C0001", "amount": 1000}') -> 'balance' AS balance;
SELECT bill_status FROM bill24_settle_payment('R0001', 'C0001', 1000, 'KHR', 'ST001', '2025-07-08', '2099-12-31', 'testing',
	details => '[{"item_name": "100KWh", "description": "for charge", "quantity": 1, "price": 1000.50, "amount": 1000.00}]');
SELECT try($$SELECT bill24_settle_payment('R0002', 'C0001', 1, 'KHR', 'ST001', '2025-07-08', '2099-12-31')$$);
SELECT ref_id, date, due_date, description, currency, total_amount, total_tax, sync_code, bill_status, details,
	checkout_link, checkout_ref, payment_date IS NOT NULL AS has_date, payment_ref, payment_method
FROM bill24_get_bill('R0001');
SELECT ref_id, description, total_amount, bill_status, details, checkout_link ~ '^https://' AS has_link,
	checkout_ref <> '' AS has_ref, payment_date, payment_ref, payment_method
FROM bill24_get_bill('R0002');
SELECT try($$SELECT bill24_get_bill('UNKNOWN')$$);
SELECT * FROM bill24_get_bill('UNKNOWN', missing_ok => true);
SELECT bill24_get_bill('UNKNOWN', missing_ok => true) IS NULL AS missing;
SELECT try($$SELECT bill24_get_bill(NULL)$$);
SELECT try($$SELECT bill24_get_bill('')$$);
SELECT try($$SELECT bill24_get_bill('../../_sim/reset')$$);

-- one payment
SELECT reference_id, transaction_id IS NOT NULL AS has_id, supplier_id IS NOT NULL AS has_supplier, transaction_type, tran_amount,
	total_amount, currency, expire_date - tran_date AS expires, status, customer_name, customer_name_kh, bank_id, bank_ref ~ '^FT' AS has_ref
FROM bill24_get_transaction('R0001');
SELECT try($$SELECT bill24_get_transaction('R0002')$$);
SELECT bill24_get_transaction('R0002', missing_ok => true) IS NULL AS missing;
SELECT try($$SELECT bill24_get_transaction('')$$);
SELECT bill24_request('POST', '/_sim/fault', '{"kind": "status", "path": "/transaction/instant_payment/detail",
	"status": 404, "body": {"code": 404, "message": "Record not found"}}') ? 'fault' AS asked;
SELECT try($$SELECT bill24_get_transaction('R0001')$$);

-- several pages
SELECT bill24_request('POST', '/_sim/reset') AS reset;
SELECT bill24_request('POST', '/_sim/seed_bills', '{"sync_code": "C0001", "count": 250, "amount": "10.25", "date": "2025-07-01"}');
SELECT bill24_request('POST', '/_sim/seed_bills', '{"sync_code": "C0002", "count": 30, "amount": "1", "date": "2025-07-02T10:00:00", "currency": "USD"}');
SELECT pages() >= 0 AS counting;
SELECT count(*), count(DISTINCT ref_id), sum(total_amount), min(ref_id), max(ref_id) FROM bill24_get_bills('2025-07-01', '2025-07-02');
SELECT pages();
SELECT * FROM bill24_get_bills('2025-07-01', '2025-07-02') LIMIT 2;
SELECT pages();
SELECT ref_id FROM bill24_get_bills('2025-07-01', '2025-07-02') OFFSET 149 LIMIT 2;
SELECT pages();
SELECT (bill24_get_bills('2025-07-01', '2025-07-02')).ref_id LIMIT 2;
SELECT pages();
SELECT ref_id FROM (SELECT (bill24_get_bills('2025-07-01', '2025-07-02')).*) b LIMIT 1;
SELECT pages();
SELECT EXISTS (SELECT FROM bill24_get_bills('2025-07-01', '2025-07-02'));
SELECT pages();
SELECT ref_id FROM bill24_get_bills('2025-07-01', '2025-07-02') WHERE currency = 'KHR' LIMIT 1;
SELECT pages();
SELECT max(ref_id) FROM bill24_get_bills('2025-07-01', '2025-07-02');
SELECT pages();
BEGIN;
DECLARE c CURSOR FOR SELECT ref_id FROM bill24_get_bills('2025-07-01', '2025-07-02');
FETCH 1 FROM c;
SELECT pages();
MOVE 99 FROM c;
SELECT pages();
FETCH 1 FROM c;
SELECT pages();
CLOSE c;
COMMIT;
-- two at once, and none of them disturbs the other
SELECT count(*) FROM bill24_get_bills('2025-07-01', '2025-07-01') a JOIN bill24_get_bills('2025-07-01', '2025-07-02') b USING (ref_id);
SELECT count(*) FROM generate_series(1, 3) d,
	LATERAL (SELECT * FROM bill24_get_bills('2025-07-01', '2025-07-02', server => 'bill24') LIMIT d) b;

-- what is asked for
SELECT count(*) FROM bill24_get_bills('2025-07-01', '2025-07-01');
SELECT count(*) FROM bill24_get_bills('2025-07-02', '2025-07-02');
SELECT count(*) FROM bill24_get_bills('2025-07-03', '2025-07-31');
SELECT count(*) FROM bill24_get_bills('2025-07-02', '2025-07-01');
SELECT count(*) FROM bill24_get_bills('2025-07-01', '2025-07-02', 'C0002');
SELECT count(*) FROM bill24_get_bills('2025-07-01', '2025-07-02', sync_code => 'NOBODY');
SELECT count(*), min(currency) FROM bill24_get_bills('2025-07-01', '2025-07-02', currency => 'USD');
SELECT count(*) FROM bill24_get_bills('2025-07-01', '2025-07-02', 'C0001', 'USD');
SELECT bill24_request('POST', '/_sim/config', '{"record": true}') -> 'record' AS record;
SELECT count(*) FROM bill24_get_bills('2025-07-01', '2025-07-02', 'a/b &?=ក', 'KHR');
SELECT count(*) FROM bill24_get_bills('0044-03-15', '9999-12-31') WHERE ref_id = 'none';
SELECT r ->> 'method' AS method, r ->> 'url' AS url FROM jsonb_array_elements(bill24_request('GET', '/_sim/requests')) r;
SELECT bill24_request('POST', '/_sim/config', '{"record": false}') -> 'record' AS record;
SELECT try($$SELECT count(*) FROM bill24_get_bills(NULL, '2025-07-02')$$);
SELECT try($$SELECT count(*) FROM bill24_get_bills('2025-07-01', NULL)$$);
SELECT try($$SELECT count(*) FROM bill24_get_bills('2025-07-01', 'infinity')$$);
SELECT try($$SELECT count(*) FROM bill24_get_bills('0044-03-15 BC', '2025-07-02')$$);
SELECT try($$SELECT count(*) FROM bill24_get_bills('2025-07-01', '2025-07-02', repeat('x', 51))$$);
SELECT try($$SELECT count(*) FROM bill24_get_bills('2025-07-01', '2025-07-02', server => NULL)$$);
SELECT try($$SELECT count(*) FROM bill24_get_bills('2025-07-01', '2025-07-02', server => 'nowhere')$$);

-- an exactly full page
SELECT bill24_request('POST', '/_sim/seed_bills', '{"sync_code": "C0003", "count": 100, "amount": "1", "date": "2025-08-01"}');
SELECT pages() >= 0 AS counting;
SELECT count(*) FROM bill24_get_bills('2025-08-01', '2025-08-01');
SELECT pages();

-- a server whose pages are not what it says
SELECT bill24_request('POST', '/_sim/config', '{"page_quirk": "repeat"}') -> 'page_quirk' AS page_quirk;
SELECT try($$SELECT count(*) FROM bill24_get_bills('2025-07-01', '2025-07-02')$$);
SELECT bill24_request('POST', '/_sim/config', '{"page_quirk": "wrong_index"}') -> 'page_quirk' AS page_quirk;
SELECT try($$SELECT count(*) FROM bill24_get_bills('2025-07-01', '2025-07-02')$$);
SELECT bill24_request('POST', '/_sim/config', '{"page_quirk": "empty_promise"}') -> 'page_quirk' AS page_quirk;
SELECT try($$SELECT count(*) FROM bill24_get_bills('2025-07-01', '2025-07-02')$$);
SELECT bill24_request('POST', '/_sim/config', '{"page_quirk": "endless"}') -> 'page_quirk' AS page_quirk;
SELECT pages() >= 0 AS counting;
SELECT count(*) FROM (SELECT FROM bill24_get_bills('2025-07-01', '2025-07-02') LIMIT 250) b;
SELECT pages();
SELECT try($$SELECT count(*) FROM bill24_get_bills('2025-07-01', '2025-07-02')$$);
SELECT pages();
-- 625 rows in one page of ten, as the documentation shows it
SELECT bill24_request('POST', '/_sim/config', '{"page_quirk": "documented"}') -> 'page_quirk' AS page_quirk;
SELECT count(*), count(DISTINCT ref_id) FROM bill24_get_bills('2025-07-01', '2025-07-02');
SELECT bill24_request('POST', '/_sim/config', '{"page_quirk": "none"}') -> 'page_quirk' AS page_quirk;

-- an error in the middle loses no bill without a word
SELECT bill24_request('POST', '/_sim/fault', '{"kind": "status", "path": "/instant_payment/get_bills", "skip": 1}') ? 'fault' AS asked;
SELECT try($$SELECT count(*) FROM bill24_get_bills('2025-07-01', '2025-07-02')$$);
SELECT bill24_request('POST', '/_sim/fault', '{"kind": "patch", "path": "/instant_payment/get_bills", "set": {"data.bills.3.total_amount": "much"}}') ? 'fault' AS asked;
SELECT try($$SELECT count(*) FROM bill24_get_bills('2025-07-01', '2025-07-02')$$);
SELECT bill24_request('POST', '/_sim/fault', '{"kind": "patch", "path": "/instant_payment/get_bills", "set": {"data.bills.3": null}}') ? 'fault' AS asked;
SELECT try($$SELECT count(*) FROM bill24_get_bills('2025-07-01', '2025-07-02')$$);
SELECT bill24_request('POST', '/_sim/fault', '{"kind": "patch", "path": "/instant_payment/get_bills", "remove": ["data.bills"]}') ? 'fault' AS asked;
SELECT try($$SELECT count(*) FROM bill24_get_bills('2025-07-01', '2025-07-02')$$);
SELECT bill24_request('POST', '/_sim/expire_tokens') AS expired;
SELECT count(*) FROM bill24_get_bills('2025-07-01', '2025-07-02');

-- without pagination there is one page; the older answer is a bare array
SELECT bill24_request('POST', '/_sim/fault', '{"kind": "patch", "path": "/instant_payment/get_bills", "remove": ["data.pagination"]}') ? 'fault' AS asked;
SELECT count(*) FROM bill24_get_bills('2025-07-02', '2025-07-02');
SELECT bill24_request('POST', '/_sim/fault', '{"kind": "body", "path": "/instant_payment/get_bills", "body": {"code": "000", "data": [
	{"ref_id": "OLD1", "date": "2025-04-04T00:00:00", "due_date": "2025-04-11T00:00:00Z", "description": "older", "currency": "KHR",
	 "total_amount": 10.50, "customer_sync_code": "C0009", "total_tax": 0.5, "invoice_status": "success",
	 "details": [{"item_mame": "A001", "tax_name": "VAT"}],
	 "payment": {"checkout_link": "https://example.com/1", "checkout_ref": "1", "payment_date": "2025-04-08T11:51:58.0492219", "payment_ref": "FT1", "payment_method": "wallet"}},
	{"ref_id": "OLD2"}]}}') ? 'fault' AS asked;
SELECT * FROM bill24_get_bills('2025-04-01', '2025-04-30');
SELECT bill24_request('POST', '/_sim/fault', '{"kind": "body", "path": "/instant_payment/get_bills", "body": {"code": "SUCCESS", "data": []}}') ? 'fault' AS asked;
SELECT count(*) FROM bill24_get_bills('2025-04-01', '2025-04-30');

-- times as they are printed, without the zone of the session
SELECT bill24_request('POST', '/_sim/fault', jsonb_build_object('kind', 'body', 'path', '/instant_payment/get_bills', 'body',
	jsonb_build_object('code', '000', 'data', jsonb_agg(jsonb_build_object('ref_id', t, 'date', t))))) ? 'fault' AS asked
FROM unnest(ARRAY['2024-06-22T02:41:55.350Z', '2024-06-22T02:41:55.350', '2025-07-08T00:00:00', '2025-04-08T11:51:58.049221',
	'2024-06-24T14:46:07.8930774+07:00', '2024-06-24 14:46:07', '2024-06-24', '0001-01-01T00:00:00', '9999-12-31T23:59:59.9999999', '']) t;
SET timezone = 'America/New_York';
SELECT ref_id, date FROM bill24_get_bills('2025-04-01', '2025-04-30');
CREATE FUNCTION dated(t text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM bill24_request('POST', '/_sim/fault', jsonb_build_object('kind', 'body', 'path', '/instant_payment/get_bills', 'body',
		jsonb_build_object('code', '000', 'data', jsonb_build_array(jsonb_build_object('date', t)))));
	RETURN QUERY SELECT try('SELECT date FROM bill24_get_bills(''2025-04-01'', ''2025-04-30'')');
END $$;
SELECT t, (SELECT d ~ '^08P01: ' FROM dated(t) d LIMIT 1) AS refused
FROM unnest(ARRAY['tomorrow', '2025-02-29', '2025-13-01', '2025-01-01T25:00:00', '2025-01-01T10:00', '20250101', '2025-01-01T10:00:00 BC', '0000-01-01T00:00:00', 'now', 'infinity']) t;

SET client_min_messages = warning;
DROP FUNCTION dated(text);
DROP FUNCTION pages();

DROP FUNCTION try(text);
DROP EXTENSION bill24 CASCADE;
