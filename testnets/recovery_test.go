package testnets_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"fusion/btc"
	"fusion/ckledger/ckbtc"
	"fusion/replica"
	"fusion/replica/recovery"
	"fusion/testnets"
	"fusion/testnets/golden"
)

// backup takes a backup of a block above a height that the subnet has signed, from a running replica.
func backup(ctx context.Context, t *testing.T, dir string, node int, above uint64) (path string, b *recovery.Backup) {
	t.Helper()
	cfg := must(replica.LoadConfig(testnets.NodeDir(dir, node)))(t)
	path = filepath.Join(t.TempDir(), "backup.tar")
	check(t, golden.Wait(ctx, "a signed image", func() (string, error) {
		var out bytes.Buffer
		var err error
		b, err = replica.Backup(ctx, *cfg, &out, replica.BackupOptions{})
		if errors.Is(err, replica.ErrNoImage) || err == nil && b.Height <= above {
			return fmt.Sprint("none above block ", above), nil
		}
		if err == nil {
			err = os.WriteFile(path, out.Bytes(), 0o600)
		}
		return "", err
	}))
	return path, b
}

// draft makes the document of a backup's recovery, signed by nodes.
func draft(t *testing.T, dir, path string, number uint64, nodes ...int) *recovery.Document {
	t.Helper()
	in := must(os.Open(path))(t)
	defer in.Close()
	c := must(replica.CheckBackup(in, number))(t)
	for _, i := range nodes {
		check(t, c.Draft.Sign(must(replica.NodeIdentity(must(replica.LoadConfig(testnets.NodeDir(dir, i)))(t)))(t)))
	}
	return c.Draft
}

func restoreBackup(t *testing.T, dir, path string, node int, d *recovery.Document) error {
	t.Helper()
	in := must(os.Open(path))(t)
	defer in.Close()
	return replica.RestoreBackup(*must(replica.LoadConfig(testnets.NodeDir(dir, node)))(t), in, d, replica.RestoreOptions{})
}

// lose takes a replica's data away, all but its keys.
func lose(t *testing.T, dir string, node int) {
	t.Helper()
	for _, name := range []string{"state", "consensus", "snapshots", "recover"} {
		check(t, os.RemoveAll(filepath.Join(testnets.NodeDir(dir, node), name)))
	}
}

// resumeMinter gives the minter the transactions that it asks for, while the chain goes on, until it resumes or knows what is missing.
func resumeMinter(t *testing.T, n *testnets.Network, f *fixture) (res ckbtc.ResumeResult, transactions []string) {
	t.Helper()
	controller := must(f.w.User(testnets.DefaultIdentity, 0))(t)
	transactions = []string{}
	check(t, golden.Wait(f, "that the minter can compare", func() (string, error) {
		res = ckbtc.ResumeResult{}
		err := controller.Agent.Update(f, f.w.Minter, "resume", []any{&ckbtc.ResumeArgs{Transactions: &transactions}}, []any{&res})
		if err != nil || res.Ok != nil || strings.Contains(*res.Err, "satoshi are missing") {
			return "", err
		}
		if strings.Contains(*res.Err, "in hexadecimal") {
			for _, id := range regexp.MustCompile(`\b[0-9a-f]{64}\b`).FindAllString(*res.Err, -1) {
				info, ok := n.Bitcoin().GetTx(must(btc.ParseHash(id))(t))
				if !ok {
					return "", fmt.Errorf("no transaction %s", id)
				}
				transactions = append(transactions, fmt.Sprintf("%x", info.Raw))
			}
			return *res.Err, nil
		}
		return *res.Err, f.w.Mine(f, 1)
	}))
	return res, transactions
}

// TestSubnetRecovery loses the state of all replicas and begins again from a backup that does not know the last payment: under the same root key and with all
// keys, with the minter paused until what it paid without remembering is made good, and without serving a session of before.
func TestSubnetRecovery(t *testing.T) {
	dir := golden.Clone(t)
	snapshotsEvery(t, dir, 20)
	n := golden.RunDir(t, dir)
	f := attach(t, n)
	rootKey := n.RootKey()
	must(f.owner.Pay(f, f.bob.Agent.Sender(), 4321))(t)
	held := must(f.owner.Own(f))(t)
	path, b := backup(f, t, dir, 0, n.Replica(0).View().Height)
	if !b.Certified() {
		t.Fatal("the backup is not signed")
	}

	const paid = 700_000
	lost := must(f.owner.Redeem(f, golden.FreshAddress(t.Name()), paid))(t)
	tx := must(f.owner.Finish(f, lost))(t)
	end := must(f.w.Agree(f, n.Replica(0).View().Height))(t)
	f.w.Close()
	check(t, n.Close())
	keys := map[int]map[string]string{}
	for i := range n.Nodes {
		keys[i] = contents(t, filepath.Join(testnets.NodeDir(dir, i), "keys"))
		lose(t, dir, i)
	}

	d := draft(t, dir, path, 0, 0, 1, 2)
	refusals(t, dir, path, d)
	for i := range n.Nodes {
		check(t, restoreBackup(t, dir, path, i, d))
	}
	check(t, restoreBackup(t, dir, path, 3, d)) // once more is no harm
	for i := range n.Nodes {
		after := contents(t, filepath.Join(testnets.NodeDir(dir, i), "keys"))
		if len(after) != len(keys[i]) {
			t.Errorf("the key store of node %d had %d files and has %d", i, len(keys[i]), len(after))
		}
	}

	n = golden.RunDir(t, dir)
	f = attach(t, n)
	if !bytes.Equal(n.RootKey(), rootKey) {
		t.Error("the subnet has another root key")
	}
	if s := n.Replica(0).Status(); s.Height <= b.Height {
		t.Errorf("block %d after a recovery from block %d", s.Height, b.Height)
	}
	if own := must(f.owner.Own(f))(t); own != held {
		t.Errorf("the owner has %d, and had %d when the backup was made", own, held)
	}

	// The minter does nothing before it was compared with the chain.
	if res := must(f.bob.UpdateBalance(f))(t); res.Err == nil || res.Err.TemporarilyUnavailable == nil || !strings.Contains(*res.Err.TemporarilyUnavailable, "restored from a backup") {
		t.Fatalf("the minter says %+v", res)
	}
	if res := must(f.owner.Retrieve(f, golden.FreshAddress("paused"), 100_000))(t); res.Err == nil || res.Err.TemporarilyUnavailable == nil {
		t.Fatalf("the minter accepts withdrawals: %+v", res)
	}
	res, _ := resumeMinter(t, n, f)
	if res.Err == nil {
		t.Fatalf("the minter resumed with less than it owes: %+v", res.Ok)
	}
	t.Log(*res.Err)
	if !strings.Contains(*res.Err, "no withdrawal that the log knows explains "+tx) {
		t.Errorf("the forgotten payment %s is not named", tx)
	}
	found := regexp.MustCompile(`(\d+) satoshi are missing.* to (bcrt1\w+),`).FindStringSubmatch(*res.Err)
	if found == nil {
		t.Fatal("the refusal does not say what to pay to whom")
	}
	var missing uint64
	must(fmt.Sscan(found[1], &missing))(t)
	must(f.w.Chain.Send(f, testnets.SendRequest{Address: found[2], Satoshi: btc.Satoshi(missing - 1)}))(t)
	check(t, f.w.Mine(f, testnets.Confirmations))
	if res, _ := resumeMinter(t, n, f); res.Err == nil {
		t.Fatal("a satoshi is missing, and the minter resumed")
	}
	must(f.w.Chain.Send(f, testnets.SendRequest{Address: found[2], Satoshi: 10_000}))(t)
	check(t, f.w.Mine(f, testnets.Confirmations))
	if res, _ := resumeMinter(t, n, f); res.Ok == nil {
		t.Fatalf("the minter does not resume: %v", *res.Err)
	}

	// It pays and mints again, with fresh sessions, and the network goes beyond the heights that were lost.
	must(f.owner.Finish(f, must(f.owner.Redeem(f, golden.FreshAddress("after"), 500_000))(t)))(t)
	must(f.bob.Deposit(f, 300_000))(t)
	check(t, f.w.Mine(f, testnets.Confirmations))
	must(f.bob.Mint(f, 1))(t)
	must(f.w.Audit(f, f.owner, f.bob))(t)
	must(f.w.Agree(f, max(end, n.Replica(0).View().Height)))(t)
	for i := range n.Nodes {
		for name, was := range keys[i] {
			if strings.HasSuffix(name, "joined") {
				now := string(must(os.ReadFile(name))(t))
				if !strings.HasPrefix(now, was) {
					t.Errorf("%s forgot what was joined", name)
				}
			}
		}
	}
	if m := n.Replica(0).Status(); m.Healthy != true {
		t.Errorf("after the recovery: %s", m.Sentence)
	}
}

// refusals: nothing but the agreed document with the very backup begins a recovery.
func refusals(t *testing.T, dir, path string, good *recovery.Document) {
	t.Helper()
	sign := func(d *recovery.Document, nodes ...int) *recovery.Document {
		d.Signatures = nil
		for _, i := range nodes {
			check(t, d.Sign(must(replica.NodeIdentity(must(replica.LoadConfig(testnets.NodeDir(dir, i)))(t)))(t)))
		}
		return d
	}
	edit := func(change func(d *recovery.Document), nodes ...int) *recovery.Document {
		d := must(recovery.Parse(good.Encode()))(t)
		change(d)
		return sign(d, nodes...)
	}
	none := func(*recovery.Document) {}
	for name, c := range map[string]struct {
		d    *recovery.Document
		want error
	}{
		"too few signatures": {edit(none, 0, 1), recovery.ErrSignatures},
		"one node twice": {func() *recovery.Document {
			d := edit(none, 0, 1)
			d.Signatures = append(d.Signatures, d.Signatures[0])
			return d
		}(), recovery.ErrSignatures},
		"signatures of another document": {func() *recovery.Document {
			d := edit(none)
			d.Number++
			d.Signatures = good.Signatures
			return d
		}(), recovery.ErrSignatures},
		"another state":           {edit(func(d *recovery.Document) { d.AppHash[0] ^= 1 }, 0, 1, 2), recovery.ErrMismatch},
		"another block":           {edit(func(d *recovery.Document) { d.Height++ }, 0, 1, 2), recovery.ErrMismatch},
		"another subnet":          {edit(func(d *recovery.Document) { d.RootKey[40] ^= 1 }, 0, 1, 2), recovery.ErrMismatch},
		"another network":         {edit(func(d *recovery.Document) { d.Network[0] ^= 1 }, 0, 1, 2), recovery.ErrMismatch},
		"fewer members":           {edit(func(d *recovery.Document) { d.Members = d.Members[1:] }, 0, 1, 2), recovery.ErrMismatch},
		"a time before the state": {edit(func(d *recovery.Document) { d.TimeNs = 1 }, 0, 1, 2), recovery.ErrMismatch},
	} {
		if err := restoreBackup(t, dir, path, 0, c.d); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	whole := must(os.ReadFile(path))(t)
	altered := filepath.Join(t.TempDir(), "altered.tar")
	for _, at := range []int{700, len(whole) / 2, len(whole) - 20_000} {
		b := bytes.Clone(whole)
		b[at] ^= 1
		check(t, os.WriteFile(altered, b, 0o600))
		if err := restoreBackup(t, dir, altered, 0, good); err == nil {
			t.Errorf("a backup with another byte at %d of %d was restored", at, len(b))
		}
	}
	check(t, os.WriteFile(altered, whole[:len(whole)/2], 0o600))
	if err := restoreBackup(t, dir, altered, 0, good); !errors.Is(err, recovery.ErrBackup) {
		t.Errorf("half a backup: %v", err)
	}
	if cfg := must(replica.LoadConfig(testnets.NodeDir(dir, 0)))(t); cfg.HasState() {
		t.Error("a refused recovery has left a state")
	}
}

// TestPaidAfterTheBackup restores a backup in which one withdrawal has a transaction and another waits for its change. Both were paid before the state was lost. The
// minter asks for what it does not know, finds that both are paid, and goes on without paying anything twice and without anybody paying in.
func TestPaidAfterTheBackup(t *testing.T) {
	dir := golden.Clone(t)
	snapshotsEvery(t, dir, 20)
	n := golden.RunDir(t, dir)
	f := attach(t, n)
	addresses := []string{golden.FreshAddress(t.Name() + "1"), golden.FreshAddress(t.Name() + "2")}
	all := must(f.owner.Own(f))(t)
	first := must(f.owner.Redeem(f, addresses[0], golden.DepositSats+1000))(t) // takes two outputs, so that the others are not enough for the second
	check(t, golden.Wait(f, "the first transaction", func() (string, error) {
		st, err := f.owner.Withdrawal(f, first)
		if err == nil && st.Pending != nil {
			return "pending", nil
		}
		return "", err
	}))
	second := must(f.owner.Redeem(f, addresses[1], all-golden.DepositSats-100_000))(t)
	path, _ := backup(f, t, dir, 0, n.Replica(0).View().Height)
	if st := must(f.owner.Withdrawal(f, second))(t); st.Pending == nil {
		t.Fatalf("the second withdrawal does not wait: %+v", st)
	}
	must(f.owner.Finish(f, first))(t)
	tx := must(f.owner.Finish(f, second))(t)
	paid := []btc.Satoshi{must(n.Bitcoin().Balance(addresses[0]))(t), must(n.Bitcoin().Balance(addresses[1]))(t)}
	end := must(f.w.Agree(f, n.Replica(0).View().Height))(t)
	f.w.Close()
	check(t, n.Close())

	d := draft(t, dir, path, 0, 0, 1, 2)
	for i := range n.Nodes {
		lose(t, dir, i)
		check(t, restoreBackup(t, dir, path, i, d))
	}
	n = golden.RunDir(t, dir)
	f = attach(t, n)
	if st := must(f.owner.Withdrawal(f, second))(t); st.Pending == nil {
		t.Fatalf("the second withdrawal does not wait in the backup: %+v", st)
	}
	res, transactions := resumeMinter(t, n, f)
	if len(transactions) == 0 || res.Ok == nil || res.Ok.Restored != 0 || res.Ok.WrittenOff != 0 {
		t.Fatalf("%d transactions, %+v", len(transactions), res)
	}
	st := must(f.owner.Withdrawal(f, second))(t)
	if st.Confirmed == nil || btc.Hash(st.Confirmed.Txid).String() != tx {
		t.Fatalf("the second withdrawal: %+v, was paid by %s", st, tx)
	}
	must(f.bob.Deposit(f, 300_000))(t)
	check(t, f.w.Mine(f, testnets.Confirmations))
	must(f.bob.Mint(f, 1))(t)
	must(f.owner.Finish(f, must(f.bob.Redeem(f, golden.FreshAddress("after"), 150_000))(t)))(t)
	for i, a := range addresses {
		if now := must(n.Bitcoin().Balance(a))(t); now != paid[i] {
			t.Errorf("%s has %d, and had %d before the restore", a, now, paid[i])
		}
	}
	must(f.w.Audit(f, f.owner, f.bob))(t)
	must(f.w.Agree(f, max(end, n.Replica(0).View().Height)))(t)
}
