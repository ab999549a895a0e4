/*
 * main.c
 *		The command line, and the start and end of the simulator.
 */
#include "event.h"
#include "server.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

typedef struct Arguments
{
	int			port;			/* 0: one that is free */
	const char *certificate;
	const char *key;
	const char *journal;
	bool		die_with_parent;
} Arguments;

SimCredentials sim_credentials = {
	.merchant_token = "00000000-0000-4000-8000-000000000001",
	.client_id = "demo_client",
	.secret = "demo-secret",
	.hash_token = "demo-hash-token",
	.x_token = "snd_eyJtZXJjaGFudF9pZCI6IjU3NzMxMWM3LTk3ODgtNGVjMS04NTAxLTg2YWU2OWIxMz"
	"RlNiIsImVudmlyb25tZW50Ijoic2FuZGJveCIsIm9yZ2FuaXphdGlvbiI6Im9yZ181OWI4"
	"ZmIyZjUyMjU0Zjk1YWM1NGQwZTE0MGY0ZTQyOSIsImlzc3VlZCI6IjIwMjUtMDYtMTBUMD"
	"E6MDk6NDQuMDAwWiJ9",
	.signature_key = "demo-signature-key"
};

static void
usage(FILE *stream)
{
	fputs("usage: b24sim [--port N] [--tls-cert FILE --tls-key FILE]\n"
		  "              [--seed N] [--latency MS] [--journal FILE]\n"
		  "              [--die-with-parent] [--merchant-token TOKEN]\n"
		  "              [--client-id ID] [--secret SECRET]\n"
		  "              [--hash-token TOKEN] [--x-token TOKEN]\n"
		  "              [--signature-key KEY]\n", stream);
}

/* A whole number of an option, or the end. */
static int64_t
number(const char *text, int64_t least, int64_t most)
{
	char	   *end;
	long long	value = strtoll(text, &end, 10);

	if (*text == '\0' || *end != '\0' || value < least || value > most)
	{
		fprintf(stderr, "b24sim: not a number that fits: \"%s\"\n", text);
		exit(2);
	}
	return value;
}

static Arguments
read_arguments(int argc, char **argv)
{
	static const struct option options[] = {
		{"port", required_argument, NULL, 'p'},
		{"tls-cert", required_argument, NULL, 'c'},
		{"tls-key", required_argument, NULL, 'k'},
		{"seed", required_argument, NULL, 's'},
		{"latency", required_argument, NULL, 'l'},
		{"journal", required_argument, NULL, 'j'},
		{"die-with-parent", no_argument, NULL, 'd'},
		{"merchant-token", required_argument, NULL, 'T'},
		{"client-id", required_argument, NULL, 'C'},
		{"secret", required_argument, NULL, 'S'},
		{"hash-token", required_argument, NULL, 'H'},
		{"x-token", required_argument, NULL, 'X'},
		{"signature-key", required_argument, NULL, 'K'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0}
	};
	Arguments	arguments = {0};
	int			option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
	{
		switch (option)
		{
			case 'p':
				arguments.port = (int) number(optarg, 0, 65535);
				break;
			case 'c':
				arguments.certificate = optarg;
				break;
			case 'k':
				arguments.key = optarg;
				break;
			case 's':
				sim_config.seed = number(optarg, INT64_MIN, INT64_MAX);
				break;
			case 'l':
				sim_config.latency_ms = number(optarg, 0, 86400000);
				break;
			case 'j':
				arguments.journal = optarg;
				break;
			case 'd':
				arguments.die_with_parent = true;
				break;
			case 'T':
				sim_credentials.merchant_token = optarg;
				break;
			case 'C':
				sim_credentials.client_id = optarg;
				break;
			case 'S':
				sim_credentials.secret = optarg;
				break;
			case 'H':
				sim_credentials.hash_token = optarg;
				break;
			case 'X':
				sim_credentials.x_token = optarg;
				break;
			case 'K':
				sim_credentials.signature_key = optarg;
				break;
			case 'h':
				usage(stdout);
				exit(0);
			default:
				usage(stderr);
				exit(2);
		}
	}
	if (optind < argc ||
		(arguments.certificate == NULL) != (arguments.key == NULL))
	{
		usage(stderr);
		exit(2);
	}
	return arguments;
}

/*
 * End when the one who started us ends, however it does.  If it is gone
 * already, the kernel's promise came too late.
 */
static void
die_with_parent(pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		exit(0);
}

int
main(int argc, char **argv)
{
	pid_t		parent = getppid();
	Arguments	arguments = read_arguments(argc, argv);
	sigset_t	signals;
	int			signal_fd;
	int			port;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	if (arguments.die_with_parent)
		die_with_parent(parent);

	sim_config_start();
	if (arguments.journal != NULL)
		sim_journal_open(arguments.journal);
	port = sim_loop_start(arguments.port, arguments.certificate,
						  arguments.key);
	printf("b24sim ready port=%d\n", port);
	fflush(stdout);
	sim_loop_run(signal_fd);
	sim_loop_stop();
	return 0;
}
