
# Before the first byte of a job is sent, its attempt is on disk, whatever
# synchronous_commit says: a server that crashes while the provider is at it
# knows of it afterwards, and finds out what became of it.

use strict;
use warnings;

use Bill24Outbox;
use Bill24Session;
use Bill24Test;
use Test::More;

# The WAL writer would save what was committed asynchronously: it sleeps.
my $conf = <<'END';
synchronous_commit = off
wal_writer_delay = 10s
wal_writer_flush_after = 1GB
autovacuum = off
END

my $sim = start_simulator();
my $node = new_node('main', conf => $conf);
setup_account($node, $sim, options => { retry_delay => '20ms', circuit_failures => 0, request_timeout => '60s' });
my $admin;

# Starts the server, with or without somebody to deliver.
sub start
{
	my (%opt) = @_;

	$node->append_conf('postgresql.conf', "shared_preload_libraries = '" . ($opt{workers} ? 'bill24' : '') . "'\n");
	$node->start;
	$admin = Bill24Session->new($node);
	return;
}

sub stop
{
	$admin->end;
	$node->stop($_[0]);
	return;
}

sub of_job { return "SELECT state, attempts FROM bill24.outbox WHERE id = $_[0]"; }

$node->safe_psql('postgres', 'ALTER DATABASE postgres SET synchronous_commit = off;'
	  . ' ALTER ROLE postgres SET synchronous_commit = off;'
	  . ' ALTER ROLE postgres IN DATABASE postgres SET synchronous_commit = off');
$admin = Bill24Session->new($node);
is($admin->ok('SHOW synchronous_commit'), 'off', 'synchronous_commit is off');

foreach my $by ('worker', 'procedure')
{
	foreach my $operation ('create_customer', 'settle_payment')
	{
		# the effect is at once, or never
		foreach my $kind ('delay', 'drop_before')
		{
			my $name = "$by, $operation, $kind";
			my $key = "$by-$operation-$kind-";
			my $request = { sync_code => $key, name => 'new' };
			my $counter = 'created';
			my $session;

			if ($operation eq 'settle_payment')
			{
				$sim->post('/_sim/seed', { prefix => $key, count => 1, balance => 1000 });
				$request = settlement("R-$key", "${key}0000001");
				$key = "R-$key";
				$counter = 'charges';
			}
			stop('fast');
			start(workers => $by eq 'worker');
			$admin->ok('CHECKPOINT');
			$sim->post('/_sim/fault', { kind => $kind, ms => 60000, match => "\"$key\"" });
			my $id = enqueue($admin, $operation, $request);
			if ($by eq 'procedure')
			{
				$session = Bill24Session->new($node);
				$session->send('CALL bill24_work()');
			}
			requests_wait($sim, 1);
			stop('immediate');
			$session->end if $session;
			is(of_kind($sim, $key, $counter), $kind eq 'delay' ? 1 : 0, "$name: the provider " . ($kind eq 'delay' ? 'did it' : 'did nothing yet'));
			$sim->post('/_sim/clear_faults');

			start(workers => 0);
			is($admin->ok(of_job($id)), 'sending|1', 'after a crash the attempt is known');
			stop('fast');
			start(workers => 1);
			comes($admin, of_job($id), $kind eq 'delay' ? 'done|2' : 'done|3', 'it is looked up, and done');
			is(of_kind($sim, $key, $counter), 1, 'with one effect');
		}
	}
}

# What makes the tests above tell anything: here, a commit may get lost, if
# nothing else happens to be flushed in that moment.
my $is_lost = 0;

for my $try (1 .. 10)
{
	stop('fast');
	start(workers => 0);
	$admin->ok("CHECKPOINT; CREATE TABLE t$try (i int)");
	$admin->ok("INSERT INTO t$try VALUES (1)");
	stop('immediate');
	start(workers => 0);
	$is_lost = $admin->query("SELECT count(*) FROM t$try")->{sqlstate} eq '42P01';
	last if $is_lost;
}
ok($is_lost, 'what else was committed is lost');

stop('fast');
done_testing();
