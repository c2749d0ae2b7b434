package agent

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"fusion/ic/certificate"
	"fusion/ic/envelope"
	"fusion/ic/identity"
	"fusion/ic/principal"
	"fusion/internal/pause"
)

// Options configure an Agent. The zero value of each field but RootKey works.
type Options struct {
	// Identity signs requests. The default is anonymous.
	Identity identity.Identity
	// RootKey is the DER-encoded key of the root subnet: what all trust rests on. It must be set unless FetchRootKey is.
	RootKey []byte
	// FetchRootKey takes the root key from the replica, on first use: only for networks that are trusted anyway, such as one's own.
	FetchRootKey bool
	// Verifier checks certificates, instead of one made of RootKey; agents of several replicas may share one.
	Verifier *certificate.Verifier
	// Client sends requests. The default is one with a pool of connections of its own.
	Client *http.Client
	// TTL is how long a request stays valid; the default is four minutes, one below what replicas accept.
	TTL time.Duration
	// MaxAge is how far the time of a certificate or of a query's signature may be from ours. The default is five minutes, negative is
	// any: for networks with a clock of their own.
	MaxAge time.Duration
	// Retries is how many times a request is sent again after overload or a failed connection. The default is 5, negative is never.
	Retries int
	// Backoff is the wait before the first retry or poll; it doubles up to two seconds. The default is 100 ms.
	Backoff time.Duration
	// SkipQueryVerification accepts query responses without checking the node's signature.
	SkipQueryVerification bool
	// Now is the clock. The default is time.Now.
	Now func() time.Time
}

func (o *Options) ensureDefaults() {
	if o.Identity == nil {
		o.Identity = identity.Anonymous{}
	}
	if o.Client == nil {
		o.Client = newClient()
	}
	if o.TTL <= 0 {
		o.TTL = 4 * time.Minute
	}
	if o.MaxAge == 0 {
		o.MaxAge = 5 * time.Minute
	}
	if o.Retries == 0 {
		o.Retries = 5
	}
	if o.Backoff <= 0 {
		o.Backoff = 100 * time.Millisecond
	}
	if o.Now == nil {
		o.Now = time.Now
	}
}

func newClient() *http.Client {
	return &http.Client{
		// Long enough for a synchronous call; contexts end it earlier.
		Timeout: time.Minute,
		Transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
			TLSHandshakeTimeout: 10 * time.Second,
			MaxIdleConnsPerHost: 1024, // a connection per call under way, kept for the next one
			IdleConnTimeout:     90 * time.Second,
			DisableCompression:  true, // answers are hashes mostly
		},
	}
}

// Errors returned by this package; test with errors.Is.
var (
	// ErrUnknownOutcome means that a call was sent and its outcome is not known; it may have been executed.
	ErrUnknownOutcome = errors.New("outcome of the call is unknown")
	// ErrDone means that a call was executed and its answer is no longer kept.
	ErrDone = errors.New("call was executed but its answer is no longer kept")
	// ErrNotExecuted means that a call expired before it was executed; it never will be.
	ErrNotExecuted = errors.New("call expired without being executed")
	// ErrVerification means that a replica's response does not verify. The replica, or who is between, is not honest.
	ErrVerification = errors.New("response does not verify")
	// ErrStale means that a certificate or a signature is too old, or that our clock is wrong.
	ErrStale = errors.New("response is not recent")
	// ErrClock means that a replica refused a request for its expiry, and that the replica's clock and ours are far apart.
	ErrClock = errors.New("our clock and the replica's disagree")
	// ErrNotFound means that a state read found nothing where something was expected.
	ErrNotFound = errors.New("not in the certified state")
)

// RejectError is a call or query that was refused. It wraps the *envelope.Reject.
type RejectError struct {
	envelope.Reject
	Canister  principal.Principal
	Method    string
	Certified bool // the subnet says so; otherwise it is the word of one replica
}

// Error implements error.
func (e *RejectError) Error() string {
	return fmt.Sprintf("%s of canister %s: %s", e.Method, e.Canister, e.Reject.Error())
}

// Unwrap gives the reject itself.
func (e *RejectError) Unwrap() error { return &e.Reject }

// HTTPError is a response with a status that is not an answer.
type HTTPError struct {
	Status int
	Body   string // its start
}

// Error implements error.
func (e *HTTPError) Error() string {
	return fmt.Sprintf("http status %d: %s", e.Status, e.Body)
}

// OutcomeError is ErrUnknownOutcome with the means to ask again.
type OutcomeError struct {
	RequestID envelope.ID
	Effective principal.Principal // the canister at whose URL to ask
	ExpiryNs  uint64              // after this time of the subnet, a call that is not executed never will be
	Cause     error
}

// Error implements error.
func (e *OutcomeError) Error() string {
	return fmt.Sprintf("%v (request %x): %v", ErrUnknownOutcome, e.RequestID, e.Cause)
}

// Unwrap gives ErrUnknownOutcome and the cause.
func (e *OutcomeError) Unwrap() []error { return []error{ErrUnknownOutcome, e.Cause} }

// Agent sends requests to one replica.
type Agent struct {
	opts Options
	base *url.URL
	*shared
}

// shared is what agents of several users have in common.
type shared struct {
	mu       sync.Mutex // guards verifier while it is made
	verifier *certificate.Verifier
	nodes    nodeKeys
	versions [len(endpoints)]atomic.Int32 // of each endpoint, the newest that the replica has: an index into its versions
}

// endpoint is one that exists in several versions. Ranges of canisters stand at other paths in certificates of the newer ones; the
// verifier takes either.
type endpoint int

const (
	callEndpoint endpoint = iota
	queryEndpoint
	readEndpoint
	subnetReadEndpoint
)

// endpoints are the endpoints' URLs with the principal left out, in the order in which they are tried. The oldest kind of call answers
// nothing but that it was received.
var endpoints = [...][]string{
	callEndpoint:       {"/api/v4/canister/%s/call", "/api/v3/canister/%s/call", "/api/v2/canister/%s/call"},
	queryEndpoint:      {"/api/v3/canister/%s/query", "/api/v2/canister/%s/query"},
	readEndpoint:       {"/api/v3/canister/%s/read_state", "/api/v2/canister/%s/read_state"},
	subnetReadEndpoint: {"/api/v3/subnet/%s/read_state", "/api/v2/subnet/%s/read_state"},
}

// New makes an agent for the replica at a URL.
func New(rawURL string, opts Options) (*Agent, error) {
	base, err := url.Parse(strings.TrimSuffix(rawURL, "/"))
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" {
		return nil, fmt.Errorf("replica's url %q is not http or https", rawURL)
	}
	opts.ensureDefaults()
	a := &Agent{opts: opts, base: base, shared: &shared{verifier: opts.Verifier}}
	if a.verifier == nil && opts.RootKey != nil {
		if a.verifier, err = certificate.NewVerifier(opts.RootKey); err != nil {
			return nil, err
		}
	}
	if a.verifier == nil && !opts.FetchRootKey {
		return nil, errors.New("an agent needs a root key, or leave to fetch it")
	}
	return a, nil
}

// With returns an agent for another user that shares everything else.
func (a *Agent) With(id identity.Identity) *Agent {
	b := *a
	b.opts.Identity = id
	return &b
}

// Close closes the connections that are not in use. The agent, and those made by With, can still be used.
func (a *Agent) Close() { a.opts.Client.CloseIdleConnections() }

// Sender is the principal that the agent signs as.
func (a *Agent) Sender() principal.Principal { return a.opts.Identity.Sender() }

// Verifier returns what checks certificates, after it fetched the root key if it has to.
func (a *Agent) Verifier(ctx context.Context) (*certificate.Verifier, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.verifier != nil {
		return a.verifier, nil
	}
	s, err := a.Status(ctx)
	if err != nil {
		return nil, fmt.Errorf("fetching the root key: %w", err)
	}
	if len(s.RootKey) == 0 {
		return nil, fmt.Errorf("fetching the root key: the replica has none yet (%s)", s.Health)
	}
	a.verifier, err = certificate.NewVerifier(s.RootKey)
	return a.verifier, err
}

// RootKey returns the DER-encoded root key.
func (a *Agent) RootKey(ctx context.Context) ([]byte, error) {
	v, err := a.Verifier(ctx)
	if err != nil {
		return nil, err
	}
	return v.RootKeyDER(), nil
}

// Status asks the replica how it is. Nothing in the answer is verified.
func (a *Agent) Status(ctx context.Context) (*envelope.Status, error) {
	res, err := a.send(ctx, http.MethodGet, "/api/v2/status", nil)
	if err != nil {
		return nil, err
	}
	return envelope.DecodeStatus(res.body)
}

func (a *Agent) expiry() uint64 { return uint64(a.opts.Now().Add(a.opts.TTL).UnixNano()) }

// nonce makes otherwise equal calls different ones.
func nonce() []byte {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails
	return b
}

// contentCBOR is the content type of requests.
var contentCBOR = []string{"application/cbor"}

// response is what came back of a request. failed tells whether the replica may have acted on an attempt that failed, after which
// there is either another attempt or an error.
type response struct {
	status int
	body   []byte
	failed bool
}

// post sends a request to the newest version of an endpoint that the replica has.
func (a *Agent) post(ctx context.Context, e endpoint, at principal.Principal, body []byte) (response, error) {
	known := &a.versions[e]
	failed := false
	for i := int(known.Load()); ; i++ {
		res, err := a.send(ctx, http.MethodPost, fmt.Sprintf(endpoints[e][i], at), body)
		failed = failed || res.failed
		res.failed = failed
		var h *HTTPError
		missing := errors.As(err, &h) && (h.Status == http.StatusNotFound || h.Status == http.StatusMethodNotAllowed)
		if missing && i+1 < len(endpoints[e]) {
			continue
		}
		if !missing { // or somebody between us and the replica answered for it
			known.Store(int32(i))
		}
		return res, err
	}
}

// send makes a request until it has a status that is an answer (200 or 202), or an error that trying again will not heal.
func (a *Agent) send(ctx context.Context, method, path string, body []byte) (response, error) {
	var res response
	wait := a.opts.Backoff
	for attempt := 0; ; attempt++ {
		var after time.Duration
		var err error
		res.body, res.status, after, err = a.once(ctx, method, path, body)
		if err == nil {
			return res, nil
		}
		res.failed = res.failed || mayHaveActed(err)
		if attempt >= a.opts.Retries || !worthRetrying(err) || pause.For(ctx, after+jitter(wait)) != nil {
			return res, err
		}
		wait = min(2*wait, maxBackoff)
	}
}

const maxBackoff = 2 * time.Second

// mayHaveActed tells failures before the replica had the request, and its refusals, from others.
func mayHaveActed(err error) bool {
	var h *HTTPError
	if errors.As(err, &h) {
		return h.Status == http.StatusInternalServerError || h.Status == http.StatusBadGateway || h.Status == http.StatusGatewayTimeout
	}
	var op *net.OpError
	return !(errors.As(err, &op) && op.Op == "dial")
}

func worthRetrying(err error) bool {
	var h *HTTPError
	if errors.As(err, &h) {
		return h.Status == http.StatusTooManyRequests || h.Status >= 500
	}
	return true
}

// once makes a request once. after is how long the replica asked to wait.
func (a *Agent) once(ctx context.Context, method, path string, body []byte) (out []byte, status int, after time.Duration, err error) {
	u := *a.base
	u.Path += path
	req := (&http.Request{Method: method, URL: &u, Host: u.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}}).WithContext(ctx)
	if body != nil {
		req.Header["Content-Type"] = contentCBOR
		req.ContentLength = int64(len(body))
		req.Body = io.NopCloser(bytes.NewReader(body))
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	}
	res, err := a.opts.Client.Do(req)
	if err != nil {
		return nil, 0, 0, err
	}
	defer res.Body.Close()
	size := min(max(res.ContentLength, 0), certificate.MaxSize) + bytes.MinRead
	buf := bytes.NewBuffer(make([]byte, 0, size))
	n, err := buf.ReadFrom(io.LimitReader(res.Body, certificate.MaxSize+1))
	switch {
	case err != nil:
		return nil, 0, 0, fmt.Errorf("reading the response: %w", err)
	case n > certificate.MaxSize:
		return nil, 0, 0, fmt.Errorf("%w: more than %d bytes", envelope.ErrResponse, certificate.MaxSize)
	case res.StatusCode == http.StatusOK || res.StatusCode == http.StatusAccepted:
		return buf.Bytes(), res.StatusCode, 0, nil
	}
	if s, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && s > 0 {
		after = min(time.Duration(s)*time.Second, maxBackoff)
	}
	text := buf.Bytes()[:min(buf.Len(), 500)]
	refused := &HTTPError{res.StatusCode, strings.TrimSpace(strings.ToValidUTF8(string(text), "?"))}
	return nil, 0, after, a.explain(refused, res.Header)
}

// explain adds that clocks disagree, by how much, to a refusal of a request's expiry.
func (a *Agent) explain(e *HTTPError, header http.Header) error {
	theirs, err := http.ParseTime(header.Get("Date"))
	if e.Status != http.StatusBadRequest || err != nil || !strings.Contains(strings.ToLower(e.Body), "expiry") {
		return e
	}
	d := a.opts.Now().Sub(theirs).Round(time.Second)
	switch {
	case d > clockSlack:
		return fmt.Errorf("%w: ours is %s ahead: %w", ErrClock, d, e)
	case d < -clockSlack:
		return fmt.Errorf("%w: ours is %s behind: %w", ErrClock, -d, e)
	}
	return e
}

// clockSlack is how far clocks may be apart without being the reason of anything.
const clockSlack = 20 * time.Second

// jitter spreads waits over half to all of d.
func jitter(d time.Duration) time.Duration { return d/2 + mathrand.N(d/2+1) }

// recent checks a time that somebody signed against our clock.
func (a *Agent) recent(what string, ns uint64) error {
	if a.opts.MaxAge < 0 {
		return nil
	}
	now := uint64(a.opts.Now().UnixNano())
	if d := max(now, ns) - min(now, ns); d > uint64(a.opts.MaxAge) {
		return fmt.Errorf("%w: %s is %s from our clock", ErrStale, what, time.Duration(d).Round(time.Second))
	}
	return nil
}
