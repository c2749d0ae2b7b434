package certified_test

import (
	"fmt"

	"fusion/cdk"
	"fusion/cdk/certified"
	"fusion/cdk/native"
	"fusion/ic/hashtree"
	"fusion/ic/principal"
)

// A canister whose one number can be read from a single replica and still be trusted.
func ExampleMap() {
	type Proof struct{ Certificate, Tree []byte }
	price := func(c *cdk.Canister) {
		m := certified.NewMap(c)
		cdk.Update(c, "set", func(_ *cdk.Msg, v string) cdk.None {
			m.Put([]byte(v), "price")
			m.Commit()
			return cdk.None{}
		})
		cdk.Query(c, "get", func(*cdk.Msg, cdk.None) Proof {
			cert, tree, _ := m.Proof([]string{"price"})
			return Proof{cert, tree}
		})
	}
	w, id := native.NewWorld(1), principal.FromUint64(2)
	if err := w.Install(id, price, nil); err != nil {
		panic(err)
	}
	if _, err := native.Update[cdk.None](w, principal.Anonymous, id, "set", "42"); err != nil {
		panic(err)
	}
	p, err := native.Query[Proof](w, principal.Anonymous, id, "get")
	if err != nil {
		panic(err)
	}
	tree, err := hashtree.Decode(p.Tree)
	if err != nil {
		panic(err)
	}
	found, v := hashtree.LookupText(tree, "price")
	fmt.Printf("%v: %s\n", found, v)
	// Output: found: 42
}
