/*-------------------------------------------------------------------------
 *
 * bill24_found.c
 *	  Is what a look-up found the change whose answer was lost?
 *
 * The documentation has no idempotency key, so a change is recognized by the
 * key it has at the biller (sync_code, ref_id) and by its data.  Whatever
 * differs is left to a person.
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "provider.h"

/* A text or number as text; "" when absent, null or something else. */
static const char *
text_of(const B24Json *json)
{
	const char *text = b24_json_string(json, NULL);

	if (text == NULL)
		text = b24_json_number(json);
	return text != NULL ? text : "";
}

/* The digits of a number without those that say nothing. */
static size_t
significant(const char **text)
{
	size_t		length = strlen(*text);
	const char *point;

	while (length > 1 && (*text)[0] == '0' && (*text)[1] >= '0' && (*text)[1] <= '9')
	{
		(*text)++;
		length--;
	}
	point = memchr(*text, '.', length);
	if (point != NULL && strpbrk(*text, "eE") == NULL)
	{
		while ((*text)[length - 1] == '0')
			length--;
		if ((*text)[length - 1] == '.')
			length--;
	}
	return length;
}

/* Numbers as they are written out; 100 is 100.00, but not 1e2. */
static bool
same_number(const char *a, const char *b)
{
	size_t		length_a = significant(&a);
	size_t		length_b = significant(&b);

	return length_a == length_b && memcmp(a, b, length_a) == 0;
}

static bool
answers(const B24Json *arguments, const B24Json *result, const char *key,
		B24Problem *problem)
{
	const char *asked = text_of(b24_json_get(arguments, key));
	const char *told = text_of(b24_endpoint_field(result, key));

	if (asked[0] != '\0' && strcmp(asked, told) == 0)
		return true;
	b24_problem(problem, B24_NONSENSE, told[0] == '\0' ?
				"the look-up does not say which %s it is about" :
				"the look-up is about another %s than was asked for", key);
	return false;
}

/*
 * Payment Method: Get Customer Details, after Create Customer.  What was not
 * sent is null there (observed on the demo server).  Wallets are not compared:
 * they appear some seconds later, and with names of the provider's.
 */
B24Found
b24_customer_found(const B24Json *arguments, const B24Json *result,
				   B24Problem *problem)
{
	static const char *const fields[] = {"name", "name_kh", "phone", "email"};

	if (!answers(arguments, result, "sync_code", problem))
		return B24_FOUND_NONSENSE;
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
	{
		if (strcmp(text_of(b24_json_get(arguments, fields[i])),
				   text_of(b24_endpoint_field(result, fields[i]))) == 0)
			continue;
		b24_problem(problem, B24_ALREADY_EXISTS,
					"there is a customer with this sync_code and another %s",
					fields[i]);
		return B24_FOUND_OTHER;
	}
	return B24_FOUND_OURS;
}

/*
 * Payment Method: Get single bill, after Settle Payment.  A bill whose charge
 * was refused stays, unpaid, and its ref_id cannot be pushed again (observed
 * on the demo server).
 */
B24Found
b24_bill_found(const B24Json *arguments, const B24Json *result,
			   B24Problem *problem)
{
	const char *status = text_of(b24_endpoint_field(result, "bill_status"));
	const char *differs = NULL;

	if (!answers(arguments, result, "ref_id", problem))
		return B24_FOUND_NONSENSE;
	if (strcmp(text_of(b24_json_get(arguments, "sync_code")),
			   text_of(b24_endpoint_field(result, "sync_code"))) != 0)
		differs = "customer";
	else if (strcmp(text_of(b24_json_get(arguments, "currency")),
					text_of(b24_endpoint_field(result, "currency"))) != 0)
		differs = "currency";
	else if (!same_number(text_of(b24_json_get(arguments, "amount")),
						  text_of(b24_endpoint_field(result, "total_amount"))))
		differs = "amount";
	if (differs != NULL)
	{
		b24_problem(problem, B24_ALREADY_EXISTS,
					"there is a bill with this ref_id and another %s", differs);
		return B24_FOUND_OTHER;
	}
	if (strcmp(status, "paid") == 0)
		return B24_FOUND_OURS;

	/* the provider's word for it is not quoted: this goes into the job's row */
	b24_problem(problem, B24_ALREADY_EXISTS, "the bill is there, but not paid");
	return B24_FOUND_OTHER;
}
