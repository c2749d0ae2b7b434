package index

import (
	"fmt"
	"time"

	"fusion/cdk"
	"fusion/ckledger/icrc"
	"fusion/ic/candid"
	"fusion/ic/principal"
)

const (
	// askBlocks is what the ledger gives in one answer of icrc3_get_blocks.
	askBlocks = 100
	// plainFor is how long a ledger or an archive that gives no stored blocks is asked for those of ICRC-3 instead.
	plainFor = 10 * time.Minute
	// maxArchives bounds how many archives are remembered; each has gigabytes of blocks.
	maxArchives = 1000
	// pollCalls is how often one poll asks while there is more: 2,000 blocks. They may all be taken within one block of the subnet, and others wait for it.
	pollCalls = 20
	// pollInstructions is what a poll may have used when it asks for more: a tenth of what the canisters of a subnet have for a block, and less than half of a
	// canister's turn (replica/execution). The answer to come adds what its blocks take, 500 at most.
	pollInstructions = 200_000_000
	// storedCalls is for how many of these calls one counts that brings stored blocks.
	storedCalls = icrc.MaxStoredBlocks / askBlocks
	// lookEvery is how often the index looks whether a poll is overdue.
	lookEvery = time.Minute
)

// server is the canister around an Index. Everything but x is forgotten by an upgrade.
type server struct {
	c       *cdk.Canister
	x       *Index
	polling bool
	timer   cdk.TimerID // of the next poll
	wait    uint64      // seconds until the next poll
	due     uint64      // when that is
	failed  string      // the last failure to read the ledger, so that a lasting one is logged once
	// archives are those that the ledger listed when it was asked last.
	archives map[principal.Principal]bool
	plain    map[principal.Principal]uint64 // who gave no stored blocks → until when that is believed
}

// Canister is the index as a canister: the setup function for cdk.Main and cdk/native.
func Canister(c *cdk.Canister) {
	s := &server{c: c, plain: map[principal.Principal]uint64{}}
	cdk.Init(c, func(a *Arg) {
		if a == nil || a.Init == nil {
			c.Trap("a new index needs Init arguments")
		}
		var err error
		s.x, err = Create(c.Stable(), *a.Init)
		s.start(err)
	})
	cdk.PostUpgrade(c, func(a *Arg) {
		var err error
		s.x, err = Open(c.Stable())
		if err == nil {
			err = s.x.Resume()
		}
		if err == nil && a != nil {
			if a.Upgrade == nil {
				c.Trap("an upgrade needs Upgrade arguments, or none")
			}
			err = s.x.Upgrade(*a.Upgrade)
		}
		s.start(err)
	})

	cdk.Query(c, "get_account_transactions", func(_ *cdk.Msg, a GetAccountTransactionsArgs) GetTransactionsResult { return s.x.Transactions(a) })
	cdk.Query(c, "get_blocks", func(_ *cdk.Msg, a icrc.GetBlocksArgs) GetBlocksResponse { return s.x.GetBlocks(a) })
	cdk.Query(c, "get_fee_collectors_ranges", func(*cdk.Msg, cdk.None) FeeCollectorRanges { return s.x.FeeCollectors() })
	cdk.Query(c, "icrc1_balance_of", func(_ *cdk.Msg, a icrc.Account) candid.Nat {
		b, err := s.x.BalanceOf(a)
		s.check(err)
		return b.Nat()
	})
	cdk.Query(c, "ledger_id", func(*cdk.Msg, cdk.None) principal.Principal { return s.x.Ledger() })
	cdk.Query(c, "list_subaccounts", func(_ *cdk.Msg, a ListSubaccountsArgs) [][]byte {
		list, err := s.x.Subaccounts(a)
		s.check(err)
		return list
	})
	cdk.Query(c, "status", func(*cdk.Msg, cdk.None) Status {
		st := Status{NumBlocksSynced: candid.NatFromUint64(s.x.Blocks())}
		if why := s.x.Halted(); why != "" {
			st.Halted = &why
		}
		return st
	})
}

func (s *server) check(err error) {
	if err != nil {
		s.c.Trap("%v", err)
	}
}

func (s *server) start(err error) {
	s.check(err)
	s.next(0)
	s.c.Every(lookEvery, func() { // a timer whose message traps is gone
		if s.due+uint64(lookEvery) < s.c.Time() {
			s.poll()
		}
	})
}

func (s *server) poll() {
	if s.polling || s.x.Halted() != "" {
		return
	}
	s.c.Cancel(s.timer) // there is one chain of polls, whatever a timer of the instance before this one began
	s.polling = true
	s.ask(pollCalls, false)
}

// stored asks a ledger or an archive for the next blocks in their stored form, before end. Those of others have no such method: after a failure plain takes its
// place for a while, from the next poll on.
func (s *server) stored(of principal.Principal, end uint64, news bool, then func(icrc.StoredBlocks), plain func()) {
	if s.c.Time() < s.plain[of] {
		plain()
		return
	}
	n := s.x.Blocks()
	args := icrc.GetBlocksArgs{Start: candid.NatFromUint64(n), Length: candid.NatFromUint64(min(icrc.MaxStoredBlocks, end-n))}
	cdk.Then(s.call(of, "get_stored_blocks", args), func(r icrc.StoredBlocks, err error) {
		if err != nil {
			if len(s.plain) > maxArchives {
				clear(s.plain)
			}
			s.plain[of] = s.c.Time() + uint64(plainFor)
			s.rest(news)
			return
		}
		then(r)
	})
}

// ask reads the next blocks from the ledger, and goes on while there are more and calls are left.
func (s *server) ask(left int, news bool) {
	s.stored(s.x.Ledger(), 1<<64-1, news, func(r icrc.StoredBlocks) {
		before := s.x.Blocks()
		if r.LogLength > before && len(r.Blocks) == 0 { // in an archive
			s.askPlain(left, news)
			return
		}
		s.check(s.x.ReadStored(&r))
		if s.stopped() {
			return
		}
		s.failed = ""
		read := s.x.Blocks() > before
		news = news || read
		if read && s.x.Blocks() < r.LogLength {
			s.more(left-storedCalls, func(left int) { s.ask(left, true) })
			return
		}
		s.rest(news)
	}, func() { s.askPlain(left, news) })
}

// askPlain is ask in the words of ICRC-3, which also say what is in archives.
func (s *server) askPlain(left int, news bool) {
	args := []icrc.GetBlocksArgs{{Start: candid.NatFromUint64(s.x.Blocks()), Length: candid.NatFromUint64(askBlocks)}}
	cdk.Then(s.call(s.x.Ledger(), "icrc3_get_blocks", args), func(r icrc.GetBlocksResult, err error) {
		if err != nil {
			s.problem(fmt.Errorf("reading ledger %s: %w", s.x.Ledger(), err))
			s.rest(news)
			return
		}
		before := s.x.Blocks()
		s.check(s.x.Read(&r))
		if s.stopped() {
			return
		}
		if there, ok := s.x.InArchive(&r); ok {
			s.follow(there, left-1, news)
			return
		}
		s.failed = ""
		read := s.x.Blocks() > before
		news = news || read
		if read && candid.NatFromUint64(s.x.Blocks()).Cmp(r.LogLength) < 0 {
			s.more(left-1, func(left int) { s.ask(left, true) })
			return
		}
		s.rest(news)
	})
}

// more goes on while calls and instructions are left, and with the next poll otherwise.
func (s *server) more(left int, on func(int)) {
	if left > 0 && s.c.ContextInstructions() < pollInstructions {
		on(left)
		return
	}
	s.next(0)
}

// rest ends a poll that read what there is, or failed.
func (s *server) rest(news bool) {
	if news {
		s.next(s.x.cfg.Min)
		return
	}
	s.next(min(max(2*s.wait, s.x.cfg.Min), s.x.cfg.Max))
}

// follow reads blocks from an archive, if it is one of the ledger's own list.
func (s *server) follow(a Archived, left int, news bool) {
	if s.archives[a.From.Principal] {
		s.fetch(a, left, news)
		return
	}
	cdk.Then(s.call(s.x.Ledger(), "icrc3_get_archives", icrc.GetArchivesArgs{}), func(list []icrc.ICRC3Archive, err error) {
		s.archives = map[principal.Principal]bool{}
		for _, l := range list[:min(len(list), maxArchives)] {
			s.archives[l.CanisterID] = true
		}
		if err == nil && !s.archives[a.From.Principal] {
			err = fmt.Errorf("ledger %s sends to %s for block %d, which is not among its archives", s.x.Ledger(), a.From.Principal, a.Start)
		}
		if err != nil {
			s.problem(fmt.Errorf("looking for archives: %w", err))
			s.rest(news)
			return
		}
		s.fetch(a, left-1, news)
	})
}

// fetch reads the next blocks from an archive, up to the end of its range.
func (s *server) fetch(a Archived, left int, news bool) {
	s.stored(a.From.Principal, a.End, news, func(r icrc.StoredBlocks) {
		s.fetched(a, left-storedCalls, news, func() error { return s.x.TakeStored(r.First, r.Blocks) }, nil)
	}, func() {
		args := []icrc.GetBlocksArgs{{Start: candid.NatFromUint64(a.Start), Length: candid.NatFromUint64(min(askBlocks, a.End-a.Start))}}
		cdk.Then(s.call(a.From.Principal, a.From.Method, args), func(r icrc.GetBlocksResult, err error) {
			s.fetched(a, left-1, news, func() error { return s.x.Take(r.Blocks) }, err)
		})
	})
}

// fetched goes on with an answer of an archive.
func (s *server) fetched(a Archived, left int, news bool, take func() error, err error) {
	if err == nil {
		s.check(take())
		if s.stopped() {
			return
		}
		if s.x.Blocks() == a.Start {
			err = fmt.Errorf("it has no block %d", a.Start)
		}
	}
	if err != nil {
		s.problem(fmt.Errorf("reading archive %s: %w", a.From.Principal, err))
		s.rest(news)
		return
	}
	s.failed = ""
	a.Start = s.x.Blocks()
	s.more(left, func(left int) {
		if a.Start < a.End {
			s.fetch(a, left, true)
			return
		}
		s.ask(left, true)
	})
}

func (s *server) call(to principal.Principal, method string, args ...any) *cdk.Call {
	return s.c.Call(to, method, args...).OnCleanup(func() { s.next(s.x.cfg.Max) })
}

func (s *server) problem(err error) {
	if text := err.Error(); text != s.failed {
		s.failed = text
		s.c.Print("%s; the index tries again", text)
	}
}

// stopped ends polling if the last blocks did not fit.
func (s *server) stopped() bool {
	why := s.x.Halted()
	if why != "" {
		s.c.Print("the index has stopped: %s", why)
		s.polling = false
	}
	return why != ""
}

// next ends a poll and sets the time of the next one.
func (s *server) next(seconds uint64) {
	s.polling, s.wait, s.due = false, seconds, s.c.Time()+seconds*uint64(time.Second)
	s.c.Cancel(s.timer)
	s.timer = s.c.After(time.Duration(seconds)*time.Second, s.poll)
}
