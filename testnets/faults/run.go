package faults

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"fusion/internal/pause"
	"fusion/replica"
	"fusion/replica/machine"
	"fusion/replica/misdeed"
	"fusion/testnets"
	"fusion/testnets/golden"
	"fusion/testnets/processes"
	"fusion/testnets/processes/hosts"
)

// FaultBuild is the name of the program that slow-disk and clock-skew run a replica with: the same one, built with an injected clock and disk.
const FaultBuild = "fault-build"

// NextBuild is the name of the program that upgrade-protocol goes on with: the same one, built with the tag nextprotocol.
const NextBuild = "next-build"

// Environment of the fault build.
const (
	EnvClock = "FUSION_FAULT_CLOCK_SECONDS" // what is added to the wall clock, in seconds
	EnvSync  = "FUSION_FAULT_SYNC_MILLIS"   // how much longer each fsync takes, in milliseconds
)

// Options say how to run an experiment.
type Options struct {
	// Dir is a stopped copy of the golden network, of the manifest's size. It is used up.
	Dir string
	// Program is the fusion program. Programs are others by name: those that upgrades name, FaultBuild, ByzantineBuild and NextBuild.
	Program  string
	Programs map[string]string
	// Log is told what happens; the default is nobody.
	Log func(format string, args ...any)
}

// Outcome is what a perturbation did.
type Outcome struct {
	*Perturbation
	Hits  []int
	Began uint64 // block
	// Meanwhile is how many blocks the others made while it lasted, and Lasted how long that was.
	Meanwhile uint64
	Lasted    time.Duration
	// Recovered is how long it took from its end until all replicas that nothing else hit were healthy and certified new blocks.
	Recovered time.Duration
}

// Report is what an experiment showed.
type Report struct {
	*Manifest
	Outcomes    []Outcome
	Blocks      uint64 // made in the experiment
	Compared    int    // blocks of which the states of two replicas or more were compared
	Payments    int    // all made once
	Retries     int    // of clients, at another replica
	Bulk        Bulk
	Resident    []uint64 // largest resident memory of a replica in bytes, in each quarter of the experiment
	Redemptions int      // burns, each followed to its end
	Supply      uint64
	Took        time.Duration
}

// Bulk is what the bulk of the clients did.
type Bulk struct {
	Capacity, Rate float64 // payments per second: what they could do, and what they were to do
	Asked, Made    int
	P50, P99, Max  time.Duration // from asking to the verified answer, also at another replica
}

// String is a table of faults and outcomes.
func (r *Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d nodes, delay %v, loss %v: passed in %.0f s, %d blocks, %d states compared, %d payments (%d retries), %d deposits, %d redemptions, supply %d sat\n", r.Name, r.Nodes,
		time.Duration(r.Links.Delay), r.Links.Loss, r.Took.Seconds(), r.Blocks, r.Compared, r.Payments, r.Retries, r.Load.Deposits, r.Redemptions, r.Supply)
	if r.Bulk.Asked > 0 {
		fmt.Fprintf(&b, "  bulk: %d of %d payments confirmed, at %.0f/s of the %.0f/s that were possible; p50 %.2f s, p99 %.2f s, longest %.1f s\n", r.Bulk.Made, r.Bulk.Asked, r.Bulk.Rate, r.Bulk.Capacity,
			r.Bulk.P50.Seconds(), r.Bulk.P99.Seconds(), r.Bulk.Max.Seconds())
	}
	fmt.Fprint(&b, "  memory by quarters, MiB:")
	for _, m := range r.Resident {
		fmt.Fprintf(&b, " %d", m>>20)
	}
	fmt.Fprintln(&b)
	for _, o := range r.Outcomes {
		fmt.Fprintf(&b, "  %-12s %-14s at block %-5d lasted %5.1f s, others made %3d blocks, all back after %5.1f s\n", o.Kind, fmt.Sprint(o.Hits), o.Began, o.Lasted.Seconds(), o.Meanwhile, o.Recovered.Seconds())
	}
	return b.String()
}

// experiment is one that runs.
type experiment struct {
	m      *Manifest
	o      Options
	n      *processes.Network
	mesh   *mesh         // between replicas on one host
	hosts  *hosts.Switch // or between hosts
	world  *golden.World
	watch  *watch
	start  uint64          // block
	began  time.Time       // when that was
	locks  []chan struct{} // a process is stopped and started by one perturbation at a time
	chain  chan struct{}   // whoever uses or stops the Bitcoin node holds its place
	mu     sync.Mutex
	hit    map[int]int // how many perturbations keep a node from taking part
	report *Report
}

// Run runs an experiment. An error says what was wrong with the network; the replicas' logs stay in the directory.
func Run(ctx context.Context, m *Manifest, o Options) (_ *Report, err error) {
	began := time.Now()
	if o.Log == nil {
		o.Log = func(string, ...any) {}
	}
	if err := m.Validate(); err != nil {
		return nil, err
	}
	x := &experiment{m: m, o: o, chain: make(chan struct{}, 1), hit: map[int]int{}, report: &Report{Manifest: m, Outcomes: make([]Outcome, len(m.Perturb))}}
	if err := Needs(m, o.Programs); err != nil {
		return nil, err
	}
	for range m.Nodes {
		x.locks = append(x.locks, make(chan struct{}, 1))
	}
	if x.n, err = processes.Open(o.Dir, o.Program); err != nil {
		return nil, err
	}
	if x.n.Nodes != m.Nodes {
		return nil, fmt.Errorf("%s is a network of %d nodes, the manifest wants %d", o.Dir, x.n.Nodes, m.Nodes)
	}
	if has := cmp.Or(x.n.Scheme, "gg18"); has != m.Scheme {
		return nil, fmt.Errorf("%s is a network of scheme %s, the manifest wants %s", o.Dir, has, m.Scheme)
	}
	defer func() { err = errors.Join(err, x.n.Close()) }()
	if err := x.connect(); err != nil {
		return nil, errors.Join(err, x.disconnect())
	}
	defer func() { err = errors.Join(err, x.disconnect()) }()
	if err := errors.Join(x.n.StartBitcoin(), x.n.Each(x.n.Start)); err != nil {
		return nil, err
	}
	if err := x.n.Ready(ctx, 0); err != nil {
		return nil, err
	}
	chain, err := x.n.Chain(ctx)
	if err != nil {
		return nil, err
	}
	if x.world, err = golden.OpenWorld(ctx, o.Dir, chain, x.n.Status); err != nil {
		return nil, err
	}
	defer x.world.Close()
	if err := x.live(ctx); err != nil {
		return nil, err
	}
	for i := range m.Nodes {
		if err := x.n.Stop(i); err != nil {
			return nil, err
		}
	}
	if err := x.inspect(); err != nil {
		return nil, err
	}
	x.report.Took = time.Since(began)
	return x.report, nil
}

// ErrProgram says that an experiment needs a program that was not given.
var ErrProgram = errors.New("a program is missing")

// Needs tells whether an experiment finds what it needs beside the usual program: other programs, or else ErrProgram, and hosts, or else hosts.ErrUnavailable.
func Needs(m *Manifest, programs map[string]string) error {
	if m.Hosts == Namespaces {
		if err := hosts.Available(); err != nil {
			return fmt.Errorf("hosts of %s: %w", m.Name, err)
		}
	}
	for _, p := range m.Perturb {
		if name := p.program(); name != "" && programs[name] == "" {
			return fmt.Errorf("%w: %s of %s needs %q", ErrProgram, p.Name, m.Name, name)
		}
	}
	return nil
}

// program names the program that a perturbation needs, or none.
func (p *Perturbation) program() string {
	if name, _ := p.special(); name != "" {
		return name
	}
	return p.Program
}

// special is the program, and its environment, that a kind of perturbation runs its nodes with; without a name it is no such kind.
func (p *Perturbation) special() (name string, env []string) {
	switch p.Kind {
	case SlowDisk, ClockSkew:
		return FaultBuild, []string{fmt.Sprintf("%s=%d", EnvClock, int64(time.Duration(p.Skew)/time.Second)), fmt.Sprintf("%s=%d", EnvSync, time.Duration(p.Sync).Milliseconds())}
	case Byzantine:
		var names []string
		for _, d := range p.Misdeeds {
			names = append(names, string(d))
		}
		return ByzantineBuild, []string{misdeed.Env + "=" + strings.Join(names, ",")}
	case UpgradeProtocol:
		return NextBuild, nil
	}
	return "", nil
}

// disconnect ends what connect began.
func (x *experiment) disconnect() (err error) {
	if x.mesh != nil {
		err = x.mesh.Close()
	}
	if x.hosts != nil {
		err = errors.Join(err, x.hosts.Close())
	}
	return err
}

// connect puts the mesh between the replicas, or each on a host.
func (x *experiment) connect() (err error) {
	if x.m.Hosts == Namespaces {
		return x.settle()
	}
	x.mesh = newMesh(x.m.Links)
	var own []replica.Peer
	configs := make([]*replica.Config, x.m.Nodes)
	for i := range configs {
		if configs[i], err = replica.LoadConfig(testnets.NodeDir(x.o.Dir, i)); err != nil {
			return err
		}
		own = append(own, replica.Peer{Consensus: configs[i].Consensus, Gossip: configs[i].Gossip})
	}
	for i, c := range configs {
		c.Peers = slices.Clone(own)
		for j := range c.Peers {
			if i == j {
				continue
			}
			if c.Peers[j].Consensus, err = x.mesh.open(i, j, own[j].Consensus); err != nil {
				return err
			}
			if c.Peers[j].Gossip, err = x.mesh.open(i, j, own[j].Gossip); err != nil {
				return err
			}
		}
		if err := c.Save(); err != nil {
			return err
		}
	}
	return nil
}

// settle gives each replica a host, whose network has the replicas' own traffic. Clients and the Bitcoin node are at the same addresses as without.
func (x *experiment) settle() (err error) {
	links := hosts.Links{Delay: time.Duration(x.m.Links.Delay), Jitter: time.Duration(x.m.Links.Jitter), Loss: x.m.Links.Loss}
	if x.hosts, err = hosts.New(x.m.Nodes, links); err != nil {
		return err
	}
	x.n.In = x.hosts.In
	move := func(i int, address string) string {
		_, port, _ := net.SplitHostPort(address) // as golden.Clone wrote it
		return net.JoinHostPort(hosts.Address(i), port)
	}
	for i := range x.m.Nodes {
		if err := errors.Join(x.hosts.Publish(i, x.n.HTTP[i]), x.hosts.Reach(i, x.n.Bitcoin)); err != nil {
			return err
		}
		c, err := replica.LoadConfig(testnets.NodeDir(x.o.Dir, i))
		if err != nil {
			return err
		}
		c.Consensus, c.Gossip = move(i, c.Consensus), move(i, c.Gossip)
		c.Peers = slices.Clone(c.Peers)
		for j, p := range c.Peers {
			c.Peers[j].Consensus, c.Peers[j].Gossip = move(j, p.Consensus), move(j, p.Gossip)
		}
		if err := c.Save(); err != nil {
			return err
		}
	}
	return nil
}

// live is the experiment from when the network works until all that was asked of it is done and checked.
func (x *experiment) live(ctx context.Context) error {
	x.watch = newWatch(x)
	g, gctx := errgroup.WithContext(ctx)
	watching, stopWatching := context.WithCancel(gctx)
	defer stopWatching()
	g.Go(func() error { return x.watch.run(watching) })
	memory := x.sample(watching, g)
	l, err := x.newLoad(gctx)
	if err != nil {
		stopWatching()
		return errors.Join(err, g.Wait())
	}
	g.Go(func() error {
		defer stopWatching()
		return x.play(gctx, l)
	})
	if err := g.Wait(); err != nil {
		return err
	}
	x.report.Compared = x.watch.compared()
	x.report.Resident = quarters(*memory)
	return steady(time.Since(x.began), x.report.Resident)
}

// sampleEvery is how often the replicas' memory is looked at.
const sampleEvery = time.Second

// sample notes the largest resident memory of a replica, in bytes, until the context ends.
func (x *experiment) sample(ctx context.Context, g *errgroup.Group) *[]uint64 {
	list := new([]uint64)
	g.Go(func() error {
		for pause.For(ctx, sampleEvery) == nil {
			var most uint64
			for i := range x.m.Nodes {
				if r, err := x.n.Replica(i).Resident(); err == nil { // otherwise it is down
					most = max(most, r)
				}
			}
			*list = append(*list, most)
		}
		return nil
	})
	return list
}

// quarters are the largest of each quarter of samples.
func quarters(samples []uint64) (out []uint64) {
	for q := range 4 {
		if part := samples[q*len(samples)/4 : (q+1)*len(samples)/4]; len(part) > 0 {
			out = append(out, slices.Max(part))
		}
	}
	return out
}

// Growth of memory is looked for in long experiments; in short ones caches still fill. More than this from the second quarter to the last is growth.
const (
	longExperiment = 20 * time.Minute
	mostGrowth     = 1.25
)

func steady(lasted time.Duration, resident []uint64) error {
	if lasted < longExperiment || len(resident) < 4 || float64(resident[3]) <= mostGrowth*float64(resident[1]) {
		return nil
	}
	return fmt.Errorf("the memory of a replica grew from %d MiB in the second quarter of %s to %d MiB in the last", resident[1]>>20, lasted.Round(time.Second), resident[3]>>20)
}

// play lets the perturbations happen beside the load, and checks what is left.
func (x *experiment) play(ctx context.Context, l *load) error {
	if err := golden.Wait(ctx, "a look at the replicas", func() (string, error) {
		if x.watch.top() == 0 {
			return x.watch.String(), nil
		}
		return "", nil
	}); err != nil {
		return err
	}
	if err := l.measure(ctx); err != nil {
		return err
	}
	x.start, x.began = x.watch.top(), time.Now()
	g, gctx := errgroup.WithContext(ctx)
	working, enough := context.WithCancel(gctx)
	defer enough()
	l.start(g, gctx, working)
	ended := map[string]chan struct{}{}
	var all sync.WaitGroup
	for i := range x.m.Perturb {
		p := &x.m.Perturb[i]
		done, after := make(chan struct{}), []chan struct{}{}
		if c := ended[p.After]; c != nil {
			after = append(after, c)
		}
		if p.Kind == UpgradeProtocol { // after all the others, as there is no way back
			after = slices.Collect(maps.Values(ended))
		}
		ended[p.Name] = done
		all.Add(1)
		g.Go(func() error {
			defer all.Done()
			for _, before := range after {
				select {
				case <-before:
				case <-gctx.Done():
					return gctx.Err()
				}
			}
			if err := x.perturb(gctx, p, &x.report.Outcomes[i]); err != nil {
				return fmt.Errorf("%s: %w", p.Name, err)
			}
			close(done)
			return nil
		})
	}
	g.Go(func() error {
		all.Wait()
		enough()
		return nil
	})
	if err := g.Wait(); err != nil {
		return err
	}
	x.report.Blocks = x.watch.top() - x.start
	return x.check(ctx, l)
}

// perturb carries out a perturbation and waits until the network is over it.
func (x *experiment) perturb(ctx context.Context, p *Perturbation, out *Outcome) error {
	if err := golden.Wait(ctx, fmt.Sprintf("block %d", x.start+p.At), func() (string, error) {
		if top := x.watch.top(); top < x.start+p.At {
			return fmt.Sprintf("block %d", top), nil
		}
		return "", nil
	}); err != nil {
		return err
	}
	if err := pause.For(ctx, time.Until(x.began.Add(time.Duration(p.Time)))); err != nil {
		return err
	}
	if p.ofChain() {
		release, err := x.holdChain(ctx)
		if err != nil {
			return err
		}
		defer release()
	}
	if p.Kind != Disconnect && p.Kind != Partition {
		for _, i := range sorted(p.Nodes) { // in one order, so that nobody waits in a circle
			select {
			case x.locks[i] <- struct{}{}:
				defer func() { <-x.locks[i] }()
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	*out = Outcome{Perturbation: p, Hits: x.m.Hits(p), Began: x.watch.top()}
	x.o.Log("%s: %s begins at block %d, hits %v", x.m.Name, p.Name, out.Began, out.Hits)
	began := time.Now()
	if p.Kind == Upgrade || p.Kind == UpgradeProtocol {
		for _, i := range p.Nodes {
			if err := x.apply(ctx, p, []int{i}); err != nil {
				return err
			}
			if _, err := x.recover(ctx, p.Name); err != nil {
				return err
			}
		}
	} else if err := x.apply(ctx, p, out.Hits); err != nil {
		return err
	}
	out.Lasted, out.Meanwhile = time.Since(began), x.watch.top()-out.Began
	took, err := x.recover(ctx, p.Name)
	switch {
	case err != nil:
	case p.Kind == UpgradeProtocol:
		err = x.upgraded(ctx)
	case p.ofChain():
		err = x.chainSeen(ctx)
	}
	out.Recovered = took
	x.o.Log("%s: %s lasted %.1f s, all back after %.1f s", x.m.Name, p.Name, out.Lasted.Seconds(), took.Seconds())
	return err
}

// apply begins what a perturbation does to nodes, waits, and ends it.
func (x *experiment) apply(ctx context.Context, p *Perturbation, hits []int) (err error) {
	x.count(hits, 1)
	defer x.count(hits, -1)
	each := func(fn func(i int) error) error {
		var g errgroup.Group
		for _, i := range hits {
			g.Go(func() error { return fn(i) })
		}
		return g.Wait()
	}
	var before map[int]figures
	switch p.Kind {
	case Kill:
		err = each(x.n.Kill)
	case Pause:
		err = each(func(i int) error { return x.n.Replica(i).Signal(syscall.SIGSTOP) })
	case Restart:
		err = each(x.n.Stop)
	case ChainPause:
		err = x.n.BitcoinNode().Signal(syscall.SIGSTOP)
	case ChainKill:
		err = x.n.BitcoinNode().End(syscall.SIGKILL)
	case Upgrade, UpgradeProtocol:
		err = each(func(i int) error { return x.n.Retire(ctx, i) })
		if bin := x.o.Programs[p.program()]; bin != "" {
			for _, i := range hits {
				x.n.Use(i, bin)
			}
		}
	case Disconnect:
		err = x.links(p, 0, 1)
	case Partition:
		err = x.links(p, 1, 0)
	case SlowDisk, ClockSkew, Byzantine:
		if p.Kind == Byzantine {
			before = x.figures(ctx, hits)
		}
		name, env := p.special()
		err = each(func(i int) error {
			if err := x.n.Stop(i); err != nil {
				return err
			}
			return x.n.StartWith(i, x.o.Programs[name], env)
		})
		if err == nil && p.Kind != Byzantine {
			err = x.moving(ctx, hits)
		}
	}
	if err == nil {
		err = x.last(ctx, time.Duration(p.For))
	}
	if err == nil && p.Kind == Byzantine {
		err = x.seen(ctx, p, before)
	}
	if err != nil {
		return err
	}
	switch p.Kind {
	case Kill, Restart, Upgrade, UpgradeProtocol:
		return each(x.n.Start)
	case Pause:
		return each(func(i int) error { return x.n.Replica(i).Signal(syscall.SIGCONT) })
	case ChainPause:
		return x.n.BitcoinNode().Signal(syscall.SIGCONT)
	case ChainKill:
		return x.n.StartBitcoin()
	case Disconnect:
		return x.links(p, 0, -1)
	case Partition:
		return x.links(p, -1, 0)
	case SlowDisk, ClockSkew, Byzantine:
		return each(func(i int) error { return errors.Join(x.n.Stop(i), x.n.Start(i)) })
	}
	return nil
}

// holdChain waits until nobody else uses or stops the Bitcoin node.
func (x *experiment) holdChain(ctx context.Context) (release func(), err error) {
	select {
	case x.chain <- struct{}{}:
		return func() { <-x.chain }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// chainSeen waits until the replicas that nothing hits have a new block of Bitcoin.
func (x *experiment) chainSeen(ctx context.Context) error {
	var hash string
	return golden.Wait(ctx, "a new block of Bitcoin", func() (string, error) {
		if hash == "" {
			r, err := x.world.Chain.Mine(ctx, testnets.MineRequest{Blocks: 1})
			if err != nil {
				return err.Error(), nil // it is not up yet
			}
			hash = r.Hashes[0]
		}
		for _, i := range x.spared() {
			if s, err := x.watch.status(i); err != nil || s.Bitcoin == nil || s.Bitcoin.TipHash != hash {
				return fmt.Sprintf("node %d has not seen %s: %s", i, hash, x.watch), nil
			}
		}
		return "", nil
	})
}

// upgraded waits until the newest version of the protocol that the programs know is in force at all nodes.
func (x *experiment) upgraded(ctx context.Context) error {
	return golden.Wait(ctx, "the newer version of the protocol", func() (string, error) {
		for i := range x.m.Nodes {
			s, err := x.watch.status(i)
			switch {
			case err != nil:
				return err.Error(), nil
			case s.Protocol.Newest <= machine.Newest:
				return "", fmt.Errorf("%s knows version %d of the protocol, no newer one than %d", x.o.Programs[NextBuild], s.Protocol.Newest, machine.Newest)
			case s.Protocol.Version != s.Protocol.Newest:
				return fmt.Sprintf("node %d: %+v", i, s.Protocol), nil
			}
		}
		return "", nil
	})
}

// links changes the links that a perturbation divides.
func (x *experiment) links(p *Perturbation, held, cut int) (err error) {
	if x.hosts != nil && p.Kind == Disconnect {
		for _, i := range p.Nodes {
			err = errors.Join(err, x.hosts.Unplug(i, cut))
		}
		return err
	}
	side := map[int]int{}
	for i, g := range p.Groups {
		for _, node := range g {
			side[node] = i
		}
	}
	for a := range x.m.Nodes {
		for b := range a {
			switch {
			case p.Kind == Partition && side[a] == side[b], p.Kind == Disconnect && !slices.Contains(p.Nodes, a) && !slices.Contains(p.Nodes, b):
			case x.hosts != nil:
				x.hosts.Divide(a, b, held)
			default:
				x.mesh.set(between(a, b), held, cut)
			}
		}
	}
	return nil
}

func (x *experiment) count(nodes []int, by int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, i := range nodes {
		x.hit[i] += by
	}
}

// spared are the nodes that nothing hits now, if they have a quorum.
func (x *experiment) spared() (out []int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for i := range x.m.Nodes {
		if x.hit[i] == 0 {
			out = append(out, i)
		}
	}
	if len(out) < x.m.Quorum() {
		return nil
	}
	return out
}

// last waits as long as a perturbation has to last: a time, and until those who are spared have made two blocks. The network has to go on without
// those that are hit; whether it does is what this waits for.
func (x *experiment) last(ctx context.Context, d time.Duration) error {
	base := x.watch.top()
	if err := pause.For(ctx, d); err != nil {
		return err
	}
	return golden.Wait(ctx, "the others to make blocks", func() (string, error) {
		if others := x.spared(); others != nil && x.watch.height(others) < base+2 {
			return fmt.Sprintf("block %d of %d; %s", x.watch.height(others), base+2, x.watch), nil
		}
		return "", nil
	})
}

// moving waits until nodes certify new blocks, whatever they think of their clocks.
func (x *experiment) moving(ctx context.Context, nodes []int) error {
	base := x.watch.top()
	return golden.Wait(ctx, fmt.Sprintf("nodes %v to go on", nodes), func() (string, error) {
		if x.spared() == nil {
			return "", nil // nobody can
		}
		for _, i := range nodes {
			if err := x.ended(i); err != nil {
				return "", err
			}
			if s, err := x.watch.status(i); err != nil || s.Certified <= base {
				return fmt.Sprintf("node %d is not above block %d: %s", i, base, x.watch), nil
			}
		}
		return "", nil
	})
}

// ended says that a replica has ended by itself.
func (x *experiment) ended(i int) error {
	if err := x.n.Replica(i).Ended(); err != nil {
		return fmt.Errorf("replica %d ended by itself: %w; see %s", i, err, x.n.LogFile(fmt.Sprintf("node%d", i)))
	}
	return nil
}

// recover waits until all nodes that nothing hits are healthy and certify new blocks.
func (x *experiment) recover(ctx context.Context, what string) (time.Duration, error) {
	began, base := time.Now(), x.watch.top()
	err := golden.Wait(ctx, "recovery from "+what, func() (string, error) {
		others := x.spared()
		if others == nil {
			return "too many are hit", nil
		}
		for _, i := range others {
			if err := x.ended(i); err != nil {
				return "", err
			}
			if s, err := x.watch.status(i); err != nil || !s.Healthy || s.Certified <= base {
				return fmt.Sprintf("node %d is not above block %d: %s", i, base, x.watch), nil
			}
		}
		return "", nil
	})
	return time.Since(began), err
}
