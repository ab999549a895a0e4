/*-------------------------------------------------------------------------
 *
 * report.h
 *	  Outcomes as errors for users: SQLSTATE, message, DETAIL and HINT.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILL24_REPORT_H
#define BILL24_REPORT_H

#include "provider.h"

extern int	b24_sqlstate(B24Status status);
extern bool b24_repeats_secret(const B24Secrets *secrets, const B24Json *data);
extern void b24_report_problem(const char *operation, const B24Problem *problem);
extern void b24_report_reply(const char *server, const B24Endpoint *endpoint,
							 const B24Secrets *secrets, const B24Reply *reply);
extern void b24_report_misfit(const B24Endpoint *endpoint,
							  const B24Problem *problem);
extern char *b24_reply_message(const B24Endpoint *endpoint,
							   const B24Secrets *secrets,
							   const B24Reply *reply);
extern char *b24_reply_detail(const B24Secrets *secrets, const B24Reply *reply);
extern char *b24_reply_hint(const B24Endpoint *endpoint, const B24Reply *reply);

#endif							/* BILL24_REPORT_H */
