/*-------------------------------------------------------------------------
 *
 * paycombat_provider.c
 *	  PayCombat: X-token, a signature over the body, {status, message, data}.
 *
 * There is no login.  What the documentation (docs.paycombat.com) says of
 * failures is next to nothing, so an answer is read leniently and decided
 * strictly: success is an HTTP status of success with "status": true, and of
 * what is wrapped once more (see unwrap) that it does not say otherwise.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hmac.h"
#include "jsontext.h"
#include "provider.h"
#include "stringify.h"

/* What an HTTP status says that is no success; the pages list 400 alone. */
static B24Status
refusal(long http)
{
	switch (http)
	{
		case 400:
		case 422:
			return B24_INVALID;
		case 401:
		case 403:
			return B24_KEY_REFUSED;
		case 404:
			return B24_NOT_FOUND;
		case 409:
			return B24_ALREADY_EXISTS;
		case 429:
			return B24_THROTTLED;
		case 408:				/* it may have been busy with it */
			return B24_SERVER_ERROR;
	}
	return http >= 500 ? B24_SERVER_ERROR : B24_REFUSED;
}

static void
unreadable(B24Reply *reply, const B24HttpAnswer *answer, const char *why)
{
	const char *body = answer->body != NULL ? answer->body : "";

	reply->status = B24_NONSENSE;
	reply->result = NULL;
	if (answer->http_status >= 300 && answer->http_status < 400)
		why = "the answer is a redirect, and redirects are not followed";
	else if (body[strspn(body, " \t\r\n")] == '<')
		why = "the answer is HTML or XML, not JSON";
	snprintf(reply->text, sizeof(reply->text), "%s (HTTP status %ld, %zu bytes)",
			 why, answer->http_status, answer->body_length);
}

/* The words of a refusal: a text, or the first of a list of them. */
static const char *
message_of(const B24Json *root)
{
	const B24Json *message = b24_json_get(root, "message");

	if (b24_json_length(message) > 0)
		message = b24_json_element(message, 0);
	return b24_json_string(message, NULL);
}

/* A refusal without an envelope: what else there is to show. */
static void
quote(B24Reply *reply, const B24HttpAnswer *answer)
{
	const char *body = answer->body != NULL ? answer->body : "";
	const char *start = body + strspn(body, " \t\r\n");

	if (reply->message != NULL || *start == '<' || *start == '\0' ||
		!b24_text_is_utf8(start, strlen(start)))
		return;
	snprintf(reply->text, sizeof(reply->text), "%s", start);
	b24_trim_utf8(reply->text);
}

/*
 * Disable and Delete wrap the answer of the provider behind PayCombat in
 * their data: {request_id, success, status_code, data}.  Returns what is in
 * there, or data itself; *status tells if the inner one refuses.
 */
static B24Json *
unwrap(B24Json *data, B24Status *status)
{
	const B24Json *success = b24_json_get(data, "success");
	const B24Json *status_code = b24_json_get(data, "status_code");
	const char *code = b24_json_number(status_code);
	long		number;

	*status = B24_OK;
	if (code == NULL)
		code = b24_json_string(status_code, NULL);
	if (b24_json_get(data, "request_id") == NULL || code == NULL)
		return data;
	number = strtol(code, NULL, 10);
	if (number < 200 || number >= 300)
		*status = refusal(number);
	else if (success != NULL && !b24_json_boolean(success))
		*status = B24_REFUSED;
	return b24_json_get(data, "data");
}

/* A success by its HTTP status: what does the envelope say? */
static void
decode_success(const B24Endpoint *endpoint, const B24HttpAnswer *answer,
			   B24Reply *reply)
{
	const B24Json *status = b24_json_get(reply->root, "status");
	bool		any = endpoint->path == NULL;
	B24Status	inner = B24_OK;

	/* the page of Retrieve Payin has no status in its envelope */
	if (status == NULL && any)
		reply->status = B24_OK;
	else if (b24_json_type(status) != B24_JSON_BOOLEAN)
		unreadable(reply, answer, status == NULL ? "the answer has no status" :
				   "the status is neither true nor false");
	else if (!b24_json_boolean(status))
		reply->status = B24_REFUSED;
	if (reply->status != B24_OK)
		return;

	reply->result = b24_json_path(reply->root, endpoint->result);
	if (any)
	{
		(void) unwrap(b24_json_get(reply->root, "data"), &inner);
		reply->status = inner;
		if (inner != B24_OK)
			reply->result = NULL;
		return;
	}
	reply->result = unwrap(reply->result, &inner);
	if (inner != B24_OK)
	{
		reply->status = inner;
		reply->result = NULL;
	}
	else if (b24_json_type(reply->result) != B24_JSON_OBJECT)
		unreadable(reply, answer, "the status says success, but there is no data");
	else if (endpoint == &b24_endpoints[B24_EP_paycombat_create_customer] &&
			 b24_json_string(b24_json_get(reply->result, "customer_id"), NULL) == NULL)
		unreadable(reply, answer, "the status says success, but there is no customer_id");
}

/* Decides what an answer means. */
static void
decode(const B24Endpoint *endpoint, const B24HttpAnswer *answer,
	   B24Reply *reply)
{
	long		http = answer->http_status;
	B24Problem	problem = {B24_OK, ""};

	reply->root = b24_json_parse(answer->body != NULL ? answer->body : "",
								 answer->body_length, &problem);
	reply->message = message_of(reply->root);

	if (http == 204 && answer->body_length == 0 && endpoint->path == NULL)
		reply->status = B24_OK; /* there is nothing to say */
	else if (http < 200 || (http >= 300 && http < 400))
		unreadable(reply, answer, "the answer has no HTTP status of an outcome");
	else if (http == 404 && b24_json_type(reply->root) != B24_JSON_OBJECT)
		unreadable(reply, answer, "the path is not there"); /* not a customer */
	else if (http >= 400)
	{
		reply->status = refusal(http);
		quote(reply, answer);
	}
	else if (reply->root == NULL)
		unreadable(reply, answer, problem.text);
	else if (b24_json_type(reply->root) != B24_JSON_OBJECT && endpoint->path != NULL)
		unreadable(reply, answer, "the answer is no JSON object");
	else
		decode_success(endpoint, answer, reply);
}

/*
 * The headers of every request.  X-token goes with each; the signature, of
 * the body as it is sent, with what has one and is neither GET nor DELETE.
 * Whether PATCH without a body is signed, and what would be, is not said: the
 * page of Disable Customer lists no signature, and the server option
 * bodyless_signature has the other readings.
 */
static B24Status
sign(const B24Secrets *secrets, const char *bearer, B24Request *request,
	 B24Problem *problem)
{
	bool		signs = strcmp(request->method, "GET") != 0 &&
		strcmp(request->method, "DELETE") != 0;
	const char *text = request->body;
	size_t		length = request->body_length;
	const char *instead = secrets->bodyless_signature;
	char		signature[B24_SHA256_HEX_SIZE];
	bool		ok;

	(void) bearer;
	if (secrets->x_token == NULL)
		return b24_problem(problem, B24_NO_CREDENTIAL, "the account has no \"x_token\"");
	for (const char *p = secrets->x_token; *p != '\0'; p++)
	{
		if ((unsigned char) *p <= ' ' || (unsigned char) *p >= 0x7f)
			return b24_problem(problem, B24_NO_CREDENTIAL,
							   "the account's \"x_token\" has a character that cannot be in a header");
	}
	ok = b24_request_add_header(request, "Accept", "application/json") &&
		b24_request_add_header(request, "X-token", secrets->x_token);
	if (request->body != NULL)
		ok = ok && b24_request_add_header(request, "Content-Type", "application/json");
	else if (instead != NULL && strcmp(instead, "none") != 0)
	{
		text = strcmp(instead, "object") == 0 ? "{}" : "";
		length = strlen(text);
	}
	if (ok && signs && text != NULL)
	{
		if (secrets->signature_key == NULL)
			return b24_problem(problem, B24_NO_CREDENTIAL,
							   "the account has no \"signature_key\"");
		ok = b24_hmac_sha256_hex(secrets->signature_key, strlen(secrets->signature_key),
								 text, length, signature) &&
			b24_request_add_header(request, "signature", signature);
	}
	if (!ok)
		return b24_problem(problem, B24_NO_MEMORY, "could not make the headers");
	return B24_OK;
}

static const char *const credentials[] = {"x_token", "signature_key", NULL};

const B24Provider b24_paycombat = {
	.name = "paycombat",
	.prefix = "",				/* the rows' names have it */
	.base_url = "https://api.paycombat.com",
	.base_url_example = "https://api.paycombat.com",
	.keeps_order = true,
	.credentials = credentials,
	.identity = 1,
	.needed = 2,
	.look = &b24_endpoints[B24_EP_paycombat_get_customer],
	.create = &b24_endpoints[B24_EP_paycombat_create_customer],
	.update = &b24_endpoints[B24_EP_paycombat_update_customer],
	.remove = &b24_endpoints[B24_EP_paycombat_delete_customer],
	.sign = sign,
	.decode = decode,
};

/* The wire's members, each as JSON.stringify would write it. */
static B24Status
stringify_wire(B24Json *wire, B24Problem *problem)
{
	static const char *const members[] = {
		"customer_id", "type", "description", "individual", "company",
		"organization_reference_id", "metadata"
	};

	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
	{
		B24Json    *value = b24_json_get(wire, members[i]);
		B24Json    *copy;

		if (value == NULL)
			continue;
		if (b24_stringify(value, &copy, problem) != B24_OK)
			return problem->status;
		if (!b24_json_set(wire, members[i], copy))
			return b24_problem(problem, B24_NO_MEMORY, "out of memory");
	}
	return B24_OK;
}

static B24Status
check_object(const B24Json *wire, const char *name, B24Problem *problem)
{
	const B24Json *value = b24_json_get(wire, name);

	if (value == NULL || b24_json_type(value) == B24_JSON_OBJECT)
		return B24_OK;
	return b24_problem(problem, B24_BAD_ARGUMENT,
					   "argument \"%s\" must be a JSON object, and not of type %s", name,
					   b24_json_type_name(value));
}

/* What all of these arguments have to be; absent ones are right. */
static B24Status
check_objects(const B24Json *wire, B24Problem *problem)
{
	static const char *const objects[] = {"individual", "company", "metadata"};

	for (size_t i = 0; i < sizeof(objects) / sizeof(objects[0]); i++)
	{
		if (check_object(wire, objects[i], problem) != B24_OK)
			return problem->status;
	}
	return B24_OK;
}

/* The members that the page marks as required are texts, and not empty. */
static B24Status
check_required(const B24Json *wire, const char *object, const char *const *members,
			   size_t count, B24Problem *problem)
{
	const B24Json *value = b24_json_get(wire, object);

	for (size_t i = 0; value != NULL && i < count; i++)
	{
		const B24Json *member = b24_json_get(value, members[i]);
		size_t		length = 0;

		if (member == NULL)
			return b24_problem(problem, B24_NULL_ARGUMENT,
							   "\"%s\" of argument \"%s\" is missing", members[i], object);
		if (b24_json_string(member, &length) == NULL || length == 0)
			return b24_problem(problem, B24_BAD_ARGUMENT,
							   "\"%s\" of argument \"%s\" must be a text that is not empty",
							   members[i], object);
	}
	return B24_OK;
}

/*
 * Create Customer: what the page requires of a company and of an individual,
 * where there is one.  Whether one of them has to be there, it does not say.
 */
B24Status
b24_paycombat_create(const B24Secrets *secrets, B24Json *wire, B24Problem *problem)
{
	static const char *const company[] = {
		"name", "registration_number", "incorporation_country", "address_country"
	};
	static const char *const individual[] = {
		"first_name", "last_name", "address_country"
	};

	(void) secrets;
	if (check_objects(wire, problem) != B24_OK ||
		check_required(wire, "individual", individual,
					   sizeof(individual) / sizeof(individual[0]), problem) != B24_OK ||
		check_required(wire, "company", company,
					   sizeof(company) / sizeof(company[0]), problem) != B24_OK)
		return problem->status;
	return stringify_wire(wire, problem);
}

/* Update Customer: all but the id may be left out, and an empty text clears. */
B24Status
b24_paycombat_update(const B24Secrets *secrets, B24Json *wire, B24Problem *problem)
{
	size_t		length = 0;

	(void) secrets;
	if (b24_json_string(b24_json_get(wire, "customer_id"), &length) == NULL ||
		length == 0)
		return b24_problem(problem, B24_NULL_ARGUMENT,
						   "argument \"customer_id\" is missing");
	if (check_objects(wire, problem) != B24_OK)
		return problem->status;
	return stringify_wire(wire, problem);
}
