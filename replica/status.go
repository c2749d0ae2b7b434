package replica

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"fusion/chainkey"
	"fusion/chainkey/session"
	"fusion/replica/consensus"
	"fusion/replica/genesis"
	"fusion/replica/machine"
	"fusion/replica/members"
	"fusion/replica/outcalls"
	"fusion/replica/signing"
)

// Status is what an operator wants to know of a replica.
type Status struct {
	Node    int    `json:"node"`
	NodeID  string `json:"node_id"`
	ChainID string `json:"chain_id"`
	// Sentence says in words what the replica does or waits for.
	Sentence   string    `json:"sentence"`
	Healthy    bool      `json:"healthy"`
	Height     uint64    `json:"height"`
	Certified  uint64    `json:"certified_height"`
	BlockTime  time.Time `json:"block_time"`
	Block      string    `json:"block,omitempty"` // HEIGHT:HASH of the newest stored block, as fusion replica recover --trust takes it
	AppHash    string    `json:"app_hash"`
	Protocol   Protocol  `json:"protocol"`
	Subnet     string    `json:"subnet,omitempty"`
	RootKey    string    `json:"root_key,omitempty"` // DER in hexadecimal
	CatchingUp bool      `json:"catching_up"`
	Connected  []int     `json:"connected"`
	Keys       []Key     `json:"keys,omitempty"`
	Signing    []string  `json:"signing,omitempty"` // open ceremonies, a sentence each
	// Members says how each node stands in the ceremonies of threshold keys, by index; Complaints what was said in blocks, with proof first.
	Members    []signing.NodeInfo      `json:"members,omitempty"`
	Complaints []signing.ComplaintInfo `json:"complaints,omitempty"`
	Deriving   []string                `json:"deriving,omitempty"` // open requests for derived keys, a sentence each
	Outcalls   []string                `json:"outcalls,omitempty"` // open HTTPS outcalls, a sentence each
	Bitcoin    *Bitcoin                `json:"bitcoin,omitempty"`
	Ethereum   *EthereumStatus         `json:"ethereum,omitempty"`
	PoolCalls  int                     `json:"pool_calls"`
	// Membership is who the nodes are, and how a change of them stands.
	Membership members.Status `json:"membership"`
	// Governed says that operators decide by the root canister; otherwise the canisters' controllers and the nodes' keys do.
	Governed bool `json:"governed"`
	// Trouble is what is wrong, the worst first; the sentence is about the first of them where the replica does its work.
	Trouble []Trouble `json:"trouble,omitempty"`

	oldestRequest uint64 // for how many blocks the oldest request for a signature has waited
}

// Key is a threshold key as an operator sees it.
type Key struct {
	ID        chainkey.KeyID `json:"id"`
	Scheme    string         `json:"scheme,omitempty"` // of keys that sign: how they are shared
	Active    bool           `json:"active"`
	PublicKey string         `json:"public_key,omitempty"` // as chainkey.Algorithm encodes it, hexadecimal
	ChainCode string         `json:"chain_code,omitempty"` // of keys that sign, hexadecimal
	State     string         `json:"state"`
	// Presignatures are ready, and Making are being made, for a key that signs from them.
	Presignatures int `json:"presignatures,omitempty"`
	Making        int `json:"presignatures_making,omitempty"`
}

// Bitcoin is where the view of the chain stands.
type Bitcoin struct {
	Network string   `json:"network"`
	Tip     uint32   `json:"tip_height"`
	TipHash string   `json:"tip_hash"`
	Anchor  uint32   `json:"anchor_height"`
	Headers uint32   `json:"header_height"`
	Synced  bool     `json:"synced"`
	Peers   int      `json:"peers"`
	Halted  string   `json:"halted,omitempty"`  // why the Bitcoin canister answers nothing, and what to do
	Strange string   `json:"strange,omitempty"` // a heavier chain that forks too deep for the canister to know of it
	Doubt   string   `json:"doubt,omitempty"`   // why coins are not counted at the moment
	Rivals  []uint32 `json:"rivals,omitempty"`  // the members that say for long enough that there is a heavier chain which the network cannot follow
	Rival   string   `json:"rival,omitempty"`   // what so many of them say that one at least is honest
}

// Genesis returns the network's document. It must not be changed.
func (r *Replica) Genesis() *genesis.Doc { return r.doc }

// View returns the newest committed state.
func (r *Replica) View() *machine.View { return r.machine.View() }

// Health is "healthy", or says what the replica is waiting for.
func (r *Replica) Health() string {
	if s := r.Status(); !s.Healthy {
		return s.Sentence
	}
	return "healthy"
}

// Protocol says which version of the protocol is in force, and which comes.
type Protocol struct {
	Version    uint64 `json:"version"`
	Newest     uint64 `json:"newest"`                // that this program knows
	Next       uint64 `json:"next,omitempty"`        // that is decided
	NextHeight uint64 `json:"next_height,omitempty"` // its first block
}

// Status returns where the replica is.
func (r *Replica) Status() Status {
	v := r.machine.View()
	s := Status{Node: r.self, NodeID: r.identity().NodeID().String(), ChainID: r.doc.ChainID, Height: v.Height,
		BlockTime: time.Unix(0, int64(v.TimeNs)).UTC(), AppHash: fmt.Sprintf("%x", v.AppHash), Connected: []int{}}
	s.Membership, s.Governed = v.Membership, r.doc.Governance != nil
	s.Protocol = Protocol{Version: max(v.Protocol, machine.Oldest), Newest: machine.Newest, Next: v.Next, NextHeight: v.NextHeight}
	for i := range v.Peers {
		if i != r.self && r.net.Connected(i) {
			s.Connected = append(s.Connected, i)
		}
	}
	if node := r.node.Load(); node != nil {
		s.CatchingUp = node.Status().CatchingUp
		if b := node.Newest(); b.Height > 0 {
			s.Block = fmt.Sprintf("%d:%x", b.Height, b.Hash)
		}
	}
	s.PoolCalls, _ = r.pool.Size()
	if snap, _ := r.states.snapshot(); snap != nil {
		s.Certified = snap.Height
	}
	var ceremonies *signing.Status
	if v.Group != nil {
		s.Subnet, s.RootKey = v.Subnet.String(), fmt.Sprintf("%x", v.RootKeyDER)
		var st signing.Status
		st, s.Keys, s.Signing = r.signing.status(v)
		ceremonies = &st
		s.Members, s.Complaints = st.Nodes, r.signing.complaints()
		var vetKeys []Key
		vetKeys, s.Deriving = r.deriver.status(v)
		s.Keys = append(s.Keys, vetKeys...)
		s.Outcalls = r.outcall.driver.Status()
		if v.Bitcoin != nil {
			i := v.Bitcoin.Info
			s.Bitcoin = &Bitcoin{Network: i.Network.String(), Tip: i.TipHeight, TipHash: i.Tip.String(), Anchor: i.AnchorHeight, Headers: i.BestHeader, Synced: i.Synced}
			if i.Halted != nil {
				s.Bitcoin.Halted = i.Halted.String()
			}
			s.Bitcoin.Doubt = v.Bitcoin.Doubt
			s.Bitcoin.Rivals, s.Bitcoin.Rival = v.Bitcoin.Rivals.Members, v.Bitcoin.Rivals.String()
			if r.bitcoin != nil {
				s.Bitcoin.Peers, s.Bitcoin.Strange = r.bitcoin.peers(), r.bitcoin.strange(v)
			}
		}
	}
	if r.doc.Ethereum != nil {
		s.Ethereum = r.outcall.ethereumStatus()
	}
	f := r.facts(v, &s, ceremonies)
	s.oldestRequest = f.OldestRequest
	s.Sentence, s.Healthy, s.Trouble = f.judge()
	return s
}

// facts collects what the status is judged by.
func (r *Replica) facts(v *machine.View, s *Status, st *signing.Status) *facts {
	f := &facts{Status: s, HasKey: v.Group != nil, Moving: r.moving.Load(), Member: v.Members.Seat(r.self) >= 0, Need: v.Members.Quorum(), Lag: time.Since(s.BlockTime),
		Waiting: r.self >= len(v.Peers), Change: v.Membership, Changing: v.Membership.Running != nil, Lost: r.lost.sentence(), Deadline: r.doc.SigningDeadlineBlocks,
		Silent: r.silent(v), Directory: r.cfg.Dir}
	if err := r.failure.Load(); err != nil {
		f.Failure = *err
	}
	if r.self < len(v.Peers) {
		f.Left = v.Peers[r.self].Left
	}
	if v.DKG != nil {
		f.DKG = fmt.Sprintf("%v, %d of %d there", v.DKG.Phase, v.DKG.Have, v.DKG.Want)
	}
	if f.Member {
		f.Need--
	}
	for _, i := range s.Connected {
		if v.Members.Seat(i) >= 0 {
			f.Others++
		}
	}
	if t := r.committed.Load(); t != nil {
		f.SinceBlock = time.Since(*t)
	}
	if st != nil {
		for _, q := range st.Requests {
			f.OldestRequest = max(f.OldestRequest, v.Height-min(v.Height, q.Height))
		}
	}
	if r.bitcoin != nil && s.Bitcoin != nil {
		f.PeersTip = r.bitcoin.adapter.Info().TipHeight
	}
	if s.Ethereum != nil {
		f.Disagreed = r.outcall.disagreed()
	}
	if d, err := diskOf(r.cfg.Dir); err == nil {
		f.DiskFree, f.DiskNeed = d.free, minDisk+2*uint64(r.snapshots.size())
	}
	return f
}

// minDisk is what should be free on a replica's disk beside room for two snapshots: some hours of blocks and state.
const minDisk = 1 << 30

// silent is for how many blocks each other member has sent no share of a certificate, counted from the start of this process at the earliest.
func (r *Replica) silent(v *machine.View) map[int]uint64 {
	out, heard := map[int]uint64{}, r.cert.Heard()
	for _, i := range v.Members.Nodes {
		if i := int(i); i != r.self {
			out[i] = v.Height - min(v.Height, max(heard[i], r.began))
		}
	}
	return out
}

// metrics are what Prometheus collects of one replica; docs/operate.md explains each.
type metrics struct {
	registry     *prometheus.Registry
	height       prometheus.Gauge
	certHeight   prometheus.Gauge
	certSeconds  prometheus.Histogram
	blockSeconds prometheus.Histogram
	ingress      prometheus.Counter
	skipped      prometheus.Counter
	messages     prometheus.Counter
	traps        prometheus.Counter
	instructions prometheus.Counter
	backlog      prometheus.Gauge
	ceremonies   *prometheus.HistogramVec
	shareMissing prometheus.Counter
	sharesLost   prometheus.Gauge
	disputes     *prometheus.GaugeVec
	suspicion    *prometheus.GaugeVec
	badMessages  *prometheus.CounterVec
	wrong        *prometheus.CounterVec
	silence      *prometheus.GaugeVec
	snapHeight   prometheus.Gauge
	snapBytes    prometheus.Gauge
	snapSeconds  prometheus.Histogram
	derived      prometheus.Histogram
	derivedOpen  prometheus.Gauge
	derivedBad   prometheus.Counter
	outcalls     *prometheus.HistogramVec
	ethereum     *prometheus.HistogramVec
	outcallsOpen prometheus.Gauge
	outcallsBad  prometheus.Counter
	answers      *prometheus.CounterVec
	bitcoinTip   prometheus.Gauge
	bitcoinHalt  prometheus.Gauge
	bitcoinFar   prometheus.Gauge
	bitcoinDoubt prometheus.Gauge
	bitcoinRival prometheus.Gauge

	mu   sync.Mutex
	gone map[int]bool // nodes that left, of which nothing is shown
}

func newMetrics(node int) *metrics {
	m := &metrics{registry: prometheus.NewRegistry(), gone: map[int]bool{}}
	labels := prometheus.Labels{"node": fmt.Sprint(node)}
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "fusion", Name: name, Help: help, ConstLabels: labels})
		m.registry.MustRegister(g)
		return g
	}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Namespace: "fusion", Name: name, Help: help, ConstLabels: labels})
		m.registry.MustRegister(c)
		return c
	}
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "fusion", Name: name, Help: help, Buckets: buckets, ConstLabels: labels})
		m.registry.MustRegister(h)
		return h
	}
	m.height = gauge("block_height", "Last committed block.")
	m.certHeight = gauge("certified_height", "Last block whose state is certified.")
	m.backlog = gauge("execution_backlog_messages", "Messages left in canister queues after the last round.")
	m.ingress = counter("ingress_messages_total", "User messages in committed blocks.")
	m.skipped = counter("block_items_skipped_total", "Block items that did not hold up when they were executed.")
	m.messages = counter("execution_messages_total", "Messages, tasks and callbacks executed.")
	m.traps = counter("execution_traps_total", "Messages that trapped.")
	m.instructions = counter("execution_instructions_total", "Wasm instructions executed.")
	m.certSeconds = histogram("certification_seconds", "From commit to certificate.", prometheus.ExponentialBuckets(0.001, 2, 14))
	m.blockSeconds = histogram("block_execution_seconds", "Execution of one block.", prometheus.ExponentialBuckets(0.001, 2, 14))
	m.shareMissing = counter("key_share_missing_total", "Times an active key's share was not readable here.")
	m.sharesLost = gauge("key_shares_lost", "Active keys of which this replica has no share.")
	m.bitcoinTip = gauge("bitcoin_tip_height", "Height of the Bitcoin chain that the subnet counts coins of.")
	m.bitcoinHalt = gauge("bitcoin_halted", "1 while a reorganisation of Bitcoin deeper than its final blocks halts the Bitcoin canister.")
	m.bitcoinFar = gauge("bitcoin_strange_chain", "1 while Bitcoin peers show a heavier chain that forks too far below the last final block for the subnet to follow or halt.")
	m.bitcoinDoubt = gauge("bitcoin_doubted", "1 while bitcoin is not counted because the newest block is too old or blocks come too slowly.")
	m.bitcoinRival = gauge("bitcoin_rival_members", "Members that have said for long enough that Bitcoin peers show them a heavier chain which the network cannot follow.")
	m.snapHeight = gauge("snapshot_height", "Block of the newest snapshot of the state.")
	m.snapBytes = gauge("snapshot_bytes", "Size of the newest snapshot on disk.")
	m.snapSeconds = histogram("snapshot_seconds", "Making of a snapshot, beside the work of the replica.", prometheus.ExponentialBuckets(0.1, 2, 14))
	m.ceremonies = prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "fusion", Name: "ceremony_seconds", ConstLabels: labels,
		Help: "This replica's part in threshold-key ceremonies.", Buckets: prometheus.ExponentialBuckets(0.1, 2, 12)}, []string{"kind", "outcome"})
	member := []string{"member", "id"}
	m.disputes = prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "fusion", Name: "member_disputes", ConstLabels: labels,
		Help: "With how many nodes a node is in dispute about ceremonies; more than f keep it out of committees."}, member)
	m.suspicion = prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "fusion", Name: "member_failed_attempts", ConstLabels: labels,
		Help: "Failed attempts at signatures that a node was blamed for or part of, since its last good one."}, member)
	m.badMessages = prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "fusion", Name: "ceremony_messages_refused_total", ConstLabels: labels,
		Help: "Messages in ceremonies that were of another session, wrongly signed or garbled, by sender."}, member)
	m.wrong = prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "fusion", Name: "member_misconduct_total", ConstLabels: labels,
		Help: "What no honest node does, as this replica saw it: bad-message, bad-share, bad-proposal, and double-vote, which is proven in a block."}, []string{"member", "kind"})
	m.silence = prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "fusion", Name: "member_silent_blocks", ConstLabels: labels,
		Help: "For how many blocks a member has sent this replica no share of a certificate."}, []string{"member"})
	m.registry.MustRegister(m.disputes, m.suspicion, m.badMessages, m.wrong, m.silence)
	m.derived = histogram("derived_key_seconds", "From the order of a derivation to its encrypted key.", prometheus.ExponentialBuckets(0.01, 2, 12))
	m.derivedOpen = gauge("derivations_open", "Requests for derived keys that wait for their answer.")
	m.derivedBad = counter("derivation_shares_refused_total", "Shares of derived keys, by any replica, that were wrong.")
	m.outcallsOpen = gauge("outcalls_open", "HTTPS outcalls that wait for their answer.")
	m.outcallsBad = counter("outcall_messages_refused_total", "Messages of other replicas about outcalls that were wrong.")
	m.outcalls = prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "fusion", Name: "outcall_seconds", ConstLabels: labels,
		Help: "This replica's part in outcalls: request, response and transform.", Buckets: prometheus.ExponentialBuckets(0.01, 2, 13)}, []string{"outcome"})
	m.ethereum = prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "fusion", Name: "ethereum_question_seconds", ConstLabels: labels,
		Help: "This replica's part in questions to Ethereum providers.", Buckets: prometheus.ExponentialBuckets(0.01, 2, 13)}, []string{"outcome"})
	m.answers = prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "fusion", Name: "member_answers_differed_total", ConstLabels: labels,
		Help: "Replicated outcalls to which a member gave another answer than the one that a quorum gave."}, []string{"member"})
	m.registry.MustRegister(m.ceremonies, m.outcalls, m.ethereum, m.answers)
	// What has not happened yet is shown as 0, so that alerts see the first time.
	for _, kind := range []session.Kind{session.KeyGeneration, session.Signature, session.Resharing} {
		for _, outcome := range []string{"done", "failed", "overtaken"} {
			m.ceremonies.WithLabelValues(fmt.Sprint(kind), outcome)
		}
	}
	for _, outcome := range []string{"replied", "rejected"} {
		m.outcalls.WithLabelValues(outcome)
		m.ethereum.WithLabelValues(outcome)
	}
	prometheus.WrapRegistererWith(labels, m.registry).MustRegister(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// outcomeOf says how this replica's part in a ceremony ended.
func outcomeOf(err error) string {
	switch {
	case errors.Is(err, context.Canceled):
		return "overtaken" // another member published the result first
	case err != nil:
		return "failed"
	}
	return "done"
}

func (m *metrics) ceremony(c signing.CeremonyInfo, took time.Duration, err error) {
	m.ceremonies.WithLabelValues(fmt.Sprint(c.Kind), outcomeOf(err)).Observe(took.Seconds())
}

// roll follows the membership: what is shown of nodes that left is removed, and nothing is shown of them any more.
func (m *metrics) roll(peers []members.Peer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range peers {
		left := p.Role == members.Departed || p.Role == members.Forgotten
		if left && !m.gone[p.Index] {
			of := prometheus.Labels{"member": fmt.Sprint(p.Index)}
			for _, v := range []interface {
				DeletePartialMatch(prometheus.Labels) int
			}{m.disputes, m.suspicion, m.badMessages, m.wrong, m.silence, m.answers} {
				v.DeletePartialMatch(of)
			}
		}
		m.gone[p.Index] = left
	}
}

// of runs show with a node's label, unless the node has left.
func (m *metrics) of(node int, show func(member string)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.gone[node] {
		show(fmt.Sprint(node))
	}
}

// refused counts a message that was not what it should be. Such a message names its sender: the connection is authenticated.
func (m *metrics) refused(node int, id string) {
	m.of(node, func(member string) { m.badMessages.WithLabelValues(member, id).Inc() })
	m.misconduct(node, badMessage)
}

// Kinds of misconduct beside those of consensus.
const (
	badMessage = "bad-message" // that cannot be read, or is not signed as it should be
	badShare   = "bad-share"   // of a certificate, that does not verify
)

// misconduct counts what no honest node does.
func (m *metrics) misconduct(node int, kind string) {
	m.of(node, func(member string) { m.wrong.WithLabelValues(member, kind).Inc() })
}

// silent shows who sends no shares.
func (m *metrics) silent(blocks map[int]uint64) {
	for i, n := range blocks {
		m.of(i, func(member string) { m.silence.WithLabelValues(member).Set(float64(n)) })
	}
}

// standing shows how the members stand with each other.
func (m *metrics) standing(nodes []signing.NodeInfo) {
	for _, n := range nodes {
		m.of(n.Node, func(member string) {
			m.disputes.WithLabelValues(member, n.ID).Set(float64(len(n.Disputes)))
			m.suspicion.WithLabelValues(member, n.ID).Set(float64(n.Suspicion))
			m.badMessages.WithLabelValues(member, n.ID) // 0 until the first
			m.answers.WithLabelValues(member)
			for _, kind := range []string{badMessage, badShare, string(consensus.BadProposal), string(consensus.DoubleVote)} {
				m.wrong.WithLabelValues(member, kind)
			}
		})
	}
}

func (m *metrics) outcall(kind outcalls.Kind, rejectCode int, took time.Duration) {
	outcome := "replied"
	if rejectCode != 0 {
		outcome = "rejected"
	}
	histogram := m.outcalls
	if kind != outcalls.HTTP {
		histogram = m.ethereum
	}
	histogram.WithLabelValues(outcome).Observe(took.Seconds())
}

// differed counts an answer of a member that a quorum did not give.
func (m *metrics) differed(node int) {
	m.of(node, func(member string) { m.answers.WithLabelValues(member).Inc() })
}

func flag(g prometheus.Gauge, on bool) {
	g.Set(0)
	if on {
		g.Set(1)
	}
}

func (m *metrics) block(v *machine.View, e *executed) {
	m.height.Set(float64(v.Height))
	if v.Bitcoin != nil {
		m.bitcoinTip.Set(float64(v.Bitcoin.Info.TipHeight))
		flag(m.bitcoinHalt, v.Bitcoin.Info.Halted != nil)
		flag(m.bitcoinDoubt, v.Bitcoin.Doubt != "")
		m.bitcoinRival.Set(float64(len(v.Bitcoin.Rivals.Members)))
	}
	m.backlog.Set(float64(e.result.Backlog))
	m.ingress.Add(float64(len(e.ids)))
	m.skipped.Add(float64(e.result.Skipped))
	m.messages.Add(float64(e.result.Messages))
	m.traps.Add(float64(e.result.Traps))
	m.instructions.Add(float64(e.result.InstructionsUsed))
	m.blockSeconds.Observe(e.took.Seconds())
}

func (m *metrics) snapshot(height uint64, bytes int64) {
	m.snapHeight.Set(float64(height))
	m.snapBytes.Set(float64(bytes))
}

func (m *metrics) certified(height uint64, after time.Duration) {
	m.certHeight.Set(float64(height))
	m.certSeconds.Observe(after.Seconds())
}
