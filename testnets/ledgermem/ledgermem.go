// Package ledgermem is a token ledger on a subnet of one node in memory, for tests of what reads ledgers: the ledger is the one of
// ckledger/icrc, the certificates, signatures and the HTTP interface are real, only consensus and wasm are left out. Its blocks can be
// moved to archives, and its answers to queries can be falsified on their way.
package ledgermem

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"time"

	"fusion/cdk/stable"
	"fusion/ckledger/icrc"
	"fusion/ic/agent"
	"fusion/ic/candid"
	"fusion/ic/envelope"
	"fusion/ic/hashtree"
	"fusion/ic/identity"
	"fusion/ic/principal"
	replicahttp "fusion/replica/http"
	"fusion/replica/http/httpmem"
)

// Start is when the subnet's clock starts, ns since 1970.
const Start = uint64(1_800_000_000_000_000_000)

// Subnet is a subnet behind an HTTP server.
type Subnet struct {
	*httpmem.Subnet
	Server *httptest.Server
	clock  atomic.Uint64 // canisters cannot ask the subnet, which is locked while they run
}

// SetTime moves the clock.
func (s *Subnet) SetTime(ns uint64) {
	s.clock.Store(ns)
	s.Subnet.SetTime(ns)
}

// NewSubnet starts a subnet.
func NewSubnet(seed byte) *Subnet {
	s := &Subnet{Subnet: httpmem.New(seed, Start)}
	s.clock.Store(Start)
	s.Server = httptest.NewUnstartedServer(nil)
	s.Server.Config = replicahttp.NewServer(replicahttp.NewHandler(s.Subnet, replicahttp.Config{}))
	s.Server.Start()
	return s
}

// Close stops the server.
func (s *Subnet) Close() {
	s.Server.CloseClientConnections()
	s.Server.Close()
}

// Agent makes an agent that trusts the subnet's key alone.
func (s *Subnet) Agent(id identity.Identity) *agent.Agent {
	a, err := agent.New(s.Server.URL, agent.Options{Identity: id, RootKey: s.RootKeyDER(), Backoff: time.Millisecond, Retries: -1,
		Client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
		Now:    func() time.Time { return time.Unix(0, int64(s.NowNs())) }})
	if err != nil {
		panic(fmt.Sprintf("ledgermem: %v", err))
	}
	return a
}

// Ledger is a ledger that is a canister of a subnet.
type Ledger struct {
	ID      principal.Principal
	Minting icrc.Account
	// PerAnswer is how many blocks an answer has at most; the default is 100.
	PerAnswer uint64

	subnet   *Subnet
	mu       sync.Mutex
	l        *icrc.Ledger
	falsify  func(canister principal.Principal, method string, reply []byte) []byte
	archives []archive
}

type archive struct {
	id         principal.Principal
	start, end uint64
}

// NewLedger installs a ledger with a fee of 10.
func (s *Subnet) NewLedger(id principal.Principal) *Ledger {
	x := &Ledger{ID: id, PerAnswer: 100, subnet: s, Minting: icrc.Account{Owner: principal.MustFromBytes([]byte("minter"))}}
	max := uint16(80)
	var err error
	x.l, err = icrc.Create(&stable.Heap{}, &icrc.InitArgs{MintingAccount: x.Minting, TransferFee: candid.NatFromUint64(10), MaxMemoLength: &max,
		TokenSymbol: "ckTEST", TokenName: "Chain key test", FeatureFlags: &icrc.FeatureFlags{ICRC2: true}}, s.NowNs())
	if err != nil {
		panic(fmt.Sprintf("ledgermem: %v", err))
	}
	s.Install(id, &httpmem.Canister{Query: x.query(id), Update: x.update})
	return x
}

// Falsify has the replies of queries changed on their way; nil stops it. It sees each reply after it was made and before it is signed.
func (x *Ledger) Falsify(f func(canister principal.Principal, method string, reply []byte) []byte) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.falsify = f
}

// Core is the ledger itself. Do changes through Transfer, which certifies.
func (x *Ledger) Core() *icrc.Ledger { return x.l }

// Transfer makes a transfer as somebody and returns its block.
func (x *Ledger) Transfer(caller principal.Principal, arg icrc.TransferArg) uint64 {
	res, err := x.transfer(caller, &arg)
	if err != nil || res.Ok == nil {
		panic(fmt.Sprintf("ledgermem: transfer: %+v %v", res, err))
	}
	n, _ := res.Ok.Uint64()
	x.Certify()
	return n
}

// Mint mints to an account and returns the block.
func (x *Ledger) Mint(to icrc.Account, amount uint64) uint64 {
	return x.Transfer(x.Minting.Owner, icrc.TransferArg{To: to, Amount: candid.NatFromUint64(amount)})
}

func (x *Ledger) transfer(caller principal.Principal, arg *icrc.TransferArg) (icrc.TransferResult, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.l.Transfer(x.subnet.clock.Load(), caller, arg)
}

// Certify certifies the tip as it is now.
func (x *Ledger) Certify() {
	x.mu.Lock()
	root := x.l.Certified()
	x.mu.Unlock()
	x.subnet.SetTree(root[:], x.dataPath()...)
}

func (x *Ledger) dataPath() [][]byte {
	return [][]byte{[]byte("canister"), x.ID.Bytes(), []byte("certified_data")}
}

// Archive moves the blocks below end that are in no archive yet to a new one.
func (x *Ledger) Archive(id principal.Principal, end uint64) {
	x.mu.Lock()
	start := uint64(0)
	if n := len(x.archives); n > 0 {
		start = x.archives[n-1].end
	}
	x.archives = append(x.archives, archive{id, start, end})
	x.mu.Unlock()
	x.subnet.Install(id, &httpmem.Canister{Query: x.query(id)})
}

func reject(format string, args ...any) error {
	return &envelope.Reject{Code: 5, Message: fmt.Sprintf(format, args...), ErrorCode: "IC0503"}
}

func (x *Ledger) update(caller principal.Principal, method string, arg []byte) ([]byte, error) {
	switch method {
	case "icrc1_transfer":
		return change(arg, func(a *icrc.TransferArg) (icrc.TransferResult, error) { return x.transfer(caller, a) })
	case "icrc2_approve":
		return change(arg, func(a *icrc.ApproveArgs) (icrc.ApproveResult, error) {
			x.mu.Lock()
			defer x.mu.Unlock()
			return x.l.Approve(x.subnet.clock.Load(), caller, a)
		})
	case "icrc2_transfer_from":
		return change(arg, func(a *icrc.TransferFromArgs) (icrc.TransferFromResult, error) {
			x.mu.Lock()
			defer x.mu.Unlock()
			return x.l.TransferFrom(x.subnet.clock.Load(), caller, a)
		})
	}
	return x.answer(x.ID, method, arg)
}

// change calls a method that changes the ledger.
func change[A, R any](arg []byte, do func(*A) (R, error)) ([]byte, error) {
	var a A
	if err := candid.Unmarshal(arg, &a); err != nil {
		return nil, reject("%v", err)
	}
	res, err := do(&a)
	if err != nil {
		return nil, reject("%v", err)
	}
	return candid.Marshal(res)
}

func (x *Ledger) query(id principal.Principal) func(principal.Principal, string, []byte) ([]byte, error) {
	return func(_ principal.Principal, method string, arg []byte) ([]byte, error) {
		reply, err := x.answer(id, method, arg)
		x.mu.Lock()
		f := x.falsify
		x.mu.Unlock()
		if err == nil && f != nil {
			reply = f(id, method, reply)
		}
		return reply, err
	}
}

func (x *Ledger) answer(id principal.Principal, method string, arg []byte) ([]byte, error) {
	var cert []byte
	if method == "icrc3_get_tip_certificate" {
		cert = x.subnet.Snapshot().Certify(x.dataPath())
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	switch method {
	case "icrc3_get_blocks":
		var ranges []icrc.GetBlocksArgs
		if err := candid.Unmarshal(arg, &ranges); err != nil {
			return nil, reject("%v", err)
		}
		return candid.Marshal(x.blocks(id, ranges))
	case "icrc3_get_tip_certificate":
		var dc *icrc.ICRC3DataCertificate
		if x.l.Blocks() > 0 {
			dc = &icrc.ICRC3DataCertificate{Certificate: cert, HashTree: hashtree.Encode(x.l.TipTree())}
		}
		return candid.Marshal(dc)
	case "icrc3_get_archives":
		var a icrc.GetArchivesArgs
		if err := candid.Unmarshal(arg, &a); err != nil {
			return nil, reject("%v", err)
		}
		out := []icrc.ICRC3Archive{}
		for i := len(x.archives) - 1; i >= 0 && (a.From == nil || x.archives[i].id != *a.From); i-- {
			s := x.archives[i]
			out = append([]icrc.ICRC3Archive{{CanisterID: s.id, Start: candid.NatFromUint64(s.start), End: candid.NatFromUint64(s.end - 1)}}, out...)
		}
		return candid.Marshal(out)
	case "icrc1_supported_standards":
		return candid.Marshal(x.l.Standards())
	case "icrc1_metadata":
		return candid.Marshal(x.l.Metadata())
	case "icrc1_minting_account":
		m := x.l.Minting()
		return candid.Marshal(&m)
	case "icrc1_total_supply":
		return candid.Marshal(x.l.Supply().Nat())
	case "icrc1_fee":
		return candid.Marshal(x.l.Fee().Nat())
	case "icrc1_balance_of":
		var a icrc.Account
		if err := candid.Unmarshal(arg, &a); err != nil {
			return nil, reject("%v", err)
		}
		b, err := x.l.BalanceOf(a)
		if err != nil {
			return nil, reject("%v", err)
		}
		return candid.Marshal(b.Nat())
	}
	return nil, reject("canister %s has no method %q", id, method)
}

// blocks answers for the ledger or an archive of it.
func (x *Ledger) blocks(id principal.Principal, ranges []icrc.GetBlocksArgs) icrc.GetBlocksResult {
	out := icrc.GetBlocksResult{LogLength: candid.NatFromUint64(x.l.Blocks()), Blocks: []icrc.ICRC3Block{}, ArchivedBlocks: []icrc.ICRC3ArchivedBlocks{}}
	holder := func(i uint64) principal.Principal {
		for _, a := range x.archives {
			if i < a.end {
				return a.id
			}
		}
		return x.ID
	}
	var n uint64
	for _, r := range ranges {
		from, _ := r.Start.Uint64()
		length, _ := r.Length.Uint64()
		for i := from; i < min(from+length, x.l.Blocks()) && n < x.PerAnswer; i, n = i+1, n+1 {
			switch h := holder(i); {
			case h == id:
				out.Blocks = append(out.Blocks, icrc.ICRC3Block{ID: candid.NatFromUint64(i), Block: x.l.Block(i)})
			case id == x.ID:
				a := icrc.ICRC3ArchivedBlocks{Args: []icrc.GetBlocksArgs{{Start: candid.NatFromUint64(i), Length: candid.NatFromUint64(1)}},
					Callback: icrc.ICRC3ArchiveFn{Func: candid.Func{Principal: h, Method: "icrc3_get_blocks"}}}
				if k := len(out.ArchivedBlocks); k > 0 && out.ArchivedBlocks[k-1].Callback.Principal == h {
					last := &out.ArchivedBlocks[k-1].Args[0]
					last.Length = last.Length.Add(candid.NatFromUint64(1))
				} else {
					out.ArchivedBlocks = append(out.ArchivedBlocks, a)
				}
			}
		}
	}
	return out
}
