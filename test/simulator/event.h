/*
 * event.h
 *		Changes of the state, as JSON objects whose member "event" names the
 *		kind.  A change is applied and written to the journal before its
 *		answer is sent; the journal is replayed by applying it again.
 */
#ifndef SIM_EVENT_H
#define SIM_EVENT_H

#include "sim.h"

/* event.c */
extern json_object *sim_event_new(const char *kind);
extern void sim_commit(json_object *event);
extern bool sim_event_apply(json_object *event);
extern void sim_state_reset(bool tokens);

/* journal.c */
extern void sim_journal_open(const char *path);
extern void sim_journal_write(json_object *event);
extern void sim_journal_truncate(void);

#endif							/* SIM_EVENT_H */
