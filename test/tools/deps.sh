#!/bin/bash
#
# deps.sh [run | matrix]: install the packages that are missing, only those.
#
# With "run", what building, the demo and the benchmark need; without, what the
# tests need as well; with "matrix", what matrix.sh needs.  Everything is looked for by what it provides and not by
# package name, so nothing is installed twice and other systems are told what
# to install.  When nothing is missing nothing is started and no network used.

set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
. "$here/lib.sh"

what=${1:-test}
missing=()
as_root=()
no_cluster=/etc/postgresql-common/createcluster.d/bill24-no-cluster.conf

# need PACKAGE COMMAND...: PACKAGE is missing unless COMMAND succeeds.
need()
{
	local package=$1
	shift
	"$@" >/dev/null 2>&1 || missing+=("$package")
}

header()
{
	local dir
	for dir in /usr/include /usr/include/*-linux-* /usr/local/include; do
		[ -f "$dir/$1" ] && return 0
	done
	return 1
}

# Clang's sanitizers and fuzzer are libraries of their own.
fuzzer()
{
	local found
	found=$(find "$(clang -print-resource-dir)/lib/" \
		-name 'libclang_rt.fuzzer*.a' -print -quit) && [ -n "$found" ]
}

pg_regress()
{
	[ -x "$(dirname "$("$pg_config" --pgxs)")/../../src/test/regress/pg_regress" ]
}

look()
{
	missing=()

	if [ "$what" = matrix ]; then
		need mmdebstrap command -v mmdebstrap
		need debian-archive-keyring [ -f /usr/share/keyrings/debian-archive-keyring.gpg ]
		need zstd command -v zstd
		return
	fi

	need gcc command -v gcc
	need libc6-dev header stdio.h
	need make command -v make
	need pkg-config command -v pkg-config
	need libcurl4-openssl-dev header curl/curl.h
	need libjson-c-dev header json-c/json.h
	need libssl-dev header openssl/evp.h
	need libmicrohttpd-dev header microhttpd.h
	need zlib1g-dev header zlib.h
	need uthash-dev header uthash.h

	if pg_config=$(find_pg_config) && pg_config_is_complete "$pg_config"; then
		need postgresql-client pg_regress
	elif [ -n "${PG_CONFIG:-}" ]; then
		echo "deps: $PG_CONFIG is not the pg_config of a PostgreSQL with server and PGXS" >&2
		exit 1
	else
		missing+=(postgresql postgresql-server-dev)
	fi

	if [ "$what" = test ]; then
		need clang command -v clang
		need libclang-rt-dev fuzzer
		need libcmocka-dev header cmocka.h
		need libipc-run-perl perl -MIPC::Run -e 1
		need perl perl -MTest::More -MHTTP::Tiny -MJSON::PP -e 1
		need perl command -v prove
		need openssl command -v openssl
	fi
}

# Package names that depend on what apt has.
resolve()
{
	local package major
	local resolved=()

	# A server that is there already only lacks its development files.
	major=$(debian_binaries postgres | head -n 1 | cut -d/ -f5)
	if [ -z "$major" ] || [ -z "$(apt-cache search --names-only "^postgresql-server-dev-$major\$")" ]; then
		major=$(apt-cache search --names-only '^postgresql-server-dev-[0-9]+$' |
			sed 's/^postgresql-server-dev-\([0-9]*\) .*/\1/' | sort -rn | head -n 1)
	fi
	for package in "${missing[@]}"; do
		case $package in
			postgresql)
				resolved+=("postgresql-$major")
				;;
			postgresql-client | postgresql-server-dev)
				resolved+=("$package-$major")
				;;
			libclang-rt-dev)
				# Older releases have it in a package that clang depends on.
				if [ -n "$(apt-cache search --names-only '^libclang-rt-dev$')" ]; then
					resolved+=("$package")
				fi
				;;
			*)
				resolved+=("$package")
				;;
		esac
	done
	missing=("${resolved[@]}")
}

install()
{
	local status=0

	[ "$(id -u)" = 0 ] || as_root=(sudo)
	as_root+=(env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1)

	"${as_root[@]}" apt-get -o DPkg::Lock::Timeout=600 -qq update ||
		echo "deps: apt-get update failed, going on with the lists there are" >&2
	resolve
	echo "deps: installing ${missing[*]}"

	# Installing Debian's server creates and starts a cluster.  Nobody asked
	# for one here.
	case " ${missing[*]} " in
		*' postgresql-'*)
			trap '"${as_root[@]}" rm -f "$no_cluster"' EXIT
			trap 'exit 1' INT TERM HUP
			"${as_root[@]}" mkdir -p "$(dirname "$no_cluster")"
			echo 'create_main_cluster = false' |
				"${as_root[@]}" tee "$no_cluster" >/dev/null
			;;
	esac
	"${as_root[@]}" apt-get -o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0 -qq -y \
		--no-install-recommends install "${missing[@]}" || status=$?
	return $status
}

look
if [ ${#missing[@]} = 0 ]; then
	echo "deps: nothing is missing"
	exit 0
fi
if ! command -v apt-get >/dev/null; then
	echo "deps: this is not Debian or Ubuntu; needed here are what these packages are there:" >&2
	echo "deps: ${missing[*]}" >&2
	exit 0
fi
install
look
if [ ${#missing[@]} != 0 ]; then
	echo "deps: still missing after the installation: ${missing[*]}" >&2
	exit 1
fi
