package idkg_test

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"fusion/chainkey"
	"fusion/chainkey/idkg"
	"fusion/chainkey/idkg/idkgtest"
)

// TestModel plays random orders of requests, crashes, restarts, repeated and forged orders, restores and reshares, as a caller that keeps its duties
// would see them: an agreed log binds a presignature to a request, each member follows it at its own pace, and keeps its record of Bind through
// everything. No presignature ever serves two signings, in no member and over all of them; and every request that f+1 members followed is signed.
func TestModel(t *testing.T) {
	const members, epochs, pool = 4, 3, 6
	type epoch struct {
		w    *idkgtest.Network
		key  *idkgtest.Held
		pool []*idkgtest.Presigned
	}
	var es []epoch
	for i := range epochs {
		random := rand.Reader
		w, err := idkgtest.New(chainkey.EcdsaSecp256k1, uint64(i+1), members, random)
		if err != nil {
			t.Fatal(err)
		}
		var key *idkgtest.Held
		if i == 0 {
			key, err = w.Generate()
		} else {
			key, err = es[i-1].w.Reshare(w, es[i-1].key)
		}
		if err != nil {
			t.Fatal(err)
		}
		ps, err := w.Presign(key, 1, pool)
		if err != nil {
			t.Fatal(err)
		}
		es = append(es, epoch{w, key, ps})
	}
	rapid.Check(t, func(t *rapid.T) {
		type entry struct {
			epoch, presignature int
			request, beacon     uint64
		}
		var log []entry
		now, used, requests := 0, 0, uint64(0)
		var bound [members]map[[32]byte][32]byte // what lies on each member's disk
		var at [members]int                      // how far each has followed the log
		said := map[[32]byte][32]byte{}          // by presignature: the signing that shares were seen of
		shares := map[[32]byte]map[int]*idkg.SignatureShare{}
		for i := range bound {
			bound[i] = map[[32]byte][32]byte{}
		}
		order := func(e entry) *idkg.Signing {
			var id, beacon [32]byte
			binary.BigEndian.PutUint64(id[:], e.request)
			binary.BigEndian.PutUint64(beacon[:], e.beacon)
			x := es[e.epoch]
			s, err := idkg.NewSigning(idkg.Request{Roster: x.w.Roster, Key: x.key.Transcript, Presignature: x.pool[e.presignature].Presignature, ID: id, Beacon: beacon,
				Message: chainkey.HashMessage(id)})
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		follow := func(m int, e entry) error {
			x, s := es[e.epoch], order(e)
			sh, err := s.Share(x.w.IDs[m], x.pool[e.presignature].Shares[m], func(name, signing [32]byte) error {
				if other, ok := bound[m][name]; ok && other != signing {
					return fmt.Errorf("presignature %x serves another signing", name[:4])
				}
				bound[m][name] = signing
				return nil
			})
			if err != nil {
				return err
			}
			name := x.pool[e.presignature].Name()
			if other, ok := said[name]; ok && other != s.ID() {
				t.Fatalf("member %d: presignature %d of epoch %d serves two signings", m, e.presignature, e.epoch)
			}
			said[name] = s.ID()
			if shares[s.ID()] == nil {
				shares[s.ID()] = map[int]*idkg.SignatureShare{}
			}
			shares[s.ID()][m] = sh
			return nil
		}
		anyone := rapid.IntRange(0, members-1)
		t.Repeat(map[string]func(*rapid.T){
			"request": func(t *rapid.T) {
				if used == pool {
					t.Skip("the pool is empty")
				}
				requests++
				log = append(log, entry{now, used, requests, rapid.Uint64().Draw(t, "beacon")})
				used++
			},
			"follow": func(t *rapid.T) {
				m := anyone.Draw(t, "member")
				if at[m] == len(log) {
					t.Skip("nothing to do")
				}
				if err := follow(m, log[at[m]]); err != nil {
					t.Fatal(err)
				}
				at[m]++
			},
			"crash": func(t *rapid.T) { at[anyone.Draw(t, "member")] = 0 },
			"forged order": func(t *rapid.T) { // of a presignature that the member has used
				m := anyone.Draw(t, "member")
				if at[m] == 0 {
					t.Skip("nothing used")
				}
				e := log[rapid.IntRange(0, at[m]-1).Draw(t, "entry")]
				e.request += 1 << 32
				if follow(m, e) == nil {
					t.Fatalf("member %d made shares of two signings", m)
				}
			},
			"restore": func(t *rapid.T) { // what was ordered after the backup is forgotten, and the epoch raised
				if now == epochs-1 {
					t.Skip("no epoch left")
				}
				log = log[:rapid.IntRange(0, len(log)).Draw(t, "backup")]
				now, used = now+1, 0
				for m := range at {
					at[m] = min(at[m], len(log))
				}
			},
			"": func(t *rapid.T) {
				for m := range at {
					if len(bound[m]) > int(requests) {
						t.Fatalf("member %d used %d presignatures for %d requests", m, len(bound[m]), requests)
					}
				}
			},
		})
		for _, e := range log {
			s := order(e)
			var list []*idkg.SignatureShare
			for _, sh := range shares[s.ID()] {
				list = append(list, sh)
			}
			if _, liars, err := s.Combine(list); len(list) >= es[0].w.Roster.Threshold() && (err != nil || len(liars) > 0) {
				t.Fatalf("request %d: %v, %v", e.request, liars, err)
			}
		}
	})
}
