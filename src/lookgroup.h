/*-------------------------------------------------------------------------
 *
 * lookgroup.h
 *	  Groups of quiet customers, which are looked at together.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_LOOKGROUP_H
#define BILL24_LOOKGROUP_H

#include "account.h"

/* So many customers are a group. */
#define B24_GROUP_SIZE 64

/* A group that is due. */
typedef struct B24DueGroup
{
	int64		id;
	TimestampTz due_at;
	TimestampTz looked_at;		/* 0 if it never was */
} B24DueGroup;

/* A member of one. */
typedef struct B24Member
{
	char	   *sync_code;
	Oid			owner;
	int64		digest;
} B24Member;

extern TimestampTz b24_jittered(TimestampTz from, int seconds);
extern TimestampTz b24_jittered_least(TimestampTz from, int seconds);
extern void b24_group_join(const char *server, const B24ServerSettings *settings,
						   int64 *groups, int count);
extern List *b24_group_due(const char *server, TimestampTz until, TimestampTz after,
						   int64 after_id, int limit);
extern List *b24_group_members(int64 group);
extern void b24_group_write(int64 group, TimestampTz looked_at, int members,
							TimestampTz next_look_at);
extern void b24_group_dissolve(int64 group, TimestampTz next_look_at);

#endif							/* BILL24_LOOKGROUP_H */
