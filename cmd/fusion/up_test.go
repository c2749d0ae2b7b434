package main

import (
	"strings"
	"testing"
)

// TestDetachForwardsFlags: the process in the background is asked for the same as the one that starts it.
func TestDetachForwardsFlags(t *testing.T) {
	for _, line := range []string{
		"up --detach",
		"up --detach --nodes 1 --http 127.0.0.1:0 --data-dir /x --log-level debug --ethereum none",
		"up --detach --bitcoin 127.0.0.1:1 --checker http://a:b@127.0.0.1:2 --blocked x --blocked y,z",
	} {
		cmd, args, err := root().Find(strings.Fields(line))
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.ParseFlags(args); err != nil {
			t.Fatal(err)
		}
		given := again(cmd.Flags())
		other, args, err := root().Find(given)
		if err != nil {
			t.Fatal(err)
		}
		if err := other.ParseFlags(args); err != nil {
			t.Fatalf("%s becomes %q: %v", line, given, err)
		}
		for _, name := range []string{"nodes", "http", "data-dir", "log-level", "ethereum", "bitcoin", "checker", "blocked"} {
			has, want := other.Flag(name), cmd.Flag(name)
			if has.Value.String() != want.Value.String() || has.Changed != want.Changed {
				t.Errorf("%s becomes %q: --%s is %s, want %s", line, given, name, has.Value, want.Value)
			}
		}
		if other.Flag("detach").Changed || other.Flag("report-to").Value.String() != "3" {
			t.Errorf("%s becomes %q", line, given)
		}
	}
}
