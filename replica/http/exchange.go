package http

import (
	"io"
	nethttp "net/http"
	"net/netip"
)

// freeMemory is what a request's body and each part of its answer may hold in bytes before it counts. The number of connections bounds
// its sum.
const freeMemory = 64 << 10

// exchange is a request and its answer, whose bodies count towards the memory that clients may hold.
type exchange struct {
	nethttp.ResponseWriter
	status  int
	written bool // the header
	body    io.ReadCloser
	lim     *limiter
	client  netip.Addr
	read    int // bytes of the body
	length  int // of the body, negative if it is not known
	held    int // bytes that count
}

func (x *exchange) release() {
	if x.held > 0 {
		x.lim.free(x.client, x.held)
	}
}

// reader is the request's body.
func (x *exchange) reader() io.ReadCloser {
	if x.body == nil || x.body == nethttp.NoBody {
		return x.body // net/http compares it
	}
	return (*requestBody)(x)
}

type requestBody exchange

// Read fails with a *refusal if the body would hold too much. What counts is what a reader makes room for: all that was announced, or
// twice what has come.
func (b *requestBody) Read(p []byte) (int, error) {
	n, err := b.body.Read(p)
	b.read += n
	size := b.length
	if size < 0 {
		size = 2 * b.read
	}
	if more := size - freeMemory - b.held; more > 0 && b.read > freeMemory {
		if no := b.lim.hold(b.client, more); no != nil {
			return 0, no
		}
		b.held += more
	}
	return n, err
}

func (b *requestBody) Close() error { return b.body.Close() }

func (x *exchange) WriteHeader(status int) {
	x.status, x.written = status, true
	x.ResponseWriter.WriteHeader(status)
}

// Write counts what is written until the client has taken it.
func (x *exchange) Write(p []byte) (int, error) {
	if more := len(p) - freeMemory; more > 0 {
		if no := x.lim.hold(x.client, more); no != nil {
			if !x.written {
				clear(x.Header())
				allowOrigins(x)
				tooMany(x, no)
			}
			return 0, no
		}
		defer x.lim.free(x.client, more)
	}
	x.written = true
	return x.ResponseWriter.Write(p)
}

// Unwrap is for net/http.ResponseController.
func (x *exchange) Unwrap() nethttp.ResponseWriter { return x.ResponseWriter }
