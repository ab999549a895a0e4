/*-------------------------------------------------------------------------
 *
 * sockets.c
 *	  The sockets of a pool, and what is waited for at each.
 *
 *-------------------------------------------------------------------------
 */
#include "sockets.h"

#include <stdlib.h>

/* A new one, waited for nothing yet; NULL when memory is out. */
B24Socket *
b24_sockets_add(B24Sockets *sockets, int fd, bool ours)
{
	B24Socket  *s = calloc(1, sizeof(B24Socket));

	if (s == NULL)
		return NULL;
	s->fd = fd;
	s->ours = ours;
	s->position = -1;
	s->next = sockets->all;
	sockets->all = s;
	return s;
}

/* The newest one with that descriptor. */
B24Socket *
b24_sockets_find(const B24Sockets *sockets, int fd)
{
	for (B24Socket *s = sockets->all; s != NULL; s = s->next)
	{
		if (s->fd == fd)
			return s;
	}
	return NULL;
}

/* The caller is to hear of this one. */
void
b24_sockets_note(B24Sockets *sockets, B24Socket *s)
{
	if (s->changed)
		return;
	s->changed = true;
	s->next_changed = sockets->changed;
	sockets->changed = s;
}

/* The socket is no more; its record goes to the caller to be freed. */
void
b24_sockets_drop(B24Sockets *sockets, B24Socket *s)
{
	for (B24Socket **link = &sockets->all; *link != NULL; link = &(*link)->next)
	{
		if (*link == s)
		{
			*link = s->next;
			break;
		}
	}
	s->closed = true;
	s->want_read = s->want_write = false;
	b24_sockets_note(sockets, s);
}

/* One that the caller is to hear of, and has not yet; NULL if there is none. */
B24Socket *
b24_sockets_next_changed(B24Sockets *sockets)
{
	B24Socket  *s = sockets->changed;

	if (s != NULL)
	{
		sockets->changed = s->next_changed;
		s->next_changed = NULL;
		s->changed = false;
	}
	return s;
}
