// Package wasmbin reads and writes the WebAssembly binary format down to single instructions.
//
// It exists for two rewriters: the transform pass that meters a canister before it runs, and the linker that turns a
// Go program into a canister. Both need to see every index and every immediate, and to put the module back together.
//
// # What it understands
//
// Modules of the core specification 2.0 (MVP, sign extension, saturating conversions, bulk memory, reference types,
// multi-value, fixed-width SIMD) plus tail calls and the index types of memory64 and table64. Threads, exceptions, GC,
// relaxed SIMD and several memories are refused by Parse or by the instruction Reader, with the name of the extension.
//
// Parse checks the format, not the types: every count and size is compared with the bytes that are left, and with the most that
// other engines accept, before anything is allocated, LEB128 numbers must fit their type, sections must come in order, and names must be UTF-8.
// Whether the code is well typed is left to the engine that compiles it. Code bodies and constant expressions stay
// bytes that alias the input; Reader walks them without allocating.
//
// # Use
//
//	m, err := wasmbin.Parse(b)
//	err = m.RenumberFuncs(func(i uint32) uint32 { return i + 1 })
//	m.Exports[0].Name = "canister_query get"
//	out := m.Encode()
//
// Encode writes numbers in their shortest form, so Encode(Parse(b)) equals b only if b did too; encoding again is
// always stable. Nothing here is safe for concurrent mutation; concurrent reading is fine.
package wasmbin
