
# What pg_stat_activity tells of the extension's processes, and of sessions that
# wait in it.

use strict;
use warnings;

use Bill24Outbox;
use Bill24Session;
use Bill24Test;
use Test::More;

my $sim = start_simulator();
$sim->post('/_sim/seed', { count => 2, prefix => 'C', balance => 5 });
my $node = new_node('main');
setup_account($node, $sim, options => { max_in_flight => 1, request_timeout => '60s' });
my ($admin, $first, $second) = map { Bill24Session->new($node) } 1 .. 3;

# Since 17 an extension names what it waits for.
my $has_names = $admin->ok('SHOW server_version_num') >= 170000;
sub event { return 'Extension|' . ($has_names ? $_[0] : 'Extension'); }

sub shows
{
	my ($where, $columns, $value, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return comes($admin, "SELECT $columns FROM pg_stat_activity WHERE $where", $value, $name);
}

sub waits_for
{
	my ($session, $event, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return shows('pid = ' . $session->pid, 'wait_event_type, wait_event', event($event), $name);
}

my $launcher = "backend_type = 'bill24 launcher'";
my $worker = "backend_type = 'bill24 worker'";
my $balance = "SELECT balance FROM bill24_get_wallet_balance('C0000001')";

# ---- the processes ------------------------------------------------------------

shows($launcher, "application_name, coalesce(datname, '')", 'bill24 launcher|', 'the launcher has a name, and is in no database');
shows($launcher, 'wait_event_type, wait_event', event('Bill24Launcher'), 'and waits');
shows($worker, 'application_name, datname, state, query', 'bill24 worker|postgres|idle|bill24: idle, 0 in flight', 'a worker is idle');
shows($worker, 'wait_event_type, wait_event', event('Bill24Idle'), 'and waits for work');
$sim->post('/_sim/fault', { kind => 'hang', match => '"W1"' });
my $id = enqueue($admin, 'create_customer', { sync_code => 'W1', name => 'w' });
requests_wait($sim, 1);
shows($worker, 'state, query', 'active|bill24: running, 1 in flight', 'one that delivers says so');
shows($worker, 'wait_event_type, wait_event', event('Bill24Answer'), 'and waits for answers');
is($admin->ok('SELECT state, in_flight FROM bill24.worker'), 'running|1', 'as bill24.worker does');

# ---- sessions --------------------------------------------------------------------

$first->send("SELECT bill24_wait($id)");
waits_for($first, 'Bill24Finished', 'bill24_wait()');
$second->send($balance);
waits_for($second, 'Bill24Place', 'a call that waits for its place');
$sim->post('/_sim/clear_faults');
is($second->wait->{rows}, '5', 'has it');
is($first->wait->{rows}, 'done', 'and the job is done');
shows($worker, 'state, query', 'idle|bill24: idle, 0 in flight', 'the worker is idle again');

$sim->post('/_sim/fault', { kind => 'hang', path => '/instant_payment/get_wallet_balance' });
$second->send($balance);
requests_wait($sim, 1);
waits_for($second, 'Bill24Answer', 'a call that waits for its answer');
$sim->post('/_sim/clear_faults');
$second->wait;

$admin->ok("ALTER SERVER bill24 OPTIONS (SET max_in_flight '8')");
$sim->post('/_sim/expire_tokens', { refresh => JSON::PP::true });
$sim->post('/_sim/fault', { kind => 'hang', path => '/merchantsecurity/*', count => -1 });
$sim->post('/_sim/fault', { kind => 'hang', path => '/merchantsecurity/authorize', count => -1 });
$first->send($balance);
requests_wait($sim, 1);
$second->send($balance);
waits_for($first, 'Bill24Answer', 'a call that logs in');
waits_for($second, 'Bill24Login', 'one that waits for the login of another');
$sim->post('/_sim/clear_faults');
$_->wait foreach $first, $second;
is($_->ok($balance), '5', 'calls work') foreach $first, $second;

$_->end foreach $admin, $first, $second;
$node->stop;
done_testing();
