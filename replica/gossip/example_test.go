package gossip_test

import (
	"fmt"

	"fusion/replica/gossip"
)

// A simulation steps the network itself, so that it is the same every time.
func ExampleSwitch() {
	sw := gossip.NewSwitch(3, gossip.SwitchOptions{Seed: 1})
	for i := range 3 {
		sw.Node(i).Handle(gossip.Topic{Name: "hello", MaxBytes: 64}, func(from int, msg []byte) {
			fmt.Printf("%d heard %q from %d\n", i, msg, from)
		})
	}
	sw.Partition([]int{0, 1})
	sw.Node(0).Broadcast("hello", []byte("is anybody there?"))
	for sw.Step() {
	}
	// Output: 1 heard "is anybody there?" from 0
}
