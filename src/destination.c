/*-------------------------------------------------------------------------
 *
 * destination.c
 *	  A server as the delivery of the outbox sees it: its jobs that are under
 *	  way, and the accounts that they are sent with.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "destination.h"

/*
 * Claimed ahead of what is in flight: at least, and at most.
 * Those jobs are nobody else's, and have to be looked up after a crash.
 */
#define MIN_STOCK 8
#define MAX_STOCK 512

void
b24_queue_push(B24Queue *queue, B24Errand *errand)
{
	if (queue->count++ == 0)
		queue->tail = &queue->first;
	errand->next = NULL;
	*queue->tail = errand;
	queue->tail = &errand->next;
}

void
b24_queue_push_first(B24Queue *queue, B24Errand *errand)
{
	if (queue->count++ == 0)
		queue->tail = &errand->next;
	errand->next = queue->first;
	queue->first = errand;
}

B24Errand *
b24_queue_pop(B24Queue *queue)
{
	B24Errand  *errand = queue->first;

	if (errand != NULL)
	{
		queue->first = errand->next;
		queue->count--;
	}
	return errand;
}

B24Destination *
b24_destination_find(B24Destination **all, const char *name)
{
	B24Destination *server;

	for (server = *all; server != NULL; server = server->next)
	{
		if (strcmp(server->name, name) == 0)
			return server;
	}
	server = palloc0(sizeof(B24Destination));
	server->context = CurrentMemoryContext;
	server->name = pstrdup(name);
	server->position.at = DT_NOBEGIN;
	server->next = *all;
	*all = server;
	return server;
}

void
b24_sender_release(B24Destination *server, B24Sender *sender)
{
	B24Sender	  **link = &server->senders;

	while (*link != sender)
		link = &(*link)->next;
	*link = sender->next;
	MemoryContextDelete(sender->context);
}

/*
 * The one to send a role's jobs; NULL with the problem if its account is not
 * complete.  Those whose account has changed go as soon as they can.
 */
B24Sender *
b24_sender_find(B24Destination *server, B24Inbox *inbox, Oid owner,
				B24Problem *problem)
{
	MemoryContext context = AllocSetContextCreate(server->context, "bill24 sender",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	const B24Account *account = b24_account_of(server->name, owner, problem);
	B24Sender	   *found = NULL;
	B24Sender	   *next;

	MemoryContextSwitchTo(old);
	for (B24Sender *s = server->senders; s != NULL; s = next)
	{
		next = s->next;
		if (account != NULL && s->account == account)
			found = s;
		else if (s->errands == 0 && s->account->userid == owner)
			b24_sender_release(server, s);
	}
	if (found != NULL || account == NULL)
	{
		MemoryContextDelete(context);
		return found;
	}
	found = MemoryContextAllocZero(context, sizeof(B24Sender));
	found->context = context;
	found->server = server;
	found->account = account;
	old = MemoryContextSwitchTo(context);
	found->exchange = b24_exchange_detached(account, inbox);
	MemoryContextSwitchTo(old);
	found->next = server->senders;
	server->senders = found;
	return found;
}

void
b24_sender_free_errand(B24Errand *errand)
{
	B24Sender	   *sender = errand->user;

	if (sender != NULL)
		sender->errands--;
	b24_errand_free(errand);
}

/* How many jobs to have claimed ahead. */
int
b24_destination_stock(const B24Destination *server)
{
	const B24Limits *limits = &server->settings.limits;
	int			target = Min(Max(4 * limits->max_in_flight, MIN_STOCK), MAX_STOCK);

	if (limits->max_per_second > 0)
		target = Min(target, limits->max_per_second);
	return target;
}

static int
most_unwritten(const B24Destination *server)
{
	return server->settings.limits.max_in_flight + B24_RESULTS_AT_ONCE;
}

/*
 * May more of a server's jobs be claimed?  What has just ended does not count,
 * as it is written in the transaction that claims.
 */
bool
b24_destination_may_claim(const B24Destination *server)
{
	return server->in_flight + server->stuck.count < most_unwritten(server);
}

/* May more of what was claimed be sent? */
bool
b24_destination_may_send(const B24Destination *server)
{
	return server->in_flight + server->ended.count + server->stuck.count <
		most_unwritten(server);
}

/* What its options say; of a server that is gone, all jobs are parked. */
void
b24_destination_load(B24Destination *server)
{
	if (b24_server_settings(server->name, &server->settings))
		return;
	memset(&server->settings, 0, sizeof(server->settings));
	server->settings.max_attempts = 1;
}

