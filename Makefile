# `make` lists the targets. Every target installs what it is missing (scripts/setup.sh), by apt, npm and pip.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# The steps share apt, npm and the target folder; cargo itself uses every core.
.NOTPARALLEL:
MAKEFLAGS += --no-builtin-rules --no-print-directory

# A Rust toolchain installed a minute ago is not in this shell's PATH yet.
export PATH := $(HOME)/.cargo/bin:$(PATH)
# FFmpeg with a WHIP muxer, for the tests; Debian 12's own is too old for that.
export WEIR_TEST_FFMPEG := $(CURDIR)/target/tools/ffmpeg

# npm writes this file last, so it is as old as the last complete `npm ci`.
WEB_DEPS := web/node_modules/.package-lock.json
BROWSER_DEPS := tests/browser/node_modules/.package-lock.json
WEB_PAGES := web/dist/index.html
WEB_SOURCES = $(shell find web -type f -not -path '*/node_modules/*' -not -path 'web/dist/*' -not -path 'web/player/dist/*')

SOAK_SECONDS ?= 3600
SOAK_JOINS ?= 100000
SOAK_STREAMS ?= 1000
SOAK_OBS_SECONDS ?= 600
SOAK_HLS_SECONDS ?= 600
# quick, or full: more viewers, longer, five repeats.
BENCH ?= quick

comma := ,
say = @printf '\n==> %s\n' "$(1)"

.PHONY: help run build web test check soak bench lint fmt clean setup setup-bench setup-obs setup-test

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 10

run: build ## Build for release and start the server (flags: make run ARGS="--http-listen 127.0.0.1:9000")
	$(call say,Starting weir; stop it with Ctrl-C)
	cargo run --release --bin weir -- $(ARGS)

build: web ## Build the release binaries, target/release/weir and weir-transcoder beside it
	$(call say,Building weir and its worker for release (a few minutes the first time))
	cargo build --release --locked -p server -p weir-transcoder --bins

web: setup $(WEB_PAGES) ## Build the pages that the binary embeds

test: setup-test lint ## Everything: format, lints, unit and integration tests, real clients, real browser
	$(call say,Checking and testing the pages)
	cd web && npm run check && npm test
	$(call say,Fuzzing every parser for a few seconds)
	scripts/fuzz.sh 5
	$(call say,Building weir and the tests)
	cargo build --locked --workspace --all-targets
	$(call say,Running every test)
	scripts/run-tests.sh

check: web lint ## The quick part of `test`: format, lints, unit tests, the laws of the house
	$(call say,Unit tests and the laws of the house)
	cargo test --locked --workspace --exclude tests --lib --bins
	cargo test --locked -p tests --test architecture

soak: setup-test setup-obs web ## Joins, streams and replaced publishers by the thousand, OBS for SOAK_OBS_SECONDS (600), LL-HLS for SOAK_HLS_SECONDS (600) without and with a cache, then fuzz every parser for SOAK_SECONDS each (an hour if not said)
	$(call say,$(SOAK_JOINS) joins and leaves: memory and files stay flat)
	WEIR_CROWDS=$$(( $(SOAK_JOINS) / 200 )) cargo test --locked -p tests --test many -- --nocapture a_thousand
	$(call say,$(SOAK_STREAMS) streams with one viewer each in ten minutes: memory and files stay flat)
	WEIR_STREAMS=$(SOAK_STREAMS) WEIR_STREAMS_SECONDS=600 cargo test --locked -p tests --test streams -- --nocapture
	$(call say,Three minutes of one viewer and ten changes of publisher; standbys)
	WEIR_SURVIVE=long cargo test --locked -p tests --test browser -- --nocapture --test-threads=1 survive standby
	$(call say,Two minutes of LL-HLS held against the checklist$(comma) and by media-doctor)
	WEIR_HLS=long cargo test --locked -p tests --test hls -- --nocapture --test-threads=1 checklist
	$(call say,OBS for $(SOAK_OBS_SECONDS) seconds$(comma) seen and heard without a freeze)
	cargo build --locked --workspace --bins
	cd tests/browser && WEIR_OBS_SECONDS=$(SOAK_OBS_SECONDS) npm run obs
	$(call say,LL-HLS for $(SOAK_HLS_SECONDS) seconds$(comma) by RTMP and by WHIP$(comma) across a reconnect)
	cd tests/browser && WEIR_HLS_SECONDS=$(SOAK_HLS_SECONDS) npm run hls
	$(call say,The same through nginx as a cache)
	cd tests/browser && WEIR_HLS_CACHE=../nginx.sh WEIR_HLS_SECONDS=$(SOAK_HLS_SECONDS) npm run hls
	$(call say,Fuzzing every parser)
	scripts/fuzz.sh $(SOAK_SECONDS)

bench: web setup-bench ## The benchmarks, each beside its floor (BENCH=full: longer ones); target/bench.json
	$(call say,Building weir and weir-bench for release)
	cargo build --release --locked --bin weir
	cargo build --release --locked -p bench
	$(call say,Parts of the send path by themselves)
	cargo bench --locked -p bench -- $(if $(filter quick,$(BENCH)),--quick) --noplot
	$(call say,The server under load: it on one core$(comma) the load on another)
	target/release/weir-bench suite $(if $(filter quick,$(BENCH)),--quick) $(ARGS)

lint: web
	$(call say,Format and lints)
	cargo fmt --all --check
	cargo fmt --check --manifest-path fuzz/Cargo.toml
	cargo clippy --locked --workspace --all-targets -- -D warnings

fmt: ## Format the Rust code
	cargo fmt --all
	cargo fmt --manifest-path fuzz/Cargo.toml

clean: ## Remove what was built and installed under this folder
	rm -rf target fuzz/target web/dist web/player/dist web/node_modules tests/browser/node_modules

setup:
	@scripts/setup.sh build

setup-bench:
	@scripts/setup.sh bench

setup-obs:
	@scripts/setup.sh obs

setup-test:
	@scripts/setup.sh test
	@$(MAKE) $(BROWSER_DEPS)

$(WEB_PAGES): $(WEB_DEPS) $(WEB_SOURCES)
	$(call say,Building the pages)
	cd web && npm run build

%/node_modules/.package-lock.json: %/package-lock.json
	$(call say,Installing the npm packages of $*)
	cd $* && npm ci --no-audit --no-fund
	@touch $@
