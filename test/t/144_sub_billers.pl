
# Operations that cannot be looked up: what was refused or never done is as with
# the others, and of what may have been done a person decides.

use strict;
use warnings;

use Bill24Outbox;
use Bill24Session;
use Bill24Test;
use JSON::PP;
use Test::More;

my $sim = start_simulator();
my $node = new_node('main');
my %quick = (retry_delay => '20ms', circuit_failures => 0, request_timeout => '1s');
setup_account($node, $sim, options => {%quick});
my $admin = Bill24Session->new($node);
my %path = (onboard_sub_biller => '/on_boarding/on_boarding_supplier', add_link_account => '/on_boarding/add_link_account');

sub request
{
	my ($operation, $key, $bank) = @_;

	return {
		supplier_sync_code => $key,
		bank_id => $bank // 'AC',
		return_url => 'https://example.com/',
		($operation eq 'onboard_sub_biller' ? (name => $key) : ())
	};
}

# A sub-biller for the operation, if it needs one.
sub prepare
{
	my ($operation, $key) = @_;

	$admin->ok("SELECT bill24_onboard_sub_biller('$key', 'B')") if $operation eq 'add_link_account';
	return;
}

# How often an operation was carried out: each links a bank.
sub made
{
	my ($key) = @_;
	my $result = $admin->query("SELECT jsonb_array_length(bill24_verify_linked_account('$key') -> 'bank_account_linked')");

	return $result->{sqlstate} eq 'KH404' ? 0 : $result->{rows};
}

# How many requests came for it.
sub requests
{
	my ($operation) = @_;

	return $sim->get('/_sim/stats')->{by_path}{ $path{$operation} } // 0;
}

sub ends
{
	my ($id, $expected, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return comes($admin, "SELECT state, attempts, sqlstate, error FROM bill24.outbox WHERE id = $id", $expected, $name);
}

# ---- every fault ----------------------------------------------------------------

my %lost = (
	drop_before => { kind => 'drop_before' },
	drop_after => { kind => 'drop_after' },
	reset_after => { kind => 'reset_after' },
	half_body => { kind => 'half_body' },
	garbage => { kind => 'garbage' },
	status_500 => { kind => 'status' },
	status_500_effect => { kind => 'status', effect => JSON::PP::true },
	delay => { kind => 'delay', ms => 2500 },
	huge => { kind => 'huge', bytes => 8 << 20 },
	html => { kind => 'body', body => '<html>gateway</html>', status => 502 });
my %effect = map { $_ => 1 } qw(drop_after reset_after half_body garbage status_500_effect delay huge html);
my %undone = (
	status_429 => { kind => 'status', status => 429, retry_after => 1 },
	unauthorized => { kind => 'unauthorized' });

foreach my $name (grep { $effect{$_} && $_ ne 'delay' } sort keys %lost)
{
	$lost{"${name}_none"} = { %{ $lost{$name} }, effect => JSON::PP::false };
}
my %sent;
my @cells;
foreach my $operation (sort keys %path)
{
	foreach my $fault (sort(keys %lost, keys %undone))
	{
		my $key = "$operation-$fault";

		prepare($operation, $key);
		push @cells, { operation => $operation, fault => $fault, key => $key };
	}
	$sent{$operation} = requests($operation);
}
foreach my $cell (@cells)
{
	$sim->post('/_sim/fault', { match => "\"$cell->{key}\"", path => $path{ $cell->{operation} },
			%{ $lost{ $cell->{fault} } // $undone{ $cell->{fault} } } });
	$cell->{id} = enqueue($admin, $cell->{operation}, request($cell->{operation}, $cell->{key}));
}
comes($admin, "SELECT count(*) FROM bill24.outbox WHERE finished_at IS NULL AND state <> 'parked'", 0, 'all of them come to their end', 30);
foreach my $cell (@cells)
{
	my $name = "$cell->{operation} $cell->{fault}";
	my $got = job($admin, $cell->{id}, 'state, attempts, sqlstate IS NULL, error IS NULL') . ' ' . made($cell->{key});

	is($got, 'parked|1|f|f ' . ($effect{ $cell->{fault} } ? 1 : 0), "$name: a person is asked") if $lost{ $cell->{fault} };
	is($got, 'done|2|t|t 1', "$name: tried again") if $cell->{fault} eq 'status_429';
	is($got, 'done|1|t|t 1', "$name: sent with another token") if $cell->{fault} eq 'unauthorized';
}
is(count_jobs($admin, "key LIKE '%status_429' AND finished_at - created_at < '1 s'"), 0, 'Retry-After is heeded');
foreach my $operation (sort keys %path)
{
	is(requests($operation) - $sent{$operation}, scalar(keys %lost) + 4, "$operation: nothing else was sent again");
}

# ---- what the person may do --------------------------------------------------------

foreach my $cell (grep { $lost{ $_->{fault} } } @cells)
{
	my $name = "$cell->{operation} $cell->{fault}";

	if ($effect{ $cell->{fault} } && $cell->{operation} eq 'add_link_account')
	{
		$admin->ok("SELECT bill24_resolve($cell->{id}, 'done', 'it is linked')");
		ends($cell->{id}, qr/^done\|1/, "$name: there, says the person");
	}
	else
	{
		$admin->ok("SELECT bill24_retry($cell->{id})");
		ends($cell->{id}, $effect{ $cell->{fault} } ? qr/^failed\|2\|KH409/ : 'done|2||', "$name: sent again, as the person wants");
	}
	is(made($cell->{key}), 1, 'one effect');
}

# ---- nobody there, for a while -------------------------------------------------------

{
	my $closed = Bill24Session::free_port();
	my %id;

	setup_account($node, $sim, server => 'down', options => { %quick, base_url => "http://127.0.0.1:$closed" });
	foreach my $operation (sort keys %path)
	{
		prepare($operation, "down-$operation");
		$id{$operation} = enqueue($admin, $operation, request($operation, "down-$operation"), 'down');
		comes($admin, "SELECT attempts > 2 FROM bill24.outbox WHERE id = $id{$operation} AND sqlstate = '08001' AND state = 'queued'",
			't', "$operation: could not connect: tried again and again");
	}
	$admin->ok("ALTER SERVER down OPTIONS (SET base_url '" . $sim->url . "')");
	foreach my $operation (sort keys %path)
	{
		becomes($admin, $id{$operation}, 'done', "$operation: until somebody is there");
		is(made("down-$operation"), 1, 'one effect');
	}
}

# ---- refused ---------------------------------------------------------------------------

foreach my $operation (sort keys %path)
{
	prepare($operation, "bank-$operation");
	ends(enqueue($admin, $operation, request($operation, "bank-$operation", 'XX')), qr/^failed\|1\|KH404\|.*Bank not found/, "$operation: refused");
	is(made("bank-$operation"), 0, 'without an effect');
}
ends(enqueue($admin, 'onboard_sub_biller', request('onboard_sub_biller', 'ST001')), qr/^failed\|1\|KH409\|.*already exist/, 'one that is there');
$sim->post('/_sim/fault', { kind => 'status', status => 429, match => '"ST001"' });
ends(enqueue($admin, 'onboard_sub_biller', request('onboard_sub_biller', 'ST001')), qr/^failed\|2\|KH409\|/,
	'at the second attempt as well, as the first did nothing');

# ---- a crash ------------------------------------------------------------------------------

foreach my $operation (sort keys %path)
{
	my $key = "crash-$operation";

	prepare($operation, $key);
	$sim->post('/_sim/fault', { kind => 'delay', ms => 60000, match => "\"$key\"", path => $path{$operation} });
	my $id = enqueue($admin, $operation, request($operation, $key));
	requests_wait($sim, 1);
	is(made($key), 1, "$operation: it is done");
	$admin->end;
	$node->stop('immediate');
	$sim->post('/_sim/clear_faults');
	$node->start;
	$admin = Bill24Session->new($node);
	ends($id, qr/^parked\|2\|08007\|.*unknown.*cannot be looked up/, 'a crash before the answer: a person is asked');
	is(made($key), 1, 'one effect');
}

$admin->end;
$node->stop;
done_testing();
