package eth

import (
	"errors"
	"fmt"

	"github.com/holiman/uint256"

	"fusion/ic/principal"
)

// Errors of the contract ABI; test with errors.Is.
var (
	ErrABI       = errors.New("malformed abi data")
	ErrPrincipal = errors.New("malformed principal")
)

// Word is one slot of the contract ABI.
type Word = [32]byte

// Selector names a function: the first bytes of the hash of its signature.
type Selector [4]byte

// Functions of ERC-20 tokens and of the helper contracts.
var (
	SelTransfer         = Selector{0xa9, 0x05, 0x9c, 0xbb} // transfer(address,uint256)
	SelTransferFrom     = Selector{0x23, 0xb8, 0x72, 0xdd} // transferFrom(address,address,uint256)
	SelApprove          = Selector{0x09, 0x5e, 0xa7, 0xb3} // approve(address,uint256)
	SelAllowance        = Selector{0xdd, 0x62, 0xed, 0x3e} // allowance(address,address)
	SelBalanceOf        = Selector{0x70, 0xa0, 0x82, 0x31} // balanceOf(address)
	SelDecimals         = Selector{0x31, 0x3c, 0xe5, 0x67} // decimals()
	SelGetMinterAddress = Selector{0x93, 0xe5, 0xd4, 0x2a} // getMinterAddress()
	SelLegacyETH        = Selector{0xb2, 0x14, 0xfa, 0xa5} // deposit(bytes32)
	SelLegacyERC20      = Selector{0x26, 0xb3, 0x29, 0x3f} // deposit(address,uint256,bytes32)
	SelDepositETH       = Selector{0x17, 0xc8, 0x19, 0xc4} // depositEth(bytes32,bytes32)
	SelDepositERC20     = Selector{0xdb, 0x97, 0x51, 0xaf} // depositErc20(address,uint256,bytes32,bytes32)
)

// WordUint is the word of a number.
func WordUint(n *uint256.Int) Word { return n.Bytes32() }

// WordUint64 is the word of a small number.
func WordUint64(n uint64) Word { return uint256.NewInt(n).Bytes32() }

// WordAddress is the word of an address, which stands at the right.
func WordAddress(a Address) (w Word) {
	copy(w[12:], a[:])
	return w
}

// WordBool is the word of a truth value.
func WordBool(b bool) (w Word) {
	if b {
		w[31] = 1
	}
	return w
}

// Pack is the call data of a function whose arguments are single words. Arguments of variable length are packed by hand: in their place
// stands the offset of what is appended, counted from behind the selector.
func Pack(f Selector, words ...Word) []byte {
	out := append(make([]byte, 0, len(f)+32*len(words)), f[:]...)
	for _, w := range words {
		out = append(out, w[:]...)
	}
	return out
}

// Words are the arguments of a call of f that has n of them.
func Words(f Selector, data []byte, n int) ([]Word, error) {
	if len(data) < 4 || Selector(data[:4]) != f {
		return nil, fmt.Errorf("%w: it is not a call of %x", ErrABI, f[:])
	}
	return split(data[4:], n)
}

// split cuts data into exactly n words.
func split(data []byte, n int) ([]Word, error) {
	if len(data) != 32*n {
		return nil, fmt.Errorf("%w: %d bytes, want %d words", ErrABI, len(data), n)
	}
	words := make([]Word, n)
	for i := range words {
		words[i] = Word(data[32*i:])
	}
	return words, nil
}

// UnpackUint is the answer of a function that returns one number, such as balanceOf.
func UnpackUint(data []byte) (n uint256.Int, err error) {
	w, err := split(data, 1)
	if err != nil {
		return n, err
	}
	n.SetBytes32(w[0][:])
	return n, nil
}

// UnpackAddress is the answer of a function that returns one address, such as getMinterAddress.
func UnpackAddress(data []byte) (Address, error) {
	w, err := split(data, 1)
	if err != nil {
		return Address{}, err
	}
	return AddressFromWord(w[0])
}

// UnpackBool is the answer of a function that returns a truth value, such as transfer.
func UnpackBool(data []byte) (bool, error) {
	w, err := split(data, 1)
	if err != nil {
		return false, err
	}
	if w[0] != WordBool(true) && w[0] != WordBool(false) {
		return false, fmt.Errorf("%w: a truth value is neither 0 nor 1", ErrABI)
	}
	return w[0][31] == 1, nil
}

// AddressFromWord reads the word of an address; what stands before it must be zero.
func AddressFromWord(w Word) (Address, error) {
	if [12]byte(w[:12]) != [12]byte{} {
		return Address{}, fmt.Errorf("%w: an address is not padded with zeros", ErrABI)
	}
	return Address(w[12:]), nil
}

// PackTransfer moves the caller's tokens.
func PackTransfer(to Address, amount *uint256.Int) []byte {
	return Pack(SelTransfer, WordAddress(to), WordUint(amount))
}

// UnpackTransfer reads what PackTransfer makes.
func UnpackTransfer(data []byte) (to Address, amount uint256.Int, err error) {
	w, err := Words(SelTransfer, data, 2)
	if err != nil {
		return to, amount, err
	}
	if to, err = AddressFromWord(w[0]); err != nil {
		return to, amount, err
	}
	amount.SetBytes32(w[1][:])
	return to, amount, nil
}

// PackTransferFrom moves tokens that the caller was allowed to move.
func PackTransferFrom(from, to Address, amount *uint256.Int) []byte {
	return Pack(SelTransferFrom, WordAddress(from), WordAddress(to), WordUint(amount))
}

// PackApprove allows spender to move amount of the caller's tokens.
func PackApprove(spender Address, amount *uint256.Int) []byte {
	return Pack(SelApprove, WordAddress(spender), WordUint(amount))
}

// PackAllowance asks how much of owner's tokens spender may move.
func PackAllowance(owner, spender Address) []byte {
	return Pack(SelAllowance, WordAddress(owner), WordAddress(spender))
}

// PackBalanceOf asks for the tokens of owner.
func PackBalanceOf(owner Address) []byte { return Pack(SelBalanceOf, WordAddress(owner)) }

// PackDecimals asks how many digits of a token's amounts stand behind the point.
func PackDecimals() []byte { return Pack(SelDecimals) }

// PackGetMinterAddress asks a helper contract whom it forwards deposits to.
func PackGetMinterAddress() []byte { return Pack(SelGetMinterAddress) }

// PackLegacyDepositETH deposits the transaction's value through the helper for ETH only.
func PackLegacyDepositETH(to principal.Principal) []byte {
	return Pack(SelLegacyETH, EncodePrincipal(to))
}

// PackLegacyDepositERC20 deposits tokens through the helper for ERC-20 only, which must be approved.
func PackLegacyDepositERC20(token Address, amount *uint256.Int, to principal.Principal) []byte {
	return Pack(SelLegacyERC20, WordAddress(token), WordUint(amount), EncodePrincipal(to))
}

// PackDepositETH deposits the transaction's value through the helper with subaccounts.
func PackDepositETH(to principal.Principal, subaccount [32]byte) []byte {
	return Pack(SelDepositETH, EncodePrincipal(to), subaccount)
}

// PackDepositERC20 deposits tokens through the helper with subaccounts, which must be approved.
func PackDepositERC20(token Address, amount *uint256.Int, to principal.Principal, subaccount [32]byte) []byte {
	return Pack(SelDepositERC20, WordAddress(token), WordUint(amount), EncodePrincipal(to), subaccount)
}

// EncodePrincipal is a principal as the helper contracts take it: its length, its bytes, zeros.
func EncodePrincipal(p principal.Principal) (w Word) {
	w[0] = byte(p.Len())
	p.Append(w[:1])
	return w
}

// DecodePrincipal reads what EncodePrincipal makes, and nothing else.
func DecodePrincipal(w Word) (principal.Principal, error) {
	n := int(w[0])
	if n > principal.MaxLen {
		return principal.Principal{}, fmt.Errorf("%w: a length of %d bytes, at most %d", ErrPrincipal, n, principal.MaxLen)
	}
	p, err := principal.FromBytes(w[1 : 1+n])
	if err != nil {
		return principal.Principal{}, fmt.Errorf("%w: %v", ErrPrincipal, err)
	}
	if EncodePrincipal(p) != w {
		return principal.Principal{}, fmt.Errorf("%w: bytes behind its %d are not zero", ErrPrincipal, n)
	}
	return p, nil
}
