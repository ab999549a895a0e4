/*-------------------------------------------------------------------------
 *
 * hmac.c
 *	  Keyed hashes and digests, by libcrypto.
 *
 *-------------------------------------------------------------------------
 */
#include "hmac.h"

#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

/*
 * Base64 (standard alphabet, padded) of the raw HMAC-SHA-512.  This is what
 * Bill24's Settle Payment calls its hash.  False when libcrypto fails.
 */
bool
b24_hmac_sha512_base64(const char *key, size_t key_length,
					   const char *message, size_t message_length,
					   char out[B24_SHA512_BASE64_SIZE])
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned int length = 0;

	if (key_length > INT_MAX ||
		HMAC(EVP_sha512(), key, (int) key_length,
			 (const unsigned char *) message, message_length,
			 digest, &length) == NULL || length != 64)
		return false;

	EVP_EncodeBlock((unsigned char *) out, digest, (int) length);
	return true;
}

/* SHA-256 of some bytes.  False when libcrypto fails. */
bool
b24_sha256(const void *data, size_t length, uint8_t out[B24_SHA256_LENGTH])
{
	unsigned int written = 0;

	return EVP_Digest(data, length, out, &written, EVP_sha256(), NULL) == 1 &&
		written == B24_SHA256_LENGTH;
}
