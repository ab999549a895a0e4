
# Whatever becomes of a request and its answer: the job has its effect once, or
# a person is asked.

use strict;
use warnings;

use Bill24Outbox;
use Bill24Session;
use Bill24Test;
use Test::More;
use Time::HiRes qw(time);

my $sim = start_simulator();
my $node = new_node('main');
my %quick = (retry_delay => '20ms', circuit_failures => 0, request_timeout => '1s');
setup_account($node, $sim, options => {%quick});
my $admin = Bill24Session->new($node);

my %path = (
	create => '/customer/create',
	update => '/customer/update',
	delete => '/customer/delete',
	settle => '/bill_payment/push_bill_with_payment',
	get => '/customer/get_customer_detail',
	bill => '/instant_payment/get_single_bill/{ref_id}');
my %operation = (create => 'create_customer', update => 'update_customer',
	delete => 'delete_customer', settle => 'settle_payment');
my %counter = (create => 'created', update => 'updated', delete => 'deleted', settle => 'charges');

# A customer of that name, and its sync_code.
sub seed
{
	my ($prefix, $balance) = @_;

	$sim->post('/_sim/seed', { prefix => $prefix, count => 1, balance => $balance // 0 });
	return $prefix . '0000001';
}

sub fault
{
	my ($operation, $match, %fault) = @_;

	$sim->post('/_sim/fault', { path => $path{$operation}, match => $match, %fault });
	return;
}

sub row { return job($admin, $_[0], 'state, attempts, sqlstate, error'); }

sub ends
{
	my ($id, $expected, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return comes($admin, "SELECT state, attempts, sqlstate, error FROM bill24.outbox WHERE id = $id", $expected, $name);
}

# ---- every operation with every fault ---------------------------------------

my %faults = (
	drop_before => { kind => 'drop_before' },
	drop_after => { kind => 'drop_after' },
	reset_after => { kind => 'reset_after' },
	half_body => { kind => 'half_body' },
	garbage => { kind => 'garbage' },
	status_500 => { kind => 'status' },
	status_500_effect => { kind => 'status', effect => JSON::PP::true },
	status_429 => { kind => 'status', status => 429, retry_after => 1 },
	delay => { kind => 'delay', ms => 2500 },
	huge => { kind => 'huge', bytes => 8 << 20 },
	html => { kind => 'body', body => '<html>gateway</html>', status => 502 },
	no_data => { kind => 'body', body => '{"code": "000"}' },
	unauthorized => { kind => 'unauthorized' });

# How often it is taken up: to send it, to look it up, to send it once more.
my %lost = map { $_ => 1 } qw(drop_before drop_after reset_after half_body garbage
  status_500 status_500_effect delay huge html no_data);
my %effect = map { $_ => 1 } qw(drop_after reset_after half_body garbage
  status_500_effect delay huge html no_data);

# The same faults before any effect come from "effect": false.
$faults{"${_}_none"} = { %{ $faults{$_} }, effect => JSON::PP::false } foreach grep { $effect{$_} && $_ ne 'delay' } sort keys %faults;
foreach my $name (keys %faults)
{
	$lost{$name} = 1 if $name =~ /^(.*)_none$/ && $lost{$1};
}

my %cell;
my @names;
my @sql;
foreach my $operation (sort keys %operation)
{
	foreach my $fault (sort keys %faults)
	{
		# whose answer has no data
		next if $operation eq 'delete' && $fault =~ /^no_data/;
		my $key = "$operation-$fault-";
		my $request;

		$key = seed($key, $operation eq 'settle' ? 1000 : 0) if $operation ne 'create';
		$request = $operation eq 'settle' ? settlement("R-$key", $key) :
		  $operation eq 'delete' ? { sync_code => $key } : { sync_code => $key, name => 'new' };
		fault($operation, "\"$key\"", %{ $faults{$fault} });
		$cell{"$operation $fault"} = { key => $key, operation => $operation, fault => $fault };
		push @names, "$operation $fault";
		push @sql, enqueuing($operation{$operation}, $request);
	}
}
my $start = time;
my @ids = split(/\|/, $admin->ok('SELECT ' . join(', ', @sql)));
$cell{$_}{id} = shift @ids foreach @names;
comes($admin, "SELECT count(*) FROM bill24.outbox WHERE state <> 'done'", 0, 'all of them come to their end', 30);
note(sprintf('%d cells in %.1f s', scalar(keys %cell), time - $start));
foreach my $name (sort keys %cell)
{
	my $c = $cell{$name};
	my $key = $c->{operation} eq 'settle' ? "R-$c->{key}" : $c->{key};
	my $times = of_kind($sim, $key, $counter{$c->{operation}});
	my $had_effect = $effect{ $c->{fault} };
	my $attempts = $c->{fault} eq 'unauthorized' ? 1 : !$lost{ $c->{fault} } ? 2 :
	  $c->{operation} =~ /update|delete/ ? 2 : $had_effect ? 2 : 3;

	# an update that was lost is made again, and is the same
	my $expected = $c->{operation} eq 'update' && $had_effect ? 2 : 1;
	is(job($admin, $c->{id}, 'state, attempts, sqlstate, error') . " $times", "done|$attempts|| $expected", $name);
}
is(count_jobs($admin, "key LIKE '%status_429%' AND finished_at - created_at < '1 s'"), 0, 'Retry-After is heeded');
is(effects($sim, $_), 'update(new) update(new)', "$_: the same twice") foreach $cell{'update drop_after'}{key};

# ---- what a look-up finds ------------------------------------------------------

{
	my $key = seed('other-');
	fault('create', $key, kind => 'drop_before');
	my $id = enqueue($admin, 'create_customer', { sync_code => $key, name => 'somebody' });
	ends($id, qr/^parked\|2\|KH409\|.*there is a customer with this sync_code and another name/, 'another customer of that sync_code');
	is(of_kind($sim, $key, 'created'), 0, 'is left as it is');
	$sim->post('/_sim/set_customer', { sync_code => $key, name => 'somebody' });
	$sim->post('/_sim/set_customer', { sync_code => $key, $_ => '' }) foreach 'name_kh', 'phone', 'email';
	$admin->ok("SELECT bill24_retry($id)");
	ends($id, qr/^done\|/, 'made alike by hand, and retried');

	# a bill that is there, but not paid
	$key = seed('poor-', 5);
	fault('settle', $key, kind => 'drop_after');
	$id = enqueue($admin, 'settle_payment', settlement('poor', $key, 10));
	ends($id, qr/^parked\|2\|KH409\|.*there, but not paid/, 'a bill that is there, but not paid');
	is(of_kind($sim, 'poor', 'charges'), 0, 'nothing is charged');
	$sim->post('/_sim/topup', { sync_code => $key, amount => 100 });
	$admin->ok("SELECT bill24_resolve($id, 'failed')");

	# bills that are others'
	my $second = seed('second-', 100);
	$admin->ok("SELECT bill24_settle_payment('taken', '$key', 10, 'KHR', 'ST001', '2025-11-20', '2099-12-31')");
	fault('settle', '"taken"', kind => 'drop_before', count => 2);
	$id = enqueue($admin, 'settle_payment', settlement('taken', $key, 11));
	ends($id, qr/^parked\|2\|KH409\|.*another amount/, 'a bill of another amount');
	$id = enqueue($admin, 'settle_payment', settlement('taken', $second, 10));
	ends($id, qr/^parked\|2\|KH409\|.*another customer/, 'a bill of another customer');
	is(of_kind($sim, 'taken', 'charges'), 1, 'one charge');
	$sim->post('/_sim/clear_faults');

	# an answer about somebody else is none
	my $mine = 'mine-1';
	fault('create', $mine, kind => 'drop_after');
	fault('get', $mine, kind => 'patch', set => { 'data.sync_code' => 'another' }, count => 2);
	$id = enqueue($admin, 'create_customer', { sync_code => $mine, name => 'mine' });
	ends($id, 'done|4||', 'a look-up that tells of another is repeated');
	is(of_kind($sim, $mine, 'created'), 1, 'once');
	fault('create', 'mine-2', kind => 'drop_after');
	fault('get', 'mine-2', kind => 'patch', remove => ['data.sync_code'], count => -1);
	$id = enqueue($admin, 'create_customer', { sync_code => 'mine-2', name => 'mine' });
	comes($admin, "SELECT state FROM bill24.outbox WHERE id = $id AND attempts > 3 AND error LIKE '%which sync_code%'", 'unknown',
		'one that does not say of whom, too');
	$sim->post('/_sim/clear_faults');
	$admin->ok("SELECT bill24_retry($id)") if job($admin, $id) ne 'done';
	becomes($admin, $id, 'done', 'until it does');
}

# ---- look-ups that fail -----------------------------------------------------------

{
	fault('create', 'again', kind => 'drop_after');
	fault('get', 'again', kind => $_) foreach 'status', 'drop_before', 'garbage';
	fault('get', 'again', kind => 'status', status => 429);
	fault('get', 'again', kind => 'unauthorized');
	my $id = enqueue($admin, 'create_customer', { sync_code => 'again', name => 'again' });
	ends($id, 'done|5||', 'a look-up that fails is repeated');
	is(of_kind($sim, 'again', 'created'), 1, 'nothing is sent meanwhile');

	fault('create', 'refused', kind => 'drop_after');
	fault('get', 'refused', kind => 'body', body => '{"code": "999", "message": "not you"}');
	$id = enqueue($admin, 'create_customer', { sync_code => 'refused', name => 'refused' });
	ends($id, qr/^parked\|2\|KH000\|looking it up: .*not you/, 'one that is refused');
	$admin->ok("SELECT bill24_retry($id)");
	ends($id, qr/^done\|2/, 'can be repeated by hand');

	# no token for it
	fault('create', 'tokenless', kind => 'drop_after');
	fault('get', 'tokenless', kind => 'unauthorized');
	$sim->post('/_sim/fault', { kind => 'status', path => '/merchantsecurity/authorize', count => 2 });
	$id = enqueue($admin, 'create_customer', { sync_code => 'tokenless', name => 'tokenless' });
	becomes($admin, $id, 'done', 'one for which there is no token at first');
	is(of_kind($sim, 'tokenless', 'created'), 1, 'once');
	$sim->post('/_sim/clear_faults');
}

# ---- what is there already ---------------------------------------------------------

{
	my $key = seed('there-', 100);
	my $id = enqueue($admin, 'create_customer', { sync_code => $key, name => 'x' });
	ends($id, qr/^failed\|1\|KH409\|it already exists \(.*310.*This customer already exist/, 'at the first attempt, a duplicate is one');
	$admin->ok("SELECT bill24_settle_payment('there', '$key', 10, 'KHR', 'ST001', '2025-11-20', '2099-12-31')");
	$id = enqueue($admin, 'settle_payment', settlement('there', $key));
	ends($id, qr/^failed\|1\|KH409\|.*327/, 'a bill, too');

	fault('create', $key, kind => 'status', status => 429);
	$id = enqueue($admin, 'create_customer', { sync_code => $key, name => 'x' });
	ends($id, qr/^parked\|3\|KH409\|/, 'at the second it may be ours, and is looked up: it is not');
	$admin->ok("SELECT bill24_cancel($id)");
	fault('settle', '"there"', kind => 'status', status => 429);
	$id = enqueue($admin, 'settle_payment', settlement('there', $key));
	ends($id, 'done|3||', 'it is');
	is(of_kind($sim, 'there', 'charges'), 1, 'one charge');
	is(of_kind($sim, $key, 'created'), 0, 'nothing created');
}

# ---- what cannot be looked up ---------------------------------------------------------

foreach my $kind ('drop_before', 'drop_after', 'garbage', 'status')
{
	my %biller = (supplier_sync_code => "B-$kind", name => 'B');

	$sim->post('/_sim/fault', { kind => $kind, match => "\"B-$kind\"" });
	my $id = enqueue($admin, 'onboard_sub_biller', \%biller);
	ends($id, qr/^parked\|1\|\w{5}\|./, "a sub-biller, $kind: a person is asked");
	$admin->ok("SELECT bill24_retry($id)");
	ends($id, $kind =~ /drop_before|status/ ? qr/^done\|2/ : qr/^failed\|2\|KH409/, 'who may have it sent again');
	$sim->post('/_sim/fault', { kind => $kind, match => "\"B-$kind\"" });
	$id = enqueue($admin, 'add_link_account', { supplier_sync_code => "B-$kind", bank_id => 'AC', return_url => 'https://example.com/' });
	ends($id, qr/^parked\|1\|\w{5}\|./, "a link, $kind");
	$admin->ok("SELECT bill24_resolve($id, 'done')");
}

# ---- what is refused ---------------------------------------------------------------------

{
	my $key = seed('refusals-', 50);
	my @cases = (
		[ 'delete_customer', { sync_code => $key }, 'KH423', 'the wallet balance is not zero' ],
		[ 'update_customer', { sync_code => 'nobody', name => 'x' }, 'KH404', 'not found' ],
		[ 'delete_customer', { sync_code => 'nobody' }, 'KH404', 'not found' ],
		[ 'settle_payment', { %{ settlement('f1', $key) }, payment_to => 'nowhere' }, 'KH404', 'not found' ],
		[ 'settle_payment', { %{ settlement('f2', $key) }, payment_method_token => 'nonsense' }, 'KH498', 'token' ],
		[ 'settle_payment', settlement('f3', 'nobody'), 'KH404', 'not found' ],
		[ 'settle_payment', settlement('f4', $key, 51), 'KH402', 'insufficient funds' ],
		[ 'add_link_account', { supplier_sync_code => 'nobody', bank_id => 'AC', return_url => 'https://example.com/' }, 'KH404', 'not found' ]);

	foreach my $case (@cases)
	{
		my ($operation, $request, $sqlstate, $text) = @$case;
		my $id = enqueue($admin, $operation, $request);

		ends($id, qr/^failed\|1\|$sqlstate\|.*\Q$text\E.* \(.*\)/, "$operation: $sqlstate, at once, with what the provider says");
	}
	$sim->post('/_sim/fault', { kind => 'body', match => $key, body => '{"code": "777", "message": "no such luck"}' });
	my $id = enqueue($admin, 'update_customer', { sync_code => $key, name => 'x' });
	ends($id, qr/^failed\|1\|KH000\|.*777.*no such luck/, 'a code that nobody knows');
	$sim->post('/_sim/fault', { kind => 'body', match => $key, body => '{"code": "ERR_MISSED_FIELD", "message": "Please provide [name]."}' });
	$id = enqueue($admin, 'update_customer', { sync_code => $key, name => 'x' });
	ends($id, qr/^failed\|1\|KH422\|.*ERR_MISSED_FIELD/, 'what the provider finds missing');
	is(of_kind($sim, 'f4', 'charges'), 0, 'no charge');
	$id = enqueue($admin, 'settle_payment', settlement('f5', $key, 50));
	ends($id, 'done|1||', 'what comes later goes on');
}

# ---- credentials -----------------------------------------------------------------------

{
	setup_account($node, $sim, server => 'locked', options => { %quick, retry_delay => '1h' }, mapping => { secret => 'wrong' });
	my $id = enqueue($admin, 'create_customer', { sync_code => 'locked', name => 'locked' }, 'locked');
	ends($id, qr/^queued\|1\|28000\|.*credentials were refused/, 'credentials that are refused: it stays');
	is(job($admin, $id, "next_attempt_at - now() < '1 h' AND next_attempt_at > created_at"), 't', 'for a while');
	is(of_kind($sim, 'locked', 'created'), 0, 'unsent');
	$admin->ok("ALTER USER MAPPING FOR CURRENT_USER SERVER locked OPTIONS (SET secret 'demo-secret'); SELECT bill24_retry($id)");
	ends($id, 'done|2||', 'put right, and retried');

	setup_account($node, $sim, server => 'unhashed', options => {%quick}, mapping => { hash_token => 'wrong' });
	$id = enqueue($admin, 'settle_payment', settlement('unhashed', seed('unhashed-', 10)), 'unhashed');
	ends($id, qr/^failed\|1\|KH498\|.*318/, 'a hash that is wrong');
}

# ---- enough is enough --------------------------------------------------------------------

{
	setup_account($node, $sim, server => 'tired', options => { %quick, max_attempts => 3, retry_delay => '5ms' });
	my %kind = (throttled => [ 'KH429', status => 429 ], unreachable => [ 'KH500', status => 500 ]);
	foreach my $kind (sort keys %kind)
	{
		my ($sqlstate, @fault) = @{ $kind{$kind} };

		$sim->post('/_sim/fault', { kind => 'status', @fault, match => $kind, count => -1 });
		my $id = enqueue($admin, 'create_customer', { sync_code => $kind, name => $kind }, 'tired');
		ends($id, qr/^parked\|3\|$sqlstate\|gave up after 3 attempts: /, "$kind: not for ever");
		$sim->post('/_sim/clear_faults');
		$admin->ok("SELECT bill24_retry($id)");
		becomes($admin, $id, 'done', 'a person can have it go on');
		is(of_kind($sim, $kind, 'created'), 1, 'once');
	}
	my $closed = Bill24Session::free_port();
	$admin->ok("ALTER SERVER tired OPTIONS (SET base_url 'http://127.0.0.1:$closed')");
	my $id = enqueue($admin, 'create_customer', { sync_code => 'closed', name => 'closed' }, 'tired');
	ends($id, qr/^parked\|3\|08001\|gave up after 3 attempts: /, 'nobody there');
	$admin->ok("ALTER SERVER tired OPTIONS (SET base_url '" . $sim->url . "'); SELECT bill24_retry($id)");
	becomes($admin, $id, 'done', 'somebody there');
	is(of_kind($sim, 'closed', 'created'), 1, 'once');
}

# ---- a server that is left alone for a while ------------------------------------------------

{
	$sim->post('/_sim/fault', { kind => 'status', status => 500, match => 'circuit', count => 3, effect => JSON::PP::false });
	setup_account($node, $sim, server => 'weak', options => { %quick, circuit_failures => 3, max_in_flight => 1, max_attempts => 6 });
	my @ids = map { enqueue($admin, 'create_customer', { sync_code => "circuit-$_", name => 'c' }, 'weak') } 1 .. 20;
	comes($admin, "SELECT state FROM bill24.circuit WHERE server = 'weak'", qr/open/, 'a server that fails is left alone');
	comes($admin, "SELECT count(*) FROM bill24.outbox WHERE server = 'weak' AND state <> 'done'", 0, 'and then served', 40);
	is(join(' ', map { of_kind($sim, "circuit-$_", 'created') } 1 .. 20), join(' ', (1) x 20), 'each once');
	is(count_jobs($admin, "server = 'weak' AND attempts > 5"), 0, 'what was not tried does not count');
}

$admin->end;
$node->stop;
done_testing();
