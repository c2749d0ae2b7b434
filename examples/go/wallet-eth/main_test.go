package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"testing"

	secp "github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/signer/core/apitypes"
	"github.com/holiman/uint256"

	"fusion/cdk"
	"fusion/cdk/native"
	"fusion/eth"
	"fusion/ic/candid"
	"fusion/ic/principal"
)

const chainID = 1337

var (
	id     = principal.FromUint64(1)
	owner  = principal.MustFromBytes([]byte("owner"))
	thief  = principal.MustFromBytes([]byte("thief"))
	friend = eth.Address{1, 2, 3}
)

// ledger is an Ethereum that takes transactions in the order of nonces, of one sender.
type ledger struct {
	t       *testing.T
	sender  eth.Address
	funds   uint256.Int
	pool    map[uint64]eth.Signed
	mined   []eth.Signed
	down    bool // providers do not answer
	refuses int  // signatures that the subnet refuses
	key     *secp.PrivateKey
	asked   map[string]int
}

func (l *ledger) mine() {
	for {
		tx, ok := l.pool[uint64(len(l.mined))]
		if !ok {
			return
		}
		l.mined = append(l.mined, tx)
		l.funds.Sub(&l.funds, &tx.Value)
	}
}

func ok[T any](v T) multi[T] { return multi[T]{Consistent: &result[T]{Ok: &v}} }

// rpc answers as the EVM-RPC canister does.
func (l *ledger) rpc(in *native.Incoming) {
	l.asked[in.Method]++
	var s rpcServices
	decode := func(arg any) {
		if err := candid.Unmarshal(in.Arg, &s, &candid.Reserved{}, arg); err != nil {
			l.t.Fatalf("%s: %v", in.Method, err)
		}
	}
	if l.down {
		e := &rpcError{Outcall: &outcallError{IC: &struct {
			Message string `candid:"message"`
		}{"no provider answers"}}}
		in.Reply(multi[candid.Nat]{Consistent: &result[candid.Nat]{Err: e}})
		return
	}
	n := candid.NatFromUint64
	switch in.Method {
	case "eth_getTransactionCount":
		var a countArgs
		decode(&a)
		if a.Address != l.sender.String() || a.Block.Latest == nil {
			l.t.Errorf("count of %+v", a)
		}
		in.Reply(ok(n(uint64(len(l.mined)))))
	case "eth_feeHistory":
		var a feeHistoryArgs
		decode(&a)
		in.Reply(ok(feeHistory{BaseFeePerGas: []candid.Nat{n(9e9), n(8e9)}, Reward: [][]candid.Nat{{n(2e9)}}}))
	case "eth_sendRawTransaction":
		var text string
		decode(&text)
		raw, err := hex.DecodeString(strings.TrimPrefix(text, "0x"))
		if err != nil {
			l.t.Fatal(err)
		}
		tx, err := eth.ParseSigned(raw)
		if err != nil {
			l.t.Fatalf("%x: %v", raw, err)
		}
		if a, err := tx.Sender(); err != nil || a != l.sender || tx.ChainID != chainID {
			l.t.Errorf("a transaction from %s on chain %d, %v", a, tx.ChainID, err)
		}
		switch {
		case tx.Nonce < uint64(len(l.mined)):
			in.Reply(ok(sendStatus{NonceTooLow: candid.Unit}))
		case tx.Value.Gt(&l.funds):
			in.Reply(ok(sendStatus{InsufficientFunds: candid.Unit}))
		default:
			l.pool[tx.Nonce] = tx
			in.Reply(ok(sendStatus{Ok: &candid.Reserved{}}))
		}
	default:
		in.Reject(cdk.DestinationInvalid, "no method "+in.Method)
	}
	if s.Custom == nil || s.Custom.ChainID != chainID || len(s.Custom.Services) != 0 {
		l.t.Errorf("%s asks %+v", in.Method, s)
	}
}

// management signs as the subnet does: s may be high and there is no recovery id.
func (l *ledger) management(in *native.Incoming) {
	switch in.Method {
	case "ecdsa_public_key":
		in.Reply(cdk.ECDSAPublicKey{PublicKey: l.key.PubKey().SerializeCompressed(), ChainCode: make([]byte, 32)})
	case "sign_with_ecdsa":
		var a cdk.SignWithECDSAArgs
		if err := candid.Unmarshal(in.Arg, &a); err != nil || a.KeyID.Name != "dfx_test_key" {
			l.t.Fatalf("%+v, %v", a, err)
		}
		if l.refuses > 0 {
			l.refuses--
			in.Reject(cdk.SysTransient, "the queue is full")
			return
		}
		in.Accept(cdk.CyclesOf(26_153_846_153))
		rs := ecdsa.SignCompact(l.key, a.MessageHash, true)[1:]
		if a.MessageHash[0]&1 == 1 {
			var s secp.ModNScalar
			s.SetByteSlice(rs[32:])
			b := s.Negate().Bytes()
			copy(rs[32:], b[:])
		}
		in.Reply(struct {
			Signature []byte `candid:"signature"`
		}{rs})
	default:
		in.Reject(cdk.DestinationInvalid, "no method "+in.Method)
	}
}

func world(t *testing.T, seed uint64) (*native.World, *ledger) {
	t.Helper()
	w := native.NewWorld(seed)
	l := &ledger{t: t, key: secp.PrivKeyFromBytes([]byte{31: 7}), pool: map[uint64]eth.Signed{}, asked: map[string]int{}}
	l.funds.SetUint64(1e18)
	var err error
	if l.sender, err = eth.AddressFromPubKey(l.key.PubKey().SerializeCompressed()); err != nil {
		t.Fatal(err)
	}
	w.Handle(principal.Management, l.management)
	w.Handle(wellKnown, l.rpc)
	if err := w.Install(id, Canister, InitArg{Key: "dfx_test_key", ChainID: chainID}, native.Controllers(owner)); err != nil {
		t.Fatal(err)
	}
	return w, l
}

func send(t *testing.T, w *native.World, to eth.Address, amount uint64) Sent {
	t.Helper()
	s, err := native.Update[Sent](w, owner, id, "send_eth", to.String(), candid.NatFromUint64(amount))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func expect(t *testing.T, s Sent, nonce uint64, problem string) {
	t.Helper()
	if s.Nonce != nonce || (s.Problem == nil) != (problem == "") || s.Problem != nil && !strings.Contains(*s.Problem, problem) {
		text, _ := json.Marshal(s)
		t.Fatalf("%s, want nonce %d and problem %q", text, nonce, problem)
	}
}

func TestPayments(t *testing.T) {
	w, l := world(t, 1)
	if a, err := native.Update[string](w, thief, id, "address"); err != nil || a != l.sender.String() {
		t.Errorf("address %s, %v; want %s", a, err, l.sender)
	}
	s := send(t, w, friend, 1e9)
	expect(t, s, 0, "")
	if got := l.pool[0]; *s.Hash != got.Hash().String() || got.To != friend || got.Value.Uint64() != 1e9 || got.GasLimit != 21000 || len(got.Data) != 0 ||
		got.MaxPriorityFeePerGas.Uint64() != 2e9 || got.MaxFeePerGas.Uint64() != 18e9 {
		t.Errorf("%+v of hash %s, want %s", got, got.Hash(), *s.Hash)
	}
	token := eth.Address{9}
	s, err := native.Update[Sent](w, owner, id, "erc20_transfer", token.String(), friend.String(), candid.NatFromUint64(77))
	if err != nil {
		t.Fatal(err)
	}
	expect(t, s, 1, "")
	if got := l.pool[1]; got.To != token || !got.Value.IsZero() || string(got.Data) != string(eth.PackTransfer(friend, uint256.NewInt(77))) {
		t.Errorf("%+v", got)
	}
	s, err = native.Update[Sent](w, owner, id, "swap", Swap{Router: token.String(), WETH: friend.String(), Token: token.String(), Amount: candid.NatFromUint64(5),
		MinTokens: candid.NatFromUint64(6), Deadline: 7})
	if err != nil {
		t.Fatal(err)
	}
	expect(t, s, 2, "")
	router, err := abi.JSON(strings.NewReader(`[{"type": "function", "name": "swapExactETHForTokens", "stateMutability": "payable", "outputs": [], "inputs": [
		{"name": "least", "type": "uint256"}, {"name": "path", "type": "address[]"}, {"name": "to", "type": "address"}, {"name": "deadline", "type": "uint256"}]}]`))
	if err != nil {
		t.Fatal(err)
	}
	want, err := router.Pack("swapExactETHForTokens", big.NewInt(6), []common.Address{common.Address(friend), common.Address(token)}, common.Address(l.sender), big.NewInt(7))
	if got := l.pool[2]; err != nil || got.To != token || got.Value.Uint64() != 5 || !bytes.Equal(got.Data, want) {
		t.Errorf("%+v, want the call %x, %v", got, want, err)
	}
	l.mine()
	if err := w.Upgrade(id, Canister, nil); err != nil {
		t.Fatal(err)
	}
	expect(t, send(t, w, friend, 1), 3, "")
	if p, err := native.Query[[]Sent](w, owner, id, "pending"); err != nil || len(p) != 1 || p[0].Nonce != 3 {
		t.Errorf("pending after three of four are mined: %+v, %v", p, err)
	}
}

// TestConcurrentPayments has payments begin at once, in an order that the seed decides: each has a nonce of its own, and there is no gap.
func TestConcurrentPayments(t *testing.T) {
	for seed := range uint64(20) {
		w, l := world(t, seed)
		var calls []*native.Pending
		for i := range uint64(8) {
			p, err := w.Submit(owner, id, "send_eth", friend.String(), candid.NatFromUint64(100+i))
			if err != nil {
				t.Fatal(err)
			}
			calls = append(calls, p)
		}
		if err := w.Run(); err != nil {
			t.Fatal(err)
		}
		for i, p := range calls {
			if a := p.Answer(); a == nil || a.Err != nil {
				t.Fatalf("seed %d: payment %d: %+v", seed, i, a)
			}
		}
		l.mine()
		amounts := map[uint64]bool{}
		for _, tx := range l.mined {
			amounts[tx.Value.Uint64()] = true
		}
		if len(l.mined) != 8 || len(amounts) != 8 {
			t.Fatalf("seed %d: %d transactions mined, of %d amounts", seed, len(l.mined), len(amounts))
		}
	}
}

// TestTrouble: what was not signed or not sent keeps its nonce and is carried on, once, or cancelled.
func TestTrouble(t *testing.T) {
	w, l := world(t, 1)
	l.down = true
	if _, err := native.Update[Sent](w, owner, id, "send_eth", friend.String(), candid.NatFromUint64(1)); err == nil || !strings.Contains(err.Error(), "no provider answers") {
		t.Fatalf("without providers: %v", err)
	}
	l.down, l.refuses = false, 1
	s := send(t, w, friend, 1)
	expect(t, s, 0, "the queue is full")
	if s.Hash != nil {
		t.Error("it has a hash without a signature")
	}
	expect(t, send(t, w, friend, 2), 1, "") // it waits for the first
	expect(t, send(t, w, friend, 2e18), 2, "too little ETH")
	if l.mine(); len(l.mined) != 0 {
		t.Fatalf("%d are mined although the first is missing", len(l.mined))
	}
	list, err := native.Update[[]Sent](w, owner, id, "resume")
	if err != nil || len(list) != 3 {
		t.Fatalf("%+v, %v", list, err)
	}
	expect(t, list[0], 0, "")
	expect(t, list[2], 2, "too little ETH")
	if l.mine(); len(l.mined) != 2 {
		t.Fatalf("%d are mined, want 2", len(l.mined))
	}
	before := l.asked["eth_sendRawTransaction"]
	s, err = native.Update[Sent](w, owner, id, "cancel", uint64(2))
	if err != nil {
		t.Fatal(err)
	}
	expect(t, s, 2, "")
	if got := l.pool[2]; got.To != l.sender || !got.Value.IsZero() || got.MaxFeePerGas.Uint64() < 18e9*11/10 {
		t.Errorf("instead of the payment: %+v", got)
	}
	if n := l.asked["eth_sendRawTransaction"] - before; n != 1 {
		t.Errorf("cancelling sends %d transactions", n)
	}
	l.mine()
	if _, err := native.Update[Sent](w, owner, id, "cancel", uint64(1)); err == nil || !strings.Contains(err.Error(), "no payment") {
		t.Errorf("cancelling what is mined: %v", err)
	}
	if list, err := native.Update[[]Sent](w, owner, id, "resume"); err != nil || len(list) != 0 {
		t.Errorf("at the end: %+v, %v", list, err)
	}
}

func TestOrdersAreBounded(t *testing.T) {
	w, l := world(t, 1)
	l.refuses = 1
	for n := range uint64(maxOrders) {
		send(t, w, friend, n)
	}
	if _, err := native.Update[Sent](w, owner, id, "send_eth", friend.String(), candid.NatFromUint64(1)); err == nil || !strings.Contains(err.Error(), "20 payments are pending") {
		t.Errorf("%v", err)
	}
}

func TestOnlyControllersMaySpend(t *testing.T) {
	w, l := world(t, 1)
	text, n := friend.String(), candid.NatFromUint64(1)
	for method, args := range map[string][]any{"send_eth": {text, n}, "erc20_transfer": {text, text, n}, "swap": {Swap{Router: text, WETH: text, Token: text}}, "sign_message": {"hello"}, "sign_typed_data": {mail()},
		"resume": {}, "cancel": {uint64(0)}} {
		if _, err := w.UpdateRaw(thief, id, method, candid.MustMarshal(args...)); err == nil || !strings.Contains(err.Error(), "only controllers") {
			t.Errorf("%s: %v", method, err)
		}
	}
	if len(l.asked) != 0 {
		t.Errorf("for a stranger the wallet asked %v", l.asked)
	}
	for what, args := range map[string][]any{
		"0x and 40": {"friend", n}, "checksum": {"0x5AAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", n}, "256 bits": {text, candid.NatFromBig(new(big.Int).Lsh(big.NewInt(1), 256))},
	} {
		if _, err := w.UpdateRaw(owner, id, "send_eth", candid.MustMarshal(args...)); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%v: %v, want %q", args, err, what)
		}
	}
}

// signer recovers the address as go-ethereum does.
func signer(t *testing.T, digest []byte, signature string) eth.Address {
	t.Helper()
	sig, err := hex.DecodeString(strings.TrimPrefix(signature, "0x"))
	if err != nil || len(sig) != 65 || sig[64] != 27 && sig[64] != 28 {
		t.Fatalf("signature %s, %v", signature, err)
	}
	sig[64] -= 27
	key, err := crypto.SigToPub(digest, sig)
	if err != nil {
		t.Fatal(err)
	}
	return eth.Address(crypto.PubkeyToAddress(*key))
}

func TestMessages(t *testing.T) {
	w, l := world(t, 1)
	for _, text := range []string{"", "hello", "grüße", strings.Repeat("long", 1000)} {
		sig, err := native.Update[string](w, owner, id, "sign_message", text)
		if err != nil {
			t.Fatal(err)
		}
		digest := crypto.Keccak256(fmt.Appendf(nil, "\x19Ethereum Signed Message:\n%d%s", len(text), text))
		if got := signer(t, digest, sig); got != l.sender {
			t.Errorf("%q is signed by %s, want %s", text, got, l.sender)
		}
	}
}

func ptr[T any](v T) *T { return &v }

func text(s string) Value   { return Value{String: &s} }
func vals(v ...Value) Value { return Value{Values: &v} }
func num(n int64) Value     { return Value{Number: ptr(candid.IntFromInt64(n))} }
func raw(b ...byte) Value   { return Value{Bytes: &b} }

// mail is a message with every kind of type. mailJSON is the same for go-ethereum.
func mail() TypedData {
	return TypedData{
		Domain: Domain{Name: ptr("Mail"), Version: ptr("1"), ChainID: ptr(candid.NatFromUint64(chainID)), VerifyingContract: ptr(friend.String()), Salt: ptr(make([]byte, 32))},
		Types: []Type{
			{"Person", []Field{{"name", "string"}, {"wallets", "address[]"}, {"boss", "Boss"}}},
			{"Boss", []Field{{"rank", "uint8"}}},
			{"Mail", []Field{{"from", "Person"}, {"to", "Person[2]"}, {"contents", "bytes"}, {"tag", "bytes4"}, {"change", "int256"}, {"urgent", "bool"}, {"grid", "int16[][]"}}},
		},
		PrimaryType: "Mail",
		Message: []Value{
			vals(text("alice"), vals(text(friend.String())), vals(num(255))),
			vals(vals(text("bob"), vals(), vals(num(0))), vals(text("grüße"), vals(text(friend.String()), text(friend.String())), vals(num(7)))),
			raw(1, 2, 3), raw(0xde, 0xad, 0xbe, 0xef), num(-5), {Boolean: ptr(true)}, vals(vals(num(-1), num(2)), vals()),
		},
	}
}

const mailJSON = `{
	"domain": {"name": "Mail", "version": "1", "chainId": 1337, "verifyingContract": "0x0102030000000000000000000000000000000000",
		"salt": "0x0000000000000000000000000000000000000000000000000000000000000000"},
	"types": {
		"EIP712Domain": [{"name": "name", "type": "string"}, {"name": "version", "type": "string"}, {"name": "chainId", "type": "uint256"},
			{"name": "verifyingContract", "type": "address"}, {"name": "salt", "type": "bytes32"}],
		"Person": [{"name": "name", "type": "string"}, {"name": "wallets", "type": "address[]"}, {"name": "boss", "type": "Boss"}],
		"Boss": [{"name": "rank", "type": "uint8"}],
		"Mail": [{"name": "from", "type": "Person"}, {"name": "to", "type": "Person[2]"}, {"name": "contents", "type": "bytes"}, {"name": "tag", "type": "bytes4"},
			{"name": "change", "type": "int256"}, {"name": "urgent", "type": "bool"}, {"name": "grid", "type": "int16[][]"}]
	},
	"primaryType": "Mail",
	"message": {"from": {"name": "alice", "wallets": ["0x0102030000000000000000000000000000000000"], "boss": {"rank": 255}},
		"to": [{"name": "bob", "wallets": [], "boss": {"rank": 0}},
			{"name": "grüße", "wallets": ["0x0102030000000000000000000000000000000000", "0x0102030000000000000000000000000000000000"], "boss": {"rank": 7}}],
		"contents": "0x010203", "tag": "0xdeadbeef", "change": "-5", "urgent": true, "grid": [["-1", "2"], []]}
}`

func TestTypedData(t *testing.T) {
	w, l := world(t, 1)
	var reference apitypes.TypedData
	if err := json.Unmarshal([]byte(mailJSON), &reference); err != nil {
		t.Fatal(err)
	}
	digest, _, err := apitypes.TypedDataAndHash(reference)
	if err != nil {
		t.Fatal(err)
	}
	sig, err := native.Update[string](w, owner, id, "sign_typed_data", mail())
	if err != nil {
		t.Fatal(err)
	}
	if got := signer(t, digest, sig); got != l.sender {
		t.Errorf("signed by %s, want %s", got, l.sender)
	}
}

func TestTypedDataThatIsRefused(t *testing.T) {
	for what, change := range map[string]func(*TypedData){
		"for chain 1":        func(d *TypedData) { d.Domain.ChainID = ptr(candid.NatFromUint64(1)) },
		"domain is empty":    func(d *TypedData) { d.Domain = Domain{} },
		"salt of 3 bytes":    func(d *TypedData) { d.Domain.Salt = ptr([]byte{1, 2, 3}) },
		"ethereum address":   func(d *TypedData) { d.Domain.VerifyingContract = ptr("0x1") },
		"no type \"Letter\"": func(d *TypedData) { d.PrimaryType = "Letter" },
		"\"Boss\" is there":  func(d *TypedData) { d.Types[0].Name = "Boss" },
		"needs 7 fields":     func(d *TypedData) { d.Message = d.Message[1:] },
		"type \"uint8\"":     func(d *TypedData) { d.Message[0] = vals(text("alice"), vals(), vals(num(256))) },
		"type \"Person[2]\"": func(d *TypedData) { d.Message[1] = vals() },
		"type \"bytes\"":     func(d *TypedData) { d.Message[2] = text("0x010203") },
		"type \"bytes4\"":    func(d *TypedData) { d.Message[3] = raw(1, 2, 3) },
		"type \"int256\"":    func(d *TypedData) { d.Message[4].Number = ptr(candid.IntFromBig(new(big.Int).Lsh(big.NewInt(1), 255))) },
		"type \"bytes33\"":   func(d *TypedData) { d.Types[2].Fields[3].Type, d.Message[3] = "bytes33", raw(make([]byte, 33)...) },
		"type \"int7\"":      func(d *TypedData) { d.Types[2].Fields[4].Type = "int7" },
		"type \"Stranger\"":  func(d *TypedData) { d.Types[2].Fields[4].Type = "Stranger" },
		"nested too deeply":  nest,
	} {
		d := mail()
		change(&d)
		if _, err := d.digest(chainID); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%v, want %q", err, what)
		}
	}
}

func nest(d *TypedData) {
	v := vals()
	for range maxNesting {
		v = vals(v)
	}
	d.Types[2].Fields[6].Type = "int16" + strings.Repeat("[]", maxNesting+1)
	d.Message[6] = v
}

func TestErrorsOfTheRPCCanister(t *testing.T) {
	n := candid.NatFromUint64(5)
	for want, e := range map[string]rpcError{
		"no provider for this": {Provider: &providerError{Missing: candid.Unit}},
		"wants 5 cycles": {Provider: &providerError{TooFewCycles: &struct {
			Expected candid.Nat `candid:"expected"`
		}{n}}},
		"malformed: 0xq": {Validation: &validationError{Hex: ptr("0xq")}},
		"status 503": {Outcall: &outcallError{Response: &struct {
			Status uint16 `candid:"status"`
		}{503}}},
	} {
		if got := e.Error(); !strings.Contains(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
