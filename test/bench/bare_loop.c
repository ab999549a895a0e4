/*-------------------------------------------------------------------------
 *
 * bare_loop.c
 *	  What libcurl does without PostgreSQL around it: the yardstick.
 *
 *	bare_loop easy URL SECONDS PROCESSES	one call after the other, on a kept
 *											connection, in each process
 *	bare_loop multi URL CALLS IN_FLIGHT		many calls at once
 *	bare_loop create URL CALLS IN_FLIGHT PREFIX	the same, each of which creates a
 *											customer
 *	bare_loop detail URL CALLS IN_FLIGHT PREFIX	the same, each of which asks for a
 *											customer with the wallets
 *	bare_loop ask URL [BODY]				one GET, or POST, to see the answer
 *	bare_loop page URL						one GET of any size, to keep the answer
 *	bare_loop version						of libcurl
 *
 * easy and multi log in first and then ask for wallet balances, create and
 * detail do what they say, with the same headers and body as bill24 sends.  They print the
 * number of calls and the seconds that these took.  Only a call with HTTP status
 * 200 and the code of a success counts; any other ends the program with an
 * error.
 *
 * Nothing here is done twice that can be done once: options are set per
 * handle, not per call, and answers are looked at, not parsed.
 *
 *-------------------------------------------------------------------------
 */
#include <curl/curl.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PATH "/instant_payment/get_wallet_balance"
#define CREATE_PATH "/customer/create"
#define DETAIL_PATH "/customer/get_customer_detail"
#define CUSTOMERS 1000			/* of "easy", round and round */

#define MAX_ANSWER 16384
#define MAX_TOKEN 8192
#define MAX_PROCESSES 1024
#define MAX_IN_FLIGHT 4096
#define MAX_SECONDS 300			/* then somebody waits in vain */
#define CALL_TIMEOUT_MS 30000L

typedef struct Transfer
{
	CURL	   *easy;
	char		url[512];
	char		body[128];
	char		answer[MAX_ANSWER];
	size_t		length;
} Transfer;

static struct curl_slist *headers;

static void
die(const char *what, const char *why)
{
	fprintf(stderr, "bare_loop: %s: %s\n", what, why);
	exit(1);
}

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

static long
number(const char *text, long most)
{
	char	   *end;
	long		value = strtol(text, &end, 10);

	if (*text == '\0' || *end != '\0' || value < 1 || value > most)
		die("not a number that fits", text);
	return value;
}

static void
add_header(const char *line)
{
	headers = curl_slist_append(headers, line);
	if (headers == NULL)
		die("headers", "out of memory");
}

/* The answer, NUL behind it; one that does not fit ends the transfer. */
static size_t
take(char *data, size_t unit, size_t count, void *context)
{
	Transfer   *t = context;
	size_t		length = unit * count;

	if (length >= MAX_ANSWER - t->length)
		return 0;
	memcpy(t->answer + t->length, data, length);
	t->length += length;
	t->answer[t->length] = '\0';
	return length;
}

/* A handle for POSTs to the path; what is posted comes later. */
static void
prepare(Transfer *t, const char *base, const char *path)
{
	t->easy = curl_easy_init();
	if (t->easy == NULL)
		die("libcurl", "out of memory");
	snprintf(t->url, sizeof(t->url), "%s%s", base, path);
	curl_easy_setopt(t->easy, CURLOPT_URL, t->url);
	curl_easy_setopt(t->easy, CURLOPT_PRIVATE, t);
	curl_easy_setopt(t->easy, CURLOPT_PROXY, "");
	curl_easy_setopt(t->easy, CURLOPT_USERAGENT, "bill24/1.0 bare loop");
	curl_easy_setopt(t->easy, CURLOPT_ACCEPT_ENCODING, "gzip");
	curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(t->easy, CURLOPT_WRITEFUNCTION, take);
	curl_easy_setopt(t->easy, CURLOPT_WRITEDATA, t);
	curl_easy_setopt(t->easy, CURLOPT_TIMEOUT_MS, CALL_TIMEOUT_MS);
	curl_easy_setopt(t->easy, CURLOPT_NOSIGNAL, 1L);
}

static void
set_body(Transfer *t, const char *body)
{
	curl_easy_setopt(t->easy, CURLOPT_POSTFIELDSIZE, (long) strlen(body));
	curl_easy_setopt(t->easy, CURLOPT_POSTFIELDS, body);
	t->length = 0;
	t->answer[0] = '\0';
}

static void
set_customer(Transfer *t, const char *prefix, long i)
{
	(void) prefix;
	snprintf(t->body, sizeof(t->body), "{\"customer_sync_code\":\"C%07ld\"}", i);
	set_body(t, t->body);
}

static void
set_new_customer(Transfer *t, const char *prefix, long i)
{
	snprintf(t->body, sizeof(t->body),
			 "{\"sync_code\":\"%.20s%07ld\",\"name\":\"Customer %ld\"}", prefix, i, i);
	set_body(t, t->body);
}

static void
set_known_customer(Transfer *t, const char *prefix, long i)
{
	snprintf(t->body, sizeof(t->body), "{\"sync_code\":\"%.20s%07ld\"}", prefix, i);
	set_body(t, t->body);
}

/* Did the call succeed?  If not, this is the end. */
static void
check(Transfer *t, CURLcode code, const char *wanted)
{
	long		status = 0;

	if (code != CURLE_OK)
		die(t->url, curl_easy_strerror(code));
	curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
	if (status != 200 || strstr(t->answer, wanted) == NULL)
		die(t->url, t->answer);
}

/* Obtains a bearer token and makes the headers of all calls. */
static void
log_in(const char *base)
{
	static const char start[] = "\"token\":\"";
	static char bearer[MAX_TOKEN + 32];
	Transfer   *t = calloc(1, sizeof(Transfer));
	const char *token;
	size_t		length;

	if (t == NULL)
		die("login", "out of memory");
	add_header("Content-Type: application/json");
	add_header("Accept: application/json");
	prepare(t, base, "/merchantsecurity/authorize");
	set_body(t, "{\"token\":\"00000000-0000-4000-8000-000000000001\","
			 "\"clientId\":\"demo_client\",\"secret\":\"demo-secret\","
			 "\"refreshToken\":\"\"}");
	check(t, curl_easy_perform(t->easy), start);
	token = strstr(t->answer, start) + strlen(start);
	length = strcspn(token, "\"");
	if (length > MAX_TOKEN)
		die("login", "the token is too long");
	snprintf(bearer, sizeof(bearer), "Authorization: Bearer %.*s", (int) length,
			 token);
	curl_easy_cleanup(t->easy);
	free(t);
	add_header(bearer);
}

/*
 * One call after the other
 */
static long
call_until(const char *base, double end, long first)
{
	Transfer   *t = calloc(1, sizeof(Transfer));
	long		calls = 0;

	if (t == NULL)
		die("calls", "out of memory");
	prepare(t, base, PATH);
	do
	{
		set_customer(t, NULL, (first + calls) % CUSTOMERS + 1);
		check(t, curl_easy_perform(t->easy), "\"code\":\"000\"");
		calls++;
	} while (now() < end);
	curl_easy_cleanup(t->easy);
	free(t);
	return calls;
}

static void
run_easy(const char *base, long seconds, int processes)
{
	long	   *calls = mmap(NULL, MAX_PROCESSES * sizeof(long),
							 PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
							 -1, 0);
	double		start;
	long		sum = 0;
	int			status;
	bool		failed = false;

	if (calls == MAP_FAILED)
		die("mmap", strerror(errno));
	log_in(base);
	start = now();
	for (int i = 0; i < processes; i++)
	{
		pid_t		pid = fork();

		if (pid < 0)
			die("fork", strerror(errno));
		if (pid == 0)
		{
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			alarm(MAX_SECONDS);
			calls[i] = call_until(base, start + (double) seconds,
								  i * CUSTOMERS / processes);
			_exit(0);
		}
	}
	while (wait(&status) > 0)
		failed = failed || status != 0;
	if (failed)
		die("easy", "a process failed");
	for (int i = 0; i < processes; i++)
		sum += calls[i];
	printf("%ld %.6f\n", sum, now() - start);
}

/*
 * Many calls at once, by libcurl's sockets interface and epoll
 */
static int	epoll_fd;
static long timeout_ms = -1;

static int
watch_socket(CURL *easy, curl_socket_t fd, int what, void *context,
			 void *socket_context)
{
	struct epoll_event event = {.data.fd = fd};

	(void) easy;
	(void) context;
	if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
		event.events |= EPOLLIN;
	if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
		event.events |= EPOLLOUT;
	if (what == CURL_POLL_REMOVE)
		epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, NULL);
	else if (socket_context != NULL)
		epoll_ctl(epoll_fd, EPOLL_CTL_MOD, fd, &event);
	else
	{
		epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
		curl_multi_assign(context, fd, &epoll_fd);	/* not NULL from now on */
	}
	return 0;
}

static int
set_timer(CURLM *multi, long ms, void *context)
{
	(void) multi;
	(void) context;
	timeout_ms = ms;
	return 0;
}

static void
serve_sockets(CURLM *multi)
{
	struct epoll_event events[256];
	int			running;
	int			count = epoll_wait(epoll_fd, events, 256, (int) timeout_ms);

	if (count <= 0)
		curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &running);
	for (int i = 0; i < count; i++)
	{
		int			what = 0;

		if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
			what |= CURL_CSELECT_IN;
		if (events[i].events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
			what |= CURL_CSELECT_OUT;
		curl_multi_socket_action(multi, events[i].data.fd, what, &running);
	}
}

/* What is asked for, and how a success begins. */
typedef struct Call
{
	const char *path;
	const char *wanted;
	void		(*set) (Transfer *t, const char *prefix, long i);
	const char *prefix;
} Call;

static void
run_multi(const char *base, long calls, int in_flight, const Call *call)
{
	CURLM	   *multi;
	Transfer   *transfers = calloc((size_t) in_flight, sizeof(Transfer));
	CURLMsg    *message;
	long		started = 0;
	long		done = 0;
	int			left;
	double		start;

	log_in(base);
	multi = curl_multi_init();
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (multi == NULL || transfers == NULL || epoll_fd < 0)
		die("multi", "out of memory");
	curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
	curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, multi);
	curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, set_timer);
	curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long) in_flight);

	start = now();
	for (; started < calls && started < in_flight; started++)
	{
		prepare(&transfers[started], base, call->path);
		call->set(&transfers[started], call->prefix, started + 1);
		curl_multi_add_handle(multi, transfers[started].easy);
	}
	while (done < calls)
	{
		serve_sockets(multi);
		while ((message = curl_multi_info_read(multi, &left)) != NULL)
		{
			CURL	   *easy = message->easy_handle;
			Transfer   *t = NULL;

			curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **) &t);
			check(t, message->data.result, call->wanted);
			done++;
			curl_multi_remove_handle(multi, easy);
			if (started < calls)
			{
				call->set(t, call->prefix, ++started);
				curl_multi_add_handle(multi, easy);
			}
		}
	}
	printf("%ld %.6f\n", done, now() - start);
}

/* For the script around: a request to the simulator's control interface. */
static void
run_ask(const char *url, const char *body)
{
	Transfer   *t = calloc(1, sizeof(Transfer));

	if (t == NULL)
		die("ask", "out of memory");
	add_header("Content-Type: application/json");
	prepare(t, url, "");
	if (body != NULL)
		set_body(t, body);
	check(t, curl_easy_perform(t->easy), "");
	puts(t->answer);
}

/* The answer as it comes. */
static size_t
give(char *data, size_t unit, size_t count, void *context)
{
	(void) context;
	return fwrite(data, unit, count, stdout);
}

static void
run_page(const char *url)
{
	Transfer   *t = calloc(1, sizeof(Transfer));

	if (t == NULL)
		die("page", "out of memory");
	prepare(t, url, "");
	curl_easy_setopt(t->easy, CURLOPT_WRITEFUNCTION, give);
	check(t, curl_easy_perform(t->easy), "");
	if (fflush(stdout) != 0)
		die("page", strerror(errno));
}

int
main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";

	alarm(MAX_SECONDS);
	curl_global_init(CURL_GLOBAL_ALL);
	if (strcmp(mode, "easy") == 0 && argc == 5)
		run_easy(argv[2], number(argv[3], MAX_SECONDS),
				 (int) number(argv[4], MAX_PROCESSES));
	else if (strcmp(mode, "multi") == 0 && argc == 5)
		run_multi(argv[2], number(argv[3], 9999999),
				  (int) number(argv[4], MAX_IN_FLIGHT),
				  &(Call) {PATH, "\"code\":\"000\"", set_customer, NULL});
	else if (strcmp(mode, "create") == 0 && argc == 6)
		run_multi(argv[2], number(argv[3], 9999999),
				  (int) number(argv[4], MAX_IN_FLIGHT),
				  &(Call) {CREATE_PATH, "\"code\":\"SUCCESS\"", set_new_customer,
				  argv[5]});
	else if (strcmp(mode, "detail") == 0 && argc == 6)
		run_multi(argv[2], number(argv[3], 9999999),
				  (int) number(argv[4], MAX_IN_FLIGHT),
				  &(Call) {DETAIL_PATH, "\"code\":\"000\"", set_known_customer,
				  argv[5]});
	else if (strcmp(mode, "page") == 0 && argc == 3)
		run_page(argv[2]);
	else if (strcmp(mode, "ask") == 0 && (argc == 3 || argc == 4))
		run_ask(argv[2], argv[3]);
	else if (strcmp(mode, "version") == 0 && argc == 2)
		puts(curl_version());
	else
	{
		fputs("usage: bare_loop easy URL SECONDS PROCESSES\n"
			  "       bare_loop multi URL CALLS IN_FLIGHT\n"
			  "       bare_loop create URL CALLS IN_FLIGHT PREFIX\n"
			  "       bare_loop detail URL CALLS IN_FLIGHT PREFIX\n"
			  "       bare_loop ask URL [BODY]\n"
			  "       bare_loop page URL\n"
			  "       bare_loop version\n", stderr);
		return 2;
	}
	return 0;
}
