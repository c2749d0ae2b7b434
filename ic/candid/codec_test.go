package candid

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math/big"
	"reflect"
	"testing"

	"fusion/ic/principal"
)

type account struct {
	Owner      principal.Principal `candid:"owner"`
	Subaccount *[]byte             `candid:"subaccount"`
}

type transferArg struct {
	FromSubaccount *[]byte `candid:"from_subaccount"`
	To             account `candid:"to"`
	Amount         Nat     `candid:"amount"`
	Fee            *Nat    `candid:"fee"`
	Memo           *[]byte `candid:"memo"`
	CreatedAtTime  *uint64 `candid:"created_at_time"`
}

type badFee struct {
	ExpectedFee Nat `candid:"expected_fee"`
}

type transferError struct {
	Variant
	BadFee                 *badFee `candid:"BadFee"`
	TemporarilyUnavailable *Null   `candid:"TemporarilyUnavailable"`
}

type transferResult struct {
	Variant
	Ok  *Nat           `candid:"Ok"`
	Err *transferError `candid:"Err"`
}

type list struct {
	Head Int   `candid:"head"`
	Tail *list `candid:"tail"`
}

func sampleTransfer() transferArg {
	sub := bytes.Repeat([]byte{7}, 32)
	memo := []byte{1, 2, 3, 4, 5, 6, 7, 8}
	at := uint64(1_700_000_000_000_000_000)
	fee := NatFromUint64(10)
	return transferArg{To: account{Owner: principal.FromUint64(42), Subaccount: &sub}, Amount: NatFromUint64(123_456_789), Fee: &fee, Memo: &memo, CreatedAtTime: &at}
}

func TestRoundTripOfGoValues(t *testing.T) {
	huge := NatFromBig(new(big.Int).Lsh(big.NewInt(3), 300))
	neg := IntFromBig(new(big.Int).Neg(huge.Big()))
	blob := []byte{}
	ok := NatFromUint64(9)
	for _, v := range []any{
		sampleTransfer(), transferArg{}, true, uint8(3), uint16(4), uint32(5), ^uint64(0), int8(-3), int16(-4), int32(-5), int64(-1 << 63),
		float32(1.5), -2.25, "☃", huge, neg, Int{}, blob, [4]byte{1, 2, 3, 4}, []uint16{1, 2}, []string{}, Null{}, Reserved{},
		transferResult{Ok: &ok}, transferResult{Err: &transferError{TemporarilyUnavailable: Unit}},
		list{Head: IntFromInt64(1), Tail: &list{Head: IntFromInt64(-2)}}, Func{principal.FromUint64(1), "m"}, Service{principal.FromUint64(2)},
		[]*bool{nil, new(bool)},
	} {
		b, err := Marshal(v)
		if err != nil {
			t.Fatalf("%T: %v", v, err)
		}
		got := reflect.New(reflect.TypeOf(v))
		if err := Unmarshal(b, got.Interface()); err != nil {
			t.Fatalf("%T: %v (%x)", v, err, b)
		}
		if again := MustMarshal(got.Elem().Interface()); !bytes.Equal(b, again) {
			t.Errorf("%T: %x reads as %+v", v, b, got.Elem())
		}
		if !reflect.DeepEqual(got.Elem().Interface(), v) {
			t.Errorf("%T: got %+v, want %+v", v, got.Elem(), v)
		}
	}
}

// The bytes were checked against the specification by hand: table, then arguments.
func TestEncodingOfKnownMessage(t *testing.T) {
	got := MustMarshal(struct {
		Foo int32 `candid:"foo"`
		Bar bool  `candid:"bar"`
	}{42, true})
	want, _ := hex.DecodeString("4449444c016c02d3e3aa027e868eb702750100012a000000")
	if !bytes.Equal(got, want) {
		t.Fatalf("got %x, want %x", got, want)
	}
}

func TestUnmarshalSaysWhatIsWrong(t *testing.T) {
	var a transferArg
	err := Unmarshal(MustMarshal(struct {
		To struct {
			Owner string `candid:"owner"`
		} `candid:"to"`
	}{}), &a)
	const want = "candid type mismatch at argument 0.to.owner: text is not principal (offset 21)"
	if !errors.Is(err, ErrType) || err.Error() != want {
		t.Fatalf("got %v, want %s", err, want)
	}
	if err := Unmarshal([]byte("DIDL\x00\x01\x71\x05abc"), new(string)); !errors.Is(err, ErrMalformed) {
		t.Fatalf("short text: %v", err)
	}
	if _, err := Marshal(make(chan int)); !errors.Is(err, ErrUnsupported) {
		t.Fatalf("channel: %v", err)
	}
	if _, err := Marshal(transferResult{}); !errors.Is(err, ErrUnsupported) {
		t.Fatalf("variant with nothing set: %v", err)
	}
	if err := Unmarshal(MustMarshal([]byte{1}), new([2]byte)); !errors.Is(err, ErrType) {
		t.Fatalf("array of another length: %v", err)
	}
}

func BenchmarkMarshalTransferArg(b *testing.B) {
	a := sampleTransfer()
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst, _ = AppendMarshal(dst[:0], a)
	}
}

func BenchmarkUnmarshalTransferArg(b *testing.B) {
	data := MustMarshal(sampleTransfer())
	b.ReportAllocs()
	for b.Loop() {
		var a transferArg
		if err := Unmarshal(data, &a); err != nil {
			b.Fatal(err)
		}
	}
}
