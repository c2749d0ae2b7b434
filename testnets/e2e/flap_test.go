package e2e

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"fusion/chainkey"
	"fusion/internal/pause"
	"fusion/testnets"
	"fusion/testnets/golden"
)

// TestHundredSignatures has a canister sign a hundred messages, eight at a time, by ECDSA, BIP 340 and Ed25519, while transfers go on and one
// replica is killed and started all the time. All complete and verify under keys that are derived offline. On disk and in the logs no replica has
// joined a session twice, and each session is one attempt at one request.
func TestHundredSignatures(t *testing.T) {
	program(t, "FUSION_BIN")
	const total, parallel, flapping = 100, 8, 3
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Minute)
	defer cancel()
	n, w := run(ctx, t)
	owner, bob := user(t, w, golden.Owner, 0), user(t, w, "bob", 1)
	signer, err := golden.InstallSigner(ctx, owner, "../testdata/signer")
	must(t, err)

	work, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	payments, flaps := 0, 0
	var payErr, flapErr error
	wg.Go(func() {
		for work.Err() == nil {
			if _, err := owner.Pay(work, bob.Account().Owner, 10); err != nil && work.Err() == nil {
				payErr = err
				return
			}
			payments++
		}
	})
	wg.Go(func() {
		for {
			if flapErr = n.Kill(flapping); flapErr != nil || pause.For(work, 3*time.Second) != nil {
				break
			}
			if flapErr = n.Start(flapping); flapErr != nil || pause.For(work, 12*time.Second) != nil {
				break
			}
			flaps++
		}
		flapErr = errors.Join(flapErr, n.Kill(flapping))
	})
	keys := []chainkey.KeyID{testnets.EcdsaKey, golden.Bip340Key, {Algorithm: chainkey.Ed25519, Name: testnets.TestKey}}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	began := time.Now()
	for i := range total {
		g.Go(func() error {
			message := chainkey.HashMessage(sha256.Sum256(fmt.Append(nil, "message ", i)))
			for try := 0; ; try++ {
				_, err := signer.Sign(gctx, keys[i%len(keys)], [][]byte{{byte(i)}}, message)
				if err == nil || !errors.Is(err, golden.ErrRefused) || try == 5 {
					if err != nil {
						err = fmt.Errorf("signature %d: %w", i, err)
					}
					return err
				}
			}
		})
	}
	err = g.Wait()
	took := time.Since(began)
	stop()
	wg.Wait()
	must(t, errors.Join(err, payErr, flapErr))
	if flaps == 0 || payments == 0 {
		t.Errorf("%d flaps and %d payments: the test did not test", flaps, payments)
	}
	must(t, n.Each(n.Kill))

	line := regexp.MustCompile(`"ceremony (?:ended|failed)" node=\d+ kind=signature key=(\S+) request=(\d+) attempt=(\d+) session=([0-9a-f]+)`)
	about := map[string]string{}
	sessions := 0
	for i := range n.Nodes {
		markers, err := os.ReadFile(filepath.Join(testnets.NodeDir(n.Dir, i), "keys", "joined"))
		must(t, err)
		seen := map[string]bool{}
		const record = 36 // a session and a checksum
		for ; len(markers) >= record; markers = markers[record:] {
			id := fmt.Sprintf("%x", markers[:8])
			if seen[id] {
				t.Errorf("node %d joined session %s twice", i, id)
			}
			seen[id] = true
		}
		log, err := os.ReadFile(n.LogFile(fmt.Sprintf("node%d", i)))
		must(t, err)
		ended := map[string]bool{}
		for _, m := range line.FindAllSubmatch(log, -1) {
			what, id := string(m[1])+" "+string(m[2])+" "+string(m[3]), string(m[4])
			if other := about[id]; other != "" && other != what {
				t.Errorf("session %s is about %s and about %s", id, other, what)
			}
			if about[id] = what; ended[id] || !seen[id] {
				t.Errorf("node %d took part in session %s twice, or without a marker", i, id)
			}
			ended[id] = true
			sessions++
		}
	}
	if sessions < total {
		t.Errorf("%d parts in sessions are in the logs: the test looks in the wrong place", sessions)
	}
	t.Logf("%d signatures in %v, %d payments, replica %d killed %d times, %d sessions", total, took.Round(time.Second), payments, flapping, flaps, len(about))
}
