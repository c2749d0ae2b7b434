package bench

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"golang.org/x/sync/errgroup"

	"fusion/chainkey"
	"fusion/chainkey/bls"
	"fusion/chainkey/frost"
	"fusion/chainkey/gg18"
	"fusion/chainkey/idkg"
	"fusion/chainkey/idkg/idkgtest"
	"fusion/chainkey/vetkd"
	"fusion/internal/kv"
)

// The schemes are measured without a network: all members in this process, on all its processors, messages handed over in memory. What a
// replica on a machine of its own spends is the CPU time per signature divided by the members that take part.
const (
	frostCount = 200 // signatures of each Schnorr algorithm
	blsCount   = 200
	vetCount   = 100
	oneCount   = 2000 // signatures of a plain key
	rawCount   = 3    // signatures of the bare tss-lib
)

// schemes measures each scheme: key generation and resharing for each of Options.Sizes, then signatures for four members.
func (s *suite) schemes(ctx context.Context) error {
	for _, n := range s.Sizes {
		if err := s.ceremonies(ctx, n); err != nil {
			return fmt.Errorf("%d members: %w", n, err)
		}
	}
	for _, a := range []chainkey.Algorithm{chainkey.Bip340Secp256k1, chainkey.Ed25519} {
		if err := s.frost(ctx, a); err != nil {
			return err
		}
	}
	return s.pairings(ctx)
}

// measure runs a number of pieces of work on all processors and returns how many were done per second, and the CPU time of each.
func measure(ctx context.Context, count int, work func(i int) error) (perSecond float64, each time.Duration, err error) {
	began, cpu := time.Now(), ownCPU()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i := range count {
		g.Go(func() error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return work(i)
		})
	}
	err = g.Wait()
	return float64(count) / time.Since(began).Seconds(), (ownCPU() - cpu) / time.Duration(count), err
}

// play runs all members' parts in a ceremony, each round on all processors.
func play[P chainkey.Protocol](ctx context.Context, parts []P) error {
	outs := make([]chainkey.Output, len(parts))
	step := func(do func(i int) error) error {
		g, ctx := errgroup.WithContext(ctx)
		g.SetLimit(runtime.GOMAXPROCS(0))
		for i := range parts {
			g.Go(func() error {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				return do(i)
			})
		}
		return g.Wait()
	}
	err := step(func(i int) (err error) {
		outs[i], err = parts[i].Start()
		return err
	})
	for round := 1; err == nil && !outs[0].Done; round++ {
		in := make([][]chainkey.Input, len(parts))
		for to := range parts {
			in[to] = make([]chainkey.Input, len(parts))
			for from := range parts {
				if from == to {
					continue
				}
				in[to][from].Broadcast = outs[from].Broadcast
				if outs[from].Private != nil {
					in[to][from].Private = outs[from].Private[to]
				}
			}
		}
		err = step(func(i int) (err error) {
			outs[i], err = parts[i].Deliver(round, in[i])
			return err
		})
	}
	return err
}

// generate runs a key generation among n members.
func generate(ctx context.Context, scheme chainkey.Scheme, a chainkey.Algorithm, n int) ([]chainkey.Share, error) {
	t, err := chainkey.Threshold(n)
	if err != nil {
		return nil, err
	}
	parts := make([]chainkey.Generation, n)
	for i := range parts {
		c := chainkey.Generate{Algorithm: a, Session: [32]byte{1}, Seat: i, Seats: n, Threshold: t, AllowLocal: true, Rand: rand.Reader}
		if scheme.NeedsParams() {
			if c.Params, err = gg18.LocalParams(i); err != nil {
				return nil, err
			}
		}
		if parts[i], err = scheme.Generate(c); err != nil {
			return nil, err
		}
	}
	return finish(ctx, parts)
}

func finish(ctx context.Context, parts []chainkey.Generation) ([]chainkey.Share, error) {
	if err := play(ctx, parts); err != nil {
		return nil, err
	}
	var out []chainkey.Share
	for _, p := range parts {
		share, err := p.Share()
		if err != nil {
			return nil, err
		}
		out = append(out, share)
	}
	return out, nil
}

// reshare hands a key to the same members in a new epoch.
func reshare(ctx context.Context, scheme chainkey.Scheme, a chainkey.Algorithm, old []chainkey.Share) ([]chainkey.Share, error) {
	t, err := chainkey.Threshold(len(old))
	if err != nil {
		return nil, err
	}
	places := make([]chainkey.Part, len(old))
	for i := range places {
		places[i] = chainkey.Part{Old: -1, New: i}
		if i <= t {
			places[i].Old = i
		}
	}
	parts := make([]chainkey.Generation, len(old))
	for i := range parts {
		c := chainkey.Reshare{Algorithm: a, Session: [32]byte{2}, Public: old[0].PublicKey(), Old: old[0].PublicShares(), Parts: places, Seat: i, Threshold: t,
			Share: old[i], AllowLocal: true, Rand: rand.Reader}
		if scheme.NeedsParams() {
			if c.Params, err = gg18.LocalParams(i); err != nil {
				return nil, err
			}
		}
		if parts[i], err = scheme.Reshare(c); err != nil {
			return nil, err
		}
	}
	return finish(ctx, parts)
}

// ceremonies measures key generation and resharing among n members.
func (s *suite) ceremonies(ctx context.Context, n int) error {
	if n > interactive {
		return s.idkg(ctx, n, nil)
	}
	for _, k := range []struct {
		name   string
		scheme chainkey.Scheme
		a      chainkey.Algorithm
	}{{"gg18", gg18.Scheme{}, chainkey.EcdsaSecp256k1}, {"frost_bip340", frost.Scheme{}, chainkey.Bip340Secp256k1}, {"frost_ed25519", frost.Scheme{}, chainkey.Ed25519}} {
		s.Progress.Begin(fmt.Sprintf("%s key generation among %d", k.name, n))
		began, cpu := time.Now(), ownCPU()
		shares, err := generate(ctx, k.scheme, k.a, n)
		if err != nil {
			return fmt.Errorf("%s key generation: %w", k.name, err)
		}
		s.add(fmt.Sprintf("%s_keygen_%d_s", k.name, n), time.Since(began).Seconds(), "s", "", 0)
		s.add(fmt.Sprintf("%s_keygen_%d_cpu_s", k.name, n), (ownCPU()-cpu).Seconds()/float64(n), "CPU-s/member", "", 0)
		s.Progress.Begin(fmt.Sprintf("%s resharing among %d", k.name, n))
		began, cpu = time.Now(), ownCPU()
		if _, err := reshare(ctx, k.scheme, k.a, shares); err != nil {
			return fmt.Errorf("%s resharing: %w", k.name, err)
		}
		s.add(fmt.Sprintf("%s_reshare_%d_s", k.name, n), time.Since(began).Seconds(), "s", "", 0)
		s.add(fmt.Sprintf("%s_reshare_%d_cpu_s", k.name, n), (ownCPU()-cpu).Seconds()/float64(n), "CPU-s/member", "", 0)
		if k.scheme.Name() == gg18.Name {
			if err := s.idkg(ctx, n, shares); err != nil {
				return fmt.Errorf("idkg: %w", err)
			}
		}
	}
	began, cpu := time.Now(), ownCPU()
	if _, _, err := blsKey(n); err != nil {
		return err
	}
	s.add(fmt.Sprintf("bls_keygen_%d_s", n), time.Since(began).Seconds(), "s", "", 0)
	s.add(fmt.Sprintf("bls_keygen_%d_cpu_s", n), (ownCPU()-cpu).Seconds()/float64(n), "CPU-s/member", "", 0)
	return nil
}

// interactive is of how many members at most the interactive schemes are measured: beyond, their ceremonies take hours of one machine.
const interactive = 13

// idkg measures the robust scheme, each of n members working for itself one after the other, beside signatures of bare tss-lib with shares of as many
// members, if there are any.
func (s *suite) idkg(ctx context.Context, n int, shares []chainkey.Share) error {
	s.Progress.Begin(fmt.Sprintf("idkg among %d, and signatures of the bare library", n))
	var signers []*gg18.Share
	for _, x := range shares {
		if g, ok := x.(*gg18.Share); ok && (len(signers) == 0 || len(signers) <= g.Threshold()) {
			signers = append(signers, g)
		}
	}
	cpu := ownCPU()
	for i := range min(rawCount, rawCount*len(signers)) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if _, err := gg18.SignRaw(signers, sha256.Sum256([]byte{byte(i)})); err != nil {
			return fmt.Errorf("the reference: %w", err)
		}
	}
	raw, reference := milliseconds(ownCPU()-cpu)/rawCount, "tss-lib alone, same members and run"
	if len(signers) == 0 {
		raw, reference = 0, ""
	}
	member := func(what string, used time.Duration, count int) (all float64) {
		each := milliseconds(used) / float64(n*count)
		s.add(fmt.Sprintf("idkg_%s_%d_cpu_ms", what, n), each, "CPU-ms/member", "", 0)
		return each * float64(n)
	}
	cpu = ownCPU()
	w, err := idkgtest.New(chainkey.EcdsaSecp256k1, 1, n, rand.Reader)
	if err != nil {
		return err
	}
	key, err := w.Generate()
	if err != nil {
		return err
	}
	member("keygen", ownCPU()-cpu, 1)
	next, err := idkgtest.New(chainkey.EcdsaSecp256k1, 2, n, rand.Reader)
	if err != nil {
		return err
	}
	cpu = ownCPU()
	if _, err := w.Reshare(next, key); err != nil {
		return err
	}
	member("reshare", ownCPU()-cpu, 1)
	began := time.Now()
	cpu, w.Bytes = ownCPU(), 0
	ps, err := w.Presign(key, 1, idkg.MaxCount)
	if err != nil {
		return err
	}
	total := member("presignature", ownCPU()-cpu, len(ps))
	// Members are different machines on a network: each needs its own part of the time that all of them took here.
	s.add(fmt.Sprintf("idkg_presignatures_%d_per_s_and_core", n), float64(len(ps)*n)/time.Since(began).Seconds(), "presignatures/s", "", 0)
	s.add(fmt.Sprintf("idkg_presignature_%d_bytes", n), float64(w.Bytes)/float64(len(ps)), "bytes", "", 0)
	cpu, w.Bytes = ownCPU(), 0
	for i, p := range ps {
		if _, err := w.Sign(key, p, chainkey.HashMessage(sha256.Sum256([]byte{byte(i)}))); err != nil {
			return err
		}
	}
	total += member("signature", ownCPU()-cpu, len(ps))
	s.add(fmt.Sprintf("idkg_signature_%d_bytes", n), float64(w.Bytes)/float64(len(ps)), "bytes", "", 0)
	s.add(fmt.Sprintf("idkg_cpu_ms_per_signature_%d", n), total, "CPU-ms", reference, raw)
	return nil
}

// frost measures signatures of three of four members beside those of a plain key.
func (s *suite) frost(ctx context.Context, a chainkey.Algorithm) error {
	const members = 4
	name := "frost_" + map[chainkey.Algorithm]string{chainkey.Bip340Secp256k1: "bip340", chainkey.Ed25519: "ed25519"}[a]
	s.Progress.Begin(name + " signatures")
	shares, err := generate(ctx, frost.Scheme{}, a, members)
	if err != nil {
		return err
	}
	committee := []int{0, 1, 3}
	rate, cpu, err := measure(ctx, frostCount, func(i int) error {
		m := chainkey.HashMessage(sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i))))
		parts := make([]chainkey.Signing, len(committee))
		for j, seat := range committee {
			var err error
			c := chainkey.Sign{Session: [32]byte{3, byte(i), byte(i >> 8)}, Share: shares[seat], Committee: committee, Seat: j, Message: m, Rand: rand.Reader}
			if parts[j], err = (frost.Scheme{}).Sign(c); err != nil {
				return err
			}
			defer parts[j].Wipe()
		}
		if err := play(ctx, parts); err != nil {
			return err
		}
		signature, err := parts[0].Signature()
		if err != nil {
			return err
		}
		return chainkey.Verify(a, shares[0].PublicKey(), m, signature)
	})
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	one, reference := plainEd25519, "crypto/ed25519, one key, signed and checked"
	if a == chainkey.Bip340Secp256k1 {
		one, reference = plainBip340, "btcec, one key, signed and checked"
	}
	oneRate, oneCPU, err := measure(ctx, oneCount, one)
	if err != nil {
		return fmt.Errorf("%s: the reference: %w", name, err)
	}
	s.add(name+"_signatures_per_s", rate, "signatures/s", reference, oneRate)
	s.add(name+"_cpu_ms_per_signature", milliseconds(cpu), "CPU-ms", reference, milliseconds(oneCPU))
	return nil
}

func milliseconds(d time.Duration) float64 { return d.Seconds() * 1000 }

var errPlain = errors.New("the reference made a signature that does not verify")

func plainEd25519(i int) error {
	key := ed25519.NewKeyFromSeed(binary.BigEndian.AppendUint64(make([]byte, 24), uint64(i)))
	m := sha256.Sum256(key)
	if !ed25519.Verify(key.Public().(ed25519.PublicKey), m[:], ed25519.Sign(key, m[:])) {
		return errPlain
	}
	return nil
}

func plainBip340(i int) error {
	key, public := btcec.PrivKeyFromBytes(binary.BigEndian.AppendUint64(make([]byte, 24), uint64(i)+1))
	m := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i)))
	signature, err := schnorr.Sign(key, m[:])
	if err != nil {
		return err
	}
	if !signature.Verify(m[:], public) {
		return errPlain
	}
	return nil
}

// blsKey runs the subnet's key generation among n members.
func blsKey(n int) (*bls.Group, []*bls.SecretShare, error) {
	p := bls.Params{Domain: []byte("bench"), Epoch: 1}
	var members []*bls.Member
	for i := range n {
		key := ed25519.NewKeyFromSeed(binary.BigEndian.AppendUint64(make([]byte, 24), uint64(i)))
		p.Nodes = append(p.Nodes, key.Public().(ed25519.PublicKey))
		members = append(members, bls.NewMember(bls.NewSeed(), i, key))
	}
	store := kv.NewMem()
	board, err := bls.Start(store, 0, p)
	if err != nil {
		return nil, nil, err
	}
	for height := uint64(1); height <= 3; height++ {
		var items [][]byte
		for _, m := range members {
			items = append(items, m.Pending(board))
		}
		board.Step(store, height, items)
	}
	result, ok := board.Result()
	if !ok {
		return nil, nil, fmt.Errorf("bls: no key: %+v", board.Status())
	}
	group, err := result.Group()
	if err != nil {
		return nil, nil, err
	}
	var shares []*bls.SecretShare
	for _, m := range members {
		share, err := m.Share(board)
		if err != nil {
			return nil, nil, err
		}
		shares = append(shares, share)
	}
	return group, shares, nil
}

// pairings measures the schemes on BLS12-381, three of four members: the subnet's own signatures, and derived keys.
func (s *suite) pairings(ctx context.Context) error {
	const members = 4
	s.Progress.Begin("BLS signatures and derived keys")
	group, secrets, err := blsKey(members)
	if err != nil {
		return err
	}
	single, singles, err := blsKey(1)
	if err != nil {
		return err
	}
	sign := func(g *bls.Group, holders []*bls.SecretShare) func(int) error {
		return func(i int) error {
			m := bls.Message("bench", binary.BigEndian.AppendUint64(nil, uint64(i)))
			var shares []bls.Share
			for _, h := range holders {
				share, err := h.Sign(m)
				if err != nil {
					return err
				}
				shares = append(shares, share)
			}
			signature, err := g.Combine(m, shares)
			if err != nil {
				return err
			}
			return g.Verify(m, signature)
		}
	}
	master := group.PublicKey()
	three := secrets[:bls.Threshold(members)]
	rate, cpu, err := measure(ctx, blsCount, sign(group, three))
	if err != nil {
		return fmt.Errorf("bls: %w", err)
	}
	oneRate, oneCPU, err := measure(ctx, blsCount, sign(single, singles))
	if err != nil {
		return fmt.Errorf("bls: the reference: %w", err)
	}
	const reference = "blst, one key, signed and checked"
	s.add("bls_signatures_per_s", rate, "signatures/s", reference, oneRate)
	s.add("bls_cpu_ms_per_signature", milliseconds(cpu), "CPU-ms", reference, milliseconds(oneCPU))

	rate, cpu, err = measure(ctx, vetCount, func(i int) error {
		tk, err := vetkd.NewTransportKey(rand.Reader)
		if err != nil {
			return err
		}
		transport := tk.Public()
		input := binary.BigEndian.AppendUint64(nil, uint64(i))
		q, err := vetkd.NewRequest(master[:], []byte("canister"), []byte("bench"), input, transport[:])
		if err != nil {
			return err
		}
		var shares []vetkd.Share
		for _, h := range three {
			share, err := q.Share(h)
			if err != nil {
				return err
			}
			shares = append(shares, share)
		}
		key, err := q.Combine(group, shares)
		if err != nil {
			return err
		}
		public, err := vetkd.DerivePublicKey(master[:], []byte("canister"), []byte("bench"))
		if err != nil {
			return err
		}
		_, err = tk.Decrypt(key[:], public[:], input)
		return err
	})
	if err != nil {
		return fmt.Errorf("vetkd: %w", err)
	}
	s.add("vetkd_keys_per_s", rate, "keys/s", "blst, one key, signed and checked", oneRate)
	s.add("vetkd_cpu_ms_per_key", milliseconds(cpu), "CPU-ms", "blst, one key, signed and checked", milliseconds(oneCPU))
	return nil
}
