package envelope

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"fusion/ic/cbor"
	"fusion/ic/identity"
	"fusion/ic/principal"
)

// Limits of the interface specification (section "Authentication" and "Request: Read state"); the CDDL's bound of four
// delegations contradicts the text and is not the one that replicas enforce.
const (
	MaxNonce       = 32
	MaxDelegations = 20
	MaxTargets     = 1000
	MaxPaths       = 1000
	MaxLabels      = 127

	// MaxCanisterSignatures bounds the signatures of canisters in a request, each of which may cost two pairings (some 2 ms). Users of
	// an identity service have one, two with sender_info. The specification sets no bound; this one is ours.
	MaxCanisterSignatures = 4

	// MaxSize bounds an encoded envelope in bytes: the 2 MiB of an ingress message with room for a query's larger argument.
	MaxSize = 4 << 20

	// MaxTTL is how far ahead an ingress expiry may lie, and PermittedDrift what is added to it for clocks that differ; both are
	// implementation-defined, and these are the values of the Internet Computer's replicas (dfinity/ic, rs/limits).
	MaxTTL         = 5 * time.Minute
	PermittedDrift = 30 * time.Second
)

// Domain separators of signatures, interface specification section "Authentication": a length byte and the name.
const (
	sepRequest    = "\x0aic-request"
	sepDelegation = "\x1aic-request-auth-delegation"
	sepResponse   = "\x0bic-response"
	sepSenderInfo = "\x0eic-sender-info"
)

// Errors returned by this package; test with errors.Is.
var (
	ErrMalformed      = errors.New("malformed request")
	ErrTooLarge       = errors.New("request too large")
	ErrUnsupported    = errors.New("unsupported request")
	ErrExpired        = errors.New("request expired")
	ErrTooFarInFuture = errors.New("request expiry too far in the future")
	ErrBadSignature   = errors.New("bad signature")
	ErrSenderMismatch = errors.New("sender is not the one that the public key authenticates")
	ErrAnonymous      = errors.New("anonymous request must not be signed")
	ErrDelegation     = errors.New("bad delegation")
)

// RequestType says what a request asks for.
type RequestType string

// The request types.
const (
	Call      RequestType = "call"
	Query     RequestType = "query"
	ReadState RequestType = "read_state"
)

// ID identifies a request: the representation-independent hash of its content.
type ID = [sha256.Size]byte

// Content is what a request says.
type Content struct {
	RequestType   RequestType
	Sender        principal.Principal
	Nonce         []byte // nil when absent
	IngressExpiry uint64 // ns since 1970

	// Of a call or query.
	CanisterID principal.Principal
	MethodName string
	Arg        []byte
	SenderInfo *SenderInfo // nil when absent

	// Of a read_state request: each path is a list of labels.
	Paths [][][]byte
}

// SenderInfo is what a canister vouches for about the sender, and passes on to the canister that is called (since version 0.66 of
// the specification). The sender's key is a key of that canister.
type SenderInfo struct {
	Info   []byte
	Signer principal.Principal // the canister
	Sig    []byte              // its signature of Info
}

// Envelope is a request with what authenticates it.
type Envelope struct {
	Content          Content
	SenderPubkey     []byte // DER; nil for anonymous requests, as is SenderSig
	SenderSig        []byte
	SenderDelegation []SignedDelegation
}

// Delegation allows another key to sign requests.
type Delegation struct {
	Pubkey      []byte                // DER key that may sign
	Expiration  uint64                // ns since 1970
	Targets     []principal.Principal // canisters that requests may go to; nil for all
	Permissions string                // "", PermissionAll or PermissionQueries
}

// Permissions of a delegation (since version 0.64 of the specification).
const (
	PermissionAll     = "all"
	PermissionQueries = "queries" // query and read_state requests only
)

// SignedDelegation is a delegation with the signature of the key that delegates.
type SignedDelegation struct {
	Delegation Delegation
	Signature  []byte
}

// Hashes of field names, which representation-independent hashing sorts by.
var (
	keyRequestType   = sha256.Sum256([]byte("request_type"))
	keySender        = sha256.Sum256([]byte("sender"))
	keyNonce         = sha256.Sum256([]byte("nonce"))
	keyIngressExpiry = sha256.Sum256([]byte("ingress_expiry"))
	keyCanisterID    = sha256.Sum256([]byte("canister_id"))
	keyMethodName    = sha256.Sum256([]byte("method_name"))
	keyArg           = sha256.Sum256([]byte("arg"))
	keySenderInfo    = sha256.Sum256([]byte("sender_info"))
	keyInfo          = sha256.Sum256([]byte("info"))
	keySigner        = sha256.Sum256([]byte("signer"))
	keySig           = sha256.Sum256([]byte("sig"))
	keyPaths         = sha256.Sum256([]byte("paths"))
	keyPubkey        = sha256.Sum256([]byte("pubkey"))
	keyExpiration    = sha256.Sum256([]byte("expiration"))
	keyTargets       = sha256.Sum256([]byte("targets"))
	keyPermissions   = sha256.Sum256([]byte("permissions"))
	keyStatus        = sha256.Sum256([]byte("status"))
	keyReply         = sha256.Sum256([]byte("reply"))
	keyRejectCode    = sha256.Sum256([]byte("reject_code"))
	keyRejectMessage = sha256.Sum256([]byte("reject_message"))
	keyErrorCode     = sha256.Sum256([]byte("error_code"))
	keyTimestamp     = sha256.Sum256([]byte("timestamp"))
	keyRequestID     = sha256.Sum256([]byte("request_id"))
)

// mapHash computes the representation-independent hash of a map (section "Representation-independent hashing of structured
// data") of up to eight fields, without allocating.
type mapHash struct {
	n     int
	pairs [8][2 * sha256.Size]byte
}

func (h *mapHash) add(key *[32]byte, value [32]byte) {
	i := h.n
	for ; i > 0 && string(key[:]) < string(h.pairs[i-1][:sha256.Size]); i-- { // keys differ, so values need no comparing
		h.pairs[i] = h.pairs[i-1]
	}
	copy(h.pairs[i][:sha256.Size], key[:])
	copy(h.pairs[i][sha256.Size:], value[:])
	h.n++
}

func (h *mapHash) blob(key *[32]byte, v []byte) { h.add(key, sha256.Sum256(v)) }

func (h *mapHash) principal(key *[32]byte, p principal.Principal) {
	var b [principal.MaxLen]byte
	h.blob(key, p.Append(b[:0]))
}

func (h *mapHash) text(key *[32]byte, s string) {
	var b [64]byte // a longer name costs an allocation
	h.blob(key, append(b[:0], s...))
}

// nat hashes the shortest LEB128 of n, which is what PutUvarint writes.
func (h *mapHash) nat(key *[32]byte, n uint64) {
	var b [binary.MaxVarintLen64]byte
	h.blob(key, b[:binary.PutUvarint(b[:], n)])
}

func (h *mapHash) sum() [32]byte {
	var b [len(h.pairs) * 2 * sha256.Size]byte
	for i := range h.n {
		copy(b[i*2*sha256.Size:], h.pairs[i][:])
	}
	return sha256.Sum256(b[:h.n*2*sha256.Size])
}

// RequestID computes the request's id.
func (c *Content) RequestID() ID {
	var h mapHash
	h.text(&keyRequestType, string(c.RequestType))
	h.principal(&keySender, c.Sender)
	h.nat(&keyIngressExpiry, c.IngressExpiry)
	if c.Nonce != nil {
		h.blob(&keyNonce, c.Nonce)
	}
	if c.RequestType == ReadState {
		h.add(&keyPaths, hashPaths(c.Paths))
		return h.sum()
	}
	h.principal(&keyCanisterID, c.CanisterID)
	h.text(&keyMethodName, c.MethodName)
	h.blob(&keyArg, c.Arg)
	if i := c.SenderInfo; i != nil {
		var info mapHash
		info.blob(&keyInfo, i.Info)
		info.principal(&keySigner, i.Signer)
		info.blob(&keySig, i.Sig)
		h.add(&keySenderInfo, info.sum())
	}
	return h.sum()
}

// hashPaths hashes an array of arrays of blobs: the hash of the elements' hashes.
func hashPaths(paths [][][]byte) [32]byte {
	outer := make([]byte, 0, len(paths)*sha256.Size)
	var inner []byte
	for _, p := range paths {
		inner = inner[:0]
		for _, l := range p {
			d := sha256.Sum256(l)
			inner = append(inner, d[:]...)
		}
		d := sha256.Sum256(inner)
		outer = append(outer, d[:]...)
	}
	return sha256.Sum256(outer)
}

func (d *Delegation) hash() [32]byte {
	var h mapHash
	h.blob(&keyPubkey, d.Pubkey)
	h.nat(&keyExpiration, d.Expiration)
	if d.Targets != nil {
		all := make([]byte, 0, len(d.Targets)*sha256.Size)
		var b [principal.MaxLen]byte
		for _, t := range d.Targets {
			sum := sha256.Sum256(t.Append(b[:0]))
			all = append(all, sum[:]...)
		}
		h.blob(&keyTargets, all)
	}
	if d.Permissions != "" {
		h.text(&keyPermissions, d.Permissions)
	}
	return h.sum()
}

// signed returns a domain separator followed by a hash, which is what is signed.
func signed(sep string, hash [32]byte) []byte {
	return append(append(make([]byte, 0, len(sep)+len(hash)), sep...), hash[:]...)
}

// SignedBytes is what the sender signs of a content: the domain separator and the request's id. It is for signers who are somewhere else; the
// others use Sign.
func (c *Content) SignedBytes() []byte { return signed(sepRequest, c.RequestID()) }

// Sign makes the envelope of a content. It sets the sender to the identity's; for the anonymous identity it signs nothing, and for
// a [Delegated] one it adds the delegations and, to calls and queries, what is vouched for about the user.
func Sign(c Content, id identity.Identity) (*Envelope, error) {
	c.Sender = id.Sender()
	if c.Sender.IsAnonymous() {
		return &Envelope{Content: c}, nil
	}
	e := &Envelope{SenderPubkey: id.PublicKeyDER()}
	if d, ok := id.(*Delegated); ok {
		e.SenderDelegation = d.chain
		if c.RequestType != ReadState && c.SenderInfo == nil {
			c.SenderInfo = d.info
		}
	}
	var err error
	if e.SenderSig, err = id.Sign(c.SignedBytes()); err != nil {
		return nil, fmt.Errorf("signing a %s request: %w", c.RequestType, err)
	}
	e.Content = c
	return e, nil
}

// Delegate signs a delegation with an identity.
func Delegate(id identity.Identity, d Delegation) (SignedDelegation, error) {
	sig, err := id.Sign(signed(sepDelegation, d.hash()))
	if err != nil {
		return SignedDelegation{}, fmt.Errorf("signing a delegation: %w", err)
	}
	return SignedDelegation{d, sig}, nil
}

// CanisterVerifier checks signatures of canisters, for which one needs a root key: a *certificate.Verifier is one.
type CanisterVerifier interface {
	VerifyCanisterSignature(canister principal.Principal, seed, msg, sig []byte) error
}

// Verify checks signature and times of a request at nowNs, ns since 1970. Without a verifier, canisters' signatures are refused.
func (e *Envelope) Verify(nowNs uint64, canisters CanisterVerifier) error {
	if err := e.CheckTimes(nowNs); err != nil {
		return err
	}
	_, err := e.VerifySignature(canisters)
	return err
}

// CheckTimes checks that the request and its delegations have not expired at nowNs, and that the request does not expire later
// than MaxTTL and PermittedDrift from then. Anonymous queries and reads have no times to check: they are not replayed by anybody.
func (e *Envelope) CheckTimes(nowNs uint64) error {
	c := &e.Content
	if c.Sender.IsAnonymous() && c.RequestType != Call {
		return nil
	}
	if c.IngressExpiry < nowNs {
		return fmt.Errorf("%w: %s ago", ErrExpired, time.Duration(nowNs-c.IngressExpiry).Round(time.Millisecond))
	}
	if ahead := c.IngressExpiry - nowNs; ahead > uint64(MaxTTL+PermittedDrift) {
		return fmt.Errorf("%w: %d s ahead, at most %d s", ErrTooFarInFuture, ahead/uint64(time.Second), int(MaxTTL.Seconds()))
	}
	for i := range e.SenderDelegation {
		if exp := e.SenderDelegation[i].Delegation.Expiration; exp < nowNs {
			return fmt.Errorf("%w: number %d expired %s ago", ErrDelegation, i, time.Duration(nowNs-exp).Round(time.Millisecond))
		}
	}
	return nil
}

// VerifySignature checks everything but times: that the public key authenticates the sender, the chain of delegations, its
// targets and permissions, the signature, and what is vouched for about the sender. It returns the request's id, which it had to
// compute. The verdict is a function of the request and of the verifier's root key.
func (e *Envelope) VerifySignature(canisters CanisterVerifier) (ID, error) {
	c := &e.Content
	id := c.RequestID()
	if c.Sender.IsAnonymous() {
		if e.SenderPubkey != nil || e.SenderSig != nil || e.SenderDelegation != nil || c.SenderInfo != nil {
			return id, ErrAnonymous
		}
		return id, nil
	}
	return id, e.verifySigned(id, &keyring{canisters: canisters})
}

// canisterCost is what checking the signature of a canister costs, in units of an ordinary one: two pairings and a hash tree.
const canisterCost = 20

// Cost estimates what VerifySignature takes before anything is computed, in units of an ordinary signature's check (some 0.1 ms); at
// least one. Who serves many can refuse what would take too long.
func (e *Envelope) Cost() int {
	cost := func(key []byte) int {
		if identity.IsCanisterKey(key) {
			return canisterCost
		}
		return 1
	}
	units := cost(e.SenderPubkey)
	if e.Content.SenderInfo != nil {
		units *= 2
	}
	for i := range e.SenderDelegation {
		units += cost(e.SenderDelegation[i].Delegation.Pubkey)
	}
	return units
}

// keyring verifies the signatures of one request.
type keyring struct {
	canisters CanisterVerifier
	used      int // signatures of canisters
}

func (k *keyring) verify(key identity.PublicKey, msg, sig []byte) error {
	c, ok := key.(*identity.CanisterKey)
	if !ok {
		return key.Verify(msg, sig)
	}
	if k.canisters == nil {
		return fmt.Errorf("%w: %w: there is no root key to check it with", ErrUnsupported, key.Verify(msg, sig))
	}
	if k.used++; k.used > MaxCanisterSignatures {
		return fmt.Errorf("more than %d signatures of canisters in a request", MaxCanisterSignatures)
	}
	return k.canisters.VerifyCanisterSignature(c.Canister, c.Seed, msg, sig)
}

func (e *Envelope) verifySigned(id ID, ring *keyring) error {
	c := &e.Content
	if e.SenderPubkey == nil || e.SenderSig == nil {
		return fmt.Errorf("%w: the request of %s has no public key or signature", ErrBadSignature, c.Sender)
	}
	if got := principal.SelfAuthenticating(e.SenderPubkey); got != c.Sender {
		return fmt.Errorf("%w: %s, key of %s", ErrSenderMismatch, c.Sender, got)
	}
	key, err := parseKey(e.SenderPubkey)
	if err != nil {
		return err
	}
	if len(e.SenderDelegation) > MaxDelegations {
		return fmt.Errorf("%w: %d in the chain, at most %d", ErrDelegation, len(e.SenderDelegation), MaxDelegations)
	}
	for i := range e.SenderDelegation { // what costs nothing comes first
		if err := e.checkDelegation(i); err != nil {
			return err
		}
	}
	user := key
	for i := range e.SenderDelegation {
		d := &e.SenderDelegation[i].Delegation
		if err := ring.verify(key, signed(sepDelegation, d.hash()), e.SenderDelegation[i].Signature); err != nil {
			return fmt.Errorf("%w: number %d: %w", ErrDelegation, i, err)
		}
		if key, err = parseKey(d.Pubkey); err != nil {
			return err
		}
	}
	if err := ring.verify(key, signed(sepRequest, id), e.SenderSig); err != nil {
		return fmt.Errorf("%w: of the %s request: %w", ErrBadSignature, c.RequestType, err)
	}
	return c.SenderInfo.verify(user, ring)
}

// verify checks that the canister to which the user's key belongs vouches for the information.
func (i *SenderInfo) verify(user identity.PublicKey, ring *keyring) error {
	if i == nil {
		return nil
	}
	key, ok := user.(*identity.CanisterKey)
	if !ok || key.Canister != i.Signer {
		return fmt.Errorf("%w: sender_info of canister %s for a key that is not of this canister", ErrBadSignature, i.Signer)
	}
	if err := ring.verify(key, append([]byte(sepSenderInfo), i.Info...), i.Sig); err != nil {
		return fmt.Errorf("%w: of sender_info: %w", ErrBadSignature, err)
	}
	return nil
}

func (e *Envelope) checkDelegation(i int) error {
	d := &e.SenderDelegation[i].Delegation
	seen := string(d.Pubkey) == string(e.SenderPubkey)
	for j := range i {
		seen = seen || string(d.Pubkey) == string(e.SenderDelegation[j].Delegation.Pubkey)
	}
	if seen {
		return fmt.Errorf("%w: number %d delegates to a key that is already in the chain", ErrDelegation, i)
	}
	if len(d.Targets) > MaxTargets {
		return fmt.Errorf("%w: number %d has %d targets, at most %d", ErrDelegation, i, len(d.Targets), MaxTargets)
	}
	if e.Content.RequestType != ReadState && !d.allows(e.Content.CanisterID) {
		return fmt.Errorf("%w: number %d is not for canister %s", ErrDelegation, i, e.Content.CanisterID)
	}
	switch d.Permissions {
	case "", PermissionAll:
	case PermissionQueries:
		if e.Content.RequestType == Call {
			return fmt.Errorf("%w: number %d permits queries only", ErrDelegation, i)
		}
	default:
		return fmt.Errorf("%w: number %d has the unknown permission %q", ErrDelegation, i, d.Permissions)
	}
	return nil
}

func (d *Delegation) allows(canister principal.Principal) bool {
	if d.Targets == nil {
		return true
	}
	for _, t := range d.Targets {
		if t == canister {
			return true
		}
	}
	return false
}

// Allows reports whether the delegations let the request speak for its sender towards a canister. A read_state request names no
// canister, so whoever answers it asks for each canister whose private state it would reveal.
func (e *Envelope) Allows(canister principal.Principal) bool {
	for i := range e.SenderDelegation {
		if !e.SenderDelegation[i].Delegation.allows(canister) {
			return false
		}
	}
	return true
}

func parseKey(der []byte) (identity.PublicKey, error) {
	key, err := identity.ParsePublicKey(der)
	switch {
	case errors.Is(err, identity.ErrUnsupported):
		return nil, fmt.Errorf("%w: %w", ErrUnsupported, err)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrBadSignature, err)
	}
	return key, nil
}

// Encode returns the CBOR of the envelope.
func (e *Envelope) Encode() []byte {
	c := &e.Content
	size := 256 + len(c.Arg) + len(c.MethodName) + len(c.Nonce) + len(e.SenderPubkey) + len(e.SenderSig) + 256*len(e.SenderDelegation)
	fields := 1
	for _, present := range []bool{e.SenderPubkey != nil, e.SenderSig != nil, e.SenderDelegation != nil} {
		if present {
			fields++
		}
	}
	b := cbor.AppendMap(cbor.AppendSelfDescribe(make([]byte, 0, size)), fields)
	b = c.append(cbor.AppendText(b, "content"))
	if e.SenderPubkey != nil {
		b = cbor.AppendBytes(cbor.AppendText(b, "sender_pubkey"), e.SenderPubkey)
	}
	if e.SenderSig != nil {
		b = cbor.AppendBytes(cbor.AppendText(b, "sender_sig"), e.SenderSig)
	}
	if e.SenderDelegation != nil {
		b = cbor.AppendArray(cbor.AppendText(b, "sender_delegation"), len(e.SenderDelegation))
		for i := range e.SenderDelegation {
			b = e.SenderDelegation[i].append(b)
		}
	}
	return b
}

func appendPrincipal(dst []byte, p principal.Principal) []byte {
	var b [principal.MaxLen]byte
	return cbor.AppendBytes(dst, p.Append(b[:0]))
}

func (c *Content) append(b []byte) []byte {
	fields := 6
	if c.RequestType == ReadState {
		fields = 4
	}
	if c.Nonce != nil {
		fields++
	}
	if c.SenderInfo != nil {
		fields++
	}
	b = cbor.AppendMap(b, fields)
	b = cbor.AppendText(cbor.AppendText(b, "request_type"), string(c.RequestType))
	b = appendPrincipal(cbor.AppendText(b, "sender"), c.Sender)
	b = cbor.AppendUint(cbor.AppendText(b, "ingress_expiry"), c.IngressExpiry)
	if c.Nonce != nil {
		b = cbor.AppendBytes(cbor.AppendText(b, "nonce"), c.Nonce)
	}
	if c.RequestType == ReadState {
		b = cbor.AppendArray(cbor.AppendText(b, "paths"), len(c.Paths))
		for _, p := range c.Paths {
			b = cbor.AppendArray(b, len(p))
			for _, l := range p {
				b = cbor.AppendBytes(b, l)
			}
		}
		return b
	}
	b = appendPrincipal(cbor.AppendText(b, "canister_id"), c.CanisterID)
	b = cbor.AppendText(cbor.AppendText(b, "method_name"), c.MethodName)
	b = cbor.AppendBytes(cbor.AppendText(b, "arg"), c.Arg)
	if i := c.SenderInfo; i != nil {
		b = cbor.AppendBytes(cbor.AppendText(cbor.AppendMap(cbor.AppendText(b, "sender_info"), 3), "info"), i.Info)
		b = appendPrincipal(cbor.AppendText(b, "signer"), i.Signer)
		b = cbor.AppendBytes(cbor.AppendText(b, "sig"), i.Sig)
	}
	return b
}

func (s *SignedDelegation) append(b []byte) []byte {
	d := &s.Delegation
	fields := 2
	if d.Targets != nil {
		fields++
	}
	if d.Permissions != "" {
		fields++
	}
	b = cbor.AppendText(cbor.AppendMap(b, 2), "delegation")
	b = cbor.AppendBytes(cbor.AppendText(cbor.AppendMap(b, fields), "pubkey"), d.Pubkey)
	b = cbor.AppendUint(cbor.AppendText(b, "expiration"), d.Expiration)
	if d.Targets != nil {
		b = cbor.AppendArray(cbor.AppendText(b, "targets"), len(d.Targets))
		for _, t := range d.Targets {
			b = appendPrincipal(b, t)
		}
	}
	if d.Permissions != "" {
		b = cbor.AppendText(cbor.AppendText(b, "permissions"), d.Permissions)
	}
	return cbor.AppendBytes(cbor.AppendText(b, "signature"), s.Signature)
}
