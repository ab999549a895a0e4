/*-------------------------------------------------------------------------
 *
 * apart.c
 *	  Work whose errors undo no more than itself.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/resowner.h"

#include "apart.h"

/*
 * Does some work in a subtransaction.  Returns NULL, or after an error, when
 * nothing was done, the error, in the current memory context: to be told, or
 * raised further with ReThrowError.  That somebody wants it to end is raised
 * here, with no subtransaction left open: nobody above would end that.
 */
ErrorData *
b24_apart(void (*work) (void *), void *argument)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		work(argument);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	if (error != NULL && error->sqlerrcode == ERRCODE_QUERY_CANCELED)
		ReThrowError(error);
	return error;
}
