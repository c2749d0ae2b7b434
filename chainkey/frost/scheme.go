package frost

import "fusion/chainkey"

// Name is the scheme's name in session ids and stored shares.
const Name = "frost"

// Scheme implements chainkey.Scheme.
type Scheme struct{}

var _ chainkey.Scheme = Scheme{}

// Name implements chainkey.Scheme.
func (Scheme) Name() string { return Name }

// Presigns implements chainkey.Scheme: nonces are made for each signature.
func (Scheme) Presigns() bool { return false }

// NeedsParams implements chainkey.Scheme.
func (Scheme) NeedsParams() bool { return false }

// Generate implements chainkey.Scheme.
func (Scheme) Generate(g chainkey.Generate) (chainkey.Generation, error) { return NewKeygen(g) }

// Reshare implements chainkey.Scheme.
func (Scheme) Reshare(r chainkey.Reshare) (chainkey.Generation, error) { return NewResharing(r) }

// Sign implements chainkey.Scheme.
func (Scheme) Sign(c chainkey.Sign) (chainkey.Signing, error) { return NewSigner(c) }

// DecodeShare implements chainkey.Scheme.
func (Scheme) DecodeShare(b chainkey.Secret) (chainkey.Share, error) { return DecodeShare(b) }
