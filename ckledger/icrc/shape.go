package icrc

import "fmt"

// shape is the type that a field of a block has.
type shape int

const (
	isNat shape = iota
	isText
	isBlob
	isHash
	isAccount
	isMap
)

// The fields that ledgers write (ICRC-3 with the block types of ICRC-1, 2, 107 and 152).
var (
	blockFields = map[string]shape{"phash": isHash, "ts": isNat, "btype": isText, "fee": isNat, "fee_col": isAccount, "fee_col_block": isNat, "tx": isMap}
	txFields    = map[string]shape{"op": isText, "amt": isNat, "from": isAccount, "to": isAccount, "spender": isAccount, "memo": isBlob, "ts": isNat,
		"fee": isNat, "expected_allowance": isNat, "expires_at": isNat, "caller": isBlob, "mthd": isText, "reason": isText, "fee_collector": isAccount}
)

func (s shape) fits(v *ICRC3Value) bool {
	switch s {
	case isNat:
		return v.Nat != nil
	case isText:
		return v.Text != nil
	case isBlob:
		return v.Blob != nil
	case isHash:
		return v.Blob != nil && len(*v.Blob) == 32
	case isMap:
		return v.Map != nil
	}
	if v.Array == nil || len(*v.Array) < 1 || len(*v.Array) > 2 {
		return false
	}
	for i, x := range *v.Array {
		if x.Blob == nil || i == 0 && len(*x.Blob) > 29 || i == 1 && len(*x.Blob) != 32 {
			return false
		}
	}
	return true
}

// typed checks that all fields of a block have the types that ledgers give them, which the hash does not say.
func typed(v *ICRC3Value, fields map[string]shape) error {
	if v.Map == nil {
		return fmt.Errorf("%w: not a map", ErrValue)
	}
	for i := range *v.Map {
		e := &(*v.Map)[i]
		want, known := fields[e.Key]
		switch {
		case !known:
			return fmt.Errorf("%w: field %q is unknown to this version", ErrValue, e.Key)
		case !want.fits(&e.Value):
			return fmt.Errorf("%w: field %q has another type than ledgers write", ErrValue, e.Key)
		case want == isMap:
			if err := typed(&e.Value, txFields); err != nil {
				return err
			}
		}
		for _, before := range (*v.Map)[:i] {
			if before.Key == e.Key {
				return fmt.Errorf("%w: field %q appears twice", ErrValue, e.Key)
			}
		}
	}
	return nil
}
