/*-------------------------------------------------------------------------
 *
 * options.h
 *	  The options of servers and user mappings: one table.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_OPTIONS_H
#define BILL24_OPTIONS_H

#include "nodes/pg_list.h"

#include "endpoint.h"

typedef enum B24OptionKind
{
	B24_OPTION_URL,
	B24_OPTION_MILLISECONDS,
	B24_OPTION_SECONDS,
	B24_OPTION_BYTES,
	B24_OPTION_COUNT,
	B24_OPTION_BOOLEAN,
	B24_OPTION_WORD,			/* one of a few */
	B24_OPTION_PATH,			/* of an operation, instead of its own */
	B24_OPTION_FILE,			/* an absolute path on the server's machine */
	B24_OPTION_SECRET			/* never shown, not even in an error */
} B24OptionKind;

typedef struct B24Option
{
	const char *name;
	Oid			catalog;		/* whose option it is */
	B24OptionKind kind;
	const char *fallback;		/* the default, as one would write it */
	int			min;			/* of numbers, in their base unit */
	int			max;
	bool		superuser;		/* only a superuser may set it */
	const B24Provider *provider;	/* whose alone it is; NULL: of all */
	const char *words;			/* B24_OPTION_WORD: "one, two" */
} B24Option;

/* Called when the options of a user mapping are about to be set. */
extern void (*b24_options_of_mapping_change) (void);

extern const B24Option *b24_option_find(const char *name, Oid catalog);
extern const char *b24_option_value(List *options, const char *name, Oid catalog);
extern B24Status b24_option_number(List *options, const char *name, Oid catalog,
								   int *number, B24Problem *problem);
extern bool b24_option_boolean(List *options, const char *name, Oid catalog);

#endif							/* BILL24_OPTIONS_H */
