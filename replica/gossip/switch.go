package gossip

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
)

// SwitchOptions are the faults of a Switch.
type SwitchOptions struct {
	// Seed makes the faults repeatable.
	Seed uint64
	// Drop is the probability that a message is lost.
	Drop float64
	// Delay lets up to so many later messages overtake a message between other pairs. Order within (from, to, topic)
	// is kept, as on a Host.
	Delay int
	// Duplicate is the probability that a message arrives twice.
	Duplicate float64
}

// Switch connects n nodes in memory. Nothing moves by itself: Step delivers one message in the caller's goroutine,
// which makes a simulation deterministic; Run does it in a loop for tests of concurrent code.
type Switch struct {
	mu     sync.Mutex
	opt    SwitchOptions
	rng    *rand.Rand
	nodes  []*switchNode
	groups []int // partition of each node; messages cross only within one
	queue  []packet
	more   chan struct{}
}

type packet struct {
	from, to int
	topic    string
	msg      []byte
}

type switchNode struct {
	s      *Switch
	self   int
	topics map[string]topic

	removed bool
}

// maxSwitchQueue bounds a Switch nobody steps.
const maxSwitchQueue = 1 << 16

// NewSwitch makes a network of n nodes.
func NewSwitch(n int, opt SwitchOptions) *Switch {
	s := &Switch{opt: opt, rng: rand.New(rand.NewPCG(opt.Seed, 0)), groups: make([]int, n), more: make(chan struct{}, 1)}
	for i := range n {
		s.nodes = append(s.nodes, &switchNode{s: s, self: i, topics: map[string]topic{}})
	}
	return s
}

// Node returns node i's view of the network.
func (s *Switch) Node(i int) Network {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.nodes[i]
}

// Add makes one more node, with the next index.
func (s *Switch) Add() Network {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := &switchNode{s: s, self: len(s.nodes), topics: map[string]topic{}}
	s.nodes, s.groups = append(s.nodes, n), append(s.groups, 0)
	return n
}

// Remove cuts a node off for good. Its index is not given again.
func (s *Switch) Remove(i int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nodes[i].removed = true
}

// Partition separates the nodes: those of one group reach each other only. Nodes that are not named form a group of
// their own.
func (s *Switch) Partition(groups ...[]int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.groups)
	for g, members := range groups {
		for _, i := range members {
			s.groups[i] = g + 1
		}
	}
}

// Heal ends a partition.
func (s *Switch) Heal() { s.Partition() }

// Step delivers one message and says whether there was one.
func (s *Switch) Step() bool {
	s.mu.Lock()
	if len(s.queue) == 0 {
		s.mu.Unlock()
		return false
	}
	i := 0
	if s.opt.Delay > 0 {
		i = s.rng.IntN(min(len(s.queue), s.opt.Delay+1))
		for j := range i { // the oldest of its kind goes first
			if a, b := s.queue[j], s.queue[i]; a.from == b.from && a.to == b.to && a.topic == b.topic {
				i = j
				break
			}
		}
	}
	p := s.queue[i]
	if !(s.rng.Float64() < s.opt.Duplicate) {
		copy(s.queue[1:i+1], s.queue[:i])
		s.queue[0] = packet{}
		s.queue = s.queue[1:]
	}
	cut := s.groups[p.from] != s.groups[p.to] || s.nodes[p.from].removed || s.nodes[p.to].removed // a partition also cuts what was under way
	t, ok := s.nodes[p.to].topics[p.topic]
	s.mu.Unlock()
	if ok && !cut {
		t.fn(p.from, append([]byte(nil), p.msg...))
	}
	return true
}

// Run delivers messages until the context ends.
func (s *Switch) Run(ctx context.Context) {
	for ctx.Err() == nil {
		if s.Step() {
			continue
		}
		select {
		case <-s.more:
		case <-ctx.Done():
		}
	}
}

func (n *switchNode) Self() int { return n.self }
func (n *switchNode) N() int {
	n.s.mu.Lock()
	defer n.s.mu.Unlock()
	return len(n.s.nodes)
}

func (n *switchNode) Handle(t Topic, fn Handler) {
	t = t.withDefaults()
	t.check()
	n.s.mu.Lock()
	defer n.s.mu.Unlock()
	if _, ok := n.topics[t.Name]; ok {
		panic("gossip: topic " + t.Name + " is registered twice")
	}
	n.topics[t.Name] = topic{t, fn}
}

func (n *switchNode) Send(to int, name string, msg []byte) {
	s := n.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if to < 0 || to >= len(s.nodes) || to == n.self {
		return
	}
	t, ok := n.topics[name]
	if !ok || len(msg) > t.MaxBytes {
		panic(fmt.Sprintf("gossip: message of %d bytes on topic %s, which allows %d", len(msg), name, t.MaxBytes))
	}
	if s.groups[n.self] != s.groups[to] || s.rng.Float64() < s.opt.Drop || len(s.queue) >= maxSwitchQueue {
		return
	}
	s.queue = append(s.queue, packet{n.self, to, name, msg})
	select {
	case s.more <- struct{}{}:
	default:
	}
}

func (n *switchNode) Broadcast(topic string, msg []byte) {
	for i := range n.N() {
		n.Send(i, topic, msg)
	}
}
