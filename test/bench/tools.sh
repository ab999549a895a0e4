# shellcheck shell=bash
# To be sourced: what the benchmarks have in common.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

die()
{
	echo "bench: $*" >&2
	exit 1
}

progress()
{
	printf '%4d s  %s\n' "$SECONDS" "$*" >&2
}

[ -n "${B24SIM_URL:-}" ] || die "start this with 'make bench'"
command -v pgbench >/dev/null || die "there is no pgbench"

# Once for all parts: a directory, and the bare loop in it.
prepare()
{
	work=$(mktemp -d "${TMPDIR:-/tmp}/bench.XXXXXX")
	bare=$work/bare_loop
	export work bare
	# shellcheck disable=SC2046  # words
	${CC:-cc} -std=gnu99 -O2 -Wall -Wextra -Werror -o "$bare" "$here/bare_loop.c" \
		$(pkg-config --cflags --libs libcurl 2>/dev/null || echo -lcurl)
}

simulator()
{
	"$bare" ask "$B24SIM_URL$1" "${@:2}"
}

set_latency()
{
	simulator /_sim/config "{\"latency_ms\": $1}" >/dev/null
}

sql()
{
	psql -XAtq -v ON_ERROR_STOP=1 "$@"
}

# calculate EXPRESSION, by awk
calculate()
{
	awk "BEGIN { printf \"%.9g\", $1 }"
}

median()
{
	printf '%s\n' "$@" | sort -g |
		awk '{ v[NR] = $1 } END { print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'
}

# A number as people read it.
pretty()
{
	if [ "$2" = /s ]; then
		printf '%.0f' "$1" | sed ':a; s/\B[0-9]\{3\}\>/,&/; ta'
		printf '/s'
	else
		printf '%.3f s' "$1"
	fi
}

# A process may use a third of its files for sockets.
raise_file_limit()
{
	local hard
	[ "$(sql -c 'SHOW max_files_per_process')" != 4000 ] || return 0
	hard=$(ulimit -Hn)
	[ "$hard" != unlimited ] && [ "$hard" -lt 8192 ] || hard=8192
	ulimit -Sn "$hard"
	[ "$hard" -ge 2000 ] || echo "bench: with $hard files 512 calls at once will fail" >&2
	sql -c 'ALTER SYSTEM SET max_files_per_process = 4000'
	pg_ctl --wait --mode=fast --log="$work/postgresql.log" restart >"$work/stdout" 2>&1 ||
		die "could not restart the server: $(cat "$work/stdout" "$work/postgresql.log")"
}

# own_memory PID: what a process takes besides shared memory, in kB.  The page
# of a shared buffer that no other process has touched counts as private in
# smaps, and would be taken for the process's own.
own_memory()
{
	awk '/^VmRSS:/ { rss = $2 } /^RssShmem:/ { shared = $2 } END { print rss - shared }' "/proc/$1/status"
}

machine()
{
	printf '%s cores (%s), kernel %s' "$(nproc)" \
		"$(sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo | head -n 1)" "$(uname -sr)"
}
