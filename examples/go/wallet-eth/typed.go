package main

import (
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/holiman/uint256"

	"fusion/eth"
	"fusion/ic/candid"
)

// TypedData is a message of EIP-712: what wallets show as JSON, as Candid. The wallet computes the hashes itself, so it knows what it signs.
type TypedData struct {
	Domain      Domain  `candid:"domain"`
	Types       []Type  `candid:"types"` // structures
	PrimaryType string  `candid:"primary_type"`
	Message     []Value `candid:"message"` // the fields of the primary type, in its order
}

// Domain separates the messages of one application from those of others.
type Domain struct {
	Name              *string     `candid:"name"`
	Version           *string     `candid:"version"`
	ChainID           *candid.Nat `candid:"chain_id"`
	VerifyingContract *string     `candid:"verifying_contract"`
	Salt              *[]byte     `candid:"salt"`
}

// Type is a structure.
type Type struct {
	Name   string  `candid:"name"`
	Fields []Field `candid:"fields"`
}

// Field is a field of a structure, with a type as Solidity writes it.
type Field struct {
	Name string `candid:"name"`
	Type string `candid:"type"`
}

// Value is a field's value.
type Value struct {
	candid.Variant
	String  *string     `candid:"string"` // of string and address
	Bytes   *[]byte     `candid:"bytes"`  // of bytes and bytes1 to bytes32
	Number  *candid.Int `candid:"number"` // of uint8 to uint256 and int8 to int256
	Boolean *bool       `candid:"boolean"`
	Values  *[]Value    `candid:"values"` // the elements of an array or the fields of a structure
}

// maxNesting bounds structures and arrays in each other, which an attacker's types could make endless.
const maxNesting = 32

// digest is what is to be signed. A domain of another chain is refused, as EIP-712 demands.
func (d *TypedData) digest(chain uint64) ([32]byte, error) {
	domain := eth.Domain{Name: d.Domain.Name, Version: d.Domain.Version}
	if id := d.Domain.ChainID; id != nil {
		if *id != candid.NatFromUint64(chain) {
			return [32]byte{}, fmt.Errorf("the message is for chain %s, the wallet on chain %d", id, chain)
		}
		domain.ChainID = uint256.NewInt(chain)
	}
	if text := d.Domain.VerifyingContract; text != nil {
		a, err := eth.ParseAddress(*text)
		if err != nil {
			return [32]byte{}, err
		}
		domain.VerifyingContract = &a
	}
	if s := d.Domain.Salt; s != nil {
		if len(*s) != 32 {
			return [32]byte{}, fmt.Errorf("salt of %d bytes, want 32", len(*s))
		}
		salt := eth.Hash(*s)
		domain.Salt = &salt
	}
	if domain == (eth.Domain{}) {
		return [32]byte{}, errors.New("the domain is empty")
	}
	types := map[string][]Field{}
	for _, t := range d.Types {
		if _, twice := types[t.Name]; twice || t.Name == "" {
			return [32]byte{}, fmt.Errorf("type %q is there twice or has no name", t.Name)
		}
		types[t.Name] = t.Fields
	}
	if _, ok := types[d.PrimaryType]; !ok {
		return [32]byte{}, fmt.Errorf("there is no type %q", d.PrimaryType)
	}
	message, err := word(types, d.PrimaryType, Value{Values: &d.Message}, 0)
	if err != nil {
		return [32]byte{}, err
	}
	return eth.TypedDigest(domain, message), nil
}

// word is a value's encoding as a field.
func word(types map[string][]Field, kind string, v Value, depth int) (w eth.Word, err error) {
	if depth > maxNesting {
		return w, errors.New("the message is nested too deeply")
	}
	if element, length, ok := arrayType(kind); ok {
		if v.Values == nil || length >= 0 && len(*v.Values) != length {
			return w, mismatch(kind)
		}
		words := make([]eth.Word, len(*v.Values))
		for i, e := range *v.Values {
			if words[i], err = word(types, element, e, depth+1); err != nil {
				return w, err
			}
		}
		return eth.WordArray(words...), nil
	}
	if fields, ok := types[kind]; ok {
		if v.Values == nil || len(*v.Values) != len(fields) {
			return w, fmt.Errorf("a value of type %q needs %d fields", kind, len(fields))
		}
		words := make([]eth.Word, len(fields))
		for i, f := range fields {
			if words[i], err = word(types, f.Type, (*v.Values)[i], depth+1); err != nil {
				return w, fmt.Errorf("%s.%s: %w", kind, f.Name, err)
			}
		}
		return eth.StructHash(eth.TypeHash(encodeType(types, kind)), words...), nil
	}
	switch {
	case kind == "string" && v.String != nil:
		return eth.WordString(*v.String), nil
	case kind == "bytes" && v.Bytes != nil:
		return eth.WordBytes(*v.Bytes), nil
	case kind == "bool" && v.Boolean != nil:
		return eth.WordBool(*v.Boolean), nil
	case kind == "address" && v.String != nil:
		a, err := eth.ParseAddress(*v.String)
		return eth.WordAddress(a), err
	case strings.HasPrefix(kind, "bytes") && v.Bytes != nil:
		if n, err := strconv.Atoi(kind[5:]); err != nil || n < 1 || n > 32 || n != len(*v.Bytes) {
			return w, mismatch(kind)
		}
		copy(w[:], *v.Bytes)
		return w, nil
	case v.Number != nil:
		return number(kind, v.Number.Big())
	}
	return w, mismatch(kind)
}

func mismatch(kind string) error { return fmt.Errorf("a value does not have type %q", kind) }

// number is the encoding of an integer, in two's complement.
func number(kind string, n *big.Int) (w eth.Word, err error) {
	size, signed := strings.CutPrefix(kind, "int")
	if !signed {
		var ok bool
		if size, ok = strings.CutPrefix(kind, "uint"); !ok {
			return w, mismatch(kind)
		}
	}
	bits, err := strconv.Atoi(size)
	if err != nil || bits < 8 || bits > 256 || bits%8 != 0 {
		return w, mismatch(kind)
	}
	bound := uint(bits)
	if signed {
		bound--
	}
	least, most := new(big.Int), new(big.Int).Lsh(big.NewInt(1), bound) // least ≤ n < most
	if signed {
		least.Neg(most)
	}
	if n.Cmp(least) < 0 || n.Cmp(most) >= 0 {
		return w, mismatch(kind)
	}
	if n.Sign() < 0 {
		n = new(big.Int).Add(n, new(big.Int).Lsh(big.NewInt(1), 256))
	}
	n.FillBytes(w[:])
	return w, nil
}

// arrayType takes T[] and T[n] apart; the length of T[] is -1.
func arrayType(kind string) (element string, length int, ok bool) {
	open := strings.LastIndexByte(kind, '[')
	if open < 1 || !strings.HasSuffix(kind, "]") {
		return "", 0, false
	}
	if digits := kind[open+1 : len(kind)-1]; digits != "" {
		n, err := strconv.ParseUint(digits, 10, 31)
		return kind[:open], int(n), err == nil
	}
	return kind[:open], -1, true
}

// encodeType is a structure's type as it is hashed: followed by those that it mentions, by name.
func encodeType(types map[string][]Field, primary string) string {
	var others []string
	var visit func(name string)
	visit = func(name string) {
		for _, f := range types[name] {
			t, _, _ := strings.Cut(f.Type, "[")
			if _, ok := types[t]; ok && t != primary && !slices.Contains(others, t) {
				others = append(others, t)
				visit(t)
			}
		}
	}
	visit(primary)
	slices.Sort(others)
	var b strings.Builder
	for _, name := range append([]string{primary}, others...) {
		b.WriteString(name + "(")
		for i, f := range types[name] {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(f.Type + " " + f.Name)
		}
		b.WriteByte(')')
	}
	return b.String()
}
