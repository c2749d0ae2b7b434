package gateway

import (
	"errors"
	"fmt"
	"html"
	nethttp "net/http"
	"strings"
)

// problem is what a reader is told when there is no page.
type problem struct {
	status int
	title  string
	text   string // what happened
	next   string // what to do
	cause  error  // for the log
}

func (p *problem) Error() string {
	if p.cause != nil {
		return p.title + ": " + p.cause.Error()
	}
	return p.title + ": " + p.text
}

func (p *problem) Unwrap() error { return p.cause }

// maxText bounds what a page repeats of a canister's or client's words.
const maxText = 2000

func bounded(s string) string {
	if len(s) > maxText {
		s = s[:maxText] + " …"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// refuse answers with a problem.
func (g *Gateway) refuse(w nethttp.ResponseWriter, r *nethttp.Request, err error) {
	if r.Context().Err() != nil {
		panic(nethttp.ErrAbortHandler) // the reader is gone
	}
	var p *problem
	if !errors.As(err, &p) {
		p = &problem{status: nethttp.StatusInternalServerError, title: "The gateway failed", text: "This is a fault of the replica, not of the page.",
			next: "Its log says more. Try again later.", cause: err}
	}
	level := g.cfg.Log.Debug
	if p.status == nethttp.StatusInternalServerError {
		level = g.cfg.Log.Error
	}
	level("no page", "host", r.Host, "path", r.URL.Path, "status", p.status, "err", p)
	h := w.Header()
	for name := range h {
		if !strings.HasPrefix(name, "X-Ic-") {
			h.Del(name)
		}
	}
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	if p.status == nethttp.StatusTooManyRequests || p.status == nethttp.StatusServiceUnavailable {
		h.Set("Retry-After", "1")
	}
	if !strings.Contains(r.Header.Get("Accept"), "text/html") {
		h.Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(p.status)
		fmt.Fprintf(w, "%s\n\n%s\n\n%s\n", p.title, bounded(p.text), p.next)
		return
	}
	h.Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(p.status)
	fmt.Fprintf(w, page, html.EscapeString(p.title), html.EscapeString(p.title), html.EscapeString(bounded(p.text)), html.EscapeString(p.next), p.status)
}

const page = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>%s</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:15vh auto;padding:0 1.5rem;color:#1d1f27}p{white-space:pre-line;overflow-wrap:anywhere}footer{color:#666b7a}</style>
<h1>%s</h1>
<p>%s</p>
<p>%s</p>
<footer>%d · fusion HTTP gateway</footer>
</html>
`
