
# Results that cannot be written: the outbox is locked, a row is refused, the
# disk is full.  What was answered is kept and written when it can be; nothing
# is sent twice, and not much is sent meanwhile.

use strict;
use warnings;

use Bill24Outbox;
use Bill24Session;
use Bill24Test;
use File::Temp ();
use JSON::PP ();
use Test::More;
use Time::HiRes qw(time);

my $sim = start_simulator();
my %quick = (retry_delay => '20ms', circuit_failures => 0);
my $work = 'CALL bill24_work()';
my ($admin, $other);

sub customer { return { sync_code => $_[0], name => $_[1] // $_[0] }; }

sub sub_biller { return { supplier_sync_code => $_[0], name => 'b' }; }

sub seed
{
	my ($prefix, $balance) = @_;

	$sim->post('/_sim/seed', { prefix => $prefix, count => 1, balance => $balance // 100 });
	return $prefix . '0000001';
}

# One of each kind, of which some cannot be looked up.
sub mixed
{
	my ($p) = @_;
	my $payer = seed("${p}p");

	return ([ 'create_customer', customer("${p}c") ],
		[ 'settle_payment', settlement("${p}r", $payer) ],
		[ 'onboard_sub_biller', sub_biller("${p}b") ]);
}

sub enqueue_all { return split(/\|/, $admin->ok('SELECT ' . join(', ', map { enqueuing(@$_) } @_))); }

sub delay
{
	my ($key, $ms) = @_;

	$sim->post('/_sim/fault', { kind => 'delay', ms => $ms, match => $key, count => -1 });
	return;
}

# How many customers were made whose sync_code begins so.
sub made
{
	my ($prefix) = @_;

	return scalar(() = effects($sim) =~ /\bcreate\($prefix/g);
}

# How often something was logged.
sub logged
{
	my ($node, $what) = @_;

	open(my $log, '<', $node->logfile) or die;
	return scalar grep { /$what/ } <$log>;
}

# Each was sent once, and was not in doubt.
sub all_done_at_once
{
	my ($name, @ids) = @_;
	my $list = join(', ', @ids);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	comes($admin, "SELECT count(*) FROM bill24.outbox WHERE id IN ($list) AND state = 'done' AND attempts = 1",
		scalar(@ids), "$name: all are done, at the first attempt", 40)
	  || diag($admin->ok("SELECT operation, state, attempts, error, count(*) FROM bill24.outbox WHERE id IN ($list) GROUP BY 1, 2, 3, 4"));
	return;
}

sub made_once
{
	my ($name, $p) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(join(' ', of_kind($sim, "${p}c", 'created'), of_kind($sim, "${p}r", 'charges')), '1 1', "$name: once");
	return;
}

my $node = new_node('main');
setup_account($node, $sim, options => { %quick, request_timeout => '3s' });
setup_account($node, $sim, server => 'other', options => {%quick});
setup_account($node, $sim, server => 'few', options => { %quick, max_in_flight => 8 });
($admin, $other) = map { Bill24Session->new($node) } 1, 2;
becomes($admin, enqueue($admin, 'create_customer', customer('first')), 'done', 'the worker works');

# ---- somebody has locked the table --------------------------------------------------

# Those that were answered wait; the answers of the others must be read
# meanwhile, as they would be too late afterwards.
{
	delay('"L', 500);
	delay('"M', 1500);
	my @jobs = ((map { [ 'create_customer', customer("L$_") ] } 1 .. 20), mixed('M1'), mixed('M2'));
	my @ids = enqueue_all(@jobs);
	my $start = time;

	requests_wait($sim, scalar @jobs);
	$other->ok('BEGIN; LOCK TABLE bill24.outbox IN SHARE ROW EXCLUSIVE MODE');
	is(count_jobs($admin, "state = 'sending'"), scalar(@jobs), 'the table is locked, and all are under way');
	requests_wait($sim, 0);
	wait_until('it takes longer than a request may', sub { time - $start > 5 });
	cmp_ok(logged($node, 'due to lock timeout'), '<', 12, 'nobody waits for each of them by itself');
	$other->ok('ROLLBACK');
	all_done_at_once('a locked table', @ids);
	made_once('a locked table', $_) foreach 'M1', 'M2';
	$sim->post('/_sim/clear_faults');
}

# Many rows are locked, and others are not.
{
	delay('"O', 500);
	my @locked = enqueue_all(map { [ 'create_customer', customer("O$_") ] } 1 .. 30);

	requests_wait($sim, 30);
	$other->ok('BEGIN; SELECT FROM bill24.outbox WHERE id IN (' . join(', ', @locked) . ') FOR UPDATE');
	requests_wait($sim, 0);
	foreach my $n (1 .. 3)
	{
		my $start = time;
		my @ids = enqueue_all(mixed("P$n"));

		all_done_at_once('beside rows that are locked', @ids);
		note(sprintf('%.1f s', time - $start));
	}
	is(count_jobs($admin, "state = 'sending'"), 30, 'those wait');
	$other->ok('ROLLBACK');
	all_done_at_once('rows that were locked', @locked);
	$sim->post('/_sim/clear_faults');
}

# ---- nothing can be written ------------------------------------------------------------

# What is answered then is kept, and so there must not be much of it: as much as
# may be in flight, a batch of results, and four times as much as may be in
# flight that is claimed ahead.
{
	my $most = 8 + 256;

	$admin->ok("ALTER TABLE bill24.outbox ADD CONSTRAINT no_q CHECK (server <> 'few' OR state <> 'done')");
	$admin->ok("SELECT count(bill24_enqueue('create_customer', jsonb_build_object('sync_code', 'Q' || i, 'name', 'q'), 'few'))"
		  . ' FROM generate_series(1, 1000) i');
	wait_until('those that are allowed are made', sub { made('q') >= $most });
	wait_until('they have been tried again', sub { logged($node, 'violates check constraint') > 3 * $most });
	all_done_at_once('another server', enqueue($admin, 'create_customer', customer("R$_"), 'other')) foreach 1 .. 3;
	is(made('q'), $most, 'no more are made while no result can be written');
	cmp_ok(count_jobs($admin, "server = 'few' AND state = 'sending'"), '<=', $most + 32, 'nor claimed');
	$admin->ok('ALTER TABLE bill24.outbox DROP CONSTRAINT no_q');
	comes($admin, "SELECT count(*) FROM bill24.outbox WHERE server = 'few' AND state = 'done' AND attempts = 1", 1000,
		'when they can be, all are delivered', 90);
	is(made('q'), 1000, 'once');

}

# ---- a fast shutdown ---------------------------------------------------------------------

$admin->ok("ALTER SERVER bill24 OPTIONS (SET request_timeout '30s')");
foreach my $effect (JSON::PP::true, JSON::PP::false)
{
	my $p = $effect ? 'S' : 'T';
	my ($updated, $deleted, $payer) = (seed("${p}u"), seed("${p}d", 0), seed("${p}p"));

	$sim->post('/_sim/fault', { kind => 'hang', match => $_, effect => $effect })
	  foreach "\"${p}c\"", "\"$updated\"", "\"$deleted\"", "\"${p}r\"";
	my @ids = enqueue_all([ 'create_customer', customer("${p}c") ], [ 'update_customer', customer($updated, 'new') ],
		[ 'delete_customer', { sync_code => $deleted } ], [ 'settle_payment', settlement("${p}r", $payer) ]);
	requests_wait($sim, 4);
	$_->end foreach $admin, $other;

	my $start = time;
	$node->stop('fast');
	my $seconds = time - $start;
	note(sprintf('%.2f s', $seconds));
	cmp_ok($seconds, '<', 5, 'a fast shutdown waits for no answer');
	$sim->post('/_sim/clear_faults');
	$node->start;
	($admin, $other) = map { Bill24Session->new($node) } 1, 2;
	becomes($admin, $_, 'done', 'what became of it is found out') foreach @ids;
	made_once('after a shutdown', $p);
	is(of_kind($sim, $deleted, 'deleted'), 1, 'one delete');
	is(effects($sim, $updated), $effect ? 'update(new) update(new)' : 'update(new)', 'and the update');
}
is(count_jobs($admin, "finished_at IS NULL"), 0, 'nothing is left behind');
$_->end foreach $admin, $other;
$node->stop;

# ---- CALL bill24_work() ----------------------------------------------------------------------

my $plain = new_node('plain', preload => 0);
setup_account($plain, $sim, options => {%quick});
my ($call, $stays);
($admin, $other, $call, $stays) = map { Bill24Session->new($plain) } 1 .. 4;

# The table is locked for a while.
{
	delay('"V', 500);
	my @ids = enqueue_all(mixed('V'));

	$call->send($work);
	requests_wait($sim, 3);
	$other->ok('BEGIN; LOCK TABLE bill24.outbox IN SHARE ROW EXCLUSIVE MODE');
	my $start = time;
	requests_wait($sim, 0);
	wait_until('it has waited', sub { time - $start > 2 });
	ok($call->busy, 'a call tries on while the table is locked');
	$other->ok('ROLLBACK');
	my $result = $call->wait;
	is("$result->{sqlstate} $result->{rows}", '00000 3', 'and ends well') || diag($result->{error});
	all_done_at_once('a call', @ids);
	made_once('a call', 'V');
}

# What is refused is told, but what was sent comes to its end before.
{
	delay('"W', 800);
	my @ids = enqueue_all(mixed('W'));
	my $refused = enqueue($admin, 'create_customer', customer('refused'));

	$admin->ok("ALTER TABLE bill24.outbox ADD CONSTRAINT no_x CHECK (key <> 'refused' OR state <> 'done')");
	my $result = $admin->query($work);
	is($result->{sqlstate}, '23514', 'what cannot be written is told');
	all_done_at_once('what was under way beside it', @ids);
	made_once('beside it', 'W');
	$admin->ok('ALTER TABLE bill24.outbox DROP CONSTRAINT no_x');
	ok(comes_true(sub { $admin->ok($work); job($admin, $refused) eq 'done' }, 15), 'it is found out about');
	is(of_kind($sim, 'refused', 'created'), 1, 'once');
	is($admin->ok('SELECT 1'), 1, 'the session goes on');
}

# A row stays locked: other things happen meanwhile.
delay('"X', 500);
my @left = enqueue_all([ 'create_customer', customer('X1') ], [ 'create_customer', customer('X2') ]);
$call->send($work);
requests_wait($sim, 2);
$stays->ok("BEGIN; SELECT FROM bill24.outbox WHERE id = $left[0] FOR UPDATE");
my $stays_since = time;

# ---- the disk is full -----------------------------------------------------------------------------

# A server that has a small file system of its own: it and nobody else sees it.
sub server_with_disk
{
	my $real = (grep { -x } map { "$_/pg_ctl" } split(/:/, $ENV{PATH}))[0];
	my $bin = File::Temp::tempdir(CLEANUP => 1);
	my $disk = "$bin/disk";
	my ($uid, $gid) = ($>, (split(/ /, $)))[0]);
	my $enter = "unshare -Urm sh -c 'mount -t tmpfs -o size=6m,mode=700 none $disk"
	  . " && exec unshare -U --map-user=$uid --map-group=$gid \"\$@\"' sh";

	mkdir($disk) or die;
	my $said = `$enter sh -c 'test \$(id -u) = $uid && mkdir $disk/t' 2>&1`;
	return (undef, "no file system can be mounted: $said") if $? != 0;
	Bill24Test::write_file("$bin/pg_ctl", "#!/bin/sh\ncase \" \$* \" in\n*' start '*) exec $enter $real \"\$@\" ;;\n"
		  . "*) exec $real \"\$@\" ;;\nesac\n");
	chmod(0755, "$bin/pg_ctl");

	my $server = new_node('disk', start => 0);
	local $ENV{PATH} = "$bin:$ENV{PATH}";
	$server->start;
	return ($server, "$disk/t");
}

SKIP:
{
	my ($full, $disk) = server_with_disk();
	skip($disk, 1) if !defined $full;
	my $keep = $admin;
	my $run = sub { $admin->ok("COPY (SELECT) TO PROGRAM '$_[0]'"); };

	setup_account($full, $sim, options => {%quick});
	($admin, my $writer) = map { Bill24Session->new($full) } 1, 2;
	$run->("mkdir -m 700 $disk");
	$admin->ok("CREATE TABLESPACE small LOCATION '$disk'");
	$admin->ok('ALTER TABLE bill24.outbox SET TABLESPACE small');
	becomes($admin, enqueue($admin, 'create_customer', customer('Y0')), 'done', 'on a small disk');

	# answers that need room
	delay('"Y', 1000);
	srand(1);
	$sim->post('/_sim/fault', { kind => 'patch', match => '"Y', count => -1,
		set => { 'data.remark' => join('', map { chr(33 + int(rand(90))) } 1 .. 20000) } });
	my @ids = enqueue_all((map { [ 'create_customer', customer("Y$_") ] } 1 .. 40), mixed('Y-'));
	requests_wait($sim, 43);
	$run->("dd if=/dev/zero of=$disk/../fill bs=8k status=none || true");
	requests_wait($sim, 0);
	wait_until('the disk is full', sub { logged($full, 'No space left on device') > 50 });
	cmp_ok(count_jobs($admin, "state = 'sending'"), '>', 0, 'results are not written');
	is(count_jobs($admin, "state IN ('parked', 'failed', 'unknown')"), 0, 'and nothing else is');
	$run->("rm $disk/../fill");
	all_done_at_once('the disk has room again', @ids);
	is(scalar(grep { of_kind($sim, "Y$_", 'created') != 1 } 0 .. 40), 0, 'each was made once');
	made_once('the disk has room again', 'Y-');
	cmp_ok($admin->ok("SELECT min(length(response::text)) FROM bill24.outbox WHERE key <> 'Y0' AND operation = 'create_customer'"),
		'>', 20000, 'the answers are kept');
	$_->end foreach $admin, $writer;
	$full->stop;
	$admin = $keep;
}

# ---- a call that waited long enough ------------------------------------------------------------------

{
	my $result = $call->wait;

	is($result->{sqlstate}, '55P03', 'a call does not wait for ever');
	cmp_ok(time - $stays_since, '>', 5, 'but long');
	note(sprintf('%.1f s', $result->{seconds}));
	is(job($admin, $left[1], 'state, attempts'), 'done|1', 'the other one was written');
	$stays->ok('ROLLBACK');
	ok(comes_true(sub { $admin->ok($work); job($admin, $left[0]) eq 'done' }, 15), 'another call finds out');
	is(of_kind($sim, "X$_", 'created'), 1, 'once') foreach 1, 2;
}
is(count_jobs($admin, "finished_at IS NULL"), 0, 'nothing is left behind');

$_->end foreach $admin, $other, $call, $stays;
$plain->stop;
done_testing();
