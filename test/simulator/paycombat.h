/*
 * paycombat.h
 *		The customer operations of PayCombat.
 *
 * What is answered follows the pages of the API.  They have no word about
 * failures: an envelope with "status": false and a message, under an HTTP
 * status that fits, is a guess.
 */
#ifndef SIM_PAYCOMBAT_H
#define SIM_PAYCOMBAT_H

#include "server.h"

/* Whether data has the customer, or wraps one more envelope around it. */
typedef enum PaycombatShape
{
	PAYCOMBAT_SINGLE,
	PAYCOMBAT_DOUBLE
} PaycombatShape;

/* paycombat.c */
extern bool paycombat_guard(SimRequest *request, SimAnswer *answer);
extern void paycombat_success(SimAnswer *answer, json_object *data,
							  PaycombatShape documented);
extern void paycombat_refuse(SimAnswer *answer, unsigned int status,
							 const char *message);

/* paycombat_customer.c */
extern void paycombat_create(SimRequest *request, SimAnswer *answer);
extern void paycombat_update(SimRequest *request, SimAnswer *answer);
extern void paycombat_get(SimRequest *request, SimAnswer *answer);
extern void paycombat_disable(SimRequest *request, SimAnswer *answer);
extern void paycombat_delete(SimRequest *request, SimAnswer *answer);
extern void paycombat_apply(json_object *event);
extern void paycombat_reset(void);

/* paycombat_text.c */
extern char *paycombat_stringify(json_object *json);

#endif							/* SIM_PAYCOMBAT_H */
