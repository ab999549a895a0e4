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

#include <sys/stat.h>

#include "access/htup_details.h"
#include "access/reloptions.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_foreign_data_wrapper.h"
#include "catalog/pg_user_mapping.h"
#include "commands/defrem.h"
#include "compat.h"
#include "foreign/foreign.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/syscache.h"

#include "account.h"
#include "credentials.h"
#include "options.h"
#include "report.h"

typedef struct Entry
{
	B24Account	account;		/* first: users hold a pointer to it */
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
digest_of(const char *const *parts, int count, uint8 *digest)
{
	StringInfoData all;

	initStringInfo(&all);
	for (int i = 0; i < count; i++)
	{
		if (parts[i] != NULL)
			appendStringInfoString(&all, parts[i]);
		appendStringInfoChar(&all, '\0');
	}
	if (!b24_sha256(all.data, all.len, digest))
		elog(ERROR, "could not compute a digest");
	explicit_bzero(all.data, all.len);
	pfree(all.data);
}

/*
 * Accounts that would log in alike may share what they got.  Those of one
 * merchant, also when its secret is a new one, have the same customers, and so
 * the order of their jobs counts.
 */
static void
make_digest(B24Account *account)
{
	const B24Provider *provider = account->provider;
	const char *parts[8];
	uint8		digest[B24_SHA256_LENGTH];
	int			count = 0;

	parts[count++] = account->base_url;
	for (int i = 0; i < provider->needed; i++)
		parts[count++] = b24_credentials_get(&account->secrets, provider->credentials[i]);
	Assert(count <= lengthof(parts));
	digest_of(parts, count, account->digest);
	digest_of(parts + 1, provider->identity, digest);
	memcpy(&account->number, digest, sizeof(account->number));
}

/* A text of the catalog in UTF-8, NULL if it cannot be told in that. */
static char *
to_utf8(const char *text)
{
	int			encoding = GetDatabaseEncoding();
	int			length = strlen(text);
	int			size = length * MAX_CONVERSION_GROWTH + 1;
	char	   *out;

	if (encoding == PG_UTF8)
		return pstrdup(text);
	if (encoding == PG_SQL_ASCII)
		return pg_verify_mbstr(PG_UTF8, text, length, true) ? pstrdup(text) : NULL;
	out = palloc0(size);
	if (length > 0 && !b24_try_convert(encoding, PG_UTF8, text, length, out, size))
		return NULL;
	return out;
}

/* The limits, alike for all accounts of a server. */
static B24Status
read_limits(Oid serverid, List *list, B24Limits *limits, B24Problem *problem)
{
	Oid			catalog = ForeignServerRelationId;
	B24Status	status[] = {
		b24_option_number(list, "max_in_flight", catalog, &limits->max_in_flight, problem),
		b24_option_number(list, "max_per_second", catalog, &limits->max_per_second, problem),
		b24_option_number(list, "circuit_failures", catalog, &limits->circuit_failures, problem),
	};

	limits->serverid = serverid;
	for (int i = 0; i < lengthof(status); i++)
	{
		if (status[i] != B24_OK)
			return status[i];
	}
	return B24_OK;
}

static B24Status
read_http(List *list, B24HttpOptions *http, B24Problem *problem)
{
	Oid			catalog = ForeignServerRelationId;
	const char *ca_file = b24_option_value(list, "ca_file", catalog);
	int			connect_ms;
	int			request_ms;
	int			size;
	B24Status	status[] = {
		b24_option_number(list, "connect_timeout", catalog, &connect_ms, problem),
		b24_option_number(list, "request_timeout", catalog, &request_ms, problem),
		b24_option_number(list, "max_response_size", catalog, &size, problem),
	};

	http->allow_http = b24_option_boolean(list, "allow_http", catalog);
	http->ca_file = ca_file != NULL ? pstrdup(ca_file) : NULL;
	http->connect_timeout_ms = connect_ms;
	http->request_timeout_ms = request_ms;
	http->max_response_size = size;
	for (int i = 0; i < lengthof(status); i++)
	{
		if (status[i] != B24_OK)
			return status[i];
	}
	return B24_OK;
}

static B24Status
read_mapping(Entry *entry, List *list, B24Problem *problem)
{
	ListCell   *cell;

	foreach(cell, list)
	{
		DefElem    *def = lfirst_node(DefElem, cell);

		if (strcmp(def->defname, "credentials_file") == 0)
			entry->file = pstrdup(defGetString(def));
		else
		{
			char	   *value = to_utf8(defGetString(def));

			if (value == NULL)
				return b24_problem(problem, B24_BAD_ARGUMENT,
								   "the value of option \"%s\" cannot be converted to UTF-8",
								   def->defname);
			b24_credentials_set(&entry->account.secrets, def->defname, value);
		}
	}
	if (entry->file != NULL)
		return b24_credentials_read(entry->file, entry->account.provider,
									&entry->account.secrets,
									&entry->file_state, problem);
	return B24_OK;
}

/* What the options of a server say of what goes on the wire. */
static void
read_wire(List *list, B24Account *account)
{
	Oid			catalog = ForeignServerRelationId;

	account->resend_unknown = b24_option_boolean(list, "resend_unknown", catalog);
	account->secrets.bodyless_signature =
		pstrdup(b24_option_value(list, "bodyless_signature", catalog));
	for (int i = 0; i < B24_EP_COUNT; i++)
	{
		const B24Endpoint *endpoint = &b24_endpoints[i];
		const char *path;

		if (endpoint->provider != account->provider || endpoint->path_option == NULL)
			continue;
		path = b24_option_value(list, endpoint->path_option, catalog);
		if (path != NULL)
			account->secrets.paths[i] = pstrdup(path);
	}
}

static B24Status
fill(Entry *entry, const char *name, List *list, B24Problem *problem)
{
	B24Account *account = &entry->account;
	const char *url = b24_option_value(list, "base_url", ForeignServerRelationId);
	List	   *mapping;
	char	   *base;

	if (url == NULL)
		url = account->provider->base_url;
	if (url == NULL)
		return b24_problem(problem, B24_BAD_ARGUMENT,
						   "the server has no option base_url");
	base = pstrdup(url);
	while (strlen(base) > 0 && base[strlen(base) - 1] == '/')
		base[strlen(base) - 1] = '\0';

	account->server = pstrdup(name);
	account->base_url = base;
	read_wire(list, account);
	if (read_http(list, &account->http, problem) != B24_OK ||
		read_limits(account->serverid, list, &account->limits, problem) != B24_OK)
		return problem->status;
	account->max_in_flight = account->limits.max_in_flight;
	if (!find_mapping(account->serverid, account->userid, &mapping))
		return b24_problem(problem, B24_NO_MAPPING,
						   "there is no user mapping for this role");
	if (read_mapping(entry, mapping, problem) != B24_OK)
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
 * The server of that name, and whether a role may use it, from one look at the
 * catalog: what is dropped meanwhile is no error.  False if there is none.
 */
static bool
find_server(const char *name, Oid userid, Oid *serverid, bool *usage)
{
	HeapTuple	tuple;
	Form_pg_foreign_server server;
	Datum		datum;
	bool		isnull;

	/* longer ones would be cut off in a look-up, and name another */
	if (strlen(name) >= NAMEDATALEN)
		return false;
	tuple = SearchSysCache1(FOREIGNSERVERNAME, CStringGetDatum(name));
	if (!HeapTupleIsValid(tuple))
		return false;
	server = (Form_pg_foreign_server) GETSTRUCT(tuple);
	*serverid = server->oid;
	*usage = true;
	if (!superuser_arg(userid))
	{
		Acl		   *acl;

		datum = SysCacheGetAttr(FOREIGNSERVERNAME, tuple,
								Anum_pg_foreign_server_srvacl, &isnull);
		acl = isnull ? acldefault(OBJECT_FOREIGN_SERVER, server->srvowner) :
			DatumGetAclP(datum);
		*usage = aclmask(acl, userid, server->srvowner, ACL_USAGE, ACLMASK_ANY) != 0;
		if (isnull || (Pointer) acl != DatumGetPointer(datum))
			pfree(acl);
	}
	ReleaseSysCache(tuple);
	return true;
}

/*
 * The server with its options, and whose it is; NULL unless it is one of ours.
 * *other_wrapper tells that it is somebody else's.
 */
static ForeignServer *
our_server(Oid serverid, bool *other_wrapper, const B24Provider **provider)
{
	ForeignServer *server = GetForeignServerExtended(serverid, FSV_MISSING_OK);
	ForeignDataWrapper *wrapper = server == NULL ? NULL :
		GetForeignDataWrapperExtended(server->fdwid, FDW_MISSING_OK);

	*provider = wrapper != NULL ? b24_provider_find(wrapper->fdwname) : NULL;
	*other_wrapper = wrapper != NULL && *provider == NULL;
	return wrapper != NULL && !*other_wrapper ? server : NULL;
}

/* The wrapper, or wrappers, whose servers will do. */
static const char *
wrappers(const B24Provider *wanted)
{
	StringInfoData text;

	if (wanted != NULL)
		return psprintf("\"%s\"", wanted->name);
	initStringInfo(&text);
	for (const B24Provider *const *p = b24_providers; *p != NULL; p++)
		appendStringInfo(&text, "%s\"%s\"", p == b24_providers ? "" : " or ", (*p)->name);
	return text.data;
}

/*
 * The account of a role on a server, of a provider or (wanted is NULL) of any,
 * or NULL with a problem.  Raises nothing for what an administrator can do.
 * *provider is whose server it is, once that is known.
 */
static const B24Account *
find_account(const char *name, Oid userid, const B24Provider *wanted,
			 const B24Provider **provider, bool *other_wrapper,
			 B24Problem *problem)
{
	Oid			serverid;
	bool		usage;
	ForeignServer *server;
	uint64		seen;
	Entry	   *entry;
	MemoryContext context;
	MemoryContext old;
	B24Status	status;

	/* what was revoked is revoked, also in the middle of a transaction */
	AcceptInvalidationMessages();
	*other_wrapper = false;
	*provider = NULL;
	if (!find_server(name, userid, &serverid, &usage))
	{
		b24_problem(problem, B24_NO_SERVER, "server \"%s\" does not exist", name);
		return NULL;
	}
	if (!usage)
	{
		b24_problem(problem, B24_NO_USAGE,
					"permission denied for foreign server %s", name);
		return NULL;
	}

	entry = lookup(serverid, userid);
	if (entry != NULL && (wanted == NULL || wanted == entry->account.provider))
	{
		*provider = entry->account.provider;
		return pin(entry);
	}

	if (!callbacks_registered)
	{
		CacheRegisterSyscacheCallback(FOREIGNSERVEROID, invalidate, 0);
		CacheRegisterSyscacheCallback(USERMAPPINGOID, invalidate, 0);
		callbacks_registered = true;
	}
	seen = invalidations;
	server = our_server(serverid, other_wrapper, provider);
	if (server != NULL && wanted != NULL && wanted != *provider)
	{
		*other_wrapper = true;
		server = NULL;
	}
	if (server == NULL)
	{
		if (*other_wrapper)
			b24_problem(problem, B24_NO_SERVER,
						"server \"%s\" is not a server of foreign-data wrapper %s",
						name, wrappers(wanted));
		else
			b24_problem(problem, B24_NO_SERVER, "server \"%s\" does not exist", name);
		return NULL;
	}

	/* until it is complete it hangs below the caller's, so that it cannot leak */
	context = AllocSetContextCreate(CurrentMemoryContext, "bill24 account",
									ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(context);
	entry = palloc0(sizeof(Entry));
	entry->context = context;
	entry->account.serverid = serverid;
	entry->account.userid = userid;
	entry->account.provider = *provider;
	status = fill(entry, server->servername, server->options, problem);
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

/*
 * The account of the current role on a server, of a provider or of any, or
 * NULL with a problem when it is not complete; *hint is what to do then.  It
 * lives as long as the current memory context.  Errors: 42704 no such server,
 * 42809 a server of another wrapper, 42501 no USAGE.
 */
const B24Account *
b24_account_try(const char *name, const B24Provider *wanted,
				B24Problem *problem, const char **hint)
{
	bool		other_wrapper;
	const B24Provider *provider;
	const B24Account *account = find_account(name, GetUserId(), wanted, &provider,
											 &other_wrapper, problem);

	if (account != NULL)
		return account;
	if (other_wrapper)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("server \"%s\" is not a server of foreign-data wrapper %s",
						name, wrappers(wanted))));
	if (problem->status == B24_NO_SERVER)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("server \"%s\" does not exist", name),
				 errhint("Make it with CREATE SERVER %s FOREIGN DATA WRAPPER %s OPTIONS (base_url '...'), or name another in the argument \"server\".",
						 quote_identifier(name),
						 wanted != NULL ? wanted->name : b24_providers[0]->name)));
	if (problem->status == B24_NO_USAGE)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for foreign server %s", name),
				 errhint("The owner can GRANT USAGE ON FOREIGN SERVER %s.",
						 quote_identifier(name))));
	*hint = b24_credentials_hint(provider, problem->status);
	return NULL;
}

/*
 * The account of any role, for those who act in its name later: whatever an
 * administrator may have done meanwhile (server or role gone, rights revoked,
 * no mapping) is a problem and not an error.  It lives as long as the current
 * memory context.  Needs a transaction.
 */
const B24Account *
b24_account_of(const char *name, Oid userid, B24Problem *problem)
{
	bool		other_wrapper;
	const B24Provider *provider;

	AcceptInvalidationMessages();
	if (!SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(userid)))
	{
		b24_problem(problem, B24_NO_ROLE, "role %u does not exist", userid);
		return NULL;
	}
	return find_account(name, userid, NULL, &provider, &other_wrapper, problem);
}

/* Keeps it alive as long as the current memory context, too. */
void
b24_account_keep(const B24Account *account)
{
	/* the account is the first member */
	(void) pin((Entry *) unconstify(B24Account *, account));
}

/*
 * Would the same role get this account again?  False when its server, its
 * mapping or its file has changed.  Needs no transaction; rights are not asked.
 */
bool
b24_account_is_current(const B24Account *account)
{
	Entry	   *entry = (Entry *) unconstify(B24Account *, account);
	struct stat now;

	AcceptInvalidationMessages();
	if (!entry->stale && entry->file != NULL &&
		(stat(entry->file, &now) != 0 || !same_file(&now, &entry->file_state)))
		entry->stale = true;
	return !entry->stale;
}

/*
 * Whose server it is, whoever asks; NULL if there is none of that name and of
 * a wrapper of ours.  Needs a transaction.
 */
const B24Provider *
b24_server_provider(const char *name)
{
	Oid			serverid;
	bool		usage;
	bool		other_wrapper;
	const B24Provider *provider;

	if (!find_server(name, BOOTSTRAP_SUPERUSERID, &serverid, &usage))
		return NULL;
	(void) our_server(serverid, &other_wrapper, &provider);
	return provider;
}

/*
 * The number of the account that the options of a user mapping stand for,
 * whoever asks; false if the server is none of ours, or they do not tell.  The
 * server's name is in the current memory context.  Needs a transaction.
 */
bool
b24_account_number(Oid serverid, Datum options, const char **name, int64 *number)
{
	bool		other_wrapper;
	const B24Provider *provider;
	ForeignServer *server = our_server(serverid, &other_wrapper, &provider);
	MemoryContext context;
	MemoryContext old;
	Entry	   *entry;
	B24Problem	ignored;
	bool		known;

	if (server == NULL)
		return false;
	*name = server->servername;
	context = AllocSetContextCreate(CurrentMemoryContext, "bill24 account",
									ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(context);
	entry = palloc0(sizeof(Entry));
	entry->account.base_url = "";
	entry->account.provider = provider;
	known = read_mapping(entry, untransformRelOptions(options), &ignored) == B24_OK;
	for (int i = 0; i < provider->identity; i++)
		known = known && b24_credentials_get(&entry->account.secrets,
											 provider->credentials[i]) != NULL;
	if (known)
		make_digest(&entry->account);
	*number = entry->account.number;
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return known;
}

/*
 * What is set for a server, whoever asks; false if there is none of that name
 * and of a wrapper of ours.  Needs a transaction.
 */
bool
b24_server_settings(const char *name, B24ServerSettings *settings)
{
	Oid			catalog = ForeignServerRelationId;
	Oid			serverid;
	bool		usage;
	bool		other_wrapper;
	const B24Provider *provider;
	ForeignServer *server;
	B24Problem	ignored;

	AcceptInvalidationMessages();
	if (!find_server(name, BOOTSTRAP_SUPERUSERID, &serverid, &usage))
		return false;
	server = our_server(serverid, &other_wrapper, &provider);
	if (server == NULL)
		return false;

	/* the defaults stand in for what nobody can read */
	(void) read_limits(serverid, server->options, &settings->limits, &ignored);
	(void) b24_option_number(server->options, "max_attempts", catalog,
							 &settings->max_attempts, &ignored);
	(void) b24_option_number(server->options, "retry_delay", catalog,
							 &settings->retry_delay_ms, &ignored);
	(void) b24_option_number(server->options, "retention", catalog,
							 &settings->retention_s, &ignored);
	settings->mirror = b24_option_boolean(server->options, "mirror", catalog);
	(void) b24_option_number(server->options, "sync_interval", catalog,
							 &settings->max_sync_s, &ignored);
	(void) b24_option_number(server->options, "min_sync_interval", catalog,
							 &settings->min_sync_s, &ignored);
	settings->min_sync_s = Min(settings->min_sync_s, settings->max_sync_s);
	(void) b24_option_number(server->options, "second_look", catalog,
							 &settings->second_look_s, &ignored);
	return true;
}

/* The same, but an incomplete account is an error (28000, 22023). */
const B24Account *
b24_account_open(const char *name, const B24Provider *wanted)
{
	B24Problem	problem;
	const char *hint = NULL;
	const B24Account *account = b24_account_try(name, wanted, &problem, &hint);

	if (account == NULL)
		ereport(ERROR,
				(errcode(b24_sqlstate(problem.status)),
				 errmsg("cannot use server \"%s\": %s", name, problem.text),
				 hint != NULL ? errhint("%s", hint) : 0));
	return account;
}
