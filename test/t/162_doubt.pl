
# What the mirror must not believe, nor tell: old answers, copies of long ago,
# and what was read with another account.

use strict;
use warnings;

use Bill24Outbox;
use Bill24Session;
use Bill24Test;
use Test::More;

my $sim = start_simulator();
my $node = new_node('main');
setup_account($node, $sim, options => { mirror => 'true', sync_interval => '1h', circuit_failures => 0 });
my $admin = Bill24Session->new($node);
my $other = Bill24Session->new($node);
my $look = '/customer/get_customer_detail';

sub wallets
{
	return "SELECT string_agg(currency || balance || CASE WHEN deleted_at IS NULL THEN '' ELSE ' gone' END,"
	  . " ' ' ORDER BY currency) FROM bill24.wallet WHERE sync_code = '$_[0]'";
}

sub make_due
{
	$admin->ok('UPDATE bill24.look_group SET next_look_at = now(), looked_at = NULL; SELECT bill24.wake()');
}

$sim->post('/_sim/seed', { count => 64, wallets => 2, balance => 5 });
$admin->ok("SELECT bill24_track(ARRAY(SELECT 'C' || lpad(i::text, 7, '0') FROM generate_series(1, 64) i))");
my $all_in = 'SELECT count(*), count(DISTINCT look_group) FROM bill24.tracked WHERE look_group IS NOT NULL';
comes($admin, "SELECT count(*) FROM bill24.tracked WHERE read_at IS NOT NULL", '64', 'all are read');
$admin->ok(q{UPDATE bill24.tracked SET next_look_at = now(), look_group = NULL WHERE look_group IS NOT NULL;
	DELETE FROM bill24.look_group; SELECT bill24.wake()});
comes($admin, $all_in, qr/^64\|/, 'and then quiet');

# ---- one that is throttled --------------------------------------------------

$admin->ok('SELECT bill24_stat_reset()');
$sim->post('/_sim/fault', { kind => 'status', status => 429, retry_after => 1, path => $look, skip => 30 });
make_due();
comes($admin, 'SELECT bool_and(looked_at IS NOT NULL) FROM bill24.look_group', 't',
	'a group of which one look is throttled is done');
is($admin->ok("SELECT calls, throttled FROM bill24.stat WHERE operation = 'get_customer'"), '65|1',
	'and nobody else was asked for twice');

# ---- an answer that is older than the last look at the group ----------------

$sim->post('/_sim/fault', { kind => 'patch', path => $look, set => { 'data.walletBalances.0.balance' => 77 } });
$other->ok('BEGIN');
like($other->ok("SELECT wallets FROM bill24_get_customer('C0000001')"), qr/,77,/, 'a call reads a balance');
make_due();
comes($admin, 'SELECT bool_and(looked_at IS NOT NULL) FROM bill24.look_group', 't', 'the worker looks later');
$other->ok('COMMIT');
is($admin->ok(wallets('C0000001')), 'KHR5 USD5', 'and what the call read is not written any more');

# ---- an answer that does not tell of wallets --------------------------------

my $untold = $sim->post('/_sim/fault', { kind => 'patch', count => -1, path => $look, match => 'C0000005',
	remove => ['data.walletBalances'] });
my $synced = $admin->ok("SELECT synced_at FROM bill24.customer WHERE sync_code = 'C0000005'");
$admin->ok("SELECT bill24_refresh('{C0000005}')");
comes($admin, "SELECT synced_at >= '$synced', synced_at < failed_at, sqlstate, error FROM bill24.customer
	WHERE sync_code = 'C0000005'", 't|t|08P01|could not read the answer: it does not tell of wallets',
	'does not make old balances new');
is($admin->ok(wallets('C0000005')), 'KHR5 USD5', 'nor are they gone');
$sim->post('/_sim/clear_faults', {});

# ---- copies of long ago -----------------------------------------------------

$sim->post('/_sim/fault', { kind => 'patch', count => -1, path => $look, match => 'C0000002',
	remove => ['data.walletBalances.1'] });
$sim->post('/_sim/remove_customer', { sync_code => 'C0000003' });
$admin->ok('SELECT bill24_adopt_outbox()');
comes($admin, wallets('C0000002'), 'KHR5 USD5 gone', 'a wallet that went before the outbox was adopted is gone');
comes($admin, "SELECT deleted_at IS NOT NULL, error FROM bill24.customer WHERE sync_code = 'C0000003'", 't|',
	'as is a customer');

# ---- another account --------------------------------------------------------

$admin->ok(q{CREATE ROLE stranger; GRANT USAGE ON FOREIGN SERVER bill24 TO stranger;
	CREATE ROLE colleague; GRANT USAGE ON FOREIGN SERVER bill24 TO colleague;
	CREATE USER MAPPING FOR stranger SERVER bill24 OPTIONS (token '00000000-0000-4000-8000-000000000001',
		client_id 'demo_client', secret 'a guess');
	CREATE USER MAPPING FOR colleague SERVER bill24 OPTIONS (token '00000000-0000-4000-8000-000000000001',
		client_id 'demo_client', secret 'demo-secret', hash_token 'demo-hash-token')});
my $balance = "SELECT count(*), sum(balance) FROM bill24_wallet_balance('C0000004', '1 day')";
comes($admin, "SELECT synced_at > now() - '1 hour'::interval FROM bill24.customer WHERE sync_code = 'C0000004'", 't',
	'a customer is read');
$other->ok('SET ROLE stranger');
like($other->query($balance)->{error}, qr/28000|refused/, 'is not told to whom the provider would not tell it');
$other->ok('SET ROLE colleague');
$admin->ok('SELECT bill24_stat_reset()');
is($other->ok($balance), '2|10', 'who has the same account is told');
is($admin->ok("SELECT coalesce(sum(calls), 0) FROM bill24.stat WHERE caller = 'direct'"), '0', 'by the mirror');
$other->ok('RESET ROLE');
$admin->ok("UPDATE bill24.tracked SET mirror_id = mirror_id - 1 WHERE sync_code = 'C0000004'");
is($other->ok($balance), '2|10', 'of a customer that was restored over copies');
is($admin->ok("SELECT sum(calls) FROM bill24.stat WHERE caller = 'direct'"), '1', 'it is the provider who tells');

# What is told or asked for with another merchant's account is about another
# customer; a role that has none any more is in nobody's way.
$other->ok('RESET ROLE');
$admin->ok(q{CREATE ROLE rival; GRANT USAGE ON FOREIGN SERVER bill24 TO rival;
	CREATE USER MAPPING FOR rival SERVER bill24 OPTIONS (token '00000000-0000-4000-8000-000000000002',
		client_id 'rival', secret 's')});
my $state = q{SELECT owner::text, failures > 0, sent_name FROM bill24.tracked WHERE sync_code = 'C0000006'};
sub fails_for { $admin->ok("UPDATE bill24.tracked SET owner = '$_[0]', failures = 3, next_look_at = now() + '1 hour'::interval, look_group = NULL WHERE sync_code = 'C0000006'"); }
fails_for('rival');
is($admin->ok(q{SELECT bill24_track('{C0000006}')}), '0', "another merchant's customer is there");
is($admin->ok($state), 'rival|t|', 'and stays his');
becomes($admin, enqueue($admin, 'update_customer', { sync_code => 'C0000006', name => 'mine' }), 'done', 'a delivery');
becomes($admin, enqueue($admin, 'update_customer', { sync_code => 'C0000007', name => 'mine' }), 'done', 'and another');
comes($admin, q{SELECT sent_name FROM bill24.tracked WHERE sync_code = 'C0000007'}, 'mine', 'that is told');
is($admin->ok($state), 'rival|t|', 'does not tell of it');
$admin->ok(q{SELECT bill24_update_customer('C0000006', 'mine')});
is($admin->ok($state), 'rival|t|', 'nor does a call');
$other->ok('SET ROLE colleague');
is($other->ok(q{SELECT bill24_untrack('{C0000006,C0000007}')}), '1', 'nor is it forgotten, but one of the same merchant is');
$other->ok('RESET ROLE');
is($admin->ok(q{SELECT count(*) FROM bill24.tracked WHERE sync_code IN ('C0000006', 'C0000007')}), '1', 'really');

# The simulator has one merchant: of the other it says what it is told to.
$sim->post('/_sim/fault', { kind => 'status', status => 200, count => -1, path => $_->[0], match => $_->[1], body => $_->[2] })
  foreach ['/merchantsecurity/authorize', 'rival', '{"code": 200, "message": "", "data": {"token": "his", "refreshToken": "his", "tokenExpireTime": "2099-01-01 00:00:00"}}'],
	['/customer/update', '"his"', '{"code": "000", "message": "Success", "data": {"sync_code": "C0000010"}}'];

# Both in one transaction: of his customer nothing is told of mine.
$other->ok(q{BEGIN; SELECT bill24_update_customer('C0000010', 'mine'); SET LOCAL ROLE rival;
	SELECT bill24_update_customer('C0000010', 'his', '0999'); COMMIT});
is($admin->ok(q{SELECT sent_name, sent_phone FROM bill24.tracked WHERE sync_code = 'C0000010'}), 'mine|',
	'calls of two merchants in one transaction are told apart');

# A look that is answered when the code is another merchant's.
$sim->post('/_sim/fault', { kind => 'delay', ms => 1000, path => $look, match => 'C0000011' });
my $asked = $sim->get('/_sim/stats')->{by_path}{$look};
$admin->ok(q{SELECT bill24_refresh('{C0000011}')});
requests_wait($sim, 1);
$admin->ok(q{SELECT bill24_untrack('{C0000011}')});
$sim->post('/_sim/fault', { kind => 'hang', count => -1, path => $look, match => 'C0000011' });
$other->ok(q{SET ROLE rival; SELECT bill24_track('{C0000011}'); RESET ROLE});
wait_until('it is answered, and asked for once more', sub { $sim->get('/_sim/stats')->{by_path}{$look} > $asked + 1 });
is($admin->ok(q{SELECT count(*) FROM bill24.wallet_copy WHERE sync_code = 'C0000011'}), '0', 'is not about his customer');
$admin->ok(q{SELECT bill24_untrack('{C0000011}')});
$sim->post('/_sim/clear_faults', {});
$admin->ok('DROP USER MAPPING FOR rival SERVER bill24');
becomes($admin, enqueue($admin, 'update_customer', { sync_code => 'C0000006', name => 'mine' }), 'done', 'once he has no account');
comes($admin, $state, qr/^(?!rival).*\|f\|mine$/, 'it is looked at with another');
fails_for('colleague');
is($admin->ok(q{SELECT bill24_track('{C0000006}')}), '0', "a colleague's");
comes($admin, $state, qr/^(?!colleague).*\|f\|mine$/, 'is, too');

# Who has no account at all forgets his own, and those of roles that he is in.
$admin->ok(q{CREATE ROLE clerk IN ROLE rival; GRANT USAGE ON FOREIGN SERVER bill24 TO clerk});
$other->ok('SET ROLE clerk');
is($other->query(q{SELECT bill24_untrack('{C0000006}')})->{sqlstate}, '28000', 'USAGE does not do');
fails_for('rival');
is($other->ok(q{SELECT bill24_untrack('{C0000006,C0000008}')}), '1', "but a member of the role forgets its customer");

# ---- operators of others ----------------------------------------------------

$admin->ok(q{CREATE DATABASE trap});
my $trap = Bill24Session->new($node, database => 'trap');
$trap->ok(q{CREATE FUNCTION trap(float8, integer) RETURNS boolean LANGUAGE sql AS 'SELECT true';
	CREATE FUNCTION trap(bigint, float8) RETURNS float8 LANGUAGE sql AS 'SELECT 1.0::float8';
	CREATE OPERATOR > (LEFTARG = float8, RIGHTARG = integer, FUNCTION = trap);
	CREATE OPERATOR / (LEFTARG = bigint, RIGHTARG = float8, FUNCTION = trap);
	CREATE EXTENSION bill24});
is($trap->ok(q{SELECT count(*) FROM pg_depend d JOIN pg_operator o ON o.oid = d.refobjid
	WHERE d.refclassid = 'pg_operator'::regclass AND d.classid = 'pg_rewrite'::regclass}), '0',
	'views use none of them');

done_testing();
