/*-------------------------------------------------------------------------
 *
 * bill24_provider.c
 *	  Bill24: bearer token, {code, message, message_kh, data}, settle hash.
 *
 * What the documentation ("APIs for Businesses") leaves open is read leniently
 * and decided strictly: unknown fields are ignored, missing ones are absent,
 * but success is only a code that Bill24 calls success.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "hmac.h"
#include "provider.h"

/*
 * The same number means different things in different operations, so codes
 * are looked up by both (page "Response codes").  NULL stands for every
 * operation that has no row of its own.
 */
typedef struct Rejection
{
	const char *operation;
	const char *code;
	B24Status	status;
} Rejection;

static const Rejection rejections[] = {
	{"create_customer", "310", B24_ALREADY_EXISTS},
	{"create_customer", "311", B24_REFUSED},	/* cannot be: it is being made */
	{"delete_customer", "407", B24_BALANCE_NOT_ZERO},

	{"settle_payment", "101", B24_INVALID}, /* total differs from the details */
	{"settle_payment", "312", B24_NOT_FOUND},	/* payment method */
	{"settle_payment", "314", B24_PAYMENT_TOKEN},
	{"settle_payment", "315", B24_NOT_FOUND},	/* settlement supplier */
	{"settle_payment", "316", B24_NOT_FOUND},	/* its link */
	{"settle_payment", "317", B24_PAYMENT_TOKEN},	/* no hash token configured */
	{"settle_payment", "318", B24_PAYMENT_TOKEN},	/* wrong hash */
	{"settle_payment", "323", B24_ALREADY_PAID},
	{"settle_payment", "327", B24_ALREADY_EXISTS},
	{"settle_payment", "401", B24_INSUFFICIENT_FUNDS},

	{"get_bill", "324", B24_NOT_FOUND},

	/* the older pages list "404 Record not found" for these two */
	{"get_wallet_balance", "404", B24_NOT_FOUND},
	{"get_transaction", "404", B24_NOT_FOUND},
	{"get_transaction", "324", B24_NOT_FOUND},

	{"onboard_sub_biller", "310", B24_ALREADY_EXISTS},
	{"onboard_sub_biller", "312", B24_NOT_FOUND},	/* bank */
	{"add_link_account", "312", B24_NOT_FOUND}, /* bank */
	{"add_link_account", "314", B24_NOT_FOUND}, /* supplier */
	{"verify_linked_account", "314", B24_NOT_FOUND},

	{NULL, "311", B24_NOT_FOUND},	/* customer */
	{NULL, "ERR_MISSED_FIELD", B24_INVALID},
};

static bool
is_authorize(const B24Endpoint *endpoint)
{
	return endpoint == &b24_endpoints[B24_EP_authorize];
}

static B24Status
rejection(const B24Endpoint *endpoint, const char *code)
{
	if (is_authorize(endpoint))
		return B24_LOGIN_REFUSED;
	for (size_t i = 0; i < sizeof(rejections) / sizeof(rejections[0]); i++)
	{
		const Rejection *r = &rejections[i];

		if (strcmp(r->code, code) == 0 &&
			(r->operation == NULL || strcmp(r->operation, endpoint->name) == 0))
			return r->status;
	}
	return B24_REFUSED;
}

/*
 * Both "000" and "SUCCESS" occur, whatever a page shows (observed on the demo
 * server).  Authorization answers the number 200; an older page shows its
 * answer without envelope.
 */
static bool
is_success(const B24Endpoint *endpoint, const char *code)
{
	if (strcmp(code, "000") == 0 || strcmp(code, "SUCCESS") == 0)
		return true;
	return (is_authorize(endpoint) || endpoint->path == NULL) &&
		strcmp(code, "200") == 0;
}

/*
 * Notes code and messages of the envelope; false if it has no code.  One that
 * no code can be, too long or with a NUL in it, is there but is not shown.
 */
static bool
read_envelope(B24Reply *reply)
{
	const B24Json *code = b24_json_get(reply->root, "code");
	size_t		length = 0;
	const char *text = b24_json_string(code, &length);

	reply->message = b24_json_string(b24_json_get(reply->root, "message"), NULL);
	reply->message_kh = b24_json_string(b24_json_get(reply->root, "message_kh"), NULL);
	if (text == NULL)
	{
		text = b24_json_number(code);
		if (text == NULL)
			return false;
		length = strlen(text);
	}
	if (length < sizeof(reply->code) && strlen(text) == length)
		memcpy(reply->code, text, length + 1);
	return true;
}

static void
unreadable(B24Reply *reply, const B24HttpAnswer *answer, const char *why)
{
	const char *body = answer->body != NULL ? answer->body : "";

	reply->status = B24_NONSENSE;
	if (answer->http_status >= 300 && answer->http_status < 400)
		why = "the answer is a redirect, and redirects are not followed";
	else if (body[strspn(body, " \t\r\n")] == '<')
		why = "the answer is HTML or XML, not JSON";
	snprintf(reply->text, sizeof(reply->text), "%s (HTTP status %ld, %zu bytes)",
			 why, answer->http_status, answer->body_length);
}

/*
 * Settle Payment tells of the bill and of the payment apart.  What they say
 * beside "success" is not documented, so anything else leaves it open.
 */
static bool
is_settled(const B24Json *root)
{
	static const char *const paths[] = {"data.bill.status", "data.payment.status"};

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
	{
		const char *status = b24_json_string(b24_json_path(root, paths[i]), NULL);

		if (status == NULL || strcmp(status, "success") != 0)
			return false;
	}
	return true;
}

/*
 * Decides what an answer means.  Business errors come with HTTP status 200,
 * so the code decides; but a status that is no success never becomes one.
 */
static void
decode(const B24Endpoint *endpoint, const B24HttpAnswer *answer,
	   B24Reply *reply)
{
	long		http = answer->http_status;
	B24Problem	problem = {B24_OK, ""};
	bool		has_code = false;

	reply->root = b24_json_parse(answer->body != NULL ? answer->body : "",
								 answer->body_length, &problem);
	if (reply->root != NULL)
		has_code = read_envelope(reply);

	/* the body of a 401 is not specified, and may be empty */
	if (http == 401)
		reply->status = is_authorize(endpoint) ? B24_LOGIN_REFUSED : B24_UNAUTHORIZED;
	else if (http == 429)
		reply->status = B24_THROTTLED;
	else if (http >= 500)
		reply->status = B24_SERVER_ERROR;
	else if (http >= 300 && http < 400)
		unreadable(reply, answer, "");
	else if (http == 204 && answer->body_length == 0 && endpoint->path == NULL)
		reply->status = B24_OK; /* there is nothing to say */
	else if (reply->root == NULL)
		unreadable(reply, answer, problem.text);
	else if (is_authorize(endpoint) && !has_code && http >= 200 && http < 300 &&
			 b24_json_string(b24_json_get(reply->root, "token"), NULL) != NULL)
		reply->status = B24_OK; /* without envelope */
	else if (!has_code && endpoint->path == NULL && http >= 200 && http < 300)
		reply->status = B24_OK; /* of an operation that we do not know */
	else if (!has_code)
		unreadable(reply, answer, "the answer has no code");
	else if (!is_success(endpoint, reply->code))
		reply->status = rejection(endpoint, reply->code);
	else if (http < 200 || http >= 300)
		unreadable(reply, answer, "the code says success, but the HTTP status does not");
	else
		reply->status = B24_OK;

	if (reply->status != B24_OK)
		return;
	reply->result = b24_json_path(reply->root, endpoint->result);
	if (reply->result == NULL && endpoint->path != NULL)
		unreadable(reply, answer, "the code says success, but there is no data");
	else if (endpoint == &b24_endpoints[B24_EP_settle_payment] && !is_settled(reply->root))
	{
		reply->result = NULL;
		unreadable(reply, answer, "the code says success, but not both bill and payment do");
	}
}

/*
 * Authorization.  With a refresh token the page asks for clientId, secret and
 * refreshToken, while its table flags token required: all four satisfy both.
 */
static B24Status
login(const B24Secrets *secrets, const char *refresh, B24Json *wire,
	  B24Problem *problem)
{
	const struct
	{
		const char *wire_name;
		const char *option;
		const char *value;
	}			fields[] = {
		{"token", "token", secrets->token},
		{"clientId", "client_id", secrets->client_id},
		{"secret", "secret", secrets->secret},
		{"refreshToken", "", refresh != NULL ? refresh : ""},
	};

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
	{
		if (fields[i].value == NULL)
			return b24_problem(problem, B24_NO_CREDENTIAL,
							   "the account has no \"%s\"",
							   fields[i].option);
		if (!b24_json_put(wire, fields[i].wire_name,
						  b24_json_new_string(fields[i].value,
											  strlen(fields[i].value))))
			return b24_problem(problem, B24_NO_MEMORY, "out of memory");
	}
	return B24_OK;
}

/* The headers of every request; bearer is NULL for Authorization itself. */
static B24Status
sign(const B24Secrets *secrets, const char *bearer, B24Request *request,
	 B24Problem *problem)
{
	bool		ok;

	(void) secrets;
	ok = b24_request_add_header(request, "Content-Type", "application/json") &&
		b24_request_add_header(request, "Accept", "application/json");
	if (ok && bearer != NULL)
	{
		size_t		size = strlen(bearer) + 8;
		char	   *value = malloc(size);

		ok = value != NULL;
		if (ok)
		{
			memcpy(value, "Bearer ", 7);
			memcpy(value + 7, bearer, size - 7);
			ok = b24_request_add_header(request, "Authorization", value);
		}
		free(value);
	}
	if (!ok)
		return b24_problem(problem, B24_NO_MEMORY, "could not make the headers");
	return B24_OK;
}

static const char *const credentials[] = {
	"token", "client_id", "secret", "hash_token", NULL
};

const B24Provider b24_bill24 = {
	.name = "bill24",
	.prefix = "bill24_",
	.base_url_example = "https://merchantapi-demo.bill24.io",
	.credentials = credentials,
	.identity = 2,
	.needed = 3,
	.login = login,
	.look = &b24_endpoints[B24_EP_get_customer],
	.create = &b24_endpoints[B24_EP_create_customer],
	.update = &b24_endpoints[B24_EP_update_customer],
	.remove = &b24_endpoints[B24_EP_delete_customer],
	.sign = sign,
	.decode = decode,
};

/*
 * A time like 2024-06-24T14:46:07.8930774+07:00 as seconds since 1970.  Any
 * number of fraction digits, which are dropped; false without a zone.
 */
static bool
parse_time(const char *text, long *seconds)
{
	struct tm	tm;
	int			used = 0;
	int			hours;
	int			minutes;
	char		sign_char;

	memset(&tm, 0, sizeof(tm));
	if (sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d%n", &tm.tm_year, &tm.tm_mon,
			   &tm.tm_mday, &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &used) != 6 ||
		used == 0)
		return false;
	/* values that no calendar has would overflow in what follows */
	if (tm.tm_year < 1970 || tm.tm_mon < 1 || tm.tm_mon > 12 ||
		tm.tm_mday < 1 || tm.tm_mday > 31 || tm.tm_hour < 0 || tm.tm_min < 0 ||
		tm.tm_sec < 0)
		return false;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	text += used;
	if (*text == '.')
		text += 1 + strspn(text + 1, "0123456789");
	*seconds = (long) timegm(&tm);
	if (strcmp(text, "Z") == 0)
		return true;
	if (sscanf(text, "%c%2d:%2d%n", &sign_char, &hours, &minutes, &used) != 3 ||
		text[used] != '\0' || (sign_char != '+' && sign_char != '-') ||
		hours < 0 || minutes < 0)
		return false;
	*seconds += (sign_char == '+' ? -1 : 1) * (hours * 3600L + minutes * 60L);
	return true;
}

/*
 * Reads the answer of Authorization.  The lifetime is reckoned by the
 * provider's own clock where its Date header tells it, so that a clock of
 * ours that is off does no harm.  now_s is our clock, seconds since 1970.
 */
B24Status
b24_bill24_login(const B24Reply *reply, long server_time_s, long now_s,
				 B24Login *out, B24Problem *problem)
{
	const B24Json *data = b24_json_get(reply->root, "data");
	const char *bearer;
	const char *refresh;
	const char *expires;
	size_t		length = 0;
	long		expires_s;

	memset(out, 0, sizeof(*out));
	if (b24_json_type(data) != B24_JSON_OBJECT)
		data = reply->root;
	bearer = b24_json_string(b24_json_get(data, "token"), &length);
	refresh = b24_json_string(b24_json_get(data, "refreshToken"), NULL);
	expires = b24_json_string(b24_json_get(data, "tokenExpireTime"), NULL);

	/* it goes into a header: printable ASCII only */
	if (bearer == NULL || length == 0)
		return b24_problem(problem, B24_NONSENSE,
						   "the answer to the login has no token");
	for (size_t i = 0; i < length; i++)
	{
		if ((unsigned char) bearer[i] <= ' ' || (unsigned char) bearer[i] >= 0x7f)
			return b24_problem(problem, B24_NONSENSE,
							   "the bearer token has a character that cannot be in a header");
	}

	if (server_time_s >= 0)
	{
		out->skew_known = true;
		out->skew_s = server_time_s - now_s;
		now_s = server_time_s;
	}
	if (expires != NULL && parse_time(expires, &expires_s) && expires_s > now_s)
		out->lifetime_s = expires_s - now_s;
	out->bearer = strdup(bearer);
	if (refresh != NULL && *refresh != '\0')
		out->refresh = strdup(refresh);
	if (out->bearer == NULL)
		return b24_problem(problem, B24_NO_MEMORY, "out of memory");
	return B24_OK;
}

/*
 * Settle Payment's hash: Base64 of HMAC-SHA-512 over ref_id, the digits of
 * the date (yyyyMMddHHmmss), currency, total_amount as it is printed,
 * customer_sync_code and payment_to, keyed with the hash token.  The server
 * takes the digits of the date in UTC; the date is sent either as a plain
 * date, which counts as its midnight, or with "Z", so that the digits are the
 * same in every reading (observed on the demo server).
 */
B24Status
b24_settle_hash(const B24Secrets *secrets, B24Json *wire, B24Problem *problem)
{
	static const char *const parts[] = {
		"ref_id", "date", "currency", "total_amount", "customer_sync_code",
		"payment_to"
	};
	char		hash[B24_SHA512_BASE64_SIZE];
	char	   *message;
	size_t		size = 16;
	size_t		length = 0;
	bool		ok;

	const char *rate = b24_json_number(b24_json_get(wire, "exchange_rate_khr"));

	if (secrets->hash_token == NULL)
		return b24_problem(problem, B24_NO_CREDENTIAL,
						   "the account has no \"hash_token\"");

	/* of all numbers, the page has this one as a text */
	if (rate != NULL &&
		!b24_json_put(wire, "exchange_rate_khr",
					  b24_json_new_string(rate, strlen(rate))))
		return b24_problem(problem, B24_NO_MEMORY, "out of memory");
	(void) b24_json_text(wire, &length);
	size += length;				/* all parts stand in that text */
	message = malloc(size);
	if (message == NULL)
		return b24_problem(problem, B24_NO_MEMORY, "out of memory");

	length = 0;
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
	{
		const B24Json *value = b24_json_get(wire, parts[i]);
		const char *text = b24_json_number(value);

		if (text == NULL)
			text = b24_json_string(value, NULL);
		if (text == NULL)
		{
			free(message);
			return b24_problem(problem, B24_NULL_ARGUMENT,
							   "\"%s\" is missing", parts[i]);
		}
		if (strcmp(parts[i], "date") == 0)
		{
			int			digits = 0;

			for (; *text != '\0' && digits < 14; text++)
			{
				if (*text >= '0' && *text <= '9')
				{
					message[length++] = *text;
					digits++;
				}
			}
			for (; digits < 14; digits++)
				message[length++] = '0';
		}
		else
		{
			memcpy(message + length, text, strlen(text));
			length += strlen(text);
		}
	}
	ok = b24_hmac_sha512_base64(secrets->hash_token, strlen(secrets->hash_token),
								message, length, hash) &&
		b24_json_put(wire, "hash", b24_json_new_string(hash, strlen(hash)));
	free(message);
	if (!ok)
		return b24_problem(problem, B24_NO_MEMORY, "could not compute the hash");
	return B24_OK;
}
