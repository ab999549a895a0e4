/*-------------------------------------------------------------------------
 *
 * endpointlist.h
 *	  The table of remote operations; see endpoint.h for its columns.
 *
 * There is deliberately no include guard: this file is included several times
 * with different definitions of the two macros.  B24_SPECIAL marks rows whose
 * SQL function is written by hand instead of following from the row.
 *
 * The comment over a row names the page of the provider's documentation that
 * describes it, of Bill24's ("APIs for Businesses") or, at the end, PayCombat's.
 *
 *-------------------------------------------------------------------------
 */

/* clang-format off */

/* Payment Method: Authorization */
B24_SPECIAL(authorize,
	.provider = &b24_bill24, .method = "POST", .path = "/merchantsecurity/authorize",
	.result = "")

/* Payment Method: Create Customer */
B24_ENDPOINT(create_customer,
	.provider = &b24_bill24, .method = "POST", .path = "/customer/create",
	.rename = "wallets=wallet", .result = "data", .changes = true, .key = "sync_code",
	.recovery = B24_RECOVER_LOOK_UP, .lookup = "get_customer",
	.lookup_by = "sync_code", .found = b24_customer_found,
	.tells = B24_TELLS_CREATED)

/* Payment Method: Get Customer Details */
B24_ENDPOINT(get_customer,
	.provider = &b24_bill24, .method = "POST", .path = "/customer/get_customer_detail",
	.result = "data",
	.tells = B24_TELLS_READ)

/* Payment Method: Update Customer */
B24_ENDPOINT(update_customer,
	.provider = &b24_bill24, .method = "POST", .path = "/customer/update",
	.result = "data", .changes = true, .key = "sync_code",
	.recovery = B24_RECOVER_RESEND, .coalesces = true,
	.tells = B24_TELLS_UPDATED)

/*
 * Payment Method: Delete Customer.  Its data is a customer of empty strings,
 * so the envelope is the result.
 */
B24_ENDPOINT(delete_customer,
	.provider = &b24_bill24, .method = "POST", .path = "/customer/delete",
	.result = "", .changes = true, .key = "sync_code",
	.recovery = B24_RECOVER_RESEND, .gone_is_done = true,
	.tells = B24_TELLS_GONE)

/* Payment Method: Get Wallet Balance */
B24_ENDPOINT(get_wallet_balance,
	.provider = &b24_bill24, .method = "POST", .path = "/instant_payment/get_wallet_balance",
	.rename = "sync_code=customer_sync_code", .result = "data")

/* Payment Method: Get Payment Methods */
B24_ENDPOINT(get_payment_methods,
	.provider = &b24_bill24, .method = "GET", .path = "/instant_payment/{sync_code}/get_payment_methods",
	.result = "data")

/* Payment Method: Get Wallet History; its answer is not documented */
B24_ENDPOINT(get_wallet_history,
	.provider = &b24_bill24, .method = "POST", .path = "/instant_payment/get_wallet_histories",
	.rename = "sync_code=customer_sync_code,from_time=d1,to_time=d2,"
			  "page=pagination.page_index,page_size=pagination.page_size",
	.result = "data")

/* Payment Method: Settle Payment.  The two states lie apart in data. */
B24_ENDPOINT(settle_payment,
	.provider = &b24_bill24, .method = "POST", .path = "/bill_payment/push_bill_with_payment",
	.rename = "sync_code=customer_sync_code,amount=total_amount,bill_date=date",
	.result = "", .changes = true, .key = "sync_code",
	.adjust = b24_settle_hash,
	.recovery = B24_RECOVER_LOOK_UP, .lookup = "get_bill",
	.lookup_by = "ref_id", .found = b24_bill_found,
	.tells = B24_TELLS_SETTLED)

/* Payment Method: Get list bills; "Currency" has its capital C on the wire */
B24_SPECIAL(get_bills,
	.provider = &b24_bill24, .method = "GET", .path = "/instant_payment/get_bills",
	.rename = "currency=Currency,sync_code=customer_sync_code", .result = "data")

/* Payment Method: Get single bill */
B24_ENDPOINT(get_bill,
	.provider = &b24_bill24, .method = "GET", .path = "/instant_payment/get_single_bill/{ref_id}",
	.result = "data")

/* Payment Method: Get Transaction Detail */
B24_ENDPOINT(get_transaction,
	.provider = &b24_bill24, .method = "POST", .path = "/transaction/instant_payment/detail",
	.rename = "ref_id=reference", .result = "data")

/* Activate Sub Biller: Onboarding */
B24_ENDPOINT(onboard_sub_biller,
	.provider = &b24_bill24, .method = "POST", .path = "/on_boarding/on_boarding_supplier",
	.result = "data", .changes = true, .key = "supplier_sync_code")

/* Activate Sub Biller: Get Available Banks; its answer is not documented */
B24_ENDPOINT(get_available_banks,
	.provider = &b24_bill24, .method = "GET", .path = "/on_boarding/get_available_bank",
	.result = "data")

/* Activate Sub Biller: Add Link Account */
B24_ENDPOINT(add_link_account,
	.provider = &b24_bill24, .method = "POST", .path = "/on_boarding/add_link_account",
	.result = "data", .changes = true, .key = "supplier_sync_code")

/* Activate Sub Biller: Verify Linked Bank Account */
B24_ENDPOINT(verify_linked_account,
	.provider = &b24_bill24, .method = "POST", .path = "/on_boarding/verify_linked_account",
	.result = "data")

/*
 * PayCombat's customers.  A path is in the documentation (docs.paycombat.com)
 * unless path_is_guess; the server option of path_option replaces it.
 * There is no look-up by organization_reference_id, so that a create whose
 * answer was lost is left to a person.  What was lost of the others is sent
 * again; but "not found" does not tell that a customer has been deleted, since
 * nobody knows what is answered under a path that is wrong.
 */

/* Create Customer */
B24_SPECIAL(paycombat_create_customer,
	.provider = &b24_paycombat, .method = "POST", .path = "/api/v1/customer/create",
	.path_option = "create_customer_path", .result = "data", .changes = true,
	.key = "organization_reference_id", .adjust = b24_paycombat_create,
	.recovery = B24_RECOVER_BY_HAND, .may_resend = true, .keeps = B24_KEEPS_CUSTOMER,
	.tells = B24_TELLS_CREATED)

/* Update Customer; its answer is not documented */
B24_SPECIAL(paycombat_update_customer,
	.provider = &b24_paycombat, .method = "PATCH", .path = "/api/v1/customer/update",
	.path_option = "update_customer_path", .result = "data", .changes = true,
	.key = "organization_reference_id", .remote_key = "customer_id",
	.adjust = b24_paycombat_update,
	.recovery = B24_RECOVER_RESEND, .keeps = B24_KEEPS_CUSTOMER,
	.tells = B24_TELLS_UPDATED)

/* Get Detail Customer by Id; "customer" twice, as printed */
B24_SPECIAL(paycombat_get_customer,
	.provider = &b24_paycombat, .method = "GET", .path = "/api/v1/customer/customer/{customer_id}",
	.path_option = "get_customer_path", .bare = true, .result = "data",
	.key = "organization_reference_id", .remote_key = "customer_id",
	.keeps = B24_KEEPS_CUSTOMER,
	.tells = B24_TELLS_READ)

/* Disable Customer: PATCH without a body */
B24_SPECIAL(paycombat_disable_customer,
	.provider = &b24_paycombat, .method = "PATCH", .path = "/api/v1/customer/disable/{customer_id}",
	.path_option = "disable_customer_path", .bare = true, .result = "data", .changes = true,
	.key = "organization_reference_id", .remote_key = "customer_id",
	.recovery = B24_RECOVER_RESEND, .keeps = B24_KEEPS_CUSTOMER,
	.tells = B24_TELLS_UPDATED)

/*
 * Delete Customer.  Only an older copy of the page shows a path,
 * /customer/customer/{customer_id}; this one follows Get Detail Customer.
 */
B24_SPECIAL(paycombat_delete_customer,
	.provider = &b24_paycombat, .method = "DELETE", .path = "/api/v1/customer/customer/{customer_id}",
	.path_is_guess = true,
	.path_option = "delete_customer_path", .bare = true, .result = "data", .changes = true,
	.key = "organization_reference_id", .remote_key = "customer_id",
	.recovery = B24_RECOVER_RESEND, .keeps = B24_KEEPS_TOMBSTONE,
	.tells = B24_TELLS_GONE)

/* clang-format on */
