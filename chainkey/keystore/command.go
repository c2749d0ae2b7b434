package keystore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"filippo.io/age"
	"golang.org/x/sys/unix"

	"fusion/chainkey"
)

// ErrSealCommand says that the command that seals the store failed.
var ErrSealCommand = errors.New("the command that seals the key store failed")

const (
	// sealedIdentity holds the store's own key as the command sealed it.
	sealedIdentity = "identity.sealed"
	// What a command may answer, in bytes. A sealed key has some hundred; a KMS adds a few kilobytes at most.
	maxSealed = 64 << 10
	// maxComplaint bounds what of a command's standard error is shown.
	maxComplaint = 1 << 10
	// defaultSealTimeout bounds one call; a KMS in another country answers within seconds, somebody who touches a token within a minute.
	defaultSealTimeout = time.Minute
)

// checkCommand refuses a command that others could replace.
func checkCommand(argv []string) error {
	if !filepath.IsAbs(argv[0]) {
		return fmt.Errorf("%w: %s is no absolute path", ErrSealCommand, argv[0])
	}
	info, err := os.Stat(argv[0])
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSealCommand, err)
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0 {
		return fmt.Errorf("%w: %s is not executable", ErrSealCommand, argv[0])
	}
	if info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%w: %s has mode %#o: group or others could replace the command that sees the store's key", ErrPermissions, argv[0], info.Mode().Perm())
	}
	return owned(argv[0], info)
}

// unwrap gets the store's own key by the command, after making it in a new store.
func (s *Store) unwrap(o Options) error {
	if err := checkCommand(o.SealCommand); err != nil {
		return err
	}
	path := filepath.Join(s.dir, sealedIdentity)
	blob, err := s.readFile(sealedIdentity, maxSealed)
	if errors.Is(err, ErrNotFound) {
		if o.ReadOnly {
			return fmt.Errorf("%s: %w", path, ErrNotFound)
		}
		if err := s.unused(); err != nil {
			return err
		}
		return s.wrap(o)
	}
	if err != nil {
		return err
	}
	text, err := o.runSeal("unseal", blob)
	if err != nil {
		return err
	}
	defer text.Wipe()
	return s.setIdentity(text)
}

// unused says whether there is nothing in the store yet that some key sealed.
func (s *Store) unused() error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), sharePrefix) || strings.HasPrefix(e.Name(), paramsPrefix) {
			return fmt.Errorf("%w: there is no %s, but %s, which was sealed otherwise; move it away and restore a backup", ErrUnsealed, sealedIdentity, e.Name())
		}
	}
	return nil
}

// wrap makes the store's own key. It is used only after the command has given it back once.
func (s *Store) wrap(o Options) error {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return fmt.Errorf("making the key of the store: %w", err)
	}
	text := chainkey.Secret(id.String())
	defer text.Wipe()
	blob, err := o.runSeal("seal", text)
	if err != nil {
		return err
	}
	if len(blob) == 0 || bytes.Contains(blob, text) {
		return fmt.Errorf("%w: seal answered %d bytes that hide nothing", ErrSealCommand, len(blob))
	}
	again, err := o.runSeal("unseal", blob)
	if err != nil {
		return err
	}
	defer again.Wipe()
	if !bytes.Equal(bytes.TrimSpace(again), text) {
		return fmt.Errorf("%w: unseal does not give back what was sealed", ErrSealCommand)
	}
	if err := s.replace(sealedIdentity, blob); err != nil {
		return err
	}
	return s.setIdentity(text)
}

func (s *Store) setIdentity(text chainkey.Secret) error {
	id, err := age.ParseX25519Identity(string(bytes.TrimSpace(text)))
	if err != nil {
		return fmt.Errorf("%w: unseal answered no key of a store", ErrSealCommand) // the parser's error may quote it
	}
	s.identity, s.recipient = id, id.Recipient()
	return nil
}

// runSeal runs the command with a verb: input on standard input, the answer on standard output. Nothing secret is in its arguments or environment.
func (o Options) runSeal(verb string, input []byte) (chainkey.Secret, error) {
	limit := o.SealTimeout
	if limit <= 0 {
		limit = defaultSealTimeout
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	out, complaint := &capped{most: maxSealed}, &capped{most: maxComplaint, cut: true}
	cmd := exec.CommandContext(ctx, o.SealCommand[0], append(o.SealCommand[1:len(o.SealCommand):len(o.SealCommand)], verb)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(input), out, complaint
	cmd.Dir = "/"
	// A group of its own, so that its children end with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	if out.full { // it may have been ended by that
		err = errTooMuch
	}
	if err != nil {
		defer clear(out.b)
		why := strings.TrimSpace(string(complaint.b))
		if secret := bytes.TrimSpace(input); verb == "seal" && bytes.Contains(complaint.b, secret) || verb == "unseal" && bytes.Contains(complaint.b, []byte("AGE-SECRET-KEY-")) {
			why = "(what it said is withheld: it contains the secret)"
		}
		if ctx.Err() != nil {
			err = fmt.Errorf("no answer within %s", limit)
		}
		return nil, fmt.Errorf("%w: %s %s: %w: %q", ErrSealCommand, o.SealCommand[0], verb, err, why)
	}
	return out.b, nil
}

var errTooMuch = fmt.Errorf("it answers more than %d bytes", maxSealed)

// capped keeps the beginning of what is written to it.
type capped struct {
	b    []byte
	most int
	cut  bool // drop the rest silently
	full bool
}

func (c *capped) Write(p []byte) (int, error) {
	take := min(len(p), c.most-len(c.b))
	c.b = append(c.b, p[:take]...)
	if take < len(p) {
		c.full = true
		if !c.cut {
			return take, errTooMuch
		}
	}
	return len(p), nil
}

// readFile reads a private regular file of the store.
func (s *Store) readFile(name string, most int64) ([]byte, error) {
	path := filepath.Join(s.dir, name)
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, ErrNotFound
	case errors.Is(err, unix.ELOOP):
		return nil, fmt.Errorf("%w: %s is a symbolic link", ErrPermissions, path)
	case err != nil:
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if err := privateInfo(path, info); err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, err
	}
	if len(b) == 0 || int64(len(b)) > most {
		clear(b)
		return nil, fmt.Errorf("%w: %s has %d bytes", ErrDamaged, name, len(b))
	}
	return b, nil
}
