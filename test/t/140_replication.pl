
# A table of customers that is a subscriber of logical replication: when its
# trigger is fired, whose jobs these are, and what becomes of them if that role
# has no user mapping.

use strict;
use warnings;

use Bill24Outbox;
use Bill24Session;
use Bill24Test;
use Test::More;

my $sim = start_simulator();
my $publisher = new_node('publisher', preload => 0, init => [ allows_streaming => 'logical' ]);
my $node = new_node('subscriber', conf => "wal_retrieve_retry_interval = '100ms'\n");
setup_account($node, $sim, options => { retry_delay => '20ms' });
my $there = Bill24Session->new($publisher);
my $here = Bill24Session->new($node);
my $table = 'CREATE TABLE customer (code text PRIMARY KEY, name text NOT NULL, note text)';

# From 16 on a subscription applies a table's changes as the table's owner.
my $applies_as_owner = $here->ok('SHOW server_version_num') >= 160000;
(my $connection = $publisher->connstr('postgres')) =~ s/'/''/g;
my $owner = $applies_as_owner ? 'alice' : 'postgres';
my $credentials = "OPTIONS (token '00000000-0000-4000-8000-000000000001', client_id 'demo_client',"
  . " secret 'demo-secret', hash_token 'demo-hash-token')";

# What was changed there by now is here.
sub catch_up
{
	$publisher->wait_for_catchup('sub');
	return;
}

sub trigger
{
	$here->ok("ALTER TABLE customer $_[0] TRIGGER to_bill24");
	return;
}

$there->ok("$table; INSERT INTO customer VALUES ('A0', 'copied'); CREATE PUBLICATION pub FOR TABLE customer");
$here->ok("$table; CREATE ROLE alice; ALTER TABLE customer OWNER TO alice;"
	  . ' GRANT USAGE ON FOREIGN SERVER bill24 TO alice;'
	  . " CREATE USER MAPPING FOR alice SERVER bill24 $credentials;"
	  . ' CREATE TRIGGER to_bill24 AFTER INSERT OR UPDATE OR DELETE ON customer FOR EACH ROW'
	  . " EXECUTE FUNCTION bill24_customer_trigger('sync_code=code', 'name=name')");
$here->ok("CREATE SUBSCRIPTION sub CONNECTION '$connection' PUBLICATION pub");
comes($here, "SELECT string_agg(srsubstate::text, '') FROM pg_subscription_rel", 'r', 'the table is replicated');

# ---- when it is fired ---------------------------------------------------------

$there->ok("INSERT INTO customer VALUES ('A1', 'a'); UPDATE customer SET name = 'b' WHERE code = 'A0'");
catch_up();
is($here->ok("SELECT string_agg(code || ' ' || name, ', ' ORDER BY code) FROM customer"), 'A0 b, A1 a', 'rows come');
is(count_jobs($here, 'true'), 0, 'the trigger is not fired, neither by the copy nor by what is applied');

my $n = 1;
foreach my $how ('ENABLE ALWAYS', 'ENABLE REPLICA')
{
	my $code = 'A' . ++$n;

	trigger($how);
	$there->ok("INSERT INTO customer VALUES ('$code', 'first'); UPDATE customer SET note = 'not mapped' WHERE code = '$code'");
	catch_up();
	comes($here, "SELECT string_agg(operation || ' ' || state || ' ' || owner, ', ' ORDER BY id) FROM bill24.outbox WHERE key = '$code'",
		"create_customer done $owner", "$how: it is, and what is not mapped is not sent");
	$there->ok("UPDATE customer SET name = 'second' WHERE code = '$code'");
	catch_up();
	comes($here, "SELECT count(*) FROM bill24.outbox WHERE key = '$code' AND state = 'done'", 2, 'an UPDATE');
	$there->ok("DELETE FROM customer WHERE code = '$code'");
	catch_up();
	comes($here, "SELECT count(*) FROM bill24.outbox WHERE key = '$code' AND state = 'done'", 3, 'a DELETE');
	is(effects($sim, $code), 'create(first) update(second) delete(second)', 'each once, in order');
}
$here->ok("INSERT INTO customer VALUES ('L1', 'local')");
is(count_jobs($here, "key = 'L1'"), 0, 'ENABLE REPLICA: what is changed here itself is not sent');
trigger('ENABLE ALWAYS');
$there->ok("BEGIN; INSERT INTO customer SELECT 'B' || i, 'many' FROM generate_series(1, 200) i; COMMIT");
catch_up();
comes($here, "SELECT count(*) FROM bill24.outbox WHERE key LIKE 'B%' AND state = 'done'", 200, 'a transaction with many');

# ---- no user mapping ------------------------------------------------------------

$here->ok("DROP USER MAPPING FOR $owner SERVER bill24");
my $before = -s $node->logfile;
$there->ok("BEGIN; INSERT INTO customer VALUES ('C1', 'unmapped'), ('C2', 'unmapped'); COMMIT; INSERT INTO customer VALUES ('C3', 'later')");

# The log from there on.
sub logged
{
	open(my $in, '<', $node->logfile) or die;
	seek($in, $before, 0);
	local $/;
	return scalar <$in>;
}

ok(comes_true(sub { my @n = logged() =~ /ERROR:  .*user mapping/g; @n >= 2 }, 30), 'no user mapping: apply fails, and is tried again and again');
like(logged(), qr/ERROR:  cannot use server "bill24": there is no user mapping.*HINT:  .*CREATE USER MAPPING/s, 'as the log tells');
is($here->ok("SELECT count(*) FROM customer WHERE code LIKE 'C%'") . count_jobs($here, "key LIKE 'C%'"), '00', 'neither rows nor jobs come');
is($here->ok('SELECT subenabled FROM pg_subscription'), 't', 'the subscription stays');
$here->ok("CREATE USER MAPPING FOR $owner SERVER bill24 $credentials");
catch_up();
is($here->ok("SELECT count(*) FROM customer WHERE code LIKE 'C%'"), 3, 'with one it goes on by itself');
comes($here, "SELECT count(*) FROM bill24.outbox WHERE key LIKE 'C%' AND state = 'done'", 3, 'and jobs are delivered');
is(join(' ', map { of_kind($sim, "C$_", 'created') } 1 .. 3), '1 1 1', 'each once');

# ---- the copy at the start ---------------------------------------------------------

$here->ok('DROP SUBSCRIPTION sub; TRUNCATE customer');
$before = $there->ok('SELECT count(*) FROM customer');
my $jobs = count_jobs($here, 'true');
$here->ok("CREATE SUBSCRIPTION sub CONNECTION '$connection' PUBLICATION pub");
comes($here, "SELECT string_agg(srsubstate::text, '') FROM pg_subscription_rel", 'r', 'a table that is copied');
is(count_jobs($here, 'true') - $jobs, $before, 'ENABLE ALWAYS: a job for every row of the copy');
is(count_jobs($here, "owner <> '$owner'::regrole"), 0, 'whose owner is the same');
comes($here, "SELECT count(*) FROM bill24.outbox WHERE finished_at IS NULL", 0, 'they end');
is(join(' ', map { of_kind($sim, "C$_", 'created') } 1 .. 3), '1 1 1', 'those that are there are not made again');

$here->ok('DROP SUBSCRIPTION sub');
$_->end foreach $here, $there;
$node->stop;
$publisher->stop;
done_testing();
