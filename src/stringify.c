/*-------------------------------------------------------------------------
 *
 * stringify.c
 *	  JSON as ECMAScript's JSON.stringify writes it.
 *
 * A server may check a signature over the bytes that came, or over what it
 * makes of them by JSON.stringify(JSON.parse(body)).  The text of a value that
 * comes from here is the same for both: numbers are in their shortest form,
 * and members whose keys are array indexes come first, in ascending order.
 * (Strings are written by json.c, which escapes what JSON.stringify does; a
 * key that was given twice has its last value in its first place already.)
 *
 * A number that such a server could not keep is refused, since the two
 * readings would differ: 0.10 goes out as 0.1, but 12345678901234567890 would
 * become 12345678901234567000 there.
 *
 *-------------------------------------------------------------------------
 */
#include "stringify.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* So many digits tell any two doubles apart. */
#define MOST_DIGITS 17

/* Exponents are far smaller, unless the number is zero or too large anyway. */
#define FAR 1000000

/*
 * A number as 0.DIGITS * 10^exponent, with neither a first nor a last digit
 * that is zero; no digits at all is zero.
 */
typedef struct Decimal
{
	const char *digits;			/* may have one "." in them */
	size_t		length;
	long		exponent;
} Decimal;

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* The text is one of a JSON number. */
static Decimal
decimal_of(const char *text)
{
	const char *end;
	const char *point;
	const char *last;
	Decimal		d;

	if (*text == '-')
		text++;
	end = text + strspn(text, "0123456789.");
	point = memchr(text, '.', (size_t) (end - text));
	while (text < end && !(*text >= '1' && *text <= '9'))
		text++;
	last = end;
	while (last > text && !(last[-1] >= '1' && last[-1] <= '9'))
		last--;
	d.digits = text;
	d.length = (size_t) (last - text);
	if (point == NULL)
		point = end;
	d.exponent = text <= point ? (long) (point - text) : (long) (point - text) + 1;
	if (*end == 'e' || *end == 'E')
	{
		long		exponent = strtol(end + 1, NULL, 10);

		d.exponent += exponent > FAR ? FAR : exponent < -FAR ? -FAR : exponent;
	}
	return d;
}

static bool
same_decimal(Decimal a, Decimal b)
{
	size_t		i = 0;
	size_t		j = 0;

	if (a.length == 0 || b.length == 0)
		return a.length == b.length;
	if (a.exponent != b.exponent)
		return false;
	while (i < a.length && j < b.length)
	{
		if (a.digits[i] == '.')
			i++;
		else if (b.digits[j] == '.')
			j++;
		else if (a.digits[i++] != b.digits[j++])
			return false;
	}
	return i == a.length && j == b.length;
}

/* Adds one to the last digit of d.ddde+xx; false if that gives one digit more. */
static bool
next_decimal(char *text)
{
	char	   *p = text + strcspn(text, "e");

	while (p > text)
	{
		p--;
		if (!is_digit(*p))
			continue;
		if (*p < '9')
		{
			++*p;
			return true;
		}
		*p = '0';
	}
	return false;
}

/*
 * The shortest digits that are read as this positive number again, the nearest
 * of them, as d.ddde+xx.
 */
static void
shortest(double value, char text[B24_NUMBER_SIZE])
{
	for (int digits = 1; digits <= MOST_DIGITS; digits++)
	{
		snprintf(text, B24_NUMBER_SIZE, "%.*e", digits - 1, value);
		if (strtod(text, NULL) == value)
			return;

		/* below a power of two there is less room than above it */
		if (next_decimal(text) && strtod(text, NULL) == value)
			return;
	}
}

/*
 * Number::toString of ECMAScript, of the double that is read from a JSON
 * number.  False if that is another number than the text says.
 */
bool
b24_stringify_number(const char *digits, char out[B24_NUMBER_SIZE])
{
	double		value = strtod(digits, NULL);
	char		text[B24_NUMBER_SIZE];
	char		pure[MOST_DIGITS + 1];
	Decimal		d;
	int			k = 0;
	int			n;

	if (!isfinite(value))
		return false;
	if (value == 0)
	{
		/* also minus zero */
		strcpy(out, "0");
		return decimal_of(digits).length == 0;
	}
	shortest(fabs(value), text);
	d = decimal_of(text);
	if (!same_decimal(d, decimal_of(digits)))
		return false;

	for (size_t i = 0; i < d.length; i++)
	{
		if (is_digit(d.digits[i]))
			pure[k++] = d.digits[i];
	}
	pure[k] = '\0';
	n = (int) d.exponent;
	if (value < 0)
		*out++ = '-';
	if (k <= n && n <= 21)
		snprintf(out, B24_NUMBER_SIZE - 1, "%s%.*s", pure, n - k, "000000000000000000000");
	else if (0 < n && n <= 21)
		snprintf(out, B24_NUMBER_SIZE - 1, "%.*s.%s", n, pure, pure + n);
	else if (-6 < n && n <= 0)
		snprintf(out, B24_NUMBER_SIZE - 1, "0.%.*s%s", -n, "00000", pure);
	else
		snprintf(out, B24_NUMBER_SIZE - 1, "%c%s%se%+d", pure[0], k > 1 ? "." : "", pure + 1, n - 1);
	return true;
}

/* A member, and where it belongs. */
typedef struct Member
{
	const char *key;
	B24Json    *value;
	int64_t		index;			/* of an array; -1: it is no such key */
	size_t		place;
} Member;

typedef struct Members
{
	Member	   *list;
	size_t		count;
} Members;

/* The array index that a key is: 0 to 2^32 - 2, without leading zeros. */
static int64_t
array_index(const char *key)
{
	size_t		length = strlen(key);
	int64_t		index;

	if (length == 0 || length > 10 || strspn(key, "0123456789") != length ||
		(key[0] == '0' && length > 1))
		return -1;
	index = strtoll(key, NULL, 10);
	return index < UINT32_MAX ? index : -1;
}

static bool
count_member(const char *key, B24Json *value, void *context)
{
	(void) key;
	(void) value;
	((Members *) context)->count++;
	return true;
}

static bool
take_member(const char *key, B24Json *value, void *context)
{
	Members    *members = context;
	Member	   *m = &members->list[members->count];

	m->key = key;
	m->value = value;
	m->index = array_index(key);
	m->place = members->count++;
	return true;
}

static int
compare_members(const void *a, const void *b)
{
	const Member *x = a;
	const Member *y = b;

	if (x->index != y->index && x->index >= 0 && y->index >= 0)
		return x->index < y->index ? -1 : 1;
	if ((x->index >= 0) != (y->index >= 0))
		return x->index >= 0 ? -1 : 1;
	return x->place < y->place ? -1 : x->place > y->place;
}

static B24Status
no_memory(B24Problem *problem)
{
	return b24_problem(problem, B24_NO_MEMORY, "out of memory");
}

static B24Status
stringify_object(const B24Json *object, B24Json *out, B24Problem *problem)
{
	Members		members = {NULL, 0};
	B24Status	status = B24_OK;

	b24_json_each(object, count_member, &members);
	members.list = malloc((members.count + 1) * sizeof(Member));
	if (members.list == NULL)
		return no_memory(problem);
	members.count = 0;
	b24_json_each(object, take_member, &members);
	qsort(members.list, members.count, sizeof(Member), compare_members);
	for (size_t i = 0; i < members.count && status == B24_OK; i++)
	{
		B24Json    *value = NULL;

		status = b24_stringify(members.list[i].value, &value, problem);
		if (status == B24_OK && !b24_json_set(out, members.list[i].key, value))
			status = no_memory(problem);
	}
	free(members.list);
	return status;
}

static B24Status
stringify_array(const B24Json *array, B24Json *out, B24Problem *problem)
{
	B24Status	status = B24_OK;

	for (size_t i = 0; i < b24_json_length(array) && status == B24_OK; i++)
	{
		B24Json    *value = NULL;

		status = b24_stringify(b24_json_element(array, i), &value, problem);
		if (status == B24_OK && !b24_json_append(out, value))
			status = no_memory(problem);
	}
	return status;
}

/*
 * A copy whose text is the same before and after a server has read it and
 * written it again.  *out is NULL for JSON's null, and if the status is not
 * B24_OK: B24_BAD_ARGUMENT for a number that would become another.
 */
B24Status
b24_stringify(const B24Json *value, B24Json **out, B24Problem *problem)
{
	char		number[B24_NUMBER_SIZE];
	B24Status	status = B24_OK;

	*out = NULL;
	switch (b24_json_type(value))
	{
		case B24_JSON_NULL:
			return B24_OK;
		case B24_JSON_BOOLEAN:
		case B24_JSON_STRING:
			*out = b24_json_share((B24Json *) value);
			return B24_OK;
		case B24_JSON_NUMBER:
			if (!b24_stringify_number(b24_json_number(value), number))
				return b24_problem(problem, B24_BAD_ARGUMENT,
								   "the number %.40s%s does not survive in a double, so that its signature might not match; send it as a string",
								   b24_json_number(value),
								   strlen(b24_json_number(value)) > 40 ? "..." : "");
			*out = b24_json_new_number(number);
			break;
		case B24_JSON_ARRAY:
			*out = b24_json_new_array();
			if (*out != NULL)
				status = stringify_array(value, *out, problem);
			break;
		case B24_JSON_OBJECT:
			*out = b24_json_new_object();
			if (*out != NULL)
				status = stringify_object(value, *out, problem);
			break;
	}
	if (*out == NULL)
		return no_memory(problem);
	if (status != B24_OK)
	{
		b24_json_free(*out);
		*out = NULL;
	}
	return status;
}
