// Command wallet-eth is a canister that owns an Ethereum address: nobody has its key, 2f+1 replicas of the subnet sign together. It sends ETH
// and ERC-20 tokens, swaps, and signs messages (EIP-191) and typed data (EIP-712), all for its controllers and nobody else. What it needs of
// Ethereum it asks of the EVM-RPC canister.
//
//	fusion canister install wallet-eth.wasm.gz --arg '(record { key = "dfx_test_key"; chain_id = 1337 })'
//	fusion canister call ID address
//	fusion canister call ID send_eth '("0x…", 10_000_000_000_000_000)'
//
// A payment that is accepted has a nonce and is carried out in the order of nonces. The answer says how far it came:
//
//	a reject              nothing happened
//	hash, no problem      it is signed, and Ethereum's nodes have it
//	a problem             it has its nonce, but was not signed or not taken (too little ETH, no provider answers): resume goes on where it
//	                      stopped, cancel puts nothing in its place. Asking again instead would pay twice.
package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/holiman/uint256"

	"fusion/cdk"
	"fusion/cdk/stable"
	"fusion/eth"
	"fusion/ic/candid"
	"fusion/ic/principal"
)

func init() { cdk.Main(Canister) }
func main() {}

// InitArg says which key and which chain the wallet uses.
type InitArg struct {
	Key     string               `candid:"key"` // of the subnet: "dfx_test_key" on local networks, "key_1" on the Internet Computer
	ChainID uint64               `candid:"chain_id"`
	EvmRPC  *principal.Principal `candid:"evm_rpc"` // another canister than the well-known one
}

// Sent is how far a payment came.
type Sent struct {
	Nonce   uint64  `candid:"nonce"`
	Hash    *string `candid:"hash"`    // of the signed transaction
	Problem *string `candid:"problem"` // why the nodes do not have it
}

// Swap is an exchange of ETH for tokens on a router with the interface of Uniswap V2. It fails rather than yield less than MinTokens or be
// mined after the deadline.
type Swap struct {
	Router    string     `candid:"router"`
	WETH      string     `candid:"weth"` // what the router calls ETH in a path: its WETH()
	Token     string     `candid:"token"`
	Amount    candid.Nat `candid:"amount"` // in wei
	MinTokens candid.Nat `candid:"min_tokens"`
	Deadline  uint64     `candid:"deadline"` // seconds since 1970
}

// wellKnown is the EVM-RPC canister's id, on the Internet Computer and on networks of this program.
var wellKnown = principal.MustParse("7hfb6-caaaa-aaaar-qadga-cai")

const (
	signatureCycles = 30_000_000_000 // a signature on a subnet of 34 nodes costs 26.2 billion; what is left comes back
	rpcCycles       = 10_000_000_000
	gasERC20        = 100_000 // of a transfer; what is left comes back
	gasSwap         = 300_000
	maxOrders       = 20 // that are not mined
)

// order is a payment with its nonce. An order stays as it is until the chain has used its nonce, so that sending again never pays again.
type order struct {
	Nonce    uint64      `candid:"nonce"`
	To       eth.Address `candid:"to"`
	Value    [32]byte    `candid:"value"`
	Data     []byte      `candid:"data"`
	Gas      uint64      `candid:"gas"`
	Priority [32]byte    `candid:"priority"` // fees in wei per gas
	Max      [32]byte    `candid:"max"`
	Raw      []byte      `candid:"raw"` // with its signature, once there is one
	Problem  string      `candid:"problem"`
}

func (o *order) transaction(chain uint64) eth.Transaction {
	t := eth.Transaction{ChainID: chain, Nonce: o.Nonce, GasLimit: o.Gas, To: o.To, Data: o.Data}
	t.Value.SetBytes32(o.Value[:])
	t.MaxPriorityFeePerGas.SetBytes32(o.Priority[:])
	t.MaxFeePerGas.SetBytes32(o.Max[:])
	return t
}

func (o *order) fee() (f eth.Fee) {
	f.MaxPriorityFeePerGas.SetBytes32(o.Priority[:])
	f.MaxFeePerGas.SetBytes32(o.Max[:])
	return f
}

func (o *order) setFee(f eth.Fee) {
	o.Priority, o.Max = f.MaxPriorityFeePerGas.Bytes32(), f.MaxFeePerGas.Bytes32()
}

func (o *order) sent() Sent {
	s := Sent{Nonce: o.Nonce}
	if len(o.Raw) > 0 {
		hash := eth.Hash(eth.Keccak256(o.Raw)).String()
		s.Hash = &hash
	}
	if o.Problem != "" {
		s.Problem = &o.Problem
	}
	return s
}

// state is what survives upgrades.
type state struct {
	Key     string              `candid:"key"`
	ChainID uint64              `candid:"chain_id"`
	EvmRPC  principal.Principal `candid:"evm_rpc"`
	Next    uint64              `candid:"next"`   // the next payment's nonce, unless the chain is further
	Orders  []order             `candid:"orders"` // by nonce
}

type wallet struct {
	c    *cdk.Canister
	cell *stable.Cell
	state
	// What follows is on the heap: an upgrade forgets it. Stop the canister before, so that no call is open.
	public []byte          // the key, once asked for
	busy   map[uint64]bool // nonces that are being signed or sent
}

// Canister registers the canister's methods.
func Canister(c *cdk.Canister) {
	w := &wallet{c: c, busy: map[uint64]bool{}}
	cdk.Init(c, func(a InitArg) {
		w.open()
		w.state = state{Key: a.Key, ChainID: a.ChainID, EvmRPC: wellKnown}
		if a.EvmRPC != nil {
			w.EvmRPC = *a.EvmRPC
		}
		w.save()
	})
	cdk.PostUpgrade(c, func(*InitArg) {
		w.open()
		if err := candid.Unmarshal(w.cell.Get(nil), &w.state); err != nil {
			c.Trap("%v", err)
		}
	})

	// address asks the subnet for the key the first time, hence no query.
	cdk.UpdateAsync(c, "address", func(_ *cdk.Msg, _ cdk.None, out *cdk.Reply[string]) {
		w.address(func(a eth.Address, err error) {
			if err != nil {
				out.Reject("%v", err)
				return
			}
			out.Send(a.String())
		})
	})
	cdk.UpdateAsync(c, "send_eth", func(m *cdk.Msg, a cdk.Args2[string, candid.Nat], out *cdk.Reply[Sent]) {
		to, err := eth.ParseAddress(a.First)
		value, err2 := bits256(a.Second)
		w.spend(m, order{To: to, Value: value, Gas: eth.GasTransferETH}, errors.Join(err, err2), out)
	})
	cdk.UpdateAsync(c, "erc20_transfer", func(m *cdk.Msg, a cdk.Args3[string, string, candid.Nat], out *cdk.Reply[Sent]) {
		token, err := eth.ParseAddress(a.First)
		to, err2 := eth.ParseAddress(a.Second)
		amount, err3 := bits256(a.Third)
		data := eth.PackTransfer(to, new(uint256.Int).SetBytes32(amount[:]))
		w.spend(m, order{To: token, Data: data, Gas: gasERC20}, errors.Join(err, err2, err3), out)
	})
	cdk.UpdateAsync(c, "swap", func(m *cdk.Msg, a Swap, out *cdk.Reply[Sent]) {
		w.address(func(self eth.Address, err error) {
			o, err2 := a.order(self)
			w.spend(m, o, errors.Join(err, err2), out)
		})
	})
	cdk.UpdateAsync(c, "sign_message", func(m *cdk.Msg, text string, out *cdk.Reply[string]) {
		w.signFor(m, eth.PersonalDigest([]byte(text)), nil, out)
	})
	cdk.UpdateAsync(c, "sign_typed_data", func(m *cdk.Msg, data TypedData, out *cdk.Reply[string]) {
		digest, err := data.digest(w.ChainID)
		w.signFor(m, digest, err, out)
	})

	// pending lists the payments that the chain was not seen to have mined.
	cdk.Query(c, "pending", func(*cdk.Msg, cdk.None) []Sent { return w.pending() })
	cdk.UpdateAsync(c, "resume", func(m *cdk.Msg, _ cdk.None, out *cdk.Reply[[]Sent]) {
		if err := w.allowed(m, nil); err != nil {
			out.Reject("%v", err)
			return
		}
		w.prepare(func(_ eth.Fee, err error) {
			if err != nil {
				out.Reject("%v", err)
				return
			}
			var nonces []uint64
			for _, o := range w.Orders {
				nonces = append(nonces, o.Nonce)
			}
			w.resume(nonces, func() { out.Send(w.pending()) })
		})
	})
	// cancel puts a transaction that does nothing in a payment's place. Which of them is mined, the chain decides.
	cdk.UpdateAsync(c, "cancel", func(m *cdk.Msg, nonce uint64, out *cdk.Reply[Sent]) {
		if err := w.allowed(m, nil); err != nil {
			out.Reject("%v", err)
			return
		}
		w.prepare(func(fee eth.Fee, err error) {
			o := w.order(nonce)
			switch {
			case err != nil:
				out.Reject("%v", err)
			case o == nil:
				out.Reject("no payment with nonce %d is pending", nonce)
			case w.busy[nonce]:
				out.Reject("the payment with nonce %d is being signed or sent", nonce)
			default:
				self, _ := eth.AddressFromPubKey(w.public) // prepare has had it
				instead := order{Nonce: nonce, To: self, Gas: eth.GasTransferETH}
				instead.setFee(eth.Bump(o.fee(), uint256.Int{}).Max(fee))
				*o = instead
				w.carry(nonce, func() { out.Send(w.order(nonce).sent()) })
			}
		})
	})
}

// selSwap is swapExactETHForTokens(uint256,address[],address,uint256).
var selSwap = eth.Selector{0x7f, 0xf3, 0x6a, 0xb5}

func (a *Swap) order(self eth.Address) (order, error) {
	router, err := eth.ParseAddress(a.Router)
	weth, err2 := eth.ParseAddress(a.WETH)
	token, err3 := eth.ParseAddress(a.Token)
	value, err4 := bits256(a.Amount)
	least, err5 := bits256(a.MinTokens)
	const path = 4 * 32 // where it begins, behind the four arguments
	data := eth.Pack(selSwap, least, eth.WordUint64(path), eth.WordAddress(self), eth.WordUint64(a.Deadline),
		eth.WordUint64(2), eth.WordAddress(weth), eth.WordAddress(token))
	return order{To: router, Value: value, Data: data, Gas: gasSwap}, errors.Join(err, err2, err3, err4, err5)
}

func (w *wallet) open() {
	var err error
	if w.cell, err = stable.OpenCell(w.c.Stable()); err != nil {
		w.c.Trap("%v", err)
	}
}

func (w *wallet) save() {
	data, err := candid.Marshal(w.state)
	if err == nil {
		err = w.cell.Set(data)
	}
	if err != nil {
		w.c.Trap("%v", err)
	}
}

// allowed is why a call is refused: its caller is a stranger, or it has a problem of its own.
func (w *wallet) allowed(m *cdk.Msg, problem error) error {
	if !w.c.IsController(m.Caller()) {
		return errors.New("only controllers may use the wallet")
	}
	return problem
}

// bits256 is a number of at most 256 bits.
func bits256(n candid.Nat) (out [32]byte, err error) {
	b := n.Big()
	if b.BitLen() > 256 {
		return out, errors.New("the amount has more than 256 bits")
	}
	b.FillBytes(out[:])
	return out, nil
}

func (w *wallet) order(nonce uint64) *order {
	i, ok := slices.BinarySearchFunc(w.Orders, nonce, func(o order, n uint64) int { return cmp.Compare(o.Nonce, n) })
	if !ok {
		return nil
	}
	return &w.Orders[i]
}

func (w *wallet) pending() []Sent {
	out := []Sent{}
	for i := range w.Orders {
		out = append(out, w.Orders[i].sent())
	}
	return out
}

// address is that of the canister's key at the empty path.
func (w *wallet) address(done func(eth.Address, error)) {
	if w.public != nil {
		done(eth.AddressFromPubKey(w.public))
		return
	}
	w.c.ECDSAPublicKey(cdk.ECDSAPublicKeyArgs{KeyID: cdk.Secp256k1Key(w.Key)}, func(k cdk.ECDSAPublicKey, err error) {
		if err != nil {
			done(eth.Address{}, err)
			return
		}
		a, err := eth.AddressFromPubKey(k.PublicKey)
		if err == nil {
			w.public = k.PublicKey
		}
		done(a, err)
	})
}

// sign has the subnet sign a digest. The cleanup runs if done traps.
func (w *wallet) sign(digest [32]byte, cleanup func(), done func(eth.Signature, error)) {
	args := cdk.SignWithECDSAArgs{MessageHash: digest[:], KeyID: cdk.Secp256k1Key(w.Key)}
	type reply struct {
		Signature []byte `candid:"signature"`
	}
	cdk.Then(w.c.Call(principal.Management, "sign_with_ecdsa", args).WithCycles(cdk.CyclesOf(signatureCycles)).OnCleanup(cleanup), func(r reply, err error) {
		if err == nil && len(r.Signature) != 64 {
			err = fmt.Errorf("signature of %d bytes, want 64", len(r.Signature))
		}
		if err != nil {
			done(eth.Signature{}, err)
			return
		}
		done(eth.NewSignature(digest, [64]byte(r.Signature), w.public))
	})
}

// signFor answers with a signature of a digest, unless there is a problem with it.
func (w *wallet) signFor(m *cdk.Msg, digest [32]byte, problem error, out *cdk.Reply[string]) {
	if err := w.allowed(m, problem); err != nil {
		out.Reject("%v", err)
		return
	}
	w.address(func(_ eth.Address, err error) {
		if err != nil {
			out.Reject("%v", err)
			return
		}
		w.sign(digest, nil, func(sig eth.Signature, err error) {
			if err != nil {
				out.Reject("%v", err)
				return
			}
			out.Send(fmt.Sprintf("0x%x", sig.Bytes()))
		})
	})
}

// spend gives a payment a nonce and carries it out, unless there is a problem with it.
func (w *wallet) spend(m *cdk.Msg, o order, problem error, out *cdk.Reply[Sent]) {
	if err := w.allowed(m, problem); err != nil {
		out.Reject("%v", err)
		return
	}
	w.prepare(func(fee eth.Fee, err error) {
		if err == nil && len(w.Orders) >= maxOrders {
			err = fmt.Errorf("%d payments are pending: resume or cancel them first", len(w.Orders))
		}
		if err != nil {
			out.Reject("%v", err)
			return
		}
		// Other payments may have begun while the chain was asked. From here to the call nobody comes in between.
		o.Nonce = w.Next
		o.setFee(fee)
		w.Next++
		w.Orders = append(w.Orders, o)
		w.carry(o.Nonce, func() { out.Send(w.order(o.Nonce).sent()) })
	})
}

// prepare learns the key, the fee and how many transactions of the wallet are mined, and forgets those orders.
func (w *wallet) prepare(done func(eth.Fee, error)) {
	w.address(func(a eth.Address, err error) {
		if err != nil {
			done(eth.Fee{}, err)
			return
		}
		w.ask(a, func(mined uint64, fee eth.Fee, err error) {
			if err == nil {
				w.Next = max(w.Next, mined)
				w.Orders = slices.DeleteFunc(w.Orders, func(o order) bool { return o.Nonce < mined && !w.busy[o.Nonce] })
				w.save()
			}
			done(fee, err)
		})
	})
}

// carry has an order signed, unless it is, and sent. An order that is busy stays in the list.
func (w *wallet) carry(nonce uint64, done func()) {
	w.busy[nonce] = true
	release := func() { delete(w.busy, nonce) }
	end := func(problem string) {
		release()
		w.order(nonce).Problem = problem
		w.save()
		done()
	}
	send := func() {
		w.send(w.order(nonce).Raw, release, func(err error) {
			if err != nil {
				end(err.Error())
				return
			}
			end("")
		})
	}
	w.save()
	o := w.order(nonce)
	if len(o.Raw) > 0 {
		send()
		return
	}
	tx := o.transaction(w.ChainID)
	w.sign(tx.SigningHash(), release, func(sig eth.Signature, err error) {
		if err != nil {
			end("not signed: " + err.Error())
			return
		}
		signed := eth.Signed{Transaction: tx, Signature: sig}
		w.order(nonce).Raw = signed.Raw()
		w.save()
		send()
	})
}

// resume carries on orders one after the other.
func (w *wallet) resume(nonces []uint64, done func()) {
	for i, n := range nonces {
		if w.order(n) != nil && !w.busy[n] {
			w.carry(n, func() { w.resume(nonces[i+1:], done) })
			return
		}
	}
	done()
}
