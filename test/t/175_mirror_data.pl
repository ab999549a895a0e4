
# What the mirror keeps: copies after a restore in place, and what calls that are
# written while the worker looks must not leave behind.

use strict;
use warnings;

use Bill24Outbox;
use Bill24Session;
use Bill24Test;
use Test::More;

my $sim = start_simulator();
my $node = new_node('main');
my $admin;

$node->safe_psql('postgres', 'CREATE DATABASE orig');
setup_account($node, $sim, database => 'orig', options => { mirror => 'true', retry_delay => '20ms', circuit_failures => 0, sync_interval => '1h' });
sub connect_again { $admin = Bill24Session->new($node, database => 'orig'); return; }
connect_again();

# ---- a restore -----------------------------------------------------------------

my $there = "SELECT (SELECT string_agg(concat_ws(',', sync_code, name, name_kh, phone, email), ';' ORDER BY sync_code) FROM bill24.customer WHERE synced_at IS NOT NULL),
	(SELECT string_agg(concat_ws(',', sync_code, id, name, balance, currency), ';' ORDER BY sync_code, id) FROM bill24.wallet WHERE deleted_at IS NULL)";
my $changes = 'SELECT sync_code, number, old_balance, new_balance FROM bill24.wallet_change ORDER BY number';
my $dir = Bill24Session::scratch();

$sim->post('/_sim/seed', { prefix => 'C', count => 70, balance => 10, wallets => 2 });
$admin->ok("SELECT bill24_track(array(SELECT 'C' || to_char(n, 'FM0000000') FROM generate_series(1, 70) n))");
comes($admin, 'SELECT count(look_group) FROM bill24.tracked', 70, 'customers in groups');

# The groups are there again, and nobody waits for one that is not.
sub all_is_well
{
	my ($how, $all, $noted) = @_;

	comes($admin, 'SELECT due, done, failed, (SELECT count(*) >= 60 FROM bill24.tracked WHERE look_group IS NOT NULL) FROM bill24.sync_progress', '0|70|0|t', "$how: all are read");
	is($admin->ok($there), $all, "$how: and all is there");
	is($admin->ok($changes), $noted, "$how: what was not there is no change");
	is($admin->ok('SELECT count(*) FROM bill24.tracked t WHERE look_group IS NOT NULL AND NOT EXISTS (SELECT FROM bill24.look_group g WHERE g.id = t.look_group)'), 0, "$how: groups are there");
	return;
}

sub run
{
	my (@command) = @_;

	return is(system(@command), 0, $command[0]);
}

foreach my $how ('DROP EXTENSION', 'pg_restore --clean', 'unnoticed')
{
	# two are looked at alone
	$sim->post('/_sim/topup', { sync_code => $_, amount => 5 }) foreach 'C0000001', 'C0000002';
	my $known = $admin->ok($changes);
	$admin->ok("SELECT bill24_refresh('{C0000001,C0000002}')");
	comes($admin, 'SELECT count(*) FROM bill24.wallet_change', 2 + ($known =~ tr/\n//) + ($known ne ''), "$how: two change");
	comes($admin, 'SELECT count(*) >= 60 FROM bill24.tracked WHERE look_group IS NOT NULL', 't', "$how: the others are in groups");
	$admin->ok("ALTER SERVER bill24 OPTIONS (SET mirror 'false')");
	my $all = $admin->ok($there);
	my $noted = $admin->ok($changes);
	my $old_groups = $admin->ok('SELECT max(id) FROM bill24.look_group');

	if ($how eq 'DROP EXTENSION')
	{
		run('pg_dump', '-f', "$dir/dump.sql", '-d', $node->connstr('orig'));
		$admin->ok('DROP EXTENSION bill24 CASCADE; DROP SCHEMA IF EXISTS bill24 CASCADE');
		$admin->end;
		run('psql', '-X', '-q', '-o', '/dev/null', '-f', "$dir/dump.sql", '-d', $node->connstr('orig'));
	}
	elsif ($how eq 'pg_restore --clean')
	{
		run('pg_dump', '-Fc', '-f', "$dir/dump.bin", '-d', $node->connstr('orig'));
		$admin->end;
		run('pg_restore', '--clean', '-d', $node->connstr('orig'), "$dir/dump.bin");
	}
	else
	{
		# what a restore comes to, where nothing else could tell that it was one
		$admin->ok(q{BEGIN; DELETE FROM bill24.wallet_copy; DELETE FROM bill24.customer_copy; DELETE FROM bill24.look_group;
			UPDATE bill24.mirror_id SET id = id / 2; SELECT setval('bill24.look_group_id_seq', id) FROM bill24.mirror_id; COMMIT});
		$admin->end;
	}
	connect_again();
	is($admin->ok('SELECT count(read_at), count(digest), (SELECT count(*) FROM bill24.customer_copy) FROM bill24.tracked'),
		'70|70|0', "$how: what is restored tells of what is not there");
	is($admin->ok('SELECT count(*), count(synced_at) FROM bill24.customer'), '70|0', "$how: but is not believed");
	is($admin->ok('SELECT due >= 60, done FROM bill24.sync_progress'), 't|0', "$how: and is due");
	isnt($admin->ok('SELECT id / 1000 FROM bill24.mirror_id'), int($old_groups / 1000), "$how: groups have other numbers");
	$admin->ok("ALTER SERVER bill24 OPTIONS (SET mirror 'true'); SELECT bill24.wake()");
	$admin->ok('SELECT bill24_adopt_outbox()') if comes_true(sub { $admin->ok('SELECT state FROM bill24.worker WHERE database = current_database()') eq 'away' }, 1);

	# whoever is looked at alone is not due yet; a call or a person may be earlier
	$admin->ok("SELECT bill24_refresh('{C0000001,C0000050}')");
	$admin->ok("SELECT bill24_get_customer('C0000002')");
	all_is_well($how, $all, $noted);
	$sim->post('/_sim/topup', { sync_code => 'C0000050', amount => 1 });
	$admin->ok("SELECT bill24_refresh('{C0000050}')");
	comes($admin, "SELECT count(*) FROM bill24.wallet_change WHERE sync_code = 'C0000050'", 1 + (() = $known =~ /C0000050/g), "$how: what changes from then on is a change");
}

# Copies that somebody has restored, too, are what changes are told against.
$admin->ok(q{DELETE FROM bill24.look_group; UPDATE bill24.mirror_id SET id = id / 2; SELECT setval('bill24.look_group_id_seq', id) FROM bill24.mirror_id;
	UPDATE bill24.wallet_copy SET balance = 1 WHERE sync_code = 'C0000003' AND currency = 'KHR'});
my $number = $admin->ok('SELECT max(number) FROM bill24.wallet_change');
$admin->ok("SELECT bill24_refresh('{C0000003,C0000004}')");
comes($admin, "SELECT count(*) FROM bill24.customer WHERE synced_at IS NOT NULL AND sync_code IN ('C0000003', 'C0000004')", 2, 'restored with copies');
is($admin->ok("SELECT sync_code, old_balance, new_balance FROM bill24.wallet_change WHERE number > $number"), 'C0000003|1|10', 'only what differs is a change');

# ---- what calls of one transaction find ------------------------------------------

# The payloads that a session which listens was sent; a statement has them read.
sub payloads { return $_[0]->ok('SELECT') =~ /^Asynchronous notification "bill24_wallet" with payload "(.*)" received/mg; }

my $listener = Bill24Session->new($node, database => 'orig');
$listener->ok('LISTEN bill24_wallet');
$sim->post('/_sim/seed', { prefix => 'D', count => 600, balance => 10 });
my $read = "SELECT count(bill24_get_customer('D' || to_char(n, 'FM0000000'))) FROM generate_series(1, %d) n";
$admin->ok(sprintf($read, 600));
$sim->post('/_sim/topup', { sync_code => sprintf('D%07d', $_), amount => 1 }) foreach 1 .. 600;
$admin->ok(sprintf($read, 600));
my @told;
wait_until('changes are told', sub { push @told, payloads($listener); scalar @told });
is("@told", '{"server":"bill24","changes":600}', 'many changes of a transaction: how many, once');
$sim->post('/_sim/topup', { sync_code => sprintf('D%07d', $_), amount => 1 }) foreach 1 .. 100;
@told = ();
$admin->ok(sprintf($read, 600));
wait_until('changes are told', sub { push @told, payloads($listener); @told >= 100 });
is(scalar(grep { /"old_balance":11,"new_balance":12\}$/ } @told), 100, 'a hundred: each');

# Whoever listens and does not read fills the queue, which no commit fails of.
SKIP:
{
	skip 'the queue is too large to be filled', 3 if $node->safe_psql('postgres', 'SHOW server_version_num') < 170000;
	$node->append_conf('postgresql.conf', 'max_notify_queue_pages = 64');
	$admin->end;
	$listener->end;
	$node->restart;
	connect_again();
	$listener = Bill24Session->new($node, database => 'orig');
	$listener->ok('LISTEN bill24_wallet; LISTEN other; BEGIN');
	$admin->ok("SELECT pg_notify('other', repeat('x', 7000) || n) FROM generate_series(1, 40) n");
	cmp_ok($admin->ok('SELECT pg_notification_queue_usage()'), '>', 0.5, 'the queue fills');
	$sim->post('/_sim/topup', { sync_code => 'D0000001', amount => 1 });
	my $told = $admin->query("SELECT bill24_get_customer('D0000001')");
	is($told->{sqlstate}, '00000', 'a call is committed');
	like($told->{rows}, qr/WARNING:.*1 changes of balances are not told of/, 'with a warning');
	$listener->ok('COMMIT');
}

# ---- what calls find while the worker looks at the customer's group ---------------

$admin->ok('SELECT bill24.wake()');
comes($admin, 'SELECT count(*) >= 60, (SELECT due FROM bill24.sync_progress) FROM bill24.tracked WHERE look_group IN (SELECT id FROM bill24.look_group)', 't|0', 'customers in groups');
my $group = $admin->ok('SELECT look_group FROM bill24.tracked WHERE look_group IN (SELECT id FROM bill24.look_group) GROUP BY look_group ORDER BY count(*) DESC LIMIT 1');
my $first = $admin->ok("SELECT sync_code FROM bill24.tracked WHERE look_group = $group ORDER BY ctid LIMIT 1");
my $code = $admin->ok("SELECT sync_code FROM bill24.tracked WHERE look_group = $group ORDER BY ctid DESC LIMIT 1");
my $balance = $admin->ok("SELECT balance FROM bill24.wallet WHERE sync_code = '$code' AND currency = 'KHR'");
my $kept = "SELECT balance FROM bill24.wallet WHERE sync_code = '$code' AND currency = 'KHR'";

# with two places, one of which is not for looks: the first look holds up the others
$admin->ok("ALTER SERVER bill24 OPTIONS (ADD max_in_flight '2')");
$sim->post('/_sim/fault', { kind => 'delay', ms => 5000, path => '/customer/get_customer_detail', match => qq{"$first"} });
$admin->ok("UPDATE bill24.look_group SET next_look_at = now(), looked_at = NULL WHERE id = $group; SELECT bill24.wake()");
comes($admin, "SELECT in_flight_workers FROM bill24.circuit WHERE server = 'bill24'", 1, 'a group is being looked at');
$sim->post('/_sim/topup', { sync_code => $code, amount => 7 });
$admin->ok("SELECT bill24_get_customer('$code')");
is($admin->ok($kept), $balance + 7, 'a call finds a change');
$sim->post('/_sim/topup', { sync_code => $code, amount => -7 });
is($admin->ok("SELECT looked_at FROM bill24.look_group WHERE id = $group"), '', 'before the group is done');
comes($admin, $kept, $balance, 'and the worker that it was undone', 15);

$_->end foreach $listener, $admin;
$node->stop;
done_testing();
