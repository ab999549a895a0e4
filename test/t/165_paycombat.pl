
# PayCombat: a table of customers, looks, jobs whose answer is lost, signatures as Node computes them,
# hostile answers, wrong tokens, many sessions at once.

use strict;
use warnings;

use Bill24Outbox;
use Bill24Session;
use Bill24Test;
use JSON::PP;
use Test::More;

my $token = 'snd_' . ('eyJtZXJjaGFudCI6' x 14);
my $key = 'the-signature-key-of-this-test';
my $sim = start_simulator('--x-token', $token, '--signature-key', $key);
my $node = new_node('main');
my $admin = Bill24Session->new($node);
my $url = $sim->url;
my $path = '/api/v1/customer/create';

# A server; without looks, which would take the faults that are for others.
sub server
{
	my ($name, %options) = @_;
	my %all = (base_url => $url, allow_http => 'true', retry_delay => '20ms',
		circuit_failures => 0, request_timeout => '1s', mirror => 'false',
		delete_customer_path => '/api/v1/customer/customer/{customer_id}', %options);

	return "CREATE SERVER $name FOREIGN DATA WRAPPER paycombat OPTIONS ("
	  . join(', ', map { "$_ '$all{$_}'" } sort keys %all) . ');'
	  . "CREATE USER MAPPING FOR PUBLIC SERVER $name OPTIONS (x_token '$token', signature_key '$key')";
}

$admin->ok('CREATE EXTENSION bill24; ' . server('paycombat') . ';'
	  . server('resends', resend_unknown => 'true'));

# A new customer, as a job's request.
sub customer
{
	my ($reference, %more) = @_;

	return { type => 'individual', description => $reference, organization_reference_id => $reference, %more };
}

sub create { return enqueue($admin, 'create_customer', customer($_[0]), $_[1] // 'paycombat'); }
sub created { return of_kind($sim, $_[0], 'created'); }
sub fault { my ($match, %fault) = @_; $sim->post('/_sim/fault', { path => $path, match => "\"$match\"", %fault }); return; }

# ---- jobs in order, by our own key --------------------------------------------

my @ids = split(/\|/, $admin->ok('SELECT ' . join(', ',
	enqueuing('create_customer', customer('A1', individual => { first_name => 'a/b', last_name => 'l', address_country => 'KH' }), 'paycombat'),
	enqueuing('update_customer', { organization_reference_id => 'A1', description => 'later' }, 'paycombat'),
	enqueuing('disable_customer', { organization_reference_id => 'A1' }, 'paycombat'))));
becomes($admin, $_, 'done', "job $_ is done") foreach @ids;
is(effects($sim, 'A1'), 'create(A1) update(later) update(later)', 'in order, and of the customer that the first made');
is($admin->ok("SELECT is_active, customer ->> 'description', customer_id = (SELECT response ->> 'customer_id' FROM bill24.outbox WHERE id = $ids[0]), deleted_at IS NULL"
	  . " FROM bill24.paycombat_customer WHERE organization_reference_id = 'A1'"),
	'f|later|t|t', 'the answers are kept');
my $id = enqueue($admin, 'delete_customer', { organization_reference_id => 'A1' }, 'paycombat');
becomes($admin, $id, 'done', 'it is deleted');
is($admin->ok("SELECT deleted_at IS NOT NULL FROM bill24.paycombat_customer WHERE organization_reference_id = 'A1'"), 't', 'and a tombstone stays');
$id = enqueue($admin, 'update_customer', { organization_reference_id => 'nobody', description => 'x' }, 'paycombat');
becomes($admin, $id, 'parked', 'a customer that nobody knows');
like(job($admin, $id, 'error'), qr/no customer_id is known/, 'and why');

# ---- a table of customers ------------------------------------------------------

# The jobs of a key, in order.
sub jobs_of { return "SELECT string_agg(operation || ' ' || state, ' ' ORDER BY id) FROM bill24.outbox WHERE key = '$_[0]'"; }

$admin->ok('CREATE TABLE tenant (code text PRIMARY KEY, kind text DEFAULT $$individual$$, label text, person json, note text);'
	  . 'CREATE TRIGGER paycombat AFTER INSERT OR UPDATE OR DELETE ON tenant FOR EACH ROW EXECUTE FUNCTION'
	  . " paycombat_customer_trigger('organization_reference_id=code', 'type=kind', 'description=label', 'individual=person')");
$admin->ok(q{INSERT INTO tenant (code, label, person) VALUES ('G1', 'one', '{"first_name": "a/b", "last_name": "ក", "address_country": "KH"}')});
$admin->ok("UPDATE tenant SET label = 'two' WHERE code = 'G1'");
$admin->ok("UPDATE tenant SET note = 'of no interest' WHERE code = 'G1'");
$admin->ok("DELETE FROM tenant WHERE code = 'G1'");
comes($admin, jobs_of('G1'), 'paycombat_create_customer done paycombat_update_customer done paycombat_delete_customer done',
	'what is done to a row is done to a customer');
is(effects($sim, 'G1'), 'create(one) update(two) delete(two)', 'in order, and each once');
is($admin->ok("SELECT customer -> 'individual' ->> 'first_name', deleted_at IS NOT NULL FROM bill24.paycombat_customer WHERE organization_reference_id = 'G1'"),
	'a/b|t', 'with its document');

$admin->ok("BEGIN; INSERT INTO tenant (code, label) VALUES ('G2', 'never'); UPDATE tenant SET label = 'nor this' WHERE code = 'G2'; ROLLBACK");
$sim->post('/_sim/fault', { path => $path, match => '"G3"', kind => 'status', status => 429, retry_after => 3600 });
$admin->ok("BEGIN; INSERT INTO tenant (code, label) VALUES ('G3', 'one'); UPDATE tenant SET label = 'two' WHERE code = 'G3'; COMMIT");
comes($admin, jobs_of('G3'), 'paycombat_create_customer queued paycombat_update_customer waiting', 'an update waits for the create, and so for its customer_id');
comes($admin, "SELECT attempts, sqlstate FROM bill24.outbox WHERE key = 'G3' ORDER BY id LIMIT 1", '1|KH429', 'which was not taken yet');
is(effects($sim, 'G3'), '', 'nothing has happened');
$admin->ok("SELECT bill24_retry(id) FROM bill24.outbox WHERE key = 'G3' ORDER BY id LIMIT 1");
comes($admin, jobs_of('G3'), 'paycombat_create_customer done paycombat_update_customer done', 'then both are sent');
is(effects($sim, 'G3'), 'create(one) update(two)', 'in order');
is(effects($sim, 'G2') . $admin->ok("SELECT count(*) FROM bill24.outbox WHERE key = 'G2'"), '0', 'of what was rolled back there is nothing');

$admin->ok("UPDATE tenant SET code = 'G4' WHERE code = 'G3'");
comes($admin, "SELECT string_agg(organization_reference_id || ' ' || (deleted_at IS NULL), ' ' ORDER BY organization_reference_id) FROM bill24.paycombat_customer WHERE organization_reference_id IN ('G3', 'G4')",
	'G3 false G4 true', 'another key is another customer');

# ---- looks -----------------------------------------------------------------------

# "Elsewhere" is another client of the same merchant, whose calls are not told
# to the mirror of the server that is looked at.
my $detail = '/api/v1/customer/customer/{customer_id}';
my %every_second = (mirror => 'true', sync_interval => '1s', min_sync_interval => '1s');

$admin->ok(server('looked', %every_second) . ';' . server('elsewhere'));

sub kept { return "SELECT $_[1] FROM bill24.paycombat_customer WHERE organization_reference_id = '$_[0]' AND server = 'looked'"; }
sub tracked { return "SELECT $_[1] FROM bill24.tracked WHERE sync_code = '$_[0]' AND server = 'looked'"; }
sub elsewhere { return $admin->ok("SELECT (paycombat_$_[0]_customer('$_[1]'$_[2], server => 'elsewhere')).organization_reference_id"); }

$id = enqueue($admin, 'create_customer', customer('V1', individual => { first_name => 'a', last_name => 'b', address_country => 'KH' }), 'looked');
becomes($admin, $id, 'done', 'a customer of a job');
my %customer_id = (V1 => job($admin, $id, "response ->> 'customer_id'"));
$customer_id{V2} = $admin->ok("SELECT (paycombat_create_customer('individual', 'V2', organization_reference_id => 'V2', server => 'looked')).customer_id");
foreach my $code ('V1', 'V2')
{
	comes($admin, tracked($code, 'read_at IS NOT NULL, failures, error IS NULL'), 't|0|t', "$code is looked at");
	my $synced = $admin->ok(kept($code, 'synced_at'));
	comes($admin, kept($code, "synced_at > '$synced'"), 't', "$code is looked at again");
	is($admin->ok(kept($code, 'changed_at < synced_at')), 't', "$code has not changed");
	elsewhere('update', $customer_id{$code}, ", description => 'changed $code', individual => '{\"first_name\": \"c\"}'");
	comes($admin, kept($code, "customer ->> 'description', customer -> 'individual' ->> 'first_name', customer_id = '$customer_id{$code}', deleted_at IS NULL"),
		"changed $code|c|t|t", "$code: what others changed arrives");
	elsewhere('disable', $customer_id{$code}, '');
	comes($admin, kept($code, 'is_active'), 'f', "$code: that it was disabled as well");
}
is($admin->ok("SELECT count(*) FROM bill24.paycombat_customer WHERE server = 'elsewhere'"), 2, 'a server that is not mirrored has what its calls told');
is($admin->ok("SELECT count(*) FROM bill24.tracked WHERE server = 'elsewhere'"), 0, 'and no looks');

# A look that fails leaves what is known, and says why.
$sim->post('/_sim/fault', { path => $detail, match => $customer_id{V1}, kind => 'status', status => 500, count => -1 });
comes($admin, tracked('V1', 'failures > 1, sqlstate, error'), qr/^t\|KH500\|.*HTTP status 500/, 'a look that fails says why');
is($admin->ok(kept('V1', "customer ->> 'description', deleted_at IS NULL")), 'changed V1|t', 'and leaves what is known');
my $failing_since = $admin->ok(kept('V1', 'synced_at'));
comes($admin, tracked('V2', "read_at > (SELECT failed_at FROM bill24.tracked WHERE sync_code = 'V1' AND server = 'looked')"), 't', 'others are looked at');
is($admin->ok(kept('V1', 'synced_at')), $failing_since, 'it was not read meanwhile');
$sim->post('/_sim/clear_faults');
comes($admin, tracked('V1', 'failures, sqlstate IS NULL, error IS NULL'), '0|t|t', 'one that succeeds makes it good');
comes($admin, kept('V1', "synced_at > '$failing_since'"), 't', 'and is the last');

# A 404 of a path that is not there says nothing of a customer.
$sim->post('/_sim/fault', { path => $detail, match => $customer_id{V1}, kind => 'status', status => 404, body => 'no such page', count => -1 });
comes($admin, tracked('V1', 'failures > 1, sqlstate'), 't|08P01', 'a path that is not there');
is($admin->ok(kept('V1', 'deleted_at IS NULL')), 't', 'is no customer that is gone');
$sim->post('/_sim/clear_faults');

# Gone, after it was seen and before.
elsewhere('delete', $customer_id{V1}, '');
comes($admin, kept('V1', "deleted_at IS NOT NULL, customer ->> 'description'"), 't|changed V1', 'a customer that is gone keeps its last data');
is($admin->ok(tracked('V1', 'failures')), 0, 'and that is no failure');
$admin->ok('BEGIN');
$customer_id{V3} = $admin->ok("SELECT (paycombat_create_customer('individual', 'V3', organization_reference_id => 'V3', server => 'looked')).customer_id");
elsewhere('delete', $customer_id{V3}, '');
is($admin->ok(kept('V3', 'deleted_at IS NULL')), 't', 'one that others deleted before it was ever looked at');
$admin->ok('COMMIT');
comes($admin, kept('V3', 'deleted_at IS NOT NULL'), 't', 'is seen to be gone');
is($admin->ok(tracked('V3', 'failures, read_at IS NOT NULL')), '0|t', 'which is no failure either');

# What calls tell while a look is under way is the last word, also if our key
# becomes another customer's.
my $again = q{paycombat_create_customer('individual', 'again', organization_reference_id => 'V2', server => 'looked')};
$admin->ok("ALTER SERVER looked OPTIONS (SET request_timeout '10s')");
$sim->post('/_sim/fault', { path => $detail, match => $customer_id{V2}, kind => 'delay', ms => 2000 });
wait_until('a look is under way', sub { grep { $_->{hits} > 0 } @{ $sim->get('/_sim/fault') } });
$admin->ok("SELECT paycombat_delete_customer(organization_reference_id => 'V2', server => 'looked')");
my $second_id = $admin->ok("SELECT (x).customer_id FROM (SELECT $again OFFSET 0) s (x)");
comes($admin, kept('V2', 'changed_at < synced_at, deleted_at IS NULL, customer_id') , "t|t|$second_id",
	'a late answer does not bring back a customer that is not the one of the key any more');
elsewhere('update', $second_id, ", description => 'the second'");
comes($admin, kept('V2', "customer ->> 'description', customer_id"), "the second|$second_id", 'and the new one is looked at');
$sim->post('/_sim/clear_faults');

$admin->ok("ALTER SERVER looked OPTIONS (SET mirror 'false')");
$admin->ok("SELECT paycombat_create_customer('individual', 'V4', organization_reference_id => 'V4', server => 'looked')");
is($admin->ok(tracked('V4', 'count(*)')), 0, 'without the mirror nobody is looked at');
is($admin->ok(kept('V4', 'count(*)')), 1, 'but what calls tell is kept');
is(effects($sim, 'V1'), 'create(V1) update(changed V1) update(changed V1) delete(changed V1)', 'looks change nothing');
$admin->ok('DROP SERVER looked CASCADE; DROP SERVER elsewhere CASCADE');

# ---- a create whose answer was lost --------------------------------------------

my %had_effect = (drop_before => 0, drop_after => 1, reset_after => 1, half_body => 1, garbage => 1, status => 0, delay => 1);
foreach my $kind (sort keys %had_effect)
{
	fault("L-$kind", kind => $kind, ($kind eq 'delay' ? (ms => 2500) : ()));
	$id = create("L-$kind");
	becomes($admin, $id, 'parked', "$kind: it is left to a person");
	like(job($admin, $id, 'error'), qr/cannot be looked up, and is sent again only with the server option resend_unknown/, "$kind: with the reason");
	is(created("L-$kind"), $had_effect{$kind}, "$kind: not sent a second time");
	is(job($admin, $id, 'attempts'), 1, "$kind: one attempt");
}

# What comes behind it waits, and goes on when a person has decided.
my $behind = enqueue($admin, 'update_customer', { organization_reference_id => 'L-drop_after', description => 'x' }, 'paycombat');
comes($admin, "SELECT state FROM bill24.outbox WHERE id = $behind", 'waiting', 'the next job waits');
$id = $admin->ok("SELECT id FROM bill24.outbox WHERE key = 'L-drop_after' AND state = 'parked'");
my $lost = (grep { $_->{key} eq 'L-drop_after' } @{ $sim->get('/_sim/effects') })[0]{customer_id};
is($admin->ok("SELECT (paycombat_update_customer('$lost', organization_reference_id => 'L-drop_after')).customer_id"), $lost,
	'a person finds the customer, and has its key kept');
$admin->ok("SELECT bill24_resolve($id, 'done', 'it was there')");
becomes($admin, $behind, 'done', 'the next job is sent');
is(created('L-drop_after'), 1, 'there is one customer');

# A person may as well say that it is to be sent again.
$id = $admin->ok("SELECT id FROM bill24.outbox WHERE key = 'L-drop_before' AND state = 'parked'");
$admin->ok("SELECT bill24_retry($id)");
becomes($admin, $id, 'done', 'sent again by a person');
is(created('L-drop_before'), 1, 'once');

# A worker that ends in the middle.
fault('K1', kind => 'hang');
$admin->ok("ALTER SERVER paycombat OPTIONS (SET request_timeout '60s')");
$id = create('K1');
wait_until('the request is under way', sub { $sim->get('/_sim/stats')->{in_flight} > 0 });
$admin->ok('SELECT pg_terminate_backend(pid) FROM bill24.worker WHERE pid IS NOT NULL');
becomes($admin, $id, 'parked', 'a worker that ended in the middle leaves it to a person');
like(job($admin, $id, 'error'), qr/the outcome is unknown, and paycombat_create_customer cannot be looked up, and is sent again only with/, 'with the reason');
$sim->post('/_sim/clear_faults');
$admin->ok("ALTER SERVER paycombat OPTIONS (SET request_timeout '1s')");

# What was not sent for sure is sent again by itself.
fault('T1', kind => 'status', status => 429, retry_after => 0);
$id = create('T1');
becomes($admin, $id, 'done', 'throttled, and sent again');
is(created('T1'), 1, 'once');

# ---- resend_unknown --------------------------------------------------------------

fault('R1', kind => 'drop_before');
$id = create('R1', 'resends');
becomes($admin, $id, 'done', 'where that is allowed, it is sent again');
is(created('R1') . '|' . job($admin, $id, 'attempts'), '1|2', 'once, in two attempts');
$sim->post('/_sim/config', { paycombat_unique => JSON::PP::true() });
fault('R2', kind => 'drop_after');
$id = create('R2', 'resends');
becomes($admin, $id, 'parked', 'what is there already may be our own');
is(job($admin, $id, 'sqlstate'), 'KH409', 'as the SQLSTATE says');
like(job($admin, $id, 'error'), qr/an earlier attempt may have made it/, 'and the words');
is(created('R2'), 1, 'there is one');
$id = create('R2', 'paycombat');
becomes($admin, $id, 'failed', 'at the first attempt it is refused');
$sim->post('/_sim/config', { paycombat_unique => JSON::PP::false() });

# ---- wrong secrets ---------------------------------------------------------------

$admin->ok("ALTER USER MAPPING FOR PUBLIC SERVER paycombat OPTIONS (SET x_token 'wrong_token_of_nobody')");
$id = create('W1');
comes($admin, "SELECT attempts > 1, sqlstate FROM bill24.outbox WHERE id = $id", 't|28000', 'with a wrong token it is tried again');
is($admin->query("SELECT paycombat_get_customer('c')")->{sqlstate}, '28000', 'a call fails');
$admin->ok("ALTER USER MAPPING FOR PUBLIC SERVER paycombat OPTIONS (SET x_token '$token', SET signature_key 'wrong_key_of_nobody')");
is($admin->query("SELECT paycombat_create_customer('individual', 'x')")->{sqlstate}, '28000', 'so it does with a wrong key');
$admin->ok("ALTER USER MAPPING FOR PUBLIC SERVER paycombat OPTIONS (SET signature_key '$key')");
comes($admin, "SELECT count(bill24_retry(id)) FROM bill24.outbox WHERE id = $id AND state IN ('parked', 'queued')", qr/^[01]$/, 'with the right ones');
becomes($admin, $id, 'done', 'it is done');
is(created('W1'), 1, 'once');

# A server that has become another provider's meanwhile.
$admin->ok(server('changes'));
fault('S1', kind => 'status', status => 429, retry_after => 2);
$id = create('S1', 'changes');
comes($admin, "SELECT attempts FROM bill24.outbox WHERE id = $id", 1, 'one attempt');
$admin->ok("DROP SERVER changes CASCADE; CREATE SERVER changes FOREIGN DATA WRAPPER bill24 OPTIONS (base_url '$url', allow_http 'true');"
	  . "CREATE USER MAPPING FOR PUBLIC SERVER changes OPTIONS (token 't', client_id 'c', secret 's')");
becomes($admin, $id, 'parked', 'it is not sent to somebody else');
like(job($admin, $id, 'error'), qr/not a server of foreign-data wrapper "paycombat" any more/, 'and says why');
$admin->ok("SELECT bill24_cancel($id)");

# ---- signatures, as Node sees them -------------------------------------------------

SKIP:
{
	my $version = `node --version 2>/dev/null`;

	skip 'there is no Node', 3 unless $version =~ /^v\d/;
	my $dir = Bill24Session::scratch();

	# Texts of JSON in every way of writing it; with a seed, so that they are
	# always the same.
	Bill24Test::write_file("$dir/make.js", <<'END');
let s = 20250610;
const rnd = n => (s = (s * 1103515245 + 12345) % 2147483648, Math.floor(s / 65536) % n);
const words = ['a/b', 'ភ្នំពេញ', '서울', '\u2028\u2029', 'x"y\\z', '\u0001\u001f\u007f', '😀', '', 'é<>&\''];
const keys = ['b', 'a', '10', '2', '0', '01', '-1', '4294967294', '4294967295', 'a.b', '', '__proto__', 'ក', 'constructor', 'length'];
function number() {
	const b = new DataView(new ArrayBuffer(8));
	for (;;) {
		let n;
		switch (rnd(7)) {
			case 0: n = rnd(1000); break;
			case 1: n = -rnd(32768) / 100; break;
			case 2: n = Math.pow(2, rnd(2000) - 1000); break;
			case 3: n = Number(rnd(10) + 'e' + (rnd(600) - 300)); break;
			case 4: n = 9007199254740991 - rnd(1000); break;
			case 5: n = rnd(32768) / 32768; break;
			default: for (let i = 0; i < 8; i++) b.setUint8(i, rnd(256)); n = b.getFloat64(0);
		}
		if (Number.isFinite(n)) {
			const form = rnd(3);
			let t = form == 0 ? String(n) : form == 1 ? n.toExponential() : String(n) + (/^-?\d+$/.test(String(n)) ? '.000' : /e/.test(String(n)) ? '' : '00');
			return t.replace('e+', rnd(2) ? 'E+' : 'e');
		}
	}
}
function text() {
	const t = JSON.stringify(words[rnd(words.length)] + words[rnd(words.length)]);
	return rnd(2) ? t.replace(/\//g, '\\/') : t.replace(/[^\x00-\x7f]/g, c => '\\u' + c.charCodeAt(0).toString(16).padStart(4, '0').toUpperCase());
}
const space = () => ['', ' ', '\n', '\t ', ''][rnd(5)];
function value(depth) {
	switch (rnd(depth > 3 ? 4 : 6)) {
		case 0: return ['null', 'true', 'false'][rnd(3)];
		case 1: case 2: return number();
		case 3: return text();
		case 4: return '[' + Array.from({length: rnd(4)}, () => space() + value(depth + 1) + space()).join(',') + ']';
		default: return object(depth + 1);
	}
}
function object(depth) {
	return '{' + Array.from({length: rnd(6)}, () => space() + JSON.stringify(keys[rnd(keys.length)]) + space() + ':' + space() + value(depth)).join(',') + '}';
}
for (let i = 0; i < 200; i++)
	console.log(Buffer.from(object(0)).toString('hex'));
END
	Bill24Test::write_file("$dir/check.js", <<'END');
const crypto = require('crypto');
const requests = JSON.parse(require('fs').readFileSync(0, 'utf8'));
let good = 0, bad = [];
for (const r of requests) {
	const hmac = t => crypto.createHmac('sha256', process.argv[2]).update(t).digest('hex');
	if (r.headers.signature === hmac(r.body) && r.headers.signature === hmac(JSON.stringify(JSON.parse(r.body)))) good++;
	else bad.push(r.body + ' becomes ' + JSON.stringify(JSON.parse(r.body)));
}
console.log(good + ' of ' + requests.length + (bad.length ? '\n' + bad.slice(0, 5).join('\n') : ''));
END
	my @texts = split(/\n/, `node $dir/make.js`);
	is(@texts, 200, 'texts of JSON');
	$sim->post('/_sim/config', { record => JSON::PP::true(), paycombat_signature => 'reserialized' });
	my $list = join(', ', map { "'$_'" } @texts);
	is($admin->query("SELECT count((paycombat_create_customer('individual', 'x',"
		  . " metadata => convert_from(decode(t, 'hex'), 'UTF8')::json)).customer_id) FROM unnest(ARRAY[$list]) t")->{rows},
		200, 'they are all accepted by a server that computes the signature of what it has read');
	$sim->post('/_sim/config', { record => JSON::PP::false(), paycombat_signature => 'raw' });
	Bill24Test::write_file("$dir/requests.json", encode_json([ grep { $_->{url} eq $path } @{ $sim->get('/_sim/requests') } ]));
	is(`node $dir/check.js '$key' < $dir/requests.json`, "200 of 200\n", 'Node computes the same signatures, of the bytes and of what it reads in them');
}

# ---- hostile answers -----------------------------------------------------------------

my $known = $admin->ok("SELECT (paycombat_create_customer('individual', 'x', organization_reference_id => 'H1')).customer_id");
foreach my $fault (
	[ '08P01', kind => 'garbage' ], [ '08P01', kind => 'huge', bytes => 8 << 20 ],
	[ '08P01', kind => 'huge', bytes => 64 << 20, gzip => JSON::PP::true() ],
	[ qr/^08P01|08007$/, kind => 'endless' ], [ '08007', kind => 'half_body' ],
	[ '08007', kind => 'drop_after' ], [ '08007', kind => 'slow_body', ms => 100 ],
	[ '08P01', kind => 'body', body => '[' x 100000 ], [ '08P01', kind => 'body', body => "\0\0\0" ],
	[ '08P01', kind => 'body', body_base64 => '/////w==' ],
	[ '08P01', kind => 'patch', set => { 'data.customer_id' => 'x' x 100000 } ],
	[ '08P01', kind => 'patch', set => { 'data.customer_id' => { } } ],
	[ '08P01', kind => 'patch', raw => { 'data.metadata' => '1e400000' } ],
	[ '08P01', kind => 'patch', set => { 'data.description' => "a\0b" } ],
	[ '08P01', kind => 'patch', set => { 'data.individual' => "\0" } ],
	[ '00000', kind => 'patch', set => { 'data.organization_reference_id' => 'y' x 100000 } ],
	[ '00000', kind => 'patch', remove => [ 'message', 'data.org_id', 'data.individual' ] ],
	[ '00000', kind => 'gzip' ])
{
	my ($sqlstate, %fault) = @$fault;

	$sim->post('/_sim/fault', { path => '/api/v1/customer/customer/{customer_id}', %fault });
	my $result = $admin->query("SELECT (paycombat_get_customer('$known')).customer_id");

	like($result->{sqlstate}, ref $sqlstate ? $sqlstate : qr/^$sqlstate$/, "$fault{kind}: $result->{sqlstate}");
	$sim->post('/_sim/clear_faults');
}
is($admin->ok("SELECT count(*) FROM bill24.paycombat_customer WHERE customer_id = '$known' AND organization_reference_id IN ('H1')"), 1, 'what is kept is as it was');

# The same for the worker: each comes to an end, and none holds up the others.
foreach my $body ('{"status":true,"data":{"customer_id":"' . 'x' x 5000 . '"}}', '{"status":true,"data":{"customer_id":"a\u0000b"}}',
	'{"status":true,"data":{"customer_id":"c1","type":"' . 'x' x 5000 . '","is_active":"x","n":1e400000}}')
{
	fault('H' . length($body), kind => 'body', body => $body);
	$id = create('H' . length($body));
	becomes($admin, $id, 'done', 'an answer that cannot be kept is no reason to send again');
}
$id = create('H9');
becomes($admin, $id, 'done', 'others are sent');

# ---- 20 sessions at once -------------------------------------------------------------

my @sessions = map { Bill24Session->new($node) } 1 .. 20;
my $before = $sim->get('/_sim/stats')->{effects}{customers_created};
$sessions[$_]->send("SELECT count((paycombat_create_customer('individual', 'x', organization_reference_id => 'P-$_-' || i)).customer_id) FROM generate_series(1, 5) i")
  foreach 0 .. 19;
is(join('', map { $_->wait->{rows} } @sessions), '5' x 20, '20 sessions create customers at once');
is($sim->get('/_sim/stats')->{effects}{customers_created} - $before, 100, 'each of them once');
is($admin->ok("SELECT count(*), count(DISTINCT customer_id) FROM bill24.paycombat_customer WHERE organization_reference_id LIKE 'P-%'"), '100|100', 'all are kept');
$_->send("SELECT (paycombat_get_customer(organization_reference_id => 'P-0-1')).organization_reference_id") foreach @sessions;
is(join(' ', map { $_->wait->{rows} } @sessions), join(' ', ('P-0-1') x 20), 'and look at the same one');

# Who has changed a row keeps others from it no longer than a moment.
$sessions[0]->ok("BEGIN; SELECT (paycombat_get_customer(organization_reference_id => 'P-0-1')).customer_id");
my $result = $sessions[1]->query("SELECT (paycombat_get_customer(organization_reference_id => 'P-0-1')).description");
is("$result->{sqlstate} $result->{rows}", '00000 x', 'an open transaction keeps nobody from an answer');
$id = enqueue($admin, 'update_customer', { organization_reference_id => 'P-0-1', description => 'y' }, 'paycombat');
becomes($admin, $id, 'done', 'nor a job from its end');
$sessions[0]->ok('ROLLBACK');
$_->end foreach @sessions;

is($admin->ok("SELECT count(*) FROM bill24.outbox WHERE finished_at IS NULL AND state <> 'parked'"), 0, 'nothing is left');
$node->stop;
open(my $log, '<', $node->logfile) or die "could not read the log: $!";
my @bad = grep { /TRAP|PANIC|SIGSEGV|SIGABRT|\Q$token\E|\Q$key\E/ && !/STATEMENT|LOG:  statement/ } <$log>;
is("@bad", '', 'the log has neither a crash nor a secret');
done_testing();
