package execution

import (
	"bytes"
	"fmt"
	"math/rand"
	"testing"

	"fusion/ic/candid"
	"fusion/ic/principal"
	"fusion/replica/management"
)

// spinner burns about arg × 1000 instructions, in update "spin", and counts.
func spinner() *module {
	m := newModule()
	m.export("canister_init", drop(m.host("stable64_grow", i64(1))))
	work := cat(m.host("msg_arg_data_copy", i32(200), i32(0), i32(4)), count(0), m.host("stable64_write", i64(0), i64(0), i64(4)),
		spin(load32(i32(200))))
	m.update("spin", work, m.reply(i32(0), i32(4)))
	m.update("spin trap", work, unreachable())
	m.update("inc", count(0), m.reply(i32(0), i32(4)))
	m.query("get", m.reply(i32(0), i32(4)))
	m.query("get_stable", m.host("stable64_read", i64(512), i64(0), i64(4)), m.reply(i32(512), i32(4)))
	return m
}

// TestThreads runs the same blocks with one, two and four threads, under budgets that carry work from block to block.
func TestThreads(t *testing.T) {
	for _, budget := range []uint64{0, 3_000_000} {
		var first []byte
		var results []RoundResult
		for _, threads := range []int{1, 2, 4} {
			t.Run(fmt.Sprint("budget ", budget, ", threads ", threads), func(t *testing.T) {
				w := newWorld(t, func(c *Config) { c.Threads, c.RoundInstructions, c.SliceInstructions = threads, budget, 30_000 })
				var ids []principal.Principal
				for i := range 12 {
					ids = append(ids, w.install(probe(principal.FromUint64(16+uint64(i+5)%12))))
				}
				s := &script{w: w, rng: rand.New(rand.NewSource(7))}
				upgrade := probe(ids[0]).bytes()
				var got []RoundResult
				for range 30 {
					var block []Ingress
					for range 8 {
						block = append(block, s.block(ids, upgrade)...)
					}
					res := w.round(block...)
					s.open = append(s.open, res.SystemCalls...)
					res.SystemCalls = nil
					got = append(got, res)
				}
				if d := dump(w.store); first == nil {
					first, results = d, got
				} else if !bytes.Equal(d, first) {
					writeDumps(t, first, d)
					t.Error("the stores differ")
				} else if fmt.Sprint(got) != fmt.Sprint(results) {
					t.Error("the results differ")
				}
			})
		}
	}
}

func spinArg(thousands uint32) []byte {
	return []byte{byte(thousands), byte(thousands >> 8), byte(thousands >> 16), byte(thousands >> 24)}
}

// TestLongMessage runs a message that takes ten rounds beside one that is short, with restarts or not.
func TestLongMessage(t *testing.T) {
	for _, method := range []string{"spin", "spin trap"} {
		t.Run(method, func(t *testing.T) {
			var rounds []int
			scenario(t, func(w *world) {
				t := w.t
				a, b := w.install(spinner()), w.install(spinner())
				long := w.message(alice, a, method, spinArg(10_000))
				w.round(long)
				before := w.x.canisters[a].Cycles
				n := 1
				for ; ; n++ {
					if s, _ := w.x.IngressStatus(long.ID); s.State.terminal() {
						break
					}
					if n > 50 {
						t.Fatal("the message does not end")
					}
					if w.x.canisters[a].run == nil {
						t.Error("no message stands still")
					}
					res := w.round(w.message(alice, b, "inc", nil), w.message(alice, a, "inc", nil))
					if used := res.InstructionsUsed; used > 2_100_000 {
						t.Errorf("a round used %d instructions", used)
					}
					if got := le32(w.mustQuery(b, "get", nil)); got != uint32(n) {
						t.Errorf("round %d: the other canister counts %d", n, got)
					}
					if s, _ := w.x.IngressStatus(long.ID); s.State.terminal() {
						continue
					}
					if got := le32(w.mustQuery(a, "get", nil)); got != 0 {
						t.Errorf("round %d: a query sees %d", n, got)
					}
					if now := w.x.canisters[a].Cycles; now != before {
						t.Errorf("the cycles of a message that stands still went from %s to %s", before, now)
					}
				}
				if n < 5 {
					t.Errorf("the message ended after %d rounds", n)
				}
				rounds = append(rounds, n)
				_, rej := w.finish(long.ID)
				for range 3 {
					w.round()
				}
				want := uint32(n) // it, and those that waited behind it
				if method == "spin trap" {
					want--
					if rej == nil || rej.Error != "IC0502" {
						t.Errorf("%v", rej)
					}
				} else if rej != nil {
					t.Error(rej)
				}
				if got := le32(w.mustQuery(a, "get", nil)); got != want {
					t.Errorf("the canister counts %d, want %d", got, want)
				}
				if got := le32(w.mustQuery(a, "get_stable", nil)); method == "spin" && got != 1 || method != "spin" && got != 0 {
					t.Errorf("its stable memory has %d", got)
				}
			}, func(c *Config) { c.RoundInstructions, c.SliceInstructions, c.Threads = 2_000_000, 100_000, 2 })
			for _, n := range rounds {
				if n != rounds[0] {
					t.Errorf("rounds until the answer: %v", rounds)
				}
			}
		})
	}
}

// TestLongMessagesShareRounds has more long messages than a wave has turns, and short ones that must not wait for them.
func TestLongMessagesShareRounds(t *testing.T) {
	scenario(t, func(w *world) {
		t := w.t
		var long []Ingress
		for range 4 {
			long = append(long, w.message(alice, w.install(spinner()), "spin", spinArg(3_000)))
		}
		short := w.install(spinner())
		w.round(long...)
		rounds := 1
		for ; w.last.Backlog > 0 || w.anyOpen(long); rounds++ {
			m := w.message(alice, short, "inc", nil)
			w.round(m)
			if s, _ := w.x.IngressStatus(m.ID); s.State != Replied {
				t.Errorf("round %d: a short message is %s", rounds, s.State)
			}
			if rounds > 60 {
				t.Fatal("they do not end")
			}
		}
		for _, m := range long {
			if _, rej := w.finish(m.ID); rej != nil {
				t.Error(rej)
			}
		}
	}, func(c *Config) { c.RoundInstructions, c.SliceInstructions, c.Threads = 2_000_000, 100_000, 2 })
}

func (w *world) anyOpen(list []Ingress) bool {
	for _, m := range list {
		if s, _ := w.x.IngressStatus(m.ID); !s.State.terminal() {
			return true
		}
	}
	return false
}

// TestFlood lets a hundred canisters have one message each beside one canister with thousands, and beside canisters whose heartbeats take
// more than a round has.
func TestFlood(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.RoundInstructions, c.SliceInstructions, c.Threads = 10_000_000, 500_000, 2 })
	flood := w.install(spinner())
	beat := newModule()
	beat.export("canister_heartbeat", count(0), spin(i32(150)))
	beat.query("get", beat.reply(i32(0), i32(4)))
	var small, beats []principal.Principal
	for range 20 {
		beats = append(beats, w.install(beat))
	}
	for range 100 {
		small = append(small, w.install(counter()))
	}
	for range 4 {
		w.round()
	}
	start := map[principal.Principal]uint32{}
	for _, id := range beats {
		start[id] = le32(w.mustQuery(id, "get", nil))
	}
	const rounds = 30
	for n := range rounds {
		var block []Ingress
		for range 40 {
			block = append(block, w.message(alice, flood, "spin", spinArg(200)))
		}
		if n%10 == 0 {
			for _, id := range small {
				block = append(block, w.message(alice, id, "inc", nil))
			}
		}
		w.round(block...)
		if n%10 != 9 {
			continue
		}
		for i, id := range small {
			if got := le32(w.mustQuery(id, "get", nil)); got != uint32(n/10+1) {
				t.Errorf("ten rounds after its message came, canister %d counts %d", i, got)
			}
		}
	}
	if got := le32(w.mustQuery(flood, "get", nil)); got < rounds/4 {
		t.Errorf("the flooding canister itself executed %d messages in %d rounds", got, rounds)
	}
	for i, id := range beats {
		if got := le32(w.mustQuery(id, "get", nil)) - start[id]; got < 2 {
			t.Errorf("heartbeat %d ran %d times in %d rounds", i, got, rounds)
		}
	}
}

// TestComputeAllocation lets canisters that always have work compete, one of them with an allocation.
func TestComputeAllocation(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.RoundInstructions, c.SliceInstructions, c.Threads = 40_000_000, 500_000, 2 })
	var ids []principal.Principal
	for range 30 {
		ids = append(ids, w.install(spinner()))
	}
	percent, freezing := candid.NatFromUint64(100), candid.NatFromUint64(0)
	w.mustManage("update_settings", management.UpdateSettingsArgs{CanisterID: ids[29],
		Settings: management.Settings{ComputeAllocation: &percent, FreezingThreshold: &freezing}})
	var block []Ingress
	for i, id := range ids {
		for range 200 + i/29*1000 {
			block = append(block, w.message(alice, id, "spin", spinArg(200)))
		}
	}
	w.round(block...)
	used := uint64(0)
	for range 30 {
		used += w.round().InstructionsUsed
	}
	total := uint64(0)
	for _, id := range ids {
		total += uint64(le32(w.mustQuery(id, "get", nil)))
	}
	for i, id := range ids {
		got := uint64(le32(w.mustQuery(id, "get", nil)))
		low, high := total/60, total/30*2 // of an equal share
		if i == 29 {
			low, high = total/5, total/2
		}
		if got < low || got > high {
			t.Errorf("canister %d executed %d of %d messages", i, got, total)
		}
	}
}
