# shellcheck shell=bash
# To be sourced: what several scripts need.

# Prints the path of a pg_config whose installation has a server, its headers and
# PGXS: PG_CONFIG if that is set, else the newest major of Debian's layout,
# else the one in PATH.  Prints nothing, and fails, when there is none.
find_pg_config()
{
	local candidate

	if [ -n "${PG_CONFIG:-}" ]; then
		command -v "$PG_CONFIG"
		return
	fi
	while IFS= read -r candidate; do
		if pg_config_is_complete "$candidate"; then
			echo "$candidate"
			return 0
		fi
	done < <(debian_binaries pg_config; command -v pg_config)
	return 1
}

# Every /usr/lib/postgresql/N/bin/PROGRAM, the newest N first.
debian_binaries()
{
	local program

	for program in /usr/lib/postgresql/*/bin/"$1"; do
		[ ! -x "$program" ] || echo "$program"
	done | sort -t/ -k5 -rn
}

pg_config_is_complete()
{
	local pgxs bindir headers

	# Debian's client package has PGXS, but not the headers it needs.
	pgxs=$("$1" --pgxs 2>/dev/null) && bindir=$("$1" --bindir 2>/dev/null) &&
		headers=$("$1" --includedir-server 2>/dev/null) &&
		[ -f "$pgxs" ] && [ -x "$bindir/postgres" ] && [ -f "$headers/postgres.h" ]
}

# copy_tree FROM TO: what belongs to the project, without build products.
copy_tree()
{
	local file

	if [ -z "$(git -c safe.directory='*' -C "$1" rev-parse --show-prefix 2>/dev/null || echo none)" ]; then
		# A tracked file may have been deleted.
		git -c safe.directory='*' -C "$1" ls-files -z -co --exclude-standard |
			while IFS= read -r -d '' file; do
				if [ -e "$1/$file" ]; then
					printf '%s\0' "$file"
				fi
			done | tar -C "$1" -cf - --null -T -
	else
		tar -C "$1" -cf - --exclude=.git --exclude='*.o' --exclude='*.bc' \
			--exclude='*.so' --exclude=./build --exclude=./results \
			--exclude=./tmp_check --exclude=./log \
			--exclude=./test/simulator/b24sim .
	fi | tar -C "$2" -xf - --no-same-owner
}
