package bench

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"fusion/cdk/stable"
	"fusion/ckledger/icrc"
	"fusion/ckledger/index"
	"fusion/ic/agent"
	"fusion/ic/candid"
	"fusion/ic/identity"
	"fusion/ic/principal"
	"fusion/testnets"
	"fusion/testnets/canisters"
)

const (
	// ledgerAccounts are those of the ledger whose memory is measured.
	ledgerAccounts = 1_000_000
	// ledgerReplayed are the blocks of its log that are replayed.
	ledgerReplayed = 200_000
	mebibyte       = 1 << 20
)

// ledgerUser is the owner of an account, with an id as long as those of users are.
func ledgerUser(i int) icrc.Account {
	id := make([]byte, principal.MaxLen)
	binary.BigEndian.PutUint64(id[4:], uint64(i)*0x9e3779b97f4a7c15) // spread over all keys
	id[len(id)-1] = 2
	return icrc.Account{Owner: principal.MustFromBytes(id)}
}

// mintTo makes a ledger whose blocks mint to one of so many accounts after the other, and returns the bytes of its stable memory.
func mintTo(ctx context.Context, blocks, accounts int) (*icrc.Ledger, uint64, error) {
	minter := icrc.Account{Owner: principal.MustFromBytes([]byte("minter"))}
	mem := &stable.Heap{}
	l, err := icrc.Create(mem, &icrc.InitArgs{MintingAccount: minter, TransferFee: candid.NatFromUint64(fee), TokenSymbol: "BENCH", TokenName: "benchmark"}, 1)
	if err != nil {
		return nil, 0, err
	}
	arg := icrc.TransferArg{Amount: candid.NatFromUint64(funds)}
	for i := range blocks {
		if i%10_000 == 0 && ctx.Err() != nil {
			return nil, 0, ctx.Err()
		}
		arg.To = ledgerUser(i % accounts)
		r, err := l.Transfer(uint64(i+2), minter.Owner, &arg)
		if err != nil {
			return nil, 0, err
		}
		if r.Ok == nil {
			return nil, 0, fmt.Errorf("%w: %+v", errRefused, *r.Err)
		}
	}
	return l, mem.Size() * stable.PageSize, nil
}

// indexOf makes an index of a ledger's first blocks, and returns the bytes of its stable memory.
func indexOf(ctx context.Context, l *icrc.Ledger) (*index.Index, uint64, error) {
	mem := &stable.Heap{}
	x, err := index.Create(mem, index.InitArg{LedgerID: principal.MustFromBytes([]byte("ledger"))})
	if err != nil {
		return nil, 0, err
	}
	for n := uint64(0); n < ledgerReplayed; n = x.Blocks() {
		if err := ctx.Err(); err != nil {
			return nil, 0, err
		}
		r := l.StoredBlocks(icrc.GetBlocksArgs{Start: candid.NatFromUint64(n), Length: candid.NatFromUint64(ledgerReplayed - n)})
		if err := x.ReadStored(&r); err != nil {
			return nil, 0, fmt.Errorf("replaying the log: %w", err)
		}
		if why := x.Halted(); why != "" {
			return nil, 0, fmt.Errorf("replaying the log: %s", why)
		}
	}
	return x, mem.Size() * stable.PageSize, nil
}

// ledgerState measures, without a network, what accounts and blocks of a ledger take in its stable memory, and how fast its books follow from its log.
func (s *suite) ledgerState(ctx context.Context) error {
	s.Progress.Begin("ledger")
	lean, few, err := mintTo(ctx, ledgerAccounts, 2)
	if err != nil {
		return err
	}
	l, many, err := mintTo(ctx, ledgerAccounts, ledgerAccounts)
	if err != nil {
		return err
	}
	raw, err := ledgerUser(0).AppendKey(nil)
	if err != nil {
		return err
	}
	raw = icrc.AmountOf(funds).AppendBytes(raw)
	s.add("ledger_mib_per_million_accounts", float64(many-few)/mebibyte/ledgerAccounts*1e6, "MiB", "keys and balances alone", float64(len(raw))*1e6/mebibyte)
	var bytes uint64
	for i := range uint64(ledgerReplayed) {
		bytes += uint64(len(l.RawBlock(i)))
	}
	s.add("ledger_mib_per_million_blocks", float64(few)/mebibyte/ledgerAccounts*1e6, "MiB", "blocks alone", float64(bytes)/ledgerReplayed*1e6/mebibyte)

	began := time.Now()
	if err := l.CheckChain(l.Blocks() - ledgerReplayed); err != nil {
		return err
	}
	check := ledgerReplayed / time.Since(began).Seconds()
	began = time.Now()
	x, manyIndexed, err := indexOf(ctx, l)
	took := time.Since(began)
	if err != nil {
		return err
	}
	_, fewIndexed, err := indexOf(ctx, lean)
	if err != nil {
		return err
	}
	s.add("index_mib_per_million_accounts", float64(manyIndexed-fewIndexed)/mebibyte/ledgerReplayed*1e6, "MiB", "keys and balances alone", float64(len(raw))*1e6/mebibyte)
	s.add("index_mib_per_million_blocks", float64(fewIndexed)/mebibyte/ledgerReplayed*1e6, "MiB", "blocks alone", float64(bytes)/ledgerReplayed*1e6/mebibyte)
	for i := range ledgerReplayed {
		got, err := x.BalanceOf(ledgerUser(i))
		if err != nil {
			return err
		}
		if got != icrc.AmountOf(funds) {
			return fmt.Errorf("replaying the log: account %d has %s", i, got)
		}
	}
	s.add("ledger_replay_blocks_per_s", ledgerReplayed/took.Seconds(), "blocks/s", "the hash chain alone, same run", check)
	return nil
}

// suiteLedger brings up a ledger with funded users that hands its blocks over to archives, and its index.
func (s *suite) suiteLedger(ctx context.Context, owners []identity.Identity) (c *client, ledger, idx principal.Principal, err error) {
	archive, err := testnets.LoadArchive()
	if err != nil {
		return nil, ledger, idx, err
	}
	module, err := canisters.Module("icrc1_index")
	if err != nil {
		return nil, ledger, idx, err
	}
	c, a, ledger, err := s.ledgerWith(ctx, owners, archive.Options, func(a *agent.Agent, id principal.Principal) error { return archive.Upload(ctx, a, id) })
	if err != nil {
		return nil, ledger, idx, err
	}
	if idx, err = install(ctx, a, module, index.Arg{Init: &index.InitArg{LedgerID: ledger}}, nil); err != nil {
		c.close()
		return nil, ledger, idx, fmt.Errorf("installing the index: %w", err)
	}
	return c, ledger, idx, nil
}

// suiteTransfers is the load of transfers, on a ledger alone and then on one with its index and archives.
func (s *suite) suiteTransfers(ctx context.Context) error {
	owners, err := makeUsers(users)
	if err != nil {
		return err
	}
	c, ledger, err := s.ledger(ctx, owners)
	if err != nil {
		return err
	}
	alone, _, err := s.transferLoad(ctx, c, ledger, owners, "ledger_alone")
	c.close()
	if err != nil {
		return err
	}
	c, ledger, idx, err := s.suiteLedger(ctx, owners)
	if err != nil {
		return err
	}
	defer c.close()
	rate, cpu, err := s.transferLoad(ctx, c, ledger, owners, "ledger_suite")
	if err != nil {
		return err
	}
	a, err := c.agent(0, agent.Options{})
	if err != nil {
		return err
	}
	var blocks icrc.GetBlocksResult
	if err := a.Ask(ctx, ledger, "icrc3_get_blocks", []any{[]icrc.GetBlocksArgs{{Length: candid.NatFromUint64(1 << 40)}}}, []any{&blocks}); err != nil {
		return err
	}
	var st index.Status
	if err := a.Ask(ctx, idx, "status", nil, []any{&st}); err != nil {
		return err
	}
	all, _ := blocks.LogLength.Uint64()
	synced, _ := st.NumBlocksSynced.Uint64()
	archived := uint64(0)
	for _, r := range blocks.ArchivedBlocks {
		for _, x := range r.Args {
			n, _ := x.Length.Uint64()
			archived += n
		}
	}
	if archived == 0 || synced == 0 || st.Halted != nil {
		return fmt.Errorf("of %d blocks %d are in archives and %d in the index: this is no suite", all, archived, synced)
	}
	s.add("icrc_suite_transfers_per_s", rate, "transfers/s", "a ledger alone, same run", alone)
	s.add("icrc_suite_transfer_cpu_ms", cpu, "CPU-ms", "", 0)
	s.add("icrc_suite_blocks_archived_percent", float64(archived)/float64(all)*100, "%", "", 0)
	s.add("icrc_suite_blocks_indexed_percent", float64(min(synced, all))/float64(all)*100, "%", "", 0)
	return nil
}
