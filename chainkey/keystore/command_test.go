package keystore

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"fusion/chainkey"
)

// script writes an executable shell script.
func script(t *testing.T, body string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "seal")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// rot13 stands in for a KMS: it hides the key from whoever looks for it as it is, and keeps a log of how it was called.
const rot13 = `echo "$@" $(env | grep -c AGE-SECRET-KEY) >> "$1"
for verb; do :; done
[ "$verb" = seal ] || [ "$verb" = unseal ] || exit 3
tr 'A-Za-z' 'N-ZA-Mn-za-m'`

func TestSealCommand(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	o := Options{Dir: filepath.Join(t.TempDir(), "keys"), SealCommand: []string{script(t, rot13), log}}
	s := open(t, o)
	g := Generation{Key: "k"}
	if err := s.PutShare(g, "gg18", chainkey.Secret("the share")); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, o)
	if scheme, share, err := s.Share(g); err != nil || scheme != "gg18" || string(share) != "the share" {
		t.Fatalf("%q, %v", scheme, err)
	}
	calls, err := os.ReadFile(log)
	if want := log + " seal 0\n" + log + " unseal 0\n" + log + " unseal 0\n"; err != nil || string(calls) != want {
		t.Errorf("the command was called with\n%s%v, want\n%s", calls, err, want)
	}
	entries, err := os.ReadDir(o.Dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(o.Dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b, []byte("AGE-SECRET")) || bytes.Contains(b, []byte("the share")) {
			t.Errorf("%s shows a secret", e.Name())
		}
	}

	// Without its sealed key, what is in the store stays closed, and no new key hides that.
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(o.Dir, sealedIdentity)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(o); !errors.Is(err, ErrUnsealed) {
		t.Errorf("the sealed key is gone: %v", err)
	}
}

func TestSealCommandRefusals(t *testing.T) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	loose := script(t, "cat")
	if err := os.Chmod(loose, 0o722); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		command []string
		want    error
		words   string
	}{
		"relative":             {[]string{"seal"}, ErrSealCommand, "no absolute path"},
		"missing":              {[]string{"/nonexistent/seal"}, ErrSealCommand, "no such file"},
		"a directory":          {[]string{os.TempDir()}, ErrSealCommand, "not executable"},
		"writable by others":   {[]string{loose}, ErrPermissions, "could replace"},
		"fails":                {[]string{script(t, "echo the TPM is locked >&2; exit 1")}, ErrSealCommand, "the TPM is locked"},
		"tells the secret":     {[]string{script(t, "cat >&2; exit 1")}, ErrSealCommand, "withheld"},
		"hides nothing":        {[]string{script(t, "cat")}, ErrSealCommand, "hide nothing"},
		"forgets":              {[]string{script(t, "[ $1 = seal ] && echo blob || echo "+id.String())}, ErrSealCommand, "does not give back"},
		"answers without end":  {[]string{script(t, "yes 0123456789")}, ErrSealCommand, "more than 65536 bytes"},
		"hangs with a child":   {[]string{script(t, "sleep 1000 & sleep 1000")}, ErrSealCommand, "no answer within"},
		"unsealing fails once": {[]string{script(t, "[ $1 = seal ] && echo blob")}, ErrSealCommand, "unseal"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := Options{Dir: filepath.Join(t.TempDir(), "keys"), SealCommand: c.command}
			if strings.HasPrefix(name, "hangs") {
				o.SealTimeout = 200 * time.Millisecond
			}
			s, err := Open(o)
			if err == nil {
				_ = s.Close()
			}
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.words) || strings.Contains(err.Error(), "AGE-SECRET-KEY-1") {
				t.Fatalf("%v, want %v with %q", err, c.want, c.words)
			}
			if _, err := os.Stat(filepath.Join(o.Dir, sealedIdentity)); err == nil {
				t.Error("a sealed key was kept although the command does not work")
			}
		})
	}
	if _, err := Open(Options{Dir: t.TempDir(), SealCommand: []string{"/bin/cat"}, IdentityFile: "x"}); !errors.Is(err, ErrUnsealed) {
		t.Errorf("command and file: %v", err)
	}
}

// TestLooseFilesAreRefused opens the permissions of each part of a store in turn.
func TestLooseFilesAreRefused(t *testing.T) {
	base := t.TempDir()
	id := identity(t, base)
	o := Options{Dir: filepath.Join(base, "keys"), IdentityFile: id}
	s := open(t, o)
	g := Generation{Key: "k"}
	if err := errors.Join(s.PutShare(g, "", chainkey.Secret("share")), s.Join([32]byte{1}), s.Close()); err != nil {
		t.Fatal(err)
	}
	item := filepath.Join(o.Dir, g.name())
	for _, path := range []string{o.Dir, id, item, filepath.Join(o.Dir, "joined"), filepath.Join(o.Dir, "lock")} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, more := range []os.FileMode{0o040, 0o020, 0o010, 0o004, 0o002, 0o001} {
			if err := os.Chmod(path, info.Mode().Perm()|more); err != nil {
				t.Fatal(err)
			}
			if s, err := Open(o); !errors.Is(err, ErrPermissions) {
				t.Errorf("%s with mode %#o more: %v", path, more, err)
				if err == nil {
					_ = s.Close()
				}
			}
		}
		if err := os.Chmod(path, info.Mode().Perm()); err != nil {
			t.Fatal(err)
		}
	}
	// A link could lead to a file that others write, or have one of ours overwritten when it is wiped.
	s = open(t, o)
	elsewhere := filepath.Join(base, "elsewhere")
	if err := errors.Join(os.Rename(item, elsewhere), os.Symlink(elsewhere, item)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Share(g); !errors.Is(err, ErrPermissions) {
		t.Errorf("reading through a link: %v", err)
	}
	if err := s.WipeShare(g); err == nil {
		t.Error("wiped through a link")
	}
	if b, err := os.ReadFile(elsewhere); err != nil || len(b) == 0 || b[0] != sealed {
		t.Errorf("the file behind the link changed: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(o); !errors.Is(err, ErrPermissions) {
		t.Errorf("a link in the store: %v", err)
	}
}
