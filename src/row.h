/*-------------------------------------------------------------------------
 *
 * row.h
 *	  Answers as SQL values, as the result type of a function says.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_ROW_H
#define BILL24_ROW_H

#include "access/tupdesc.h"
#include "fmgr.h"

#include "json.h"

/* A type, prepared for reading values from JSON. */
typedef struct B24Type B24Type;

/* What is being read, and for whom. */
typedef struct B24Reading
{
	const char *operation;

	/* A text that the database cannot hold is NULL with a warning, no error. */
	bool		tolerant;

	const char *column;			/* row.c's own */
} B24Reading;

extern const B24Type *b24_type(Oid type, int32 typmod, TupleDesc tupdesc,
							   MemoryContext context);
extern bool b24_fits(const B24Type *type, const B24Json *json, const char *name,
					 B24Problem *problem);
extern Datum b24_value(const B24Type *type, const B24Reading *reading,
					   const B24Json *json, bool *isnull);
extern void b24_values(const B24Type *row, const B24Reading *reading,
					   const B24Json *json, Datum *values, bool *nulls);

#endif							/* BILL24_ROW_H */
