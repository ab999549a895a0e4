/*
 * control.c
 *		Control of behaviour: configuration, faults, counters.
 */
#include "control.h"
#include "bill24.h"
#include "event.h"
#include "fault.h"
#include "state.h"

#include <stdlib.h>

#define LIST_LIMIT	1000		/* where none is asked for */

static void
answer_ok(SimAnswer *answer)
{
	json_object *object = json_object_new_object();

	sim_put(object, "ok", json_object_new_boolean(true));
	sim_answer_json(answer, MHD_HTTP_OK, object);
}

/*
 * Back to the start: state, faults, counters, configuration.  Requests that
 * hang are let go.
 */
void
control_reset(SimRequest *request, SimAnswer *answer)
{
	sim_faults_clear();
	sim_loop_release();
	sim_config_reset();
	sim_server_stats_reset();
	bill24_token_stats_reset();
	sim_record_reset();
	sim_state_reset(sim_boolean(request->json, "tokens", false));
	answer_ok(answer);
}

void
control_stats(SimRequest *request, SimAnswer *answer)
{
	json_object *object = sim_server_stats();

	(void) request;
	sim_put(object, "authorize", bill24_authorize_stats());
	sim_put_int(object, "unauthorized", bill24_unauthorized_count());
	sim_put(object, "effects", sim_effect_totals_json());
	sim_answer_json(answer, MHD_HTTP_OK, object);
}

/* With a key its counts, without one the list. */
void
control_effects(SimRequest *request, SimAnswer *answer)
{
	char	   *key = sim_request_query(request, "key");

	sim_answer_json(answer, MHD_HTTP_OK, key != NULL ?
					sim_effect_key_json(key) :
					sim_effect_list_json(
						sim_request_number(request, "from", 1),
						sim_request_number(request, "limit", LIST_LIMIT)));
	free(key);
}

void
control_get_config(SimRequest *request, SimAnswer *answer)
{
	(void) request;
	sim_answer_json(answer, MHD_HTTP_OK, sim_config_json());
}

void
control_set_config(SimRequest *request, SimAnswer *answer)
{
	const char *mistake;

	if (!json_object_is_type(request->json, json_type_object))
	{
		sim_answer_error(answer, MHD_HTTP_BAD_REQUEST, "no JSON object");
		return;
	}
	mistake = sim_config_set(request->json);
	if (mistake != NULL)
		sim_answer_error(answer, MHD_HTTP_BAD_REQUEST,
						 "unknown setting or wrong value: %s", mistake);
	else
		control_get_config(request, answer);
}

void
control_list_faults(SimRequest *request, SimAnswer *answer)
{
	(void) request;
	sim_answer_json(answer, MHD_HTTP_OK, sim_faults_json());
}

void
control_add_fault(SimRequest *request, SimAnswer *answer)
{
	json_object *object;
	const char *mistake;
	int64_t		id = sim_fault_add(request->json, &mistake);

	if (id == 0)
	{
		sim_answer_error(answer, MHD_HTTP_BAD_REQUEST,
						 "missing, unknown or wrong: %s", mistake);
		return;
	}
	object = json_object_new_object();
	sim_put_int(object, "fault", id);
	sim_answer_json(answer, MHD_HTTP_OK, object);
}

/* Requests that hang by one of the faults are let go with it. */
void
control_clear_faults(SimRequest *request, SimAnswer *answer)
{
	(void) request;
	sim_faults_clear();
	sim_loop_release();
	answer_ok(answer);
}

void
control_requests(SimRequest *request, SimAnswer *answer)
{
	sim_answer_json(answer, MHD_HTTP_OK,
					sim_record_json(sim_request_number(request, "n", -1)));
}
