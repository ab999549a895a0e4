
# The judge of the chaos test finds what it is there to find.

use strict;
use warnings;

use File::Basename;
use lib dirname(__FILE__) . '/../chaos';
use Bill24Judge;
use Test::More;

my @intents = (
	{ op => 'create', key => 'A', name => 'a1', phone => 1 },
	{ op => 'update', key => 'A', name => 'a2', phone => 1 },
	{ op => 'update', key => 'A', name => 'a2', phone => 2 },
	{ op => 'update', key => 'A', name => 'a3', phone => 2 },
	{ op => 'delete', key => 'A', name => 'a3', phone => 2 },
	{ op => 'create', key => 'A', name => 'a4', phone => 3 },
	{ op => 'charge', key => 'B', ref => 'R1', amount => '0.10', ordered => 1 },
	{ op => 'update', key => 'B', name => 'b1', phone => undef },
	{ op => 'charge', key => 'B', ref => 'R2', amount => 7, ordered => 1 },
	{ op => 'charge', key => 'D', ref => 'R3', amount => 1 },
	{ op => 'charge', key => 'D', ref => 'R4', amount => 2 });

sub customer
{
	my ($effect, $key, $name, $phone) = @_;

	return { effect => $effect, key => $key, name => $name, phone => $phone };
}

sub charge
{
	my ($ref, $sync_code, $amount) = @_;

	return {
		effect => 'charge', key => $ref, sync_code => $sync_code,
		amount => $amount
	};
}

my %effect = (
	c1 => customer('create', 'A', 'a1', 1),
	u1 => customer('update', 'A', 'a2', 1),
	u2 => customer('update', 'A', 'a2', 2),
	u3 => customer('update', 'A', 'a3', 2),
	d1 => customer('delete', 'A', 'a3', 2),
	c2 => customer('create', 'A', 'a4', 3),
	r1 => charge('R1', 'B', 0.1),
	b1 => customer('update', 'B', 'b1', undef),
	r2 => charge('R2', 'B', 7),
	r3 => charge('R3', 'D', 1),
	r4 => charge('R4', 'D', 2),
	rolled => customer('create', 'C', 'c1', 1),
	rolled_update => customer('update', 'A', 'a9', 1),
	unknown => charge('R9', 'B', 1),
	dear => charge('R2', 'B', 7.01));
my $right = 'c1 u1 u2 u3 d1 c2 r1 b1 r2 r3 r4';

# The faults that are found in a list of effects.
sub found
{
	my ($list, %more) = @_;
	my $verdict = Bill24Judge::judge(
		intents => \@intents,
		effects => [ map { $effect{$_} // die $_ } split(/ /, $list) ],
		tried => { c1 => 1, a9 => 1 },
		%more);

	return join(', ', sort map { "$_->{kind} $_->{key}" } @{ $verdict->{faults} });
}

# The right list with something replaced.
sub changed
{
	my ($what, $by) = @_;
	my $list = " $right ";

	$list =~ s/ \Q$what\E / $by / or die $what;
	$list =~ s/\s+/ /g;
	$list =~ s/^ | $//g;
	return $list;
}

is(found($right), '', 'all that was committed, once, in order');
is(found('r4 r3 c1 r1 u1 b1 u2 r2 u3 d1 c2'), '', 'in another order between customers, and of what has none');
is(found(changed('u1 u2', 'u2')), '', 'an update may be merged into the next one');
is(found(changed('u1 u2 u3', 'u3')), '', 'or two');
is(found(changed('u2', 'u2 u2')), '', 'the same value may be sent again');

is(found(changed('c1', '')), 'lost A', 'a lost create');
is(found(changed('d1', '')), 'lost A', 'a lost delete');
is(found(changed('r1', '')), 'lost B', 'a lost charge');
is(found(changed('r3', '')), 'lost D', 'one that has no order');
is(found(changed('u3', '')), 'lost A', 'a lost update, although there were earlier ones');
is(found(changed('b1', '')), 'lost B', 'a lost update is not merged into what is no update');
is(found(''), join(', ', ('lost A') x 6, ('lost B') x 3, ('lost D') x 2), 'everything lost');

is(found(changed('c1', 'c1 c1')), 'doubled A', 'a doubled create');
is(found(changed('d1', 'd1 d1')), 'doubled A', 'a doubled delete');
is(found(changed('r2', 'r2 r2')), 'doubled B', 'a doubled charge');
is(found(changed('r2', 'r2 r2 r2')), 'doubled B', 'a charge three times');
is(found("$right r3"), 'doubled D', 'one that has no order');
is(found("$right c1"), 'doubled A', 'a create that comes again much later');

is(found("$right rolled"), 'foreign C', 'a create of a transaction that was rolled back');
is(found(changed('u2', 'rolled_update u2')), 'foreign A', 'such an update');
is(found("$right unknown"), 'foreign B', 'a charge that nobody asked for');
is(found(changed('r2', 'dear')), 'value B', 'a charge of another amount');

is(found(changed('u1 u2', 'u2 u1')), 'disorder A', 'two updates the other way round');
is(found(changed('u3', 'u3 u2')), 'disorder A', 'an old value after a newer one');
is(found(changed('u1 u2', 'u1 u2 u1 u2')), 'disorder A', 'even if the newer one comes again');
is(found(changed('c1 u1', 'u1 c1')), 'disorder A', 'an update before the create');
is(found(changed('d1 c2', 'c2 d1')), 'disorder A', 'a delete after the create behind it');
is(found(changed('b1 r2', 'r2 b1')), 'disorder B', 'an update after the charge behind it');
is(found(changed('r1 b1 r2', 'r2 b1 r1')), 'disorder B, disorder B', 'two charges the other way round');

my $expected = { A => { name => 'a4', phone => 3 }, B => { name => 'b1', phone => undef, balance => '92.90' } };
my $same = { A => { name => 'a4', phone => 3 }, B => { name => 'b1', phone => undef, balance => '92.90' } };
my $state = sub {
	my ($change) = @_;
	my %customers = map { $_ => { %{ $same->{$_} } } } keys %$same;

	$change->(\%customers) if $change;
	return found($right, expected => $expected, customers => \%customers);
};
is($state->(), '', 'the same customers on both sides');
is($state->(sub { delete $_[0]->{A} }), 'state A', 'one is missing');
is($state->(sub { $_[0]->{C} = {} }), 'state C', 'one is too many');
is($state->(sub { $_[0]->{A}{name} = 'a3' }), 'state A', 'one has an old name');
is($state->(sub { $_[0]->{B}{phone} = 4 }), 'state B', 'one has a telephone number');
is($state->(sub { $_[0]->{B}{balance} = '85.90' }), 'state B', 'one has too little money');

my $counts = Bill24Judge::judge(
	intents => \@intents,
	effects => [ map { $effect{$_} } split(/ /, changed('u1 u2', 'u2 u2')) ])->{counts};
is("$counts->{intents} $counts->{effects} $counts->{merged} $counts->{repeated}",
	'11 11 1 1', 'it counts');

done_testing();
