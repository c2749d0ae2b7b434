package icrc

import (
	"fusion/cdk"
	"fusion/ckledger/consent"
	"fusion/ic/candid"
	"fusion/ic/hashtree"
	"fusion/internal/metrics"
)

// Canister is the ledger as a canister: the setup function for cdk.Main and cdk/native.
func Canister(c *cdk.Canister) { register(c, nil) }

func register(c *cdk.Canister, observe func(string)) {
	var l *Ledger
	var arch *archiver
	check := func(err error) {
		if err != nil {
			c.Trap("%v", err)
		}
	}
	certify := func() {
		root := l.Certified()
		c.SetCertifiedData(root[:])
		arch.look()
	}
	cdk.Init(c, func(arg LedgerArg) {
		if arg.Init == nil {
			c.Trap("a new ledger needs Init arguments")
		}
		var err error
		l, err = Create(c.Stable(), arg.Init, c.Time())
		check(err)
		arch = &archiver{c: c, l: l, observe: observe}
		certify()
	})
	cdk.PostUpgrade(c, func(arg *LedgerArg) {
		var err error
		l, err = Open(c.Stable())
		check(err)
		if arg != nil {
			if arg.Upgrade == nil {
				c.Trap("an upgrade needs Upgrade arguments, or none")
			}
			check(l.Upgrade(*arg.Upgrade))
		}
		arch = &archiver{c: c, l: l, observe: observe}
		certify()
	})

	type none = cdk.None
	cdk.Update(c, "icrc1_transfer", func(m *cdk.Msg, a TransferArg) TransferResult {
		r, err := l.Transfer(c.Time(), m.Caller(), &a)
		check(err)
		if r.Ok != nil {
			certify()
		}
		return r
	})
	cdk.Update(c, "icrc2_transfer_from", func(m *cdk.Msg, a TransferFromArgs) TransferFromResult {
		l.needICRC2(c)
		r, err := l.TransferFrom(c.Time(), m.Caller(), &a)
		check(err)
		if r.Ok != nil {
			certify()
		}
		return r
	})
	cdk.Update(c, "icrc2_approve", func(m *cdk.Msg, a ApproveArgs) ApproveResult {
		l.needICRC2(c)
		r, err := l.Approve(c.Time(), m.Caller(), &a)
		check(err)
		if r.Ok != nil {
			certify()
		}
		return r
	})
	cdk.Update(c, "icrc152_mint", func(m *cdk.Msg, a ICRC152MintArgs) ICRC152MintResult {
		r := l.AuthorizedMint(c.Time(), m.Caller(), c.IsController(m.Caller()), &a)
		if r.Ok != nil {
			certify()
		}
		return r
	})
	cdk.Update(c, "icrc152_burn", func(m *cdk.Msg, a ICRC152BurnArgs) ICRC152BurnResult {
		r := l.AuthorizedBurn(c.Time(), m.Caller(), c.IsController(m.Caller()), &a)
		if r.Ok != nil {
			certify()
		}
		return r
	})
	cdk.Update(c, "icrc21_canister_call_consent_message", func(m *cdk.Msg, a consent.Request) consent.Response {
		return l.Consent(m.Caller(), a)
	})

	cdk.Query(c, "icrc1_balance_of", func(_ *cdk.Msg, a Account) candid.Nat {
		b, err := l.BalanceOf(a)
		check(err)
		return b.Nat()
	})
	cdk.Query(c, "icrc1_total_supply", func(*cdk.Msg, none) candid.Nat { return l.Supply().Nat() })
	cdk.Query(c, "icrc1_fee", func(*cdk.Msg, none) candid.Nat { return l.cfg.Fee })
	cdk.Query(c, "icrc1_name", func(*cdk.Msg, none) string { return l.cfg.Name })
	cdk.Query(c, "icrc1_symbol", func(*cdk.Msg, none) string { return l.cfg.Symbol })
	cdk.Query(c, "icrc1_decimals", func(*cdk.Msg, none) uint8 { return l.cfg.Decimals })
	cdk.Query(c, "icrc1_metadata", func(*cdk.Msg, none) []MetadataEntry { return l.Metadata() })
	cdk.Query(c, "icrc1_minting_account", func(*cdk.Msg, none) *Account {
		a := l.Minting()
		return &a
	})
	cdk.Query(c, "icrc1_supported_standards", func(*cdk.Msg, none) []StandardRecord { return l.Standards() })
	cdk.Query(c, "icrc10_supported_standards", func(*cdk.Msg, none) []StandardRecord { return l.Standards() })
	cdk.Query(c, "icrc2_allowance", func(_ *cdk.Msg, a AllowanceArgs) Allowance {
		r, err := l.Allowance(c.Time(), a)
		check(err)
		return r
	})
	cdk.Query(c, "icrc103_get_allowances", func(m *cdk.Msg, a GetAllowancesArgs) GetAllowancesResult {
		return l.GetAllowances(c.Time(), m.Caller(), a)
	})
	cdk.Query(c, "icrc106_get_index_principal", func(*cdk.Msg, none) IndexPrincipalResult { return l.IndexPrincipal() })

	cdk.Query(c, "get_transactions", func(_ *cdk.Msg, a GetBlocksArgs) GetTransactionsResponse { return l.GetTransactions(a) })
	cdk.Query(c, "get_blocks", func(_ *cdk.Msg, a GetBlocksArgs) GetBlocksResponse {
		r := l.GetBlocks(a)
		if cert, ok := c.DataCertificate(); ok {
			r.Certificate = &cert
		}
		return r
	})
	cdk.Query(c, "get_data_certificate", func(*cdk.Msg, none) DataCertificate {
		d := DataCertificate{HashTree: hashtree.Encode(l.TipTree())}
		if cert, ok := c.DataCertificate(); ok {
			d.Certificate = &cert
		}
		return d
	})
	cdk.Query(c, "icrc3_get_tip_certificate", func(*cdk.Msg, none) *ICRC3DataCertificate {
		cert, ok := c.DataCertificate()
		if !ok || l.Blocks() == 0 {
			return nil
		}
		return &ICRC3DataCertificate{Certificate: cert, HashTree: hashtree.Encode(l.TipTree())}
	})
	cdk.Query(c, "get_stored_blocks", func(_ *cdk.Msg, a GetBlocksArgs) StoredBlocks { return l.StoredBlocks(a) })
	cdk.Query(c, "icrc3_get_blocks", func(_ *cdk.Msg, a []GetBlocksArgs) GetBlocksResult { return l.GetICRC3Blocks(a) })
	cdk.Query(c, "icrc3_supported_block_types", func(*cdk.Msg, none) []BlockType { return l.BlockTypes() })
	cdk.Query(c, "archives", func(*cdk.Msg, none) []ArchiveInfo { return l.Archives() })
	cdk.Query(c, "icrc3_get_archives", func(_ *cdk.Msg, a GetArchivesArgs) []ICRC3Archive { return l.ICRC3Archives(a) })
	cdk.Query(c, "http_request", func(_ *cdk.Msg, q metrics.Request) metrics.Response { return ServeMetrics(q, arch.metrics) })
	cdk.Query(c, "is_ledger_ready", func(*cdk.Msg, none) bool { return true })
}

func (l *Ledger) needICRC2(c *cdk.Canister) {
	if !l.cfg.Features.ICRC2 {
		c.Trap("ICRC-2 is not enabled on this ledger")
	}
}
