#!/bin/bash
#
# matrix.sh: build with -Werror and run the tests on several PostgreSQL majors,
# each in a root directory of the Debian release that has it.
#
#	MAJORS="13 17"            which (13 15 17 18)
#	B24_SUITES="regress tap"  which suites of sandbox.sh (regress)
#
# Needs root and a Debian mirror.  The roots are kept, packed, in
# ${XDG_CACHE_HOME:-~/.cache}/bill24; delete them there to get newer packages.

set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
tree=$(cd "$here/../.." && pwd)
. "$here/lib.sh"

majors=${MAJORS:-13 15 17 18}
read -ra suites <<<"${B24_SUITES:-regress}"
cache=${XDG_CACHE_HOME:-$HOME/.cache}/bill24

# What a root contains, besides PostgreSQL.  PostgreSQL's server development
# package is unpacked without its dependencies, which are all of LLVM.
packages=(gcc libc6-dev make pkg-config libcurl4-openssl-dev libjson-c-dev
	libssl-dev libmicrohttpd-dev zlib1g-dev uthash-dev
	perl libipc-run-perl openssl)

# In the order of preference: the development release loses a major some time
# before the next release gets it.
releases_of()
{
	case $1 in
		13) echo bullseye ;;
		15) echo bookworm ;;
		17) echo trixie ;;
		18) echo sid forky ;;
		*) echo "matrix: no Debian release is known to have PostgreSQL $1" >&2; return 1 ;;
	esac
}

if [ "$(id -u)" != 0 ]; then
	echo "matrix: needs root, for the root directories of other releases" >&2
	exit 1
fi
bash "$here/deps.sh" matrix
work=$(mktemp -d "${TMPDIR:-/tmp}/bill24-matrix.XXXXXX")
child=

clean_up()
{
	local status=$?

	trap '' INT TERM HUP
	trap - EXIT
	set +e
	if [ -n "$child" ]; then
		# mmdebstrap takes its own directory along; everything inside a root is
		# in a process namespace that ends with its first process.
		kill -TERM "$child" 2>/dev/null
		wait "$child"
	fi
	rm -rf --one-file-system "$work"
	exit $status
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

# In the background, since a trap would wait for the foreground.
run()
{
	local status=0

	"$@" </dev/null &
	child=$!
	wait "$child" || status=$?
	child=
	return $status
}

mirror()
{
	# shellcheck disable=SC2016  # apt fills these in
	{
		apt-get indextargets --format '$(ORIGIN) $(LABEL) $(REPO_URI)' 2>/dev/null |
			sed -n 's/^Debian Debian //p'
		echo http://deb.debian.org/debian
	} | sed 's,/$,,' | head -n 1
}

# build_root RELEASE MAJOR FILE
build_root()
{
	local release=$1 major=$2 file=$3
	local include

	include=$(IFS=,; echo "${packages[*]},postgresql-$major")
	# Release files of the development releases may read as expired.
	# shellcheck disable=SC2016  # mmdebstrap's $1
	run mmdebstrap --quiet --mode=root --variant=apt --include="$include" \
		--aptopt='Acquire::Check-Valid-Until "false"' \
		--dpkgopt='path-exclude=/usr/share/doc/*' \
		--dpkgopt='path-exclude=/usr/share/man/*' \
		--dpkgopt='path-exclude=/usr/share/locale/*' \
		--essential-hook='mkdir -p "$1/etc/postgresql-common/createcluster.d"' \
		--essential-hook='echo "create_main_cluster = false" >"$1/etc/postgresql-common/createcluster.d/no-cluster.conf"' \
		--customize-hook="chroot \"\$1\" sh -ec 'cd /var/tmp; apt-get -qq download postgresql-server-dev-$major; dpkg -x postgresql-server-dev-*.deb /; rm *.deb'" \
		"$release" "$work/new.tar.zst" "$mirror"
	mkdir -p "$cache"
	mv "$work/new.tar.zst" "$file.$$"
	mv "$file.$$" "$file"
}

# In namespaces of its own: the kernel ends what a test leaves running, and
# nothing is mounted outside.
run_in_root()
{
	local root=$1
	shift

	# shellcheck disable=SC2016  # for the inner shell
	run unshare --mount --pid --ipc --fork --kill-child sh -ec '
		root=$1
		shift
		mount -t proc proc "$root/proc"
		mount -t tmpfs tmpfs "$root/dev/shm" || { mkdir -p "$root/dev/shm"; mount -t tmpfs tmpfs "$root/dev/shm"; }
		chmod 1777 "$root/dev/shm"
		exec chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
			LC_ALL=C.UTF-8 B24_NO_DEPS=1 "$@"
	' sh "$root" "$@"
}

# try MAJOR: leaves a line for the report in $line, and fails with the tests.
try()
{
	local major=$1
	local release file='' start=$SECONDS root="$work/root" status=0 releases recipe

	releases=$(releases_of "$major") || { line="PostgreSQL $major: no such release"; return 1; }
	recipe=$(echo "${packages[*]}" "$mirror" | sha256sum | cut -c 1-8)
	for release in $releases; do
		file=$cache/$release-$major-$(dpkg --print-architecture)-$recipe.tar.zst
		[ ! -f "$file" ] || break
		file=
	done
	if [ -z "$file" ]; then
		for release in $releases; do
			file=$cache/$release-$major-$(dpkg --print-architecture)-$recipe.tar.zst
			echo "matrix: PostgreSQL $major: building a root of $release"
			if build_root "$release" "$major" "$file" >"$work/log" 2>&1; then
				break
			fi
			tail -n 20 "$work/log"
			file=
		done
	fi
	if [ -z "$file" ]; then
		line="PostgreSQL $major: could not build its root"
		return 1
	fi

	echo "matrix: PostgreSQL $major on $release"
	mkdir -p "$root"
	run tar -C "$root" --zstd -xpf "$file"
	mkdir "$root/root/bill24"
	copy_tree "$tree" "$root/root/bill24"
	run_in_root "$root" PG_CONFIG="/usr/lib/postgresql/$major/bin/pg_config" \
		bash /root/bill24/test/tools/sandbox.sh test "${suites[@]}" >"$work/log" 2>&1 || status=$?
	[ $status = 0 ] || cat "$work/log"
	line=$(sed -n 's/^==== summary, \(PostgreSQL [^ ]*\).*/\1/p' "$work/log")
	line="${line:-PostgreSQL $major} ($release): $(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$work/log" || echo "did not get to the tests"), $((SECONDS - start)) s"
	rm -rf --one-file-system "$root"
	return $status
}

mirror=$(mirror)
report=()
failed=0
for major in $majors; do
	try "$major" || failed=$((failed + 1))
	report+=("$line")
done
echo
printf '%s\n' "${report[@]}"
[ $failed = 0 ]
