package testnets

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"fusion/ic/agent"
	"fusion/ic/candid"
	"fusion/ic/identity"
	"fusion/ic/principal"
	"fusion/replica/genesis"
	"fusion/replica/root"
	"fusion/testnets/canisters"
)

// Proposals is an operator's client of the root canister; anybody's may read.
type Proposals struct{ *agent.Agent }

func (p Proposals) update(ctx context.Context, method string, arg any) (out root.Proposal, err error) {
	err = p.Update(ctx, genesis.RootCanister, method, []any{arg}, []any{&out})
	return out, err
}

// Submit submits a proposal, and stages what it is to install. With an error the proposal may be there, if it has a number; Stage goes on then.
func (p Proposals) Submit(ctx context.Context, a root.Action, summary string, chunks [][]byte) (root.Proposal, error) {
	out, err := p.update(ctx, "submit", root.SubmitArg{Action: a, Summary: summary})
	if err != nil || len(chunks) == 0 {
		return out, err
	}
	staged, err := p.Stage(ctx, out.Number, chunks)
	if err != nil {
		return out, err
	}
	return staged, nil
}

// Stage gives a proposal the chunks that it names.
func (p Proposals) Stage(ctx context.Context, number uint64, chunks [][]byte) (root.Proposal, error) {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	for i, c := range chunks {
		g.Go(func() error {
			if _, err := p.update(gctx, "stage_chunk", root.StageArg{Number: number, Chunk: c}); err != nil {
				return fmt.Errorf("staging chunk %d of %d of proposal %d: %w", i+1, len(chunks), number, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return root.Proposal{}, err
	}
	return p.Get(ctx, number, true)
}

// Say approves, rejects, withdraws or executes a proposal that was read before.
func (p Proposals) Say(ctx context.Context, method string, what root.Proposal) (root.Proposal, error) {
	return p.update(ctx, method, root.SayArg{Number: what.Number, Digest: what.Digest})
}

// Get reads a proposal, as one replica tells it, or with certified as the subnet does, which is for operators.
func (p Proposals) Get(ctx context.Context, number uint64, certified bool) (root.Proposal, error) {
	var out *root.Proposal
	do := p.Ask
	if certified {
		do = p.Update
	}
	if err := do(ctx, genesis.RootCanister, "get_proposal", []any{number}, []any{&out}); err != nil {
		return root.Proposal{}, err
	}
	if out == nil {
		return root.Proposal{}, fmt.Errorf("there is no proposal %d", number)
	}
	return *out, nil
}

// List reads the newest proposals with numbers below before; 0 is no bound.
func (p Proposals) List(ctx context.Context, before, length uint64) (out []root.Proposal, err error) {
	arg := root.ListArg{Length: &length}
	if before > 0 {
		arg.Before = &before
	}
	return out, p.Ask(ctx, genesis.RootCanister, "list_proposals", []any{arg}, []any{&out})
}

// Info reads who the operators are and what they need.
func (p Proposals) Info(ctx context.Context) (out root.Info, err error) {
	return out, p.Ask(ctx, genesis.RootCanister, "get_info", nil, []any{&out})
}

// cut cuts a module into chunks.
func cut(code []byte) (chunks, hashes [][]byte) {
	for part := range slices.Chunk(code, chunkBytes) {
		hash := sha256.Sum256(part)
		chunks, hashes = append(chunks, part), append(hashes, hash[:])
	}
	return chunks, hashes
}

// UpgradeAction is the proposal to install a module with an argument, and what has to be staged for it. stored is a module that goes into the
// canister's chunk store, or nil.
func UpgradeAction(id principal.Principal, code, arg, stored []byte) (root.Action, [][]byte) {
	hash := sha256.Sum256(code)
	u := &root.Upgrade{Canister: id, ModuleHash: hash[:], Arg: arg, StoredChunks: [][]byte{}}
	chunks, hashes := cut(code)
	u.ChunkHashes = hashes
	if len(stored) > 0 {
		more, hashes := cut(stored)
		u.StoredChunks = hashes
		chunks = append(chunks, more...)
	}
	return root.Action{Upgrade: u}, chunks
}

// Council is so many operators that together decide.
type Council []Proposals

// ErrNoCouncil says that the identities in a network's directory are too few operators to decide.
var ErrNoCouncil = errors.New("the operators decide, and too few of their identities are here")

// Council are the operators of the genesis document whose identities are in the network's directory.
func (n *Network) Council() (Council, error) {
	g := n.Replica(0).Genesis().Governance
	if g == nil {
		return nil, errors.New("the network has no root canister")
	}
	names, err := Identities(n.Dir)
	if err != nil {
		return nil, err
	}
	var out Council
	for _, name := range names {
		id, err := LoadIdentity(n.Dir, name)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(g.Operators, id.Sender()) {
			continue
		}
		a, err := n.Agent(id)
		if err != nil {
			return nil, err
		}
		out = append(out, Proposals{a})
	}
	if need := root.Threshold(len(g.Operators)); len(out) < need {
		return nil, fmt.Errorf("%w: %d of the %d that it takes", ErrNoCouncil, len(out), need)
	}
	return out, nil
}

// Decide submits a proposal, lets the others approve it, waits for the time lock, and executes it. An error says why it was not executed.
func (c Council) Decide(ctx context.Context, a root.Action, summary string, chunks [][]byte) (root.Proposal, error) {
	p, err := c[0].Submit(ctx, a, summary, chunks)
	if err != nil {
		return p, err
	}
	for _, o := range c[1:] {
		if p.State.Open == nil {
			break
		}
		if p, err = o.Say(ctx, "approve", p); err != nil {
			return p, err
		}
	}
	for p.State.Locked != nil {
		select {
		case <-ctx.Done():
			return p, ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
		if p, err = c[0].Get(ctx, p.Number, false); err != nil {
			return p, err
		}
	}
	if p, err = c[0].Say(ctx, "execute", p); err == nil && p.State.Executed == nil {
		err = errors.New(p.Sentence)
	}
	return p, err
}

// govern is what a genesis document says of operators: principals, or names of identities in dir, which are made where they are missing.
func govern(dir string, operators []string, lock time.Duration) (*genesis.Governance, error) {
	if len(operators) == 0 {
		return nil, nil
	}
	g := &genesis.Governance{TimeLockSeconds: uint64(lock / time.Second), ProposalSeconds: uint64((lock + proposalTime) / time.Second)}
	for _, text := range operators {
		p, err := principal.Parse(text)
		if err != nil {
			var id identity.Identity
			if id, err = EnsureIdentity(dir, text); err != nil {
				return nil, fmt.Errorf("operator %s: %w", text, err)
			}
			p = id.Sender()
		}
		g.Operators = append(g.Operators, p)
	}
	return g, nil
}

// proposalTime is how long operators have, beside the time lock, to approve and execute a proposal.
const proposalTime = 14 * 24 * time.Hour

// maxBootstrapLock is the longest time lock for which starting a network waits.
const maxBootstrapLock = time.Minute

// bootstrapGoverned installs canisters, and the development token, by proposals, where enough operators' identities are in the network's directory.
func (n *Network) bootstrapGoverned(ctx context.Context, a *agent.Agent, list []install) error {
	p := n.opts.Progress
	empty := slices.DeleteFunc(slices.Clone(list), func(c install) bool {
		_, err := a.Read(ctx, c.id, []byte("canister"), c.id.Bytes(), []byte("module_hash"))
		return err == nil
	})
	lacksToken := n.ethereum != nil && n.ethereum.faucet != nil
	if lacksToken && !slices.ContainsFunc(empty, func(c install) bool { return c.id == canisters.Orchestrator }) {
		var err error
		if lacksToken, err = n.lacksToken(ctx, a); err != nil {
			return err
		}
	}
	if len(empty) == 0 && !lacksToken {
		p.Done("%d of them", len(list))
		return nil
	}
	council, err := n.Council()
	if lock := n.Replica(0).Genesis().Governance.TimeLockSeconds; err == nil && lock > uint64(maxBootstrapLock/time.Second) {
		err = fmt.Errorf("%w: the time lock of %d s is longer than a start waits for", ErrNoCouncil, lock)
	}
	switch {
	case errors.Is(err, ErrNoCouncil) && len(empty) > 0:
		p.Done("%d of them wait for the operators' proposals", len(empty))
		return nil
	case errors.Is(err, ErrNoCouncil):
		p.Done("%d of them; the development token waits for the operators' proposals", len(list))
		return nil
	case err != nil:
		return err
	}
	p.Note("%d proposals", len(empty))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(root.MaxOpen)
	for _, c := range empty {
		g.Go(func() error {
			if err := council.install(gctx, c); err != nil {
				return fmt.Errorf("installing %s as %s: %w", c.module, c.id, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if lacksToken {
		p.Note("the development token")
		if err := n.addToken(ctx, council.controls()); err != nil {
			return fmt.Errorf("adding the development token: %w", err)
		}
	}
	p.Done("%d of them, by the operators' proposals", len(list))
	return nil
}

// controls is the control of the root canister: each call is a proposal.
func (c Council) controls() control {
	turns := make(chan struct{}, root.MaxOpen)
	return func(ctx context.Context, id principal.Principal, method string, arg, out any) error {
		b, err := candid.Marshal(arg)
		if err != nil {
			return err
		}
		select {
		case turns <- struct{}{}:
			defer func() { <-turns }()
		case <-ctx.Done():
			return ctx.Err()
		}
		p, err := c.Decide(ctx, root.Action{Call: &root.MethodCall{Canister: id, Method: method, Arg: b}}, method+" of "+id.String(), nil)
		if err != nil {
			return fmt.Errorf("%s of %s: %w", method, id, err)
		}
		if p.Reply == nil {
			return fmt.Errorf("%s of %s: its answer is longer than what a proposal keeps", method, id)
		}
		return candid.Unmarshal(*p.Reply, out)
	}
}

func (c Council) install(ctx context.Context, what install) error {
	code, err := canisters.Module(what.module)
	if err != nil {
		return err
	}
	arg, err := candid.Marshal(what.arg)
	if err != nil {
		return err
	}
	var stored []byte
	if what.makes != nil {
		stored = slices.Concat(what.makes.chunks...)
	}
	action, chunks := UpgradeAction(what.id, code, arg, stored)
	_, err = c.Decide(ctx, action, "first installation of "+what.module, chunks)
	return err
}
