package execution

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"fusion/chainkey"
	"fusion/chainkey/derive"
	"fusion/ic/candid"
	"fusion/ic/principal"
	"fusion/replica/management"
)

func idArg(id principal.Principal) management.CanisterID {
	return management.CanisterID{CanisterID: id}
}

func count(at int) code_ { return store32(i32(at), add32(load32(i32(at)), i32(1))) }

func TestHeartbeatAndTimer(t *testing.T) {
	scenario(t, func(w *world) {
		t := w.t
		m := newModule()
		m.export("canister_heartbeat", count(0))
		m.export("canister_global_timer", count(4), store64(i32(16), m.host("time")))
		m.update("arm", m.host("msg_arg_data_copy", i32(64), i32(0), i32(8)),
			store64(i32(72), m.host("global_timer_set", load64(i32(64)))), m.reply(i32(72), i32(8)))
		m.query("get", m.reply(i32(0), i32(8)))
		id := w.install(m)
		counts := func() (beats, timers uint32) {
			b := w.mustQuery(id, "get", nil)
			return le32(b), le32(b[4:])
		}
		w.round()
		before, _ := counts()
		for range 5 {
			w.round()
		}
		if beats, timers := counts(); beats != before+5 || timers != 0 {
			t.Errorf("%d heartbeats in 5 rounds, %d timers", beats-before, timers)
		}
		at := candidLE(w.now + 5*second)
		w.mustUpdate(id, "arm", at)
		if old := w.mustUpdate(id, "arm", at); !bytes.Equal(old, at) {
			t.Errorf("global_timer_set gives %x, want %x", old, at)
		}
		w.round()
		if _, timers := counts(); timers != 0 {
			t.Error("the timer ran too early")
		}
		for range 6 {
			w.round()
		}
		if _, timers := counts(); timers != 1 {
			t.Errorf("the timer ran %d times, want once", timers)
		}
		w.mustManage("stop_canister", idArg(id))
		before, _ = counts2(w, id)
		w.round()
		if now, _ := counts2(w, id); now != before {
			t.Error("a stopped canister's heart beats")
		}
	})
}

// counts2 reads the heap of a canister that is stopped, which queries do not reach.
func counts2(w *world, id principal.Principal) (uint32, uint32) {
	var b [8]byte
	if !w.x.load(w.x.canisters[id], w.store).image.Read(b[:], 0) {
		w.t.Fatal("no heap")
	}
	return le32(b[:]), le32(b[4:])
}

func candidLE(n uint64) []byte {
	b := make([]byte, 8)
	for i := range b {
		b[i] = byte(n >> (8 * i))
	}
	return b
}

// waiting is a canister whose calls wait for the subnet, which the test plays.
func waiting() *module {
	m := newModule()
	size := m.host("msg_arg_data_size")
	onReply := m.callback(m.host("msg_arg_data_copy", i32(1024), i32(0), size), m.reply(i32(1024), size))
	rejectSize := m.host("msg_reject_msg_size")
	onReject := m.callback(m.host("msg_reject_msg_copy", i32(1024), i32(0), rejectSize),
		store32(i32(512), m.host("msg_reject_code")), m.host("msg_reply_data_append", i32(512), i32(1)), m.reply(i32(1024), rejectSize))
	raw := cat(m.host("call_data_append", m.blob("DIDL\x00\x00")))
	m.update("wait", m.call(nil, "raw_rand", onReply, onReject, raw))
	m.update("hurry", m.call(nil, "raw_rand", onReply, onReject, raw, m.host("call_with_best_effort_response", i32(3))))
	m.update("ok", m.replyText("ok"))
	return m
}

func TestStopping(t *testing.T) {
	scenario(t, func(w *world) {
		t := w.t
		id := w.install(waiting())
		wait := w.message(alice, id, "wait", nil)
		res := w.round(wait)
		if len(res.SystemCalls) != 1 || res.SystemCalls[0].Kind != RawRand || res.SystemCalls[0].Caller != id {
			t.Fatalf("system calls: %+v", res.SystemCalls)
		}
		call := res.SystemCalls[0]
		stop := w.message(alice, principal.Management, "stop_canister", candid.MustMarshal(idArg(id)))
		w.round(stop)
		if s := w.status(id); s.Status.Stopping == nil {
			t.Fatalf("status: %+v", s.Status)
		}
		w.wantReject("IC0509", id, "ok", nil)
		if _, rej := w.query(id, "ok", nil); rej == nil || rej.Error != "IC0509" {
			t.Errorf("query of a stopping canister: %v", rej)
		}
		if _, rej := w.manage("delete_canister", idArg(id)); rej == nil || rej.Error != "IC0510" {
			t.Errorf("delete while stopping: %v", rej)
		}
		if got := w.x.PendingSystemCalls(); len(got) != 1 || got[0].ID != call.ID || got[0].Kind != RawRand {
			t.Fatalf("pending: %+v", got)
		}
		// Starting again cancels the stop.
		w.mustManage("start_canister", idArg(id))
		if _, rej := w.finish(stop.ID); rej == nil || rej.Error != "IC0511" {
			t.Errorf("cancelled stop: %v", rej)
		}
		stop = w.message(alice, principal.Management, "stop_canister", candid.MustMarshal(idArg(id)))
		w.round(stop)
		random := bytes.Repeat([]byte{7}, 32)
		w.answer = []SystemResponse{{ID: call.ID, Random: random}, {ID: call.ID + 5, Random: random}}
		w.round()
		reply, rej := w.finish(wait.ID)
		var got []byte
		if rej != nil {
			t.Fatal(rej)
		}
		if w.decode(reply, &got); !bytes.Equal(got, random) {
			t.Errorf("raw_rand: %x", got)
		}
		if _, rej := w.finish(stop.ID); rej != nil {
			t.Errorf("stop: %v", rej)
		}
		if s := w.status(id); s.Status.Stopped == nil {
			t.Errorf("status: %+v", s.Status)
		}
		w.wantReject("IC0508", id, "ok", nil)
		// A second answer to a call that is closed changes nothing.
		w.answer = []SystemResponse{{ID: call.ID, Random: random}}
		w.round()
		w.mustManage("delete_canister", idArg(id))
		w.wantReject("IC0301", id, "ok", nil)
		if _, rej := w.manage("provisional_create_canister_with_cycles", management.ProvisionalCreateArgs{SpecifiedID: &id}); rej == nil || rej.Error != "IC0205" {
			t.Errorf("the id of a deleted canister was given again: %v", rej)
		}
	})
}

func TestStopTimesOut(t *testing.T) {
	scenario(t, func(w *world) {
		t := w.t
		id := w.install(waiting())
		wait := w.message(alice, id, "wait", nil)
		w.round(wait)
		stop := w.message(alice, principal.Management, "stop_canister", candid.MustMarshal(idArg(id)))
		w.round(stop)
		w.now += stopTimeoutNs
		if _, rej := w.finish(stop.ID); rej == nil || rej.Error != "IC0206" {
			t.Errorf("%v", rej)
		}
	})
}

func TestUninstallAnswersWaitingCalls(t *testing.T) {
	scenario(t, func(w *world) {
		t := w.t
		id := w.install(waiting())
		m := w.message(alice, id, "wait", nil)
		call := w.round(m).SystemCalls[0]
		w.mustManage("uninstall_code", management.UninstallCodeArgs{CanisterID: id})
		if _, rej := w.finish(m.ID); rej == nil || rej.Code != CanisterReject {
			t.Errorf("%v", rej)
		}
		w.mustManage("install_code", installArgs(id, installMode, waiting().bytes(), nil))
		before := w.x.canisters[id].Cycles
		w.answer = []SystemResponse{{ID: call.ID, Random: make([]byte, 32)}}
		w.round()
		c := w.x.canisters[id]
		if len(c.contexts)+len(c.callbacks) != 0 || c.Cycles.Cmp(before) <= 0 {
			t.Errorf("%d contexts, %d callbacks, %s cycles after %s", len(c.contexts), len(c.callbacks), c.Cycles, before)
		}
	})
}

func TestBestEffortCallTimesOut(t *testing.T) {
	scenario(t, func(w *world) {
		t := w.t
		id := w.install(waiting())
		m := w.message(alice, id, "hurry", nil)
		pending := w.round(m).SystemCalls[0]
		reply, rej := w.finish(m.ID)
		if rej != nil || reply[0] != SysUnknown {
			t.Errorf("%q %v, want reject code 6", reply, rej)
		}
		w.answer = []SystemResponse{{ID: pending.ID, Random: make([]byte, 32)}}
		w.round()
		if c := w.x.canisters[id]; len(c.contexts)+len(c.callbacks) != 0 {
			t.Error("something is left over")
		}
	})
}

// echoNative answers with its argument and keeps half of the cycles.
type echoNative struct{}

func (echoNative) Call(c NativeCall) NativeResult {
	switch c.Method {
	case "echo":
		return NativeResult{Reply: c.Arg, CyclesUsed: mulDiv(c.Cycles, 1, 2)}
	case "greedy":
		return NativeResult{Reply: c.Arg, CyclesUsed: MaxCycles}
	case "burn":
		if c.Balance != CyclesOf(1_500_000) { // of the calls before
			return NativeResult{Reject: &Reject{Code: CanisterError, Message: "another balance"}}
		}
		return NativeResult{CyclesUsed: c.Cycles, Burn: true}
	}
	return NativeResult{Reject: &Reject{Code: CanisterError, Message: "no method " + c.Method}}
}

var nativeID = principal.MustParse("g4xu7-jiaaa-aaaan-aaaaq-cai")

func withNative(c *Config) { c.Natives = map[principal.Principal]Native{nativeID: echoNative{}} }

func TestNativeCanister(t *testing.T) {
	scenario(t, func(w *world) {
		t := w.t
		if got := string(w.mustUpdate(nativeID, "echo", []byte("hi"))); got != "hi" {
			t.Errorf("%q", got)
		}
		if _, rej := w.update(alice, nativeID, "nope", nil); rej == nil || rej.Code != CanisterError {
			t.Errorf("%v", rej)
		}
		if got := string(w.mustQuery(nativeID, "echo", []byte("q"))); got != "q" {
			t.Errorf("query: %q", got)
		}
		m := newModule()
		onReply := m.callback(m.host("msg_cycles_refunded128", i32(0)), m.reply(i32(0), i32(16)))
		for _, method := range []string{"echo", "greedy", "nope", "burn"} {
			m.update(method, m.call(nativeID.Bytes(), method, onReply, m.callback(m.host("msg_cycles_refunded128", i32(0)), m.reply(i32(0), i32(16))),
				m.host("call_cycles_add128", i64(0), i64(1_000_000))))
		}
		id := w.install(m)
		for _, c := range []struct {
			method string
			want   uint64
		}{{"echo", 500_000}, {"greedy", 0}, {"nope", 1_000_000}, {"burn", 0}} {
			if got := w.mustUpdate(id, c.method, nil); !bytes.Equal(got, append(candidLE(c.want), make([]byte, 8)...)) {
				t.Errorf("%s: refund %x, want %d", c.method, got, c.want)
			}
		}
		if n := w.x.canisters[nativeID]; !n.Cycles.IsZero() || n.Consumed[forBurning] != CyclesOf(2_500_000) {
			t.Errorf("after burning: %v are left, %v were burnt", n.Cycles, n.Consumed[forBurning])
		}
		if _, rej := w.manage("install_code", installArgs(nativeID, installMode, counter().bytes(), nil)); rej == nil {
			t.Error("code was installed into a native canister")
		}
	}, withNative)
}

func TestCyclesBetweenCanisters(t *testing.T) {
	scenario(t, func(w *world) {
		t := w.t
		m := newModule()
		m.update("take", m.host("msg_cycles_accept128", i64(0), i64(300), i32(0)), m.host("msg_cycles_available128", i32(16)),
			m.reply(i32(0), i32(32)))
		m.update("take and trap", m.host("msg_cycles_accept128", i64(0), i64(300), i32(0)), unreachable())
		m.update("burn", m.host("cycles_burn128", i64(0), i64(1000), i32(0)), m.reply(i32(0), i32(16)))
		m.query("balance", m.host("canister_cycle_balance128", i32(0)), m.reply(i32(0), i32(16)))
		callee := w.install(m)
		m = newModule()
		answer := m.callback(m.host("msg_cycles_refunded128", i32(0)), m.reply(i32(0), i32(16)))
		attach := m.host("call_cycles_add128", i64(0), i64(1000))
		m.update("take", m.call(callee.Bytes(), "take", answer, answer, attach))
		m.update("trap", m.call(callee.Bytes(), "take and trap", answer, answer, attach))
		m.update("nobody", m.call([]byte{1, 2, 3}, "x", answer, answer, attach))
		m.update("too much", m.call(callee.Bytes(), "take", answer, answer, m.host("call_cycles_add128", i64(1<<40), i64(0))))
		m.update("dropped", m.host("call_new", m.blob(string(callee.Bytes())), m.blob("take"), answer, i32(0), answer, i32(0)), attach, m.replyText("ok"))
		id := w.install(m)
		for _, c := range []struct {
			method string
			want   uint64
		}{{"take", 700}, {"trap", 1000}, {"nobody", 1000}} {
			if got := w.mustUpdate(id, c.method, nil); !bytes.Equal(got[:8], candidLE(c.want)) {
				t.Errorf("%s: refund %x, want %d", c.method, got, c.want)
			}
		}
		w.wantReject("IC0520", id, "too much", nil)
		// Cycles are neither made nor lost: what left both canisters was burned for their work.
		total := func() Cycles {
			a, b := w.x.canisters[id], w.x.canisters[callee]
			sum := a.Cycles.Add(b.Cycles)
			for _, n := range append(slices.Clone(a.Consumed), b.Consumed...) {
				sum = sum.Add(n)
			}
			return sum
		}
		before := total()
		for _, method := range []string{"take", "trap", "nobody", "dropped"} {
			w.mustUpdate(id, method, nil)
		}
		w.mustUpdate(callee, "burn", nil)
		w.wantReject("IC0520", id, "too much", nil)
		if after := total(); after != before {
			t.Errorf("cycles: %s before, %s after", before, after)
		}
	})
}

// generator is secp256k1's, compressed: the public key whose secret is 1.
const generator = "\x02\x79\xbe\x66\x7e\xf9\xdc\xbb\xac\x55\xa0\x62\x95\xce\x87\x0b\x07\x02\x9b\xfc\xdb\x2d\xce\x28\xd9\x59\xf2\x81\x5b\x16\xf8\x17\x98"

func TestSigning(t *testing.T) {
	scenario(t, func(w *world) {
		t := w.t
		w.keys = []ChainKey{{ID: chainkey.KeyID{Algorithm: chainkey.EcdsaSecp256k1, Name: "dfx_test_key"}, ChainCode: [32]byte{9}}}
		w.keys[0].PublicKey = []byte(generator)
		m := newModule()
		size := m.host("msg_arg_data_size")
		pass := m.callback(m.host("msg_arg_data_copy", i32(1024), i32(0), size), m.reply(i32(1024), size))
		rejectSize := m.host("msg_reject_msg_size")
		fail := m.callback(m.host("msg_reject_msg_copy", i32(1024), i32(0), rejectSize), m.host("msg_reject", i32(1024), rejectSize))
		arg := cat(m.host("msg_arg_data_copy", i32(8192), i32(0), size), m.host("call_data_append", i32(8192), size))
		pay := m.host("call_cycles_add128", i64(0), i64(30_000_000_000))
		m.update("key", m.call(nil, "ecdsa_public_key", pass, fail, arg))
		m.update("sign", m.call(nil, "sign_with_ecdsa", pass, fail, arg, pay))
		m.update("schnorr key", m.call(nil, "schnorr_public_key", pass, fail, arg))
		m.update("schnorr sign", m.call(nil, "sign_with_schnorr", pass, fail, arg, pay))
		m.update("sign for free", m.call(nil, "sign_with_ecdsa", pass, fail, arg))
		id := w.install(m)
		keyID := management.EcdsaKeyID{Curve: management.EcdsaCurve{Secp256k1: candid.Unit}, Name: "dfx_test_key"}
		path := [][]byte{{1}, []byte("two")}
		var key management.PublicKeyResult
		w.decode(w.mustUpdate(id, "key", candid.MustMarshal(management.EcdsaPublicKeyArgs{DerivationPath: path, KeyID: keyID})), &key)
		want, err := derive.Secp256k1([33]byte(w.keys[0].PublicKey), w.keys[0].ChainCode, derive.Path(id.Bytes(), path...))
		if err != nil || !bytes.Equal(key.PublicKey, want.PublicKey[:]) || !bytes.Equal(key.ChainCode, want.ChainCode[:]) {
			t.Errorf("key %x, want %x (%v)", key.PublicKey, want.PublicKey, err)
		}
		hash := sha256.Sum256([]byte("message"))
		sign := management.SignWithEcdsaArgs{MessageHash: hash[:], DerivationPath: path, KeyID: keyID}
		msg := w.message(alice, id, "sign", candid.MustMarshal(sign))
		calls := w.round(msg).SystemCalls
		if len(calls) != 1 || calls[0].Kind != Sign || !calls[0].Sign.Message.Equal(chainkey.HashMessage(hash)) || calls[0].Sign.Key != w.keys[0].ID || len(calls[0].Sign.Path) != 2 || calls[0].Caller != id {
			t.Fatalf("%+v", calls)
		}
		w.round()
		w.answer = []SystemResponse{{ID: calls[0].ID, Signature: bytes.Repeat([]byte{5}, 64)}}
		w.round()
		reply, rej := w.finish(msg.ID)
		var sig management.SignatureResult
		if rej != nil {
			t.Fatal(rej)
		}
		if w.decode(reply, &sig); len(sig.Signature) != 64 {
			t.Errorf("signature: %x", sig.Signature)
		}
		msg = w.message(alice, id, "sign", candid.MustMarshal(sign))
		calls = w.round(msg).SystemCalls
		w.answer = []SystemResponse{{ID: calls[0].ID, RejectCode: SysTransient, RejectMessage: "queue is full"}}
		w.round()
		if _, rej := w.finish(msg.ID); rej == nil || !strings.Contains(rej.Message, "queue is full") {
			t.Errorf("%v", rej)
		}
		if _, rej := w.update(alice, id, "sign for free", candid.MustMarshal(sign)); rej == nil || !strings.Contains(rej.Message, "cycles are required") {
			t.Errorf("%v", rej)
		}
		sign.MessageHash = hash[:31]
		if _, rej := w.update(alice, id, "sign", candid.MustMarshal(sign)); rej == nil || !strings.Contains(rej.Message, "not 31 bytes") {
			t.Errorf("%v", rej)
		}
		keyID.Name = "other"
		if _, rej := w.update(alice, id, "key", candid.MustMarshal(management.EcdsaPublicKeyArgs{KeyID: keyID})); rej == nil || !strings.Contains(rej.Message, "dfx_test_key") {
			t.Errorf("%v", rej)
		}
		// Schnorr keys are others, under the same name; the two algorithms have the public keys and messages of their own.
		base := w.keys[0].PublicKey
		edBase, err := hex.DecodeString("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a") // RFC 8032, test 1
		if err != nil {
			t.Fatal(err)
		}
		bip340 := chainkey.KeyID{Algorithm: chainkey.Bip340Secp256k1, Name: "schnorr"}
		ed25519 := chainkey.KeyID{Algorithm: chainkey.Ed25519, Name: "schnorr"}
		w.keys = append(w.keys, ChainKey{ID: bip340, PublicKey: base, ChainCode: [32]byte{1}}, ChainKey{ID: ed25519, PublicKey: edBase, ChainCode: [32]byte{2}})
		for _, k := range w.keys[1:] {
			keyID := management.SchnorrKeyID{Algorithm: management.SchnorrAlgorithm{Bip340Secp256k1: candid.Unit}, Name: "schnorr"}
			aux := &management.SchnorrAux{Bip341: &management.Bip341{MerkleRootHash: hash[:]}}
			if k.ID == ed25519 {
				keyID.Algorithm, aux = management.SchnorrAlgorithm{Ed25519: candid.Unit}, nil
			}
			var key management.PublicKeyResult
			w.decode(w.mustUpdate(id, "schnorr key", candid.MustMarshal(management.SchnorrPublicKeyArgs{CanisterID: &alice, DerivationPath: path, KeyID: keyID})), &key)
			want, err := chainkey.Derive(k.ID.Algorithm, k.PublicKey, k.ChainCode, derive.Path(alice.Bytes(), path...))
			if err != nil || !bytes.Equal(key.PublicKey, want.PublicKey) || !bytes.Equal(key.ChainCode, want.ChainCode[:]) {
				t.Errorf("%v: key %x, want %x (%v)", k.ID, key.PublicKey, want.PublicKey, err)
			}
			sign := management.SignWithSchnorrArgs{Message: make([]byte, 1000), DerivationPath: path, KeyID: keyID, Aux: aux}
			calls := w.round(w.message(alice, id, "schnorr sign", candid.MustMarshal(sign))).SystemCalls
			message := chainkey.Message{Bytes: sign.Message}
			if aux != nil {
				message.Taproot, message.MerkleRoot = true, hash[:]
			}
			if len(calls) != 1 || !calls[0].Sign.Message.Equal(message) || calls[0].Sign.Key != k.ID {
				t.Fatalf("%v: %+v", k.ID, calls)
			}
			w.answer = []SystemResponse{{ID: calls[0].ID, Signature: bytes.Repeat([]byte{6}, 64)}}
			w.round()
			sign.Aux = &management.SchnorrAux{Bip341: &management.Bip341{MerkleRootHash: hash[:31]}}
			if _, rej := w.update(alice, id, "schnorr sign", candid.MustMarshal(sign)); rej == nil || !strings.Contains(rej.Message, "sign_with_schnorr: unknown or unsuitable algorithm") {
				t.Errorf("%v: a merkle root of 31 bytes: %v", k.ID, rej)
			}
		}
		// Users cannot sign.
		if _, rej := w.manage("sign_with_ecdsa", sign); rej == nil || rej.Error != "IC0406" {
			t.Errorf("%v", rej)
		}
	})
}

func TestControllers(t *testing.T) {
	scenario(t, func(w *world) {
		t := w.t
		id := w.install(counter())
		args := map[string]any{
			"install_code":         installArgs(id, upgradeMode, counter().bytes(), nil),
			"uninstall_code":       management.UninstallCodeArgs{CanisterID: id},
			"update_settings":      management.UpdateSettingsArgs{CanisterID: id},
			"start_canister":       idArg(id),
			"stop_canister":        idArg(id),
			"delete_canister":      idArg(id),
			"canister_status":      idArg(id),
			"stored_chunks":        idArg(id),
			"clear_chunk_store":    idArg(id),
			"upload_chunk":         management.UploadChunkArgs{CanisterID: id},
			"install_chunked_code": management.InstallChunkedCodeArgs{Mode: installMode, TargetCanister: id},
		}
		for _, method := range sortedKeys(args) {
			arg := candid.MustMarshal(args[method])
			for _, who := range []principal.Principal{bob, principal.Anonymous} {
				if _, rej := w.update(who, principal.Management, method, arg); rej == nil || rej.Error != "IC0512" {
					t.Errorf("%s by %s: %v", method, who, rej)
				}
				if rej := w.x.InspectMessage(t.Context(), Ingress{Sender: who, Method: method, Arg: arg}); rej == nil || rej.Error != "IC0512" {
					t.Errorf("%s by %s passes inspection: %v", method, who, rej)
				}
			}
			if rej := w.x.InspectMessage(t.Context(), Ingress{Sender: alice, Method: method, Arg: arg}); rej != nil {
				t.Errorf("%s by a controller does not pass inspection: %v", method, rej)
			}
		}
		list := []principal.Principal{bob, alice, bob}
		public := management.Visibility{Public: candid.Unit}
		env := []management.EnvironmentVariable{{Name: "B", Value: "2"}, {Name: "A", Value: "1"}}
		w.mustManage("update_settings", management.UpdateSettingsArgs{CanisterID: id, Settings: management.Settings{Controllers: &list, StatusVisibility: &public, EnvironmentVariables: &env}})
		s := w.status(id)
		if len(s.Settings.Controllers) != 2 || s.Settings.StatusVisibility.Public == nil || len(s.Settings.EnvironmentVariables) != 2 {
			t.Errorf("%+v", s.Settings)
		}
		if _, rej := w.update(principal.Anonymous, principal.Management, "canister_status", candid.MustMarshal(idArg(id))); rej != nil {
			t.Errorf("public status: %v", rej)
		}
		many := make([]principal.Principal, 11)
		for i := range many {
			many[i] = principal.FromUint64(uint64(i))
		}
		if _, rej := w.manage("update_settings", management.UpdateSettingsArgs{CanisterID: id, Settings: management.Settings{Controllers: &many}}); rej == nil || rej.Error != "IC0408" {
			t.Errorf("11 controllers: %v", rej)
		}
		n := candid.NatFromUint64(101)
		if _, rej := w.manage("update_settings", management.UpdateSettingsArgs{CanisterID: id, Settings: management.Settings{ComputeAllocation: &n}}); rej == nil || rej.Error != "IC0408" {
			t.Errorf("compute allocation 101: %v", rej)
		}
		for _, arg := range [][]byte{nil, []byte("DIDL"), []byte("not candid"), candid.MustMarshal("text")} {
			if _, rej := w.update(alice, principal.Management, "update_settings", arg); rej == nil || rej.Error != "IC0408" {
				t.Errorf("argument %q: %v", arg, rej)
			}
		}
		if _, rej := w.update(alice, principal.Management, "nonsense", nil); rej == nil || rej.Error != "IC0536" {
			t.Errorf("an unknown method: %v", rej)
		}
		if _, rej := w.update(alice, principal.Management, "take_canister_snapshot", nil); rej == nil || !strings.Contains(rej.Message, "take_canister_snapshot") {
			t.Errorf("a missing method: %v", rej)
		}
	})
}

func TestChunkedInstallation(t *testing.T) {
	scenario(t, func(w *world) {
		t := w.t
		id, store := w.create(), w.create()
		module := counter().bytes()
		var hashes []management.ChunkHash
		for _, part := range [][]byte{module[:100], module[100:200], module[200:]} {
			var h management.ChunkHash
			w.decode(w.mustManage("upload_chunk", management.UploadChunkArgs{CanisterID: store, Chunk: part}), &h)
			w.mustManage("upload_chunk", management.UploadChunkArgs{CanisterID: store, Chunk: part})
			hashes = append(hashes, h)
		}
		var stored []management.ChunkHash
		if w.decode(w.mustManage("stored_chunks", idArg(store)), &stored); len(stored) != 3 {
			t.Errorf("%d chunks", len(stored))
		}
		sum := sha256.Sum256(module)
		a := management.InstallChunkedCodeArgs{Mode: installMode, TargetCanister: id, StoreCanister: &store, ChunkHashesList: hashes, WasmModuleHash: sum[:]}
		bad := a
		bad.WasmModuleHash = make([]byte, 32)
		if _, rej := w.manage("install_chunked_code", bad); rej == nil || rej.Error != "IC0408" {
			t.Errorf("wrong hash: %v", rej)
		}
		w.mustManage("install_chunked_code", a)
		if got := le32(w.mustUpdate(id, "inc", nil)); got != 1 {
			t.Errorf("inc: %d", got)
		}
		w.mustManage("clear_chunk_store", idArg(store))
		if _, rej := w.manage("install_chunked_code", a); rej == nil || rej.Error != "IC0408" {
			t.Errorf("cleared store: %v", rej)
		}
		if _, rej := w.manage("upload_chunk", management.UploadChunkArgs{CanisterID: store, Chunk: make([]byte, maxChunk+1)}); rej == nil || rej.Error != "IC0408" {
			t.Errorf("large chunk: %v", rej)
		}
	})
}

func TestCreation(t *testing.T) {
	scenario(t, func(w *world) {
		t := w.t
		minter := principal.MustParse("mqygn-kiaaa-aaaar-qaadq-cai")
		var r management.CanisterID
		w.decode(w.mustManage("provisional_create_canister_with_cycles", management.ProvisionalCreateArgs{SpecifiedID: &minter}), &r)
		if r.CanisterID != minter {
			t.Errorf("created %s, asked for %s", r.CanisterID, minter)
		}
		if _, rej := w.manage("provisional_create_canister_with_cycles", management.ProvisionalCreateArgs{SpecifiedID: &minter}); rej == nil || rej.Error != "IC0205" {
			t.Errorf("same id twice: %v", rej)
		}
		if _, rej := w.manage("provisional_create_canister_with_cycles", management.ProvisionalCreateArgs{SpecifiedID: &alice}); rej == nil || rej.Error != "IC0405" {
			t.Errorf("a user's id: %v", rej)
		}
		if a, b := w.create(), w.create(); a != principal.FromUint64(16) || b != principal.FromUint64(17) {
			t.Errorf("ids %s and %s", a, b)
		}
		before := w.x.canisters[minter].Cycles
		w.mustManage("provisional_top_up_canister", management.ProvisionalTopUpArgs{CanisterID: minter, Amount: candid.NatFromUint64(5)})
		if got := w.x.canisters[minter].Cycles; got != before.Add(CyclesOf(5)) {
			t.Errorf("%s cycles after a top-up of 5 on %s", got, before)
		}
		if info := w.info(minter, 5); info.TotalNumChanges != 1 || len(info.RecentChanges) != 1 || info.RecentChanges[0].Details.Creation == nil {
			t.Errorf("%+v", info)
		}
	})
	scenario(t, func(w *world) {
		t := w.t
		for _, method := range []string{"provisional_create_canister_with_cycles", "provisional_top_up_canister"} {
			if _, rej := w.manage(method, management.ProvisionalCreateArgs{}); rej == nil || rej.Error != "IC0406" {
				t.Errorf("%s on a network that is not local: %v", method, rej)
			}
			if rej := w.x.InspectMessage(t.Context(), Ingress{Sender: alice, Method: method, Arg: candid.MustMarshal(management.ProvisionalTopUpArgs{})}); rej == nil {
				t.Errorf("%s passes inspection", method)
			}
		}
	}, func(c *Config) { c.Local = false })
}

func TestCanisterCreatesCanister(t *testing.T) {
	scenario(t, func(w *world) {
		t := w.t
		m := newModule()
		size := m.host("msg_arg_data_size")
		pass := m.callback(m.host("msg_arg_data_copy", i32(1024), i32(0), size), m.reply(i32(1024), size))
		rejectSize := m.host("msg_reject_msg_size")
		fail := m.callback(m.host("msg_reject_msg_copy", i32(1024), i32(0), rejectSize), m.host("msg_reject", i32(1024), rejectSize))
		arg := m.host("call_data_append", m.blob(string(candid.MustMarshal(management.CreateCanisterArgs{}))))
		m.update("create", m.call(nil, "create_canister", pass, fail, arg, m.host("call_cycles_add128", i64(0), i64(600_000_000_000))))
		m.update("create for free", m.call(nil, "create_canister", pass, fail, arg))
		id := w.install(m)
		var r management.CanisterID
		w.decode(w.mustUpdate(id, "create", nil), &r)
		if got := w.x.canisters[r.CanisterID]; got == nil || got.Cycles != CyclesOf(100_000_000_000) || !got.isController(id) {
			t.Errorf("%+v", got)
		}
		w.wantReject("IC0406", id, "create for free", nil)
	})
}

func TestTree(t *testing.T) {
	scenario(t, func(w *world) {
		t := w.t
		m := counter().custom("icp:public candid:service", "service : {}").custom("icp:private hidden", "x")
		m.update("certify", m.host("msg_arg_data_copy", i32(0), i32(0), i32(4)), m.host("certified_data_set", i32(0), i32(4)), m.replyText("done"))
		id := w.install(m)
		incremental := w.x.Tree(nil)
		update := func() {
			if w.reopen { // an executor that was just opened does not know what to remove
				incremental = nil
			}
			incremental = w.x.Tree(incremental)
		}
		msg := w.message(alice, id, "certify", []byte("data"))
		bad := w.message(alice, id, "missing", nil)
		w.round(msg, bad)
		update()
		get := func(path ...string) string {
			labels := make([][]byte, len(path))
			for i := range path {
				labels[i] = []byte(path[i])
			}
			v, ok := incremental.Get(labels...)
			if !ok {
				t.Errorf("nothing at %q", path)
			}
			return string(v)
		}
		cid := string(id.Bytes())
		if get("canister", cid, "certified_data") != "data" || get("canister", cid, "metadata", "candid:service") != "service : {}" {
			t.Error("certified data or metadata")
		}
		if got, want := get("canister", cid, "controllers"), "\xd9\xd9\xf7\x81\x58\x1d"+string(alice.Bytes()); got != want {
			t.Errorf("controllers %x, want %x", got, want)
		}
		hash := sha256.Sum256(m.bytes())
		if get("canister", cid, "module_hash") != string(hash[:]) {
			t.Error("module hash")
		}
		if get("request_status", string(msg.ID[:]), "status") != "replied" || get("request_status", string(msg.ID[:]), "reply") != "done" {
			t.Error("status of a replied message")
		}
		if get("request_status", string(bad.ID[:]), "status") != "rejected" || get("request_status", string(bad.ID[:]), "reject_code") != "\x05" ||
			get("request_status", string(bad.ID[:]), "error_code") != "IC0536" {
			t.Error("status of a rejected message")
		}
		empty := w.create()
		w.mustManage("uninstall_code", management.UninstallCodeArgs{CanisterID: id})
		w.mustManage("stop_canister", idArg(empty))
		w.mustManage("delete_canister", idArg(empty))
		update()
		if _, ok := incremental.Get([]byte("canister"), id.Bytes(), []byte("module_hash")); ok {
			t.Error("module hash after uninstall")
		}
		for w.now < msg.ExpiryNs+retentionNs {
			w.now += 100 * second
			w.round()
		}
		w.round()
		update()
		if _, ok := incremental.Get([]byte("request_status"), msg.ID[:], []byte("status")); ok {
			t.Error("the status is kept for ever")
		}
		x, err := New(w.cfg, w.store)
		if err != nil {
			t.Fatal(err)
		}
		defer x.Close()
		if x.Tree(nil).Digest() != incremental.Digest() {
			t.Error("the tree of a reopened executor differs from the one kept up to date")
		}
	}, withNative)
}

func TestLogs(t *testing.T) {
	scenario(t, func(w *world) {
		t := w.t
		m := newModule()
		m.update("print", m.host("debug_print", m.blob("hello")), m.replyText("ok"))
		m.update("trap", m.host("debug_print", m.blob("before")), m.host("trap", m.blob("boom")))
		id := w.install(m)
		for range 100 {
			w.mustUpdate(id, "print", nil)
		}
		w.wantReject("IC0503", id, "trap", nil)
		arg := candid.MustMarshal(idArg(id))
		reply, rej := w.query(principal.Management, "fetch_canister_logs", arg)
		if rej != nil {
			t.Fatal(rej)
		}
		var logs management.FetchLogsResult
		w.decode(reply, &logs)
		n := len(logs.Records)
		if n < 3 || n > 150 {
			t.Fatalf("%d records", n)
		}
		if got := string(logs.Records[n-2].Content); got != "before" {
			t.Errorf("%q", got)
		}
		if got := string(logs.Records[n-1].Content); !strings.HasPrefix(got, "[TRAP]") || !strings.Contains(got, "boom") {
			t.Errorf("%q", got)
		}
		if logs.Records[n-1].Index != 101 {
			t.Errorf("index %d", logs.Records[n-1].Index)
		}
		if r := w.x.Query(t.Context(), QueryRequest{Sender: bob, Method: "fetch_canister_logs", Arg: arg}); r.Reject == nil {
			t.Error("a stranger reads the logs")
		}
	})
}

func TestOutOfCycles(t *testing.T) {
	scenario(t, func(w *world) {
		t := w.t
		amount := candid.NatFromUint64(1_000)
		var r management.CanisterID
		w.decode(w.mustManage("provisional_create_canister_with_cycles", management.ProvisionalCreateArgs{Amount: &amount}), &r)
		if _, rej := w.manage("install_code", installArgs(r.CanisterID, installMode, counter().bytes(), nil)); rej == nil || rej.Error != "IC0207" {
			t.Errorf("install: %v", rej)
		}
		w.mustManage("provisional_top_up_canister", management.ProvisionalTopUpArgs{CanisterID: r.CanisterID, Amount: candid.NatFromUint64(100_000_000_000)})
		w.mustManage("install_code", installArgs(r.CanisterID, installMode, counter().bytes(), nil))
		w.mustUpdate(r.CanisterID, "inc", nil)
		freeze := candid.NatFromUint64(1 << 50)
		if _, rej := w.manage("update_settings", management.UpdateSettingsArgs{CanisterID: r.CanisterID, Settings: management.Settings{FreezingThreshold: &freeze}}); rej == nil {
			t.Error("a setting froze the canister")
		}
		big := newModule()
		big.update("grow", store64(i32(0), big.host("stable64_grow", i64(1<<20))), big.reply(i32(0), i32(8)))
		w.mustManage("install_code", installArgs(r.CanisterID, management.ModeReinstall(), big.bytes(), nil))
		if got := w.mustUpdate(r.CanisterID, "grow", nil); !bytes.Equal(got, bytes.Repeat([]byte{0xff}, 8)) {
			t.Errorf("64 GiB of stable memory for nothing: %x", got)
		}
	})
}

func TestKeepHeap(t *testing.T) {
	scenario(t, func(w *world) {
		t := w.t
		build := func(persistent bool, post ...code_) []byte {
			m := counter()
			m.exports = m.exports[1:] // no canister_init, which would grow stable memory again
			m.export("canister_pre_upgrade", count(0))
			m.export("canister_post_upgrade", post...)
			m.blob("data segments do not overwrite what is kept")
			if persistent {
				m.custom("icp:private enhanced-orthogonal-persistence", "")
			}
			return m.bytes()
		}
		keep := management.ModeUpgrade(&management.UpgradeOptions{WasmMemoryPersistence: &management.Persistence{Keep: candid.Unit}})
		replace := management.ModeUpgrade(&management.UpgradeOptions{WasmMemoryPersistence: &management.Persistence{Replace: candid.Unit}})
		id := w.create()
		w.mustManage("install_code", installArgs(id, installMode, build(true), nil))
		heap := func(want uint32) {
			t.Helper()
			if got := le32(w.mustQuery(id, "get", nil)); got != want {
				t.Errorf("the heap has %d, want %d", got, want)
			}
		}
		dirty := func() { // echo leaves its argument in the heap
			w.mustUpdate(id, "echo", []byte("kept"))
		}
		dirty()
		w.mustManage("install_code", installArgs(id, keep, build(true, count(0)), nil))
		heap(2) // once in pre_upgrade of the old, once in post_upgrade of the new
		var kept [4]byte
		if w.x.load(w.x.canisters[id], w.store).image.Read(kept[:], 1024); string(kept[:]) != "kept" {
			t.Errorf("%q was kept", kept)
		}
		if _, rej := w.manage("install_code", installArgs(id, upgradeMode, build(true), nil)); rej == nil || rej.Error != "IC0504" {
			t.Errorf("upgrading without saying what happens to the heap: %v", rej)
		}
		if _, rej := w.manage("install_code", installArgs(id, keep, build(false), nil)); rej == nil || rej.Error != "IC0504" {
			t.Errorf("keeping for a module that does not know: %v", rej)
		}
		if _, rej := w.manage("install_code", installArgs(id, keep, build(true, count(0), unreachable()), nil)); rej == nil || rej.Error != "IC0502" {
			t.Errorf("trapping post_upgrade: %v", rej)
		}
		heap(2)
		w.mustManage("install_code", installArgs(id, replace, build(true), nil))
		heap(0)
	})
}

// FuzzManagement calls the management canister with anything, as a user and as a canister; it must answer.
func FuzzManagement(f *testing.F) {
	id := principal.FromUint64(16)
	f.Add("canister_status", candid.MustMarshal(idArg(id)))
	f.Add("update_settings", candid.MustMarshal(management.UpdateSettingsArgs{CanisterID: id, Settings: management.Settings{Controllers: &[]principal.Principal{bob}}}))
	f.Add("install_code", candid.MustMarshal(installArgs(id, upgradeMode, counter().bytes(), []byte("arg"))))
	f.Add("provisional_create_canister_with_cycles", candid.MustMarshal(management.ProvisionalCreateArgs{SpecifiedID: &nativeID}))
	f.Add("install_chunked_code", candid.MustMarshal(management.InstallChunkedCodeArgs{Mode: installMode, TargetCanister: id, ChunkHashesList: []management.ChunkHash{{Hash: []byte{1}}}}))
	f.Add("sign_with_ecdsa", candid.MustMarshal(management.SignWithEcdsaArgs{MessageHash: make([]byte, 32), KeyID: management.EcdsaKeyID{Curve: management.EcdsaCurve{Secp256k1: candid.Unit}}}))
	f.Add("vetkd_derive_key", candid.MustMarshal(management.VetKDDeriveKeyArgs{TransportPublicKey: make([]byte, 48), KeyID: management.VetKDKeyID{Curve: management.VetKDCurve{Bls12381G2: candid.Unit}}}))
	f.Add("delete_canister", []byte("DIDL\x01\x6c\x01\xb3\xc4\xb1\xf2\x04\x68\x01\x00\x01\x00"))
	base := newWorld(f, withNative)
	base.install(counter())
	f.Fuzz(func(t *testing.T, method string, arg []byte) {
		w := &world{t: t, cfg: base.cfg, store: base.store.Clone(), now: base.now, height: base.height, nonce: base.nonce}
		w.open()
		defer w.x.Close()
		w.x.InspectMessage(t.Context(), Ingress{Sender: alice, Method: method, Arg: arg})
		m := w.message(alice, principal.Management, method, arg)
		w.round(m)
		w.x.Query(t.Context(), QueryRequest{Sender: alice, Method: method, Arg: arg})
		s, ok := w.x.IngressStatus(m.ID)
		if !ok || !s.State.terminal() {
			t.Fatalf("%q is not answered: %+v", method, s)
		}
		w.x.store, w.x.result = w.store, &RoundResult{}
		w.x.manage(&call{message: &message{Method: method, Data: arg, Caller: id.Bytes(), Cycles: CyclesOf(1 << 60), Origin: origin{Kind: originCall, ID: id.Bytes()}}, caller: id})
	})
}
