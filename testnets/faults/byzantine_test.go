package faults

import (
	"testing"

	"fusion/replica/misdeed"
)

// TestNoticed: each misdeed has a sign, which is that of its doer alone, and new.
func TestNoticed(t *testing.T) {
	const doubled, proposed = `fusion_member_misconduct_total{kind="double-vote",member="3",node="1"}`, `fusion_member_misconduct_total{kind="bad-proposal",member="3",node="1"}`
	const silent = `fusion_member_silent_blocks{member="3",node="1"}`
	before := map[int]figures{1: {doubled: 2}}
	for _, c := range []struct {
		kind    misdeed.Kind
		culprit int
		now     figures
		want    bool
	}{
		{misdeed.Equivocate, 3, figures{doubled: 2}, false},
		{misdeed.Equivocate, 3, figures{doubled: 3}, true},
		{misdeed.Equivocate, 2, figures{doubled: 3}, false},
		{misdeed.FalseBlocks, 3, figures{doubled: 3}, false},
		{misdeed.FalseBlocks, 3, figures{proposed: 1}, true},
		{misdeed.Withhold, 3, figures{silent: silentBlocks}, false},
		{misdeed.Withhold, 3, figures{silent: silentBlocks + 1}, true},
	} {
		if got := noticed(c.kind, c.culprit, before, map[int]figures{1: c.now}); got != c.want {
			t.Errorf("%s by node %d with %v: %v", c.kind, c.culprit, c.now, got)
		}
	}
	for _, k := range misdeeds {
		if len(signs[k].metrics) == 0 {
			t.Errorf("nobody can see %s", k)
		}
	}
}
