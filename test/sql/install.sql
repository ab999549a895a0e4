--
-- The extension itself: what is in it, and that it comes and goes.
--
\pset format unaligned
\pset null '(null)'
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS bill24 CASCADE;
SET client_min_messages = notice;
CREATE EXTENSION bill24;
\set url `echo "$B24SIM_URL"`

-- its members
CREATE VIEW member AS
	SELECT d.classid, d.objid FROM pg_depend d JOIN pg_extension e ON d.refobjid = e.oid
	WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND e.extname = 'bill24'
		-- from 17 on the types' arrays and the tables' types are members as well
		AND NOT EXISTS (SELECT FROM pg_type t WHERE d.classid = 'pg_type'::regclass AND t.oid = d.objid AND
			(t.typcategory = 'A' OR EXISTS (SELECT FROM pg_class c WHERE c.oid = t.typrelid AND c.relkind <> 'c')));
SELECT p.oid::regprocedure AS function, l.lanname AS language,
	CASE provolatile WHEN 'v' THEN 'volatile' WHEN 's' THEN 'stable' ELSE 'immutable' END AS volatility,
	CASE proparallel WHEN 'u' THEN 'unsafe' WHEN 'r' THEN 'restricted' ELSE 'safe' END AS parallel,
	proisstrict AS strict, prosecdef AS definer, proacl IS NULL AS for_everybody
FROM member m JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND m.objid = p.oid JOIN pg_language l ON p.prolang = l.oid
ORDER BY proname COLLATE "C";
SELECT objid::regtype::text COLLATE "C" AS type FROM member WHERE classid = 'pg_type'::regclass ORDER BY 1;
SELECT fdwname, fdwhandler <> 0 AS has_handler, fdwvalidator::regproc AS validator, fdwoptions, fdwacl
FROM member JOIN pg_foreign_data_wrapper w ON classid = 'pg_foreign_data_wrapper'::regclass AND objid = w.oid;
SELECT count(*) AS others FROM member
WHERE classid NOT IN ('pg_proc'::regclass, 'pg_type'::regclass, 'pg_foreign_data_wrapper'::regclass);

-- everything has a comment
SELECT pg_describe_object(classid, objid, 0) AS without_comment FROM member
WHERE coalesce(obj_description(objid, classid::regclass::name), '') = '';
SELECT obj_description(oid, 'pg_extension') <> '' AS commented FROM pg_extension WHERE extname = 'bill24';

-- every function ends with the server, or with what can be left out behind it, unless it is about jobs, which have one
SELECT p.oid::regprocedure AS without_server FROM member m JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND m.objid = p.oid
WHERE p.proname NOT IN ('bill24_fdw_validator', 'paycombat_fdw_validator', 'bill24_customer_trigger', 'bill24_wait', 'bill24_retry', 'bill24_cancel',
	'bill24_resolve', 'bill24_work', 'bill24_adopt_outbox') AND p.pronamespace <> 'bill24'::regnamespace AND NOT 'server' = ANY (p.proargnames);

-- every operation has its function, and every function that is none of the few others its operation
CREATE SERVER bill24 FOREIGN DATA WRAPPER bill24 OPTIONS (base_url :'url', allow_http 'true');
CREATE USER MAPPING FOR CURRENT_USER SERVER bill24;
CREATE FUNCTION operations() RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	hint text;
BEGIN
	PERFORM bill24_preview('none', '{}');
EXCEPTION WHEN invalid_parameter_value THEN
	GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
	RETURN QUERY SELECT unnest(regexp_split_to_array(substring(hint FROM ': (.*)\.$'), ', '));
END $$;
SELECT o AS operation, p.oid::regprocedure AS function
FROM operations() o FULL JOIN (member m JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND m.objid = p.oid)
	ON p.proname = 'bill24_' || o
-- those of PayCombat are in paycombat.sql
WHERE (o IS NULL OR p.oid IS NULL) AND p.proname !~ '^paycombat_' ORDER BY p.proname COLLATE "C";
SELECT count(*) AS operations FROM operations();

-- it cannot go while it is used, and takes its servers along if told to
\set VERBOSITY sqlstate
DROP EXTENSION bill24;
\set VERBOSITY default
SET client_min_messages = warning;
DROP FUNCTION operations();
DROP EXTENSION bill24 CASCADE;
SELECT count(*) FROM pg_foreign_server WHERE srvname = 'bill24';
SELECT count(*) FROM member;

-- and again, in the same session, in another schema that is not in the path
CREATE SCHEMA regress_bill24;
CREATE EXTENSION bill24 SCHEMA regress_bill24;
CREATE SERVER bill24 FOREIGN DATA WRAPPER bill24 OPTIONS (base_url :'url', allow_http 'true');
CREATE USER MAPPING FOR CURRENT_USER SERVER bill24 OPTIONS (
	token '00000000-0000-4000-8000-000000000001', client_id 'demo_client',
	secret 'demo-secret', hash_token 'demo-hash-token');
\set VERBOSITY sqlstate
SELECT bill24_get_customer('C0001');
\set VERBOSITY default
SELECT c.sync_code, w.currency
FROM regress_bill24.bill24_create_customer('C0001', 'Customer A', wallets => '[{"name": "Riel", "currency": "KHR"}]') c, unnest(c.wallets) w;
SELECT regress_bill24.bill24_request('POST', '/_sim/seed_bills', '{"sync_code": "C0001", "count": 3, "amount": 1, "date": "2025-07-01"}');
SELECT ref_id FROM regress_bill24.bill24_get_bills('2025-07-01', '2025-07-01') LIMIT 1;
SELECT regress_bill24.bill24_preview('get_customer', '{"sync_code": "C0001"}') ->> 'body' AS body;
-- a function of the same name elsewhere is not mistaken for an operation
CREATE FUNCTION bill24_get_customer(something_else text) RETURNS text LANGUAGE sql AS 'SELECT $1';
SELECT regress_bill24.bill24_preview('get_customer', '{"sync_code": "C0001"}') ->> 'body' AS body;
SELECT (regress_bill24.bill24_get_customer('C0001')).name;
DROP FUNCTION bill24_get_customer(text);
\set VERBOSITY sqlstate
ALTER EXTENSION bill24 SET SCHEMA public;
\set VERBOSITY default

-- only a superuser installs it
CREATE ROLE regress_bill24_creator;
DROP EXTENSION bill24 CASCADE;
SET ROLE regress_bill24_creator;
\set VERBOSITY sqlstate
CREATE EXTENSION bill24;
\set VERBOSITY default
RESET ROLE;
DROP ROLE regress_bill24_creator;
DROP VIEW member;
DROP SCHEMA regress_bill24;
