/*-------------------------------------------------------------------------
 *
 * test_paycombat.c
 *	  PayCombat: requests with their signatures, and what answers mean.
 *
 * The signatures come from Node's crypto and from the openssl program:
 *
 *	  printf %s BODY | openssl dgst -sha256 -hmac KEY
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

#include "codec.h"
#include "hmac.h"
#include "verdict.h"

#define BASE "https://api.paycombat.com"
#define KEY "sig_test_key"
#define API BASE "/api/v1/customer/"

static const B24Secrets secrets = {.x_token = "snd_token", .signature_key = KEY};

/* An operation that is in no table. */
static const B24Endpoint unknown = {
	.name = "request", .provider = &b24_paycombat, .method = "GET", .result = "",
};

static const B24Endpoint *
row(const char *name)
{
	const B24Endpoint *endpoint = strcmp(name, "request") == 0 ? &unknown :
		b24_endpoint_of(&b24_paycombat, name);

	assert_non_null(endpoint);
	return endpoint;
}

static B24Status
encode(const char *name, const B24Secrets *with, const char *arguments,
	   B24Request *request, B24Problem *problem)
{
	B24Json    *parsed = json(arguments);
	B24Status	status = b24_encode(row(name), BASE, parsed, with, request, problem);

	b24_json_free(parsed);
	if (status == B24_OK)
		status = b24_sign(&b24_paycombat, with, NULL, request, problem);
	return status;
}

/* The value of a header; NULL if there is none of that name. */
static const char *
header(const B24Request *request, const char *name)
{
	for (int i = 0; i < request->header_count; i++)
	{
		if (strncmp(request->headers[i], name, strlen(name)) == 0 &&
			strncmp(request->headers[i] + strlen(name), ": ", 2) == 0)
			return request->headers[i] + strlen(name) + 2;
	}
	return NULL;
}

static void
check_equal(const char *is, const char *should_be)
{
	if (should_be == NULL)
		assert_null(is);
	else
	{
		assert_non_null(is);
		assert_string_equal(is, should_be);
	}
}

static void
check_request(const char *name, const B24Secrets *with, const char *arguments,
			  const char *method, const char *url, const char *body,
			  const char *signature)
{
	B24Request	request;
	B24Problem	problem = {B24_OK, ""};

	if (encode(name, with, arguments, &request, &problem) != B24_OK)
		fail_msg("%s: %s", name, problem.text);
	assert_string_equal(request.method, method);
	assert_string_equal(request.url, url);
	check_equal(request.body, body);
	check_equal(header(&request, "X-token"), "snd_token");
	check_equal(header(&request, "Accept"), "application/json");
	check_equal(header(&request, "Content-Type"), body != NULL ? "application/json" : NULL);
	check_equal(header(&request, "signature"), signature);
	assert_null(header(&request, "Authorization"));
	assert_true(request.changes == (strcmp(method, "GET") != 0));
	b24_request_free(&request);
}

/* The vector of the reference, and the same with what is escaped there. */
static void
test_a_body_is_signed_as_it_is_sent(void **state)
{
	static const char body[] =
		"{\"description\":\"Test\",\"type\":\"individual\",\"individual\":{\"first_name\":\"Ana\",\"last_name\":\"Lim\",\"address_country\":\"ID\",\"address_line1\":\"Blok C/1\"}}";

	check_request("create_customer", &secrets, body, "POST", API "create", body,
				  "a463f120359e008aaba21ef6bca66edd761f89e9e861fe71ebddd09fdc52a070");
	check_request("create_customer", &secrets,
				  "{ \"description\" : \"Test\", \"type\": \"individual\", \"individual\": {\"first_name\":\"\\u0041na\",\n\"last_name\":\"Lim\",\"address_country\":\"ID\",\"address_line1\":\"Blok C\\/1\"} }",
				  "POST", API "create", body,
				  "a463f120359e008aaba21ef6bca66edd761f89e9e861fe71ebddd09fdc52a070");
	check_request("create_customer", &secrets,
				  "{\"type\":\"individual\",\"description\":\"x\",\"metadata\":{\"b\":10.0,\"1\":\"\\u17a2/\\ub300\"}}",
				  "POST", API "create",
				  "{\"type\":\"individual\",\"description\":\"x\",\"metadata\":{\"1\":\"\u17a2/\ub300\",\"b\":10}}",
				  "2ece5d4568757095d3f0df3af2a8b4bf4c18d9061b2d1c4165ab543515b7fb01");
	check_request("update_customer", &secrets, "{\"customer_id\":\"customer_1\",\"description\":\"\"}",
				  "PATCH", API "update", "{\"customer_id\":\"customer_1\",\"description\":\"\"}",
				  "efdf7871d2772b806fa0afaaeeb3b713127dded0ab7a2fb748c5949131e905c3");
}

static void
test_what_has_no_body_is_not_signed(void **state)
{
	static const char id[] = "{\"customer_id\":\"customer_1\",\"organization_reference_id\":\"R1\"}";

	check_request("get_customer", &secrets, id, "GET", API "customer/customer_1", NULL, NULL);
	check_request("disable_customer", &secrets, id, "PATCH", API "disable/customer_1", NULL, NULL);
	check_request("delete_customer", &secrets, id, "DELETE", API "customer/customer_1", NULL, NULL);
	check_request("get_customer", &secrets, "{\"customer_id\":\"a/b?c#d \"}", "GET",
				  API "customer/a%2Fb%3Fc%23d%20", NULL, NULL);
}

static void
test_the_other_readings_of_a_missing_body(void **state)
{
	static const char id[] = "{\"customer_id\":\"customer_1\"}";
	B24Secrets	with = secrets;

	with.bodyless_signature = "none";
	check_request("disable_customer", &with, id, "PATCH", API "disable/customer_1", NULL, NULL);
	with.bodyless_signature = "empty";
	check_request("disable_customer", &with, id, "PATCH", API "disable/customer_1", NULL,
				  "4a5b681a5f9be581ba87c7f83c0cba01e92da2b829a802a95c9f3b2c260d2d0d");
	check_request("get_customer", &with, id, "GET", API "customer/customer_1", NULL, NULL);
	check_request("delete_customer", &with, id, "DELETE", API "customer/customer_1", NULL, NULL);
	with.bodyless_signature = "object";
	check_request("disable_customer", &with, id, "PATCH", API "disable/customer_1", NULL,
				  "12c836b29d132af5c5432c746a7c2d583f52dbe1674acb94603c706c2d60029b");
}

static void
test_a_server_can_have_other_paths(void **state)
{
	B24Secrets	with = secrets;

	with.paths[B24_EP_paycombat_delete_customer] = "/v2/{customer_id}/delete";
	check_request("delete_customer", &with, "{\"customer_id\":\"customer_1\"}", "DELETE",
				  BASE "/v2/customer_1/delete", NULL, NULL);
	check_request("get_customer", &with, "{\"customer_id\":\"customer_1\"}", "GET",
				  API "customer/customer_1", NULL, NULL);
}

static void
check_refused(const char *name, const B24Secrets *with, const char *arguments,
			  B24Status status, const char *says)
{
	B24Request	request;
	B24Problem	problem = {B24_OK, ""};

	assert_int_equal(encode(name, with, arguments, &request, &problem), status);
	if (strstr(problem.text, says) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", problem.text, says);
	b24_request_free(&request);
}

static void
test_what_the_page_requires(void **state)
{
	static const char *const company[] = {
		"name", "registration_number", "incorporation_country", "address_country"
	};
	static const char *const individual[] = {"first_name", "last_name", "address_country"};

	for (size_t missing = 0; missing < COUNT(company); missing++)
	{
		char		text[400] = "{\"company\":{\"x\":1";

		for (size_t i = 0; i < COUNT(company); i++)
			snprintf(text + strlen(text), sizeof(text) - strlen(text), ",\"%s\":%s",
					 company[i], i == missing ? "null" : "\"x\"");
		strcat(text, "}}");
		check_refused("create_customer", &secrets, text, B24_NULL_ARGUMENT, company[missing]);
		check_request("update_customer", &secrets, "{\"customer_id\":\"c\",\"company\":{}}",
					  "PATCH", API "update", "{\"customer_id\":\"c\",\"company\":{}}",
					  "bef4d7cc4e0276eff2e3c8de2f4d10c21a83ce86abf0ae5e1b1e87bcd41c2824");
	}
	for (size_t missing = 0; missing < COUNT(individual); missing++)
	{
		char		text[400] = "{\"individual\":{\"x\":1";

		for (size_t i = 0; i < COUNT(individual); i++)
			snprintf(text + strlen(text), sizeof(text) - strlen(text), ",\"%s\":%s",
					 individual[i], i == missing ? "\"\"" : "\"x\"");
		strcat(text, "}}");
		check_refused("create_customer", &secrets, text, B24_BAD_ARGUMENT, individual[missing]);
	}
	check_refused("create_customer", &secrets, "{\"individual\":[]}", B24_BAD_ARGUMENT, "must be a JSON object");
	check_refused("create_customer", &secrets, "{\"company\":\"x\"}", B24_BAD_ARGUMENT, "must be a JSON object");
	check_refused("update_customer", &secrets, "{\"customer_id\":\"c\",\"metadata\":1}", B24_BAD_ARGUMENT, "must be a JSON object");
	check_refused("update_customer", &secrets, "{\"description\":\"x\"}", B24_NULL_ARGUMENT, "customer_id");
	check_refused("update_customer", &secrets, "{\"customer_id\":\"\"}", B24_NULL_ARGUMENT, "customer_id");
	check_refused("get_customer", &secrets, "{}", B24_NULL_ARGUMENT, "customer_id");
	check_refused("delete_customer", &secrets, "{\"customer_id\":\"\"}", B24_NULL_ARGUMENT, "customer_id");
	check_refused("delete_customer", &secrets, "{\"customer_id\":\"..\"}", B24_BAD_ARGUMENT, "customer_id");
	check_refused("create_customer", &secrets, "{\"metadata\":{\"n\":12345678901234567890}}", B24_BAD_ARGUMENT, "12345678901234567890");
}

static void
test_secrets_that_are_missing_or_would_break_a_header(void **state)
{
	B24Secrets	with = secrets;

	with.signature_key = NULL;
	check_refused("create_customer", &with, "{\"type\":\"x\"}", B24_NO_CREDENTIAL, "signature_key");
	check_request("get_customer", &with, "{\"customer_id\":\"c\"}", "GET", API "customer/c", NULL, NULL);
	with = secrets;
	with.x_token = NULL;
	check_refused("get_customer", &with, "{\"customer_id\":\"c\"}", B24_NO_CREDENTIAL, "x_token");
	with.x_token = "a\r\nX-Evil: 1";
	check_refused("get_customer", &with, "{\"customer_id\":\"c\"}", B24_NO_CREDENTIAL, "header");
	with.x_token = "a b";
	check_refused("get_customer", &with, "{\"customer_id\":\"c\"}", B24_NO_CREDENTIAL, "header");
}

static void
test_signatures_are_compared(void **state)
{
	static const char good[] = "a463f120359e008aaba21ef6bca66edd761f89e9e861fe71ebddd09fdc52a070";
	static const char body[] =
		"{\"description\":\"Test\",\"type\":\"individual\",\"individual\":{\"first_name\":\"Ana\",\"last_name\":\"Lim\",\"address_country\":\"ID\",\"address_line1\":\"Blok C/1\"}}";
	char		copy[sizeof(good)];

	assert_true(b24_hmac_sha256_is(KEY, strlen(KEY), body, strlen(body), good, 64));
	for (size_t i = 0; i < 64; i++)
	{
		memcpy(copy, good, sizeof(good));
		copy[i] = copy[i] == '1' ? '2' : '1';
		assert_false(b24_hmac_sha256_is(KEY, strlen(KEY), body, strlen(body), copy, 64));
		copy[i] = 'g';
		assert_false(b24_hmac_sha256_is(KEY, strlen(KEY), body, strlen(body), copy, 64));
	}
	for (size_t i = 0; i < sizeof(good); i++)
		copy[i] = good[i] >= 'a' && good[i] <= 'f' ? good[i] - 'a' + 'A' : good[i];
	assert_true(b24_hmac_sha256_is(KEY, strlen(KEY), body, strlen(body), copy, 64));
	for (size_t i = 0; i < 64; i++)
		assert_false(b24_hmac_sha256_is(KEY, strlen(KEY), body, strlen(body), good, i));
	assert_false(b24_hmac_sha256_is(KEY, strlen(KEY), body, strlen(body) - 1, good, 64));
	assert_false(b24_hmac_sha256_is("other", 5, body, strlen(body), good, 64));
}

/*
 * Answers
 */
static void
decode(const char *name, long http_status, const char *body, B24Reply *reply)
{
	B24HttpAnswer answer;

	memset(&answer, 0, sizeof(answer));
	answer.http_status = http_status;
	answer.retry_after_s = -1;
	if (*body != '\0')
		answer.body = strdup(body);
	answer.body_length = strlen(body);
	b24_decode(row(name), &answer, reply);
	free(answer.body);			/* what the reply has, it has of its own */
	assert_true((reply->status == B24_OK) == (reply->result != NULL) ||
				(http_status == 204 && reply->status == B24_OK));
	assert_true(is_utf8(reply->text, strlen(reply->text)));
}

static void
check(const char *name, long http_status, const char *body, B24Status status)
{
	B24Reply	reply;

	decode(name, http_status, body, &reply);
	if (reply.status != status)
		fail_msg("%s, HTTP %ld, %.100s: %s instead of %s", name, http_status, body,
				 b24_status_info(reply.status)->name, b24_status_info(status)->name);
	b24_reply_free(&reply);
}

#define INNER(success_, code_) \
	"{\"status\":true,\"message\":\"OK\",\"data\":{\"request_id\":\"0d\",\"request_time\":\"2024\"," \
	"\"success\":" success_ ",\"status_code\":" code_ ",\"status_text\":\"OK\",\"data\":{\"customer_id\":\"c1\"}}}"

static const char *const operations[] = {
	"create_customer", "update_customer", "get_customer", "disable_customer", "delete_customer"
};

static void
test_both_shapes_of_data_are_read(void **state)
{
	static const char *const bodies[] = {
		"{\"status\":true,\"message\":\"OK\",\"data\":{\"customer_id\":\"c1\"}}",
		"{\"data\":{\"customer_id\":\"c1\",\"data\":{}},\"status\":true}",
		INNER("true", "200"), INNER("true", "201"), INNER("null", "200"), INNER("true", "\"200\""),
	};

	for (size_t i = 0; i < COUNT(operations); i++)
	{
		for (size_t j = 0; j < COUNT(bodies); j++)
		{
			B24Reply	reply;

			decode(operations[i], 200, bodies[j], &reply);
			assert_int_equal(reply.status, B24_OK);
			assert_string_equal(b24_json_string(b24_json_get(reply.result, "customer_id"), NULL), "c1");
			assert_ptr_equal(b24_endpoint_field(reply.result, "raw"), reply.result);
			b24_reply_free(&reply);
		}
	}
}

static void
test_what_merely_looks_like_success_is_none(void **state)
{
	for (size_t i = 0; i < COUNT(operations); i++)
	{
		const char *name = operations[i];

		check(name, 200, "", B24_NONSENSE);
		check(name, 204, "", B24_NONSENSE);
		check(name, 200, "null", B24_NONSENSE);
		check(name, 200, "[]", B24_NONSENSE);
		check(name, 200, "\"OK\"", B24_NONSENSE);
		check(name, 200, "{}", B24_NONSENSE);
		check(name, 200, "<html></html>", B24_NONSENSE);
		check(name, 200, "{\"status\":\"true\",\"data\":{\"customer_id\":\"c\"}}", B24_NONSENSE);
		check(name, 200, "{\"status\":1,\"data\":{\"customer_id\":\"c\"}}", B24_NONSENSE);
		check(name, 200, "{\"status\":null,\"data\":{\"customer_id\":\"c\"}}", B24_NONSENSE);
		check(name, 200, "{\"message\":\"OK\",\"data\":{\"customer_id\":\"c\"}}", B24_NONSENSE);
		check(name, 200, "{\"status\":true}", B24_NONSENSE);
		check(name, 200, "{\"status\":true,\"data\":null}", B24_NONSENSE);
		check(name, 200, "{\"status\":true,\"data\":[{\"customer_id\":\"c\"}]}", B24_NONSENSE);
		check(name, 200, "{\"status\":true,\"data\":\"c\"}", B24_NONSENSE);
		check(name, 200, "{\"status\":false,\"data\":{\"customer_id\":\"c\"}}", B24_REFUSED);
		check(name, 201, "{\"status\":false,\"message\":\"no\"}", B24_REFUSED);
		check(name, 200, INNER("false", "200"), B24_REFUSED);
		check(name, 200, INNER("true", "404"), B24_NOT_FOUND);
		check(name, 200, INNER("false", "400"), B24_INVALID);
		check(name, 200, INNER("true", "500"), B24_SERVER_ERROR);
		check(name, 200, INNER("true", "0"), B24_REFUSED);
		check(name, 200, INNER("true", "\"x\""), B24_REFUSED);
		check(name, 100, INNER("true", "200"), B24_NONSENSE);
		check(name, 302, INNER("true", "200"), B24_NONSENSE);
		check(name, 304, "", B24_NONSENSE);
		check(name, 200, "{\"status\":true,\"data\":{\"request_id\":\"r\",\"status_code\":200}}", B24_NONSENSE);
	}
	check("create_customer", 200, "{\"status\":true,\"data\":{\"id\":\"c\"}}", B24_NONSENSE);
	check("create_customer", 200, "{\"status\":true,\"data\":{\"customer_id\":7}}", B24_NONSENSE);
	check("delete_customer", 200, "{\"status\":true,\"data\":{\"is_wallet_ready\":false,\"missing_field\":[]}}", B24_OK);
}

static void
test_an_http_status_decides_whatever_the_body_says(void **state)
{
	static const struct
	{
		long		http;
		B24Status	status;
	}			statuses[] = {
		{400, B24_INVALID}, {401, B24_KEY_REFUSED}, {402, B24_REFUSED}, {403, B24_KEY_REFUSED},
		{405, B24_REFUSED}, {408, B24_SERVER_ERROR}, {409, B24_ALREADY_EXISTS}, {410, B24_REFUSED},
		{413, B24_REFUSED}, {415, B24_REFUSED}, {422, B24_INVALID}, {429, B24_THROTTLED},
		{500, B24_SERVER_ERROR}, {502, B24_SERVER_ERROR}, {503, B24_SERVER_ERROR}, {599, B24_SERVER_ERROR},
	};
	static const char *const bodies[] = {
		"", "{}", "null", "<html>", "{\"status\":true,\"data\":{\"customer_id\":\"c\"}}",
		"{\"status\":false,\"message\":\"x\"}", "plain words", "{\"message\":[\"a\",\"b\"]}", "\xff\xfe",
	};

	for (size_t i = 0; i < COUNT(statuses); i++)
	{
		for (size_t j = 0; j < COUNT(bodies); j++)
		{
			check("create_customer", statuses[i].http, bodies[j], statuses[i].status);
			check("request", statuses[i].http, bodies[j], statuses[i].status);
		}
	}
	/* a path that is not there is not a customer that is not there */
	check("get_customer", 404, "{\"status\":false,\"message\":\"not found\"}", B24_NOT_FOUND);
	check("get_customer", 404, "<html>", B24_NONSENSE);
	check("get_customer", 404, "", B24_NONSENSE);
}

static void
test_the_words_of_a_refusal(void **state)
{
	B24Reply	reply;

	decode("create_customer", 400, "{\"status\":false,\"message\":\"description is required\"}", &reply);
	assert_string_equal(reply.message, "description is required");
	assert_string_equal(reply.text, "");
	b24_reply_free(&reply);
	decode("create_customer", 400, "{\"message\":[\"one\",\"two\"]}", &reply);
	assert_string_equal(reply.message, "one");
	b24_reply_free(&reply);
	decode("create_customer", 400, " upstream says no", &reply);
	assert_null(reply.message);
	assert_string_equal(reply.text, "upstream says no");
	b24_reply_free(&reply);
	decode("create_customer", 400, "<html>no</html>", &reply);
	assert_string_equal(reply.text, "");
	b24_reply_free(&reply);
}

static void
test_any_path_may_answer_without_status(void **state)
{
	check("request", 200, "{\"message\":\"OK\",\"data\":{}}", B24_OK);
	check("request", 200, "{\"status\":true}", B24_OK);
	check("request", 204, "", B24_OK);
	check("request", 200, "{\"status\":false}", B24_REFUSED);
	check("request", 200, "{\"status\":\"x\"}", B24_NONSENSE);
	check("request", 200, INNER("false", "409"), B24_ALREADY_EXISTS);
	check("request", 200, "[]", B24_OK);
	check("request", 200, "null", B24_NONSENSE);
}

static void
test_names(void **state)
{
	assert_ptr_equal(b24_provider_find("paycombat"), &b24_paycombat);
	assert_ptr_equal(b24_provider_find("bill24"), &b24_bill24);
	assert_null(b24_provider_find("postgres_fdw"));
	assert_null(b24_provider_find(""));
	assert_ptr_equal(b24_endpoint_of(&b24_paycombat, "create_customer"),
					 &b24_endpoints[B24_EP_paycombat_create_customer]);
	assert_ptr_equal(b24_endpoint_of(&b24_paycombat, "paycombat_create_customer"),
					 &b24_endpoints[B24_EP_paycombat_create_customer]);
	assert_ptr_equal(b24_endpoint_of(&b24_bill24, "create_customer"),
					 &b24_endpoints[B24_EP_create_customer]);
	assert_ptr_equal(b24_endpoint_of(&b24_bill24, "bill24_create_customer"),
					 &b24_endpoints[B24_EP_create_customer]);
	assert_null(b24_endpoint_of(&b24_bill24, "paycombat_create_customer"));
	assert_null(b24_endpoint_of(&b24_paycombat, "bill24_create_customer"));
	assert_null(b24_endpoint_of(&b24_paycombat, "settle_payment"));
	assert_null(b24_endpoint_of(&b24_paycombat, ""));
	for (int i = B24_EP_paycombat_create_customer; i < B24_EP_COUNT; i++)
	{
		assert_ptr_equal(b24_endpoints[i].provider, &b24_paycombat);
		assert_non_null(b24_endpoints[i].path_option);
		assert_true(b24_endpoints[i].path_is_guess == (i == B24_EP_paycombat_delete_customer));
	}
}

static void
test_a_lost_create_is_left_to_a_person_unless_told_otherwise(void **state)
{
	B24Reply	reply = {.status = B24_NO_ANSWER};
	const B24Endpoint *create = row("create_customer");
	const B24Endpoint *update = row("update_customer");

	assert_int_equal(b24_verdict_sent(create, 1, &reply, false), B24_VERDICT_PARKED);
	assert_int_equal(b24_verdict_sent(create, 1, &reply, true), B24_VERDICT_UNKNOWN);
	assert_int_equal(b24_step(create, true, false), B24_STEP_PARK);
	assert_int_equal(b24_step(create, true, true), B24_STEP_SEND);
	assert_int_equal(b24_verdict_sent(update, 1, &reply, false), B24_VERDICT_UNKNOWN);
	assert_int_equal(b24_step(update, true, false), B24_STEP_SEND);
	reply.status = B24_ALREADY_EXISTS;
	assert_int_equal(b24_verdict_sent(create, 1, &reply, true), B24_VERDICT_FAILED);
	assert_int_equal(b24_verdict_sent(create, 2, &reply, true), B24_VERDICT_PARKED);
	reply.status = B24_KEY_REFUSED;
	assert_int_equal(b24_verdict_sent(create, 1, &reply, false), B24_VERDICT_RETRY);
	reply.status = B24_NOT_FOUND;
	assert_int_equal(b24_verdict_sent(row("delete_customer"), 2, &reply, false), B24_VERDICT_FAILED);
	/* what is not PayCombat's knows no such option */
	reply.status = B24_NO_ANSWER;
	assert_int_equal(b24_verdict_sent(b24_endpoint_find("onboard_sub_biller"), 1, &reply, true), B24_VERDICT_PARKED);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_body_is_signed_as_it_is_sent),
		cmocka_unit_test(test_what_has_no_body_is_not_signed),
		cmocka_unit_test(test_the_other_readings_of_a_missing_body),
		cmocka_unit_test(test_a_server_can_have_other_paths),
		cmocka_unit_test(test_what_the_page_requires),
		cmocka_unit_test(test_secrets_that_are_missing_or_would_break_a_header),
		cmocka_unit_test(test_signatures_are_compared),
		cmocka_unit_test(test_both_shapes_of_data_are_read),
		cmocka_unit_test(test_what_merely_looks_like_success_is_none),
		cmocka_unit_test(test_an_http_status_decides_whatever_the_body_says),
		cmocka_unit_test(test_the_words_of_a_refusal),
		cmocka_unit_test(test_any_path_may_answer_without_status),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_a_lost_create_is_left_to_a_person_unless_told_otherwise),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
