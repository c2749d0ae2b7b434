package beacon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/beacon/merkle"
	"github.com/ethereum/go-ethereum/beacon/params"
	"github.com/ethereum/go-ethereum/beacon/types"
	"github.com/ethereum/go-ethereum/common"
	"github.com/protolambda/zrnt/eth2/beacon/capella"
	"github.com/protolambda/zrnt/eth2/beacon/deneb"

	"fusion/adapters/ethereum"
	"fusion/eth"
	"fusion/internal/redact"
)

// API is what a light client asks a beacon node (beacon APIs, light client namespace). The answers are JSON that nobody has checked, of at most MaxResponse bytes.
type API interface {
	// Bootstrap is the header of a block and the sync committee of its time.
	Bootstrap(ctx context.Context, block eth.Hash) ([]byte, error)
	// Updates are the best updates of some sync committee periods.
	Updates(ctx context.Context, first, count uint64) ([]byte, error)
	// Finality is the newest finality update.
	Finality(ctx context.Context) ([]byte, error)
	// String names the node for logs, without keys.
	String() string
}

// MaxResponse is in bytes. An update has about 70,000.
const MaxResponse = 4 << 20

// node is a beacon node over HTTP.
type node struct {
	base      *url.URL
	headers   http.Header
	transport http.RoundTripper
	timeout   time.Duration
}

// Node is a beacon node's HTTP API. The URL and the headers may hold keys; only the host is shown.
func Node(at ethereum.Provider, transport http.RoundTripper) (API, error) {
	u, err := url.Parse(at.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return nil, fmt.Errorf("%w: the URL of a beacon node: want http(s)://host", ErrConfig) // err would show it whole
	}
	n := &node{base: u, headers: http.Header{"Accept": {"application/json"}, "User-Agent": {"fusion"}}, transport: transport, timeout: 20 * time.Second}
	for _, h := range at.Headers {
		if h.Name == "" || strings.ContainsAny(h.Name+h.Value, "\r\n\x00") {
			return nil, fmt.Errorf("%w: a header of beacon node %s is malformed", ErrConfig, u.Host)
		}
		n.headers.Set(h.Name, h.Value)
	}
	if u.User != nil {
		password, _ := u.User.Password()
		r := http.Request{Header: n.headers}
		r.SetBasicAuth(u.User.Username(), password)
		u.User = nil
	}
	if transport == nil {
		n.transport = &http.Transport{
			Proxy:                  nil,
			DialContext:            (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
			ForceAttemptHTTP2:      true,
			IdleConnTimeout:        30 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
			TLSHandshakeTimeout:    10 * time.Second,
		}
	}
	return n, nil
}

func (n *node) String() string { return n.base.Host }

// Format keeps keys out of logs.
func (n *node) Format(f fmt.State, _ rune) { redact.Format(f, n.base.Host) }

func (n *node) close() {
	if t, ok := n.transport.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

func (n *node) get(ctx context.Context, path, query string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, n.timeout)
	defer cancel()
	u := n.base.JoinPath(path)
	if u.RawQuery == "" {
		u.RawQuery = query
	} else if query != "" {
		u.RawQuery += "&" + query // a key may be there
	}
	r := (&http.Request{Method: http.MethodGet, URL: u, Host: u.Host, Header: n.headers.Clone(), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}).WithContext(ctx)
	res, err := n.transport.RoundTrip(r) // follows no redirect, and its errors do not show the URL
	if err != nil {
		return nil, fmt.Errorf("beacon node %s: %w", n, err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("beacon node %s: %s has status %d", n, path, res.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, MaxResponse+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("beacon node %s: %w", n, err)
	case len(body) > MaxResponse:
		return nil, fmt.Errorf("%w: beacon node %s sends more than %d bytes", ErrMalformed, n, MaxResponse)
	}
	return body, nil
}

func (n *node) Bootstrap(ctx context.Context, block eth.Hash) ([]byte, error) {
	return n.get(ctx, "/eth/v1/beacon/light_client/bootstrap/"+block.String(), "")
}

func (n *node) Updates(ctx context.Context, first, count uint64) ([]byte, error) {
	return n.get(ctx, "/eth/v1/beacon/light_client/updates", fmt.Sprintf("start_period=%d&count=%d", first, count))
}

func (n *node) Finality(ctx context.Context) ([]byte, error) {
	return n.get(ctx, "/eth/v1/beacon/light_client/finality_update", "")
}

// ---- decoding ----

// ErrMalformed is an answer that is not what was asked for; test with errors.Is.
var ErrMalformed = errors.New("malformed answer of a beacon node")

type jsonHeader struct {
	Beacon          types.Header    `json:"beacon"`
	Execution       json.RawMessage `json:"execution"`
	ExecutionBranch merkle.Values   `json:"execution_branch"`
}

func malformed(what string, err error) error {
	return fmt.Errorf("%w: %s: %v", ErrMalformed, what, err)
}

// fork is the rules of an epoch. What the node says of the version is not used: it would let the node choose where in the state a branch leads.
func fork(config *params.ChainConfig, h *types.Header) string {
	return strings.ToLower(config.ForkAtEpoch(h.Epoch()).Name)
}

func decodeBootstrap(config *params.ChainConfig, body []byte, block eth.Hash) (*types.BootstrapData, error) {
	var in struct {
		Data struct {
			Header          jsonHeader                     `json:"header"`
			Committee       *types.SerializedSyncCommittee `json:"current_sync_committee"`
			CommitteeBranch merkle.Values                  `json:"current_sync_committee_branch"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, malformed("bootstrap", err)
	}
	d := &in.Data
	if d.Committee == nil || len(d.CommitteeBranch) == 0 {
		return nil, malformed("bootstrap", errors.New("no sync committee"))
	}
	if got := d.Header.Beacon.Hash(); got != common.Hash(block) {
		return nil, fmt.Errorf("%w: the bootstrap is for block %s, not for the checkpoint %s", ErrInvalid, got, block)
	}
	out := &types.BootstrapData{Version: fork(config, &d.Header.Beacon), Header: d.Header.Beacon, CommitteeBranch: d.CommitteeBranch, CommitteeRoot: d.Committee.Root(), Committee: d.Committee}
	if err := out.Validate(); err != nil {
		return nil, fmt.Errorf("%w: bootstrap: %v", ErrInvalid, err)
	}
	return out, nil
}

type update struct {
	types.LightClientUpdate
	next types.SerializedSyncCommittee
}

// decodeUpdates reads and checks the branches of updates of consecutive periods. Signatures are checked when they are inserted.
func decodeUpdates(config *params.ChainConfig, body []byte, first, count uint64) ([]*update, error) {
	var in []struct {
		Data struct {
			Attested       jsonHeader                     `json:"attested_header"`
			Next           *types.SerializedSyncCommittee `json:"next_sync_committee"`
			NextBranch     merkle.Values                  `json:"next_sync_committee_branch"`
			Finalized      *jsonHeader                    `json:"finalized_header"`
			FinalityBranch merkle.Values                  `json:"finality_branch"`
			SyncAggregate  types.SyncAggregate            `json:"sync_aggregate"`
			SignatureSlot  common.Decimal                 `json:"signature_slot"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, malformed("updates", err)
	}
	if len(in) == 0 || uint64(len(in)) > count {
		return nil, malformed("updates", fmt.Errorf("%d of them, want up to %d", len(in), count))
	}
	var out []*update
	for i := range in {
		d := &in[i].Data
		if d.Next == nil {
			return nil, malformed("updates", errors.New("no next sync committee"))
		}
		u := &update{next: *d.Next, LightClientUpdate: types.LightClientUpdate{
			Version:                 fork(config, &d.Attested.Beacon),
			AttestedHeader:          types.SignedHeader{Header: d.Attested.Beacon, Signature: d.SyncAggregate, SignatureSlot: uint64(d.SignatureSlot)},
			NextSyncCommitteeRoot:   d.Next.Root(),
			NextSyncCommitteeBranch: d.NextBranch,
		}}
		// An update near the beginning of a period points to a finalised block of the one before; its committee stands on the signature all the same.
		if d.Finalized != nil && d.Finalized.Beacon != (types.Header{}) && d.Finalized.Beacon.SyncPeriod() == d.Attested.Beacon.SyncPeriod() {
			u.FinalizedHeader, u.FinalityBranch = &d.Finalized.Beacon, d.FinalityBranch
		}
		if got, want := d.Attested.Beacon.SyncPeriod(), first+uint64(i); got != want {
			return nil, malformed("updates", fmt.Errorf("period %d, want %d", got, want))
		}
		if u.AttestedHeader.SignatureSlot <= d.Attested.Beacon.Slot {
			return nil, fmt.Errorf("%w: an update signed at slot %d for slot %d", ErrInvalid, u.AttestedHeader.SignatureSlot, d.Attested.Beacon.Slot)
		}
		if err := u.Validate(); err != nil {
			return nil, fmt.Errorf("%w: update of period %d: %v", ErrInvalid, first+uint64(i), err)
		}
		out = append(out, u)
	}
	return out, nil
}

// finality is a finality update whose branches hold. Its signature is not checked yet.
type finality struct {
	signed    types.SignedHeader
	slot      uint64 // that is finalised
	finalized ethereum.Finalized
}

func decodeFinality(config *params.ChainConfig, body []byte) (*finality, error) {
	var in struct {
		Data struct {
			Attested       jsonHeader          `json:"attested_header"`
			Finalized      jsonHeader          `json:"finalized_header"`
			FinalityBranch merkle.Values       `json:"finality_branch"`
			Aggregate      types.SyncAggregate `json:"sync_aggregate"`
			SignatureSlot  common.Decimal      `json:"signature_slot"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, malformed("finality update", err)
	}
	d := &in.Data
	out := &finality{signed: types.SignedHeader{Header: d.Attested.Beacon, Signature: d.Aggregate, SignatureSlot: uint64(d.SignatureSlot)}, slot: d.Finalized.Beacon.Slot}
	if !(out.signed.SignatureSlot > d.Attested.Beacon.Slot && d.Attested.Beacon.Slot >= out.slot) { // light client sync protocol, validate_light_client_update
		return nil, fmt.Errorf("%w: a finality update signed at slot %d for slot %d with slot %d final", ErrInvalid, out.signed.SignatureSlot, d.Attested.Beacon.Slot, out.slot)
	}
	if n := out.signed.Signature.SignerCount(); n < params.SyncCommitteeSupermajority {
		return nil, fmt.Errorf("%w: a finality update with %d signers, want %d", ErrInvalid, n, params.SyncCommitteeSupermajority)
	}
	index := params.StateIndexFinalBlock(fork(config, &d.Attested.Beacon))
	if err := merkle.VerifyProof(d.Attested.Beacon.StateRoot, index, d.FinalityBranch, merkle.Value(d.Finalized.Beacon.Hash())); err != nil {
		return nil, fmt.Errorf("%w: the finalised header: %v", ErrInvalid, err)
	}
	payload, err := decodeExecution(fork(config, &d.Finalized.Beacon), d.Finalized.Execution, &out.finalized)
	if err != nil {
		return nil, err
	}
	proven := types.HeaderWithExecProof{Header: d.Finalized.Beacon, PayloadHeader: payload, PayloadBranch: d.Finalized.ExecutionBranch}
	if err := proven.Validate(); err != nil {
		return nil, fmt.Errorf("%w: the execution header of the finalised block: %v", ErrInvalid, err)
	}
	return out, nil
}

// decodeExecution reads an execution header; the fields come from what is hashed.
func decodeExecution(fork string, body []byte, out *ethereum.Finalized) (*types.ExecutionHeader, error) {
	set := func(number uint64, hash, state, receipts [32]byte, at uint64) {
		*out = ethereum.Finalized{Number: number, Hash: hash, StateRoot: state, ReceiptsRoot: receipts, Time: time.Unix(int64(min(at, 1<<40)), 0)}
	}
	switch fork {
	case "capella":
		h := new(capella.ExecutionPayloadHeader)
		if err := json.Unmarshal(body, h); err != nil {
			return nil, malformed("execution header", err)
		}
		set(uint64(h.BlockNumber), h.BlockHash, h.StateRoot, h.ReceiptsRoot, uint64(h.Timestamp))
		return types.NewExecutionHeader(h), nil
	case "deneb", "electra", "fulu": // the header did not change
		h := new(deneb.ExecutionPayloadHeader)
		if err := json.Unmarshal(body, h); err != nil {
			return nil, malformed("execution header", err)
		}
		set(uint64(h.BlockNumber), h.BlockHash, h.StateRoot, h.ReceiptsRoot, uint64(h.Timestamp))
		return types.NewExecutionHeader(h), nil
	}
	return nil, fmt.Errorf("%w: an execution header of fork %q, which this release does not know", ErrMalformed, fork)
}
