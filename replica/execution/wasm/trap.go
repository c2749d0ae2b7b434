package wasm

import (
	"errors"
	"fmt"
	"strings"
)

// TrapKind says why a canister's code was stopped.
type TrapKind int

// The kinds of traps. Each follows from the module, its state and its input alone, so all replicas see the same one.
const (
	// OutOfInstructions: the limit given to Run is used up.
	OutOfInstructions TrapKind = iota + 1
	// StackOverflow: calls nest too deeply (see package transform).
	StackOverflow
	// Unreachable: an unreachable instruction, which is how most languages end a panic.
	Unreachable
	// OutOfBounds: an access beyond the memory, by the canister or by a host function on its behalf.
	OutOfBounds
	// DivisionByZero: integer division or remainder by zero.
	DivisionByZero
	// IntegerOverflow: a division or a conversion whose result does not fit.
	IntegerOverflow
	// InvalidConversion: a NaN converted to an integer.
	InvalidConversion
	// InvalidTable: an access beyond a table, or a call of an empty element.
	InvalidTable
	// WrongType: an indirect call, or a callback, of a function with another type.
	WrongType
	// HostTrap: a host function refused; Message is the host's.
	HostTrap
)

var trapNames = map[TrapKind]string{
	OutOfInstructions: "out of instructions", StackOverflow: "stack overflow", Unreachable: "unreachable",
	OutOfBounds: "out of bounds memory access", DivisionByZero: "integer divide by zero", IntegerOverflow: "integer overflow",
	InvalidConversion: "invalid conversion to integer", InvalidTable: "invalid table access",
	WrongType: "indirect call type mismatch", HostTrap: "trap",
}

func (k TrapKind) String() string {
	if s, ok := trapNames[k]; ok {
		return s
	}
	return fmt.Sprintf("trap %d", int(k))
}

// Trap is the error of a run that the canister (or a host function on its behalf) ended. Host functions trap by
// panic(&Trap{Kind: HostTrap, Message: ...}). Any other error of Run is a fault of this machine, and the state it
// would lead to must not be committed.
type Trap struct {
	Kind    TrapKind
	Message string // may be empty
	// Backtrace lists the functions on the stack, innermost first, as far as the engine knows them.
	Backtrace []string
}

func (t *Trap) Error() string {
	if t.Message == "" {
		return t.Kind.String()
	}
	return t.Message
}

// engineTraps maps the engine's runtime errors, which it does not export, by their texts.
var engineTraps = map[string]TrapKind{
	"unreachable": Unreachable, "out of bounds memory access": OutOfBounds, "integer divide by zero": DivisionByZero,
	"integer overflow": IntegerOverflow, "invalid conversion to integer": InvalidConversion,
	"invalid table access": InvalidTable, "indirect call type mismatch": WrongType, "stack overflow": StackOverflow,
}

// trapOf turns the engine's error into a Trap, or returns it as it is when the canister did not cause it.
func trapOf(err error) error {
	_, trace, _ := strings.Cut(err.Error(), "wasm stack trace:\n\t")
	var backtrace []string
	if trace != "" {
		backtrace = strings.Split(trace, "\n\t")
	}
	if t := (*Trap)(nil); errors.As(err, &t) {
		return &Trap{Kind: t.Kind, Message: t.Message, Backtrace: backtrace}
	}
	inner := err
	for next := errors.Unwrap(inner); next != nil; next = errors.Unwrap(inner) {
		inner = next
	}
	if kind, ok := engineTraps[inner.Error()]; ok {
		return &Trap{Kind: kind, Backtrace: backtrace}
	}
	return fmt.Errorf("wasm engine: %w", err)
}
