// Package e2e holds the tests of the real tier: each replica is a process of the fusion program, which may be killed, Bitcoin may be
// the real btcd or bitcoind, Ethereum the real anvil, clients may be JavaScript or a browser. `make e2e` builds what they need and sets
//
//	FUSION_E2E=1          without it the tests skip
//	FUSION_BIN            the fusion program
//	FUSION_FAULT_BIN      the same with an injected clock and disk, for the perturbations slow-disk and clock-skew
//	FUSION_BYZANTINE_BIN  the same, but it does wrong
//	FUSION_NEXT_BIN       the same with the next version of the protocol
//	BTCD_BIN              the btcd program
//	BITCOIND_BIN          the bitcoind program, if it could be had
//	ANVIL_BIN             the anvil program, an Ethereum node
//	CAST_BIN              the cast program, a client of Ethereum
//	WASMTIME_BIN          the program of tools/wasmtime
//	MOTOKO_SAMPLES        the compiled Motoko samples, a directory for each compiler
//	CHROMIUM_BIN          the browser, Chromium or one of its kind
//
// Of the experiments of package faults it runs twelve that are generated. By hand there are more:
//
//	FUSION_MANIFESTS=50     so many seeds; FUSION_SEED=N one alone
//	FUSION_SCENARIOS=1      those that have names, on both schemes: make e2e case=TestScenarios/gg18/halves
//
// Tests that wait more than they compute, for confirmations and finality, and have a network to themselves run beside each other (t.Parallel).
package e2e
