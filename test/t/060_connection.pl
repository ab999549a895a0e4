
# Connections are kept and used again, and when one breaks the outcome is told
# for what it is: a request that changes something is never sent a second time
# by itself.

use strict;
use warnings;

use Bill24Session;
use Bill24Test;
use IO::Socket::INET;
use JSON::PP;
use Test::More;

my $port = Bill24Session::free_port();
my $journal = Bill24Session::scratch() . '/journal';
my $sim;

# The simulator, always on the same port, with what it knew before.
sub start_again
{
	undef $sim;
	$sim = start_simulator('--port', $port, '--journal', $journal);
	return;
}

start_again();
$sim->post('/_sim/seed', { count => 400, prefix => 'C', balance => 500 });

my $node = new_node('main');
setup_account($node, $sim);
my $session = Bill24Session->new($node);
my $good = "SELECT balance FROM bill24_get_wallet_balance('C0000001')";

sub stats { return $sim->get('/_sim/stats'); }
sub effects { return $sim->get("/_sim/effects?key=$_[0]"); }

# Since 7.80 libcurl asks before it repeats a request; before, one that changes
# something has a connection of its own.
my $keeps_all = do
{
	my $version = `pkg-config --modversion libcurl 2>/dev/null`;
	$version =~ /^(\d+)\.(\d+)/ && $1 * 1000 + $2 >= 7080;
};

# Kept over calls, statements and transactions, failed ones too.
$session->ok($good);
$session->ok($good) foreach 1 .. 30;
$session->ok('BEGIN');
$session->ok($good) foreach 1 .. 30;
$session->ok('ROLLBACK');
$session->ok('SELECT count(*) FROM generate_series(1, 200) i, '
	  . "LATERAL bill24_get_wallet_balance('C000000' || (1 + i % 9)) b");
is($session->query("SELECT bill24_get_customer('nobody')")->{sqlstate},
	'KH404', 'one is refused');
$session->ok("SELECT bill24_get_bill('x', missing_ok => true)");
is(stats()->{connections}, 1, 'one connection for 262 calls and a login');

SKIP:
{
	skip('this libcurl makes a connection for each change', 1) unless $keeps_all;
	$session->ok("SELECT bill24_create_customer('K$_', 'Name')") foreach 1 .. 20;
	is(stats()->{connections}, 1, 'changes use it as well');
}

# Of many, those that nobody uses any more are closed; one in use goes on.  But
# not after a pause, when all may be needed again: it is longer than the 10 s
# that connections may be idle while others are in use.
my $burst = 'SELECT count(balance) FROM bill24_get_wallet_balances('
  . "(SELECT array_agg('C' || lpad(i::text, 7, '0')) FROM generate_series(1, 200) i))";
$sim->post('/_sim/config', { latency_ms => 20 });
is($session->ok($burst), 200, 'many calls at once');
my $many = stats();
cmp_ok($many->{open_connections}, '>', 32, 'over as many connections');
$session->ok('SELECT pg_sleep(11)');
is($session->ok($burst), 200, 'many calls again, after a pause');
is(stats()->{connections}, $many->{connections}, 'over the same');
$sim->post('/_sim/config', { latency_ms => 0 });
wait_until('the others are closed', sub {
	$session->ok($good);
	stats()->{open_connections} == 1;
});
is(stats()->{connections}, $many->{connections}, 'and no other was opened');

# A server that was restarted, or that closes what is idle, is not noticed.
my $number = 0;
foreach my $case (
	[
		'restarted',
		sub { $sim->stop; start_again(); }
	],
	[
		'killed and started again',
		sub { $sim->kill9; start_again(); }
	],
	[
		'which closes idle connections',
		sub {
			$sim->post('/_sim/config', { keepalive_timeout_s => 1 });
			$session->ok($good);
			wait_until('the connection is closed',
				sub { stats()->{open_connections} == 0 });
		}
	],
	[
		'which closes after each answer',
		sub {
			$sim->post('/_sim/config', { close_after => 'silent' });
			$session->ok($good);
			wait_until('the connection is closed',
				sub { stats()->{open_connections} == 0 });
		}
	],
	[
		'which says that it closes',
		sub {
			$sim->post('/_sim/config', { close_after => 'true' });
			$session->ok($good);
		}
	])
{
	my ($what, $prepare) = @$case;
	my $key = 'R' . ++$number;

	$session->ok($good);
	$prepare->();
	my $before = stats()->{by_path}{'/customer/create'} // 0;
	my $result = $session->query("SELECT sync_code FROM bill24_create_customer('$key', 'Name')");

	is($result->{sqlstate}, '00000', "a server $what: the next change succeeds")
	  or diag($result->{error});
	is(effects($key)->{created}, 1, 'and is done once');
	is(stats()->{by_path}{'/customer/create'} - $before, 1, 'and sent once');
	$sim->post('/_sim/config',
		{ keepalive_timeout_s => 0, close_after => 'false' });
}

# The connection breaks when the request has been read: changes.
my %change = (
	settle => {
		path => '/bill_payment/push_bill_with_payment',
		statement => q{SELECT bill24_settle_payment('%s', 'C0000001', 1, 'KHR',
			'S1', '2026-01-01', '2099-01-01',
			payment_method_token => current_setting('test.token'))},
		counter => 'charges',
		lookup => 'bill24_get_bill',
	},
	create => {
		path => '/customer/create',
		statement => q{SELECT bill24_create_customer('%s', 'Name')},
		counter => 'created',
		lookup => 'bill24_get_customer',
	},
	delete => {
		path => '/customer/delete',
		before => q{SELECT bill24_create_customer('%s', 'Name')},
		statement => q{SELECT bill24_delete_customer('%s')},
		counter => 'deleted',
		lookup => 'not found',
	});
$session->ok("SELECT bill24_onboard_sub_biller('S1', 'Supplier')");
my $token = $session->ok(
	"SELECT token FROM bill24_get_payment_methods('C0000001')");

foreach my $name (sort keys %change)
{
	my $change = $change{$name};

	foreach my $kind ('drop_after', 'reset_after', 'half_body', 'drop_before')
	{
		foreach my $kept (1, 0)
		{
			my $key = 'B' . ++$number;
			my $what = "$name, $kind, on a " . ($kept ? 'kept' : 'new') . ' connection';

			$session->ok(sprintf($change->{before}, $key)) if $change->{before};
			if (!$kept)
			{
				$session->end;
				$session = Bill24Session->new($node);
			}
			else
			{
				$session->ok($good);
			}
			$session->ok("SET test.token = '$token'");
			$sim->post('/_sim/fault', { kind => $kind, path => $change->{path} });
			my $before = stats()->{by_path}{ $change->{path} } // 0;
			my $result = $session->query(sprintf($change->{statement}, $key));

			is($result->{sqlstate}, '08007', "$what: SQLSTATE")
			  or diag($result->{error});
			like($result->{error}, qr/^HINT:.*\Q$change->{lookup}\E/m, "$what: HINT");
			is(effects($key)->{ $change->{counter} },
				$kind eq 'drop_before' ? 0 : 1, "$what: effect");
			is(stats()->{by_path}{ $change->{path} } - $before, 1, "$what: sent once");
			$sim->post('/_sim/clear_faults');
		}
	}
}

# And what only reads: the right answer, or none.
foreach my $kind ('drop_after', 'reset_after', 'half_body', 'drop_before')
{
	$session->ok($good);
	$sim->post('/_sim/fault',
		{ kind => $kind, path => '/instant_payment/get_wallet_balance' });
	my $result = $session->query($good);
	if ($result->{sqlstate} eq '00000')
	{
		is($result->{rows}, $session->ok($good), "read, $kind: the right answer");
	}
	else
	{
		is($result->{sqlstate}, '08007', "read, $kind: no answer");
	}
	$sim->post('/_sim/clear_faults');
}
my %outcome;
my $balance = $session->ok($good);
$sim->post('/_sim/fault',
	{ kind => $_, probability => 0.2, count => -1,
		path => '/instant_payment/get_wallet_balance' })
  foreach 'drop_after', 'reset_after', 'half_body';
foreach (1 .. 100)
{
	my $result = $session->query($good);
	my $right = $result->{sqlstate} eq '00000' && $result->{rows} eq $balance
	  || $result->{sqlstate} eq '08007';

	fail("a wrong outcome: $result->{rows} $result->{error}") unless $right;
	$outcome{ $result->{sqlstate} }++;
}
cmp_ok(keys %outcome, '==', 2, 'over a bad line, reads succeed or say so');
note(join(', ', map { "$_ $outcome{$_} times" } sort keys %outcome));
$sim->post('/_sim/clear_faults');

# The login breaks: then the operation itself was not sent.
foreach my $fault (
	{ kind => 'drop_after' },
	{ kind => 'status', status => 503 },
	{ kind => 'garbage' })
{
	my $key = 'L' . ++$number;

	$sim->post('/_sim/expire_tokens', { refresh => JSON::PP::true() });
	$sim->post('/_sim/fault',
		{ %$fault, path => '/merchantsecurity/authorize', count => -1 });
	my $result = $session->query("SELECT bill24_create_customer('$key', 'Name')");

	is($result->{sqlstate}, '08001', "login, $fault->{kind}: SQLSTATE");
	unlike($result->{error}, qr/may have been created/,
		"login, $fault->{kind}: nobody looks for a customer")
	  or diag($result->{error});
	is(effects($key)->{created}, 0, "login, $fault->{kind}: no effect");
	$sim->post('/_sim/clear_faults');

	# a failed login is remembered for a moment
	wait_until('logins are tried again',
		sub { $session->query($good)->{sqlstate} eq '00000' });
}

# Nobody listens; somebody listens and hangs up.
my $dead = Bill24Session::free_port();
my $rude = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 10);
setup_account($node, $sim, server => 'dead',
	options => { base_url => "http://127.0.0.1:$dead" });
setup_account($node, $sim, server => 'rude',
	options => { base_url => 'http://127.0.0.1:' . $rude->sockport });
foreach my $call ("get_customer('C'", "create_customer('C', 'N'")
{
	my $result = $session->query("SELECT bill24_$call, server => 'dead')");
	is($result->{sqlstate}, '08001', "$call), nobody listens: SQLSTATE");
	like($result->{error}, qr/^HINT:  Nothing was sent/m, 'and says so');

	$session->send("SELECT bill24_$call, server => 'rude')");
	while ($session->busy)
	{
		close($rude->accept)
		  if select(Bill24Session::bits($rude), undef, undef, 0.05) > 0;
	}
	$result = $session->wait;
	is($result->{sqlstate}, '08001',
		"$call), somebody hangs up during the login: SQLSTATE")
	  or diag($result->{error});
}
is($session->ok($good), $balance, 'other accounts are not affected');

# The server dies in the middle of a batch: each row is right, or says why not.
$sim->post('/_sim/config', { latency_ms => 30 });
my $answered = stats()->{by_path}{'/instant_payment/get_wallet_balance'};
$session->send("SELECT coalesce(sqlstate, 'none'), count(*), "
	  . 'count(DISTINCT sync_code), min(balance), max(balance) '
	  . 'FROM bill24_get_wallet_balances(ARRAY('
	  . "SELECT 'C' || lpad(i::text, 7, '0') FROM generate_series(101, 400) i)) "
	  . 'GROUP BY 1 ORDER BY 1 DESC');
wait_until('a third of the answers', sub {
	stats()->{by_path}{'/instant_payment/get_wallet_balance'} - $answered > 150;
});
$sim->kill9;
my $result = $session->wait;
is($result->{sqlstate}, '00000', 'a batch ends when the server dies');
my $rows = 0;
foreach my $line (split(/\n/, $result->{rows}))
{
	my ($sqlstate, $count, $codes, $min, $max) = split(/\|/, $line);

	note($line);
	$rows += $codes;
	is($count, $codes, "$sqlstate: a row for each");
	like($line, $sqlstate eq 'none' ? qr/\|500\|500$/ :
		  $sqlstate =~ /^(0800[17]|KH503)$/ ? qr/\|\|$/ : qr/^none/,
		"$sqlstate: what is in it");
}
is($rows, 300, 'with a row for every customer');
like($result->{rows}, qr/^none/m, 'some of them answered');
like($result->{rows}, qr/^0800[17]/m, 'and some not');
like($session->query($good)->{sqlstate}, qr/^(08001|KH503)$/, 'the server is gone');
start_again();
$session->ok('SELECT bill24_reset_circuit()');
is($session->ok($good), $balance, 'and back again');

$session->end;
wait_until('no connection is left',
	sub { stats()->{open_connections} == 0 });
$node->stop;
done_testing();
