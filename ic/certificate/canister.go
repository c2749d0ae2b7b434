package certificate

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"fusion/ic/cbor"
	"fusion/ic/hashtree"
	"fusion/ic/principal"
)

// ErrCanisterSignature is wrapped by every refusal of a canister's signature.
var ErrCanisterSignature = errors.New("canister signature does not verify")

// CanisterSignature is a signature that a canister made by certifying a tree of what it signs (interface specification, section
// "Canister signatures").
type CanisterSignature struct {
	Certificate []byte // CBOR of a certificate that shows the canister's certified data
	Tree        hashtree.Node
}

// ParseCanisterSignature reads a signature from the whole of b, which it aliases.
func ParseCanisterSignature(b []byte) (*CanisterSignature, error) {
	if len(b) > MaxSize {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrMalformed, len(b), MaxSize)
	}
	r := cbor.NewReader(b)
	r.SelfDescribe()
	s := new(CanisterSignature)
	err := r.Map(func(key []byte) (err error) {
		switch {
		case string(key) == "certificate" && s.Certificate == nil:
			s.Certificate, err = r.Bytes()
		case string(key) == "tree" && s.Tree == nil:
			s.Tree, err = hashtree.Read(r)
		case string(key) == "certificate", string(key) == "tree":
			return duplicate(key)
		default:
			return fmt.Errorf("unknown field %q", key[:min(len(key), 32)])
		}
		return err
	})
	if err == nil {
		err = r.End()
	}
	if err != nil {
		return nil, fmt.Errorf("%w: canister signature: byte %d: %w", ErrMalformed, r.Offset(), err)
	}
	if s.Certificate == nil || s.Tree == nil {
		return nil, fmt.Errorf("%w: canister signature: certificate or tree is missing", ErrMalformed)
	}
	return s, nil
}

// Encode returns the CBOR of the signature.
func (s *CanisterSignature) Encode() []byte {
	b := cbor.AppendMap(cbor.AppendSelfDescribe(nil), 2)
	b = cbor.AppendBytes(cbor.AppendText(b, "certificate"), s.Certificate)
	return s.Tree.AppendCBOR(cbor.AppendText(b, "tree"))
}

// VerifyCanisterSignature checks that a canister signed msg with the key of a seed. How old the certificate is does not matter: a
// signature is good for ever, what was signed has its own expiry. The pairing comes last and is remembered, so a signature that
// does not fit its message costs hashes only. A nil Verifier refuses every signature.
func (v *Verifier) VerifyCanisterSignature(canister principal.Principal, seed, msg, sig []byte) error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: of canister %s: %w", ErrCanisterSignature, canister, fmt.Errorf(format, args...))
	}
	if v == nil {
		return bad("there is no root key to check it with")
	}
	s, err := ParseCanisterSignature(sig)
	if err != nil {
		return bad("%w", err)
	}
	if err := hashtree.WellFormed(s.Tree); err != nil {
		return bad("%w", err)
	}
	key, what := sha256.Sum256(seed), sha256.Sum256(msg)
	if res, v := hashtree.Lookup(s.Tree, []byte("sig"), key[:], what[:]); res != hashtree.Found || len(v) != 0 {
		return bad("the message is %v in its tree of signatures", res)
	}
	cert, err := Parse(s.Certificate)
	if err != nil {
		return bad("%w", err)
	}
	root := s.Tree.Digest()
	if res, data := cert.Lookup([]byte("canister"), canister.Bytes(), []byte("certified_data")); res != hashtree.Found || string(data) != string(root[:]) {
		return bad("its certified data is %v and not the tree of signatures", res)
	}
	if d := cert.Delegation; d != nil {
		// Subnets of this type run on machines of one party, whose word must not become a user's.
		switch d, id := v.delegation(d), d.SubnetID; {
		case d.key == nil:
			return bad("%w", d.err)
		case d.kind == "" || d.kind == "cloud_engine":
			return bad("subnet %s has the type %q", id, d.kind)
		}
	}
	if err := v.Verify(cert, ForCanister(canister)); err != nil {
		return bad("%w", err)
	}
	return nil
}
