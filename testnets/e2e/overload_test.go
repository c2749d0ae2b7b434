package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fusion/ckledger/icrc"
	"fusion/ic/candid"
	"fusion/ic/envelope"
	"fusion/ic/identity"
	"fusion/internal/pause"
	"fusion/testnets/golden"
	"fusion/testnets/processes"
)

const (
	// overloadFor is how long the network is overloaded at least; it goes on until a payment was made, and no longer than overloadMost.
	overloadFor  = 40 * time.Second
	overloadMost = 5 * time.Minute
	// floods are the clients of each kind at each replica.
	floods = 12
	// mostResident is what a replica may hold in memory then, in bytes: 200 MiB that live at rest and 400 MiB of bodies, answers, calls and blocks
	// that its limits allow, three times, as the collector lets the heap grow to that, and a tenth for what is no heap.
	mostResident = 2 << 30
)

// flood is what was asked and how it was answered.
type flood struct {
	client                        http.Client
	asked, taken, refused, failed atomic.Int64
}

// post sends a request whose outcome nobody waits for.
func (f *flood) post(ctx context.Context, url string, body io.Reader) {
	f.asked.Add(1)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, body)
	if err != nil {
		panic(err) // the URL is ours
	}
	req.Header.Set("Content-Type", "application/cbor")
	res, err := f.client.Do(req)
	if err != nil {
		f.failed.Add(1)
		return
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	switch res.StatusCode {
	case http.StatusOK, http.StatusAccepted:
		f.taken.Add(1)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		f.refused.Add(1)
	default:
		f.failed.Add(1)
	}
}

// TestOverload asks far more of a network than it can do: calls of a hundred senders and of nobody, large ones, queries, bodies that never end. What it
// cannot do it refuses; its memory stays bounded, a user still pays meanwhile, and when it is over he pays as fast as before. No coin is lost.
func TestOverload(t *testing.T) {
	program(t, "FUSION_BIN")
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	n, w := run(ctx, t)
	owner, bob := user(t, w, golden.Owner, 0), user(t, w, "bob", 1)
	pay := func(ctx context.Context) (time.Duration, error) {
		start := time.Now()
		p := payment{arg: icrc.TransferArg{To: bob.Account(), Amount: candid.NatFromUint64(10)}}
		err := p.send(ctx, owner)
		return time.Since(start), err
	}
	var calm time.Duration // the slowest of ten
	for range 10 {
		d, err := pay(ctx)
		must(t, err)
		calm = max(calm, d)
	}
	heights := func() uint64 {
		s, err := n.Status(ctx, 0)
		must(t, err)
		return s.Height
	}
	began := heights()

	f := flood{client: http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1000}}}
	defer f.client.CloseIdleConnections()
	storm, stop := context.WithTimeout(ctx, overloadMost)
	defer stop()
	start := time.Now()
	var wg sync.WaitGroup
	begin := func(node, worker int, id identity.Identity, kind envelope.RequestType, size int) {
		version := 2
		if kind == envelope.Query {
			version = 3
		}
		url := fmt.Sprintf("%s/api/v%d/canister/%s/%s", w.URL(node), version, w.Ledger, kind)
		arg, err := candid.Marshal(bob.Account())
		must(t, err)
		arg = append(arg, make([]byte, size)...) // what follows the values makes the message malformed, and it still has to be executed
		wg.Go(func() {
			for i := 0; storm.Err() == nil; i++ {
				e, err := envelope.Sign(envelope.Content{RequestType: kind, CanisterID: w.Ledger, MethodName: "icrc1_balance_of", Arg: arg, Sender: id.Sender(),
					IngressExpiry: uint64(time.Now().Add(2 * time.Minute).UnixNano()), Nonce: fmt.Append(nil, node, " ", worker, " ", i)}, id)
				if err != nil {
					panic(err)
				}
				f.post(storm, url, bytes.NewReader(e.Encode()))
			}
		})
	}
	for node := range n.Nodes {
		for worker := range floods {
			id, err := identity.GenerateEd25519()
			must(t, err)
			begin(node, worker, id, envelope.Call, 0)
			begin(node, worker+floods, identity.Anonymous{}, envelope.Call, 0)
			begin(node, worker+2*floods, id, envelope.Query, 0)
			begin(node, worker+3*floods, identity.Anonymous{}, envelope.Call, 1<<20)
		}
		for range 100 {
			url := fmt.Sprintf("%s/api/v2/canister/%s/call", w.URL(node), w.Ledger)
			wg.Go(func() {
				for storm.Err() == nil {
					f.post(storm, url, &endless{storm, 3 << 20})
				}
			})
		}
	}
	var most uint64
	wg.Go(func() {
		for pause.For(storm, 200*time.Millisecond) == nil {
			for i := range n.Nodes {
				if r, err := n.Replica(i).Resident(); err == nil {
					most = max(most, r)
				}
			}
		}
	})
	var paid atomic.Int64
	wg.Go(func() {
		for storm.Err() == nil {
			if _, err := pay(storm); err == nil {
				paid.Add(1)
			} else {
				_ = pause.For(storm, time.Second) // the loop asks the storm
			}
			if paid.Load() > 0 && time.Since(start) > overloadFor {
				stop()
			}
		}
	})
	wg.Wait()
	blocks := heights() - began
	over := time.Now()
	t.Logf("in %s: %d requests, %d taken, %d refused, %d broken off; %d blocks, %d payments; at most %d MiB in memory; a payment took %s before",
		time.Since(start).Round(time.Second), f.asked.Load(), f.taken.Load(), f.refused.Load(), f.failed.Load(), blocks, paid.Load(), most>>20, calm.Round(time.Millisecond))
	if paid.Load() == 0 {
		t.Error("a user could not pay while others asked too much")
	}
	if f.refused.Load() == 0 {
		t.Error("nothing was refused: the test did not test")
	}
	if most > mostResident {
		t.Errorf("a replica held %d MiB, at most %d MiB are expected", most>>20, mostResident>>20)
	}

	// What is left of the storm in the pools is executed or expires.
	limit, done := context.WithTimeout(ctx, time.Minute)
	defer done()
	must(t, golden.Wait(limit, "payments to be as fast as before", func() (string, error) {
		d, err := pay(limit)
		if err != nil {
			return err.Error(), nil
		}
		if d > 2*calm+time.Second {
			return fmt.Sprintf("a payment takes %s", d), nil
		}
		return "", nil
	}))
	t.Logf("payments are as fast as before after %s", time.Since(over).Round(100*time.Millisecond))
	_, err := w.Audit(ctx, owner, bob)
	must(t, err)
	_, err = w.Agree(ctx, heights())
	must(t, err)
	must(t, n.Each(func(i int) error { return ended(n.Replica(i)) }))
}

func ended(p *processes.Process) error {
	if err := p.Ended(); err != nil {
		return errors.New("a replica has ended: " + err.Error())
	}
	return nil
}

// endless is a body that stops after some bytes and does not end until its context does.
type endless struct {
	context.Context
	left int
}

func (e *endless) Read(p []byte) (int, error) {
	if e.left == 0 {
		<-e.Done()
		return 0, io.ErrUnexpectedEOF
	}
	n := min(len(p), e.left)
	e.left -= n
	clear(p[:n])
	return n, nil
}
