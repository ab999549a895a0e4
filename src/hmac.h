/*-------------------------------------------------------------------------
 *
 * hmac.h
 *	  Keyed hashes and digests.  Floor A; the one user of libcrypto.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_HMAC_H
#define BILL24_HMAC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define B24_SHA256_LENGTH 32
#define B24_SHA256_HEX_SIZE 65	/* 32 bytes in hexadecimal, and a NUL */
#define B24_SHA512_BASE64_SIZE 89	/* 64 bytes in Base64, and a NUL */

extern bool b24_hmac_sha512_base64(const char *key, size_t key_length,
								   const char *message, size_t message_length,
								   char out[B24_SHA512_BASE64_SIZE]);
extern bool b24_hmac_sha256_hex(const char *key, size_t key_length,
								const char *message, size_t message_length,
								char out[B24_SHA256_HEX_SIZE]);
extern bool b24_hmac_sha256_is(const char *key, size_t key_length,
							   const char *message, size_t message_length,
							   const char *hex, size_t hex_length);
extern bool b24_sha256(const void *data, size_t length,
					   uint8_t out[B24_SHA256_LENGTH]);

#endif							/* BILL24_HMAC_H */
