package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"fusion/chainkey"
	"fusion/ic/principal"
	"fusion/testnets"
)

// TestProposalCommands runs what docs/operate.md says about proposals, in its order, on a network whose operators are all here.
func TestProposalCommands(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 9*time.Minute)
	defer cancel()
	dir, files := filepath.Join(t.TempDir(), "n"), t.TempDir()
	s := testnets.Settings{Nodes: 5, Keys: []chainkey.KeyID{}, CommitWait: 100 * time.Millisecond, Operators: []string{"ann", "bea", "cyd", "dan"}, TimeLock: time.Second}
	if _, err := testnets.Create(dir, s); err != nil {
		t.Fatal(err)
	}
	n, err := testnets.Run(ctx, dir, testnets.RunOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := n.Bootstrap(ctx); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) (string, error) {
		var out bytes.Buffer
		cmd := root()
		cmd.SetArgs(append(args, "--data-dir", dir))
		cmd.SetOut(&out)
		err := cmd.ExecuteContext(ctx)
		return out.String(), err
	}
	must := func(want string, args ...string) {
		t.Helper()
		out, err := run(args...)
		if err != nil || !strings.Contains(out, want) {
			t.Fatalf("fusion %s: want %q in\n%s%v", strings.Join(args, " "), want, out, err)
		}
	}
	must("3 of 4 operators, after a time lock of 1s, by proposals", "status")
	if _, err := n.AddNode(5); err != nil {
		t.Fatal(err)
	}
	out, err := run("node", "candidate", "--home", testnets.NodeDir(dir, 5))
	if err != nil {
		t.Fatal(err)
	}
	candidate := filepath.Join(files, "new.json")
	if err := os.WriteFile(candidate, []byte(out), 0o600); err != nil {
		t.Fatal(err)
	}

	// What it has to say of the commands, in their order.
	sentences := []string{
		"4 operators, of whom 3 decide; time lock 1s",
		"proposal 5, to install module", "proposal 5, to install module", "fixes fees", "has 2 of 4 approvals|has 2 of 3 approvals", "its time lock ends at", "was executed: canister mqygn",
		"proposal 6, to call \"resume\" of canister mqygn-kiaaa-aaaar-qaadq-cai, has 1 of 3 approvals",
		"proposal 7, to install module", "proposal 8, to add the node with the key", "proposal 9, to replace node 2 by", "proposal 10, to remove node 2", "proposal 11, to reshare all keys",
		"proposal 12, to have 3 operators", "proposal 13, to call \"set_config\"", "proposal 6, to call", "was withdrawn", "proposal 7, to install",
	}
	section := documentedSection(t, "../../docs/operate.md", "## Who may change what")
	var ran int
	for _, c := range section {
		if !c.whole || c.args[0] != "proposal" {
			continue
		}
		args := slices.Clone(c.args)
		for i, a := range args {
			if a == "new.json" {
				args[i] = candidate
			}
		}
		if i := slices.Index(args, "operators"); i == 2 { // the document's are examples
			var list []string
			for _, name := range []string{"ann", "bea", "cyd"} {
				id, err := testnets.LoadIdentity(dir, name)
				if err != nil {
					t.Fatal(err)
				}
				list = append(list, id.Sender().String())
			}
			args = slices.Replace(args, 3, 6, list...)
		}
		if ran == len(sentences) {
			t.Fatalf("nothing is expected of fusion %s", strings.Join(args, " "))
		}
		out, err := run(args...)
		if ok := slices.ContainsFunc(strings.Split(sentences[ran], "|"), func(s string) bool { return strings.Contains(out, s) }); err != nil || !ok {
			t.Fatalf("fusion %s: want %q in\n%s%v", strings.Join(args, " "), sentences[ran], out, err)
		}
		ran++
	}
	if ran != len(sentences) {
		t.Errorf("%d commands were documented, %d expected", ran, len(sentences))
	}

	// Mistakes.
	for want, args := range map[string][]string{
		"takes messages of operators only":                            {"proposal", "approve", "8"},
		"there is no proposal 99":                                     {"proposal", "show", "99"},
		"is not the number of a proposal":                             {"proposal", "execute", "x", "--identity", "ann"},
		"has ended: its proposer":                                     {"proposal", "approve", "6", "--identity", "bea"},
		"1 approvals, it needs 3":                                     {"proposal", "execute", "10", "--identity", "ann"},
		"has the digest":                                              {"proposal", "approve", "10", "--identity", "bea", "--digest", "00"},
		"has no custody":                                              {"proposal", "submit", "call", principal.Management.String(), "stop_canister", "4449444c0000", "--raw", "--identity", "bea"},
		"node 9 is not a member":                                      {"proposal", "submit", "remove-node", "9", "--identity", "bea"},
		"is nobody, or is named twice":                                {"proposal", "submit", "operators", "aaaaa-aa", "2vxsx-fae", "--identity", "bea"},
		"\"sometimes\" is no mode":                                    {"proposal", "submit", "checker-mode", "sometimes", "--identity", "bea"},
		"the operators decide who the members are":                    {"node", "remove", "2"},
		"Canister's controllers: r7inp-6aaaa-aaaaa-aaabq-cai. Sender": {"canister", "stop", "minter", "--identity", "ann"},
		"no such file":                                                {"proposal", "submit", "upgrade", "minter", "./none.wasm", "--identity", "bea"},
		"Bitcoin and EVM RPC canisters alone":                         {"proposal", "submit", "call", "minter", "resume", "--hide", "--identity", "bea"},
		"nothing_at_all":                                              {"proposal", "submit", "upgrade", "minter", "nothing_at_all", "--identity", "bea"},
	} {
		if out, err := run(args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("fusion %s: want %q, got %v\n%s", strings.Join(args, " "), want, err, out)
		}
	}
	_, err = run("canister", "stop", "minter", "--identity", "ann")
	if text, next := explain(err); !strings.HasPrefix(text, "stop_canister is for the root canister") || next != "operators decide: fusion proposal submit --help" {
		t.Errorf("%s; %s", text, next)
	}
	must("5 members in epoch 0", "node", "list")
	must("proposal 14, to call \"reset_chain\" of canister g4xu7-jiaaa-aaaan-aaaaq-cai with the argument whose SHA-256 is", "proposal", "submit", "call", "bitcoin", "reset_chain", "--hide", "--identity", "bea")
	must("\"number\": 14", "proposal", "list", "--json", "--length", "1")
}

// documentedSection are the command lines of one section of a document.
func documentedSection(t *testing.T, file, heading string) []command {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, text, ok := strings.Cut(string(b), heading+"\n")
	if !ok {
		t.Fatalf("%s has no section %q", file, heading)
	}
	text, _, _ = strings.Cut(text, "\n## ")
	return documented(text)
}
