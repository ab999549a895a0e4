
# The outbox: what is enqueued is delivered after commit, once, in order per
# key; and what a person can do with it.

use strict;
use warnings;

use Bill24Outbox;
use Bill24Session;
use Bill24Test;
use JSON::PP;
use Test::More;
use Time::HiRes qw(time sleep);

my $sim = start_simulator();
$sim->post('/_sim/seed', { count => 200, prefix => 'C', balance => 1000000 });
my $node = new_node('main', conf => "max_prepared_transactions = 0\n");
my %quick = (retry_delay => '20ms', circuit_failures => 0);
setup_account($node, $sim, options => {%quick});
my $admin = Bill24Session->new($node);
my $other = Bill24Session->new($node);
my $third = Bill24Session->new($node);

$admin->ok(q{
	CREATE ROLE alice; CREATE ROLE bob; CREATE ROLE carol;
	GRANT alice TO carol;
	GRANT USAGE ON FOREIGN SERVER bill24 TO alice, bob, carol;
	CREATE USER MAPPING FOR alice SERVER bill24 OPTIONS (
		token '00000000-0000-4000-8000-000000000001', client_id 'demo_client',
		secret 'demo-secret', hash_token 'demo-hash-token')});

# Runs it as somebody else.
sub as
{
	my ($role, $sql) = @_;

	$third->ok("SET ROLE $role");
	my $result = $third->query($sql);
	$third->ok('RESET ROLE');
	return $result;
}

# A fault that asks to come back in an hour: holds a job until it is retried.
sub hold
{
	my ($match, $path) = @_;

	$sim->post('/_sim/fault', { kind => 'status', status => 429, retry_after => 3600,
		match => $match, path => $path // '*' });
	return;
}

sub customer { return { sync_code => $_[0], name => $_[1] // $_[0] }; }

# A job that is held, being the first of its key.
sub held
{
	my ($key) = @_;

	hold("\"$key\"", '/customer/create');
	my $id = enqueue($admin, 'create_customer', customer($key));
	comes($admin, "SELECT state, attempts FROM bill24.outbox WHERE id = $id", 'queued|1',
		"$key is held");
	return $id;
}

# Updates that wait.
sub followers
{
	my ($key, @names) = @_;
	my @ids = map { enqueue($admin, 'update_customer', customer($key, $_)) } @names;

	comes($admin, "SELECT count(*) FROM bill24.outbox WHERE state = 'waiting' AND key = '$key'",
		scalar(@names), "$key: later ones wait");
	return @ids;
}

my $open = "finished_at IS NULL AND state <> 'parked'";
sub all_done
{
	my ($name) = @_;

	return comes($admin, "SELECT count(*) FROM bill24.outbox WHERE $open", 0, $name, 30);
}

# ---- after commit, once ----------------------------------------------------

$admin->ok('BEGIN');
my $id = enqueue($admin, 'create_customer', customer('A1', 'first'));
is($other->ok("SELECT count(*) FROM bill24.outbox WHERE id = $id"), 0, 'others see nothing before the commit');
ok(!comes_true(sub { effects($sim, 'A1') ne '' }, 0.3), 'nothing is sent before the commit');
$admin->ok('COMMIT');
becomes($admin, $id, 'done', 'delivered after the commit');
is(effects($sim, 'A1'), 'create(first)', 'once');
is(job($admin, $id, "attempts, next_attempt_at IS NULL, leased_by IS NULL, finished_at >= created_at, sqlstate IS NULL, error IS NULL, response ->> 'sync_code'"),
	'1|t|t|t|t|t|A1', 'and so says its row');

$admin->ok('BEGIN');
enqueue($admin, 'create_customer', customer('R1'));
$admin->ok('ROLLBACK; BEGIN; SAVEPOINT a');
enqueue($admin, 'create_customer', customer('R2'));
$admin->ok('ROLLBACK TO SAVEPOINT a');
my $kept = enqueue($admin, 'create_customer', customer('R3'));
$admin->ok('COMMIT');
$admin->ok('BEGIN');
enqueue($admin, 'create_customer', customer('R4'));
is($admin->query("PREPARE TRANSACTION 'x'")->{sqlstate}, '55000', 'a PREPARE that fails');
$admin->query('COMMIT');
$admin->query('BEGIN; SELECT ' . enqueuing('create_customer', customer('R5')) . '; SELECT 1/0; COMMIT');
$admin->query('ROLLBACK');
$admin->ok('DO $$ BEGIN BEGIN PERFORM ' . enqueuing('create_customer', customer('R6'))
	  . '; RAISE division_by_zero; EXCEPTION WHEN others THEN END; END $$');
becomes($admin, $kept, 'done', 'what is committed is sent');
is(effects($sim, "R$_"), '', "R$_: what is rolled back is not") foreach 1, 2, 4, 5, 6;
is(count_jobs($admin, "key LIKE 'R_'"), 1, 'and leaves no job');

# Some in one transaction, of one key and of others.
$admin->ok('BEGIN');
enqueue($admin, 'create_customer', customer('A2', 'one'));
enqueue($admin, 'create_customer', customer('A3'));
enqueue($admin, 'update_customer', customer('A2', 'two'));
enqueue($admin, 'delete_customer', { sync_code => 'A2' });
enqueue($admin, 'create_customer', customer('A2', 'three'));
$admin->ok('COMMIT');
all_done('a transaction with several');
is(effects($sim, 'A2'), 'create(one) update(two) delete(two) create(three)', 'create, update, delete, create');

# ---- order per key, over many keys ------------------------------------------

{
	my %expected;
	my @keys = map { "O$_" } 1 .. 40;

	foreach my $round (0 .. 5)
	{
		$admin->ok('BEGIN; SELECT ' . join(', ', map {
			$expected{$_} .= $round == 0 ? "create($_)" : $round == 5 ? " delete(n4)" : " update(n$round)";
			$round == 0 ? enqueuing('create_customer', customer($_)) :
			  $round == 5 ? enqueuing('delete_customer', { sync_code => $_ }) :
			  enqueuing('update_customer', customer($_, "n$round")) } @keys) . '; COMMIT');
	}
	my %payments = map { my $c = sprintf('C%07d', $_); $c => join(' ', map { "charge(P$c-$_)" } 1 .. 6) } 1 .. 20;
	foreach my $i (1 .. 6)
	{
		$admin->ok('SELECT ' . enqueuing('settle_payment', settlement("P$_-$i", $_))) foreach sort keys %payments;
	}
	all_done('many keys');
	my @wrong = grep {
		my $was = effects($sim, $_);
		$was !~ /^create\($_\)( update\(n[1-4]\))* update\(n4\) delete\(n4\)$/
		  || do { my @n = $was =~ /update\(n(\d)\)/g; join('', @n) ne join('', sort @n) || @n > 4 };
	} @keys;
	is("@wrong", '', 'customers: in order');
	@wrong = grep { effects($sim, $_) ne $payments{$_} } sort keys %payments;
	is("@wrong", '', 'payments: in order, each of them once');
	is(count_jobs($admin, "state <> 'done'"), 0, 'all are done');
}

# ---- updates that wait become one -------------------------------------------

{
	my $head = held('M1');
	my @ids = (
		enqueue($admin, 'update_customer', { sync_code => 'M1', name => 'n1', phone => '011' }),
		enqueue($admin, 'update_customer', { sync_code => 'M1', phone => '012', email => 'a@example.com' }),
		enqueue($admin, 'update_customer', { sync_code => 'M1', name => 'n3' }),
		enqueue($admin, 'delete_customer', { sync_code => 'M1' }),
		enqueue($admin, 'create_customer', customer('M1', 'again')),
		enqueue($admin, 'update_customer', { sync_code => 'M1', name => 'n4' }));

	comes($admin, "SELECT count(*) FROM bill24.outbox WHERE state = 'waiting' AND key = 'M1'", 6, 'updates wait');
	is($admin->ok("SELECT bill24_retry($head)"), $head, 'the first may go on');
	all_done('it goes on');
	is(effects($sim, 'M1'), 'create(M1) update(n3) delete(n3) create(again) update(n4)', 'one update for three');
	is(job($admin, $_, 'state, response'), "done|{\"merged_into\": $ids[2]}", 'the earlier are part of the last')
	  foreach @ids[0, 1];
	is(job($admin, $ids[2], "state, response ->> 'name', response ->> 'phone', response ->> 'email'"),
		'done|n3|012|a@example.com', 'which has the later values of all');

	# what is refused is refused by itself
	$head = held('M3');
	@ids = (enqueue($admin, 'update_customer', { sync_code => 'M3', name => 'good' }),
		enqueue($admin, 'update_customer', { sync_code => 'M3', email => 'no address' }),
		enqueue($admin, 'update_customer', { sync_code => 'M3', phone => '013' }));
	comes($admin, "SELECT count(*) FROM bill24.outbox WHERE state = 'waiting' AND key = 'M3'", 3, 'updates wait, one of them impossible');
	$admin->ok("SELECT bill24_retry($head)");
	comes($admin, "SELECT string_agg(state, ' ' ORDER BY id) FROM bill24.outbox WHERE id IN (" . join(', ', @ids) . ')',
		'done failed done', 'the last, in which they were one, is refused, and each is sent by itself');
	like(effects($sim, 'M3'), qr/^create\(M3\) update\(good\)/, 'with their effect');
	$admin->ok("DELETE FROM bill24.outbox WHERE state = 'failed'");

	# not over the heads of others
	$head = held('M2');
	@ids = (enqueue($admin, 'update_customer', customer('M2', 'n1')));
	push @ids, as('alice', 'SELECT ' . enqueuing('update_customer', customer('M2', 'n2')))->{rows};
	push @ids, enqueue($admin, 'update_customer', customer('M2', 'n3')), enqueue($admin, 'update_customer', customer('M2', 'n4'));
	comes($admin, "SELECT count(*) FROM bill24.outbox WHERE state = 'waiting' AND key = 'M2'", 4, 'of two roles');
	$admin->ok("SELECT bill24_retry($head)");
	all_done('they are sent');
	is(effects($sim, 'M2'), 'create(M2) update(n1) update(n2) update(n4)', 'those of another role are not merged');

	# a server that nobody reaches, for a while
	my $closed = Bill24Session::free_port();
	setup_account($node, $sim, server => 'down', options => { base_url => "http://127.0.0.1:$closed", %quick, retry_delay => '1h' });
	$sim->post('/_sim/seed', { count => 1, prefix => 'D' });
	my $first = enqueue($admin, 'update_customer', customer('D0000001', 'd1'), 'down');
	comes($admin, "SELECT state, attempts, sqlstate FROM bill24.outbox WHERE id = $first", 'queued|1|08001', 'nobody is there');
	enqueue($admin, 'update_customer', customer('D0000001', "d$_"), 'down') foreach 2 .. 9;
	comes($admin, "SELECT count(*) FROM bill24.outbox WHERE state = 'waiting' AND server = 'down'", 8, 'later ones wait');
	$admin->ok("ALTER SERVER down OPTIONS (SET base_url '" . $sim->url . "'); SELECT bill24_retry($first)");
	all_done('now somebody is there');
	like(effects($sim, 'D0000001'), qr/^update\(d1\) (update\(d[2-8]\) ){0,2}update\(d9\)$/, 'eight became few');
}

# ---- bill24_wait --------------------------------------------------------------

{
	my $head = held('W1');
	my ($behind) = followers('W1', 'w2');

	is($other->ok("SELECT bill24_wait($id)"), 'done', 'wait: of one that is done');
	is($other->ok("SELECT bill24_wait($head, '100ms')"), 'queued', 'after the timeout, the state by then');
	is($other->ok("SELECT bill24_wait($behind, '0')"), 'waiting', 'a timeout of nothing');
	is($other->query('SELECT bill24_wait(NULL)')->{sqlstate}, '22004', 'NULL');
	is($other->query("SELECT bill24_wait($head, '$_')")->{sqlstate}, '22008', "a negative timeout: $_")
	  foreach '-1 hour', '-1 second', '-0.2 seconds';
	is($other->query("SELECT bill24_wait($_)")->{sqlstate}, 'P0002', "no job $_") foreach 0, -1, '9223372036854775807';
	$other->ok('BEGIN');
	my $own = enqueue($other, 'update_customer', customer('W1', 'w3'));
	is($other->query("SELECT bill24_wait($own)")->{sqlstate}, '55000', 'not in its own transaction');
	$other->ok('ROLLBACK; BEGIN; SAVEPOINT a');
	$own = enqueue($other, 'update_customer', customer('W1', 'w3'));
	$other->ok('RELEASE a; SAVEPOINT b');
	my $refused = $other->query("SELECT bill24_wait($own)");
	is($refused->{sqlstate}, '55000', 'nor in its subtransaction');
	like($refused->{error}, qr/COMMIT first/, 'with what to do');
	$other->ok('ROLLBACK');

	$other->send("SELECT bill24_wait($behind)");
	backends_wait($admin, $other);
	ok(sub {
			my $before = 0;
			return comes_true(sub {
				open(my $in, '<', '/proc/' . $other->pid . '/status') or die;
				my ($now) = join('', <$in>) =~ /^voluntary_ctxt_switches:\s*(\d+)/m;
				return 1 if $now == $before;
				$before = $now;
				sleep(1);
				return 0;
			}, 15);
		}->(), 'who waits sleeps');
	$admin->ok("SELECT pg_cancel_backend(" . $other->pid . ')');
	is($other->wait->{sqlstate}, '57014', 'and can be cancelled');
	$other->send("SELECT bill24_wait($behind), clock_timestamp()");
	backends_wait($admin, $other);
	$admin->ok("SELECT bill24_retry($head)");
	my ($state, $seen) = split(/\|/, $other->wait->{rows});
	is($state, 'done', 'it is told when the job is done');
	my $late = $admin->ok("SELECT extract(epoch FROM '$seen' - finished_at) FROM bill24.outbox WHERE id = $behind");
	cmp_ok($late, '<', 0.5, 'at once');
	note("after $late s");

	# in one snapshot, what others do is seen nevertheless
	$head = held('W2');
	$other->ok('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM bill24.outbox');
	my $new = enqueue($admin, 'create_customer', customer('W3'));
	is($other->ok("SELECT bill24_wait($new, '20s')"), 'done', 'REPEATABLE READ: one that is newer');
	$other->send("SELECT bill24_wait($head, '20s')");
	$admin->ok("SELECT bill24_retry($head)");
	is($other->wait->{rows}, 'done', 'and one that is older');
	$other->ok('COMMIT');
}

# ---- what can be done in which state -------------------------------------------

{
	my %in;

	$in{done} = $id;
	$in{queued} = held('S1');
	($in{waiting}) = followers('S1', 's2');
	$in{failed} = enqueue($admin, 'create_customer', customer('C0000001'));
	becomes($admin, $in{failed}, 'failed', 'failed');
	$in{cancelled} = held('S2');
	$admin->ok("SELECT bill24_cancel($in{cancelled})");
	is(job($admin, $in{cancelled}, "state, next_attempt_at IS NULL, finished_at IS NOT NULL"), 'cancelled|t|t', 'cancelled');
	$sim->post('/_sim/fault', { kind => 'hang', match => 'S3' });
	$in{sending} = enqueue($admin, 'create_customer', customer('S3'));
	becomes($admin, $in{sending}, 'sending', 'sending');
	$sim->post('/_sim/fault', { kind => 'drop_after', match => 'S4', path => '/customer/create' });
	hold('S4', '/customer/get_customer_detail');
	$in{unknown} = enqueue($admin, 'create_customer', customer('S4'));
	comes($admin, "SELECT state, attempts, leased_by IS NULL FROM bill24.outbox WHERE id = $in{unknown}", 'unknown|2|t', 'unknown');
	$sim->post('/_sim/fault', { kind => 'drop_after', match => 'S5' });
	$in{parked} = enqueue($admin, 'onboard_sub_biller', { supplier_sync_code => 'S5', name => 'S5' });
	becomes($admin, $in{parked}, 'parked', 'parked');

	my %fine = (
		retry => { map { $_ => 1 } qw(queued unknown parked failed cancelled) },
		cancel => { map { $_ => 1 } qw(queued waiting parked) },
		resolve => { map { $_ => 1 } qw(unknown parked) });
	my %call = (retry => 'bill24_retry(%s)', cancel => 'bill24_cancel(%s)', resolve => "bill24_resolve(%s, 'done', 'seen')");
	my %owned = map { $_ => job($admin, $in{$_}, "state") } keys %in;
	is_deeply(\%owned, { map { $_ => $_ } keys %in }, 'one job in each state');
	foreach my $what (sort keys %call)
	{
		foreach my $state (sort keys %in)
		{
			my $sql = 'SELECT ' . sprintf($call{$what}, $in{$state});

			$other->ok('BEGIN');
			my $result = $other->query($sql);
			is($result->{sqlstate}, $fine{$what}{$state} ? '00000' : '55000', "$what: $state");
			if ($what eq 'retry' && $fine{$what}{$state})
			{
				my $new = $state eq 'failed' || $state eq 'cancelled';

				is($result->{rows} eq $in{$state} ? 'same' : 'new', $new ? 'new' : 'same', "its number: $state");
				is(job($other, $result->{rows}, 'next_attempt_at <= clock_timestamp()'), 't', "and it is due: $state");
			}
			$other->query('ROLLBACK');
		}
		is($other->query('SELECT ' . sprintf($call{$what}, 'NULL'))->{sqlstate}, '22004', "$what: NULL");
		is($other->query('SELECT ' . sprintf($call{$what}, 0))->{sqlstate}, 'P0002', "$what: no such job");
		is(as('bob', 'SELECT ' . sprintf($call{$what}, $in{parked}))->{sqlstate}, 'P0002', "$what: another's");
	}
	is(as('bob', "SELECT bill24_wait($in{parked})")->{sqlstate}, 'P0002', "wait: another's");
	is($other->query("SELECT bill24_resolve($in{parked}, '$_')")->{sqlstate}, '22023', "outcome '$_'") foreach 'DONE', '', 'cancelled';
	is($other->query("SELECT bill24_resolve($in{parked}, NULL)")->{sqlstate}, '22004', 'outcome NULL');
	is(job($admin, $in{$_}), $_, "still $_") foreach sort keys %in;

	# for real
	$admin->ok("SELECT bill24_resolve($in{parked}, 'failed', 'was not there')");
	is(job($admin, $in{parked}, "state, error"), 'failed|was not there', 'resolved, with a note');
	my $anew = $admin->ok("SELECT bill24_retry($in{failed})");
	becomes($admin, $anew, 'failed', 'one that failed, enqueued anew, fails again');
	is(job($admin, $in{failed}), 'failed', 'and the old one stays');
	$anew = $admin->ok("SELECT bill24_retry($in{cancelled})");
	becomes($admin, $anew, 'done', 'one that was cancelled, enqueued anew');
	$admin->ok("SELECT bill24_retry($in{unknown})");
	becomes($admin, $in{unknown}, 'done', 'one that is unknown, looked up now');
	is(of_kind($sim, 'S4', 'created'), 1, 'and not sent again');
	$admin->ok("SELECT bill24_cancel($in{queued})");
	becomes($admin, $in{waiting}, 'failed', 'behind one that is cancelled: goes on, and finds nobody');
	$sim->post('/_sim/clear_faults');
	becomes($admin, $in{sending}, 'done', 'one whose answer was lost');
	is(of_kind($sim, 'S3', 'created'), 1, 'once');

	# a role's own, and its members'
	hold('S6', '/customer/create');
	my $alices = as('alice', 'SELECT ' . enqueuing('create_customer', customer('S6')))->{rows};
	comes($admin, "SELECT state, attempts FROM bill24.outbox WHERE id = $alices", 'queued|1', "alice's");
	is(as('carol', "SELECT bill24_wait($alices, '0')")->{rows}, 'queued', 'a member may wait');
	is(as('carol', "SELECT bill24_cancel($alices)")->{sqlstate}, '00000', 'and cancel');
	$anew = as('carol', "SELECT bill24_retry($alices)")->{rows};
	becomes($admin, $anew, 'done', 'and retry');
	is(job($admin, $anew, 'owner'), 'alice', 'it stays the job of its owner');
	is(as('alice', "SELECT bill24_resolve($anew, 'done')")->{sqlstate}, '55000', 'not what has ended');
	is(as('bob', "SELECT count(*) FROM bill24.outbox")->{rows}, 0, 'others see no job');
	is(as('bob', "SELECT count(*) FROM bill24.queue")->{rows}, 0, 'nor how many there are');
}

# ---- one that is parked --------------------------------------------------------

{
	my %biller = (supplier_sync_code => 'B1', name => 'B1');
	my %link = (supplier_sync_code => 'B1', bank_id => 'AC', return_url => 'https://example.com/');

	$sim->post('/_sim/fault', { kind => 'drop_after', match => '"B1"' });
	my $head = enqueue($admin, 'onboard_sub_biller', \%biller);
	becomes($admin, $head, 'parked', 'parked');
	my $later = enqueue($admin, 'add_link_account', \%link);
	my $free = enqueue($admin, 'onboard_sub_biller', { %biller, supplier_sync_code => 'B2' });
	becomes($admin, $free, 'done', 'those of another key go on');
	becomes($admin, $later, 'waiting', 'a later one of its key waits');
	is($admin->ok("SELECT operation, state, jobs FROM bill24.queue WHERE operation IN ('onboard_sub_biller', 'add_link_account') AND state <> 'failed' ORDER BY 1"),
		"add_link_account|waiting|1\nonboard_sub_biller|parked|1", 'bill24.queue tells');
	$admin->ok("BEGIN; SELECT bill24_resolve($head, 'done'); ROLLBACK");
	is(job($admin, $later), 'waiting', 'not what is rolled back');
	$admin->ok("SELECT bill24_resolve($head, 'done')");
	becomes($admin, $later, 'done', 'resolved: the later one goes on');
}

# ---- cancelling in a transaction that stays open --------------------------------

foreach my $end ('COMMIT', 'ROLLBACK')
{
	my $key = "T$end";
	my $head = held($key);
	my ($f) = followers($key, 'f');

	$other->ok("BEGIN; SELECT bill24_cancel($head)");
	my $g = enqueue($admin, 'update_customer', customer($key, 'g'));
	becomes($admin, enqueue($admin, 'create_customer', customer("T2$end")), 'done', "the first cancelled: others go on ($end)", 6);
	is(job($admin, $g) =~ /^(queued|waiting)$/ ? 1 : 0, 1, 'a later one is not sent');
	$other->ok($end);
	if ($end eq 'ROLLBACK')
	{
		becomes($admin, $g, 'waiting', 'rolled back: it waits');
		$admin->ok("SELECT bill24_retry($head)");
	}
	becomes($admin, $g, $end eq 'COMMIT' ? 'failed' : 'done', "it goes on ($end)");
	like(effects($sim, $key), $end eq 'COMMIT' ? qr/^$/ : qr/^create\($key\) (update\(f\) )?update\(g\)$/, 'as it should');
}

# Somebody has the second one while the first one ends.
foreach my $level ('READ COMMITTED', 'REPEATABLE READ')
{
	foreach my $how ('COMMIT', 'ROLLBACK', 'late COMMIT')
	{
		my $end = $how;
		my $key = 'U' . join('', $level =~ /\b(\w)/g) . substr($end, 0, 2);
		my $start = time;

		$sim->post('/_sim/fault', { kind => 'hang', match => "\"$key\"", path => '/customer/create' });
		my $head = enqueue($admin, 'create_customer', customer($key));
		becomes($admin, $head, 'sending', "$level, $end: under way");
		my ($f) = followers($key, 'f');
		my $g = enqueue($admin, 'delete_customer', { sync_code => $key });
		becomes($admin, $g, 'waiting', 'one more waits');
		$other->ok("BEGIN ISOLATION LEVEL $level; SELECT bill24_cancel($f)");
		$sim->post('/_sim/clear_faults');
		note('a worker waits') if worker_waits($admin, 1);
		if ($end eq 'late COMMIT')
		{
			becomes($admin, enqueue($admin, 'create_customer', customer("${key}x")), 'done',
				'meanwhile others are delivered', 6);
			note(sprintf('%.1f s', time - $start));
			becomes($admin, $head, 'done', 'and the first one gets its result', 6);
			$end = 'COMMIT';
		}
		$other->ok($end);
		becomes($admin, $g, 'done', 'the third is not forgotten', 6);
		is(effects($sim, $key), "create($key) " . ($end eq 'COMMIT' ? "delete($key)" : 'update(f) delete(f)'), 'in order');
	}
}

# Two persons.
{
	my $head = held('V1');
	my ($f) = followers('V1', 'f');
	my $g = enqueue($admin, 'create_customer', customer('V1', 'g'));

	becomes($admin, $g, 'waiting', 'three');
	$other->ok("BEGIN; SELECT bill24_cancel($f)");
	$third->send("SELECT bill24_cancel($head)");
	comes_true(sub { !$third->busy }, 0.5);
	$other->ok('COMMIT');
	is($third->wait->{sqlstate}, '00000', 'two persons cancel one each');
	becomes($admin, $g, 'done', 'the third goes on', 6);
}

# One snapshot for all statements, in which the job is not.
foreach my $level ('REPEATABLE READ', 'SERIALIZABLE')
{
	my $key = 'X' . substr($level, 0, 1);

	$other->ok("BEGIN ISOLATION LEVEL $level; SELECT 1");
	my $head = held($key);
	my $result = $other->query("SELECT bill24_cancel($head)");
	$other->query('COMMIT');
	is(job($admin, $head), $result->{sqlstate} eq '00000' ? 'cancelled' : 'queued', "$level, cancel: what it says is so");
	note("cancel: $result->{sqlstate}");
	$admin->query("SELECT bill24_cancel($head)");
	$other->ok("BEGIN ISOLATION LEVEL $level; SELECT 1");
	my $failed = enqueue($admin, 'create_customer', customer('C0000001'));
	becomes($admin, $failed, 'failed', 'one that failed');
	$result = $other->query("SELECT bill24_retry($failed)");
	like($result->{sqlstate}, qr/^(00000|40001)$/, "$level, retry");
	$other->query('COMMIT');
	is(count_jobs($admin, "key = 'C0000001' AND id >= $failed"), $result->{sqlstate} eq '00000' ? 2 : 1, 'what it says is so');
}
all_done('nothing is left behind');

# ---- two jobs of a key are never under way at once --------------------------------

{
	$other->ok('BEGIN');
	my $earlier = enqueue($other, 'update_customer', customer('C0000050', 'early'));
	$sim->post('/_sim/fault', { kind => 'hang', match => 'C0000050' });
	my $later = enqueue($admin, 'update_customer', customer('C0000050', 'late'));
	becomes($admin, $later, 'sending', 'one is under way');
	$other->ok('COMMIT');
	becomes($admin, enqueue($admin, 'update_customer', customer('C0000051')), 'done', 'one of another key');
	is(job($admin, $earlier) eq 'done' ? 'sent' : 'not sent', 'not sent', 'one with a smaller number, committed later, waits');
	$sim->post('/_sim/clear_faults');
	becomes($admin, $_, 'done', 'done') foreach $earlier, $later;
}

# The same with one whose outcome nobody can find out.
{
	my %biller = (supplier_sync_code => 'E1', name => 'E1');
	$other->ok('BEGIN');
	my $earlier = enqueue($other, 'onboard_sub_biller', \%biller);
	$sim->post('/_sim/fault', { kind => 'hang', match => '"E1"', effect => JSON::PP::false });
	my $later = enqueue($admin, 'onboard_sub_biller', \%biller);
	becomes($admin, $later, 'sending', 'one is under way');
	kill('STOP', $_) foreach workers($admin);
	$admin->ok("SELECT pg_terminate_backend($_)") foreach workers($admin);
	$other->ok('COMMIT');
	kill('CONT', $_) foreach workers($admin);
	becomes($admin, $later, 'parked', 'its process ends: a person is asked');
	becomes($admin, $earlier, 'waiting', 'the one with the smaller number waits for that');
	is(job($admin, $later, 'error LIKE $$%unknown%$$'), 't', 'it is not sent again');
	$sim->post('/_sim/clear_faults');
	$admin->ok("SELECT bill24_resolve($later, 'failed')");
	becomes($admin, $earlier, 'done', 'and then goes on');
}

# ---- rows that are deleted --------------------------------------------------------

{
	my $head = held('Y1');
	my @f = followers('Y1', 'f1', 'f2');

	$admin->ok("DELETE FROM bill24.outbox WHERE id = $f[0]");
	$admin->ok("SELECT bill24_retry($head)");
	becomes($admin, $f[1], 'done', 'one in the middle is deleted');
	is(effects($sim, 'Y1'), 'create(Y1) update(f2)', 'the others are delivered');

	# those that were merged into one that is deleted are not passed by
	$sim->post('/_sim/seed', { prefix => 'Y', count => 1 });
	$sim->post('/_sim/fault', { kind => 'status', status => 429, retry_after => 3600, path => '/customer/update', match => '"Y0000001"' });
	@f = split(/\|/, $admin->ok('SELECT ' . join(', ', map { enqueuing('update_customer', customer('Y0000001', "v$_")) } 1 .. 3)));
	comes($admin, "SELECT count(*) FROM bill24.outbox WHERE merged_into = $f[2] AND id IN ($f[0], $f[1]) AND (SELECT attempts FROM bill24.outbox WHERE id = $f[2] AND state = 'queued') = 1", 2, 'two are merged into a third');
	$admin->ok("DELETE FROM bill24.outbox WHERE id = $f[2]");
	push(@f, enqueue($admin, 'update_customer', customer('Y0000001', 'v4')));
	becomes($admin, $f[$_], 'done', 'which is deleted') foreach 0, 1, 3;
	is((split(/ /, effects($sim, 'Y0000001')))[-1], 'update(v4)', 'the last value is the last');
	$sim->post('/_sim/fault', { kind => 'hang', match => '"Y2"' });
	$head = enqueue($admin, 'create_customer', customer('Y2'));
	becomes($admin, $head, 'sending', 'under way');
	@f = followers('Y2', 'f1');
	$admin->ok("DELETE FROM bill24.outbox WHERE id = $head");
	$sim->post('/_sim/clear_faults');
	becomes($admin, enqueue($admin, 'create_customer', customer('Y3')), 'done', 'deleted while under way: nobody minds');
	$admin->ok("SELECT pg_terminate_backend($_)") foreach workers($admin);
	becomes($admin, $f[0], 'done', 'the one behind goes on, at the latest with another worker');
}

# ---- retention ----------------------------------------------------------------------

{
	setup_account($node, $sim, server => 'brief', options => { %quick, retention => '1s' });
	my $old = enqueue($admin, 'create_customer', customer('Z1'), 'brief');
	becomes($admin, $old, 'done', 'done');
	$sim->post('/_sim/fault', { kind => 'drop_after', match => '"Z2"' });
	my $parked = enqueue($admin, 'onboard_sub_biller', { supplier_sync_code => 'Z2', name => 'z' }, 'brief');
	becomes($admin, $parked, 'parked', 'parked');
	comes($admin, "SELECT finished_at < now() - interval '1.1 s' FROM bill24.outbox WHERE id = $old", 't', 'time passes');
	$admin->ok("SELECT pg_terminate_backend($_)") foreach workers($admin);
	enqueue($admin, 'create_customer', customer('Z3'), 'brief');
	comes($admin, "SELECT count(*) FROM bill24.outbox WHERE id = $old", 0, 'old jobs are deleted');
	is(job($admin, $parked), 'parked', 'not those that have not ended');
	is(job($admin, $id), 'done', 'nor those of a server that keeps them longer');
}

# ---- many sessions, several workers ---------------------------------------------------

foreach my $count (2, 4)
{
	$admin->ok("ALTER SYSTEM SET bill24.workers = $count");
	$admin->ok('SELECT pg_reload_conf()');
	my @sessions = map { Bill24Session->new($node) } 1 .. 20;
	my %expected;
	my $n = 0;

	foreach my $session (@sessions)
	{
		my $sql = '';

		foreach my $k (1 .. 4)
		{
			my $code = sprintf('C%07d', 100 + ++$n);

			foreach my $i (1 .. 4)
			{
				$sql .= 'SELECT ' . enqueuing('settle_payment', settlement("Q$count-$code-$i", $code)) . ';';
				$expected{$code} .= " charge(Q$count-$code-$i)";
			}
		}
		$session->send($sql);
	}
	is((grep { $_->wait->{sqlstate} eq '00000' } @sessions), 20, "$count workers: 20 sessions enqueue at once");
	my $start = time;
	all_done('everything is delivered');
	note(sprintf('%d jobs in %.1f s', 20 * 16, time - $start));
	my $was = effects($sim);
	my @wrong = grep { (my $e = $expected{$_}) =~ s/^ //; 
		join(' ', $was =~ /(charge\(Q$count-$_-\d+\))/g) ne $e } sort keys %expected;
	is("@wrong", '', 'each once, in order');
	is(scalar(workers($admin)), $count, "by $count workers");
	is(count_jobs($admin, "state <> 'done' AND key LIKE 'C00001__'"), 0, 'all are done');
	$_->end foreach @sessions;
}

# While they are ended again and again, and somebody cancels.
{
	my @sessions = map { Bill24Session->new($node) } 1 .. 8;
	my @codes = map { sprintf('C%07d', $_) } 60 .. 99;
	my $code = 0;

	$sim->post('/_sim/config', { latency_ms => 150 });
	foreach my $session (@sessions)
	{
		$session->send(join(';', map {
			my $c = $codes[ $code++ % @codes ];
			map { 'SELECT ' . enqueuing('settle_payment', settlement("K-$c-$_", $c)) } 1 .. 6 } 1 .. 5));
	}
	$third->send(q{DO $$ DECLARE n bigint; BEGIN FOR i IN 1 .. 300 LOOP
		SELECT id INTO n FROM bill24.outbox WHERE key LIKE 'C00000__' AND state IN ('waiting', 'queued') ORDER BY random() LIMIT 1;
		BEGIN
			PERFORM bill24_cancel(n);
			PERFORM pg_sleep(0.01);
			IF random() < 0.5 THEN RAISE 'undo' USING ERRCODE = 'P0003'; END IF;
		EXCEPTION WHEN object_not_in_prerequisite_state OR no_data_found OR null_value_not_allowed OR sqlstate 'P0003' THEN
		END;
		COMMIT;
	END LOOP; END $$});
	foreach (1 .. 10)
	{
		sleep(0.25);
		my @workers = workers($admin);
		$admin->ok('SELECT pg_terminate_backend(' . $workers[ rand(@workers) ] . ')') if @workers;
	}
	is((grep { $_->wait->{sqlstate} eq '00000' } @sessions), 8, 'workers that end, jobs that are cancelled');
	is($third->wait->{error}, '', 'all of it is done');
	$sim->post('/_sim/config', { latency_ms => 0 });
	all_done('nothing is left behind');
	my %charges;
	$charges{$_}++ foreach effects($sim) =~ /charge\((K-\S+)\)/g;
	is(join(' ', grep { $charges{$_} != 1 } sort keys %charges), '', 'no payment twice');
	is($admin->ok("SELECT count(*) FROM bill24.outbox WHERE request ->> 'ref_id' LIKE 'K-%' AND state = 'done'"), scalar(keys %charges), 'as many as jobs that are done');
	is($admin->ok("SELECT count(*) FROM bill24.outbox WHERE request ->> 'ref_id' LIKE 'K-%' AND state NOT IN ('done', 'cancelled')"), 0, 'the others are cancelled');
	note($admin->ok("SELECT state, count(*), max(attempts) FROM bill24.outbox WHERE request ->> 'ref_id' LIKE 'K-%' GROUP BY 1 ORDER BY 1"));
	my @cancelled = grep { $charges{$_} } split(/\n/, $admin->ok("SELECT request ->> 'ref_id' FROM bill24.outbox WHERE state = 'cancelled' AND request ->> 'ref_id' LIKE 'K-%'"));
	is("@cancelled", '', 'and had no effect');
	$_->end foreach @sessions;
}

$_->end foreach $admin, $other, $third;
$node->stop;
done_testing();
