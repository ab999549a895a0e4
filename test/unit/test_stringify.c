/*-------------------------------------------------------------------------
 *
 * test_stringify.c
 *	  JSON as JSON.stringify writes it.  The expected texts are Node's.
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

#include <math.h>

#include "stringify.h"

static void
check_number(const char *digits, const char *expected)
{
	char		out[B24_NUMBER_SIZE];

	if (!b24_stringify_number(digits, out))
		fail_msg("%s is refused", digits);
	assert_string_equal(out, expected);
}

static void
test_numbers_are_in_their_shortest_form(void **state)
{
	static const char *const numbers[][2] = {
		{"0", "0"}, {"-0", "0"}, {"0.000", "0"}, {"-0.0e5", "0"}, {"0e999999999999", "0"},
		{"1", "1"}, {"-1", "-1"}, {"10", "10"}, {"10.0", "10"}, {"1.50", "1.5"},
		{"0.1", "0.1"}, {"0.10", "0.1"}, {"1e1", "10"}, {"1E+1", "10"}, {"1e-1", "0.1"},
		{"100e-2", "1"}, {"12.5e1", "125"}, {"0.00125e3", "1.25"},
		{"9007199254740991", "9007199254740991"}, {"9007199254740992", "9007199254740992"},
		{"100000000000000000000", "100000000000000000000"},
		{"123456789012345680000", "123456789012345680000"},
		{"1e20", "100000000000000000000"}, {"1e21", "1e+21"}, {"1.5e21", "1.5e+21"},
		{"123e20", "1.23e+22"}, {"1000000000000000000000", "1e+21"},
		{"0.000001", "0.000001"}, {"0.0000001", "1e-7"}, {"1.5e-7", "1.5e-7"},
		{"123e-20", "1.23e-18"}, {"0.00000123", "0.00000123"},
		{"5e-324", "5e-324"}, {"1.7976931348623157e308", "1.7976931348623157e+308"},
		{"2.2250738585072014e-308", "2.2250738585072014e-308"},
		{"0.30000000000000004", "0.30000000000000004"}, {"4.35", "4.35"},
		{"5e-7", "5e-7"}, {"-12.340", "-12.34"}, {"9.5e15", "9500000000000000"},
	};

	for (size_t i = 0; i < COUNT(numbers); i++)
		check_number(numbers[i][0], numbers[i][1]);
}

static void
test_numbers_that_no_double_keeps_are_refused(void **state)
{
	static const char *const numbers[] = {
		"9007199254740993", "12345678901234567890", "0.1000000000000000055511151231257827",
		"1e309", "-1e400", "1e-400", "123456789.12345678901", "1e999999999999999999999",
		"1e-999999999999999999999", "1.00000000000000000001", "-9223372036854775807",
	};
	char		out[B24_NUMBER_SIZE];

	for (size_t i = 0; i < COUNT(numbers); i++)
	{
		if (b24_stringify_number(numbers[i], out))
			fail_msg("%s becomes %s", numbers[i], out);
	}
}

/* Powers of two have less room below them than above. */
static void
test_what_is_written_is_read_as_the_same_double(void **state)
{
	for (int e = -1074; e <= 1023; e++)
	{
		double		value = ldexp(1, e);
		char		digits[64];
		char		out[B24_NUMBER_SIZE];
		bool		found = false;

		for (int n = 0; n < 17 && !found; n++)
		{
			snprintf(digits, sizeof(digits), "%.*e", n, value);
			found = strtod(digits, NULL) == value;
		}
		assert_true(found);
		if (!b24_stringify_number(digits, out))
			continue;			/* there is a shorter one, of another value */
		assert_true(strtod(out, NULL) == value);
		assert_true(b24_json_is_number_text(out, strlen(out)));
		/* and it is at its end */
		check_number(out, out);
	}
}

static void
check_text(const char *text, const char *expected)
{
	B24Problem	problem = {B24_OK, ""};
	B24Json    *before = json(text);
	B24Json    *after;

	if (b24_stringify(before, &after, &problem) != B24_OK)
		fail_msg("%s: %s", text, problem.text);
	assert_string_equal(b24_json_text(after, NULL), expected);
	b24_json_free(before);
	b24_json_free(after);
}

static void
test_keys_that_are_indexes_come_first(void **state)
{
	check_text("{\"b\":1,\"2\":2,\"a\":3,\"10\":4,\"1\":5}", "{\"1\":5,\"2\":2,\"10\":4,\"b\":1,\"a\":3}");
	check_text("{\"b\":1,\"0\":2}", "{\"0\":2,\"b\":1}");
	check_text("{\"01\":1,\"-1\":2,\"1.0\":3,\"4294967295\":4,\"4294967294\":5,\"99999999999\":6,\" 1\":7,\"\":8}",
			   "{\"4294967294\":5,\"01\":1,\"-1\":2,\"1.0\":3,\"4294967295\":4,\"99999999999\":6,\" 1\":7,\"\":8}");
	check_text("[{\"x\":{\"b\":[],\"7\":{}}}]", "[{\"x\":{\"7\":{},\"b\":[]}}]");
	/* the last of several, at the place of the first */
	check_text("{\"a\":1,\"b\":2,\"a\":3}", "{\"a\":3,\"b\":2}");
	/* a dot in a key is nothing but a dot */
	check_text("{\"a.b\":{\"c.d\":1.0}}", "{\"a.b\":{\"c.d\":1}}");
}

static void
test_texts_are_escaped_as_little_as_possible(void **state)
{
	check_text("[\"\\u0001\\u001f\\b\\f\\n\\r\\t\\\"\\\\\\/\\u007f\"]",
			   "[\"\\u0001\\u001f\\b\\f\\n\\r\\t\\\"\\\\/\x7f\"]");
	check_text("[\"\\u2028\\u2029\\u17a2\\ud83d\\ude00<>&'\"]", "[\"\xe2\x80\xa8\xe2\x80\xa9\xe1\x9e\xa2\xf0\x9f\x98\x80<>&'\"]");
	check_text("[null,true,false,\"\",{},[]]", "[null,true,false,\"\",{},[]]");
}

static void
test_a_number_deep_inside_is_found(void **state)
{
	B24Problem	problem = {B24_OK, ""};
	B24Json    *before = json("{\"a\":[{\"b\":[1,2,12345678901234567890]}]}");
	B24Json    *after;

	assert_int_equal(b24_stringify(before, &after, &problem), B24_BAD_ARGUMENT);
	assert_null(after);
	assert_non_null(strstr(problem.text, "12345678901234567890"));
	b24_json_free(before);
}

static void
test_escapes_of_what_is_no_character(void **state)
{
	static const char *const good[] = {
		"", "\"\"", "\"\\u0041\"", "\"\\ud83d\\ude00\"", "\"\\uD83D\\uDE00\\u0001\"", "\"\\\\ud800\"",
		"\"\\\\u0000\"", "\"\\\"\\/\\n\"", "\\", "\\u", "\\u00", "\\ud83d\\ude00",
	};
	static const char *const bad[] = {
		"\"\\u0000\"", "\"\\ud800\"", "\"\\udc00\"", "\"\\ud800\\ud800\"", "\"\\ud800x\\udc00\"",
		"\"\\\\\\u0000\"", "\"\\ud83d\\ude00\\ude00\"", "\\ud800", "\"a\\udbff\\n\"",
	};

	for (size_t i = 0; i < COUNT(good); i++)
	{
		if (!b24_json_escapes_fit(good[i], strlen(good[i])))
			fail_msg("%s", good[i]);
	}
	for (size_t i = 0; i < COUNT(bad); i++)
	{
		if (b24_json_escapes_fit(bad[i], strlen(bad[i])))
			fail_msg("%s", bad[i]);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers_are_in_their_shortest_form),
		cmocka_unit_test(test_numbers_that_no_double_keeps_are_refused),
		cmocka_unit_test(test_what_is_written_is_read_as_the_same_double),
		cmocka_unit_test(test_keys_that_are_indexes_come_first),
		cmocka_unit_test(test_texts_are_escaped_as_little_as_possible),
		cmocka_unit_test(test_escapes_of_what_is_no_character),
		cmocka_unit_test(test_a_number_deep_inside_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
