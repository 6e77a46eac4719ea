# t4: `make` alone lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run build test test-all bench bench-compare bench-large bench-store dist format lint

# Arguments for `t4 run` and for the benchmark: make run ARGS="--listen 127.0.0.1:2379"
ARGS ?=

# The engines that the test suites of clients are run on.
ENGINES := lmdb rocksdb leveldb memory
# The engine that the benchmark measures: make bench ENGINE=rocksdb
ENGINE ?= lmdb
# The commit that `make bench-compare` measures beside this tree.
REF ?=

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: build ## Build t4 and run one node with its data in ./data
	exec .build/release/t4 run --data-dir ./data $(ARGS)

build: ## Install what is missing and build the release binary, .build/release/t4
	@scripts/setup build
	swift build -c release --product t4

test: ## Lint, build and run every test that needs minutes at most
	@scripts/test

test-all: ## The above, slow tests, fuzzers, the address sanitizer, models of the cluster protocol, packages, and what other etcd clients and Patroni do on every engine
	@scripts/test-all $(ENGINES)

bench: build ## Measure t4 beside etcd, both on this machine; ENGINE=rocksdb, leveldb or memory instead of lmdb
	scripts/bench --engine $(ENGINE) $(ARGS)
	$(if $(ARGS),,scripts/bench --cluster --engine $(ENGINE))

bench-compare: ## Measure this tree beside the commit REF: make bench-compare REF=HEAD~1
	@[[ -n "$(REF)" ]] || { echo "make bench-compare REF=COMMIT: say what to compare with, such as HEAD~1" >&2; exit 64; }
	@scripts/setup build
	scripts/bench-compare "$(REF)" --engine $(ENGINE) $(ARGS)

bench-large: build ## Measure t4 beside etcd with a million keys; ARGS="--keys 20000" for a quick look
	scripts/bench-large --engine $(ENGINE) $(ARGS)

bench-store: build ## Measure checkpoints, restores and durability in an object store
	scripts/bench-store $(ARGS)

dist: ## Make what is handed out, in dist/: a tarball, a Debian package and their checksums
	@scripts/dist

format: ## Format the Swift sources in place
	@scripts/format

lint: ## Check formatting and documentation rules
	@scripts/format --check
