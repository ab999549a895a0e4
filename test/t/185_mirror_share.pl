
# Direct calls beside a sync: looks leave them a share of max_in_flight, also
# when none of the looks is answered.

use strict;
use warnings;

use Bill24Mirror;
use Bill24Outbox;
use Bill24Session;
use Bill24Test;
use Test::More;

my $sim = start_simulator();
my $node = new_node('main');
my $looks = '/customer/get_customer_detail';
my $count = 400;

# In the ten seconds after a direct call, workers leave a place free whatever
# they do: the share of looks shows only on a server that had no call yet.
setup_account($node, $sim, options => { mirror => 'true', circuit_failures => 0, max_in_flight => 4, request_timeout => '10min' });
my ($admin, $other) = connect_mirror($node, $sim);

sub in_flight { return $sim->get('/_sim/stats')->{in_flight}; }
sub direct_call { return $other->ok("SELECT count(*) FROM bill24_get_wallet_balance('S0000001')"); }

# ---- looks that are not answered -----------------------------------------------------

$sim->post('/_sim/seed', { prefix => 'S', count => $count, balance => 1 });
$sim->post('/_sim/fault', { kind => 'hang', path => $looks, count => -1 });
track('S', $count);
requests_wait($sim, 3);
is(direct_call(), 1, 'looks hang: a direct call has its place');
is(direct_call(), 1, "and so has the next, call $_") foreach 2 .. 10;
is(in_flight(), 3, 'the looks hang all the while');
is(looked(), 3, 'and no more of them began');

# the place is one for all calls, and none of it is for looks
$sim->post('/_sim/fault', { kind => 'hang', path => '/instant_payment/get_wallet_balance' });
$other->send("SELECT count(*) FROM bill24_get_wallet_balance('S0000002')");
requests_wait($sim, 4);
is(looked(), 3, 'a direct call hangs as well');
$sim->post('/_sim/clear_faults');
is($other->wait->{sqlstate}, '00000', 'they are let go');
comes($admin, 'SELECT done, failed FROM bill24.sync_progress', "$count|0", 'and all customers are read', 60);

# ---- looks that are slow ---------------------------------------------------------------

# Of four places a call has one at once, whatever is due: the other three make
# at most three looks in its time, and some that end as it begins.
$sim->post('/_sim/config', { latency_ms => 200 });
$admin->ok('SELECT bill24_refresh(' . codes('S', $count) . ')');
my $before = looked();
wait_until('a sync is under way', sub { looked() > $before + 6 });
$before = looked();
direct_call() foreach 1 .. 10;
my $meanwhile = looked() - $before;
cmp_ok($meanwhile, '<=', 60, "looks are slow: beside ten calls, one after the other, there were $meanwhile looks");
cmp_ok($meanwhile, '>', 0, 'and the sync goes on');
cmp_ok($admin->ok('SELECT due FROM bill24.sync_progress'), '>', $count / 2, 'most of which is still to be done');
$sim->post('/_sim/config', { latency_ms => 0 });
comes($admin, 'SELECT due, failed FROM bill24.sync_progress', '0|0', 'it comes to its end', 60);

done_testing();
