/*-------------------------------------------------------------------------
 *
 * fuzz_decode.c
 *	  Whatever a server answers, the decoder must make sense of it safely.
 *
 * An input is one letter for the operation (a is the first row of
 * endpointlist.h, z an operation that is in no table, y one of PayCombat's),
 * three digits of HTTP
 * status, and the body.  So a seed is readable: k200{"code":"324"}
 *
 *-------------------------------------------------------------------------
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec.h"
#include "jsontext.h"
#include "stringify.h"

#define PREFIX 4

/* A time within the lives of the tokens in the seeds. */
#define NOW 1719200000L

static const B24Endpoint unknown = {
	.name = "call", .provider = &b24_bill24, .method = "GET", .result = "",
};

static const B24Endpoint unknown_paycombat = {
	.name = "call", .provider = &b24_paycombat, .method = "GET", .result = "",
};

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(bool holds, const char *what)
{
	if (!holds)
	{
		fprintf(stderr, "fuzz_decode: %s\n", what);
		abort();
	}
}

/* Valid to PostgreSQL, which takes no overlong forms and no surrogates. */
static bool
is_utf8(const char *text, size_t length)
{
	const unsigned char *p = (const unsigned char *) text;
	const unsigned char *end = p + length;

	while (p < end)
	{
		unsigned char first = *p++;
		unsigned int value;
		int			more;

		if (first < 0x80)
			continue;
		if (first < 0xc2 || first > 0xf4)
			return false;
		more = first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
		if (end - p < more)
			return false;
		value = first & (0x3f >> more);
		for (int i = 0; i < more; i++, p++)
		{
			if ((*p & 0xc0) != 0x80)
				return false;
			value = value << 6 | (*p & 0x3f);
		}
		if ((more == 2 && value < 0x800) || (more == 3 && value < 0x10000) ||
			value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
			return false;
	}
	return true;
}

static void
check_text(const char *text, size_t size)
{
	size_t		length = strnlen(text, size);

	check(length < size, "a text of ours has no end");
	check(is_utf8(text, length), "a text of ours is not UTF-8");
}

static void walk(const B24Json *json);

static bool
walk_member(const char *key, B24Json *value, void *context)
{
	check(is_utf8(key, strlen(key)), "a key is not UTF-8");
	check(b24_json_get(context, key) == value, "a member is not found again");
	walk(value);
	return true;
}

/* Touches all that there is. */
static void
walk(const B24Json *json)
{
	const char *text;
	size_t		length = 0;

	(void) b24_json_type_name(json);
	switch (b24_json_type(json))
	{
		case B24_JSON_NULL:
			check(json == NULL, "a null that is something");
			break;
		case B24_JSON_BOOLEAN:
			(void) b24_json_boolean(json);
			break;
		case B24_JSON_NUMBER:
			text = b24_json_number(json);
			check(text != NULL && b24_json_is_number_text(text, strlen(text)),
				  "a number that is none");
			break;
		case B24_JSON_STRING:
			text = b24_json_string(json, &length);
			check(text != NULL && text[length] == '\0', "a string has no end");
			check(is_utf8(text, length), "a string is not UTF-8");
			break;
		case B24_JSON_ARRAY:
			for (size_t i = 0; i < b24_json_length(json); i++)
				walk(b24_json_element(json, i));
			check(b24_json_element(json, b24_json_length(json)) == NULL,
				  "an array has more elements than its length");
			break;
		case B24_JSON_OBJECT:
			check(b24_json_each(json, walk_member, (void *) json), "a walk stopped");
			break;
	}
}

/* What is written can be read, and is written again like that. */
static void
check_round_trip(const B24Json *json)
{
	B24Problem	problem = {B24_OK, ""};
	size_t		length = 0;
	size_t		again_length = 0;
	const char *text = b24_json_text(json, &length);
	const char *again_text;
	B24Json    *again;

	check(text != NULL && strlen(text) == length, "a JSON text has no end");
	again = b24_json_parse(text, length, &problem);
	if (again == NULL)
		fprintf(stderr, "fuzz_decode: %s\n", problem.text);
	check(again != NULL, "a JSON text of ours does not parse");
	again_text = b24_json_text(again, &again_length);
	check(length == again_length && memcmp(text, again_text, length) == 0,
		  "a JSON text changes when it is read again");
	b24_json_free(again);
}

static void
check_login(const B24Reply *reply, long server_time_s)
{
	B24Login	login;
	B24Problem	problem = {B24_OK, ""};
	B24Status	status = b24_bill24_login(reply, server_time_s, NOW, &login, &problem);

	check_text(problem.text, sizeof(problem.text));
	check(login.lifetime_s >= 0, "a lifetime is negative");
	if (status == B24_OK)
	{
		check(login.skew_known == (server_time_s >= 0), "the skew is known from nothing");
		check(login.bearer != NULL && login.bearer[0] != '\0', "a login without bearer");
		for (const char *p = login.bearer; *p != '\0'; p++)
			check(*p > ' ' && *p < 0x7f, "a bearer that cannot be in a header");
		check(login.refresh == NULL || login.refresh[0] != '\0', "an empty refresh token");
	}
	else
	{
		check(status == problem.status, "the problem is another one");
		check(login.bearer == NULL && login.refresh == NULL, "a failed login brings a token");
	}
	free(login.bearer);
	free(login.refresh);
}

/* What says true may still wrap what does not. */
static void
check_paycombat_success(const B24Endpoint *endpoint, const B24Reply *reply)
{
	const B24Json *status = b24_json_get(reply->root, "status");

	check(b24_json_boolean(status) || reply->root == NULL || (endpoint->path == NULL && status == NULL),
		  "success without a status that says so");
	check(endpoint->path == NULL || b24_json_type(reply->result) == B24_JSON_OBJECT,
		  "success without an object");
}

/* What is sent is what JSON.stringify(JSON.parse()) leaves alone. */
static void
check_stringify(const B24Json *json)
{
	B24Problem	problem = {B24_OK, ""};
	B24Json    *once;
	B24Json    *twice;
	char	   *text;

	if (b24_stringify(json, &once, &problem) != B24_OK)
	{
		check(once == NULL, "a copy of what cannot be copied");
		check_text(problem.text, sizeof(problem.text));
		return;
	}
	text = strdup(b24_json_text(once, NULL));
	check(b24_stringify(once, &twice, &problem) == B24_OK, "a copy cannot be copied");
	check(text != NULL && strcmp(text, b24_json_text(twice, NULL)) == 0,
		  "a copy is not at its end");
	check_round_trip(once);
	free(text);
	b24_json_free(once);
	b24_json_free(twice);
}

static void
check_reply(const B24Endpoint *endpoint, const B24Reply *reply)
{
	static const char *const columns[] = {
		"sync_code", "wallets", "bill_status", "payment_status", "payment_method", "other"
	};

	check(reply->status < B24_STATUS_COUNT, "a status that is none");
	check_text(reply->code, sizeof(reply->code));
	check_text(reply->text, sizeof(reply->text));
	if (reply->message != NULL)
		check(is_utf8(reply->message, strlen(reply->message)), "a message is not UTF-8");
	if (reply->message_kh != NULL)
		check(is_utf8(reply->message_kh, strlen(reply->message_kh)), "a message is not UTF-8");
	check((reply->status == B24_OK) == (reply->result != NULL) ||
		  (endpoint->path == NULL && reply->http_status == 204),
		  "success and result do not go together");
	check(reply->status != B24_NONSENSE || reply->text[0] != '\0',
		  "nonsense without an explanation");

	if (reply->status == B24_OK)
	{
		bool		lenient = endpoint == &b24_endpoints[B24_EP_authorize] ||
			endpoint == &unknown;

		check(reply->http_status >= 200 && reply->http_status < 300,
			  "success under an HTTP status that is none");
		if (endpoint->provider == &b24_paycombat)
			check_paycombat_success(endpoint, reply);
		else
			check(strcmp(reply->code, "000") == 0 || strcmp(reply->code, "SUCCESS") == 0 ||
			  (lenient && (strcmp(reply->code, "200") == 0 || reply->code[0] == '\0')),
			  "success by a code that is none");
	}
	walk(reply->result);
	for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++)
		walk(b24_endpoint_field(reply->result, columns[i]));
	if (reply->root != NULL)
	{
		walk(reply->root);
		check_round_trip(reply->root);
		check_stringify(reply->root);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	B24HttpAnswer answer;
	B24Reply	reply;
	const B24Endpoint *endpoint;

	if (size < PREFIX)
		return 0;
	endpoint = data[0] == 'z' ? &unknown : data[0] == 'y' ? &unknown_paycombat :
		&b24_endpoints[(uint8_t) (data[0] - 'a') % B24_EP_COUNT];
	memset(&answer, 0, sizeof(answer));
	answer.status = B24_OK;
	for (int i = 1; i < PREFIX; i++)
		answer.http_status = answer.http_status * 10 + (uint8_t) (data[i] - '0') % 10;
	answer.retry_after_s = -1;
	answer.body_length = size - PREFIX;
	if (answer.body_length > 0)
	{
		/* of its own size, so that reading past the end is seen */
		answer.body = malloc(answer.body_length + 1);
		if (answer.body == NULL)
			return 0;
		memcpy(answer.body, data + PREFIX, answer.body_length);
		answer.body[answer.body_length] = '\0';
	}

	memset(&reply, 0, sizeof(reply));
	reply.http_status = answer.http_status;
	reply.retry_after_s = answer.retry_after_s;
	endpoint->provider->decode(endpoint, &answer, &reply);
	/* what the reply has, it has of its own */
	free(answer.body);

	check_reply(endpoint, &reply);
	check_login(&reply, -1);
	check_login(&reply, NOW + 100);
	check_login(&reply, NOW - 100);
	b24_reply_free(&reply);
	return 0;
}
