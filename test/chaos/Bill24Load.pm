# Transactions that an application could make, at random but from a seed.
#
#	my $load = Bill24Load->new;
#	$node->query($load->schema);
#	my $transaction = $load->transaction;
#	# { sql => 'BEGIN; ...; COMMIT', end => 'commit', gid => undef }
#	# end: commit, rollback, prepare (as gid), or none: no transaction block
#
# Four tables of customers:
#
#	customer	row level triggers		client	statement level triggers
#	hand		no trigger: what is to be sent is enqueued by hand
#	purse		customers with money, which are there from the start: charges
#				and changes, but nobody comes or goes
#
# Each transaction writes what it wants to happen at the provider into a table
# "intent", which is plain and logged.  What that holds in the end is the truth:
# a session that is killed during COMMIT does not know what became of it.  The
# sequence in it is drawn while the customer's row is locked, so that it tells
# the order in which the changes of a customer were committed.
#
# Values are never used twice, so that each effect tells which change it is.

package Bill24Load;

use strict;
use warnings;

my $pool = 60;		# customers of each table that are changed all the time
my $purses = 20;
my $balance = 1000000;
my %letter = (customer => 'C', client => 'K', hand => 'H', purse => 'M');

sub new
{
	my ($class) = @_;

	return bless { number => 0, tried => {}, begun => 0, ended => {} }, $class;
}

# Everything that was ever tried, and how many transactions ended in which way.
sub tried { return $_[0]->{tried}; }
sub ended { return $_[0]->{ended}; }

# What the provider has to know before the start.
sub seed
{
	return { prefix => 'M', count => $purses, balance => $balance };
}

sub schema
{
	my $columns = "'sync_code=code', 'name=full_name', 'phone=phone', 'email=mail'";
	my $sql = '';

	foreach my $table (sort keys %letter)
	{
		$sql .= "CREATE TABLE $table (code text PRIMARY KEY, full_name text NOT NULL,"
		  . ' phone text, mail text, note text, spent numeric NOT NULL DEFAULT 0);';
	}
	$sql .= 'CREATE TABLE intent (seq bigserial PRIMARY KEY, tx text NOT NULL,'
	  . ' op text NOT NULL, key text NOT NULL, name text, phone text, ref text,'
	  . ' amount numeric, ordered boolean);';
	$sql .= "INSERT INTO purse SELECT 'M' || lpad(i::text, 7, '0'),"
	  . " 'Customer M' || lpad(i::text, 7, '0') FROM generate_series(1, $purses) i;";
	$sql .= "CREATE TRIGGER outbox AFTER INSERT OR UPDATE OR DELETE ON $_"
	  . " FOR EACH ROW EXECUTE FUNCTION bill24_customer_trigger($columns);"
	  foreach 'customer', 'purse';
	$sql .= "CREATE TRIGGER outbox_$_->[0] AFTER $_->[0] ON client REFERENCING $_->[1]"
	  . " FOR EACH STATEMENT EXECUTE FUNCTION bill24_customer_trigger($columns);"
	  foreach [ 'insert', 'NEW TABLE AS new_rows' ],
	  [ 'update', 'OLD TABLE AS old_rows NEW TABLE AS new_rows' ],
	  [ 'delete', 'OLD TABLE AS old_rows' ];
	return $sql;
}

# The customers as the provider should have them: code, name, phone, email and
# balance.
sub expected
{
	return join(' UNION ALL ',
		map { "SELECT code, full_name, phone, mail, $_->[1] FROM $_->[0]" }
		  ([ 'customer', 'NULL::numeric' ], [ 'client', 'NULL' ], [ 'hand', 'NULL' ],
			[ 'purse', "$balance - coalesce((SELECT sum(amount) FROM intent WHERE key = code), 0)" ]));
}

# ---- chance --------------------------------------------------------------

sub chance { return rand() < $_[0]; }
sub one_of { return $_[int(rand(@_))]; }

# A value that was not there before.
sub fresh
{
	my ($self, $letter) = @_;
	my $value = $letter . ++$self->{number};

	$self->{tried}{$value} = 1;
	return $value;
}

# Codes of a table: of those that are changed all the time or, if they may be,
# new ones.
sub codes
{
	my ($self, $table, $count, $new) = @_;
	my %codes;

	while (keys %codes < $count)
	{
		my $code =
			$table eq 'purse' ? sprintf('M%07d', 1 + int(rand($purses)))
		  : $new && chance(0.3) ? $self->fresh($letter{$table} . 'N')
		  : $letter{$table} . (1 + int(rand($pool)));
		$codes{$code} = 1;
	}
	return sort keys %codes;
}

# ---- statements ----------------------------------------------------------

# intents(FROM, OP, COLUMNS): what the rows of a WITH query are recorded as.
sub intents
{
	my ($self, $from, $op, $columns) = @_;

	$columns //= 'full_name, phone';
	return 'INSERT INTO intent (tx, op, key, name, phone) '
	  . "SELECT '$self->{tx}', '$op', code, $columns FROM $from";
}

# change(TABLE, OP, STATEMENT): a statement that returns rows, and what is to
# become of them.  By hand it is enqueued as well.
sub change
{
	my ($self, $table, $op, $statement) = @_;
	my $request = $op eq 'delete'
	  ? "jsonb_build_object('sync_code', code)"
	  : "jsonb_build_object('sync_code', code, 'name', full_name, 'phone', phone, 'email', mail)";

	return "WITH x AS ($statement RETURNING *) " . $self->intents('x', $op)
	  if $table ne 'hand';
	return "WITH x AS ($statement RETURNING *), y AS (" . $self->intents('x', $op)
	  . ") SELECT bill24_enqueue('${op}_customer', jsonb_strip_nulls($request)) FROM x";
}

sub insert
{
	my ($self, $table) = @_;
	my $count = $table eq 'client' ? 1 + int(rand(8)) : 1;
	my @rows;

	foreach my $code ($self->codes($table, $count, 1))
	{
		my ($name, $phone) = ($self->fresh('v'), $self->fresh('p'));

		push @rows, "('$code', '$name', " . (chance(0.8) ? "'$phone', " : 'NULL, ')
		  . (chance(0.5) ? "'$name\@example.com')" : 'NULL)');
	}
	return $self->change($table, 'create',
		"INSERT INTO $table (code, full_name, phone, mail) VALUES "
		  . join(', ', @rows) . ' ON CONFLICT DO NOTHING');
}

# A new name or a new telephone number or both; of several customers at once
# their names have to differ.
sub update
{
	my ($self, $table) = @_;
	my $count = $table eq 'client' ? 1 + int(rand(5)) : 1;
	my @codes = $self->codes($table, $count, 0);
	my $name = $self->fresh('v');
	my $phone = $self->fresh('p');
	my $sets = one_of(
		"full_name = '$name'", "full_name = '$name'", "phone = '$phone'",
		"full_name = '$name', phone = '$phone', mail = '$name\@example.com'");

	return "UPDATE $table SET note = '$name' WHERE code = '$codes[0]'"
	  if $table ne 'hand' && chance(0.1);
	return $self->change($table, 'update',
		"UPDATE $table SET $sets WHERE code IN ("
		  . join(', ', map { "'$_'" } @codes) . ')');
}

sub delete
{
	my ($self, $table) = @_;
	my $count = $table eq 'client' ? 1 + int(rand(3)) : 1;

	return $self->change($table, 'delete',
		"DELETE FROM $table WHERE code IN ("
		  . join(', ', map { "'$_'" } $self->codes($table, $count, 0)) . ')');
}

# Another sync_code: for the provider one customer goes and another one comes.
sub rename
{
	my ($self, $table) = @_;
	my ($from) = $self->codes($table, 1, 0);
	my $to = chance(0.7) ? $self->fresh($letter{$table} . 'N')
	  : ($self->codes($table, 1, 0))[0];
	my $name = $self->fresh('v');

	return "WITH o AS (SELECT * FROM $table WHERE code = '$from' AND code <> '$to' FOR UPDATE),"
	  . " x AS (UPDATE $table t SET code = '$to', full_name = '$name' FROM o"
	  . ' WHERE t.code = o.code RETURNING t.*, o.code AS old_code,'
	  . ' o.full_name AS old_name, o.phone AS old_phone), y AS ('
	  . "INSERT INTO intent (tx, op, key, name, phone) SELECT '$self->{tx}', 'delete',"
	  . ' old_code, old_name, old_phone FROM x) ' . $self->intents('x', 'create');
}

# A charge, with the customer's row locked, and so in an order, or without.
sub settle
{
	my ($self) = @_;
	my ($code) = $self->codes('purse', 1, 0);
	my $ref = $self->fresh('R');
	my $amount = sprintf('%d.%02d', rand(50), 1 + rand(99));
	my $order = chance(0.7) ? 'true' : 'false';
	my $request = "jsonb_build_object('ref_id', '$ref', 'sync_code', code, 'amount', $amount,"
	  . " 'currency', 'KHR', 'payment_to', 'ST001', 'bill_date', '2026-01-01', 'due_date', '2099-01-01')";
	my $intent = 'INSERT INTO intent (tx, op, key, ref, amount, ordered) '
	  . "SELECT '$self->{tx}', 'charge', code, '$ref', $amount, '$order' FROM x";

	return ($order eq 'true'
		? "WITH x AS (UPDATE purse SET spent = spent + $amount WHERE code = '$code' RETURNING code)"
		: "WITH x AS (SELECT '$code' AS code)")
	  . ", y AS ($intent) SELECT bill24_enqueue('settle_payment', $request) FROM x";
}

sub step
{
	my ($self) = @_;
	my $table = one_of('customer', 'customer', 'client', 'hand', 'purse', 'purse');

	return chance(0.7) ? $self->settle : $self->update('purse')
	  if $table eq 'purse';
	return $self->rename($table) if $table ne 'hand' && chance(0.06);
	my $what = rand();
	return $self->insert($table) if $what < 0.45;
	return $self->update($table) if $what < 0.85;
	return $self->delete($table);
}

# ---- transactions --------------------------------------------------------

sub transaction
{
	my ($self) = @_;
	my $what = rand();

	$self->{begun}++;
	$self->{tx} = "t$self->{begun}";
	return $self->other if $what < 0.05;
	return $self->finish('none', $self->step) if $what < 0.10;

	my @steps = (chance(0.1) ? 'BEGIN ISOLATION LEVEL REPEATABLE READ' : 'BEGIN');
	foreach (1 .. 1 + int(rand(4)))
	{
		push @steps, $self->step;
		next unless chance(0.15);
		push @steps, 'SAVEPOINT s', map { $self->step } 1 .. 1 + int(rand(2));
		push @steps, 'SELECT 1/0' if chance(0.3);
		push @steps, 'ROLLBACK TO SAVEPOINT s';
	}

	$what = rand();
	return $self->finish('prepare', @steps, "PREPARE TRANSACTION '$self->{tx}'")
	  if $what < 0.08;
	return $self->finish('commit', @steps, 'COMMIT') if $what < 0.52;
	push @steps, 'SELECT 1/0' if chance(0.2);
	return $self->finish('rollback', @steps, 'ROLLBACK');
}

# What else goes on in such a database.
sub other
{
	my ($self) = @_;

	return $self->finish('none', one_of(
		"SELECT count(*) FROM bill24_get_wallet_balance('M0000001')",
		"SELECT bill24_wait((SELECT max(id) FROM bill24.outbox), '200ms')",
		"CALL bill24_work('200ms')",
		'VACUUM bill24.outbox'));
}

sub finish
{
	my ($self, $end, @steps) = @_;

	$self->{ended}{$end}++;
	return {
		sql => join(";\n", @steps),
		end => $end,
		gid => $end eq 'prepare' ? $self->{tx} : undef
	};
}

1;
