/*-------------------------------------------------------------------------
 *
 * http.h
 *	  HTTP transfers, many at once.  Floor A; the one user of libcurl.
 *
 * The pool never waits.  It tells its caller which sockets to watch and how
 * long, and is driven by what the caller saw.  Its callbacks only record;
 * nothing that could longjmp runs under libcurl.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_HTTP_H
#define BILL24_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "request.h"
#include "sockets.h"
#include "status.h"

typedef struct B24Http B24Http; /* the pool */
typedef struct B24Transfer B24Transfer;

/* How to send it.  Read when a transfer is started, not kept. */
typedef struct B24HttpOptions
{
	long		connect_timeout_ms;
	long		request_timeout_ms; /* all of it, connecting included */
	size_t		max_response_size;	/* bytes, after decompression */
	const char *ca_file;		/* NULL: the system's */
	bool		allow_http;
	bool		fresh;			/* a new connection, and look the name up again */
	bool		detached;		/* b24_http_abandon leaves it alone */
} B24HttpOptions;

typedef struct B24HttpAnswer
{
	B24Status	status;			/* B24_OK: an answer arrived whole */
	char		text[256];		/* what went wrong, in libcurl's words */
	long		http_status;	/* 0 if none arrived */
	char	   *body;			/* NUL behind it; NULL if empty */
	size_t		body_length;
	char		content_type[64];
	long		retry_after_s;	/* -1: not said */
	long		server_time_s;	/* header Date, seconds since 1970; -1: none */
	bool		sent;			/* at least one byte of the request left */
	size_t		bytes_sent;		/* of the body, as on the wire */
	size_t		bytes_received;

	/* how far it came: microseconds since the start, 0 if not that far */
	long		resolved_us;
	long		connected_us;
	long		secured_us;
	long		total_us;
} B24HttpAnswer;

/* Descriptors are accounted by the caller; acquire may refuse. */
typedef struct B24HttpHooks
{
	bool		(*acquire_fd) (void);
	void		(*release_fd) (void);
} B24HttpHooks;

extern bool b24_http_init(void);
extern B24Http *b24_http_new(const B24HttpHooks *hooks, const char *user_agent);
extern void b24_http_free(B24Http *http);
extern void b24_http_limit(B24Http *http, int open, int idle);

extern B24Transfer *b24_http_start(B24Http *http, const B24Request *request,
								   const B24HttpOptions *options, void *owner);
extern void *b24_http_owner(const B24Transfer *transfer);
extern const B24HttpAnswer *b24_http_answer(const B24Transfer *transfer);
extern void b24_http_end(B24Transfer *transfer);
extern void b24_http_abandon(B24Http *http);
extern bool b24_http_is_busy(const B24Http *http);

extern long b24_http_timeout_ms(const B24Http *http);
extern B24Socket *b24_http_next_changed(B24Http *http);
extern void b24_http_tell_again(B24Http *http, B24Socket *socket);
extern void b24_http_drive(B24Http *http, B24Socket *socket, bool readable,
						   bool writable);
extern B24Transfer *b24_http_next_done(B24Http *http);

/* about addresses */
extern char *b24_url_escape(const char *text, size_t length);
extern B24Status b24_url_check_base(const char *url, B24Problem *problem);
extern bool b24_url_is_https(const char *url);

#endif							/* BILL24_HTTP_H */
