/*-------------------------------------------------------------------------
 *
 * arguments.h
 *	  The arguments of a job as they are kept: the object of arguments as jsonb.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_ARGUMENTS_H
#define BILL24_ARGUMENTS_H

#include "utils/jsonb.h"

#include "json.h"

extern Jsonb *b24_arguments_to_jsonb(const B24Json *arguments);
extern B24Json *b24_arguments_parse(const Jsonb *request);

#endif							/* BILL24_ARGUMENTS_H */
