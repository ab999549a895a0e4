
# An old dump that is restored into the database that it is from brings jobs
# back that were delivered meanwhile: nothing is delivered until somebody says so.

use strict;
use warnings;

use Bill24Outbox;
use Bill24Session;
use Bill24Test;
use Test::More;

my $sim = start_simulator();
my $node = new_node('main');
my $session;

# How long workers stay that have nothing to do; of those that are there, too.
sub idle_timeout
{
	$node->safe_psql('postgres', "ALTER SYSTEM SET bill24.worker_idle_timeout = '$_[0]'");
	$node->reload;
	return;
}

sub connect_again
{
	$session->end if defined $session;
	$session = Bill24Session->new($node, database => 'orig');
	return;
}

sub customer { return { sync_code => $_[0], name => $_[1] // $_[0] }; }

sub log_text
{
	open(my $file, '<', $node->logfile) or die;
	local $/;
	return scalar <$file>;
}

my $message = 'the outbox was copied from another database or restored from a dump, and delivers nothing';
my $state = "SELECT state FROM bill24.worker WHERE database = 'orig'";
my $config = "SELECT string_agg(c::regclass::text, ', ') FROM pg_extension e, unnest(e.extconfig) c"
  . " JOIN pg_class r ON r.oid = c WHERE e.extname = 'bill24' AND r.relkind = 'r'";

$node->safe_psql('postgres', 'CREATE DATABASE orig');
setup_account($node, $sim, database => 'orig', options => { retry_delay => '20ms', circuit_failures => 0 });
connect_again();
my $made = enqueue($session, 'create_customer', customer('A1'));
becomes($session, $made, 'done', 'a customer');
$sim->post('/_sim/fault', { kind => 'status', status => 429, retry_after => 3600, match => '"dumped"' });
my $job = enqueue($session, 'update_customer', customer('A1', 'dumped'));
comes($session, "SELECT state, attempts FROM bill24.outbox WHERE id = $job", 'queued|1', 'a job that waits for its time');

my $dump = Bill24Session::scratch() . '/dump';
is(system('pg_dump', '-Fc', '-f', $dump, '-d', $node->connstr('orig')), 0, 'pg_dump');
$session->ok("SELECT bill24_retry($job)");
becomes($session, $job, 'done', 'it is delivered after the dump');

# What is no restore makes no difference.
$session->ok($_) foreach 'VACUUM FREEZE bill24.home', 'VACUUM FULL bill24.home', 'BEGIN; SAVEPOINT s; SELECT bill24_adopt_outbox(); COMMIT',
  'VACUUM FULL bill24.home', 'VACUUM FREEZE bill24.home', 'DO $$BEGIN PERFORM bill24_adopt_outbox(); EXCEPTION WHEN division_by_zero THEN END$$';
becomes($session, enqueue($session, 'update_customer', customer('A1', 'vacuumed')), 'done', 'the outbox is at home through VACUUM');
my $effects = 'create(A1) update(dumped) update(vacuumed)';
is(effects($sim, 'A1'), $effects, 'once each');

sub restore
{
	my (@options) = @_;

	is(system('pg_restore', '-d', $node->connstr('orig'), @options, $dump), 0, "pg_restore @options");
	return;
}

my %restored = (
	'pg_restore --clean' => sub { restore('--clean', '--if-exists'); },
	'DROP EXTENSION, pg_restore' => sub {
		$session->ok('DROP EXTENSION bill24 CASCADE; DROP SCHEMA IF EXISTS bill24 CASCADE');
		restore();
	},
	'TRUNCATE, pg_restore --data-only' => sub {
		$session->ok('TRUNCATE ' . $session->ok($config));
		restore('--data-only');
	},
	'TRUNCATE of all but the home, pg_restore --data-only' => sub {
		$session->ok('TRUNCATE ' . ($session->ok($config) =~ s/, bill24\.home|bill24\.home, //r));
		restore('--data-only');
	});

foreach my $how (sort keys %restored)
{
	my $length = length(log_text());

	$restored{$how}->();
	connect_again();
	is(job($session, $job, 'state, attempts'), 'queued|1', "$how: the job is back");
	comes($session, $state, 'away', 'bill24.worker tells that it will stay');
	is($session->ok("SELECT bill24_retry($job)"), $job, 'it is due');
	ok(comes_true(sub { substr(log_text(), $length) =~ /(WARNING|LOG):  \Q$message\E\n.*HINT:  .*bill24_adopt_outbox/ }, 10), 'the log tells, and what to do');
	my $refused = $session->query('CALL bill24_work()');
	is($refused->{sqlstate}, '55000', 'CALL bill24_work()');
	like($refused->{error}, qr/\Q$message\E.*HINT:  .*bill24_adopt_outbox/s, 'tells, too');
	is(job($session, $job, 'state, attempts'), 'queued|1', 'it is not delivered');
	is(effects($sim, 'A1'), $effects, 'really');

	# whether there is a worker or not
	idle_timeout('0');
	comes($session, "SELECT pid IS NULL, state FROM bill24.worker WHERE database = 'orig'", 't|away', 'the worker has left, and bill24.worker tells why nothing is delivered');
	idle_timeout('5min');

	$session->ok('SELECT bill24_adopt_outbox()');
	becomes($session, $job, 'done', 'adopted: it is delivered', 15);
	$effects .= ' update(dumped)';
	is(effects($sim, 'A1'), $effects, 'once more');
	comes($session, $state, qr/^(idle|running|stopped)$/, 'the outbox is at home');
}

done_testing();
