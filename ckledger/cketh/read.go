package cketh

import (
	"errors"
	"fmt"

	"fusion/ckledger/cketh/core"
	"fusion/eth"
)

// reader reads the logs of the helper contracts. It is on the heap: a new instance begins at the cursors.
type reader struct {
	running bool
	at      uint64 // when to read again
	calls   int    // of this round
	time    uint64 // of the last final block, in seconds since 1970; 0 before one is read
	span    [core.Scrapers]uint64
	rounds  uint64
	behind  int // rounds in a row whose last final block lay below one that was seen before
}

// maxReads is how many ranges one round reads, so that the canister can be stopped while it catches up.
const maxReads = 50

// maxBehind is how many rounds providers may lag before the minter waits for them: they may also follow a chain that was reorganised beyond finality and is shorter
// yet. When it is long enough, it shows another block than the one that was final, and the minter halts.
const maxBehind = 3

// lags reports whether what is final by now is not known.
func (r *reader) lags() bool { return r.behind >= maxBehind }

// checkEvery is how many rounds pass between two looks at what the chain holds for us.
const checkEvery = 10

// read begins a round if it is time: look at the last final block, make sure that the one seen before is still below it, then read logs up to it.
func (m *minter) read(now uint64) {
	r := &m.reader
	if r.running || now < r.at || m.state.Halt() != nil && !m.state.Stale() { // after a recovery it reads, for the comparison
		return
	}
	r.running, r.calls = true, 0
	m.block(m.tag(), m.stopReading, func(b core.Block, what rpcBlock, err error) {
		old := m.state.Observed()
		if err == nil {
			if r.behind++; b.Number >= old.Number || old.Hash.IsZero() {
				r.behind = 0
				r.time, err = small(what.Timestamp)
			}
		}
		switch {
		case err != nil:
			m.endRound(fmt.Errorf("look at the chain: %w", err))
		case r.lags():
			m.endRound(fmt.Errorf("the last final block is %d, and %d was final before: providers lag, or the chain was reorganised beyond finality; nothing is minted or signed meanwhile",
				b.Number, old.Number))
		case r.behind > 0:
			m.endRound(nil) // a provider that lags: what was final stays final
		case old.Hash.IsZero():
			m.emit(core.Event{Observed: &b})
			m.scrape(0)
		case b.Number == old.Number:
			m.compare(b, b, old)
		default:
			m.block(number(old.Number), m.stopReading, func(again core.Block, _ rpcBlock, err error) {
				if err != nil {
					m.endRound(fmt.Errorf("look at block %d again: %w", old.Number, err))
					return
				}
				m.compare(b, again, old)
			})
		}
	})
}

// compare halts the minter if a final block is not what it was.
func (m *minter) compare(tip, again, old core.Block) {
	if again.Hash != old.Hash {
		m.emit(core.Event{Halted: &core.Halt{Number: old.Number, Want: old.Hash, Got: again.Hash,
			Reason: fmt.Sprintf("block %d was final as %v and is now %v: the chain was reorganised beyond finality", old.Number, old.Hash, again.Hash)}})
		m.c.Print("halted: %s", m.state.Halt().Reason)
		m.endRound(nil)
		return
	}
	if tip.Number > old.Number {
		m.emit(core.Event{Observed: &tip})
	}
	m.scrape(0)
}

func (m *minter) stopReading() { m.reader.running = false }

// endRound ends a round; a failed one is repeated a little later.
func (m *minter) endRound(err error) {
	r := &m.reader
	r.running = false
	r.at = m.c.Time() + m.state.Config.Every
	m.problem = ""
	if err != nil {
		m.problem = err.Error()
		m.c.Print("%v", err)
		r.at = m.c.Time() + min(m.state.Config.Every, uint64(30e9))
		return
	}
	m.work()
}

// scrape reads the next range of the contract k, or goes on to the next contract.
func (m *minter) scrape(k core.Scraper) {
	r := &m.reader
	for ; int(k) < core.Scrapers; k++ {
		from, to, ok := m.state.Range(k, m.state.Observed().Number)
		if !ok {
			continue
		}
		if k == core.ScrapeErc20 && len(m.state.Tokens()) == 0 {
			m.emit(core.Event{Synced: &core.Progress{Scraper: k, Block: m.state.Observed().Number}})
			continue
		}
		if r.calls++; r.calls > maxReads {
			r.at, r.running = m.c.Time(), false // the next tick goes on
			return
		}
		if span := r.span[k]; span > 0 {
			to = min(to, from+span-1)
		}
		m.logs(k, from, to)
		return
	}
	r.rounds++
	if r.rounds%checkEvery == 1 && m.key != nil {
		m.solvency(append([]core.Asset{core.Ether}, assets(m.state.Tokens())...))
		return
	}
	m.endRound(nil)
}

func assets(ts []*core.Token) (as []core.Asset) {
	for _, t := range ts {
		as = append(as, t.Asset)
	}
	return as
}

// logs reads one range.
func (m *minter) logs(k core.Scraper, from, to uint64) {
	topics := [][]string{{core.Topics[k].String()}}
	if k != core.ScrapeEth {
		var tokens []string
		if k == core.ScrapeDeposit {
			tokens = append(tokens, eth.Hash{}.String())
		}
		for _, t := range m.state.Tokens() {
			tokens = append(tokens, eth.Hash(eth.WordAddress(t.Asset)).String())
		}
		topics = append(topics, tokens)
	}
	first, last := number(from), number(to)
	helper := m.state.Config.Helpers[k]
	args := logsArgs{FromBlock: &first, ToBlock: &last, Addresses: []string{helper.String()}, Topics: &topics}
	ask(m, "eth_getLogs", agreed[[]rpcLog], m.stopReading, func(ls []rpcLog, err error) {
		r := &m.reader
		switch {
		case errors.Is(err, errTooLarge) && from < to:
			r.span[k] = (to - from + 1) / 2
			m.scrape(k)
			return
		case errors.Is(err, errTooLarge):
			m.emit(core.Event{Skipped: &core.Progress{Scraper: k, Block: from}})
			m.c.Print("the logs of %v in block %d are too large and were skipped: recheck the transactions of deposits in it", helper, from)
			r.span[k] = 0
			m.scrape(k)
			return
		}
		var found []core.Log
		for i := 0; err == nil && i < len(ls); i++ {
			var l core.Log
			if l, err = ls[i].log(); err == nil && (l.Block < from || l.Block > to) {
				err = fmt.Errorf("a log of block %d", l.Block)
			}
			found = append(found, l)
		}
		if err == nil && m.state.Config.Helpers[k] != helper {
			err = errors.New("the contract changed meanwhile")
		}
		if err != nil {
			m.endRound(fmt.Errorf("logs of %v in blocks %d to %d: %w", helper, from, to, err))
			return
		}
		for _, l := range found {
			m.take(k, l)
		}
		if m.state.Cursor(k) < to {
			m.emit(core.Event{Synced: &core.Progress{Scraper: k, Block: to}})
		}
		if r.span[k] > 0 {
			r.span[k] *= 2
		}
		m.scrape(k)
	}, args)
}

// take writes what a log says into our log, if it is new. It reports whether it was.
func (m *minter) take(k core.Scraper, l core.Log) bool {
	e := m.state.Read(k, l)
	if e == nil {
		return false
	}
	m.emit(*e)
	if e.Invalid != nil {
		m.c.Print("deposit %v is invalid: %s", l.Source, e.Invalid.Reason)
	}
	return true
}

// solvency compares what the chain holds with what the ledgers issued, asset by asset. Every burn precedes its payment and every deposit its mint, so at any
// block at which all logs were read the chain holds at least the supply.
func (m *minter) solvency(left []core.Asset) {
	if len(left) == 0 {
		m.endRound(nil)
		return
	}
	a, at := left[0], m.state.Observed().Number
	supply := m.state.Book(a).Supply
	check := func(held core.Amount, err error) {
		switch {
		case err != nil:
			m.c.Print("what the chain holds of %s: %v", m.state.Symbol(a), err)
		case held.Lt(&supply) && m.state.Paused(a) == "":
			why := fmt.Sprintf("%s of %s are issued, but the minter's address holds %s in block %d", supply.Dec(), m.state.Symbol(a), held.Dec(), at)
			m.emit(core.Event{Paused: &core.PauseAsset{Asset: a, Reason: why}})
			m.c.Print("paused: %s", why)
		}
		m.solvency(left[1:])
	}
	if a == core.Ether {
		m.ether(m.main, at, m.stopReading, check)
		return
	}
	m.tokens(a, m.main, at, m.stopReading, check)
}

// verify reads the receipt of an ERC-20 deposit.
func (m *minter) verify(t core.Task) {
	if m.key == nil {
		return
	}
	m.tasks.Start(t)
	m.receipt(t.Source.Tx, func() { m.tasks.Stop(t) }, func(r *receipt, err error) {
		d := m.state.Deposit(t.Source)
		if d.State != core.DepositSeen {
			m.tasks.Settle(t, true, m.c.Time())
			return
		}
		if err == nil && (r == nil || r.Block.Number != d.Block) {
			err = errors.New("no receipt of that block")
		}
		m.tasks.Settle(t, err == nil, m.c.Time())
		if err != nil {
			m.c.Print("verify deposit %v: %v", t.Source, err)
			return
		}
		if !r.Success {
			m.emit(core.Event{Invalid: &core.Refusal{Claim: d.Claim, Reason: "its transaction failed"}})
			return
		}
		m.emit(m.state.Verify(t.Source, m.main, r.logs))
		m.work()
	})
}

// mint asks a ledger to mint a deposit, or to say again what became of it.
func (m *minter) mint(t core.Task) {
	d := m.state.Deposit(t.Source)
	first := d.State == core.DepositWaiting
	if first {
		m.emit(core.Event{MintAsked: &core.MintAsked{Source: t.Source, CreatedAt: m.state.Stamp(m.c.Time())}})
	}
	memo, at := d.MintMemoOf(), d.MintAt
	arg := transferArg{To: accountOf(d.To), Amount: nat(d.Value), Memo: &memo, CreatedAtTime: &at}
	m.transfer(t, d.Asset, "icrc1_transfer", arg, nil, func(o outcome) {
		switch {
		case o.Verdict == done:
			m.emit(core.Event{Minted: &core.Minted{Source: t.Source, Block: o.Block}})
		case o.Verdict == neverMoved || o.Verdict == notMoved && first:
			m.emit(core.Event{MintRefused: &t.Source})
			m.c.Print("mint of deposit %v refused: %s", t.Source, o.Text)
		case o.Verdict == tooOld:
			m.emit(core.Event{MintUnknown: &t.Source})
			m.c.Print("mint of deposit %v has an unknown outcome: the ledger's blocks will tell", t.Source)
		default:
			m.c.Print("mint of deposit %v is open: %s", t.Source, o.Text)
		}
	})
}
