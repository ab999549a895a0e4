
# A database session that stays, whose statements can be watched, cancelled and
# timed from outside.
#
#	use Bill24Session;
#
#	my $session = Bill24Session->new($node, user => 'bob');
#	my $rows = $session->ok('SELECT 1');
#	$session->send('SELECT pg_sleep(10)');
#	my $result = $session->wait;
#	# { rows => '', sqlstate => '57014', error => 'ERROR:  57014: ...',
#	#   seconds => 0.1 }
#
# It is a psql behind two pipes.  That differs from what the framework has in
# that a statement may fail, that its SQLSTATE, DETAIL and HINT are told, that
# any number can be under way at once, and that it is there on every major.

package Bill24Session;

use strict;
use warnings;

use Carp;
use Exporter 'import';
use File::Temp ();
use IPC::Open2;
use Time::HiRes qw(time sleep);

our @EXPORT = qw(comes_true wait_until backends_wait requests_wait);

# Nothing that is waited for takes so long, not even on a busy machine.
my $patience = 60;

# new(NODE, user => NAME, database => 'postgres')
sub new
{
	my ($class, $node, %opt) = @_;
	my $connection = $node->connstr($opt{database} // 'postgres');

	$connection .= " user=$opt{user}" if defined $opt{user};
	my $self = bless { buffer => '', number => 0 }, $class;

	local $SIG{__WARN__} = sub { };
	local %ENV = %ENV;
	delete $ENV{LD_PRELOAD};

	# One pipe for both, so that errors stand where they belong.
	$self->{psql} = open2($self->{out}, $self->{in}, 'sh', '-c',
		'exec "$@" 2>&1', 'sh',
		'psql', '-X', '-q', '-A', '-t', '-v', 'VERBOSITY=verbose',
		'-v', 'ON_ERROR_STOP=0', '-d', $connection);
	binmode($self->{out}, ':raw');
	$self->{pid} = $self->ok('SELECT pg_backend_pid()');
	return $self;
}

# The backend's process.
sub pid { return $_[0]->{pid}; }

# send(SQL): start it and return at once.
sub send
{
	my ($self, $sql) = @_;

	croak 'the statement before is still under way' if $self->{sent};
	$self->{number}++;
	$self->{started} = time;
	$self->{sent} = 1;
	$sql =~ s/;?\s*\z/;/;
	$sql .= "\n\\echo <$self->{number} :SQLSTATE >\n";

	# Of a long one psql runs the first statements meanwhile: what it says has
	# to be read, or nobody goes on.
	local $SIG{PIPE} = 'IGNORE';
	while (length($sql) > 0 && !$self->{closed})
	{
		my ($in, $out) = (bits($self->{in}), bits($self->{out}));

		select($out, $in, undef, undef);
		$self->read_some(0);
		next unless vec($in, fileno($self->{in}), 1);
		my $written = syswrite($self->{in}, $sql, 4096) // last;
		substr($sql, 0, $written, '');
	}
	return;
}

# Whether what was sent is still under way.
sub busy
{
	my ($self) = @_;

	$self->read_some(0);
	return $self->{sent} && !$self->{closed} && !$self->is_complete;
}

sub is_complete
{
	my ($self) = @_;

	return $self->{buffer} =~ /^<$self->{number} (\w*) >\n/m;
}

# A file as select() wants it.
sub bits
{
	my $bits = '';

	vec($bits, fileno($_[0]), 1) = 1;
	return $bits;
}

sub read_some
{
	my ($self, $timeout) = @_;
	my $chunk;

	return if $self->{closed};
	return unless select(bits($self->{out}), undef, undef, $timeout) > 0;
	if (!sysread($self->{out}, $chunk, 65536))
	{
		$self->{closed} = 1;
		return;
	}
	$self->{buffer} .= $chunk;
	return;
}

# The result of what was sent.  A session that was ended from outside has the
# SQLSTATE of the reason, or '' when none was told.
sub wait
{
	my ($self) = @_;
	my $end = time + $patience;

	while (!$self->is_complete && !$self->{closed})
	{
		croak "no answer in $patience s" if time > $end;
		$self->read_some(1);
	}

	# With NOTICEs before it, the error is the last one.  When the server went
	# away, psql knows no SQLSTATE.
	my $text = $self->{buffer};
	my $sqlstate = '';
	$sqlstate = $1 if $text =~ s/^<$self->{number} (\w*) >\n//m;
	if ($sqlstate eq '' && $text =~ /.*^(?:ERROR|FATAL):  (\w{5}):/ms)
	{
		$sqlstate = $1;
	}
	my $seconds = time - $self->{started};
	$self->{buffer} = '';
	$self->{sent} = 0;

	my $error = $text =~ s/^((?:ERROR|FATAL|PANIC):  .*)\z//ms ? $1 : '';
	$text =~ s/\n\z//;
	return {
		rows => $text,
		sqlstate => $sqlstate,
		error => $error,
		seconds => $seconds
	};
}

# query(SQL): its result, failed or not.
sub query
{
	my ($self, $sql) = @_;

	$self->send($sql);
	return $self->wait;
}

# ok(SQL): its rows; it has to succeed.
sub ok
{
	my ($self, $sql) = @_;
	my $result = $self->query($sql);

	croak "$sql: $result->{error}$result->{rows}"
	  if $result->{sqlstate} ne '00000';
	return $result->{rows};
}

# end: hang up, whatever is under way.
sub end
{
	my ($self) = @_;
	my $psql = delete $self->{psql} // return;

	local ($?, $!);
	close($self->{in});
	kill('TERM', $psql) if $self->{sent};
	close($self->{out});
	waitpid($psql, 0);
	return;
}

sub DESTROY
{
	my ($self) = @_;

	$self->end;
	return;
}

# comes_true(CONDITION, SECONDS): wait until the code returns true, and return
# that; false if it does not in that time.
sub comes_true
{
	my ($condition, $seconds) = @_;
	my $end = time + $seconds;
	my $true;

	until ($true = $condition->())
	{
		return 0 if time > $end;
		sleep(0.005);
	}
	return $true;
}

# wait_until(WHAT, CONDITION): the same, but the test is at its end if it never
# does.
sub wait_until
{
	my ($what, $condition) = @_;

	return comes_true($condition, $patience)
	  || croak "never came true: $what";
}

# A directory for files of this test, which goes away with it.
sub scratch
{
	return File::Temp::tempdir(CLEANUP => 1);
}

# A port on which nobody listens, and which nobody is given by chance.
sub free_port
{
	return defined &PostgreSQL::Test::Cluster::get_free_port
	  ? PostgreSQL::Test::Cluster::get_free_port()
	  : PostgresNode::get_free_port();
}

# backends_wait(WATCHER, SESSION...): until all of them wait for something that
# is the extension's, as the session WATCHER sees it.
sub backends_wait
{
	my ($watcher, @sessions) = @_;
	my $pids = join(',', map { $_->pid } @sessions);

	wait_until('the backends wait', sub {
		$watcher->ok("SELECT count(*) FROM pg_stat_activity"
			  . " WHERE pid IN ($pids) AND wait_event_type = 'Extension'")
		  == @sessions;
	});
	return;
}

# requests_wait(SIMULATOR, COUNT): until so many requests are at a simulator,
# unanswered.
sub requests_wait
{
	my ($sim, $count) = @_;

	wait_until("$count requests under way",
		sub { $sim->get('/_sim/stats')->{in_flight} == $count });
	return;
}

1;
