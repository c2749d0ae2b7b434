package ckbtc

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"fusion/btc"
	"fusion/cdk"
	"fusion/ckledger/ckbtc/core"
	"fusion/ckledger/minting/ledger"
	"fusion/ic/candid"
	"fusion/ic/principal"
)

// What the minter asks of others: the ledger, the Bitcoin canister, the checker. Only the fields it uses are declared; Candid skips the rest.

type (
	transferArg      = ledger.TransferArg
	transferFromArgs = ledger.TransferFromArgs
	transferResult   = ledger.TransferResult
	transferError    = ledger.TransferError
	outcome          = ledger.Outcome
)

// What one attempt at a transfer tells about it.
const (
	done       = ledger.Done
	notMoved   = ledger.NotMoved
	neverMoved = ledger.NeverMoved
	tooOld     = ledger.TooOld
	noAnswer   = ledger.NoAnswer
)

// bitcoinCanister is the well-known id of the Bitcoin canister of a network.
func bitcoinCanister(n btc.Network) principal.Principal {
	if n == btc.Mainnet {
		return principal.MustParse("ghsi2-tqaaa-aaaan-aaaca-cai")
	}
	return principal.MustParse("g4xu7-jiaaa-aaaan-aaaaq-cai")
}

// bitcoinNetwork is the network type of the Bitcoin canister, whose labels are lower case.
type bitcoinNetwork struct {
	candid.Variant
	Mainnet *candid.Null `candid:"mainnet"`
	Testnet *candid.Null `candid:"testnet"`
	Regtest *candid.Null `candid:"regtest"`
}

func bitcoinNetworkOf(n btc.Network) bitcoinNetwork {
	switch n {
	case btc.Mainnet:
		return bitcoinNetwork{Mainnet: candid.Unit}
	case btc.Regtest:
		return bitcoinNetwork{Regtest: candid.Unit}
	}
	return bitcoinNetwork{Testnet: candid.Unit}
}

type utxosFilter struct {
	candid.Variant
	MinConfirmations *uint32 `candid:"min_confirmations"`
	Page             *[]byte `candid:"page"`
}

type getUtxosRequest struct {
	Network bitcoinNetwork `candid:"network"`
	Address string         `candid:"address"`
	Filter  *utxosFilter   `candid:"filter"`
}

type getUtxosResponse struct {
	Utxos        []Utxo  `candid:"utxos"`
	TipBlockHash []byte  `candid:"tip_block_hash"`
	TipHeight    uint32  `candid:"tip_height"`
	NextPage     *[]byte `candid:"next_page"`
	Epoch        *uint32 `candid:"epoch"` // not every Bitcoin canister tells
}

type headersRequest struct {
	StartHeight uint32         `candid:"start_height"`
	EndHeight   *uint32        `candid:"end_height"`
	Network     bitcoinNetwork `candid:"network"`
}

type headersResponse struct {
	BlockHeaders [][]byte `candid:"block_headers"`
}

type feesRequest struct {
	Network bitcoinNetwork `candid:"network"`
}

type sendRequest struct {
	Network     bitcoinNetwork `candid:"network"`
	Transaction []byte         `candid:"transaction"`
}

// Cycles attached to calls; what is not used comes back. Prices are those of the Bitcoin canister and of threshold signing on the Internet Computer.
// Calls on regtest cost nothing.
var (
	utxosCycles     = map[btc.Network]uint64{btc.Mainnet: 10_000_000_000, btc.Testnet4: 4_000_000_000}
	headersCycles   = utxosCycles
	feesCycles      = map[btc.Network]uint64{btc.Mainnet: 100_000_000, btc.Testnet4: 40_000_000}
	sendBaseCycles  = map[btc.Network]uint64{btc.Mainnet: 5_000_000_000, btc.Testnet4: 2_000_000_000}
	sendByteCycles  = map[btc.Network]uint64{btc.Mainnet: 20_000_000, btc.Testnet4: 8_000_000}
	checkCycles     = uint64(40_000_000_000)
	signCyclesLarge = uint64(26_153_846_153) // 34 nodes
	signCyclesSmall = uint64(10_000_000_000) // 13 nodes
)

func signCycles(key string) uint64 {
	if key == "key_1" {
		return signCyclesLarge
	}
	return signCyclesSmall
}

// Bounds of a listing, in pages of 1,000 outputs: of a depositor's address, and of those that the minter must be able to read whoever else pays to them. Of
// these only the outputs that concern it are kept.
const (
	maxPages      = 100
	maxOwnedPages = 10_000
)

// errPages: an address has more outputs than can be listed.
var errPages = errors.New("too many outputs")

// reading is how an address is listed.
type reading struct {
	address       string
	confirmations uint32
	pages         int
	keep          func(core.Utxo) bool // nil: everything
	cleanup       func()               // runs if a callback traps
}

// getUtxos lists the outputs of an address with at least the given confirmations. cleanup runs if a callback traps.
func (m *minter) getUtxos(address string, confirmations uint32, cleanup func(), done func(us []core.Utxo, tip uint32, err error)) {
	m.listUtxos(reading{address: address, confirmations: confirmations, pages: maxPages, cleanup: cleanup}, func(us []core.Utxo, tip uint32, _ []byte, err error) { done(us, tip, err) })
}

// ownUtxos lists the outputs of an address that concern the log, with the hash of the tip. also may name more; nil for none.
func (m *minter) ownUtxos(address string, also func(core.Utxo) bool, cleanup func(), done func(us []core.Utxo, tip uint32, hash []byte, err error)) {
	keep := func(u core.Utxo) bool { return m.state.Concerns(u) || also != nil && also(u) }
	m.listUtxos(reading{address: address, pages: maxOwnedPages, keep: keep, cleanup: cleanup}, done)
}

// listUtxos lists the outputs of an address, with the hash of the tip. It notes whether the Bitcoin canister answers at all.
func (m *minter) listUtxos(what reading, done func(us []core.Utxo, tip uint32, hash []byte, err error)) {
	n := m.state.Config.Network
	req := getUtxosRequest{Network: bitcoinNetworkOf(n), Address: what.address}
	if what.confirmations > 0 {
		req.Filter = &utxosFilter{MinConfirmations: &what.confirmations}
	}
	var all []core.Utxo
	pages := 0
	var page func()
	page = func() {
		call := m.c.Call(bitcoinCanister(n), "bitcoin_get_utxos", req).WithCycles(cdk.CyclesOf(utxosCycles[n])).OnCleanup(what.cleanup)
		cdk.Then(call, func(r getUtxosResponse, err error) {
			for i := 0; err == nil && i < len(r.Utxos); i++ {
				var u core.Utxo
				if u, err = r.Utxos[i].core(); what.keep == nil || what.keep(u) {
					all = append(all, u)
				}
			}
			m.outage = ""
			if err == nil && r.Epoch != nil {
				if err = m.sawEpoch(uint64(*r.Epoch)); err != nil {
					done(nil, 0, nil, err)
					return
				}
			}
			if err != nil {
				m.outage = err.Error()
				if strings.Contains(m.outage, "halted") { // a branch from below what was final: nothing of ours is certain
					m.doubt()
				}
			}
			pages++
			switch {
			case err != nil:
				done(nil, 0, nil, err)
			case r.NextPage == nil:
				done(all, r.TipHeight, r.TipBlockHash, nil)
			case pages == what.pages:
				done(nil, 0, nil, fmt.Errorf("%w: %s has more than %d pages of them", errPages, what.address, pages))
			default:
				req.Filter = &utxosFilter{Page: r.NextPage}
				page()
			}
		})
	}
	page()
}

// medianSpan is how many of the last blocks Bitcoin takes the median time of (BIP 113).
const medianSpan = 11

// medianTime gives the median time of the tip, in ns: more than half of the miners of the last blocks say that it was later.
func (m *minter) medianTime(tip uint32, hash []byte, cleanup func(), done func(ns uint64, err error)) {
	n := m.state.Config.Network
	req := headersRequest{StartHeight: tip - min(tip, medianSpan-1), EndHeight: &tip, Network: bitcoinNetworkOf(n)}
	call := m.c.Call(bitcoinCanister(n), "bitcoin_get_block_headers", req).WithCycles(cdk.CyclesOf(headersCycles[n])).OnCleanup(cleanup)
	cdk.Then(call, func(r headersResponse, err error) {
		var times []uint32
		var last btc.Hash
		for i := 0; err == nil && i < len(r.BlockHeaders); i++ {
			var h btc.Header
			h, err = btc.ParseHeader(r.BlockHeaders[i])
			times, last = append(times, h.Time), h.Hash()
		}
		if want := int(tip - req.StartHeight + 1); err == nil && (len(times) != want || !bytes.Equal(last[:], hash)) {
			err = errTip
		}
		if err != nil {
			done(0, err)
			return
		}
		slices.Sort(times)
		done(uint64(times[len(times)/2])*uint64(time.Second), nil)
	})
}

type checkTransactionArgs struct {
	Txid []byte `candid:"txid"`
}

type checkRetriable struct {
	candid.Variant
	Pending                *candid.Null `candid:"Pending"`
	HighLoad               *candid.Null `candid:"HighLoad"`
	TransientInternalError *string      `candid:"TransientInternalError"`
}

func (r checkRetriable) String() string {
	switch {
	case r.Pending != nil:
		return "it is still fetching the transaction"
	case r.HighLoad != nil:
		return "it has too much to do"
	case r.TransientInternalError != nil:
		return *r.TransientInternalError
	}
	return "try again"
}

type checkError struct {
	candid.Variant
	ResponseTooLarge     *candid.Reserved `candid:"ResponseTooLarge"`
	InvalidTransactionID *string          `candid:"InvalidTransactionId"`
	InvalidTransaction   *string          `candid:"InvalidTransaction"`
}

func (e checkError) String() string {
	switch {
	case e.ResponseTooLarge != nil:
		return "the transaction is too large"
	case e.InvalidTransactionID != nil:
		return "invalid transaction id: " + *e.InvalidTransactionID
	case e.InvalidTransaction != nil:
		return "invalid transaction: " + *e.InvalidTransaction
	}
	return "an error that this minter does not know"
}

type checkStatus struct {
	candid.Variant
	NotEnoughCycles *candid.Null    `candid:"NotEnoughCycles"`
	Retriable       *checkRetriable `candid:"Retriable"`
	Error           *checkError     `candid:"Error"`
}

type checkTransactionResponse struct {
	candid.Variant
	Passed  *candid.Null `candid:"Passed"`
	Failed  *[]string    `candid:"Failed"`
	Unknown *checkStatus `candid:"Unknown"`
}

type checkAddressArgs struct {
	Address string `candid:"address"`
}

type checkAddressResponse struct {
	candid.Variant
	Passed *candid.Null `candid:"Passed"`
	Failed *candid.Null `candid:"Failed"`
}

// verdict is what the checker says of a transaction's inputs.
type verdict uint8

const (
	clean    verdict = iota + 1
	tainted          // somebody on the list paid
	noResult         // it has none yet
	silent           // it does not answer
	hopeless         // it never will have one
)

// checkTransaction asks whether the inputs of a transaction are clean, again while the checker is fetching it. Each question carries the cycles that the checker
// demands; what it does not use comes back.
func (m *minter) checkTransaction(txid btc.Hash, cleanup func(), done func(v verdict, why string)) {
	checker := principal.MustFromBytes(m.state.Config.Checker)
	left := m.state.Config.CheckTries
	var ask func()
	ask = func() {
		left--
		call := m.c.Call(checker, "check_transaction", checkTransactionArgs{txid[:]}).WithCycles(cdk.CyclesOf(checkCycles)).OnCleanup(cleanup)
		cdk.Then(call, func(r checkTransactionResponse, err error) {
			switch {
			case err != nil:
				done(silent, err.Error())
			case r.Passed != nil:
				done(clean, "")
			case r.Failed != nil:
				done(tainted, "")
			case r.Unknown == nil:
				done(silent, "an answer that this minter does not know")
			case r.Unknown.Retriable != nil && left > 0:
				ask()
			case r.Unknown.Retriable != nil:
				done(noResult, r.Unknown.Retriable.String())
			case r.Unknown.NotEnoughCycles != nil:
				done(silent, "it wants more cycles")
			case r.Unknown.Error != nil:
				done(hopeless, r.Unknown.Error.String())
			default:
				done(silent, "an answer that this minter does not know")
			}
		})
	}
	ask()
}
