package proof_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"fusion/ckledger/ckbtc"
	"fusion/ckledger/icrc"
	"fusion/exchange/proof"
	"fusion/ic/candid"
	"fusion/ic/envelope"
	"fusion/ic/identity"
	"fusion/ic/principal"
	"fusion/replica/http/httpmem"
	"fusion/testnets/ledgermem"
)

var (
	ledgerID = principal.FromUint64(7)
	minterID = principal.FromUint64(8)
	holder   = icrc.Account{Owner: principal.MustFromBytes([]byte("holder"))}
)

// minter holds outputs and shows per of them at a time.
type minter struct {
	mu    sync.Mutex
	books ckbtc.Custody
	all   []ckbtc.Holding
	per   int
	moves int // how many more answers change the books
	edit  func(*ckbtc.Custody)
}

func (m *minter) answer(_ principal.Principal, method string, arg []byte) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var a ckbtc.CustodyArgs
	if err := candid.Unmarshal(arg, &a); err != nil || method != "get_custody" {
		return nil, &envelope.Reject{Code: 5, Message: "no"}
	}
	page := m.books
	from := 0
	if a.After != nil {
		from = 1 + slices.IndexFunc(m.all, func(h ckbtc.Holding) bool { return bytes.Equal(h.Outpoint.Txid, a.After.Txid) })
		if m.moves > 0 {
			m.moves--
			m.books.Events++
			page = m.books
		}
	}
	page.Holdings = m.all[from:min(from+m.per, len(m.all))]
	page.More = from+m.per < len(m.all)
	if m.edit != nil {
		m.edit(&page)
	}
	return candid.Marshal(page)
}

func world(t testing.TB, outputs int) (*ledgermem.Subnet, *minter) {
	s := ledgermem.NewSubnet(1)
	t.Cleanup(s.Close)
	l := s.NewLedger(ledgerID)
	l.Mint(holder, 900)
	generator, err := hex.DecodeString("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")
	if err != nil {
		t.Fatal(err)
	}
	m := &minter{per: 2, books: ckbtc.Custody{Network: ckbtc.Regtest, Ledger: ledgerID, Events: 5, Owed: 50,
		ECDSA: &ckbtc.MasterKey{PublicKey: generator, ChainCode: make([]byte, 32)}}}
	for i := range outputs {
		m.all = append(m.all, ckbtc.Holding{Outpoint: ckbtc.Outpoint{Txid: bytes.Repeat([]byte{byte(i + 1)}, 32)}, Value: uint64(200 + i), Height: 7,
			Account: ckbtc.Account{Owner: holder.Owner}, AddressType: ckbtc.AddressType{P2WPKH: candid.Unit}})
		m.books.Total += uint64(200 + i)
	}
	s.Install(minterID, &httpmem.Canister{Query: m.answer, Update: m.answer})
	return s, m
}

func mk(t testing.TB, s *ledgermem.Subnet) *proof.Proof {
	t.Helper()
	p, err := proof.Make(t.Context(), s.Agent(identity.Anonymous{}), minterID)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func encode(t testing.TB, p *proof.Proof) []byte {
	t.Helper()
	b, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestProof(t *testing.T) {
	elsewhere := ledgermem.NewSubnet(2)
	defer elsewhere.Close()
	for _, n := range []int{0, 1, 5} {
		s, m := world(t, n)
		m.moves = 1
		file := encode(t, mk(t, s))
		r, err := proof.Verify(file, s.RootKeyDER(), minterID)
		if err != nil {
			t.Fatalf("%d outputs: %v", n, err)
		}
		if r.Custody != m.books.Total || r.Supply != 900 || r.Owed != 50 || len(r.Outputs) != n || r.Ledger != ledgerID || r.Solvent() != (n == 5) {
			t.Errorf("%d outputs: %+v", n, r)
		}
		if n > 0 && !strings.HasPrefix(r.Outputs[0].Address, "bcrt1q") {
			t.Errorf("address %s", r.Outputs[0].Address)
		}
		if !r.Oldest.Equal(time.Unix(0, int64(ledgermem.Start))) {
			t.Errorf("time %s", r.Oldest)
		}
		if _, err := proof.Verify(file, elsewhere.RootKeyDER(), minterID); !errors.Is(err, proof.ErrProof) {
			t.Errorf("another root key: %v", err)
		}
		if _, err := proof.Verify(file, s.RootKeyDER(), ledgerID); !errors.Is(err, proof.ErrProof) {
			t.Errorf("another minter: %v", err)
		}
	}
}

func TestBooksThatMove(t *testing.T) {
	s, m := world(t, 5)
	m.moves = 1000
	if _, err := proof.Make(t.Context(), s.Agent(identity.Anonymous{}), minterID); !errors.Is(err, proof.ErrMoving) {
		t.Errorf("made of moving books: %v", err)
	}
	m.moves = 0
	if _, err := proof.Make(t.Context(), s.Agent(identity.Anonymous{}), ledgerID); err == nil {
		t.Error("a proof of a ledger")
	}
}

// Whatever is altered in a file, it is refused.
func TestTampering(t *testing.T) {
	s, m := world(t, 5)
	original := encode(t, mk(t, s))
	m.books.Total, m.all = 200, m.all[:1]
	other := mk(t, s) // of another moment
	change := func(b *[]byte, i int) { (*b)[i%len(*b)] ^= 1 }
	cases := map[string]func(p *proof.Proof){
		"format":                       func(p *proof.Proof) { p.Format += "0" },
		"minter":                       func(p *proof.Proof) { p.Minter = ledgerID.String() },
		"no calls":                     func(p *proof.Proof) { p.Calls = nil },
		"a page left out":              func(p *proof.Proof) { p.Calls = slices.Delete(p.Calls, 2, 3) },
		"the last page left out":       func(p *proof.Proof) { p.Calls = slices.Delete(p.Calls, 3, 4) },
		"a page twice":                 func(p *proof.Proof) { p.Calls = slices.Insert(p.Calls, 2, p.Calls[1]) },
		"pages in another order":       func(p *proof.Proof) { p.Calls[1], p.Calls[2] = p.Calls[2], p.Calls[1] },
		"a page of another moment":     func(p *proof.Proof) { p.Calls[1] = other.Calls[1] },
		"the supply left out":          func(p *proof.Proof) { p.Calls = p.Calls[1:] },
		"a page in place of a supply":  func(p *proof.Proof) { p.Calls[0] = p.Calls[1] },
		"a supply in place of a page":  func(p *proof.Proof) { p.Calls[1] = p.Calls[0] },
		"the certificate of another":   func(p *proof.Proof) { p.Calls[0].Certificate = p.Calls[1].Certificate },
		"an earlier answer, same call": func(p *proof.Proof) { p.Calls[1].Certificate = other.Calls[1].Certificate },
	}
	for i := range 5 {
		cases["sender of "+string(rune('0'+i))] = func(p *proof.Proof) { p.Calls[i].Sender = holder.Owner.String() }
		cases["expiry of "+string(rune('0'+i))] = func(p *proof.Proof) { p.Calls[i].Expiry++ }
		cases["nonce of "+string(rune('0'+i))] = func(p *proof.Proof) { change(&p.Calls[i].Nonce, 3) }
		cases["no nonce of "+string(rune('0'+i))] = func(p *proof.Proof) { p.Calls[i].Nonce = nil }
		cases["canister of "+string(rune('0'+i))] = func(p *proof.Proof) { p.Calls[i].Canister = principal.FromUint64(9).String() }
		cases["method of "+string(rune('0'+i))] = func(p *proof.Proof) { p.Calls[i].Method += "x" }
		cases["argument of "+string(rune('0'+i))] = func(p *proof.Proof) { change(&p.Calls[i].Arg, len(p.Calls[i].Arg)-1) }
	}
	for name, alter := range cases {
		p, err := proof.Decode(original)
		if err != nil {
			t.Fatal(err)
		}
		alter(p)
		if _, err := proof.Verify(encode(t, p), s.RootKeyDER(), minterID); !errors.Is(err, proof.ErrProof) && !errors.Is(err, proof.ErrFile) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Every part of a certificate matters.
	p, err := proof.Decode(original)
	if err != nil {
		t.Fatal(err)
	}
	n := len(p.Calls[1].Certificate)
	for i := 0; i < n; i += 1 + n/150 {
		p, _ := proof.Decode(original)
		change(&p.Calls[1].Certificate, i)
		if _, err := proof.Verify(encode(t, p), s.RootKeyDER(), minterID); err == nil {
			t.Errorf("byte %d of a certificate of %d bytes is altered and accepted", i, n)
		}
	}
	for name, file := range map[string][]byte{"nothing": nil, "no json": []byte("proof"), "something behind": append(bytes.Clone(original), "{}"...),
		"unknown field": bytes.Replace(original, []byte(`"calls"`), []byte(`"calls2"`), 1), "cut": original[:len(original)/2]} {
		if _, err := proof.Verify(file, s.RootKeyDER(), minterID); !errors.Is(err, proof.ErrFile) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A minter that lies about its books in ways that show is refused even with certificates.
func TestBooksThatDoNotAddUp(t *testing.T) {
	for name, edit := range map[string]func(*ckbtc.Custody){
		"a greater total":  func(c *ckbtc.Custody) { c.Total++ },
		"a smaller output": func(c *ckbtc.Custody) { c.Holdings[0].Value-- },
		"an output twice":  func(c *ckbtc.Custody) { c.Holdings = slices.Insert(slices.Clone(c.Holdings), 0, c.Holdings[0]) },
		"no keys":          func(c *ckbtc.Custody) { c.ECDSA = nil },
		"a key of nothing": func(c *ckbtc.Custody) {
			c.ECDSA = &ckbtc.MasterKey{PublicKey: make([]byte, 33), ChainCode: make([]byte, 32)}
		},
		"a short txid":   func(c *ckbtc.Custody) { c.Holdings[0].Outpoint.Txid = c.Holdings[0].Outpoint.Txid[:31] },
		"too much":       func(c *ckbtc.Custody) { c.Holdings[0].Value = 1 << 63 },
		"another ledger": func(c *ckbtc.Custody) { c.Ledger = minterID },
		"it never ends":  func(c *ckbtc.Custody) { c.More, c.Holdings = true, nil },
	} {
		s, m := world(t, 1)
		p := mk(t, s)
		m.edit = func(c *ckbtc.Custody) {
			c.Holdings = slices.Clone(c.Holdings)
			edit(c)
		}
		a := s.Agent(identity.Anonymous{})
		q, err := proof.Make(t.Context(), a, minterID)
		if err != nil { // refused already
			continue
		}
		p.Calls[1] = q.Calls[1]
		if _, err := proof.Verify(encode(t, p), s.RootKeyDER(), minterID); !errors.Is(err, proof.ErrProof) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzVerify: no file breaks the verifier, and none is accepted that does not say what the real one says.
func FuzzVerify(f *testing.F) {
	s, _ := world(f, 1)
	p, err := proof.Make(f.Context(), s.Agent(identity.Anonymous{}), minterID)
	if err != nil {
		f.Fatal(err)
	}
	file := encode(f, p)
	f.Add(file)
	f.Add([]byte(`{"format":"fusion proof of reserves 1","minter":"","calls":[{},{},{}]}`))
	key := s.RootKeyDER()
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := proof.Verify(b, key, minterID)
		if err == nil && (r.Supply != 900 || r.Custody != 200 || r.Owed != 50) {
			text, _ := json.Marshal(r)
			t.Fatalf("accepted: %s", text)
		}
	})
}
