package ledger

// Waits between attempts at a task that failed, ns.
const (
	firstWait = uint64(2e9)
	mostWait  = uint64(3600e9)
)

// Schedule remembers which tasks are under way and when a failed one may run again. It is on the heap: a new instance begins all tasks anew, which is
// harmless because tasks are idempotent.
type Schedule[T comparable] struct {
	running   map[T]bool
	notBefore map[T]uint64
	tries     map[T]uint
	most      uint64
}

// NewSchedule makes an empty schedule. A task that keeps failing waits for at most the given time, in ns (0: one hour).
func NewSchedule[T comparable](most uint64) *Schedule[T] {
	if most == 0 {
		most = mostWait
	}
	return &Schedule[T]{running: map[T]bool{}, notBefore: map[T]uint64{}, tries: map[T]uint{}, most: most}
}

// Ready reports whether a task may start.
func (s *Schedule[T]) Ready(t T, now uint64) bool { return !s.running[t] && now >= s.notBefore[t] }

// Running reports whether a task is under way.
func (s *Schedule[T]) Running(t T) bool { return s.running[t] }

// Start notes that a task is under way.
func (s *Schedule[T]) Start(t T) { s.running[t] = true }

// Stop notes that it no longer is.
func (s *Schedule[T]) Stop(t T) { delete(s.running, t) }

// Settle notes the end of an attempt: after a failed one the task waits, longer each time, before it runs again.
func (s *Schedule[T]) Settle(t T, ok bool, now uint64) {
	delete(s.running, t)
	if ok {
		s.Forget(t)
		return
	}
	wait := min(firstWait<<min(s.tries[t], 12), s.most)
	s.tries[t]++
	s.notBefore[t] = now + wait
}

// Defer lets a task wait until a time.
func (s *Schedule[T]) Defer(t T, until uint64) { s.notBefore[t] = until }

// Forget drops what is known about failures of a task.
func (s *Schedule[T]) Forget(t T) {
	delete(s.notBefore, t)
	delete(s.tries, t)
}

// ForgetAll is Forget for all tasks that match.
func (s *Schedule[T]) ForgetAll(match func(T) bool) {
	for t := range s.notBefore {
		if match(t) {
			s.Forget(t)
		}
	}
}
