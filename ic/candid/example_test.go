package candid_test

import (
	"fmt"

	"fusion/ic/candid"
)

func ExampleMarshal() {
	type Transfer struct {
		Amount candid.Nat `candid:"amount"`
		Memo   *[]byte    `candid:"memo"` // opt blob
	}
	message, err := candid.Marshal(Transfer{Amount: candid.NatFromUint64(10)})
	if err != nil {
		fmt.Println(err)
		return
	}
	var back Transfer
	if err := candid.Unmarshal(message, &back); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(back.Amount, back.Memo == nil)
	// Output: 10 true
}

func ExampleEncode() {
	did, _ := candid.ParseDID(`service : { greet : (record { name : text; age : opt nat8 }) -> (text) query }`)
	args, _ := candid.ParseValues(`(record { name = "Ada"; age = 36 })`)
	method := did.Service.Method("greet").Type.Func
	message, err := candid.Encode([]*candid.Type{method.Args[0].Type}, args)
	if err != nil {
		fmt.Println(err)
		return
	}
	values, _ := candid.DecodeAs(message, []*candid.Type{method.Args[0].Type})
	fmt.Println(candid.FormatValues(values))
	// Output: (record { age = opt (36 : nat8); name = "Ada" })
}

func ExampleSubtype() {
	ours, _ := candid.ParseService(`service : { get : (nat) -> (record { a : nat; b : text }) }`)
	theirs, _ := candid.ParseService(`service : { get : (nat) -> (record { a : nat64 }) }`)
	fmt.Println(candid.Subtype(ours, theirs))
	// Output: not a subtype at .get result 0.a: nat is not nat64
}
