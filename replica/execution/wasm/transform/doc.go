// Package transform turns the module that somebody installs into the module that the engine runs.
//
// The engine (wazero) neither counts instructions, nor fixes NaN bits, nor bounds recursion in a way that is the same
// on every machine, and it runs the start function and copies data segments before anybody can stop it. A replica
// needs all of that, so one pass over the binary does it at install time:
//
//   - validate: the limits of the Internet Computer, imports only from "ic0" with the signatures that the host offers,
//     exports only under the names of the interface specification;
//   - strip the start function (it runs, metered, as canister_start) and the active data segments (the host writes
//     them into the initial heap image);
//   - export memory, every mutable global and the counters under private names. All exports of the result are written
//     here, so nothing in a module can collide with them;
//   - lower 64-bit memories and tables (memory64, table64) to 32-bit ones, which the engine has: addresses and indices
//     saturate at 2^32-1, where nothing can be, so that the result traps exactly where the original would. The heap of
//     such a canister is bounded by MaxPages, just below 4 GiB;
//   - make every NaN that arithmetic produces the canonical one;
//   - charge instructions once per basic block and check the counter at function entry and at loop heads;
//   - bound the depth of calls by the sizes of their frames.
//
// # Validation
//
// This package checks the format, every index that its own additions could make valid (functions, globals, locals,
// types, labels, tables, segments), and the limits. Whether the code is well typed is checked by the engine, which
// validates the transformed module before compiling it. That is sound because everything inserted is stack-neutral, or
// has together with the lowered instruction the original's type, and uses only indices that the original module cannot
// name; the fuzz target holds both directions (the result compiles exactly when the original does).
//
// # Limits
//
// Limits lists them with their defaults. Most are the Internet Computer's; counts of sections are bounded by package wasmbin before
// memory is taken for them. Two are our own, because the compiler takes more than time in proportion to a module's bytes: the
// complexity of functions (blocks times locals) and the work of instructions (work.go). Modules of real compilers stay far
// below; the worst that passes takes the compiler about half a minute of processor time and some 2 GB, for the time of compiling.
//
// # Metering
//
// Each instruction has a weight (weights.md is the list, weights.go has its source). The code is cut into segments that run as a whole or
// not at all: a segment starts at function entry, at a loop head, after if, else and br_if, after the end of an if
// or of a block that is the target of a branch, and after an instruction that never falls through. (A br_if that leaves
// a loop does not start one: when it is taken, it gives back what was charged for the instructions behind it.) A segment's
// weights are subtracted from a 64-bit counter at its start. Function entries and loop heads compare the counter
// with zero and call the host, which stops the message (or, later, pauses it). So a run that returns has used exactly
// the sum of the weights of its instructions; a run that traps has paid for the rest of the segment it trapped in;
// and a counter is overdrawn at most by one function body without loops. Bulk instructions additionally pay for each
// byte or element, and memory.grow for each page, before they run; a growth by more than the most there can be fails and
// pays for nothing. Lowered instructions cost what they cost in a 32-bit module.
//
// The counter is a global; inside a function a local stands for it, which the engine keeps in a register (meter.go). The global is
// brought up to date before everything that could show it: a trap, a call, a return. Only a loop that calls nothing and may trap
// pays Advance instructions ahead, each time anew when they are used up: a trap in it has cost the whole advance, and the counter
// may be overdrawn by as much before the host is asked. What a run is charged follows from the instructions that it executed, not from
// the limits or slices that it was given.
//
// # Depth of calls
//
// A function that calls anything costs slots of 8 bytes on a virtual stack: a constant, its parameters, results and
// locals, and one for each instruction (what the compiler may spill). The virtual stack has Limits.StackSlots. The
// limit is a property of the module and not of the compiler, so all replicas trap at the same call. The engine's own
// ceiling of 50 MB lies behind it. Only a function whose locals are merged and spilled in very many blocks could have
// frames so much larger than their price that the ceiling comes first; it too is a stack overflow, at a depth that
// depends on the compiler's version and target.
//
// # NaN
//
// After each floating-point instruction whose NaN bits the specification leaves open, a select replaces any NaN by
// 0x7fc00000 or 0x7ff8000000000000, lane by lane for vectors. Instructions that only move bits (loads, constants,
// abs, neg, copysign, reinterpret, pmin, pmax) are left alone.
//
// The package is pure: same bytes and options, same result. Caches of compiled code need no version of this package,
// because they are keyed by what it returns.
package transform
