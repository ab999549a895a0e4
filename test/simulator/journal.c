/*
 * journal.c
 *		A file with one event a line, so that the state outlives the process:
 *		a written line is safe from kill -9 (not from a power failure, which
 *		no test of ours needs).
 */
#include "event.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int	journal_fd = -1;

static void
fail(const char *what)
{
	fprintf(stderr, "b24sim: cannot %s the journal: %s\n", what,
			strerror(errno));
	exit(1);
}

/*
 * Apply what the file holds.  A last line without an end was being written
 * when the process died; its effect was not answered, and it is cut off.
 */
static off_t
replay(FILE *file)
{
	char	   *line = NULL;
	size_t		room = 0;
	ssize_t		length;
	off_t		good = 0;

	while ((length = getline(&line, &room, file)) > 0 &&
		   line[length - 1] == '\n')
	{
		json_object *event = json_tokener_parse(line);

		if (event == NULL || !sim_event_apply(event))
		{
			fprintf(stderr, "b24sim: unreadable line in the journal at "
					"byte %lld\n", (long long) good);
			exit(1);
		}
		json_object_put(event);
		good += length;
	}
	free(line);
	return good;
}

/*
 * Open (or begin) the journal and take up the state it holds.
 */
void
sim_journal_open(const char *path)
{
	int			fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	FILE	   *file = fopen(path, "r");
	off_t		good;

	if (fd < 0 || file == NULL)
		fail("open");
	good = replay(file);
	fclose(file);
	if (ftruncate(fd, good) != 0)
		fail("trim");
	journal_fd = fd;
}

void
sim_journal_write(json_object *event)
{
	size_t		length;
	const char *text;
	char	   *line;

	if (journal_fd < 0)
		return;
	text = json_object_to_json_string_length(event,
		JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &length);
	line = sim_alloc(length + 1);
	memcpy(line, text, length);
	line[length] = '\n';
	/* in one call, so that a line is either whole or the torn last one */
	if (write(journal_fd, line, length + 1) != (ssize_t) length + 1)
		fail("write");
	free(line);
}

void
sim_journal_truncate(void)
{
	if (journal_fd >= 0 && ftruncate(journal_fd, 0) != 0)
		fail("trim");
}
