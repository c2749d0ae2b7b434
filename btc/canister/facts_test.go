package canister

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"fusion/btc"
	"fusion/btc/chain"
	"fusion/btc/utxo"
	"fusion/ic/candid"
	"fusion/ic/principal"
)

// Figures of the Internet Computer's Bitcoin integration that clients rely on.
const (
	factStability     = 144 // confirmations after which a block is final
	factEscapeLead    = 500 // testnets: a lead in blocks that is enough
	factEscapeBlocks  = 1500
	factPage          = 1000 // coins of an answer
	factToken         = 72   // bytes of a page token: tip 32, height 4, outpoint 36
	factPercentiles   = 101
	factFeeTxs        = 10_000
	factHeaders       = 100 // headers of an answer
	factHeaderSize    = 80
	factAnnounced     = 10 * time.Minute
	factSynced        = 2 // blocks that the state may be behind
	factPayloadBlocks = 100
)

// branch is a chain that a test mines.
type branch struct {
	t      testing.TB
	tip    btc.Header
	height uint32
	salt   byte
	gap    uint32 // seconds between blocks
	bits   uint32
}

func (c *branch) coinbase(outs ...btc.TxOut) *btc.Tx {
	script := append(binary.LittleEndian.AppendUint32([]byte{4}, c.height+1+1<<24), c.salt)
	if len(outs) == 0 {
		outs = []btc.TxOut{{Value: 1, Script: []byte{0x51}}}
	}
	return &btc.Tx{Version: 2, Inputs: []btc.TxIn{{Prev: btc.Outpoint{Vout: 0xffffffff}, ScriptSig: script}}, Outputs: outs}
}

// header commits to the transactions, with the work that it claims or without.
func (c *branch) header(solved bool, txs ...*btc.Tx) btc.Header {
	ids := make([]btc.Hash, len(txs))
	for i, tx := range txs {
		ids[i] = tx.Txid()
	}
	h := btc.Header{Version: 4, Prev: c.tip.Hash(), MerkleRoot: btc.MerkleRoot(ids), Time: c.tip.Time + 600, Bits: c.tip.Bits}
	if c.gap > 0 {
		h.Time = c.tip.Time + c.gap
	}
	if c.bits != 0 {
		h.Bits = c.bits
	}
	for id := h.Hash(); id[31] >= 0x7f == solved; id = h.Hash() {
		h.Nonce++
	}
	return h
}

func body(h btc.Header, txs ...*btc.Tx) []byte {
	raw := h.Bytes()
	out := append(raw[:], 0xfd, 0, 0)
	binary.LittleEndian.PutUint16(out[81:], uint16(len(txs)))
	if len(txs) < 0xfd {
		out = append(raw[:], byte(len(txs)))
	}
	for _, tx := range txs {
		out = append(out, tx.Bytes()...)
	}
	return out
}

// next adds a block: a coinbase with the outputs, and the transactions.
func (c *branch) next(outs []btc.TxOut, txs ...*btc.Tx) []byte {
	txs = append([]*btc.Tx{c.coinbase(outs...)}, txs...)
	h := c.header(true, txs...)
	c.tip, c.height = h, c.height+1
	return body(h, txs...)
}

func (b *bench) branch(salt byte) *branch {
	return &branch{t: b.t, tip: b.state.Params().Base[0], salt: salt}
}

func (b *bench) give(raw []byte) error {
	o := b.state.Apply(utxo.Items{Blocks: [][]byte{raw}}, b.now)
	return o[0].Err
}

func (b *bench) feed(c *branch, n int, outs ...btc.TxOut) {
	b.t.Helper()
	for range n {
		if err := b.give(c.next(outs)); err != nil {
			b.t.Fatal(err)
		}
	}
}

func (b *bench) set(r SetConfigRequest) {
	b.t.Helper()
	if r := b.raw(Call{Method: "set_config", Caller: controller}, r); r.Reject != nil {
		b.t.Fatal(r.Reject)
	}
}

func (b *bench) metrics() string {
	b.t.Helper()
	return string(ask[HTTPResponse](b, "http_request", true, HTTPRequest{Method: "GET", URL: "/metrics"}).Body)
}

func mustParams(t testing.TB, n btc.Network) chain.Params {
	t.Helper()
	p, err := chain.ParamsOf(n)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func cycles(n uint64) candid.Nat { return candid.NatFromUint64(n) }

// What the Bitcoin integration of the Internet Computer does, a case for each row of its description.
func TestIntegrationFacts(t *testing.T) {
	on, off := flagOf(true), flagOf(false)
	for name, run := range map[string]func(*testing.T){
		"api": func(t *testing.T) {
			b := newBench(t, Options{Strict: true})
			b.mine(1, address(t, 1), 1)
			a := address(t, 1).String()
			tx := (&btc.Tx{Version: 2, Inputs: []btc.TxIn{{}}, Outputs: []btc.TxOut{{Value: 1, Script: []byte{0x51}}}})
			tx.Inputs[0].Prev.Txid[0] = 1
			for _, m := range []struct {
				name  string
				query bool
				arg   []any
			}{
				{"bitcoin_get_utxos", false, []any{GetUTXOsRequest{regtest, a, nil}}}, {"bitcoin_get_balance", false, []any{GetBalanceRequest{regtest, a, nil}}},
				{"bitcoin_get_current_fee_percentiles", false, []any{NetworkRequest{regtest}}},
				{"bitcoin_get_block_headers", false, []any{GetBlockHeadersRequest{0, nil, regtest}}},
				{"bitcoin_send_transaction", false, []any{SendTransactionRequest{regtest, tx.Bytes()}}},
				{"bitcoin_get_utxos_query", true, []any{GetUTXOsRequest{regtest, a, nil}}}, {"bitcoin_get_balance_query", true, []any{GetBalanceRequest{regtest, a, nil}}},
				{"get_blockchain_info", true, nil}, {"get_config", true, nil}, {"get_blockchain_info", false, nil}, {"get_config", false, nil},
				{"http_request", true, []any{HTTPRequest{URL: "/metrics"}}},
			} {
				if r := b.raw(Call{Method: m.name, Caller: someone, Query: m.query}, m.arg...); r.Reject != nil {
					t.Errorf("%s (query %v): %v", m.name, m.query, r.Reject)
				}
			}
			b.refuse(CanisterReject, "replicated", Call{Method: "bitcoin_get_utxos_query"}, GetUTXOsRequest{regtest, a, nil})
			b.refuse(CanisterReject, "replicated", Call{Method: "bitcoin_get_balance_query"}, GetBalanceRequest{regtest, a, nil})
			b.refuse(CanisterReject, "controller", Call{Method: "set_config", Caller: someone}, SetConfigRequest{})
			cfg := ask[Config](b, "get_config", true)
			if cfg.Network.Regtest == nil || cfg.BlocksSource != principal.Management || !cfg.Syncing.on() || !cfg.APIAccess.on() || !cfg.DisableAPIIfNotFullySynced.on() ||
				cfg.BurnCycles.on() || cfg.WatchdogCanister != nil {
				t.Errorf("%+v", cfg)
			}
		},
		"networks": func(t *testing.T) {
			for n, genesis := range map[btc.Network]string{
				btc.Mainnet:  "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f",
				btc.Testnet4: "00000000da84f2bafbbc53dee25a72ae507ff4914b867c565be350b0da8bf043",
				btc.Signet:   "00000008819873e925422c1ff0f99f7cc9bbb232af63a077a480a3633bee1ef6",
				btc.Regtest:  "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206",
			} {
				b := newBenchOn(t, Options{}, mustParams(t, n), 0)
				name, err := NetworkOf(n)
				if err != nil {
					t.Fatal(err)
				}
				many := cycles(1e12)
				r := b.raw(Call{Method: "bitcoin_get_block_headers", Cycles: many}, GetBlockHeadersRequest{0, nil, name})
				var h GetBlockHeadersResponse
				if r.Reject != nil || candid.Unmarshal(r.Reply, &h) != nil || len(h.BlockHeaders) != 1 {
					t.Fatalf("%v: %+v", n, r)
				}
				first, err := btc.ParseHeader(h.BlockHeaders[0])
				if err != nil || first.Hash().String() != genesis {
					t.Errorf("%v begins with %v", n, first.Hash())
				}
				for _, other := range []Network{{Mainnet: candid.Unit}, {Testnet: candid.Unit}, {Regtest: candid.Unit}} {
					if other != name {
						b.refuse(CanisterError, "Network must be", Call{Method: "bitcoin_get_block_headers", Cycles: many}, GetBlockHeadersRequest{0, nil, other})
					}
				}
			}
		},
		"addresses": func(t *testing.T) {
			b := newBench(t, Options{Strict: true})
			var outs []btc.TxOut
			var texts []string
			for kind, size := range map[btc.AddressKind]int{btc.P2PKH: 20, btc.P2SH: 20, btc.P2WPKH: 20, btc.P2WSH: 32, btc.P2TR: 32} {
				a, err := btc.NewAddress(btc.Regtest, kind, bytes.Repeat([]byte{2}, size))
				if err != nil {
					t.Fatal(err)
				}
				outs, texts = append(outs, btc.TxOut{Value: 100 + btc.Satoshi(kind), Script: a.Script()}), append(texts, a.String())
			}
			c := b.branch(0)
			b.feed(c, 1, outs...)
			b.feed(c, 100)
			for i, a := range texts {
				if got := ask[uint64](b, "bitcoin_get_balance", false, GetBalanceRequest{regtest, a, nil}); got != uint64(outs[i].Value) {
					t.Errorf("%s: %d, want %d", a, got, outs[i].Value)
				}
				if got := ask[GetUTXOsResponse](b, "bitcoin_get_utxos", false, GetUTXOsRequest{regtest, a, nil}); len(got.UTXOs) != 1 || got.UTXOs[0].Value != uint64(outs[i].Value) {
					t.Errorf("%s: %+v", a, got)
				}
			}
			for _, bad := range []string{"", "x", texts[0] + "1"} {
				b.refuse(CanisterError, "bitcoin address", Call{Method: "bitcoin_get_balance"}, GetBalanceRequest{regtest, bad, nil})
				b.refuse(CanisterError, "bitcoin address", Call{Method: "bitcoin_get_utxos"}, GetUTXOsRequest{regtest, bad, nil})
			}
		},
		"stability": func(t *testing.T) {
			b := newBenchOn(t, Options{}, mustParams(t, btc.Regtest), 0)
			if got := ask[Config](b, "get_config", true).StabilityThreshold; got.Cmp(cycles(factStability)) != 0 {
				t.Errorf("the default is %v", got)
			}
			main, side := b.branch(0), b.branch(1)
			b.feed(main, factStability-1)
			if got := b.state.Anchor().Height; got != 0 {
				t.Errorf("%d blocks: block %d is final", factStability-1, got)
			}
			b.feed(side, 1) // a sibling that the main chain has to lead by the threshold
			b.feed(main, 1)
			if got := b.state.Anchor().Height; got != 0 {
				t.Errorf("a lead of %d: block %d is final", factStability-1, got)
			}
			b.feed(main, 1)
			if got := b.state.Anchor().Height; got != 2 || b.state.Info().UnstableHeaders != factStability-1 {
				t.Errorf("a lead of %d: block %d is final, %d are not", factStability, got, b.state.Info().UnstableHeaders)
			}
			for _, m := range []string{"stable_height 2", fmt.Sprintf("unstable_blocks_total %d", factStability-1), fmt.Sprintf("normalized_stability_threshold %d", factStability)} {
				if !strings.Contains(b.metrics(), "\n"+m+"\n") {
					t.Errorf("no %q", m)
				}
			}
		},
		"main chain": func(t *testing.T) {
			heavy, light := &chain.Node{Work: big.NewInt(9), Height: 1, Seq: 2}, &chain.Node{Work: big.NewInt(8), Height: 5, Seq: 1}
			long, short := &chain.Node{Work: big.NewInt(9), Height: 3, Seq: 3}, &chain.Node{Work: big.NewInt(9), Height: 2, Seq: 2}
			first, second := &chain.Node{Work: big.NewInt(9), Height: 2, Seq: 2}, &chain.Node{Work: big.NewInt(9), Height: 2, Seq: 3}
			for i, p := range [][2]*chain.Node{{heavy, light}, {long, short}, {first, second}} {
				if !p[0].Heavier(p[1]) || p[1].Heavier(p[0]) {
					t.Errorf("rule %d", i)
				}
			}
			b := newBench(t, Options{})
			one, two := b.branch(1), b.branch(2)
			tip := func() btc.Hash { return btc.Hash(ask[BlockchainInfo](b, "get_blockchain_info", true).BlockHash) }
			b.feed(one, 2)
			b.feed(two, 2)
			if tip() != one.tip.Hash() {
				t.Error("of two branches with the same work, the second one leads")
			}
			b.feed(two, 1)
			if tip() != two.tip.Hash() {
				t.Error("the branch with more work does not lead")
			}
		},
		"testnet escape": func(t *testing.T) {
			const stability = 6
			p := mustParams(t, btc.Regtest)
			p.Base = []btc.Header{{Version: 4, Time: 1_700_000_000, Bits: 0x1e00ffff}}
			p.BaseWork = chain.Work(p.Base[0].Bits)
			b := newBenchOn(t, Options{}, p, stability)
			want := 0 // the smallest lead above the interpolated bound
			for want <= factEscapeLead-(factEscapeLead-stability)*want/factEscapeBlocks {
				want++
			}
			c := b.branch(0)
			c.gap, c.bits = 1201, p.PowLimitBits
			b.feed(c, want-1)
			if b.state.Anchor().Height != 0 {
				t.Errorf("%d easy blocks: block %d is final", want-1, b.state.Anchor().Height)
			}
			b.feed(c, 1)
			if b.state.Anchor().Height == 0 {
				t.Errorf("%d easy blocks make nothing final", want)
			}
		},
		"min_confirmations": func(t *testing.T) {
			b := newBench(t, Options{})
			a := address(t, 1)
			c := b.branch(0)
			b.feed(c, 1, btc.TxOut{Value: 700, Script: a.Script()})
			old := btc.Outpoint{Txid: c.tip.MerkleRoot}
			b.feed(c, 99)
			spend := &btc.Tx{Version: 2, Inputs: []btc.TxIn{{Prev: old}}, Outputs: []btc.TxOut{{Value: 600, Script: a.Script()}}}
			if err := b.give(c.next(nil, spend)); err != nil {
				t.Fatal(err)
			}
			b.feed(c, 3) // the spending block has four confirmations
			for _, x := range []struct {
				min  uint32
				want uint64
			}{{0, 600}, {1, 600}, {4, 600}, {5, 700}} { // as of the block before, the old coin is there
				if got := ask[uint64](b, "bitcoin_get_balance", false, GetBalanceRequest{regtest, a.String(), &x.min}); got != x.want {
					t.Errorf("%d confirmations: %d, want %d", x.min, got, x.want)
				}
				r := ask[GetUTXOsResponse](b, "bitcoin_get_utxos", false, GetUTXOsRequest{regtest, a.String(), &Filter{MinConfirmations: &x.min}})
				if len(r.UTXOs) != 1 || r.UTXOs[0].Value != x.want || r.TipHeight != c.height-max(x.min, 1)+1 {
					t.Errorf("%d confirmations: %+v", x.min, r)
				}
			}
			if got := ask[uint64](b, "bitcoin_get_balance", false, GetBalanceRequest{regtest, a.String(), nil}); got != 600 {
				t.Errorf("without: %d", got)
			}
			over := b.state.Stability() + 1
			b.refuse(CanisterError, "min_confirmations is too large", Call{Method: "bitcoin_get_balance"}, GetBalanceRequest{regtest, a.String(), &over})
			b.refuse(CanisterError, "min_confirmations is too large", Call{Method: "bitcoin_get_utxos"}, GetUTXOsRequest{regtest, a.String(), &Filter{MinConfirmations: &over}})
		},
		"pagination": func(t *testing.T) {
			b := newBench(t, Options{})
			a := address(t, 1)
			c := b.branch(0)
			for range 3 {
				b.feed(c, 1, slices.Repeat([]btc.TxOut{{Value: 1, Script: a.Script()}}, 500)...)
			}
			b.feed(c, 102)
			first := ask[GetUTXOsResponse](b, "bitcoin_get_utxos", false, GetUTXOsRequest{regtest, a.String(), nil})
			if len(first.UTXOs) != factPage || first.NextPage == nil || len(*first.NextPage) != factToken {
				t.Fatalf("%d coins, next page %x", len(first.UTXOs), first.NextPage)
			}
			token := *first.NextPage
			if !bytes.Equal(token[:32], first.TipBlockHash) || binary.BigEndian.Uint32(token[32:]) != 1 {
				t.Errorf("token %x", token)
			}
			b.feed(c, 1) // the page stays that of its tip
			second := ask[GetUTXOsResponse](b, "bitcoin_get_utxos", false, GetUTXOsRequest{regtest, a.String(), &Filter{Page: &token}})
			if len(second.UTXOs) != 500 || second.NextPage != nil || !bytes.Equal(second.TipBlockHash, first.TipBlockHash) || second.TipHeight != 105 {
				t.Errorf("second page: %d coins at tip %d", len(second.UTXOs), second.TipHeight)
			}
			all := append(first.UTXOs, second.UTXOs...)
			if !slices.IsSortedFunc(all, func(x, y UTXO) int { return int(y.Height) - int(x.Height) }) {
				t.Error("not sorted by falling height")
			}
			seen := map[string]bool{}
			for _, u := range all {
				seen[fmt.Sprintf("%x:%d", u.Outpoint.Txid, u.Outpoint.Vout)] = true
			}
			if len(seen) != 1500 {
				t.Errorf("%d different coins", len(seen))
			}
			for _, bad := range [][]byte{nil, token[1:], append(slices.Clone(token), 0)} {
				b.refuse(CanisterError, "malformed page", Call{Method: "bitcoin_get_utxos"}, GetUTXOsRequest{regtest, a.String(), &Filter{Page: &bad}})
			}
			token[0]++
			b.refuse(CanisterError, "not on the main chain", Call{Method: "bitcoin_get_utxos"}, GetUTXOsRequest{regtest, a.String(), &Filter{Page: &token}})
		},
		"fee percentiles": factFeePercentiles,
		"block headers": func(t *testing.T) {
			b := newBench(t, Options{})
			c := b.branch(0)
			b.feed(c, 149)
			get := func(start uint32, end *uint32) GetBlockHeadersResponse {
				return ask[GetBlockHeadersResponse](b, "bitcoin_get_block_headers", false, GetBlockHeadersRequest{start, end, regtest})
			}
			at := func(h uint32) *uint32 { return &h }
			for _, x := range []struct {
				start uint32
				end   *uint32
				want  int
			}{{0, nil, factHeaders}, {0, at(149), factHeaders}, {50, nil, 100}, {51, nil, 99}, {149, nil, 1}, {7, at(7), 1}, {7, at(9), 3}} {
				r := get(x.start, x.end)
				if len(r.BlockHeaders) != x.want || r.TipHeight != 149 || len(r.BlockHeaders[0]) != factHeaderSize {
					t.Fatalf("from %d: %d headers, tip %d", x.start, len(r.BlockHeaders), r.TipHeight)
				}
				for i := 1; i < len(r.BlockHeaders); i++ {
					before, err := btc.ParseHeader(r.BlockHeaders[i-1])
					id := before.Hash()
					if err != nil || !bytes.Equal(r.BlockHeaders[i][4:36], id[:]) {
						t.Fatalf("from %d: header %d is not the child of the one before", x.start, i)
					}
				}
			}
			last := get(149, nil).BlockHeaders[0]
			if raw := c.tip.Bytes(); !bytes.Equal(last, raw[:]) {
				t.Error("the last header is not the tip's")
			}
			for _, x := range []struct {
				start uint32
				end   *uint32
				want  string
			}{{0, at(150), "end height 150, tip height 149"}, {150, nil, "start height 150, tip height 149"}, {9, at(8), "start height 9, end height 8"}} {
				b.refuse(CanisterError, x.want, Call{Method: "bitcoin_get_block_headers"}, GetBlockHeadersRequest{x.start, x.end, regtest})
			}
		},
		"send_transaction": func(t *testing.T) {
			b := newBench(t, Options{Strict: true})
			// Of a coin that nobody has: only the form counts.
			tx := (&btc.Tx{Version: 2, Inputs: []btc.TxIn{{Prev: btc.Outpoint{Txid: btc.Hash{1}}}}, Outputs: []btc.TxOut{{Value: 1, Script: []byte{0x51}}}}).Bytes()
			for range 2 {
				if r := b.raw(Call{Method: "bitcoin_send_transaction"}, SendTransactionRequest{regtest, tx}); r.Reject != nil {
					t.Fatal(r.Reject)
				}
			}
			if out := b.state.Outgoing(); len(out) != 1 || !bytes.Equal(out[0].Raw, tx) || out[0].ExpiresNs != b.now+uint64(factAnnounced) {
				t.Errorf("%+v", out)
			}
			for _, bad := range [][]byte{nil, tx[1:], append(slices.Clone(tx), 0)} {
				b.refuse(CanisterError, "malformed", Call{Method: "bitcoin_send_transaction"}, SendTransactionRequest{regtest, bad})
			}
			if m := b.metrics(); !strings.Contains(m, "\nsend_transaction_count 2\n") || !strings.Contains(m, "\noutgoing_transactions 1\n") {
				t.Errorf("metrics: %s", m)
			}
			b.state.Apply(utxo.Items{}, b.now+uint64(factAnnounced)-1)
			if len(b.state.Outgoing()) != 1 {
				t.Error("forgotten too early")
			}
			b.state.Apply(utxo.Items{}, b.now+uint64(factAnnounced))
			if len(b.state.Outgoing()) != 0 {
				t.Error("announced for ever")
			}
			// The counter survives a restart.
			var err error
			if b.c, err = New(Options{Local: true}, b.state, b.store); err != nil || !strings.Contains(b.metrics(), "\nsend_transaction_count 2\n") {
				t.Errorf("after a restart: %v", err)
			}
		},
		"sync loop": func(t *testing.T) {
			b := newBench(t, Options{})
			c := b.branch(0)
			b.feed(c, 9)
			r := b.state.Request() // anchor and processed hashes
			if r.Anchor != b.state.Anchor().Hash || r.AnchorHeight != 4 || len(r.Known) != 6 || len(r.Missing) != 0 {
				t.Errorf("%+v", r)
			}
			h := c.header(true, c.coinbase())
			raw := h.Bytes()
			b.state.Apply(utxo.Items{Headers: raw[:]}, b.now)
			if r := b.state.Request(); len(r.Missing) != 1 || r.Missing[0] != h.Hash() {
				t.Errorf("with a header ahead: %+v", r)
			}
			// Cycles are burnt, those of the canister and those of the call.
			fees := DefaultFees(btc.Mainnet)
			b.set(SetConfigRequest{Fees: &fees})
			call := Call{Method: "bitcoin_get_balance", Cycles: cycles(100e6), Balance: cycles(7)}
			if r := b.raw(call, GetBalanceRequest{regtest, address(t, 1).String(), nil}); r.Reject != nil || r.Burn {
				t.Errorf("burnt though it was not set: %+v", r)
			}
			b.set(SetConfigRequest{BurnCycles: &on})
			if r := b.raw(call, GetBalanceRequest{regtest, address(t, 1).String(), nil}); r.Reject != nil || !r.Burn {
				t.Errorf("not burnt: %+v", r)
			}
			if !strings.Contains(b.metrics(), "\ncycles_burnt 10000007\n") {
				t.Errorf("metrics: %s", b.metrics())
			}
		},
		"adapter limits": func(t *testing.T) {
			b := newBench(t, Options{})
			for what, it := range map[string]utxo.Items{
				"blocks": {Blocks: make([][]byte, factPayloadBlocks+1)}, "headers": {Headers: make([]byte, btc.HeaderSize*(utxo.MaxHeadersPerPayload+1))},
				"bytes": {Blocks: [][]byte{make([]byte, utxo.MaxBytesPerPayload+1)}},
			} {
				if err := b.state.CheckPayload(it); !errors.Is(err, utxo.ErrPayloadSize) {
					t.Errorf("%s: %v", what, err)
				}
			}
			c := b.branch(0)
			var it utxo.Items
			for range factPayloadBlocks + 10 {
				it.Blocks = append(it.Blocks, c.next(nil))
			}
			if got := b.state.Filter(it, b.now, 1<<20); len(got.Blocks) != factPayloadBlocks || b.state.CheckPayload(got) != nil {
				t.Errorf("%d blocks of an answer", len(got.Blocks))
			}
			if got := b.state.Filter(it, b.now, 3*len(it.Blocks[0])); len(got.Blocks) != 3 {
				t.Errorf("%d blocks where three fit", len(got.Blocks))
			}
		},
		"sync gating": func(t *testing.T) {
			b := newBench(t, Options{Strict: true})
			c := b.branch(0)
			b.feed(c, 2)
			a := address(t, 1).String()
			reads := map[string]any{"bitcoin_get_balance": GetBalanceRequest{regtest, a, nil}, "bitcoin_get_balance_query": GetBalanceRequest{regtest, a, nil},
				"bitcoin_get_utxos": GetUTXOsRequest{regtest, a, nil}, "bitcoin_get_utxos_query": GetUTXOsRequest{regtest, a, nil},
				"bitcoin_get_current_fee_percentiles": NetworkRequest{regtest}, "bitcoin_get_block_headers": GetBlockHeadersRequest{0, nil, regtest}}
			check := func(what string, open bool, refusal string) {
				t.Helper()
				for name, arg := range reads {
					r := b.raw(Call{Method: name, Query: strings.HasSuffix(name, "_query")}, arg)
					if open != (r.Reject == nil) || !open && r.Reject.Message != refusal {
						t.Errorf("%s: %s: %v", what, name, r.Reject)
					}
				}
			}
			for ahead := 1; ahead <= factSynced+1; ahead++ {
				c.next(nil)
				raw := c.tip.Bytes()
				b.state.Apply(utxo.Items{Headers: raw[:]}, b.now)
				check(fmt.Sprintf("%d headers ahead", ahead), ahead <= factSynced, "Canister state is not fully synced.")
			}
			tx := (&btc.Tx{Version: 2, Inputs: []btc.TxIn{{Prev: btc.Outpoint{Txid: btc.Hash{1}}}}, Outputs: []btc.TxOut{{Value: 1, Script: []byte{0x51}}}}).Bytes()
			if r := b.raw(Call{Method: "bitcoin_send_transaction"}, SendTransactionRequest{regtest, tx}); r.Reject != nil {
				t.Errorf("sending waits for blocks: %v", r.Reject)
			}
			b.set(SetConfigRequest{DisableAPIIfNotFullySynced: &off})
			check("gate off", true, "")
			b.set(SetConfigRequest{APIAccess: &off})
			check("no access", false, "Bitcoin API is disabled")
			b.refuse(CanisterError, "Bitcoin API is disabled", Call{Method: "bitcoin_send_transaction"}, SendTransactionRequest{regtest, tx})
			ask[Config](b, "get_config", true)
			ask[BlockchainInfo](b, "get_blockchain_info", true)
			if !strings.Contains(b.metrics(), `api_access{flag="disabled"} 1`) {
				t.Error("metrics do not show that the interface is closed")
			}
			b.set(SetConfigRequest{APIAccess: &on})
			check("access again", true, "")
			// A chain with less work than the release knows of is not the world's.
			p := mustParams(t, btc.Regtest)
			p.MinChainWork = new(big.Int).Add(p.BaseWork, chain.Work(p.PowLimitBits))
			thin := newBenchOn(t, Options{Strict: true}, p, 6)
			balance := GetBalanceRequest{regtest, a, nil}
			thin.refuse(CanisterError, "Canister state is not fully synced.", Call{Method: "bitcoin_get_balance"}, balance)
			thin.feed(thin.branch(0), 1)
			ask[uint64](thin, "bitcoin_get_balance", false, balance)
			if !b.c.Syncing() {
				t.Error("not syncing by default")
			}
			b.set(SetConfigRequest{Syncing: &off})
			if b.c.Syncing() {
				t.Error("syncing though it was turned off")
			}
		},
		"watchdog": func(t *testing.T) {
			b := newBench(t, Options{})
			dog := someone
			set := func(r SetConfigRequest) bool { return b.raw(Call{Method: "set_config", Caller: dog}, r).Reject == nil }
			if set(SetConfigRequest{APIAccess: &off}) {
				t.Error("a stranger may close the interface")
			}
			p, threshold, fees := &dog, cycles(6), DefaultFees(btc.Mainnet)
			b.set(SetConfigRequest{WatchdogCanister: &p})
			for what, r := range map[string]SetConfigRequest{"syncing": {Syncing: &off}, "fees": {Fees: &fees}, "gate": {DisableAPIIfNotFullySynced: &off}, "watchdog": {WatchdogCanister: &p},
				"burning": {BurnCycles: &on}, "laziness": {LazilyEvaluateFeePercentile: &off}, "threshold": {StabilityThreshold: &threshold}, "more": {APIAccess: &off, Syncing: &off}} {
				if set(r) {
					t.Errorf("the watchdog may set more than access: %s", what)
				}
			}
			for _, f := range []Flag{off, on} {
				if !set(SetConfigRequest{APIAccess: &f}) || ask[Config](b, "get_config", true).APIAccess.on() != f.on() {
					t.Errorf("the watchdog cannot set access to %v", f)
				}
			}
		},
		"validation": func(t *testing.T) {
			b := newBench(t, Options{})
			c := b.branch(0)
			a := address(t, 1)
			b.feed(c, 1, btc.TxOut{Value: 1000, Script: a.Script()})
			coin := btc.Outpoint{Txid: c.tip.MerkleRoot}
			b.feed(c, 100)
			cb := c.coinbase()
			spend := &btc.Tx{Version: 2, Inputs: []btc.TxIn{{Prev: coin}}, Outputs: []btc.TxOut{{Value: 900, Script: a.Script()}}}
			twice := &btc.Tx{Version: 2, Inputs: []btc.TxIn{{Prev: coin}}, Outputs: []btc.TxOut{{Value: 800, Script: a.Script()}}}
			more := &btc.Tx{Version: 2, Inputs: []btc.TxIn{{Prev: coin}}, Outputs: []btc.TxOut{{Value: 1001, Script: a.Script()}}}
			rich := c.coinbase(btc.TxOut{Value: 50*btc.Coin + 1, Script: a.Script()})
			old, hard := *c, *c
			old.tip.Time -= 600 * 7 // so that the next header's time is below the median; its parent stays
			hard.bits = 0x207ffffe
			stale := old.header(true, cb)
			stale.Prev = c.tip.Hash()
			for id := stale.Hash(); id[31] >= 0x7f; id = stale.Hash() {
				stale.Nonce++
			}
			odd := c.header(true, cb, spend, twice)
			for _, x := range []struct {
				what string
				raw  []byte
				want error
			}{
				{"no work", body(c.header(false, cb), cb), chain.ErrProofOfWork},
				{"another difficulty", body(hard.header(true, cb), cb), chain.ErrTarget},
				{"below the median time", body(stale, cb), chain.ErrTimeTooOld},
				{"another merkle root", body(c.header(true, spend), cb), btc.ErrBlockMerkleRoot},
				{"a duplicated transaction", body(odd, cb, spend, twice, twice), btc.ErrBlockMutated},
				{"no coinbase", body(c.header(true, spend), spend), btc.ErrBlockMutated},
				{"two coinbases", body(c.header(true, cb, cb), cb, cb), btc.ErrBlockMutated},
				{"an output spent twice", body(odd, cb, spend, twice), utxo.ErrInvalidBlock},
				{"money from nothing", body(c.header(true, cb, more), cb, more), utxo.ErrInvalidBlock},
				{"too great a coinbase", body(c.header(true, rich), rich), utxo.ErrInvalidBlock},
			} {
				if err := b.give(x.raw); !errors.Is(err, x.want) {
					t.Errorf("%s: %v, want %v", x.what, err, x.want)
				}
			}
			// Scripts are not verified: this spend has no signature.
			if err := b.give(c.next(nil, spend)); err != nil {
				t.Errorf("a spend without a signature: %v", err)
			}
		},
		"storage": func(t *testing.T) {
			b := newBench(t, Options{})
			c := b.branch(0)
			var outs []btc.TxOut
			for _, size := range []int{25, 26, 201, 202, 9_999} { // the sizes at which the original changes stores
				outs = append(outs, btc.TxOut{Value: 5, Script: bytes.Repeat([]byte{0x51}, size)})
			}
			b.feed(c, 1, outs...)
			made := c.tip.MerkleRoot
			b.feed(c, 5) // final now
			if info := ask[BlockchainInfo](b, "get_blockchain_info", true); b.state.Anchor().Height != 1 || info.UTXOsLength != uint64(len(outs)) {
				t.Fatalf("%d coins of block %d", info.UTXOsLength, b.state.Anchor().Height)
			}
			b.feed(c, 95)
			spend := &btc.Tx{Version: 2, Outputs: []btc.TxOut{{Value: 25, Script: address(t, 1).Script()}}}
			for i := range outs {
				spend.Inputs = append(spend.Inputs, btc.TxIn{Prev: btc.Outpoint{Txid: made, Vout: uint32(i)}})
			}
			before := b.state.SetHash()
			again, err := utxo.Open(utxo.Options{Params: mustParams(t, btc.Regtest), Stability: 6}, b.coins)
			if err != nil || again.SetHash() != before {
				t.Errorf("reopened: %v", err)
			}
			if err := b.give(c.next(nil, spend)); err != nil {
				t.Errorf("spending them: %v", err)
			}
		},
		"pricing": factPricing,
	} {
		t.Run(name, run)
	}
}

func factFeePercentiles(t *testing.T) {
	on, off := flagOf(true), flagOf(false)
	b := newBenchOn(t, Options{}, mustParams(t, btc.Regtest), factStability)
	script := address(t, 1).Script()
	c := b.branch(0)
	get := func() []uint64 {
		return ask[[]uint64](b, "bitcoin_get_current_fee_percentiles", false, NetworkRequest{regtest})
	}
	const value, older = 10_000, 100
	b.feed(c, 1, slices.Repeat([]btc.TxOut{{Value: value, Script: script}}, factFeeTxs+older)...)
	made := c.tip.MerkleRoot
	b.feed(c, 99)
	if got := get(); len(got) != 0 {
		t.Errorf("without transactions: %v", got)
	}
	spend := func(i int, fee btc.Satoshi) *btc.Tx {
		return &btc.Tx{Version: 2, Inputs: []btc.TxIn{{Prev: btc.Outpoint{Txid: made, Vout: uint32(i)}}}, Outputs: []btc.TxOut{{Value: value - fee, Script: script}}}
	}
	var txs []*btc.Tx
	for i := range older {
		txs = append(txs, spend(factFeeTxs+i, value-1))
	}
	if err := b.give(c.next(nil, txs...)); err != nil {
		t.Fatal(err)
	}
	size := btc.Satoshi(len(txs[0].Bytes())) // no witness, so these are virtual bytes
	if got := get(); len(got) != factPercentiles || got[50] != uint64((value-1)*1000/size) {
		t.Fatalf("%v", got)
	}
	txs = txs[:0]
	for i := range factFeeTxs {
		txs = append(txs, spend(i, size*btc.Satoshi(i/100)))
	}
	if err := b.give(c.next(nil, txs...)); err != nil {
		t.Fatal(err)
	}
	got := get()
	if len(got) != factPercentiles {
		t.Fatalf("%d values", len(got))
	}
	for p, rate := range got { // nearest rank: 100 transactions at each of 0, 1, … 99 satoshi per byte, and none of the older ones
		if want := uint64(max(p-1, 0)) * 1000; rate != want {
			t.Errorf("percentile %d is %d, want %d", p, rate, want)
		}
	}
	// They are ranked once for each tip.
	b.c.rates.ranked[50] = 12345
	if got := get(); got[50] != 12345 {
		t.Error("ranked again for the same tip")
	}
	b.feed(c, 1)
	b.c.Applied()
	if b.c.rates.tip == c.tip.Hash() {
		t.Error("evaluated before anybody asked, though lazily is set")
	}
	if got := get(); got[50] != 49_000 || b.c.rates.tip != c.tip.Hash() {
		t.Error("not ranked again for a new tip")
	}
	b.set(SetConfigRequest{LazilyEvaluateFeePercentile: &off})
	b.feed(c, 1)
	b.c.Applied()
	if b.c.rates.tip != c.tip.Hash() || b.c.rates.ranked[50] != 49_000 {
		t.Error("not evaluated with the block, though lazily is not set")
	}
	b.set(SetConfigRequest{LazilyEvaluateFeePercentile: &on})
}

func factPricing(t *testing.T) {
	type price struct{ base, maximum uint64 }
	for _, n := range []struct {
		network                       btc.Network
		utxos, balance, rates, header price
		perItem                       uint64
		send, sendByte                uint64
	}{
		{btc.Mainnet, price{50e6, 10e9}, price{10e6, 100e6}, price{10e6, 100e6}, price{50e6, 10e9}, instructionsPerItem, 5e9, 20e6},
		{btc.Testnet4, price{20e6, 4e9}, price{4e6, 40e6}, price{4e6, 40e6}, price{20e6, 4e9}, instructionsPerItem * 4 / 10, 2e9, 8e6},
		{btc.Regtest, price{}, price{}, price{}, price{}, 0, 0, 0},
	} {
		fees := DefaultFees(n.network)
		b := newBench(t, Options{Fees: &fees})
		c := b.branch(0)
		b.feed(c, 1, slices.Repeat([]btc.TxOut{{Value: 1, Script: address(t, 1).Script()}}, 3)...)
		b.feed(c, 100)
		a := address(t, 1).String()
		tx := (&btc.Tx{Version: 2, Inputs: []btc.TxIn{{Prev: btc.Outpoint{Txid: btc.Hash{1}}}}, Outputs: []btc.TxOut{{Value: 1, Script: []byte{0x51}}}}).Bytes()
		send := n.send + n.sendByte*uint64(len(tx))
		end := uint32(1)
		for _, x := range []struct {
			method   string
			arg, bad any
			p        price
			used     uint64
		}{
			{"bitcoin_get_utxos", GetUTXOsRequest{regtest, a, nil}, GetUTXOsRequest{regtest, "x", nil}, n.utxos, n.utxos.base + 3*n.perItem},
			{"bitcoin_get_balance", GetBalanceRequest{regtest, a, nil}, GetBalanceRequest{regtest, "x", nil}, n.balance, n.balance.base},
			{"bitcoin_get_current_fee_percentiles", NetworkRequest{regtest}, nil, n.rates, n.rates.base},
			{"bitcoin_get_block_headers", GetBlockHeadersRequest{0, &end, regtest}, GetBlockHeadersRequest{5000, nil, regtest}, n.header, n.header.base + 2*n.perItem},
			{"bitcoin_send_transaction", SendTransactionRequest{regtest, tx}, SendTransactionRequest{regtest, make([]byte, len(tx))}, price{send, send}, send},
		} {
			r := b.raw(Call{Method: x.method, Cycles: cycles(x.p.maximum)}, x.arg)
			if r.Reject != nil || r.CyclesUsed.Cmp(cycles(x.used)) != 0 {
				t.Errorf("%v: %s used %v, want %d: %v", n.network, x.method, r.CyclesUsed, x.used, r.Reject)
			}
			if x.bad != nil { // what was looked into and refused costs the base
				if r := b.raw(Call{Method: x.method, Cycles: cycles(x.p.maximum)}, x.bad); r.Reject == nil || r.CyclesUsed.Cmp(cycles(x.p.base)) != 0 {
					t.Errorf("%v: %s refused used %v, want %d", n.network, x.method, r.CyclesUsed, x.p.base)
				}
			}
			if x.p.maximum == 0 {
				continue
			}
			r = b.raw(Call{Method: x.method, Cycles: cycles(x.p.maximum - 1)}, x.arg)
			want := fmt.Sprintf("Received %d cycles. %d cycles are required.", x.p.maximum-1, x.p.maximum)
			if r.Reject == nil || r.Reject.Message != want || !r.CyclesUsed.IsZero() {
				t.Errorf("%v: %s with too little: %+v", n.network, x.method, r)
			}
		}
		// Queries are free.
		if r := b.raw(Call{Method: "bitcoin_get_balance_query", Query: true}, GetBalanceRequest{regtest, a, nil}); r.Reject != nil || !r.CyclesUsed.IsZero() {
			t.Errorf("%v: a query used %v: %v", n.network, r.CyclesUsed, r.Reject)
		}
	}
	// An answer never costs more than the maximum.
	fees := DefaultFees(btc.Mainnet)
	fees.GetUTXOsMaximum = cycles(50e6 + 15_000)
	b := newBench(t, Options{Fees: &fees})
	c := b.branch(0)
	b.feed(c, 1, slices.Repeat([]btc.TxOut{{Value: 1, Script: address(t, 1).Script()}}, 3)...)
	b.feed(c, 100)
	r := b.raw(Call{Method: "bitcoin_get_utxos", Cycles: cycles(1e12)}, GetUTXOsRequest{regtest, address(t, 1).String(), nil})
	if r.CyclesUsed.Cmp(fees.GetUTXOsMaximum) != 0 {
		t.Errorf("used %v, at most %v", r.CyclesUsed, fees.GetUTXOsMaximum)
	}
}
