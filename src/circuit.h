/*-------------------------------------------------------------------------
 *
 * circuit.h
 *	  A circuit breaker: who does not answer is left alone for a while.
 *
 * Floor A.  The caller has the clock, in nanoseconds, and the lock.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_CIRCUIT_H
#define BILL24_CIRCUIT_H

#include <stdbool.h>
#include <stdint.h>

#include "status.h"

typedef enum B24CircuitState
{
	B24_CIRCUIT_IS_CLOSED,		/* all is well; must be 0 */
	B24_CIRCUIT_IS_OPEN,		/* nothing is sent until retry_at */
	B24_CIRCUIT_IS_PROBED		/* one request is under way to find out */
} B24CircuitState;

/* All zeroes is a closed one. */
typedef struct B24Circuit
{
	B24CircuitState state;
	uint32_t	era;			/* counts the openings and the resets */
	int			failures;		/* one after the other, probes included */
	int			prober;			/* the process that probes, 0 for none */
	int64_t		open_ns;		/* how long it is open this time */
	int64_t		opened_at;		/* while it is not closed */
	int64_t		retry_at;
	int64_t		probe_until;	/* then the probe counts as lost */
} B24Circuit;

/* What an outcome says of the server. */
typedef enum B24Health
{
	B24_HEALTH_NONE,
	B24_HEALTH_GOOD,
	B24_HEALTH_BAD
} B24Health;

typedef enum B24Passage
{
	B24_PASSAGE_FREE,
	B24_PASSAGE_PROBE,			/* yes, if this one is the probe */
	B24_PASSAGE_BARRED
} B24Passage;

extern B24Health b24_circuit_health(B24Status status);
extern B24Passage b24_circuit_ask(const B24Circuit *circuit, int64_t now,
								  int64_t *wait_ns);
extern void b24_circuit_probe(B24Circuit *circuit, int process, int64_t now);
extern void b24_circuit_note(B24Circuit *circuit, B24Health health,
							 int most_failures, int64_t now);
extern void b24_circuit_probed(B24Circuit *circuit, B24Health health,
							   int64_t now);
extern void b24_circuit_give_up(B24Circuit *circuit, int64_t now);
extern void b24_circuit_reset(B24Circuit *circuit);

#endif							/* BILL24_CIRCUIT_H */
