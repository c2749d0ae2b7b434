package cdk

import (
	"container/heap"
	"encoding/binary"
	"time"
)

// timerMethod is the hidden update method through which due timers run. Each runs in a call of its own to the canister itself,
// so that a trap in one neither undoes the others nor leaves the global timer unarmed.
const timerMethod = "<fusion internal> timer"

// retryTimer is how long a due timer waits when the self-call could not be enqueued.
const retryTimer = uint64(time.Second)

// TimerID names a timer for Cancel.
type TimerID uint64

// After runs fn once, d or more from now. Timers do not survive an upgrade: set them in Init and PostUpgrade.
func (c *Canister) After(d time.Duration, fn func()) TimerID { return c.timers.set(d, 0, fn) }

// Every runs fn again and again, the next run d after the previous one ended. A trap in fn ends that run only.
func (c *Canister) Every(d time.Duration, fn func()) TimerID {
	return c.timers.set(d, max(uint64(d), 1), fn)
}

// Cancel stops a timer; a timer that already ran or is unknown is ignored.
func (c *Canister) Cancel(id TimerID) {
	delete(c.timers.byID, id) // its place in the queue is dropped when its time comes
}

type timer struct {
	id    TimerID
	at    uint64 // ns
	every uint64 // ns, 0 for once
	fn    func()
}

type timerQueue []*timer

func (q timerQueue) Len() int { return len(q) }
func (q timerQueue) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].id < q[j].id
}
func (q timerQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *timerQueue) Push(x any)   { *q = append(*q, x.(*timer)) }
func (q *timerQueue) Pop() any {
	old := *q
	t := old[len(old)-1]
	*q = old[:len(old)-1]
	return t
}

type timers struct {
	c     *Canister
	byID  map[TimerID]*timer
	queue timerQueue
	last  TimerID
	armed uint64
}

func (s *timers) set(d time.Duration, every uint64, fn func()) TimerID {
	if s.byID == nil {
		s.byID = map[TimerID]*timer{}
	}
	s.last++
	t := &timer{id: s.last, at: s.c.Time() + uint64(max(d, 0)), every: every, fn: fn}
	s.byID[t.id] = t
	heap.Push(&s.queue, t)
	s.arm()
	return t.id
}

func (s *timers) arm() {
	var at uint64
	if len(s.queue) > 0 {
		at = max(s.queue[0].at, 1) // 0 would disarm
	}
	if at != s.armed {
		s.armed = at
		s.c.sys.SetGlobalTimer(at)
	}
}

// fire runs as the system's global timer: it sends one self-call for each timer that is due.
func (s *timers) fire() {
	s.armed = 0 // the system disarms before it runs the timer
	now := s.c.Time()
	for len(s.queue) > 0 && s.queue[0].at <= now {
		t := heap.Pop(&s.queue).(*timer)
		if s.byID[t.id] != t {
			continue
		}
		done := func() {
			if s.byID[t.id] != t {
				return // cancelled meanwhile
			}
			if t.every == 0 {
				delete(s.byID, t.id)
				return
			}
			t.at = s.c.Time() + t.every
			heap.Push(&s.queue, t)
			s.arm()
		}
		sending, sent := true, true
		s.c.CallRaw(s.c.Self(), timerMethod, binary.BigEndian.AppendUint64(nil, uint64(t.id))).Then(
			func([]byte) { done() },
			func(e *RejectError) {
				if sending {
					sent = false
					return
				}
				s.c.Print("timer %d: %v", t.id, e)
				done()
			})
		sending = false
		if !sent {
			t.at = now + retryTimer
			heap.Push(&s.queue, t)
		}
	}
	s.arm()
}

// execute is the hidden method: it runs one timer on behalf of fire.
func (s *timers) execute(m *Msg) {
	arg := s.c.Arg()
	if m.Caller() != s.c.Self() || len(arg) != 8 {
		s.c.Trap("cdk: %s is internal", timerMethod)
	}
	if t := s.byID[TimerID(binary.BigEndian.Uint64(arg))]; t != nil {
		t.fn()
	}
	m.Reply(nil)
}
