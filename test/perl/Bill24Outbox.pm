
# Jobs of the outbox, and what became of them.
#
#	use Bill24Outbox;
#
#	my $id = enqueue($session, 'create_customer', { sync_code => 'A', name => 'a' });
#	becomes($session, $id, 'done', 'it is delivered');
#	is(job($session, $id, 'attempts'), 1, 'at once');
#	is(effects($sim, 'A'), 'create(a)', 'once');

package Bill24Outbox;

use strict;
use warnings;

use Bill24Session;
use Exporter 'import';
use JSON::PP;
use Test::More ();

our @EXPORT = qw(enqueuing enqueue job becomes comes effects of_kind workers
  worker_waits settlement count_jobs);

# The values of a job's columns may be long in coming on a busy machine, but
# nothing that is waited for takes so long.
my $patience = 20;

# enqueuing(OPERATION, REQUEST, SERVER): the SQL expression.
sub enqueuing
{
	my ($operation, $request, $server) = @_;
	my $json = JSON::PP->new->canonical->allow_nonref->encode($request);

	$json =~ s/'/''/g;
	return sprintf("bill24_enqueue('%s', '%s', '%s')",
		$operation, $json, $server // 'bill24');
}

# enqueue(SESSION, OPERATION, REQUEST, SERVER): the job's number.
sub enqueue
{
	my ($session, @job) = @_;

	return $session->ok('SELECT ' . enqueuing(@job));
}

# The arguments of a payment.
sub settlement
{
	my ($ref_id, $sync_code, $amount) = @_;

	return {
		ref_id => $ref_id,
		sync_code => $sync_code,
		amount => $amount // 10,
		currency => 'KHR',
		payment_to => 'ST001',
		bill_date => '2025-11-20',
		due_date => '2099-12-31'
	};
}

# job(SESSION, ID, COLUMNS): of one job, its state if no columns are told.
sub job
{
	my ($session, $id, $columns) = @_;

	return $session->ok('SELECT ' . ($columns // 'state')
		  . " FROM bill24.outbox WHERE id = $id");
}

# comes(SESSION, SQL, VALUE, NAME, SECONDS): tests that a query has that result
# before long; a RegExp will do.
sub comes
{
	my ($session, $sql, $value, $name, $seconds) = @_;
	my $got;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $ok = comes_true(sub {
		$got = $session->ok($sql);
		return ref($value) ? $got =~ $value : $got eq $value;
	}, $seconds // $patience);
	Test::More::ok($ok, $name)
	  || Test::More::diag("$sql\n  has: $got\n  not: $value");
	return $ok;
}

# becomes(SESSION, ID, STATE, NAME, SECONDS): tests that a job gets into a state.
sub becomes
{
	my ($session, $id, $state, $name, $seconds) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return 1 if comes($session, "SELECT state FROM bill24.outbox WHERE id = $id",
		$state, $name, $seconds);
	Test::More::diag('  the job: '
		  . $session->ok("SELECT o FROM bill24.outbox o WHERE id = $id"));
	return 0;
}

sub count_jobs
{
	my ($session, $where) = @_;

	return $session->ok("SELECT count(*) FROM bill24.outbox WHERE $where");
}

# effects(SIMULATOR, KEY): what happened, in order, as "create(name) ..."; a
# charge is of its ref_id and of its customer.
sub effects
{
	my ($sim, $key) = @_;
	my @list;

	for (my $from = 1;;)
	{
		my $effects = $sim->get("/_sim/effects?from=$from&limit=1000");

		$effects = $effects->{effects} if ref $effects eq 'HASH';
		last unless @$effects;
		$from += @$effects;
		push @list, @$effects;
	}
	return join(' ', map { sprintf('%s(%s)', $_->{effect},
			$_->{effect} eq 'charge' ? $_->{key} : $_->{name}) }
		  grep { !defined $key || $_->{key} eq $key || ($_->{sync_code} // '') eq $key } @list);
}

# of_kind(SIMULATOR, KEY, COUNTER): how often something happened.
sub of_kind
{
	my ($sim, $key, $counter) = @_;

	return $sim->get("/_sim/effects?key=$key")->{$counter};
}

# The processes of the workers of this database.
sub workers
{
	my ($session) = @_;

	return split(/\n/, $session->ok('SELECT pid FROM pg_stat_activity'
		  . " WHERE backend_type = 'bill24 worker' AND datname = current_database() ORDER BY pid"));
}

# Whether a worker comes to wait for a lock, before long; with some ways of
# delivering none does.
sub worker_waits
{
	my ($session, $seconds) = @_;

	return comes_true(sub {
		$session->ok("SELECT count(*) FROM pg_stat_activity"
			  . " WHERE backend_type = 'bill24 worker' AND wait_event_type = 'Lock'") > 0;
	}, $seconds // 1);
}

1;
