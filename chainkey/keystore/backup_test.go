package keystore

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"filippo.io/age"

	"fusion/chainkey"
	"fusion/internal/codec"
)

func TestBackupAndRestore(t *testing.T) {
	base := t.TempDir()
	offline := identity(t, base)
	x, err := readIdentity(offline)
	if err != nil {
		t.Fatal(err)
	}
	to := x.Recipient().String()
	of := Origin{Network: [32]byte{1}, Node: []byte("node 2's key")}
	o := Options{Dir: filepath.Join(base, "keys"), AllowPlain: true}
	s := open(t, o)
	list := []Generation{{"a", 0, 0}, {"a", 1, 2}, {"b", 0, 1}}
	for _, g := range list {
		if err := s.PutShare(g, "gg18", chainkey.Secret("share of "+g.String())); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(s.PutParams(Generation{Key: "c"}, chainkey.Secret("parameters")), s.Join([32]byte{9})); err != nil {
		t.Fatal(err)
	}
	// The replica goes on while a backup is made.
	reader := open(t, Options{Dir: o.Dir, AllowPlain: true, ReadOnly: true})
	var file bytes.Buffer
	if got, err := reader.Backup(&file, to, of); err != nil || fmt.Sprint(got) != fmt.Sprint(list) {
		t.Fatalf("%v, %v", got, err)
	}
	if err := reader.PutShare(Generation{Key: "x"}, "", nil); err == nil {
		t.Error("a store that was opened for reading was written")
	}
	if err := reader.WipeShare(list[0]); err == nil {
		t.Error("a store that was opened for reading was wiped")
	}
	if bytes.Contains(file.Bytes(), []byte("share of")) {
		t.Fatal("the backup is not encrypted")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	// Onto another machine, whose store is sealed: shares come back, and nothing else.
	fresh := Options{Dir: filepath.Join(base, "fresh"), IdentityFile: identity(t, t.TempDir())}
	r := open(t, fresh)
	restore := func(s *Store, of Origin) ([]Generation, error) {
		return s.Restore(bytes.NewReader(file.Bytes()), offline, of)
	}
	for name, other := range map[string]Origin{"another network": {[32]byte{2}, of.Node}, "another node": {of.Network, []byte("node 3's key")}} {
		if got, err := restore(r, other); !errors.Is(err, ErrBackup) || len(got) != 0 {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if got, err := r.Restore(bytes.NewReader(file.Bytes()[:file.Len()-1]), offline, of); !errors.Is(err, ErrBackup) || len(got) != 0 {
		t.Errorf("truncated: %v, %v", got, err)
	}
	if _, err := r.Restore(bytes.NewReader(file.Bytes()), identity(t, t.TempDir()), of); !errors.Is(err, ErrBackup) {
		t.Errorf("with another identity: %v", err)
	}
	if got, err := restore(r, of); err != nil || fmt.Sprint(got) != fmt.Sprint(list) {
		t.Fatalf("%v, %v", got, err)
	}
	for _, g := range list {
		if _, share, err := r.Share(g); err != nil || string(share) != "share of "+g.String() {
			t.Errorf("%v: %v", g, err)
		}
	}
	if _, err := r.Params(Generation{Key: "c"}); !errors.Is(err, ErrNotFound) {
		t.Errorf("parameters came with the backup: %v", err)
	}
	if got, err := restore(r, of); err != nil || len(got) != 0 {
		t.Errorf("a second time: %v, %v", got, err)
	}

	// What is lost or damaged is replaced; what is newer is not set back.
	if err := os.WriteFile(filepath.Join(fresh.Dir, list[1].name()), []byte("sdamaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.WipeShare(list[2]); err != nil {
		t.Fatal(err)
	}
	if got, err := restore(r, of); err != nil || fmt.Sprint(got) != fmt.Sprint(list[1:]) {
		t.Errorf("after losses: %v, %v", got, err)
	}
	if err := errors.Join(r.WipeShare(list[2]), r.PutShare(Generation{"a", 1, 3}, "gg18", chainkey.Secret("newer"))); err != nil {
		t.Fatal(err)
	}
	if got, err := restore(r, of); !errors.Is(err, ErrNewer) || len(got) != 0 {
		t.Errorf("over a newer attempt: %v, %v", got, err)
	}
	if _, _, err := r.Share(list[2]); !errors.Is(err, ErrNotFound) {
		t.Errorf("a refused restore changed the store: %v", err)
	}
	if err := errors.Join(r.WipeShare(Generation{"a", 1, 3}), r.WipeShare(list[0]), r.PutShare(list[0], "gg18", chainkey.Secret("another"))); err != nil {
		t.Fatal(err)
	}
	if got, err := restore(r, of); !errors.Is(err, ErrNewer) || len(got) != 0 {
		t.Errorf("over another share: %v, %v", got, err)
	}
}

func FuzzParseBackup(f *testing.F) {
	f.Add(codec.Marshal(backup{Format: backupFormat, Network: make([]byte, 32), Shares: []backupShare{{Key: "k", Scheme: "s", Secret: []byte{1}}}}))
	f.Add(codec.Marshal(backup{Format: "another"}))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, content []byte) {
		b, err := parseBackup(content)
		if err != nil {
			if !errors.Is(err, ErrBackup) {
				t.Fatal(err)
			}
			return
		}
		if again, err := parseBackup(codec.Marshal(b)); err != nil || len(again.Shares) != len(b.Shares) {
			t.Fatalf("read once, not twice: %v", err)
		}
	})
}

func TestRecipientsAndIdentities(t *testing.T) {
	s := open(t, Options{Dir: filepath.Join(t.TempDir(), "k"), AllowPlain: true})
	if _, err := s.Backup(&bytes.Buffer{}, "age1nobody", Origin{}); err == nil {
		t.Error("a backup for nobody")
	}
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "two")
	if err := os.WriteFile(path, []byte(id.String()+"\n"+id.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Restore(&bytes.Buffer{}, path, Origin{}); err == nil {
		t.Error("two identities in a file")
	}
}
