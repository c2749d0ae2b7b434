package eth

import "github.com/holiman/uint256"

// Typed data of EIP-712: a structure's hash is the hash of the hash of its type and one word for each field, in order. A field of an
// atomic type is its ABI word (Word…), one of bytes or string the hash of its contents (WordBytes, WordString), one of a structure type
// that structure's StructHash, and one of an array type the hash of its elements' words (WordArray).

// TypeHash is the hash of a structure's type as EIP-712 writes it, such as "Mail(Person from,Person to,string contents)" followed by
// the types that it mentions, sorted by name: "Person(string name,address wallet)".
func TypeHash(encodedType string) Word { return Keccak256([]byte(encodedType)) }

// StructHash is the hash of a structure: of its type and its fields.
func StructHash(typeHash Word, fields ...Word) Word {
	buf := append(make([]byte, 0, 32*(1+len(fields))), typeHash[:]...)
	for _, f := range fields {
		buf = append(buf, f[:]...)
	}
	return Keccak256(buf)
}

// WordString is the field of a string.
func WordString(s string) Word { return Keccak256([]byte(s)) }

// WordBytes is the field of bytes of variable length.
func WordBytes(b []byte) Word { return Keccak256(b) }

// WordArray is the field of an array.
func WordArray(elements ...Word) Word {
	buf := make([]byte, 0, 32*len(elements))
	for _, e := range elements {
		buf = append(buf, e[:]...)
	}
	return Keccak256(buf)
}

// Domain separates the typed data of one application from those of others. Fields that are nil do not take part; one at least must.
type Domain struct {
	Name              *string
	Version           *string
	ChainID           *uint256.Int
	VerifyingContract *Address
	Salt              *Hash
}

// Separator is the hash of the domain.
func (d Domain) Separator() Word {
	kind, fields := "EIP712Domain(", []Word(nil)
	add := func(field string, w Word) {
		if len(fields) > 0 {
			kind += ","
		}
		kind, fields = kind+field, append(fields, w)
	}
	if d.Name != nil {
		add("string name", WordString(*d.Name))
	}
	if d.Version != nil {
		add("string version", WordString(*d.Version))
	}
	if d.ChainID != nil {
		add("uint256 chainId", WordUint(d.ChainID))
	}
	if d.VerifyingContract != nil {
		add("address verifyingContract", WordAddress(*d.VerifyingContract))
	}
	if d.Salt != nil {
		add("bytes32 salt", Word(*d.Salt))
	}
	return StructHash(TypeHash(kind+")"), fields...)
}

// TypedDigest is what a wallet signs for typed data (EIP-712, eth_signTypedData_v4): the domain and the message's StructHash.
func TypedDigest(d Domain, message Word) [32]byte {
	separator := d.Separator()
	return Keccak256([]byte{0x19, 0x01}, separator[:], message[:])
}
