/*-------------------------------------------------------------------------
 *
 * serverlimits.h
 *	  Load control: how much a server is asked at once, by everybody.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_SERVERLIMITS_H
#define BILL24_SERVERLIMITS_H

#include "circuit.h"
#include "shared.h"

/* What a server's options say. */
typedef struct B24Limits
{
	Oid			serverid;
	int			max_in_flight;
	int			max_per_second; /* 0: any number */
	int			circuit_failures;	/* 0: the circuit never opens */
} B24Limits;

typedef enum B24Admission
{
	B24_ADMITTED,
	B24_BUSY,
	B24_CIRCUIT_OPEN_NOW
} B24Admission;

/* A server as it is now, for people. */
typedef struct B24LimitsState
{
	Oid			serverid;
	int			direct;			/* in flight */
	int			workers;
	int			last_status;	/* a B24Status; -1: none yet */
	B24Circuit	circuit;
} B24LimitsState;

extern B24SharedPart b24_limits_part;

extern B24Admission b24_limits_enter(const B24Limits *limits, bool worker,
									 long *wait_ms);
extern void b24_limits_leave(const B24Limits *limits, bool worker,
							 B24Status status, bool was_tried);

extern int	b24_limits_states(B24LimitsState **states);
extern void b24_limits_reset(Oid serverid);

#endif							/* BILL24_SERVERLIMITS_H */
