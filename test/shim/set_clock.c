/*
 * set_clock.c
 *		To be preloaded into a server: the clock on its wall is ahead by as many
 *		seconds as the file in the environment variable SET_CLOCK has bytes.
 *
 * The clock that only goes on is left alone, as it is when somebody sets the
 * other.  Without <sys/time.h>, since libraries differ in how they declare it.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

typedef int (*Clock) (void *, void *);

int			gettimeofday(void *now, void *zone);

int
gettimeofday(void *now, void *zone)
{
	static Clock real;
	const char *path = getenv("SET_CLOCK");
	struct stat file;
	int			result;

	if (real == NULL)
		*(void **) &real = dlsym(RTLD_NEXT, "gettimeofday");
	result = real(now, zone);

	/* the seconds come first */
	if (path != NULL && stat(path, &file) == 0)
		*(time_t *) now += file.st_size;
	return result;
}
