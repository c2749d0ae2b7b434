package icrc

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"fusion/cdk"
	"fusion/ic/candid"
	"fusion/ic/principal"
)

const (
	// firstArchivePause and longestArchivePause bound the time until a step of a hand-over that failed is tried again.
	firstArchivePause   = time.Second
	longestArchivePause = 10 * time.Minute
	// overdue is how much later than its time a timer or a step counts as gone: a message that traps leaves no callback behind.
	overdue = time.Minute
)

// archiver hands blocks over to archives, in messages of its own: whatever happens to them, transfers go on. All that it must not forget is in the
// ledger's stable memory; what is here begins anew with each instance, which asks the archive what it has before it goes on.
type archiver struct {
	c       *cdk.Canister
	l       *Ledger
	busy    bool   // calls are open
	armed   bool   // a timer is set
	watched bool   // and another one, that looks after it
	due     uint64 // for when
	tries   uint
	pauses  uint64 // not before
	problem string
	// Counted since the instance began.
	failures, rounds uint64

	observe func(string) // tests: runs at the beginning of each message of a hand-over
}

// look begins a hand-over if one is due.
func (a *archiver) look() {
	if a.busy || !a.l.ArchiveDue() || a.armed && a.c.Time() < a.due+uint64(overdue) {
		return
	}
	now := a.c.Time()
	a.armed, a.due = true, max(now, a.pauses)
	a.c.After(time.Duration(a.due-now), a.run)
	if !a.watched {
		a.watched = true
		a.c.After(overdue, a.watch)
	}
}

// watch goes on with a hand-over of which a message trapped, so that it does not wait for the next transfer.
func (a *archiver) watch() {
	a.watched = a.busy || a.l.ArchiveDue()
	if a.watched {
		a.c.After(overdue, a.watch)
		a.look()
	}
}

func (a *archiver) run() {
	a.at("run")
	a.armed = false
	if a.busy || !a.l.ArchiveDue() {
		return
	}
	a.busy = true
	l := a.l
	if n := l.arch.Next; n != nil && n.ID == nil {
		l.archiveNotCreated(true) // by an instance before this one, or a message that trapped
	}
	switch {
	case l.arch.Next != nil:
		a.install()
	case len(l.arch.List) == 0:
		a.create()
	default:
		a.ask()
	}
}

func (a *archiver) at(step string) {
	if a.observe != nil {
		a.observe(step)
	}
}

// done ends a run.
func (a *archiver) done(err error) {
	a.busy = false
	if err == nil {
		a.tries, a.pauses, a.problem = 0, 0, ""
		a.rounds++
		a.look()
		return
	}
	a.failures++
	a.pauses = a.c.Time() + uint64(min(firstArchivePause<<min(a.tries, 16), longestArchivePause))
	a.tries++
	if text := err.Error(); text != a.problem {
		a.problem = text
		a.c.Print("archiving: %s; tried again", text)
	}
	a.look()
}

// trapped runs after a callback trapped, which undid it.
func (a *archiver) trapped() {
	a.busy, a.armed = false, false
	a.pauses = a.c.Time() + uint64(firstArchivePause)
}

func (a *archiver) call(to principal.Principal, method string, args ...any) *cdk.Call {
	return a.c.Call(to, method, args...).OnCleanup(a.trapped)
}

// What the management canister is told.
type (
	archiveSettings struct {
		Controllers *[]principal.Principal `candid:"controllers"`
	}
	createArchive struct {
		Settings *archiveSettings `candid:"settings"`
	}
	canisterID struct {
		CanisterID principal.Principal `candid:"canister_id"`
	}
	installMode struct {
		candid.Variant
		Install *candid.Null `candid:"install"`
	}
	chunkHash struct {
		Hash []byte `candid:"hash"`
	}
	installArchive struct {
		Mode   installMode          `candid:"mode"`
		Target principal.Principal  `candid:"target_canister"`
		Store  *principal.Principal `candid:"store_canister"`
		Chunks []chunkHash          `candid:"chunk_hashes_list"`
		Hash   []byte               `candid:"wasm_module_hash"`
		Arg    []byte               `candid:"arg"`
	}
)

// create asks for a canister. The intention is stored first. If no outcome follows, the canister that may exist has neither code nor blocks, and
// another one is made.
func (a *archiver) create() {
	o := &a.l.cfg.Archive
	controllers := []principal.Principal{a.c.Self()}
	add := func(p principal.Principal) {
		if !p.IsManagement() && !p.IsAnonymous() && !slices.Contains(controllers, p) {
			controllers = append(controllers, p)
		}
	}
	add(o.ControllerID)
	if o.MoreControllerIDs != nil {
		for _, p := range *o.MoreControllerIDs {
			add(p)
		}
	}
	a.l.archiveCreating()
	call := a.call(principal.Management, "create_canister", createArchive{&archiveSettings{&controllers}}).
		WithCycles(cdk.CyclesOf(option(o.CyclesForArchiveCreation, defaultArchiveCycles)))
	cdk.Then(call, func(r canisterID, err error) {
		a.at("created")
		if err != nil {
			var rej *cdk.RejectError
			a.l.archiveNotCreated(!errors.As(err, &rej) || rej.Code == cdk.SysUnknown)
			a.done(fmt.Errorf("create a canister for an archive: %w", err))
			return
		}
		a.l.archiveCreated(r.CanisterID)
		a.install()
	})
}

// install puts the module into the canister that was created, unless it is there.
func (a *archiver) install() {
	n := *a.l.arch.Next
	fail := func(err error) { a.done(fmt.Errorf("install archive %s: %w", n.ID, err)) }
	cdk.Then(a.call(principal.Management, "canister_status", canisterID{*n.ID}), func(s cdk.CanisterStatus, err error) {
		a.at("status")
		switch {
		case err != nil:
			fail(err)
			return
		case s.ModuleHash != nil && bytes.Equal(*s.ModuleHash, n.Hash):
			a.l.archiveInstalled()
			a.ask()
			return
		case s.ModuleHash != nil:
			fail(fmt.Errorf("it has the module %x, not %x", *s.ModuleHash, n.Hash))
			return
		}
		o := &a.l.cfg.Archive
		if m := o.Module; m != nil && !bytes.Equal(m.Hash, n.Hash) { // changed by an upgrade: the new one, as the old one's chunks may be gone
			a.l.arch.Next.Hash, a.l.arch.Next.Chunks = m.Hash, m.Chunks
			a.l.saveArchives()
			n = *a.l.arch.Next
		}
		chunks := []chunkHash{}
		for _, c := range n.Chunks {
			chunks = append(chunks, chunkHash{c})
		}
		memory := option(o.NodeMaxMemorySizeBytes, defaultArchiveMemory)
		arg, err := candid.Marshal(a.c.Self(), n.First, &memory, o.MaxTransactionsPerResponse)
		if err != nil {
			fail(err)
			return
		}
		self := a.c.Self()
		args := installArchive{installMode{Install: candid.Unit}, *n.ID, &self, chunks, n.Hash, arg}
		cdk.Then(a.call(principal.Management, "install_chunked_code", args), func(_ cdk.None, err error) {
			a.at("installed")
			if err != nil {
				fail(err)
				return
			}
			a.l.archiveInstalled()
			a.ask()
		})
	})
}

// ask learns what the last archive has, so that each block is handed over once whatever became of earlier messages, and goes on from there.
func (a *archiver) ask() {
	l := a.l
	id := l.arch.List[len(l.arch.List)-1].ID
	cdk.Then(a.call(id, "block_range"), func(s BlockSpan, err error) {
		a.at("asked")
		if err == nil {
			err = l.reconcile(s)
		}
		if err != nil {
			a.done(fmt.Errorf("ask archive %s what it has: %w", id, err))
			return
		}
		a.append(id, min(l.Archived()+l.cfg.Archive.NumBlocksToArchive, l.log.Len()), s.Free)
	})
}

// append hands over the blocks before end. They are forgotten here once the archive has said that it has them.
func (a *archiver) append(id principal.Principal, end, free uint64) {
	l := a.l
	if l.Archived() >= end {
		a.done(nil)
		return
	}
	start := l.Archived()
	blocks := l.handOver(end, free)
	if len(blocks) == 0 { // the next block does not fit: this archive is full
		if entry := l.arch.List[len(l.arch.List)-1]; entry.End == entry.First {
			a.done(fmt.Errorf("archive %s has room for %d bytes, which is less than block %d: raise node_max_memory_size_bytes", id, free, start))
			return
		}
		a.create()
		return
	}
	for _, b := range blocks {
		free -= uint64(len(b))
	}
	cdk.Then(a.call(id, "append_blocks", blocks, &start), func(_ cdk.None, err error) {
		a.at("appended")
		if err == nil && l.Archived() == start {
			err = l.forget(start + uint64(len(blocks)))
		}
		if err != nil {
			a.done(fmt.Errorf("hand blocks over to archive %s: %w", id, err))
			return
		}
		a.append(id, end, free)
	})
}
