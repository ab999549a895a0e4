/*-------------------------------------------------------------------------
 *
 * store.h
 *	  SQL on this extension's own tables.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_STORE_H
#define BILL24_STORE_H

#include "executor/spi.h"

/* What to go back to. */
typedef struct B24Store
{
	Oid			user;
	int			security;
	int			settings;
} B24Store;

/* A statement, prepared at first use and kept. */
typedef struct B24Statement
{
	const char *sql;
	int			nargs;
	const char *args[16];		/* names of types */
	SPIPlanPtr	plan;			/* store.c's own */
} B24Statement;

extern void b24_store_settle(void);
extern void b24_store_open(B24Store *store);
extern void b24_store_close(B24Store *store);
extern uint64 b24_store_run(B24Statement *statement, Datum *values,
							const char *nulls);
extern uint64 b24_store_run_latest(B24Statement *statement, Datum *values);
extern Datum b24_store_value(uint64 row, int column, bool *isnull);
extern char *b24_store_text(uint64 row, int column);

#endif							/* BILL24_STORE_H */
