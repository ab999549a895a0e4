
# The mirror when looks fail: what was known stays, with its age and the reason,
# and when looks succeed again the reason goes.

use strict;
use warnings;

use Bill24Outbox;
use Bill24Session;
use Bill24Test;
use JSON::PP;
use Test::More;

my $sim = start_simulator();
my $node = new_node('main');
my $looks = '/customer/get_customer_detail';
my $mapping = "OPTIONS (token '00000000-0000-4000-8000-000000000001', client_id 'demo_client', secret 'demo-secret', hash_token 'demo-hash-token')";

setup_account($node, $sim, options => { mirror => 'true', retry_delay => '20ms', circuit_failures => 0,
	sync_interval => '1s', min_sync_interval => '1s', request_timeout => '2s', max_response_size => '64kB' });
my $admin = Bill24Session->new($node);
$sim->post('/_sim/seed', { prefix => 'F', count => 2, balance => 77, wallets => 2 });
my ($code, $witness) = ('F0000001', 'F0000002');
$admin->ok("SELECT bill24_track('{$code, $witness}')");

my $state = "SELECT sqlstate, error FROM bill24.customer WHERE sync_code = '$code'";
sub since { return $admin->ok('SELECT clock_timestamp()'); }
sub recovers
{
	my ($name) = @_;
	my $since = since();

	$admin->ok("SELECT bill24_refresh('{$code}')");
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	comes($admin, "SELECT synced_at > '$since', sqlstate, error, failed_at FROM bill24.customer WHERE sync_code = '$code'", 't|||', "$name: it recovers");
	is($admin->ok("SELECT failures FROM bill24.tracked WHERE sync_code = '$code'"), 0, "$name: that is forgotten");
	return;
}

# What is known of the customer, however its looks end.
my $known = "SELECT name, phone, email, deleted_at FROM bill24.customer WHERE sync_code = '$code'";
my $money = "SELECT string_agg(concat_ws(' ', id, name, balance, currency, deleted_at), ', ' ORDER BY id) FROM bill24.wallet WHERE sync_code = '$code'";
my ($there, $wallets);

sub stays_as_it_is
{
	my ($name, $age) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($admin->ok($known), $there, "$name: the customer stays");
	is($admin->ok($money), $wallets, "$name: so do the balances");
	return;
}

# Looks fail by a fault: sqlstate and error match.
sub fails
{
	my ($name, $expected, %fault) = @_;

	$sim->post('/_sim/fault', { path => $looks, match => "\"$code\"", count => -1, %fault });
	$admin->ok("SELECT bill24_refresh('{$code}')");
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	comes($admin, $state, $expected, "$name: the reason is told");
	my $read_at = $admin->ok("SELECT synced_at FROM bill24.customer WHERE sync_code = '$code'");
	comes($admin, "SELECT failures > 1, failed_at > synced_at, synced_at = '$read_at' FROM bill24.tracked JOIN bill24.customer USING (sync_code, server, failed_at) WHERE sync_code = '$code'",
		't|t|t', "$name: it is tried again, and the age grows");
	is($admin->ok("SELECT bool_and(synced_at = '$read_at') FROM bill24.wallet WHERE sync_code = '$code'"), 't', "$name: of balances, too");
	is($admin->ok('SELECT failing FROM bill24.freshness') . ' ' . $admin->ok('SELECT failed FROM bill24.sync_progress'), '1 1', "$name: it is counted");
	stays_as_it_is($name);
	$sim->post('/_sim/clear_faults');
	recovers($name);
	stays_as_it_is("$name, recovered");
	return;
}

comes($admin, "SELECT count(*) FROM bill24.wallet", 4, 'customers with wallets');
$there = $admin->ok($known);
$wallets = $admin->ok($money);
like($wallets, qr/77 (KHR|USD).*77 (KHR|USD)/, 'and with balances');

sub with_wallet { return { 'data.walletBalances.0' => $_[0] } }
my %w = (id => 'w', name => 'w', balance => 1, currency => 'KHR');

fails('500', qr/^\w{5}\|.*500/, kind => 'status', status => 500);
fails('503, HTML', qr/^\w{5}\|.*503/, kind => 'status', status => 503, body => '<html>Bad</html>', content_type => 'text/html');
fails('200, HTML', qr/^08P01\|/, kind => 'body', status => 200, body => '<html>Welcome</html>', content_type => 'text/html');
fails('connection dropped', qr/^(08\w{3})\|/, kind => 'drop_before');
fails('connection reset', qr/^(08\w{3})\|/, kind => 'reset_after');
fails('garbage', qr/^08P01\|/, kind => 'garbage');
fails('half a body', qr/^08\w{3}\|/, kind => 'half_body');
fails('no body', qr/^08P01\|/, kind => 'body', body => '');
fails('huge answer', qr/^\w{5}\|/, kind => 'huge', bytes => 1000000);
fails('no data', qr/^08P01\|could not read/, kind => 'patch', raw => { data => 'null' });
fails('data is a list', qr/^08P01\|could not read/, kind => 'patch', raw => { data => '[]' });
fails('another customer', qr/^08P01\|could not read.*another customer/, kind => 'patch', set => { 'data.sync_code' => $witness });
fails('nobody', qr/^08P01\|could not read.*which customer/, kind => 'patch', remove => ['data.sync_code']);
fails('name is an object', qr/^08P01\|could not read.*"name"/, kind => 'patch', set => { 'data.name' => {} });
fails('NUL in a name', qr/^08P01\|could not read.*"name"/, kind => 'patch', raw => { 'data.name' => '"a\u0000b"' });
fails('wallets are no list', qr/^08P01\|could not read.*no array/, kind => 'patch', set => { 'data.walletBalances' => {} });
fails('a wallet is no object', qr/^08P01\|could not read.*no object/, kind => 'patch', set => with_wallet('a'));
fails('a wallet is null', qr/^08P01\|could not read.*no object/, kind => 'patch', raw => { 'data.walletBalances.0' => 'null' });
fails('no balance', qr/^08P01\|could not read.*no readable balance/, kind => 'patch', remove => ['data.walletBalances.1.balance']);
fails('balance null', qr/^08P01\|could not read.*no readable balance/, kind => 'patch', raw => { 'data.walletBalances.1.balance' => 'null' });
fails("balance $_", qr/^08P01\|could not read.*balance/, kind => 'patch', raw => { 'data.walletBalances.1.balance' => $_ })
  foreach '"NaN"', '"Infinity"', '""', '" 5"', '"1,000.00"', '"0x10"', 'true', '[5]', '1e400000', '"1e5000"', '"' . '9' x 600 . '"';
fails('no id', qr/^08P01\|could not read.*no id/, kind => 'patch', remove => ['data.walletBalances.0.id']);
fails('an empty id', qr/^08P01\|could not read.*no id/, kind => 'patch', set => { 'data.walletBalances.0.id' => '' });
fails('an id twice', qr/^08P01\|could not read.*same id/, kind => 'patch', set => { 'data.walletBalances' => [ {%w}, {%w} ] });
is($admin->ok("SELECT failures FROM bill24.tracked WHERE sync_code = '$witness'"), 0, 'the other one is well');

# 429: nobody is to blame, and the server is left alone
{
	my $since = since();
	$sim->post('/_sim/fault', { kind => 'status', status => 429, retry_after => 2, path => $looks, count => 1 });
	wait_until('it is throttled', sub { $sim->get('/_sim/fault')->[0]{hits} == 1 });
	my $seen = $sim->get('/_sim/stats')->{by_path}{$looks};
	comes($admin, "SELECT bool_and(synced_at > '$since'::timestamptz + '1 second' AND sqlstate IS NULL) FROM bill24.customer", 't', '429: asked again later');
	is($admin->ok("SELECT bool_and(failures = 0) FROM bill24.tracked"), 't', 'it is no failure');
	stays_as_it_is('429');
}

# one that hangs ends by its time
fails('no answer', qr/^08007\|/, kind => 'hang');

# unknown from the start, then there
$admin->ok("SELECT bill24_track('{X0000001}')");
comes($admin, "SELECT synced_at IS NULL, deleted_at IS NULL, sqlstate, error FROM bill24.customer WHERE sync_code = 'X0000001'", qr/^t\|t\|KH404\|.*does not know/, 'one that nobody knows');
is($admin->ok('SELECT never_read, failing, gone FROM bill24.freshness'), '1|1|0', 'is counted as never read');
is($admin->ok('SELECT done, failed FROM bill24.sync_progress'), '2|1', 'and not as done');
$sim->post('/_sim/seed', { prefix => 'X', count => 1, balance => 3 });
comes($admin, "SELECT balance FROM bill24.wallet WHERE sync_code = 'X0000001'", 3, 'until it is there');
is($admin->ok("SELECT sqlstate IS NULL FROM bill24.customer WHERE sync_code = 'X0000001'"), 't', 'and then it is well');
$admin->ok("SELECT bill24_untrack('{X0000001}')");

# nobody can log in
$sim->post('/_sim/expire_tokens', { refresh => JSON::PP::true });
$sim->post('/_sim/fault', { kind => 'status', status => 401, path => '/merchantsecurity/authorize', count => -1 });
comes($admin, $state, qr/^28000\|/, 'login refused: the reason is told');
stays_as_it_is('login refused');
$sim->post('/_sim/clear_faults');
recovers('login refused');

# no account
$admin->ok('DROP USER MAPPING FOR CURRENT_USER SERVER bill24');
comes($admin, $state, qr/^28000\|.*user mapping/i, 'no account: the reason is told');
stays_as_it_is('no account');
$admin->ok("CREATE USER MAPPING FOR CURRENT_USER SERVER bill24 $mapping");
recovers('no account');

# the circuit is open: the provider is left alone, and customers keep their data
$admin->ok("ALTER SERVER bill24 OPTIONS (SET circuit_failures '3')");
$sim->post('/_sim/fault', { kind => 'status', status => 500, path => $looks, count => -1 });
comes($admin, "SELECT state FROM bill24.circuit WHERE server = 'bill24'", 'open', 'the circuit opens');
stays_as_it_is('circuit open');
$sim->post('/_sim/clear_faults');
$admin->ok('SELECT bill24_reset_circuit()');
recovers('circuit open');
stays_as_it_is('circuit closed');

# nothing was ever told of all that
is($admin->ok("SELECT count(*) FROM bill24.wallet_change WHERE sync_code = '$code'"), 0, 'no change was noted');

# a name that is told as a number, a null, and nothing
$sim->post('/_sim/fault', { kind => 'patch', path => $looks, match => "\"$code\"", count => -1, raw => { 'data.name' => '12.50', 'data.phone' => 'null' }, remove => ['data.email'] });
comes($admin, $known, '12.50|||', 'what can be read is read');
$sim->post('/_sim/clear_faults');

# with nobody to wake the worker, looks go on
foreach my $round (1 .. 3)
{
	my $since = since();

	comes($admin, "SELECT bool_and(synced_at > '$since') FROM bill24.customer", 't', "looks go on, $round");
}
comes($admin, $known, $there, 'and back');

# ---- the server option mirror -------------------------------------------------------

$admin->ok("ALTER SERVER bill24 OPTIONS (SET mirror 'false')");
wait_until('looks end', sub {
	my $before = $sim->get('/_sim/stats')->{by_path}{$looks};
	!comes_true(sub { $sim->get('/_sim/stats')->{by_path}{$looks} != $before }, 2.5) });
stays_as_it_is('mirror off');
my $since = since();
$admin->ok("ALTER SERVER bill24 OPTIONS (SET mirror 'true')");
comes($admin, "SELECT bool_and(synced_at > '$since') FROM bill24.customer", 't', 'mirror on: looks go on');
is($admin->query("ALTER SERVER bill24 OPTIONS (SET min_sync_interval '2s')")->{sqlstate}, '22023', 'min_sync_interval is not more than sync_interval');
is($admin->query("ALTER SERVER bill24 OPTIONS ($_)")->{sqlstate}, '22023', "no $_") foreach "SET sync_interval '0'", "SET mirror 'maybe'", "ADD second_look '-1s'";

done_testing();
