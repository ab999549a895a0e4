/*-------------------------------------------------------------------------
 *
 * columns.c
 *	  Many rows as one array a column, for unnest() in a statement.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "compat.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "columns.h"

/* An empty column for at most so many values, in the current memory context. */
void
b24_column_init(B24Column *column, Oid type, int capacity)
{
	column->type = type;
	column->values = palloc(Max(capacity, 1) * sizeof(Datum));
	column->nulls = palloc(Max(capacity, 1) * sizeof(bool));
	column->count = 0;
}

void
b24_column_add(B24Column *column, Datum value)
{
	column->values[column->count] = value;
	column->nulls[column->count++] = false;
}

void
b24_column_add_null(B24Column *column)
{
	column->values[column->count] = (Datum) 0;
	column->nulls[column->count++] = true;
}

/* A text; NULL for NULL. */
void
b24_column_add_text(B24Column *column, const char *text)
{
	if (text == NULL)
		b24_column_add_null(column);
	else
		b24_column_add(column, CStringGetTextDatum(text));
}

/* An array of these, in the current memory context; nulls may be NULL. */
Datum
b24_datum_array(Datum *values, bool *nulls, int count, Oid type)
{
	int			lower = 1;
	int16		length;
	bool		by_value;
	char		align;

	get_typlenbyvalalign(type, &length, &by_value, &align);
	return PointerGetDatum(construct_md_array(values, nulls, 1, &count, &lower, type,
											  length, by_value, align));
}

/* The column as one, in the current memory context. */
Datum
b24_column_array(const B24Column *column)
{
	return b24_datum_array(column->values, column->nulls, column->count, column->type);
}

Datum
b24_int8_array(const int64 *values, int count)
{
	B24Column	column;

	b24_column_init(&column, INT8OID, count);
	for (int i = 0; i < count; i++)
		b24_column_add(&column, Int64GetDatum(values[i]));
	return b24_column_array(&column);
}

Datum
b24_text_array(char *const *texts, int count)
{
	B24Column	column;

	b24_column_init(&column, TEXTOID, count);
	for (int i = 0; i < count; i++)
		b24_column_add_text(&column, texts[i]);
	return b24_column_array(&column);
}
