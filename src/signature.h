/*-------------------------------------------------------------------------
 *
 * signature.h
 *	  What a function takes, and its arguments from a call or from jsonb.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_SIGNATURE_H
#define BILL24_SIGNATURE_H

#include "utils/jsonb.h"

#include "datum.h"

typedef struct B24Signature
{
	Oid			function;
	int			count;
	int			server;			/* position of "server", -1 if there is none */
	int			missing_ok;		/* position of "missing_ok", -1 if none */
	B24Parameter parameters[FUNC_MAX_ARGS];
} B24Signature;

extern const B24Signature *b24_signature(Oid function, MemoryContext context);
extern const B24Signature *b24_signature_with_defaults(Oid function,
													  MemoryContext context);
extern void b24_arguments_put(const B24Signature *signature,
							  FunctionCallInfo fcinfo, B24Json *arguments);
extern void b24_arguments_from_jsonb(const B24Signature *signature,
									 Jsonb *request, B24Json *arguments);

extern void b24_arguments_order(const B24Signature *signature,
								B24Json **arguments);

#endif							/* BILL24_SIGNATURE_H */
