
# The mirror on a standby, in a dump, and in a copy of a database.

use strict;
use warnings;

use Bill24Outbox;
use Bill24Session;
use Bill24Test;
use Test::More;

my $sim = start_simulator();
my $node = new_node('main', init => [ allows_streaming => 1 ]);
my %session;

sub in
{
	my ($database) = @_;

	return $session{$database} //= Bill24Session->new($node, database => $database);
}

sub hang_up
{
	$_->end foreach values %session;
	%session = ();
	return;
}

sub looked { return $sim->get('/_sim/stats')->{by_path}{'/customer/get_customer_detail'} // 0; }

$node->safe_psql('postgres', 'CREATE DATABASE orig');
setup_account($node, $sim, database => 'orig', options => { mirror => 'true', retry_delay => '20ms', circuit_failures => 0, sync_interval => '1h' });
$sim->post('/_sim/seed', { prefix => 'C', count => 70, balance => 10, wallets => 2 });
in('orig')->ok("SELECT bill24_track(array(SELECT 'C' || to_char(n, 'FM0000000') FROM generate_series(1, 70) n))");
comes(in('orig'), 'SELECT count(look_group) FROM bill24.tracked', 70, 'customers in groups');
$sim->post('/_sim/topup', { sync_code => 'C0000001', amount => 5 });
in('orig')->ok("SELECT bill24_refresh('{C0000001}')");
comes(in('orig'), "SELECT count(*) FROM bill24.wallet WHERE sync_code = 'C0000001' AND balance = 15", 1, 'one of which changes');

my $tracked = 'SELECT count(*), min(sync_code), max(sync_code), count(DISTINCT owner) FROM bill24.tracked';
my $changes = 'SELECT sync_code, server, number, id, currency, old_balance, new_balance, seen_at FROM bill24.wallet_change ORDER BY number';
my $changed = in('orig')->ok($changes);
my $all = "SELECT string_agg(w::text, ',' ORDER BY sync_code, id) FROM bill24.wallet w";
like($changed, qr/^C0000001\|bill24\|\d+\|[^|]+\|KHR\|10\|15\|/, 'the change');

# ---- a standby ---------------------------------------------------------------------

{
	$node->backup('copy');
	my $standby = new_node('standby', start => 0);
	if ($standby->can('init_from_backup'))
	{
		system('rm', '-rf', $standby->data_dir);
		$standby->init_from_backup($node, 'copy', has_streaming => 1);
		$standby->start;
		$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
		my $session = Bill24Session->new($standby, database => 'orig');

		is($session->ok($all), in('orig')->ok($all), 'a standby has the wallets, with their ages');
		foreach my $view (qw(customer wallet wallet_change freshness sync_progress drift))
		{
			is($session->ok("SELECT count(*) FROM bill24.$view"), in('orig')->ok("SELECT count(*) FROM bill24.$view"), "and $view");
		}
		is($session->ok("SELECT count(*) FROM bill24_wallet_balance('C0000001', '1 hour')"), 2, 'balances that are fresh enough');
		is($session->query("SELECT $_")->{sqlstate}, '25006', "no $_") foreach "bill24_track('{X}')", "bill24_refresh('{C0000001}')", "bill24_untrack('{C0000001}')";
		$session->end;
		$standby->stop;
	}
}

# ---- copies ---------------------------------------------------------------------------

foreach my $how ('pg_dump', 'TEMPLATE')
{
	my $name = lc($how);

	hang_up();
	if ($how eq 'TEMPLATE')
	{
		$node->safe_psql('postgres', "CREATE DATABASE $name TEMPLATE orig");
	}
	else
	{
		my $dump = Bill24Session::scratch() . '/dump.sql';

		$node->safe_psql('postgres', "CREATE DATABASE $name TEMPLATE template0");
		is(system('pg_dump', '-f', $dump, '-d', $node->connstr('orig')), 0, 'pg_dump');
		is(system('psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-o', '/dev/null', '-f', $dump, '-d', $node->connstr($name)), 0, 'psql');
	}
	is(in($name)->ok($tracked), '70|C0000001|C0000070|1', "$how: who is tracked");
	is(in($name)->ok($changes), in('orig')->ok($changes), "$how: and the changes");
	is(in($name)->ok('SELECT (SELECT count(*) FROM bill24.customer_copy), (SELECT count(*) FROM bill24.wallet_copy), (SELECT count(*) FROM bill24.look_group) > 0'),
		$how eq 'TEMPLATE' ? '70|140|t' : '0|0|f', $how eq 'TEMPLATE' ? 'and the copies' : 'but not what can be read again');
	my $before = looked();
	in($name)->ok('SELECT bill24.wake()');
	comes(in($name), "SELECT state FROM bill24.worker WHERE database = '$name'", 'away', "$how: it is not at home");
	ok(!comes_true(sub { looked() != $before }, 1), "$how: nobody is looked at");

	# meanwhile
	$sim->post('/_sim/topup', { sync_code => 'C0000002', amount => 1 });
	$sim->post('/_sim/remove_customer', { sync_code => $how eq 'TEMPLATE' ? 'C0000004' : 'C0000003' });
	in($name)->ok('SELECT bill24_adopt_outbox()');
	my $new = in('orig')->ok("SELECT balance FROM bill24.wallet WHERE sync_code = 'C0000002' ORDER BY id LIMIT 1");
	comes(in($name), 'SELECT due FROM bill24.sync_progress', 0, "$how: adopted: all are looked at");
	cmp_ok(looked() - $before, '>=', 70, "$how: really");
	is(in($name)->ok("SELECT count(*) FROM bill24.customer WHERE synced_at IS NOT NULL AND sqlstate IS NULL"), $how eq 'TEMPLATE' ? 70 : 69, "$how: and read, if they are there");
	is(in($name)->ok("SELECT count(*) FROM bill24.wallet WHERE sync_code = 'C0000002' AND balance > 10"), 1, "$how: with what is new");
	if ($how eq 'TEMPLATE')
	{
		is(in($name)->ok("SELECT deleted_at IS NOT NULL, (SELECT count(*) FROM bill24.wallet WHERE sync_code = 'C0000004' AND deleted_at IS NULL) FROM bill24.customer WHERE sync_code = 'C0000004'"), 't|0', 'what is gone since is gone');
		is(in($name)->ok("SELECT count(*) FROM bill24.wallet_change WHERE sync_code IN ('C0000002', 'C0000004')"), 3, 'and what has changed since is noted');
	}
	else
	{
		is(in($name)->ok("SELECT deleted_at, sqlstate FROM bill24.customer WHERE sync_code = 'C0000003'"), '|KH404', 'of what is gone nothing is known');
		is(in($name)->ok($changes), in('orig')->ok($changes), 'and no changes are');
	}
	is(in($name)->ok('SELECT count(*) FROM bill24.wallet_change WHERE number <= (SELECT last_value FROM bill24.wallet_change_number_seq)'), in($name)->ok('SELECT count(*) FROM bill24.wallet_change'), "$how: numbers go on");
	isnt(in($name)->ok('SELECT id FROM bill24.mirror_id'), in('orig')->ok('SELECT id FROM bill24.mirror_id'), "$how: it is a mirror of its own");
	is(in($name)->ok('SELECT count(*) FROM bill24.look_group, bill24.mirror_id m WHERE look_group.id <= m.id'), '0', "$how: with its own groups");
	in($name)->ok("SELECT bill24_untrack('{C0000003}')");
	comes(in($name), 'SELECT count(*) FROM bill24.tracked t WHERE look_group IS NOT NULL AND NOT EXISTS (SELECT FROM bill24.look_group g WHERE g.id = t.look_group)', 0, "$how: groups are there");
}

done_testing();
