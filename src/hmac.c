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

static bool
hmac_sha256(const char *key, size_t key_length, const char *message,
			size_t message_length, unsigned char *digest)
{
	unsigned int length = 0;

	return key_length <= INT_MAX &&
		HMAC(EVP_sha256(), key, (int) key_length,
			 (const unsigned char *) message, message_length,
			 digest, &length) != NULL && length == B24_SHA256_LENGTH;
}

/*
 * Lower-case hexadecimal of the HMAC-SHA-256, PayCombat's signature.  False
 * when libcrypto fails.
 */
bool
b24_hmac_sha256_hex(const char *key, size_t key_length,
					const char *message, size_t message_length,
					char out[B24_SHA256_HEX_SIZE])
{
	static const char digits[] = "0123456789abcdef";
	unsigned char digest[EVP_MAX_MD_SIZE];

	if (!hmac_sha256(key, key_length, message, message_length, digest))
		return false;
	for (int i = 0; i < B24_SHA256_LENGTH; i++)
	{
		out[2 * i] = digits[digest[i] >> 4];
		out[2 * i + 1] = digits[digest[i] & 15];
	}
	out[2 * B24_SHA256_LENGTH] = '\0';
	return true;
}

static int
hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 :
		c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/*
 * Is this the HMAC-SHA-256, in hexadecimal of either case?  How long it takes
 * tells nothing of the right one.
 */
bool
b24_hmac_sha256_is(const char *key, size_t key_length,
				   const char *message, size_t message_length,
				   const char *hex, size_t hex_length)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned char given[B24_SHA256_LENGTH];

	if (hex_length != 2 * B24_SHA256_LENGTH)
		return false;
	for (int i = 0; i < B24_SHA256_LENGTH; i++)
	{
		int			high = hex_digit(hex[2 * i]);
		int			low = hex_digit(hex[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		given[i] = (unsigned char) (high << 4 | low);
	}
	return hmac_sha256(key, key_length, message, message_length, digest) &&
		CRYPTO_memcmp(digest, given, B24_SHA256_LENGTH) == 0;
}

/* SHA-256 of some bytes.  False when libcrypto fails. */
bool
b24_sha256(const void *data, size_t length, uint8_t out[B24_SHA256_LENGTH])
{
	unsigned int written = 0;

	return EVP_Digest(data, length, out, &written, EVP_sha256(), NULL) == 1 &&
		written == B24_SHA256_LENGTH;
}
