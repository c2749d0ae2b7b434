package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// phases prints the phases of something long: on a terminal with a line that moves, elsewhere a line per phase and a sign of
// life every few seconds. It implements testnets.Progress.
type phases struct {
	w     io.Writer
	tty   bool
	mu    sync.Mutex
	name  string
	note  string
	since time.Time
	shown time.Time
	stop  chan struct{}
	done  sync.WaitGroup
}

// Signs of life: often on a terminal, rarely in a log. Nothing takes longer than two seconds without one.
const (
	ttyTick = 100 * time.Millisecond
	logTick = 2 * time.Second
)

func newPhases(w *os.File) *phases {
	st, err := w.Stat()
	p := &phases{w: w, tty: err == nil && st.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb", stop: make(chan struct{})}
	p.done.Go(p.tick)
	return p
}

func (p *phases) tick() {
	every := logTick / 4
	if p.tty {
		every = ttyTick
	}
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-t.C:
			p.mu.Lock()
			if p.name != "" {
				if p.tty {
					p.line("⋯", p.note, "")
				} else if time.Since(p.shown) >= logTick {
					p.line("…", p.note, "\n")
				}
			}
			p.mu.Unlock()
		}
	}
}

func (p *phases) line(mark, note, end string) {
	p.shown = time.Now()
	clear := ""
	if p.tty {
		clear = "\r\x1b[K"
		if max := ttyWidth - 50; end == "" && len(note) > max { // a moving line must not wrap
			note = note[:max-1] + "…"
		}
	}
	fmt.Fprintf(p.w, "%s  %s %-34s %6.1fs  %s%s", clear, mark, p.name, time.Since(p.since).Seconds(), note, end)
}

// ttyWidth is the narrowest terminal that we reckon with.
const ttyWidth = 110

// Begin starts a phase and ends the one before.
func (p *phases) Begin(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.end("")
	p.name, p.note, p.since, p.shown = name, "", time.Now(), time.Now()
}

// Note says how far the phase is.
func (p *phases) Note(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.note = fmt.Sprintf(format, args...)
}

// Done ends the phase.
func (p *phases) Done(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.end(fmt.Sprintf(format, args...))
}

func (p *phases) end(note string) {
	if p.name != "" {
		p.line("✓", note, "\n")
		p.name = ""
	}
}

// Close ends the display; a phase that was not done is shown as failed. It may be called more than once.
func (p *phases) Close() {
	p.mu.Lock()
	select {
	case <-p.stop:
	default:
		close(p.stop)
	}
	p.mu.Unlock()
	p.done.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.name != "" {
		p.line("✗", p.note, "\n")
		p.name = ""
	}
}

// event is a line on the pipe between a detached process and the one that waits until it is ready. Exactly one of the last two
// fields is set in the last event.
type event struct {
	Phase string   `json:"phase,omitempty"` // begins
	Note  string   `json:"note,omitempty"`
	Done  *string  `json:"done,omitempty"`
	Ready *ready   `json:"ready,omitempty"`
	Error *failure `json:"error,omitempty"`
}

// events sends phases over a pipe. The reader may be gone: a network goes on without an audience.
type events struct {
	mu   sync.Mutex
	enc  *json.Encoder
	note string
}

func newEvents(w io.Writer) *events { return &events{enc: json.NewEncoder(w)} }

func (e *events) send(v event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	_ = e.enc.Encode(v)
}

// Begin implements testnets.Progress.
func (e *events) Begin(name string) { e.send(event{Phase: name}) }

// Note implements testnets.Progress; repetitions are not sent.
func (e *events) Note(format string, args ...any) {
	note := fmt.Sprintf(format, args...)
	e.mu.Lock()
	defer e.mu.Unlock()
	if note != e.note {
		e.note = note
		_ = e.enc.Encode(event{Note: note})
	}
}

// Done implements testnets.Progress.
func (e *events) Done(format string, args ...any) {
	note := fmt.Sprintf(format, args...)
	e.send(event{Done: &note})
}

// play shows events until the last one.
func play(r io.Reader, p *phases) (*ready, error) {
	dec := json.NewDecoder(r)
	for {
		var e event
		if err := dec.Decode(&e); err != nil {
			return nil, errDied
		}
		switch {
		case e.Ready != nil:
			return e.Ready, nil
		case e.Error != nil:
			return nil, e.Error.asError()
		case e.Phase != "":
			p.Begin(e.Phase)
		case e.Done != nil:
			p.Done("%s", *e.Done)
		default:
			p.Note("%s", e.Note)
		}
	}
}
