
# Which job of the outbox has its turn, and when: with very many of another
# server.

use strict;
use warnings;

use Bill24Outbox;
use Bill24Session;
use Bill24Test;
use Test::More;

my $sim = start_simulator();
my $node = new_node('main');
my %quick = (retry_delay => '20ms', circuit_failures => 0);

setup_account($node, $sim, options => {%quick});
my $admin = Bill24Session->new($node);

sub customer { return { sync_code => $_[0], name => $_[1] // $_[0] }; }

# ---- a server that has very many jobs, and takes none ----------------------------------

{
	# of blocks, since what an index skips over is not counted in rows
	my $read = q{SELECT idx_blks_read + idx_blks_hit FROM pg_statio_user_indexes WHERE indexrelname = 'outbox_due'};
	my $rounds = 30;

	setup_account($node, $sim, server => 'slow', options => { %quick, max_in_flight => 1, request_timeout => '5min' });
	$sim->post('/_sim/fault', { kind => 'hang', match => '"slow0"' });
	my $first = enqueue($admin, 'create_customer', customer('slow0'), 'slow');
	becomes($admin, $first, 'sending', 'one hangs');
	$node->safe_psql('postgres', "INSERT INTO bill24.outbox (server, operation, key, request, owner)"
		  . " SELECT 'slow', 'create_customer', 'slow' || i, jsonb_build_object('sync_code', 'slow' || i, 'name', 's'), 'postgres'"
		  . ' FROM generate_series(1, 100000) i');
	$admin->ok('SELECT bill24.wake()');
	becomes($admin, enqueue($admin, 'create_customer', customer('quick')), 'done', 'another server is delivered');
	my $before = $admin->ok($read);
	foreach my $i (1 .. $rounds)
	{
		$admin->ok('SELECT bill24.wake()');
		my $id = enqueue($admin, 'create_customer', customer("quick$i"));
		wait_until("job $i", sub { job($admin, $id) eq 'done' });
	}
	$node->safe_psql('postgres', "DELETE FROM bill24.outbox WHERE server = 'slow' AND state = 'queued'");
	foreach my $worker (workers($admin))
	{
		# it tells at its end
		$admin->ok("SELECT pg_terminate_backend($worker)");
		wait_until('the worker ends', sub { (grep { $_ == $worker } workers($admin)) == 0 });
	}
	wait_until('it has told', sub { $admin->ok($read) > $before });
	my $blocks = $admin->ok($read) - $before;
	cmp_ok($blocks, '<', $rounds * 100, 'its jobs are not read for those of another');
	note("$blocks blocks");
	$sim->post('/_sim/clear_faults');
}

$admin->end;
$node->stop;
done_testing();
