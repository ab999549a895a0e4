/*
 * bill24_token.c
 *		The Authorization page: merchant credentials or a refresh token for a
 *		bearer token, and the check of that token on every other call.
 */
#include "bill24.h"
#include "event.h"
#include "state.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define BEARER_SIZE		1000	/* about as long as the real ones */
#define REFRESH_SIZE	64

static int64_t full_count;
static int64_t refresh_count;
static int64_t refused_count;
static int64_t unauthorized_count;

static bool
equals(const char *given, const char *expected)
{
	return given != NULL && strcmp(given, expected) == 0;
}

/* Three parts in Base64URL, of which nobody reads the claims. */
static void
make_bearer(char *bearer)
{
	static const char header[] = "eyJhbGciOiJSUzI1NiIsInR5cCI6ImF0K2p3dCJ9.eyJ";

	sim_random_secret(bearer, BEARER_SIZE);
	memcpy(bearer, header, sizeof(header) - 1);
	bearer[BEARER_SIZE - 343] = '.';	/* a signature of 256 bytes */
}

/*
 * How refused credentials are answered is not documented and was not
 * observed: an envelope of the same shape with the code of the web is a guess,
 * and its HTTP status can be configured.
 */
static void
refuse(SimAnswer *answer)
{
	json_object *envelope = json_object_new_object();

	refused_count++;
	sim_put_int(envelope, "code", 401);
	sim_put_text(envelope, "message", "Invalid credentials");
	sim_put(envelope, "data", NULL);
	sim_answer_json(answer, (unsigned int) sim_config.authorize_fail_status,
					envelope);
}

/*
 * A refresh is a request with a refresh token; the merchant token is not
 * looked at then.  Each answer has a new refresh token, and the old ones stay
 * valid: whether they do at Bill24 is not documented.
 */
void
bill24_authorize(SimRequest *request, SimAnswer *answer)
{
	json_object *body = request->json;
	const char *old = sim_text(body, "refreshToken");
	bool		refreshing = old != NULL && *old != '\0';
	char		bearer[BEARER_SIZE + 1];
	char		refresh[REFRESH_SIZE + 1];
	char		expires[SIM_TIME_SIZE];
	int64_t		lifetime_ms = sim_config.token_lifetime_s * 1000;
	json_object *event;
	json_object *envelope;
	json_object *data;

	if (!equals(sim_text(body, "clientId"), sim_credentials.client_id) ||
		!equals(sim_text(body, "secret"), sim_credentials.secret) ||
		(refreshing ? !sim_refresh_valid(old) :
		 !equals(sim_text(body, "token"), sim_credentials.merchant_token)))
	{
		refuse(answer);
		return;
	}
	if (refreshing)
		refresh_count++;
	else
		full_count++;

	make_bearer(bearer);
	sim_random_secret(refresh, REFRESH_SIZE);
	for (char *c = refresh; *c != '\0'; c++)
		*c = "0123456789abcdef"[(unsigned char) *c & 15];
	event = sim_event_new("token");
	sim_put_text(event, "bearer", bearer);
	sim_put_text(event, "refresh", refresh);
	sim_put_int(event, "expires_ms", sim_real_ms() + lifetime_ms);
	sim_commit(event);

	sim_time_local(sim_provider_us() + lifetime_ms * 1000, 7, true, expires);
	data = json_object_new_object();
	sim_put_text(data, "issuer", "http://192.168.197.18:23030");
	sim_put_text(data, "token", bearer);
	sim_put_text(data, "refreshToken", refresh);
	sim_put_text(data, "tokenExpireTime", expires);
	/* unlike everywhere else the code is a number, without a Khmer message */
	envelope = json_object_new_object();
	sim_put_int(envelope, "code", 200);
	sim_put_text(envelope, "message", "");
	sim_put(envelope, "data", data);
	sim_answer_json(answer, MHD_HTTP_OK, envelope);
}

/* HTTP 401 with an empty body, as the demo server answers. */
void
bill24_unauthorized(SimAnswer *answer)
{
	unauthorized_count++;
	sim_answer_bytes(answer, MHD_HTTP_UNAUTHORIZED, NULL, 0);
	sim_answer_header(answer, "WWW-Authenticate", "Bearer");
}

bool
bill24_bearer(SimRequest *request, SimAnswer *answer)
{
	const char *header =
		MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND,
									"Authorization");

	if (header != NULL && strncasecmp(header, "Bearer ", 7) == 0 &&
		sim_token_valid(header + 7))
		return true;
	bill24_unauthorized(answer);
	return false;
}

json_object *
bill24_authorize_stats(void)
{
	json_object *object = json_object_new_object();

	sim_put_int(object, "full", full_count);
	sim_put_int(object, "refresh", refresh_count);
	sim_put_int(object, "refused", refused_count);
	return object;
}

int64_t
bill24_unauthorized_count(void)
{
	return unauthorized_count;
}

void
bill24_token_stats_reset(void)
{
	full_count = refresh_count = refused_count = unauthorized_count = 0;
}
