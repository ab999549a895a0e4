/*
 * token.c
 *		Bearer tokens, which expire, and refresh tokens, which do not.
 */
#include "state.h"
#include "event.h"

#include <stdlib.h>
#include <string.h>

typedef struct Token
{
	char	   *text;
	bool		refresh;
	int64_t		expires_ms;		/* by the machine's clock */
	UT_hash_handle hh;
} Token;

static Token *tokens;
static Token *last_used;		/* most requests carry the one before's */

static Token *
find_token(const char *text)
{
	Token	   *token;

	if (last_used != NULL && strcmp(last_used->text, text) == 0)
		return last_used;
	HASH_FIND_STR(tokens, text, token);
	if (token != NULL)
		last_used = token;
	return token;
}

bool
sim_token_valid(const char *text)
{
	Token	   *token = find_token(text);

	return token != NULL && !token->refresh &&
		token->expires_ms > sim_real_ms();
}

bool
sim_refresh_valid(const char *text)
{
	Token	   *token = find_token(text);

	return token != NULL && token->refresh;
}

static void
add_token(const char *text, bool refresh, int64_t expires_ms)
{
	Token	   *token;

	HASH_FIND_STR(tokens, text, token);
	if (token != NULL)
		return;
	token = sim_alloc(sizeof(Token));
	token->text = sim_strdup(text);
	token->refresh = refresh;
	token->expires_ms = expires_ms;
	HASH_ADD_KEYPTR(hh, tokens, token->text, strlen(token->text), token);
}

static void
remove_tokens(bool bearer, bool refresh)
{
	Token	   *token;
	Token	   *next;

	HASH_ITER(hh, tokens, token, next)
	{
		if (token->refresh ? !refresh : !bearer)
			continue;
		HASH_DEL(tokens, token);
		free(token->text);
		free(token);
	}
	last_used = NULL;
}

void
sim_token_apply(json_object *event)
{
	if (sim_text(event, "bearer") != NULL)
		add_token(sim_text(event, "bearer"), false,
				  sim_integer(event, "expires_ms", 0));
	if (sim_text(event, "refresh") != NULL)
		add_token(sim_text(event, "refresh"), true, 0);
}

void
sim_token_apply_expire(json_object *event)
{
	remove_tokens(true, sim_boolean(event, "refresh", false));
}

void
sim_tokens_reset(void)
{
	remove_tokens(true, true);
}

/* Write those that are left to a journal that was emptied. */
void
sim_tokens_journal(void)
{
	Token	   *token;
	Token	   *next;

	HASH_ITER(hh, tokens, token, next)
	{
		json_object *event = sim_event_new("token");

		sim_put_text(event, token->refresh ? "refresh" : "bearer",
					 token->text);
		sim_put_int(event, "expires_ms", token->expires_ms);
		sim_journal_write(event);
		json_object_put(event);
	}
}
