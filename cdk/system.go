package cdk

import (
	"fmt"
	"math/big"
	"math/bits"

	"fusion/cdk/stable"
	"fusion/ic/principal"
)

// System is the machine under a canister: the ic0 interface of the Internet Computer in Go's terms. Package cdk implements it
// over ic0 in wasm; package cdk/native implements it in memory for tests. Canister code does not use it directly.
//
// Slices returned belong to the caller; slices passed in are not kept.
type System interface {
	// Arg is the argument of the running method, or the reply's data inside a reply callback.
	Arg() []byte
	// Caller is the principal that sent the running call; inside callbacks, that of the call they belong to.
	Caller() principal.Principal
	// CallerInfo is what a canister, the signer, vouches for about the user who sent the running call; without such information
	// the signer is the management canister, which never signs.
	CallerInfo() (data []byte, signer principal.Principal)
	// Self is the canister's own id.
	Self() principal.Principal
	// RejectCode and RejectMessage describe the reject inside a reject callback.
	RejectCode() RejectCode
	RejectMessage() string
	// Reply and Reject answer the current call context. Answering twice traps.
	Reply(data []byte)
	Reject(message string)
	// CyclesAvailable, AcceptCycles and CyclesRefunded concern the cycles that travel with calls; Balance is the canister's own.
	CyclesAvailable() Cycles
	AcceptCycles(max Cycles) Cycles
	CyclesRefunded() Cycles
	Balance() Cycles
	// MethodName and AcceptMessage work in Inspect only.
	MethodName() string
	AcceptMessage()
	// Call enqueues an inter-canister call; the callbacks arrive as Canister.Callback with the given env. False means that the
	// call was not made and no callback will come.
	Call(Outgoing) bool
	// SetCertifiedData replaces the at most 32 bytes that the subnet certifies for the canister.
	SetCertifiedData(data []byte)
	// DataCertificate is the certificate of those bytes; it exists in non-replicated queries only.
	DataCertificate() ([]byte, bool)
	// Time is the block time in nanoseconds since 1970; it does not change within a message.
	Time() uint64
	// SetGlobalTimer arms the canister's one timer for a time in ns; 0 disarms it.
	SetGlobalTimer(at uint64)
	// PerformanceCounter counts wasm instructions: 0 for this message, 1 for this call context.
	PerformanceCounter(kind uint32) uint64
	IsController(principal.Principal) bool
	// EnvVar is an environment variable of the canister.
	EnvVar(name string) (value string, ok bool)
	// Version grows with each change of the canister.
	Version() uint64
	// InReplicated is false in queries that one node answers alone.
	InReplicated() bool
	// Print writes to the canister's log.
	Print(text string)
	// Trap ends the message and undoes its effects. It does not return.
	Trap(message string)
	// Stable is the canister's stable memory, which upgrades keep.
	Stable() stable.Memory
}

// Outgoing is one inter-canister call as handed to System.Call.
type Outgoing struct {
	To     principal.Principal
	Method string
	Arg    []byte
	Cycles Cycles
	// TimeoutSeconds is 0 for a guaranteed response; otherwise the call is best-effort and may end in SysUnknown.
	TimeoutSeconds uint32
	// Env comes back in Canister.Callback.
	Env uint32
}

// RejectCode is the class of a reject (interface specification, "Reject codes").
type RejectCode uint32

// The reject codes of the interface specification.
const (
	SysFatal           RejectCode = 1 // fatal system error, retrying does not help
	SysTransient       RejectCode = 2 // transient system error, retrying may help; the call was not delivered
	DestinationInvalid RejectCode = 3 // no such canister or method, or it is stopped
	CanisterReject     RejectCode = 4 // the callee rejected explicitly
	CanisterError      RejectCode = 5 // the callee trapped or did not answer
	SysUnknown         RejectCode = 6 // best-effort calls only: it is not known whether the call was executed
)

func (r RejectCode) String() string {
	switch r {
	case SysFatal:
		return "SYS_FATAL"
	case SysTransient:
		return "SYS_TRANSIENT"
	case DestinationInvalid:
		return "DESTINATION_INVALID"
	case CanisterReject:
		return "CANISTER_REJECT"
	case CanisterError:
		return "CANISTER_ERROR"
	case SysUnknown:
		return "SYS_UNKNOWN"
	}
	return fmt.Sprintf("reject code %d", uint32(r))
}

// RejectError is how a failed call reaches a callback.
type RejectError struct {
	Code    RejectCode
	Message string
}

func (e *RejectError) Error() string { return e.Code.String() + ": " + e.Message }

// TrapError is what System.Trap panics with where a trap is not an instruction of the machine (native runs).
type TrapError struct{ Message string }

func (e *TrapError) Error() string { return "canister trapped: " + e.Message }

// Cycles is an amount of cycles, an unsigned 128-bit number.
type Cycles struct{ Hi, Lo uint64 }

// CyclesOf makes an amount that fits in 64 bits.
func CyclesOf(n uint64) Cycles { return Cycles{Lo: n} }

// IsZero reports whether the amount is zero.
func (c Cycles) IsZero() bool { return c.Hi == 0 && c.Lo == 0 }

// Cmp is -1, 0 or 1 as c is less than, equal to or more than d.
func (c Cycles) Cmp(d Cycles) int {
	switch {
	case c == d:
		return 0
	case c.Hi < d.Hi || c.Hi == d.Hi && c.Lo < d.Lo:
		return -1
	}
	return 1
}

// Add returns c + d, saturating at the largest amount.
func (c Cycles) Add(d Cycles) Cycles {
	lo, carry := bits.Add64(c.Lo, d.Lo, 0)
	hi, carry := bits.Add64(c.Hi, d.Hi, carry)
	if carry != 0 {
		return Cycles{^uint64(0), ^uint64(0)}
	}
	return Cycles{hi, lo}
}

// Sub returns c - d, saturating at zero.
func (c Cycles) Sub(d Cycles) Cycles {
	if c.Cmp(d) < 0 {
		return Cycles{}
	}
	lo, borrow := bits.Sub64(c.Lo, d.Lo, 0)
	hi, _ := bits.Sub64(c.Hi, d.Hi, borrow)
	return Cycles{hi, lo}
}

func (c Cycles) String() string {
	b := new(big.Int).SetUint64(c.Hi)
	return b.Lsh(b, 64).Add(b, new(big.Int).SetUint64(c.Lo)).String()
}
