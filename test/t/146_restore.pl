
# A dump whose jobs belong to a role that the other cluster does not have: what
# cannot be restored is told, nothing is lost that cannot be restored later, and
# nothing of it is delivered.

use strict;
use warnings;

use Bill24Outbox;
use Bill24Session;
use Bill24Test;
use Test::More;

my $sim = start_simulator();
my $node = new_node('main');
my $other = new_node('other');
setup_account($node, $sim, options => { mirror => 'true', retry_delay => '20ms' });
my $admin = Bill24Session->new($node);
my $dir = Bill24Session::scratch();
my $dump = "$dir/dump";
my $outbox = 'SELECT id, server, operation, key, request, owner, state, attempts FROM bill24.outbox ORDER BY id';
my $tracked = 'SELECT sync_code, server, owner FROM bill24.tracked ORDER BY 1';

# Runs a program of PostgreSQL; its exit status and what it says.
sub runs
{
	my (@command) = @_;
	my $pid = open(my $out, '-|') // die "could not fork: $!";

	if ($pid == 0)
	{
		open(STDERR, '>&', \*STDOUT);
		exec(@command) or die "could not run $command[0]: $!";
	}
	local $/;
	my $text = <$out> // '';
	close($out);
	return ($? >> 8, $text);
}

# Jobs of two roles, one of them done, others for later.
$admin->ok(q{CREATE ROLE alice; GRANT USAGE ON FOREIGN SERVER bill24 TO alice;
	CREATE USER MAPPING FOR alice SERVER bill24 OPTIONS (
		token '00000000-0000-4000-8000-000000000001', client_id 'demo_client',
		secret 'demo-secret', hash_token 'demo-hash-token')});
becomes($admin, enqueue($admin, 'create_customer', { sync_code => 'A1', name => 'a' }), 'done', 'one is done');
$sim->post('/_sim/fault', { kind => 'status', status => 429, retry_after => 3600, match => 'later', count => -1 });
my @ids = enqueue($admin, 'update_customer', { sync_code => 'A1', name => 'later' });
$admin->ok('SET ROLE alice');
push @ids, enqueue($admin, 'create_customer', { sync_code => 'B1', name => 'later' });
$admin->ok("SELECT bill24_track('{A9}')");
$admin->ok('RESET ROLE');
comes($admin, "SELECT count(*) FROM bill24.outbox WHERE attempts = 1 AND state = 'queued'", 2, 'two are for later');
my $jobs = $admin->ok($outbox);
my $codes = $admin->ok($tracked);
is((runs('pg_dump', '-Fc', '-f', $dump, '-d', $node->connstr('postgres')))[0], 0, 'pg_dump');

# ---- the role is missing ----------------------------------------------------------

my $there = Bill24Session->new($other);
my ($status, $said) = runs('pg_restore', '-d', $other->connstr('postgres'), $dump);
is($status, 1, 'pg_restore without the role fails');
like($said, qr/COPY failed for (relation|table) "outbox": ERROR:  role "alice" does not exist/, 'and says that the outbox is not there');
like($said, qr/COPY failed for (relation|table) "tracked": ERROR:  role "alice" does not exist/, 'nor what is tracked');
is($there->ok('SELECT count(*) FROM bill24.outbox') . $there->ok('SELECT count(*) FROM bill24.tracked'), '00', 'all rows of these, or none');
is($there->ok("SELECT nextval('bill24.outbox_id_seq') > $ids[1]"), 't', 'numbers go on where they were nevertheless');
comes($there, 'SELECT state FROM bill24.worker WHERE database = \'postgres\'', 'away', 'and nothing is delivered');

# psql tells as well, but only if it is asked to does it fail
is((runs('pg_dump', '-f', "$dump.sql", '-d', $node->connstr('postgres')))[0], 0, 'a plain dump');
foreach my $stop (0, 1)
{
	$there->ok("CREATE DATABASE plain$stop TEMPLATE template0");
	($status, $said) = runs('psql', '-X', '-q', '-v', "ON_ERROR_STOP=$stop", '-f', "$dump.sql", '-d', $other->connstr("plain$stop"));
	is($status, $stop ? 3 : 0, "psql, ON_ERROR_STOP=$stop");
	like($said, qr/ERROR:  role "alice" does not exist/, 'says so');
	is($other->safe_psql("plain$stop", 'SELECT count(*) FROM bill24.outbox'), 0, 'no job is there');
}

# ---- and is made --------------------------------------------------------------------

$there->ok('CREATE ROLE alice; GRANT USAGE ON FOREIGN SERVER bill24 TO alice;'
	  . q{ CREATE USER MAPPING FOR alice SERVER bill24 OPTIONS (token '00000000-0000-4000-8000-000000000001', client_id 'demo_client',
		secret 'demo-secret', hash_token 'demo-hash-token')});
($status, $said) = runs('pg_restore', '--data-only', '--schema=bill24', '--table=outbox', '--table=tracked', '-d', $other->connstr('postgres'), $dump);
is("$status $said", '0 ', 'with the role, these tables can be restored afterwards');
is($there->ok($outbox), $jobs, 'all jobs are there');
is($there->ok($tracked), $codes, 'and all that is tracked');
is($there->ok('SELECT state FROM bill24.worker WHERE database = \'postgres\''), 'away', 'nothing is delivered');
is(effects($sim, 'B1'), '', 'really');

# ---- roles first, as it should be -------------------------------------------------------

$there->ok('CREATE DATABASE second TEMPLATE template0');
($status, $said) = runs('pg_restore', '--exit-on-error', '-d', $other->connstr('second'), $dump);
is("$status $said", '0 ', 'a restore where the roles are');
my $second = Bill24Session->new($other, database => 'second');
is($second->ok($outbox), $jobs, 'has all jobs');
is($second->ok($tracked), $codes, 'and all that is tracked');

# ---- taken up ------------------------------------------------------------------------------

$sim->post('/_sim/clear_faults');
$second->ok('SELECT bill24_adopt_outbox()');
$second->ok("SELECT bill24_retry($_)") foreach @ids;
becomes($second, $_, 'done', 'adopted: it is delivered') foreach @ids;
is(effects($sim, 'B1'), 'create(later)', 'once');
is($second->ok("SELECT owner FROM bill24.outbox WHERE id = $ids[1]"), 'alice', 'with the mapping of its owner');

$_->end foreach $admin, $there, $second;
$_->stop foreach $node, $other;
done_testing();
