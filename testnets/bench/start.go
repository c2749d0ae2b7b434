package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"fusion/internal/pause"
	"fusion/testnets"
	"fusion/testnets/processes"
)

// idle is how long a network is left alone before its memory is looked at.
const idle = 3 * time.Second

// idleSample is how long its cost is measured: some thirty blocks.
const idleSample = 10 * time.Second

// start measures `fusion up` in processes of its own: on a fresh directory, and again on what that left.
func (s *suite) start(ctx context.Context) error {
	if s.Program == "" {
		return errors.New("there is no program to start")
	}
	if _, err := testnets.Load(s.dir); !errors.Is(err, testnets.ErrNoNetwork) {
		return errors.Join(fmt.Errorf("a cold start needs a fresh directory, and %s holds a network", s.dir), err)
	}
	for _, m := range []struct {
		name   string
		target float64
	}{{"cold_start_s", coldTarget}, {"warm_start_s", warmTarget}} {
		s.Progress.Begin(m.name)
		up, err := s.up(ctx)
		if err != nil {
			return err
		}
		s.add(m.name, up.took.Seconds(), "s", "our aim", m.target)
		if m.name == "warm_start_s" {
			s.Progress.Begin("rss_mib")
			if err := pause.For(ctx, idle); err != nil {
				return errors.Join(err, up.stop())
			}
			rss, err := processes.Resident(up.cmd.Process.Pid)
			if err != nil {
				return errors.Join(err, up.stop())
			}
			s.add("rss_mib", float64(rss)/(1<<20), "MiB", "", 0)
			if err := s.idle(ctx, up.cmd.Process.Pid); err != nil {
				return errors.Join(err, up.stop())
			}
		}
		if err := up.stop(); err != nil {
			return err
		}
	}
	return nil
}

// idle measures what four replicas cost that nobody asks for anything.
func (s *suite) idle(ctx context.Context, pid int) error {
	admin, err := testnets.DialAdmin(s.dir)
	if err != nil {
		return err
	}
	type sample struct {
		at      time.Time
		cpu     time.Duration
		written uint64
		height  uint64
	}
	take := func() (v sample, err error) {
		status, err := admin.Status(ctx)
		if err != nil {
			return v, err
		}
		if len(status.Replicas) == 0 {
			return v, errors.New("no replica runs")
		}
		v.at, v.height = time.Now(), status.Replicas[0].Height
		if v.cpu, err = processCPU(pid); err != nil {
			return v, err
		}
		v.written, err = written(pid)
		return v, err
	}
	s.Progress.Begin("idle")
	before, err := take()
	if err != nil {
		return err
	}
	if err := pause.For(ctx, idleSample); err != nil {
		return err
	}
	after, err := take()
	if err != nil {
		return err
	}
	seconds, cpu, blocks := after.at.Sub(before.at).Seconds(), (after.cpu - before.cpu).Seconds(), float64(after.height-before.height)
	s.add("idle_cpu_percent", 100*cpu/seconds, "% of a core", "", 0)
	s.add("idle_cpu_s_per_minute", 60*cpu/seconds, "CPU-s", "", 0)
	s.add("idle_blocks_per_minute", 60*blocks/seconds, "blocks", "", 0)
	if blocks > 0 {
		s.add("idle_kib_per_block", float64(after.written-before.written)/1024/blocks, "KiB written", "", 0)
	}
	return nil
}

// written is what a process has had written to disks, in bytes.
func written(pid int) (uint64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
	if err != nil {
		return 0, fmt.Errorf("reading what was written: %w", err)
	}
	for line := range strings.Lines(string(b)) {
		if value, ok := strings.CutPrefix(line, "write_bytes: "); ok {
			return strconv.ParseUint(strings.TrimSpace(value), 10, 64)
		}
	}
	return 0, errors.New("reading what was written: /proc has another form")
}

// process is a running `fusion up`.
type process struct {
	cmd  *exec.Cmd
	took time.Duration // until it said that it is ready
	out  *io.PipeReader
	errs *tail
}

// up starts `fusion up` and waits until it says that it is ready.
func (s *suite) up(ctx context.Context) (*process, error) {
	p := &process{cmd: exec.Command(s.Program, "up", "--data-dir", s.dir, "--http", "127.0.0.1:0"), errs: &tail{note: s.Progress.Note}}
	out, in := io.Pipe()
	p.out, p.cmd.Stdout, p.cmd.Stderr = out, in, p.errs
	began := time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", s.Program, err)
	}
	ended := context.AfterFunc(ctx, func() { out.CloseWithError(ctx.Err()) })
	defer ended()
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "ready after ") {
			p.took = time.Since(began)
			go func() { _, _ = io.Copy(io.Discard, out) }() // ends with the process
			return p, nil
		}
	}
	return nil, errors.Join(fmt.Errorf("%s up ended before it was ready: %s", s.Program, p.errs.last()), lines.Err(), p.stop())
}

func (p *process) stop() error {
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	err := p.cmd.Wait()
	p.out.Close()
	if err != nil {
		return fmt.Errorf("fusion up: %w: %s", err, p.errs.last())
	}
	return nil
}

// tail keeps and shows the last line that was written to it.
type tail struct {
	note func(format string, args ...any)
	rest []byte
	line string
}

func (t *tail) Write(p []byte) (int, error) {
	t.rest = append(t.rest, p...)
	for {
		i := bytes.IndexByte(t.rest, '\n')
		if i < 0 {
			return len(p), nil
		}
		if l := strings.Join(strings.Fields(string(t.rest[:i])), " "); l != "" {
			t.line = l
			t.note("%s", l)
		}
		t.rest = t.rest[i+1:]
	}
}

// last is for after the process ended.
func (t *tail) last() string { return t.line }

// tick is the unit of processor time in /proc, which Linux fixes for all user programs (USER_HZ).
const tick = 10 * time.Millisecond

// processCPU is the processor time that a process has used.
func processCPU(pid int) (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("reading the processor time: %w", err)
	}
	// The name of the program, in parentheses, may hold anything; utime and stime are the 12th and 13th field after it.
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(f) < 13 {
		return 0, errors.New("reading the processor time: /proc has another form")
	}
	var sum time.Duration
	for _, s := range f[11:13] {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("reading the processor time: %w", err)
		}
		sum += time.Duration(n) * tick
	}
	return sum, nil
}

// ownCPU is the processor time that this process has used.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // the arguments are right
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
