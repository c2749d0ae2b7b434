// Command counter is a canister that counts. The count lies in stable memory and survives upgrades; its controllers may set it.
//
//	fusion build
//	fusion canister install counter.wasm.gz --arg '(opt 10)'
//	fusion canister call ID increment
package main

import (
	"encoding/binary"

	"fusion/cdk"
	"fusion/cdk/stable"
)

func init() { cdk.Main(Canister) }
func main() {}

// Canister registers the canister's methods. It runs at every start: after an install and after each upgrade.
func Canister(c *cdk.Canister) {
	s := &counter{c: c}
	cdk.Init(c, func(start *uint64) { // an opt, so that it may be left out
		s.open()
		if start != nil {
			s.set(*start)
		}
	})
	cdk.PostUpgrade(c, func(*uint64) { s.open() })
	cdk.Query(c, "get", func(*cdk.Msg, cdk.None) uint64 { return s.get() })
	cdk.Update(c, "increment", func(*cdk.Msg, cdk.None) uint64 { return s.add(1) })
	cdk.Update(c, "add", func(_ *cdk.Msg, n uint64) uint64 { return s.add(n) })
	cdk.Update(c, "set", func(m *cdk.Msg, n uint64) cdk.None {
		if !c.IsController(m.Caller()) {
			c.Trap("only controllers may set the counter")
		}
		s.set(n)
		return cdk.None{}
	})
}

type counter struct {
	c    *cdk.Canister
	cell *stable.Cell
}

func (s *counter) open() {
	var err error
	if s.cell, err = stable.OpenCell(s.c.Stable()); err != nil {
		s.c.Trap("%v", err)
	}
}

func (s *counter) get() uint64 {
	b := s.cell.Get(nil)
	if len(b) == 0 { // never set
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

func (s *counter) set(n uint64) {
	if err := s.cell.Set(binary.BigEndian.AppendUint64(nil, n)); err != nil {
		s.c.Trap("%v", err)
	}
}

func (s *counter) add(n uint64) uint64 {
	sum := s.get() + n
	if sum < n { // a trap undoes everything that the message did
		s.c.Trap("the counter is full")
	}
	s.set(sum)
	return sum
}
