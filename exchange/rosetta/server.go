package rosetta

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/coinbase/rosetta-sdk-go/asserter"
	"github.com/coinbase/rosetta-sdk-go/types"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"fusion/exchange/reader"
	"fusion/ic/agent"
	"fusion/ic/principal"
)

// Bounds of requests.
const (
	// maxBody is more than any request needs but those of construction, which have room for the signatures of a transaction that is valid for a day.
	maxBody         = 64 << 10
	maxConstruction = 2 << 20
	// maxWorking is how many requests are worked on at a time; maxSubmitting is how many submissions, which wait for the ledger, are under way
	// besides. One too many is refused at once, as retriable.
	maxWorking, maxSubmitting = 64, 256
	// maxLedgers bounds the networks of one server.
	maxLedgers = 256
)

// Config configures a Server.
type Config struct {
	// Dir is the directory of the store; FS is where it lies, by default on disk.
	Dir string
	FS  vfs.FS
	// Agent talks to the subnet; its root key is what all trust rests on.
	Agent *agent.Agent
	// Ledgers are the networks that are served.
	Ledgers []principal.Principal
	// Interval is how long to wait between looks at a ledger; the default is a second.
	Interval time.Duration
	// Version is shown as the version of the node; the default is "fusion".
	Version string
	// Log is the default logger if it is nil, and Now the clock.
	Log *slog.Logger
	Now func() time.Time
}

func (c *Config) ensureDefaults() {
	if c.FS == nil {
		c.FS = vfs.Default
	}
	if c.Interval <= 0 {
		c.Interval = time.Second
	}
	if c.Version == "" {
		c.Version = "fusion"
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
}

// Server is a Mesh API server. It is an http.Handler.
type Server struct {
	cfg         Config
	db          *pebble.DB
	ledgers     []*ledger
	byID        map[string]*ledger
	asserter    *asserter.Asserter
	mux         *http.ServeMux
	requests    *prometheus.CounterVec
	lastCreated atomic.Uint64
	working     chan struct{} // one for each request that is worked on
	submitting  chan struct{}
}

// Open opens or creates the store and asks each ledger that is new what its token is. The context is for that alone.
func Open(ctx context.Context, cfg Config) (*Server, error) {
	cfg.ensureDefaults()
	if len(cfg.Ledgers) == 0 || len(cfg.Ledgers) > maxLedgers {
		return nil, fmt.Errorf("%w: %d ledgers, want 1 to %d", ErrConfig, len(cfg.Ledgers), maxLedgers)
	}
	s := &Server{cfg: cfg, byID: map[string]*ledger{}, working: make(chan struct{}, maxWorking), submitting: make(chan struct{}, maxSubmitting)}
	var networks []*types.NetworkIdentifier
	for _, id := range cfg.Ledgers {
		if s.byID[id.String()] != nil {
			return nil, fmt.Errorf("%w: ledger %s is named twice", ErrConfig, id)
		}
		l := &ledger{id: id}
		s.ledgers, s.byID[id.String()] = append(s.ledgers, l), l
		networks = append(networks, networkOf(id))
	}
	var err error
	if s.asserter, err = asserter.NewServer(operationTypes, true, networks, nil, false, ""); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if s.db, err = openDB(cfg.Dir, cfg.FS); err != nil {
		return nil, err
	}
	for _, l := range s.ledgers {
		l.books = openBooks(s.db, l.id)
		r, err := reader.Open(ctx, cfg.Agent, l.id)
		if err == nil {
			l.source = r
			err = l.open(ctx)
		}
		if err != nil {
			return nil, errors.Join(err, s.db.Close())
		}
	}
	s.route()
	return s, nil
}

// Run follows the ledgers until the context ends.
func (s *Server) Run(ctx context.Context) error {
	var all sync.WaitGroup
	for _, l := range s.ledgers {
		all.Go(func() { s.follow(ctx, l) })
	}
	all.Wait()
	return ctx.Err()
}

// Close closes the store; neither Run nor requests may be under way.
func (s *Server) Close() error { return s.db.Close() }

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// NewHTTPServer makes an HTTP server with the timeouts that a public one needs.
func (s *Server) NewHTTPServer() *http.Server {
	return &http.Server{Handler: s, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 20 * time.Second, WriteTimeout: submitTimeout + 15*time.Second,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(s.cfg.Log.Handler(), slog.LevelDebug)}
}

func (s *Server) route() {
	s.mux = http.NewServeMux()
	a := s.asserter
	add(s, pathList, a.MetadataRequest, s.list)
	add(s, "/network/options", a.NetworkRequest, s.options)
	add(s, "/network/status", a.NetworkRequest, s.status)
	add(s, "/block", a.BlockRequest, s.block)
	add(s, "/block/transaction", a.BlockTransactionRequest, s.blockTransaction)
	add(s, "/account/balance", a.AccountBalanceRequest, s.balance)
	add(s, "/account/coins", a.AccountCoinsRequest, s.coins)
	add(s, "/mempool", a.NetworkRequest, s.mempool)
	add(s, "/mempool/transaction", a.MempoolTransactionRequest, s.mempoolTransaction)
	add(s, "/call", nil, s.callMethod)
	add(s, "/events/blocks", a.EventsBlocksRequest, s.events)
	add(s, "/search/transactions", a.SearchTransactionsRequest, s.search)
	add(s, "/construction/derive", a.ConstructionDeriveRequest, s.derive)
	add(s, "/construction/preprocess", a.ConstructionPreprocessRequest, s.preprocess)
	add(s, "/construction/metadata", a.ConstructionMetadataRequest, s.metadata)
	add(s, "/construction/payloads", a.ConstructionPayloadsRequest, s.payloads)
	add(s, "/construction/combine", a.ConstructionCombineRequest, s.combine)
	add(s, "/construction/parse", a.ConstructionParseRequest, s.parse)
	add(s, "/construction/hash", a.ConstructionHashRequest, s.hash)
	add(s, pathSubmit, a.ConstructionSubmitRequest, s.submit)

	registry := prometheus.NewRegistry()
	s.requests = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "fusion_rosetta_requests_total", Help: "Requests by path and code of the answer, 0 for success."},
		[]string{"path", "code"})
	registry.MustRegister(s.requests)
	for _, l := range s.ledgers {
		gauge := func(name, help string, value func() float64) {
			registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "fusion_rosetta_" + name, Help: help,
				ConstLabels: prometheus.Labels{"ledger": l.id.String()}}, value))
		}
		gauge("proven_blocks", "Blocks that a certified tip has proven.", func() float64 { return float64(l.head.Load().Proven) })
		gauge("target_blocks", "Blocks up to the newest certified tip that was seen.", func() float64 { return float64(l.target.Load()) })
		gauge("read_failures", "Failed attempts to read the ledger, among them answers that did not verify.", func() float64 { return float64(l.failures.Load()) })
		gauge("forked", "1 if the certified log contradicts proven blocks: nothing is served for this ledger.", func() float64 {
			if l.forked.Load() != nil {
				return 1
			}
			return 0
		})
	}
	s.mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	s.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		reply(w, http.StatusNotFound, faultUnsupported.because("no such endpoint; all are POST"))
	})
}

const (
	pathList   = "/network/list" // the one endpoint without a network
	pathSubmit = "/construction/submit"
)

// add adds an endpoint.
func add[Q, A any](s *Server, path string, check func(*Q) error, do func(context.Context, *ledger, *Q) (*A, *types.Error)) {
	limit, slots := int64(maxBody), s.working
	if strings.HasPrefix(path, "/construction/") {
		limit = maxConstruction
	}
	if path == pathSubmit {
		slots = s.submitting
	}
	answer := func(w http.ResponseWriter, r *http.Request) (*A, *types.Error) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit)) // before it takes a slot: a slow client holds up nobody
		var tooLarge *http.MaxBytesError
		switch {
		case errors.As(err, &tooLarge):
			return nil, faultTooLarge.because(fmt.Sprintf("at most %d bytes", limit))
		case err != nil:
			return nil, faultParse.of(err)
		}
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
		default:
			return nil, faultOverload.error(nil)
		}
		var q Q
		l, fault := read(s, body, path != pathList, &q, check)
		if fault != nil {
			return nil, fault
		}
		return do(r.Context(), l, &q)
	}
	s.mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
		out, fault := answer(w, r)
		if fault != nil {
			s.requests.WithLabelValues(path, strconv.Itoa(int(fault.Code))).Inc()
			reply(w, http.StatusInternalServerError, fault) // what the specification asks for
			return
		}
		s.requests.WithLabelValues(path, "0").Inc()
		reply(w, http.StatusOK, out)
	})
}

// read reads a request, finds its ledger and checks its form.
func read[Q any](s *Server, body []byte, named bool, q *Q, check func(*Q) error) (l *ledger, fault *types.Error) {
	defer func() {
		// The checks of the SDK follow pointers that a request may leave out.
		if p := recover(); p != nil {
			fault = faultParse.because("a part of the request is missing")
		}
	}()
	if named {
		if l, fault = s.ledgerOf(body); fault != nil {
			return nil, fault
		}
	}
	if err := json.Unmarshal(body, q); err != nil {
		return nil, faultParse.of(err)
	}
	if check != nil {
		if err := check(q); err != nil {
			return nil, faultParse.of(err)
		}
	}
	return l, nil
}

// ledgerOf finds the ledger that a request is about.
func (s *Server) ledgerOf(body []byte) (*ledger, *types.Error) {
	var q types.NetworkRequest
	if err := json.Unmarshal(body, &q); err != nil {
		return nil, faultParse.of(err)
	}
	n := q.NetworkIdentifier
	if n == nil || n.Blockchain != Blockchain || n.SubNetworkIdentifier != nil {
		return nil, faultNetwork.because("the blockchain is " + Blockchain)
	}
	l := s.byID[n.Network]
	if l == nil {
		return nil, faultNetwork.because("the network is none of " + pathList)
	}
	if why := l.forked.Load(); why != nil {
		return nil, faultForked.because(*why)
	}
	return l, nil
}

func reply(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("rosetta: %T cannot be encoded: %v", v, err))
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b) // the client is gone
}
