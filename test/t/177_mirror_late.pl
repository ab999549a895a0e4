
# The mirror and what happens behind a look's back: balances that come late,
# customers that go or get another code while they are looked at, tables whose
# rows are customers, and servers that change their names.

use strict;
use warnings;

use Bill24Mirror;
use Bill24Outbox;
use Bill24Session;
use Bill24Test;
use Test::More;

my $sim = start_simulator();
my $node = new_node('main');
my %options = (mirror => 'true', retry_delay => '20ms', circuit_failures => 0, sync_interval => '1h', second_look => '4s');

setup_account($node, $sim, options => {%options});
my ($admin, $other) = connect_mirror($node, $sim);
customers('W', 1);
my $witness = 'W0000001';

# ---- a balance that comes late -------------------------------------------------------

sub tracked { my ($code, $columns) = @_; return "SELECT $columns FROM bill24.tracked WHERE sync_code = '$code'"; }

# A payment changes the balance 3 s later, and 4 s later there is another look.
customers('L', 3);
my $looks_before = looked();
$sim->post('/_sim/config', { balance_lag_ms => 3000 });
my $job = enqueue($admin, 'settle_payment', settlement('L1', 'L0000001', 10));
is($admin->ok("SELECT payment_status FROM bill24_settle_payment('L2', 'L0000002', 10, 'KHR', 'ST001', current_date, current_date + 14)"),
	'success', 'a payment by a call');
becomes($admin, $job, 'done', 'and one by a job');
foreach my $code ('L0000001', 'L0000002')
{
	comes($admin, tracked($code, 'read_at > wanted_at, again_at > wanted_at'), 't|t', "$code: looked at at once, and again later");
	is($admin->ok(balance($code)), 100, "$code: too early");
}
foreach my $code ('L0000001', 'L0000002')
{
	comes($admin, balance($code), 90, "$code: the late balance is found");
	is($admin->ok("SELECT string_agg(old_balance || ' ' || new_balance, ',') FROM bill24.wallet_change WHERE sync_code = '$code'"),
		'100 90', "$code: and noted once");
	is($admin->ok(tracked($code, "read_at >= wanted_at + '4 seconds'::interval, again_at IS NULL")), 't|t', "$code: by the second look, after which there is no third");
}
is(looked() - $looks_before, 4, 'two looks at each, and none at others');

# a second payment before the second look: that comes after the last one
becomes($admin, enqueue($admin, 'settle_payment', settlement("L3$_", 'L0000001', $_)), 'done', "payment $_ of two") foreach 1, 2;
comes($admin, balance('L0000001'), 87, 'both are found');

# without second looks, a late balance is a matter of the interval
$admin->ok("ALTER SERVER bill24 OPTIONS (SET second_look '0')");
becomes($admin, enqueue($admin, 'settle_payment', settlement('L4', 'L0000003', 10)), 'done', 'no second_look');
comes($admin, tracked('L0000003', 'read_at > wanted_at, again_at IS NULL'), 't|t', 'one look');
is($admin->ok(balance('L0000003')), 100, 'which is too early');
$sim->post('/_sim/config', { balance_lag_ms => 0 });

# ---- while it is looked at: deleted, and with another code ---------------------------

my $gone = "SELECT deleted_at IS NOT NULL, (SELECT count(*) FROM bill24.wallet w WHERE w.sync_code = c.sync_code AND deleted_at IS NULL) FROM bill24.customer c WHERE sync_code =";
$sim->post('/_sim/seed', { prefix => 'D', count => 2, balance => 0 });
track('D', 2);
comes($admin, "SELECT count(*) FROM bill24.wallet WHERE sync_code LIKE 'D%'", 2, 'customers without money');
under_way('D0000001', 1500);
becomes($admin, enqueue($admin, 'delete_customer', { sync_code => 'D0000001' }), 'done', 'deleted while it is looked at');
is($sim->get('/_sim/stats')->{in_flight}, 1, 'that look is still under way');
comes($admin, "$gone 'D0000001'", 't|0', 'it is seen to be gone, with its wallets');
answered();
others_go_on($witness, 'deleted');
is($admin->ok("$gone 'D0000001'"), 't|0', 'and what the look had seen does not bring it back');
# the other way round: what had seen that it is gone does not take it away
under_way('D0000001', 1500);
becomes($admin, enqueue($admin, 'create_customer', { sync_code => 'D0000001', name => 'again' }), 'done', 'created while it is looked at');
is($sim->get('/_sim/stats')->{in_flight}, 1, 'that look is still under way');
comes($admin, "SELECT name, deleted_at IS NULL FROM bill24.customer WHERE sync_code = 'D0000001'", 'again|t', 'it is back');
answered();
others_go_on($witness, 'created');
is($admin->ok("SELECT name, deleted_at IS NULL FROM bill24.customer WHERE sync_code = 'D0000001'"), 'again|t', 'and stays');

# ---- a table whose rows are customers ------------------------------------------------

$admin->ok(q{
	CREATE TABLE subscriber (code text PRIMARY KEY, name text NOT NULL, phone text, wallets jsonb);
	CREATE TRIGGER to_bill24 AFTER INSERT OR UPDATE OR DELETE ON subscriber
		FOR EACH ROW EXECUTE FUNCTION bill24_customer_trigger('sync_code=code', 'name=name', 'phone=phone', 'wallets=wallets');
	CREATE TABLE imported (code text PRIMARY KEY, name text NOT NULL);
	CREATE TRIGGER to_bill24 AFTER INSERT ON imported REFERENCING NEW TABLE AS new_rows
		FOR EACH STATEMENT EXECUTE FUNCTION bill24_customer_trigger('sync_code=code', 'name=name');
});
my $delivered = "SELECT count(*) FROM bill24.outbox WHERE state <> 'done'";
my $joined = 'SELECT s.code, c.name = s.name, c.phone IS NOT DISTINCT FROM s.phone, w.balance, w.currency, w.synced_at > t.wanted_at'
  . ' FROM subscriber s JOIN bill24.tracked t ON t.sync_code = s.code LEFT JOIN bill24.customer c ON c.sync_code = s.code LEFT JOIN bill24.wallet w ON w.sync_code = s.code ORDER BY 1';
$admin->ok(q{BEGIN; INSERT INTO subscriber VALUES ('S0000009', 'rolled back'); ROLLBACK});
$admin->ok(q{INSERT INTO subscriber VALUES ('S0000001', 'Ann', '012', '[{"name": "Riel", "currency": "KHR"}]'), ('S0000002', 'Bea', NULL, '[{"name": "Dollar", "currency": "USD"}]'), ('S0000003', 'Cy', NULL, NULL)});
comes($admin, $delivered, 0, 'rows that are inserted are delivered');
comes($admin, $joined, "S0000001|t|t|0|KHR|t\nS0000002|t|t|0|USD|t\nS0000003|t|t|||", 'and mirrored: rows join their wallets');
equal_to_simulator('S', 'as the provider has them');
is($admin->ok("SELECT count(*) FROM bill24.tracked WHERE sync_code = 'S0000009'"), 0, 'nothing of what was rolled back');
$admin->ok("INSERT INTO imported SELECT 'I' || to_char(n, 'FM0000000'), 'n' || n FROM generate_series(1, 200) n");
comes($admin, "SELECT count(*) FROM imported i JOIN bill24.customer c ON c.sync_code = i.code AND c.name = i.name", 200, 'also those of a statement with many');
$admin->ok("UPDATE subscriber SET name = 'Anna' WHERE code = 'S0000001'");
comes($admin, "SELECT name FROM bill24.customer WHERE sync_code = 'S0000001'", 'Anna', 'a row that is updated');
topup('S0000001', 5);
$admin->ok(q{UPDATE subscriber SET phone = '013' WHERE code = 'S0000001'});
comes($admin, "SELECT phone, balance FROM bill24.customer JOIN bill24.wallet USING (sync_code) WHERE sync_code = 'S0000001'", '013|5', 'its look brings the balance, too');
$admin->ok("DELETE FROM subscriber WHERE code = 'S0000002'");
comes($admin, "$gone 'S0000002'", 't|0', 'a row that is deleted');

# another code, while the old one is looked at
under_way('S0000003', 1500);
$admin->ok("UPDATE subscriber SET code = 'S0000004' WHERE code = 'S0000003'");
comes($admin, $delivered, 0, 'a row with another code is delivered');
is($sim->get('/_sim/stats')->{in_flight}, 1, 'while the old one is looked at');
comes($admin, "SELECT name, deleted_at IS NULL FROM bill24.customer WHERE sync_code = 'S0000004'", 'Cy|t', 'the new one is mirrored');
comes($admin, "$gone 'S0000003'", 't|0', 'the old one is gone');
answered();
others_go_on($witness, 'another code');
is($admin->ok("$gone 'S0000003'"), 't|0', 'and stays so');
equal_to_simulator('S', 'all as the provider has them');
is($admin->ok('SELECT count(*) FROM bill24.drift'), 0, 'and as they were sent');

# ---- a server with another name ------------------------------------------------------

# What is known and what waits is of the old name, until a person moves it.
my $moving = q{SELECT format('UPDATE %s SET server = %L WHERE server = %L', c.oid::regclass, 'other', 'bill24')
	FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'server'
	WHERE c.relnamespace = 'bill24'::regnamespace AND c.relkind = 'r'};
my $all = "SELECT count(*), count(synced_at) FROM bill24.customer WHERE server =";
my $count = $admin->ok('SELECT count(*) FROM bill24.tracked');

$sim->post('/_sim/seed', { prefix => 'R', count => 3, balance => 100 });
$sim->post('/_sim/fault', { kind => 'delay', ms => 1500, path => '/customer/update', match => '"R0000001"' });
$job = enqueue($admin, 'update_customer', { sync_code => 'R0000001', name => 'under way' });
requests_wait($sim, 1);
my $behind = enqueue($admin, 'delete_customer', { sync_code => 'R0000001' });
comes($admin, "SELECT state FROM bill24.outbox WHERE id = $behind", 'waiting', 'a job behind another that is under way');
$admin->ok('ALTER SERVER bill24 RENAME TO other');
my $parked = $admin->ok("INSERT INTO bill24.outbox (server, account, operation, key, request, owner) SELECT server, account, 'update_customer', 'R0000002', '{\"sync_code\": \"R0000002\", \"name\": \"late\"}', owner FROM bill24.outbox WHERE id = $job RETURNING id");
$admin->ok('SELECT bill24.wake()');
becomes($admin, $parked, 'parked', 'renamed: a job of the old name is parked');
is($admin->ok("$all 'bill24'"), "$count|$count", 'what was known is there, under the old name');
is($admin->query("SELECT bill24_refresh('{$witness}')")->{sqlstate}, '42704', 'which cannot be asked for');
is($admin->ok("SELECT server, customers FROM bill24.freshness"), "bill24|$count", 'and whose age can be seen');
$admin->ok("BEGIN;\n$moving\n\\gexec\nSELECT bill24.wake(); COMMIT");
is($admin->ok("$all 'other'"), "$count|$count", 'moved: all are under the new name');
is($admin->ok("$all 'bill24'"), '0|0', 'and none under the old');
becomes($admin, $job, 'done', 'the job that was under way');
$admin->ok('SELECT bill24.wake()');
becomes($admin, $behind, 'failed', 'and the one behind it, once somebody wakes the worker: it is refused as there is money');
$admin->ok("SELECT bill24_retry($parked)");
becomes($admin, $parked, 'done', 'and the one that was parked, once somebody says so');
my $since = $admin->ok('SELECT clock_timestamp()');
topup($witness, 7);
$admin->ok("SELECT bill24_refresh(array(SELECT sync_code FROM bill24.tracked), 'other')");
comes($admin, "SELECT bool_and(synced_at > '$since') FROM bill24.customer", 't', 'all are looked at again');
is($admin->ok("SELECT old_balance, new_balance, server FROM bill24.wallet_change WHERE sync_code = '$witness' ORDER BY number DESC LIMIT 1"),
	'103|110|other', 'changes are told');
comes($admin, 'SELECT count(*) FROM bill24.tracked t WHERE t.look_group IS NOT NULL AND NOT EXISTS (SELECT FROM bill24.look_group g WHERE g.id = t.look_group AND g.server = t.server)', 0, 'and groups are where their members are');

done_testing();
