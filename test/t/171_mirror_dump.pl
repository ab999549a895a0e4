
# What a dump has of the mirror, and how to have in it what it leaves out.

use strict;
use warnings;

use Bill24Mirror;
use Bill24Outbox;
use Bill24Session;
use Bill24Test;
use Test::More;

my $sim = start_simulator();
my $node = new_node('main');

setup_account($node, $sim, options => { mirror => 'true', sync_interval => '1h' });
my ($admin, $other) = connect_mirror($node, $sim);
customers('C', 20);

# The data of tables that match, in a dump that is made so.
sub dumped
{
	my (@arguments) = @_;
	my $file = Bill24Session::scratch() . '/dump.sql';

	is(system('pg_dump', '-f', $file, '-d', $node->connstr('postgres'), @arguments), 0, "pg_dump @arguments");
	open(my $in, '<', $file) or die;
	my $dump = join('', <$in>);
	close($in);
	return ($file, join(' ', $dump =~ /^COPY (\S+) /mg));
}

my @copies = ('bill24.customer_copy', 'bill24.wallet_copy', 'bill24.look_group');

my ($file, $tables) = dumped();
like($tables, qr/bill24\.tracked.*bill24\.wallet_change/, 'a dump has who is tracked, and the changes');
unlike($tables, qr/copy|look_group/, 'and not what can be read again');
(undef, $tables) = dumped(map { ('-t', $_) } @copies);
is($tables, '', 'not even if it is named: such are tables of extensions');

# as README says
$admin->ok('CREATE TABLE wallet_then AS SELECT * FROM bill24.wallet');
$admin->ok('CREATE TABLE customer_then AS SELECT * FROM bill24.customer');
($file, $tables) = dumped();
like($tables, qr/public\.customer_then public\.wallet_then/, 'what was put into tables is in it');
$node->safe_psql('postgres', 'CREATE DATABASE restored TEMPLATE template0');
is(system('psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-o', '/dev/null', '-f', $file, '-d', $node->connstr('restored')), 0, 'psql');
my $restored = Bill24Session->new($node, database => 'restored');
foreach my $what ('customer', 'wallet')
{
	my $rows = "string_agg(t::text, ',' ORDER BY sync_code)";

	is($restored->ok("SELECT count(*), $rows FROM ${what}_then t"), $admin->ok("SELECT count(*), $rows FROM bill24.$what t"), "$what: with all its columns, ages included");
}
is($restored->ok('SELECT (SELECT count(*) FROM bill24.customer_copy) + (SELECT count(*) FROM bill24.wallet_copy)'), 0, 'the copies themselves are read again');

done_testing();
