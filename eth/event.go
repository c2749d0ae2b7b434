package eth

import (
	"errors"
	"fmt"

	"github.com/holiman/uint256"

	"fusion/ic/principal"
)

// Topics of the events that we read: hashes of their signatures.
var (
	TopicReceivedETH        = topic("257e057bb61920d8d0ed2cb7b720ac7f9c513cd1110bc9fa543079154f45f435") // ReceivedEth(address,uint256,bytes32)
	TopicReceivedERC20      = topic("4d69d0bd4287b7f66c548f90154dc81bc98f65a1b362775df5ae171a2ccd262b") // ReceivedErc20(address,address,uint256,bytes32)
	TopicReceivedETHOrERC20 = topic("918adbebdb8f3b36fc337ab76df10b147b2def5c9dd62cb3456d9aeca40e0b07") // ReceivedEthOrErc20(address,address,uint256,bytes32,bytes32)
	TopicTransfer           = topic("ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef") // Transfer(address,address,uint256)
)

// topic is for the table above; a typing error there is a broken invariant.
func topic(digits string) Hash {
	h, err := ParseHash("0x" + digits)
	if err != nil {
		panic(err)
	}
	return h
}

// Errors of events; test with errors.Is.
var (
	ErrEvent   = errors.New("malformed event")                 // not the event that was looked for, or not in its shape
	ErrDeposit = errors.New("deposit that cannot be minted")   // the right shape, but nothing can be minted for it
	ErrUnknown = errors.New("event of none of our signatures") // wraps ErrEvent
)

// Event is what a contract logged.
type Event struct {
	Address Address // the contract
	Topics  []Hash
	Data    []byte
}

// Deposit is what an event of a helper contract says.
type Deposit struct {
	Contract   Address // the helper
	Token      Address // zero for ETH
	From       Address
	Amount     uint256.Int // wei, or the token's smallest unit
	Principal  principal.Principal
	Subaccount [32]byte // zeros are the default one
}

// IsETH says whether ETH was deposited, and not a token.
func (d Deposit) IsETH() bool { return d.Token.IsZero() }

// ParseDeposit reads an event of one of the three helper contracts. An error that wraps ErrDeposit comes with a deposit that is filled
// in as far as it goes and says why nothing can be minted; any other error means that the event is no deposit. The caller checks that
// Contract is a helper it trusts.
func ParseDeposit(e Event) (Deposit, error) {
	d := Deposit{Contract: e.Address}
	if len(e.Topics) == 0 {
		return d, fmt.Errorf("%w: %w: no topics", ErrEvent, ErrUnknown)
	}
	var (
		data []Word
		who  Word
		err  error
	)
	switch e.Topics[0] {
	case TopicReceivedETH: // from, principal | value
		if data, err = e.shape(3, 1); err == nil {
			d.From, err = AddressFromWord(e.Topics[1])
			who = e.Topics[2]
		}
	case TopicReceivedERC20: // token, owner, principal | amount
		if data, err = e.shape(4, 1); err == nil {
			d.Token, d.From, err = twoAddresses(e.Topics[1], e.Topics[2])
			who = e.Topics[3]
		}
	case TopicReceivedETHOrERC20: // token or zero, owner, principal | amount, subaccount
		if data, err = e.shape(4, 2); err == nil {
			d.Token, d.From, err = twoAddresses(e.Topics[1], e.Topics[2])
			who, d.Subaccount = e.Topics[3], data[1]
		}
	default:
		return d, fmt.Errorf("%w: %w: %s", ErrEvent, ErrUnknown, e.Topics[0])
	}
	if err != nil {
		return d, fmt.Errorf("%w: %w", ErrEvent, err)
	}
	d.Amount.SetBytes32(data[0][:])
	if d.Principal, err = DecodePrincipal(who); err != nil {
		return d, fmt.Errorf("%w: %w (%x)", ErrDeposit, err, who[:])
	}
	switch {
	case d.Principal.IsManagement():
		return d, fmt.Errorf("%w: %w: the management canister owns nothing", ErrDeposit, ErrPrincipal)
	case d.Principal.IsAnonymous():
		return d, fmt.Errorf("%w: %w: the anonymous principal is everybody", ErrDeposit, ErrPrincipal)
	case e.Topics[0] == TopicReceivedERC20 && d.Token.IsZero():
		return d, fmt.Errorf("%w: no token is named", ErrDeposit)
	case d.Amount.IsZero():
		return d, fmt.Errorf("%w: the amount is zero", ErrDeposit)
	}
	return d, nil
}

// Transfer is what a token's event of ERC-20 says.
type Transfer struct {
	Token, From, To Address
	Amount          uint256.Int
}

// ParseTransfer reads the Transfer event of ERC-20. That of ERC-721 has the same signature and another shape, and is refused. Since the fork
// Amsterdam, transfers of ether log the event too, under the address 0xff…fe (EIP-7708): compare Token.
func ParseTransfer(e Event) (Transfer, error) {
	t := Transfer{Token: e.Address}
	if len(e.Topics) == 0 || e.Topics[0] != TopicTransfer {
		return t, fmt.Errorf("%w: %w: not a transfer", ErrEvent, ErrUnknown)
	}
	data, err := e.shape(3, 1)
	if err == nil {
		t.From, t.To, err = twoAddresses(e.Topics[1], e.Topics[2])
	}
	if err != nil {
		return t, fmt.Errorf("%w: %w", ErrEvent, err)
	}
	t.Amount.SetBytes32(data[0][:])
	return t, nil
}

// shape checks the numbers of topics and of words and returns the latter.
func (e Event) shape(topics, words int) ([]Word, error) {
	if len(e.Topics) != topics {
		return nil, fmt.Errorf("%d topics, want %d", len(e.Topics), topics)
	}
	return split(e.Data, words)
}

func twoAddresses(a, b Hash) (Address, Address, error) {
	x, err := AddressFromWord(a)
	if err != nil {
		return Address{}, Address{}, err
	}
	y, err := AddressFromWord(b)
	return x, y, err
}
