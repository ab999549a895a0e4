/*
 * calendar.c
 *		Clocks, and the several shapes in which the API writes times.
 *
 * Bill24 tells times of the day as Phnom Penh reads them (+07:00), with or
 * without saying so.
 */
#include "sim.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define SECOND_US		INT64_C(1000000)
#define LOCAL_OFFSET_S	(7 * 3600)

static int64_t
clock_us(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * SECOND_US + now.tv_nsec / 1000;
}

int64_t
sim_monotonic_ms(void)
{
	return clock_us(CLOCK_MONOTONIC) / 1000;
}

int64_t
sim_real_ms(void)
{
	return clock_us(CLOCK_REALTIME) / 1000;
}

/*
 * The time as the provider believes it to be.
 */
int64_t
sim_provider_us(void)
{
	return clock_us(CLOCK_REALTIME) + sim_config.clock_skew_s * SECOND_US;
}

/*
 * Read exactly `count` digits; advances *text.
 */
static bool
read_digits(const char **text, int count, int *number)
{
	*number = 0;
	for (int i = 0; i < count; i++, (*text)++)
	{
		if (!isdigit((unsigned char) **text))
			return false;
		*number = *number * 10 + (**text - '0');
	}
	return true;
}

/*
 * Read "Z", "+hh:mm", "+hhmm" or nothing (which is UTC) up to the end.
 */
static bool
read_zone(const char *text, int *offset_s)
{
	int			hours;
	int			minutes;
	int			sign;

	*offset_s = 0;
	if (*text == '\0')
		return true;
	if (*text == 'Z' || *text == 'z')
		return text[1] == '\0';
	if (*text != '+' && *text != '-')
		return false;
	sign = *text++ == '-' ? -1 : 1;
	if (!read_digits(&text, 2, &hours))
		return false;
	if (*text == ':')
		text++;
	if (!read_digits(&text, 2, &minutes) || *text != '\0' ||
		hours > 14 || minutes > 59)
		return false;
	*offset_s = sign * (hours * 3600 + minutes * 60);
	return true;
}

/*
 * Read a plain date, or a date-time with Z, with an offset, or without a zone
 * (taken as UTC).
 */
bool
sim_time_parse(const char *text, int64_t *us)
{
	struct tm	when = {0};
	struct tm	check;
	time_t		seconds;
	int			offset_s = 0;
	int			fraction = 0;

	if (!read_digits(&text, 4, &when.tm_year) || *text++ != '-' ||
		!read_digits(&text, 2, &when.tm_mon) || *text++ != '-' ||
		!read_digits(&text, 2, &when.tm_mday))
		return false;
	when.tm_year -= 1900;
	when.tm_mon -= 1;

	if (*text == 'T' || *text == ' ')
	{
		text++;
		if (!read_digits(&text, 2, &when.tm_hour) || *text++ != ':' ||
			!read_digits(&text, 2, &when.tm_min))
			return false;
		if (*text == ':')
		{
			text++;
			if (!read_digits(&text, 2, &when.tm_sec))
				return false;
			if (*text == '.')
			{
				int			unit = SECOND_US / 10;

				for (text++; isdigit((unsigned char) *text); text++)
				{
					fraction += (*text - '0') * unit;
					unit /= 10;
				}
			}
		}
		if (!read_zone(text, &offset_s))
			return false;
	}
	else if (*text != '\0')
		return false;

	if (when.tm_hour > 23 || when.tm_min > 59 || when.tm_sec > 59)
		return false;
	check = when;
	seconds = timegm(&check);
	/* timegm repairs the 31st of February; the API does not */
	if (check.tm_mday != when.tm_mday || check.tm_mon != when.tm_mon)
		return false;
	*us = (seconds - offset_s) * SECOND_US + fraction;
	return true;
}

/*
 * Break a time into its parts; returns the microseconds within the second.
 */
static int
break_down(int64_t us, struct tm *when)
{
	time_t		seconds = us / SECOND_US;
	int			fraction = us % SECOND_US;

	if (fraction < 0)
	{
		fraction += SECOND_US;
		seconds--;
	}
	gmtime_r(&seconds, when);
	return fraction;
}

/*
 * The fourteen digits yyyyMMddHHmmss in UTC, as the payment hash wants them.
 */
void
sim_time_digits(int64_t us, char *digits)
{
	struct tm	when;

	break_down(us, &when);
	strftime(digits, SIM_TIME_SIZE, "%Y%m%d%H%M%S", &when);
}

/*
 * Local time with six or seven fraction digits.
 */
void
sim_time_local(int64_t us, int fraction, bool zone, char *text)
{
	struct tm	when;
	int			part = break_down(us + LOCAL_OFFSET_S * SECOND_US, &when);
	size_t		used = strftime(text, SIM_TIME_SIZE, "%Y-%m-%dT%H:%M:%S", &when);

	snprintf(text + used, SIM_TIME_SIZE - used, ".%06d%s%s", part,
			 fraction == 7 ? "0" : "", zone ? "+07:00" : "");
}

/*
 * The day alone: bills come back at midnight whatever time of day was sent.
 */
void
sim_time_midnight(int64_t us, char *text)
{
	struct tm	when;

	break_down(us, &when);
	strftime(text, SIM_TIME_SIZE, "%Y-%m-%dT00:00:00", &when);
}

void
sim_time_http(int64_t us, char *text)
{
	struct tm	when;

	break_down(us, &when);
	strftime(text, SIM_TIME_SIZE, "%a, %d %b %Y %H:%M:%S GMT", &when);
}
