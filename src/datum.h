/*-------------------------------------------------------------------------
 *
 * datum.h
 *	  SQL values to JSON, as the declaration of a function says.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_DATUM_H
#define BILL24_DATUM_H

#include "fmgr.h"

#include "json.h"

/* An argument of a function. */
typedef struct B24Parameter
{
	const char *name;
	const char *utf8_name;
	Oid			type;
	FmgrInfo	output;
	Oid			input_function; /* for values that come as JSON */
	Oid			input_param;
	bool		required;		/* it has no DEFAULT */
	bool		default_isnull;	/* where the signature has the DEFAULTs */
	Datum		default_value;
	bool		control;		/* for us, not for the provider */
} B24Parameter;

extern void b24_argument_put(const B24Parameter *parameter, Datum value,
							 bool isnull, B24Json *arguments);
extern bool b24_text_argument_fits(const char *name, const char *text,
								   int length, bool required,
								   B24Problem *problem);

#endif							/* BILL24_DATUM_H */
