// Package wasm compiles and runs canisters.
//
// # Parts
//
// Engine compiles modules and is shared by all replicas of a process. Module is a compiled canister, after package
// transform made it deterministic and metered. Image is a canister's committed state: its heap and its mutable
// globals. Instance runs code on a private copy of an Image.
//
//	eng, err := wasm.NewEngine(wasm.Config{CacheDir: dir, Host: systemAPI})
//	mod, err := eng.Compile(bytes)
//	img, err := mod.NewImage()                     // or mod.LoadImage after a restart
//	inst, err := mod.NewInstance(img)
//	inst.Ctx = message
//	used, err := inst.Run("canister_update inc", limit)
//	if err == nil {
//		pages, size, globals, err := inst.Commit() // store these
//	} else {
//		err = inst.Rollback()
//	}
//
// # Traps and faults
//
// Run returns a *Trap when the canister (or a host function on its behalf) ended the run; every replica gets the same
// one. Any other error, and every error of Commit and Rollback, is a fault of this machine: the replica must stop
// instead of committing what follows from it. Compile separates the same way: ErrInvalid is about the module.
//
// # Heap
//
// On Linux the committed heap is a memory file and each instance maps it privately, so an instance costs what it
// writes. PAGEMAP_SCAN finds the written pages; Commit compares them with the image, so that what it returns depends
// on content alone and not on how pages were found. Elsewhere heaps are copied and all pages compared. Both are
// tested against each other.
//
// A private mapping is not a snapshot: a page that the instance did not write shows later commits. Therefore Commit
// needs the canister to itself: the caller holds a lock per canister, exclusively around Commit and shared around
// the life of a query (Image.Query to Instance.Release).
//
// # Slices
//
// A long run is cut into slices by Refill. Run it on a goroutine of its own with the first slice as its limit, and
// let Refill hand each further one over:
//
//	inst.Refill = func() uint64 {
//		ended <- true     // the slice is used up
//		return <-more     // sleeps until the next slice; 0 gives the run up
//	}
//	go func() { used, err = inst.Run(name, <-more); close(ended) }()
//
// What a run computes, uses and traps with depends on the sum of what it was given and not on the sizes of the slices;
// for that, Refill is also asked after the code ended when its last instructions are not paid for yet. A run that is
// given up ends as one out of instructions, with everything it held freed when Run returns: whoever returned 0 knows
// which of the two it was. Roll back afterwards, as after every error.
//
// While a run is paused, its instance must be left alone, except that Refill itself may look at it (InstructionsUsed,
// WasmPages) and change Ctx or the memory limit before it returns. Other instances of the same image and module may
// run, be pooled and be closed; nobody may commit to the image, so the canister's lock is held shared by the paused
// run. A paused run costs its goroutine, its stack (32 MiB at most) and the pages it wrote. It cannot be stored: a
// replica that restarts gives it up and runs the message again.
//
// # What a message leaves behind
//
// Memory and mutable globals. Tables and dropped segments start anew for every run, as on the Internet Computer; a
// module that can change those costs a new engine instance per run (about 0.1 ms).
//
// # Duties of the caller
//
// One writer per image. Close instances before their image and module, modules before the engine. Bound memory:
// SetMemoryLimit, and a limit on instructions, since every touched page is real memory until Commit or Rollback.
package wasm
