/*-------------------------------------------------------------------------
 *
 * credentials.h
 *	  The secrets of an account, and the file that may hold them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_CREDENTIALS_H
#define BILL24_CREDENTIALS_H

#include <sys/stat.h>

#include "provider.h"

extern void b24_credentials_set(B24Secrets *secrets, const char *name,
								const char *value);
extern const char *b24_credentials_get(const B24Secrets *secrets,
									   const char *name);
extern const char *b24_credentials_hint(const B24Provider *provider,
										B24Status status);
extern B24Status b24_credentials_read(const char *file,
									  const B24Provider *provider,
									  B24Secrets *secrets, struct stat *state,
									  B24Problem *problem);

#endif							/* BILL24_CREDENTIALS_H */
