package https

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Limits of responses (interface specification, http_request).
const (
	maxHeaders      = 64
	maxHeaderField  = 8 << 10 // bytes of a name, and of a value
	maxHeadersTotal = 48 << 10
	// maxHeaderBytes is where reading headers ends: the allowed ones with separators, and a status line.
	maxHeaderBytes = maxHeadersTotal + 4*maxHeaders + 4<<10
)

// userAgent is sent where the canister sends none (interface specification, http_request).
const userAgent = "ic/1.0"

// Config of a Client. The zero value reaches the public internet with the system's roots.
type Config struct {
	// Roots verify servers; the default is the system's.
	Roots *x509.CertPool
	// Allow says what may be reached beside the public internet.
	Allow Rules
	// AllowHTTP lets requests go without TLS.
	AllowHTTP bool
	// Hosts sends connections for a host ("api.example.com", or with a port) to another address, host:port, whatever DNS says. They need no further permission.
	Hosts map[string]string
	// Timeout bounds a request from the first packet to the last byte. The default is 30 s, as on the Internet Computer.
	Timeout time.Duration
	// Log gets the details of failures, at debug level. The default discards.
	Log *slog.Logger

	resolver *net.Resolver       // of tests
	own      func() []netip.Addr // of tests
}

// Header is a header of a request or a response.
type Header struct{ Name, Value string }

// Request is what a canister asks for.
type Request struct {
	URL     string
	Method  string
	Headers []Header
	Body    []byte
	// MaxResponseBytes bounds the response's header names and values and its body together.
	MaxResponseBytes int64
}

// Response is what the server said.
type Response struct {
	Status  int
	Headers []Header // names in lower case, sorted by name; values of one name as they came
	Body    []byte
}

// Errors of Do; test with errors.Is. They come within an *Error.
var (
	ErrRequest     = errors.New("the request cannot be made")
	ErrForbidden   = errors.New("the address may not be reached")
	ErrUnreachable = errors.New("no connection")
	ErrTimeout     = errors.New("timeout")
	ErrTooLarge    = errors.New("the response is too large")
	ErrMalformed   = errors.New("the response is malformed")
)

// Error is a failed request. Message is the same wherever the same failed; what it does not say is in the log.
type Error struct {
	Kind    error // one of the above
	Message string
}

func (e *Error) Error() string { return e.Message }
func (e *Error) Unwrap() error { return e.Kind }

func failure(kind error, format string, args ...any) *Error {
	return &Error{kind, fmt.Sprintf(format, args...)}
}

// Client makes requests. It keeps nothing between them and may be used from many goroutines.
type Client struct{ cfg Config }

// New makes a client.
func New(cfg Config) (*Client, error) {
	if cfg.Timeout == 0 {
		cfg.Timeout = 30 * time.Second
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.own == nil {
		cfg.own = ownAddresses
	}
	hosts := map[string]string{}
	for from, to := range cfg.Hosts {
		if _, _, err := net.SplitHostPort(to); err != nil {
			return nil, fmt.Errorf("https: host %q goes to %q, want host:port", from, to)
		}
		hosts[hostName(from)] = to
	}
	cfg.Hosts = hosts
	return &Client{cfg}, nil
}

// Do makes a request. The error, if any, is an *Error, or the context's when that was cancelled.
func (c *Client) Do(ctx context.Context, r Request) (*Response, error) {
	caller := ctx
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	res, host, err := c.do(ctx, r)
	if err == nil {
		return res, nil
	}
	if errors.Is(caller.Err(), context.Canceled) {
		return nil, caller.Err()
	}
	var e *Error
	if !errors.As(err, &e) {
		e = explain(ctx, host, err)
	}
	c.cfg.Log.Debug("outcall failed", "url", r.URL, "failure", e.Message, "err", err)
	return nil, e
}

func (c *Client) do(ctx context.Context, r Request) (_ *Response, host string, err error) {
	u, err := c.parse(r.URL)
	if err != nil {
		return nil, "", err
	}
	host = u.Hostname()
	req, err := http.NewRequestWithContext(ctx, r.Method, u.String(), bytes.NewReader(r.Body))
	if err != nil {
		return nil, host, failure(ErrRequest, "Failed to make the request")
	}
	if len(r.Body) == 0 {
		req.Body, req.ContentLength = http.NoBody, 0
	}
	if err := setHeaders(req, r.Headers); err != nil {
		return nil, host, err
	}
	transport := c.transport(host)
	defer transport.CloseIdleConnections()
	res, err := transport.RoundTrip(req) // a transport alone follows no redirects and keeps no cookies
	if err != nil {
		return nil, host, err
	}
	defer res.Body.Close()
	out, err := read(res, r.MaxResponseBytes, r.Method)
	return out, host, err
}

// parse checks a URL.
func (c *Client) parse(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, failure(ErrRequest, "Failed to parse URL")
	}
	if u.Scheme != "https" && !(u.Scheme == "http" && c.cfg.AllowHTTP) {
		return nil, failure(ErrRequest, "Url need to specify https scheme")
	}
	if u.Hostname() == "" || u.Opaque != "" {
		return nil, failure(ErrRequest, "Failed to parse URL: it names no host")
	}
	if u.User != nil {
		return nil, failure(ErrRequest, "Failed to parse URL: it has a user; send an authorization header instead")
	}
	u.Fragment, u.RawFragment = "", ""
	return u, nil
}

const alphanumeric = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

const (
	tokenChars = alphanumeric + "!#$%&'*+-.^_`|~" // RFC 9110, section 5.6.2
	hostChars  = alphanumeric + "-._~%!$&'()*+,;=:[]"
)

func validName(s string) bool { return s != "" && strings.Trim(s, tokenChars) == "" }

// validValue refuses control characters, with which a value could end its line.
func validValue(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}

// managed are headers that the transport writes itself from what the request is: a canister cannot make them lie.
var managed = []string{"Content-Length", "Transfer-Encoding", "Trailer", "Connection", "Keep-Alive", "Proxy-Connection", "Upgrade", "Te", "Expect"}

func setHeaders(req *http.Request, headers []Header) error {
	for _, h := range headers {
		if !validName(h.Name) {
			return failure(ErrRequest, "Failed to parse headers: a name is not valid")
		}
		if !validValue(h.Value) {
			return failure(ErrRequest, "Failed to parse headers: the value of %s is not valid", strings.ToLower(h.Name))
		}
		name := http.CanonicalHeaderKey(h.Name)
		switch {
		case name == "Host":
			if strings.Trim(h.Value, hostChars) != "" || h.Value == "" {
				return failure(ErrRequest, "Failed to parse headers: the value of host is not valid")
			}
			req.Host = h.Value
		case slices.Contains(managed, name):
		default:
			req.Header.Add(name, h.Value)
		}
	}
	if len(req.Header["User-Agent"]) == 0 {
		req.Header.Set("User-Agent", userAgent)
	}
	return nil
}

// transport makes a transport of one connection to a host.
func (c *Client) transport(host string) *http.Transport {
	dialer := &net.Dialer{Resolver: c.cfg.resolver, KeepAlive: -1,
		// It is called with the address that is connected to, and for each that is tried.
		ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
			at, err := netip.ParseAddrPort(address)
			if err != nil || !c.cfg.Allow.allow(host, at.Addr(), c.cfg.own) {
				return fmt.Errorf("%w: %s", ErrForbidden, address)
			}
			return nil
		}}
	return &http.Transport{
		Proxy:                  nil, // never the environment's
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxHeaderBytes,
		TLSClientConfig:        &tls.Config{RootCAs: c.cfg.Roots, MinVersion: tls.VersionTLS12},
		TLSNextProto:           map[string]func(string, *tls.Conn) http.RoundTripper{}, // HTTP/1.1 only
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			to, ok := c.cfg.Hosts[hostName(address)]
			if !ok {
				to, ok = c.cfg.Hosts[hostName(host)]
			}
			if ok {
				return (&net.Dialer{KeepAlive: -1}).DialContext(ctx, network, to)
			}
			return dialer.DialContext(ctx, network, address)
		},
	}
}

// read takes a response in, within the limits.
func read(res *http.Response, most int64, method string) (*Response, error) {
	out := &Response{Status: res.StatusCode}
	total := int64(0)
	for name, values := range res.Header {
		for _, v := range values {
			if len(name) > maxHeaderField || len(v) > maxHeaderField {
				return nil, failure(ErrTooLarge, "A header of the response exceeds %d bytes", maxHeaderField)
			}
			for i := range len(v) {
				if v[i] >= 0x80 || v[i] < ' ' && v[i] != '\t' { // text in Candid, and what its bytes mean is nowhere said
					return nil, failure(ErrMalformed, "Failed to parse headers: a value has bytes that are not ASCII")
				}
			}
			total += int64(len(name) + len(v))
			out.Headers = append(out.Headers, Header{strings.ToLower(name), v})
		}
	}
	switch {
	case len(out.Headers) > maxHeaders:
		return nil, failure(ErrTooLarge, "The response has more than %d headers", maxHeaders)
	case total > maxHeadersTotal:
		return nil, failure(ErrTooLarge, "The headers of the response exceed %d bytes", maxHeadersTotal)
	case total > most:
		return nil, failure(ErrTooLarge, "Header size exceeds specified response size limit %d", most)
	}
	slices.SortStableFunc(out.Headers, func(a, b Header) int { return strings.Compare(a.Name, b.Name) })
	large := failure(ErrTooLarge, "Http body exceeds size limit of %d bytes.", most)
	if res.ContentLength > most-total && method != http.MethodHead {
		return nil, large
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, most-total+1))
	if int64(len(body)) > most-total {
		return nil, large
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errBody, err)
	}
	out.Body = body
	return out, nil
}

// errBody marks what happens after the headers.
var errBody = errors.New("reading the body")

// explain names a failure in the same words at every replica.
func explain(ctx context.Context, host string, err error) *Error {
	connecting := func(kind error, why string) *Error {
		return failure(kind, "Connecting to %.50s failed: %s", host, why)
	}
	var dns *net.DNSError
	var op *net.OpError
	var alert tls.AlertError
	var record tls.RecordHeaderError
	var verify *tls.CertificateVerificationError
	timeout := func() bool {
		var t interface{ Timeout() bool }
		return errors.Is(ctx.Err(), context.DeadlineExceeded) || errors.As(err, &t) && t.Timeout()
	}
	switch {
	case errors.Is(err, ErrForbidden):
		return connecting(ErrForbidden, "its address is not on the public internet")
	case errors.As(err, &dns) && !dns.IsTimeout && ctx.Err() == nil:
		return connecting(ErrUnreachable, "the name does not resolve")
	case errors.As(err, &verify):
		return connecting(ErrUnreachable, "the certificate is not valid")
	case timeout():
		return failure(ErrTimeout, "Timeout expired")
	case errors.Is(err, syscall.ECONNREFUSED):
		return connecting(ErrUnreachable, "Connection refused")
	case errors.As(err, &record), errors.As(err, &alert), strings.Contains(err.Error(), "tls: "):
		return connecting(ErrUnreachable, "the TLS handshake failed")
	case errors.As(err, &op) && op.Op == "dial":
		return connecting(ErrUnreachable, "no route")
	case errors.Is(err, errBody):
		return failure(ErrMalformed, "Failed to fetch body")
	case strings.Contains(err.Error(), "server response headers exceeded"):
		return failure(ErrTooLarge, "The headers of the response exceed %d bytes", maxHeadersTotal)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return connecting(ErrUnreachable, "the connection was closed")
	}
	return failure(ErrMalformed, "Failed to parse the response")
}
