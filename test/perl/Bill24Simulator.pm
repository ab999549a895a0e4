# A running simulator.  It goes away with the object, and with the test however
# that ends.
#
#	my $sim = Bill24Simulator->new('--some-option');
#	$sim->post('/_sim/fault', { ... });
#	is($sim->get('/_sim/stats')->{requests}, 1, '...');
#
# Environment: B24SIM is the simulator's program.

package Bill24Simulator;

use strict;
use warnings;

use File::Basename ();
use HTTP::Tiny;
use JSON::PP;

# new(ARGUMENT...): start one on a free port, unless the arguments name one.
sub new
{
	my ($class, @arguments) = @_;
	my $self = bless {
		scheme => (grep { /^--tls/ } @arguments) ? 'https' : 'http',
		arguments => \@arguments
	}, $class;

	$self->start;
	return $self;
}

sub start
{
	my ($self) = @_;
	my $program = $ENV{B24SIM}
	  // File::Basename::dirname(__FILE__) . '/../simulator/b24sim';
	my $pid = open(my $out, '-|') // die "could not fork: $!";

	if ($pid == 0)
	{
		exec($program, '--die-with-parent', @{ $self->{arguments} })
		  or die "could not run $program: $!";
	}
	$self->{pid} = $pid;
	$self->{out} = $out;
	while (my $line = <$out>)
	{
		next unless $line =~ /^b24sim ready port=(\d+)/;
		$self->{port} = $1;
		$self->{url} = "$self->{scheme}://127.0.0.1:$1";
		return;
	}
	die "$program did not say on which port it listens";
}

sub port { return $_[0]->{port}; }
sub url { return $_[0]->{url}; }
sub pid { return $_[0]->{pid}; }

# get(PATH), post(PATH, DATA): speak with it as a client, mostly with its
# control interface.  Returns the decoded answer; any status but 2xx is fatal.
sub get
{
	my ($self, $path) = @_;

	return $self->request('GET', $path, {});
}

sub post
{
	my ($self, $path, $data) = @_;

	return $self->request(
		'POST', $path,
		{
			headers => { 'Content-Type' => 'application/json' },
			content => encode_json($data // {})
		});
}

sub request
{
	my ($self, $method, $path, $options) = @_;
	my $http = HTTP::Tiny->new(timeout => 30, verify_SSL => 0);
	my $answer = $http->request($method, $self->url . $path, $options);

	die "$method $path: $answer->{status} $answer->{content}"
	  unless $answer->{success};
	return $answer->{content} eq '' ? undef : decode_json($answer->{content});
}

# stop, kill9: end it in an orderly way, or not.  With a --port, start brings
# it back in the same place; with a --journal, in the same state.
sub stop
{
	my ($self) = @_;

	$self->finish('TERM');
	return;
}

sub kill9
{
	my ($self) = @_;

	$self->finish('KILL');
	return;
}

sub finish
{
	my ($self, $signal) = @_;
	my $pid = delete $self->{pid} // return;

	# Neither may become the exit status of the test.
	local ($?, $!);
	kill($signal, $pid);
	waitpid($pid, 0);
	close($self->{out});
	return;
}

sub DESTROY
{
	my ($self) = @_;

	$self->finish('KILL');
	return;
}

1;
