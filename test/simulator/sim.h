/*
 * sim.h
 *		What every part of the simulator uses: configuration, time, exact
 *		money, random numbers, and small helpers around JSON and text.
 *
 * The process has one thread, so nothing here is locked.
 */
#ifndef SIM_H
#define SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <json-c/json.h>

#define SIM_UUID_SIZE	37		/* 36 characters and the end */
#define SIM_TIME_SIZE	48		/* enough for any time that is printed */
#define SIM_MONEY_SIZE	48		/* enough for any amount that is printed */

#define sim_lengthof(array) (sizeof(array) / sizeof((array)[0]))

/* How the list of bills misbehaves; the order is that of the names. */
typedef enum SimPageQuirk
{
	SIM_PAGE_NONE,
	SIM_PAGE_REPEAT,			/* every page is the first one */
	SIM_PAGE_ENDLESS,			/* always one more page of fresh bills */
	SIM_PAGE_WRONG_INDEX,		/* the right bills under a wrong page number */
	SIM_PAGE_EMPTY_PROMISE,		/* announces a page that is empty */
	SIM_PAGE_DOCUMENTED			/* the contradictory numbers of the sample */
} SimPageQuirk;

/* What happens to a connection after an answer. */
typedef enum SimCloseAfter
{
	SIM_KEEP_OPEN,
	SIM_CLOSE_ANNOUNCED,		/* with "Connection: close" */
	SIM_CLOSE_SILENT			/* without a word, as a proxy's timeout does */
} SimCloseAfter;

/* In which shape PayCombat's answers come. */
typedef enum SimEnvelope
{
	SIM_ENVELOPE_DOCUMENTED,	/* as the page of each operation shows */
	SIM_ENVELOPE_SINGLE,
	SIM_ENVELOPE_DOUBLE
} SimEnvelope;

/* Of which text PayCombat computes a signature. */
typedef enum SimSignature
{
	SIM_SIGNATURE_RAW,			/* the bytes that came */
	SIM_SIGNATURE_RESERIALIZED	/* JSON.stringify(JSON.parse()) of them */
} SimSignature;

/* What PayCombat wants as the signature of PATCH without a body. */
typedef enum SimBodyless
{
	SIM_BODYLESS_NONE,			/* nothing */
	SIM_BODYLESS_EMPTY,			/* that of the empty text */
	SIM_BODYLESS_OBJECT			/* that of {} */
} SimBodyless;

typedef struct SimConfig
{
	int64_t		latency_ms;		/* each answer waits this long */
	int64_t		jitter_ms;		/* plus a random part of this */
	int64_t		token_lifetime_s;
	int64_t		clock_skew_s;	/* of the Date header and of every time told */
	int64_t		wallet_lag_ms;	/* until a new wallet is visible */
	int64_t		balance_lag_ms; /* until a changed balance is visible */
	int64_t		authorize_fail_status;	/* HTTP status of refused credentials */
	int64_t		seed;			/* of faults and jitter */
	int64_t		keepalive_timeout_s;	/* 0: idle connections stay */
	int			page_quirk;		/* SimPageQuirk */
	int			close_after;	/* SimCloseAfter */
	int			paycombat_envelope; /* SimEnvelope */
	int			paycombat_signature;	/* SimSignature */
	int			paycombat_bodyless; /* SimBodyless */
	bool		paycombat_unique;	/* refuse a reference that is taken */
	bool		record;			/* keep the last requests */
} SimConfig;

typedef struct SimCredentials
{
	const char *merchant_token;
	const char *client_id;
	const char *secret;
	const char *hash_token;
	const char *x_token;		/* PayCombat's */
	const char *signature_key;
} SimCredentials;

extern SimConfig sim_config;
extern SimCredentials sim_credentials;

/* config.c */
extern void sim_config_start(void);
extern void sim_config_reset(void);
extern const char *sim_config_set(json_object *values);
extern json_object *sim_config_json(void);

/* calendar.c: times are microseconds since 1970, UTC */
extern int64_t sim_monotonic_ms(void);
extern int64_t sim_real_ms(void);
extern int64_t sim_provider_us(void);
extern bool sim_time_parse(const char *text, int64_t *us);
extern void sim_time_digits(int64_t us, char *digits);
extern void sim_time_local(int64_t us, int fraction, bool zone, char *text);
extern void sim_time_midnight(int64_t us, char *text);
extern void sim_time_http(int64_t us, char *text);

/* money.c: exact, in units of 10^-10 */
typedef __int128 SimMoney;

extern bool sim_money_parse(const char *text, SimMoney *money);
extern void sim_money_text(SimMoney money, char *text);
extern void sim_money_display(SimMoney money, char *text);

/* random.c */
extern void sim_random_seed(uint64_t seed);
extern uint64_t sim_random(void);
extern double sim_random_fraction(void);
extern void sim_random_secret(char *text, size_t length);
extern uint64_t sim_random_serial(void);
extern void sim_random_serial_reset(void);
extern void sim_uuid(uint64_t serial, char *text);

/* encoding.c */
extern char *sim_url_decode(const char *text, size_t length, bool plus);
extern char *sim_base64(const void *bytes, size_t size);
extern unsigned char *sim_base64_decode(const char *text, size_t *size);
extern unsigned char *sim_gzip(const void *bytes, size_t size, size_t *packed);
extern bool sim_utf8_valid(const char *text, size_t size);
extern size_t sim_utf8_length(const char *text);
extern void sim_hmac_sha256(const char *key, const char *text, size_t size,
							unsigned char *digest);
extern void sim_hmac_sha512(const char *key, const char *text,
							unsigned char *digest);

/* text.c */
extern void *sim_alloc(size_t size);
extern char *sim_strdup(const char *text);
extern const char *sim_text(json_object *object, const char *key);
extern int64_t sim_integer(json_object *object, const char *key,
						   int64_t otherwise);
extern bool sim_boolean(json_object *object, const char *key, bool otherwise);
extern bool sim_amount(json_object *value, SimMoney *money);
extern void sim_put(json_object *object, const char *key, json_object *value);
extern void sim_put_text(json_object *object, const char *key,
						 const char *value);
extern void sim_put_int(json_object *object, const char *key, int64_t value);
extern void sim_put_money(json_object *object, const char *key,
						  SimMoney value);
extern void sim_put_uuid(json_object *object, const char *key,
						 uint64_t serial);

#endif							/* SIM_H */
