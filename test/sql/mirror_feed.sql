--
-- What tells the mirror of customers: direct calls, and the functions that a
-- person calls.  Nothing here looks at them but the calls themselves.
--
\pset format unaligned
\pset null '(null)'
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS bill24 CASCADE;
-- as in a copy: no worker comes in between
BEGIN;
CREATE EXTENSION bill24;
UPDATE bill24.home SET database = 1;
COMMIT;
\set url `echo "$B24SIM_URL"`
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
	EXECUTE command INTO result;
	RETURN NEXT 'fine: ' || coalesce(result, '(null)');
EXCEPTION WHEN others THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
		detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN NEXT state || ': ' || message;
	IF detail <> '' THEN RETURN NEXT 'DETAIL: ' || detail; END IF;
	IF hint <> '' THEN RETURN NEXT 'HINT: ' || hint; END IF;
END $$;
-- how customers stand; a look is wanted if one that was made does not do
CREATE VIEW standing AS SELECT sync_code, server, owner = current_user::regrole AS mine,
	next_look_at <= clock_timestamp() AS due, wanted_at > coalesce(read_at, '-infinity') AS wanted,
	round(extract(epoch FROM again_at - wanted_at))::int AS again_in, read_at IS NOT NULL AS read, digest IS NOT NULL AS known,
	failures, remote_id <> '' AS has_id, sent_at IS NOT NULL AS sent, sent_name, sent_phone, sent_email
FROM bill24.tracked ORDER BY sync_code, server;
CREATE VIEW copies AS SELECT c.sync_code, c.name, c.phone, c.email, c.deleted_at IS NOT NULL AS gone,
	array(SELECT w.currency || ' ' || w.balance FROM bill24.wallet_copy w
		WHERE w.sync_code = c.sync_code AND w.server = c.server ORDER BY w.currency) AS wallets
FROM bill24.customer_copy c ORDER BY c.sync_code, c.server;
-- how many requests the provider has seen, this one left out
CREATE FUNCTION gets() RETURNS int LANGUAGE sql AS $$
	SELECT coalesce((bill24_request('GET', '/_sim/stats') #>> '{by_path,/customer/get_customer_detail}')::int, 0) $$;
SET client_min_messages = notice;

-- a create registers the customer, with what was sent of it, and it has to be looked at
SELECT sync_code FROM bill24_create_customer('F1', 'One', phone => '011', wallets => '[{"name": "Riel", "currency": "KHR"}]');
SELECT * FROM standing;
SELECT * FROM copies;
-- a get is a look
SELECT sync_code FROM bill24_get_customer('F1');
SELECT * FROM standing;
SELECT * FROM copies;
-- of a customer that was just read, a get that tells nothing new writes nothing
SELECT ctid, xmin FROM bill24.tracked WHERE sync_code = 'F1' \gset
SELECT sync_code FROM bill24_get_customer('F1');
SELECT ctid = :'ctid'::tid AND xmin = :'xmin'::xid AS same FROM bill24.tracked WHERE sync_code = 'F1';
-- one that does is written, also in a transaction that is old
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM bill24.tracked;
SELECT bill24_request('POST', '/_sim/topup', '{"sync_code": "F1", "amount": "1250.75"}') ->> 'balance' AS balance;
SELECT sync_code FROM bill24_get_customer('F1');
SELECT * FROM copies;
COMMIT;
SELECT * FROM copies;
SELECT id <> '' AS id, currency, old_balance, new_balance FROM bill24.wallet_change ORDER BY number;
-- an update: what is absent keeps its former value
SELECT sync_code FROM bill24_update_customer('F1', name => 'Uno', email => 'one@example.com');
SELECT * FROM standing;
-- drift is what differs from that, once it was looked at
SELECT field, sent, remote FROM bill24.drift;
SELECT sync_code FROM bill24_get_customer('F1');
SELECT field, sent, remote FROM bill24.drift;
SELECT bill24_request('POST', '/customer/update', '{"sync_code": "F1", "name": "Eins", "phone": "999"}') ->> 'code' AS code;
SELECT sync_code FROM bill24_get_customer('F1');
SELECT field, sent, remote FROM bill24.drift ORDER BY field;
-- a payment: at once, and once more after the server's second_look
SELECT bill24_request('POST', '/_sim/topup', '{"sync_code": "F1", "amount": "100000"}') ->> 'balance' AS balance;
SELECT bill_status FROM bill24_settle_payment('F-R1', 'F1', 100, 'KHR', 'ST001', '2025-11-20', '2099-12-31');
SELECT sync_code, due, wanted, again_in FROM standing;
ALTER SERVER bill24 OPTIONS (ADD second_look '0');
SELECT sync_code FROM bill24_create_customer('F2', 'Two', wallets => '[{"name": "Riel", "currency": "KHR"}]');
SELECT bill_status FROM bill24_settle_payment('F-R2', 'F2', 0, 'KHR', 'ST001', '2025-11-20', '2099-12-31');
SELECT sync_code, due, wanted, again_in FROM standing;
ALTER SERVER bill24 OPTIONS (SET second_look '1h');
SELECT bill_status FROM bill24_settle_payment('F-R3', 'F2', 0, 'KHR', 'ST001', '2025-11-20', '2099-12-31');
SELECT sync_code, due, wanted, again_in FROM standing;
ALTER SERVER bill24 OPTIONS (DROP second_look);
-- a delete wants a look, and the look finds that the customer is gone
SELECT sync_code FROM bill24_get_customer('F2');
SELECT bill24_delete_customer('F2');
SELECT sync_code, due, wanted, known FROM standing WHERE sync_code = 'F2';
SELECT sync_code FROM bill24_get_customer('F2', missing_ok => true);
SELECT sync_code, wanted, known FROM standing WHERE sync_code = 'F2';
SELECT * FROM copies WHERE sync_code = 'F2';
-- but registers nobody, and neither does a get that finds nothing
SELECT bill24_request('POST', '/customer/create', '{"sync_code": "F3", "name": "Three"}') ->> 'code' AS code;
SELECT bill24_delete_customer('F3');
SELECT sync_code FROM bill24_get_customer('F3', missing_ok => true);
SELECT count(*) FROM bill24.tracked WHERE sync_code = 'F3';

-- a transaction that fails registers nobody
BEGIN;
SELECT sync_code FROM bill24_create_customer('F4', 'Four');
ROLLBACK;
SELECT count(*) FROM bill24.tracked WHERE sync_code = 'F4';
-- a savepoint that fails takes nothing back: the call has happened
BEGIN;
SAVEPOINT a;
SELECT sync_code FROM bill24_get_customer('F4');
SELECT sync_code FROM bill24_update_customer('F4', phone => '044');
ROLLBACK TO a;
SELECT count(*) FROM bill24.tracked WHERE sync_code = 'F4';
COMMIT;
SELECT * FROM standing WHERE sync_code = 'F4';
-- several calls about one customer are one note; the look comes after the update, so it is the last word
BEGIN;
SELECT sync_code FROM bill24_update_customer('F4', name => 'Vier', phone => '045');
SELECT sync_code FROM bill24_update_customer('F4', email => 'four@example.com');
SELECT sync_code FROM bill24_get_customer('F4');
COMMIT;
SELECT * FROM standing WHERE sync_code = 'F4';
SELECT * FROM copies WHERE sync_code = 'F4';
-- a function that commits on its way
DO $$
BEGIN
	PERFORM bill24_create_customer('F5', 'Five');
	COMMIT;
	PERFORM bill24_create_customer('F6', 'Six');
	ROLLBACK;
	PERFORM bill24_create_customer('F7', 'Seven');
END $$;
SELECT sync_code FROM standing WHERE sync_code IN ('F5', 'F6', 'F7');
-- a read-only transaction
BEGIN READ ONLY;
SELECT sync_code FROM bill24_get_customer('F6');
COMMIT;
SELECT count(*) FROM bill24.tracked WHERE sync_code = 'F6';
-- a server that is not mirrored
ALTER SERVER bill24 OPTIONS (ADD mirror 'false');
SELECT sync_code FROM bill24_get_customer('F6');
SELECT count(*) FROM bill24.tracked WHERE sync_code = 'F6';
SELECT try($$SELECT bill24_track('{F6}')$$);
SELECT id, balance FROM bill24_wallet_balance('F6');
SELECT count(*) FROM bill24.tracked WHERE sync_code = 'F6';
ALTER SERVER bill24 OPTIONS (DROP mirror);
-- a server that is gone when the transaction ends
CREATE SERVER other FOREIGN DATA WRAPPER bill24 OPTIONS (base_url :'url', allow_http 'true');
CREATE USER MAPPING FOR CURRENT_USER SERVER other OPTIONS (
	token '00000000-0000-4000-8000-000000000001', client_id 'demo_client', secret 'demo-secret');
BEGIN;
SELECT sync_code FROM bill24_get_customer('F6', server => 'other');
DROP SERVER other CASCADE;
COMMIT;
SELECT count(*) FROM bill24.tracked WHERE sync_code = 'F6';

-- the mode of the trigger that calls
CREATE TABLE customer (code text, "full" text);
CREATE TRIGGER bill24 AFTER INSERT ON customer FOR EACH ROW
	EXECUTE FUNCTION bill24_customer_trigger('sync_code=code', 'name=full', 'mode=call');
INSERT INTO customer VALUES ('F8', 'Eight');
SELECT sync_code, due, wanted, sent_name FROM standing WHERE sync_code = 'F8';
DROP TABLE customer;

-- bill24_track and bill24_untrack
SELECT bill24_track(ARRAY['G3', 'G1', 'G2', 'G1']);
SELECT bill24_track('{G4,G1}');
SELECT bill24_track('{}');
SELECT sync_code, mine, due, wanted, read FROM standing WHERE sync_code LIKE 'G%';
BEGIN;
SELECT bill24_track('{G5}');
ROLLBACK;
SELECT count(*) FROM bill24.tracked WHERE sync_code = 'G5';
SELECT bill24_untrack('{G4,G5}');
SELECT sync_code FROM standing WHERE sync_code LIKE 'G%';
-- the copies go along, the changes stay, and so does what this transaction has learnt
SELECT count(*) FROM bill24.wallet_change WHERE sync_code = 'F1';
BEGIN;
SELECT sync_code FROM bill24_get_customer('F1');
SELECT bill24_untrack('{F1}');
COMMIT;
SELECT (SELECT count(*) FROM bill24.tracked WHERE sync_code = 'F1') AS tracked,
	(SELECT count(*) FROM bill24.customer_copy WHERE sync_code = 'F1') AS customers,
	(SELECT count(*) FROM bill24.wallet_copy WHERE sync_code = 'F1') AS wallets,
	(SELECT count(*) FROM bill24.wallet_change WHERE sync_code = 'F1') AS changes;
-- whose looks fail is looked at again, with the new role's account
CREATE ROLE regress_bill24_other;
UPDATE bill24.tracked SET owner = 'regress_bill24_other', failures = 3, sqlstate = '42501', next_look_at = 'infinity' WHERE sync_code IN ('G1', 'G2');
UPDATE bill24.tracked SET failures = 0 WHERE sync_code = 'G2';
SELECT bill24_track('{G1,G2}');
SELECT sync_code, mine, due, wanted, failures FROM standing WHERE sync_code LIKE 'G%';
-- wrong arguments
SELECT try($$SELECT bill24_track(NULL)$$);
SELECT try($$SELECT bill24_track('{a,NULL}')$$);
SELECT try($$SELECT bill24_track('{a,""}')$$);
SELECT try($$SELECT bill24_track(ARRAY[repeat('x', 1000)])$$);
SELECT try($$SELECT bill24_track('{{a,b},{c,d}}')$$);
SELECT try($$SELECT bill24_track('{a}', NULL)$$);
SELECT try($$SELECT bill24_track('{a}', 'none')$$);
SELECT try($$SELECT bill24_refresh('{a,NULL}')$$);
SELECT try($$SELECT bill24_refresh('{a}', 'none')$$);
SELECT try($$SELECT bill24_untrack('{a,""}')$$);
SELECT try($$SELECT bill24_untrack('{a}', 'none')$$);
BEGIN READ ONLY;
SELECT try($$SELECT bill24_track('{a}')$$);
ROLLBACK;

-- bill24_refresh takes a customer out of its group, whose time holds up to here
INSERT INTO bill24.look_group (server, is_open, members, next_look_at, looked_at) VALUES ('bill24', false, 2, now() + '1 hour', '2025-01-02');
UPDATE bill24.tracked SET next_look_at = NULL, look_group = (SELECT max(id) FROM bill24.look_group), read_at = '2025-01-01', failures = 0
WHERE sync_code IN ('G1', 'G2');
SELECT bill24_refresh('{G1,G9}');
SELECT sync_code, next_look_at <= clock_timestamp() AS due, wanted_at > now() - '1 minute'::interval AS wanted,
	look_group IS NOT NULL AS in_group, read_at::date FROM bill24.tracked WHERE sync_code IN ('G1', 'G2') ORDER BY sync_code;
-- so does a call that changes it
SELECT bill24_request('POST', '/customer/create', '{"sync_code": "G2", "name": "G"}') ->> 'code' AS code;
SELECT sync_code FROM bill24_update_customer('G2', name => 'H');
SELECT sync_code, next_look_at <= clock_timestamp() AS due, wanted_at > now() - '1 minute'::interval AS wanted,
	look_group IS NOT NULL AS in_group, read_at::date FROM bill24.tracked WHERE sync_code = 'G2';
-- a copy of the database looks at all of them anew, and believes no time that has no copy
UPDATE bill24.tracked SET next_look_at = NULL, look_group = (SELECT max(id) FROM bill24.look_group) WHERE sync_code = 'F4';
BEGIN;
SELECT bill24_adopt_outbox();
UPDATE bill24.home SET database = 1;
COMMIT;
SELECT count(*) = count(*) FILTER (WHERE next_look_at <= clock_timestamp() AND now() - wanted_at < '1 minute'::interval AND look_group IS NULL AND digest IS NULL) AS all,
	array_agg(sync_code ORDER BY sync_code) FILTER (WHERE read_at IS NOT NULL) AS read FROM bill24.tracked;

-- bill24_wallet_balance: who is not mirrored is asked for, and mirrored from then on
SELECT bill24_request('POST', '/customer/create', '{"sync_code": "W1", "name": "W", "wallet": [{"name": "Riel", "currency": "KHR"}, {"name": "Dollar", "currency": "USD"}]}') ->> 'code' AS code;
SELECT gets() AS before \gset
SELECT name, balance, currency, synced_at > now() - '1 minute'::interval AS fresh FROM bill24_wallet_balance('W1') ORDER BY 1;
SELECT * FROM copies WHERE sync_code = 'W1';
-- then the mirror will do
SELECT bill24_request('POST', '/_sim/topup', '{"sync_code": "W1", "amount": "5"}') ->> 'balance' AS balance;
SELECT w.name, w.balance, w.currency, w.synced_at = t.read_at AS as_read FROM bill24_wallet_balance('W1') w, bill24.tracked t WHERE t.sync_code = 'W1' ORDER BY 1;
SELECT gets() - :before AS asked;
-- unless it is too old, in a group or not
SELECT name, balance FROM bill24_wallet_balance('W1', '0') ORDER BY 1;
SELECT gets() - :before AS asked;
UPDATE bill24.tracked SET read_at = now() - '1 hour'::interval WHERE sync_code = 'W1';
SELECT name, balance FROM bill24_wallet_balance('W1', '2 hours') ORDER BY 1;
SELECT gets() - :before AS asked;
INSERT INTO bill24.look_group (server, is_open, members, next_look_at, looked_at) VALUES ('bill24', false, 1, now() + '1 hour', now() - '5 minutes'::interval);
UPDATE bill24.tracked SET next_look_at = NULL, look_group = (SELECT max(id) FROM bill24.look_group) WHERE sync_code = 'W1';
SELECT name, balance, synced_at = (SELECT looked_at FROM bill24.look_group) AS of_group FROM bill24_wallet_balance('W1', '10 minutes') WHERE name = 'Riel';
SELECT gets() - :before AS asked;
SELECT name, balance FROM bill24_wallet_balance('W1', '1 minute') ORDER BY 1;
SELECT gets() - :before AS asked;
-- or this transaction has changed the customer
BEGIN;
SELECT bill_status FROM bill24_settle_payment('F-R9', 'W1', 1, 'KHR', 'ST001', '2025-11-20', '2099-12-31');
SELECT count(*) FROM bill24_wallet_balance('W1', '1 day');
ROLLBACK;
SELECT gets() - :before AS asked;
-- an error leaves what is there
SELECT bill24_request('POST', '/_sim/fault', '{"kind": "patch", "path": "/customer/get_customer_detail", "set": {"data.walletBalances.0.balance": null}}') ? 'fault' AS asked;
SELECT try($$SELECT count(*) FROM bill24_wallet_balance('W1', '0')$$);
SELECT bill24_request('POST', '/_sim/fault', '{"kind": "patch", "path": "/customer/get_customer_detail", "set": {"data.walletBalances": null}}') ? 'fault' AS asked;
SELECT try($$SELECT count(*) FROM bill24_wallet_balance('W1', '0')$$);
SELECT * FROM copies WHERE sync_code = 'W1';
-- in the select list, and of a customer without wallets
SELECT (bill24_wallet_balance('W1', '1 day')).currency ORDER BY 1;
SELECT count(*) FROM bill24_wallet_balance('F4', '0');
SELECT count(*) FROM bill24_wallet_balance('F4');
-- gone, as the provider says and as the mirror knows
SELECT bill24_request('POST', '/_sim/topup', '{"sync_code": "W1", "amount": "-4"}') ->> 'balance' AS balance;
SELECT bill24_request('POST', '/customer/delete', '{"sync_code": "W1"}') ->> 'code' AS code;
SELECT try($$SELECT count(*) FROM bill24_wallet_balance('W1', '0')$$);
SELECT gets() AS before \gset
SELECT * FROM copies WHERE sync_code = 'W1';
SELECT try($$SELECT count(*) FROM bill24_wallet_balance('W1')$$);
SELECT gets() - :before AS asked;
SELECT try($$SELECT bill24_wallet_balance(NULL)$$);
SELECT try($$SELECT bill24_wallet_balance('')$$);
SELECT try($$SELECT bill24_wallet_balance('W1', NULL)$$);
SELECT try($$SELECT bill24_wallet_balance('W1', '-1 second')$$);
SELECT try($$SELECT bill24_wallet_balance('W1', '300000 years')$$);
SELECT try($$SELECT bill24_wallet_balance('W1', '1 day', NULL)$$);
SELECT try($$SELECT bill24_wallet_balance('W1', '1 day', 'none')$$);

-- rights: a role that is nobody, one with an account, and of a server that is gone
SET ROLE regress_bill24_other;
SELECT try($$SELECT bill24_track('{H1}')$$);
SELECT try($$SELECT bill24_refresh('{G1}')$$);
SELECT try($$SELECT bill24_untrack('{G1}')$$);
SELECT try($$SELECT bill24_wallet_balance('F4')$$);
SELECT try(format('SELECT count(*) FROM bill24.%I', t)) FROM unnest('{tracked,customer_copy,wallet_copy,wallet_change,look_group,customer,wallet,drift,freshness,sync_progress}'::text[]) t;
RESET ROLE;
GRANT USAGE ON FOREIGN SERVER bill24 TO regress_bill24_other;
SET ROLE regress_bill24_other;
SELECT try($$SELECT bill24_track('{H1}')$$);
SELECT try($$SELECT bill24_refresh('{G1}')$$);
RESET ROLE;
CREATE USER MAPPING FOR PUBLIC SERVER bill24 OPTIONS (
	token '00000000-0000-4000-8000-000000000001', client_id 'demo_client', secret 'demo-secret');
SET ROLE regress_bill24_other;
SELECT bill24_track('{H1}');
SELECT sync_code FROM bill24_create_customer('H2', 'H');
SELECT count(*) FROM bill24_wallet_balance('H2', '0');
RESET ROLE;
SELECT sync_code, owner FROM bill24.tracked WHERE sync_code LIKE 'H%' ORDER BY 1;
SET client_min_messages = warning;
DROP SERVER bill24 CASCADE;
SET client_min_messages = notice;
SET ROLE regress_bill24_other;
SELECT try($$SELECT bill24_untrack('{G1,G3}')$$);
SELECT bill24_untrack('{H1,G1}');
RESET ROLE;
SELECT sync_code, owner = current_user::regrole AS mine FROM bill24.tracked WHERE sync_code ~ '^[GH]' ORDER BY 1;
SELECT bill24_untrack('{H2,G1}');

-- an extension that is gone when the transaction ends
CREATE SERVER bill24 FOREIGN DATA WRAPPER bill24 OPTIONS (base_url :'url', allow_http 'true');
CREATE USER MAPPING FOR CURRENT_USER SERVER bill24 OPTIONS (
	token '00000000-0000-4000-8000-000000000001', client_id 'demo_client', secret 'demo-secret');
BEGIN;
SELECT sync_code FROM bill24_get_customer('F6');
SET LOCAL client_min_messages = warning;
DROP EXTENSION bill24 CASCADE;
COMMIT;
SET client_min_messages = warning;
DROP FUNCTION gets();
DROP FUNCTION try(text);
DROP ROLE regress_bill24_other;
