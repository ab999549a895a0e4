#!/usr/bin/perl
#
# chaos.pl: everything at once that must not lose, double or mix up a delivery:
# many sessions, half of whose transactions are rolled back, a provider that
# misbehaves in every way, and kill -9 of everything.  In the end each committed
# change has to have happened at the provider, once, and nothing else.
#
# To be started by "make chaos", that is by "sandbox.sh run".
#
#	B24_CHAOS_SECONDS (600)		of load, for each seed
#	B24_CHAOS_SEEDS ("1 2 3")	what is done when follows from the seed, but for
#								how fast the machine is
#	B24_CHAOS_LOGS (/tmp)		where a run that fails leaves its logs

use strict;
use warnings;

use File::Basename;
use File::Temp ();
use lib dirname(__FILE__), dirname(__FILE__) . '/../perl';
use Bill24Chaos;

my $seconds = $ENV{B24_CHAOS_SECONDS} // 600;
my @seeds = split(' ', $ENV{B24_CHAOS_SEEDS} // '1 2 3');
my $bad = 0;

$| = 1;
$SIG{$_} = sub { exit 1 } foreach qw(INT TERM HUP);
foreach my $seed (@seeds)
{
	my $directory = File::Temp::tempdir('chaos.XXXXXX', TMPDIR => 1, CLEANUP => 1);
	my $run = Bill24Chaos->new(
		seed => $seed, seconds => $seconds, directory => $directory);
	my $through = eval { $run->go; 1 };

	print $through ? $run->report : "seed $seed: FAILED: $@";
	next if $through && !$run->failed_at_all && eval { $run->end; 1 };

	# Whatever else goes wrong now, the logs are worth more.
	$bad = 1;
	my $logs = File::Temp::tempdir("bill24-chaos-$seed.XXXXXX", DIR => $ENV{B24_CHAOS_LOGS} // '/tmp');
	print $run->details(5) if $through;
	eval { $run->keep($logs); 1 } || system('cp', '-r', $directory, $logs);
	print "  logs are in $logs\n";
}
exit $bad;
