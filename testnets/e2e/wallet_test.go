package e2e

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"os"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/accounts/abi/bind/v2"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/signer/core/apitypes"
	"github.com/holiman/uint256"
	"golang.org/x/sync/errgroup"

	"fusion/adapters/ethereum/anvil"
	"fusion/chainkey"
	"fusion/eth"
	"fusion/eth/contracts"
	"fusion/ic/agent"
	"fusion/ic/candid"
	"fusion/ic/principal"
	"fusion/testnets"
	"fusion/testnets/golden"
)

// walletArg is the wallets' initial argument.
type walletArg struct {
	Key     string               `candid:"key"`
	ChainID uint64               `candid:"chain_id"`
	EvmRPC  *principal.Principal `candid:"evm_rpc"`
}

// TestWalletsSign has the wallets of every language sign messages and typed data. go-ethereum finds the address that the program derives
// without asking the canister.
func TestWalletsSign(t *testing.T) {
	s := openSamples(t)
	for _, l := range languages {
		t.Run(l, func(t *testing.T) {
			s := s.in(t)
			id := s.install(l, "wallet", walletArg{Key: testnets.TestKey, ChainID: anvil.ChainID})
			s.signs(id, s.walletAddress(id))
		})
	}
}

// walletAddress is a wallet's address, by its own word and by derivation from the subnet's key.
func (s *samples) walletAddress(id principal.Principal) eth.Address {
	t := s.t
	t.Helper()
	text := update[string](s, id, "address")
	a, err := eth.ParseAddress(text)
	must(t, err)
	derived, err := s.cli("key", "address", "--canister", id.String())
	must(t, err)
	if !strings.Contains(derived, text) {
		t.Fatalf("the wallet's address is %s; fusion key address says %s", text, derived)
	}
	return a
}

// recovered is who signed a digest.
func recovered(t *testing.T, digest []byte, signature string) eth.Address {
	t.Helper()
	sig, err := hex.DecodeString(strings.TrimPrefix(signature, "0x"))
	if err != nil || len(sig) != 65 || sig[64] != 27 && sig[64] != 28 {
		t.Fatalf("signature %q, %v", signature, err)
	}
	sig[64] -= 27
	key, err := crypto.SigToPub(digest, sig)
	must(t, err)
	return eth.Address(crypto.PubkeyToAddress(*key))
}

// The same message for go-ethereum and for the wallets.
const (
	permitJSON = `{
		"domain": {"name": "Dev", "version": "1", "chainId": 31337, "verifyingContract": "0x0102030000000000000000000000000000000000"},
		"types": {
			"EIP712Domain": [{"name": "name", "type": "string"}, {"name": "version", "type": "string"}, {"name": "chainId", "type": "uint256"}, {"name": "verifyingContract", "type": "address"}],
			"Permit": [{"name": "token", "type": "Token"}, {"name": "spenders", "type": "address[]"}, {"name": "change", "type": "int128"}, {"name": "tag", "type": "bytes4"},
				{"name": "note", "type": "bytes"}, {"name": "final", "type": "bool"}, {"name": "rounds", "type": "uint8[][2]"}],
			"Token": [{"name": "symbol", "type": "string"}, {"name": "decimals", "type": "uint8"}]
		},
		"primaryType": "Permit",
		"message": {"token": {"symbol": "grün", "decimals": 255}, "spenders": ["0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"], "change": "-5", "tag": "0xdeadbeef",
			"note": "0x010203", "final": true, "rounds": [["1", "2"], []]}
	}`
	permitCandid = `(record {
		domain = record { name = opt "Dev"; version = opt "1"; chain_id = opt 31337; verifying_contract = opt "0x0102030000000000000000000000000000000000" };
		types = vec {
			record { name = "Permit"; fields = vec { record { name = "token"; "type" = "Token" }; record { name = "spenders"; "type" = "address[]" };
				record { name = "change"; "type" = "int128" }; record { name = "tag"; "type" = "bytes4" }; record { name = "note"; "type" = "bytes" };
				record { name = "final"; "type" = "bool" }; record { name = "rounds"; "type" = "uint8[][2]" } } };
			record { name = "Token"; fields = vec { record { name = "symbol"; "type" = "string" }; record { name = "decimals"; "type" = "uint8" } } } };
		primary_type = "Permit";
		message = vec {
			variant { values = vec { variant { string = "grün" }; variant { number = 255 } } };
			variant { values = vec { variant { string = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed" } } };
			variant { number = -5 }; variant { bytes = blob "\de\ad\be\ef" }; variant { bytes = blob "\01\02\03" }; variant { boolean = true };
			variant { values = vec { variant { values = vec { variant { number = 1 }; variant { number = 2 } } }; variant { values = vec {} } } } } })`
)

// signs checks a wallet's signatures, and that nobody but its controller gets one.
func (s *samples) signs(id principal.Principal, address eth.Address) {
	t := s.t
	for _, text := range []string{"hello", strings.Repeat("grüße ", 40)} {
		var sig string
		must(t, s.owner.Update(s, id, "sign_message", []any{text}, []any{&sig}))
		digest := crypto.Keccak256(fmt.Appendf(nil, "\x19Ethereum Signed Message:\n%d%s", len(text), text))
		if got := recovered(t, digest, sig); got != address {
			t.Errorf("%q is signed by %s, not by %s", text, got, address)
		}
	}
	var permit apitypes.TypedData
	must(t, json.Unmarshal([]byte(permitJSON), &permit))
	digest, _, err := apitypes.TypedDataAndHash(permit)
	must(t, err)
	sig, err := s.cli("canister", "call", id.String(), "sign_typed_data", permitCandid)
	must(t, err)
	if got := recovered(t, digest, strings.Trim(sig, "(\", \n)")); got != address {
		t.Errorf("typed data is signed by %s, not by %s", got, address)
	}
	for what, change := range map[string][2]string{
		"for chain 1": {"chain_id = opt 31337", "chain_id = opt 1"}, `type "uint8"`: {"number = 255", "number = 256"}, `type "bytes4"`: {`\ad\be\ef`, `\ad\be`},
		`type "int12"`: {"int128", "int12"}, `no type "Letter"`: {`primary_type = "Permit"`, `primary_type = "Letter"`}, "checksum": {"0x5aA", "0x5AA"},
		"needs 2 fields": {"; variant { number = 255 }", ""}, `type "uint8[][2]"`: {"; variant { values = vec {} }", ""},
	} {
		if _, err := s.cli("canister", "call", id.String(), "sign_typed_data", strings.Replace(permitCandid, change[0], change[1], 1)); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%q: %v", what, err)
		}
	}
	s.refused(s.guest.Update(s, id, "sign_message", []any{"hello"}, []any{new(string)}), 4, "only controllers")
	s.refused(s.guest.Update(s, id, "send_eth", []any{address.String(), candid.NatFromUint64(1)}, nil), 4, "only controllers")
}

// TestWalletsPay has the wallets of every language pay on the chains of both nodes, geth in the process and anvil.
func TestWalletsPay(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{testnets.EthereumGeth, testnets.EthereumAnvil} {
		t.Run(kind, func(t *testing.T) {
			s := buildSamples(t)
			dir, err := os.MkdirTemp("", "fn") // not t.TempDir: its names are too long for Unix sockets
			must(t, err)
			t.Cleanup(func() { os.RemoveAll(dir) })
			_, err = testnets.Create(dir, testnets.Settings{Ethereum: kind, Keys: []chainkey.KeyID{testnets.EcdsaKey}})
			must(t, err)
			s.net = golden.RunDir(t, dir)
			must(t, s.net.WaitKeys(s))
			for name, a := range map[string]**agent.Agent{testnets.DefaultIdentity: &s.owner, "guest": &s.guest} {
				id, err := testnets.EnsureIdentity(dir, name)
				must(t, err)
				*a, err = s.net.Agent(id)
				must(t, err)
			}
			market := s.market()
			for _, l := range languages {
				t.Run(l, func(t *testing.T) { s.in(t).pays(l, market) })
			}
		})
	}
}

const ether = 1_000_000_000_000_000_000 // in wei

// market is a token and an exchange that has a pool of it and ETH.
type market struct {
	token, swap eth.Address
}

func (s *samples) market() (m market) {
	t := s.t
	t.Helper()
	chain := s.net.Ethereum()
	faucet := crypto.PubkeyToAddress(chain.FaucetKey().PublicKey)
	auth := bind.NewKeyedTransactor(chain.FaucetKey(), new(big.Int).SetUint64(chain.ChainID))
	var err error
	m.token, err = contracts.DeployToken(s, chain.Client(), auth, "Sample", "SMPL", 6)
	must(t, err)
	m.swap, err = contracts.DeploySwap(s, chain.Client(), auth)
	must(t, err)
	const pool = 1_000_000_000
	token := contracts.NewDevToken()
	s.faucet(m.token, nil, token.PackMint(faucet, big.NewInt(pool)))
	s.faucet(m.token, nil, token.PackApprove(common.Address(m.swap), big.NewInt(pool)))
	far := big.NewInt(math.MaxInt64)
	s.faucet(m.swap, uint256.NewInt(ether), contracts.NewDevSwap().PackAddLiquidityETH(common.Address(m.token), big.NewInt(pool), new(big.Int), new(big.Int), faucet, far))
	return m
}

// faucet sends a transaction of the faucet's.
func (s *samples) faucet(to eth.Address, wei *uint256.Int, data []byte) {
	s.t.Helper()
	if _, err := s.net.Ethereum().Faucet(s, &to, wei, data); err != nil {
		s.t.Fatal(contracts.Reason(err))
	}
}

// sent is a wallet's answer.
type sent struct {
	Nonce   uint64  `candid:"nonce"`
	Hash    *string `candid:"hash"`
	Problem *string `candid:"problem"`
}

func (s *samples) balance(a eth.Address) *big.Int {
	s.t.Helper()
	b, err := s.net.Ethereum().Client().BalanceAt(s, common.Address(a), nil)
	must(s.t, err)
	return b
}

func (s *samples) tokens(m market, a eth.Address) int64 {
	s.t.Helper()
	to := common.Address(m.token)
	data, err := s.net.Ethereum().Client().CallContract(s, ethereum.CallMsg{To: &to, Data: eth.PackBalanceOf(a)}, nil)
	must(s.t, err)
	n, err := eth.UnpackUint(data)
	must(s.t, err)
	return int64(n.Uint64())
}

// mined waits for a payment's transaction, checks who sent it and returns its fee.
func (s *samples) mined(p sent, from eth.Address, status uint64) *big.Int {
	t := s.t
	t.Helper()
	if p.Hash == nil || p.Problem != nil {
		text, _ := json.Marshal(p)
		t.Fatalf("not sent: %s", text)
	}
	client, hash := s.net.Ethereum().Client(), common.HexToHash(*p.Hash)
	var r *types.Receipt
	must(t, golden.Wait(s, "a receipt", func() (why string, err error) {
		if r, err = client.TransactionReceipt(s, hash); err == nil {
			return "", nil
		}
		return err.Error(), nil
	}))
	tx, _, err := client.TransactionByHash(s, hash)
	must(t, err)
	sender, err := types.Sender(types.LatestSignerForChainID(tx.ChainId()), tx)
	must(t, err)
	if eth.Address(sender) != from || tx.Nonce() != p.Nonce || r.Status != status {
		t.Fatalf("transaction %s is from %s with nonce %d and status %d, want %s, %d and %d", hash, sender, tx.Nonce(), r.Status, from, p.Nonce, status)
	}
	return new(big.Int).Mul(r.EffectiveGasPrice, new(big.Int).SetUint64(r.GasUsed))
}

// pays has a wallet pay ETH and tokens, swap, pay twice at once, pay more than it has, and cancel that. Every balance is exact.
func (s *samples) pays(language string, m market) {
	t := s.t
	id := s.install(language, "wallet", walletArg{Key: testnets.TestKey, ChainID: s.net.Ethereum().ChainID})
	wallet := s.walletAddress(id)
	friend := eth.Address(common.BytesToAddress(crypto.Keccak256([]byte(t.Name()))))
	has := big.NewInt(ether)
	s.faucet(wallet, uint256.MustFromBig(has), nil)
	owns := int64(5_000)
	s.faucet(m.token, nil, contracts.NewDevToken().PackMint(common.Address(wallet), big.NewInt(owns)))
	order := func(p *sent, method string, args ...any) error {
		for { // the chain moves between the replicas' questions of its fees: nothing was sent then, and one asks again
			err := s.owner.Update(s, id, method, args, []any{p})
			if err == nil || !strings.Contains(err.Error(), "eth_feeHistory") || !strings.Contains(err.Error(), "No consensus could be reached") {
				return err
			}
		}
	}
	pay := func(method string, args ...any) (p sent) {
		t.Helper()
		must(t, order(&p, method, args...))
		return p
	}
	spent := func(amounts ...*big.Int) {
		t.Helper()
		for _, n := range amounts {
			has = new(big.Int).Sub(has, n)
		}
		if got := s.balance(wallet); got.Cmp(has) != 0 {
			t.Fatalf("the wallet has %v wei, want %v", got, has)
		}
	}
	nat := candid.NatFromUint64

	amount := big.NewInt(ether / 100)
	spent(amount, s.mined(pay("send_eth", friend.String(), candid.NatFromBig(amount)), wallet, 1))
	if got := s.balance(friend); got.Cmp(amount) != 0 {
		t.Errorf("the friend has %v wei", got)
	}

	spent(s.mined(pay("erc20_transfer", m.token.String(), friend.String(), nat(1_234)), wallet, 1))
	if owns -= 1_234; s.tokens(m, friend) != 1_234 || s.tokens(m, wallet) != owns {
		t.Errorf("tokens: the friend has %d, the wallet %d", s.tokens(m, friend), s.tokens(m, wallet))
	}

	swap := contracts.NewDevSwap()
	to := common.Address(m.swap)
	out, err := s.net.Ethereum().Client().CallContract(s, ethereum.CallMsg{To: &to, Data: swap.PackGetAmountsOut(amount, []common.Address{to, common.Address(m.token)})}, nil)
	must(t, err)
	yields, err := swap.UnpackGetAmountsOut(out)
	must(t, err)
	type exchange struct {
		Router    string     `candid:"router"`
		WETH      string     `candid:"weth"`
		Token     string     `candid:"token"`
		Amount    candid.Nat `candid:"amount"`
		MinTokens candid.Nat `candid:"min_tokens"`
		Deadline  uint64     `candid:"deadline"`
	}
	want := exchange{m.swap.String(), m.swap.String(), m.token.String(), candid.NatFromBig(amount), candid.NatFromBig(yields[1]), math.MaxInt64}
	spent(amount, s.mined(pay("swap", want), wallet, 1))
	if owns += yields[1].Int64(); s.tokens(m, wallet) != owns {
		t.Errorf("after the swap the wallet has %d tokens, want %d", s.tokens(m, wallet), owns)
	}
	// The price has moved, so the same swap yields less than asked for: it is mined and fails, and costs its gas alone.
	spent(s.mined(pay("swap", want), wallet, 0))

	// Two at once.
	var both [2]sent
	var g errgroup.Group
	for i := range both {
		g.Go(func() error { return order(&both[i], "send_eth", friend.String(), nat(uint64(1+i))) })
	}
	must(t, g.Wait())
	if both[0].Nonce+both[1].Nonce != 4+5 {
		t.Errorf("two payments at once have nonces %d and %d, want 4 and 5", both[0].Nonce, both[1].Nonce)
	}
	spent(big.NewInt(1+2), s.mined(both[0], wallet, 1), s.mined(both[1], wallet, 1))

	// More than it has: the payment waits, and is cancelled.
	p := pay("send_eth", friend.String(), candid.NatFromBig(big.NewInt(ether)))
	if p.Nonce != 6 || p.Problem == nil || !strings.Contains(*p.Problem, "too little ETH") {
		text, _ := json.Marshal(p)
		t.Fatalf("too large a payment: %s", text)
	}
	spent(s.mined(pay("cancel", p.Nonce), wallet, 1))
	var left []sent
	must(t, s.owner.Update(s, id, "resume", nil, []any{&left}))
	if len(left) != 0 {
		t.Errorf("in the end %d payments are pending", len(left))
	}
}
