package node

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"fusion/btc"
)

// killed copies the directory of a running node, as a process that dies leaves it.
func killed(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

// TestKilledNode: a node that is killed has its blocks, the branch that it had chosen and its memory pool when it starts again, however often.
func TestKilledNode(t *testing.T) {
	dir := t.TempDir()
	n := start(t, dir)
	user := addr(t, btc.P2WPKH, 7)
	mine(t, n, 5, n.FaucetAddress())
	nobody := addr(t, btc.P2WPKH, 8)
	mine(t, n, 110, nobody) // so that the coins that are spent are mature on either branch
	same := func(again *Node) {
		t.Helper()
		pool, want := again.Mempool(), n.Mempool()
		order := func(a, b btc.Hash) int { return slices.Compare(a[:], b[:]) }
		slices.SortFunc(pool, order)
		slices.SortFunc(want, order)
		if again.Tip() != n.Tip() || again.Height() != n.Height() || !slices.Equal(pool, want) || balance(t, again, user) != balance(t, n, user) {
			t.Fatalf("block %d %v, %d transactions, %d sat; want block %d %v, %d transactions, %d sat", again.Height(), again.Tip(), len(pool), balance(t, again, user),
				n.Height(), n.Tip(), len(want), balance(t, n, user))
		}
	}
	pay := func() {
		t.Helper()
		if _, err := n.Send(user, btc.Coin); err != nil {
			t.Fatal(err)
		}
	}
	same(start(t, killed(t, dir)))
	pay()
	mine(t, n, 3, nobody)
	pay()
	same(start(t, killed(t, dir)))
	if _, err := n.Reorg(3, 2, nobody); err != nil { // a branch with less work
		t.Fatal(err)
	}
	twice := killed(t, dir)
	same(start(t, twice))
	same(start(t, killed(t, twice)))
	gone, err := n.HashAt(n.Height())
	if err != nil {
		t.Fatal(err)
	}
	if err := n.InvalidateBlock(gone); err != nil {
		t.Fatal(err)
	}
	if err := n.ReconsiderBlock(gone); err != nil {
		t.Fatal(err)
	}
	last := killed(t, dir)
	j := filepath.Join(last, journalFile)
	whole, err := os.ReadFile(j)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(j, append(whole, blockConnected, 9, 0, 0, 0, 1), 0o600); err != nil { // not written whole
		t.Fatal(err)
	}
	again := start(t, last)
	same(again)
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(j); !os.IsNotExist(err) {
		t.Errorf("a node that was closed leaves its journal: %v", err)
	}
	same(start(t, last))
}

func FuzzRecords(f *testing.F) {
	f.Add([]byte{txAccepted, 1, 0, 0, 0, 7, blockConnected, 255})
	f.Fuzz(func(t *testing.T, raw []byte) {
		n := 0
		rest := records(raw, func(_ byte, body []byte) { n += recordHeader + len(body) })
		if n+len(rest) != len(raw) {
			t.Fatalf("%d bytes in records and %d left, of %d", n, len(rest), len(raw))
		}
	})
}
