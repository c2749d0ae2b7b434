package ckbtc

import (
	"errors"
	"fmt"

	"fusion/btc"
	"fusion/cdk"
	"fusion/ckledger/ckbtc/core"
	"fusion/ic/candid"
	"fusion/ic/principal"
)

// What the minter asks of others: the ledger, the Bitcoin canister, the checker. Only the fields it uses are declared; Candid skips the rest.

type transferArg struct {
	FromSubaccount *[]byte     `candid:"from_subaccount"`
	To             Account     `candid:"to"`
	Amount         candid.Nat  `candid:"amount"`
	Fee            *candid.Nat `candid:"fee"`
	Memo           *[]byte     `candid:"memo"`
	CreatedAtTime  *uint64     `candid:"created_at_time"`
}

type transferFromArgs struct {
	SpenderSubaccount *[]byte     `candid:"spender_subaccount"`
	From              Account     `candid:"from"`
	To                Account     `candid:"to"`
	Amount            candid.Nat  `candid:"amount"`
	Fee               *candid.Nat `candid:"fee"`
	Memo              *[]byte     `candid:"memo"`
	CreatedAtTime     *uint64     `candid:"created_at_time"`
}

// transferError is the union of the errors of icrc1_transfer and icrc2_transfer_from.
type transferError struct {
	candid.Variant
	BadFee                 *badFee          `candid:"BadFee"`
	BadBurn                *badBurn         `candid:"BadBurn"`
	InsufficientFunds      *ledgerBalance   `candid:"InsufficientFunds"`
	InsufficientAllowance  *ledgerAllowance `candid:"InsufficientAllowance"`
	TooOld                 *candid.Null     `candid:"TooOld"`
	CreatedInFuture        *ledgerTime      `candid:"CreatedInFuture"`
	TemporarilyUnavailable *candid.Null     `candid:"TemporarilyUnavailable"`
	Duplicate              *duplicate       `candid:"Duplicate"`
	GenericError           *ledgerError     `candid:"GenericError"`
}

type badFee struct {
	ExpectedFee candid.Nat `candid:"expected_fee"`
}

type badBurn struct {
	MinBurnAmount candid.Nat `candid:"min_burn_amount"`
}

type ledgerBalance struct {
	Balance candid.Nat `candid:"balance"`
}

type ledgerAllowance struct {
	Allowance candid.Nat `candid:"allowance"`
}

type ledgerTime struct {
	LedgerTime uint64 `candid:"ledger_time"`
}

type duplicate struct {
	DuplicateOf candid.Nat `candid:"duplicate_of"`
}

type ledgerError struct {
	ErrorCode candid.Nat `candid:"error_code"`
	Message   string     `candid:"message"`
}

type transferResult struct {
	candid.Variant
	Ok  *candid.Nat    `candid:"Ok"`
	Err *transferError `candid:"Err"`
}

func (e *transferError) Error() string {
	switch {
	case e.BadFee != nil:
		return "bad fee, expected " + e.BadFee.ExpectedFee.String()
	case e.BadBurn != nil:
		return "burn below the ledger's minimum of " + e.BadBurn.MinBurnAmount.String()
	case e.InsufficientFunds != nil:
		return "insufficient funds: balance " + e.InsufficientFunds.Balance.String()
	case e.InsufficientAllowance != nil:
		return "insufficient allowance: " + e.InsufficientAllowance.Allowance.String()
	case e.TooOld != nil:
		return "created_at_time is too old"
	case e.CreatedInFuture != nil:
		return "created_at_time is in the future"
	case e.TemporarilyUnavailable != nil:
		return "temporarily unavailable"
	case e.Duplicate != nil:
		return "duplicate of " + e.Duplicate.DuplicateOf.String()
	case e.GenericError != nil:
		return e.GenericError.Message
	}
	return "unknown ledger error"
}

// verdict is what one attempt at a transfer tells about it.
type verdict uint8

const (
	done       verdict = iota // moved, now or by an earlier attempt; block is valid
	notMoved                  // this attempt moved nothing and never will; an earlier one may have
	neverMoved                // neither this attempt nor an earlier one moved anything
	tooOld                    // this attempt moved nothing; whether an earlier one did can no longer be learnt this way
	noAnswer                  // the attempt may have moved it
)

type outcome struct {
	verdict verdict
	block   uint64
	err     *transferError // notMoved by the ledger's word
	text    string
}

func outcomeOf(r transferResult, err error) outcome {
	if err != nil {
		var reject *cdk.RejectError
		if errors.As(err, &reject) && (reject.Code == cdk.SysTransient || reject.Code == cdk.DestinationInvalid) {
			return outcome{verdict: notMoved, text: err.Error()} // never delivered
		}
		return outcome{verdict: noAnswer, text: err.Error()}
	}
	index := r.Ok
	if r.Err != nil {
		switch {
		case r.Err.Duplicate != nil:
			index = &r.Err.Duplicate.DuplicateOf
		case r.Err.TooOld != nil:
			return outcome{verdict: tooOld, err: r.Err, text: r.Err.Error()}
		case r.Err.InsufficientFunds != nil, r.Err.InsufficientAllowance != nil:
			// ICRC ledgers look for a duplicate before they look at balances, and calls between two canisters keep their order: no
			// attempt before this one can have moved anything.
			return outcome{verdict: neverMoved, err: r.Err, text: r.Err.Error()}
		default:
			return outcome{verdict: notMoved, err: r.Err, text: r.Err.Error()}
		}
	}
	block, ok := index.Uint64()
	if !ok {
		return outcome{verdict: noAnswer, text: "block index exceeds 64 bits"}
	}
	return outcome{verdict: done, block: block}
}

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
	Utxos     []Utxo  `candid:"utxos"`
	TipHeight uint32  `candid:"tip_height"`
	NextPage  *[]byte `candid:"next_page"`
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

// maxPages bounds a listing: 1,000 outputs each.
const maxPages = 100

// getUtxos lists the outputs of an address with at least the given confirmations. cleanup runs if a callback traps.
func (m *minter) getUtxos(address string, confirmations uint32, cleanup func(), done func(us []core.Utxo, tip uint32, err error)) {
	n := m.state.Config.Network
	req := getUtxosRequest{Network: bitcoinNetworkOf(n), Address: address}
	if confirmations > 0 {
		req.Filter = &utxosFilter{MinConfirmations: &confirmations}
	}
	var all []core.Utxo
	pages := 0
	var page func()
	page = func() {
		call := m.c.Call(bitcoinCanister(n), "bitcoin_get_utxos", req).WithCycles(cdk.CyclesOf(utxosCycles[n])).OnCleanup(cleanup)
		cdk.Then(call, func(r getUtxosResponse, err error) {
			for i := 0; err == nil && i < len(r.Utxos); i++ {
				var u core.Utxo
				u, err = r.Utxos[i].core()
				all = append(all, u)
			}
			pages++
			switch {
			case err != nil:
				done(nil, 0, err)
			case r.NextPage == nil:
				done(all, r.TipHeight, nil)
			case pages == maxPages:
				done(nil, 0, fmt.Errorf("more than %d pages of outputs", maxPages))
			default:
				req.Filter = &utxosFilter{Page: r.NextPage}
				page()
			}
		})
	}
	page()
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

type checkStatus struct {
	candid.Variant
	NotEnoughCycles *candid.Null     `candid:"NotEnoughCycles"`
	Retriable       *checkRetriable  `candid:"Retriable"`
	Error           *candid.Reserved `candid:"Error"`
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

// maxChecks is how often the checker is asked about one transaction in one call, as by ckBTC's minter.
const maxChecks = 10

// checkTransaction asks whether the inputs of a transaction are clean.
func (m *minter) checkTransaction(txid btc.Hash, cleanup func(), done func(clean bool, err error)) {
	checker := principal.MustFromBytes(m.state.Config.Checker)
	left := maxChecks
	var ask func()
	ask = func() {
		left--
		call := m.c.Call(checker, "check_transaction", checkTransactionArgs{txid[:]}).WithCycles(cdk.CyclesOf(checkCycles)).OnCleanup(cleanup)
		cdk.Then(call, func(r checkTransactionResponse, err error) {
			switch {
			case err != nil:
				done(false, err)
			case r.Unknown == nil:
				done(r.Passed != nil, nil)
			case r.Unknown.Retriable != nil && left > 0:
				ask()
			case r.Unknown.NotEnoughCycles != nil:
				done(false, errors.New("the checker wants more cycles"))
			default:
				done(false, errors.New("the checker has no answer"))
			}
		})
	}
	ask()
}
