/*-------------------------------------------------------------------------
 *
 * sockets.c
 *	  The sockets of a pool, and what is waited for at each.
 *
 *-------------------------------------------------------------------------
 */
#include "sockets.h"

#include <stdlib.h>
#include <string.h>

/* A new one, waited for nothing yet; NULL when memory is out. */
B24Socket *
b24_sockets_add(B24Sockets *sockets, int fd, bool ours)
{
	B24Socket  *s;

	if (fd >= sockets->by_fd_size)
	{
		int			size = fd < 64 ? 128 : 2 * fd;
		B24Socket **larger = realloc(sockets->by_fd,
									 (size_t) size * sizeof(B24Socket *));

		if (larger == NULL)
			return NULL;
		memset(larger + sockets->by_fd_size, 0,
			   (size_t) (size - sockets->by_fd_size) * sizeof(B24Socket *));
		sockets->by_fd = larger;
		sockets->by_fd_size = size;
	}
	s = calloc(1, sizeof(B24Socket));
	if (s == NULL)
		return NULL;
	sockets->by_fd[fd] = s;
	s->fd = fd;
	s->ours = ours;
	s->position = -1;
	s->next = sockets->all;
	sockets->all = s;
	sockets->count++;
	return s;
}

/* The newest one with that descriptor. */
B24Socket *
b24_sockets_find(const B24Sockets *sockets, int fd)
{
	return fd >= 0 && fd < sockets->by_fd_size ? sockets->by_fd[fd] : NULL;
}

/* The caller is to hear of this one. */
void
b24_sockets_note(B24Sockets *sockets, B24Socket *s)
{
	if (s->changed)
		return;
	s->changed = true;
	s->next_changed = NULL;
	if (sockets->changed == NULL)
		sockets->changed = s;
	else
		sockets->last_changed->next_changed = s;
	sockets->last_changed = s;
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
			sockets->count--;
			break;
		}
	}
	if (sockets->by_fd[s->fd] == s)
		sockets->by_fd[s->fd] = NULL;
	s->closed = true;
	s->want_read = s->want_write = false;
	b24_sockets_note(sockets, s);
}

/*
 * One that the caller is to hear of, and has not yet; NULL if there is none.
 * First in, first out: of a descriptor that was closed and opened again, the
 * old one comes first.
 */
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

/* Frees the table; no socket may be left. */
void
b24_sockets_free(B24Sockets *sockets)
{
	free(sockets->by_fd);
	sockets->by_fd = NULL;
	sockets->by_fd_size = 0;
}
