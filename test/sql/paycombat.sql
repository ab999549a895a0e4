--
-- PayCombat: accounts, calls, signatures, jobs.
--
\pset format unaligned
\pset null '(null)'
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS bill24 CASCADE;
-- as in a copy: nothing is delivered
BEGIN;
CREATE EXTENSION bill24;
UPDATE bill24.home SET database = 1;
COMMIT;
\set url `echo "$B24SIM_URL"`
\set x_token snd_eyJtZXJjaGFudF9pZCI6IjU3NzMxMWM3LTk3ODgtNGVjMS04NTAxLTg2YWU2OWIxMzRlNiIsImVudmlyb25tZW50Ijoic2FuZGJveCIsIm9yZ2FuaXphdGlvbiI6Im9yZ181OWI4ZmIyZjUyMjU0Zjk1YWM1NGQwZTE0MGY0ZTQyOSIsImlzc3VlZCI6IjIwMjUtMDYtMTBUMDE6MDk6NDQuMDAwWiJ9
SET timezone = 'Asia/Phnom_Penh';
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

-- options of a server: its own, and not the other provider's
CREATE SERVER plain FOREIGN DATA WRAPPER paycombat;
SELECT srvoptions FROM pg_foreign_server WHERE srvname = 'plain';
SELECT try($$ALTER SERVER plain OPTIONS (ADD base_url 'http://example.com')$$);
SELECT try($$ALTER SERVER plain OPTIONS (ADD base_url 'nonsense')$$);
SELECT try($$ALTER SERVER plain OPTIONS (ADD token 'x')$$);
SELECT try($$ALTER SERVER plain OPTIONS (ADD x_token 'x')$$);
SELECT try($$ALTER SERVER plain OPTIONS (ADD resend_unknwon 'true')$$);
SELECT try($$ALTER SERVER plain OPTIONS (ADD resend_unknown 'maybe')$$);
SELECT try($$ALTER SERVER plain OPTIONS (ADD bodyless_signature 'emp')$$);
SELECT try($$ALTER SERVER plain OPTIONS (ADD bodyless_signature '')$$);
SELECT try($$ALTER SERVER plain OPTIONS (ADD bodyless_signature 'none, empty')$$);
SELECT try($$ALTER SERVER plain OPTIONS (ADD bodyless_signature 'object')$$);
SELECT try($$ALTER SERVER plain OPTIONS (ADD delete_customer_path 'v2/{customer_id}')$$);
SELECT try($$ALTER SERVER plain OPTIONS (ADD delete_customer_path '/v2/delete')$$);
SELECT try($$ALTER SERVER plain OPTIONS (ADD delete_customer_path '/v2/{id}/{customer_id}')$$);
SELECT try($$ALTER SERVER plain OPTIONS (ADD delete_customer_path '/v2/{customer_id}?x=1')$$);
SELECT try($$ALTER SERVER plain OPTIONS (ADD delete_customer_path E'/v2/{customer_id}\r\nX: y')$$);
SELECT try($$ALTER SERVER plain OPTIONS (ADD create_customer_path '/v2/{customer_id}')$$);
SELECT try($$ALTER SERVER plain OPTIONS (ADD delete_customer_path '/v2/{customer_id}/delete')$$);
SELECT try($$CREATE SERVER other FOREIGN DATA WRAPPER bill24 OPTIONS (base_url 'https://example.com', resend_unknown 'true')$$);
DROP SERVER plain;

-- and of a user mapping
CREATE SERVER paycombat FOREIGN DATA WRAPPER paycombat OPTIONS (base_url :'url', allow_http 'true');
SELECT try($$SELECT paycombat_get_customer('c')$$);
SELECT * FROM paycombat_check();
SELECT try($$CREATE USER MAPPING FOR CURRENT_USER SERVER paycombat OPTIONS (token 'x')$$);
SELECT try($$CREATE USER MAPPING FOR CURRENT_USER SERVER paycombat OPTIONS (x_token '')$$);
SELECT try($$CREATE USER MAPPING FOR CURRENT_USER SERVER paycombat OPTIONS (credentials_file '/x', x_token 'y')$$);
CREATE USER MAPPING FOR CURRENT_USER SERVER paycombat OPTIONS (x_token 'wrong-token-of-somebody');
SELECT step, ok, regexp_replace(detail, '[0-9.:]+|http\S+', 'N', 'g') AS detail, hint FROM paycombat_check();
SELECT try($$SELECT paycombat_create_customer('individual', 'x')$$);
SELECT try($$SELECT paycombat_get_customer('c')$$);
ALTER USER MAPPING FOR CURRENT_USER SERVER paycombat OPTIONS (SET x_token E'a\r\nX-Evil: 1');
SELECT try($$SELECT paycombat_get_customer('c')$$);
ALTER USER MAPPING FOR CURRENT_USER SERVER paycombat OPTIONS (SET x_token :'x_token', ADD signature_key 'wrong-key-of-somebody');
SELECT try($$SELECT paycombat_create_customer('individual', 'x')$$);
ALTER USER MAPPING FOR CURRENT_USER SERVER paycombat OPTIONS (SET signature_key 'demo-signature-key');
SELECT step, ok, regexp_replace(detail, '[0-9.:]+|http\S+', 'N', 'g') AS detail FROM paycombat_check();

-- one provider's functions are not for the other's servers
CREATE SERVER bill24 FOREIGN DATA WRAPPER bill24 OPTIONS (base_url :'url', allow_http 'true');
CREATE USER MAPPING FOR CURRENT_USER SERVER bill24 OPTIONS (
	token '00000000-0000-4000-8000-000000000001', client_id 'demo_client',
	secret 'demo-secret', hash_token 'demo-hash-token');
SELECT try($$SELECT bill24_get_customer('C1', 'paycombat')$$);
SELECT try($$SELECT paycombat_get_customer('c', server => 'bill24')$$);
SELECT try($$SELECT bill24_check('paycombat')$$);
SELECT try($$SELECT paycombat_check('bill24')$$);
SELECT try($$SELECT bill24_request('GET', '/', server => 'paycombat')$$);
SELECT try($$SELECT paycombat_request('GET', '/', server => 'bill24')$$);
SELECT try($$SELECT bill24_preview('settle_payment', '{}', 'paycombat')$$);
SELECT try($$SELECT bill24_enqueue('bill24_create_customer', '{}', 'paycombat')$$);
SELECT try($$SELECT bill24_enqueue('paycombat_create_customer', '{}')$$);
SELECT try($$SELECT paycombat_get_customer('c', server => NULL)$$);
SELECT try($$SELECT paycombat_get_customer('c', server => 'nowhere')$$);
SELECT bill24_enqueue('create_customer', '{"sync_code": "C1", "name": "A"}') > 0 AS ok;
-- every operation of PayCombat's has its function
SELECT try($$SELECT paycombat_preview('none', '{}')$$);

-- Create Customer, every field filled
\set individual '{"first_name":"សុខា/Ana","last_name":"김","dob":"1997-01-01","email":"ana@example.com","identification_type":"NATIONAL_ID","identification_value":"0000/1","address_line1":"Blok C/1 \\"A\\"","address_line2":"RT 000, RW 000","address_city":"서울특별시","address_state":"CENTRAL JAVA","address_country":"KR","address_zip_code":"50000","country_of_residence":"ID","nationality":"ID","phone_country_code":"+62","phone_number":"80000000000"}'
\set company '{"name":"ក្រុមហ៊ុន A/B","registration_number":"R/1","incorporation_country":"KH","company_email":"a@example.com","address_line1":"1","address_line2":"2","address_city":"ភ្នំពេញ","address_state":"PP","address_country":"KH","address_zip_code":"12000","phone_country_code":"+855","phone_number":"10795790","authorized_user":{"first_name":"대한","email":"u@example.com","last_name":"민국","dob":"1990-12-31","identification_type":"PASSPORT","identification_value":"X/9","nationality":"KR","address_line1":"1","address_line2":"2","address_state":"s","address_city":"c","address_country":"KR","address_zip_code":"1","country_of_residence":"KR","phone_country_code":"+82","phone_number":"1"}}'
\set metadata '{"10":"b","2":"a","path":"a/b","n":10.0,"small":0.0000001,"big":1e21,"list":[1.50,null,true,{"z":1,"0":2}],"emoji":"😀\\u2028","a.b":-0.0}'
SELECT customer_id ~ '^customer_[0-9a-f]{32}$' AS has_id, org_id, type, description, webhook_url, is_active, is_wallet_ready,
	organization_reference_id, is_gca_enabled, gca_activation_status, gca_activated_at, is_sender_validation_enabled,
	payin_sender_id_list, company_domain, created_by, abs(extract(epoch FROM created_at - now())) < 100 AS created_now,
	updated_at = created_at AS not_updated, metadata = :'metadata'::jsonb AS same_metadata,
	individual = :'individual'::jsonb AS same_individual, company = :'company'::jsonb AS same_company,
	raw ->> 'customer_id' = customer_id AS has_raw, raw ->> 'created_at' ~ '^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$' AS raw_time
FROM paycombat_create_customer('individual', 'Test / ទាំងអស់ / 전부', :'individual', :'company', 'R-1/ក', :'metadata');
SELECT organization_reference_id, server, customer_id = customer ->> 'customer_id' AS id_same, type, is_active, is_wallet_ready,
	changed_at = synced_at AS new, deleted_at FROM bill24.paycombat_customer;
-- the same for a server that computes the signature of what it has read
SELECT paycombat_request('POST', '/_sim/config', '{"paycombat_signature": "reserialized", "record": true}') ->> 'paycombat_signature' AS reading;
SELECT metadata = :'metadata'::jsonb AS same FROM paycombat_create_customer('individual', 'x', :'individual', :'company', 'R-2', :'metadata');
SELECT paycombat_request('GET', '/_sim/requests') -> 0 ->> 'body' AS body;
SELECT metadata FROM paycombat_create_customer('individual', 'x', metadata => E'{"a": 1, "b": 2, "a": 3, "c": "\\u0001\\n\\/\\u001f\\u007f\\ud83d\\ude00"}');
SELECT paycombat_request('GET', '/_sim/requests') -> 1 ->> 'body' AS body;
SELECT paycombat_request('POST', '/_sim/config', '{"paycombat_signature": "raw", "paycombat_envelope": "double", "record": false}') ->> 'paycombat_envelope' AS envelope;
SELECT description, individual, metadata FROM paycombat_create_customer('company', 'In two envelopes', organization_reference_id => 'R-3');
SELECT description FROM paycombat_get_customer(organization_reference_id => 'R-3');
SELECT paycombat_request('POST', '/_sim/config', '{"paycombat_envelope": "single"}') ->> 'paycombat_envelope' AS envelope;
SELECT is_active FROM paycombat_disable_customer(organization_reference_id => 'R-3');
SELECT paycombat_request('POST', '/_sim/config', '{"paycombat_envelope": "documented"}') ->> 'paycombat_envelope' AS envelope;

-- what is refused before anything is sent
SELECT try($$SELECT paycombat_create_customer(NULL, 'x')$$);
SELECT try($$SELECT paycombat_create_customer('', 'x')$$);
SELECT try($$SELECT paycombat_create_customer('individual', NULL)$$);
SELECT try($$SELECT paycombat_create_customer('individual', 'x', '{}')$$);
SELECT try($$SELECT paycombat_create_customer('individual', 'x', '{"first_name": "a", "last_name": "b"}')$$);
SELECT try($$SELECT paycombat_create_customer('individual', 'x', '{"first_name": "a", "last_name": "", "address_country": "KH"}')$$);
SELECT try($$SELECT paycombat_create_customer('individual', 'x', '{"first_name": 1, "last_name": "b", "address_country": "KH"}')$$);
SELECT try($$SELECT paycombat_create_customer('individual', 'x', '[]')$$);
SELECT try($$SELECT paycombat_create_customer('company', 'x', company => '{"name": "a", "registration_number": "b", "address_country": "KH"}')$$);
SELECT try($$SELECT paycombat_create_customer('individual', 'x', metadata => '[1]')$$);
SELECT try($$SELECT paycombat_create_customer('individual', 'x', metadata => '{"n": 12345678901234567890}')$$);
SELECT try($$SELECT paycombat_create_customer('individual', 'x', metadata => '{"n": [0.1000000000000000000001]}')$$);
SELECT try($$SELECT paycombat_create_customer('individual', 'x', metadata => '{"n": 1e309}')$$);
SELECT try($$SELECT paycombat_create_customer('individual', 'x', metadata => '{"n": "\u0000"}')$$);
SELECT try($$SELECT paycombat_create_customer('individual', 'x', metadata => '{"n": "\ud800"}')$$);
SELECT try($$SELECT paycombat_create_customer('individual', 'x', metadata => '{"\udc00": 1}')$$);
SELECT try($$SELECT paycombat_request('POST', '/api/v1/customer/create', '["\ud800\ud800"]')$$);
SELECT try(format($$SELECT paycombat_create_customer('individual', 'x', metadata => '{"n": %s%s}')$$, repeat('[', 40), repeat(']', 40)));
SELECT try($$SELECT paycombat_update_customer(description => 'x')$$);
SELECT try($$SELECT paycombat_update_customer('', description => 'x')$$);
SELECT try($$SELECT paycombat_get_customer()$$);
SELECT try($$SELECT paycombat_get_customer('')$$);
SELECT try($$SELECT paycombat_get_customer('..')$$);
SELECT try($$SELECT paycombat_get_customer(organization_reference_id => 'nobody')$$);
SELECT try($$SELECT paycombat_disable_customer(organization_reference_id => repeat('x', 2000))$$);
-- JSON's null is sent as it is
SELECT metadata, individual FROM paycombat_create_customer('individual', 'x', metadata => 'null');

-- get, update, disable, delete
SELECT customer_id AS id FROM bill24.paycombat_customer WHERE organization_reference_id = 'R-1/ក' \gset
SELECT description, individual ->> 'last_name' AS last_name FROM paycombat_get_customer(:'id');
SELECT description, individual ->> 'last_name' AS last_name, individual -> 'email' AS email
FROM paycombat_update_customer(:'id', description => 'Changed', individual => '{"last_name": "이", "email": ""}');
SELECT customer ->> 'description' AS description, changed_at = synced_at AS changed FROM bill24.paycombat_customer WHERE customer_id = :'id';
-- looking again changes nothing but the time of that
SELECT description FROM paycombat_get_customer(organization_reference_id => 'R-1/ក');
SELECT changed_at < synced_at AS looked FROM bill24.paycombat_customer WHERE customer_id = :'id';
-- under another reference it is the same customer
SELECT organization_reference_id FROM paycombat_update_customer(:'id', organization_reference_id => 'R-1b');
SELECT organization_reference_id FROM bill24.paycombat_customer WHERE customer_id = :'id';
SELECT is_active, description FROM paycombat_disable_customer(:'id');
SELECT is_active FROM bill24.paycombat_customer WHERE customer_id = :'id';
SELECT description FROM paycombat_delete_customer(organization_reference_id => 'R-1b');
SELECT deleted_at IS NOT NULL AS deleted, customer ->> 'description' AS description FROM bill24.paycombat_customer WHERE customer_id = :'id';
SELECT try(format($$SELECT paycombat_get_customer(%L)$$, :'id'));
SELECT paycombat_get_customer(:'id', missing_ok => true);
SELECT try(format($$SELECT paycombat_disable_customer(%L)$$, :'id'));
-- with the option set it does not warn
ALTER SERVER paycombat OPTIONS (ADD delete_customer_path '/api/v1/customer/customer/{customer_id}');
SELECT try(format($$SELECT paycombat_delete_customer(%L)$$, :'id'));
-- in a transaction that only reads nothing is kept, and all else is as ever
BEGIN READ ONLY;
SELECT description FROM paycombat_get_customer((SELECT customer_id FROM bill24.paycombat_customer WHERE organization_reference_id = 'R-2'));
COMMIT;
-- what cannot be kept is no error of the call
ALTER TABLE bill24.paycombat_customer ADD CONSTRAINT regress CHECK (type <> 'regress');
SELECT type, description FROM paycombat_create_customer('regress', 'Not kept', organization_reference_id => 'R-9');
ALTER TABLE bill24.paycombat_customer DROP CONSTRAINT regress;

-- PATCH without a body, signed or not
SELECT paycombat_request('POST', '/_sim/config', '{"paycombat_bodyless": "empty"}') ->> 'paycombat_bodyless' AS wanted;
SELECT customer_id AS id FROM bill24.paycombat_customer WHERE organization_reference_id = 'R-2' \gset
SELECT try(format($$SELECT paycombat_disable_customer(%L)$$, :'id'));
ALTER SERVER paycombat OPTIONS (ADD bodyless_signature 'empty');
SELECT is_active FROM paycombat_disable_customer(:'id');
ALTER SERVER paycombat OPTIONS (SET bodyless_signature 'object');
SELECT try(format($$SELECT (paycombat_disable_customer(%L)).is_active$$, :'id')) ~ '^28000' AS refused LIMIT 1;
SELECT paycombat_request('POST', '/_sim/config', '{"paycombat_bodyless": "object"}') ->> 'paycombat_bodyless' AS wanted;
SELECT is_active FROM paycombat_disable_customer(:'id');
SELECT paycombat_request('POST', '/_sim/config', '{"paycombat_bodyless": "none"}') ->> 'paycombat_bodyless' AS wanted;
ALTER SERVER paycombat OPTIONS (DROP bodyless_signature);

-- every answer that is no success
CREATE FUNCTION answered(status int, body text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM paycombat_request('POST', '/_sim/fault', json_build_object('kind', 'body', 'path', '/api/v1/customer/create', 'body', body, 'status', status));
	RETURN QUERY SELECT try('SELECT (paycombat_create_customer(''individual'', ''x'')).customer_id');
END $$;
SELECT answered(400, '{"status":false,"message":"description is required"}');
SELECT answered(400, '{"message":["first","second"],"error":"Bad Request"}');
SELECT answered(400, 'upstream said no');
SELECT answered(401, '');
SELECT answered(403, '{"status":false,"message":"Forbidden"}');
SELECT answered(404, '<html>nothing here</html>');
SELECT answered(404, '{"statusCode":404,"message":"Cannot POST /api/v1/customer/create"}');
SELECT answered(409, '{"status":false,"message":"exists"}');
SELECT answered(418, '{}');
SELECT answered(422, '{"status":false}');
SELECT answered(429, '{"status":false}');
SELECT answered(500, '');
SELECT answered(200, '{"status":false,"message":"no"}');
SELECT answered(200, '{"status":true,"message":"OK","data":{"request_id":"r","success":false,"status_code":409,"data":null}}');
SELECT answered(200, '{"status":true,"message":"OK","data":{}}');
SELECT answered(200, '{"message":"OK","data":{"customer_id":"c"}}');
SELECT answered(200, '{"status":true,"data":{"customer_id":"c"');
SELECT answered(302, '{"status":true,"data":{"customer_id":"c"}}');
-- and what is one, with little in it, or too much, or the wrong
SELECT answered(200, '{"status":true,"data":{"customer_id":"c"}}');
SELECT answered(201, '{"status":true,"data":{"customer_id":"c","is_active":"yes"}}');
SELECT answered(200, '{"status":true,"data":{"customer_id":"c","created_at":"yesterday"}}');
SELECT answered(200, '{"status":true,"data":{"customer_id":"c","created_at":"2025-01-01T00:00:00.000+07:00","metadata":[1,"x"],"company_domain":"x","unknown":{}}}');
-- an answer about somebody else
SELECT paycombat_request('POST', '/_sim/fault', '{"kind": "body", "path": "/api/v1/customer/customer/{customer_id}", "body": "{\"status\":true,\"data\":{\"customer_id\":\"other\"}}"}') ? 'fault' AS ok;
SELECT try(format($$SELECT paycombat_get_customer(%L)$$, :'id'));

-- dry runs: the vector of the reference, and no secret
CREATE SERVER vector FOREIGN DATA WRAPPER paycombat;
CREATE USER MAPPING FOR CURRENT_USER SERVER vector OPTIONS (x_token 'snd_secret', signature_key 'sig_test_key');
SELECT jsonb_pretty(paycombat_preview('create_customer', '{"type": "individual", "description": "Test",
	"individual": {"first_name": "Ana", "last_name": "Lim", "address_country": "ID", "address_line1": "Blok C/1"}}', 'vector') #- '{headers,User-Agent}');
SELECT paycombat_preview('paycombat_update_customer', '{"metadata": {"b": 1, "a": 2.0}, "description": "", "customer_id": "customer_1"}', 'vector') #- '{headers,User-Agent}' AS preview;
SELECT paycombat_preview('get_customer', '{"customer_id": "a b/c"}', 'vector') ->> 'url' AS url;
SELECT paycombat_preview('disable_customer', '{"customer_id": "customer_1"}', 'vector') #- '{headers,User-Agent}' AS preview;
SELECT bill24_preview('delete_customer', '{"customer_id": "customer_1"}', 'vector') #- '{headers,User-Agent}' AS preview;
ALTER SERVER vector OPTIONS (ADD delete_customer_path '/v2/{customer_id}/delete');
SELECT bill24_preview('delete_customer', '{"customer_id": "customer_1"}', 'vector') ->> 'url' AS url;

-- a call with json keeps the order of the caller, and so has the reference's signature
SELECT paycombat_request('POST', '/_sim/config', '{"record": true}') ->> 'record' AS record;
SELECT customer_id <> '' AS created FROM paycombat_create_customer('individual', 'Test',
	'{"first_name": "Ana", "last_name": "Lim", "address_country": "ID", "address_line1": "Blok C\/1"}');
SELECT r ->> 'body' AS body, length(r #>> '{headers,signature}') AS signature_length,
	r #>> '{headers,Content-Type}' AS type, length(r #>> '{headers,X-token}') AS token_length
FROM jsonb_array_elements(paycombat_request('GET', '/_sim/requests')) r ORDER BY r -> 'n' DESC LIMIT 1;
SELECT is_active FROM paycombat_disable_customer(:'id');
SELECT r ->> 'method' AS method, r ->> 'body' AS body, r -> 'headers' ?| '{signature,Content-Type}' AS signed_or_typed
FROM jsonb_array_elements(paycombat_request('GET', '/_sim/requests')) r ORDER BY r -> 'n' DESC LIMIT 1;
SELECT paycombat_request('POST', '/_sim/config', '{"record": false}') ->> 'record' AS record;

-- webhooks
\set body '{"description":"Test","type":"individual","individual":{"first_name":"Ana","last_name":"Lim","address_country":"ID","address_line1":"Blok C/1"}}'
\set signature a463f120359e008aaba21ef6bca66edd761f89e9e861fe71ebddd09fdc52a070
SELECT paycombat_verify_webhook(:'body', :'signature', 'vector') AS good,
	paycombat_verify_webhook(:'body', upper(:'signature'), 'vector') AS upper,
	paycombat_verify_webhook(:'body' || ' ', :'signature', 'vector') AS other_body,
	paycombat_verify_webhook(:'body'::jsonb::text, :'signature', 'vector') AS as_jsonb,
	paycombat_verify_webhook(:'body', :'signature' || ' ', 'vector') AS longer,
	paycombat_verify_webhook(:'body', left(:'signature', 63), 'vector') AS shorter,
	paycombat_verify_webhook(:'body', '', 'vector') AS empty,
	paycombat_verify_webhook(:'body', repeat('g', 64), 'vector') AS no_hex,
	paycombat_verify_webhook(:'body', repeat('ក', 64), 'vector') AS khmer,
	paycombat_verify_webhook(:'body', NULL, 'vector') AS no_signature,
	paycombat_verify_webhook(NULL, :'signature', 'vector') AS no_body,
	paycombat_verify_webhook(:'body', :'signature') AS other_account;
SELECT paycombat_verify_webhook('', 'f9e66e179b6747ae54108f82f8ade8b3c25d76fd30afde6c395822c530196169', 'vector') AS nothing_of_another_key;
SELECT try($$SELECT paycombat_verify_webhook('x', 'y', NULL)$$);
SELECT try($$SELECT paycombat_verify_webhook('x', 'y', 'bill24')$$);
ALTER USER MAPPING FOR CURRENT_USER SERVER vector OPTIONS (DROP signature_key);
SELECT try($$SELECT paycombat_verify_webhook('x', 'y', 'vector')$$);

-- any path
SELECT paycombat_request('GET', '/api/v1/customer/customer/' || :'id') #>> '{data,customer_id}' = :'id' AS same;
SELECT paycombat_request('PATCH', '/api/v1/customer/update', json_build_object('customer_id', :'id', 'metadata', json_build_object('z', 1.0, 'a', 'x/y'))) #> '{data,metadata}' AS metadata;
SELECT try($$SELECT paycombat_request('GET', '/api/v1/customer/customer/none')$$);
SELECT try($$SELECT paycombat_request('POST', '/api/v1/customer/create', '{"n": 12345678901234567890}')$$);
SELECT try($$SELECT paycombat_request('POST', '/api/v1/customer/create', 'null')$$);
SELECT try($$SELECT paycombat_request('TRACE', '/')$$);
SELECT try($$SELECT paycombat_request('GET', 'x')$$);
SELECT try($$SELECT paycombat_request(NULL, '/')$$);

-- jobs
SELECT paycombat_enqueue('create_customer', '{"type": "individual", "description": "x", "organization_reference_id": "J1"}') > 0 AS ok;
SELECT bill24_enqueue('paycombat_update_customer', '{"organization_reference_id": "J1", "description": "y"}', 'paycombat') > 0 AS ok;
SELECT paycombat_enqueue('update_customer', jsonb_build_object('customer_id', :'id', 'description', 'y')) > 0 AS ok;
SELECT paycombat_enqueue('disable_customer', '{"customer_id": "customer_of_nobody"}') > 0 AS ok;
SELECT paycombat_enqueue('delete_customer', '{"organization_reference_id": "J1"}') > 0 AS ok;
SELECT server, operation, key, replace(request::text, :'id', 'ID') AS request, state FROM bill24.outbox WHERE server = 'paycombat' ORDER BY id;
SELECT try($$SELECT paycombat_enqueue('create_customer', '{"type": "individual", "description": "x"}')$$);
SELECT try($$SELECT paycombat_enqueue('create_customer', '{"type": "individual", "description": "x", "organization_reference_id": ""}')$$);
SELECT try($$SELECT paycombat_enqueue('create_customer', '{"type": "individual", "description": "x", "organization_reference_id": "J2", "individual": {}}')$$);
SELECT try($$SELECT paycombat_enqueue('create_customer', '{"type": "individual", "description": "x", "organization_reference_id": "J2", "metadata": {"n": 12345678901234567890}}')$$);
SELECT try(format($$SELECT paycombat_enqueue('create_customer', '{"type": "individual", "description": "x", "organization_reference_id": "%s"}')$$, repeat('x', 1001)));
SELECT try($$SELECT paycombat_enqueue('get_customer', '{"customer_id": "c"}')$$);
SELECT try($$SELECT paycombat_enqueue('disable_customer', '{}')$$);
SELECT try($$SELECT paycombat_enqueue('settle_payment', '{}')$$);

-- what nobody was granted
CREATE ROLE regress_paycombat;
SET ROLE regress_paycombat;
SELECT try($$SELECT count(*) FROM bill24.paycombat_customer$$) ~ '^42501' AS refused LIMIT 1;
SELECT try($$SELECT paycombat_request('GET', '/')$$) ~ '^42501' AS refused LIMIT 1;
SELECT try($$SELECT paycombat_get_customer('c')$$);
SELECT try($$SELECT paycombat_verify_webhook('x', 'y')$$) ~ '^42501' AS refused LIMIT 1;
SELECT try($$SELECT paycombat_check()$$) ~ '^42501' AS refused LIMIT 1;
RESET ROLE;
GRANT USAGE ON FOREIGN SERVER paycombat TO regress_paycombat;
CREATE USER MAPPING FOR PUBLIC SERVER paycombat OPTIONS (x_token :'x_token', signature_key 'demo-signature-key');
SET ROLE regress_paycombat;
-- who may not read the table has it written, and has it read for its own account
SELECT description FROM paycombat_create_customer('individual', 'By another', organization_reference_id => 'R-10');
SELECT description FROM paycombat_get_customer(organization_reference_id => 'R-10');
RESET ROLE;
SELECT organization_reference_id FROM bill24.paycombat_customer WHERE organization_reference_id = 'R-10';

SELECT operation, caller, calls > 0 AS counted FROM bill24.stat WHERE server = 'paycombat' ORDER BY operation;
SET client_min_messages = warning;
DROP FUNCTION answered(int, text);
DROP FUNCTION try(text);
DROP EXTENSION bill24 CASCADE;
DROP ROLE regress_paycombat;
