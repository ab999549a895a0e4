/*
 * server.h
 *		Requests, answers, and the routes between them.
 */
#ifndef SIM_SERVER_H
#define SIM_SERVER_H

#include "sim.h"

#include <sys/types.h>
#include <microhttpd.h>

typedef struct SimRequest SimRequest;

/* A client's connection, from its start to its end. */
typedef struct SimConnection
{
	uint64_t	number;
	bool		used;			/* has sent a request */
	bool		control;		/* its first request was one for us */
	int64_t		timeout_s;		/* as told to the daemon */
	int			socket;
} SimConnection;

/* How the bytes of an answer leave. */
typedef enum SimDelivery
{
	SIM_WHOLE,					/* as they are */
	SIM_DROP,					/* not at all: the connection closes */
	SIM_RESET,					/* not at all: the connection is reset */
	SIM_HANG,					/* not at all: the connection stays */
	SIM_HALF,					/* half of them, then the connection closes */
	SIM_SLOW,					/* the first at once, then one each amount ms */
	SIM_HUGE,					/* a JSON text with amount bytes of filling */
	SIM_BOMB,					/* the same, compressed with gzip */
	SIM_ENDLESS					/* a JSON text that never ends */
} SimDelivery;

typedef struct SimAnswer
{
	unsigned int status;		/* 0 until there is an answer */
	char	   *body;			/* allocated; NULL is empty */
	size_t		size;
	json_object *headers;		/* more headers, texts by name; or NULL */
	SimDelivery delivery;
	int64_t		amount;			/* what the delivery says it is */
	int64_t		delay_ms;		/* beyond the configured latency */
} SimAnswer;

typedef void (*SimHandler) (SimRequest *request, SimAnswer *answer);

/* True if the request may pass; else it has written the refusal. */
typedef bool (*SimGuard) (SimRequest *request, SimAnswer *answer);

typedef struct SimRoute
{
	const char *method;
	const char *pattern;		/* a path; "{name}" stands for one segment */
	SimHandler	handler;
	SimGuard	guard;			/* NULL: open to all */
} SimRoute;

typedef enum SimStage
{
	SIM_RECEIVING,				/* the body is not complete */
	SIM_WAITING,				/* answered late or never */
	SIM_ANSWERING,				/* the answer is handed over */
	SIM_GONE					/* the client left, or must go */
} SimStage;

/*
 * One request from its first line to the end of its answer.
 */
struct SimRequest
{
	struct MHD_Connection *connection;
	SimConnection *peer;
	SimStage	stage;
	bool		control;		/* under /_sim/: not counted, never faulty */
	bool		counted;		/* is among those in flight */

	const char *method;
	const char *version;
	char	   *url;			/* as sent, with the query */
	const char *path;			/* as sent, without it */
	const char *query;			/* as sent; "" if there is none */
	const SimRoute *route;		/* NULL: unknown */
	char	   *parameter;		/* the decoded "{name}" of the path, or NULL */

	char	   *body;			/* allocated, ends with a zero byte */
	size_t		body_size;
	size_t		body_room;
	json_object *json;			/* the body; NULL if it is no JSON */

	SimAnswer	answer;

	/* of one that is put aside */
	bool		parked;
	int64_t		due_ms;			/* monotonic; -1: never */
	size_t		timer_slot;		/* in the heap of timers, from 1; 0: none */
	SimRequest *prev;
	SimRequest *next;
};

/* request.c */
extern SimRequest *sim_request_new(const char *url);
extern void sim_request_free(SimRequest *request);
extern bool sim_request_append(SimRequest *request, const char *bytes,
							   size_t size);
extern void sim_request_parse(SimRequest *request);
extern char *sim_request_query(const SimRequest *request, const char *name);
extern int64_t sim_request_number(const SimRequest *request, const char *name,
								  int64_t otherwise);

/* answer.c */
extern void sim_answer_json(SimAnswer *answer, unsigned int status,
							json_object *json);
extern void sim_answer_error(SimAnswer *answer, unsigned int status,
							 const char *format, ...)
	__attribute__((format(printf, 3, 4)));
extern void sim_answer_bytes(SimAnswer *answer, unsigned int status,
							 void *bytes, size_t size);
extern void sim_answer_header(SimAnswer *answer, const char *name,
							  const char *value);
extern void sim_answer_clear(SimAnswer *answer);
extern struct MHD_Response *sim_answer_response(SimRequest *request);

/* route.c */
extern const SimRoute *sim_route_find(SimRequest *request, bool *path_known);
extern void sim_route_count(const SimRoute *route);
extern json_object *sim_route_counts(void);
extern void sim_route_counts_reset(void);

/* timer.c */
extern void sim_timer_add(SimRequest *request);
extern void sim_timer_remove(SimRequest *request);
extern SimRequest *sim_timer_first(void);

/* server.c: what the daemon calls, and counters */
extern void *sim_server_begin(void *context, const char *url,
							  struct MHD_Connection *connection);
extern enum MHD_Result sim_server_handle(void *context,
										 struct MHD_Connection *connection,
										 const char *url, const char *method,
										 const char *version,
										 const char *bytes, size_t *size,
										 void **state);
extern void sim_server_end(void *context, struct MHD_Connection *connection,
						   void **state,
						   enum MHD_RequestTerminationCode reason);
extern void sim_server_notice(void *context,
							  struct MHD_Connection *connection, void **state,
							  enum MHD_ConnectionNotificationCode code);
extern json_object *sim_server_stats(void);
extern void sim_server_stats_reset(void);

/* loop.c */
extern int	sim_loop_start(int port, const char *certificate,
						   const char *key);
extern void sim_loop_run(int signal_fd);
extern void sim_loop_stop(void);
extern void sim_loop_release(void);
extern void sim_park(SimRequest *request, int64_t due_ms);

/* record.c */
extern void sim_record_add(const SimRequest *request, uint64_t connection);
extern json_object *sim_record_json(int64_t count);
extern void sim_record_reset(void);

#endif							/* SIM_SERVER_H */
