package ethereum

import (
	"slices"
	"time"

	"fusion/eth/rpc"
)

// ProviderStats are a provider's counters since the start.
type ProviderStats struct {
	Host, Operator string
	State          State
	Asked          uint64
	Failed         uint64 // no answer, or none that is one
	Disagreed      uint64 // answers that differ from what a quorum gave
	Unverified     uint64 // answers that did not hold against the chain
	Bytes          uint64 // received
	Latency        time.Duration
}

// Stats are a client's counters since the start.
type Stats struct {
	Asked       uint64 // queries
	Agreed      uint64 // answers of a quorum
	Disagreed   uint64 // queries without an answer, because the providers differ
	Unavailable uint64 // queries without an answer, because too few answer
	Unverified  uint64 // queries without an answer, because it did not hold against the chain
	Headers     uint64 // headers that were checked
	Receipts    uint64 // receipts that were checked
	Logs        uint64 // logs in verified answers
	// Heights are the newest that Height returned.
	Latest, Safe, Finalized uint64
	Providers               []ProviderStats
}

func (s *Stats) setHeight(tag string, n uint64) {
	switch rpc.At(tag) {
	case rpc.Latest:
		s.Latest = n
	case rpc.Safe:
		s.Safe = n
	case rpc.Finalized:
		s.Finalized = n
	}
}

func (c *Client) count(f func(*Stats)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.stats)
}

// Stats is a snapshot for metrics. Providers are in the order of the configuration.
func (c *Client) Stats() Stats {
	c.mu.Lock()
	out := c.stats
	c.mu.Unlock()
	out.Providers = slices.Clone(out.Providers)
	for _, p := range c.providers {
		state := p.state()
		p.mu.Lock()
		s := p.stats
		p.mu.Unlock()
		s.State = state
		out.Providers = append(out.Providers, s)
	}
	return out
}
