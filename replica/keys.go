package replica

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"fusion/chainkey/keystore"
	"fusion/replica/consensus"
	"fusion/replica/genesis"
)

// signStateFile lies beside the keys: it must survive when everything that can be rebuilt is wiped.
const signStateFile = "sign-state.json"

// ErrSignStateLost says that a replica has forgotten what it voted for.
var ErrSignStateLost = errors.New("the record of this replica's votes is lost")

// keyStore says where a replica's key store is and how it is sealed.
func (c *Config) keyStore(doc *genesis.Doc) keystore.Options {
	return keystore.Options{Dir: filepath.Join(c.Dir, keysDir), IdentityFile: c.SealKeysWith, SealCommand: c.SealKeysBy, AllowPlain: doc.Class == genesis.Local}
}

// origin names whose shares lie in a data directory.
func (c *Config) origin() (*genesis.Doc, ed25519.PrivateKey, keystore.Origin, error) {
	doc, key, err := c.standing()
	if err != nil {
		return nil, nil, keystore.Origin{}, err
	}
	defer clear(key)
	validator, err := loadKey(filepath.Join(c.Dir, validatorKeyFile))
	if err != nil {
		return nil, nil, keystore.Origin{}, err
	}
	return doc, validator, keystore.Origin{Network: doc.Hash(), Node: slices.Clone(key.Public().(ed25519.PublicKey))}, nil
}

// BackupKeys writes the key shares of a replica, which may be running, encrypted to an age recipient.
func BackupKeys(cfg Config, w io.Writer, recipient string) (_ []keystore.Generation, err error) {
	doc, validator, of, err := cfg.origin()
	if err != nil {
		return nil, err
	}
	clear(validator)
	o := cfg.keyStore(doc)
	o.ReadOnly = true
	s, err := keystore.Open(o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return s.Backup(w, recipient, of)
}

// RestoreKeys stores the shares of a backup that a stopped replica lacks. Where the record of its votes is lost too, the replica
// votes for no block up to the height votedUpTo, which must not be below any that it may have voted at.
func RestoreKeys(cfg Config, backup io.Reader, identityFile string, votedUpTo uint64) (_ []keystore.Generation, err error) {
	doc, validator, of, err := cfg.origin()
	if err != nil {
		return nil, err
	}
	defer clear(validator)
	s, err := keystore.Open(cfg.keyStore(doc))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	last, err := cfg.lastRecovery(doc)
	if err != nil {
		return nil, err
	}
	votes := cfg.signState(last)
	_, err = os.Stat(votes)
	lost := errors.Is(err, fs.ErrNotExist)
	switch {
	case err != nil && !lost:
		return nil, err
	case lost && votedUpTo == 0:
		return nil, fmt.Errorf("%w: there is no %s; say up to which block it shall not vote", ErrSignStateLost, votes)
	case !lost && votedUpTo != 0:
		return nil, fmt.Errorf("the record of this replica's votes is there (%s) and holds; no block need be left out", votes)
	}
	list, err := s.Restore(backup, identityFile, of)
	if err != nil || !lost {
		return list, err
	}
	return list, consensus.Abstain(validator, votes, votedUpTo)
}

// lost remembers the keys whose share is missing here.
type lost struct {
	mu   sync.Mutex
	keys map[string]bool
}

// set notes whether a key's share is missing and returns how many are.
func (l *lost) set(key string, missing bool) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.keys == nil {
		l.keys = map[string]bool{}
	}
	if delete(l.keys, key); missing {
		l.keys[key] = true
	}
	return len(l.keys)
}

// sentence is the alarm, or empty.
func (l *lost) sentence() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.keys) == 0 {
		return ""
	}
	names := make([]string, 0, len(l.keys))
	for name := range l.keys {
		names = append(names, name)
	}
	slices.Sort(names)
	return fmt.Sprintf("running, but this replica's share of %s is lost: restore its backup (fusion key restore) or reshare before another is lost", strings.Join(names, ", "))
}
