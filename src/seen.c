/*-------------------------------------------------------------------------
 *
 * seen.c
 *	  A customer as an answer tells of it.
 *
 * Read leniently where a person reads it, strictly where money is: a wallet
 * without an id or a readable balance makes the whole answer unreadable,
 * rather than a balance that nobody has told (page "Get Customer Details").
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "compat.h"

#include "endpoint.h"
#include "seen.h"
#include "text.h"

/*
 * A member as text, *out NULL if it is null or not there.  Numbers are taken
 * for texts.  False if it is neither, or no text that a database can hold.
 */
static bool
read_text(const B24Json *object, const char *name, const char **out, B24Problem *problem)
{
	const B24Json *json = b24_endpoint_field(object, name);
	size_t		length = 0;
	const char *text = b24_json_string(json, &length);

	*out = NULL;
	if (b24_json_type(json) == B24_JSON_NULL)
		return true;
	if (text == NULL)
	{
		text = b24_json_number(json);
		length = text != NULL ? strlen(text) : 0;
	}
	if (text == NULL || strlen(text) != length)
	{
		b24_problem(problem, B24_NONSENSE, "field \"%s\" is no text", name);
		return false;
	}
	*out = text;
	return true;
}

/* Is it a number as JSON writes them?  Some servers put them into strings. */
static bool
is_number(const char *text)
{
	const char *digits;

	text += *text == '-';
	digits = text;
	text += strspn(text, "0123456789");
	if (text == digits)
		return false;
	if (*text == '.')
	{
		digits = ++text;
		text += strspn(text, "0123456789");
		if (text == digits)
			return false;
	}
	if (*text == 'e' || *text == 'E')
	{
		text++;
		text += *text == '-' || *text == '+';
		digits = text;
		text += strspn(text, "0123456789");

		/* and one that numeric can hold */
		if (text == digits || text - digits > 3)
			return false;
	}
	return *text == '\0';
}

static bool
read_wallet(const B24Json *json, B24SeenWallet *wallet, B24Problem *problem)
{
	if (b24_json_type(json) != B24_JSON_OBJECT)
	{
		b24_problem(problem, B24_NONSENSE, "a wallet is no object");
		return false;
	}
	if (!read_text(json, "id", &wallet->id, problem) ||
		!read_text(json, "name", &wallet->name, problem) ||
		!read_text(json, "balance", &wallet->balance, problem) ||
		!read_text(json, "currency", &wallet->currency, problem))
		return false;
	if (wallet->id == NULL || wallet->id[0] == '\0')
	{
		b24_problem(problem, B24_NONSENSE, "a wallet has no id");
		return false;
	}
	if (wallet->balance == NULL || !is_number(wallet->balance) ||
		strlen(wallet->balance) > 500)
	{
		b24_problem(problem, B24_NONSENSE, "a wallet has no readable balance");
		return false;
	}
	return true;
}

static uint64
add_to_digest(uint64 digest, const char *text)
{
	if (text == NULL)
		return hash_bytes_uint32_extended(0xffffffff, digest);
	return hash_bytes_extended((const unsigned char *) text, strlen(text) + 1, digest);
}

/* The wallets may come in any order. */
static int64
digest_of(const B24SeenCustomer *seen)
{
	uint64		digest = add_to_digest(0, seen->name);

	digest = add_to_digest(digest, seen->name_kh);
	digest = add_to_digest(digest, seen->phone);
	digest = add_to_digest(digest, seen->email);
	digest += seen->tells_wallets;
	for (int i = 0; i < seen->wallet_count; i++)
	{
		const B24SeenWallet *w = &seen->wallets[i];
		uint64		part = add_to_digest(1, w->id);

		part = add_to_digest(part, w->name);
		part = add_to_digest(part, w->balance);
		digest += add_to_digest(part, w->currency);
	}
	return (int64) digest == B24_DIGEST_GONE ? 1 : (int64) digest;
}

static bool
read_wallets(const B24Json *result, B24SeenCustomer *seen, B24Problem *problem)
{
	const B24Json *wallets = b24_endpoint_field(result, "wallets");

	/* without the field nothing is known of them, which is not that there are none */
	if (b24_json_type(wallets) == B24_JSON_NULL)
		return true;
	if (b24_json_type(wallets) != B24_JSON_ARRAY)
	{
		b24_problem(problem, B24_NONSENSE, "the wallets are no array");
		return false;
	}
	seen->tells_wallets = true;
	seen->wallet_count = (int) b24_json_length(wallets);
	seen->wallets = palloc0(Max(seen->wallet_count, 1) * sizeof(B24SeenWallet));
	for (int i = 0; i < seen->wallet_count; i++)
	{
		if (!read_wallet(b24_json_element(wallets, i), &seen->wallets[i], problem))
			return false;
		for (int n = 0; n < i; n++)
		{
			if (strcmp(seen->wallets[n].id, seen->wallets[i].id) == 0)
			{
				b24_problem(problem, B24_NONSENSE, "two wallets have the same id");
				return false;
			}
		}
	}
	return true;
}

static bool
localize(const char **text, B24Problem *problem)
{
	if (*text == NULL)
		return true;
	*text = b24_text_try_from_utf8(*text, strlen(*text));
	if (*text == NULL)
		b24_problem(problem, B24_NONSENSE,
					"a text has a character that the database's encoding lacks");
	return *text != NULL;
}

/*
 * Has the texts in the encoding of the database, in the current memory context,
 * where they outlive the answer.  False with the problem if one has no
 * equivalent there.  In a transaction, since conversions are looked up.
 */
bool
b24_seen_localize(B24SeenCustomer *seen, B24Problem *problem)
{
	B24SeenWallet *wallets = palloc(Max(seen->wallet_count, 1) * sizeof(B24SeenWallet));

	if (!localize(&seen->name, problem) || !localize(&seen->name_kh, problem) ||
		!localize(&seen->phone, problem) || !localize(&seen->email, problem) ||
		!localize(&seen->remote_id, problem))
		return false;
	for (int i = 0; i < seen->wallet_count; i++)
	{
		wallets[i] = seen->wallets[i];
		if (!localize(&wallets[i].id, problem) || !localize(&wallets[i].name, problem) ||
			!localize(&wallets[i].balance, problem) ||
			!localize(&wallets[i].currency, problem))
			return false;
	}
	seen->wallets = wallets;
	return true;
}

/*
 * Reads the result of get_customer and makes sure that it is about the customer
 * that was asked for.  The texts are UTF-8, and parts of the answer.  False with
 * the problem if it cannot be read.
 */
bool
b24_seen_customer(const B24Json *result, const char *utf8_code, B24SeenCustomer *seen,
				  B24Problem *problem)
{
	const B24Json *code = b24_json_get(result, "sync_code");
	const char *told = b24_json_string(code, NULL);

	memset(seen, 0, sizeof(*seen));
	if (told == NULL)
		told = b24_json_number(code);
	if (told == NULL || strcmp(told, utf8_code) != 0)
	{
		b24_problem(problem, B24_NONSENSE, told == NULL ?
					"it does not say which customer it is about" :
					"it is about another customer than was asked for");
		return false;
	}
	if (!read_text(result, "name", &seen->name, problem) ||
		!read_text(result, "name_kh", &seen->name_kh, problem) ||
		!read_text(result, "phone", &seen->phone, problem) ||
		!read_text(result, "email", &seen->email, problem) ||
		!read_text(result, "id", &seen->remote_id, problem) ||
		!read_wallets(result, seen, problem))
		return false;
	seen->digest = digest_of(seen);
	return true;
}
