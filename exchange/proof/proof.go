package proof

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"fusion/btc"
	"fusion/ckledger/ckbtc"
	"fusion/ckledger/ckbtc/core"
	"fusion/ic/agent"
	"fusion/ic/candid"
	"fusion/ic/certificate"
	"fusion/ic/envelope"
	"fusion/ic/hashtree"
	"fusion/ic/principal"
	"fusion/internal/strictjson"
)

// Errors of this package; test with errors.Is.
var (
	// ErrFile means that a file is not a proof.
	ErrFile = errors.New("not a proof of reserves")
	// ErrProof means that a proof does not hold: it was altered, or is not of this network.
	ErrProof = errors.New("the proof does not hold")
	// ErrMoving means that the minter's books changed each time they were read.
	ErrMoving = errors.New("the minter's books change too quickly for a proof; try again")
)

// Bounds of a file.
const (
	MaxFile  = 256 << 20
	maxCalls = 1000 // 2 million outputs
	format   = "fusion proof of reserves 1"
)

// Call is a call with its certificate. Sender, nonce and expiry are what the request's id needs besides.
type Call struct {
	Canister    string `json:"canister"`
	Method      string `json:"method"`
	Arg         []byte `json:"arg"`
	Sender      string `json:"sender"`
	Nonce       []byte `json:"nonce"`
	Expiry      uint64 `json:"expiry,string"`
	Certificate []byte `json:"certificate"`
}

// Proof is the content of a file.
type Proof struct {
	Format string `json:"format"`
	Minter string `json:"minter"`
	Calls  []Call `json:"calls"`
}

// Output is a Bitcoin output in custody.
type Output struct {
	Outpoint  btc.Outpoint
	Value     btc.Satoshi
	Address   string
	InPayment bool // an open withdrawal spends it
}

// Report is what a proof proves. Amounts are in satoshi.
type Report struct {
	Minter, Ledger principal.Principal
	Network        btc.Network
	Outputs        []Output
	Custody        uint64 // the sum of the outputs
	Supply         uint64 // the greater of two certified supplies
	Owed           uint64 // burned for withdrawals that are not paid yet
	Deficit        uint64 // of minted deposits that Bitcoin took back; not in custody
	// Oldest and Newest are the times of the certificates.
	Oldest, Newest time.Time
}

// Liabilities are what must be covered.
func (r *Report) Liabilities() uint64 { return r.Supply + r.Owed }

// Solvent tells whether custody covers the liabilities.
func (r *Report) Solvent() bool { return r.Custody >= r.Liabilities() }

func call(ctx context.Context, a *agent.Agent, canister principal.Principal, method string, in, out []any) (Call, error) {
	arg, err := candid.Marshal(in...)
	if err != nil {
		return Call{}, err
	}
	c, err := a.DoCertified(ctx, agent.Request{Canister: canister, Method: method, Arg: arg})
	if err != nil {
		return Call{}, err
	}
	if err := candid.Unmarshal(c.Reply, out...); err != nil {
		return Call{}, fmt.Errorf("answer of %s: %w", method, err)
	}
	return Call{Canister: canister.String(), Method: method, Arg: arg, Sender: c.Content.Sender.String(), Nonce: c.Content.Nonce,
		Expiry: c.Content.IngressExpiry, Certificate: c.Certificate}, nil
}

// attempts is how often Make reads the books before it gives up.
const attempts = 5

// Make reads the books of a ckBTC minter and of its ledger. The agent's identity is named in the proof: the anonymous one does.
func Make(ctx context.Context, a *agent.Agent, minter principal.Principal) (*Proof, error) {
	for range attempts {
		p, err := read(ctx, a, minter)
		if !errors.Is(err, ErrMoving) {
			return p, err
		}
	}
	return nil, ErrMoving
}

func read(ctx context.Context, a *agent.Agent, minter principal.Principal) (*Proof, error) {
	p := &Proof{Format: format, Minter: minter.String()}
	// The ledger is the one that the minter names; a query is good enough to find it, as what counts is asked again.
	none := uint32(0)
	var where ckbtc.Custody
	if err := a.Ask(ctx, minter, "get_custody", []any{ckbtc.CustodyArgs{Limit: &none}}, []any{&where}); err != nil {
		return nil, fmt.Errorf("%s is no minter that shows its custody: %w", minter, err)
	}
	var supply [2]candid.Nat
	one := func(canister principal.Principal, method string, in, out []any) error {
		c, err := call(ctx, a, canister, method, in, out)
		p.Calls = append(p.Calls, c)
		return err
	}
	if err := one(where.Ledger, "icrc1_total_supply", []any{}, []any{&supply[0]}); err != nil {
		return nil, err
	}
	var args ckbtc.CustodyArgs
	var events uint64
	for {
		var page ckbtc.Custody
		if err := one(minter, "get_custody", []any{args}, []any{&page}); err != nil {
			return nil, err
		}
		if args.After != nil && page.Events != events {
			return nil, ErrMoving
		}
		events = page.Events
		if !page.More || len(page.Holdings) == 0 {
			break
		}
		if len(p.Calls) > maxCalls-2 {
			return nil, fmt.Errorf("%w: more than %d pages", ErrFile, maxCalls-2)
		}
		args.After = &page.Holdings[len(page.Holdings)-1].Outpoint
	}
	return p, one(where.Ledger, "icrc1_total_supply", []any{}, []any{&supply[1]})
}

// Encode is the file of a proof.
func (p *Proof) Encode() ([]byte, error) {
	b, err := json.MarshalIndent(p, "", " ")
	return append(b, '\n'), err
}

// Decode reads a file.
func Decode(file []byte) (*Proof, error) {
	p := &Proof{}
	if err := strictjson.Unmarshal(file, MaxFile, p); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFile, err)
	}
	if p.Format != format {
		return nil, fmt.Errorf("%w: its format is %.40q, want %q", ErrFile, p.Format, format)
	}
	if len(p.Calls) < 3 || len(p.Calls) > maxCalls {
		return nil, fmt.Errorf("%w: %d calls", ErrFile, len(p.Calls))
	}
	return p, nil
}

// reply checks a call: that the certificate is of the network and of the call's canister, and that it has a reply to this very request.
func (c *Call) reply(v *certificate.Verifier, out ...any) (canister principal.Principal, at time.Time, err error) {
	bad := func(err error) error { return fmt.Errorf("%w: %s: %w", ErrProof, c.Method, err) }
	if canister, err = principal.Parse(c.Canister); err != nil {
		return canister, at, bad(err)
	}
	sender, err := principal.Parse(c.Sender)
	if err != nil {
		return canister, at, bad(err)
	}
	content := envelope.Content{RequestType: envelope.Call, Sender: sender, Nonce: c.Nonce, IngressExpiry: c.Expiry, CanisterID: canister,
		MethodName: c.Method, Arg: c.Arg}
	cert, err := certificate.Parse(c.Certificate)
	if err != nil {
		return canister, at, bad(err)
	}
	if err := v.Verify(cert, certificate.ForCanister(canister)); err != nil {
		return canister, at, bad(err)
	}
	id := content.RequestID()
	look := func(label string) ([]byte, error) {
		res, value := cert.Lookup([]byte("request_status"), id[:], []byte(label))
		if res != hashtree.Found {
			return nil, bad(fmt.Errorf("the certificate is not of this call: %s is %v", label, res))
		}
		return value, nil
	}
	status, err := look("status")
	if err != nil {
		return canister, at, err
	}
	if string(status) != "replied" {
		return canister, at, bad(fmt.Errorf("the call was not answered but %.20q", status))
	}
	answer, err := look("reply")
	if err != nil {
		return canister, at, err
	}
	if err := candid.Unmarshal(answer, out...); err != nil {
		return canister, at, bad(err)
	}
	ns, err := cert.Time()
	if err != nil || ns > math.MaxInt64 {
		return canister, at, bad(fmt.Errorf("time %d: %w", ns, err))
	}
	return canister, time.Unix(0, int64(ns)).UTC(), nil
}

// Verify checks a proof of a minter against a root key (DER). It needs nothing else; what the file says without a certificate is not
// believed, and neither is which minter is meant: anybody may install one that lies.
func Verify(file []byte, rootKey []byte, minter principal.Principal) (*Report, error) {
	p, err := Decode(file)
	if err != nil {
		return nil, err
	}
	v, err := certificate.NewVerifier(rootKey)
	if err != nil {
		return nil, err
	}
	r := &Report{Minter: minter}
	if p.Minter != minter.String() {
		return nil, fmt.Errorf("%w: it is of minter %.70q, not of %s", ErrProof, p.Minter, minter)
	}
	note := func(at time.Time) {
		if r.Oldest.IsZero() || at.Before(r.Oldest) {
			r.Oldest = at
		}
		if at.After(r.Newest) {
			r.Newest = at
		}
	}
	pages := p.Calls[1 : len(p.Calls)-1]
	if err := r.custody(v, pages, note); err != nil {
		return nil, err
	}
	var times [2]time.Time
	for i, c := range []Call{p.Calls[0], p.Calls[len(p.Calls)-1]} {
		var supply candid.Nat
		canister, at, err := c.reply(v, &supply)
		if err != nil {
			return nil, err
		}
		if empty := candid.MustMarshal(); canister != r.Ledger || c.Method != "icrc1_total_supply" || !bytes.Equal(c.Arg, empty) {
			return nil, fmt.Errorf("%w: call %d is not the supply of the minter's ledger %s", ErrProof, i, r.Ledger)
		}
		n, ok := supply.Uint64()
		if !ok || n > math.MaxInt64 {
			return nil, fmt.Errorf("%w: a supply of %s satoshi", ErrProof, supply)
		}
		r.Supply, times[i] = max(r.Supply, n), at
		note(at)
	}
	if times[0].After(r.Newest) || times[1] != r.Newest || times[0] != r.Oldest {
		return nil, fmt.Errorf("%w: the supplies were not read before and after the custody", ErrProof)
	}
	return r, nil
}

// custody checks the pages of the minter's books.
func (r *Report) custody(v *certificate.Verifier, pages []Call, note func(time.Time)) error {
	var first, page ckbtc.Custody
	var want ckbtc.CustodyArgs
	for i, c := range pages {
		page = ckbtc.Custody{}
		canister, at, err := c.reply(v, &page)
		if err != nil {
			return err
		}
		note(at)
		if arg := candid.MustMarshal(want); canister != r.Minter || c.Method != "get_custody" || !bytes.Equal(c.Arg, arg) {
			return fmt.Errorf("%w: page %d does not ask minter %s for what follows the page before", ErrProof, i, r.Minter)
		}
		if i == 0 {
			first = page
		}
		if page.Events != first.Events || page.Total != first.Total || page.Owed != first.Owed || page.Ledger != first.Ledger {
			return fmt.Errorf("%w: page %d is of another moment than the first", ErrProof, i)
		}
		if last := i == len(pages)-1; page.More == last || page.More && len(page.Holdings) == 0 {
			return fmt.Errorf("%w: page %d of %d says that more follow: %t", ErrProof, i+1, len(pages), page.More)
		}
		if err := r.outputs(&first, page.Holdings); err != nil {
			return err
		}
		if n := len(page.Holdings); n > 0 {
			want.After = &page.Holdings[n-1].Outpoint
		}
	}
	r.Ledger, r.Owed, r.Deficit = first.Ledger, first.Owed, first.Deficit
	if r.Custody != first.Total {
		return fmt.Errorf("%w: the outputs are worth %d satoshi, the minter says %d", ErrProof, r.Custody, first.Total)
	}
	if r.Owed > math.MaxInt64 {
		return fmt.Errorf("%w: %d satoshi owed", ErrProof, r.Owed)
	}
	return nil
}

func keyOf(m *ckbtc.MasterKey) (*core.PublicKey, error) {
	if m == nil || len(m.PublicKey) != 33 || len(m.ChainCode) != 32 {
		return nil, fmt.Errorf("%w: the minter does not show its keys", ErrProof)
	}
	return &core.PublicKey{Key: [33]byte(m.PublicKey), ChainCode: [32]byte(m.ChainCode)}, nil
}

// outputs adds the holdings of a page, with the addresses that the minter's keys give their accounts.
func (r *Report) outputs(c *ckbtc.Custody, list []ckbtc.Holding) error {
	switch {
	case c.Network.Mainnet != nil:
		r.Network = btc.Mainnet
	case c.Network.Testnet != nil:
		r.Network = btc.Testnet4
	default:
		r.Network = btc.Regtest
	}
	if len(list) == 0 {
		return nil
	}
	keys, err := keyOf(c.ECDSA)
	if err != nil {
		return err
	}
	if c.Schnorr != nil {
		if keys.Schnorr, err = keyOf(c.Schnorr); err != nil {
			return err
		}
	}
	seen := make(map[btc.Outpoint]bool, len(list))
	for _, h := range list {
		if len(h.Outpoint.Txid) != 32 || h.Value > uint64(btc.MaxMoney) {
			return fmt.Errorf("%w: an output of %d satoshi with a txid of %d bytes", ErrProof, h.Value, len(h.Outpoint.Txid))
		}
		op := btc.Outpoint{Txid: btc.Hash(h.Outpoint.Txid), Vout: h.Outpoint.Vout}
		if n := len(r.Outputs); seen[op] || n > 0 && !before(r.Outputs[n-1].Outpoint, op) {
			return fmt.Errorf("%w: output %v is listed twice or out of order", ErrProof, op)
		}
		seen[op] = true
		acct, err := core.NewAccount(h.Account.Owner, h.Account.Subaccount)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrProof, err)
		}
		derive := keys.Address
		if h.AddressType.P2TR != nil {
			derive = keys.TaprootAddress
		}
		addr, err := derive(r.Network, acct)
		if err != nil {
			return fmt.Errorf("%w: output %v: %w", ErrProof, op, err)
		}
		r.Outputs = append(r.Outputs, Output{op, btc.Satoshi(h.Value), addr.String(), h.InPayment})
		r.Custody += h.Value
		if r.Custody > uint64(btc.MaxMoney) {
			return fmt.Errorf("%w: more than 21 million bitcoin", ErrProof)
		}
	}
	return nil
}

func before(a, b btc.Outpoint) bool {
	return core.Utxo{Txid: a.Txid, Vout: a.Vout}.Compare(core.Utxo{Txid: b.Txid, Vout: b.Vout}) < 0
}
