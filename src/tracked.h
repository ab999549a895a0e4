/*-------------------------------------------------------------------------
 *
 * tracked.h
 *	  Which customers are mirrored, and that they are to be looked at.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_TRACKED_H
#define BILL24_TRACKED_H

#include "account.h"
#include "endpoint.h"

/*
 * Was t, a row of bill24.tracked, restored from a dump?  Then there are no
 * copies of it here, whatever it says, and not the group that it names.
 */
#define B24_IS_RESTORED "COALESCE(t.mirror_id <> " B24_MIRROR_ID ", false)"
#define B24_MIRROR_ID "(SELECT m.id FROM bill24.mirror_id m)"

/*
 * What calls and deliveries tell about a customer.  Several of one customer
 * become one; texts are in the database's encoding.
 */
typedef struct B24Told
{
	const char *sync_code;
	Oid			owner;			/* whose user mapping it was sent with, */
	int64		account;		/* and the number of that account */
	bool		registers;		/* it is mirrored from now on, if it was not */
	bool		wants;			/* it has to be looked at */
	TimestampTz changed_at;		/* if so: when that was known; else DT_NOBEGIN */
	TimestampTz settled_at;		/* the last payment; DT_NOBEGIN if there is none */

	/* what was sent of it; NULL: nothing, and what was sent before holds, */
	bool		creates;		/* unless it is a new customer */
	TimestampTz sent_at;		/* DT_NOBEGIN: nothing at all */
	const char *name;
	const char *phone;
	const char *email;

	const char *remote_id;		/* NULL: not told */
	bool		locked;			/* out: somebody has it locked, not written */

	ItemPointerData place;		/* tracked.c's own */
} B24Told;

/* How a tracked customer stands. */
typedef struct B24Standing
{
	bool		tracked;
	Oid			owner;
	TimestampTz read_at;		/* the last look; DT_NOBEGIN if there was none */
	TimestampTz wanted_at;		/* DT_NOBEGIN: no look is wanted */
	bool		has_digest;
	int64		digest;
	bool		failing;
	bool		has_remote_id;
} B24Standing;

extern bool b24_told(const B24Endpoint *endpoint, const B24Json *arguments,
					 const B24Json *result, const B24Account *account,
					 TimestampTz at, B24Told *told);
extern void b24_told_merge(B24Told *told, const B24Told *later);
extern bool b24_tracked_is_of_another(const char *server, Oid tracked_for,
									  Oid owner, int64 account);

/* All of these between b24_store_open and b24_store_close. */
extern void b24_tracked_told(const char *server, const B24ServerSettings *settings,
							 bool wait, B24Told *told, int count, int *locked);
extern void b24_tracked_standing(const char *server, const char *const *codes,
								 int count, B24Standing *standing);
extern uint64 b24_tracked_add(const char *server, const B24Account *account,
							  Datum *codes, int count, bool *wanted);
extern uint64 b24_tracked_refresh(const char *server, Datum *codes, int count);
extern uint64 b24_tracked_remove(const char *server, const B24Account *account,
								 Oid user, Datum *codes, int count);
extern void b24_tracked_doubt_all(void);
extern int	b24_tracked_release_restored(int limit);

#endif							/* BILL24_TRACKED_H */
