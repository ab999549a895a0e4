/*-------------------------------------------------------------------------
 *
 * status.c
 *	  The one table of outcomes: SQLSTATE, retry rule, message and hint.
 *
 * Standard codes where one fits; what only a provider can say has class KH, a
 * class that the SQL standard leaves to implementations.  The codes are part
 * of the interface and are listed in the README.
 *
 *-------------------------------------------------------------------------
 */
#include "status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const B24StatusInfo infos[B24_STATUS_COUNT] = {
	[B24_OK] = {
		"ok", "00000", B24_RETRY_NEVER, "success", NULL
	},
	[B24_BAD_ARGUMENT] = {
		"bad_argument", "22023", B24_RETRY_NEVER, "invalid argument", NULL
	},
	[B24_NULL_ARGUMENT] = {
		"null_argument", "22004", B24_RETRY_NEVER, "missing argument", NULL
	},
	[B24_TOO_LONG] = {
		"too_long", "22001", B24_RETRY_NEVER, "argument too long", NULL
	},
	[B24_BAD_NUMBER] = {
		"bad_number", "22023", B24_RETRY_NEVER, "invalid amount",
		"Amounts are finite and not negative."
	},
	[B24_NO_SERVER] = {
		"no_server", "42704", B24_RETRY_NEVER, "no such server",
		"Make it with CREATE SERVER ... FOREIGN DATA WRAPPER bill24 OPTIONS (base_url '...')."
	},
	[B24_NO_ROLE] = {
		"no_role", "42704", B24_RETRY_NEVER, "no such role",
		"The role whose account was to be used has been dropped."
	},
	[B24_NO_USAGE] = {
		"no_usage", "42501", B24_RETRY_NEVER, "permission denied for the server",
		"The owner can GRANT USAGE ON FOREIGN SERVER ... TO the role."
	},
	[B24_NO_MAPPING] = {
		"no_mapping", "28000", B24_RETRY_NEVER, "no user mapping",
		"Make one: CREATE USER MAPPING FOR CURRENT_USER SERVER ... OPTIONS (token '...', client_id '...', secret '...')."
	},
	[B24_CREDENTIALS_FILE] = {
		"credentials_file", "28000", B24_RETRY_NEVER, "credentials file of no use",
		"It must be one JSON object with the keys token, client_id, secret and hash_token, belong to the server's operating system user, and be closed to others (chmod 600)."
	},
	[B24_NO_CREDENTIAL] = {
		"no_credential", "28000", B24_RETRY_NEVER, "credential missing",
		"Add it to the user mapping (ALTER USER MAPPING ... OPTIONS (ADD ...)), or to its credentials_file."
	},
	[B24_NO_MEMORY] = {
		"no_memory", "53200", B24_RETRY_FREELY, "out of memory", NULL
	},
	[B24_CIRCUIT_OPEN] = {
		"circuit_open", "KH503", B24_RETRY_FREELY, "the circuit to the server is open",
		"Nothing was sent, as the requests before failed. It is tried again by itself: see the view bill24.circuit; bill24_reset_circuit() closes it at once."
	},
	[B24_UNREACHABLE] = {
		"unreachable", "08001", B24_RETRY_FREELY, "could not connect",
		"Nothing was sent. Check base_url, the network and the TLS settings of the server, for example with bill24_check()."
	},
	[B24_NO_ANSWER] = {
		"no_answer", "08007", B24_RETRY_AFTER_LOOKUP, "no answer, the outcome is unknown",
		NULL
	},
	[B24_NONSENSE] = {
		"nonsense", "08P01", B24_RETRY_AFTER_LOOKUP, "could not read the answer",
		"Check that base_url names the provider's API and that nothing in between answers in its place."
	},
	[B24_TOO_LARGE] = {
		"too_large", "08P01", B24_RETRY_AFTER_LOOKUP, "the answer is too large",
		"Raise the server option max_response_size if such an answer is expected."
	},
	[B24_UNAUTHORIZED] = {
		"unauthorized", "28000", B24_RETRY_AFTER_LOGIN, "the bearer token was not accepted",
		"The token was renewed once and refused again. Check with the provider that the account may use this operation."
	},
	[B24_LOGIN_REFUSED] = {
		"login_refused", "28000", B24_RETRY_NEVER, "the credentials were refused",
		"Check token, client_id and secret in the user mapping."
	},
	[B24_KEY_REFUSED] = {
		"key_refused", "28000", B24_RETRY_FREELY, "the credentials were not accepted",
		"Nothing was done. Check the secrets in the user mapping, and with the provider that the account may use this operation."
	},
	[B24_REFUSED] = {
		"refused", "KH000", B24_RETRY_NEVER, "refused by the provider",
		"Code and message are the provider's own. Nothing was done."
	},
	[B24_INSUFFICIENT_FUNDS] = {
		"insufficient_funds", "KH402", B24_RETRY_NEVER, "insufficient funds",
		"The wallet has to be topped up first. The bill is kept unpaid, see bill24_get_bill(), and its ref_id cannot be used again."
	},
	[B24_NOT_FOUND] = {
		"not_found", "KH404", B24_RETRY_NEVER, "not found",
		"Check the key, and that it was made on this server. Functions with an argument missing_ok can return NULL instead."
	},
	[B24_ALREADY_EXISTS] = {
		"already_exists", "KH409", B24_RETRY_NEVER, "it already exists",
		"Nothing was done. Look at what is there."
	},
	[B24_ALREADY_PAID] = {
		"already_paid", "KH410", B24_RETRY_NEVER, "it is already paid",
		"Nothing was charged again."
	},
	[B24_INVALID] = {
		"invalid", "KH422", B24_RETRY_NEVER, "the provider's validation failed",
		"Nothing was done. Correct what the message names."
	},
	[B24_BALANCE_NOT_ZERO] = {
		"balance_not_zero", "KH423", B24_RETRY_NEVER, "the wallet balance is not zero",
		"The wallets have to be emptied before the customer can be deleted."
	},
	[B24_THROTTLED] = {
		"throttled", "KH429", B24_RETRY_FREELY, "the provider asks to slow down",
		"Nothing was done. Try again later, with fewer requests at once."
	},
	[B24_PAYMENT_TOKEN] = {
		"payment_token", "KH498", B24_RETRY_NEVER, "hash or token of the payment is invalid",
		"Check hash_token in the user mapping, and that payment_method_token comes from bill24_get_payment_methods()."
	},
	[B24_SERVER_ERROR] = {
		"server_error", "KH500", B24_RETRY_AFTER_LOOKUP, "the provider failed",
		NULL
	},
};

/* Everything known about an outcome; never NULL. */
const B24StatusInfo *
b24_status_info(B24Status status)
{
	return &infos[status < B24_STATUS_COUNT ? status : B24_REFUSED];
}

/* Fills a problem and returns its status, so that callers can return it. */
B24Status
b24_problem(B24Problem *problem, B24Status status, const char *format,...)
{
	va_list		args;

	problem->status = status;
	va_start(args, format);
	vsnprintf(problem->text, sizeof(problem->text), format, args);
	va_end(args);
	b24_trim_utf8(problem->text);
	return status;
}

/* Takes away the last character of a text that was cut, if it was hit. */
void
b24_trim_utf8(char *text)
{
	size_t		length = strlen(text);
	size_t		last = length;
	unsigned char first;

	while (last > 0 && ((unsigned char) text[last - 1] & 0xc0) == 0x80)
		last--;
	if (last == 0)
		return;
	first = (unsigned char) text[--last];
	if (length - last < (first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 1))
		text[last] = '\0';
}
