package replica

import (
	"fmt"
	"strings"
	"time"

	"fusion/replica/members"
)

// Trouble is something that is wrong, by the name that alerts and docs/runbook.md have for it.
type Trouble struct {
	Name string `json:"name"`
	// Sentence says what is wrong and what to do.
	Sentence string `json:"sentence"`
}

// Troubles are the names of all troubles; docs/runbook.md has a section for each.
var Troubles = []string{"replica-stopped", "no-quorum", "replica-behind", "halted", "certificate-late", "key-share-lost", "bitcoin-halted", "bitcoin-rival", "bitcoin-strange", "disk-full", "clock-skew",
	"signing-stalled", "member-silent", "bitcoin-behind", "ethereum-behind", "ethereum-disagrees"}

// facts are what a replica's health is judged by. Lag and SinceBlock are by this machine's clock: the one against the network's time, the other
// since a block was committed here, whatever the time was set to.
type facts struct {
	*Status
	Failure        error
	Left           uint64 // the block at which this node left, 0 while it has not
	Waiting        bool   // it has a number that no member knows yet
	DKG            string // how the generation of the subnet's key stands, "" before the first block
	HasKey, Moving bool
	Member         bool
	Others, Need   int // members that are connected, and how many are needed for a quorum
	Lag            time.Duration
	SinceBlock     time.Duration
	Change         members.Status
	Changing       bool
	Lost           string // which shares are lost
	OldestRequest  uint64 // for how many blocks the oldest request for a signature has waited
	Deadline       uint64 // how many blocks an attempt may take
	Silent         map[int]uint64
	PeersTip       uint32 // height of the Bitcoin chain that this replica's peers show
	Disagreed      bool   // Ethereum providers gave different answers a short while ago
	DiskFree       uint64 // bytes
	DiskNeed       uint64 // bytes that should be free
	Directory      string
}

const (
	// bitcoinBehind is by how many blocks the subnet's view of Bitcoin may lie behind: six are an hour.
	bitcoinBehind = 6
	// silentBlocks is for how many blocks a member may send no share of a certificate: half a minute or more.
	silentBlocks = 100
)

// judge finds the one thing that matters most, whether the replica does its work, and what else is wrong.
func (f *facts) judge() (sentence string, healthy bool, trouble []Trouble) {
	trouble = f.trouble()
	if name, why := f.stopped(); why != "" {
		if name != "" {
			trouble = append([]Trouble{{name, why}}, trouble...)
		}
		return why, false, trouble
	}
	if !f.Member {
		return "following as a node that is no member yet: " + f.Change.Sentence, true, trouble
	}
	if len(trouble) > 0 {
		return trouble[0].Sentence, true, trouble
	}
	switch {
	case f.Changing:
		return "running; " + f.Change.Sentence, true, nil
	case f.Bitcoin != nil && f.Bitcoin.Synced && f.Bitcoin.Doubt != "":
		return "running; bitcoin is not counted: " + f.Bitcoin.Doubt, true, nil
	}
	for _, k := range f.Keys {
		if !k.Active {
			return fmt.Sprintf("running; threshold key %s: %s", k.ID, k.State), true, nil
		}
	}
	return "running", true, nil
}

// stopped says why the replica does not do its work, or nothing, and by what name that is trouble: "" if it is on its way.
func (f *facts) stopped() (name, sentence string) {
	switch {
	case f.Failure != nil:
		return "replica-stopped", fmt.Sprintf("stopped: %v", f.Failure)
	case f.Left > 0:
		return "", fmt.Sprintf("node %d left the network at block %d: it signs and votes no more, and may be stopped and wiped", f.Node, f.Left)
	case f.Height == 0 && f.Waiting:
		return "", fmt.Sprintf("waiting to be let in as node %d: the members have to approve (fusion node add)", f.Node)
	case !f.HasKey && f.DKG != "":
		return "", "generating the subnet's key: " + f.DKG
	case !f.HasKey:
		return "", "waiting for the first blocks"
	case f.Others < f.Need:
		return "no-quorum", fmt.Sprintf("no quorum: connected to %d replicas, %d are needed", f.Others, f.Need)
	case f.CatchingUp && f.Lag > maxLag:
		return "replica-behind", fmt.Sprintf("catching up: block %d is %s old", f.Height, f.Lag.Round(time.Second))
	case !f.Moving:
		return "", fmt.Sprintf("started at block %d, waiting for the next one", f.Height)
	case f.SinceBlock > 2*maxLag:
		return "halted", fmt.Sprintf("no block for %s: look at the other replicas; blocks need more than two thirds of them", f.SinceBlock.Round(time.Second))
	case f.Lag > 2*maxLag: // what it answers is too old for clients, and it proposes no calls
		return "clock-skew", fmt.Sprintf("the newest block is %s old by this machine's clock: the network has just come back and the next blocks are newer, or the clock is ahead: let NTP set it",
			f.Lag.Round(time.Second))
	case f.Certified+treesKept < f.Height:
		return "certificate-late", fmt.Sprintf("executing, but the last certificate is of block %d of %d: too few replicas send shares; look at the others and at the gossip ports",
			f.Certified, f.Height)
	}
	return "", ""
}

// trouble is what is wrong while the replica does its work, the worst first.
func (f *facts) trouble() (out []Trouble) {
	add := func(name, format string, args ...any) {
		out = append(out, Trouble{name, fmt.Sprintf(format, args...)})
	}
	if f.Lost != "" {
		add("key-share-lost", "%s", f.Lost)
	}
	if b := f.Bitcoin; b != nil && b.Halted != "" {
		add("bitcoin-halted", "ALARM: %s", b.Halted)
	}
	if b := f.Bitcoin; b != nil && b.Rival != "" {
		add("bitcoin-rival", "ALARM: deposits of bitcoin are not minted: %s", b.Rival)
	}
	if b := f.Bitcoin; b != nil && b.Strange != "" {
		add("bitcoin-strange", "ALARM: %s", b.Strange)
	}
	if f.DiskNeed > 0 && f.DiskFree < f.DiskNeed {
		add("disk-full", "ALARM: %d MiB are free on the disk of %s, %d MiB should be: make room before the replica has to stop", f.DiskFree>>20, f.Directory, f.DiskNeed>>20)
	}
	if lag := f.Lag.Abs(); f.Moving && f.SinceBlock < maxLag && !f.CatchingUp && lag > maxLag && f.Lag <= 2*maxLag {
		way := "ahead of"
		if f.Lag < 0 {
			way = "behind"
		}
		add("clock-skew", "running; this machine's clock is %s %s the network's time: let NTP set it", lag.Round(time.Second), way)
	}
	if f.Deadline > 0 && f.OldestRequest > 2*f.Deadline {
		add("signing-stalled", "running; a signature has waited for %d blocks: too few members complete ceremonies, fusion status names those in dispute", f.OldestRequest)
	}
	if text := f.silent(); text != "" {
		add("member-silent", "running; %s", text)
	}
	if b := f.Bitcoin; b != nil {
		if best := max(f.PeersTip, b.Headers); best > b.Tip+bitcoinBehind {
			add("bitcoin-behind", "running; the subnet counts Bitcoin to block %d of %d: it follows by itself; if the gap stays, look at the replicas' Bitcoin peers", b.Tip, best)
		} else if b.Peers == 0 {
			add("bitcoin-behind", "running; no Bitcoin peer is connected: look at bitcoin_peers and at this machine's way out")
		}
	}
	if f.Ethereum != nil && !f.Ethereum.Healthy {
		add("ethereum-behind", "running; %s", f.Ethereum.Sentence)
	}
	if f.Disagreed {
		add("ethereum-disagrees", "running; the Ethereum providers gave different answers: fusion_ethereum_provider_disagreed_total names the one to replace")
	}
	return out
}

// silent names the members of which nothing is heard.
func (f *facts) silent() string {
	var out []string
	for _, n := range f.Membership.Nodes {
		blocks, ok := f.Silent[n.Index]
		if !ok || blocks <= silentBlocks {
			continue
		}
		how := "it is not connected: look at its machine and the way there"
		for _, i := range f.Connected {
			if i == n.Index {
				how = "it is connected and withholds: ask its operator"
			}
		}
		out = append(out, fmt.Sprintf("node %d sent no share for %d blocks, %s", n.Index, blocks, how))
	}
	return strings.Join(out, "; ")
}
