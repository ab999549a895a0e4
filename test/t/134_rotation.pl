
# A merchant's new token: jobs that were enqueued under the old one stay in
# order with those that are enqueued under the new one.

use strict;
use warnings;

use Bill24Outbox;
use Bill24Session;
use Bill24Test;
use Test::More;

my $good = '00000000-0000-4000-8000-000000000001';
my $old = '00000000-0000-4000-8000-000000000002';
my $older = '00000000-0000-4000-8000-000000000003';
my $sim = start_simulator();
my $node = new_node('main', conf => "max_prepared_transactions = 5\n");

# A job that is refused is not tried again before it is told to be.
setup_account($node, $sim, options => { retry_delay => '1h', circuit_failures => 0 });
setup_account($node, $sim, server => 'strict', options => { max_attempts => 1, circuit_failures => 0 });
my $admin = Bill24Session->new($node);
my $user = Bill24Session->new($node);

$admin->ok('CREATE ROLE keeper; GRANT USAGE ON FOREIGN DATA WRAPPER bill24 TO keeper; ALTER SERVER bill24 OWNER TO keeper');
foreach my $role ('alice', 'bob', 'carol', 'dave')
{
	$admin->ok("CREATE ROLE $role; GRANT USAGE ON FOREIGN SERVER bill24, strict TO $role");
}

sub as
{
	my ($role, $sql) = @_;

	$user->ok("SET ROLE $role");
	my $result = $user->query($sql);
	$user->ok('RESET ROLE');
	return $result;
}

sub enqueue_as
{
	my ($role, @job) = @_;
	my $result = as($role, 'SELECT ' . enqueuing(@job));

	is($result->{sqlstate}, '00000', "$role: $job[0]") || diag($result->{error});
	return $result->{rows};
}

sub map_to
{
	my ($role, $token, $server) = @_;

	return 'CREATE USER MAPPING FOR ' . $role . ' SERVER ' . ($server // 'bill24')
	  . " OPTIONS (token '$token', client_id 'demo_client', secret 'demo-secret')";
}

sub rotate
{
	my ($role, $token, $server) = @_;

	return "ALTER USER MAPPING FOR $role SERVER " . ($server // 'bill24') . " OPTIONS (SET token '$token')";
}

sub customer { return { sync_code => $_[0], name => $_[1] // $_[0] }; }
sub account_of { return job($admin, $_[0], 'account'); }

# The delay before the next attempt is random, and may be next to none.
sub login_failed
{
	my ($id, $state, $what) = @_;

	comes($admin, "SELECT state, attempts, sqlstate FROM bill24.outbox WHERE id = $id", "$state|1|28000", $what);
	$admin->ok("UPDATE bill24.outbox SET next_attempt_at = clock_timestamp() + '1 hour' WHERE id = $id AND state = 'queued'");
	return;
}

my $number = account_of(my $probe = enqueue($admin, 'create_customer', customer('PROBE')));
becomes($admin, $probe, 'done', 'with the good token');

# ---- in back-off ---------------------------------------------------------------

$admin->ok(map_to('alice', $old));
my $create = enqueue_as('alice', 'create_customer', customer('A1'));
login_failed($create, 'queued', 'the old token is refused');
my $first = enqueue_as('alice', 'update_customer', customer('A1', 'first'));
becomes($admin, $first, 'waiting', 'an update waits');
my $before = account_of($create);
isnt($before, $number, 'another account');

is(as('alice', 'BEGIN; ' . rotate('alice', $good) . '; ROLLBACK')->{sqlstate}, '00000', 'rolled back');
is(account_of($create), $before, 'nothing moves');
$user->ok('BEGIN; SAVEPOINT s; ' . rotate('alice', $good) . '; ROLLBACK TO s; COMMIT');
is(account_of($create), $before, 'nor when a savepoint is');

is(as('alice', rotate('alice', $good))->{sqlstate}, '00000', 'alice has a new token');
is(account_of($_), $number, 'her jobs follow') foreach $create, $first;
is(job($admin, $first), 'waiting', 'and wait as before');
my $second = enqueue_as('alice', 'update_customer', customer('A1', 'second'));
becomes($admin, $second, 'waiting', 'what she enqueues now comes after them');
is(effects($sim, 'A1'), '', 'and nothing was sent');
is(as('alice', "SELECT bill24_retry($create)")->{rows}, $create, 'the create is tried again');
becomes($admin, $_, 'done', "job $_ is done") foreach $create, $first, $second;
is(effects($sim, 'A1'), 'create(A1) update(second)', 'in order');

# ---- locked by somebody ---------------------------------------------------------

$admin->ok(rotate('alice', $old));
$create = enqueue_as('alice', 'create_customer', customer('L1'));
login_failed($create, 'queued', 'refused');
my $idle = Bill24Session->new($node);
$idle->ok("BEGIN; SELECT FROM bill24.outbox WHERE id = $create FOR UPDATE");
$user->ok("SET lock_timeout = '1h'");
is($user->query(rotate('alice', $good))->{sqlstate}, '55P03', 'a job that somebody has locked is not waited for');
is($user->ok('SHOW lock_timeout'), '1h', 'whatever the session would wait');
becomes($admin, enqueue($admin, 'create_customer', customer('L2')), 'done', 'deliveries go on');
is(account_of($create), $before, 'nothing has moved');
$idle->ok('ROLLBACK');
$user->ok(rotate('alice', $good));
is(account_of($create), $number, 'repeated, it succeeds');
$user->ok('RESET lock_timeout');
$admin->ok("SELECT bill24_cancel($create)");

# ---- a change that takes long ----------------------------------------------------

# Deliveries wait for it, and it is not their jobs' fault.
$admin->ok(rotate('alice', $old));
$create = enqueue_as('alice', 'create_customer', customer('M1'));
login_failed($create, 'queued', 'refused');
$admin->ok(q{CREATE SEQUENCE gate;
	CREATE FUNCTION wait_at_gate() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN WHILE NOT (SELECT is_called FROM public.gate) LOOP PERFORM pg_sleep(0.02); END LOOP; RETURN NEW; END $$;
	CREATE TRIGGER wait_at_gate BEFORE UPDATE OF account ON bill24.outbox FOR EACH ROW
	WHEN (NEW.account <> OLD.account) EXECUTE FUNCTION wait_at_gate();
	ALTER TABLE bill24.outbox ENABLE ALWAYS TRIGGER wait_at_gate});

sub timeouts
{
	open(my $log, '<', $node->logfile) or die;
	return scalar grep { /ERROR:  canceling statement due to lock timeout/ } <$log>;
}

my ($worker) = workers($admin);
my $timeouts = timeouts();
$idle->send(rotate('alice', $good));
comes($admin, q{SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2424 AND classid = 0 AND objid = 0 AND granted}, 1, 'one is under way');
my $meanwhile = enqueue($admin, 'create_customer', customer('M2'));
wait_until('deliveries have waited for it again and again', sub { timeouts() >= $timeouts + 4 });
$admin->ok("SELECT nextval('gate')");
is($idle->wait->{sqlstate}, '00000', 'it ends');
becomes($admin, $meanwhile, 'done', 'deliveries go on');
is((workers($admin))[0], $worker, 'of the same worker');
$admin->ok("DROP TRIGGER wait_at_gate ON bill24.outbox; DROP FUNCTION wait_at_gate; DROP SEQUENCE gate; SELECT bill24_cancel($create)");

# ---- parked --------------------------------------------------------------------

$admin->ok(map_to('alice', $old, 'strict'));
$create = enqueue_as('alice', 'create_customer', customer('B1'), 'strict');
login_failed($create, 'parked', 'parked');
$admin->ok(rotate('alice', $good, 'strict'));
$first = enqueue_as('alice', 'update_customer', customer('B1', 'first'), 'strict');
becomes($admin, $first, 'waiting', 'an update waits for a parked create of the old token');
is(as('alice', "SELECT bill24_retry($create)")->{rows}, $create, 'which is tried again');
becomes($admin, $_, 'done', "job $_ is done") foreach $create, $first;
is(effects($sim, 'B1'), 'create(B1) update(first)', 'in order');

# What had failed is enqueued under the account of today.
my $failed = enqueue_as('alice', 'update_customer', customer('NOBODY'), 'strict');
becomes($admin, $failed, 'failed', 'refused');
$admin->ok(rotate('alice', $old, 'strict'));
my $anew = as('alice', "SELECT bill24_retry($failed)")->{rows};
isnt(account_of($anew), account_of($failed), 'tried again: with the token of today');
$admin->ok("SELECT bill24_cancel($anew)") if becomes($admin, $anew, 'parked', 'which is refused');

# ---- in flight -----------------------------------------------------------------

$sim->post('/_sim/fault', { kind => 'delay', ms => 3000, match => '"C1"', path => '/customer/create' });
$create = enqueue_as('alice', 'create_customer', customer('C1'));
becomes($admin, $create, 'sending', 'one is being sent');
$first = enqueue_as('alice', 'update_customer', customer('C1', 'first'));
is(as('keeper', rotate('alice', $old))->{sqlstate}, '00000', "the server's owner changes the token");
is(job($admin, $create), 'sending', 'in the middle of it');
isnt(account_of($create), $number, 'the job follows');
$second = enqueue_as('alice', 'update_customer', customer('C1', 'second'));
becomes($admin, $second, 'waiting', 'what is enqueued now waits for it');
is(job($admin, $create), 'sending', 'which is still being sent');
becomes($admin, $create, 'done', 'it ends');

# before all is looked over again, ten seconds later
comes($admin, "SELECT count(*) FROM bill24.outbox WHERE id = $first AND state = 'waiting' AND merged_into IS NULL", 0, 'the next is let go on at once', 5);
$admin->ok(rotate('alice', $good));
$admin->query("SELECT bill24_retry($_)") foreach $first, $second;
becomes($admin, $_, 'done', "job $_ is done") foreach $first, $second;
like(effects($sim, 'C1'), qr/^create\(C1\) (update\(first\) )?update\(second\)$/, 'in order');

# ---- another role of the same merchant -------------------------------------------

$admin->ok(map_to('dave', $old));
$create = enqueue_as('dave', 'create_customer', customer('D1'));
login_failed($create, 'queued', 'dave has the old token');
$sim->post('/_sim/fault', { kind => 'status', status => 429, retry_after => 3600, match => '"first"' });
$first = enqueue_as('alice', 'update_customer', customer('D1', 'first'));
comes($admin, "SELECT state, attempts FROM bill24.outbox WHERE id = $first", 'queued|1', 'alice has the new one');
$admin->ok(rotate('dave', $good));
is(account_of($create), account_of($first), "dave's job is before hers now");
$admin->ok("SELECT bill24_retry($first)");
becomes($admin, $first, 'waiting', 'so hers waits');
$admin->ok("SELECT bill24_retry($create)");
becomes($admin, $_, 'done', "job $_ is done") foreach $create, $first;
is(effects($sim, 'D1'), 'create(D1) update(first)', 'in order');

# ---- the mapping of PUBLIC -----------------------------------------------------

$admin->ok($_) foreach map_to('PUBLIC', $old), map_to('carol', $old);
$create = enqueue_as('bob', 'create_customer', customer('E1'));
my $hers = enqueue_as('carol', 'create_customer', customer('E2'));
login_failed($_, 'queued', 'refused') foreach $create, $hers;
is(account_of($create), account_of($hers), 'one account');
$admin->ok(rotate('PUBLIC', $good));
is(account_of($create), $number, 'jobs of who has no mapping follow that of PUBLIC');
is(account_of($hers), $before, 'those of who has one do not');
$first = enqueue_as('bob', 'update_customer', customer('E1', 'first'));
becomes($admin, $first, 'waiting', 'in order');
$admin->ok("SELECT bill24_retry($create)");
becomes($admin, $_, 'done', "job $_ is done") foreach $create, $first;
is(effects($sim, 'E1'), 'create(E1) update(first)', 'really');
$admin->ok('DROP USER MAPPING FOR carol SERVER bill24');
is(account_of($hers), $before, 'without a mapping nothing moves');
$admin->ok(map_to('carol', $good));
is(account_of($hers), $number, 'a mapping that is made anew counts as one that is changed');

# ---- PREPARE TRANSACTION -------------------------------------------------------

my $prepared = $user->query('BEGIN; ' . rotate('carol', $older) . "; PREPARE TRANSACTION 'rotation'");
is($prepared->{sqlstate}, '0A000', 'not in a prepared transaction, which would hold up deliveries');
$user->query('ROLLBACK');
is(account_of($hers), $number, 'nothing moves');
$admin->ok("SELECT bill24_cancel($hers)");
$user->ok('BEGIN; ' . rotate('carol', $older) . "; PREPARE TRANSACTION 'rotation'");
$admin->ok("COMMIT PREPARED 'rotation'");
pass('without jobs it may be');

# ---- PayCombat's customers -----------------------------------------------------

my ($x_token, $signature_key) = ('snd_' . 'x' x 40, 'the-signature-key');
my $pay = start_simulator('--x-token', $x_token, '--signature-key', $signature_key);
my $url = $pay->url;
my $rows = 'SELECT count(*), count(DISTINCT account) FROM bill24.paycombat_customer';

$admin->ok("CREATE SERVER paycombat FOREIGN DATA WRAPPER paycombat OPTIONS (base_url '$url', allow_http 'true', mirror 'false')");
$admin->ok("CREATE USER MAPPING FOR $_ SERVER paycombat OPTIONS (x_token '$x_token', signature_key '$signature_key')") foreach 'postgres', 'alice';
$admin->ok('GRANT USAGE ON FOREIGN SERVER paycombat TO alice');

sub new_x_token { return "ALTER USER MAPPING FOR $_[0] SERVER paycombat OPTIONS (SET x_token '$_[1]')"; }

$admin->ok("SELECT paycombat_create_customer('individual', '$_', organization_reference_id => '$_')") foreach 'P1', 'P2';
is($admin->ok($rows), '2|1', 'two customers are known');
$admin->ok(new_x_token('postgres', 'other'));
is($admin->ok($rows), '4|2', 'a new token of one role: both know them');
is($admin->query("SELECT paycombat_get_customer(organization_reference_id => 'P1')")->{sqlstate}, '28000', 'by their reference');
is(as('alice', "SELECT (paycombat_get_customer(organization_reference_id => 'P1')).description")->{rows}, 'P1', 'as before');
$admin->ok(new_x_token('alice', 'other'));
is($admin->ok($rows), '2|1', 'of the other as well: they have moved');
$admin->ok(new_x_token($_, $x_token)) foreach 'postgres', 'alice';
is($admin->ok("SELECT (paycombat_get_customer(organization_reference_id => 'P1')).description"), 'P1', 'and back');

# The answer to what is in flight is kept for the account of now.
$pay->post('/_sim/fault', { kind => 'delay', ms => 2000, match => '"P3"', path => '/api/v1/customer/create' });
$create = enqueue($admin, 'create_customer', { type => 'individual', description => 'P3', organization_reference_id => 'P3' }, 'paycombat');
becomes($admin, $create, 'sending', 'one is being sent');
$admin->ok(new_x_token($_, 'other')) foreach 'postgres', 'alice';
is(job($admin, $create), 'sending', 'in the middle of it');
becomes($admin, $create, 'done', 'it ends');
is($admin->ok($rows), '3|1', 'and is known with the others');

# A mapping of which nobody can tell may have the old token still.
$admin->ok("CREATE USER MAPPING FOR bob SERVER paycombat OPTIONS (credentials_file '/nowhere/to/be/found.json')");
$admin->ok(new_x_token($_, $x_token)) foreach 'postgres', 'alice';
is($admin->ok($rows), '6|2', 'beside one that cannot be read: both know them');

# ---- without shared_preload_libraries -------------------------------------------

my $alone = new_node('alone', preload => 0);
setup_account($alone, $sim, options => { retry_delay => '1h', circuit_failures => 0 }, mapping => { token => $old });
my $session = Bill24Session->new($alone);
$create = enqueue($session, 'create_customer', customer('F1'));
$session->ok('CALL bill24_work()');
is(job($session, $create, 'state, attempts'), 'queued|1', 'refused');

# in a session that has not used the library yet
$alone->safe_psql('postgres', rotate('CURRENT_USER', $good));
is(job($session, $create, 'account'), $number, 'without a hook the job follows, too');
$first = enqueue($session, 'update_customer', customer('F1', 'first'));
$session->ok('CALL bill24_work()');
is(job($session, $first), 'waiting', 'in order');
$session->ok("SELECT bill24_retry($create)");
$session->ok('CALL bill24_work()');
is(effects($sim, 'F1'), 'create(F1) update(first)', 'really');

done_testing();
