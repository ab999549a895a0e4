/*
 * money.c
 *		Exact amounts.  A binary fraction never touches one: 0.1 + 0.2 is 0.3.
 */
#include "sim.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define SCALE	10				/* digits kept behind the point */
#define UNIT	INT64_C(10000000000)	/* 10^SCALE */
#define DIGITS	37				/* what fits, one below the limit of 128 bits */

/*
 * Read a number as JSON writes one, exponent included.  False if it is no
 * number, too large, or has more digits behind the point than are kept.
 */
bool
sim_money_parse(const char *text, SimMoney *money)
{
	SimMoney	value = 0;
	bool		negative = false;
	int			digits = 0;
	int			shift = SCALE;	/* decimal places still to move */
	bool		any = false;

	if (*text == '-')
	{
		negative = true;
		text++;
	}
	for (int behind = 0; isdigit((unsigned char) *text) ||
		 (*text == '.' && !behind); text++)
	{
		if (*text == '.')
		{
			behind = 1;
			continue;
		}
		any = true;
		value = value * 10 + (*text - '0');
		if (value != 0 && ++digits > DIGITS)
			return false;
		shift -= behind;
	}
	if (!any)
		return false;
	if (*text == 'e' || *text == 'E')
	{
		int			exponent;
		int			length = 0;

		if (sscanf(text + 1, "%6d%n", &exponent, &length) != 1)
			return false;
		text += 1 + length;
		shift += exponent;
	}
	if (*text != '\0')
		return false;

	if (value == 0)
		shift = 0;
	for (; shift > 0; shift--)
	{
		value *= 10;
		if (++digits > DIGITS)
			return false;
	}
	for (; shift < 0; shift++)
	{
		if (value % 10 != 0)
			return false;
		value /= 10;
	}
	*money = negative ? -value : value;
	return true;
}

/*
 * Write an integer of 128 bits; returns its length.
 */
static int
print_wide(SimMoney value, char *text)
{
	char		reversed[SIM_MONEY_SIZE];
	int			length = 0;

	do
	{
		reversed[length++] = '0' + (int) (value % 10);
		value /= 10;
	} while (value != 0);
	for (int i = 0; i < length; i++)
		text[i] = reversed[length - 1 - i];
	text[length] = '\0';
	return length;
}

/*
 * The shortest exact text: 10.50 is told as 10.5, and 10.00 as 10.
 */
void
sim_money_text(SimMoney money, char *text)
{
	int64_t		fraction;
	int			length;

	if (money < 0)
	{
		*text++ = '-';
		money = -money;
	}
	text += print_wide(money / UNIT, text);
	fraction = (int64_t) (money % UNIT);
	if (fraction == 0)
		return;
	length = snprintf(text, SCALE + 2, ".%010lld", (long long) fraction);
	while (text[length - 1] == '0')
		text[--length] = '\0';
}

/*
 * As people read it: 1,234.00.  What is beyond two digits is cut off.
 */
void
sim_money_display(SimMoney money, char *text)
{
	char		whole[SIM_MONEY_SIZE];
	int			length;

	if (money < 0)
	{
		*text++ = '-';
		money = -money;
	}
	length = print_wide(money / UNIT, whole);
	for (int i = 0; i < length; i++)
	{
		*text++ = whole[i];
		if (i < length - 1 && (length - 1 - i) % 3 == 0)
			*text++ = ',';
	}
	sprintf(text, ".%02d", (int) (money % UNIT / (UNIT / 100)));
}
