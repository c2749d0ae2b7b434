# Everything a person or CI does here. `make` alone prints this list.
SHELL := /bin/bash -euo pipefail
.DEFAULT_GOAL := help

BIN       := bin
CANISTERS := testnets/canisters/modules
GO_FILES  := $(shell git ls-files -co --exclude-standard '*.go' go.mod go.sum 2>/dev/null)
CANISTER_SRC := $(filter cdk/% ckledger/% btc/% ic/% chainkey/derive/% internal/% go.mod go.sum,$(filter-out %_test.go,$(GO_FILES)))
# JS are the packages of JavaScript clients, one for each version.
JS := $(addsuffix /node_modules,testnets/js testnets/js/core5 testnets/js/legacy testnets/js/pages)
# fuzztime is how long `make fuzz` stays on each target.
fuzztime ?= 20s
# CHROMIUM is the browser of the real tier.
CHROMIUM ?= $(shell command -v chromium || command -v chromium-browser || command -v google-chrome)
# case picks scenarios of `make e2e`, as a regular expression.
case ?= .

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

$(CANISTERS)/icrc1_ledger.wasm.gz: $(CANISTER_SRC)
	go run ./cdk/build -o $@ ./ckledger/icrc/cmd/ledger

$(CANISTERS)/ckbtc_minter.wasm.gz: $(CANISTER_SRC)
	go run ./cdk/build -o $@ ./ckledger/ckbtc/cmd/ckbtc

.PHONY: canisters
canisters: $(CANISTERS)/icrc1_ledger.wasm.gz $(CANISTERS)/ckbtc_minter.wasm.gz ## compile our canisters to wasm

.PHONY: build
build: canisters ## compile the canisters and bin/fusion
	go build -o $(BIN)/fusion ./cmd/fusion

.PHONY: run
run: build ## start a local network (4 replicas, a Bitcoin regtest node) in the foreground
	$(BIN)/fusion up

.PHONY: demo
demo: build ## tell the ckBTC story on a fresh network and check each step
	$(BIN)/fusion demo ckbtc --test

.PHONY: test
test: canisters ## run all tests that need nothing but Go
	go test -timeout 40m ./...

.PHONY: race
race: canisters ## run the tests of the concurrent rooms under the race detector
	go test -race -short -timeout 30m ./ic/... ./internal/... ./replica/... ./adapters/... ./cdk/...

.PHONY: e2e
e2e: build motoko $(BIN)/btcd $(BIN)/issuer.wasm.gz $(BIN)/wasmtime $(JS) chromium ## run the real tier: processes, kills, btcd, wasmtime, JavaScript clients, a browser (case=REGEXP)
	CHROMIUM_BIN="$$(command -v $(or $(CHROMIUM),chromium))" FUSION_ISSUER=$(CURDIR)/$(BIN)/issuer.wasm.gz \
	FUSION_E2E=1 FUSION_BIN=$(CURDIR)/$(BIN)/fusion BTCD_BIN=$(CURDIR)/$(BIN)/btcd WASMTIME_BIN=$(CURDIR)/$(BIN)/wasmtime MOTOKO_SAMPLES=$(CURDIR)/$(BIN)/motoko \
	go test -count=1 -v -timeout 60m -run '$(case)' ./adapters/bitcoin ./chainkey/... ./replica/signing ./testnets/e2e
	FUSION_E2E=1 FUSION_MESSAGES=10000 go test -count=1 -v -timeout 40m -run '^(TestReplay|TestMembersAndMoney|TestReshareAmongTheSame)$$' ./testnets

$(BIN)/btcd: tools/go.mod
	go build -modfile=tools/go.mod -o $@ github.com/btcsuite/btcd

$(BIN)/issuer.wasm.gz: $(CANISTER_SRC) testnets/canisters/issuer/issuer.go testnets/canisters/issuer/cmd/issuer/main.go
	go run ./cdk/build -o $@ ./testnets/canisters/issuer/cmd/issuer

.PHONY: chromium
chromium: # installs the browser where there is none and the system has apt; otherwise says what to do
ifeq ($(CHROMIUM),)
	@command -v apt-get >/dev/null || { echo "there is no Chromium: install it, or name its program with CHROMIUM=/path/to/chromium"; exit 1; }
	@sudo=; test "$$(id -u)" = 0 || sudo=sudo; echo "installing Chromium with $$sudo apt-get"; \
	  $$sudo apt-get update -q && DEBIAN_FRONTEND=noninteractive $$sudo apt-get install -y -q --no-install-recommends chromium || \
	  { echo "Chromium could not be installed: install it, or name its program with CHROMIUM=/path/to/chromium"; exit 1; }
endif

.PHONY: motoko
motoko: $(BIN)/motoko/built ## compile the Motoko samples with both compilers, from npm

# A compiler takes half a minute of one core, so both run at once.
$(BIN)/motoko/built: examples/motoko/node_modules examples/motoko/build.mjs $(wildcard examples/motoko/*/*.mo)
	@rm -f $@
	node examples/motoko/build.mjs 3.13 $(BIN)/motoko/3.13 & old=$$!; \
	  node examples/motoko/build.mjs 4.10 $(BIN)/motoko/4.10 && wait $$old
	@touch $@

%/node_modules: %/package.json %/package-lock.json
	cd $* && npm ci --no-audit --no-fund --ignore-scripts
	@touch $@

# The bridge to wasmtime needs cgo; it is a tool beside the product and never part of it.
$(BIN)/wasmtime: tools/go.mod $(wildcard tools/wasmtime/*.go)
	cd tools && CGO_ENABLED=1 go build -tags wasmtime -o ../$@ ./wasmtime

.PHONY: bench
bench: build $(BIN)/wasmtime ## measure, print a table and write bench.json
	$(BIN)/fusion bench -o bench.json

.PHONY: check
check: canisters ## what CI enforces besides the tests: format, vet, static analysis, tidy modules
	@ugly="$$(gofmt -l .)"; test -z "$$ugly" || { echo "gofmt: run gofmt -w on $$ugly"; exit 1; }
	go vet ./...
	go tool -modfile=tools/go.mod staticcheck ./...
	go mod tidy -diff
	go test -count=1 .

.PHONY: fuzz
fuzz: ## run every fuzz target for fuzztime (default 20s)
	@for pkg in $$(go list ./...); do \
	  for f in $$(go test -list '^Fuzz' $$pkg 2>/dev/null | grep ^Fuzz || true); do \
	    echo "== $$pkg $$f"; go test -run '^$$' -fuzz "^$$f$$" -fuzztime $(fuzztime) $$pkg || exit 1; \
	  done; \
	done

.PHONY: clean
clean: ## remove what was built
	rm -rf $(BIN) $(CANISTERS)/*.wasm.gz $(JS) examples/motoko/node_modules bench.json
