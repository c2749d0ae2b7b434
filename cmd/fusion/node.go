package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"fusion/replica"
	"fusion/replica/genesis"
	"fusion/replica/members"
	"fusion/testnets"
)

func nodeCmd(o *options) *cobra.Command {
	var home string
	cmd := &cobra.Command{Use: "node", Short: "say who a network's nodes are, and change that while it runs",
		Long: `Say who a network's nodes are, and change that while it runs. A change is proposed by a member, approved by more than two thirds of the
members, and in force when the new node has caught up and every threshold key is reshared; the keys and all addresses stay what they are. One
node comes or goes at a time.

With a network's directory (--data-dir) the command speaks for all members whose directories are in it. With --home it speaks for one
replica, as its operator does; the others approve with fusion node approve.`}
	cmd.PersistentFlags().StringVar(&home, "home", "", "directory of one replica, to speak for that node alone")
	cmd.AddCommand(nodeListCmd(o, &home), nodeChangeCmd(o, &home, "add", "let one more node in", true, false),
		nodeChangeCmd(o, &home, "remove", "let a node go; its shares are dead afterwards", false, true),
		nodeChangeCmd(o, &home, "replace", "let a new node take another's place", true, true),
		nodeChangeCmd(o, &home, "reshare", "give the same nodes new shares of all keys, so that stolen ones are worth nothing", false, false),
		nodeSayCmd(o, &home, "approve", members.Approve), nodeSayCmd(o, &home, "reject", members.Reject), nodeStatusCmd(o, &home), nodeCandidateCmd(&home))
	return cmd
}

// council is the nodes that a command speaks for, and a replica that takes their words.
type council struct {
	dir     string             // of the network; empty with --home
	m       *testnets.Manifest // likewise
	homes   []*replica.Config
	admin   *testnets.Admin
	inside  bool // one process runs the network
	replica replica.Status
}

func (o *options) council(ctx context.Context, home string) (*council, error) {
	c := &council{dir: o.dir}
	if home != "" {
		cfg, err := replica.LoadConfig(home)
		if err != nil {
			return nil, err
		}
		if c.admin, err = testnets.DialSocket(cfg.Admin); err != nil {
			return nil, hint(fmt.Errorf("%s: %w", cfg.Dir, err), "start it: fusion replica --config %s", cfg.Dir)
		}
		c.dir, c.homes = "", []*replica.Config{cfg}
		return c, c.refresh(ctx)
	}
	var err error
	if c.m, err = testnets.Load(o.dir); err != nil {
		return nil, err
	}
	if c.admin, err = testnets.DialAdmin(o.dir); err == nil {
		c.inside = true
	} else {
		for i := 0; i < c.m.Nodes && c.admin == nil; i++ {
			if a, err := testnets.DialAdmin(testnets.NodeDir(o.dir, i)); err == nil {
				c.admin = a
			}
		}
		if c.admin == nil {
			return nil, err
		}
	}
	for i := range c.m.Nodes {
		cfg, err := replica.LoadConfig(testnets.NodeDir(o.dir, i))
		if err != nil {
			return nil, err
		}
		c.homes = append(c.homes, cfg)
	}
	return c, c.refresh(ctx)
}

// refresh asks a replica where the membership stands.
func (c *council) refresh(ctx context.Context) error {
	s, err := c.admin.Status(ctx)
	if err != nil {
		return err
	}
	if len(s.Replicas) == 0 {
		return testnets.ErrNotRunning
	}
	c.replica = slices.MaxFunc(s.Replicas, func(a, b replica.Status) int { return int(a.Height) - int(b.Height) })
	return nil
}

// say lets the nodes that the command speaks for, as far as they are members, sign an item. An error is the first one's, unless somebody's was taken.
func (c *council) say(ctx context.Context, it members.Item, only int) (said []int, err error) {
	for i, cfg := range c.homes {
		node := i
		if c.dir == "" {
			node = c.replica.Node
		}
		if only >= 0 && node != only || !slices.Contains(c.replica.Membership.Members, uint32(node)) {
			continue
		}
		item, signErr := replica.SignMembership(cfg, it)
		if signErr == nil {
			signErr = c.admin.SubmitMembership(ctx, item)
		}
		if signErr == nil {
			said = append(said, node)
		} else if err == nil {
			err = fmt.Errorf("node %d: %w", node, signErr)
		}
	}
	if len(said) > 0 {
		return said, nil
	}
	if err == nil {
		err = errors.New("none of the nodes that this command speaks for is a member")
	}
	return nil, err
}

// await polls until the membership is in a state, and prints each new sentence.
func (c *council) await(ctx context.Context, w io.Writer, ok func(members.Status) bool) error {
	last := ""
	for {
		if err := c.refresh(ctx); err != nil {
			return err
		}
		st := c.replica.Membership
		if ok(st) {
			return nil
		}
		if st.Sentence != last {
			last = st.Sentence
			fmt.Fprintln(w, last)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// decide proposes a change, approves it with all nodes that the command speaks for, and waits for its end.
func (c *council) decide(ctx context.Context, w io.Writer, change members.Change, wait bool) error {
	st := c.replica.Membership
	if st.Running != nil {
		return hint(fmt.Errorf("a change goes on: %s", st.Running.Sentence), "wait for its end, or end it: fusion node reject %d", st.Running.Number)
	}
	number := st.NextNumber
	proposer := -1
	for _, cfg := range c.homes { // the first member
		node := c.replica.Node
		if c.dir != "" {
			node = slices.Index(c.homes, cfg)
		}
		if slices.Contains(st.Members, uint32(node)) {
			proposer = node
			break
		}
	}
	if _, err := c.say(ctx, st.NewProposal(change), proposer); err != nil {
		return err
	}
	if err := c.await(ctx, io.Discard, func(st members.Status) bool { return st.NextNumber > number }); err != nil {
		return err
	}
	st = c.replica.Membership
	it, err := st.Say(members.Approve, number)
	if err != nil {
		return fmt.Errorf("proposal %d is gone: %s", number, st.Last)
	}
	fmt.Fprintln(w, st.Sentence)
	for i := range c.homes {
		if c.dir == "" || i == proposer || !slices.Contains(st.Members, uint32(i)) {
			continue
		}
		if _, err := c.say(ctx, it, i); err != nil {
			fmt.Fprintf(w, "not approved by node %d: %v\n", i, err)
		}
	}
	if !wait {
		return nil
	}
	if err := c.await(ctx, w, func(st members.Status) bool { return !open(st, number) }); err != nil {
		return err
	}
	st = c.replica.Membership
	fmt.Fprintln(w, st.Last)
	if st.LastNumber != number || !st.LastDone {
		return fmt.Errorf("change %d came to nothing", number)
	}
	return nil
}

// open says whether a proposal or change still waits for something.
func open(st members.Status, number uint64) bool {
	_, err := st.Say(members.Approve, number)
	return err == nil
}

func nodeStatusCmd(o *options, home *string) *cobra.Command {
	return &cobra.Command{Use: "status", Short: "say in a sentence where a change of the nodes stands", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := o.council(cmd.Context(), *home)
			if err != nil {
				return err
			}
			w, st := cmd.OutOrStdout(), c.replica.Membership
			fmt.Fprintln(w, st.Sentence)
			for _, p := range st.Proposals {
				if p.Sentence != st.Sentence {
					fmt.Fprintln(w, p.Sentence)
				}
			}
			if st.Last != "" {
				fmt.Fprintln(w, "last:", st.Last)
			}
			return nil
		}}
}

func nodeListCmd(o *options, home *string) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{Use: "list", Short: "list the network's nodes", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := o.council(cmd.Context(), *home)
			if err != nil {
				return err
			}
			w, st := cmd.OutOrStdout(), c.replica.Membership
			if asJSON {
				fmt.Fprint(w, toJSON(st))
				return nil
			}
			fmt.Fprintf(w, "epoch %d, since block %d\n", st.Epoch, st.Since)
			for _, n := range st.Nodes {
				fmt.Fprintf(w, "  node %d  %-8s  %s\n", n.Index, n.Role, n.ID)
			}
			fmt.Fprintln(w, st.Sentence)
			return nil
		}}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print as JSON")
	return cmd
}

// newNode finds or makes the candidate of an addition.
func (c *council) newNode(ctx context.Context, w io.Writer, file string) (members.Candidate, error) {
	if file != "" {
		return readCandidate(file)
	}
	if c.dir == "" {
		return members.Candidate{}, hint(errors.New("--home speaks for a member; which node is to come?"), "name its file with --candidate (fusion node candidate --home DIR makes it)")
	}
	index := c.replica.Membership.NextNode
	if n := c.m.Nodes - 1; n < index && !slices.ContainsFunc(c.replica.Membership.Nodes, func(k members.NodeInfo) bool { return k.Index == n && k.Joined }) {
		index = n // a change that was to bring it came to nothing
	}
	if c.inside {
		out, err := c.admin.AddNode(ctx, index)
		if err == nil {
			fmt.Fprintf(w, "node %d is in %s and runs\n", index, testnets.NodeDir(c.dir, index))
		}
		return out, err
	}
	cfg, out, err := c.m.AddNode(c.dir, index)
	if err == nil {
		fmt.Fprintf(w, "node %d is in %s; start it: fusion replica --config %s\n", index, cfg.Dir, cfg.Dir)
	}
	return out, err
}

// nodeChangeCmd is the command for one kind of change: a new node comes, the NODE it is given goes, both, or neither.
func nodeChangeCmd(o *options, home *string, name, short string, comes, goes bool) *cobra.Command {
	var file string
	var noWait bool
	cmd := &cobra.Command{Use: name, Short: short, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			var change members.Change
			if goes {
				i, err := nodeIndex(args[0])
				if err != nil {
					return err
				}
				change.Remove = []uint32{i}
			}
			c, err := o.council(cmd.Context(), *home)
			if err != nil {
				return err
			}
			if c.replica.Governed { // before a node is made for it
				what := map[string]string{"add": "add-node", "remove": "remove-node", "replace": "replace-node", "reshare": "reshare"}[name]
				return hint(errors.New("the operators decide who the members are, node keys do not"), "propose it as an operator: fusion proposal submit %s", what)
			}
			if comes {
				n, err := c.newNode(cmd.Context(), cmd.OutOrStdout(), file)
				if err != nil {
					return err
				}
				change.Add = []members.Candidate{n}
			}
			return c.decide(cmd.Context(), cmd.OutOrStdout(), change, !noWait)
		}}
	if goes {
		cmd.Use, cmd.Args = name+" NODE", cobra.ExactArgs(1)
	}
	if comes {
		cmd.Flags().StringVar(&file, "candidate", "", "file that fusion node candidate made; the default is a new directory in --data-dir")
	}
	cmd.Flags().BoolVar(&noWait, "no-wait", false, "propose and approve, and do not wait for the end")
	return cmd
}

func nodeSayCmd(o *options, home *string, name string, verb members.Verb) *cobra.Command {
	short := "approve a proposal"
	if verb == members.Reject {
		short = "reject a proposal, or a change that goes on"
	}
	return &cobra.Command{Use: name + " NUMBER", Short: short, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			number, err := strconv.ParseUint(args[0], 10, 64)
			if err != nil {
				return fmt.Errorf("%q is not the number of a proposal", args[0])
			}
			c, err := o.council(cmd.Context(), *home)
			if err != nil {
				return err
			}
			st := c.replica.Membership
			it, err := st.Say(verb, number)
			if err != nil {
				return hint(err, "fusion node status tells which are open")
			}
			said, err := c.say(cmd.Context(), it, -1)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s %d: said by %s\n", name, number, plural(len(said), "node"))
			return nil
		}}
}

// candidateFile is a members.Candidate as operators hand it to each other.
type candidateFile struct {
	NodeKey        genesis.Hex `json:"node_key"`
	ValidatorKey   genesis.Hex `json:"validator_key"`
	Consensus      string      `json:"consensus"`
	Gossip         string      `json:"gossip"`
	NodeProof      genesis.Hex `json:"node_proof"`
	ValidatorProof genesis.Hex `json:"validator_proof"`
}

func nodeCandidateCmd(home *string) *cobra.Command {
	return &cobra.Command{Use: "candidate --home DIR", Short: "print what the members need to let a replica in", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if *home == "" {
				return errors.New("--home is missing: the directory of the replica that wants to join")
			}
			cfg, err := replica.LoadConfig(*home)
			if err != nil {
				return err
			}
			c, err := replica.NewCandidate(cfg)
			if err != nil {
				return err
			}
			fmt.Fprint(cmd.OutOrStdout(), toJSON(candidateFile{c.NodeKey, c.ValidatorKey, c.Consensus, c.Gossip, c.NodeProof, c.ValidatorProof}))
			return nil
		}}
}

// maxCandidateFile is far more than a candidate has.
const maxCandidateFile = 64 << 10

func readCandidate(path string) (members.Candidate, error) {
	f, err := os.Open(path)
	if err != nil {
		return members.Candidate{}, fmt.Errorf("candidate: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxCandidateFile))
	if err != nil {
		return members.Candidate{}, fmt.Errorf("candidate: %w", err)
	}
	var c candidateFile
	if err := json.Unmarshal(b, &c); err != nil {
		return members.Candidate{}, fmt.Errorf("candidate %s: %w", path, err)
	}
	return members.Candidate{NodeKey: c.NodeKey, ValidatorKey: c.ValidatorKey, Consensus: c.Consensus, Gossip: c.Gossip, NodeProof: c.NodeProof,
		ValidatorProof: c.ValidatorProof}, nil
}

func nodeIndex(text string) (uint32, error) {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("%q is not a node's number", text)
	}
	return uint32(n), nil
}
