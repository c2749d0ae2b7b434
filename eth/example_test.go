package eth_test

import (
	"fmt"

	secp "github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
	"github.com/holiman/uint256"

	"fusion/eth"
	"fusion/ic/principal"
)

// A transaction is signed elsewhere: here by a key at hand, in a canister by the subnet.
func ExampleTransaction_Sign() {
	key := secp.PrivKeyFromBytes([]byte{1})
	pub := key.PubKey().SerializeCompressed()
	to, err := eth.ParseAddress("0x2B5AD5c4795c026514f8317c7a215E218DcCD6cF")
	if err != nil {
		fmt.Println(err)
		return
	}
	amount, err := eth.ParseUnits("0.25", eth.EtherDecimals)
	if err != nil {
		fmt.Println(err)
		return
	}
	fee, err := eth.EstimateFee(eth.FeeHistory{BaseFees: make([]uint256.Int, 2), Rewards: make([]uint256.Int, 1)})
	if err != nil {
		fmt.Println(err)
		return
	}
	tx := eth.Transaction{ChainID: 1337, Nonce: 7, MaxPriorityFeePerGas: fee.MaxPriorityFeePerGas, MaxFeePerGas: fee.MaxFeePerGas,
		GasLimit: eth.GasTransferETH, To: to, Value: amount}

	digest := tx.SigningHash()
	rs := [64]byte(ecdsa.SignCompact(key, digest[:], true)[1:])

	signed, err := tx.Sign(rs, pub)
	if err != nil {
		fmt.Println(err)
		return
	}
	from, err := signed.Sender()
	fmt.Println(from, err)
	fmt.Println(signed.Hash())
	// Output:
	// 0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf <nil>
	// 0x2be21b0cba734baba4e126f5402728384a4d60217130c9ee08b4bd56a8650d7d
}

// What a helper contract logged says for whom to mint, or why nothing can be minted.
func ExampleParseDeposit() {
	owner := eth.Hash(eth.EncodePrincipal(principal.MustParse("7hfb6-caaaa-aaaar-qadga-cai")))
	amount, none := eth.WordUint64(1_000_000), eth.WordUint64(0)
	event := eth.Event{
		Address: eth.Address{1},
		Topics:  []eth.Hash{eth.TopicReceivedETH, eth.WordAddress(eth.Address{2}), owner},
		Data:    amount[:],
	}
	d, err := eth.ParseDeposit(event)
	fmt.Println(d.Amount.Dec(), "wei for", d.Principal, err)

	event.Data = none[:]
	_, err = eth.ParseDeposit(event)
	fmt.Println(err)
	// Output:
	// 1000000 wei for 7hfb6-caaaa-aaaar-qadga-cai <nil>
	// deposit that cannot be minted: the amount is zero
}

// A permit of ERC-2612, which a canister signs so that somebody else pays for the approval.
func ExampleTypedDigest() {
	name, version, token := "Test Dollar", "1", eth.Address{0xaa}
	domain := eth.Domain{Name: &name, Version: &version, ChainID: uint256.NewInt(1337), VerifyingContract: &token}
	permit := eth.StructHash(eth.TypeHash("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"),
		eth.WordAddress(eth.Address{1}), eth.WordAddress(eth.Address{2}), eth.WordUint64(5), eth.WordUint64(0), eth.WordUint64(1_900_000_000))
	fmt.Printf("%x\n", eth.TypedDigest(domain, permit))
	// Output: 35c741369a9bd72c5a6b40132ee9965ef717bd898705fcd120f23a1a2525209f
}

func ExampleBump() {
	gwei := func(n uint64) uint256.Int { return *uint256.NewInt(n * 1_000_000_000) }
	old := eth.Fee{MaxPriorityFeePerGas: gwei(2), MaxFeePerGas: gwei(42)}
	next := eth.Bump(old, gwei(30))
	fmt.Println(eth.FormatUnits(&next.MaxPriorityFeePerGas, eth.GweiDecimals), eth.FormatUnits(&next.MaxFeePerGas, eth.GweiDecimals), next.Replaces(old))
	// Output: 2.2 46.2 true
}
