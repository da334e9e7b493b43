# `make help` lists what there is.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

CAPTURE ?= tests/captures/lossy.pcap
SHARDS ?= 2
SECONDS_EACH ?= 60
REPEAT ?= 5

mosaic := $(or $(CARGO_TARGET_DIR),target)/release/mosaic

.PHONY: help demo test captures fuzz bench doc ci setup

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

setup: ## install what is missing (Debian, root), or say what is
	@.ci/setup build

demo: setup ## build, then replay a real capture with loss and reordering (CAPTURE=FILE for your own)
	cargo build --release --locked --bin mosaic
	@.ci/demo $(mosaic) $(CAPTURE) $(SHARDS)

test: ## run every test (as root, with traffic between network namespaces as well)
	@.ci/setup test
	@.ci/test

captures: ## record tests/captures again (root; between network namespaces)
	@.ci/setup record
	tests/captures/record.sh

fuzz: setup ## run every fuzz target for SECONDS_EACH=60
	.ci/fuzz $(SECONDS_EACH)

bench: setup ## nanoseconds per packet over CAPTURE=FILE, REPEAT=5 times
	cargo build --release --locked --bin mosaic
	$(mosaic) bench replay $(CAPTURE) --shards 1 --repeat $(REPEAT) --actor read --checksums ignore

doc: setup ## the manual and the API, as HTML
	cargo doc --workspace --no-deps --locked

ci: ## what a change must pass
	.ci/run
