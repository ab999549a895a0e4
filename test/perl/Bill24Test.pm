
# Helpers for the TAP tests: PostgreSQL nodes that find the extension,
# simulators, accounts and certificates.
#
#	use Bill24Test;
#
#	my $sim  = start_simulator('--some-option');
#	my $node = new_node('main', conf => "max_connections = 300");
#	setup_account($node, $sim);
#	$sim->post('/_sim/fault', { ... });
#	is($node->safe_psql('postgres', 'SELECT ...'), '...', '...');
#	is($sim->get('/_sim/stats')->{requests}, 1, '...');
#
# A node is PostgreSQL::Test::Cluster's, on 13 and 14 PostgresNode's if that is
# what there is, so a test may use what these have in common.
#
# Environment: B24SIM is the simulator's program, B24_TEST_CONF a file with the
# settings with which a server finds the extension.

package Bill24Test;

use strict;
use warnings;

use Bill24Simulator;
use Exporter 'import';

our @EXPORT = qw(new_node start_simulator setup_account make_certificates);

my $new_cluster;

BEGIN
{
	if (eval { require PostgreSQL::Test::Cluster; 1 })
	{
		require PostgreSQL::Test::Utils;
		$new_cluster = sub { PostgreSQL::Test::Cluster->new(shift) };
	}
	else
	{
		require PostgresNode;
		require TestLib;
		$new_cluster = sub { PostgresNode->get_new_node(shift) };
	}
}

# new_node(NAME, preload => 1, start => 1, init => [], conf => ''): a server
# whose name may be followed by
#
#	preload	whether bill24 is in shared_preload_libraries
#	start	whether to start it
#	init	arguments for its init method, such as [allows_streaming => 1]
#	conf	more lines for postgresql.conf
sub new_node
{
	my ($name, %opt) = @_;
	my $node = $new_cluster->($name);

	$node->init(@{ $opt{init} || [] });
	$node->append_conf('postgresql.conf', test_conf());
	$node->append_conf('postgresql.conf',
		"max_connections = 100\nfsync = off\n");
	$node->append_conf('postgresql.conf',
		sprintf("shared_preload_libraries = '%s'\n",
			($opt{preload} // 1) ? 'bill24' : ''));
	$node->append_conf('postgresql.conf', $opt{conf}) if defined $opt{conf};
	$node->start if $opt{start} // 1;
	return $node;
}

sub test_conf
{
	my $file = $ENV{B24_TEST_CONF};

	return '' unless defined $file;
	open(my $in, '<', $file) or die "could not read $file: $!";
	local $/;
	return scalar <$in>;
}

# start_simulator(ARGUMENT...): see Bill24Simulator.
sub start_simulator
{
	return Bill24Simulator->new(@_);
}

# setup_account(NODE, SIMULATOR, ...): the extension, a foreign server and a
# user mapping for the superuser, with
#
#	database	'postgres'
#	server		the server's name, 'bill24'
#	user		whose mapping, 'CURRENT_USER'
#	options		more server options, or others than base_url, allow_http and
#				mirror 'false', since looks would be counted as requests;
#				undef leaves one out
#	mapping		the same for the mapping's token, client_id, secret, hash_token
sub setup_account
{
	my ($node, $sim, %opt) = @_;
	my $server = $opt{server} // 'bill24';
	my $user = $opt{user} // 'CURRENT_USER';
	my $options = options_clause(
		base_url => $sim->url,
		($sim->url =~ /^http:/ ? (allow_http => 'true') : ()),
		mirror => 'false',
		%{ $opt{options} || {} });
	my $mapping = options_clause(
		token => '00000000-0000-4000-8000-000000000001',
		client_id => 'demo_client',
		secret => 'demo-secret',
		hash_token => 'demo-hash-token',
		%{ $opt{mapping} || {} });

	$node->safe_psql(
		$opt{database} // 'postgres', qq{
		CREATE EXTENSION IF NOT EXISTS bill24;
		CREATE SERVER "$server" FOREIGN DATA WRAPPER bill24 $options;
		CREATE USER MAPPING FOR $user SERVER "$server" $mapping;
	});
	return;
}

sub options_clause
{
	my %option = @_;
	my @clauses;

	foreach my $name (sort keys %option)
	{
		next unless defined $option{$name};
		(my $value = $option{$name}) =~ s/'/''/g;
		push @clauses, "$name '$value'";
	}
	return @clauses ? 'OPTIONS (' . join(', ', @clauses) . ')' : '';
}

# make_certificates(DIRECTORY): makes, and returns the paths of,
#
#	ca, other_ca			certificates of two authorities
#	good, good_key			for 127.0.0.1 and localhost
#	wrong_name, wrong_name_key	for another host
#	expired, expired_key		as good, years ago
#
# all but other_ca signed by ca.
sub make_certificates
{
	my ($dir) = @_;
	my %path;

	mkdir $dir unless -d $dir;
	foreach my $ca ('ca', 'other_ca')
	{
		new_key($dir, $ca);
		openssl('req', '-x509', '-new', '-key', "$dir/$ca.key",
			'-days', '30', '-subj', "/CN=bill24 test $ca",
			'-out', "$dir/$ca.pem");
		$path{$ca} = "$dir/$ca.pem";
	}

	# "openssl ca" is the one command that sets both dates in every version.
	write_file("$dir/index.txt", '');
	write_file("$dir/ca.conf", <<"END");
[ca]
default_ca = test
[test]
database = $dir/index.txt
new_certs_dir = $dir
rand_serial = yes
unique_subject = no
default_md = sha256
policy = any
[any]
commonName = supplied
[local]
subjectAltName = IP:127.0.0.1, DNS:localhost
[elsewhere]
subjectAltName = DNS:elsewhere.example
END
	my @now = ('-days', '30');
	my @past =
	  ('-startdate', '20200101000000Z', '-enddate', '20200201000000Z');
	foreach my $leaf (
		[ 'good', 'local', @now ],
		[ 'wrong_name', 'elsewhere', @now ],
		[ 'expired', 'local', @past ])
	{
		my ($name, $extensions, @dates) = @$leaf;

		new_key($dir, $name);
		openssl('req', '-new', '-key', "$dir/$name.key",
			'-subj', "/CN=$name", '-out', "$dir/$name.csr");
		openssl('ca', '-batch', '-notext', '-config', "$dir/ca.conf",
			'-cert', "$dir/ca.pem", '-keyfile', "$dir/ca.key",
			'-extensions', $extensions, @dates,
			'-in', "$dir/$name.csr", '-out', "$dir/$name.pem");
		$path{$name} = "$dir/$name.pem";
		$path{"${name}_key"} = "$dir/$name.key";
	}
	return %path;
}

sub new_key
{
	my ($dir, $name) = @_;

	openssl('genpkey', '-algorithm', 'EC', '-pkeyopt',
		'ec_paramgen_curve:P-256', '-out', "$dir/$name.key");
	return;
}

# Quiet unless it fails.
sub openssl
{
	my @command = ('openssl', @_);
	my $pid = open(my $out, '-|') // die "could not fork: $!";

	if ($pid == 0)
	{
		open(STDERR, '>&', \*STDOUT);
		exec(@command) or die "could not run openssl: $!";
	}
	my $text = join('', <$out>);
	close($out) or die "@command failed: $text";
	return;
}

sub write_file
{
	my ($path, $text) = @_;

	open(my $out, '>', $path) or die "could not write $path: $!";
	print $out $text;
	close($out) or die "could not write $path: $!";
	return;
}

1;
