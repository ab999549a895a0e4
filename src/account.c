/*-------------------------------------------------------------------------
 *
 * account.c
 *	  Finding an account, with rights checked, and keeping it at hand.
 *
 * Reading options costs more than the rest of a call, so accounts are cached
 * per server and role until a catalog invalidation, or a change of the file
 * with the credentials.  An account in use outlives its place in the cache:
 * users hold a pin, which a callback of their memory context gives back.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/htup_details.h"
#include "access/reloptions.h"
#include "catalog/pg_user_mapping.h"
#include "commands/defrem.h"
#include "compat.h"
#include "foreign/foreign.h"
#include "storage/fd.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/syscache.h"

#include "account.h"
#include "options.h"
#include "report.h"

/* A file of credentials is a few hundred bytes. */
#define MAX_CREDENTIALS_FILE 65536

typedef struct Entry
{
	B24Account	account;
	MemoryContext context;		/* everything of it, this struct included */
	struct Entry *next;
	int			pins;
	bool		stale;
	const char *file;			/* credentials_file, or NULL */
	struct stat file_state;
} Entry;

typedef struct Pin
{
	MemoryContextCallback callback;
	Entry	   *entry;
} Pin;

static Entry *entries = NULL;
static bool callbacks_registered = false;
static uint64 invalidations = 0;

static void
forget(Entry *entry)
{
	for (Entry **link = &entries; *link != NULL; link = &(*link)->next)
	{
		if (*link == entry)
		{
			*link = entry->next;
			break;
		}
	}
	MemoryContextDelete(entry->context);
}

static void
unpin(void *arg)
{
	Entry	   *entry = ((Pin *) arg)->entry;

	if (--entry->pins == 0 && entry->stale)
		forget(entry);
}

/* A server or mapping changed; which one hardly matters, it is rare. */
static void
invalidate(Datum arg, int cacheid, uint32 hashvalue)
{
	invalidations++;
	for (Entry *entry = entries; entry != NULL; entry = entry->next)
		entry->stale = true;
}

static bool
same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino &&
		a->st_size == b->st_size && a->st_mtime == b->st_mtime &&
		a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static Entry *
lookup(Oid serverid, Oid userid)
{
	Entry	   *next;

	for (Entry *entry = entries; entry != NULL; entry = next)
	{
		struct stat now;

		next = entry->next;
		if (!entry->stale && entry->file != NULL &&
			entry->account.serverid == serverid &&
			entry->account.userid == userid &&
			(stat(entry->file, &now) != 0 ||
			 !same_file(&now, &entry->file_state)))
			entry->stale = true;
		if (entry->stale)
		{
			if (entry->pins == 0)
				forget(entry);
		}
		else if (entry->account.serverid == serverid &&
				 entry->account.userid == userid)
			return entry;
	}
	return NULL;
}

/* The options of a role's user mapping, or of PUBLIC's; false if none. */
static bool
find_mapping(Oid serverid, Oid userid, List **list)
{
	HeapTuple	tuple;
	Datum		datum;
	bool		isnull;

	tuple = SearchSysCache2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(userid),
							ObjectIdGetDatum(serverid));
	if (!HeapTupleIsValid(tuple))
		tuple = SearchSysCache2(USERMAPPINGUSERSERVER,
								ObjectIdGetDatum(InvalidOid),
								ObjectIdGetDatum(serverid));
	if (!HeapTupleIsValid(tuple))
		return false;
	datum = SysCacheGetAttr(USERMAPPINGUSERSERVER, tuple,
							Anum_pg_user_mapping_umoptions, &isnull);
	*list = isnull ? NIL : untransformRelOptions(datum);
	ReleaseSysCache(tuple);
	return true;
}

static void
set_secret(B24Secrets *secrets, const char *name, const char *value)
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
	Entry	   *entry;
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
	set_secret(&reading->entry->account.secrets, key, text);
	return true;
}

/*
 * Reads the file of credentials: one JSON object, with the names of the
 * options as keys.  Others must not be able to read it.
 */
static B24Status
read_file(Entry *entry, B24Problem *problem)
{
	FileReading reading = {entry, problem};
	int			fd;
	char	   *text;
	ssize_t		length;
	bool		readable;
	B24Json    *json;
	bool		ok;

	/* a pipe in its place must not hold us up */
	fd = OpenTransientFile(entry->file, O_RDONLY | O_NONBLOCK | PG_BINARY);
	if (fd < 0)
		return b24_problem(problem, B24_CREDENTIALS_FILE,
						   "could not open the credentials file: %m");
	if (fstat(fd, &entry->file_state) != 0 || !S_ISREG(entry->file_state.st_mode))
	{
		CloseTransientFile(fd);
		return b24_problem(problem, B24_CREDENTIALS_FILE,
						   "the credentials file is not a regular file");
	}
	if ((entry->file_state.st_mode & S_IRWXO) != 0)
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

/* Accounts that would log in alike may share what they got. */
static void
make_digest(B24Account *account)
{
	StringInfoData all;
	const char *const parts[] = {
		account->base_url, account->secrets.token, account->secrets.client_id,
		account->secrets.secret
	};

	initStringInfo(&all);
	for (int i = 0; i < lengthof(parts); i++)
	{
		if (parts[i] != NULL)
			appendStringInfoString(&all, parts[i]);
		appendStringInfoChar(&all, '\0');
	}
	if (!b24_sha256(all.data, all.len, account->digest))
		elog(ERROR, "could not compute a digest");
	explicit_bzero(all.data, all.len);
	pfree(all.data);
}

static char *
to_utf8(const char *text)
{
	return pstrdup(pg_server_to_any(text, strlen(text), PG_UTF8));
}

static B24Status
fill(Entry *entry, ForeignServer *server, B24Problem *problem)
{
	B24Account *account = &entry->account;
	List	   *list = server->options;
	List	   *secrets;
	const char *url;
	char	   *base;
	ListCell   *cell;
	Oid			catalog = ForeignServerRelationId;

	url = b24_option_value(list, "base_url", catalog);
	if (url == NULL)
		return b24_problem(problem, B24_BAD_ARGUMENT,
						   "the server has no option base_url");
	base = pstrdup(url);
	while (strlen(base) > 0 && base[strlen(base) - 1] == '/')
		base[strlen(base) - 1] = '\0';

	account->server = pstrdup(server->servername);
	account->base_url = base;
	account->provider = &b24_bill24;
	account->http.allow_http = b24_option_boolean(list, "allow_http", catalog);
	account->http.ca_file = b24_option_value(list, "ca_file", catalog);
	account->http.connect_timeout_ms = b24_option_number(list, "connect_timeout", catalog);
	account->http.request_timeout_ms = b24_option_number(list, "request_timeout", catalog);
	account->http.max_response_size = b24_option_number(list, "max_response_size", catalog);
	account->max_in_flight = b24_option_number(list, "max_in_flight", catalog);
	if (account->http.ca_file != NULL)
		account->http.ca_file = pstrdup(account->http.ca_file);

	if (!find_mapping(account->serverid, account->userid, &secrets))
		return b24_problem(problem, B24_NO_MAPPING,
						   "there is no user mapping for this role");
	foreach(cell, secrets)
	{
		DefElem    *def = lfirst_node(DefElem, cell);

		if (strcmp(def->defname, "credentials_file") == 0)
			entry->file = pstrdup(defGetString(def));
		else
		{
			char	   *value = to_utf8(defGetString(def));

			set_secret(&account->secrets, def->defname, value);
		}
	}
	if (entry->file != NULL && read_file(entry, problem) != B24_OK)
		return problem->status;
	make_digest(account);
	return B24_OK;
}

/* Keeps the account alive as long as the caller's memory context lives. */
static const B24Account *
pin(Entry *entry)
{
	Pin		   *p = palloc(sizeof(Pin));

	p->entry = entry;
	p->callback.func = unpin;
	p->callback.arg = p;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &p->callback);
	entry->pins++;
	return &entry->account;
}

/*
 * The account of the current role on a server, or NULL with a problem when it
 * is not complete.  It lives as long as the current memory context.  Errors:
 * 42704 no such server, 42809 a server of another wrapper, 42501 no USAGE.
 */
const B24Account *
b24_account_try(const char *name, B24Problem *problem)
{
	Oid			userid = GetUserId();
	Oid			serverid;
	AclResult	rights;
	ForeignServer *server;
	uint64		seen;
	Entry	   *entry;
	MemoryContext context;
	MemoryContext old;
	B24Status	status;

	/* what was revoked is revoked, also in the middle of a transaction */
	AcceptInvalidationMessages();
	serverid = get_foreign_server_oid(name, true);
	if (!OidIsValid(serverid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("server \"%s\" does not exist", name),
				 errhint("Make it with CREATE SERVER %s FOREIGN DATA WRAPPER bill24 OPTIONS (base_url '...'), or name another in the argument \"server\".",
						 quote_identifier(name))));
	rights = b24_server_aclcheck(serverid, userid);
	if (rights != ACLCHECK_OK)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for foreign server %s", name),
				 errhint("The owner can GRANT USAGE ON FOREIGN SERVER %s.",
						 quote_identifier(name))));

	entry = lookup(serverid, userid);
	if (entry != NULL)
		return pin(entry);

	if (!callbacks_registered)
	{
		CacheRegisterSyscacheCallback(FOREIGNSERVEROID, invalidate, 0);
		CacheRegisterSyscacheCallback(USERMAPPINGOID, invalidate, 0);
		callbacks_registered = true;
	}
	seen = invalidations;
	server = GetForeignServer(serverid);
	if (strcmp(GetForeignDataWrapper(server->fdwid)->fdwname, "bill24") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("server \"%s\" is not a server of foreign-data wrapper \"bill24\"",
						server->servername)));

	/* until it is complete it hangs below the caller's, so that it cannot leak */
	context = AllocSetContextCreate(CurrentMemoryContext, "bill24 account",
									ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(context);
	entry = palloc0(sizeof(Entry));
	entry->context = context;
	entry->account.serverid = serverid;
	entry->account.userid = userid;
	status = fill(entry, server, problem);
	MemoryContextSwitchTo(old);
	if (status != B24_OK)
	{
		MemoryContextDelete(context);
		return NULL;
	}
	MemoryContextSetParent(context, CacheMemoryContext);
	entry->next = entries;
	entries = entry;

	/* what changed while it was read counts for the next caller */
	entry->stale = seen != invalidations;
	return pin(entry);
}

/* The same, but an incomplete account is an error (28000, 22023). */
const B24Account *
b24_account_open(const char *name)
{
	B24Problem	problem;
	const B24Account *account = b24_account_try(name, &problem);

	if (account == NULL)
	{
		const char *hint = b24_status_info(problem.status)->hint;

		ereport(ERROR,
				(errcode(b24_sqlstate(problem.status)),
				 errmsg("cannot use server \"%s\": %s", name, problem.text),
				 hint != NULL ? errhint("%s", hint) : 0));
	}
	return account;
}
