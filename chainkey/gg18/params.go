package gg18

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/bnb-chain/tss-lib/v2/crypto/paillier"
	"github.com/bnb-chain/tss-lib/v2/ecdsa/keygen"

	"fusion/chainkey"
	"fusion/chainkey/gg18/localparams"
)

// ErrParams says that secret parameters are damaged or unfit.
var ErrParams = errors.New("invalid secret parameters")

// paramsSize is the length of encoded parameters, in bytes.
const paramsSize = 1024

// NewParams makes a member's secret parameters. It takes 10 to 90 seconds of CPU time, on up to so many cores, and calls progress
// about once a second; the number of candidates still to try cannot be known. Before each candidate it calls pause, which may be nil and
// returns when the search may use a core, or when the context is done.
func NewParams(ctx context.Context, cores int, pause func(context.Context), progress func(elapsed time.Duration)) (chainkey.Secret, error) {
	start, stop, ended := time.Now(), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				if progress != nil {
					progress(time.Since(start))
				}
			case <-stop:
				return
			}
		}
	}()
	p, err := keygen.GeneratePreParamsWithContextAndRandom(ctx, &pausing{ctx, pause}, max(1, cores))
	close(stop)
	<-ended
	if err != nil {
		return nil, fmt.Errorf("making secret parameters: %w", errors.Join(err, ctx.Err()))
	}
	set := localparams.Set{PaillierP: p.PaillierSK.P, PaillierQ: p.PaillierSK.Q, P: p.P, Q: p.Q, H1: p.H1i, Alpha: p.Alpha}
	return set.Encode(), nil
}

// pausing is the operating system's randomness, with a pause before each read: the library reads once for each candidate. It never fails, since the
// library panics where its source does; a context that is done ends the search in another way.
type pausing struct {
	ctx   context.Context
	pause func(context.Context)
}

// Read implements io.Reader.
func (p *pausing) Read(b []byte) (int, error) {
	if p.pause != nil && p.ctx.Err() == nil {
		p.pause(p.ctx)
	}
	return rand.Read(b)
}

// LocalParams returns the shipped parameters for a member of a local network.
func LocalParams(member int) (chainkey.Secret, error) {
	set, err := localparams.Get(member)
	if err != nil {
		return nil, err
	}
	return set.Encode(), nil
}

// parseParams checks and completes encoded parameters. All numbers of the result are its own.
func parseParams(b chainkey.Secret, allowLocal bool) (*keygen.LocalPreParams, error) {
	if len(b) != paramsSize {
		return nil, fmt.Errorf("%w: %d bytes, want %d", ErrParams, len(b), paramsSize)
	}
	s := localparams.Decode(b)
	p := &keygen.LocalPreParams{NTildei: s.NTilde(), H1i: s.H1, Alpha: s.Alpha, P: s.P, Q: s.Q}
	n := s.Paillier()
	if n.BitLen() != modulusBits || p.NTildei.BitLen() != modulusBits {
		return nil, fmt.Errorf("%w: moduli of %d and %d bits", ErrParams, n.BitLen(), p.NTildei.BitLen())
	}
	if !allowLocal && (localparams.Denied(n) || localparams.Denied(p.NTildei)) {
		return nil, fmt.Errorf("%w: they are those of local networks, which everybody knows", ErrParams)
	}
	p.H2i = new(big.Int).Exp(p.H1i, p.Alpha, p.NTildei)
	if p.Beta = new(big.Int).ModInverse(p.Alpha, new(big.Int).Mul(p.P, p.Q)); p.Beta == nil {
		return nil, fmt.Errorf("%w: alpha is not invertible", ErrParams)
	}
	if err := commitmentBases(p.NTildei, p.H1i, p.H2i); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrParams, err)
	}
	p1, q1 := new(big.Int).Sub(s.PaillierP, one), new(big.Int).Sub(s.PaillierQ, one)
	phi := new(big.Int).Mul(p1, q1)
	lambda := new(big.Int).Div(phi, new(big.Int).GCD(nil, nil, p1, q1))
	p.PaillierSK = &paillier.PrivateKey{PublicKey: paillier.PublicKey{N: n}, LambdaN: lambda, PhiN: phi, P: s.PaillierP, Q: s.PaillierQ}
	return p, nil
}
