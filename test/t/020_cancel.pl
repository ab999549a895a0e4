
# A cancel is a cancel: whatever a call waits for, pg_cancel_backend,
# statement_timeout, pg_terminate_backend and a fast shutdown end it at once,
# with the server's own SQLSTATE, and the backend goes on working.
#
# "At once" is told from "when some timeout was over" by a generous bound; the
# time that it really took is printed.

use strict;
use warnings;

use Bill24Session;
use Bill24Test;
use File::Basename;
use IO::Socket::INET;
use Test::More;
use Time::HiRes qw(time);

my $bound = 5;

my $sim = start_simulator();
$sim->post('/_sim/seed', { count => 100, prefix => 'C', balance => 5 });
$sim->post('/_sim/seed_bills',
	{ count => 250, sync_code => 'C0000001', date => '2025-05-01T10:00:00' });

# A port whose queue of connections is full: connecting to it takes for ever.
my $full = IO::Socket::INET->new(
	LocalAddr => '127.0.0.1', Listen => 1, Proto => 'tcp');
listen($full, 0);
my $filler = IO::Socket::INET->new(
	PeerAddr => '127.0.0.1', PeerPort => $full->sockport);

# A port where connections are taken and never answered.
my $mute = IO::Socket::INET->new(
	LocalAddr => '127.0.0.1', Listen => 100, Proto => 'tcp');

my $shim = slow_names();
my $node = new_node('main', start => 0);
{
	local $ENV{LD_PRELOAD} = join(' ', grep { defined } $ENV{LD_PRELOAD}, $shim)
	  if $shim;
	$node->start;
}

# Whether reading from a socket, or accepting from it, would not wait.
sub readable
{
	return select(Bill24Session::bits($_[0]), undef, undef, 0) > 0;
}

# How far a connection to a port has come: the states of the client's side.
sub tcp_state
{
	my ($port, $state) = @_;
	my $remote = sprintf('0100007F:%04X', $port);

	open(my $in, '<', '/proc/net/tcp') or die "could not read /proc/net/tcp: $!";
	return scalar grep { (split)[2] eq $remote && hex((split)[3]) == $state } <$in>;
}

# The preloaded name look-up; undef, with the reason told, where there is none.
sub slow_names
{
	my $version = `pkg-config --modversion libcurl 2>/dev/null`;

	# Before that, libcurl waits for its thread whatever we tell it.
	if ($version !~ /^(\d+)\.(\d+)/ || $1 * 1000 + $2 < 7087)
	{
		note('no slow names: this libcurl cannot leave a look-up');
		return;
	}
	my $shim = Bill24Session::scratch() . '/slow_getaddrinfo.so';
	if (system($ENV{CC} // 'cc', '-shared', '-fPIC', '-O1', '-o', $shim,
			dirname(__FILE__) . '/../shim/slow_getaddrinfo.c', '-ldl') != 0)
	{
		note('no slow names: no C compiler');
		return;
	}
	return $shim;
}

# The accounts.  No timeout of theirs ends before the test's bound, and no
# authorities of the system are needed: there need not be any.
my %certificates = make_certificates(Bill24Session::scratch() . '/certificates');
my %patient = (connect_timeout => '60s', request_timeout => '60s',
	ca_file => $certificates{ca});
my %url = (
	bill24 => $sim->url,
	full => 'http://127.0.0.1:' . $full->sockport,
	mute => 'https://127.0.0.1:' . $mute->sockport,
	slow => 'http://slow.test:' . $sim->port);
foreach my $server (sort keys %url)
{
	setup_account($node, $sim, server => $server,
		options => { base_url => $url{$server}, allow_http => 'true', %patient });
}
my $good = "SELECT balance FROM bill24_get_wallet_balance('C0000001')";

# How many names were looked up slowly; each tells how many of the signals that
# are meant for the backend it could have taken.
sub lookups
{
	my @told = slurp($node->logfile) =~ /^slow_getaddrinfo: (\d+) signals not blocked$/mg;

	return @told;
}

# The phases: a statement, and how to know that it is in the phase; before it,
# faults of the simulator or other preparation; "leave" ends what else waits.
my $watcher = Bill24Session->new($node);
my $holder;
my $lookups;
my @taken;

my @phases = (
	{
		name => 'name look-up',
		skip => !$shim,
		prepare => sub { $lookups = lookups() },
		statement => "SELECT * FROM bill24_get_customer('C0000001', 'slow')",
		reached => sub {
			wait_until('a name is looked up', sub { lookups() > $lookups });
		},
	},
	{
		name => 'connect',
		statement => "SELECT * FROM bill24_get_customer('C0000001', 'full')",
		reached => sub {
			wait_until('SYN sent', sub { tcp_state($full->sockport, 2) });
		},
	},
	{
		name => 'TLS handshake',
		statement => "SELECT * FROM bill24_get_customer('C0000001', 'mute')",
		reached => sub {
			wait_until('a connection', sub { readable($mute) });
			my $connection = $mute->accept;
			push @taken, $connection;
			wait_until('a ClientHello', sub { readable($connection) });
			sysread($connection, my $hello, 16384);
			is(ord($hello), 22, 'a ClientHello came');
		},
	},
	{
		name => 'authorization',
		prepare => sub {
			$sim->post('/_sim/expire_tokens');
			$sim->post('/_sim/fault',
				{ kind => 'hang', path => '/merchantsecurity/authorize' });
		},
		statement => $good,
		reached => sub { requests_wait($sim, 1) },
	},
	{
		name => 'the authorization of another backend',
		prepare => sub {
			$sim->post('/_sim/expire_tokens');
			$sim->post('/_sim/fault',
				{ kind => 'hang', path => '/merchantsecurity/authorize' });
			$holder = Bill24Session->new($node);
			$holder->send($good);
			requests_wait($sim, 1);
		},
		statement => $good,
		reached => sub { backends_wait($watcher, $holder, @_) },
		leave => sub {
			$watcher->ok('SELECT pg_cancel_backend(' . $holder->pid . ')');
			is($holder->wait->{sqlstate}, '57014', 'the other is cancelled, too');
			undef $holder;
		},
	},
	{
		name => 'waiting for the answer',
		prepare => sub {
			$sim->post('/_sim/fault',
				{ kind => 'hang', path => '/instant_payment/get_wallet_balance' });
		},
		statement => $good,
		reached => sub { requests_wait($sim, 1) },
	},
	{
		name => 'reading the answer',
		prepare => sub {
			$sim->post('/_sim/fault',
				{ kind => 'slow_body', ms => 1000,
					path => '/instant_payment/get_wallet_balance' });
		},
		statement => $good,
		reached => sub { requests_wait($sim, 1); backends_wait($watcher, @_) },
	},
	{
		name => 'reading an answer that trickles',
		prepare => sub {
			$sim->post('/_sim/fault',
				{ kind => 'slow_body', ms => 1, path => '/instant_payment/get_bills' });
		},
		statement => "SELECT * FROM bill24_get_bills('2025-01-01', '2025-12-31')",
		reached => sub { requests_wait($sim, 1) },
	},
	{
		name => '64 in flight',
		prepare => sub {
			$sim->post('/_sim/fault',
				{ kind => 'hang', count => -1, skip => 10,
					path => '/instant_payment/get_wallet_balance' });
		},
		statement => "SELECT count(*) FROM bill24_get_wallet_balances("
		  . "ARRAY(SELECT 'C' || lpad(i::text, 7, '0') FROM generate_series(1, 100) i))",
		reached => sub { requests_wait($sim, 64) },
	},
	{
		name => 'the second page of bills',
		prepare => sub {
			$sim->post('/_sim/fault',
				{ kind => 'hang', skip => 1, path => '/instant_payment/get_bills' });
		},
		statement => "SELECT * FROM bill24_get_bills('2025-01-01', '2025-12-31')",
		reached => sub { requests_wait($sim, 1) },
	});

# The ways to cancel: what to run before the statement, and what then.
my @ways = (
	{
		name => 'pg_cancel_backend',
		sqlstate => '57014',
		act => sub { $watcher->ok('SELECT pg_cancel_backend(' . $_[0]->pid . ')') },
	},
	{
		name => 'statement_timeout',
		sqlstate => '57014',
		before => "SET statement_timeout = '300ms'",	# enough to get there
	},
	{
		name => 'pg_terminate_backend',
		sqlstate => '57P01',
		act => sub { $watcher->ok('SELECT pg_terminate_backend(' . $_[0]->pid . ')') },
	});

my $session = Bill24Session->new($node);
is($session->ok($good), '5', 'a call works');
my %longest;

foreach my $phase (@phases)
{
	foreach my $way (@ways)
	{
	  SKIP:
		{
			skip("$phase->{name}: not here", 3) if $phase->{skip};
			cancelled($phase, $way);
		}
	}
}
note(sprintf('%s: at most %.0f ms (%s)', $_, 1000 * $longest{$_}[0], $longest{$_}[1]))
  foreach sort keys %longest;

sub cancelled
{
	my ($phase, $way) = @_;
	my $what = "$way->{name}, $phase->{name}";
	my $start;

	$phase->{prepare}->() if $phase->{prepare};
	$session->ok('RESET statement_timeout');
	$session->ok($way->{before}) if $way->{before};
	$session->send($phase->{statement});
	$start = time;
	if ($way->{act})
	{
		$phase->{reached}->($session);
		$start = time;
		$way->{act}->($session);
	}
	my $result = $session->wait;
	my $seconds = time - $start;
	my $took = $way->{act} ? $seconds : $result->{seconds} - 0.3;

	is($result->{sqlstate}, $way->{sqlstate}, "$what: SQLSTATE");
	cmp_ok($seconds, '<', $bound, "$what: at once");
	note(sprintf('%.0f ms', 1000 * $took));
	$longest{ $way->{name} } = [ $took, $phase->{name} ]
	  if $took > ($longest{ $way->{name} } // [0])->[0];

	$phase->{leave}->() if $phase->{leave};
	@taken = ();
	$mute->accept while readable($mute);
	$sim->post('/_sim/clear_faults');
	requests_wait($sim, 0);
	if ($way->{sqlstate} eq '57P01')
	{
		$session->end;
		$session = Bill24Session->new($node);
	}
	else
	{
		$session->ok('RESET statement_timeout');
	}
	is($session->ok($good), '5', "$what: calls work");
	return;
}

# In a transaction the savepoint is there to return to, and a cursor that was
# cancelled between pages leaves nothing behind.
$sim->post('/_sim/fault',
	{ kind => 'hang', path => '/instant_payment/get_wallet_balance' });
$session->ok('BEGIN; SAVEPOINT s');
$session->send($good);
requests_wait($sim, 1);
$watcher->ok('SELECT pg_cancel_backend(' . $session->pid . ')');
is($session->wait->{sqlstate}, '57014', 'cancelled behind a savepoint');
$session->ok('ROLLBACK TO s');
is($session->ok($good), '5', 'a call works after ROLLBACK TO SAVEPOINT');

$sim->post('/_sim/fault',
	{ kind => 'hang', skip => 1, path => '/instant_payment/get_bills' });
$session->ok("DECLARE c CURSOR FOR SELECT ref_id FROM "
	  . "bill24_get_bills('2025-01-01', '2025-12-31')");
is(scalar(split(/\n/, $session->ok('FETCH 100 FROM c'))), 100,
	'a page by cursor');
$session->ok('SAVEPOINT s');
$session->send('FETCH 1 FROM c');
requests_wait($sim, 1);
$watcher->ok('SELECT pg_cancel_backend(' . $session->pid . ')');
is($session->wait->{sqlstate}, '57014', 'the second page is cancelled');
$session->ok('ROLLBACK TO s');
ok(comes_true(sub { $sim->get('/_sim/stats')->{in_flight} == 0 }, 10),
	'its request has ended with the savepoint');
is($session->ok($good), '5', 'a call works in the same transaction');
$session->ok('COMMIT');
$sim->post('/_sim/clear_faults');

# The same during a login: nobody waits for it while that transaction goes on.
$sim->post('/_sim/expire_tokens');
$sim->post('/_sim/fault',
	{ kind => 'hang', path => '/merchantsecurity/authorize' });
$session->ok("BEGIN; DECLARE c CURSOR FOR $good; SAVEPOINT s");
$session->send('FETCH 1 FROM c');
requests_wait($sim, 1);
$watcher->ok('SELECT pg_cancel_backend(' . $session->pid . ')');
is($session->wait->{sqlstate}, '57014', 'a login by cursor is cancelled');
$session->ok('ROLLBACK TO s');
$watcher->send($good);
ok(comes_true(sub { !$watcher->busy }, $bound), 'others log in at once');
$session->ok('ROLLBACK');
is($watcher->wait->{rows}, '5', 'and can call');
$sim->post('/_sim/clear_faults');
requests_wait($sim, 0);

# Names are looked up by a thread; the backend's signals are none of its.
SKIP:
{
	skip('no slow names', 3) unless $shim;

	cmp_ok(scalar(lookups()), '>=', 2, 'names were looked up slowly');
	is(scalar(grep { $_ > 0 } lookups()), 0, 'with all signals blocked');
	unlike(slurp($node->logfile), qr/^slow_getaddrinfo: interrupted/m,
		'and were not interrupted');
}

# A fast shutdown, with a backend in each of the phases.
my @waiting;
foreach my $phase (@phases)
{
	next if $phase->{skip} || $phase->{name} =~ /authorization|page|trickles/;
	push @waiting, { session => Bill24Session->new($node), phase => $phase };
}
$sim->post('/_sim/fault', $_)
  foreach { kind => 'hang', match => '"C0000002"' },
  { kind => 'slow_body', ms => 1000, match => '"C0000001"' },
  { kind => 'hang', count => -1, skip => 10, match => '"C' };
my %instead = (
	'waiting for the answer' => "SELECT * FROM bill24_get_wallet_balance('C0000002')");
foreach my $waiting (@waiting)
{
	my $phase = $waiting->{phase};

	$phase->{prepare}->() if $phase->{name} =~ /look-up/;
	$waiting->{session}->send($instead{ $phase->{name} } // $phase->{statement});
	$phase->{reached}->($waiting->{session}) if $phase->{name} =~ /look-up|connect|TLS/;
}
# all sessions together have 64 places: some wait for one
requests_wait($sim, 64);
my $start = time;
$node->stop('fast');
my $seconds = time - $start;
cmp_ok($seconds, '<', $bound, 'a fast shutdown is at once');
note(sprintf('%.0f ms, with %d backends waiting', 1000 * $seconds, scalar @waiting));
is($_->{session}->wait->{sqlstate}, '57P01', "shut down, $_->{phase}->{name}")
  foreach @waiting;
$sim->post('/_sim/clear_faults');
requests_wait($sim, 0);

# The same while one backend logs in and another waits for that.  Should one end
# before the other is told to, the other takes the login over, and hangs too.
$node->start;
$sim->post('/_sim/fault',
	{ kind => 'hang', path => '/merchantsecurity/authorize', count => -1 });
my @pair = map { Bill24Session->new($node) } 1 .. 2;
$watcher = Bill24Session->new($node);
$_->send($good) foreach @pair;
requests_wait($sim, 1);
backends_wait($watcher, @pair);
$start = time;
$node->stop('fast');
$seconds = time - $start;
cmp_ok($seconds, '<', $bound, 'a fast shutdown during a login is at once');
note(sprintf('%.0f ms', 1000 * $seconds));
is($_->wait->{sqlstate}, '57P01', 'shut down during a login') foreach @pair;
$sim->post('/_sim/clear_faults');

$node->start;
is($node->safe_psql('postgres', $good), '5', 'calls work after a restart');
$node->stop;

sub slurp
{
	open(my $in, '<', $_[0]) or die "could not read $_[0]: $!";
	local $/;
	return scalar <$in>;
}

done_testing();
