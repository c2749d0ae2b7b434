package testnets

import (
	"crypto/ecdsa"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"

	"github.com/ethereum/go-ethereum/crypto"

	"fusion/ic/identity"
)

var identityName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,39}$`)

// Errors of the identity store; test with errors.Is.
var (
	ErrIdentityName = errors.New("an identity's name is 1 to 40 of a-z, 0-9, - and _, and starts with a letter or digit")
	ErrNoIdentity   = errors.New("no such identity")
)

func identityPath(dir, name string) (string, error) {
	if !identityName.MatchString(name) || name == "anonymous" {
		return "", fmt.Errorf("%q: %w", name, ErrIdentityName)
	}
	return filepath.Join(dir, identitiesDir, name+".pem"), nil
}

// NewIdentity makes an Ed25519 identity under a name that is not taken.
func NewIdentity(dir, name string) (identity.Identity, error) {
	path, err := identityPath(dir, name)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(path); err == nil {
		return nil, fmt.Errorf("identity %s exists already: %s", name, path)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("creating the identities' directory: %w", err)
	}
	id, err := identity.GenerateEd25519()
	if err != nil {
		return nil, err
	}
	return id, identity.Save(path, id)
}

// LoadIdentity reads an identity by name; "anonymous" is the one without a key.
func LoadIdentity(dir, name string) (identity.Identity, error) {
	if name == "anonymous" {
		return identity.Anonymous{}, nil
	}
	path, err := identityPath(dir, name)
	if err != nil {
		return nil, err
	}
	id, err := identity.Load(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s", ErrNoIdentity, name)
	}
	return id, err
}

// EnsureIdentity loads an identity and makes it first where it is missing.
func EnsureIdentity(dir, name string) (identity.Identity, error) {
	id, err := LoadIdentity(dir, name)
	if errors.Is(err, ErrNoIdentity) {
		return NewIdentity(dir, name)
	}
	return id, err
}

// EthereumKey is the key of an identity's own Ethereum account, made when it is first asked for. It is a development chain's: a file beside the
// identity, in hexadecimal digits.
func EthereumKey(dir, name string) (*ecdsa.PrivateKey, error) {
	if _, err := LoadIdentity(dir, name); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, identitiesDir, name+".ethereum")
	key, err := crypto.LoadECDSA(path)
	if err == nil {
		return key, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("ethereum key of identity %s in %s: %w", name, path, err)
	}
	if key, err = crypto.GenerateKey(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil { // where the only identity is the anonymous one
		return nil, fmt.Errorf("creating the identities' directory: %w", err)
	}
	if err := crypto.SaveECDSA(path+".new", key); err != nil {
		return nil, fmt.Errorf("ethereum key of identity %s: %w", name, err)
	}
	return key, os.Rename(path+".new", path)
}

// Identities lists the names in alphabetical order.
func Identities(dir string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(dir, identitiesDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing identities: %w", err)
	}
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".pem"); ok && identityName.MatchString(name) {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names, nil
}
