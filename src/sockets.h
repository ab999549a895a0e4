/*-------------------------------------------------------------------------
 *
 * sockets.h
 *	  The sockets of a pool, and what is waited for at each.
 *
 * Floor A.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_SOCKETS_H
#define BILL24_SOCKETS_H

#include <stdbool.h>
#include <stdint.h>

/* A socket that libcurl has open, and what it waits for there. */
typedef struct B24Socket
{
	int			fd;
	bool		want_read;
	bool		want_write;
	bool		closed;			/* gone; the caller frees it */

	/* the caller's own */
	int			position;		/* in its set, -1 if not there */
	int			armed;			/* what it watches for there */

	/* for those who opened it */
	bool		ours;			/* opened by us, so that we see it close */
	uint64_t	inode;			/* of ours */
	const void *opener;		 /* of ours, until that has ended */
	bool		changed;
	struct B24Socket *next;
	struct B24Socket *next_changed;
} B24Socket;

typedef struct B24Sockets
{
	B24Socket  *all;			/* those that are open */
	int			count;			/* of them */
	B24Socket **by_fd;			/* the same; there may be hundreds */
	int			by_fd_size;
	B24Socket  *changed;		/* since the caller last asked */
	B24Socket  *last_changed;	/* if there is one */
} B24Sockets;

extern B24Socket *b24_sockets_add(B24Sockets *sockets, int fd, bool ours);
extern B24Socket *b24_sockets_find(const B24Sockets *sockets, int fd);
extern void b24_sockets_note(B24Sockets *sockets, B24Socket *s);
extern void b24_sockets_drop(B24Sockets *sockets, B24Socket *s);
extern B24Socket *b24_sockets_next_changed(B24Sockets *sockets);
extern void b24_sockets_free(B24Sockets *sockets);

#endif							/* BILL24_SOCKETS_H */
