/*
 * request.c
 *		What a client sent: its parts, and reading them.
 */
#include "server.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Far beyond any call of the API; more is refused. */
#define BODY_LIMIT	(64 * 1024 * 1024)

SimRequest *
sim_request_new(const char *url)
{
	SimRequest *request = sim_alloc(sizeof(SimRequest));
	char	   *mark;

	request->url = sim_strdup(url);
	request->due_ms = -1;
	mark = strchr(request->url, '?');
	request->query = mark == NULL ? "" : mark + 1;
	return request;
}

void
sim_request_free(SimRequest *request)
{
	sim_answer_clear(&request->answer);
	json_object_put(request->json);
	if (request->path != request->url)
		free((char *) request->path);
	free(request->url);
	free(request->parameter);
	free(request->body);
	free(request);
}

/*
 * Take in a piece of the body; false if it becomes too long.
 */
bool
sim_request_append(SimRequest *request, const char *bytes, size_t size)
{
	if (request->body_size + size > BODY_LIMIT)
		return false;
	if (request->body_size + size >= request->body_room)
	{
		size_t		room = (request->body_size + size) * 2 + 64;
		char	   *body = realloc(request->body, room);

		if (body == NULL)
			return false;
		request->body = body;
		request->body_room = room;
	}
	memcpy(request->body + request->body_size, bytes, size);
	request->body_size += size;
	request->body[request->body_size] = '\0';
	return true;
}

/*
 * Parse a body that has a zero byte behind it; NULL if it is no JSON.
 */
static json_object *
parse_body(json_tokener *tokener, int flags, const char *body, size_t size)
{
	json_object *json;

	json_tokener_reset(tokener);
	json_tokener_set_flags(tokener, flags);
	/* with its final zero byte, since a number alone has no other end */
	json = json_tokener_parse_ex(tokener, body, (int) size + 1);
	if (json_tokener_get_error(tokener) == json_tokener_success &&
		json_tokener_get_parse_end(tokener) >= size)
		return json;
	json_object_put(json);
	return NULL;
}

/*
 * The request is complete: find its path, its route and its JSON.
 */
void
sim_request_parse(SimRequest *request)
{
	static json_tokener *tokener;
	size_t		length = strcspn(request->url, "?");

	if (request->url[length] == '\0')
		request->path = request->url;
	else
		request->path = strndup(request->url, length);
	request->control = strncmp(request->path, "/_sim/", 6) == 0;

	if (request->body_size == 0)
		return;
	if (tokener == NULL)
		tokener = json_tokener_new();
	request->json = parse_body(tokener, JSON_TOKENER_STRICT |
							   JSON_TOKENER_VALIDATE_UTF8,
							   request->body, request->body_size);

	/* json-c 0.18, if strict, takes all beyond ASCII for control characters */
	for (size_t i = 0; request->json == NULL && i < request->body_size; i++)
	{
		if ((unsigned char) request->body[i] >= 0x80)
		{
			request->json = parse_body(tokener, JSON_TOKENER_VALIDATE_UTF8,
									   request->body, request->body_size);
			break;
		}
	}
}

/*
 * The decoded value of a query argument (allocated), or NULL if it is absent.
 * Names are compared as ASP.NET does: "Currency" is "currency".
 */
char *
sim_request_query(const SimRequest *request, const char *name)
{
	size_t		name_length = strlen(name);

	for (const char *part = request->query; *part != '\0';)
	{
		size_t		length = strcspn(part, "&");
		size_t		key = strcspn(part, "=&");

		if (key == name_length && strncasecmp(part, name, key) == 0)
		{
			if (key == length)
				return sim_strdup("");
			return sim_url_decode(part + key + 1, length - key - 1, true);
		}
		part += length;
		if (*part == '&')
			part++;
	}
	return NULL;
}

/*
 * A query argument as a number; empty, absent or no number is `otherwise`.
 */
int64_t
sim_request_number(const SimRequest *request, const char *name,
				   int64_t otherwise)
{
	char	   *text = sim_request_query(request, name);
	char	   *end;
	int64_t		number = otherwise;

	if (text != NULL && *text != '\0')
	{
		number = strtoll(text, &end, 10);
		if (*end != '\0')
			number = otherwise;
	}
	free(text);
	return number;
}
