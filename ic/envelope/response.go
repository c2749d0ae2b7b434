package envelope

import (
	"errors"
	"fmt"

	"fusion/ic/cbor"
	"fusion/ic/principal"
)

// Values of the status field of responses.
const (
	StatusReplied                = "replied"
	StatusRejected               = "rejected"
	StatusNonReplicatedRejection = "non_replicated_rejection"
)

// Reject is why a request was not answered with a reply (interface specification, sections "Reject codes" and "Error codes").
type Reject struct {
	Code      uint64
	Message   string
	ErrorCode string // such as "IC0301"; may be empty
}

// Error implements error.
func (r *Reject) Error() string {
	names := [...]string{1: "system fatal", 2: "system transient", 3: "destination invalid", 4: "canister reject", 5: "canister error", 6: "system unknown"}
	name := "unknown reject code"
	if r.Code < uint64(len(names)) && names[r.Code] != "" {
		name = names[r.Code]
	}
	if r.ErrorCode == "" {
		return fmt.Sprintf("rejected (code %d, %s): %s", r.Code, name, r.Message)
	}
	return fmt.Sprintf("rejected (code %d, %s, %s): %s", r.Code, name, r.ErrorCode, r.Message)
}

func (r *Reject) fields() int {
	if r.ErrorCode != "" {
		return 3
	}
	return 2
}

func (r *Reject) append(b []byte) []byte {
	b = cbor.AppendUint(cbor.AppendText(b, "reject_code"), r.Code)
	b = cbor.AppendText(cbor.AppendText(b, "reject_message"), r.Message)
	if r.ErrorCode != "" {
		b = cbor.AppendText(cbor.AppendText(b, "error_code"), r.ErrorCode)
	}
	return b
}

// field reads one field of a reject; ok is false for other keys.
func (r *Reject) field(key string, rd *cbor.Reader) (ok bool, err error) {
	var text []byte
	switch key {
	case "reject_code":
		r.Code, err = rd.Uint()
	case "reject_message":
		text, err = rd.Text()
		r.Message = string(text)
	case "error_code":
		text, err = rd.Text()
		r.ErrorCode = string(text)
	default:
		return false, nil
	}
	return true, err
}

// QueryResponse answers a query: a reply, or a reject.
type QueryResponse struct {
	Reply      []byte  // when Reject is nil
	Reject     *Reject // nil for a reply
	Signatures []NodeSignature
}

// NodeSignature is a node's signature of a query response.
type NodeSignature struct {
	Timestamp uint64 // ns since 1970
	Signature []byte
	Identity  principal.Principal // the node
}

// SignedBytes returns what a node signs of the response to a request, domain separator included (section "Request: Query call").
func (q *QueryResponse) SignedBytes(request ID, timestamp uint64) []byte {
	var h mapHash
	h.blob(&keyRequestID, request[:])
	h.nat(&keyTimestamp, timestamp)
	if q.Reject == nil {
		h.text(&keyStatus, StatusReplied)
		var reply mapHash
		reply.blob(&keyArg, q.Reply)
		h.add(&keyReply, reply.sum())
		return signed(sepResponse, h.sum())
	}
	h.text(&keyStatus, StatusRejected)
	h.nat(&keyRejectCode, q.Reject.Code)
	h.text(&keyRejectMessage, q.Reject.Message)
	if q.Reject.ErrorCode != "" {
		h.text(&keyErrorCode, q.Reject.ErrorCode)
	}
	return signed(sepResponse, h.sum())
}

// Encode returns the CBOR of the response.
func (q *QueryResponse) Encode() []byte {
	b := cbor.AppendSelfDescribe(make([]byte, 0, 256+len(q.Reply)))
	if q.Reject == nil {
		b = cbor.AppendText(cbor.AppendText(cbor.AppendMap(b, 3), "status"), StatusReplied)
		b = cbor.AppendMap(cbor.AppendText(b, "reply"), 1)
		b = cbor.AppendBytes(cbor.AppendText(b, "arg"), q.Reply)
	} else {
		b = cbor.AppendText(cbor.AppendText(cbor.AppendMap(b, 2+q.Reject.fields()), "status"), StatusRejected)
		b = q.Reject.append(b)
	}
	b = cbor.AppendArray(cbor.AppendText(b, "signatures"), len(q.Signatures))
	for i := range q.Signatures {
		s := &q.Signatures[i]
		b = cbor.AppendUint(cbor.AppendText(cbor.AppendMap(b, 3), "timestamp"), s.Timestamp)
		b = cbor.AppendBytes(cbor.AppendText(b, "signature"), s.Signature)
		b = appendPrincipal(cbor.AppendText(b, "identity"), s.Identity)
	}
	return b
}

// maxSignatures bounds the signatures of a response; the specification has one.
const maxSignatures = 128

// ErrResponse is what decoding a malformed response returns.
var ErrResponse = errors.New("malformed response")

// decodeMap reads a response: a tagged map, whose unknown fields are passed over, since later versions may add some.
func decodeMap(b []byte, field func(key string, r *cbor.Reader) (known bool, err error)) error {
	r := cbor.NewReader(b)
	r.SelfDescribe()
	err := skippingMap(r, field)
	if err == nil {
		err = r.End()
	}
	if err != nil {
		return fmt.Errorf("%w: byte %d: %w", ErrResponse, r.Offset(), err)
	}
	return nil
}

func skippingMap(r *cbor.Reader, field func(key string, r *cbor.Reader) (known bool, err error)) error {
	return r.Map(func(key []byte) error {
		if r.Null() {
			return nil
		}
		if known, err := field(string(key), r); known || err != nil {
			return err
		}
		return r.Skip()
	})
}

// DecodeQueryResponse reads a QueryResponse, which aliases b.
func DecodeQueryResponse(b []byte) (*QueryResponse, error) {
	q, rej, status := &QueryResponse{}, &Reject{}, ""
	replied := false
	err := decodeMap(b, func(key string, r *cbor.Reader) (bool, error) {
		switch key {
		case "status":
			s, err := r.Text()
			status = string(s)
			return true, err
		case "reply":
			return true, skippingMap(r, func(key string, r *cbor.Reader) (known bool, err error) {
				if key == "arg" {
					replied = true
					q.Reply, err = r.Bytes()
				}
				return key == "arg", err
			})
		case "signatures":
			return true, r.Array(func(i int) error {
				if i == maxSignatures {
					return fmt.Errorf("more than %d signatures", maxSignatures)
				}
				q.Signatures = append(q.Signatures, NodeSignature{})
				return q.Signatures[i].read(r)
			})
		}
		return rej.field(key, r)
	})
	switch {
	case err != nil:
		return nil, err
	case status == StatusReplied && replied:
		return q, nil
	case status == StatusRejected && rej.Code != 0:
		q.Reject = rej
		return q, nil
	}
	return nil, fmt.Errorf("%w: query response with status %q", ErrResponse, status)
}

func (s *NodeSignature) read(r *cbor.Reader) error {
	return skippingMap(r, func(key string, r *cbor.Reader) (known bool, err error) {
		switch key {
		case "timestamp":
			s.Timestamp, err = r.Uint()
		case "signature":
			s.Signature, err = r.Bytes()
		case "identity":
			s.Identity, err = readPrincipal(r)
		default:
			return false, nil
		}
		return true, err
	})
}

// CallResponse answers a synchronous call: a certificate of the call's status, or a reject from before the subnet saw the call.
type CallResponse struct {
	Certificate []byte  // CBOR, when Reject is nil
	Reject      *Reject // not certified
}

// Encode returns the CBOR of the response.
func (c *CallResponse) Encode() []byte {
	b := cbor.AppendSelfDescribe(make([]byte, 0, 128+len(c.Certificate)))
	if c.Reject != nil {
		b = cbor.AppendText(cbor.AppendText(cbor.AppendMap(b, 1+c.Reject.fields()), "status"), StatusNonReplicatedRejection)
		return c.Reject.append(b)
	}
	b = cbor.AppendText(cbor.AppendText(cbor.AppendMap(b, 2), "status"), StatusReplied)
	return cbor.AppendBytes(cbor.AppendText(b, "certificate"), c.Certificate)
}

// EncodeAsync returns the CBOR of the reject as the asynchronous call endpoint gives it, without a status.
func (r *Reject) EncodeAsync() []byte {
	return r.append(cbor.AppendMap(cbor.AppendSelfDescribe(make([]byte, 0, 128)), r.fields()))
}

// DecodeCallResponse reads a CallResponse of either call endpoint; it aliases b.
func DecodeCallResponse(b []byte) (*CallResponse, error) {
	c, rej := &CallResponse{}, &Reject{}
	err := decodeMap(b, func(key string, r *cbor.Reader) (known bool, err error) {
		if key == "certificate" {
			c.Certificate, err = r.Bytes()
			return true, err
		}
		return rej.field(key, r)
	})
	switch {
	case err != nil:
		return nil, err
	case rej.Code != 0:
		c.Reject = rej
	case c.Certificate == nil:
		return nil, fmt.Errorf("%w: call response with neither certificate nor reject", ErrResponse)
	}
	return c, nil
}

// ReadStateResponse answers a read_state request.
type ReadStateResponse struct{ Certificate []byte }

// Encode returns the CBOR of the response.
func (s *ReadStateResponse) Encode() []byte {
	b := cbor.AppendMap(cbor.AppendSelfDescribe(make([]byte, 0, 32+len(s.Certificate))), 1)
	return cbor.AppendBytes(cbor.AppendText(b, "certificate"), s.Certificate)
}

// DecodeReadStateResponse reads a ReadStateResponse, which aliases b.
func DecodeReadStateResponse(b []byte) (*ReadStateResponse, error) {
	s := &ReadStateResponse{}
	err := decodeMap(b, func(key string, r *cbor.Reader) (known bool, err error) {
		if key == "certificate" {
			s.Certificate, err = r.Bytes()
			return true, err
		}
		return false, nil
	})
	if err == nil && s.Certificate == nil {
		err = fmt.Errorf("%w: read_state response without a certificate", ErrResponse)
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Status answers a status request. Only RootKey is of the specification; the other fields are what replicas of the Internet
// Computer add and tools read.
type Status struct {
	RootKey         []byte // DER
	ImplVersion     string
	Health          string // "healthy", or what the replica waits for
	CertifiedHeight uint64
}

// Encode returns the CBOR of the status.
func (s *Status) Encode() []byte {
	b := cbor.AppendMap(cbor.AppendSelfDescribe(make([]byte, 0, 512)), 4)
	b = cbor.AppendBytes(cbor.AppendText(b, "root_key"), s.RootKey)
	b = cbor.AppendText(cbor.AppendText(b, "impl_version"), s.ImplVersion)
	b = cbor.AppendText(cbor.AppendText(b, "replica_health_status"), s.Health)
	return cbor.AppendUint(cbor.AppendText(b, "certified_height"), s.CertifiedHeight)
}

// DecodeStatus reads a Status, which aliases b.
func DecodeStatus(b []byte) (*Status, error) {
	s := &Status{}
	err := decodeMap(b, func(key string, r *cbor.Reader) (known bool, err error) {
		var text []byte
		switch key {
		case "root_key":
			s.RootKey, err = r.Bytes()
		case "impl_version":
			text, err = r.Text()
			s.ImplVersion = string(text)
		case "replica_health_status":
			text, err = r.Text()
			s.Health = string(text)
		case "certified_height":
			s.CertifiedHeight, err = r.Uint()
		default:
			return false, nil
		}
		return true, err
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}
