
# What a FETCH that failed had begun is over with ROLLBACK TO SAVEPOINT: a
# cursor that was opened before the savepoint keeps its memory, but its request
# is not sent by a later call, in whatever phase it was cancelled.

use strict;
use warnings;

use Bill24Session;
use Bill24Test;
use JSON::PP;
use Test::More;
use Time::HiRes qw(sleep time);

my $settle = '/bill_payment/push_bill_with_payment';
my %file = make_certificates(Bill24Session::scratch() . '/certificates');
my $sim = start_simulator('--tls-cert', $file{good}, '--tls-key', $file{good_key});

my $node = new_node('main');
my %patient = (ca_file => $file{ca}, connect_timeout => '20s', request_timeout => '20s');
setup_account($node, $sim, options => {%patient});
my $good = "SELECT balance FROM bill24_get_wallet_balance('C0000001')";

# The simulator is told what to do by TLS as well, so from the database; the
# other name makes that an account of its own.
setup_account($node, $sim, server => 'control',
	options => { %patient, base_url => 'https://localhost:' . $sim->port });
my $control = Bill24Session->new($node);

sub control
{
	my ($method, $path, $data) = @_;
	my $body = $data ? "'" . encode_json($data) . "'" : 'NULL';

	return decode_json($control->ok(
		"SELECT bill24_request('$method', '$path', $body, 'control')"));
}

control('POST', '/_sim/seed', { count => 9, prefix => 'C', balance => 5000 });

# With TLS there is a time in which the connection is made and nothing is sent;
# with every answer the connection ends, so that each request goes through it.
control('POST', '/_sim/config', { close_after => JSON::PP::true });

# How often a path was asked for, and what became of a payment.
sub requests { return control('GET', '/_sim/stats')->{by_path}{ $_[0] } // 0; }
sub charges { return control('GET', "/_sim/effects?key=$_[0]")->{charges}; }

my @phases = (
	{
		name => 'connecting',
		before => sub { kill('STOP', $sim->pid) },
		after => sub { kill('CONT', $sim->pid) },
	},
	{
		name => 'connecting to log in',
		login => 1,
		before => sub { kill('STOP', $sim->pid) },
		after => sub { kill('CONT', $sim->pid) },
	},
	{
		name => 'before the answer to the login',
		login => 1,
		before => sub {
			control('POST', '/_sim/fault', { kind => 'delay', ms => 800,
				path => '/merchantsecurity/authorize' });
		},
	});

my %statement = (
	bill24_settle_payment => "SELECT * FROM bill24_settle_payment('%s', 'C0000002',"
	  . " 100, 'KHR', 'ST001', '2025-11-20', '2099-12-31')",
	bill24_request => "SELECT bill24_request('POST', '$settle',"
	  . " jsonb_build_object('ref_id', '%s', 'customer_sync_code', 'C0000002',"
	  . " 'total_amount', 100, 'description', repeat('x', 10000)))");

my $n = 0;
foreach my $function (sort keys %statement)
{
	foreach my $phase (@phases)
	{
		cancelled($function, $phase);
	}
}

sub cancelled
{
	my ($function, $phase) = @_;
	my $what = "$function, $phase->{name}";
	my $ref = 'S' . ++$n;

	# a server that has just started has no token
	$node->restart;
	$control = Bill24Session->new($node);
	my $before = requests($settle);
	my $session = Bill24Session->new($node);
	$session->ok($good) unless $phase->{login};

	$session->ok("BEGIN; DECLARE c CURSOR FOR "
		  . sprintf($statement{$function}, $ref) . "; SAVEPOINT s");
	$phase->{before}->();
	$session->ok("SET LOCAL statement_timeout = '300ms'");
	is($session->query('FETCH 1 FROM c')->{sqlstate}, '57014', "$what: cancelled");
	$session->ok('ROLLBACK TO s');
	$phase->{after}->() if $phase->{after};

	# other calls go on with whatever they find
	my $end = time + 1.5;
	my @calls;
	while (time < $end)
	{
		push @calls, $session->query($good)->{rows};
		sleep(0.05);
	}
	is(scalar(grep { $_ ne '5000' } @calls), 0, "$what: calls work");
	$session->ok("SELECT count(*) FROM bill24_get_wallet_balances("
		  . "ARRAY(SELECT 'C000000' || i FROM generate_series(1, 9) i))");
	$session->ok('SAVEPOINT t; ROLLBACK TO t; COMMIT');
	$session->ok($good);
	$session->end;
	is(requests($settle), $before, "$what: never sent");
	is(charges($ref), 0, "$what: nothing was paid");
	control('POST', '/_sim/clear_faults');
	return;
}

my $session = Bill24Session->new($node);
my $before = requests($settle);
like($session->ok(sprintf($statement{bill24_settle_payment}, 'PAID')),
	qr/paid|success/i, 'a payment that is not cancelled is made');
is(requests($settle), $before + 1, 'sent once');
is(charges('PAID'), 1, 'paid once');
$session->end;
$control->end;
$node->stop;

my $log = do
{
	open(my $in, '<', $node->logfile) or die "could not read the log: $!";
	local $/;
	<$in>;
};
unlike($log, qr/was terminated by signal|PANIC/, 'no process crashed');

done_testing();
