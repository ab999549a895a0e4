/*-------------------------------------------------------------------------
 *
 * transaction.h
 *	  The transactions of a worker, or of a procedure that does its work.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_TRANSACTION_H
#define BILL24_TRANSACTION_H

#include "store.h"

extern void b24_transaction_begin(B24Store *store, bool in_call);
extern void b24_transaction_commit(B24Store *store, bool in_call, bool durable,
								   MemoryContext after);
extern void b24_transaction_failed(bool rethrow, MemoryContext after);
extern ErrorData *b24_transaction_undo(MemoryContext context, MemoryContext after);

#endif							/* BILL24_TRANSACTION_H */
