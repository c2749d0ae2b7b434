package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"fusion/ic/agent"
	"fusion/ic/candid"
	"fusion/ic/principal"
	"fusion/internal/wasmbin"
	"fusion/replica/management"
	"fusion/testnets"
)

func canisterCmd(o *options) *cobra.Command {
	cmd := &cobra.Command{Use: "canister", Short: "install canisters and call them",
		Long: `Install canisters and call them.

CANISTER is a canister id, or one of the names ledger, minter, bitcoin and management. Arguments and results are Candid
text, such as '(record { owner = principal "aaaaa-aa"; amount = 10 })'. The canister's interface gives them their types: it
is read from the canister, or from the file that --did names.`}
	cmd.AddCommand(createCmd(o), installCmd(o), callCmd(o, "call"), callCmd(o, "query"),
		&cobra.Command{Use: "status CANISTER", Short: "show a canister's controllers, memory, cycles and code; for its controllers", Args: cobra.ExactArgs(1),
			RunE: o.with(canisterStatus)})
	cmd.AddCommand(infoCmd(o), canisterLogsCmd(o), metricsCmd(o), settingsCmd(o), snapshotCmd(o))
	cmd.AddCommand(lifecycleCmds(o)...)
	return o.remote(cmd)
}

// typeOf is the type that a value has by itself. Elements of a vec must agree.
func typeOf(v candid.Value) (*candid.Type, error) {
	switch v := v.(type) {
	case candid.Some:
		t, err := typeOf(v.Value)
		if err != nil {
			return nil, err
		}
		return candid.OptOf(t), nil
	case candid.Blob:
		return candid.VecOf(candid.Prim(candid.KindNat8)), nil
	case candid.Vec:
		if len(v) == 0 {
			return candid.VecOf(candid.Prim(candid.KindEmpty)), nil
		}
		t, err := typeOf(v[0])
		if err != nil {
			return nil, err
		}
		for i, e := range v[1:] {
			u, err := typeOf(e)
			if err != nil {
				return nil, err
			}
			if err := candid.Subtype(u, t); err != nil {
				return nil, fmt.Errorf("element %d of a vec: %w", i+1, err)
			}
		}
		return candid.VecOf(t), nil
	case candid.Record:
		var fields []candid.Field
		for _, f := range v {
			t, err := typeOf(f.Value)
			if err != nil {
				return nil, err
			}
			fields = append(fields, candid.Field{ID: f.ID, Name: f.Name, Type: t})
		}
		return candid.RecordOf(fields...), nil
	case candid.Case:
		t, err := typeOf(v.Value)
		if err != nil {
			return nil, err
		}
		return candid.VariantOf(candid.Field{ID: v.ID, Name: v.Name, Type: t}), nil
	}
	kinds := map[string]candid.Kind{"candid.Null": candid.KindNull, "bool": candid.KindBool, "candid.Nat": candid.KindNat, "candid.Int": candid.KindInt,
		"uint8": candid.KindNat8, "uint16": candid.KindNat16, "uint32": candid.KindNat32, "uint64": candid.KindNat64,
		"int8": candid.KindInt8, "int16": candid.KindInt16, "int32": candid.KindInt32, "int64": candid.KindInt64,
		"float32": candid.KindFloat32, "float64": candid.KindFloat64, "string": candid.KindText, "candid.Reserved": candid.KindReserved,
		"principal.Principal": candid.KindPrincipal}
	if k, ok := kinds[fmt.Sprintf("%T", v)]; ok {
		return candid.Prim(k), nil
	}
	return nil, hint(fmt.Errorf("the type of %s is not known", candid.FormatValue(v)), "name the canister's interface with --did")
}

func installCmd(o *options) *cobra.Command {
	var how installOptions
	cmd := &cobra.Command{Use: "install FILE.wasm[.gz]", Short: "install a canister; without --id in a new one", Args: cobra.ExactArgs(1),
		RunE: o.with(func(ctx context.Context, c *client, w io.Writer, args []string) error {
			return install(ctx, c, w, args[0], &how)
		})}
	f := cmd.Flags()
	f.StringVar(&how.id, "id", "", "canister to install in; on a local network it is created if it does not exist")
	f.StringVar(&how.mode, "mode", "install", "install (in an empty canister), reinstall (drops its state) or upgrade (keeps stable memory)")
	f.StringVar(&how.arg, "arg", "", "arguments of the canister's init or post-upgrade method, as Candid text")
	f.StringVar(&how.argFile, "arg-file", "", "file with the arguments, or - for standard input")
	f.BoolVar(&how.raw, "raw", false, "the arguments are the encoded message in hexadecimal, not Candid text")
	f.StringVar(&how.memory, "wasm-memory", "auto",
		"what an upgrade does with the heap: keep, replace, or auto, which keeps it where old and new code ask for it (Motoko's enhanced orthogonal persistence)")
	f.BoolVar(&how.skipPre, "skip-pre-upgrade", false, "upgrade without the old code's pre-upgrade hook, the way out when it traps; what it would have saved is lost")
	f.StringVar(&how.did, "did", "", "interface file, where the module does not carry its own")
	return cmd
}

// maxModule bounds a module on disk: what one canister's chunk store holds (interface specification, upload_chunk).
const maxModule = 100 << 20

// installOptions are the flags of `canister install`.
type installOptions struct {
	id, mode, arg, argFile, did, memory string
	raw, skipPre                        bool
}

// installMode is the mode for install_code.
func (o *installOptions) installMode(m *module) (mode management.InstallMode, err error) {
	var upgrade management.UpgradeOptions
	switch o.memory {
	case "auto":
		if m.keepsHeap {
			upgrade.WasmMemoryPersistence = &management.Persistence{Keep: candid.Unit}
		}
	case "keep":
		upgrade.WasmMemoryPersistence = &management.Persistence{Keep: candid.Unit}
	case "replace":
		upgrade.WasmMemoryPersistence = &management.Persistence{Replace: candid.Unit}
	default:
		return mode, fmt.Errorf("--wasm-memory is %q, want auto, keep or replace", o.memory)
	}
	if o.skipPre {
		upgrade.SkipPreUpgrade = &o.skipPre
	}
	if o.mode != "upgrade" && (o.skipPre || o.memory != "auto") {
		return mode, errors.New("--wasm-memory and --skip-pre-upgrade are for --mode upgrade")
	}
	switch o.mode {
	case "install":
		return management.ModeInstall(), nil
	case "reinstall":
		return management.ModeReinstall(), nil
	case "upgrade":
		if upgrade == (management.UpgradeOptions{}) {
			return management.ModeUpgrade(nil), nil
		}
		return management.ModeUpgrade(&upgrade), nil
	}
	return mode, fmt.Errorf("--mode is %q, want install, reinstall or upgrade", o.mode)
}

func install(ctx context.Context, c *client, w io.Writer, file string, how *installOptions) error {
	module, err := readModule(file)
	if err != nil {
		return err
	}
	mode, err := how.installMode(module)
	if err != nil {
		return err
	}
	var init *candid.FuncType // the constructor as a method
	prog := module.program
	if how.did != "" {
		if prog, err = c.program(ctx, principal.Management, how.did); err != nil {
			return err
		}
	}
	if prog != nil && prog.HasInit {
		init = &candid.FuncType{Args: prog.Init}
	}
	var given []string
	if how.arg != "" {
		given = []string{how.arg}
	}
	text, err := argumentText(given, how.argFile, os.Stdin)
	if err != nil {
		return err
	}
	arg, err := encodeText(text, init, how.raw)
	if err != nil {
		return fmt.Errorf("--arg: %w", err)
	}
	idText := how.id
	if idText == "" && how.mode != "install" {
		return fmt.Errorf("--mode %s needs --id", how.mode)
	}
	var id principal.Principal
	if idText != "" {
		if id, err = c.parseCanister(idText); err != nil {
			return err
		}
		_, err = c.Read(ctx, id, []byte("canister"), id.Bytes(), []byte("controllers"))
	}
	if idText == "" || errors.Is(err, agent.ErrNotFound) {
		if id, err = c.create(ctx, id, idText != ""); err != nil {
			return err
		}
		fmt.Fprintf(w, "created canister %s\n", id)
	}
	if err != nil {
		return err
	}
	if how.mode == "upgrade" && module.keepsHeap {
		// There is nothing to keep in the heap of code that did not mean it to be kept, such as an actor with classical persistence.
		_, err := c.Read(ctx, id, []byte("canister"), id.Bytes(), []byte("metadata"), []byte(keepsHeap))
		if module.keepsHeap = err == nil; err != nil && !errors.Is(err, agent.ErrNotFound) {
			return err
		}
		if mode, err = how.installMode(module); err != nil {
			return err
		}
	}
	if err := testnets.Install(ctx, c.Agent, id, mode, module.bytes, arg); err != nil {
		var r *agent.RejectError
		if errors.As(err, &r) && r.ErrorCode == "IC0514" {
			return hint(fmt.Errorf("canister %s has code already", id), "--mode upgrade keeps its state, --mode reinstall drops it")
		}
		return err
	}
	fmt.Fprintf(w, "installed %s in %s, module hash %x\n", file, id, sha256.Sum256(module.bytes))
	return nil
}

// create makes a canister with cycles out of nothing, which only local networks allow.
func (c *client) create(ctx context.Context, id principal.Principal, specified bool) (principal.Principal, error) {
	cycles := candid.NatFromUint64(1_000_000_000_000_000) // 1,000 T
	in := management.ProvisionalCreateArgs{Amount: &cycles}
	if specified {
		in.SpecifiedID = &id
	}
	var out management.CanisterID
	if err := c.Update(ctx, principal.Management, "provisional_create_canister_with_cycles", []any{in}, []any{&out}); err != nil {
		return id, fmt.Errorf("creating a canister: %w", err)
	}
	return out.CanisterID, nil
}

// keepsHeap names the metadata of modules whose upgrades keep the heap (interface specification, "Code upgrade").
const keepsHeap = "enhanced-orthogonal-persistence"

// module is a WebAssembly module on its way to a canister.
type module struct {
	bytes     []byte          // gzipped or not, as it was found
	program   *candid.Program // the interface in it, if it has one
	keepsHeap bool            // its upgrades keep the heap
}

// readModule reads a module, gzipped or not.
func readModule(file string) (*module, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("module: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxModule+1))
	if err != nil {
		return nil, fmt.Errorf("module: %w", err)
	}
	if len(b) > maxModule {
		return nil, fmt.Errorf("module %s is larger than %d MiB", file, maxModule>>20)
	}
	return parseModule(file, b)
}

// parseModule reads what a module says of itself.
func parseModule(file string, b []byte) (*module, error) {
	plain := b
	var err error
	if bytes.HasPrefix(b, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(bytes.NewReader(b))
		if err == nil {
			plain, err = io.ReadAll(io.LimitReader(z, maxModule))
		}
		if err != nil {
			return nil, fmt.Errorf("module %s: %w", file, err)
		}
	}
	if !wasmbin.IsModule(plain) {
		return nil, fmt.Errorf("%s is no WebAssembly module", file)
	}
	m, err := wasmbin.Parse(plain)
	if err != nil {
		return nil, fmt.Errorf("module %s: %w", file, err)
	}
	out := &module{bytes: b}
	metadata := map[string]string{}
	for _, c := range m.Customs {
		name := strings.TrimPrefix(strings.TrimPrefix(c.Name, "icp:public "), "icp:private ")
		if name != c.Name && len(c.Data) <= maxInterface {
			metadata[name] = string(c.Data)
		}
	}
	_, out.keepsHeap = metadata[keepsHeap]
	if prog, err := candid.ParseDID(metadata["candid:service"]); err == nil && prog.Service != nil {
		out.program = prog
	}
	// The service is what callers see. The arguments of its constructor stand beside it, where candid:service leaves them out, as Motoko's compiler does.
	if p := out.program; p != nil && !p.HasInit && metadata["candid:args"] != "" {
		if types, err := candid.ParseTypes(metadata["candid:args"], p); err == nil {
			p.HasInit = true
			for _, t := range types {
				p.Init = append(p.Init, candid.Arg{Type: t})
			}
		}
	}
	return out, nil
}

func canisterStatus(ctx context.Context, c *client, w io.Writer, args []string) error {
	id, err := c.parseCanister(args[0])
	if err != nil {
		return err
	}
	var s management.CanisterStatusResult
	if err := c.Update(ctx, principal.Management, "canister_status", []any{management.CanisterID{CanisterID: id}}, []any{&s}); err != nil {
		return err
	}
	state := "running"
	switch {
	case s.Status.Stopping != nil:
		state = "stopping"
	case s.Status.Stopped != nil:
		state = "stopped"
	}
	code := "none"
	if s.ModuleHash != nil {
		code = fmt.Sprintf("%x", *s.ModuleHash)
	}
	var controllers []string
	for _, p := range s.Settings.Controllers {
		controllers = append(controllers, p.String())
	}
	for _, l := range [][2]string{
		{"canister", id.String()}, {"state", state}, {"version", fmt.Sprint(s.Version)}, {"module hash", code}, {"controllers", strings.Join(controllers, ", ")},
		{"cycles", s.Cycles.String()}, {"burned a day", s.IdleCyclesBurnedPerDay.String()}, {"memory", s.MemorySize.String() + " bytes"},
		{"  heap", s.MemoryMetrics.WasmMemorySize.String()}, {"  stable memory", s.MemoryMetrics.StableMemorySize.String()},
		{"  module", s.MemoryMetrics.WasmBinarySize.String()}, {"queries", s.QueryStats.NumCalls.String()},
	} {
		fmt.Fprintf(w, "%-16s %s\n", l[0], l[1])
	}
	return nil
}
