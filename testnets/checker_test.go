package testnets

import (
	"errors"
	"testing"

	"fusion/cdk/native"
	"fusion/ckledger/checker"
	"fusion/testnets/canisters"
)

// The checker of a network judges as its manifest says.
func TestChecker(t *testing.T) {
	const node, thief, other = "http://u:p@127.0.0.1:18443", "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080", "bcrt1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqdku202"
	for name, c := range map[string]struct {
		checker       *Checker
		thief, others bool // pass
	}{
		"nothing said": {nil, true, true},
		"accepts":      {&Checker{Mode: CheckerAccepts}, true, true},
		"rejects":      {&Checker{Mode: CheckerRejects}, false, false},
		"asks":         {&Checker{Mode: CheckerAsks, Node: node, Blocked: []string{thief}}, false, true},
	} {
		m := &Manifest{Nodes: 4, Checker: c.checker}
		if c.checker != nil {
			if hosts, err := c.checker.validate(); err != nil || (len(hosts) == 1) != (c.checker.Node != "") {
				t.Errorf("%s: %v %v", name, hosts, err)
			}
		}
		w := native.NewWorld(1)
		if err := w.Install(canisters.BtcChecker, checker.Canister, m.checkerArg()); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for address, want := range map[string]bool{thief: c.thief, other: c.others} {
			r, err := native.Query[checker.CheckAddressResponse](w, canisters.BtcChecker, canisters.BtcChecker, "check_address", checker.CheckAddressArgs{Address: address})
			if err != nil || (r.Passed != nil) != want {
				t.Errorf("%s: %s %+v %v", name, address, r, err)
			}
		}
	}
	for name, c := range map[string]Checker{
		"no mode":         {},
		"no node":         {Mode: CheckerAsks},
		"not of regtest":  {Mode: CheckerAsks, Node: node, Blocked: []string{"bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"}},
		"a list for none": {Mode: CheckerRejects, Blocked: []string{thief}},
	} {
		if hosts, err := c.validate(); !errors.Is(err, ErrChecker) {
			t.Errorf("%s: %v %v", name, hosts, err)
		}
	}
}
