package testnets_test

import (
	"os"
	"path/filepath"
	"testing"

	"fusion/testnets"
)

// What an operator may do is on a Unix socket that its owner alone can open.
func TestOperatorsSocketIsTheOwners(t *testing.T) {
	dir, err := os.MkdirTemp("", "fs") // names of tests are too long for sockets
	check(t, err)
	t.Cleanup(func() { check(t, os.RemoveAll(dir)) })
	path := filepath.Join(dir, testnets.AdminSocket)
	s := must(testnets.ServeReplica(path, nil))(t)
	st := must(os.Stat(path))(t)
	if st.Mode().Type() != os.ModeSocket || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", st.Mode())
	}
	check(t, s.Close())
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("it is left: %v", err)
	}
}
