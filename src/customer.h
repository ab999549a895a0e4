/*-------------------------------------------------------------------------
 *
 * customer.h
 *	  A row of a table as a customer of the provider.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_CUSTOMER_H
#define BILL24_CUSTOMER_H

#include "executor/tuptable.h"
#include "utils/rel.h"

#include "mapping.h"
#include "outbox.h"

extern bool b24_customer_has_key(const B24Mapping *mapping, TupleTableSlot *row);
extern bool b24_customer_is_other(const B24Mapping *mapping,
								  TupleTableSlot *old, TupleTableSlot *new);
extern bool b24_customer_differs(const B24Mapping *mapping,
								 TupleTableSlot *old, TupleTableSlot *new);
extern void b24_customer_job(const B24Mapping *mapping, Relation relation,
							 B24Change change, TupleTableSlot *row,
							 B24NewJob *job);

#endif							/* BILL24_CUSTOMER_H */
