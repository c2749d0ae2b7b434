package gateway

import (
	"errors"
	"fmt"
	"net"
	nethttp "net/http"
	"net/url"
	"strings"

	"fusion/ic/principal"
)

// target is what a request is about.
type target struct {
	canister principal.Principal
	raw      bool // without verification
	shared   bool // on a host that is not the canister's own
}

// errNoCanister means that nothing in a request for the host itself names a canister.
var errNoCanister = errors.New("the request names no canister")

// Hostname is the name in a Host header, in lower case, without port and brackets.
func Hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
}

// below returns what stands before one of the domains in a host name.
func (g *Gateway) below(host string) (labels string, ok bool) {
	for _, d := range g.cfg.Domains {
		if labels, ok := strings.CutSuffix(host, "."+d); ok {
			return labels, true
		}
	}
	return "", false
}

const parameter = "canisterId"

// Claims reports whether the gateway answers a request: all for the hosts of canisters but those of the API, and of the others those that name a canister, and the
// start page.
func (g *Gateway) Claims(r *nethttp.Request) bool {
	if r.URL.Path == "/api" || strings.HasPrefix(r.URL.Path, "/api/") {
		return false
	}
	if _, ok := g.below(Hostname(r.Host)); ok {
		return true
	}
	if Operators(r.URL.Path) {
		return false
	}
	return g.Names(r) || r.URL.Path == "/"
}

// Operators reports whether a path is the replica's own, for those who run it.
func Operators(path string) bool { return path == "/health" || path == "/ready" || path == "/metrics" }

// Names reports whether a request names a canister, or should: by a host that is a canister's own, by its query, or by that of the page from which it came.
func (g *Gateway) Names(r *nethttp.Request) bool {
	if _, ok := g.below(Hostname(r.Host)); ok {
		return true
	}
	_, named := byParameter(r)
	return named
}

// byParameter finds the canister id in a request's query, or in that of the page from which it came.
func byParameter(r *nethttp.Request) (id string, ok bool) {
	if q := r.URL.Query(); q.Has(parameter) {
		return q.Get(parameter), true
	}
	from, err := url.Parse(r.Referer())
	if err != nil || !strings.EqualFold(from.Host, r.Host) {
		return "", false
	}
	q := from.Query()
	return q.Get(parameter), q.Has(parameter)
}

// resolve finds out what a request is about.
func (g *Gateway) resolve(r *nethttp.Request) (target, error) {
	var t target
	host := Hostname(r.Host)
	id, own := g.below(host)
	if own {
		id, t.raw = strings.CutSuffix(id, ".raw")
	} else {
		t.shared = true
		var named bool
		if id, named = byParameter(r); !named {
			return t, errNoCanister
		}
	}
	var err error
	if t.canister, err = principal.Parse(strings.ToLower(id)); err != nil {
		return t, fmt.Errorf("%.80q is not a canister id: %w", id, err)
	}
	return t, nil
}
