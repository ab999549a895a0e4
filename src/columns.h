/*-------------------------------------------------------------------------
 *
 * columns.h
 *	  Many rows as one array a column, for unnest() in a statement.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_COLUMNS_H
#define BILL24_COLUMNS_H

typedef struct B24Column
{
	Oid			type;
	Datum	   *values;
	bool	   *nulls;
	int			count;
} B24Column;

extern void b24_column_init(B24Column *column, Oid type, int capacity);
extern void b24_column_add(B24Column *column, Datum value);
extern void b24_column_add_null(B24Column *column);
extern void b24_column_add_text(B24Column *column, const char *text);
extern Datum b24_column_array(const B24Column *column);

extern Datum b24_datum_array(Datum *values, bool *nulls, int count, Oid type);
extern Datum b24_int8_array(const int64 *values, int count);
extern Datum b24_text_array(char *const *texts, int count);

#endif							/* BILL24_COLUMNS_H */
