/*-------------------------------------------------------------------------
 *
 * paycombat.c
 *	  The SQL functions of PayCombat.
 *
 * They are called as Bill24's are; what is different about them is in their
 * rows of endpointlist.h.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"
#include "utils/builtins.h"

#include "call.h"
#include "hmac.h"
#include "report.h"
#include "text.h"

PG_FUNCTION_INFO_V1(paycombat_create_customer);
PG_FUNCTION_INFO_V1(paycombat_update_customer);
PG_FUNCTION_INFO_V1(paycombat_get_customer);
PG_FUNCTION_INFO_V1(paycombat_disable_customer);
PG_FUNCTION_INFO_V1(paycombat_delete_customer);
PG_FUNCTION_INFO_V1(paycombat_verify_webhook);

/*
 * paycombat_create_customer(type text, description text, individual json,
 * company json, organization_reference_id text, metadata json, server name):
 * page "Create Customer".  Errors: 22004 and 22023 where an individual or a
 * company lacks what the page requires; see the table in status.c.
 */
Datum
paycombat_create_customer(PG_FUNCTION_ARGS)
{
	return b24_call(fcinfo, B24_EP_paycombat_create_customer);
}

/*
 * paycombat_update_customer(customer_id text, ..., server name): page "Update
 * Customer".  What is NULL is not sent; an empty text clears a field.
 */
Datum
paycombat_update_customer(PG_FUNCTION_ARGS)
{
	return b24_call(fcinfo, B24_EP_paycombat_update_customer);
}

/*
 * paycombat_get_customer(customer_id text, organization_reference_id text,
 * server name, missing_ok boolean): page "Get Detail Customer by Id".  Without
 * customer_id it is the one that is kept for the reference.
 */
Datum
paycombat_get_customer(PG_FUNCTION_ARGS)
{
	return b24_call(fcinfo, B24_EP_paycombat_get_customer);
}

/* The same arguments, but missing_ok: page "Disable Customer". */
Datum
paycombat_disable_customer(PG_FUNCTION_ARGS)
{
	return b24_call(fcinfo, B24_EP_paycombat_disable_customer);
}

/* The same: page "Delete Customer", of which only an older copy has a path. */
Datum
paycombat_delete_customer(PG_FUNCTION_ARGS)
{
	return b24_call(fcinfo, B24_EP_paycombat_delete_customer);
}

/*
 * paycombat_verify_webhook(body text, signature text, server name): is this
 * what PayCombat signed (header X-Signature) with the account's key?  The body
 * is taken byte by byte, as it came.  False, not NULL, if either is NULL, so
 * that IF NOT does what it says.  Errors: 28000 the account has no
 * signature_key, and those of an account.
 */
Datum
paycombat_verify_webhook(PG_FUNCTION_ARGS)
{
	const B24CallSite *site = b24_call_site(fcinfo);
	const B24Account *account = b24_call_account(site, fcinfo, &b24_paycombat);
	const char *key = account->secrets.signature_key;
	text	   *body;
	text	   *signature;
	const char *utf8;
	int			length;

	if (key == NULL)
	{
		B24Problem	problem;

		b24_problem(&problem, B24_NO_CREDENTIAL, "the account has no \"signature_key\"");
		ereport(ERROR,
				(errcode(b24_sqlstate(problem.status)),
				 errmsg("cannot use server \"%s\": %s", account->server, problem.text),
				 errhint("%s", b24_status_info(problem.status)->hint)));
	}
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_BOOL(false);

	/* which is the text's encoding on the wire; SQL_ASCII keeps any bytes */
	body = PG_GETARG_TEXT_PP(0);
	signature = PG_GETARG_TEXT_PP(1);
	utf8 = VARDATA_ANY(body);
	length = VARSIZE_ANY_EXHDR(body);
	if (GetDatabaseEncoding() != PG_SQL_ASCII)
		utf8 = b24_text_to_utf8(utf8, length, &length);
	PG_RETURN_BOOL(b24_hmac_sha256_is(key, strlen(key), utf8, length,
									  VARDATA_ANY(signature),
									  VARSIZE_ANY_EXHDR(signature)));
}
