package icrc

import (
	"bytes"
	"errors"
	"fmt"

	"fusion/cdk/stable"
	"fusion/ic/candid"
	"fusion/ic/principal"
)

// Defaults of the archive options, as on the Internet Computer.
const (
	defaultArchiveCycles  = 10_000_000_000_000
	defaultArchiveMemory  = 3 << 30
	defaultArchiveMessage = 1 << 20
	// maxArchiveMessage leaves room for the rest of a message between subnets, which may have 2 MiB.
	maxArchiveMessage = 1<<21 - 1<<16
	// maxArchiveBlocks bounds what one message of a hand-over costs to build and to check.
	maxArchiveBlocks = 5000
	// maxArchiveControllers are those besides the ledger and controller_id; a canister has at most ten.
	maxArchiveControllers = 8
	maxArchiveChunks      = 100 // of a module: what a chunk store holds
)

// ErrArchive is an answer of an archive that does not fit to the ledger's blocks. Nothing is forgotten then.
var ErrArchive = errors.New("the archive does not fit the ledger")

// archives is what the ledger knows of its archives. The blocks below the end of the last one are there, the others are here.
type archives struct {
	List []archiveEntry  `candid:"list"`
	Next *pendingArchive `candid:"next"`
	Lost uint64          `candid:"lost"` // creations whose outcome became unknown
}

// archiveEntry is an archive with its blocks, from First to before End.
type archiveEntry struct {
	ID    principal.Principal `candid:"id"`
	First uint64              `candid:"first"`
	End   uint64              `candid:"end"`
}

// pendingArchive is an archive in the making. Without ID create_canister was called and has no outcome yet.
type pendingArchive struct {
	ID    *principal.Principal `candid:"id"`
	First uint64               `candid:"first"`
	Hash  []byte               `candid:"hash"` // of its module
	// Chunks of the module.
	Chunks [][]byte `candid:"chunks"`
}

// check refuses options with which no archive could be made.
func (o *ArchiveOptions) check() error {
	if o.MoreControllerIDs != nil && len(*o.MoreControllerIDs) > maxArchiveControllers {
		return fmt.Errorf("%w: archives with %d more controllers, at most %d", ErrArgument, len(*o.MoreControllerIDs), maxArchiveControllers)
	}
	m := o.Module
	if m == nil {
		return nil
	}
	if len(m.Hash) != 32 || len(m.Chunks) == 0 || len(m.Chunks) > maxArchiveChunks {
		return fmt.Errorf("%w: the module of archives needs its SHA-256 and 1 to %d chunks", ErrArgument, maxArchiveChunks)
	}
	for _, c := range m.Chunks {
		if len(c) != 32 {
			return fmt.Errorf("%w: a chunk of the archives' module has a hash of %d bytes", ErrArgument, len(c))
		}
	}
	return nil
}

func option(v *uint64, ifAbsent uint64) uint64 {
	if v == nil || *v == 0 {
		return ifAbsent
	}
	return *v
}

func (l *Ledger) openArchives() error {
	b := l.archCell.Get(nil)
	if len(b) == 0 {
		return nil
	}
	if err := candid.Unmarshal(b, &l.arch); err != nil {
		return fmt.Errorf("archives: %w", err)
	}
	next := uint64(0)
	for _, a := range l.arch.List {
		if a.First != next || a.End < a.First {
			return fmt.Errorf("%w: archive %s has blocks %d to %d, want them from %d", stable.ErrCorrupt, a.ID, a.First, a.End, next)
		}
		next = a.End
	}
	if next > l.log.Len() {
		return fmt.Errorf("%w: %d of %d blocks are in archives", stable.ErrCorrupt, next, l.log.Len())
	}
	return nil
}

func (l *Ledger) saveArchives() {
	b, err := candid.Marshal(l.arch)
	must(err)
	must(l.archCell.Set(b))
}

// Archived is the number of blocks that are in archives, which is the index of the first block that is here.
func (l *Ledger) Archived() uint64 {
	if n := len(l.arch.List); n > 0 {
		return l.arch.List[n-1].End
	}
	return 0
}

// ArchiveDue says that there are more blocks here than the options want, and a module for archives.
func (l *Ledger) ArchiveDue() bool {
	o := &l.cfg.Archive
	return o.Module != nil && o.NumBlocksToArchive > 0 && l.log.Len()-l.Archived() > o.TriggerThreshold
}

// The steps of making an archive, each of which is stored before the next begins.

func (l *Ledger) archiveCreating() {
	m := l.cfg.Archive.Module
	l.arch.Next = &pendingArchive{First: l.Archived(), Hash: m.Hash, Chunks: m.Chunks}
	l.saveArchives()
}

func (l *Ledger) archiveCreated(id principal.Principal) {
	l.arch.Next.ID = &id
	l.saveArchives()
}

// archiveNotCreated: there is no canister, or, if lost, nobody knows; an empty canister may then exist that nobody uses.
func (l *Ledger) archiveNotCreated(lost bool) {
	l.arch.Next = nil
	if lost {
		l.arch.Lost++
	}
	l.saveArchives()
}

func (l *Ledger) archiveInstalled() {
	n := l.arch.Next
	l.arch.List = append(l.arch.List, archiveEntry{*n.ID, n.First, n.First})
	l.arch.Next = nil
	l.saveArchives()
}

// BlockSpan is what an archive holds: the blocks from First to before Next, whose last has the hash Tip (the parent of Next, if it has none
// itself), and how many bytes of blocks it still takes.
type BlockSpan struct {
	First uint64  `candid:"first"`
	Next  uint64  `candid:"next"`
	Tip   *[]byte `candid:"tip"`
	Free  uint64  `candid:"free"`
}

// reconcile takes over what the last archive has: an append may have happened whose answer never came.
func (l *Ledger) reconcile(s BlockSpan) error {
	a := l.arch.List[len(l.arch.List)-1]
	switch {
	case s.First != a.First || s.Next < a.End:
		return fmt.Errorf("%w: %s has blocks %d to %d, it was given %d to %d", ErrArchive, a.ID, s.First, s.Next, a.First, a.End)
	case s.Next > l.log.Len():
		return fmt.Errorf("%w: %s has %d blocks, the ledger %d", ErrArchive, a.ID, s.Next, l.log.Len())
	}
	if s.Next > s.First {
		want := l.parentOf(s.Next)
		if s.Tip == nil || !bytes.Equal(*s.Tip, want[:]) {
			return fmt.Errorf("%w: the last block of %s is not block %d of the ledger, which has the hash %x", ErrArchive, a.ID, s.Next-1, want)
		}
	}
	if s.Next > a.End {
		return l.forget(s.Next)
	}
	return nil
}

// parentOf is the hash of the block before block i, which must be here or the one after the last.
func (l *Ledger) parentOf(i uint64) (h [32]byte) {
	if i == l.log.Len() {
		return l.hot.tip
	}
	b := l.Block(i)
	if p := b.field("phash").blob(); p != nil {
		copy(h[:], *p)
	}
	return h
}

// forget notes that the last archive has the blocks before end.
func (l *Ledger) forget(end uint64) error {
	if end < l.Archived() || end > l.log.Len() {
		return fmt.Errorf("%w: blocks %d to %d of %d would be forgotten", ErrArchive, l.Archived(), end, l.log.Len())
	}
	l.arch.List[len(l.arch.List)-1].End = end
	l.saveArchives()
	return l.log.Trim(end)
}

// handOver collects blocks from the first one here to before end, as many as one message and the free space of an archive take.
func (l *Ledger) handOver(end, free uint64) [][]byte {
	room := min(option(l.cfg.Archive.MaxMessageSizeBytes, defaultArchiveMessage), maxArchiveMessage)
	out := [][]byte{}
	for i := l.Archived(); i < end && len(out) < maxArchiveBlocks; i++ {
		b := l.log.Get(i, nil)
		n := uint64(len(b))
		if n > free || n > room && len(out) > 0 {
			break
		}
		out = append(out, b)
		free, room = free-n, room-min(n, room)
	}
	return out
}

// inArchive is a part of a requested range.
type inArchive struct {
	id         principal.Principal
	start, end uint64
}

// split cuts a requested range to what is here, at most limit blocks, and to what is in archives.
func (l *Ledger) split(args GetBlocksArgs, limit uint64) (start, end uint64, there []inArchive) {
	n, first := l.log.Len(), l.Archived()
	start, ok := args.Start.Uint64()
	if !ok || start > n {
		start = n
	}
	length, ok := args.Length.Uint64()
	if !ok || length > n-start {
		length = n - start
	}
	end = start + length
	for _, a := range l.arch.List {
		if s, e := max(start, a.First), min(end, a.End); s < e {
			there = append(there, inArchive{a.ID, s, e})
		}
	}
	start = max(start, min(first, end))
	return start, min(end, start+limit), there
}

func (a inArchive) args() GetBlocksArgs {
	return GetBlocksArgs{candid.NatFromUint64(a.start), candid.NatFromUint64(a.end - a.start)}
}

// Archives answers archives.
func (l *Ledger) Archives() []ArchiveInfo {
	out := []ArchiveInfo{}
	for _, a := range l.arch.List {
		if a.End > a.First {
			out = append(out, ArchiveInfo{a.ID, candid.NatFromUint64(a.First), candid.NatFromUint64(a.End - 1)})
		}
	}
	return out
}

// ICRC3Archives answers icrc3_get_archives: those after one, or all.
func (l *Ledger) ICRC3Archives(args GetArchivesArgs) []ICRC3Archive {
	out := []ICRC3Archive{}
	skip := args.From != nil
	for _, a := range l.Archives() {
		if !skip {
			out = append(out, ICRC3Archive{a.CanisterID, a.BlockRangeStart, a.BlockRangeEnd})
		}
		if skip && a.CanisterID == *args.From {
			skip = false
		}
	}
	return out
}
