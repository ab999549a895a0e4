/*-------------------------------------------------------------------------
 *
 * test_hash.c
 *	  Digests, and the hash of Settle Payment.
 *
 * The expected values come from the openssl program:
 *
 *	  printf %s MESSAGE | openssl dgst -sha512 -hmac KEY -binary | base64 -w0
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

#include "hmac.h"
#include "provider.h"

#define KEY "example-hash-token"

static void
check_settle(const char *key, const char *wire_text, const char *expected)
{
	B24Secrets	secrets = {.hash_token = key};
	B24Problem	problem = {B24_OK, ""};
	B24Json    *wire = json(wire_text);

	if (b24_settle_hash(&secrets, wire, &problem) != B24_OK)
		fail_msg("%s", problem.text);
	assert_string_equal(b24_json_string(b24_json_get(wire, "hash"), NULL), expected);
	b24_json_free(wire);
}

static void
check_settle_fails(const char *key, const char *wire_text, B24Status status,
				   const char *says)
{
	B24Secrets	secrets = {.hash_token = key};
	B24Problem	problem = {B24_OK, ""};
	B24Json    *wire = json(wire_text);

	assert_int_equal(b24_settle_hash(&secrets, wire, &problem), status);
	assert_int_equal(problem.status, status);
	assert_non_null(strstr(problem.text, says));
	assert_null(b24_json_get(wire, "hash"));
	b24_json_free(wire);
}

static void
test_hmac_of_known_messages(void **state)
{
	char		out[B24_SHA512_BASE64_SIZE];

	/* RFC 4231, test case 2 */
	assert_true(b24_hmac_sha512_base64("Jefe", 4, "what do ya want for nothing?", 28, out));
	assert_string_equal(out, "Fkt6e/z4GeLjlfvnO1bgo4e9ZCIugx/WECcM1+olBVSXWL91wFqZSm0DT2X48Ob9yuqxo01Ka0tjbgcKOLznNw==");

	/* an empty message */
	assert_true(b24_hmac_sha512_base64(KEY, strlen(KEY), "", 0, out));
	assert_string_equal(out, "J6huoz8QMuHOQOdgDl9n7oFUCPgQjc3lOJuxZFHxbUafHCu2P8nbKSdKrgSRZx0L9qbGMxhzlzQY+Yi/SnxuSQ==");
	assert_int_equal(strlen(out), B24_SHA512_BASE64_SIZE - 1);
}

static void
test_sha256_of_known_messages(void **state)
{
	static const uint8_t abc[B24_SHA256_LENGTH] = {
		0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea,
		0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23,
		0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c,
		0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad
	};
	static const uint8_t nothing[B24_SHA256_LENGTH] = {
		0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14,
		0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
		0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c,
		0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55
	};
	uint8_t		out[B24_SHA256_LENGTH];

	assert_true(b24_sha256("abc", 3, out));
	assert_memory_equal(out, abc, sizeof(out));
	assert_true(b24_sha256("", 0, out));
	assert_memory_equal(out, nothing, sizeof(out));
}

/* message 10120240622024155KHR100C0001CPO001 */
#define EXAMPLE_HASH "s1y2lxsyuPNOuzwR4csYMuxt+FlHf0UE7s+4odLMDg+y4JL06A7IpsCZodJJDCX93l1NfNcFCe8ZLe8SI/l6ow=="

static void
test_settle_hash_of_a_date_time_with_z(void **state)
{
	check_settle(KEY,
				 "{\"ref_id\":\"101\",\"date\":\"2024-06-22T02:41:55Z\",\"currency\":\"KHR\","
				 "\"total_amount\":100,\"customer_sync_code\":\"C0001\",\"payment_to\":\"CPO001\"}",
				 EXAMPLE_HASH);
}

static void
test_settle_hash_drops_fractions_of_a_second(void **state)
{
	check_settle(KEY,
				 "{\"ref_id\":\"101\",\"date\":\"2024-06-22T02:41:55.350Z\",\"currency\":\"KHR\","
				 "\"total_amount\":100,\"customer_sync_code\":\"C0001\",\"payment_to\":\"CPO001\"}",
				 EXAMPLE_HASH);
}

static void
test_settle_hash_of_a_plain_date_counts_from_midnight(void **state)
{
	/* message 10120251120000000KHR100C0001CPO001 */
	check_settle(KEY,
				 "{\"ref_id\":\"101\",\"date\":\"2025-11-20\",\"currency\":\"KHR\","
				 "\"total_amount\":100,\"customer_sync_code\":\"C0001\",\"payment_to\":\"CPO001\"}",
				 "f00hbw9fPCusYsXoCuWECjLPulmrw3ZZs6thN5tF3t/DWd9DymkgE0FtTqAfxRz/8nNaPnK7WvMEO6tcaqxfEQ==");
}

static void
test_settle_hash_depends_on_values_not_on_order_or_other_members(void **state)
{
	check_settle(KEY,
				 "{\"payment_to\":\"CPO001\",\"details\":[{\"amount\":100}],"
				 "\"description\":\"x\",\"customer_sync_code\":\"C0001\",\"hash\":\"old\","
				 "\"total_amount\":100,\"currency\":\"KHR\",\"due_date\":\"2024-06-30\","
				 "\"date\":\"2024-06-22T02:41:55Z\",\"ref_id\":\"101\"}",
				 EXAMPLE_HASH);
}

static void
test_settle_hash_prints_decimals_as_the_body_does(void **state)
{
	/* message INV-720251120000000USD10.50C0001ST001 */
	check_settle(KEY,
				 "{\"ref_id\":\"INV-7\",\"date\":\"2025-11-20\",\"currency\":\"USD\","
				 "\"total_amount\":10.50,\"customer_sync_code\":\"C0001\",\"payment_to\":\"ST001\"}",
				 "tXh+T/iQkCy0qZ6v44SXWEqdwgiOLDfpWePulbjEZ1uanqPk3XzbGJI5ndGc/2Z64nQX6B1TGAJR8C7JNjbj/A==");
	/* message INV-720251120000000USD0C0001ST001 */
	check_settle(KEY,
				 "{\"ref_id\":\"INV-7\",\"date\":\"2025-11-20\",\"currency\":\"USD\","
				 "\"total_amount\":0,\"customer_sync_code\":\"C0001\",\"payment_to\":\"ST001\"}",
				 "ot3/cFMcYwXTwhNqcze+eB3f623jnmpjBkouz1ZFzns5S+BQKmyRuHslDeuYF8+FBzOPCmQr/+DWvSFAufGueQ==");
	/* message 10120240622024155KHR123456789012345678901234567890.12C0001CPO001 */
	check_settle(KEY,
				 "{\"ref_id\":\"101\",\"date\":\"2024-06-22T02:41:55Z\",\"currency\":\"KHR\","
				 "\"total_amount\":123456789012345678901234567890.12,"
				 "\"customer_sync_code\":\"C0001\",\"payment_to\":\"CPO001\"}",
				 "2gCtETrz9RnSeFeAuz10OXHA2wGmqUBX8E0m03/IiuoJf0TIOmaW1ZFCyXv2Swgr1dQSUF8AkbDPK/2NjvCJRA==");
}

static void
test_settle_hash_of_khmer_in_ids_and_key(void **state)
{
	/* message វិ-១20251120000000KHR5000អតិថិជន កCPO001 */
	check_settle(KEY,
				 "{\"ref_id\":\"វិ-១\",\"date\":\"2025-11-20\",\"currency\":\"KHR\","
				 "\"total_amount\":5000,\"customer_sync_code\":\"អតិថិជន ក\","
				 "\"payment_to\":\"CPO001\"}",
				 "lLnk7/4bDnCAyJBYCigephf8Uz4LLVOZjLKo7ILBeQ6Z+q1wNz0Lj7pOZV7C1qIBSCZreCsBdYqhuUqXJ1Jwkg==");
	check_settle("សម្ងាត់",
				 "{\"ref_id\":\"101\",\"date\":\"2024-06-22T02:41:55Z\",\"currency\":\"KHR\","
				 "\"total_amount\":100,\"customer_sync_code\":\"C0001\",\"payment_to\":\"CPO001\"}",
				 "f9kXqMW9LKr82yIq53fPxne/O0pIUQsZgHxk8JWUtTaH9TLMg59lVYaxjhX/gOi39nbTV439U3+0SJ7VCdQ68w==");
}

static void
test_settle_hash_with_a_key_longer_than_a_block(void **state)
{
	char		key[201];

	memset(key, 'k', 200);
	key[200] = '\0';
	check_settle(key,
				 "{\"ref_id\":\"101\",\"date\":\"2024-06-22T02:41:55Z\",\"currency\":\"KHR\","
				 "\"total_amount\":100,\"customer_sync_code\":\"C0001\",\"payment_to\":\"CPO001\"}",
				 "J3R7MF1gMvIyg+S9cU20U2GP0zFmu01nncjM3OgKYGybxNmjNKaZvZhWYcPzo6wzKjYmUl6sRxpjUPVmI3arjg==");
}

static void
test_settle_hash_takes_text_as_it_is_not_as_json_escapes_it(void **state)
{
	/* message a"b\c/d20251120000000KHR100C0001CPO001 */
	check_settle(KEY,
				 "{\"ref_id\":\"a\\\"b\\\\c/d\",\"date\":\"2025-11-20\",\"currency\":\"KHR\","
				 "\"total_amount\":100,\"customer_sync_code\":\"C0001\",\"payment_to\":\"CPO001\"}",
				 "FpwW9r2wSee9ANqQ+l2WISqKdbypq2bzwS11qMfJj3uoP4b0NpnjB+atCD3PHTgzgBDyGFT2Y1c+bbKPQ03MXg==");
}

static void
test_settle_hash_of_an_empty_part(void **state)
{
	/* message 10120251120000000KHR100C0001 */
	check_settle(KEY,
				 "{\"ref_id\":\"101\",\"date\":\"2025-11-20\",\"currency\":\"KHR\","
				 "\"total_amount\":100,\"customer_sync_code\":\"C0001\",\"payment_to\":\"\"}",
				 "bD1Pilny7rQ7VQv8t+z/yJJJz56iGppbexeZhbX92CW+AveP2L+4CtMYDmGuJorzy4IqqSeCKI/HJvcNOhOIWw==");
}

static void
test_settle_hash_of_a_long_part(void **state)
{
	char		code[5001];
	char		wire[6000];

	memset(code, 'x', 5000);
	code[5000] = '\0';
	snprintf(wire, sizeof(wire),
			 "{\"ref_id\":\"101\",\"date\":\"2024-06-22T02:41:55Z\",\"currency\":\"KHR\","
			 "\"total_amount\":100,\"customer_sync_code\":\"%s\",\"payment_to\":\"CPO001\"}",
			 code);
	check_settle(KEY, wire,
				 "VdgYM/ya1J4PAty0vKMbnoQ4dFEXml8Clwfio1flhXmqipdlY1JqFf0om/1vjTa0k/PzflXzrcYeS30gwglUXQ==");
}

/* All parts short, so that the padding of the date needs the spare room. */
static void
test_settle_hash_of_a_date_without_digits_stays_within_bounds(void **state)
{
	B24Secrets	secrets = {.hash_token = KEY};
	B24Problem	problem;
	B24Json    *wire = json("{\"ref_id\":\"\",\"date\":\"\",\"currency\":\"\","
							"\"total_amount\":0,\"customer_sync_code\":\"\",\"payment_to\":\"\"}");

	assert_int_equal(b24_settle_hash(&secrets, wire, &problem), B24_OK);
	b24_json_free(wire);
}

static void
test_settle_hash_names_the_part_that_is_missing(void **state)
{
	static const char *const parts[] = {
		"ref_id", "date", "currency", "total_amount", "customer_sync_code", "payment_to"
	};

	for (size_t missing = 0; missing < COUNT(parts); missing++)
	{
		for (int null = 0; null < 2; null++)
		{
			char		wire[500] = "{\"description\":\"x\"";
			char		says[50];

			for (size_t i = 0; i < COUNT(parts); i++)
			{
				size_t		length = strlen(wire);

				if (i != missing)
					snprintf(wire + length, sizeof(wire) - length, ",\"%s\":\"1\"", parts[i]);
				else if (null)
					snprintf(wire + length, sizeof(wire) - length, ",\"%s\":null", parts[i]);
			}
			strcat(wire, "}");
			snprintf(says, sizeof(says), "\"%s\"", parts[missing]);
			check_settle_fails(KEY, wire, B24_NULL_ARGUMENT, says);
		}
	}
}

static void
test_settle_hash_without_a_key_is_a_missing_credential(void **state)
{
	check_settle_fails(NULL,
					   "{\"ref_id\":\"101\",\"date\":\"2025-11-20\",\"currency\":\"KHR\","
					   "\"total_amount\":100,\"customer_sync_code\":\"C0001\",\"payment_to\":\"CPO001\"}",
					   B24_NO_CREDENTIAL, "hash_token");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hmac_of_known_messages),
		cmocka_unit_test(test_sha256_of_known_messages),
		cmocka_unit_test(test_settle_hash_of_a_date_time_with_z),
		cmocka_unit_test(test_settle_hash_drops_fractions_of_a_second),
		cmocka_unit_test(test_settle_hash_of_a_plain_date_counts_from_midnight),
		cmocka_unit_test(test_settle_hash_depends_on_values_not_on_order_or_other_members),
		cmocka_unit_test(test_settle_hash_prints_decimals_as_the_body_does),
		cmocka_unit_test(test_settle_hash_of_khmer_in_ids_and_key),
		cmocka_unit_test(test_settle_hash_with_a_key_longer_than_a_block),
		cmocka_unit_test(test_settle_hash_takes_text_as_it_is_not_as_json_escapes_it),
		cmocka_unit_test(test_settle_hash_of_an_empty_part),
		cmocka_unit_test(test_settle_hash_of_a_long_part),
		cmocka_unit_test(test_settle_hash_of_a_date_without_digits_stays_within_bounds),
		cmocka_unit_test(test_settle_hash_names_the_part_that_is_missing),
		cmocka_unit_test(test_settle_hash_without_a_key_is_a_missing_credential),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
