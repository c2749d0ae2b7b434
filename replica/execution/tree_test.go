package execution

import (
	"testing"

	"fusion/ic/cbor"
	"fusion/ic/hashtree"
)

// metricsOf decodes what the state tree shows at /subnet/<id>/metrics: canisters, bytes, cycles consumed, messages.
func metricsOf(t testing.TB, tree *hashtree.Map, subnet []byte) (fields [4]uint64) {
	t.Helper()
	blob, ok := tree.Get([]byte("subnet"), subnet, []byte("metrics"))
	if !ok {
		t.Fatal("the tree has no metrics of the subnet")
	}
	r := cbor.NewReader(blob)
	next := int64(0)
	err := r.IntMap(func(key int64) (err error) {
		if key != next {
			t.Errorf("field %d where %d belongs", key, next)
		}
		if next++; key != 2 {
			fields[key], err = r.Uint()
			return err
		}
		return r.IntMap(func(half int64) error {
			n, err := r.Uint()
			if half == 0 {
				fields[2] = n
			} else if n != 0 {
				t.Errorf("%d times 2⁶⁴ cycles", n)
			}
			return err
		})
	})
	if err == nil {
		err = r.End()
	}
	if err != nil || next != 4 {
		t.Fatalf("%x: %d fields, %v", blob, next, err)
	}
	return fields
}

func TestSubnetMetrics(t *testing.T) {
	scenario(t, func(w *world) {
		t := w.t
		const canisters, size, consumed, messages = 0, 1, 2, 3
		now := func() [4]uint64 { return metricsOf(t, w.x.Tree(nil), w.x.subnet) }
		if got := now(); got != [4]uint64{} {
			t.Errorf("of a new subnet: %v", got)
		}
		id := w.install(counter())
		one := now()
		status := w.status(id)
		if one[canisters] != 1 || one[size] != status.MemorySize.Big().Uint64() || one[consumed] == 0 {
			t.Errorf("of one canister of %s bytes: %v", status.MemorySize, one)
		}
		before := now()[messages]
		w.mustUpdate(id, "inc", nil)
		after := now()
		if after[messages] != before+1 || after[consumed] <= one[consumed] {
			t.Errorf("after a message: %v, before %v", after, one)
		}
		w.round()
		if got := now()[messages]; got != after[messages] {
			t.Errorf("%d messages after a round without any, before %d", got, after[messages])
		}
		second := w.install(counter())
		if got := now(); got[canisters] != 2 || got[size] <= after[size] {
			t.Errorf("of two: %v", got)
		}
		two := now()
		w.mustManage("stop_canister", idArg(second))
		w.mustManage("delete_canister", idArg(second))
		if got := now(); got[canisters] != 1 || got[size] >= two[size] || got[consumed] < two[consumed] {
			t.Errorf("after a deletion: %v, before %v", got, two)
		}
	})
}
