
# One login serves everybody: however many backends need a token at once, one
# of them logs in, whatever happens to it meanwhile.

use strict;
use warnings;

use Bill24Session;
use Bill24Test;
use JSON::PP;
use Test::More;
use Time::HiRes qw(time);

my $authorize = '/merchantsecurity/authorize';
my $good = "SELECT balance FROM bill24_get_wallet_balance('C0000001')";
my $bound = 5;

my $sim = start_simulator();
$sim->post('/_sim/seed', { count => 10, prefix => 'C', balance => 5 });

# Backends that are killed outright are part of this test.
my $node = new_node('main', conf => "restart_after_crash = on\n");
setup_account($node, $sim);

my @sessions;
my $watcher;

sub connect_all
{
	@sessions = map { Bill24Session->new($node) } 1 .. 20;
	$watcher = Bill24Session->new($node);
	return;
}

# The number of logins of a kind since this was last asked.
my %counted;

sub logins
{
	my ($of) = @_;
	my $now = $of->get('/_sim/stats')->{authorize};
	my %since;

	foreach my $kind (keys %$now)
	{
		$since{$kind} = $now->{$kind} - ($counted{ $of->port }{$kind} // 0);
	}
	$counted{ $of->port } = $now;
	return "full $since{full}, refresh $since{refresh}, refused $since{refused}";
}

# The SQLSTATEs and rows of a statement, run by sessions all at once.
sub all_run
{
	my ($statement, @who) = @_;
	my %count;

	$_->send($statement) foreach @who;
	foreach my $result (map { $_->wait } @who)
	{
		my $what = join(' ', grep { $_ ne '' } $result->{sqlstate}, $result->{rows});

		$count{$what}++;
	}
	return join(', ', map { "$count{$_} times $_" } sort keys %count);
}

# A token that is used until it is old, by a session beside the others.
my $short = start_simulator();
$short->post('/_sim/config', { token_lifetime_s => 10 });
$short->post('/_sim/seed', { count => 1, prefix => 'C', balance => 5 });
setup_account($node, $short, server => 'short');
my $patient = Bill24Session->new($node);
$patient->send(q{DO $$
	DECLARE
		start timestamptz := clock_timestamp();
	BEGIN
		WHILE clock_timestamp() < start + interval '11 s' LOOP
			PERFORM bill24_get_wallet_balance('C0000001', 'short');
			PERFORM pg_sleep(0.02);
		END LOOP;
	END $$});

# Nobody has a token.
connect_all();
$sim->post('/_sim/fault', { kind => 'delay', ms => 300, path => $authorize });
is(all_run($good, @sessions), '20 times 00000 5', '20 backends without a token');
is(logins($sim), 'full 1, refresh 0, refused 0', 'one login');

# The token becomes worthless while everybody uses it.
my $many = q{SELECT min(b.balance) FROM generate_series(1, 40) i,
	LATERAL bill24_get_wallet_balance('C000000' || (1 + i % 9)) b};
$sim->post('/_sim/config', { latency_ms => 5 });
my $before = $sim->get('/_sim/stats')->{requests};
$_->send($many) foreach @sessions;
wait_until('everybody calls', sub {
	$sim->get('/_sim/stats')->{requests} - $before > 100;
});
$sim->post('/_sim/expire_tokens');
is(join(' ', map { my $r = $_->wait; $r->{sqlstate} . '/' . $r->{rows} } @sessions),
	join(' ', ('00000/5') x 20), 'the token expires: all calls succeed');
is(logins($sim), 'full 0, refresh 1, refused 0', 'one renewal');
cmp_ok($sim->get('/_sim/stats')->{unauthorized}, '<=', 20,
	'nobody was refused twice');
note('refused: ' . $sim->get('/_sim/stats')->{unauthorized});
$sim->post('/_sim/config', { latency_ms => 0 });

# And the refresh token with it.
$sim->post('/_sim/expire_tokens', { refresh => JSON::PP::true() });
is(all_run($good, @sessions), '20 times 00000 5',
	'the refresh token is not taken');
is(logins($sim), 'full 1, refresh 0, refused 1', 'so the credentials are');

# Who logs in is cancelled, or goes; another takes over.
foreach my $way ('cancel', 'terminate')
{
	my ($first, $second) = @sessions[0, 1];

	$sim->post('/_sim/expire_tokens');
	$sim->post('/_sim/fault', { kind => 'hang', path => $authorize });
	$first->send($good);
	requests_wait($sim, 1);
	$second->send($good);
	backends_wait($watcher, $first, $second);
	my $start = time;
	$watcher->ok("SELECT pg_${way}_backend(" . $first->pid . ')');
	my $result = $second->wait;
	my $seconds = time - $start;

	is($result->{sqlstate} . ' ' . $result->{rows}, '00000 5',
		"$way during a login: another backend logs in");
	cmp_ok($seconds, '<', $bound, 'at once');
	note(sprintf('%.0f ms', 1000 * $seconds));
	like($first->wait->{sqlstate}, qr/^57/, 'and the first has its own error');
	logins($sim);
}
shift(@sessions)->end;
unshift @sessions, Bill24Session->new($node);

# The credentials are wrong, and everybody tries them.
setup_account($node, $sim, server => 'wrong', mapping => { secret => 'guess' });
my $start = time;
my $tries = q{DO $$
	DECLARE
		refused int := 0;
	BEGIN
		FOR i IN 1 .. 20 LOOP
			BEGIN
				PERFORM bill24_get_wallet_balance('C0000001', 'wrong');
			EXCEPTION WHEN invalid_authorization_specification THEN
				refused := refused + 1;
			END;
		END LOOP;
		ASSERT refused = 20;
	END $$};
is(all_run($tries, @sessions), '20 times 00000',
	'wrong credentials: 28000 for 400 calls of 20 backends');
my $refused = $sim->get('/_sim/stats')->{authorize}{refused} - $counted{ $sim->port }{refused};
cmp_ok($refused, '<=', 1 + (time - $start) / 5, 'but the provider is asked rarely');
note("asked $refused times");
my $told = $sessions[3]->query("SELECT bill24_get_customer('C', 'wrong')");
like($told->{error}, qr/^HINT:  Check token, client_id and secret/m,
	'with what to do');
$watcher->ok("ALTER USER MAPPING FOR CURRENT_USER SERVER wrong OPTIONS (SET secret 'demo-secret')");
is(all_run("SELECT balance FROM bill24_get_wallet_balance('C0000001', 'wrong')", @sessions),
	'20 times 00000 5', 'they are set right: everybody can call at once');

# The provider cannot log anybody in for a moment.
$sim->post('/_sim/expire_tokens');
$sim->post('/_sim/fault',
	{ kind => 'status', status => 503, count => -1, path => $authorize });
$start = time;
$before = $sim->get('/_sim/stats')->{by_path}{$authorize};
like(all_run($good, @sessions), qr/^(20 times 08001|\d+ times 08001, \d+ times KH503)$/,
	'the login fails: so do calls, until the circuit opens');
cmp_ok($sim->get('/_sim/stats')->{by_path}{$authorize} - $before,
	'<=', 2 + 2 * (time - $start), 'and the provider is asked rarely');
$sim->post('/_sim/clear_faults');
wait_until('logins work', sub { $watcher->query($good)->{sqlstate} eq '00000' });
is(all_run($good, @sessions), '20 times 00000 5', 'it recovers: everybody can call');
logins($sim);

# Clocks that differ do no harm, and do not make it log in more often.
foreach my $skew (86400, -86400)
{
	$sim->post('/_sim/config', { clock_skew_s => $skew });
	$sim->post('/_sim/expire_tokens', { refresh => JSON::PP::true() });
	$sessions[0]->ok($good);
	logins($sim);
	is(all_run($many, @sessions), '20 times 00000 5',
		"the provider's clock is $skew s ahead: calls work");
	is(logins($sim), 'full 0, refresh 0, refused 0', 'with one login');
	like(
		$watcher->ok("SELECT ok, detail FROM bill24_check() WHERE step = 'clock'"),
		qr/^f\|.*$skew s ahead|^f\|.*@{[$skew + 1]} s ahead|^f\|.*@{[$skew - 1]} s ahead/,
		'and bill24_check() tells');
	logins($sim);
}
$sim->post('/_sim/config', { clock_skew_s => 0 });
$sim->post('/_sim/expire_tokens', { refresh => JSON::PP::true() });

is($patient->wait->{sqlstate}, '00000', 'calls for longer than a token lasts');
is(logins($short), 'full 1, refresh 1, refused 0', 'with one renewal');
is($short->get('/_sim/stats')->{unauthorized}, 0, 'before the token was too old');

# Many accounts, each without a token when everybody comes to it.
my @accounts = map {
	my ($n, $name) = ($_, 'localhost');
	substr($name, $_, 1) = uc(substr($name, $_, 1)) foreach grep { $n & 1 << $_ } 0 .. 8;
	$name;
} 1 .. 40;
$watcher->ok(join(';', map {
	my $url = "http://$_:" . $sim->port;
	qq{CREATE SERVER "$_" FOREIGN DATA WRAPPER bill24 OPTIONS (base_url '$url', allow_http 'true');
	CREATE USER MAPPING FOR CURRENT_USER SERVER "$_" OPTIONS (
		token '00000000-0000-4000-8000-000000000001', client_id 'demo_client',
		secret 'demo-secret')};
} @accounts));
logins($sim);
foreach my $round ('without', 'with')
{
	is(all_run("SELECT sum(b.balance) FROM (SELECT srvname FROM pg_foreign_server"
			  . " WHERE srvname ILIKE 'localhost' ORDER BY srvname) s,"
			  . " LATERAL bill24_get_wallet_balance('C0000001', srvname) b", @sessions),
		'20 times 00000 ' . 5 * @accounts, "40 accounts $round tokens, 20 backends");
}
is(logins($sim), 'full 40, refresh 0, refused 0', 'one login each');

# Who logs in is killed outright: the server starts anew, and all is well.
$sim->post('/_sim/expire_tokens');
$sim->post('/_sim/fault', { kind => 'hang', path => $authorize });
my ($first, $second) = @sessions[0, 1];
$first->send($good);
requests_wait($sim, 1);
$second->send($good);
backends_wait($watcher, $first, $second);
kill('KILL', $first->pid);
isnt($_->wait->{sqlstate}, '00000', 'a backend is killed during a login')
  foreach $first, $second;
$_->end foreach @sessions, $watcher, $patient;
ok($node->poll_query_until('postgres', 'SELECT true'), 'the server recovers');
requests_wait($sim, 0);
connect_all();
logins($sim);
is(all_run($good, @sessions), '20 times 00000 5', 'and calls work');
is(logins($sim), 'full 1, refresh 0, refused 0', 'with one login');
$_->end foreach @sessions, $watcher;
$node->stop;

# Without shared memory each backend has its own token.
my $plain = new_node('plain', preload => 0);
setup_account($plain, $sim);
@sessions = map { Bill24Session->new($plain) } 1 .. 4;
foreach (1 .. 5)
{
	is(all_run($good, @sessions), '4 times 00000 5', 'not preloaded: calls work');
}
is(logins($sim), 'full 4, refresh 0, refused 0', 'with one login each');
$sim->post('/_sim/expire_tokens');
is(all_run($good, @sessions), '4 times 00000 5', 'the tokens expire: calls work');
is(logins($sim), 'full 0, refresh 4, refused 0', 'with one renewal each');
$_->end foreach @sessions;
$plain->stop;

done_testing();
