
# Which job of the outbox has its turn, and when: while others have it locked,
# when the clock is set back, and with very many of another server.

use strict;
use warnings;

use Bill24Outbox;
use Bill24Session;
use Bill24Test;
use File::Basename;
use JSON::PP;
use Test::More;

my $sim = start_simulator();
my $clock = Bill24Session::scratch() . '/clock';
my $shim = settable_clock();
my $node = new_node('main', start => 0, conf => "max_prepared_transactions = 5\n");
my %quick = (retry_delay => '20ms', circuit_failures => 0);

start();
setup_account($node, $sim, options => {%quick});
my $admin = Bill24Session->new($node);
my $other = Bill24Session->new($node);

# A clock that can be set; undef, with the reason told, where there is none.
sub settable_clock
{
	my $shim = Bill24Session::scratch() . '/set_clock.so';

	return $shim if system($ENV{CC} // 'cc', '-shared', '-fPIC', '-O1', '-o', $shim,
		dirname(__FILE__) . '/../shim/set_clock.c', '-ldl') == 0;
	note('no clock that can be set: no C compiler');
	return;
}

sub start
{
	local $ENV{LD_PRELOAD} = join(' ', grep { defined } $ENV{LD_PRELOAD}, $shim) if $shim;
	local $ENV{SET_CLOCK} = $clock;
	$node->start;
	return;
}

# The server's clock is ahead by so many seconds.
sub set_clock
{
	open(my $out, '>', $clock) or die "could not write $clock: $!";
	print $out 'x' x $_[0];
	close($out);
	return;
}

sub customer { return { sync_code => $_[0], name => $_[1] // $_[0] }; }

# A job that hangs, and one that waits behind it.
sub one_behind
{
	my ($key) = @_;

	$sim->post('/_sim/fault', { kind => 'hang', match => "\"$key\"", effect => JSON::PP::true });
	my $head = enqueue($admin, 'create_customer', customer($key));
	becomes($admin, $head, 'sending', "$key: one is under way");
	my $behind = enqueue($admin, 'update_customer', customer($key, 'new'));
	becomes($admin, $behind, 'waiting', 'one waits behind it');
	return ($head, $behind);
}

# ---- what waits is locked when it could go on ------------------------------------------

# How often all was looked over, as far as the worker has told.
sub looked_over
{
	return $admin->ok(q{SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'outbox_waiting'});
}

foreach my $how ('ROLLBACK PREPARED', 'COMMIT PREPARED', 'a row lock', 'an update')
{
	(my $key = $how) =~ tr/A-Za-z//cd;
	my ($head, $behind) = one_behind($key);

	$other->ok('BEGIN');
	if ($how =~ /PREPARED/)
	{
		$other->ok("SELECT bill24_cancel($behind)");
		$other->ok("PREPARE TRANSACTION 'p'");
	}
	else
	{
		$other->ok($how eq 'a row lock' ? "SELECT FROM bill24.outbox WHERE id = $behind FOR UPDATE" :
			  "UPDATE bill24.outbox SET error = 'mine' WHERE id = $behind");
	}
	$sim->post('/_sim/clear_faults');
	becomes($admin, $head, 'done', "$how: the first one ends");
	my $before = looked_over();
	wait_until('it is looked for again and again', sub { looked_over() >= $before + 7 });
	is(job($admin, $behind), 'waiting', 'the second is locked');
	$other->ok($how =~ /PREPARED/ ? "$how 'p'" : $how eq 'an update' ? 'COMMIT' : 'ROLLBACK');
	becomes($admin, $behind, $how eq 'COMMIT PREPARED' ? 'cancelled' : 'done', 'and goes on when it is free');
}

{
	$sim->post('/_sim/fault', { kind => 'hang', match => '"left"', effect => JSON::PP::true });
	my $left = enqueue($admin, 'create_customer', customer('left'));
	becomes($admin, $left, 'sending', 'one is under way');
	$other->ok("BEGIN; SELECT FROM bill24.outbox WHERE id = $left FOR UPDATE");
	my ($worker) = workers($admin);
	$admin->ok("SELECT pg_terminate_backend($worker)");
	wait_until('there is another worker', sub { ((workers($admin))[0] // $worker) != $worker });
	my $before = looked_over();
	wait_until('it looks for what is left behind', sub { looked_over() >= $before + 3 });
	is(job($admin, $left), 'sending', 'that is locked');
	$other->ok('ROLLBACK');
	becomes($admin, $left, 'done', 'and found when it is free');
	$sim->post('/_sim/clear_faults');
}

# longer than there ever is between two
ok(comes_true(sub { my $was = looked_over(); sleep(11); return looked_over() == $was; }, 60), 'when nothing is locked any more, there is an end of it');

# ---- jobs to wait for ------------------------------------------------------------------------

# A job that is asked to come back after so many seconds.
sub held
{
	my ($key, $seconds) = @_;

	$sim->post('/_sim/fault', { kind => 'status', status => 429, retry_after => $seconds, match => "\"$key\"" });
	my $id = enqueue($admin, 'create_customer', customer($key));
	comes($admin, "SELECT state, attempts FROM bill24.outbox WHERE id = $id", 'queued|1', "$key is held");
	return $id;
}

{
	my $head = held('W1', 3600);
	my @behind = map { enqueue($admin, 'update_customer', customer('W1', "n$_")) } 1 .. 2;
	my $else = held('W2', 3600);

	becomes($admin, $_, 'waiting', 'one waits') foreach @behind;
	foreach my $what ("bill24_retry($head)", "bill24_cancel($head)")
	{
		foreach my $job (@behind)
		{
			$other->ok("BEGIN; SELECT $what");
			is($other->query("SELECT bill24_wait($job, '1 min')")->{sqlstate}, '55000', "$what, and to wait for what is behind it");
			$other->ok('ROLLBACK');
		}
	}
	$other->ok("BEGIN; SELECT bill24_retry($head)");
	is($other->ok("SELECT bill24_wait($else, '10 ms')"), 'queued', 'one of another key can be waited for');
	$other->ok("ROLLBACK; BEGIN; SELECT bill24_retry($else); SAVEPOINT s; SELECT bill24_retry($head); ROLLBACK TO s");
	is($other->ok("SELECT bill24_wait($behind[1], '10 ms')"), 'waiting', 'as can what was changed and is not any more');
	$other->ok("ROLLBACK; BEGIN; SELECT bill24_retry($else)");
	is($other->ok("SELECT bill24_wait($behind[1], '10 ms')"), 'waiting', 'or was changed in another transaction');
	$other->ok('ROLLBACK');
	$other->ok("SELECT bill24_retry($head)");
	is($other->ok("SELECT bill24_wait($behind[1], '1 min')"), 'done', 'committed, it can be waited for');
	$admin->ok("SELECT bill24_cancel($else)");
}

# ---- a clock that is set back -----------------------------------------------------------------

SKIP:
{
	set_clock(3600);
	skip 'the clock cannot be set', 1
	  if $admin->ok("SELECT clock_timestamp() > to_timestamp(${\ time}) + interval '30 min'") ne 't';

	my $third = Bill24Session->new($node);
	my $again = held('K1', 3600);
	my $soon = held('K2', 3);

	$other->ok("BEGIN; SELECT bill24_retry($again)");
	$third->ok('BEGIN');
	my $new = enqueue($third, 'create_customer', customer('K3'));
	set_clock(0);
	$third->ok('COMMIT');
	becomes($admin, $new, 'done', 'enqueued before the clock was set back');
	becomes($admin, $soon, 'done', 'to be tried again in three seconds');
	$other->ok('COMMIT');
	becomes($admin, $again, 'done', 'tried again by hand');

	# nobody is there when it is set
	$admin->ok("ALTER SYSTEM SET bill24.worker_idle_timeout = '10ms'; SELECT pg_reload_conf()");
	set_clock(3600);
	$soon = held('K4', 3);
	wait_until('no worker is there', sub { !workers($admin) });
	is($admin->ok("SELECT next_start_at - clock_timestamp() BETWEEN '0' AND '3.1 s' FROM bill24.worker"), 't', 'it is known when there will be one');
	set_clock(0);
	becomes($admin, $soon, 'done', 'the launcher comes in time');

	# nor when the server starts
	set_clock(3600);
	$soon = held('K5', 3);
	$again = held('K6', 3600);
	$_->end foreach $admin, $other, $third;
	$node->stop;
	set_clock(0);
	start();
	$admin = Bill24Session->new($node);
	$other = Bill24Session->new($node);
	becomes($admin, $soon, 'done', 'the server is started by a clock that was set back');
	is(job($admin, $again, "state, next_attempt_at - clock_timestamp() BETWEEN '50 min' AND '1 h'"), 'queued|t', 'who is to wait for an hour waits for one');
	$admin->ok("SELECT bill24_cancel($again)");
	$admin->ok("ALTER SYSTEM RESET bill24.worker_idle_timeout; SELECT pg_reload_conf()");
}

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

$_->end foreach $admin, $other;
$node->stop;
done_testing();
