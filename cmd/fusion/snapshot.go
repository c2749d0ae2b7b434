package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"fusion/ic/candid"
	"fusion/ic/principal"
	"fusion/internal/strictjson"
	"fusion/replica/management"
)

func snapshotCmd(o *options) *cobra.Command {
	cmd := &cobra.Command{Use: "snapshot", Short: "keep a canister's state, and go back to it",
		Long: `Keep a canister's whole state, and go back to it: code, heap, stable memory, certified data, timer and chunk store.

Stop the canister before a snapshot is taken or loaded, so that no call is open. A snapshot that was downloaded can be uploaded to
another canister, of another network too.`}
	var replace string
	var drop bool
	create := &cobra.Command{Use: "create CANISTER", Short: "take a snapshot; for the canister's controllers", Args: cobra.ExactArgs(1),
		RunE: o.withCanister(func(ctx context.Context, c *client, w io.Writer, id principal.Principal, _ []string) error {
			in := management.TakeSnapshotArgs{CanisterID: id}
			if drop {
				in.UninstallCode = &drop
			}
			var err error
			if in.ReplaceSnapshot, err = parseSnapshot(replace); err != nil {
				return err
			}
			var out management.Snapshot
			if err := c.manage(ctx, "take_canister_snapshot", in, &out); err != nil {
				return err
			}
			fmt.Fprintf(w, "created snapshot %x of %s, %d bytes\n", out.ID, id, out.TotalSize)
			return nil
		})}
	create.Flags().StringVar(&replace, "replace", "", "snapshot that makes place for the new one")
	create.Flags().BoolVar(&drop, "uninstall", false, "remove the canister's code and state once the snapshot is taken")
	list := &cobra.Command{Use: "list CANISTER", Short: "list the snapshots; for those who may read them", Args: cobra.ExactArgs(1),
		RunE: o.withCanister(func(ctx context.Context, c *client, w io.Writer, id principal.Principal, _ []string) error {
			var out []management.Snapshot
			if err := c.manage(ctx, "list_canister_snapshots", management.CanisterID{CanisterID: id}, &out); err != nil {
				return err
			}
			for _, s := range out {
				fmt.Fprintf(w, "%x  %s  %d bytes\n", s.ID, timeOf(s.TakenAt), s.TotalSize)
			}
			return nil
		})}
	var resume string
	var dir string
	upload := &cobra.Command{Use: "upload CANISTER", Short: "make a snapshot of a directory that download wrote; for the canister's controllers", Args: cobra.ExactArgs(1),
		RunE: o.withCanister(func(ctx context.Context, c *client, w io.Writer, id principal.Principal, _ []string) error {
			old, err := parseSnapshot(resume)
			if err != nil {
				return err
			}
			return uploadSnapshot(ctx, c, w, id, dir, old)
		})}
	upload.Flags().StringVar(&resume, "replace", "", "snapshot that makes place for the new one")
	download := &cobra.Command{Use: "download CANISTER SNAPSHOT", Short: "write a snapshot to a directory; for those who may read it", Args: cobra.ExactArgs(2),
		RunE: o.withSnapshot(func(ctx context.Context, c *client, w io.Writer, at management.SnapshotArgs) error {
			return downloadSnapshot(ctx, c, w, at, dir)
		})}
	for _, c := range []*cobra.Command{upload, download} {
		c.Flags().StringVar(&dir, "dir", "", "directory of the snapshot")
		if err := c.MarkFlagRequired("dir"); err != nil {
			panic(err) // it was defined above
		}
	}
	cmd.AddCommand(create, list,
		&cobra.Command{Use: "load CANISTER SNAPSHOT", Short: "give a canister a snapshot's code and state; for its controllers", Args: cobra.ExactArgs(2),
			RunE: o.withSnapshot(func(ctx context.Context, c *client, w io.Writer, at management.SnapshotArgs) error {
				if err := c.manage(ctx, "load_canister_snapshot", management.LoadSnapshotArgs{CanisterID: at.CanisterID, SnapshotID: at.SnapshotID}, nil); err != nil {
					return err
				}
				fmt.Fprintf(w, "loaded snapshot %x into %s\n", at.SnapshotID, at.CanisterID)
				return nil
			})},
		&cobra.Command{Use: "delete CANISTER SNAPSHOT", Short: "delete a snapshot; for the canister's controllers", Args: cobra.ExactArgs(2),
			RunE: o.withSnapshot(func(ctx context.Context, c *client, w io.Writer, at management.SnapshotArgs) error {
				if err := c.manage(ctx, "delete_canister_snapshot", at, nil); err != nil {
					return err
				}
				fmt.Fprintf(w, "deleted snapshot %x of %s\n", at.SnapshotID, at.CanisterID)
				return nil
			})}, download, upload)
	return cmd
}

func (o *options) withSnapshot(fn func(ctx context.Context, c *client, w io.Writer, at management.SnapshotArgs) error) func(*cobra.Command, []string) error {
	return o.withCanister(func(ctx context.Context, c *client, w io.Writer, id principal.Principal, args []string) error {
		snap, err := parseSnapshot(args[0])
		if err != nil {
			return err
		}
		if snap == nil {
			return errors.New("the snapshot has no id")
		}
		return fn(ctx, c, w, management.SnapshotArgs{CanisterID: id, SnapshotID: *snap})
	})
}

// parseSnapshot reads a snapshot's id; no text is no snapshot.
func parseSnapshot(text string) (*[]byte, error) {
	if text == "" {
		return nil, nil
	}
	b, err := hex.DecodeString(strings.TrimPrefix(text, "0x"))
	if err != nil {
		return nil, hint(fmt.Errorf("%q is no snapshot id: it has hexadecimal digits", text), "fusion canister snapshot list CANISTER")
	}
	return &b, nil
}

// A snapshot on disk: metadata.json and a file for each memory, in which what is zero may be a hole.
const (
	metadataFile     = "metadata.json"
	chunksDir        = "wasm_chunk_store"
	maxMetadataFile  = 4 << 20   // bytes
	snapshotPiece    = 384 << 12 // bytes that travel at once: whole pages, and less than the 2,000,000 that read_canister_snapshot_data gives
	maxSnapshotChunk = 1 << 20   // bytes of a chunk (interface specification, upload_chunk)
)

// snapshotMeta is metadata.json.
type snapshotMeta struct {
	Source           string       `json:"source,omitempty"`             // for readers; an uploaded one has its own
	TakenAt          uint64       `json:"taken_at_timestamp,omitempty"` // ns since 1970, for readers
	CanisterVersion  uint64       `json:"canister_version,omitempty"`   // for readers
	WasmModuleSize   uint64       `json:"wasm_module_size"`
	WasmMemorySize   uint64       `json:"wasm_memory_size"`
	StableMemorySize uint64       `json:"stable_memory_size"`
	Globals          []globalText `json:"globals"`
	CertifiedData    string       `json:"certified_data"` // hexadecimal
	GlobalTimer      *string      `json:"global_timer,omitempty"`
	LowMemoryHook    string       `json:"on_low_wasm_memory_hook_status,omitempty"`
	Chunks           []string     `json:"wasm_chunk_store"` // hashes, in hexadecimal
}

// globalText is a global of a module. Floats are their bits, so that none changes on the way.
type globalText struct {
	Type  string `json:"type"`
	Value string `json:"value"`
}

var errMetadata = errors.New("malformed " + metadataFile)

func metaOf(m *management.SnapshotMetadata) (*snapshotMeta, error) {
	out := &snapshotMeta{Source: "taken_from_canister", TakenAt: m.TakenAt, CanisterVersion: m.CanisterVersion, WasmModuleSize: m.WasmModuleSize,
		WasmMemorySize: m.WasmMemorySize, StableMemorySize: m.StableMemorySize, CertifiedData: hex.EncodeToString(m.CertifiedData),
		Globals: []globalText{}, Chunks: []string{}}
	if m.Source.MetadataUpload != nil {
		out.Source = "metadata_upload"
	}
	for i, g := range m.Globals {
		var t globalText
		switch {
		case g.I32 != nil:
			t = globalText{"i32", strconv.FormatInt(int64(*g.I32), 10)}
		case g.I64 != nil:
			t = globalText{"i64", strconv.FormatInt(*g.I64, 10)}
		case g.F32 != nil:
			t = globalText{"f32", fmt.Sprintf("0x%08x", math.Float32bits(*g.F32))}
		case g.F64 != nil:
			t = globalText{"f64", fmt.Sprintf("0x%016x", math.Float64bits(*g.F64))}
		case g.V128 != nil:
			t = globalText{"v128", g.V128.String()}
		default:
			return nil, fmt.Errorf("global %d of the snapshot is of no kind that is known", i)
		}
		out.Globals = append(out.Globals, t)
	}
	if t := m.GlobalTimer; t != nil {
		text := "inactive"
		if t.Active != nil {
			text = strconv.FormatUint(*t.Active, 10)
		}
		out.GlobalTimer = &text
	}
	if h := m.OnLowWasmMemory; h != nil {
		switch {
		case h.Ready != nil:
			out.LowMemoryHook = "ready"
		case h.Executed != nil:
			out.LowMemoryHook = "executed"
		default:
			out.LowMemoryHook = "condition_not_satisfied"
		}
	}
	for _, c := range m.WasmChunkStore {
		out.Chunks = append(out.Chunks, hex.EncodeToString(c.Hash))
	}
	return out, nil
}

// parseSnapshotMeta reads metadata.json.
func parseSnapshotMeta(raw []byte) (*snapshotMeta, error) {
	var m snapshotMeta
	if err := strictjson.Unmarshal(raw, maxMetadataFile, &m); err != nil {
		return nil, fmt.Errorf("%w: %w", errMetadata, err)
	}
	for _, h := range m.Chunks {
		if b, err := hex.DecodeString(h); err != nil || len(b) != 32 {
			return nil, fmt.Errorf("%w: wasm_chunk_store: %q is no hash", errMetadata, h)
		}
	}
	_, err := m.upload(principal.Management, nil)
	return &m, err
}

// upload is what announces the snapshot to a canister.
func (m *snapshotMeta) upload(id principal.Principal, replace *[]byte) (out management.UploadSnapshotMetadataArgs, err error) {
	bad := func(what, value string, err error) error {
		return fmt.Errorf("%w: %s %q: %w", errMetadata, what, value, err)
	}
	out = management.UploadSnapshotMetadataArgs{CanisterID: id, ReplaceSnapshot: replace, WasmModuleSize: m.WasmModuleSize, WasmMemorySize: m.WasmMemorySize,
		StableMemorySize: m.StableMemorySize, Globals: []management.Global{}}
	if out.CertifiedData, err = hex.DecodeString(m.CertifiedData); err != nil {
		return out, bad("certified_data", m.CertifiedData, err)
	}
	for i, t := range m.Globals {
		var g management.Global
		var err error
		switch t.Type {
		case "i32":
			var n int64
			n, err = strconv.ParseInt(t.Value, 10, 32)
			v := int32(n)
			g.I32 = &v
		case "i64":
			var n int64
			n, err = strconv.ParseInt(t.Value, 10, 64)
			g.I64 = &n
		case "f32":
			var n uint64
			n, err = strconv.ParseUint(t.Value, 0, 32)
			v := math.Float32frombits(uint32(n))
			g.F32 = &v
		case "f64":
			var n uint64
			n, err = strconv.ParseUint(t.Value, 0, 64)
			v := math.Float64frombits(n)
			g.F64 = &v
		case "v128":
			var n candid.Nat
			if n, err = candid.ParseNat(t.Value); err == nil {
				if _, _, ok := n.Uint128(); !ok {
					err = strconv.ErrRange
				}
			}
			g.V128 = &n
		default:
			err = errors.New("want i32, i64, f32, f64 or v128")
		}
		if err != nil {
			return out, bad(fmt.Sprintf("globals[%d] %s", i, t.Type), t.Value, err)
		}
		out.Globals = append(out.Globals, g)
	}
	if m.GlobalTimer != nil {
		t := &management.GlobalTimer{Inactive: candid.Unit}
		if *m.GlobalTimer != "inactive" {
			ns, err := strconv.ParseUint(*m.GlobalTimer, 10, 64)
			if err != nil {
				return out, bad("global_timer", *m.GlobalTimer, err)
			}
			t = &management.GlobalTimer{Active: &ns}
		}
		out.GlobalTimer = t
	}
	switch m.LowMemoryHook {
	case "":
	case "condition_not_satisfied":
		out.OnLowWasmMemory = &management.HookStatus{NotSatisfied: candid.Unit}
	case "ready":
		out.OnLowWasmMemory = &management.HookStatus{Ready: candid.Unit}
	case "executed":
		out.OnLowWasmMemory = &management.HookStatus{Executed: candid.Unit}
	default:
		return out, bad("on_low_wasm_memory_hook_status", m.LowMemoryHook, errors.New("want condition_not_satisfied, ready or executed"))
	}
	return out, nil
}

// part is a memory of a snapshot and its file.
type part struct {
	file  string
	size  uint64
	read  func(s *management.Slice) management.SnapshotData
	write func(o *management.Offset) management.SnapshotTarget
}

func (m *snapshotMeta) parts() []part {
	return []part{
		{"wasm_module.bin", m.WasmModuleSize, func(s *management.Slice) management.SnapshotData { return management.SnapshotData{WasmModule: s} },
			func(o *management.Offset) management.SnapshotTarget { return management.SnapshotTarget{WasmModule: o} }},
		{"wasm_memory.bin", m.WasmMemorySize, func(s *management.Slice) management.SnapshotData { return management.SnapshotData{WasmMemory: s} },
			func(o *management.Offset) management.SnapshotTarget { return management.SnapshotTarget{WasmMemory: o} }},
		{"stable_memory.bin", m.StableMemorySize, func(s *management.Slice) management.SnapshotData { return management.SnapshotData{StableMemory: s} },
			func(o *management.Offset) management.SnapshotTarget {
				return management.SnapshotTarget{StableMemory: o}
			}},
	}
}

func downloadSnapshot(ctx context.Context, c *client, w io.Writer, at management.SnapshotArgs, dir string) (err error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return fmt.Errorf("making the directory of the snapshot: %w", err)
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) > 0 {
		return hint(errors.Join(fmt.Errorf("%s is not empty", dir), err), "name a new directory with --dir")
	}
	var meta management.SnapshotMetadata
	if err := c.manage(ctx, "read_canister_snapshot_metadata", at, &meta); err != nil {
		return err
	}
	m, err := metaOf(&meta)
	if err != nil {
		return err
	}
	piece := func(kind management.SnapshotData) ([]byte, error) {
		var out management.SnapshotChunk
		err := c.manage(ctx, "read_canister_snapshot_data", management.ReadSnapshotDataArgs{CanisterID: at.CanisterID, SnapshotID: at.SnapshotID, Kind: kind}, &out)
		return out.Chunk, err
	}
	for _, p := range m.parts() {
		if err := p.download(filepath.Join(dir, p.file), piece); err != nil {
			return fmt.Errorf("%s: %w", p.file, err)
		}
	}
	for i, c := range meta.WasmChunkStore {
		b, err := piece(management.SnapshotData{WasmChunk: &c})
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Join(dir, chunksDir), 0o777); err != nil {
			return fmt.Errorf("writing a chunk: %w", err)
		}
		if err := os.WriteFile(filepath.Join(dir, chunksDir, m.Chunks[i]+".bin"), b, 0o666); err != nil {
			return fmt.Errorf("writing a chunk: %w", err)
		}
	}
	raw, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("%s: %w", metadataFile, err)
	}
	// Last, so that a directory with it is complete.
	if err := os.WriteFile(filepath.Join(dir, metadataFile), append(raw, '\n'), 0o666); err != nil {
		return fmt.Errorf("writing the snapshot: %w", err)
	}
	fmt.Fprintf(w, "wrote snapshot %x of %s to %s, %d bytes\n", at.SnapshotID, at.CanisterID, dir, m.WasmModuleSize+m.WasmMemorySize+m.StableMemorySize)
	return nil
}

func (p *part) download(file string, piece func(management.SnapshotData) ([]byte, error)) (err error) {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := f.Truncate(int64(p.size)); err != nil {
		return err
	}
	for at := uint64(0); at < p.size; at += snapshotPiece {
		s := &management.Slice{Offset: at, Size: min(snapshotPiece, p.size-at)}
		b, err := piece(p.read(s))
		if err != nil {
			return err
		}
		if uint64(len(b)) != s.Size {
			return fmt.Errorf("%d bytes came from offset %d, %d were asked for", len(b), at, s.Size)
		}
		if allZero(b) {
			continue // a hole
		}
		if _, err := f.WriteAt(b, int64(at)); err != nil {
			return err
		}
	}
	return nil
}

func allZero(b []byte) bool {
	for _, x := range b {
		if x != 0 {
			return false
		}
	}
	return true
}

func uploadSnapshot(ctx context.Context, c *client, w io.Writer, id principal.Principal, dir string, replace *[]byte) error {
	raw, err := readAtMost(filepath.Join(dir, metadataFile), maxMetadataFile)
	if err != nil {
		return hint(fmt.Errorf("reading the snapshot: %w", err), "fusion canister snapshot download writes one")
	}
	m, err := parseSnapshotMeta(raw)
	if err != nil {
		return err
	}
	for _, p := range m.parts() { // before anything is sent
		if st, err := os.Stat(filepath.Join(dir, p.file)); err != nil {
			return fmt.Errorf("reading the snapshot: %w", err)
		} else if uint64(st.Size()) != p.size {
			return fmt.Errorf("%s has %d bytes, %s says %d", filepath.Join(dir, p.file), st.Size(), metadataFile, p.size)
		}
	}
	args, err := m.upload(id, replace)
	if err != nil {
		return err
	}
	var out management.SnapshotID
	if err := c.manage(ctx, "upload_canister_snapshot_metadata", args, &out); err != nil {
		return err
	}
	send := func(kind management.SnapshotTarget, b []byte) error {
		return c.manage(ctx, "upload_canister_snapshot_data", management.UploadSnapshotDataArgs{CanisterID: id, SnapshotID: out.SnapshotID, Kind: kind, Chunk: b}, nil)
	}
	for _, p := range m.parts() {
		if err := p.upload(filepath.Join(dir, p.file), send); err != nil {
			return fmt.Errorf("snapshot %x of %s is not complete: %s: %w", out.SnapshotID, id, p.file, err)
		}
	}
	for _, h := range m.Chunks {
		b, err := readAtMost(filepath.Join(dir, chunksDir, h+".bin"), maxSnapshotChunk)
		if err == nil {
			err = send(management.SnapshotTarget{WasmChunk: candid.Unit}, b)
		}
		if err != nil {
			return fmt.Errorf("snapshot %x of %s is not complete: chunk %s: %w", out.SnapshotID, id, h, err)
		}
	}
	fmt.Fprintf(w, "created snapshot %x of %s from %s\n", out.SnapshotID, id, dir)
	return nil
}

func (p *part) upload(file string, send func(management.SnapshotTarget, []byte) error) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	for at := uint64(0); at < p.size; at += snapshotPiece {
		b := make([]byte, min(snapshotPiece, p.size-at))
		if _, err := f.ReadAt(b, int64(at)); err != nil {
			return err
		}
		if allZero(b) {
			continue // as it is from the start
		}
		if err := send(p.write(&management.Offset{Offset: at}), b); err != nil {
			return err
		}
	}
	return nil
}

func readAtMost(file string, most int64) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(b)) > most {
		err = fmt.Errorf("%s has more than %d bytes", file, most)
	}
	return b, err
}
