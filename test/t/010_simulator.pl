# The simulator of the payment APIs: every operation, every quirk of the real
# server that it knows, everything a test can ask of it, and every fault.
#
# Needs nothing but Perl and the simulator (B24SIM names another one).

use strict;
use warnings;
use utf8;

use Digest::SHA qw(hmac_sha256_hex hmac_sha512_base64);
use Encode qw(encode_utf8);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use IO::Select;
use IO::Socket::INET;
use JSON::PP;
use MIME::Base64 qw(decode_base64 encode_base64);
use POSIX qw(strftime);
use Socket qw(MSG_NOSIGNAL);
use Test::More;
use Time::HiRes qw(sleep time);

my $program = $ENV{B24SIM} // dirname(__FILE__) . '/../simulator/b24sim';
plan skip_all => "no simulator at $program: make -C test/simulator"
  unless -x $program;

my $json = JSON::PP->new->utf8->canonical;
my %merchant = (
	token => '00000000-0000-4000-8000-000000000001',
	clientId => 'demo_client',
	secret => 'demo-secret');
my $hash_token = 'demo-hash-token';

# ---------------------------------------------------------------------------
# Processes and requests

# Nothing that is waited for takes so many seconds, not even on a busy machine.
my $patience = 20;

# Clocks and timers have a grain: this much too early is not too early.
my $tick = 0.005;

my %running;    # pid => 1
END
{
	local $?;
	for (keys %running)
	{
		kill 'KILL', $_;
		waitpid $_, 0;
	}
}

# Start a simulator and wait for its line; returns {pid, port, http}.
sub start
{
	my @arguments = @_;
	pipe(my $reader, my $writer) or die "pipe: $!";
	my $pid = fork() // die "fork: $!";
	if ($pid == 0)
	{
		close $reader;
		open STDOUT, '>&', $writer or die;
		exec $program, '--die-with-parent', @arguments or die "exec: $!";
	}
	close $writer;
	$running{$pid} = 1;
	awaited($reader, 'the line of a simulator that starts');
	my $line = <$reader> // '';
	my ($port) = $line =~ /^b24sim ready port=(\d+)$/
	  or die "unexpected first line: $line";
	return { pid => $pid, port => $port };
}

# Give up, and say what for, if a file has nothing to read for too long.
sub awaited
{
	my ($file, $what) = @_;
	return if IO::Select->new($file)->can_read($patience);
	die "waited $patience s for $what";
}

# sysread of what comes next.
sub read_more
{
	my ($socket, $size, $what, $text) = @_;
	awaited($socket, $what);
	return sysread $socket, $_[3], $size, length $_[3];
}

sub stop
{
	my ($sim, $signal) = @_;
	kill $signal // 'TERM', $sim->{pid};
	local $SIG{ALRM} =
	  sub { die "waited $patience s for a simulator to end" };
	alarm $patience;
	waitpid $sim->{pid}, 0;
	alarm 0;
	delete $running{ $sim->{pid} };
	return $?;
}

# Repeat until the code is true; false after ten seconds.
sub eventually(&)
{
	my ($code) = @_;
	my $end = time + 10;
	until ($code->())
	{
		return 0 if time > $end;
		sleep 0.005;
	}
	return 1;
}

my $sim = start();
my $bearer;

sub connection
{
	return IO::Socket::INET->new(
		PeerAddr => '127.0.0.1',
		PeerPort => $sim->{port},
		Timeout => $patience) // die "connect: $!";
}

# Send a request in one piece (separate writes for header and body would wait
# for each other's acknowledgement) on the connection that is kept for it; the
# body is a structure or a text.  Returns {status, headers, content, json};
# without an answer the status is 599.
sub call
{
	my ($method, $path, $body, %headers) = @_;
	$body = '' unless defined $body;
	$body = $json->encode($body) if ref $body;
	$headers{Authorization} //= "Bearer $bearer"
	  if defined $bearer && $path !~ m{^/_sim/};
	my $request = "$method $path HTTP/1.1\r\nHost: sim\r\n"
	  . join('', map { "$_: $headers{$_}\r\n" } sort keys %headers)
	  . 'Content-Length: '
	  . length($body)
	  . "\r\n\r\n$body";

	my $text = '';
	my $socket = $sim->{socket} //= connection();
	send $socket, $request, MSG_NOSIGNAL;
	while (read_more($socket, 1 << 20, "the answer to $method $path", $text))
	{
		next unless $text =~ /^Content-Length: (\d+)\r.*?\n\r\n/ms;
		last if length($text) >= $+[0] + $1;
	}
	if ($text !~ /^HTTP\/1\.1 (\d+) .*?\r\n(.*?)\r\n\r\n(.*)$/s)
	{
		close delete $sim->{socket};
		return { status => 599, content => '' };
	}
	my %response = (status => $1, content => $3);
	for (split /\r\n/, $2)
	{
		my ($name, $value) = split /: /, $_, 2;
		$response{headers}{ lc $name } = $value;
	}
	close delete $sim->{socket}
	  if ($response{headers}{connection} // '') =~ /close/i;
	$response{json} = eval { $json->decode($response{content}) };
	return \%response;
}

sub post    { return call('POST', @_)->{json}; }
sub get     { return call('GET', @_)->{json}; }
sub control { return post("/_sim/$_[0]", $_[1] // {}); }
sub config  { return control('config', {@_}); }
sub fault   { return control('fault', {@_})->{fault}; }
sub stats   { return get('/_sim/stats'); }
sub effects { return get("/_sim/effects?key=$_[0]"); }

sub authorize
{
	my $answer = post('/merchantsecurity/authorize', { %merchant, @_ });
	$bearer = $answer->{data}{token};
	return $answer;
}

sub reset_simulator
{
	control('reset');
	return;
}

# A connection of its own, on which the request has been sent.
sub open_request
{
	my ($path, $body, $method) = @_;
	$method //= 'POST';
	$body = $json->encode($body) if ref $body;
	my $socket = connection();
	syswrite $socket,
	  "$method $path HTTP/1.1\r\nHost: sim\r\nConnection: close\r\n"
	  . "Authorization: Bearer $bearer\r\nContent-Length: "
	  . length($body // '')
	  . "\r\n\r\n"
	  . ($body // '');
	return $socket;
}

# Everything that comes until the end, or up to a limit; in list context also
# the error.
sub read_all
{
	my ($socket, $limit) = @_;
	my $text = '';
	my $error = '';
	while (1)
	{
		my $n = read_more($socket, 262144,
			'the end of an answer (' . length($text) . ' bytes came)', $text);
		$error = "$!" unless defined $n;
		last unless $n;
		last if defined $limit && length $text > $limit;
	}
	close $socket;
	return wantarray ? ($text, $error) : $text;
}

sub header_and_body
{
	my ($text) = @_;
	return split /\r\n\r\n/, $text, 2;
}

# ---------------------------------------------------------------------------
# Payments

# The text of a push; total_amount stays the text it is given as.
sub push_text
{
	my (%change) = @_;
	my %bill = (
		ref_id => 'R1',
		date => '2025-11-20',
		due_date => strftime('%Y-%m-%d', gmtime(time + 7 * 86400)),
		currency => 'KHR',
		total_amount => '100',
		customer_sync_code => 'C1',
		payment_method_token => '',
		payment_to => 'ST001',
		description => 'test',
		total_amount_khr => 100,
		exchange_rate_khr => '',
		digits => '20251120000000',
		%change);
	my $digits = delete $bill{digits};
	my $total = delete $bill{total_amount};
	my $hash = hmac_sha512_base64(
		encode_utf8(
			join '',
			map { $_ // '' } $bill{ref_id},
			$digits, $bill{currency}, $total, $bill{customer_sync_code},
			$bill{payment_to}),
		$hash_token);
	$hash .= '=' while length($hash) % 4;
	$bill{hash} //= $hash;
	defined $bill{$_} || delete $bill{$_} for keys %bill;
	my $text = $json->encode(\%bill);
	$text =~ s/\}$/,"total_amount":$total}/ if defined $total;
	return $text;
}

sub push_bill
{
	return post('/bill_payment/push_bill_with_payment', push_text(@_));
}

my $refused = { bill => undef, payment => undef };

# ---------------------------------------------------------------------------

subtest 'authorize' => sub {
	my $answer = authorize();
	is($answer->{code}, 200, 'the code is a number');
	like(call('POST', '/merchantsecurity/authorize', {%merchant})->{content},
		qr/^\{"code":200,"message":"",/, 'without quotes');
	cmp_ok(length $answer->{data}{token}, '>=', 900, 'a long token');
	is(($answer->{data}{token} =~ tr/.//), 2, 'of three parts');
	like($answer->{data}{refreshToken}, qr/^[0-9a-f]{64}$/, 'refresh token');
	like(
		$answer->{data}{tokenExpireTime},
		qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}\+07:00$/,
		'time of expiry');
	my $expected = strftime('%Y-%m-%dT%H', gmtime(time + 6 * 3600 + 7 * 3600));
	like($answer->{data}{tokenExpireTime}, qr/^$expected/, 'in six hours');

	my $refresh = $answer->{data}{refreshToken};
	is( post(
			'/merchantsecurity/authorize',
			{
				clientId => 'demo_client',
				secret => 'demo-secret',
				refreshToken => $refresh
			})->{code},
		200,
		'refresh without the merchant token');
	is( post('/merchantsecurity/authorize',
			{ %merchant, refreshToken => $refresh })->{code},
		200,
		'refresh with it');
	for my $wrong (
		{ %merchant, secret => 'x' },
		{ %merchant, clientId => 'x' },
		{ %merchant, token => 'x' },
		{ %merchant, refreshToken => 'x' },
		{})
	{
		my $response = call('POST', '/merchantsecurity/authorize', $wrong);
		is($response->{status}, 200, 'refused under HTTP 200');
		is_deeply(
			$response->{json},
			{
				code => 401,
				message => 'Invalid credentials',
				data => undef
			},
			'refusal');
	}
	config(authorize_fail_status => 401);
	is(call('POST', '/merchantsecurity/authorize', {})->{status},
		401, 'or under another status');
	is_deeply(stats()->{authorize},
		{ full => 2, refresh => 2, refused => 6 }, 'counted');

	for my $header ('', 'Bearer nonsense', $bearer, 'Basic x')
	{
		my $response =
		  call('POST', '/customer/create', {}, Authorization => $header);
		is($response->{status}, 401, 'wrong bearer token');
		is($response->{content}, '', 'empty body');
	}
	is(call('POST', '/customer/create', {}, Authorization => "bearer $bearer")
		  ->{status},
		200, 'the scheme in small letters');
	is(stats()->{unauthorized}, 4, 'counted');

	control('expire_tokens');
	is(call('POST', '/customer/create', {})->{status}, 401, 'expired');
	is( post('/merchantsecurity/authorize',
			{ %merchant, refreshToken => $refresh })->{code},
		200,
		'the refresh token is not');
	control('expire_tokens', { refresh => JSON::PP::true });
	is( post('/merchantsecurity/authorize',
			{ %merchant, refreshToken => $refresh })->{code},
		401,
		'now it is');

	config(token_lifetime_s => 1);
	authorize();
	is(call('POST', '/customer/create', {})->{status}, 200, 'valid');
	ok( eventually {
			call('POST', '/customer/create', {})->{status} == 401
		},
		'until it expires');
	reset_simulator();
	authorize();
};

subtest 'customers' => sub {
	my $full = {
		sync_code => 'C0001',
		name => 'Customer A',
		name_kh => 'អតិថិជន ក',
		phone => '010 795 790',
		email => 'Sample@gmail.com',
		wallet => [ { name => 'Customer A Wallet', currency => 'KHR' } ]
	};
	my $answer = post('/customer/create', $full);
	is($answer->{code}, 'SUCCESS', 'create says SUCCESS');
	like(delete $answer->{data}{id}, qr/^[0-9a-f-]{36}$/, 'an id');
	is_deeply($answer->{data}, $full, 'and what was sent');

	$answer = post('/customer/create', { sync_code => 'C2', name => 'B' });
	delete $answer->{data}{id};
	is_deeply(
		$answer->{data},
		{
			sync_code => 'C2',
			name => 'B',
			name_kh => undef,
			phone => undef,
			email => undef,
			wallet => []
		},
		'only required fields');
	$answer = post('/customer/create', { sync_code => 'C3', name => 'B' });
	is($answer->{code}, 'SUCCESS', 'names need not be unique');
	$answer = post('/customer/create', $full);
	is($answer->{code}, '310', 'taken');
	is($answer->{message}, 'This customer already exist', 'message');
	is(ref $answer->{data}, 'HASH', 'with a data object');

	my @wrong = (
		[ {}, 'Please provide [sync_code]., Please provide [name].' ],
		[ { sync_code => '', name => 'x' }, 'Please provide [sync_code].' ],
		[
			{ sync_code => 'x' x 51, name => 'x' },
			'[sync_code] must have 50 or fewer digits. '
			  . 'Please adjust and retry.'
		],
		[
			{ sync_code => 'x', name => 'x', email => 'nobody' },
			q('Email' is not a valid email address.)
		],
		[
			{ sync_code => 'x', name => 'x', wallet => [ {} ] },
			'Please provide [wallet.name]., Please provide [wallet.currency].'
		],
		[
			{ sync_code => 'x' x 51, name => 'x', email => '@' },
			'[sync_code] must have 50 or fewer digits. Please adjust and '
			  . q(retry., 'Email' is not a valid email address.)
		],
		[ { sync_code => 5, name => 'x' }, 'The payload field is required.' ],
		[ 'no json', 'The payload field is required.' ],
		[
			{ sync_code => 'x', name => 'x', wallet => 'x' },
			'The payload field is required.'
		]);
	for (@wrong)
	{
		my ($body, $message) = @$_;
		my $response = call('POST', '/customer/create', $body);
		is($response->{status}, 200, 'HTTP status of a complaint');
		is($response->{json}{code}, 'ERR_MISSED_FIELD', 'code');
		is($response->{json}{message}, $message, $message);
		ok(exists $response->{json}{data} && !defined $response->{json}{data},
			'data null');
	}
	is( post('/customer/create', { sync_code => 'អ' x 50, name => 'x' })
		  ->{code},
		'SUCCESS',
		'fifty characters, not bytes');
	my $wallet = { name => 'w', currency => 'KHR' };
	is( post('/customer/create',
			{ sync_code => 'x', name => 'x', wallet => [ ($wallet) x 3 ] })
		  ->{code},
		'320',
		'at most two wallets');
	is( post('/customer/create',
			{ sync_code => 'x', name => 'x', wallet => [ ($wallet) x 2 ] })
		  ->{code},
		'SUCCESS',
		'two are accepted');

	$answer = post('/customer/get_customer_detail', { sync_code => 'C0001' });
	is($answer->{code}, '000', 'get says 000');
	ok(!exists $answer->{data}{id}, 'without the customer id');
	like(delete $answer->{data}{walletBalances}[0]{id},
		qr/^[0-9a-f-]{36}$/, 'wallet id');
	is_deeply(
		$answer->{data}{walletBalances},
		[ { name => 'Customer A Wallet', balance => 0, currency => 'KHR' } ],
		'walletBalances');

	$answer = post('/customer/update',
		{ sync_code => 'C0001', name => 'New', phone => undef });
	is($answer->{code}, '000', 'update says 000');
	is($answer->{message}, 'Customer profile updated successfully.',
		'message');
	is_deeply($answer->{data}{wallet}, [], 'its wallets are hidden');
	is_deeply(
		[ @{ $answer->{data} }{qw(name phone email)} ],
		[ 'New', undef, 'Sample@gmail.com' ],
		'changed, cleared, kept');
	is(post('/customer/update', { name => 'x' })->{message},
		'Please provide [sync_code].', 'update names [sync_code]');

	for my $path (qw(get_customer_detail delete))
	{
		is(post("/customer/$path", {})->{message},
			'Please provide [customer_sync_code].',
			"$path names [customer_sync_code]");
	}
	for my $path (qw(get_customer_detail delete update))
	{
		my $unknown = post("/customer/$path", { sync_code => 'none' });
		is($unknown->{code}, '311', "$path: unknown customer");
		is($unknown->{message}, 'Customer not found', 'message');
	}

	control('topup', { sync_code => 'C0001', amount => 1 });
	$answer = post('/customer/delete', { sync_code => 'C0001' });
	is($answer->{code}, '407', 'not with money');
	control('topup', { sync_code => 'C0001', amount => -1 });
	$answer = post('/customer/delete', { sync_code => 'C0001' });
	is($answer->{code}, '000', 'delete says 000');
	is($answer->{message}, ' Customer deleted successfully. ', 'with spaces');
	is_deeply(
		$answer->{data},
		{
			id => '',
			sync_code => '',
			name => '',
			name_kh => undef,
			phone => undef,
			email => undef,
			wallet => []
		},
		'a hollow customer');
	is(post('/customer/create', $full)->{code}, 'SUCCESS', 'created again');
	is_deeply(
		effects('C0001'),
		{ created => 2, updated => 1, deleted => 1, charges => 0 },
		'effects of a whole life');
	reset_simulator();
};

subtest 'wallets' => sub {
	post(
		'/customer/create',
		{
			sync_code => 'a/b c',
			name => 'A',
			wallet => [
				{ name => 'First', currency => 'KHR' },
				{ name => 'Second', currency => 'USD' }
			]
		});
	my $path = '/instant_payment/get_wallet_balance';
	my $key = { customer_sync_code => 'a/b c' };
	my $answer = post($path, $key);
	is($answer->{code}, '000', 'balance says 000');
	is_deeply(
		[ map { [ @$_{qw(name balance currency)} ] } @{ $answer->{data} } ],
		[ [ 'First', 0, 'KHR' ], [ 'Second', 0, 'USD' ] ],
		'new wallets are empty');
	is(post($path, {})->{message}, 'Please provide [customer_sync_code].',
		'missing field');
	is(post($path, { customer_sync_code => 'x' })->{code},
		'311', 'unknown customer');

	my $large = '12345678901234567.0123456789';
	like(
		call('POST', '/_sim/topup',
			qq({"sync_code":"a/b c","currency":"USD","amount":$large}))
		  ->{content},
		qr/"balance":\Q$large\E,/, 'topup answers the balance');
	control('topup',
		{ sync_code => 'a/b c', currency => 'USD', amount => '0.1' });
	control('topup',
		{ sync_code => 'a/b c', currency => 'KHR', amount => '1234' });
	like(call('POST', $path, $key)->{content},
		qr/"balance":12345678901234567\.1123456789,/, 'to the last digit');

	$answer = get('/instant_payment/a%2Fb%20c/get_payment_methods');
	is($answer->{code}, '000', 'payment methods say 000');
	is_deeply([ sort keys %{ $answer->{data}[0] } ],
		[qw(id is_default logo name sub_title sub_title_kh token type)],
		'fields');
	is($answer->{data}[0]{sub_title}, 'Balance : 1,234.00 KHR', 'sub_title');
	is($answer->{data}[1]{sub_title},
		'Balance : 12,345,678,901,234,567.11 USD', 'with separators');
	ok($answer->{data}[0]{is_default} && !$answer->{data}[1]{is_default},
		'one default');
	$answer = get('/instant_payment/none/get_payment_methods');
	is($answer->{code}, '311', 'unknown customer');
	is_deeply($answer->{data}, [], 'with an empty list');

	$path = '/instant_payment/get_wallet_histories';
	$answer = post($path,
		{ %$key, pagination => { page_index => 2, page_size => 2 } });
	is_deeply(
		$answer->{data}{pagination},
		{ page_index => 2, page_size => 2, page_count => 2, row_count => 3 },
		'histories are paged');
	is(scalar @{ $answer->{data}{histories} }, 1, 'the rest');
	is(post($path, { %$key, tran_type => 'payment' })
		  ->{data}{pagination}{row_count}, 0, 'and filtered');
	is(post($path, { %$key, d2 => '2020-01-01T00:00:00' })
		  ->{data}{pagination}{row_count}, 0, 'by date');

	config(wallet_lag_ms => 150, balance_lag_ms => 150);
	post(
		'/customer/create',
		{
			sync_code => 'late',
			name => 'A',
			wallet => [ { name => 'w', currency => 'KHR' } ]
		});
	$key = { customer_sync_code => 'late' };
	$path = '/instant_payment/get_wallet_balance';
	is_deeply(post($path, $key)->{data}, [], 'a new wallet is not visible');
	is_deeply(get('/instant_payment/late/get_payment_methods')->{data},
		[], 'nor as a payment method');
	ok(eventually { @{ post($path, $key)->{data} } == 1 }, 'after a while');
	is(control('topup', { sync_code => 'late', amount => 5 })->{balance},
		5, 'the true balance');
	is(post($path, $key)->{data}[0]{balance}, 0, 'the visible one lags');
	is(get('/_sim/customers?from=late')->[0]{wallets}[0]{balance},
		5, 'the state tells the true one');
	ok(eventually { post($path, $key)->{data}[0]{balance} == 5 },
		'after a while');
	reset_simulator();
};

subtest 'settle' => sub {
	control('seed', { prefix => 'P', count => 2, balance => 1000 });
	my @ok = (customer_sync_code => 'P0000001');
	my $answer = push_bill(@ok);
	is($answer->{code}, 'SUCCESS', 'push says SUCCESS');
	is($answer->{message}, 'Bill pushed and payment captured successfully.',
		'message');
	is_deeply(
		$answer->{data},
		{
			bill => { status => 'success' },
			payment => { status => 'success' }
		},
		'data');
	is_deeply(
		effects('R1'),
		{ created => 0, updated => 0, deleted => 0, charges => 1 },
		'one charge');
	is(effects('P0000001')->{charges}, 1, 'also under the customer');
	is( post('/instant_payment/get_wallet_balance',
			{ customer_sync_code => 'P0000001' })->{data}[0]{balance},
		900,
		'paid');
	$answer = push_bill(@ok);
	is_deeply(
		[ @$answer{qw(code message)} ],
		[ '327', 'Bill already exist' ],
		'a ref_id is used once');
	is_deeply($answer->{data}, $refused, 'data of a refusal');
	is(effects('R1')->{charges}, 1, 'still one charge');

	# the shapes of date and amount that the hash is made of
	my $n = 1;
	for (
		[ '2025-11-20T10:20:30Z', '20251120102030' ],
		[ '2025-11-20T10:20:30.350Z', '20251120102030' ],
		[ '2025-11-20T10:20:30.350', '20251120102030' ],
		[ '2025-11-20T02:20:30+07:00', '20251119192030' ],
		[ '2025-11-20T20:20:30-07:00', '20251121032030' ])
	{
		my ($date, $digits) = @$_;
		$n++;
		is( push_bill(
				@ok,
				ref_id => "R$n",
				date => $date,
				digits => $digits,
				total_amount => 1)->{code},
			'SUCCESS',
			"date $date");
	}
	for my $amount (qw(1.10 10.5 1e1 0 0.0))
	{
		$n++;
		is(push_bill(@ok, ref_id => "R$n", total_amount => $amount)->{code},
			'SUCCESS', "amount $amount as it is sent");
		like(call('GET', "/instant_payment/get_single_bill/R$n")->{content},
			qr/"total_amount":\Q$amount\E,/, 'and comes back');
	}

	# what is wrong, in the order in which it is found
	my %worst = (
		hash => 'wrong',
		customer_sync_code => 'none',
		payment_to => 'none',
		payment_method_token => 'none',
		ref_id => 'R1',
		total_amount => 1000000);
	for (
		[ '318', 'Invalid hash token', 'hash' ],
		[ '311', 'Customer not found', 'customer_sync_code' ],
		[ '315', 'Invalid payment_to.Supplier not found.', 'payment_to' ],
		[ '314', 'Payment method token invalid', 'payment_method_token' ],
		[ '327', 'Bill already exist', 'ref_id' ],
		[
			'401',
			'Insufficient balance in the wallet to proceed with payment.',
			'total_amount'
		])
	{
		my ($code, $message, $field) = @$_;
		$answer = push_bill(customer_sync_code => 'P0000002', ref_id => 'U1',
			%worst);
		is_deeply([ @$answer{qw(code message)} ], [ $code, $message ],
			$message);
		is_deeply($answer->{data}, $refused, 'no bill, no payment');
		delete $worst{$field};
	}
	my $day = '20251120000000';
	my $due = 'MsgDueDateMustBeGreaterThanCurrentDate';
	for (
		[
			[ ref_id => undef ],
			'The RefId field is required., Please provide [ref_id].'
		],
		[ [ date => '', digits => '' ], 'The payload field is required.' ],
		[ [ due_date => undef ], "Please provide [due_date]., $due" ],
		[ [ due_date => '2025-11-20' ], $due ],
		[ [ due_date => '2025-11-21', ], $due ],
		[ [ date => '2099-01-01', due_date => '2098-01-01' ], $due ],
		[ [ currency => undef ], 'Please provide [currency].' ],
		[ [ hash => '' ], 'Please provide [hash].' ],
		[ [ payment_to => undef ], 'Please provide [payment_to].' ],
		[
			[ customer_sync_code => undef ],
			'Please provide [customer_sync_code].'
		],
		[ [ total_amount => undef ], 'Please provide [total_amount].' ],
		[ [ total_amount => '"100"' ], 'The payload field is required.' ],
		[
			[ details => [ { amount => 20 }, { amount => 30 } ] ],
			'The [total_amount] field must be equal to 50.'
		])
	{
		my ($change, $message) = @$_;
		$answer = push_bill(@ok, ref_id => 'V1', @$change);
		is($answer->{code}, 'ERR_MISSED_FIELD', 'complaint');
		is($answer->{message}, $message, $message);
	}
	is(effects('V1')->{charges}, 0, 'none of these had an effect');
	is( push_bill(
			@ok,
			ref_id => 'V1',
			details => [
				{
					item_mame => 'A001',
					description => 'd',
					quantity => 2,
					price => 50,
					amount => 100
				}
			])->{code},
		'SUCCESS',
		'the sum of the details');
	is(get('/instant_payment/get_single_bill/V1')
		  ->{data}{details}[0]{item_name}, 'A001', 'item_mame is item_name');

	my $methods = get('/instant_payment/P0000002/get_payment_methods');
	is( push_bill(
			customer_sync_code => 'P0000002',
			ref_id => 'T1',
			payment_method_token => $methods->{data}[0]{token})->{code},
		'SUCCESS',
		'by payment token');
	is(push_bill(@ok, ref_id => 'T2', currency => 'USD')->{code},
		'312', 'no wallet in that currency');
	is( post(
			'/instant_payment/get_wallet_histories',
			{ customer_sync_code => 'P0000002', tran_type => 'payment' })
		  ->{data}{histories}[0]{reference},
		'T1',
		'in the history');
};

subtest 'bills' => sub {
	my $answer = get('/instant_payment/get_single_bill/U1');
	is($answer->{code}, '000', 'a refused bill is found');
	is($answer->{data}{bill_status}, 'unpaid', 'unpaid');
	like($answer->{data}{payment}{checkout_link},
		qr{^https://.*\d+$}, 'with a link');
	ok(!defined $answer->{data}{payment}{payment_date}, 'no payment date');
	is($answer->{data}{payment}{payment_method}, '', 'nor method');

	$answer = get('/instant_payment/get_single_bill/R1');
	is($answer->{data}{bill_status}, 'paid', 'paid');
	is($answer->{data}{date}, '2025-11-20T00:00:00', 'at midnight');
	is_deeply(
		[ @{ $answer->{data}{payment} }
			  {qw(checkout_link checkout_ref payment_method)} ],
		[ '', '', 'wallet' ],
		'how it was paid');
	like($answer->{data}{payment}{payment_date},
		qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}$/, 'and when');

	$answer = get('/instant_payment/get_single_bill/none');
	is_deeply(
		$answer->{data},
		{
			ref_id => '',
			date => '0001-01-01T00:00:00',
			due_date => '0001-01-01T00:00:00',
			description => '',
			currency => '',
			total_amount => 0,
			customer_sync_code => '',
			bill_status => '',
			details => [],
			payment => {
				checkout_link => '',
				checkout_ref => '',
				payment_date => '0001-01-01T00:00:00',
				payment_method => ''
			}
		},
		'a bill of nothing');
	is_deeply([ @$answer{qw(code message)} ], [ '324', 'Bill not found.' ],
		'unknown bill');

	$answer = post('/transaction/instant_payment/detail',
		{ reference => 'R1' });
	is($answer->{message}, 'Transaction found', 'transaction');
	is($answer->{data}{total_amount}, 100, 'its amount');
	is($answer->{data}{status}, 'success', 'its status');
	is( post('/transaction/instant_payment/detail', { reference => 'U1' })
		  ->{code},
		'324',
		'an unpaid bill is none');
	is(post('/transaction/instant_payment/detail', {})->{message},
		'Please provide [reference].', 'missing field');

	my $list = get('/bill_payment/P0000002/get_bills');
	is_deeply(
		[ map { "$_->{ref_id} $_->{invoice_status}" } @{ $list->{data} } ],
		[ 'U1 unpaid', 'T1 success' ],
		'the older list is an array');

	reset_simulator();
	control('seed_bills',
		{ sync_code => 'A', count => 23, amount => '1.5', date => '2025-03-01' });
	control('seed_bills',
		{ sync_code => 'B', count => 5, currency => 'USD',
			date => '2025-03-02' });
	my $page = sub {
		my ($query) = @_;
		my $data = get("/instant_payment/get_bills?$query")->{data};
		return ($data->{pagination}, [ map { $_->{ref_id} } @{ $data->{bills} } ]);
	};
	my $range = 'from_date=2025-03-01&to_date=2025-03-31';
	my ($pagination, $bills) = $page->($range);
	is_deeply(
		$pagination,
		{ page_index => 1, page_size => 10, page_count => 3, row_count => 28 },
		'ten a page');
	is($bills->[0], 'A-B0000001', 'the oldest first');
	($pagination, $bills) = $page->("$range&page_index=3&page_size=10");
	is(scalar @$bills, 8, 'the last page');
	($pagination, $bills) = $page->("$range&page_index=&page_size=");
	is(scalar @$bills, 10, 'empty arguments');
	is(($page->("$range&page_size=100&Currency=USD"))[0]{row_count},
		5, 'by currency');
	is(($page->("$range&page_size=100&currency=USD"))[0]{row_count},
		5, 'in small letters');
	is(($page->("$range&customer_sync_code=A"))[0]{row_count}, 23, 'by customer');
	is(($page->('from_date=2025-03-01&to_date=2025-03-01'))[0]{row_count},
		23, 'the last day is included');
	is(($page->('from_date=2025-03-02&to_date=2025-03-02'))[0]{row_count},
		5, 'the first is, too');
	is(get('/instant_payment/get_bills')->{message},
		'Please provide [from_date]., Please provide [to_date].',
		'the range is required');

	config(page_quirk => 'repeat');
	($pagination, $bills) = $page->("$range&page_index=2");
	is($bills->[0], 'A-B0000001', 'repeat: page 1 again');
	config(page_quirk => 'wrong_index');
	($pagination, $bills) = $page->("$range&page_index=2");
	is($bills->[0], 'A-B0000011', 'wrong_index: the right bills');
	isnt($pagination->{page_index}, 2, 'under a wrong number');
	config(page_quirk => 'empty_promise');
	($pagination, $bills) = $page->("$range&page_index=4");
	is($pagination->{page_count}, 4, 'empty_promise: another page');
	is(scalar @$bills, 0, 'of nothing');
	config(page_quirk => 'endless');
	my %seen;
	for (1 .. 6)
	{
		($pagination, $bills) = $page->("$range&page_index=$_");
		$seen{$_}++ for @$bills;
		is($pagination->{page_count}, $_ + 1, 'endless: one more page');
	}
	is(scalar keys %seen, 60, 'of fresh bills');
	config(page_quirk => 'documented');
	($pagination, $bills) = $page->($range);
	is_deeply(
		$pagination,
		{ page_index => 1, page_size => 10, page_count => 1, row_count => 625 },
		'documented: as in the sample');
	reset_simulator();
};

subtest 'sub-billers' => sub {
	my %supplier = (
		supplier_sync_code => 'Cpo001',
		name => 'Station 1',
		return_url => 'https://example.com/',
		bank_id => 'AC');
	my $path = '/on_boarding/on_boarding_supplier';
	is(post($path, {})->{message},
		'Please provide [supplier_sync_code]., Please provide [name].',
		'missing fields');
	is(post($path, { %supplier, return_url => '' })->{message},
		'Please provide [return_url].', 'a bank needs a return_url');
	is(post($path, { %supplier, bank_id => 'XX' })->{code},
		'312', 'unknown bank');
	my $answer = post($path, \%supplier);
	is_deeply([ @$answer{qw(code message)} ], [ '000', 'success' ],
		'onboarded');
	like($answer->{data}{add_link_account}{web_url},
		qr{^https://}, 'the page of the bank');
	is(post($path, \%supplier)->{code}, '310', 'once');
	is(scalar @{ get('/on_boarding/get_available_bank')->{data} },
		3, 'available banks');

	$path = '/on_boarding/add_link_account';
	is(post($path, { %supplier, bank_id => 'ABA' })->{code}, '000', 'linked');
	is(post($path, { %supplier, bank_id => 'XX' })->{code},
		'312', 'unknown bank');
	is(post($path, { %supplier, supplier_sync_code => 'x' })->{code},
		'314', 'unknown supplier');
	like(post($path, {})->{message}, qr/\[bank_id\]/, 'missing field');

	$path = '/on_boarding/verify_linked_account';
	$answer = post($path, { supplier_sync_code => 'Cpo001' });
	is_deeply(
		[ map { $_->{bank_code} } @{ $answer->{data}{bank_account_linked} } ],
		[qw(AC ABA)],
		'both accounts');
	is_deeply([ sort keys %{ $answer->{data}{bank_account_linked}[0] } ],
		[qw(account_number bank_code bank_logo bank_name bank_name_kh
			  currency status)], 'fields');
	$answer = post($path, { supplier_sync_code => 'Cpo001', bank_id => 'ABA' });
	is(scalar @{ $answer->{data}{bank_account_linked} }, 1, 'one bank');
	is(post($path, { supplier_sync_code => 'x' })->{code},
		'314', 'unknown supplier');

	control('seed', { prefix => 'P', count => 1, balance => 1000 });
	is( push_bill(customer_sync_code => 'P0000001', payment_to => 'Cpo001')
		  ->{code},
		'SUCCESS',
		'it can be paid to');
	is(call('GET', '/customer/create')->{status}, 405, 'wrong method');
	is(call('GET', '/nowhere')->{status}, 404, 'unknown path');
	reset_simulator();
};

subtest 'PayCombat' => sub {
	my $directory = tempdir(CLEANUP => 1);
	my $before = $sim;
	$sim = start('--x-token', 'T', '--signature-key', 'K', '--journal', "$directory/journal");
	my $base = '/api/v1/customer';
	my $signed = sub {
		my ($method, $path, $body, $over) = @_;
		return call($method, "$base/$path", $body, 'X-token' => 'T',
			defined $over ? (signature => hmac_sha256_hex($over, 'K')) : ());
	};
	my $body = encode_utf8('{"type":"individual","description":"ក/x","organization_reference_id":"P1","metadata":{"n":10.0,"a":1}}');
	is(call('POST', "$base/create", $body)->{status}, 401, 'no token');
	is(call('POST', "$base/create", $body, 'X-token' => 'U', signature => hmac_sha256_hex($body, 'K'))->{status}, 401, 'a wrong token');
	is($signed->('POST', 'create', $body)->{status}, 401, 'no signature');
	is($signed->('POST', 'create', $body, "$body ")->{status}, 401, 'a wrong signature');
	is(effects('P1')->{created}, 0, 'nothing was done');
	my $answer = $signed->('POST', 'create', $body, $body);
	is($answer->{status}, 200, 'signed');
	ok($answer->{json}{status}, 'a success');
	my $id = $answer->{json}{data}{customer_id};
	like($id, qr/^customer_[0-9a-f]{32}$/, 'an id');
	is($answer->{json}{data}{description}, 'ក/x', 'as it was sent');
	config(paycombat_signature => 'reserialized');
	is($signed->('POST', 'create', $body, $body)->{status}, 401, 'the other reading');
	(my $again = $body) =~ s/10\.0/10/;
	is($signed->('POST', 'create', $body, $again)->{status}, 200, 'of what was read');
	is(effects('P1')->{created}, 2, 'a reference may be taken');
	config(paycombat_unique => JSON::PP::true, paycombat_signature => 'raw');
	is($signed->('POST', 'create', $body, $body)->{status}, 409, 'or not');
	is($signed->('POST', 'create', '{"type":"x"}', '{"type":"x"}')->{status}, 400, 'something is missing');
	is($signed->('GET', "customer/$id")->{json}{data}{customer_id}, $id, 'get');
	is($signed->('GET', 'customer/none')->{status}, 404, 'nobody');
	is($signed->('PATCH', "disable/$id")->{json}{data}{data}{is_active}, JSON::PP::false, 'disable, in two envelopes');
	config(paycombat_bodyless => 'empty', paycombat_envelope => 'single');
	is($signed->('PATCH', "disable/$id")->{status}, 401, 'to be signed');
	is($signed->('PATCH', "disable/$id", '', '')->{json}{data}{customer_id}, $id, 'signed, in one');
	my $change = qq({"customer_id":"$id","description":""});
	is($signed->('PATCH', 'update', $change, $change)->{json}{data}{description}, undef, 'an empty text clears');
	stop($sim);
	$sim = start('--x-token', 'T', '--signature-key', 'K', '--journal', "$directory/journal");
	$answer = $signed->('GET', "customer/$id")->{json}{data};
	is_deeply([ @$answer{qw(is_active description)}, $answer->{metadata}{a} ], [ JSON::PP::false, undef, 1 ], 'the journal has it all');
	is($signed->('DELETE', "customer/$id")->{json}{data}{data}{customer_id}, $id, 'delete');
	is($signed->('GET', "customer/$id")->{status}, 404, 'it is gone');
	is_deeply([ @{ effects('P1') }{qw(created updated deleted)} ], [ 2, 3, 1 ], 'all is counted');
	stop($sim);
	$sim = $before;
};

subtest 'control' => sub {
	my $start = get('/_sim/config');
	my $settings = {
		latency_ms => 1,
		jitter_ms => 2,
		token_lifetime_s => 60,
		clock_skew_s => -5,
		wallet_lag_ms => 3,
		balance_lag_ms => 4,
		authorize_fail_status => 403,
		seed => 7,
		keepalive_timeout_s => 9,
		page_quirk => 'endless',
		close_after => 'silent',
		paycombat_envelope => 'double',
		paycombat_signature => 'reserialized',
		paycombat_bodyless => 'object',
		paycombat_unique => JSON::PP::true,
		record => JSON::PP::true
	};
	is_deeply(control('config', $settings), $settings, 'every setting');
	is_deeply(get('/_sim/config'), $settings, 'can be read');
	for my $wrong (
		{ latency_ms => -1 },
		{ nonsense => 1 },
		{ page_quirk => 'x' },
		{ paycombat_envelope => 'x' },
		{ record => 1 })
	{
		my $response = call('POST', '/_sim/config', $wrong);
		is($response->{status}, 400, 'a wrong setting');
		ok($response->{json}{error} && !exists $response->{json}{code},
			'is an error without a code');
	}
	reset_simulator();
	is_deeply(get('/_sim/config'), $start, 'reset returns to the start');
	is(call('POST', '/customer/create', {})->{status},
		200, 'reset keeps the tokens');

	control('seed', { prefix => 'S', count => 3, wallets => 2, balance => 7 });
	control('seed', { prefix => 'S', count => 3, from => 3 });
	is_deeply(
		[ map { $_->{sync_code} } @{ get('/_sim/customers') } ],
		[ map { "S000000$_" } 1 .. 5 ],
		'seeded, sorted, none twice');
	is_deeply(
		[ map { $_->{sync_code} }
			  @{ get('/_sim/customers?after=S0000002&limit=2') } ],
		[qw(S0000003 S0000004)],
		'in pages');
	is_deeply([ map { $_->{currency} } @{ get('/_sim/customers')->[0]{wallets} } ],
		[qw(KHR USD)], 'two wallets');

	is(control('topup_many',
			{ prefix => 'S', count => 4, step => 2, amount => '0.5' })->{topped_up},
		3, 'three of them got money, the fourth is not there');
	is_deeply([ map { $_->{wallets}[0]{balance} } @{ get('/_sim/customers') } ],
		[ 7.5, 7, 7.5, 0, 0.5 ], 'each second one');
	is(call('POST', '/_sim/topup_many', { count => 1, step => 0 })->{status},
		400, 'no step');
	control('topup_many', { prefix => 'S', count => 4, step => 2, amount => '-0.5' });

	control('set_customer', { sync_code => 'S0000001', name => 'Other' });
	is(post('/customer/get_customer_detail', { sync_code => 'S0000001' })
		  ->{data}{name}, 'Other', 'changed behind the back');
	control('remove_customer', { sync_code => 'S0000001' });
	is(post('/customer/get_customer_detail', { sync_code => 'S0000001' })
		  ->{code}, '311', 'removed with its money');
	is(call('POST', '/_sim/topup', { sync_code => 'S0000001', amount => 1 })
		  ->{status}, 404, 'nobody to give to');
	is_deeply(
		stats()->{effects},
		{
			customers_created => 0,
			customers_updated => 0,
			customers_deleted => 0,
			charges => 0
		},
		'none of that is an effect');

	my $begin = time;
	post('/customer/create', { sync_code => 'E1', name => 'one' });
	post('/customer/update', { sync_code => 'E1', name => 'two', phone => '1' });
	post('/customer/delete', { sync_code => 'E1' });
	my $effects = get('/_sim/effects');
	my @at = map { delete($_->{at}) / 1e6 } @$effects;
	is_deeply(
		$effects,
		[
			{ n => 1, effect => 'create', key => 'E1', name => 'one', phone => undef },
			{ n => 2, effect => 'update', key => 'E1', name => 'two', phone => '1' },
			{ n => 3, effect => 'delete', key => 'E1', name => 'two', phone => '1' }
		],
		'effects in order');
	ok($begin <= $at[0] && $at[0] <= $at[1] && $at[1] <= $at[2] && $at[2] <= time,
		'with the time of each');
	is_deeply([ map { $_->{n} } @{ get('/_sim/effects?from=2&limit=1') } ],
		[2], 'in pages');

	my $stats = stats();
	is($stats->{requests}, 6, 'requests');
	is($stats->{by_path}{'/customer/create'}, 2, 'by path');
	is($stats->{in_flight}, 0, 'none in flight');
	get('/instant_payment/x%2Fy/get_payment_methods');
	is( stats()->{by_path}
		  {'/instant_payment/{customer_sync_code}/get_payment_methods'},
		1,
		'by the pattern of the path');

	config(record => JSON::PP::true);
	call(
		'POST', '/customer/create?x=1',
		encode_utf8('{"sync_code":"ក","name":""}'),
		'X-Test' => 'yes');
	my $record = get('/_sim/requests?n=1')->[0];
	is($record->{method} . ' ' . $record->{url},
		'POST /customer/create?x=1', 'recorded request');
	is($record->{version}, 'HTTP/1.1', 'version');
	is($record->{body}, '{"sync_code":"ក","name":""}', 'body');
	is($record->{headers}{'x-test'} // $record->{headers}{'X-Test'},
		'yes', 'headers');
	like($record->{connection}, qr/^\d+$/, 'connection');
	call('POST', '/customer/create', "\xff\x00");
	is(decode_base64(get('/_sim/requests?n=1')->[0]{body_base64}),
		"\xff\x00", 'bytes that are no text');
	call('POST', '/customer/create', '{}') for 1 .. 300;
	is(scalar @{ get('/_sim/requests') }, 256, 'the last 256');

	config(clock_skew_s => 86400);
	my $response = call('POST', '/merchantsecurity/authorize', {%merchant});
	my $tomorrow = strftime('%d %b %Y', gmtime(time + 86400));
	like($response->{headers}{date}, qr/$tomorrow/, 'skewed Date');
	$tomorrow = strftime('%Y-%m-%dT', gmtime(time + 86400 + 13 * 3600));
	like($response->{json}{data}{tokenExpireTime}, qr/^$tomorrow/,
		'and time of expiry');
	reset_simulator();
};

subtest 'connections' => sub {
	my $before = stats();
	is($before->{open_connections}, 1, 'control uses one of the API here');
	my $socket = connection();
	ok(eventually { stats()->{open_connections} == 2 }, 'one is opened');
	for (1 .. 3)
	{
		syswrite $socket,
		  "POST /customer/create HTTP/1.1\r\nHost: x\r\n"
		  . "Content-Length: 0\r\n\r\n";
		read_more($socket, 65536, 'an answer', my $answer = '');
		like($answer, qr/^HTTP\/1\.1 401 /, 'used again');
	}
	is(stats()->{connections}, $before->{connections} + 1, 'counted once');
	close $socket;
	ok(eventually { stats()->{open_connections} == 1 }, 'and closed');

	$socket = open_request('/_sim/stats', '', 'GET');
	like(read_all($socket), qr/"requests":/, 'another one');
	is(stats()->{open_connections}, 1, 'one for control does not count');

	for my $how (JSON::PP::true, 'silent')
	{
		config(close_after => $how);
		$socket = connection();
		syswrite $socket,
		  "POST /customer/create HTTP/1.1\r\nHost: x\r\n"
		  . "Content-Length: 0\r\n\r\n";
		my $answer = read_all($socket);
		like($answer, qr/^HTTP\/1\.1 401 /, "answered and closed ($how)");
		if (ref $how)
		{
			like($answer, qr/Connection: close/i, 'announced');
		}
		else
		{
			unlike($answer, qr/Connection: close/i, 'not announced');
		}
	}
	config(close_after => JSON::PP::false, keepalive_timeout_s => 1);
	$socket = connection();
	syswrite $socket,
	  "POST /customer/create HTTP/1.1\r\nHost: x\r\n"
	  . "Content-Length: 0\r\n\r\n";
	my $began = time;
	like(read_all($socket), qr/^HTTP\/1\.1 401 /, 'idle ones are closed');
	cmp_ok(time - $began, '<', 5, 'after a second or so');
	reset_simulator();
};

subtest 'faults' => sub {
	my $path = '/customer/create';
	my $n = 0;
	# a request with an effect of its own; returns its key and the socket
	my $create = sub {
		my $key = 'F' . ++$n;
		return ($key,
			open_request($path, { sync_code => $key, name => 'x' }));
	};
	my $created = sub { return effects($_[0])->{created}; };

	my $began = time;
	fault(kind => 'delay', path => $path, ms => 200);
	my ($key, $socket) = $create->();
	ok(eventually { $created->($key) }, 'delay: the effect is at once');
	ok(!IO::Select->new($socket)->can_read(0.02), 'the answer is not');
	like(read_all($socket), qr/SUCCESS/, 'but comes');
	cmp_ok(time - $began, '>=', 0.2 - $tick, 'late');

	fault(kind => 'hang', path => $path);
	($key, $socket) = $create->();
	ok(eventually { $created->($key) }, 'hang: an effect');
	ok(!IO::Select->new($socket)->can_read(0.05), 'no answer');
	is(stats()->{in_flight}, 1, 'in flight');
	close $socket;
	ok(eventually { stats()->{in_flight} == 0 },
		'until the client gives up');
	fault(kind => 'hang', path => $path, effect => JSON::PP::false);
	($key, $socket) = $create->();
	ok(eventually { stats()->{in_flight} == 1 }, 'hang');
	is($created->($key), 0, 'without effect');
	control('clear_faults');
	is(read_all($socket), '', 'let go');

	fault(
		kind => 'status',
		path => $path,
		status => 429,
		retry_after => 3,
		body => 'slow down',
		headers => { 'X-Reason' => 'test' });
	($key, $socket) = $create->();
	my $answer = read_all($socket);
	like($answer, qr/^HTTP\/1\.1 429 .*\r\nRetry-After: 3\r\n/s, 'status');
	like($answer, qr/\r\nX-Reason: test\r\n/, 'headers');
	like($answer, qr/\r\n\r\nslow down$/, 'body');
	is($created->($key), 0, 'no effect');
	fault(
		kind => 'status',
		path => $path,
		status => 502,
		effect => JSON::PP::true);
	($key, $socket) = $create->();
	like(read_all($socket), qr/^HTTP\/1\.1 502 /, 'status');
	is($created->($key), 1, 'with effect');

	for my $kind (qw(drop_before drop_after reset_after))
	{
		fault(kind => $kind, path => $path);
		($key, $socket) = $create->();
		my ($text, $error) = read_all($socket);
		is($text, '', "$kind: no answer");
		is($created->($key), $kind eq 'drop_before' ? 0 : 1, 'effect');
		like($error, $kind eq 'reset_after' ? qr/reset/i : qr/^$/, 'error');
	}

	fault(kind => 'half_body', path => $path);
	($key, $socket) = $create->();
	my ($header, $body) = header_and_body(read_all($socket));
	my ($length) = $header =~ /Content-Length: (\d+)/;
	is(length $body, int($length / 2), 'half_body: half of what it says');
	is($created->($key), 1, 'effect');

	fault(
		kind => 'body',
		path => $path,
		body => '<html>oops</html>',
		content_type => 'text/html',
		status => 203);
	($key, $socket) = $create->();
	$answer = read_all($socket);
	like($answer,
		qr/^HTTP\/1\.1 203 .*Content-Type: text\/html.*<html>oops<\/html>$/s,
		'body');
	is($created->($key), 1, 'effect');
	my $bytes = "\x00\xff\xfe{\"code\":\x00}";
	fault(kind => 'body', path => $path,
		body_base64 => encode_base64($bytes, ''));
	($key, $socket) = $create->();
	is((header_and_body(read_all($socket)))[1], $bytes, 'any bytes');

	my @garbage;
	for (1 .. 2)
	{
		config(seed => 42);
		fault(kind => 'garbage', path => $path, bytes => 1000);
		($key, $socket) = $create->();
		push @garbage, (header_and_body(read_all($socket)))[1];
	}
	is(length $garbage[0], 1000, 'garbage');
	ok($garbage[0] eq $garbage[1], 'the same with the same seed');

	fault(kind => 'huge', path => $path, bytes => 20_000_000);
	($key, $socket) = $create->();
	($header, $body) = header_and_body(read_all($socket));
	($length) = $header =~ /Content-Length: (\d+)/;
	is(length $body, $length, 'huge: all of it');
	like(substr($body, 0, 60), qr/^\{"code":"000",.*"data":"aaa/, 'begins');
	is(substr($body, -4), 'aa"}', 'and ends as JSON');
	fault(kind => 'huge', path => $path, bytes => 50_000_000,
		gzip => JSON::PP::true);
	($key, $socket) = $create->();
	($header, $body) = header_and_body(read_all($socket));
	like($header, qr/Content-Encoding: gzip/, 'huge, gzip');
	cmp_ok(length $body, '<', 500_000, 'small on the wire');
  SKIP:
	{
		skip 'no IO::Uncompress::Gunzip', 1
		  unless eval { require IO::Uncompress::Gunzip; 1 };
		my $packed =
		  $header =~ /Transfer-Encoding: chunked/i ? dechunk($body) : $body;
		my $plain;
		IO::Uncompress::Gunzip::gunzip(\$packed => \$plain);
		is(length($plain // '') > 50_000_000 && substr($plain, -2),
			'"}', 'large behind it');
	}

	fault(kind => 'endless', path => $path);
	($key, $socket) = $create->();
	cmp_ok(length(read_all($socket, 30_000_000)), '>', 30_000_000, 'endless');
	ok(eventually { stats()->{in_flight} == 0 }, 'until the client goes');

	fault(kind => 'slow_body', path => $path, ms => 2);
	($key, $socket) = $create->();
	$began = time;
	($header, $body) = header_and_body(read_all($socket));
	is($json->decode($body)->{code}, 'SUCCESS', 'slow_body: complete');
	cmp_ok(time - $began, '>=', 0.002 * (length($body) - 20) - $tick, 'slowly');
	fault(kind => 'slow_body', path => $path, ms => 60000);
	($key, $socket) = $create->();
	ok(IO::Select->new($socket)->can_read(5), 'slow_body: it begins');
	close $socket;
	ok(eventually { stats()->{in_flight} == 0 }, 'the client may go');

	fault(kind => 'gzip', path => $path);
	($key, $socket) = $create->();
	($header, $body) = header_and_body(read_all($socket));
	like($header, qr/Content-Encoding: gzip/, 'gzip');
  SKIP:
	{
		skip 'no IO::Uncompress::Gunzip', 1
		  unless eval { require IO::Uncompress::Gunzip; 1 };
		my $plain;
		IO::Uncompress::Gunzip::gunzip(\$body => \$plain);
		like($plain, qr/"SUCCESS"/, 'the answer');
	}

	control('seed', { count => 1, balance => 5 });
	fault(
		kind => 'patch',
		path => '/instant_payment/get_wallet_balance',
		set => {
			'data.0.name' => [1],
			'extra' => { a => 1 },
			'data.1' => 'new',
			'nowhere.at.all' => 1
		},
		raw => { 'data.0.balance' => '1e400000' },
		remove => [ 'message_kh', 'data.0.currency' ]);
	$answer = call('POST', '/instant_payment/get_wallet_balance',
		{ customer_sync_code => 'C0000001' })->{content};
	like(
		$answer,
		qr/^\{"code":"000","message":"Success","data":\[\{"id":"[^"]*","name":\[1\],"balance":1e400000\},"new"\],"extra":\{"a":1\}\}$/,
		'patch');

	fault(kind => 'unauthorized', path => $path);
	($key, $socket) = $create->();
	like(read_all($socket), qr/^HTTP\/1\.1 401 .*\r\n\r\n$/s, 'unauthorized');
	is($created->($key), 0, 'no effect');

	# which requests are hit
	my $hit = sub {
		return call('POST', $_[0], $_[1] // {})->{status} == 599 ? 1 : 0;
	};
	fault(kind => 'drop_before', path => '*', skip => 1, count => 2);
	is(join('', map { $hit->('/customer/update') } 1 .. 4),
		'0110', 'skip and count');
	fault(kind => 'drop_before', path => '*', match => 'needle', count => -1);
	is(join('', map { $hit->('/customer/update', { name => $_ }) }
			qw(hay needle hay a_needle)), '0101', 'match in the body');
	ok($hit->('/customer/update?needle'), 'or in the URL');
	is(get('/_sim/fault')->[-1]{hits}, 3, 'hits are counted');
	call('DELETE', '/_sim/fault');
	is_deeply(get('/_sim/fault'), [], 'cleared');
	ok(!$hit->('/customer/update', { name => 'needle' }), 'and gone');
	fault(
		kind => 'drop_before',
		path => '/instant_payment/get_single_bill/{ref_id}');
	is(call('GET', '/instant_payment/get_single_bill/1',
			undef, Connection => 'close')->{status}, 599, 'path as a pattern');
	fault(kind => 'unauthorized', path => '/instant_payment/get_single_bill/2');
	is(call('GET', '/instant_payment/get_single_bill/1')->{status},
		200, 'a literal path');
	is(call('GET', '/instant_payment/get_single_bill/2')->{status},
		401, 'hits only itself');
	my @chances;
	for (1 .. 2)
	{
		control('clear_faults');
		config(seed => 5);
		fault(kind => 'unauthorized', count => -1, probability => 0.5);
		push @chances, join '',
		  map { call('POST', '/customer/update', {})->{status} == 401 ? 1 : 0 }
		  1 .. 100;
	}
	is($chances[0], $chances[1], 'chance is repeatable');
	my $hits = ($chances[0] =~ tr/1//);
	ok($hits > 25 && $hits < 75, "and about fair ($hits of 100)");
	is(call('GET', '/_sim/stats')->{status}, 200, 'control is never hit');
	is(call('POST', '/_sim/fault', { kind => 'x' })->{status},
		400, 'an unknown kind');

	control('clear_faults');
	fault(kind => 'delay', path => '*', ms => 50);
	fault(kind => 'delay', path => '*', ms => 50);
	fault(kind => 'status', path => '*', status => 503);
	$began = time;
	is(call('POST', '/customer/update', {})->{status}, 503, 'delays combine');
	cmp_ok(time - $began, '>=', 0.1 - $tick, 'with each other and another fault');
	config(latency_ms => 40, jitter_ms => 20);
	$began = time;
	call('POST', '/customer/update', {});
	my $took = time - $began;
	cmp_ok($took, '>=', 0.04 - $tick, 'latency');
	reset_simulator();
};

# The content of a chunked body.
sub dechunk
{
	my ($text) = @_;
	my $plain = '';
	my $at = 0;
	while (substr($text, $at, 20) =~ /^([0-9a-fA-F]+)\r\n/)
	{
		my $size = hex $1;
		last unless $size;
		$plain .= substr $text, $at + length($1) + 2, $size;
		$at += length($1) + 2 + $size + 2;
	}
	return $plain;
}

subtest 'a thousand at once' => sub {
	my $count = 1000;
	control('seed', { count => $count, balance => 3 });
	# late enough that all are sent before the first is answered
	config(latency_ms => 4000);
	my $select = IO::Select->new;
	my $began = time;
	for my $i (1 .. $count)
	{
		$select->add(open_request(
				'/instant_payment/get_wallet_balance',
				{ customer_sync_code => sprintf('C%07d', $i) }));
	}
	cmp_ok(time - $began, '<', 3.9, 'all are sent');
	my $good = 0;
	while ($select->count)
	{
		my @ready = $select->can_read($patience) or last;
		for my $socket (@ready)
		{
			$select->remove($socket);
			$good++ if read_all($socket) =~ /"balance":3,/;
		}
	}
	is($good, $count, 'all are answered');
	my $took = time - $began;
	cmp_ok($took, '<', 20, sprintf 'together, in %.2f s', $took);
	is(stats()->{max_in_flight}, $count, 'all were in flight');
	is(stats()->{in_flight}, 0, 'and none is now');
	reset_simulator();
};

subtest 'ending' => sub {
	fault(kind => 'hang', path => '*');
	my $socket = open_request('/customer/create', {});
	ok(eventually { stats()->{in_flight} == 1 }, 'one request hangs');
	is(stop($sim), 0, 'a clean end none the less');
	is(read_all($socket), '', 'which lets it go');

	$sim = start();
	is(stop($sim, 'INT'), 0, 'by SIGINT as well');

	# a parent that dies takes its simulator along
	pipe(my $reader, my $writer) or die "pipe: $!";
	my $parent = fork() // die "fork: $!";
	if ($parent == 0)
	{
		%running = ();
		syswrite $writer, start()->{port};
		POSIX::_exit(0);
	}
	close $writer;
	awaited($reader, 'the port of another simulator');
	my $port = <$reader>;
	waitpid $parent, 0;
	ok( eventually {
			!IO::Socket::INET->new(
				PeerAddr => '127.0.0.1',
				PeerPort => $port)
		},
		'or with the parent');
};

subtest 'journal' => sub {
	my $directory = tempdir(CLEANUP => 1);
	my @arguments = ('--journal', "$directory/journal");
	$sim = start(@arguments);
	authorize();
	control('seed', { count => 100, balance => '10.25' });
	control('seed_bills', { sync_code => 'C0000001', count => 5 });
	post(
		'/customer/create',
		{
			sync_code => 'J1',
			name => "a\nb\"ក",
			wallet => [ { name => 'w', currency => 'USD' } ]
		});
	post('/customer/create', { sync_code => 'J2', name => 'x' });
	post('/customer/update', { sync_code => 'J1', phone => '012' });
	post('/customer/delete', { sync_code => 'J2' });
	control('topup', { sync_code => 'J1', amount => '99.99' });
	control('topup_many', { count => 50, step => 2, amount => '1.5' });
	control('set_customer', { sync_code => 'C0000002', name => 'Other' });
	control('remove_customer', { sync_code => 'C0000003' });
	push_bill(
		customer_sync_code => 'J1',
		currency => 'USD',
		total_amount => '9.990');
	push_bill(
		customer_sync_code => 'J1',
		currency => 'USD',
		ref_id => 'R2',
		total_amount => '1000');
	post('/on_boarding/on_boarding_supplier',
		{ supplier_sync_code => 'S', name => 'S', bank_id => 'AC',
			return_url => 'x' });

	my $view = sub {
		return [
			get('/_sim/customers'),
			get('/_sim/effects'),
			effects('R1'),
			stats()->{effects},
			get('/instant_payment/get_single_bill/R1'),
			get('/instant_payment/get_single_bill/R2'),
			get('/instant_payment/J1/get_payment_methods'),
			get('/instant_payment/get_bills?from_date=2020-01-01'
				  . '&to_date=2099-01-01&page_size=100'),
			post('/instant_payment/get_wallet_histories',
				{ customer_sync_code => 'J1' }),
			post('/on_boarding/verify_linked_account',
				{ supplier_sync_code => 'S' })
		];
	};
	my $before = $view->();
	is($before->[4]{data}{bill_status}, 'paid', 'something to keep');
	stop($sim, 'KILL');
	open my $file, '>>', "$directory/journal" or die;
	print {$file} '{"event":"customer_delete","sync';
	close $file;
	$sim = start(@arguments);
	is_deeply($view->(), $before,
		'the same state after kill -9, with the same token');
	is(push_bill(customer_sync_code => 'J1', currency => 'USD',
			total_amount => '9.990')->{code}, '327', 'and the same memory');
	post('/customer/create', { sync_code => 'J3', name => 'x' });
	stop($sim, 'KILL');
	$sim = start(@arguments);
	is(effects('J3')->{created}, 1, 'and goes on');
	reset_simulator();
	stop($sim, 'KILL');
	$sim = start(@arguments);
	is_deeply(get('/_sim/customers'), [], 'a reset empties it');
	is(post('/customer/create', { sync_code => 'J3', name => 'x' })->{code},
		'SUCCESS', 'but for the token');
	is(stop($sim), 0, 'ended');
};

subtest 'command line' => sub {
	$sim = start(
		qw(--merchant-token M --client-id I --secret S --hash-token H),
		qw(--latency 30 --seed 9));
	%merchant = (token => 'M', clientId => 'I', secret => 'S');
	my $began = time;
	is(authorize()->{code}, 200, 'credentials');
	cmp_ok(time - $began, '>=', 0.03 - $tick, 'latency');
	is(get('/_sim/config')->{seed}, 9, 'seed');
	config(latency_ms => 0);
	reset_simulator();
	is(get('/_sim/config')->{latency_ms}, 30, 'reset returns to these');
	$hash_token = 'H';
	control('seed', { count => 1, balance => 1000 });
	is(push_bill(customer_sync_code => 'C0000001')->{code},
		'SUCCESS', 'hash token');
	my $port = $sim->{port};
	stop($sim);
	$sim = start('--port', $port);
	is($sim->{port}, $port, 'port');
	stop($sim);
	is(system("$program --nonsense 2>/dev/null") >> 8, 2, 'a wrong option');
};

subtest 'TLS' => sub {
	my $directory = tempdir(CLEANUP => 1);
	plan skip_all => 'no openssl command'
	  if system("openssl req -x509 -newkey ec -pkeyopt "
		  . "ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost "
		  . "-addext subjectAltName=IP:127.0.0.1 -keyout $directory/key.pem "
		  . "-out $directory/cert.pem >/dev/null 2>&1") != 0;
	$sim = start('--tls-cert', "$directory/cert.pem",
		'--tls-key', "$directory/key.pem");
	my $answer =
	  `printf 'GET /_sim/stats HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n' | openssl s_client -quiet -verify_return_error -CAfile $directory/cert.pem -connect 127.0.0.1:$sim->{port} 2>/dev/null`;
	like($answer, qr/^HTTP\/1\.1 200 .*"requests":0/s, 'speaks TLS');
	is(stop($sim), 0, 'ended');
};

done_testing();
