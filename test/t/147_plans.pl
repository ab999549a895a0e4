
# Every statement of the extension on its own tables goes by an index, with a
# condition, and has one plan, whatever the statistics were when it was made:
# it is kept for the life of a process, and the tables change meanwhile.

use strict;
use warnings;

use Bill24Mirror;
use Bill24Outbox;
use Bill24Session;
use Bill24Test;
use Test::More;
use Time::HiRes qw(time);

my $token = 'snd_' . ('eyJtZXJjaGFudCI6' x 14);
my $key = 'the-signature-key-of-this-test';
my $sim = start_simulator();
my $paycombat = start_simulator('--x-token', $token, '--signature-key', $key);
my $node = new_node('main', conf => <<'END');
shared_preload_libraries = 'bill24,auto_explain'
auto_explain.log_min_duration = 0
auto_explain.log_nested_statements = on
autovacuum = off
END
my %options = (mirror => 'true', retry_delay => '20ms', circuit_failures => 0, retention => '1h',
	sync_interval => '1s', min_sync_interval => '1s');
my ($admin, $other);
my @tables = qw(outbox tracked look_group customer_copy wallet_copy wallet_change look_rate paycombat_customer home mirror_id);

# What is read without a condition, and why that is as it should be: the
# statement, and the table, perhaps with the index.
my @meant = (
	[ qr/./, qr/ on (home|mirror_id|look_group_id_seq)\b/, 'it has one row' ],
	[ qr/^WITH RECURSIVE s AS/, qr/using outbox_due on outbox o$/, 'the first step along the index' ],
	[ qr/^WITH RECURSIVE s AS/, qr/using outbox_active on outbox$/, 'all that are under way or parked' ],
	[ qr/WITH RECURSIVE a AS/, qr/using outbox_key on outbox o$/, 'the first step along the index' ],
	[ qr/^WITH RECURSIVE w AS/, qr/using outbox_waiting on outbox o$/, 'the first step along the index' ],
	[ qr/^SELECT leased_by, pg_catalog.array_agg/, qr/using outbox_active on outbox$/, 'all that are under way or parked' ],
	[ qr/^SELECT id, members FROM bill24.look_group/, qr/using look_group_open on look_group$/, 'one row a server' ],
	[ qr/^SELECT m.id FROM bill24.outbox m WHERE m.state/, qr/using outbox_merged on outbox m$/, 'all that are merged' ],
	[ qr/^(UPDATE bill24.tracked t SET next_look_at = \S+, wanted_at = \S+, read_at = CASE WHEN \(SELECT true|DELETE FROM bill24.look_group$)/,
		qr/ on (tracked t|look_group)$/, 'a mirror that is not this one is read anew' ],
	[ qr/^(INSERT INTO|DELETE FROM) bill24.paycombat_customer .*WHERE (c\.)?server = \$1 AND (c\.)?account = \$2/,
		qr/ on paycombat_customer( c)?$/, 'all customers of an account that has another number' ]);

# ---- the work -------------------------------------------------------------------

sub customer { return { sync_code => $_[0], name => $_[1] // $_[0] }; }
sub all { return $admin->ok('BEGIN; SELECT ' . join(', ', @_) . '; COMMIT'); }
sub fault { return $sim->post('/_sim/fault', { @_ }); }
sub later { return "SELECT state FROM bill24.outbox WHERE key = '$_[0]' ORDER BY id DESC LIMIT 1"; }
sub new_plans { return $admin->ok(join(';', map { "ALTER TABLE bill24.$_ SET (autovacuum_enabled = false)" } @tables)); }
sub analyze { return $admin->ok('ANALYZE ' . join(', ', map { "bill24.$_" } @tables)); }

sub outbox_works
{
	my ($p) = @_;

	# updates that are sent in one, are refused in one, and wait for a retry
	fault(kind => 'status', status => 422, path => '/customer/update', match => "\"${p}2\"");
	fault(kind => 'drop_before', path => '/customer/create', match => "\"${p}3\"");
	fault(kind => 'status', status => 429, retry_after => 1, path => '/customer/create', match => "\"${p}4\"");
	fault(kind => 'drop_after', match => "\"${p}5\"");
	all(map { enqueuing('create_customer', customer("$p$_")) } 1 .. 4);
	all(map { my $n = $_; map { enqueuing('update_customer', customer("$p$n", "u$_")) } 1 .. 4 } 1 .. 4);
	my ($parked, $behind) = split(/\|/, all(
		enqueuing('onboard_sub_biller', { supplier_sync_code => "${p}5", name => 'b' }),
		enqueuing('add_link_account', { supplier_sync_code => "${p}5", bank_id => 'AC', return_url => 'https://example.com/' })));
	becomes($admin, $parked, 'parked', "$p: one is parked");
	$admin->ok("SELECT bill24_cancel($behind)");
	my $more = enqueue($admin, 'add_link_account', { supplier_sync_code => "${p}5", bank_id => 'AC', return_url => 'https://example.com/' });
	fault(kind => 'drop_after', match => "\"${p}5\"");
	$admin->ok("SELECT bill24_retry($parked)");
	becomes($admin, $parked, 'parked', "$p: parked again");
	$admin->ok("SELECT bill24_resolve($parked, 'done')");
	is($admin->ok("SELECT bill24_wait($more, '20 s')"), 'done', "$p: what was behind it");

	# three are for later, one of whose rows somebody has, and others wait for them
	fault(kind => 'status', status => 429, retry_after => 3600, path => '/customer/create', match => "\"$p$_\"") foreach qw(r s t);
	my @held = split(/\|/, all(map { enqueuing('create_customer', customer("$p$_")) } qw(r s t)));
	comes($admin, "SELECT count(*) FROM bill24.outbox WHERE attempts = 1 AND state = 'queued' AND id IN (" . join(', ', @held) . ')', 3, "$p: three are for later");
	my $waits = enqueue($admin, 'update_customer', customer("${p}r", 'u'));
	becomes($admin, $waits, 'waiting', "$p: one waits");
	$other->ok("BEGIN; SELECT bill24_retry($behind), bill24_retry($held[0])");
	is($other->query("SELECT bill24_wait($waits)")->{sqlstate}, '55000', "$p: not for one that this transaction has");
	$other->ok('ROLLBACK');
	$other->ok("BEGIN; SELECT FROM bill24.outbox WHERE id = $held[0] FOR UPDATE");
	my $late = enqueue($admin, 'update_customer', customer("${p}r", 'v'));
	comes($admin, "SELECT scheduled_at IS NOT NULL FROM bill24.outbox WHERE id = $late", 't', "$p: one is looked at later");
	$other->ok('ROLLBACK');

	# a process that is gone, a job that is, and a clock that was set back
	$admin->ok("UPDATE bill24.outbox SET state = 'sending', next_attempt_at = NULL, leased_by = 987654321 WHERE id = $held[1]");
	$admin->ok("UPDATE bill24.outbox SET merged_into = 987654321 WHERE id = $waits");
	$admin->ok("UPDATE bill24.outbox SET scheduled_at = now() + '1 day'::interval, next_attempt_at = now() + '1 day'::interval WHERE id = $held[2]");
	my $looks = Bill24Session->new($node);
	$looks->ok('CALL bill24_work()');
	$looks->end;
	$admin->ok("SELECT bill24_retry($held[0])");
	becomes($admin, $_, 'done', "$p: job $_ is done") foreach @held, $waits, $late;

	# of another account
	fault(kind => 'status', status => 429, retry_after => 3600, path => '/customer/create', match => "\"${p}6\"");
	my $moved = enqueue($admin, 'create_customer', customer("${p}6"));
	comes($admin, "SELECT attempts, state FROM bill24.outbox WHERE id = $moved", '1|queued', "$p: another is");
	$admin->ok("ALTER USER MAPPING FOR postgres SERVER bill24 OPTIONS (SET token '00000000-0000-4000-8000-00000000000$_')") foreach 2, 1;
	$admin->ok("SELECT bill24_retry($moved)");
	comes($admin, later("$p$_"), 'done', "$p$_ comes to its end") foreach 1 .. 4, 6;

	# what is old goes, at the beginning of a call
	comes($admin, "SELECT count(*) > 0 FROM bill24.outbox WHERE finished_at < now() - interval '1.1 s'", 't', "$p: time passes");
	$admin->ok("ALTER SERVER bill24 OPTIONS (SET retention '1s')");
	my $caller = Bill24Session->new($node);
	all(map { enqueuing('update_customer', customer("${p}1", $_)) } 1 .. 4);
	$caller->ok('CALL bill24_work()');
	$caller->end;
	comes($admin, later("${p}1"), qr/^(done|)$/, "$p: by the worker or the call");
	$admin->ok("ALTER SERVER bill24 OPTIONS (SET retention '1h')");
	return;
}

sub mirror_works
{
	my ($p) = map { "${_}M" } @_;

	customers($p, 30);
	comes($admin, "SELECT count(*) FROM bill24.tracked WHERE sync_code LIKE '$p%' AND look_group IS NOT NULL", 30, "$p: quiet ones are in groups");
	topup("${p}0000001", 5);
	$sim->post('/_sim/remove_customer', { sync_code => "${p}0000002" });
	refresh("${p}000000$_") foreach 1, 2;
	comes($admin, "SELECT count(*) FROM bill24.wallet_change WHERE sync_code IN ('${p}0000001', '${p}0000002')", 2, "$p: changes are seen");
	track($p, 3);
	is($admin->ok("SELECT count(*) FROM bill24_wallet_balance('${p}0000003', $_)"), 1, "$p: one that is read") foreach "'1 hour'", "'0'";
	$admin->ok("SELECT bill24_untrack(" . codes($p, 25) . ')');
	comes($admin, "SELECT bool_and(synced_at > '" . $admin->ok('SELECT clock_timestamp()') . "') FROM bill24.customer WHERE sync_code LIKE '$p%'", 't', "$p: the rest are looked at again");
	$admin->ok("ALTER SERVER bill24 OPTIONS (SET sync_interval '$_')") foreach '1h', '1s';
	return;
}

sub paycombat_works
{
	my ($p) = @_;
	my $r = "${p}P";
	my @ids = split(/\|/, all(
		enqueuing('create_customer', { type => 'individual', description => 'a', organization_reference_id => $r }, 'paycombat'),
		enqueuing('update_customer', { organization_reference_id => $r, description => 'later' }, 'paycombat')));

	comes($admin, later($r), 'done', "$p: PayCombat's");
	comes($admin, "SELECT read_at IS NOT NULL FROM bill24.tracked WHERE sync_code = '$r'", 't', "$p: is looked at");
	$admin->ok("ALTER USER MAPPING FOR PUBLIC SERVER paycombat OPTIONS (SET x_token '$_')") foreach "${token}x", $token;
	enqueue($admin, 'delete_customer', { organization_reference_id => $r }, 'paycombat');
	comes($admin, later($r), 'done', "$p: deleted");
	return;
}

sub works
{
	my ($p, $name) = @_;
	my $start = time;

	new_plans();
	outbox_works($p);
	mirror_works($p);
	paycombat_works($p);
	note(sprintf('%s: %.1f s', $name, time - $start));
	return;
}

# ---- situations -----------------------------------------------------------------

setup_account($node, $sim, options => {%options});
($admin, $other) = connect_mirror($node, $sim);
$admin->ok("CREATE SERVER paycombat FOREIGN DATA WRAPPER paycombat OPTIONS (base_url '" . $paycombat->url
	  . "', allow_http 'true', retry_delay '20ms', circuit_failures '0', mirror 'true', delete_customer_path '/api/v1/customer/customer/{customer_id}');"
	  . " CREATE USER MAPPING FOR PUBLIC SERVER paycombat OPTIONS (x_token '$token', signature_key '$key')");
works('A', 'empty, and never analyzed');

analyze();
works('B', 'tiny, analyzed');

# three keys with many jobs each, analyzed before anybody has seen them
$admin->ok('BEGIN; SELECT ' . join(', ', map { enqueuing('create_customer', customer("C$_")) } 7 .. 9));
$admin->ok("SELECT count(bill24_enqueue('update_customer', jsonb_build_object('sync_code', 'C' || 7 + n % 3, 'name', n))) FROM generate_series(1, 9000) n");
analyze();
$admin->ok('COMMIT');
works('C', 'many unfinished jobs of few keys');
comes($admin, "SELECT count(*) FROM bill24.outbox WHERE finished_at IS NULL", 0, 'all are done', 60);
analyze();
works('D', 'all is finished');
$admin->ok('DELETE FROM bill24.outbox; DELETE FROM bill24.tracked; DELETE FROM bill24.look_group');
$admin->ok('DELETE FROM bill24.customer_copy; DELETE FROM bill24.wallet_copy; DELETE FROM bill24.paycombat_customer');
$admin->ok("VACUUM (ANALYZE) bill24.$_") foreach @tables;
works('E', 'empty again, analyzed');

# whatever costs decide is decided in another way
$admin->ok("ALTER SYSTEM SET $_ = 0") foreach qw(seq_page_cost random_page_cost cpu_tuple_cost cpu_index_tuple_cost cpu_operator_cost);
$admin->ok('SELECT pg_reload_conf()');
works('F', 'costs that are all the same');
$admin->ok('SELECT bill24_adopt_outbox()');
my %first = map { s/\(0\)::bigint/'0'::bigint/r } map { split(/\|/) } split(/\n/, $admin->ok("SELECT c.relname, pg_get_indexdef(c.oid, 1, false)"
	  . " FROM pg_class c WHERE c.relnamespace = 'bill24'::regnamespace AND c.relkind = 'i'"));
$_->end foreach $admin, $other;
$node->stop;

# ---- the plans --------------------------------------------------------------------

# Of each statement that the extension ran, the plans: how tables are read, in
# which order.  Its statements have a context, those of this test have none.
my %plans;
{
	my ($text, $plan);

	open(my $log, '<', $node->logfile) or die;
	while (my $line = <$log>)
	{
		if ($line =~ /LOG:  duration: .* plan:$/)
		{
			$text = $plan = '';
		}
		elsif (defined $plan && $line =~ /CONTEXT:  SQL statement "/)
		{
			$text =~ s/\s+/ /g;
			$plans{$text}{$plan}++ if $text =~ /bill24\./;
			($text, $plan) = ();
		}
		elsif (defined $plan && $line =~ s/^\t//)
		{
			if ($line =~ s/^Query Text: //)
			{
				$text = $line;
				$text =~ s/\s+$//;
			}
			else
			{
				$line =~ s/^\s+|  \(cost=.*//g;
				$plan .= $line if $line =~ /Scan.* on (?!pg_)|(Index|TID) Cond:/;
			}
		}
		else
		{
			($text, $plan) = ();
		}
	}
}

# The nodes of a plan that read a table without a condition; one of an index's
# later columns is none, as all of the index is read.
sub reads_all
{
	my ($plan) = @_;
	my @found;
	my ($node, $condition);
	my $end = sub { push @found, $node if defined $node && !$condition; ($node, $condition) = (); };

	foreach my $line (split(/\n/, $plan))
	{
		if ($line =~ /^\s*(Index|TID) Cond: /)
		{
			$condition = 1 if !defined $node || $node !~ /using (\S+)/ || $line =~ /\(\Q$first{$1}\E [=<>]|ROW\(\Q$first{$1}\E,/;
			next;
		}
		$end->();
		$node = $line =~ /((?:Seq|Index|Index Only|Bitmap Heap|Bitmap Index|Tid|Tid Range|Sample) Scan.*)/ ? $1 : undef;
		$condition = 0;
	}
	$end->();
	return @found;
}

my $bad = 0;
foreach my $text (sort keys %plans)
{
	my %wrong;

	foreach my $plan (keys %{ $plans{$text} })
	{
		foreach my $node (reads_all($plan))
		{
			$wrong{$node} = $plan unless grep { $text =~ $_->[0] && $node =~ $_->[1] } @meant;
		}
	}
	foreach my $node (sort keys %wrong)
	{
		fail("$node without a condition");
		diag("$text\n$wrong{$node}");
	}
	if (keys %{ $plans{$text} } > 1)
	{
		fail('one plan');
		diag(join("\n", $text, map { "$plans{$text}{$_} times:\n$_" } sort keys %{ $plans{$text} }));
	}
}
note(scalar(keys %plans) . ' statements');
cmp_ok(scalar(keys %plans), '>=', 70, 'so many statements were seen');
done_testing();
