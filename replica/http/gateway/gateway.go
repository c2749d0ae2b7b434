package gateway

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	nethttp "net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"fusion/ic/candid"
	"fusion/ic/certificate"
	"fusion/ic/envelope"
	"fusion/ic/hashtree"
	"fusion/ic/httpcert"
	"fusion/ic/identity"
	"fusion/ic/principal"
	"fusion/internal/pause"
	replicahttp "fusion/replica/http"
)

// Backend is what the gateway needs of a replica: a part of the Backend of package http, with the same meaning.
type Backend interface {
	RootKeyDER() []byte
	CanisterRanges() []certificate.Range
	Health() string
	NowNs() uint64
	Snapshot() *replicahttp.Snapshot
	MayReadMetadata(canister principal.Principal, name string, user principal.Principal) bool
	Query(ctx context.Context, c *envelope.Content) (reply []byte, err error)
	Submit(ctx context.Context, env *envelope.Envelope, raw []byte) (envelope.ID, error)
	WaitCertified(ctx context.Context, id envelope.ID) (*replicahttp.Snapshot, error)
}

// Config tunes a Gateway. The zero value works, for canisters below localhost.
type Config struct {
	// Domains are the names below which a label is a canister id. The default is localhost.
	Domains []string
	// QueryTimeout bounds one query, FetchTimeout all queries of a response or of one range of it, CallTimeout an update call from its submission to its
	// certificate. The defaults are 10 s, 60 s and 30 s.
	QueryTimeout, FetchTimeout, CallTimeout time.Duration
	// MaxRequest bounds a request's body in bytes. The default is 2,000,000: with its headers it must fit in a message of 2 MiB.
	MaxRequest int64
	// MaxBody bounds a response's body that is held back until it is verified, in bytes, and MaxHeld all such bodies together. The defaults
	// are 32 MiB and 256 MiB. What is larger must come in certified ranges.
	MaxBody, MaxHeld int64
	// MaxParts bounds the streamed parts or ranges of a response. The default is 2000.
	MaxParts int
	// MaxRequests bounds the requests in progress. The default is 128.
	MaxRequests int
	// MaxAge is how far the time of a certificate may be from now. The default is 5 minutes, as the specification suggests.
	MaxAge time.Duration
	// Log receives failures. The default is slog.Default().
	Log *slog.Logger
}

func (c *Config) ensureDefaults() {
	if len(c.Domains) == 0 {
		c.Domains = []string{"localhost"}
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	setDefault(&c.QueryTimeout, 10*time.Second)
	setDefault(&c.FetchTimeout, 60*time.Second)
	setDefault(&c.CallTimeout, 30*time.Second)
	setDefault(&c.MaxAge, 5*time.Minute)
	setDefault(&c.MaxRequest, 2_000_000)
	setDefault(&c.MaxBody, 32<<20)
	setDefault(&c.MaxHeld, 256<<20)
	setDefault(&c.MaxParts, 2000)
	setDefault(&c.MaxRequests, 128)
}

func setDefault[T int | int64 | time.Duration](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}

// Gateway serves canisters' pages. It is a net/http.Handler for the requests that it claims.
type Gateway struct {
	b        Backend
	cfg      Config
	verifier atomic.Pointer[certificate.Verifier]
	slots    chan struct{}
	held     atomic.Int64
}

// New makes a gateway of a replica.
func New(b Backend, cfg Config) *Gateway {
	cfg.ensureDefaults()
	return &Gateway{b: b, cfg: cfg, slots: make(chan struct{}, cfg.MaxRequests)}
}

// ServeHTTP implements net/http.Handler.
func (g *Gateway) ServeHTTP(w nethttp.ResponseWriter, r *nethttp.Request) {
	select {
	case g.slots <- struct{}{}:
		defer func() { <-g.slots }()
	default:
		g.refuse(w, r, &problem{status: nethttp.StatusTooManyRequests, title: "Too many requests", text: "The gateway is busy with other requests.", next: "Try again in a moment."})
		return
	}
	x, err := g.begin(w, r)
	if err == nil {
		defer x.release()
		err = x.serve()
	}
	if err != nil {
		g.refuse(w, r, err)
	}
}

// exchange is one request and what becomes of it.
type exchange struct {
	*Gateway
	target
	w    nethttp.ResponseWriter
	r    *nethttp.Request
	req  *httpcert.Request
	held int64 // bytes that count against MaxHeld
}

// begin reads a request.
func (g *Gateway) begin(w nethttp.ResponseWriter, r *nethttp.Request) (*exchange, error) {
	t, err := g.resolve(r)
	switch {
	case errors.Is(err, errNoCanister):
		return nil, &problem{status: nethttp.StatusNotFound, title: "This is a fusion replica", text: "Its canisters have addresses of their own.",
			next: fmt.Sprintf("Open http://CANISTER-ID.%s/ for the page of a canister.", r.Host)}
	case err != nil:
		return nil, &problem{status: nethttp.StatusBadRequest, title: "No such address", text: err.Error() + ".",
			next: "The address of a canister's page is http://CANISTER-ID.DOMAIN/, or .raw before the domain for pages that are not certified."}
	}
	if t.shared && r.Header.Get("Service-Worker") != "" {
		return nil, &problem{status: nethttp.StatusForbidden, title: "No service workers here", text: "All canisters share this host, and a service worker would answer for all of them.",
			next: "Open the page at the canister's own host."}
	}
	if g.b.RootKeyDER() == nil {
		return nil, g.notReady(nil)
	}
	if !certificate.InRanges(g.b.CanisterRanges(), t.canister) {
		return nil, &problem{status: nethttp.StatusNotFound, title: "No such canister", text: fmt.Sprintf("Canister %s is not on this subnet.", t.canister), next: "Check the address."}
	}
	w.Header().Set("X-Ic-Canister-Id", t.canister.String())
	body, err := io.ReadAll(nethttp.MaxBytesReader(w, r.Body, g.cfg.MaxRequest))
	var tooLarge *nethttp.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, &problem{status: nethttp.StatusRequestEntityTooLarge, title: "The request is too large", text: fmt.Sprintf("A canister takes requests of at most %d bytes.", g.cfg.MaxRequest),
			next: "Send it in parts."}
	case err != nil:
		return nil, &problem{status: nethttp.StatusBadRequest, title: "The request broke off", text: err.Error() + ".", next: "Try again."}
	}
	req, err := translate(r, t, body)
	if err != nil {
		return nil, &problem{status: nethttp.StatusBadRequest, title: "The request cannot be passed on", text: err.Error() + ".", next: "Canisters take text in headers and URLs."}
	}
	return &exchange{Gateway: g, target: t, w: w, r: r, req: req}, nil
}

func (g *Gateway) notReady(cause error) *problem {
	return &problem{status: nethttp.StatusServiceUnavailable, title: "The replica is not ready", text: fmt.Sprintf("State of the replica: %s.", g.b.Health()),
		next: "Wait until `fusion status` says healthy and reload.", cause: cause}
}

func (x *exchange) release() { x.Gateway.held.Add(-x.held) }

// hold counts n more bytes of a body that waits to be verified.
func (x *exchange) hold(n int) error {
	x.held += int64(n)
	if all := x.Gateway.held.Add(int64(n)); x.held > x.cfg.MaxBody {
		return &problem{status: nethttp.StatusBadGateway, title: "The page is too large", text: fmt.Sprintf("The gateway verifies bodies of at most %d bytes as a whole.", x.cfg.MaxBody),
			next: "The canister's author can serve it in certified ranges (status 206)."}
	} else if all > x.cfg.MaxHeld {
		return &problem{status: nethttp.StatusServiceUnavailable, title: "The gateway is busy", text: "Too many large pages are on their way.", next: "Try again in a moment."}
	}
	return nil
}

// extend gives the browser time to take what comes next. The server's own limit is for short answers.
func (x *exchange) extend(d time.Duration) {
	// A writer without deadlines, as in tests, has none to extend.
	_ = nethttp.NewResponseController(x.w).SetWriteDeadline(time.Now().Add(d))
}

// A reader has slack for each piece of a body: it may be slow, but not idle.
const (
	slack = 30 * time.Second
	piece = 1 << 20
)

// send writes a body.
func (x *exchange) send(body []byte) error {
	for b := range slices.Chunk(body, piece) {
		x.extend(slack)
		if _, err := x.w.Write(b); err != nil {
			return err
		}
	}
	return nil
}

func (x *exchange) serve() error {
	x.extend(x.cfg.FetchTimeout + x.cfg.CallTimeout + slack)
	res, upgrade, verified, err := x.fetch(x.req)
	if err != nil {
		return err
	}
	if upgrade {
		if res, err = x.update(); err != nil {
			return err
		}
		return x.write(res, res.Headers, len(res.Body))
	}
	headers, err := x.passable(res, verified)
	if err != nil {
		return err
	}
	if _, asked := httpcert.Get(x.req.Headers, "range"); res.Status == nethttp.StatusPartialContent && !asked {
		return x.ranges(res, headers)
	}
	return x.write(res, headers, len(res.Body))
}

// stateRetries is how often a response is fetched again whose query saw a newer state than the certified one: the certificate of that state is milliseconds away.
const (
	stateRetries = 5
	stateWait    = 40 * time.Millisecond
)

// fetch gets a verified response to a request, or the wish to be asked by an update call. verified is nil for raw ones.
func (x *exchange) fetch(req *httpcert.Request) (res *httpcert.Response, upgrade bool, verified *httpcert.Verified, err error) {
	ctx, cancel := context.WithTimeout(x.r.Context(), x.cfg.FetchTimeout)
	defer cancel()
	for try := 0; ; try++ {
		if res, upgrade, err = x.query(ctx, req); err != nil || upgrade || x.raw {
			return res, upgrade, nil, err
		}
		if verified, err = x.verify(x.canister, req, res); err == nil {
			return res, false, verified, nil
		}
		if !errors.Is(err, errOtherState) || try == stateRetries {
			break
		}
		x.Gateway.held.Add(-x.held)
		x.held = 0
		if err := pause.For(ctx, stateWait); err != nil {
			return nil, false, nil, x.failed("http_request", err)
		}
	}
	p := &problem{status: nethttp.StatusServiceUnavailable, title: "This page is not shown", cause: err,
		text: fmt.Sprintf("The canister's answer is not what the subnet certified, so it may have been changed on the way.\n\n%v.", err),
		next: "Reload the page. If it stays like this, the canister's author has to correct its certification."}
	if errors.Is(err, httpcert.ErrUncertified) {
		p.text = fmt.Sprintf("The canister did not certify its answer, so nobody can tell whether one replica made it up (%v).", err)
		p.next = "The canister's author can certify it. To see it nevertheless, put .raw between the canister id and the domain in the address."
	}
	return nil, false, nil, p
}

// query asks the canister and collects the whole body.
func (x *exchange) query(ctx context.Context, req *httpcert.Request) (res *httpcert.Response, upgrade bool, err error) {
	arg, err := candid.Marshal(*req)
	if err != nil {
		return nil, false, fmt.Errorf("encoding the request: %w", err)
	}
	reply, err := x.ask(ctx, "http_request", arg)
	if err != nil {
		return nil, false, err
	}
	a, err := decodeAnswer(reply)
	if err != nil {
		return nil, false, x.nonsense(err)
	}
	if a.Upgrade != nil && *a.Upgrade {
		return nil, true, nil
	}
	if err := x.hold(len(a.Body)); err != nil {
		return nil, false, err
	}
	res = &httpcert.Response{Status: a.Status, Headers: a.Headers, Body: a.Body}
	if a.Streaming == nil {
		return res, false, nil
	}
	next, err := decodeCallback(reply, x.canister)
	for parts := 0; err == nil && next != nil; parts++ {
		if parts == x.cfg.MaxParts {
			err = fmt.Errorf("%w: it streams more than %d parts", errReply, parts)
			break
		}
		var body []byte
		if reply, err = x.ask(ctx, next.method, next.token); err != nil {
			return nil, false, err
		}
		if body, next, err = next.decodePart(reply); err != nil {
			break
		}
		if err := x.hold(len(body)); err != nil {
			return nil, false, err
		}
		res.Body = append(res.Body, body...)
	}
	if err != nil {
		return nil, false, x.nonsense(err)
	}
	return res, false, nil
}

func decodeAnswer(reply []byte) (*answer, error) {
	a := new(answer)
	if err := candid.Unmarshal(reply, a); err != nil {
		return nil, fmt.Errorf("%w: %w", errReply, err)
	}
	return a, nil
}

func (x *exchange) nonsense(err error) error {
	return &problem{status: nethttp.StatusBadGateway, title: "The canister's answer cannot be read", text: err.Error() + ".", next: "The canister's author has to correct it.", cause: err}
}

// ask makes an anonymous query call.
func (x *exchange) ask(ctx context.Context, method string, arg []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, x.cfg.QueryTimeout)
	defer cancel()
	reply, err := x.b.Query(ctx, &envelope.Content{RequestType: envelope.Query, Sender: principal.Anonymous, CanisterID: x.canister, MethodName: method, Arg: arg,
		IngressExpiry: x.b.NowNs() + uint64(x.cfg.QueryTimeout)})
	if err != nil {
		return nil, x.failed(method, err)
	}
	return reply, nil
}

// Error codes of the interface specification that have a meaning of their own here.
const (
	methodNotFound = "IC0536"
	moduleNotFound = "IC0537"
)

// failed says why a call has no reply.
func (x *exchange) failed(method string, err error) error {
	var rej *envelope.Reject
	switch {
	case errors.As(err, &rej) && rej.Code == 3:
		return &problem{status: nethttp.StatusNotFound, title: "No such canister", text: fmt.Sprintf("There is no canister %s.", x.canister), next: "Check the address.", cause: err}
	case errors.As(err, &rej) && (rej.ErrorCode == methodNotFound && method == "http_request" || rej.ErrorCode == moduleNotFound):
		return &problem{status: nethttp.StatusNotFound, title: "This canister serves no pages", text: fmt.Sprintf("Canister %s has no method http_request.", x.canister),
			next: "Call its methods with an agent instead.", cause: err}
	case errors.As(err, &rej) && rej.Code == 2:
		return &problem{status: nethttp.StatusServiceUnavailable, title: "The canister cannot answer now", text: rej.Message, next: "Try again in a moment.", cause: err}
	case errors.As(err, &rej):
		return &problem{status: nethttp.StatusBadGateway, title: "The canister failed", text: fmt.Sprintf("Its method %s: %v", method, rej), next: "The canister's author has to correct it; its log may say more.", cause: err}
	case errors.Is(err, replicahttp.ErrBusy):
		return &problem{status: nethttp.StatusTooManyRequests, title: "The replica is busy", text: "It has more calls than it can take.", next: "Try again in a moment.", cause: err}
	case errors.Is(err, context.DeadlineExceeded):
		return &problem{status: nethttp.StatusServiceUnavailable, title: "The canister took too long", text: fmt.Sprintf("Its method %s did not answer in time.", method), next: "Try again later.", cause: err}
	case errors.Is(err, replicahttp.ErrUnavailable):
		return x.notReady(err)
	}
	return fmt.Errorf("calling %s of %s: %w", method, x.canister, err)
}

// update repeats the request as an update call and returns its certified answer.
func (x *exchange) update() (*httpcert.Response, error) {
	const method = "http_request_update"
	arg, err := candid.Marshal(httpcert.UpdateRequest{Method: x.req.Method, URL: x.req.URL, Headers: x.req.Headers, Body: x.req.Body})
	if err != nil {
		return nil, fmt.Errorf("encoding the request: %w", err)
	}
	nonce := make([]byte, 16)
	if _, err := rand.Read(nonce); err != nil {
		return nil, fmt.Errorf("making a nonce: %w", err)
	}
	// The call expires soon after its reader gave up, lest it be executed when nobody expects it any more.
	env, err := envelope.Sign(envelope.Content{RequestType: envelope.Call, Nonce: nonce, CanisterID: x.canister, MethodName: method, Arg: arg,
		IngressExpiry: x.b.NowNs() + uint64(x.cfg.CallTimeout)}, identity.Anonymous{})
	if err != nil {
		return nil, fmt.Errorf("signing the call: %w", err)
	}
	ctx, cancel := context.WithTimeout(x.r.Context(), x.cfg.CallTimeout)
	defer cancel()
	id, err := x.b.Submit(ctx, env, env.Encode())
	switch {
	case errors.Is(err, envelope.ErrTooLarge):
		return nil, &problem{status: nethttp.StatusRequestEntityTooLarge, title: "The request is too large", text: "It does not fit in one update call.", next: "Send it in parts.", cause: err}
	case err != nil:
		return nil, x.failed(method, err)
	}
	snap, err := x.b.WaitCertified(ctx, id)
	if err != nil {
		return nil, &problem{status: nethttp.StatusServiceUnavailable, title: "The outcome is not known yet", text: "The subnet has the request and has not answered it in time. It may still take effect.",
			next: "Look whether it did before you send it again.", cause: err}
	}
	base := [][]byte{[]byte("request_status"), id[:]}
	c, err := x.certified(snap.Certify(base), x.canister)
	if err != nil {
		return nil, &problem{status: nethttp.StatusServiceUnavailable, title: "The answer does not verify", text: err.Error() + ".", next: "Look whether the request took effect before you send it again.", cause: err}
	}
	at := func(label string) ([]byte, hashtree.Result) {
		found, v := c.Lookup(append(base[:2:2], []byte(label))...)
		return v, found
	}
	if status, _ := at("status"); string(status) != "replied" {
		code, _ := at("reject_code")
		text, _ := at("reject_message")
		errorCode, _ := at("error_code")
		n, _ := certificate.DecodeNat(code) // 0 for a call that is done, of which nothing is kept
		return nil, x.failed(method, &envelope.Reject{Code: n, Message: string(text), ErrorCode: string(errorCode)})
	}
	reply, found := at("reply")
	if found != hashtree.Found {
		return nil, fmt.Errorf("the certificate of a replied call has no reply: %v", found)
	}
	a, err := decodeAnswer(reply)
	if err == nil && a.Streaming != nil {
		err = fmt.Errorf("%w: the answer of an update call streams, which nobody can verify", errReply)
	}
	if err != nil {
		return nil, x.nonsense(err)
	}
	return &httpcert.Response{Status: a.Status, Headers: a.Headers, Body: a.Body}, nil
}

// lasting lists the headers that version 1, which does not certify headers, must not be able to set: a single replica could make their effects last, or lead elsewhere.
var lasting = map[string]bool{"cache-control": true, "expires": true, "age": true, "last-modified": true, "set-cookie": true, "location": true, "refresh": true, "clear-site-data": true,
	"service-worker-allowed": true, "alt-svc": true, "strict-transport-security": true, "link": true, "sourcemap": true, "speculation-rules": true, "use-as-dictionary": true,
	"nel": true, "report-to": true, "reporting-endpoints": true, "accept-ch": true, "critical-ch": true}

// passable returns the headers of a response that may be passed on.
func (x *exchange) passable(res *httpcert.Response, v *httpcert.Verified) ([]httpcert.HeaderField, error) {
	switch {
	case v == nil || v.Skipped:
		return res.Headers, nil
	case v.Version >= 2:
		return v.Headers, nil
	}
	if res.Status >= 300 && res.Status < 400 {
		return nil, &problem{status: nethttp.StatusBadGateway, title: "This redirect is not followed", text: "The canister certifies by version 1, which does not cover where a redirect leads.",
			next: "The canister's author can use version 2."}
	}
	var out []httpcert.HeaderField
	for _, h := range res.Headers {
		if !lasting[strings.ToLower(h.Name)] {
			out = append(out, h)
		}
	}
	return append(out, httpcert.HeaderField{Name: "Cache-Control", Value: "no-cache"}), nil // nor may a browser keep it by a rule of its own
}

// maxHeaders bounds the headers of a response in bytes. Browsers and proxies take less.
const maxHeaders = 64 << 10

// write sends a response whose body has length bytes, of which res.Body is the beginning.
func (x *exchange) write(res *httpcert.Response, headers []httpcert.HeaderField, length int) error {
	if res.Status < 200 || res.Status > 599 {
		return x.nonsense(fmt.Errorf("%w: status %d", errReply, res.Status))
	}
	var connection []string
	size := 0
	for _, h := range headers {
		if !validHeader(h) {
			return x.nonsense(fmt.Errorf("%w: %.40q is not a header", errReply, h.Name))
		}
		if !strings.EqualFold(h.Name, httpcert.HeaderCertificate) { // large, and not passed on
			size += len(h.Name) + len(h.Value) + 4
		}
		if size > maxHeaders {
			return x.nonsense(fmt.Errorf("%w: more than %d bytes of headers", errReply, maxHeaders))
		}
		if strings.EqualFold(h.Name, "connection") {
			connection = append(connection, h.Value)
		}
	}
	drop := hopOf(connection)
	out := x.w.Header()
	out.Set("X-Content-Type-Options", "nosniff")
	typed := false
	for _, h := range headers {
		name := strings.ToLower(h.Name)
		switch {
		case drop(name), name == httpcert.HeaderCertificate, name == httpcert.HeaderExpression, name == "x-content-type-options", name == "x-ic-canister-id":
		case name == "set-cookie":
			if !x.shared {
				out.Add(h.Name, ownCookie(h.Value))
			}
		default:
			typed = typed || name == "content-type"
			out.Add(h.Name, h.Value)
		}
	}
	if !typed {
		out["Content-Type"] = nil // not guessed: what the canister did not say a browser takes as plain bytes
	}
	bodiless := res.Status == nethttp.StatusNoContent || res.Status == nethttp.StatusNotModified
	if !bodiless {
		n := strconv.Itoa(length)
		if claimed, ok := httpcert.Get(headers, "content-length"); ok && x.r.Method == nethttp.MethodHead && length == 0 {
			n = claimed
		}
		if _, err := strconv.ParseUint(n, 10, 63); err == nil {
			out.Set("Content-Length", n)
		}
	}
	x.w.WriteHeader(int(res.Status))
	if !bodiless && x.r.Method != nethttp.MethodHead {
		_ = x.send(res.Body) // a browser that is gone is not our error
	}
	return nil
}

// validHeader reports whether a header can be sent (RFC 9110, section 5).
func validHeader(h httpcert.HeaderField) bool {
	for i := range len(h.Name) {
		c := h.Name[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	for i := range len(h.Value) {
		if c := h.Value[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return h.Name != ""
}

// ownCookie takes from a cookie the attribute that would share it with other canisters.
func ownCookie(v string) string {
	parts := strings.Split(v, ";")
	kept := parts[:1]
	for _, p := range parts[1:] {
		if name, _, _ := strings.Cut(p, "="); !strings.EqualFold(strings.TrimSpace(name), "domain") {
			kept = append(kept, p)
		}
	}
	return strings.Join(kept, ";")
}
