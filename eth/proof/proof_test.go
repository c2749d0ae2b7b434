package proof

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/big"
	"math/rand/v2"
	"os"
	"reflect"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/consensus"
	"github.com/ethereum/go-ethereum/consensus/beacon"
	"github.com/ethereum/go-ethereum/consensus/ethash"
	"github.com/ethereum/go-ethereum/core"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethdb"
	"github.com/ethereum/go-ethereum/params"
	"github.com/ethereum/go-ethereum/trie"
	"github.com/ethereum/go-ethereum/triedb"
	"github.com/holiman/uint256"

	"fusion/eth"
	"fusion/eth/rpc"
)

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// TestMainnet has a real header (Cancun) and a real proof of a slot of the deposit contract, as nodes of others gave them.
func TestMainnet(t *testing.T) {
	b := must(rpc.ParseBlock(must(os.ReadFile("testdata/mainnet-21925176.json"))(t)))(t)
	if err := Header(b); err != nil {
		t.Fatal(err)
	}
	p := must(rpc.ParseProof(must(os.ReadFile("testdata/beacon-deposit-slot-1.json"))(t)))(t)
	if err := slot(p.StorageHash, &p.Storage[0]); err != nil {
		t.Error(err)
	}
	p.Storage[0].Value.AddUint64(&p.Storage[0].Value, 1)
	if err := slot(p.StorageHash, &p.Storage[0]); err == nil {
		t.Error("another value is proven")
	}
}

// TestRecorded checks what a real geth answered, and computes what the roots do not cover.
func TestRecorded(t *testing.T) {
	read := func(name string) []byte {
		return must(rpc.ParseResponse(must(os.ReadFile("../rpc/testdata/"+name+".json"))(t), 7))(t)
	}
	b := must(rpc.ParseBlock(read("block")))(t)
	receipts, _, err := rpc.ParseReceipts(read("receipts"))
	if err != nil {
		t.Fatal(err)
	}
	logs := must(rpc.ParseLogs(read("logs")))(t)
	if len(receipts) == 0 || len(logs) == 0 {
		t.Fatal("the recorded block is empty")
	}
	for _, err := range []error{Header(b), Receipts(b, receipts)} {
		if err != nil {
			t.Error(err)
		}
	}
	txs := must(Transactions(b, read("whole")))(t)
	for i := range receipts {
		if got := must(Receipt(b, txs, receipts, i))(t); !bytes.Equal(rpc.EncodeReceipt(&got), rpc.EncodeReceipt(&receipts[i])) {
			t.Errorf("receipt %d is computed as\n%s, geth says\n%s", i, rpc.EncodeReceipt(&got), rpc.EncodeReceipt(&receipts[i]))
		}
	}
	found := must(Logs(b, txs, receipts, &rpc.Filter{Addresses: []eth.Address{logs[0].Address}}))(t)
	if !bytes.Equal(rpc.EncodeLogs(found), rpc.EncodeLogs(logs)) {
		t.Errorf("computed\n%s, geth says\n%s", rpc.EncodeLogs(found), rpc.EncodeLogs(logs))
	}
}

// network is a chain by go-ethereum's rules, as its nodes would tell it.
type network struct {
	db       ethdb.Database
	genesis  *types.Block
	blocks   []*rpc.Block
	receipts [][]rpc.Receipt
	whole    [][]byte
	txs      []types.Transactions
}

var (
	keys, _ = crypto.HexToECDSA("b71c71a67e1177ad4e901695e1b4b9ee17ae16c6668d313eac2f96dbcda3f291")
	rich    = crypto.PubkeyToAddress(keys.PublicKey)
	logger  = common.HexToAddress("0x10661067") // logs what it is called with, under its first word, and stores that in slot 1
)

// forks are configurations by their newest fork.
func forks() (names []string, configs map[string]*params.ChainConfig) {
	configs = map[string]*params.ChainConfig{}
	add := func(name string, from *params.ChainConfig, change func(c *params.ChainConfig)) {
		c := *from
		change(&c)
		names, configs[name] = append(names, name), &c
	}
	add("homestead", &params.ChainConfig{ChainID: big.NewInt(1337), HomesteadBlock: new(big.Int), Ethash: &params.EthashConfig{}}, func(*params.ChainConfig) {})
	add("berlin", params.AllEthashProtocolChanges, func(c *params.ChainConfig) {
		c.LondonBlock, c.ArrowGlacierBlock, c.GrayGlacierBlock = nil, nil, nil
	})
	add("london", params.AllEthashProtocolChanges, func(*params.ChainConfig) {})
	at := new(uint64)
	set := []func(c *params.ChainConfig){func(c *params.ChainConfig) { c.ShanghaiTime = at }, func(c *params.ChainConfig) { c.CancunTime = at }, func(c *params.ChainConfig) { c.PragueTime = at },
		func(c *params.ChainConfig) { c.OsakaTime = at }, func(c *params.ChainConfig) { c.AmsterdamTime = at }}
	for i, name := range []string{"shanghai", "cancun", "prague", "osaka", "amsterdam"} {
		add(name, params.MergedTestChainConfig, func(c *params.ChainConfig) {
			c.ShanghaiTime, c.CancunTime, c.PragueTime, c.OsakaTime, c.AmsterdamTime = nil, nil, nil, nil, nil
			c.BPO1Time, c.BPO2Time, c.BPO3Time, c.BPO4Time, c.BPO5Time = nil, nil, nil, nil, nil
			for _, s := range set[:i+1] {
				s(c)
			}
		})
	}
	return names, configs
}

// makeNetwork mines blocks with n transactions each: of all types that the fork has, transfers, failures, creations and logs.
func makeNetwork(t testing.TB, config *params.ChainConfig, blocks, n int) *network {
	t.Helper()
	genesis := &core.Genesis{Config: config, GasLimit: 100_000_000, Difficulty: big.NewInt(131072), Alloc: types.GenesisAlloc{
		rich:   {Balance: new(big.Int).Lsh(big.NewInt(1), 100)},
		logger: {Code: common.FromHex("3660006000376000356001556000353660" + "00a1" + "00"), Balance: new(big.Int)},
	}}
	var engine consensus.Engine = ethash.NewFaker()
	if config.TerminalTotalDifficulty != nil {
		engine, genesis.Difficulty = beacon.New(engine), new(big.Int)
		for a, account := range core.SystemContractAllocs() {
			genesis.Alloc[a] = account
		}
	}
	signer := types.LatestSigner(config)
	r := rand.New(rand.NewPCG(1, uint64(n)))
	used := map[uint8]int{}
	db, mined, receipts := core.GenerateChainWithGenesis(genesis, engine, blocks, func(k int, g *core.BlockGen) {
		if config.TerminalTotalDifficulty != nil {
			g.SetPoS()
		}
		london, prague := config.IsLondon(g.Number()), config.IsPrague(g.Number(), g.Timestamp())
		for i := range n {
			price := big.NewInt(params.GWei * 10)
			nonce := g.TxNonce(rich)
			to, value, data := &common.Address{19: byte(i + 1)}, big.NewInt(int64(i)), []byte(nil)
			gas := uint64(200_000)
			switch r.IntN(4) {
			case 0:
				to, value, data = &logger, new(big.Int), make([]byte, 32+r.IntN(100))
				data[31] = byte(i)
			case 1:
				to, data = nil, common.FromHex("60006000f3") // creates a contract without code
			case 2:
				to, value, data = nil, new(big.Int), []byte{0xfe} // fails
			}
			if config.IsAmsterdam(g.Number(), g.Timestamp()) {
				gas = 1_000_000 // state costs more there
			}
			var tx types.TxData = &types.LegacyTx{Nonce: nonce, GasPrice: price, Gas: gas, To: to, Value: value, Data: data}
			with := signer
			switch kind := r.IntN(5); {
			case kind == 1 && config.IsBerlin(g.Number()):
				tx = &types.AccessListTx{ChainID: config.ChainID, Nonce: nonce, GasPrice: price, Gas: gas, To: to, Value: value, Data: data, AccessList: types.AccessList{{Address: logger, StorageKeys: []common.Hash{{31: 1}}}}}
			case kind == 2 && london:
				tx = &types.DynamicFeeTx{ChainID: config.ChainID, Nonce: nonce, GasTipCap: big.NewInt(int64(r.IntN(2e9))), GasFeeCap: price, Gas: gas, To: to, Value: value, Data: data}
			case kind == 3 && prague && to != nil:
				tx = &types.SetCodeTx{ChainID: uint256.MustFromBig(config.ChainID), Nonce: nonce, GasTipCap: uint256.NewInt(1), GasFeeCap: uint256.MustFromBig(price), Gas: gas, To: *to, Value: uint256.MustFromBig(value), Data: data,
					AuthList: []types.SetCodeAuthorization{{Address: logger}}}
			case kind == 4 && config.IsCancun(g.Number(), g.Timestamp()) && to != nil && used[types.BlobTxType] < 3:
				tx = &types.BlobTx{ChainID: uint256.MustFromBig(config.ChainID), Nonce: nonce, GasTipCap: uint256.NewInt(1), GasFeeCap: uint256.MustFromBig(price), Gas: gas, To: *to, Value: uint256.MustFromBig(value), Data: data,
					BlobFeeCap: uint256.NewInt(params.GWei), BlobHashes: []common.Hash{{0: 1, 31: 1}}}
			default:
				if i%2 == 0 {
					with = types.HomesteadSigner{} // without a chain id, as the oldest ones
				}
			}
			signed := types.MustSignNewTx(keys, with, tx)
			used[signed.Type()]++
			g.AddTx(signed)
		}
	})
	net := &network{db: db, genesis: genesis.ToBlock()}
	for i, b := range mined {
		encode := func(v any) json.RawMessage { return must(json.Marshal(v))(t) }
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(encode(b.Header()), &fields); err != nil {
			t.Fatal(err)
		}
		fields["transactions"] = encode(b.Transactions())
		whole := must(json.Marshal(fields))(t)
		block := must(rpc.ParseBlock(whole))(t)
		net.blocks, net.whole, net.txs = append(net.blocks, block), append(net.whole, whole), append(net.txs, b.Transactions())
		var list []rpc.Receipt
		for k, r := range receipts[i] {
			from := must(types.Sender(signer, b.Transactions()[k]))(t)
			var fields map[string]any
			if err := json.Unmarshal(encode(r), &fields); err != nil {
				t.Fatal(err)
			}
			fields["from"], fields["to"] = from, b.Transactions()[k].To()
			if len(r.PostState) > 0 { // nodes write one of both, and no null for no logs
				delete(fields, "status")
			} else {
				delete(fields, "root")
			}
			if r.Logs == nil {
				fields["logs"] = []any{}
			}
			got := must(rpc.ParseReceipt(must(json.Marshal(fields))(t)))(t)
			list = append(list, *got)
		}
		net.receipts = append(net.receipts, list)
	}
	return net
}

func TestAllForks(t *testing.T) {
	names, configs := forks()
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			net := makeNetwork(t, configs[name], 4, 12)
			kinds := map[uint64]bool{}
			for i, b := range net.blocks {
				if err := Header(b); err != nil {
					t.Error(err)
				}
				if err := Receipts(b, net.receipts[i]); err != nil {
					t.Error(err)
				}
				txs, err := Transactions(b, net.whole[i])
				if err != nil {
					t.Fatal(err)
				}
				logs := 0
				for k := range txs {
					kinds[net.receipts[i][k].Type] = true
					logs += len(net.receipts[i][k].Logs)
					got := must(Receipt(b, txs, net.receipts[i], k))(t)
					if !bytes.Equal(rpc.EncodeReceipt(&got), rpc.EncodeReceipt(&net.receipts[i][k])) {
						t.Errorf("receipt %d of block %d is computed as\n%s, go-ethereum says\n%s", k, i, rpc.EncodeReceipt(&got), rpc.EncodeReceipt(&net.receipts[i][k]))
					}
				}
				if all := must(Logs(b, txs, net.receipts[i], &rpc.Filter{}))(t); len(all) != logs {
					t.Errorf("%d of %d logs", len(all), logs)
				}
				testPaths(t, b, net.receipts[i])
				testExcludes(t, b, net.receipts[i])
			}
			last := net.blocks[len(net.blocks)-1]
			if err := Chain(net.blocks, last.Hash); err != nil {
				t.Error(err)
			}
			if net.blocks[0].ParentHash != eth.Hash(net.genesis.Hash()) {
				t.Error("the first block's parent is not the genesis block")
			}
			testAccounts(t, net.db, last)
			if want := map[string]int{"homestead": 1, "berlin": 2, "london": 3, "shanghai": 3, "cancun": 4, "prague": 5, "osaka": 5, "amsterdam": 5}[name]; len(kinds) < want {
				t.Errorf("transactions of the types %v only", kinds)
			}
		})
	}
}

// testPaths proves each receipt alone, and that its neighbour's path does not.
func testPaths(t *testing.T, b *rpc.Block, receipts []rpc.Receipt) {
	t.Helper()
	for i := range receipts {
		path := must(Path(receipts, i))(t)
		got, err := AtPath(b.ReceiptsRoot, uint64(i), path)
		if err != nil {
			t.Fatal(err)
		}
		want := receipts[i]
		if got.Type != want.Type || got.CumulativeGasUsed != want.CumulativeGasUsed || got.LogsBloom != want.LogsBloom || !reflect.DeepEqual(got.Status, want.Status) || !reflect.DeepEqual(got.Root, want.Root) || len(got.Logs) != len(want.Logs) {
			t.Errorf("at path %d is %+v, want %+v", i, got, want)
		}
		for k := range got.Logs {
			if g, w := got.Logs[k], want.Logs[k]; g.Address != w.Address || !bytes.Equal(g.Data, w.Data) || !reflect.DeepEqual(g.Topics, w.Topics) {
				t.Errorf("log %d of receipt %d is another", k, i)
			}
		}
		if _, err := AtPath(b.ReceiptsRoot, uint64(i+1), path); !errors.Is(err, ErrProof) {
			t.Errorf("the path to %d leads to the next: %v", i, err)
		}
		if _, err := AtPath(b.StateRoot, uint64(i), path); !errors.Is(err, ErrProof) {
			t.Errorf("the path leads from another root: %v", err)
		}
		for k := range path {
			bad := append([][]byte{}, path...)
			bad[k] = bytes.Clone(path[k])
			bad[k][len(bad[k])/2] ^= 1
			if _, err := AtPath(b.ReceiptsRoot, uint64(i), bad); !errors.Is(err, ErrProof) {
				t.Errorf("a changed node leads there: %v", err)
			}
		}
		if _, err := AtPath(b.ReceiptsRoot, uint64(i), append(path, []byte{0xc0})); !errors.Is(err, ErrProof) {
			t.Errorf("a node that is not needed is taken: %v", err)
		}
	}
	if _, err := Path(receipts, len(receipts)); !errors.Is(err, ErrProof) {
		t.Errorf("a path to nothing: %v", err)
	}
}

// testExcludes: a filter that a log passes is never excluded, and most others are.
func testExcludes(t *testing.T, b *rpc.Block, receipts []rpc.Receipt) {
	t.Helper()
	for i := range receipts {
		for k := range receipts[i].Logs {
			l := &receipts[i].Logs[k]
			for _, f := range []rpc.Filter{{}, {Addresses: []eth.Address{{1}, l.Address}}, {Topics: [][]eth.Hash{{{9}, l.Topics[0]}}}, {Addresses: []eth.Address{l.Address}, Topics: [][]eth.Hash{nil}}} {
				if !f.Match(l) || Excludes(b, &f) {
					t.Errorf("%+v does not find %+v", f, l)
				}
			}
			for _, f := range []rpc.Filter{{Addresses: []eth.Address{{1}}}, {Topics: [][]eth.Hash{{{9}}}}, {Topics: make([][]eth.Hash, 5)}} {
				if f.Match(l) {
					t.Errorf("%+v finds %+v", f, l)
				}
			}
		}
	}
	excluded := 0
	for i := range 100 {
		if Excludes(b, &rpc.Filter{Addresses: []eth.Address{{byte(i), 0xab}}}) && Excludes(b, &rpc.Filter{Topics: [][]eth.Hash{nil, {{byte(i), 0xcd}}}}) {
			excluded++
		}
	}
	if excluded < 90 {
		t.Errorf("only %d of 100 foreign filters are excluded", excluded)
	}
}

// accountProof is what eth_getProof gives.
func accountProof(t testing.TB, db ethdb.Database, root eth.Hash, a eth.Address, slots ...eth.Hash) rpc.Proof {
	t.Helper()
	tdb := triedb.NewDatabase(db, triedb.HashDefaults)
	state := must(trie.NewStateTrie(trie.StateTrieID(common.Hash(root)), tdb))(t)
	p := rpc.Proof{Address: a, CodeHash: emptyCode, StorageHash: emptyRoot}
	prove := func(tr *trie.StateTrie, key []byte) [][]byte {
		way := &inOrder{}
		if err := tr.Prove(crypto.Keccak256(key), way); err != nil {
			t.Fatal(err)
		}
		return way.nodes
	}
	p.Nodes = prove(state, a[:])
	account := must(state.GetAccount(common.Address(a)))(t)
	if account == nil {
		return p
	}
	p.Balance, p.Nonce, p.CodeHash, p.StorageHash = *account.Balance, account.Nonce, eth.Hash(account.CodeHash), eth.Hash(account.Root)
	for _, s := range slots {
		sp := rpc.StorageProof{Key: s}
		if p.StorageHash != emptyRoot {
			tr := must(trie.NewStateTrie(trie.StorageTrieID(common.Hash(root), crypto.Keccak256Hash(a[:]), account.Root), tdb))(t)
			sp.Nodes = prove(tr, s[:])
			sp.Value.SetBytes(must(tr.GetStorage(common.Address(a), s[:]))(t))
		}
		p.Storage = append(p.Storage, sp)
	}
	return p
}

func testAccounts(t *testing.T, db ethdb.Database, b *rpc.Block) {
	t.Helper()
	slots := []eth.Hash{{31: 1}, {31: 2}}
	for name, a := range map[string]eth.Address{"rich": eth.Address(rich), "contract": eth.Address(logger), "nobody": {0x77}} {
		p := accountProof(t, db, b.StateRoot, a, slots...)
		if name == "contract" && (p.Storage[0].Value.IsZero() || !p.Storage[1].Value.IsZero()) {
			t.Fatalf("the slots are %+v", p.Storage)
		}
		if err := Account(b.StateRoot, &p); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if name == "nobody" {
			zeros := p
			zeros.CodeHash, zeros.StorageHash = eth.Hash{}, eth.Hash{} // as some nodes say
			if err := Account(b.StateRoot, &zeros); err != nil {
				t.Errorf("zeros: %v", err)
			}
		}
		for what, change := range map[string]func(p *rpc.Proof){
			"balance": func(p *rpc.Proof) { p.Balance.AddUint64(&p.Balance, 1) }, "nonce": func(p *rpc.Proof) { p.Nonce++ }, "code": func(p *rpc.Proof) { p.CodeHash[0] ^= 1 },
			"storage hash": func(p *rpc.Proof) { p.StorageHash[0] ^= 1 }, "address": func(p *rpc.Proof) { p.Address[3] ^= 1 }, "a node less": func(p *rpc.Proof) { p.Nodes = p.Nodes[:len(p.Nodes)-1] },
			"a node more": func(p *rpc.Proof) { p.Nodes = append(p.Nodes[:len(p.Nodes):len(p.Nodes)], []byte{0x80}) }, "no nodes": func(p *rpc.Proof) { p.Nodes = nil },
			"a slot of nobody": func(p *rpc.Proof) { p.Storage = []rpc.StorageProof{{Value: *uint256.NewInt(1)}} },
			"a slot's nodes":   func(p *rpc.Proof) { p.Storage = []rpc.StorageProof{{Nodes: [][]byte{{0xc0}}}} },
		} {
			bad := p
			change(&bad)
			if err := Account(b.StateRoot, &bad); !errors.Is(err, ErrProof) {
				t.Errorf("%s with another %s: %v", name, what, err)
			}
		}
		for i := range p.Storage {
			for _, change := range []func(s *rpc.StorageProof){func(s *rpc.StorageProof) { s.Value.AddUint64(&s.Value, 1) }, func(s *rpc.StorageProof) { s.Key[5] ^= 1; s.Value.AddUint64(&s.Value, 1) }} {
				bad := p
				bad.Storage = append([]rpc.StorageProof{}, p.Storage...)
				change(&bad.Storage[i])
				if err := Account(b.StateRoot, &bad); !errors.Is(err, ErrProof) {
					t.Errorf("%s with another slot: %v", name, err)
				}
			}
		}
		if err := Account(b.ReceiptsRoot, &p); !errors.Is(err, ErrProof) {
			t.Errorf("%s by another root: %v", name, err)
		}
	}
}

// TestEveryFieldOfAHeaderCounts changes one after the other, by reflection, so that none is forgotten when one is added.
func TestEveryFieldOfAHeaderCounts(t *testing.T) {
	_, configs := forks()
	b := makeNetwork(t, configs["amsterdam"], 1, 3).blocks[0]
	if b.SlotNumber == nil || b.AccessListHash == nil {
		t.Fatal("the newest fork's fields are missing")
	}
	aside := map[string]bool{"Size": true, "Uncles": true, "Transactions": true} // not part of the header
	v := reflect.ValueOf(b).Elem()
	for i := range v.NumField() {
		name, field := v.Type().Field(i).Name, v.Field(i)
		old := reflect.New(field.Type()).Elem()
		old.Set(field)
		var change func(f reflect.Value)
		change = func(f reflect.Value) {
			switch f.Kind() {
			case reflect.Uint64, reflect.Uint8:
				f.SetUint(f.Uint() ^ 1)
			case reflect.Array:
				change(f.Index(f.Len() / 2))
			case reflect.Slice:
				f.Set(reflect.Append(f.Slice3(0, f.Len(), f.Len()), reflect.Zero(f.Type().Elem())))
			case reflect.Pointer:
				c := reflect.New(f.Type().Elem())
				c.Elem().Set(f.Elem())
				f.Set(c)
				change(c.Elem())
			default:
				t.Fatalf("%s is a %s", name, f.Kind())
			}
		}
		change(field)
		if err := Header(b); aside[name] != (err == nil) {
			t.Errorf("a change of %s: %v", name, err)
		}
		if field.Kind() == reflect.Pointer { // left out, it is not the same block either, though a zero would be encoded alike
			field.SetZero()
			if err := Header(b); !errors.Is(err, ErrProof) {
				t.Errorf("%s left out: %v", name, err)
			}
		}
		field.Set(old)
	}
	if err := Header(b); err != nil {
		t.Fatal(err)
	}
	// A missing field before one that is there is encoded like a zero.
	zero := *b
	zero.BlobGasUsed = new(uint64)
	zero.Hash = eth.Hash(header(&zero).Hash())
	if err := Header(&zero); err != nil {
		t.Fatal(err)
	}
	zero.BlobGasUsed = nil
	if eth.Hash(header(&zero).Hash()) != zero.Hash {
		t.Fatal("there is no such ambiguity: the check of gaps is not needed")
	}
	if err := Header(&zero); !errors.Is(err, ErrProof) {
		t.Errorf("a header with a gap: %v", err)
	}
}

func TestChainRefuses(t *testing.T) {
	_, configs := forks()
	net := makeNetwork(t, configs["prague"], 5, 1)
	last := net.blocks[4].Hash
	changed := *net.blocks[2]
	changed.GasUsed++
	forged := changed
	forged.Hash = eth.Hash(header(&forged).Hash())
	for name, c := range map[string]struct {
		headers []*rpc.Block
		trusted eth.Hash
	}{
		"nothing":            {nil, last},
		"another trusted":    {net.blocks, net.blocks[3].Hash},
		"a gap":              {append(append([]*rpc.Block{}, net.blocks[:2]...), net.blocks[3:]...), last},
		"the wrong order":    {[]*rpc.Block{net.blocks[4], net.blocks[3]}, last},
		"a changed one":      {[]*rpc.Block{net.blocks[1], &changed, net.blocks[3], net.blocks[4]}, last},
		"a forged one":       {[]*rpc.Block{&forged, net.blocks[3], net.blocks[4]}, last},
		"a forged last one":  {[]*rpc.Block{&forged}, net.blocks[2].Hash},
		"one of them twice":  {[]*rpc.Block{net.blocks[3], net.blocks[3], net.blocks[4]}, last},
		"the trusted header": {[]*rpc.Block{&changed}, changed.Hash},
	} {
		if err := Chain(c.headers, c.trusted); !errors.Is(err, ErrProof) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := Chain(net.blocks[4:], last); err != nil {
		t.Errorf("the trusted one alone: %v", err)
	}
}

// TestEveryFieldOfAReceiptCounts changes each of those that the root covers; those that it does not are computed, whatever a node says.
func TestEveryFieldOfAReceiptCounts(t *testing.T) {
	_, configs := forks()
	for _, fork := range []string{"homestead", "osaka"} {
		net := makeNetwork(t, configs[fork], 1, 40)
		b, good := net.blocks[0], net.receipts[0]
		at := -1
		for i := range good {
			if len(good[i].Logs) > 0 && i > 0 {
				at = i
			}
		}
		if at < 0 {
			t.Fatal("no logs")
		}
		clone := func() []rpc.Receipt {
			out := append([]rpc.Receipt{}, good...)
			out[at].Logs = append([]rpc.Log{}, good[at].Logs...)
			out[at].Logs[0].Topics = append([]eth.Hash{}, good[at].Logs[0].Topics...)
			out[at].Logs[0].Data = bytes.Clone(good[at].Logs[0].Data)
			return out
		}
		other, bad := uint64(1), uint64(2)
		if good[at].Status != nil {
			other ^= *good[at].Status
		}
		for name, change := range map[string]func(list []rpc.Receipt, r *rpc.Receipt) []rpc.Receipt{
			"type":            func(l []rpc.Receipt, r *rpc.Receipt) []rpc.Receipt { r.Type ^= 1; return l },
			"unknown type":    func(l []rpc.Receipt, r *rpc.Receipt) []rpc.Receipt { r.Type = 256; return l },
			"status":          func(l []rpc.Receipt, r *rpc.Receipt) []rpc.Receipt { r.Status, r.Root = &other, nil; return l },
			"unknown status":  func(l []rpc.Receipt, r *rpc.Receipt) []rpc.Receipt { r.Status, r.Root = &bad, nil; return l },
			"no outcome":      func(l []rpc.Receipt, r *rpc.Receipt) []rpc.Receipt { r.Status, r.Root = nil, nil; return l },
			"root":            func(l []rpc.Receipt, r *rpc.Receipt) []rpc.Receipt { r.Status, r.Root = nil, &eth.Hash{}; return l },
			"gas":             func(l []rpc.Receipt, r *rpc.Receipt) []rpc.Receipt { r.CumulativeGasUsed++; return l },
			"bloom":           func(l []rpc.Receipt, r *rpc.Receipt) []rpc.Receipt { r.LogsBloom[7] ^= 1; return l },
			"a log's address": func(l []rpc.Receipt, r *rpc.Receipt) []rpc.Receipt { r.Logs[0].Address[0] ^= 1; return l },
			"a topic":         func(l []rpc.Receipt, r *rpc.Receipt) []rpc.Receipt { r.Logs[0].Topics[0][0] ^= 1; return l },
			"data":            func(l []rpc.Receipt, r *rpc.Receipt) []rpc.Receipt { r.Logs[0].Data[0] ^= 1; return l },
			"a log less":      func(l []rpc.Receipt, r *rpc.Receipt) []rpc.Receipt { r.Logs = nil; return l },
			"a log twice":     func(l []rpc.Receipt, r *rpc.Receipt) []rpc.Receipt { r.Logs = append(r.Logs, r.Logs[0]); return l },
			"a receipt less":  func(l []rpc.Receipt, r *rpc.Receipt) []rpc.Receipt { return l[:len(l)-1] },
			"a receipt more":  func(l []rpc.Receipt, r *rpc.Receipt) []rpc.Receipt { return append(l, *r) },
			"another order":   func(l []rpc.Receipt, r *rpc.Receipt) []rpc.Receipt { l[0], *r = *r, l[0]; return l },
			"none":            func([]rpc.Receipt, *rpc.Receipt) []rpc.Receipt { return nil },
		} {
			list := clone()
			if err := Receipts(b, change(list, &list[at])); !errors.Is(err, ErrProof) {
				t.Errorf("%s: %s: %v", fork, name, err)
			}
		}
		list := clone()
		r := &list[at]
		r.TxHash, r.TxIndex, r.BlockHash, r.BlockNumber, r.From, r.To, r.Contract, r.GasUsed, r.EffectiveGasPrice = eth.Hash{}, 9, eth.Hash{}, 9, eth.Address{}, nil, &eth.Address{}, 9, *uint256.NewInt(9)
		l := &r.Logs[0]
		l.BlockNumber, l.BlockHash, l.TxHash, l.TxIndex, l.Index, l.Removed = 9, eth.Hash{}, eth.Hash{}, 9, 9, true
		if err := Receipts(b, list); err != nil {
			t.Fatal(err)
		}
		if got := must(Receipt(b, net.txs[0], list, at))(t); !bytes.Equal(rpc.EncodeReceipt(&got), rpc.EncodeReceipt(&good[at])) {
			t.Errorf("computed\n%s, want\n%s", rpc.EncodeReceipt(&got), rpc.EncodeReceipt(&good[at]))
		}
		for _, i := range []int{-1, len(list)} {
			if _, err := Receipt(b, net.txs[0], list, i); !errors.Is(err, ErrProof) {
				t.Errorf("receipt %d: %v", i, err)
			}
		}
		if _, err := Receipt(b, net.txs[0][1:], list, 0); !errors.Is(err, ErrProof) {
			t.Errorf("a transaction less: %v", err)
		}
		if _, err := Logs(b, net.txs[0][1:], list, &rpc.Filter{}); !errors.Is(err, ErrProof) {
			t.Errorf("a transaction less: %v", err)
		}
		// The block's own filter must be that of the receipts, or a scan by filters would miss logs.
		blind := *b
		blind.LogsBloom = rpc.Bloom{}
		if err := Receipts(&blind, good); !errors.Is(err, ErrProof) {
			t.Errorf("a block that hides its logs: %v", err)
		}
	}
}

func TestTransactionsRefuse(t *testing.T) {
	_, configs := forks()
	net := makeNetwork(t, configs["prague"], 2, 8)
	b := net.blocks[0]
	swap := func(change func(list []json.RawMessage) []json.RawMessage) []byte {
		var fields map[string]json.RawMessage
		var list []json.RawMessage
		for _, err := range []error{json.Unmarshal(net.whole[0], &fields), json.Unmarshal(fields["transactions"], &list)} {
			if err != nil {
				t.Fatal(err)
			}
		}
		fields["transactions"] = must(json.Marshal(change(list)))(t)
		return must(json.Marshal(fields))(t)
	}
	for name, whole := range map[string][]byte{
		"no json":       []byte("{"),
		"null":          []byte("null"),
		"none":          []byte("{}"),
		"another block": net.whole[1],
		"hashes only":   []byte(`{"transactions":["0x92dabfa3f61ff1c349d12f5fd0dd4c99760a0a41b77dee8f0a80f83efdcb307a"]}`),
		"one less":      swap(func(l []json.RawMessage) []json.RawMessage { return l[1:] }),
		"one twice":     swap(func(l []json.RawMessage) []json.RawMessage { return append(l, l[0]) }),
		"another order": swap(func(l []json.RawMessage) []json.RawMessage { l[0], l[1] = l[1], l[0]; return l }),
		"null inside":   swap(func(l []json.RawMessage) []json.RawMessage { l[0] = json.RawMessage("null"); return l }),
	} {
		if _, err := Transactions(b, whole); !errors.Is(err, ErrProof) {
			t.Errorf("%s: %v", name, err)
		}
	}
	empty := *b
	empty.TransactionsRoot, empty.ReceiptsRoot, empty.LogsBloom = emptyRoot, emptyRoot, rpc.Bloom{}
	if txs, err := Transactions(&empty, []byte(`{"transactions":[]}`)); err != nil || len(txs) != 0 {
		t.Errorf("an empty block: %v", err)
	}
	if err := Receipts(&empty, nil); err != nil {
		t.Errorf("an empty block: %v", err)
	}
}

func FuzzHeader(f *testing.F) {
	f.Add(must(os.ReadFile("testdata/mainnet-21925176.json"))(f))
	_, configs := forks()
	for _, name := range []string{"berlin", "amsterdam"} {
		f.Add(rpc.EncodeBlock(makeNetwork(f, configs[name], 1, 1).blocks[0]))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		b, err := rpc.ParseBlock(text)
		if err != nil || b == nil {
			return
		}
		if Header(b) != nil {
			return
		}
		again, err := rpc.ParseBlock(rpc.EncodeBlock(b))
		if err != nil || Header(again) != nil {
			t.Fatalf("the canonical form of a proven header is not proven: %v", err)
		}
		if b.GasUsed++; Header(b) == nil {
			t.Fatal("two headers have one hash")
		}
	})
}

func FuzzReceipts(f *testing.F) {
	_, configs := forks()
	for _, name := range []string{"homestead", "osaka"} {
		net := makeNetwork(f, configs[name], 1, 3)
		f.Add(net.blocks[0].ReceiptsRoot[:], rpc.EncodeReceipts(net.receipts[0]), net.whole[0])
	}
	f.Fuzz(func(t *testing.T, root, text, whole []byte) {
		receipts, _, err := rpc.ParseReceipts(text)
		if err != nil {
			return
		}
		b := &rpc.Block{}
		copy(b.ReceiptsRoot[:], root)
		for i := range receipts {
			for k := range b.LogsBloom {
				b.LogsBloom[k] |= receipts[i].LogsBloom[k]
			}
		}
		if Receipts(b, receipts) == nil {
			for i := range receipts {
				path, err := Path(receipts, i)
				if err != nil {
					t.Fatal(err)
				}
				got, err := AtPath(b.ReceiptsRoot, uint64(i), path)
				if err != nil || got.CumulativeGasUsed != receipts[i].CumulativeGasUsed || len(got.Logs) != len(receipts[i].Logs) {
					t.Fatalf("receipt %d is %+v, %v", i, got, err)
				}
			}
		}
		// Whatever the transactions are, nothing panics.
		var list types.Transactions
		var body struct {
			Transactions types.Transactions `json:"transactions"`
		}
		if json.Unmarshal(whole, &body) == nil {
			for _, tx := range body.Transactions {
				if tx != nil {
					list = append(list, tx)
				}
			}
		}
		for i := range receipts {
			_, _ = Receipt(b, list, receipts, i)
		}
		_, _ = Logs(b, list, receipts, &rpc.Filter{})
		_, _ = Transactions(b, whole)
	})
}

// FuzzTransactions: what is taken for a block's transactions is those of the block.
func FuzzTransactions(f *testing.F) {
	_, configs := forks()
	net := makeNetwork(f, configs["osaka"], 1, 6)
	for _, n := range []int{1, 6} {
		f.Add(makeNetwork(f, configs["osaka"], 1, n).whole[0])
	}
	f.Fuzz(func(t *testing.T, whole []byte) {
		txs, err := Transactions(net.blocks[0], whole)
		if err != nil {
			return
		}
		for i, tx := range txs {
			if len(txs) != len(net.txs[0]) || tx.Hash() != net.txs[0][i].Hash() {
				t.Fatalf("other transactions: %s", whole)
			}
		}
	})
}

func FuzzAccount(f *testing.F) {
	_, configs := forks()
	net := makeNetwork(f, configs["osaka"], 1, 6)
	root := net.blocks[0].StateRoot
	for _, a := range []eth.Address{eth.Address(rich), eth.Address(logger), {0x77}} {
		p := accountProof(f, net.db, root, a, eth.Hash{31: 1})
		f.Add(root[:], rpc.EncodeProof(&p))
	}
	f.Add(emptyRoot[:], must(os.ReadFile("testdata/beacon-deposit-slot-1.json"))(f))
	f.Fuzz(func(t *testing.T, root, text []byte) {
		p, err := rpc.ParseProof(text)
		if err != nil {
			return
		}
		var h eth.Hash
		copy(h[:], root)
		if err := Account(h, &p); err != nil {
			if !errors.Is(err, ErrProof) {
				t.Fatalf("an error of no kind: %v", err)
			}
			return
		}
		if p.Nonce++; Account(h, &p) == nil {
			t.Fatal("two nonces are proven")
		}
		for i := range p.Storage {
			_, _ = AtPath(p.StorageHash, uint64(i), p.Storage[i].Nodes)
		}
	})
}

func FuzzAtPath(f *testing.F) {
	_, configs := forks()
	net := makeNetwork(f, configs["osaka"], 1, 3)
	root := net.blocks[0].ReceiptsRoot
	path := must(Path(net.receipts[0], 1))(f)
	for len(path) < 3 {
		path = append(path, nil)
	}
	f.Add(uint64(1), path[0], path[1], path[2], root[:])
	f.Fuzz(func(t *testing.T, i uint64, a, b, c, root []byte) {
		var h eth.Hash
		copy(h[:], root)
		for n := range 4 {
			_, _ = AtPath(h, i, [][]byte{a, b, c}[:n])
			_, _ = AtPath(eth.Keccak256(a), i, [][]byte{a, b, c}[:n]) // a root that leads into the nodes
		}
	})
}

func BenchmarkHeader(b *testing.B) {
	block := must(rpc.ParseBlock(must(os.ReadFile("testdata/mainnet-21925176.json"))(b)))(b)
	for b.Loop() {
		if err := Header(block); err != nil {
			b.Fatal(err)
		}
	}
}

// of200 is a block with as many transactions as mainnet's have.
func of200(b *testing.B) *network {
	_, configs := forks()
	return makeNetwork(b, configs["osaka"], 1, 200)
}

func BenchmarkReceipts200(b *testing.B) {
	net := of200(b)
	for b.Loop() {
		if err := Receipts(net.blocks[0], net.receipts[0]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTransactions200(b *testing.B) {
	net := of200(b)
	for b.Loop() {
		if _, err := Transactions(net.blocks[0], net.whole[0]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLogs200(b *testing.B) {
	net := of200(b)
	for b.Loop() {
		if _, err := Logs(net.blocks[0], net.txs[0], net.receipts[0], &rpc.Filter{Addresses: []eth.Address{eth.Address(logger)}}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkExcludes(b *testing.B) {
	block := must(rpc.ParseBlock(must(os.ReadFile("testdata/mainnet-21925176.json"))(b)))(b)
	f := &rpc.Filter{Addresses: []eth.Address{{1}}, Topics: [][]eth.Hash{{eth.TopicReceivedETHOrERC20}}}
	for b.Loop() {
		Excludes(block, f)
	}
}

func BenchmarkAccount(b *testing.B) {
	net := of200(b)
	p := accountProof(b, net.db, net.blocks[0].StateRoot, eth.Address(logger), eth.Hash{31: 1})
	for b.Loop() {
		if err := Account(net.blocks[0].StateRoot, &p); err != nil {
			b.Fatal(err)
		}
	}
}
