package icrc

import (
	"encoding/binary"
	"fmt"

	"fusion/ic/principal"
)

// What follows here is for canisters that follow a ledger by its blocks, as an index does.

// Followed is what a block does, for somebody who keeps the books from blocks alone.
type Followed struct {
	Transaction
	// Parent is the hash of the block before; nil in the first one.
	Parent *[32]byte
	// Collector is who collects the fee of this block and of those that name it. CollectorBlock is the block that this one names. Both
	// are nil if the fee is burned.
	Collector      *Account
	CollectorBlock *uint64
}

// Follow reads a block. It refuses fields that it does not know and those of another type than ledgers write: the hash of ICRC-3 does not
// tell a text from a blob nor an array from a map, so who hands out a block could change what it says without changing its hash.
func Follow(b ICRC3Value) (Followed, error) {
	if err := typed(&b, blockFields); err != nil {
		return Followed{}, err
	}
	t, err := TransactionOf(b)
	if err != nil {
		return Followed{}, err
	}
	f := Followed{Transaction: t}
	if p := b.field("phash"); p != nil {
		parent := [32]byte(*p.Blob)
		f.Parent = &parent
	}
	if c := b.field("fee_col"); c != nil {
		if f.Collector = c.account(); f.Collector == nil {
			return f, fmt.Errorf("%w: fee_col is not an account", ErrValue)
		}
	}
	if c := b.field("fee_col_block"); c != nil {
		if f.CollectorBlock = c.nat64(); f.CollectorBlock == nil {
			return f, fmt.Errorf("%w: fee_col_block is not an index", ErrValue)
		}
	}
	return f, nil
}

// AppendValue appends the stored form of a value; it is the inverse of DecodeValue. Integers, which no block of a ledger has, are refused.
func AppendValue(dst []byte, v ICRC3Value) ([]byte, error) { return appendValue(dst, &v, 0) }

func appendValue(dst []byte, v *ICRC3Value, depth int) ([]byte, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("%w: nests too deep", ErrValue)
	}
	var err error
	switch {
	case v.Blob != nil:
		return appendBytes(append(dst, tagBlob), *v.Blob), nil
	case v.Text != nil:
		return appendBytes(append(dst, tagText), []byte(*v.Text)), nil
	case v.Nat != nil:
		if n, small := v.Nat.Uint64(); small {
			return binary.AppendUvarint(append(dst, tagNat), n), nil
		}
		a, ok := AmountOfNat(*v.Nat)
		if !ok {
			return nil, fmt.Errorf("%w: a number of more than 256 bits", ErrValue)
		}
		return a.appendLEB(append(dst, tagNat)), nil
	case v.Array != nil:
		dst = binary.AppendUvarint(append(dst, tagArray), uint64(len(*v.Array)))
		for i := range *v.Array {
			if dst, err = appendValue(dst, &(*v.Array)[i], depth+1); err != nil {
				return nil, err
			}
		}
		return dst, nil
	case v.Map != nil:
		dst = binary.AppendUvarint(append(dst, tagMap), uint64(len(*v.Map)))
		for i := range *v.Map {
			e := &(*v.Map)[i]
			if dst, err = appendValue(appendBytes(dst, []byte(e.Key)), &e.Value, depth+1); err != nil {
				return nil, err
			}
		}
		return dst, nil
	}
	return nil, fmt.Errorf("%w: neither blob, text, nat, array nor map", ErrValue)
}

// MaxKey is the most bytes of an account as a key.
const MaxKey = maxKey

// AppendKey appends an account as a key of a map: no key is a prefix of another, and all accounts of an owner are neighbours, the default
// one first.
func (a Account) AppendKey(dst []byte) ([]byte, error) {
	acc, err := parseAccount(a)
	if err != nil {
		return nil, err
	}
	return acc.appendKey(dst), nil
}

// AppendOwner appends what the keys of all accounts of an owner begin with.
func AppendOwner(dst []byte, owner principal.Principal) []byte {
	return owner.Append(append(dst, byte(owner.Len())))
}

// ReadKey reads an account from a key and returns what follows it; the default subaccount is left out.
func ReadKey(key []byte) (Account, []byte, error) {
	a, rest, err := readKey(key)
	if err != nil {
		return Account{}, nil, err
	}
	return a.public(), rest, nil
}
