package rosetta

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coinbase/rosetta-sdk-go/parser"
	"github.com/coinbase/rosetta-sdk-go/types"
	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	k1ecdsa "github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"

	"fusion/ckledger/icrc"
	"fusion/ic/agent"
	"fusion/ic/principal"
)

// wallet holds a key as a user of the API does; it signs the bytes that it is given.
type wallet struct {
	key  *types.PublicKey
	sign func([]byte) []byte
}

func wallets(t testing.TB) map[string]*wallet {
	t.Helper()
	k1, err := secp256k1.GeneratePrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	r1, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	r1Key := &types.PublicKey{Bytes: elliptic.MarshalCompressed(elliptic.P256(), r1.X, r1.Y), CurveType: types.Secp256r1}
	r1Sign := func(digest []byte) (r, s *big.Int) {
		r, s, err := ecdsa.Sign(rand.Reader, r1, digest)
		if err != nil {
			t.Fatal(err)
		}
		return r, s
	}
	return map[string]*wallet{
		"secp256k1": {&types.PublicKey{Bytes: k1.PubKey().SerializeCompressed(), CurveType: types.Secp256k1}, func(digest []byte) []byte {
			sig := k1ecdsa.Sign(k1, digest)
			r, s := sig.R(), sig.S()
			rb, sb := r.Bytes(), s.Bytes()
			return append(rb[:], sb[:]...)
		}},
		"secp256r1": {r1Key, func(digest []byte) []byte {
			r, s := r1Sign(digest)
			out := make([]byte, 64)
			r.FillBytes(out[:32])
			s.FillBytes(out[32:])
			return out
		}},
		// As rosetta-cli 0.10.4 signs, when it is unlucky.
		"secp256r1 without leading zeros": {r1Key, func(digest []byte) []byte {
			for {
				r, s := r1Sign(digest)
				if out := append(r.Bytes(), s.Bytes()...); len(out) < 64 && len(out) > 40 {
					return out
				}
			}
		}},
		"edwards25519": {&types.PublicKey{Bytes: public, CurveType: types.Edwards25519}, func(msg []byte) []byte { return ed25519.Sign(ed, msg) }},
	}
}

// account derives the wallet's account, or a subaccount of it.
func (a *wallet) account(w *world, sub string) *types.AccountIdentifier {
	q := &types.ConstructionDeriveRequest{NetworkIdentifier: w.network(), PublicKey: a.key}
	if sub != "" {
		q.Metadata = map[string]any{metaSub: sub}
	}
	return ask[types.ConstructionDeriveResponse](w, "/construction/derive", q).AccountIdentifier
}

func (w *world) amount(v string) *types.Amount {
	return &types.Amount{Value: v, Currency: w.l.currency}
}

func op(i int64, kind string, a *types.AccountIdentifier, v *types.Amount) *types.Operation {
	return &types.Operation{OperationIdentifier: &types.OperationIdentifier{Index: i}, Type: kind, Account: a, Amount: v}
}

// prepared is a transaction on its way.
type prepared struct {
	ops      []*types.Operation
	unsigned *types.ConstructionPayloadsResponse
	signed   string
	hash     string
}

// prepare goes through all of construction but the submission, and checks at each step what rosetta-cli checks.
func (w *world) prepare(a *wallet, ops []*types.Operation, choices map[string]any) *prepared {
	w.t.Helper()
	n := w.network()
	pre := ask[types.ConstructionPreprocessResponse](w, "/construction/preprocess", &types.ConstructionPreprocessRequest{NetworkIdentifier: n, Operations: ops, Metadata: choices})
	meta := ask[types.ConstructionMetadataResponse](w, "/construction/metadata", &types.ConstructionMetadataRequest{NetworkIdentifier: n, Options: pre.Options})
	if meta.SuggestedFee[0].Value != "10" {
		w.t.Fatalf("suggested fee: %v", meta.SuggestedFee)
	}
	q := &types.ConstructionPayloadsRequest{NetworkIdentifier: n, Operations: ops, Metadata: meta.Metadata, PublicKeys: []*types.PublicKey{a.key}}
	p := &prepared{ops: ops, unsigned: ask[types.ConstructionPayloadsResponse](w, "/construction/payloads", q)}
	if again := ask[types.ConstructionPayloadsResponse](w, "/construction/payloads", q); again.UnsignedTransaction != p.unsigned.UnsignedTransaction {
		w.t.Fatal("the same metadata made another transaction")
	}
	check := parser.New(nil, nil, nil)
	parsed := ask[types.ConstructionParseResponse](w, "/construction/parse", &types.ConstructionParseRequest{NetworkIdentifier: n, Transaction: p.unsigned.UnsignedTransaction})
	if err := check.ExpectedOperations(ops, parsed.Operations, true, false); err != nil || len(parsed.AccountIdentifierSigners) > 0 {
		w.t.Fatalf("unsigned: %v, %v", err, parsed.AccountIdentifierSigners)
	}
	var signatures []*types.Signature
	for i := range p.unsigned.Payloads { // in another order
		s := p.unsigned.Payloads[len(p.unsigned.Payloads)-1-i]
		signatures = append(signatures, &types.Signature{SigningPayload: s, PublicKey: a.key, SignatureType: s.SignatureType, Bytes: a.sign(s.Bytes)})
	}
	p.signed = ask[types.ConstructionCombineResponse](w, "/construction/combine",
		&types.ConstructionCombineRequest{NetworkIdentifier: n, UnsignedTransaction: p.unsigned.UnsignedTransaction, Signatures: signatures}).SignedTransaction
	parsed = ask[types.ConstructionParseResponse](w, "/construction/parse", &types.ConstructionParseRequest{NetworkIdentifier: n, Signed: true, Transaction: p.signed})
	if err := errors.Join(check.ExpectedOperations(ops, parsed.Operations, true, false), parser.ExpectedSigners(p.unsigned.Payloads, parsed.AccountIdentifierSigners)); err != nil {
		w.t.Fatalf("signed: %v", err)
	}
	p.hash = ask[types.TransactionIdentifierResponse](w, "/construction/hash", &types.ConstructionHashRequest{NetworkIdentifier: n, SignedTransaction: p.signed}).TransactionIdentifier.Hash
	signatures[0].Bytes = append([]byte{}, signatures[0].Bytes...)
	signatures[0].Bytes[40] ^= 1
	refused[types.ConstructionCombineResponse](w, "/construction/combine",
		&types.ConstructionCombineRequest{NetworkIdentifier: n, UnsignedTransaction: p.unsigned.UnsignedTransaction, Signatures: signatures}, faultConstruction)
	return p
}

func (w *world) submit(p *prepared) (block string, fault *types.Error) {
	w.t.Helper()
	out, fault := post[types.TransactionIdentifierResponse](w, "/construction/submit", &types.ConstructionSubmitRequest{NetworkIdentifier: w.network(), SignedTransaction: p.signed})
	if fault != nil {
		return "", fault
	}
	if out.TransactionIdentifier.Hash != p.hash {
		w.t.Fatalf("submitted %s, its hash is %s", out.TransactionIdentifier.Hash, p.hash)
	}
	return out.Metadata["block_index"].(string), nil
}

// found looks a transaction up in the proven blocks and compares it with the intent.
func (w *world) found(p *prepared) {
	w.t.Helper()
	w.mem.Certify()
	w.sync()
	res := ask[types.SearchTransactionsResponse](w, "/search/transactions", &types.SearchTransactionsRequest{NetworkIdentifier: w.network(),
		TransactionIdentifier: &types.TransactionIdentifier{Hash: p.hash}})
	if res.TotalCount != 1 {
		w.t.Fatalf("%d transactions with the hash %s", res.TotalCount, p.hash)
	}
	if err := parser.New(nil, nil, nil).ExpectedOperations(p.ops, res.Transactions[0].Transaction.Operations, false, false); err != nil {
		w.t.Fatalf("the block shows something else: %v", err)
	}
}

// TestConstruction takes transactions of each kind, signed by each kind of key, to the ledger, which executes each once.
func TestConstruction(t *testing.T) {
	for name, a := range wallets(t) {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			from, to := a.account(w, ""), identify(user(2))
			owner, err := parseAccount(from)
			if err != nil {
				t.Fatal(err)
			}
			w.mem.Mint(owner, 1_000_000)
			w.sync()
			transfer := []*types.Operation{op(0, opTransfer, from, w.amount("-1000")), op(1, opTransfer, to, w.amount("1000")), op(2, opFee, from, w.amount("-10"))}
			p := w.prepare(a, transfer, nil)
			first, fault := w.submit(p)
			if fault != nil {
				t.Fatal(fault.Message, fault.Details)
			}
			// Again before it is read back (the ledger knows), after that (the store knows), and long after.
			if again, fault := w.submit(p); fault != nil || again != first {
				t.Fatalf("submitted again: %s %+v, want %s", again, fault, first)
			}
			w.found(p)
			w.advance(48 * time.Hour)
			if again, fault := w.submit(p); fault != nil || again != first {
				t.Fatalf("submitted much later: %s %+v, want %s", again, fault, first)
			}
			if n := w.mem.Core().Blocks(); n != 2 {
				t.Fatalf("%d blocks", n)
			}
			w.mem.Certify()
			// The same operations again are another transaction.
			other := w.prepare(a, transfer, nil)
			if second, fault := w.submit(other); fault != nil || second == first || other.hash == p.hash {
				t.Fatalf("a second transfer: %s %+v", second, fault)
			}
			w.found(other)

			approve := op(0, opApprove, from, nil)
			approve.Metadata = map[string]any{"allowance": w.amount("5000"), "expected_allowance": w.amount("0"), "expires_at": "1900000000000000000"}
			steps := [][]*types.Operation{
				{approve, op(1, opSpender, to, nil), op(2, opFee, from, w.amount("-10"))},
				{op(0, opBurn, from, w.amount("-700"))},
				{op(0, opTransfer, to, w.amount("1")), op(1, opTransfer, from, w.amount("-1"))}, // the fee is the ledger's
			}
			for _, ops := range steps {
				p := w.prepare(a, ops, map[string]any{metaMemo: "00ff"})
				if _, fault := w.submit(p); fault != nil {
					t.Fatalf("%s: %s %v", ops[0].Type, fault.Message, fault.Details)
				}
				w.found(p)
			}
			// A transfer by allowance, signed by the spender from a subaccount of his.
			payer := user(8)
			mine := a.account(w, strings.Repeat("0", 62)+"07")
			spender, err := parseAccount(mine)
			if err != nil {
				t.Fatal(err)
			}
			w.mem.Mint(payer, 1000)
			if res, err := w.mem.Core().Approve(w.subnet.NowNs(), payer.Owner, &icrc.ApproveArgs{Spender: spender, Amount: nat(500)}); err != nil || res.Ok == nil {
				t.Fatalf("%+v %v", res, err)
			}
			p = w.prepare(a, []*types.Operation{op(0, opTransfer, identify(payer), w.amount("-100")), op(1, opTransfer, to, w.amount("100")), op(2, opSpender, mine, nil),
				op(3, opFee, identify(payer), w.amount("-10"))}, nil)
			if _, fault := w.submit(p); fault != nil {
				t.Fatal(fault.Message, fault.Details)
			}
			w.found(p)
			if err := w.reconcile(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestSubmissionRefused: what the ledger says is passed on with the right advice.
func TestSubmissionRefused(t *testing.T) {
	w := newWorld(t)
	a := wallets(t)["edwards25519"]
	from, to := a.account(w, ""), identify(user(2))
	owner, _ := parseAccount(from)
	w.mem.Mint(owner, 1000)
	w.sync()
	transfer := func(v, fee string) []*types.Operation {
		return []*types.Operation{op(0, opTransfer, from, w.amount("-"+v)), op(1, opTransfer, to, w.amount(v)), op(2, opFee, from, w.amount("-"+fee))}
	}
	expect := func(p *prepared, want *fault) {
		t.Helper()
		if block, fault := w.submit(p); fault == nil || fault.Code != want.code {
			t.Fatalf("submitted: block %s, %+v; want %s", block, fault, want.message)
		}
	}
	expect(w.prepare(a, transfer("2000", "10"), nil), faultFunds)
	expect(w.prepare(a, transfer("10", "11"), nil), faultFee)
	expect(w.prepare(a, []*types.Operation{op(0, opBurn, from, w.amount("-1"))}, nil), faultRefused)
	now := w.subnet.NowNs()
	late := w.prepare(a, transfer("10", "10"), map[string]any{metaStart: number(now + uint64(time.Hour)), metaEnd: number(now + uint64(3*time.Hour))})
	if n := len(late.unsigned.Payloads); n != 60 {
		t.Fatalf("%d payloads for two hours", n)
	}
	expect(late, faultEarly)
	w.advance(2 * time.Hour)
	w.mem.Certify()
	if _, fault := w.submit(late); fault != nil {
		t.Fatal(fault.Message, fault.Details)
	}
	p := w.prepare(a, transfer("11", "10"), nil)
	w.advance(time.Hour)
	expect(p, faultExpired)
	if n := w.mem.Core().Blocks(); n != 2 {
		t.Fatalf("%d blocks", n)
	}
}

// TestSubmissionRetried: a replica that fails, before or after it has passed a call on, costs time and not the transaction.
func TestSubmissionRetried(t *testing.T) {
	w := newWorld(t)
	a := wallets(t)["edwards25519"]
	from, to := a.account(w, ""), identify(user(2))
	owner, _ := parseAccount(from)
	w.mem.Mint(owner, 1000)
	w.sync()
	var busy, lost, calls atomic.Int32 // how many requests fail in which way
	front := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		call := strings.HasSuffix(r.URL.Path, "/call")
		if call {
			calls.Add(1)
		}
		if busy.Add(-1) >= 0 {
			http.Error(out, "too much to do", http.StatusServiceUnavailable)
			return
		}
		w.subnet.Server.Config.Handler.ServeHTTP(out, r)
		if call && lost.Add(-1) >= 0 {
			panic(http.ErrAbortHandler)
		}
	}))
	defer front.Close()
	var err error
	w.s.cfg.Agent, err = agent.New(front.URL, agent.Options{RootKey: w.subnet.RootKeyDER(), Retries: -1, Now: w.s.cfg.Now})
	if err != nil {
		t.Fatal(err)
	}
	busy.Store(1) // of the fee
	p := w.prepare(a, []*types.Operation{op(0, opTransfer, from, w.amount("-7")), op(1, opTransfer, to, w.amount("7"))}, nil)
	busy.Store(1)
	lost.Store(1)
	if block, fault := w.submit(p); fault != nil || block != "1" || calls.Load() != 3 {
		t.Fatalf("block %q, %+v after %d calls", block, fault, calls.Load())
	}
	w.found(p)
	if n := w.mem.Core().Blocks(); n != 2 {
		t.Fatalf("%d blocks", n)
	}
}

// TestIntentRefused: operations that would not do what they say are refused before anybody signs.
func TestIntentRefused(t *testing.T) {
	w := newWorld(t)
	a, b, minter := identify(user(1)), identify(user(2)), identify(w.mem.Minting)
	other := &types.Amount{Value: "-5", Currency: &types.Currency{Symbol: "XYZ", Decimals: 8}}
	approve := func(m map[string]any) *types.Operation {
		o := op(0, opApprove, a, nil)
		o.Metadata = m
		return o
	}
	for name, ops := range map[string][]*types.Operation{
		"one side":                {op(0, opTransfer, a, w.amount("-5"))},
		"two payers":              {op(0, opTransfer, a, w.amount("-5")), op(1, opTransfer, b, w.amount("-5"))},
		"unequal":                 {op(0, opTransfer, a, w.amount("-5")), op(1, opTransfer, b, w.amount("6"))},
		"nothing":                 {op(0, opTransfer, a, w.amount("0")), op(1, opTransfer, b, w.amount("0"))},
		"three sides":             {op(0, opTransfer, a, w.amount("-5")), op(1, opTransfer, b, w.amount("5")), op(2, opTransfer, b, w.amount("5"))},
		"another currency":        {op(0, opTransfer, a, other), op(1, opTransfer, b, w.amount("5"))},
		"fee of somebody else":    {op(0, opTransfer, a, w.amount("-5")), op(1, opTransfer, b, w.amount("5")), op(2, opFee, b, w.amount("-10"))},
		"fee that is given":       {op(0, opTransfer, a, w.amount("-5")), op(1, opTransfer, b, w.amount("5")), op(2, opFee, a, w.amount("10"))},
		"to the minting account":  {op(0, opTransfer, a, w.amount("-5")), op(1, opTransfer, minter, w.amount("5"))},
		"by the minting account":  {op(0, opTransfer, minter, w.amount("-5")), op(1, opTransfer, a, w.amount("5"))},
		"mint":                    {op(0, opMint, a, w.amount("5"))},
		"burn that gives":         {op(0, opBurn, a, w.amount("5"))},
		"burn with a fee":         {op(0, opBurn, a, w.amount("-5")), op(1, opFee, a, w.amount("-10"))},
		"burn and transfer":       {op(0, opBurn, a, w.amount("-5")), op(1, opTransfer, a, w.amount("5"))},
		"fee alone":               {op(0, opFee, a, w.amount("-10"))},
		"fee to the collector":    {op(0, opFeeCollector, a, w.amount("10"))},
		"approval of nobody":      {approve(map[string]any{"allowance": w.amount("5")})},
		"approval of oneself":     {approve(map[string]any{"allowance": w.amount("5")}), op(1, opSpender, a, nil)},
		"approval of no amount":   {approve(nil), op(1, opSpender, b, nil)},
		"approval of a debt":      {approve(map[string]any{"allowance": w.amount("-5")}), op(1, opSpender, b, nil)},
		"257 bits":                {op(0, opBurn, a, w.amount("-115792089237316195423570985008687907853269984665640564039457584007913129639936"))},
		"no principal":            {op(0, opBurn, &types.AccountIdentifier{Address: "somebody"}, w.amount("-5"))},
		"short subaccount":        {op(0, opBurn, &types.AccountIdentifier{Address: a.Address, SubAccount: &types.SubAccountIdentifier{Address: "01"}}, w.amount("-5"))},
		"the anonymous principal": {op(0, opBurn, identify(icrc.Account{Owner: principal.Anonymous}), w.amount("-5"))},
	} {
		if i, err := w.l.intentOf(ops); !errors.Is(err, ErrIntent) && !errors.Is(err, ErrAccount) {
			t.Errorf("%s: %+v, %v", name, i, err)
		}
	}
	for name, m := range map[string]map[string]any{
		"rounded":    {metaCreated: float64(1 << 60)},
		"long memo":  {metaMemo: strings.Repeat("00", maxMemo+1)},
		"no memo":    {metaMemo: "zz"},
		"backwards":  {metaStart: "2000", metaEnd: "1000"},
		"two days":   {metaStart: "1000", metaEnd: number(1000 + uint64(48*time.Hour))},
		"too early":  {metaCreated: number(uint64(time.Hour)), metaStart: "5"},
		"not a time": {metaCreated: map[string]any{}},
	} {
		refused[types.ConstructionMetadataResponse](w, "/construction/metadata", &types.ConstructionMetadataRequest{NetworkIdentifier: w.network(), Options: m}, faultMetadata)
		_ = name
	}
}

func number(n uint64) string { return strconv.FormatUint(n, 10) }
