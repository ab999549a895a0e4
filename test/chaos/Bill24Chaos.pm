# One run of the chaos test: load, faults and kills, then the verdict.
#
#	my $run = Bill24Chaos->new(seed => 1, seconds => 600, directory => ...);
#	$run->go;
#	print $run->report;
#	exit 1 if $run->failed;
#
# The directory has to be there; afterwards it holds the server's log, the
# simulator's journal, and files that tell what the verdict rests on.

package Bill24Chaos;

use strict;
use warnings;

use Bill24Judge;
use Bill24Load;
use Bill24Node;
use Bill24Session;
use Bill24Simulator;
use IO::Socket::INET;
use JSON::PP;
use Time::HiRes qw(sleep time);

my $sessions = 6;
my $most_unfinished = 600;		# then the load pauses
my $patience = 60;				# without a job that finishes or waits, at the end

# How the network and the provider misbehave, and how often.
my @faults = (
	[ 0.020, { kind => 'drop_before' } ],
	[ 0.020, { kind => 'drop_after' } ],
	[ 0.020, { kind => 'reset_after' } ],
	[ 0.010, { kind => 'half_body' } ],
	[ 0.010, { kind => 'garbage' } ],
	[ 0.015, { kind => 'status', status => 500 } ],
	[ 0.015, { kind => 'status', status => 500, effect => JSON::PP::true() } ],
	[ 0.005, { kind => 'status', status => 503 } ],
	[ 0.010, { kind => 'status', status => 429, retry_after => 1 } ],
	[ 0.005, { kind => 'delay', ms => 1500 } ],
	[ 0.002, { kind => 'hang' } ],
	[ 0.010, { kind => 'unauthorized' } ]);

# What is done to the processes, in an order that the seed decides.
my @actions = qw(kill_worker terminate_worker pause_worker kill_backend crash
  restart kill_simulator pause_simulator expire_tokens settings);

sub new
{
	my ($class, %opt) = @_;
	my $self = bless {
		%opt,
		done => {},			# what was done, by kind
		hits => {},			# faults, by kind
		sqlstates => {},	# of the load's transactions
		later => [],		# what is put off
		slots => [],		# sessions with their transactions
		prepared => [],
		judged => undef
	}, $class;

	srand($opt{seed});
	$self->{options} = {
		max_in_flight => Bill24Load::one_of(4, 32, 64),
		circuit_failures => $opt{seed} % 2 ? 0 : 10,
		max_attempts => 1000,
		retry_delay => '20ms',
		request_timeout => '1s',
		connect_timeout => '500ms',
		sync_interval => '5s',
		min_sync_interval => '1s',
		second_look => '1s'
	};
	$self->{workers} = 1 + $opt{seed} % 3;
	$self->{schedule} = $self->make_schedule;
	$self->{load} = Bill24Load->new;
	open($self->{log}, '>', "$opt{directory}/chaos.log") or die $!;
	$self->{log}->autoflush(1);
	return $self;
}

# All actions in a random order, again and again.
sub make_schedule
{
	my ($self) = @_;
	my ($least, $most) = $self->{seconds} < 60 ? (0.3, 1) : (0.5, 5);
	my (@schedule, @deck);
	my $at = 1;

	while ($at < $self->{seconds})
	{
		@deck = sort { $a->[0] <=> $b->[0] } map { [ rand(), $_ ] } @actions
		  unless @deck;
		push @schedule, { at => $at, what => shift(@deck)->[1], by => rand() };
		$at += $least + rand($most - $least);
	}
	return \@schedule;
}

sub note
{
	my ($self, $text) = @_;

	printf { $self->{log} } "%8.3f %s\n", time - $self->{start}, $text;
	return;
}

# ---- set up --------------------------------------------------------------

# Below the ports that clients get by chance: a client must not get the one of
# the simulator while that is down, or it could not come back.
sub free_port
{
	foreach (1 .. 1000)
	{
		my $port = 12000 + int(rand(18000));
		my $socket = IO::Socket::INET->new(
			LocalAddr => '127.0.0.1', LocalPort => $port, Listen => 1)
		  // next;

		close($socket);
		return $port;
	}
	die 'no port is free';
}

sub set_up
{
	my ($self) = @_;

	$self->{start} = time;
	$self->{sim} = Bill24Simulator->new('--port', free_port(), '--seed',
		$self->{seed}, '--journal', "$self->{directory}/journal");
	$self->{sim}->post('/_sim/seed', Bill24Load::seed());
	$self->{node} = Bill24Node->new($self->{directory}, <<"END");
shared_preload_libraries = 'bill24'
fsync = on
max_connections = 50
max_prepared_transactions = 20
deadlock_timeout = 100ms
restart_after_crash = on
log_line_prefix = '%m [%p] %b '
bill24.workers = $self->{workers}
END
	$self->{node}->start;

	my $options = join(', ', map { "$_ '$self->{options}{$_}'" } sort keys %{ $self->{options} });
	$self->ask('CREATE EXTENSION bill24; CREATE SERVER bill24 FOREIGN DATA WRAPPER bill24'
		  . " OPTIONS (base_url '" . $self->{sim}->url . "', allow_http 'true', $options);"
		  . ' CREATE USER MAPPING FOR CURRENT_USER SERVER bill24 OPTIONS ('
		  . " token '00000000-0000-4000-8000-000000000001', client_id 'demo_client',"
		  . " secret 'demo-secret', hash_token 'demo-hash-token')");
	$self->prepare_database;
	$self->misbehave;
	return;
}

sub prepare_database
{
	my ($self) = @_;

	$self->ask($self->{load}->schema);
	return;
}

# The simulator forgets these with its life.
sub misbehave
{
	my ($self) = @_;

	$self->{sim}->post('/_sim/config', { latency_ms => 2, jitter_ms => 20 });
	$self->{sim}->post('/_sim/fault',
		{ %{ $_->[1] }, count => -1, probability => $_->[0] })
	  foreach @faults;
	return;
}

sub count_hits
{
	my ($self) = @_;

	foreach my $fault (@{ $self->{sim}->get('/_sim/fault') })
	{
		my $options = $fault->{options};
		my $name = join(' ', $fault->{kind}, grep { defined } $options->{status},
			$options->{effect} ? 'with effect' : undef);

		$self->{hits}{$name} += $fault->{hits};
	}
	return;
}

# ---- the database --------------------------------------------------------

# One more session, which comes back when it was killed.  What was put off goes
# on meanwhile: a process that is stopped can hold a lock that everybody needs.
sub ask
{
	my ($self, $sql) = @_;
	my $end = time + $patience;
	my $result;

	until ($result)
	{
		$result = eval {
			$self->{admin} //= Bill24Session->new($self->{node});
			$self->{admin}->send($sql);
			while ($self->{admin}->busy && time < $end)
			{
				$self->go_on;
				sleep(0.002);
			}
			$self->{admin}->wait;
		};
		if (!$result || $result->{sqlstate} =~ /^(?:|57P0[123])$/)
		{
			delete $self->{admin};
			die "the server is gone: $sql" if time > $end;
			undef $result;
			sleep(0.05);
		}
	}
	die "$sql: $result->{error}" if $result->{sqlstate} ne '00000';
	return $result->{rows};
}

# A statement whose rows are not too many for one line each.
sub rows
{
	my ($self, $sql) = @_;
	my $rows = $self->ask("SELECT coalesce(json_agg(r), '[]') FROM ($sql) r");

	return JSON::PP->new->decode($rows);
}

sub unfinished
{
	my ($self) = @_;

	return $self->ask("SELECT count(*) FROM bill24.outbox WHERE finished_at IS NULL");
}

sub workers
{
	my ($self) = @_;
	my @pids = split(/\n/, $self->ask(
		"SELECT pid FROM pg_stat_activity WHERE backend_type = 'bill24 worker' ORDER BY pid"));

	return grep { $self->{node}->owns($_) } @pids;
}

# ---- the load ------------------------------------------------------------

# Give every session that is free its next transaction.
sub push_on
{
	my ($self, $more) = @_;

	foreach my $slot (@{ $self->{slots} })
	{
		my $session = $slot->{session};

		if ($slot->{transaction} && !$session->busy)
		{
			$self->finished($slot);
			$session = $slot->{session};
		}
		next if $slot->{transaction} || !$more;
		$session = $slot->{session} //=
		  eval { Bill24Session->new($self->{node}) } // next;
		$slot->{transaction} = $self->{load}->transaction;
		$session->send($slot->{transaction}{sql});
	}
	return;
}

sub finished
{
	my ($self, $slot) = @_;
	my $transaction = delete $slot->{transaction};
	my $result = eval { $slot->{session}->wait };
	my $text = $result ? "$result->{rows}\n$result->{error}" : '';

	$self->{sqlstates}{$_}++ foreach $text =~ /^(?:ERROR|FATAL|PANIC):  (\w{5}):/mg;
	$self->{texts}{$1} //= $2
	  while $text =~ /^(?:ERROR|FATAL|PANIC):  (\w{5}): (.*)/mg;
	# mostly soon, since it locks what others want to change
	push @{ $self->{prepared} },
	  { gid => $transaction->{gid}, at => time + rand(rand() < 0.1 ? 2 : 0.1) }
	  if $transaction->{gid};
	if (!$result || $result->{sqlstate} =~ /^(?:|57P0[123])$/)
	{
		$self->{done}{'sessions lost'}++;
		delete $slot->{session};
	}
	return;
}

# Some other session decides on what is prepared; not all that was to be
# prepared is.
sub resolve
{
	my ($self, $all) = @_;
	my @left;

	foreach my $prepared (@{ $self->{prepared} })
	{
		if (!$all && $prepared->{at} > time)
		{
			push @left, $prepared;
			next;
		}
		$self->decide($prepared->{gid});
	}
	$self->{prepared} = \@left;
	if ($all)
	{
		$self->decide($_) foreach split(/\n/, $self->ask('SELECT gid FROM pg_prepared_xacts'));
	}
	return;
}

sub decide
{
	my ($self, $gid) = @_;
	my $how = rand() < 0.8 ? 'COMMIT' : 'ROLLBACK';

	return unless $self->ask("SELECT count(*) FROM pg_prepared_xacts WHERE gid = '$gid'");

	# It is done already if the server went away before it said so.
	eval { $self->ask("$how PREPARED '$gid'"); 1 } || $@ =~ /ERROR:  42704:/ || die $@;
	$self->{done}{ lc($how) . ' prepared' }++;
	return;
}

# ---- what is done to them ------------------------------------------------

sub act
{
	my ($self, $action) = @_;
	my $method = "do_$action->{what}";

	$self->note($action->{what});
	my $detail = $self->$method($action->{by});
	$self->note("  $detail");
	(my $name = $action->{what}) =~ tr/_/ /;
	$self->{done}{$name}++ unless $detail =~ /^nothing/;
	return;
}

sub signal
{
	my ($self, $signal, $pid) = @_;

	return "nothing to do" unless defined $pid;
	kill($signal, $pid) or return "nothing: $pid is gone";
	return "$signal to $pid";
}

# A worker, if there is one.
sub some_worker
{
	my ($self, $by) = @_;
	my @workers = $self->workers;

	return $workers[ int($by * @workers) ];
}

sub do_kill_worker
{
	my ($self, $by) = @_;

	return $self->signal('KILL', $self->some_worker($by));
}

sub do_terminate_worker
{
	my ($self, $by) = @_;
	my $worker = $self->some_worker($by) // return 'nothing to do';

	return "$worker: " . $self->ask("SELECT pg_terminate_backend($worker)");
}

# Longer than a request may take; then it finds that the world went on.
sub do_pause_worker
{
	my ($self, $by) = @_;
	my $worker = $self->some_worker($by);
	my $done = $self->signal('STOP', $worker);

	push @{ $self->{later} }, [ time + 0.2 + 2.5 * $by, sub { kill('CONT', $worker) } ]
	  if defined $worker;
	return $done;
}

sub do_kill_backend
{
	my ($self, $by) = @_;
	my @pids = grep { $self->{node}->owns($_) }
	  map { $_->{session} ? $_->{session}->pid : () } @{ $self->{slots} };

	return $self->signal('KILL', $pids[ int($by * @pids) ]);
}

sub do_crash
{
	my ($self) = @_;

	$self->go_on_all;
	$self->{node}->stop('immediate');
	$self->{node}->start;
	return 'is back';
}

sub do_restart
{
	my ($self) = @_;

	$self->go_on_all;
	$self->{node}->stop('fast');
	$self->{node}->start;
	return 'is back';
}

sub do_kill_simulator
{
	my ($self, $by) = @_;
	my $sim = $self->{sim};

	return 'nothing: it is down' unless defined $sim->pid;
	$self->go_on_all;
	$self->count_hits;
	$sim->kill9;
	push @{ $self->{later} }, [ time + 1.5 * $by, sub { $sim->start; $self->misbehave } ];
	return 'killed';
}

sub do_pause_simulator
{
	my ($self, $by) = @_;
	my $pid = $self->{sim}->pid // return 'nothing: it is down';

	push @{ $self->{later} }, [ time + 0.2 + 2 * $by, sub { kill('CONT', $pid) } ];
	return $self->signal('STOP', $pid);
}

sub do_expire_tokens
{
	my ($self, $by) = @_;

	return 'nothing: it is down' unless defined $self->{sim}->pid;
	$self->go_on_all;
	$self->{sim}->post('/_sim/expire_tokens',
		{ refresh => $by < 0.5 ? JSON::PP::true() : JSON::PP::false() });
	return 'expired';
}

# Settings that an administrator may change while everything is under way.
sub do_settings
{
	my ($self, $by) = @_;
	my $room = (1, 4, 16, 64)[ int($by * 4) ];
	my $workers = 1 + int($by * 30) % 3;

	$self->ask("ALTER SERVER bill24 OPTIONS (SET max_in_flight '$room')");
	$self->ask("ALTER SYSTEM SET bill24.workers = $workers");
	$self->ask('SELECT pg_reload_conf()');
	return "max_in_flight $room, workers $workers";
}

# What was put off until now; all of it, when the server is to be stopped.
sub go_on
{
	my ($self, $all) = @_;
	my @later = @{ $self->{later} };

	$self->{later} = [ grep { !$all && $_->[0] > time } @later ];
	$_->[1]->() foreach grep { $all || $_->[0] <= time } @later;
	return;
}

sub go_on_all { return $_[0]->go_on(1); }

# ---- all of it -----------------------------------------------------------

sub go
{
	my ($self) = @_;

	$self->set_up;
	$self->{slots} = [ map { {} } 1 .. $sessions ];
	my $begin = time;
	my @schedule = @{ $self->{schedule} };
	my $looked = 0;
	my $room = 1;

	while (time < $begin + $self->{seconds})
	{
		$self->push_on($room);
		$self->go_on;
		if (@schedule && time >= $begin + $schedule[0]{at})
		{
			$self->act(shift @schedule);
		}
		if (time > $looked + 0.1)
		{
			$self->resolve;
			$room = $self->unfinished < $most_unfinished;
			$looked = time;
		}
		sleep(0.002);
	}
	$self->{load_seconds} = time - $begin;
	$self->calm_down;
	$self->drain;
	$self->{all_seconds} = time - $begin;
	$self->judge;
	return;
}

# The load ends, and nobody misbehaves any more.
sub calm_down
{
	my ($self) = @_;
	my $end = time + $patience;

	$self->note('calm down');
	$self->go_on_all;
	while (grep { $_->{transaction} } @{ $self->{slots} })
	{
		$self->hangs if time > $end;
		$self->push_on(0);
		$self->resolve(1);
		sleep(0.01);
	}
	$self->resolve(1);
	$self->count_hits;
	$self->{sim}->post('/_sim/clear_faults');
	return;
}

# The end of a run whose sessions do not come back.
sub hangs
{
	my ($self) = @_;

	$self->note('a session does not return: '
		  . $self->ask('SELECT pid, backend_type, state, wait_event_type, wait_event, query, pg_blocking_pids(pid) FROM pg_stat_activity'));
	$self->note($_->{session}->pid . ": $_->{transaction}{sql}: $_->{session}{buffer}")
	  foreach grep { $_->{transaction} } @{ $self->{slots} };
	die 'a session does not return';
}

# Until nothing is left to be done, or nothing happens any more.  A job that
# failed often may have to wait for its next attempt.
sub drain
{
	my ($self) = @_;
	my $end = time + $patience;
	my $last = time + 3600;
	my $before = -1;

	while (time < $end && time < $last)
	{
		my ($left, $wait) = split(/\|/, $self->ask(
			'SELECT count(*), coalesce(greatest(ceil(extract(epoch FROM min(next_attempt_at) - now())), 0), 0)'
			  . " FROM bill24.outbox WHERE finished_at IS NULL AND state <> 'parked'"));

		last if $left == 0;
		$end = time + $wait + $patience if $left != $before || $wait > 1;
		$before = $left;
		sleep(0.05);
	}
	$self->{states} = $self->ask("SELECT state, count(*) FROM bill24.outbox GROUP BY 1 ORDER BY 1");
	$self->note("drained: $self->{states}");
	return;
}

sub judge
{
	my ($self) = @_;
	my $intents = $self->rows('SELECT * FROM intent ORDER BY seq');
	my (%expected, %customers);
	my $balance = sub { defined $_[0] ? sprintf('%.2f', $_[0]) : undef };

	foreach my $row (@{ $self->rows('SELECT * FROM (' . Bill24Load::expected()
			  . ') t (code, name, phone, email, balance)') })
	{
		$row->{balance} = $balance->($row->{balance});
		$expected{ delete $row->{code} } = $row;
	}
	foreach my $customer (@{ $self->{sim}->get('/_sim/customers?limit=10000000') })
	{
		$customers{ $customer->{sync_code} } = {
			(map { $_ => $customer->{$_} } qw(name phone email)),
			balance => $balance->($customer->{wallets}[0]{balance})
		};
	}
	$self->{effects} = $self->{sim}->get('/_sim/effects?limit=10000000');
	$self->{intents} = $intents;
	$self->{verdict} = Bill24Judge::judge(
		intents => $intents,
		effects => $self->{effects},
		expected => \%expected,
		customers => \%customers,
		tried => $self->{load}->tried);

	# What is not done although it was committed is never right here: every
	# request would be accepted if it were sent in its order, once.
	$self->{left} = $self->rows('SELECT id, operation, key, state, attempts, sqlstate, error'
		  . " FROM bill24.outbox WHERE state <> 'done' ORDER BY id");
	my %merged = map { $_->{state} => 1 } @{ $self->{left} };
	$self->{parked} = grep { $_->{state} eq 'parked' } @{ $self->{left} };
	$self->{failed} = grep { $_->{state} eq 'failed' } @{ $self->{left} };
	$self->{stuck} = grep { $_->{state} !~ /^(?:parked|failed|cancelled)$/ } @{ $self->{left} };
	$self->judge_mirror(\%customers);
	$self->{jobs} = $self->ask('SELECT count(*) FROM bill24.outbox');
	$self->{finished_tx} = $self->ask('SELECT count(DISTINCT tx) FROM intent');
	return;
}

# All that jobs were about is mirrored, and the mirror becomes what the provider
# has; {mirror} has what is not so for as long as we are patient.
sub judge_mirror
{
	my ($self, $customers) = @_;
	my $end = time + $patience;

	do
	{
		my @wrong = map { "$_ is not mirrored" } split(/\n/, $self->ask(
			q{SELECT DISTINCT key FROM bill24.outbox o WHERE state = 'done' AND operation <> 'delete_customer'
			  AND NOT EXISTS (SELECT FROM bill24.tracked t WHERE t.sync_code = o.key)}));

		$self->{mirrored} = 0;
		foreach my $row (@{ $self->rows('SELECT c.sync_code, c.name, c.phone, c.email, c.sqlstate,'
				  . ' c.deleted_at IS NOT NULL AS gone, c.synced_at IS NULL AS unread, w.balance'
				  . ' FROM bill24.customer c LEFT JOIN bill24.wallet w'
				  . ' ON w.sync_code = c.sync_code AND w.deleted_at IS NULL') })
		{
			my $code = $row->{sync_code};
			my $theirs = $customers->{$code};
			my $is_here = !$row->{gone} && !$row->{unread};

			$self->{mirrored}++;
			$row->{balance} = sprintf('%.2f', $row->{balance}) if defined $row->{balance};
			push @wrong, "$code is " . ($is_here ? 'here' : 'at the provider') . ' only'
			  if $is_here != !!$theirs;
			push @wrong, map { "$code: $_ is " . ($row->{$_} // '(none)') . ', and '
				  . ($theirs->{$_} // '(none)') . ' at the provider' }
			  grep { ($row->{$_} // '') ne ($theirs->{$_} // '') } qw(name phone email balance)
			  if $is_here && $theirs;
		}
		$self->{mirror} = \@wrong;
		return unless @wrong;
		sleep(0.2);
	} while (time < $end);
	return;
}

sub failed_at_all
{
	my ($self) = @_;

	return @{ $self->{verdict}{faults} } || $self->{parked} || $self->{failed} || $self->{stuck} ||
	  @{ $self->{mirror} };
}

# ---- what it says --------------------------------------------------------

sub listed
{
	my ($counts) = @_;

	return join(', ', map { "$_ $counts->{$_}" } sort keys %$counts) || 'none';
}

sub report
{
	my ($self) = @_;
	my $counts = $self->{verdict}{counts};
	my $ended = $self->{load}->ended;
	my $begun = 0;
	my %ops;

	$begun += $_ foreach values %$ended;
	$ops{ $_->{op} }++ foreach @{ $self->{intents} };
	return sprintf(<<'END',
seed %d: %s
  settings      %s, workers %d
  transactions  %d begun (%s), of which %d that wanted something were committed
  intents       %d: %s
  faults        %s
  done to them  %s
  errors        %s
  jobs          %d in %.0f s (%.0f s of load): %.0f/s; left: %s
  effects       %d; merged updates %d, values sent again %d
  lost %d, doubled %d, not committed or not asked for %d, out of order %d, wrong value %d, wrong state %d
  parked %d, failed %d, unfinished %d
  mirrored      %d; other than at the provider %d
END
		$self->{seed}, $self->failed_at_all ? 'FAILED' : 'ok',
		join(', ', map { "$_ $self->{options}{$_}" } sort keys %{ $self->{options} }), $self->{workers},
		$begun, listed($ended), $self->{finished_tx},
		$counts->{intents}, listed(\%ops),
		listed($self->{hits}),
		listed($self->{done}),
		listed($self->{sqlstates}),
		$self->{jobs}, $self->{all_seconds}, $self->{load_seconds},
		$self->{jobs} / $self->{all_seconds}, join(' ', split(/\n/, $self->{states})),
		$counts->{effects}, $counts->{merged}, $counts->{repeated},
		(map { $counts->{$_} } qw(lost doubled foreign disorder value state)),
		$self->{parked}, $self->{failed}, $self->{stuck},
		$self->{mirrored}, scalar(@{ $self->{mirror} }));
}

# What is known of the first things that went wrong.
sub details
{
	my ($self, $most) = @_;
	my @faults = @{ $self->{verdict}{faults} };
	my @mirror = @{ $self->{mirror} };
	my $text = join('', map { "mirror: $_\n" } grep { defined } @mirror[0 .. $most - 1]);
	my %told;

	foreach my $fault (@faults)
	{
		last if keys %told >= $most;
		$text .= "$fault->{kind}: $fault->{key}: $fault->{text}\n";
		$text .= $self->story($fault->{key}) unless $told{ $fault->{key} }++;
	}
	foreach my $job (@{ $self->{left} })
	{
		last if keys %told >= 2 * $most;
		next if $told{ $job->{key} }++;
		$text .= "$job->{state}: job $job->{id}\n" . $self->story($job->{key});
	}
	return $text;
}

# All that is known about one customer.
sub story
{
	my ($self, $key) = @_;
	my $json = JSON::PP->new->canonical;
	my $text = '';

	$text .= '  intent ' . $json->encode($_) . "\n"
	  foreach grep { $_->{key} eq $key } @{ $self->{intents} };
	$text .= '  effect ' . $json->encode($_) . "\n"
	  foreach grep { ($_->{sync_code} // $_->{key}) eq $key } @{ $self->{effects} };
	$text .= '  job ' . $json->encode($_) . "\n"
	  foreach @{ $self->rows("SELECT * FROM bill24.outbox WHERE key = '$key' ORDER BY id") };
	return $text;
}

# Files that outlive the server.
sub keep
{
	my ($self, $directory) = @_;
	my $json = JSON::PP->new->canonical;
	my %files = (
		report => $self->report . $self->details(1000),
		intents => join('', map { $json->encode($_) . "\n" } @{ $self->{intents} }),
		effects => join('', map { $json->encode($_) . "\n" } @{ $self->{effects} }),
		outbox => join('', map { $json->encode($_) . "\n" }
			  @{ $self->rows('SELECT * FROM bill24.outbox ORDER BY id') }));

	mkdir($directory);
	foreach my $name (sort keys %files)
	{
		open(my $out, '>', "$directory/$name") or die "could not write $directory/$name: $!";
		print $out $files{$name};
		close($out);
	}
	system('cp', "$self->{directory}/$_", $directory)
	  foreach qw(server.log journal chaos.log);
	return;
}

# end: the server and the simulator go, in an orderly way; what a server says
# while it stops is of interest too.
sub end
{
	my ($self) = @_;

	$_->{session} && $_->{session}->end foreach @{ $self->{slots} };
	$self->{admin}->end if $self->{admin};
	$self->{node}->stop('fast');
	$self->{sim}->stop;
	return;
}

1;
