# Countersign. `make help` lists what there is.

SHELL := /bin/bash
.DELETE_ON_ERROR:
BIN := bin
BUF := go tool -modfile=proto/tools.mod buf
LINT := go tool -modfile=.ci/tools.mod staticcheck
GOFILES = $(shell git ls-files -co --exclude-standard '*.go' ':!proto/gen')

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-12s %s\n", $$1, $$2}' Makefile

.PHONY: build
build: ## Build both binaries into bin/
	@mkdir -p $(BIN)
	@echo "building $(BIN)/countersign and $(BIN)/countersignd (the first time takes a few minutes)"
	@go build -trimpath -o $(BIN)/ ./cmd/countersign ./cmd/countersignd

.PHONY: demo
demo: build ## Run a real release through the gate, from an empty folder to a verdict
	@testdata/demo/run.sh

.PHONY: scenarios
scenarios: build ## Tell five published cases, without the built-in policy and with it
	@$(BIN)/countersign policy cases

.PHONY: serve
serve: build ## Start the demo's ledger and leave it running
	@testdata/demo/run.sh --serve

.PHONY: test
test: ## The fast suite
	go test ./...

.PHONY: e2e-sigstore
e2e-sigstore: ## Unmodified clients of Sigstore against a ledger, on loopback (installs them once, which takes minutes)
	@testdata/e2e/sigstore.sh

.PHONY: e2e-tlog
e2e-tlog: build ## Unmodified log tools and witnesses, mirrors and restoring, on loopback (installs them once)
	@testdata/e2e/tlog.sh

.PHONY: e2e-console
e2e-console: build ## Approve with a passkey in a real Chromium, on loopback (apt-get install chromium)
	@testdata/e2e/console.sh

.PHONY: e2e-forge
e2e-forge: build ## An unmodified Gitea in front of a ledger: review, merge, verdict, on loopback (builds it once, which takes twenty minutes)
	@timeout --kill-after=10 600 testdata/e2e/gitea.sh

.PHONY: e2e-plan
e2e-plan: build ## A real OpenTofu plans and applies, and the gate stands between (builds tofu once, which takes long)
	@testdata/e2e/plan.sh

.PHONY: bench
bench: ## Measure; docs/performance.md explains the output
	go test -run '^$$' -bench . -benchmem ./... | tee bench.txt

.PHONY: generate
generate: ## Generate Go from proto/
	$(BUF) generate

.PHONY: check
check: ## Formatting, generated code, vet and lint
	@out=$$(gofmt -l $(GOFILES)); test -z "$$out" || { echo "not gofmt-ed: $$out"; exit 1; }
	go vet ./...
	$(LINT) ./...
	$(BUF) lint proto
	@mkdir -p $(BIN) && cp -r proto/gen $(BIN)/gen-before && $(BUF) generate && diff -r $(BIN)/gen-before proto/gen \
	  || { rm -rf $(BIN)/gen-before; echo "proto/gen is not what buf generates: run make generate"; exit 1; }
	@rm -rf $(BIN)/gen-before

.PHONY: clean
clean: ## Remove what was built and the demo's folder
	rm -rf $(BIN) demo bench.txt
