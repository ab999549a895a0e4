
# Load control between processes: places are given back whatever ends a call,
# one probe at a time finds out whether a server answers again, and the rate is
# everybody's together.

use strict;
use warnings;

use Bill24Session;
use Bill24Test;
use Test::More;
use Time::HiRes qw(time sleep);

my $sim = start_simulator();
$sim->post('/_sim/seed', { count => 20, prefix => 'C', balance => 5 });
my $node = new_node('main');
setup_account($node, $sim,
	options => { max_in_flight => 4, circuit_failures => 5, request_timeout => '60s' });
my $path = '/instant_payment/get_wallet_balance';
my $good = "SELECT balance FROM bill24_get_wallet_balance('C0000001')";
my $watcher = Bill24Session->new($node);
my @sessions = map { Bill24Session->new($node) } 1 .. 20;
is($_->ok($good), '5', 'a call works') foreach $watcher, $sessions[0];

sub circuit
{
	return $watcher->ok("SELECT state, failures, in_flight_direct, in_flight_workers"
		  . " FROM bill24.circuit WHERE server = 'bill24'");
}

# Runs it in all of them at once; returns how often there was which SQLSTATE.
sub all_run
{
	my %count;

	$_->send($good) foreach @sessions;
	$count{ $_->wait->{sqlstate} }++ foreach @sessions;
	return \%count;
}

# ---- places ----------------------------------------------------------------

$sim->post('/_sim/fault', { kind => 'delay', ms => 50, path => $path, count => 20 });
is_deeply(all_run(), { '00000' => 20 }, '20 calls at 4 places: all come through');
cmp_ok($sim->get('/_sim/stats')->{max_in_flight}, '<=', 4, 'never more than 4 at once');
is(circuit(), 'closed|0|0|0', 'all places are given back');

foreach my $way ('cancel', 'terminate')
{
	$sim->post('/_sim/fault', { kind => 'hang', path => $path, count => -1 });
	$_->send($good) foreach @sessions[0 .. 3];
	requests_wait($sim, 4);
	is(circuit(), 'closed|0|4|0', "$way: all places are taken");
	$sessions[4]->send($good);
	sleep(0.2);
	ok($sessions[4]->busy, 'the next one waits');
	is($sim->get('/_sim/stats')->{in_flight}, 4, 'and sends nothing');
	$watcher->ok("SELECT pg_${way}_backend(" . $_->pid . ')') foreach @sessions[0 .. 4];
	$_->wait foreach @sessions[0 .. 4];
	ok(comes_true(sub { circuit() eq 'closed|0|0|0' }, 10),
		"$way: the places are given back, and nothing is a failure");
	$sim->post('/_sim/clear_faults');
	requests_wait($sim, 0);
	if ($way eq 'terminate')
	{
		$_->end foreach @sessions[0 .. 4];
		@sessions[0 .. 4] = map { Bill24Session->new($node) } 1 .. 5;
	}
	is_deeply(all_run(), { '00000' => 20 }, "$way: calls work");
}

# ---- one probe -------------------------------------------------------------

sub open_circuit
{
	$sim->post('/_sim/fault', { kind => 'status', status => 500, path => $path, count => 5 });
	$watcher->query($good) foreach 1 .. 5;
	$sim->post('/_sim/clear_faults');
	like(circuit(), qr/^(open|half-open)\|5\|0\|0$/, 'five failures open the circuit');
	return;
}

sub half_open
{
	wait_until('half-open', sub { circuit() =~ /^half-open/ });
	return;
}

open_circuit();
$sim->post('/_sim/fault', { kind => 'hang', path => $path, count => -1 });
half_open();
$_->send($good) foreach @sessions;
requests_wait($sim, 1);
ok(comes_true(sub { 1 == grep { $_->busy } @sessions }, 10), 'of 20, one goes through');
is($sim->get('/_sim/stats')->{in_flight}, 1, 'to the provider as well');
my ($prober) = grep { $_->busy } @sessions;
is((grep { $_->wait->{sqlstate} eq 'KH503' } grep { $_ != $prober } @sessions), 19,
	'the others are told');
is(circuit(), 'half-open|5|1|0', 'half-open');

# The probe is cancelled: another takes its place at once.
$watcher->ok('SELECT pg_cancel_backend(' . $prober->pid . ')');
is($prober->wait->{sqlstate}, '57014', 'the probe is cancelled');
requests_wait($sim, 0) if $sim->post('/_sim/clear_faults');
$sim->post('/_sim/fault', { kind => 'hang', path => $path, count => -1 });
$sessions[0]->send($good);
requests_wait($sim, 1);
$watcher->ok('SELECT pg_terminate_backend(' . $sessions[0]->pid . ')');
is($sessions[0]->wait->{sqlstate}, '57P01', 'the process of the next is ended');
$sessions[0]->end;
$sessions[0] = Bill24Session->new($node);
ok(comes_true(sub { circuit() eq 'half-open|5|0|0' }, 10), 'it holds nothing up');
$sim->post('/_sim/clear_faults');
is($sessions[1]->ok($good), '5', 'the third probe succeeds');
is(circuit(), 'closed|0|0|0', 'which closes the circuit');
is_deeply(all_run(), { '00000' => 20 }, 'calls work');

# What was sent before the circuit opened says nothing any more.
$sim->post('/_sim/fault', { kind => 'status', status => 500, ms => 1500,
	match => 'C0000009', path => $path, count => 2 });
$_->send("SELECT * FROM bill24_get_wallet_balance('C0000009')") foreach @sessions[0, 1];
requests_wait($sim, 2);
$sim->post('/_sim/fault',
	{ kind => 'status', status => 500, path => $path, match => 'C0000001', count => 5 });
$watcher->query($good) foreach 1 .. 5;
like(circuit(), qr/^(open|half-open)\|5\|2\|0$/, 'opened, with two under way');
$watcher->ok("SELECT bill24_reset_circuit()");
is($watcher->ok($good), '5', 'reset: calls work at once');
is($_->wait->{sqlstate}, 'KH500', 'those two fail late') foreach @sessions[0, 1];
is(circuit(), 'closed|0|0|0', 'late failures do not count');

# ---- the rate --------------------------------------------------------------

$watcher->ok("ALTER SERVER bill24 OPTIONS (ADD max_per_second '50')");
my $before = $sim->get('/_sim/stats')->{requests};
$before = $before->{$path} if ref $before;
my $start = time;
$_->send("SELECT count(b.balance) FROM generate_series(1, 6) i,"
	  . " LATERAL bill24_get_wallet_balance('C000000' || 1 + i % 9) b") foreach @sessions;
is((grep { $_->wait->{rows} eq '6' } @sessions), 20, '120 calls of 20 sessions');
my $seconds = time - $start;
my $after = $sim->get('/_sim/stats')->{requests};
$after = $after->{$path} if ref $after;
is($after - $before, 120, 'arrived');
cmp_ok(120, '<=', 50 * $seconds + 5, 'no faster than the rate and a burst');
note(sprintf('120 calls at 50 a second: %.2f s', $seconds));

$_->end foreach @sessions, $watcher;
$node->stop;

# ---- without shared memory -------------------------------------------------

$node = new_node('plain', preload => 0);
setup_account($node, $sim, options => { circuit_failures => 2 });
@sessions = map { Bill24Session->new($node) } 1 .. 2;
$sim->post('/_sim/fault', { kind => 'status', status => 500, path => $path, count => 2 });
is($sessions[0]->query($good)->{sqlstate}, $_, "not preloaded: $_")
  foreach 'KH500', 'KH500', 'KH503';
is($sessions[1]->ok($good), '5', 'another session does not know of that');
is($sessions[1]->ok("SELECT calls FROM bill24.stat WHERE operation = 'get_wallet_balance'"),
	'1', 'and has its own statistics');
$_->end foreach @sessions;
$node->stop;
done_testing();
