# Everything a person or CI does here. `make` alone prints this list.
SHELL := /bin/bash -euo pipefail
.DEFAULT_GOAL := help

BIN       := bin
CANISTERS := testnets/canisters/modules
GO_FILES  := $(shell git ls-files -co --exclude-standard '*.go' go.mod go.sum 2>/dev/null)
CANISTER_SRC := $(filter cdk/% ckledger/% btc/% eth/% ic/% chainkey/derive/% internal/% go.mod go.sum,$(filter-out %_test.go,$(GO_FILES)))
# JS are packages of npm: JavaScript clients, one for each version, and the Solidity compiler.
JS := $(addsuffix /node_modules,testnets/js testnets/js/core5 testnets/js/legacy testnets/js/pages eth/contracts)
# FOUNDRY are programs from npm: an Ethereum node and a client of Ethereum.
FOUNDRY := testnets/ethereum/node_modules
FOUNDRY_ARCH := $(shell go env GOOS)-$(shell go env GOARCH)
# fuzztime is how long `make fuzz` stays on each target.
fuzztime ?= 20s
# seeds is how many runs `make experiments` makes; `make simulate` makes 400.
seeds ?= 200
# CHROMIUM is the browser of the real tier.
CHROMIUM ?= $(shell command -v chromium || command -v chromium-browser || command -v google-chrome)
# case picks scenarios of `make e2e`, as a regular expression.
case ?= .

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

$(CANISTERS)/icrc1_ledger.wasm.gz: $(CANISTER_SRC)
	go run ./cdk/build -o $@ ./ckledger/icrc/cmd/ledger

$(CANISTERS)/icrc1_archive.wasm.gz: $(CANISTER_SRC)
	go run ./cdk/build -o $@ ./ckledger/archive/cmd/archive

$(CANISTERS)/ckbtc_minter.wasm.gz: $(CANISTER_SRC)
	go run ./cdk/build -o $@ ./ckledger/ckbtc/cmd/ckbtc

$(CANISTERS)/btc_checker.wasm.gz: $(CANISTER_SRC)
	go run ./cdk/build -o $@ ./ckledger/checker/cmd/checker

$(CANISTERS)/cketh_minter.wasm.gz: $(CANISTER_SRC)
	go run ./cdk/build -o $@ ./ckledger/cketh/cmd/cketh

$(CANISTERS)/icrc1_index.wasm.gz: $(CANISTER_SRC)
	go run ./cdk/build -o $@ ./ckledger/index/cmd/index

$(CANISTERS)/cketh_orchestrator.wasm.gz: $(CANISTER_SRC)
	go run ./cdk/build -o $@ ./ckledger/orchestrator/cmd/orchestrator

.PHONY: canisters
canisters: $(addprefix $(CANISTERS)/,icrc1_ledger.wasm.gz icrc1_archive.wasm.gz icrc1_index.wasm.gz ckbtc_minter.wasm.gz btc_checker.wasm.gz cketh_minter.wasm.gz cketh_orchestrator.wasm.gz) ## compile our canisters to wasm

.PHONY: build
build: canisters ## compile the canisters and bin/fusion
	go build -o $(BIN)/fusion ./cmd/fusion

.PHONY: run
run: build ## start a local network (4 replicas, Bitcoin and Ethereum development nodes) in the foreground
	$(BIN)/fusion up

.PHONY: demo
demo: build ## tell the ckBTC story on a fresh network and check each step
	$(BIN)/fusion demo ckbtc --test

.PHONY: demo-cketh
demo-cketh: build ## tell the ckETH and ckERC20 story likewise
	$(BIN)/fusion demo cketh --test

.PHONY: test
test: canisters ## run all tests that need nothing but Go
	go test -timeout 40m ./...

.PHONY: simulate
simulate: seeds = 400
simulate: ## run the simulations of the ckBTC and ckETH minters at length (seeds=400)
	FUSION_SIM_SEEDS=$(seeds) go test -count=1 -v -timeout 8h -run '^Test(Recovery)?Simulation$$' ./ckledger/ckbtc/... ./ckledger/cketh

.PHONY: race
race: canisters ## run the tests of the concurrent rooms under the race detector
	go test -race -short -timeout 30m ./ic/... ./internal/... ./replica/... ./adapters/... ./cdk/...

.PHONY: e2e
e2e: faulty motoko $(BIN)/btcd bitcoind $(BIN)/rosetta-cli $(BIN)/issuer.wasm.gz $(BIN)/wasmtime $(JS) $(FOUNDRY) chromium ## run the real tier: processes, kills, btcd, bitcoind, anvil, wasmtime, JavaScript clients, a browser (case=REGEXP)
	CHROMIUM_BIN="$$(command -v $(or $(CHROMIUM),chromium))" FUSION_ISSUER=$(CURDIR)/$(BIN)/issuer.wasm.gz \
	ROSETTA_CLI=$(CURDIR)/$(BIN)/rosetta-cli $(FAULTY) BTCD_BIN=$(CURDIR)/$(BIN)/btcd BITCOIND_BIN=$(CURDIR)/$(BIN)/bitcoind WASMTIME_BIN=$(CURDIR)/$(BIN)/wasmtime MOTOKO_SAMPLES=$(CURDIR)/$(BIN)/motoko \
	ANVIL_BIN=$(CURDIR)/$(FOUNDRY)/@foundry-rs/anvil-$(FOUNDRY_ARCH)/bin/anvil CAST_BIN=$(CURDIR)/$(FOUNDRY)/@foundry-rs/cast-$(FOUNDRY_ARCH)/bin/cast \
	go test -count=1 -v -timeout 60m -run '$(case)' ./adapters/bitcoin ./adapters/ethereum/... ./chainkey/... ./eth/contracts ./exchange/rosetta ./replica/signing ./testnets/demo ./testnets/e2e
	FUSION_E2E=1 FUSION_MESSAGES=10000 ANVIL_BIN=$(CURDIR)/$(FOUNDRY)/@foundry-rs/anvil-$(FOUNDRY_ARCH)/bin/anvil \
	go test -count=1 -v -timeout 40m -run '^(TestReplay|TestMembersAndMoney|TestReshareAmongTheSame|TestEthereumChain)$$' ./testnets

.PHONY: $(BIN)/fusion-next
$(BIN)/fusion-next: # the program of a coming version of the protocol, to upgrade to
	go build -tags nextprotocol -o $@ ./cmd/fusion

.PHONY: faulty
faulty: build $(BIN)/fusion-next # programs that do wrong, and one of a coming version
	go run ./testnets/faults/build -o $(BIN)/fusion-faults ./cmd/fusion
	go build -tags byzantine -o $(BIN)/fusion-byzantine ./cmd/fusion

FAULTY = FUSION_E2E=1 FUSION_BIN=$(CURDIR)/$(BIN)/fusion FUSION_FAULT_BIN=$(CURDIR)/$(BIN)/fusion-faults FUSION_BYZANTINE_BIN=$(CURDIR)/$(BIN)/fusion-byzantine FUSION_NEXT_BIN=$(CURDIR)/$(BIN)/fusion-next

.PHONY: experiments
experiments: faulty ## run the experiments with faults: those with names and generated ones, with slow disks, wrong clocks and replicas that misbehave (seeds=200 by default)
	$(FAULTY) FUSION_SCENARIOS=1 FUSION_MANIFESTS=$(seeds) \
	go test -count=1 -v -timeout 24h -run '^(TestScenarios|TestManifests)$$' ./testnets/e2e

.PHONY: newcomer
newcomer: build chromium ## time the way from a clone with empty caches to the first ckBTC in a browser
	CHROMIUM_BIN="$$(command -v $(or $(CHROMIUM),chromium))" FUSION_E2E=1 FUSION_BIN=$(CURDIR)/$(BIN)/fusion FUSION_NEWCOMER=1 \
	go test -count=1 -v -timeout 60m -run '^TestNewcomer$$' ./testnets/e2e

.PHONY: soak
soak: for = 1h
soak: faulty ## work at 70 % of capacity with a perturbation every minute (for=1h by default)
	$(FAULTY) FUSION_SOAK=$(for) go test -count=1 -v -timeout 48h -run '^TestSoak$$' ./testnets/e2e

$(BIN)/btcd: tools/go.mod
	go build -modfile=tools/go.mod -o $@ github.com/btcsuite/btcd

# bitcoind comes from a package of Debian sid; where there is none it says so and the tests that want it are skipped.
.PHONY: bitcoind
bitcoind:
	@test -x $(BIN)/bitcoind || { mkdir -p $(BIN); tools/bitcoind/fetch.sh $(BIN)/bitcoind; }

$(BIN)/rosetta-cli: tools/rosetta/go.mod
	cd tools/rosetta && go build -o ../../$@ github.com/coinbase/rosetta-cli

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

.PHONY: contracts
contracts: eth/contracts/node_modules ## compile the Solidity contracts and write their bindings, both of which are committed
	@mkdir -p $(BIN)
	rm -rf eth/contracts/artifacts
	node eth/contracts/build.mjs eth/contracts/artifacts $(BIN)/contracts.json
	go run github.com/ethereum/go-ethereum/cmd/abigen@v1.17.8 --v2 --combined-json $(BIN)/contracts.json --pkg contracts --out eth/contracts/bindings.go

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
	go vet -tags byzantine ./replica/...
	go vet -tags nextprotocol ./replica/machine
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
	rm -rf $(BIN) $(CANISTERS)/*.wasm.gz $(JS) $(FOUNDRY) examples/motoko/node_modules bench.json
