package main

import (
	"strings"
	"testing"

	"fusion/replica"
	"fusion/testnets"
)

// TestPrintStatus: the worst trouble is a replica's sentence, the others stand below it, and tokens without coins are an alarm.
func TestPrintStatus(t *testing.T) {
	s := &testnets.NetworkStatus{Manifest: &testnets.Manifest{ChainID: "c", Nodes: 1, HTTP: []string{"127.0.0.1:1"}},
		Replicas: []replica.Status{{Sentence: "first", Trouble: []replica.Trouble{{Name: "a", Sentence: "first"}, {Name: "b", Sentence: "second"}}}}}
	for _, c := range []struct {
		m     *money
		alarm bool
	}{{nil, false}, {&money{10, 10}, false}, {&money{10, 9}, true}} {
		var b strings.Builder
		printStatus(&b, s, c.m, "one key")
		if text := b.String(); strings.Count(text, "first") != 1 || !strings.Contains(text, "also: second") || strings.Contains(text, "ALARM: 1 sat") != c.alarm || !strings.Contains(text, "one key") {
			t.Errorf("%+v:\n%s", c.m, text)
		}
	}
}
