/*-------------------------------------------------------------------------
 *
 * test_codec.c
 *	  Arguments to request: what goes on the wire for every operation.
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

#include "codec.h"

/* Bill24's rows are the first; test_paycombat.c is about the others. */
#define BILL24_COUNT B24_EP_paycombat_create_customer

#define BASE "https://api.example"

static const B24Secrets secrets = {
	.token = "merchant-token",
	.client_id = "supplier_client",
	.secret = "the-secret",
	.hash_token = "example-hash-token",
};

/*
 * One expectation per row of endpointlist.h: SQL names in, wire out.  The
 * first is a login, whose arguments are the secrets.
 */
static const struct Expectation
{
	const char *name;
	const char *arguments;
	const char *method;
	const char *url;
	const char *body;
	const char *result;			/* path of the result in the answer */
	bool		changes;
}			expectations[] = {
	{
		"authorize", NULL,
		"POST", BASE "/merchantsecurity/authorize",
		"{\"token\":\"merchant-token\",\"clientId\":\"supplier_client\","
		"\"secret\":\"the-secret\",\"refreshToken\":\"\"}",
		"", false
	},
	{
		"create_customer",
		"{\"sync_code\":\"C0001\",\"name\":\"Customer A\",\"name_kh\":\"អតិថិជន ក\","
		"\"phone\":\"081991210/077881701\",\"email\":\"sample@example.com\","
		"\"wallets\":[{\"name\":\"Customer A Wallet\",\"currency\":\"KHR\"}]}",
		"POST", BASE "/customer/create",
		"{\"sync_code\":\"C0001\",\"name\":\"Customer A\",\"name_kh\":\"អតិថិជន ក\","
		"\"phone\":\"081991210/077881701\",\"email\":\"sample@example.com\","
		"\"wallet\":[{\"name\":\"Customer A Wallet\",\"currency\":\"KHR\"}]}",
		"data", true
	},
	{
		"get_customer", "{\"sync_code\":\"C0001\"}",
		"POST", BASE "/customer/get_customer_detail", "{\"sync_code\":\"C0001\"}",
		"data", false
	},
	{
		"update_customer",
		"{\"sync_code\":\"C0001\",\"name\":\"Update Customer\",\"name_kh\":\"អតិថិជន ខ\","
		"\"email\":\"b@example.com\",\"phone\":\"0122558963\"}",
		"POST", BASE "/customer/update",
		"{\"sync_code\":\"C0001\",\"name\":\"Update Customer\",\"name_kh\":\"អតិថិជន ខ\","
		"\"email\":\"b@example.com\",\"phone\":\"0122558963\"}",
		"data", true
	},
	{
		"delete_customer", "{\"sync_code\":\"C0001\"}",
		"POST", BASE "/customer/delete", "{\"sync_code\":\"C0001\"}",
		"", true
	},
	{
		"get_wallet_balance", "{\"sync_code\":\"C0020\"}",
		"POST", BASE "/instant_payment/get_wallet_balance",
		"{\"customer_sync_code\":\"C0020\"}",
		"data", false
	},
	{
		"get_payment_methods", "{\"sync_code\":\"C0020\"}",
		"GET", BASE "/instant_payment/C0020/get_payment_methods", NULL,
		"data", false
	},
	{
		"get_wallet_history",
		"{\"sync_code\":\"C01\",\"wallet_id\":\"\",\"page\":1,\"page_size\":30,"
		"\"tran_type\":\"\",\"from_time\":\"2025-01-01T10:13:58\","
		"\"to_time\":\"2026-05-12T13:13:58\"}",
		"POST", BASE "/instant_payment/get_wallet_histories",
		"{\"customer_sync_code\":\"C01\",\"wallet_id\":\"\","
		"\"pagination\":{\"page_index\":1,\"page_size\":30},\"tran_type\":\"\","
		"\"d1\":\"2025-01-01T10:13:58\",\"d2\":\"2026-05-12T13:13:58\"}",
		"data", false
	},
	{
		"settle_payment",
		"{\"ref_id\":\"101\",\"bill_date\":\"2024-06-22T02:41:55Z\","
		"\"due_date\":\"2024-06-30\",\"currency\":\"KHR\",\"amount\":100,"
		"\"sync_code\":\"C0001\",\"total_tax\":0,\"payment_method_token\":\"\","
		"\"payment_to\":\"CPO001\",\"total_amount_khr\":100,"
		"\"details\":[{\"item_name\":\"A001\",\"quantity\":2,\"price\":50.0,\"amount\":100}]}",
		"POST", BASE "/bill_payment/push_bill_with_payment",
		"{\"ref_id\":\"101\",\"date\":\"2024-06-22T02:41:55Z\","
		"\"due_date\":\"2024-06-30\",\"currency\":\"KHR\",\"total_amount\":100,"
		"\"customer_sync_code\":\"C0001\",\"total_tax\":0,\"payment_method_token\":\"\","
		"\"payment_to\":\"CPO001\",\"total_amount_khr\":100,"
		"\"details\":[{\"item_name\":\"A001\",\"quantity\":2,\"price\":50.0,\"amount\":100}],"
		"\"hash\":\"s1y2lxsyuPNOuzwR4csYMuxt+FlHf0UE7s+4odLMDg+y4JL06A7IpsCZodJJDCX93l1NfNcFCe8ZLe8SI/l6ow==\"}",
		"", true
	},
	{
		"get_bills",
		"{\"sync_code\":\"C0020\",\"from_date\":\"2024-05-01\",\"to_date\":\"2025-07-01\","
		"\"currency\":\"KHR\",\"page_index\":1,\"page_size\":10}",
		"GET", BASE "/instant_payment/get_bills?customer_sync_code=C0020"
		"&from_date=2024-05-01&to_date=2025-07-01&Currency=KHR&page_index=1&page_size=10",
		NULL, "data", false
	},
	{
		"get_bill", "{\"ref_id\":\"QwgujSUC6O\"}",
		"GET", BASE "/instant_payment/get_single_bill/QwgujSUC6O", NULL,
		"data", false
	},
	{
		"get_transaction", "{\"ref_id\":\"R002-96735\"}",
		"POST", BASE "/transaction/instant_payment/detail",
		"{\"reference\":\"R002-96735\"}",
		"data", false
	},
	{
		"onboard_sub_biller",
		"{\"supplier_sync_code\":\"Cpo001\",\"name\":\"Station 1\",\"name_kh\":\"ស្ថានីយ៏ទី១\","
		"\"address\":\"Chbar Ompov,Phnom Penh\","
		"\"return_url\":\"https://example.com/redirect-page\",\"bank_id\":\"AC\","
		"\"currency\":\"KHR\"}",
		"POST", BASE "/on_boarding/on_boarding_supplier",
		"{\"supplier_sync_code\":\"Cpo001\",\"name\":\"Station 1\",\"name_kh\":\"ស្ថានីយ៏ទី១\","
		"\"address\":\"Chbar Ompov,Phnom Penh\","
		"\"return_url\":\"https://example.com/redirect-page\",\"bank_id\":\"AC\","
		"\"currency\":\"KHR\"}",
		"data", true
	},
	{
		"get_available_banks", "{}",
		"GET", BASE "/on_boarding/get_available_bank", NULL,
		"data", false
	},
	{
		"add_link_account",
		"{\"supplier_sync_code\":\"Cpo001\",\"bank_id\":\"AC\","
		"\"return_url\":\"https://example.com/redirect-page\",\"currency\":\"KHR\"}",
		"POST", BASE "/on_boarding/add_link_account",
		"{\"supplier_sync_code\":\"Cpo001\",\"bank_id\":\"AC\","
		"\"return_url\":\"https://example.com/redirect-page\",\"currency\":\"KHR\"}",
		"data", true
	},
	{
		"verify_linked_account",
		"{\"supplier_sync_code\":\"CPO9983\",\"bank_id\":\"AC\"}",
		"POST", BASE "/on_boarding/verify_linked_account",
		"{\"supplier_sync_code\":\"CPO9983\",\"bank_id\":\"AC\"}",
		"data", false
	},
};

static const struct Expectation *
expectation_of(const char *name)
{
	for (size_t i = 0; i < COUNT(expectations); i++)
	{
		if (strcmp(expectations[i].name, name) == 0)
			return &expectations[i];
	}
	return NULL;
}

/* Encodes an operation; the request is to be freed in any case. */
static B24Status
encode(const char *name, const char *arguments, B24Request *request,
	   B24Problem *problem)
{
	B24Json    *parsed = json(arguments);
	B24Status	status = b24_encode(b24_endpoint_find(name), BASE, parsed, &secrets,
									request, problem);

	b24_json_free(parsed);
	return status;
}

static void
check_url(const char *name, const char *arguments, const char *url)
{
	B24Request	request;
	B24Problem	problem = {B24_OK, ""};

	if (encode(name, arguments, &request, &problem) != B24_OK)
		fail_msg("%s", problem.text);
	assert_string_equal(request.url, url);
	assert_null(request.body);
	b24_request_free(&request);
}

static void
check_body(const char *name, const char *arguments, const char *body)
{
	B24Request	request;
	B24Problem	problem = {B24_OK, ""};

	if (encode(name, arguments, &request, &problem) != B24_OK)
		fail_msg("%s", problem.text);
	assert_string_equal(request.body, body);
	assert_int_equal(request.body_length, strlen(body));
	b24_request_free(&request);
}

/* Every header is one line, and these are all there are. */
static void
check_headers(const B24Request *request, const char *authorization)
{
	assert_int_equal(request->header_count, authorization != NULL ? 3 : 2);
	assert_string_equal(request->headers[0], "Content-Type: application/json");
	assert_string_equal(request->headers[1], "Accept: application/json");
	if (authorization != NULL)
		assert_string_equal(request->headers[2], authorization);
}

/*
 * The table
 */
static void
test_every_row_has_an_expectation_here(void **state)
{
	for (int i = 0; i < BILL24_COUNT; i++)
	{
		if (expectation_of(b24_endpoints[i].name) == NULL)
			fail_msg("test_codec.c expects nothing of operation \"%s\"",
					 b24_endpoints[i].name);
	}
	for (size_t i = 0; i < COUNT(expectations); i++)
		assert_non_null(b24_endpoint_find(expectations[i].name));
	assert_int_equal(COUNT(expectations), BILL24_COUNT);
}

static void
test_every_row_is_complete_and_unique(void **state)
{
	for (int i = 0; i < BILL24_COUNT; i++)
	{
		const B24Endpoint *endpoint = &b24_endpoints[i];

		assert_non_null(endpoint->name);
		assert_ptr_equal(endpoint->provider, &b24_bill24);
		assert_non_null(endpoint->result);
		assert_true(endpoint->path[0] == '/');
		assert_true(strcmp(endpoint->method, "GET") == 0 ||
					strcmp(endpoint->method, "POST") == 0);
		assert_ptr_equal(b24_endpoint_find(endpoint->name), endpoint);
		/* a GET is repeated without asking */
		if (endpoint->changes)
			assert_string_equal(endpoint->method, "POST");
		/* the last word is said about a body */
		if (endpoint->adjust != NULL)
			assert_string_equal(endpoint->method, "POST");
	}
	assert_null(b24_endpoint_find("no_such_operation"));
	assert_null(b24_endpoint_find(""));
}

static void
test_every_row_gives_the_documented_request(void **state)
{
	for (int i = 0; i < BILL24_COUNT; i++)
	{
		const B24Endpoint *endpoint = &b24_endpoints[i];
		const struct Expectation *expected = expectation_of(endpoint->name);
		bool		is_login = expected->arguments == NULL;
		B24Request	request;
		B24Problem	problem = {B24_OK, ""};
		B24Status	status;

		if (is_login)
			status = b24_encode_login(endpoint, BASE, &secrets, NULL, &request, &problem);
		else
		{
			status = encode(endpoint->name, expected->arguments, &request, &problem);
			if (status == B24_OK)
				status = b24_sign(endpoint->provider, &secrets, "a.jwt-token", &request,
								  &problem);
		}
		if (status != B24_OK)
			fail_msg("%s: %s", endpoint->name, problem.text);

		assert_string_equal(request.method, expected->method);
		assert_string_equal(request.url, expected->url);
		if (expected->body != NULL)
		{
			assert_non_null(request.body);
			assert_string_equal(request.body, expected->body);
			assert_int_equal(request.body_length, strlen(expected->body));
		}
		else
		{
			assert_null(request.body);
			assert_int_equal(request.body_length, 0);
		}
		check_headers(&request, is_login ? NULL : "Authorization: Bearer a.jwt-token");
		assert_true(request.changes == expected->changes);
		assert_string_equal(endpoint->result, expected->result);
		b24_request_free(&request);
	}
}

static void
test_the_same_input_gives_the_same_bytes(void **state)
{
	const struct Expectation *expected = expectation_of("settle_payment");
	B24Request	first;
	B24Request	second;
	B24Problem	problem;

	assert_int_equal(encode("settle_payment", expected->arguments, &first, &problem), B24_OK);
	assert_int_equal(encode("settle_payment", expected->arguments, &second, &problem), B24_OK);
	assert_string_equal(first.url, second.url);
	assert_string_equal(first.body, second.body);
	b24_request_free(&first);
	b24_request_free(&second);
}

static void
test_encoding_leaves_the_arguments_as_they_were(void **state)
{
	const char *text = expectation_of("settle_payment")->arguments;
	B24Json    *arguments = json(text);
	B24Request	request;
	B24Problem	problem;

	assert_int_equal(b24_encode(&b24_endpoints[B24_EP_settle_payment], BASE, arguments,
								&secrets, &request, &problem), B24_OK);
	assert_string_equal(b24_json_text(arguments, NULL), text);
	b24_request_free(&request);
	b24_json_free(arguments);
}

/*
 * Names and values
 */
static void
test_wire_names_are_renamed_whole(void **state)
{
	const B24Endpoint *history = &b24_endpoints[B24_EP_get_wallet_history];
	const B24Endpoint *customer = &b24_endpoints[B24_EP_get_customer];
	char		buffer[64];

	assert_string_equal(b24_endpoint_wire_name(history, "sync_code", buffer, sizeof(buffer)),
						"customer_sync_code");
	assert_string_equal(b24_endpoint_wire_name(history, "page", buffer, sizeof(buffer)),
						"pagination.page_index");
	assert_string_equal(b24_endpoint_wire_name(history, "page_size", buffer, sizeof(buffer)),
						"pagination.page_size");
	assert_string_equal(b24_endpoint_wire_name(history, "from_time", buffer, sizeof(buffer)), "d1");
	assert_string_equal(b24_endpoint_wire_name(history, "to_time", buffer, sizeof(buffer)), "d2");

	/* neither the beginning nor the end of a name, nor a wire name, counts */
	assert_string_equal(b24_endpoint_wire_name(history, "pag", buffer, sizeof(buffer)), "pag");
	assert_string_equal(b24_endpoint_wire_name(history, "size", buffer, sizeof(buffer)), "size");
	assert_string_equal(b24_endpoint_wire_name(history, "d1", buffer, sizeof(buffer)), "d1");
	assert_string_equal(b24_endpoint_wire_name(history, "", buffer, sizeof(buffer)), "");
	assert_string_equal(b24_endpoint_wire_name(customer, "sync_code", buffer, sizeof(buffer)),
						"sync_code");
}

static void
test_a_name_that_does_not_fit_the_buffer_is_not_written(void **state)
{
	const B24Endpoint *history = &b24_endpoints[B24_EP_get_wallet_history];
	char		buffer[3] = "";

	assert_string_equal(b24_endpoint_wire_name(history, "sync_code", buffer, sizeof(buffer)),
						"sync_code");
	assert_string_equal(b24_endpoint_wire_name(history, "from_time", buffer, sizeof(buffer)),
						"d1");
}

static void
test_null_stays_in_a_body_and_leaves_a_query(void **state)
{
	check_body("create_customer", "{\"sync_code\":\"C1\",\"name_kh\":null,\"wallets\":null}",
			   "{\"sync_code\":\"C1\",\"name_kh\":null,\"wallet\":null}");
	check_url("get_bills", "{\"from_date\":null,\"to_date\":\"2025-07-01\",\"currency\":null}",
			  BASE "/instant_payment/get_bills?to_date=2025-07-01");
	check_url("get_bills", "{\"from_date\":null}", BASE "/instant_payment/get_bills");
	check_url("get_bills", "{}", BASE "/instant_payment/get_bills");
}

static void
test_query_values_are_escaped(void **state)
{
	check_url("get_bills",
			  "{\"sync_code\":\"a&b=c?d#e f/%អ\",\"from_date\":\"\",\"page_size\":10,\"x\":true}",
			  BASE "/instant_payment/get_bills?customer_sync_code="
			  "a%26b%3Dc%3Fd%23e%20f%2F%25%E1%9E%A2&from_date=&page_size=10&x=true");
}

static void
test_a_query_has_no_arrays_and_objects(void **state)
{
	check_url("get_bills", "{\"a\":[1],\"b\":{\"c\":1},\"currency\":\"USD\"}",
			  BASE "/instant_payment/get_bills?Currency=USD");
}

static void
test_amounts_go_out_as_they_came_in(void **state)
{
	check_body("create_customer", "{\"a\":10.50,\"b\":0.10,\"c\":1e2,\"d\":-0.0}",
			   "{\"a\":10.50,\"b\":0.10,\"c\":1e2,\"d\":-0.0}");
}

static void
test_a_slash_in_a_body_is_not_escaped(void **state)
{
	check_body("add_link_account", "{\"return_url\":\"https://example.com/a\"}",
			   "{\"return_url\":\"https://example.com/a\"}");
}

static void
test_path_arguments_cannot_leave_their_place(void **state)
{
	static const struct
	{
		const char *ref_id;
		const char *escaped;
	}			cases[] = {
		{"a/b", "a%2Fb"},
		{"/", "%2F"},
		{".", "%2E"},
		{"..", "%2E%2E"},
		{"...", "..."},
		{"../..", "..%2F.."},
		{"a.b", "a.b"},
		{"%2e%2e", "%252e%252e"},
		{"%", "%25"},
		{"a b", "a%20b"},
		{"a?b=c", "a%3Fb%3Dc"},
		{"a#b", "a%23b"},
		{"a&b;c", "a%26b%3Bc"},
		{"a\\\\b", "a%5Cb"},
		{"a@b:c", "a%40b%3Ac"},
		{"{sync_code}", "%7Bsync_code%7D"},
		{"a\\r\\nHost: evil", "a%0D%0AHost%3A%20evil"},
		{"អតិថិជន ក", "%E1%9E%A2%E1%9E%8F%E1%9E%B7%E1%9E%90%E1%9E%B7%E1%9E%87%E1%9E%93%20%E1%9E%80"},
		{"R0_1-2~3", "R0_1-2~3"},
	};

	for (size_t i = 0; i < COUNT(cases); i++)
	{
		char		arguments[200];
		char		url[300];

		snprintf(arguments, sizeof(arguments), "{\"ref_id\":\"%s\"}", cases[i].ref_id);
		snprintf(url, sizeof(url), BASE "/instant_payment/get_single_bill/%s", cases[i].escaped);
		check_url("get_bill", arguments, url);

		snprintf(arguments, sizeof(arguments), "{\"sync_code\":\"%s\"}", cases[i].ref_id);
		snprintf(url, sizeof(url), BASE "/instant_payment/%s/get_payment_methods",
				 cases[i].escaped);
		check_url("get_payment_methods", arguments, url);
	}
	check_url("get_bill", "{\"ref_id\":101}", BASE "/instant_payment/get_single_bill/101");
}

static void
test_a_path_argument_does_not_appear_twice(void **state)
{
	check_url("get_bill", "{\"ref_id\":\"R1\",\"other\":\"x\"}",
			  BASE "/instant_payment/get_single_bill/R1?other=x");
}

static void
test_a_path_argument_must_not_be_missing_or_empty(void **state)
{
	static const char *const arguments[] = {
		"{}", "{\"ref_id\":null}", "{\"ref_id\":\"\"}", "{\"ref_id\":[]}",
		"{\"ref_id\":{}}", "{\"ref\":\"R1\"}",
	};

	for (size_t i = 0; i < COUNT(arguments); i++)
	{
		B24Request	request;
		B24Problem	problem = {B24_OK, ""};

		assert_int_equal(encode("get_bill", arguments[i], &request, &problem),
						 B24_NULL_ARGUMENT);
		assert_non_null(strstr(problem.text, "\"ref_id\""));
		b24_request_free(&request);
	}
}

static void
test_settle_payment_without_a_part_of_its_hash_is_not_encoded(void **state)
{
	B24Request	request;
	B24Problem	problem = {B24_OK, ""};

	assert_int_equal(encode("settle_payment", "{\"ref_id\":\"101\"}", &request, &problem),
					 B24_NULL_ARGUMENT);
	assert_null(request.body);
	b24_request_free(&request);
}

static void
test_a_base_url_may_have_a_path(void **state)
{
	B24Json    *arguments = json("{\"ref_id\":\"R1\"}");
	B24Request	request;
	B24Problem	problem;

	assert_int_equal(b24_encode(&b24_endpoints[B24_EP_get_bill], "http://127.0.0.1:8080/proxy",
								arguments, &secrets, &request, &problem), B24_OK);
	assert_string_equal(request.url,
						"http://127.0.0.1:8080/proxy/instant_payment/get_single_bill/R1");
	b24_request_free(&request);
	b24_json_free(arguments);
}

static void
test_large_arguments_are_encoded_whole(void **state)
{
	size_t		length = 300000;
	char	   *value = malloc(length + 1);
	B24Json    *arguments = b24_json_new_object();
	B24Request	request;
	B24Problem	problem;

	memset(value, '/', length);
	value[length] = '\0';
	assert_true(b24_json_put(arguments, "ref_id", b24_json_new_string(value, length)));
	assert_int_equal(b24_encode(&b24_endpoints[B24_EP_get_bill], BASE, arguments, &secrets,
								&request, &problem), B24_OK);
	assert_int_equal(strlen(request.url),
					 strlen(BASE "/instant_payment/get_single_bill/") + 3 * length);
	b24_request_free(&request);
	assert_int_equal(b24_encode(&b24_endpoints[B24_EP_get_transaction], BASE, arguments,
								&secrets, &request, &problem), B24_OK);
	assert_int_equal(request.body_length, length + strlen("{\"reference\":\"\"}"));
	b24_request_free(&request);
	b24_json_free(arguments);
	free(value);
}

/*
 * Login and headers
 */
static void
test_a_login_sends_the_refresh_token_beside_the_secrets(void **state)
{
	B24Request	request;
	B24Problem	problem;

	assert_int_equal(b24_encode_login(&b24_endpoints[B24_EP_authorize], BASE, &secrets,
									  "refresh-me", &request, &problem), B24_OK);
	assert_string_equal(request.body,
						"{\"token\":\"merchant-token\",\"clientId\":\"supplier_client\","
						"\"secret\":\"the-secret\",\"refreshToken\":\"refresh-me\"}");
	check_headers(&request, NULL);
	b24_request_free(&request);
}

static void
test_a_login_names_the_secret_that_is_missing(void **state)
{
	static const char *const options[] = {"token", "client_id", "secret"};

	for (size_t i = 0; i < COUNT(options); i++)
	{
		B24Secrets	some = {
			.token = i == 0 ? NULL : "merchant-token",
			.client_id = i == 1 ? NULL : "supplier_client",
			.secret = i == 2 ? NULL : "the-secret",
		};
		B24Request	request;
		B24Problem	problem = {B24_OK, ""};
		char		quoted[20];

		assert_int_equal(b24_encode_login(&b24_endpoints[B24_EP_authorize], BASE, &some, NULL,
										  &request, &problem), B24_NO_CREDENTIAL);
		snprintf(quoted, sizeof(quoted), "\"%s\"", options[i]);
		assert_non_null(strstr(problem.text, quoted));
		assert_null(strstr(problem.text, "merchant-token"));
		assert_null(strstr(problem.text, "the-secret"));
		b24_request_free(&request);
	}
}

static void
test_signing_again_replaces_the_headers(void **state)
{
	B24Request	request;
	B24Problem	problem;

	assert_int_equal(encode("get_bill", "{\"ref_id\":\"R1\"}", &request, &problem), B24_OK);
	for (int i = 0; i < 20; i++)
	{
		char		bearer[20];
		char		header[50];

		snprintf(bearer, sizeof(bearer), "token-%d", i);
		snprintf(header, sizeof(header), "Authorization: Bearer token-%d", i);
		assert_int_equal(b24_sign(&b24_bill24, &secrets, bearer, &request, &problem), B24_OK);
		check_headers(&request, header);
	}
	b24_request_free(&request);
}

static void
test_a_bearer_with_a_line_end_is_not_signed_with(void **state)
{
	static const char *const bearers[] = {
		"a\r\nX-Evil: 1", "a\nX-Evil: 1", "a\rX-Evil: 1", "\r\n", "a\n",
	};

	for (size_t i = 0; i < COUNT(bearers); i++)
	{
		B24Request	request;
		B24Problem	problem = {B24_OK, ""};

		assert_int_equal(encode("get_bill", "{\"ref_id\":\"R1\"}", &request, &problem), B24_OK);
		assert_int_not_equal(b24_sign(&b24_bill24, &secrets, bearers[i], &request, &problem),
							 B24_OK);
		for (int j = 0; j < request.header_count; j++)
		{
			assert_null(strpbrk(request.headers[j], "\r\n"));
			assert_null(strstr(request.headers[j], "Evil"));
		}
		b24_request_free(&request);
	}
}

static void
test_there_is_room_for_a_limited_number_of_headers(void **state)
{
	B24Request	request;

	memset(&request, 0, sizeof(request));
	for (int i = 0; i < B24_MAX_HEADERS; i++)
		assert_true(b24_request_add_header(&request, "Name", "value"));
	assert_false(b24_request_add_header(&request, "Name", "value"));
	assert_int_equal(request.header_count, B24_MAX_HEADERS);
	assert_string_equal(request.headers[0], "Name: value");
	b24_request_free(&request);
	assert_int_equal(request.header_count, 0);
}

/*
 * Requests of any kind
 */
static void
test_a_raw_request_is_sent_as_it_is(void **state)
{
	static const struct
	{
		const char *method;
		bool		changes;
	}			methods[] = {
		{"GET", false}, {"POST", true}, {"PUT", true}, {"PATCH", true}, {"DELETE", true},
	};

	for (size_t i = 0; i < COUNT(methods); i++)
	{
		B24Request	request;
		B24Problem	problem;

		assert_int_equal(b24_encode_raw(BASE, methods[i].method, "/a/../b%20c?d=e&f",
										"{ \"as\" : \"it is\" }", &request, &problem), B24_OK);
		assert_string_equal(request.method, methods[i].method);
		assert_string_equal(request.url, BASE "/a/../b%20c?d=e&f");
		assert_string_equal(request.body, "{ \"as\" : \"it is\" }");
		assert_int_equal(request.body_length, strlen(request.body));
		assert_true(request.changes == methods[i].changes);
		b24_request_free(&request);
	}
}

static void
test_a_raw_request_may_have_no_body_or_an_empty_one(void **state)
{
	B24Request	request;
	B24Problem	problem;

	assert_int_equal(b24_encode_raw(BASE, "GET", "/", NULL, &request, &problem), B24_OK);
	assert_null(request.body);
	b24_request_free(&request);

	assert_int_equal(b24_encode_raw(BASE, "POST", "/", "", &request, &problem), B24_OK);
	assert_string_equal(request.body, "");
	assert_int_equal(request.body_length, 0);
	b24_request_free(&request);
}

static void
test_a_raw_path_cannot_leave_the_server(void **state)
{
	static const char *const paths[] = {
		"", "x", "@evil.example/", ".evil.example/", ":81/", " /x", "\t/", "\\evil.example",
		"/a b", "/a\tb", "/a\r\nHost: evil.example", "/a\n", "/a\x7f", "/a\x01", "/a#b",
		"/a\\b", "/\xe1\x9e\xa2", "/\x80", "http://evil.example/", "?a=b",
	};

	for (size_t i = 0; i < COUNT(paths); i++)
	{
		B24Request	request;
		B24Problem	problem = {B24_OK, ""};

		if (b24_encode_raw(BASE, "GET", paths[i], NULL, &request, &problem) !=
			B24_BAD_ARGUMENT)
			fail_msg("path \"%s\" was accepted", paths[i]);
		assert_true(problem.text[0] != '\0');
		b24_request_free(&request);
	}
}

/* These look like addresses, but behind the base they are only paths. */
static void
test_a_raw_path_stays_behind_the_base(void **state)
{
	static const char *const paths[] = {
		"//evil.example/", "/@evil.example/", "/:81/", "/..//", "/http://evil.example/",
		"/?a=http://evil.example/", "/%0d%0aHost:evil",
	};

	for (size_t i = 0; i < COUNT(paths); i++)
	{
		B24Request	request;
		B24Problem	problem;

		assert_int_equal(b24_encode_raw(BASE, "GET", paths[i], NULL, &request, &problem),
						 B24_OK);
		assert_memory_equal(request.url, BASE "/", strlen(BASE "/"));
		assert_string_equal(request.url + strlen(BASE), paths[i]);
		b24_request_free(&request);
	}
}

static void
test_a_raw_method_is_one_of_five(void **state)
{
	static const char *const methods[] = {
		"", "get", "Get", " GET", "GET ", "HEAD", "OPTIONS", "TRACE", "CONNECT",
		"GET / HTTP/1.1\r\nX: 1\r\n\r\n", "POST\r\n", "POST\n", "GETPOST", "*",
	};

	for (size_t i = 0; i < COUNT(methods); i++)
	{
		B24Request	request;
		B24Problem	problem = {B24_OK, ""};

		if (b24_encode_raw(BASE, methods[i], "/", NULL, &request, &problem) !=
			B24_BAD_ARGUMENT)
			fail_msg("method \"%s\" was accepted", methods[i]);
		b24_request_free(&request);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_row_has_an_expectation_here),
		cmocka_unit_test(test_every_row_is_complete_and_unique),
		cmocka_unit_test(test_every_row_gives_the_documented_request),
		cmocka_unit_test(test_the_same_input_gives_the_same_bytes),
		cmocka_unit_test(test_encoding_leaves_the_arguments_as_they_were),
		cmocka_unit_test(test_wire_names_are_renamed_whole),
		cmocka_unit_test(test_a_name_that_does_not_fit_the_buffer_is_not_written),
		cmocka_unit_test(test_null_stays_in_a_body_and_leaves_a_query),
		cmocka_unit_test(test_query_values_are_escaped),
		cmocka_unit_test(test_a_query_has_no_arrays_and_objects),
		cmocka_unit_test(test_amounts_go_out_as_they_came_in),
		cmocka_unit_test(test_a_slash_in_a_body_is_not_escaped),
		cmocka_unit_test(test_path_arguments_cannot_leave_their_place),
		cmocka_unit_test(test_a_path_argument_does_not_appear_twice),
		cmocka_unit_test(test_a_path_argument_must_not_be_missing_or_empty),
		cmocka_unit_test(test_settle_payment_without_a_part_of_its_hash_is_not_encoded),
		cmocka_unit_test(test_a_base_url_may_have_a_path),
		cmocka_unit_test(test_large_arguments_are_encoded_whole),
		cmocka_unit_test(test_a_login_sends_the_refresh_token_beside_the_secrets),
		cmocka_unit_test(test_a_login_names_the_secret_that_is_missing),
		cmocka_unit_test(test_signing_again_replaces_the_headers),
		cmocka_unit_test(test_a_bearer_with_a_line_end_is_not_signed_with),
		cmocka_unit_test(test_there_is_room_for_a_limited_number_of_headers),
		cmocka_unit_test(test_a_raw_request_is_sent_as_it_is),
		cmocka_unit_test(test_a_raw_request_may_have_no_body_or_an_empty_one),
		cmocka_unit_test(test_a_raw_path_cannot_leave_the_server),
		cmocka_unit_test(test_a_raw_path_stays_behind_the_base),
		cmocka_unit_test(test_a_raw_method_is_one_of_five),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
