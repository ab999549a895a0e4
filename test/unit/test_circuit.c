/*-------------------------------------------------------------------------
 *
 * test_circuit.c
 *	  The circuit breaker and the token bucket, with a clock of ours.
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

#include "bucket.h"
#include "circuit.h"

#define MS INT64_C(1000000)
#define S (1000 * MS)

static const int64_t start = 12345 * INT64_C(1000000000) + 678901;

/* A circuit that three failures have opened. */
static B24Circuit
opened(void)
{
	B24Circuit	circuit = {0};

	for (int i = 0; i < 3; i++)
		b24_circuit_note(&circuit, B24_HEALTH_BAD, 3, start);
	assert_int_equal(circuit.state, B24_CIRCUIT_IS_OPEN);
	return circuit;
}

static void
test_only_failures_in_a_row_open_it(void **state)
{
	B24Circuit	circuit = {0};
	int64_t		wait = 0;

	for (int i = 0; i < 10; i++)
	{
		b24_circuit_note(&circuit, B24_HEALTH_BAD, 3, start);
		b24_circuit_note(&circuit, B24_HEALTH_NONE, 3, start);
		b24_circuit_note(&circuit, B24_HEALTH_BAD, 3, start);
		assert_int_equal(b24_circuit_ask(&circuit, start, &wait), B24_PASSAGE_FREE);
		b24_circuit_note(&circuit, B24_HEALTH_GOOD, 3, start);
	}
	for (int i = 0; i < 1000; i++)
		b24_circuit_note(&circuit, B24_HEALTH_BAD, 0, start);
	assert_int_equal(circuit.state, B24_CIRCUIT_IS_CLOSED);
	assert_int_equal(circuit.failures, 1000);
}

static void
test_it_is_open_for_a_second_and_lets_one_through(void **state)
{
	B24Circuit	circuit = opened();
	int64_t		wait = 0;
	uint32_t	era = circuit.era;

	/* those that are late change nothing */
	b24_circuit_note(&circuit, B24_HEALTH_BAD, 3, start);
	b24_circuit_note(&circuit, B24_HEALTH_GOOD, 3, start);
	assert_int_equal(circuit.failures, 3);
	assert_int_equal(b24_circuit_ask(&circuit, start, &wait), B24_PASSAGE_BARRED);
	assert_true(wait >= S && wait <= S + S / 10);
	assert_int_equal(b24_circuit_ask(&circuit, start + wait - 1, &wait), B24_PASSAGE_BARRED);
	assert_int_equal(wait, 1);
	assert_int_equal(b24_circuit_ask(&circuit, circuit.retry_at, &wait), B24_PASSAGE_PROBE);
	b24_circuit_probe(&circuit, 77, circuit.retry_at);
	assert_int_equal(b24_circuit_ask(&circuit, circuit.retry_at, &wait), B24_PASSAGE_BARRED);
	b24_circuit_probed(&circuit, B24_HEALTH_GOOD, start + 2 * S);
	assert_int_equal(b24_circuit_ask(&circuit, start + 2 * S, &wait), B24_PASSAGE_FREE);
	assert_int_equal(circuit.failures, 0);
	assert_int_equal(circuit.era, era);
}

static void
test_each_failed_probe_doubles_the_time_up_to_a_minute(void **state)
{
	B24Circuit	circuit = opened();
	int64_t		now = start;
	int64_t		expected = S;

	for (int i = 0; i < 20; i++)
	{
		int64_t		wait = 0;

		assert_int_equal(b24_circuit_ask(&circuit, now, &wait), B24_PASSAGE_BARRED);
		assert_true(wait >= expected && wait <= expected + expected / 10);
		now += wait;
		b24_circuit_probe(&circuit, 77, now);
		now += 30 * S + i;
		b24_circuit_probed(&circuit, B24_HEALTH_BAD, now);
		expected = 2 * expected < 60 * S ? 2 * expected : 60 * S;
	}
	assert_int_equal(circuit.failures, 23);
	assert_int_equal(circuit.opened_at, start);

	/* the next time it begins with a second again */
	b24_circuit_probe(&circuit, 77, now);
	b24_circuit_probed(&circuit, B24_HEALTH_GOOD, now);
	b24_circuit_note(&circuit, B24_HEALTH_BAD, 1, now);
	assert_true(circuit.retry_at - now <= S + S / 10);
}

static void
test_a_probe_without_an_outcome_is_repeated(void **state)
{
	B24Circuit	circuit = opened();
	int64_t		now = start + 2 * S;
	int64_t		wait = 0;

	b24_circuit_probe(&circuit, 77, now);
	b24_circuit_give_up(&circuit, now);
	assert_int_equal(b24_circuit_ask(&circuit, now, &wait), B24_PASSAGE_PROBE);

	/* one that says nothing: for as long as before */
	b24_circuit_probe(&circuit, 77, now);
	b24_circuit_probed(&circuit, B24_HEALTH_NONE, now);
	assert_int_equal(b24_circuit_ask(&circuit, now, &wait), B24_PASSAGE_BARRED);
	assert_true(wait >= S && wait <= S + S / 10);

	/* one of which nothing is heard at all */
	now += 2 * S;
	b24_circuit_probe(&circuit, 77, now);
	assert_int_equal(b24_circuit_ask(&circuit, now + 599 * S, &wait), B24_PASSAGE_BARRED);
	assert_int_equal(b24_circuit_ask(&circuit, now + 601 * S, &wait), B24_PASSAGE_PROBE);
}

static void
test_a_reset_closes_it_and_begins_an_era(void **state)
{
	B24Circuit	circuit = opened();
	uint32_t	era = circuit.era;
	int64_t		wait = 0;

	b24_circuit_reset(&circuit);
	assert_int_equal(b24_circuit_ask(&circuit, start, &wait), B24_PASSAGE_FREE);
	assert_int_equal(circuit.failures, 0);
	assert_int_equal(circuit.era, era + 1);
}

static void
test_verdicts(void **state)
{
	int			counts[3] = {0};

	for (int i = 0; i < B24_STATUS_COUNT; i++)
		counts[b24_circuit_health(i)]++;
	assert_int_equal(counts[B24_HEALTH_BAD], 3);
	assert_int_equal(b24_circuit_health(B24_NO_ANSWER), B24_HEALTH_BAD);
	assert_int_equal(b24_circuit_health(B24_UNREACHABLE), B24_HEALTH_BAD);
	assert_int_equal(b24_circuit_health(B24_SERVER_ERROR), B24_HEALTH_BAD);
	assert_int_equal(b24_circuit_health(B24_OK), B24_HEALTH_GOOD);
	assert_int_equal(b24_circuit_health(B24_NOT_FOUND), B24_HEALTH_GOOD);
	assert_int_equal(b24_circuit_health(B24_THROTTLED), B24_HEALTH_GOOD);
	assert_int_equal(b24_circuit_health(B24_BAD_ARGUMENT), B24_HEALTH_NONE);
	assert_int_equal(b24_circuit_health(B24_CIRCUIT_OPEN), B24_HEALTH_NONE);
	assert_int_equal(b24_circuit_health(B24_NONSENSE), B24_HEALTH_NONE);
}

/* In no second are there more than the rate and a full bucket. */
static void
test_no_second_has_more_than_the_rate_and_a_bucket(void **state)
{
	static const int rates[] = {1, 3, 7, 10, 19, 20, 100, 999, 30000};

	for (size_t r = 0; r < COUNT(rates); r++)
	{
		int			rate = rates[r];
		int			count = 0;
		static int64_t taken[200000];
		B24Bucket	bucket = {0};
		int64_t		now = start;

		/* as fast as it can, with pauses */
		while (now < start + 4 * S)
		{
			int64_t		wait = 0;
			int			room = b24_bucket_room(&bucket, rate, now, &wait);

			assert_true(room <= b24_bucket_size(rate));
			if (room == 0)
			{
				assert_true(wait > 0 && wait <= b24_bucket_interval_ns(rate));
				now += wait;
				if (count % 50 == 49)
					now += 333 * MS;
				assert_true(b24_bucket_room(&bucket, rate, now, &wait) > 0);
				continue;
			}
			b24_bucket_take(&bucket, rate, now);
			taken[count++] = now;
		}
		for (int i = 0, j = 0; j < count; j++)
		{
			while (taken[j] - taken[i] >= S)
				i++;
			assert_true(j - i + 1 <= rate + b24_bucket_size(rate));
		}
		assert_true(count >= rate);
	}
}

static void
test_a_rate_that_is_changed_takes_effect_at_once(void **state)
{
	B24Bucket	bucket = {0};
	int64_t		wait = 0;

	b24_bucket_take(&bucket, 1, start);
	assert_int_equal(b24_bucket_room(&bucket, 1, start, &wait), 0);
	assert_int_equal(wait, S);
	assert_int_equal(b24_bucket_room(&bucket, 1000, start, &wait), 0);
	assert_int_equal(wait, MS);
	b24_bucket_take(&bucket, 1000, start + MS);
	assert_true(b24_bucket_room(&bucket, 1000, start + 2 * MS, &wait) >= 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_only_failures_in_a_row_open_it),
		cmocka_unit_test(test_it_is_open_for_a_second_and_lets_one_through),
		cmocka_unit_test(test_each_failed_probe_doubles_the_time_up_to_a_minute),
		cmocka_unit_test(test_a_probe_without_an_outcome_is_repeated),
		cmocka_unit_test(test_a_reset_closes_it_and_begins_an_era),
		cmocka_unit_test(test_verdicts),
		cmocka_unit_test(test_no_second_has_more_than_the_rate_and_a_bucket),
		cmocka_unit_test(test_a_rate_that_is_changed_takes_effect_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
