/*
 * server.c
 *		The life of connections and requests.
 *
 * A request is carried out as soon as it is complete.  If its answer is to be
 * late, it is put aside with the finished answer until its time has come.
 */
#include "server.h"
#include "fault.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

typedef struct Stats
{
	uint64_t	requests;
	uint64_t	connections;
	uint64_t	max_in_flight;
} Stats;

static Stats stats;
static uint64_t open_connections;
static uint64_t in_flight;
static uint64_t connection_number;

/*
 * Make the kernel forget the connection and tell the client so (RST).
 */
static void
reset_connection(SimRequest *request)
{
	struct sockaddr nothing = {.sa_family = AF_UNSPEC};

	connect(request->peer->socket, &nothing, sizeof(nothing));
}

/*
 * Hand the answer to the daemon; MHD_NO closes the connection instead.
 */
static enum MHD_Result
deliver(SimRequest *request)
{
	struct MHD_Response *response;
	enum MHD_Result queued;

	if (request->stage == SIM_GONE)
		return MHD_NO;
	request->stage = SIM_ANSWERING;
	switch (request->answer.delivery)
	{
		case SIM_DROP:
			return MHD_NO;

		case SIM_RESET:
			reset_connection(request);
			return MHD_NO;

		case SIM_WHOLE:
		case SIM_HANG:
		case SIM_HALF:
		case SIM_SLOW:
		case SIM_HUGE:
		case SIM_BOMB:
		case SIM_ENDLESS:
			break;
	}
	response = sim_answer_response(request);
	queued = MHD_queue_response(request->connection, request->answer.status,
								response);
	MHD_destroy_response(response);
	return queued;
}

/*
 * Carry out the request: the effect if there is to be one, then the answer,
 * and what a fault makes of both.
 */
static void
carry_out(SimRequest *request)
{
	SimAnswer  *answer = &request->answer;
	bool		path_known;
	SimFault   *fault = NULL;

	request->route = sim_route_find(request, &path_known);
	if (!request->control)
	{
		sim_route_count(request->route);
		fault = sim_fault_find(request);
	}

	if (fault == NULL || sim_fault_has_effect(fault))
	{
		if (request->route == NULL)
			answer->status = path_known ? MHD_HTTP_METHOD_NOT_ALLOWED :
				MHD_HTTP_NOT_FOUND;
		else if (request->route->guard == NULL ||
				 request->route->guard(request, answer))
			request->route->handler(request, answer);
	}
	if (fault != NULL)
		sim_fault_apply(fault, answer);
}

/*
 * A complete request: count it, carry it out, answer it now or later.
 */
static enum MHD_Result
receive(SimRequest *request)
{
	SimConnection *peer = request->peer;
	int64_t		delay_ms;

	sim_request_parse(request);
	if (!peer->used)
	{
		peer->used = true;
		if (request->control)
		{
			/* connections that only talk to us are none of the API's */
			peer->control = true;
			open_connections--;
			if (stats.connections > 0)
				stats.connections--;
		}
	}
	if (peer->timeout_s != sim_config.keepalive_timeout_s)
	{
		peer->timeout_s = sim_config.keepalive_timeout_s;
		MHD_set_connection_option(request->connection,
								  MHD_CONNECTION_OPTION_TIMEOUT,
								  (unsigned int) peer->timeout_s);
	}
	if (!request->control)
	{
		request->counted = true;
		stats.requests++;
		in_flight++;
		if (in_flight > stats.max_in_flight)
			stats.max_in_flight = in_flight;
		if (sim_config.record)
			sim_record_add(request, peer->number);
	}

	carry_out(request);

	delay_ms = request->answer.delay_ms;
	if (!request->control)
	{
		delay_ms += sim_config.latency_ms;
		if (sim_config.jitter_ms > 0)
			delay_ms += (int64_t) (sim_random() %
								   (uint64_t) (sim_config.jitter_ms + 1));
	}
	if (request->answer.delivery == SIM_HANG || delay_ms > 0)
	{
		request->stage = SIM_WAITING;
		sim_park(request, request->answer.delivery == SIM_HANG ? -1 :
				 sim_monotonic_ms() + delay_ms);
		return MHD_YES;
	}
	return deliver(request);
}

/*
 * The daemon calls this for the headers, for each piece of the body, for its
 * end, and once more when a request that was put aside goes on.
 */
enum MHD_Result
sim_server_handle(void *context, struct MHD_Connection *connection,
				  const char *url, const char *method, const char *version,
				  const char *bytes, size_t *size, void **state)
{
	SimRequest *request = *state;
	const union MHD_ConnectionInfo *info;

	(void) context;
	(void) url;
	if (request->connection == NULL)
	{
		request->connection = connection;
		request->method = method;
		request->version = version;
		info = MHD_get_connection_info(connection,
									   MHD_CONNECTION_INFO_SOCKET_CONTEXT);
		request->peer = info->socket_context;
		return MHD_YES;
	}
	if (*size > 0)
	{
		if (!sim_request_append(request, bytes, *size))
			return MHD_NO;
		*size = 0;
		return MHD_YES;
	}
	if (request->stage == SIM_RECEIVING)
		return receive(request);
	return deliver(request);
}

/* Called with the first line of a request; the result is its state. */
void *
sim_server_begin(void *context, const char *url,
				 struct MHD_Connection *connection)
{
	(void) context;
	(void) connection;
	return sim_request_new(url);
}

void
sim_server_end(void *context, struct MHD_Connection *connection,
			   void **state, enum MHD_RequestTerminationCode reason)
{
	SimRequest *request = *state;

	(void) context;
	(void) connection;
	if (request == NULL)
		return;
	if (request->counted)
		in_flight--;
	if (reason == MHD_REQUEST_TERMINATED_COMPLETED_OK && !request->control &&
		sim_config.close_after == SIM_CLOSE_SILENT)
		shutdown(request->peer->socket, SHUT_RDWR);
	sim_request_free(request);
	*state = NULL;
}

void
sim_server_notice(void *context, struct MHD_Connection *connection,
				  void **state, enum MHD_ConnectionNotificationCode code)
{
	SimConnection *peer = *state;
	const union MHD_ConnectionInfo *info;

	(void) context;
	switch (code)
	{
		case MHD_CONNECTION_NOTIFY_STARTED:
			peer = sim_alloc(sizeof(SimConnection));
			info = MHD_get_connection_info(connection,
										   MHD_CONNECTION_INFO_CONNECTION_FD);
			peer->socket = info->connect_fd;
			peer->number = ++connection_number;
			stats.connections++;
			open_connections++;
			*state = peer;
			break;

		case MHD_CONNECTION_NOTIFY_CLOSED:
			if (!peer->control)
				open_connections--;
			free(peer);
			*state = NULL;
			break;
	}
}

json_object *
sim_server_stats(void)
{
	json_object *object = json_object_new_object();

	sim_put_int(object, "requests", (int64_t) stats.requests);
	sim_put(object, "by_path", sim_route_counts());
	sim_put_int(object, "connections", (int64_t) stats.connections);
	sim_put_int(object, "open_connections", (int64_t) open_connections);
	sim_put_int(object, "in_flight", (int64_t) in_flight);
	sim_put_int(object, "max_in_flight", (int64_t) stats.max_in_flight);
	return object;
}

/* What is going on stays counted: open connections, requests in flight. */
void
sim_server_stats_reset(void)
{
	stats = (Stats) {.max_in_flight = in_flight};
	sim_route_counts_reset();
}
