package eth

import (
	"bytes"
	"errors"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"

	secp "github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
	"github.com/ethereum/go-ethereum/accounts"
	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	gethmath "github.com/ethereum/go-ethereum/common/math"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/rlp"
	"github.com/ethereum/go-ethereum/signer/core/apitypes"
	"github.com/holiman/uint256"

	"fusion/ic/principal"
)

var allOnes = *new(uint256.Int).SetAllOne()

// amounts are those at which encodings change their length or overflow.
var amounts = []uint256.Int{{}, *uint256.NewInt(1), *uint256.NewInt(127), *uint256.NewInt(128), *uint256.NewInt(255), *uint256.NewInt(256),
	*uint256.NewInt(1 << 63), {0, 1}, {0, 0, 0, 1 << 63}, allOnes}

// randomTransaction has fields of all lengths.
func randomTransaction(r *rand.Rand) Transaction {
	small := func() uint64 { return r.Uint64() >> r.IntN(64) }
	tip := amounts[r.IntN(len(amounts))]
	t := Transaction{ChainID: max(small(), 1), Nonce: small(), MaxPriorityFeePerGas: tip, MaxFeePerGas: larger(tip, amounts[r.IntN(len(amounts))]), GasLimit: small(),
		Value: amounts[r.IntN(len(amounts))], Data: make([]byte, []int{0, 1, 4, 55, 56, 68, 300, 70_000}[r.IntN(8)])}
	for i := range t.To {
		t.To[i] = byte(r.Uint32())
	}
	for i := range t.Data {
		t.Data[i] = byte(r.Uint32())
	}
	return t
}

func theirs(t Transaction) *types.DynamicFeeTx {
	to := common.Address(t.To)
	return &types.DynamicFeeTx{ChainID: new(big.Int).SetUint64(t.ChainID), Nonce: t.Nonce, GasTipCap: t.MaxPriorityFeePerGas.ToBig(), GasFeeCap: t.MaxFeePerGas.ToBig(),
		Gas: t.GasLimit, To: &to, Value: t.Value.ToBig(), Data: t.Data}
}

// sign is what a threshold signature looks like: r‖s, of which s is high half of the time.
func sign(key *secp.PrivateKey, digest [32]byte, high bool) (rs [64]byte) {
	copy(rs[:], ecdsa.SignCompact(key, digest[:], true)[1:])
	if high {
		var s secp.ModNScalar
		s.SetByteSlice(rs[32:])
		b := s.Negate().Bytes()
		copy(rs[32:], b[:])
	}
	return rs
}

// TestTransactionsAgreeWithGoEthereum compares digests, serialisations, hashes and senders with an independent implementation, both ways.
func TestTransactionsAgreeWithGoEthereum(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 1559))
	seen := [2]int{}
	for i := range 300 {
		tx := randomTransaction(r)
		signer := types.LatestSignerForChainID(new(big.Int).SetUint64(tx.ChainID))
		digest := tx.SigningHash()
		if want := signer.Hash(types.NewTx(theirs(tx))); digest != [32]byte(want) {
			t.Fatalf("%+v: digest %x, want %x", tx, digest, want)
		}
		var secret [32]byte
		secret[31], secret[0] = byte(i), 1
		key := secp.PrivKeyFromBytes(secret[:])
		pub := key.PubKey().SerializeCompressed()
		if i%3 == 0 {
			pub = key.PubKey().SerializeUncompressed()
		}
		signed, err := tx.Sign(sign(key, digest, i%2 == 0), pub)
		if err != nil {
			t.Fatal(err)
		}
		seen[signed.Signature.V]++
		var back types.Transaction
		if err := back.UnmarshalBinary(signed.Raw()); err != nil {
			t.Fatalf("go-ethereum refuses ours: %v", err)
		}
		if signed.Hash() != Hash(back.Hash()) {
			t.Fatal("the hashes differ")
		}
		owner, _ := AddressFromPubKey(pub)
		if from, err := types.Sender(signer, &back); err != nil || Address(from) != owner {
			t.Fatalf("go-ethereum sees the sender %s, %v, want %s", from, err, owner)
		}
		again, err := ParseSigned(signed.Raw())
		if err != nil {
			t.Fatal(err)
		}
		if from, err := again.Sender(); err != nil || from != owner || !bytes.Equal(again.Raw(), signed.Raw()) {
			t.Fatalf("read again: sender %s, %v", from, err)
		}
	}
	if seen[0] == 0 || seen[1] == 0 {
		t.Fatalf("recovery ids %v: both must occur", seen)
	}
}

func signedSample(t testing.TB) (Signed, *secp.PrivateKey) {
	t.Helper()
	key := secp.PrivKeyFromBytes([]byte{7})
	tx := Transaction{ChainID: 1337, Nonce: 3, MaxPriorityFeePerGas: *uint256.NewInt(MinPriorityFee), MaxFeePerGas: *uint256.NewInt(3e9), GasLimit: 65_000,
		To: Address{1, 2, 3}, Value: *uint256.NewInt(1e18), Data: PackTransfer(Address{9}, uint256.NewInt(5))}
	signed, err := tx.Sign(sign(key, tx.SigningHash(), false), key.PubKey().SerializeCompressed())
	if err != nil {
		t.Fatal(err)
	}
	return signed, key
}

func TestParseSignedRefuses(t *testing.T) {
	good, _ := signedSample(t)
	type list = []any
	fields := func() list {
		g := theirs(good.Transaction)
		return list{g.ChainID, g.Nonce, g.GasTipCap, g.GasFeeCap, g.Gas, g.To[:], g.Value, g.Data, list{}, uint64(good.Signature.V),
			new(big.Int).SetBytes(good.Signature.R[:]), new(big.Int).SetBytes(good.Signature.S[:])}
	}
	pack := func(l list) []byte {
		b, err := rlp.EncodeToBytes(l)
		if err != nil {
			t.Fatal(err)
		}
		return append([]byte{2}, b...)
	}
	if _, err := ParseSigned(pack(fields())); err != nil {
		t.Fatalf("the unchanged fields: %v", err)
	}
	with := func(i int, v any) []byte {
		l := fields()
		l[i] = v
		return pack(l)
	}
	n := secp.S256().N
	two256 := new(big.Int).Lsh(big.NewInt(1), 256)
	for name, raw := range map[string][]byte{
		"nothing":              nil,
		"a legacy transaction": pack(fields())[1:],
		"another type":         append([]byte{1}, pack(fields())[1:]...),
		"a byte behind it":     append(pack(fields()), 0),
		"a byte missing":       pack(fields())[:100],
		"too large":            with(7, make([]byte, MaxTransactionSize)),
		"a field missing":      pack(fields()[:11]),
		"a field too many":     pack(append(fields(), uint64(1))),
		"any chain":            with(0, uint64(0)),
		"a 65-bit chain id":    with(0, new(big.Int).Lsh(big.NewInt(1), 64)),
		"a nonce of zeros":     with(1, []byte{0, 1}),
		"value above 2^256-1":  with(6, two256.Bytes()),
		"value with zeros":     with(6, []byte{0, 5}),
		"no recipient":         with(5, []byte{}),
		"a recipient of 21":    with(5, make([]byte, 21)),
		"an access list":       with(8, list{list{make([]byte, 20), list{}}}),
		"no access list":       with(8, []byte{}),
		"data as a list":       with(7, list{}),
		"recovery id 2":        with(9, uint64(2)),
		"recovery id 256":      with(9, uint64(256)),
		"r of zero":            with(10, new(big.Int)),
		"r of the group order": with(10, n),
		"s of zero":            with(11, new(big.Int)),
		"high s":               with(11, new(big.Int).Sub(n, new(big.Int).SetBytes(good.Signature.S[:]))),
		"tip above max":        with(2, big.NewInt(4e9)),
	} {
		if _, err := ParseSigned(raw); !errors.Is(err, ErrTransaction) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSignRefusesForeignSignatures(t *testing.T) {
	good, key := signedSample(t)
	rs := sign(key, good.SigningHash(), false)
	pub := key.PubKey().SerializeCompressed()
	other := secp.PrivKeyFromBytes([]byte{8}).PubKey().SerializeCompressed()
	flipped := rs
	flipped[5] ^= 1
	zero := rs
	clear(zero[32:])
	for name, c := range map[string]struct {
		rs  [64]byte
		pub []byte
	}{"another key": {rs, other}, "another r": {flipped, pub}, "s of zero": {zero, pub}, "nothing": {[64]byte{}, pub}} {
		if _, err := good.Transaction.Sign(c.rs, c.pub); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := good.Transaction.Sign(rs, pub[:32]); !errors.Is(err, ErrPublicKey) {
		t.Errorf("half a key: %v", err)
	}
	anywhere := good.Transaction
	anywhere.ChainID = 0
	if _, err := anywhere.Sign(sign(key, anywhere.SigningHash(), false), pub); !errors.Is(err, ErrTransaction) {
		t.Errorf("for any chain: %v", err)
	}
	changed := good.Transaction
	changed.Nonce++
	if _, err := changed.Sign(rs, pub); !errors.Is(err, ErrSignature) {
		t.Errorf("a signature of another nonce: %v", err)
	}
}

func TestSignatureBytes(t *testing.T) {
	good, _ := signedSample(t)
	wire := good.Signature.Bytes()
	for _, v := range []byte{wire[64], wire[64] - 27} {
		wire[64] = v
		if s, err := ParseSignature(wire[:]); err != nil || s != good.Signature {
			t.Errorf("v of %d: %v", v, err)
		}
	}
	for _, v := range []byte{2, 26, 29, 255} {
		wire[64] = v
		if _, err := ParseSignature(wire[:]); !errors.Is(err, ErrSignature) {
			t.Errorf("v of %d: %v", v, err)
		}
	}
	if _, err := ParseSignature(wire[:64]); !errors.Is(err, ErrSignature) {
		t.Error("64 bytes are a signature")
	}
}

func TestPersonalDigest(t *testing.T) {
	for _, n := range []int{0, 1, 9, 10, 99, 100, 1000} {
		msg := bytes.Repeat([]byte("x"), n)
		if got := PersonalDigest(msg); !bytes.Equal(got[:], accounts.TextHash(msg)) {
			t.Errorf("a message of %d bytes: %x", n, got)
		}
	}
}

func ptr[T any](v T) *T { return &v }

// TestTypedData has the example of EIP-712, with its known digest, and others against go-ethereum's encoder.
func TestTypedData(t *testing.T) {
	contract, _ := ParseAddress("0xCcCCccccCCCCcCCCCCCcCcCccCcCCCcCcccccccC")
	cow, _ := ParseAddress("0xCD2a3d9F938E13CD947Ec05AbC7FE734Df8DD826")
	bob, _ := ParseAddress("0xbBbBBBBbbBBBbbbBbbBbbbbBBbBbbbbBbBbbBBbB")
	domain := Domain{Name: ptr("Ether Mail"), Version: ptr("1"), ChainID: uint256.NewInt(1), VerifyingContract: &contract}
	person := TypeHash("Person(string name,address wallet)")
	mail := StructHash(TypeHash("Mail(Person from,Person to,string contents)Person(string name,address wallet)"),
		StructHash(person, WordString("Cow"), WordAddress(cow)), StructHash(person, WordString("Bob"), WordAddress(bob)), WordString("Hello, Bob!"))
	if got, want := TypedDigest(domain, mail), common.HexToHash("0xbe609aee343fb3c4b28e1df9e632fca64fcfaede20f02e86244efddf30957bd2"); got != [32]byte(want) {
		t.Errorf("the example of EIP-712: %x", got)
	}

	salt := Hash{1, 31: 2}
	for _, d := range []Domain{domain, {Name: ptr("x")}, {ChainID: &allOnes}, {Version: ptr(""), Salt: &salt}, {Name: ptr("a"), Version: ptr("b"), ChainID: uint256.NewInt(1337), VerifyingContract: &bob, Salt: &salt}} {
		var kinds []apitypes.Type
		var values apitypes.TypedDataDomain
		if d.Name != nil {
			kinds, values.Name = append(kinds, apitypes.Type{Name: "name", Type: "string"}), *d.Name
		}
		if d.Version != nil {
			kinds, values.Version = append(kinds, apitypes.Type{Name: "version", Type: "string"}), *d.Version
		}
		if d.ChainID != nil {
			kinds, values.ChainId = append(kinds, apitypes.Type{Name: "chainId", Type: "uint256"}), (*gethmath.HexOrDecimal256)(d.ChainID.ToBig())
		}
		if d.VerifyingContract != nil {
			kinds, values.VerifyingContract = append(kinds, apitypes.Type{Name: "verifyingContract", Type: "address"}), d.VerifyingContract.String()
		}
		if d.Salt != nil {
			kinds, values.Salt = append(kinds, apitypes.Type{Name: "salt", Type: "bytes32"}), d.Salt.String()
		}
		theirs := apitypes.TypedData{
			Types:       apitypes.Types{"EIP712Domain": kinds, "Order": {{Name: "maker", Type: "address"}, {Name: "amounts", Type: "uint256[]"}, {Name: "memo", Type: "bytes"}, {Name: "open", Type: "bool"}, {Name: "id", Type: "bytes32"}}},
			PrimaryType: "Order", Domain: values,
			Message: apitypes.TypedDataMessage{"maker": cow.String(), "amounts": []any{"1", allOnes.Dec()}, "memo": []byte{1, 2}, "open": true, "id": salt[:]},
		}
		if d.Version != nil && *d.Version == "" {
			delete(theirs.Types, "EIP712Domain") // go-ethereum drops empty fields of the map: it cannot say an empty version
			continue
		}
		want, _, err := apitypes.TypedDataAndHash(theirs)
		if err != nil {
			t.Fatalf("%+v: %v", d, err)
		}
		order := StructHash(TypeHash("Order(address maker,uint256[] amounts,bytes memo,bool open,bytes32 id)"), WordAddress(cow),
			WordArray(WordUint64(1), WordUint(&allOnes)), WordBytes([]byte{1, 2}), WordBool(true), salt)
		if got := TypedDigest(d, order); !bytes.Equal(got[:], want) {
			t.Errorf("%+v: %x, want %x", d, got, want)
		}
	}
}

// interfaces are the signatures as Solidity has them, for go-ethereum's encoder.
const interfaces = `[
{"type":"function","name":"transfer","inputs":[{"type":"address","name":"a"},{"type":"uint256","name":"b"}],"outputs":[{"type":"bool"}]},
{"type":"function","name":"transferFrom","inputs":[{"type":"address","name":"a"},{"type":"address","name":"b"},{"type":"uint256","name":"c"}]},
{"type":"function","name":"approve","inputs":[{"type":"address","name":"a"},{"type":"uint256","name":"b"}]},
{"type":"function","name":"allowance","inputs":[{"type":"address","name":"a"},{"type":"address","name":"b"}]},
{"type":"function","name":"balanceOf","inputs":[{"type":"address","name":"a"}],"outputs":[{"type":"uint256"}]},
{"type":"function","name":"decimals","inputs":[]},
{"type":"function","name":"getMinterAddress","inputs":[],"outputs":[{"type":"address"}]},
{"type":"function","name":"depositEth","inputs":[{"type":"bytes32","name":"a"},{"type":"bytes32","name":"b"}]},
{"type":"function","name":"depositErc20","inputs":[{"type":"address","name":"a"},{"type":"uint256","name":"b"},{"type":"bytes32","name":"c"},{"type":"bytes32","name":"d"}]},
{"type":"event","name":"ReceivedEth","inputs":[{"type":"address","name":"from","indexed":true},{"type":"uint256","name":"value"},{"type":"bytes32","name":"principal","indexed":true}]},
{"type":"event","name":"ReceivedErc20","inputs":[{"type":"address","name":"erc20_contract_address","indexed":true},{"type":"address","name":"owner","indexed":true},{"type":"uint256","name":"amount"},{"type":"bytes32","name":"principal","indexed":true}]},
{"type":"event","name":"ReceivedEthOrErc20","inputs":[{"type":"address","name":"erc20ContractAddress","indexed":true},{"type":"address","name":"owner","indexed":true},{"type":"uint256","name":"amount"},{"type":"bytes32","name":"principal","indexed":true},{"type":"bytes32","name":"subaccount"}]},
{"type":"event","name":"Transfer","inputs":[{"type":"address","name":"from","indexed":true},{"type":"address","name":"to","indexed":true},{"type":"uint256","name":"value"}]}]`

// legacy are the two functions with one name.
const legacy = `[{"type":"function","name":"deposit","inputs":[{"type":"bytes32","name":"a"}]},
{"type":"function","name":"deposit","inputs":[{"type":"address","name":"a"},{"type":"uint256","name":"b"},{"type":"bytes32","name":"c"}]}]`

func parseABI(t testing.TB, text string) abi.ABI {
	t.Helper()
	a, err := abi.JSON(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestCallsAgreeWithGoEthereum(t *testing.T) {
	ours, old := parseABI(t, interfaces), parseABI(t, legacy)
	a, b := Address{1, 19: 2}, Address{0xff, 19: 0xfe}
	who := principal.MustParse("7hfb6-caaaa-aaaar-qadga-cai")
	sub := [32]byte{31: 9}
	w := EncodePrincipal(who)
	for _, n := range amounts {
		for _, c := range []struct {
			got  []byte
			abi  abi.ABI
			name string
			args []any
		}{
			{PackTransfer(a, &n), ours, "transfer", []any{common.Address(a), n.ToBig()}},
			{PackTransferFrom(a, b, &n), ours, "transferFrom", []any{common.Address(a), common.Address(b), n.ToBig()}},
			{PackApprove(b, &n), ours, "approve", []any{common.Address(b), n.ToBig()}},
			{PackAllowance(a, b), ours, "allowance", []any{common.Address(a), common.Address(b)}},
			{PackBalanceOf(b), ours, "balanceOf", []any{common.Address(b)}},
			{PackDecimals(), ours, "decimals", nil},
			{PackGetMinterAddress(), ours, "getMinterAddress", nil},
			{PackDepositETH(who, sub), ours, "depositEth", []any{w, sub}},
			{PackDepositERC20(a, &n, who, sub), ours, "depositErc20", []any{common.Address(a), n.ToBig(), w, sub}},
			{PackLegacyDepositETH(who), old, "deposit", []any{w}},
			{PackLegacyDepositERC20(a, &n, who), old, "deposit0", []any{common.Address(a), n.ToBig(), w}},
		} {
			want, err := c.abi.Pack(c.name, c.args...)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(c.got, want) {
				t.Errorf("%s(%v): %x, want %x", c.name, c.args, c.got, want)
			}
		}
		if to, amount, err := UnpackTransfer(PackTransfer(b, &n)); err != nil || to != b || amount != n {
			t.Errorf("a transfer of %s came back as %s, %v", n.Dec(), amount.Dec(), err)
		}
		answer := WordUint(&n)
		if got, err := UnpackUint(answer[:]); err != nil || got != n {
			t.Errorf("an answer of %s: %s, %v", n.Dec(), got.Dec(), err)
		}
	}
	for _, data := range [][]byte{nil, {1}, PackApprove(a, &amounts[1]), PackTransfer(a, &amounts[1])[:67], append(PackTransfer(a, &amounts[1]), 0), append(SelTransfer[:], bytes.Repeat([]byte{1}, 64)...)} {
		if _, _, err := UnpackTransfer(data); !errors.Is(err, ErrABI) {
			t.Errorf("%x is a transfer: %v", data, err)
		}
	}
	one, dirty := WordAddress(a), Word{0: 1, 31: 1}
	if got, err := UnpackAddress(one[:]); err != nil || got != a {
		t.Errorf("an address: %s, %v", got, err)
	}
	for _, f := range []func([]byte) error{
		func(b []byte) error { _, err := UnpackAddress(b); return err }, func(b []byte) error { _, err := UnpackBool(b); return err },
	} {
		for _, data := range [][]byte{nil, dirty[:], dirty[:31], make([]byte, 33)} {
			if err := f(data); !errors.Is(err, ErrABI) {
				t.Errorf("%x: %v", data, err)
			}
		}
	}
	if _, err := UnpackUint(make([]byte, 64)); !errors.Is(err, ErrABI) {
		t.Error("two words are a number")
	}
}

func TestSelectorsAndTopics(t *testing.T) {
	for text, sel := range map[string]Selector{
		"transfer(address,uint256)": SelTransfer, "transferFrom(address,address,uint256)": SelTransferFrom, "approve(address,uint256)": SelApprove,
		"allowance(address,address)": SelAllowance, "balanceOf(address)": SelBalanceOf, "decimals()": SelDecimals, "getMinterAddress()": SelGetMinterAddress,
		"deposit(bytes32)": SelLegacyETH, "deposit(address,uint256,bytes32)": SelLegacyERC20, "depositEth(bytes32,bytes32)": SelDepositETH,
		"depositErc20(address,uint256,bytes32,bytes32)": SelDepositERC20,
	} {
		if h := Keccak256([]byte(text)); Selector(h[:4]) != sel {
			t.Errorf("%s is %x, want %x", text, sel, h[:4])
		}
	}
	for text, topic := range map[string]Hash{
		"ReceivedEth(address,uint256,bytes32)": TopicReceivedETH, "ReceivedErc20(address,address,uint256,bytes32)": TopicReceivedERC20,
		"ReceivedEthOrErc20(address,address,uint256,bytes32,bytes32)": TopicReceivedETHOrERC20, "Transfer(address,address,uint256)": TopicTransfer,
	} {
		if Hash(Keccak256([]byte(text))) != topic {
			t.Errorf("%s is %s", text, topic)
		}
	}
}

func TestPrincipals(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for n := range principal.MaxLen + 1 {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		p := principal.MustFromBytes(b)
		w := EncodePrincipal(p)
		if w[0] != byte(n) || !bytes.Equal(w[1:1+n], b) {
			t.Errorf("%s became %x", p, w)
		}
		if back, err := DecodePrincipal(w); err != nil || back != p {
			t.Errorf("%x came back as %s, %v", w, back, err)
		}
		w[31] ^= 1
		if _, err := DecodePrincipal(w); !errors.Is(err, ErrPrincipal) {
			t.Errorf("%x: %v", w, err)
		}
	}
	for _, w := range []Word{{30}, {255}, {0, 1}, {1, 4, 0, 1}} {
		if _, err := DecodePrincipal(w); !errors.Is(err, ErrPrincipal) {
			t.Errorf("%x: %v", w, err)
		}
	}
}

// TestDepositEvents makes events with go-ethereum's encoder and reads them back.
func TestDepositEvents(t *testing.T) {
	ours := parseABI(t, interfaces)
	helper, token, from := Address{1}, Address{0xaa, 19: 1}, Address{0xbb, 19: 2}
	who, sub := principal.MustParse("7hfb6-caaaa-aaaar-qadga-cai"), [32]byte{1, 31: 9}
	emit := func(name string, topics []Hash, args ...any) Event {
		data, err := ours.Events[name].Inputs.NonIndexed().Pack(args...)
		if err != nil {
			t.Fatal(err)
		}
		return Event{Address: helper, Topics: append([]Hash{Hash(ours.Events[name].ID)}, topics...), Data: data}
	}
	word := func(a Address) Hash { return WordAddress(a) }
	for _, n := range amounts {
		for _, c := range []struct {
			event Event
			want  Deposit
		}{
			{emit("ReceivedEth", []Hash{word(from), EncodePrincipal(who)}, n.ToBig()), Deposit{Contract: helper, From: from, Amount: n, Principal: who}},
			{emit("ReceivedErc20", []Hash{word(token), word(from), EncodePrincipal(who)}, n.ToBig()), Deposit{Contract: helper, Token: token, From: from, Amount: n, Principal: who}},
			{emit("ReceivedEthOrErc20", []Hash{word(token), word(from), EncodePrincipal(who)}, n.ToBig(), sub), Deposit{Contract: helper, Token: token, From: from, Amount: n, Principal: who, Subaccount: sub}},
			{emit("ReceivedEthOrErc20", []Hash{{}, word(from), EncodePrincipal(who)}, n.ToBig(), sub), Deposit{Contract: helper, From: from, Amount: n, Principal: who, Subaccount: sub}},
		} {
			got, err := ParseDeposit(c.event)
			if n.IsZero() {
				if !errors.Is(err, ErrDeposit) || got != c.want {
					t.Errorf("an amount of zero: %+v, %v", got, err)
				}
			} else if err != nil || got != c.want {
				t.Errorf("%+v, %v, want %+v", got, err, c.want)
			}
			if got.IsETH() != c.want.Token.IsZero() {
				t.Errorf("%+v is of the wrong kind", got)
			}
			// Every change of the shape is refused.
			short, long := c.event, c.event
			short.Data, long.Data = c.event.Data[:len(c.event.Data)-1], append(bytes.Clone(c.event.Data), 0)
			fewer, more, dirty := c.event, c.event, c.event
			fewer.Topics, more.Topics = c.event.Topics[:len(c.event.Topics)-1], append(append([]Hash{}, c.event.Topics...), Hash{})
			dirty.Topics = append([]Hash{}, c.event.Topics...)
			dirty.Topics[1][0] = 1
			foreign, empty := c.event, c.event
			foreign.Topics, empty.Topics = append([]Hash{TopicTransfer}, c.event.Topics[1:]...), nil
			for name, e := range map[string]Event{"a byte less": short, "a byte more": long, "a topic less": fewer, "a topic more": more, "an address with bytes before it": dirty, "another event": foreign, "no topics": empty} {
				if _, err := ParseDeposit(e); !errors.Is(err, ErrEvent) || errors.Is(err, ErrDeposit) {
					t.Errorf("%s: %v", name, err)
				}
			}
			// A beneficiary that is none is told, with all else that the event says.
			for name, w := range map[string]Word{"the management canister": {}, "anonymous": EncodePrincipal(principal.Anonymous), "too long": {30}, "bytes behind it": {1, 1, 1}} {
				bad := c.event
				bad.Topics = append([]Hash{}, c.event.Topics...)
				bad.Topics[len(bad.Topics)-1] = w
				if got, err := ParseDeposit(bad); !errors.Is(err, ErrDeposit) || !errors.Is(err, ErrPrincipal) || got.From != from || got.Amount != n {
					t.Errorf("%s: %+v, %v", name, got, err)
				}
			}
		}
		e := emit("Transfer", []Hash{word(from), word(helper)}, n.ToBig())
		if got, err := ParseTransfer(e); err != nil || (got != Transfer{Token: helper, From: from, To: helper, Amount: n}) {
			t.Errorf("%+v, %v", got, err)
		}
		nft := Event{Topics: append(e.Topics, Hash{31: 1})}
		if _, err := ParseTransfer(nft); !errors.Is(err, ErrEvent) {
			t.Errorf("a transfer of ERC-721: %v", err)
		}
	}
	if _, err := ParseDeposit(emit("ReceivedErc20", []Hash{{}, word(from), EncodePrincipal(who)}, big.NewInt(1))); !errors.Is(err, ErrDeposit) {
		t.Errorf("a token of zeros: %v", err)
	}
	if _, err := ParseTransfer(Event{}); !errors.Is(err, ErrUnknown) {
		t.Errorf("no topics: %v", err)
	}
}

func FuzzParseSigned(f *testing.F) {
	good, _ := signedSample(f)
	f.Add(good.Raw())
	f.Add(good.Raw()[:50])
	r := rand.New(rand.NewPCG(3, 3))
	for range 3 {
		f.Add(append([]byte{2}, (randomTransaction(r).encode(nil))...))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := ParseSigned(raw)
		var back types.Transaction
		theirErr := back.UnmarshalBinary(raw)
		if err != nil {
			return
		}
		if !bytes.Equal(s.Raw(), raw) {
			t.Fatalf("%x was read and written as %x", raw, s.Raw())
		}
		if theirErr != nil {
			t.Fatalf("go-ethereum refuses %x: %v", raw, theirErr)
		}
		from, err := s.Sender()
		want, theirErr := types.Sender(types.LatestSignerForChainID(new(big.Int).SetUint64(s.ChainID)), &back)
		if (err == nil) != (theirErr == nil) || from != Address(want) {
			t.Fatalf("%x: sender %s (%v), go-ethereum says %s (%v)", raw, from, err, want, theirErr)
		}
	})
}

func FuzzEvents(f *testing.F) {
	who := EncodePrincipal(principal.MustParse("7hfb6-caaaa-aaaar-qadga-cai"))
	a := WordAddress(Address{1})
	f.Add(byte(3), TopicReceivedETH[:], a[:], who[:], who[:], make([]byte, 32))
	f.Add(byte(4), TopicReceivedERC20[:], a[:], a[:], who[:], make([]byte, 32))
	f.Add(byte(4), TopicReceivedETHOrERC20[:], a[:], a[:], who[:], bytes.Repeat([]byte{1}, 64))
	f.Add(byte(3), TopicTransfer[:], a[:], a[:], who[:], make([]byte, 32))
	f.Fuzz(func(t *testing.T, n byte, t0, t1, t2, t3, data []byte) {
		e := Event{Address: Address{5}, Data: data}
		for _, b := range [][]byte{t0, t1, t2, t3}[:n%5] {
			var h Hash
			copy(h[:], b)
			e.Topics = append(e.Topics, h)
		}
		d, err := ParseDeposit(e)
		if err == nil && (d.Amount.IsZero() || d.Principal.IsAnonymous() || d.Principal.IsManagement() || d.Contract != e.Address) {
			t.Fatalf("%+v can be minted", d)
		}
		if err != nil && !errors.Is(err, ErrDeposit) && !errors.Is(err, ErrEvent) {
			t.Fatalf("an error of no kind: %v", err)
		}
		if m, err := ParseTransfer(e); err == nil {
			if w := WordUint(&m.Amount); !bytes.Equal(w[:], data) {
				t.Fatalf("%x is %s", data, m.Amount.Dec())
			}
		}
		if to, amount, err := UnpackTransfer(data); err == nil && !bytes.Equal(PackTransfer(to, &amount), data) {
			t.Fatalf("%x is a transfer of %s to %s", data, amount.Dec(), to)
		}
	})
}

func FuzzDecodePrincipal(f *testing.F) {
	for _, p := range []principal.Principal{{}, principal.Anonymous, principal.MustParse("7hfb6-caaaa-aaaar-qadga-cai"), principal.SelfAuthenticating([]byte("k"))} {
		w := EncodePrincipal(p)
		f.Add(w[:])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var w Word
		copy(w[:], b)
		if p, err := DecodePrincipal(w); err == nil && EncodePrincipal(p) != w {
			t.Fatalf("%x was read as %s", w, p)
		}
	})
}

func FuzzParseSignature(f *testing.F) {
	good, _ := signedSample(f)
	b := good.Signature.Bytes()
	f.Add(b[:])
	f.Add(make([]byte, 65))
	digest := good.SigningHash()
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseSignature(b)
		if err != nil {
			return
		}
		from, err := s.Recover(digest)
		theirs := s.Bytes()
		theirs[64] -= 27
		pub, theirErr := crypto.SigToPub(digest[:], theirs[:])
		if (err == nil) != (theirErr == nil) {
			t.Fatalf("%x: %v, go-ethereum says %v", b, err, theirErr)
		}
		if err == nil && Address(crypto.PubkeyToAddress(*pub)) != from {
			t.Fatalf("%x: %s", b, from)
		}
	})
}
