package contracts

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"encoding/json"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/accounts/abi/bind/v2"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient/simulated"
	"github.com/ethereum/go-ethereum/params"
	"github.com/holiman/uint256"

	"fusion/eth"
	"fusion/ic/principal"
)

// chain is a node that mines each transaction at once.
type chain struct {
	simulated.Client
	sim   *simulated.Backend
	t     *testing.T
	auth  *bind.TransactOpts // deploys, owns tokens and deposits
	other *bind.TransactOpts
}

func (c *chain) SendTransaction(ctx context.Context, tx *types.Transaction) error {
	err := c.Client.SendTransaction(ctx, tx)
	c.sim.Commit()
	return err
}

func newChain(t *testing.T) *chain {
	t.Helper()
	alloc := types.GenesisAlloc{}
	opts := make([]*bind.TransactOpts, 2)
	for i := range opts {
		key := key(t, byte(i+1))
		opts[i] = bind.NewKeyedTransactor(key, params.AllDevChainProtocolChanges.ChainID)
		alloc[opts[i].From] = types.Account{Balance: new(big.Int).Mul(big.NewInt(1e6), big.NewInt(params.Ether))}
	}
	sim := simulated.NewBackend(alloc)
	t.Cleanup(func() { _ = sim.Close() })
	return &chain{Client: sim.Client(), sim: sim, t: t, auth: opts[0], other: opts[1]}
}

func key(t *testing.T, b byte) *ecdsa.PrivateKey {
	t.Helper()
	k, err := crypto.ToECDSA(bytes.Repeat([]byte{b}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// send calls a contract and returns its logs, or why it reverted.
func (c *chain) send(auth *bind.TransactOpts, to eth.Address, value *big.Int, data []byte) ([]*types.Log, string) {
	c.t.Helper()
	opts := *auth
	opts.Value = value
	tx, err := bind.Transact(bind.NewBoundContract(common.Address(to), abi.ABI{}, c, c, c), &opts, data)
	if err != nil {
		return nil, Reason(err)
	}
	r, err := bind.WaitMined(c.t.Context(), c, tx.Hash())
	if err != nil || r.Status != types.ReceiptStatusSuccessful {
		c.t.Fatalf("the transaction was sent and failed: %v", err)
	}
	return r.Logs, ""
}

// do is send of what must succeed.
func (c *chain) do(to eth.Address, data []byte) {
	c.t.Helper()
	if _, why := c.send(c.auth, to, nil, data); why != "" {
		c.t.Fatal(why)
	}
}

func (c *chain) ether(a eth.Address) *big.Int {
	c.t.Helper()
	n, err := c.BalanceAt(c.t.Context(), common.Address(a), nil)
	if err != nil {
		c.t.Fatal(err)
	}
	return n
}

func (c *chain) tokens(token, owner eth.Address) uint256.Int {
	c.t.Helper()
	answer, err := bind.NewBoundContract(common.Address(token), abi.ABI{}, c, c, c).CallRaw(&bind.CallOpts{}, eth.PackBalanceOf(owner))
	if err != nil {
		c.t.Fatal(err)
	}
	n, err := eth.UnpackUint(answer)
	if err != nil {
		c.t.Fatal(err)
	}
	return n
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

var (
	minter  = eth.Address{0x11, 19: 0x22} // has no code, as the minter's account
	someone = principal.MustParse("7hfb6-caaaa-aaaar-qadga-cai")
	sub     = [32]byte{1, 31: 9}
	allOnes = *new(uint256.Int).SetAllOne()
)

func TestDeposits(t *testing.T) {
	c := newChain(t)
	from := eth.Address(c.auth.From)
	current := must(DeployDeposit(t.Context(), c, c.auth, minter))(t)
	oldETH := must(DeployLegacyETH(t.Context(), c, c.auth, minter))(t)
	oldERC20 := must(DeployLegacyERC20(t.Context(), c, c.auth, minter))(t)
	token := must(DeployToken(t.Context(), c, c.auth, "Test Dollar", "TUSD", 6))(t)
	quiet := must(Deploy(t.Context(), c, c.auth, &QuietTokenMetaData, nil))(t)
	huge := allOnes
	huge.SubUint64(&huge, 1)
	for _, tok := range []eth.Address{token, quiet} {
		c.do(tok, NewDevToken().PackMint(c.auth.From, allOnes.ToBig()))
		c.do(tok, eth.PackApprove(current, &allOnes))
		c.do(tok, eth.PackApprove(oldERC20, &allOnes))
	}
	one, five := uint256.NewInt(1), uint256.NewInt(5e17)
	for name, s := range map[string]struct {
		helper eth.Address
		value  *uint256.Int
		data   []byte
		want   eth.Deposit
	}{
		"ether":                    {current, five, eth.PackDepositETH(someone, sub), eth.Deposit{Amount: *five, Subaccount: sub}},
		"a wei":                    {current, one, eth.PackDepositETH(someone, [32]byte{}), eth.Deposit{Amount: *one}},
		"ether the old way":        {oldETH, five, eth.PackLegacyDepositETH(someone), eth.Deposit{Amount: *five}},
		"tokens":                   {current, nil, eth.PackDepositERC20(token, &huge, someone, sub), eth.Deposit{Token: token, Amount: huge, Subaccount: sub}},
		"tokens the old way":       {oldERC20, nil, eth.PackLegacyDepositERC20(token, one, someone), eth.Deposit{Token: token, Amount: *one}},
		"tokens without an answer": {current, nil, eth.PackDepositERC20(quiet, one, someone, sub), eth.Deposit{Token: quiet, Amount: *one, Subaccount: sub}},
		"those the old way":        {oldERC20, nil, eth.PackLegacyDepositERC20(quiet, one, someone), eth.Deposit{Token: quiet, Amount: *one}},
	} {
		var value *big.Int
		balance := func() uint256.Int { return c.tokens(s.want.Token, minter) }
		if s.value != nil {
			value = s.value.ToBig()
			balance = func() uint256.Int { return *uint256.MustFromBig(c.ether(minter)) }
		}
		before := balance()
		logs, why := c.send(c.auth, s.helper, value, s.data)
		if why != "" {
			t.Errorf("%s: %s", name, why)
			continue
		}
		s.want.Contract, s.want.From, s.want.Principal = s.helper, from, someone
		var found []eth.Deposit
		var moved []eth.Transfer
		for _, l := range logs {
			if d, err := eth.ParseDeposit(Event(l)); err == nil {
				found = append(found, d)
			} else if m, err := eth.ParseTransfer(Event(l)); err == nil {
				moved = append(moved, m)
			} else {
				t.Errorf("%s: a log that is neither: %v", name, err)
			}
		}
		if len(found) != 1 || found[0] != s.want {
			t.Errorf("%s: %+v, want %+v", name, found, s.want)
		}
		if s.want.IsETH() != (len(moved) == 0) || len(moved) == 1 && moved[0] != (eth.Transfer{Token: s.want.Token, From: from, To: minter, Amount: s.want.Amount}) {
			t.Errorf("%s: moved %+v", name, moved)
		}
		after := balance()
		if after.Sub(&after, &before); after != s.want.Amount {
			t.Errorf("%s: the minter got %s, not %s", name, after.Dec(), s.want.Amount.Dec())
		}
	}
	for _, h := range []eth.Address{current, oldETH, oldERC20} {
		if c.ether(h).Sign() != 0 {
			t.Errorf("the helper %s kept %s wei", h, c.ether(h))
		}
		for _, tok := range []eth.Address{token, quiet} {
			if n := c.tokens(tok, h); !n.IsZero() {
				t.Errorf("the helper %s kept %s tokens", h, n.Dec())
			}
		}
	}
}

// TestRefusals: what could not be minted for, or would be minted wrongly, reverts with a reason, and nothing has moved.
func TestRefusals(t *testing.T) {
	c := newChain(t)
	helper := must(DeployDeposit(t.Context(), c, c.auth, minter))(t)
	oldETH := must(DeployLegacyETH(t.Context(), c, c.auth, minter))(t)
	oldERC20 := must(DeployLegacyERC20(t.Context(), c, c.auth, minter))(t)
	refuses := must(Deploy(t.Context(), c, c.auth, &RefusesEtherMetaData, nil))(t)
	stuck := must(DeployDeposit(t.Context(), c, c.auth, refuses))(t)
	odd := must(Deploy(t.Context(), c, c.auth, &OddTokenMetaData, nil))(t)
	token := NewOddToken()
	c.do(odd, token.PackMint(c.auth.From, big.NewInt(1e9)))
	c.do(odd, eth.PackApprove(helper, uint256.NewInt(1e6)))
	c.do(odd, eth.PackApprove(oldERC20, uint256.NewInt(1e6)))
	c.do(odd, eth.PackApprove(stuck, uint256.NewInt(1e6)))
	amount := uint256.NewInt(1000)
	good := eth.PackDepositERC20(odd, amount, someone, sub)
	one := big.NewInt(1)
	const none, fee, returnsFalse, falseButMoves, silent, reverts, bonus, reenters, garbage = 0, 1, 2, 3, 4, 5, 6, 7, 8
	principalOf := func(w eth.Word) []byte { return eth.Pack(eth.SelDepositETH, w, sub) }
	for name, s := range map[string]struct {
		helper   eth.Address
		oddity   uint8
		callback []byte
		value    *big.Int
		data     []byte
		want     string
	}{
		"no ether":                   {helper: helper, data: eth.PackDepositETH(someone, sub), want: "AmountIsZero()"},
		"no ether, the old way":      {helper: oldETH, data: eth.PackLegacyDepositETH(someone), want: "AmountIsZero()"},
		"no tokens":                  {helper: helper, data: eth.PackDepositERC20(odd, new(uint256.Int), someone, sub), want: "AmountIsZero()"},
		"no tokens, the old way":     {helper: oldERC20, data: eth.PackLegacyDepositERC20(odd, new(uint256.Int), someone), want: "AmountIsZero()"},
		"the token zero":             {helper: helper, data: eth.PackDepositERC20(eth.Address{}, amount, someone, sub), want: "NotAToken("},
		"a token without code":       {helper: oldERC20, data: eth.PackLegacyDepositERC20(minter, amount, someone), want: "NotAToken("},
		"a contract without tokens":  {helper: helper, data: eth.PackDepositERC20(helper, amount, someone, sub), want: "execution reverted"},
		"more than allowed":          {helper: helper, data: eth.PackDepositERC20(odd, uint256.NewInt(1e6+1), someone, sub), want: "NotAllowed("},
		"2^256-1 that are not there": {helper: helper, data: eth.PackDepositERC20(odd, &allOnes, someone, sub), want: "NotAllowed("},
		"ether to a token's deposit": {helper: helper, value: one, data: good, want: "execution reverted"},
		"ether alone":                {helper: helper, value: one, want: "execution reverted"},
		"a call of nothing":          {helper: helper, data: []byte{1, 2, 3, 4}, want: "execution reverted"},
		"a minter that refuses":      {helper: stuck, value: one, data: eth.PackDepositETH(someone, sub), want: "EtherRefused()"},
		"a fee":                      {helper: helper, oddity: fee, data: good, want: "WrongAmount(" + common.Address(odd).Hex() + ", 1000, 990)"},
		"a fee, the old way":         {helper: oldERC20, oddity: fee, data: eth.PackLegacyDepositERC20(odd, amount, someone), want: "WrongAmount("},
		"false":                      {helper: helper, oddity: returnsFalse, data: good, want: "TokenRefused("},
		"false after moving":         {helper: helper, oddity: falseButMoves, data: good, want: "TokenRefused("},
		"true after nothing":         {helper: helper, oddity: silent, data: good, want: "WrongAmount(" + common.Address(odd).Hex() + ", 1000, 0)"},
		"a token that reverts":       {helper: helper, oddity: reverts, data: good, want: "reverted: odd"},
		"too much":                   {helper: helper, oddity: bonus, data: good, want: "WrongAmount(" + common.Address(odd).Hex() + ", 1000, 1001)"},
		"garbage":                    {helper: helper, oddity: garbage, data: good, want: "TokenRefused("},
		"a token that calls back":    {helper: helper, oddity: reenters, callback: good, data: good, want: "Reentered()"},
		"back with ether":            {helper: helper, oddity: reenters, callback: eth.PackDepositETH(someone, sub), data: good, want: "Reentered()"},
		"the management canister":    {helper: helper, value: one, data: principalOf(eth.Word{}), want: "BadPrincipal("},
		"anonymous":                  {helper: helper, value: one, data: principalOf(eth.EncodePrincipal(principal.Anonymous)), want: "BadPrincipal("},
		"a principal of 30 bytes":    {helper: helper, value: one, data: principalOf(eth.Word{30, 1}), want: "BadPrincipal("},
		"bytes behind a principal":   {helper: helper, value: one, data: principalOf(eth.Word{1, 1, 31: 1}), want: "BadPrincipal("},
		"bytes behind 29":            {helper: helper, value: one, data: principalOf(eth.Word{29, 1, 30: 1}), want: "BadPrincipal("},
		"tokens for nobody":          {helper: helper, data: eth.Pack(eth.SelDepositERC20, eth.WordAddress(odd), eth.WordUint(amount), eth.Word{}, sub), want: "BadPrincipal("},
	} {
		c.do(odd, token.PackSetOddity(s.oddity))
		c.do(odd, token.PackSetCallback(s.callback))
		before, coins := c.tokens(odd, minter), c.ether(minter)
		if _, why := c.send(c.auth, s.helper, s.value, s.data); !strings.Contains(why, s.want) || why == "" {
			t.Errorf("%s: %q, want %s", name, why, s.want)
		}
		if c.tokens(odd, minter) != before || c.ether(minter).Cmp(coins) != 0 {
			t.Errorf("%s: something moved", name)
		}
	}
	// The lock opens again, and all lengths of principals are taken.
	c.do(odd, token.PackSetOddity(none))
	c.do(helper, good)
	for n := 1; n <= principal.MaxLen; n++ {
		p := principal.MustFromBytes(bytes.Repeat([]byte{0xff}, n))
		if _, why := c.send(c.auth, helper, one, eth.PackDepositETH(p, sub)); why != "" {
			t.Errorf("a principal of %d bytes: %s", n, why)
		}
	}
	if _, err := DeployDeposit(t.Context(), c, c.auth, eth.Address{}); err == nil || !strings.Contains(err.Error(), "MinterIsZero") {
		t.Errorf("a helper without a minter: %v", err)
	}
	if _, err := MinterOf(t.Context(), c, odd); err == nil {
		t.Error("a token is a helper")
	}
	if _, err := MinterOf(t.Context(), c, minter); err == nil {
		t.Error("an account without code is a helper")
	}
	if _, why := c.send(c.other, odd, nil, token.PackMint(c.other.From, one)); !strings.Contains(why, "NotTheDeployer") {
		t.Errorf("somebody else mints: %q", why)
	}
}

func TestSwap(t *testing.T) {
	c := newChain(t)
	swap := must(DeploySwap(t.Context(), c, c.auth))(t)
	s, bound := NewDevSwap(), NewDevSwap().Instance(c, common.Address(swap))
	var coins [2]common.Address
	for i := range coins {
		a := must(DeployToken(t.Context(), c, c.auth, "T", "T", 6))(t)
		coins[i] = common.Address(a)
		c.do(a, NewDevToken().PackMint(c.auth.From, big.NewInt(1e15)))
		c.do(a, eth.PackApprove(swap, &allOnes))
	}
	weth := common.Address(swap)
	later, none := big.NewInt(1<<40), new(big.Int)
	big1 := func(n int64) *big.Int { return big.NewInt(n) }
	send := func(value int64, data []byte, want string) {
		t.Helper()
		if _, why := c.send(c.auth, swap, big1(value), data); want == "" && why != "" || !strings.Contains(why, want) {
			t.Errorf("%q, want %q", why, want)
		}
	}
	reserves := func(a, b common.Address) (*big.Int, *big.Int) {
		t.Helper()
		r, err := bind.Call(bound, nil, s.PackGetReserves(a, b), s.UnpackGetReserves)
		if err != nil {
			t.Fatal(err)
		}
		return r.ReserveA, r.ReserveB
	}
	send(0, s.PackAddLiquidity(coins[0], coins[1], big1(1e9), big1(4e9), none, none, c.auth.From, later), "")
	send(1e18, s.PackAddLiquidityETH(coins[0], big1(3000e6), none, none, c.auth.From, later), "")
	// A second provider joins at the pool's price, and what is too much stays with it.
	send(2e18, s.PackAddLiquidityETH(coins[0], big1(3000e6), none, big1(1e18), c.auth.From, later), "")
	if a, b := reserves(coins[0], weth); a.Int64() != 6000e6 || b.Int64() != 2e18 || c.ether(swap).Int64() != 2e18 {
		t.Errorf("the pool has %s and %s, the contract %s", a, b, c.ether(swap))
	}
	send(0, s.PackAddLiquidity(coins[0], coins[1], big1(1e9), big1(1e9), big1(1e9), none, c.auth.From, later), "TooLittleOut(")

	trade := func(value int64, data []byte, path ...common.Address) {
		t.Helper()
		product := func(i int) *big.Int {
			a, b := reserves(path[i], path[i+1])
			return new(big.Int).Mul(a, b)
		}
		var before []*big.Int
		for i := range path[1:] {
			before = append(before, product(i))
		}
		send(value, data, "")
		for i := range before {
			if product(i).Cmp(before[i]) <= 0 {
				t.Errorf("step %d of a trade made the pool poorer", i)
			}
		}
	}
	holder := eth.Address{0x77}
	to := common.Address(holder)
	quote, err := bind.Call(bound, nil, s.PackGetAmountsOut(big1(1e6), coins[:]), s.UnpackGetAmountsOut)
	if err != nil || quote[1].Int64() != 3984027 { // 997·10⁶·4·10⁹ / (10⁹·1000 + 997·10⁶)
		t.Fatalf("a quote of %v, %v", quote, err)
	}
	send(0, s.PackSwapExactTokensForTokens(big1(1e6), big1(3984028), coins[:], to, later), "TooLittleOut(3984027, 3984028)")
	trade(0, s.PackSwapExactTokensForTokens(big1(1e6), quote[1], coins[:], to, later), coins[:]...)
	if n := c.tokens(eth.Address(coins[1]), holder); n.Uint64() != 3984027 {
		t.Errorf("a trade brought %s", n.Dec())
	}
	trade(1e15, s.PackSwapExactETHForTokens(none, []common.Address{weth, coins[0], coins[1]}, to, later), weth, coins[0], coins[1])
	had := c.ether(holder)
	trade(0, s.PackSwapExactTokensForETH(big1(1e6), none, []common.Address{coins[0], weth}, to, later), coins[0], weth)
	if c.ether(holder).Cmp(had) <= 0 {
		t.Error("tokens brought no ether")
	}
	send(0, s.PackSwapExactTokensForTokens(big1(1e6), none, coins[:], to, big1(1)), "Expired(1)")
	send(0, s.PackSwapExactTokensForTokens(big1(1e6), none, coins[:1], to, later), "BadPath()")
	send(0, s.PackSwapExactTokensForTokens(big1(1e6), none, []common.Address{coins[1], weth}, to, later), "BadPath()")
	send(1, s.PackSwapExactETHForTokens(none, []common.Address{weth, coins[1]}, to, later), "NoLiquidity()")
	send(0, s.PackSwapExactTokensForTokens(big1(1), none, []common.Address{coins[1], coins[0]}, to, later), "TooLittleOut(0, 1)")

	shares, err := bind.Call(bound, nil, s.PackLiquidityOf(coins[0], weth, c.auth.From), s.UnpackLiquidityOf)
	if err != nil || shares.Shares.Cmp(shares.Total) != 0 {
		t.Fatalf("%+v, %v", shares, err)
	}
	send(0, s.PackRemoveLiquidity(coins[0], weth, new(big.Int).Add(shares.Shares, big1(1)), none, none, to, later), "underflow")
	send(0, s.PackRemoveLiquidity(coins[0], weth, shares.Shares, none, none, to, later), "")
	if c.ether(swap).Sign() != 0 {
		t.Errorf("the last provider left %s wei", c.ether(swap))
	}
}

// TestEventsAndCallsOfTheInterface compares names and layouts with what package eth reads and writes, for which clients of the interface exist.
func TestEventsAndCallsOfTheInterface(t *testing.T) {
	parse := func(m *bind.MetaData) *abi.ABI { return must(m.ParseABI())(t) }
	current, oldETH, oldERC20 := parse(&CkDepositMetaData), parse(&CkEthDepositMetaData), parse(&CkErc20DepositMetaData)
	for _, e := range []struct {
		event abi.Event
		want  eth.Hash
	}{{current.Events["ReceivedEthOrErc20"], eth.TopicReceivedETHOrERC20}, {oldETH.Events["ReceivedEth"], eth.TopicReceivedETH}, {oldERC20.Events["ReceivedErc20"], eth.TopicReceivedERC20}} {
		if eth.Hash(e.event.ID) != e.want {
			t.Errorf("%s is %s", e.event.Sig, e.event.ID)
		}
	}
	for _, m := range []struct {
		contract *abi.ABI
		name     string
		want     eth.Selector
	}{{current, "depositEth", eth.SelDepositETH}, {current, "depositErc20", eth.SelDepositERC20}, {current, "getMinterAddress", eth.SelGetMinterAddress},
		{oldETH, "deposit", eth.SelLegacyETH}, {oldETH, "getMinterAddress", eth.SelGetMinterAddress}, {oldERC20, "deposit", eth.SelLegacyERC20}, {oldERC20, "getMinterAddress", eth.SelGetMinterAddress}} {
		method, ok := m.contract.Methods[m.name]
		if !ok || eth.Selector(method.ID) != m.want {
			t.Errorf("%s is %x, want %x", m.name, method.ID, m.want)
		}
		if payable := m.want == eth.SelDepositETH || m.want == eth.SelLegacyETH; method.IsPayable() != payable {
			t.Errorf("%s takes ether: %v", m.name, method.IsPayable())
		}
	}
	if n := len(current.Methods) + len(oldETH.Methods) + len(oldERC20.Methods); n != 7 {
		t.Errorf("the helpers have %d functions, want 7 and no way to change or empty them", n)
	}
}

var all = map[string]*bind.MetaData{"CkDeposit": &CkDepositMetaData, "CkEthDeposit": &CkEthDepositMetaData, "CkErc20Deposit": &CkErc20DepositMetaData, "DevToken": &DevTokenMetaData,
	"QuietToken": &QuietTokenMetaData, "OddToken": &OddTokenMetaData, "RefusesEther": &RefusesEtherMetaData, "DevSwap": &DevSwapMetaData}

// TestBindingsAreOfTheArtifacts: nobody forgot to run abigen, or edited what it made.
func TestBindingsAreOfTheArtifacts(t *testing.T) {
	files := must(filepath.Glob("artifacts/*.bin"))(t)
	if len(files) != len(all) {
		t.Errorf("%d artifacts, %d bindings", len(files), len(all))
	}
	for name, m := range all {
		if bin := must(os.ReadFile("artifacts/" + name + ".bin"))(t); "0x"+strings.TrimSpace(string(bin)) != m.Bin {
			t.Errorf("the code of %s differs: run make contracts", name)
		}
		var ours, theirs any
		if err := json.Unmarshal(bytes.ReplaceAll(must(os.ReadFile("artifacts/"+name+".abi"))(t), []byte(" "), nil), &ours); err != nil { // abigen drops spaces
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(m.ABI), &theirs); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(ours, theirs) {
			t.Errorf("the interface of %s differs: run make contracts", name)
		}
	}
}

// TestSourcesGiveTheArtifacts compiles again.
func TestSourcesGiveTheArtifacts(t *testing.T) {
	if os.Getenv("FUSION_E2E") == "" {
		t.Skip("the compiler is npm's: make e2e runs this")
	}
	dir := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "node", "build.mjs", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for name := range all {
		for _, kind := range []string{".bin", ".abi"} {
			if !bytes.Equal(must(os.ReadFile(filepath.Join(dir, name+kind)))(t), must(os.ReadFile("artifacts/"+name+kind))(t)) {
				t.Errorf("%s%s is not what the sources give: run make contracts", name, kind)
			}
		}
	}
}

// TestTransactionsOnANode hands transactions of package eth to a node: it accepts them, agrees on hash and sender, and replaces a waiting one by one
// with a bumped fee and by nothing less.
func TestTransactionsOnANode(t *testing.T) {
	c := newChain(t)
	signer := key(t, 1)
	from := must(eth.AddressFromPubKey(crypto.FromECDSAPub(&signer.PublicKey)))(t)
	tip := must(c.HeaderByNumber(t.Context(), nil))(t)
	base := *uint256.MustFromBig(tip.BaseFee)
	to := eth.Address{0x42}
	tx := eth.Transaction{ChainID: params.AllDevChainProtocolChanges.ChainID.Uint64(), GasLimit: eth.GasTransferETH, To: to, Value: *uint256.NewInt(5)}
	send := func(f eth.Fee) (eth.Signed, error) {
		t.Helper()
		tx.MaxPriorityFeePerGas, tx.MaxFeePerGas = f.MaxPriorityFeePerGas, f.MaxFeePerGas
		digest := tx.SigningHash()
		rs := [64]byte(must(crypto.Sign(digest[:], signer))(t))
		signed := must(tx.Sign(rs, crypto.CompressPubkey(&signer.PublicKey)))(t)
		var theirs types.Transaction
		if err := theirs.UnmarshalBinary(signed.Raw()); err != nil {
			t.Fatal(err)
		}
		return signed, c.Client.SendTransaction(t.Context(), &theirs) // without a block
	}
	fee := must(eth.EstimateFee(eth.FeeHistory{BaseFees: []uint256.Int{base, base}, Rewards: make([]uint256.Int, 1)}))(t)
	if _, err := send(fee); err != nil {
		t.Fatal(err)
	}
	var last eth.Signed
	for range 4 {
		next := eth.Bump(fee, base)
		for _, less := range []func(f *eth.Fee){
			func(f *eth.Fee) { f.MaxPriorityFeePerGas.SubUint64(&f.MaxPriorityFeePerGas, 1) }, func(f *eth.Fee) { f.MaxFeePerGas = fee.MaxFeePerGas },
		} {
			low := next
			less(&low)
			if _, err := send(low); err == nil || !strings.Contains(err.Error(), "underpriced") || low.Replaces(fee) {
				t.Errorf("%+v replaces %+v: %v", low, fee, err)
			}
		}
		var err error
		if last, err = send(next); err != nil {
			t.Fatalf("a bumped fee: %v", err)
		}
		fee = next
	}
	c.sim.Commit()
	if got := c.ether(to); got.Int64() != 5 {
		t.Errorf("%s wei arrived", got)
	}
	mined, waiting, err := c.TransactionByHash(t.Context(), common.Hash(last.Hash()))
	if err != nil || waiting {
		t.Fatalf("the last replacement is not in the block: %v", err)
	}
	if sender, err := types.Sender(types.LatestSignerForChainID(mined.ChainId()), mined); err != nil || eth.Address(sender) != from {
		t.Errorf("its sender is %s, %v, want %s", sender, err, from)
	}
}
