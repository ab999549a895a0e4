/*-------------------------------------------------------------------------
 *
 * test_json.c
 *	  Reading and building JSON.
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

/* The text parses, and prints as expected. */
static void
check_prints(const char *text, const char *expected)
{
	B24Json    *parsed = json(text);
	size_t		length;

	assert_string_equal(b24_json_text(parsed, &length), expected);
	assert_int_equal(length, strlen(expected));
	b24_json_free(parsed);
}

/* These bytes are not taken for JSON, and the problem says why. */
static void
check_refused_bytes(const char *text, size_t length)
{
	B24Problem	problem = {B24_OK, ""};
	B24Json    *parsed = b24_json_parse(text, length, &problem);

	if (parsed != NULL)
	{
		print_error("\"%s\" was taken for %s\n", text, b24_json_text(parsed, NULL));
		b24_json_free(parsed);
		fail();
	}
	assert_int_equal(problem.status, B24_NONSENSE);
	assert_true(problem.text[0] != '\0');
	assert_true(is_utf8(problem.text, strlen(problem.text)));
}

static void
check_refused(const char *text)
{
	check_refused_bytes(text, strlen(text));
}

static void
check_number(const char *text, const char *expected)
{
	char		buffer[256];
	B24Json    *parsed;

	snprintf(buffer, sizeof(buffer), "{\"n\":%s}", text);
	parsed = json(buffer);
	assert_int_equal(b24_json_type(b24_json_get(parsed, "n")), B24_JSON_NUMBER);
	assert_string_equal(b24_json_number(b24_json_get(parsed, "n")), expected);
	b24_json_free(parsed);

	/* and with nothing around it */
	parsed = json(text);
	assert_string_equal(b24_json_number(parsed), expected);
	b24_json_free(parsed);
}

/*
 * Reading
 */
static void
test_every_type_is_recognized(void **state)
{
	static const struct
	{
		const char *key;
		B24JsonType type;
		const char *name;
	}			expected[] = {
		{"null", B24_JSON_NULL, "null"},
		{"absent", B24_JSON_NULL, "null"},
		{"yes", B24_JSON_BOOLEAN, "boolean"},
		{"integer", B24_JSON_NUMBER, "number"},
		{"decimal", B24_JSON_NUMBER, "number"},
		{"long", B24_JSON_NUMBER, "number"},
		{"string", B24_JSON_STRING, "string"},
		{"array", B24_JSON_ARRAY, "array"},
		{"object", B24_JSON_OBJECT, "object"},
	};
	B24Json    *parsed = json("{\"null\":null,\"yes\":true,\"integer\":1,\"decimal\":1.5,"
							  "\"long\":12345678901234567890123,\"string\":\"s\","
							  "\"array\":[],\"object\":{}}");

	for (size_t i = 0; i < COUNT(expected); i++)
	{
		const B24Json *value = b24_json_get(parsed, expected[i].key);

		assert_int_equal(b24_json_type(value), expected[i].type);
		assert_string_equal(b24_json_type_name(value), expected[i].name);
	}
	b24_json_free(parsed);
}

static void
test_accessors_of_another_type_answer_nothing(void **state)
{
	B24Json    *parsed = json("{\"s\":\"text\",\"n\":7,\"a\":[1,2],\"t\":true}");
	const B24Json *s = b24_json_get(parsed, "s");
	const B24Json *n = b24_json_get(parsed, "n");
	const B24Json *a = b24_json_get(parsed, "a");

	assert_null(b24_json_string(n, NULL));
	assert_null(b24_json_string(NULL, NULL));
	assert_null(b24_json_number(s));
	assert_null(b24_json_number(NULL));
	assert_false(b24_json_boolean(n));
	assert_false(b24_json_boolean(NULL));
	assert_true(b24_json_boolean(b24_json_get(parsed, "t")));
	assert_null(b24_json_get(a, "s"));
	assert_null(b24_json_get(NULL, "s"));
	assert_int_equal(b24_json_length(parsed), 0);
	assert_int_equal(b24_json_length(NULL), 0);
	assert_int_equal(b24_json_length(a), 2);
	assert_string_equal(b24_json_number(b24_json_element(a, 1)), "2");
	assert_null(b24_json_element(a, 2));
	assert_null(b24_json_element(a, SIZE_MAX));
	assert_null(b24_json_element(s, 0));
	b24_json_free(parsed);
}

static void
test_path_walks_objects_only(void **state)
{
	char		key[200];
	B24Json    *parsed = json("{\"data\":{\"bill\":{\"status\":\"success\"},\"list\":[{\"a\":1}]}}");

	assert_ptr_equal(b24_json_path(parsed, ""), parsed);
	assert_string_equal(b24_json_string(b24_json_path(parsed, "data.bill.status"), NULL),
						"success");
	assert_null(b24_json_path(parsed, "data.bill.status.x"));
	assert_null(b24_json_path(parsed, "data.list.a"));
	assert_null(b24_json_path(parsed, "nothing.at.all"));
	assert_null(b24_json_path(NULL, "data"));
	memset(key, 'k', sizeof(key) - 1);
	key[sizeof(key) - 1] = '\0';
	assert_null(b24_json_path(parsed, key));
	b24_json_free(parsed);
}

static bool
collect_keys(const char *key, B24Json *value, void *context)
{
	strcat(context, key);
	strcat(context, value == NULL ? "=null " : " ");
	return strcmp(key, "stop") != 0;
}

static void
test_each_keeps_the_order_and_stops_when_told(void **state)
{
	char		keys[100] = "";
	B24Json    *parsed = json("{\"z\":1,\"a\":null,\"m\":3}");

	assert_true(b24_json_each(parsed, collect_keys, keys));
	assert_string_equal(keys, "z a=null m ");
	b24_json_free(parsed);

	keys[0] = '\0';
	parsed = json("{\"z\":1,\"stop\":2,\"m\":3}");
	assert_false(b24_json_each(parsed, collect_keys, keys));
	assert_string_equal(keys, "z stop ");
	b24_json_free(parsed);

	assert_true(b24_json_each(NULL, collect_keys, keys));
	parsed = json("[1]");
	assert_true(b24_json_each(parsed, collect_keys, keys));
	b24_json_free(parsed);
}

static void
test_white_space_around_is_no_matter(void **state)
{
	check_prints(" \t\r\n{ \"a\" : [ 1 , 2 ] }\r\n ", "{\"a\":[1,2]}");
	check_prints(" 7 ", "7");
	check_prints("true", "true");
	check_prints("\"s\"\n", "\"s\"");
}

static void
test_a_byte_order_mark_is_passed_over(void **state)
{
	check_prints("\xef\xbb\xbf{}", "{}");
	check_refused("\xef\xbb\xbf");
	check_refused("\xef\xbb\xbf\xef\xbb\xbf{}");
}

static void
test_what_is_not_strictly_json_is_refused(void **state)
{
	static const char *const texts[] = {
		"nonsense", "<html></html>", "{a:1}", "{\"a\" 1}",
		"{\"a\":1,}", "[1,]", "[,1]", "[1 2]", "{,}", "{\"a\"}", "[1]]", "{}}",
		"{} {}", "1 2", "{}x", "/* comment */ {}", "{} // comment",
		"TRUE", "True", "FALSE", "Null", "[NULL]", "undefined", "[tru]",
		"}", "]", ",", ":", "\"\\x\"", "\"\\u12g4\"", "\"\\u12\"",
	};

	for (size_t i = 0; i < COUNT(texts); i++)
		check_refused(texts[i]);
}

/* In single quotes, a double quote would hide what follows it. */
static void
test_single_quotes_are_refused_and_hide_nothing(void **state)
{
	static const char *const texts[] = {
		"'a'", "{'a':1}", "{\"k\":'a'}", "{'a\"':NaN}", "{'a\"':01}",
		"{'a\"':123456789012345678901234567890}",
	};

	for (size_t i = 0; i < COUNT(texts); i++)
		check_refused(texts[i]);
	check_prints("\"it's\"", "\"it's\"");
}

static void
test_an_empty_text_and_a_bare_null_are_refused(void **state)
{
	check_refused("");
	check_refused(" ");
	check_refused(" \r\n");
	check_refused("null");
	check_refused(" null ");
}

static void
test_every_truncation_is_refused(void **state)
{
	static const char text[] =
		"{\"code\":\"000\",\"data\":[1.5,-2,true,null,{\"k\":\"\\u1780\\n\"},"
		"123456789012345678901234567890]}";

	for (size_t length = 0; length < strlen(text); length++)
	{
		/* of its own size, so that reading past the end is seen */
		char	   *copy = malloc(length + 1);

		memcpy(copy, text, length);
		copy = realloc(copy, length > 0 ? length : 1);
		check_refused_bytes(copy, length);
		free(copy);
	}
	b24_json_free(json(text));
}

static void
test_nothing_behind_the_text_is_read(void **state)
{
	static const char *const texts[] = {"12", "{}", "\"a\"", "true", "[1]", "-1.5e3"};

	for (size_t i = 0; i < COUNT(texts); i++)
	{
		B24Problem	problem;
		size_t		length = strlen(texts[i]);
		char	   *copy = malloc(length);
		B24Json    *parsed;

		memcpy(copy, texts[i], length);
		parsed = b24_json_parse(copy, length, &problem);
		assert_non_null(parsed);
		assert_string_equal(b24_json_text(parsed, NULL), texts[i]);
		b24_json_free(parsed);
		free(copy);
	}
}

static void
test_a_nul_byte_is_refused_wherever_it_is(void **state)
{
	static const char good[] = "{\"a\":\"b\"}";
	size_t		length = strlen(good);

	for (size_t at = 0; at <= length; at++)
	{
		char		text[sizeof(good) + 1];

		memcpy(text, good, at);
		text[at] = '\0';
		memcpy(text + at + 1, good + at, length - at);
		check_refused_bytes(text, length + 1);
	}
}

static void
test_an_escaped_nul_is_kept_with_its_length(void **state)
{
	size_t		length;
	B24Json    *parsed = json("{\"s\":\"a\\u0000b\"}");
	const char *text = b24_json_string(b24_json_get(parsed, "s"), &length);

	assert_int_equal(length, 3);
	assert_memory_equal(text, "a\0b", 4);
	assert_string_equal(b24_json_text(parsed, NULL), "{\"s\":\"a\\u0000b\"}");
	b24_json_free(parsed);
}

static void
test_invalid_utf8_is_refused(void **state)
{
	static const char *const texts[] = {
		"\"\x80\"", "\"\xbf\"", "\"\xe1\x9e\"", "\"\xe1\"", "\"\xf0\x9f\x98\"",
		"\"\xc3\x28\"", "\"\xff\"", "\"\xfe\"", "\"\xf8\x88\x80\x80\x80\"",
		"{\"\xe1\x9e\":1}",
	};

	for (size_t i = 0; i < COUNT(texts); i++)
		check_refused(texts[i]);
}

/* PostgreSQL refuses these in a text, so they must not get that far. */
static void
test_overlong_forms_surrogates_and_too_high_characters_are_refused(void **state)
{
	static const char *const texts[] = {
		"\"\xc0\x80\"", "\"\xc1\xbf\"", "\"\xe0\x80\xaf\"", "\"\xf0\x80\x80\xaf\"",
		"\"\xed\xa0\x80\"", "\"\xed\xbf\xbf\"", "\"\xf4\x90\x80\x80\"",
		"\"\xf7\xbf\xbf\xbf\"", "{\"\xc0\x80\":1}",
	};

	for (size_t i = 0; i < COUNT(texts); i++)
		check_refused(texts[i]);
}

static void
test_khmer_and_characters_beyond_the_bmp_are_kept(void **state)
{
	check_prints("{\"ឈ្មោះ\":\"អតិថិជន ក\"}", "{\"ឈ្មោះ\":\"អតិថិជន ក\"}");
	check_prints("\"\\u17a2\\u178f\\u17b7\"", "\"អតិ\"");
	check_prints("\"\\ud83d\\ude00\"", "\"\xf0\x9f\x98\x80\"");
	check_prints("\"\xf4\x8f\xbf\xbf\"", "\"\xf4\x8f\xbf\xbf\"");
}

static void
test_half_a_surrogate_pair_still_gives_valid_utf8(void **state)
{
	static const char *const texts[] = {
		"\"\\ud83d\"", "\"\\ude00\"", "\"\\ud83dx\"", "\"\\ud83d\\u0041\"",
		"\"\\ud83d\\n\"", "\"\\ude00\\ud83d\"", "\"\\ud83d\\ud83d\\ude00\"",
	};

	for (size_t i = 0; i < COUNT(texts); i++)
	{
		B24Problem	problem;
		B24Json    *parsed = b24_json_parse(texts[i], strlen(texts[i]), &problem);
		size_t		length;
		const char *text;

		if (parsed == NULL)
			continue;			/* refusing it is as good */
		text = b24_json_string(parsed, &length);
		assert_true(is_utf8(text, length));
		b24_json_free(parsed);
	}
}

static char *
nested(int depth, const char *inside)
{
	char	   *text = malloc(2 * depth + strlen(inside) + 1);

	memset(text, '[', depth);
	strcpy(text + depth, inside);
	memset(text + depth + strlen(inside), ']', depth);
	text[2 * depth + strlen(inside)] = '\0';
	return text;
}

static void
test_32_levels_are_read_and_33_are_refused(void **state)
{
	char	   *text = nested(B24_JSON_DEPTH, "");

	assert_int_equal(B24_JSON_DEPTH, 32);
	check_prints(text, text);
	free(text);

	text = nested(B24_JSON_DEPTH + 1, "");
	check_refused(text);
	free(text);

	text = nested(100000, "1");
	check_refused(text);
	free(text);
}

/*
 * Numbers
 */
static void
test_numbers_keep_their_digits(void **state)
{
	static const char *const numbers[] = {
		"0", "7", "-7", "100", "106001", "0.5", "10.50", "-10.50", "0.10", "1.0",
		"1.000000000000000000000000000001", "0.1", "5e3", "5E3", "1e+5", "1E-5",
		"1e400000", "-1e400000", "1e-400000", "-0.0", "999999999999999999",
		"-999999999999999999", "123456789012345678901234567890.12",
	};

	for (size_t i = 0; i < COUNT(numbers); i++)
		check_number(numbers[i], numbers[i]);
}

/* Beyond 18 digits a number may not fit a bigint. */
static void
test_long_integers_are_read_exactly(void **state)
{
	static const char *const numbers[] = {
		"1000000000000000000", "9223372036854775807", "9223372036854775808",
		"-9223372036854775808", "-9223372036854775809", "18446744073709551615",
		"18446744073709551616", "123456789012345678901234567890",
		"-123456789012345678901234567890",
	};

	for (size_t i = 0; i < COUNT(numbers); i++)
		check_number(numbers[i], numbers[i]);
}

static void
test_several_long_integers_are_read_in_one_text(void **state)
{
	check_prints("[12345678901234567890,1,\"12345678901234567890\",-12345678901234567890]",
				 "[12345678901234567890,1,\"12345678901234567890\",-12345678901234567890]");
	check_prints("{\"12345678901234567890\":12345678901234567890}",
				 "{\"12345678901234567890\":12345678901234567890}");
	check_prints("[\"\\\"12345678901234567890\",12345678901234567890]",
				 "[\"\\\"12345678901234567890\",12345678901234567890]");
	check_prints("[\"\\\\\",12345678901234567890]", "[\"\\\\\",12345678901234567890]");
}

static void
test_what_was_written_with_e0_keeps_it(void **state)
{
	check_number("7e0", "7e0");
	check_prints("[7e0,12345678901234567890]", "[7e0,12345678901234567890]");
}

static void
test_characters_beyond_ascii_can_be_escaped(void **state)
{
	const char *text = "a\xc3\xa9\xe1\x9e\x80\xf0\x9f\x98\x80z";
	char		out[100];

	assert_int_equal(b24_escape_beyond_ascii(text, strlen(text), out), 26);
	assert_string_equal(out, "a\\u00e9\\u1780\\ud83d\\ude00z");
	assert_int_equal(b24_escape_beyond_ascii("", 0, out), 0);
	assert_string_equal(out, "");
}

static void
test_long_integers_are_written_exactly(void **state)
{
	static const char *const numbers[] = {
		"123456789012345678901234567890", "-123456789012345678901234567890",
		"9223372036854775808", "10.50", "0", "1e400000",
	};

	for (size_t i = 0; i < COUNT(numbers); i++)
	{
		B24Json    *number = b24_json_new_number(numbers[i]);

		assert_int_equal(b24_json_type(number), B24_JSON_NUMBER);
		assert_string_equal(b24_json_number(number), numbers[i]);
		assert_string_equal(b24_json_text(number, NULL), numbers[i]);
		b24_json_free(number);
	}
}

static void
test_what_is_no_number_is_refused(void **state)
{
	static const char *const numbers[] = {
		"NaN", "-NaN", "nan", "Infinity", "-Infinity", "infinity", "inf", "INF",
		"01", "-01", "00", "1.", "-1.", "+1", ".5", "-.5", "-", "--1", "1-1",
		"1e", "1e+", "1.e5", "1.5.5", "1e5e5", "0x10", "1_000", "1,5e",
		"12345678901234567890.", "012345678901234567890", "1e5.5",
	};

	for (size_t i = 0; i < COUNT(numbers); i++)
	{
		char		text[100];

		check_refused(numbers[i]);
		snprintf(text, sizeof(text), "{\"n\":%s}", numbers[i]);
		check_refused(text);
		snprintf(text, sizeof(text), "[1,%s]", numbers[i]);
		check_refused(text);
	}
}

static void
test_the_same_letters_inside_strings_are_fine(void **state)
{
	static const char *const texts[] = {
		"{\"a\":\"NaN\"}", "{\"NaN\":\"Infinity\"}", "[\"-Infinity\",\"01\",\"1.\",\"+1\"]",
		"{\"a\":\"\\\"NaN, 01, 1.\"}", "[\"\\\\\",\"N\"]", "\"1. Name\"",
	};

	for (size_t i = 0; i < COUNT(texts); i++)
		check_prints(texts[i], texts[i]);
}

static void
test_is_number_text_is_the_grammar_of_rfc_8259(void **state)
{
	static const char *const good[] = {
		"0", "-0", "1", "10", "1.5", "0.0", "1e5", "1E5", "1e+5", "1e-05", "-1.5e-5",
	};
	static const char *const bad[] = {
		"", "-", "+1", "01", "1.", ".5", "1e", "1e+", "1e5.", " 1", "1 ", "1a",
		"NaN", "0x1", "--1", "1e5e5",
	};

	for (size_t i = 0; i < COUNT(good); i++)
		assert_true(b24_json_is_number_text(good[i], strlen(good[i])));
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_false(b24_json_is_number_text(bad[i], strlen(bad[i])));
	/* the length counts, not a NUL */
	assert_true(b24_json_is_number_text("12x", 2));
	assert_false(b24_json_is_number_text("1\0", 2));
}

/*
 * Writing
 */
static void
test_a_slash_is_not_escaped(void **state)
{
	B24Json    *text = b24_json_new_string("https://example.com/a", 21);

	assert_string_equal(b24_json_text(text, NULL), "\"https://example.com/a\"");
	b24_json_free(text);
	check_prints("\"a\\/b\"", "\"a/b\"");
}

static void
test_quotes_backslashes_and_controls_are_escaped(void **state)
{
	static const char raw[] = "\"\\\n\r\t\b\f\x01\x1f";
	size_t		length;
	B24Json    *text = b24_json_new_string(raw, strlen(raw));
	B24Json    *again = json(b24_json_text(text, NULL));
	const char *printed = b24_json_text(text, NULL);

	for (const char *p = printed; *p != '\0'; p++)
		assert_true((unsigned char) *p >= ' ');
	assert_string_equal(b24_json_string(again, &length), raw);
	assert_int_equal(length, strlen(raw));
	b24_json_free(again);
	b24_json_free(text);
}

static void
test_a_string_is_as_long_as_it_was_given(void **state)
{
	size_t		length;
	B24Json    *text = b24_json_new_string("abcdef", 3);

	assert_string_equal(b24_json_string(text, &length), "abc");
	assert_int_equal(length, 3);
	b24_json_free(text);

	text = b24_json_new_string("", 0);
	assert_string_equal(b24_json_text(text, NULL), "\"\"");
	b24_json_free(text);
}

static void
test_put_with_a_dotted_path_makes_the_objects_on_its_way(void **state)
{
	B24Json    *object = b24_json_new_object();

	assert_true(b24_json_put(object, "a", b24_json_new_boolean(false)));
	assert_true(b24_json_put(object, "pagination.page_index", b24_json_new_number("1")));
	assert_true(b24_json_put(object, "pagination.page_size", b24_json_new_number("30")));
	assert_true(b24_json_put(object, "x.y.z", b24_json_new_string("deep", 4)));
	assert_string_equal(b24_json_text(object, NULL),
						"{\"a\":false,\"pagination\":{\"page_index\":1,\"page_size\":30},"
						"\"x\":{\"y\":{\"z\":\"deep\"}}}");
	b24_json_free(object);
}

static void
test_put_replaces_and_takes_null(void **state)
{
	B24Json    *object = b24_json_new_object();

	assert_true(b24_json_put(object, "a", b24_json_new_number("1")));
	assert_true(b24_json_put(object, "a", b24_json_new_number("2")));
	assert_true(b24_json_put(object, "b", NULL));
	assert_string_equal(b24_json_text(object, NULL), "{\"a\":2,\"b\":null}");
	b24_json_free(object);
}

static void
test_append_keeps_the_order_and_takes_null(void **state)
{
	B24Json    *array = b24_json_new_array();

	assert_true(b24_json_append(array, b24_json_new_number("1")));
	assert_true(b24_json_append(array, NULL));
	assert_true(b24_json_append(array, b24_json_new_array()));
	assert_string_equal(b24_json_text(array, NULL), "[1,null,[]]");
	assert_int_equal(b24_json_length(array), 3);
	b24_json_free(array);
}

/* The leak checker sees an owner too many, the address checker one too few. */
static void
test_a_shared_value_outlives_its_first_owner(void **state)
{
	B24Json    *first = json("{\"inner\":{\"k\":\"v\"},\"gone\":1}");
	B24Json    *second = b24_json_new_object();
	B24Json    *inner = b24_json_share(b24_json_get(first, "inner"));

	assert_true(b24_json_put(second, "kept", b24_json_share(inner)));
	b24_json_free(first);
	assert_string_equal(b24_json_text(inner, NULL), "{\"k\":\"v\"}");
	b24_json_free(inner);
	assert_string_equal(b24_json_text(second, NULL), "{\"kept\":{\"k\":\"v\"}}");
	b24_json_free(second);
}

static void
test_freeing_and_sharing_nothing_is_allowed(void **state)
{
	b24_json_free(NULL);
	assert_null(b24_json_share(NULL));
	assert_string_equal(b24_json_text(NULL, NULL), "null");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_type_is_recognized),
		cmocka_unit_test(test_accessors_of_another_type_answer_nothing),
		cmocka_unit_test(test_path_walks_objects_only),
		cmocka_unit_test(test_each_keeps_the_order_and_stops_when_told),
		cmocka_unit_test(test_white_space_around_is_no_matter),
		cmocka_unit_test(test_a_byte_order_mark_is_passed_over),
		cmocka_unit_test(test_what_is_not_strictly_json_is_refused),
		cmocka_unit_test(test_single_quotes_are_refused_and_hide_nothing),
		cmocka_unit_test(test_an_empty_text_and_a_bare_null_are_refused),
		cmocka_unit_test(test_every_truncation_is_refused),
		cmocka_unit_test(test_nothing_behind_the_text_is_read),
		cmocka_unit_test(test_a_nul_byte_is_refused_wherever_it_is),
		cmocka_unit_test(test_an_escaped_nul_is_kept_with_its_length),
		cmocka_unit_test(test_invalid_utf8_is_refused),
		cmocka_unit_test(test_overlong_forms_surrogates_and_too_high_characters_are_refused),
		cmocka_unit_test(test_khmer_and_characters_beyond_the_bmp_are_kept),
		cmocka_unit_test(test_half_a_surrogate_pair_still_gives_valid_utf8),
		cmocka_unit_test(test_32_levels_are_read_and_33_are_refused),
		cmocka_unit_test(test_numbers_keep_their_digits),
		cmocka_unit_test(test_long_integers_are_read_exactly),
		cmocka_unit_test(test_several_long_integers_are_read_in_one_text),
		cmocka_unit_test(test_what_was_written_with_e0_keeps_it),
		cmocka_unit_test(test_characters_beyond_ascii_can_be_escaped),
		cmocka_unit_test(test_long_integers_are_written_exactly),
		cmocka_unit_test(test_what_is_no_number_is_refused),
		cmocka_unit_test(test_the_same_letters_inside_strings_are_fine),
		cmocka_unit_test(test_is_number_text_is_the_grammar_of_rfc_8259),
		cmocka_unit_test(test_a_slash_is_not_escaped),
		cmocka_unit_test(test_quotes_backslashes_and_controls_are_escaped),
		cmocka_unit_test(test_a_string_is_as_long_as_it_was_given),
		cmocka_unit_test(test_put_with_a_dotted_path_makes_the_objects_on_its_way),
		cmocka_unit_test(test_put_replaces_and_takes_null),
		cmocka_unit_test(test_append_keeps_the_order_and_takes_null),
		cmocka_unit_test(test_a_shared_value_outlives_its_first_owner),
		cmocka_unit_test(test_freeing_and_sharing_nothing_is_allowed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
