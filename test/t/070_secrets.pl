
# Secrets stay secret: whatever is logged, shown or told, and whatever a server
# that lies sends back, no credential and no token is in it.

use strict;
use warnings;

use Bill24Session;
use Bill24Test;
use JSON::PP;
use Test::More;

my $dir = Bill24Session::scratch();

# Unlike anything else, so that a part of one is found as well.
my %secret = (
	token => '7c9e6679-7425-40de-944b-e07fc1f90ae7',
	client_id => 'Kundennummer_qzXw81',
	secret => 'Geheim!s5Vt9-LpQ2/rW8+dB4=xN7_jK3zYh6Mc1',
	hash_token => 'HashHash.gT5uY8wE2rQ9pLkJ4hGfDsA7zXcVbNm3');

# The other provider's, a token as long as the real ones.
my %secret_of_paycombat = (
	x_token => 'snd_' . join('', map { sprintf('eyJ%02dQx7_Wv9-', $_) . 'Kd3/Zt5+Lm8=' } 10 .. 19),
	signature_key => 'Schluessel~q7Rb4Wm9Tx2Vn6Yc1Zp8Ls3Kd5');
my @arguments = map { my $o = $_; $o =~ tr/_/-/; $o = 'merchant-token' if $o eq 'token';
	("--$o", $secret{$_}) } sort keys %secret;
push @arguments, '--x-token', $secret_of_paycombat{x_token}, '--signature-key', $secret_of_paycombat{signature_key};
my $sim = start_simulator(@arguments, '--journal', "$dir/journal");
$sim->post('/_sim/seed', { count => 100, prefix => 'C', balance => 500 });
$sim->post('/_sim/seed_bills',
	{ count => 150, sync_code => 'C0000001', date => '2025-05-01T10:00:00' });

my $file = "$dir/credentials.json";
credentials(encode_json(\%secret));
my $file_of_paycombat = "$dir/paycombat.json";
Bill24Test::write_file($file_of_paycombat, encode_json(\%secret_of_paycombat));
chmod(0600, $file_of_paycombat);

sub credentials
{
	my ($text) = @_;

	Bill24Test::write_file($file, $text);
	chmod(0600, $file);
	return;
}

# Everything is logged that can be.
my $pg_config = $ENV{PG_CONFIG} // 'pg_config';
my $library = `$pg_config --pkglibdir`;
chomp $library;
my $has_statements = -e "$library/pg_stat_statements.so";
my $node = new_node('main',
	conf => join("\n",
		($has_statements
			? ("shared_preload_libraries = 'bill24, pg_stat_statements'",
				'pg_stat_statements.track = all')
			: ()),
		'log_min_messages = debug5', 'log_statement = all', 'log_duration = on',
		'log_min_duration_statement = 0', 'log_connections = on',
		'log_disconnections = on', 'log_error_verbosity = verbose',
		'log_parser_stats = on', 'debug_print_parse = on', 'debug_print_plan = on',
		'log_lock_waits = on', "log_line_prefix = '%m [%p] %a %u %d %e '", ''));
my $session = Bill24Session->new($node);
$session->ok('CREATE EXTENSION bill24');
$session->ok('CREATE EXTENSION pg_stat_statements') if $has_statements;

# Accounts: one with a file; and one with all of it in the user mapping, whose
# definition is kept from the log as an administrator would.
my $url = $sim->url;
my $server = "FOREIGN DATA WRAPPER bill24 OPTIONS (base_url '$url', allow_http 'true', request_timeout '1s')";
$session->ok("CREATE SERVER bill24 $server;"
	  . "CREATE USER MAPPING FOR PUBLIC SERVER bill24 OPTIONS (credentials_file '$file')");
my $quiet = Bill24Session->new($node);
$quiet->ok(q{SET log_statement = none; SET log_min_duration_statement = -1;
	SET log_min_messages = fatal; SET debug_print_parse = off;
	SET debug_print_plan = off; SET log_duration = off});
$quiet->ok('SET pg_stat_statements.track_utility = off') if $has_statements;
my $inline = join(', ', map { "$_ '$secret{$_}'" } sort keys %secret);
$quiet->ok("CREATE SERVER inline $server; CREATE USER MAPPING FOR PUBLIC SERVER inline OPTIONS ($inline)");
my $server_of_paycombat = $server =~ s/WRAPPER bill24/WRAPPER paycombat/r;
$inline = join(', ', map { "$_ '$secret_of_paycombat{$_}'" } sort keys %secret_of_paycombat);
$quiet->ok("CREATE SERVER paycombat_inline $server_of_paycombat; CREATE USER MAPPING FOR PUBLIC SERVER paycombat_inline OPTIONS ($inline)");
$quiet->end;
$session->ok("CREATE SERVER paycombat $server_of_paycombat;"
	  . "CREATE USER MAPPING FOR PUBLIC SERVER paycombat OPTIONS (credentials_file '$file_of_paycombat')");
$session->ok('CREATE ROLE ordinary LOGIN;'
	  . 'GRANT USAGE ON FOREIGN SERVER bill24, inline, paycombat, paycombat_inline TO ordinary;'
	  . 'CREATE ROLE stranger LOGIN');
my $ordinary = Bill24Session->new($node, user => 'ordinary');

# All that users were told.
my $told = '';

sub ask
{
	my ($who, $statement) = @_;
	my $result = $who->query($statement);

	$told .= "$result->{rows}\n$result->{error}\n";
	return $result;
}

# Every operation, as both accounts, with a word that the log must have.
my $marker = 'Marker-of-this-test';
foreach my $account ('bill24', 'inline')
{
	my %sqlstate;
	my $method = ask($ordinary, "SELECT token FROM bill24_get_payment_methods('C0000001', '$account')")->{rows};
	my $settle = "'%s', 'C0000001', %s, 'KHR', 'S-$account', '2026-01-01', '2099-01-01', "
	  . "payment_method_token => '$method', server => '$account'";

	foreach my $call (
		"bill24_create_customer('$account', '$marker', "
		  . "wallets => '[{\"name\": \"W\", \"currency\": \"KHR\"}]', server => '$account')",
		"bill24_create_customer('$account', '$marker', server => '$account')",
		"bill24_get_customer('$account', '$account')",
		"bill24_get_customer('nobody', '$account')",
		"bill24_update_customer('$account', 'Other', server => '$account')",
		"bill24_delete_customer('$account', '$account')",
		"bill24_delete_customer('C0000001', '$account')",
		"bill24_get_wallet_balance('C0000001', '$account')",
		"bill24_get_wallet_balances('{C0000001,C0000002,none}', '$account')",
		"bill24_get_payment_methods('C0000001', '$account')",
		"bill24_get_wallet_history('C0000001', server => '$account')",
		"bill24_onboard_sub_biller('S-$account', 'Supplier', server => '$account')",
		'bill24_settle_payment(' . sprintf($settle, "P-$account", 5) . ')',
		'bill24_settle_payment(' . sprintf($settle, "P-$account", 5) . ')',
		'bill24_settle_payment(' . sprintf($settle, "Q-$account", 5000) . ')',
		"bill24_get_bills('2025-01-01', '2025-12-31', server => '$account')",
		"bill24_get_bill('P-$account', '$account')",
		"bill24_get_transaction('P-$account', '$account')",
		"bill24_get_available_banks('$account')",
		"bill24_add_link_account('S-$account', 'bank', 'https://example.com', server => '$account')",
		"bill24_verify_linked_account('S-$account', server => '$account')",
		"bill24_check('$account')",
		"bill24_preview('create_customer', '{\"sync_code\": \"X\", \"name\": \"Y\"}', '$account')",
		"bill24_preview('settle_payment', '{\"ref_id\": \"X\", \"sync_code\": \"Y\", "
		  . '"amount": 1, "currency": "KHR", "payment_to": "S", '
		  . "\"bill_date\": \"2026-01-01\", \"due_date\": \"2099-01-01\"}', '$account')")
	{
		$sqlstate{ ask($ordinary, "SELECT $call")->{sqlstate} }++;
		ask($ordinary, "EXPLAIN (VERBOSE, ANALYZE) SELECT $call")
		  if $call =~ /get_wallet_balance/;
	}
	ask($session, "SELECT bill24_request('GET', '/nowhere', server => '$account')");
	note("$account: " . join(', ', map { "$_ $sqlstate{$_} times" } sort keys %sqlstate));
	cmp_ok($sqlstate{'00000'}, '>=', 15, "$account: operations succeed");
	cmp_ok(keys %sqlstate, '>=', 4, "$account: and fail in several ways");
}

# The other provider.
foreach my $account ('paycombat', 'paycombat_inline')
{
	my %sqlstate;

	foreach my $call (
		"paycombat_create_customer('individual', '$marker', organization_reference_id => '$account', server => '$account')",
		"paycombat_create_customer('individual', '$marker', '{}', server => '$account')",
		"paycombat_get_customer(organization_reference_id => '$account', server => '$account')",
		"paycombat_get_customer('nobody', server => '$account')",
		"paycombat_update_customer(organization_reference_id => '$account', description => 'Other', server => '$account')",
		"paycombat_disable_customer(organization_reference_id => '$account', server => '$account')",
		"paycombat_delete_customer(organization_reference_id => '$account', server => '$account')",
		"paycombat_check('$account')",
		"paycombat_verify_webhook('x', 'y', '$account')",
		"paycombat_enqueue('create_customer', '{\"type\": \"x\", \"description\": \"y\", \"organization_reference_id\": \"job-$account\"}', '$account')",
		"paycombat_preview('create_customer', '{\"type\": \"x\", \"description\": \"y\"}', '$account')",
		"bill24_preview('disable_customer', '{\"customer_id\": \"x\"}', '$account')",
		"bill24_get_customer('x', '$account')")
	{
		$sqlstate{ ask($ordinary, "SELECT $call")->{sqlstate} }++;
	}
	ask($session, "SELECT paycombat_request('GET', '/nowhere', server => '$account')");
	ask($session, "SELECT paycombat_request('POST', '/_sim/config', '{\"record\": false}', '$account')");
	note("$account: " . join(', ', map { "$_ $sqlstate{$_} times" } sort keys %sqlstate));
	cmp_ok($sqlstate{'00000'}, '>=', 9, "$account: operations succeed");
	cmp_ok(keys %sqlstate, '>=', 4, "$account: and fail in several ways");

	# A server that lies, to a call and to the worker.
	foreach my $secret (sort values %secret_of_paycombat)
	{
		my $n = 0;

		foreach my $lie (
			[ 400, { status => JSON::PP::false(), message => $secret } ], [ 401, { message => [ "X-token: $secret" ] } ],
			[ 422, { message => 'x' x (256 - 20) . $secret } ], [ 400, ('x ' x 100) . $secret ], [ 403, $secret ],
			[ 409, "{\"$secret" ], [ 200, $secret ], [ 200, [ $secret ] ], [ 200, "<html>$secret</html>" ], [ 500, $secret ],
			[ 200, { status => JSON::PP::true(), message => $secret, data => $secret } ],
			[ 200, { status => $secret } ],
			[ 200, { status => JSON::PP::true(), data => { customer_id => 'c', is_active => $secret } } ],
			[ 200, { status => JSON::PP::true(), data => { customer_id => 'c', created_at => $secret } } ],
			[ 200, { status => JSON::PP::true(), data => { request_id => 'r', status_code => $secret, data => { } } } ])
		{
			my ($status, $answer) = @$lie;
			my $body = ref $answer ? encode_json($answer) : $answer;

			$n++;
			$sim->post('/_sim/fault', { kind => 'body', body => $body, status => $status, count => 2, path => '/api/v1/customer/create' });
			ask($ordinary, "SELECT (paycombat_create_customer('individual', 'x', server => '$account')).customer_id");
			my $id = ask($ordinary, "SELECT paycombat_enqueue('create_customer',"
				  . " jsonb_build_object('type', 'x', 'description', 'y', 'organization_reference_id', 'lie-$account-' || gen_random_uuid()), '$account')")->{rows};
			wait_until("job $id is answered", sub { $ordinary->query("SELECT attempts > 0 AND state <> 'sending' FROM bill24.outbox WHERE id = $id")->{rows} eq 't' });
			$sim->post('/_sim/clear_faults');
			ask($ordinary, "SELECT state, sqlstate, error FROM bill24.outbox WHERE id = $id");
		}
		cmp_ok($n, '>=', 15, "$account: lies");
	}
}

# What was used: the simulator wrote down each token that it gave.
sub tokens
{
	my %used;

	open(my $in, '<', "$dir/journal") or die "could not read the journal: $!";
	while (my $line = <$in>)
	{
		$used{"$1 token " . keys %used} = $2
		  while $line =~ /"(bearer|refresh)" ?: ?"([^"]+)"/g;
	}
	return %used;
}

# A server that lies: what it was sent, in every place of an answer.  Long
# texts are cut somewhere, so the secrets stand at many distances.
sub lies
{
	my %known = (%secret, tokens());
	my @lies;

	foreach my $name (sort keys %known)
	{
		my $s = $known{$name};

		push @lies,
		  { code => '311', message => "Authorization: Bearer $s", message_kh => $s },
		  { code => $s, message => 'x' }, { code => "x$s", message => 'x' },
		  { code => '999', message => ('x ' x 100) . $s },
		  { code => '999', message => 'x' x (256 - 20) . $s },
		  { code => '000', message => $s, data => $s },
		  { code => '000', data => [ { balance => $s, currency => $s, id => [$s] } ] },
		  { code => '000', data => [$s] },
		  { code => [$s] }, { $s => $s },
		  { code => 401, message => $s, data => undef },
		  "<html>$s</html>", $s, "{\"code\": \"$s", "{$s}", "[\"$s\"]";
	}
	return @lies;
}

my %sqlstate;
my $call = "SELECT bill24_get_wallet_balance('C0000001', '%s')";
foreach my $path ('/instant_payment/get_wallet_balance', '/merchantsecurity/authorize')
{
	my @lies = lies();

	# The refusal of a login is remembered, so these are fewer.
	@lies = grep { $_ && (ref ne 'HASH' || ($_->{code} // '') ne '000') } @lies[ 0 .. 63 ]
	  if $path =~ /authorize/;
	foreach my $lie (@lies)
	{
		my $body = ref $lie ? encode_json($lie) : $lie;
		my $status = $sqlstate{count}++ % 5 == 4 ? 400 : 200;
		my $account = $sqlstate{count} % 2 ? 'bill24' : 'inline';

		$sim->post('/_sim/expire_tokens', { refresh => JSON::PP::true() })
		  if $path =~ /authorize/;
		$sim->post('/_sim/fault',
			{ kind => 'body', body => $body, status => $status, count => -1, path => $path,
				headers => { Location => $secret{secret} } });

		# a login of its own for each lie: bill24_check() does that
		my $statement = $path =~ /authorize/ ? "SELECT bill24_check('$account')"
		  : sprintf($call, $account);
		$sqlstate{ ask($ordinary, $statement)->{sqlstate} }++;
		ask($ordinary, "SELECT bill24_get_wallet_balances('{C0000001}', '$account')");
		$sim->post('/_sim/clear_faults');
	}
}
delete $sqlstate{count};
note('lies: ' . join(', ', map { "$_ $sqlstate{$_} times" } sort keys %sqlstate));

# Every other kind of failure.
wait_until('calls work', sub { $ordinary->query(sprintf($call, 'bill24'))->{sqlstate} eq '00000' });
foreach my $fault (
	{ kind => 'status', status => 500 }, { kind => 'status', status => 429 },
	{ kind => 'status', status => 302 }, { kind => 'hang' },
	{ kind => 'drop_before' }, { kind => 'reset_after' }, { kind => 'half_body' },
	{ kind => 'garbage' }, { kind => 'endless' }, { kind => 'unauthorized' })
{
	$sim->post('/_sim/fault',
		{ %$fault, count => -1, path => '/instant_payment/get_wallet_balance' });
	isnt(ask($ordinary, sprintf($call, 'bill24'))->{sqlstate}, '00000',
		"$fault->{kind}: fails");
	$sim->post('/_sim/clear_faults');
}
ask(Bill24Session->new($node, user => 'stranger'), sprintf($call, 'bill24'));

# Files of credentials that are none.
foreach my $text (
	encode_json({ %secret, secrte => $secret{secret} }),
	encode_json({ %secret, $secret{secret} => 1 }),
	encode_json({ %secret, secret => [ $secret{secret} ] }),
	substr(encode_json(\%secret), 0, -5), "$secret{secret}\n",
	"[\"$secret{secret}\"]", '"' . $secret{secret} . '"',
	encode_json({ secret => $secret{secret} }), encode_json({ %secret, %secret_of_paycombat }))
{
	credentials($text);
	is(ask($ordinary, sprintf($call, 'bill24'))->{sqlstate}, '28000',
		'a file of credentials that is none');
	ask($ordinary, "SELECT bill24_check('bill24')");
}
credentials(encode_json(\%secret));
chmod(0644, $file);
is(ask($ordinary, sprintf($call, 'bill24'))->{sqlstate}, '28000',
	'a file of credentials that others can read');
chmod(0600, $file);

%secret = (%secret, %secret_of_paycombat);
my %place;
$place{'rows of the outbox and of customers'} = $session->ok('SELECT to_json(o) FROM bill24.outbox o')
  . $session->ok('SELECT to_json(c) FROM bill24.paycombat_customer c');

# What can be seen: by the administrator in statistics, by others in catalogs.
$place{'errors and results'} = $told;
$place{pg_stat_activity} =
  $session->ok('SELECT to_json(a) FROM pg_stat_activity a');
$place{pg_stat_statements} =
  $session->ok('SELECT to_json(s) FROM pg_stat_statements s')
  if $has_statements;
foreach my $who ($ordinary, Bill24Session->new($node, user => 'stranger'))
{
	my $user = $who->ok('SELECT current_user');

	foreach my $catalog (split(/\n/, $who->ok(
		"SELECT c.oid::regclass FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace"
		  . " WHERE relkind IN ('r', 'v') AND nspname IN ('pg_catalog', 'information_schema')"
		  . " AND has_table_privilege(c.oid, 'SELECT')"
		  . " AND relname ~ 'foreign|mapping|server|activity|shmem|description|settings|prepared|attribute|^pg_proc\$'")))
	{
		my $result = $who->query("SELECT to_json(t) FROM $catalog t");

		$place{"$catalog by $user"} = "$result->{rows}$result->{error}";
	}
	isnt($who->query('SELECT * FROM pg_user_mapping')->{sqlstate}, '00000',
		"$user cannot read pg_user_mapping");
	my $connection = $node->connstr('postgres') . " user=$user";
	$place{"psql by $user"} = output('psql', '-X', '-d', $connection, '-c', '\des+',
		'-c', '\deu+', '-c', '\dew+', '-c', '\df+ bill24*');
	$place{"pg_dump by $user"} = output('pg_dump', '--enable-row-security', '-d', $connection);
}
$place{'the titles of the processes'} = join('', map { slurp($_) } grep { -r }
	map { my $pid = $_->pid; "/proc/$pid/cmdline" } $session, $ordinary);
$_->end foreach $session, $ordinary;
my $all = output('pg_dump', '-d', $node->connstr('postgres'));
$node->stop;
$place{'the log'} = slurp($node->logfile);

# Texts are cut: a part that is long enough to be known again counts as well.
my %known = (%secret, tokens());
my %pattern = map {
	my $s = $known{$_};
	my $length = length($s) > 16 ? 12 : length($s);

	# that is the same in every token
	$s =~ s/^eyJhbGciOiJSUzI1NiIsInR5cCI6ImF0K2p3dCJ9\.eyJ//;
	$_ => join('|', map { quotemeta(substr($s, $_ * $length, $length)) }
		  0 .. int(length($s) / $length) - 1);
} keys %known;
my $pattern = join('|', map { $pattern{$_} } sort keys %pattern);

foreach my $place (sort keys %place)
{
	my @found;

	# one pattern for all is quick where there is nothing
	@found = grep { $place{$place} =~ /$pattern{$_}/ } sort keys %known
	  if $place{$place} =~ /$pattern/;
	is("@found", '', sprintf('%s: %d characters without a secret', $place, length($place{$place})));
	foreach my $name (@found)
	{
		$place{$place} =~ /$pattern{$name}/;
		my $from = $-[0] > 200 ? $-[0] - 200 : 0;
		diag("$name: " . substr($place{$place}, $from, 400));
	}
}

# They would have been found.
cmp_ok(keys %known, '>=', 8, 'secrets, bearer and refresh tokens');
like($all, qr/$pattern{$_}/, "the administrator's dump has $_") foreach sort keys %secret;
my $marked = () = $place{'the log'} =~ /$marker/g;
cmp_ok($marked, '>=', 4, 'the log has what was called');
like($place{pg_stat_activity}, qr/pg_stat_activity/, 'pg_stat_activity has statements');
like($place{pg_stat_statements}, qr/bill24_get_wallet_balance/, 'pg_stat_statements has calls')
  if $has_statements;
like($place{'psql by ordinary'}, qr/inline/, '\des+ has the servers');
like($place{'pg_dump by ordinary'}, qr/CREATE USER MAPPING/, 'a dump has the mappings');
like($told, qr/\*{12}/, 'what lying servers say is shown with stars');

done_testing();

sub output
{
	my @command = @_;
	my $pid = open(my $out, '-|') // die "could not fork: $!";

	if ($pid == 0)
	{
		open(STDERR, '>&', \*STDOUT);
		exec(@command) or POSIX::_exit(127);
	}
	local $/;
	my $text = <$out>;
	close($out);
	return $text;
}

sub slurp
{
	open(my $in, '<', $_[0]) or die "could not read $_[0]: $!";
	local $/;
	return scalar <$in>;
}
