--
-- The options of servers and user mappings.
--
\pset format unaligned
\pset null '(null)'
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS bill24 CASCADE;
CREATE EXTENSION bill24;
-- runs a statement, and tells its result or its error in lines
CREATE OR REPLACE FUNCTION try(command text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	result text;
	state text;
	message text;
	detail text;
	hint text;
BEGIN
	IF command ~ '^SELECT' THEN
		EXECUTE command INTO result;
	ELSE
		EXECUTE command;
	END IF;
	RETURN NEXT 'fine: ' || coalesce(result, '(null)');
EXCEPTION WHEN others THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
		detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN NEXT state || ': ' || message;
	IF detail <> '' THEN RETURN NEXT 'DETAIL: ' || detail; END IF;
	IF hint <> '' THEN RETURN NEXT 'HINT: ' || hint; END IF;
END $$;

CREATE FUNCTION server(options text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY SELECT t FROM try('CREATE SERVER s FOREIGN DATA WRAPPER bill24 ' || options) t WHERE t <> 'fine: (null)';
	IF NOT FOUND THEN
		RETURN QUERY SELECT coalesce(array_to_string(srvoptions, ', '), 'none') FROM pg_foreign_server WHERE srvname = 's';
		EXECUTE 'DROP SERVER s';
	END IF;
END $$;
-- a valid address and one more option
CREATE FUNCTION option(name text, value text) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT server(format('OPTIONS (base_url ''https://example.com'', %I %L)', name, value))
$$;
CREATE FUNCTION mapping(options text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY SELECT t FROM try('CREATE USER MAPPING FOR CURRENT_USER SERVER m ' || options) t WHERE t <> 'fine: (null)';
	IF NOT FOUND THEN
		RETURN QUERY SELECT coalesce(array_to_string(umoptions, ', '), 'none') FROM pg_user_mappings WHERE srvname = 'm' AND usename = CURRENT_USER;
		DROP USER MAPPING IF EXISTS FOR CURRENT_USER SERVER m;
	END IF;
END $$;
SET client_min_messages = notice;

-- the address
SELECT server('OPTIONS (base_url ''https://merchantapi-demo.bill24.io'')');
SELECT server('OPTIONS (base_url ''https://merchantapi-demo.bill24.io/'')');
SELECT server('OPTIONS (base_url ''https://merchantapi-demo.bill24.io:8443/a/path'')');
SELECT server('OPTIONS (base_url ''https://127.0.0.1:1'')');
SELECT server('OPTIONS (base_url ''https://[::1]:1'')');
SELECT server('');
SELECT server('OPTIONS (connect_timeout ''1s'')');
SELECT server('OPTIONS (base_url '''')');
SELECT server('OPTIONS (base_url ''merchantapi-demo.bill24.io'')');
SELECT server('OPTIONS (base_url ''ftp://example.com'')');
SELECT server('OPTIONS (base_url ''file:///etc/passwd'')');
SELECT server('OPTIONS (base_url ''https://'')');
SELECT server('OPTIONS (base_url ''https:///path'')');
SELECT server('OPTIONS (base_url ''https://exa mple.com'')');
SELECT server('OPTIONS (base_url E''https://example.com\r\nHost: other'')');
SELECT server('OPTIONS (base_url ''https://example.com\@other.example'')');
SELECT server('OPTIONS (base_url ''https://example.com:99999'')');
SELECT server('OPTIONS (base_url ''https://user:secretpassword@example.com'')');
SELECT server('OPTIONS (base_url ''https://user@example.com'')');
SELECT server('OPTIONS (base_url ''https://example.com?token=1'')');
SELECT server('OPTIONS (base_url ''https://example.com/?'')');
SELECT server('OPTIONS (base_url ''https://example.com#fragment'')');

-- http only for those who say so
SELECT server('OPTIONS (base_url ''http://example.com'')');
SELECT server('OPTIONS (base_url ''http://example.com'', allow_http ''false'')');
SELECT server('OPTIONS (base_url ''http://example.com'', allow_http ''true'')');
SELECT server('OPTIONS (allow_http ''on'', base_url ''http://127.0.0.1:1'')');
SELECT option('allow_http', 'true');
SELECT option('allow_http', 'perhaps');
SELECT option('allow_http', '');

-- numbers and their units
SELECT option('connect_timeout', '5s');
SELECT option('connect_timeout', '500ms');
SELECT option('connect_timeout', '500');
SELECT option('connect_timeout', '1min');
SELECT option('connect_timeout', '1h');
SELECT option('connect_timeout', '0');
SELECT option('connect_timeout', '-1');
SELECT option('connect_timeout', '2h');
SELECT option('connect_timeout', '100d');
SELECT option('connect_timeout', 'soon');
SELECT option('connect_timeout', '');
SELECT option('connect_timeout', '5 parsecs');
SELECT option('request_timeout', '30s');
SELECT option('request_timeout', '0ms');
SELECT option('request_timeout', '61min');
SELECT option('max_response_size', '4MB');
SELECT option('max_response_size', '1024');
SELECT option('max_response_size', '512MB');
SELECT option('max_response_size', '1023');
SELECT option('max_response_size', '513MB');
SELECT option('max_response_size', '4 megs');
SELECT option('max_in_flight', '1');
SELECT option('max_in_flight', '1000');
SELECT option('max_in_flight', '0');
SELECT option('max_in_flight', '1001');
SELECT option('max_in_flight', '64kB');
SELECT option('max_in_flight', '99999999999');
SELECT option('max_per_second', '0');
SELECT option('max_per_second', '100000');
SELECT option('max_per_second', '100001');
SELECT option('max_per_second', '-1');
SELECT option('circuit_failures', '0');
SELECT option('circuit_failures', '10001');
SELECT option('max_attempts', '1');
SELECT option('max_attempts', '0');
SELECT option('retry_delay', '250ms');
SELECT option('retry_delay', '0');
SELECT option('retry_delay', '2h');
SELECT option('retention', '0');
SELECT option('retention', '7d');
SELECT option('retention', '36h');
SELECT option('retention', '3651d');
SELECT option('retention', 'a week');

-- files
SELECT option('ca_file', '/etc/ssl/certs/ca.pem');
SELECT option('ca_file', 'ca.pem');
SELECT option('ca_file', '../ca.pem');
SELECT option('ca_file', '');

-- what there is not, and what may have been meant
SELECT option('base_urls', 'x');
SELECT option('timeout', '5s');
SELECT option('conect_timeout', '5s');
SELECT option('max_inflight', '5');
SELECT option('token', 'x');
SELECT option('host', 'x');
SELECT option('Base_url', 'x');
SELECT option(repeat('x', 60), 'x');
SELECT try('CREATE FOREIGN DATA WRAPPER regress_bill24 VALIDATOR bill24_fdw_validator OPTIONS (base_url ''https://example.com'')');

-- changes
CREATE SERVER s FOREIGN DATA WRAPPER bill24 OPTIONS (base_url 'https://example.com');
ALTER SERVER s OPTIONS (ADD request_timeout '10s', max_in_flight '8');
ALTER SERVER s OPTIONS (SET request_timeout '20s', DROP max_in_flight);
SELECT array_to_string(srvoptions, ', ') AS options FROM pg_foreign_server WHERE srvname = 's';
SELECT try('ALTER SERVER s OPTIONS (SET base_url ''http://example.com'')');
SELECT try('ALTER SERVER s OPTIONS (DROP base_url)');
SELECT try('ALTER SERVER s OPTIONS (SET request_timeout ''0'')');
ALTER SERVER s OPTIONS (ADD allow_http 'true', SET base_url 'http://example.com');
SELECT try('ALTER SERVER s OPTIONS (DROP allow_http)');
SELECT try('ALTER SERVER s OPTIONS (SET allow_http ''no'')');
DROP SERVER s;

-- user mappings
CREATE SERVER m FOREIGN DATA WRAPPER bill24 OPTIONS (base_url 'https://example.com');
SELECT mapping('OPTIONS (token ''t'', client_id ''c'', secret ''s'', hash_token ''h'')');
SELECT mapping('OPTIONS (token ''t'')');
SELECT mapping('');
SELECT mapping('OPTIONS (token '''')');
SELECT mapping('OPTIONS (client_id '''')');
SELECT mapping('OPTIONS (secret '''')');
SELECT mapping('OPTIONS (hash_token '''')');
SELECT mapping('OPTIONS (password ''hidden-value'')');
SELECT mapping('OPTIONS (tokens ''hidden-value'')');
SELECT mapping('OPTIONS (clientid ''hidden-value'')');
SELECT mapping('OPTIONS (refresh ''hidden-value'')');
SELECT mapping('OPTIONS (base_url ''https://example.com'')');
SELECT mapping('OPTIONS (secret ''ស្ងាត់ " '''' \ '')');
SELECT mapping('OPTIONS (credentials_file ''/etc/bill24.json'')');
SELECT mapping('OPTIONS (credentials_file ''bill24.json'')');
SELECT mapping('OPTIONS (credentials_file '''')');
SELECT mapping('OPTIONS (credentials_file ''/etc/bill24.json'', hash_token ''h'')');
SELECT mapping('OPTIONS (token ''t'', credentials_file ''/etc/bill24.json'')');
CREATE USER MAPPING FOR CURRENT_USER SERVER m OPTIONS (token 't', client_id 'c');
SELECT try('ALTER USER MAPPING FOR CURRENT_USER SERVER m OPTIONS (ADD credentials_file ''/etc/bill24.json'')');
SELECT try('ALTER USER MAPPING FOR CURRENT_USER SERVER m OPTIONS (SET token '''')');
ALTER USER MAPPING FOR CURRENT_USER SERVER m OPTIONS (DROP token, DROP client_id, ADD credentials_file '/etc/bill24.json');
SELECT umoptions FROM pg_user_mappings WHERE srvname = 'm' AND usename = CURRENT_USER;

-- a role that is no superuser
CREATE ROLE regress_bill24_owner;
GRANT USAGE ON FOREIGN DATA WRAPPER bill24 TO regress_bill24_owner;
ALTER SERVER m OWNER TO regress_bill24_owner;
SET ROLE regress_bill24_owner;
SELECT server('OPTIONS (base_url ''https://example.com'')');
SELECT option('request_timeout', '5s');
SELECT option('allow_http', 'true');
SELECT option('allow_http', 'false');
SELECT option('ca_file', '/etc/ssl/certs/ca.pem');
SELECT server('OPTIONS (base_url ''http://example.com'')');
SELECT mapping('OPTIONS (token ''t'')');
SELECT mapping('OPTIONS (credentials_file ''/etc/bill24.json'')');
RESET ROLE;
ALTER SERVER m OPTIONS (ADD allow_http 'true');
SET ROLE regress_bill24_owner;
-- nobody but a superuser changes the address while http is allowed
SELECT try('ALTER SERVER m OPTIONS (SET base_url ''http://attacker.example'')');
SELECT try('ALTER SERVER m OPTIONS (SET base_url ''https://example.com/other'')');
SELECT try('ALTER SERVER m OPTIONS (DROP allow_http)');
SELECT try('ALTER SERVER m OPTIONS (SET base_url ''https://example.com/other'')');
RESET ROLE;

SET client_min_messages = warning;
DROP EXTENSION bill24 CASCADE;
DROP ROLE regress_bill24_owner;
DROP FUNCTION mapping(text);
DROP FUNCTION option(text, text);
DROP FUNCTION server(text);
DROP FUNCTION try(text);
