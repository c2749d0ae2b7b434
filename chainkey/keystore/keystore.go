package keystore

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"filippo.io/age"
	"golang.org/x/sys/unix"

	"fusion/chainkey"
	"fusion/internal/codec"
	"fusion/internal/durable"
)

var (
	// ErrNotFound says that there is no such item.
	ErrNotFound = errors.New("not in the key store")
	// ErrJoined says that a session was joined before, perhaps before a crash.
	ErrJoined = errors.New("session was joined before")
	// ErrUnsealed says that secrets would lie, or lie, in plain text where that is not allowed.
	ErrUnsealed = errors.New("key store is not sealed")
	// ErrPermissions says that others can read the store or its key.
	ErrPermissions = errors.New("permissions are too open")
	// ErrInUse says that another process holds the store.
	ErrInUse = errors.New("key store is in use by another process")
	// ErrDamaged says that an item cannot be opened.
	ErrDamaged = errors.New("damaged item in the key store")
)

// Options say where a store is and how it is sealed.
type Options struct {
	Dir string
	// IdentityFile names a file with one age identity (AGE-SECRET-KEY-1…, as age-keygen writes it), outside Dir.
	IdentityFile string
	// SealCommand is a program and its arguments that keeps the store's own age identity, instead of a file: for TPM, systemd-creds or a
	// KMS. Package comment, "Commands", has the protocol.
	SealCommand []string
	// SealTimeout bounds one run of the command. The default is a minute.
	SealTimeout time.Duration
	// AllowPlain accepts a store without an identity. It is for networks of class local.
	AllowPlain bool
	// ReadOnly opens an existing store for reading shares, also while another process holds it.
	ReadOnly bool
	// FS is what the store writes through. The default is the operating system's.
	FS durable.FS
}

// Generation names a share.
type Generation struct {
	Key     string
	Epoch   uint64
	Attempt uint32
}

func (g Generation) String() string {
	return fmt.Sprintf("key %s, epoch %d, attempt %d", g.Key, g.Epoch, g.Attempt)
}

const (
	sharePrefix  = "share-"
	paramsPrefix = "params-"
)

func (g Generation) name() string {
	return fmt.Sprintf("%s%s-%d-%d", sharePrefix, hex.EncodeToString([]byte(g.Key)), g.Epoch, g.Attempt)
}

// Store is an open key store. Its methods may be called concurrently.
type Store struct {
	dir       string
	fs        durable.FS
	recipient age.Recipient
	identity  age.Identity

	mu     sync.Mutex
	lock   *os.File
	log    *durable.Journal // nil when closed
	joined map[[32]byte]bool
	bonds  *durable.Journal // nil when closed
	bound  map[[32]byte][32]byte
}

// Open opens or makes a store.
func Open(o Options) (*Store, error) {
	s := &Store{dir: o.Dir, fs: o.FS, joined: map[[32]byte]bool{}, bound: map[[32]byte][32]byte{}}
	if s.fs == nil {
		s.fs = durable.OS{}
	}
	err := s.start(o)
	if err != nil {
		_ = s.Close()
		return nil, fmt.Errorf("key store %s: %w", o.Dir, err)
	}
	return s, nil
}

func (s *Store) start(o Options) error {
	switch {
	case o.IdentityFile != "" && len(o.SealCommand) > 0:
		return fmt.Errorf("%w: an identity file and a command are both named; one of them seals the store", ErrUnsealed)
	case o.IdentityFile != "":
		if err := s.seal(o); err != nil {
			return err
		}
	case len(o.SealCommand) == 0 && !o.AllowPlain:
		return fmt.Errorf("%w: name an age identity file or a command", ErrUnsealed)
	}
	if o.ReadOnly {
		if err := private(s.dir); err != nil {
			return err
		}
	} else if err := s.open(); err != nil {
		return err
	}
	if len(o.SealCommand) > 0 {
		return s.unwrap(o)
	}
	return nil
}

// CheckSealing refuses an identity file or a command that a store could not be opened with. It runs nothing and changes nothing.
func CheckSealing(o Options) error {
	switch {
	case o.IdentityFile != "" && len(o.SealCommand) > 0:
		return fmt.Errorf("%w: an identity file and a command are both named; one of them seals the store", ErrUnsealed)
	case len(o.SealCommand) > 0:
		return checkCommand(o.SealCommand)
	case o.IdentityFile != "":
		return (&Store{}).seal(o)
	}
	return nil
}

func (s *Store) seal(o Options) error {
	dir, err := resolve(o.Dir)
	if err != nil {
		return err
	}
	file, err := resolve(o.IdentityFile)
	if err != nil {
		return err
	}
	if rel, err := filepath.Rel(dir, file); err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
		return fmt.Errorf("%w: the identity file %s lies in the store that it seals", ErrUnsealed, o.IdentityFile)
	}
	x, err := readIdentity(o.IdentityFile)
	if err != nil {
		return err
	}
	s.identity, s.recipient = x, x.Recipient()
	return nil
}

// resolve follows symbolic links, also where the last element does not exist yet.
func resolve(p string) (string, error) {
	p, err := filepath.Abs(p)
	if err != nil {
		return "", err
	}
	if real, err := filepath.EvalSymlinks(p); err == nil {
		return real, nil
	}
	parent, err := filepath.EvalSymlinks(filepath.Dir(p))
	if err != nil {
		return p, nil //nolint:nilerr // nothing of the path exists, so no link leads elsewhere
	}
	return filepath.Join(parent, filepath.Base(p)), nil
}

// private refuses what group or others can read, or another user owns.
func private(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	return privateInfo(path, info)
}

func privateInfo(path string, info fs.FileInfo) error {
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%w: %s has mode %#o, want no access for group and others", ErrPermissions, path, info.Mode().Perm())
	}
	return owned(path, info)
}

// owned refuses what belongs to a user who is neither this one nor root.
func owned(path string, info fs.FileInfo) error {
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("%w: %s belongs to user %d", ErrPermissions, path, st.Uid)
	}
	return nil
}

func (s *Store) open() error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	if err := private(s.dir); err != nil {
		return err
	}
	var err error
	if s.lock, err = os.OpenFile(filepath.Join(s.dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return err
	}
	if err := unix.Flock(int(s.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return ErrInUse
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := e.Name()
		if strings.HasSuffix(name, durable.Unfinished) { // a write that a crash interrupted: the item was not promised to anybody
			if err := os.Remove(filepath.Join(s.dir, name)); err != nil {
				return err
			}
			continue
		}
		path := filepath.Join(s.dir, name)
		if e.Type()&fs.ModeSymlink != 0 {
			return fmt.Errorf("%w: %s is a symbolic link", ErrPermissions, path)
		}
		if err := private(path); err != nil {
			return err
		}
	}
	if err := s.openLog(); err != nil {
		return err
	}
	return s.openBonds()
}

// The join log is records of a session id and its CRC-32C.
const (
	recordSize = 32 + 4
	// keepJoined is how many old markers survive an Open. Session ids contain the boot's incarnation, so markers of earlier
	// boots guard only against a machine restored with its old memory; a few thousand cover all attempts that could be open.
	keepJoined = 1 << 16
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (s *Store) openLog() error {
	good, err := s.journal("joined", recordSize, keepJoined)
	if err != nil {
		return err
	}
	for i := 0; i < len(good); i += recordSize {
		s.joined[[32]byte(good[i:])] = true
	}
	s.log, err = durable.OpenJournal(s.fs, filepath.Join(s.dir, "joined"))
	return err
}

// journal reads records that end in their CRC-32C, and rewrites the file with the newest of them. Torn last records belong to a call
// that never returned.
func (s *Store) journal(name string, size, keep int) ([]byte, error) {
	b, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	sound := func(r []byte) bool {
		return binary.BigEndian.Uint32(r[size-4:]) == crc32.Checksum(r[:size-4], castagnoli)
	}
	var good []byte
	for torn := false; len(b) >= size; b = b[size:] {
		switch r := b[:size]; {
		case !sound(r):
			torn = true
		case torn:
			return nil, fmt.Errorf("%w: %s, byte %d", ErrDamaged, name, len(good))
		default:
			good = append(good, r...)
		}
	}
	if extra := len(good) - keep*size; extra > 0 {
		good = good[extra:]
	}
	return good, s.replace(name, good)
}

// Close releases the store.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	if s.log != nil {
		errs = append(errs, s.log.Close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	if s.bonds != nil {
		errs = append(errs, s.bonds.Close())
	}
	s.log, s.bonds, s.lock = nil, nil, nil
	return errors.Join(errs...)
}

// Join notes, durably, that a session is about to be joined. It returns ErrJoined if that was noted before. After any other error the store takes no more
// sessions until it is opened again.
func (s *Store) Join(session [32]byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.log == nil {
		return fmt.Errorf("joining a session: %w", fs.ErrClosed)
	}
	if s.joined[session] {
		return fmt.Errorf("%w: %x", ErrJoined, session[:8])
	}
	s.joined[session] = true // also when the write fails: then it may or may not have reached the disk
	record := binary.BigEndian.AppendUint32(bytes.Clone(session[:]), crc32.Checksum(session[:], castagnoli))
	if err := s.log.Append(record); err != nil {
		return fmt.Errorf("joining a session, in %s: %w; make room on the disk or replace it, then start again", s.dir, err)
	}
	return nil
}

// PutShare stores a share of the given scheme. It never replaces one.
func (s *Store) PutShare(g Generation, scheme string, share chainkey.Secret) error {
	if _, err := os.Stat(filepath.Join(s.dir, g.name())); err == nil {
		return fmt.Errorf("storing the share of %v: %w", g, fs.ErrExist)
	}
	if err := s.put(g.name(), scheme, share); err != nil {
		return fmt.Errorf("storing the share of %v: %w", g, err)
	}
	return nil
}

// Share returns a share and its scheme's name. The caller wipes it.
func (s *Store) Share(g Generation) (scheme string, share chainkey.Secret, err error) {
	if scheme, share, err = s.get(g.name()); err != nil {
		return "", nil, fmt.Errorf("share of %v: %w", g, err)
	}
	return scheme, share, nil
}

// Shares lists the generations that there are shares of, by key, epoch and attempt.
func (s *Store) Shares() ([]Generation, error) { return s.list(sharePrefix, Generation.name) }

// ParamsList lists the generations that there are parameters for, in the same order.
func (s *Store) ParamsList() ([]Generation, error) { return s.list(paramsPrefix, paramsName) }

func (s *Store) list(prefix string, file func(Generation) string) ([]Generation, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	var list []Generation
	for _, e := range entries {
		var g Generation
		rest, ok := strings.CutPrefix(e.Name(), prefix)
		key, numbers, ok2 := strings.Cut(rest, "-")
		name, err := hex.DecodeString(key)
		if !ok || !ok2 || err != nil {
			continue
		}
		_, _ = fmt.Sscanf(numbers, "%d-%d", &g.Epoch, &g.Attempt) // parameters have no attempt; what is not read makes another name
		if g.Key = string(name); file(g) == e.Name() {
			list = append(list, g)
		}
	}
	slices.SortFunc(list, func(a, b Generation) int {
		return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.Attempt, b.Attempt))
	})
	return list, nil
}

// WipeShare overwrites and removes a share. A share that does not exist is no error.
func (s *Store) WipeShare(g Generation) error { return s.wipe(g.name()) }

// PutParams stores secret parameters for a coming key generation.
func (s *Store) PutParams(g Generation, params chainkey.Secret) error {
	if err := s.put(paramsName(g), "", params); err != nil {
		return fmt.Errorf("storing parameters for %v: %w", g, err)
	}
	return nil
}

// Params returns the parameters for a key generation. They serve all attempts of an epoch. The caller wipes them.
func (s *Store) Params(g Generation) (chainkey.Secret, error) {
	_, params, err := s.get(paramsName(g))
	if err != nil {
		return nil, fmt.Errorf("parameters for %v: %w", g, err)
	}
	return params, nil
}

// WipeParams overwrites and removes parameters.
func (s *Store) WipeParams(g Generation) error { return s.wipe(paramsName(g)) }

func paramsName(g Generation) string {
	return fmt.Sprintf("%s%s-%d", paramsPrefix, hex.EncodeToString([]byte(g.Key)), g.Epoch)
}

// item is what is sealed.
type item struct {
	_      struct{} `cbor:",toarray"`
	Name   string
	Scheme string
	Secret []byte
}

// The first byte of a file.
const (
	plain  byte = 'p'
	sealed byte = 's'
)

// maxItem bounds a file, in bytes: a share of 40 members has 45 kB.
const maxItem = 1 << 20

func (s *Store) put(name, scheme string, secret chainkey.Secret) error {
	content := codec.Marshal(item{Name: name, Scheme: scheme, Secret: secret})
	defer clear(content)
	var out bytes.Buffer
	if s.recipient == nil {
		out.WriteByte(plain)
		out.Write(content)
		defer func() { clear(out.Bytes()) }()
	} else {
		out.WriteByte(sealed)
		w, err := age.Encrypt(&out, s.recipient)
		if err != nil {
			return err
		}
		if _, err := w.Write(content); err != nil {
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lock == nil {
		return fs.ErrClosed
	}
	return s.replace(name, out.Bytes())
}

// replace writes a file so that after a crash it has its old content or its new.
func (s *Store) replace(name string, content []byte) error {
	return durable.Replace(s.fs, filepath.Join(s.dir, name), content, 0o600)
}

func (s *Store) get(name string) (string, chainkey.Secret, error) {
	b, err := s.readFile(name, maxItem)
	if err != nil {
		return "", nil, err
	}
	defer clear(b)
	content := b[1:]
	switch {
	case b[0] == plain && s.identity == nil:
	case b[0] == plain:
		return "", nil, fmt.Errorf("%w: %s lies in plain text in a store that has an identity", ErrUnsealed, name)
	case b[0] == sealed && s.identity != nil:
		r, err := age.Decrypt(bytes.NewReader(content), s.identity)
		if err != nil {
			return "", nil, fmt.Errorf("%w: %s: %w", ErrDamaged, name, err)
		}
		opened, err := io.ReadAll(io.LimitReader(r, maxItem))
		if err != nil {
			return "", nil, fmt.Errorf("%w: %s: %w", ErrDamaged, name, err)
		}
		defer clear(opened)
		content = opened
	case b[0] == sealed:
		return "", nil, fmt.Errorf("%s is sealed, but neither an identity file nor a command was named", name)
	default:
		return "", nil, fmt.Errorf("%w: %s is of an unknown form", ErrDamaged, name)
	}
	var it item
	if err := codec.Unmarshal(content, &it); err != nil {
		return "", nil, fmt.Errorf("%w: %s", ErrDamaged, name) // the decoder's error could quote the secret
	}
	if it.Name != name {
		clear(it.Secret)
		return "", nil, fmt.Errorf("%w: %s holds %s", ErrDamaged, name, it.Name)
	}
	return it.Scheme, it.Secret, nil
}

func (s *Store) wipe(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lock == nil {
		return fmt.Errorf("wiping %s: %w", name, fs.ErrClosed)
	}
	path := filepath.Join(s.dir, name)
	f, err := os.OpenFile(path, os.O_WRONLY|unix.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("wiping %s: %w", name, err)
	}
	info, err := f.Stat()
	if err == nil {
		_, err = f.Write(make([]byte, info.Size()))
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close(), os.Remove(path), s.fs.SyncDir(s.dir)); err != nil {
		return fmt.Errorf("wiping %s: %w", name, err)
	}
	return nil
}
