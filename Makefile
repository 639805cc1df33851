# The front door. `make` builds; `make demo` shows it working with a real Kafka; `make check` tests everything.
# What is missing on the machine is installed first (Debian 12 or 13, as root; otherwise it says what to run).
PREFIX ?= /usr/local
RELEASE := build/release
# one moving line on a terminal, nothing but errors elsewhere
NINJA := ninja -C $(RELEASE) $(shell test -t 2 || echo --quiet)
TOOLS := $(patsubst tools/%/main.c,tool_%,$(wildcard tools/*/main.c))

.PHONY: all deps configure demo check bench fuzz mutants install clean help

all: configure
	@$(NINJA) csfle csfle-registry $(TOOLS)

deps:
	@scripts/install-deps build

configure: deps
	@mkdir -p build
	@test -f $(RELEASE)/build.ninja || cmake --preset release -DCSFLE_WERROR=OFF >build/configure.log 2>&1 || { cat build/configure.log; exit 1; }

demo: all
	@scripts/install-deps demo || echo "make demo: without Java, librdkafka's test broker stands in for Kafka" >&2
	@demo/run --tool $(RELEASE)/csfle --registry $(RELEASE)/csfle-registry

check:
	@scripts/install-deps build check demo
	@tests/run

bench: configure
	@$(NINJA)
	@rc=0; for bench in bench/bench_*.c; do $(RELEASE)/$$(basename $$bench .c) || rc=1; done; \
	bench/library_size.sh $(RELEASE)/libcsfle.so || rc=1; \
	bench/register_deks.py $(RELEASE) || rc=1; \
	bench/compare_clients.py $(RELEASE) || rc=1; exit $$rc

fuzz: deps
	@scripts/fuzz --minutes $(or $(MINUTES),10) --report

mutants: deps
	@scripts/install-deps build check
	@cmake --preset debug >build/configure.log 2>&1 || { cat build/configure.log; exit 1; }
	@ninja -C build/debug $(shell test -t 2 || echo --quiet)
	@scripts/mutants build/debug

install: all
	@cmake -S . -B $(RELEASE) -DCMAKE_INSTALL_PREFIX="$(PREFIX)" >/dev/null # csfle.pc holds the prefix
	@DESTDIR="$(DESTDIR)" cmake --install $(RELEASE)

clean:
	rm -rf build

help:
	@sed -n '1,2s/^# //p' Makefile; echo "targets: all demo check bench fuzz mutants install clean; MINUTES=$(or $(MINUTES),10) PREFIX=$(PREFIX) DESTDIR=$(DESTDIR)"
