package cdk

import (
	"fmt"
	"unsafe"

	"fusion/cdk/stable"
	"fusion/ic/principal"
)

// The imports below are satisfied by the subnet (ic0) and by package cdk/link (fusion).

//go:wasmimport ic0 msg_arg_data_size
func icArgSize() int32

//go:wasmimport ic0 msg_arg_data_copy
//go:noescape
func icArgCopy(dst unsafe.Pointer, offset, size int32)

//go:wasmimport ic0 msg_caller_size
func icCallerSize() int32

//go:wasmimport ic0 msg_caller_copy
//go:noescape
func icCallerCopy(dst unsafe.Pointer, offset, size int32)

//go:wasmimport ic0 msg_caller_info_data_size
func icInfoSize() int32

//go:wasmimport ic0 msg_caller_info_data_copy
//go:noescape
func icInfoCopy(dst unsafe.Pointer, off, n int32)

//go:wasmimport ic0 msg_caller_info_signer_size
func icInfoSignerSize() int32

//go:wasmimport ic0 msg_caller_info_signer_copy
//go:noescape
func icInfoSignerCopy(dst unsafe.Pointer, off, n int32)

//go:wasmimport ic0 msg_reject_code
func icRejectCode() int32

//go:wasmimport ic0 msg_reject_msg_size
func icRejectSize() int32

//go:wasmimport ic0 msg_reject_msg_copy
//go:noescape
func icRejectCopy(dst unsafe.Pointer, offset, size int32)

//go:wasmimport ic0 msg_reply_data_append
//go:noescape
func icReplyAppend(src unsafe.Pointer, size int32)

//go:wasmimport ic0 msg_reply
func icReply()

//go:wasmimport ic0 msg_reject
//go:noescape
func icReject(src unsafe.Pointer, size int32)

//go:wasmimport ic0 msg_cycles_available128
//go:noescape
func icCyclesAvailable(dst unsafe.Pointer)

//go:wasmimport ic0 msg_cycles_accept128
//go:noescape
func icCyclesAccept(hi, lo int64, dst unsafe.Pointer)

//go:wasmimport ic0 msg_cycles_refunded128
//go:noescape
func icCyclesRefunded(dst unsafe.Pointer)

//go:wasmimport ic0 canister_cycle_balance128
//go:noescape
func icBalance(dst unsafe.Pointer)

//go:wasmimport ic0 canister_self_size
func icSelfSize() int32

//go:wasmimport ic0 canister_self_copy
//go:noescape
func icSelfCopy(dst unsafe.Pointer, offset, size int32)

//go:wasmimport ic0 msg_method_name_size
func icMethodSize() int32

//go:wasmimport ic0 msg_method_name_copy
//go:noescape
func icMethodCopy(dst unsafe.Pointer, offset, size int32)

//go:wasmimport ic0 accept_message
func icAccept()

//go:wasmimport ic0 call_new
//go:noescape
func icCallNew(callee unsafe.Pointer, calleeSize int32, name unsafe.Pointer, nameSize, replyFun, replyEnv, rejectFun, rejectEnv int32)

//go:wasmimport ic0 call_on_cleanup
func icCallOnCleanup(fun, env int32)

//go:wasmimport ic0 call_data_append
//go:noescape
func icCallAppend(src unsafe.Pointer, size int32)

//go:wasmimport ic0 call_with_best_effort_response
func icCallBestEffort(seconds int32)

//go:wasmimport ic0 call_cycles_add128
func icCallCycles(hi, lo int64)

//go:wasmimport ic0 call_perform
func icCallPerform() int32

//go:wasmimport ic0 stable64_size
func icStableSize() int64

//go:wasmimport ic0 stable64_grow
func icStableGrow(pages int64) int64

//go:wasmimport ic0 stable64_write
func icStableWrite(offset, src, size int64)

//go:wasmimport ic0 stable64_read
func icStableRead(dst, offset, size int64)

//go:wasmimport ic0 certified_data_set
//go:noescape
func icCertify(src unsafe.Pointer, size int32)

//go:wasmimport ic0 data_certificate_present
func icCertificatePresent() int32

//go:wasmimport ic0 data_certificate_size
func icCertificateSize() int32

//go:wasmimport ic0 data_certificate_copy
//go:noescape
func icCertificateCopy(dst unsafe.Pointer, offset, size int32)

//go:wasmimport ic0 time
func icTime() int64

//go:wasmimport ic0 global_timer_set
func icTimerSet(at int64) int64

//go:wasmimport ic0 performance_counter
func icCounter(kind int32) int64

//go:wasmimport ic0 is_controller
//go:noescape
func icIsController(src unsafe.Pointer, size int32) int32

//go:wasmimport ic0 env_var_name_exists
//go:noescape
func icEnvExists(src unsafe.Pointer, size int32) int32

//go:wasmimport ic0 env_var_value_size
//go:noescape
func icEnvSize(src unsafe.Pointer, size int32) int32

//go:wasmimport ic0 env_var_value_copy
//go:noescape
func icEnvCopy(src unsafe.Pointer, size int32, dst unsafe.Pointer, offset, n int32)

//go:wasmimport ic0 canister_version
func icVersion() int64

//go:wasmimport ic0 in_replicated_execution
func icInReplicated() int32

//go:wasmimport ic0 debug_print
//go:noescape
func icPrint(src unsafe.Pointer, size int32)

//go:wasmimport ic0 trap
//go:noescape
func icTrap(src unsafe.Pointer, size int32)

// linkCallback is the table index of the function through which the system runs a callback entry.
//
//go:wasmimport fusion callback
func linkCallback(entry int32) int32

var machine *Canister

// Main registers the program's canister. It is called from an init function, because the main function of a canister does not
// run. In an ordinary process it prints the canister's Description as JSON, which is what cdk/build asks for, and exits.
func Main(setup func(*Canister)) {
	if machine != nil {
		panic("cdk: Main called twice")
	}
	machine = New(ic0{}, setup)
}

// dispatch is the only function of the program that the subnet reaches; package cdk/link makes the exported names around it.
// For init and post-upgrade n is the checksum of the description that the exports were made from.
//
//go:wasmexport fusion_dispatch
func dispatch(entry, n int32) {
	defer func() {
		if r := recover(); r != nil {
			ic0{}.Trap(panicText(r))
		}
	}()
	if e := Entry(entry); e == EntryInit || e == EntryPostUpgrade {
		if machine == nil {
			panic("cdk: the program did not call Main")
		}
		if machine.Entries().Checksum != uint32(n) {
			panic("cdk: the module's exports were made for another program")
		}
	}
	machine.Run(Entry(entry), uint32(n))
}

func panicText(r any) string {
	if t, ok := r.(*TrapError); ok {
		return t.Message
	}
	return fmt.Sprint("panic: ", r)
}

// ic0 implements System.
type ic0 struct{}

func bytesOf(size int32, read func(dst unsafe.Pointer, offset, size int32)) []byte {
	if size == 0 {
		return nil
	}
	b := make([]byte, size)
	read(unsafe.Pointer(&b[0]), 0, size)
	return b
}

func principalOf(size int32, read func(dst unsafe.Pointer, offset, size int32)) principal.Principal {
	b := principalBuffer[:size]
	read(unsafe.Pointer(&principalBuffer), 0, size)
	return principal.MustFromBytes(b)
}

// principalBuffer spares an allocation for each caller.
var principalBuffer [principal.MaxLen]byte

// ptr is the address of the first byte, valid to pass on with a length of zero.
func ptr(b []byte) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(b)) }

func cyclesOf(read func(dst unsafe.Pointer)) Cycles {
	var c [2]uint64 // little-endian: low word first
	read(unsafe.Pointer(&c))
	return Cycles{Hi: c[1], Lo: c[0]}
}

func (ic0) Arg() []byte                 { return bytesOf(icArgSize(), icArgCopy) }
func (ic0) Caller() principal.Principal { return principalOf(icCallerSize(), icCallerCopy) }

func (ic0) CallerInfo() ([]byte, principal.Principal) {
	signer := icInfoSignerSize()
	if signer == 0 {
		return nil, principal.Management
	}
	return bytesOf(icInfoSize(), icInfoCopy), principalOf(signer, icInfoSignerCopy)
}

func (ic0) Self() principal.Principal { return principalOf(icSelfSize(), icSelfCopy) }
func (ic0) RejectCode() RejectCode    { return RejectCode(icRejectCode()) }
func (ic0) RejectMessage() string     { return string(bytesOf(icRejectSize(), icRejectCopy)) }

func (ic0) Reply(data []byte) {
	icReplyAppend(ptr(data), int32(len(data)))
	icReply()
}

func (ic0) Reject(message string) {
	icReject(unsafe.Pointer(unsafe.StringData(message)), int32(len(message)))
}

func (ic0) CyclesAvailable() Cycles { return cyclesOf(icCyclesAvailable) }
func (ic0) CyclesRefunded() Cycles  { return cyclesOf(icCyclesRefunded) }
func (ic0) Balance() Cycles         { return cyclesOf(icBalance) }

func (ic0) AcceptCycles(max Cycles) Cycles {
	return cyclesOf(func(dst unsafe.Pointer) { icCyclesAccept(int64(max.Hi), int64(max.Lo), dst) })
}

func (ic0) MethodName() string { return string(bytesOf(icMethodSize(), icMethodCopy)) }
func (ic0) AcceptMessage()     { icAccept() }

func (ic0) Call(o Outgoing) bool {
	to := o.To.Bytes()
	env := int32(o.Env)
	icCallNew(ptr(to), int32(len(to)), unsafe.Pointer(unsafe.StringData(o.Method)), int32(len(o.Method)),
		linkCallback(int32(EntryReply)), env, linkCallback(int32(EntryReject)), env)
	icCallOnCleanup(linkCallback(int32(EntryCleanup)), env)
	if len(o.Arg) > 0 {
		icCallAppend(ptr(o.Arg), int32(len(o.Arg)))
	}
	if !o.Cycles.IsZero() {
		icCallCycles(int64(o.Cycles.Hi), int64(o.Cycles.Lo))
	}
	if o.TimeoutSeconds != 0 {
		icCallBestEffort(int32(o.TimeoutSeconds))
	}
	return icCallPerform() == 0
}

func (ic0) SetCertifiedData(data []byte) { icCertify(ptr(data), int32(len(data))) }

func (ic0) DataCertificate() ([]byte, bool) {
	if icCertificatePresent() == 0 {
		return nil, false
	}
	return bytesOf(icCertificateSize(), icCertificateCopy), true
}

func (ic0) Time() uint64                          { return uint64(icTime()) }
func (ic0) Version() uint64                       { return uint64(icVersion()) }
func (ic0) SetGlobalTimer(at uint64)              { icTimerSet(int64(at)) }
func (ic0) PerformanceCounter(kind uint32) uint64 { return uint64(icCounter(int32(kind))) }
func (ic0) InReplicated() bool                    { return icInReplicated() != 0 }

func (ic0) IsController(p principal.Principal) bool {
	b := p.Bytes()
	return icIsController(ptr(b), int32(len(b))) != 0
}

func (ic0) EnvVar(name string) (string, bool) {
	p, n := unsafe.Pointer(unsafe.StringData(name)), int32(len(name))
	if icEnvExists(p, n) == 0 {
		return "", false
	}
	b := make([]byte, icEnvSize(p, n))
	icEnvCopy(p, n, ptr(b), 0, int32(len(b)))
	return string(b), true
}

func (ic0) Print(text string) { icPrint(unsafe.Pointer(unsafe.StringData(text)), int32(len(text))) }
func (ic0) Trap(text string) {
	icTrap(unsafe.Pointer(unsafe.StringData(text)), int32(len(text)))
}
func (ic0) Stable() stable.Memory { return stableMemory{} }

type stableMemory struct{}

func (stableMemory) Size() uint64           { return uint64(icStableSize()) }
func (stableMemory) Grow(pages uint64) bool { return icStableGrow(int64(pages)) >= 0 }

func (stableMemory) Read(dst []byte, offset uint64) {
	stableRead(uintptr(ptr(dst)), int64(offset), int64(len(dst)))
}

func (stableMemory) Write(offset uint64, src []byte) {
	stableWrite(uintptr(ptr(src)), int64(offset), int64(len(src)))
}

// ic0 takes 64-bit addresses here, which Go cannot pass as pointers. The directive keeps what they point to on the heap, where it
// does not move, and alive.
//
//go:uintptrescapes
//go:noinline
func stableRead(dst uintptr, offset, size int64) { icStableRead(int64(dst), offset, size) }

//go:uintptrescapes
//go:noinline
func stableWrite(src uintptr, offset, size int64) { icStableWrite(offset, int64(src), size) }
