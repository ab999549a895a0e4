/*-------------------------------------------------------------------------
 *
 * report.c
 *	  Outcomes as errors for users: SQLSTATE, message, DETAIL and HINT.
 *
 * The provider's words are quoted in the DETAIL, made fit for a message, and
 * with the account's secrets blotted out should a provider repeat them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"
#include "report.h"
#include "text.h"

/* Secrets shorter than this would blot out ordinary words. */
#define SHORTEST_SECRET 6

/* Identifiers are shorter, bearer and refresh tokens longer. */
#define LONGEST_WORD 48

/*
 * How to find out what became of a request whose answer was lost, and whether
 * what exists already comes from an earlier call.
 */
static const struct
{
	const char *operation;
	const char *unknown;
	const char *exists;
}			lookups[] = {
	{"settle_payment",
		"The payment may have been made. Look it up with bill24_get_bill() by its ref_id before sending it again.",
	"An earlier call may have paid it, or left it unpaid: look at it with bill24_get_bill() by its ref_id."},
	{"create_customer",
		"The customer may have been created. Look it up with bill24_get_customer() before sending it again.",
	"An earlier call may have created it: look at it with bill24_get_customer()."},
	{"update_customer",
	"The customer may have been updated. The same update can be sent again.", NULL},
	{"delete_customer",
	"The customer may have been deleted. It can be sent again; \"not found\" then means that it is deleted.", NULL},
	{"paycombat_create_customer",
		"The customer may have been created, and PayCombat has no look-up by organization_reference_id: look for it in PayCombat's dashboard before sending it again.",
	"An earlier call may have created it: look for it in PayCombat's dashboard."},
	{"paycombat_update_customer",
	"The customer may have been updated. The same update can be sent again.", NULL},
	{"paycombat_disable_customer",
	"The customer may have been disabled. It can be sent again.", NULL},
	{"paycombat_delete_customer",
	"The customer may have been deleted. Look with paycombat_get_customer() before sending it again.", NULL},
};

int
b24_sqlstate(B24Status status)
{
	const char *code = b24_status_info(status)->sqlstate;

	return MAKE_SQLSTATE(code[0], code[1], code[2], code[3], code[4]);
}

/* The secrets of an account, one after the other; NULL for those it lacks. */
#define SECRETS 6

static const char *
secret_number(const B24Secrets *secrets, int i)
{
	const char *const all[SECRETS] = {
		secrets->token, secrets->client_id, secrets->secret,
		secrets->hash_token, secrets->x_token, secrets->signature_key
	};

	return all[i];
}

/* Replaces every occurrence of a secret, in place. */
static void
blot_out(char *text, const char *secret)
{
	size_t		length = secret != NULL ? strlen(secret) : 0;
	char	   *found;

	if (length < SHORTEST_SECRET)
		return;
	while ((found = strstr(text, secret)) != NULL)
	{
		memset(found, '*', length);
		text = found + length;
	}
}

/* Replaces words that are too long for people: tokens, most likely. */
static void
blot_out_tokens(char *text)
{
	static const char *const token_characters =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.+/=";

	while (*text != '\0')
	{
		size_t		length = strspn(text, token_characters);

		if (length > LONGEST_WORD)
			memset(text, '*', length);
		text += length > 0 ? length : 1;
	}
}

/* Words of the provider, fit to be shown. */
static char *
quotable(const B24Secrets *secrets, const char *utf8)
{
	char	   *text = pstrdup(utf8);

	for (int i = 0; secrets != NULL && i < SECRETS; i++)
		blot_out(text, secret_number(secrets, i));
	blot_out_tokens(text);

	/* they come with spaces and full stops of their own, or without */
	for (int end = strlen(text); end > 0 && strchr(" .", text[end - 1]) != NULL; end--)
		text[end - 1] = '\0';
	return b24_text_for_message(text + strspn(text, " "));
}

/* The secrets to look for, with their lengths. */
typedef struct Search
{
	const char *secrets[SECRETS];
	size_t		lengths[SECRETS];
	int			count;
} Search;

static bool
has_one(const Search *search, const char *text, size_t length)
{
	for (int i = 0; i < search->count; i++)
	{
		if (length >= search->lengths[i] && strstr(text, search->secrets[i]) != NULL)
			return true;
	}
	return false;
}

static bool
has_no_secret(const char *key, B24Json *value, void *context)
{
	size_t		length = 0;
	const char *text = b24_json_string(value, &length);

	if (has_one(context, key, strlen(key)) ||
		(text != NULL && has_one(context, text, length)))
		return false;
	for (size_t i = 0; i < b24_json_length(value); i++)
	{
		if (!has_no_secret("", b24_json_element(value, i), context))
			return false;
	}
	return b24_json_each(value, has_no_secret, context);
}

/*
 * Does a provider repeat a secret of the account in its data?  Such an answer
 * is not to be kept where others may read it.
 */
bool
b24_repeats_secret(const B24Secrets *secrets, const B24Json *data)
{
	Search		search = {.count = 0};

	for (int i = 0; i < SECRETS; i++)
	{
		const char *secret = secret_number(secrets, i);
		size_t		length = secret != NULL ? strlen(secret) : 0;

		if (length < SHORTEST_SECRET)
			continue;
		search.secrets[search.count] = secret;
		search.lengths[search.count++] = length;
	}
	return !has_no_secret("", unconstify(B24Json *, data), &search);
}

/* What went wrong, as a part of a sentence. */
char *
b24_reply_message(const B24Endpoint *endpoint, const B24Secrets *secrets,
				  const B24Reply *reply)
{
	const char *message = b24_status_info(reply->status)->message;

	if (reply->status == B24_NO_ANSWER && !endpoint->changes)
		message = "no answer";

	if (reply->of_login && reply->status == B24_UNREACHABLE)
		message = "could not log in";
	if (reply->text[0] != '\0')
		return psprintf("%s: %s", message, quotable(secrets, reply->text));
	return pstrdup(message);
}

/*
 * HTTP status, code and both messages of the provider.  NULL when there was
 * no answer.
 */
char *
b24_reply_detail(const B24Secrets *secrets, const B24Reply *reply)
{
	const char *message = reply->message != NULL ? reply->message : "";
	const char *message_kh = reply->message_kh != NULL ? reply->message_kh : "";
	StringInfoData detail;

	if (reply->http_status == 0)
		return NULL;
	initStringInfo(&detail);
	appendStringInfo(&detail, "HTTP status %ld", reply->http_status);
	if (reply->code[0] != '\0')
		appendStringInfo(&detail, ", code %s", quotable(secrets, reply->code));
	if (message[0] != '\0')
		appendStringInfo(&detail, ": %s", quotable(secrets, message));
	if (message_kh[0] != '\0' && strcmp(message, message_kh) != 0)
		appendStringInfo(&detail, " (%s)", quotable(secrets, message_kh));
	return detail.data;
}

/* What to do next; NULL if there is nothing to say. */
char *
b24_reply_hint(const B24Endpoint *endpoint, const B24Reply *reply)
{
	const B24StatusInfo *info = b24_status_info(reply->status);
	const char *unknown = "The request may have had its effect. Look that up before sending it again.";
	const char *exists = NULL;

	for (int i = 0; i < lengthof(lookups); i++)
	{
		if (strcmp(lookups[i].operation, endpoint->name) == 0)
		{
			unknown = lookups[i].unknown;
			exists = lookups[i].exists;
		}
	}
	if (!endpoint->changes)
		unknown = "The operation only reads, so it can be repeated.";

	if (reply->status == B24_THROTTLED && reply->retry_after_s >= 0)
		return psprintf("Nothing was done. The provider asks to wait %ld s.",
						reply->retry_after_s);
	if (reply->status == B24_ALREADY_EXISTS && exists != NULL)
		return pstrdup(exists);
	if (info->retry == B24_RETRY_AFTER_LOOKUP)
	{
		if (reply->retry_after_s > 0)
			return psprintf("%s The provider asks to wait %ld s.", unknown,
							reply->retry_after_s);
		return psprintf("%s%s%s", unknown, info->hint != NULL ? " " : "",
						info->hint != NULL ? info->hint : "");
	}
	return info->hint != NULL ? pstrdup(info->hint) : NULL;
}

/* Raises the error for a request that could not be made. */
void
b24_report_problem(const char *operation, const B24Problem *problem)
{
	const B24StatusInfo *info = b24_status_info(problem->status);

	ereport(ERROR,
			(errcode(b24_sqlstate(problem->status)),
			 errmsg("could not send %s: %s", operation, problem->text),
			 info->hint != NULL ? errhint("%s", info->hint) : 0));
}

/* Raises the error for a success whose data has the wrong shape. */
void
b24_report_misfit(const B24Endpoint *endpoint, const B24Problem *problem)
{
	ereport(ERROR,
			(errcode(b24_sqlstate(problem->status)),
			 errmsg("could not read the answer to %s", endpoint->name),
			 errdetail("%s.", problem->text),
			 endpoint->changes ?
			 errhint("The provider reports success, so the operation has had its effect; only the answer cannot be shown.") :
			 errhint("The operation only reads, so it can be repeated.")));
}

/* Raises the error for an answer that is no success. */
void
b24_report_reply(const char *server, const B24Endpoint *endpoint,
				 const B24Secrets *secrets, const B24Reply *reply)
{
	char	   *message = b24_reply_message(endpoint, secrets, reply);
	char	   *detail = b24_reply_detail(secrets, reply);
	char	   *hint = b24_reply_hint(endpoint, reply);

	ereport(ERROR,
			(errcode(b24_sqlstate(reply->status)),
			 errmsg_internal("%s on server \"%s\" failed: %s", endpoint->name,
							 server, message),
			 detail != NULL ? errdetail_internal("%s: %s.", reply->of_login ? "authorize" :
												 endpoint->name, detail) : 0,
			 hint != NULL ? errhint("%s", hint) : 0));
}
