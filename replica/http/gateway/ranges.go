package gateway

import (
	"errors"
	"fmt"
	nethttp "net/http"
	"slices"
	"strconv"
	"strings"

	"fusion/ic/httpcert"
)

// maxTotal bounds a body that is put together of ranges.
const maxTotal = 8 << 30

// contentRange is the header of a part: bytes first to last of total.
type contentRange struct{ first, last, total int64 }

func parseContentRange(s string) (c contentRange, err error) {
	bad := fmt.Errorf("%w: content-range is %.60q, want bytes FIRST-LAST/TOTAL", errReply, s)
	spec, ok := strings.CutPrefix(s, "bytes ")
	span, total, ok2 := strings.Cut(strings.TrimSpace(spec), "/")
	first, last, ok3 := strings.Cut(span, "-")
	if !ok || !ok2 || !ok3 {
		return c, bad
	}
	for _, f := range []struct {
		to   *int64
		text string
	}{{&c.first, first}, {&c.last, last}, {&c.total, total}} {
		n, err := strconv.ParseUint(f.text, 10, 63)
		if err != nil {
			return c, bad
		}
		*f.to = int64(n)
	}
	if c.first > c.last || c.last >= c.total || c.total > maxTotal {
		return c, bad
	}
	return c, nil
}

// part checks that a response is the range of a body that begins at a byte, by the headers that may be passed on.
func part(res *httpcert.Response, headers []httpcert.HeaderField, begin int64) (contentRange, error) {
	value, _ := httpcert.Get(headers, "content-range")
	c, err := parseContentRange(value)
	switch {
	case res.Status != nethttp.StatusPartialContent:
		err = fmt.Errorf("%w: status %d for a range", errReply, res.Status)
	case err == nil && (c.first != begin || c.last-c.first+1 != int64(len(res.Body))):
		err = fmt.Errorf("%w: content-range %q at byte %d with %d bytes", errReply, value, begin, len(res.Body))
	}
	return c, err
}

// whole returns the headers of the whole body.
func whole(headers []httpcert.HeaderField) []httpcert.HeaderField {
	return slices.DeleteFunc(slices.Clone(headers), func(h httpcert.HeaderField) bool { return strings.EqualFold(h.Name, "content-range") })
}

// ranges answers a request for a whole body with the ranges of it that the canister has: each is verified by itself before it is passed on.
func (x *exchange) ranges(res *httpcert.Response, headers []httpcert.HeaderField) error {
	c, err := part(res, headers, 0)
	if err != nil {
		return x.nonsense(err)
	}
	first, total := whole(headers), c.total
	if err := x.write(&httpcert.Response{Status: nethttp.StatusOK, Body: res.Body}, first, int(total)); err != nil {
		return err
	}
	if x.r.Method == nethttp.MethodHead {
		return nil
	}
	_ = x.flush() // a browser that is gone is seen below
	for parts := 1; c.last+1 < total; parts++ {
		begin := c.last + 1
		x.Gateway.held.Add(-x.held) // what was passed on
		x.held = 0
		err := fmt.Errorf("%w: more than %d ranges", errReply, x.cfg.MaxParts)
		if parts < x.cfg.MaxParts {
			x.extend(x.cfg.FetchTimeout + slack)
			c, err = x.next(begin, total, first)
		}
		if err != nil {
			// The status is sent; a body that breaks off is how the browser can tell.
			level := x.cfg.Log.Warn
			if x.r.Context().Err() != nil {
				level = x.cfg.Log.Debug // the reader is gone
			}
			level("a page of ranges breaks off", "canister", x.canister, "path", x.r.URL.Path, "byte", begin, "err", err)
			panic(nethttp.ErrAbortHandler)
		}
	}
	return nil
}

// next fetches, verifies and passes on the range at a byte.
func (x *exchange) next(begin, total int64, first []httpcert.HeaderField) (contentRange, error) {
	req := setRange(x.req, fmt.Sprintf("bytes=%d-", begin))
	res, upgrade, verified, err := x.fetch(req)
	if err != nil {
		return contentRange{}, err
	}
	if upgrade {
		return contentRange{}, fmt.Errorf("%w: a range asks for an update call", errReply)
	}
	headers, err := x.passable(res, verified)
	if err != nil {
		return contentRange{}, err
	}
	c, err := part(res, headers, begin)
	if err != nil {
		return c, err
	}
	// Each range is certified, but perhaps as one of another body: the canister may have changed it on the way. Its ETag would tell.
	if !slices.Equal(whole(headers), first) || c.total != total {
		return c, fmt.Errorf("%w: the body changed while it was read", errReply)
	}
	if err := x.send(res.Body); err != nil {
		return c, err
	}
	return c, x.flush()
}

// flush sends what was written, so that a reader has each verified part at once.
func (x *exchange) flush() error {
	if err := nethttp.NewResponseController(x.w).Flush(); err != nil && !errors.Is(err, nethttp.ErrNotSupported) {
		return err
	}
	return nil
}
