--
-- Payments: what is signed, what is sent, what is refused, and that nothing is
-- charged twice.
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

-- a member of the body that a payment would have
CREATE FUNCTION body(request jsonb) RETURNS text LANGUAGE sql AS $$
	SELECT bill24_preview('settle_payment',
		'{"ref_id": "R0001", "sync_code": "C0001", "amount": 100, "currency": "KHR", "payment_to": "ST001",
		  "bill_date": "2025-11-20", "due_date": "2099-12-31"}' || request) ->> 'body'
$$;
CREATE FUNCTION hash(request jsonb) RETURNS text LANGUAGE sql AS $$
	SELECT body(request)::jsonb ->> 'hash'
$$;
SET client_min_messages = notice;
SET timezone = 'UTC';
SELECT bill24_request('POST', '/_sim/reset') AS reset;

-- the hash, as computed by "openssl dgst -sha512 -hmac": a plain date counts as
-- its midnight, any other time is told in UTC
SELECT hash('{}') = 'dgvnSFHlTZgeW1rDts20XvGl/SsB25Mq89Kw4kbMaKrPasXfgr9XmVAxDaxDIXYQRJPaTVBsm+i9TBfdjaVGHA==' AS good;
SELECT hash('{"bill_date": "2025-11-20 00:00:00+00"}') = 'dgvnSFHlTZgeW1rDts20XvGl/SsB25Mq89Kw4kbMaKrPasXfgr9XmVAxDaxDIXYQRJPaTVBsm+i9TBfdjaVGHA==' AS good;
SELECT hash('{"bill_date": "2025-11-20 10:30:00+07"}') = '+6TrwsGkDt6fFfF6M7UKK44aYEwdN+1EXnI1W9VWVKzj9uxISSYSLgRdpiXGO2V1WjmzEjPMLysQ6KWotsqkXw==' AS good;
SELECT hash('{"bill_date": "2025-11-20 10:30:00.25+07"}') = '+6TrwsGkDt6fFfF6M7UKK44aYEwdN+1EXnI1W9VWVKzj9uxISSYSLgRdpiXGO2V1WjmzEjPMLysQ6KWotsqkXw==' AS good;
SELECT hash('{"bill_date": "2025-12-31 23:59:59.9999"}') = 'ykigWwTBfyrRnDqUodzdrFYxjT0INZhOG1g84uSafPWvDgP6MJ5iRW8LQL/I6kgn31xK6WYYNdpkgeNEvgjs9w==' AS good;
SELECT hash('{"amount": 10.50, "currency": "USD"}') = 'CY/EkdTHWKCAFs8Ob3PxjsOpFUQVsIQyyyIQ1Mb78FloKVP35+vNfHwrJSn5/Ghzqit0TvTh0AZLSq5yWcJ7YA==' AS good;
SELECT hash('{"amount": 0}') = 'u01rCjinNxlqLrUpAZlpAxSoLifTziiB9BAYzYLp8fxyy6ckDRLiBJ7gU2zPXpkq8iFQ1hdrJWVadef4P/z8Jw==' AS good;
SELECT hash('{"ref_id": "វិក្កយបត្រ", "sync_code": "អតិថិជន", "amount": 123456789012345678901234567890.12}') = 'Y7J47zqaS9OrBQhNevxQi3gpohn32Pwt1YwDGpBWqdZcJE9RfOt5c2627agL9EC0VLLYaLuPU6l2cawQDp/MHg==' AS good;
SELECT hash('{"ref_id": "a/b\"c", "sync_code": "C 1", "amount": 1}') = 'dFcIEK9yDmAEHERACNoPywOh7Z/QGrouHPgCIcasMSF14an2v6c6gLR+SxB+xobylKY8OhRle1dQe3wFu/0xbw==' AS good;
ALTER USER MAPPING FOR CURRENT_USER SERVER bill24 OPTIONS (SET hash_token 'ស្ងាត់');
SELECT hash('{}') = 'V5vuMvnIXI+Owfum2Z+g2hadqoke0NP7XH3J9eDPP5aIxP/qn0Tn+1YhwIE1xJa0YVuJMETe1PmsJ9wSaGmHDA==' AS good;
ALTER USER MAPPING FOR CURRENT_USER SERVER bill24 OPTIONS (SET hash_token 'demo-hash-token');

-- a midnight is the one of the session's time zone
SELECT body('{"bill_date": "2025-11-20 00:00:00+07", "due_date": "2025-11-27 12:00:00+07"}') ~
	'"date":"2025-11-19T17:00:00Z","due_date":"2025-11-27T05:00:00Z"' AS good;
SET timezone = 'Asia/Phnom_Penh';
SELECT body('{"bill_date": "2025-11-20 00:00:00+07", "due_date": "2025-11-27 12:00:00+07"}') ~
	'"date":"2025-11-20","due_date":"2025-11-27T05:00:00Z"' AS good;
SELECT hash('{"bill_date": "2025-11-20 00:00:00+07"}') = hash('{"bill_date": "2025-11-20"}') AS good;
SELECT hash('{"bill_date": "2025-11-20 10:30:00"}') = '+6TrwsGkDt6fFfF6M7UKK44aYEwdN+1EXnI1W9VWVKzj9uxISSYSLgRdpiXGO2V1WjmzEjPMLysQ6KWotsqkXw==' AS good;
SET timezone = 'America/New_York';
SELECT hash('{"bill_date": "2025-11-20"}') = 'dgvnSFHlTZgeW1rDts20XvGl/SsB25Mq89Kw4kbMaKrPasXfgr9XmVAxDaxDIXYQRJPaTVBsm+i9TBfdjaVGHA==' AS good;
SELECT hash('{"bill_date": "2025-11-19 12:00:00"}') = 'eCM/fikXQ9aOPcSbDIelCocFrwcXEqSV3LR840vNmpQDhOwQI3lRBFi2MngUf6TdQ0P7WfYQiqGQ9o8h1rCD4A==' AS good;
SELECT body('{"bill_date": "2025-07-01 00:00:00", "due_date": "2025-07-01 00:00:00-05"}') ~
	'"date":"2025-07-01","due_date":"2025-07-01T05:00:00Z"' AS good;
SET datestyle = 'SQL, DMY';
SELECT hash('{"bill_date": "2025-11-20"}') = 'dgvnSFHlTZgeW1rDts20XvGl/SsB25Mq89Kw4kbMaKrPasXfgr9XmVAxDaxDIXYQRJPaTVBsm+i9TBfdjaVGHA==' AS good;
RESET datestyle;

-- amounts are sent and signed without needless digits
SET timezone = 'UTC';
SELECT a, substring(body(jsonb_build_object('amount', a)) FROM '"total_amount":([^,]*),') AS sent
FROM unnest('{100, 100.00, 10.50, 0, 0.00, 0.1, 0.0000001, 1e3, 12345678901234567890, 99999999999999.99}'::numeric[]) a;
SELECT length(substring(body(jsonb_build_object('amount', 1e500)) FROM '"total_amount":([^,]*),')) AS digits;
SELECT try($$SELECT body('{"amount": -0.01}')$$);
SELECT try($$SELECT body('{"amount": "NaN"}')$$);
SELECT try($$SELECT bill24_settle_payment('R0001', 'C0001', 'NaN', 'KHR', 'ST001', '2025-11-20', '2099-12-31')$$);
SELECT try($$SELECT bill24_settle_payment('R0001', 'C0001', -1, 'KHR', 'ST001', '2025-11-20', '2099-12-31')$$);
SELECT try($$SELECT bill24_settle_payment('R0001', 'C0001', 1, 'KHR', 'ST001', '2025-11-20', '2099-12-31', total_tax => -1)$$);
-- PostgreSQL 13 has no infinite numbers
SELECT try($$SELECT body('{"amount": "Infinity"}')$$) ~ '^(22023|22P02): ' AS refused LIMIT 1;
SELECT try($$SELECT body('{"amount": "-Infinity"}')$$) ~ '^(22023|22P02): ' AS refused LIMIT 1;

-- times that no calendar of the provider has
SELECT try($$SELECT bill24_settle_payment('R0001', 'C0001', 1, 'KHR', 'ST001', 'infinity', '2099-12-31')$$);
SELECT try($$SELECT bill24_settle_payment('R0001', 'C0001', 1, 'KHR', 'ST001', '2025-11-20', '-infinity')$$);
SELECT try($$SELECT bill24_settle_payment('R0001', 'C0001', 1, 'KHR', 'ST001', '0044-03-15 BC', '2099-12-31')$$);
SELECT try($$SELECT bill24_settle_payment('R0001', 'C0001', 1, 'KHR', 'ST001', '2025-11-20', '10000-01-01')$$);

-- what is required
SELECT try($$SELECT bill24_settle_payment(NULL, 'C0001', 1, 'KHR', 'ST001', '2025-11-20', '2099-12-31')$$);
SELECT try($$SELECT bill24_settle_payment('', 'C0001', 1, 'KHR', 'ST001', '2025-11-20', '2099-12-31')$$);
SELECT try($$SELECT bill24_settle_payment('R0001', NULL, 1, 'KHR', 'ST001', '2025-11-20', '2099-12-31')$$);
SELECT try($$SELECT bill24_settle_payment('R0001', repeat('x', 51), 1, 'KHR', 'ST001', '2025-11-20', '2099-12-31')$$);
SELECT try($$SELECT bill24_settle_payment('R0001', 'C0001', NULL, 'KHR', 'ST001', '2025-11-20', '2099-12-31')$$);
SELECT try($$SELECT bill24_settle_payment('R0001', 'C0001', 1, NULL, 'ST001', '2025-11-20', '2099-12-31')$$);
SELECT try($$SELECT bill24_settle_payment('R0001', 'C0001', 1, 'KHR', '', '2025-11-20', '2099-12-31')$$);
SELECT try($$SELECT bill24_settle_payment('R0001', 'C0001', 1, 'KHR', 'ST001', NULL, '2099-12-31')$$);
SELECT try($$SELECT bill24_settle_payment('R0001', 'C0001', 1, 'KHR', 'ST001', '2025-11-20', NULL)$$);
SELECT bill24_request('GET', '/_sim/stats') -> 'requests' AS requests;

-- payments
SELECT sync_code FROM bill24_create_customer('C0001', 'Customer A', wallets =>
	'[{"name": "Riel", "currency": "KHR"}, {"name": "Dollar", "currency": "USD"}]');
SELECT bill24_request('POST', '/_sim/topup', '{"sync_code": "C0001", "currency": "KHR", "amount": 1000}') -> 'balance' AS balance;
SELECT bill24_request('POST', '/_sim/topup', '{"sync_code": "C0001", "currency": "USD", "amount": "12.75"}') -> 'balance' AS balance;
SELECT bill24_request('POST', '/_sim/config', '{"record": true}') -> 'record' AS record;
SELECT token FROM bill24_get_payment_methods('C0001') WHERE name = 'Dollar' \gset
SELECT * FROM bill24_settle_payment('R0001', 'C0001', 100, 'KHR', 'ST001', '2025-11-20', '2099-12-31');
SELECT * FROM bill24_settle_payment('R0002', 'C0001', 10.50, 'USD', 'ST001', '2025-11-20 10:30:00.123456+07', '2099-12-31 23:59:59',
	'វិក្កយបត្រ', :'token', 0.50, 43050, '4100',
	'[{"item_name": "100KWh", "description": "for charge", "quantity": 2, "price": 5.25, "amount": 10.50}]');
SELECT bill_status, payment_status FROM bill24_settle_payment('R0003', 'C0001', 0, 'KHR', 'ST001', current_date, '2099-12-31',
	payment_method_token => '', details => '[]');
SELECT bill_status, payment_status FROM bill24_settle_payment('R0004', 'C0001', 0.01, 'KHR', 'ST001', now(), now() + interval '7 days',
	details => 'null');
SELECT bill_status, payment_status FROM bill24_settle_payment('វិ/១ ?', 'C0001', 1, 'KHR', 'ST001', '2025-11-20', '2099-12-31');
SELECT replace(r ->> 'body', :'token', '(token)') AS body FROM jsonb_array_elements(bill24_request('GET', '/_sim/requests')) r
WHERE r ->> 'body' ~ 'R000[12]';
SELECT currency, balance FROM bill24_get_wallet_balance('C0001');

-- every refusal that the server was seen to make
SELECT sync_code FROM bill24_create_customer('POOR', 'Poor', wallets => '[{"name": "Riel", "currency": "KHR"}]');
SELECT try($$SELECT bill24_settle_payment('R0001', 'C0001', 100, 'KHR', 'ST001', '2025-11-20', '2099-12-31')$$);
SELECT try($$SELECT bill24_settle_payment('F0001', 'NOBODY', 100, 'KHR', 'ST001', '2025-11-20', '2099-12-31')$$);
SELECT try($$SELECT bill24_settle_payment('F0001', 'C0001', 100, 'KHR', 'ST999', '2025-11-20', '2099-12-31')$$);
SELECT try($$SELECT bill24_settle_payment('F0001', 'C0001', 100, 'KHR', 'ST001', '2025-11-20', '2099-12-31', payment_method_token => 'wrong')$$);
SELECT try($$SELECT bill24_settle_payment('F0001', 'C0001', 100, 'EUR', 'ST001', '2025-11-20', '2099-12-31')$$);
SELECT try($$SELECT bill24_settle_payment('F0001', 'C0001', 100, 'KHR', 'ST001', '2025-11-20', '2025-11-20')$$);
SELECT try($$SELECT bill24_settle_payment('F0001', 'C0001', 100, 'KHR', 'ST001', '2025-11-20', '2025-11-21')$$);
SELECT try($$SELECT bill24_settle_payment('F0001', 'C0001', 100, 'KHR', 'ST001', '2099-12-31', '2099-12-30')$$);
SELECT try($$SELECT bill24_settle_payment('F0001', 'C0001', 100, 'KHR', 'ST001', '2025-11-20', '2099-12-31', details => '[{"amount": 50}]')$$);
SELECT try($$SELECT bill24_settle_payment('F0001', 'C0001', 100, 'KHR', 'ST001', '2025-11-20', '2099-12-31', details => '{"amount": 100}')$$);
ALTER USER MAPPING FOR CURRENT_USER SERVER bill24 OPTIONS (SET hash_token 'wrong');
SELECT try($$SELECT bill24_settle_payment('F0001', 'C0001', 100, 'KHR', 'ST001', '2025-11-20', '2099-12-31')$$);
ALTER USER MAPPING FOR CURRENT_USER SERVER bill24 OPTIONS (DROP hash_token);
SELECT try($$SELECT bill24_settle_payment('F0001', 'C0001', 100, 'KHR', 'ST001', '2025-11-20', '2099-12-31')$$);
SELECT name FROM bill24_get_customer('C0001');
ALTER USER MAPPING FOR CURRENT_USER SERVER bill24 OPTIONS (ADD hash_token 'demo-hash-token');
SELECT bill24_get_bill('F0001', missing_ok => true) IS NULL AS missing;

-- a bill that cannot be paid stays, unpaid, and its key is used up
SELECT try($$SELECT bill24_settle_payment('P0001', 'POOR', 100, 'KHR', 'ST001', '2025-11-20', '2099-12-31')$$);
SELECT ref_id, total_amount, bill_status, checkout_link IS NOT NULL AS has_link, payment_date, payment_method FROM bill24_get_bill('P0001');
SELECT try($$SELECT bill24_settle_payment('P0001', 'POOR', 100, 'KHR', 'ST001', '2025-11-20', '2099-12-31')$$);
SELECT try($$SELECT bill24_get_transaction('P0001')$$);

-- codes of the documentation
CREATE TABLE answers (n int PRIMARY KEY GENERATED ALWAYS AS IDENTITY, answer jsonb);
INSERT INTO answers (answer) VALUES
	('{"code": "101", "message": "The[total_amount] field must be equal to 50", "message_kh": "[total_amount] គួរតែមានតម្លៃស្មើនឹង 50"}'),
	('{"code": "310", "message": "Biller has not enabled BILLFLOW. Please enable and try again"}'),
	('{"code": "312", "message": "Payment method not found"}'),
	('{"code": "316", "message": "Settlement supplier link not found"}'),
	('{"code": "317", "message": "Hash token config not found"}'),
	('{"code": "323", "message": "Bill(s) already paid."}'),
	('{"code": "402", "message": "Not known here"}'),
	('{"code": 401, "message": "As a number"}'),
	('{"code": "200", "message": "Not what this operation calls a success"}'),
	('{"code": "0", "message": "Nor this"}'),
	('{"code": "success", "message": "Nor this"}');
CREATE FUNCTION settle_with(answer jsonb) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM bill24_request('POST', '/_sim/fault', jsonb_build_object('kind', 'body', 'effect', false,
		'path', '/bill_payment/push_bill_with_payment', 'body', answer));
	RETURN QUERY SELECT try($q$SELECT bill24_settle_payment('A0001', 'C0001', 1, 'KHR', 'ST001', '2025-11-20', '2099-12-31')$q$);
END $$;
SELECT settle_with(answer) FROM answers ORDER BY n;
-- both words for success
SELECT settle_with('{"code": "000", "message": "Push bill and capture payment successfully !", "data": {"bill": {"status": "success"}, "payment": {"status": "success"}}}');
SELECT settle_with('{"code": "SUCCESS", "data": {"bill": {"status": "success"}, "payment": null}}');
SELECT settle_with('{"code": "000", "data": null}');
SELECT bill24_get_bill('A0001', missing_ok => true) IS NULL AS missing;

-- an answer that is lost: the payment is there, and is not made again
SELECT bill24_request('POST', '/_sim/fault', '{"kind": "drop_after", "path": "/bill_payment/push_bill_with_payment"}') ? 'fault' AS asked;
SELECT regexp_replace(try($$SELECT bill24_settle_payment('D0001', 'C0001', 1, 'KHR', 'ST001', '2025-11-20', '2099-12-31')$$),
	'(unknown): .*', '\1: (...)');
SELECT bill_status FROM bill24_get_bill('D0001');
SELECT try($$SELECT bill24_settle_payment('D0001', 'C0001', 1, 'KHR', 'ST001', '2025-11-20', '2099-12-31')$$);
SELECT bill24_request('POST', '/_sim/fault', '{"kind": "drop_before", "path": "/bill_payment/push_bill_with_payment"}') ? 'fault' AS asked;
SELECT regexp_replace(try($$SELECT bill24_settle_payment('D0002', 'C0001', 1, 'KHR', 'ST001', '2025-11-20', '2099-12-31')$$),
	'(unknown): .*', '\1: (...)');
SELECT bill24_get_bill('D0002', missing_ok => true) IS NULL AS missing;
SELECT bill_status FROM bill24_settle_payment('D0002', 'C0001', 1, 'KHR', 'ST001', '2025-11-20', '2099-12-31');
SELECT bill24_request('POST', '/_sim/fault', '{"kind": "status", "effect": true, "path": "/bill_payment/push_bill_with_payment"}') ? 'fault' AS asked;
SELECT try($$SELECT bill24_settle_payment('D0003', 'C0001', 1, 'KHR', 'ST001', '2025-11-20', '2099-12-31')$$);
-- an expired token is no reason to charge twice either
SELECT bill24_request('POST', '/_sim/expire_tokens') AS expired;
SELECT bill_status FROM bill24_settle_payment('D0004', 'C0001', 1, 'KHR', 'ST001', '2025-11-20', '2099-12-31');

SELECT e ->> 'key' AS ref_id, e ->> 'amount' AS amount, e ->> 'currency' AS currency
FROM jsonb_array_elements(bill24_request('GET', '/_sim/effects')) e WHERE e ->> 'effect' = 'charge' ORDER BY (e ->> 'n')::int;
SELECT currency, balance FROM bill24_get_wallet_balance('C0001');

SET client_min_messages = warning;
DROP TABLE answers;
DROP FUNCTION settle_with(jsonb);
DROP FUNCTION hash(jsonb);
DROP FUNCTION body(jsonb);

DROP FUNCTION try(text);
DROP EXTENSION bill24 CASCADE;
