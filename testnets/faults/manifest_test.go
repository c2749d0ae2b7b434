package faults

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"fusion/replica"
)

const example = `
name = "example"
[links]
delay = "20ms"
loss = 0.01
[load]
redemptions = 2
[[perturb]]
kind = "kill"
nodes = [3]
for = "2s"
[[perturb]]
name = "split"
kind = "partition"
groups = [[0, 1], [2, 3]]
for = "5s"
[[perturb]]
kind = "slow-disk"
nodes = [1]
at = 40
[[perturb]]
kind = "clock-skew"
nodes = [2]
after = "split"
skew = "-90s"
`

func TestParse(t *testing.T) {
	m, err := Parse([]byte(example))
	if err != nil {
		t.Fatal(err)
	}
	second := replica.Duration(time.Second)
	want := &Manifest{Name: "example", Nodes: 4, Scheme: "gg18", Chains: []string{"bitcoin"},
		Links: Links{Delay: second / 50, Loss: 0.01}, Load: Load{Payers: 1, Redemptions: 2},
		Perturb: []Perturbation{
			{Name: "kill-1", Kind: Kill, Nodes: []int{3}, For: 2 * second},
			{Name: "split", Kind: Partition, Groups: [][]int{{0, 1}, {2, 3}}, After: "kill-1", For: 5 * second},
			{Name: "slow-disk-3", Kind: SlowDisk, Nodes: []int{1}, At: 40, Sync: defaultSync},
			{Name: "clock-skew-4", Kind: ClockSkew, Nodes: []int{2}, After: "split", Skew: -90 * second},
		}}
	if !reflect.DeepEqual(m, want) {
		t.Errorf("got  %+v\nwant %+v", m, want)
	}
	if got := m.Hits(&m.Perturb[1]); !reflect.DeepEqual(got, []int{0, 1, 2, 3}) {
		t.Errorf("a split in halves hits %v, want all", got)
	}
	if got := m.Hits(&Perturbation{Kind: Partition, Groups: [][]int{{0, 2, 3}, {1}}}); !reflect.DeepEqual(got, []int{1}) {
		t.Errorf("a partition hits %v, want the side without a quorum", got)
	}
}

func TestRefusals(t *testing.T) {
	kill := "[[perturb]]\nkind = \"kill\"\nnodes = [1]\n"
	for _, c := range []struct{ text, says string }{
		{"name = \"x\"\ncolour = 3", "unknown key colour"},
		{"name = \"x\"\n" + kill + "color = 1", "unknown key perturb.color"},
		{"", "name is"},
		{"name = \"../x\"", "name is"},
		{"name = \"x\"\nnodes = 3", "nodes is 3"},
		{"name = \"x\"\nnodes = 14", "nodes is 14"},
		{"name = \"x\"\nscheme = \"frost\"", "scheme is"},
		{"name = \"x\"\nchains = [\"dogecoin\"]", "chains is"},
		{"name = \"x\"\nchains = []", "chains is"},
		{"name = \"x\"\nhosts = \"clouds\"", "hosts is"},
		{"name = \"x\"\n[links]\nloss = nan", "links.loss"},
		{"name = \"x\"\n[links]\nloss = 0.9", "links.loss"},
		{"name = \"x\"\n[links]\ndelay = \"-1s\"", "links.delay"},
		{"name = \"x\"\n[links]\ndelay = \"soon\"", "invalid duration"},
		{"name = \"x\"\n[load]\npayers = 51", "payers"},
		{"name = \"x\"\n[load]\nbulk = 1001", "bulk"},
		{"name = \"x\"\n[load]\nbulk = 5\nshare = 1.5", "share"},
		{"name = \"x\"\n[load]\nbulk = 5\nshare = nan", "share"},
		{"name = \"x\"\n[load]\nshare = 0.5", "share"},
		{"name = \"x\"\n" + kill + "time = \"48h\"", "time is"},
		{"name = \"x\"\n[[perturb]]\nkind = \"explode\"\nnodes = [1]", "kind is"},
		{"name = \"x\"\n[[perturb]]\nkind = \"kill\"", "wants nodes"},
		{"name = \"x\"\n[[perturb]]\nkind = \"chain-kill\"\nnodes = [1]", "hits no nodes"},
		{"name = \"x\"\n[[perturb]]\nkind = \"upgrade-protocol\"\n" + kill, "is the last"},
		{"name = \"x\"\n[[perturb]]\nkind = \"upgrade-protocol\"\nnodes = [0, 1, 2]", "of all nodes"},
		{"name = \"x\"\n[[perturb]]\nkind = \"kill\"\nnodes = [4]", "node 4"},
		{"name = \"x\"\n[[perturb]]\nkind = \"kill\"\nnodes = [1, 1]", "node 1"},
		{"name = \"x\"\n" + kill + "for = \"1h\"", "for is"},
		{"name = \"x\"\n" + kill + "sync = \"1ms\"", "sync is for"},
		{"name = \"x\"\n" + kill + "skew = \"1s\"", "skew is for"},
		{"name = \"x\"\n" + kill + "program = \"next\"", "program is for"},
		{"name = \"x\"\n" + kill + "after = \"kill-1\"", "not above it"},
		{"name = \"x\"\n" + kill + "at = 1000000", "at is"},
		{"name = \"x\"\n" + kill + kill + "name = \"kill-1\"", "one of its own"},
		{"name = \"x\"\n[[perturb]]\nkind = \"clock-skew\"\nnodes = [1]\nskew = \"1ms\"", "whole seconds"},
		{"name = \"x\"\n[[perturb]]\nkind = \"partition\"\nnodes = [1]", "two groups"},
		{"name = \"x\"\n[[perturb]]\nkind = \"partition\"\ngroups = [[0, 1], [2]]", "every node"},
		{"name = \"x\"\n[[perturb]]\nkind = \"partition\"\ngroups = [[0, 1], [1, 2, 3]]", "node 1"},
		{"name = \"x\"\n[[perturb]]\nkind = \"partition\"\ngroups = [[0, 1, 2, 3], []]", "empty"},
		{"name = \"x\"\n[[perturb]]\nkind = \"byzantine\"\nnodes = [1]", "misdeeds"},
		{"name = \"x\"\n[[perturb]]\nkind = \"kill\"\nnodes = [1]\nmisdeeds = [\"flood\"]", "misdeeds"},
		{"name = \"x\"\n[[perturb]]\nkind = \"byzantine\"\nnodes = [1]\nmisdeeds = [\"murder\"]", "murder"},
		{"name = \"x\"\n[[perturb]]\nkind = \"byzantine\"\nnodes = [1]\nmisdeeds = [\"flood\", \"flood\"]", "at most once"},
		{"name = \"x\"\n[[perturb]]\nkind = \"byzantine\"\nnodes = [1, 2]\nmisdeeds = [\"flood\"]", "2 byzantine nodes of 4"},
		{"name = \"x\"\n[[perturb]]\nkind = \"byzantine\"\nnodes = [1]\nmisdeeds = [\"flood\"]\n[[perturb]]\nkind = \"byzantine\"\nnodes = [2]\nmisdeeds = [\"withhold\"]", "2 byzantine nodes of 4"},
		{"# " + strings.Repeat("x", maxFile), "bytes"},
		{"name = \"x\"\n" + strings.Repeat(kill, maxPerturb+1), "perturbations"},
	} {
		_, err := Parse([]byte(c.text))
		if !errors.Is(err, ErrManifest) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%.120q: %v, want it to say %q", c.text, err, c.says)
		}
	}
}

// TestGenerate: every seed makes a valid manifest, always the same, and together they hold everything that there is.
func TestGenerate(t *testing.T) {
	seen := map[string]int{}
	for seed := range uint64(300) {
		m := Generate(seed, Choice{})
		if err := m.Validate(); err != nil {
			t.Fatalf("seed %d: %v\n%+v", seed, err, m)
		}
		if !reflect.DeepEqual(m, Generate(seed, Choice{})) {
			t.Fatalf("seed %d makes two manifests", seed)
		}
		roundTrip(t, m)
		for _, p := range m.Perturb {
			seen[string(p.Kind)]++
			if len(m.Hits(&p)) > m.Faulty() {
				seen["more than may fail"]++
			}
			if p.At > 0 {
				seen["at"]++
			}
		}
		seen[fmt.Sprint(m.Nodes)]++
		if m = Generate(seed, Choice{Namespaces: true}); m.Hosts != "" {
			seen[m.Hosts]++
		}
	}
	for _, k := range append([]string{"more than may fail", "at", "1", "4", "5", "7", Namespaces}, kinds()...) {
		if seen[k] == 0 {
			t.Errorf("no seed makes %q", k)
		}
	}
	for first := range uint64(20) {
		began := map[Kind]bool{}
		for i := range Kinds {
			began[Generate(first+uint64(i), Choice{Sizes: []int{4}}).Perturb[0].Kind] = true
		}
		if len(began) != len(Kinds) {
			t.Errorf("seeds from %d on begin with %v, not with each of %v", first, began, Kinds)
		}
	}
	for seed := range uint64(100) {
		m := Generate(seed, Choice{Kinds: []Kind{Kill, Pause}, Sizes: []int{4}, Most: 1})
		if m.Nodes != 4 || len(m.Perturb) != 1 || m.Perturb[0].Kind != Kill && m.Perturb[0].Kind != Pause {
			t.Fatalf("seed %d does not keep to the choice: %+v", seed, m)
		}
	}
}

func kinds() (out []string) {
	for _, k := range Kinds {
		out = append(out, string(k))
	}
	return out
}

func roundTrip(t *testing.T, m *Manifest) {
	t.Helper()
	b, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse(b)
	if err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	if !reflect.DeepEqual(m, again) {
		t.Fatalf("%+v\nis read back as\n%+v\nfrom\n%s", m, again, b)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(example))
	for seed := range uint64(5) {
		b, err := Generate(seed, Choice{}).Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := Parse(text)
		if err != nil {
			if !errors.Is(err, ErrManifest) {
				t.Fatal(err)
			}
			return
		}
		roundTrip(t, m)
	})
}

// A soak has something in every interval, one after the other, and survives being written down.
func TestSoak(t *testing.T) {
	m := Soak(1, time.Hour, time.Minute, Choice{})
	if err := m.Validate(); err != nil {
		t.Fatal(err)
	}
	if len(m.Perturb) != 60 {
		t.Fatalf("%d perturbations in an hour, want 60", len(m.Perturb))
	}
	kinds := map[Kind]bool{}
	for i, p := range m.Perturb {
		kinds[p.Kind] = true
		if want := time.Duration(i+1) * time.Minute; time.Duration(p.Time) != want || p.At != 0 || i > 0 && p.After != m.Perturb[i-1].Name {
			t.Errorf("perturbation %d is at %v, block %d, after %q; want %v", i, time.Duration(p.Time), p.At, p.After, want)
		}
	}
	if len(kinds) != len(Kinds)-1 || kinds[UpgradeProtocol] {
		t.Errorf("the kinds are %v, want all of %v but %s", kinds, Kinds, UpgradeProtocol)
	}
	text, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	back, err := Parse(text)
	if err != nil || !reflect.DeepEqual(back, m) {
		t.Errorf("read back: %v\n%+v\nwant %+v", err, back, m)
	}
}

func TestSteady(t *testing.T) {
	if q := quarters([]uint64{1, 2, 3, 9, 5, 6, 7, 8}); !reflect.DeepEqual(q, []uint64{2, 9, 6, 8}) {
		t.Errorf("quarters are %d", q)
	}
	for _, c := range []struct {
		lasted   time.Duration
		resident []uint64
		ok       bool
	}{{time.Hour, []uint64{1, 4, 4, 5}, true}, {time.Hour, []uint64{1, 4, 9, 6}, false}, {time.Minute, []uint64{1, 4, 4, 6}, true}, {time.Hour, nil, true}} {
		if err := steady(c.lasted, c.resident); (err == nil) != c.ok {
			t.Errorf("%v, %d: %v", c.lasted, c.resident, err)
		}
	}
}

func TestScenarios(t *testing.T) {
	list := Scenarios()
	if len(list) == 0 {
		t.Fatal("there are no scenarios")
	}
	for _, name := range list {
		m, err := Scenario(name)
		if err != nil {
			t.Error(err)
			continue
		}
		roundTrip(t, m)
	}
	if _, err := Scenario("nowhere"); err == nil {
		t.Error("a scenario was found that does not exist")
	}
}

// TestInspection: what a replica's files may not hold is found in them.
func TestInspection(t *testing.T) {
	good := "time=2026-01-01 level=WARN msg=\"peer lost\" err=\"panic: of somebody else\"\n"
	if line := surprise([]byte(good)); line != "" {
		t.Errorf("found %q", line)
	}
	for _, bad := range []string{"time=2026-01-01 level=ERROR msg=x", "panic: index out of range", "fatal error: concurrent map writes", "WARNING: DATA RACE"} {
		long := good + strings.Repeat("x", 1<<20) + "\n"
		if line := surprise([]byte(long + bad + "\n" + good)); line != bad {
			t.Errorf("%q: found %q", bad, line)
		}
	}
	markers := make([]byte, 3*36)
	markers[36], markers[72] = 1, 2
	if id := twice(markers); id != "" {
		t.Errorf("%s is there once", id)
	}
	if id := twice(append(markers, markers[36:72]...)); id != fmt.Sprintf("01%062d", 0) {
		t.Errorf("%q is there twice", id)
	}
}
