#!/bin/bash
#
# Runs every SQL example of README.md, in order, in one database.
#
#	test/tools/sandbox.sh run test/demo/readme_examples.sh
#
# Each block that begins with ```sql is a psql script.  It must succeed, unless
# a comment above it says otherwise:
#
#	<!-- refused KH409 -->	it ends with that SQLSTATE
#	<!-- run: SQL -->		not for readers: runs first
#
# Addresses, credentials and files that stand for the reader's own are replaced
# by the sandbox's.  Output is only compared with what is said here; what the
# results are is for the other tests.  Prints TAP.

set -euo pipefail

readme=${1:-README.md}
[ -r "$readme" ] || { echo "readme_examples: $readme is not there" >&2; exit 2; }

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

(
	umask 077
	cat >"$dir/bill24.json" <<END
{"token": "00000000-0000-4000-8000-000000000001", "client_id": "demo_client",
 "secret": "demo-secret", "hash_token": "demo-hash-token"}
END
)

# The simulator's own.
x_token=snd_eyJtZXJjaGFudF9pZCI6IjU3NzMxMWM3LTk3ODgtNGVjMS04NTAxLTg2YWU2OWIxMzRlNiIsImVudmlyb25tZW50Ijoic2FuZGJveCIsIm9yZ2FuaXphdGlvbiI6Im9yZ181OWI4ZmIyZjUyMjU0Zjk1YWM1NGQwZTE0MGY0ZTQyOSIsImlzc3VlZCI6IjIwMjUtMDYtMTBUMDE6MDk6NDQuMDAwWiJ9

# What the reader replaces, too.
localise()
{
	sed -e "s,'https://merchantapi-demo.bill24.io','$B24SIM_URL'\, allow_http 'true',g" \
		-e "s,'http://127.0.0.1:8080','$B24SIM_URL',g" \
		-e "s,'/etc/postgresql/bill24.json','$dir/bill24.json',g" \
		-e "s,'<merchant token>','00000000-0000-4000-8000-000000000001',g" \
		-e "s,'<client id>','demo_client',g" \
		-e "s,'<secret>','demo-secret',g" \
		-e "s,'<hash token>','demo-hash-token',g" \
		-e "s,'https://api.paycombat.com','$B24SIM_URL'\, allow_http 'true',g" \
		-e "s,'<x token>','$x_token',g" \
		-e "s,'<signature key>','demo-signature-key',g"
}

run_psql()
{
	psql -X -q -v ON_ERROR_STOP=1 -v VERBOSITY=verbose -P pager=off -f - >"$dir/out" 2>&1
}

count=0
failed=0

# run_block LINE EXPECTED: the script in $dir/block must end with that SQLSTATE.
run_block()
{
	local state=00000

	count=$((count + 1))
	localise <"$dir/block" >"$dir/script"
	if ! run_psql <"$dir/script"; then
		state=$(sed -n 's/^.*ERROR:  \([0-9A-Z]\{5\}\): .*/\1/p' "$dir/out" | tail -n 1)
	fi
	if [ "$state" = "$2" ]; then
		echo "ok $count - $readme, line $1${3:+: $3}"
	else
		failed=$((failed + 1))
		echo "not ok $count - $readme, line $1: SQLSTATE ${state:-unknown}, expected $2"
		sed 's/^/# /' "$dir/script" "$dir/out"
	fi
}

line=0
begin=0
inside=false
expected=00000
while IFS= read -r text; do
	line=$((line + 1))
	if $inside; then
		case $text in
			'```')
				run_block "$begin" "$expected" "$(sed -n '/[^[:space:]]/{p;q}' "$dir/block" | cut -c 1-60)"
				inside=false
				expected=00000
				;;
			*) printf '%s\n' "$text" >>"$dir/block" ;;
		esac
		continue
	fi
	case $text in
		'```sql')
			inside=true
			begin=$line
			: >"$dir/block"
			;;
		'<!-- refused '*' -->')
			expected=${text#<!-- refused }
			expected=${expected% -->}
			;;
		'<!-- run: '*' -->')
			text=${text#<!-- run: }
			printf '%s\n' "${text% -->}" >"$dir/block"
			run_block "$line" 00000 "(not shown)"
			;;
	esac
done <"$readme"

echo "1..$count"
[ "$count" -gt 0 ] && [ "$failed" = 0 ]
