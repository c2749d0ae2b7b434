package replica

import (
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"fusion/chainkey"
	"fusion/replica/members"
)

// TestJudge: each condition has a sentence that says what is wrong and what to do, and only what keeps the replica from its work makes it unhealthy.
func TestJudge(t *testing.T) {
	type conditions struct {
		change   func(f *facts)
		name     string // of the worst trouble
		sentence string // a part of it
		sick     bool
	}
	seen := map[string]bool{}
	for title, c := range map[string]conditions{
		"well":             {func(*facts) {}, "", "running", false},
		"stopped itself":   {func(f *facts) { f.Failure = errors.New("state diverged at block 7") }, "replica-stopped", "stopped: state diverged at block 7", true},
		"left":             {func(f *facts) { f.Left = 50 }, "", "node 3 left the network at block 50", true},
		"not let in":       {func(f *facts) { f.Height, f.Waiting = 0, true }, "", "waiting to be let in as node 3", true},
		"key generation":   {func(f *facts) { f.HasKey, f.DKG = false, "deals, 2 of 4 there" }, "", "generating the subnet's key: deals, 2 of 4 there", true},
		"no block yet":     {func(f *facts) { f.HasKey = false }, "", "waiting for the first blocks", true},
		"alone":            {func(f *facts) { f.Others = 1 }, "no-quorum", "no quorum: connected to 1 replicas, 2 are needed", true},
		"catching up":      {func(f *facts) { f.CatchingUp, f.Lag = true, time.Hour }, "replica-behind", "catching up: block 1000 is 1h0m0s old", true},
		"just started":     {func(f *facts) { f.Moving = false }, "", "started at block 1000, waiting for the next one", true},
		"no blocks":        {func(f *facts) { f.SinceBlock, f.Lag = time.Minute, time.Minute }, "halted", "no block for 1m0s: look at the other replicas", true},
		"certificate late": {func(f *facts) { f.Certified = 900 }, "certificate-late", "the last certificate is of block 900 of 1000: too few replicas send shares; look at", true},
		"share missing": {func(f *facts) { f.Lost = "this replica's share of k is lost: restore its backup" }, "key-share-lost",
			"this replica's share of k is lost: restore", false},
		"Bitcoin halted":  {func(f *facts) { f.Bitcoin.Halted = "a heavier branch; find out" }, "bitcoin-halted", "ALARM: a heavier branch; find out", false},
		"Bitcoin rival":   {func(f *facts) { f.Bitcoin.Rival = "2 replicas are shown another chain" }, "bitcoin-rival", "ALARM: deposits of bitcoin are not minted: 2 replicas", false},
		"Bitcoin strange": {func(f *facts) { f.Bitcoin.Strange = "a chain with more work" }, "bitcoin-strange", "ALARM: a chain with more work", false},
		"disk nearly full": {func(f *facts) { f.DiskFree = 300 << 20 }, "disk-full", "ALARM: 300 MiB are free on the disk of /d, 1024 MiB should be: make room",
			false},
		"clock ahead":        {func(f *facts) { f.Lag = 15 * time.Second }, "clock-skew", "clock is 15s ahead of the network's time: let NTP set it", false},
		"old blocks":         {func(f *facts) { f.Lag = 17 * time.Minute }, "clock-skew", "the newest block is 17m0s old by this machine's clock", true},
		"clock behind":       {func(f *facts) { f.Lag = -40 * time.Second }, "clock-skew", "clock is 40s behind the network's time", false},
		"signing stalled":    {func(f *facts) { f.OldestRequest = 121 }, "signing-stalled", "a signature has waited for 121 blocks: too few members complete ceremonies", false},
		"signing":            {func(f *facts) { f.OldestRequest = 120 }, "", "running", false},
		"member silent":      {func(f *facts) { f.Silent[1] = 101 }, "member-silent", "node 1 sent no share for 101 blocks, it is not connected: look at", false},
		"member withholds":   {func(f *facts) { f.Silent[0] = 101 }, "member-silent", "node 0 sent no share for 101 blocks, it is connected and withholds: ask its operator", false},
		"member was slow":    {func(f *facts) { f.Silent[1] = 100 }, "", "running", false},
		"adapter behind":     {func(f *facts) { f.PeersTip = 807 }, "bitcoin-behind", "counts Bitcoin to block 800 of 807: it follows by itself; if the gap stays, look at", false},
		"headers ahead":      {func(f *facts) { f.Bitcoin.Headers = 900 }, "bitcoin-behind", "counts Bitcoin to block 800 of 900", false},
		"no Bitcoin peers":   {func(f *facts) { f.Bitcoin.Peers = 0 }, "bitcoin-behind", "no Bitcoin peer is connected: look at bitcoin_peers", false},
		"Bitcoin doubted":    {func(f *facts) { f.Bitcoin.Doubt = "the newest block is old" }, "", "running; bitcoin is not counted: the newest block is old", false},
		"Ethereum down":      {func(f *facts) { f.Ethereum.Healthy = false }, "ethereum-behind", "running; 1 of 3 Ethereum operators are well", false},
		"Ethereum disagrees": {func(f *facts) { f.Disagreed = true }, "ethereum-disagrees", "the Ethereum providers gave different answers: ", false},
		"key in the making":  {func(f *facts) { f.Keys[0].Active = false }, "", "running; threshold key ed25519:k: being generated", false},
		"members change":     {func(f *facts) { f.Changing = true }, "", "running; node 4 joins", false},
		"no member":          {func(f *facts) { f.Member = false }, "", "following as a node that is no member yet: node 4 joins", false},
		"the worst first":    {func(f *facts) { f.Disagreed, f.DiskFree, f.Bitcoin.Halted = true, 0, "halted" }, "bitcoin-halted", "ALARM: halted", false},
		"sick comes first":   {func(f *facts) { f.DiskFree, f.Others = 0, 0 }, "no-quorum", "no quorum", true},
	} {
		f := &facts{Status: &Status{Node: 3, Height: 1000, Certified: 999, Connected: []int{0, 2},
			Keys:    []Key{{ID: chainkey.KeyID{Algorithm: chainkey.Ed25519, Name: "k"}, Active: true, State: "being generated"}},
			Bitcoin: &Bitcoin{Tip: 800, Headers: 800, Peers: 8, Synced: true}, Ethereum: &EthereumStatus{Healthy: true, Sentence: "1 of 3 Ethereum operators are well"}},
			HasKey: true, Moving: true, Member: true, Others: 2, Need: 2, Lag: time.Second, SinceBlock: time.Second, Deadline: 60, Silent: map[int]uint64{0: 1, 1: 2, 2: 3},
			Change: members.Status{Sentence: "node 4 joins"}, PeersTip: 800, DiskFree: 50 << 30, DiskNeed: 1 << 30, Directory: "/d"}
		f.Membership.Nodes = []members.NodeInfo{{Index: 0}, {Index: 1}, {Index: 2}, {Index: 3}}
		c.change(f)
		sentence, healthy, trouble := f.judge()
		name := ""
		if len(trouble) > 0 {
			name = trouble[0].Name
		}
		if healthy == c.sick || name != c.name || !strings.Contains(sentence, c.sentence) || c.sentence == "running" && sentence != c.sentence {
			t.Errorf("%s: %q, healthy %v, %v; want %q, %q", title, sentence, healthy, trouble, c.sentence, c.name)
		}
		for _, x := range trouble {
			seen[x.Name] = true
			if !slices.Contains(Troubles, x.Name) {
				t.Errorf("%s: there is no trouble %q", title, x.Name)
			}
		}
	}
	for _, name := range Troubles {
		if !seen[name] {
			t.Errorf("nothing leads to %q", name)
		}
	}
}

// TestTroublesHaveRunbooks: the sections of the runbook are those of the troubles.
func TestTroublesHaveRunbooks(t *testing.T) {
	b, err := os.ReadFile("../docs/runbook.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range Troubles {
		if !regexp.MustCompile(`(?m)^## ` + name + `$`).Match(b) {
			t.Errorf("docs/runbook.md has no section %q", name)
		}
	}
}
