package execution

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand"
	"testing"

	"fusion/ic/candid"
	"fusion/ic/principal"
	"fusion/internal/wasmbin"
	"fusion/replica/management"
)

// writer has memories, globals, certified data and a timer that messages set, and different code for each salt.
func writer(salt string) *module {
	m := newModule()
	constant := func(code code_) []byte { return wasmbin.AppendOp(code, wasmbin.OpEnd) }
	f32, f64 := []byte{0x43, 0, 0, 0xc0, 0x7f}, append([]byte{0x44}, make([]byte, 8)...) // a NaN, zero
	m.m.Globals = append(m.m.Globals,
		wasmbin.Global{GlobalType: wasmbin.GlobalType{Type: wasmbin.I32, Mutable: true}, Init: constant(i32(-1))},
		wasmbin.Global{GlobalType: wasmbin.GlobalType{Type: wasmbin.I64, Mutable: true}, Init: constant(i64(-2))},
		wasmbin.Global{GlobalType: wasmbin.GlobalType{Type: wasmbin.I64}, Init: constant(i64(7))}, // not to be seen
		wasmbin.Global{GlobalType: wasmbin.GlobalType{Type: wasmbin.F32, Mutable: true}, Init: constant(f32)},
		wasmbin.Global{GlobalType: wasmbin.GlobalType{Type: wasmbin.F64, Mutable: true}, Init: constant(f64)},
		wasmbin.Global{GlobalType: wasmbin.GlobalType{Type: wasmbin.I32}, Init: constant(i32(42))}, // to be seen, because it is exported
		wasmbin.Global{GlobalType: wasmbin.GlobalType{Type: wasmbin.V128, Mutable: true}, Init: constant(append([]byte{0xfd, 12}, bytes.Repeat([]byte{3}, 16)...))},
	)
	m.exports = append(m.exports, wasmbin.Export{Name: "answer", Kind: wasmbin.KindGlobal, Index: 5})
	arg := m.host("msg_arg_data_copy", i32(0), i32(0), m.host("msg_arg_data_size"))
	m.export("canister_init", drop(m.host("stable64_grow", i64(4))))
	m.update("heap", arg, store32(load32(i32(0)), load32(i32(8))), m.replyText(salt))
	m.update("stable", arg, m.host("stable64_write", load64(i32(0)), i64(8), i64(4)), m.replyText(salt))
	m.update("wipe stable", arg, m.host("stable64_write", load64(i32(0)), i64(1<<17), i64(4096)), m.replyText(salt))
	m.update("set", arg, m.host("certified_data_set", i32(0), i32(8)),
		wasmbin.AppendIndex(load32(i32(0)), wasmbin.OpGlobalSet, 0), wasmbin.AppendIndex(load64(i32(0)), wasmbin.OpGlobalSet, 1), m.replyText(salt))
	m.update("timer", arg, drop(m.host("global_timer_set", load64(i32(0)))), m.replyText(salt))
	m.export("canister_global_timer", store32(i32(64), i32(1)))
	m.query("peek", arg, m.host("stable64_read", i64(64), load64(i32(0)), i64(4)), m.reply(i32(64), i32(4)))
	return m
}

// memories is all of a canister that snapshots hold.
func (w *world) memories(id principal.Principal) string {
	w.t.Helper()
	x, c := w.x, w.x.canisters[id]
	x.store = w.store
	defer func() { x.store = nil }()
	if !c.hasCode() {
		return "empty"
	}
	heap := x.snapshotBytes(keyHeap, c.HeapLayer, 0, c.HeapPages*wasmPage)
	image := make([]byte, len(heap))
	if !x.load(c, w.store).image.Read(image, 0) || !bytes.Equal(heap, image) {
		w.t.Fatal("the heap in memory is not the heap in the store")
	}
	stable := x.snapshotBytes(keyStable, c.StableLayer, 0, c.StablePages*wasmPage)
	chunks := ""
	for _, h := range c.Chunks {
		b, ok := layered(x.fromRound, keyChunk, x.layers.chain(c.ChunkLayer), h)
		if sum := sha256.Sum256(b); !ok || !bytes.Equal(sum[:], h) {
			w.t.Fatalf("chunk %x is not there", h)
		}
		chunks += fmt.Sprintf("%x ", h)
	}
	return fmt.Sprintf("module %x\nheap %d %x\nstable %d %x\nglobals %x\nchunks %s\ncertified %x", c.ModuleHash, c.HeapPages, sha256.Sum256(heap),
		c.StablePages, sha256.Sum256(stable), c.Globals, chunks, c.Certified)
}

func (w *world) take(id principal.Principal, replace *[]byte) management.Snapshot {
	w.t.Helper()
	var s management.Snapshot
	w.decode(w.mustManage("take_canister_snapshot", management.TakeSnapshotArgs{CanisterID: id, ReplaceSnapshot: replace}), &s)
	return s
}

func (w *world) snapshots(id principal.Principal) []management.Snapshot {
	w.t.Helper()
	var list []management.Snapshot
	w.decode(w.mustManage("list_canister_snapshots", idArg(id)), &list)
	return list
}

// copySnapshot downloads a snapshot and uploads it to another canister, in pieces.
func (w *world) copySnapshot(from principal.Principal, snap []byte, to principal.Principal, piece uint64) []byte {
	w.t.Helper()
	var meta management.SnapshotMetadata
	w.decode(w.mustManage("read_canister_snapshot_metadata", management.SnapshotArgs{CanisterID: from, SnapshotID: snap}), &meta)
	var up management.SnapshotID
	w.decode(w.mustManage("upload_canister_snapshot_metadata", management.UploadSnapshotMetadataArgs{CanisterID: to, WasmModuleSize: meta.WasmModuleSize,
		Globals: meta.Globals, WasmMemorySize: meta.WasmMemorySize, StableMemorySize: meta.StableMemorySize, CertifiedData: meta.CertifiedData,
		GlobalTimer: meta.GlobalTimer, OnLowWasmMemory: meta.OnLowWasmMemory}), &up)
	move := func(read management.SnapshotData, write management.SnapshotTarget) {
		var c management.SnapshotChunk
		w.decode(w.mustManage("read_canister_snapshot_data", management.ReadSnapshotDataArgs{CanisterID: from, SnapshotID: snap, Kind: read}), &c)
		w.mustManage("upload_canister_snapshot_data", management.UploadSnapshotDataArgs{CanisterID: to, SnapshotID: up.SnapshotID, Kind: write, Chunk: c.Chunk})
	}
	slices := func(size uint64, read func(*management.Slice) management.SnapshotData, write func(*management.Offset) management.SnapshotTarget) {
		for at := uint64(0); at < size; at += piece {
			move(read(&management.Slice{Offset: at, Size: min(piece, size-at)}), write(&management.Offset{Offset: at}))
		}
	}
	slices(meta.WasmModuleSize, func(s *management.Slice) management.SnapshotData { return management.SnapshotData{WasmModule: s} },
		func(o *management.Offset) management.SnapshotTarget { return management.SnapshotTarget{WasmModule: o} })
	slices(meta.WasmMemorySize, func(s *management.Slice) management.SnapshotData { return management.SnapshotData{WasmMemory: s} },
		func(o *management.Offset) management.SnapshotTarget { return management.SnapshotTarget{WasmMemory: o} })
	slices(meta.StableMemorySize, func(s *management.Slice) management.SnapshotData { return management.SnapshotData{StableMemory: s} },
		func(o *management.Offset) management.SnapshotTarget {
			return management.SnapshotTarget{StableMemory: o}
		})
	for i := range meta.WasmChunkStore {
		move(management.SnapshotData{WasmChunk: &meta.WasmChunkStore[i]}, management.SnapshotTarget{WasmChunk: candid.Unit})
	}
	return up.SnapshotID
}

// TestSnapshotsAtRandom takes, loads, replaces, deletes and copies snapshots between random messages: what is loaded is what was taken.
func TestSnapshotsAtRandom(t *testing.T) {
	for seed := range int64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewSource(seed))
			w := newWorld(t)
			var ids []principal.Principal
			for i := range 2 {
				ids = append(ids, w.install(writer(fmt.Sprint("v", i))))
			}
			type taken struct {
				owner principal.Principal
				id    []byte
				state string
			}
			var snaps []taken
			drop := func(i int) { snaps = append(snaps[:i], snaps[i+1:]...) }
			for step := range 60 {
				w.reopen = rng.Intn(3) == 0
				id := ids[rng.Intn(len(ids))]
				var random [12]byte
				rng.Read(random[:])
				switch n := rng.Intn(16); {
				case n < 3:
					binary.LittleEndian.PutUint64(random[:], 1<<12+uint64(rng.Intn(50))<<12)
					w.update(alice, id, "heap", random[:])
				case n < 6:
					binary.LittleEndian.PutUint64(random[:], uint64(rng.Intn(60))<<12)
					w.update(alice, id, []string{"stable", "stable", "wipe stable"}[rng.Intn(3)], random[:])
				case n < 7:
					w.update(alice, id, "set", random[:])
				case n < 8:
					w.mustManage("upload_chunk", management.UploadChunkArgs{CanisterID: id, Chunk: random[:rng.Intn(12)]})
				case n < 9:
					switch rng.Intn(4) {
					case 0:
						w.mustManage("install_code", installArgs(id, management.ModeReinstall(), writer(fmt.Sprint("r", step)).bytes(), nil))
					case 1:
						w.mustManage("uninstall_code", management.UninstallCodeArgs{CanisterID: id})
					case 2:
						w.mustManage("clear_chunk_store", idArg(id))
					default:
						w.manage("install_code", installArgs(id, upgradeMode, writer(fmt.Sprint("u", step)).bytes(), nil))
					}
				case n < 12:
					if !w.x.canisters[id].hasCode() {
						break
					}
					var replace *[]byte
					for i := range snaps {
						if full := len(w.x.canisters[id].snapshots) == maxSnapshots; snaps[i].owner == id && (full || rng.Intn(4) == 0) {
							old := snaps[i].id
							replace = &old
							drop(i)
							break
						}
					}
					w.round()
					state := w.memories(id)
					snaps = append(snaps, taken{id, w.take(id, replace).ID, state})
				case n < 13 && len(snaps) > 0:
					i := rng.Intn(len(snaps))
					w.mustManage("delete_canister_snapshot", management.SnapshotArgs{CanisterID: snaps[i].owner, SnapshotID: snaps[i].id})
					drop(i)
				case n < 14 && len(snaps) > 0 && step%3 == 0:
					s := snaps[rng.Intn(len(snaps))]
					if len(w.x.canisters[id].snapshots) < maxSnapshots {
						snaps = append(snaps, taken{id, w.copySnapshot(s.owner, s.id, id, 100_000), s.state})
					}
				case len(snaps) > 0:
					s := snaps[rng.Intn(len(snaps))]
					w.mustManage("load_canister_snapshot", management.LoadSnapshotArgs{CanisterID: id, SnapshotID: s.id})
					if got := w.memories(id); got != s.state {
						t.Fatalf("step %d: loaded\n%s\nwas taken as\n%s", step, got, s.state)
					}
				}
				for _, id := range ids { // through the cache of stable memory
					if c := w.x.canisters[id]; c.hasCode() {
						w.x.store = w.store
						at := uint64(rng.Intn(60)) << 12
						if got, want := w.mustQuery(id, "peek", candidLE(at)), w.x.snapshotBytes(keyStable, c.StableLayer, at, 4); !bytes.Equal(got, want) {
							t.Fatalf("step %d: a query reads %x at %d, the store has %x", step, got, at, want)
						}
					}
				}
			}
			for _, s := range snaps { // into a third canister
				id := w.create()
				w.mustManage("load_canister_snapshot", management.LoadSnapshotArgs{CanisterID: id, SnapshotID: s.id})
				if got := w.memories(id); got != s.state {
					t.Errorf("loaded into another canister\n%s\nwas taken as\n%s", got, s.state)
				}
				ids = append(ids, id)
			}
			// Nothing is left of deleted canisters.
			for _, id := range ids {
				w.mustManage("stop_canister", idArg(id))
				w.mustManage("delete_canister", idArg(id))
			}
			for range 40 {
				w.round()
			}
			for _, kind := range []byte{keyLayer, keyHeap, keyStable, keyChunk, keyModulePage, keySnapshot} {
				if keys := someKeys(w.store, []byte{kind}, 1); len(keys) != 0 {
					t.Errorf("left: %q", keys)
				}
			}
		})
	}
}

// TestSnapshotRules walks through the rules of the interface.
func TestSnapshotRules(t *testing.T) {
	scenario(t, func(w *world) {
		t := w.t
		wantCode := func(method string, arg any, code string) {
			t.Helper()
			if _, rej := w.manage(method, arg); rej == nil || rej.Error != code {
				t.Errorf("%s: %v, want %s", method, rej, code)
			}
		}
		id, other := w.install(writer("a")), w.create()
		empty := w.create()
		wantCode("take_canister_snapshot", management.TakeSnapshotArgs{CanisterID: empty}, "IC0406")
		wantCode("take_canister_snapshot", management.TakeSnapshotArgs{CanisterID: principal.FromUint64(999)}, "IC0301")
		w.mustUpdate(id, "set", []byte("12345678abcd"))
		w.mustManage("upload_chunk", management.UploadChunkArgs{CanisterID: id, Chunk: []byte("chunk")})
		armed := w.now + 10_000*second
		w.mustUpdate(id, "timer", candidLE(armed))
		w.round()

		// Price, size, memory, version.
		c := w.x.canisters[id]
		before, version := c.Cycles, c.Version
		arg := management.TakeSnapshotArgs{CanisterID: id}
		s := w.take(id, nil)
		c = w.x.canisters[id]
		size := (c.HeapPages+c.StablePages)*wasmPage + c.ModuleSize + 6*8 + maxChunk + 8
		if s.TotalSize != size || s.TakenAt != w.now || !bytes.Equal(s.ID, append(make([]byte, 8), id.Bytes()...)) {
			t.Errorf("taken: %+v, want a size of %d", s, size)
		}
		ingress := w.x.prices().ingress(uint64(len("take_canister_snapshot") + len(candid.MustMarshal(arg))))
		if paid := before.Sub(c.Cycles); paid != w.x.prices().execution(snapshotInstructions+size).Add(ingress) {
			t.Errorf("taking it cost %s", paid)
		}
		if c.Version != version {
			t.Errorf("taking a snapshot changes the version from %d to %d", version, c.Version)
		}
		if st := w.status(id); st.MemoryMetrics.SnapshotsSize.String() != fmt.Sprint(size) || st.MemorySize.String() != fmt.Sprint(c.memory()) {
			t.Errorf("status: %+v", st.MemoryMetrics)
		}

		// Metadata.
		var meta management.SnapshotMetadata
		w.decode(w.mustManage("read_canister_snapshot_metadata", management.SnapshotArgs{CanisterID: id, SnapshotID: s.ID}), &meta)
		var text string
		for _, g := range meta.Globals {
			switch {
			case g.I32 != nil:
				text += fmt.Sprint(" i32 ", *g.I32)
			case g.I64 != nil:
				text += fmt.Sprint(" i64 ", *g.I64)
			case g.F32 != nil:
				text += fmt.Sprintf(" f32 %x", math.Float32bits(*g.F32))
			case g.F64 != nil:
				text += fmt.Sprint(" f64 ", *g.F64)
			default:
				text += " v128 " + g.V128.String()
			}
		}
		if want := " i32 875770417 i64 4050765991979987505 f32 7fc00000 f64 0 i32 42 v128 4003321963775746628980877734491390723"; text != want {
			t.Errorf("globals: %s", text)
		}
		if meta.Source.TakenFromCanister == nil || meta.CanisterVersion != version || string(meta.CertifiedData) != "12345678" || meta.GlobalTimer.Active == nil ||
			len(meta.WasmChunkStore) != 1 || meta.OnLowWasmMemory.NotSatisfied == nil || meta.WasmModuleSize != c.ModuleSize || meta.WasmMemorySize != 4*wasmPage {
			t.Errorf("metadata: %+v", meta)
		}

		// Who may.
		for _, method := range []string{"take_canister_snapshot", "load_canister_snapshot", "delete_canister_snapshot", "upload_canister_snapshot_data"} {
			arg := candid.MustMarshal(management.UploadSnapshotDataArgs{CanisterID: id, SnapshotID: s.ID, Kind: management.SnapshotTarget{WasmChunk: candid.Unit}})
			if _, rej := w.update(bob, principal.Management, method, arg); rej == nil || rej.Error != "IC0512" {
				t.Errorf("%s by a stranger: %v", method, rej)
			}
		}
		read := map[string][]byte{
			"list_canister_snapshots":         candid.MustMarshal(idArg(id)),
			"read_canister_snapshot_metadata": candid.MustMarshal(management.SnapshotArgs{CanisterID: id, SnapshotID: s.ID}),
			"read_canister_snapshot_data": candid.MustMarshal(management.ReadSnapshotDataArgs{CanisterID: id, SnapshotID: s.ID,
				Kind: management.SnapshotData{WasmModule: &management.Slice{Size: 4}}}),
		}
		for _, v := range []struct {
			visibility management.Visibility
			allowed    bool
		}{{management.Visibility{Controllers: candid.Unit}, false}, {management.Visibility{Public: candid.Unit}, true},
			{management.Visibility{AllowedViewers: &[]principal.Principal{bob}}, true}, {management.Visibility{AllowedViewers: &[]principal.Principal{other}}, false}} {
			w.mustManage("update_settings", management.UpdateSettingsArgs{CanisterID: id, Settings: management.Settings{SnapshotVisibility: &v.visibility}})
			for _, method := range []string{"list_canister_snapshots", "read_canister_snapshot_metadata", "read_canister_snapshot_data"} {
				if _, rej := w.update(bob, principal.Management, method, read[method]); (rej == nil) != v.allowed {
					t.Errorf("%s by another, %+v: %v", method, v.visibility, rej)
				}
			}
		}

		// Ids, slices, limits.
		for _, snap := range []struct {
			id   []byte
			code string
		}{{nil, "IC0408"}, {make([]byte, 100), "IC0408"}, {snapshotID(id, 7), "IC0305"}, {snapshotID(other, 0), "IC0406"}} {
			wantCode("read_canister_snapshot_metadata", management.SnapshotArgs{CanisterID: id, SnapshotID: snap.id}, snap.code)
			wantCode("delete_canister_snapshot", management.SnapshotArgs{CanisterID: id, SnapshotID: snap.id}, snap.code)
			wantCode("take_canister_snapshot", management.TakeSnapshotArgs{CanisterID: id, ReplaceSnapshot: &snap.id}, snap.code)
		}
		slice := func(offset, size uint64) management.ReadSnapshotDataArgs {
			return management.ReadSnapshotDataArgs{CanisterID: id, SnapshotID: s.ID, Kind: management.SnapshotData{StableMemory: &management.Slice{Offset: offset, Size: size}}}
		}
		wantCode("read_canister_snapshot_data", slice(0, maxSnapshotSlice+1), "IC0408")
		wantCode("read_canister_snapshot_data", slice(4*wasmPage-1, 2), "IC0408")
		wantCode("read_canister_snapshot_data", slice(^uint64(0), 2), "IC0408")
		wantCode("read_canister_snapshot_data", management.ReadSnapshotDataArgs{CanisterID: id, SnapshotID: s.ID,
			Kind: management.SnapshotData{WasmChunk: &management.ChunkHash{Hash: []byte("no")}}}, "IC0504")
		wantCode("upload_canister_snapshot_data", management.UploadSnapshotDataArgs{CanisterID: id, SnapshotID: s.ID, Kind: management.SnapshotTarget{WasmChunk: candid.Unit}}, "IC0409")
		for _, bad := range []func(*management.UploadSnapshotMetadataArgs){
			func(a *management.UploadSnapshotMetadataArgs) { a.WasmModuleSize = maxWasmSize + 1 },
			func(a *management.UploadSnapshotMetadataArgs) { a.WasmMemorySize = 1 },
			func(a *management.UploadSnapshotMetadataArgs) { a.WasmMemorySize = 1 << 40 },
			func(a *management.UploadSnapshotMetadataArgs) { a.StableMemorySize = 1 << 40 },
			func(a *management.UploadSnapshotMetadataArgs) { a.CertifiedData = make([]byte, 33) },
		} {
			a := management.UploadSnapshotMetadataArgs{CanisterID: id}
			bad(&a)
			wantCode("upload_canister_snapshot_metadata", a, "IC0408")
		}
		poor := management.UploadSnapshotMetadataArgs{CanisterID: id, StableMemorySize: 400 << 30}
		wantCode("upload_canister_snapshot_metadata", poor, "IC0532")
		for len(w.snapshots(id)) < maxSnapshots {
			w.take(id, nil)
		}
		wantCode("take_canister_snapshot", arg, "IC0406")
		wantCode("upload_canister_snapshot_metadata", management.UploadSnapshotMetadataArgs{CanisterID: id}, "IC0406")
		list := w.snapshots(id)
		w.take(id, &list[3].ID)
		if now := w.snapshots(id); len(now) != maxSnapshots || bytes.Equal(now[3].ID, list[3].ID) {
			t.Errorf("after replacing: %+v", now)
		}

		// Loading: code, history, version; into another canister; not by one who controls only the target.
		w.mustManage("install_code", installArgs(id, management.ModeReinstall(), writer("b").bytes(), nil))
		version = w.x.canisters[id].Version
		w.mustManage("load_canister_snapshot", management.LoadSnapshotArgs{CanisterID: id, SnapshotID: s.ID})
		if got := string(w.mustUpdate(id, "heap", append(candidLE(8192), 1, 2, 3, 4))); got != "a" {
			t.Errorf("the code loaded answers %q", got)
		}
		w.mustManage("load_canister_snapshot", management.LoadSnapshotArgs{CanisterID: other, SnapshotID: s.ID})
		history := func(id principal.Principal) management.Change {
			info := w.info(id, 20)
			return info.RecentChanges[len(info.RecentChanges)-1]
		}
		if h := history(id); h.Details.LoadSnapshot == nil || h.Details.LoadSnapshot.FromCanister != nil || h.CanisterVersion != version+1 ||
			h.Details.LoadSnapshot.TakenAt != s.TakenAt || h.Details.LoadSnapshot.Source.TakenFromCanister == nil {
			t.Errorf("history: %+v", h)
		}
		if h := history(other); h.Details.LoadSnapshot == nil || h.Details.LoadSnapshot.FromCanister == nil || *h.Details.LoadSnapshot.FromCanister != id {
			t.Errorf("history: %+v", h)
		}
		w.mustManage("update_settings", management.UpdateSettingsArgs{CanisterID: other, Settings: management.Settings{Controllers: &[]principal.Principal{bob}}})
		if _, rej := w.update(bob, principal.Management, "load_canister_snapshot", candid.MustMarshal(management.LoadSnapshotArgs{CanisterID: other, SnapshotID: s.ID})); rej == nil || rej.Error != "IC0512" {
			t.Errorf("a snapshot of a canister that the caller does not control: %v", rej)
		}

		// Taken and loaded in one block: loaded in the next.
		take := w.message(alice, principal.Management, "take_canister_snapshot", candid.MustMarshal(management.TakeSnapshotArgs{CanisterID: id, ReplaceSnapshot: &s.ID}))
		load := w.message(alice, principal.Management, "load_canister_snapshot",
			candid.MustMarshal(management.LoadSnapshotArgs{CanisterID: empty, SnapshotID: snapshotID(id, w.x.canisters[id].NextSnapshot)}))
		w.round(take, load)
		if st, _ := w.x.IngressStatus(load.ID); st.State.terminal() {
			t.Errorf("loaded in the block that took it: %v", st.Reject)
		}
		if _, rej := w.finish(load.ID); rej != nil {
			t.Error(rej)
		}
		if w.memories(empty) != w.memories(id) {
			t.Error("what was loaded differs")
		}

		// uninstall_code, and that what was loaded from an uploaded snapshot does not follow what is uploaded later.
		yes := true
		fresh := w.create()
		up := w.copySnapshot(id, w.snapshots(id)[0].ID, fresh, 150_000)
		w.mustManage("load_canister_snapshot", management.LoadSnapshotArgs{CanisterID: fresh, SnapshotID: up})
		was := w.memories(fresh)
		for _, kind := range []management.SnapshotTarget{{WasmMemory: &management.Offset{Offset: 5000}}, {StableMemory: &management.Offset{}}, {WasmChunk: candid.Unit}} {
			w.mustManage("upload_canister_snapshot_data", management.UploadSnapshotDataArgs{CanisterID: fresh, SnapshotID: up, Kind: kind, Chunk: []byte("other data")})
		}
		if got := w.memories(fresh); got != was {
			t.Errorf("an upload changed a canister:\n%s\n%s", was, got)
		}
		if got := w.x.canisters[fresh].Timer; got != armed || w.x.canisters[id].Timer != 0 {
			t.Errorf("an uploaded snapshot sets the timer to %d, a taken one to %d", got, w.x.canisters[id].Timer)
		}
		w.mustManage("take_canister_snapshot", management.TakeSnapshotArgs{CanisterID: fresh, UninstallCode: &yes})
		if c := w.x.canisters[fresh]; c.hasCode() || len(c.Chunks) != 0 || history(fresh).Details.CodeUninstall == nil {
			t.Errorf("still installed: %x", c.ModuleHash)
		}
		// An uploaded snapshot must fit its module.
		var bad management.SnapshotID
		w.decode(w.mustManage("upload_canister_snapshot_metadata", management.UploadSnapshotMetadataArgs{CanisterID: fresh, WasmMemorySize: meta.WasmMemorySize,
			WasmModuleSize: meta.WasmModuleSize, Globals: meta.Globals[1:]}), &bad)
		wantCode("load_canister_snapshot", management.LoadSnapshotArgs{CanisterID: fresh, SnapshotID: bad.SnapshotID}, "IC0505")
		w.mustManage("upload_canister_snapshot_data", management.UploadSnapshotDataArgs{CanisterID: fresh, SnapshotID: bad.SnapshotID,
			Kind: management.SnapshotTarget{WasmModule: &management.Offset{}}, Chunk: writer("a").bytes()})
		wantCode("load_canister_snapshot", management.LoadSnapshotArgs{CanisterID: fresh, SnapshotID: bad.SnapshotID}, "IC0408")
		w.mustManage("delete_canister_snapshot", management.SnapshotArgs{CanisterID: fresh, SnapshotID: bad.SnapshotID})
		wantCode("load_canister_snapshot", management.LoadSnapshotArgs{CanisterID: fresh, SnapshotID: bad.SnapshotID}, "IC0305")
	})
}
