package e2e

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"fusion/adapters/bitcoin/node"
	"fusion/btc"
	"fusion/ckledger/ckbtc"
	"fusion/ckledger/ckbtc/core"
	"fusion/ckledger/icrc"
	"fusion/exchange/proof"
	"fusion/exchange/watch"
	"fusion/ic/candid"
	"fusion/testnets"
	"fusion/testnets/golden"
	"fusion/testnets/processes"
)

// books are an exchange's: what each account was credited, by the IDs of events.
type books struct {
	t       *testing.T
	secrets []watch.Secret

	mu       sync.Mutex
	attempts int
	booked   map[string]watch.Event
}

// ServeHTTP books an event. Every third attempt fails, half of these after the event was booked.
func (b *books) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<10))
	if err != nil {
		return
	}
	if err := watch.Verify(b.secrets, r.Header, body, time.Now()); err != nil {
		b.t.Errorf("webhook: %v", err)
		return
	}
	var e watch.Event
	if err := json.Unmarshal(body, &e); err != nil {
		b.t.Errorf("webhook %s: %v", body, err)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.attempts++
	if b.attempts%6 == 0 {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	if was, again := b.booked[e.ID]; again && (was.Amount != e.Amount || was.Hash != e.Hash) {
		b.t.Errorf("event %s was %+v and is %+v", e.ID, was, e)
	}
	b.booked[e.ID] = e
	if b.attempts%6 == 3 {
		w.WriteHeader(http.StatusInternalServerError)
	}
}

// deposits are the final ones: how many, and their sum by subaccount.
func (b *books) deposits() (n int, of map[string]uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	of = map[string]uint64{}
	for _, e := range b.booked {
		if e.Type == watch.Deposit {
			var v uint64
			_, err := fmt.Sscan(e.Amount, &v)
			must(b.t, err)
			of[e.To.Subaccount] += v
			n++
		}
	}
	return n, of
}

// TestExchange is the year of an exchange in two minutes: a thousand users deposit bitcoin, the watcher has them minted and tells of each
// once, though the receiver fails and the watcher is killed; the deposits are swept, some are withdrawn, and the totals agree to the satoshi.
func TestExchange(t *testing.T) {
	const users, withdrawals = 1000, 5
	program(t, "FUSION_BIN")
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	n, w := run(ctx, t)
	us := user(t, w, "exchange", 0)
	dir := t.TempDir()
	cli := func(args ...string) *exec.Cmd {
		c := exec.CommandContext(ctx, n.Program, append(args, "--data-dir", n.Dir, "--identity", "exchange", "--network", n.URL(1), "--root-key", hex.EncodeToString(w.RootKey()))...)
		return c
	}
	check := func() *proof.Report {
		t.Helper()
		file := filepath.Join(dir, "proof.json")
		if out, err := cli("proof", "make", file).CombinedOutput(); err != nil {
			t.Fatalf("proof make: %v\n%s", err, out)
		}
		if out, err := exec.CommandContext(ctx, n.Program, "proof", "verify", file, "--root-key", hex.EncodeToString(w.RootKey())).CombinedOutput(); err != nil {
			t.Fatalf("proof verify: %v\n%s", err, out)
		}
		b, err := os.ReadFile(file)
		must(t, err)
		r, err := proof.Verify(b, w.RootKey(), n.Minter)
		must(t, err)
		return r
	}
	before := check()

	// Addresses come from the minter's public key; one is compared with the minter's own word.
	limit := uint32(0)
	var custody ckbtc.Custody
	must(t, us.Agent.Update(ctx, n.Minter, "get_custody", []any{ckbtc.CustodyArgs{Limit: &limit}}, []any{&custody}))
	key := core.PublicKey{Key: [33]byte(custody.ECDSA.PublicKey), ChainCode: [32]byte(custody.ECDSA.ChainCode)}
	account := func(i int) icrc.Account {
		sub := make([]byte, 32)
		sub[30], sub[31] = byte((i+1)>>8), byte(i+1)
		return icrc.Account{Owner: us.Agent.Sender(), Subaccount: &sub}
	}
	amount := func(i int) uint64 { return 20_000 + 7*uint64(i) }
	var payments []node.Payment
	var subaccounts bytes.Buffer
	var total uint64
	for i := range users {
		a := account(i)
		acct, err := core.NewAccount(a.Owner, a.Subaccount)
		must(t, err)
		addr, err := key.Address(btc.Regtest, acct)
		must(t, err)
		if i == users/2 {
			var said string
			must(t, us.Agent.Update(ctx, n.Minter, "get_btc_address", []any{ckbtc.AddressArgs{Owner: &a.Owner, Subaccount: a.Subaccount}}, []any{&said}))
			if said != addr.String() {
				t.Fatalf("address %s, the minter says %s", addr, said)
			}
		}
		payments = append(payments, node.Payment{Address: addr.String(), Satoshi: btc.Satoshi(amount(i))})
		total += amount(i)
		fmt.Fprintf(&subaccounts, "%x\n", *a.Subaccount)
	}
	list := filepath.Join(dir, "subaccounts")
	must(t, os.WriteFile(list, subaccounts.Bytes(), 0o600))
	for i := 0; i < users; i += 250 {
		_, err := w.Chain.Send(ctx, testnets.SendRequest{Address: payments[i].Address, Satoshi: payments[i].Satoshi, More: payments[i+1 : i+250]})
		must(t, err)
	}

	// The watcher, killed once in the middle.
	secret := filepath.Join(dir, "secret")
	if out, err := exec.CommandContext(ctx, n.Program, "exchange", "secret", secret).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	secrets, err := watch.ReadSecrets(secret)
	must(t, err)
	b := &books{t: t, secrets: secrets, booked: map[string]watch.Event{}}
	receiver := httptest.NewServer(b)
	t.Cleanup(receiver.Close)
	watcher := func() *processes.Process {
		p, err := processes.Spawn(n.LogFile("watch"), nil, n.Program, cli("exchange", "watch", "--state", filepath.Join(dir, "state"), "--subaccounts", list, "--mint",
			"--mint-interval", "1s", "--webhook", receiver.URL, "--secret", secret).Args[1:]...)
		must(t, err)
		return p
	}
	p := watcher()
	must(t, w.Mine(ctx, testnets.Confirmations))
	until := func(count int) {
		t.Helper()
		must(t, golden.Wait(ctx, "deposits", func() (string, error) {
			if err := p.Ended(); err != nil {
				return "", fmt.Errorf("the watcher ended: %w", err)
			}
			if k, _ := b.deposits(); k < count {
				return fmt.Sprintf("%d of %d deposits", k, count), nil
			}
			return "", nil
		}))
	}
	until(users / 3)
	must(t, p.End(syscall.SIGKILL))
	p = watcher()
	until(users)
	must(t, p.End(syscall.SIGTERM))
	credited, of := b.deposits()
	for i := range users {
		if got := of[hex.EncodeToString(*account(i).Subaccount)]; got != amount(i) {
			t.Errorf("user %d was credited %d, paid %d", i, got, amount(i))
		}
	}
	if credited != users {
		t.Errorf("%d deposits, want %d", credited, users)
	}

	// Sweeps: each a transaction of its own to the ledger, whatever becomes of its answer.
	at := uint64(time.Now().UnixNano())
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(64)
	for i := range users {
		g.Go(func() error {
			created := at + uint64(i)
			s := payment{arg: icrc.TransferArg{FromSubaccount: account(i).Subaccount, To: us.Account(), Amount: candid.NatFromUint64(amount(i) - testnets.TransferFee), CreatedAtTime: &created}}
			return s.send(gctx, us)
		})
	}
	must(t, g.Wait())
	hot := total - users*testnets.TransferFee
	if got, err := us.Own(ctx); err != nil || got != hot {
		t.Fatalf("the hot account has %d, want %d (%v)", got, hot, err)
	}

	var burned uint64
	var paid btc.Satoshi
	for i := range withdrawals {
		sum := uint64(1_000_000 + i)
		to := golden.FreshAddress(fmt.Sprintf("exchange %d", i))
		block, err := us.Redeem(ctx, to, sum)
		must(t, err)
		_, err = us.Finish(ctx, block)
		must(t, err)
		got, err := w.Chain.Balance(ctx, to)
		must(t, err)
		if uint64(got) >= sum || uint64(got) < sum*9/10 {
			t.Errorf("a withdrawal of %d paid %d", sum, got)
		}
		burned += sum
		paid += got
		hot -= sum + testnets.TransferFee // the approval's
	}
	if got, err := us.Own(ctx); err != nil || got != hot {
		t.Errorf("the hot account has %d, want %d (%v)", got, hot, err)
	}
	after := check()
	// Fees of approvals are burned; those of transfers go to the minter's fee account.
	if want := before.Supply + total - burned - withdrawals*testnets.TransferFee; after.Supply != want {
		t.Errorf("supply %d, want %d", after.Supply, want)
	}
	if spent := before.Custody + total - after.Custody; spent < uint64(paid) || spent > burned || after.Owed != 0 {
		t.Errorf("custody fell by %d for %d paid and %d burned, %d are owed", spent, paid, burned, after.Owed)
	}
	t.Logf("%d deposits of %d sat, %d webhooks, %d withdrawn, %d paid; supply %d, custody %d in %d outputs", credited, total, b.attempts, burned, paid,
		after.Supply, after.Custody, len(after.Outputs))
}
