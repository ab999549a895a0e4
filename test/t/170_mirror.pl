
# The mirror: a first sync that is interrupted, and how often customers are
# looked at.

use strict;
use warnings;

use Bill24Mirror;
use Bill24Outbox;
use Bill24Session;
use Bill24Test;
use Test::More;

my $count = $ENV{B24_MIRROR_CUSTOMERS} // 20000;
my $sim = start_simulator();
my $node = new_node('main', conf => <<'END');
restart_after_crash = on
wal_writer_delay = 10ms
END
my ($admin, $other);

sub connect_again { ($admin, $other) = connect_mirror($node, $sim); return; }

# ---- a first sync, interrupted twice ------------------------------------------

$sim->post('/_sim/seed', { prefix => 'S', count => $count, balance => 1000, wallets => 2 });
setup_account($node, $sim, options => { mirror => 'true', retry_delay => '20ms', circuit_failures => 0,
	max_in_flight => 64, sync_interval => '1h' });
connect_again();
$sim->post('/_sim/config', { latency_ms => 10 });
is(track('S', $count), $count, "$count customers are tracked");
is(track('S', 10), 0, 'once');

my $done = 'SELECT done FROM bill24.sync_progress';
my $allowed = $count;
foreach my $way ('kill -9', 'immediate')
{
	my $share = int($count * ($way eq 'immediate' ? 0.6 : 0.25));

	wait_until("$share are looked at", sub { looked() >= $share });
	wait_until('they are done', sub { $admin->ok($done) >= $share - 1000 });
	like($admin->ok('SELECT due > 0, done < tracked, rate > 0, oldest IS NOT NULL, estimated_end > now() FROM bill24.sync_progress'),
		qr/^t\|t\|t\|t\|t$/, 'progress is told');
	if ($way eq 'immediate')
	{
		$_->end foreach $admin, $other;
		$node->stop('immediate');
		$node->start;
	}
	else
	{
		my ($worker) = workers($admin);

		kill('KILL', $worker);
		wait_until('the worker is gone', sub { !kill(0, $worker) });
	}
	connect_again();
	cmp_ok($admin->ok($done), '<', $count, "$way: not all are done");
	cmp_ok($admin->ok($done), '>=', $share - 3000, 'what was done stays done');

	# in flight, read but not written, and written but not on disk
	$allowed += 64 + 512 + 1000;
}
comes_true(sub { looked() >= $count }, 300);
comes($admin, 'SELECT tracked, due, done, failed FROM bill24.sync_progress', "$count|0|$count|0", 'the sync comes to its end', 300);
my $looks_made = looked();
cmp_ok($looks_made, '>=', $count, 'all were asked for');
cmp_ok($looks_made, '<=', $allowed, 'it did not begin again');
note("$looks_made looks at $count customers");
is(equal_to_simulator('S', 'mirror and simulator have the same'), "$count|" . 2 * $count . '|0|0|0|0', 'all of them');
is($admin->ok('SELECT count(*) FROM bill24.wallet_change'), 0, 'a first look finds no changes');
is($admin->ok('SELECT count(*), sum(members) FROM bill24.look_group') =~ /^(\d+)\|$count$/ && $1 <= $count / 64 + 10 ? 1 : 0, 1,
	'all are in groups, few of which are not full');
is($admin->ok('SELECT server, customers, never_read, failing, gone, greatest_age >= median_age, newest >= oldest FROM bill24.freshness'),
	"bill24|$count|0|0|0|t|t", 'freshness');
$admin->ok("SELECT bill24_untrack(array(SELECT sync_code FROM bill24.tracked))");
is($admin->ok('SELECT (SELECT count(*) FROM bill24.customer_copy) + (SELECT count(*) FROM bill24.wallet_copy)'), 0, 'untracked: nothing is left');

# ---- how often -----------------------------------------------------------------

$sim->post('/_sim/config', { latency_ms => 0 });
$sim->post('/_sim/seed', { prefix => 'Q', count => 100, balance => 5 });
track('Q', 100);
comes($admin, 'SELECT count(*), count(look_group), min(look_interval) FROM bill24.tracked', '100|100|3600', 'quiet customers are in groups');
my $set_at = $admin->ok('SELECT clock_timestamp()');
$admin->ok("ALTER SERVER bill24 OPTIONS (SET sync_interval '3s', ADD min_sync_interval '1s')");
comes($admin, "SELECT bool_and(synced_at > '$set_at') FROM bill24.customer", 't', 'a shorter interval is that of all');
my $group_of = "SELECT look_group FROM bill24.tracked WHERE sync_code = 'Q0000007'";
my $group = $admin->ok($group_of);
my $before = looked();
$sim->post('/_sim/topup', { sync_code => 'Q0000007', amount => '0.10' });
comes($admin, "SELECT look_group IS NULL, look_interval FROM bill24.tracked WHERE sync_code = 'Q0000007'", 't|1', 'one that changes leaves its group, and is looked at soon');
is($admin->ok("SELECT balance FROM bill24.wallet WHERE sync_code = 'Q0000007'"), '5.1', 'its balance is there');
is($admin->ok("SELECT changed_at > tracked_at AND synced_at >= changed_at FROM bill24.customer JOIN bill24.tracked t USING (sync_code, server) WHERE sync_code = 'Q0000008'"), 't', 'times are in order');
comes($admin, "SELECT look_interval FROM bill24.tracked WHERE sync_code = 'Q0000007'", 2, 'less soon when it is quiet');
comes($admin, "SELECT look_interval, look_group IS NULL FROM bill24.tracked WHERE sync_code = 'Q0000007'", '3|f', 'and is in a group again');
isnt($admin->ok($group_of), $group, 'another one');
comes($admin, "SELECT bool_and(synced_at > '" . $admin->ok('SELECT clock_timestamp()') . "') FROM bill24.customer", 't', 'all are looked at again');
cmp_ok(looked() - $before, '>=', 100, 'really');
is($admin->ok("SELECT count(*) FROM bill24.wallet_change"), 1, 'one change');
is($admin->ok("SELECT sync_code, server, currency, old_balance, new_balance FROM bill24.wallet_change"), 'Q0000007|bill24|KHR|5|5.1', 'that one');

# a group of which few are left
my ($big) = split(/\n/, $admin->ok("SELECT id FROM bill24.look_group WHERE members >= 60"));
my @members = split(/\n/, $admin->ok("SELECT sync_code FROM bill24.tracked WHERE look_group = $big"));
cmp_ok(scalar(@members), '>=', 60, 'a full group');
$sim->post('/_sim/topup', { sync_code => $_, amount => 1 }) foreach @members[0 .. $#members - 8];
comes($admin, "SELECT count(*) FROM bill24.look_group WHERE id = $big", 0, 'a group of which few are left is dissolved');
comes($admin, "SELECT count(*) FROM bill24.wallet WHERE balance IN (6, 6.1)", @members - 8, 'the changes are there');
comes($admin, 'SELECT count(*), count(look_group) FROM bill24.tracked', '100|100', 'all are in groups again');
is($admin->ok('SELECT count(*) FROM bill24.tracked t WHERE NOT EXISTS (SELECT FROM bill24.look_group g WHERE g.id = t.look_group)'), 0, 'which are there');
comes($admin, 'SELECT count(*) FROM bill24.look_group g WHERE NOT EXISTS (SELECT FROM bill24.tracked t WHERE t.look_group = g.id)', 0, 'and none is empty');
comes($admin, "SELECT bool_and(synced_at > '" . $admin->ok('SELECT clock_timestamp()') . "') FROM bill24.customer", 't', 'and it goes on');
equal_to_simulator('Q', 'with the same');

# a change of which a later look tells nothing new is told once
is($admin->ok('SELECT count(*) FROM bill24.wallet_change'), @members - 7, 'each change was noted once');

done_testing();
