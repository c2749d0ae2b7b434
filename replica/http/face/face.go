package face

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"net"
	nethttp "net/http"
	"path"
	"strings"
	"sync"
	"time"

	"rsc.io/qr"

	"fusion/replica/http/gateway"
)

// Mode says what the pages offer.
type Mode string

// The modes.
const (
	Off      Mode = "off"
	ReadOnly Mode = "read-only"
	Wallet   Mode = "wallet"
)

// ErrMode refuses a text that is no mode.
var ErrMode = errors.New("want off, read-only or wallet")

// Parse checks a mode.
func Parse(text string) (Mode, error) {
	switch m := Mode(text); m {
	case Off, ReadOnly, Wallet:
		return m, nil
	}
	return "", fmt.Errorf("%q: %w", text, ErrMode)
}

// Label is the name below a domain at which the pages have an origin of their own. No principal has this form.
const Label = "dashboard"

// StateAge is how old a State may be that is shown.
const StateAge = 500 * time.Millisecond

// Config of a Face.
type Config struct {
	Mode Mode
	// Domains are those below which canisters have hosts of their own, and the pages too.
	Domains []string
	// State tells what to show.
	State func() State
	// Now is the clock; the default is time.Now.
	Now func() time.Time
	// Next takes the requests that are not for the pages.
	Next *gateway.Gateway
}

//go:embed web
var web embed.FS

// file is an embedded file as it is served.
type file struct {
	body []byte
	kind string
	tag  string // entity tag
}

// Face serves the pages. It implements package http's Gateway.
type Face struct {
	cfg   Config
	files map[string]file

	mu    sync.Mutex
	state State
	at    time.Time
}

// New makes the pages of a replica.
func New(cfg Config) *Face {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	f := &Face{cfg: cfg, files: map[string]file{}}
	err := fs.WalkDir(web, "web", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := web.ReadFile(p)
		if err != nil {
			return err
		}
		kind := mime.TypeByExtension(path.Ext(p))
		if path.Ext(p) == ".js" {
			kind = "text/javascript; charset=utf-8" // whatever this machine's tables say
		}
		f.files[strings.TrimPrefix(p, "web/")] = file{b, kind, fmt.Sprintf(`"%x"`, sha256.Sum256(b))}
		return nil
	})
	if err != nil {
		panic(fmt.Sprintf("reading what is compiled in: %v", err))
	}
	return f
}

const prefix = "/dashboard/"

// own returns the domain if a host is the pages' own.
func (f *Face) own(host string) (domain string, ok bool) {
	name := gateway.Hostname(host)
	for _, d := range f.cfg.Domains {
		if name == Label+"."+d {
			return d, true
		}
	}
	return "", false
}

// mine reports whether a request is for the pages.
func (f *Face) mine(r *nethttp.Request) bool {
	p := r.URL.Path
	if f.cfg.Mode == Off || p == "/api" || strings.HasPrefix(p, "/api/") || gateway.Operators(p) {
		return false
	}
	if _, ok := f.own(r.Host); ok {
		return true
	}
	return (p == "/" || strings.HasPrefix(p, prefix)) && !f.cfg.Next.Names(r)
}

// Claims reports whether a request is for the pages or the gateway behind them.
func (f *Face) Claims(r *nethttp.Request) bool { return f.mine(r) || f.cfg.Next.Claims(r) }

// policy is what browsers let the page do.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; manifest-src 'none'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// ServeHTTP implements net/http.Handler.
func (f *Face) ServeHTTP(w nethttp.ResponseWriter, r *nethttp.Request) {
	if !f.mine(r) {
		f.cfg.Next.ServeHTTP(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=(), payment=(), usb=()")
	if r.Method != nethttp.MethodGet && r.Method != nethttp.MethodHead {
		h.Set("Allow", "GET, HEAD")
		nethttp.Error(w, fmt.Sprintf("method %s is not allowed here", r.Method), nethttp.StatusMethodNotAllowed)
		return
	}
	switch name, ok := strings.CutPrefix(r.URL.Path, prefix); {
	case r.URL.Path == "/":
		f.serve(w, r, "index.html")
	case !ok:
		nethttp.Error(w, "there is no such page; the dashboard begins at /", nethttp.StatusNotFound)
	case name == "state.json":
		f.serveState(w, r)
	case name == "qr.svg":
		serveQR(w, r)
	default:
		f.serve(w, r, name)
	}
}

func (f *Face) serve(w nethttp.ResponseWriter, r *nethttp.Request, name string) {
	b, ok := f.files[name]
	if !ok {
		nethttp.Error(w, fmt.Sprintf("the dashboard has no file %.100q", name), nethttp.StatusNotFound)
		return
	}
	h := w.Header()
	h.Set("Content-Type", b.kind)
	h.Set("Cache-Control", "no-cache") // asked for again, as the program may be another one, and mostly not sent again
	h.Set("ETag", b.tag)
	nethttp.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b.body))
}

// current is a State that is not too old. Those who come while it is being made wait for it.
func (f *Face) current() State {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := f.cfg.Now(); f.at.IsZero() || now.Sub(f.at) >= StateAge || now.Before(f.at) {
		f.state, f.at = f.cfg.State(), now
	}
	return f.state
}

func (f *Face) serveState(w nethttp.ResponseWriter, r *nethttp.Request) {
	s := f.current()
	if f.cfg.Mode == Wallet && len(f.cfg.Domains) > 0 {
		if _, s.Wallet = f.own(r.Host); !s.Wallet {
			s.WalletURL = f.walletURL(r)
		}
	}
	body, err := json.Marshal(s)
	if err != nil {
		nethttp.Error(w, "the state cannot be encoded", nethttp.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(body) // a client that is gone is not our error
}

// walletURL is where the pages have their own origin, by the way that the request came.
func (f *Face) walletURL(r *nethttp.Request) string {
	scheme := "http"
	if r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https" {
		scheme = "https"
	}
	return Address(scheme, r.Host, f.cfg.Domains[0])
}

// Address is where the pages have their own origin on an endpoint, which is a host with or without a port.
func Address(scheme, endpoint, domain string) string {
	host := Label + "." + domain
	if _, port, err := net.SplitHostPort(endpoint); err == nil {
		host = net.JoinHostPort(host, port)
	}
	return scheme + "://" + host + "/"
}

// MaxQR bounds what a QR code holds, in bytes: more is too fine for cameras.
const MaxQR = 300

func serveQR(w nethttp.ResponseWriter, r *nethttp.Request) {
	text := r.URL.Query().Get("text")
	if text == "" || len(text) > MaxQR {
		nethttp.Error(w, fmt.Sprintf("the text of a QR code has 1 to %d bytes, this has %d", MaxQR, len(text)), nethttp.StatusBadRequest)
		return
	}
	svg, err := drawQR(text)
	if err != nil {
		nethttp.Error(w, "this text has no QR code: "+err.Error(), nethttp.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "image/svg+xml")
	w.Header().Set("Cache-Control", "max-age=86400, immutable")
	_, _ = w.Write(svg) // a client that is gone is not our error
}

// quiet is the white margin that a QR code needs, in modules (ISO/IEC 18004, section 6.3.8).
const quiet = 4

// drawQR is a QR code as a picture of black runs on white.
func drawQR(text string) ([]byte, error) {
	code, err := qr.Encode(text, qr.M)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	side := code.Size + 2*quiet
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" shape-rendering="crispEdges"><rect width="%d" height="%d" fill="#fff"/><path d="`, side, side, side, side)
	for y := range code.Size {
		for x := 0; x < code.Size; x++ {
			if !code.Black(x, y) {
				continue
			}
			from := x
			for x+1 < code.Size && code.Black(x+1, y) {
				x++
			}
			fmt.Fprintf(&b, "M%d %dh%dv1h-%dz", from+quiet, y+quiet, x-from+1, x-from+1)
		}
	}
	b.WriteString(`"/></svg>`)
	return b.Bytes(), nil
}
