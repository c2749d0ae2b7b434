package replica

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"fusion/adapters/ethereum"
	"fusion/adapters/ethereum/beacon"
	"fusion/eth"
	"fusion/eth/canister"
	"fusion/eth/rpc"
	"fusion/replica/execution"
	"fusion/replica/genesis"
	"fusion/replica/outcalls"
)

// beaconDir is where the light client of the beacon chain keeps what it verified, within the data directory.
const beaconDir = "ethereum-beacon"

// newBeacon starts the light client that says what is final. It ends with the replica.
func newBeacon(r *Replica) (*beacon.Light, error) {
	set := &r.cfg.Ethereum
	cfg := beacon.Config{ChainID: r.doc.Ethereum.ChainID, Dir: filepath.Join(r.cfg.Dir, beaconDir), Log: r.log}
	var err error
	if cfg.Checkpoint, err = eth.ParseHash(set.Checkpoint); err != nil {
		return nil, fmt.Errorf("%w: ethereum.checkpoint: %w", ErrConfig, err)
	}
	for _, u := range set.Beacon {
		n, err := beacon.Node(ethereum.Provider{URL: u}, nil)
		if err != nil {
			return nil, fmt.Errorf("%w: ethereum.beacon: %w", ErrConfig, err)
		}
		cfg.Nodes = append(cfg.Nodes, n)
	}
	l, err := beacon.New(cfg)
	if err != nil {
		return nil, fmt.Errorf("%w: ethereum.beacon: %w", ErrConfig, err)
	}
	ctx, cancel := context.WithCancel(r.ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.Run(ctx)
	}()
	r.opened(func() error {
		cancel()
		<-done
		return l.Close()
	})
	return l, nil
}

// newEthereumClient makes the client of this replica's own providers, or none where there are no providers.
func newEthereumClient(r *Replica) (*ethereum.Client, error) {
	set := &r.cfg.Ethereum
	if r.doc.Ethereum == nil {
		return nil, nil
	}
	if len(set.Providers) == 0 {
		r.log.Warn("no Ethereum providers are configured: this replica contributes nothing to answers about the chain", "chain", r.doc.Ethereum.ChainID)
		return nil, nil
	}
	cfg := ethereum.Config{ChainID: r.doc.Ethereum.ChainID, Quorum: set.quorum(), Verify: set.verify(), Log: r.log}
	for _, p := range set.Providers {
		x := ethereum.Provider{URL: p.URL, Operator: p.name()}
		for name, value := range p.Headers {
			x.Headers = append(x.Headers, ethereum.Header{Name: name, Value: value})
		}
		cfg.Providers = append(cfg.Providers, x)
	}
	if len(set.Beacon) > 0 {
		l, err := newBeacon(r)
		if err != nil {
			return nil, err
		}
		cfg.Finality = l
	} else if r.doc.Class != genesis.Local {
		r.log.Warn("no beacon endpoints are configured: what is final is what the Ethereum providers say", "chain", r.doc.Ethereum.ChainID)
	}
	c, err := ethereum.New(cfg)
	if err != nil {
		return nil, fmt.Errorf("%w: ethereum: %w", ErrConfig, err)
	}
	r.metrics.registry.MustRegister(providerMetrics{c, r.self})
	return c, nil
}

// question reads what the canister wants to know.
func (o *outcaller) question(id uint64) (*canister.Ask, error) {
	call, ok := execution.LookupSystemCall(o.r.machine.ExecutionReader(), id)
	if !ok || call.Ask == nil { // answered in the meantime: nobody will hear this
		return nil, fmt.Errorf("question %d is not open", id)
	}
	return canister.DecodeAsk(call.Ask.Data)
}

// noProviders is what replicas that have none agree on.
func (o *outcaller) noProviders() outcalls.Answer {
	return outcalls.Rejection(execution.SysTransient, "the replicas have no Ethereum providers of their own configured: their operators have to set ethereum.providers, or the call to name services")
}

// ethereum carries out a question to Ethereum providers.
func (o *outcaller) ethereum(ctx context.Context, q outcalls.Request) outcalls.Answer {
	ask, err := o.question(q.ID)
	if err != nil {
		return outcalls.Rejection(execution.SysTransient, "%v", err)
	}
	if ask.Own && o.chain == nil {
		return o.noProviders()
	}
	answers := make([]rpc.Answer, len(ask.Queries))
	var wg sync.WaitGroup
	parallel := make(chan struct{}, 8)
	for i := range ask.Queries {
		wg.Go(func() {
			parallel <- struct{}{}
			defer func() { <-parallel }()
			query := ask.Queries[i].RPC()
			if ask.Own {
				answers[i] = o.chain.Ask(ctx, query)
			} else {
				answers[i] = o.askOne(ctx, &ask.Endpoints[0], query, ask.MaxBytes)
			}
			answers[i] = canister.Settle(query, answers[i])
		})
	}
	wg.Wait()
	return outcalls.Answer{Reply: ask.Reply(answers)}
}

// askOne asks a provider that a canister named.
func (o *outcaller) askOne(ctx context.Context, e *canister.Endpoint, q rpc.Query, most uint64) rpc.Answer {
	var headers []ethereum.Header
	for _, h := range e.Headers {
		headers = append(headers, ethereum.Header{Name: h[0], Value: h[1]})
	}
	return ethereum.AskOne(ctx, o.client, e.URL, headers, q, int64(most))
}

// height says how far this replica sees that the chain has come.
func (o *outcaller) height(ctx context.Context, q outcalls.Request) outcalls.Answer {
	ask, err := o.question(q.ID)
	if err != nil {
		return outcalls.Rejection(execution.SysTransient, "%v", err)
	}
	if ask.Own {
		if o.chain == nil {
			return o.noProviders()
		}
		h, err := o.chain.Height(ctx, ask.Height)
		if err != nil {
			o.r.log.Warn("no height of the Ethereum chain", "tag", ask.Height, "err", err)
			return outcalls.Rejection(execution.SysTransient, "no height")
		}
		return outcalls.HeightAnswer(h)
	}
	seen := make([]*uint64, len(ask.Endpoints))
	var wg sync.WaitGroup
	for i := range ask.Endpoints {
		wg.Go(func() {
			a := o.askOne(ctx, &ask.Endpoints[i], rpc.BlockByNumber(rpc.At(ask.Height)), ask.MaxBytes)
			if a.Err != nil {
				return
			}
			if b, err := rpc.ParseBlock(a.Result); err == nil && b != nil {
				seen[i] = &b.Number
			}
		})
	}
	wg.Wait()
	return heightOf(seen, int(ask.Known))
}

// heightOf is the highest block that so many services have, or, where fewer answer, that all of those have.
func heightOf(seen []*uint64, known int) outcalls.Answer {
	var heights []uint64
	for _, h := range seen {
		if h != nil {
			heights = append(heights, *h)
		}
	}
	if len(heights) == 0 {
		return outcalls.Rejection(execution.SysTransient, "no service has such a block")
	}
	slices.Sort(heights)
	return outcalls.HeightAnswer(heights[max(len(heights)-max(known, 1), 0)])
}

// EthereumStatus is how the replica's own Ethereum providers are.
type EthereumStatus struct {
	ChainID   uint64                   `json:"chain_id"`
	Sentence  string                   `json:"sentence"`
	Healthy   bool                     `json:"healthy"`
	Latest    uint64                   `json:"latest_height"`
	Finalized uint64                   `json:"finalized_height"`
	Providers []EthereumProviderStatus `json:"providers,omitempty"`
}

// EthereumProviderStatus is how one of them is.
type EthereumProviderStatus struct {
	Host      string `json:"host"`
	Operator  string `json:"operator"`
	State     string `json:"state"`
	Asked     uint64 `json:"asked"`
	Failed    uint64 `json:"failed"`
	Disagreed uint64 `json:"disagreed"`
}

func (o *outcaller) ethereumStatus() *EthereumStatus {
	s := &EthereumStatus{ChainID: o.r.doc.Ethereum.ChainID}
	if o.chain == nil {
		s.Sentence = fmt.Sprintf("no Ethereum providers are configured for chain %d: set ethereum.providers in %s", s.ChainID, ConfigFile)
		return s
	}
	st := o.chain.Stats()
	s.Latest, s.Finalized = st.Latest, st.Finalized
	well := map[string]bool{}
	for _, p := range st.Providers {
		s.Providers = append(s.Providers, EthereumProviderStatus{Host: p.Host, Operator: p.Operator, State: string(p.State), Asked: p.Asked, Failed: p.Failed, Disagreed: p.Disagreed + p.Unverified})
		if p.State == ethereum.Healthy {
			well[p.Operator] = true
		}
	}
	need := o.r.cfg.Ethereum.quorum()
	s.Healthy = len(well) >= need
	s.Sentence = fmt.Sprintf("%d of %d Ethereum operators are well, %d must agree", len(well), len(o.r.cfg.Ethereum.operators()), need)
	return s
}

// providerMetrics shows the client's counters.
type providerMetrics struct {
	c    *ethereum.Client
	node int
}

var (
	providerLabels = []string{"node", "operator", "host"}
	providerHelp   = map[string]string{
		"ethereum_provider_healthy":          "1 while an Ethereum provider is asked, 0 while it rests after failures.",
		"ethereum_provider_asked_total":      "Requests to an Ethereum provider.",
		"ethereum_provider_failed_total":     "Requests that an Ethereum provider did not answer, or not usably.",
		"ethereum_provider_disagreed_total":  "Answers of an Ethereum provider that differ from what a quorum gave.",
		"ethereum_provider_unverified_total": "Answers of an Ethereum provider that did not hold against the chain's headers.",
	}
	providerDescs = func() map[string]*prometheus.Desc {
		out := map[string]*prometheus.Desc{}
		for name, help := range providerHelp {
			out[name] = prometheus.NewDesc("fusion_"+name, help, providerLabels, nil)
		}
		return out
	}()
	disagreedDesc = prometheus.NewDesc("fusion_ethereum_disagreements_total", "Questions without an answer because the providers differ.", []string{"node"}, nil)
	heightDesc    = prometheus.NewDesc("fusion_ethereum_height", "Newest height of the Ethereum chain that the providers agreed on, by tag.", []string{"node", "tag"}, nil)
)

// Describe implements prometheus.Collector.
func (m providerMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range providerDescs {
		ch <- d
	}
	ch <- disagreedDesc
	ch <- heightDesc
}

// Collect implements prometheus.Collector.
func (m providerMetrics) Collect(ch chan<- prometheus.Metric) {
	st, node := m.c.Stats(), fmt.Sprint(m.node)
	operators := map[string]bool{}
	for i, p := range st.Providers {
		host := p.Host
		if operators[p.Operator+" "+host] { // several endpoints of one host
			host = fmt.Sprintf("%s (%d)", host, i)
		}
		operators[p.Operator+" "+host] = true
		healthy := 0.0
		if p.State == ethereum.Healthy {
			healthy = 1
		}
		send := func(name string, kind prometheus.ValueType, v float64) {
			ch <- prometheus.MustNewConstMetric(providerDescs[name], kind, v, node, p.Operator, host)
		}
		send("ethereum_provider_healthy", prometheus.GaugeValue, healthy)
		send("ethereum_provider_asked_total", prometheus.CounterValue, float64(p.Asked))
		send("ethereum_provider_failed_total", prometheus.CounterValue, float64(p.Failed))
		send("ethereum_provider_disagreed_total", prometheus.CounterValue, float64(p.Disagreed))
		send("ethereum_provider_unverified_total", prometheus.CounterValue, float64(p.Unverified))
	}
	ch <- prometheus.MustNewConstMetric(disagreedDesc, prometheus.CounterValue, float64(st.Disagreed), node)
	for tag, h := range map[string]uint64{"latest": st.Latest, "safe": st.Safe, "finalized": st.Finalized} {
		ch <- prometheus.MustNewConstMetric(heightDesc, prometheus.GaugeValue, float64(h), node, tag)
	}
}
