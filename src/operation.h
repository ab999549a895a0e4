/*-------------------------------------------------------------------------
 *
 * operation.h
 *	  From an operation's name to what it is on the wire and in SQL.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_OPERATION_H
#define BILL24_OPERATION_H

#include "endpoint.h"
#include "signature.h"

extern const B24Provider *b24_operation_provider(Oid function);
extern const B24Signature *b24_operation(const char *name,
										 const B24Provider *provider,
										 Oid extension,
										 const B24Endpoint **endpoint);
extern const B24Signature *b24_operation_to_enqueue(const char *name,
													const B24Provider *provider,
													Oid extension,
													const B24Endpoint **endpoint);

#endif							/* BILL24_OPERATION_H */
