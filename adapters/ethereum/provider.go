package ethereum

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"fusion/eth/rpc"
	"fusion/internal/redact"
)

// Header is sent with every request to a provider.
type Header struct{ Name, Value string }

// Provider is a node that this replica's operator chose. URL and Headers may hold keys: only the URL's host is ever shown.
type Provider struct {
	URL string
	// Operator is who runs the node. Answers of one operator count once. The default is the URL's host.
	Operator string
	Headers  []Header
}

// Format shows the host.
func (p Provider) Format(f fmt.State, _ rune) { redact.Format(f, "provider "+hostOf(p.URL)) }

// hostOf is what of a URL may be seen.
func hostOf(raw string) string {
	if u, err := url.Parse(raw); err == nil && u.Host != "" {
		return u.Host
	}
	return "of a malformed URL"
}

// State of a provider.
type State string

const (
	Healthy    State = "healthy"
	Probation  State = "probation" // one request at a time until one succeeds
	Resting    State = "resting"   // failed, and is left alone for a while
	WrongChain State = "wrong chain"
)

// provider is a Provider with its health.
type provider struct {
	host, operator string
	url            *url.URL
	headers        http.Header
	secrets        []string
	c              *Client
	slots          chan struct{} // requests at a time

	mu       sync.Mutex
	failures int       // without a success between
	rest     time.Time // until when it is left alone
	probing  bool
	checked  time.Time // when its chain was last seen to be right; zero before
	checking chan struct{}
	wrong    bool
	stats    ProviderStats
}

// Format keeps keys out of logs.
func (p *provider) Format(f fmt.State, _ rune) { redact.Format(f, "provider "+p.host) }

func (c *Client) newProvider(cfg Provider) (*provider, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return nil, fmt.Errorf("ethereum: the URL of provider %s: want http(s)://host", hostOf(cfg.URL)) // err would show it whole
	}
	p := &provider{host: u.Host, operator: cfg.Operator, url: u, headers: http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json"}, "User-Agent": {"fusion"}}, c: c,
		slots: make(chan struct{}, c.cfg.Parallel)}
	if p.operator == "" {
		p.operator = u.Hostname()
	}
	secret := func(s string) {
		if len(s) >= 6 {
			p.secrets = append(p.secrets, s)
		}
	}
	for _, h := range cfg.Headers {
		if h.Name == "" || strings.ContainsAny(h.Name+h.Value, "\r\n\x00") {
			return nil, fmt.Errorf("ethereum: a header of provider %s is malformed", p.host)
		}
		p.headers.Set(h.Name, h.Value)
		secret(h.Value)
		for _, word := range strings.Fields(h.Value) {
			secret(word)
		}
	}
	if u.User != nil {
		password, _ := u.User.Password()
		r := http.Request{Header: p.headers}
		r.SetBasicAuth(u.User.Username(), password)
		secret(password)
		u.User = nil
	}
	for _, part := range strings.Split(u.Path, "/") {
		secret(part)
	}
	for _, values := range u.Query() {
		for _, v := range values {
			secret(v)
		}
	}
	p.stats = ProviderStats{Host: p.host, Operator: p.operator}
	return p, nil
}

// redact takes keys out of what a provider says: some repeat them in their errors.
func (p *provider) redact(s string) string {
	for _, secret := range p.secrets {
		s = strings.ReplaceAll(s, secret, "…")
	}
	return s
}

// usable says whether a request may go to the provider now; take begins a probe if that is what the request would be.
func (p *provider) usable(take bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failures == 0 {
		return true
	}
	if p.probing || p.c.cfg.Now().Before(p.rest) {
		return false
	}
	p.probing = take
	return true
}

// rested says whether a failing provider's rest is over.
func (p *provider) rested() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failures == 0 || !p.c.cfg.Now().Before(p.rest)
}

func (p *provider) state() State {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.failures == 0:
		return Healthy
	case p.wrong:
		return WrongChain
	case p.c.cfg.Now().Before(p.rest):
		return Resting
	}
	return Probation
}

// succeed and fail are told how a request went; neutral, that it says nothing about the provider.
func (p *provider) succeed(took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failures > 0 {
		p.c.cfg.Log.Info("ethereum provider answers again", "provider", p.host, "failures", p.failures)
	}
	p.failures, p.probing, p.wrong = 0, false, false
	p.stats.Latency = took
}

func (p *provider) neutral() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.probing = false
}

func (p *provider) fail(why error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.probing = false
	p.stats.Failed++
	if p.failures > 0 && p.c.cfg.Now().Before(p.rest) {
		return // one of several requests that were under way when it began
	}
	p.failures++
	// One failure costs a second, each further one doubles it. The jitter is a fifth, so that replicas do not return all at once.
	wait := p.c.cfg.MaxRest
	if p.failures < 16 {
		wait = min(wait, time.Second<<(p.failures-1))
	}
	wait += time.Duration((rand.Float64() - 0.5) * 0.4 * float64(wait))
	p.rest = p.c.cfg.Now().Add(wait)
	if p.failures == 1 || p.failures == 5 {
		p.c.cfg.Log.Warn("ethereum provider fails", "provider", p.host, "failures", p.failures, "rests", wait.Round(time.Millisecond), "why", why)
	}
}

func (p *provider) count(f func(*ProviderStats)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(&p.stats)
}

// ensureChain checks that the node is on the chain, if that was not done lately.
func (p *provider) ensureChain(ctx context.Context) error {
	for {
		p.mu.Lock()
		if !p.checked.IsZero() && p.c.cfg.Now().Sub(p.checked) < p.c.cfg.CheckChain && !p.wrong {
			p.mu.Unlock()
			return nil
		}
		if wait := p.checking; wait != nil { // somebody does it
			p.mu.Unlock()
			select {
			case <-wait:
			case <-ctx.Done():
				return ctx.Err()
			}
			p.mu.Lock()
			failed := p.checking == nil && p.failures > 0
			p.mu.Unlock()
			if failed {
				return fmt.Errorf("%w: provider %s did not pass the check of its chain", ErrUnavailable, p.host)
			}
			continue
		}
		done := make(chan struct{})
		p.checking = done
		p.mu.Unlock()
		err := p.checkChain(ctx)
		p.mu.Lock()
		p.checking = nil
		switch {
		case err == nil:
			p.checked, p.wrong = p.c.cfg.Now(), false
		case errors.Is(err, ErrWrongChain):
			p.wrong, p.checked = true, time.Time{}
		}
		p.mu.Unlock()
		close(done)
		return err
	}
}

func (p *provider) checkChain(ctx context.Context) error {
	q := rpc.ChainID()
	a, err := p.post(ctx, q, p.c.cfg.MaxResponse)
	if err != nil {
		return err
	}
	if a.Err != nil {
		return fmt.Errorf("%w: the chain of provider %s: %w", ErrUnavailable, p.host, a.Err)
	}
	id, err := rpc.ParseUint(a.Result)
	if err != nil {
		return err
	}
	if id != p.c.cfg.ChainID {
		return fmt.Errorf("%w: provider %s is on chain %d, want %d", ErrWrongChain, p.host, id, p.c.cfg.ChainID)
	}
	return nil
}

// ask sends a query, and keeps account of the provider's health. The error is nil if the node answered, be it with an error of its own.
func (p *provider) ask(ctx context.Context, q rpc.Query, most int64) (rpc.Answer, error) {
	answers, err := p.askAll(ctx, []rpc.Query{q}, most)
	if err != nil {
		return rpc.Answer{}, err
	}
	return answers[0], nil
}

// askAll sends several queries in one request.
func (p *provider) askAll(ctx context.Context, queries []rpc.Query, most int64) (answers []rpc.Answer, err error) {
	begun := time.Now()
	ctx, cancel := context.WithTimeout(ctx, p.c.cfg.Timeout)
	defer cancel()
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		p.neutral()
		return nil, fmt.Errorf("%w: provider %s has %d requests open", ErrUnavailable, p.host, p.c.cfg.Parallel)
	}
	p.count(func(s *ProviderStats) { s.Asked++ })
	if err = p.ensureChain(ctx); err == nil {
		if len(queries) == 1 {
			var a rpc.Answer
			a, err = p.post(ctx, queries[0], most)
			answers = []rpc.Answer{a}
		} else {
			answers, err = p.postBatch(ctx, queries, most)
		}
	}
	switch {
	case err == nil:
		p.succeed(time.Since(begun))
	case errors.Is(err, ErrTooLarge):
		p.neutral() // the question may be to blame
	case errors.Is(context.Cause(ctx), context.Canceled) && time.Since(begun) < p.c.cfg.Hedge:
		p.neutral() // nobody waits for the answer any more
	default:
		p.fail(err)
	}
	return answers, err
}

func (p *provider) post(ctx context.Context, q rpc.Query, most int64) (rpc.Answer, error) {
	id := p.c.id.Add(1)
	status, body, err := p.send(ctx, q.Request(id), most)
	if err != nil {
		return rpc.Answer{}, err
	}
	a := q.Read(status, body, id)
	return p.check(a)
}

// check makes an error of an answer that no node on this chain gives.
func (p *provider) check(a rpc.Answer) (rpc.Answer, error) {
	if a.Err == nil {
		return a, nil
	}
	e := *a.Err
	e.Message = p.redact(e.Message)
	if e.Kind == rpc.KindHTTP {
		return rpc.Answer{}, fmt.Errorf("%w: provider %s: %w", ErrUnavailable, p.host, &e)
	}
	return rpc.Answer{Err: &e}, nil
}

func (p *provider) postBatch(ctx context.Context, queries []rpc.Query, most int64) ([]rpc.Answer, error) {
	id := p.c.id.Add(uint64(len(queries))) - uint64(len(queries)) + 1
	status, body, err := p.send(ctx, rpc.Batch(queries, id), most)
	if err != nil {
		return nil, err
	}
	answers := rpc.ReadBatch(queries, status, body, id)
	for i := range answers {
		if answers[i], err = p.check(answers[i]); err != nil {
			return nil, err
		}
	}
	return answers, nil
}

// send makes one HTTP request. The transport alone follows no redirects and keeps no cookies, and its errors do not show the URL.
func (p *provider) send(ctx context.Context, body []byte, most int64) (int, []byte, error) {
	req := (&http.Request{Method: http.MethodPost, URL: p.url, Header: p.headers, Host: p.url.Host, ContentLength: int64(len(body)), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}).WithContext(ctx)
	req.Header = p.headers.Clone()
	req.Body = io.NopCloser(bytes.NewReader(body))
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	res, err := p.c.transport.RoundTrip(req)
	if err != nil {
		return 0, nil, p.failed(ctx, err)
	}
	defer res.Body.Close()
	if res.ContentLength > most {
		return 0, nil, fmt.Errorf("%w: provider %s sends %d bytes, the limit is %d", ErrTooLarge, p.host, res.ContentLength, most)
	}
	out, err := io.ReadAll(io.LimitReader(res.Body, most+1))
	p.count(func(s *ProviderStats) { s.Bytes += uint64(len(out)) })
	if int64(len(out)) > most {
		return 0, nil, fmt.Errorf("%w: provider %s sends more than %d bytes", ErrTooLarge, p.host, most)
	}
	if err != nil {
		return 0, nil, p.failed(ctx, err)
	}
	return res.StatusCode, out, nil
}

func (p *provider) failed(ctx context.Context, err error) error {
	var t net.Error
	if errors.Is(ctx.Err(), context.DeadlineExceeded) || errors.As(err, &t) && t.Timeout() {
		return fmt.Errorf("%w: provider %s did not answer in time", ErrUnavailable, p.host)
	}
	return fmt.Errorf("%w: provider %s: %s", ErrUnavailable, p.host, p.redact(err.Error()))
}
