package rosetta

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/coinbase/rosetta-sdk-go/types"

	"fusion/ckledger/icrc"
	"fusion/ic/agent"
	"fusion/ic/candid"
	"fusion/ic/identity"
	"fusion/ic/principal"
)

// Keys of the metadata that callers give to /construction/preprocess and that /construction/metadata completes.
const (
	metaMemo    = "memo"
	metaCreated = "created_at_time"
	metaStart   = "ingress_start"
	metaEnd     = "ingress_end"
	// metaSub asks /construction/derive for a subaccount.
	metaSub = "subaccount"
)

// choices are what makes operations one certain transaction.
type choices struct {
	memo                []byte
	created, start, end *uint64
}

func readChoices(m map[string]any) (c choices, err error) {
	if text, ok := m[metaMemo]; ok {
		s, isText := text.(string)
		if !isText || len(s) > 2*maxMemo {
			return c, refuse("memo is not hexadecimal of at most %d bytes", maxMemo)
		}
		if c.memo, err = hex.DecodeString(s); err != nil {
			return c, refuse("memo is not hexadecimal")
		}
		if c.memo == nil {
			c.memo = []byte{}
		}
	}
	for key, to := range map[string]**uint64{metaCreated: &c.created, metaStart: &c.start, metaEnd: &c.end} {
		if *to, err = readNumber(m, key); err != nil {
			return c, err
		}
	}
	return c, nil
}

func (c *choices) metadata() map[string]any {
	m := map[string]any{}
	if c.memo != nil {
		m[metaMemo] = hex.EncodeToString(c.memo)
	}
	for key, n := range map[string]*uint64{metaCreated: c.created, metaStart: c.start, metaEnd: c.end} {
		if n != nil {
			m[key] = strconv.FormatUint(*n, 10)
		}
	}
	return m
}

// complete chooses what is left open. created is a time that was never chosen before.
func (c *choices) complete(created uint64) error {
	if c.start == nil {
		c.start = &created
		if c.created != nil {
			c.start = c.created
		}
	}
	if c.created == nil {
		c.created = &created
		if *c.start > created { // the ledger would not know it that early
			c.created = c.start
		}
	}
	if c.end == nil {
		end := *c.start + uint64(step)
		c.end = &end
	}
	if c.memo == nil { // two servers may choose the same time for the same payment
		c.memo = make([]byte, 8)
		_, _ = rand.Read(c.memo) // never fails
	}
	return c.check()
}

func (c *choices) check() error {
	switch {
	case *c.created > 1<<62 || *c.end > 1<<62 || *c.start >= *c.end:
		return refuse("ingress_start %d and ingress_end %d", *c.start, *c.end)
	case *c.start+uint64(icrc.Drift) < *c.created:
		return refuse("ingress_start lies before created_at_time, when ledgers refuse it")
	case *c.end > *c.created+uint64(maxSpan) || *c.end-*c.start > uint64(maxSpan):
		return refuse("ingress_end is more than %s after created_at_time or ingress_start", maxSpan)
	}
	return nil
}

// expiries are those of the calls from start to end.
func (c *choices) expiries() (out []uint64) {
	for at := *c.start; at < *c.end && len(out) < maxCalls; {
		at += uint64(step)
		out = append(out, at)
	}
	return out
}

// now is the time as a creation time that no other transaction of this server has.
func (s *Server) now() uint64 {
	for {
		last := s.lastCreated.Load()
		t := max(uint64(s.cfg.Now().UnixNano()), last+1)
		if s.lastCreated.CompareAndSwap(last, t) {
			return t
		}
	}
}

func (s *Server) derive(_ context.Context, _ *ledger, q *types.ConstructionDeriveRequest) (*types.ConstructionDeriveResponse, *types.Error) {
	der, err := derKey(q.PublicKey)
	if err != nil {
		return nil, faultParse.of(err)
	}
	a := icrc.Account{Owner: principal.SelfAuthenticating(der)}
	if v, ok := q.Metadata[metaSub]; ok {
		text, _ := v.(string)
		sub, err := parseSubaccount(text)
		if err != nil {
			return nil, faultMetadata.of(err)
		}
		a.Subaccount = &sub
	}
	return &types.ConstructionDeriveResponse{AccountIdentifier: identify(a)}, nil
}

func (s *Server) preprocess(_ context.Context, l *ledger, q *types.ConstructionPreprocessRequest) (*types.ConstructionPreprocessResponse, *types.Error) {
	i, err := l.intentOf(q.Operations)
	if err != nil {
		return nil, faultConstruction.of(err)
	}
	c, err := readChoices(q.Metadata)
	if err != nil {
		return nil, faultMetadata.of(err)
	}
	return &types.ConstructionPreprocessResponse{Options: c.metadata(), RequiredPublicKeys: []*types.AccountIdentifier{identify(i.signer())}}, nil
}

func (s *Server) metadata(ctx context.Context, l *ledger, q *types.ConstructionMetadataRequest) (*types.ConstructionMetadataResponse, *types.Error) {
	c, err := readChoices(q.Options)
	if err == nil {
		err = c.complete(s.now())
	}
	if err != nil {
		return nil, faultMetadata.of(err)
	}
	fee, err := s.fee(ctx, l)
	if err != nil {
		return nil, faultLedger.of(err)
	}
	return &types.ConstructionMetadataResponse{Metadata: c.metadata(), SuggestedFee: []*types.Amount{{Value: fee.String(), Currency: l.currency}}}, nil
}

func (s *Server) payloads(_ context.Context, l *ledger, q *types.ConstructionPayloadsRequest) (*types.ConstructionPayloadsResponse, *types.Error) {
	i, err := l.intentOf(q.Operations)
	if err != nil {
		return nil, faultConstruction.of(err)
	}
	c, err := readChoices(q.Metadata)
	if err == nil && (c.created == nil || c.start == nil || c.end == nil) {
		err = refuse("the metadata is not that of /construction/metadata")
	}
	if err == nil {
		err = c.check()
	}
	if err != nil {
		return nil, faultMetadata.of(err)
	}
	i.memo, i.created = c.memo, *c.created
	signer := i.signer()
	if len(q.PublicKeys) != 1 {
		return nil, faultConstruction.because("public_keys has the key of the one who signs and no other")
	}
	der, err := derKey(q.PublicKeys[0])
	if err != nil {
		return nil, faultParse.of(err)
	}
	if principal.SelfAuthenticating(der) != signer.Owner {
		return nil, faultConstruction.because(fmt.Sprintf("the public key is not the one of %s", signer.Owner))
	}
	t := &transaction{Version: 1, Ledger: l.id.Bytes(), Sender: signer.Owner.Bytes(), Expiries: c.expiries()}
	t.Method, t.Arg = l.call(&i)
	return &types.ConstructionPayloadsResponse{UnsignedTransaction: t.encode(), Payloads: t.payloads(identify(signer), q.PublicKeys[0].CurveType)}, nil
}

func (s *Server) combine(_ context.Context, l *ledger, q *types.ConstructionCombineRequest) (*types.ConstructionCombineResponse, *types.Error) {
	t, _, err := l.decode(q.UnsignedTransaction)
	if err != nil {
		return nil, faultParse.of(err)
	}
	if t.signed() {
		return nil, faultConstruction.because("the transaction is signed already")
	}
	if len(q.Signatures) != 2*len(t.Expiries) {
		return nil, faultConstruction.because(fmt.Sprintf("%d signatures for %d payloads", len(q.Signatures), 2*len(t.Expiries)))
	}
	// Signatures may come in any order: their payloads tell which they are.
	byPayload := map[string]*types.Signature{}
	for _, g := range q.Signatures {
		byPayload[string(g.SigningPayload.Bytes)] = g
	}
	first := q.Signatures[0].PublicKey
	if t.Key, err = derKey(first); err != nil {
		return nil, faultParse.of(err)
	}
	key, err := identity.ParsePublicKey(t.Key)
	if err != nil {
		return nil, faultParse.of(err)
	}
	unsigned := *t
	unsigned.Key = nil
	for n := range t.Expiries {
		for _, e := range unsigned.envelopes(n) {
			payload, kind := toSign(&e.Content, first.CurveType)
			var sig []byte
			if g := byPayload[string(payload)]; g != nil && g.SignatureType == kind {
				sig = fullSignature(key, kind, e.Content.SignedBytes(), g.Bytes)
			}
			if sig == nil {
				return nil, faultConstruction.because(fmt.Sprintf("no %s signature of %d bytes for payload %x", kind, identity.SignatureSize, payload))
			}
			t.Signatures = append(t.Signatures, sig...)
		}
	}
	out := t.encode()
	if _, _, err := l.decode(out); err != nil {
		return nil, faultConstruction.of(err)
	}
	return &types.ConstructionCombineResponse{SignedTransaction: out}, nil
}

func (s *Server) parse(_ context.Context, l *ledger, q *types.ConstructionParseRequest) (*types.ConstructionParseResponse, *types.Error) {
	t, i, err := l.decode(q.Transaction)
	if err != nil {
		return nil, faultParse.of(err)
	}
	if t.signed() != q.Signed {
		return nil, faultParse.because(fmt.Sprintf("signed is %t, the transaction says %t", q.Signed, t.signed()))
	}
	ops, err := l.operations(i)
	if err != nil {
		return nil, faultParse.of(err)
	}
	out := &types.ConstructionParseResponse{Operations: ops, Metadata: annotations(i.transaction())}
	if q.Signed {
		out.AccountIdentifierSigners = []*types.AccountIdentifier{identify(i.signer())}
	}
	return out, nil
}

func identifierOf(hash [32]byte) *types.TransactionIdentifier {
	return &types.TransactionIdentifier{Hash: hex.EncodeToString(hash[:])}
}

func (s *Server) hash(_ context.Context, l *ledger, q *types.ConstructionHashRequest) (*types.TransactionIdentifierResponse, *types.Error) {
	t, i, err := l.decode(q.SignedTransaction)
	if err != nil {
		return nil, faultParse.of(err)
	}
	if !t.signed() {
		return nil, faultParse.because("the transaction is not signed")
	}
	h, err := l.hash(i)
	if err != nil {
		return nil, faultParse.of(err)
	}
	return &types.TransactionIdentifierResponse{TransactionIdentifier: identifierOf(h)}, nil
}

// refusal is the ledger's error, of whichever method.
type refusal struct {
	candid.Variant
	BadFee                 *icrc.BadFee
	BadBurn                *icrc.BadBurn
	InsufficientFunds      *icrc.InsufficientFunds
	InsufficientAllowance  *icrc.InsufficientAllowance
	AllowanceChanged       *icrc.AllowanceChanged
	Expired                *icrc.LedgerTime
	TooOld                 *candid.Null
	CreatedInFuture        *icrc.LedgerTime
	Duplicate              *icrc.Duplicate
	TemporarilyUnavailable *candid.Null
	GenericError           *icrc.GenericError
}

type outcome struct {
	candid.Variant
	Ok  *candid.Nat
	Err *refusal
}

func (r *refusal) fault() *types.Error {
	switch {
	case r.BadFee != nil:
		return faultFee.error(map[string]any{"expected_fee": r.BadFee.ExpectedFee.String()})
	case r.BadBurn != nil:
		return faultRefused.error(map[string]any{"reason": "too little to burn", "min_burn_amount": r.BadBurn.MinBurnAmount.String()})
	case r.InsufficientFunds != nil:
		return faultFunds.error(map[string]any{"balance": r.InsufficientFunds.Balance.String()})
	case r.InsufficientAllowance != nil:
		return faultAllowance.error(map[string]any{"allowance": r.InsufficientAllowance.Allowance.String()})
	case r.AllowanceChanged != nil:
		return faultAllowance.error(map[string]any{"current_allowance": r.AllowanceChanged.CurrentAllowance.String()})
	case r.Expired != nil:
		return faultRefused.because("expires_at is in the past")
	case r.TooOld != nil:
		return faultExpired.because("the ledger has forgotten this time; look the transaction up in the blocks")
	case r.CreatedInFuture != nil:
		return faultEarly.error(map[string]any{"ledger_time": strconv.FormatUint(r.CreatedInFuture.LedgerTime, 10)})
	case r.TemporarilyUnavailable != nil:
		return faultBusy.error(nil)
	case r.GenericError != nil:
		return faultRefused.because(r.GenericError.Message)
	}
	return faultRefused.error(nil)
}

const (
	// submitTimeout is how long a submission waits for its answer; after that the caller submits again.
	submitTimeout = 45 * time.Second
	// askTimeout is how long the ledger is asked for its fee.
	askTimeout = 20 * time.Second
	// askAgain is the wait before a replica that failed is asked again.
	askAgain = 500 * time.Millisecond
	// sysTransient is the reject code of errors that heal (interface specification, section "Reject codes").
	sysTransient = 2
)

func (s *Server) submit(ctx context.Context, l *ledger, q *types.ConstructionSubmitRequest) (*types.TransactionIdentifierResponse, *types.Error) {
	t, i, err := l.decode(q.SignedTransaction)
	if err != nil {
		return nil, faultParse.of(err)
	}
	if !t.signed() {
		return nil, faultParse.because("the transaction is not signed")
	}
	hash, err := l.hash(i)
	if err != nil {
		return nil, faultParse.of(err)
	}
	done := func(block string) (*types.TransactionIdentifierResponse, *types.Error) {
		return &types.TransactionIdentifierResponse{TransactionIdentifier: identifierOf(hash), Metadata: map[string]any{"block_index": block}}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, submitTimeout)
	defer cancel()
	for {
		// What is in a block was executed, however long ago it was submitted.
		at, err := l.books.indicesOf(hash[:], l.head.Load().Proven, 1)
		if err != nil {
			return nil, s.broken(err)
		}
		if len(at) > 0 {
			return done(strconv.FormatUint(at[0], 10))
		}
		n, f := t.pick(uint64(s.cfg.Now().UnixNano()))
		if f != nil {
			return nil, f.error(nil)
		}
		e := t.envelopes(n)
		reply, err := s.cfg.Agent.Submit(ctx, e[0], e[1])
		var refused *agent.RejectError
		switch {
		case err == nil:
			var res outcome
			if err := candid.Unmarshal(reply, &res); err != nil {
				return nil, faultInternal.of(fmt.Errorf("answer of %s: %w", t.Method, err))
			}
			switch {
			case res.Ok != nil:
				return done(res.Ok.String())
			case res.Err.Duplicate != nil:
				return done(res.Err.Duplicate.DuplicateOf.String())
			}
			return nil, res.Err.fault()
		case errors.As(err, &refused) && refused.Certified:
			return nil, faultRefused.of(err)
		case again(ctx, err): // the same call is executed at most once, and another of the same transaction is a duplicate
		case errors.Is(err, agent.ErrUnknownOutcome):
			return nil, faultUnknown.of(err)
		default:
			return nil, faultLedger.of(err)
		}
	}
}

// again waits to ask a replica again that has failed: it is busy, restarts or is behind, and the clients of this API give up at the first error of
// construction. It is false if there is no time left or the replica itself refuses.
func again(ctx context.Context, err error) bool {
	var refused *agent.RejectError
	if errors.As(err, &refused) && !errors.Is(err, agent.ErrUnknownOutcome) && refused.Code != sysTransient {
		return false
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(askAgain):
		return ctx.Err() == nil
	}
}
