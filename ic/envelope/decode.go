package envelope

import (
	"errors"
	"fmt"

	"fusion/ic/cbor"
	"fusion/ic/principal"
)

// fields keeps track of which keys of a map were seen, by the bits that the caller gives them.
type fields uint32

func (f *fields) once(bit fields, key []byte) error {
	if *f&bit != 0 {
		return fmt.Errorf("%w: field %q appears twice", ErrMalformed, key)
	}
	*f |= bit
	return nil
}

func (f fields) require(want fields, names ...string) error {
	for i, name := range names {
		if want&^f&(1<<i) != 0 {
			return fmt.Errorf("%w: field %q is missing", ErrMalformed, name)
		}
	}
	return nil
}

func unknown(where string, key []byte) error {
	return fmt.Errorf("%w: %s has the unknown field %q", ErrMalformed, where, clip(key))
}

// clip shortens what strangers wrote before it goes into an error.
func clip(b []byte) []byte { return b[:min(len(b), 64)] }

// Decode reads an envelope from the whole of b, which the result aliases. It checks form, not authenticity.
func Decode(b []byte) (*Envelope, error) {
	if len(b) > MaxSize {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(b), MaxSize)
	}
	r := cbor.NewReader(b)
	r.SelfDescribe()
	e := new(Envelope)
	err := e.read(r)
	if err == nil {
		err = r.End()
	}
	if err != nil {
		if errors.Is(err, ErrMalformed) || errors.Is(err, ErrUnsupported) {
			return nil, err
		}
		return nil, fmt.Errorf("%w: byte %d: %w", ErrMalformed, r.Offset(), err)
	}
	return e, nil
}

func (e *Envelope) read(r *cbor.Reader) error {
	var seen fields
	err := r.Map(func(key []byte) (err error) {
		if r.Null() {
			return nil // some clients write absent fields so
		}
		switch string(key) {
		case "content":
			if err = seen.once(1, key); err == nil {
				err = e.Content.read(r)
			}
		case "sender_pubkey":
			if err = seen.once(2, key); err == nil {
				e.SenderPubkey, err = r.Bytes()
			}
		case "sender_sig":
			if err = seen.once(4, key); err == nil {
				e.SenderSig, err = r.Bytes()
			}
		case "sender_delegation":
			if err = seen.once(8, key); err != nil {
				return err
			}
			e.SenderDelegation = []SignedDelegation{}
			err = r.Array(func(i int) error {
				if i == MaxDelegations {
					return fmt.Errorf("%w: more than %d delegations", ErrMalformed, MaxDelegations)
				}
				e.SenderDelegation = append(e.SenderDelegation, SignedDelegation{})
				return e.SenderDelegation[i].read(r)
			})
		default:
			err = unknown("the envelope", key)
		}
		return err
	})
	if err != nil {
		return err
	}
	return seen.require(1, "content")
}

// Bits of the content's fields, in the order of contentNames.
const (
	hasType fields = 1 << iota
	hasSender
	hasExpiry
	hasCanister
	hasMethod
	hasArg
	hasPaths
	hasNonce
	hasInfo
)

var contentNames = []string{"request_type", "sender", "ingress_expiry", "canister_id", "method_name", "arg", "paths"}

func (c *Content) read(r *cbor.Reader) error {
	var seen fields
	err := r.Map(func(key []byte) (err error) {
		if r.Null() {
			return nil // some clients write absent fields so
		}
		switch string(key) {
		case "request_type":
			if err = seen.once(hasType, key); err == nil {
				c.RequestType, err = readType(r)
			}
		case "sender":
			if err = seen.once(hasSender, key); err == nil {
				c.Sender, err = readPrincipal(r)
			}
		case "ingress_expiry":
			if err = seen.once(hasExpiry, key); err == nil {
				c.IngressExpiry, err = r.Uint()
			}
		case "nonce":
			if err = seen.once(hasNonce, key); err == nil {
				c.Nonce, err = r.Bytes()
			}
			if err == nil && len(c.Nonce) > MaxNonce {
				err = fmt.Errorf("%w: nonce of %d bytes, at most %d", ErrMalformed, len(c.Nonce), MaxNonce)
			}
		case "canister_id":
			if err = seen.once(hasCanister, key); err == nil {
				c.CanisterID, err = readPrincipal(r)
			}
		case "method_name":
			if err = seen.once(hasMethod, key); err == nil {
				var name []byte
				name, err = r.Text()
				c.MethodName = string(name)
			}
		case "arg":
			if err = seen.once(hasArg, key); err == nil {
				c.Arg, err = r.Bytes()
			}
		case "paths":
			if err = seen.once(hasPaths, key); err == nil {
				c.Paths, err = readPaths(r)
			}
		case "sender_info":
			if err = seen.once(hasInfo, key); err == nil {
				c.SenderInfo = new(SenderInfo)
				err = c.SenderInfo.read(r)
			}
		default:
			err = unknown("the content", key)
		}
		return err
	})
	if err != nil {
		return err
	}
	want, other := hasType|hasSender|hasExpiry|hasCanister|hasMethod|hasArg, hasPaths
	if c.RequestType == ReadState {
		want, other = hasType|hasSender|hasExpiry|hasPaths, hasCanister|hasMethod|hasArg|hasInfo
	}
	if err := seen.require(want, contentNames...); err != nil {
		return err
	}
	if seen&other != 0 {
		return fmt.Errorf("%w: a %s request with fields of another type", ErrMalformed, c.RequestType)
	}
	return nil
}

func (i *SenderInfo) read(r *cbor.Reader) error {
	var seen fields
	err := r.Map(func(key []byte) (err error) {
		switch string(key) {
		case "info":
			if err = seen.once(1, key); err == nil {
				i.Info, err = r.Bytes()
			}
		case "signer":
			if err = seen.once(2, key); err == nil {
				i.Signer, err = readPrincipal(r)
			}
		case "sig":
			if err = seen.once(4, key); err == nil {
				i.Sig, err = r.Bytes()
			}
		default:
			err = unknown("sender_info", key)
		}
		return err
	})
	if err != nil {
		return err
	}
	return seen.require(7, "info", "signer", "sig")
}

func readType(r *cbor.Reader) (RequestType, error) {
	t, err := r.Text()
	if err != nil {
		return "", err
	}
	switch string(t) {
	case string(Call):
		return Call, nil
	case string(Query):
		return Query, nil
	case string(ReadState):
		return ReadState, nil
	}
	return "", fmt.Errorf("%w: request type %q", ErrMalformed, clip(t))
}

func readPrincipal(r *cbor.Reader) (principal.Principal, error) {
	b, err := r.Bytes()
	if err != nil {
		return principal.Principal{}, err
	}
	return principal.FromBytes(b)
}

func readPaths(r *cbor.Reader) ([][][]byte, error) {
	paths := [][][]byte{}
	err := r.Array(func(i int) error {
		if i == MaxPaths {
			return fmt.Errorf("%w: more than %d paths", ErrMalformed, MaxPaths)
		}
		path := [][]byte{}
		err := r.Array(func(j int) error {
			if j == MaxLabels {
				return fmt.Errorf("%w: path %d has more than %d labels", ErrMalformed, i, MaxLabels)
			}
			l, err := r.Bytes()
			path = append(path, l)
			return err
		})
		paths = append(paths, path)
		return err
	})
	return paths, err
}

func (s *SignedDelegation) read(r *cbor.Reader) error {
	var seen fields
	err := r.Map(func(key []byte) (err error) {
		if r.Null() {
			return nil // some clients write absent fields so
		}
		switch string(key) {
		case "delegation":
			if err = seen.once(1, key); err == nil {
				err = s.Delegation.read(r)
			}
		case "signature":
			if err = seen.once(2, key); err == nil {
				s.Signature, err = r.Bytes()
			}
		default:
			err = unknown("a signed delegation", key)
		}
		return err
	})
	if err != nil {
		return err
	}
	return seen.require(3, "delegation", "signature")
}

func (d *Delegation) read(r *cbor.Reader) error {
	var seen fields
	err := r.Map(func(key []byte) (err error) {
		if r.Null() {
			return nil // some clients write absent fields so
		}
		switch string(key) {
		case "pubkey":
			if err = seen.once(1, key); err == nil {
				d.Pubkey, err = r.Bytes()
			}
		case "expiration":
			if err = seen.once(2, key); err == nil {
				d.Expiration, err = r.Uint()
			}
		case "targets":
			if err = seen.once(4, key); err != nil {
				return err
			}
			d.Targets = []principal.Principal{}
			err = r.Array(func(i int) error {
				if i == MaxTargets {
					return fmt.Errorf("%w: more than %d targets of a delegation", ErrMalformed, MaxTargets)
				}
				t, err := readPrincipal(r)
				d.Targets = append(d.Targets, t)
				return err
			})
		case "permissions":
			if err = seen.once(8, key); err != nil {
				return err
			}
			var p []byte
			p, err = r.Text()
			if d.Permissions = string(clip(p)); err == nil && d.Permissions == "" {
				err = fmt.Errorf("%w: empty permissions", ErrMalformed) // "" stands for absence, which hashes otherwise
			}
		default:
			err = unknown("a delegation", key)
		}
		return err
	})
	if err != nil {
		return err
	}
	return seen.require(3, "pubkey", "expiration")
}
