package testnets_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	"fusion/chainkey"
	"fusion/chainkey/keystore"
	"fusion/replica"
	"fusion/testnets"
	"fusion/testnets/golden"
)

var edKey = chainkey.KeyID{Algorithm: chainkey.Ed25519, Name: testnets.TestKey}

// keyStore opens the key store of a stopped replica of a local network.
func keyStore(t testing.TB, dir string, node int) *keystore.Store {
	t.Helper()
	return must(keystore.Open(keystore.Options{Dir: filepath.Join(testnets.NodeDir(dir, node), "keys"), AllowPlain: true}))(t)
}

// signAll has something signed by each of the subnet's keys.
func signAll(t *testing.T, f *fixture, s *golden.Signer, what string) {
	t.Helper()
	digest := sha256.Sum256([]byte(what))
	for _, id := range []chainkey.KeyID{testnets.EcdsaKey, golden.Bip340Key, edKey} {
		if _, err := s.Sign(f, id, [][]byte{[]byte("path")}, chainkey.HashMessage(digest)); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
}

func get(t *testing.T, url string) string {
	t.Helper()
	r := must(http.Get(url))(t)
	defer r.Body.Close()
	return string(must(io.ReadAll(r.Body))(t))
}

// TestLostShares takes a replica's shares away: it says so, and signs again once its backup is restored.
func TestLostShares(t *testing.T) {
	f := setup(t)
	signer := must(golden.InstallSigner(f, f.owner, "./testdata/signer"))(t)
	const victim = 3
	id := must(age.GenerateX25519Identity())(t)
	identity := filepath.Join(t.TempDir(), "identity")
	check(t, os.WriteFile(identity, []byte(id.String()+"\n"), 0o600))
	cfg := must(replica.LoadConfig(testnets.NodeDir(f.n.Dir, victim)))(t)
	var backup bytes.Buffer
	saved := must(replica.BackupKeys(*cfg, &backup, id.Recipient().String()))(t)
	if len(saved) != len(testnets.Keys())+1 { // and the subnet's own
		t.Fatalf("saved %v", saved)
	}
	restore := func() ([]keystore.Generation, error) {
		return replica.RestoreKeys(*cfg, bytes.NewReader(backup.Bytes()), identity, 0)
	}
	if _, err := restore(); !errors.Is(err, keystore.ErrInUse) {
		t.Errorf("restoring beside the running replica: %v", err)
	}

	// Without its shares of the keys that sign it runs, and says what is wrong.
	wipe := func(which func(keystore.Generation) bool) {
		t.Helper()
		s := keyStore(t, f.n.Dir, victim)
		for _, g := range saved {
			if which(g) {
				check(t, s.WipeShare(g))
			}
		}
		check(t, s.Close())
	}
	signs := func(g keystore.Generation) bool {
		k, err := chainkey.ParseKeyID(g.Key)
		return err == nil && k.Algorithm.Signs()
	}
	check(t, f.n.StopReplica(victim))
	wipe(signs)
	check(t, f.n.StartReplica(f, victim))
	check(t, golden.Wait(f, "the alarm", func() (string, error) {
		if s := f.n.Replica(victim).Status().Sentence; !strings.Contains(s, "share of bip340_secp256k1:dfx_test_key, ecdsa_secp256k1:dfx_test_key, ed25519:dfx_test_key is lost: restore") {
			return s, nil
		}
		return "", nil
	}))
	if got := get(t, f.n.URL(victim)+"/metrics"); !strings.Contains(got, fmt.Sprintf("\nfusion_key_shares_lost{node=\"%d\"} 3\n", victim)) {
		t.Errorf("the metric does not say that 3 shares are lost")
	}
	if got := get(t, f.n.URL(0)+"/metrics"); !strings.Contains(got, "\nfusion_key_shares_lost{node=\"0\"} 0\n") {
		t.Errorf("another replica lost shares")
	}

	// Without its share of the subnet's key it does not start.
	check(t, f.n.StopReplica(victim))
	wipe(func(keystore.Generation) bool { return true })
	if err := f.n.StartReplica(f, victim); err == nil || !strings.Contains(err.Error(), "restore its backup") {
		t.Fatalf("started without the subnet's share: %v", err)
	}
	again := must(restore())(t)
	if fmt.Sprint(again) != fmt.Sprint(saved) {
		t.Fatalf("restored %v of %v", again, saved)
	}
	check(t, f.n.StartReplica(f, victim))
	// With another replica away all that are left must sign.
	check(t, f.n.StopReplica(1))
	signAll(t, f, signer, "after the restore")
	if s := f.n.Replica(victim).Status().Sentence; strings.Contains(s, "lost") {
		t.Errorf("after the restore: %s", s)
	}
}
