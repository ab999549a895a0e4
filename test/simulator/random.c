/*
 * random.c
 *		Three kinds of chance: seeded numbers (faults must be repeatable),
 *		secrets (which must not repeat), and serial identifiers (which must be
 *		the same again when the journal is replayed).
 */
#include "sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

static uint64_t random_state;
static uint64_t last_serial;

/* The output function of splitmix64. */
static uint64_t
mix(uint64_t z)
{
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

void
sim_random_seed(uint64_t seed)
{
	random_state = seed;
}

uint64_t
sim_random(void)
{
	random_state += UINT64_C(0x9e3779b97f4a7c15);
	return mix(random_state);
}

/* A number in [0, 1). */
double
sim_random_fraction(void)
{
	return (double) (sim_random() >> 11) / (double) (UINT64_C(1) << 53);
}

/*
 * Unpredictable characters that need no escaping anywhere.
 */
void
sim_random_secret(char *text, size_t length)
{
	static const char letters[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

	for (size_t done = 0; done < length;)
	{
		ssize_t		got = getrandom(text + done, length - done, 0);

		if (got < 0)
		{
			perror("b24sim: getrandom");
			exit(1);
		}
		done += got;
	}
	for (size_t i = 0; i < length; i++)
		text[i] = letters[(unsigned char) text[i] & 63];
	text[length] = '\0';
}

/*
 * The next identifier.  To be drawn only while an event is applied, so that
 * the replay of the same events draws the same ones.
 */
uint64_t
sim_random_serial(void)
{
	return ++last_serial;
}

void
sim_random_serial_reset(void)
{
	last_serial = 0;
}

/*
 * Print an identifier as a UUID; different serials give different ones.
 */
void
sim_uuid(uint64_t serial, char *text)
{
	static const char hex[] = "0123456789abcdef";
	uint64_t	high = mix(serial * UINT64_C(0x9e3779b97f4a7c15));
	uint64_t	low = mix(high ^ serial);

	/* version 4, variant 1 */
	high = (high & UINT64_C(0xffffffffffff0fff)) | 0x4000;
	low = (low & UINT64_C(0x3fffffffffffffff)) | UINT64_C(0x8000000000000000);
	for (int i = 0; i < 32; i++)
	{
		if (i == 8 || i == 12 || i == 16 || i == 20)
			*text++ = '-';
		*text++ = hex[((i < 16 ? high : low) >> (60 - 4 * (i & 15))) & 15];
	}
	*text = '\0';
}
