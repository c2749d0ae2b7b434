package keystore

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	"fusion/chainkey"
)

func identity(t *testing.T, dir string) string {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "identity")
	if err := os.WriteFile(path, []byte("# a comment\n"+id.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t *testing.T, o Options) *Store {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestSharesSurviveAndAreSealed(t *testing.T) {
	for _, seal := range []bool{true, false} {
		t.Run(fmt.Sprintf("sealed %v", seal), func(t *testing.T) {
			base := t.TempDir()
			o := Options{Dir: filepath.Join(base, "keys"), AllowPlain: !seal}
			if seal {
				o.IdentityFile = identity(t, base)
			}
			s := open(t, o)
			secret := chainkey.Secret("the share of the key, forty-two bytes long")
			a, b := Generation{"key/1", 0, 3}, Generation{"key/1", 1, 0}
			for _, g := range []Generation{b, a} {
				if err := s.PutShare(g, "gg18", secret); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.PutShare(a, "gg18", secret); !errors.Is(err, fs.ErrExist) {
				t.Errorf("a share was replaced: %v", err)
			}
			if err := s.PutParams(Generation{Key: "key/1"}, secret[:10]); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = open(t, o)
			if list, err := s.Shares(); err != nil || fmt.Sprint(list) != fmt.Sprint([]Generation{a, b}) {
				t.Fatalf("%v, %v", list, err)
			}
			scheme, got, err := s.Share(a)
			if err != nil || scheme != "gg18" || !bytes.Equal(got, secret) {
				t.Fatalf("%q, %v", scheme, err)
			}
			if p, err := s.Params(Generation{"key/1", 0, 9}); err != nil || !bytes.Equal(p, secret[:10]) {
				t.Fatalf("parameters: %v", err)
			}
			leaks := 0
			entries, err := os.ReadDir(o.Dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				path := filepath.Join(o.Dir, e.Name())
				content, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if bytes.Contains(content, []byte("the share")) {
					leaks++
				}
				if info, _ := e.Info(); info.Mode().Perm() != 0o600 {
					t.Errorf("%s has mode %#o", e.Name(), info.Mode().Perm())
				}
			}
			if seal && leaks > 0 || !seal && leaks != 3 {
				t.Errorf("%d files show the secret", leaks)
			}
			if err := s.WipeShare(a); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(s.WipeShare(a), s.WipeParams(b), s.WipeParams(a)); err != nil {
				t.Errorf("wiping again: %v", err)
			}
			if _, _, err := s.Share(a); !errors.Is(err, ErrNotFound) {
				t.Errorf("after wiping: %v", err)
			}
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	base := t.TempDir()
	id := identity(t, base)
	if _, err := Open(Options{Dir: filepath.Join(base, "a")}); !errors.Is(err, ErrUnsealed) {
		t.Errorf("no identity: %v", err)
	}
	inside := filepath.Join(base, "b")
	if err := os.Mkdir(inside, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Dir: inside, IdentityFile: identity(t, inside)}); !errors.Is(err, ErrUnsealed) {
		t.Errorf("identity inside the store: %v", err)
	}
	link := filepath.Join(base, "link")
	if err := os.Symlink(filepath.Join(inside, "identity"), link); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Dir: inside, IdentityFile: link}); !errors.Is(err, ErrUnsealed) {
		t.Errorf("identity inside the store by a link: %v", err)
	}
	if err := os.Mkdir(filepath.Join(base, "c"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Dir: filepath.Join(base, "c"), IdentityFile: id}); !errors.Is(err, ErrPermissions) {
		t.Errorf("open directory: %v", err)
	}
	if err := os.Chmod(id, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Dir: filepath.Join(base, "d"), IdentityFile: id}); !errors.Is(err, ErrPermissions) {
		t.Errorf("open identity: %v", err)
	}
	bad := filepath.Join(base, "bad")
	if err := os.WriteFile(bad, []byte("AGE-SECRET-KEY-1QQQQ\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Dir: filepath.Join(base, "e"), IdentityFile: bad}); err == nil || strings.Contains(err.Error(), "QQQQ") {
		t.Errorf("bad identity: %v", err)
	}
}

func TestOneProcessAtATime(t *testing.T) {
	o := Options{Dir: filepath.Join(t.TempDir(), "k"), AllowPlain: true}
	s := open(t, o)
	if _, err := Open(o); !errors.Is(err, ErrInUse) {
		t.Errorf("opened twice: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Join([32]byte{1}); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("joined in a closed store: %v", err)
	}
	if err := s.PutShare(Generation{Key: "k"}, "", nil); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("stored in a closed store: %v", err)
	}
	open(t, o)
}

func TestDamageAndExchangeAreNoticed(t *testing.T) {
	base := t.TempDir()
	o := Options{Dir: filepath.Join(base, "k"), IdentityFile: identity(t, base)}
	s := open(t, o)
	a, b := Generation{Key: "a"}, Generation{Key: "b"}
	for _, g := range []Generation{a, b} {
		if err := s.PutShare(g, "x", chainkey.Secret("secret of "+g.Key)); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(o.Dir, a.name())
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	other, err := os.ReadFile(filepath.Join(o.Dir, b.name()))
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"truncated": good[:len(good)-1], "empty": {}, "flipped": append(bytes.Clone(good[:len(good)-1]), good[len(good)-1]^1),
		"exchanged": other, "unknown": append([]byte{'x'}, good[1:]...),
	} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.Share(a); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := os.WriteFile(path, []byte("pplain"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Share(a); !errors.Is(err, ErrUnsealed) {
		t.Errorf("plain text in a sealed store: %v", err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Share(a); !errors.Is(err, ErrPermissions) {
		t.Errorf("readable by others: %v", err)
	}
}

// TestJoinSurvivesCrashes cuts the log at every byte: a join that returned is never forgotten, a torn one may be.
func TestJoinSurvivesCrashes(t *testing.T) {
	o := Options{Dir: filepath.Join(t.TempDir(), "k"), AllowPlain: true}
	s := open(t, o)
	for i := range byte(3) {
		if err := s.Join([32]byte{i}); err != nil {
			t.Fatal(err)
		}
		if err := s.Join([32]byte{i}); !errors.Is(err, ErrJoined) {
			t.Fatalf("joined twice: %v", err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(o.Dir, "joined")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range len(whole) + 1 {
		if err := os.WriteFile(path, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(o)
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		for i := range byte(3) {
			err := s.Join([32]byte{i})
			if complete := cut >= int(i+1)*recordSize; complete != errors.Is(err, ErrJoined) {
				t.Errorf("cut at %d: session %d: %v", cut, i, err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	whole[3] ^= 1
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(o); !errors.Is(err, ErrDamaged) {
		t.Errorf("damage in the middle: %v", err)
	}
}

func TestInterruptedWriteIsSwept(t *testing.T) {
	o := Options{Dir: filepath.Join(t.TempDir(), "k"), AllowPlain: true}
	if err := open(t, o).Close(); err != nil {
		t.Fatal(err)
	}
	tmp := filepath.Join(o.Dir, Generation{Key: "a"}.name()+".tmp")
	if err := os.WriteFile(tmp, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	open(t, o)
	if _, err := os.Stat(tmp); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the half-written file remains: %v", err)
	}
}
