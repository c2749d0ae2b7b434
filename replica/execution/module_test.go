package execution

import (
	"slices"
	"strings"

	"fusion/internal/wasmbin"
)

// A small assembler for test canisters: code is bytes, functions return code.
type code_ = []byte

const (
	blobBase = 1 << 16 // constant blobs stand from here on; below is scratch space
)

// module builds a canister. Imports are added as they are used.
type module struct {
	wide    bool // 64-bit memory and pointers
	imports map[string]uint32
	m       wasmbin.Module
	bodies  []wasmbin.Code
	types   []uint32
	exports []wasmbin.Export
	table   []uint32
	blobs   []byte
	customs []wasmbin.Custom
}

// newModule declares all of the System API as imports, so that function indices are known from the start.
func newModule() *module { return newModuleOf(false) }

// newModuleOf makes a module whose pointers have 64 bits if wide is set; the functions that exist for 32 bits only are missing from it. With
// names it imports nothing else.
func newModuleOf(wide bool, names ...string) *module {
	m := &module{wide: wide, imports: map[string]uint32{}}
	for _, f := range sysAPI {
		if wide && narrowOnly[f.name] || len(names) > 0 && !slices.Contains(names, f.name) {
			continue
		}
		params, result, _ := strings.Cut(f.sig, ":")
		t := m.m.AddType(wasmbin.FuncType{Params: valTypes(params, wide), Results: valTypes(result, wide)})
		m.imports[f.name] = uint32(len(m.m.Imports))
		m.m.Imports = append(m.m.Imports, wasmbin.Import{Module: "ic0", Name: f.name, Kind: wasmbin.KindFunc, Func: t})
	}
	return m
}

// ptr is a constant as wide as a pointer.
func (m *module) ptr(n int) code_ {
	if m.wide {
		return i64(int64(n))
	}
	return i32(n)
}

func valTypes(letters string, wide bool) []wasmbin.ValType {
	var out []wasmbin.ValType
	for _, l := range letters {
		if l == 'l' || l == 'I' && wide {
			out = append(out, wasmbin.I64)
		} else {
			out = append(out, wasmbin.I32)
		}
	}
	return out
}

func cat(parts ...code_) code_ {
	var out code_
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

func i32(v int) code_   { return wasmbin.AppendI32(nil, int32(v)) }
func i64(v int64) code_ { return wasmbin.AppendI64(nil, v) }

func load32(addr code_) code_ {
	return wasmbin.AppendMemArg(addr[:len(addr):len(addr)], wasmbin.OpI32Load, 2, 0)
}
func load64(addr code_) code_ {
	return wasmbin.AppendMemArg(addr[:len(addr):len(addr)], wasmbin.OpI64Load, 3, 0)
}
func store32(addr, v code_) code_ {
	return wasmbin.AppendMemArg(cat(addr, v), wasmbin.OpI32Store, 2, 0)
}
func store64(addr, v code_) code_ {
	return wasmbin.AppendMemArg(cat(addr, v), wasmbin.OpI64Store, 3, 0)
}
func add32(a, b code_) code_ { return wasmbin.AppendOp(cat(a, b), wasmbin.OpI32Add) }
func drop(v code_) code_     { return wasmbin.AppendOp(v[:len(v):len(v)], wasmbin.OpDrop) }
func unreachable() code_     { return wasmbin.AppendOp(nil, wasmbin.OpUnreachable) }

// forever repeats body without end.
func forever(body ...code_) code_ {
	out := wasmbin.AppendBlock(nil, wasmbin.OpLoop, -0x40)
	out = append(out, cat(body...)...)
	out = wasmbin.AppendIndex(out, wasmbin.OpBr, 0)
	return wasmbin.AppendOp(out, wasmbin.OpEnd)
}

// when runs body if cond is not zero.
func when(cond code_, body ...code_) code_ {
	out := wasmbin.AppendBlock(cond[:len(cond):len(cond)], wasmbin.OpIf, -0x40)
	out = append(out, cat(body...)...)
	return wasmbin.AppendOp(out, wasmbin.OpEnd)
}

func growMemory(pages int) code_ { return append(i32(pages), 0x40, 0) }

// blob places bytes in memory and returns their address and length as arguments.
func (m *module) blob(s string) code_ {
	at := blobBase + len(m.blobs)
	m.blobs = append(m.blobs, s...)
	return cat(m.ptr(at), m.ptr(len(s)))
}

// host calls a function of the System API.
func (m *module) host(name string, args ...code_) code_ {
	i, ok := m.imports[name]
	if !ok {
		panic("no System API function " + name)
	}
	return wasmbin.AppendIndex(cat(args...), wasmbin.OpCall, i)
}

// reply answers with memory.
func (m *module) reply(addr, size code_) code_ {
	return cat(m.host("msg_reply_data_append", addr, size), m.host("msg_reply"))
}

func (m *module) replyText(s string) code_ {
	return cat(m.host("msg_reply_data_append", m.blob(s)), m.host("msg_reply"))
}

// echo answers with the argument.
func (m *module) echo() code_ {
	size := m.host("msg_arg_data_size")
	return cat(m.host("msg_arg_data_copy", i32(1024), i32(0), size), m.reply(i32(1024), size))
}

func (m *module) fn(params []wasmbin.ValType, body code_) uint32 {
	m.types = append(m.types, m.m.AddType(wasmbin.FuncType{Params: params}))
	m.bodies = append(m.bodies, wasmbin.Code{Body: wasmbin.AppendOp(body[:len(body):len(body)], wasmbin.OpEnd)})
	return uint32(len(m.m.Imports) + len(m.bodies) - 1)
}

// export defines an entry point.
func (m *module) export(name string, body ...code_) *module {
	m.exports = append(m.exports, wasmbin.Export{Name: name, Kind: wasmbin.KindFunc, Index: m.fn(nil, cat(body...))})
	return m
}

func (m *module) update(name string, body ...code_) *module {
	return m.export("canister_update "+name, body...)
}
func (m *module) query(name string, body ...code_) *module {
	return m.export("canister_query "+name, body...)
}

// callback defines a function of the table and returns its index as an argument.
func (m *module) callback(body ...code_) code_ {
	m.table = append(m.table, m.fn(valTypes("I", m.wide), cat(body...)))
	return m.ptr(len(m.table) - 1)
}

// call makes a call with the argument's bytes; extra stands between call_new and call_perform. The result is dropped.
func (m *module) call(callee []byte, method string, onReply, onReject code_, extra ...code_) code_ {
	return cat(m.host("call_new", m.blob(string(callee)), m.blob(method), onReply, m.ptr(0), onReject, m.ptr(0)), cat(extra...),
		drop(m.host("call_perform")))
}

func (m *module) custom(name, content string) *module {
	m.customs = append(m.customs, wasmbin.Custom{Name: name, Data: []byte(content)})
	return m
}

func (m *module) bytes() []byte {
	out := m.m
	out.Funcs, out.Code, out.Exports, out.Customs = m.types, m.bodies, m.exports, m.customs
	out.Memories = []wasmbin.Limits{{Min: 4, Is64: m.wide}}
	n := uint64(len(m.table))
	out.Tables = []wasmbin.Table{{Type: wasmbin.FuncRef, Limits: wasmbin.Limits{Min: n}}}
	if n > 0 {
		out.Elements = []wasmbin.Element{{Mode: wasmbin.Active, Offset: wasmbin.AppendOp(i32(0), wasmbin.OpEnd), Type: wasmbin.FuncRef, Funcs: m.table}}
	}
	if len(m.blobs) > 0 {
		out.Data = []wasmbin.Data{{Mode: wasmbin.Active, Offset: wasmbin.AppendOp(m.ptr(blobBase), wasmbin.OpEnd), Init: m.blobs}}
	}
	return out.Encode()
}

// spin counts down from a thousand times n.
func spin(n code_) code_ {
	return cat(store32(i32(240), wasmMul(n, 1000)),
		[]byte{0x03, 0x40}, store32(i32(240), add32(load32(i32(240)), i32(-10))),
		load32(i32(240)), i32(0), []byte{0x4a}, []byte{0x0d, 0}, []byte{0x0b}) // i32.gt_s, br_if 0, end
}
