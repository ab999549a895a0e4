--
-- The view bill24.queue: what is to be done and what has failed, by state.
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
CREATE ROLE regress_bill24_queue;

-- jobs of every state: the first of each is the oldest, and one is another's
INSERT INTO bill24.outbox (server, operation, key, request, owner, state, attempts, next_attempt_at, leased_by, created_at, finished_at)
SELECT 'bill24', 'create_customer', 'C' || i, '{}', CASE WHEN i = 3 THEN 'regress_bill24_queue' ELSE current_user END::regrole, state, i,
	CASE WHEN state IN ('queued', 'unknown') THEN now() + i * interval '1 hour' END,
	CASE WHEN state = 'sending' THEN 1 END,
	now() - (10 - i) * interval '1 day',
	CASE WHEN state IN ('done', 'failed', 'cancelled') THEN now() END
FROM unnest(ARRAY['queued', 'waiting', 'sending', 'unknown', 'parked', 'done', 'failed', 'cancelled']) AS state, generate_series(1, 3) i;
INSERT INTO bill24.outbox (server, operation, key, request, owner, state, next_attempt_at, finished_at)
VALUES ('another', 'delete_customer', 'C1', '{}', current_user::regrole, 'failed', NULL, now());
CREATE TEMPORARY VIEW queue AS
SELECT server, operation, state, jobs, now() - oldest_created_at = oldest_age AS same, extract(day FROM oldest_age) AS days,
	next_attempt_at > now() AS later, most_attempts
FROM bill24.queue;
SELECT * FROM queue ORDER BY server COLLATE "C", operation COLLATE "C", state COLLATE "C";
SELECT server, jobs FROM bill24.queue WHERE state = 'failed' ORDER BY server COLLATE "C";
SET ROLE regress_bill24_queue;
SELECT state, jobs, extract(day FROM oldest_age) AS days FROM bill24.queue ORDER BY state COLLATE "C";
-- what is done is counted so
SELECT state, count(*) FROM bill24.outbox WHERE state IN ('done', 'cancelled') GROUP BY state ORDER BY state COLLATE "C";
RESET ROLE;

-- many that are done cost nothing, with and without statistics
INSERT INTO bill24.outbox (server, operation, key, request, owner, state, next_attempt_at, finished_at)
SELECT 'bill24', 'create_customer', 'D' || i, '{}', current_user::regrole, 'done', NULL, now() FROM generate_series(1, 20000) i;
CREATE FUNCTION reads_all() RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	line text;
	found boolean := false;
BEGIN
	FOR line IN EXPLAIN SELECT * FROM bill24.queue LOOP
		found := found OR line ~ 'Seq Scan' OR line ~ 'outbox_(pkey|finished)';
	END LOOP;
	RETURN found;
END $$;
SELECT reads_all();
ANALYZE bill24.outbox;
SELECT reads_all();
SELECT state, sum(jobs) AS jobs FROM bill24.queue GROUP BY state ORDER BY state COLLATE "C";

DROP FUNCTION reads_all();
DROP VIEW queue;
DELETE FROM bill24.outbox;
DROP EXTENSION bill24 CASCADE;
DROP ROLE regress_bill24_queue;
