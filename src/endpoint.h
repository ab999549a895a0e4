/*-------------------------------------------------------------------------
 *
 * endpoint.h
 *	  The remote operations: what each is on the wire.
 *
 * One row of endpointlist.h is everything that C knows about an operation.
 * Its parameters and their types stand in the SQL declaration of the function
 * that bears its name, and are not repeated here.  To add an operation: one
 * row, one CREATE FUNCTION, one test.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_ENDPOINT_H
#define BILL24_ENDPOINT_H

#include <stdbool.h>

#include "json.h"
#include "status.h"

typedef struct B24Provider B24Provider;
typedef struct B24Secrets B24Secrets;

/* How a change whose answer was lost is brought to an end. */
typedef enum B24Recovery
{
	B24_RECOVER_BY_HAND,		/* there is no way to find out */
	B24_RECOVER_RESEND,			/* sent again: twice has the effect of once */
	B24_RECOVER_LOOK_UP			/* looked up by its key, sent if not there */
} B24Recovery;

/* What a look-up has found. */
typedef enum B24Found
{
	B24_FOUND_OURS,				/* the change has been made */
	B24_FOUND_OTHER,			/* something that stands in its way */
	B24_FOUND_NONSENSE			/* no answer to what was asked */
} B24Found;

/* What its success tells the mirror about the customer of our key. */
typedef enum B24Tells
{
	B24_TELLS_NOTHING,
	B24_TELLS_CREATED,
	B24_TELLS_UPDATED,
	B24_TELLS_READ,
	B24_TELLS_GONE,
	B24_TELLS_SETTLED			/* its balances will change */
} B24Tells;

/* What an answer tells of the store bill24.paycombat_customer. */
typedef enum B24Keeps
{
	B24_KEEPS_NOTHING,
	B24_KEEPS_CUSTOMER,			/* as it is now */
	B24_KEEPS_TOMBSTONE			/* it is gone */
} B24Keeps;

typedef struct B24Endpoint
{
	const char *name;			/* the SQL function's, without its prefix */
	const B24Provider *provider;
	const char *method;
	const char *path;			/* "{argument}" is replaced by the argument;
								 * NULL: any path, and any answer will do */
	const char *rename;			/* "argument=wire,..." where names differ */
	const char *result;			/* path of the result in the answer */
	const char *path_option;	/* server option that replaces the path */
	bool		path_is_guess;	/* the documentation does not print it */
	bool		bare;			/* no arguments but those in the path */
	bool		changes;		/* has an effect at the provider */
	const char *key;			/* argument that orders jobs, our key; NULL: it
								 * cannot be enqueued */
	const char *remote_key;		/* argument with the provider's own key: where
								 * it is missing, it is the one that is kept
								 * for our key; NULL: there is none */
	B24Keeps	keeps;

	/* The last word on the arguments as they go on the wire; or NULL. */
	B24Status	(*adjust) (const B24Secrets *secrets, B24Json *wire,
						   B24Problem *problem);

	/* What becomes of a change whose answer was lost. */
	B24Recovery recovery;
	bool		may_resend;		/* B24_RECOVER_BY_HAND, but the server option
								 * resend_unknown makes it B24_RECOVER_RESEND */
	const char *lookup;			/* the operation that looks it up */
	const char *lookup_by;		/* that one's argument, which is also ours */
	B24Found	(*found) (const B24Json *arguments, const B24Json *result,
						  B24Problem *problem);
	bool		gone_is_done;	/* "not found" tells that it has been made */

	/* Waiting ones of a key become one, in which the later values win. */
	bool		coalesces;

	B24Tells	tells;
} B24Endpoint;

/* B24_EP_create_customer and so on, in the order of endpointlist.h */
typedef enum B24EndpointId
{
#define B24_ENDPOINT(name_, ...) B24_EP_##name_,
#define B24_SPECIAL(name_, ...) B24_EP_##name_,
#include "endpointlist.h"
#undef B24_ENDPOINT
#undef B24_SPECIAL
	B24_EP_COUNT
} B24EndpointId;

extern const B24Endpoint b24_endpoints[B24_EP_COUNT];

extern const B24Endpoint *b24_endpoint_find(const char *name);
extern const B24Endpoint *b24_endpoint_of(const B24Provider *provider,
										  const char *name);
extern const char *b24_endpoint_path(const B24Endpoint *endpoint,
									 const B24Secrets *secrets);
extern const char *b24_endpoint_wire_name(const B24Endpoint *endpoint,
										  const char *argument,
										  char *buffer, size_t size);
extern B24Json *b24_endpoint_field(const B24Json *object, const char *column);

#endif							/* BILL24_ENDPOINT_H */
