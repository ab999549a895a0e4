/*-------------------------------------------------------------------------
 *
 * bills.c
 *	  Bills of a period, page by page, as far as the query reads.
 *
 * The documented sample contradicts itself (625 rows, one page, ten to a
 * page), so counts alone decide nothing: a page that is not full is the last
 * unless the server promises another, and what cannot be true at once is an
 * error, since a bill left out without a word would be worse.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "bills.h"
#include "call.h"
#include "report.h"

#define PAGE_SIZE 100

typedef struct Paging
{
	const B24CallSite *site;
	const B24Account *account;
	B24Exchange *exchange;
	B24Job	   *first;			/* keeps the arguments */
	B24Job	   *job;			/* the page at hand, NULL before the first */
	const B24Json *bills;
	size_t		next;			/* in bills */
	long		page;			/* counted from 1 */
	int64		seen;			/* bills before this page */
	char	   *previous;		/* text of the page before, to notice a repeat */
	int64		most;			/* bills that there may be; -1 if not told */
	bool		more;
} Paging;

static long
count_in(const B24Json *pagination, const char *field)
{
	const char *digits = b24_json_number(b24_json_get(pagination, field));

	return digits != NULL && strlen(digits) < 10 ? atol(digits) : -1;
}

static void
contradiction(const char *what)
{
	ereport(ERROR,
			(errcode(b24_sqlstate(B24_NONSENSE)),
			 errmsg("could not read the answer to get_bills"),
			 errdetail("The server's paging contradicts itself: %s.", what),
			 errhint("Ask for a shorter period, or for one customer.")));
}

/* Is there another page?  Raises what cannot be. */
static bool
is_there_more(Paging *paging, const B24Json *pagination, size_t count)
{
	long		index = count_in(pagination, "page_index");
	long		pages = count_in(pagination, "page_count");
	long		rows = count_in(pagination, "row_count");
	long		size = count_in(pagination, "page_size");
	int64		seen = paging->seen + count;

	/* some more may be made while we read, but not without end */
	if (paging->page == 1)
		paging->most = rows < 0 && pages < 0 ? -1 :
			Max((int64) rows, (int64) pages * PAGE_SIZE) * 11 / 10 + 2 * PAGE_SIZE;
	if (index >= 0 && index != paging->page)
		contradiction(psprintf("page %ld was asked for and page %ld came",
							   paging->page, index));
	if (count == 0)
	{
		if (paging->page <= pages && seen < rows)
			contradiction(psprintf("page %ld of %ld is empty", paging->page, pages));
		return false;
	}
	if (paging->most >= 0 && seen > paging->most)
		contradiction("more bills come than the first page said there were");
	if (paging->page < pages)
		return true;

	/* a full last page while rows are missing: the next tells */
	return size > 0 && count >= (size_t) size && seen < rows;
}

static bool
copy_argument(const char *name, B24Json *value, void *context)
{
	return b24_json_put((B24Json *) context, name, b24_json_share(value));
}

/* Adds which page is wanted, counted from 1, to the arguments. */
void
b24_bills_put_page(B24Json *arguments, long page)
{
	if (!b24_json_put(arguments, "page_index",
					  b24_json_new_number(psprintf("%ld", page))) ||
		!b24_json_put(arguments, "page_size",
					  b24_json_new_number(psprintf("%d", PAGE_SIZE))))
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
}

static void
fetch_page(Paging *paging)
{
	const B24Endpoint *endpoint = &b24_endpoints[B24_EP_get_bills];
	B24Job	   *job = b24_job_new(paging->exchange, endpoint);
	const B24Json *bills;
	const char *text;
	size_t		length = 0;
	B24Problem	problem;
	MemoryContext old = MemoryContextSwitchTo(job->context);

	paging->page++;
	if (!b24_json_each(paging->first->arguments, copy_argument, job->arguments))
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	b24_bills_put_page(job->arguments, paging->page);
	if (b24_job_encode(job, &problem) != B24_OK)
		b24_report_problem(endpoint->name, &problem);
	b24_job_run(job);
	if (job->reply.status != B24_OK)
		b24_report_reply(paging->account->server, endpoint,
						 &paging->account->secrets, &job->reply);

	/* the older page of the documentation shows a bare array, without pages */
	bills = b24_json_get(job->reply.result, "bills");
	if (b24_json_type(job->reply.result) == B24_JSON_ARRAY)
		bills = job->reply.result;
	if (b24_json_type(bills) != B24_JSON_ARRAY)
	{
		b24_problem(&problem, B24_NONSENSE, "field \"bills\" should be an array");
		b24_report_misfit(endpoint, &problem);
	}

	text = b24_json_text(bills, &length);
	if (b24_json_length(bills) > 0 && paging->previous != NULL &&
		strcmp(text, paging->previous) == 0)
		contradiction(psprintf("page %ld is page %ld again", paging->page,
							   paging->page - 1));
	paging->more = is_there_more(paging, b24_json_get(job->reply.result, "pagination"),
								 b24_json_length(bills));
	paging->seen += b24_json_length(bills);
	if (paging->previous != NULL)
		pfree(paging->previous);
	MemoryContextSwitchTo(old);
	paging->previous = paging->more ? pstrdup(text) : NULL;
	if (paging->job != NULL)
		b24_job_free(paging->job);
	paging->job = job;
	paging->bills = bills;
	paging->next = 0;
}

static Paging *
start(FunctionCallInfo fcinfo)
{
	Paging	   *paging = palloc0(sizeof(Paging));

	/* the set-returning call owns fn_extra, so this is looked up for itself */
	B24CallSite *site = palloc0(sizeof(B24CallSite));
	Oid			type;
	TupleDesc	tupdesc;

	site->signature = b24_signature(fcinfo->flinfo->fn_oid, CurrentMemoryContext);
	if (get_call_result_type(fcinfo, &type, &tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "unexpected result type of function %u", fcinfo->flinfo->fn_oid);
	site->result = b24_type(type, -1, tupdesc, CurrentMemoryContext);
	paging->site = site;
	paging->account = b24_call_account(site, fcinfo, &b24_bill24);
	paging->exchange = b24_exchange_new(paging->account);
	paging->first = b24_job_new(paging->exchange, &b24_endpoints[B24_EP_get_bills]);
	b24_arguments_put(site->signature, fcinfo, paging->first->arguments);
	paging->more = true;
	return paging;
}

PG_FUNCTION_INFO_V1(bill24_get_bills);

/*
 * bill24_fetch_bills(from_date, to_date, sync_code, currency, server): one
 * bill a call, and a page when those at hand are used up (page "Get list
 * bills").  bill24_get_bills() is an SQL function around it.
 */
Datum
bill24_get_bills(PG_FUNCTION_ARGS)
{
	FuncCallContext *context;
	Paging	   *paging;
	B24Reading	reading = {.operation = "get_bills", .tolerant = false};
	const B24Json *bill;
	B24Problem	problem;
	MemoryContext old;
	Datum		row;
	bool		isnull;

	if (SRF_IS_FIRSTCALL())
	{
		context = SRF_FIRSTCALL_INIT();
		old = MemoryContextSwitchTo(context->multi_call_memory_ctx);
		context->user_fctx = start(fcinfo);
		MemoryContextSwitchTo(old);
	}
	context = SRF_PERCALL_SETUP();
	paging = context->user_fctx;

	old = MemoryContextSwitchTo(context->multi_call_memory_ctx);
	while (paging->more &&
		   (paging->job == NULL || paging->next == b24_json_length(paging->bills)))
		fetch_page(paging);
	MemoryContextSwitchTo(old);
	if (paging->next == b24_json_length(paging->bills))
		SRF_RETURN_DONE(context);

	bill = b24_json_element(paging->bills, paging->next++);
	if (b24_json_type(bill) != B24_JSON_OBJECT)
		b24_problem(&problem, B24_NONSENSE, "an element of \"bills\" is no object");
	if (b24_json_type(bill) != B24_JSON_OBJECT ||
		!b24_fits(paging->site->result, bill, "bills", &problem))
		b24_report_misfit(&b24_endpoints[B24_EP_get_bills], &problem);
	row = b24_value(paging->site->result, &reading, bill, &isnull);
	SRF_RETURN_NEXT(context, row);
}
