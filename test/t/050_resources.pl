
# Nothing piles up: descriptors, memory and connections of a backend are after
# thousands of calls, cancels and errors what they were before.

use strict;
use warnings;

use Bill24Session;
use Bill24Test;
use JSON::PP;
use Test::More;
use Time::HiRes qw(time);

my $sim = start_simulator();
$sim->post('/_sim/seed', { count => 1000, prefix => 'C', balance => 5 });
$sim->post('/_sim/seed_bills',
	{ count => 1000, sync_code => 'C0000001', date => '2025-05-01T10:00:00' });
my $balance_path = '/instant_payment/get_wallet_balance';

# So many connections are kept for the next batch.
my $idle = 16;

# Thousands of failures in a row are the point of it: the circuit stays closed.
my %always = (circuit_failures => 0);

my $node = new_node('main');
setup_account($node, $sim,
	options => { max_response_size => '64kB', max_in_flight => $idle, %always });
setup_account($node, $sim, server => 'wide',
	options => { max_in_flight => 250, %always });
my $session = Bill24Session->new($node);
my $major = $session->ok("SELECT current_setting('server_version_num')::int / 10000");
my $good = "SELECT balance FROM bill24_get_wallet_balance('C0000001')";

# What a backend holds: files that are none of the server's own data, resident
# memory and memory contexts, in kB.
sub usage
{
	my $pid = $session->pid;
	my @files = grep { (readlink($_) // '') !~ m{^/} } glob("/proc/$pid/fd/*");
	my ($rss, $contexts);

	open(my $in, '<', "/proc/$pid/status") or die "could not read status: $!";
	while (<$in>)
	{
		$rss = $1 if /^VmRSS:\s+(\d+) kB/;
	}
	$contexts = $session->ok(
		'SELECT sum(total_bytes) / 1024 FROM pg_backend_memory_contexts')
	  if $major >= 14;
	return {
		files => scalar(@files),
		rss => $rss,
		contexts => sprintf('%.0f', $contexts // 0)
	};
}

my $before;
my $start;

sub measure
{
	my ($what) = @_;
	my $now = usage();
	my $text = join(', ', map { "$_ $before->{$_} -> $now->{$_}" } sort keys %$now);

	note(sprintf('%s, %.1f s', $text, time - $start));
	cmp_ok($now->{files}, '<=', $before->{files} + $idle, "$what: files");
	cmp_ok($now->{rss}, '<=', $before->{rss} + 2048, "$what: memory");
	cmp_ok($now->{contexts}, '<=', $before->{contexts} + 256,
		"$what: memory contexts");
	is($session->ok($good), '5', "$what: calls work");
	$start = time;
	return;
}

# Everything that is used once, is used.
sub calls
{
	my ($count) = @_;

	return qq{DO \$\$
		BEGIN
			FOR i IN 1 .. $count LOOP
				PERFORM bill24_get_wallet_balance('C0000001');
				PERFORM bill24_get_customer('C0000002');
				PERFORM bill24_get_payment_methods('C0000003');
				PERFORM bill24_update_customer('C0000004', 'Name ' || i);
				PERFORM bill24_get_bill('none', missing_ok => true);
			END LOOP;
		END \$\$};
}

# One call that fails, in a subtransaction, many times.
sub failing
{
	my ($count) = @_;

	return qq{DO \$\$
		BEGIN
			FOR i IN 1 .. $count LOOP
				BEGIN
					PERFORM bill24_get_wallet_balance('C0000001');
				EXCEPTION WHEN others THEN
					NULL;
				END;
			END LOOP;
		END \$\$};
}

# Calls that a timeout of some milliseconds cancels: each is a statement of its
# own, since the timeout is.  On a busy machine it now and then hits another
# statement, which then is no more than the transaction around a call.
sub cancelled
{
	my ($count) = @_;
	my $by_savepoint = "BEGIN;\nSAVEPOINT s;\n$good;\nROLLBACK TO s;\nCOMMIT;\n";
	my $by_exception = "DO \$\$ BEGIN PERFORM bill24_get_wallet_balance('C0000001');"
	  . " EXCEPTION WHEN query_canceled THEN RAISE NOTICE 'cancelled'; END \$\$;\n";

	return "SET statement_timeout = '4ms';\n"
	  . ($by_savepoint x ($count / 2)) . ($by_exception x ($count / 2))
	  . "RESET statement_timeout;\n";
}

$session->ok(calls(300));
$session->ok('SELECT count(*) FROM bill24_get_wallet_balances('
	  . "ARRAY(SELECT 'C' || lpad(i::text, 7, '0') FROM generate_series(1, 100) i))");
my @faults = (
	{ kind => 'status', status => 500 },
	{ kind => 'status', status => 429, retry_after => 1 },
	{ kind => 'status', status => 302, headers => { Location => 'http://127.0.0.1:1/' } },
	{ kind => 'drop_before' }, { kind => 'drop_after' }, { kind => 'reset_after' },
	{ kind => 'half_body' }, { kind => 'garbage' },
	{ kind => 'huge', bytes => 1 << 20 }, { kind => 'huge', bytes => 1 << 20, gzip => JSON::PP::true() },
	{ kind => 'endless' }, { kind => 'unauthorized' },
	{ kind => 'body', body => '' }, { kind => 'body', body => '[[[' },
	{ kind => 'body', body => '{"code": "000", "data": {"no": "array"}}' },
	{ kind => 'body', body => '{"code": "000", "data": [{"balance": "x"}]}' },
	{ kind => 'body', body => '{"code": "311", "message": "no"}' });

sub each_fault
{
	my ($count) = @_;

	foreach my $fault (@faults)
	{
		$sim->post('/_sim/fault', { %$fault, path => $balance_path, count => -1 });
		$session->ok(failing($count));
		$sim->post('/_sim/clear_faults');
	}
	return;
}

each_fault(3);
my $hang = { kind => 'hang', path => $balance_path, count => -1 };
$sim->post('/_sim/fault', $hang);
$session->query(cancelled(20));
$sim->post('/_sim/clear_faults');
$before = usage();

# Calls, one after another and in one statement.
$start = time;
$session->ok(calls(2000));
measure('10,000 calls in a loop');
$session->ok('SELECT count(*) FROM generate_series(1, 10000) i, '
	  . "LATERAL bill24_get_wallet_balance('C000000' || (1 + i % 9)) b");
measure('10,000 calls in a statement');
$session->ok('SELECT count(*) FROM bill24_get_wallet_balances('
	  . "ARRAY(SELECT 'C' || lpad(i::text, 7, '0') FROM generate_series(1, 1000) i))")
  foreach 1 .. 3;
measure('3,000 calls in batches');

# Cancels; the server's files are counted as well, and would run out.
$sim->post('/_sim/fault', $hang);
my $result = $session->query(cancelled(1000));
my $count = () = "$result->{rows}$result->{error}" =~ /57014|cancelled$/mg;
cmp_ok($count, '>=', 950, 'a thousand cancels');
note("$count cancels");
requests_wait($sim, 0);
$sim->post('/_sim/clear_faults');
measure('1,000 cancels');
wait_until('connections of cancelled calls end',
	sub { $sim->get('/_sim/stats')->{open_connections} <= 16 });
note('open connections: ' . $sim->get('/_sim/stats')->{open_connections});

# 50 of each kind of error.
each_fault(50);
measure(50 * @faults . ' errors');

# Reading of bills that is left early.
my $bills = "bill24_get_bills('2025-01-01', '2025-12-31')";
$session->ok(join("\n", map {
	"SELECT count(*) FROM (SELECT ref_id FROM $bills LIMIT 5) b;\n"
	  . "BEGIN; DECLARE c CURSOR FOR SELECT ref_id FROM $bills;\n"
	  . 'FETCH 101 FROM c;'
	  . ($_ % 3 == 0 ? 'CLOSE c; COMMIT;' : $_ % 3 == 1 ? 'COMMIT;' : 'ROLLBACK;')
} 1 .. 60));
measure('180 pages of bills');

# Many at once after all that: each connection is one of the files that the
# server counts.
$sim->post('/_sim/config', { latency_ms => 200 });
my $batch = q{SELECT count(*), count(balance), min(sqlstate), min(error)
	FROM bill24_get_wallet_balances(
		ARRAY(SELECT 'C' || lpad(i::text, 7, '0') FROM generate_series(1, %d) i), 'wide')};
is($session->ok(sprintf($batch, 500)), '500|500||', '500 customers, 250 at once');
is($sim->get('/_sim/stats')->{max_in_flight}, 250, 'and really at once');

# More than a process may have open has to wait, and is no error.
$session->ok("ALTER SERVER wide OPTIONS (SET max_in_flight '1000')");
is($session->ok(sprintf($batch, 1000)), '1000|1000||', '1000 customers, as many at once as can be');
note('at once: ' . $sim->get('/_sim/stats')->{max_in_flight});
is($session->ok($good), '5', 'and calls work');
$session->end;
wait_until('no connection is left',
	sub { $sim->get('/_sim/stats')->{open_connections} == 0 });

# A server that may have few files.
$node->append_conf('postgresql.conf', "max_files_per_process = 100\n");
$node->restart;
$session = Bill24Session->new($node);
is($session->ok(sprintf($batch, 200)), '200|200||', '200 customers with few files');
is($session->ok($good), '5', 'and calls work');
$session->end;
$node->stop;

done_testing();
