package keystore

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"syscall"

	"filippo.io/age"

	"fusion/chainkey"
	"fusion/internal/codec"
)

var (
	// ErrBackup says that a backup cannot be read, or is of another network or node.
	ErrBackup = errors.New("not a backup of this node's shares")
	// ErrNewer says that the store has shares that a backup would set back.
	ErrNewer = errors.New("the key store has newer shares than the backup")
)

// Origin names whose shares a backup holds: a node, by its public key, of a network, by the hash of its genesis document.
type Origin struct {
	Network [32]byte
	Node    []byte
}

// backup is what is encrypted: shares and nothing else. Join markers and parameters stay behind on purpose: what is restored must not
// know of sessions of before, and belongs to no key generation that is under way.
type backup struct {
	_       struct{} `cbor:",toarray"`
	Format  string
	Network []byte
	Node    []byte
	Shares  []backupShare
}

type backupShare struct {
	_       struct{} `cbor:",toarray"`
	Key     string
	Epoch   uint64
	Attempt uint32
	Scheme  string
	Secret  []byte
}

func (s *backupShare) generation() Generation { return Generation{s.Key, s.Epoch, s.Attempt} }

const (
	backupFormat = "fusion key backup 1"
	// A node has a handful of keys in an epoch or two; a share has up to 45 kB.
	maxBackup       = 64 << 20 // bytes
	maxBackupShares = 4096
	maxKeyName      = 100 // bytes; file names hold them in hexadecimal
)

func (b *backup) wipe() {
	for _, s := range b.Shares {
		clear(s.Secret)
	}
}

// Backup writes all shares, encrypted to an age recipient (age1…), and returns their generations.
func (s *Store) Backup(w io.Writer, recipient string, of Origin) ([]Generation, error) {
	to, err := age.ParseX25519Recipient(recipient)
	if err != nil {
		return nil, fmt.Errorf("backup: %q is no age recipient: %w", recipient, err)
	}
	list, err := s.Shares()
	if err != nil {
		return nil, fmt.Errorf("backup: %w", err)
	}
	b := backup{Format: backupFormat, Network: of.Network[:], Node: of.Node}
	defer b.wipe()
	for _, g := range list {
		scheme, share, err := s.Share(g)
		if err != nil {
			return nil, fmt.Errorf("backup: %w", err)
		}
		b.Shares = append(b.Shares, backupShare{Key: g.Key, Epoch: g.Epoch, Attempt: g.Attempt, Scheme: scheme, Secret: share})
	}
	content := codec.Marshal(b)
	defer clear(content)
	out, err := age.Encrypt(w, to)
	if err == nil {
		_, err = out.Write(content)
	}
	if err == nil {
		err = out.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("backup: %w", err)
	}
	return list, nil
}

// Restore stores the shares of a backup that this store does not have, and returns their generations. identityFile opens the backup. It
// changes nothing if the store has a newer share of one of the keys, or another of the same generation.
func (s *Store) Restore(r io.Reader, identityFile string, of Origin) (restored []Generation, err error) {
	b, err := openBackup(r, identityFile)
	if err != nil {
		return nil, fmt.Errorf("restoring shares: %w", err)
	}
	defer b.wipe()
	if !bytes.Equal(b.Network, of.Network[:]) {
		return nil, fmt.Errorf("restoring shares: %w: it is of network %x", ErrBackup, b.Network)
	}
	if !bytes.Equal(b.Node, of.Node) {
		return nil, fmt.Errorf("restoring shares: %w: it is of the node with key %x", ErrBackup, b.Node)
	}
	missing, err := s.missing(b)
	if err != nil {
		return nil, fmt.Errorf("restoring shares: %w", err)
	}
	for _, m := range missing {
		if err := s.put(m.generation().name(), m.Scheme, m.Secret); err != nil {
			return restored, fmt.Errorf("restoring the share of %v: %w", m.generation(), err)
		}
		restored = append(restored, m.generation())
	}
	return restored, nil
}

// missing are the shares of a backup that the store lacks, or has damaged.
func (s *Store) missing(b *backup) (missing []backupShare, err error) {
	newest := map[string]Generation{}
	for _, m := range b.Shares {
		if g := m.generation(); newest[g.Key].Key == "" || newest[g.Key].before(g) {
			newest[g.Key] = g
		}
	}
	list, err := s.Shares()
	if err != nil {
		return nil, err
	}
	for _, g := range list {
		if n, ok := newest[g.Key]; ok && n.before(g) {
			return nil, fmt.Errorf("%w: %v here, %v there", ErrNewer, g, n)
		}
	}
	for _, m := range b.Shares {
		g := m.generation()
		scheme, share, err := s.Share(g)
		switch {
		case err == nil:
			same := scheme == m.Scheme && bytes.Equal(share, m.Secret)
			share.Wipe()
			if !same {
				return nil, fmt.Errorf("%w: another share of %v", ErrNewer, g)
			}
		case errors.Is(err, ErrNotFound) || errors.Is(err, ErrDamaged):
			missing = append(missing, m)
		default:
			return nil, err
		}
	}
	return missing, nil
}

// before orders generations of one key.
func (g Generation) before(o Generation) bool {
	return g.Epoch < o.Epoch || g.Epoch == o.Epoch && g.Attempt < o.Attempt
}

func openBackup(r io.Reader, identityFile string) (*backup, error) {
	id, err := readIdentity(identityFile)
	if err != nil {
		return nil, err
	}
	plain, err := age.Decrypt(io.LimitReader(r, maxBackup), id)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBackup, err)
	}
	content, err := io.ReadAll(io.LimitReader(plain, maxBackup))
	defer func() { clear(content) }()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBackup, err)
	}
	return parseBackup(content)
}

func parseBackup(content []byte) (*backup, error) {
	var b backup
	if err := codec.Unmarshal(content, &b); err != nil {
		return nil, fmt.Errorf("%w: it is damaged", ErrBackup) // the decoder's error could quote a secret
	}
	if b.Format != backupFormat {
		return nil, fmt.Errorf("%w: its format is %q, want %q", ErrBackup, b.Format[:min(len(b.Format), 40)], backupFormat)
	}
	if len(b.Shares) > maxBackupShares {
		return nil, fmt.Errorf("%w: %d shares", ErrBackup, len(b.Shares))
	}
	seen := map[Generation]bool{}
	for _, s := range b.Shares {
		if g := s.generation(); s.Key == "" || len(s.Key) > maxKeyName || len(s.Secret) == 0 || len(s.Secret) > maxItem/2 || seen[g] || g.Epoch == math.MaxUint64 {
			return nil, fmt.Errorf("%w: a share of %q with %d bytes", ErrBackup, s.Key[:min(len(s.Key), maxKeyName)], len(s.Secret))
		}
		seen[s.generation()] = true
	}
	return &b, nil
}

// credential says that a file was given to this service by its manager, systemd.exec(5) LoadCredential. It belongs to root, and an access
// control list lets the service's user read it; the mode shows the list's mask as the group's bits.
func credential(path string) bool {
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	info, err := os.Lstat(path)
	if dir == "" || err != nil || filepath.Dir(path) != filepath.Clean(dir) || !info.Mode().IsRegular() || info.Mode().Perm()&^0o440 != 0 {
		return false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && st.Uid == 0
}

// readIdentity reads a file with one age identity that only its owner can read.
func readIdentity(path string) (*age.X25519Identity, error) {
	if err := private(path); err != nil && !credential(path) {
		return nil, fmt.Errorf("identity file: %w", err)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 64<<10))
	defer func() { chainkey.Secret(text).Wipe() }()
	if err != nil {
		return nil, err
	}
	ids, err := age.ParseIdentities(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("identity file %s: not an age identity", path) // the parser's error may quote the file
	}
	x, ok := ids[0].(*age.X25519Identity)
	if !ok || len(ids) != 1 {
		return nil, fmt.Errorf("identity file %s: want exactly one X25519 identity", path)
	}
	return x, nil
}
