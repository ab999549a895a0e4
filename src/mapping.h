/*-------------------------------------------------------------------------
 *
 * mapping.h
 *	  What a trigger's arguments say: which column is which field.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_MAPPING_H
#define BILL24_MAPPING_H

#include "commands/trigger.h"
#include "utils/jsonb.h"

#include "provider.h"
#include "signature.h"

/* Fields are arguments of creating a customer; there are six. */
#define B24_MAX_FIELDS 16

/* What becomes of a customer, in the order in which one statement's go out. */
typedef enum B24Change
{
	B24_CHANGE_DELETE,
	B24_CHANGE_CREATE,
	B24_CHANGE_UPDATE,
	B24_CHANGE_COUNT
} B24Change;

typedef enum B24Mode
{
	B24_MODE_OUTBOX,			/* after commit */
	B24_MODE_CALL,				/* now */
	B24_MODE_DRY_RUN			/* never: only told */
} B24Mode;

/* How a column's value becomes a text. */
typedef enum B24ColumnKind
{
	B24_COLUMN_TEXT,			/* it is one */
	B24_COLUMN_PADDED,			/* the same, without the spaces at its end */
	B24_COLUMN_OTHER,			/* by its output function */
	B24_COLUMN_DOCUMENT			/* it does not: it is JSON */
} B24ColumnKind;

typedef struct B24MappedField
{
	B24Parameter parameter;		/* of creating a customer */
	JsonbValue	name;			/* as the key of an object */
	bool		taken[B24_CHANGE_COUNT];	/* does the operation take it? */
	bool		required[B24_CHANGE_COUNT];

	AttrNumber	column;
	int16		length;			/* the type's */
	bool		by_value;
	B24ColumnKind kind;
	FmgrInfo	output;
} B24MappedField;

typedef struct B24Mapping
{
	Oid			relation;
	const char *server;
	const B24Provider *provider;	/* whose server it is, if it is there */
	B24Mode		mode;
	const B24Endpoint *endpoints[B24_CHANGE_COUNT];
	const B24MappedField *key;
	int			count;
	B24MappedField fields[B24_MAX_FIELDS];	/* in the order of jsonb's keys */
} B24Mapping;

extern const B24Mapping *b24_mapping(const TriggerData *trigdata);

#endif							/* BILL24_MAPPING_H */
