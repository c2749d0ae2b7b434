package testnets_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fusion/chainkey"
	"fusion/replica/genesis"
	"fusion/testnets"
	"fusion/testnets/golden"
)

// TestIdkg lets a canister sign with keys of all algorithms on a network whose keys are shared by the robust scheme, also
// while a replica is stopped.
func TestIdkg(t *testing.T) {
	dir := must(os.MkdirTemp("", "fn"))(t) // t.TempDir's names are too long for Unix sockets
	t.Cleanup(func() { check(t, os.RemoveAll(dir)) })
	var ids []chainkey.KeyID
	for _, a := range chainkey.Algorithms {
		ids = append(ids, chainkey.KeyID{Algorithm: a, Name: testnets.TestKey})
	}
	must(testnets.Create(dir, testnets.Settings{Scheme: genesis.Idkg, Keys: ids}))(t)
	log := must(os.Create(filepath.Join(dir, testnets.LogFile)))(t)
	t.Cleanup(func() { check(t, log.Close()) })
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	t.Cleanup(cancel)
	n := must(testnets.Run(ctx, dir, testnets.RunOptions{Log: slog.New(slog.NewTextHandler(log, nil))}))(t)
	t.Cleanup(func() { check(t, n.Close()) })
	check(t, n.WaitKeys(ctx))
	for _, k := range n.Replica(0).Status().Keys {
		if k.Scheme != genesis.Idkg {
			t.Errorf("key %s is of scheme %q", k.ID, k.Scheme)
		}
	}
	f := attach(t, n)
	for _, id := range ids {
		if name := fmt.Sprintf(`fusion_signing_presignatures{key="%s",node="0",state="ready"}`, id); !strings.Contains(get(t, n.URL(0)+"/metrics"), name) {
			t.Errorf("there is no %s among the metrics", name)
		}
	}
	signer := must(golden.InstallSigner(f, f.owner, "./testdata/signer"))(t)
	sign := func(count int) {
		for i := range count {
			path := [][]byte{{byte(i)}}
			for _, id := range ids {
				must(signer.Sign(f, id, path, chainkey.HashMessage([32]byte{byte(i)})))(t)
			}
		}
	}
	sign(3)
	check(t, n.StopReplica(3))
	sign(2)
}
