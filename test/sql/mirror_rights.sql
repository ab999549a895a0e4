--
-- Who is granted SELECT on what the mirror shows reads it, and writes nothing.
--
\pset format unaligned
\pset null '(null)'
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS bill24 CASCADE;
-- as in a copy: nobody is looked at
BEGIN;
CREATE EXTENSION bill24;
UPDATE bill24.home SET database = 1;
COMMIT;
\set url `echo "$B24SIM_URL"`
CREATE SERVER bill24 FOREIGN DATA WRAPPER bill24 OPTIONS (base_url :'url', allow_http 'true');

-- runs a statement, and tells only its SQLSTATE, since the words of PostgreSQL
-- itself differ between versions
CREATE FUNCTION state(command text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE command;
	RETURN 'fine';
EXCEPTION WHEN others THEN
	RETURN SQLSTATE;
END $$;

-- a row of each
INSERT INTO bill24.tracked (sync_code, server, owner, next_look_at, read_at, digest, sent_at, sent_name)
VALUES ('A', 'bill24', current_user::regrole, '2099-01-05', '2026-01-01 12:00', 1, '2026-01-01', 'other');
INSERT INTO bill24.customer_copy (sync_code, server, name, changed_at) VALUES ('A', 'bill24', 'a', '2026-01-01 12:00');
INSERT INTO bill24.wallet_copy (sync_code, server, id, balance, changed_at) VALUES ('A', 'bill24', 'w', 5, '2026-01-01 12:00');
INSERT INTO bill24.wallet_change (sync_code, server, id, old_balance, new_balance, seen_at) VALUES ('A', 'bill24', 'w', 4, 5, '2026-01-01 12:00');
INSERT INTO bill24.paycombat_customer (organization_reference_id, server, customer_id, customer) VALUES ('T', 'paycombat', 'c', '{}');

-- what is there to be read, and what it is made of
CREATE TABLE shown (n int PRIMARY KEY GENERATED ALWAYS AS IDENTITY, name regclass, read boolean);
INSERT INTO shown (name, read) VALUES ('bill24.customer', true), ('bill24.wallet', true), ('bill24.wallet_change', true),
	('bill24.freshness', true), ('bill24.sync_progress', true), ('bill24.drift', true), ('bill24.paycombat_customer', true),
	('bill24.tracked', false), ('bill24.customer_copy', false), ('bill24.wallet_copy', false), ('bill24.look_group', false), ('bill24.look_rate', false),
	('bill24.looked', false), ('bill24.mirror_id', false);
-- none is forgotten
SELECT oid::regclass FROM pg_class WHERE relnamespace = 'bill24'::regnamespace AND relkind IN ('r', 'v', 'm', 'p') AND oid NOT IN (SELECT name FROM shown)
	AND relname NOT IN ('outbox', 'queue', 'home', 'worker', 'circuit', 'stat') ORDER BY 1;
CREATE ROLE regress_bill24_reader;
GRANT SELECT ON shown TO regress_bill24_reader;

-- without a GRANT
SET ROLE regress_bill24_reader;
SELECT name, state(format('SELECT * FROM %s', name)) FROM shown ORDER BY n;

-- with one on a view, that one
RESET ROLE;
GRANT SELECT ON bill24.wallet TO regress_bill24_reader;
SET ROLE regress_bill24_reader;
SELECT name, state(format('SELECT * FROM %s', name)) FROM shown ORDER BY n;
SELECT sync_code, balance FROM bill24.wallet;

-- with one on each: they are read, and what they are made of is not
RESET ROLE;
SELECT format('GRANT SELECT ON %s TO regress_bill24_reader', name) FROM shown WHERE read ORDER BY n
\gexec
SET ROLE regress_bill24_reader;
SELECT name, state(format('SELECT * FROM %s', name)) FROM shown ORDER BY n;
SELECT c.name, old_balance, new_balance, balance FROM bill24.customer c JOIN bill24.wallet USING (sync_code, server) JOIN bill24.wallet_change USING (sync_code, server);
SELECT customers, tracked, field, remote FROM bill24.freshness JOIN bill24.sync_progress USING (server) JOIN bill24.drift USING (server);
SELECT organization_reference_id FROM bill24.paycombat_customer;

-- and nothing can be written (55000: of a view that is of several tables, nobody could)
SELECT name, state(format('INSERT INTO %s DEFAULT VALUES', name)) AS insert, state(format('UPDATE %s SET server = ''mine''', name)) AS update,
	state(format('DELETE FROM %s', name)) AS delete, CASE WHEN relkind = 'r' THEN state(format('TRUNCATE %s', name)) END AS truncate,
	CASE WHEN relkind = 'r' THEN state(format('LOCK %s IN SHARE MODE', name)) END AS lock
FROM shown JOIN pg_class ON oid = name ORDER BY n;
SELECT name AS writable FROM shown WHERE has_table_privilege(name, 'INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER') OR has_any_column_privilege(name, 'INSERT, UPDATE, REFERENCES');
SELECT state($$SELECT nextval('bill24.wallet_change_number_seq')$$), state($$CREATE TRIGGER mine BEFORE INSERT ON bill24.wallet_change FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()$$),
	state('CREATE OR REPLACE VIEW bill24.wallet AS SELECT 1'), state('CREATE TABLE bill24.mine (a int)');
-- nor does reading give any of the functions
SELECT state($$SELECT bill24_track('{B}')$$), state($$SELECT bill24_untrack('{A}')$$), state($$SELECT bill24_refresh('{A}')$$), state($$SELECT bill24_wallet_balance('A', '100 years')$$);
-- in a view of its own it is read with its own rights
RESET ROLE;
CREATE VIEW mine AS SELECT sync_code, balance FROM bill24.wallet;
ALTER VIEW mine OWNER TO regress_bill24_reader;
SELECT * FROM mine;
REVOKE SELECT ON bill24.wallet FROM regress_bill24_reader;
SELECT state('SELECT * FROM mine');
DROP VIEW mine;

-- the row is as it was
SELECT sync_code, server, balance FROM bill24.wallet;
DROP TABLE shown;
DROP FUNCTION state;
DROP EXTENSION bill24 CASCADE;
DROP ROLE regress_bill24_reader;
