#!/usr/bin/perl
#
# 148_at_rest.pl: jobs that are due later cost nothing until then.
#
# A worker that is at rest sleeps: its CPU time does not change at all.

use strict;
use warnings;
use Bill24Outbox;
use Bill24Session;
use Bill24Test;
use Test::More;
use Time::HiRes qw(sleep);

sub customer { return { sync_code => $_[0], name => $_[0] }; }

my $sim = start_simulator();
my $node = new_node('main');
setup_account($node, $sim, options => { max_in_flight => 1, mirror => 'false' });
my $admin = Bill24Session->new($node);

sub cpu_time
{
	my $worker = $admin->ok("SELECT pid FROM pg_stat_activity WHERE backend_type = 'bill24 worker'");

	open(my $in, '<', "/proc/$worker/schedstat") or die "no process $worker";
	return (split(' ', <$in>))[0];
}

# The last look-over comes up to ten seconds after the last claim.
sub comes_to_rest
{
	my ($name) = @_;
	my $before = -1;

	ok(comes_true(sub {
			my $now = cpu_time();
			my $same = $now == $before;

			$before = $now;
			sleep(1) unless $same;
			return $same;
		}, 20), $name);
}

# A job that is not due for long when it is committed.
sub enqueue_for_later
{
	$admin->ok('BEGIN');
	my $id = enqueue($admin, 'create_customer', customer($_[0]));
	$admin->ok("UPDATE bill24.outbox SET next_attempt_at = now() + '1 hour', scheduled_at = now() WHERE id = $id");
	$admin->ok('COMMIT');
}

sub done_are
{
	my ($count, $name) = @_;

	comes($admin, "SELECT count(*) FROM bill24.outbox WHERE state = 'done'", $count, $name);
}

becomes($admin, enqueue($admin, 'create_customer', customer('A1')), 'done', 'a job is done');
comes_to_rest('then there is rest');
enqueue_for_later('L1');
comes_to_rest('so there is with a job that is due later');

# as many as are claimed at once: there may be more, but there are not
$admin->ok('SELECT ' . join(', ', map { enqueuing('create_customer', customer("B$_")) } 1 .. 8));
done_are(9, 'as many jobs as are claimed at once are done');
comes_to_rest('and then there is rest');

# told of a job while there is no room for more
$sim->post('/_sim/fault', { kind => 'delay', ms => 2000, path => '/customer/create' });
$admin->ok('SELECT ' . join(', ', map { enqueuing('create_customer', customer("C$_")) } 1 .. 7));
becomes($admin, $admin->ok("SELECT id FROM bill24.outbox WHERE key = 'C2'"), 'sending', 'jobs wait for one that takes its time');
enqueue_for_later('L2');
done_are(16, 'they are done when it is answered');
comes_to_rest('and with nothing due there is rest again');

done_testing();
