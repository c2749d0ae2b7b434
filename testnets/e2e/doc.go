// Package e2e holds the tests of the real tier: each replica is a process of the fusion program, which may be killed, Bitcoin may be
// the real btcd, clients may be JavaScript or a browser. `make e2e` builds what they need and sets
//
//	FUSION_E2E=1     without it the tests skip
//	FUSION_BIN       the fusion program
//	BTCD_BIN         the btcd program
//	WASMTIME_BIN     the program of tools/wasmtime
//	MOTOKO_SAMPLES   the compiled Motoko samples, a directory for each compiler
//	CHROMIUM_BIN     the browser, Chromium or one of its kind
package e2e
