/*
 * paycombat.c
 *		What the operations of PayCombat have in common: the headers that let a
 *		request in, and the envelopes around an answer.
 */
#include "paycombat.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

void
paycombat_refuse(SimAnswer *answer, unsigned int status, const char *message)
{
	json_object *envelope = json_object_new_object();

	sim_put(envelope, "status", json_object_new_boolean(false));
	sim_put_text(envelope, "message", message);
	sim_answer_json(answer, status, envelope);
}

/*
 * *data, which is given away, in the shape that the operation's page shows, or
 * in the one that the settings ask for.
 */
void
paycombat_success(SimAnswer *answer, json_object *data,
				  PaycombatShape documented)
{
	json_object *envelope = json_object_new_object();
	int			wanted = sim_config.paycombat_envelope;

	if (wanted == SIM_ENVELOPE_DOUBLE ||
		(wanted == SIM_ENVELOPE_DOCUMENTED && documented == PAYCOMBAT_DOUBLE))
	{
		json_object *inner = json_object_new_object();
		char		id[SIM_UUID_SIZE];

		sim_uuid(sim_random_serial(), id);
		sim_put_text(inner, "request_id", id);
		sim_put_text(inner, "request_time", "2024-12-30T02:58:47.085Z");
		sim_put(inner, "success", json_object_new_boolean(true));
		sim_put_int(inner, "status_code", 200);
		sim_put_text(inner, "status_text", "OK");
		sim_put(inner, "data", data);
		data = inner;
	}
	sim_put(envelope, "status", json_object_new_boolean(true));
	sim_put_text(envelope, "message", "OK");
	sim_put(envelope, "data", data);
	sim_answer_json(answer, MHD_HTTP_OK, envelope);
}

static const char *
header(const SimRequest *request, const char *name)
{
	return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND,
									   name);
}

static bool
is_signed(const SimRequest *request, const char *text, size_t size)
{
	const char *signature = header(request, "signature");
	unsigned char digest[32];
	char		hex[65];

	sim_hmac_sha256(sim_credentials.signature_key, text, size, digest);
	for (int i = 0; i < 32; i++)
	{
		hex[2 * i] = "0123456789abcdef"[digest[i] >> 4];
		hex[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
	}
	hex[64] = '\0';
	return signature != NULL && strcmp(signature, hex) == 0;
}

/*
 * The signature of a request that must have one.  Over which text the real
 * server computes it, and whether PATCH without a body has one, is not
 * documented: the settings have every reading.
 */
static bool
signature_fits(const SimRequest *request)
{
	char	   *text;
	bool		fits;

	if (request->body_size == 0)
	{
		if (sim_config.paycombat_bodyless == SIM_BODYLESS_NONE)
			return true;
		return sim_config.paycombat_bodyless == SIM_BODYLESS_OBJECT ?
			is_signed(request, "{}", 2) : is_signed(request, "", 0);
	}
	if (sim_config.paycombat_signature == SIM_SIGNATURE_RAW)
		return is_signed(request, request->body, request->body_size);
	if (request->json == NULL)
		return false;
	text = paycombat_stringify(request->json);
	fits = is_signed(request, text, strlen(text));
	free(text);
	return fits;
}

/* X-token always; the signature with POST and PATCH. */
bool
paycombat_guard(SimRequest *request, SimAnswer *answer)
{
	const char *token = header(request, "X-token");
	bool		changes = strcmp(request->method, "POST") == 0 ||
		strcmp(request->method, "PATCH") == 0;

	if (token == NULL || strcmp(token, sim_credentials.x_token) != 0)
		paycombat_refuse(answer, MHD_HTTP_UNAUTHORIZED, "Invalid token");
	else if (changes && !signature_fits(request))
		paycombat_refuse(answer, MHD_HTTP_UNAUTHORIZED, "Invalid signature");
	else
		return true;
	return false;
}
