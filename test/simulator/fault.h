/*
 * fault.h
 *		Misbehaviour on request.
 */
#ifndef SIM_FAULT_H
#define SIM_FAULT_H

#include "server.h"

typedef struct SimFault SimFault;

/* fault.c */
extern SimFault *sim_fault_find(SimRequest *request);
extern bool sim_fault_has_effect(const SimFault *fault);
extern void sim_fault_apply(SimFault *fault, SimAnswer *answer);
extern int64_t sim_fault_add(json_object *options, const char **mistake);
extern void sim_faults_clear(void);
extern json_object *sim_faults_json(void);

/* patch.c */
extern void sim_patch_apply(SimAnswer *answer, json_object *options);

#endif							/* SIM_FAULT_H */
