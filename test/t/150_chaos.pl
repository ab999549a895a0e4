
# A short run of the chaos test, which "make chaos" does for long: what was
# committed happens at the provider once, whatever is killed meanwhile.

use strict;
use warnings;

use File::Basename;
use File::Temp;
use lib dirname(__FILE__) . '/../chaos';
use Bill24Chaos;
use Test::More;

my $directory = File::Temp::tempdir('chaos.XXXXXX', TMPDIR => 1, CLEANUP => 1);
my $run = Bill24Chaos->new(
	seed => $ENV{B24_CHAOS_SEED} // 1, seconds => 10, directory => $directory);

ok(eval { $run->go; 1 }, 'the run comes to its end') || diag($@);
SKIP:
{
	my $verdict = $run->{verdict} || skip('there is no verdict', 12);
	my $counts = $verdict->{counts};

	note($run->report);
	cmp_ok($counts->{intents}, '>=', 30, 'enough was committed');
	cmp_ok(scalar(keys %{ $run->{done} }), '>=', 6, 'enough was killed');
	is($counts->{lost}, 0, 'nothing is lost');
	is($counts->{doubled}, 0, 'nothing happens twice');
	is($counts->{foreign}, 0, 'nothing happens that was not committed');
	is($counts->{disorder}, 0, 'nothing happens out of order');
	is($counts->{value}, 0, 'every amount is right');
	is($counts->{state}, 0, 'the customers are the same on both sides');
	is($run->{parked}, 0, 'no job is parked');
	is($run->{failed}, 0, 'none has failed');
	is($run->{stuck}, 0, 'none is left');
	is(scalar(@{ $run->{mirror} }), 0, 'the mirror is as the provider is');
	diag($run->details(3)) if $run->failed_at_all;
}
if (!eval { $run->end; 1 } || !Test::More->builder->is_passing)
{
	my $logs = ($ENV{TESTLOGDIR} // '/tmp') . "/150_chaos.$$";

	eval { $run->keep($logs); 1 } || system('cp', '-r', $directory, $logs);
	diag("logs are in $logs");
}

done_testing();
