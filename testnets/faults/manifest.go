package faults

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/BurntSushi/toml"

	"fusion/replica"
	"fusion/replica/genesis"
	"fusion/replica/misdeed"
)

// Kind is what a perturbation does.
type Kind string

// The kinds of perturbations; the package comment tells what each does.
const (
	Kill            Kind = "kill"
	Pause           Kind = "pause"
	Restart         Kind = "restart"
	Disconnect      Kind = "disconnect"
	Partition       Kind = "partition"
	SlowDisk        Kind = "slow-disk"
	ClockSkew       Kind = "clock-skew"
	Upgrade         Kind = "upgrade"
	Byzantine       Kind = "byzantine"
	UpgradeProtocol Kind = "upgrade-protocol"
	ChainPause      Kind = "chain-pause"
	ChainKill       Kind = "chain-kill"
)

// Kinds are all that a manifest may name.
var Kinds = []Kind{Kill, Pause, Restart, Disconnect, Partition, SlowDisk, ClockSkew, Upgrade, Byzantine, UpgradeProtocol, ChainPause, ChainKill}

// Errors of manifests; test with errors.Is.
var (
	ErrManifest = errors.New("invalid manifest")
)

// Manifest is an experiment: a network, the work that it does, and what happens to it meanwhile.
type Manifest struct {
	Name string `toml:"name"`
	// Nodes is the number of replicas: 1, or 4 to 13. The default is 4.
	Nodes int `toml:"nodes"`
	// Scheme is that of threshold ECDSA: gg18, the default, or idkg, which then is also that of Schnorr.
	Scheme string `toml:"scheme"`
	// Chains are the chains that the network follows; bitcoin, the default, is the only one.
	Chains []string `toml:"chains"`
	// Hosts is where the replicas run: on one host, the default, or in namespaces, each on a host of its own (Namespaces).
	Hosts string `toml:"hosts,omitempty"`
	Links Links  `toml:"links"`
	Load  Load   `toml:"load"`
	// Perturb is what happens, in the order of its beginning as far as neither At nor After says otherwise.
	Perturb []Perturbation `toml:"perturb"`
}

// Namespaces is the value of Hosts with which each replica has a network namespace and an address of its own, and packets travel between them.
const Namespaces = "namespaces"

// Links are the connections between replicas.
type Links struct {
	// Delay is how long each byte travels, one way, and Jitter how much longer at most.
	Delay  replica.Duration `toml:"delay,omitempty"`
	Jitter replica.Duration `toml:"jitter,omitempty"`
	// Loss is the share of packets that have to be sent again, which holds up what is sent after them. Between hosts they are lost indeed.
	Loss float64 `toml:"loss,omitempty"`
}

// Load is the work that clients ask for from the beginning until the last perturbation has ended.
type Load struct {
	// Payers is how many clients transfer, one payment after the other, each at a replica of his own as long as that answers. The default is 1.
	Payers int `toml:"payers"`
	// Deposits and Redemptions are how many are begun while the perturbations go on. All are followed to their end.
	Deposits    int `toml:"deposits,omitempty"`
	Redemptions int `toml:"redemptions,omitempty"`
	// Bulk is how many more clients transfer. Their payments have no time of creation, so a ledger remembers any number of them; what was confirmed
	// has to be there, and no more than was asked for.
	Bulk int `toml:"bulk,omitempty"`
	// Share is how much of what they can do they do, which is measured before the first perturbation. The default is all, without measuring.
	Share float64 `toml:"share,omitzero"`
}

// Perturbation is something that happens to a network. It begins when its conditions hold: At, Time and After, or with none of them when the one above
// it has ended. What it begins lasts as long as For says, and until the replicas that are not hit have made two blocks, if they have a quorum.
// It has ended when all replicas that nothing else hits are healthy, agree and make blocks.
type Perturbation struct {
	// Name is for After. The default is the kind and the place in the list from 1: kill-1.
	Name string `toml:"name"`
	Kind Kind   `toml:"kind"`
	// Nodes are hit at once, by upgrade and upgrade-protocol one after the other. Of upgrade-protocol, and only there, the default is all of them.
	Nodes []int `toml:"nodes,omitempty"`
	// Groups are what partition leaves: every node is in one, and reaches only its own.
	Groups [][]int `toml:"groups,omitempty"`
	// At is a number of blocks since the experiment began.
	At uint64 `toml:"at,omitzero"`
	// Time is how long the experiment has lasted at least.
	Time replica.Duration `toml:"time,omitempty"`
	// After names a perturbation above this one.
	After string `toml:"after,omitempty"`
	// For is how long it lasts: for kill, chain-kill and restart how long the processes are down, for upgrade each.
	For replica.Duration `toml:"for,omitempty"`
	// Sync is how much longer slow-disk makes each fsync.
	Sync replica.Duration `toml:"sync,omitempty"`
	// Skew is how far clock-skew puts the clock forward, or back if it is negative, in whole seconds.
	Skew replica.Duration `toml:"skew,omitempty"`
	// Misdeeds are what a byzantine node does wrong; the package misdeed tells what each is.
	Misdeeds []misdeed.Kind `toml:"misdeeds,omitempty"`
	// Program is what upgrade goes on with, by the name that whoever runs the experiment gave it. The default is the same program.
	Program string `toml:"program,omitempty"`
}

// Bounds of a manifest. Beyond them nobody waits for the outcome.
const (
	maxFile     = 64 << 10
	maxPerturb  = 100
	maxName     = 60
	maxBlocks   = 100_000
	maxFor      = 10 * time.Minute
	maxSkew     = 24 * time.Hour
	maxSync     = 10 * time.Second
	maxDelay    = 5 * time.Second
	maxLoss     = 0.2
	maxTime     = 24 * time.Hour
	maxLoad     = 50
	maxBulk     = 1000
	defaultSync = replica.Duration(50 * time.Millisecond)
	defaultSkew = replica.Duration(30 * time.Second)
)

// Parse reads a manifest. Unknown keys are refused.
func Parse(text []byte) (*Manifest, error) {
	if len(text) > maxFile {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrManifest, len(text), maxFile)
	}
	m := &Manifest{}
	meta, err := toml.NewDecoder(bytes.NewReader(text)).Decode(m)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrManifest, err)
	}
	if extra := meta.Undecoded(); len(extra) > 0 {
		return nil, fmt.Errorf("%w: unknown key %s", ErrManifest, extra[0])
	}
	m.EnsureDefaults()
	return m, m.Validate()
}

// Encode writes a manifest as Parse reads it.
func (m *Manifest) Encode() ([]byte, error) {
	var b bytes.Buffer
	e := toml.NewEncoder(&b)
	e.Indent = ""
	if err := e.Encode(m); err != nil {
		return nil, fmt.Errorf("encoding manifest %s: %w", m.Name, err)
	}
	return b.Bytes(), nil
}

// EnsureDefaults fills what was left out.
func (m *Manifest) EnsureDefaults() {
	if m.Nodes == 0 {
		m.Nodes = 4
	}
	if m.Scheme == "" {
		m.Scheme = "gg18"
	}
	if m.Chains == nil {
		m.Chains = []string{"bitcoin"}
	}
	if m.Load.Payers == 0 {
		m.Load.Payers = 1
	}
	for i := range m.Perturb {
		p := &m.Perturb[i]
		if p.Name == "" {
			p.Name = fmt.Sprintf("%s-%d", p.Kind, i+1)
		}
		if i > 0 && p.At == 0 && p.Time == 0 && p.After == "" {
			p.After = m.Perturb[i-1].Name
		}
		switch {
		case p.Kind == UpgradeProtocol && p.Nodes == nil:
			for node := range m.Nodes {
				p.Nodes = append(p.Nodes, node)
			}
		case p.Kind == SlowDisk && p.Sync == 0:
			p.Sync = defaultSync
		case p.Kind == ClockSkew && p.Skew == 0:
			p.Skew = defaultSkew
		}
	}
}

// Quorum is how many of the replicas have to take part for the network to go on.
func (m *Manifest) Quorum() int { return m.Nodes - m.Faulty() }

// Faulty is how many replicas may fail, f.
func (m *Manifest) Faulty() int { return (m.Nodes - 1) / 3 }

// Hits are the nodes that a perturbation keeps from taking part.
func (m *Manifest) Hits(p *Perturbation) []int {
	if p.Kind != Partition {
		return p.Nodes
	}
	var out []int
	for _, g := range p.Groups {
		if len(g) < m.Quorum() {
			out = append(out, g...)
		}
	}
	slices.Sort(out)
	return out
}

// Validate refuses what cannot be run. Defaults are filled.
func (m *Manifest) Validate() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: %w", ErrManifest, fmt.Errorf(format, args...))
	}
	within := func(d, lowest replica.Duration, most time.Duration) bool {
		return d >= lowest && time.Duration(d) <= most
	}
	switch {
	case !nameable(m.Name):
		return bad("name is %q, want 1 to %d of a-z, 0-9 and -", m.Name, maxName)
	case m.Nodes != 1 && (m.Nodes < 4 || m.Nodes > 13):
		return bad("nodes is %d, want 1, or 4 to 13", m.Nodes)
	case m.Scheme != "gg18" && m.Scheme != genesis.Idkg:
		return bad("scheme is %q, want gg18 or %s", m.Scheme, genesis.Idkg)
	case !slices.Equal(m.Chains, []string{"bitcoin"}):
		return bad("chains is %q, want bitcoin alone", m.Chains)
	case m.Hosts != "" && m.Hosts != Namespaces:
		return bad("hosts is %q, want %s or nothing", m.Hosts, Namespaces)
	case !within(m.Links.Delay, 0, maxDelay) || !within(m.Links.Jitter, 0, maxDelay):
		return bad("links.delay and links.jitter are at most %v and not negative", maxDelay)
	case !(m.Links.Loss >= 0 && m.Links.Loss <= maxLoss): // which NaN is not either
		return bad("links.loss is %v, want 0 to %v", m.Links.Loss, maxLoss)
	case m.Load.Payers < 1 || m.Load.Payers > maxLoad || m.Load.Deposits < 0 || m.Load.Deposits > maxLoad || m.Load.Redemptions < 0 || m.Load.Redemptions > maxLoad:
		return bad("load: payers are 1 to %d, deposits and redemptions 0 to %d", maxLoad, maxLoad)
	case m.Load.Bulk < 0 || m.Load.Bulk > maxBulk || !(m.Load.Share >= 0 && m.Load.Share <= 1) || m.Load.Share > 0 && m.Load.Bulk == 0:
		return bad("load: bulk is 0 to %d, and share 0 to 1 of what it can do", maxBulk)
	case len(m.Perturb) > maxPerturb:
		return bad("%d perturbations, at most %d", len(m.Perturb), maxPerturb)
	}
	names := map[string]bool{}
	byzantine := map[int]bool{} // ever, since perturbations may fall into each other
	for i := range m.Perturb {
		p := &m.Perturb[i]
		if !nameable(p.Name) || names[p.Name] {
			return bad("perturb[%d]: name is %q, want one of its own, 1 to %d of a-z, 0-9 and -", i, p.Name, maxName)
		}
		if p.After != "" && !names[p.After] {
			return bad("perturb[%d] %s: after names %q, which is not above it", i, p.Name, p.After)
		}
		names[p.Name] = true
		if p.Kind == UpgradeProtocol && (i != len(m.Perturb)-1 || len(p.Nodes) != m.Nodes) {
			return bad("perturb[%d] %s: upgrade-protocol is the last, and of all nodes: no other program can go on with its state", i, p.Name)
		}
		if err := m.check(p, within); err != nil {
			return bad("perturb[%d] %s: %w", i, p.Name, err)
		}
		if p.Kind == Byzantine {
			for _, node := range p.Nodes {
				byzantine[node] = true
			}
		}
		if len(byzantine) > m.Faulty() {
			return bad("perturb[%d] %s: %d byzantine nodes of %d, and nothing is promised with more than %d", i, p.Name, len(byzantine), m.Nodes, m.Faulty())
		}
	}
	return nil
}

func (m *Manifest) check(p *Perturbation, within func(d, lowest replica.Duration, most time.Duration) bool) error {
	switch {
	case !slices.Contains(Kinds, p.Kind):
		return fmt.Errorf("kind is %q, want one of %q", p.Kind, Kinds)
	case p.At > maxBlocks:
		return fmt.Errorf("at is %d, want at most %d", p.At, maxBlocks)
	case !within(p.Time, 0, maxTime):
		return fmt.Errorf("time is %v, want 0 to %v", time.Duration(p.Time), maxTime)
	case !within(p.For, 0, maxFor):
		return fmt.Errorf("for is %v, want 0 to %v", time.Duration(p.For), maxFor)
	case (p.Kind == SlowDisk) != (p.Sync != 0) || !within(p.Sync, 0, maxSync):
		return fmt.Errorf("sync is for slow-disk, at most %v", maxSync)
	case (p.Kind == ClockSkew) != (p.Skew != 0) || !within(p.Skew, -replica.Duration(maxSkew), maxSkew) || time.Duration(p.Skew)%time.Second != 0:
		return fmt.Errorf("skew is for clock-skew, in whole seconds, at most %v forward or back", maxSkew)
	case (p.Kind == Byzantine) != (len(p.Misdeeds) > 0) || len(p.Misdeeds) > len(misdeeds):
		return fmt.Errorf("misdeeds are for byzantine, each at most once: %q", misdeeds)
	case p.Program != "" && (p.Kind != Upgrade || !nameable(p.Program)):
		return fmt.Errorf("program is for upgrade, 1 to %d of a-z, 0-9 and -", maxName)
	}
	for i, d := range p.Misdeeds {
		if !slices.Contains(misdeeds, d) || slices.Contains(p.Misdeeds[:i], d) {
			return fmt.Errorf("misdeed %q, want each at most once of %q", d, misdeeds)
		}
	}
	if p.Kind == Partition {
		seen := map[int]bool{}
		for _, g := range p.Groups {
			if len(g) == 0 {
				return errors.New("a group is empty")
			}
			if err := m.distinct(g, seen); err != nil {
				return err
			}
		}
		if len(p.Nodes) > 0 || len(p.Groups) < 2 || len(seen) != m.Nodes {
			return errors.New("partition has no nodes, but two groups or more, with every node in one")
		}
		return nil
	}
	if p.ofChain() {
		if len(p.Groups)+len(p.Nodes) > 0 {
			return fmt.Errorf("%s hits no nodes", p.Kind)
		}
		return nil
	}
	if len(p.Groups) > 0 || len(p.Nodes) == 0 {
		return fmt.Errorf("%s wants nodes and no groups", p.Kind)
	}
	return m.distinct(p.Nodes, map[int]bool{})
}

// ofChain tells whether a perturbation hits the Bitcoin node and no replica.
func (p *Perturbation) ofChain() bool { return p.Kind == ChainPause || p.Kind == ChainKill }

func (m *Manifest) distinct(nodes []int, seen map[int]bool) error {
	for _, i := range nodes {
		if i < 0 || i >= m.Nodes || seen[i] {
			return fmt.Errorf("node %d is not one of 0 to %d, or is named twice", i, m.Nodes-1)
		}
		seen[i] = true
	}
	return nil
}

func nameable(s string) bool {
	return s != "" && len(s) <= maxName && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}
