
# The mirror while servers are dropped, made anew and renamed, and workers end;
# and jobs of the outbox, which come first.

use strict;
use warnings;

use Bill24Mirror;
use Bill24Outbox;
use Bill24Session;
use Bill24Test;
use Test::More;

my $sim = start_simulator();
my $node = new_node('main', conf => "restart_after_crash = on\n");
my $looks = '/customer/get_customer_detail';
my $mapping = "OPTIONS (token '00000000-0000-4000-8000-000000000001', client_id 'demo_client', secret 'demo-secret', hash_token 'demo-hash-token')";
my %options = (mirror => 'true', retry_delay => '20ms', circuit_failures => 0, sync_interval => '1h');
my ($admin, $other);

sub connect_again { ($admin, $other) = connect_mirror($node, $sim); return; }

setup_account($node, $sim, options => {%options});
connect_again();
customers('W', 3);
my $witness = 'W0000001';

# ---- servers that go, come and change their names ------------------------------------------

setup_account($node, $sim, server => 'gone', options => {%options});
$sim->post('/_sim/seed', { prefix => 'G', count => 20, balance => 100 });
is($admin->ok('SELECT bill24_track(' . codes('G', 20) . ", 'gone')"), 20, 'of another server');
comes($admin, "SELECT count(*) FROM bill24.customer WHERE server = 'gone' AND synced_at IS NOT NULL", 20, 'are read');
my $gone = "SELECT count(*) FROM bill24.wallet WHERE server = 'gone' AND balance =";
foreach my $how ('DROP SERVER', 'RENAME')
{
	$sim->post('/_sim/fault', { kind => 'delay', ms => 700, path => $looks, match => '"G00000', count => 20 });
	$admin->ok('SELECT bill24_refresh(' . codes('G', 20) . ", 'gone')");
	wait_until('they are looked at', sub { $sim->get('/_sim/stats')->{in_flight} > 3 });
	$admin->ok($how eq 'RENAME' ? 'ALTER SERVER gone RENAME TO away' : 'DROP SERVER gone CASCADE');
	topup(sprintf('G%07d', $_), 1) foreach 1 .. 20;
	answered();
	$sim->post('/_sim/clear_faults');
	others_go_on($witness, $how);
	is($admin->ok("SELECT count(*) FROM bill24.customer WHERE server = 'gone' AND name IS NOT NULL"), 20, "$how: what was known is there");
	is($admin->ok("SELECT count(*) FROM bill24.wallet WHERE server = 'gone' AND balance >= 100"), 20, "$how: with its balances");
	if ($how eq 'RENAME')
	{
		$admin->ok('ALTER SERVER away RENAME TO gone');
	}
	else
	{
		setup_account($node, $sim, server => 'gone', options => {%options});
	}
	$admin->ok('SELECT bill24_refresh(' . codes('G', 20) . ", 'gone')");
	comes($admin, "$gone " . ($how eq 'RENAME' ? 102 : 101), 20, "$how: back again, looks go on", 30);
}
# dropped and made anew at once, elsewhere
my $second = start_simulator();
$second->post('/_sim/seed', { prefix => 'G', count => 20, balance => 5 });
$sim->post('/_sim/fault', { kind => 'delay', ms => 1000, path => $looks, match => '"G00000', count => 20 });
$admin->ok('SELECT bill24_refresh(' . codes('G', 20) . ", 'gone')");
wait_until('they are looked at', sub { $sim->get('/_sim/stats')->{in_flight} > 3 });
$admin->ok("BEGIN; DROP SERVER gone CASCADE; CREATE SERVER gone FOREIGN DATA WRAPPER bill24 OPTIONS (base_url '" . $second->url . "', allow_http 'true', sync_interval '2s', min_sync_interval '1s'); CREATE USER MAPPING FOR CURRENT_USER SERVER gone $mapping; COMMIT");
comes($admin, "$gone 5", 20, 'made anew elsewhere: what is there counts', 30);
answered();
others_go_on($witness, 'made anew');
comes($admin, "$gone 5", 20, 'and what was asked elsewhere does not, or not for long');
$admin->ok('DROP SERVER gone CASCADE');
is($admin->ok('SELECT bill24_untrack(' . codes('G', 20) . ", 'gone')"), 20, 'what is gone can be untracked');

# fewer may be in flight than are prepared
$sim->post('/_sim/seed', { prefix => 'H', count => 300, balance => 1 });
$sim->post('/_sim/config', { latency_ms => 200 });
$admin->ok("ALTER SERVER bill24 OPTIONS (ADD max_in_flight '100')");
track('H', 300);
wait_until('many are looked at', sub { $sim->get('/_sim/stats')->{in_flight} > 50 });
$admin->ok("ALTER SERVER bill24 OPTIONS (SET max_in_flight '2')");
$sim->post('/_sim/config', { latency_ms => 0 });
comes($admin, "SELECT count(*) FROM bill24.customer WHERE sync_code LIKE 'H%' AND synced_at IS NOT NULL", 300, 'fewer in flight: all are read');

# ---- jobs first ------------------------------------------------------------------------------

$admin->ok("ALTER SERVER bill24 OPTIONS (SET max_in_flight '8')");
$sim->post('/_sim/config', { latency_ms => 50 });
my $looks_before = looked();
$admin->ok("BEGIN; SELECT bill24_refresh(array(SELECT sync_code FROM bill24.tracked)); SELECT count(bill24_enqueue('create_customer', jsonb_build_object('sync_code', 'J' || n, 'name', 'j'))) FROM generate_series(1, 200) n; COMMIT");
wait_until('jobs are done', sub { $admin->ok("SELECT count(*) FROM bill24.outbox WHERE key LIKE 'J%' AND state = 'done'") >= 150 });
my $looks_meanwhile = looked() - $looks_before;
cmp_ok($looks_meanwhile, '<=', 60, "of 150 jobs and $looks_meanwhile looks, jobs came first");
comes($admin, "SELECT count(*) FROM bill24.outbox WHERE state <> 'done'", 0, 'all are done');
$sim->post('/_sim/config', { latency_ms => 0 });
comes($admin, "SELECT count(*) FROM bill24.tracked WHERE wanted_at > read_at", 0, 'and then all looks are made', 30);
comes($admin, "SELECT count(*) FROM bill24.customer WHERE sync_code LIKE 'J%' AND synced_at IS NOT NULL", 200, 'also at those that were created', 30);

# ---- two workers --------------------------------------------------------------------------------

$admin->ok('ALTER SYSTEM SET bill24.workers = 2; SELECT pg_reload_conf()');
enqueue($admin, 'create_customer', { sync_code => 'two', name => 'two' });
comes($admin, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'bill24 worker' AND datname = current_database()", 2, 'two workers');
my $holder = "SELECT l.pid FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE backend_type = 'bill24 worker' AND locktype = 'advisory' AND objsubid = 2424 AND classid = 0 AND objid = 1 AND l.granted";
foreach my $how ('terminate', 'kill -9', 'one worker')
{
	others_go_on($witness, "$how, before");
	my @pids = split(/\n/, $admin->ok($holder));
	is(scalar(@pids), 1, 'one of them looks');
	my $before = looked();
	$sim->post('/_sim/config', { latency_ms => 20 });
	$admin->ok('SELECT bill24_refresh(array(SELECT sync_code FROM bill24.tracked))');
	wait_until('looks are under way', sub { looked() > $before + 20 });
	if ($how eq 'kill -9')
	{
		kill('KILL', $pids[0]);
		wait_until('the worker is gone', sub { !kill(0, $pids[0]) });
		connect_again();
	}
	elsif ($how eq 'one worker')
	{
		$admin->ok('ALTER SYSTEM SET bill24.workers = 1; SELECT pg_reload_conf()');
	}
	else
	{
		$admin->ok("SELECT pg_terminate_backend($pids[0])");
	}
	$sim->post('/_sim/config', { latency_ms => 0 });
	comes($admin, "SELECT count(*) FROM bill24.tracked WHERE wanted_at > read_at", 0, "$how: looks go on", 40);
	isnt($admin->ok($holder), $pids[0], "$how: by another") if $how ne 'one worker';
	others_go_on($witness, $how);
}
is($admin->ok("SELECT count(*) FROM bill24.tracked WHERE sqlstate IS NOT NULL"), 0, 'nothing is left that failed');
is($admin->ok('SELECT count(*) FROM bill24.tracked t WHERE look_group IS NOT NULL AND NOT EXISTS (SELECT FROM bill24.look_group g WHERE g.id = t.look_group)'), 0, 'nor without a group');

done_testing();
