package bench

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"fusion/chainkey"
	"fusion/chainkey/gg18"
	"fusion/chainkey/keystore"
	"fusion/ic/agent"
	"fusion/ic/candid"
	"fusion/internal/wasmbin"
	"fusion/replica/genesis"
	"fusion/replica/management"
	"fusion/testnets"
)

const (
	// signatures of each side of the comparison, and how many are under way at once: a local network's limit.
	signatureCount, signatureParallel = 16, 4
	// signCycles covers the fee of a signature of the largest subnets; the rest comes back.
	signCycles = 40_000_000_000
)

// signatures lets a canister ask for signatures of the threshold key, end to end, and then signs with the bare library and the
// same key's shares.
func (s *suite) signatures(ctx context.Context) error {
	c, a, forwarder, err := s.setup(ctx, forwarderModule(), nil)
	if err != nil {
		return err
	}
	defer c.close()
	s.Progress.Begin("threshold signatures")
	began, cpu := time.Now(), ownCPU()
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(signatureParallel)
	for i := range signatureCount {
		g.Go(func() error {
			hash := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i)))
			in := management.SignWithEcdsaArgs{MessageHash: hash[:], KeyID: management.EcdsaKeyID{
				Curve: management.EcdsaCurve{Secp256k1: candid.Unit}, Name: testnets.TestKey}}
			var out management.SignatureResult
			if err := a.Update(gctx, forwarder, "sign", []any{in}, []any{&out}); err != nil {
				return fmt.Errorf("signature %d: %w", i, err)
			}
			if len(out.Signature) != 64 {
				return fmt.Errorf("signature %d has %d bytes", i, len(out.Signature))
			}
			s.Progress.Note("%d of %d", i+1, signatureCount)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	took, used := time.Since(began).Seconds(), (ownCPU() - cpu).Seconds()
	shares, err := s.shares()
	if err != nil {
		return err
	}
	s.Progress.Begin("signatures of the bare library")
	began, cpu = time.Now(), ownCPU()
	g, gctx = errgroup.WithContext(ctx)
	g.SetLimit(signatureParallel)
	for i := range signatureCount {
		g.Go(func() error {
			if gctx.Err() != nil {
				return gctx.Err()
			}
			s.Progress.Note("%d of %d", i+1, signatureCount)
			_, err := gg18.SignRaw(shares, sha256.Sum256([]byte{byte(i)}))
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	rawTook, rawUsed := time.Since(began).Seconds(), (ownCPU() - cpu).Seconds()
	s.add("gg18_signatures_per_s", signatureCount/took, "signatures/s", "tss-lib alone, same key and run", signatureCount/rawTook)
	s.add("gg18_cpu_s_per_signature", used/signatureCount, "CPU-s", "tss-lib alone, same key and run", rawUsed/signatureCount)
	return nil
}

// Of the robust scheme: how many signatures are asked for one after the other, at once, and then all the time, by how many users.
const (
	presignedAlone, presignedBurst, presignedUsers = 8, 96, 96
	presignedPool                                  = 240 // ready before each of these
	presignedFor                                   = 20 * time.Second
	// presignedPause is the pause between blocks (commit_wait), which most of the latency is: a signature takes four blocks.
	presignedPause = 50 * time.Millisecond
)

// presigned lets a canister on a network of the robust scheme ask for signatures: one after the other, as many at once as the pool has, and all the time.
func (s *suite) presigned(ctx context.Context) (err error) {
	if err := s.stop(); err != nil {
		return err
	}
	s.Progress.Begin("a network of the robust scheme")
	n, err := s.open(ctx, s.dir+"-idkg", testnets.Settings{Scheme: genesis.Idkg, Keys: []chainkey.KeyID{testnets.EcdsaKey}, CommitWait: presignedPause})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	c, a, forwarder, err := setupOn(ctx, n, forwarderModule(), func(*agent.Agent) any { return nil }, nil)
	if err != nil {
		return err
	}
	defer c.close()
	var asked atomic.Uint64
	sign := func(ctx context.Context) error {
		hash := sha256.Sum256(binary.BigEndian.AppendUint64(nil, asked.Add(1)))
		in := management.SignWithEcdsaArgs{MessageHash: hash[:], KeyID: management.EcdsaKeyID{
			Curve: management.EcdsaCurve{Secp256k1: candid.Unit}, Name: testnets.TestKey}}
		var out management.SignatureResult
		if err := a.Update(ctx, forwarder, "sign", []any{in}, []any{&out}); err != nil {
			return fmt.Errorf("signature %x: %w", hash[:4], err)
		}
		if len(out.Signature) != 64 {
			return fmt.Errorf("a signature of %d bytes", len(out.Signature))
		}
		return nil
	}
	full := func() error {
		t := time.NewTicker(50 * time.Millisecond)
		defer t.Stop()
		for {
			if k := n.Replica(0).Status().Keys[0]; k.Presignatures >= presignedPool && k.Making == 0 {
				return nil
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-t.C:
			}
		}
	}
	s.Progress.Begin("signatures of the robust scheme")
	if err := full(); err != nil {
		return err
	}
	var each []time.Duration
	for range presignedAlone {
		began := time.Now()
		if err := sign(ctx); err != nil {
			return err
		}
		each = append(each, time.Since(began))
	}
	slices.Sort(each)
	s.add("idkg_latency_p50_ms", milliseconds(each[len(each)/2]), "ms", "", 0)
	if err := full(); err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	began := time.Now()
	for range presignedBurst {
		g.Go(func() error { return sign(gctx) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	s.add("idkg_burst_signatures_per_s", presignedBurst/time.Since(began).Seconds(), "signatures/s", "", 0)
	if err := full(); err != nil {
		return err
	}
	first := asked.Load()
	g, gctx = errgroup.WithContext(ctx)
	began, cpu := time.Now(), ownCPU()
	for range presignedUsers {
		g.Go(func() error {
			for time.Since(began) < presignedFor {
				if err := sign(gctx); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	count := float64(asked.Load() - first)
	took, used := time.Since(began).Seconds(), ownCPU()-cpu
	s.add("idkg_signatures_per_s", count/took, "signatures/s", "", 0)
	s.add("idkg_network_cpu_ms_per_signature", milliseconds(used)/count, "CPU-ms", "", 0)
	s.add("idkg_cores_used", used.Seconds()/took, "cores", "", 0)
	return nil
}

// shares stops the network and reads as many of its key's shares as it takes to sign.
func (s *suite) shares() (_ []*gg18.Share, err error) {
	if err := s.stop(); err != nil {
		return nil, err
	}
	var out []*gg18.Share
	for node := 0; len(out) == 0 || len(out) <= out[0].Threshold(); node++ {
		store, err := keystore.Open(keystore.Options{Dir: filepath.Join(testnets.NodeDir(s.dir, node), "keys"), AllowPlain: true})
		if err != nil {
			return nil, err
		}
		defer store.Close()
		all, err := store.Shares()
		if err != nil {
			return nil, err
		}
		all = slices.DeleteFunc(all, func(g keystore.Generation) bool { return g.Key != testnets.EcdsaKey.String() })
		if len(all) == 0 {
			return nil, fmt.Errorf("node %d has no share of %s", node, testnets.EcdsaKey)
		}
		// An attempt that failed may have left one; the last attempt made the key.
		last := slices.MaxFunc(all, func(a, b keystore.Generation) int { return cmp.Compare(a.Attempt, b.Attempt) })
		_, encoded, err := store.Share(last)
		if err != nil {
			return nil, err
		}
		if len(encoded) < transcript {
			return nil, fmt.Errorf("node %d's share is cut short", node)
		}
		share, err := gg18.DecodeShare(encoded[transcript:])
		if err != nil {
			return nil, err
		}
		out = append(out, share)
	}
	return out, nil
}

// transcript is the size of the hash of its key generation that a replica keeps in front of a share.
const transcript = 32

// forwarderModule is a canister with one method, sign, which passes its argument on to sign_with_ecdsa and the answer back. A
// canister has to ask, users may not.
func forwarderModule() []byte {
	const (
		base    = 1024 // where arguments and replies are put
		name    = 0    // where the method's name stands
		nameLen = 15   // of "sign_with_ecdsa"
		i32     = wasmbin.I32
	)
	var m wasmbin.Module
	imports := map[string]uint32{}
	for _, f := range []struct {
		name    string
		params  []wasmbin.ValType
		results []wasmbin.ValType
	}{
		{"msg_arg_data_size", nil, []wasmbin.ValType{i32}},
		{"msg_arg_data_copy", []wasmbin.ValType{i32, i32, i32}, nil},
		{"msg_reply_data_append", []wasmbin.ValType{i32, i32}, nil},
		{"msg_reply", nil, nil},
		{"msg_reject_msg_size", nil, []wasmbin.ValType{i32}},
		{"msg_reject_msg_copy", []wasmbin.ValType{i32, i32, i32}, nil},
		{"msg_reject", []wasmbin.ValType{i32, i32}, nil},
		{"call_new", []wasmbin.ValType{i32, i32, i32, i32, i32, i32, i32, i32}, nil},
		{"call_data_append", []wasmbin.ValType{i32, i32}, nil},
		{"call_cycles_add128", []wasmbin.ValType{wasmbin.I64, wasmbin.I64}, nil},
		{"call_perform", nil, []wasmbin.ValType{i32}},
	} {
		imports[f.name] = uint32(len(m.Imports))
		m.Imports = append(m.Imports, wasmbin.Import{Module: "ic0", Name: f.name, Kind: wasmbin.KindFunc,
			Func: m.AddType(wasmbin.FuncType{Params: f.params, Results: f.results})})
	}
	call := func(fn string, args ...[]byte) []byte {
		var code []byte
		for _, a := range args {
			code = append(code, a...)
		}
		return wasmbin.AppendIndex(code, wasmbin.OpCall, imports[fn])
	}
	num := func(v int32) []byte { return wasmbin.AppendI32(nil, v) }
	long := func(v int64) []byte { return wasmbin.AppendI64(nil, v) }
	function := func(params []wasmbin.ValType, parts ...[]byte) uint32 {
		var code []byte
		for _, p := range parts {
			code = append(code, p...)
		}
		m.Funcs = append(m.Funcs, m.AddType(wasmbin.FuncType{Params: params}))
		m.Code = append(m.Code, wasmbin.Code{Body: wasmbin.AppendOp(code, wasmbin.OpEnd)})
		return uint32(len(m.Imports) + len(m.Code) - 1)
	}
	env := []wasmbin.ValType{i32}
	take := call("msg_arg_data_copy", num(base), num(0), call("msg_arg_data_size"))
	replied := function(env, take, call("msg_reply_data_append", num(base), call("msg_arg_data_size")), call("msg_reply"))
	rejected := function(env, call("msg_reject_msg_copy", num(base), num(0), call("msg_reject_msg_size")),
		call("msg_reject", num(base), call("msg_reject_msg_size")))
	sign := function(nil, take,
		call("call_new", num(name), num(0), num(name), num(nameLen), num(0), num(0), num(1), num(0)),
		call("call_data_append", num(base), call("msg_arg_data_size")),
		call("call_cycles_add128", long(0), long(signCycles)),
		wasmbin.AppendOp(call("call_perform"), wasmbin.OpDrop))
	m.Exports = []wasmbin.Export{{Name: "canister_update sign", Kind: wasmbin.KindFunc, Index: sign}}
	m.Memories = []wasmbin.Limits{{Min: 1}}
	m.Tables = []wasmbin.Table{{Type: wasmbin.FuncRef, Limits: wasmbin.Limits{Min: 2}}}
	at0 := wasmbin.AppendOp(num(0), wasmbin.OpEnd)
	m.Elements = []wasmbin.Element{{Mode: wasmbin.Active, Offset: at0, Type: wasmbin.FuncRef, Funcs: []uint32{replied, rejected}}}
	m.Data = []wasmbin.Data{{Mode: wasmbin.Active, Offset: at0, Init: []byte("sign_with_ecdsa")}}
	return m.Encode()
}
