package core

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/holiman/uint256"

	"fusion/ckledger/minting"
	"fusion/eth"
	"fusion/ic/principal"
)

func hash(t testing.TB, text string) eth.Hash {
	h, err := eth.ParseHash(text)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func address(t testing.TB, text string) eth.Address {
	a, err := eth.ParseAddress(text)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// Memos published with ckETH's minter: a deposit, a reimbursement, a burn.
func TestPublishedMemos(t *testing.T) {
	from := address(t, "0xdd2851cdd40ae6536831558dd46db62fac7a844d")
	tx := hash(t, "0x705f826861c802b407843e99af986cfde8749b669e5e0a5a150f4350bcaa9bc3")
	for _, c := range []struct {
		got  []byte
		want string
	}{
		{MintMemo{Convert: &MintConvert{from, Source{tx, 39}}}.Marshal(), "82008354dd2851cdd40ae6536831558dd46db62fac7a844d5820705f826861c802b407843e99af986cfde8749b669e5e0a5a150f4350bcaa9bc31827"},
		{MintMemo{ReimburseTx: &Reimburse{1234, tx}}.Marshal(), "8201821904d25820705f826861c802b407843e99af986cfde8749b669e5e0a5a150f4350bcaa9bc3"},
		{BurnMemo{Convert: &from}.Marshal(), "82008154dd2851cdd40ae6536831558dd46db62fac7a844d"},
	} {
		if hex.EncodeToString(c.got) != c.want {
			t.Errorf("memo %x, want %s", c.got, c.want)
		}
	}
}

func TestMemosRoundTrip(t *testing.T) {
	id := uint64(1<<64 - 1)
	most := *new(uint256.Int).SetAllOne()
	for _, m := range []MintMemo{{Convert: &MintConvert{eth.Address{1}, Source{eth.Hash{2}, 1 << 40}}}, {ReimburseTx: &Reimburse{id, eth.Hash{3}}}, {ReimburseWithdrawal: &id}} {
		got, err := ParseMintMemo(m.Marshal())
		if err != nil || !reflect.DeepEqual(got, m) || len(m.Marshal()) > MaxMemo {
			t.Errorf("%+v became %+v: %v", m, got, err)
		}
	}
	for _, m := range []BurnMemo{{Convert: &eth.Address{4}}, {Gas: &GasFee{strings.Repeat("x", MaxSymbol), most, eth.Address{5}}}, {Gas: &GasFee{"ckUSDC", AmountOf(7), eth.Address{5}}},
		{Token: &TokenBurn{id, eth.Address{6}}}} {
		got, err := ParseBurnMemo(m.Marshal())
		if err != nil || !reflect.DeepEqual(got, m) || len(m.Marshal()) > MaxMemo {
			t.Errorf("%+v became %+v: %v (%d bytes)", m, got, err, len(m.Marshal()))
		}
	}
	for _, bad := range []string{"", "0a", "8200", "82008154", "8203811904d2", "820083", "8200815400", "82008154dd2851cdd40ae6536831558dd46db62fac7a844d00"} {
		b, err := hex.DecodeString(bad)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseMintMemo(b); !errors.Is(err, minting.ErrMemo) {
			t.Errorf("mint memo %s: %v", bad, err)
		}
		if _, err := ParseBurnMemo(b); !errors.Is(err, minting.ErrMemo) {
			t.Errorf("burn memo %s: %v", bad, err)
		}
	}
}

// fill gives every field of an event's content a value of its own.
func fill(v reflect.Value, n *uint64) {
	*n++
	switch v.Type() {
	case reflect.TypeFor[principal.Principal]():
		v.Set(reflect.ValueOf(principal.FromUint64(*n)))
		return
	case reflect.TypeFor[uint256.Int]():
		v.Set(reflect.ValueOf(*new(uint256.Int).Lsh(uint256.NewInt(*n), 200)))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), n)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			fill(v.Index(i), n)
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i), n)
		}
	case reflect.Uint8:
		v.SetUint(*n%200 + 1)
	case reflect.Uint64:
		v.SetUint(*n << 20)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.String:
		v.SetString(strings.Repeat("s", int(*n%30)+1))
	default:
		panic("no value for " + v.Type().String())
	}
}

// events has one of each kind, with every field set.
func events() (all []Event) {
	n := uint64(0)
	rt := reflect.TypeFor[Event]()
	for i := range rt.NumField() {
		if rt.Field(i).Type.Kind() != reflect.Pointer {
			continue
		}
		var e Event
		e.Time = uint64(i) << 40
		fill(reflect.ValueOf(&e).Elem().Field(i), &n)
		all = append(all, e)
	}
	return all
}

func TestEventsRoundTrip(t *testing.T) {
	all := events()
	if len(all) != kinds-1 {
		t.Fatalf("%d events, %d kinds", len(all), kinds-1)
	}
	for _, e := range all {
		b := e.Marshal()
		got, err := UnmarshalEvent(b)
		if err != nil || !reflect.DeepEqual(got, e) {
			t.Errorf("%+v became %+v: %v", e, got, err)
		}
		for cut := range len(b) {
			if _, err := UnmarshalEvent(b[:cut]); !errors.Is(err, minting.ErrStored) {
				t.Fatalf("%x cut at %d: %v", b, cut, err)
			}
		}
		if _, err := UnmarshalEvent(append(b, 0)); !errors.Is(err, minting.ErrStored) {
			t.Errorf("with a byte more: %v", err)
		}
	}
}

func FuzzUnmarshalEvent(f *testing.F) {
	for _, e := range events() {
		f.Add(e.Marshal())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := UnmarshalEvent(b)
		if err != nil {
			return
		}
		if again := e.Marshal(); !bytes.Equal(again, b) {
			t.Fatalf("%x became %x", b, again)
		}
	})
}

func FuzzMemo(f *testing.F) {
	f.Add(MintMemo{Convert: &MintConvert{eth.Address{1}, Source{eth.Hash{2}, 1 << 40}}}.Marshal())
	f.Add(BurnMemo{Gas: &GasFee{"ckUSDC", *new(uint256.Int).SetAllOne(), eth.Address{5}}}.Marshal())
	f.Add(BurnMemo{Token: &TokenBurn{7, eth.Address{6}}}.Marshal())
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := ParseMintMemo(b); err == nil {
			if again, err := ParseMintMemo(m.Marshal()); err != nil || !reflect.DeepEqual(again, m) {
				t.Fatalf("%x: %+v became %+v", b, m, again)
			}
		}
		if m, err := ParseBurnMemo(b); err == nil {
			if again, err := ParseBurnMemo(m.Marshal()); err != nil || !reflect.DeepEqual(again, m) {
				t.Fatalf("%x: %+v became %+v", b, m, again)
			}
		}
	})
}

// harness applies events and checks the invariants after each.
type harness struct {
	t *testing.T
	s *State
}

var (
	minterAcct = Account{Owner: principal.FromUint64(7)}
	mainAddr   = eth.Address{0xff}
	someone    = Account{Owner: principal.FromUint64(70)}
	cheap      = Fee{MaxFeePerGas: AmountOf(20e9), MaxPriorityFeePerGas: AmountOf(2e9)}
)

func newHarness(t *testing.T) *harness {
	h := &harness{t, NewState(minterAcct)}
	h.apply(Event{Init: &Start{Config: Config{ChainID: Sepolia, KeyName: "k", Ledger: []byte{1}, Rpc: []byte{2}, WithdrawMin: AmountOf(1), Helpers: [scrapers]eth.Address{{1}, {2}, {3}},
		Personal: true, Every: 1, Pipeline: 1, AbandonAfter: 1000}, NextNonce: 5, LastBlock: 10}})
	return h
}

func (h *harness) apply(e Event) {
	h.t.Helper()
	if err := h.s.Apply(&e); err != nil {
		h.t.Fatal(err)
	}
	if err := h.s.CheckInvariants(); err != nil {
		h.t.Fatal(err)
	}
}

// refused: an event that does not fit is an error. It leaves the state unusable, so the harness is not used afterwards.
func (h *harness) refused(what string, e Event) {
	h.t.Helper()
	if err := h.s.Apply(&e); !errors.Is(err, ErrEvent) {
		h.t.Errorf("%s: %v", what, err)
	}
}

func (h *harness) deposit(n byte, wei uint64) Source {
	src := Source{Tx: eth.Hash{n}}
	h.apply(Event{Seen: &Claim{Source: src, Value: AmountOf(wei), To: someone}})
	h.apply(Event{MintAsked: &MintAsked{src, h.s.Stamp(uint64(n))}})
	h.apply(Event{Minted: &Minted{src, uint64(n)}})
	return src
}

func (h *harness) withdraw(block, wei uint64) uint64 {
	n := h.s.NextRequest()
	h.apply(Event{BurnAsked: &BurnAsked{Number: n, Amount: AmountOf(wei), To: eth.Address{9}, From: someone, CreatedAt: h.s.Stamp(0)}})
	h.apply(Event{Burned: &Burned{n, block}})
	return n
}

const ether = uint64(1e18)

func TestEachThingHappensOnce(t *testing.T) {
	// Each case does something twice; the second time must not fit.
	for what, twice := range map[string]func(h *harness) Event{
		"seen": func(h *harness) Event {
			src := h.deposit(1, ether)
			return Event{Seen: &Claim{Source: src, Value: AmountOf(1), To: someone}}
		},
		"minted":        func(h *harness) Event { return Event{Minted: &Minted{h.deposit(1, ether), 9}} },
		"asked to mint": func(h *harness) Event { return Event{MintAsked: &MintAsked{h.deposit(1, ether), 1 << 40}} },
		"burned in block": func(h *harness) Event {
			h.deposit(1, ether)
			h.withdraw(3, ether/4)
			n := h.s.NextRequest()
			h.apply(Event{BurnAsked: &BurnAsked{Number: n, Amount: AmountOf(1), From: someone, CreatedAt: h.s.Stamp(0)}})
			return Event{Burned: &Burned{n, 3}}
		},
		"nonce": func(h *harness) Event {
			h.deposit(1, ether)
			a, b := h.withdraw(3, ether/4), h.withdraw(4, ether/4)
			h.s.Create(0, cheap, mainAddr, h.apply)
			_ = a
			return Event{Created: &Created{Transfer: h.s.NextTransfer(), Number: b, Nonce: 5, Fee: cheap, Value: AmountOf(1), Main: mainAddr}}
		},
		"stamp": func(h *harness) Event {
			h.deposit(1, ether)
			at := h.s.Stamp(0)
			h.withdraw(3, ether/4)
			return Event{BurnAsked: &BurnAsked{Number: h.s.NextRequest(), Amount: AmountOf(1), From: someone, CreatedAt: at}}
		},
		"refund of a paid withdrawal": func(h *harness) Event {
			h.deposit(1, ether)
			n := h.withdraw(3, ether/4)
			h.s.Create(0, cheap, mainAddr, h.apply)
			h.apply(Event{Signed: &Signed{Transfer: 1, Raw: []byte{1}, Hash: eth.Hash{8}}})
			h.apply(Event{Finalized: &Receipt{Transfer: 1, Hash: eth.Hash{8}, GasUsed: 21000, GasPrice: AmountOf(1e9), Success: true}})
			return Event{RefundAsked: &RefundStamp{RefundRef{n, 0}, 1 << 40}}
		},
		"finalized": func(h *harness) Event {
			h.deposit(1, ether)
			h.withdraw(3, ether/4)
			h.s.Create(0, cheap, mainAddr, h.apply)
			h.apply(Event{Finalized: &Receipt{Transfer: 1, GasUsed: 21000, GasPrice: AmountOf(1e9), Success: true}})
			return Event{Finalized: &Receipt{Transfer: 1, GasUsed: 21000, GasPrice: AmountOf(1e9), Success: true}}
		},
		"init": func(h *harness) Event { return Event{Init: &Start{}} },
	} {
		h := newHarness(t)
		h.refused(what, twice(h))
	}
}

// A ledger that burns more than was minted has tokens that are not ours: everything stops.
func TestBurningMoreThanWasMintedHalts(t *testing.T) {
	h := newHarness(t)
	h.deposit(1, ether/10)
	h.withdraw(3, ether)
	if h.s.Halt() == nil || !strings.Contains(h.s.Halt().Reason, "more than was ever minted") {
		t.Errorf("halt %+v", h.s.Halt())
	}
	if ts := h.s.Tasks(0); len(ts) != 0 {
		t.Errorf("halted, there is %+v to do", ts)
	}
}

// A round creates at most five transactions, with consecutive nonces, oldest withdrawal first; who cannot pay lets others go first, and is given up after a while.
func TestPipeline(t *testing.T) {
	h := newHarness(t)
	h.deposit(1, 10*ether)
	poor := h.withdraw(100, 1000) // below the fee
	var rich []uint64
	for i := range uint64(7) {
		rich = append(rich, h.withdraw(200+i, ether/10))
	}
	h.s.Create(0, cheap, mainAddr, h.apply)
	open := h.s.Transfers()
	if len(open) != 5 || h.s.Pending() != 3 {
		t.Fatalf("%d transactions, %d wait", len(open), h.s.Pending())
	}
	for i, x := range open {
		v := x.Latest()
		want := sub(AmountOf(ether/10), cheap.Cost(GasEther))
		if x.Number != rich[i] || x.Nonce != uint64(5+i) || v.Tx.Value != want || v.Tx.ChainID != Sepolia {
			t.Errorf("transaction %d: %+v", i, v.Tx)
		}
	}
	h.s.Create(0, cheap, mainAddr, h.apply)
	if len(h.s.Transfers()) != 7 || h.s.Pending() != 1 {
		t.Fatalf("%d transactions", len(h.s.Transfers()))
	}
	h.s.Create(1001, cheap, mainAddr, h.apply)
	if r := h.s.Request(poor); r.State != RequestWillRefund || r.Refunds[0].Amount != AmountOf(1000) {
		t.Errorf("%+v", r)
	}
}

// A replacement has the nonce and the recipient, pays at least a tenth more, and takes what the fee rose from the amount.
func TestReplacement(t *testing.T) {
	h := newHarness(t)
	h.deposit(1, ether)
	h.withdraw(3, ether/10)
	h.s.Create(0, cheap, mainAddr, h.apply)
	x := h.s.Transfers()[0]
	if e := h.s.Replace(x, 0, cheap, AmountOf(90e9)); e != nil {
		t.Fatal("replaced before it was signed")
	}
	h.apply(Event{Signed: &Signed{Transfer: 1, Raw: []byte{1}, Hash: eth.Hash{8}}})
	h.apply(Event{Sent: &SentTo{Transfer: 1}})
	if e := h.s.Replace(x, 0, cheap, AmountOf(9e9)); e != nil {
		t.Fatal("replaced although it pays enough")
	}
	e := h.s.Replace(x, 0, cheap, AmountOf(90e9))
	if e == nil {
		t.Fatal("not replaced")
	}
	h.apply(*e)
	old, v := x.Versions[0], x.Latest()
	if v.Tx.Nonce != old.Tx.Nonce || v.Tx.To != old.Tx.To || !v.Fee.Replaces(old.Fee) || plus(v.Tx.Value, v.Fee.Cost(GasEther)) != AmountOf(ether/10) {
		t.Errorf("%+v replaces %+v", v.Tx, old.Tx)
	}
	// A foreign transaction is none of ours; another signature of the old one is.
	if x.Adopt(old.Tx) != 0 || x.Adopt(v.Tx) != 1 {
		t.Error("a payload of ours is not recognised")
	}
	foreign := v.Tx
	foreign.Value.AddUint64(&foreign.Value, 1)
	if x.Adopt(foreign) != -1 {
		t.Error("a foreign payload is taken for ours")
	}
}

// A filler leaves something of the amount, if only a wei: what it costs at most is less. So there is always a refund, whose block the user can be told.
func TestFillerLeavesSomethingToMintBack(t *testing.T) {
	base := AmountOf(19e9)
	lowest := eth.Bump(cheap, base)
	cost := lowest.Cost(GasEther)
	begin := func(wei uint64) (h *harness, filler Event) {
		h = newHarness(t)
		h.deposit(1, ether)
		n := h.withdraw(3, wei)
		h.s.Create(0, cheap, mainAddr, h.apply)
		h.apply(Event{Signed: &Signed{Transfer: 1, Raw: []byte{1}, Hash: eth.Hash{8}}})
		h.apply(Event{Sent: &SentTo{Transfer: 1}})
		return h, Event{Replaced: &Created{Transfer: 1, Number: n, Nonce: 5, Fee: lowest, Main: mainAddr, Filler: true}}
	}
	h, filler := begin(cost.Uint64())
	if e := h.s.Replace(h.s.Transfers()[0], h.s.Config.FillAfter(), cheap, base); e != nil {
		t.Errorf("a filler takes all: %+v", e.Replaced)
	}
	h.refused("a filler that takes all", filler)
	h, filler = begin(cost.Uint64() + 1)
	h.apply(filler)
	h.apply(Event{Finalized: &Receipt{Transfer: 1, Version: 1, GasUsed: GasEther, GasPrice: lowest.MaxFeePerGas, Success: true}})
	r := h.s.Request(1)
	if r.State != RequestWillRefund || len(r.Refunds) != 1 || r.Refunds[0].Amount != AmountOf(1) {
		t.Fatalf("%+v", r)
	}
	h.apply(Event{RefundAsked: &RefundStamp{RefundRef{1, 0}, h.s.Stamp(0)}})
	h.apply(Event{Refunded: &Refunded{RefundRef{1, 0}, 4}})
	if r.State != RequestRefunded {
		t.Errorf("%+v", r)
	}
}

// A receipt that cannot be, stops everything.
func TestImpossibleReceiptIsDisputed(t *testing.T) {
	h := newHarness(t)
	h.deposit(1, ether)
	h.withdraw(3, ether/10)
	h.s.Create(0, cheap, mainAddr, h.apply)
	x := h.s.Transfers()[0]
	for _, f := range []Facts{{GasUsed: 21_001, GasPrice: AmountOf(1), Success: true}, {GasUsed: 21_000, GasPrice: AmountOf(21e9), Success: true}} {
		if e := h.s.Judge(x, 0, f); e.Disputed == nil {
			t.Errorf("%+v is believed", f)
		}
	}
	h.apply(h.s.Judge(x, 0, Facts{GasUsed: 21_001, Success: true}))
	if h.s.Halt() == nil || h.s.Request(1).State != RequestDisputed {
		t.Error("not halted")
	}
}

func TestRanges(t *testing.T) {
	h := newHarness(t)
	if from, to, ok := h.s.Range(ScrapeEth, 2000); !ok || from != 11 || to != 510 {
		t.Errorf("%d to %d, %v", from, to, ok)
	}
	if from, to, ok := h.s.Range(ScrapeEth, 12); !ok || from != 11 || to != 12 {
		t.Errorf("%d to %d, %v", from, to, ok)
	}
	if _, _, ok := h.s.Range(ScrapeEth, 10); ok {
		t.Error("nothing is a range")
	}
	h.apply(Event{Synced: &Progress{ScrapeEth, 510}})
	h.refused("going back", Event{Skipped: &Progress{ScrapeEth, 510}})
}

// Blocks of a ledger belong to what was asked with their stamp, and to nothing else.
func TestMatch(t *testing.T) {
	h := newHarness(t)
	src := h.deposit(1, ether)
	n := h.withdraw(3, ether/4)
	d, r := h.s.Deposit(src), h.s.Request(n)
	good := LedgerBlock{Index: 1, Mint: true, Amount: AmountOf(ether), CreatedAt: d.MintAt}
	for what, b := range map[string]LedgerBlock{
		"other amount":  {1, true, AmountOf(5), d.MintAt},
		"other block":   {2, true, AmountOf(ether), d.MintAt},
		"no stamp":      {2, true, AmountOf(ether), 0},
		"unknown stamp": {2, true, AmountOf(ether), 12345},
		"burn as mint":  {3, true, AmountOf(ether / 4), r.CreatedAt},
		"burn too much": {3, false, AmountOf(ether), r.CreatedAt},
		"burn again":    {4, false, AmountOf(ether / 4), r.CreatedAt},
	} {
		if _, _, finding := h.s.Match(Ether, b); finding == "" {
			t.Errorf("%s: no finding", what)
		}
	}
	if task, ours, finding := h.s.Match(Ether, good); !ours || finding != "" || task.Source != src {
		t.Errorf("%+v %v %s", task, ours, finding)
	}
	if _, ours, finding := h.s.Match(Ether, LedgerBlock{3, false, AmountOf(ether / 4), r.CreatedAt}); !ours || finding != "" {
		t.Errorf("%v %s", ours, finding)
	}
	if _, ours, finding := h.s.Match(Ether, LedgerBlock{9, false, AmountOf(1), 0}); ours || finding != "" {
		t.Errorf("a burn of somebody's own: %v %s", ours, finding)
	}
}

func TestBlocklistSearch(t *testing.T) {
	c := Config{Blocked: []eth.Address{{1}, {5}, {9}}}
	for i := range byte(11) {
		if got, want := c.IsBlocked(eth.Address{i}), i == 1 || i == 5 || i == 9; got != want {
			t.Errorf("%d: %v", i, got)
		}
	}
}

// Withdrawals that wait for lower fees, or whose asset is paused, do not keep others from being accepted; still their number is bounded.
func TestWithdrawalsThatWaitCloseNoDoor(t *testing.T) {
	s := NewState(Account{})
	fee := Fee{MaxFeePerGas: AmountOf(100e9), MaxPriorityFeePerGas: AmountOf(1e9)}
	add := func(n int, r BurnAsked) {
		for range n {
			s.lastReq++
			s.requests[s.lastReq] = &Request{BurnAsked: r, State: RequestPending}
			s.queue = append(s.queue, s.lastReq)
		}
	}
	token := Asset{1}
	s.paused[token] = "odd"
	add(maxPending, BurnAsked{Asset: token, MaxFee: AmountOf(1e18)})
	add(maxPending, BurnAsked{Asset: Asset{2}, MaxFee: AmountOf(1)})
	add(maxPending-1, BurnAsked{Amount: AmountOf(1e18)})
	if s.Full(fee) {
		t.Error("those that wait close the door")
	}
	add(1, BurnAsked{Amount: AmountOf(1e18)})
	if !s.Full(fee) {
		t.Error("those that could be paid do not")
	}
	s.queue = s.queue[:2*maxPending]
	add(8*maxPending, BurnAsked{Asset: token, MaxFee: AmountOf(1e18)})
	if !s.Full(fee) {
		t.Error("any number may wait")
	}
}
