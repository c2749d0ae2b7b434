package recovery

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"fusion/ic/identity"
	"fusion/ic/principal"
	"fusion/internal/codec"
	"fusion/internal/strictjson"
	"fusion/replica/genesis"
)

// Errors of documents and backups; test with errors.Is.
var (
	// ErrDocument says that a document cannot be one.
	ErrDocument = errors.New("invalid recovery document")
	// ErrMismatch says that a document is about another subnet or state than the one at hand.
	ErrMismatch = errors.New("the recovery document does not fit")
	// ErrNumber says that a recovery with this number, or a later one, was there already.
	ErrNumber = errors.New("the recovery number is used")
	// ErrSignatures says that too few of those who may decide have signed.
	ErrSignatures = errors.New("too few signatures under the recovery document")
	// ErrBackup says that a file is no backup, or was altered.
	ErrBackup = errors.New("invalid backup")
)

const (
	// Version of a document's form.
	Version = 1
	// MaxNumber bounds recovery numbers, so that a chain id has room for one.
	MaxNumber   = 999_999
	maxDocument = 1 << 20 // bytes
)

// Member is a node of the new beginning: one of the state's members, with its keys.
type Member struct {
	Node         uint32      `json:"node"` // index
	NodeKey      genesis.Hex `json:"node_key"`
	ValidatorKey genesis.Hex `json:"validator_key"`
}

// Signature is that of an operator, or of a node, over a document's digest.
type Signature struct {
	PublicKey genesis.Hex `json:"public_key"` // DER
	Signature genesis.Hex `json:"signature"`
}

// By is whose signature it is.
func (s *Signature) By() principal.Principal { return principal.SelfAuthenticating(s.PublicKey) }

// Document is what the operators of a subnet agree on when they begin again.
type Document struct {
	Version int         `json:"version"`
	Network genesis.Hex `json:"network"`  // hash of the genesis document
	RootKey genesis.Hex `json:"root_key"` // of the subnet, DER
	// Number is above that of every earlier recovery; the first has 1.
	Number  uint64      `json:"number"`
	Height  uint64      `json:"height"`   // of the block whose state is restored
	AppHash genesis.Hex `json:"app_hash"` // of that state
	TimeNs  uint64      `json:"time_ns"`  // of the first block, nanoseconds since 1970
	Members []Member    `json:"members"`  // of that state, by node
	// Signatures are over all that stands above.
	Signatures []Signature `json:"signatures"`
}

// Base is the height of the recovery's own block. The first block of the new chain is the one after it.
func (d *Document) Base() uint64 { return d.Height + 1 }

// Digest is what is signed.
func (d *Document) Digest() [32]byte {
	var members []any
	for _, m := range d.Members {
		members = append(members, []any{m.Node, []byte(m.NodeKey), []byte(m.ValidatorKey)})
	}
	v := []any{d.Version, []byte(d.Network), []byte(d.RootKey), d.Number, d.Height, []byte(d.AppHash), d.TimeNs, members}
	return sha256.Sum256(append([]byte("fusion/recovery/document/v1\x00"), codec.Marshal(v)...))
}

// Life takes the place of the genesis document's hash in all that belongs to the time after the recovery with this number and digest.
func Life(network [32]byte, number uint64, digest [32]byte) [32]byte {
	b := append([]byte("fusion/recovery/life/v1\x00"), network[:]...)
	b = binary.BigEndian.AppendUint64(b, number)
	return sha256.Sum256(append(b, digest[:]...))
}

// Life is that of this recovery.
func (d *Document) Life() [32]byte { return Life([32]byte(d.Network), d.Number, d.Digest()) }

// ChainID is consensus's name of the chain after the recovery: of the network's, which is cut, the number and the document.
func (d *Document) ChainID(network string) string {
	digest := d.Digest()
	if len(network) > 24 {
		network = strings.ToValidUTF8(network[:24], "")
	}
	return fmt.Sprintf("%s/r%d-%x", network, d.Number, digest[:8])
}

// Name tells the files of one life from those of another.
func (d *Document) Name() string {
	digest := d.Digest()
	return fmt.Sprintf("%d-%x", d.Number, digest[:8])
}

// signed is what a signature is over.
func (d *Document) signed() []byte {
	digest := d.Digest()
	return append([]byte("fusion/recovery\x00"), digest[:]...)
}

// Sign adds the signature of an identity. Signing again changes nothing.
func (d *Document) Sign(id identity.Identity) error {
	if slices.ContainsFunc(d.Signatures, func(s Signature) bool { return bytes.Equal(s.PublicKey, id.PublicKeyDER()) }) {
		return nil
	}
	sig, err := id.Sign(d.signed())
	if err != nil {
		return fmt.Errorf("signing the recovery document: %w", err)
	}
	d.Signatures = append(d.Signatures, Signature{PublicKey: id.PublicKeyDER(), Signature: sig})
	return nil
}

// Check says whether two thirds of those who decide have signed. Signatures of others are ignored, also wrong ones.
func (d *Document) Check(deciders []principal.Principal) error {
	need, seen := (2*len(deciders)+2)/3, map[principal.Principal]bool{}
	for _, s := range d.Signatures {
		if !slices.Contains(deciders, s.By()) {
			continue
		}
		key, err := identity.ParsePublicKey(s.PublicKey)
		if err == nil {
			err = key.Verify(d.signed(), s.Signature)
		}
		if err != nil {
			return fmt.Errorf("%w: the signature of %s: %w", ErrSignatures, s.By(), err)
		}
		seen[s.By()] = true
	}
	if len(seen) < max(need, 1) {
		var missing []string
		for _, p := range deciders {
			if !seen[p] {
				missing = append(missing, p.String())
			}
		}
		return fmt.Errorf("%w: %d, and %d of %d are needed; not signed by %s", ErrSignatures, len(seen), need, len(deciders), strings.Join(missing, ", "))
	}
	return nil
}

// validate checks the form.
func (d *Document) validate() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrDocument, fmt.Sprintf(format, args...))
	}
	switch {
	case d.Version != Version:
		return bad("version %d, want %d", d.Version, Version)
	case len(d.Network) != 32 || len(d.AppHash) != 32 || len(d.RootKey) == 0 || len(d.RootKey) > 256:
		return bad("network, app_hash or root_key of %d, %d and %d bytes", len(d.Network), len(d.AppHash), len(d.RootKey))
	case d.Number == 0 || d.Number > MaxNumber:
		return bad("number %d, want 1 to %d", d.Number, MaxNumber)
	case d.Height == 0 || d.Height > 1<<62 || d.TimeNs == 0 || d.TimeNs > 1<<62:
		return bad("height %d, time %d", d.Height, d.TimeNs)
	case len(d.Members) == 0 || len(d.Members) > genesis.MaxNodes:
		return bad("%d members", len(d.Members))
	case len(d.Signatures) > genesis.MaxOperators+genesis.MaxNodes:
		return bad("%d signatures", len(d.Signatures))
	}
	for i, m := range d.Members {
		if len(m.NodeKey) != 32 || len(m.ValidatorKey) != 32 || m.Node >= 1<<16 || i > 0 && d.Members[i-1].Node >= m.Node {
			return bad("members[%d] has keys of %d and %d bytes, or is out of order", i, len(m.NodeKey), len(m.ValidatorKey))
		}
	}
	for i, s := range d.Signatures {
		if len(s.PublicKey) == 0 || len(s.PublicKey) > 4096 || len(s.Signature) > 4096 {
			return bad("signatures[%d] has a key of %d and a signature of %d bytes", i, len(s.PublicKey), len(s.Signature))
		}
	}
	return nil
}

// Parse reads a document; unknown fields are refused. Signatures are not checked, see Check.
func Parse(b []byte) (*Document, error) {
	var d Document
	if err := strictjson.Unmarshal(b, maxDocument, &d); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDocument, err)
	}
	return &d, d.validate()
}

// Load reads a document from a file.
func Load(path string) (*Document, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading a recovery document: %w", err)
	}
	d, err := Parse(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return d, nil
}

// Encode is the document as a file has it.
func (d *Document) Encode() []byte {
	b, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		panic(fmt.Sprintf("recovery: a document does not encode: %v", err)) // strings and numbers do
	}
	return append(b, '\n')
}

// Statement is what the subnet signs, in bls.DomainState, of the state after a block: the life, the height and the app hash, hashed.
func Statement(life [32]byte, height uint64, appHash [32]byte) []byte {
	b := append([]byte("fusion/recovery/state/v1\x00"), life[:]...)
	b = binary.BigEndian.AppendUint64(b, height)
	h := sha256.Sum256(append(b, appHash[:]...))
	return h[:]
}
