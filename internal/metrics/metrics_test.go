package metrics

import "testing"

func TestWriter(t *testing.T) {
	w := Writer{Prefix: "minter_"}
	w.Gauge("events", "Events in the log.", uint64(3))
	w.Flag("halted", "Whether it stands.", true)
	w.Rows("counter", "calls", "Calls, by kind.", Row{`{kind="a"}`, 1}, Row{`{kind="b"}`, 2})
	const want = "# HELP minter_events Events in the log.\n# TYPE minter_events gauge\nminter_events 3\n" +
		"# HELP minter_halted Whether it stands.\n# TYPE minter_halted gauge\nminter_halted 1\n" +
		"# HELP minter_calls Calls, by kind.\n# TYPE minter_calls counter\nminter_calls{kind=\"a\"} 1\nminter_calls{kind=\"b\"} 2\n"
	if got := w.String(); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	if p := (Request{"/metrics?x=1"}).Path(); p != "/metrics" {
		t.Error(p)
	}
}
