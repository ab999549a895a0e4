--
-- The trigger: which jobs come of which changes, and what it refuses.
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
-- the jobs that are new since this was asked last, in their order
CREATE TABLE seen (id bigint);
INSERT INTO seen VALUES (0);
CREATE FUNCTION jobs(OUT operation text, OUT key text, OUT request jsonb) RETURNS SETOF record LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY SELECT o.operation, o.key, o.request FROM bill24.outbox o WHERE o.id > (SELECT max(s.id) FROM seen s) ORDER BY o.id;
	INSERT INTO seen SELECT coalesce(max(o.id), 0) FROM bill24.outbox o;
END $$;
SET client_min_messages = notice;

-- for each row
CREATE TABLE customer (id serial PRIMARY KEY, code text, "Full Name" text, khmer varchar(30), phone bigint, mail char(20), wallets jsonb, note text);
CREATE TRIGGER bill24 AFTER INSERT OR UPDATE OR DELETE ON customer FOR EACH ROW
	EXECUTE FUNCTION bill24_customer_trigger('sync_code=code', ' name =  Full Name', 'name_kh=khmer', 'phone=phone', 'email=mail', 'wallets=wallets');
INSERT INTO customer (code, "Full Name", khmer, phone, mail, wallets) VALUES
	('C1', 'A', 'ស្រី', 12345678901, 'a@example.com', '[{"name": "Riel", "currency": "KHR"}]'), ('C2', E'a\\b"c/\t\x01', NULL, NULL, NULL, 'null'), ('C3', 'C', '', 0, '', NULL);
SELECT * FROM jobs();
UPDATE customer SET note = 'x';
UPDATE customer SET "Full Name" = "Full Name", wallets = NULL;
SELECT * FROM jobs();
UPDATE customer SET phone = phone + 1;
SELECT * FROM jobs();
UPDATE customer SET phone = NULL WHERE code = 'C1';
UPDATE customer SET code = 'C9' WHERE code = 'C1';
DELETE FROM customer WHERE code IN ('C2', 'C3');
SELECT * FROM jobs();
SELECT state, attempts, owner = current_user::regrole AS own, next_attempt_at = created_at AS due FROM bill24.outbox WHERE key = 'C9';
INSERT INTO customer (id, code, "Full Name") VALUES (100, 'C100', 'New'), (101, 'C101', 'New');
INSERT INTO customer (id, code, "Full Name") VALUES (100, 'C100', 'Newer'), (102, 'C102', 'New') ON CONFLICT (id) DO UPDATE SET "Full Name" = excluded."Full Name";
COPY customer (code, "Full Name") FROM stdin;
P1	Copied
P2	Copied as well
\.
SELECT * FROM jobs();
-- rows that cannot be sent
SELECT try($$INSERT INTO customer (code, "Full Name") VALUES ('fine', 'A'), (NULL, 'A')$$);
SELECT try($$INSERT INTO customer (code) VALUES ('C1')$$);
SELECT try($$INSERT INTO customer (code, "Full Name") VALUES ('', 'A')$$);
SELECT try($$INSERT INTO customer (code, "Full Name") VALUES ('C1', '')$$);
SELECT try($$INSERT INTO customer (code, "Full Name") VALUES (repeat('x', 51), 'A')$$);
SELECT try($$INSERT INTO customer (code, "Full Name") VALUES (repeat('ក', 50), 'A')$$);
SELECT try($$UPDATE customer SET code = NULL WHERE code = 'C9'$$);
SELECT try($$INSERT INTO customer (code, "Full Name", wallets) VALUES ('deep', 'A', (repeat('[', 32) || repeat(']', 32))::jsonb)$$);
SELECT count(*) FROM jobs();
SELECT count(*) FROM customer WHERE code = 'fine';
-- what could not be sent before becomes a customer, and what is of no interest is let be
ALTER TABLE customer DISABLE TRIGGER bill24;
INSERT INTO customer (id, code, "Full Name") VALUES (200, NULL, 'A');
ALTER TABLE customer ENABLE TRIGGER bill24;
UPDATE customer SET note = 'y' WHERE id = 200;
UPDATE customer SET code = 'C200' WHERE id = 200;
-- a long value, in the table as it is out of line, and unchanged there
ALTER TABLE customer ALTER "Full Name" SET STORAGE EXTERNAL;
UPDATE customer SET "Full Name" = repeat('ក', 20000) WHERE id = 200;
SELECT operation, key, length(request ->> 'name') FROM jobs();
UPDATE customer SET note = 'z', "Full Name" = "Full Name" WHERE id = 200;
SELECT count(*) FROM jobs();
-- the table changes
ALTER TABLE customer DROP COLUMN note;
ALTER TABLE customer ADD COLUMN note text DEFAULT 'n';
UPDATE customer SET "Full Name" = 'short' WHERE id = 200;
SELECT * FROM jobs();
ALTER TABLE customer RENAME khmer TO khmer_name;
SELECT try('DELETE FROM customer WHERE id = 200');
ALTER TABLE customer RENAME khmer_name TO khmer;
-- transactions
BEGIN;
SAVEPOINT s;
DELETE FROM customer;
ROLLBACK TO s;
DELETE FROM customer WHERE id = 200;
COMMIT;
SELECT * FROM jobs();
-- its roles: a replica applies what was told elsewhere
SET session_replication_role = replica;
DELETE FROM customer WHERE id = 100;
ALTER TABLE customer ENABLE ALWAYS TRIGGER bill24;
DELETE FROM customer WHERE id = 101;
RESET session_replication_role;
SELECT * FROM jobs();
-- TRUNCATE sends nothing, unless it is to be refused
TRUNCATE customer;
SELECT count(*) FROM jobs();
CREATE TRIGGER no_truncate AFTER TRUNCATE ON customer EXECUTE FUNCTION bill24_customer_trigger('sync_code=code', 'name=Full Name');
SELECT try('TRUNCATE customer');
DROP TABLE customer;

-- for each statement
CREATE TABLE customer (id int PRIMARY KEY, code text, name text, note text);
CREATE TRIGGER ins AFTER INSERT ON customer REFERENCING NEW TABLE AS "some rows" FOR EACH STATEMENT EXECUTE FUNCTION bill24_customer_trigger('sync_code=code', 'name=name');
CREATE TRIGGER upd AFTER UPDATE ON customer REFERENCING OLD TABLE AS o NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION bill24_customer_trigger('sync_code=code', 'name=name');
CREATE TRIGGER del AFTER DELETE ON customer REFERENCING OLD TABLE AS o FOR EACH STATEMENT EXECUTE FUNCTION bill24_customer_trigger('sync_code=code', 'name=name');
-- a person's index with a condition that holds for some of the rows only
CREATE UNIQUE INDEX regress_some ON bill24.outbox ((1)) WHERE key = 'some 2';
BEGIN;
INSERT INTO customer SELECT i, 'some ' || i, 'n' FROM generate_series(2, 4) i;
\set VERBOSITY sqlstate
INSERT INTO customer SELECT 10 + i, 'some ' || i, 'n' FROM generate_series(1, 3) i;
\set VERBOSITY default
ROLLBACK;
DROP INDEX bill24.regress_some;
INSERT INTO customer VALUES (1, 'a', 'A'), (2, 'b', 'B'), (3, 'c', 'C');
INSERT INTO customer SELECT 4, 'd', 'D' WHERE false;
SELECT * FROM jobs();
-- rows exchange their codes, and hand them on
UPDATE customer SET code = CASE code WHEN 'a' THEN 'b' WHEN 'b' THEN 'a' ELSE code END, name = name || '2';
SELECT * FROM jobs();
UPDATE customer SET code = chr(ascii(code) + 1);
SELECT * FROM jobs();
UPDATE customer SET note = 'x';
DELETE FROM customer WHERE id < 3;
SELECT * FROM jobs();
SELECT try($$INSERT INTO customer VALUES (7, 'g', 'G'), (8, NULL, 'H')$$);
SELECT try($$UPDATE customer SET code = NULL$$);
INSERT INTO customer VALUES (3, 'd', 'new'), (5, 'e', 'E') ON CONFLICT (id) DO UPDATE SET name = excluded.name;
SELECT * FROM jobs();
-- many rows, in pieces, and on disk
SET work_mem = '64kB';
INSERT INTO customer SELECT i, 'n' || i, 'N' FROM generate_series(1001, 4500) i;
SELECT count(*) FROM jobs();
UPDATE customer SET code = 'n' || (substring(code FROM 2)::int + 1) WHERE id > 1000;
SELECT operation, count(*), min(n), max(n) FROM (SELECT row_number() OVER () AS n, * FROM jobs()) s GROUP BY 1 ORDER BY 1;
SELECT count(DISTINCT key) AS keys FROM bill24.outbox WHERE key LIKE 'n%';
UPDATE customer SET name = 'NN' WHERE id > 1000;
DELETE FROM customer WHERE id > 1000;
RESET work_mem;
SELECT operation, count(*) FROM jobs() GROUP BY 1 ORDER BY 1;
DROP TABLE customer;

-- partitions: triggers of their own, columns in other places
CREATE TABLE customer (region int, code text, name text) PARTITION BY LIST (region);
CREATE TABLE customer1 PARTITION OF customer FOR VALUES IN (1);
CREATE TABLE customer2 (dropped int, name text, code text, region int);
ALTER TABLE customer2 DROP COLUMN dropped;
ALTER TABLE customer ATTACH PARTITION customer2 FOR VALUES IN (2);
CREATE TRIGGER bill24 AFTER INSERT OR UPDATE OR DELETE ON customer FOR EACH ROW EXECUTE FUNCTION bill24_customer_trigger('sync_code=code', 'name=name');
INSERT INTO customer VALUES (1, 'a', 'A'), (2, 'b', 'B');
UPDATE customer SET name = name || name;
UPDATE customer2 SET name = 'BBB';
DELETE FROM customer WHERE region = 2;
-- for each row, one that moves goes and comes
UPDATE customer SET region = 2;
UPDATE customer SET region = 1;
SELECT * FROM jobs();
DROP TRIGGER bill24 ON customer;
CREATE TRIGGER ins AFTER INSERT ON customer REFERENCING NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION bill24_customer_trigger('sync_code=code', 'name=name');
CREATE TRIGGER upd AFTER UPDATE ON customer REFERENCING OLD TABLE AS o NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION bill24_customer_trigger('sync_code=code', 'name=name');
CREATE TRIGGER del AFTER DELETE ON customer REFERENCING OLD TABLE AS o FOR EACH STATEMENT EXECUTE FUNCTION bill24_customer_trigger('sync_code=code', 'name=name');
INSERT INTO customer VALUES (2, 'x', 'X'), (1, 'y', 'Y');
SELECT * FROM jobs();
-- a row that moves is the same customer
UPDATE customer SET region = 3 - region;
SELECT * FROM jobs();
UPDATE customer SET region = 3 - region, name = name || '!';
SELECT * FROM jobs();
DELETE FROM customer;
SELECT * FROM jobs();
DROP TABLE customer;

-- inheritance, types, domains, generated columns
CREATE DOMAIN code AS varchar(10) CHECK (value <> 'bad');
CREATE TABLE parent (code code, price numeric, at date, label text GENERATED ALWAYS AS ('No. ' || code::text) STORED);
CREATE TABLE child (more int) INHERITS (parent);
CREATE TRIGGER bill24 AFTER INSERT OR UPDATE OR DELETE ON parent FOR EACH ROW
	EXECUTE FUNCTION bill24_customer_trigger('sync_code=code', 'name=label', 'phone=price', 'email=at');
CREATE TRIGGER bill24 AFTER INSERT OR UPDATE OR DELETE ON child FOR EACH ROW
	EXECUTE FUNCTION bill24_customer_trigger('sync_code=code', 'name=label', 'phone=more');
INSERT INTO parent VALUES ('p', 1.50, '2025-11-20');
INSERT INTO child VALUES ('c', 2, NULL, DEFAULT, 7);
UPDATE parent SET price = 1.5;
UPDATE parent SET price = 1.5, code = code;
DELETE FROM parent;
SELECT * FROM jobs();
DROP TABLE parent CASCADE;
DROP DOMAIN code;

-- deferred
CREATE TABLE customer (code text, name text);
CREATE CONSTRAINT TRIGGER bill24 AFTER INSERT OR UPDATE OR DELETE ON customer DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
	EXECUTE FUNCTION bill24_customer_trigger('sync_code=code', 'name=name');
BEGIN;
INSERT INTO customer VALUES ('a', 'A');
UPDATE customer SET name = 'B';
SELECT count(*) FROM jobs();
COMMIT;
SELECT * FROM jobs();
DROP TABLE customer;

-- modes
CREATE TABLE customer (code text, name text);
CREATE TRIGGER bill24 AFTER INSERT OR UPDATE OR DELETE ON customer FOR EACH ROW EXECUTE FUNCTION bill24_customer_trigger('sync_code=code', 'name=name', 'mode = dry_run');
INSERT INTO customer VALUES ('a', 'A'), ('b', 'B');
UPDATE customer SET code = 'c' WHERE code = 'b';
SELECT count(*) FROM jobs();
TRUNCATE customer;
DROP TRIGGER bill24 ON customer;
CREATE TRIGGER bill24 AFTER INSERT OR UPDATE OR DELETE ON customer FOR EACH ROW EXECUTE FUNCTION bill24_customer_trigger('sync_code=code', 'name=name', 'mode=call', 'server=bill24');
INSERT INTO customer VALUES ('a', 'A'), ('b', 'ស្រី');
SELECT name FROM bill24_get_customer('b');
UPDATE customer SET name = 'BB' WHERE code = 'b';
SELECT name FROM bill24_get_customer('b');
SELECT try($$INSERT INTO customer VALUES ('a', 'again')$$);
DELETE FROM customer WHERE code = 'b';
SELECT (bill24_get_customer('b', missing_ok => true)).name;
SELECT code, name FROM customer;
SELECT count(*) FROM jobs();

-- arguments
CREATE FUNCTION arguments(arguments text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
	DROP TRIGGER bill24 ON customer;
	EXECUTE 'CREATE TRIGGER bill24 AFTER INSERT ON customer FOR EACH ROW EXECUTE FUNCTION bill24_customer_trigger(' || arguments || ')';
	RETURN QUERY SELECT try('INSERT INTO customer VALUES (''x'', ''X'')');
END $$;
ALTER TABLE customer ADD COLUMN gone int;
ALTER TABLE customer DROP COLUMN gone;
SELECT arguments('');
SELECT arguments($$'sync_code=code'$$);
SELECT arguments($$'name=name'$$);
SELECT arguments($$'sync_code=code', 'name=name', 'nam=name'$$);
SELECT arguments($$'sync_code=code', 'name=Name'$$);
SELECT arguments($$'sync_code=code', 'name=gone'$$);
SELECT arguments($$'sync_code=code', 'name=ctid'$$);
SELECT arguments($$'sync_code=code', 'name=code', 'name=name'$$);
SELECT arguments($$'sync_code=code', 'name'$$);
SELECT arguments($$'sync_code=code', 'name='$$);
SELECT arguments($$'sync_code=code', 'name=name', 'wallets=name'$$);
SELECT arguments($$'sync_code=code', 'name=name', 'mode=both'$$);
SELECT arguments($$'sync_code=code', 'name=name', 'mode=call', 'mode=call'$$);
SELECT arguments($$'sync_code=code', 'name=name', 'server=a', 'server=b'$$);
SELECT arguments($$'sync_code=code', 'name=name', 'missing_ok=name'$$);
SELECT arguments($$'sync_code=code', 'name=name', 'server=nowhere'$$);
SELECT arguments($$'sync_code=code', 'name=code'$$);
SELECT * FROM jobs();

-- how it is fired
SELECT try('SELECT bill24_customer_trigger()');
DROP TRIGGER bill24 ON customer;
CREATE TRIGGER bill24 BEFORE INSERT ON customer FOR EACH ROW EXECUTE FUNCTION bill24_customer_trigger('sync_code=code', 'name=name');
SELECT try($$INSERT INTO customer VALUES ('x', 'X')$$);
DROP TRIGGER bill24 ON customer;
CREATE TRIGGER bill24 AFTER INSERT OR UPDATE OR DELETE ON customer EXECUTE FUNCTION bill24_customer_trigger('sync_code=code', 'name=name');
SELECT try($$INSERT INTO customer VALUES ('x', 'X')$$);
SELECT try($$UPDATE customer SET name = name$$);
SELECT try($$DELETE FROM customer$$);
DROP TRIGGER bill24 ON customer;
CREATE TRIGGER bill24 AFTER UPDATE ON customer REFERENCING NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION bill24_customer_trigger('sync_code=code', 'name=name');
SELECT try($$UPDATE customer SET name = name$$);
DROP TRIGGER bill24 ON customer;
CREATE VIEW view AS SELECT * FROM customer;
CREATE TRIGGER bill24 INSTEAD OF INSERT ON view FOR EACH ROW EXECUTE FUNCTION bill24_customer_trigger('sync_code=code', 'name=name');
SELECT try($$INSERT INTO view VALUES ('x', 'X')$$);
DROP VIEW view;

-- the role that runs the statement
CREATE ROLE regress_bill24_clerk;
CREATE TRIGGER bill24 AFTER INSERT OR UPDATE OR DELETE ON customer FOR EACH ROW EXECUTE FUNCTION bill24_customer_trigger('sync_code=code', 'name=name');
GRANT ALL ON customer TO regress_bill24_clerk;
SET ROLE regress_bill24_clerk;
SELECT try($$INSERT INTO customer VALUES ('x', 'X')$$);
RESET ROLE;
GRANT USAGE ON FOREIGN SERVER bill24 TO regress_bill24_clerk;
SET ROLE regress_bill24_clerk;
SELECT try($$INSERT INTO customer VALUES ('x', 'X')$$);
RESET ROLE;
CREATE USER MAPPING FOR regress_bill24_clerk SERVER bill24 OPTIONS (token 't', client_id 'c', secret 's');
SET ROLE regress_bill24_clerk;
INSERT INTO customer VALUES ('x', 'X');
SELECT key, owner FROM bill24.outbox;
RESET ROLE;
-- the table is in the way of dropping the extension
\set VERBOSITY sqlstate
DROP EXTENSION bill24;
\set VERBOSITY default

SET client_min_messages = warning;
DROP TABLE customer;
DROP FUNCTION arguments(text);
DROP FUNCTION jobs();
DROP TABLE seen;
DROP FUNCTION try(text);
DROP EXTENSION bill24 CASCADE;
DROP ROLE regress_bill24_clerk;
