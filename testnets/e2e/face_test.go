package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/holiman/uint256"

	"fusion/ckledger/icrc"
	"fusion/eth"
	"fusion/ic/candid"
	"fusion/ic/identity"
	"fusion/ic/principal"
	"fusion/replica"
	"fusion/replica/http/face"
	"fusion/testnets"
	"fusion/testnets/canisters"
	"fusion/testnets/golden"
	"fusion/testnets/processes"
)

// runFace starts a copy of the golden network whose replica 0 has the wallet and whose replica 1 does not.
func runFace(ctx context.Context, t *testing.T) (*processes.Network, *golden.World) {
	t.Helper()
	program(t, "FUSION_BIN")
	dir := golden.Clone(t)
	for i, mode := range []face.Mode{face.Wallet, face.ReadOnly} {
		c, err := replica.LoadConfig(testnets.NodeDir(dir, i))
		must(t, err)
		c.Dashboard = string(mode)
		must(t, c.Save())
	}
	return runDir(ctx, t, dir)
}

// dashboard is the address of a page of the dashboard at an endpoint.
func dashboard(t *testing.T, endpoint, route string) string {
	t.Helper()
	u, err := url.Parse(endpoint)
	must(t, err)
	return fmt.Sprintf("http://dashboard.localhost:%s/#/%s", u.Port(), route)
}

// card is a selector for the part of the page with a title.
func card(title string) string { return fmt.Sprintf("[aria-label='%s'] ", title) }

// has is an expression for whether an element shows a text.
func has(selector, part string) string { return fmt.Sprintf("%s.includes(%q)", text(selector), part) }

// submit fills in a form of the page and sends it by the Enter key.
func (p *tab) submit(ctx context.Context, title string, fields ...string) {
	p.t.Helper()
	for i := 0; i < len(fields); i += 2 {
		p.value(ctx, fmt.Sprintf("document.querySelector(%q).focus()", card(title)+"[name="+fields[i]+"]"))
		must(p.t, p.do(ctx, p.session, "Input.insertText", params{"text": fields[i+1]}, nil))
	}
	p.press(ctx, "Enter", 13, "\r")
}

// keyboard goes through the page with the Tab key: all that can be pressed or filled in has its turn, and is seen to have it.
func (p *tab) keyboard(ctx context.Context, name string) {
	p.t.Helper()
	const all = `[...document.querySelectorAll('a[href], button, input, select, textarea, summary')].filter((x) => !x.disabled && x.tabIndex >= 0 && x.checkVisibility({visibilityProperty: true}))`
	n, err := strconv.Atoi(p.value(ctx, `document.activeElement?.blur(), window.seen = new Set(), `+all+`.length`))
	must(p.t, err)
	for range 2*n + 5 { // a page that moves on meanwhile may need a second round
		p.press(ctx, "Tab", 9, "")
		if hidden := p.value(ctx, `(() => { const x = document.activeElement, s = getComputedStyle(x); seen.add(x);
			return x === document.body || x === document.documentElement || s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) > 0 ? '' : x.outerHTML })()`); hidden != "" {
			p.t.Errorf("%s does not show that the focus is on %s", name, hidden)
		}
		if p.value(ctx, all+`.every((x) => seen.has(x))`) == "true" {
			return
		}
	}
	p.t.Errorf("the Tab key does not reach on %s: %s", name, p.value(ctx, all+`.filter((x) => !seen.has(x)).map((x) => x.outerHTML).join('\n')`))
}

// tidy checks what must hold of every page: no complaints, nobody else asked, nothing wider than a phone, names for all that can be pressed.
func (p *tab) tidy(ctx context.Context, name string) {
	p.t.Helper()
	if got := p.complaints(); len(got) > 0 {
		p.t.Errorf("%s complains: %q", name, got)
	}
	origin := p.value(ctx, "location.origin")
	for _, u := range p.requests() {
		if !strings.HasPrefix(u, origin+"/") && u != "about:blank" {
			p.t.Errorf("%s asks %s", name, u)
		}
	}
	if got := p.value(ctx, `[...document.querySelectorAll('a, button, input, img')].filter((x) => !x.labels?.length && !x.ariaLabel && !x.textContent.trim() && x.getAttribute('alt') === null).map((x) => x.outerHTML).join(' ')`); got != "" {
		p.t.Errorf("%s has elements without a name: %s", name, got)
	}
	p.keyboard(ctx, name)
	for _, screen := range []struct {
		width, height int
		scheme        string
	}{{360, 740, "dark"}, {1100, 900, "light"}} {
		p.screen(ctx, screen.width, screen.height, screen.scheme)
		if got := p.value(ctx, "Math.max(0, document.documentElement.scrollWidth - document.documentElement.clientWidth)"); got != "0" {
			p.t.Errorf("%s is %s pixels too wide for a screen of %d", name, got, screen.width)
		}
		p.picture(ctx, fmt.Sprintf("%s-%d-%s", name, screen.width, screen.scheme))
	}
	must(p.t, p.do(ctx, p.session, "Emulation.setEmulatedMedia", params{"features": []params{{"name": "prefers-reduced-motion", "value": "reduce"}}}, nil))
	if got := p.value(ctx, "document.getAnimations().length"); got != "0" {
		p.t.Errorf("%s moves for who asked it not to: %s animations", name, got)
	}
	must(p.t, p.do(ctx, p.session, "Emulation.setEmulatedMedia", params{"features": []params{}}, nil))
}

// specExample computes the id of the request in the specification's example.
const specExample = `Promise.all([import('/dashboard/agent.js'), import('/dashboard/bytes.js')]).then(([agent, bytes]) => bytes.hex(agent.hashOf({
	request_type: 'call', canister_id: Uint8Array.from([0, 0, 0, 0, 0, 0, 4, 210]), method_name: 'hello', arg: Uint8Array.from([68, 73, 68, 76, 0, 253, 42]),
	sender: Uint8Array.from([4]), ingress_expiry: 1685570400000000000n})))`

// spaceBomb decodes (vec null) of 2^30 elements.
const spaceBomb = `import('/dashboard/candid.js').then((c) => c.decode(Uint8Array.from([68, 73, 68, 76, 1, 109, 127, 1, 0, 128, 128, 128, 128, 4])), String).then(String, String)`

// TestFace uses the dashboard as a person does, in Chromium: looks at the network, deposits bitcoin, mints, sends and redeems with a key that the browser made, and
// reads the ledger.
func TestFace(t *testing.T) {
	program(t, "FUSION_BIN")
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute) // the network may have to be made first
	defer cancel()
	n, w := runFace(ctx, t)
	b := chromium(t)

	live := b.open(ctx, dashboard(t, n.URL(0), ""))
	live.wait(ctx, fmt.Sprintf("document.querySelectorAll(%q).length", card("Replicas")+".dot.good"), "4")
	live.wait(ctx, fmt.Sprintf("Number(%s.replaceAll(',', '')) > 0", text(card("Subnet")+".number")), "true")
	live.wait(ctx, has(card("Canisters"), "ckBTC minter"), "true")
	live.wait(ctx, has(card("Bitcoin"), "regtest"), "true")
	live.tidy(ctx, "network")
	// The page's own encodings: the worked example of the interface specification, "Request ids", and an answer that would fill the memory.
	if got := live.value(ctx, specExample); got != "1d1091364d6bb8a6c16b203ee75467d59ead468f523eb058880ae8ec80e2b101" {
		t.Errorf("the request id is %s", got)
	}
	if got := live.value(ctx, spaceBomb); !strings.Contains(got, "too many") {
		t.Errorf("a billion nulls are %s", got)
	}

	bob := user(t, w, "bob", 1)
	p := b.open(ctx, dashboard(t, n.URL(0), "ckbtc"))
	p.wait(ctx, fmt.Sprintf("document.querySelector('img.qr')?.naturalWidth > 0 && %s", has(".caption", "certified")), "true")
	address := p.value(ctx, text(".deposit .copy"))
	me := p.value(ctx, text(card("Your account")+".copy"))
	_, err := w.Chain.Send(ctx, testnets.SendRequest{Address: address, Satoshi: 5_000_000})
	must(t, err)
	deposit := card("Deposit bitcoin")
	p.wait(ctx, has(deposit+".staged .note", "in no block yet"), "true")
	_, err = w.Chain.Mine(ctx, testnets.MineRequest{Blocks: 6})
	must(t, err)
	p.wait(ctx, fmt.Sprintf("document.querySelector(%q)?.hidden", deposit+"button.primary"), "false")
	p.value(ctx, fmt.Sprintf("document.querySelector(%q).focus()", deposit+"button.primary"))
	p.press(ctx, "Enter", 13, "\r")
	p.wait(ctx, has(deposit+".staged .note", "Minted 0.05 BTC"), "true")
	holds := card("Your account") + ".number"
	p.wait(ctx, text(holds), "0.05 ckBTC")

	p.submit(ctx, "Send ckBTC", "to", bob.Agent.Sender().String(), "amount", "0.01")
	p.wait(ctx, has(card("Send ckBTC")+".outcome", "Sent 0.01 BTC"), "true")
	balance, err := bob.Own(ctx)
	must(t, err)
	if balance != 1_000_000 {
		t.Errorf("bob has %v", balance)
	}
	p.submit(ctx, "Send ckBTC", "to", bob.Agent.Sender().String(), "amount", "7")
	p.wait(ctx, has(card("Send ckBTC")+".outcome.bad", "There is not enough"), "true")

	const payee = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080" // BIP 173, on regtest
	p.submit(ctx, "Redeem for bitcoin", "to", payee, "amount", "0.02")
	p.wait(ctx, has(card("Redeem for bitcoin")+".outcome.good", "Burned 0.02 BTC"), "true")
	p.wait(ctx, has(card("Redeemed")+".note", "waits for confirmations"), "true")
	_, err = w.Chain.Mine(ctx, testnets.MineRequest{Blocks: 6})
	must(t, err)
	p.wait(ctx, has(card("Redeemed")+".note", "Paid by transaction"), "true")
	paid, err := w.Chain.Balance(ctx, payee)
	must(t, err)
	if paid < 1_900_000 || paid > 2_000_000 {
		t.Errorf("%v was paid", paid)
	}
	p.tidy(ctx, "ckbtc")

	// The key stays with the origin: another tab has it, a host that canisters share does not.
	again := b.open(ctx, dashboard(t, n.URL(0), "ckbtc"))
	again.wait(ctx, text(card("Your account")+".copy"), me)
	shared := b.open(ctx, n.URL(0)+"/#/ckbtc")
	shared.wait(ctx, "document.querySelector('main a[href^=\"http://dashboard.localhost:\"]') !== null", "true")
	if got := shared.value(ctx, "indexedDB.databases().then((l) => l.length)"); got != "0" {
		t.Errorf("a host that canisters share has %s databases", got)
	}
	// Without a wallet the page looks at any account.
	reader := b.open(ctx, dashboard(t, n.URL(1), "ckbtc"))
	reader.wait(ctx, "document.querySelector('[name=owner]') !== null", "true")
	reader.submit(ctx, "Look at an account", "owner", me)
	reader.wait(ctx, has(card("Deposits")+".note", "Minted"), "true")
	if got := reader.value(ctx, "document.querySelector('[name=amount]') === null"); got != "true" {
		t.Error("a wallet without leave")
	}
	reader.tidy(ctx, "ckbtc-reader")

	// The explorer follows the hashes of the ledger's blocks to the tip that the subnet signed. A memo is text, whatever it says.
	const hostile = "<img src=x onerror=alert(1)>"
	memo := []byte(hostile)
	_, err = bob.Transfer(ctx, icrc.TransferArg{To: icrc.Account{Owner: w.Minter}, Amount: candid.NatFromUint64(1), Memo: &memo}) // refused: too little to burn
	must(t, err)
	sent, err := bob.Transfer(ctx, icrc.TransferArg{To: user(t, w, "alice", 0).Account(), Amount: candid.NatFromUint64(1), Memo: &memo})
	must(t, err)
	explorer := b.open(ctx, dashboard(t, n.URL(0), "ledgers"))
	explorer.wait(ctx, has(card("Blocks")+"li .note", "memo “"+hostile[:14]), "true")
	explorer.wait(ctx, text(card("Blocks")+"header .mark"), "certified")
	explorer.tidy(ctx, "ledger")
	block := b.open(ctx, dashboard(t, n.URL(0), fmt.Sprintf("ledgers/%s/block/%s", w.Ledger, sent.Ok)))
	block.wait(ctx, has("main dl", "“"+hostile+"”"), "true")
	block.wait(ctx, text("main .card .mark"), "certified")
	block.tidy(ctx, "block")
	holder := b.open(ctx, dashboard(t, n.URL(0), fmt.Sprintf("ledgers/%s/account/%s", w.Ledger, me)))
	holder.wait(ctx, "document.querySelectorAll('main .kind').length > 2 && !document.querySelector('main img')", "true")
	holder.tidy(ctx, "account")

	// So are a token's names.
	foreign := hostileLedger(ctx, t, n)
	odd := b.open(ctx, dashboard(t, n.URL(0), "ledgers/"+foreign))
	odd.wait(ctx, has("main dl", hostile+"\u202e"), "true")
	odd.wait(ctx, "document.querySelectorAll('main img, main script').length", "0")
	odd.tidy(ctx, "hostile")
}

// hostileLedger installs a ledger whose token has names that would be markup.
func hostileLedger(ctx context.Context, t *testing.T, n *processes.Network) string {
	t.Helper()
	wasm, err := canisters.Module("icrc1_ledger")
	must(t, err)
	module := filepath.Join(t.TempDir(), "ledger.wasm.gz")
	must(t, os.WriteFile(module, wasm, 0o600))
	const names = `token_name = "<img src=x onerror=alert(1)>\u{202e}</script>"; token_symbol = "<script>alert(1)</script>"`
	arg := `(variant { Init = record { minting_account = record { owner = principal "aaaaa-aa" }; transfer_fee = 1 : nat; decimals = opt (2 : nat8); ` + names + `; metadata = vec {};
		initial_balances = vec { record { record { owner = principal "2vxsx-fae" }; 12345 : nat } };
		archive_options = record { num_blocks_to_archive = 1000 : nat64; trigger_threshold = 2000 : nat64; controller_id = principal "aaaaa-aa" } } })`
	out, err := exec.CommandContext(ctx, n.Program, "--data-dir", n.Dir, "canister", "install", module, "--arg", arg).CombinedOutput()
	must(t, err)
	id := created.FindSubmatch(out)
	if id == nil {
		t.Fatalf("no canister id in %q", out)
	}
	return string(id[1])
}

// TestFaceCketh deposits ether, mints, and redeems in Chromium. One replica is enough for the pages.
func TestFaceCketh(t *testing.T) {
	program(t, "CHROMIUM_BIN")
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	n := ckethNetwork(ctx, t, testnets.EthereumGeth, 1)
	p := chromium(t).open(ctx, dashboard(t, n.URL(0), "cketh"))
	p.wait(ctx, "document.querySelector('img.qr')?.naturalWidth > 0", "true")
	address, err := eth.ParseAddress(p.value(ctx, text(".deposit .copy")))
	must(t, err)
	_, err = n.Ethereum().Faucet(ctx, &address, uint256.NewInt(5e17), nil)
	must(t, err)
	deposit := card("Deposit ether")
	p.value(ctx, fmt.Sprintf("document.querySelector(%q).focus()", deposit+"button.primary"))
	p.press(ctx, "Enter", 13, "\r")
	p.wait(ctx, has(deposit+".staged .note", "Minted in ledger block"), "true")
	holds := text(card("Your account") + ".number")
	p.wait(ctx, fmt.Sprintf("parseFloat(%s) > 0.49", holds), "true")

	p.submit(ctx, "Send ckETH", "to", "aaaaa-aa", "amount", "0.0000000000000000001")
	p.wait(ctx, has(card("Send ckETH")+".outcome.bad", "18 decimals"), "true")
	const payee = "0x00000000000000000000000000000000DeaDBeef"
	p.submit(ctx, "Redeem for ether", "to", payee, "amount", "0.1")
	p.wait(ctx, has(card("Redeemed")+".note", "Paid by transaction 0x"), "true")
	p.tidy(ctx, "cketh")
}

// TestFaceCkerc20 deposits the development token by the call data that the page shows, sends and redeems it in Chromium.
func TestFaceCkerc20(t *testing.T) {
	program(t, "CHROMIUM_BIN")
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	n := ckethNetwork(ctx, t, testnets.EthereumGeth, 1)
	p := chromium(t).open(ctx, dashboard(t, n.URL(0), "ckerc20"))
	deposit := card("Deposit " + testnets.TokenSymbol)
	p.wait(ctx, fmt.Sprintf("document.querySelectorAll(%q).length", deposit+"dd .copy"), "2")
	p.wait(ctx, text("nav[aria-label=Tokens] [aria-current=page]"), "ck"+testnets.TokenSymbol)
	enter := func(amount string) {
		p.value(ctx, fmt.Sprintf("(() => { const x = document.querySelector(%q); x.value = ''; x.focus(); })()", deposit+"[name=deposit]"))
		must(t, p.do(ctx, p.session, "Input.insertText", params{"text": amount}, nil))
	}
	enter("1.2345678")
	p.wait(ctx, has(deposit+".outcome.bad", "6 decimals"), "true")
	enter("25")
	p.wait(ctx, fmt.Sprintf("document.querySelectorAll(%q).length", deposit+".calls .copy"), "3")
	shown := func(selector string, i int) string {
		return p.value(ctx, fmt.Sprintf("document.querySelectorAll(%q)[%d].textContent", selector, i))
	}
	token, err := eth.ParseAddress(shown(deposit+"dd .copy", 0))
	must(t, err)
	helper, err := eth.ParseAddress(shown(deposit+"dd .copy", 1))
	must(t, err)
	me, err := principal.Parse(p.value(ctx, text(card("Your account")+".copy")))
	must(t, err)
	amount := uint256.NewInt(25_000_000)
	calls := [][]byte{common.FromHex(shown(deposit+".calls .copy", 0)), common.FromHex(shown(deposit+".calls .copy", 1))}
	if !bytes.Equal(calls[0], eth.PackApprove(helper, amount)) || !bytes.Equal(calls[1], eth.PackDepositERC20(token, amount, me, [32]byte{})) {
		t.Fatalf("the page shows the calls %x", calls)
	}
	if got, want := shown(deposit+".calls .copy", 2), fmt.Sprintf("fusion ckerc20 deposit 25 ck%s --for %s", testnets.TokenSymbol, me); got != want {
		t.Errorf("the page shows the command %q, want %q", got, want)
	}
	must(t, n.Ethereum().MintToken(ctx, token, eth.Address(crypto.PubkeyToAddress(n.Ethereum().FaucetKey().PublicKey)), amount))
	for i, to := range []eth.Address{token, helper} {
		_, err := n.Ethereum().Faucet(ctx, &to, nil, calls[i])
		must(t, err)
	}
	p.wait(ctx, has(deposit+".staged .note", "Minted in ledger block"), "true")
	p.wait(ctx, text(card("Your account")+".number"), "25 ck"+testnets.TokenSymbol)

	p.submit(ctx, "Send ck"+testnets.TokenSymbol, "to", "aaaaa-aa", "amount", "1.5")
	p.wait(ctx, has(card("Send ck"+testnets.TokenSymbol)+".outcome", "Sent 1.5 "+testnets.TokenSymbol), "true")
	const payee = "0x00000000000000000000000000000000DeaDBeef"
	redeem := "Redeem for " + testnets.TokenSymbol
	p.submit(ctx, redeem, "to", payee, "amount", "5")
	p.wait(ctx, has(card(redeem)+".outcome.bad", "deposit some on the page ckETH"), "true")
	_, err = n.Ethereum().Faucet(ctx, &helper, uint256.NewInt(5e17), eth.PackDepositETH(me, [32]byte{}))
	must(t, err)
	a, err := n.Agent(identity.Anonymous{})
	must(t, err)
	must(t, golden.Wait(ctx, "ckETH for the fee", func() (string, error) {
		var has candid.Nat
		err := a.Ask(ctx, canisters.CkethLedger, "icrc1_balance_of", []any{icrc.Account{Owner: me}}, []any{&has})
		if has.IsZero() {
			return "none", err
		}
		return "", err
	}))
	p.value(ctx, fmt.Sprintf("document.querySelector(%q).focus()", card(redeem)+"[name=amount]")) // the form has kept what was refused
	p.submit(ctx, redeem)
	p.wait(ctx, has(card(redeem)+".outcome.good", "Burned 5 "+testnets.TokenSymbol), "true")
	p.wait(ctx, has(card("Redeemed")+".note", "Paid by transaction 0x"), "true")
	p.tidy(ctx, "ckerc20")
}
