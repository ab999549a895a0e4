/*-------------------------------------------------------------------------
 *
 * test_provider.c
 *	  Answer to reply: what counts as success, refusal and nonsense; logins.
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

#include "codec.h"

/* Bill24's rows are the first; test_paycombat.c is about the others. */
#define BILL24_COUNT B24_EP_paycombat_create_customer

/* An operation that is in no table: any path, and any answer will do. */
static const B24Endpoint unknown = {
	.name = "call", .provider = &b24_bill24, .method = "GET", .result = "",
};

/* Decodes an answer of these bytes; the reply is to be freed. */
static void
decode_bytes(const char *name, long http_status, const char *body, size_t length,
			 B24Reply *reply)
{
	B24HttpAnswer answer;

	memset(&answer, 0, sizeof(answer));
	answer.status = B24_OK;
	answer.http_status = http_status;
	answer.retry_after_s = -1;
	answer.server_time_s = -1;
	answer.sent = true;
	if (length > 0)
	{
		answer.body = malloc(length + 1);
		memcpy(answer.body, body, length);
		answer.body[length] = '\0';
		answer.body_length = length;
	}
	b24_decode(strcmp(name, unknown.name) == 0 ? &unknown : b24_endpoint_find(name),
			   &answer, reply);
	/* what the reply has, it has of its own */
	free(answer.body);

	assert_int_equal(reply->http_status, http_status);
	assert_true((reply->status == B24_OK) == (reply->result != NULL));
	assert_true(is_utf8(reply->text, strlen(reply->text)));
}

static void
decode(const char *name, long http_status, const char *body, B24Reply *reply)
{
	decode_bytes(name, http_status, body, strlen(body), reply);
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

/* An unreadable answer, and what the text has to say about it. */
static void
check_nonsense(const char *name, long http_status, const char *body, const char *says)
{
	B24Reply	reply;

	decode(name, http_status, body, &reply);
	assert_int_equal(reply.status, B24_NONSENSE);
	if (strstr(reply.text, says) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", reply.text, says);
	b24_reply_free(&reply);
}

/*
 * Success
 */
/* Data that is a success for every operation. */
#define SETTLED "{\"bill\":{\"status\":\"success\"},\"payment\":{\"status\":\"success\"},\"token\":\"t\"}"

static void
test_a_settlement_needs_bill_and_payment_to_succeed(void **state)
{
	static const char *const data[] = {
		"{}", "null", "[]", "\"success\"",
		"{\"bill\":{\"status\":\"success\"}}",
		"{\"payment\":{\"status\":\"success\"}}",
		"{\"bill\":{\"status\":\"success\"},\"payment\":null}",
		"{\"bill\":{\"status\":\"success\"},\"payment\":{\"status\":\"failed\"}}",
		"{\"bill\":{\"status\":\"success\"},\"payment\":{\"status\":\"pending\"}}",
		"{\"bill\":{\"status\":\"failed\"},\"payment\":{\"status\":\"success\"}}",
		"{\"bill\":{\"status\":true},\"payment\":{\"status\":\"success\"}}",
	};

	for (size_t i = 0; i < COUNT(data); i++)
	{
		char		body[300];

		snprintf(body, sizeof(body), "{\"code\":\"SUCCESS\",\"data\":%s}", data[i]);
		check("settle_payment", 200, body, B24_NONSENSE);
	}
}

static void
test_both_success_codes_are_success_everywhere(void **state)
{
	for (int i = 0; i < BILL24_COUNT; i++)
	{
		check(b24_endpoints[i].name, 200, "{\"code\":\"000\",\"data\":" SETTLED "}", B24_OK);
		check(b24_endpoints[i].name, 200, "{\"code\":\"SUCCESS\",\"data\":" SETTLED "}", B24_OK);
		check(b24_endpoints[i].name, 201, "{\"code\":\"000\",\"data\":" SETTLED "}", B24_OK);
	}
}

static void
test_of_the_table_only_authorize_succeeds_with_the_number_200(void **state)
{
	for (int i = 0; i < BILL24_COUNT; i++)
	{
		B24Status	expected = i == B24_EP_authorize ? B24_OK : B24_REFUSED;

		check(b24_endpoints[i].name, 200, "{\"code\":200,\"data\":{\"token\":\"t\"}}", expected);
		check(b24_endpoints[i].name, 200, "{\"code\":\"200\",\"data\":{\"token\":\"t\"}}", expected);
	}
}

static void
test_what_merely_looks_like_success_is_none(void **state)
{
	static const char *const codes[] = {
		"0", "\"0\"", "\"00\"", "\"0000\"", "\"000 \"", "\" 000\"", "\"\"", "\"success\"",
		"\"Success\"", "\"SUCCESSFUL\"", "\"SUCCESS\\n\"", "\"OK\"", "0.0", "\"000x\"", "-0",
	};

	for (size_t i = 0; i < COUNT(codes); i++)
	{
		char		body[100];

		snprintf(body, sizeof(body), "{\"code\":%s,\"data\":{}}", codes[i]);
		check("get_bill", 200, body, B24_REFUSED);
		check("authorize", 200, body, B24_LOGIN_REFUSED);
	}
}

static void
test_a_code_is_not_cut_off_at_an_escaped_nul(void **state)
{
	static const char *const codes[] = {"000\\u0000x", "SUCCESS\\u0000", "\\u0000000"};

	for (size_t i = 0; i < COUNT(codes); i++)
	{
		char		body[100];
		B24Reply	reply;

		snprintf(body, sizeof(body), "{\"code\":\"%s\",\"data\":{}}", codes[i]);
		decode("get_bill", 200, body, &reply);
		assert_int_not_equal(reply.status, B24_OK);
		b24_reply_free(&reply);
	}
}

static void
test_the_result_is_the_part_the_row_names(void **state)
{
	static const char body[] =
		"{\"code\":\"000\",\"message\":\" Done. \",\"message_kh\":\"ជោគជ័យ\","
		"\"data\":" SETTLED ",\"more\":1}";

	for (int i = 0; i < BILL24_COUNT; i++)
	{
		B24Reply	reply;

		decode(b24_endpoints[i].name, 200, body, &reply);
		assert_int_equal(reply.status, B24_OK);
		assert_string_equal(reply.code, "000");
		assert_string_equal(reply.message, " Done. ");
		assert_string_equal(reply.message_kh, "ជោគជ័យ");
		assert_string_equal(reply.text, "");
		assert_ptr_equal(reply.result, b24_endpoints[i].result[0] == '\0' ? reply.root :
						 b24_json_get(reply.root, "data"));
		b24_reply_free(&reply);
		assert_null(reply.root);
		assert_null(reply.message);
	}
}

static void
test_unknown_members_and_missing_messages_do_no_harm(void **state)
{
	B24Reply	reply;

	decode("get_bill", 200, "{\"traceId\":\"x\",\"data\":{\"new\":[{}]},\"code\":\"000\"}", &reply);
	assert_int_equal(reply.status, B24_OK);
	assert_null(reply.message);
	assert_null(reply.message_kh);
	b24_reply_free(&reply);

	decode("get_bill", 200, "{\"code\":\"000\",\"message\":null,\"message_kh\":7,\"data\":{}}", &reply);
	assert_int_equal(reply.status, B24_OK);
	assert_null(reply.message);
	assert_null(reply.message_kh);
	b24_reply_free(&reply);
}

static void
test_success_without_data_is_nonsense(void **state)
{
	for (int i = 0; i < BILL24_COUNT; i++)
	{
		const B24Endpoint *endpoint = &b24_endpoints[i];
		B24Status	expected = endpoint->result[0] == '\0' &&
			i != B24_EP_settle_payment ? B24_OK : B24_NONSENSE;

		check(endpoint->name, 200, "{\"code\":\"000\"}", expected);
		check(endpoint->name, 200, "{\"code\":\"000\",\"data\":null}", expected);
	}
	check_nonsense("get_bill", 200, "{\"code\":\"000\"}", "no data");
}

/*
 * Refusals
 */

/* The pages "Response codes", and what the demo server was seen to answer. */
static const struct
{
	const char *operation;		/* NULL: all, unless another row names one */
	const char *code;
	B24Status	status;
}			documented[] = {
	{"create_customer", "310", B24_ALREADY_EXISTS},
	{"create_customer", "311", B24_REFUSED},
	{"create_customer", "319", B24_REFUSED},
	{"create_customer", "320", B24_REFUSED},
	{"create_customer", "511", B24_REFUSED},
	{"get_customer", "311", B24_NOT_FOUND},
	{"update_customer", "311", B24_NOT_FOUND},
	{"delete_customer", "407", B24_BALANCE_NOT_ZERO},
	{"get_payment_methods", "311", B24_NOT_FOUND},
	{"settle_payment", "101", B24_INVALID},
	{"settle_payment", "310", B24_REFUSED},
	{"settle_payment", "311", B24_NOT_FOUND},
	{"settle_payment", "312", B24_NOT_FOUND},
	{"settle_payment", "314", B24_PAYMENT_TOKEN},
	{"settle_payment", "315", B24_NOT_FOUND},
	{"settle_payment", "316", B24_NOT_FOUND},
	{"settle_payment", "317", B24_PAYMENT_TOKEN},
	{"settle_payment", "318", B24_PAYMENT_TOKEN},
	{"settle_payment", "323", B24_ALREADY_PAID},
	{"settle_payment", "327", B24_ALREADY_EXISTS},
	{"settle_payment", "401", B24_INSUFFICIENT_FUNDS},
	{"get_bill", "324", B24_NOT_FOUND},
	{"get_wallet_balance", "404", B24_NOT_FOUND},
	{"get_transaction", "404", B24_NOT_FOUND},
	{"get_transaction", "324", B24_NOT_FOUND},
	{"onboard_sub_biller", "310", B24_ALREADY_EXISTS},
	{"onboard_sub_biller", "312", B24_NOT_FOUND},
	{"add_link_account", "312", B24_NOT_FOUND},
	{"add_link_account", "314", B24_NOT_FOUND},
	{"verify_linked_account", "314", B24_NOT_FOUND},
	{NULL, "311", B24_NOT_FOUND},
	{NULL, "ERR_MISSED_FIELD", B24_INVALID},
};

static B24Status
expected_rejection(const char *operation, const char *code)
{
	if (strcmp(operation, "authorize") == 0)
		return B24_LOGIN_REFUSED;
	for (size_t i = 0; i < COUNT(documented); i++)
	{
		if (strcmp(documented[i].code, code) == 0 &&
			(documented[i].operation == NULL ||
			 strcmp(documented[i].operation, operation) == 0))
			return documented[i].status;
	}
	return B24_REFUSED;
}

/* Every operation with every code: a meaning must not spread to others. */
static void
test_each_code_means_in_each_operation_what_is_documented_there(void **state)
{
	static const char *const more[] = {
		"001", "1", "402", "403", "405", "406", "313", "325", "326", "500", "999",
		"ERR_UNKNOWN", "err_missed_field", "FAIL",
	};

	for (int i = 0; i < BILL24_COUNT; i++)
	{
		const char *operation = b24_endpoints[i].name;

		for (size_t j = 0; j < COUNT(documented) + COUNT(more); j++)
		{
			const char *code = j < COUNT(documented) ? documented[j].code :
				more[j - COUNT(documented)];
			char		body[100];

			snprintf(body, sizeof(body), "{\"code\":\"%s\",\"message\":\"m\",\"data\":null}",
					 code);
			check(operation, 200, body, expected_rejection(operation, code));
			check(operation, 400, body, expected_rejection(operation, code));
			check(operation, 404, body, expected_rejection(operation, code));
		}
	}
}

static void
test_a_refusal_keeps_code_messages_and_root(void **state)
{
	B24Reply	reply;

	decode("settle_payment", 200,
		   "{\"code\":\"401\",\"message\":\"Insufficient balance in the wallet to proceed with payment.\","
		   "\"message_kh\":\"មិនគ្រប់គ្រាន់\",\"data\":{\"bill\":null,\"payment\":null}}", &reply);
	assert_int_equal(reply.status, B24_INSUFFICIENT_FUNDS);
	assert_string_equal(reply.code, "401");
	assert_string_equal(reply.message,
						"Insufficient balance in the wallet to proceed with payment.");
	assert_string_equal(reply.message_kh, "មិនគ្រប់គ្រាន់");
	assert_non_null(reply.root);
	assert_null(reply.result);
	b24_reply_free(&reply);
}

static void
test_a_refusal_with_data_is_still_a_refusal(void **state)
{
	check("get_bill", 200,
		  "{\"code\":\"324\",\"message\":\"Bill not found.\",\"data\":{\"ref_id\":\"\","
		  "\"date\":\"0001-01-01T00:00:00\",\"total_amount\":0,\"details\":[]}}", B24_NOT_FOUND);
	check("get_payment_methods", 200, "{\"code\":\"311\",\"data\":[]}", B24_NOT_FOUND);
	check("create_customer", 200, "{\"code\":\"310\",\"data\":{\"sync_code\":\"C1\"}}",
		  B24_ALREADY_EXISTS);
}

static void
test_a_code_may_be_a_number(void **state)
{
	B24Reply	reply;

	decode("settle_payment", 200, "{\"code\":401}", &reply);
	assert_int_equal(reply.status, B24_INSUFFICIENT_FUNDS);
	assert_string_equal(reply.code, "401");
	b24_reply_free(&reply);
	check("get_customer", 200, "{\"code\":311,\"data\":null}", B24_NOT_FOUND);
	check("get_customer", 200, "{\"code\":123456789012345678901234567890}", B24_REFUSED);
}

static void
test_a_code_longer_than_its_place_is_refused_and_not_shown(void **state)
{
	for (int shift = 0; shift < 4; shift++)
	{
		char		body[500];
		B24Reply	reply;

		snprintf(body, sizeof(body),
				 "{\"code\":\"%.*sកកកកកកកកកកកកកកកកកកកកកកកក\"}", shift, "abc");
		decode("get_bill", 200, body, &reply);
		assert_int_equal(reply.status, B24_REFUSED);
		assert_string_equal(reply.code, "");
		b24_reply_free(&reply);
	}
}

/*
 * HTTP statuses
 */
static void
test_401_is_unauthorized_whatever_its_body(void **state)
{
	static const char *const bodies[] = {
		"", "null", "{}", "{\"code\":\"000\",\"data\":{}}", "{\"code\":\"311\"}",
		"<html></html>", "nonsense",
	};

	for (size_t i = 0; i < COUNT(bodies); i++)
	{
		for (int j = 0; j < BILL24_COUNT; j++)
			check(b24_endpoints[j].name, 401, bodies[i],
				  j == B24_EP_authorize ? B24_LOGIN_REFUSED : B24_UNAUTHORIZED);
	}
}

static void
test_429_is_throttled_whatever_its_body(void **state)
{
	check("get_bill", 429, "", B24_THROTTLED);
	check("get_bill", 429, "{\"code\":\"000\",\"data\":{}}", B24_THROTTLED);
	check("authorize", 429, "<html></html>", B24_THROTTLED);
}

static void
test_5xx_is_a_server_error_whatever_its_body(void **state)
{
	static const long statuses[] = {500, 501, 502, 503, 504, 599, 600, 999};

	for (size_t i = 0; i < COUNT(statuses); i++)
	{
		check("settle_payment", statuses[i], "", B24_SERVER_ERROR);
		check("settle_payment", statuses[i], "<html>Bad Gateway</html>", B24_SERVER_ERROR);
		check("settle_payment", statuses[i], "{\"code\":\"000\",\"data\":{}}", B24_SERVER_ERROR);
		check("settle_payment", statuses[i], "{\"code\":\"401\"}", B24_SERVER_ERROR);
		check("authorize", statuses[i], "{\"token\":\"t\"}", B24_SERVER_ERROR);
	}
}

static void
test_a_server_error_keeps_the_message_it_came_with(void **state)
{
	B24Reply	reply;

	decode("get_bill", 500, "{\"code\":\"999\",\"message\":\"Sorry\"}", &reply);
	assert_int_equal(reply.status, B24_SERVER_ERROR);
	assert_string_equal(reply.code, "999");
	assert_string_equal(reply.message, "Sorry");
	b24_reply_free(&reply);
}

static void
test_a_redirect_is_nonsense_and_says_so(void **state)
{
	static const long statuses[] = {300, 301, 302, 303, 304, 307, 308, 399};

	for (size_t i = 0; i < COUNT(statuses); i++)
	{
		check_nonsense("get_bill", statuses[i], "", "redirect");
		check_nonsense("get_bill", statuses[i], "{\"code\":\"000\",\"data\":{}}", "redirect");
		check_nonsense("authorize", statuses[i], "{\"token\":\"t\"}", "redirect");
	}
}

/* As a redirect mostly comes: that it is one says more than its page does. */
static void
test_a_redirect_with_a_page_says_so_too(void **state)
{
	check_nonsense("get_bill", 302, "<html><body>Object moved</body></html>", "redirect");
}

static void
test_a_success_code_under_another_status_is_never_success(void **state)
{
	for (long status = 0; status < 1000; status++)
	{
		for (int i = 0; i < BILL24_COUNT; i++)
		{
			B24Reply	reply;

			if (status >= 200 && status < 300)
				continue;
			decode(b24_endpoints[i].name, status,
				   "{\"code\":\"000\",\"data\":{\"token\":\"t\"}}", &reply);
			assert_int_not_equal(reply.status, B24_OK);
			b24_reply_free(&reply);
		}
	}
	check_nonsense("get_bill", 404, "{\"code\":\"000\",\"data\":{}}", "HTTP status 404");
}

static void
test_a_login_without_envelope_needs_a_successful_status_too(void **state)
{
	check("authorize", 200, "{\"token\":\"t\"}", B24_OK);
	check("authorize", 100, "{\"token\":\"t\"}", B24_NONSENSE);
	check("authorize", 0, "{\"token\":\"t\"}", B24_NONSENSE);
	check("authorize", 400, "{\"token\":\"t\"}", B24_NONSENSE);
	/* and no other operation answers that way */
	check("get_bill", 200, "{\"token\":\"t\"}", B24_NONSENSE);
}

static void
test_an_unknown_operation_may_answer_anything_that_is_json(void **state)
{
	B24Reply	reply;

	check("call", 200, "[{\"id\":1}]", B24_OK);
	check("call", 201, "{\"status\":1}", B24_OK);
	check("call", 200, "{\"code\":\"000\"}", B24_OK);
	/* it may be a login */
	check("call", 200, "{\"code\":200,\"data\":{\"token\":\"t\"}}", B24_OK);
	check("call", 200, "7", B24_OK);

	decode("call", 200, "{\"id\":70}", &reply);
	assert_ptr_equal(reply.result, reply.root);
	b24_reply_free(&reply);
}

static void
test_an_unknown_operation_can_still_fail(void **state)
{
	check("call", 200, "{\"code\":\"311\"}", B24_NOT_FOUND);
	check("call", 200, "{\"code\":\"999\"}", B24_REFUSED);
	check("call", 200, "", B24_NONSENSE);
	check("call", 200, "<html></html>", B24_NONSENSE);
	check("call", 302, "{}", B24_NONSENSE);
	check("call", 400, "{\"status\":1}", B24_NONSENSE);
	check("call", 100, "{\"status\":1}", B24_NONSENSE);
	check("call", 0, "{\"status\":1}", B24_NONSENSE);
	check("call", 401, "", B24_UNAUTHORIZED);
	check("call", 500, "{}", B24_SERVER_ERROR);
}

/*
 * Nonsense
 */
static void
test_html_is_nonsense_and_says_so(void **state)
{
	check_nonsense("get_bill", 200, "<html></html>", "HTML");
	check_nonsense("get_bill", 200, " \r\n\t<!DOCTYPE html>", "HTML");
	check_nonsense("get_bill", 404, "<html></html>", "HTTP status 404");
	check_nonsense("authorize", 200, "<?xml version=\"1.0\"?>", "HTML");
}

static void
test_answers_that_are_no_envelope_are_nonsense(void **state)
{
	static const char *const bodies[] = {
		"", " ", "null", "true", "7", "\"000\"", "[]", "[{\"code\":\"000\",\"data\":{}}]",
		"{}", "{\"data\":{}}", "{\"Code\":\"000\",\"data\":{}}", "{\"code\":null,\"data\":{}}",
		"{\"code\":true,\"data\":{}}", "{\"code\":[\"000\"],\"data\":{}}",
		"{\"code\":{\"code\":\"000\"},\"data\":{}}", "{\"code\":000,\"data\":{}}",
		"{\"code\":\"000\",\"data\":{}", "{\"code\":\"000\",\"data\":{}}}",
		"{\"code\":\"000\"\"data\":{}}", "\xef\xbb\xbfnonsense",
		"{\"code\":\"000\",\"message\":\"\x80\",\"data\":{}}",
		"{\"code\":\"000\",\"data\":{\"total_amount\":NaN}}",
		"{\"status\":400,\"title\":\"Bad Request\"}",
	};

	for (size_t i = 0; i < COUNT(bodies); i++)
	{
		for (int j = 0; j < BILL24_COUNT; j++)
		{
			check(b24_endpoints[j].name, 200, bodies[i], B24_NONSENSE);
			check(b24_endpoints[j].name, 404, bodies[i], B24_NONSENSE);
		}
	}
}

static void
test_an_answer_with_a_nul_byte_is_nonsense(void **state)
{
	static const char body[] = "{\"code\":\"000\",\"data\":{}}\0{}";
	B24Reply	reply;

	decode_bytes("get_bill", 200, body, sizeof(body) - 1, &reply);
	assert_int_equal(reply.status, B24_NONSENSE);
	b24_reply_free(&reply);

	decode_bytes("get_bill", 200, "\0", 1, &reply);
	assert_int_equal(reply.status, B24_NONSENSE);
	b24_reply_free(&reply);
}

static void
test_nonsense_tells_status_and_size(void **state)
{
	check_nonsense("get_bill", 200, "", "HTTP status 200, 0 bytes");
	check_nonsense("get_bill", 404, "oops", "HTTP status 404, 4 bytes");
}

/* Its shape is the business of whoever makes rows of it. */
static void
test_data_of_any_shape_is_handed_on(void **state)
{
	static const struct
	{
		const char *data;
		B24JsonType type;
	}			shapes[] = {
		{"{}", B24_JSON_OBJECT}, {"[]", B24_JSON_ARRAY}, {"\"\"", B24_JSON_STRING},
		{"0", B24_JSON_NUMBER}, {"false", B24_JSON_BOOLEAN},
	};

	for (size_t i = 0; i < COUNT(shapes); i++)
	{
		char		body[100];
		B24Reply	reply;

		snprintf(body, sizeof(body), "{\"code\":\"000\",\"data\":%s}", shapes[i].data);
		decode("get_bill", 200, body, &reply);
		assert_int_equal(reply.status, B24_OK);
		assert_int_equal(b24_json_type(reply.result), shapes[i].type);
		b24_reply_free(&reply);
	}
}

static void
test_huge_strings_and_arrays_are_read_whole(void **state)
{
	size_t		length = 2000000;
	size_t		text_length;
	char	   *body = malloc(2 * length + 200);
	char	   *end;
	B24Reply	reply;

	end = body + sprintf(body, "{\"code\":\"000\",\"message\":\"");
	memset(end, 'm', length);
	end += length;
	strcpy(end, "\",\"data\":{\"name\":\"");
	end += strlen(end);
	memset(end, 'n', length);
	strcpy(end + length, "\"}}");
	decode("get_customer", 200, body, &reply);
	assert_int_equal(reply.status, B24_OK);
	assert_int_equal(strlen(reply.message), length);
	b24_json_string(b24_json_get(reply.result, "name"), &text_length);
	assert_int_equal(text_length, length);
	b24_reply_free(&reply);

	end = body + sprintf(body, "{\"code\":\"000\",\"data\":[0");
	for (int i = 0; i < 100000; i++)
	{
		strcpy(end, ",{}");
		end += 3;
	}
	strcpy(end, "]}");
	decode("get_payment_methods", 200, body, &reply);
	assert_int_equal(reply.status, B24_OK);
	assert_int_equal(b24_json_length(reply.result), 100001);
	b24_reply_free(&reply);
	free(body);
}

/*
 * Fields of a result
 */
static void
check_field(const char *result, const char *column, const char *expected)
{
	B24Json    *parsed = json(result);

	if (expected == NULL)
		assert_null(b24_endpoint_field(parsed, column));
	else
		assert_string_equal(b24_json_text(b24_endpoint_field(parsed, column), NULL), expected);
	b24_json_free(parsed);
}

static void
test_a_field_is_found_where_the_documentation_has_it(void **state)
{
	static const char bill[] =
		"{\"customer_sync_code\":\"C0020\",\"bill_status\":\"paid\",\"payment\":{"
		"\"checkout_link\":\"l\",\"checkout_ref\":\"r\",\"payment_date\":\"d\","
		"\"payment_ref\":\"p\",\"payment_method\":\"wallet\"}}";
	static const char settled[] =
		"{\"code\":\"000\",\"data\":{\"bill\":{\"status\":\"success\"},"
		"\"payment\":{\"status\":\"pending\"}}}";

	check_field(bill, "sync_code", "\"C0020\"");
	check_field(bill, "bill_status", "\"paid\"");
	check_field(bill, "checkout_link", "\"l\"");
	check_field(bill, "checkout_ref", "\"r\"");
	check_field(bill, "payment_date", "\"d\"");
	check_field(bill, "payment_ref", "\"p\"");
	check_field(bill, "payment_method", "\"wallet\"");
	check_field("{\"invoice_status\":\"success\"}", "bill_status", "\"success\"");
	check_field(settled, "bill_status", "\"success\"");
	check_field(settled, "payment_status", "\"pending\"");
	check_field("{\"wallet\":[1]}", "wallets", "[1]");
	check_field("{\"walletBalances\":[2]}", "wallets", "[2]");
}

static void
test_a_field_under_its_own_name_comes_first(void **state)
{
	check_field("{\"sync_code\":\"a\",\"customer_sync_code\":\"b\"}", "sync_code", "\"a\"");
	check_field("{\"sync_code\":null,\"customer_sync_code\":\"b\"}", "sync_code", "\"b\"");
	check_field("{\"wallets\":[],\"wallet\":[1]}", "wallets", "[]");
}

static void
test_a_field_that_is_not_there_is_absent(void **state)
{
	check_field("{}", "sync_code", NULL);
	check_field("{\"payment\":null}", "payment_method", NULL);
	check_field("{\"payment\":\"wallet\"}", "payment_method", NULL);
	check_field("{\"data\":{\"bill\":null}}", "bill_status", NULL);
	check_field("[1]", "sync_code", NULL);
}

/*
 * Transfers that brought no answer
 */
static void
test_a_failed_transfer_is_handed_on(void **state)
{
	static const B24Status statuses[] = {
		B24_UNREACHABLE, B24_NO_ANSWER, B24_TOO_LARGE, B24_NO_MEMORY, B24_NONSENSE,
	};

	for (size_t i = 0; i < COUNT(statuses); i++)
	{
		char		body[] = "{\"code\":\"000\",\"data\":{}}";
		B24HttpAnswer answer = {
			.status = statuses[i], .text = "it broke", .http_status = 200,
			.body = body, .body_length = sizeof(body) - 1, .retry_after_s = -1,
		};
		B24Reply	reply;

		b24_decode(b24_endpoint_find("get_bill"), &answer, &reply);
		assert_int_equal(reply.status, statuses[i]);
		assert_string_equal(reply.text, "it broke");
		assert_int_equal(reply.http_status, 200);
		assert_null(reply.root);
		assert_null(reply.result);
		b24_reply_free(&reply);
	}
}

static void
test_retry_after_is_handed_on(void **state)
{
	static const long seconds[] = {-1, 1, 30, 86400};

	for (size_t i = 0; i < COUNT(seconds); i++)
	{
		B24HttpAnswer answer = {
			.status = B24_OK, .http_status = 429, .retry_after_s = seconds[i],
		};
		B24Reply	reply;

		b24_decode(b24_endpoint_find("get_bill"), &answer, &reply);
		assert_int_equal(reply.status, B24_THROTTLED);
		assert_int_equal(reply.retry_after_s, seconds[i]);
		b24_reply_free(&reply);
	}
}

/*
 * Logins
 */

/* 2024-06-24T14:46:07+07:00 */
#define EXPIRY 1719215167L

/* Reads a login out of an answer.  What it brings is to be freed. */
static B24Status
read_login(const char *body, long server_time_s, long now_s, B24Login *login,
		   B24Problem *problem)
{
	B24Reply	reply;
	B24Status	status;

	decode("authorize", 200, body, &reply);
	assert_int_equal(reply.status, B24_OK);
	status = b24_bill24_login(&reply, server_time_s, now_s, login, problem);
	/* the login has its own copies */
	b24_reply_free(&reply);
	return status;
}

static void
free_login(B24Login *login)
{
	free(login->bearer);
	free(login->refresh);
}

static void
check_lifetime(const char *expires, long now_s, long lifetime_s)
{
	char		body[300];
	B24Login	login;
	B24Problem	problem = {B24_OK, ""};

	snprintf(body, sizeof(body),
			 "{\"code\":200,\"data\":{\"token\":\"t\",\"tokenExpireTime\":%s}}", expires);
	assert_int_equal(read_login(body, -1, now_s, &login, &problem), B24_OK);
	if (login.lifetime_s != lifetime_s)
		fail_msg("%s: %ld seconds instead of %ld", expires, login.lifetime_s, lifetime_s);
	assert_false(login.skew_known);
	free_login(&login);
}

static void
test_a_login_is_read_with_and_without_envelope(void **state)
{
	static const char *const bodies[] = {
		"{\"code\":200,\"message\":\"\",\"data\":{\"issuer\":\"http://issuer\",\"token\":\"a.b.c\","
		"\"refreshToken\":\"0123abcd\",\"tokenExpireTime\":\"2024-06-24T14:46:07.8930774+07:00\"}}",
		"{\"issuer\":\"http://issuer\",\"token\":\"a.b.c\",\"refreshToken\":\"0123abcd\","
		"\"tokenExpireTime\":\"2024-06-24T14:46:07.8930774+07:00\"}",
		"{\"code\":\"SUCCESS\",\"token\":\"a.b.c\",\"refreshToken\":\"0123abcd\",\"data\":null,"
		"\"tokenExpireTime\":\"2024-06-24T07:46:07Z\"}",
	};

	for (size_t i = 0; i < COUNT(bodies); i++)
	{
		B24Login	login;
		B24Problem	problem;

		assert_int_equal(read_login(bodies[i], -1, EXPIRY - 21600, &login, &problem), B24_OK);
		assert_string_equal(login.bearer, "a.b.c");
		assert_string_equal(login.refresh, "0123abcd");
		assert_int_equal(login.lifetime_s, 21600);
		free_login(&login);
	}
}

static void
test_a_login_may_have_no_refresh_token(void **state)
{
	static const char *const bodies[] = {
		"{\"code\":200,\"data\":{\"token\":\"t\"}}",
		"{\"code\":200,\"data\":{\"token\":\"t\",\"refreshToken\":null}}",
		"{\"code\":200,\"data\":{\"token\":\"t\",\"refreshToken\":\"\"}}",
		"{\"code\":200,\"data\":{\"token\":\"t\",\"refreshToken\":7}}",
	};

	for (size_t i = 0; i < COUNT(bodies); i++)
	{
		B24Login	login;
		B24Problem	problem;

		assert_int_equal(read_login(bodies[i], -1, 0, &login, &problem), B24_OK);
		assert_null(login.refresh);
		assert_int_equal(login.lifetime_s, 0);
		free_login(&login);
	}
}

static void
test_expiry_times_are_read_in_every_form(void **state)
{
	check_lifetime("\"2024-06-24T14:46:07.8930774+07:00\"", EXPIRY - 100, 100);
	check_lifetime("\"2024-06-24T14:46:07+07:00\"", EXPIRY - 100, 100);
	check_lifetime("\"2024-06-24T07:46:07Z\"", EXPIRY - 100, 100);
	check_lifetime("\"2024-06-24T07:46:07.350Z\"", EXPIRY - 100, 100);
	check_lifetime("\"2024-06-24T07:46:07+00:00\"", EXPIRY - 100, 100);
	check_lifetime("\"2024-06-24T03:16:07-04:30\"", EXPIRY - 100, 100);
	check_lifetime("\"2024-06-23T23:46:07-08:00\"", EXPIRY - 100, 100);
	check_lifetime("\"2024-02-29T00:00:00Z\"", 1709164800 - 5, 5);
	check_lifetime("\"2038-01-19T03:14:08Z\"", 2147483648 - 5, 5);
	check_lifetime("\"9999-12-31T23:59:59Z\"", 253402300799 - 5, 5);
}

static void
test_an_expiry_in_the_past_says_nothing(void **state)
{
	check_lifetime("\"2024-06-24T07:46:07Z\"", EXPIRY, 0);
	check_lifetime("\"2024-06-24T07:46:07Z\"", EXPIRY + 1, 0);
	check_lifetime("\"1970-01-01T00:00:00Z\"", EXPIRY, 0);
	check_lifetime("\"0001-01-01T00:00:00Z\"", EXPIRY, 0);
}

/* Without a zone nobody knows when that is. */
static void
test_an_expiry_without_a_zone_says_nothing(void **state)
{
	check_lifetime("\"2024-06-24T14:46:07.8930774\"", EXPIRY - 100, 0);
	check_lifetime("\"2024-06-24T14:46:07\"", EXPIRY - 100, 0);
	check_lifetime("\"2024-06-24\"", EXPIRY - 100, 0);
}

static void
test_garbage_for_an_expiry_says_nothing(void **state)
{
	static const char *const garbage[] = {
		"null", "7", "true", "[]", "{}", "\"\"", "\"soon\"", "\"9999-99-99\"",
		"\"9999-99-99T99:99:99Z\"", "\"2024-13-01T00:00:00Z\"", "\"2024-00-01T00:00:00Z\"",
		"\"2024-06-00T00:00:00Z\"", "\"2024-06-32T00:00:00Z\"", "\"2024-06-24T-1:00:00Z\"",
		"\"-2024-06-24T00:00:00Z\"", "\"99999999999-06-24T00:00:00Z\"",
		"\"2024-06-24T14:46:07Zulu\"", "\"2024-06-24T14:46:07+7\"", "\"2024-06-24T14:46:07+07:00x\"",
		"\"2024-06-24T14:46:07*07:00\"", "\"2024-06-24T14:46:07+-7:00\"", "\"2024-06-24T14:46:07.\"",
		"\"2024-06-24T14:46:07+07:\"", "\"2024-06-24T14:46\"", "\"%n%n%s\"",
		"\"2024-06-24T14:46:07.99999999999999999999999999999999999999999999\"",
	};

	for (size_t i = 0; i < COUNT(garbage); i++)
		check_lifetime(garbage[i], 0, 0);
}

/* The provider's clock decides, so that ours may be wrong either way. */
static void
test_clock_skew_does_not_change_the_lifetime(void **state)
{
	static const long skews[] = {0, 1, -1, 3600, -3600, 86400 * 365, -86400 * 365};

	for (size_t i = 0; i < COUNT(skews); i++)
	{
		B24Login	login;
		B24Problem	problem;
		long		server_time = EXPIRY - 21600;

		assert_int_equal(read_login("{\"code\":200,\"data\":{\"token\":\"t\","
									"\"tokenExpireTime\":\"2024-06-24T07:46:07Z\"}}",
									server_time, server_time - skews[i], &login, &problem),
						 B24_OK);
		assert_true(login.skew_known);
		assert_int_equal(login.skew_s, skews[i]);
		assert_int_equal(login.lifetime_s, 21600);
		free_login(&login);
	}
}

static void
test_a_login_without_a_token_is_nonsense(void **state)
{
	static const char *const bodies[] = {
		"{\"code\":200}",
		"{\"code\":200,\"data\":null}",
		"{\"code\":200,\"data\":{}}",
		"{\"code\":200,\"data\":{\"token\":null}}",
		"{\"code\":200,\"data\":{\"token\":\"\"}}",
		"{\"code\":200,\"data\":{\"token\":7}}",
		"{\"code\":200,\"data\":{\"token\":[\"t\"]}}",
		"{\"code\":200,\"data\":[{\"token\":\"t\"}]}",
		"{\"token\":\"\"}",
	};

	for (size_t i = 0; i < COUNT(bodies); i++)
	{
		B24Login	login;
		B24Problem	problem = {B24_OK, ""};

		assert_int_equal(read_login(bodies[i], -1, 0, &login, &problem), B24_NONSENSE);
		assert_int_equal(problem.status, B24_NONSENSE);
		assert_null(login.bearer);
		assert_null(login.refresh);
	}
}

static void
test_a_token_that_cannot_be_in_a_header_is_refused(void **state)
{
	static const char *const tokens[] = {
		"a\\r\\nX-Evil: 1", "a\\n", "\\r", "a b", " a", "a ", "a\\u0000", "\\u0000", "a\\u0000b",
		"a\\u007f", "a\\u0001", "a\\tb", "\\u17a2", "a\\u00a0b",
	};

	for (size_t i = 0; i < COUNT(tokens); i++)
	{
		char		body[100];
		B24Login	login;
		B24Problem	problem = {B24_OK, ""};

		snprintf(body, sizeof(body), "{\"code\":200,\"data\":{\"token\":\"%s\"}}", tokens[i]);
		assert_int_equal(read_login(body, -1, 0, &login, &problem), B24_NONSENSE);
		assert_null(login.bearer);
		/* a token is a secret, even a strange one */
		assert_null(strstr(problem.text, "Evil"));
	}
}

static void
test_a_long_token_is_kept_whole(void **state)
{
	char	   *body = malloc(20000);
	char	   *end = body + sprintf(body, "{\"token\":\"");
	B24Login	login;
	B24Problem	problem;

	memset(end, 'j', 16000);
	strcpy(end + 16000, "\"}");
	assert_int_equal(read_login(body, -1, 0, &login, &problem), B24_OK);
	assert_int_equal(strlen(login.bearer), 16000);
	free_login(&login);
	free(body);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_settlement_needs_bill_and_payment_to_succeed),
		cmocka_unit_test(test_both_success_codes_are_success_everywhere),
		cmocka_unit_test(test_of_the_table_only_authorize_succeeds_with_the_number_200),
		cmocka_unit_test(test_what_merely_looks_like_success_is_none),
		cmocka_unit_test(test_a_code_is_not_cut_off_at_an_escaped_nul),
		cmocka_unit_test(test_the_result_is_the_part_the_row_names),
		cmocka_unit_test(test_unknown_members_and_missing_messages_do_no_harm),
		cmocka_unit_test(test_success_without_data_is_nonsense),
		cmocka_unit_test(test_each_code_means_in_each_operation_what_is_documented_there),
		cmocka_unit_test(test_a_refusal_keeps_code_messages_and_root),
		cmocka_unit_test(test_a_refusal_with_data_is_still_a_refusal),
		cmocka_unit_test(test_a_code_may_be_a_number),
		cmocka_unit_test(test_a_code_longer_than_its_place_is_refused_and_not_shown),
		cmocka_unit_test(test_401_is_unauthorized_whatever_its_body),
		cmocka_unit_test(test_429_is_throttled_whatever_its_body),
		cmocka_unit_test(test_5xx_is_a_server_error_whatever_its_body),
		cmocka_unit_test(test_a_server_error_keeps_the_message_it_came_with),
		cmocka_unit_test(test_a_redirect_is_nonsense_and_says_so),
		cmocka_unit_test(test_a_redirect_with_a_page_says_so_too),
		cmocka_unit_test(test_a_success_code_under_another_status_is_never_success),
		cmocka_unit_test(test_a_login_without_envelope_needs_a_successful_status_too),
		cmocka_unit_test(test_an_unknown_operation_may_answer_anything_that_is_json),
		cmocka_unit_test(test_an_unknown_operation_can_still_fail),
		cmocka_unit_test(test_html_is_nonsense_and_says_so),
		cmocka_unit_test(test_answers_that_are_no_envelope_are_nonsense),
		cmocka_unit_test(test_an_answer_with_a_nul_byte_is_nonsense),
		cmocka_unit_test(test_nonsense_tells_status_and_size),
		cmocka_unit_test(test_data_of_any_shape_is_handed_on),
		cmocka_unit_test(test_huge_strings_and_arrays_are_read_whole),
		cmocka_unit_test(test_a_field_is_found_where_the_documentation_has_it),
		cmocka_unit_test(test_a_field_under_its_own_name_comes_first),
		cmocka_unit_test(test_a_field_that_is_not_there_is_absent),
		cmocka_unit_test(test_a_failed_transfer_is_handed_on),
		cmocka_unit_test(test_retry_after_is_handed_on),
		cmocka_unit_test(test_a_login_is_read_with_and_without_envelope),
		cmocka_unit_test(test_a_login_may_have_no_refresh_token),
		cmocka_unit_test(test_expiry_times_are_read_in_every_form),
		cmocka_unit_test(test_an_expiry_in_the_past_says_nothing),
		cmocka_unit_test(test_an_expiry_without_a_zone_says_nothing),
		cmocka_unit_test(test_garbage_for_an_expiry_says_nothing),
		cmocka_unit_test(test_clock_skew_does_not_change_the_lifetime),
		cmocka_unit_test(test_a_login_without_a_token_is_nonsense),
		cmocka_unit_test(test_a_token_that_cannot_be_in_a_header_is_refused),
		cmocka_unit_test(test_a_long_token_is_kept_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
