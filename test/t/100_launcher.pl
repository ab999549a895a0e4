
# The launcher and its workers: that there is a worker where there is something
# to do, and none where it would be in the way.

use strict;
use warnings;

use Bill24Session;
use Bill24Test;
use Test::More;
use Time::HiRes qw(time sleep);

my $node = new_node('main', init => [ allows_streaming => 1 ], conf => <<'END');
max_prepared_transactions = 5
max_worker_processes = 20
restart_after_crash = on
END
my %session;

# A session in a database, made at first use.
sub session
{
	my ($database) = @_;

	return $session{$database} //=
	  Bill24Session->new($node, database => $database);
}

sub ok_in { return session($_[0])->ok($_[1]); }

# Hang up, from all databases or one.
sub hang_up
{
	foreach my $database (@_ ? @_ : keys %session)
	{
		(delete $session{$database})->end if $session{$database};
	}
	return;
}

sub pids
{
	my ($type, $database) = @_;
	my $in = defined $database ? "datname = '$database'" : 'true';

	return split(/\n/, ok_in('postgres', 'SELECT pid FROM pg_stat_activity'
		  . " WHERE backend_type = '$type' AND $in ORDER BY pid"));
}

sub workers { return pids('bill24 worker', $_[0]); }

sub has_workers
{
	my ($database, $count) = @_;

	wait_until("$database has $count workers",
		sub { scalar(my @pids = workers($database)) == $count });
	return workers($database);
}

# Waits until a database has one worker, not the one that it had, which has
# nothing to do.
sub settled
{
	my ($database, $before) = @_;

	wait_until("$database is settled", sub {
		ok_in('postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'bill24 worker'"
			  . " AND datname = '$database' AND pid <> $before AND wait_event_type = 'Extension'") == 1 });
	return (workers($database))[0];
}

# What bill24.worker says of a database, from outside of it.
sub told
{
	my ($database, $what) = @_;

	return ok_in('postgres',
		"SELECT $what FROM bill24.worker WHERE database = '$database'");
}

sub becomes
{
	my ($database, $what, $value, $name) = @_;

	ok(wait_until("$database: $what is $value",
			sub { told($database, $what) eq $value }), $name);
	return;
}

# A job that is due in so many seconds, without a wake-up.  There is no such
# server, so it is parked when it is taken up.
sub add_job
{
	my ($database, $seconds) = @_;

	$seconds //= 0;
	return ok_in($database, "INSERT INTO bill24.outbox (server, operation, key, request, owner, next_attempt_at)"
		  . " VALUES ('nowhere', 'create_customer', gen_random_uuid()::text, '{}', 10, now() + $seconds * interval '1 s') RETURNING id");
}

# The same, and the commit wakes, as it does when jobs are enqueued.
sub enqueue
{
	my ($database, $seconds) = @_;

	ok_in($database, 'BEGIN');
	my $id = add_job($database, $seconds);
	ok_in($database, 'SELECT bill24.wake(); COMMIT');
	return $id;
}

# Whether nothing is due any more.
sub is_worked_off
{
	return ok_in($_[0], 'SELECT NOT EXISTS (SELECT FROM bill24.outbox WHERE next_attempt_at <= now())') eq 't';
}

sub worked_off
{
	my ($database, $name) = @_;

	ok(wait_until($name, sub { is_worked_off($database) }), $name);
	return;
}

sub log_has
{
	my ($pattern) = @_;

	open(my $in, '<', $node->logfile) or die;
	local $/;
	return <$in> =~ $pattern;
}

sub configure
{
	my (%setting) = @_;

	ok_in('postgres', "ALTER SYSTEM SET $_ = '$setting{$_}'") foreach keys %setting;
	ok_in('postgres', 'SELECT pg_reload_conf()');
	return;
}

# ---- it comes and goes with the extension ---------------------------------

ok(wait_until('a launcher', sub { scalar(my @pids = pids('bill24 launcher')) == 1 }),
	'there is a launcher');
ok_in('postgres', 'CREATE EXTENSION bill24');
my ($first) = has_workers('postgres', 1);
ok($first, 'CREATE EXTENSION brings a worker');
becomes('postgres', 'state', 'idle', 'which is idle');
settled('postgres', 0);
is(ok_in('postgres', "SELECT application_name FROM pg_stat_activity WHERE pid = $first"),
	'bill24 worker', 'and has a name');
enqueue('postgres');
worked_off('postgres', 'what is enqueued is worked off');

ok_in('postgres', 'CREATE ROLE bob CREATEDB; CREATE ROLE eve');
ok_in('postgres', "CREATE DATABASE db$_") foreach 1 .. 3;
ok_in("db$_", 'CREATE EXTENSION bill24') foreach 1, 2;
has_workers("db$_", 1) foreach 1, 2;
enqueue("db$_") foreach 1, 2;
worked_off("db$_", "one in db$_, too") foreach 1, 2;
is(scalar(workers('db3')), 0, 'none without the extension');

ok_in('db3', 'BEGIN; CREATE EXTENSION bill24; ROLLBACK');
has_workers('db3', 0);
pass('nor with one that was not committed');
ok_in('db3', 'BEGIN; CREATE EXTENSION bill24; DROP EXTENSION bill24; COMMIT');
has_workers('db3', 0);
ok_in('db1', 'DROP EXTENSION bill24');
has_workers('db1', 0);
becomes('db1', 'state', 'no extension', 'DROP EXTENSION ends it');
my ($before) = workers('db2');
ok_in('db2', 'BEGIN; DROP EXTENSION bill24; CREATE EXTENSION bill24; COMMIT');
ok($before = settled('db2', $before), 'drop and create in one transaction brings another one');
enqueue('db2');
worked_off('db2', 'which works');
ok_in('db2', 'BEGIN; DROP SCHEMA bill24 CASCADE; ROLLBACK');
ok(!log_has(qr/outbox" does not exist/), 'without an error');

ok_in('db2', "SET lock_timeout = '1s'; BEGIN; DROP EXTENSION bill24; CREATE EXTENSION bill24; RESET lock_timeout; COMMIT");

# ---- two-phase commit -----------------------------------------------------

settled('db2', $before);
add_job('db2');
ok_in('db2', "BEGIN; SELECT bill24.wake(); PREPARE TRANSACTION 'x'");
ok(!comes_true(sub { is_worked_off('db2') }, 0.3), 'PREPARE wakes nobody');
hang_up('db2');
ok_in('db2', "COMMIT PREPARED 'x'");
worked_off('db2', 'COMMIT PREPARED does, in another session');
ok_in('db1', "BEGIN; CREATE EXTENSION bill24; PREPARE TRANSACTION 'y'");
ok_in('db1', "COMMIT PREPARED 'y'");
has_workers('db1', 1);
pass('an extension that comes by COMMIT PREPARED');
ok_in('db1', "BEGIN; DROP EXTENSION bill24; PREPARE TRANSACTION 'z'");
ok_in('db1', "COMMIT PREPARED 'z'");
has_workers('db1', 0);
pass('and goes');
ok_in('db1', 'CREATE EXTENSION bill24');
has_workers('db1', 1);

# ---- statements that want nobody in the database ---------------------------

# Runs it; its time.
sub takes
{
	my ($sql) = @_;
	my $start = time;

	ok_in('postgres', $sql);
	return time - $start;
}

hang_up('db1', 'db2', 'db3');
my ($stays) = workers('db1');
cmp_ok(takes('CREATE DATABASE copy TEMPLATE db1'), '<', 3, 'CREATE DATABASE ... TEMPLATE');
has_workers('db1', 1);
isnt((workers('db1'))[0], $stays, 'after which there is another worker');
cmp_ok(takes('ALTER DATABASE db1 RENAME TO other'), '<', 3, 'ALTER DATABASE RENAME');
has_workers('other', 1);
cmp_ok(takes('ALTER DATABASE other RENAME TO db1'), '<', 3, 'and back');
$stays = settled('db1', 0);
cmp_ok(takes('ALTER DATABASE db1 SET TABLESPACE pg_default'), '<', 3, 'SET TABLESPACE');
$stays = settled('db1', $stays);
foreach my $role ('bob', 'eve')
{
	foreach my $sql ('DROP DATABASE db1', 'ALTER DATABASE db1 RENAME TO mine',
		'ALTER DATABASE db1 SET TABLESPACE pg_default', 'CREATE DATABASE mine TEMPLATE db1')
	{
		is(session('postgres')->query("SET ROLE $role; $sql")->{sqlstate}, '42501', "$role: $sql");
		ok_in('postgres', 'RESET ROLE');
	}
}
is((workers('db1'))[0], $stays, 'a role without the right ends no worker');
is(session('postgres')->query('BEGIN; DROP DATABASE db1')->{sqlstate}, '25001', 'nor does');
ok_in('postgres', 'ROLLBACK');
is((workers('db1'))[0], $stays, 'a transaction block');
is(session('postgres')->query('ALTER DATABASE db1 RENAME TO db2')->{sqlstate}, '42P04', 'what fails');
$stays = settled('db1', $stays);
ok($stays, 'brings the worker back');
ok_in('db1', 'SELECT 1');
session('postgres')->send('DROP DATABASE db1');
wait_until('the worker is gone', sub {
	ok_in('db2', "SELECT count(*) FROM pg_stat_activity WHERE pid = $stays") == 0 });
ok_in('db2', 'SELECT pg_cancel_backend(' . session('postgres')->pid . ')');
is(session('postgres')->wait->{sqlstate}, '57014', 'a DROP DATABASE that waits for others, cancelled');
$stays = settled('db1', $stays);
ok($stays, 'lets the worker come back');
session('db3')->send('DROP DATABASE db1');
wait_until('the worker is gone', sub { !workers('db1') });
ok_in('db2', 'SELECT pg_terminate_backend(' . session('db3')->pid . ')');
session('db3')->wait;
hang_up('db3', 'db1');
($stays) = has_workers('db1', 1);
ok($stays, 'and so does one whose session is terminated');
cmp_ok(takes('DROP DATABASE db1'), '<', 3, 'DROP DATABASE');
is(told('db1', 'count(*)'), 0, 'and nobody knows of it');
cmp_ok(takes('DROP DATABASE copy'), '<', 3, 'a copy, too');
ok_in('postgres', 'ALTER DATABASE db3 ALLOW_CONNECTIONS false; ALTER DATABASE db2 CONNECTION LIMIT 0');

# ---- reload ---------------------------------------------------------------

hang_up('db2');
ok_in('postgres', 'ALTER DATABASE db2 CONNECTION LIMIT -1');
configure('bill24.workers' => 3);
enqueue('db2');
has_workers('db2', 3);
pass('bill24.workers = 3');
is(told('db2', 'count(DISTINCT pid)'), 3, 'bill24.worker has them all');
configure('bill24.workers' => 1);
has_workers('db2', 1);
pass('bill24.workers = 1');

# ---- rest -----------------------------------------------------------------

# How often the kernel put a process to sleep, and how long it ran.
sub switches
{
	my ($pid) = @_;

	open(my $in, '<', "/proc/$pid/status") or die "no process $pid";
	return join('', <$in>) =~ /^voluntary_ctxt_switches:\s*(\d+)/m ? $1 : die;
}

my ($launcher) = pids('bill24 launcher');
my ($worker) = has_workers('db2', 1);
my %at_rest;
ok(comes_true(sub {
		my %now = map { $_ => switches($_) } $launcher, $worker;
		my $same = keys %at_rest && !grep { $now{$_} != $at_rest{$_} } keys %now;
		%at_rest = %now;
		sleep(2) unless $same;
		return $same;
	}, 20), 'with nothing to do, nothing is done for two seconds');

my $later = enqueue('db2', 1);
ok(wait_until('it is done', sub { ok_in('db2', "SELECT state FROM bill24.outbox WHERE id = $later") eq 'parked' }),
	'what is due later is done later');
configure('bill24.worker_idle_timeout' => '200ms');
has_workers('db2', 0);
becomes('db2', 'state', 'stopped', 'a worker that was idle for long ends');
enqueue('db2');
worked_off('db2', 'a commit brings it back');
has_workers('db2', 0);
$later = enqueue('db2', 3);
wait_until('it sleeps', sub { told('db2', "state || (next_start_at > now())") eq 'stoppedtrue' });
ok(wait_until('it is done', sub { ok_in('db2', "SELECT state FROM bill24.outbox WHERE id = $later") eq 'parked' }),
	'and so does a job that becomes due');
configure('bill24.worker_idle_timeout' => '5min');

# ---- errors ---------------------------------------------------------------

my $postmaster_start = ok_in('postgres', 'SELECT pg_postmaster_start_time()');
enqueue('db2');
($worker) = has_workers('db2', 1);
ok_in('db2', 'ALTER TABLE bill24.outbox RENAME TO away; BEGIN; SELECT bill24.wake(); COMMIT');
ok(wait_until('it backs off', sub { told('db2', "state = 'backing off' AND failures > 1 AND next_start_at IS NOT NULL") eq 't' }),
	'errors make it back off');
like(told('db2', 'last_error'), qr/"bill24.outbox" does not exist/, 'and are told');
ok(log_has(qr/WARNING:  relation "bill24.outbox" does not exist/), 'and logged');
enqueue('postgres');
worked_off('postgres', 'other databases are not concerned');
ok_in('db2', 'ALTER TABLE bill24.away RENAME TO outbox');
enqueue('db2');
worked_off('db2', 'it recovers');
becomes('db2', "failures || coalesce(last_error, '')", '0', 'and the error is forgotten');
ok_in('postgres', 'GRANT CONNECT ON DATABASE postgres TO eve; SET ROLE eve');
is(ok_in('postgres', 'SELECT string_agg(DISTINCT database, $$ $$) FROM bill24.worker'), 'postgres',
	'a role sees the workers of its database');
ok_in('postgres', 'RESET ROLE');
is(ok_in('postgres', 'SELECT pg_postmaster_start_time()'), $postmaster_start, 'no restart');

($worker) = has_workers('db2', 1);
ok_in('postgres', "SELECT pg_terminate_backend($worker)");
ok(wait_until('another worker', sub { my @w = workers('db2'); @w == 1 && $w[0] != $worker }),
	'one that is terminated is replaced');
is(told('db2', 'failures'), 0, 'that is no failure');
my ($old_launcher) = pids('bill24 launcher');
ok_in('postgres', "SELECT pg_terminate_backend($old_launcher)");
ok(wait_until('a launcher', sub { my @l = pids('bill24 launcher'); @l == 1 && $l[0] != $old_launcher }),
	'and so is the launcher');
enqueue($_) foreach 'db2', 'postgres';
worked_off($_, "$_ goes on") foreach 'db2', 'postgres';

# ---- a database that cannot be connected to ---------------------------------

ok_in('postgres', 'ALTER DATABASE db3 ALLOW_CONNECTIONS true');
ok_in('db3', 'CREATE EXTENSION bill24');
has_workers('db3', 1);
hang_up('db3');
ok_in('postgres', 'ALTER DATABASE db3 ALLOW_CONNECTIONS false');
ok_in('postgres', 'SELECT pg_terminate_backend(' . (workers('db3'))[0] . ')');
has_workers('db3', 0);
becomes('db3', 'count(*)', '0', 'a database without connections is forgotten');
ok_in('postgres', 'ALTER DATABASE db3 ALLOW_CONNECTIONS true');
has_workers('db3', 1);
pass('ALLOW_CONNECTIONS brings it back');

# ---- the server ends and starts ---------------------------------------------

($worker) = has_workers('db2', 1);
hang_up();
kill('KILL', $worker);
wait_until('the server is back', sub {
	$node->psql('postgres', 'SELECT 1') == 0
	  && $node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE pid = $worker") == 0 });
has_workers($_, 1) foreach 'postgres', 'db2', 'db3';
enqueue('db2');
worked_off('db2', 'after kill -9');

add_job('db2');
hang_up();
my $start = time;
$node->stop('fast');
cmp_ok(time - $start, '<', 5, 'a fast shutdown');
note(sprintf('it took %.2f s', time - $start));
$node->start;
worked_off('db2', 'what is left is worked off after the start');
add_job('db3');
hang_up();
$node->stop('immediate');
$node->start;
worked_off('db3', 'after an immediate shutdown, too');

# ---- a standby ------------------------------------------------------------

hang_up();
$node->backup('copy');
my $standby = new_node('standby', start => 0, preload => 1);
SKIP:
{
	skip 'no streaming here', 3 unless $standby->can('init_from_backup');
	system('rm', '-rf', $standby->data_dir);
	$standby->init_from_backup($node, 'copy', has_streaming => 1);
	$standby->start;
	my $types = "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'bill24%'";
	my $id = add_job('db2');
	$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
	is($standby->safe_psql('postgres', $types), 0, 'a standby has neither launcher nor worker');
	is($standby->safe_psql('postgres', 'SELECT count(*) FROM bill24.worker'), 1, 'and says so');
	$standby->promote;
	ok(wait_until('the job is done', sub {
			$standby->safe_psql('db2', "SELECT state FROM bill24.outbox WHERE id = $id") eq 'parked' }),
		'promotion starts them');
	$standby->stop;
}

# ---- many databases, few processes --------------------------------------------

hang_up();
configure(max_worker_processes => 4);
hang_up();
$node->restart;
my @many = map { "many$_" } 1 .. 12;
ok_in('postgres', "CREATE DATABASE $_ TEMPLATE db2") foreach @many;
foreach my $database (@many)
{
	ok_in($database, 'SELECT bill24_adopt_outbox()');
	enqueue($database);
	hang_up($database);
}
foreach my $database (@many)
{
	worked_off($database, "$database has its turn");
	hang_up($database);
}
ok(log_has(qr/out of background worker slots/), 'which the log tells');
ok_in('postgres', "DROP DATABASE $_") foreach @many;
hang_up();
$node->stop;

done_testing();
