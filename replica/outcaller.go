package replica

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"fusion/adapters/ethereum"
	"fusion/adapters/https"
	"fusion/ic/candid"
	"fusion/ic/principal"
	"fusion/replica/execution"
	"fusion/replica/machine"
	"fusion/replica/management"
	"fusion/replica/outcalls"
	"fusion/replica/payload"
)

// outcaller joins package outcalls and the HTTPS adapter to this replica: committed state says what to ask, the canister's transform makes of
// the response what the replicas agree on, and answers go into proposals.
type outcaller struct {
	r       *Replica
	client  *https.Client
	chain   *ethereum.Client // the replica's own providers; nil where it has none
	machine *outcalls.Machine
	driver  *outcalls.Driver

	mu       sync.Mutex
	differed uint64    // questions on which the providers differed, when that was last looked at
	noticed  time.Time // when there were more of them
}

// disagreementShown is how long a disagreement of providers is part of the status after it was noticed.
const disagreementShown = 10 * time.Minute

// disagreed says that Ethereum providers gave different answers a short while ago.
func (o *outcaller) disagreed() bool {
	if o.chain == nil {
		return false
	}
	n := o.chain.Stats().Disagreed
	o.mu.Lock()
	defer o.mu.Unlock()
	if n > o.differed {
		o.differed, o.noticed = n, time.Now()
	}
	return !o.noticed.IsZero() && time.Since(o.noticed) < disagreementShown
}

func newOutcaller(r *Replica) (*outcaller, error) {
	set := &r.cfg.Outcalls
	cfg := https.Config{AllowHTTP: set.AllowHTTP, Hosts: set.Hosts, Log: r.log}
	var err error
	if cfg.Allow, err = https.ParseRules(set.Allow); err != nil {
		return nil, fmt.Errorf("%w: outcalls.allow: %w", ErrConfig, err)
	}
	if cfg.Roots, err = loadRoots(set.Roots); err != nil {
		return nil, err
	}
	o := &outcaller{r: r}
	if o.client, err = https.New(cfg); err != nil {
		return nil, fmt.Errorf("%w: outcalls.hosts: %w", ErrConfig, err)
	}
	if o.chain, err = newEthereumClient(r); err != nil {
		return nil, err
	}
	m, err := outcalls.NewMachine(outcalls.FromGenesis(r.doc, r.life()))
	if err != nil {
		return nil, err
	}
	o.machine = m
	o.driver = outcalls.NewDriver(outcalls.DriverConfig{Machine: m, NodeKey: r.key, Net: r.wire, Parallel: set.Parallel, Log: r.log,
		Sources: map[outcalls.Kind]outcalls.Source{outcalls.HTTP: told(o.http), outcalls.Ethereum: told(o.ethereum), outcalls.Height: told(o.height)},
		Listener: outcalls.Listener{
			Asked:    r.metrics.outcall,
			Differed: r.metrics.differed,
			Refused: func(node int, _ error) {
				r.metrics.outcallsBad.Inc()
				r.metrics.misconduct(node, badMessage)
			},
		}})
	return o, nil
}

// loadRoots adds certificate authorities to the system's; nil means those alone.
func loadRoots(files []string) (*x509.CertPool, error) {
	if len(files) == 0 {
		return nil, nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("loading the system's certificate authorities: %w", err)
	}
	for _, f := range files {
		pem, err := os.ReadFile(f)
		if err != nil {
			return nil, fmt.Errorf("%w: outcalls.roots: %w", ErrConfig, err)
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%w: outcalls.roots: %s holds no certificate in PEM form", ErrConfig, f)
		}
	}
	return pool, nil
}

func (o *outcaller) close() error {
	o.driver.Close()
	if o.chain != nil {
		return o.chain.Close()
	}
	return nil
}

func (o *outcaller) reconcile(v *machine.View) {
	o.machine.SetMembers(v.Roster)
	if v.Members.Seat(o.r.self) < 0 { // nobody counts what this node is told
		return
	}
	o.driver.Reconcile(o.r.machine.OutcallsReader(), v.Height)
	open, _ := o.driver.Load()
	o.r.metrics.outcallsOpen.Set(float64(open))
}

// smallAnswers is what answers may take of a block in which a large Bitcoin block must find room.
const smallAnswers = 256 << 10

// propose adds what a block may carry now. The largest answers and the largest Bitcoin blocks do not fit side by side, so answers of any size
// go into every second block only.
func (o *outcaller) propose(b *payload.Builder, height uint64) {
	room := b.Room(payload.Outcall)
	if height%2 == 1 {
		room = min(room, smallAnswers)
	}
	for _, it := range o.driver.Pending(room) {
		if o.r.machine.CheckOutcalls([][]byte{it}) == nil {
			b.Add(payload.Outcall, it)
		}
	}
}

// http carries out an HTTPS outcall.
func (o *outcaller) http(ctx context.Context, q outcalls.Request) outcalls.Answer {
	call, ok := execution.LookupSystemCall(o.r.machine.ExecutionReader(), q.ID)
	if !ok || call.HTTP == nil { // answered in the meantime: nobody will hear this
		return outcalls.Rejection(execution.SysTransient, "Canister http request %d is not open", q.ID)
	}
	h := call.HTTP
	in := https.Request{URL: h.URL, Method: h.Method, Body: h.Body, MaxResponseBytes: int64(h.MaxResponseBytes)}
	for _, x := range h.Headers {
		in.Headers = append(in.Headers, https.Header{Name: x.Name, Value: x.Value})
	}
	res, err := o.client.Do(ctx, in)
	if err != nil {
		return failedOutcall(err)
	}
	out := management.HTTPResponse{Status: candid.NatFromUint64(uint64(res.Status)), Headers: []management.HTTPHeader{}, Body: res.Body}
	for _, x := range res.Headers {
		out.Headers = append(out.Headers, management.HTTPHeader{Name: x.Name, Value: x.Value})
	}
	if h.Transform == nil {
		return outcalls.Answer{Reply: candid.MustMarshal(out)}
	}
	return transformed(ctx, o.r.machine.View().Executor, call.Caller, h, out)
}

// transformed lets the canister make the replicas' responses equal.
func transformed(ctx context.Context, x *execution.Executor, canister principal.Principal, h *execution.HTTPRequest, res management.HTTPResponse) outcalls.Answer {
	reply, rej := x.Transform(ctx, canister, h.Transform.Method, candid.MustMarshal(management.TransformArgs{Response: res, Context: h.Transform.Context}))
	switch {
	case rej != nil:
		return outcalls.Rejection(rej.Code, "%s", rej.Message)
	case uint64(len(reply)) > h.MaxResponseBytes:
		return outcalls.Rejection(execution.SysFatal, "Transformed http response exceeds limit: %d", h.MaxResponseBytes)
	}
	return outcalls.Answer{Reply: reply}
}

// failedOutcall says whether asking again may help, with the Internet Computer's codes.
func failedOutcall(err error) outcalls.Answer {
	code := execution.SysFatal
	if errors.Is(err, https.ErrUnreachable) || errors.Is(err, https.ErrMalformed) {
		code = execution.SysTransient
	}
	return outcalls.Rejection(code, "%s", err)
}
