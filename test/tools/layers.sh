#!/bin/bash
#
# layers.sh: check the rules of src/ that no compiler checks.
#
#  - includes go strictly downward, as layers.txt lists the levels;
#  - libcurl, json-c and libcrypto are each included by one file;
#  - differences between PostgreSQL versions are in compat.h;
#  - every name that the objects export has one of our prefixes.  PostgreSQL
#    loads modules so that equal names of two extensions would be one.
#
# Objects are looked at if they have been built.

set -euo pipefail
shopt -s nullglob
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../../src"

files=(*.c *.h)
failed=0
complain()
{
	echo "layers: $*" >&2
	failed=1
}

# ---- includes go downward ----

awk '
	FNR == NR {
		if ($0 !~ /^#/ && NF > 0) {
			level++
			for (i = 1; i <= NF; i++)
				rank[$i] = level
		}
		next
	}
	function rank_of(name, stem) {
		stem = name
		sub(/\.[ch]$/, "", stem)
		if (name in rank)
			return rank[name]
		return stem in rank ? rank[stem] : 0
	}
	FNR == 1 && rank_of(FILENAME) == 0 {
		print "layers: src/" FILENAME " has no level in layers.txt"
		bad = 1
	}
	/^[ \t]*#[ \t]*include[ \t]*"/ {
		split($0, part, "\"")
		own = FILENAME
		sub(/\.c$/, ".h", own)
		included = rank_of(part[2])
		if (part[2] != own && included >= rank_of(FILENAME)) {
			print "layers: src/" FILENAME ":" FNR " includes " part[2] ", which is not below it"
			bad = 1
		}
	}
	END { exit bad }
' "$here/layers.txt" "${files[@]}" >&2 || failed=1

# ---- one file each ----

# only_in FILE PATTERN: PATTERN occurs in no other file.
only_in()
{
	local others
	others=$(grep -lE "$2" -- "${files[@]}" | grep -vx "$1" || true)
	[ -z "$others" ] || complain "$2 belongs into $1 alone, and is in: ${others//$'\n'/ }"
}

only_in http.c '#[[:space:]]*include[[:space:]]*[<"]curl/'
only_in json.c '#[[:space:]]*include[[:space:]]*[<"]json-c/'
only_in hmac.c '#[[:space:]]*include[[:space:]]*[<"]openssl/'
only_in compat.h 'PG_(MAJOR)?VERSION_NUM|CATALOG_VERSION_NO'

# ---- pure C stays pure ----

# The files above the line "# B." of layers.txt; a header of PostgreSQL's client
# library would compile without the server's include path.
pure=$(sed -n '/^# B\./q; /^#/d; p' "$here/layers.txt" | tr ' ' '\n' | grep .)
for name in $pure; do
	for file in ${name%.[ch]}.c ${name%.[ch]}.h; do
		[ -f "$file" ] || continue
		! grep -nEi '#[[:space:]]*include.*(postgres|libpq|pg_)' "$file" >&2 ||
			complain "$file must not know PostgreSQL"
	done
done

# ---- everything is looked at ----

folders=(*/)
[ ${#folders[@]} -eq 0 ] || complain "src/ has no subdirectories: ${folders[*]}"

# ---- exported names ----

objects=(*.o)
if [ ${#objects[@]} -gt 0 ]; then
	names=$(nm -g --defined-only -- "${objects[@]}" | awk 'NF == 3 { print $3 }' |
		grep -vE '^(b24_|bill24_|paycombat_|pg_finfo_(bill24|paycombat)_|Pg_magic_func$|_PG_init$)' || true)
	[ -z "$names" ] || complain "exported without a prefix of ours: ${names//$'\n'/ }"
	note="${#objects[@]} objects"
else
	note="no objects built yet, so no exported names"
fi

[ $failed = 0 ] || exit 1
echo "layers: ok (${#files[@]} files, $note)"
