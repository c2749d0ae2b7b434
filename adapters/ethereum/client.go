package ethereum

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"fusion/eth"
	"fusion/eth/proof"
	"fusion/eth/rpc"
)

// Errors; test with errors.Is.
var (
	ErrUnavailable = errors.New("too few ethereum providers answer")
	ErrDisagree    = errors.New("the ethereum providers disagree")
	ErrWrongChain  = errors.New("the ethereum provider is on another chain")
	ErrTooLarge    = errors.New("the ethereum node's answer is too large")
	ErrUnverified  = errors.New("the ethereum node's answer does not hold against the chain")
	ErrNode        = errors.New("the ethereum nodes answer with an error")
	ErrStale       = errors.New("the beacon chain's finality is stale")
	ErrConfig      = errors.New("the ethereum configuration does not hold")
)

// Finalized is an execution block that the beacon chain has finalised.
type Finalized struct {
	Number       uint64
	Hash         eth.Hash
	StateRoot    eth.Hash
	ReceiptsRoot eth.Hash
	Time         time.Time // of the block
}

// Finality knows the newest finalised block from a source that needs no trust: a light client of the beacon chain (package beacon). It fails with
// ErrStale if what it knows is too old.
type Finality interface {
	Finalized(ctx context.Context) (Finalized, error)
}

// Config of a Client. Only ChainID and Providers must be set.
type Config struct {
	ChainID   uint64
	Providers []Provider
	// Quorum is how many distinct operators must give the same answer. The default is a majority of them. It has to be less than their
	// number, so that one who is down stops nothing, unless there is only one.
	Quorum int
	// Verify checks answers against block headers, for chains whose headers, receipts and accounts are Ethereum's. See the package comment.
	Verify bool
	// Finality, if set, binds what is verified to the beacon chain, and Height("finalized") never exceeds it.
	Finality Finality

	MaxResponse int64         // bytes of a response; the default is 2,000,000
	MaxReceipts int64         // bytes of a response with all receipts or transactions of a block, or a batch of headers; the default is 16 MiB
	Timeout     time.Duration // of one request; the default is 15 s
	Hedge       time.Duration // after it another provider is asked as well; the default is 2 s
	MaxRest     time.Duration // longest rest of a failing provider, ± a fifth; the default is 10 s
	CheckChain  time.Duration // how often a provider's chain is checked; the default is 5 min
	Parallel    int           // requests at a time to one provider; the default is 16
	MaxLink     uint64        // headers between an answer and a finalised block that are walked; the default is 65,536, nine days of mainnet
	Log         *slog.Logger  // the default discards

	// Transport makes the connections. The default uses no proxy, no cookies, and follows no redirect.
	Transport http.RoundTripper
	linkStep  uint64 // headers that are walked at a time

	// Now is the clock of back-off and checks. The default is time.Now.
	Now func() time.Time
}

// Client asks the providers. It may be used from many goroutines.
type Client struct {
	cfg       Config
	providers []*provider
	operators int
	transport http.RoundTripper
	id        atomic.Uint64
	turn      atomic.Uint64
	wg        sync.WaitGroup
	root      context.Context // of what no query waits for
	stop      context.CancelFunc
	headers   *headers

	mu    sync.Mutex
	stats Stats
}

// New makes a client. It connects to nobody yet; see Check.
func New(cfg Config) (*Client, error) {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&cfg.Timeout, 15*time.Second)
	def(&cfg.Hedge, 2*time.Second)
	def(&cfg.MaxRest, 10*time.Second)
	def(&cfg.CheckChain, 5*time.Minute)
	if cfg.MaxResponse <= 0 {
		cfg.MaxResponse = 2_000_000
	}
	if cfg.MaxReceipts <= 0 {
		cfg.MaxReceipts = rpc.MaxBytes
	}
	cfg.MaxResponse, cfg.MaxReceipts = min(cfg.MaxResponse, rpc.MaxBytes), min(cfg.MaxReceipts, rpc.MaxBytes)
	if cfg.Parallel <= 0 {
		cfg.Parallel = 16
	}
	if cfg.MaxLink == 0 {
		cfg.MaxLink = 1 << 16
	}
	if cfg.linkStep == 0 {
		cfg.linkStep = 4096
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.ChainID == 0 {
		return nil, fmt.Errorf("%w: no chain id", ErrConfig)
	}
	c := &Client{cfg: cfg, transport: cfg.Transport, headers: newHeaders(1 << 17)}
	if c.transport == nil {
		c.transport = &http.Transport{
			Proxy:                  nil, // never the environment's
			DialContext:            (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
			ForceAttemptHTTP2:      true,
			MaxIdleConnsPerHost:    4,
			IdleConnTimeout:        time.Minute,
			MaxResponseHeaderBytes: 64 << 10,
			TLSHandshakeTimeout:    10 * time.Second,
		}
	}
	c.root, c.stop = context.WithCancel(context.Background())
	operators := map[string]bool{}
	for _, pc := range cfg.Providers {
		p, err := c.newProvider(pc)
		if err != nil {
			return nil, err
		}
		operators[p.operator] = true
		c.providers = append(c.providers, p)
	}
	c.operators = len(operators)
	if c.cfg.Quorum == 0 {
		c.cfg.Quorum = c.operators/2 + 1
		if c.operators == 2 {
			c.cfg.Quorum = 1
		}
	}
	switch k := c.cfg.Quorum; {
	case c.operators == 0:
		return nil, fmt.Errorf("%w: no provider", ErrConfig)
	case k < 1 || k > c.operators:
		return nil, fmt.Errorf("%w: a quorum of %d among %d operators", ErrConfig, k, c.operators)
	case k == c.operators && k > 1:
		return nil, fmt.Errorf("%w: a quorum of %d among as many operators stops when one is down: add a provider or lower the quorum", ErrConfig, k)
	}
	return c, nil
}

// Close waits until no request is open, and closes the connections. Nothing may be asked afterwards.
func (c *Client) Close() error {
	c.stop()
	c.wg.Wait()
	if t, ok := c.transport.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
	return nil
}

// Check asks every provider for its chain. It fails if fewer operators than the quorum are on the right one.
func (c *Client) Check(ctx context.Context) error {
	got := c.everyone(ctx, rpc.ChainID(), len(c.providers))
	good := map[string]bool{}
	var failed []error
	for _, r := range got {
		if r.err != nil {
			failed = append(failed, r.err)
			continue
		}
		good[r.p.operator] = true
	}
	if len(good) < c.cfg.Quorum {
		return fmt.Errorf("%w: %d of %d operators: %w", ErrUnavailable, len(good), c.cfg.Quorum, errors.Join(failed...))
	}
	return nil
}

// Said is what one provider answered, as far as it may be shown.
type Said struct {
	Host, Operator string
	What           string // the beginning of a hash of the result, or an error
}

// DisagreeError says who said what. It is ErrDisagree.
type DisagreeError struct {
	Method string
	Quorum int
	Said   []Said
}

func (e *DisagreeError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v: %s needs %d equal answers", ErrDisagree, e.Method, e.Quorum)
	for i, s := range e.Said {
		fmt.Fprintf(&b, "%s %s says %s", []string{":", ","}[min(i, 1)], s.Host, s.What)
	}
	return b.String()
}

func (e *DisagreeError) Unwrap() error { return ErrDisagree }

// reply is what came of asking one provider.
type reply struct {
	p   *provider
	a   rpc.Answer
	err error
}

// class is what replies are counted by: equal ones are of one class.
type class struct {
	kind   string // "ok", "error", "large", "unable"
	result string
	code   int64
}

func (r *reply) class() class {
	switch {
	case errors.Is(r.err, ErrTooLarge):
		return class{kind: "large"}
	case r.err != nil:
		return class{kind: "unable"}
	case r.a.Err == nil:
		return class{kind: "ok", result: string(r.a.Result)}
	}
	switch cl := r.a.Err.Class(); cl {
	case rpc.ClassRange:
		return class{kind: "large"}
	case rpc.ClassUnable:
		return class{kind: "unable"}
	case rpc.ClassOther:
		return class{kind: "error", code: r.a.Err.Code}
	default:
		return class{kind: "error", code: int64(cl) << 40}
	}
}

func (r *reply) what() string {
	switch {
	case r.err != nil:
		return "nothing (" + r.err.Error() + ")"
	case r.a.Err != nil:
		return fmt.Sprintf("error %d (%.100s)", r.a.Err.Code, r.a.Err.Message)
	}
	if len(r.a.Result) <= 80 {
		return string(r.a.Result)
	}
	h := sha256.Sum256(r.a.Result)
	return fmt.Sprintf("%d bytes of hash %x", len(r.a.Result), h[:6])
}

// order is whom to ask: those that are well before those whose rest is over, and one of each operator before the others. Turns spread the load.
func (c *Client) order() (out []*provider) {
	turn := int(c.turn.Add(1) % uint64(len(c.providers)))
	rank := map[*provider]int{}
	seen := map[string]int{}
	for _, well := range []bool{true, false} {
		for i := range c.providers {
			p := c.providers[(turn+i)%len(c.providers)]
			if healthy := p.state() == Healthy; healthy != well || !healthy && !p.rested() || slices.Contains(out, p) {
				continue
			}
			rank[p] = seen[p.operator]
			seen[p.operator]++
			out = append(out, p)
		}
	}
	slices.SortStableFunc(out, func(a, b *provider) int { return cmp.Compare(rank[a], rank[b]) })
	return out
}

// probe asks providers whose rest is over for their chain, beside the queries, so that no query waits for one that is still down.
func (c *Client) probe() {
	for _, p := range c.providers {
		if p.state() != Healthy && p.usable(true) {
			c.wg.Go(func() {
				a, err := p.ask(c.root, rpc.ChainID(), c.cfg.MaxResponse)
				if err == nil && a.Err != nil {
					p.fail(a.Err)
				}
			})
		}
	}
}

// everyone asks all usable providers at once, and waits for all, or for the hedge time after enough have answered.
func (c *Client) everyone(ctx context.Context, q rpc.Query, enough int) []reply {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ch := make(chan reply, len(c.providers))
	asked := 0
	for _, p := range c.order() {
		if !p.usable(true) {
			continue
		}
		asked++
		c.wg.Go(func() {
			a, err := p.ask(ctx, q, c.cfg.MaxResponse)
			ch <- reply{p, a, err}
		})
	}
	var out []reply
	var late <-chan time.Time
	for len(out) < asked {
		select {
		case r := <-ch:
			if out = append(out, r); len(out) >= enough && late == nil {
				timer := time.NewTimer(c.cfg.Hedge)
				defer timer.Stop()
				late = timer.C
			}
		case <-late:
			return out
		}
	}
	return out
}

// quorum asks providers of distinct operators, at first as many as must agree and then one more for each that fails, differs or is late, until enough
// agree or all were asked.
func (c *Client) quorum(ctx context.Context, q rpc.Query, most int64) (rpc.Answer, error) {
	k := c.cfg.Quorum
	parent := ctx
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	queue := c.order()
	ch := make(chan reply, len(queue))
	open := 0
	var probed []*provider // by somebody else at the moment: the last to ask
	next := func() bool {
		for len(queue)+len(probed) > 0 {
			var p *provider
			if len(queue) > 0 {
				if p, queue = queue[0], queue[1:]; !p.usable(true) {
					probed = append(probed, p)
					continue
				}
			} else if p, probed = probed[0], probed[1:]; !p.rested() {
				continue
			}
			open++
			c.wg.Go(func() {
				a, err := p.ask(ctx, q, most)
				ch <- reply{p, a, err}
			})
			return true
		}
		return false
	}
	for range k {
		next()
	}
	defer c.probe()
	var replies []reply
	hedge := time.NewTimer(c.cfg.Hedge)
	defer hedge.Stop()
	votes := map[class]map[string]bool{}
	for open > 0 {
		select {
		case r := <-ch:
			open--
			replies = append(replies, r)
			cl := r.class()
			if votes[cl] == nil {
				votes[cl] = map[string]bool{}
			}
			votes[cl][r.p.operator] = true
			if len(votes[cl]) >= k && cl.kind != "unable" {
				return c.agreed(q, cl, replies)
			}
			// As many must be on their way as the best class lacks.
			best := 0
			for cl, v := range votes {
				if cl.kind != "unable" {
					best = max(best, len(v))
				}
			}
			for open < k-best && next() {
			}
		case <-hedge.C:
			next()
			hedge.Reset(c.cfg.Hedge)
		case <-parent.Done():
			return rpc.Answer{}, fmt.Errorf("%w: %s: %w", ErrUnavailable, q.Method, parent.Err())
		}
	}
	return rpc.Answer{}, c.undecided(q, votes, replies)
}

// agreed is the answer that enough operators gave. Whoever gave another result is noted.
func (c *Client) agreed(q rpc.Query, cl class, replies []reply) (rpc.Answer, error) {
	var same, other []reply
	for _, r := range replies {
		switch got := r.class(); {
		case got == cl:
			same = append(same, r)
		case got.kind == "ok" && cl.kind == "ok" && got.result != "null": // null is what a node says that is behind
			other = append(other, r)
		}
	}
	for _, r := range other {
		r.p.count(func(s *ProviderStats) { s.Disagreed++ })
		c.cfg.Log.Warn("an ethereum provider differs from the quorum", "provider", r.p.host, "method", q.Method, "says", r.what(), "quorum", same[0].what())
	}
	c.count(func(s *Stats) { s.Agreed++ })
	switch cl.kind {
	case "large":
		return rpc.Answer{}, fmt.Errorf("%w: %s: ask for less", ErrTooLarge, q.Method)
	case "error":
		e := *same[0].a.Err.Canonical()
		for _, r := range same {
			if r.a.Err.Canonical().Message != e.Message { // nodes of different make word it differently
				e.Message = fmt.Sprintf("the ethereum nodes answer with error %d", e.Code)
			}
		}
		return rpc.Answer{Err: &e}, nil
	}
	return same[0].a, nil
}

// reasons tells what went wrong, as text: what one provider failed with is not what the query failed with. Nothing did where nobody was asked.
func reasons(failed []error) string {
	if len(failed) == 0 {
		return "the others rest after failures"
	}
	return strings.ReplaceAll(errors.Join(failed...).Error(), "\n", "; ")
}

// undecided is why there is no answer.
func (c *Client) undecided(q rpc.Query, votes map[class]map[string]bool, replies []reply) error {
	k := c.cfg.Quorum
	large := votes[class{kind: "large"}]
	answered := map[string]bool{}
	differ := &DisagreeError{Method: q.Method, Quorum: k}
	var failed []error
	best := 0
	for cl, v := range votes {
		if cl.kind == "ok" || cl.kind == "error" {
			best = max(best, len(v))
		}
	}
	for _, r := range replies {
		differ.Said = append(differ.Said, Said{r.p.host, r.p.operator, r.what()})
		switch {
		case r.err != nil:
			failed = append(failed, r.err)
		case r.class().kind == "unable":
			failed = append(failed, fmt.Errorf("provider %s: %w", r.p.host, r.a.Err))
		}
		if r.class().kind != "unable" {
			answered[r.p.operator] = true
		}
	}
	switch {
	case len(large) > 0 && best+len(large) >= k: // with less to say, those who found it too large may agree with the others
		return fmt.Errorf("%w: %s: ask for less", ErrTooLarge, q.Method)
	case len(answered) >= k:
		c.count(func(s *Stats) { s.Disagreed++ })
		c.cfg.Log.Error("the ethereum providers disagree", "method", q.Method, "who", differ.Error())
		return differ
	}
	c.count(func(s *Stats) { s.Unavailable++ })
	return fmt.Errorf("%w: %s: %d operators of %d answered, want %d: %s", ErrUnavailable, q.Method, len(answered), c.operators, k, reasons(failed))
}

// Query asks for a result in canonical form, with everything that went wrong in the error. What the nodes agree to answer with an error is ErrNode and an *rpc.Error.
func (c *Client) Query(ctx context.Context, q rpc.Query) ([]byte, error) {
	c.count(func(s *Stats) { s.Asked++ })
	if q.Method == rpc.MethodSendRaw {
		return c.sendRaw(ctx, q)
	}
	if c.cfg.Verify {
		if verify := verifiers[q.Method]; verify != nil {
			out, err := verify(c, ctx, q)
			if errors.Is(err, ErrUnverified) {
				c.count(func(s *Stats) { s.Unverified++ })
				c.cfg.Log.Error("an answer of the ethereum providers does not hold", "method", q.Method, "err", err)
			}
			return out, err
		}
	}
	return c.plain(ctx, q)
}

// plain is a query whose answer stands on the quorum alone.
func (c *Client) plain(ctx context.Context, q rpc.Query) ([]byte, error) {
	a, err := c.quorum(ctx, q, c.limit(q))
	if err != nil {
		return nil, err
	}
	if a.Err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNode, a.Err)
	}
	return a.Result, nil
}

func (c *Client) limit(q rpc.Query) int64 {
	if q.Method == rpc.MethodBlockReceipts {
		return c.cfg.MaxReceipts
	}
	return c.cfg.MaxResponse
}

// Ask is Query with an answer on which replicas that have other providers can agree: it names nobody.
func (c *Client) Ask(ctx context.Context, q rpc.Query) rpc.Answer {
	result, err := c.Query(ctx, q)
	if err == nil {
		return rpc.Answer{Result: result}
	}
	c.cfg.Log.Debug("ethereum query failed", "method", q.Method, "err", err)
	var node *rpc.Error
	switch {
	case errors.Is(err, ErrNode) && errors.As(err, &node):
		return rpc.Answer{Err: node}
	case errors.Is(err, ErrTooLarge):
		return rpc.Fail(rpc.KindTooLarge, "%v", ErrTooLarge)
	case errors.Is(err, ErrDisagree):
		return rpc.Fail(rpc.KindDisagree, "%v", ErrDisagree)
	case errors.Is(err, ErrUnverified):
		return rpc.Fail(rpc.KindUnverified, "%v", ErrUnverified)
	case errors.Is(err, ErrStale):
		return rpc.Fail(rpc.KindUnverified, "%v", ErrStale)
	case errors.Is(err, rpc.ErrMalformed):
		return rpc.Fail(rpc.KindQuery, "the query is malformed")
	}
	return rpc.Fail(rpc.KindUnavailable, "%v", ErrUnavailable)
}

// Height is the number of the newest block with a tag that as many operators have as must agree, and on whose hash they agree. A chain without a finalised or safe block
// is at 0.
func (c *Client) Height(ctx context.Context, tag string) (uint64, error) {
	var ceiling uint64 = 1<<64 - 1
	var final Finalized
	if tag == string(rpc.Finalized) && c.cfg.Finality != nil {
		var err error
		if final, err = c.cfg.Finality.Finalized(ctx); err != nil {
			return 0, err
		}
		ceiling = final.Number
	}
	switch rpc.At(tag) {
	case rpc.Latest, rpc.Safe, rpc.Finalized:
	default:
		return 0, fmt.Errorf("%w: height of %.20q, want latest, safe or finalized", rpc.ErrMalformed, tag)
	}
	k := c.cfg.Quorum
	tops := map[string]uint64{} // by operator
	var failed []error
	for _, r := range c.everyone(ctx, rpc.BlockByNumber(rpc.At(tag)), k) {
		n, err := r.height()
		if err != nil {
			failed = append(failed, err)
			continue
		}
		if old, ok := tops[r.p.operator]; !ok || n > old {
			tops[r.p.operator] = n
		}
	}
	if len(tops) < k {
		c.count(func(s *Stats) { s.Unavailable++ })
		return 0, fmt.Errorf("%w: the height of %s: %d operators of %d answered, want %d: %s", ErrUnavailable, tag, len(tops), c.operators, k, reasons(failed))
	}
	heights := make([]uint64, 0, len(tops))
	for _, n := range tops {
		heights = append(heights, n)
	}
	slices.Sort(heights)
	height := min(heights[len(heights)-k], ceiling)
	// At the tip two blocks may compete for a moment; further down they have to agree.
	for back := uint64(0); ; back++ {
		b, err := c.agreedBlock(ctx, height)
		if err == nil {
			if ceiling == height && c.cfg.Finality != nil && tag == string(rpc.Finalized) && b.Hash != final.Hash {
				return 0, fmt.Errorf("%w: block %d is %s to the providers and %s to the beacon chain", ErrUnverified, height, b.Hash, final.Hash)
			}
			c.count(func(s *Stats) { s.setHeight(tag, height) })
			return height, nil
		}
		if back == 3 || height == 0 || !errors.Is(err, ErrDisagree) && !errors.Is(err, errNoBlock) {
			return 0, err
		}
		height--
	}
}

// height of a block that a provider answered with.
func (r *reply) height() (uint64, error) {
	switch {
	case r.err != nil:
		return 0, r.err
	case r.a.Err != nil && (r.a.Err.Code == -39001 || strings.Contains(strings.ToLower(r.a.Err.Message), "not found") || strings.Contains(strings.ToLower(r.a.Err.Message), "unknown block")):
		return 0, nil // nothing is finalised yet (execution API, eth_getBlockByNumber)
	case r.a.Err != nil:
		return 0, fmt.Errorf("provider %s: %w", r.p.host, r.a.Err)
	}
	b, err := rpc.ParseBlock(r.a.Result)
	if err != nil || b == nil {
		return 0, err
	}
	return b.Number, nil
}

var errNoBlock = errors.New("no such block")

// agreedBlock is the block of a number on which enough operators agree.
func (c *Client) agreedBlock(ctx context.Context, n uint64) (*rpc.Block, error) {
	q := rpc.BlockByNumber(rpc.Number(n))
	result, err := c.plain(ctx, q)
	if err != nil {
		return nil, err
	}
	b, err := rpc.ParseBlock(result)
	switch {
	case err != nil:
		return nil, err
	case b == nil:
		return nil, fmt.Errorf("%w: %w: %d", ErrUnavailable, errNoBlock, n)
	case b.Number != n:
		return nil, fmt.Errorf("%w: block %d instead of %d", ErrUnverified, b.Number, n)
	}
	if c.cfg.Verify {
		if err := held(proof.Header(b)); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// sendRaw hands a transaction to all providers. One that takes it, or has it already, is enough: whoever signs watches the chain for it.
func (c *Client) sendRaw(ctx context.Context, q rpc.Query) ([]byte, error) {
	hash, ok := q.SentHash()
	if !ok {
		return nil, fmt.Errorf("%w: the parameters of %s", rpc.ErrMalformed, q.Method)
	}
	replies := c.everyone(ctx, q, c.cfg.Quorum)
	taken, low := false, false
	votes := map[class]map[string]bool{}
	for i := range replies {
		r := &replies[i]
		if r.a.Err != nil && r.err == nil {
			switch r.a.Err.Class() {
			case rpc.ClassKnown:
				taken = true
			case rpc.ClassNonceTooLow:
				low = true
			}
		} else if r.err == nil {
			taken = true
		}
		cl := r.class()
		if votes[cl] == nil {
			votes[cl] = map[string]bool{}
		}
		votes[cl][r.p.operator] = true
	}
	if !taken && low { // perhaps because this very transaction is in the chain
		known, err := c.plain(ctx, rpc.TransactionByHash(hash))
		taken = err == nil && !bytes.Equal(known, []byte("null"))
	}
	if taken {
		c.count(func(s *Stats) { s.Agreed++ })
		return rpc.EncodeData(hash[:]), nil
	}
	for cl, v := range votes {
		if cl.kind == "error" && len(v) >= c.cfg.Quorum {
			a, err := c.agreed(q, cl, replies)
			if err != nil {
				return nil, err
			}
			return nil, fmt.Errorf("%w: %w", ErrNode, a.Err)
		}
	}
	return nil, c.undecided(q, votes, replies)
}
