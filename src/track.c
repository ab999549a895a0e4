/*-------------------------------------------------------------------------
 *
 * track.c
 *	  What a person can do about which customers are mirrored.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "compat.h"
#include "foreign/foreign.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "account.h"
#include "datum.h"
#include "feed.h"
#include "report.h"
#include "store.h"
#include "text.h"
#include "tracked.h"
#include "wake.h"

static int
compare_codes(const void *a, const void *b)
{
	text	   *x = (text *) DatumGetPointer(*(const Datum *) a);
	text	   *y = (text *) DatumGetPointer(*(const Datum *) b);
	int			length_x = VARSIZE_ANY_EXHDR(x);
	int			length_y = VARSIZE_ANY_EXHDR(y);
	int			order = memcmp(VARDATA_ANY(x), VARDATA_ANY(y), Min(length_x, length_y));

	return order != 0 ? order : length_x - length_y;
}

/* A code must be one that a call would take. */
static void
check_code(text *code)
{
	int			length = VARSIZE_ANY_EXHDR(code);
	B24Problem	problem;

	if (!b24_text_argument_fits("sync_code", VARDATA_ANY(code), length, true, &problem))
		ereport(ERROR,
				(errcode(b24_sqlstate(problem.status)),
				 errmsg("%s", problem.text)));
	if (GetDatabaseEncoding() != PG_UTF8)
		(void) b24_text_to_utf8(VARDATA_ANY(code), length, NULL);
}

/*
 * The codes of the first argument, each once and in the order of the table.
 * Errors: 22004 NULL, 22023 empty, 22001 too long, 2202E several dimensions.
 */
static int
read_codes(FunctionCallInfo fcinfo, Datum **codes)
{
	ArrayType  *array;
	bool	   *nulls;
	int			count;
	int			kept = 0;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"sync_codes\" must not be NULL")));
	array = PG_GETARG_ARRAYTYPE_P(0);
	if (ARR_NDIM(array) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("argument \"sync_codes\" must be a one-dimensional array")));
	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, codes, &nulls, &count);
	for (int i = 0; i < count; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("argument \"sync_codes\" must not contain NULL")));
		(*codes)[i] = PointerGetDatum(DatumGetTextPP((*codes)[i]));
		check_code((text *) DatumGetPointer((*codes)[i]));
	}
	if (count > 1)
		qsort(*codes, count, sizeof(Datum), compare_codes);
	for (int i = 0; i < count; i++)
	{
		if (kept == 0 || compare_codes(&(*codes)[kept - 1], &(*codes)[i]) != 0)
			(*codes)[kept++] = (*codes)[i];
	}
	return kept;
}

static const char *
server_argument(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"server\" must not be NULL"),
				 errhint("Leave it out for the server \"bill24\".")));
	return pstrdup(NameStr(*PG_GETARG_NAME(1)));
}

/*
 * The server must be one of ours, and the caller have USAGE on it.  An account
 * that is not complete will do.
 */
static void
require_usage(const char *server)
{
	B24Problem	ignored;
	const char *hint;

	(void) b24_account_try(server, &b24_bill24, &ignored, &hint);
}

PG_FUNCTION_INFO_V1(bill24_track);

/*
 * bill24_track(sync_codes text[], server name): has customers mirrored, looked
 * at with the caller's account; returns how many were not mirrored before.  Of
 * the others, those whose looks fail are looked at with the caller's account
 * from now on, unless they are another merchant's.  Errors: those of the codes and of the account; 55000 the server
 * option mirror is off.
 */
Datum
bill24_track(PG_FUNCTION_ARGS)
{
	const char *server = server_argument(fcinfo);
	const B24Account *account = b24_account_open(server, &b24_bill24);
	B24ServerSettings settings;
	uint64		added = 0;
	bool		wanted = false;
	B24Store	store;
	Datum	   *codes;
	int			count = read_codes(fcinfo, &codes);

	if (b24_server_settings(server, &settings) && !settings.mirror)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the customers of server \"%s\" are not mirrored", server),
				 errhint("Its option \"mirror\" is off.")));
	if (count > 0)
	{
		b24_store_open(&store);
		added = b24_tracked_add(server, account, codes, count, &wanted);
		b24_store_close(&store);
	}
	if (wanted)
		b24_wake_at_commit();
	PG_RETURN_INT64((int64) added);
}

PG_FUNCTION_INFO_V1(bill24_refresh);

/*
 * bill24_refresh(sync_codes text[], server name): has customers looked at
 * next; returns how many of them are mirrored.  Errors: those of the codes,
 * 42704 no such server, 42501 no USAGE.
 */
Datum
bill24_refresh(PG_FUNCTION_ARGS)
{
	const char *server = server_argument(fcinfo);
	uint64		wanted = 0;
	B24Store	store;
	Datum	   *codes;
	int			count = read_codes(fcinfo, &codes);

	require_usage(server);
	if (count > 0)
	{
		b24_store_open(&store);
		wanted = b24_tracked_refresh(server, codes, count);
		b24_store_close(&store);
	}
	if (wanted > 0)
		b24_wake_at_commit();
	PG_RETURN_INT64((int64) wanted);
}

/*
 * Forgets those that the caller may, and what calls of this transaction have
 * told of them; returns how many were mirrored.
 */
static uint64
forget(const char *server, Oid serverid, const B24Account *account, Datum *codes, int count)
{
	const char **texts = palloc(count * sizeof(char *));
	uint64		removed;
	B24Store	store;

	for (int i = 0; i < count; i++)
		texts[i] = TextDatumGetCString(codes[i]);
	b24_store_open(&store);
	removed = b24_tracked_remove(server, account, store.user, codes, count);
	b24_store_close(&store);
	b24_feed_forget(serverid, account, store.user, texts, count);
	return removed;
}

PG_FUNCTION_INFO_V1(bill24_untrack);

/*
 * bill24_untrack(sync_codes text[], server name): customers are not mirrored
 * any more, and their copies are deleted; returns how many they were.  Those
 * are left alone that are neither looked at in the name of the caller, or of a
 * role that it is a member of, nor are customers of the caller's account.  So
 * who has no account, or if the server is gone, can still untrack the former.
 * Errors: those of the codes, 42501 no USAGE; with nothing that could be
 * untracked, those of the account, and 42704 no such server.
 */
Datum
bill24_untrack(PG_FUNCTION_ARGS)
{
	const char *server = server_argument(fcinfo);
	Oid			serverid = get_foreign_server_oid(server, true);
	const B24Account *account = NULL;
	uint64		removed = 0;
	B24Problem	ignored;
	const char *hint;
	Datum	   *codes;
	int			count = read_codes(fcinfo, &codes);

	if (OidIsValid(serverid))
		account = b24_account_try(server, &b24_bill24, &ignored, &hint);
	if (count > 0)
		removed = forget(server, serverid, account, codes, count);
	if (removed == 0 && account == NULL)
		(void) b24_account_open(server, &b24_bill24);
	PG_RETURN_INT64((int64) removed);
}
