
# CALL bill24_work(): the outbox delivered by hand, where there is no worker and
# beside one.

use strict;
use warnings;

use Bill24Outbox;
use Bill24Session;
use Bill24Test;
use Test::More;
use Time::HiRes qw(time sleep);

my $sim = start_simulator();
my $node = new_node('plain', preload => 0);
my %quick = (retry_delay => '20ms', circuit_failures => 0);
setup_account($node, $sim, options => {%quick});
setup_account($node, $sim, server => 'slow', options => { %quick, max_in_flight => 1 });
my ($admin, $other, $third) = map { Bill24Session->new($node) } 1 .. 3;
my $work = 'CALL bill24_work()';

sub customer { return { sync_code => $_[0], name => $_[1] // $_[0] }; }

# ---- without shared_preload_libraries ------------------------------------------

is($admin->ok($work), 0, 'nothing to do');
my $id = enqueue($admin, 'create_customer', customer('A1'));
is($admin->ok("SELECT bill24_wait($id, '300ms')"), 'queued', 'without a call nothing happens');
is($admin->ok($work), 1, 'a call delivers');
is(job($admin, $id, 'state, attempts'), 'done|1', 'it is done');
$admin->ok('SELECT ' . join(', ', map { enqueuing('create_customer', customer("A2-$_")), enqueuing('update_customer', customer("A2-$_", 'x')) } 1 .. 30));
is($admin->ok($work), 60, 'many, of which each second waits for the first');
is(count_jobs($admin, "state <> 'done'"), 0, 'all are done');
is(effects($sim, 'A2-7'), 'create(A2-7) update(x)', 'in order');
is($admin->ok($work), 0, 'once');
$other->send("SELECT bill24_wait(" . enqueue($admin, 'create_customer', customer('A3')) . ')');
$admin->ok($work);
is($other->wait->{rows}, 'done', 'who waits is told');

# A full round: lost answers are looked up.
$sim->post('/_sim/fault', { kind => $_, match => "\"A4-$_\"", path => '/customer/create' }) foreach 'drop_before', 'drop_after';
$admin->ok('SELECT ' . join(', ', map { enqueuing('create_customer', customer("A4-$_")) } 'drop_before', 'drop_after'));
ok(comes_true(sub { $admin->ok($work); count_jobs($admin, "key LIKE 'A4%' AND state = 'done'") == 2 }, 15), 'lost answers are looked up');
is(of_kind($sim, "A4-$_", 'created'), 1, "$_: once") foreach 'drop_before', 'drop_after';

# Where it can stand.
$admin->ok(q{CREATE PROCEDURE in_procedure(INOUT n bigint) LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM bill24_enqueue('create_customer', '{"sync_code": "B1", "name": "b"}');
		COMMIT;
		CALL bill24_work(NULL, n);
		PERFORM bill24_enqueue('create_customer', '{"sync_code": "B2", "name": "b"}');
		ROLLBACK;
	END $$;
	CREATE FUNCTION in_function() RETURNS void LANGUAGE plpgsql AS $$ DECLARE n bigint; BEGIN CALL bill24_work(NULL, n); END $$;
	CREATE ROLE alice; GRANT USAGE ON FOREIGN SERVER bill24 TO alice});
is($admin->ok('CALL in_procedure(NULL)'), 1, 'in a procedure that commits');
is($admin->query("BEGIN; $work")->{sqlstate}, '2D000', 'not in a transaction block');
$admin->query('ROLLBACK');
is($admin->query('SELECT in_function()')->{sqlstate}, '2D000', 'nor in a function');
is($admin->query("DO \$\$ DECLARE n bigint; BEGIN CALL bill24_work(NULL, n); EXCEPTION WHEN division_by_zero THEN END \$\$")->{sqlstate}, '2D000',
	'nor in a block that catches errors');
is($admin->query("SET ROLE alice; $work")->{sqlstate}, '42501', 'not by everybody');
$admin->query('RESET ROLE');
is($admin->query("CALL bill24_work('-1 s')")->{sqlstate}, '22008', 'a negative timeout');
foreach my $level ('serializable', 'repeatable read')
{
	$admin->ok("SET default_transaction_isolation = '$level'");
	$id = enqueue($admin, 'create_customer', customer("C$level"));
	is($admin->ok($work), 1, "$level by default");
	is($admin->ok('SHOW transaction_isolation'), $level, 'as it was');
}
$admin->ok('RESET default_transaction_isolation');
$admin->ok("SET search_path = ''; SET enable_seqscan = on; SET lock_timeout = '1h'");
$id = $admin->ok('SELECT public.' . enqueuing('create_customer', customer('C1')));
is($admin->ok('CALL public.bill24_work()'), 1, 'with any search_path');
is($admin->ok('SHOW search_path') . $admin->ok('SHOW lock_timeout') . $admin->ok('SELECT current_user'), '""1hpostgres', 'and settings stay');
$admin->ok('RESET ALL');

# ---- the timeout ------------------------------------------------------------------

$sim->post('/_sim/fault', { kind => 'delay', ms => 300, match => '"D-', count => -1 });
$admin->ok('SELECT ' . join(', ', map { enqueuing('create_customer', customer("D-$_"), 'slow') } 1 .. 30));
my $result = $admin->query("CALL bill24_work('1 s')");
is($result->{sqlstate}, '00000', 'with a timeout');
cmp_ok($result->{seconds}, '<', 4, 'it is heeded');
cmp_ok($result->{seconds}, '>=', 0.9, 'and used');
note("$result->{rows} in $result->{seconds} s");
is(count_jobs($admin, "key LIKE 'D-%' AND state = 'done'"), $result->{rows}, 'what it says is done');
is(count_jobs($admin, "key LIKE 'D-%' AND state = 'queued' AND attempts = 0"), 30 - $result->{rows}, 'the rest is as before');
$sim->post('/_sim/clear_faults');
is($admin->ok($work), 30 - $result->{rows}, 'the next call does the rest');

# The time is up while an answer is to come, and while something is due again.
$sim->post('/_sim/fault', { kind => 'delay', ms => 2500, match => '"E1"' });
$sim->post('/_sim/fault', { kind => 'status', status => 429, retry_after => 1, match => '"E2"' });
$admin->ok('SELECT ' . enqueuing('create_customer', customer('E1')) . ', ' . enqueuing('create_customer', customer('E2')));
$other->send("CALL bill24_work('500 ms')");
requests_wait($sim, 1);
ok(comes_true(sub { !$other->busy }, 10), 'it ends when the answer has come') || $admin->ok('SELECT pg_cancel_backend(' . $other->pid . ')');
$result = $other->wait;
is($result->{sqlstate}, '00000', 'well');
is(count_jobs($admin, "key = 'E1' AND state = 'done'"), 1, 'and the answer counts');
ok(comes_true(sub { $admin->ok($work); count_jobs($admin, "key = 'E2' AND state = 'done'") }, 10), 'the other one later');

# ---- cancelled, terminated -----------------------------------------------------------

foreach my $how ('cancel', 'terminate')
{
	$sim->post('/_sim/fault', { kind => 'hang', match => "\"F$how\"" });
	$id = enqueue($admin, 'create_customer', customer("F$how"));
	my $waits = enqueue($admin, 'update_customer', customer("F$how", 'later'));
	my $session = Bill24Session->new($node);
	$session->send($work);
	requests_wait($sim, 1);
	is(job($admin, $id), 'sending', 'under way');
	is($other->ok($work), 0, "another call leaves it alone");
	$admin->ok("SELECT pg_${how}_backend(" . $session->pid . ')');
	$result = $session->wait;
	is($result->{sqlstate}, $how eq 'cancel' ? '57014' : '57P01', "$how: at once");
	cmp_ok($result->{seconds}, '<', 5, 'really');
	is($session->ok('SELECT 1'), 1, 'the session goes on') if $how eq 'cancel';
	$session->end;
	ok(comes_true(sub { $other->ok($work); job($admin, $id) eq 'done' && job($admin, $waits) eq 'done' }, 15), 'another call finds out');
	is(effects($sim, "F$how"), "create(F$how) update(later)", 'once');
	$sim->post('/_sim/clear_faults');
}
$sim->post('/_sim/fault', { kind => 'hang', match => '"F3"' });
$id = enqueue($admin, 'create_customer', customer('F3'));
$result = $other->query("SET statement_timeout = '500 ms'; $work");
is($result->{sqlstate}, '57014', 'statement_timeout');
$other->ok('RESET statement_timeout');
$sim->post('/_sim/clear_faults');
ok(comes_true(sub { $other->ok($work); job($admin, $id) eq 'done' }, 15), 'found out about');

# ---- two at once ------------------------------------------------------------------------

$admin->ok('SELECT ' . join(', ', map { enqueuing('create_customer', customer("G$_")), enqueuing('update_customer', customer("G$_", 'y')) } 1 .. 60));
$_->send($work) foreach $other, $third, $admin;
my @results = map { $_->wait } $other, $third, $admin;
is(join(' ', map { $_->{sqlstate} } @results), '00000 00000 00000', 'three calls at once');
note(join(' ', map { "$_->{rows}" } @results));
$admin->ok($work);
is(count_jobs($admin, "state <> 'done'"), 0, 'everything is done');
is(scalar(grep { effects($sim, "G$_") ne "create(G$_) update(y)" } 1, 17, 30, 45, 60), 0, 'once, in order');
is($sim->get('/_sim/stats')->{effects}{customers_created} // $sim->get('/_sim/stats')->{customers_created}, 
	count_jobs($admin, "operation = 'create_customer'"), 'as many effects as jobs');

# ---- a poisoned result ------------------------------------------------------------------

$admin->ok(q{CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN RAISE 'poisoned' USING ERRCODE = 'P0001'; END $$;
	CREATE TRIGGER poison BEFORE UPDATE ON bill24.outbox FOR EACH ROW
	WHEN (NEW.key = 'poison' AND NEW.leased_by IS NULL) EXECUTE FUNCTION poison()});
$admin->ok('SELECT ' . join(', ', map { enqueuing('create_customer', customer($_)) } 'H1', 'poison', 'H2'));
is($other->query($work)->{sqlstate}, 'P0001', 'what cannot be written is told');
$other->query($work);
is(count_jobs($admin, "key = 'poison' AND state = 'done'"), 0, 'and stays as it is');
$admin->ok('DROP TRIGGER poison ON bill24.outbox');
ok(comes_true(sub { $other->query($work); count_jobs($admin, "key IN ('H1', 'poison', 'H2') AND state = 'done'") == 3 }, 15), 'it is written when it can be');
is(of_kind($sim, $_, 'created'), 1, "$_: once") foreach 'H1', 'poison', 'H2';


# Cancelled while one of its statements waits for a lock: the session goes on.
$other->ok('BEGIN; LOCK TABLE bill24.outbox IN EXCLUSIVE MODE');
$admin->send("SET statement_timeout = '300ms'");
$admin->wait;
is($admin->query($work)->{sqlstate}, '57014', 'a call that waits for a lock is cancelled');
is($admin->ok('SET statement_timeout = 0; SELECT 1'), 1, 'and leaves no transaction behind');
$other->ok('ROLLBACK');
is($admin->query($work)->{sqlstate}, '00000', 'the next call works');

# The same before the first of them.
$other->ok('BEGIN; DROP EXTENSION bill24 CASCADE');
$admin->ok("SET statement_timeout = '300ms'");
is($admin->query($work)->{sqlstate}, '57014', 'a call that waits for the extension is cancelled');
is($admin->query('SET statement_timeout = 0; SELECT 1')->{rows}, 1, 'and leaves no transaction behind');
$admin->query('ROLLBACK; SET statement_timeout = 0');
$other->ok('ROLLBACK');
is($admin->query($work)->{sqlstate}, '00000', 'the next call works');
$_->end foreach $admin, $other, $third;
$node->stop;

# ---- beside a worker ------------------------------------------------------------------------

$node = new_node('main');
setup_account($node, $sim, options => {%quick});
($admin, $other) = map { Bill24Session->new($node) } 1, 2;
$id = enqueue($admin, 'create_customer', customer('I0'));
becomes($admin, $id, 'done', 'the worker works');
foreach my $how ('cancel', 'terminate')
{
	my ($worker) = workers($admin);

	# while the worker sleeps, somebody else has the job
	kill('STOP', $worker);
	$sim->post('/_sim/fault', { kind => 'hang', match => "\"I$how\"" });
	$id = enqueue($admin, 'create_customer', customer("I$how"));
	my $session = Bill24Session->new($node);
	$session->send($work);
	requests_wait($sim, 1);
	kill('CONT', $worker);
	becomes($admin, enqueue($admin, 'create_customer', customer("I2$how")), 'done', 'the worker works beside it');
	is(job($admin, $id), 'sending', 'and leaves it alone');
	$admin->ok("SELECT pg_${how}_backend(" . $session->pid . ')');
	$session->wait;
	my $start = time;
	becomes($admin, $id, 'done', "$how: the worker finds out, though nothing else happens", 8);
	note(sprintf('%.1f s', time - $start));
	is(of_kind($sim, "I$how", 'created'), 1, 'once');
	$session->end;
	$sim->post('/_sim/clear_faults');
}

# DROP EXTENSION has begun, and waits for who has read the outbox.
{
	my $drops = Bill24Session->new($node);

	comes($admin, 'SELECT state FROM bill24.worker', 'idle', 'the worker has nothing to do');
	$other->ok('BEGIN; SELECT FROM bill24.outbox LIMIT 1');
	$drops->send('BEGIN; DROP EXTENSION bill24 CASCADE');
	comes($admin, "SELECT count(*) FROM pg_locks WHERE pid = " . $drops->pid . " AND NOT granted AND relation = 'bill24.outbox'::regclass", 1, 'somebody is about to drop the extension');
	$admin->ok("SET statement_timeout = '5s'");
	is($admin->query('SELECT count(*) FROM bill24.worker')->{sqlstate}, '00000', 'bill24.worker does not wait for that');
	$admin->ok('RESET statement_timeout');
	$admin->ok('SELECT pg_cancel_backend(' . $drops->pid . ')');
	$drops->wait;
	$drops->end;
	$other->ok('ROLLBACK');
}
$admin->ok('SELECT ' . join(', ', map { enqueuing('create_customer', customer("J$_")) } 1 .. 100));
$other->query($work);
comes($admin, "SELECT count(*) FROM bill24.outbox WHERE state <> 'done'", 0, 'a worker and a call at once');
is(scalar(grep { of_kind($sim, "J$_", 'created') != 1 } 1 .. 100), 0, 'each once');
$_->end foreach $admin, $other;
$node->stop;
done_testing();
