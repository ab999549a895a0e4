#!/bin/bash
#
# sandbox.sh demo | bench | run COMMAND... | test [SUITE...]
#
# Builds a copy of this tree in a fresh directory and runs something there.
# Nothing is installed outside of it, no file of the tree changes, and whatever
# way it ends, nothing is left running and the directory is gone.  Any number
# may run at once.  B24_KEEP=1 keeps the directory.
#
# The programs run as the current user, or as user "postgres" when that is
# root, since a PostgreSQL server refuses to be root's.
#
# demo, bench and run start test/demo/demo.sh, test/bench/run.sh or COMMAND in
# the copy, beside a private PostgreSQL with shared_preload_libraries='bill24'
# and a running simulator, with
#
#	PGHOST, PGPORT, PGUSER, PGDATABASE   the server (a Unix socket)
#	PATH                                 its psql, pg_ctl and so on come first
#	PGDATA                               its data directory
#	B24SIM_URL, B24SIM_PORT              the simulator
#	B24SIM                               its program, to start more of them
#	B24_TEST_CONF                        settings with which other servers find the extension
#	TMPDIR                               for files, in the directory
#
# Nothing is in the database yet, not even the extension.
#
# test runs the suites named, or all: layers unit fuzz regress tap readme.
# B24_FUZZ_SECONDS (60) is how long it fuzzes.
#
# B24_NO_DEPS=1 skips looking for missing packages.

set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
tree=$(cd "$here/../.." && pwd)
. "$here/lib.sh"

mode=${1:-}
case $mode in
	demo | test | bench) shift ;;
	run) shift; [ $# -gt 0 ] || { echo "usage: sandbox.sh run COMMAND..." >&2; exit 2; } ;;
	*) echo "usage: sandbox.sh demo | bench | run COMMAND... | test [SUITE...]" >&2; exit 2 ;;
esac

# ---- leaving nothing ----------------------------------------------------

dir=

# Every process that works in the directory or runs a program of it is ours:
# the directory is new and has a name of its own.
processes()
{
	local process
	for process in /proc/[0-9]*; do
		case $(readlink "$process/cwd" "$process/exe" 2>/dev/null) in
			*"$dir"*) echo "${process#/proc/}" ;;
		esac
	done
}

program()
{
	readlink "/proc/$1/exe"
}

# Ask what is still running to end: servers by an immediate shutdown, which
# takes their children and shared memory along, our own programs outright, as
# they leave nothing, everything else by SIGTERM.  What initdb started is left
# to finish, in a moment, as it would leave its shared memory behind.  Fails
# when nothing is running.
declare -A asked=()
ask_to_end()
{
	local file pid pids parent

	while IFS= read -r -d '' file; do
		pid=$(head -n 1 "$file")
		if [ "$pid" -gt 0 ] 2>/dev/null && [ -z "${asked[$pid]:-}" ]; then
			asked[$pid]=1
			kill -QUIT "$pid"
		fi
	done < <(find "$dir" -name postmaster.pid -print0)

	pids=$(processes)
	for pid in $pids; do
		[ -z "${asked[$pid]:-}" ] || continue
		parent=$(awk '/^PPid:/ { print $2 }' "/proc/$pid/status")
		[[ $(program "$parent") != */initdb ]] || continue
		case $(program "$pid") in
			*/postgres) continue ;;
			"$dir"/*) kill -KILL "$pid" ;;
			*) kill -TERM "$pid" ;;
		esac
		asked[$pid]=1
	done
	[ -n "$pids" ]
}

clean_up()
{
	local status=$? deadline

	trap '' INT TERM HUP
	trap - EXIT
	set +e
	if [ -n "$dir" ]; then
		cd /
		deadline=$((SECONDS + 6))
		while ask_to_end && [ $SECONDS -lt $deadline ]; do
			sleep 0.1
		done 2>/dev/null
		# shellcheck disable=SC2046  # words
		kill -KILL $(processes) 2>/dev/null
		if [ "${B24_KEEP:-0}" = 1 ]; then
			echo "kept: $dir"
		else
			rm -rf "$dir"
		fi
	fi
	exit $status
}

# In the background, since a trap would wait for the foreground, and in a
# session of its own, so that Ctrl-C reaches clean_up alone.
spawn()
{
	setsid "$@" </dev/null &
	spawned=$!
}

run()
{
	spawn "$@"
	wait "$spawned"
}

# run, and keep what was printed in log/NAME as well.
run_logged()
{
	local name=$1
	shift
	run bash -c 'set -o pipefail; log=$1; shift; "$@" 2>&1 | tee "$log"' \
		bash "$dir/log/$name" "${as_user[@]}" "$@"
}

# run, and print what was printed only if it fails.
run_quietly()
{
	run bash -c 'log=$1; shift; "$@" >"$log" 2>&1' bash "$dir/log/quiet" "$@" ||
		{ cat "$dir/log/quiet" >&2; return 1; }
}

# ---- the directory ------------------------------------------------------

make_directory()
{
	local parent=${TMPDIR:-/tmp}

	# Unix sockets live in there, and their paths have little room.
	if [ ${#parent} -gt 30 ] || [[ $parent/ = $tree/* ]] ||
		[[ $parent = *[[:space:]\'\"]* ]] || [ ! -d "$parent" ]; then
		parent=/tmp
	fi
	dir=$(mktemp -d "$parent/bill24.XXXXXX")
	mkdir "$dir/src" "$dir/log" "$dir/tmp" "$dir/dest"
	copy_tree "$tree" "$dir/src"
	if [ "$(id -u)" = 0 ]; then
		user=postgres
		id -u "$user" >/dev/null 2>&1 || user=nobody
		as_user=(setpriv "--reuid=$user" "--regid=$(id -g "$user")" --init-groups)
		chown -R "$user:" "$dir"
	else
		user=$(id -un)
		as_user=()
	fi
	cd "$dir/src"
}

# Nothing of the caller's settings may decide how tests end, except variables
# given to make.
set_environment()
{
	local name overrides=

	case ${MAKEFLAGS:-} in
		*'-- '*) overrides="-- ${MAKEFLAGS#*-- }" ;;
	esac
	for name in ${!PG*} ${!PSQL*} ${!MAKE*} MFLAGS DESTDIR LANGUAGE http_proxy https_proxy \
		all_proxy no_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY; do
		unset "$name"
	done
	export MAKEFLAGS="$overrides"
	export LC_ALL=C.UTF-8 LANG=C.UTF-8 TZ=UTC PAGER=cat
	export HOME="$dir" TMPDIR="$dir/tmp" PATH="$bindir:$PATH"
	export PG_CONFIG="$pg_config"
	export B24SIM="$dir/src/test/simulator/b24sim"
}

build()
{
	local llvm=()

	# Bitcode is for the server's JIT, and takes as long as all the rest.
	[ "$mode" = test ] || llvm=(with_llvm=no)
	if ! command -v "$(sed -n 's/^CLANG = *//p' "$(dirname "$pgxs")/../Makefile.global")" >/dev/null; then
		llvm=(with_llvm=no)
	fi
	run_quietly "${as_user[@]}" make "-j$(nproc)" "PG_CONFIG=$pg_config" "${llvm[@]}" all simulator
	if settings=$(extension_settings); then
		run_quietly "${as_user[@]}" make "PG_CONFIG=$pg_config" "${llvm[@]}" "DESTDIR=$dir/dest" install
	else
		echo "sandbox: this server finds extensions only where it is installed: installing there"
		run_quietly make "PG_CONFIG=$pg_config" "${llvm[@]}" install
	fi
	cat >"$dir/test.conf" <<END
shared_preload_libraries = 'bill24'
$settings
END
	chmod a+r "$dir/test.conf"
	export B24_TEST_CONF="$dir/test.conf"
}

# The settings with which a server finds the extension below dest: Debian's
# own up to 17, PostgreSQL's since 18.
extension_settings()
{
	local known
	known=$("${as_user[@]}" "$bindir/postgres" --describe-config)

	case $known in
		*extension_control_path*)
			echo "extension_control_path = '$dir/dest$sharedir:\$system'" ;;
		*extension_destdir*)
			echo "extension_destdir = '$dir/dest'" ;;
		*)
			return 1 ;;
	esac
	echo "dynamic_library_path = '$dir/dest$pkglibdir:\$libdir'"
}

# ---- demo, bench, run ---------------------------------------------------

start_server()
{
	export PGDATA="$dir/data" PGHOST="$dir/tmp" PGPORT=5432 PGUSER=postgres PGDATABASE=postgres
	run_quietly "${as_user[@]}" initdb --auth=trust --username=postgres --encoding=UTF8 --no-sync
	cat "$dir/test.conf" - >"$dir/data/bill24.conf" <<END
listen_addresses = ''
unix_socket_directories = '$PGHOST'
max_connections = 200
END
	echo "include 'bill24.conf'" >>"$dir/data/postgresql.conf"
	if ! run_quietly "${as_user[@]}" pg_ctl --wait --log="$dir/log/postgresql.log" start; then
		cat "$dir/log/postgresql.log" >&2
		return 1
	fi
}

run_beside_server()
{
	if [ ! -f "$1" ] && ! command -v "$1" >/dev/null; then
		echo "sandbox: there is no $1" >&2
		return 1
	fi
	start_server
	run "${as_user[@]}" test/tools/with_simulator "$@"
}

# ---- test ---------------------------------------------------------------

passed=0
failed=0
summary=

# result SUITE PASSED FAILED [NOTE]
result()
{
	passed=$((passed + $2))
	failed=$((failed + $3))
	summary+=$(printf '%-8s %4d passed, %d failed%s' "$1" "$2" "$3" "${4:+   $4}")$'\n'
}

title()
{
	printf '\n==== %s (%d s) ====\n' "$*" "$SECONDS"
}

count()
{
	grep -cE "$1" "$2" || true
}

test_layers()
{
	title layers
	if run_logged layers make -s "PG_CONFIG=$pg_config" layers; then
		result layers 1 0
	else
		result layers 0 1
	fi
}

test_unit()
{
	local status=0 good bad

	title unit
	run_logged unit make -s "-j$(nproc)" "PG_CONFIG=$pg_config" unit || status=$?
	good=$(count '^ok ' "$dir/log/unit")
	bad=$(count '^not ok ' "$dir/log/unit")
	[ $status = 0 ] || [ "$bad" != 0 ] || bad=1
	if [ "$good$bad" = 00 ]; then
		result unit 0 0 "NOTHING RUN: no test/unit/test_*.c"
	else
		result unit "$good" "$bad"
	fi
}

# The fuzzer has one processor to itself while the others wait for servers.
fuzz_pid=
start_fuzz()
{
	[ -f test/fuzz/fuzz_decode.c ] || return 0
	title fuzz starts
	if run_quietly "${as_user[@]}" make "PG_CONFIG=$pg_config" build/fuzz/fuzz_decode; then
		spawn "${as_user[@]}" nice bash test/tools/fuzz.sh build/fuzz/fuzz_decode >"$dir/log/fuzz" 2>&1
		fuzz_pid=$spawned
	else
		fuzz_pid=failed
	fi
}

finish_fuzz()
{
	if [ -z "$fuzz_pid" ]; then
		result fuzz 0 0 "NOTHING RUN: no test/fuzz/fuzz_decode.c"
	elif [ "$fuzz_pid" = failed ]; then
		result fuzz 0 1 "could not be built"
	else
		title fuzz
		if wait "$fuzz_pid"; then
			tail -n 1 "$dir/log/fuzz"
			result fuzz 1 0
		else
			tail -n 60 "$dir/log/fuzz"
			result fuzz 0 1
		fi
	fi
}

test_regress()
{
	local status=0 good bad test

	title regress
	if [ -z "$(ls test/sql/*.sql 2>/dev/null)" ]; then
		result regress 0 0 "NOTHING RUN: no test/sql/*.sql"
		return
	fi
	cat "$dir/test.conf" - >"$dir/regress.conf" <<END
fsync = off
max_connections = 50
END
	# pg_regress gives up at the first test without an expected output.
	for test in test/sql/*.sql; do
		test=expected/$(basename "$test" .sql).out
		[ -f "$test" ] || "${as_user[@]}" touch "$test"
	done
	run_logged regress timeout --kill-after=10 600 make -s "PG_CONFIG=$pg_config" installcheck \
		"EXTRA_REGRESS_OPTS=--temp-instance=$dir/regress --temp-config=$dir/regress.conf" || status=$?

	# Up to 15 "test name ... ok", then TAP.
	good=$(count '^(ok |test .* \.\.\. ok)' "$dir/log/regress")
	bad=$(count '^(not ok |test .* \.\.\. FAILED)' "$dir/log/regress")
	if [ "$bad" = 0 ] && { [ $status != 0 ] || [ "$good" = 0 ]; }; then
		bad=1
	fi
	if [ "$bad" != 0 ]; then
		if [ -f regression.diffs ]; then
			head -n 300 regression.diffs
		else
			tail -n 40 "$dir/regress/log/postmaster.log" "$dir"/src/log/*.log 2>/dev/null || true
		fi
	fi
	result regress "$good" "$bad"
}

# HTTP/2 is tested behind nginx.  Debian's package would start a web server when
# it is installed, so only its program is unpacked here.  Without it those tests
# are skipped.
find_nginx()
{
	if [ -n "${NGINX:-}" ] || [ -x /usr/sbin/nginx ]; then
		return
	fi
	mkdir "$dir/nginx"
	(cd "$dir/nginx" && timeout 60 apt-get -qq download nginx && dpkg -x nginx_*.deb .) \
		>/dev/null 2>&1 || return 0
	chmod -R a+rX "$dir/nginx"
	if "$dir/nginx/usr/sbin/nginx" -v >/dev/null 2>&1; then
		export NGINX="$dir/nginx/usr/sbin/nginx"
	fi
}

test_tap()
{
	local status=0 good bad skipped note='' name log
	local perl="${pgxs%/makefiles/*}/test/perl"

	title tap
	if [ -z "$(ls test/t/*.pl 2>/dev/null)" ]; then
		result tap 0 0 "NOTHING RUN: no test/t/*.pl"
		return
	fi
	find_nginx
	"${as_user[@]}" mkdir "$dir/tap"
	run_logged tap env TESTDIR="$dir/tap" TESTLOGDIR="$dir/tap/log" TESTDATADIR="$dir/tap/data" \
		PG_REGRESS="${pgxs%/makefiles/*}/test/regress/pg_regress" \
		timeout --kill-after=10 1200 prove --verbose --timer "-j$(nproc)" -I "$perl" -I test/perl test/t/*.pl || status=$?

	good=$(count '^ok [0-9]' "$dir/log/tap")
	bad=$(count '^not ok [0-9]' "$dir/log/tap")
	skipped=$(count '^(ok .*# skip|.* skipped: )' "$dir/log/tap")
	if [ "$bad" = 0 ] && { [ $status != 0 ] || [ "$good" = 0 ]; }; then
		bad=1
	fi
	if [ "$bad" != 0 ]; then
		sed -n 's,^test/t/\(.*\)\.pl .*Wstat.*,\1,p' "$dir/log/tap" | sort -u |
			while IFS= read -r name; do
				for log in "$dir"/tap/log/*"$name"* "$dir"/tap/tmp_check/log/*"$name"*; do
					[ ! -f "$log" ] || { echo "---- the end of ${log##*/}"; tail -n 30 "$log"; }
				done
			done
	fi
	[ "$skipped" = 0 ] || note="$skipped of them skipped"
	result tap "$good" "$bad" "$note"
}

# Every example of the README, beside one server.
test_readme()
{
	local status=0 good bad

	title readme
	start_server
	run_logged readme test/tools/with_simulator test/demo/readme_examples.sh || status=$?
	good=$(count '^ok ' "$dir/log/readme")
	bad=$(count '^not ok ' "$dir/log/readme")
	if [ "$bad" = 0 ] && { [ $status != 0 ] || [ "$good" = 0 ]; }; then
		bad=1
	fi
	result readme "$good" "$bad"
}

run_tests()
{
	local suites=" ${*:-layers unit fuzz regress tap readme} "

	[[ $suites != *' layers '* ]] || test_layers
	[[ $suites != *' unit '* ]] || test_unit
	[[ $suites != *' fuzz '* ]] || start_fuzz
	[[ $suites != *' regress '* ]] || test_regress
	[[ $suites != *' tap '* ]] || test_tap
	[[ $suites != *' readme '* ]] || test_readme
	[[ $suites != *' fuzz '* ]] || finish_fuzz
	title "summary, PostgreSQL ${version#PostgreSQL }"
	printf '%s\n%d passed, %d failed\n' "$summary" "$passed" "$failed"
	[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
}

# ---- main ---------------------------------------------------------------

if [ "${B24_NO_DEPS:-0}" != 1 ]; then
	case $mode in
		test) bash "$here/deps.sh" ;;
		*) bash "$here/deps.sh" run ;;
	esac
fi
if ! pg_config=$(find_pg_config) || ! pg_config_is_complete "$pg_config"; then
	echo "sandbox: there is no PostgreSQL with server and PGXS; see 'make deps'" >&2
	exit 1
fi
pgxs=$("$pg_config" --pgxs)
bindir=$("$pg_config" --bindir)
sharedir=$("$pg_config" --sharedir)
pkglibdir=$("$pg_config" --pkglibdir)
version=$("$pg_config" --version)

umask 022
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP
make_directory
set_environment
build

case $mode in
	demo) run_beside_server test/demo/demo.sh ;;
	bench) run_beside_server test/bench/run.sh ;;
	run) run_beside_server "$@" ;;
	test) run_tests "$@" ;;
esac
