package certificate

import (
	"encoding/binary"
	"errors"
	"fmt"

	"fusion/ic/cbor"
	"fusion/ic/hashtree"
	"fusion/ic/principal"
)

// MaxSize bounds an encoded certificate in bytes: a reply of 3 MiB and its proof fit.
const MaxSize = 8 << 20

// Errors returned by this package; test with errors.Is.
var (
	ErrMalformed    = errors.New("malformed certificate")
	ErrBadSignature = errors.New("certificate signature does not verify")
	ErrDelegation   = errors.New("bad certificate delegation")
	ErrOutOfScope   = errors.New("certificate of a subnet that is not responsible")
	ErrKey          = errors.New("malformed bls key")
)

// Certificate is a partial state tree and a subnet's signature of its root.
type Certificate struct {
	Tree       hashtree.Node
	Signature  []byte
	Delegation *Delegation // nil when the root subnet signed
}

// Delegation shows, by a certificate of the root subnet, that a subnet has a key.
type Delegation struct {
	SubnetID    principal.Principal
	Certificate []byte // CBOR, itself without a delegation
}

// Parse reads a certificate from the whole of b, which it aliases. It does not verify anything.
func Parse(b []byte) (*Certificate, error) {
	if len(b) > MaxSize {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrMalformed, len(b), MaxSize)
	}
	r := cbor.NewReader(b)
	r.SelfDescribe()
	c := new(Certificate)
	err := r.Map(func(key []byte) (err error) {
		switch string(key) {
		case "tree":
			if c.Tree != nil {
				return duplicate(key)
			}
			c.Tree, err = hashtree.Read(r)
		case "signature":
			if c.Signature != nil {
				return duplicate(key)
			}
			c.Signature, err = r.Bytes()
		case "delegation":
			if c.Delegation != nil {
				return duplicate(key)
			}
			c.Delegation = new(Delegation)
			err = c.Delegation.read(r)
		default:
			err = r.Skip()
		}
		return err
	})
	if err == nil {
		err = r.End()
	}
	if err != nil {
		return nil, fmt.Errorf("%w: byte %d: %w", ErrMalformed, r.Offset(), err)
	}
	if c.Tree == nil || c.Signature == nil {
		return nil, fmt.Errorf("%w: tree or signature is missing", ErrMalformed)
	}
	return c, nil
}

func duplicate(key []byte) error { return fmt.Errorf("field %q appears twice", key) }

func (d *Delegation) read(r *cbor.Reader) error {
	seen := false
	err := r.Map(func(key []byte) error {
		switch string(key) {
		case "subnet_id":
			if seen {
				return duplicate(key)
			}
			seen = true
			id, err := r.Bytes()
			if err == nil {
				d.SubnetID, err = principal.FromBytes(id)
			}
			return err
		case "certificate":
			if d.Certificate != nil {
				return duplicate(key)
			}
			var err error
			d.Certificate, err = r.Bytes()
			return err
		}
		return r.Skip()
	})
	if err == nil && (!seen || d.Certificate == nil) {
		err = errors.New("delegation lacks a field")
	}
	return err
}

// Encode returns the CBOR of the certificate.
func (c *Certificate) Encode() []byte { return c.Append(make([]byte, 0, 1024)) }

// Append appends the CBOR of the certificate.
func (c *Certificate) Append(b []byte) []byte {
	n := 2
	if c.Delegation != nil {
		n = 3
	}
	b = cbor.AppendMap(cbor.AppendSelfDescribe(b), n)
	b = c.Tree.AppendCBOR(cbor.AppendText(b, "tree"))
	b = cbor.AppendBytes(cbor.AppendText(b, "signature"), c.Signature)
	if d := c.Delegation; d != nil {
		b = cbor.AppendMap(cbor.AppendText(b, "delegation"), 2)
		b = cbor.AppendBytes(cbor.AppendText(b, "subnet_id"), d.SubnetID.Bytes())
		b = cbor.AppendBytes(cbor.AppendText(b, "certificate"), d.Certificate)
	}
	return b
}

// Lookup searches the certificate's tree.
func (c *Certificate) Lookup(path ...[]byte) (hashtree.Result, []byte) {
	return hashtree.Lookup(c.Tree, path...)
}

// Time returns the time at which the certified state was current, ns since 1970.
func (c *Certificate) Time() (uint64, error) {
	res, b := hashtree.Lookup(c.Tree, []byte("time"))
	if res != hashtree.Found {
		return 0, fmt.Errorf("%w: time is %v", ErrMalformed, res)
	}
	return DecodeNat(b)
}

// EncodeNat returns the LEB128 form in which the state tree holds natural numbers.
func EncodeNat(n uint64) []byte { return binary.AppendUvarint(nil, n) }

// DecodeNat reads a natural number of the state tree that fits in 64 bits.
func DecodeNat(b []byte) (uint64, error) {
	n, size := binary.Uvarint(b)
	if size <= 0 || size != len(b) {
		return 0, fmt.Errorf("%w: natural number of %d bytes", ErrMalformed, len(b))
	}
	return n, nil
}

// Range is a closed interval of canister ids in the order of Principal.Compare.
type Range struct{ First, Last principal.Principal }

// Contains reports whether the range holds p.
func (r Range) Contains(p principal.Principal) bool {
	return r.First.Compare(p) <= 0 && p.Compare(r.Last) <= 0
}

// maxRanges bounds the canister ranges of a value; subnets of the Internet Computer have some dozen.
const maxRanges = 1 << 16

// EncodeRanges returns the CBOR in which the state tree holds canister ranges (section "Canister ranges").
func EncodeRanges(ranges []Range) []byte {
	b := cbor.AppendArray(cbor.AppendSelfDescribe(nil), len(ranges))
	for _, r := range ranges {
		b = cbor.AppendBytes(cbor.AppendBytes(cbor.AppendArray(b, 2), r.First.Bytes()), r.Last.Bytes())
	}
	return b
}

// DecodePrincipals reads a list of principals, the form in which the state tree holds a canister's controllers.
func DecodePrincipals(b []byte) (out []principal.Principal, err error) {
	r := cbor.NewReader(b)
	r.SelfDescribe()
	err = r.Array(func(i int) error {
		if i == maxRanges {
			return fmt.Errorf("more than %d principals", maxRanges)
		}
		b, err := r.Bytes()
		if err != nil {
			return err
		}
		p, err := principal.FromBytes(b)
		out = append(out, p)
		return err
	})
	if err == nil {
		err = r.End()
	}
	if err != nil {
		return nil, fmt.Errorf("%w: principals: %w", ErrMalformed, err)
	}
	return out, nil
}

// DecodeRanges reads canister ranges.
func DecodeRanges(b []byte) ([]Range, error) {
	r := cbor.NewReader(b)
	r.SelfDescribe()
	var out []Range
	err := r.Array(func(i int) error {
		if i == maxRanges {
			return fmt.Errorf("more than %d ranges", maxRanges)
		}
		var ends []principal.Principal
		err := r.Array(func(int) error {
			b, err := r.Bytes()
			if err != nil {
				return err
			}
			p, err := principal.FromBytes(b)
			ends = append(ends, p)
			return err
		})
		if err == nil && len(ends) != 2 {
			err = fmt.Errorf("range of %d principals", len(ends))
		}
		if err != nil {
			return err
		}
		out = append(out, Range{ends[0], ends[1]})
		return nil
	})
	if err == nil {
		err = r.End()
	}
	if err != nil {
		return nil, fmt.Errorf("%w: canister ranges: %w", ErrMalformed, err)
	}
	return out, nil
}

// Ranges collects the canister ranges of a subnet that a tree reveals: the sharded form under /canister_ranges, or where that is
// absent the older value at /subnet/<id>/canister_ranges.
func Ranges(tree hashtree.Node, subnet principal.Principal) ([]Range, error) {
	sid := subnet.Bytes()
	if shards, res := hashtree.Descend(tree, []byte("canister_ranges"), sid); res == hashtree.Found {
		var all []Range
		found := false
		err := hashtree.Leaves(shards, func(_ [][]byte, v []byte) error {
			found = true
			ranges, err := DecodeRanges(v)
			all = append(all, ranges...)
			return err
		})
		if found || err != nil {
			return all, err
		}
	}
	res, v := hashtree.Lookup(tree, []byte("subnet"), sid, []byte("canister_ranges"))
	if res != hashtree.Found {
		return nil, fmt.Errorf("%w: canister ranges of subnet %s are %v", ErrOutOfScope, subnet, res)
	}
	return DecodeRanges(v)
}

// InRanges reports whether one of the ranges holds p.
func InRanges(ranges []Range, p principal.Principal) bool {
	for _, r := range ranges {
		if r.Contains(p) {
			return true
		}
	}
	return false
}
