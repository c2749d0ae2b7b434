package transcripts

import (
	"errors"
	"fmt"

	"fusion/chainkey"
	"fusion/chainkey/idkg"
	"fusion/internal/codec"
	"fusion/replica/genesis"
)

// Name is the scheme's in genesis documents and status.
const Name = genesis.Idkg

// Scheme is package idkg as package chainkey sees schemes. Its keys are not made in ceremonies, so only shares can be decoded.
type Scheme struct{}

var errCeremony = errors.New("keys of scheme " + Name + " have no ceremonies")

// Name implements chainkey.Scheme.
func (Scheme) Name() string { return Name }

// Presigns implements chainkey.Scheme.
func (Scheme) Presigns() bool { return true }

// NeedsParams implements chainkey.Scheme.
func (Scheme) NeedsParams() bool { return false }

// Generate implements chainkey.Scheme: it refuses.
func (Scheme) Generate(chainkey.Generate) (chainkey.Generation, error) { return nil, errCeremony }

// Reshare implements chainkey.Scheme: it refuses.
func (Scheme) Reshare(chainkey.Reshare) (chainkey.Generation, error) { return nil, errCeremony }

// Sign implements chainkey.Scheme: it refuses.
func (Scheme) Sign(chainkey.Sign) (chainkey.Signing, error) { return nil, errCeremony }

// DecodeShare implements chainkey.Scheme.
func (Scheme) DecodeShare(b chainkey.Secret) (chainkey.Share, error) {
	var v storedShare
	if err := codec.Unmarshal(b, &v); err != nil {
		return nil, errors.New("a key share that cannot be decoded") // the decoder's error could quote it
	}
	defer clear(v.Share)
	t, err := idkg.DecodeTranscript(v.Transcript)
	if err != nil {
		return nil, fmt.Errorf("key share: %w", err)
	}
	s, err := idkg.DecodeShare(v.Share, t)
	if err != nil {
		return nil, fmt.Errorf("key share: %w", err)
	}
	return &KeyShare{t, s}, nil
}

type storedShare struct {
	_          struct{} `cbor:",toarray"`
	Transcript []byte
	Share      []byte
}

// KeyShare is a member's share of a key with the transcript that it belongs to.
type KeyShare struct {
	Transcript *idkg.Transcript
	Share      *idkg.Share
}

// PublicKey implements chainkey.Share.
func (k *KeyShare) PublicKey() []byte { return k.Transcript.PublicKey() }

// PublicShares implements chainkey.Share.
func (k *KeyShare) PublicShares() [][]byte { return k.Transcript.PublicShares() }

// Encode implements chainkey.Share.
func (k *KeyShare) Encode() chainkey.Secret {
	share := k.Share.Encode()
	defer share.Wipe()
	return codec.Marshal(storedShare{Transcript: k.Transcript.Encode(), Share: share})
}

// Wipe implements chainkey.Share.
func (k *KeyShare) Wipe() { k.Share.Wipe() }

// Format shows no secret, whatever the verb.
func (k *KeyShare) Format(f fmt.State, verb rune) { k.Share.Format(f, verb) }
