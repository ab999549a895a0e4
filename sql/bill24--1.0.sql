/* sql/bill24--1.0.sql */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION bill24" to load this file. \quit

/*
 * Accounts
 */
CREATE FUNCTION bill24_fdw_validator(text[], oid) RETURNS void
AS 'MODULE_PATHNAME' LANGUAGE C STRICT VOLATILE PARALLEL SAFE;
COMMENT ON FUNCTION bill24_fdw_validator(text[], oid) IS
'checks the options of Bill24 servers and user mappings';

CREATE FOREIGN DATA WRAPPER bill24 VALIDATOR bill24_fdw_validator;
COMMENT ON FOREIGN DATA WRAPPER bill24 IS
'accounts at Bill24 (bill24.io): a server is where, a user mapping is who';

CREATE FUNCTION bill24_check(server name DEFAULT 'bill24',
	OUT step text, OUT ok boolean, OUT detail text, OUT hint text)
RETURNS SETOF record
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION bill24_check(name) IS
'tells step by step what works between this database and Bill24, and what to do about the rest';

/*
 * Results
 */
CREATE TYPE bill24_wallet AS (
	id text,
	name text,
	balance numeric,
	currency text
);
COMMENT ON TYPE bill24_wallet IS
'a wallet; balance is in units of its currency, NULL where the answer does not tell it';

CREATE TYPE bill24_customer AS (
	id text,
	sync_code text,
	name text,
	name_kh text,
	phone text,
	email text,
	wallets bill24_wallet[]
);
COMMENT ON TYPE bill24_customer IS
'a customer; id is Bill24''s own and is not told by every operation';

CREATE TYPE bill24_result AS (
	code text,
	message text,
	message_kh text
);
COMMENT ON TYPE bill24_result IS
'what Bill24 says of an operation that has no other result';

CREATE TYPE bill24_payment_method AS (
	id text,
	type text,
	name text,
	sub_title text,
	sub_title_kh text,
	token text,
	is_default boolean,
	logo text
);
COMMENT ON TYPE bill24_payment_method IS
'a way to pay; its token is what bill24_settle_payment() takes as payment_method_token';

CREATE TYPE bill24_settlement AS (
	bill_status text,
	payment_status text,
	code text,
	message text,
	message_kh text
);
COMMENT ON TYPE bill24_settlement IS
'what became of a bill that was pushed with its payment';

CREATE TYPE bill24_bill AS (
	ref_id text,
	date timestamp,
	due_date timestamp,
	description text,
	currency text,
	total_amount numeric,
	total_tax numeric,
	sync_code text,
	bill_status text,
	details jsonb,
	checkout_link text,
	checkout_ref text,
	payment_date timestamp,
	payment_ref text,
	payment_method text
);
COMMENT ON TYPE bill24_bill IS
'a bill; times are as Bill24 prints them, in a time zone that it does not tell';

CREATE TYPE bill24_transaction AS (
	reference_id text,
	transaction_id text,
	supplier_id text,
	transaction_type text,
	tran_amount numeric,
	total_amount numeric,
	currency text,
	tran_date timestamp,
	expire_date timestamp,
	status text,
	customer_name text,
	customer_name_kh text,
	bank_id text,
	bank_ref text
);
COMMENT ON TYPE bill24_transaction IS
'a payment; times are as Bill24 prints them, in a time zone that it does not tell';

/*
 * Customers
 */
CREATE FUNCTION bill24_create_customer(
	sync_code text,
	name text,
	name_kh text DEFAULT NULL,
	phone text DEFAULT NULL,
	email text DEFAULT NULL,
	wallets jsonb DEFAULT NULL,
	server name DEFAULT 'bill24')
RETURNS bill24_customer
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION bill24_create_customer(text, text, text, text, text, jsonb, name) IS
'creates a customer at Bill24, now; wallets is an array of objects with name and currency';

CREATE FUNCTION bill24_get_customer(
	sync_code text,
	server name DEFAULT 'bill24',
	missing_ok boolean DEFAULT false)
RETURNS bill24_customer
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION bill24_get_customer(text, name, boolean) IS
'a customer with its wallets and their balances, from Bill24';

CREATE FUNCTION bill24_update_customer(
	sync_code text,
	name text DEFAULT NULL,
	name_kh text DEFAULT NULL,
	phone text DEFAULT NULL,
	email text DEFAULT NULL,
	server name DEFAULT 'bill24')
RETURNS bill24_customer
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION bill24_update_customer(text, text, text, text, text, name) IS
'changes a customer at Bill24, now; what is NULL is not sent';

CREATE FUNCTION bill24_delete_customer(
	sync_code text,
	server name DEFAULT 'bill24')
RETURNS bill24_result
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION bill24_delete_customer(text, name) IS
'deletes a customer at Bill24, now; refused while there is money in its wallets';

/*
 * Wallets
 */
CREATE FUNCTION bill24_get_wallet_balance(
	sync_code text,
	server name DEFAULT 'bill24',
	missing_ok boolean DEFAULT false)
RETURNS SETOF bill24_wallet
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000 ROWS 2;
COMMENT ON FUNCTION bill24_get_wallet_balance(text, name, boolean) IS
'the wallets of a customer with their balances, from Bill24';

CREATE FUNCTION bill24_get_wallet_balances(
	sync_codes text[],
	server name DEFAULT 'bill24')
RETURNS TABLE (
	sync_code text,
	id text,
	name text,
	balance numeric,
	currency text,
	sqlstate text,
	error text)
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION bill24_get_wallet_balances(text[], name) IS
'the wallets of many customers, concurrently: a row per wallet, or one that tells why there is none';

CREATE FUNCTION bill24_get_payment_methods(
	sync_code text,
	server name DEFAULT 'bill24',
	missing_ok boolean DEFAULT false)
RETURNS SETOF bill24_payment_method
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000 ROWS 5;
COMMENT ON FUNCTION bill24_get_payment_methods(text, name, boolean) IS
'the ways in which a customer can pay';

CREATE FUNCTION bill24_get_wallet_history(
	sync_code text,
	wallet_id text DEFAULT '',
	tran_type text DEFAULT '',
	from_time timestamp DEFAULT NULL,
	to_time timestamp DEFAULT NULL,
	page integer DEFAULT 1,
	page_size integer DEFAULT 30,
	server name DEFAULT 'bill24')
RETURNS jsonb
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION bill24_get_wallet_history(text, text, text, timestamp, timestamp, integer, integer, name) IS
'what happened in a customer''s wallets, as Bill24 answers it (the answer is not documented)';

/*
 * Bills and payments
 */
CREATE FUNCTION bill24_settle_payment(
	ref_id text,
	sync_code text,
	amount numeric,
	currency text,
	payment_to text,
	bill_date timestamptz,
	due_date timestamptz,
	description text DEFAULT NULL,
	payment_method_token text DEFAULT NULL,
	total_tax numeric DEFAULT NULL,
	total_amount_khr numeric DEFAULT NULL,
	exchange_rate_khr numeric DEFAULT NULL,
	details jsonb DEFAULT NULL,
	server name DEFAULT 'bill24')
RETURNS bill24_settlement
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION bill24_settle_payment(text, text, numeric, text, text, timestamptz, timestamptz, text, text, numeric, numeric, numeric, jsonb, name) IS
'pushes a bill and charges it to the customer, now and never twice by itself; ref_id is its key';

CREATE FUNCTION bill24_fetch_bills(
	from_date date,
	to_date date,
	sync_code text DEFAULT NULL,
	currency text DEFAULT NULL,
	server name DEFAULT 'bill24')
RETURNS SETOF bill24_bill
AS 'MODULE_PATHNAME', 'bill24_get_bills' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION bill24_fetch_bills(date, date, text, text, name) IS
'use bill24_get_bills() instead, which calls this where it can stop early';

/*
 * PostgreSQL reads a function in FROM to its end before it returns the first
 * row, but not one in a select list.  This function is inlined into the query
 * (hence STABLE, which is all that the planner wants for that), so that
 * "SELECT * FROM bill24_get_bills(...) LIMIT 10" fetches one page.
 */
CREATE FUNCTION bill24_get_bills(
	from_date date,
	to_date date,
	sync_code text DEFAULT NULL,
	currency text DEFAULT NULL,
	server name DEFAULT 'bill24')
RETURNS SETOF bill24_bill
LANGUAGE sql STABLE PARALLEL UNSAFE COST 10000
AS 'SELECT (s.bill).*
	FROM (SELECT @extschema@.bill24_fetch_bills(from_date, to_date, sync_code, currency, server) AS bill) s';
COMMENT ON FUNCTION bill24_get_bills(date, date, text, text, name) IS
'the bills of a period, both days included; reads pages only as far as the query does';

CREATE FUNCTION bill24_get_bill(
	ref_id text,
	server name DEFAULT 'bill24',
	missing_ok boolean DEFAULT false)
RETURNS bill24_bill
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION bill24_get_bill(text, name, boolean) IS
'a bill by its ref_id';

CREATE FUNCTION bill24_get_transaction(
	ref_id text,
	server name DEFAULT 'bill24',
	missing_ok boolean DEFAULT false)
RETURNS bill24_transaction
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION bill24_get_transaction(text, name, boolean) IS
'the payment of a bill, by the bill''s ref_id';

/*
 * Sub-billers
 */
CREATE FUNCTION bill24_onboard_sub_biller(
	supplier_sync_code text,
	name text,
	name_kh text DEFAULT NULL,
	address text DEFAULT NULL,
	bank_id text DEFAULT NULL,
	return_url text DEFAULT NULL,
	currency text DEFAULT NULL,
	server name DEFAULT 'bill24')
RETURNS jsonb
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION bill24_onboard_sub_biller(text, text, text, text, text, text, text, name) IS
'makes a sub-biller; with bank_id, which needs return_url, also a link for its bank account';

CREATE FUNCTION bill24_get_available_banks(server name DEFAULT 'bill24')
RETURNS jsonb
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION bill24_get_available_banks(name) IS
'the banks at which sub-billers can have accounts, as Bill24 answers it (the answer is not documented)';

CREATE FUNCTION bill24_add_link_account(
	supplier_sync_code text,
	bank_id text,
	return_url text,
	currency text DEFAULT NULL,
	server name DEFAULT 'bill24')
RETURNS jsonb
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION bill24_add_link_account(text, text, text, text, name) IS
'a link where a sub-biller adds its bank account';

CREATE FUNCTION bill24_verify_linked_account(
	supplier_sync_code text,
	bank_id text DEFAULT NULL,
	server name DEFAULT 'bill24')
RETURNS jsonb
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION bill24_verify_linked_account(text, text, name) IS
'the bank accounts that a sub-biller has linked';

/*
 * Everything else
 */
CREATE FUNCTION bill24_request(
	method text,
	path text,
	body jsonb DEFAULT NULL,
	server name DEFAULT 'bill24')
RETURNS jsonb
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION bill24_request(text, text, jsonb, name) IS
'sends a request to any path of the server and returns the whole answer';

-- what this can do is for the administrator to judge
REVOKE EXECUTE ON FUNCTION bill24_request(text, text, jsonb, name) FROM PUBLIC;

CREATE FUNCTION bill24_preview(
	operation text,
	request jsonb,
	server name DEFAULT 'bill24')
RETURNS jsonb
AS 'MODULE_PATHNAME' LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION bill24_preview(text, jsonb, name) IS
'the request that an operation would send, secrets masked; nothing is sent';

/*
 * The outbox: what is to be sent after commit.  Rows are written by this
 * extension's functions and its worker only.
 *
 * next_attempt_at is set while a job is to be claimed, leased_by while a
 * process has it, finished_at when it has ended; the indexes rest on that, and
 * so hold no more than what is looked for.
 */
CREATE SCHEMA bill24;
COMMENT ON SCHEMA bill24 IS
'tables and views of the extension bill24';
GRANT USAGE ON SCHEMA bill24 TO PUBLIC;

CREATE SEQUENCE bill24.outbox_id_seq;
COMMENT ON SEQUENCE bill24.outbox_id_seq IS
'numbers the jobs; not cached, so that the jobs of a key are numbered in their order';

CREATE TABLE bill24.outbox (
	id bigint PRIMARY KEY DEFAULT pg_catalog.nextval('bill24.outbox_id_seq'),
	server text COLLATE "C" NOT NULL,
	account bigint NOT NULL DEFAULT 0,
	operation text COLLATE "C" NOT NULL,
	key text COLLATE "C" NOT NULL,
	request jsonb NOT NULL,
	owner regrole NOT NULL,
	state text COLLATE "C" NOT NULL DEFAULT 'queued',
	attempts integer NOT NULL DEFAULT 0,
	next_attempt_at timestamptz DEFAULT pg_catalog.now(),
	scheduled_at timestamptz,
	leased_by bigint,
	merged_into bigint,
	response jsonb,
	sqlstate text COLLATE "C",
	error text,
	created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
	finished_at timestamptz,
	CONSTRAINT outbox_state CHECK (
		CASE state
			WHEN 'queued' THEN next_attempt_at IS NOT NULL AND leased_by IS NULL AND finished_at IS NULL
			WHEN 'waiting' THEN next_attempt_at IS NULL AND leased_by IS NULL AND finished_at IS NULL
			WHEN 'sending' THEN next_attempt_at IS NULL AND leased_by IS NOT NULL AND finished_at IS NULL
			WHEN 'unknown' THEN (next_attempt_at IS NULL) = (leased_by IS NOT NULL) AND finished_at IS NULL
			WHEN 'parked' THEN next_attempt_at IS NULL AND leased_by IS NULL AND finished_at IS NULL
			WHEN 'done' THEN next_attempt_at IS NULL AND leased_by IS NULL AND finished_at IS NOT NULL
			WHEN 'failed' THEN next_attempt_at IS NULL AND leased_by IS NULL AND finished_at IS NOT NULL
			WHEN 'cancelled' THEN next_attempt_at IS NULL AND leased_by IS NULL AND finished_at IS NOT NULL
			ELSE false
		END)
);

/*
 * To compare texts takes most of an insert's time in an index.  So numbers come
 * first, and names only where those before them are mostly different.
 */
CREATE INDEX outbox_due ON bill24.outbox (pg_catalog.hashtextextended(server, 0), next_attempt_at, id) WHERE next_attempt_at IS NOT NULL;
CREATE INDEX outbox_key ON bill24.outbox (account, key, server, id) WHERE finished_at IS NULL;
CREATE INDEX outbox_active ON bill24.outbox (account, key, server, id) WHERE state IN ('sending', 'unknown', 'parked');
CREATE INDEX outbox_waiting ON bill24.outbox (account, key, server, id) WHERE state = 'waiting' AND merged_into IS NULL;
CREATE INDEX outbox_merged ON bill24.outbox (merged_into) WHERE merged_into IS NOT NULL AND state = 'waiting';
CREATE INDEX outbox_finished ON bill24.outbox (server, finished_at) WHERE finished_at IS NOT NULL;
ALTER SEQUENCE bill24.outbox_id_seq OWNED BY bill24.outbox.id;
GRANT SELECT ON SEQUENCE bill24.outbox_id_seq TO PUBLIC;	-- for dumps

COMMENT ON TABLE bill24.outbox IS
'what is to be sent after commit: one row a job, in order per server and key';
COMMENT ON COLUMN bill24.outbox.id IS 'number of the job; the jobs of a key are sent in this order';
COMMENT ON COLUMN bill24.outbox.server IS 'name of the foreign server';
COMMENT ON COLUMN bill24.outbox.account IS 'number of the merchant''s account; the jobs of different accounts have nothing to do with one another';
COMMENT ON COLUMN bill24.outbox.operation IS 'create_customer and so on: the name of Bill24''s function without its prefix, or paycombat_create_customer and so on';
COMMENT ON COLUMN bill24.outbox.key IS 'what the job is about, mostly a sync_code; jobs of one key (of the same account and server) are sent one after the other';
COMMENT ON COLUMN bill24.outbox.request IS 'the arguments by name, as they go on the wire';
COMMENT ON COLUMN bill24.outbox.owner IS 'who enqueued it, and with whose user mapping it is sent';
COMMENT ON COLUMN bill24.outbox.state IS 'queued, waiting (behind an earlier job of its key), sending, unknown (its outcome; looked up next), parked (a person decides), or done, failed, cancelled';
COMMENT ON COLUMN bill24.outbox.attempts IS 'how often it was taken up, look-ups included';
COMMENT ON COLUMN bill24.outbox.next_attempt_at IS 'when it is taken up (again); NULL if it is not to be';
COMMENT ON COLUMN bill24.outbox.scheduled_at IS 'when next_attempt_at was set, if not when it was enqueued: where this is in the future, the clock was set back';
COMMENT ON COLUMN bill24.outbox.leased_by IS 'the process that has it, while it has it';
COMMENT ON COLUMN bill24.outbox.merged_into IS 'the later job of its key that is sent in its stead, with the values of both';
COMMENT ON COLUMN bill24.outbox.response IS 'the provider''s data';
COMMENT ON COLUMN bill24.outbox.sqlstate IS 'of the last outcome, if that was no success';
COMMENT ON COLUMN bill24.outbox.error IS 'the last outcome in words, if that was no success';
COMMENT ON COLUMN bill24.outbox.created_at IS 'start of the transaction that enqueued it';
COMMENT ON COLUMN bill24.outbox.finished_at IS 'when it was done, failed or cancelled';

-- a role sees its own jobs, and those of the roles it is a member of
ALTER TABLE bill24.outbox ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_jobs ON bill24.outbox FOR SELECT USING (pg_catalog.pg_has_role(owner, 'USAGE'));
GRANT SELECT ON bill24.outbox TO PUBLIC;

SELECT pg_catalog.pg_extension_config_dump('bill24.outbox', '');
SELECT pg_catalog.pg_extension_config_dump('bill24.outbox_id_seq', '');

/*
 * A job belongs to the role that enqueues it, and is sent with its user
 * mapping: inside of a SECURITY DEFINER function that is the function's owner.
 */
CREATE FUNCTION bill24_enqueue(
	operation text,
	request jsonb,
	server name DEFAULT 'bill24')
RETURNS bigint
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100;
COMMENT ON FUNCTION bill24_enqueue(text, jsonb, name) IS
'has an operation sent after commit, in order per key, and returns the number of the job in bill24.outbox';

/*
 * FOR EACH ROW, jobs are in the order of the rows.  FOR EACH STATEMENT, which
 * needs the transition tables of its event, all deletes come first, then all
 * creates, then the updates, so that rows may exchange their sync_codes; it
 * also takes a row that moves to another partition for the same customer,
 * where FOR EACH ROW deletes and creates it.
 *
 * An update sends all mapped columns that are not NULL: what became NULL stays
 * as it is at the provider.  wallets are sent when a customer is created.  What
 * is neither text nor JSON is sent as its output function writes it, so the
 * session's DateStyle and the like matter.  TRUNCATE sends nothing; a trigger
 * AFTER TRUNCATE with this function refuses it.
 *
 * In mode=call every row is sent at once, and what was done at the provider
 * stays done if the transaction is rolled back.
 */
CREATE FUNCTION bill24_customer_trigger()
RETURNS trigger
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION bill24_customer_trigger() IS
'AFTER trigger that keeps the customers at Bill24, or at whose server is named, like the rows of a table; its arguments are ''field=column'', and perhaps ''server=...'' and ''mode='' with outbox, call or dry_run';

-- those that failed are few and looked at by people; those that are done are many, and counting them reads them all
CREATE INDEX outbox_failed ON bill24.outbox (server, operation) WHERE state = 'failed';
CREATE VIEW bill24.queue WITH (security_barrier) AS
SELECT server, operation, state, pg_catalog.count(*) AS jobs,
	pg_catalog.min(created_at) AS oldest_created_at,
	pg_catalog.now() - pg_catalog.min(created_at) AS oldest_age,
	pg_catalog.min(next_attempt_at) AS next_attempt_at,
	pg_catalog.max(attempts) AS most_attempts
FROM bill24.outbox
WHERE pg_catalog.pg_has_role(owner, 'USAGE') AND finished_at IS NULL
GROUP BY server, operation, state
UNION ALL
SELECT server, operation, state, pg_catalog.count(*),
	pg_catalog.min(created_at),
	pg_catalog.now() - pg_catalog.min(created_at),
	NULL,
	pg_catalog.max(attempts)
FROM bill24.outbox
WHERE pg_catalog.pg_has_role(owner, 'USAGE') AND state = 'failed'
GROUP BY server, operation, state;
COMMENT ON VIEW bill24.queue IS
'the jobs that have not ended, and those that failed, that the current role may see, by server, operation and state, with the age of the oldest; what is done or cancelled is in bill24.outbox only';
GRANT SELECT ON bill24.queue TO PUBLIC;

/*
 * The mirror: customers and their wallets as the provider has them.  Keys begin
 * with sync_code, and nothing is unique across customers.
 *
 * What changes seldom, the copies, is kept apart from what every look
 * changes.  Of a quiet customer a look changes nothing of its own: such
 * customers are looked at in groups, and only the group's row is written.
 */

/*
 * A dump has bill24.tracked, and neither copies nor groups.  So each mirror that
 * is made has a number of its own, which a dump does not have: a row of tracked
 * that bears another was restored, and tells nothing of the copies that are
 * here.  Whoever restores it, and how, the row itself says so; and the number
 * goes wherever the copies go, such as with CREATE DATABASE TEMPLATE, a standby
 * or pg_upgrade.
 *
 * Groups are numbered from there on, so that a restored row is never in one.
 */
CREATE TABLE bill24.mirror_id (
	id bigint NOT NULL
);
INSERT INTO bill24.mirror_id
	SELECT pg_catalog.abs(pg_catalog.hashtextextended(pg_catalog.gen_random_uuid()::text, 0::bigint) / 4::bigint);
COMMENT ON TABLE bill24.mirror_id IS 'the number of this mirror, which no other has';

CREATE SEQUENCE bill24.look_group_id_seq;
SELECT pg_catalog.setval('bill24.look_group_id_seq', id) FROM bill24.mirror_id;
CREATE TABLE bill24.look_group (
	id bigint PRIMARY KEY DEFAULT pg_catalog.nextval('bill24.look_group_id_seq'),
	server text COLLATE "C" NOT NULL,
	is_open boolean NOT NULL DEFAULT true,
	members integer NOT NULL DEFAULT 0,
	next_look_at timestamptz NOT NULL,
	looked_at timestamptz
);
-- not the id itself, by which a group is to be found by its primary key only
CREATE INDEX look_group_due ON bill24.look_group (server, next_look_at, (id + 0));
CREATE UNIQUE INDEX look_group_open ON bill24.look_group (server) WHERE is_open;
ALTER SEQUENCE bill24.look_group_id_seq OWNED BY bill24.look_group.id;
COMMENT ON SEQUENCE bill24.look_group_id_seq IS 'numbers of groups';
COMMENT ON TABLE bill24.look_group IS 'quiet customers that are looked at together';
COMMENT ON COLUMN bill24.look_group.is_open IS 'more customers are put into it';
COMMENT ON COLUMN bill24.look_group.members IS 'how many were put into it';
COMMENT ON COLUMN bill24.look_group.next_look_at IS 'when its customers are looked at next';
COMMENT ON COLUMN bill24.look_group.looked_at IS 'when its customers were last asked for, all with success and without a change';

CREATE TABLE bill24.tracked (
	sync_code text COLLATE "C" NOT NULL,
	server text COLLATE "C" NOT NULL,
	owner regrole NOT NULL,
	tracked_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
	next_look_at timestamptz DEFAULT pg_catalog.clock_timestamp(),
	look_group bigint,
	wanted_at timestamptz,
	again_at timestamptz,
	look_interval integer,
	read_at timestamptz,
	digest bigint,
	mirror_id bigint,
	failures integer NOT NULL DEFAULT 0,
	failed_at timestamptz,
	sqlstate text COLLATE "C",
	error text,
	remote_id text,
	sent_at timestamptz,
	sent_name text,
	sent_phone text,
	sent_email text,
	PRIMARY KEY (sync_code, server),
	CONSTRAINT tracked_schedule CHECK ((next_look_at IS NULL) = (look_group IS NOT NULL))
);
CREATE INDEX tracked_due ON bill24.tracked (server, next_look_at, sync_code) WHERE next_look_at IS NOT NULL;
CREATE INDEX tracked_group ON bill24.tracked (look_group) WHERE look_group IS NOT NULL;
COMMENT ON TABLE bill24.tracked IS 'the customers that are mirrored, and when they are looked at';
COMMENT ON COLUMN bill24.tracked.owner IS 'with whose user mapping it is looked at';
COMMENT ON COLUMN bill24.tracked.next_look_at IS 'when it is looked at next; NULL: with its group';
COMMENT ON COLUMN bill24.tracked.look_group IS 'the group in bill24.look_group that it is looked at with';
COMMENT ON COLUMN bill24.tracked.wanted_at IS 'when a look was last asked for: one that began before does not do';
COMMENT ON COLUMN bill24.tracked.again_at IS 'when to look once more, since the provider changes balances a while after a payment';
COMMENT ON COLUMN bill24.tracked.look_interval IS 'seconds between looks that find nothing new';
COMMENT ON COLUMN bill24.tracked.read_at IS 'when the answer that the copies are of was asked for; NULL if there was none yet';
COMMENT ON COLUMN bill24.tracked.digest IS 'of that answer';
COMMENT ON COLUMN bill24.tracked.mirror_id IS 'the mirror that has the copies; if that is not this one, there was no answer yet';
COMMENT ON COLUMN bill24.tracked.failures IS 'looks that failed since the last that did not';
COMMENT ON COLUMN bill24.tracked.sqlstate IS 'of the last look, if it failed';
COMMENT ON COLUMN bill24.tracked.error IS 'why the last look failed, in words';
COMMENT ON COLUMN bill24.tracked.remote_id IS 'the provider''s own id, which only some answers tell';
COMMENT ON COLUMN bill24.tracked.sent_at IS 'when name, phone or email was last sent with success';
SELECT pg_catalog.pg_extension_config_dump('bill24.tracked', '');

CREATE TABLE bill24.customer_copy (
	sync_code text COLLATE "C" NOT NULL,
	server text COLLATE "C" NOT NULL,
	name text,
	name_kh text,
	phone text,
	email text,
	changed_at timestamptz NOT NULL,
	deleted_at timestamptz,
	PRIMARY KEY (sync_code, server)
);
COMMENT ON TABLE bill24.customer_copy IS 'customers as they were last read: see the view bill24.customer';

CREATE TABLE bill24.wallet_copy (
	sync_code text COLLATE "C" NOT NULL,
	server text COLLATE "C" NOT NULL,
	id text COLLATE "C" NOT NULL,
	name text,
	balance numeric NOT NULL,
	currency text,
	changed_at timestamptz NOT NULL,
	deleted_at timestamptz,
	PRIMARY KEY (sync_code, server, id)
);
COMMENT ON TABLE bill24.wallet_copy IS 'wallets as they were last read: see the view bill24.wallet';

CREATE SEQUENCE bill24.wallet_change_number_seq;
CREATE TABLE bill24.wallet_change (
	sync_code text COLLATE "C" NOT NULL,
	server text COLLATE "C" NOT NULL,
	number bigint NOT NULL DEFAULT pg_catalog.nextval('bill24.wallet_change_number_seq'),
	id text COLLATE "C" NOT NULL,
	currency text,
	old_balance numeric,
	new_balance numeric,
	seen_at timestamptz NOT NULL,
	PRIMARY KEY (sync_code, server, number)
);
ALTER SEQUENCE bill24.wallet_change_number_seq OWNED BY bill24.wallet_change.number;
COMMENT ON SEQUENCE bill24.wallet_change_number_seq IS 'numbers of changes';
COMMENT ON TABLE bill24.wallet_change IS 'the changes of balances that were seen, oldest first by number';
COMMENT ON COLUMN bill24.wallet_change.id IS 'the wallet''s';
COMMENT ON COLUMN bill24.wallet_change.old_balance IS 'NULL: the wallet was not there';
COMMENT ON COLUMN bill24.wallet_change.new_balance IS 'NULL: the wallet is gone';
COMMENT ON COLUMN bill24.wallet_change.seen_at IS 'when the answer that told it was asked for; the change came before';
-- unlike the copies it cannot be read again
SELECT pg_catalog.pg_extension_config_dump('bill24.wallet_change', '');
SELECT pg_catalog.pg_extension_config_dump('bill24.wallet_change_number_seq', '');
GRANT SELECT ON SEQUENCE bill24.wallet_change_number_seq TO PUBLIC;	-- for dumps

CREATE TABLE bill24.look_rate (
	server text COLLATE "C" PRIMARY KEY,
	noted_at timestamptz NOT NULL,
	per_second double precision NOT NULL
);
COMMENT ON TABLE bill24.look_rate IS 'how many customers a second the worker has been reading';

-- a customer that is in no group that is there, nor due by itself, was restored
CREATE VIEW bill24.looked AS
SELECT t.sync_code, t.server, t.remote_id, t.failed_at, t.sqlstate, t.error,
	t.sent_at, t.sent_name, t.sent_phone, t.sent_email,
	COALESCE(t.next_look_at, g.next_look_at, t.tracked_at) AS next_look_at,
	CASE WHEN t.mirror_id <> (SELECT m.id FROM bill24.mirror_id m) THEN NULL
		WHEN t.next_look_at IS NULL THEN greatest(t.read_at, g.looked_at)
		ELSE t.read_at END AS synced_at
FROM bill24.tracked t LEFT JOIN bill24.look_group g ON g.id = t.look_group;
COMMENT ON VIEW bill24.looked IS 'for the views below: the customers that are mirrored, when each was last looked at with success, and when it is next';

CREATE VIEW bill24.customer AS
SELECT t.sync_code, t.server, t.remote_id, c.name, c.name_kh, c.phone, c.email, c.changed_at, t.synced_at,
	c.deleted_at, t.failed_at, t.sqlstate, t.error
FROM bill24.looked t
	LEFT JOIN bill24.customer_copy c ON c.sync_code = t.sync_code AND c.server = t.server;
COMMENT ON VIEW bill24.customer IS
'the customers that are mirrored, as the provider had them at synced_at; NULL there until the first look succeeds';
COMMENT ON COLUMN bill24.customer.changed_at IS 'when the answer that brought its present data was asked for';
COMMENT ON COLUMN bill24.customer.synced_at IS 'when this was last seen to be so';
COMMENT ON COLUMN bill24.customer.deleted_at IS 'when it was first seen to be gone; the data is the last that was seen';
COMMENT ON COLUMN bill24.customer.error IS 'why the last look failed, if it did: then the data is of an earlier one';

CREATE VIEW bill24.wallet AS
SELECT w.sync_code, w.server, w.id, w.name, w.balance, w.currency, w.changed_at, t.synced_at, w.deleted_at
FROM bill24.wallet_copy w
	JOIN bill24.looked t ON t.sync_code = w.sync_code AND t.server = w.server;
COMMENT ON VIEW bill24.wallet IS
'the wallets of the customers that are mirrored, as the provider had them at synced_at';
COMMENT ON COLUMN bill24.wallet.balance IS 'in units of its currency, exactly as the provider tells it';
COMMENT ON COLUMN bill24.wallet.synced_at IS 'when this was last seen to be so';
COMMENT ON COLUMN bill24.wallet.deleted_at IS 'when it was first seen to be gone, with the last balance that was seen';

CREATE VIEW bill24.freshness AS
SELECT server, pg_catalog.count(*) AS customers,
	pg_catalog.count(*) FILTER (WHERE synced_at IS NULL) AS never_read,
	pg_catalog.count(*) FILTER (WHERE sqlstate IS NOT NULL) AS failing,
	pg_catalog.count(*) FILTER (WHERE deleted_at IS NOT NULL) AS gone,
	pg_catalog.min(synced_at) AS oldest,
	pg_catalog.max(synced_at) AS newest,
	pg_catalog.now() - pg_catalog.min(synced_at) AS greatest_age,
	pg_catalog.percentile_cont(0.5) WITHIN GROUP (ORDER BY pg_catalog.now() - synced_at) AS median_age
FROM bill24.customer GROUP BY server;
COMMENT ON VIEW bill24.freshness IS
'how old the mirror is, by server; it reads all of it';

CREATE VIEW bill24.sync_progress AS
SELECT p.server, p.tracked, p.due, p.done, p.failed, r.per_second AS rate, p.oldest,
	CASE WHEN p.due = 0 THEN NULL
		WHEN r.per_second > 0::float8 THEN pg_catalog.now() + p.due::float8 / r.per_second * '1 second'::interval END AS estimated_end
FROM (SELECT t.server, pg_catalog.count(*) AS tracked,
		pg_catalog.count(*) FILTER (WHERE t.next_look_at <= pg_catalog.now()) AS due,
		pg_catalog.count(*) FILTER (WHERE t.synced_at IS NOT NULL) AS done,
		pg_catalog.count(*) FILTER (WHERE t.sqlstate IS NOT NULL) AS failed,
		pg_catalog.min(t.synced_at) AS oldest
	FROM bill24.looked t GROUP BY t.server) p
	LEFT JOIN bill24.look_rate r ON r.server = p.server AND r.noted_at > pg_catalog.now() - '10 seconds'::interval;
COMMENT ON VIEW bill24.sync_progress IS
'how far the mirror is, by server; it reads all that is tracked';
COMMENT ON COLUMN bill24.sync_progress.due IS 'customers whose look is due and was not made yet';
COMMENT ON COLUMN bill24.sync_progress.done IS 'customers that were read at least once';
COMMENT ON COLUMN bill24.sync_progress.failed IS 'customers whose last look failed';
COMMENT ON COLUMN bill24.sync_progress.rate IS 'customers read a second; NULL if none were in the last 10 seconds';
COMMENT ON COLUMN bill24.sync_progress.estimated_end IS 'when all that is due now will have been looked at, at that rate';

CREATE VIEW bill24.drift AS
SELECT t.sync_code, t.server, f.field, f.sent, f.remote, t.sent_at, t.synced_at
FROM bill24.looked t
	JOIN bill24.customer_copy c ON c.sync_code = t.sync_code AND c.server = t.server,
	LATERAL (VALUES ('name', t.sent_name, c.name), ('phone', t.sent_phone, c.phone),
		('email', t.sent_email, c.email)) AS f(field, sent, remote)
WHERE f.sent IS NOT NULL AND f.sent IS DISTINCT FROM f.remote
	AND c.deleted_at IS NULL
	AND t.synced_at > t.sent_at;
COMMENT ON VIEW bill24.drift IS
'customers that are other at the provider than was last sent, by field, as far as they were looked at since';

CREATE FUNCTION bill24_track(sync_codes text[], server name DEFAULT 'bill24') RETURNS bigint
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION bill24_track(text[], name) IS
'has customers mirrored, and returns how many of them were not before';

CREATE FUNCTION bill24_untrack(sync_codes text[], server name DEFAULT 'bill24') RETURNS bigint
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION bill24_untrack(text[], name) IS
'forgets customers of the mirror and returns how many; the changes of their balances are kept';

CREATE FUNCTION bill24_refresh(sync_codes text[], server name DEFAULT 'bill24') RETURNS bigint
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION bill24_refresh(text[], name) IS
'has mirrored customers looked at next, and returns how many of them are mirrored';

CREATE FUNCTION bill24_wallet_balance(sync_code text, max_age interval DEFAULT '1 minute',
	server name DEFAULT 'bill24',
	OUT id text, OUT name text, OUT balance numeric, OUT currency text, OUT synced_at timestamptz)
RETURNS SETOF record
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION bill24_wallet_balance(text, interval, name) IS
'the wallets of a customer: from the mirror if they are not older than max_age, else from the provider, and the mirror is brought up to date';

CREATE TABLE bill24.home (
	system_identifier bigint NOT NULL,
	database oid NOT NULL,
	since timestamptz NOT NULL DEFAULT pg_catalog.now(),
	written_by xid NOT NULL DEFAULT '0'
);
COMMENT ON TABLE bill24.home IS
'the cluster and database that deliver the outbox; a copy elsewhere, or one that a dump has brought back, has a row that is not its own, and delivers nothing';
COMMENT ON COLUMN bill24.home.written_by IS 'the xmin that the row has as long as it was not restored';
GRANT SELECT ON bill24.home TO PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('bill24.home', '');

CREATE FUNCTION bill24_adopt_outbox() RETURNS void
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION bill24_adopt_outbox() IS
'lets this database deliver the jobs of an outbox that was copied from another one; nobody else must deliver them';
REVOKE EXECUTE ON FUNCTION bill24_adopt_outbox() FROM PUBLIC;
SELECT @extschema@.bill24_adopt_outbox();

CREATE FUNCTION bill24_wait(id bigint, timeout interval DEFAULT NULL) RETURNS text
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION bill24_wait(bigint, interval) IS
'waits until a job has ended or is parked, and returns its state; after the timeout, the state that it is in';

CREATE FUNCTION bill24_retry(id bigint) RETURNS bigint
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION bill24_retry(bigint) IS
'takes a parked job up again, or a queued one at once, or enqueues a failed or cancelled one anew; returns the job''s number';

CREATE FUNCTION bill24_cancel(id bigint) RETURNS void
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION bill24_cancel(bigint) IS
'takes a job that waits or is parked out of the queue: it is not sent';

CREATE FUNCTION bill24_resolve(id bigint, outcome text, note text DEFAULT NULL) RETURNS void
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION bill24_resolve(bigint, text, text) IS
'ends a job that is parked, or whose outcome is unknown, as a person has found out: done or failed';

CREATE PROCEDURE bill24_work(timeout interval DEFAULT NULL, INOUT finished bigint DEFAULT NULL)
AS 'MODULE_PATHNAME' LANGUAGE C;
COMMENT ON PROCEDURE bill24_work(interval, bigint) IS
'delivers what is due in the outbox, as the background worker does, and commits on the way';
REVOKE EXECUTE ON PROCEDURE bill24_work(interval, bigint) FROM PUBLIC;

/*
 * Workers
 */
CREATE FUNCTION bill24.worker_status(
	OUT database name,
	OUT pid integer,
	OUT state text,
	OUT started_at timestamptz,
	OUT next_start_at timestamptz,
	OUT failures integer,
	OUT last_error text,
	OUT in_flight integer)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'bill24_worker_status' LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 10;
COMMENT ON FUNCTION bill24.worker_status() IS
'what bill24.worker shows';

CREATE VIEW bill24.worker AS SELECT * FROM bill24.worker_status();
GRANT SELECT ON bill24.worker TO PUBLIC;

COMMENT ON VIEW bill24.worker IS
'the workers that deliver the outbox of this database, for members of pg_monitor of all databases; empty without shared_preload_libraries';
COMMENT ON COLUMN bill24.worker.database IS 'name of the database';
COMMENT ON COLUMN bill24.worker.pid IS 'process of the worker; NULL if there is none, and the row tells of the database';
COMMENT ON COLUMN bill24.worker.state IS 'starting, running, idle, away (the outbox was copied or restored, see bill24.home: of this database also without a worker), or without a worker: stopped (until there is something to do), backing off (after an error), no extension';
COMMENT ON COLUMN bill24.worker.started_at IS 'when the worker started';
COMMENT ON COLUMN bill24.worker.next_start_at IS 'when a worker starts by itself, if one does';
COMMENT ON COLUMN bill24.worker.failures IS 'how many workers ended with an error since one last ran well';
COMMENT ON COLUMN bill24.worker.last_error IS 'the last of these errors; for members of pg_monitor and the database''s owner';
COMMENT ON COLUMN bill24.worker.in_flight IS 'how many requests are under way';

CREATE FUNCTION bill24.wake() RETURNS void
AS 'MODULE_PATHNAME', 'bill24_wake' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION bill24.wake() IS
'has the workers look at the outbox when this transaction commits; they do so by themselves, except for what is no doing of this extension, such as the data of a dump';
REVOKE EXECUTE ON FUNCTION bill24.wake() FROM PUBLIC;

/*
 * Load control and statistics
 */
CREATE FUNCTION bill24.circuits(
	OUT serverid oid, OUT state text, OUT failures integer, OUT opened_at timestamptz, OUT retry_at timestamptz,
	OUT in_flight_direct integer, OUT in_flight_workers integer, OUT last_status text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'bill24_circuits' LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION bill24.circuits() IS
'use the view bill24.circuit instead, which names the servers';

CREATE VIEW bill24.circuit AS
	SELECT s.srvname AS server, c.state, c.failures, c.opened_at, c.retry_at,
		c.in_flight_direct, c.in_flight_workers, c.last_status
	FROM bill24.circuits() c JOIN pg_catalog.pg_foreign_server s ON s.oid OPERATOR(pg_catalog.=) c.serverid
	WHERE pg_catalog.has_server_privilege(s.oid, 'USAGE');
COMMENT ON VIEW bill24.circuit IS
'what is under way to each server since the start, and whether requests are let through: a server that fails too often is left alone for a while; without shared_preload_libraries, as this session sees it';
COMMENT ON COLUMN bill24.circuit.server IS 'name of the foreign server';
COMMENT ON COLUMN bill24.circuit.state IS 'closed (requests are let through), open (none is until retry_at), half-open (one is, to find out)';
COMMENT ON COLUMN bill24.circuit.failures IS 'requests that failed one after the other: no connection, no answer, or the provider''s own failure';
COMMENT ON COLUMN bill24.circuit.opened_at IS 'when it was opened; NULL while it is closed';
COMMENT ON COLUMN bill24.circuit.retry_at IS 'when the next request is let through; NULL while it is closed';
COMMENT ON COLUMN bill24.circuit.in_flight_direct IS 'requests of sessions that are under way';
COMMENT ON COLUMN bill24.circuit.in_flight_workers IS 'requests of the outbox''s workers that are under way';
COMMENT ON COLUMN bill24.circuit.last_status IS 'outcome of the last request, such as ok or no_answer';
GRANT SELECT ON bill24.circuit TO PUBLIC;

CREATE FUNCTION bill24_reset_circuit(server name DEFAULT 'bill24')
RETURNS void
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION bill24_reset_circuit(name) IS
'lets requests to a server through again at once, whatever failed before; for the server''s owner';

CREATE FUNCTION bill24.stats(
	OUT serverid oid, OUT operation text, OUT caller text, OUT calls bigint, OUT done bigint, OUT refused bigint,
	OUT throttled bigint, OUT unknown bigint, OUT unreachable bigint, OUT retries bigint, OUT bytes_sent bigint,
	OUT bytes_received bigint, OUT total_time double precision, OUT mean_time double precision,
	OUT max_time double precision, OUT latency bigint[], OUT since timestamptz)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'bill24_stats' LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION bill24.stats() IS
'use the view bill24.stat instead, which names the servers';

CREATE VIEW bill24.stat AS
	SELECT s.srvname AS server, c.operation, c.caller, c.calls, c.done, c.refused, c.throttled, c.unknown, c.unreachable,
		c.retries, c.bytes_sent, c.bytes_received, c.total_time, c.mean_time, c.max_time, c.latency, c.since
	FROM bill24.stats() c LEFT JOIN pg_catalog.pg_foreign_server s ON s.oid OPERATOR(pg_catalog.=) c.serverid
	WHERE CASE WHEN c.serverid IS NULL THEN pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE')
		ELSE pg_catalog.has_server_privilege(s.oid, 'USAGE') END;
COMMENT ON VIEW bill24.stat IS
'what requests came to, per server, operation and caller; kept in memory only, so that it begins anew with every restart and after a crash, and without shared_preload_libraries it is this session''s own';
COMMENT ON COLUMN bill24.stat.server IS 'name of the foreign server; NULL for operation other';
COMMENT ON COLUMN bill24.stat.operation IS 'create_customer and so on, or authorize for logins; other, of all databases, for what found no room in memory';
COMMENT ON COLUMN bill24.stat.caller IS 'direct (a session) or worker (of the outbox)';
COMMENT ON COLUMN bill24.stat.calls IS 'requests that are over; the sum of the five columns that follow';
COMMENT ON COLUMN bill24.stat.done IS 'that succeeded';
COMMENT ON COLUMN bill24.stat.refused IS 'that the provider refused';
COMMENT ON COLUMN bill24.stat.throttled IS 'that the provider refused for being too many';
COMMENT ON COLUMN bill24.stat.unknown IS 'without an answer that tells what became of them: none, none that can be read, or the provider''s own failure';
COMMENT ON COLUMN bill24.stat.unreachable IS 'of which nothing was sent';
COMMENT ON COLUMN bill24.stat.retries IS 'how many of the calls were not the first try';
COMMENT ON COLUMN bill24.stat.bytes_sent IS 'bytes of request bodies';
COMMENT ON COLUMN bill24.stat.bytes_received IS 'bytes of answers'' bodies, decompressed';
COMMENT ON COLUMN bill24.stat.total_time IS 'milliseconds that the calls took together';
COMMENT ON COLUMN bill24.stat.mean_time IS 'milliseconds that a call took on average';
COMMENT ON COLUMN bill24.stat.max_time IS 'milliseconds that the longest call took';
COMMENT ON COLUMN bill24.stat.latency IS 'how many calls took less than 1 ms, from 1 to less than 2 ms, from 2 to less than 4 ms and so on to less than 32768 ms, and more: 17 numbers';
COMMENT ON COLUMN bill24.stat.since IS 'when counting began; NULL for operation other until it is reset';
GRANT SELECT ON bill24.stat TO PUBLIC;

CREATE FUNCTION bill24_stat_reset(server name DEFAULT NULL)
RETURNS void
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION bill24_stat_reset(name) IS
'sets the statistics of a server, or with NULL of all servers of this database, to zero';

-- others may rely on them
REVOKE EXECUTE ON FUNCTION bill24_stat_reset(name) FROM PUBLIC;

/*
 * PayCombat, the second provider.  What goes on the wire as JSON is json and
 * not jsonb, which would change the order of its members.
 */
CREATE FUNCTION paycombat_fdw_validator(text[], oid) RETURNS void
AS 'MODULE_PATHNAME' LANGUAGE C STRICT VOLATILE PARALLEL SAFE;
COMMENT ON FUNCTION paycombat_fdw_validator(text[], oid) IS
'checks the options of PayCombat servers and user mappings';

CREATE FOREIGN DATA WRAPPER paycombat VALIDATOR paycombat_fdw_validator;
COMMENT ON FOREIGN DATA WRAPPER paycombat IS
'accounts at PayCombat (paycombat.com): a server is where, a user mapping is who';

CREATE FUNCTION paycombat_check(server name DEFAULT 'paycombat',
	OUT step text, OUT ok boolean, OUT detail text, OUT hint text)
RETURNS SETOF record
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION paycombat_check(name) IS
'tells step by step what works between this database and PayCombat, and what to do about the rest';

CREATE TYPE paycombat_customer AS (
	customer_id text,
	org_id text,
	type text,
	description text,
	webhook_url text,
	metadata jsonb,
	is_active boolean,
	is_wallet_ready boolean,
	organization_reference_id text,
	is_gca_enabled boolean,
	gca_activation_status text,
	gca_activated_at jsonb,
	is_sender_validation_enabled boolean,
	payin_sender_id_list jsonb,
	company_domain jsonb,
	individual jsonb,
	company jsonb,
	created_by text,
	created_at timestamptz,
	updated_at timestamptz,
	raw jsonb
);
COMMENT ON TYPE paycombat_customer IS
'a customer of PayCombat''s; raw is all that was told of it, also what has no column';

CREATE FUNCTION paycombat_create_customer(
	type text,
	description text,
	individual json DEFAULT NULL,
	company json DEFAULT NULL,
	organization_reference_id text DEFAULT NULL,
	metadata json DEFAULT NULL,
	server name DEFAULT 'paycombat')
RETURNS paycombat_customer
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION paycombat_create_customer(text, text, json, json, text, json, name) IS
'creates a customer at PayCombat, now; type is individual or company';

CREATE FUNCTION paycombat_update_customer(
	customer_id text DEFAULT NULL,
	type text DEFAULT NULL,
	description text DEFAULT NULL,
	individual json DEFAULT NULL,
	company json DEFAULT NULL,
	organization_reference_id text DEFAULT NULL,
	metadata json DEFAULT NULL,
	server name DEFAULT 'paycombat')
RETURNS paycombat_customer
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION paycombat_update_customer(text, text, text, json, json, text, json, name) IS
'changes a customer at PayCombat, now; what is NULL is not sent, an empty text clears; without customer_id it is the one that is kept for organization_reference_id';

CREATE FUNCTION paycombat_get_customer(
	customer_id text DEFAULT NULL,
	organization_reference_id text DEFAULT NULL,
	server name DEFAULT 'paycombat',
	missing_ok boolean DEFAULT false)
RETURNS paycombat_customer
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION paycombat_get_customer(text, text, name, boolean) IS
'a customer, from PayCombat; without customer_id it is the one that is kept for organization_reference_id';

CREATE FUNCTION paycombat_disable_customer(
	customer_id text DEFAULT NULL,
	organization_reference_id text DEFAULT NULL,
	server name DEFAULT 'paycombat')
RETURNS paycombat_customer
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION paycombat_disable_customer(text, text, name) IS
'has a customer use no services for a while, now';

CREATE FUNCTION paycombat_delete_customer(
	customer_id text DEFAULT NULL,
	organization_reference_id text DEFAULT NULL,
	server name DEFAULT 'paycombat')
RETURNS paycombat_customer
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION paycombat_delete_customer(text, text, name) IS
'deletes a customer at PayCombat, now; its path is not in PayCombat''s documentation but inferred, so that it warns until the server option delete_customer_path is set';

CREATE FUNCTION paycombat_request(
	method text,
	path text,
	body json DEFAULT NULL,
	server name DEFAULT 'paycombat')
RETURNS jsonb
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION paycombat_request(text, text, json, name) IS
'sends a request, signed if it has a body, to any path of the server and returns the whole answer';

-- what this can do is for the administrator to judge
REVOKE EXECUTE ON FUNCTION paycombat_request(text, text, json, name) FROM PUBLIC;

CREATE FUNCTION paycombat_preview(
	operation text,
	request jsonb,
	server name DEFAULT 'paycombat')
RETURNS jsonb
AS 'MODULE_PATHNAME', 'bill24_preview' LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION paycombat_preview(text, jsonb, name) IS
'bill24_preview() for the server "paycombat": the request that an operation would send, secrets masked; nothing is sent';

CREATE FUNCTION paycombat_enqueue(
	operation text,
	request jsonb,
	server name DEFAULT 'paycombat')
RETURNS bigint
AS 'MODULE_PATHNAME', 'bill24_enqueue' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100;
COMMENT ON FUNCTION paycombat_enqueue(text, jsonb, name) IS
'bill24_enqueue() for the server "paycombat": has an operation sent after commit, in order per organization_reference_id';

/*
 * What is said of bill24_customer_trigger() holds, with the operations and
 * fields of PayCombat; the key is organization_reference_id.  Documents are sent
 * with an update, too.
 */
CREATE FUNCTION paycombat_customer_trigger()
RETURNS trigger
AS 'MODULE_PATHNAME', 'bill24_customer_trigger' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION paycombat_customer_trigger() IS
'bill24_customer_trigger() for the server "paycombat": AFTER trigger that keeps the customers at PayCombat like the rows of a table';

CREATE FUNCTION paycombat_verify_webhook(
	body text,
	signature text,
	server name DEFAULT 'paycombat')
RETURNS boolean
AS 'MODULE_PATHNAME' LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION paycombat_verify_webhook(text, text, name) IS
'whether PayCombat has signed a body that was received, byte by byte; signature is the header X-Signature; false if one of them is NULL';

/*
 * Rows are written by this extension's functions and its worker only.  They are
 * personal data, so that whoever is to read them has to be GRANTed SELECT.
 */
CREATE TABLE bill24.paycombat_customer (
	organization_reference_id text COLLATE "C" NOT NULL,
	server text COLLATE "C" NOT NULL,
	account bigint NOT NULL DEFAULT 0,
	customer_id text COLLATE "C" NOT NULL,
	type text,
	is_active boolean,
	is_wallet_ready boolean,
	customer jsonb NOT NULL,
	changed_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	synced_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	deleted_at timestamptz,
	PRIMARY KEY (organization_reference_id, server, account)
);
CREATE INDEX paycombat_customer_id ON bill24.paycombat_customer (customer_id, server, account);
COMMENT ON TABLE bill24.paycombat_customer IS
'PayCombat''s customers that have an organization_reference_id, as the last answer about each told: of calls, of jobs of the outbox, and of the worker''s looks';
COMMENT ON COLUMN bill24.paycombat_customer.organization_reference_id IS 'our key of the customer';
COMMENT ON COLUMN bill24.paycombat_customer.server IS 'name of the foreign server';
COMMENT ON COLUMN bill24.paycombat_customer.account IS 'number of the merchant''s account, as in bill24.outbox';
COMMENT ON COLUMN bill24.paycombat_customer.customer_id IS 'PayCombat''s key, by which the functions find the customer';
COMMENT ON COLUMN bill24.paycombat_customer.type IS 'individual or company';
COMMENT ON COLUMN bill24.paycombat_customer.is_active IS 'false once it is disabled; NULL if it was not told';
COMMENT ON COLUMN bill24.paycombat_customer.is_wallet_ready IS 'whether it can have a wallet; NULL if it was not told';
COMMENT ON COLUMN bill24.paycombat_customer.customer IS 'all that was told of it';
COMMENT ON COLUMN bill24.paycombat_customer.changed_at IS 'when something else was told of it than before';
COMMENT ON COLUMN bill24.paycombat_customer.synced_at IS 'when it was told last';
COMMENT ON COLUMN bill24.paycombat_customer.deleted_at IS 'when it was deleted, or found to be gone; NULL while it is there';
SELECT pg_catalog.pg_extension_config_dump('bill24.paycombat_customer', '');
