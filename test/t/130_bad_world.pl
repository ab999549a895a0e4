
# The outbox in a bad world: processes are killed, servers and roles vanish,
# rows are locked or make no sense.  What was sent is not sent again, and one
# job in trouble holds up no other.

use strict;
use warnings;

use Bill24Outbox;
use Bill24Session;
use Bill24Test;
use JSON::PP;
use Test::More;
use Time::HiRes qw(time sleep);

my $sim = start_simulator();
my $node = new_node('main', conf => <<'END');
restart_after_crash = on
max_prepared_transactions = 5
END
my %quick = (retry_delay => '20ms', circuit_failures => 0);
my $mapping = "OPTIONS (token '00000000-0000-4000-8000-000000000001', client_id 'demo_client', secret 'demo-secret', hash_token 'demo-hash-token')";
my ($admin, $other);
my $n = 0;

sub connect_again
{
	$_->end foreach grep { defined } $admin, $other;
	wait_until('the server is there', sub { $node->psql('postgres', 'SELECT 1') == 0 });
	($admin, $other) = map { Bill24Session->new($node) } 1, 2;
	return;
}

sub customer { return { sync_code => $_[0], name => $_[1] // $_[0] }; }

sub seed
{
	my ($prefix, $balance) = @_;

	$sim->post('/_sim/seed', { prefix => $prefix, count => 1, balance => $balance // 0 });
	return $prefix . '0000001';
}

# Others are delivered.
sub others_go_on
{
	my ($name, $seconds) = @_;
	my $start = time;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	becomes($admin, enqueue($admin, 'create_customer', customer('other' . ++$n)), 'done', "$name: others go on", $seconds // 10);
	note(sprintf('%.1f s', time - $start)) if time - $start > 0.5;
	return;
}

# A job that is asked to come back in an hour.
sub held
{
	my ($key, $server) = @_;

	$sim->post('/_sim/fault', { kind => 'status', status => 429, retry_after => 3600, match => "\"$key\"" });
	my $id = enqueue($admin, 'create_customer', customer($key), $server);
	comes($admin, "SELECT state, attempts FROM bill24.outbox WHERE id = $id", 'queued|1', "$key is held");
	return $id;
}

sub ends
{
	my ($id, $expected, $name, $seconds) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return comes($admin, "SELECT state, sqlstate, error FROM bill24.outbox WHERE id = $id", $expected, $name, $seconds);
}

sub retry { return $admin->ok("SELECT bill24_retry($_[0])"); }

# How often the log tells of a trigger's error.
sub errors
{
	open(my $log, '<', $node->logfile) or die;
	return scalar grep { /(ERROR|WARNING):  poisoned/ } <$log>;
}

setup_account($node, $sim, options => {%quick});
connect_again();

# ---- processes that end ------------------------------------------------------

foreach my $how ('kill -9', 'immediate', 'terminate')
{
	foreach my $effect (JSON::PP::true, JSON::PP::false)
	{
		my $p = ($how =~ /(\w+)$/)[0] . ($effect ? 'e' : 'n');
		my ($u, $d, $s) = map { seed("$p$_", 100) } 'u', 'd', 's';
		my %job = (
			create => [ 'create_customer', customer("${p}c") ],
			update => [ 'update_customer', customer($u, 'new') ],
			delete => [ 'delete_customer', { sync_code => seed("${p}x") } ],
			settle => [ 'settle_payment', settlement("${p}r", $s) ],
			onboard => [ 'onboard_sub_biller', { supplier_sync_code => "${p}b", name => 'b' } ]);
		my @names = sort keys %job;
		my %key = map { $_ => $job{$_}[1]{ref_id} // $job{$_}[1]{sync_code} // $job{$_}[1]{supplier_sync_code} } @names;

		$sim->post('/_sim/fault', { kind => 'hang', match => "\"$key{$_}\"", effect => $effect }) foreach @names;
		my %id;
		@id{@names} = split(/\|/, $admin->ok('SELECT ' . join(', ', map { enqueuing(@{ $job{$_} }) } @names)));
		requests_wait($sim, 5);
		is(count_jobs($admin, "state = 'sending'"), 5, "$how: five are under way");
		my $later = enqueue($admin, 'create_customer', customer("${p}later"));
		becomes($admin, $later, 'done', 'and one that is through');
		my ($worker) = workers($admin);
		if ($how eq 'kill -9')
		{
			kill('KILL', $worker);
			wait_until('the server restarts', sub {
				my $there = '';
				$node->psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE pid = $worker", stdout => \$there) == 0 && $there eq '0' });
			connect_again();
		}
		elsif ($how eq 'immediate')
		{
			$node->stop('immediate');
			$node->start;
			connect_again();
		}
		else
		{
			$admin->ok("SELECT pg_terminate_backend($worker)");
		}
		becomes($admin, $id{$_}, 'done', "$_, " . ($effect ? 'with' : 'without') . ' effect: found out') foreach grep { $_ ne 'onboard' } @names;
		ends($id{onboard}, qr/^parked\|08007\|.*unknown/, 'what cannot be found out is parked');
		is(of_kind($sim, $key{create}, 'created'), 1, 'one create');
		is(of_kind($sim, $key{settle}, 'charges'), 1, 'one charge');
		is(of_kind($sim, $key{delete}, 'deleted'), 1, 'one delete');
		is(effects($sim, $u), $effect ? 'update(new) update(new)' : 'update(new)', 'the update');
		$sim->post('/_sim/clear_faults');
		$admin->ok("SELECT bill24_cancel($id{onboard})");
		is(of_kind($sim, "${p}later", 'created'), 1, 'what was through is not sent again');
	}
}

# ---- servers, mappings, rights, roles ------------------------------------------

{
	setup_account($node, $sim, server => 'gone', options => {%quick});
	my $head = held('gone1', 'gone');
	my $later = enqueue($admin, 'update_customer', customer('gone1', 'later'), 'gone');
	becomes($admin, $later, 'waiting', 'one waits');
	$admin->ok('DROP SERVER gone CASCADE');
	retry($head);
	ends($head, qr/^parked\|42704\|.*server "gone" does not exist/, 'DROP SERVER: parked, with the reason');
	others_go_on('DROP SERVER');

	# a worker that has never seen a server knows it by its jobs
	foreach my $worker (workers($admin))
	{
		$admin->ok("SELECT pg_terminate_backend($worker)");
		comes($admin, "SELECT count(*) FROM pg_stat_activity WHERE pid = $worker", 0, 'the worker ends');
	}
	others_go_on('another worker');
	is(retry($head), $head, 'it is to be tried again');
	comes($admin, "SELECT state, attempts FROM bill24.outbox WHERE id = $head", 'parked|2', 'and is parked again', 5);
	setup_account($node, $sim, server => 'gone', options => {%quick});
	retry($head);
	becomes($admin, $_, 'done', 'made again and retried') foreach $head, $later;
	is(effects($sim, 'gone1'), 'create(gone1) update(later)', 'in order');

	$head = held('gone2', 'gone');
	$admin->ok('DROP USER MAPPING FOR CURRENT_USER SERVER gone');
	retry($head);
	ends($head, qr/^parked\|28000\|.*no user mapping/, 'DROP USER MAPPING');
	$admin->ok("CREATE USER MAPPING FOR CURRENT_USER SERVER gone $mapping");
	retry($head);
	becomes($admin, $head, 'done', 'made again and retried');

	$head = held('gone3', 'gone');
	$admin->ok('ALTER SERVER gone RENAME TO away');
	retry($head);
	ends($head, qr/^(parked\|42704\|.*server "gone" does not exist|done\|\|$)/, 'ALTER SERVER RENAME');
	$admin->ok('ALTER SERVER away RENAME TO gone');
	retry($head) if job($admin, $head) ne 'done';
	becomes($admin, $head, 'done', 'and back');

	# other roles
	$admin->ok("CREATE ROLE alice; CREATE ROLE dave; GRANT USAGE ON FOREIGN SERVER bill24 TO alice, dave;
		CREATE USER MAPPING FOR alice SERVER bill24 $mapping; CREATE USER MAPPING FOR dave SERVER bill24 $mapping");
	my %id;
	foreach my $role ('alice', 'dave')
	{
		$admin->ok("SET ROLE $role");
		$id{$role} = held("of-$role");
		$id{"$role later"} = enqueue($admin, 'update_customer', customer("of-$role", 'later'));
		$admin->ok('RESET ROLE');
		becomes($admin, $id{"$role later"}, 'waiting', 'one waits');
	}
	$admin->ok('REVOKE USAGE ON FOREIGN SERVER bill24 FROM alice');
	retry($id{alice});
	ends($id{alice}, qr/^parked\|42501\|.*permission denied/, 'REVOKE USAGE');
	$admin->ok('GRANT USAGE ON FOREIGN SERVER bill24 TO alice');
	retry($id{alice});
	becomes($admin, $_, 'done', 'granted again and retried') foreach @id{'alice', 'alice later'};
	$admin->ok('DROP USER MAPPING FOR dave SERVER bill24; REVOKE USAGE ON FOREIGN SERVER bill24 FROM dave; DROP ROLE dave');
	like(job($admin, $id{dave}, 'owner'), qr/^\d+$/, 'DROP ROLE');
	retry($id{dave});
	ends($id{dave}, qr/^parked\|42704\|.*role/, 'parked, with the reason');
	others_go_on('DROP ROLE');
	$admin->ok("SELECT bill24_cancel($id{dave})");
	ends($id{'dave later'}, qr/^parked\|42704\|.*role/, 'the next one, too');
	$admin->ok("SELECT bill24_cancel($id{'dave later'})");
	is($admin->ok("SELECT count(*) FROM bill24.queue WHERE state <> 'done'"), 0, 'the queue can be read nevertheless');

	# a file
	my $dir = Bill24Session::scratch();
	my $file = "$dir/credentials.json";
	my $write = sub {
		Bill24Test::write_file($file, encode_json({ token => '00000000-0000-4000-8000-000000000001', client_id => 'demo_client',
			secret => 'demo-secret', hash_token => 'demo-hash-token' }));
		chmod(0600, $file);
	};
	$write->();
	$admin->ok("ALTER USER MAPPING FOR CURRENT_USER SERVER gone OPTIONS (DROP token, DROP client_id, DROP secret, DROP hash_token, ADD credentials_file '$file')");
	$head = held('file', 'gone');
	unlink($file);
	retry($head);
	ends($head, qr/^parked\|\w{5}\|.*credentials file/, 'a credentials file that is gone');
	$write->();
	retry($head);
	becomes($admin, $head, 'done', 'and there again');

	# while a request is under way
	$sim->post('/_sim/fault', { kind => 'hang', match => '"flight"' });
	$head = enqueue($admin, 'create_customer', customer('flight'));
	requests_wait($sim, 1);
	$admin->ok("ALTER USER MAPPING FOR CURRENT_USER SERVER bill24 OPTIONS (SET secret 'wrong'); ALTER SERVER bill24 OPTIONS (SET retry_delay '1h')");
	$sim->post('/_sim/clear_faults');

	# whichever retry_delay the worker knew when the request ended
	ends($head, qr/^unknown\|(08007|28000)\|/, 'the request ends');
	retry($head);
	ends($head, qr/^unknown\|28000\|.*refused/, 'ALTER USER MAPPING with a request under way');
	$admin->ok("ALTER USER MAPPING FOR CURRENT_USER SERVER bill24 OPTIONS (SET secret 'demo-secret'); ALTER SERVER bill24 OPTIONS (SET retry_delay '20ms')");
	retry($head);
	becomes($admin, $head, 'done', 'put right and retried');
	is(of_kind($sim, 'flight', 'created'), 1, 'once');
	$sim->post('/_sim/fault', { kind => 'hang', match => '"flight2"' });
	$head = enqueue($admin, 'create_customer', customer('flight2'), 'gone');
	requests_wait($sim, 1);
	$admin->ok('DROP SERVER gone CASCADE');
	$sim->post('/_sim/clear_faults');
	ends($head, qr/^parked\|/, 'DROP SERVER with a request under way');
	others_go_on('all that');
}

# ---- requests that make no sense --------------------------------------------------

{
	my %nonsense = (
		'an array' => [ 'create_customer', '[1, 2]' ],
		'a number' => [ 'create_customer', '5' ],
		'a text' => [ 'settle_payment', '"x"' ],
		null => [ 'update_customer', 'null' ],
		nothing => [ 'create_customer', '{}' ],
		'no payment' => [ 'settle_payment', '{"sync_code": "x"}' ],
		'other types' => [ 'create_customer', '{"sync_code": {"a": [1]}, "name": [1]}' ],
		'amount as text' => [ 'settle_payment', encode_json({ %{ settlement('t1', 'x') }, amount => 'much' }) ],
		'unknown arguments' => [ 'delete_customer', '{"what": 1, "sync_code": ""}' ],
		'no operation' => [ 'nonsense', '{}' ],
		'a read operation' => [ 'get_customer', '{"sync_code": "x"}' ],
		'the login' => [ 'authorize', '{}' ],
		'deep' => [ 'settle_payment', '{"details": ' . '[' x 3000 . ']' x 3000 . '}' ]);
	my %id;

	foreach my $name (sort keys %nonsense)
	{
		my ($operation, $request) = @{ $nonsense{$name} };

		$id{$name} = $admin->ok("INSERT INTO bill24.outbox (server, operation, key, request, owner)"
			  . " VALUES ('bill24', '$operation', 'nonsense $name', '$request', 'postgres') RETURNING id");
	}
	$admin->ok("INSERT INTO bill24.outbox (server, operation, key, request, owner, state, attempts)"
		  . " VALUES ('bill24', 'create_customer', 'nonsense unknown', '[]', 'postgres', 'unknown', 1),"
		  . " ('bill24', 'create_customer', 'nonsense unknown2', '{}', 'postgres', 'unknown', 1)");
	$admin->ok('SELECT bill24.wake()');
	others_go_on('nonsense');
	ends($id{$_}, qr/^(failed|parked)\|\w{5}\|./, "$_: refused, with a reason") foreach sort keys %id;
	comes($admin, "SELECT count(*) FROM bill24.outbox WHERE key IN ('nonsense unknown', 'nonsense unknown2') AND state IN ('failed', 'parked') AND error <> ''", 2, 'to look it up, too');

	# larger than any that can be enqueued
	my $huge = encode_json(customer('huge', 'x' x 3_000_000));
	$admin->ok("INSERT INTO bill24.outbox (server, operation, key, request, owner) VALUES ('bill24', 'create_customer', 'huge', '$huge', 'postgres');"
		  . ' SELECT bill24.wake()');
	comes($admin, "SELECT state FROM bill24.outbox WHERE key = 'huge'", qr/^(done|failed|parked)$/, 'a huge one comes to an end');

	# among updates that could become one
	foreach my $bad ('[1]', '"x"', '{"name": {"a": 1}}')
	{
		my $key = seed('merge' . ++$n);

		$admin->ok("BEGIN; INSERT INTO bill24.outbox (server, operation, key, request, owner) VALUES"
			  . " ('bill24', 'update_customer', '$key', '$bad', 'postgres');"
			  . ' SELECT ' . enqueuing('update_customer', customer($key, 'good')) . '; COMMIT');
		comes($admin, "SELECT state FROM bill24.outbox WHERE key = '$key' ORDER BY id DESC LIMIT 1", qr/^(done|failed|parked)$/, "$bad among updates");
		is(effects($sim, $key), 'update(good)', 'the others are made') unless $bad =~ /\{/;
	}
	others_go_on('what cannot be merged');
}

# ---- rows that cannot be written -----------------------------------------------------

{
	$sim->post('/_sim/fault', { kind => 'delay', ms => 500, match => '"locked"' });
	my $locked = enqueue($admin, 'create_customer', customer('locked'));
	becomes($admin, $locked, 'sending', 'under way');
	$other->ok("BEGIN; SELECT FROM bill24.outbox WHERE id = $locked FOR UPDATE");
	wait_until('it is made', sub { of_kind($sim, 'locked', 'created') == 1 });
	others_go_on('one is locked') foreach 1 .. 3;
	sleep(1) if !worker_waits($admin, 3);
	others_go_on('still');
	is(job($admin, $locked), 'sending', 'that one is not written');
	$other->ok('ROLLBACK');
	becomes($admin, $locked, 'done', 'later it is');
	is(of_kind($sim, 'locked', 'created'), 1, 'once');

	# one of which nothing can be written, for a while
	$admin->ok(q{CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN RAISE 'poisoned'; END $$;
		CREATE TRIGGER poison BEFORE UPDATE ON bill24.outbox FOR EACH ROW
		WHEN (NEW.key = 'poison' AND NEW.leased_by IS NULL) EXECUTE FUNCTION poison()});
	my $poison = enqueue($admin, 'create_customer', customer('poison'));
	wait_until('it is made', sub { of_kind($sim, 'poison', 'created') == 1 });
	others_go_on("poison $_") foreach 1 .. 5;
	is(job($admin, $poison), 'sending', 'it is not written');
	$admin->ok("SELECT pg_terminate_backend($_)") foreach workers($admin);
	others_go_on('another worker');
	$admin->ok('ALTER TABLE bill24.outbox DISABLE TRIGGER poison');
	becomes($admin, $poison, 'done', 'as soon as it can be, it is');
	is(of_kind($sim, 'poison', 'created'), 1, 'and was sent once');
	$admin->ok("DROP TRIGGER poison ON bill24.outbox; ALTER TABLE bill24.outbox ADD CONSTRAINT no_c CHECK (key <> 'check' OR state <> 'done')");
	$poison = enqueue($admin, 'create_customer', customer('check'));
	wait_until('it is made', sub { of_kind($sim, 'check', 'created') == 1 });
	others_go_on("a constraint $_") foreach 1 .. 3;
	$admin->ok('ALTER TABLE bill24.outbox DROP CONSTRAINT no_c');
	becomes($admin, $poison, 'done', 'without the constraint it is written');
	is(of_kind($sim, 'check', 'created'), 1, 'and was sent once');
}

{
	# one that cannot be claimed, for a while
	$admin->ok(q{CREATE TRIGGER poison BEFORE UPDATE ON bill24.outbox FOR EACH ROW
		WHEN (NEW.key = 'claim' AND NEW.leased_by IS NOT NULL) EXECUTE FUNCTION poison()});
	my $errors = errors();
	my $id = enqueue($admin, 'create_customer', customer('claim'));
	wait_until('an error is logged', sub { errors() > $errors });
	$admin->ok('DROP TRIGGER poison ON bill24.outbox');
	becomes($admin, $id, 'done', 'one that could not be claimed is, when it can be, though nothing else happens');
	is(of_kind($sim, 'claim', 'created'), 1, 'once');
}

# ---- somebody has a job, and many wait ---------------------------------------------------

{
	my $head = held('busy');
	my $before;

	$other->ok("BEGIN; SELECT bill24_cancel($head)");
	enqueue($admin, 'update_customer', customer('busy', "n$_")) foreach 1 .. 3;
	others_go_on('the head is taken');
	$before = $admin->ok('SELECT txid_current()');
	sleep(2);
	cmp_ok($admin->ok('SELECT txid_current()') - $before, '<', 40, 'nobody runs in circles meanwhile');
	$other->ok('ROLLBACK');
	$admin->ok("SELECT bill24_cancel($head)");
}

# The processor time that a process has used, in ticks.
sub ticks
{
	open(my $in, '<', "/proc/$_[0]/stat") or die "no process $_[0]";
	my @fields = split(/ /, <$in> =~ s/^.*\) //r);
	return $fields[11] + $fields[12];
}

# The job that is taken is due.
{
	$sim->post('/_sim/fault', { kind => 'status', status => 429, retry_after => 1, match => '"due"' });
	my $id = enqueue($admin, 'create_customer', customer('due'));
	comes($admin, "SELECT state, attempts FROM bill24.outbox WHERE id = $id", 'queued|1', 'one is due in a second');
	$other->ok("BEGIN; SELECT bill24_cancel($id)");
	comes($admin, "SELECT next_attempt_at < now() - interval '0.2 s' FROM bill24.outbox WHERE id = $id", 't', 'it is due, and taken');
	my ($worker) = workers($admin);
	my $before = ticks($worker);
	sleep(1);
	cmp_ok(ticks($worker) - $before, '<', 10, 'the worker is at rest');
	others_go_on('one that is due is taken');
	$other->ok('ROLLBACK');
	becomes($admin, $id, 'done', 'it is sent when nobody has it');
}

# ---- settings of the database, clocks, two-phase commit -------------------------------------

foreach my $setting ('default_transaction_read_only = on', "default_transaction_isolation = 'serializable'",
	'synchronous_commit = off', 'lock_timeout = 1', 'statement_timeout = 1', "search_path = ''", 'row_security = off',
	'enable_indexscan = off')
{
	$admin->ok("ALTER DATABASE postgres SET $setting");
	$admin->ok("SELECT pg_terminate_backend($_)") foreach workers($admin);
	others_go_on($setting);
	$setting =~ /^(\w+)/;
	$admin->ok("ALTER DATABASE postgres RESET $1");
}
$admin->ok("SELECT pg_terminate_backend($_)") foreach workers($admin);

{
	# the clock was set back after these were tried, and after those behind them were enqueued
	$admin->ok("INSERT INTO bill24.outbox (server, operation, key, request, owner, attempts, created_at, scheduled_at, next_attempt_at)"
		  . " SELECT 'bill24', 'create_customer', k, jsonb_build_object('sync_code', k, 'name', 'b'), 'postgres', 1, now(), t, t + delay"
		  . " FROM (VALUES ('tried0', now() + interval '1 h', interval '0'), ('tried1', now() + interval '1 h', interval '1 s'),"
		  . "  ('later', now() - interval '1 min', interval '30 min')) v (k, t, delay)");
	$admin->ok("INSERT INTO bill24.outbox (server, operation, key, request, owner, created_at, next_attempt_at)"
		  . " SELECT 'bill24', 'create_customer', 'back' || i, jsonb_build_object('sync_code', 'back' || i, 'name', 'b'), 'postgres', t, t"
		  . " FROM (SELECT i, now() + interval '1 h' + i * interval '1 s' AS t FROM generate_series(1, 60) i) s");

	# whoever was there when it happened has noticed; who comes later looks, too
	$admin->ok("SELECT pg_terminate_backend($_)") foreach workers($admin);
	$admin->ok('SELECT bill24.wake()');
	comes($admin, "SELECT count(*) FROM bill24.outbox WHERE key LIKE 'back%' AND state <> 'done'", 0, 'a clock that was set back', 15);
	is(count_jobs($admin, "key LIKE 'back%' AND attempts <> 1"), 0, 'each was taken up once');
	comes($admin, "SELECT count(*) FROM bill24.outbox WHERE key LIKE 'tried%' AND state = 'done' AND attempts = 2", 2, 'those that were tried are tried again');
	comes($admin, "SELECT state, next_attempt_at > now() + interval '25 min' FROM bill24.outbox WHERE key = 'later'", 'queued|t', 'not before their time');
	$admin->ok("SELECT bill24_cancel(id) FROM bill24.outbox WHERE key = 'later'");

	$other->ok('BEGIN');
	my $id = enqueue($other, 'create_customer', customer('2pc'));
	$other->ok("PREPARE TRANSACTION 'x'");
	ok(!comes_true(sub { of_kind($sim, '2pc', 'created') }, 0.3), 'PREPARE: nothing is sent');
	others_go_on('a prepared transaction');
	$admin->ok("COMMIT PREPARED 'x'");
	becomes($admin, $id, 'done', 'COMMIT PREPARED: it is', 5);
}

# ---- what the statistics know -----------------------------------------------------------------

{
	my $count = "FROM pg_stat_user_tables WHERE schemaname = 'bill24' AND relname = 'outbox'";
	my ($worker) = workers($admin);
	my $before = $admin->ok("SELECT n_tup_upd $count");

	$admin->ok("SELECT count(bill24_enqueue('create_customer', jsonb_build_object('sync_code', 'stat' || i, 'name', 's')))"
		  . ' FROM generate_series(1, 200) i');
	comes($admin, "SELECT count(*) FROM bill24.outbox WHERE key LIKE 'stat%' AND state = 'done'", 200, 'many jobs');
	comes($admin, "SELECT n_tup_upd - $before >= 400 $count", 't', 'autovacuum hears of what a worker does', 8);
	is(join(' ', workers($admin)), $worker, 'while it works');
}
is(count_jobs($admin, "finished_at IS NULL AND state <> 'parked'"), 0, 'nothing is left behind');

$_->end foreach $admin, $other;
$node->stop;
done_testing();
