/*-------------------------------------------------------------------------
 *
 * document.h
 *	  A JSON value as jsonb, without a detour by its text.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_DOCUMENT_H
#define BILL24_DOCUMENT_H

#include "json.h"

extern Datum b24_document(const B24Json *json);

#endif							/* BILL24_DOCUMENT_H */
