package issuer

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"testing"
	"time"

	"fusion/cdk"
	"fusion/cdk/native"
	"fusion/ic/certificate"
	"fusion/ic/envelope"
	"fusion/ic/hashtree"
	"fusion/ic/identity"
	"fusion/ic/principal"
)

// check verifies a signature as far as it goes without a subnet: its tree holds the message, and is the canister's certified data.
type check struct {
	id        principal.Principal
	certified []byte
}

func (c check) VerifyCanisterSignature(canister principal.Principal, seed, msg, sig []byte) error {
	s, err := certificate.ParseCanisterSignature(sig)
	if err != nil {
		return err
	}
	key, what := sha256.Sum256(seed), sha256.Sum256(msg)
	root := s.Tree.Digest()
	if res, _ := hashtree.Lookup(s.Tree, []byte("sig"), key[:], what[:]); canister != c.id || res != hashtree.Found || !bytes.Equal(root[:], c.certified) {
		return errors.New("not signed")
	}
	return nil
}

func TestDelegationsAreThoseOfTheProtocol(t *testing.T) {
	w := native.NewWorld(1)
	id, anna, bert := principal.FromUint64(7), principal.FromUint64(8), principal.FromUint64(9)
	if err := w.Install(id, Canister, nil); err != nil {
		t.Fatal(err)
	}
	session, err := identity.GenerateEd25519()
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, targets := range map[string]*[]principal.Principal{"all canisters": nil, "one canister": {id}} {
		arg := DelegationArg{SessionKey: session.PublicKeyDER(), Expiration: uint64(now.Add(time.Hour).UnixNano()), Targets: targets}
		key, err := native.Update[[]byte](w, anna, id, "prepare_delegation", arg)
		if err != nil {
			t.Fatal(err)
		}
		if want := (&identity.CanisterKey{Canister: id, Seed: anna.Bytes()}).DER(); !bytes.Equal(key, want) {
			t.Errorf("%s: user key %x, want %x", name, key, want)
		}
		got, err := native.Query[*Delegation](w, anna, id, "get_delegation", arg)
		if err != nil || got == nil {
			t.Fatalf("%s: %v, %v", name, got, err)
		}
		d := envelope.Delegation{Pubkey: got.Pubkey, Expiration: got.Expiration}
		if got.Targets != nil {
			d.Targets = *got.Targets
		}
		info := []byte("anna@example.com")
		if _, err := native.Update[cdk.None](w, anna, id, "prepare_info", info); err != nil {
			t.Fatal(err)
		}
		sig, err := native.Query[*[]byte](w, anna, id, "get_info", info)
		if err != nil || sig == nil {
			t.Fatalf("%s: %v, %v", name, sig, err)
		}
		// The delegation was asked for before the tree changed.
		if got, err = native.Query[*Delegation](w, anna, id, "get_delegation", arg); err != nil {
			t.Fatal(err)
		}
		user, err := envelope.NewDelegated(key, []envelope.SignedDelegation{{Delegation: d, Signature: got.Signature}}, session)
		if err != nil {
			t.Fatal(err)
		}
		e, err := envelope.Sign(envelope.Content{RequestType: envelope.Call, IngressExpiry: uint64(now.Add(time.Minute).UnixNano()), CanisterID: id, MethodName: "add",
			Arg: []byte{}}, user.WithInfo(&envelope.SenderInfo{Info: info, Signer: id, Sig: *sig}))
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Verify(uint64(now.UnixNano()), check{id, w.Certified(id)}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got, err := native.Query[*Delegation](w, bert, id, "get_delegation", arg); err != nil || got != nil {
			t.Errorf("%s: another user gets %v, %v", name, got, err)
		}
	}
}
