
# The mirror while others are at work: what is untracked, asked for or locked
# while it is looked at, and answers that are older than what is there.

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
my %options = (mirror => 'true', retry_delay => '20ms', circuit_failures => 0, sync_interval => '1h');
my ($admin, $other);

sub connect_again { ($admin, $other) = connect_mirror($node, $sim); return; }

setup_account($node, $sim, options => {%options});
connect_again();
customers('W', 3);
my $witness = 'W0000001';

# ---- untracked, and tracked again, while it is looked at ---------------------------

customers('A', 2);
under_way('A0000001', 500);
is($admin->ok("SELECT bill24_untrack('{A0000001}')"), 1, 'untracked while it is looked at');
answered();
others_go_on($witness, 'untracked');
is($admin->ok("SELECT (SELECT count(*) FROM bill24.tracked WHERE sync_code = 'A0000001') + (SELECT count(*) FROM bill24.customer_copy WHERE sync_code = 'A0000001') + (SELECT count(*) FROM bill24.wallet_copy WHERE sync_code = 'A0000001')"), 0, 'nothing of it comes back');
track('A', 2);
comes($admin, balance('A0000001'), 100, 'tracked again: it does');
under_way('A0000001', 500);
topup('A0000001', 11);
$admin->ok("SELECT bill24_untrack('{A0000001}')");
track('A', 1);
comes($admin, balance('A0000001'), 111, 'untracked and tracked while it is looked at');
$other->ok("BEGIN; SELECT bill24_untrack('{A0000002}')");
under_way('A0000001', 100);
answered();
others_go_on($witness, 'a customer is being untracked');
$other->ok('ROLLBACK');
is($admin->ok(balance('A0000002')), 100, 'it was not, after all');
{
	my $third = Bill24Session->new($node);

	$admin->ok("SELECT bill24_untrack('{A0000001}')");
	$other->ok("BEGIN; SELECT FROM bill24.tracked WHERE sync_code = 'A0000002' FOR UPDATE");
	$third->send("SELECT bill24_untrack('{A0000001, A0000002}')");
	comes($admin, 'SELECT wait_event_type FROM pg_stat_activity WHERE pid = ' . $third->pid, 'Lock', 'a lock is waited for');
	track('A', 1);
	comes($admin, balance('A0000001'), 111, 'tracked while somebody who untracks it waits for another');
	$other->ok('ROLLBACK');
	is($third->wait->{rows}, '1', 'who then untracks that one');
	is($admin->ok("SELECT count(*) FROM bill24.wallet_copy WHERE sync_code IN ('A0000001', 'A0000002')"), 1, 'and deletes no copies but its');
	$third->end;
}

# ---- refresh while it is looked at ---------------------------------------------------

customers('B', 3);
under_way('B0000001', 1000);
topup('B0000001', 5);
refresh('B0000001');
comes($admin, balance('B0000001'), 105, 'asked for while it is looked at: it is looked at again');
under_way('B0000002', 500);
topup('B0000002', 5);
$sim->post('/_sim/fault', { kind => 'status', status => 500, path => $looks, match => '"B0000002"', count => 1 });
refresh('B0000002');
comes($admin, balance('B0000002'), 105, 'also if a look fails');

# members of a group are looked at, and one of them is asked for
$admin->ok("UPDATE bill24.tracked SET look_group = NULL, look_interval = NULL, next_look_at = clock_timestamp() WHERE sync_code LIKE 'B%'; SELECT bill24.wake()");
comes($admin, "SELECT count(look_group) FROM bill24.tracked WHERE sync_code LIKE 'B%'", 3, 'a group');
{
	my $before = looked();

	delay('B0000003', 1500);
	$admin->ok("UPDATE bill24.look_group SET next_look_at = clock_timestamp() WHERE id IN (SELECT look_group FROM bill24.tracked WHERE sync_code LIKE 'B%'); SELECT bill24.wake()");
	wait_until('the group is looked at', sub { looked() > $before && $sim->get('/_sim/stats')->{in_flight} == 1 });
	topup('B0000003', 9);
	refresh('B0000003');
	comes($admin, balance('B0000003'), 109, 'asked for while its group is looked at: looked at again');
	comes($admin, 'SELECT count(*) FROM bill24.look_group WHERE next_look_at < now()', 0, 'and no group is left behind');
}

# ---- an answer that is older than what is there ---------------------------------------

customers('C', 2);
# the effect of a delayed look is at once, so what it tells is old when it comes
under_way('C0000001', 1500);
topup('C0000001', 20);
is($admin->ok("SELECT balance FROM bill24_wallet_balance('C0000001', '0')"), 120, 'a direct call sees the new balance');
comes($admin, balance('C0000001'), 120, 'and so does the mirror');
my $number = $admin->ok('SELECT max(number) FROM bill24.wallet_change');
answered();
others_go_on($witness, 'an old answer');
is($admin->ok(balance('C0000001')), 120, 'an older answer does not overwrite it');
is($admin->ok("SELECT string_agg(old_balance || ' ' || new_balance, ', ' ORDER BY number) FROM bill24.wallet_change WHERE sync_code = 'C0000001'"), '100 120', 'nor is it noted');
# nor does a failure that is older
$sim->post('/_sim/fault', { kind => 'status', status => 500, ms => 1500, path => $looks, match => '"C0000001"', count => 1 });
refresh('C0000001');
requests_wait($sim, 1);
topup('C0000001', 1);
is($admin->ok("SELECT balance FROM bill24_wallet_balance('C0000001', '0')"), 121, 'a direct call meanwhile');
answered();
others_go_on($witness, 'an old failure');
is($admin->ok("SELECT balance, failures, sqlstate IS NULL FROM bill24.wallet JOIN bill24.tracked USING (sync_code, server) WHERE sync_code = 'C0000001'"), '121|0|t', 'an older failure is none');
# a payment while it is looked at
under_way('C0000002', 1000);
becomes($admin, enqueue($admin, 'settle_payment', settlement('R1', 'C0000002', 30)), 'done', 'a payment while it is looked at');
answered();
my $paid = $sim->get('/_sim/customers?from=C0000002&limit=1')->[0]{wallets}[0]{balance};
comes($admin, balance('C0000002'), $paid, 'the mirror has what is after it');

# ---- rows and tables that are locked -----------------------------------------------------

customers('D', 5);
$other->ok("BEGIN; SELECT FROM bill24.tracked WHERE sync_code = 'D0000001' FOR UPDATE");
$admin->ok("UPDATE bill24.tracked SET look_group = NULL, next_look_at = clock_timestamp() WHERE sync_code LIKE 'D%' AND sync_code <> 'D0000001'; UPDATE bill24.look_group SET next_look_at = now(); SELECT bill24.wake()");
topup("D000000$_", 1) foreach 1 .. 5;
$admin->ok("SELECT bill24_refresh('{D0000002, D0000003, D0000004, D0000005}')");
comes($admin, "SELECT count(*) FROM bill24.wallet WHERE sync_code LIKE 'D%' AND balance = 101", 4, 'a locked customer: others go on');
others_go_on($witness, 'a locked customer');
is($admin->ok(balance('D0000001')), 100, 'it is as it was');
$other->ok('COMMIT');
refresh('D0000001');
comes($admin, balance('D0000001'), 101, 'and is not forgotten');

foreach my $lock ("SELECT FROM bill24.wallet_copy WHERE sync_code = 'D0000002' FOR UPDATE", 'LOCK TABLE bill24.wallet_copy IN SHARE MODE', 'LOCK TABLE bill24.tracked IN EXCLUSIVE MODE')
{
	my ($row) = $lock =~ /FOR UPDATE/;
	my $errors = sub { open(my $log, '<', $node->logfile) or die; scalar grep { /canceling statement due to lock timeout/ } <$log> };
	my $before = $errors->();
	my $new = $admin->ok(balance('D0000002')) + 1;

	topup("D000000$_", 1) foreach 2 .. 5;
	$admin->ok("SELECT bill24_refresh('{D0000002, D0000003, D0000004, D0000005}')") if $row;
	$other->ok("BEGIN; $lock");
	$admin->ok("SELECT bill24_refresh('{D0000002, D0000003, D0000004, D0000005}')") if !$row && $lock !~ /tracked/;
	if ($lock =~ /tracked/)
	{
		$other->ok("SELECT bill24_refresh('{D0000002, D0000003, D0000004, D0000005}')");
		$other->ok("SELECT bill24.wake()");
	}
	wait_until('somebody meets the lock', sub { $errors->() > $before + 2 || $lock =~ /tracked/ || $admin->ok(balance('D0000002')) == $new });
	comes($admin, "SELECT count(*) FROM bill24.wallet WHERE sync_code BETWEEN 'D0000003' AND 'D0000005' AND balance = $new", 3, "$lock: others go on", 30) if $row;
	is($admin->ok("SELECT count(*) FROM bill24.tracked WHERE sqlstate = 'XX000'"), 0, "$lock: nobody is to blame");
	$other->ok('COMMIT');
	comes($admin, "SELECT count(*) FROM bill24.wallet WHERE sync_code BETWEEN 'D0000002' AND 'D0000005' AND balance = $new", 4, "$lock: all come in when it is gone", 40);
}

# one that can never be written is told, and no others are held up
$admin->ok("ALTER TABLE bill24.wallet_copy ADD CONSTRAINT poisoned CHECK (balance <> 666)");
topup("D000000$_", 666 - $admin->ok(balance("D000000$_"))) foreach 3;
topup('D0000004', 7);
my $expected = $admin->ok(balance('D0000004')) + 7;
$admin->ok("SELECT bill24_refresh('{D0000003, D0000004}')");
comes($admin, balance('D0000004'), $expected, 'a row that cannot be written: others go on');
comes($admin, "SELECT sqlstate, error FROM bill24.customer WHERE sync_code = 'D0000003'", qr/^XX000\|.*server's log/, 'it is told');
$admin->ok("ALTER TABLE bill24.wallet_copy DROP CONSTRAINT poisoned");
refresh('D0000003');
comes($admin, balance('D0000003'), 666, 'and goes on when it can be written');
is($admin->ok("SELECT sqlstate IS NULL FROM bill24.customer WHERE sync_code = 'D0000003'"), 't', 'with no error');

done_testing();
