# bill24: build, install and test.  "make help" lists the targets.
#
# Building and installing is PGXS and needs pg_config.  The targets that fetch
# packages and run everything in a throw-away directory (deps, demo, test,
# bench, matrix) need only make and bash, so this file must also parse on a
# machine that has no PostgreSQL yet.

EXTENSION  = bill24
MODULE_big = bill24
EXTVERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'.*/\1/p" bill24.control)
DATA       = $(sort $(wildcard sql/*--*.sql))

# Pure C: these files see no PostgreSQL header.  The unit tests, the fuzzer and
# "make layers" build from this list as well.
B24_PURE = \
	src/status.o \
	src/clock.o \
	src/circuit.o \
	src/bucket.o \
	src/jsontext.o \
	src/json.o \
	src/stringify.o \
	src/hmac.o \
	src/request.o \
	src/sockets.o \
	src/http.o \
	src/endpoint.o \
	src/bill24_provider.o \
	src/bill24_found.o \
	src/paycombat_provider.o \
	src/verdict.o \
	src/codec.o

OBJS = \
	$(B24_PURE) \
	src/serverlimits.o \
	src/stat.o \
	src/options.o \
	src/credentials.o \
	src/account.o \
	src/login.o \
	src/token.o \
	src/text.o \
	src/datum.o \
	src/signature.o \
	src/operation.o \
	src/arguments.o \
	src/outbox.o \
	src/mapping.o \
	src/customer.o \
	src/document.o \
	src/row.o \
	src/report.o \
	src/wait.o \
	src/exchange.o \
	src/shared.o \
	src/roster_table.o \
	src/roster.o \
	src/place.o \
	src/wake.o \
	src/utility.o \
	src/apart.o \
	src/store.o \
	src/lease.o \
	src/home.o \
	src/paycombat_customer.o \
	src/rotation.o \
	src/merge.o \
	src/turn.o \
	src/backlog.o \
	src/outcome.o \
	src/upkeep.o \
	src/seen.o \
	src/columns.o \
	src/transaction.o \
	src/copies.o \
	src/lookgroup.o \
	src/mirror.o \
	src/agenda.o \
	src/visit.o \
	src/site.o \
	src/takeup.o \
	src/synclog.o \
	src/sync.o \
	src/tracked.o \
	src/feed.o \
	src/errand.o \
	src/destination.o \
	src/tidings.o \
	src/delivery_state.o \
	src/setback.o \
	src/claims.o \
	src/ledger.o \
	src/delivery.o \
	src/worker.o \
	src/worker_status.o \
	src/launcher.o \
	src/call.o \
	src/balances.o \
	src/track.o \
	src/wallet_balance.o \
	src/bills.o \
	src/check.o \
	src/monitor.o \
	src/preview.o \
	src/paycombat.o \
	src/enqueue.o \
	src/job.o \
	src/trigger.o \
	src/bill24.o

# ---- flags --------------------------------------------------------------

# json-c's own flags point into its header directory, where a "debug.h" or a
# "json.h" would be found by accident; its parent is what <json-c/json.h> needs.
B24_CPPFLAGS := $(patsubst %/json-c,%,$(shell pkg-config --cflags libcurl json-c libcrypto 2>/dev/null)) \
	-DB24_VERSION='"$(EXTVERSION)"'
B24_LIBS := $(or $(shell pkg-config --libs libcurl json-c libcrypto 2>/dev/null),-lcurl -ljson-c -lcrypto)

# "make WERROR=" for compilers newer than the ones this was tried with.
WERROR = -Werror

# -Wclobbered is wrong about PG_TRY.  Clang has no such flag, and does not know
# some of those that a PostgreSQL built with gcc hands on.
B24_IS_CLANG = $(findstring clang,$(shell $(CC) --version 2>/dev/null))
B24_WARNINGS = -Wall -Wextra $(WERROR) -Wno-unused-parameter \
	-Wno-sign-compare -Wno-missing-field-initializers \
	$(if $(B24_IS_CLANG),-Wno-unknown-warning-option -Wno-ignored-optimization-argument,-Wno-clobbered)

PG_CFLAGS  = -std=gnu99 $(B24_WARNINGS)
SHLIB_LINK = $(B24_LIBS)

# ---- regression tests ---------------------------------------------------

# The launcher gives every psql its own simulator on its own port.  expected/
# is found at the top level because it is looked up where the output goes.
B24_TESTS    := $(sort $(patsubst test/sql/%.sql,%,$(wildcard test/sql/*.sql)))
REGRESS      = $(filter install,$(B24_TESTS)) $(filter-out install,$(B24_TESTS))
REGRESS_OPTS = --inputdir=test --encoding=UTF8 --launcher=test/tools/with_simulator
REGRESS_PREP = simulator

EXTRA_CLEAN = build test/simulator/b24sim test/simulator/*.o META.json bill24-*.zip

# ---- PGXS, when there is one --------------------------------------------

PG_CONFIG ?= pg_config
PGXS := $(wildcard $(shell $(PG_CONFIG) --pgxs 2>/dev/null))

.DEFAULT_GOAL := all

ifneq ($(PGXS),)

# As a system directory PostgreSQL's headers raise no warnings of their own.
PG_CPPFLAGS = -isystem $(shell $(PG_CONFIG) --includedir-server) $(B24_CPPFLAGS)

include $(PGXS)

# No dependency tracking: any header rebuilds everything, which takes seconds.
$(OBJS) $(OBJS:.o=.bc): $(wildcard src/*.h) bill24.control

else

all install installcheck uninstall:
	@echo "bill24: no PGXS found by '$(PG_CONFIG)'." >&2
	@echo "Install PostgreSQL's server development files, or name the right" >&2
	@echo "pg_config:  make PG_CONFIG=/usr/lib/postgresql/15/bin/pg_config" >&2
	@echo "On Debian and Ubuntu, 'make deps' installs everything needed." >&2
	@false

clean:
	rm -rf src/*.o src/*.bc *.so results regression.* $(EXTRA_CLEAN)

endif

# ---- simulator ----------------------------------------------------------

# Always asked, since only its own Makefile knows whether it is up to date.
simulator:
	@$(MAKE) --no-print-directory -C test/simulator CC='$(CC)' b24sim

# ---- checks that need no server -----------------------------------------

# The sanitizer runtime is linked in statically (clang always does), so that it
# starts before the constructors of libraries that libcurl brings: as a shared
# library it starts after them, and deadlocks in one of them on Debian 12.
SAN_FLAGS = -g -O1 -std=gnu99 $(B24_WARNINGS) -D_GNU_SOURCE $(B24_CPPFLAGS) -Isrc \
	-fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
SAN_LINK  = $(if $(B24_IS_CLANG),,-static-libasan)

B24_UNITS = $(patsubst test/unit/%.c,build/unit/%,$(sort $(wildcard test/unit/test_*.c)))

# That the pure files compile without PostgreSQL's include path is the check.
layers:
	$(CC) -fsyntax-only -std=c99 -D_GNU_SOURCE $(B24_WARNINGS) $(B24_CPPFLAGS) $(B24_PURE:.o=.c)
	@bash test/tools/layers.sh

unit: $(B24_UNITS)
	@bash test/tools/unit.sh $(B24_UNITS)

build/unit/%.o: src/%.c $(wildcard src/*.h) bill24.control
	@mkdir -p $(@D)
	$(CC) $(SAN_FLAGS) -c -o $@ $<

build/unit/%: test/unit/%.c $(wildcard test/unit/*.h) $(B24_PURE:src/%=build/unit/%)
	$(CC) $(SAN_FLAGS) $(SAN_LINK) -o $@ $(filter %.c %.o,$^) $(B24_LIBS) -lcmocka

FUZZ_CC = clang
FUZZ_FLAGS = -g -O1 -std=gnu99 -D_GNU_SOURCE $(B24_CPPFLAGS) -Isrc \
	-fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all

fuzz: build/fuzz/fuzz_decode
	@bash test/tools/fuzz.sh $<

build/fuzz/%: test/fuzz/%.c $(B24_PURE:.o=.c) $(wildcard src/*.h) bill24.control
	@mkdir -p $(@D)
	$(FUZZ_CC) $(FUZZ_FLAGS) -o $@ $(filter %.c,$^) $(B24_LIBS)

.SECONDARY:

# ---- everything else is a script ----------------------------------------

deps:
	@bash test/tools/deps.sh

demo test bench:
	@bash test/tools/sandbox.sh $@

chaos:
	@bash test/tools/sandbox.sh run test/chaos/chaos.pl

matrix:
	@bash test/tools/matrix.sh

# PGXN wants three numbers where PostgreSQL is content with two.
META.json: META.json.in bill24.control
	sed 's/@VERSION@/$(EXTVERSION).0/; s/@CONTROL@/$(EXTVERSION)/' $< > $@

dist: META.json
	git archive --format=zip --prefix=bill24-$(EXTVERSION).0/ \
		--add-file=META.json -o bill24-$(EXTVERSION).0.zip HEAD

help:
	@echo "make                   build against the PostgreSQL of PG_CONFIG ($(PG_CONFIG))"
	@echo "make install           install it there"
	@echo "make installcheck      run test/sql against a running server"
	@echo
	@echo "make deps              install the packages needed (Debian, Ubuntu)"
	@echo "make demo              see it work, in a throw-away server"
	@echo "make test              run every test, in a throw-away server"
	@echo "make bench             measure, in a throw-away server"
	@echo "make chaos             kill everything, for long, and look whether a delivery is lost or doubled"
	@echo "make matrix            build and test on several PostgreSQL majors (MAJORS='13 17')"
	@echo
	@echo "make layers            check who includes whom, and the exported names"
	@echo "make unit              unit tests of the pure C, with sanitizers"
	@echo "make fuzz              fuzz the decoder for B24_FUZZ_SECONDS (60)"
	@echo "make simulator         build the stand-in for the remote API"
	@echo "make dist              make the PGXN archive of the last commit"

.PHONY: all install installcheck uninstall clean simulator layers unit fuzz
.PHONY: deps demo test bench chaos matrix dist help
