package core

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"fusion/btc"
	"fusion/ckledger/minting"
	"fusion/ic/principal"
)

var minter = Account{Owner: principal.FromUint64(7)}

func TestWithdrawalAccountOfPublishedVector(t *testing.T) {
	a := WithdrawalAccount(minter.Owner, principal.MustParse("2chl6-4hpzw-vqaaa-aaaaa-c"))
	if got := hex.EncodeToString(a.Subaccount[:]); got != "d3918f8aeef6118254d90399a3207b1fa062960f5e1b16643f2e8efb90add545" || a.Owner != minter.Owner {
		t.Errorf("subaccount %s of %v", got, a.Owner)
	}
}

func TestDistribute(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		amount, n := rapid.Uint64().Draw(rt, "amount"), rapid.IntRange(1, 200).Draw(rt, "n")
		var sum uint64
		parts := Distribute(amount, n)
		for _, p := range parts {
			sum += p
		}
		if len(parts) != n || sum != amount || slices.Max(parts)-slices.Min(parts) > 1 {
			rt.Fatalf("%d over %d gives %v", amount, n, parts)
		}
	})
}

func TestMinterFee(t *testing.T) {
	for _, c := range []struct {
		in, out int
		fee     uint64
	}{{1, 2, 300}, {2, 2, 326}, {10, 3, 1498}, {1, 1, 300}} {
		if got := MinterFee(c.in, c.out); got != c.fee {
			t.Errorf("%d inputs and %d outputs: %d, want %d", c.in, c.out, got, c.fee)
		}
	}
}

func TestFeeRate(t *testing.T) {
	percentiles := make([]uint64, 101)
	for i := range percentiles {
		percentiles[i] = uint64(i) * 100
	}
	for _, c := range []struct {
		network btc.Network
		from    []uint64
		rate    uint64
		ok      bool
	}{
		{btc.Regtest, nil, 5000, true}, {btc.Mainnet, percentiles, 5000, true}, {btc.Mainnet, percentiles[:99], 0, false},
		{btc.Mainnet, make([]uint64, 101), 1500, true}, {btc.Testnet4, make([]uint64, 101), 1000, true}, {btc.Testnet4, nil, 0, false},
		{btc.Mainnet, slices.Repeat([]uint64{1 << 63}, 101), maxFeeRate, true}, // whatever is reported
	} {
		if rate, ok := FeeRate(c.network, c.from); rate != c.rate || ok != c.ok {
			t.Errorf("%v with %d percentiles: %d %v", c.network, len(c.from), rate, ok)
		}
	}
}

func TestRetrieveMinFollowsFees(t *testing.T) {
	s := NewState(minter)
	s.Config = Config{Network: btc.Mainnet, RetrieveMin: 50_000, CheckFee: 100}
	for rate, want := range map[uint64]uint64{1500: 50_000, 100_000: 50_000, 130_000: 100_000, 400_000: 150_000} {
		if got := s.RetrieveMin(rate); got != want {
			t.Errorf("at %d msat/vB: %d, want %d", rate, got, want)
		}
	}
	s.Config.Network = btc.Regtest
	if got := s.RetrieveMin(1_000_000); got != 50_000 {
		t.Errorf("regtest: %d", got)
	}
}

// The selection covers the target, takes nothing twice, and fails only when it must.
func TestSelectCoins(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		values := rapid.SliceOfN(rapid.Uint64Range(1, 1000), 0, 40).Draw(rt, "values")
		slices.Sort(values)
		var free []Owned
		var total uint64
		for i, v := range values {
			free = append(free, Owned{Utxo: Utxo{Vout: uint32(i), Value: v}})
			total += v
		}
		target := rapid.Uint64Range(1, 3000).Draw(rt, "target")
		limit := rapid.Uint64Range(1, 20).Draw(rt, "limit")
		consolidate := rapid.Uint64Range(0, 50).Draw(rt, "consolidate")
		before := slices.Clone(free)
		chosen, err := selectCoins(free, target, 3, limit, consolidate)
		if !slices.Equal(before, free) {
			rt.Fatal("the list was changed")
		}
		var many tooManyInputs
		switch {
		case errors.Is(err, errFunds):
			if total >= target {
				rt.Fatalf("%d of %d not found", target, total)
			}
		case errors.As(err, &many):
			// Taking the largest first needs the fewest.
			var sum uint64
			n := uint64(0)
			for i := len(values) - 1; sum < target; i-- {
				sum += values[i]
				n++
			}
			if n <= limit {
				rt.Fatalf("%d inputs were enough, limit %d", n, limit)
			}
		default:
			seen := map[uint32]bool{}
			var sum uint64
			for _, o := range chosen {
				if seen[o.Vout] {
					rt.Fatal("an output is taken twice")
				}
				seen[o.Vout] = true
				sum += o.Value
			}
			if sum < target || uint64(len(chosen)) > limit {
				rt.Fatalf("%d of %d with %d inputs, limit %d", sum, target, len(chosen), limit)
			}
		}
	})
	small := []Owned{{Utxo: Utxo{Vout: 0, Value: 1}}, {Utxo: Utxo{Vout: 1, Value: 2}}, {Utxo: Utxo{Vout: 2, Value: 3}}, {Utxo: Utxo{Vout: 3, Value: 100}}}
	chosen, err := selectCoins(small, 50, 2, 10, 1)
	if err != nil || len(chosen) != 3 || chosen[0].Value != 100 || chosen[1].Value != 1 {
		t.Errorf("with many small outputs: %+v %v", chosen, err)
	}
}

func number(n uint64) *uint64 { return &n }

// samples holds one event of each kind with every field set.
func samples() []Event {
	u := Utxo{Txid: btc.Hash{1, 2}, Vout: 3, Value: 1 << 40, Height: 800_000}
	a := Account{Owner: principal.FromUint64(9), Subaccount: [32]byte{31: 5}}
	op := u.Outpoint()
	cfg := Config{Network: btc.Regtest, Ledger: []byte{1}, KeyName: "dfx_test_key", DepositMin: 1, RetrieveMin: 10_000, MaxTimeInQueue: 5, Confirmations: 6,
		Mode: Mode{RestrictedTo, [][]byte{{4}}}, CheckFee: 7, Checker: []byte{2}, MaxInputs: 10, Consolidate: 20, SchnorrKey: "k", Limits: DefaultLimits(btc.Mainnet)}
	return []Event{
		{Time: 1, Init: &cfg}, {Time: 2, Upgrade: &cfg}, {Time: 3, CheckedUtxo: &UtxoOf{u, a, true}}, {Time: 4, SuspendedUtxo: &Suspension{u, a, Quarantined}},
		{Time: 5, MintAsked: &MintAsked{op, 5, 6, 7}}, {Time: 6, MintRefused: &op}, {Time: 7, MintUnknown: &op}, {Time: 8, Minted: &Minted{op, 9, u, a}},
		{Time: 9, BurnAsked: &BurnAsked{1, a, a, true, 2, "bcrt1", 3, 4, 5}}, {Time: 10, BurnRefused: number(4)}, {Time: 11, BurnUnknown: number(5)},
		{Time: 12, Accepted: &Accepted{1, 2, 3, "bcrt1", a}},
		{Time: 13, Prepared: &Prepared{1, 0, []uint64{4}, []Utxo{u}, []Output{{[]byte{0}, 5}}, 6, 7, 8, Cancels, [][]byte{{9}}}},
		{Time: 14, Signed: &InputSigned{1, 2, 3, []byte{4}}},
		{Time: 15, Complete: &Complete{1, 2, btc.Hash{3}, btc.Hash{4}, []uint64{5}, []Utxo{u}, 6, 7, 8, 9, 10, []byte{11}, Consolidates}},
		{Time: 16, Sent: &SentTo{1, 2}}, {Time: 17, Confirmed: &ConfirmedTx{1, btc.Hash{2}, 3}}, {Time: 18, Refund: &Refund{1, 2, a, RefundTooManyInputs, 3, 4}},
		{Time: 19, RefundAsked: &RefundAsked{1, 2}}, {Time: 20, RefundRefused: number(3)}, {Time: 21, RefundUnknown: number(4)}, {Time: 1 << 63, Refunded: &Refunded{5, 6}},
		{Time: 23, Vanished: &op}, {Time: 24, Returned: &Return{op, 5}}, {Time: 25, Settled: &Outputs{[]btc.Outpoint{op, op}}}, {Time: 26, Reversed: number(7)},
		{Time: 27, Restored: &u}, {Time: 28, Resumed: &WriteOff{List: []btc.Outpoint{op}, Never: []btc.Hash{op.Txid}}}, {Time: 29, Doubted: number(30)},
		{Time: 29, FeeBurned: &FeeBurned{1, 2, 3, "bcrt1"}}, {Time: 31, Epoch: number(32)}, {Time: 32, Recovery: number(33)},
		{Time: 33, Recalled: &Recalled{1, []Utxo{u}, []uint64{2}, []byte{3}, 4, 5, 6, Cancels}},
		{Time: 34, Orphaned: &Orphaned{[]Orphan{{u, []byte{0, 20}}}}},
	}
}

func TestStoredFormRoundTrips(t *testing.T) {
	all := samples()
	if len(all) != kinds-1 {
		t.Fatalf("%d samples for %d kinds", len(all), kinds-1)
	}
	for i, e := range all {
		b := e.Marshal()
		got, err := UnmarshalEvent(b)
		if err != nil || !reflect.DeepEqual(got, e) {
			t.Errorf("kind %d: %+v, %v", i+1, got, err)
		}
		for n := range b {
			if _, err := UnmarshalEvent(b[:n]); !errors.Is(err, ErrStored) {
				t.Errorf("kind %d cut to %d bytes: %v", i+1, n, err)
			}
		}
		if _, err := UnmarshalEvent(append(b, 0)); !errors.Is(err, ErrStored) {
			t.Errorf("kind %d with a byte more: %v", i+1, err)
		}
	}
}

// The stored form must not change: logs are for ever.
func TestStoredFormIsStable(t *testing.T) {
	for i, want := range map[int]string{
		4: "050501" + "0102000000000000000000000000000000000000000000000000000000000000" + "03050607",
		8: "090903010a0000000000000009010100000000000000000000000000000000000000000000000000000000000000050102056263727431" + "03" + "0405" +
			"0a0000000000000009010100000000000000000000000000000000000000000000000000000000000000" + "05",
	} {
		e := samples()[i]
		if got := hex.EncodeToString(e.Marshal()); got != want {
			t.Errorf("sample %d is stored as %s, want %s", i, got, want)
		}
	}
}

// A burn of an earlier layout is refunded to where it came from.
func TestBurnOfEarlierLayouts(t *testing.T) {
	want := samples()[8]
	b := want.Marshal()
	for version, cut := range map[byte]int{2: 43, 1: 45} {
		old := slices.Clone(b[:len(b)-cut])
		old[2] = version
		got, err := UnmarshalEvent(old)
		x := *want.BurnAsked
		if version == 1 {
			x.Value, x.Inputs = 0, 0
		}
		if err != nil || got.BurnAsked == nil || *got.BurnAsked != x {
			t.Errorf("layout %d: %+v, %v", version, got.BurnAsked, err)
		}
	}
}

// A log of the first release has no limits: they are the network's defaults then.
func TestConfigurationOfTheFirstLayout(t *testing.T) {
	e, err := UnmarshalEvent(mustHex("010101" + "04" + "0101" + "0474657374" + "0a" + "904e" + "05" + "06" + "00" + "00" + "07" + "00" + "e807" + "e807"))
	if err != nil {
		t.Fatal(err)
	}
	c := e.Init
	if c.Network != btc.Regtest || c.KeyName != "test" || c.RetrieveMin != 10_000 || c.Consolidate != 1000 || c.SchnorrKey != "" || c.Limits != DefaultLimits(btc.Regtest) {
		t.Errorf("%+v", c)
	}
	if err := c.Check(); err != nil {
		t.Error(err)
	}
	// A later log with fewer limits than this program knows keeps its own and takes the rest from the defaults.
	c.ResubmitAfter, c.FeeBump = 5*second, 2000
	b := (&Event{Time: 1, Init: c}).Marshal()
	full := len(c.Fields())
	var rest minting.Visitor
	rest.Writing = true
	for _, f := range c.Fields()[2:] {
		rest.Num(f)
	}
	b = b[:len(b)-len(rest.Buf)]
	i := bytes.LastIndexByte(b, byte(full))
	b[i] = 2
	if e, err = UnmarshalEvent(b); err != nil || e.Init.Limits != c.Limits {
		t.Errorf("%+v %v", e.Init, err)
	}
}

// Every cancellation pays more than what it replaces, nobody pays for it more than was burned, and after it there is no way back to paying out.
func TestCancellation(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := NewState(minter)
		s.Config = Config{Network: btc.Mainnet, RetrieveMin: 10_000, Confirmations: 1, MaxInputs: 100, Limits: DefaultLimits(btc.Mainnet)}
		s.events = 1
		address, err := btc.NewAddress(btc.Mainnet, btc.P2WPKH, make([]byte, 20))
		if err != nil {
			rt.Fatal(err)
		}
		n := rapid.IntRange(1, 5).Draw(rt, "withdrawals")
		var owed uint64
		for i := range n {
			amount := rapid.Uint64Range(50_000, 5_000_000).Draw(rt, "amount")
			owed += amount
			s.requests[uint64(i)] = &Request{BlockIndex: uint64(i), Amount: amount, Address: address, State: RequestPending}
			s.queue = append(s.queue, uint64(i))
		}
		s.burned, s.minted = owed, owed
		for i := range rapid.IntRange(1, 8).Draw(rt, "outputs") {
			s.own(Owned{Utxo{Txid: btc.Hash{byte(i)}, Value: owed}, minter})
		}
		var key PublicKey
		copy(key.Key[:], mustHex("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"))
		rate := func() uint64 { return rapid.Uint64Range(1500, 300_000).Draw(rt, "rate") }
		events, err := s.Batch(day, rate(), key)
		if err != nil || len(events) == 0 || events[0].Prepared == nil {
			rt.Skip("fees eat the amounts")
		}
		if err := s.Apply(&events[0]); err != nil {
			rt.Fatal(err)
		}
		p := s.Payment(1)
		now := day
		for range 30 {
			v := p.Latest()
			v.Complete, v.Sent, v.CompleteAt = true, true, now
			now += day
			e := s.Replace(p, now, rate())
			if e == nil {
				continue
			}
			late := now >= p.Versions[0].CompleteAt+s.Config.CancelAfter
			x := e.Prepared
			if (x.Kind == Cancels) != late {
				rt.Fatalf("kind %d, late %v", x.Kind, late)
			}
			if x.BtcFee <= v.BtcFee || x.FeeRate < v.FeeRate+999 {
				rt.Fatalf("%d at %d replaces %d at %d", x.BtcFee, x.FeeRate, v.BtcFee, v.FeeRate)
			}
			if err := s.Apply(e); err != nil {
				rt.Fatal(err)
			}
			if err := s.CheckInvariants(); err != nil {
				rt.Fatal(err)
			}
		}
		won := p.Versions[rapid.IntRange(0, len(p.Versions)-1).Draw(rt, "mined")]
		if err := s.Apply(&Event{Confirmed: &ConfirmedTx{1, won.Txid, 5}}); err != nil {
			rt.Fatal(err)
		}
		if es := s.Cancelled(now); len(es) > 0 {
			rt.Fatal("refunded while a reorganisation may bring the payment back")
		}
		if err := s.Apply(&Event{Settled: &Outputs{[]btc.Outpoint{won.own()[0].Outpoint()}}}); err != nil {
			rt.Fatal(err)
		}
		for _, e := range s.Cancelled(now) {
			if err := s.Apply(&e); err != nil {
				rt.Fatal(err)
			}
		}
		if err := s.CheckInvariants(); err != nil {
			rt.Fatal(err)
		}
		if got, want := len(s.refunds) == n, won.Kind == Cancels; got != want || !want && len(s.refunds) > 0 {
			rt.Fatalf("%d refunds, cancelled %v", len(s.refunds), want)
		}
	})
}

func FuzzUnmarshalEvent(f *testing.F) {
	for _, e := range samples() {
		f.Add(e.Marshal())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := UnmarshalEvent(b)
		if err != nil {
			return
		}
		again, err := UnmarshalEvent(e.Marshal())
		if err != nil || !reflect.DeepEqual(e, again) {
			t.Fatalf("%x: %+v became %+v (%v)", b, e, again, err)
		}
	})
}

func TestMemos(t *testing.T) {
	op := btc.Outpoint{Txid: btc.Hash(bytes.Repeat([]byte{0xab}, 32)), Vout: 300}
	b := DepositMemo(op, 100)
	if got, want := hex.EncodeToString(b), "8200835820"+hex.EncodeToString(op.Txid[:])+"19012c1864"; got != want {
		t.Errorf("deposit memo %s, want %s", got, want)
	}
	m, err := ParseMintMemo(b)
	if err != nil || !bytes.Equal(m.Convert.Txid, op.Txid[:]) || *m.Convert.Vout != 300 || *m.Convert.KytFee != 100 {
		t.Errorf("%+v %v", m, err)
	}
	if m, err = ParseMintMemo(RefundMemo(1 << 40)); err != nil || *m.Reimburse != 1<<40 {
		t.Errorf("%+v %v", m, err)
	}
	// The longest address of mainnet has 62 characters, those of regtest two more.
	address := "bcrt1pqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqsu8p4wd"
	b = WithdrawalMemo(address)
	if len(b) > 80 {
		t.Errorf("withdrawal memo of %d bytes exceeds the ledger's 80", len(b))
	}
	w, err := ParseBurnMemo(b)
	if err != nil || *w.Convert.Address != address || w.Convert.KytFee != nil || w.Convert.Status != nil {
		t.Errorf("%+v %v", w, err)
	}
	old, _ := hex.DecodeString("8200836161" + "00" + "820080") // address "a", fee 0, accepted
	if w, err = ParseBurnMemo(old); err != nil || *w.Convert.Address != "a" || *w.Convert.KytFee != 0 || *w.Convert.Status != 0 {
		t.Errorf("%+v %v", w, err)
	}
	if w, err = ParseBurnMemo([]byte{0x82, 1, 0x82, 0x18, 200, 7}); err != nil || w.Consolidate.Value != 200 || w.Consolidate.Inputs != 7 {
		t.Errorf("%+v %v", w, err)
	}
	for _, bad := range []string{"", "80", "8204", "820480", "82008358", "8201", "82008358ff", "820083f6f6f600", "8200841a", "9f00ff", "82031b"} {
		b, _ := hex.DecodeString(bad)
		if _, err := ParseMintMemo(b); !errors.Is(err, ErrMemo) {
			t.Errorf("mint memo %s: %v", bad, err)
		}
		if _, err := ParseBurnMemo(b); !errors.Is(err, ErrMemo) {
			t.Errorf("burn memo %s: %v", bad, err)
		}
	}
}

func FuzzMemo(f *testing.F) {
	f.Add(DepositMemo(btc.Outpoint{Vout: 1}, 2))
	f.Add(WithdrawalMemo("bcrt1q"))
	f.Add(RefundMemo(3))
	f.Fuzz(func(_ *testing.T, b []byte) {
		_, _ = ParseMintMemo(b)
		_, _ = ParseBurnMemo(b)
	})
}

// Events that do not fit are refused, above all those that would move money twice.
func TestApplyRefusesWhatDoesNotFit(t *testing.T) {
	cfg := Config{Network: btc.Regtest, Ledger: []byte{1}, KeyName: "k", RetrieveMin: 10_000, Confirmations: 1, MaxInputs: 10, Limits: DefaultLimits(btc.Regtest)}
	user := Account{Owner: principal.FromUint64(9)}
	u := Utxo{Txid: btc.Hash{1}, Value: 50_000, Height: 5}
	op := u.Outpoint()
	address, err := btc.NewAddress(btc.Regtest, btc.P2WPKH, make([]byte, 20))
	if err != nil {
		t.Fatal(err)
	}
	good := []Event{
		{Time: 1, Init: &cfg},
		{Time: 2, CheckedUtxo: &UtxoOf{u, user, false}},
		{Time: 3, MintAsked: &MintAsked{op, 50_000, 0, 3}},
		{Time: 4, Minted: &Minted{op, 1, u, user}},
		{Time: 5, BurnAsked: &BurnAsked{1, user, user, true, 20_000, address.String(), 5, 0, 0}},
		{Time: 6, Accepted: &Accepted{1, 2, 20_000, address.String(), user}},
	}
	feeBurn := Event{Time: 7, BurnAsked: &BurnAsked{2, FeeAccount(minter.Owner), minter, false, 400, address.String(), 7, 5000, 3}}
	replay := func(n int) *State {
		s := NewState(minter)
		for i := range good[:n] {
			if err := s.Apply(&good[i]); err != nil {
				t.Fatal(err)
			}
			if err := s.CheckInvariants(); err != nil {
				t.Fatal(err)
			}
		}
		return s
	}
	other := cfg
	other.KeyName = "another"
	for name, c := range map[string]struct {
		after int
		e     Event
	}{
		"no init":                     {0, good[1]},
		"init twice":                  {1, good[0]},
		"another key":                 {1, Event{Upgrade: &other}},
		"mint of an unknown deposit":  {1, good[2]},
		"check twice":                 {2, good[1]},
		"deposit to the minter":       {1, Event{CheckedUtxo: &UtxoOf{u, minter, false}}},
		"more minted than deposited":  {2, Event{MintAsked: &MintAsked{op, 50_001, 0, 3}}},
		"mint without asking":         {2, good[3]},
		"ask twice":                   {3, good[2]},
		"mint twice":                  {4, good[3]},
		"ask after minting":           {4, good[2]},
		"suspend after minting":       {4, Event{SuspendedUtxo: &Suspension{u, user, Quarantined}}},
		"accept without burning":      {4, good[5]},
		"accept twice":                {6, good[5]},
		"burn numbers with a gap":     {4, Event{BurnAsked: &BurnAsked{2, user, user, true, 20_000, address.String(), 5, 0, 0}}},
		"refund more than was burned": {6, Event{Refund: &Refund{BlockIndex: 2, Amount: 20_001, Account: user, Reason: RefundAmountTooLow}}},
		"refund to somebody else":     {6, Event{Refund: &Refund{BlockIndex: 2, Amount: 20_000, Account: minter, Reason: RefundAmountTooLow}}},
		"refunded without a schedule": {6, Event{Refunded: &Refunded{2, 3}}},
		"payment without inputs":      {6, Event{Prepared: &Prepared{Payment: 1, Requests: []uint64{2}}}},
		"payment of unowned outputs":  {6, Event{Prepared: &Prepared{Payment: 1, Requests: []uint64{2}, Inputs: []Utxo{{Txid: btc.Hash{9}}}, Keys: [][]byte{{}}}}},
		"replacement of no payment":   {6, Event{Prepared: &Prepared{Payment: 1, Version: 1}}},
		"confirmation of no payment":  {6, Event{Confirmed: &ConfirmedTx{Payment: 1}}},
		"signature for no payment":    {6, Event{Signed: &InputSigned{Payment: 1}}},
		"empty":                       {6, Event{}},
	} {
		s := replay(c.after)
		if err := s.Apply(&c.e); err == nil || !errors.Is(err, ErrEvent) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A transaction that pays less than is owed, or to somebody else, is never prepared.
	s := replay(len(good))
	key := PublicKey{}
	copy(key.Key[:], mustHex("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"))
	events, err := s.Batch(100, 5000, key)
	if err != nil || len(events) != 1 || events[0].Prepared == nil {
		t.Fatalf("%+v %v", events, err)
	}
	for name, change := range map[string]func(*Prepared){
		"another script":  func(p *Prepared) { p.Outputs[0].Script = []byte{0x51} },
		"more than owed":  func(p *Prepared) { p.Outputs[0].Value = 20_001 },
		"change missing":  func(p *Prepared) { p.Outputs = p.Outputs[:1] },
		"wrong fee":       func(p *Prepared) { p.BtcFee++ },
		"change too low":  func(p *Prepared) { p.Outputs[1].Value--; p.BtcFee++ },
		"unknown request": func(p *Prepared) { p.Requests = []uint64{3} },
	} {
		b := events[0].Marshal()
		e, err := UnmarshalEvent(b)
		if err != nil {
			t.Fatal(err)
		}
		change(e.Prepared)
		if err := replay(len(good)).Apply(&e); !errors.Is(err, ErrEvent) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := s.Apply(&events[0]); err != nil {
		t.Fatal(err)
	}
	if err := s.CheckInvariants(); err != nil {
		t.Fatal(err)
	}
	if err := s.Apply(&events[0]); !errors.Is(err, ErrEvent) {
		t.Errorf("the same payment twice: %v", err)
	}
	// A block of the ledger is one burn, whatever the ledger says.
	another := Event{Time: 8, BurnAsked: &BurnAsked{3, user, user, true, 20_000, address.String(), 8, 0, 0}}
	for name, second := range map[string]Event{"a withdrawal": {Accepted: &Accepted{3, 9, 20_000, address.String(), user}}, "a fee's burn": {FeeBurned: &FeeBurned{2, 2, 400, ""}}} {
		s := replay(len(good))
		first := []Event{feeBurn, another}
		if second.Accepted != nil {
			first = append(first, Event{FeeBurned: &FeeBurned{2, 9, 400, ""}})
		}
		for i := range first {
			if err := s.Apply(&first[i]); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Apply(&second); !errors.Is(err, ErrEvent) {
			t.Errorf("%s in the block of another burn: %v", name, err)
		}
	}
	if n := len(s.Tasks()); n != 1 || s.Tasks()[0].Kind != TaskSign {
		t.Errorf("tasks %+v", s.Tasks())
	}
}

func mustHex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

func TestReplaceRaisesTheFeeOnly(t *testing.T) {
	s := NewState(minter)
	s.Config = Config{Network: btc.Regtest, RetrieveMin: 10_000, Confirmations: 1, MaxInputs: 10, Limits: DefaultLimits(btc.Regtest)}
	s.events = 1
	address, err := btc.NewAddress(btc.Regtest, btc.P2TR, make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		s.requests[uint64(i)] = &Request{BlockIndex: uint64(i), Amount: 40_000, Address: address, State: RequestPending}
		s.queue = append(s.queue, uint64(i))
	}
	s.own(Owned{Utxo{Txid: btc.Hash{1}, Value: 500_000}, minter})
	var key PublicKey
	copy(key.Key[:], mustHex("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"))
	events, err := s.Batch(1e9, 5000, key)
	if err != nil || len(events) != 1 {
		t.Fatal(err)
	}
	if err := s.Apply(&events[0]); err != nil {
		t.Fatal(err)
	}
	p := s.Payment(1)
	v := p.Latest()
	v.Complete, v.Sent, v.CompleteAt = true, true, 1e9
	if s.Replace(p, 1e9+day-1, 50_000) != nil {
		t.Error("replaced before its time")
	}
	e := s.Replace(p, 1e9+day, 1000)
	if e == nil || e.Prepared.FeeRate != 6000 {
		t.Fatalf("%+v", e)
	}
	if err := s.Apply(e); err != nil {
		t.Fatal(err)
	}
	n := p.Latest()
	if n.BtcFee <= v.BtcFee || n.Outputs[3].Value != v.Outputs[3].Value || n.Tx.Inputs[0].Prev != v.Inputs[0].Outpoint() || n.Tx.Inputs[0].Sequence != btc.SequenceRBF {
		t.Errorf("%+v replaces %+v", n.Prepared, v.Prepared)
	}
	n.Complete, n.Sent, n.CompleteAt = true, true, 1e9
	// A market that would eat the amounts is followed in the smallest steps, up to the bounds.
	if e := s.Replace(p, 1e9+day, 1_000_000); e == nil || e.Prepared.FeeRate != 7000 {
		t.Errorf("%+v", e)
	}
	s.Config.MaxFeeRate = 6999
	if e := s.Replace(p, 1e9+day, 1_000_000); e != nil {
		t.Error("a rate above the bound was prepared")
	}
	s.Config.MaxFeeRate, s.Config.MaxFeePermille = 1_000_000, 10
	if e := s.Replace(p, 1e9+day, 1_000_000); e != nil {
		t.Error("a fee above the budget was prepared")
	}
	// Whichever confirms ends the payment.
	ends, seen := s.Final(5, 10, []Utxo{{Txid: v.Txid, Vout: 3, Value: v.Outputs[3].Value, Height: 10}, {Txid: v.Txid, Vout: 0, Value: 1, Height: 10}})
	if len(ends) != 1 || !seen[1] || ends[0].Confirmed.Txid != v.Txid {
		t.Errorf("%+v %v", ends, seen)
	}
}
