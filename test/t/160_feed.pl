
# What feeds the mirror: deliveries of the outbox, and direct calls of sessions
# that get in one another's way.

use strict;
use warnings;

use Bill24Outbox;
use Bill24Session;
use Bill24Test;
use JSON::PP;
use Test::More;

my $sim = start_simulator();
my $node = new_node('main', conf => "max_prepared_transactions = 4\ndeadlock_timeout = 10s\n");
setup_account($node, $sim, options => { mirror => 'true', retry_delay => '20ms',
	circuit_failures => 0, second_look => '1h' });
my $admin = Bill24Session->new($node);
my $one = Bill24Session->new($node);
my $two = Bill24Session->new($node);

sub customer { return { sync_code => @_ % 2 ? shift : die, name => 'n', @_ }; }

# A row of bill24.tracked.
sub tracked
{
	my ($code, $columns) = @_;

	return "SELECT $columns FROM bill24.tracked WHERE sync_code = '$code'";
}

sub delivered
{
	my ($operation, $request, $name) = @_;

	return becomes($admin, enqueue($admin, $operation, $request), 'done', $name);
}

my $sent = "concat_ws(',', sent_name, sent_phone, sent_email)";

# ---- what deliveries tell ---------------------------------------------------

$sim->post('/_sim/fault', { kind => 'drop_after', path => '/customer/create', match => '"LOST"' });
delivered('create_customer', customer('A', name => 'Ann', phone => '012'), 'a create is delivered');
comes($admin, tracked('A', "$sent, remote_id <> '', read_at > sent_at, failures, again_at IS NULL"),
	'Ann,012|t|t|0|t', 'and the customer mirrored and looked at');
delivered('update_customer', { sync_code => 'A', email => 'a@example.com' }, 'an update');
comes($admin, tracked('A', "$sent, read_at > sent_at"), 'Ann,012,a@example.com|t',
	'what is absent in it keeps its former value');
is($admin->ok('SELECT count(*) FROM bill24.drift'), '0', 'nothing differs from what was sent');
delivered('create_customer', customer('LOST', name => 'Lo'), 'a create whose answer was lost');
comes($admin, tracked('LOST', "$sent, read_at > sent_at"), 'Lo|t', 'is told when it was looked up');
$sim->post('/_sim/seed', { count => 1, prefix => 'P', balance => 1000 });
delivered('settle_payment', settlement('R1', 'P0000001', 10), 'a payment');
comes($admin, tracked('P0000001', "again_at > now() + '50 minutes'::interval, read_at > wanted_at, remote_id IS NULL"),
	't|t|t', 'is looked at now and later, and its id is not the customer\'s');
is($admin->ok("SELECT balance FROM bill24.wallet WHERE sync_code = 'P0000001'"), '990',
	'the balance is the one after it');
delivered('delete_customer', { sync_code => 'A' }, 'a delete');
comes($admin, "SELECT deleted_at IS NOT NULL FROM bill24.customer WHERE sync_code = 'A'", 't',
	'the customer is seen to be gone');
$admin->ok(q{SELECT bill24_request('POST', '/customer/create', '{"sync_code": "B", "name": "b"}')});
$sim->post('/_sim/fault', { kind => 'patch', path => '/customer/create', match => 'Eve', remove => ['data.id'] });
$admin->ok("UPDATE bill24.tracked SET remote_id = 'old' WHERE sync_code = 'A'");
delivered('create_customer', customer('A', name => 'Eve', phone => '099'), 'whoever is created in its place');
comes($admin, tracked('A', "$sent, read_at > sent_at, remote_id IS DISTINCT FROM 'old'"), 'Eve,099|t|t', 'has nothing of it');
is($admin->ok('SELECT count(*) FROM bill24.drift'), '0', 'nothing differs from what was sent now');
$sim->post('/_sim/fault', { kind => 'patch', count => -1, path => '/customer/get_customer_detail', match => '"A"',
	set => { 'data.phone' => '0', 'data.email' => 'e' } });
$admin->ok("SELECT bill24_refresh('{A}')");
comes($admin, 'SELECT sync_code, field, sent, remote FROM bill24.drift', 'A|phone|099|0', 'but what is changed there');
$sim->post('/_sim/clear_faults', {});
$admin->ok("BEGIN; SELECT bill24_delete_customer('A'); SELECT bill24_create_customer('A', 'Zoe'); COMMIT");
is($admin->ok(tracked('A', $sent)), 'Zoe', 'by a call, too');
delivered('delete_customer', { sync_code => 'A' }, 'a delete');
comes($admin, "SELECT deleted_at IS NOT NULL FROM bill24.customer WHERE sync_code = 'A'", 't', 'again');
delivered('delete_customer', { sync_code => 'B' }, 'a delete of somebody unknown');
is($admin->ok(tracked('B', 'count(*)')), '0', 'mirrors nobody');

# Updates that become one: what was sent is what they come to together.
$sim->post('/_sim/fault', { kind => 'status', status => 429, retry_after => 3600,
	match => '"M"', path => '/customer/create' });
my $held = enqueue($admin, 'create_customer', customer('M', name => 'Mo'));
comes($admin, "SELECT state, attempts FROM bill24.outbox WHERE id = $held", 'queued|1', 'a create is held');
enqueue($admin, 'update_customer', { sync_code => 'M', name => 'Mia', phone => '1' });
enqueue($admin, 'update_customer', { sync_code => 'M', phone => '2' });
my $last = enqueue($admin, 'update_customer', { sync_code => 'M', email => 'm@example.com' });
comes($admin, "SELECT count(*) FROM bill24.outbox WHERE state = 'waiting' AND key = 'M'", '3', 'updates wait');
$admin->ok("SELECT bill24_retry($held)");
becomes($admin, $last, 'done', 'updates that became one are delivered');
comes($admin, tracked('M', $sent), 'Mia,2,m@example.com', 'with what they came to together');

# A delivery waits for nobody who has a customer locked, and forgets nothing.
$one->ok("BEGIN; SELECT FROM bill24.tracked WHERE sync_code = 'M' FOR UPDATE");
delivered('update_customer', { sync_code => 'M', phone => '3' }, 'a delivery goes on while a person has the row');
is($admin->ok(tracked('M', $sent)), 'Mia,2,m@example.com', 'the mirror is not told');
$one->ok('COMMIT');
comes($admin, tracked('M', $sent), 'Mia,3,m@example.com', 'but is afterwards');
$one->ok("BEGIN; SELECT bill24_track('{N}')");
delivered('create_customer', customer('N', name => 'Nan'), 'and while a person registers the customer');
delivered('create_customer', customer('N2', name => 'Ned'), 'others are not in the way');
$one->ok('ROLLBACK');
comes($admin, tracked('N', $sent), 'Nan', 'who is registered when that is rolled back');
comes($admin, tracked('N2', $sent), 'Ned', 'as are others');

# Without the mirror.
$admin->ok("ALTER SERVER bill24 OPTIONS (SET mirror 'false')");
delivered('create_customer', customer('O'), 'a delivery of a server that is not mirrored');
is($admin->ok(tracked('O', 'count(*)')), '0', 'mirrors nobody');
$admin->ok("ALTER SERVER bill24 OPTIONS (SET mirror 'true')");

# ---- what calls tell --------------------------------------------------------

# In opposite orders, in transactions that last: nobody waits before the end,
# and there one after the other.
$one->ok("SELECT bill24_create_customer(c, 'x') FROM unnest('{S,T,U}'::text[]) c");
foreach my $round (1 .. 10)
{
	$one->ok('BEGIN');
	$two->ok('BEGIN');
	foreach my $code ([ 'S', 'U' ], [ 'T', 'T' ], [ 'U', 'S' ], [ "new$round", "new$round" ])
	{
		my ($mine, $other) = @$code;
		my $call = $mine =~ /new/ ? 'bill24_create_customer' : 'bill24_update_customer';

		$one->ok("SELECT ${call}('$mine', 'one$round')");
		$two->ok("SELECT bill24_update_customer('$other', 'two$round')");
	}
	$one->send('COMMIT');
	$two->send('COMMIT');
	my @results = ($one->wait, $two->wait);
	is(join('|', map { "$_->{rows}$_->{error}" } @results), '|', "round $round: both commit") or last;
}
is($admin->ok("SELECT count(*) FROM bill24.tracked WHERE sync_code ~ '^new' OR sync_code IN ('S', 'T', 'U')"),
	'13', 'all are mirrored');

# Whoever has a row locked for long is waited for a moment only.
$admin->ok("BEGIN; SELECT FROM bill24.tracked WHERE sync_code = 'T' FOR UPDATE");
$one->ok("BEGIN; SELECT bill24_update_customer('S', 'late'); SELECT bill24_update_customer('T', 'late')");
my $commit = $one->query('COMMIT');
like($commit->{rows}, qr/WARNING:  55P03: the mirror was not told of changes of 1 customers/, 'a warning');
is($commit->{sqlstate}, '00000', 'and the commit succeeds');
$admin->ok('ROLLBACK');
is($admin->ok(tracked('S', 'sent_name')), 'late', 'the others are told of');
isnt($admin->ok(tracked('T', 'sent_name')), 'late', 'the locked one is not');

# A customer that somebody else has changed since the snapshot was taken.
$one->ok('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM bill24.tracked');
$two->ok("SELECT bill24_update_customer('S', 'between')");
$one->ok("SELECT bill24_update_customer('S', 'after'); SELECT bill24_get_customer('S')");
$commit = $one->query('COMMIT');
is($commit->{rows} . $commit->{error}, '', 'a transaction that is old commits');
is($admin->ok(tracked('S', 'sent_name')), 'after', 'and tells');

# Two-phase commit.
$one->ok("BEGIN; SELECT bill24_create_customer('V', 'Vi'); SELECT bill24_get_customer('V'); PREPARE TRANSACTION 'v'");
is($admin->ok(tracked('V', 'count(*)')), '0', 'what is prepared is not there yet');
$admin->ok("COMMIT PREPARED 'v'");
comes($admin, tracked('V', "sent_name, read_at > sent_at"), 'Vi|t', 'what it told is, once it is committed');
$one->ok("BEGIN; SELECT bill24_create_customer('X', 'Xi'); PREPARE TRANSACTION 'x'");
$two->send("SELECT sync_code FROM bill24_get_customer('X')");
my $result = $two->wait;
like($result->{rows}, qr/WARNING:  55P03.*^X$/ms, 'a prepared transaction is not waited for');
$admin->ok("ROLLBACK PREPARED 'x'");

# Many in one transaction.
$sim->post('/_sim/seed', { count => 3000, prefix => 'Z' });
$one->ok("BEGIN; SELECT count(bill24_get_customer('Z' || lpad(g::text, 7, '0'))) FROM generate_series(3000, 1, -1) g; COMMIT");
is($admin->ok("SELECT count(*), count(*) FILTER (WHERE read_at IS NOT NULL) FROM bill24.customer_copy c JOIN bill24.tracked t USING (sync_code) WHERE sync_code ~ '^Z'"),
	'3000|3000', 'three thousand answers of one transaction are looks');

# A statement that is cancelled at its end is cancelled; nothing is lost but it.
$admin->ok("BEGIN; LOCK TABLE bill24.tracked");
$one->send("SELECT sync_code FROM bill24_get_customer('S')");
my $asked = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pid = " . $one->pid;
$result = $one->wait;
like($result->{rows}, qr/WARNING:  55P03: the mirror could not be told.*^S$/ms, 'a locked table is a warning');
is($admin->ok($asked), '0', 'nobody waits for it');
$admin->ok('ROLLBACK');
$admin->ok("BEGIN; SELECT FROM bill24.tracked WHERE sync_code = 'T' FOR UPDATE");
my $state;
foreach (1 .. 20)
{
	# it waits for a moment only, which may have gone by before it is seen
	$one->ok("BEGIN; SELECT bill24_update_customer('T', 'cancelled')");
	$two->send('DO $$ BEGIN FOR i IN 1 .. 1000000 LOOP'
		  . ' EXIT WHEN clock_timestamp() > now() + $i$2s$i$::interval;'
		  . ' IF EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pid = ' . $one->pid . ')'
		  . ' THEN PERFORM pg_cancel_backend(' . $one->pid . '); EXIT; END IF; END LOOP; END $$');
	$state = $one->query('COMMIT')->{sqlstate};
	$two->wait;
	last if $state ne '00000';
}
is($state, '57014', 'a COMMIT that waits for a customer is cancelled');
is($one->query('SELECT 1')->{rows}, '1', 'and the session goes on, in no transaction');
is($one->query('ROLLBACK')->{sqlstate}, '00000', 'nor is one left to be ended');
$admin->ok('ROLLBACK');

$_->end foreach $admin, $one, $two;
$node->stop;
done_testing();
