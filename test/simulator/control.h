/*
 * control.h
 *		What tests say to the simulator itself, under /_sim/.
 *
 * These paths need no token, are never hit by a fault and are not counted.
 * Their answers have no member "code", so that no client of the API can take
 * one for a success.
 */
#ifndef SIM_CONTROL_H
#define SIM_CONTROL_H

#include "server.h"

/* control.c: behaviour and counters */
extern void control_reset(SimRequest *request, SimAnswer *answer);
extern void control_stats(SimRequest *request, SimAnswer *answer);
extern void control_effects(SimRequest *request, SimAnswer *answer);
extern void control_get_config(SimRequest *request, SimAnswer *answer);
extern void control_set_config(SimRequest *request, SimAnswer *answer);
extern void control_list_faults(SimRequest *request, SimAnswer *answer);
extern void control_add_fault(SimRequest *request, SimAnswer *answer);
extern void control_clear_faults(SimRequest *request, SimAnswer *answer);
extern void control_requests(SimRequest *request, SimAnswer *answer);

/* control_state.c: what the provider knows */
extern void control_expire_tokens(SimRequest *request, SimAnswer *answer);
extern void control_topup(SimRequest *request, SimAnswer *answer);
extern void control_topup_many(SimRequest *request, SimAnswer *answer);
extern void control_set_customer(SimRequest *request, SimAnswer *answer);
extern void control_remove_customer(SimRequest *request, SimAnswer *answer);
extern void control_seed(SimRequest *request, SimAnswer *answer);
extern void control_seed_bills(SimRequest *request, SimAnswer *answer);
extern void control_customers(SimRequest *request, SimAnswer *answer);

#endif							/* SIM_CONTROL_H */
