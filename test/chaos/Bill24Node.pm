# A PostgreSQL server that can be ended in every way and started again, by
# initdb and pg_ctl alone.
#
#	my $node = Bill24Node->new($directory, 'max_connections = 50');
#	$node->start;
#	Bill24Session->new($node);
#	$node->stop('immediate');
#
# Environment: B24_TEST_CONF is a file with the settings with which a server
# finds the extension.

package Bill24Node;

use strict;
use warnings;

use POSIX ();

# new(DIRECTORY, CONF): its files are in the directory, which has to be there.
sub new
{
	my ($class, $directory, $conf) = @_;
	my $self = bless {
		data => "$directory/data",
		socket => $directory,
		log => "$directory/server.log",
		out => "$directory/pg_ctl.log"
	}, $class;

	$self->run('initdb', '--pgdata', $self->{data}, '--auth=trust',
		'--username=postgres', '--encoding=UTF8', '--no-sync');
	open(my $file, '>>', "$self->{data}/postgresql.conf")
	  or die "could not write postgresql.conf: $!";
	if (defined $ENV{B24_TEST_CONF})
	{
		open(my $in, '<', $ENV{B24_TEST_CONF})
		  or die "could not read $ENV{B24_TEST_CONF}: $!";
		print {$file} <$in>;
	}
	print $file "listen_addresses = ''\nunix_socket_directories = '$directory'\n$conf\n";
	close($file) or die "could not write postgresql.conf: $!";
	return $self;
}

# Where its programs say nothing that anybody reads, unless they fail.
sub run
{
	my ($self, @command) = @_;
	my $pid = fork() // die "could not fork: $!";

	if ($pid == 0)
	{
		open(STDIN, '<', '/dev/null');
		open(STDOUT, '>>', $self->{out});
		open(STDERR, '>&', \*STDOUT);
		delete @ENV{ grep { /^PG/ } keys %ENV };
		exec(@command) or POSIX::_exit(127);
	}
	waitpid($pid, 0);
	die "@command failed, see $self->{out}" if $? != 0;
	return;
}

sub start
{
	my ($self) = @_;

	$self->run('pg_ctl', '--pgdata', $self->{data}, '--log', $self->{log},
		'--wait', '--timeout=120', 'start');
	return;
}

# stop('fast'), stop('immediate')
sub stop
{
	my ($self, $mode) = @_;

	$self->run('pg_ctl', '--pgdata', $self->{data}, '--wait', '--timeout=120',
		"--mode=$mode", 'stop');
	return;
}

# The first process, or undef.
sub pid
{
	my ($self) = @_;

	open(my $file, '<', "$self->{data}/postmaster.pid") or return;
	my $line = <$file> // return;
	chomp($line);
	return $line;
}

# Whether a process is one of this server's.
sub owns
{
	my ($self, $pid) = @_;
	my $postmaster = $self->pid // return 0;

	open(my $file, '<', "/proc/$pid/status") or return 0;
	return scalar(grep { /^PPid:\s+\Q$postmaster\E$/ } <$file>);
}

sub connstr
{
	my ($self, $database) = @_;

	return "host=$self->{socket} port=5432 user=postgres dbname=$database"
	  . " options='-c lock_timeout=3s'";
}

sub DESTROY
{
	my ($self) = @_;

	local ($@, $?, $!);
	eval { $self->stop('immediate') if defined $self->pid };
	return;
}

1;
