/*
 * server.c
 *		The life of connections and requests.
 *
 * One thread, one epoll set of ours.  In it are the daemon's own epoll set,
 * the signals, and the sockets of requests that are put aside: the daemon does
 * not look at those, and a client that gives up must be noticed.
 *
 * A request is carried out as soon as it is complete.  If its answer is to be
 * late, it is put aside with the finished answer until its time has come.
 */
#include "server.h"
#include "event.h"
#include "fault.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <unistd.h>
#include <utlist.h>

#define EVENTS_AT_ONCE	256

struct SimConnection
{
	uint64_t	number;
	bool		used;			/* has sent a request */
	bool		control;		/* its first request was one for us */
	int64_t		timeout_s;		/* as told to the daemon */
	int			socket;
};

typedef struct Stats
{
	uint64_t	requests;
	uint64_t	connections;
	uint64_t	max_in_flight;
} Stats;

static struct MHD_Daemon *daemon_handle;
static int	poll_fd = -1;
static Stats stats;
static uint64_t open_connections;
static uint64_t in_flight;
static uint64_t connection_number;
static SimRequest *parked;		/* list of those that are put aside */
static char *certificate_text;
static char *key_text;

/*
 * Put a request aside until a time, or with -1 until it is released.
 */
void
sim_park(SimRequest *request, int64_t due_ms)
{
	struct epoll_event event = {
		.events = EPOLLRDHUP,
		.data.ptr = request
	};

	MHD_suspend_connection(request->connection);
	request->parked = true;
	request->due_ms = due_ms;
	if (due_ms >= 0)
		sim_timer_add(request);
	DL_APPEND(parked, request);
	epoll_ctl(poll_fd, EPOLL_CTL_ADD, request->peer->socket, &event);
}

static void
unpark(SimRequest *request)
{
	epoll_ctl(poll_fd, EPOLL_CTL_DEL, request->peer->socket, NULL);
	DL_DELETE(parked, request);
	sim_timer_remove(request);
	request->parked = false;
	MHD_resume_connection(request->connection);
}

/* The client went away, or is to be sent away. */
static void
dismiss(SimRequest *request)
{
	request->stage = SIM_GONE;
	unpark(request);
}

/*
 * Let go of the requests that hang for ever.
 */
void
sim_server_release(void)
{
	SimRequest *request;
	SimRequest *next;

	DL_FOREACH_SAFE(parked, request, next)
	{
		if (request->due_ms < 0)
			dismiss(request);
	}
}

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
static enum MHD_Result
handle(void *context, struct MHD_Connection *connection, const char *url,
	   const char *method, const char *version, const char *bytes,
	   size_t *size, void **state)
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
static void *
begin_request(void *context, const char *url,
			  struct MHD_Connection *connection)
{
	(void) context;
	(void) connection;
	return sim_request_new(url);
}

static void
end_request(void *context, struct MHD_Connection *connection, void **state,
			enum MHD_RequestTerminationCode reason)
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

static void
notice_connection(void *context, struct MHD_Connection *connection,
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

/*
 * Paths and queries are decoded by us, once their parts are known: an escaped
 * slash in a customer's code is no separator.
 */
static size_t
keep_escapes(void *context, struct MHD_Connection *connection, char *text)
{
	(void) context;
	(void) connection;
	return strlen(text);
}

static char *
read_file(const char *path)
{
	FILE	   *file = fopen(path, "r");
	char	   *text = NULL;
	size_t		room = 0;

	if (file == NULL || getdelim(&text, &room, '\0', file) < 0)
	{
		fprintf(stderr, "b24sim: cannot read \"%s\": %s\n", path,
				strerror(errno));
		exit(1);
	}
	fclose(file);
	return text;
}

/*
 * Start listening on 127.0.0.1; returns the port.
 */
int
sim_server_start(int port, const char *certificate, const char *key)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t) port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)
	};
	struct MHD_OptionItem options[16];
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
	struct rlimit files;
	int			n = 0;
	unsigned int flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME;

	/* each client is a file; the limit leaves some for ourselves */
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	getrlimit(RLIMIT_NOFILE, &files);
	if (files.rlim_cur > 100000)
		files.rlim_cur = 100000;

	options[n++] = (struct MHD_OptionItem) {
		MHD_OPTION_CONNECTION_LIMIT, (intptr_t) files.rlim_cur - 32, NULL
	};
	options[n++] = (struct MHD_OptionItem) {
		MHD_OPTION_LISTEN_BACKLOG_SIZE, 4096, NULL
	};
	/* headers fit well; the daemon clears all of it for every request */
	options[n++] = (struct MHD_OptionItem) {
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, 16384, NULL
	};
	options[n++] = (struct MHD_OptionItem) {
		MHD_OPTION_SOCK_ADDR, 0, &address
	};
	options[n++] = (struct MHD_OptionItem) {
		MHD_OPTION_URI_LOG_CALLBACK, (intptr_t) begin_request, NULL
	};
	options[n++] = (struct MHD_OptionItem) {
		MHD_OPTION_NOTIFY_COMPLETED, (intptr_t) end_request, NULL
	};
	options[n++] = (struct MHD_OptionItem) {
		MHD_OPTION_NOTIFY_CONNECTION, (intptr_t) notice_connection, NULL
	};
	options[n++] = (struct MHD_OptionItem) {
		MHD_OPTION_UNESCAPE_CALLBACK, (intptr_t) keep_escapes, NULL
	};
	if (certificate != NULL)
	{
		flags |= MHD_USE_TLS;
		certificate_text = read_file(certificate);
		key_text = read_file(key);
		options[n++] = (struct MHD_OptionItem) {
			MHD_OPTION_HTTPS_MEM_CERT, 0, certificate_text
		};
		options[n++] = (struct MHD_OptionItem) {
			MHD_OPTION_HTTPS_MEM_KEY, 0, key_text
		};
	}
	options[n] = (struct MHD_OptionItem) {MHD_OPTION_END, 0, NULL};

	daemon_handle = MHD_start_daemon(flags, (uint16_t) port, NULL, NULL,
									 handle, NULL,
									 MHD_OPTION_ARRAY, options,
									 MHD_OPTION_END);
	if (daemon_handle == NULL)
	{
		fprintf(stderr, "b24sim: cannot listen on port %d\n", port);
		exit(1);
	}

	poll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (poll_fd < 0 ||
		epoll_ctl(poll_fd, EPOLL_CTL_ADD,
				  MHD_get_daemon_info(daemon_handle,
									  MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd,
				  &event) != 0)
	{
		perror("b24sim: epoll");
		exit(1);
	}
	return MHD_get_daemon_info(daemon_handle,
							   MHD_DAEMON_INFO_BIND_PORT)->port;
}

/*
 * How long nothing will happen by itself, in ms; -1: for ever.
 */
static int
idle_time(void)
{
	SimRequest *first = sim_timer_first();
	MHD_UNSIGNED_LONG_LONG daemon_ms;
	int64_t		wait_ms = -1;

	if (first != NULL)
	{
		wait_ms = first->due_ms - sim_monotonic_ms();
		if (wait_ms < 0)
			wait_ms = 0;
	}
	if (MHD_get_timeout(daemon_handle, &daemon_ms) == MHD_YES &&
		(wait_ms < 0 || (int64_t) daemon_ms < wait_ms))
		wait_ms = (int64_t) daemon_ms;
	return wait_ms > 60000 ? 60000 : (int) wait_ms;
}

/*
 * Serve until a signal arrives.
 */
void
sim_server_run(int signal_fd)
{
	static char signal_mark;
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = &signal_mark};
	struct epoll_event events[EVENTS_AT_ONCE];
	SimRequest *first;

	epoll_ctl(poll_fd, EPOLL_CTL_ADD, signal_fd, &event);
	for (;;)
	{
		int			n = epoll_wait(poll_fd, events, EVENTS_AT_ONCE,
								   idle_time());
		int64_t		now_ms;

		for (int i = 0; i < n; i++)
		{
			if (events[i].data.ptr == &signal_mark)
				return;
			if (events[i].data.ptr != NULL)
				dismiss(events[i].data.ptr);
		}
		now_ms = sim_monotonic_ms();
		while ((first = sim_timer_first()) != NULL && first->due_ms <= now_ms)
			unpark(first);
		MHD_run(daemon_handle);
	}
}

void
sim_server_stop(void)
{
	SimRequest *request;
	SimRequest *next;

	/* the daemon refuses to stop while a connection is put aside */
	DL_FOREACH_SAFE(parked, request, next)
		dismiss(request);
	MHD_run(daemon_handle);
	MHD_stop_daemon(daemon_handle);
	close(poll_fd);
	free(certificate_text);
	free(key_text);
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
