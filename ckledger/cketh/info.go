package cketh

import (
	"fmt"
	"strings"

	"fusion/cdk"
	"fusion/ckledger/cketh/core"
	"fusion/eth"
	"fusion/ic/candid"
	"fusion/ic/principal"
	"fusion/internal/metrics"
)

func principalOf(b []byte) principal.Principal { return principal.MustFromBytes(b) }

func text(a eth.Address) *string {
	if a == (eth.Address{}) {
		return nil
	}
	s := a.String()
	return &s
}

func natOf(n uint64) *candid.Nat {
	x := candid.NatFromUint64(n)
	return &x
}

func (m *minter) smartContractAddress(*cdk.Msg, cdk.None) string {
	if a := text(m.state.Config.Helpers[core.ScrapeEth]); a != nil {
		return *a
	}
	return "N/A"
}

func (m *minter) transactionPrice(_ *cdk.Msg, a *PriceArg) Price {
	gas := uint64(core.GasEther)
	if a != nil {
		if m.state.TokenOf(a.LedgerID.Bytes()) == nil {
			m.c.Trap("%v is not the ledger of a supported token", a.LedgerID)
		}
		gas = core.GasErc20
	}
	if m.feeAt == 0 {
		m.c.Trap("the fees of Ethereum are not known yet; try again in a minute")
	}
	at := m.feeAt
	return Price{GasLimit: *natOf(gas), MaxFeePerGas: nat(m.fee.MaxFeePerGas), MaxPriorityFeePerGas: nat(m.fee.MaxPriorityFeePerGas),
		MaxTransactionFee: nat(m.fee.Cost(gas)), Timestamp: &at}
}

func (m *minter) supported() []CkErc20Token {
	ts := []CkErc20Token{}
	for _, t := range m.state.Tokens() {
		ts = append(ts, CkErc20Token{t.Symbol, t.Asset.String(), principalOf(t.Ledger)})
	}
	return ts
}

func (m *minter) troubles() []Trouble {
	ts := []Trouble{}
	if h := m.halt(); h != nil {
		ts = append(ts, Trouble{Reason: "halted: " + h.Reason})
	}
	if m.problem != "" {
		ts = append(ts, Trouble{Reason: "the chain cannot be read now, the minter tries again: " + m.problem})
	}
	for _, a := range append([]core.Asset{core.Ether}, assets(m.state.Tokens())...) {
		if p := m.state.Paused(a); p != "" {
			ts = append(ts, Trouble{text(a), "paused: " + p})
		}
	}
	return ts
}

func (m *minter) getMinterInfo(*cdk.Msg, cdk.None) MinterInfo {
	c := m.state.Config
	least, tag, held := nat(c.WithdrawMin), tagOf(c.Height), nat(m.state.Book(core.Ether).Custody)
	tokens, balances, troubles := m.supported(), []Erc20Balance{}, m.troubles()
	for _, t := range m.state.Tokens() {
		balances = append(balances, Erc20Balance{t.Asset.String(), nat(m.state.Book(t.Asset).Custody)})
	}
	ledgerID, rpcID := principalOf(c.Ledger), principalOf(c.Rpc)
	every, round := c.Every/1e9, c.Pipeline/1e9
	i := MinterInfo{SmartContractAddress: text(c.Helpers[core.ScrapeEth]), EthHelperAddress: text(c.Helpers[core.ScrapeEth]), Erc20HelperAddress: text(c.Helpers[core.ScrapeErc20]),
		DepositHelperAddress: text(c.Helpers[core.ScrapeDeposit]), SupportedTokens: &tokens, MinimumWithdrawal: &least, BlockHeight: &tag, EthBalance: &held,
		Erc20Balances: &balances, LastEthScraped: natOf(m.state.Cursor(core.ScrapeEth)), LastErc20Scraped: natOf(m.state.Cursor(core.ScrapeErc20)),
		LastDepositHelperScraped: natOf(m.state.Cursor(core.ScrapeDeposit)), CkethLedgerID: &ledgerID, EvmRpcID: &rpcID, ChainID: natOf(c.ChainID),
		PersonalDeposits: &c.Personal, ScrapeSeconds: &every, PipelineSeconds: &round, Troubles: &troubles}
	if m.key != nil {
		i.MinterAddress = text(m.main)
	}
	if at := m.state.Observed(); !at.Hash.IsZero() {
		i.LastObservedBlock = natOf(at.Number)
	}
	if m.feeAt != 0 {
		i.LastGasFeeEstimate = &GasFeeEstimate{nat(m.fee.MaxFeePerGas), nat(m.fee.MaxPriorityFeePerGas), m.feeAt}
		n := nat(m.leastPersonal())
		i.LeastDeposit = &n
	}
	if len(c.Orchestrator) > 0 {
		p := principalOf(c.Orchestrator)
		i.OrchestratorID = &p
	}
	return i
}

func (m *minter) isAddressBlocked(_ *cdk.Msg, address string) bool {
	a, err := eth.ParseAddress(address)
	if err != nil {
		m.c.Trap("address %q: %v", address, err)
	}
	return m.state.Config.IsBlocked(a)
}

func (m *minter) getCanisterStatus(_ *cdk.Msg, _ cdk.None, out *cdk.Reply[cdk.CanisterStatus]) {
	m.c.CanisterStatus(m.c.Self(), func(s cdk.CanisterStatus, err error) {
		if err != nil {
			out.Reject("canister_status: %v", err)
			return
		}
		out.Send(s)
	})
}

func decodeLedgerMemo(_ *cdk.Msg, a DecodeLedgerMemoArgs) DecodeLedgerMemoResult {
	fail := func(text string) DecodeLedgerMemoResult {
		e := &DecodeLedgerMemoError{InvalidMemo: &text}
		return DecodeLedgerMemoResult{Err: &e}
	}
	if len(a.EncodedMemo) > core.MaxMemo {
		return fail(fmt.Sprintf("Memo longer than permitted length %d", core.MaxMemo))
	}
	d := &DecodedMemo{}
	if a.MemoType.Mint != nil {
		m, err := core.ParseMintMemo(a.EncodedMemo)
		if err != nil {
			return fail("Error decoding MintMemo: " + err.Error())
		}
		var x MintMemo
		switch {
		case m.Convert != nil:
			x.Convert = &MintConvert{m.Convert.From.String(), m.Convert.Source.Tx.String(), *natOf(m.Convert.Source.Index)}
		case m.ReimburseTx != nil:
			x.ReimburseTransaction = &ReimburseTransaction{m.ReimburseTx.ID, m.ReimburseTx.Tx.String()}
		default:
			x.ReimburseWithdrawal = &ReimburseWithdrawal{*m.ReimburseWithdrawal}
		}
		p := &x
		d.Mint = &p
		return DecodeLedgerMemoResult{Ok: &d}
	}
	m, err := core.ParseBurnMemo(a.EncodedMemo)
	if err != nil {
		return fail("Error decoding BurnMemo: " + err.Error())
	}
	var x BurnMemo
	switch {
	case m.Convert != nil:
		x.Convert = &BurnConvert{m.Convert.String()}
	case m.Gas != nil:
		x.Erc20GasFee = &Erc20GasFee{m.Gas.Symbol, nat(m.Gas.Amount), m.Gas.To.String()}
	default:
		x.Erc20Convert = &Erc20Convert{m.Token.ID, m.Token.To.String()}
	}
	p := &x
	d.Burn = &p
	return DecodeLedgerMemoResult{Ok: &d}
}

// The types of http_request.
type (
	httpQuery = metrics.Request
	// HTTPResponse is the answer; it is not certified.
	HTTPResponse = metrics.Response
)

// httpRequest serves /metrics in the text format of Prometheus, and /dashboard, a page of plain text for people.
func (m *minter) httpRequest(_ *cdk.Msg, q httpQuery) HTTPResponse {
	switch q.Path() {
	case "/metrics":
		return metrics.Answer(metrics.Prometheus, m.metrics())
	case "/", "/dashboard":
		var b strings.Builder
		m.dashboard(&b)
		return metrics.Answer(metrics.Plain, b.String())
	}
	return metrics.NotFound("/dashboard and /metrics are here")
}

func (m *minter) metrics() string {
	w := metrics.Writer{Prefix: "cketh_"}
	w.Flag("halted", "1 while nothing is minted or paid until an operator resumes.", m.halt() != nil)
	w.Gauge("observed_block", "Last final block that was seen.", m.state.Observed().Number)
	w.Gauge("events", "Events in the log.", m.state.Events())
	w.Gauge("open_deposits", "Deposits that are not minted yet.", m.state.OpenDeposits())
	w.Gauge("open_withdrawals", "Withdrawals that are neither paid nor minted back.", m.state.Open())
	w.Gauge("next_nonce", "Nonce of the next transaction.", m.state.Nonce())
	w.Gauge("rpc_calls", "Calls to the EVM-RPC canister since the last upgrade.", m.asked)
	left := m.state.Surplus()
	w.Gauge("surplus", "Held beyond the books when the minter was last resumed, in wei: of forgotten sweeps that nobody asked for yet, or given.", left.Dec())
	for _, row := range []struct {
		name, help string
		of         func(core.Book) core.Amount
	}{{"supply", "Issued, in smallest units.", func(b core.Book) core.Amount { return b.Supply }}, {"owed", "Burned, neither paid nor minted back.", func(b core.Book) core.Amount { return b.Owed }},
		{"custody", "Held on Ethereum, as the log knows.", func(b core.Book) core.Amount { return b.Custody }}} {
		var rows []metrics.Row
		for _, a := range append([]core.Asset{core.Ether}, assets(m.state.Tokens())...) {
			n := row.of(m.state.Book(a))
			rows = append(rows, metrics.Row{Labels: fmt.Sprintf("{token=%q}", m.state.Symbol(a)), Value: n.Dec()})
		}
		w.Rows("gauge", row.name, row.help, rows...)
	}
	return w.String()
}

func (m *minter) dashboard(b *strings.Builder) {
	c := m.state.Config
	fmt.Fprintf(b, "ckETH minter %v on chain %d\n\n", m.c.Self(), c.ChainID)
	if m.key != nil {
		fmt.Fprintf(b, "address            %v\n", m.main)
	}
	for i, name := range []string{"ETH helper", "ERC-20 helper", "deposit helper"} {
		if h := text(c.Helpers[i]); h != nil {
			fmt.Fprintf(b, "%-18s %s, logs read up to block %d\n", name, *h, m.state.Cursor(core.Scraper(i)))
		}
	}
	at := m.state.Observed()
	fmt.Fprintf(b, "last final block   %d %v\n", at.Number, at.Hash)
	if m.feeAt != 0 {
		fmt.Fprintf(b, "fee estimate       %s wei per gas\n", m.fee.MaxFeePerGas.Dec())
	}
	fmt.Fprintf(b, "events             %d\nnext nonce         %d\n\n", m.state.Events(), m.state.Nonce())
	for _, t := range m.troubles() {
		fmt.Fprintf(b, "TROUBLE: %s\n", t.Reason)
	}
	fmt.Fprintf(b, "%-12s %26s %26s %26s\n", "token", "supply", "owed", "custody")
	for _, a := range append([]core.Asset{core.Ether}, assets(m.state.Tokens())...) {
		x := m.state.Book(a)
		fmt.Fprintf(b, "%-12s %26s %26s %26s\n", m.state.Symbol(a), x.Supply.Dec(), x.Owed.Dec(), x.Custody.Dec())
	}
	fmt.Fprintf(b, "\ndeposits to be minted: %d\nwithdrawals open: %d, of them waiting for a transaction: %d\n", m.state.OpenDeposits(), m.state.Open(), m.state.Pending())
	for i, t := range m.state.Transfers() {
		if i == 50 {
			fmt.Fprintf(b, "...\n")
			break
		}
		v := t.Latest()
		fmt.Fprintf(b, "nonce %d of %v: version %d, %v\n", t.Nonce, t.From, len(t.Versions)-1, v.Hash)
	}
}
