/*-------------------------------------------------------------------------
 *
 * http.c
 *	  HTTP transfers, many at once, by libcurl's multi interface.
 *
 * What may go wrong stays a return value: the callbacks only write down what
 * libcurl tells, and an error aborts the transfer, not the program.
 *
 * libcurl may start a thread to look up a name.  That thread must not take
 * the signals of this process, so all signals are blocked while libcurl goes
 * on with transfers; it never takes long, since it never waits.
 *
 *-------------------------------------------------------------------------
 */
#include "http.h"

#include <curl/curl.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"

/* Headers beyond this are an attack; the documented answers have a few 100. */
#define MAX_HEADER_BYTES (256 * 1024)

/* Idle handles kept for the next transfers. */
#define MAX_SPARE_HANDLES 1024

/*
 * How long a connection is kept idle.  libcurl asks all of them once a second
 * whether they are still alive, and a request waits for that: of more than a
 * few, those that were not needed all the time that others were in use, are
 * closed sooner.  After a pause all of them may be needed again.
 */
#define MAX_IDLE_S 118L
#define FEW_CONNECTIONS 16
#define MAX_IDLE_OF_MANY_S 10L

/*
 * libcurl repeats a request by itself when a kept connection turns out to be
 * dead.  Since 7.80 a callback just before sending can refuse that; before, a
 * request that changes something always gets a connection of its own.
 */
#define HAVE_PREREQ (LIBCURL_VERSION_NUM >= 0x075000)

struct B24Transfer
{
	B24Http    *http;
	B24Transfer *next;			/* among those not ended */
	B24Transfer **link;			/* what points to this one */
	CURL	   *easy;
	struct curl_slist *headers;
	void	   *owner;
	bool		changes;
	bool		detached;
	bool		done;
	bool		too_large;
	bool		opened;			/* a socket, which may vanish */
	bool		reusable;		/* the handle is */
	size_t		max_body;
	size_t		body_size;		/* allocated */
	size_t		header_bytes;
	B24HttpAnswer answer;
	char		error[CURL_ERROR_SIZE];
};

struct B24Http
{
	CURLM	   *multi;
	B24HttpHooks hooks;
	char	   *user_agent;
	char	   *bundle;			/* the system's authorities, if in one file */
	bool		timer_set;
	int64_t		timer_at_ms;	/* monotonic */
	int64_t		used_at_ms;		/* the same: when a transfer began */
	int64_t		used_since_ms;	/* and the first one without a pause since */
	B24Transfer *transfers;		/* all that are not ended */
	B24Sockets	sockets;
	char		date[64];		/* the last header Date */
	size_t		date_length;
	long		date_s;			/* and what it says */
	int			spare_count;
	CURL	   *spare[MAX_SPARE_HANDLES];
};

static void
block_signals(sigset_t *saved)
{
	sigset_t	all;

	sigfillset(&all);
	/* faults of our own must still be seen */
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGBUS);
	sigdelset(&all, SIGFPE);
	sigdelset(&all, SIGILL);
	sigdelset(&all, SIGABRT);
	pthread_sigmask(SIG_BLOCK, &all, saved);
}

static void
restore_signals(const sigset_t *saved)
{
	pthread_sigmask(SIG_SETMASK, saved, NULL);
}

/*
 * Sockets
 */
static curl_socket_t
open_socket(void *context, curlsocktype purpose, struct curl_sockaddr *address)
{
	B24Transfer *t = context;
	B24Http    *http = t->http;
	B24Socket  *s = NULL;
	struct stat status;
	int			fd;

	(void) purpose;
	if (http->hooks.acquire_fd != NULL && !http->hooks.acquire_fd())
		return CURL_SOCKET_BAD;
	fd = socket(address->family, address->socktype | SOCK_CLOEXEC,
				address->protocol);
	if (fd >= 0 && (fstat(fd, &status) != 0 ||
					(s = b24_sockets_add(&http->sockets, fd, true)) == NULL))
	{
		close(fd);
		fd = -1;
	}
	if (s != NULL)
	{
		s->inode = (uint64_t) status.st_ino;
		s->opener = t;
		t->opened = true;
	}
	if (fd < 0 && http->hooks.release_fd != NULL)
		http->hooks.release_fd();
	return fd < 0 ? CURL_SOCKET_BAD : fd;
}

static int
close_socket(void *context, curl_socket_t fd)
{
	B24Http    *http = context;
	B24Socket  *s = b24_sockets_find(&http->sockets, fd);

	if (s != NULL)
	{
		bool		ours = s->ours;

		b24_sockets_drop(&http->sockets, s);
		if (ours && http->hooks.release_fd != NULL)
			http->hooks.release_fd();
	}
	return close(fd);
}

/*
 * libcurl 7.88.0 to 8.1.2 closes a socket that is still connecting without a
 * word.  With the end of a transfer, those of its sockets that are no more are
 * noticed; with NULL, all that are left.
 */
static void
drop_vanished(B24Http *http, const B24Transfer *opener)
{
	B24Socket  *next;

	for (B24Socket *s = http->sockets.all; s != NULL; s = next)
	{
		struct stat status;

		next = s->next;
		if (!s->ours || (opener != NULL && s->opener != opener))
			continue;
		s->opener = NULL;
		if (opener != NULL && fstat(s->fd, &status) == 0 &&
			(uint64_t) status.st_ino == s->inode)
			continue;
		b24_sockets_drop(&http->sockets, s);
		if (http->hooks.release_fd != NULL)
			http->hooks.release_fd();
	}
}

/* libcurl says what it waits for at a socket. */
static int
watch_socket(CURL *easy, curl_socket_t fd, int what, void *context,
			 void *socket_context)
{
	B24Http    *http = context;
	B24Socket  *s = socket_context;

	(void) easy;
	if (s == NULL)
	{
		s = b24_sockets_find(&http->sockets, fd);
		if (what == CURL_POLL_REMOVE)
		{
			if (s != NULL)
			{
				s->want_read = s->want_write = false;
				b24_sockets_note(&http->sockets, s);
			}
			return 0;
		}
		/* one that libcurl opened by itself, to hear from its resolver */
		if (s == NULL)
			s = b24_sockets_add(&http->sockets, fd, false);
		if (s == NULL)
			return -1;
		curl_multi_assign(http->multi, fd, s);
	}
	s->want_read = what == CURL_POLL_IN || what == CURL_POLL_INOUT;
	s->want_write = what == CURL_POLL_OUT || what == CURL_POLL_INOUT;
	if (what == CURL_POLL_REMOVE && !s->ours)
		b24_sockets_drop(&http->sockets, s);	/* we would not see it close */
	else
		b24_sockets_note(&http->sockets, s);
	return 0;
}

static int
set_timer(CURLM *multi, long timeout_ms, void *context)
{
	B24Http    *http = context;

	(void) multi;
	http->timer_set = timeout_ms >= 0;
	http->timer_at_ms = b24_now_ms() + timeout_ms;
	return 0;
}

/*
 * Answers
 */
static size_t
take_body(char *data, size_t unit, size_t count, void *context)
{
	B24Transfer *t = context;
	B24HttpAnswer *answer = &t->answer;
	size_t		length = unit * count;

	if (length > t->max_body - answer->body_length)
	{
		t->too_large = true;
		return 0;
	}
	/* one more for the NUL behind it */
	if (answer->body_length + length + 1 > t->body_size)
	{
		size_t		size = t->body_size > 0 ? t->body_size : 1024;
		char	   *larger;

		while (size < answer->body_length + length + 1)
			size *= 2;
		larger = realloc(answer->body, size);
		if (larger == NULL)
			return 0;
		answer->body = larger;
		t->body_size = size;
	}
	memcpy(answer->body + answer->body_length, data, length);
	answer->body_length += length;
	answer->body[answer->body_length] = '\0';
	return length;
}

static size_t
take_header(char *data, size_t unit, size_t count, void *context)
{
	B24Transfer *t = context;
	size_t		length = unit * count;

	t->header_bytes += length;
	if (t->header_bytes > MAX_HEADER_BYTES)
	{
		t->too_large = true;
		return 0;
	}
	if (length > 6 && length < sizeof(t->http->date) &&
		strncasecmp(data, "Date:", 5) == 0)
	{
		B24Http    *http = t->http;

		/* reading it is slow, and it changes once a second */
		if (length != http->date_length || memcmp(http->date, data, length) != 0)
		{
			memcpy(http->date, data, length);
			http->date[length] = '\0';
			http->date_length = length;
			http->date_s = (long) curl_getdate(http->date + 5, NULL);
		}
		t->answer.server_time_s = http->date_s;
	}
	return length;
}

#if HAVE_PREREQ
/*
 * Called just before a request is sent, also when libcurl is about to repeat
 * it.  What changes something is not repeated once a byte of it has left.
 */
static int
before_sending(void *context, char *remote_ip, char *local_ip,
			   int remote_port, int local_port)
{
	B24Transfer *t = context;
	long		sent = 0;

	(void) remote_ip;
	(void) local_ip;
	(void) remote_port;
	(void) local_port;
	if (!t->changes)
		return CURL_PREREQFUNC_OK;
	curl_easy_getinfo(t->easy, CURLINFO_REQUEST_SIZE, &sent);
	return sent > 0 ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}
#endif

static long
number(CURL *easy, CURLINFO what)
{
	curl_off_t	value = 0;

	curl_easy_getinfo(easy, what, &value);
	return (long) value;
}

/* libcurl is through with a transfer: write down what came of it. */
static void
finish(B24Transfer *t, CURLcode code)
{
	B24HttpAnswer *answer = &t->answer;
	long		sent = 0;
	curl_off_t	retry_after = 0;
	char	   *content_type = NULL;
	const char *text;

	t->done = true;
	curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &answer->http_status);
	curl_easy_getinfo(t->easy, CURLINFO_REQUEST_SIZE, &sent);
	curl_easy_getinfo(t->easy, CURLINFO_CONTENT_TYPE, &content_type);
	answer->sent = sent > 0;
	if (content_type != NULL)
		snprintf(answer->content_type, sizeof(answer->content_type), "%s",
				 content_type);
	answer->retry_after_s = -1;
	if ((answer->http_status == 429 || answer->http_status == 503) &&
		curl_easy_getinfo(t->easy, CURLINFO_RETRY_AFTER, &retry_after) == CURLE_OK &&
		retry_after > 0)
		answer->retry_after_s = (long) retry_after;
	answer->resolved_us = number(t->easy, CURLINFO_NAMELOOKUP_TIME_T);
	answer->connected_us = number(t->easy, CURLINFO_CONNECT_TIME_T);
	answer->secured_us = number(t->easy, CURLINFO_APPCONNECT_TIME_T);
	answer->total_us = number(t->easy, CURLINFO_TOTAL_TIME_T);
	answer->bytes_sent = number(t->easy, CURLINFO_SIZE_UPLOAD_T);
	answer->bytes_received = number(t->easy, CURLINFO_SIZE_DOWNLOAD_T);

	/* some versions tell no time of the connection if the handshake fails */
	if (answer->connected_us == 0 &&
		(code == CURLE_SSL_CONNECT_ERROR || code == CURLE_PEER_FAILED_VERIFICATION ||
		 code == CURLE_SSL_CACERT_BADFILE || code == CURLE_SSL_CERTPROBLEM ||
		 code == CURLE_SSL_CIPHER || code == CURLE_SSL_ISSUER_ERROR))
		answer->connected_us = answer->total_us;

	if (code == CURLE_OK)
	{
		answer->status = B24_OK;
		return;
	}
	if (t->too_large)
		answer->status = B24_TOO_LARGE;
	else if (code == CURLE_OUT_OF_MEMORY && !answer->sent)
		answer->status = B24_NO_MEMORY;
	else if (!answer->sent)
		answer->status = B24_UNREACHABLE;
	else if (code == CURLE_BAD_CONTENT_ENCODING || code == CURLE_WEIRD_SERVER_REPLY ||
			 code == CURLE_UNSUPPORTED_PROTOCOL)
		answer->status = B24_NONSENSE;
	else
		answer->status = B24_NO_ANSWER;
	text = t->error[0] != '\0' ? t->error : curl_easy_strerror(code);
	if (t->too_large)
		text = "the answer was larger than the limit";
	else if (code == CURLE_ABORTED_BY_CALLBACK)
		text = "the connection broke while the request was under way";
	snprintf(answer->text, sizeof(answer->text), "%s", text);
}

/*
 * The pool
 */

/* Prepares libcurl for this process.  Call once, before any thread exists. */
bool
b24_http_init(void)
{
	return curl_global_init(CURL_GLOBAL_ALL) == CURLE_OK;
}

/* A pool; NULL when memory is out. */
B24Http *
b24_http_new(const B24HttpHooks *hooks, const char *user_agent)
{
	B24Http    *http = calloc(1, sizeof(B24Http));
	const char *cainfo;

	if (http == NULL)
		return NULL;
	if (hooks != NULL)
		http->hooks = *hooks;
	http->user_agent = strdup(user_agent);
	http->multi = curl_multi_init();
	cainfo = curl_version_info(CURLVERSION_NOW)->cainfo;
	if (cainfo != NULL && access(cainfo, R_OK) == 0)
		http->bundle = strdup(cainfo);
	if (http->user_agent == NULL || http->multi == NULL)
	{
		b24_http_free(http);
		return NULL;
	}
	curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
	curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http);
	curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, set_timer);
	curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http);
	return http;
}

/* All transfers must have ended. */
void
b24_http_free(B24Http *http)
{
	B24Socket  *s;

	while (http->spare_count > 0)
		curl_easy_cleanup(http->spare[--http->spare_count]);
	if (http->multi != NULL)
		curl_multi_cleanup(http->multi);
	drop_vanished(http, NULL);
	while ((s = b24_http_next_changed(http)) != NULL)
	{
		if (s->closed)
			free(s);
	}
	b24_sockets_free(&http->sockets);
	free(http->bundle);
	free(http->user_agent);
	free(http);
}

/*
 * How many connections may be open at once, and how many of them idle, kept
 * for later.  Transfers beyond that wait for a connection.
 */
void
b24_http_limit(B24Http *http, int open, int idle)
{
	curl_multi_setopt(http->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long) open);
	curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, (long) idle);
}

#define SET(option_, value_) \
	ok = ok && curl_easy_setopt(easy, option_, value_) == CURLE_OK

/*
 * A handle with what holds for every transfer: only the host that is asked
 * for, over a verified connection, and no signals.  NULL when memory is out.
 */
static CURL *
make_handle(B24Http *http)
{
	CURL	   *easy = curl_easy_init();
	bool		ok = easy != NULL;

	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_PROXY, "");
	SET(CURLOPT_PATH_AS_IS, 1L);
	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	SET(CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	SET(CURLOPT_USERAGENT, http->user_agent);
	SET(CURLOPT_ACCEPT_ENCODING, "gzip");

	/* both are allocated for every transfer, and requests and answers are short */
	SET(CURLOPT_BUFFERSIZE, 8192L);
	SET(CURLOPT_UPLOAD_BUFFERSIZE, 16384L);
	SET(CURLOPT_WRITEFUNCTION, take_body);
	SET(CURLOPT_HEADERFUNCTION, take_header);
	SET(CURLOPT_OPENSOCKETFUNCTION, open_socket);
	SET(CURLOPT_CLOSESOCKETFUNCTION, close_socket);
	SET(CURLOPT_CLOSESOCKETDATA, http);
#if HAVE_PREREQ
	SET(CURLOPT_PREREQFUNCTION, before_sending);
#endif
#if LIBCURL_VERSION_NUM >= 0x075700
	/* a cancel does not wait for the thread that looks up a name */
	SET(CURLOPT_QUICK_EXIT, 1L);
#endif

	/*
	 * The system's authorities from their one file: with a directory beside
	 * it, libcurl would read all of it again for every connection.
	 */
	if (http->bundle != NULL)
		SET(CURLOPT_CAPATH, NULL);
	if (!ok)
	{
		curl_easy_cleanup(easy);
		return NULL;
	}

	/* a build of libcurl without HTTP/2 refuses this, and needs nothing */
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_2TLS);
	return easy;
}

static bool
add_header(B24Transfer *t, const char *header)
{
	struct curl_slist *longer = curl_slist_append(t->headers, header);

	if (longer == NULL)
		return false;
	t->headers = longer;
	return true;
}

static bool
has_header(const B24Request *request, const char *name)
{
	size_t		length = strlen(name);

	for (int i = 0; i < request->header_count; i++)
	{
		if (strncasecmp(request->headers[i], name, length) == 0 &&
			request->headers[i][length] == ':')
			return true;
	}
	return false;
}

/* How long connections may have been idle when another transfer begins. */
static long
max_idle_s(B24Http *http)
{
	int64_t		now = b24_now_ms();

	if (now - http->used_at_ms >= MAX_IDLE_OF_MANY_S * 1000)
		http->used_since_ms = now;
	http->used_at_ms = now;
	return http->sockets.count > FEW_CONNECTIONS &&
		now - http->used_since_ms >= MAX_IDLE_OF_MANY_S * 1000 ?
		MAX_IDLE_OF_MANY_S : MAX_IDLE_S;
}

/* What this transfer has of its own; all of it is set each time. */
static bool
prepare(B24Transfer *t, const B24Request *request, const B24HttpOptions *options)
{
	CURL	   *easy = t->easy;
	const char *ca_file = options->ca_file != NULL ? options->ca_file :
		t->http->bundle;
	bool		fresh = options->fresh;
	bool		ok = true;

	for (int i = 0; i < request->header_count && ok; i++)
		ok = add_header(t, request->headers[i]);

	/* libcurl would call a body that is not there a form */
	if (request->body == NULL && request->method[0] == 'P' &&
		!has_header(request, "Content-Type"))
		ok = ok && add_header(t, "Content-Type:");

	/* do not wait for the server's leave to send a longer body */
	if (request->body_length >= 1024)
		ok = ok && add_header(t, "Expect:");

	SET(CURLOPT_PRIVATE, t);
	SET(CURLOPT_ERRORBUFFER, t->error);
	SET(CURLOPT_WRITEDATA, t);
	SET(CURLOPT_HEADERDATA, t);
	SET(CURLOPT_OPENSOCKETDATA, t);
	SET(CURLOPT_URL, request->url);
	SET(CURLOPT_HTTPHEADER, t->headers);

	/* the body is not copied: the request outlives the transfer */
	if (request->body != NULL)
	{
		SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) request->body_length);
		SET(CURLOPT_POSTFIELDS, request->body);
	}
	else if (request->method[0] == 'P')
	{
		/* POST, PUT and PATCH say that there is nothing: some servers insist */
		SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) 0);
		SET(CURLOPT_POSTFIELDS, "");
	}
	else
		SET(CURLOPT_HTTPGET, 1L);
	SET(CURLOPT_CUSTOMREQUEST, request->method);

#if LIBCURL_VERSION_NUM >= 0x075500
	SET(CURLOPT_PROTOCOLS_STR, options->allow_http ? "https,http" : "https");
#else
	SET(CURLOPT_PROTOCOLS, (long) (options->allow_http ?
								   CURLPROTO_HTTPS | CURLPROTO_HTTP :
								   CURLPROTO_HTTPS));
#endif
	if (ca_file != NULL)
	{
		/* these authorities and no others */
		SET(CURLOPT_CAINFO, ca_file);
		SET(CURLOPT_CAPATH, NULL);
	}
	SET(CURLOPT_MAXAGE_CONN, max_idle_s(t->http));
	SET(CURLOPT_CONNECTTIMEOUT_MS, options->connect_timeout_ms);
	SET(CURLOPT_TIMEOUT_MS, options->request_timeout_ms);
	SET(CURLOPT_DNS_CACHE_TIMEOUT, options->fresh ? 0L : 60L);
#if HAVE_PREREQ
	SET(CURLOPT_PREREQDATA, t);
#else
	fresh = fresh || t->changes;
#endif
	SET(CURLOPT_FRESH_CONNECT, (long) fresh);

	/* there is no way back to the system's directory of authorities */
	t->reusable = options->ca_file == NULL || t->http->bundle != NULL;
	return ok;
}

#undef SET

/*
 * Starts a transfer.  The request must live until b24_http_end; the owner is
 * whatever the caller wants to find again.  NULL when memory is out.
 */
B24Transfer *
b24_http_start(B24Http *http, const B24Request *request,
			   const B24HttpOptions *options, void *owner)
{
	B24Transfer *t = calloc(1, sizeof(B24Transfer));

	if (t == NULL)
		return NULL;
	t->http = http;
	t->owner = owner;
	t->changes = request->changes;
	t->detached = options->detached;
	t->max_body = options->max_response_size;
	t->answer.server_time_s = -1;
	t->answer.retry_after_s = -1;
	t->easy = http->spare_count > 0 ? http->spare[--http->spare_count] :
		make_handle(http);
	if (t->easy == NULL)
	{
		free(t);
		return NULL;
	}

	/* nothing goes on yet: the first drive starts it */
	if (!prepare(t, request, options) ||
		curl_multi_add_handle(http->multi, t->easy) != CURLM_OK)
	{
		b24_http_end(t);
		return NULL;
	}
	t->link = &http->transfers;
	t->next = http->transfers;
	if (t->next != NULL)
		t->next->link = &t->next;
	http->transfers = t;
	return t;
}

void *
b24_http_owner(const B24Transfer *transfer)
{
	return transfer->owner;
}

/* What came of a transfer that b24_http_next_done has returned. */
const B24HttpAnswer *
b24_http_answer(const B24Transfer *transfer)
{
	return &transfer->answer;
}

/* Takes a transfer out of the pool; one that was taken out stays so. */
static void
stop(B24Transfer *t)
{
	if (t->link != NULL)
	{
		*t->link = t->next;
		if (t->next != NULL)
			t->next->link = t->link;
		t->link = NULL;
	}
	curl_multi_remove_handle(t->http->multi, t->easy);
	if (t->opened)
		drop_vanished(t->http, t);
}

/*
 * Takes all transfers but the detached out of the pool, done or not: not a
 * byte more of them is sent.  Their owners do not hear of it, and end them when
 * they can.
 */
void
b24_http_abandon(B24Http *http)
{
	B24Transfer *next;

	for (B24Transfer *t = http->transfers; t != NULL; t = next)
	{
		next = t->next;
		if (!t->detached)
			stop(t);
	}
}

/* Is any transfer under way? */
bool
b24_http_is_busy(const B24Http *http)
{
	return http->transfers != NULL;
}

/*
 * Ends a transfer, whether it is done or not, and frees it.  The connection
 * of one that was not done is closed.
 */
void
b24_http_end(B24Transfer *transfer)
{
	B24Http    *http = transfer->http;

	stop(transfer);

	/* the handle outlives what these point to */
	curl_easy_setopt(transfer->easy, CURLOPT_ERRORBUFFER, NULL);
	curl_easy_setopt(transfer->easy, CURLOPT_HTTPHEADER, NULL);
	if (http->spare_count < MAX_SPARE_HANDLES && transfer->reusable)
		http->spare[http->spare_count++] = transfer->easy;
	else
		curl_easy_cleanup(transfer->easy);
	curl_slist_free_all(transfer->headers);
	free(transfer->answer.body);
	free(transfer);
}

/* How long the caller may wait before it drives; -1 for ever. */
long
b24_http_timeout_ms(const B24Http *http)
{
	int64_t		left;

	if (!http->timer_set)
		return -1;
	left = http->timer_at_ms - b24_now_ms();
	return left > 0 ? (long) left : 0;
}

/*
 * The next socket whose wishes changed since the caller last asked; NULL
 * when there is none.  One that is closed belongs to the caller now.
 */
B24Socket *
b24_http_next_changed(B24Http *http)
{
	return b24_sockets_next_changed(&http->sockets);
}

/* The caller wants to hear of this socket once more. */
void
b24_http_tell_again(B24Http *http, B24Socket *socket)
{
	b24_sockets_note(&http->sockets, socket);
}

/* Goes on with what a socket, or with NULL the clock, allows. */
void
b24_http_drive(B24Http *http, B24Socket *socket, bool readable, bool writable)
{
	sigset_t	saved;
	int			running;

	block_signals(&saved);
	if (socket != NULL)
		curl_multi_socket_action(http->multi, socket->fd,
								 (readable ? CURL_CSELECT_IN : 0) |
								 (writable ? CURL_CSELECT_OUT : 0), &running);
	else
	{
		http->timer_set = false;
		curl_multi_socket_action(http->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	}
	restore_signals(&saved);
}

/* A transfer that is done, NULL when there is none (now). */
B24Transfer *
b24_http_next_done(B24Http *http)
{
	CURLMsg    *message;
	int			left;

	while ((message = curl_multi_info_read(http->multi, &left)) != NULL)
	{
		B24Transfer *t = NULL;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &t);
		finish(t, message->data.result);
		return t;
	}
	return NULL;
}

/*
 * Addresses
 */

/*
 * A text as one part of a URL; malloc'd, NULL when memory is out.  "." and
 * ".." would be taken for steps in the path, so their dots are spelled out.
 */
char *
b24_url_escape(const char *text, size_t length)
{
	char	   *escaped;
	char	   *copy;

	if (length == 0)
		return strdup("");
	if (length <= 2 && strspn(text, ".") >= length)
		return strdup(length == 1 ? "%2E" : "%2E%2E");
	escaped = curl_easy_escape(NULL, text, (int) length);
	if (escaped == NULL)
		return NULL;
	copy = strdup(escaped);
	curl_free(escaped);
	return copy;
}

static bool
url_has(CURLU *url, CURLUPart part)
{
	char	   *text = NULL;
	bool		has = curl_url_get(url, part, &text, 0) == CURLUE_OK &&
		text != NULL;

	curl_free(text);
	return has;
}

/* May this be the base of all requests of an account? */
B24Status
b24_url_check_base(const char *text, B24Problem *problem)
{
	CURLU	   *url = curl_url();
	char	   *port = NULL;
	B24Status	status = B24_OK;

	if (url == NULL)
		return b24_problem(problem, B24_NO_MEMORY, "out of memory");
	if (strncasecmp(text, "https://", 8) != 0 && strncasecmp(text, "http://", 7) != 0)
		status = b24_problem(problem, B24_BAD_ARGUMENT,
							 "it does not begin with https://");
	else if (strpbrk(text, " \t\r\n\\") != NULL ||
			 strchr(text, ':')[3] == '/' ||	/* libcurl would search on */
			 curl_url_set(url, CURLUPART_URL, text, 0) != CURLUE_OK)
		status = b24_problem(problem, B24_BAD_ARGUMENT, "it is not a URL");
	else if (url_has(url, CURLUPART_USER) || url_has(url, CURLUPART_PASSWORD))
		status = b24_problem(problem, B24_BAD_ARGUMENT,
							 "it contains a user name or password");
	else if (strchr(text, '?') != NULL || strchr(text, '#') != NULL)
		status = b24_problem(problem, B24_BAD_ARGUMENT,
							 "it contains a query or a fragment");
	else if (curl_url_get(url, CURLUPART_PORT, &port, 0) == CURLUE_OK &&
			 strtol(port, NULL, 10) == 0)
		status = b24_problem(problem, B24_BAD_ARGUMENT, "there is no port 0");
	curl_free(port);
	curl_url_cleanup(url);
	return status;
}

bool
b24_url_is_https(const char *url)
{
	return strncasecmp(url, "https://", 8) == 0;
}
