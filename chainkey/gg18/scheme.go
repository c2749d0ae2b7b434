package gg18

import "fusion/chainkey"

// Name is the scheme's name in session ids and stored shares.
const Name = "gg18"

// Scheme implements chainkey.Scheme.
type Scheme struct{}

var _ chainkey.Scheme = Scheme{}

// Name implements chainkey.Scheme.
func (Scheme) Name() string { return Name }

// Presigns implements chainkey.Scheme: there is no pool.
func (Scheme) Presigns() bool { return false }

// NeedsParams implements chainkey.Scheme.
func (Scheme) NeedsParams() bool { return true }

// Generate implements chainkey.Scheme.
func (Scheme) Generate(g chainkey.Generate) (chainkey.Generation, error) { return NewKeygen(g, nil) }

// Reshare implements chainkey.Scheme.
func (Scheme) Reshare(r chainkey.Reshare) (chainkey.Generation, error) { return NewResharing(r) }

// Sign implements chainkey.Scheme.
func (Scheme) Sign(c chainkey.Sign) (chainkey.Signing, error) { return NewSigner(c) }

// DecodeShare implements chainkey.Scheme.
func (Scheme) DecodeShare(b chainkey.Secret) (chainkey.Share, error) { return DecodeShare(b) }
