package replica

import (
	"fmt"
	"slices"
	"testing"

	"fusion/replica/members"
	"fusion/replica/signing"
)

// shown are the values of a label over all series.
func shown(t *testing.T, m *metrics, label string) (out []string) {
	t.Helper()
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, s := range f.GetMetric() {
			for _, l := range s.GetLabel() {
				if l.GetName() == label && !slices.Contains(out, l.GetValue()) {
					out = append(out, l.GetValue())
				}
			}
		}
	}
	slices.Sort(out)
	return out
}

// TestMetricsOfMembers: what is shown of a node goes with it, and does not come back with what it still sends.
func TestMetricsOfMembers(t *testing.T) {
	m := newMetrics(0)
	var nodes []signing.NodeInfo
	var peers []members.Peer
	silent := map[int]uint64{}
	for i := range 4 {
		nodes = append(nodes, signing.NodeInfo{Node: i, ID: fmt.Sprint("id", i)})
		peers = append(peers, members.Peer{Index: i, Role: members.Member})
		silent[i] = 1
	}
	show := func() {
		m.roll(peers)
		m.standing(nodes)
		m.silent(silent)
		m.refused(3, "id3")
		m.misconduct(2, badShare)
		m.differed(3)
	}
	show()
	if got := shown(t, m, "member"); !slices.Equal(got, []string{"0", "1", "2", "3"}) {
		t.Fatalf("members %v", got)
	}
	peers[2].Role, peers[3].Role = members.Departed, members.Forgotten
	m.roll(peers)
	for range 2 { // before and after what was on its way
		if got := shown(t, m, "member"); !slices.Equal(got, []string{"0", "1"}) {
			t.Errorf("members %v", got)
		}
		if got := shown(t, m, "id"); !slices.Equal(got, []string{"id0", "id1"}) {
			t.Errorf("ids %v", got)
		}
		show()
	}
	peers[2].Role = members.Joiner
	show()
	if got := shown(t, m, "member"); !slices.Equal(got, []string{"0", "1", "2"}) {
		t.Errorf("members %v", got)
	}
}
