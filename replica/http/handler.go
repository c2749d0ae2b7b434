package http

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"mime"
	"net"
	nethttp "net/http"
	"net/netip"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"fusion/ic/certificate"
	"fusion/ic/envelope"
	"fusion/ic/principal"
	"fusion/replica/ingress"
	"fusion/replica/management"
)

// MaxBody bounds a request's body in bytes.
const MaxBody = envelope.MaxSize

// Config tunes a Handler and its Server.
type Config struct {
	// ImplVersion is what the status endpoint calls this software. The default is "fusion".
	ImplVersion string
	// AllowedHosts lists the names (without port) that a Host header may have; one that starts with a dot allows the names below it,
	// such as the canisters' own under ".localhost". Empty allows all.
	AllowedHosts []string
	// CallTimeout is how long a synchronous call waits before it answers 202. The default is 10 s, as on the Internet Computer.
	CallTimeout time.Duration
	// QueryTimeout bounds the execution of a query. The default is 10 s.
	QueryTimeout time.Duration
	// Limits bound what clients may ask for.
	Limits Limits
	// Now is the clock of the rates in Limits. The default is time.Now.
	Now func() time.Time
	// Metrics is served at /metrics. The default serves nothing.
	Metrics nethttp.Handler
	// Gateway, if set, serves the requests that it claims, such as those for the hosts of canisters and the dashboard.
	Gateway Gateway
	// Other serves what is not of this interface. The default answers 404.
	Other nethttp.Handler
	// Observe is told of each request: the route's name, the HTTP status and the duration. The default is nobody.
	Observe func(route string, status int, d time.Duration)
	// Answered is told that what there is to say about a call that was taken has been written. The default is nobody.
	Answered func(envelope.ID)
	// OnPanic is told when the Backend panics, which means that a replica's storage or an invariant is broken: it should stop the
	// replica. The default logs it and drops the connection.
	OnPanic func(reason any, stack []byte)
	// Log receives failures of the Backend. The default is slog.Default().
	Log *slog.Logger
}

func (c *Config) ensureDefaults() {
	def := func(v *time.Duration, d time.Duration) {
		if *v <= 0 {
			*v = d
		}
	}
	def(&c.CallTimeout, 10*time.Second)
	def(&c.QueryTimeout, 10*time.Second)
	if c.ImplVersion == "" {
		c.ImplVersion = "fusion"
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Observe == nil {
		c.Observe = func(string, int, time.Duration) {}
	}
	if c.Answered == nil {
		c.Answered = func(envelope.ID) {}
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.OnPanic == nil {
		c.OnPanic = func(reason any, stack []byte) {
			c.Log.Error("panic while answering a request", "reason", reason, "stack", string(stack))
		}
	}
}

// Gateway serves other hosts or paths of the same listener; packages gateway and face implement it.
type Gateway interface {
	nethttp.Handler
	// Claims reports whether a request is for the gateway and not for the interface.
	Claims(r *nethttp.Request) bool
}

// Handler serves the interface.
type Handler struct {
	b   Backend
	cfg Config
	mux *nethttp.ServeMux
	lim *limiter

	patience context.Context // of calls that wait for their certificate; over when the service ends
	hurry    context.CancelFunc
	mu       sync.Mutex
	serving  *sync.WaitGroup // requests since Drain, or all
	draining bool
}

// NewHandler makes the handler of a replica.
func NewHandler(b Backend, cfg Config) *Handler {
	cfg.ensureDefaults()
	h := &Handler{b: b, cfg: cfg, mux: nethttp.NewServeMux(), lim: newLimiter(cfg.Limits, runtime.GOMAXPROCS(0), cfg.Now), serving: new(sync.WaitGroup)}
	h.patience, h.hurry = context.WithCancel(context.Background())
	h.mux.HandleFunc("GET /api/v2/status", h.route("status", h.status))
	h.mux.HandleFunc("/api/v2/status", h.otherMethod("GET, HEAD"))
	for _, v := range []int{2, 3, 4} {
		h.api(v, "canister", "call", h.call)
		if v == 4 {
			h.api(v, "subnet", "call", h.call)
			continue
		}
		h.api(v, "canister", "query", h.query)
		h.api(v, "canister", "read_state", h.readState)
		h.api(v, "subnet", "read_state", h.readState)
		if v == 3 {
			h.api(v, "subnet", "query", h.query)
		}
	}
	h.mux.HandleFunc("/api/", h.otherMethod(""))
	h.mux.HandleFunc("GET /health", answerIf(healthy, b.Health))
	h.mux.HandleFunc("GET /ready", answerIf(ready, b.Ready))
	if cfg.Metrics != nil {
		h.mux.Handle("GET /metrics", cfg.Metrics)
	}
	if cfg.Other != nil {
		h.mux.Handle("/", cfg.Other)
	}
	return h
}

// ServeHTTP implements net/http.Handler.
func (h *Handler) ServeHTTP(w nethttp.ResponseWriter, r *nethttp.Request) {
	h.mu.Lock()
	serving := h.serving
	serving.Add(1)
	if h.draining {
		w.Header().Set("Connection", "close")
	}
	h.mu.Unlock()
	defer serving.Done()
	if !h.allowedHost(r.Host) {
		nethttp.Error(w, fmt.Sprintf("host %q is not served here", r.Host), nethttp.StatusMisdirectedRequest)
		return
	}
	addr := h.lim.client(r)
	if no := h.lim.enter(addr); no != nil {
		if strings.HasPrefix(r.URL.Path, apiPrefix) {
			allowOrigins(w) // or a page would not learn why
		}
		tooMany(w, no)
		return
	}
	defer h.lim.leave(addr)
	x := &exchange{ResponseWriter: w, status: nethttp.StatusOK, body: r.Body, lim: h.lim, client: addr, length: int(r.ContentLength)}
	defer x.release()
	r.Body = x.reader()
	defer func() {
		if reason := recover(); reason != nil {
			if reason != nethttp.ErrAbortHandler {
				h.cfg.OnPanic(reason, debug.Stack())
			}
			panic(nethttp.ErrAbortHandler) // drops the connection without another log entry
		}
	}()
	if g := h.cfg.Gateway; g != nil && g.Claims(r) {
		start := time.Now()
		defer func() { h.cfg.Observe("gateway", x.status, time.Since(start)) }()
		g.ServeHTTP(x, r)
		return
	}
	h.mux.ServeHTTP(x, r)
}

// Drain waits until the requests that came before it are answered, for the end of the service: those that come meanwhile are served, too. When ctx ends, calls stop
// waiting for their certificates and are answered 202, and Drain returns without those that still are not answered.
func (h *Handler) Drain(ctx context.Context) {
	h.mu.Lock()
	before := h.serving
	h.serving, h.draining = new(sync.WaitGroup), true
	h.mu.Unlock()
	done := make(chan struct{})
	go func() {
		before.Wait()
		close(done)
	}()
	select {
	case <-done:
		return
	case <-ctx.Done():
	}
	h.hurry()
	select {
	case <-done:
	case <-time.After(hurryGrace):
	}
}

// hurryGrace is for answers that no longer wait for anything.
const hurryGrace = 500 * time.Millisecond

func (h *Handler) allowedHost(host string) bool {
	if len(h.cfg.AllowedHosts) == 0 {
		return true
	}
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	return slices.ContainsFunc(h.cfg.AllowedHosts, func(a string) bool {
		if strings.HasPrefix(a, ".") {
			return len(host) > len(a) && strings.EqualFold(a, host[len(host)-len(a):])
		}
		return strings.EqualFold(a, host)
	})
}

// tooMany answers a request that the limits refuse.
func tooMany(w nethttp.ResponseWriter, no *refusal) {
	w.Header().Set("Retry-After", strconv.Itoa(max(1, int(math.Ceil(no.wait.Seconds())))))
	nethttp.Error(w, no.text, nethttp.StatusTooManyRequests)
}

// failure is an HTTP error with its status.
type failure struct {
	status int
	text   string
}

func (f *failure) Error() string { return f.text }

func badRequest(format string, args ...any) error {
	return &failure{nethttp.StatusBadRequest, fmt.Sprintf(format, args...)}
}

func forbidden(format string, args ...any) error {
	return &failure{nethttp.StatusForbidden, fmt.Sprintf(format, args...)}
}

// expiryText is what clients look for in the text of a 400 to set their clock right and try again.
const expiryText = "Invalid request expiry: "

// classify chooses the HTTP status of an error.
func classify(err error) *failure {
	var f *failure
	switch {
	case errors.As(err, &f):
		return f
	case errors.Is(err, envelope.ErrExpired), errors.Is(err, envelope.ErrTooFarInFuture):
		return &failure{nethttp.StatusBadRequest, expiryText + err.Error()}
	case errors.Is(err, envelope.ErrTooLarge), errors.Is(err, ingress.ErrTooLarge):
		return &failure{nethttp.StatusRequestEntityTooLarge, err.Error()}
	case errors.Is(err, envelope.ErrMalformed), errors.Is(err, envelope.ErrUnsupported), errors.Is(err, envelope.ErrBadSignature),
		errors.Is(err, envelope.ErrSenderMismatch), errors.Is(err, envelope.ErrAnonymous), errors.Is(err, envelope.ErrDelegation):
		return &failure{nethttp.StatusBadRequest, err.Error()}
	case errors.Is(err, ErrBusy), errors.Is(err, ingress.ErrFull):
		return &failure{nethttp.StatusTooManyRequests, err.Error()}
	case errors.Is(err, ErrUnavailable), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return &failure{nethttp.StatusServiceUnavailable, err.Error()}
	}
	return nil
}

// route wraps an endpoint: cross-origin headers, errors, observation.
func (h *Handler) route(name string, serve func(w nethttp.ResponseWriter, r *nethttp.Request) error) nethttp.HandlerFunc {
	return func(w nethttp.ResponseWriter, r *nethttp.Request) {
		start := time.Now()
		allowOrigins(w)
		err := serve(w, r)
		var no *refusal
		switch {
		case errors.As(err, &no):
			tooMany(w, no)
		case err != nil:
			f := classify(err)
			if f == nil {
				h.cfg.Log.Error("request failed", "route", name, "error", err)
				f = &failure{nethttp.StatusInternalServerError, "internal error"}
			}
			if f.status == nethttp.StatusTooManyRequests || f.status == nethttp.StatusServiceUnavailable {
				w.Header().Set("Retry-After", "1")
			}
			nethttp.Error(w, f.text, f.status)
		}
		h.cfg.Observe(name, w.(*exchange).status, time.Since(start))
	}
}

const apiPrefix = "/api/"

// allowOrigins lets pages of every origin read the answer, errors too.
func allowOrigins(w nethttp.ResponseWriter) { w.Header().Set("Access-Control-Allow-Origin", "*") }

// otherMethod answers requests with a method that an endpoint does not serve: browsers that ask whether they may use the API, and
// others, to whom it says what is allowed; that is nothing where there is no endpoint.
func (h *Handler) otherMethod(allowed string) nethttp.HandlerFunc {
	return func(w nethttp.ResponseWriter, r *nethttp.Request) {
		allowOrigins(w)
		switch {
		case r.Method == nethttp.MethodOptions:
			hd := w.Header()
			hd.Set("Access-Control-Allow-Methods", "GET, POST, HEAD, OPTIONS")
			hd.Set("Access-Control-Allow-Headers", "Accept, Content-Type")
			hd.Set("Access-Control-Max-Age", "7200")
			w.WriteHeader(nethttp.StatusNoContent)
		case allowed == "":
			nethttp.NotFound(w, r)
		default:
			w.Header().Set("Allow", allowed+", OPTIONS")
			nethttp.Error(w, fmt.Sprintf("method %s is not allowed here", r.Method), nethttp.StatusMethodNotAllowed)
		}
	}
}

// What a Backend answers when nothing is wrong.
const (
	healthy = "healthy"
	ready   = "ready"
)

// answerIf answers 200 while a state is the good one, else 503, and the state in any case.
func answerIf(good string, state func() string) nethttp.HandlerFunc {
	return func(w nethttp.ResponseWriter, _ *nethttp.Request) {
		text := state()
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		if text != good {
			w.WriteHeader(nethttp.StatusServiceUnavailable)
		}
		_, _ = io.WriteString(w, text+"\n")
	}
}

func (h *Handler) status(w nethttp.ResponseWriter, _ *nethttp.Request) error {
	s := envelope.Status{RootKey: h.b.RootKeyDER(), ImplVersion: h.cfg.ImplVersion, Health: h.b.Health()}
	if snap := h.b.Snapshot(); snap != nil {
		s.CertifiedHeight = snap.Height
	}
	reply(w, s.Encode())
	return nil
}

const contentCBOR = "application/cbor"

func reply(w nethttp.ResponseWriter, body []byte) {
	w.Header().Set("Content-Type", contentCBOR)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(body) // a client that is gone is not our error
}

// request is a decoded request with where it was sent.
type request struct {
	version   int
	subnet    bool // sent to /subnet/<id>, not /canister/<id>
	effective principal.Principal
	env       *envelope.Envelope
	raw       []byte
	client    netip.Addr
	checked   func() // says that the expensive checks are done
	ctx       context.Context
}

// api registers an endpoint.
func (h *Handler) api(version int, scope, kind string, serve func(nethttp.ResponseWriter, *request) error) {
	name := fmt.Sprintf("v%d %s %s", version, scope, kind)
	pattern := fmt.Sprintf("%sv%d/%s/{id}/%s", apiPrefix, version, scope, kind)
	h.mux.HandleFunc(pattern, h.otherMethod("POST"))
	h.mux.HandleFunc("POST "+pattern, h.route(name, func(w nethttp.ResponseWriter, r *nethttp.Request) error {
		req := &request{version: version, subnet: scope == "subnet", client: w.(*exchange).client, ctx: r.Context()}
		if err := h.read(w, r, req, envelope.RequestType(kind)); err != nil {
			return err
		}
		units := req.env.Cost()
		if no := h.lim.check(req.client, units); no != nil {
			return no
		}
		req.checked = sync.OnceFunc(func() { h.lim.checked(units) })
		defer req.checked() // whatever happens
		return serve(w, req)
	}))
}

// read decodes a request and checks that it is of the endpoint's kind and, by its URL, for this subnet.
func (h *Handler) read(w nethttp.ResponseWriter, r *nethttp.Request, req *request, kind envelope.RequestType) error {
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != contentCBOR {
		return &failure{nethttp.StatusUnsupportedMediaType, fmt.Sprintf("content type is %q, want %q", r.Header.Get("Content-Type"), contentCBOR)}
	}
	if enc := r.Header.Get("Content-Encoding"); enc != "" && enc != "identity" {
		return &failure{nethttp.StatusUnsupportedMediaType, fmt.Sprintf("content encoding is %q: bodies are sent as they are", enc)}
	}
	id, err := principal.Parse(r.PathValue("id"))
	if err != nil {
		return badRequest("the id in the URL: %v", err)
	}
	req.effective = id
	if h.b.RootKeyDER() == nil {
		return fmt.Errorf("%w: the subnet has no key yet (%s)", ErrUnavailable, h.b.Health())
	}
	if req.subnet && id != h.b.SubnetID() {
		return badRequest("subnet %s is not here, this is %s", id, h.b.SubnetID())
	}
	if !req.subnet && !id.IsManagement() && !certificate.InRanges(h.b.CanisterRanges(), id) {
		return badRequest("canister_not_found: %s is not in the canister ranges of subnet %s", id, h.b.SubnetID())
	}
	if r.ContentLength > MaxBody {
		return &failure{nethttp.StatusRequestEntityTooLarge, fmt.Sprintf("body of %d bytes, at most %d", r.ContentLength, MaxBody)}
	}
	// Room for a large body is made when its beginning has come, which is when it counts (exchange).
	body := nethttp.MaxBytesReader(w, r.Body, MaxBody)
	buf := bytes.NewBuffer(make([]byte, 0, min(max(r.ContentLength, 0), freeMemory)+bytes.MinRead))
	if rest := int(r.ContentLength) - freeMemory; rest > 0 {
		if _, err = io.CopyN(buf, body, freeMemory+1); err == nil {
			buf.Grow(rest + bytes.MinRead)
		}
	}
	if err == nil {
		_, err = buf.ReadFrom(body)
	}
	if err != nil {
		var tooLarge *nethttp.MaxBytesError
		var no *refusal
		switch {
		case errors.As(err, &no):
			return no
		case errors.As(err, &tooLarge):
			return &failure{nethttp.StatusRequestEntityTooLarge, fmt.Sprintf("body larger than %d bytes", MaxBody)}
		}
		return badRequest("reading the body: %v", err)
	}
	req.raw = buf.Bytes()
	if req.env, err = envelope.Decode(req.raw); err != nil {
		return err
	}
	if got := req.env.Content.RequestType; got != kind {
		return badRequest("a %s request was sent to the %s endpoint", got, kind)
	}
	return nil
}

// checkEffective checks that the URL names the canister that a call or query is about (section "Effective canister id").
func (h *Handler) checkEffective(req *request) error {
	c := &req.env.Content
	query := c.RequestType == envelope.Query
	if c.CanisterID != principal.Management {
		if req.subnet {
			return badRequest("requests to the subnet are for the management canister, this one is for %s", c.CanisterID)
		}
		if req.effective != c.CanisterID {
			return badRequest("the URL names canister %s, the request %s", req.effective, c.CanisterID)
		}
		return nil
	}
	about, anyCanister, err := management.EffectiveCanister(c.MethodName, c.Arg, query)
	switch {
	case req.subnet && !(query && c.MethodName == "list_canisters") && !(!query && creates[c.MethodName]):
		return badRequest("method %q of the management canister cannot be called at the subnet's URL", c.MethodName)
	case err != nil || anyCanister || req.subnet:
		return nil // an error is the Backend's to report, as the reject of the call
	case creates[c.MethodName] && req.effective.IsManagement():
		return nil
	case req.effective != about:
		return badRequest("the URL names canister %s, the argument %s", req.effective, about)
	}
	return nil
}

// creates lists the methods that create a canister, whose effective id is any of the subnet's.
var creates = map[string]bool{"create_canister": true, "provisional_create_canister_with_cycles": true}

func (h *Handler) call(w nethttp.ResponseWriter, req *request) error {
	if err := h.checkEffective(req); err != nil {
		return err
	}
	id, err := h.b.Submit(req.ctx, req.env, req.raw)
	req.checked()
	var rej *envelope.Reject
	switch {
	case errors.As(err, &rej):
		if req.version == 2 {
			reply(w, rej.EncodeAsync())
		} else {
			reply(w, (&envelope.CallResponse{Reject: rej}).Encode())
		}
		return nil
	case err != nil && !errors.Is(err, ingress.ErrDuplicate):
		return err
	}
	defer h.cfg.Answered(id)
	if req.version == 2 {
		w.WriteHeader(nethttp.StatusAccepted)
		return nil
	}
	ctx, cancel := context.WithTimeout(req.ctx, h.cfg.CallTimeout)
	defer cancel()
	defer context.AfterFunc(h.patience, cancel)()
	snap, err := h.b.WaitCertified(ctx, id)
	if err != nil {
		// Whatever went wrong with waiting, the call is on its way: the client can ask again.
		w.WriteHeader(nethttp.StatusAccepted)
		if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
			h.cfg.Log.Warn("waiting for a call's certificate", "request", fmt.Sprintf("%x", id), "error", err)
		}
		return nil
	}
	reply(w, (&envelope.CallResponse{Certificate: snap.Certify([][]byte{labelRequest, id[:]})}).Encode())
	return nil
}

// verify authenticates a query or a read and returns its id.
func (h *Handler) verify(req *request) (envelope.ID, error) {
	defer req.checked()
	if err := req.env.CheckTimes(h.b.NowNs()); err != nil {
		return envelope.ID{}, err
	}
	return req.env.VerifySignature(h.b.Verifier())
}

func (h *Handler) query(w nethttp.ResponseWriter, req *request) error {
	if err := h.checkEffective(req); err != nil {
		return err
	}
	id, err := h.verify(req)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(req.ctx, h.cfg.QueryTimeout)
	defer cancel()
	c := &req.env.Content
	var out envelope.QueryResponse
	if out.Reply, err = h.b.Query(ctx, c); err != nil && !errors.As(err, &out.Reject) {
		return err
	}
	now := h.b.NowNs()
	sig, err := h.b.SignQuery(out.SignedBytes(id, now))
	if err != nil {
		return fmt.Errorf("signing a query response: %w", err)
	}
	out.Signatures = []envelope.NodeSignature{{Timestamp: now, Signature: sig, Identity: h.b.NodeID()}}
	reply(w, out.Encode())
	return nil
}

func (h *Handler) readState(w nethttp.ResponseWriter, req *request) error {
	if _, err := h.verify(req); err != nil {
		return err
	}
	snap := h.b.Snapshot()
	if snap == nil {
		return fmt.Errorf("%w: no certified state yet (%s)", ErrUnavailable, h.b.Health())
	}
	if err := h.checkPaths(req, snap); err != nil {
		return err
	}
	reply(w, (&envelope.ReadStateResponse{Certificate: snap.Certify(req.env.Content.Paths...)}).Encode())
	return nil
}
