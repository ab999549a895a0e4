/*
 * encoding.c
 *		URL escapes, Base64, gzip, UTF-8 and HMAC.
 */
#include "sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <zlib.h>

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/*
 * A decoded copy.  In a query "+" is a blank, in a path it is itself.
 */
char *
sim_url_decode(const char *text, size_t length, bool plus)
{
	char	   *copy = sim_alloc(length + 1);
	char	   *end = copy;

	for (size_t i = 0; i < length; i++)
	{
		if (text[i] == '%' && i + 2 < length &&
			hex_value(text[i + 1]) >= 0 && hex_value(text[i + 2]) >= 0)
		{
			*end++ = hex_value(text[i + 1]) * 16 + hex_value(text[i + 2]);
			i += 2;
		}
		else
			*end++ = plus && text[i] == '+' ? ' ' : text[i];
	}
	*end = '\0';
	return copy;
}

char *
sim_base64(const void *bytes, size_t size)
{
	char	   *text = sim_alloc((size + 2) / 3 * 4 + 1);

	EVP_EncodeBlock((unsigned char *) text, bytes, (int) size);
	return text;
}

/*
 * The bytes of a Base64 text, or NULL if it is none.
 */
unsigned char *
sim_base64_decode(const char *text, size_t *size)
{
	size_t		length = strlen(text);
	unsigned char *bytes = sim_alloc(length / 4 * 3 + 4);
	int			decoded = EVP_DecodeBlock(bytes, (const unsigned char *) text,
										  (int) length);

	if (decoded < 0)
	{
		free(bytes);
		return NULL;
	}
	/* the library counts the padding as bytes */
	for (int i = 0; i < 2 && length > 0 && text[length - 1] == '='; i++)
	{
		decoded--;
		length--;
	}
	*size = (size_t) decoded;
	return bytes;
}

/*
 * A gzip file of the bytes.
 */
unsigned char *
sim_gzip(const void *bytes, size_t size, size_t *packed)
{
	z_stream	stream = {0};
	size_t		room;
	unsigned char *output;

	/* 15 bits of window, and 16 for the gzip wrapper */
	if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 15 + 16, 8,
					 Z_DEFAULT_STRATEGY) != Z_OK)
		abort();
	room = deflateBound(&stream, size);
	output = sim_alloc(room);
	stream.next_in = (unsigned char *) bytes;
	stream.avail_in = (unsigned int) size;
	stream.next_out = output;
	stream.avail_out = (unsigned int) room;
	deflate(&stream, Z_FINISH);
	*packed = room - stream.avail_out;
	deflateEnd(&stream);
	return output;
}

/*
 * The length of the sequence at *text in bytes, or 0 if it is malformed.
 */
static size_t
sequence_length(const unsigned char *text, size_t size)
{
	size_t		length;

	if (text[0] < 0x80)
		return 1;
	if (text[0] < 0xc2 || text[0] > 0xf4)
		return 0;
	length = text[0] < 0xe0 ? 2 : text[0] < 0xf0 ? 3 : 4;
	if (length > size)
		return 0;
	for (size_t i = 1; i < length; i++)
	{
		if ((text[i] & 0xc0) != 0x80)
			return 0;
	}
	/* overlong forms, surrogates, beyond U+10FFFF */
	if ((text[0] == 0xe0 && text[1] < 0xa0) ||
		(text[0] == 0xed && text[1] > 0x9f) ||
		(text[0] == 0xf0 && text[1] < 0x90) ||
		(text[0] == 0xf4 && text[1] > 0x8f))
		return 0;
	return length;
}

bool
sim_utf8_valid(const char *text, size_t size)
{
	const unsigned char *byte = (const unsigned char *) text;

	while (size > 0)
	{
		size_t		length = sequence_length(byte, size);

		if (length == 0)
			return false;
		byte += length;
		size -= length;
	}
	return true;
}

/* The number of characters, not bytes. */
size_t
sim_utf8_length(const char *text)
{
	size_t		length = 0;

	for (; *text != '\0'; text++)
		length += (*text & 0xc0) != 0x80;
	return length;
}

/* Writes the 32 bytes of HMAC-SHA-256. */
void
sim_hmac_sha256(const char *key, const char *text, size_t size,
				unsigned char *digest)
{
	HMAC(EVP_sha256(), key, (int) strlen(key), (const unsigned char *) text,
		 size, digest, NULL);
}

/* Writes the 64 bytes of HMAC-SHA-512. */
void
sim_hmac_sha512(const char *key, const char *text, unsigned char *digest)
{
	HMAC(EVP_sha512(), key, (int) strlen(key), (const unsigned char *) text,
		 strlen(text), digest, NULL);
}
