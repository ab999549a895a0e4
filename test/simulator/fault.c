/*
 * fault.c
 *		Misbehaviour on request: which requests it hits, and what becomes of
 *		their answers.
 *
 * A request is hit by the first fault that matches it, in the order in which
 * they were asked for; faults of kind "delay" are an exception, they add to
 * each other and to another fault.
 */
#include "bill24.h"
#include "fault.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

typedef void (*FaultAction) (SimFault *fault, SimAnswer *answer);

typedef struct FaultKind
{
	const char *name;
	bool		effect;			/* is the request carried out, unless said? */
	FaultAction action;			/* NULL: only the common members count */
} FaultKind;

struct SimFault
{
	int64_t		id;
	const FaultKind *kind;
	const char *path;			/* in the options; "*": any */
	const char *match;			/* in the options; NULL: any */
	int64_t		skip;			/* matching requests still to be let through */
	int64_t		count;			/* requests still to be hit; negative: all */
	double		probability;
	bool		effect;
	int64_t		hits;
	json_object *options;		/* as asked for */
	SimFault   *prev;
	SimFault   *next;
};

static SimFault *faults;
static int64_t last_id;

/* Replace the answer by bytes that are given away. */
static void
replace_body(SimAnswer *answer, void *bytes, size_t size,
			 const char *content_type)
{
	unsigned int status = answer->status;

	json_object_put(answer->headers);
	answer->headers = NULL;
	sim_answer_bytes(answer, status == 0 ? MHD_HTTP_OK : status, bytes, size);
	sim_answer_header(answer, "Content-Type", content_type);
}

static void
act_hang(SimFault *fault, SimAnswer *answer)
{
	(void) fault;
	answer->delivery = SIM_HANG;
}

static void
act_drop(SimFault *fault, SimAnswer *answer)
{
	(void) fault;
	answer->delivery = SIM_DROP;
}

static void
act_reset(SimFault *fault, SimAnswer *answer)
{
	(void) fault;
	answer->delivery = SIM_RESET;
}

static void
act_half(SimFault *fault, SimAnswer *answer)
{
	(void) fault;
	answer->delivery = SIM_HALF;
}

static void
act_unauthorized(SimFault *fault, SimAnswer *answer)
{
	(void) fault;
	bill24_unauthorized(answer);
}

/* The body as a text, in Base64, or as a JSON value of its own. */
static void
act_body(SimFault *fault, SimAnswer *answer)
{
	json_object *body = json_object_object_get(fault->options, "body");
	const char *encoded = sim_text(fault->options, "body_base64");
	char	   *bytes;
	size_t		size = 0;

	if (encoded != NULL)
		bytes = (char *) sim_base64_decode(encoded, &size);
	else
	{
		size = body == NULL ? 0 :
			json_object_is_type(body, json_type_string) ?
			(size_t) json_object_get_string_len(body) :
			strlen(json_object_get_string(body));
		bytes = sim_alloc(size + 1);
		memcpy(bytes, body == NULL ? "" : json_object_get_string(body), size);
	}
	replace_body(answer, bytes, size, size > 0 && *bytes == '{' ?
				 "application/json" : "text/plain");
}

static void
act_status(SimFault *fault, SimAnswer *answer)
{
	act_body(fault, answer);
	answer->status = MHD_HTTP_INTERNAL_SERVER_ERROR;
}

static void
act_garbage(SimFault *fault, SimAnswer *answer)
{
	size_t		size = (size_t) sim_integer(fault->options, "bytes", 256);
	unsigned char *bytes = sim_alloc(size + 1);

	for (size_t i = 0; i < size; i++)
		bytes[i] = (unsigned char) sim_random();
	replace_body(answer, bytes, size, "application/json");
}

static void
act_huge(SimFault *fault, SimAnswer *answer)
{
	answer->amount = sim_integer(fault->options, "bytes", 1 << 30);
	answer->status = MHD_HTTP_OK;
	answer->delivery = SIM_HUGE;
	if (sim_boolean(fault->options, "gzip", false))
	{
		answer->delivery = SIM_BOMB;
		sim_answer_header(answer, "Content-Encoding", "gzip");
	}
}

static void
act_endless(SimFault *fault, SimAnswer *answer)
{
	(void) fault;
	answer->status = MHD_HTTP_OK;
	answer->delivery = SIM_ENDLESS;
}

static void
act_slow(SimFault *fault, SimAnswer *answer)
{
	answer->amount = sim_integer(fault->options, "ms", 10);
	answer->delivery = SIM_SLOW;
}

static void
act_gzip(SimFault *fault, SimAnswer *answer)
{
	size_t		size;
	unsigned char *packed;

	(void) fault;
	if (answer->body == NULL)
		return;
	packed = sim_gzip(answer->body, answer->size, &size);
	sim_answer_bytes(answer, answer->status, packed, size);
	sim_answer_header(answer, "Content-Encoding", "gzip");
}

static void
act_patch(SimFault *fault, SimAnswer *answer)
{
	sim_patch_apply(answer, fault->options);
}

static const FaultKind kinds[] = {
	{"delay", true, NULL},
	{"hang", true, act_hang},
	{"status", false, act_status},
	{"drop_before", false, act_drop},
	{"drop_after", true, act_drop},
	{"reset_after", true, act_reset},
	{"half_body", true, act_half},
	{"body", true, act_body},
	{"garbage", true, act_garbage},
	{"huge", true, act_huge},
	{"endless", true, act_endless},
	{"slow_body", true, act_slow},
	{"gzip", true, act_gzip},
	{"patch", true, act_patch},
	{"unauthorized", false, act_unauthorized},
};

static const FaultKind *const delay_kind = &kinds[0];

/*
 * Remember a fault, whose options it keeps; returns its number, or 0 with the
 * name of the member that is wrong.
 */
int64_t
sim_fault_add(json_object *options, const char **mistake)
{
	const char *name = sim_text(options, "kind");
	const char *path = sim_text(options, "path");
	const char *encoded = sim_text(options, "body_base64");
	int64_t		status = sim_integer(options, "status", 200);
	SimFault   *fault;
	const FaultKind *kind = NULL;

	for (size_t i = 0; name != NULL && i < sim_lengthof(kinds); i++)
	{
		if (strcmp(kinds[i].name, name) == 0)
			kind = &kinds[i];
	}
	if (encoded != NULL)
	{
		size_t		size;
		unsigned char *bytes = sim_base64_decode(encoded, &size);

		*mistake = "body_base64";
		if (bytes == NULL)
			return 0;
		free(bytes);
	}
	*mistake = kind == NULL ? "kind" :
		status < 200 || status > 599 ? "status" :
		sim_integer(options, "bytes", 0) < 0 ? "bytes" :
		sim_integer(options, "ms", 0) < 0 ? "ms" : NULL;
	if (*mistake != NULL)
		return 0;

	fault = sim_alloc(sizeof(SimFault));
	fault->id = ++last_id;
	fault->kind = kind;
	fault->options = json_object_get(options);
	fault->path = path == NULL ? "*" : path;
	fault->match = sim_text(options, "match");
	fault->skip = sim_integer(options, "skip", 0);
	fault->count = sim_integer(options, "count", 1);
	fault->effect = sim_boolean(options, "effect", kind->effect);
	fault->probability = 1;
	if (json_object_object_get_ex(options, "probability", NULL))
		fault->probability = json_object_get_double(
			json_object_object_get(options, "probability"));
	DL_APPEND(faults, fault);
	return fault->id;
}

static bool
matches(const SimFault *fault, const SimRequest *request)
{
	if (strcmp(fault->path, "*") != 0 &&
		strcmp(fault->path, request->path) != 0 &&
		(request->route == NULL ||
		 strcmp(fault->path, request->route->pattern) != 0))
		return false;
	return fault->match == NULL ||
		strstr(request->url, fault->match) != NULL ||
		(request->body != NULL &&
		 memmem(request->body, request->body_size, fault->match,
				strlen(fault->match)) != NULL);
}

/* True if the fault hits a request that matches; counts. */
static bool
strikes(SimFault *fault)
{
	if (fault->count == 0)
		return false;
	if (fault->skip > 0)
	{
		fault->skip--;
		return false;
	}
	if (fault->probability < 1 && sim_random_fraction() >= fault->probability)
		return false;
	if (fault->count > 0)
		fault->count--;
	fault->hits++;
	return true;
}

/*
 * The fault that hits a request, or NULL.  Delays are added to its answer.
 */
SimFault *
sim_fault_find(SimRequest *request)
{
	SimFault   *fault;

	DL_FOREACH(faults, fault)
	{
		if (!matches(fault, request) || !strikes(fault))
			continue;
		/* every kind can be late, except the one that means another ms */
		if (fault->kind->action != act_slow)
			request->answer.delay_ms +=
				sim_integer(fault->options, "ms", 0);
		if (fault->kind != delay_kind)
			return fault;
	}
	return NULL;
}

bool
sim_fault_has_effect(const SimFault *fault)
{
	return fault->effect;
}

/*
 * Change the answer.  The members status, content_type, retry_after and
 * headers count for every kind.
 */
void
sim_fault_apply(SimFault *fault, SimAnswer *answer)
{
	json_object *options = fault->options;
	json_object *value;

	fault->kind->action(fault, answer);

	answer->status = (unsigned int)
		sim_integer(options, "status", answer->status == 0 ?
					MHD_HTTP_OK : answer->status);
	if (sim_text(options, "content_type") != NULL)
		sim_answer_header(answer, "Content-Type",
						  sim_text(options, "content_type"));
	if (json_object_object_get_ex(options, "retry_after", &value))
		sim_answer_header(answer, "Retry-After",
						  json_object_get_string(value));
	if (json_object_object_get_ex(options, "headers", &value) &&
		json_object_is_type(value, json_type_object))
	{
		json_object_object_foreach(value, name, text)
			sim_answer_header(answer, name, json_object_get_string(text));
	}
}

void
sim_faults_clear(void)
{
	SimFault   *fault;
	SimFault   *next;

	DL_FOREACH_SAFE(faults, fault, next)
	{
		DL_DELETE(faults, fault);
		json_object_put(fault->options);
		free(fault);
	}
}

json_object *
sim_faults_json(void)
{
	json_object *list = json_object_new_array();
	SimFault   *fault;

	DL_FOREACH(faults, fault)
	{
		json_object *entry = json_object_new_object();

		sim_put_int(entry, "fault", fault->id);
		sim_put_text(entry, "kind", fault->kind->name);
		sim_put_text(entry, "path", fault->path);
		sim_put_int(entry, "hits", fault->hits);
		sim_put_int(entry, "skip_left", fault->skip);
		sim_put_int(entry, "count_left", fault->count);
		sim_put(entry, "options", json_object_get(fault->options));
		json_object_array_add(list, entry);
	}
	return list;
}
