package idkg

import (
	"errors"
	"fmt"
	"slices"

	"fusion/chainkey"
)

// PresignFirst makes the first wave of the sharings for some presignatures: the nonces kappa, unmasked, and for ECDSA the blindings lambda, masked.
// Both can be dealt at once. The serials, from the first on, are not zero, which is the key's own, and serve once per key and epoch.
func PresignFirst(key *Transcript, r *Roster, serial uint64, count int) ([]*Sharing, error) {
	if serial == 0 {
		return nil, errors.New("presignature: serial 0 is that of the key")
	}
	kinds := []Kind{RandomUnmasked}
	if key.key.Algorithm == chainkey.EcdsaSecp256k1 {
		kinds = append(kinds, Random)
	}
	var out []*Sharing
	for _, k := range kinds {
		s, err := NewSharing(Params{Key: key.key, Kind: k, Serial: serial, Count: count, Dealers: r, Receivers: r})
		if err != nil {
			return nil, fmt.Errorf("presignature: %w", err)
		}
		out = append(out, s)
	}
	return out, nil
}

// PresignSecond makes the second wave, for ECDSA only: the products kappa·lambda and key·lambda.
func PresignSecond(key *Transcript, r *Roster, serial uint64, kappa, lambda []*Transcript) ([]*Sharing, error) {
	if key.key.Algorithm != chainkey.EcdsaSecp256k1 {
		return nil, fmt.Errorf("presignature: %w: %s has one wave", chainkey.ErrAlgorithm, key.key.Algorithm)
	}
	var out []*Sharing
	for _, left := range [][]*Transcript{kappa, slices.Repeat([]*Transcript{key}, len(kappa))} {
		s, err := NewSharing(Params{Key: key.key, Kind: Product, Serial: serial, Count: len(kappa), Dealers: r, Receivers: r, Left: left, Right: lambda})
		if err != nil {
			return nil, fmt.Errorf("presignature: %w", err)
		}
		out = append(out, s)
	}
	return out, nil
}

// Presignature is all of a signature that does not depend on key derivation and message. It serves one request.
type Presignature struct {
	key         [32]byte
	kappa       *Transcript
	lambda      *Transcript // this and the following for ECDSA only
	kappaLambda *Transcript
	keyLambda   *Transcript
	name        [32]byte
	digest      [32]byte
}

// NewPresignature checks that the transcripts are those of one presignature of the key. For Schnorr signatures it is kappa alone.
func NewPresignature(key, kappa, lambda, kappaLambda, keyLambda *Transcript) (*Presignature, error) {
	bad := func(why string) (*Presignature, error) { return nil, fmt.Errorf("presignature: %s", why) }
	if err := checkKey(key); err != nil {
		return nil, fmt.Errorf("presignature: %w", err)
	}
	all := []*Transcript{kappa}
	if key.key.Algorithm == chainkey.EcdsaSecp256k1 {
		all = append(all, lambda, kappaLambda, keyLambda)
	} else if lambda != nil || kappaLambda != nil || keyLambda != nil {
		return bad("Schnorr signatures take a nonce and nothing else")
	}
	h := newHash("presignature").bytes(key.digest[:])
	for _, t := range all {
		if t == nil || t.key != key.key || t.roster != key.roster {
			return bad("a transcript is missing, or of another key or other members")
		}
		if t.serial == 0 || t.serial != kappa.serial {
			return bad("its transcripts have not one serial of their own")
		}
		h.bytes(t.digest[:])
	}
	if kappa.kind != RandomUnmasked {
		return bad("kappa is not random and unmasked")
	}
	if lambda != nil {
		switch {
		case lambda.kind != Random:
			return bad("lambda is not random and masked")
		case kappaLambda.kind != Product || kappaLambda.left != kappa.digest || kappaLambda.right != lambda.digest:
			return bad("the product of kappa and lambda is another one")
		case keyLambda.kind != Product || keyLambda.left != key.digest || keyLambda.right != lambda.digest:
			return bad("the product of key and lambda is another one")
		}
	}
	name := newHash("presignature name").bytes([]byte(key.key.String())).bytes(key.roster[:]).number(kappa.serial).digest()
	return &Presignature{key.digest, kappa, lambda, kappaLambda, keyLambda, name, h.digest()}, nil
}

// Name is what Bind ties to a request: a hash of key, roster and serial. A nonce or a blinding that two presignatures had in common would give the
// key away as surely as one that signs twice, and whatever has a part in common has one name.
func (p *Presignature) Name() [32]byte { return p.name }

// Digest is a hash of all transcripts.
func (p *Presignature) Digest() [32]byte { return p.digest }

// checkKey says why a transcript cannot be a key.
func checkKey(t *Transcript) error {
	if t == nil || t.kind != ReshareMasked && t.kind != ReshareUnmasked {
		return errors.New("a key is a reshared transcript: a random one, masked, whose secret nobody could bias, or a key of an earlier epoch")
	}
	return nil
}

// Shares are one member's of a key and a presignature.
type Shares struct {
	Key         *Share
	Kappa       *Share
	Lambda      *Share
	KappaLambda *Share
	KeyLambda   *Share
}

// Destroy wipes all but the key's: the presignature is used up.
func (s *Shares) Destroy() {
	s.Kappa.Wipe()
	s.Lambda.Wipe()
	s.KappaLambda.Wipe()
	s.KeyLambda.Wipe()
}
