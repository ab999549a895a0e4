/*-------------------------------------------------------------------------
 *
 * request.c
 *	  An HTTP request, ready to go.
 *
 *-------------------------------------------------------------------------
 */
#include "request.h"

#include <stdlib.h>
#include <string.h>

/* False when memory is out or the header would not be one line. */
bool
b24_request_add_header(B24Request *request, const char *name, const char *value)
{
	size_t		name_length = strlen(name);
	size_t		value_length = strlen(value);
	char	   *header;

	if (request->header_count == B24_MAX_HEADERS ||
		strpbrk(value, "\r\n") != NULL)
		return false;
	header = malloc(name_length + value_length + 3);
	if (header == NULL)
		return false;
	memcpy(header, name, name_length);
	memcpy(header + name_length, ": ", 2);
	memcpy(header + name_length + 2, value, value_length + 1);
	request->headers[request->header_count++] = header;
	return true;
}

void
b24_request_clear_headers(B24Request *request)
{
	while (request->header_count > 0)
		free(request->headers[--request->header_count]);
}

/* Frees what the request holds, not the struct. */
void
b24_request_free(B24Request *request)
{
	b24_request_clear_headers(request);
	free(request->url);
	free(request->body);
	request->url = NULL;
	request->body = NULL;
}
