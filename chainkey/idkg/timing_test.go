package idkg

import (
	"crypto/rand"
	"math"
	"os"
	"slices"
	"testing"
	"time"

	"fusion/chainkey"
	"fusion/chainkey/idkg/curve"
)

// timingEnv turns TestTiming on; it needs a machine that is doing nothing else.
const timingEnv = "FUSION_TIMING"

// TestTiming looks for a difference in time between secrets of two classes, one fixed value and fresh random ones, in everything that
// computes with a secret (the method of Reparaz, Balasch and Verbauwhede, "Dude, is my code constant time?", eprint 2016/1123): both classes in random order,
// the slow tail cut at several quantiles, Welch's t. A |t| above 10 in each of three runs is a leak. The last case is a multiplication in variable time,
// which must be found: otherwise the test sees nothing.
func TestTiming(t *testing.T) {
	if os.Getenv(timingEnv) == "" {
		t.Skipf("%s is not set: it takes a quiet machine", timingEnv)
	}
	for _, c := range []curve.Curve{curve.Secp256k1, curve.Ed25519} {
		point := c.Hash("timing", nil)
		other := draw(c)
		share := func(a *curve.Scalar) *Shares {
			s := &Share{value: a, mask: a}
			return &Shares{s, s, s, s, s}
		}
		shares := func(a *curve.Scalar) func() {
			in := share(a)
			return func() {
				x := other.Mul(in.Lambda.value)
				x.Add(other.Mul(in.KeyLambda.value))
				in.KappaLambda.value.Add(x)
			}
		}
		none := func(f func(*curve.Scalar)) func(*curve.Scalar) func() {
			return func(s *curve.Scalar) func() { return func() { f(s) } }
		}
		for _, op := range []struct {
			name  string
			leaks bool
			runs  int
			make  func(*curve.Scalar) func()
		}{
			{"k·G", false, 8000, none(func(s *curve.Scalar) { c.Mul(s) })},
			{"k·H", false, 8000, none(func(s *curve.Scalar) { c.MulH(s) })},
			{"k·P", false, 8000, none(func(s *curve.Scalar) { point.Mul(s) })},
			{"product", false, 40000, none(func(s *curve.Scalar) { s.Mul(other) })},
			{"sum", false, 40000, none(func(s *curve.Scalar) { s.Add(other) })},
			{"encoding", false, 40000, none(func(s *curve.Scalar) { clear(s.Bytes()) })},
			{"inverse", false, 8000, none(func(s *curve.Scalar) { s.Invert() })},
			{"polynomial", false, 20000, none(func(s *curve.Scalar) { c.Evaluate([]*curve.Scalar{s, other, s}, 6).Wipe() })},
			{"signature share", false, 20000, shares},
			{"k·P in variable time", true, 8000, none(func(s *curve.Scalar) { point.MulVar(s) })},
		} {
			t.Run(c.String()+"/"+op.name, func(t *testing.T) {
				least := math.Inf(1)
				for range 3 {
					least = math.Min(least, leak(op.runs, func(random bool) func() {
						both := [2]*curve.Scalar{c.Scalar(1), draw(c)} // the same work before either
						if random {
							both[0], both[1] = both[1], both[0]
						}
						return op.make(both[0])
					}))
					if least < 10 {
						break
					}
				}
				t.Logf("|t| = %.1f", least)
				if (least >= 10) != op.leaks {
					t.Errorf("|t| = %.1f, a leak: %v", least, op.leaks)
				}
			})
		}
	}
}

func draw(c curve.Curve) *curve.Scalar {
	var b [64]byte
	_, _ = rand.Read(b[:])
	return c.Wide(&b)
}

// leak measures n operations, half of them on the fixed secret, and returns the largest |t| over several cuts.
func leak(n int, prepare func(random bool) func()) float64 {
	coins := make([]byte, n)
	_, _ = rand.Read(coins)
	type sample struct {
		random bool
		d      float64
	}
	samples := make([]sample, 0, n)
	for i, coin := range coins {
		op := prepare(coin&1 == 1)
		start := time.Now()
		op()
		d := time.Since(start)
		if i > n/20 { // caches are warm
			samples = append(samples, sample{coin&1 == 1, float64(d)})
		}
	}
	all := make([]float64, len(samples))
	for i, s := range samples {
		all[i] = s.d
	}
	slices.Sort(all)
	worst := 0.0
	for _, q := range []float64{0.5, 0.7, 0.9} {
		limit := all[int(q*float64(len(all)-1))]
		var count, mean, m2 [2]float64
		for _, s := range samples {
			if s.d > limit {
				continue
			}
			k := 0
			if s.random {
				k = 1
			}
			count[k]++
			delta := s.d - mean[k]
			mean[k] += delta / count[k]
			m2[k] += delta * (s.d - mean[k])
		}
		if count[0] < 2 || count[1] < 2 {
			continue
		}
		spread := math.Sqrt(m2[0]/(count[0]*(count[0]-1)) + m2[1]/(count[1]*(count[1]-1)))
		if spread > 0 {
			worst = math.Max(worst, math.Abs(mean[0]-mean[1])/spread)
		}
	}
	return worst
}

// TestSharesAllocateAlike: what a signature share allocates does not depend on the secret.
func TestSharesAllocateAlike(t *testing.T) {
	w := newNet(t, chainkey.EcdsaSecp256k1, 1, 0, 4)
	key := w.generate(nil)
	p := w.presign(key, nil)
	s := w.request(key, p, messages(chainkey.EcdsaSecp256k1)[0])
	count := func(x *curve.Scalar) float64 {
		in := *p.shares[0]
		for _, at := range []**Share{&in.Lambda, &in.KappaLambda, &in.KeyLambda} {
			changed := **at
			changed.value, changed.mask = x, x
			*at = &changed
		}
		return testing.AllocsPerRun(20, func() {
			if _, err := s.Share(w.ids[0], &in, free); err != nil {
				t.Fatal(err)
			}
		})
	}
	if a, b := count(curve.Secp256k1.Scalar(0)), count(draw(curve.Secp256k1)); a != b {
		t.Errorf("%v allocations for one secret, %v for another", a, b)
	}
}
