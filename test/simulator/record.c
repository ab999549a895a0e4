/*
 * record.c
 *		The last requests, byte for byte, for tests that look at what was sent.
 */
#include "server.h"

#include <stdlib.h>
#include <string.h>

#define RING_SIZE	256

static json_object *ring[RING_SIZE];
static uint64_t recorded;		/* ever */

static enum MHD_Result
add_header(void *object, enum MHD_ValueKind kind, const char *name,
		   const char *value)
{
	(void) kind;
	/* a header sent twice is told as a list */
	if (json_object_object_get_ex(object, name, NULL))
	{
		json_object *before = json_object_object_get(object, name);

		if (!json_object_is_type(before, json_type_array))
		{
			json_object *list = json_object_new_array();

			json_object_array_add(list, json_object_get(before));
			json_object_object_add(object, name, list);
			before = list;
		}
		json_object_array_add(before, json_object_new_string(value));
	}
	else
		json_object_object_add(object, name, json_object_new_string(value));
	return MHD_YES;
}

void
sim_record_add(const SimRequest *request, uint64_t connection)
{
	json_object *entry = json_object_new_object();
	json_object *headers = json_object_new_object();
	json_object **slot = &ring[recorded % RING_SIZE];

	MHD_get_connection_values(request->connection, MHD_HEADER_KIND,
							  add_header, headers);
	sim_put_int(entry, "n", (int64_t) ++recorded);
	sim_put_int(entry, "connection", (int64_t) connection);
	sim_put_text(entry, "method", request->method);
	sim_put_text(entry, "url", request->url);
	sim_put_text(entry, "version", request->version);
	sim_put(entry, "headers", headers);
	if (request->body_size == 0)
		sim_put_text(entry, "body", "");
	else if (sim_utf8_valid(request->body, request->body_size))
		sim_put(entry, "body",
				json_object_new_string_len(request->body,
										   (int) request->body_size));
	else
	{
		char	   *encoded = sim_base64(request->body, request->body_size);

		sim_put_text(entry, "body_base64", encoded);
		free(encoded);
	}
	json_object_put(*slot);
	*slot = entry;
}

/* The last `count` of them, oldest first. */
json_object *
sim_record_json(int64_t count)
{
	json_object *list = json_object_new_array();
	uint64_t	kept = recorded < RING_SIZE ? recorded : RING_SIZE;

	if (count >= 0 && (uint64_t) count < kept)
		kept = (uint64_t) count;
	for (uint64_t i = recorded - kept; i < recorded; i++)
		json_object_array_add(list, json_object_get(ring[i % RING_SIZE]));
	return list;
}

void
sim_record_reset(void)
{
	for (size_t i = 0; i < RING_SIZE; i++)
	{
		json_object_put(ring[i]);
		ring[i] = NULL;
	}
	recorded = 0;
}
