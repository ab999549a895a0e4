/*-------------------------------------------------------------------------
 *
 * circuit.c
 *	  A circuit breaker: who does not answer is left alone for a while.
 *
 * So many failures in a row open it.  After a second one request, the probe,
 * is let through: its success closes the circuit, its failure opens it for
 * twice as long, up to a minute.
 *
 *-------------------------------------------------------------------------
 */
#include "circuit.h"

#define MS INT64_C(1000000)

#define FIRST_OPEN_NS (1000 * MS)
#define LONGEST_OPEN_NS (60000 * MS)

/* Up to this part more, so that several databases do not probe in step. */
#define JITTER 10

/* How soon to ask again while another probes. */
#define PROBED_WAIT_NS (200 * MS)

/* A process that was stopped in the middle of a probe stops nobody else. */
#define LOST_PROBE_NS (600000 * MS)

/*
 * Whatever the provider decides, it decides: only what has no answer, or
 * failed for its own sake, is bad.  What cannot be read is neither, as it may
 * be a defect of one operation only, and so is what was found on our side.
 */
B24Health
b24_circuit_health(B24Status status)
{
	switch (status)
	{
		case B24_NO_ANSWER:
		case B24_UNREACHABLE:
		case B24_SERVER_ERROR:
			return B24_HEALTH_BAD;
		case B24_OK:
		case B24_TOO_LARGE:
			return B24_HEALTH_GOOD;
		default:
			return status >= B24_UNAUTHORIZED && status < B24_STATUS_COUNT ?
				B24_HEALTH_GOOD : B24_HEALTH_NONE;
	}
}

/* May a request be sent now?  If it is barred, wait_ns says for how long. */
B24Passage
b24_circuit_ask(const B24Circuit *circuit, int64_t now, int64_t *wait_ns)
{
	if (circuit->state == B24_CIRCUIT_IS_CLOSED)
		return B24_PASSAGE_FREE;
	if (circuit->state == B24_CIRCUIT_IS_OPEN)
	{
		if (now >= circuit->retry_at)
			return B24_PASSAGE_PROBE;
		*wait_ns = circuit->retry_at - now;
		return B24_PASSAGE_BARRED;
	}
	if (now >= circuit->probe_until)
		return B24_PASSAGE_PROBE;
	*wait_ns = PROBED_WAIT_NS;
	return B24_PASSAGE_BARRED;
}

/* The one request that may pass now is that of this process. */
void
b24_circuit_probe(B24Circuit *circuit, int process, int64_t now)
{
	circuit->state = B24_CIRCUIT_IS_PROBED;
	circuit->prober = process;
	circuit->probe_until = now + LOST_PROBE_NS;
}

static void
open_circuit(B24Circuit *circuit, int64_t open_ns, int64_t now)
{
	/* the clock's last digits are as good as any die */
	int64_t		jitter = (now / 1000 % 1000) * (open_ns / JITTER) / 1000;

	circuit->state = B24_CIRCUIT_IS_OPEN;
	circuit->prober = 0;
	circuit->open_ns = open_ns;
	circuit->retry_at = now + open_ns + jitter;
}

/*
 * The outcome of a request that was sent while the circuit was closed, and
 * has not been opened since.  Zero most_failures: it never opens.
 */
void
b24_circuit_note(B24Circuit *circuit, B24Health health, int most_failures,
				 int64_t now)
{
	if (circuit->state != B24_CIRCUIT_IS_CLOSED)
		return;
	if (health == B24_HEALTH_GOOD)
		circuit->failures = 0;
	else if (health == B24_HEALTH_BAD)
	{
		if (circuit->failures < INT32_MAX)
			circuit->failures++;
		if (most_failures > 0 && circuit->failures >= most_failures)
		{
			circuit->era++;
			circuit->opened_at = now;
			open_circuit(circuit, FIRST_OPEN_NS, now);
		}
	}
}

/*
 * The outcome of the probe.  One that says nothing leaves the circuit open,
 * for no longer than before.
 */
void
b24_circuit_probed(B24Circuit *circuit, B24Health health, int64_t now)
{
	int64_t		open_ns = circuit->open_ns;

	if (health == B24_HEALTH_GOOD)
	{
		circuit->state = B24_CIRCUIT_IS_CLOSED;
		circuit->prober = 0;
		circuit->failures = 0;
		return;
	}
	if (health == B24_HEALTH_BAD)
	{
		if (circuit->failures < INT32_MAX)
			circuit->failures++;
		open_ns = open_ns < LONGEST_OPEN_NS / 2 ? 2 * open_ns : LONGEST_OPEN_NS;
	}
	open_circuit(circuit, open_ns, now);
}

/* The probe came to no end: the next request is one. */
void
b24_circuit_give_up(B24Circuit *circuit, int64_t now)
{
	circuit->state = B24_CIRCUIT_IS_OPEN;
	circuit->prober = 0;
	circuit->retry_at = now;
}

/* Closes it, whatever was; what is under way counts no more. */
void
b24_circuit_reset(B24Circuit *circuit)
{
	uint32_t	era = circuit->era + 1;

	*circuit = (B24Circuit) {.era = era};
}
