#!/bin/bash
#
# What bill24 does, shown by doing it: every statement below is run, and what
# is printed is what the server answered.  Started by "make demo", which gives
# it a private PostgreSQL and a simulator; see test/tools/sandbox.sh.
#
# A statement that does not end as the text around it says ends the demo, with
# exit status 1.

set -euo pipefail

WIDTH=96

bold='' plain=''
if [ -t 1 ] && [ "${TERM:-dumb}" != dumb ] && [ -z "${NO_COLOR:-}" ]; then
	bold=$'\e[1m' plain=$'\e[0m'
fi

# ---- how it is told -----------------------------------------------------

# wrap INDENT: breaks lines that are too long, INDENT before what is left of
# them.  What is drawn, as tables are, is left alone.
wrap()
{
	local line begin

	while IFS= read -r line; do
		while [ ${#line} -gt $WIDTH ] && [[ $line != *[\|+]* ]]; do
			begin=${line:0:WIDTH}
			begin=${begin% *}
			[[ $begin = *[![:space:]]* && ${#begin} -lt $WIDTH ]] || break
			printf '%s\n' "$begin"
			line=$1${line:${#begin}+1}
		done
		printf '%s\n' "$line"
	done
}

# PayCombat's token, as the simulator has it.
x_token=snd_eyJtZXJjaGFudF9pZCI6IjU3NzMxMWM3LTk3ODgtNGVjMS04NTAxLTg2YWU2OWIxMzRlNiIsImVudmlyb25tZW50Ijoic2FuZGJveCIsIm9yZ2FuaXphdGlvbiI6Im9yZ181OWI4ZmIyZjUyMjU0Zjk1YWM1NGQwZTE0MGY0ZTQyOSIsImlzc3VlZCI6IjIwMjUtMDYtMTBUMDE6MDk6NDQuMDAwWiJ9

number=0
step()
{
	number=$((number + 1))
	printf '\n%s%2d. %s%s\n\n' "$bold" "$number" "$1" "$plain"
	[ $# -lt 2 ] || { wrap '    ' <<<"    $2"; echo; }
}

fail()
{
	printf '\ndemo: %s\n' "$*" >&2
	exit 1
}

# The statements as they would be typed, then the answer.
show()
{
	# shellcheck disable=SC2001  # each line
	sed 's/./  &/' <<<"$1"
	echo
}

# ask STATEMENTS: runs them; the answer in $answer, the exit status in $status.
ask()
{
	status=0
	answer=$(psql -X -v ON_ERROR_STOP=1 -v VERBOSITY=verbose -P pager=off \
		-P footer=off -P null='(null)' -f - <<<"$1" 2>&1) || status=$?
	answer=$(sed -e '/^LOCATION: /d' -e 's/^psql:<stdin>:[0-9]*: //' <<<"$answer")
}

print_answer()
{
	[ -z "$answer" ] || wrap '         ' <<<"$answer"
}

# sql [PATTERN] <<STATEMENTS: they must succeed, and the answer must match the
# extended regular expression.
sql()
{
	local statements

	statements=$(cat)
	show "$statements"
	ask "$statements"
	print_answer
	[ "$status" = 0 ] || fail "this should have worked"
	[ $# = 0 ] || grep -qE -- "$1" <<<"$answer" || fail "this should have answered \"$1\""
}

# refused SQLSTATE <<STATEMENTS: the last of them must fail with it.
refused()
{
	local statements

	statements=$(cat)
	show "$statements"
	ask "$statements"
	print_answer
	[ "$status" != 0 ] || fail "this should have been refused with $1"
	grep -q "^ERROR:  $1: " <<<"$answer" || fail "the SQLSTATE should have been $1"
}

# send METHOD PATH [BODY]: to the simulator; its answer is in $reply.
send()
{
	local line status_line body=${3:-}

	exec 3<>"/dev/tcp/127.0.0.1/$B24SIM_PORT"
	printf '%s %s HTTP/1.1\r\nHost: simulator\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s' \
		"$1" "$2" "${#body}" "$body" >&3
	IFS= read -r status_line <&3
	while IFS= read -r line <&3 && [ "$line" != $'\r' ]; do :; done
	reply=$(cat <&3)
	exec 3>&-
	[[ $status_line = 'HTTP/1.1 200 '* ]] || fail "the simulator refused that: $status_line"
}

# simulator METHOD PATH [BODY]: the same for all to see, the answer if it was
# asked for.
simulator()
{
	printf '  (to the simulator)  %s\n' "$1 $2" ${3:+"$3"}
	send "$@"
	case $1 in
		GET) printf '\n%s\n' "$reply" ;;
		*) echo ;;
	esac
}

# wait_until WHAT COMMAND...: until it succeeds, but not for ever.
wait_until()
{
	local what=$1 deadline=$((SECONDS + 60))

	shift
	until "$@" 2>/dev/null; do
		[ $SECONDS -lt $deadline ] || fail "this takes too long: $what"
		sleep 0.05
	done
}

# Whether the simulator has created a customer.
is_created()
{
	send GET "/_sim/effects?key=$1"
	[[ $reply =~ '"created":1'[,}] ]]
}

# Whether a query answers "t".
is_true()
{
	[ "$(psql -X -A -t -c "$1")" = t ]
}

# ---- the story ----------------------------------------------------------

version=$(psql -X -A -t -c "SHOW server_version")
wrap '' <<END
This is the PostgreSQL extension bill24 on a private PostgreSQL ${version%% *}, beside a simulator of the
Bill24 API. Nothing leaves this machine, and nothing is left on it.
END

step "Where Bill24 is, and who calls" \
	"An account is a foreign server; its credentials are a user mapping. The simulator speaks plain http, hence allow_http."
sql <<END
CREATE EXTENSION bill24;

CREATE SERVER bill24 FOREIGN DATA WRAPPER bill24
    OPTIONS (base_url '$B24SIM_URL', allow_http 'true');

CREATE USER MAPPING FOR CURRENT_USER SERVER bill24
    OPTIONS (token '00000000-0000-4000-8000-000000000001', client_id 'demo_client',
             secret 'demo-secret', hash_token 'demo-hash-token');
END

step "Does it work?" \
	"The doctor goes through every step to Bill24 and says what to do about those that fail."
sql 'authorization *\| t' <<'END'
SELECT step, ok, detail FROM bill24_check();
END

step "A customer with a wallet" \
	"One statement, one call: when it returns, the customer is there at Bill24."
sql 'Sok Dara' <<'END'
SELECT sync_code, name, phone, wallets
FROM bill24_create_customer('C0001', 'Sok Dara', phone => '010 795 790',
         wallets => '[{"name": "Main wallet", "currency": "KHR"}]');
END

step "The same again" \
	"What Bill24 refuses is an error with a SQLSTATE of its own, never an empty result."
refused KH409 <<'END'
SELECT * FROM bill24_create_customer('C0001', 'Sok Dara');
END

step "Read it back, wallets as rows" \
	"wallets is an array of a composite type, so unnest makes a table of it."
sql 'Main wallet' <<'END'
SELECT c.sync_code, c.name, w.name AS wallet, w.balance, w.currency
FROM bill24_get_customer('C0001') c, unnest(c.wallets) w;
END

step "Change it" \
	"Only the arguments given are sent; the others stay as they are."
sql 'dara@example.com' <<'END'
SELECT sync_code, name, phone, email
FROM bill24_update_customer('C0001', email => 'dara@example.com');
END

step "Money in" \
	"The customer tops up the wallet in the app, not through this API. The simulator is told that it happened; then SQL sees it."
simulator POST /_sim/topup '{"sync_code": "C0001", "currency": "KHR", "amount": 50000}'
sql '50000' <<'END'
SELECT name, balance, currency FROM bill24_get_wallet_balance('C0001');
END

step "How can this customer pay?" \
	"The token is what a payment can name; without one the default method is charged."
sql 'wallet' <<'END'
SELECT type, sub_title, is_default, token FROM bill24_get_payment_methods('C0001');
END

step "What would be sent?" \
	"A dry run: the hash is computed, the bearer token is masked, and nothing is sent. body is the text that would go out, here printed as a table."
sql 'Bearer \*\*\*' <<'END'
SELECT p->>'method' AS method, p->>'url' AS url, p->'headers'->>'Authorization' AS authorization
FROM bill24_preview('settle_payment', '{"ref_id": "INV-1001", "sync_code": "C0001",
         "amount": 12500, "currency": "KHR", "payment_to": "ST001",
         "bill_date": "2026-01-31", "due_date": "2026-02-14"}') p
\gx

SELECT key, left(value, 60) AS value
FROM bill24_preview('settle_payment', '{"ref_id": "INV-1001", "sync_code": "C0001",
         "amount": 12500, "currency": "KHR", "payment_to": "ST001",
         "bill_date": "2026-01-31", "due_date": "2026-02-14"}') p,
     jsonb_each_text((p->>'body')::jsonb);
END

step "A payment" \
	"The bill is pushed and charged in one call. INV-1001 is its key: Bill24 takes no second bill of that name."
sql 'success' <<'END'
SELECT bill_status, payment_status, message
FROM bill24_settle_payment('INV-1001', 'C0001', 12500, 'KHR', payment_to => 'ST001',
         bill_date => current_date, due_date => current_date + 14,
         details => '[{"item_name": "Water", "quantity": 5, "price": 2500, "amount": 12500}]');
END

step "Its bill" \
	"A settled payment can be looked up by its ref_id. Times are as Bill24 prints them."
sql 'paid' <<'END'
SELECT ref_id, total_amount, currency, bill_status, payment_method, payment_date
FROM bill24_get_bill('INV-1001');
END

step "And its transaction"
sql 'success' <<'END'
SELECT transaction_id, total_amount, currency, status, bank_ref
FROM bill24_get_transaction('INV-1001');
END

step "Many balances at once" \
	"A row for each wallet, as the answers come. What goes wrong with one customer is a row too, and stops nobody."
simulator POST /_sim/seed '{"prefix": "S", "from": 1000001, "count": 60, "balance": 1000}'
sql 'KH404' <<'END'
SELECT sync_code, name, balance, currency, sqlstate, left(error, 9) AS error
FROM bill24_get_wallet_balances('{C0001, S1000001, NOBODY}');
END
wrap '    ' <<<"
    The simulator now takes 300 ms for every answer. Sixty customers, one after the other, would take 18 s:
"
simulator POST /_sim/config '{"latency_ms": 300}'
sql '60 \| +60000 \| +0' <<'END'
\timing on
SELECT count(*) AS wallets, sum(balance) AS total, count(error) AS errors
FROM bill24_get_wallet_balances(ARRAY(SELECT 'S' || generate_series(1000001, 1000060)));
END
simulator POST /_sim/config '{"latency_ms": 0}' >/dev/null

step "A rollback does not undo a call" \
	"The call has happened when it returns. PostgreSQL can take back its own rows, not what was done at Bill24."
sql 'still there' <<'END'
BEGIN;
SELECT sync_code FROM bill24_create_customer('C0002', 'Chan Thida');
ROLLBACK;

SELECT sync_code, 'still there' AS and_now FROM bill24_get_customer('C0002');
END

step "A lost answer" \
	"The connection breaks after Bill24 has made the payment and before it could say so. The error says what is not known, and its HINT how to find out."
simulator POST /_sim/fault '{"kind": "drop_after", "path": "/bill_payment/push_bill_with_payment"}'
refused 08007 <<'END'
SELECT * FROM bill24_settle_payment('INV-1002', 'C0001', 7500, 'KHR', 'ST001',
                                    current_date, current_date + 14);
END
wrap '    ' <<<"
    So it is looked up. It was paid:
"
sql 'paid' <<'END'
SELECT ref_id, total_amount, bill_status, payment_date FROM bill24_get_bill('INV-1002');
END
wrap '    ' <<<"
    And should somebody send it again all the same, its ref_id protects the customer:
"
refused KH409 <<'END'
SELECT * FROM bill24_settle_payment('INV-1002', 'C0001', 7500, 'KHR', 'ST001',
                                    current_date, current_date + 14);
END

wrap '    ' <<<"
    The simulator kept count of what happened to that ref_id:
"
simulator GET '/_sim/effects?key=INV-1002'
[[ $reply =~ '"charges":1'[,}] ]] || fail "this should have been one charge"

step "Delete, with money left" \
	"Bill24 keeps customers whose wallets are not empty."
refused KH423 <<'END'
SELECT * FROM bill24_delete_customer('C0001');
END

step "Delete, without" \
	"The rest is charged to the last unit (amounts are numeric from end to end); then the customer can go."
sql 'deleted' <<'END'
SELECT s.payment_status, w.balance AS charged
FROM bill24_get_wallet_balance('C0001') w,
     bill24_settle_payment('INV-1003', 'C0001', w.balance, 'KHR', 'ST001',
                           current_date, current_date + 14) s;

SELECT code, message FROM bill24_delete_customer('C0001');
END

step "A table whose customers go to Bill24" \
	"The trigger writes jobs into the outbox, in the same transaction. Nothing is sent yet, so Bill24 holds up nobody."
sql 'queued' <<'END'
CREATE TABLE customer (code text PRIMARY KEY, name text NOT NULL, phone text, note text,
    wallets jsonb DEFAULT '[{"name": "Main wallet", "currency": "KHR"}]');

CREATE TRIGGER to_bill24 AFTER INSERT OR UPDATE OR DELETE ON customer
    FOR EACH ROW EXECUTE FUNCTION bill24_customer_trigger('sync_code=code', 'name=name',
        'phone=phone', 'wallets=wallets');

BEGIN;
INSERT INTO customer VALUES ('D0001', 'Nget Sothea', '011 222 333'), ('D0002', 'Keo Sophea', NULL);
SELECT id, operation, key, state FROM bill24.outbox ORDER BY id;
COMMIT;
END
wrap '    ' <<<"
    After the commit a background worker delivers them:
"
sql 'D0002 .* done' <<'END'
SELECT id, key, bill24_wait(id, '1 minute') AS state FROM bill24.outbox ORDER BY id;
SELECT sync_code, name, phone FROM bill24_get_customer('D0001');
END

step "A rollback sends nothing" \
	"What was not committed was never in the outbox. The next job arrives, and this one does not."
sql 'D0004 +\| done' <<'END'
BEGIN;
INSERT INTO customer VALUES ('D0003', 'Nobody');
ROLLBACK;

INSERT INTO customer VALUES ('D0004', 'Chea Rithy');
SELECT key, bill24_wait(id, '1 minute') AS state FROM bill24.outbox WHERE key >= 'D0003';
END
wrap '    ' <<<"
    The simulator has never heard of the one, and has created the other:
"
simulator GET '/_sim/effects?key=D0003'
[[ $reply =~ '"created":0'[,}] ]] || fail "this customer should not have been created"
echo
simulator GET '/_sim/effects?key=D0004'
[[ $reply =~ '"created":1'[,}] ]] || fail "this customer should have been created"

step "Updates that wait for one another become one" \
	"A column that is not mapped sends nothing at all. Of the three updates that are left, the earlier ones are done with the last."
sql '"merged_into"' <<'END'
BEGIN;
UPDATE customer SET note = 'prefers calls' WHERE code = 'D0001';
UPDATE customer SET phone = '011 222 334' WHERE code = 'D0001';
UPDATE customer SET name = 'Nget Sothea Sok' WHERE code = 'D0001';
UPDATE customer SET phone = '011 222 335' WHERE code = 'D0001';
COMMIT;

SELECT id, bill24_wait(id, '1 minute') AS state FROM bill24.outbox
WHERE operation = 'update_customer' ORDER BY id;

SELECT id, operation, state, CASE WHEN attempts = 0 THEN response END AS merged
FROM bill24.outbox WHERE key = 'D0001' ORDER BY id;
END
wrap '    ' <<<"
    One update arrived, with the last values:
"
simulator GET '/_sim/effects?key=D0001'
[[ $reply =~ '"updated":1'[,}] ]] || fail "this should have been one update"
echo
sql 'Nget Sothea Sok .* 011 222 335' <<'END'
SELECT sync_code, name, phone FROM bill24_get_customer('D0001');
END

step "A payment after commit" \
	"Every operation that changes something can be enqueued. What is wrong with its arguments is an error at once; what Bill24 refuses later is in the job."
refused 22004 <<'END'
SELECT bill24_enqueue('settle_payment', '{"ref_id": "INV-2001", "amount": 750}');
END
echo
sql 'INV-2002 .* failed .* KH402' <<'END'
SELECT bill24_enqueue('settle_payment', jsonb_build_object('ref_id', ref_id, 'sync_code', 'S1000001',
         'amount', amount, 'currency', 'KHR', 'payment_to', 'ST001',
         'bill_date', current_date, 'due_date', current_date + 14)) AS job
FROM (VALUES ('INV-2001', 750), ('INV-2002', 9000)) v (ref_id, amount);

SELECT request->>'ref_id' AS ref_id, bill24_wait(id, '1 minute') AS state
FROM bill24.outbox WHERE operation = 'settle_payment' ORDER BY id;

SELECT request->>'ref_id' AS ref_id, state, sqlstate, split_part(error, ' (', 1) AS error
FROM bill24.outbox WHERE operation = 'settle_payment' ORDER BY id;
END

step "kill -9, in the middle of it" \
	"The simulator creates the next customer at once, but takes 20 s to say so."
simulator POST /_sim/fault '{"kind": "delay", "ms": 20000, "path": "/customer/create"}'
sql <<'END'
INSERT INTO customer VALUES ('D0005', 'Sao Vibol');
END
wait_until 'creating a customer' is_created D0005
wait_until 'the worker' is_true "SELECT in_flight = 1 FROM bill24.worker"
wrap '    ' <<<"
    By now it has. The worker does not know, as it still waits for the answer:
"
simulator GET '/_sim/effects?key=D0005'
echo
sql 'sending' <<'END'
SELECT server, operation, state, jobs FROM bill24.queue;
SELECT state, in_flight FROM bill24.worker;
END
worker=$(psql -X -A -t -c 'SELECT pid FROM bill24.worker WHERE in_flight = 1')
[ -n "$worker" ] || fail "there should be a worker with a request in flight"
wrap '    ' <<<"
    Its process is killed, upon which PostgreSQL restarts all others:
"
printf '  $ kill -9 %s\n' "$worker"
kill -9 "$worker"
wait_until 'the recovery of the server' \
	is_true "SELECT count(*) = 0 FROM bill24.worker WHERE pid = $worker"
wrap '    ' <<<"
    The next worker finds a job that was begun and not finished. It asks for the customer
    before it sends anything again, and finds it. attempts counts both:
"
sql 'done .* 2' <<'END'
SELECT bill24_wait(id, '1 minute') AS state FROM bill24.outbox WHERE key = 'D0005';
SELECT id, operation, key, state, attempts FROM bill24.outbox WHERE key = 'D0005';
END
wrap '    ' <<<"
    The customer was created once:
"
simulator GET '/_sim/effects?key=D0005'
[[ $reply =~ '"created":1'[,}] ]] || fail "this customer should have been created once"

step "The second provider" \
	"PayCombat has no login: each request bears a token, and its body is signed. The simulator checks both. The secrets are in a file here, and so in no statement."
(
	umask 077
	cat >"$TMPDIR/paycombat.json" <<END
{"x_token": "$x_token", "signature_key": "demo-signature-key"}
END
)
sql 'Sokha / ' <<END
CREATE SERVER paycombat FOREIGN DATA WRAPPER paycombat
    OPTIONS (base_url '$B24SIM_URL', allow_http 'true');
CREATE USER MAPPING FOR CURRENT_USER SERVER paycombat
    OPTIONS (credentials_file '$TMPDIR/paycombat.json');

SELECT description, is_active, individual->>'first_name' AS first_name
FROM paycombat_create_customer('individual', 'Tenant of house 5', organization_reference_id => 'T0005',
    individual => '{"first_name": "Sokha / សុខា", "last_name": "Chan", "address_country": "KH"}');
END
wrap '    ' <<<"
    Jobs and calls find the customer by our own key:
"
sql 'done' <<'END'
SELECT paycombat_enqueue('update_customer',
    '{"organization_reference_id": "T0005", "description": "Tenant of house 6"}') AS job;
SELECT bill24_wait(id, '1 minute') AS state FROM bill24.outbox WHERE server = 'paycombat';
END
echo
sql 'T0005 .* Tenant of house 6' <<'END'
SELECT organization_reference_id, customer_id, customer->>'description' AS description
FROM bill24.paycombat_customer;
END
wrap '    ' <<<"
    An answer can get lost here, too, but PayCombat cannot be asked by our key. So the job is
    not sent again, but left to a person, who looks for the customer and decides:
"
simulator POST /_sim/fault '{"kind": "drop_after", "path": "/api/v1/customer/create"}'
sql 'parked .* 1 .* 08007' <<'END'
SELECT paycombat_enqueue('create_customer',
    '{"type": "individual", "description": "Tenant of house 9", "organization_reference_id": "T0009"}') AS job;
SELECT bill24_wait(id, '1 minute') AS state FROM bill24.outbox WHERE key = 'T0009';
SELECT state, attempts, sqlstate FROM bill24.outbox WHERE key = 'T0009';
END
echo
sql 'done .* it is there' <<'END'
SELECT bill24_resolve(id, 'done', 'it is there') FROM bill24.outbox WHERE key = 'T0009';
SELECT state, error FROM bill24.outbox WHERE key = 'T0009';
END

step "What is going on" \
	"Nothing is left to do, and the worker sleeps. Since the crash, this is what was sent:"
wait_until 'rest' is_true "SELECT state = 'idle' AND in_flight = 0 FROM bill24.worker"
sql 'get_customer +\| worker ' <<'END'
SELECT count(*) AS unfinished FROM bill24.queue WHERE state <> 'failed';
SELECT database, state, in_flight, failures FROM bill24.worker;
SELECT operation, caller, calls, done, unknown, round(mean_time::numeric, 1) AS mean_ms
FROM bill24.stat ORDER BY operation;
END

step "Balances here" \
	"The customers of that table are mirrored since they went to Bill24: a worker keeps them and their wallets in local tables, and each row says when it was last seen to be so. Nothing is called by this query."
wait_until 'the first looks' \
	is_true "SELECT count(w.synced_at) = 4 FROM customer c JOIN bill24.wallet w ON w.sync_code = c.code"
sql 'D0005 .* Sao Vibol .* 0 +\| KHR' <<'END'
SELECT c.code, c.name, w.balance, w.currency, date_trunc('second', now() - w.synced_at) AS age
FROM customer c JOIN bill24.wallet w ON w.sync_code = c.code ORDER BY c.code;
END
wrap '    ' <<<"
    Others, that did not come from here, are named:
"
sql '^ +1' <<'END'
SELECT bill24_track('{S1000002}');
END

step "A balance changes" \
	"A payment after commit. When it is delivered, the worker looks at the wallet, and once more some 20 s later, since Bill24 changes balances a while after a payment."
wait_until 'the first look' is_true "SELECT count(*) = 1 FROM bill24.wallet WHERE sync_code = 'S1000002'"
sql 'done' <<'END'
SELECT bill24_enqueue('settle_payment', jsonb_build_object('ref_id', 'INV-3001', 'sync_code', 'S1000002',
         'amount', 250, 'currency', 'KHR', 'payment_to', 'ST001',
         'bill_date', current_date, 'due_date', current_date + 14)) AS job;
SELECT bill24_wait(id, '1 minute') AS state FROM bill24.outbox WHERE request->>'ref_id' = 'INV-3001';
END
echo
wait_until 'the change' is_true "SELECT count(*) = 1 FROM bill24.wallet_change WHERE sync_code = 'S1000002'"
sql '1000 +\| +750' <<'END'
SELECT sync_code, old_balance, new_balance, currency FROM bill24.wallet_change WHERE sync_code = 'S1000002';
SELECT balance, now() - synced_at < '1 minute' AS fresh FROM bill24_wallet_balance('S1000002', max_age => '1 minute');
END

step "And changes that nobody here made" \
	"Quiet customers are looked at every hour, unless the server says otherwise. Now it says every second; who listens is told of what is found."
sql <<'END'
ALTER SERVER bill24 OPTIONS (ADD sync_interval '1s', ADD min_sync_interval '1s');
END
simulator POST /_sim/topup '{"sync_code": "D0001", "currency": "KHR", "amount": 20000}'
simulator POST /_sim/topup '{"sync_code": "D0005", "currency": "KHR", "amount": 500.5}'
wait_until 'the changes' is_true "SELECT sum(w.balance) = 20500.5 FROM customer c JOIN bill24.wallet w ON w.sync_code = c.code"
wrap '    ' <<<"
    The same query, with no call and no statement in between:
"
sql 'D0001 .* 20000 +\| KHR' <<'END'
SELECT c.code, c.name, w.balance, w.currency, date_trunc('second', now() - w.synced_at) AS age
FROM customer c JOIN bill24.wallet w ON w.sync_code = c.code ORDER BY c.code;

SELECT sync_code, old_balance, new_balance, seen_at::time(0) AS seen_at
FROM bill24.wallet_change ORDER BY number;
END

cat <<'END'

That was the simulator. For the real thing, put the credentials that Bill24 gave you into a file
on the database server that only the server's own user can read (mode 0600):

  {"token": "...", "client_id": "...", "secret": "...", "hash_token": "..."}

and, as a superuser:

  CREATE EXTENSION bill24;
  CREATE SERVER bill24 FOREIGN DATA WRAPPER bill24
      OPTIONS (base_url 'https://merchantapi-demo.bill24.io');
  CREATE USER MAPPING FOR CURRENT_USER SERVER bill24
      OPTIONS (credentials_file '/etc/postgresql/bill24.json');
  SELECT * FROM bill24_check();

The outbox needs shared_preload_libraries = 'bill24' in postgresql.conf, and a restart.

README.md has the rest.
END
