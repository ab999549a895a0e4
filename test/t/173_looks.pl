
# Looks go on: whatever some of them meet, the others are made, and by somebody.

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
my %options = (mirror => 'true', retry_delay => '20ms', circuit_failures => 0);
my ($admin, $other);

sub connect_again
{
	$_->end foreach grep { defined } $admin, $other;
	($admin, $other) = map { Bill24Session->new($node) } 1, 2;
	return;
}

sub now { return $admin->ok('SELECT clock_timestamp()'); }
sub codes { my ($prefix, $count) = @_; return "array(SELECT '$prefix' || to_char(n, 'FM0000000') FROM generate_series(1, $count) n)"; }
sub track { my ($prefix, $count, $server) = @_; return $admin->ok('SELECT bill24_track(' . codes($prefix, $count) . ", '" . ($server // 'bill24') . "')"); }
sub seed { return $sim->post('/_sim/seed', { prefix => $_[0], count => $_[1], balance => 100 }); }
sub topup { return $sim->post('/_sim/topup', { sync_code => $_[0], amount => $_[1] }); }
sub balance { return "SELECT balance FROM bill24.wallet WHERE sync_code = '$_[0]'"; }

# Customers of whom nobody was told, and who are looked at since a time.
sub looked_since { my ($since, $where) = @_; return "SELECT count(*) FROM bill24.customer WHERE synced_at > '$since' AND $where"; }

# ---- a look that takes longer than looks are apart ------------------------------------------

setup_account($node, $sim, options => { %options, sync_interval => '2s', min_sync_interval => '1s', request_timeout => '60s' });
connect_again();
seed('A', 200);
track('A', 200);
my $grouped = "SELECT count(*) FROM bill24.tracked WHERE server = 'bill24' AND look_group IS NOT NULL";
comes($admin, $grouped, 200, 'quiet customers are in groups');
$sim->post('/_sim/fault', { kind => 'delay', ms => 7000, path => $looks, match => '"A0000007"' });
my $slow = "(SELECT t.look_group FROM bill24.tracked t WHERE t.sync_code = 'A0000007')";
wait_until('one look hangs', sub { $sim->get('/_sim/stats')->{in_flight} == 1 });
my $since = now();
comes($admin, "SELECT count(*) FROM bill24.look_group WHERE id <> $slow AND looked_at > timestamptz '$since' + '3 s'::interval", 3, 'a look that hangs: other groups are looked at');
comes($admin, looked_since($since, "sync_code <> 'A0000007'"), 199, 'and later its own');
$since = now();
comes($admin, looked_since($since, "sync_code LIKE 'A%'"), 200, 'again and again, too');

# ---- one that cannot be written ---------------------------------------------------------------

my $second = 'second';
setup_account($node, $sim, server => $second, options => { %options, sync_interval => '1h' });
seed('B', 5);
track('B', 5, $second);
comes($admin, 'SELECT count(*) FROM bill24.tracked WHERE read_at IS NULL', 0, 'of two servers');

sub in_log
{
	open(my $log, '<', $node->logfile) or die;
	return scalar grep { $_ =~ $_[0] } <$log>;
}

# Customers of two servers have news, that of one is poison.
sub poisoned
{
	my ($name, $poison, $bad) = @_;
	my %new;

	foreach my $code (map { ("A000000$_", "B000000$_") } 1 .. 5)
	{
		my $old = $admin->ok(balance($code));
		$new{$code} = $code eq $bad ? $poison : $old + 1;
		topup($code, $new{$code} - $old);
	}
	my $before = $admin->ok(balance($bad));
	$admin->ok('BEGIN; SELECT bill24_refresh(' . codes('A', 5) . '); SELECT bill24_refresh(' . codes('B', 5) . ", '$second'); COMMIT");
	my $good = join(' OR ', map { "sync_code = '$_' AND balance = $new{$_}" } grep { $_ ne $bad } sort keys %new);
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	comes($admin, "SELECT count(*) FROM bill24.wallet WHERE $good", 9, "$name: the others are written");
	comes($admin, "SELECT sqlstate, error FROM bill24.customer WHERE sync_code = '$bad'", qr/^XX000\|.*server's log/, "$name: the one is told");
	is($admin->ok("SELECT string_agg(sync_code, ' ') FROM bill24.tracked WHERE sqlstate IS NOT NULL OR failures > 0"), $bad, "$name: and no other");
	is($admin->ok(balance($bad)), $before, "$name: it keeps what it had");
	cmp_ok(in_log(qr/customer "$bad" of server "bill24" could not be written/), '>=', 1, "$name: the log has it");
	return;
}

$admin->ok('ALTER TABLE bill24.wallet_copy ADD CONSTRAINT poisoned CHECK (balance <> 666)');
poisoned('a constraint', 666, 'A0000003');
$admin->ok('ALTER TABLE bill24.wallet_copy DROP CONSTRAINT poisoned');
$admin->ok("SELECT bill24_refresh('{A0000003}')");
comes($admin, balance('A0000003'), 666, 'it is written when it can be');
$admin->ok(q{CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN RAISE 'poisoned' USING ERRCODE = 'P0001'; END $$;
	CREATE CONSTRAINT TRIGGER poison AFTER UPDATE ON bill24.wallet_copy DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
	WHEN (NEW.balance = 7777) EXECUTE FUNCTION poison()});
poisoned('at the commit', 7777, 'A0000004');
$admin->ok('DROP TRIGGER poison ON bill24.wallet_copy');
$admin->ok("SELECT bill24_refresh('{A0000004}')");
comes($admin, balance('A0000004'), 7777, 'that, too');

# ---- when, and how fast -----------------------------------------------------------------------

# a second look that is far away
$admin->ok("UPDATE bill24.tracked SET again_at = now() + '1 day'::interval WHERE sync_code = 'A0000001'; SELECT bill24_refresh('{A0000001}')");
comes($admin, "SELECT read_at > wanted_at FROM bill24.tracked WHERE sync_code = 'A0000001'", 't', 'a look, and a second one to come');
$since = now();
comes($admin, looked_since($since, "sync_code = 'A0000001'"), 1, 'those in between are made');
is($admin->ok("SELECT again_at > now() FROM bill24.tracked WHERE sync_code = 'A0000001'"), 't', 'and it is still to come');

# what is locked when looks are to come sooner
my $plan = "SELECT string_agg(COALESCE(next_look_at > now() + '1 hour'::interval, false)::text, ' ' ORDER BY sync_code) FROM bill24.tracked WHERE sync_code IN ('B0000001', 'B0000002')";
$admin->ok("UPDATE bill24.tracked SET look_group = NULL, next_look_at = now() + '1 day'::interval WHERE sync_code IN ('B0000001', 'B0000002')");
$other->ok("BEGIN; SELECT FROM bill24.tracked WHERE sync_code = 'B0000001' FOR UPDATE");
$admin->ok("ALTER SERVER $second OPTIONS (SET sync_interval '5s', ADD min_sync_interval '1s')");
comes($admin, $plan, 'true false', 'plans are shortened, but for one that is locked');
$other->ok('COMMIT');
comes($admin, $plan, 'false false', 'that is shortened later');

# the rate is of customers that were read
setup_account($node, $sim, server => 'failing', options => { %options, sync_interval => '1h' });
$sim->post('/_sim/fault', { kind => 'status', status => 500, path => $looks, match => '"none0', count => -1 });
track('none', 20, 'failing');
comes($admin, "SELECT min(failures) > 7 FROM bill24.tracked WHERE server = 'failing'", 't', 'looks that fail');
is($admin->ok("SELECT count(*) FROM bill24.look_rate WHERE server = 'failing'"), 0, 'are no rate');
$admin->ok("SELECT bill24_untrack(" . codes('none', 20) . ", 'failing')");

# ---- the next one looks -----------------------------------------------------------------------

# of two workers, the one that looks is too many
my $workers = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'bill24 worker' AND datname = current_database()";
my $holder = "SELECT l.pid FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE backend_type = 'bill24 worker' AND locktype = 'advisory' AND objsubid = 2424 AND classid = 0 AND objid = 1 AND l.granted";
$admin->ok('ALTER SYSTEM SET bill24.workers = 2; SELECT pg_reload_conf(); SELECT bill24.wake()');
comes($admin, $workers, 2, 'two workers');
for (my $tries = 0; $tries < 4; $tries++)
{
	my @pids = split(/\n/, $admin->ok('SELECT pid FROM bill24.worker WHERE database = current_database() AND pid IS NOT NULL'));
	my $pid = $admin->ok($holder);

	last if @pids == 2 && $pid eq $pids[1];
	$admin->ok("SELECT pg_terminate_backend($pid)") if $pid ne '';
	comes($admin, "SELECT count(*) = 2 AND bool_and(pid IS DISTINCT FROM " . ($pid || 0) . ") FROM bill24.worker WHERE database = current_database() AND pid IS NOT NULL", 't', 'who looks is ended: another comes');
	$since = now();
	comes($admin, looked_since($since, "sync_code LIKE 'A%'"), 200, 'and looks go on');
	wait_until('one looks', sub { $admin->ok($holder) ne '' });
}
my $owner = $admin->ok($holder);
$admin->ok('ALTER SYSTEM SET bill24.workers = 1; SELECT pg_reload_conf()');
comes($admin, $workers, 1, 'one worker');
isnt($admin->ok("SELECT pid FROM bill24.worker WHERE database = current_database() AND pid IS NOT NULL"), $owner, 'not the one that looked');
$since = now();
comes($admin, looked_since($since, "sync_code LIKE 'A%'"), 200, 'looks go on');

# copies that nobody has written are in the way of a first look
seed('S', 300);
$admin->ok("INSERT INTO bill24.customer_copy (sync_code, server, name, changed_at) VALUES ('S0000100', 'bill24', 'old', now())");
my ($stray) = grep { $_->{sync_code} eq 'S0000100' } @{ $sim->get('/_sim/customers?limit=100000') };
$admin->ok("INSERT INTO bill24.wallet_copy (sync_code, server, id, balance, currency, changed_at)
	VALUES ('S0000100', 'bill24', '$stray->{wallets}[0]{id}', 7, 'KHR', now())");
track('S', 300);
comes($admin, "SELECT count(*) FROM bill24.wallet WHERE sync_code LIKE 'S%' AND balance = 100 AND synced_at IS NOT NULL", 300, 'stray copies are overwritten');
is($admin->ok("SELECT count(*) FROM bill24.tracked WHERE sync_code LIKE 'S%' AND failures > 0"), 0, 'without an error to the customers');
$admin->ok('SELECT bill24_untrack(' . codes('S', 300) . ')');

# a call looks, and a worker that comes meanwhile does not
$admin->ok("ALTER SERVER bill24 OPTIONS (SET sync_interval '1h')");
$admin->ok("ALTER SYSTEM SET bill24.worker_idle_timeout = 0; SELECT pg_reload_conf()");
comes($admin, $workers, 0, 'nothing is due, and no worker is there');
$admin->ok("ALTER SYSTEM RESET bill24.worker_idle_timeout; SELECT pg_reload_conf()");
$sim->post('/_sim/fault', { kind => 'delay', ms => 20000, path => $looks, match => '"A0000007"' });
$admin->ok("UPDATE bill24.look_group SET next_look_at = now()");
$other->send('CALL bill24_work()');
wait_until('it looks', sub { $sim->get('/_sim/stats')->{in_flight} == 1 });
$admin->ok("ALTER SERVER bill24 OPTIONS (SET sync_interval '2s')");
becomes($admin, enqueue($admin, 'create_customer', { sync_code => 'job', name => 'job' }), 'done', 'a worker comes');
comes($admin, "$workers AND clock_timestamp() > backend_start + '2 s'::interval", 1, 'who is not to look');
ok($other->busy, 'while the call does');
is($other->wait->{sqlstate}, '00000', 'the call has ended');
$since = now();
comes($admin, looked_since($since, "sync_code LIKE 'A%'"), 200, 'the worker goes on where it has ended');

# ---- without a worker ---------------------------------------------------------------------------

$_->end foreach $admin, $other;
$node->stop;
$node = new_node('plain', preload => 0);
setup_account($node, $sim, options => {%options});
$admin = $other = undef;
connect_again();
my $unread = 'SELECT count(*) FROM bill24.tracked WHERE read_at IS NULL';
foreach my $n (1, 20)
{
	$admin->ok('SELECT ' . join(', ', map { enqueuing('create_customer', { sync_code => "W$n-$_", name => 'w' }) } 1 .. $n));
	is($admin->ok('CALL bill24_work()'), $n, "$n delivered by hand");
	is($admin->ok($unread), 0, 'and looked at');
}
is($admin->ok('SELECT count(*) FROM bill24.customer WHERE synced_at IS NOT NULL'), 21, 'all of them');

done_testing();
