package icrc_test

import (
	"encoding/binary"
	"fmt"
	"sync"
	"testing"

	"fusion/cdk/link"
	"fusion/ckledger/icrc"
	"fusion/ic/candid"
	"fusion/ic/principal"
	"fusion/internal/kv"
	"fusion/replica/execution"
	"fusion/replica/execution/wasm"
	"fusion/replica/management"
)

var engine = sync.OnceValues(func() (*wasm.Engine, error) {
	return wasm.NewEngine(wasm.Config{Host: execution.HostFunctions()})
})

// subnet is a replica's executor with a ledger installed.
type subnet struct {
	x      *execution.Executor
	store  *kv.Mem
	ledger principal.Principal
	height uint64
	nonce  uint64
	every  uint64 // ns between blocks
	module []byte
}

const benchTime = 1_700_000_000_000_000_000

func (s *subnet) now() uint64 { return benchTime + s.height*s.every }

func newSubnet(b *testing.B) *subnet {
	b.Helper()
	c, err := module()
	if err != nil {
		b.Fatal(err)
	}
	e, err := engine()
	if err != nil {
		b.Fatal(err)
	}
	s := &subnet{store: kv.NewMem(), every: 1e6}
	cfg := execution.Config{Engine: e, Subnet: principal.SelfAuthenticating([]byte("subnet")), RootKey: []byte("root key"), Local: true,
		FirstCanister: 16, RoundInstructions: 1 << 50}
	if s.x, err = execution.New(cfg, s.store); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.x.Close() })
	if s.module, err = link.Gzip(c.Wasm); err != nil {
		b.Fatal(err)
	}
	var id management.CanisterID
	if err := candid.Unmarshal(s.manage(b, "provisional_create_canister_with_cycles", management.ProvisionalCreateArgs{}), &id); err != nil {
		b.Fatal(err)
	}
	s.ledger = id.CanisterID
	balances := []icrc.InitialBalance{}
	for i := range 256 {
		balances = append(balances, icrc.InitialBalance{Account: acc(i), Amount: nat(1 << 50)})
	}
	s.manage(b, "install_code", management.InstallCodeArgs{Mode: management.ModeInstall(), CanisterID: s.ledger, WasmModule: s.module,
		Arg: candid.MustMarshal(icrc.LedgerArg{Init: &icrc.InitArgs{MintingAccount: minter, TransferFee: nat(10), InitialBalances: balances}})})
	return s
}

func (s *subnet) message(sender, canister principal.Principal, method string, arg []byte) execution.Ingress {
	s.nonce++
	m := execution.Ingress{Sender: sender, Canister: canister, Method: method, Arg: arg, ExpiryNs: s.now() + 240e9}
	binary.BigEndian.PutUint64(m.ID[:], s.nonce)
	return m
}

func (s *subnet) round(msgs ...execution.Ingress) execution.RoundResult {
	s.height++
	return s.x.Round(s.store, execution.Round{Height: s.height, TimeNs: s.now(), Ingress: msgs})
}

func (s *subnet) reply(b *testing.B, id [32]byte) []byte {
	b.Helper()
	status, ok := s.x.IngressStatus(id)
	if !ok || status.Reject != nil || status.Reply == nil {
		b.Fatalf("status %+v, %v", status, ok)
	}
	return status.Reply
}

func (s *subnet) manage(b *testing.B, method string, arg any) []byte {
	b.Helper()
	m := s.message(who(1), principal.Management, method, candid.MustMarshal(arg))
	s.round(m)
	for range 50 {
		if st, ok := s.x.IngressStatus(m.ID); ok && (st.Reply != nil || st.Reject != nil) {
			break
		}
		s.round()
	}
	return s.reply(b, m.ID)
}

// upgrade gives the ledger arguments.
func (s *subnet) upgrade(b *testing.B, arg icrc.LedgerArg) {
	b.Helper()
	s.manage(b, "install_code", management.InstallCodeArgs{Mode: management.ModeUpgrade(nil), CanisterID: s.ledger, WasmModule: s.module, Arg: candid.MustMarshal(arg)})
}

// BenchmarkTransferWasm measures icrc1_transfer in a replica's executor: what a replica spends on it beside verifying and storing, and
// what of it is instructions and pages written. The block says how many transfers are executed and committed together.
func BenchmarkTransferWasm(b *testing.B) {
	for _, block := range []int{1, 50, 500} {
		b.Run(fmt.Sprintf("block=%d", block), func(b *testing.B) {
			s := newSubnet(b)
			transfer := func(i int) execution.Ingress {
				arg := icrc.TransferArg{To: acc(i * 7 % 256), Amount: nat(5), CreatedAtTime: ptr(benchTime + uint64(i)), Memo: ptr([]byte{1, 2, 3, 4, 5, 6, 7, 8})}
				return s.message(who(i*3%255), s.ledger, "icrc1_transfer", candid.MustMarshal(arg))
			}
			n := 0
			blocks := func(count int) (instructions, heap, stable int) {
				for end := n + count; n < end; {
					b.StopTimer()
					var msgs []execution.Ingress
					for range min(block, end-n) {
						msgs = append(msgs, transfer(n))
						n++
					}
					b.StartTimer()
					r := s.round(msgs...)
					if r.IngressDone != len(msgs) || r.Traps > 0 {
						b.Fatalf("%+v", r)
					}
					instructions += int(r.InstructionsUsed)
					heap += r.HeapPages
					stable += r.StablePages
				}
				return
			}
			blocks(500)
			b.ResetTimer()
			instructions, heap, stable := blocks(b.N)
			b.StopTimer()
			var result icrc.TransferResult
			last := [32]byte{}
			binary.BigEndian.PutUint64(last[:], s.nonce)
			if err := candid.Unmarshal(s.reply(b, last), &result); err != nil || result.Ok == nil {
				b.Fatalf("%+v, %v", result, err)
			}
			per := func(v int) float64 { return float64(v) / float64(b.N) }
			b.ReportMetric(per(instructions), "instructions/op")
			b.ReportMetric(per(heap), "heap-pages/op")
			b.ReportMetric(per(stable), "stable-pages/op")
		})
	}
}

// BenchmarkBalanceWasm measures icrc1_balance_of as a query.
func BenchmarkBalanceWasm(b *testing.B) {
	s := newSubnet(b)
	q := execution.QueryRequest{Sender: who(1), Canister: s.ledger, Method: "icrc1_balance_of", Arg: candid.MustMarshal(acc(1))}
	b.ResetTimer()
	for range b.N {
		if r := s.x.Query(b.Context(), q); r.Reject != nil {
			b.Fatal(r.Reject)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "queries/s")
}
