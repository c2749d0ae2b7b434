// Package canisters holds our own canisters, compiled to wasm by `make canisters` and embedded, and the well-known ids under
// which a local network installs them: those of the Internet Computer's mainnet, so that clients work unmodified.
package canisters

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"fusion/ic/principal"
)

// Well-known ids (developer documentation of the Internet Computer, "Chain-key canister IDs").
var (
	CkbtcMinter = principal.MustParse("mqygn-kiaaa-aaaar-qaadq-cai")
	CkbtcLedger = principal.MustParse("mxzaz-hqaaa-aaaar-qaada-cai")
	CkbtcIndex  = principal.MustParse("n5wcd-faaaa-aaaar-qaaea-cai")
	BtcChecker  = principal.MustParse("oltsj-fqaaa-aaaar-qal5q-cai")
	// BitcoinTestnet serves testnet4 and regtest, BitcoinMainnet serves mainnet.
	BitcoinTestnet = principal.MustParse("g4xu7-jiaaa-aaaan-aaaaq-cai")
	BitcoinMainnet = principal.MustParse("ghsi2-tqaaa-aaaan-aaaca-cai")

	EvmRpc       = principal.MustParse("7hfb6-caaaa-aaaar-qadga-cai")
	CkethMinter  = principal.MustParse("sv3dd-oaaaa-aaaar-qacoa-cai")
	CkethLedger  = principal.MustParse("ss2fx-dyaaa-aaaar-qacoq-cai")
	CkethIndex   = principal.MustParse("s3zol-vqaaa-aaaar-qacpa-cai")
	Orchestrator = principal.MustParse("vxkom-oyaaa-aaaar-qafda-cai")
)

//go:embed modules
var modules embed.FS

// ErrNotBuilt says that the binary was compiled before its canisters.
var ErrNotBuilt = errors.New("this binary was built without its canisters; run `make build`")

// Module returns a gzipped wasm module by name: icrc1_ledger, icrc1_archive, icrc1_index, ckbtc_minter, btc_checker, cketh_minter or cketh_orchestrator.
func Module(name string) ([]byte, error) {
	b, err := modules.ReadFile("modules/" + name + ".wasm.gz")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("canister %s: %w", name, ErrNotBuilt)
	}
	return b, err
}
