/*-------------------------------------------------------------------------
 *
 * codec.c
 *	  Arguments to request, answer to reply.
 *
 * The secrets are arguments, there is no clock and no random number in here:
 * the same input gives the same bytes.
 *
 *-------------------------------------------------------------------------
 */
#include "codec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A text that grows; once it has failed it stays failed. */
typedef struct Text
{
	char	   *data;
	size_t		length;
	size_t		size;
	bool		failed;
} Text;

static void
append(Text *text, const char *piece, size_t length)
{
	if (text->failed)
		return;
	if (text->length + length + 1 > text->size)
	{
		size_t		size = text->size > 0 ? text->size : 256;
		char	   *larger;

		while (size < text->length + length + 1)
			size *= 2;
		larger = realloc(text->data, size);
		if (larger == NULL)
		{
			text->failed = true;
			return;
		}
		text->data = larger;
		text->size = size;
	}
	memcpy(text->data + text->length, piece, length);
	text->length += length;
	text->data[text->length] = '\0';
}

static void
append_escaped(Text *text, const char *piece, size_t length)
{
	char	   *escaped = b24_url_escape(piece, length);

	if (escaped == NULL)
		text->failed = true;
	else
		append(text, escaped, strlen(escaped));
	free(escaped);
}

/* A scalar as it stands in a URL; NULL for arrays, objects and null. */
static const char *
scalar_text(const B24Json *json, size_t *length)
{
	const char *text;

	switch (b24_json_type(json))
	{
		case B24_JSON_STRING:
			return b24_json_string(json, length);
		case B24_JSON_NUMBER:
			text = b24_json_number(json);
			*length = strlen(text);
			return text;
		case B24_JSON_BOOLEAN:
			text = b24_json_boolean(json) ? "true" : "false";
			*length = strlen(text);
			return text;
		case B24_JSON_NULL:
		case B24_JSON_ARRAY:
		case B24_JSON_OBJECT:
			break;
	}
	return NULL;
}

/* Does the path have this argument in it? */
static bool
path_takes(const char *path, const char *argument)
{
	const char *brace = strchr(path, '{');
	size_t		length = strlen(argument);

	return brace != NULL && strncmp(brace + 1, argument, length) == 0 &&
		brace[1 + length] == '}';
}

/* The path with its arguments in place. */
static B24Status
append_path(Text *url, const B24Endpoint *endpoint, const char *path,
			B24Json *arguments, B24Problem *problem)
{
	const char *brace;

	while ((brace = strchr(path, '{')) != NULL)
	{
		size_t		length = strcspn(brace, "}");
		char		argument[64];
		const char *text;
		size_t		text_length = 0;

		append(url, path, (size_t) (brace - path));
		if (brace[length] != '}' || length - 1 >= sizeof(argument))
			return b24_problem(problem, B24_BAD_ARGUMENT, "malformed path");
		memcpy(argument, brace + 1, length - 1);
		argument[length - 1] = '\0';
		text = scalar_text(b24_json_get(arguments, argument), &text_length);
		if (text == NULL || text_length == 0)
			return b24_problem(problem, B24_NULL_ARGUMENT,
							   "argument \"%s\" is part of the path and must not be empty",
							   argument);

		/* where all hangs by it, nobody must take it for a direction */
		if (endpoint->bare && (strcmp(text, ".") == 0 || strcmp(text, "..") == 0))
			return b24_problem(problem, B24_BAD_ARGUMENT,
							   "argument \"%s\" is part of the path and must not be \"%s\"",
							   argument, text);
		append_escaped(url, text, text_length);
		path = brace + length + 1;
	}
	append(url, path, strlen(path));
	return B24_OK;
}

/* Collects the members of the wire object, or the query, from the arguments. */
typedef struct Collector
{
	const B24Endpoint *endpoint;
	const char *path;
	B24Json    *wire;			/* or NULL for a query */
	Text	   *query;
	bool		failed;
} Collector;

static bool
collect(const char *argument, B24Json *value, void *context)
{
	Collector  *c = context;
	char		buffer[64];
	const char *name;

	if (path_takes(c->path, argument))
		return true;
	name = b24_endpoint_wire_name(c->endpoint, argument, buffer, sizeof(buffer));
	if (c->wire != NULL)
	{
		if (!b24_json_put(c->wire, name, b24_json_share(value)))
			c->failed = true;
	}
	else
	{
		size_t		length = 0;
		const char *text = scalar_text(value, &length);

		if (text == NULL)
			return true;
		append(c->query, strchr(c->query->data, '?') == NULL ? "?" : "&", 1);
		append(c->query, name, strlen(name));
		append(c->query, "=", 1);
		append_escaped(c->query, text, length);
	}
	return !c->failed;
}

static bool
take_body(B24Request *request, const B24Json *json)
{
	size_t		length = 0;
	const char *text = b24_json_text(json, &length);

	if (text == NULL)
		return false;
	request->body = malloc(length + 1);
	if (request->body == NULL)
		return false;
	memcpy(request->body, text, length + 1);
	request->body_length = length;
	return true;
}

/*
 * Makes the request for an operation from its arguments, an object keyed by
 * the SQL names.  It still has to be signed.  The request is to be freed in
 * any case.
 */
B24Status
b24_encode(const B24Endpoint *endpoint, const char *base_url,
		   B24Json *arguments, const B24Secrets *secrets,
		   B24Request *request, B24Problem *problem)
{
	bool		query = endpoint->bare || strcmp(endpoint->method, "GET") == 0;
	const char *path = b24_endpoint_path(endpoint, secrets);
	Text		url = {NULL, 0, 0, false};
	Collector	collector = {endpoint, path, NULL, &url, false};
	B24Status	status;

	memset(request, 0, sizeof(*request));
	request->method = endpoint->method;
	request->changes = endpoint->changes;

	append(&url, base_url, strlen(base_url));
	status = append_path(&url, endpoint, path, arguments, problem);
	if (status == B24_OK && !query)
	{
		collector.wire = b24_json_new_object();
		collector.failed = collector.wire == NULL;
	}
	if (status == B24_OK && !endpoint->bare && !collector.failed && !url.failed)
		b24_json_each(arguments, collect, &collector);
	if (status == B24_OK && !collector.failed && endpoint->adjust != NULL)
		status = endpoint->adjust(secrets, collector.wire, problem);
	if (status == B24_OK && !query && !collector.failed)
		collector.failed = !take_body(request, collector.wire);
	if (status == B24_OK && (collector.failed || url.failed))
		status = b24_problem(problem, B24_NO_MEMORY, "out of memory");
	b24_json_free(collector.wire);
	request->url = url.data;
	return status;
}

/* A request to any path of the server, with a body that is sent as it is. */
B24Status
b24_encode_raw(const char *base_url, const char *method, const char *path,
			   const char *body, B24Request *request, B24Problem *problem)
{
	static const char *const methods[] = {"GET", "POST", "PUT", "PATCH", "DELETE"};
	Text		url = {NULL, 0, 0, false};

	memset(request, 0, sizeof(*request));
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
	{
		if (strcmp(method, methods[i]) == 0)
			request->method = methods[i];
	}
	if (request->method == NULL)
		return b24_problem(problem, B24_BAD_ARGUMENT,
						   "the method is not one of GET, POST, PUT, PATCH and DELETE");
	if (path[0] != '/')
		return b24_problem(problem, B24_BAD_ARGUMENT,
						   "the path does not begin with \"/\"");
	for (const char *p = path; *p != '\0'; p++)
	{
		if ((unsigned char) *p <= ' ' || (unsigned char) *p >= 0x7f ||
			*p == '#' || *p == '\\')
			return b24_problem(problem, B24_BAD_ARGUMENT,
							   "the path has a character that must be percent-encoded");
	}
	request->changes = strcmp(method, "GET") != 0;
	append(&url, base_url, strlen(base_url));
	append(&url, path, strlen(path));
	request->url = url.data;
	if (body != NULL)
	{
		request->body = strdup(body);
		request->body_length = strlen(body);
	}
	if (url.failed || (body != NULL && request->body == NULL))
		return b24_problem(problem, B24_NO_MEMORY, "out of memory");
	return B24_OK;
}

/* The request that obtains a bearer token, with a refresh token or without. */
B24Status
b24_encode_login(const B24Endpoint *endpoint, const char *base_url,
				 const B24Secrets *secrets, const char *refresh,
				 B24Request *request, B24Problem *problem)
{
	B24Json    *wire = b24_json_new_object();
	B24Status	status;

	memset(request, 0, sizeof(*request));
	if (wire == NULL)
		return b24_problem(problem, B24_NO_MEMORY, "out of memory");
	status = endpoint->provider->login(secrets, refresh, wire, problem);
	if (status == B24_OK)
		status = b24_encode(endpoint, base_url, wire, secrets, request, problem);
	b24_json_free(wire);
	if (status == B24_OK)
		status = b24_sign(endpoint->provider, secrets, NULL, request, problem);
	return status;
}

/* Puts the headers on, instead of those of an earlier signing. */
B24Status
b24_sign(const B24Provider *provider, const B24Secrets *secrets,
		 const char *bearer, B24Request *request, B24Problem *problem)
{
	b24_request_clear_headers(request);
	return provider->sign(secrets, bearer, request, problem);
}

/* From bytes to a decision.  The reply is to be freed. */
void
b24_decode(const B24Endpoint *endpoint, const B24HttpAnswer *answer,
		   B24Reply *reply)
{
	memset(reply, 0, sizeof(*reply));
	reply->http_status = answer->http_status;
	reply->retry_after_s = answer->retry_after_s;
	if (answer->status != B24_OK)
	{
		reply->status = answer->status;
		snprintf(reply->text, sizeof(reply->text), "%s", answer->text);
		return;
	}
	endpoint->provider->decode(endpoint, answer, reply);
}

/* Frees what the reply holds, not the struct. */
void
b24_reply_free(B24Reply *reply)
{
	b24_json_free(reply->root);
	reply->root = NULL;
	reply->result = NULL;
	reply->message = NULL;
	reply->message_kh = NULL;
}
