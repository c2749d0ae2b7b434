// Package issuer is a canister for tests of clients: the smallest identity service that signs with canister signatures, and a few
// methods that show a client who it is and what it may do.
//
// Whoever calls it has a key of its own with the canister: prepare_delegation lets a session key sign for that key,
// get_delegation returns the delegation once the subnet has certified it. prepare_info and get_info do the same for information
// that the canister vouches for (sender_info). Nothing is kept over an upgrade, and signatures are never removed.
package issuer

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"fusion/cdk"
	"fusion/ic/candid"
	"fusion/ic/cbor"
	"fusion/ic/hashtree"
	"fusion/ic/principal"
)

// DelegationArg asks for a delegation of the caller's key to a session key.
type DelegationArg struct {
	SessionKey []byte                 `candid:"session_key"` // DER
	Expiration uint64                 `candid:"expiration"`  // ns since 1970
	Targets    *[]principal.Principal `candid:"targets"`
}

// Delegation is a delegation with its signature.
type Delegation struct {
	Pubkey     []byte                 `candid:"pubkey"`
	Expiration uint64                 `candid:"expiration"`
	Targets    *[]principal.Principal `candid:"targets"`
	Signature  []byte                 `candid:"signature"`
}

// Info is what a canister vouches for about a caller.
type Info struct {
	Data   []byte              `candid:"data"`
	Signer principal.Principal `candid:"signer"`
}

// Canister registers the methods.
func Canister(c *cdk.Canister) {
	s := &service{c: c}
	cdk.Query(c, "whoami", func(m *cdk.Msg, _ cdk.None) principal.Principal { return m.Caller() })
	cdk.Update(c, "whoami_update", func(m *cdk.Msg, _ cdk.None) principal.Principal { return m.Caller() })
	cdk.Query(c, "caller_info", callerInfo)
	cdk.Update(c, "caller_info_update", callerInfo)
	cdk.Update(c, "add", func(_ *cdk.Msg, n candid.Nat) candid.Nat {
		s.sum = s.sum.Add(n)
		c.Print("the sum is %s", s.sum)
		return s.sum
	})
	cdk.Query(c, "sum", func(*cdk.Msg, cdk.None) candid.Nat { return s.sum })
	cdk.Update(c, "refuse", func(_ *cdk.Msg, why string) cdk.None { c.Trap("%s", why); return cdk.None{} })
	cdk.Query(c, "refuse_query", func(_ *cdk.Msg, why string) cdk.None { c.Trap("%s", why); return cdk.None{} })
	cdk.Update(c, "prepare_delegation", func(m *cdk.Msg, a DelegationArg) []byte {
		seed := m.Caller().Bytes()
		s.sign(seed, a.signed())
		return s.userKey(seed)
	})
	cdk.Query(c, "get_delegation", func(m *cdk.Msg, a DelegationArg) *Delegation {
		sig := s.signature(m.Caller().Bytes(), a.signed())
		if sig == nil {
			return nil
		}
		return &Delegation{a.SessionKey, a.Expiration, a.Targets, sig}
	})
	cdk.Update(c, "prepare_info", func(m *cdk.Msg, info []byte) cdk.None {
		s.sign(m.Caller().Bytes(), append([]byte(sepInfo), info...))
		return cdk.None{}
	})
	cdk.Query(c, "get_info", func(m *cdk.Msg, info []byte) *[]byte {
		if sig := s.signature(m.Caller().Bytes(), append([]byte(sepInfo), info...)); sig != nil {
			return &sig
		}
		return nil
	})
}

func callerInfo(m *cdk.Msg, _ cdk.None) *Info {
	if data, signer, ok := m.CallerInfo(); ok {
		return &Info{data, signer}
	}
	return nil
}

// Domain separators, interface specification section "Authentication".
const (
	sepDelegation = "\x1aic-request-auth-delegation"
	sepInfo       = "\x0eic-sender-info"
)

type service struct {
	c    *cdk.Canister
	sum  candid.Nat
	sigs *hashtree.Map
}

func path(seed, msg []byte) [][]byte {
	s, m := sha256.Sum256(seed), sha256.Sum256(msg)
	return [][]byte{[]byte("sig"), s[:], m[:]}
}

// sign adds a message to what the subnet certifies for the canister (section "Canister signatures").
func (s *service) sign(seed, msg []byte) {
	s.sigs = s.sigs.Insert(path(seed, msg), nil)
	root := s.sigs.Digest()
	s.c.SetCertifiedData(root[:])
}

// signature returns the signature of a message, or nil for one that was not signed.
func (s *service) signature(seed, msg []byte) []byte {
	at := path(seed, msg)
	cert, ok := s.c.DataCertificate()
	if _, signed := s.sigs.Get(at...); !signed || !ok {
		return nil
	}
	b := cbor.AppendMap(cbor.AppendSelfDescribe(nil), 2)
	b = cbor.AppendBytes(cbor.AppendText(b, "certificate"), cert)
	return s.sigs.Witness(at).AppendCBOR(cbor.AppendText(b, "tree"))
}

// userKey is the DER form of the canister's key with a seed that is a principal.
func (s *service) userKey(seed []byte) []byte {
	self := s.c.Self().Bytes()
	key := append(append([]byte{0x00, byte(len(self))}, self...), seed...)
	algorithm := []byte{0x30, 0x0c, 0x06, 0x0a, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x83, 0xb8, 0x43, 0x01, 0x02}
	body := append(append(algorithm, 0x03, byte(len(key))), key...)
	return append([]byte{0x30, byte(len(body))}, body...) // both principals are short
}

// signed is what is signed of a delegation: the representation-independent hash of its map.
func (a *DelegationArg) signed() []byte {
	pair := func(name string, value [32]byte) []byte {
		key := sha256.Sum256([]byte(name))
		return append(key[:], value[:]...)
	}
	pairs := [][]byte{pair("pubkey", sha256.Sum256(a.SessionKey)), pair("expiration", sha256.Sum256(binary.AppendUvarint(nil, a.Expiration)))}
	if a.Targets != nil {
		var all []byte
		for _, t := range *a.Targets {
			h := sha256.Sum256(t.Bytes())
			all = append(all, h[:]...)
		}
		pairs = append(pairs, pair("targets", sha256.Sum256(all)))
	}
	slices.SortFunc(pairs, bytes.Compare)
	hash := sha256.Sum256(bytes.Join(pairs, nil))
	return append([]byte(sepDelegation), hash[:]...)
}
