/*-------------------------------------------------------------------------
 *
 * test_verdict.c
 *	  What an outcome means for a job of the outbox.
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

#include "verdict.h"

static const B24Endpoint *
operation(const char *name)
{
	const B24Endpoint *endpoint = b24_endpoint_find(name);

	assert_non_null(endpoint);
	return endpoint;
}

static B24Verdict
sent(const char *name, int attempt, B24Status status)
{
	B24Reply	reply = {.status = status};

	return b24_verdict_sent(operation(name), attempt, &reply, false);
}

static B24Verdict
looked_up(const char *name, const char *arguments, B24Status status,
		  const char *result, B24Problem *problem)
{
	B24Reply	reply = {.status = status};
	B24Json    *asked = json(arguments);
	B24Verdict	verdict;

	reply.result = result != NULL ? json(result) : NULL;
	verdict = b24_verdict_looked_up(operation(name), asked, &reply, problem);
	b24_json_free(asked);
	b24_json_free(reply.result);
	return verdict;
}

static const char *const changes[] = {
	"create_customer", "update_customer", "delete_customer", "settle_payment",
	"onboard_sub_biller", "add_link_account"
};

static void
test_success_is_done(void **state)
{
	for (size_t i = 0; i < COUNT(changes); i++)
		assert_int_equal(sent(changes[i], 1, B24_OK), B24_VERDICT_DONE);
}

/* Whatever the outcome, what may have been done is never simply sent again. */
static void
test_what_may_have_been_done_is_not_sent_again_blindly(void **state)
{
	for (size_t i = 0; i < COUNT(changes); i++)
	{
		for (int status = 0; status < B24_STATUS_COUNT; status++)
		{
			B24Verdict	verdict = sent(changes[i], 3, status);
			B24Step		step = b24_step(operation(changes[i]), true, false);

			if (b24_status_info(status)->retry != B24_RETRY_AFTER_LOOKUP)
				continue;
			if (step == B24_STEP_PARK)
				assert_int_equal(verdict, B24_VERDICT_PARKED);
			else
				assert_int_equal(verdict, B24_VERDICT_UNKNOWN);
		}
	}
}

static void
test_how_an_unknown_outcome_is_found_out(void **state)
{
	assert_int_equal(b24_step(operation("create_customer"), true, false), B24_STEP_LOOK_UP);
	assert_int_equal(b24_step(operation("update_customer"), true, false), B24_STEP_SEND);
	assert_int_equal(b24_step(operation("delete_customer"), true, false), B24_STEP_SEND);
	assert_int_equal(b24_step(operation("settle_payment"), true, false), B24_STEP_LOOK_UP);
	assert_int_equal(b24_step(operation("onboard_sub_biller"), true, false), B24_STEP_PARK);
	assert_int_equal(b24_step(operation("add_link_account"), true, false), B24_STEP_PARK);
	for (size_t i = 0; i < COUNT(changes); i++)
		assert_int_equal(b24_step(operation(changes[i]), false, false), B24_STEP_SEND);
}

/* Every operation that is looked up has all that is needed for it. */
static void
test_look_ups_are_complete(void **state)
{
	for (int i = 0; i < B24_EP_COUNT; i++)
	{
		const B24Endpoint *e = &b24_endpoints[i];

		assert_true(e->changes || e->recovery == B24_RECOVER_BY_HAND);
		if (e->recovery != B24_RECOVER_LOOK_UP)
			continue;
		assert_non_null(e->lookup);
		assert_non_null(e->lookup_by);
		assert_non_null(e->found);
		assert_false(operation(e->lookup)->changes);
	}
}

static void
test_refusals_fail_at_once(void **state)
{
	static const B24Status refusals[] = {
		B24_REFUSED, B24_INSUFFICIENT_FUNDS, B24_NOT_FOUND, B24_ALREADY_EXISTS,
		B24_ALREADY_PAID, B24_INVALID, B24_BALANCE_NOT_ZERO, B24_PAYMENT_TOKEN
	};

	for (size_t i = 0; i < COUNT(changes); i++)
	{
		for (size_t j = 0; j < COUNT(refusals); j++)
			assert_int_equal(sent(changes[i], 1, refusals[j]), B24_VERDICT_FAILED);
	}
}

static void
test_the_second_attempt_may_meet_the_first(void **state)
{
	assert_int_equal(sent("create_customer", 2, B24_ALREADY_EXISTS), B24_VERDICT_UNKNOWN);
	assert_int_equal(sent("settle_payment", 2, B24_ALREADY_EXISTS), B24_VERDICT_UNKNOWN);
	assert_int_equal(sent("settle_payment", 2, B24_ALREADY_PAID), B24_VERDICT_UNKNOWN);
	assert_int_equal(sent("delete_customer", 2, B24_NOT_FOUND), B24_VERDICT_DONE);
	assert_int_equal(sent("update_customer", 2, B24_NOT_FOUND), B24_VERDICT_FAILED);
	assert_int_equal(sent("create_customer", 2, B24_INVALID), B24_VERDICT_FAILED);
}

static void
test_what_had_no_effect_is_tried_again(void **state)
{
	static const B24Status harmless[] = {
		B24_UNREACHABLE, B24_THROTTLED, B24_NO_MEMORY, B24_UNAUTHORIZED
	};

	for (size_t i = 0; i < COUNT(changes); i++)
	{
		for (size_t j = 0; j < COUNT(harmless); j++)
			assert_int_equal(sent(changes[i], 5, harmless[j]), B24_VERDICT_RETRY);
	}
}

/* A login that failed tells nothing about the job: it was not sent. */
static void
test_a_failed_login_is_no_refusal(void **state)
{
	for (int status = B24_UNREACHABLE; status < B24_STATUS_COUNT; status++)
	{
		B24Reply	reply = {.status = status, .of_login = true};
		B24Problem	problem;

		assert_int_equal(b24_verdict_sent(operation("settle_payment"), 1, &reply, false),
						 B24_VERDICT_RETRY);
		assert_int_equal(b24_verdict_looked_up(operation("settle_payment"), NULL,
											   &reply, &problem), B24_VERDICT_UNKNOWN);
	}
}

static void
test_what_is_not_set_up_waits_for_a_person(void **state)
{
	B24Problem	problem;

	assert_int_equal(sent("create_customer", 1, B24_NO_MAPPING), B24_VERDICT_PARKED);
	assert_int_equal(sent("settle_payment", 1, B24_NO_CREDENTIAL), B24_VERDICT_PARKED);
	assert_int_equal(sent("create_customer", 1, B24_CREDENTIALS_FILE), B24_VERDICT_PARKED);
	assert_int_equal(looked_up("create_customer", "{}", B24_NO_MAPPING, NULL, &problem),
					 B24_VERDICT_PARKED);
}

#define CUSTOMER "{\"sync_code\":\"C1\",\"name\":\"A\",\"phone\":\"012\"}"

static void
test_a_customer_that_is_ours(void **state)
{
	static const char *const same[] = {
		"{\"sync_code\":\"C1\",\"name\":\"A\",\"phone\":\"012\",\"name_kh\":null,\"email\":null}",
		"{\"sync_code\":\"C1\",\"name\":\"A\",\"phone\":\"012\",\"email\":\"\",\"walletBalances\":[]}",
	};
	static const char *const other[] = {
		"{\"sync_code\":\"C1\",\"name\":\"B\",\"phone\":\"012\"}",
		"{\"sync_code\":\"C1\",\"name\":\"A\"}",
		"{\"sync_code\":\"C1\",\"name\":\"A\",\"phone\":\"012\",\"email\":\"x@y.z\"}",
	};
	static const char *const nonsense[] = {
		"{\"sync_code\":\"C2\",\"name\":\"A\",\"phone\":\"012\"}",
		"{\"name\":\"A\",\"phone\":\"012\"}",
		"{}", "[]", "5",
	};
	B24Problem	problem;

	for (size_t i = 0; i < COUNT(same); i++)
		assert_int_equal(looked_up("create_customer", CUSTOMER, B24_OK, same[i], &problem),
						 B24_VERDICT_DONE);
	for (size_t i = 0; i < COUNT(other); i++)
	{
		assert_int_equal(looked_up("create_customer", CUSTOMER, B24_OK, other[i], &problem),
						 B24_VERDICT_PARKED);
		assert_int_equal(problem.status, B24_ALREADY_EXISTS);
	}
	for (size_t i = 0; i < COUNT(nonsense); i++)
		assert_int_equal(looked_up("create_customer", CUSTOMER, B24_OK, nonsense[i], &problem),
						 B24_VERDICT_UNKNOWN);
	assert_int_equal(looked_up("create_customer", CUSTOMER, B24_NOT_FOUND, NULL, &problem),
					 B24_VERDICT_SEND);
}

#define BILL "{\"ref_id\":\"R1\",\"sync_code\":\"C1\",\"amount\":100,\"currency\":\"KHR\"}"
#define FOUND(ref_, code_, amount_, currency_, status_) \
	"{\"ref_id\":\"" ref_ "\",\"customer_sync_code\":\"" code_ "\",\"total_amount\":" amount_ \
	",\"currency\":\"" currency_ "\",\"bill_status\":\"" status_ "\"}"

static void
test_a_bill_that_is_ours(void **state)
{
	static const char *const other[] = {
		FOUND("R1", "C1", "100", "KHR", "unpaid"),
		FOUND("R1", "C1", "100", "KHR", "PAID"),
		FOUND("R1", "C1", "100", "KHR", ""),
		FOUND("R1", "C2", "100", "KHR", "paid"),
		FOUND("R1", "C1", "100.01", "KHR", "paid"),
		FOUND("R1", "C1", "1000", "KHR", "paid"),
		FOUND("R1", "C1", "100", "USD", "paid"),
		FOUND("R1", "C1", "null", "KHR", "paid"),
	};
	static const char *const ours[] = {"100", "100.0", "100.00"};
	B24Problem	problem;

	for (size_t i = 0; i < COUNT(other); i++)
		assert_int_equal(looked_up("settle_payment", BILL, B24_OK, other[i], &problem),
						 B24_VERDICT_PARKED);
	for (size_t i = 0; i < COUNT(ours); i++)
	{
		char		found[256];

		snprintf(found, sizeof(found), FOUND("R1", "C1", "%s", "KHR", "paid"), ours[i]);
		assert_int_equal(looked_up("settle_payment", BILL, B24_OK, found, &problem),
						 B24_VERDICT_DONE);
	}
	assert_int_equal(looked_up("settle_payment", BILL, B24_OK,
							   FOUND("R2", "C1", "100", "KHR", "paid"), &problem),
					 B24_VERDICT_UNKNOWN);
	assert_int_equal(looked_up("settle_payment", BILL, B24_NOT_FOUND, NULL, &problem),
					 B24_VERDICT_SEND);
}

/* A look-up that went wrong is repeated; one that is refused is not. */
static void
test_a_look_up_that_fails(void **state)
{
	B24Problem	problem;

	assert_int_equal(looked_up("create_customer", CUSTOMER, B24_NO_ANSWER, NULL, &problem),
					 B24_VERDICT_UNKNOWN);
	assert_int_equal(looked_up("create_customer", CUSTOMER, B24_SERVER_ERROR, NULL, &problem),
					 B24_VERDICT_UNKNOWN);
	assert_int_equal(looked_up("create_customer", CUSTOMER, B24_THROTTLED, NULL, &problem),
					 B24_VERDICT_UNKNOWN);
	assert_int_equal(looked_up("create_customer", CUSTOMER, B24_REFUSED, NULL, &problem),
					 B24_VERDICT_PARKED);
}

static void
test_backoff(void **state)
{
	assert_int_equal(b24_backoff_ms(1, 1000, -1, 0.0), 0);
	assert_int_equal(b24_backoff_ms(1, 1000, -1, 0.5), 500);
	assert_int_equal(b24_backoff_ms(2, 1000, -1, 0.5), 1000);
	assert_int_equal(b24_backoff_ms(5, 1000, -1, 0.5), 8000);
	assert_int_equal(b24_backoff_ms(1, 1000, 7, 0.0), 7000);
	assert_int_equal(b24_backoff_ms(1, 1000, 7, 0.5), 7500);

	/* a day at most, however often and whatever is asked for */
	assert_true(b24_backoff_ms(1000000, 1000, -1, 0.999) <= 24L * 3600 * 1000);
	assert_true(b24_backoff_ms(20, 3600 * 1000, -1, 0.999) <= 24L * 3600 * 1000);
	assert_true(b24_backoff_ms(1, 1, 1000000000L, 0.0) <= 24L * 3600 * 1000);

	/* with the defaults, twenty attempts take some days */
	{
		double		total_ms = 0;

		for (int attempt = 1; attempt < 20; attempt++)
			total_ms += b24_backoff_ms(attempt, 1000, -1, 0.5);
		assert_true(total_ms > 1.0 * 86400 * 1000);
		assert_true(total_ms < 7.0 * 86400 * 1000);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_success_is_done),
		cmocka_unit_test(test_what_may_have_been_done_is_not_sent_again_blindly),
		cmocka_unit_test(test_how_an_unknown_outcome_is_found_out),
		cmocka_unit_test(test_look_ups_are_complete),
		cmocka_unit_test(test_refusals_fail_at_once),
		cmocka_unit_test(test_the_second_attempt_may_meet_the_first),
		cmocka_unit_test(test_what_had_no_effect_is_tried_again),
		cmocka_unit_test(test_a_failed_login_is_no_refusal),
		cmocka_unit_test(test_what_is_not_set_up_waits_for_a_person),
		cmocka_unit_test(test_a_customer_that_is_ours),
		cmocka_unit_test(test_a_bill_that_is_ours),
		cmocka_unit_test(test_a_look_up_that_fails),
		cmocka_unit_test(test_backoff),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
