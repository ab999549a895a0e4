
# Copies of a database deliver nothing until somebody says so; a standby that is
# promoted goes on by itself.

use strict;
use warnings;

use Bill24Outbox;
use Bill24Session;
use Bill24Test;
use Test::More;
use Time::HiRes qw(time sleep);

my $sim = start_simulator();
my $node = new_node('main', init => [ allows_streaming => 1 ]);
my %quick = (retry_delay => '20ms', circuit_failures => 0);
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

sub customer { return { sync_code => $_[0], name => $_[1] // $_[0] }; }

sub log_has
{
	my ($pattern) = @_;

	open(my $file, '<', $node->logfile) or die;
	local $/;
	return <$file> =~ $pattern;
}

# How long workers stay that have nothing to do; of those that are there, too.
sub idle_timeout
{
	$node->safe_psql('postgres', "ALTER SYSTEM SET bill24.worker_idle_timeout = '$_[0]'");
	$node->reload;
	return;
}

my $message = 'the outbox was copied from another database';

$node->safe_psql('postgres', 'CREATE DATABASE orig');
setup_account($node, $sim, database => 'orig', options => {%quick});
$sim->post('/_sim/fault', { kind => 'status', status => 429, retry_after => 3600, match => '"A1"' });
my $head = enqueue(in('orig'), 'create_customer', customer('A1'));
comes(in('orig'), "SELECT state, attempts FROM bill24.outbox WHERE id = $head", 'queued|1', 'one waits for its time');
my $later = enqueue(in('orig'), 'update_customer', customer('A1', 'later'));
becomes(in('orig'), $later, 'waiting', 'one waits for that');
my $done = enqueue(in('orig'), 'create_customer', customer('A2'));
becomes(in('orig'), $done, 'done', 'and one is done');
my $jobs = "SELECT id, server, operation, key, request, owner, state, attempts, response FROM bill24.outbox ORDER BY id";
my $there = in('orig')->ok($jobs);
is(in('orig')->ok('SELECT count(*) FROM bill24.home'), 1, 'a database knows where it belongs');

sub copy
{
	my ($how, $name) = @_;

	hang_up();
	if ($how eq 'TEMPLATE')
	{
		$node->safe_psql('postgres', "CREATE DATABASE $name TEMPLATE orig");
	}
	else
	{
		$node->safe_psql('postgres', "CREATE DATABASE $name TEMPLATE template0");
		my $dump = Bill24Session::scratch() . '/dump.sql';
		is(system('pg_dump', '-f', $dump, '-d', $node->connstr('orig')), 0, 'pg_dump');
		is(system('psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-o', '/dev/null', '-f', $dump, '-d', $node->connstr($name)), 0, 'psql');
	}
	return;
}

foreach my $how ('TEMPLATE', 'pg_dump')
{
	my $name = lc($how =~ s/\W//r) . '_copy';

	copy($how, $name);
	is(in($name)->ok($jobs), $there, "$how: the jobs are copied");
	is(in($name)->ok("SELECT bill24_retry($head)"), $head, 'one is retried there');
	my $new = enqueue(in($name), 'create_customer', customer("B$how"));
	cmp_ok($new, '>', $done, 'numbers go on');
	comes(in($name), "SELECT state FROM bill24.worker WHERE database = '$name'", 'away', 'bill24.worker tells');
	ok(comes_true(sub { log_has(qr/(WARNING|LOG):  \Q$message\E.*\n.*HINT:  .*bill24_adopt_outbox/) }, 5), 'the log, too, with what to do');
	my $refused = in($name)->query('CALL bill24_work()');
	is($refused->{sqlstate}, '55000', 'CALL bill24_work()');
	like($refused->{error}, qr/\Q$message\E.*HINT:  .*bill24_adopt_outbox/s, 'tells what to do');
	ok(!comes_true(sub { job(in($name), $head, 'attempts') != 1 || job(in($name), $new, 'attempts') != 0 }, 1), 'nothing is delivered');
	is(effects($sim, "B$how"), '', 'really');
	is(in($name)->ok("SELECT bill24_wait($head, '10 ms')"), 'queued', 'who waits waits');
	idle_timeout('0');
	comes(in($name), "SELECT pid IS NULL, state FROM bill24.worker WHERE database = '$name'", 't|away', 'bill24.worker tells also when the worker has left');
	idle_timeout('5min');

	in($name)->ok('CREATE ROLE alice') if $how eq 'TEMPLATE';
	is(in($name)->query('SET ROLE alice; SELECT bill24_adopt_outbox()')->{sqlstate}, '42501', 'not everybody can adopt it');
	in($name)->query('RESET ROLE');
	in($name)->ok('BEGIN; SELECT bill24_adopt_outbox(); ROLLBACK');
	ok(!comes_true(sub { job(in($name), $head, 'attempts') != 1 }, 0.5), 'adopted and rolled back: nothing');
	in($name)->ok('SELECT bill24_adopt_outbox()');
	becomes(in($name), $_, $_ == $new || $how eq 'TEMPLATE' ? 'done' : 'parked', 'adopted: it is delivered', 15) foreach $new, $head;
	comes(in($name), "SELECT state FROM bill24.worker WHERE database = '$name'", qr/^(idle|running)$/, 'the worker is at home');
	is(of_kind($sim, "B$how", 'created'), 1, 'once');
	my $next = enqueue(in($name), 'create_customer', customer("C$how"));
	cmp_ok($next, '>', $new, 'numbers go on');
	becomes(in($name), $next, 'done', 'and so do deliveries');
	is(in($name)->ok('CALL bill24_work()'), 0, 'CALL bill24_work() is allowed');

	# dumped and restored without the extension's knowing, and again
	is(in('orig')->ok("SELECT state FROM bill24.outbox WHERE id = $head"), 'queued', 'the original is as it was');
}
is(of_kind($sim, 'A1', 'created'), 1, 'one create in all');

# The original goes on.
becomes(in('orig'), enqueue(in('orig'), 'create_customer', customer('D1')), 'done', 'the original goes on');

# A copy of a copy, and one that is renamed.
hang_up();
$node->safe_psql('postgres', 'ALTER DATABASE orig RENAME TO renamed');
becomes(in('renamed'), enqueue(in('renamed'), 'create_customer', customer('D2')), 'done', 'a database that is renamed is the same');
in('renamed')->ok("BEGIN; DELETE FROM bill24.home; COMMIT");
in('renamed')->ok("SELECT pg_terminate_backend($_)") foreach workers(in('renamed'));
my $homeless = enqueue(in('renamed'), 'create_customer', customer('D3'));
comes(in('renamed'), "SELECT state FROM bill24.worker WHERE database = 'renamed'", 'away', 'without a home it delivers nothing');
is(job(in('renamed'), $homeless), 'queued', 'really');
in('renamed')->ok('SELECT bill24_adopt_outbox()');
becomes(in('renamed'), $homeless, 'done', 'adopted');

# ---- DROP EXTENSION, CREATE EXTENSION ----------------------------------------

in('renamed')->ok('DROP EXTENSION bill24 CASCADE; DROP SCHEMA IF EXISTS bill24 CASCADE');
setup_account($node, $sim, database => 'renamed', options => {%quick});
becomes(in('renamed'), enqueue(in('renamed'), 'create_customer', customer('E1')), 'done', 'dropped and made again');

# ---- a standby that is promoted -------------------------------------------------

SKIP:
{
	hang_up();
	$node->backup('copy');
	my $standby = new_node('standby', start => 0);
	skip 'no streaming here', 6 unless $standby->can('init_from_backup');
	system('rm', '-rf', $standby->data_dir);
	$standby->init_from_backup($node, 'copy', has_streaming => 1);
	$standby->start;
	$sim->post('/_sim/fault', { kind => 'hang', match => '"F1"' });
	my $sent = enqueue(in('renamed'), 'create_customer', customer('F1'));
	becomes(in('renamed'), $sent, 'sending', 'one is under way');
	my $onboard = { supplier_sync_code => 'F2', name => 'f' };
	$sim->post('/_sim/fault', { kind => 'hang', match => '"F2"' });
	my $unknown = enqueue(in('renamed'), 'onboard_sub_biller', $onboard);
	becomes(in('renamed'), $unknown, 'sending', 'and another');
	my $behind = enqueue(in('renamed'), 'update_customer', customer('F1', 'f'));
	$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
	my $session = Bill24Session->new($standby, database => 'renamed');
	is($session->query("SELECT bill24_retry($behind)")->{sqlstate}, '25006', 'a standby is read-only');
	is($session->query('CALL bill24_work()')->{sqlstate} =~ /^(25006|55000)$/ ? 1 : 0, 1, 'and delivers nothing');
	hang_up();
	$node->stop('immediate');
	$sim->post('/_sim/clear_faults');
	$standby->promote;
	becomes($session, $_, 'done', 'promoted: it goes on', 15) foreach $sent, $behind;
	comes($session, "SELECT state, error FROM bill24.outbox WHERE id = $unknown", qr/^parked\|.*unknown/, 'and parks what it cannot find out');
	is(effects($sim, 'F1'), 'create(F1) update(f)', 'each once');
	becomes($session, enqueue($session, 'create_customer', customer('F3')), 'done', 'new ones, too');
	$session->end;
	$standby->stop;
}

done_testing();
