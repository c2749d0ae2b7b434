// Package ic0host runs one canister module on bare wazero with a small ic0, for tests of the linker and of our canisters as wasm.
// It knows one canister, one message at a time, and no cycles to speak of; the subnet's executor is package replica/execution.
package ic0host

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"fusion/cdk"
	"fusion/cdk/stable"
	"fusion/ic/principal"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental/table"
)

// Host is a canister's place: its module, its instance and its stable memory.
type Host struct {
	ctx      context.Context
	rt       wazero.Runtime
	compiled wazero.CompiledModule
	mod      api.Module

	Self       principal.Principal
	Now        uint64
	Controller principal.Principal
	Stable     stable.Heap
	Certified  []byte
	// CallerInfo is what CallerInfoSigner, the bytes of a principal, vouches for about callers.
	CallerInfo, CallerInfoSigner []byte
	Timer                        uint64
	Log                          []string
	Calls                        []*Call // made by the last message that succeeded
	Writes                       int     // stable writes of the last message

	caller     principal.Principal
	arg        []byte
	method     string
	reply      []byte
	replied    bool
	reject     *cdk.RejectError // the answer of the running call
	incoming   *cdk.RejectError // what a reject callback sees
	accepted   bool
	replicated bool
	building   *Call
	calls      []*Call
}

// Call is an outgoing call.
type Call struct {
	cdk.Outgoing
	reply, rejected, cleanup      uint32
	replyEnv, rejectEnv, cleanEnv uint32
}

// Trap is how a trap of the canister comes back.
type Trap struct{ Text string }

func (t *Trap) Error() string { return t.Text }

// compilations keeps what a process compiled: a Go program takes seconds.
var compilations = wazero.NewCompilationCache()

// New compiles a module. Close the host after use.
func New(ctx context.Context, wasm []byte) (*Host, error) {
	h := &Host{ctx: ctx, Now: 1_700_000_000_000_000_000, Self: principal.FromUint64(7)}
	h.rt = wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler().WithCompilationCache(compilations))
	if err := h.imports(); err != nil {
		return nil, err
	}
	var err error
	if h.compiled, err = h.rt.CompileModule(ctx, wasm); err != nil {
		h.Close()
		return nil, err
	}
	for _, f := range h.compiled.ImportedFunctions() {
		if m, name, _ := f.Import(); m != "ic0" {
			h.Close()
			return nil, fmt.Errorf("the module imports %s.%s", m, name)
		}
	}
	return h, nil
}

// Close frees the engine.
func (h *Host) Close() error { return h.rt.Close(h.ctx) }

// Restart makes a fresh instance over the same stable memory, as an upgrade does, without running any hook.
func (h *Host) Restart() error {
	if h.mod != nil {
		h.mod.Close(h.ctx)
	}
	var err error
	h.mod, err = h.rt.InstantiateModule(h.ctx, h.compiled, wazero.NewModuleConfig().WithName("").WithStartFunctions())
	return err
}

// Install restarts and runs canister_init.
func (h *Host) Install(arg []byte) error {
	if err := h.Restart(); err != nil {
		return err
	}
	_, err := h.Run("canister_init", h.Controller, arg)
	return err
}

// Upgrade runs canister_pre_upgrade if there is one, restarts and runs canister_post_upgrade.
func (h *Host) Upgrade(arg []byte) error {
	if h.mod.ExportedFunction("canister_pre_upgrade") != nil {
		if _, err := h.Run("canister_pre_upgrade", h.Controller, nil); err != nil {
			return err
		}
	}
	if err := h.Restart(); err != nil {
		return err
	}
	_, err := h.Run("canister_post_upgrade", h.Controller, arg)
	return err
}

// Exports lists the exported functions.
func (h *Host) Exports() (names []string) {
	for name := range h.compiled.ExportedFunctions() {
		names = append(names, name)
	}
	return names
}

// Memory is the instance's linear memory.
func (h *Host) Memory() api.Memory { return h.mod.Memory() }

// Update calls an update method in replicated execution.
func (h *Host) Update(caller principal.Principal, method string, arg []byte) ([]byte, error) {
	return h.Run("canister_update "+method, caller, arg)
}

// Query calls a query method. Unlike a subnet it does not undo what the method changed.
func (h *Host) Query(caller principal.Principal, method string, arg []byte) ([]byte, error) {
	return h.Run("canister_query "+method, caller, arg)
}

// Inspect asks canister_inspect_message.
func (h *Host) Inspect(caller principal.Principal, method string, arg []byte) (bool, error) {
	h.method = method
	_, err := h.Run("canister_inspect_message", caller, arg)
	return h.accepted, err
}

// Run runs an exported function as a message. After a trap the instance is not usable except by Restart: this host cannot undo the heap.
func (h *Host) Run(export string, caller principal.Principal, arg []byte) ([]byte, error) {
	f := h.mod.ExportedFunction(export)
	if f == nil {
		return nil, fmt.Errorf("no export %q", export)
	}
	h.replicated = len(export) < 15 || export[:15] != "canister_query "
	return h.run(f, caller, arg)
}

// Deliver runs the reply callback of a call, or the reject callback when rejected is not nil.
func (h *Host) Deliver(c *Call, reply []byte, rejected *cdk.RejectError) ([]byte, error) {
	index, env := c.reply, c.replyEnv
	if rejected != nil {
		index, env = c.rejected, c.rejectEnv
	}
	h.incoming = rejected
	return h.run(h.lookup(index, env), principal.Anonymous, reply)
}

// Cleanup runs the cleanup callback of a call.
func (h *Host) Cleanup(c *Call) error {
	_, err := h.run(h.lookup(c.cleanup, c.cleanEnv), principal.Anonymous, nil)
	return err
}

type bound struct {
	f   api.Function
	env uint64
}

func (b bound) Call(ctx context.Context, _ ...uint64) ([]uint64, error) { return b.f.Call(ctx, b.env) }

func (h *Host) lookup(index, env uint32) caller {
	return bound{table.LookupFunction(h.mod, 0, index, []api.ValueType{api.ValueTypeI32}, nil), uint64(env)}
}

type caller interface {
	Call(context.Context, ...uint64) ([]uint64, error)
}

func (h *Host) run(f caller, from principal.Principal, arg []byte) ([]byte, error) {
	h.caller, h.arg = from, arg
	h.reply, h.replied, h.reject, h.accepted, h.calls, h.Writes = nil, false, nil, false, nil, 0
	if _, err := f.Call(h.ctx); err != nil {
		var t *Trap
		if errors.As(err, &t) {
			return nil, t
		}
		return nil, err
	}
	h.Calls = h.calls
	if h.reject != nil {
		return nil, h.reject
	}
	return h.reply, nil
}

func (h *Host) trap(format string, args ...any) { panic(&Trap{fmt.Sprintf(format, args...)}) }

func (h *Host) imports() error {
	b := h.rt.NewHostModuleBuilder("ic0")
	i32, i64 := api.ValueTypeI32, api.ValueTypeI64
	type types = []api.ValueType
	// Parameters of type i32 come with undefined upper halves: u32 cuts them.
	u32 := func(s []uint64, i int) uint32 { return api.DecodeU32(s[i]) }
	def := func(name string, params, results types, fn func(m api.Memory, s []uint64)) {
		b.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(_ context.Context, m api.Module, s []uint64) {
			fn(m.Memory(), s)
		}), params, results).Export(name)
	}
	read := func(m api.Memory, at, n uint32) []byte {
		p, ok := m.Read(at, n)
		if !ok {
			h.trap("read of %d bytes at %d", n, at)
		}
		return append([]byte(nil), p...)
	}
	write := func(m api.Memory, at uint32, p []byte) {
		if !m.Write(at, p) {
			h.trap("write of %d bytes at %d", len(p), at)
		}
	}
	blob := func(name string, get func() []byte) {
		def(name+"_size", nil, types{i32}, func(_ api.Memory, s []uint64) { s[0] = uint64(len(get())) })
		def(name+"_copy", types{i32, i32, i32}, nil, func(m api.Memory, s []uint64) {
			off, n := u32(s, 1), u32(s, 2)
			p := get()
			if uint64(off)+uint64(n) > uint64(len(p)) {
				h.trap("%s: %d+%d of %d", name, off, n, len(p))
			}
			write(m, u32(s, 0), p[off:off+n])
		})
	}
	blob("msg_arg_data", func() []byte { return h.arg })
	blob("msg_caller", func() []byte { return h.caller.Bytes() })
	blob("msg_caller_info_data", func() []byte { return h.CallerInfo })
	blob("msg_caller_info_signer", func() []byte { return h.CallerInfoSigner })
	blob("canister_self", func() []byte { return h.Self.Bytes() })
	blob("msg_method_name", func() []byte { return []byte(h.method) })
	blob("data_certificate", func() []byte { return append([]byte("certificate of "), h.Certified...) })
	blob("msg_reject_msg", func() []byte { return []byte(h.incoming.Message) })
	constant := func(name string, t api.ValueType, get func() uint64) {
		def(name, nil, types{t}, func(_ api.Memory, s []uint64) { s[0] = get() })
	}
	flag := func(get func() bool) func() uint64 {
		return func() uint64 {
			if get() {
				return 1
			}
			return 0
		}
	}
	constant("msg_reject_code", i32, func() uint64 {
		if h.incoming == nil {
			return 0
		}
		return uint64(h.incoming.Code)
	})
	constant("data_certificate_present", i32, flag(func() bool { return !h.replicated }))
	constant("in_replicated_execution", i32, flag(func() bool { return h.replicated }))
	constant("time", i64, func() uint64 { return h.Now })
	constant("stable64_size", i64, func() uint64 { return h.Stable.Size() })
	def("performance_counter", types{i32}, types{i64}, func(_ api.Memory, s []uint64) { s[0] = 0 })
	def("msg_reply_data_append", types{i32, i32}, nil, func(m api.Memory, s []uint64) {
		h.reply = append(h.reply, read(m, u32(s, 0), u32(s, 1))...)
	})
	def("msg_reply", nil, nil, func(api.Memory, []uint64) { h.replied = true })
	def("msg_reject", types{i32, i32}, nil, func(m api.Memory, s []uint64) {
		h.reject = &cdk.RejectError{Code: cdk.CanisterReject, Message: string(read(m, u32(s, 0), u32(s, 1)))}
	})
	cycles := func(c cdk.Cycles) []byte {
		return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, c.Lo), c.Hi)
	}
	for _, name := range []string{"msg_cycles_available128", "msg_cycles_refunded128", "canister_cycle_balance128"} {
		def(name, types{i32}, nil, func(m api.Memory, s []uint64) { write(m, u32(s, 0), cycles(cdk.CyclesOf(1000))) })
	}
	def("msg_cycles_accept128", types{i64, i64, i32}, nil, func(m api.Memory, s []uint64) {
		write(m, u32(s, 2), cycles(cdk.Cycles{Hi: s[0], Lo: s[1]}))
	})
	def("accept_message", nil, nil, func(api.Memory, []uint64) { h.accepted = true })
	def("call_new", types{i32, i32, i32, i32, i32, i32, i32, i32}, nil, func(m api.Memory, s []uint64) {
		to, err := principal.FromBytes(read(m, u32(s, 0), u32(s, 1)))
		if err != nil {
			h.trap("%v", err)
		}
		h.building = &Call{Outgoing: cdk.Outgoing{To: to, Method: string(read(m, u32(s, 2), u32(s, 3)))},
			reply: u32(s, 4), replyEnv: u32(s, 5), rejected: u32(s, 6), rejectEnv: u32(s, 7)}
	})
	def("call_on_cleanup", types{i32, i32}, nil, func(_ api.Memory, s []uint64) {
		h.building.cleanup, h.building.cleanEnv = u32(s, 0), u32(s, 1)
	})
	def("call_data_append", types{i32, i32}, nil, func(m api.Memory, s []uint64) {
		h.building.Arg = append(h.building.Arg, read(m, u32(s, 0), u32(s, 1))...)
	})
	def("call_with_best_effort_response", types{i32}, nil, func(_ api.Memory, s []uint64) { h.building.TimeoutSeconds = u32(s, 0) })
	def("call_cycles_add128", types{i64, i64}, nil, func(_ api.Memory, s []uint64) {
		h.building.Cycles = cdk.Cycles{Hi: s[0], Lo: s[1]}
	})
	def("call_perform", nil, types{i32}, func(_ api.Memory, s []uint64) {
		h.calls = append(h.calls, h.building)
		s[0] = 0
	})
	def("stable64_grow", types{i64}, types{i64}, func(_ api.Memory, s []uint64) {
		old := h.Stable.Size()
		if !h.Stable.Grow(s[0]) {
			old = ^uint64(0)
		}
		s[0] = old
	})
	def("stable64_read", types{i64, i64, i64}, nil, func(m api.Memory, s []uint64) {
		p, ok := m.Read(uint32(s[0]), uint32(s[2]))
		if !ok {
			h.trap("stable read to %d", s[0])
		}
		h.Stable.Read(p, s[1])
	})
	def("stable64_write", types{i64, i64, i64}, nil, func(m api.Memory, s []uint64) {
		p, ok := m.Read(uint32(s[1]), uint32(s[2]))
		if !ok {
			h.trap("stable write from %d", s[1])
		}
		h.Writes++
		h.Stable.Write(s[0], p)
	})
	def("certified_data_set", types{i32, i32}, nil, func(m api.Memory, s []uint64) { h.Certified = read(m, u32(s, 0), u32(s, 1)) })
	def("global_timer_set", types{i64}, types{i64}, func(_ api.Memory, s []uint64) { h.Timer, s[0] = s[0], h.Timer })
	def("is_controller", types{i32, i32}, types{i32}, func(m api.Memory, s []uint64) {
		s[0] = flag(func() bool { return string(read(m, u32(s, 0), u32(s, 1))) == string(h.Controller.Bytes()) })()
	})
	def("env_var_name_exists", types{i32, i32}, types{i32}, func(_ api.Memory, s []uint64) { s[0] = 0 })
	def("env_var_value_size", types{i32, i32}, types{i32}, func(_ api.Memory, _ []uint64) { h.trap("no such environment variable") })
	def("env_var_value_copy", types{i32, i32, i32, i32, i32}, nil, func(_ api.Memory, _ []uint64) { h.trap("no such environment variable") })
	def("debug_print", types{i32, i32}, nil, func(m api.Memory, s []uint64) {
		h.Log = append(h.Log, string(read(m, u32(s, 0), u32(s, 1))))
	})
	def("trap", types{i32, i32}, nil, func(m api.Memory, s []uint64) { panic(&Trap{string(read(m, u32(s, 0), u32(s, 1)))}) })
	_, err := b.Instantiate(h.ctx)
	return err
}
