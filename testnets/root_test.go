package testnets_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"fusion/chainkey"
	"fusion/ckledger/ckbtc"
	"fusion/ic/agent"
	"fusion/ic/candid"
	"fusion/ic/principal"
	"fusion/replica"
	"fusion/replica/genesis"
	"fusion/replica/management"
	"fusion/replica/members"
	"fusion/replica/root"
	"fusion/testnets"
	"fusion/testnets/canisters"
)

// repacked is the same module with another hash.
func repacked(t *testing.T, code []byte) []byte {
	t.Helper()
	plain := must(io.ReadAll(must(gzip.NewReader(bytes.NewReader(code)))(t)))(t)
	var out bytes.Buffer
	w := must(gzip.NewWriterLevel(&out, gzip.BestSpeed))(t)
	must(w.Write(plain))(t)
	check(t, w.Close())
	return out.Bytes()
}

// TestRootCanister runs a network whose operators decide: they install the ckBTC canisters, upgrade the minter and let a node in. Node keys, one operator, the
// identity that made the network and whoever is called a controller can do nothing of it.
func TestRootCanister(t *testing.T) {
	noLeaks(t)
	ctx, cancel := context.WithTimeout(t.Context(), 9*time.Minute)
	t.Cleanup(cancel)
	dir := t.TempDir()
	_, err := testnets.Create(dir, testnets.Settings{Keys: []chainkey.KeyID{{Algorithm: chainkey.Bip340Secp256k1, Name: testnets.TestKey}}, CommitWait: 100 * time.Millisecond,
		Operators: []string{"ann", "bea", "cyd", "dan"}, TimeLock: time.Second})
	check(t, err)
	w := &membership{must(testnets.Run(ctx, dir, testnets.RunOptions{}))(t), ctx, t}
	t.Cleanup(func() { check(t, w.Close()) })
	check(t, w.Bootstrap(w))
	check(t, w.WaitKeys(w))
	council := must(w.Council())(t)
	if len(council) != 4 {
		t.Fatalf("%d operators", len(council))
	}
	installed := func(hash []byte) {
		t.Helper()
		got := must(council[0].Read(w, w.Minter, []byte("canister"), w.Minter.Bytes(), []byte("module_hash")))(t)
		if !bytes.Equal(got, hash) {
			t.Errorf("the minter has module %x, want %x", got, hash)
		}
	}
	old := must(canisters.Module("ckbtc_minter"))(t)
	before := sha256.Sum256(old)
	installed(before[:])
	raw := must(council[0].Read(w, w.Minter, []byte("canister"), w.Minter.Bytes(), []byte("controllers")))(t)
	if !bytes.Contains(raw, genesis.RootCanister.Bytes()) || bytes.Contains(raw, council[0].Sender().Bytes()) {
		t.Errorf("controllers %x", raw)
	}

	// Attacks on canisters: by the identity that made the network, and by one operator.
	maker := must(w.Agent(must(testnets.LoadIdentity(dir, testnets.DefaultIdentity))(t)))(t)
	code := repacked(t, old)
	arg := candid.MustMarshal((*ckbtc.MinterArg)(nil))
	rejected := func(what string, err error, code, text string) {
		t.Helper()
		var r *agent.RejectError
		if !errors.As(err, &r) || code != "" && r.ErrorCode != code || !strings.Contains(r.Message, text) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, a := range []*agent.Agent{maker, council[0].Agent} {
		for _, id := range []principal.Principal{w.Minter, w.Ledger, canisters.BtcChecker} {
			for method, arg := range map[string]any{
				"stop_canister":          management.CanisterID{CanisterID: id},
				"delete_canister":        management.CanisterID{CanisterID: id},
				"uninstall_code":         management.UninstallCodeArgs{CanisterID: id},
				"update_settings":        management.UpdateSettingsArgs{CanisterID: id, Settings: management.Settings{Controllers: &[]principal.Principal{a.Sender()}}},
				"load_canister_snapshot": management.LoadSnapshotArgs{CanisterID: id, SnapshotID: make([]byte, 20)},
				"take_canister_snapshot": management.TakeSnapshotArgs{CanisterID: id},
			} {
				rejected(method, a.Update(w, principal.Management, method, []any{arg}, nil), "IC0512", "")
			}
		}
		if err := testnets.Install(w, a, w.Minter, management.ModeUpgrade(nil), code, arg); err == nil {
			t.Error("somebody upgrades the minter")
		}
		var ok *candid.Null
		if err := a.Update(w, w.Minter, "resume", nil, []any{&ok}); err == nil {
			t.Error("somebody resumes the minter")
		}
	}

	// One operator's proposal, and one that enough approved, before its time.
	upgrade, chunks := testnets.UpgradeAction(w.Minter, code, arg, nil)
	p := must(council[0].Submit(w, upgrade, "repacked", chunks))(t)
	_, err = council[0].Say(w, "execute", p)
	rejected("one operator", err, "", "1 approvals, it needs 3")
	_, err = testnets.Proposals{Agent: maker}.Say(w, "approve", p)
	rejected("no operator", err, "", "takes messages of operators only")
	p = must(council[1].Say(w, "approve", p))(t)
	_, err = council[0].Say(w, "execute", p)
	rejected("two operators", err, "", "2 approvals, it needs 3")
	evil := p
	evil.Digest = make([]byte, 32)
	_, err = council[2].Say(w, "approve", evil)
	rejected("another digest", err, "", "does something else")
	p = must(council[2].Say(w, "approve", p))(t)
	if _, err = council[3].Say(w, "execute", p); err == nil || !strings.Contains(err.Error(), "time lock") {
		t.Errorf("before its time: %v", err)
	}
	for p.State.Ready == nil {
		select {
		case <-w.Done():
			t.Fatal(p.Sentence)
		case <-time.After(50 * time.Millisecond):
			p = must(council[0].Get(w, p.Number, true))(t)
		}
	}
	p = must(council[3].Say(w, "execute", p))(t)
	if p.State.Executed == nil {
		t.Fatal(p.Sentence)
	}
	after := sha256.Sum256(code)
	installed(after[:])
	var info ckbtc.MinterInfo
	check(t, maker.Ask(w, w.Minter, "get_minter_info", nil, []any{&info}))
	if info.RetrieveBtcMinAmount != testnets.RetrieveMin {
		t.Errorf("the minter forgot what it was told: %+v", info)
	}
	_, err = council[3].Say(w, "execute", p)
	rejected("once more", err, "", "has ended")

	// A call: what a minter's controller may do.
	call := root.Action{Call: &root.MethodCall{Canister: w.Minter, Method: "resume", Arg: candid.MustMarshal()}}
	if q := must(council.Decide(w, call, "it may go on", nil))(t); q.Reply == nil {
		t.Errorf("%+v", q)
	}

	// All node keys together change no membership; the operators do.
	cand := must(w.AddNode(4))(t)
	check(t, w.StartReplica(w, 4))
	change := members.Change{Add: []members.Candidate{cand}}
	for i := range 4 {
		st, cfg := w.Replica(i).Membership(), must(replica.LoadConfig(testnets.NodeDir(dir, i)))(t)
		if err := w.Replica(i).SubmitMembership(must(replica.SignMembership(cfg, st.NewProposal(change)))(t)); !errors.Is(err, members.ErrItem) {
			t.Errorf("node %d proposes: %v", i, err)
		}
	}
	must(council.Decide(w, root.MembershipOf(change), "one more", nil))(t)
	w.reach(1, 0, 1, 2, 3, 4)
	if got := w.Replica(0).Membership().Members; !slices.Equal(got, []uint32{0, 1, 2, 3, 4}) {
		t.Errorf("members %v", got)
	}

	// The history is there, after a restart too.
	check(t, w.StopReplica(0))
	check(t, w.StartReplica(w, 0))
	w.until(0, "a certificate", func(s replica.Status) bool { return s.Healthy })
	all := must(council[0].List(w, 0, 100))(t)
	if len(all) != 7 || all[0].State.Executed == nil || all[2].Number != p.Number {
		t.Errorf("%d proposals: %+v", len(all), all)
	}
}
