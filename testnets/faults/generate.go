package faults

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"fusion/replica"
)

// Choice is what Generate chooses from. The zero value is everything that a manifest may name, on one host.
type Choice struct {
	Kinds []Kind
	Sizes []int // numbers of nodes; one that is named twice comes twice as often
	// Most is the largest number of perturbations; the default is 4.
	Most int
	// Namespaces puts the replicas of some networks on hosts of their own, which not every machine allows.
	Namespaces bool
}

// Generate makes a manifest from a seed; the same seed and choice make the same one. The first perturbations of as many seeds in a row as there are kinds
// are of each kind.
func Generate(seed uint64, c Choice) *Manifest {
	if c.Kinds == nil {
		c.Kinds = Kinds
	}
	if c.Sizes == nil {
		c.Sizes = []int{1, 4, 4, 4, 4, 5, 7}
	}
	if c.Most == 0 {
		c.Most = 4
	}
	r := rand.New(rand.NewPCG(seed, 0x666175_6c7473))
	m := &Manifest{Name: fmt.Sprintf("seed-%d", seed), Nodes: pick(r, c.Sizes)}
	if r.IntN(2) == 0 { // a network that is not on one machine
		m.Links.Delay = millis(r, 5, 60)
		if r.IntN(2) == 0 {
			m.Links.Jitter = millis(r, 1, 20)
		}
		if r.IntN(2) == 0 {
			m.Links.Loss = float64(1+r.IntN(20)) / 1000
		}
	}
	if c.Namespaces && r.IntN(3) == 0 {
		m.Hosts = Namespaces
	}
	m.Load = Load{Payers: 1 + r.IntN(2), Deposits: r.IntN(2), Redemptions: r.IntN(2)}
	first := c.Kinds[seed%uint64(len(c.Kinds))]
	many := 1 + r.IntN(c.Most)
	if first == UpgradeProtocol {
		many = 1
	}
	for i := range many {
		last := i == many-1
		p := Perturbation{Kind: pick(r, c.Kinds), For: millis(r, 200, 6000)}
		if i == 0 {
			p.Kind = first
		}
		// A single node cannot be divided and is not to be byzantine, and f that are byzantine are enough.
		few := slices.DeleteFunc(slices.Clone(c.Kinds), func(k Kind) bool {
			return k == Partition && m.Nodes == 1 || k == UpgradeProtocol && !last || k == Byzantine && (m.Nodes == 1 || slices.ContainsFunc(m.Perturb, func(p Perturbation) bool { return p.Kind == Byzantine }))
		})
		if !slices.Contains(few, p.Kind) && len(few) > 0 {
			p.Kind = pick(r, few)
		}
		// Mostly as many as may fail, now and then more: the network has to stand still then, and to go on afterwards.
		hit := 1 + r.IntN(max(1, m.Faulty()))
		if r.IntN(4) == 0 && p.Kind != Byzantine {
			hit = 1 + r.IntN(m.Nodes)
		}
		nodes := r.Perm(m.Nodes)
		switch p.Kind {
		case Partition:
			hit = min(hit, m.Nodes-1)
			p.Groups = [][]int{sorted(nodes[:hit]), sorted(nodes[hit:])}
		case Byzantine:
			for _, i := range r.Perm(len(misdeeds))[:1+r.IntN(2)] {
				p.Misdeeds = append(p.Misdeeds, misdeeds[i])
			}
		case SlowDisk:
			p.Sync = millis(r, 10, 200)
		case ClockSkew:
			p.Skew = replica.Duration(time.Duration(1+r.IntN(120)) * time.Second)
			if r.IntN(2) == 0 {
				p.Skew = -p.Skew
			}
		}
		switch p.Kind {
		case Partition, ChainPause, ChainKill:
		case UpgradeProtocol:
			p.Nodes = sorted(nodes)
		default:
			p.Nodes = sorted(nodes[:hit])
		}
		if r.IntN(3) == 0 { // which may fall into another
			p.At = 1 + r.Uint64N(30)
		}
		m.Perturb = append(m.Perturb, p)
	}
	m.EnsureDefaults()
	return m
}

// Soak makes a manifest in which something happens in every interval, as long as it lasts. A perturbation waits until the one before it has ended. The
// protocol stays the same, since after an upgrade of it the other programs of the choice are too old.
func Soak(seed uint64, lasts, every time.Duration, c Choice) *Manifest {
	r := rand.New(rand.NewPCG(seed, 0x736f_616b))
	if c.Kinds == nil {
		c.Kinds = Kinds
	}
	c.Kinds = slices.DeleteFunc(slices.Clone(c.Kinds), func(k Kind) bool { return k == UpgradeProtocol })
	m := &Manifest{Name: fmt.Sprintf("soak-%d", seed), Load: Load{Payers: 4, Deposits: maxLoad, Redemptions: maxLoad, Bulk: 200, Share: 0.7}}
	for at := every; at <= lasts && len(m.Perturb) < maxPerturb; at += every {
		p := Generate(r.Uint64(), Choice{Kinds: c.Kinds, Sizes: []int{4}, Most: 1}).Perturb[0]
		p.Name, p.At, p.Time = fmt.Sprintf("%s-%d", p.Kind, len(m.Perturb)+1), 0, replica.Duration(at)
		if n := len(m.Perturb); n > 0 {
			p.After = m.Perturb[n-1].Name
		}
		if p.Kind == Byzantine { // more than one would be more than f
			p.Nodes = []int{3}
		}
		m.Perturb = append(m.Perturb, p)
	}
	m.EnsureDefaults()
	return m
}

func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

func millis(r *rand.Rand, low, high int) replica.Duration {
	return replica.Duration(time.Duration(low+r.IntN(high-low)) * time.Millisecond)
}

func sorted(list []int) []int {
	list = slices.Clone(list)
	slices.Sort(list)
	return list
}
