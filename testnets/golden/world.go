package golden

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"

	"fusion/btc"
	"fusion/chainkey/derive"
	"fusion/ckledger/ckbtc"
	"fusion/ckledger/icrc"
	"fusion/ic/agent"
	"fusion/ic/candid"
	"fusion/ic/identity"
	"fusion/ic/principal"
	"fusion/replica"
	"fusion/replica/genesis"
	"fusion/replica/signing"
	"fusion/testnets"
)

// Chain is what a test does on a regtest node. *testnets.Admin is one for the embedded node.
type Chain interface {
	Mine(ctx context.Context, in testnets.MineRequest) (testnets.MineReply, error)
	Send(ctx context.Context, in testnets.SendRequest) (txid string, err error)
	Balance(ctx context.Context, address string) (btc.Satoshi, error)
	Tx(ctx context.Context, txid string) (testnets.BitcoinTx, error)
}

// World is ckBTC on a running network as its users, and an auditor, see it. Nothing in it depends on where the replicas run.
type World struct {
	*testnets.Manifest
	Dir    string
	Chain  Chain
	Status func(ctx context.Context, node int) (replica.Status, error)

	rootKey   []byte
	minterKey derive.Child
	users     []*User
}

// User is somebody with an identity.
type User struct {
	Name  string
	Agent *agent.Agent
	w     *World
	node  int // the replica that he calls
}

// NewWorld joins a network that runs in this process.
func NewWorld(t testing.TB, n *testnets.Network) *World {
	t.Helper()
	admin, err := testnets.DialAdmin(n.Dir)
	if err != nil {
		t.Fatal(err)
	}
	w, err := OpenWorld(t.Context(), n.Dir, admin, func(_ context.Context, node int) (replica.Status, error) {
		r := n.Replica(node)
		if r == nil {
			return replica.Status{}, fmt.Errorf("replica %d is stopped", node)
		}
		return r.Status(), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// OpenWorld joins the running network in dir.
func OpenWorld(ctx context.Context, dir string, chain Chain, status func(context.Context, int) (replica.Status, error)) (*World, error) {
	m, err := testnets.Load(dir)
	if err != nil {
		return nil, err
	}
	w := &World{Manifest: m, Dir: dir, Chain: chain, Status: status}
	st, err := status(ctx, 0)
	if err != nil {
		return nil, err
	}
	if w.rootKey, err = hex.DecodeString(st.RootKey); err != nil {
		return nil, err
	}
	doc, err := genesis.Load(filepath.Join(testnets.NodeDir(dir, 0), replica.GenesisFile))
	if err != nil {
		return nil, err
	}
	for _, k := range st.Keys {
		if k.ID != testnets.EcdsaKey {
			continue
		}
		pub, err := hex.DecodeString(k.PublicKey)
		if err != nil || len(pub) != 33 {
			return nil, fmt.Errorf("threshold key %s is %q: %s", k.ID, k.PublicKey, k.State)
		}
		w.minterKey, err = derive.Secp256k1([33]byte(pub), signing.ChainCode(doc.Hash(), k.ID, pub), derive.Path(m.Minter.Bytes()))
		if err != nil {
			return nil, err
		}
	}
	return w, nil
}

// RootKey is the subnet's key, DER.
func (w *World) RootKey() []byte { return w.rootKey }

// User returns a user whose identity lies in the network's directory, made on first use. His calls go to the replica at index node.
func (w *World) User(name string, node int) (*User, error) {
	id, err := testnets.EnsureIdentity(w.Dir, name)
	if err != nil {
		return nil, err
	}
	return w.UserOf(name, id, node)
}

// UserOf returns the user of an identity.
func (w *World) UserOf(name string, id identity.Identity, node int) (*User, error) {
	a, err := agent.New(w.URL(node), agent.Options{Identity: id, RootKey: w.rootKey})
	if err != nil {
		return nil, err
	}
	u := &User{name, a, w, node}
	w.users = append(w.users, u)
	return u, nil
}

// Close closes the users' connections.
func (w *World) Close() {
	for _, u := range w.users {
		u.Agent.Close()
	}
}

// Account is the user's default account.
func (u *User) Account() icrc.Account { return icrc.Account{Owner: u.Agent.Sender()} }

// Balance asks the ledger for an account's balance.
func (u *User) Balance(ctx context.Context, a icrc.Account) (uint64, error) {
	var n candid.Nat
	if err := u.ask(ctx, "icrc1_balance_of", []any{a}, &n); err != nil {
		return 0, fmt.Errorf("balance of %s: %w", a.Owner, err)
	}
	v, ok := n.Uint64()
	if !ok {
		return 0, fmt.Errorf("balance of %s is %s", a.Owner, n)
	}
	return v, nil
}

// ask queries the ledger. A query is answered from one replica's state, which may be a block behind the replica that has just
// answered somebody else's update; so the user's replica first has to be where the furthest one was.
func (u *User) ask(ctx context.Context, method string, args []any, out any) error {
	var furthest uint64
	for i := range u.w.Nodes {
		if s, err := u.w.Status(ctx, i); err == nil { // otherwise it is stopped
			furthest = max(furthest, s.Height)
		}
	}
	if err := Wait(ctx, fmt.Sprintf("%s's replica %d to be at block %d", u.Name, u.node, furthest), func() (string, error) {
		s, err := u.w.Status(ctx, u.node)
		if err != nil || s.Height >= furthest {
			return "", nil // of a stopped replica the query says so
		}
		return fmt.Sprintf("it is at block %d", s.Height), nil
	}); err != nil {
		return err
	}
	return u.Agent.Ask(ctx, u.w.Ledger, method, args, []any{out})
}

// Own is the user's balance.
func (u *User) Own(ctx context.Context) (uint64, error) { return u.Balance(ctx, u.Account()) }

// Transfer calls icrc1_transfer.
func (u *User) Transfer(ctx context.Context, arg icrc.TransferArg) (res icrc.TransferResult, err error) {
	err = u.Agent.Update(ctx, u.w.Ledger, "icrc1_transfer", []any{arg}, []any{&res})
	return res, err
}

// Pay transfers an amount and returns the ledger's block.
func (u *User) Pay(ctx context.Context, to principal.Principal, sats uint64) (uint64, error) {
	res, err := u.Transfer(ctx, icrc.TransferArg{To: icrc.Account{Owner: to}, Amount: candid.NatFromUint64(sats)})
	if err != nil {
		return 0, err
	}
	if res.Ok == nil {
		return 0, fmt.Errorf("the ledger refuses the transfer: %+v", res.Err)
	}
	block, _ := res.Ok.Uint64()
	return block, nil
}

// UpdateBalance calls the minter.
func (u *User) UpdateBalance(ctx context.Context) (res ckbtc.UpdateBalanceResult, err error) {
	err = u.Agent.Update(ctx, u.w.Minter, "update_balance", []any{ckbtc.AddressArgs{}}, []any{&res})
	return res, err
}

// Approve lets the minter burn.
func (u *User) Approve(ctx context.Context, sats uint64) error {
	var res icrc.ApproveResult
	arg := icrc.ApproveArgs{Spender: icrc.Account{Owner: u.w.Minter}, Amount: candid.NatFromUint64(sats)}
	if err := u.Agent.Update(ctx, u.w.Ledger, "icrc2_approve", []any{arg}, []any{&res}); err != nil {
		return err
	}
	if res.Ok == nil {
		return fmt.Errorf("the ledger refuses the approval: %+v", res.Err)
	}
	return nil
}

// Retrieve calls retrieve_btc_with_approval.
func (u *User) Retrieve(ctx context.Context, address string, sats uint64) (res ckbtc.RetrieveBtcWithApprovalResult, err error) {
	arg := ckbtc.RetrieveBtcWithApprovalArgs{Address: address, Amount: sats}
	err = u.Agent.Update(ctx, u.w.Minter, "retrieve_btc_with_approval", []any{arg}, []any{&res})
	return res, err
}

// Redeem approves and asks for a withdrawal, and returns the ledger's block of the burn.
func (u *User) Redeem(ctx context.Context, address string, sats uint64) (uint64, error) {
	if err := u.Approve(ctx, sats+testnets.TransferFee); err != nil {
		return 0, err
	}
	res, err := u.Retrieve(ctx, address, sats)
	if err != nil {
		return 0, err
	}
	if res.Ok == nil {
		return 0, fmt.Errorf("the minter refuses the withdrawal: %+v", res.Err)
	}
	return res.Ok.BlockIndex, nil
}

// Withdrawal is the state of a withdrawal.
func (u *User) Withdrawal(ctx context.Context, block uint64) (st ckbtc.RetrieveBtcStatusV2, err error) {
	err = u.Agent.Ask(ctx, u.w.Minter, "retrieve_btc_status_v2", []any{ckbtc.BlockIndex{BlockIndex: block}}, []any{&st})
	return st, err
}

// Finish mines until a withdrawal is confirmed and returns its transaction.
func (u *User) Finish(ctx context.Context, block uint64) (string, error) {
	var txid btc.Hash
	err := Wait(ctx, fmt.Sprintf("withdrawal %d to confirm", block), func() (string, error) {
		st, err := u.Withdrawal(ctx, block)
		switch {
		case err != nil:
			return "", err
		case st.Confirmed != nil:
			txid = btc.Hash(st.Confirmed.Txid)
			return "", nil
		case st.Submitted != nil:
			txid = btc.Hash(st.Submitted.Txid)
			if _, err := u.w.Chain.Tx(ctx, txid.String()); err != nil {
				return "submitted; the node does not have it yet", nil
			}
			return "submitted", u.w.Mine(ctx, 1)
		case st.Pending != nil:
			return "pending", nil
		case st.Signing != nil:
			s, err := u.w.Status(ctx, 0)
			return fmt.Sprintf("signing %v", s.Signing), err
		case st.Sending != nil:
			return "sending", nil
		}
		return "", fmt.Errorf("withdrawal %d is %+v", block, st)
	})
	return txid.String(), err
}

// DepositAddress derives the user's deposit address from the subnet's public key.
func (u *User) DepositAddress() btc.Address { return u.w.addressOf(u.Agent.Sender()) }

// Deposit sends bitcoin to the user's deposit address and returns the transaction. It is not mined.
func (u *User) Deposit(ctx context.Context, sats btc.Satoshi) (string, error) {
	return u.w.Chain.Send(ctx, testnets.SendRequest{Address: u.DepositAddress().String(), Satoshi: sats})
}

// Mint asks for the user's confirmed deposits until a number of them is minted, and returns the sum.
func (u *User) Mint(ctx context.Context, deposits int) (sum uint64, err error) {
	err = Wait(ctx, fmt.Sprintf("%d deposits to be minted", deposits), func() (string, error) {
		res, err := u.UpdateBalance(ctx)
		if err != nil {
			return "", err
		}
		if res.Ok != nil {
			for _, d := range *res.Ok {
				if d.Minted == nil {
					return "", fmt.Errorf("a deposit is not minted: %+v", d)
				}
				sum += d.Minted.MintedAmount
				deposits--
			}
		}
		if deposits > 0 {
			return fmt.Sprintf("%d to go, the minter says %+v", deposits, res), nil
		}
		return "", nil
	})
	return sum, err
}

func (w *World) addressOf(owner principal.Principal) btc.Address {
	child, err := derive.Secp256k1(w.minterKey.PublicKey, w.minterKey.ChainCode, [][]byte{{1}, owner.Bytes(), make([]byte, 32)})
	if err != nil {
		panic(err) // the path is short
	}
	a, err := btc.P2WPKHFromPubKey(btc.Regtest, child.PublicKey[:])
	if err != nil {
		panic(err) // it is a public key
	}
	return a
}

var freshCounter atomic.Uint64

// FreshAddress is an address that nobody used in this network before; seed distinguishes runs.
func FreshAddress(seed string) string { return FreshAddressOf(btc.P2WPKH, seed) }

// FreshAddressOf is FreshAddress of a kind.
func FreshAddressOf(kind btc.AddressKind, seed string) string {
	h := sha256.Sum256(fmt.Appendf(nil, "%s/%d/%d", seed, freshCounter.Add(1), time.Now().UnixNano()))
	if kind == btc.P2TR { // which names a point
		_, key := btcec.PrivKeyFromBytes(h[:])
		h = [32]byte(schnorr.SerializePubKey(key))
	}
	a, err := btc.NewAddress(btc.Regtest, kind, h[:kind.PayloadLen()])
	if err != nil {
		panic(err) // the length is right
	}
	return a.String()
}

// Mine mines blocks to nobody and waits until all running replicas have them.
func (w *World) Mine(ctx context.Context, blocks int) error {
	r, err := w.Chain.Mine(ctx, testnets.MineRequest{Blocks: blocks})
	if err != nil {
		return err
	}
	return w.WaitTip(ctx, r.Hashes[len(r.Hashes)-1])
}

// WaitTip waits until all replicas that run have a Bitcoin block as the tip.
func (w *World) WaitTip(ctx context.Context, hash string) error {
	return Wait(ctx, "the subnet to see Bitcoin block "+hash, func() (string, error) {
		for i := range w.Nodes {
			s, err := w.Status(ctx, i)
			if err != nil {
				continue // stopped
			}
			if s.Bitcoin == nil || s.Bitcoin.TipHash != hash {
				return fmt.Sprintf("replica %d is at %+v", i, s.Bitcoin), nil
			}
		}
		return "", nil
	})
}

// Supply is the ledger's total.
func (w *World) Supply(ctx context.Context, u *User) (uint64, error) {
	var n candid.Nat
	if err := u.ask(ctx, "icrc1_total_supply", nil, &n); err != nil {
		return 0, fmt.Errorf("supply: %w", err)
	}
	v, _ := n.Uint64()
	return v, nil
}

// Audit checks, for a ledger where only the given users and the fee account hold ckBTC, that balances sum up to the supply and
// that the supply is covered by what the minter's addresses hold on the Bitcoin chain. It returns the supply.
func (w *World) Audit(ctx context.Context, users ...*User) (uint64, error) {
	supply, err := w.Supply(ctx, users[0])
	if err != nil {
		return 0, err
	}
	fees := append(make([]byte, 30), 0x0f, 0xee)
	sum, err := users[0].Balance(ctx, icrc.Account{Owner: w.Minter, Subaccount: &fees})
	if err != nil {
		return 0, err
	}
	custody, err := w.Chain.Balance(ctx, w.addressOf(w.Minter).String())
	if err != nil {
		return 0, err
	}
	for _, u := range users {
		b, err := u.Own(ctx)
		if err != nil {
			return 0, err
		}
		c, err := w.Chain.Balance(ctx, u.DepositAddress().String())
		if err != nil {
			return 0, err
		}
		sum, custody = sum+b, custody+c
	}
	if sum != supply {
		return 0, fmt.Errorf("balances sum up to %d sat, the supply is %d sat", sum, supply)
	}
	if uint64(custody) < supply {
		return 0, fmt.Errorf("%d sat of ckBTC exist, the minter's addresses hold %d sat", supply, custody)
	}
	return supply, nil
}

// Agree waits until all replicas have been seen with the same app hash at the same height, above a height, and returns it.
func (w *World) Agree(ctx context.Context, above uint64) (uint64, error) {
	seen := map[uint64]map[int]string{}
	var agreed uint64
	err := Wait(ctx, fmt.Sprintf("all replicas to agree above block %d", above), func() (string, error) {
		var at []string
		for i := range w.Nodes {
			s, err := w.Status(ctx, i)
			if err != nil {
				return err.Error(), nil
			}
			at = append(at, fmt.Sprintf("%d (%s)", s.Height, s.Sentence))
			if s.Height <= above || !s.Healthy {
				continue
			}
			if seen[s.Height] == nil {
				seen[s.Height] = map[int]string{}
			}
			seen[s.Height][i] = s.AppHash
			if len(seen[s.Height]) == w.Nodes {
				for _, h := range seen[s.Height] {
					if h != s.AppHash {
						return "", fmt.Errorf("replicas disagree at block %d: %v", s.Height, seen[s.Height])
					}
				}
				agreed = s.Height
				return "", nil
			}
		}
		return fmt.Sprint(at), nil
	})
	return agreed, err
}

// pollEvery is how often a condition is looked at. It is a fraction of a block's time.
const pollEvery = 50 * time.Millisecond

// Wait looks at a condition until it holds, which it says by an empty string; otherwise it says what is missing. An error, or
// the end of the context, ends the wait.
func Wait(ctx context.Context, what string, missing func() (string, error)) error {
	t := time.NewTicker(pollEvery)
	defer t.Stop()
	last := ""
	for {
		m, err := missing()
		if err != nil {
			return errors.Join(fmt.Errorf("waiting for %s: %w", what, err), errIf(last))
		}
		if m == "" {
			return nil
		}
		last = m
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w: %s", what, ctx.Err(), m)
		case <-t.C:
		}
	}
}

func errIf(last string) error {
	if last == "" {
		return nil
	}
	return errors.New("before: " + last)
}

// fund makes the golden network's user rich.
func fund(ctx context.Context, n *testnets.Network) error {
	admin, err := testnets.DialAdmin(n.Dir)
	if err != nil {
		return err
	}
	w, err := OpenWorld(ctx, n.Dir, admin, func(_ context.Context, i int) (replica.Status, error) { return n.Replica(i).Status(), nil })
	if err != nil {
		return err
	}
	defer w.Close()
	u, err := w.User(Owner, 0)
	if err != nil {
		return err
	}
	for range Deposits {
		if _, err := u.Deposit(ctx, DepositSats); err != nil {
			return err
		}
	}
	if err := w.Mine(ctx, testnets.Confirmations); err != nil {
		return err
	}
	if _, err := u.Mint(ctx, Deposits); err != nil {
		return err
	}
	_, err = w.Audit(ctx, u)
	return err
}
