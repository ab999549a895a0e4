/*-------------------------------------------------------------------------
 *
 * test_status.c
 *	  The table of outcomes, and problem texts.
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

#include <ctype.h>

static void
test_every_status_has_a_complete_row(void **state)
{
	for (int i = 0; i < B24_STATUS_COUNT; i++)
	{
		const B24StatusInfo *info = b24_status_info(i);

		assert_non_null(info->name);
		assert_non_null(info->message);
		assert_non_null(info->sqlstate);
		assert_int_equal(strlen(info->sqlstate), 5);
		for (int j = 0; j < 5; j++)
			assert_true(isdigit((unsigned char) info->sqlstate[j]) ||
						isupper((unsigned char) info->sqlstate[j]));
		for (const char *p = info->name; *p != '\0'; p++)
			assert_true(islower((unsigned char) *p) || *p == '_');
	}
}

static void
test_names_are_unique(void **state)
{
	for (int i = 0; i < B24_STATUS_COUNT; i++)
	{
		for (int j = 0; j < i; j++)
			assert_string_not_equal(b24_status_info(i)->name, b24_status_info(j)->name);
	}
}

/* Trying again by itself must be harmless for these, and for no others. */
static void
test_only_what_had_no_effect_may_be_retried_freely(void **state)
{
	for (int i = 0; i < B24_STATUS_COUNT; i++)
	{
		bool		harmless = i == B24_NO_MEMORY || i == B24_UNREACHABLE ||
			i == B24_THROTTLED || i == B24_CIRCUIT_OPEN || i == B24_KEY_REFUSED;
		bool		unknown = i == B24_NO_ANSWER || i == B24_NONSENSE ||
			i == B24_TOO_LARGE || i == B24_SERVER_ERROR;
		B24Retry	retry = b24_status_info(i)->retry;

		assert_true((retry == B24_RETRY_FREELY) == harmless);
		assert_true((retry == B24_RETRY_AFTER_LOOKUP) == unknown);
		assert_true((retry == B24_RETRY_AFTER_LOGIN) == (i == B24_UNAUTHORIZED));
	}
}

static void
test_a_status_out_of_range_is_refused(void **state)
{
	assert_ptr_equal(b24_status_info(B24_STATUS_COUNT), b24_status_info(B24_REFUSED));
	assert_ptr_equal(b24_status_info(99), b24_status_info(B24_REFUSED));
}

static void
test_a_problem_returns_its_status_and_formats_its_text(void **state)
{
	B24Problem	problem;

	assert_int_equal(b24_problem(&problem, B24_TOO_LONG, "%s is %d", "it", 7), B24_TOO_LONG);
	assert_int_equal(problem.status, B24_TOO_LONG);
	assert_string_equal(problem.text, "it is 7");
}

/* Wherever the text is cut off, no character is. */
static void
test_a_long_problem_is_cut_between_characters(void **state)
{
	char		khmer[901] = "";

	for (int i = 0; i < 300; i++)
		strcat(khmer, "ក");
	for (int shift = 0; shift < 4; shift++)
	{
		B24Problem	problem;
		size_t		length;

		b24_problem(&problem, B24_INVALID, "%.*s%s", shift, "abc", khmer);
		length = strlen(problem.text);
		assert_true(length < sizeof(problem.text));
		assert_true(length > sizeof(problem.text) - 8);
		assert_true(is_utf8(problem.text, length));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_status_has_a_complete_row),
		cmocka_unit_test(test_names_are_unique),
		cmocka_unit_test(test_only_what_had_no_effect_may_be_retried_freely),
		cmocka_unit_test(test_a_status_out_of_range_is_refused),
		cmocka_unit_test(test_a_problem_returns_its_status_and_formats_its_text),
		cmocka_unit_test(test_a_long_problem_is_cut_between_characters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
