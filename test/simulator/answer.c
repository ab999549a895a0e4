/*
 * answer.c
 *		Answers, and the ways in which their bytes can leave.
 */
#include "server.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define BLOCK_SIZE		65536
#define SLOW_FIRST		16		/* bytes of a slow body that come at once */

static const char filled_start[] =
	"{\"code\":\"000\",\"message\":\"Success\",\"data\":\"";
static const char filled_end[] = "\"}";

/* A body that is made while it leaves. */
typedef struct Stream
{
	SimRequest *request;		/* may be gone before the stream is freed */
	bool		packing;		/* is a bomb */
	z_stream	packer;			/* of a bomb */
	uint64_t	packed;			/* bytes of a bomb that went into it */
	int64_t		next_ms;		/* of a slow body */
} Stream;

/* The answer is this JSON object, which is given away. */
void
sim_answer_json(SimAnswer *answer, unsigned int status, json_object *json)
{
	size_t		size;
	const char *text = json_object_to_json_string_length(json,
		JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &size);
	char	   *body = malloc(size + 1);

	if (body == NULL)
		abort();
	memcpy(body, text, size + 1);
	json_object_put(json);
	sim_answer_bytes(answer, status, body, size);
}

/* A refusal by the simulator itself, not by the API it stands for. */
void
sim_answer_error(SimAnswer *answer, unsigned int status,
				 const char *format, ...)
{
	json_object *object = json_object_new_object();
	char		text[512];
	va_list		arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	sim_put_text(object, "error", text);
	sim_answer_json(answer, status, object);
}

/* The answer is these bytes, which are given away. */
void
sim_answer_bytes(SimAnswer *answer, unsigned int status, void *bytes,
				 size_t size)
{
	free(answer->body);
	answer->status = status;
	answer->body = bytes;
	answer->size = size;
}

void
sim_answer_header(SimAnswer *answer, const char *name, const char *value)
{
	if (answer->headers == NULL)
		answer->headers = json_object_new_object();
	json_object_object_add(answer->headers, name,
						   json_object_new_string(value));
}

void
sim_answer_clear(SimAnswer *answer)
{
	free(answer->body);
	json_object_put(answer->headers);
	*answer = (SimAnswer) {0};
}

/* Copy what `text` has for the window of `room` bytes at `position`. */
static void
copy_window(char *bytes, size_t room, uint64_t position,
			const char *text, size_t length, uint64_t start)
{
	uint64_t	from = position > start ? position : start;
	uint64_t	to = position + room < start + length ? position + room :
		start + length;

	if (from < to)
		memcpy(bytes + (from - position), text + (from - start), to - from);
}

/*
 * The bytes at `position` of a JSON text with `filling` bytes in it.
 */
static size_t
fill(char *bytes, size_t room, uint64_t position, uint64_t filling)
{
	uint64_t	start = sizeof(filled_start) - 1;
	uint64_t	end = sizeof(filled_end) - 1;
	uint64_t	left = start + filling + end - position;

	if (room > left)
		room = left;
	memset(bytes, 'a', room);
	copy_window(bytes, room, position, filled_start, start, 0);
	copy_window(bytes, room, position, filled_end, end, start + filling);
	return room;
}

static ssize_t
read_half(void *context, uint64_t position, char *bytes, size_t room)
{
	const SimAnswer *answer = &((Stream *) context)->request->answer;
	size_t		left = answer->size / 2 - position;

	if (left == 0)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	if (room > left)
		room = left;
	memcpy(bytes, answer->body + position, room);
	return (ssize_t) room;
}

static ssize_t
read_slow(void *context, uint64_t position, char *bytes, size_t room)
{
	Stream	   *stream = context;
	SimRequest *request = stream->request;
	const SimAnswer *answer = &request->answer;
	int64_t		now_ms = sim_monotonic_ms();
	size_t		count = position == 0 ? SLOW_FIRST : 1;

	if (request->stage == SIM_GONE)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	if (position > 0 && now_ms < stream->next_ms)
	{
		if (!request->parked)
			sim_park(request, stream->next_ms);
		return 0;
	}
	stream->next_ms = now_ms + answer->amount;
	if (count > answer->size - position)
		count = answer->size - position;
	if (count > room)
		count = room;
	memcpy(bytes, answer->body + position, count);
	return (ssize_t) count;
}

static ssize_t
read_huge(void *context, uint64_t position, char *bytes, size_t room)
{
	const SimAnswer *answer = &((Stream *) context)->request->answer;

	return (ssize_t) fill(bytes, room, position, (uint64_t) answer->amount);
}

static ssize_t
read_endless(void *context, uint64_t position, char *bytes, size_t room)
{
	(void) context;
	return (ssize_t) fill(bytes, room, position, INT64_MAX);
}

static ssize_t
read_bomb(void *context, uint64_t position, char *bytes, size_t room)
{
	Stream	   *stream = context;
	const SimAnswer *answer = &stream->request->answer;
	z_stream   *packer = &stream->packer;
	char		block[16384];
	int			result = Z_OK;

	(void) position;
	packer->next_out = (unsigned char *) bytes;
	packer->avail_out = (unsigned int) room;
	while (packer->avail_out == room && result == Z_OK)
	{
		size_t		size = fill(block, sizeof(block), stream->packed,
								(uint64_t) answer->amount);

		packer->next_in = (unsigned char *) block;
		packer->avail_in = (unsigned int) size;
		result = deflate(packer, size < sizeof(block) ? Z_FINISH : Z_NO_FLUSH);
		stream->packed += size - packer->avail_in;
	}
	if (packer->avail_out == room)
		return MHD_CONTENT_READER_END_OF_STREAM;
	return (ssize_t) (room - packer->avail_out);
}

static void
free_stream(void *context)
{
	Stream	   *stream = context;

	if (stream->packing)
		deflateEnd(&stream->packer);
	free(stream);
}

static struct MHD_Response *
stream_response(SimRequest *request)
{
	SimAnswer  *answer = &request->answer;
	Stream	   *stream = sim_alloc(sizeof(Stream));
	MHD_ContentReaderCallback reader = read_half;
	uint64_t	size = answer->size;
	uint64_t	filled = sizeof(filled_start) + sizeof(filled_end) - 2 +
		(uint64_t) answer->amount;

	stream->request = request;
	switch (answer->delivery)
	{
		case SIM_WHOLE:
		case SIM_DROP:
		case SIM_RESET:
		case SIM_HANG:
			abort();			/* these are no streams */

		case SIM_HALF:
			reader = read_half;
			break;

		case SIM_SLOW:
			reader = read_slow;
			break;

		case SIM_HUGE:
			reader = read_huge;
			size = filled;
			break;

		case SIM_BOMB:
			reader = read_bomb;
			size = MHD_SIZE_UNKNOWN;
			stream->packing = true;
			if (deflateInit2(&stream->packer, Z_BEST_COMPRESSION, Z_DEFLATED,
							 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
				abort();
			break;

		case SIM_ENDLESS:
			reader = read_endless;
			size = MHD_SIZE_UNKNOWN;
			break;
	}
	return MHD_create_response_from_callback(size, BLOCK_SIZE, reader, stream,
											 free_stream);
}

/*
 * The daemon's form of a request's answer.  A whole body is given away; a
 * streamed one is read while it leaves, as long as the request lives.
 */
struct MHD_Response *
sim_answer_response(SimRequest *request)
{
	SimAnswer  *answer = &request->answer;
	struct MHD_Response *response;
	char		date[SIM_TIME_SIZE];

	if (answer->delivery == SIM_WHOLE)
	{
		response = MHD_create_response_from_buffer(answer->size, answer->body,
												   MHD_RESPMEM_MUST_FREE);
		answer->body = NULL;
	}
	else
		response = stream_response(request);

	if (answer->headers != NULL)
	{
		json_object_object_foreach(answer->headers, name, value)
			MHD_add_response_header(response, name,
									json_object_get_string(value));
	}
	if (MHD_get_response_header(response, "Content-Type") == NULL &&
		(answer->size > 0 || answer->delivery != SIM_WHOLE))
		MHD_add_response_header(response, "Content-Type",
								"application/json; charset=utf-8");
	if (sim_config.clock_skew_s != 0)
	{
		sim_time_http(sim_provider_us(), date);
		MHD_add_response_header(response, "Date", date);
	}
	if (sim_config.close_after == SIM_CLOSE_ANNOUNCED && !request->control)
		MHD_add_response_header(response, "Connection", "close");
	return response;
}
