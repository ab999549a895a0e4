/*-------------------------------------------------------------------------
 *
 * credentials.c
 *	  The secrets of an account, and the file that may hold them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <unistd.h>

#include "catalog/pg_user_mapping.h"
#include "compat.h"
#include "storage/fd.h"

#include "credentials.h"
#include "options.h"

/* A file of credentials is a few hundred bytes. */
#define MAX_CREDENTIALS_FILE 65536

/* Where each secret is, by the name of its option. */
static const struct
{
	const char *name;
	size_t		offset;
}			fields[] = {
	{"token", offsetof(B24Secrets, token)},
	{"client_id", offsetof(B24Secrets, client_id)},
	{"secret", offsetof(B24Secrets, secret)},
	{"hash_token", offsetof(B24Secrets, hash_token)},
	{"x_token", offsetof(B24Secrets, x_token)},
	{"signature_key", offsetof(B24Secrets, signature_key)},
};

/* Puts a secret, copied, where it belongs. */
void
b24_credentials_set(B24Secrets *secrets, const char *name, const char *value)
{
	for (int i = 0; i < lengthof(fields); i++)
	{
		if (strcmp(fields[i].name, name) == 0)
			*(const char **) ((char *) secrets + fields[i].offset) = pstrdup(value);
	}
}

/* A secret by the name of its option; NULL if the account has none. */
const char *
b24_credentials_get(const B24Secrets *secrets, const char *name)
{
	for (int i = 0; i < lengthof(fields); i++)
	{
		if (strcmp(fields[i].name, name) == 0)
			return *(const char *const *) ((const char *) secrets + fields[i].offset);
	}
	return NULL;
}

/* The first of a provider's secrets, as a part of a sentence; 0: all. */
static char *
names_of(const B24Provider *provider, int count, const char *behind,
		 const char *last)
{
	StringInfoData text;

	initStringInfo(&text);
	for (int i = 0; provider->credentials[i] != NULL && (count == 0 || i < count); i++)
	{
		bool		is_last = provider->credentials[i + 1] == NULL || i + 1 == count;

		appendStringInfo(&text, "%s%s%s", i == 0 ? "" : is_last ? last : ", ",
						 provider->credentials[i], behind);
	}
	return text.data;
}

/*
 * What to do about an account of a provider that is not complete; NULL if
 * there is nothing to say.
 */
const char *
b24_credentials_hint(const B24Provider *provider, B24Status status)
{
	if (provider != NULL && status == B24_NO_MAPPING)
		return psprintf("Make one: CREATE USER MAPPING FOR CURRENT_USER SERVER ... OPTIONS (%s).",
						names_of(provider, provider->needed, " '...'", ", "));
	if (provider != NULL && status == B24_CREDENTIALS_FILE)
		return psprintf("It must be one JSON object with the keys %s, belong to the server's operating system user, and be closed to others (chmod 600).",
						names_of(provider, 0, "", " and "));
	return b24_status_info(status)->hint;
}

/* The members of a credentials file. */
typedef struct FileReading
{
	const B24Provider *provider;
	B24Secrets *secrets;
	B24Problem *problem;
} FileReading;

static bool
take_credential(const char *key, B24Json *value, void *context)
{
	FileReading *reading = context;
	const B24Option *option = b24_option_find(key, UserMappingRelationId);
	size_t		length = 0;
	const char *text = b24_json_string(value, &length);

	/* the file may hold anything: its keys and values stay out of messages */
	if (option == NULL || option->kind != B24_OPTION_SECRET ||
		option->provider != reading->provider)
	{
		b24_problem(reading->problem, B24_CREDENTIALS_FILE,
					"the credentials file has a key that is none of %s",
					names_of(reading->provider, 0, "", " and "));
		return false;
	}
	if (text == NULL || length == 0 || strlen(text) != length)
	{
		b24_problem(reading->problem, B24_CREDENTIALS_FILE,
					"the credentials file has no text for \"%s\"", option->name);
		return false;
	}
	b24_credentials_set(reading->secrets, key, text);
	return true;
}

/*
 * Reads the file of credentials: one JSON object, with the names of the
 * options as keys.  Others must not be able to read it.
 */
B24Status
b24_credentials_read(const char *file, const B24Provider *provider,
					 B24Secrets *secrets, struct stat *state,
					 B24Problem *problem)
{
	FileReading reading = {provider, secrets, problem};
	int			fd;
	char	   *text;
	ssize_t		length;
	bool		readable;
	B24Json    *json;
	bool		ok;

	/* a pipe in its place must not hold us up */
	fd = OpenTransientFile(file, O_RDONLY | O_NONBLOCK | PG_BINARY);
	if (fd < 0)
		return b24_problem(problem, B24_CREDENTIALS_FILE,
						   "could not open the credentials file: %m");
	if (fstat(fd, state) != 0 || !S_ISREG(state->st_mode))
	{
		CloseTransientFile(fd);
		return b24_problem(problem, B24_CREDENTIALS_FILE,
						   "the credentials file is not a regular file");
	}
	if ((state->st_mode & S_IRWXO) != 0)
	{
		CloseTransientFile(fd);
		return b24_problem(problem, B24_CREDENTIALS_FILE,
						   "the credentials file can be read or written by others");
	}
	text = palloc(MAX_CREDENTIALS_FILE);
	length = read(fd, text, MAX_CREDENTIALS_FILE);
	readable = length >= 0 && length < MAX_CREDENTIALS_FILE;
	CloseTransientFile(fd);
	if (!readable)
		return b24_problem(problem, B24_CREDENTIALS_FILE,
						   "could not read the credentials file, or it is too large");

	json = b24_json_parse(text, length, problem);
	explicit_bzero(text, length);
	pfree(text);
	if (b24_json_type(json) != B24_JSON_OBJECT)
	{
		b24_json_free(json);
		return b24_problem(problem, B24_CREDENTIALS_FILE,
						   "the credentials file is not a JSON object");
	}
	ok = b24_json_each(json, take_credential, &reading);
	b24_json_free(json);
	return ok ? B24_OK : problem->status;
}
