
# The mirror of a server, beside the simulator that it is of.
#
#	use Bill24Mirror;
#
#	my ($admin, $other) = connect_mirror($node, $sim);
#	customers('A', 3);
#	under_way('A0000001', 500);
#	topup('A0000001', 5);
#	refresh('A0000001');
#	comes($admin, balance('A0000001'), 105, 'it is looked at again');
#	equal_to_simulator('A', 'mirror and simulator have the same');
#
# Codes are as the simulator's seeds make them: a prefix and seven digits.

package Bill24Mirror;

use strict;
use warnings;

use Bill24Outbox;
use Bill24Session;
use Exporter 'import';
use HTTP::Tiny;
use JSON::PP;
use Test::More ();

our @EXPORT = qw(connect_mirror looked codes track refresh topup balance customers
  delay under_way answered others_go_on equal_to_simulator);

my $looks = '/customer/get_customer_detail';
my ($sim, $admin, $other);

# connect_mirror(NODE, SIMULATOR): two sessions, as soon as the server is there.
# The functions below use the first of them, until the next call of this.
sub connect_mirror
{
	my ($node, $simulator) = @_;

	$sim = $simulator;
	$_->end foreach grep { defined } $admin, $other;
	wait_until('the server is there', sub { $node->psql('postgres', 'SELECT 1') == 0 });
	($admin, $other) = map { Bill24Session->new($node) } 1, 2;
	return ($admin, $other);
}

# How many looks arrived at the simulator.
sub looked { return $sim->get('/_sim/stats')->{by_path}{$looks} // 0; }

# codes(PREFIX, COUNT): the first ones, an SQL expression.
sub codes
{
	my ($prefix, $count) = @_;

	return "array(SELECT '$prefix' || to_char(n, 'FM0000000') FROM generate_series(1, $count) n)";
}

sub track { return $admin->ok('SELECT bill24_track(' . codes(@_) . ')'); }
sub refresh { return $admin->ok("SELECT bill24_refresh('{$_[0]}')"); }
sub topup { return $sim->post('/_sim/topup', { sync_code => $_[0], amount => $_[1] }); }

# balance(CODE): of a customer with one wallet, a query.
sub balance { return "SELECT balance FROM bill24.wallet WHERE sync_code = '$_[0]'"; }

# customers(PREFIX, COUNT): new ones, tracked and read.
sub customers
{
	my ($prefix, $count) = @_;

	$sim->post('/_sim/seed', { prefix => $prefix, count => $count, balance => 100 });
	track($prefix, $count);
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	comes($admin, "SELECT count(*) FROM bill24.customer WHERE sync_code LIKE '$prefix%' AND synced_at IS NOT NULL", $count, "$prefix: $count customers");
	return;
}

# delay(CODE, MS): the answer to the next look at a customer is late.
sub delay { return $sim->post('/_sim/fault', { kind => 'delay', ms => $_[1], path => $looks, match => "\"$_[0]\"" }); }

# under_way(CODE, MS): a look has seen what there is, and is answered later.
sub under_way
{
	my ($code, $ms) = @_;
	my $before = looked();

	delay($code, $ms);
	refresh($code);
	wait_until("$code is looked at", sub { looked() > $before });
	return;
}

sub answered { wait_until('it is answered', sub { $sim->get('/_sim/stats')->{in_flight} == 0 }); return; }

# others_go_on(CODE, NAME): tests that this customer is still looked at.
sub others_go_on
{
	my ($code, $name) = @_;
	my $new = $admin->ok(balance($code)) + 1;

	topup($code, 1);
	refresh($code);
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	comes($admin, balance($code), $new, "$name: others go on");
	return;
}

# equal_to_simulator(PREFIX, NAME): tests that mirror and simulator have the
# same, row by row.  Returns how many customers and wallets that are, and the
# differences.
sub equal_to_simulator
{
	my ($prefix, $name) = @_;
	my $dir = Bill24Session::scratch();
	my $after = '';
	my $n = 0;

	chmod(0755, $dir);
	for (;;)
	{
		my $answer = HTTP::Tiny->new->get($sim->url . "/_sim/customers?limit=5000&from=$prefix&after=$after");
		my $list = decode_json($answer->{content});

		last unless @$list;
		$after = $list->[-1]{sync_code};
		open(my $out, '>:raw', "$dir/" . ++$n) or die;
		print $out $answer->{content};
		close($out);
	}
	my $differences = $admin->ok(qq{
		CREATE TEMP TABLE theirs AS SELECT c FROM generate_series(1, $n) n,
			jsonb_array_elements(pg_read_file('$dir/' || n)::jsonb) c WHERE c ->> 'sync_code' LIKE '$prefix%';
		WITH their_customers AS (SELECT c ->> 'sync_code', c ->> 'name', c ->> 'name_kh', c ->> 'phone', c ->> 'email' FROM theirs),
			our_customers AS (SELECT sync_code, name, name_kh, phone, email FROM bill24.customer
				WHERE sync_code LIKE '$prefix%' AND deleted_at IS NULL AND synced_at IS NOT NULL),
			their_wallets AS (SELECT c ->> 'sync_code', w ->> 'id', w ->> 'name', (w ->> 'visible_balance')::numeric, w ->> 'currency'
				FROM theirs, jsonb_array_elements(c -> 'wallets') w),
			our_wallets AS (SELECT sync_code, id, name, balance, currency FROM bill24.wallet
				WHERE sync_code LIKE '$prefix%' AND deleted_at IS NULL)
		SELECT (SELECT count(*) FROM our_customers), (SELECT count(*) FROM our_wallets),
			(SELECT count(*) FROM (TABLE their_customers EXCEPT TABLE our_customers) d),
			(SELECT count(*) FROM (TABLE our_customers EXCEPT TABLE their_customers) d),
			(SELECT count(*) FROM (TABLE their_wallets EXCEPT TABLE our_wallets) d),
			(SELECT count(*) FROM (TABLE our_wallets EXCEPT TABLE their_wallets) d);
		DROP TABLE theirs});
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return Test::More::like($differences, qr/^(\d+\|){2}0\|0\|0\|0$/, $name) && $differences;
}

1;
