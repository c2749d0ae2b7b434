package idkg

import (
	"bytes"
	"testing"

	"fusion/chainkey"
	"fusion/chainkey/idkg/curve"
)

// FuzzMessages decodes bytes as each kind of message. What decodes encodes to the same bytes, and is refused by verification, or was
// made here.
func FuzzMessages(f *testing.F) {
	type decoded interface{ Encode() []byte }
	ecdsa, ed := newFixture(f, chainkey.EcdsaSecp256k1, 4), newFixture(f, chainkey.Ed25519, 4)
	made := map[string]bool{}
	seed := func(b []byte) {
		made[string(b)] = true
		f.Add(b)
	}
	var signings []*Signing
	var dealt []*Dealing
	var sharings []*Sharing
	for _, w := range []*fixture{ecdsa, ed} {
		for _, k := range kinds {
			seed(w.deal(k, 1).Encode())
			seed(w.results[k].Encode())
			seed(w.results[k].shares[2].Encode())
		}
		s := w.sharings[Random]
		d := cheat(f, w.ids[0], nil, nil, 1)(s, nil)
		c, err := s.Complain(d, w.ids[1])
		if err != nil {
			f.Fatal(err)
		}
		o, err := s.Open(d, c, w.ids[2])
		if err != nil {
			f.Fatal(err)
		}
		sup, err := w.roster.Support(w.ids[0], d.Digest(), [32]byte{1})
		if err != nil {
			f.Fatal(err)
		}
		p := w.presign(w.key, nil)
		signing := w.request(w.key, p, messages(w.net.key.Algorithm)[0])
		signings, dealt, sharings = append(signings, signing), append(dealt, d), append(sharings, s)
		for _, m := range []decoded{d, c, o, sup, w.roster.members[0], w.sign(signing, p)[1]} {
			seed(m.Encode())
		}
		seed(w.ids[0].Key.Encode())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		check := func(what string, m decoded, err error, verify func(int) error) {
			if err != nil {
				return
			}
			if !bytes.Equal(m.Encode(), b) {
				t.Errorf("%s: %x reads as %x", what, b, m.Encode())
			}
			for i := range sharings {
				if verify != nil && verify(i) == nil && !made[string(b)] {
					t.Errorf("%s: a forgery holds: %x", what, b)
				}
			}
		}
		d, err := DecodeDealing(b)
		check("dealing", d, err, func(i int) error { return sharings[i].VerifyDealing(d) })
		s, err := DecodeSupport(b)
		check("support", s, err, func(i int) error { return NewTally(sharings[i].Receivers).Add(s) })
		c, err := DecodeComplaint(b)
		check("complaint", c, err, func(i int) error { return sharings[i].VerifyComplaint(dealt[i], c) })
		o, err := DecodeOpening(b)
		check("opening", o, err, func(i int) error { return sharings[i].VerifyOpening(dealt[i], o) })
		sh, err := DecodeSignatureShare(b)
		check("signature share", sh, err, func(i int) error { return signings[i].Verify(sh) })
		tr, err := DecodeTranscript(b)
		check("transcript", tr, err, nil)
		m, err := DecodeMember(b)
		check("member", m, err, func(int) error { return m.Verify(subnet, 1) })
		for _, w := range []*fixture{ecdsa, ed} {
			for _, k := range kinds {
				if x, err := DecodeShare(bytes.Clone(b), w.results[k].Transcript); err == nil && !bytes.Equal(x.Encode(), b) {
					t.Errorf("share: %x reads as %x", b, []byte(x.Encode()))
				}
			}
		}
		if k, err := DecodeDecryptionKey(bytes.Clone(b)); err == nil && !bytes.Equal(k.Encode(), b) {
			t.Errorf("decryption key: %x reads as %x", b, []byte(k.Encode()))
		}
	})
}

// TestMessagesAreBounded: counts beyond the limits are refused before anything is allocated for them.
func TestMessagesAreBounded(t *testing.T) {
	if _, err := DecodeSupport(make([]byte, MaxMessage+1)); err == nil {
		t.Error("a support that is too long")
	}
	w := newWriter(wireDealing)
	w.u8(uint8(curve.Secp256k1))
	w.u8(uint8(Random))
	w.bytes(make([]byte, 32))
	w.u16(0)
	w.u16(65535)
	b := w.b
	if n := testing.AllocsPerRun(10, func() { _, _ = DecodeDealing(b) }); n > 50 {
		t.Errorf("%v allocations for a dealing of 65,535 coefficients that are not there", n)
	}
}
