package envelope

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"fusion/ic/identity"
	"fusion/ic/principal"
)

// vouching is a canister whose signatures are the message with its seed in front, and whoever can check them.
type vouching struct{ asked int }

func (v *vouching) VerifyCanisterSignature(canister principal.Principal, seed, msg, sig []byte) error {
	v.asked++
	if canister != issuer || !bytes.Equal(sig, vouch(seed, msg)) {
		return errors.New("not signed by the canister")
	}
	return nil
}

var issuer = principal.FromUint64(42)

func vouch(seed, msg []byte) []byte { return append(append([]byte("canister:"), seed...), msg...) }

// member is a user whose key is the canister's.
type member struct{ key *identity.CanisterKey }

func (m member) Sender() principal.Principal     { return principal.SelfAuthenticating(m.key.DER()) }
func (m member) PublicKeyDER() []byte            { return m.key.DER() }
func (m member) Sign(msg []byte) ([]byte, error) { return vouch(m.key.Seed, msg), nil }
func (m member) info(of []byte) *SenderInfo      { return m.infoBy(issuer, of) }
func newMember(seed string) member {
	return member{&identity.CanisterKey{Canister: issuer, Seed: []byte(seed)}}
}
func (m member) infoBy(p principal.Principal, of []byte) *SenderInfo {
	return &SenderInfo{Info: of, Signer: p, Sig: vouch(m.key.Seed, append([]byte(sepSenderInfo), of...))}
}

func TestCanisterSignatures(t *testing.T) {
	user, session := newMember("anna"), newID(t)
	call := specContent()
	call.IngressExpiry += uint64(time.Minute)
	until := time.Unix(0, int64(now)).Add(time.Hour)
	delegated, err := DelegateTo(user, session, until)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(id identity.Identity) *Envelope {
		e, err := Sign(call, id)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	chain := func(n int) *Envelope { // of n canister keys
		var id identity.Identity = newMember("0")
		for i := range n {
			if id, err = DelegateTo(id, newMember(string(rune('1'+i))), until); err != nil {
				t.Fatal(err)
			}
		}
		return sign(id)
	}
	altered := func(mut func(*SenderInfo)) *Envelope {
		i := user.info([]byte("anna@example.com"))
		mut(i)
		return sign(delegated.WithInfo(i))
	}
	plain := newID(t)
	ofPlain, err := DelegateTo(plain, session, until)
	if err != nil {
		t.Fatal(err)
	}
	foreign := sign(delegated)
	foreign.SenderDelegation = slices.Clone(foreign.SenderDelegation)
	foreign.SenderDelegation[0].Signature = vouch([]byte("bert"), []byte("x"))
	for name, c := range map[string]struct {
		e    *Envelope
		want error
	}{
		"directly":                 {sign(user), nil},
		"by delegation":            {sign(delegated), nil},
		"another's delegation":     {foreign, ErrDelegation},
		"as many as allowed":       {chain(MaxCanisterSignatures - 1), nil},
		"one more":                 {chain(MaxCanisterSignatures), ErrBadSignature},
		"with information":         {sign(delegated.WithInfo(user.info([]byte("anna@example.com")))), nil},
		"no information":           {sign(delegated.WithInfo(user.info([]byte{}))), nil},
		"changed information":      {altered(func(i *SenderInfo) { i.Info = []byte("bert@example.com") }), ErrBadSignature},
		"another signer":           {altered(func(i *SenderInfo) { i.Signer = principal.FromUint64(43) }), ErrBadSignature},
		"information of another":   {altered(func(i *SenderInfo) { i.Sig = newMember("bert").info(i.Info).Sig }), ErrBadSignature},
		"without a canister's key": {sign(ofPlain.WithInfo(user.info(nil))), ErrBadSignature},
	} {
		b := c.e.Encode()
		got, err := Decode(b)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if i := c.e.Content.SenderInfo; i != nil && i.Info == nil {
			i.Info = []byte{}
		}
		if !reflect.DeepEqual(got.Content, c.e.Content) {
			t.Errorf("%s: %+v, want %+v", name, got.Content, c.e.Content)
		}
		if err := got.Verify(now, &vouching{}); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if err := got.Verify(now, nil); err == nil {
			t.Errorf("%s: accepted without a root key", name)
		}
	}
	// The chain is looked through before the first signature is checked.
	v := &vouching{}
	late := sign(delegated)
	late.SenderDelegation = slices.Clone(late.SenderDelegation)
	late.SenderDelegation[0].Delegation.Permissions = PermissionQueries
	if err := late.Verify(now, v); !errors.Is(err, ErrDelegation) || v.asked != 0 {
		t.Errorf("%v after %d signatures", err, v.asked)
	}
	// A read has no information about its sender.
	read, err := Sign(Content{RequestType: ReadState, IngressExpiry: call.IngressExpiry, Paths: [][][]byte{}}, delegated.WithInfo(user.info(nil)))
	if err != nil || read.Content.SenderInfo != nil {
		t.Errorf("%+v, %v", read, err)
	}
}

func TestDelegated(t *testing.T) {
	user, middle, session := newID(t), newID(t), newID(t)
	until := time.Unix(0, int64(now)).Add(time.Hour)
	one, err := DelegateTo(user, middle, until)
	if err != nil {
		t.Fatal(err)
	}
	two, err := DelegateTo(one, session, until, specContent().CanisterID)
	if err != nil || len(two.Chain()) != 2 || len(one.Chain()) != 1 || two.Sender() != user.Sender() {
		t.Fatalf("%+v, %v", two, err)
	}
	call := specContent()
	call.IngressExpiry += uint64(time.Minute)
	for name, c := range map[string]struct {
		canister principal.Principal
		want     error
	}{"target": {call.CanisterID, nil}, "another": {principal.FromUint64(9), ErrDelegation}} {
		call.CanisterID = c.canister
		e, err := Sign(call, two)
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Verify(now, nil); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := NewDelegated(user.PublicKeyDER(), nil, session); !errors.Is(err, ErrDelegation) {
		t.Errorf("empty chain: %v", err)
	}
	if _, err := NewDelegated(user.PublicKeyDER(), one.Chain(), session); !errors.Is(err, ErrDelegation) {
		t.Errorf("a chain to another key: %v", err)
	}
}

func TestCost(t *testing.T) {
	key, member := newID(t), newMember("anna")
	var chain Envelope
	chain.SenderPubkey = key.PublicKeyDER()
	chain.SenderDelegation = make([]SignedDelegation, 3)
	for i := range chain.SenderDelegation {
		chain.SenderDelegation[i].Delegation.Pubkey = newID(t).PublicKeyDER()
	}
	mixed := Envelope{SenderPubkey: member.PublicKeyDER(), SenderDelegation: chain.SenderDelegation}
	vouched := mixed
	vouched.Content.SenderInfo = &SenderInfo{}
	for name, c := range map[string]struct {
		e    *Envelope
		want int
	}{"anonymous": {&Envelope{}, 1}, "one": {&Envelope{SenderPubkey: key.PublicKeyDER()}, 1}, "nonsense": {&Envelope{SenderPubkey: []byte{0x30}}, 1}, "chain": {&chain, 4},
		"canister": {&mixed, canisterCost + 3}, "canister's information": {&vouched, 2*canisterCost + 3}} {
		if got := c.e.Cost(); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}
