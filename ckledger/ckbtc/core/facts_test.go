package core

import (
	"bytes"
	"testing"

	"fusion/btc"
	"fusion/chainkey/derive"
	"fusion/ic/principal"
)

// The rows of the interface's facts that no other test of this package is about, one case each.
func TestFactsOfTheInterface(t *testing.T) {
	var key PublicKey
	copy(key.Key[:], mustHex("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"))
	key.ChainCode[5] = 9
	user := Account{Owner: principal.FromUint64(77), Subaccount: [32]byte{31: 4}}
	public, regtest := DefaultLimits(btc.Mainnet), DefaultLimits(btc.Regtest)
	// queued is a minter with n pending withdrawals and one large output.
	queued := func(n int) *State {
		s := NewState(minter)
		s.Config = Config{Network: btc.Mainnet, RetrieveMin: 50_000, Confirmations: 4, MaxInputs: DefaultMaxInputs, MaxTimeInQueue: 10 * 60 * second, Limits: public}
		s.events = 1
		for i := range n {
			a, err := btc.NewAddress(btc.Mainnet, btc.P2WPKH, append(make([]byte, 19), byte(i)))
			if err != nil {
				t.Fatal(err)
			}
			s.requests[uint64(i)] = &Request{BlockIndex: uint64(i), Amount: 100_000, Address: a, State: RequestPending, ReceivedAt: day}
			s.queue = append(s.queue, uint64(i))
		}
		s.own(Owned{Utxo{Txid: btc.Hash{1}, Value: uint64(btc.Coin)}, minter})
		s.minted, s.burned = uint64(btc.Coin), 100_000*uint64(n)
		return s
	}
	batch := func(s *State, now uint64) *Prepared {
		t.Helper()
		events, err := s.Batch(now, 10_000, key)
		if err != nil || len(events) > 1 {
			t.Fatalf("%+v %v", events, err)
		}
		if len(events) == 0 {
			return nil
		}
		if err := s.Apply(&events[0]); err != nil {
			t.Fatal(err)
		}
		return events[0].Prepared
	}
	for row, holds := range map[string]func(t *testing.T) bool{
		"derivation": func(t *testing.T) bool {
			child, err := derive.Secp256k1(key.Key, key.ChainCode, [][]byte{{1}, user.Owner.Bytes(), user.Subaccount[:]})
			if err != nil {
				t.Fatal(err)
			}
			for network, prefix := range map[btc.Network]string{btc.Mainnet: "bc1q", btc.Testnet4: "tb1q", btc.Regtest: "bcrt1q"} {
				want, err := btc.P2WPKHFromPubKey(network, child.PublicKey[:])
				got, err2 := key.Address(network, user)
				if err != nil || err2 != nil || got != want || got.String()[:len(prefix)] != prefix {
					t.Errorf("%v: %v %v, want %v %v", network, got, err2, want, err)
				}
			}
			return true
		},
		"main account": func(*testing.T) bool { // change goes there
			p := batch(queued(20), day)
			main, err := key.Address(btc.Mainnet, Account{Owner: minter.Owner})
			return err == nil && p != nil && bytes.Equal(p.Outputs[20].Script, main.Script())
		},
		"fee account": func(*testing.T) bool {
			return FeeAccount(minter.Owner).Subaccount == [32]byte(append(make([]byte, 30), 0x0f, 0xee))
		},
		"destination types": func(t *testing.T) bool {
			for kind, text := range map[btc.AddressKind]string{
				btc.P2PKH: "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2", btc.P2SH: "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy", btc.P2WPKH: "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
				btc.P2WSH: "bc1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3qccfmv3",
				btc.P2TR:  "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0"} {
				a, err := btc.ParseAddress(btc.Mainnet, text)
				if err != nil || a.Kind() != kind {
					t.Errorf("%s: %v %v", text, a, err)
				}
				if _, err := btc.ParseAddress(btc.Testnet4, text); err == nil {
					t.Errorf("%s is taken on another network", text)
				}
			}
			// A version 1 program with the checksum of version 0, and one of a version that nothing is known of.
			for _, bad := range []string{"bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqh2y7hd", "bc1sw50qgdz25j"} {
				if a, err := btc.ParseAddress(btc.Mainnet, bad); err == nil {
					t.Errorf("%s is taken as %v", bad, a)
				}
			}
			return true
		},
		"suspended outputs": func(*testing.T) bool { return public.Suspend == day && regtest.Suspend == day },
		"checker":           func(*testing.T) bool { return public.CheckTries == 10 },
		"parameters":        func(*testing.T) bool { return DefaultConfirmations == 6 && public.MaxOpen == 5000 },
		"batching begins": func(*testing.T) bool { // with 20, or when the oldest waited long enough
			wait := uint64(10 * 60 * second)
			return batch(queued(19), day+wait-1) == nil && batch(queued(19), day+wait) != nil && batch(queued(20), day) != nil
		},
		"batching ends": func(*testing.T) bool {
			p := batch(queued(101), day)
			return p != nil && len(p.Requests) == 100 && p.Requests[0] == 0 && p.Requests[99] == 99
		},
		"transaction": func(t *testing.T) bool {
			s := queued(20)
			p := batch(s, day)
			tx := s.Payment(1).Latest().Tx
			if tx.Version != 2 || tx.LockTime != 0 || len(tx.Outputs) != 21 {
				t.Errorf("version %d, locktime %d, %d outputs", tx.Version, tx.LockTime, len(tx.Outputs))
			}
			for _, in := range tx.Inputs {
				if in.Sequence != 0xfffffffd {
					t.Errorf("sequence %x", in.Sequence)
				}
			}
			var least, most, paid uint64 = 1 << 63, 0, 0
			for _, out := range p.Outputs[:20] {
				least, most, paid = min(least, out.Value), max(most, out.Value), paid+out.Value
			}
			return most-least <= 1 && paid == 20*100_000-p.BtcFee-p.MinterFee && p.Outputs[20].Value == uint64(btc.Coin)-20*100_000+p.MinterFee
		},
		"timers": func(*testing.T) bool {
			return public.Tick == 5*second && public.FeeRefresh == hour && public.ConsolidateEvery == day
		},
		"finalisation": func(t *testing.T) bool { // the change has the confirmations that were configured
			s := queued(20)
			batch(s, day)
			change := s.Payment(1).Latest().own()[0]
			change.Height = 100
			early, seen := s.Final(day, 102, []Utxo{change})
			ends, _ := s.Final(day, 103, []Utxo{change})
			return len(early) == 0 && seen[1] && len(ends) == 1 && ends[0].Confirmed.Payment == 1
		},
		"replacement": func(*testing.T) bool { return public.ResubmitAfter == day && public.FeeBump == 1000 },
		"consolidation": func(*testing.T) bool {
			return DefaultConsolidate == 10_000 && public.ConsolidateInputs == 1000 && public.ManyUtxos == 1000 && DefaultMaxInputs == 1000
		},
		"memo": func(t *testing.T) bool { // fits the ledger's 80 bytes, whatever it is about
			long, err := btc.NewAddress(btc.Regtest, btc.P2WSH, bytes.Repeat([]byte{0xff}, 32))
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range [][]byte{WithdrawalMemo(long.String()), DepositMemo(btc.Outpoint{Txid: btc.Hash(bytes.Repeat([]byte{0xff}, 32)), Vout: 1<<32 - 1}, 1<<64-1),
				RefundMemo(1<<64 - 1), ConsolidationMemo(1<<64-1, 1<<64-1)} {
				if len(m) > 80 {
					t.Errorf("%d bytes: %x", len(m), m)
				}
			}
			return true
		},
	} {
		t.Run(row, func(t *testing.T) {
			if !holds(t) {
				t.Error("does not hold")
			}
		})
	}
}
