
# Only the configured server is spoken with, over a connection that is verified:
# whatever else answers gets nothing, and bill24_check() tells which step it was.

use strict;
use warnings;

use Bill24Session;
use Bill24Test;
use IO::Socket::INET;
use IPC::Open2;
use JSON::PP;
use Test::More;

my $dir = Bill24Session::scratch();
my %file = make_certificates("$dir/certificates");
my @children;
my $plain = start_simulator();

# Run a server of somebody else's, and wait until it listens.
sub spawn
{
	my ($port, @command) = @_;
	my $pid = fork() // die "could not fork: $!";

	if ($pid == 0)
	{
		open(STDIN, '<', '/dev/null');
		open(STDOUT, '>', "$dir/output");
		open(STDERR, '>&', \*STDOUT);
		exec(@command) or POSIX::_exit(127);
	}
	push @children, $pid;
	wait_until("$command[0] listens", sub {
		IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port);
	});
	return;
}

END
{
	my $status = $?;
	foreach my $pid (@children)
	{
		kill('KILL', $pid);
		waitpid($pid, 0);
	}
	$? = $status;
}

sub tls_simulator
{
	my ($name) = @_;
	my $sim = start_simulator('--tls-cert', $file{$name},
		'--tls-key', $file{"${name}_key"});

	control($sim, 'POST', '/_sim/seed', { count => 100, prefix => 'C', balance => 5 });
	return $sim;
}

# What a simulator answers at its control interface, whatever its certificate.
# Perl's own client would need one more module for that.
sub control
{
	my ($sim, $method, $path, $data) = @_;
	my $body = $data ? encode_json($data) : '';
	my $pid = open2(my $out, my $in, 'sh', '-c', 'exec openssl "$@" 2>&1', 'sh',
		's_client', '-quiet', '-connect', '127.0.0.1:' . $sim->port);

	print $in "$method $path HTTP/1.0\r\nContent-Type: application/json\r\n"
	  . 'Content-Length: ' . length($body) . "\r\n\r\n$body";
	close($in);
	my $answer = join('', <$out>);
	waitpid($pid, 0);
	$answer =~ /^HTTP\S+ 200 .*?\r\n\r\n(.*)\z/ms
	  or die "$method $path: $answer";
	return decode_json($1);
}

# How many requests a simulator has seen.
sub asked
{
	my ($sim) = @_;

	return ($sim == $plain ? $sim->get('/_sim/stats') : control($sim, 'GET', '/_sim/stats'))
	  ->{requests};
}

# One that signed itself.
$file{self} = "$dir/self.pem";
$file{self_key} = "$dir/self.key";
Bill24Test::openssl('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '30',
	'-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName = IP:127.0.0.1',
	'-keyout', $file{self_key}, '-out', $file{self});

my %sim = map { $_ => tls_simulator($_) } 'good', 'wrong_name', 'expired', 'self';
$plain->post('/_sim/seed', { count => 100, prefix => 'C', balance => 5 });

# Proxies are for browsers: anything that came to this one would be seen.
my $proxy = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 100);
my $node = new_node('main', start => 0);
{
	local %ENV = %ENV;
	my $url = 'http://127.0.0.1:' . $proxy->sockport;

	$ENV{$_} = $url foreach qw(http_proxy https_proxy HTTPS_PROXY all_proxy ALL_PROXY);
	delete @ENV{ 'no_proxy', 'NO_PROXY' };
	$node->start;
}
my $session = Bill24Session->new($node);
$session->ok('CREATE EXTENSION bill24');

sub account
{
	my ($server, %options) = @_;
	my $of = delete $options{sim};

	setup_account($node, $of, server => $server, options => \%options);
	return;
}

sub call
{
	my ($server) = @_;

	return $session->query(
		"SELECT balance FROM bill24_get_wallet_balance('C0000001', '$server')");
}

# The steps of bill24_check(): which are ok, and what the first other one says.
sub check
{
	my ($server) = @_;
	my %step = (good => '', failed => '', detail => '', hint => '');

	foreach my $line (split(/\n/, $session->ok("SELECT step, ok, coalesce(detail, ''),"
			  . " coalesce(hint, '') FROM bill24_check('$server')")))
	{
		my ($name, $ok, $detail, $hint) = split(/\|/, $line, 4);

		if ($ok eq 't') { $step{good} .= "$name "; }
		else { @step{ 'failed', 'detail', 'hint' } = ($name, $detail, $hint); }
	}
	return \%step;
}

account('good', sim => $sim{good}, ca_file => $file{ca});
account('by_name', sim => $sim{good}, ca_file => $file{ca},
	base_url => 'https://localhost:' . $sim{good}->port);
is(call('good')->{rows}, '5', 'a server that can be verified');
is(call('by_name')->{rows}, '5', 'and by its name');
my $steps = check('good');
is($steps->{good}, 'configuration dns connection tls authorization clock ',
	'bill24_check(): all is well');
is($steps->{failed}, '', 'and nothing is not');

# Not one of these is asked for anything.  Each names a step that fails, and
# what is said of it.
my $dead = Bill24Session::free_port();
my @impostors = (
	[ 'an unknown authority', $sim{good}, { ca_file => $file{other_ca} }, 'tls', qr/certificate/i ],
	[ 'an authority that the system does not know', $sim{good}, {}, 'tls', qr/certificate/i ],
	[ 'another name', $sim{wrong_name}, { ca_file => $file{ca} }, 'tls', qr/name|subject|certificate/i ],
	[ 'an expired certificate', $sim{expired}, { ca_file => $file{ca} }, 'tls', qr/expired/i ],
	[ 'a certificate that signed itself', $sim{self}, { ca_file => $file{ca} }, 'tls', qr/self.signed/i ],
	[ 'no TLS', $plain, { base_url => 'https://127.0.0.1:' . $plain->port, ca_file => $file{ca} }, 'tls', qr/SSL|TLS/ ],
	[ 'a missing ca_file', $sim{good}, { ca_file => "$dir/none.pem" }, 'tls', qr/none\.pem|certificate/ ],
	[ 'nobody there', undef, { base_url => "https://127.0.0.1:$dead" }, 'connection', qr/connect/i ],
	[ 'a name that cannot be', undef, { base_url => 'https://' . 'x' x 70 . '.test' }, 'dns', qr/resolve/i ]);
my $number = 0;
foreach my $case (@impostors)
{
	my ($what, $of, $options, $step, $text) = @$case;
	my $server = 'impostor' . ++$number;

	account($server, sim => $of // $plain, allow_http => undef, %$options);
	my $before = defined $of ? asked($of) : 0;
	my $result = call($server);
	is($result->{sqlstate}, '08001', "$what: SQLSTATE") or diag($result->{rows});
	like($result->{error}, $text, "$what: the reason");
	like($result->{error}, qr/^HINT:.*bill24_check\(\)/m, "$what: the next step");
	my $steps = check($server);
	is($steps->{failed}, $step, "$what: bill24_check() tells the step")
	  or diag($steps->{good});
	like($steps->{detail}, $text, "$what: and the reason");
	isnt($steps->{hint}, '', "$what: and what to do");
	is(asked($of), $before, "$what: nothing was sent") if defined $of;
}

# Versions of TLS that are no protection any more.
SKIP:
{
	my $port = Bill24Session::free_port();
	my @old = ('-tls1_1', '-cipher', 'ALL:@SECLEVEL=0');

	spawn($port, 'openssl', 's_server', '-accept', "127.0.0.1:$port", '-quiet', '-www',
		'-cert', $file{good}, '-key', $file{good_key}, @old);
	my $protocol = `openssl s_client -connect 127.0.0.1:$port @old </dev/null 2>&1`;
	skip('this openssl has no TLS 1.1', 3)
	  unless $protocol =~ /^\s*Protocol\s*:\s*TLSv1\.1$/m;
	account('old', sim => $plain, allow_http => undef, ca_file => $file{ca},
		base_url => "https://127.0.0.1:$port");
	my $result = call('old');
	is($result->{sqlstate}, '08001', 'only TLS 1.1: SQLSTATE');
	like($result->{error}, qr/version|protocol/i, 'the reason');
	is(check('old')->{failed}, 'tls', 'and bill24_check() tells');
}

# The other steps of bill24_check().
setup_account($node, $sim{good}, server => 'stranger', options => { ca_file => $file{ca} },
	mapping => { secret => 'guess' });
is(check('stranger')->{failed}, 'authorization', 'wrong credentials are told');
control($sim{good}, 'POST', '/_sim/config', { clock_skew_s => 3600 });
is(check('good')->{failed}, 'clock', 'and a clock that is off');
control($sim{good}, 'POST', '/_sim/config', { clock_skew_s => 0 });
$session->ok('CREATE ROLE nobody; GRANT USAGE ON FOREIGN SERVER good TO nobody; SET ROLE nobody');
is(check('good')->{failed}, 'configuration', 'and a missing user mapping');
$session->ok('RESET ROLE');

# Without TLS only who says so, and only a superuser can.
my $url = $plain->url;
is($session->query("CREATE SERVER h FOREIGN DATA WRAPPER bill24 OPTIONS (base_url '$url')")->{sqlstate},
	'22023', 'http is refused');
is($session->query("ALTER SERVER good OPTIONS (SET base_url '$url')")->{sqlstate},
	'22023', 'also later');
account('plain', sim => $plain);
is(call('plain')->{rows}, '5', 'unless allow_http is set');
is($session->query('ALTER SERVER plain OPTIONS (DROP allow_http)')->{sqlstate},
	'22023', 'which cannot be taken back alone');
$session->ok('GRANT USAGE ON FOREIGN DATA WRAPPER bill24 TO nobody; SET ROLE nobody');
is($session->query("CREATE SERVER h FOREIGN DATA WRAPPER bill24 "
	  . "OPTIONS (base_url '$url', allow_http 'true')")->{sqlstate},
	'42501', 'allow_http is for superusers');
$session->ok('RESET ROLE');

# An answer that sends elsewhere is not obeyed.
my $elsewhere = start_simulator();
$elsewhere->post('/_sim/seed', { count => 1, prefix => 'C', balance => 999 });
foreach my $status (301, 302, 307, 308)
{
	$plain->post('/_sim/fault',
		{ kind => 'status', status => $status,
			path => '/instant_payment/get_wallet_balance',
			headers => { Location => $elsewhere->url . '/instant_payment/get_wallet_balance' } });
	my $result = call('plain');
	is($result->{sqlstate}, '08P01', "a redirect ($status) is not followed");
	like($result->{error}, qr/redirect/, 'and told');
}
is($elsewhere->get('/_sim/stats')->{requests}, 0, 'nobody else was asked');

# Neither were the proxies.
is(select(Bill24Session::bits($proxy), undef, undef, 0), 0, 'no proxy was used');
my $caller = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $proxy->sockport);
is(select(Bill24Session::bits($proxy), undef, undef, 5), 1, 'one would have been seen');
is($session->ok('CREATE TEMP TABLE told (proxy text); '
	  . "COPY told FROM PROGRAM 'echo \$https_proxy'; SELECT proxy FROM told"),
	'http://127.0.0.1:' . $proxy->sockport, 'and the backend knew it');

# HTTP/2, by a web server in front of the simulator.
SKIP:
{
	my ($nginx) = grep { defined && -x } $ENV{NGINX}, '/usr/sbin/nginx', '/usr/local/sbin/nginx';
	my $port = Bill24Session::free_port();

	skip('no nginx', 4) unless $nginx;
	mkdir("$dir/nginx");
	Bill24Test::write_file("$dir/nginx/nginx.conf", <<"END");
daemon off;
master_process off;
error_log $dir/nginx/error.log;
pid $dir/nginx/pid;
events { worker_connections 1000; }
http {
	log_format protocol '\$server_protocol \$status';
	access_log $dir/nginx/access.log protocol;
	client_body_temp_path $dir/nginx/1;
	proxy_temp_path $dir/nginx/2;
	fastcgi_temp_path $dir/nginx/3;
	uwsgi_temp_path $dir/nginx/4;
	scgi_temp_path $dir/nginx/5;
	server {
		listen 127.0.0.1:$port ssl http2;
		ssl_certificate $file{good};
		ssl_certificate_key $file{good_key};
		location / { proxy_pass $url; }
	}
}
END
	spawn($port, $nginx, '-p', "$dir/nginx", '-c', "$dir/nginx/nginx.conf");
	account('h2', sim => $plain, allow_http => undef, ca_file => $file{ca},
		base_url => "https://127.0.0.1:$port", max_in_flight => 100);
	is(call('h2')->{rows}, '5', 'a call over HTTP/2');
	$plain->post('/_sim/config', { latency_ms => 100 });
	is($session->ok('SELECT count(*), sum(balance), min(error) FROM bill24_get_wallet_balances('
		  . "ARRAY(SELECT 'C' || lpad(i::text, 7, '0') FROM generate_series(1, 100) i), 'h2')"),
		'100|500|', '100 at once over HTTP/2');
	note('in flight: ' . $plain->get('/_sim/stats')->{max_in_flight});
	$plain->post('/_sim/config', { latency_ms => 0 });
	is($session->query("SELECT bill24_create_customer('H', 'Name', server => 'h2')")->{sqlstate},
		'00000', 'a change over HTTP/2');
	my %count;
	$count{$_}++ foreach split(/\n/, slurp("$dir/nginx/access.log"));
	is(join(',', keys %count), 'HTTP/2.0 200', 'and it was HTTP/2')
	  or diag(explain(\%count));
}

$node->stop;
done_testing();

sub slurp
{
	open(my $in, '<', $_[0]) or die "could not read $_[0]: $!";
	local $/;
	return scalar <$in>;
}
