/*
 * loop.c
 *		The daemon, and the one place where the process waits.
 *
 * One thread, one epoll set of ours.  In it are the daemon's own epoll set,
 * the signals, and the sockets of requests that are put aside: the daemon does
 * not look at those, and a client that gives up must be noticed.
 */
#include "server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <unistd.h>
#include <utlist.h>

#define EVENTS_AT_ONCE	256

static struct MHD_Daemon *daemon_handle;
static int	poll_fd = -1;
static SimRequest *parked;		/* list of those that are put aside */
static bool resumed;			/* the daemon has some to go on with */
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
	resumed = true;
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
sim_loop_release(void)
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
sim_loop_start(int port, const char *certificate, const char *key)
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
		MHD_OPTION_URI_LOG_CALLBACK, (intptr_t) sim_server_begin, NULL
	};
	options[n++] = (struct MHD_OptionItem) {
		MHD_OPTION_NOTIFY_COMPLETED, (intptr_t) sim_server_end, NULL
	};
	options[n++] = (struct MHD_OptionItem) {
		MHD_OPTION_NOTIFY_CONNECTION, (intptr_t) sim_server_notice, NULL
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
									 sim_server_handle, NULL,
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

	/* one request can let others go; the daemon's epoll set keeps silent */
	if (resumed)
		return 0;
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
sim_loop_run(int signal_fd)
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
		resumed = false;
		MHD_run(daemon_handle);
	}
}

void
sim_loop_stop(void)
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
