/*-------------------------------------------------------------------------
 *
 * codec.h
 *	  Arguments to request, answer to reply.  Floor A: pure functions.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_CODEC_H
#define BILL24_CODEC_H

#include "provider.h"

extern B24Status b24_encode(const B24Endpoint *endpoint, const char *base_url,
							B24Json *arguments, const B24Secrets *secrets,
							B24Request *request, B24Problem *problem);
extern B24Status b24_encode_raw(const char *base_url, const char *method,
								const char *path, const char *body,
								B24Request *request, B24Problem *problem);
extern B24Status b24_encode_login(const B24Endpoint *endpoint,
								  const char *base_url,
								  const B24Secrets *secrets,
								  const char *refresh, B24Request *request,
								  B24Problem *problem);
extern B24Status b24_sign(const B24Provider *provider, const B24Secrets *secrets,
						  const char *bearer, B24Request *request,
						  B24Problem *problem);
extern void b24_decode(const B24Endpoint *endpoint, const B24HttpAnswer *answer,
					   B24Reply *reply);
extern void b24_reply_free(B24Reply *reply);

#endif							/* BILL24_CODEC_H */
