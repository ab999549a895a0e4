
# Many at once, from every place where SQL can stand, while accounts and the
# extension itself change under them.

use strict;
use warnings;

use Bill24Session;
use Bill24Test;
use JSON::PP;
use Test::More;

my $sim = start_simulator('--seed', 20);
$sim->post('/_sim/seed', { count => 20, prefix => 'C', balance => 1000000 });
$sim->post('/_sim/seed_bills',
	{ count => 250, sync_code => 'C0000002', date => '2025-05-01T10:00:00' });
my $node = new_node('main');
setup_account($node, $sim);
my $admin = Bill24Session->new($node);
my $good = "SELECT balance FROM bill24_get_wallet_balance('C0000003')";
is($admin->ok($good), '1000000', 'a call works');

# ---- everything at once, over a bad line ---------------------------------

$admin->ok("SELECT bill24_onboard_sub_biller('S1', 'Supplier')");
$admin->ok(q{
	CREATE TABLE outcome (operation text, key text, sqlstate text);
	CREATE FUNCTION try(operation text, key text, statement text) RETURNS text
	LANGUAGE plpgsql AS $$
	DECLARE
		state text := '00000';
		answer text;
	BEGIN
		BEGIN
			EXECUTE statement INTO answer;
		EXCEPTION WHEN others THEN
			state := sqlstate;
		END;
		INSERT INTO outcome VALUES (operation, key, state);
		RETURN CASE WHEN state = '00000' THEN answer END;
	END $$;
	CREATE FUNCTION work(worker int, rounds int, method text) RETURNS void
	LANGUAGE plpgsql AS $$
	DECLARE
		name text;
		key text;
	BEGIN
		FOR i IN 1 .. rounds LOOP
			key := 'W' || worker || '-' || i;
			PERFORM try('create', key, format('SELECT bill24_create_customer(%L, %L)', key, 'Name ' || key));
			name := try('get', key, format('SELECT name FROM bill24_get_customer(%L)', key));
			ASSERT name IS NULL OR name = 'Name ' || key, 'another customer: ' || name;
			PERFORM try('update', key, format('SELECT bill24_update_customer(%L, %L)', key, 'New ' || key));
			PERFORM try('charge', 'R-' || key, format(
				$q$SELECT bill24_settle_payment(%L, 'C0000001', 7, 'KHR', 'S1', '2026-01-01', '2099-01-01',
					payment_method_token => %L)$q$, 'R-' || key, method));
			ASSERT try('list', key, 'SELECT coalesce(sum(balance), 0) FROM bill24_get_wallet_balances('
				'''{C0000004,C0000005,C0000006}'')')::numeric % 1000000 IS NOT DISTINCT FROM 0, 'a wrong balance';
			PERFORM try('delete', key, format('SELECT bill24_delete_customer(%L)', key));
		END LOOP;
	END $$;
});
my $method = $admin->ok(
	"SELECT token FROM bill24_get_payment_methods('C0000001')");

# On every operation, but not on logins, whose failures would be everybody's.
$sim->post('/_sim/fault', { %$_, match => 'customer', probability => 0.02, count => -1 })
  foreach { kind => 'drop_after' }, { kind => 'drop_before' },
  { kind => 'reset_after' }, { kind => 'half_body' },
  { kind => 'status', status => 500, effect => JSON::PP::true() },
  { kind => 'garbage' }, { kind => 'unauthorized' }, { kind => 'delay', ms => 20 };
my @workers = map { Bill24Session->new($node) } 1 .. 20;
my $n = 0;
$_->send('SELECT work(' . ++$n . ", 25, '$method')") foreach @workers;
foreach my $worker (@workers)
{
	my $result = $worker->wait;

	is($result->{error}, '', 'a worker is through');
}
$sim->post('/_sim/clear_faults');

my %did;
$did{"$_->{effect} $_->{key}"}++
  foreach @{ $sim->get('/_sim/effects?limit=1000000') };
my %operation;
my @wrong;
foreach my $line (split(/\n/, $admin->ok('SELECT * FROM outcome')))
{
	my ($operation, $key, $sqlstate) = split(/\|/, $line);
	my $effects = $did{"$operation $key"} // 0;

	$operation{$operation}{$sqlstate}++;
	next if $operation =~ /get|list/;

	# Done is done once; what was not sent, not allowed or not found has no
	# effect; of the rest nobody knows, but twice it never is.
	push @wrong, "$line: $effects"
	  unless $sqlstate eq '00000' ? $effects == 1
	  : $sqlstate =~ /^(?:08001|28000|KH404)$/ ? $effects == 0
	  : $sqlstate =~ /^(?:08007|08P01|KH500)$/ && $effects <= 1;
}
is("@wrong[0 .. ($#wrong < 9 ? $#wrong : 9)]", '', 'each outcome is what happened at the provider');
foreach my $operation (sort keys %operation)
{
	my $states = $operation{$operation};

	note("$operation: " . join(', ', map { "$_ $states->{$_} times" } sort keys %$states));

	# a list tells of failures in its rows
	cmp_ok(keys %$states, '>=', $operation eq 'list' ? 1 : 3,
		"$operation: succeeds, and fails in several ways");
}
my $charges = () = join("\n", keys %did) =~ /^charge /mg;
is($admin->ok("SELECT balance FROM bill24_get_wallet_balance('C0000001')"),
	1000000 - 7 * $charges, 'the money is what the charges left');
$_->end foreach @workers;

# ---- accounts that change ------------------------------------------------

my $other = start_simulator();
$other->post('/_sim/seed', { count => 20, prefix => 'C', balance => 222 });
my $user = Bill24Session->new($node);
my ($url, $other_url) = ($sim->url, $other->url);

is($user->ok($good), '1000000', 'another session calls');
$admin->ok("ALTER SERVER bill24 OPTIONS (SET base_url '$other_url')");
is($user->ok($good), '222', 'ALTER SERVER counts for its next call');
$admin->ok("ALTER SERVER bill24 OPTIONS (SET base_url '$url')");
is($user->ok($good), '1000000', 'and back');
$admin->ok("ALTER USER MAPPING FOR CURRENT_USER SERVER bill24 OPTIONS (SET secret 'wrong')");
is($user->query($good)->{sqlstate}, '28000',
	'ALTER USER MAPPING does');
$admin->ok("ALTER USER MAPPING FOR CURRENT_USER SERVER bill24 OPTIONS (SET secret 'demo-secret')");
is($user->ok($good), '1000000', 'and back');
$admin->ok("BEGIN; ALTER SERVER bill24 OPTIONS (SET base_url '$other_url')");
is($admin->ok($good), '222', 'an uncommitted change counts for who made it');
is($user->ok($good), '1000000', 'and for nobody else');
$admin->ok('ROLLBACK');
is($admin->ok($good), '1000000', 'and is gone when rolled back');
$admin->ok('DROP USER MAPPING FOR CURRENT_USER SERVER bill24');
is($user->query($good)->{sqlstate}, '28000', 'DROP USER MAPPING');
$admin->ok("CREATE USER MAPPING FOR CURRENT_USER SERVER bill24 OPTIONS ("
	  . "token '00000000-0000-4000-8000-000000000001', client_id 'demo_client',"
	  . "secret 'demo-secret', hash_token 'demo-hash-token')");
is($user->ok($good), '1000000', 'CREATE USER MAPPING');

# A call that is under way keeps the account that it began with.
sub under_way
{
	$sim->post('/_sim/fault',
		{ kind => 'delay', ms => 500, path => '/instant_payment/get_wallet_balance' });
	$user->send($_[0] // $good);
	requests_wait($sim, 1);
	return;
}
my $create_server = sub {
	setup_account($node, $sim);
	return;
};

under_way();
$admin->ok('DROP SERVER bill24 CASCADE');
is($user->wait->{rows}, '1000000', 'DROP SERVER CASCADE during a call: it ends well');
is($user->query($good)->{sqlstate}, '42704', 'the next finds no server');
$create_server->();
is($user->ok($good), '1000000', 'and one that is made anew');

$user->ok("PREPARE p AS $good; EXECUTE p");
under_way("BEGIN; $good");
$admin->send('DROP EXTENSION bill24 CASCADE');
is($user->wait->{rows}, '1000000', 'DROP EXTENSION during a call: it ends well');
$user->ok('COMMIT');
is($admin->wait->{sqlstate}, '00000', 'and the extension goes');
is($user->query($good)->{sqlstate}, '42883', 'the next call finds no function');
isnt($user->query('EXECUTE p')->{sqlstate}, '00000', 'neither does a prepared one');
$create_server->();
is($user->ok($good), '1000000', 'CREATE EXTENSION: all is there again');
is($user->ok('EXECUTE p'), '1000000', 'also for what was prepared');

# Every role has its own account, whichever session it is in.
$admin->ok(q{CREATE ROLE alice; CREATE ROLE bob; CREATE ROLE carol;
	GRANT USAGE ON FOREIGN SERVER bill24 TO alice, bob;
	GRANT alice, bob, carol TO CURRENT_USER;
	CREATE USER MAPPING FOR alice SERVER bill24 OPTIONS (
		token '00000000-0000-4000-8000-000000000001', client_id 'demo_client',
		secret 'demo-secret');
	CREATE USER MAPPING FOR bob SERVER bill24 OPTIONS (
		token '00000000-0000-4000-8000-000000000001', client_id 'bob',
		secret 'wrong');
	CREATE FUNCTION as_alice() RETURNS numeric LANGUAGE sql SECURITY DEFINER
	AS $$ SELECT balance FROM bill24_get_wallet_balance('C0000003') $$;
	ALTER FUNCTION as_alice() OWNER TO alice});
foreach my $round (1, 2)
{
	is($user->ok("SET ROLE alice; $good"), '1000000', 'a role with an account');
	is($user->query("SET ROLE bob; $good")->{sqlstate}, '28000', 'one with a wrong one');
	is($user->query("SET ROLE carol; $good")->{sqlstate}, '42501', 'one without rights');
	is($user->ok('SELECT as_alice()'), '1000000', 'which may use what acts for another');
	is($user->query("SELECT bill24_request('GET', '/x')")->{sqlstate}, '42501',
		'but not request anything');
}
$user->ok('RESET ROLE');
$admin->ok('REVOKE USAGE ON FOREIGN SERVER bill24 FROM alice');
is($user->query("SET ROLE alice; $good")->{sqlstate}, '42501', 'REVOKE counts at once');
$user->ok('RESET ROLE');

# ---- every place where SQL can stand -------------------------------------

$user->ok("PREPARE q(text) AS SELECT balance FROM bill24_get_wallet_balance(\$1)");
is(join(' ', map { $user->ok("EXECUTE q('C000000$_')") } 3 .. 9),
	join(' ', (1000000) x 7), 'a prepared statement, many times');

my $bills = "bill24_get_bills('2025-01-01', '2025-12-31')";
$user->ok("BEGIN; DECLARE h CURSOR WITH HOLD FOR SELECT ref_id FROM $bills; COMMIT");
is(scalar(split(/\n/, $user->ok('FETCH ALL FROM h'))), 250, 'a cursor WITH HOLD');
$user->ok('CLOSE h');
$user->ok("BEGIN; DECLARE a CURSOR FOR SELECT ref_id FROM $bills;"
	  . "DECLARE b CURSOR FOR SELECT ref_id FROM $bills");
my @pages = map { [ $user->ok('FETCH 60 FROM a'), $user->ok('FETCH 60 FROM b') ] } 1 .. 5;
is(scalar(grep { $_->[0] ne $_->[1] } @pages), 0, 'two cursors side by side');
is(scalar(map { split(/\n/, $_->[0]) } @pages), 250, 'with all bills');
$user->ok('COMMIT');

is($user->ok("SELECT count(*), sum(balance) FROM (SELECT DISTINCT sync_code FROM $bills) b, "
	  . 'LATERAL bill24_get_wallet_balance(b.sync_code)'),
	'1|1000000', 'in a join');
is($user->ok("WITH RECURSIVE c(n, b) AS (SELECT 1, 0::numeric UNION ALL "
	  . "SELECT n + 1, (SELECT balance FROM bill24_get_wallet_balance('C000000' || (n + 1))) "
	  . 'FROM c WHERE n < 6) SELECT sum(b) FROM c WHERE n > 2'),
	'4000000', 'in a recursive query');
is($user->ok("COPY (SELECT balance FROM bill24_get_wallet_balance('C0000003')) TO STDOUT"),
	'1000000', 'in COPY');
$admin->ok(q{
	CREATE FUNCTION in_sql(code text) RETURNS numeric LANGUAGE sql
	AS $$ SELECT balance FROM bill24_get_wallet_balance(code) $$;
	CREATE FUNCTION in_plpgsql() RETURNS int LANGUAGE plpgsql AS $$
	DECLARE
		bill record;
		balance numeric;
		seen int := 0;
	BEGIN
		FOR bill IN SELECT * FROM bill24_get_bills('2025-01-01', '2025-12-31') LOOP
			SELECT b.balance INTO balance FROM bill24_get_wallet_balance(bill.sync_code) b;
			ASSERT balance = 1000000;
			seen := seen + 1;
			EXIT WHEN seen = 150;
		END LOOP;
		RETURN seen;
	END $$;
	CREATE PROCEDURE in_procedure() LANGUAGE plpgsql AS $$
	DECLARE
		bill record;
	BEGIN
		FOR bill IN SELECT * FROM bill24_get_bills('2025-01-01', '2025-12-31') LIMIT 120 LOOP
			PERFORM in_sql('C0000003');
			COMMIT;
			BEGIN
				PERFORM bill24_get_customer('nobody');
			EXCEPTION WHEN others THEN
				ASSERT sqlstate = 'KH404';
			END;
			ROLLBACK;
		END LOOP;
	END $$;
	CREATE VIEW in_view AS SELECT * FROM bill24_get_wallet_balance('C0000003');
	CREATE TABLE customer (code text PRIMARY KEY, name text);
	CREATE FUNCTION in_trigger() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM bill24_create_customer(NEW.code, NEW.name);
		RETURN NEW;
	END $$;
	CREATE TRIGGER to_bill24 AFTER INSERT ON customer
		FOR EACH ROW EXECUTE FUNCTION in_trigger()});
is($user->ok("SELECT in_sql('C0000003')"), '1000000', 'in an SQL function');
is($user->ok('SELECT in_plpgsql()'), '150', 'in PL/pgSQL, a call for each bill, not to the end');
is($user->query('CALL in_procedure()')->{error}, '', 'in a procedure that commits and rolls back');
is($user->ok('SELECT balance FROM in_view'), '1000000', 'in a view');
$user->ok(q{DO $$ BEGIN ASSERT in_sql('C0000003') = 1000000; END $$});
pass('in a DO block');
$user->ok("INSERT INTO customer SELECT 'T' || i, 'Name' FROM generate_series(1, 10) i");
is($sim->get("/_sim/effects?key=T$_")->{created}, 1, "in a trigger: T$_") foreach 1, 10;
my $refused = $user->query("INSERT INTO customer SELECT 'T' || i, 'Name' FROM generate_series(11, 13) i"
	  . " UNION ALL SELECT 'C0000003', 'exists'");
is($refused->{sqlstate}, 'KH409', 'a trigger that is refused fails the statement');
is($user->ok('SELECT count(*) FROM customer'), 10, 'which then has no rows');
is($sim->get('/_sim/effects?key=T12')->{created}, 1, 'though what was called has happened');

# Parallel plans leave the calls to the leader.
$user->ok(q{CREATE TABLE many AS SELECT i, 'C000000' || (3 + i % 7) AS code FROM generate_series(1, 200) i;
	ANALYZE many;
	SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0;
	SET min_parallel_table_scan_size = 0; SET max_parallel_workers_per_gather = 2});
my $force = $user->ok("SELECT name FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query')");
foreach my $mode ('off', 'on')
{
	$user->ok("SET $force = $mode");
	is($user->ok("SELECT count(*), sum(in_sql(code)) FROM many"), '200|200000000',
		"parallel query, $force $mode");
	is($user->ok("SELECT count(bill24_preview('get_customer', jsonb_build_object('sync_code', code))) FROM many"),
		'200', "and dry runs, $force $mode");
}
$user->ok("RESET $force");

# ---- the server stops at once --------------------------------------------

$sim->post('/_sim/fault', { kind => 'hang', count => -1, skip => 3 });
my @caught = map { Bill24Session->new($node) } 1 .. 5;
$caught[$_]->send($_ % 2 ? $good : 'SELECT count(*) FROM bill24_get_wallet_balances('
	  . "ARRAY(SELECT 'C000000' || i FROM generate_series(1, 9) i))")
  foreach 0 .. $#caught;
wait_until('calls are under way', sub { $sim->get('/_sim/stats')->{in_flight} > 20 });
$node->stop('immediate');
$_->end foreach @caught, $user, $admin;
$sim->post('/_sim/clear_faults');
$node->start;
is($node->safe_psql('postgres', $good), '1000000', 'calls work after an immediate shutdown');
requests_wait($sim, 0);
$node->stop;

done_testing();
