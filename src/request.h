/*-------------------------------------------------------------------------
 *
 * request.h
 *	  An HTTP request, ready to go.
 *
 * Floor A.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_REQUEST_H
#define BILL24_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

#define B24_MAX_HEADERS 8

/* All of it is malloc'd. */
typedef struct B24Request
{
	const char *method;			/* constant text */
	char	   *url;
	char	   *headers[B24_MAX_HEADERS];	/* "Name: value" */
	int			header_count;
	char	   *body;			/* NULL for none */
	size_t		body_length;
	bool		changes;		/* must not be sent a second time by itself */
} B24Request;

extern bool b24_request_add_header(B24Request *request, const char *name,
								   const char *value);
extern void b24_request_clear_headers(B24Request *request);
extern void b24_request_free(B24Request *request);

#endif							/* BILL24_REQUEST_H */
