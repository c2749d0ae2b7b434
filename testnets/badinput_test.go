package testnets_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"fusion/btc"
	"fusion/ckledger/icrc"
	"fusion/ic/agent"
	"fusion/ic/candid"
	"fusion/ic/envelope"
	"fusion/ic/identity"
	"fusion/ic/principal"
	"fusion/replica/management"
	"fusion/testnets"
	"fusion/testnets/golden"
)

// TestBadInput sends what users send by mistake or malice. Each refusal says why, nothing is lost, and the network goes on.
func TestBadInput(t *testing.T) {
	f := setup(t)
	supply := must(f.w.Audit(f, f.owner, f.bob))(t)
	owned := must(f.owner.Own(f))(t)
	t.Run("withdrawals", func(t *testing.T) { badWithdrawals(t, f) })
	t.Run("a deposit below the minimum", func(t *testing.T) { smallDeposit(t, f) })
	t.Run("calls", func(t *testing.T) { badCalls(t, f) })
	t.Run("canisters", func(t *testing.T) { badCanisters(t, f) })
	// One approval and one transfer were good.
	if got := must(f.owner.Own(f))(t); got != owned-2*testnets.TransferFee-replayed {
		t.Errorf("the balance went from %d to %d", owned, got)
	}
	if got := must(f.w.Audit(f, f.owner, f.bob))(t); got != supply-testnets.TransferFee { // the fee of an approval is burned
		t.Errorf("the supply went from %d to %d", supply, got)
	}
	s := must(f.w.Status(f, 0))(t)
	must(f.w.Agree(f, s.Height))(t)
}

func badWithdrawals(t *testing.T, f *fixture) {
	const allowance = 200_000
	check(t, f.owner.Approve(f, allowance))
	good := golden.FreshAddress(t.Name())
	parsed := must(btc.ParseAddress(btc.Regtest, good))(t)
	mainnet := must(btc.NewAddress(btc.Mainnet, parsed.Kind(), parsed.Payload()))(t).String()
	for _, c := range []struct {
		name, address string
		sats          uint64
		want          string // the arm of the error
	}{
		{"a malformed address", "bcrt1qnonsense", 100_000, "address"},
		{"no address", "", 100_000, "address"},
		{"a wrong checksum", good[:len(good)-1] + flip(good[len(good)-1]), 100_000, "address"},
		{"an address of mainnet", mainnet, 100_000, "address"},
		{"nothing", good, 0, "low"},
		{"dust", good, 300, "low"},
		{"less than the minimum", good, testnets.RetrieveMin - 1, "low"},
		{"above the allowance", good, allowance + 1, "allowance"},
		{"above the balance", good, golden.Deposits*golden.DepositSats + 1, "funds or allowance"},
	} {
		res := must(f.owner.Retrieve(f, c.address, c.sats))(t)
		if res.Err == nil {
			t.Errorf("%s: accepted: %+v", c.name, res)
			continue
		}
		got := "other"
		switch e := res.Err; {
		case e.MalformedAddress != nil:
			got = "address"
		case e.AmountTooLow != nil:
			got = "low"
		case e.InsufficientAllowance != nil:
			got = "allowance"
		case e.InsufficientFunds != nil:
			got = "funds"
		}
		if !strings.Contains(c.want, got) {
			t.Errorf("%s: %+v, want %s", c.name, res.Err, c.want)
		}
	}
}

func flip(c byte) string {
	if c == 'q' {
		return "p"
	}
	return "q"
}

func smallDeposit(t *testing.T, f *fixture) {
	before := must(f.bob.Own(f))(t)
	must(f.bob.Deposit(f, 400))(t)
	check(t, f.w.Mine(f, testnets.Confirmations))
	res := must(f.bob.UpdateBalance(f))(t)
	small := res.Ok != nil && len(*res.Ok) == 1 && (*res.Ok)[0].ValueTooSmall != nil
	if !small {
		t.Errorf("the minter says %+v, want ValueTooSmall", res)
	}
	if got := must(f.bob.Own(f))(t); got != before {
		t.Errorf("400 sat were minted: %d became %d", before, got)
	}
}

func badCalls(t *testing.T, f *fixture) {
	rejected := func(what string, err error, words string) {
		t.Helper()
		var r *agent.RejectError
		if !errors.As(err, &r) || !strings.Contains(strings.ToLower(r.Message), words) {
			t.Errorf("%s: %v, want a reject that says %q", what, err, words)
		}
	}
	_, err := f.owner.Agent.Call(f, principal.FromUint64(0x0160_ffff), "anything", nil)
	rejected("unknown canister", err, "not found")
	_, err = f.owner.Agent.Call(f, f.w.Ledger, "no_such_method", nil)
	rejected("unknown method", err, "no_such_method")
	_, err = f.owner.Agent.Call(f, f.w.Ledger, "icrc1_transfer", []byte("not candid"))
	rejected("malformed Candid", err, "")

	id, err := identity.GenerateEd25519()
	check(t, err)
	post := func(body []byte) (int, string) {
		t.Helper()
		res, err := http.Post(f.w.URL(0)+"/api/v2/canister/"+f.w.Ledger.String()+"/call", "application/cbor", bytes.NewReader(body))
		check(t, err)
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		check(t, err)
		return res.StatusCode, string(text)
	}
	arg := must(candid.Marshal(struct{}{}))(t)
	call := func(expiry time.Time) *envelope.Envelope {
		return must(envelope.Sign(envelope.Content{RequestType: envelope.Call, CanisterID: f.w.Ledger, MethodName: "icrc1_transfer", Arg: arg,
			IngressExpiry: uint64(expiry.UnixNano())}, id))(t)
	}
	refused := func(what string, body []byte) {
		t.Helper()
		if code, text := post(body); code < 400 || code > 499 || text == "" {
			t.Errorf("%s: status %d, %q; want a refusal with a reason", what, code, text)
		}
	}
	refused("malformed CBOR", []byte{0xd9, 0xd9, 0xf7, 0xa1, 0xff})
	refused("no bytes", nil)
	refused("expired", call(time.Now().Add(-time.Minute)).Encode())
	refused("far in the future", call(time.Now().Add(time.Hour)).Encode())
	forged := call(time.Now().Add(time.Minute))
	forged.SenderSig = append([]byte(nil), forged.SenderSig...)
	forged.SenderSig[5] ^= 1
	refused("a wrong signature", forged.Encode())

	// A call that is sent again, also after it was executed, is executed once.
	payer := must(testnets.LoadIdentity(f.n.Dir, golden.Owner))(t)
	before := must(f.bob.Own(f))(t)
	pay := must(envelope.Sign(envelope.Content{RequestType: envelope.Call, CanisterID: f.w.Ledger, MethodName: "icrc1_transfer",
		Arg:           must(candid.Marshal(icrc.TransferArg{To: f.bob.Account(), Amount: candid.NatFromUint64(replayed)}))(t),
		IngressExpiry: uint64(time.Now().Add(time.Minute).UnixNano())}, payer))(t).Encode()
	for range 2 {
		if code, text := post(pay); code != http.StatusAccepted && code != http.StatusOK {
			t.Fatalf("status %d, %s", code, text)
		}
	}
	check(t, golden.Wait(f, "the transfer", func() (string, error) {
		got, err := f.bob.Own(f)
		if err != nil || got != before {
			return "", err
		}
		return "not yet", nil
	}))
	post(pay)
	h := must(f.w.Status(f, 0))(t).Height
	must(f.w.Agree(f, h+2))(t) // blocks that would have carried it again
	if got := must(f.bob.Own(f))(t); got != before+replayed {
		t.Errorf("a transfer of %d sat, sent three times, changed %d to %d", replayed, before, got)
	}
}

// replayed is the amount of the call that is sent again.
const replayed = 7

// badModule is a canister whose update methods trap, never end, and grow the memory for ever.
func badModule() []byte {
	leb := func(n int) []byte { return binary.AppendUvarint(nil, uint64(n)) }
	section := func(id byte, body ...[]byte) []byte {
		b := bytes.Join(body, nil)
		return append(append([]byte{id}, leb(len(b))...), b...)
	}
	name := func(s string) []byte { return append(leb(len(s)), s...) }
	export := func(s string, kind byte, index int) []byte { return append(append(name(s), kind), leb(index)...) }
	code := func(b ...byte) []byte { return append(leb(len(b)+1), append([]byte{0}, b...)...) }
	return bytes.Join([][]byte{
		[]byte("\x00asm\x01\x00\x00\x00"),
		section(1, leb(1), []byte{0x60, 0, 0}),
		section(3, leb(3), []byte{0, 0, 0}),
		section(5, leb(1), []byte{0, 1}), // one memory, one page at first
		section(7, leb(3), export("canister_update trap", 0, 0), export("canister_update spin", 0, 1), export("canister_update grow", 0, 2)),
		section(10, leb(3),
			code(0x00, 0x0b),                      // unreachable
			code(0x03, 0x40, 0x0c, 0, 0x0b, 0x0b), // loop br 0
			// loop: grow by 1,024 pages and look; traps when there is no more
			code(0x03, 0x40, 0x41, 0x80, 0x08, 0x40, 0x00, 0x41, 0x7f, 0x46, 0x04, 0x40, 0x00, 0x0b, 0x0c, 0, 0x0b, 0x0b)),
	}, nil)
}

func badCanisters(t *testing.T, f *fixture) {
	var created management.CanisterID
	amount := candid.NatFromUint64(1_000_000_000_000_000)
	check(t, f.owner.Agent.Update(f, principal.Management, "provisional_create_canister_with_cycles",
		[]any{management.ProvisionalCreateArgs{Amount: &amount}}, []any{&created}))
	check(t, testnets.Install(f, f.owner.Agent, created.CanisterID, management.ModeInstall(), badModule(), nil))
	for method, words := range map[string]string{"trap": "unreachable", "spin": "instruction", "grow": ""} {
		_, err := f.owner.Agent.Call(f, created.CanisterID, method, nil)
		var r *agent.RejectError
		if !errors.As(err, &r) || !r.Certified || !strings.Contains(strings.ToLower(r.Message), words) {
			t.Errorf("%s: %v, want a certified reject that says %q", method, err, words)
		} else {
			t.Logf("%s: %s", method, r.Message)
		}
	}
	err := testnets.Install(f, f.owner.Agent, created.CanisterID, management.ModeReinstall(), []byte("\x00asm\x01\x00\x00\x00\x01\xff"), nil)
	if err == nil {
		t.Error("a malformed module was installed")
	}
}
