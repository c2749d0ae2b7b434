// Kitchen is a canister that uses what the linker has to provide.
package main

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"time"

	"fusion/cdk"
	"fusion/cdk/stable"
	"fusion/ic/principal"
)

func init() { cdk.Main(kitchen) }
func main() {}

func kitchen(c *cdk.Canister) {
	var cell *stable.Cell
	open := func() {
		var err error
		if cell, err = stable.OpenCell(c.Stable()); err != nil {
			c.Trap("%v", err)
		}
	}
	heap := uint64(0)
	cdk.Init(c, func(text string) {
		open()
		if err := cell.Set([]byte(text)); err != nil {
			c.Trap("%v", err)
		}
	})
	cdk.PostUpgrade(c, func(*string) { open() })
	c.OnPreUpgrade(func() { c.Print("bye") })
	c.OnHeartbeat(func() { heap += 1000 })
	c.OnLowMemory(func() { heap += 1_000_000 })
	cdk.CompositeQuery(c, "both", func(_ *cdk.Msg, _ cdk.None, out *cdk.Reply[string]) { out.Send("both") })
	c.OnInspect(func(i *cdk.Inspection) {
		if i.Method() == "add" {
			i.Accept()
		}
	})
	cdk.Query(c, "get text", func(*cdk.Msg, cdk.None) string { return string(cell.Get(nil)) })
	cdk.Query(c, "whoami", func(m *cdk.Msg, _ cdk.None) principal.Principal { return m.Caller() })
	cdk.Query(c, "now", func(*cdk.Msg, cdk.None) uint64 {
		if uint64(time.Now().UnixNano()) != c.Time() {
			c.Trap("the clocks differ")
		}
		return c.Time()
	})
	cdk.Update(c, "add", func(_ *cdk.Msg, n uint64) uint64 { heap += n; return heap })
	cdk.Update(c, "goroutines", func(_ *cdk.Msg, n uint64) string {
		m := map[uint64]bool{}
		ch := make(chan uint64)
		for i := range n {
			go func() { ch <- i }()
		}
		var order []byte
		for range n {
			i := <-ch
			m[i] = true
			order = append(order, byte(i))
		}
		for i := range m {
			order = append(order, byte(i))
		}
		return hex.EncodeToString(order)
	})
	cdk.Update(c, "print", func(_ *cdk.Msg, text string) cdk.None { fmt.Fprint(os.Stderr, text); return cdk.None{} })
	cdk.Update(c, "panic", func(_ *cdk.Msg, i uint64) uint64 { return []uint64{1}[i] })
	cdk.Update(c, "deadlock", func(*cdk.Msg, cdk.None) cdk.None { <-make(chan int); return cdk.None{} })
	cdk.Update(c, "sleep", func(*cdk.Msg, cdk.None) cdk.None { time.Sleep(time.Second); return cdk.None{} })
	cdk.Update(c, "exit", func(*cdk.Msg, cdk.None) cdk.None { os.Exit(3); return cdk.None{} })
	cdk.Update(c, "secret", func(*cdk.Msg, cdk.None) []byte { b := make([]byte, 8); rand.Read(b); return b })
	cdk.UpdateAsync(c, "ask", func(m *cdk.Msg, to principal.Principal, out *cdk.Reply[string]) {
		cdk.Then(c.Call(to, "q", "x").WithCycles(cdk.Cycles{Hi: 1, Lo: 2}).OnCleanup(func() { c.Print("cleaned") }),
			func(r string, err error) {
				if r == "trap" {
					c.Trap("as asked")
				}
				out.Send(fmt.Sprintf("%s %v %v", r, err, c.Outstanding()))
			})
	})
	cdk.Update(c, "timer", func(_ *cdk.Msg, d uint64) cdk.None {
		c.After(time.Duration(d), func() { heap += 5 })
		return cdk.None{}
	})
}
