/*-------------------------------------------------------------------------
 *
 * call.h
 *	  What the functions that call at once have in common.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_CALL_H
#define BILL24_CALL_H

#include "endpoint.h"
#include "exchange.h"
#include "row.h"
#include "signature.h"

/* What is known of a function at its place in a query. */
typedef struct B24CallSite
{
	const B24Signature *signature;
	const B24Type *result;
	bool		returns_set;
	Oid			extension;		/* once asked for */
} B24CallSite;

extern const B24CallSite *b24_call_site(FunctionCallInfo fcinfo);
extern const B24Account *b24_call_account(const B24CallSite *site,
										  FunctionCallInfo fcinfo,
										  const B24Provider *wanted);
extern void b24_call_warn(const B24Account *account,
						  const B24Endpoint *endpoint);
extern bool b24_call_missing_ok(const B24CallSite *site,
								FunctionCallInfo fcinfo);
extern void b24_call_refuse_nulls(const B24CallSite *site,
								  FunctionCallInfo fcinfo, int count);
extern Oid	b24_call_extension(FunctionCallInfo fcinfo);
extern void b24_call_complete(B24Job *job);
extern void b24_call_rehearse(const B24Account *account,
							  const B24Endpoint *endpoint, B24Json *arguments);
extern void b24_call_job(B24Job *job, bool missing_ok);
extern Datum b24_call(FunctionCallInfo fcinfo, B24EndpointId id);

#endif							/* BILL24_CALL_H */
