/*-------------------------------------------------------------------------
 *
 * agenda.h
 *	  Which customers are to be looked at by themselves, and when.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_AGENDA_H
#define BILL24_AGENDA_H

#include "nodes/pg_list.h"
#include "utils/timestamp.h"

/* A customer that is due. */
typedef struct B24DueCustomer
{
	char	   *sync_code;
	Oid			owner;
	TimestampTz due_at;
} B24DueCustomer;

extern List *b24_agenda_due(const char *server, TimestampTz until,
							TimestampTz after, const char *after_code, int limit);
extern TimestampTz b24_agenda_next(const char *server, TimestampTz after);
extern bool b24_agenda_shorten(const char *server, int seconds);
extern void b24_agenda_note_rate(const char *server, double per_second);

#endif							/* BILL24_AGENDA_H */
