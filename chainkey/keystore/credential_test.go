package keystore

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"filippo.io/age"
)

// TestCredential: a file that the service manager gave to this service may show the group's bits, any other may not.
func TestCredential(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("credentials belong to root")
	}
	x, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "seal")
	if err := os.WriteFile(file, []byte(x.String()), 0o440); err != nil {
		t.Fatal(err)
	}
	o := Options{Dir: filepath.Join(t.TempDir(), "keys"), IdentityFile: file}
	if err := CheckSealing(o); !errors.Is(err, ErrPermissions) {
		t.Errorf("outside of the credentials: %v", err)
	}
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	if err := CheckSealing(o); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func() error{
		"for all":       func() error { return os.Chmod(file, 0o444) },
		"writable":      func() error { return os.Chmod(file, 0o460) },
		"another owner": func() error { return errors.Join(os.Chmod(file, 0o440), os.Chown(file, 65534, 0)) },
	} {
		if err := change(); err != nil {
			t.Fatal(err)
		}
		if err := CheckSealing(o); !errors.Is(err, ErrPermissions) {
			t.Errorf("%s: %v", name, err)
		}
		if err := os.Chown(file, 0, 0); err != nil {
			t.Fatal(err)
		}
	}
}
