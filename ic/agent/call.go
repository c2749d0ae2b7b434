package agent

import (
	"context"
	"fmt"
	"net/http"

	"fusion/ic/candid"
	"fusion/ic/certificate"
	"fusion/ic/envelope"
	"fusion/ic/hashtree"
	"fusion/ic/principal"
	"fusion/internal/pause"
)

// Request is a call or query in all detail.
type Request struct {
	Canister principal.Principal
	Method   string
	Arg      []byte
	// Effective is the canister in the request's URL. The default is Canister, and for the management canister the one that the argument
	// names.
	Effective *principal.Principal
	// Nonce makes a call distinct, at most 32 bytes. The default is random for calls, none for queries.
	Nonce []byte
}

func (r *Request) content(a *Agent, kind envelope.RequestType) envelope.Content {
	c := envelope.Content{RequestType: kind, Sender: a.Sender(), Nonce: r.Nonce, IngressExpiry: a.expiry(), CanisterID: r.Canister, MethodName: r.Method, Arg: r.Arg}
	if c.Arg == nil {
		c.Arg = []byte{}
	}
	if c.Nonce == nil && kind == envelope.Call {
		c.Nonce = nonce()
	}
	return c
}

// effective finds the effective canister id (interface specification, section "Effective canister id").
func (r *Request) effective() principal.Principal {
	if r.Effective != nil {
		return *r.Effective
	}
	if r.Canister != principal.Management {
		return r.Canister
	}
	var arg struct {
		Canister  *principal.Principal `candid:"canister_id"`
		Target    *principal.Principal `candid:"target_canister"`
		Specified *principal.Principal `candid:"specified_id"`
	}
	if candid.Unmarshal(r.Arg, &arg) == nil {
		for _, id := range []*principal.Principal{arg.Target, arg.Canister, arg.Specified} {
			if id != nil {
				return *id
			}
		}
	}
	return principal.Management
}

// Call makes an update call and returns the reply, which the subnet has certified.
func (a *Agent) Call(ctx context.Context, canister principal.Principal, method string, arg []byte) ([]byte, error) {
	return a.Do(ctx, Request{Canister: canister, Method: method, Arg: arg})
}

// Update is Call with Candid: in are the arguments, out are pointers to the results.
func (a *Agent) Update(ctx context.Context, canister principal.Principal, method string, in, out []any) error {
	return typed(method, in, out, func(arg []byte) ([]byte, error) { return a.Call(ctx, canister, method, arg) })
}

// Ask is Query with Candid: in are the arguments, out are pointers to the results.
func (a *Agent) Ask(ctx context.Context, canister principal.Principal, method string, in, out []any) error {
	return typed(method, in, out, func(arg []byte) ([]byte, error) { return a.Query(ctx, canister, method, arg) })
}

func typed(method string, in, out []any, do func([]byte) ([]byte, error)) error {
	arg, err := candid.Marshal(in...)
	if err != nil {
		return fmt.Errorf("arguments of %s: %w", method, err)
	}
	reply, err := do(arg)
	if err != nil {
		return err
	}
	if err := candid.Unmarshal(reply, out...); err != nil {
		return fmt.Errorf("results of %s: %w", method, err)
	}
	return nil
}

// Do makes an update call.
func (a *Agent) Do(ctx context.Context, r Request) ([]byte, error) {
	return a.submit(ctx, r, r.content(a, envelope.Call))
}

// Certified is a call with the certificate of its reply, which proves to anybody with the root key what was asked and what was answered.
type Certified struct {
	Content     envelope.Content
	Reply       []byte
	Certificate []byte
}

// DoCertified makes an update call and returns the certificate of its reply as well.
func (a *Agent) DoCertified(ctx context.Context, r Request) (*Certified, error) {
	c := r.content(a, envelope.Call)
	if _, err := a.submit(ctx, r, c); err != nil {
		return nil, err
	}
	id := c.RequestID()
	cert, err := a.ReadState(ctx, r.effective(), [][]byte{[]byte("request_status"), id[:]})
	if err != nil {
		return nil, err
	}
	reply, final, err := outcome(cert, id, r.Canister, r.Method)
	if err != nil {
		return nil, err
	}
	if !final { // a replica that is behind the one that answered the call
		return nil, fmt.Errorf("%w: the reply of %s", ErrNotFound, r.Method)
	}
	return &Certified{Content: c, Reply: reply, Certificate: cert.Encode()}, nil
}

func (a *Agent) submit(ctx context.Context, r Request, c envelope.Content) ([]byte, error) {
	e, err := envelope.Sign(c, a.opts.Identity)
	if err != nil {
		return nil, err
	}
	at := r.effective()
	return a.call(ctx, e, at, func(ctx context.Context) (*certificate.Certificate, error) {
		return a.ReadState(ctx, at, StatusPath(e.Content.RequestID()))
	})
}

// Submit makes a call that somebody else has signed. read is a read of the call's status (StatusPath) that the same user has signed, with which the
// agent polls for an answer that takes longer. Errors are those of Do; after ErrUnknownOutcome, Submit again asks again: a subnet
// executes a signed call at most once.
func (a *Agent) Submit(ctx context.Context, call, read *envelope.Envelope) ([]byte, error) {
	at := call.Content.CanisterID
	return a.call(ctx, call, at, func(ctx context.Context) (*certificate.Certificate, error) {
		return a.postRead(ctx, readEndpoint, at, certificate.ForCanister(at), read)
	})
}

// StatusPath is the path of the state tree where the status of a call is.
func StatusPath(id envelope.ID) [][]byte { return [][]byte{[]byte("request_status"), id[:]} }

// call sends a signed call and waits for its answer; read reads the call's status.
func (a *Agent) call(ctx context.Context, e *envelope.Envelope, at principal.Principal, read statusReader) ([]byte, error) {
	c := &e.Content
	id := c.RequestID()
	// The root key is needed before there is a call whose outcome could become unknown.
	if _, err := a.Verifier(ctx); err != nil {
		return nil, err
	}
	unknown := func(cause error) error {
		return &OutcomeError{RequestID: id, Effective: at, ExpiryNs: c.IngressExpiry, Cause: cause}
	}
	answer, err := a.post(ctx, callEndpoint, at, e.Encode())
	switch {
	case err != nil && answer.failed:
		return nil, unknown(err)
	case err != nil:
		return nil, fmt.Errorf("calling %s of canister %s: %w", c.MethodName, c.CanisterID, err)
	case answer.status == http.StatusAccepted:
		return a.wait(ctx, c.CanisterID, c.MethodName, id, at, c.IngressExpiry, read)
	}
	res, err := envelope.DecodeCallResponse(answer.body)
	if err != nil {
		return nil, unknown(err)
	}
	if res.Reject != nil {
		err := &RejectError{Reject: *res.Reject, Canister: c.CanisterID, Method: c.MethodName}
		if answer.failed { // an earlier attempt may have been let through
			return nil, unknown(err)
		}
		return nil, err
	}
	cert, err := a.certificate(ctx, res.Certificate, certificate.ForCanister(at))
	if err != nil {
		return nil, unknown(err)
	}
	reply, final, err := outcome(cert, id, c.CanisterID, c.MethodName)
	if !final { // a certificate of a call that is still under way
		return a.wait(ctx, c.CanisterID, c.MethodName, id, at, c.IngressExpiry, read)
	}
	return reply, err
}

// Wait polls for the answer of a call whose outcome is not known, as Call does. It returns an error that wraps ErrNotExecuted once
// the subnet's time is past the expiry and the call is not there.
func (a *Agent) Wait(ctx context.Context, o *OutcomeError) ([]byte, error) {
	read := func(ctx context.Context) (*certificate.Certificate, error) {
		return a.ReadState(ctx, o.Effective, StatusPath(o.RequestID))
	}
	return a.wait(ctx, o.Effective, fmt.Sprintf("request %x", o.RequestID[:4]), o.RequestID, o.Effective, o.ExpiryNs, read)
}

type statusReader func(ctx context.Context) (*certificate.Certificate, error)

func (a *Agent) wait(ctx context.Context, canister principal.Principal, method string, id envelope.ID, at principal.Principal, expiry uint64,
	read statusReader) ([]byte, error) {
	for delay := a.opts.Backoff; ; delay = min(delay+delay/2, maxBackoff) {
		err := pause.For(ctx, jitter(delay))
		var cert *certificate.Certificate
		if err == nil {
			cert, err = read(ctx)
		}
		if err != nil {
			return nil, &OutcomeError{RequestID: id, Effective: at, ExpiryNs: expiry, Cause: err}
		}
		reply, final, err := outcome(cert, id, canister, method)
		if final {
			return reply, err
		}
		res, _ := cert.Lookup([]byte("request_status"), id[:], []byte("status"))
		if now, err := cert.Time(); err == nil && now > expiry && res == hashtree.Absent {
			return nil, fmt.Errorf("%w: %s of canister %s", ErrNotExecuted, method, canister)
		}
	}
}

// outcome reads a call's status from a verified certificate. final is false as long as there is no answer.
func outcome(cert *certificate.Certificate, id envelope.ID, canister principal.Principal, method string) (reply []byte, final bool, err error) {
	get := func(label string) (hashtree.Result, []byte) {
		return cert.Lookup([]byte("request_status"), id[:], []byte(label))
	}
	must := func(label string) []byte {
		res, v := get(label)
		if res != hashtree.Found && err == nil {
			err = fmt.Errorf("%w: the call's %s is %v", ErrVerification, label, res)
		}
		return v
	}
	_, status := get("status")
	switch string(status) {
	case "replied":
		reply = must("reply")
		return reply, true, err
	case "rejected":
		e := &RejectError{Canister: canister, Method: method, Certified: true}
		code := must("reject_code")
		e.Message = string(must("reject_message"))
		_, errorCode := get("error_code")
		e.ErrorCode = string(errorCode)
		if err != nil {
			return nil, true, err
		}
		if e.Code, err = certificate.DecodeNat(code); err != nil {
			return nil, true, err
		}
		return nil, true, e
	case "done":
		return nil, true, fmt.Errorf("%w: %s of canister %s", ErrDone, method, canister)
	}
	return nil, false, nil
}

// Certificate parses and verifies a certificate that a canister has handed out itself, as ledgers do for the tip of their log, and that
// may be no older than the agent's other answers.
func (a *Agent) Certificate(ctx context.Context, canister principal.Principal, b []byte) (*certificate.Certificate, error) {
	return a.certificate(ctx, b, certificate.ForCanister(canister))
}

// certificate parses and verifies a certificate.
func (a *Agent) certificate(ctx context.Context, b []byte, scope certificate.Scope) (*certificate.Certificate, error) {
	v, err := a.Verifier(ctx)
	if err != nil {
		return nil, err
	}
	c, err := certificate.Parse(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrVerification, err)
	}
	if err := v.Verify(c, scope); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrVerification, err)
	}
	ns, err := c.Time()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrVerification, err)
	}
	return c, a.recent("the certificate", ns)
}

// ReadState reads paths of the state tree at a canister's URL and returns a verified certificate that reveals them.
func (a *Agent) ReadState(ctx context.Context, effective principal.Principal, paths ...[][]byte) (*certificate.Certificate, error) {
	scope := certificate.ForCanister(effective)
	if effective.IsManagement() {
		scope = certificate.Any // the status of a call that created a canister; the id of the request says enough
	}
	return a.readState(ctx, readEndpoint, effective, scope, paths)
}

// ReadSubnetState is ReadState at a subnet's URL.
func (a *Agent) ReadSubnetState(ctx context.Context, subnet principal.Principal, paths ...[][]byte) (*certificate.Certificate, error) {
	return a.readState(ctx, subnetReadEndpoint, subnet, certificate.ForSubnet(subnet), paths)
}

func (a *Agent) readState(ctx context.Context, at endpoint, id principal.Principal, scope certificate.Scope, paths [][][]byte) (*certificate.Certificate, error) {
	if paths == nil {
		paths = [][][]byte{}
	}
	e, err := envelope.Sign(envelope.Content{RequestType: envelope.ReadState, IngressExpiry: a.expiry(), Paths: paths}, a.opts.Identity)
	if err != nil {
		return nil, err
	}
	return a.postRead(ctx, at, id, scope, e)
}

// postRead sends a signed read_state request.
func (a *Agent) postRead(ctx context.Context, at endpoint, id principal.Principal, scope certificate.Scope, e *envelope.Envelope) (*certificate.Certificate, error) {
	answer, err := a.post(ctx, at, id, e.Encode())
	if err != nil {
		return nil, fmt.Errorf("reading state: %w", err)
	}
	res, err := envelope.DecodeReadStateResponse(answer.body)
	if err != nil {
		return nil, err
	}
	return a.certificate(ctx, res.Certificate, scope)
}

// Read returns the value at one path of the state tree, read at a canister's URL.
func (a *Agent) Read(ctx context.Context, effective principal.Principal, path ...[]byte) ([]byte, error) {
	cert, err := a.ReadState(ctx, effective, path)
	if err != nil {
		return nil, err
	}
	res, v := cert.Lookup(path...)
	if res != hashtree.Found {
		return nil, fmt.Errorf("%w: path of %d labels is %v", ErrNotFound, len(path), res)
	}
	return v, nil
}
