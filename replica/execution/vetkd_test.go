package execution

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	blst "github.com/supranational/blst/bindings/go"

	"fusion/chainkey"
	"fusion/chainkey/vetkd"
	"fusion/ic/candid"
	"fusion/ic/principal"
	"fusion/replica/management"
)

func TestVetKD(t *testing.T) {
	scenario(t, func(w *world) {
		t := w.t
		w.keys = []ChainKey{{ID: chainkey.KeyID{Algorithm: chainkey.Bls12381G2, Name: "test_key_1"}, PublicKey: blst.P2Generator().ToAffine().Compress()}}
		m := newModule()
		size := m.host("msg_arg_data_size")
		pass := m.callback(m.host("msg_arg_data_copy", i32(1024), i32(0), size), m.reply(i32(1024), size))
		rejectSize := m.host("msg_reject_msg_size")
		fail := m.callback(m.host("msg_reject_msg_copy", i32(1024), i32(0), rejectSize), m.host("msg_reject", i32(1024), rejectSize))
		arg := cat(m.host("msg_arg_data_copy", i32(8192), i32(0), size), m.host("call_data_append", i32(8192), size))
		pay := m.host("call_cycles_add128", i64(0), i64(30_000_000_000))
		m.update("key", m.call(nil, "vetkd_public_key", pass, fail, arg))
		m.update("derive", m.call(nil, "vetkd_derive_key", pass, fail, arg, pay))
		m.update("derive for free", m.call(nil, "vetkd_derive_key", pass, fail, arg))
		// The price of the key whose name is the argument, and what the system said, as 20 bytes.
		m.query("price", cat(m.host("msg_arg_data_copy", i32(64), i32(0), size),
			store32(i32(16), m.host("cost_vetkd_derive_key", i32(64), size, i32(0), i32(0))), m.reply(i32(0), i32(20))))
		id := w.install(m)
		balance := func() Cycles { return w.x.canisters[id].Cycles }

		keyID := management.VetKDKeyID{Curve: management.VetKDCurve{Bls12381G2: candid.Unit}, Name: "test_key_1"}
		public := func(owner *principal.Principal, context string) []byte {
			var out management.VetKDPublicKeyResult
			w.decode(w.mustUpdate(id, "key", candid.MustMarshal(management.VetKDPublicKeyArgs{CanisterID: owner, Context: []byte(context), KeyID: keyID})), &out)
			return out.PublicKey
		}
		other := principal.FromUint64(99)
		for _, x := range []struct {
			owner   *principal.Principal
			id      principal.Principal
			context string
		}{{nil, id, "notes"}, {nil, id, ""}, {&other, other, "notes"}} {
			want, err := vetkd.DerivePublicKey(w.keys[0].PublicKey, x.id.Bytes(), []byte(x.context))
			if got := public(x.owner, x.context); err != nil || !bytes.Equal(got, want[:]) {
				t.Errorf("key of %s in %q: %x, want %x (%v)", x.id, x.context, got, want, err)
			}
		}
		for name, code := range map[string]uint32{"test_key_1": 0, "key_1": 2} {
			out := w.mustQuery(id, "price", []byte(name))
			price := binary.LittleEndian.Uint64(out)
			if got := binary.LittleEndian.Uint32(out[16:]); got != code || code == 0 && CyclesOf(price) != w.x.prices().sign() {
				t.Errorf("price of %s: %d, code %d", name, price, got)
			}
		}

		tk, err := vetkd.NewTransportKey(bytes.NewReader(bytes.Repeat([]byte{1}, 32)))
		if err != nil {
			t.Fatal(err)
		}
		transport := tk.Public()
		args := management.VetKDDeriveKeyArgs{Input: []byte("alice"), Context: []byte("notes"), TransportPublicKey: transport[:], KeyID: keyID}
		begin := func() (Ingress, SystemCall) {
			t.Helper()
			msg := w.message(alice, id, "derive", candid.MustMarshal(args))
			calls := w.round(msg).SystemCalls
			if len(calls) != 1 || calls[0].Kind != Derive || calls[0].Caller != id {
				t.Fatalf("%+v", calls)
			}
			if d := calls[0].Derive; d.Key != "test_key_1" || string(d.Input) != "alice" || string(d.Context) != "notes" || !bytes.Equal(d.Transport, transport[:]) {
				t.Fatalf("%+v", d)
			}
			return msg, calls[0]
		}
		msg, call := begin()
		w.round()
		if open := w.x.PendingSystemCalls(); len(open) != 1 || open[0].Derive == nil || string(open[0].Derive.Input) != "alice" {
			t.Errorf("open: %+v", open)
		}
		encrypted := bytes.Repeat([]byte{5}, vetkd.EncryptedKeySize)
		w.answer = []SystemResponse{{ID: call.ID, EncryptedKey: encrypted}}
		w.round()
		reply, rej := w.finish(msg.ID)
		if rej != nil {
			t.Fatal(rej)
		}
		var out management.VetKDDeriveKeyResult
		if w.decode(reply, &out); !bytes.Equal(out.EncryptedKey, encrypted) {
			t.Errorf("encrypted key: %x", out.EncryptedKey)
		}

		// The fee is kept for what the subnet began, and goes back for what it did not take.
		cost := func(response SystemResponse) Cycles {
			t.Helper()
			before := balance()
			msg, call := begin()
			response.ID = call.ID
			w.answer = []SystemResponse{response}
			w.round()
			if _, rej := w.finish(msg.ID); rej == nil || !strings.Contains(rej.Message, "no luck") {
				t.Errorf("%v", rej)
			}
			return before.Sub(balance())
		}
		late := cost(SystemResponse{RejectCode: SysTransient, RejectMessage: "no luck"})
		full := cost(SystemResponse{RejectCode: SysTransient, RejectMessage: "no luck", NotTaken: true})
		if late.Sub(full) != w.x.prices().sign() {
			t.Errorf("a late request costs %s, one not taken %s, the fee is %s", late, full, w.x.prices().sign())
		}

		wantReject := func(method, why string, arg any) {
			t.Helper()
			if _, rej := w.update(alice, id, method, candid.MustMarshal(arg)); rej == nil || !strings.Contains(rej.Message, why) {
				t.Errorf("%v, want %q", rej, why)
			}
		}
		wantReject("derive for free", "cycles are required", args)
		bad := args
		bad.TransportPublicKey = transport[:47]
		wantReject("derive", "transport", bad)
		bad.TransportPublicKey = append([]byte{0xc0}, make([]byte, 47)...)
		wantReject("derive", "transport", bad)
		bad = args
		bad.KeyID.Name = "key_2"
		wantReject("derive", "bls12_381_g2:key_2, this subnet has: [bls12_381_g2:test_key_1]", bad)
		wantReject("key", "key_2", management.VetKDPublicKeyArgs{KeyID: bad.KeyID})
		for _, method := range []string{"vetkd_derive_key", "vetkd_public_key"} { // users cannot
			if _, rej := w.manage(method, args); rej == nil || rej.Error != "IC0406" {
				t.Errorf("%s by a user: %v", method, rej)
			}
		}
	})
}
