package envelope

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	fx "github.com/fxamacker/cbor/v2"

	"fusion/ic/identity"
	"fusion/ic/principal"
)

const now = uint64(1_685_570_400_000_000_000)

func specContent() Content {
	return Content{RequestType: Call, Sender: principal.Anonymous, IngressExpiry: now,
		CanisterID: principal.MustFromBytes([]byte{0, 0, 0, 0, 0, 0, 4, 0xd2}), MethodName: "hello", Arg: []byte("DIDL\x00\xfd*")}
}

// The worked example of the interface specification, section "Request ids".
func TestRequestIDOfSpec(t *testing.T) {
	c := specContent()
	id := c.RequestID()
	if got := hex.EncodeToString(id[:]); got != "1d1091364d6bb8a6c16b203ee75467d59ead468f523eb058880ae8ec80e2b101" {
		t.Errorf("request id %s", got)
	}
}

func newID(t testing.TB) *identity.Ed25519 {
	t.Helper()
	id, err := identity.GenerateEd25519()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// signDelegated signs with any chain, also with one that no honest client would make.
func signDelegated(c Content, user []byte, chain []SignedDelegation, key identity.Identity) (*Envelope, error) {
	return Sign(c, &Delegated{user: user, sender: principal.SelfAuthenticating(user), chain: chain, key: key})
}

func samples(t testing.TB) map[string]*Envelope {
	t.Helper()
	root, mid, leaf := newID(t), newID(t), newID(t)
	k1, err := identity.GenerateSecp256k1()
	if err != nil {
		t.Fatal(err)
	}
	c := specContent()
	c.IngressExpiry += uint64(time.Minute)
	d1, _ := Delegate(root, Delegation{Pubkey: mid.PublicKeyDER(), Expiration: now + 5, Permissions: PermissionAll})
	d2, _ := Delegate(mid, Delegation{Pubkey: leaf.PublicKeyDER(), Expiration: now + 6, Targets: []principal.Principal{{}, c.CanisterID}})
	rs := Content{RequestType: ReadState, IngressExpiry: c.IngressExpiry, Nonce: []byte{}, Paths: [][][]byte{{[]byte("time")}, {}, {{}, {1}}}}
	q := c
	q.RequestType, q.Nonce = Query, []byte("nonce")
	out := map[string]*Envelope{}
	add := func(name string, e *Envelope, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		out[name] = e
	}
	e, err := Sign(c, identity.Anonymous{})
	add("anonymous call", e, err)
	e, err = Sign(c, root)
	add("ed25519 call", e, err)
	e, err = Sign(q, k1)
	add("secp256k1 query", e, err)
	e, err = Sign(rs, root)
	add("read_state", e, err)
	e, err = signDelegated(c, root.PublicKeyDER(), []SignedDelegation{d1, d2}, leaf)
	add("delegated call", e, err)
	e, err = signDelegated(rs, root.PublicKeyDER(), []SignedDelegation{d1, d2}, leaf)
	add("delegated read", e, err)
	passkey, err := identity.GenerateWebAuthn(identity.ES256, "https://example.com")
	add("passkey call", e, err)
	e, err = Sign(c, passkey)
	add("passkey call", e, err)
	viaPasskey, err := DelegateTo(passkey, root, time.Unix(0, int64(now)+9), c.CanisterID)
	add("by a passkey's delegation", e, err)
	e, err = Sign(q, viaPasskey)
	add("by a passkey's delegation", e, err)
	return out
}

func TestEncodeDecodeVerify(t *testing.T) {
	for name, e := range samples(t) {
		b := e.Encode()
		var generic any
		if err := fx.Unmarshal(b, &generic); err != nil {
			t.Errorf("%s: a general library refuses it: %v", name, err)
		}
		got, err := Decode(b)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !reflect.DeepEqual(got, e) {
			t.Errorf("%s: %+v, want %+v", name, got, e)
		}
		if err := got.Verify(now, nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got.Content.RequestID() != e.Content.RequestID() {
			t.Errorf("%s: request id changed", name)
		}
	}
}

// The hash of maps is checked against a direct transcription of the specification.
func TestHashesAgainstNaive(t *testing.T) {
	all := samples(t)
	informed := specContent()
	informed.Nonce, informed.SenderInfo = []byte("n"), &SenderInfo{Info: []byte("info"), Signer: principal.FromUint64(3), Sig: []byte("sig")}
	all["sender_info"] = &Envelope{Content: informed}
	for name, e := range all {
		c := &e.Content
		m := map[string]any{"request_type": string(c.RequestType), "sender": c.Sender.Bytes(), "ingress_expiry": c.IngressExpiry}
		if c.Nonce != nil {
			m["nonce"] = c.Nonce
		}
		if c.RequestType == ReadState {
			var paths []any
			for _, p := range c.Paths {
				path := []any{}
				for _, l := range p {
					path = append(path, l)
				}
				paths = append(paths, path)
			}
			m["paths"] = paths
		} else {
			m["canister_id"], m["method_name"], m["arg"] = c.CanisterID.Bytes(), c.MethodName, c.Arg
			if i := c.SenderInfo; i != nil {
				m["sender_info"] = map[string]any{"info": i.Info, "signer": i.Signer.Bytes(), "sig": i.Sig}
			}
		}
		if got, want := c.RequestID(), naiveHash(m); got != want {
			t.Errorf("%s: %x, want %x", name, got, want)
		}
		for i := range e.SenderDelegation {
			d := &e.SenderDelegation[i].Delegation
			m := map[string]any{"pubkey": d.Pubkey, "expiration": d.Expiration}
			if d.Targets != nil {
				targets := []any{}
				for _, p := range d.Targets {
					targets = append(targets, p.Bytes())
				}
				m["targets"] = targets
			}
			if d.Permissions != "" {
				m["permissions"] = d.Permissions
			}
			if got, want := d.hash(), naiveHash(m); got != want {
				t.Errorf("%s: delegation %d: %x, want %x", name, i, got, want)
			}
		}
	}
	q := QueryResponse{Reply: []byte("DIDL\x00\x00")}
	want := naiveHash(map[string]any{"status": "replied", "reply": map[string]any{"arg": q.Reply}, "timestamp": now, "request_id": bytes.Repeat([]byte{7}, 32)})
	if got := q.SignedBytes(ID(bytes.Repeat([]byte{7}, 32)), now); string(got) != "\x0bic-response"+string(want[:]) {
		t.Errorf("query response: %x, want %x", got, want)
	}
	q = QueryResponse{Reject: &Reject{Code: 4, Message: "no", ErrorCode: "IC0406"}}
	want = naiveHash(map[string]any{"status": "rejected", "reject_code": uint64(4), "reject_message": "no", "error_code": "IC0406", "timestamp": now,
		"request_id": bytes.Repeat([]byte{7}, 32)})
	if got := q.SignedBytes(ID(bytes.Repeat([]byte{7}, 32)), now); string(got) != "\x0bic-response"+string(want[:]) {
		t.Errorf("rejected query: %x, want %x", got, want)
	}
}

func TestVerifyRefuses(t *testing.T) {
	root, mid, other := newID(t), newID(t), newID(t)
	c := specContent()
	c.IngressExpiry += uint64(time.Minute)
	delegate := func(by identity.Identity, d Delegation) SignedDelegation {
		s, err := Delegate(by, d)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	plain := func(mut func(*Envelope)) *Envelope {
		e, err := Sign(c, root)
		if err != nil {
			t.Fatal(err)
		}
		mut(e)
		return e
	}
	chain := func(c Content, d ...SignedDelegation) *Envelope {
		e, err := signDelegated(c, root.PublicKeyDER(), d, mid)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	to := func(id identity.Identity) Delegation {
		return Delegation{Pubkey: id.PublicKeyDER(), Expiration: now + 1}
	}
	query := c
	query.RequestType = Query
	with := func(d Delegation, mut func(*Delegation)) Delegation { mut(&d); return d }
	long := make([]SignedDelegation, MaxDelegations+1)
	by := root
	var last *identity.Ed25519 // the one that the twentieth delegates to
	for i := range long {
		last = by
		by = newID(t)
		long[i] = delegate(last, to(by))
	}
	for name, tc := range map[string]struct {
		e    *Envelope
		want error
	}{
		"expired":             {plain(func(e *Envelope) { e.Content.IngressExpiry = now - 1 }), ErrExpired},
		"far future":          {plain(func(e *Envelope) { e.Content.IngressExpiry = now + uint64(6*time.Minute) }), ErrTooFarInFuture},
		"never expires":       {plain(func(e *Envelope) { e.Content.IngressExpiry = 1<<64 - 1 }), ErrTooFarInFuture},
		"changed argument":    {plain(func(e *Envelope) { e.Content.Arg = []byte("x") }), ErrBadSignature},
		"changed method":      {plain(func(e *Envelope) { e.Content.MethodName = "x" }), ErrBadSignature},
		"added nonce":         {plain(func(e *Envelope) { e.Content.Nonce = []byte{} }), ErrBadSignature},
		"call as query":       {plain(func(e *Envelope) { e.Content.RequestType = Query }), ErrBadSignature},
		"no signature":        {plain(func(e *Envelope) { e.SenderSig = nil }), ErrBadSignature},
		"no key":              {plain(func(e *Envelope) { e.SenderPubkey = nil }), ErrBadSignature},
		"other key":           {plain(func(e *Envelope) { e.SenderPubkey = other.PublicKeyDER() }), ErrSenderMismatch},
		"other sender":        {plain(func(e *Envelope) { e.Content.Sender = other.Sender() }), ErrSenderMismatch},
		"signed anonymous":    {plain(func(e *Envelope) { e.Content.Sender = principal.Anonymous }), ErrAnonymous},
		"management sender":   {plain(func(e *Envelope) { e.Content.Sender = principal.Management }), ErrSenderMismatch},
		"empty chain":         {plain(func(e *Envelope) { e.SenderDelegation = []SignedDelegation{} }), nil},
		"chain":               {chain(c, delegate(root, to(mid))), nil},
		"chain elsewhere":     {chain(c, delegate(root, to(other))), ErrBadSignature},
		"chain by another":    {chain(c, delegate(other, to(mid))), ErrDelegation},
		"expired delegation":  {chain(c, delegate(root, with(to(mid), func(d *Delegation) { d.Expiration = now - 1 }))), ErrDelegation},
		"self-delegation":     {chain(c, delegate(root, to(root)), delegate(root, to(mid))), ErrDelegation},
		"cycle":               {chain(c, delegate(root, to(other)), delegate(other, to(mid)), delegate(mid, to(other)), delegate(other, to(mid))), ErrDelegation},
		"other target":        {chain(c, delegate(root, with(to(mid), func(d *Delegation) { d.Targets = []principal.Principal{other.Sender()} }))), ErrDelegation},
		"no target":           {chain(c, delegate(root, with(to(mid), func(d *Delegation) { d.Targets = []principal.Principal{} }))), ErrDelegation},
		"target":              {chain(c, delegate(root, with(to(mid), func(d *Delegation) { d.Targets = []principal.Principal{c.CanisterID} }))), nil},
		"many targets":        {chain(c, delegate(root, with(to(mid), func(d *Delegation) { d.Targets = make([]principal.Principal, MaxTargets+1) }))), ErrDelegation},
		"queries for a call":  {chain(c, delegate(root, with(to(mid), func(d *Delegation) { d.Permissions = PermissionQueries }))), ErrDelegation},
		"queries for a query": {chain(query, delegate(root, with(to(mid), func(d *Delegation) { d.Permissions = PermissionQueries }))), nil},
		"unknown permission":  {chain(query, delegate(root, with(to(mid), func(d *Delegation) { d.Permissions = "some" }))), ErrDelegation},
		"too many":            {chain(c, long...), ErrDelegation},
	} {
		if err := tc.e.Verify(now, nil); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
	// Twenty are allowed.
	e, _ := signDelegated(c, root.PublicKeyDER(), long[:MaxDelegations], last)
	if err := e.Verify(now, nil); err != nil {
		t.Errorf("twenty delegations: %v", err)
	}
	// An anonymous query has no expiry, an anonymous call has.
	anon := specContent()
	anon.IngressExpiry = 0
	if err := (&Envelope{Content: anon}).Verify(now, nil); !errors.Is(err, ErrExpired) {
		t.Errorf("expired anonymous call: %v", err)
	}
	anon.RequestType = Query
	if err := (&Envelope{Content: anon}).Verify(now, nil); err != nil {
		t.Errorf("anonymous query: %v", err)
	}
}

func TestAllows(t *testing.T) {
	e := samples(t)["delegated read"]
	if c := specContent(); !e.Allows(c.CanisterID) || e.Allows(principal.FromUint64(9)) {
		t.Error("targets of a read_state request")
	}
}

func TestDecodeRefuses(t *testing.T) {
	enc := func(v any) []byte {
		b, err := fx.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	content := func(mut func(m map[string]any)) []byte {
		m := map[string]any{"request_type": "call", "sender": []byte{4}, "ingress_expiry": 1, "canister_id": []byte{1}, "method_name": "m", "arg": []byte{}}
		mut(m)
		return enc(map[string]any{"content": m})
	}
	set := func(k string, v any) []byte { return content(func(m map[string]any) { m[k] = v }) }
	many := make([]any, MaxPaths+1)
	for i := range many {
		many[i] = []any{}
	}
	labels := make([]any, MaxLabels+1)
	for i := range labels {
		labels[i] = []byte{}
	}
	reads := func(paths any) []byte {
		return enc(map[string]any{"content": map[string]any{"request_type": "read_state", "sender": []byte{4}, "ingress_expiry": 1, "paths": paths}})
	}
	dup, _ := hex.DecodeString("a267636f6e74656e74a067636f6e74656e74a0")
	for name, c := range map[string]struct {
		in   []byte
		want string
	}{
		"nothing":            {nil, "ends inside"},
		"not a map":          {[]byte{0x80}, "array where map"},
		"no content":         {enc(map[string]any{}), `"content" is missing`},
		"unknown field":      {enc(map[string]any{"contents": 1}), `unknown field "contents"`},
		"unknown in content": {set("reply", 1), `unknown field "reply"`},
		"sender info":        {set("sender_info", map[string]any{}), `"info" is missing`},
		"sender info, more":  {set("sender_info", map[string]any{"origin": 1}), `sender_info has the unknown field "origin"`},
		"sender info, text":  {set("sender_info", "x"), "text string where map"},
		"sender info to read": {enc(map[string]any{"content": map[string]any{"request_type": "read_state", "sender": []byte{4}, "ingress_expiry": 1, "paths": []any{},
			"sender_info": map[string]any{"info": []byte{}, "signer": []byte{1}, "sig": []byte{}}}}), "fields of another type"},
		"type":                {set("request_type", "cal"), `request type "cal"`},
		"long principal":      {set("sender", make([]byte, 30)), "principal longer"},
		"long nonce":          {set("nonce", make([]byte, 33)), "nonce of 33"},
		"float expiry":        {set("ingress_expiry", 1.5), "unsigned integer"},
		"negative expiry":     {set("ingress_expiry", -1), "negative"},
		"arg as text":         {set("arg", "x"), "byte string"},
		"missing arg":         {content(func(m map[string]any) { delete(m, "arg") }), `"arg" is missing`},
		"null arg":            {set("arg", nil), `"arg" is missing`},
		"paths in a call":     {set("paths", []any{}), "fields of another type"},
		"many paths":          {reads(many), "more than 1000 paths"},
		"many labels":         {reads([]any{labels}), "more than 127 labels"},
		"trailing":            {append(content(func(map[string]any) {}), 0), "after the end"},
		"duplicate":           {dup, "missing"},
		"huge":                {make([]byte, MaxSize+1), "too large"},
		"many delegations":    {enc(map[string]any{"sender_delegation": make([]map[string]any, 21)}), "where map"},
		"delegation no map":   {enc(map[string]any{"sender_delegation": []any{1}}), "where map"},
		"delegation no key":   {enc(map[string]any{"sender_delegation": []any{map[string]any{"signature": []byte{}, "delegation": map[string]any{"expiration": 1}}}}), `"pubkey" is missing`},
		"delegation unknown":  {enc(map[string]any{"sender_delegation": []any{map[string]any{"sig": 1}}}), `unknown field "sig"`},
		"delegation nothing":  {enc(map[string]any{"sender_delegation": []any{map[string]any{}}}), `"delegation" is missing`},
		"delegation emptyish": {enc(map[string]any{"sender_delegation": []any{map[string]any{"delegation": map[string]any{"permissions": ""}}}}), "empty permissions"},
	} {
		_, err := Decode(c.in)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if _, err := Decode(set("nonce", nil)); err != nil {
		t.Errorf("a null nonce is an absent one: %v", err)
	}
}

func TestResponses(t *testing.T) {
	rej := &Reject{Code: 3, Message: "no canister", ErrorCode: "IC0301"}
	for _, q := range []*QueryResponse{
		{Reply: []byte("x"), Signatures: []NodeSignature{{Timestamp: now, Signature: []byte("s"), Identity: principal.Anonymous}}},
		{Reply: []byte{}, Signatures: []NodeSignature{{}}}, {Reject: rej}, {Reject: &Reject{Code: 4, Message: "m"}},
	} {
		got, err := DecodeQueryResponse(q.Encode())
		if err != nil || fmt.Sprint(got) != fmt.Sprint(q) {
			t.Errorf("%v: %v, %v", q, got, err)
		}
	}
	for _, c := range []*CallResponse{{Certificate: []byte("c")}, {Reject: rej}} {
		got, err := DecodeCallResponse(c.Encode())
		if err != nil || !reflect.DeepEqual(got, c) {
			t.Errorf("%v: %v, %v", c, got, err)
		}
	}
	if got, err := DecodeCallResponse(rej.EncodeAsync()); err != nil || *got.Reject != *rej {
		t.Errorf("asynchronous reject: %v, %v", got, err)
	}
	if got, err := DecodeReadStateResponse((&ReadStateResponse{[]byte("c")}).Encode()); err != nil || string(got.Certificate) != "c" {
		t.Errorf("%v, %v", got, err)
	}
	s := &Status{RootKey: []byte("k"), ImplVersion: "v", Health: "healthy", CertifiedHeight: 7}
	if got, err := DecodeStatus(s.Encode()); err != nil || !reflect.DeepEqual(got, s) {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range [][]byte{nil, {0xa0}, {0x80}, (&Status{}).Encode()} {
		if _, err := DecodeQueryResponse(bad); !errors.Is(err, ErrResponse) {
			t.Errorf("query %x: %v", bad, err)
		}
		if _, err := DecodeCallResponse(bad); !errors.Is(err, ErrResponse) {
			t.Errorf("call %x: %v", bad, err)
		}
		if _, err := DecodeReadStateResponse(bad); !errors.Is(err, ErrResponse) {
			t.Errorf("read_state %x: %v", bad, err)
		}
	}
	if got := rej.Error(); got != "rejected (code 3, destination invalid, IC0301): no canister" {
		t.Error(got)
	}
}

// naiveHash is the hash of section "Representation-independent hashing of structured data", word by word.
func naiveHash(v any) [32]byte {
	switch v := v.(type) {
	case []byte:
		return sha256.Sum256(v)
	case string:
		return sha256.Sum256([]byte(v))
	case uint64:
		var b []byte
		for ; v >= 0x80; v >>= 7 {
			b = append(b, byte(v)|0x80)
		}
		return sha256.Sum256(append(b, byte(v)))
	case []any:
		var all []byte
		for _, e := range v {
			h := naiveHash(e)
			all = append(all, h[:]...)
		}
		return sha256.Sum256(all)
	case map[string]any:
		var pairs []string
		for k, e := range v {
			kh, vh := naiveHash(k), naiveHash(e)
			pairs = append(pairs, string(kh[:])+string(vh[:]))
		}
		slices.Sort(pairs)
		return sha256.Sum256([]byte(strings.Join(pairs, "")))
	}
	panic(fmt.Sprintf("no hash of %T", v))
}

func FuzzDecode(f *testing.F) {
	for _, e := range samples(f) {
		f.Add(e.Encode())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := Decode(b)
		if err != nil {
			return
		}
		again, err := Decode(e.Encode())
		if err != nil || !reflect.DeepEqual(again, e) {
			t.Fatalf("%x does not survive: %v", b, err)
		}
		_ = e.Verify(now, nil)
	})
}

func FuzzDecodeResponse(f *testing.F) {
	f.Add((&QueryResponse{Reply: []byte("x"), Signatures: []NodeSignature{{}}}).Encode())
	f.Add((&CallResponse{Certificate: []byte("c")}).Encode())
	f.Add((&Reject{Code: 1}).EncodeAsync())
	f.Add((&Status{}).Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if q, err := DecodeQueryResponse(b); err == nil {
			if again, err := DecodeQueryResponse(q.Encode()); err != nil || fmt.Sprint(again) != fmt.Sprint(q) {
				t.Fatalf("%x does not survive: %v", b, err)
			}
		}
		_, _ = DecodeCallResponse(b)
		_, _ = DecodeReadStateResponse(b)
		_, _ = DecodeStatus(b)
	})
}

func BenchmarkRequestID(b *testing.B) {
	c := specContent()
	c.Nonce, c.Arg = make([]byte, 16), make([]byte, 120)
	b.ReportAllocs()
	for b.Loop() {
		c.RequestID()
	}
}

func BenchmarkDecode(b *testing.B) {
	raw := samples(b)["ed25519 call"].Encode()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(raw); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	e := samples(b)["ed25519 call"]
	b.ReportAllocs()
	for b.Loop() {
		e.Encode()
	}
}
