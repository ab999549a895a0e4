
# Load control that sessions and workers share: the places of a server are those
# of both together, and a circuit that one opens is open for the other.

use strict;
use warnings;

use Bill24Outbox;
use Bill24Session;
use Bill24Test;
use Test::More;

my $places = 4;
my $sim = start_simulator();
my $node = new_node('main');
setup_account($node, $sim,
	options => { max_in_flight => $places, circuit_failures => 0, retry_delay => '20ms', request_timeout => '60s' });
my $admin = Bill24Session->new($node);
my @sessions = map { Bill24Session->new($node) } 1 .. 6;
my $balance = '/instant_payment/get_wallet_balance';
my $update = '/customer/update';
my $good = "SELECT balance FROM bill24_get_wallet_balance('C0000001')";

$sim->post('/_sim/seed', { count => 200, prefix => 'C', balance => 5 });
is($_->ok($good), '5', 'a call works') foreach $admin, @sessions;
my $id = enqueue($admin, 'update_customer', { sync_code => 'C0000001', name => 'warm' });
becomes($admin, $id, 'done', 'a job, too');

sub circuit
{
	my ($what) = @_;

	return $admin->ok('SELECT ' . ($what // 'state') . " FROM bill24.circuit WHERE server = 'bill24'");
}

sub enqueue_updates
{
	my ($from, $to) = @_;

	$admin->ok("SELECT count(bill24_enqueue('update_customer', jsonb_build_object("
		  . "'sync_code', 'C' || lpad(i::text, 7, '0'), 'name', 'n'))) FROM generate_series($from, $to) i");
	return;
}

# How many requests came for a path.
sub requests
{
	my ($path) = @_;

	return $sim->get('/_sim/stats')->{by_path}{$path} // 0;
}

sub effects_in_order
{
	my $list = $sim->get('/_sim/effects?from=1&limit=1000');

	return @{ ref $list eq 'HASH' ? $list->{effects} : $list };
}

# ---- places -----------------------------------------------------------------------

# Jobs that take 500 ms each, for ten seconds' work of a worker.  A direct call
# waits for a place that becomes free, and has its share.
is($sim->get('/_sim/stats')->{in_flight}, 0, 'nothing is under way');
$sim->post('/_sim/fault', { kind => 'delay', ms => 500, path => $update, count => -1 });
$sim->post('/_sim/fault', { kind => 'delay', ms => 20, path => $balance, count => -1 });
enqueue_updates(2, 61);
wait_until('the worker has places', sub { $sim->get('/_sim/stats')->{in_flight} >= $places - 1 });
foreach my $round (1 .. 6)
{
	$_->send($good) foreach @sessions;
	is(join(' ', map { $_->wait->{rows} } @sessions), join(' ', (5) x @sessions), "round $round: direct calls beside a busy worker");
}
note(count_jobs($admin, "state = 'done'") - 1 . ' jobs are done by then');
cmp_ok(count_jobs($admin, 'finished_at IS NULL'), '>', 0, 'they did not wait for the worker to be through');
$sim->post('/_sim/clear_faults');
comes($admin, 'SELECT count(*) FROM bill24.outbox WHERE finished_at IS NULL', 0, 'which comes to its end, too');
is($sim->get('/_sim/stats')->{max_in_flight}, $places, 'all places were taken, and never more, by both together');

# Sessions take all places all the time: the worker comes to its share.
$sim->post('/_sim/fault', { kind => 'delay', ms => 30, path => $balance, count => -1 });
$_->send('SELECT count(*) FROM generate_series(1, 1000) i,'
	  . " LATERAL (SELECT * FROM bill24_get_wallet_balance('C' || lpad((i % 100 + 1)::text, 7, '0')) OFFSET 0) b") foreach @sessions;
requests_wait($sim, $places);
enqueue_updates(70, 74);
comes($admin, 'SELECT count(*) FROM bill24.outbox WHERE finished_at IS NULL', 0, 'jobs beside sessions that leave no place free');
is((grep { $_->busy } @sessions), scalar(@sessions), 'which go on');
$admin->ok('SELECT pg_cancel_backend(' . $_->pid . ')') foreach @sessions;
is(join(' ', map { $_->wait->{sqlstate} } @sessions), join(' ', ('57014') x @sessions), 'until they are cancelled');
is($sim->get('/_sim/stats')->{max_in_flight}, $places, 'never more than that');
$sim->post('/_sim/clear_faults');
requests_wait($sim, 0);

# ---- several workers -----------------------------------------------------------------

# The first one has all places, and more jobs than it can send for long: it
# leaves half of them to the second.
$places = 12;
$admin->ok("ALTER SERVER bill24 OPTIONS (SET max_in_flight '$places')");
$sim->post('/_sim/fault', { kind => 'delay', ms => 300, path => '/customer/create', count => -1 });
$admin->ok("SELECT count(bill24_enqueue('create_customer', jsonb_build_object("
	  . "'sync_code', 'B' || i, 'name', 'n'))) FROM generate_series(1, 600) i");
requests_wait($sim, $places);
$admin->ok('ALTER SYSTEM SET bill24.workers = 2');
$admin->ok('SELECT pg_reload_conf()');
comes($admin, "SELECT count(*) FROM bill24.worker WHERE in_flight BETWEEN $places / 2 - 1 AND $places / 2 + 1", 2,
	'a second worker comes to have as many requests under way as the first');
$sim->post('/_sim/clear_faults');
comes($admin, 'SELECT count(*) FROM bill24.outbox WHERE finished_at IS NULL', 0, 'they come to the end together');
is($sim->get('/_sim/stats')->{max_in_flight}, $places, 'never more than all places were taken');

# A single place is taken in turns.
requests_wait($sim, 0);
$admin->ok("ALTER SERVER bill24 OPTIONS (SET max_in_flight '1')");
$sim->post('/_sim/fault', { kind => 'delay', ms => 100, path => '/customer/create', count => -1 });
$admin->ok("SELECT count(bill24_enqueue('create_customer', jsonb_build_object("
	  . "'sync_code', 'A' || i, 'name', 'n'))) FROM generate_series(1, 40) i");
my ($has, $changes) = ('', 0);
wait_until(
	'most are sent',
	sub {
		my $now = $admin->ok('SELECT pid FROM bill24.worker WHERE in_flight > 0');
		if ($now ne '' && $now ne $has)
		{
			$has = $now;
			$changes++;
		}
		return count_jobs($admin, "finished_at IS NULL AND key LIKE 'A%'") <= 10;
	});
cmp_ok($changes, '>=', 10, 'two workers have taken the only place in turn for 30 requests');
note("$changes times");
comes($admin, 'SELECT count(*) FROM bill24.outbox WHERE finished_at IS NULL', 0, 'and all are done');
$sim->post('/_sim/clear_faults');
$admin->ok("ALTER SERVER bill24 OPTIONS (SET max_in_flight '12')");
$admin->ok('ALTER SYSTEM RESET bill24.workers');
$admin->ok('SELECT pg_reload_conf()');
comes($admin, "SELECT count(*) FROM bill24.worker WHERE state IN ('running', 'idle')", 1, 'one leaves');
requests_wait($sim, 0);

# ---- a circuit that the worker opens -------------------------------------------------

# It is open for a second at first: on a busy machine that may be over too early.
$admin->ok("ALTER SERVER bill24 OPTIONS (SET circuit_failures '3')");
foreach my $try (1 .. 10)
{
	$sim->post('/_sim/fault', { kind => 'status', status => 500, path => $update, count => 3 });
	my $sent = requests($balance);
	enqueue_updates(100, 102);
	wait_until('the circuit is open', sub { circuit() ne 'closed' });
	my @refused = map { $_->query($good)->{sqlstate} } @sessions;
	my $now = requests($balance);
	my $in_time = circuit('retry_at > clock_timestamp()') eq 't';
	if ($in_time || $try == 10)
	{
		is(join(' ', @refused), join(' ', ('KH503') x @sessions), 'opened by the worker: direct calls are refused');
		is($now, $sent, 'and nothing is sent');
	}
	comes($admin, 'SELECT count(*) FROM bill24.outbox WHERE finished_at IS NULL', 0, 'the worker finds out that the server is back');
	is(circuit(), 'closed', 'which closes the circuit');
	last if $in_time;
}
is($_->ok($good), '5', 'for sessions as well') foreach @sessions;

# ---- a circuit that a session opens ----------------------------------------------------

$sim->post('/_sim/fault', { kind => 'status', status => 500, path => $balance, count => 3 });
is($sessions[0]->query($good)->{sqlstate}, 'KH500', 'a session fails') foreach 1 .. 3;
isnt(circuit(), 'closed', 'which opens the circuit');
my $retry_at = circuit('extract(epoch FROM retry_at)');
my $sent = requests($update);
enqueue_updates(110, 115);
comes($admin, 'SELECT count(*) FROM bill24.outbox WHERE finished_at IS NULL', 0, 'the worker leaves the server alone, and goes on later');
is(count_jobs($admin, "attempts <> 1 AND key >= 'C0000110'"), 0, 'which costs no attempt');
is(requests($update) - $sent, 6, 'each was sent once');
my ($first) = sort { $a <=> $b } map { $_->{at} } grep { $_->{key} ge 'C0000110' } effects_in_order();
cmp_ok($first / 1e6, '>=', $retry_at - 0.05, 'and none before the circuit let one through');
is(circuit(), 'closed', 'which the worker closed');
is($sessions[1]->ok($good), '5', 'for sessions, too');

$_->end foreach $admin, @sessions;
$node->stop;
done_testing();
