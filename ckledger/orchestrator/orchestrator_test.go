package orchestrator

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"fusion/cdk"
	"fusion/cdk/native"
	archiving "fusion/ckledger/archive"
	"fusion/ckledger/icrc"
	ix "fusion/ckledger/index"
	"fusion/ic/candid"
	"fusion/ic/principal"
)

var (
	selfID, minterID = principal.FromUint64(1), principal.FromUint64(2)
	root             = principal.SelfAuthenticating([]byte("root"))
	other            = principal.SelfAuthenticating([]byte("other"))
)

const usdc = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"

func nat(n uint64) candid.Nat { return candid.NatFromUint64(n) }
func ptr[T any](v T) *T       { return &v }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// universe is an orchestrator with a management canister and a minter.
type universe struct {
	t      testing.TB
	w      *native.World
	m      *native.Management
	o      *server // of the present instance
	tokens []addCkErc20Token
	calls  map[string]int
	// chaos, if set, decides what becomes of a call: see newUniverse.
	chaos    func(method string) fate
	trap     bool   // the next event
	upgraded uint64 // when
}

type fate int

const (
	good     fate = iota
	refuse        // it is not carried out
	lost          // it is carried out, and the system says that it does not know
	trapped       // it is carried out, and the callback traps
	upgraded      // it is carried out, and the orchestrator is upgraded before it hears of it
	fates
)

func code(module []byte) func(*cdk.Canister) {
	switch {
	case strings.HasPrefix(string(module), "ledger"):
		return icrc.Canister
	case strings.HasPrefix(string(module), "index"):
		return ix.Canister
	case strings.HasPrefix(string(module), "archive"):
		return archiving.Canister
	case strings.HasPrefix(string(module), "idle index"):
		return idle
	}
	return nil
}

// idle is an index that does not ask its ledger for blocks, so that days pass quickly.
func idle(c *cdk.Canister) {
	var x *ix.Index
	open := func(i *ix.Index, err error) {
		if x = i; err != nil {
			c.Trap("%v", err)
		}
	}
	cdk.Init(c, func(a *ix.Arg) { open(ix.Create(c.Stable(), *a.Init)) })
	cdk.PostUpgrade(c, func(*ix.Arg) { open(ix.Open(c.Stable())) })
	cdk.Query(c, "ledger_id", func(*cdk.Msg, cdk.None) principal.Principal { return x.Ledger() })
}

func (u *universe) setup(c *cdk.Canister) {
	o := register(c)
	o.observe = func(w what) {
		// The other events are written by timers, whose trap would undo what is on the heap; here it would not.
		if u.trap && w.Creating == nil && w.Lost == nil {
			u.trap = false
			c.Trap("trapped by the test")
		}
	}
	u.o = o
}

func newUniverse(t testing.TB, seed uint64, arg InitArg) *universe {
	u := &universe{t: t, w: native.NewWorld(seed), calls: map[string]int{}}
	u.m = native.NewManagement(u.w, 100, code)
	under := func(act func(*native.Incoming) ([]byte, *cdk.RejectError)) func(*native.Incoming) {
		return func(in *native.Incoming) {
			u.calls[in.Method]++
			f := good
			if u.chaos != nil {
				f = u.chaos(in.Method)
			}
			if f == refuse {
				in.Reject(cdk.SysTransient, "not now")
				return
			}
			data, rej := act(in)
			switch {
			case f == lost:
				in.Reject(cdk.SysUnknown, "nobody knows")
				return
			case f == trapped:
				u.trap = true
			case f == upgraded && u.upgraded != u.w.Now():
				u.upgraded = u.w.Now()
				defer func() { must(u.t, u.w.Upgrade(selfID, u.setup, nil)) }()
			}
			if rej != nil {
				in.Reject(rej.Code, rej.Message)
				return
			}
			in.ReplyRaw(data)
		}
	}
	u.w.Handle(principal.Management, under(u.m.Do))
	u.w.Handle(minterID, under(u.minter))
	must(t, u.w.Install(selfID, u.setup, Arg{InitArg: &arg}, native.Controllers(root)))
	return u
}

// minter takes each token once, as ckETH's minter does.
func (u *universe) minter(in *native.Incoming) ([]byte, *cdk.RejectError) {
	switch in.Method {
	case "get_minter_info":
		info := minterInfo{Supported: &[]ckErc20Token{}}
		for _, t := range u.tokens {
			*info.Supported = append(*info.Supported, ckErc20Token{t.Symbol, t.Address, t.LedgerID})
		}
		return candid.MustMarshal(info), nil
	case "add_ckerc20_token":
		var token addCkErc20Token
		must(u.t, candid.Unmarshal(in.Arg, &token))
		for _, t := range u.tokens {
			if t.Address == token.Address {
				return nil, &cdk.RejectError{Code: cdk.CanisterError, Message: "there is such a token"}
			}
		}
		if in.Caller != selfID {
			return nil, &cdk.RejectError{Code: cdk.CanisterError, Message: "only the orchestrator adds tokens"}
		}
		u.tokens = append(u.tokens, token)
		return candid.MustMarshal(), nil
	}
	return nil, &cdk.RejectError{Code: cdk.DestinationInvalid, Message: in.Method}
}

func call[R any](u *universe, from principal.Principal, method string, args ...any) R {
	u.t.Helper()
	r, err := native.Update[R](u.w, from, selfID, method, args...)
	must(u.t, err)
	return r
}

func (u *universe) register(k kind, module string) string {
	u.t.Helper()
	arg := RegisterModuleArg{Kind: k.public()}
	sum := sha256.Sum256([]byte(module))
	arg.Hash = sum[:]
	for at := 0; at < len(module); at += 5 { // in chunks
		r := call[UploadResult](u, root, "upload_module_chunk", []byte(module[at:min(at+5, len(module))]))
		if r.Ok == nil {
			u.t.Fatal(*r.Err)
		}
		arg.Chunks = append(arg.Chunks, *r.Ok)
	}
	if r := call[Result](u, root, "register_module", arg); r.Ok == nil {
		u.t.Fatal(*r.Err)
	}
	return hex.EncodeToString(sum[:])
}

func token(i int) AddErc20Arg {
	address := usdc
	if i > 0 {
		address = fmt.Sprintf("0x%040d", i)
	}
	return AddErc20Arg{Erc20Contract{nat(1337), address}, LedgerInitArg{nat(2_000_000 + uint64(i)), 6, fmt.Sprintf("ckTOK%d", i), fmt.Sprintf("Token %d", i), "data:image/svg+xml,"}}
}

func (u *universe) info() Info {
	u.t.Helper()
	r, err := native.Query[Info](u.w, other, selfID, "get_orchestrator_info")
	must(u.t, err)
	return r
}

// settled fails unless every token has one ledger and one index, each with the module wanted and running, and the minter knows.
func (u *universe) settled(tokens int, modules [kinds]string) {
	u.t.Helper()
	info := u.info()
	if len(info.ManagedCanisters) != tokens || len(u.tokens) != tokens {
		u.t.Fatalf("%d tokens, of which the minter knows %d, want %d: %+v\n%s", len(info.ManagedCanisters), len(u.tokens), tokens, info.ManagedCanisters, strings.Join(u.w.Logs(), "\n"))
	}
	used := map[principal.Principal]bool{}
	for i, c := range info.ManagedCanisters {
		if c.Problem != nil || !c.MinterNotified || c.Ledger == nil || c.Ledger.Installed == nil || c.Index == nil || c.Index.Installed == nil {
			u.t.Fatalf("token %d: %+v, problem %v", i, c, deref(c.Problem))
		}
		for k, in := range []*InstalledCanister{c.Ledger.Installed, c.Index.Installed} {
			x := u.m.Find(in.CanisterID)
			if used[in.CanisterID] || x == nil || string(x.Module) != modules[k] || x.Stopped || x.Installs != 1 {
				u.t.Fatalf("the %s of token %d is %+v", kind(k), i, x)
			}
			if sum := sha256.Sum256(x.Module); in.InstalledWasmHash != hex.EncodeToString(sum[:]) {
				u.t.Fatalf("the %s of token %d is said to have %s", kind(k), i, in.InstalledWasmHash)
			}
			used[in.CanisterID] = true
		}
		follows, err := native.Query[principal.Principal](u.w, other, c.Index.Installed.CanisterID, "ledger_id")
		must(u.t, err)
		known := false
		for _, t := range u.tokens {
			known = known || t.LedgerID == c.Ledger.Installed.CanisterID && t.Symbol == c.CkErc20TokenSymbol && t.Address == c.Erc20Contract.Address
		}
		if follows != c.Ledger.Installed.CanisterID || !known {
			u.t.Fatalf("token %d: its index follows %s, the minter knows it: %t", i, follows, known)
		}
	}
	orphans := uint64(0)
	for _, c := range u.m.Canisters {
		if !used[c.ID] {
			orphans++
			if c.Module != nil {
				u.t.Fatalf("canister %s of no token has code", c.ID)
			}
		}
	}
	if orphans > info.LostCanisters {
		u.t.Fatalf("%d canisters belong to no token, %d are said to be lost", orphans, info.LostCanisters)
	}
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// A token that is added gets its ledger and index with the parameters asked for, the minter learns of it, and all of it is still known after
// an upgrade.
func TestAddToken(t *testing.T) {
	u := newUniverse(t, 1, InitArg{MoreControllerIDs: []principal.Principal{root}, MinterID: &minterID})
	if r := call[Result](u, root, "add_erc20", token(0)); r.Err == nil || !strings.Contains(*r.Err, "upload them first") {
		t.Fatalf("without modules: %+v", r)
	}
	u.register(ledger, "ledger v1")
	u.register(index, "index v1")
	if r := call[Result](u, root, "add_erc20", token(0)); r.Ok == nil {
		t.Fatal(*r.Err)
	}
	must(t, u.w.Advance(time.Second))
	u.settled(1, [kinds]string{"ledger v1", "index v1"})
	if u.calls["create_canister"] != 2 || u.calls["install_code"] != 2 || u.info().LostCanisters != 0 {
		t.Errorf("calls %v", u.calls)
	}
	// By the upgrade argument, as proposals do.
	must(t, u.w.Upgrade(selfID, u.setup, &Arg{AddErc20Arg: ptr(token(1))}))
	must(t, u.w.Advance(time.Second))
	u.settled(2, [kinds]string{"ledger v1", "index v1"})

	ids, err := native.Query[*ManagedCanisterIDs](u.w, other, selfID, "canister_ids", Erc20Contract{nat(1337), strings.ToLower(usdc)})
	must(t, err)
	if ids == nil || ids.Ledger == nil || ids.Index == nil {
		t.Fatalf("%+v", ids)
	}
	for _, c := range []Erc20Contract{{nat(1), usdc}, {nat(1337), "0x"}, {nat(1337), fmt.Sprintf("0x%040d", 9)}} {
		if none, err := native.Query[*ManagedCanisterIDs](u.w, other, selfID, "canister_ids", c); err != nil || none != nil {
			t.Errorf("%+v, %v", none, err)
		}
	}
	if c := u.m.Find(*ids.Ledger); len(c.Controllers) != 2 || c.Cycles.Cmp(cdk.CyclesOf(200e12)) != 0 {
		t.Errorf("the ledger is %+v", c)
	}
	alice := icrc.Account{Owner: other}
	minted, err := native.Update[icrc.TransferResult](u.w, minterID, *ids.Ledger, "icrc1_transfer", icrc.TransferArg{To: alice, Amount: nat(5_000_000)})
	if err != nil || minted.Ok == nil {
		t.Fatalf("%+v, %v", minted, err)
	}
	if r, err := native.Update[icrc.TransferResult](u.w, other, *ids.Ledger, "icrc1_transfer", icrc.TransferArg{To: icrc.Account{Owner: root}, Amount: nat(1)}); err != nil || r.Ok == nil {
		t.Fatalf("%+v, %v", r, err)
	}
	must(t, u.w.Advance(10*time.Second))
	fees := append(make([]byte, 30), 0x0f, 0xee)
	for _, want := range []struct {
		a icrc.Account
		n uint64
	}{{alice, 2_999_999}, {icrc.Account{Owner: minterID, Subaccount: &fees}, 2_000_000}} {
		if got, err := native.Query[candid.Nat](u.w, other, *ids.Index, "icrc1_balance_of", want.a); err != nil || got.Cmp(nat(want.n)) != 0 {
			t.Errorf("balance %s, %v, want %d", got, err, want.n)
		}
	}
	metadata, err := native.Query[[]icrc.MetadataEntry](u.w, other, *ids.Ledger, "icrc1_metadata")
	must(t, err)
	seen := map[string]string{}
	for _, e := range metadata {
		switch {
		case e.Value.Text != nil:
			seen[e.Key] = *e.Value.Text
		case e.Value.Nat != nil:
			seen[e.Key] = e.Value.Nat.String()
		}
	}
	for key, want := range map[string]string{"icrc1:symbol": "ckTOK0", "icrc1:name": "Token 0", "icrc1:decimals": "6", "icrc1:fee": "2000000", "icrc1:logo": "data:image/svg+xml,"} {
		if seen[key] != want {
			t.Errorf("%s is %q, want %q", key, seen[key], want)
		}
	}
	if r, err := native.Query[icrc.IndexPrincipalResult](u.w, other, *ids.Ledger, "icrc106_get_index_principal"); err != nil || r.Ok == nil || *r.Ok != *ids.Index {
		t.Errorf("index of the ledger: %+v, %v", r, err)
	}
}

// Whatever becomes of the calls and of the orchestrator itself while they are open, every token ends with one ledger and one index, both upgraded
// when asked, and nothing was installed twice.
func TestCrashes(t *testing.T) {
	seeds := 100
	if testing.Short() {
		seeds = 50
	}
	seen := map[string]bool{}
	lostCanisters := uint64(0)
	for seed := range uint64(seeds) {
		u := newUniverse(t, seed, InitArg{MoreControllerIDs: []principal.Principal{root}, MinterID: &minterID})
		u.register(ledger, "ledger v1")
		u.register(index, "idle index v1")
		rng := rand.New(rand.NewPCG(seed, 1))
		left := 25
		u.chaos = func(method string) fate {
			// At most one ledger and one index per token ever have code.
			has := map[bool]int{}
			for _, c := range u.m.Canisters {
				if c.Module != nil {
					has[strings.HasPrefix(string(c.Module), "ledger")]++
				}
			}
			if n := len(u.info().ManagedCanisters); has[true] > n || has[false] > n {
				t.Fatalf("seed %d: %v installed for %d tokens", seed, has, n)
			}
			if left == 0 {
				return good
			}
			left--
			f := fate(rng.IntN(int(fates)))
			seen[fmt.Sprintf("%s %d", method, f)] = true
			return f
		}
		const tokens = 2
		for i := range tokens {
			if r := call[Result](u, root, "add_erc20", token(i)); r.Ok == nil {
				t.Fatal(*r.Err)
			}
			must(t, u.w.Advance(time.Duration(rng.IntN(3000))*time.Millisecond))
		}
		must(t, u.w.Advance(2*time.Hour))
		u.trap = false
		u.settled(tokens, [kinds]string{"ledger v1", "idle index v1"})

		arg := UpgradeArg{LedgerHash: ptr(u.register(ledger, "ledger v2")), IndexHash: ptr(u.register(index, "idle index v2"))}
		left = 15
		must(t, u.w.Upgrade(selfID, u.setup, &Arg{UpgradeArg: &arg}))
		must(t, u.w.Advance(2*time.Hour))
		u.trap = false
		must(t, u.w.Advance(2*time.Hour))
		u.settled(tokens, [kinds]string{"ledger v2", "idle index v2"})
		lostCanisters += u.info().LostCanisters
	}
	for _, method := range []string{"create_canister", "install_code", "canister_status", "stop_canister", "start_canister", "get_minter_info", "add_ckerc20_token"} {
		for f := range fates {
			if !seen[fmt.Sprintf("%s %d", method, f)] {
				t.Errorf("fate %d of %s was never tried", f, method)
			}
		}
	}
	if lostCanisters == 0 {
		t.Error("no outcome of a creation was lost")
	}
}

// A suite that somebody else made is adopted, with what is then due for it.
func TestAdopts(t *testing.T) {
	u := newUniverse(t, 1, InitArg{MoreControllerIDs: []principal.Principal{}, MinterID: &minterID})
	v1, x1 := u.register(ledger, "ledger v1"), u.register(index, "index v1")
	if r := call[Result](u, root, "add_erc20", token(0)); r.Ok == nil {
		t.Fatal(*r.Err)
	}
	must(t, u.w.Advance(time.Second))
	made := u.info().ManagedCanisters[0]
	// Another orchestrator takes the canisters over: it only has to be their controller, which here it is by having the same id.
	v := newUniverse(t, 2, InitArg{MoreControllerIDs: []principal.Principal{}, MinterID: &minterID})
	v.m.Canisters = u.m.Canisters
	for _, c := range v.m.Canisters {
		setup := code(c.Module)
		arg := candid.MustMarshal(icrc.LedgerArg{Init: u.o.s.ledgerArg(selfID, u.o.s.suites[0]).Init})
		if strings.HasPrefix(string(c.Module), "index") {
			arg = candid.MustMarshal(&ix.Arg{Init: &ix.InitArg{LedgerID: made.Ledger.Installed.CanisterID}})
		}
		must(t, v.w.Install(c.ID, setup, arg))
	}
	list := []InstalledLedgerSuite{{"ckTOK0", *made.Ledger.Installed, *made.Index.Installed, nil}}
	v.register(ledger, "ledger v1")
	v2, x2 := v.register(ledger, "ledger v2"), v.register(index, "index v2")
	must(t, v.w.Upgrade(selfID, v.setup, &Arg{UpgradeArg: &UpgradeArg{ManageLedgerSuites: &list}}))
	must(t, v.w.Advance(time.Minute))
	got := (*v.info().ManagedPreExisting)[0]
	if got.Ledger.Installed.InstalledWasmHash != v1 || got.Index.Installed.InstalledWasmHash != x1 || v.calls["install_code"] != 0 {
		t.Fatalf("%+v, calls %v", got, v.calls)
	}
	must(t, v.w.Upgrade(selfID, v.setup, &Arg{UpgradeArg: &UpgradeArg{LedgerHash: &v2, IndexHash: &x2, GitCommitHash: ptr(strings.Repeat("ab", 20))}}))
	must(t, v.w.Advance(time.Minute))
	got = (*v.info().ManagedPreExisting)[0]
	if got.Ledger.Installed.InstalledWasmHash != v2 || got.Index.Installed.InstalledWasmHash != x2 || got.Problem != nil {
		t.Fatalf("%+v", got)
	}
	if err := v.w.Upgrade(selfID, v.setup, &Arg{UpgradeArg: &UpgradeArg{ManageLedgerSuites: &list}}); err == nil || !strings.Contains(err.Error(), "managed already") {
		t.Errorf("twice: %v", err)
	}
}

// Canisters that run low get cycles, once an hour and one increment at a time.
func TestTopUp(t *testing.T) {
	cycles := CyclesManagement{nat(30), nat(0), nat(500), nat(100)}
	u := newUniverse(t, 1, InitArg{MoreControllerIDs: []principal.Principal{}, MinterID: &minterID, CyclesManagement: &cycles})
	u.register(ledger, "ledger v1")
	u.register(index, "index v1")
	if r := call[Result](u, root, "add_erc20", token(0)); r.Ok == nil {
		t.Fatal(*r.Err)
	}
	must(t, u.w.Advance(90*time.Minute))
	has := func() (n [2]uint64) {
		for i, c := range u.m.Canisters {
			n[i] = c.Cycles.Lo
		}
		return n
	}
	if got := has(); got != [2]uint64{130, 500} {
		t.Errorf("after an hour: %v", got)
	}
	must(t, u.w.Upgrade(selfID, u.setup, &Arg{UpgradeArg: &UpgradeArg{CyclesManagement: &UpdateCyclesManagement{TopUpIncrement: ptr(nat(200))}}}))
	failed := false
	u.chaos = func(method string) fate {
		if !failed && method == "deposit_cycles" {
			failed = true
			return refuse
		}
		return good
	}
	must(t, u.w.Advance(5*time.Hour))
	if got := has(); got != [2]uint64{330, 500} || !failed {
		t.Errorf("later: %v", got)
	}
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		name string
		arg  Arg
	}{
		{"an upgrade argument", Arg{UpgradeArg: &UpgradeArg{}}},
		{"too many controllers", Arg{InitArg: &InitArg{MoreControllerIDs: make([]principal.Principal, 10)}}},
		{"no minter", Arg{InitArg: &InitArg{MinterID: &principal.Anonymous}}},
	} {
		if err := native.NewWorld(1).Install(selfID, Canister, c.arg); err == nil {
			t.Errorf("%s is accepted", c.name)
		}
	}
	u := newUniverse(t, 1, InitArg{MoreControllerIDs: []principal.Principal{}})
	v1 := u.register(ledger, "ledger v1")
	u.register(index, "index v1")
	if r := call[Result](u, root, "add_erc20", token(0)); r.Err == nil || !strings.Contains(*r.Err, "no minter") {
		t.Errorf("without a minter: %+v", r)
	}
	u = newUniverse(t, 1, InitArg{MoreControllerIDs: []principal.Principal{}, MinterID: &minterID})
	u.register(ledger, "ledger v1")
	u.register(index, "index v1")
	if r := call[Result](u, root, "add_erc20", token(0)); r.Ok == nil {
		t.Fatal(*r.Err)
	}
	must(t, u.w.Advance(time.Second))
	change := func(f func(*AddErc20Arg)) AddErc20Arg {
		a := token(1)
		f(&a)
		return a
	}
	for _, c := range []struct {
		name string
		arg  AddErc20Arg
		says string
	}{
		{"the same contract", change(func(a *AddErc20Arg) { a.Contract.Address = strings.ToLower(usdc) }), "has its ledger already"},
		{"the same symbol", change(func(a *AddErc20Arg) { a.LedgerInitArg.TokenSymbol = "ckTOK0" }), "there is a token ckTOK0"},
		{"no address", change(func(a *AddErc20Arg) { a.Contract.Address = "0x12" }), "0x12"},
		{"a wrong checksum", change(func(a *AddErc20Arg) { a.Contract.Address = strings.Replace(usdc, "A0b8", "a0B8", 1) }), "checksum"},
		{"address zero", change(func(a *AddErc20Arg) { a.Contract.Address = "0x" + strings.Repeat("0", 40) }), "contract 0x0"},
		{"no chain", change(func(a *AddErc20Arg) { a.Contract.ChainID = nat(0) }), "chain 0"},
		{"no name", change(func(a *AddErc20Arg) { a.LedgerInitArg.TokenName = "" }), "token_name"},
		{"a name that hides", change(func(a *AddErc20Arg) { a.LedgerInitArg.TokenName = "a\u202eb" }), "token_name"},
		{"a long symbol", change(func(a *AddErc20Arg) { a.LedgerInitArg.TokenSymbol = strings.Repeat("x", 65) }), "token_symbol"},
		{"a large logo", change(func(a *AddErc20Arg) { a.LedgerInitArg.TokenLogo = strings.Repeat("x", maxLogo+1) }), "logo"},
		{"a large fee", change(func(a *AddErc20Arg) {
			v := icrc.MaxAmount.Nat()
			a.LedgerInitArg.TransferFee = v.Add(nat(1))
		}), "256 bits"},
	} {
		if r := call[Result](u, root, "add_erc20", c.arg); r.Err == nil || !strings.Contains(*r.Err, c.says) {
			t.Errorf("%s: %v, want %q", c.name, deref(r.Err), c.says)
		}
	}
	hash := strings.Repeat("ab", 32)
	for _, c := range []struct {
		name string
		arg  Arg
		says string
	}{
		{"init again", Arg{InitArg: &InitArg{}}, "an upgrade takes"},
		{"an unknown module", Arg{UpgradeArg: &UpgradeArg{LedgerHash: &hash}}, "no module of a ledger is registered"},
		{"a module of the other kind", Arg{UpgradeArg: &UpgradeArg{IndexHash: &v1}}, "no module of a index is registered"},
		{"no hash", Arg{UpgradeArg: &UpgradeArg{LedgerHash: ptr("x")}}, "no SHA-256"},
		{"an unknown module of archives", Arg{UpgradeArg: &UpgradeArg{ArchiveHash: &hash}}, "no module of a archive is registered"},
		{"no commit", Arg{UpgradeArg: &UpgradeArg{GitCommitHash: &hash}}, "git_commit_hash"},
	} {
		if err := u.w.Upgrade(selfID, u.setup, &c.arg); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", c.name, err, c.says)
		}
	}
	for _, c := range []struct {
		name string
		arg  RegisterModuleArg
		says string
	}{
		{"no kind", RegisterModuleArg{Hash: make([]byte, 32), Chunks: [][]byte{make([]byte, 32)}}, ""},
		{"no chunks", RegisterModuleArg{Kind: ledger.public(), Hash: make([]byte, 32)}, "and chunks"},
		{"an unknown chunk", RegisterModuleArg{Kind: ledger.public(), Hash: make([]byte, 32), Chunks: [][]byte{make([]byte, 32)}}, "was not uploaded"},
		{"no chunk hash", RegisterModuleArg{Kind: ledger.public(), Hash: make([]byte, 32), Chunks: [][]byte{{1}}}, "no hash of a chunk"},
		{"another hash", RegisterModuleArg{Kind: ledger.public(), Hash: make([]byte, 32), Chunks: func() [][]byte {
			h := sha256.Sum256([]byte("ledge"))
			return [][]byte{h[:]}
		}()}, "together, not"},
	} {
		r, err := native.Update[Result](u.w, root, selfID, "register_module", c.arg)
		if text := fmt.Sprint(deref(r.Err), err); err == nil && r.Err == nil || !strings.Contains(text, c.says) {
			t.Errorf("%s: %s, want %q", c.name, text, c.says)
		}
	}
	for _, n := range []int{0, maxChunk + 1} {
		if r := call[UploadResult](u, root, "upload_module_chunk", make([]byte, n)); r.Err == nil {
			t.Errorf("a chunk of %d bytes is accepted", n)
		}
	}
	for method, arg := range map[string]any{"upload_module_chunk": []byte("x"), "register_module": RegisterModuleArg{Kind: ledger.public()}, "add_erc20": token(1)} {
		if _, err := u.w.UpdateRaw(other, selfID, method, candid.MustMarshal(arg)); err == nil || !strings.Contains(err.Error(), "only controllers") {
			t.Errorf("%s by somebody: %v", method, err)
		}
	}
	list, err := native.Query[[]ModuleInfo](u.w, other, selfID, "get_modules")
	if err != nil || len(list) != 2 || list[0].Hash != v1 || list[0].Size != 9 {
		t.Errorf("modules %+v, %v", list, err)
	}
}

// The ledger of a token makes its archives from the module that is registered for them; the orchestrator finds them and gives them cycles.
func TestArchives(t *testing.T) {
	u := newUniverse(t, 5, InitArg{MinterID: &minterID, MoreControllerIDs: []principal.Principal{root}})
	u.register(ledger, "ledger 1")
	u.register(index, "idle index 1")
	if r := call[Result](u, root, "add_erc20", token(0)); r.Ok == nil {
		t.Fatal(*r.Err)
	}
	module := u.register(archive, "archive 1")
	if r := call[Result](u, root, "add_erc20", token(1)); r.Ok == nil {
		t.Fatal(*r.Err)
	}
	must(t, u.w.Advance(time.Minute))
	for _, token := range u.tokens {
		for range 2001 {
			_, err := u.w.Submit(minterID, token.LedgerID, "icrc1_transfer", icrc.TransferArg{To: icrc.Account{Owner: other}, Amount: nat(1)})
			must(t, err)
		}
	}
	must(t, u.w.Advance(time.Minute))
	must(t, u.w.Advance(time.Hour))
	info := u.info()
	if info.LedgerSuiteVersion.ArchiveHash != module || len(info.ManagedCanisters[0].Archives) != 0 || len(info.ManagedCanisters[1].Archives) != 1 {
		t.Fatalf("%+v; %v", info, u.w.Logs())
	}
	id := info.ManagedCanisters[1].Archives[0]
	c := u.m.Find(id)
	if c == nil || string(c.Module) != "archive 1" || len(c.Controllers) != 3 || c.Creator != u.tokens[1].LedgerID || c.Cycles.Lo != 100_000_000_000_000 {
		t.Fatalf("archive %+v", c)
	}
	c.Cycles = cdk.CyclesOf(5) // nearly out
	must(t, u.w.Upgrade(selfID, u.setup, nil))
	if list := u.info().ManagedCanisters[1].Archives; len(list) != 1 || list[0] != id {
		t.Fatalf("archives %v after an upgrade", list)
	}
	must(t, u.w.Advance(2*time.Hour))
	if c.Cycles.Lo != 10_000_000_000_005 {
		t.Errorf("the archive has %s cycles", c.Cycles)
	}
	r, err := native.Query[icrc.GetTransactionsResponse](u.w, other, u.tokens[1].LedgerID, "get_transactions", icrc.GetBlocksArgs{Length: nat(10)})
	if err != nil || len(r.ArchivedTransactions) != 1 {
		t.Fatal(r, err)
	}
}

// TestArchiveUpgrade: archives are upgraded like ledgers and indexes, those too that a ledger makes later of the module that it was installed with.
func TestArchiveUpgrade(t *testing.T) {
	u := newUniverse(t, 6, InitArg{MinterID: &minterID, MoreControllerIDs: []principal.Principal{root}})
	u.register(ledger, "ledger 1")
	u.register(index, "idle index 1")
	u.register(archive, "archive 1")
	for i := range 2 {
		if r := call[Result](u, root, "add_erc20", token(i)); r.Ok == nil {
			t.Fatal(*r.Err)
		}
	}
	must(t, u.w.Advance(time.Minute))
	archived := func(i int) *native.Managed {
		t.Helper()
		ledgerID := u.tokens[i].LedgerID
		for range 2001 {
			_, err := u.w.Submit(minterID, ledgerID, "icrc1_transfer", icrc.TransferArg{To: icrc.Account{Owner: other}, Amount: nat(1)})
			must(t, err)
		}
		must(t, u.w.Advance(time.Minute))
		list, err := native.Query[[]icrc.ICRC3Archive](u.w, other, ledgerID, "icrc3_get_archives", icrc.GetArchivesArgs{})
		must(t, err)
		if len(list) != 1 {
			t.Fatalf("%d archives; %v", len(list), u.w.Logs())
		}
		return u.m.Find(list[0].CanisterID)
	}
	first := archived(0)
	must(t, u.w.Advance(2*time.Hour))
	v2 := u.register(archive, "archive 2")
	if string(first.Module) != "archive 1" {
		t.Fatalf("registering a module changed an archive to %s", first.Module)
	}
	tried := map[string]int{}
	u.chaos = func(method string) fate { // each call fails in all ways before it succeeds
		tried[method]++
		return fate((tried[method]) % int(fates))
	}
	must(t, u.w.Upgrade(selfID, u.setup, &Arg{UpgradeArg: &UpgradeArg{ArchiveHash: &v2}}))
	must(t, u.w.Advance(2*time.Hour))
	u.chaos = nil
	must(t, u.w.Advance(time.Hour))
	if string(first.Module) != "archive 2" || first.Stopped || tried["install_code"] == 0 || u.info().ManagedCanisters[0].Problem != nil {
		t.Fatalf("the archive has %s, stopped %t, calls %v, problem %v", first.Module, first.Stopped, tried, deref(u.info().ManagedCanisters[0].Problem))
	}
	second := archived(1)
	must(t, u.w.Advance(2*time.Hour))
	must(t, u.w.Upgrade(selfID, u.setup, nil)) // what was done is known
	before := u.calls["install_code"]
	must(t, u.w.Advance(2*time.Hour))
	if string(second.Module) != "archive 2" || second.Stopped || u.calls["install_code"] != before {
		t.Fatalf("the second archive has %s, stopped %t; installations %d, then %d", second.Module, second.Stopped, before, u.calls["install_code"])
	}
	for _, c := range []*native.Managed{first, second} {
		if r, err := native.Query[icrc.BlockSpan](u.w, other, c.ID, "block_range"); err != nil || r.Next == 0 {
			t.Fatalf("archive %s has %+v, %v", c.ID, r, err)
		}
	}
}

// The orchestrator can stand in for the published one.
func TestServiceType(t *testing.T) {
	src, err := os.ReadFile("testdata/ledger_suite_orchestrator.did")
	must(t, err)
	published, err := candid.ParseDID(string(src))
	must(t, err)
	service, init := cdk.ServiceType(Canister)
	if err := candid.SubtypeStrict(service, published.Service); err != nil {
		t.Error(err)
	}
	if len(init) != 1 || len(published.Init) != 1 {
		t.Fatalf("init arguments: %d, published %d", len(init), len(published.Init))
	}
	if err := candid.SubtypeStrict(published.Init[0].Type, init[0].Type); err != nil {
		t.Errorf("init argument: %v", err)
	}
}
