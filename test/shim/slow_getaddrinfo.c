/*
 * slow_getaddrinfo.c
 *		To be preloaded into a server: the name "slow.test" takes 20 s to look
 *		up, and then is not found.
 *
 * Says on standard error whether the thread that looks it up could take one of
 * the signals that are meant for the backend.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define SECONDS 20

typedef int (*Lookup) (const char *, const char *, const struct addrinfo *,
					   struct addrinfo **);

static void
check_signals(void)
{
	static const int signals[] = {
		SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM, SIGURG
	};
	sigset_t	blocked;
	int			open = 0;

	pthread_sigmask(SIG_BLOCK, NULL, &blocked);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
	{
		if (!sigismember(&blocked, signals[i]))
			open++;
	}
	fprintf(stderr, "slow_getaddrinfo: %d signals not blocked\n", open);
}

int
getaddrinfo(const char *name, const char *service,
			const struct addrinfo *hints, struct addrinfo **result)
{
	struct timespec left = {SECONDS, 0};
	Lookup		real;

	if (name == NULL || strcmp(name, "slow.test") != 0)
	{
		*(void **) &real = dlsym(RTLD_NEXT, "getaddrinfo");
		return real(name, service, hints, result);
	}
	check_signals();
	while (nanosleep(&left, &left) != 0 && errno == EINTR)
		fputs("slow_getaddrinfo: interrupted by a signal\n", stderr);
	return EAI_AGAIN;
}
