package candid

import (
	"fmt"
	"reflect"
	"sync"
	"testing"
)

// TestOneTypePerGoType: whoever asks first, and however many at once, a Go type has one *Type. Were there two, a message could describe the
// same type twice, and replicas would disagree on its bytes.
func TestOneTypePerGoType(t *testing.T) {
	for round := range 2000 {
		name := fmt.Sprintf("R%d", round) // fresh types in each round
		record := func(fields ...reflect.Type) reflect.Type {
			fs := []reflect.StructField{{Name: name, Type: reflect.TypeFor[bool]()}}
			for i, f := range fields {
				fs = append(fs, reflect.StructField{Name: fmt.Sprintf("F%d", i), Type: f})
			}
			return reflect.StructOf(fs)
		}
		shared := record()
		left, right := record(shared, reflect.TypeFor[uint8]()), record(reflect.TypeFor[uint16](), shared)
		var wg sync.WaitGroup
		for _, rt := range []reflect.Type{left, right} {
			wg.Go(func() {
				if _, err := TypeOf(rt); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		all, err := TypeOf(record(left, right))
		if err != nil {
			t.Fatal(err)
		}
		h := headerWriter{index: map[*Type]int{}}
		h.collect(all)
		if len(h.order) != 4 {
			t.Fatalf("round %d: %d types describe four", round, len(h.order))
		}
	}
}

type metInBetween struct{ X uint8 }

// asksInBetween has a type that needs the plan of another Go type.
type asksInBetween struct{}

func (asksInBetween) CandidType() *Type {
	return RecordOf(Named("a", MustTypeFor[metInBetween]()))
}

func (asksInBetween) ToCandid() (Value, error)  { return nil, nil }
func (*asksInBetween) FromCandid(_ Value) error { return nil }

// TestTypeMadeInBetween: a type that CandidType makes while a plan with it is being built is the one of that plan too.
func TestTypeMadeInBetween(t *testing.T) {
	outer := MustTypeFor[struct {
		A metInBetween
		B asksInBetween
	}]()
	if a, b := outer.Fields[0].Type, outer.Fields[1].Type.Fields[0].Type; a != b || a != MustTypeFor[metInBetween]() {
		t.Fatalf("one Go type has the types %p, %p and %p", a, b, MustTypeFor[metInBetween]())
	}
}
