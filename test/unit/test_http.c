/*-------------------------------------------------------------------------
 *
 * test_http.c
 *	  The pool of transfers, against a server of plain sockets.
 *
 * Server and pool take turns in one loop around poll(2), so that what happens
 * first is never a matter of luck.  The server follows a script: one step for
 * every request that it has read whole.
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "http.h"

/* Nothing here takes that long; it only ends a test that hangs. */
#define PATIENCE_MS 20000

#define MAX_CONNECTIONS 64
#define MAX_REQUESTS 64
#define MAX_WATCHED 128

/*
 * The server
 */
typedef enum Action
{
	ANSWER,						/* and keep the connection */
	ANSWER_AND_CLOSE,
	CLOSE,						/* without a word */
	RESET,						/* the same, impolitely */
	HANG,						/* never answer */
	FLOOD						/* the bytes again and again */
}			Action;

typedef struct Step
{
	Action		action;
	const char *bytes;
	size_t		length;			/* 0: up to the NUL */
}			Step;

typedef struct Connection
{
	int			fd;				/* -1 when closed */
	char		in[65536];
	size_t		in_length;
	const char *out;			/* what is still to be written */
	size_t		out_length;
	size_t		out_done;
	Action		then;
}			Connection;

typedef struct Server
{
	int			listener;
	int			port;
	bool		raw;			/* whatever arrives counts as a request */
	const Step *steps;
	int			step_count;
	int			next_step;
	Connection *connections[MAX_CONNECTIONS];
	int			connection_count;	/* all that ever were */
	char	   *requests[MAX_REQUESTS];
	int			came_by[MAX_REQUESTS];	/* by which connection */
	int			request_count;
}			Server;

static Server server;
static B24Http *http;
static B24Socket *watched[MAX_WATCHED];
static int	watched_count;
static int	open_fds;
static int	acquired_fds;
static int	allowed_fds;

static int64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void
set_nonblocking(int fd)
{
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

/* A socket bound to a free port of 127.0.0.1. */
static int
bind_somewhere(int *port)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t	length = sizeof(address);
	int			fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *) &address, sizeof(address)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *) &address, &length), 0);
	*port = ntohs(address.sin_port);
	return fd;
}

static void
play(const Step *steps, int count)
{
	server.steps = steps;
	server.step_count = count;
	server.next_step = 0;
}

#define PLAY(...) \
	static const Step steps_[] = {__VA_ARGS__}; \
	play(steps_, COUNT(steps_))

static void
close_connection(Connection *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
}

static int
open_connections(void)
{
	int			count = 0;

	for (int i = 0; i < server.connection_count; i++)
		count += server.connections[i]->fd >= 0;
	return count;
}

/* The server hangs up on everybody; the other side's kernel knows at once. */
static void
close_all_connections(void)
{
	for (int i = 0; i < server.connection_count; i++)
		close_connection(server.connections[i]);
}

/* How long the request at the beginning of what was read is; 0: not whole. */
static size_t
whole_request(const Connection *c)
{
	const char *end;
	const char *header;
	size_t		length;

	if (server.raw)
		return c->in_length;
	end = memmem(c->in, c->in_length, "\r\n\r\n", 4);
	if (end == NULL)
		return 0;
	length = end + 4 - c->in;
	header = memmem(c->in, length, "\r\nContent-Length: ", 18);
	if (header != NULL)
		length += strtoul(header + 18, NULL, 10);
	return length <= c->in_length ? length : 0;
}

static void
write_some(Connection *c)
{
	while (c->out_length > 0)
	{
		ssize_t		written = send(c->fd, c->out + c->out_done,
								   c->out_length - c->out_done, MSG_NOSIGNAL);

		if (written < 0)
		{
			if (errno != EAGAIN)
				close_connection(c);
			return;
		}
		c->out_done += written;
		if (c->out_done < c->out_length)
			continue;
		c->out_done = 0;
		if (c->then != FLOOD)
			c->out_length = 0;
	}
	if (c->then == ANSWER_AND_CLOSE)
		close_connection(c);
}

static void
take_request(Connection *c, size_t length)
{
	const Step *step;

	if (server.request_count == MAX_REQUESTS || server.next_step == server.step_count)
		fail_msg("the server did not expect this request: %.200s", c->in);
	server.requests[server.request_count] = strndup(c->in, length);
	for (int i = 0; i < server.connection_count; i++)
	{
		if (server.connections[i] == c)
			server.came_by[server.request_count] = i;
	}
	server.request_count++;
	memmove(c->in, c->in + length, c->in_length - length);
	c->in_length -= length;
	c->in[c->in_length] = '\0';

	step = &server.steps[server.next_step++];
	c->then = step->action;
	switch (step->action)
	{
		case ANSWER:
		case ANSWER_AND_CLOSE:
		case FLOOD:
			c->out = step->bytes;
			c->out_length = step->length > 0 ? step->length : strlen(step->bytes);
			c->out_done = 0;
			write_some(c);
			break;
		case RESET:
			{
				struct linger at_once = {.l_onoff = 1, .l_linger = 0};

				setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
				close_connection(c);
				break;
			}
		case CLOSE:
			close_connection(c);
			break;
		case HANG:
			break;
	}
}

static void
read_some(Connection *c)
{
	ssize_t		got = recv(c->fd, c->in + c->in_length,
						   sizeof(c->in) - 1 - c->in_length, 0);
	size_t		length;

	if (got < 0 && errno == EAGAIN)
		return;
	if (got <= 0)
	{
		close_connection(c);
		return;
	}
	c->in_length += got;
	c->in[c->in_length] = '\0';
	while (c->fd >= 0 && (length = whole_request(c)) > 0)
		take_request(c, length);
}

static void
accept_all(void)
{
	int			fd;

	while ((fd = accept(server.listener, NULL, NULL)) >= 0)
	{
		Connection *c = calloc(1, sizeof(Connection));

		if (server.connection_count == MAX_CONNECTIONS)
			fail_msg("too many connections");
		set_nonblocking(fd);
		c->fd = fd;
		server.connections[server.connection_count++] = c;
	}
}

/*
 * The pool
 */
static bool
acquire_fd(void)
{
	if (open_fds >= allowed_fds)
		return false;
	open_fds++;
	acquired_fds++;
	return true;
}

static void
release_fd(void)
{
	open_fds--;
}

/* What libcurl wants to know about its sockets from now on. */
static void
note_changes(void)
{
	B24Socket  *s;

	while ((s = b24_http_next_changed(http)) != NULL)
	{
		if (s->position < 0 && !s->closed)
		{
			assert_true(watched_count < MAX_WATCHED);
			s->position = watched_count;
			watched[watched_count++] = s;
		}
		else if (s->closed)
		{
			if (s->position >= 0)
			{
				watched[s->position] = watched[--watched_count];
				watched[s->position]->position = s->position;
			}
			free(s);
		}
	}
}

/* One turn of both sides. */
static void
turn(int longest_ms)
{
	struct pollfd fds[1 + MAX_CONNECTIONS + MAX_WATCHED];
	Connection *connections[1 + MAX_CONNECTIONS];
	B24Socket  *sockets[MAX_WATCHED];
	int			socket_count;
	int			count = 0;
	int			first_socket;
	long		timeout = b24_http_timeout_ms(http);

	note_changes();
	connections[count] = NULL;
	fds[count++] = (struct pollfd){.fd = server.listener, .events = POLLIN};
	for (int i = 0; i < server.connection_count; i++)
	{
		Connection *c = server.connections[i];

		if (c->fd < 0)
			continue;
		connections[count] = c;
		fds[count++] = (struct pollfd){
			.fd = c->fd, .events = POLLIN | (c->out_length > 0 ? POLLOUT : 0)
		};
	}
	first_socket = count;
	socket_count = watched_count;
	for (int i = 0; i < socket_count; i++)
	{
		sockets[i] = watched[i];
		fds[count++] = (struct pollfd){
			.fd = sockets[i]->want_read || sockets[i]->want_write ? sockets[i]->fd : -1,
			.events = (sockets[i]->want_read ? POLLIN : 0) |
				(sockets[i]->want_write ? POLLOUT : 0)
		};
	}

	poll(fds, count, timeout >= 0 && timeout < longest_ms ? (int) timeout : longest_ms);

	for (int i = 0; i < first_socket; i++)
	{
		if (fds[i].revents == 0)
			continue;
		if (connections[i] == NULL)
			accept_all();
		else
		{
			if (fds[i].revents & POLLOUT)
				write_some(connections[i]);
			if (connections[i]->fd >= 0 && fds[i].revents & (POLLIN | POLLHUP | POLLERR))
				read_some(connections[i]);
		}
	}
	for (int i = 0; i < socket_count; i++)
	{
		short		seen = fds[first_socket + i].revents;

		/* an earlier one may have closed this one */
		if (seen != 0 && !sockets[i]->closed)
			b24_http_drive(http, sockets[i], (seen & (POLLIN | POLLHUP | POLLERR)) != 0,
						   (seen & (POLLOUT | POLLERR)) != 0);
	}
	if (b24_http_timeout_ms(http) == 0)
		b24_http_drive(http, NULL, false, false);
	note_changes();
}

/* A request and what became of it. */
typedef struct Exchange
{
	B24Request	request;
	B24Transfer *transfer;
	const B24HttpAnswer *answer;	/* once it is done */
}			Exchange;

static B24HttpOptions options;

static void
begin_at(Exchange *x, const char *base, const char *method, const char *path,
		 const char *body, bool changes)
{
	char		url[200];

	memset(x, 0, sizeof(*x));
	snprintf(url, sizeof(url), "%s%s", base, path);
	x->request.method = method;
	x->request.url = strdup(url);
	if (body != NULL)
	{
		x->request.body = strdup(body);
		x->request.body_length = strlen(body);
	}
	x->request.changes = changes;
	assert_true(b24_request_add_header(&x->request, "Content-Type", "application/json"));
	x->transfer = b24_http_start(http, &x->request, &options, x);
	assert_non_null(x->transfer);
	assert_ptr_equal(b24_http_owner(x->transfer), x);
}

static void
begin(Exchange *x, const char *method, const char *path, const char *body, bool changes)
{
	char		base[50];

	snprintf(base, sizeof(base), "http://127.0.0.1:%d", server.port);
	begin_at(x, base, method, path, body, changes);
}

static void
collect_done(void)
{
	B24Transfer *t;

	while ((t = b24_http_next_done(http)) != NULL)
	{
		Exchange   *x = b24_http_owner(t);

		assert_ptr_equal(x->transfer, t);
		assert_null(x->answer);
		x->answer = b24_http_answer(t);
	}
}

static void
await(Exchange *x)
{
	int64_t		give_up = now_ms() + PATIENCE_MS;

	for (collect_done(); x->answer == NULL; collect_done())
	{
		if (now_ms() > give_up)
			fail_msg("the transfer does not end");
		turn(1000);
	}
}

static void
await_requests(int count)
{
	int64_t		give_up = now_ms() + PATIENCE_MS;

	while (server.request_count < count)
	{
		if (now_ms() > give_up)
			fail_msg("the request does not arrive");
		turn(1000);
	}
}

/* Both sides have nothing left to say. */
static void
settle(void)
{
	for (int i = 0; i < 10; i++)
		turn(1);
}

static void
end(Exchange *x)
{
	b24_http_end(x->transfer);
	b24_request_free(&x->request);
	note_changes();
}

static void
check_ok(const Exchange *x, long http_status, const char *body)
{
	if (x->answer->status != B24_OK)
		fail_msg("%s", x->answer->text);
	assert_int_equal(x->answer->http_status, http_status);
	assert_true(x->answer->sent);
	assert_int_equal(x->answer->body_length, strlen(body));
	if (*body == '\0')
		assert_null(x->answer->body);
	else
		assert_string_equal(x->answer->body, body);
}

static void
check_failed(const Exchange *x, B24Status status, bool sent)
{
	if (x->answer->status != status)
		fail_msg("%s instead of %s: %s", b24_status_info(x->answer->status)->name,
				 b24_status_info(status)->name, x->answer->text);
	assert_true(x->answer->sent == sent);
	assert_true(x->answer->text[0] != '\0');
}

/* A request from beginning to end that must bring this. */
static void
exchange_ok(const char *method, const char *path, const char *request_body, bool changes,
			const char *body)
{
	Exchange	x;

	begin(&x, method, path, request_body, changes);
	await(&x);
	check_ok(&x, 200, body);
	end(&x);
}

static int
setup(void **state)
{
	static const B24HttpHooks hooks = {acquire_fd, release_fd};

	memset(&server, 0, sizeof(server));
	server.listener = bind_somewhere(&server.port);
	set_nonblocking(server.listener);
	if (listen(server.listener, 64) != 0)
		return -1;
	watched_count = 0;
	open_fds = acquired_fds = 0;
	allowed_fds = 1000;
	options = (B24HttpOptions){
		.connect_timeout_ms = PATIENCE_MS,
		.request_timeout_ms = PATIENCE_MS,
		.max_response_size = 1000000,
		.allow_http = true,
	};
	http = b24_http_new(&hooks, "bill24-test/1");
	return http == NULL ? -1 : 0;
}

static int
teardown(void **state)
{
	b24_http_free(http);
	close_all_connections();
	close(server.listener);
	for (int i = 0; i < server.connection_count; i++)
		free(server.connections[i]);
	for (int i = 0; i < server.request_count; i++)
		free(server.requests[i]);
	if (open_fds != 0)
	{
		print_error("%d descriptors were not released\n", open_fds);
		return -1;
	}
	return 0;
}

#define OK_ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"

/*
 * Plain exchanges
 */
static void
test_a_request_arrives_as_it_was_made(void **state)
{
	Exchange	x;
	const char *request;

	PLAY({ANSWER, OK_ANSWER "ok"});
	begin(&x, "POST", "/a/../b?c=%20", "{\"a\":1}", true);
	await(&x);
	check_ok(&x, 200, "ok");
	request = server.requests[0];
	assert_memory_equal(request, "POST /a/../b?c=%20 HTTP/1.1\r\n", 29);
	assert_non_null(strstr(request, "\r\nContent-Type: application/json\r\n"));
	assert_null(strstr(request, "x-www-form-urlencoded"));
	assert_non_null(strstr(request, "\r\nUser-Agent: bill24-test/1\r\n"));
	assert_non_null(strstr(request, "\r\nAccept-Encoding: gzip\r\n"));
	assert_non_null(strstr(request, "\r\nContent-Length: 7\r\n"));
	assert_null(strcasestr(request, "\r\nUpgrade:"));
	assert_string_equal(strstr(request, "\r\n\r\n"), "\r\n\r\n{\"a\":1}");
	assert_true(x.answer->total_us > 0);
	assert_true(x.answer->connected_us > 0);
	assert_int_equal(x.answer->secured_us, 0);
	end(&x);
}

static void
test_every_method_goes_out_under_its_own_name(void **state)
{
	static const char *const methods[] = {"GET", "POST", "PUT", "PATCH", "DELETE"};

	PLAY({ANSWER, OK_ANSWER "ok"}, {ANSWER, OK_ANSWER "ok"}, {ANSWER, OK_ANSWER "ok"},
		 {ANSWER, OK_ANSWER "ok"}, {ANSWER, OK_ANSWER "ok"});
	for (size_t i = 0; i < COUNT(methods); i++)
	{
		char		line[50];

		exchange_ok(methods[i], "/m", "body", true, "ok");
		snprintf(line, sizeof(line), "%s /m HTTP/1.1\r\n", methods[i]);
		assert_memory_equal(server.requests[i], line, strlen(line));
		assert_non_null(strstr(server.requests[i], "\r\n\r\nbody"));
	}
}

static void
test_a_get_after_a_post_has_no_body(void **state)
{
	PLAY({ANSWER, OK_ANSWER "ok"}, {ANSWER, OK_ANSWER "ok"});
	exchange_ok("POST", "/1", "body", true, "ok");
	exchange_ok("GET", "/2", NULL, false, "ok");
	assert_memory_equal(server.requests[1], "GET /2 HTTP/1.1\r\n", 17);
	assert_null(strcasestr(server.requests[1], "Content-Length"));
	assert_string_equal(strstr(server.requests[1], "\r\n\r\n"), "\r\n\r\n");
}

/* Without a length, servers may answer 411 or wait for more. */
static void
test_a_post_without_body_says_that_it_is_empty(void **state)
{
	PLAY({ANSWER, OK_ANSWER "ok"}, {ANSWER, OK_ANSWER "ok"});
	exchange_ok("POST", "/", "", true, "ok");
	assert_non_null(strstr(server.requests[0], "\r\nContent-Length: 0\r\n"));
	exchange_ok("POST", "/", NULL, true, "ok");
	assert_non_null(strstr(server.requests[1], "\r\nContent-Length: 0\r\n"));
}

static void
test_a_large_body_goes_out_without_asking_first(void **state)
{
	char		body[60001];

	PLAY({ANSWER, OK_ANSWER "ok"});
	memset(body, 'b', 60000);
	body[60000] = '\0';
	exchange_ok("POST", "/", body, true, "ok");
	assert_null(strcasestr(server.requests[0], "Expect:"));
	assert_string_equal(strstr(server.requests[0], "\r\n\r\n") + 4, body);
}

static void
test_an_empty_answer_has_no_body(void **state)
{
	Exchange	x;

	PLAY({ANSWER, "HTTP/1.1 204 No Content\r\n\r\n"},
		 {ANSWER, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"});
	begin(&x, "GET", "/", NULL, false);
	await(&x);
	check_ok(&x, 204, "");
	end(&x);
	begin(&x, "GET", "/", NULL, false);
	await(&x);
	check_ok(&x, 401, "");
	end(&x);
}

static void
test_chunks_are_put_together(void **state)
{
	PLAY({
		ANSWER, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
		"3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n"
	});
	exchange_ok("GET", "/", NULL, false, "abcdefg");
}

static void
test_a_body_with_nul_bytes_is_kept_with_its_length(void **state)
{
	static const char bytes[] = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\na\0b";
	Exchange	x;

	PLAY({ANSWER, bytes, sizeof(bytes) - 1});
	begin(&x, "GET", "/", NULL, false);
	await(&x);
	assert_int_equal(x.answer->status, B24_OK);
	assert_int_equal(x.answer->body_length, 3);
	assert_memory_equal(x.answer->body, "a\0b", 4);
	end(&x);
}

static void
test_an_interim_answer_is_not_the_answer(void **state)
{
	PLAY({ANSWER, "HTTP/1.1 100 Continue\r\n\r\n" OK_ANSWER "ok"});
	exchange_ok("POST", "/", "{}", true, "ok");
}

static void
test_a_gzip_answer_is_unpacked(void **state)
{
	/* {"code":"000"} */
	static const char bytes[] =
		"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 34\r\n\r\n"
		"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xab\x56\x4a\xce\x4f\x49\x55\xb2"
		"\x52\x32\x30\x30\x50\xaa\x05\x00\x2a\x66\x95\xf4\x0e\x00\x00\x00";

	PLAY({ANSWER, bytes, sizeof(bytes) - 1});
	exchange_ok("GET", "/", NULL, false, "{\"code\":\"000\"}");
}

static void
test_what_only_calls_itself_gzip_is_nonsense(void **state)
{
	Exchange	x;

	PLAY({
		ANSWER, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 14\r\n\r\n"
		"{\"code\":\"000\"}"
	});
	begin(&x, "POST", "/", "{}", true);
	await(&x);
	check_failed(&x, B24_NONSENSE, true);
	end(&x);
}

static void
test_what_is_not_http_is_nonsense(void **state)
{
	Exchange	x;

	PLAY({ANSWER_AND_CLOSE, "SSH-2.0-OpenSSH_9.2\r\n"});
	begin(&x, "POST", "/", "{}", true);
	await(&x);
	check_failed(&x, B24_NONSENSE, true);
	end(&x);
}

/*
 * Headers of the answer
 */
static void
test_date_and_content_type_are_read(void **state)
{
	Exchange	x;

	PLAY({
		ANSWER, "HTTP/1.1 200 OK\r\nDate: Sat, 22 Jun 2024 02:41:55 GMT\r\n"
		"Content-Type: application/json; charset=utf-8\r\nContent-Length: 0\r\n\r\n"
	},
		 {
			 ANSWER, "HTTP/1.1 200 OK\r\ndate:Sat, 22 Jun 2024 02:41:55 GMT\r\n"
			 "Content-Length: 0\r\n\r\n"
		 },
		 {ANSWER, "HTTP/1.1 200 OK\r\nDate: yesterday\r\nContent-Length: 0\r\n\r\n"},
		 {ANSWER, "HTTP/1.1 200 OK\r\nDated: Sat, 22 Jun 2024 02:41:55 GMT\r\nContent-Length: 0\r\n\r\n"});

	begin(&x, "GET", "/", NULL, false);
	await(&x);
	assert_int_equal(x.answer->server_time_s, 1719024115);
	assert_string_equal(x.answer->content_type, "application/json; charset=utf-8");
	end(&x);

	begin(&x, "GET", "/", NULL, false);
	await(&x);
	assert_int_equal(x.answer->server_time_s, 1719024115);
	assert_string_equal(x.answer->content_type, "");
	end(&x);

	for (int i = 0; i < 2; i++)
	{
		begin(&x, "GET", "/", NULL, false);
		await(&x);
		assert_int_equal(x.answer->server_time_s, -1);
		end(&x);
	}
}

static void
test_retry_after_is_read_from_429_and_503(void **state)
{
	static const long expected[] = {7, 120, -1, -1, -1};
	Exchange	x;

	PLAY({ANSWER, "HTTP/1.1 429 Slow Down\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n"},
		 {ANSWER, "HTTP/1.1 503 Busy\r\nretry-after: 120\r\nContent-Length: 0\r\n\r\n"},
		 {ANSWER, "HTTP/1.1 200 OK\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n"},
		 {ANSWER, "HTTP/1.1 429 Slow Down\r\nContent-Length: 0\r\n\r\n"},
		 {ANSWER, "HTTP/1.1 429 Slow Down\r\nRetry-After: soon\r\nContent-Length: 0\r\n\r\n"},
		 {
			 ANSWER, "HTTP/1.1 429 Slow Down\r\nRetry-After: Fri, 01 Jan 2100 00:00:00 GMT\r\n"
			 "Content-Length: 0\r\n\r\n"
		 });
	for (size_t i = 0; i < COUNT(expected); i++)
	{
		begin(&x, "GET", "/", NULL, false);
		await(&x);
		assert_int_equal(x.answer->retry_after_s, expected[i]);
		end(&x);
	}
	begin(&x, "GET", "/", NULL, false);
	await(&x);
	assert_true(x.answer->retry_after_s > 0);
	end(&x);
}

static void
test_redirects_are_not_followed(void **state)
{
	Exchange	x;

	PLAY({ANSWER, "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"},
		 {ANSWER, "HTTP/1.1 308 Moved\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"});
	begin(&x, "GET", "/", NULL, false);
	await(&x);
	check_ok(&x, 302, "");
	end(&x);
	begin(&x, "POST", "/", "{}", true);
	await(&x);
	check_ok(&x, 308, "");
	end(&x);
	assert_int_equal(server.request_count, 2);
}

/*
 * Connections
 */
static void
test_one_connection_is_used_again_and_again(void **state)
{
	PLAY({ANSWER, OK_ANSWER "ok"}, {ANSWER, OK_ANSWER "ok"}, {ANSWER, OK_ANSWER "ok"},
		 {ANSWER, OK_ANSWER "ok"}, {ANSWER, OK_ANSWER "ok"}, {ANSWER, OK_ANSWER "ok"});
	for (int i = 0; i < 6; i++)
		exchange_ok(i % 2 == 0 ? "GET" : "POST", "/", i % 2 == 0 ? NULL : "{}", i % 2 != 0, "ok");
	assert_int_equal(server.connection_count, 1);
	assert_int_equal(server.request_count, 6);
	assert_int_equal(acquired_fds, 1);
	assert_int_equal(open_fds, 1);
}

static void
test_a_fresh_connection_is_made_when_asked_for(void **state)
{
	PLAY({ANSWER, OK_ANSWER "ok"}, {ANSWER, OK_ANSWER "ok"});
	exchange_ok("GET", "/", NULL, false, "ok");
	options.fresh = true;
	exchange_ok("GET", "/", NULL, false, "ok");
	assert_int_equal(server.connection_count, 2);
}

static void
test_transfers_at_the_same_time_each_get_their_own_answer(void **state)
{
	enum
	{
		MANY = 20
	};
	Exchange	x[MANY];
	static Step steps[MANY];
	char		answers[MANY][100];

	for (int i = 0; i < MANY; i++)
	{
		snprintf(answers[i], sizeof(answers[i]), OK_ANSWER "%02d", i);
		steps[i] = (Step){ANSWER, answers[i]};
	}
	play(steps, MANY);
	for (int i = 0; i < MANY; i++)
	{
		char		path[20];

		snprintf(path, sizeof(path), "/%02d", i);
		begin(&x[i], "POST", path, "{}", true);
	}
	for (int i = 0; i < MANY; i++)
		await(&x[i]);
	assert_int_equal(server.request_count, MANY);
	assert_int_equal(server.connection_count, MANY);
	assert_int_equal(open_fds, MANY);
	/* the n-th request that arrived was answered with n */
	for (int i = 0; i < MANY; i++)
	{
		Exchange   *asked = &x[strtol(server.requests[i] + strlen("POST /"), NULL, 10)];
		char		body[12];

		snprintf(body, sizeof(body), "%02d", i);
		check_ok(asked, 200, body);
	}
	for (int i = 0; i < MANY; i++)
		end(&x[i]);
}

static void
test_only_as_many_idle_connections_are_kept_as_allowed(void **state)
{
	Exchange	x[3];

	PLAY({ANSWER, OK_ANSWER "ok"}, {ANSWER, OK_ANSWER "ok"}, {ANSWER, OK_ANSWER "ok"});
	b24_http_limit(http, 100, 1);
	for (int i = 0; i < 3; i++)
		begin(&x[i], "GET", "/", NULL, false);
	for (int i = 0; i < 3; i++)
		await(&x[i]);
	for (int i = 0; i < 3; i++)
		end(&x[i]);
	settle();
	assert_int_equal(acquired_fds, 3);
	assert_int_equal(open_fds, 1);
	assert_int_equal(open_connections(), 1);
}

static void
test_transfers_beyond_the_limit_wait_for_a_connection(void **state)
{
	Exchange	x[6];

	PLAY({ANSWER, OK_ANSWER "ok"}, {ANSWER, OK_ANSWER "ok"}, {ANSWER, OK_ANSWER "ok"},
		 {ANSWER_AND_CLOSE, OK_ANSWER "ok"}, {ANSWER, OK_ANSWER "ok"}, {ANSWER, OK_ANSWER "ok"});
	b24_http_limit(http, 2, 2);
	for (int i = 0; i < 6; i++)
		begin(&x[i], "POST", "/", "{}", true);
	for (int i = 0; i < 6; i++)
	{
		await(&x[i]);
		assert_true(open_fds <= 2);
	}
	for (int i = 0; i < 6; i++)
	{
		check_ok(&x[i], 200, "ok");
		end(&x[i]);
	}
	assert_int_equal(server.request_count, 6);
}

/* libcurl looks at the clock of one that waits only when its turn comes. */
static void
test_a_transfer_that_waited_too_long_is_unreachable(void **state)
{
	Exchange	first;
	Exchange	second;

	PLAY({HANG});
	b24_http_limit(http, 1, 1);
	options.request_timeout_ms = 200;
	begin(&first, "POST", "/1", "{}", true);
	await_requests(1);
	options.request_timeout_ms = 50;
	begin(&second, "POST", "/2", "{}", true);
	await(&second);
	await(&first);
	check_failed(&first, B24_NO_ANSWER, true);
	check_failed(&second, B24_UNREACHABLE, false);
	end(&first);
	end(&second);
	assert_int_equal(server.request_count, 1);
}

static void
test_a_transfer_that_is_given_up_makes_room_for_one_that_waits(void **state)
{
	Exchange	first;
	Exchange	second;
	Exchange	third;

	PLAY({HANG}, {ANSWER, OK_ANSWER "ok"});
	b24_http_limit(http, 1, 1);
	begin(&first, "POST", "/1", "{}", true);
	await_requests(1);
	begin(&second, "POST", "/2", "{}", true);
	begin(&third, "POST", "/3", "{}", true);
	settle();
	assert_int_equal(server.request_count, 1);
	/* also one that still waits */
	end(&second);
	end(&first);
	await(&third);
	check_ok(&third, 200, "ok");
	end(&third);
	assert_memory_equal(server.requests[1], "POST /3 ", 8);
}

static void
test_a_refused_descriptor_is_unreachable(void **state)
{
	Exchange	x;

	PLAY({ANSWER, OK_ANSWER "ok"});
	allowed_fds = 0;
	begin(&x, "POST", "/", "{}", true);
	await(&x);
	check_failed(&x, B24_UNREACHABLE, false);
	end(&x);
	assert_int_equal(server.connection_count, 0);
	assert_int_equal(open_fds, 0);

	/* and the pool is none the worse for it */
	allowed_fds = 1;
	exchange_ok("POST", "/", "{}", true, "ok");
}

static void
test_a_refused_connection_is_unreachable(void **state)
{
	Exchange	x;
	char		base[50];
	int			port;
	int			fd = bind_somewhere(&port); /* nobody listens there */

	snprintf(base, sizeof(base), "http://127.0.0.1:%d", port);
	begin_at(&x, base, "POST", "/", "{}", true);
	await(&x);
	check_failed(&x, B24_UNREACHABLE, false);
	assert_int_equal(x.answer->http_status, 0);
	end(&x);
	assert_int_equal(open_fds, 0);
	close(fd);
}

static void
test_a_name_is_looked_up_beside_everything_else(void **state)
{
	Exchange	x;
	char		base[50];

	PLAY({ANSWER, OK_ANSWER "ok"});
	snprintf(base, sizeof(base), "http://localhost:%d", server.port);
	begin_at(&x, base, "GET", "/", NULL, false);
	await(&x);
	check_ok(&x, 200, "ok");
	end(&x);
	settle();
	assert_int_equal(open_fds, 1);
}

/* A part of a name has at most 63 characters, so that nobody need be asked. */
static void
test_a_name_that_cannot_be_found_is_unreachable(void **state)
{
	Exchange	x;

	begin_at(&x, "http://a123456789b123456789c123456789d123456789e123456789f123456789.invalid",
			 "POST", "/", "{}", true);
	await(&x);
	check_failed(&x, B24_UNREACHABLE, false);
	end(&x);
	assert_int_equal(open_fds, 0);
}

static void
test_http_is_refused_unless_allowed(void **state)
{
	Exchange	x;

	options.allow_http = false;
	begin(&x, "POST", "/", "{}", true);
	await(&x);
	check_failed(&x, B24_UNREACHABLE, false);
	end(&x);
	settle();
	assert_int_equal(acquired_fds, 0);
	assert_int_equal(server.connection_count, 0);
}

static void
test_other_protocols_are_refused(void **state)
{
	static const char *const bases[] = {
		"file:///etc/hostname", "ftp://127.0.0.1", "gopher://127.0.0.1", "dict://127.0.0.1",
	};

	for (size_t i = 0; i < COUNT(bases); i++)
	{
		Exchange	x;

		begin_at(&x, bases[i], "GET", "", NULL, false);
		await(&x);
		check_failed(&x, B24_UNREACHABLE, false);
		assert_null(x.answer->body);
		end(&x);
	}
	assert_int_equal(acquired_fds, 0);
}

/* Until TLS stands, nothing of the request has left. */
static void
test_a_failed_tls_handshake_is_unreachable(void **state)
{
	Exchange	x;
	char		base[50];

	PLAY({CLOSE}, {ANSWER_AND_CLOSE, "HTTP/1.1 400 Bad Request\r\n\r\n"});
	server.raw = true;
	snprintf(base, sizeof(base), "https://127.0.0.1:%d", server.port);
	for (int i = 0; i < 2; i++)
	{
		begin_at(&x, base, "POST", "/secret", "{\"secret\":1}", true);
		await(&x);
		check_failed(&x, B24_UNREACHABLE, false);
		end(&x);
	}
	assert_int_equal(server.request_count, 2);
	for (int i = 0; i < 2; i++)
		assert_null(strstr(server.requests[i], "secret"));
	assert_int_equal(open_fds, 0);
}

static void
test_proxies_of_the_environment_are_ignored(void **state)
{
	static const char *const names[] = {"http_proxy", "https_proxy", "all_proxy", "ALL_PROXY"};

	PLAY({ANSWER, OK_ANSWER "ok"});
	for (size_t i = 0; i < COUNT(names); i++)
		setenv(names[i], "http://127.0.0.1:1", 1);
	exchange_ok("GET", "/path", NULL, false, "ok");
	for (size_t i = 0; i < COUNT(names); i++)
		unsetenv(names[i]);
	assert_memory_equal(server.requests[0], "GET /path HTTP/1.1\r\n", 20);
}

/*
 * Connections that break
 */
static void
test_a_connection_closed_while_idle_is_silently_replaced(void **state)
{
	PLAY({ANSWER, OK_ANSWER "ok"}, {ANSWER, OK_ANSWER "ok"}, {ANSWER, OK_ANSWER "ok"});
	exchange_ok("POST", "/", "{}", true, "ok");
	close_all_connections();
	exchange_ok("POST", "/", "{}", true, "ok");
	close_all_connections();
	exchange_ok("GET", "/", NULL, false, "ok");
	assert_int_equal(server.connection_count, 3);
	assert_int_equal(server.request_count, 3);
	assert_int_equal(open_fds, 1);
}

static void
test_a_change_that_got_no_answer_on_a_used_connection_is_not_sent_again(void **state)
{
	Exchange	x;

	PLAY({ANSWER, OK_ANSWER "ok"}, {CLOSE}, {ANSWER, OK_ANSWER "no"});
	exchange_ok("POST", "/warm", "{}", true, "ok");
	begin(&x, "POST", "/pay", "{}", true);
	await(&x);
	check_failed(&x, B24_NO_ANSWER, true);
	assert_int_equal(x.answer->http_status, 0);
	settle();
	end(&x);
	settle();
	assert_int_equal(server.request_count, 2);
	assert_memory_equal(server.requests[1], "POST /pay ", 10);
	assert_int_equal(server.came_by[1], 0);
}

static void
test_a_change_that_was_reset_on_a_used_connection_is_not_sent_again(void **state)
{
	Exchange	x;

	PLAY({ANSWER, OK_ANSWER "ok"}, {RESET}, {ANSWER, OK_ANSWER "no"});
	exchange_ok("POST", "/warm", "{}", true, "ok");
	begin(&x, "POST", "/pay", "{}", true);
	await(&x);
	check_failed(&x, B24_NO_ANSWER, true);
	end(&x);
	settle();
	assert_int_equal(server.request_count, 2);
	assert_int_equal(server.came_by[1], 0);
}

static void
test_a_question_that_got_no_answer_on_a_used_connection_is_sent_again(void **state)
{
	PLAY({ANSWER, OK_ANSWER "ok"}, {CLOSE}, {ANSWER, OK_ANSWER "ok"});
	exchange_ok("POST", "/warm", "{}", true, "ok");
	exchange_ok("POST", "/ask", "{}", false, "ok");
	assert_int_equal(server.request_count, 3);
	assert_int_equal(server.came_by[1], 0);
	assert_int_equal(server.came_by[2], 1);
}

static void
test_nothing_is_sent_again_that_got_no_answer_on_a_new_connection(void **state)
{
	static const Step steps[] = {{CLOSE}, {CLOSE}, {RESET}, {RESET}};

	play(steps, COUNT(steps));
	for (int i = 0; i < 4; i++)
	{
		Exchange	x;

		begin(&x, "POST", "/", "{}", i % 2 == 0);
		await(&x);
		check_failed(&x, B24_NO_ANSWER, true);
		end(&x);
	}
	assert_int_equal(server.request_count, 4);
	assert_int_equal(open_fds, 0);
}

static void
test_half_a_body_is_no_answer(void **state)
{
	static const Step steps[] = {
		{ANSWER_AND_CLOSE, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"code\":\"000\""},
		{
			ANSWER_AND_CLOSE, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
			"5\r\n{\"co"
		},
		{
			ANSWER_AND_CLOSE, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
			"2\r\n{}\r\n"
		},
	};

	play(steps, COUNT(steps));
	for (size_t i = 0; i < COUNT(steps); i++)
	{
		Exchange	x;

		begin(&x, "POST", "/", "{}", true);
		await(&x);
		check_failed(&x, B24_NO_ANSWER, true);
		end(&x);
	}
	assert_int_equal(server.request_count, (int) COUNT(steps));
}

/* Some versions of libcurl take the headers that came for all of them. */
static void
test_half_the_headers_bring_no_body(void **state)
{
	Exchange	x;

	PLAY({ANSWER_AND_CLOSE, "HTTP/1.1 200 OK\r\nContent-Le"});
	begin(&x, "POST", "/", "{}", true);
	await(&x);
	if (x.answer->status == B24_OK)
		check_ok(&x, 200, "");
	else
		check_failed(&x, B24_NO_ANSWER, true);
	end(&x);
	assert_int_equal(server.request_count, 1);
}

static void
test_half_a_body_on_a_used_connection_is_no_answer_either(void **state)
{
	Exchange	x;

	PLAY({ANSWER, OK_ANSWER "ok"},
		 {ANSWER_AND_CLOSE, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"});
	exchange_ok("GET", "/", NULL, false, "ok");
	begin(&x, "GET", "/", NULL, false);
	await(&x);
	check_failed(&x, B24_NO_ANSWER, true);
	end(&x);
	assert_int_equal(server.request_count, 2);
}

/*
 * Limits
 */
static void
test_an_answer_may_be_just_as_large_as_allowed(void **state)
{
	Exchange	x;

	PLAY({ANSWER, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789"},
		 {ANSWER, "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n0123456789A"});
	options.max_response_size = 10;
	exchange_ok("GET", "/", NULL, false, "0123456789");
	begin(&x, "GET", "/", NULL, false);
	await(&x);
	check_failed(&x, B24_TOO_LARGE, true);
	assert_true(x.answer->body_length <= 10);
	end(&x);
}

static void
test_an_endless_body_is_too_large_while_it_arrives(void **state)
{
	static char chunk[20000];
	static Step steps[] = {{FLOOD, chunk}};
	Exchange	x;

	strcpy(chunk, "HTTP/1.1 200 OK\r\n\r\n");
	memset(chunk + strlen(chunk), 'x', sizeof(chunk) - 1 - strlen(chunk));
	play(steps, 1);
	options.max_response_size = 100000;
	begin(&x, "POST", "/", "{}", true);
	await(&x);
	check_failed(&x, B24_TOO_LARGE, true);
	assert_true(x.answer->body_length <= 100000);
	end(&x);
	assert_int_equal(open_fds, 0);
}

static void
test_a_body_counts_after_it_is_unpacked(void **state)
{
	/* 100000 blanks */
	static const char head[] =
		"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 133\r\n\r\n"
		"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xed\xc1\x31\x01\x00\x00\x00\xc2\xa0"
		"\x2a\xeb\x9f\xd2\x1a\x1e\x40\x01";
	static const char tail[] = "\xaf\x06\x2d\xf0\x79\xca\xa0\x86\x01\x00";
	static char bytes[sizeof(head) + 200];
	static Step steps[] = {{ANSWER, bytes}, {ANSWER, bytes}};
	size_t		packed = sizeof(head) - 1;
	Exchange	x;

	/* in between are zero bytes */
	memcpy(bytes, head, packed);
	packed += 133 - 27 - (sizeof(tail) - 1);
	memcpy(bytes + packed, tail, sizeof(tail) - 1);
	packed += sizeof(tail) - 1;
	steps[0].length = steps[1].length = packed;
	play(steps, 2);

	options.max_response_size = 100000;
	begin(&x, "GET", "/", NULL, false);
	await(&x);
	assert_int_equal(x.answer->status, B24_OK);
	assert_int_equal(x.answer->body_length, 100000);
	end(&x);

	options.max_response_size = 99999;
	begin(&x, "GET", "/", NULL, false);
	await(&x);
	check_failed(&x, B24_TOO_LARGE, true);
	end(&x);
}

static void
test_endless_headers_are_too_large(void **state)
{
	static char headers[300 * 1000 + 1];
	static Step steps[] = {{ANSWER, headers}};
	char	   *end_of = headers;
	Exchange	x;

	end_of += sprintf(end_of, "HTTP/1.1 200 OK\r\n");
	while (end_of + 1000 < headers + sizeof(headers))
	{
		memcpy(end_of, "X-Filler: ", 10);
		memset(end_of + 10, 'x', 988);
		memcpy(end_of + 998, "\r\n", 3);
		end_of += 1000;
	}
	play(steps, 1);
	begin(&x, "GET", "/", NULL, false);
	await(&x);
	check_failed(&x, B24_TOO_LARGE, true);
	end(&x);
}

static void
test_a_server_that_never_answers_times_out_as_no_answer(void **state)
{
	Exchange	x;
	int64_t		started = now_ms();

	PLAY({HANG});
	options.request_timeout_ms = 100;
	begin(&x, "POST", "/", "{}", true);
	await(&x);
	check_failed(&x, B24_NO_ANSWER, true);
	assert_true(now_ms() - started >= 90);
	end(&x);
	assert_int_equal(open_fds, 0);
	assert_int_equal(server.request_count, 1);
}

static void
test_an_answer_that_stops_halfway_times_out_as_no_answer(void **state)
{
	Exchange	x;

	PLAY({ANSWER, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"});
	options.request_timeout_ms = 100;
	begin(&x, "POST", "/", "{}", true);
	await(&x);
	check_failed(&x, B24_NO_ANSWER, true);
	end(&x);
	assert_int_equal(open_fds, 0);
}

static void
test_a_tls_handshake_that_stops_times_out_as_unreachable(void **state)
{
	Exchange	x;
	char		base[50];

	PLAY({HANG});
	server.raw = true;
	snprintf(base, sizeof(base), "https://127.0.0.1:%d", server.port);
	options.connect_timeout_ms = 100;
	begin_at(&x, base, "POST", "/", "{}", true);
	await(&x);
	check_failed(&x, B24_UNREACHABLE, false);
	end(&x);
	assert_int_equal(open_fds, 0);
}

/* A listener whose queue is full, so that connecting to it takes for ever. */
typedef struct Deaf
{
	int			listener;
	int			fillers[16];
	int			filler_count;
	char		base[50];
	bool		deaf;
}			Deaf;

static void
make_deaf(Deaf *deaf)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	int			port;

	memset(deaf, 0, sizeof(*deaf));
	deaf->listener = bind_somewhere(&port);
	assert_int_equal(listen(deaf->listener, 0), 0);
	snprintf(deaf->base, sizeof(deaf->base), "http://127.0.0.1:%d", port);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	address.sin_port = htons(port);
	while (!deaf->deaf && deaf->filler_count < (int) COUNT(deaf->fillers))
	{
		struct pollfd one = {.events = POLLOUT};

		one.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		set_nonblocking(one.fd);
		deaf->fillers[deaf->filler_count++] = one.fd;
		deaf->deaf = connect(one.fd, (struct sockaddr *) &address, sizeof(address)) != 0 &&
			errno == EINPROGRESS && poll(&one, 1, 50) == 0;
	}
}

static void
close_deaf(Deaf *deaf)
{
	while (deaf->filler_count > 0)
		close(deaf->fillers[--deaf->filler_count]);
	close(deaf->listener);
}

static void
test_connecting_times_out_as_unreachable(void **state)
{
	Deaf		deaf;
	Exchange	x;

	make_deaf(&deaf);
	if (!deaf.deaf)
	{
		/* this kernel accepts more than it was told to */
		close_deaf(&deaf);
		skip();
	}
	options.connect_timeout_ms = 100;
	begin_at(&x, deaf.base, "POST", "/", "{}", true);
	await(&x);
	check_failed(&x, B24_UNREACHABLE, false);
	end(&x);

	/* the limit for all of it counts for connecting as well */
	options.connect_timeout_ms = PATIENCE_MS;
	options.request_timeout_ms = 100;
	begin_at(&x, deaf.base, "POST", "/", "{}", true);
	await(&x);
	check_failed(&x, B24_UNREACHABLE, false);
	end(&x);
	assert_int_equal(open_fds, 0);
	close_deaf(&deaf);
}

/*
 * Transfers that are given up
 */
static void
test_a_transfer_ended_before_it_began_costs_nothing(void **state)
{
	Exchange	x;

	begin(&x, "POST", "/", "{}", true);
	end(&x);
	settle();
	assert_int_equal(open_fds, 0);
	assert_int_equal(server.request_count, 0);
}

static void
test_a_transfer_ended_while_connecting_frees_its_socket(void **state)
{
	Deaf		deaf;
	Exchange	x;

	make_deaf(&deaf);
	if (!deaf.deaf)
	{
		close_deaf(&deaf);
		skip();
	}
	begin_at(&x, deaf.base, "POST", "/", "{}", true);
	settle();
	assert_int_equal(acquired_fds, 1);
	assert_int_equal(open_fds, 1);
	end(&x);
	assert_int_equal(open_fds, 0);
	assert_int_equal(watched_count, 0);
	close_deaf(&deaf);
}

static void
test_a_transfer_ended_while_waiting_frees_its_socket(void **state)
{
	Exchange	x;

	PLAY({ANSWER, OK_ANSWER "ok"}, {HANG}, {ANSWER, OK_ANSWER "ok"});
	exchange_ok("GET", "/", NULL, false, "ok");
	begin(&x, "POST", "/", "{}", true);
	await_requests(2);
	assert_int_equal(open_fds, 1);
	end(&x);
	assert_int_equal(open_fds, 0);
	settle();
	assert_int_equal(open_connections(), 0);

	/* the next one does not get a connection with an answer outstanding */
	exchange_ok("POST", "/", "{}", true, "ok");
	assert_int_equal(server.connection_count, 2);
}

static void
test_a_transfer_ended_in_the_middle_of_its_answer_frees_its_socket(void **state)
{
	Exchange	x;

	PLAY({ANSWER, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"});
	begin(&x, "POST", "/", "{}", true);
	await_requests(1);
	settle();
	end(&x);
	assert_int_equal(open_fds, 0);
}

static void
test_a_transfer_ended_when_done_but_not_collected_is_forgotten(void **state)
{
	Exchange	x;

	PLAY({ANSWER, OK_ANSWER "ok"}, {ANSWER, OK_ANSWER "ok"});
	begin(&x, "POST", "/", "{}", true);
	await_requests(1);
	settle();
	end(&x);
	assert_null(b24_http_next_done(http));
	exchange_ok("POST", "/", "{}", true, "ok");
}

static void
test_transfers_are_started_and_ended_many_times_without_a_leak(void **state)
{
	static const Step hang = {HANG};
	static Step steps[MAX_REQUESTS];

	for (int i = 0; i < MAX_REQUESTS; i++)
		steps[i] = hang;
	play(steps, MAX_REQUESTS);
	for (int round = 0; round < 10; round++)
	{
		Exchange	x[5];

		for (int i = 0; i < 5; i++)
			begin(&x[i], "POST", "/", "{}", true);
		for (int i = 0; i < round; i++)
			turn(1);
		for (int i = 0; i < 5; i++)
			end(&x[(i + round) % 5]);
		settle();
		assert_int_equal(open_fds, 0);
		assert_int_equal(open_connections(), 0);
	}
}

/*
 * Addresses
 */
static void
test_a_base_url_is_a_server_and_perhaps_a_path(void **state)
{
	static const char *const good[] = {
		"https://merchantapi-demo.bill24.io", "https://api.example:8443", "http://127.0.0.1:80",
		"https://api.example/prefix", "http://[::1]:8080",
	};
	static const char *const bad[] = {
		"", "https://", "http://", "api.example", "//api.example", "ftp://api.example",
		"HTTPS:/api.example", "https:api.example", " https://api.example", "https://api.example ",
		"https://api example", "https://api.example\n", "https://api.example\r\nX: 1",
		"https://api.example\\@evil.example", "https://user@api.example",
		"https://user:password@api.example", "https://:password@api.example",
		"https://api.example?a=b", "https://api.example/?", "https://api.example/#",
		"https://api.example#x", "https://api.example:port", "https://api.example:99999",
		"https://[::1", "file:///etc/passwd",
	};

	for (size_t i = 0; i < COUNT(good); i++)
	{
		B24Problem	problem = {B24_OK, ""};

		if (b24_url_check_base(good[i], &problem) != B24_OK)
			fail_msg("\"%s\": %s", good[i], problem.text);
	}
	for (size_t i = 0; i < COUNT(bad); i++)
	{
		B24Problem	problem = {B24_OK, ""};

		if (b24_url_check_base(bad[i], &problem) != B24_BAD_ARGUMENT)
			fail_msg("\"%s\" was accepted", bad[i]);
		assert_int_equal(problem.status, B24_BAD_ARGUMENT);
		assert_true(problem.text[0] != '\0');
		/* there may be a password in it */
		assert_null(strstr(problem.text, ":password"));
	}
	assert_true(b24_url_is_https("https://api.example"));
	assert_false(b24_url_is_https("http://api.example"));
}

static void
test_escaping_leaves_only_what_is_safe_in_a_url(void **state)
{
	static const char safe[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";

	for (int c = 1; c < 256; c++)
	{
		char		text[2] = {(char) c, 'x'};
		char		expected[10];
		char	   *escaped = b24_url_escape(text, 2);

		snprintf(expected, sizeof(expected), strchr(safe, c) != NULL ? "%cx" : "%%%02Xx", c);
		assert_string_equal(escaped, expected);
		free(escaped);
	}
}

static void
test_escaping_hides_steps_in_a_path(void **state)
{
	static const char *const cases[][2] = {
		{"", ""}, {".", "%2E"}, {"..", "%2E%2E"}, {"...", "..."}, {".a", ".a"}, {"a.", "a."},
	};

	for (size_t i = 0; i < COUNT(cases); i++)
	{
		char	   *escaped = b24_url_escape(cases[i][0], strlen(cases[i][0]));

		assert_string_equal(escaped, cases[i][1]);
		free(escaped);
	}
	{
		/* the length counts */
		char	   *escaped = b24_url_escape("..x", 2);

		assert_string_equal(escaped, "%2E%2E");
		free(escaped);
	}
}

/*
 * What the statistics count
 */
static void
test_bytes_are_counted(void **state)
{
	Exchange	x;

	PLAY({ANSWER, OK_ANSWER "{}"});
	begin(&x, "POST", "/", "{}", true);
	await(&x);
	check_ok(&x, 200, "{}");
	assert_int_equal(x.answer->bytes_sent, 2);
	assert_int_equal(x.answer->bytes_received, 2);
	end(&x);
}

/* Of a process that goes on with them after a transaction failed. */
static void
test_detached_transfers_are_not_abandoned(void **state)
{
	Exchange	x;
	Exchange	y;

	PLAY({ANSWER, OK_ANSWER "{}"});
	options.detached = true;
	begin(&x, "POST", "/x", "{}", true);
	options.detached = false;
	begin(&y, "POST", "/y", "{}", true);
	b24_http_abandon(http);
	await(&x);
	check_ok(&x, 200, "{}");
	assert_null(y.answer);
	end(&y);
	end(&x);
	assert_int_equal(server.request_count, 1);
}

#define with_server(test_) cmocka_unit_test_setup_teardown(test_, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		with_server(test_a_request_arrives_as_it_was_made),
		with_server(test_every_method_goes_out_under_its_own_name),
		with_server(test_a_get_after_a_post_has_no_body),
		with_server(test_a_post_without_body_says_that_it_is_empty),
		with_server(test_a_large_body_goes_out_without_asking_first),
		with_server(test_an_empty_answer_has_no_body),
		with_server(test_chunks_are_put_together),
		with_server(test_a_body_with_nul_bytes_is_kept_with_its_length),
		with_server(test_an_interim_answer_is_not_the_answer),
		with_server(test_a_gzip_answer_is_unpacked),
		with_server(test_what_only_calls_itself_gzip_is_nonsense),
		with_server(test_what_is_not_http_is_nonsense),
		with_server(test_date_and_content_type_are_read),
		with_server(test_retry_after_is_read_from_429_and_503),
		with_server(test_redirects_are_not_followed),
		with_server(test_one_connection_is_used_again_and_again),
		with_server(test_a_fresh_connection_is_made_when_asked_for),
		with_server(test_transfers_at_the_same_time_each_get_their_own_answer),
		with_server(test_only_as_many_idle_connections_are_kept_as_allowed),
		with_server(test_transfers_beyond_the_limit_wait_for_a_connection),
		with_server(test_a_transfer_that_waited_too_long_is_unreachable),
		with_server(test_bytes_are_counted),
		with_server(test_detached_transfers_are_not_abandoned),
		with_server(test_a_transfer_that_is_given_up_makes_room_for_one_that_waits),
		with_server(test_a_refused_descriptor_is_unreachable),
		with_server(test_a_refused_connection_is_unreachable),
		with_server(test_a_name_is_looked_up_beside_everything_else),
		with_server(test_a_name_that_cannot_be_found_is_unreachable),
		with_server(test_http_is_refused_unless_allowed),
		with_server(test_other_protocols_are_refused),
		with_server(test_a_failed_tls_handshake_is_unreachable),
		with_server(test_proxies_of_the_environment_are_ignored),
		with_server(test_a_connection_closed_while_idle_is_silently_replaced),
		with_server(test_a_change_that_got_no_answer_on_a_used_connection_is_not_sent_again),
		with_server(test_a_change_that_was_reset_on_a_used_connection_is_not_sent_again),
		with_server(test_a_question_that_got_no_answer_on_a_used_connection_is_sent_again),
		with_server(test_nothing_is_sent_again_that_got_no_answer_on_a_new_connection),
		with_server(test_half_a_body_is_no_answer),
		with_server(test_half_the_headers_bring_no_body),
		with_server(test_half_a_body_on_a_used_connection_is_no_answer_either),
		with_server(test_an_answer_may_be_just_as_large_as_allowed),
		with_server(test_an_endless_body_is_too_large_while_it_arrives),
		with_server(test_a_body_counts_after_it_is_unpacked),
		with_server(test_endless_headers_are_too_large),
		with_server(test_a_server_that_never_answers_times_out_as_no_answer),
		with_server(test_an_answer_that_stops_halfway_times_out_as_no_answer),
		with_server(test_a_tls_handshake_that_stops_times_out_as_unreachable),
		with_server(test_connecting_times_out_as_unreachable),
		with_server(test_a_transfer_ended_before_it_began_costs_nothing),
		with_server(test_a_transfer_ended_while_connecting_frees_its_socket),
		with_server(test_a_transfer_ended_while_waiting_frees_its_socket),
		with_server(test_a_transfer_ended_in_the_middle_of_its_answer_frees_its_socket),
		with_server(test_a_transfer_ended_when_done_but_not_collected_is_forgotten),
		with_server(test_transfers_are_started_and_ended_many_times_without_a_leak),
		cmocka_unit_test(test_a_base_url_is_a_server_and_perhaps_a_path),
		cmocka_unit_test(test_escaping_leaves_only_what_is_safe_in_a_url),
		cmocka_unit_test(test_escaping_hides_steps_in_a_path),
	};

	if (!b24_http_init())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
