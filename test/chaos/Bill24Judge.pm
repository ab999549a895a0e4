# What the provider did, held against what was committed.
#
#	my $verdict = Bill24Judge::judge(
#		intents   => [ ... ],	what was committed, in order
#		effects   => [ ... ],	what happened at the provider, in order
#		expected  => { ... },	customers by code, as the database has them
#		customers => { ... },	the same as the provider has them
#		tried     => { ... });	values that transactions tried, committed or not
#
#	$verdict->{faults}	[ { kind => 'lost', key => ..., text => ... }, ... ]
#	$verdict->{counts}	intents, effects, and of each kind of fault
#
# An intent is { op, key, name, phone }, where op is create, update or delete,
# or { op => 'charge', key, ref, amount, ordered }.  name and phone are the
# customer's values after it, for a delete those before.  Every change gives a
# customer a pair of them that it never had, so an effect tells which change it
# came from.
#
# What is right, per customer:
#
#	- a create, a delete and a charge happen exactly once, in their order;
#	- an update happens, or a later one does before anything but an update:
#	  what waits may be merged into what comes behind it;
#	- the values that the customer has already may be sent again, which is what
#	  becomes of a lost answer; a value that was replaced never comes back;
#	- nothing else happens.
#
# The kinds of faults: lost, doubled, foreign (nothing committed asks for it),
# disorder, value (the right thing with a wrong amount), state (the customer is
# not what the database says).

package Bill24Judge;

use strict;
use warnings;

my @kinds = qw(lost doubled foreign disorder value state);

sub judge
{
	my %case = @_;
	my $self = bless {
		faults => [],
		tried => $case{tried} || {},
		counts => { map { $_ => 0 } @kinds, qw(intents effects merged repeated) }
	}, __PACKAGE__;
	my (%intents, %effects);

	push @{ $intents{ $_->{key} } }, $_ foreach @{ $case{intents} };
	push @{ $effects{ $_->{sync_code} // $_->{key} } }, $_
	  foreach @{ $case{effects} };
	$self->{counts}{intents} = @{ $case{intents} };
	$self->{counts}{effects} = @{ $case{effects} };

	my %keys = (%intents, %effects);
	foreach my $key (sort keys %keys)
	{
		$self->judge_key($key, $intents{$key} || [], $effects{$key} || []);
	}
	$self->judge_state($case{expected}, $case{customers})
	  if $case{expected};
	return { faults => $self->{faults}, counts => $self->{counts} };
}

sub fault
{
	my ($self, $kind, $key, $text) = @_;

	push @{ $self->{faults} }, { kind => $kind, key => $key, text => $text };
	$self->{counts}{$kind}++;
	return;
}

# Which change something is, or came from.
sub tag
{
	my ($change) = @_;

	return join('/', $change->{op}, $change->{ref}) if $change->{op} eq 'charge';
	return join('/', $change->{op}, values_of($change));
}

sub values_of
{
	my ($change) = @_;

	return join('/', map { $_ // '' } @$change{qw(name phone)});
}

sub judge_key
{
	my ($self, $key, $intents, $all_effects) = @_;
	my @effects =
	  map { { %$_, op => $_->{effect}, ref => $_->{key} } } @$all_effects;
	my %wanted = map { tag($_) => $_ } @$intents;
	my (%happened, $values);

	# Each by itself: how often it happened.
	foreach my $effect (@effects)
	{
		my $tag = tag($effect);
		my $intent = $wanted{$tag};

		$happened{$tag}++;
		if ($effect->{op} eq 'charge' && $intent)
		{
			$self->fault('value', $key,
				"$tag: $effect->{amount} instead of $intent->{amount}")
			  if $effect->{amount} != $intent->{amount};
		}
		elsif (!$intent)
		{
			# the values that are there already are harmless
			next
			  if $effect->{op} eq 'update' && defined $values && $values eq values_of($effect);
			my $known = $self->{tried}{ $effect->{ref} }
			  || $self->{tried}{ $effect->{name} // '' }
			  || $self->{tried}{ $effect->{phone} // '' };
			$self->fault('foreign', $key,
				"$tag: " . ($known ? 'was not committed' : 'nobody asked for it'));
		}
		$values = values_of($effect) unless $effect->{op} eq 'charge';
	}
	foreach my $intent (grep { $_->{op} ne 'update' } @$intents)
	{
		my $tag = tag($intent);
		my $times = $happened{$tag} // 0;

		$self->fault('lost', $key, "$tag: never happened") if $times == 0;
		$self->fault('doubled', $key, "$tag: happened $times times")
		  if $times > 1;
	}

	$self->judge_order($key,
		[ grep { $_->{op} ne 'charge' || $_->{ordered} } @$intents ],
		[ grep { $wanted{ tag($_) } } @effects ]);
	return;
}

# Walk along the intents as the effects come.
sub judge_order
{
	my ($self, $key, $intents, $effects) = @_;
	my %place = map { tag($intents->[$_]) => $_ } 0 .. $#$intents;
	my (%seen, %reached);
	my $at = -1;
	my $values;

	foreach my $effect (@$effects)
	{
		my $tag = tag($effect);
		my $place = $place{$tag} // next;	# a charge that has no order
		my $again = $seen{$tag}++;

		if ($place > $at)
		{
			$at = $place;
		}
		elsif ($effect->{op} eq 'update'
			&& ($place == $at || (defined $values && $values eq values_of($effect))))
		{
			$self->{counts}{repeated}++;
		}
		elsif ($effect->{op} eq 'update' || !$again)
		{
			$self->fault('disorder', $key,
				"$tag: came after " . tag($intents->[$at]));
		}
		$reached{$tag} = 1;
		$values = values_of($effect) unless $effect->{op} eq 'charge';
	}

	# An update that did not happen needs one behind it that did.
	foreach my $i (grep { $intents->[$_]{op} eq 'update' } 0 .. $#$intents)
	{
		my $tag = tag($intents->[$i]);
		my $next = $i + 1;

		next if $reached{$tag};
		$next++
		  while $next < @$intents
		  && $intents->[$next]{op} eq 'update'
		  && !$reached{ tag($intents->[$next]) };
		if ($next < @$intents && $intents->[$next]{op} eq 'update')
		{
			$self->{counts}{merged}++;
		}
		else
		{
			$self->fault('lost', $key,
				"$tag: neither it nor an update right behind it happened");
		}
	}
	return;
}

# The customers as they are in the end.
sub judge_state
{
	my ($self, $expected, $customers) = @_;
	my %keys = (%$expected, %$customers);

	foreach my $key (sort keys %keys)
	{
		my ($ours, $theirs) = ($expected->{$key}, $customers->{$key});

		if (!$theirs)
		{
			$self->fault('state', $key, 'is not at the provider');
			next;
		}
		if (!$ours)
		{
			$self->fault('state', $key, 'is at the provider only');
			next;
		}
		foreach my $field (sort keys %$ours)
		{
			my ($our, $their) = map { $_->{$field} // '(none)' } $ours, $theirs;

			next if $our eq $their;
			$self->fault('state', $key,
				"$field is $their at the provider, $our in the database");
		}
	}
	return;
}

1;
