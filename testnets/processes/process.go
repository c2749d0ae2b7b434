package processes

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// Process is a program that runs.
type Process struct {
	cmd  *exec.Cmd
	log  string
	done chan struct{} // closed when it ended
	err  error         // then
}

// Spawn starts a program whose output is appended to a log. Env is added to this process's environment.
func Spawn(log string, env []string, bin string, args ...string) (*Process, error) {
	f, err := os.OpenFile(log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	p := &Process{cmd: exec.Command(bin, args...), log: log, done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = f, f
	p.cmd.Env = append(os.Environ(), env...)
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// Ended says how the process ended: nil while it runs, otherwise an error, also for exit code 0.
func (p *Process) Ended() error {
	select {
	case <-p.done:
	default:
		return nil
	}
	if p.err == nil {
		return errors.New("exit code 0")
	}
	return p.err
}

// Clean tells whether the process ended with exit code 0.
func (p *Process) Clean() bool { return p.Ended() != nil && p.err == nil }

// Signal sends a signal to a process that runs.
func (p *Process) Signal(sig syscall.Signal) error {
	if err := p.Ended(); err != nil {
		return fmt.Errorf("process %d has ended: %w", p.cmd.Process.Pid, err)
	}
	return p.cmd.Process.Signal(sig)
}

// grace is how long a process has to end after a signal, on a busy machine.
const grace = 60 * time.Second

// End sends a signal and waits for the end, with SIGKILL after a grace period. A process that has ended stays as it is.
func (p *Process) End(sig syscall.Signal) error {
	if p.Ended() != nil {
		return nil
	}
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return p.await(sig.String())
}

func (p *Process) await(what string) error {
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.done:
		return nil
	case <-timer.C:
		_ = p.cmd.Process.Kill() // it may have ended just now
		<-p.done
		return fmt.Errorf("process %d did not end within %v of %s; see %s", p.cmd.Process.Pid, grace, what, p.log)
	}
}

// Resident is the memory that the process has in RAM, in bytes.
func (p *Process) Resident() (uint64, error) { return Resident(p.cmd.Process.Pid) }

// Resident is the memory that a process has in RAM, in bytes.
func Resident(pid int) (uint64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, fmt.Errorf("reading the resident memory: %w", err)
	}
	var size, pages uint64
	if _, err := fmt.Sscan(string(b), &size, &pages); err != nil {
		return 0, fmt.Errorf("reading the resident memory: %w", err)
	}
	return pages * uint64(os.Getpagesize()), nil
}
