package e2e

import (
	"context"
	"errors"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"fusion/replica/genesis"
	"fusion/testnets/faults"
	"fusion/testnets/golden"
	"fusion/testnets/processes/hosts"
)

// manifests is how many seeds TestManifests runs; FUSION_MANIFESTS says otherwise, and FUSION_SEED=N runs one alone. Each begins with another kind of
// perturbation. Those that always run have up to shortest perturbations.
const (
	manifests = 12
	shortest  = 2
)

// experimentTimeout is for a machine that does other things as well.
const experimentTimeout = 10 * time.Minute

// programs are the fusion program and those that perturbations need, as far as the environment names them.
func programs(t *testing.T) faults.Options {
	o := faults.Options{Program: program(t, "FUSION_BIN"), Log: t.Logf, Programs: map[string]string{}}
	for name, variable := range map[string]string{faults.FaultBuild: "FUSION_FAULT_BIN", faults.ByzantineBuild: "FUSION_BYZANTINE_BIN", faults.NextBuild: "FUSION_NEXT_BIN"} {
		if bin := os.Getenv(variable); bin != "" {
			o.Programs[name] = bin
		}
	}
	return o
}

func experiment(t *testing.T, m *faults.Manifest, o faults.Options) {
	t.Helper()
	limit := experimentTimeout
	if n := len(m.Perturb); n > 0 {
		limit += 3 * time.Duration(m.Perturb[n-1].Time)
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	scheme := m.Scheme
	if scheme != genesis.Idkg {
		scheme = "" // the default
	}
	o.Dir = golden.CloneOf(t, scheme)
	r, err := faults.Run(ctx, m, o)
	if err != nil {
		text, _ := m.Encode() // it was valid
		for i := range m.Nodes {
			t.Logf("end of node%d.log:\n%s", i, golden.Tail(o.Dir+"/node"+strconv.Itoa(i)+".log", 25))
		}
		t.Fatalf("%v\n%s", err, text)
	}
	t.Logf("%s", r)
}

// choice is what generated experiments are made of, by the programs that there are.
func choice(o faults.Options) faults.Choice {
	c := faults.Choice{Namespaces: hosts.Available() == nil, Sizes: []int{golden.Nodes}, Kinds: []faults.Kind{faults.Kill, faults.Pause, faults.Restart, faults.Disconnect, faults.Partition, faults.Upgrade, faults.ChainPause, faults.ChainKill}}
	if o.Programs[faults.FaultBuild] != "" {
		c.Kinds = append(c.Kinds, faults.SlowDisk, faults.ClockSkew)
	}
	if o.Programs[faults.ByzantineBuild] != "" {
		c.Kinds = append(c.Kinds, faults.Byzantine)
	}
	if o.Programs[faults.NextBuild] != "" {
		c.Kinds = append(c.Kinds, faults.UpgradeProtocol)
	}
	return c
}

// TestSoak works as long as FUSION_SOAK says, such as 1h, at 70 % of what the network can do, with a perturbation every minute.
func TestSoak(t *testing.T) {
	o := programs(t)
	text := os.Getenv("FUSION_SOAK")
	if text == "" {
		t.Skip("FUSION_SOAK=1h runs it, or `make soak`")
	}
	lasts, err := time.ParseDuration(text)
	must(t, err)
	experiment(t, faults.Soak(1, lasts, time.Minute, choice(o)), o)
}

// TestEveryKind: what always runs has every kind of perturbation in it.
func TestEveryKind(t *testing.T) {
	if manifests < len(faults.Kinds) {
		t.Errorf("%d experiments are generated, and there are %d kinds of perturbations", manifests, len(faults.Kinds))
	}
}

// TestManifests runs experiments that are generated from seeds, of all kinds whose programs there are.
func TestManifests(t *testing.T) {
	o := programs(t)
	first, last := 1, manifests
	for name, set := range map[string]func(int){"FUSION_MANIFESTS": func(n int) { last = n }, "FUSION_SEED": func(n int) { first, last = n, n }} {
		if s := os.Getenv(name); s != "" {
			n, err := strconv.Atoi(s)
			must(t, err)
			set(n)
		}
	}
	for seed := first; seed <= last; seed++ {
		c := choice(o)
		if seed <= manifests {
			c.Most = shortest
		}
		m := faults.Generate(uint64(seed), c)
		if seed > manifests && seed/manifests%2 == 1 { // by dozens
			m.Scheme = genesis.Idkg
		}
		t.Run(m.Name, func(t *testing.T) { experiment(t, m, o) })
	}
}

// always are the named experiments that run on networks of the robust scheme without being asked for: those that stop, divide and pervert replicas.
var always = []string{"one-of-each", "byzantine"}

// TestScenarios runs the experiments that have names, on networks of both schemes, where it is asked for:
//
//	FUSION_SCENARIOS=1 make e2e case=TestScenarios/gg18/halves
func TestScenarios(t *testing.T) {
	o := programs(t)
	asked := os.Getenv("FUSION_SCENARIOS") != ""
	for _, scheme := range []string{"gg18", genesis.Idkg} {
		t.Run(scheme, func(t *testing.T) {
			for _, name := range faults.Scenarios() {
				t.Run(name, func(t *testing.T) {
					if !asked && (scheme != genesis.Idkg || !slices.Contains(always, name)) {
						t.Skip("the generated manifests stand for it; FUSION_SCENARIOS=1 runs it")
					}
					m, err := faults.Scenario(name)
					must(t, err)
					m.Scheme = scheme
					if err := faults.Needs(m, o.Programs); errors.Is(err, faults.ErrProgram) || errors.Is(err, hosts.ErrUnavailable) {
						t.Skip(err)
					}
					experiment(t, m, o)
				})
			}
		})
	}
}
