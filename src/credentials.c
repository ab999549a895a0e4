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

/* Puts a secret, copied, where it belongs. */
void
b24_credentials_set(B24Secrets *secrets, const char *name, const char *value)
{
	const struct
	{
		const char *name;
		const char **field;
	}			fields[] = {
		{"token", &secrets->token},
		{"client_id", &secrets->client_id},
		{"secret", &secrets->secret},
		{"hash_token", &secrets->hash_token},
	};

	for (int i = 0; i < lengthof(fields); i++)
	{
		if (strcmp(fields[i].name, name) == 0)
			*fields[i].field = pstrdup(value);
	}
}

/* The members of a credentials file. */
typedef struct FileReading
{
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
	if (option == NULL || option->kind != B24_OPTION_SECRET)
	{
		b24_problem(reading->problem, B24_CREDENTIALS_FILE,
					"the credentials file has a key that is none of token, client_id, secret and hash_token");
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
b24_credentials_read(const char *file, B24Secrets *secrets, struct stat *state,
					 B24Problem *problem)
{
	FileReading reading = {secrets, problem};
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
