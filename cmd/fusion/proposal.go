package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fusion/ckledger/checker"
	"fusion/ic/agent"
	"fusion/ic/candid"
	"fusion/ic/principal"
	"fusion/replica/genesis"
	"fusion/replica/members"
	proposals "fusion/replica/root"
	"fusion/testnets"
	"fusion/testnets/canisters"
)

func proposalCmd(o *options) *cobra.Command {
	cmd := &cobra.Command{Use: "proposal", Short: "decide, as an operator, what becomes of custodial canisters and of the membership",
		Long: `Decide, as an operator, what becomes of custodial canisters, of the membership and of the operators.

One operator submits a proposal. Others read it and approve it; with the approval of two thirds of the operators the time lock begins. When it is
over, any operator executes the proposal, once. Until then its proposer may withdraw it, and others may reject it. --identity is the operator.

A network without a root canister knows no proposals: there the canisters' controllers and the nodes' keys decide.`}
	cmd.AddCommand(proposalSubmitCmd(o), proposalStageCmd(o), proposalListCmd(o), proposalShowCmd(o),
		proposalSayCmd(o, "approve", "approve a proposal"), proposalSayCmd(o, "reject", "reject a proposal, or take an approval back"),
		proposalSayCmd(o, "withdraw", "withdraw a proposal of one's own"), proposalSayCmd(o, "execute", "execute a proposal whose time lock is over"),
		&cobra.Command{Use: "operators", Short: "list the operators, and say what it takes", Args: cobra.NoArgs, RunE: o.withRoot(proposalOperators)})
	return o.remote(cmd)
}

// withRoot is with for commands about proposals.
func (o *options) withRoot(fn func(ctx context.Context, c *client, p testnets.Proposals, w io.Writer, args []string) error) func(*cobra.Command, []string) error {
	return o.with(func(ctx context.Context, c *client, w io.Writer, args []string) error {
		err := fn(ctx, c, testnets.Proposals{Agent: c.Agent}, w, args)
		var missing *agent.HTTPError
		var reject *agent.RejectError
		switch {
		case errors.As(err, &missing) && strings.HasPrefix(missing.Body, "canister_not_found"), errors.As(err, &reject) && reject.ErrorCode == "IC0301":
			return hint(errors.New("this network has no root canister: the canisters' controllers and the nodes' keys decide"), "fusion node --help, fusion canister --help")
		case errors.As(err, &reject) && strings.Contains(reject.Message, "operators only"), errors.As(err, &reject) && strings.Contains(reject.Message, "is for operators"):
			return hint(err, "choose an operator's identity with --identity; they are listed by: fusion proposal operators")
		}
		return err
	})
}

func proposalOperators(ctx context.Context, _ *client, p testnets.Proposals, w io.Writer, _ []string) error {
	info, err := p.Info(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "%s, of whom %d decide; time lock %s, proposals lapse after %s\n", plural(len(info.Operators), "operator"), info.Needed,
		time.Duration(info.TimeLockNs), time.Duration(info.LifetimeNs))
	for _, op := range info.Operators {
		fmt.Fprintf(w, "  %s\n", op)
	}
	return nil
}

func parseNumber(text string) (uint64, error) {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, hint(fmt.Errorf("%q is not the number of a proposal", text), "fusion proposal list tells them")
	}
	return n, nil
}

// printProposal tells everything about a proposal that one has to know before approving it.
func printProposal(w io.Writer, p *proposals.Proposal) {
	lines := [][2]string{{"proposal", fmt.Sprint(p.Number)}, {"by", p.Proposer.String()}, {"why", p.Summary}}
	add := func(name, format string, args ...any) {
		lines = append(lines, [2]string{name, fmt.Sprintf(format, args...)})
	}
	arg := func(b []byte) string {
		v, _, err := candid.Decode(b)
		if err != nil {
			return fmt.Sprintf("%x", b)
		}
		return candid.FormatValues(v)
	}
	if a := p.Action; a != nil {
		add("what", "%s", a.Sentence())
		switch {
		case a.Upgrade != nil:
			add("  argument", "%s", arg(a.Upgrade.Arg))
			add("  chunks", "%d, %d of them for the chunk store", len(a.Upgrade.ChunkHashes)+len(a.Upgrade.StoredChunks), len(a.Upgrade.StoredChunks))
		case a.Call != nil:
			add("  argument", "%s", arg(a.Call.Arg))
		case a.Membership != nil && a.Membership.Add != nil:
			add("  addresses", "%s, %s", a.Membership.Add.Consensus, a.Membership.Add.Gossip)
		case a.Operators != nil:
			for _, o := range a.Operators.Operators {
				add("  operator", "%s", o)
			}
		}
	}
	add("digest", "%x", p.Digest)
	for _, list := range []struct {
		name string
		ids  []principal.Principal
	}{{"approved by", p.Approved}, {"rejected by", p.Rejected}} {
		for _, id := range list.ids {
			add(list.name, "%s", id)
		}
	}
	if p.Reply != nil {
		add("answer", "%s", arg(*p.Reply))
	}
	printTable(w, lines)
	fmt.Fprintln(w, printable(p.Sentence))
}

// proposalJSON is a proposal as --json prints it. Times are in nanoseconds since 1970.
type proposalJSON struct {
	Number     uint64                `json:"number"`
	State      string                `json:"state"`
	Sentence   string                `json:"sentence"`
	Proposer   principal.Principal   `json:"proposer"`
	Summary    string                `json:"summary"`
	Digest     genesis.Hex           `json:"digest"`
	Approved   []principal.Principal `json:"approved"`
	Rejected   []principal.Principal `json:"rejected"`
	Needed     uint32                `json:"approvals_needed"`
	Submitted  uint64                `json:"submitted_ns"`
	Executable *uint64               `json:"executable_ns,omitempty"`
	Expires    uint64                `json:"expires_ns"`
	Ended      *uint64               `json:"ended_ns,omitempty"`
	Missing    uint32                `json:"missing_chunks"`
}

func jsonOf(p *proposals.Proposal) proposalJSON {
	return proposalJSON{p.Number, p.State.String(), p.Sentence, p.Proposer, p.Summary, p.Digest, p.Approved, p.Rejected, p.Needed, p.Submitted, p.Executable, p.Expires,
		p.Ended, p.Missing}
}

func proposalShowCmd(o *options) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{Use: "show NUMBER", Short: "show a proposal with all that it would do", Args: cobra.ExactArgs(1),
		RunE: o.withRoot(func(ctx context.Context, _ *client, p testnets.Proposals, w io.Writer, args []string) error {
			n, err := parseNumber(args[0])
			if err != nil {
				return err
			}
			v, err := p.Get(ctx, n, false)
			if err != nil {
				return err
			}
			if asJSON {
				fmt.Fprint(w, toJSON(jsonOf(&v)))
				return nil
			}
			printProposal(w, &v)
			return nil
		})}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print as JSON")
	return cmd
}

func proposalListCmd(o *options) *cobra.Command {
	var length, before uint64
	var asJSON bool
	cmd := &cobra.Command{Use: "list", Short: "list proposals, the newest first", Args: cobra.NoArgs,
		RunE: o.withRoot(func(ctx context.Context, _ *client, p testnets.Proposals, w io.Writer, _ []string) error {
			list, err := p.List(ctx, before, length)
			if err != nil {
				return err
			}
			if asJSON {
				out := make([]proposalJSON, len(list))
				for i := range list {
					out[i] = jsonOf(&list[i])
				}
				fmt.Fprint(w, toJSON(out))
				return nil
			}
			for i := range list {
				fmt.Fprintln(w, printable(list[i].Sentence))
			}
			if len(list) == 0 {
				fmt.Fprintln(w, "there are no proposals")
			}
			return nil
		})}
	f := cmd.Flags()
	f.Uint64Var(&length, "length", 20, "how many, at most 100")
	f.Uint64Var(&before, "before", 0, "only those with lower numbers")
	f.BoolVar(&asJSON, "json", false, "print as JSON")
	return cmd
}

func proposalSayCmd(o *options, name, short string) *cobra.Command {
	var wait bool
	var digest string
	cmd := &cobra.Command{Use: name + " NUMBER", Short: short, Args: cobra.ExactArgs(1),
		RunE: o.withRoot(func(ctx context.Context, _ *client, p testnets.Proposals, w io.Writer, args []string) error {
			n, err := parseNumber(args[0])
			if err != nil {
				return err
			}
			v, err := p.Get(ctx, n, true) // a single replica could show something else
			if err != nil {
				return err
			}
			if digest != "" && digest != fmt.Sprintf("%x", v.Digest) {
				return hint(fmt.Errorf("proposal %d has the digest %x: it does something else", n, v.Digest), "fusion proposal show %d", n)
			}
			if name == "approve" {
				printProposal(w, &v)
			}
			for wait && v.State.Locked != nil {
				select {
				case <-ctx.Done():
					return ctx.Err()
				case <-time.After(time.Second):
				}
				if v, err = p.Get(ctx, n, false); err != nil {
					return err
				}
			}
			if v, err = p.Say(ctx, name, v); err != nil {
				return err
			}
			fmt.Fprintln(w, printable(v.Sentence))
			if v.State.Failed != nil {
				return hint(fmt.Errorf("proposal %d has failed, and is not tried again", n), "submit another one when the reason is gone")
			}
			return nil
		})}
	f := cmd.Flags()
	f.StringVar(&digest, "digest", "", "digest that the proposal must have, as another operator told it")
	if name == "execute" {
		f.BoolVar(&wait, "wait", false, "wait for the end of the time lock")
	}
	return cmd
}

// submission is a proposal in the making.
type submission struct {
	o       *options
	summary string
}

// cmd is the command for one kind of proposal.
func (s *submission) cmd(use, short string, args cobra.PositionalArgs,
	f func(ctx context.Context, c *client, w io.Writer, args []string) (proposals.Action, [][]byte, error)) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Args: args,
		RunE: s.o.withRoot(func(ctx context.Context, c *client, p testnets.Proposals, w io.Writer, args []string) error {
			if _, err := p.Info(ctx); err != nil { // before anything is made for it
				return err
			}
			a, chunks, err := f(ctx, c, w, args)
			if err != nil {
				return err
			}
			v, err := p.Submit(ctx, a, s.summary, chunks)
			if err != nil {
				if v.Number > 0 {
					return hint(err, "go on with: fusion proposal stage %d", v.Number)
				}
				return err
			}
			fmt.Fprintln(w, printable(v.Sentence))
			fmt.Fprintf(w, "digest %x\nthe others approve it with: fusion proposal approve %d\n", v.Digest, v.Number)
			return nil
		})}
}

func proposalSubmitCmd(o *options) *cobra.Command {
	s := &submission{o: o}
	cmd := &cobra.Command{Use: "submit", Short: "submit a proposal, which counts as approved by its proposer"}
	cmd.PersistentFlags().StringVar(&s.summary, "summary", "", "why, for the others")
	var arg, argFile, did, stored string
	var raw, hide bool
	install := s.cmd("upgrade CANISTER MODULE", "install a module in a custodial canister, for the first time or as an upgrade; MODULE is a file or one that fusion carries, such as ckbtc_minter",
		cobra.ExactArgs(2), func(ctx context.Context, c *client, _ io.Writer, args []string) (proposals.Action, [][]byte, error) {
			return c.upgradeAction(args[0], args[1], stored, arg, argFile, did, raw)
		})
	f := install.Flags()
	f.StringVar(&arg, "arg", "", "arguments of the canister's init or post-upgrade method, as Candid text")
	f.StringVar(&argFile, "arg-file", "", "file with the arguments, or - for standard input")
	f.BoolVar(&raw, "raw", false, "the arguments are the encoded message in hexadecimal, not Candid text")
	f.StringVar(&did, "did", "", "interface file, where the module does not carry its own")
	f.StringVar(&stored, "store", "", "module for the canister's own chunk store, such as icrc1_archive for a ledger")

	call := s.cmd("call CANISTER METHOD [ARGUMENTS]", "call a method of a custodial canister, such as resume of a minter that has paused, or of the Bitcoin or EVM RPC canister", cobra.RangeArgs(2, 3),
		func(ctx context.Context, c *client, _ io.Writer, args []string) (a proposals.Action, _ [][]byte, err error) {
			id, err := c.parseCanister(args[0])
			if err != nil {
				return a, nil, err
			}
			prog, err := c.program(ctx, id, did)
			if err != nil {
				return a, nil, err
			}
			m, err := methodOf(prog, id, args[1])
			if err != nil {
				return a, nil, err
			}
			text, err := argumentText(args[2:], argFile, os.Stdin)
			if err != nil {
				return a, nil, err
			}
			b, err := encodeText(text, m, raw)
			if err != nil {
				return a, nil, fmt.Errorf("arguments of %s: %w", args[1], err)
			}
			if hide {
				sum := sha256.Sum256(b)
				hash := sum[:]
				return proposals.Action{Call: &proposals.MethodCall{Canister: id, Method: args[1], ArgHash: &hash}}, [][]byte{b}, nil
			}
			return proposals.Action{Call: &proposals.MethodCall{Canister: id, Method: args[1], Arg: b}}, nil, nil
		})
	f = call.Flags()
	f.BoolVar(&hide, "hide", false, "show the others only the SHA-256 of the arguments, which may be keys of providers; for the Bitcoin and EVM RPC canisters")
	f.StringVar(&argFile, "arg-file", "", "file with the arguments, or - for standard input")
	f.BoolVar(&raw, "raw", false, "the arguments are the encoded message in hexadecimal, not Candid text")
	f.StringVar(&did, "did", "", "interface file, where the canister does not carry its own")

	mode := s.cmd("checker-mode normal|accept-all|reject-all", "set what the Bitcoin checker does", cobra.ExactArgs(1), checkerMode)
	operators := s.cmd("operators PRINCIPAL...", "replace the list of operators", cobra.MinimumNArgs(1),
		func(_ context.Context, _ *client, _ io.Writer, args []string) (a proposals.Action, _ [][]byte, err error) {
			list := &proposals.Operators{}
			for _, text := range args {
				p, err := parsePrincipal(text, "principal")
				if err != nil {
					return a, nil, err
				}
				list.Operators = append(list.Operators, p)
			}
			return proposals.Action{Operators: list}, nil, nil
		})
	cmd.AddCommand(install, call, mode, operators, s.memberCmd("add-node", "let one more node in", true, false), s.memberCmd("remove-node", "let a node go", false, true),
		s.memberCmd("replace-node", "let a new node take another's place", true, true), s.memberCmd("reshare", "give the same nodes new shares of all keys", false, false))
	return cmd
}

// memberCmd is the command for a change of the membership.
func (s *submission) memberCmd(name, short string, comes, goes bool) *cobra.Command {
	var file string
	want := cobra.NoArgs
	use := name
	if goes {
		use, want = name+" NODE", cobra.ExactArgs(1)
	}
	cmd := s.cmd(use, short, want, func(ctx context.Context, c *client, w io.Writer, args []string) (a proposals.Action, _ [][]byte, err error) {
		var change members.Change
		if goes {
			i, err := nodeIndex(args[0])
			if err != nil {
				return a, nil, err
			}
			change.Remove = []uint32{i}
		}
		if comes {
			var n members.Candidate
			if file != "" {
				n, err = readCandidate(file)
			} else if !c.local {
				err = hint(errors.New("which node is to come?"), "name its file with --candidate (fusion node candidate --home DIR makes it)")
			} else {
				var all *council
				if all, err = s.o.council(ctx, ""); err == nil {
					n, err = all.newNode(ctx, w, "")
				}
			}
			if err != nil {
				return a, nil, err
			}
			change.Add = []members.Candidate{n}
		}
		return proposals.MembershipOf(change), nil, nil
	})
	if comes {
		cmd.Flags().StringVar(&file, "candidate", "", "file that fusion node candidate made; the default is a new directory in --data-dir")
	}
	return cmd
}

// carried reads a module from a file, or one that this program carries.
func carried(name string) (*module, error) {
	m, err := readModule(name)
	if errors.Is(err, os.ErrNotExist) && !strings.ContainsAny(name, "/.") {
		var code []byte
		if code, err = canisters.Module(name); err == nil {
			m, err = parseModule(name, code)
		}
	}
	return m, err
}

func (c *client) upgradeAction(canister, file, stored, arg, argFile, did string, raw bool) (a proposals.Action, _ [][]byte, err error) {
	id, err := c.parseCanister(canister)
	if err != nil {
		return a, nil, err
	}
	m, err := carried(file)
	if err != nil {
		return a, nil, err
	}
	if did != "" {
		if m.program, err = c.program(context.Background(), principal.Management, did); err != nil {
			return a, nil, err
		}
	}
	var init *candid.FuncType
	if m.program != nil && m.program.HasInit {
		init = &candid.FuncType{Args: m.program.Init}
	}
	var given []string
	if arg != "" {
		given = []string{arg}
	}
	text, err := argumentText(given, argFile, os.Stdin)
	if err != nil {
		return a, nil, err
	}
	if text == "" {
		init = nil // an upgrade needs no argument, whatever the first installation needs
	}
	encoded, err := encodeText(text, init, raw)
	if err != nil {
		return a, nil, fmt.Errorf("--arg: %w", err)
	}
	var more []byte
	if stored != "" {
		s, err := carried(stored)
		if err != nil {
			return a, nil, err
		}
		more = s.bytes
	}
	a, chunks := testnets.UpgradeAction(id, m.bytes, encoded, more)
	return a, chunks, nil
}

// checkerMode is an upgrade of the checker to the module that it has, with another mode.
func checkerMode(ctx context.Context, c *client, _ io.Writer, args []string) (a proposals.Action, _ [][]byte, err error) {
	mode, ok := map[string]checker.CheckMode{"normal": checker.Normal, "accept-all": checker.AcceptAll, "reject-all": checker.RejectAll}[args[0]]
	if !ok {
		return a, nil, fmt.Errorf("%q is no mode, want normal, accept-all or reject-all", args[0])
	}
	code, err := canisters.Module("btc_checker")
	if err != nil {
		return a, nil, err
	}
	installed, err := c.Read(ctx, canisters.BtcChecker, []byte("canister"), canisters.BtcChecker.Bytes(), []byte("module_hash"))
	if err != nil {
		return a, nil, err
	}
	if hash := sha256.Sum256(code); !bytes.Equal(installed, hash[:]) {
		return a, nil, hint(fmt.Errorf("the checker has the module %x, which this program does not carry", installed),
			"fusion proposal submit upgrade %s FILE --arg '(opt variant { UpgradeArg = opt record { check_mode = opt variant { Normal } } })'", canisters.BtcChecker)
	}
	upgrade := &checker.UpgradeArg{Mode: &mode}
	a, chunks := testnets.UpgradeAction(canisters.BtcChecker, code, candid.MustMarshal(&checker.CheckArg{Upgrade: &upgrade}), nil)
	return a, chunks, nil
}

func proposalStageCmd(o *options) *cobra.Command {
	return &cobra.Command{Use: "stage NUMBER MODULE...", Short: "give a proposal the modules that it names, where that was cut short", Args: cobra.MinimumNArgs(2),
		RunE: o.withRoot(func(ctx context.Context, _ *client, p testnets.Proposals, w io.Writer, args []string) error {
			n, err := parseNumber(args[0])
			if err != nil {
				return err
			}
			var v proposals.Proposal
			for _, file := range args[1:] {
				m, err := carried(file)
				if err != nil {
					return err
				}
				_, chunks := testnets.UpgradeAction(genesis.RootCanister, m.bytes, nil, nil)
				if v, err = p.Stage(ctx, n, chunks); err != nil {
					return err
				}
			}
			fmt.Fprintln(w, printable(v.Sentence))
			return nil
		})}
}
