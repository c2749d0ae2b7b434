package execution

import (
	"bytes"
	"encoding/binary"
	"testing"

	"fusion/ic/candid"
	"fusion/replica/management"
)

// TestLargestStableMemory: 500 GiB are there and cost nothing but cycles until they are written, and survive an upgrade.
func TestLargestStableMemory(t *testing.T) {
	scenario(t, func(w *world) {
		t := w.t
		const end = maxStablePages * wasmPage
		m := newModule()
		m.update("grow", store64(i32(0), m.host("stable64_grow", i64(maxStablePages))), store64(i32(8), m.host("stable64_grow", i64(1))),
			store64(i32(16), m.host("stable64_size")), m.reply(i32(0), i32(24)))
		m.update("write", store64(i32(0), i64(0x1122334455667788)), m.host("stable64_write", i64(end-8), i64(0), i64(8)),
			m.host("stable64_write", i64(end/2-4), i64(0), i64(8)), m.reply(i32(0), i32(0)))
		m.query("read", m.host("stable64_read", i64(0), i64(end-16), i64(16)), m.host("stable64_read", i64(16), i64(end/2-8), i64(16)), m.reply(i32(0), i32(32)))
		m.update("beyond", m.host("stable64_write", i64(end-7), i64(0), i64(8)))
		id := w.install(m)
		w.mustManage("provisional_top_up_canister", management.ProvisionalTopUpArgs{CanisterID: id, Amount: candid.NatFromUint64(10_000_000_000_000_000)})
		want := binary.LittleEndian.AppendUint64(nil, 0)
		want = binary.LittleEndian.AppendUint64(want, 1<<64-1)
		want = binary.LittleEndian.AppendUint64(want, maxStablePages)
		if got := w.mustUpdate(id, "grow", nil); !bytes.Equal(got, want) {
			t.Fatalf("growing to 500 GiB and by a page more: %x", got)
		}
		w.mustUpdate(id, "write", nil)
		if pages := w.last.StablePages; pages > 3 {
			t.Errorf("two words were written to %d pages", pages)
		}
		w.wantReject("IC0502", id, "beyond", nil)
		read := func(when string) {
			t.Helper()
			word := binary.LittleEndian.AppendUint64(nil, 0x1122334455667788)
			want := append(append(make([]byte, 8), word...), append(append(make([]byte, 4), word...), make([]byte, 4)...)...)
			if got := w.mustQuery(id, "read", nil); !bytes.Equal(got, want) {
				t.Errorf("%s: %x", when, got)
			}
		}
		read("written")
		w.mustManage("install_code", installArgs(id, management.ModeUpgrade(nil), m.bytes(), nil))
		read("upgraded")
		var st management.CanisterStatusResult
		w.decode(w.mustManage("canister_status", idArg(id)), &st)
		if n, _ := st.MemoryMetrics.StableMemorySize.Uint64(); n != end {
			t.Errorf("the status says %d bytes of stable memory", n)
		}
	})
}
