--
-- The trigger for PayCombat: which jobs come of which changes, and what it refuses.
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
CREATE SERVER paycombat FOREIGN DATA WRAPPER paycombat OPTIONS (base_url :'url', allow_http 'true',
	delete_customer_path '/api/v1/customer/customer/{customer_id}');
CREATE USER MAPPING FOR CURRENT_USER SERVER paycombat OPTIONS (x_token :'x_token', signature_key 'demo-signature-key');
CREATE SERVER second FOREIGN DATA WRAPPER paycombat OPTIONS (base_url :'url', allow_http 'true');
CREATE USER MAPPING FOR CURRENT_USER SERVER second OPTIONS (x_token :'x_token', signature_key 'demo-signature-key');
CREATE SERVER bill24 FOREIGN DATA WRAPPER bill24 OPTIONS (base_url :'url', allow_http 'true');
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
-- the jobs that are new since this was asked last, in their order
CREATE TABLE seen (id bigint);
INSERT INTO seen VALUES (0);
CREATE FUNCTION jobs(OUT server text, OUT operation text, OUT key text, OUT request jsonb) RETURNS SETOF record LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY SELECT o.server::text, o.operation, o.key, o.request FROM bill24.outbox o WHERE o.id > (SELECT max(s.id) FROM seen s) ORDER BY o.id;
	INSERT INTO seen SELECT coalesce(max(o.id), 0) FROM bill24.outbox o;
END $$;
SET client_min_messages = notice;

-- for each row
CREATE TABLE tenant (id serial PRIMARY KEY, code varchar(2000), kind text DEFAULT 'individual', label text, person json, firm jsonb, extra jsonb, note text);
CREATE TRIGGER paycombat AFTER INSERT OR UPDATE OR DELETE ON tenant FOR EACH ROW
	EXECUTE FUNCTION paycombat_customer_trigger('organization_reference_id=code', 'type=kind', 'description=label',
		'individual=person', 'company=firm', 'metadata=extra');
INSERT INTO tenant (code, label, person, extra) VALUES
	('T1', 'House 1', '{"last_name": "Sophea", "first_name": "Chan", "address_country": "KH"}', '{"b/c": 1.50, "a": [null]}'),
	('T2', 'ផ្ទះ', 'null', NULL);
INSERT INTO tenant (code, kind, label, firm) VALUES
	('T3', 'company', 'Firm', '{"name": "한국", "registration_number": "1", "incorporation_country": "KR", "address_country": "KH"}');
SELECT * FROM jobs();
-- what is not mapped, or is as it was, sends nothing
UPDATE tenant SET note = 'x', label = label;
SELECT count(*) FROM jobs();
UPDATE tenant SET extra = '{"a": [null, 1]}', person = '{"first_name": "Other"}' WHERE code = 'T1';
-- an empty text clears, NULL is left out
UPDATE tenant SET label = '' WHERE code = 'T2';
UPDATE tenant SET label = NULL, firm = NULL WHERE code = 'T3';
SELECT * FROM jobs();
-- a changed key
UPDATE tenant SET code = 'T4', label = 'House 4', person = NULL WHERE code = 'T1';
DELETE FROM tenant WHERE code IN ('T2', 'T3');
SELECT * FROM jobs();
-- rows that cannot be sent
SELECT try($$INSERT INTO tenant (code, label) VALUES ('fine', 'A'), (NULL, 'A')$$);
SELECT try($$INSERT INTO tenant (code, label) VALUES ('T5', NULL)$$);
SELECT try($$INSERT INTO tenant (code, label) VALUES ('T5', '')$$);
SELECT try($$INSERT INTO tenant (code, label) VALUES ('', 'A')$$);
SELECT try($$INSERT INTO tenant (code, label) VALUES (repeat('x', 1001), 'A')$$);
SELECT try($$INSERT INTO tenant (code, label, person) VALUES ('T5', 'A', '{"first_name": "Chan", "address_country": "KH"}')$$);
SELECT try($$INSERT INTO tenant (code, label, person) VALUES ('T5', 'A', '{"first_name": "Chan", "last_name": "", "address_country": "KH"}')$$);
SELECT try($$INSERT INTO tenant (code, label, firm) VALUES ('T5', 'A', '{"name": "A", "registration_number": "1", "address_country": "KH"}')$$);
SELECT try($$INSERT INTO tenant (code, label, extra) VALUES ('T5', 'A', '[]')$$);
SELECT try($$INSERT INTO tenant (code, label, extra) VALUES ('T5', 'A', '{"n": 12345678901234567890}')$$);
SELECT try($$INSERT INTO tenant (code, label, person) VALUES ('T5', 'A', '{"first_name": "\u0000", "last_name": "x", "address_country": "KH"}')$$);
SELECT try($$UPDATE tenant SET person = '"x"' WHERE code = 'T4'$$);
SELECT try($$UPDATE tenant SET code = NULL WHERE code = 'T4'$$);
SELECT count(*) FROM jobs();
SELECT code FROM tenant;
DROP TABLE tenant;

-- for each statement: deletes, creates, updates
CREATE TABLE tenant (id int PRIMARY KEY, code text, label text, extra jsonb);
CREATE TRIGGER ins AFTER INSERT ON tenant REFERENCING NEW TABLE AS n FOR EACH STATEMENT
	EXECUTE FUNCTION paycombat_customer_trigger('organization_reference_id=code', 'type=label', 'description=label', 'metadata=extra');
CREATE TRIGGER upd AFTER UPDATE ON tenant REFERENCING OLD TABLE AS o NEW TABLE AS n FOR EACH STATEMENT
	EXECUTE FUNCTION paycombat_customer_trigger('organization_reference_id=code', 'type=label', 'description=label', 'metadata=extra');
CREATE TRIGGER del AFTER DELETE ON tenant REFERENCING OLD TABLE AS o FOR EACH STATEMENT
	EXECUTE FUNCTION paycombat_customer_trigger('organization_reference_id=code', 'type=label', 'description=label', 'metadata=extra');
INSERT INTO tenant VALUES (1, 'a', 'A', '{}'), (2, 'b', 'B', NULL), (3, 'c', 'C', '{"x": "y"}');
UPDATE tenant SET code = CASE code WHEN 'a' THEN 'b' WHEN 'b' THEN 'a' ELSE code END, label = label || '2';
DELETE FROM tenant WHERE id = 1;
SELECT * FROM jobs();
SELECT try($$INSERT INTO tenant VALUES (4, 'd', 'D', '{}'), (5, 'e', 'E', '[]')$$);
-- many rows, in pieces
INSERT INTO tenant SELECT i, 'n' || i, 'N', '{"n": 1}' FROM generate_series(1001, 3500) i;
SELECT operation, count(*) FROM jobs() GROUP BY 1;
DROP TABLE tenant;

-- whose operations: the server's, whichever of the functions it is
CREATE TABLE tenant (code text, label text);
CREATE TRIGGER paycombat AFTER INSERT OR UPDATE OR DELETE ON tenant FOR EACH ROW
	EXECUTE FUNCTION bill24_customer_trigger('server=second', 'organization_reference_id=code', 'type=label', 'description=label');
INSERT INTO tenant VALUES ('S1', 'A'), ('S2', 'A');
-- of a path that is not documented it is told once
DELETE FROM tenant;
ALTER SERVER second OPTIONS (ADD delete_customer_path '/api/v1/customer/customer/{customer_id}');
INSERT INTO tenant VALUES ('S3', 'A');
DELETE FROM tenant;
DROP TRIGGER paycombat ON tenant;
CREATE TRIGGER bill24 AFTER INSERT OR UPDATE OR DELETE ON tenant FOR EACH ROW
	EXECUTE FUNCTION paycombat_customer_trigger('sync_code=code', 'name=label', 'server=bill24');
INSERT INTO tenant VALUES ('B1', 'A');
SELECT * FROM jobs();
-- a server that becomes another provider's
DROP SERVER second CASCADE;
DROP TRIGGER bill24 ON tenant;
CREATE TRIGGER changes AFTER INSERT ON tenant FOR EACH ROW
	EXECUTE FUNCTION bill24_customer_trigger('sync_code=code', 'name=label', 'server=second');
SELECT try($$INSERT INTO tenant VALUES ('X1', 'A')$$);
CREATE SERVER second FOREIGN DATA WRAPPER paycombat OPTIONS (base_url :'url', allow_http 'true');
CREATE USER MAPPING FOR CURRENT_USER SERVER second OPTIONS (x_token :'x_token', signature_key 'demo-signature-key');
SELECT try($$INSERT INTO tenant VALUES ('X1', 'A')$$);
DROP SERVER second CASCADE;
CREATE SERVER second FOREIGN DATA WRAPPER bill24 OPTIONS (base_url :'url', allow_http 'true');
CREATE USER MAPPING FOR CURRENT_USER SERVER second OPTIONS (token 't', client_id 'c', secret 's');
INSERT INTO tenant VALUES ('X1', 'A');
SELECT * FROM jobs();
DROP SERVER second CASCADE;
CREATE FOREIGN DATA WRAPPER stranger;
CREATE SERVER second FOREIGN DATA WRAPPER stranger;
SELECT try($$INSERT INTO tenant VALUES ('X2', 'A')$$);
DROP FOREIGN DATA WRAPPER stranger CASCADE;
DROP TRIGGER changes ON tenant;
TRUNCATE tenant;

-- modes
CREATE TRIGGER paycombat AFTER INSERT OR UPDATE OR DELETE ON tenant FOR EACH ROW
	EXECUTE FUNCTION paycombat_customer_trigger('organization_reference_id=code', 'type=label', 'description=label', 'mode=dry_run');
INSERT INTO tenant VALUES ('D1', 'A'), ('D2', 'B');
UPDATE tenant SET code = 'D3' WHERE code = 'D2';
SELECT count(*) FROM jobs();
DROP TRIGGER paycombat ON tenant;
TRUNCATE tenant;
ALTER TABLE tenant ADD COLUMN kind text DEFAULT 'individual', ADD COLUMN person json;
CREATE TRIGGER paycombat AFTER INSERT OR UPDATE OR DELETE ON tenant FOR EACH ROW
	EXECUTE FUNCTION paycombat_customer_trigger('mode=call', 'organization_reference_id=code', 'type=kind', 'description=label', 'individual=person');
INSERT INTO tenant (code, label, person) VALUES ('M1', 'A', '{"last_name": "L", "first_name": "ស្រី", "address_country": "KH"}'), ('M2', 'B', NULL);
SELECT type, description, individual ->> 'first_name' AS first_name FROM paycombat_get_customer(organization_reference_id => 'M1');
-- in one transaction, each finds what the one before has learnt
BEGIN;
INSERT INTO tenant (code, label) VALUES ('M3', 'C');
UPDATE tenant SET label = 'CC' WHERE code = 'M3';
SELECT description FROM paycombat_get_customer(organization_reference_id => 'M3');
UPDATE tenant SET code = 'M4' WHERE code = 'M3';
SELECT organization_reference_id, deleted_at IS NOT NULL AS deleted FROM bill24.paycombat_customer WHERE organization_reference_id IN ('M3', 'M4') ORDER BY 1;
COMMIT;
DELETE FROM tenant WHERE code = 'M2';
SELECT organization_reference_id, customer ->> 'description' AS description, deleted_at IS NOT NULL AS deleted FROM bill24.paycombat_customer ORDER BY 1;
SELECT (paycombat_get_customer(organization_reference_id => 'M2', missing_ok => true)).description;
-- nobody knows this one
ALTER TABLE tenant DISABLE TRIGGER paycombat;
INSERT INTO tenant (code, label) VALUES ('M5', 'E');
ALTER TABLE tenant ENABLE TRIGGER paycombat;
SELECT try($$UPDATE tenant SET label = 'EE' WHERE code = 'M5'$$);
SELECT try($$DELETE FROM tenant WHERE code = 'M5'$$);
SELECT count(*) FROM jobs();

-- arguments
CREATE FUNCTION arguments(arguments text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
	DROP TRIGGER paycombat ON tenant;
	EXECUTE 'CREATE TRIGGER paycombat AFTER INSERT ON tenant FOR EACH ROW EXECUTE FUNCTION paycombat_customer_trigger(' || arguments || ')';
	RETURN QUERY SELECT try('INSERT INTO tenant VALUES (''x'', ''X'')');
END $$;
SELECT arguments('');
SELECT arguments($$'organization_reference_id=code', 'type=kind'$$);
SELECT arguments($$'type=kind', 'description=label'$$);
SELECT arguments($$'organization_reference_id=code', 'type=kind', 'description'$$);
SELECT arguments($$'sync_code=code', 'name=label'$$);
SELECT arguments($$'organization_reference_id=code', 'type=kind', 'description=label', 'customer_id=code'$$);
SELECT arguments($$'organization_reference_id=code', 'type=kind', 'description=label', 'metadata=label'$$);
SELECT arguments($$'organization_reference_id=code', 'type=kind', 'description=lable'$$);
SELECT arguments($$'organization_reference_id=code', 'organization_reference_id=label', 'type=kind', 'description=label'$$);
SELECT arguments($$'organization_reference_id=code', 'type=kind', 'description=label', 'server=nowhere'$$);

-- how it is fired
SELECT try('SELECT paycombat_customer_trigger()');
DROP TRIGGER paycombat ON tenant;
CREATE TRIGGER paycombat BEFORE INSERT ON tenant FOR EACH ROW
	EXECUTE FUNCTION paycombat_customer_trigger('organization_reference_id=code', 'type=kind', 'description=label');
SELECT try($$INSERT INTO tenant VALUES ('x', 'X')$$);

SET client_min_messages = warning;
DROP TABLE tenant;
DROP FUNCTION arguments(text);
DROP FUNCTION jobs();
DROP TABLE seen;
DROP FUNCTION try(text);
DROP EXTENSION bill24 CASCADE;
