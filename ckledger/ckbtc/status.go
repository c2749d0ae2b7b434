package ckbtc

import (
	"cmp"
	"fmt"
	"slices"

	"fusion/btc"
	"fusion/cdk"
	"fusion/ckledger/ckbtc/core"
	"fusion/ic/candid"
)

// Where deposits and withdrawals stand, in more detail than the published interface tells.

// Confirming is a deposit that lacks confirmations.
type Confirming struct {
	Confirmations uint32 `candid:"confirmations"`
	Required      uint32 `candid:"required"`
}

// Suspension is a deposit that did not pass its checks.
type Suspension struct {
	Reason        SuspendedReason `candid:"reason"`
	EarliestRetry uint64          `candid:"earliest_retry"`
}

// Mint is a deposit that was minted.
type Mint struct {
	BlockIndex   uint64 `candid:"block_index"`
	MintedAmount uint64 `candid:"minted_amount"`
}

// DepositState is where a deposit stands.
type DepositState struct {
	candid.Variant
	Mempool     *candid.Null `candid:"Mempool"`     // announced, in no block
	Confirming  *Confirming  `candid:"Confirming"`  // in a block
	Confirmed   *candid.Null `candid:"Confirmed"`   // deep enough: update_balance checks and mints it
	Suspended   *Suspension  `candid:"Suspended"`   // update_balance tries again after a time
	Checked     *candid.Null `candid:"Checked"`     // the ledger is being asked to mint
	MintUnknown *candid.Null `candid:"MintUnknown"` // the ledger did not say whether it minted; its blocks will tell
	Minted      *Mint        `candid:"Minted"`
}

// DepositStatus is a deposit of an account.
type DepositStatus struct {
	Outpoint    Outpoint     `candid:"outpoint"`
	Value       uint64       `candid:"value"`
	AddressType AddressType  `candid:"address_type"`
	SeenNs      *uint64      `candid:"seen_ns"` // when the answering replica heard of it first; for Mempool
	Status      DepositState `candid:"status"`
}

type mempoolRequest struct {
	Network bitcoinNetwork `candid:"network"`
	Address string         `candid:"address"`
}

type mempoolUtxo struct {
	Outpoint Outpoint `candid:"outpoint"`
	Value    uint64   `candid:"value"`
	SeenNs   uint64   `candid:"seen_ns"`
}

// Bounds of one answer of get_deposit_status.
const (
	maxStatusPages  = 5
	maxStatusMinted = 1000 // deposits that were spent since, newest first
)

// getDepositStatus tells where the deposits of an account stand, from the moment the answering replica hears of them: blocks and mempool are that replica's
// view, which no certificate covers.
func (m *minter) getDepositStatus(msg *cdk.Msg, a AddressArgs, out *cdk.Reply[[]DepositStatus]) {
	acct, err := a.account(msg.Caller())
	if err != nil {
		m.c.Trap("%v", err)
	}
	if m.key == nil {
		out.Reject("the minter does not know its key yet; try again in a few seconds")
		return
	}
	n := m.state.Config.Network
	var places []place
	if addr, err := m.key.Address(n, acct); err == nil && !a.taproot() {
		places = append(places, place{addr, false})
	}
	if addr, err := m.key.TaprootAddress(n, acct); err == nil && (a.AddressType == nil || a.taproot()) {
		places = append(places, place{addr, true})
	}
	g := &gathering{m: m, acct: acct, out: out, seen: map[btc.Outpoint]bool{}}
	g.places(places)
}

// gathering collects an answer of get_deposit_status.
type gathering struct {
	m    *minter
	acct core.Account
	out  *cdk.Reply[[]DepositStatus]
	seen map[btc.Outpoint]bool
	list []DepositStatus
}

func (g *gathering) places(left []place) {
	m := g.m
	if len(left) == 0 {
		g.finish()
		return
	}
	at, network := left[0], bitcoinNetworkOf(m.state.Config.Network)
	bitcoin := bitcoinCanister(m.state.Config.Network)
	cdk.Then(m.c.Call(bitcoin, "bitcoin_get_mempool_utxos_query", mempoolRequest{network, at.String()}), func(us []mempoolUtxo, err error) {
		if err != nil {
			us = nil // without a mempool the blocks still tell
		}
		req, pages := getUtxosRequest{Network: network, Address: at.String()}, 0
		var page func()
		page = func() {
			cdk.Then(m.c.Call(bitcoin, "bitcoin_get_utxos_query", req), func(r getUtxosResponse, err error) {
				if err != nil {
					g.out.Reject("list deposits: %v", err)
					return
				}
				for _, u := range r.Utxos {
					if x, err := u.core(); err == nil {
						g.add(x, at.taproot, r.TipHeight, nil)
					}
				}
				if pages++; r.NextPage != nil && pages < maxStatusPages {
					req.Filter = &utxosFilter{Page: r.NextPage}
					page()
					return
				}
				for _, u := range us { // last: what a block holds by now is listed already
					if x, err := (Utxo{Outpoint: u.Outpoint, Value: u.Value}).core(); err == nil {
						seen := u.SeenNs
						g.add(x, at.taproot, r.TipHeight, &seen)
					}
				}
				for _, x := range m.state.Orphans(at.Script()) {
					g.add(x, at.taproot, r.TipHeight, nil)
				}
				g.places(left[1:])
			})
		}
		page()
	})
}

func (g *gathering) add(x core.Utxo, taproot bool, tip uint32, seen *uint64) {
	if g.seen[x.Outpoint()] {
		return
	}
	g.seen[x.Outpoint()] = true
	s := DepositStatus{utxoOf(x).Outpoint, x.Value, addressTypeOf(taproot), nil, g.m.depositState(x, tip)}
	if s.Status.Mempool != nil {
		s.SeenNs = seen
	}
	g.list = append(g.list, s)
}

// finish adds the deposits that are spent by now.
func (g *gathering) finish() {
	known := g.m.state.Deposits(g.acct)
	for i := len(known) - 1; i >= 0 && len(known)-i <= maxStatusMinted; i-- {
		d := g.m.state.Deposit(known[i])
		g.add(d.Utxo, g.m.state.Taproot(known[i]), d.Utxo.Height, nil)
	}
	slices.SortStableFunc(g.list, func(a, b DepositStatus) int { return cmp.Compare(rank(a.Status), rank(b.Status)) })
	if g.list == nil {
		g.list = []DepositStatus{}
	}
	g.out.Send(g.list)
}

// rank orders by progress, the youngest first.
func rank(s DepositState) int {
	switch {
	case s.Mempool != nil:
		return 0
	case s.Confirming != nil:
		return 1
	case s.Minted == nil:
		return 2
	}
	return 3
}

func (m *minter) depositState(x core.Utxo, tip uint32) DepositState {
	if d := m.state.Deposit(x.Outpoint()); d != nil {
		switch d.State {
		case core.DepositMinted:
			return DepositState{Minted: &Mint{d.Block, d.Mint.Amount}}
		case core.DepositUnknown:
			return DepositState{MintUnknown: candid.Unit}
		}
		return DepositState{Checked: candid.Unit}
	}
	if s := m.state.SuspendedUtxo(x.Outpoint()); s != nil {
		return DepositState{Suspended: &Suspension{reasonOf(s.Reason), s.Since + m.state.Config.Suspend}}
	}
	if x.Height == 0 || x.Height > tip {
		return DepositState{Mempool: candid.Unit}
	}
	c := Confirming{tip - x.Height + 1, m.state.Required(x.Value, tip)}
	if c.Confirmations < c.Required {
		return DepositState{Confirming: &c}
	}
	return DepositState{Confirmed: candid.Unit}
}

// PaymentTx is a transaction that was signed, or is being signed, to pay a withdrawal. At most one of a withdrawal's transactions can ever be mined: all spend a
// common input.
type PaymentTx struct {
	Txid       []byte  `candid:"txid"`
	FeeRate    uint64  `candid:"fee_rate"` // millisatoshi per vbyte
	BitcoinFee uint64  `candid:"bitcoin_fee"`
	SignedAt   *uint64 `candid:"signed_at"`
	Sent       bool    `candid:"sent"`
	Cancels    bool    `candid:"cancels"` // pays nobody: ckBTC comes back once it is final
}

// WithdrawalStatus is where a withdrawal stands.
type WithdrawalStatus struct {
	Status         RetrieveBtcStatusV2 `candid:"status"`
	Amount         uint64              `candid:"amount"`
	Address        string              `candid:"address"`
	ReceivedAt     uint64              `candid:"received_at"`
	Transactions   []PaymentTx         `candid:"transactions"` // oldest first; empty before there is one and after one is final
	FeeRate        *uint64             `candid:"fee_rate"`     // of the newest, or of the one that is final
	Replacements   uint64              `candid:"replacements"`
	ExpectedBlocks *uint32             `candid:"expected_blocks"` // an estimate of how many blocks pass before one holds it
	ExpectedHeight *uint32             `candid:"expected_height"`
	SetAside       *string             `candid:"set_aside"` // why it can neither be paid nor refunded now
}

func (m *minter) getWithdrawalStatus(_ *cdk.Msg, a BlockIndex) *WithdrawalStatus {
	r := m.state.Request(a.BlockIndex)
	if r == nil {
		return nil
	}
	w := &WithdrawalStatus{Status: m.statusV2(a.BlockIndex), Amount: r.Amount, Address: r.Address.String(), ReceivedAt: r.ReceivedAt, Transactions: []PaymentTx{}}
	switch r.State {
	case core.RequestConfirmed:
		rate := r.FeeRate
		w.FeeRate, w.Replacements = &rate, r.Replacements
		return w
	case core.RequestPending, core.RequestInPayment:
	default:
		w.Replacements = r.Replacements
		return w
	}
	rate := m.knownFeeRate() // what a transaction would pay now
	if p := m.state.Payment(r.Payment); r.State == core.RequestInPayment && p != nil {
		for _, v := range p.Versions {
			x := PaymentTx{Txid: v.Txid[:], FeeRate: v.FeeRate, BitcoinFee: v.BtcFee, Sent: v.Sent, Cancels: v.Kind == core.Cancels}
			if v.Complete {
				at := v.CompleteAt
				x.SignedAt = &at
			}
			w.Transactions = append(w.Transactions, x)
		}
		rate = p.Latest().FeeRate
		w.FeeRate, w.Replacements = &rate, uint64(len(p.Versions)-1)
	}
	if why := m.state.Aside(m.knownFeeRate())[a.BlockIndex]; why != "" {
		w.SetAside = &why
		return w
	}
	blocks := core.ExpectedBlocks(rate, m.percentiles)
	w.ExpectedBlocks = &blocks
	if m.tip > 0 {
		height := m.tip + blocks
		w.ExpectedHeight = &height
	}
	return w
}

// coins shows satoshi as bitcoin.
func coins(satoshi uint64) string { return fmt.Sprintf("%d.%08d", satoshi/1e8, satoshi%1e8) }
