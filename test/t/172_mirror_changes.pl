
# The mirror: what is told of changes, that money is exact, and what becomes of
# customers and wallets that are gone.

use strict;
use warnings;

use Bill24Mirror qw(connect_mirror track equal_to_simulator);
use Bill24Outbox;
use Bill24Session;
use Bill24Test;
use JSON::PP;
use Test::More;

my $sim = start_simulator();
my $node = new_node('main');
setup_account($node, $sim, options => { mirror => 'true', retry_delay => '20ms', circuit_failures => 0, sync_interval => '1h' });
my ($admin) = connect_mirror($node, $sim);
my $looks = '/customer/get_customer_detail';

sub refresh { return $admin->ok("SELECT bill24_refresh(array(SELECT sync_code FROM bill24.tracked WHERE $_[0]))"); }

# The changes that a session which listens was told of, as "code old new", or
# how many; a statement has them read.
sub told
{
	my ($session) = @_;
	my @told;

	foreach my $line (split(/\n/, $session->ok('SELECT')))
	{
		my ($payload) = $line =~ /^Asynchronous notification "bill24_wallet" with payload "(.*)" received/ or next;
		my $json = JSON::PP->new->allow_bignum->decode($payload);

		push @told, exists $json->{changes} ? "changes $json->{changes}" :
		  join(' ', map { $_ // 'null' } "$json->{server}:$json->{sync_code}:$json->{currency}", @{$json}{'old_balance', 'new_balance'});
	}
	return @told;
}

$sim->post('/_sim/seed', { prefix => 'Q', count => 10, balance => 5 });
track('Q', 10);
comes($admin, 'SELECT count(*) FROM bill24.customer WHERE synced_at IS NOT NULL', 10, 'customers');

# ---- what is told ----------------------------------------------------------------

my $listener = Bill24Session->new($node);
$listener->ok('LISTEN bill24_wallet');
$sim->post('/_sim/topup', { sync_code => 'Q0000001', amount => '-2.25' });
my $number = $admin->ok('SELECT coalesce(max(number), 0) FROM bill24.wallet_change');
my $balance = $admin->ok("SELECT balance FROM bill24.wallet WHERE sync_code = 'Q0000001'");
my @told;
refresh("sync_code = 'Q0000001'");
comes($admin, "SELECT id = (SELECT id FROM bill24.wallet WHERE sync_code = 'Q0000001'), old_balance, new_balance FROM bill24.wallet_change WHERE number > $number",
	"t|$balance|" . ($balance - 2.25), 'a change is noted');
wait_until('it is told', sub { push @told, told($listener); scalar @told });
is("@told", "bill24:Q0000001:KHR $balance " . ($balance - 2.25), 'and told');

# many changes of one transaction are told together
sub wallets { return [ map { { id => "w$_", name => 'w', balance => $_ + $_[0], currency => 'KHR' } } 1 .. $_[1] ]; }

foreach my $n (100, 101)
{
	$sim->post('/_sim/clear_faults');
	$sim->post('/_sim/fault', { kind => 'patch', path => $looks, match => '"Q0000002"', count => -1, set => { 'data.walletBalances' => wallets(0, $n) } });
	refresh("sync_code = 'Q0000002'");
	comes($admin, "SELECT count(*) FROM bill24.wallet WHERE sync_code = 'Q0000002' AND deleted_at IS NULL", $n, "$n wallets");
	told($listener);
	$sim->post('/_sim/clear_faults');
	$sim->post('/_sim/fault', { kind => 'patch', path => $looks, match => '"Q0000002"', count => -1, set => { 'data.walletBalances' => wallets(1000, $n) } });
	refresh("sync_code = 'Q0000002'");
	comes($admin, "SELECT count(*) FROM bill24.wallet WHERE sync_code = 'Q0000002' AND balance > 1000", $n, 'all change at once');
	@told = ();
	wait_until('that is told', sub { push @told, told($listener); scalar @told });
	is(scalar(@told), $n == 100 ? 100 : 1, 'in as many messages, or in one');
	is($told[-1], $n == 100 ? 'bill24:Q0000002:KHR 100 1100' : 'changes 101', 'which is right');
}
$sim->post('/_sim/clear_faults');

# ---- money, as it is written -------------------------------------------------------

$sim->post('/_sim/seed', { prefix => 'N', count => 12, balance => 7, wallets => 2 });
my @numbers = (
	[ '0.30000000000000004', '0.30000000000000004' ],
	[ '12345678901234.99', '12345678901234.99' ],
	[ '1e3', '1000' ],
	[ '-0.01', '-0.01' ],
	[ '"8.50"', '8.50' ],
	[ '"-12345678901234567890.123456789"', '-12345678901234567890.123456789' ],
	[ '1E-2', '0.01' ],
	[ '0', '0' ],
	[ '-0', '0' ],
	[ '100000000000000000000000000000000001', '100000000000000000000000000000000001' ],
	[ '1.0', '1.0' ],
	[ '9007199254740993', '9007199254740993' ]);
track('N', 12);
comes($admin, "SELECT count(*) FROM bill24.customer WHERE sync_code LIKE 'N%' AND synced_at IS NOT NULL", 12, 'with two wallets');
$number = $admin->ok('SELECT coalesce(max(number), 0) FROM bill24.wallet_change');
foreach my $i (0 .. $#numbers)
{
	$sim->post('/_sim/fault', { kind => 'patch', path => $looks, match => sprintf('"N%07d"', $i + 1), count => -1,
		raw => { 'data.walletBalances.1.balance' => $numbers[$i][0] } });
}
refresh("sync_code LIKE 'N%'");
comes($admin, "SELECT count(*) FROM bill24.wallet_change WHERE number > $number", 12, 'balances of all kinds');
is($admin->ok("SELECT string_agg(balance::text, ' ' ORDER BY sync_code) FROM bill24.wallet WHERE sync_code LIKE 'N%' AND currency = 'USD'"),
	join(' ', map { $_->[1] } @numbers), 'are exactly what was told');
is($admin->ok("SELECT string_agg(new_balance::text, ' ' ORDER BY sync_code) FROM bill24.wallet_change WHERE number > $number"),
	join(' ', map { $_->[1] } @numbers), 'also in what is noted');
is($admin->ok("SELECT count(*), sum(balance) FROM bill24.wallet WHERE sync_code LIKE 'N%' AND currency = 'KHR'"), '12|84', 'and the others stay');
@told = ();
wait_until('they are told', sub { push @told, grep { /:N/ } told($listener); @told >= 12 });
is(scalar(@told), 12, 'each of them');
# the same number, in other digits, is no change
$sim->post('/_sim/clear_faults');
$sim->post('/_sim/fault', { kind => 'patch', path => $looks, match => '"N0000003"', count => -1, raw => { 'data.walletBalances.1.balance' => '1000.000' } });
my $read_at = $admin->ok("SELECT read_at FROM bill24.tracked WHERE sync_code = 'N0000003'");
refresh("sync_code = 'N0000003'");
comes($admin, "SELECT read_at > '$read_at' FROM bill24.tracked WHERE sync_code = 'N0000003'", 't', 'the same in other digits');
is($admin->ok("SELECT count(*) FROM bill24.wallet_change WHERE number > $number"), 12, 'is no change');

# ---- what is gone -------------------------------------------------------------------

$sim->post('/_sim/clear_faults');
refresh("sync_code LIKE 'N%'");
comes($admin, "SELECT count(*) FROM bill24.wallet WHERE sync_code LIKE 'N%' AND balance = 7", 24, 'all as before');
$number = $admin->ok('SELECT coalesce(max(number), 0) FROM bill24.wallet_change');
$sim->post('/_sim/remove_customer', { sync_code => 'N0000001' });
$sim->post('/_sim/fault', { kind => 'patch', path => $looks, match => '"N0000002"', remove => ['data.walletBalances.1'] });
$sim->post('/_sim/fault', { kind => 'patch', path => $looks, match => '"N0000003"', set => { 'data.walletBalances' => [] } });
$sim->post('/_sim/fault', { kind => 'patch', path => $looks, match => '"N0000004"', remove => ['data.walletBalances'] });
$sim->post('/_sim/fault', { kind => 'patch', path => $looks, match => '"N0000005"', raw => { 'data.walletBalances' => 'null' } });
$read_at = $admin->ok("SELECT clock_timestamp()");
refresh("sync_code BETWEEN 'N0000001' AND 'N0000005'");
comes($admin, "SELECT count(*) FROM bill24.customer WHERE sync_code BETWEEN 'N0000001' AND 'N0000005' AND synced_at > '$read_at'", 5, 'customers and wallets go');
is($admin->ok("SELECT string_agg(sync_code || ' ' || (deleted_at = changed_at OR deleted_at > changed_at), ',') FROM bill24.customer WHERE deleted_at IS NOT NULL"), 'N0000001 true', 'a customer that is gone is marked');
is($admin->ok("SELECT name IS NOT NULL, error IS NULL, synced_at = deleted_at FROM bill24.customer WHERE sync_code = 'N0000001'"), 't|t|t', 'with what was last known');
is($admin->ok("SELECT string_agg(sync_code || ' ' || balance, ',' ORDER BY sync_code, id) FROM bill24.wallet WHERE deleted_at IS NOT NULL AND sync_code LIKE 'N%'"),
	'N0000001 7,N0000001 7,N0000002 7,N0000003 7,N0000003 7', 'and so are wallets, with their last balance; nothing is said where nothing was said of wallets');
is($admin->ok("SELECT count(*), count(new_balance), sum(old_balance) FROM bill24.wallet_change WHERE number > $number"), '5|0|35', 'changes tell of it');
is($admin->query("SELECT * FROM bill24_wallet_balance('N0000001', '1 hour')")->{sqlstate}, 'KH404', 'who asks is told that it is gone');
refresh("sync_code = 'N0000001'");
my $gone_at = $admin->ok("SELECT deleted_at FROM bill24.customer WHERE sync_code = 'N0000001'");
comes($admin, "SELECT synced_at > deleted_at, deleted_at = '$gone_at' FROM bill24.customer WHERE sync_code = 'N0000001'", 't|t', 'it stays gone, since when it was');
$sim->post('/_sim/seed', { prefix => 'N', count => 1, balance => 9, wallets => 1 });
refresh("sync_code BETWEEN 'N0000001' AND 'N0000003'");
comes($admin, "SELECT count(*) FROM bill24.wallet WHERE sync_code BETWEEN 'N0000001' AND 'N0000003' AND deleted_at IS NULL", 5, 'they come back');
is($admin->ok("SELECT deleted_at IS NULL, changed_at > '$gone_at' FROM bill24.customer WHERE sync_code = 'N0000001'"), 't|t', 'the customer');
equal_to_simulator('N', 'all as at the provider');
is($admin->ok("SELECT string_agg(sync_code || ' ' || coalesce(old_balance::text, 'null') || ' ' || new_balance, ',' ORDER BY sync_code, id) FROM bill24.wallet_change WHERE number > $number AND new_balance IS NOT NULL"),
	'N0000001 null 9,N0000002 null 7,N0000003 null 7,N0000003 null 7', 'changes tell of that, too');

done_testing();
