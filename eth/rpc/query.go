package rpc

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"fusion/eth"
)

// Methods that have a builder and a typed answer.
const (
	MethodChainID          = "eth_chainId"
	MethodBlockNumber      = "eth_blockNumber"
	MethodGetLogs          = "eth_getLogs"
	MethodBlockByNumber    = "eth_getBlockByNumber"
	MethodBlockByHash      = "eth_getBlockByHash"
	MethodBlockReceipts    = "eth_getBlockReceipts"
	MethodReceipt          = "eth_getTransactionReceipt"
	MethodTransaction      = "eth_getTransactionByHash"
	MethodTransactionCount = "eth_getTransactionCount"
	MethodBalance          = "eth_getBalance"
	MethodProof            = "eth_getProof"
	MethodCall             = "eth_call"
	MethodCode             = "eth_getCode"
	MethodGasPrice         = "eth_gasPrice"
	MethodFeeHistory       = "eth_feeHistory"
	MethodSendRaw          = "eth_sendRawTransaction"
)

// Query is a request without its envelope. Params is a canonical JSON array; two queries are the same if their methods and parameters are.
type Query struct {
	Method string
	Params []byte
}

// At names a block: a number, or a tag. Agreed answers are asked for by number, because a tag means another block a moment later.
type At string

// Tags (JSON-RPC specification of the execution layer).
const (
	Latest    At = "latest"
	Safe      At = "safe"
	Finalized At = "finalized"
	Earliest  At = "earliest"
	Pending   At = "pending"
)

// Number is the block of a height.
func Number(n uint64) At { return At("0x" + strconv.FormatUint(n, 16)) }

// Number is the height that was named, if it was one.
func (a At) Number() (uint64, bool) {
	if a == Earliest {
		return 0, true
	}
	v, err := ParseUint([]byte(`"` + string(a) + `"`))
	return v, err == nil
}

// Filter selects logs. From and To are inclusive.
type Filter struct {
	From, To  At
	Addresses []eth.Address // of any of them; all when empty
	Topics    [][]eth.Hash  // by position: any of the list, all when the list is empty
}

func query(method string, write func(*writer)) Query {
	w := writer{}
	w.open('[')
	write(&w)
	w.close(']')
	return Query{method, w.b}
}

func (w *writer) text(s string) {
	w.next()
	w.b = appendString(w.b, []byte(s))
}

func (w *writer) item(b []byte) {
	w.next()
	w.data(b)
}

// ChainID asks which chain the node is on.
func ChainID() Query { return query(MethodChainID, func(*writer) {}) }

// BlockNumber asks for the newest height.
func BlockNumber() Query { return query(MethodBlockNumber, func(*writer) {}) }

// GetLogs asks for the logs that pass a filter.
func GetLogs(f Filter) Query {
	return query(MethodGetLogs, func(w *writer) {
		w.next()
		w.open('{')
		if len(f.Addresses) > 0 {
			w.key("address")
			w.open('[')
			for _, a := range f.Addresses {
				w.item(a[:])
			}
			w.close(']')
		}
		w.key("fromBlock")
		w.b = appendString(w.b, []byte(f.From))
		w.key("toBlock")
		w.b = appendString(w.b, []byte(f.To))
		if len(f.Topics) > 0 {
			w.key("topics")
			w.open('[')
			for _, any := range f.Topics {
				w.next()
				if len(any) == 0 {
					w.b = append(w.b, "null"...)
					continue
				}
				w.open('[')
				for _, t := range any {
					w.item(t[:])
				}
				w.close(']')
			}
			w.close(']')
		}
		w.close('}')
	})
}

// ParseFilter reads the parameters of eth_getLogs. A filter by the hash of a block is refused.
func ParseFilter(params []byte) (f Filter, err error) {
	f.From, f.To = Latest, Latest // the specification's defaults
	at := func(d *decoder, out *At) error {
		if d.peek() != '"' {
			return d.fail("a block is a string")
		}
		s, err := d.str()
		*out = At(s)
		return err
	}
	err = parse(params, func(d *decoder) error {
		return d.array(1, func() error {
			return d.record("filter", []string{"fromBlock", "toBlock", "address", "topics", "blockHash"}, 0, func(k int) (err error) {
				switch k {
				case 0:
					err = at(d, &f.From)
				case 1:
					err = at(d, &f.To)
				case 2:
					f.Addresses, err = some(d, d.address)
				case 3:
					f.Topics, err = list(d, maxTopics, func() ([]eth.Hash, error) { return some(d, d.hash) })
				case 4:
					err = d.fail("a filter by the hash of a block")
				}
				return err
			})
		})
	})
	if err != nil {
		return Filter{}, err
	}
	return f, nil
}

// maxAlternatives is of one place of a filter.
const maxAlternatives = 1000

// some reads one value, a list of them, or null.
func some[T any](d *decoder, read func() (T, error)) ([]T, error) {
	switch d.peek() {
	case 'n':
		_, err := d.null()
		return nil, err
	case '[':
		return list(d, maxAlternatives, read)
	}
	v, err := read()
	return []T{v}, err
}

// Match says whether a log passes the filter, its range of blocks apart.
func (f *Filter) Match(l *Log) bool {
	if len(f.Addresses) > 0 && !slices.Contains(f.Addresses, l.Address) {
		return false
	}
	if len(f.Topics) > len(l.Topics) {
		return false
	}
	for i, any := range f.Topics {
		if len(any) > 0 && !slices.Contains(any, l.Topics[i]) {
			return false
		}
	}
	return true
}

// ParseAccountAt reads the parameters of eth_getBalance and eth_getTransactionCount.
func ParseAccountAt(params []byte) (a eth.Address, at At, err error) {
	n := 0
	err = parse(params, func(d *decoder) error {
		err := d.array(2, func() (err error) {
			if n++; n == 1 {
				a, err = d.address()
				return err
			}
			if d.peek() != '"' {
				return d.fail("a block is a string")
			}
			s, err := d.str()
			at = At(s)
			return err
		})
		if err == nil && n != 2 {
			err = d.fail("%d parameters, want an account and a block", n)
		}
		return err
	})
	return a, at, err
}

// ParseAt reads the first parameter of eth_getBlockByNumber and eth_getBlockReceipts.
func ParseAt(params []byte) (at At, err error) {
	n := 0
	err = parse(params, func(d *decoder) error {
		return d.array(2, func() error {
			if n++; n > 1 {
				return d.skip()
			}
			if d.peek() != '"' {
				return d.fail("a block is a string")
			}
			s, err := d.str()
			at = At(s)
			return err
		})
	})
	return at, err
}

// ParseHashParam reads the only parameter of eth_getTransactionReceipt and eth_getTransactionByHash.
func ParseHashParam(params []byte) (h eth.Hash, err error) {
	err = parse(params, func(d *decoder) error {
		return d.array(1, func() (err error) {
			h, err = d.hash()
			return err
		})
	})
	return h, err
}

// OnlyHashes says whether a query for a block asks for no whole transactions.
func (q Query) OnlyHashes() bool { return !strings.HasSuffix(string(q.Params), ",true]") }

// WholeBlock asks for a block with its transactions. Its canonical form is the node's with sorted keys.
func WholeBlock(at At) Query {
	return query(MethodBlockByNumber, func(w *writer) {
		w.text(string(at))
		w.next()
		w.b = append(w.b, "true"...)
	})
}

// BlockByNumber asks for a block with the hashes of its transactions.
func BlockByNumber(at At) Query {
	return query(MethodBlockByNumber, func(w *writer) {
		w.text(string(at))
		w.next()
		w.b = append(w.b, "false"...)
	})
}

// BlockByHash asks for a block with the hashes of its transactions.
func BlockByHash(h eth.Hash) Query {
	return query(MethodBlockByHash, func(w *writer) {
		w.item(h[:])
		w.next()
		w.b = append(w.b, "false"...)
	})
}

// BlockReceipts asks for the receipts of all transactions of a block.
func BlockReceipts(at At) Query {
	return query(MethodBlockReceipts, func(w *writer) { w.text(string(at)) })
}

// Receipt asks for the outcome of a transaction.
func ReceiptOf(tx eth.Hash) Query { return query(MethodReceipt, func(w *writer) { w.item(tx[:]) }) }

// TransactionByHash asks for a transaction.
func TransactionByHash(tx eth.Hash) Query {
	return query(MethodTransaction, func(w *writer) { w.item(tx[:]) })
}

// TransactionCount asks for an account's next nonce.
func TransactionCount(a eth.Address, at At) Query {
	return query(MethodTransactionCount, func(w *writer) { w.item(a[:]); w.text(string(at)) })
}

// Balance asks for an account's wei.
func Balance(a eth.Address, at At) Query {
	return query(MethodBalance, func(w *writer) { w.item(a[:]); w.text(string(at)) })
}

// Code asks for an account's code.
func Code(a eth.Address, at At) Query {
	return query(MethodCode, func(w *writer) { w.item(a[:]); w.text(string(at)) })
}

// ProofOf asks for an account and slots of its storage with the nodes that lead to them.
func ProofOf(a eth.Address, slots []eth.Hash, at At) Query {
	return query(MethodProof, func(w *writer) {
		w.item(a[:])
		w.next()
		w.open('[')
		for _, s := range slots {
			w.item(s[:])
		}
		w.close(']')
		w.text(string(at))
	})
}

// Call runs a transaction, given as JSON object, on the state of a block without keeping it.
func Call(transaction []byte, at At) (Query, error) {
	tx, err := Canonical(transaction)
	if err != nil {
		return Query{}, err
	}
	if tx[0] != '{' {
		return Query{}, fmt.Errorf("%w: a transaction to call is an object", ErrMalformed)
	}
	return query(MethodCall, func(w *writer) {
		w.next()
		w.b = append(w.b, tx...)
		w.text(string(at))
	}), nil
}

// CallTo runs a call of a contract without sender or value.
func CallTo(to eth.Address, data []byte, at At) Query {
	return query(MethodCall, func(w *writer) {
		w.next()
		w.open('{')
		w.bytes("input", data)
		w.bytes("to", to[:])
		w.close('}')
		w.text(string(at))
	})
}

// FeeHistory asks for the fees of the blocks up to one. Percentiles are 0 to 100, rising.
func FeeHistoryOf(blocks uint64, newest At, percentiles []uint8) Query {
	return query(MethodFeeHistory, func(w *writer) {
		w.next()
		w.b = appendUint(w.b, blocks)
		w.text(string(newest))
		w.next()
		w.open('[')
		for _, p := range percentiles {
			w.next()
			w.b = strconv.AppendUint(w.b, uint64(p), 10)
		}
		w.close(']')
	})
}

// SendRaw hands over a signed transaction. Its answer is the transaction's hash, which is checked against the transaction: see Read.
func SendRaw(signed []byte) Query {
	return query(MethodSendRaw, func(w *writer) { w.item(signed) })
}

var requestFields = []string{"method", "params", "id", "jsonrpc"}

// Raw is the query in a JSON-RPC request that somebody wrote. Its id and version are of no matter; params may be absent.
func Raw(request []byte) (q Query, err error) {
	q.Params = []byte("[]")
	err = parse(request, func(d *decoder) error {
		return d.record("request", requestFields, 1, func(k int) error {
			switch k {
			case 0:
				if d.peek() != '"' {
					return d.fail("a method is a string")
				}
				s, err := d.str()
				if err == nil && !validMethod(s) {
					err = d.fail("method %.40q", s)
				}
				q.Method = string(s)
				return err
			case 1:
				if d.peek() != '[' {
					return d.fail("params are an array")
				}
				q.Params, err = d.canonical(nil)
				return err
			}
			return d.skip()
		})
	})
	if err != nil {
		return Query{}, err
	}
	return q, nil
}

// validMethod bounds what becomes part of logs, metrics and messages.
func validMethod(s []byte) bool {
	return len(s) > 0 && len(s) <= 64 && !slices.ContainsFunc(s, func(c byte) bool {
		return c != '_' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z')
	})
}

// Request is the query in its envelope.
func (q Query) Request(id uint64) []byte { return q.appendRequest(nil, id) }

func (q Query) appendRequest(b []byte, id uint64) []byte {
	b = append(b, `{"id":`...)
	b = strconv.AppendUint(b, id, 10)
	b = append(b, `,"jsonrpc":"2.0","method":`...)
	b = appendString(b, []byte(q.Method))
	b = append(b, `,"params":`...)
	b = append(b, q.Params...)
	return append(b, '}')
}

// Batch is several queries in one request; the first has the id given, the others follow.
func Batch(queries []Query, id uint64) []byte {
	b := []byte{'['}
	for i, q := range queries {
		if i > 0 {
			b = append(b, ',')
		}
		b = q.appendRequest(b, id+uint64(i))
	}
	return append(b, ']')
}

// Kind says what kind of failure an Error is. The numbers are part of what replicas sign: never reuse one.
type Kind uint8

const (
	KindRPC         Kind = 1 // the node answers with an error: Code and Message are its
	KindHTTP        Kind = 2 // the node's answer is no JSON-RPC: Status, and in Message what came
	KindTransport   Kind = 3 // no answer came
	KindTooLarge    Kind = 4 // the answer exceeds the limit, or the node says that it would exceed its own: ask for less
	KindQuery       Kind = 5 // the query cannot be asked
	KindDisagree    Kind = 6 // no answer was given by enough providers
	KindUnverified  Kind = 7 // what was answered does not hold against the chain's headers
	KindUnavailable Kind = 8 // fewer providers answered than must agree
	KindChain       Kind = 9 // the node is on another chain
)

var kindNames = [...]string{KindRPC: "rpc", KindHTTP: "http", KindTransport: "transport", KindTooLarge: "too large", KindQuery: "query", KindDisagree: "disagree", KindUnverified: "unverified",
	KindUnavailable: "unavailable", KindChain: "other chain"}

func (k Kind) String() string {
	if int(k) < len(kindNames) && kindNames[k] != "" {
		return kindNames[k]
	}
	return "kind " + strconv.Itoa(int(k))
}

// Error is why there is no result. It names no provider: replicas that ask different ones have to agree on it.
type Error struct {
	Kind    Kind
	Code    int64  // of KindRPC
	Status  uint16 // of KindHTTP
	Message string
}

func (e *Error) Error() string {
	switch e.Kind {
	case KindRPC:
		return fmt.Sprintf("the ethereum node answers with error %d: %s", e.Code, e.Message)
	case KindHTTP:
		return fmt.Sprintf("the ethereum node answers with status %d: %s", e.Status, e.Message)
	}
	return e.Kind.String() + ": " + e.Message
}

// Answer is a result in canonical form, or why there is none.
type Answer struct {
	Result []byte
	Err    *Error
}

// Equal says whether two answers are the same.
func (a Answer) Equal(b Answer) bool {
	if a.Err != nil || b.Err != nil {
		return a.Err != nil && b.Err != nil && *a.Err == *b.Err
	}
	return string(a.Result) == string(b.Result)
}

// Fail makes the answer of a failure.
func Fail(kind Kind, format string, args ...any) Answer {
	return Answer{Err: &Error{Kind: kind, Message: clip(fmt.Sprintf(format, args...))}}
}

// clip bounds a text from outside.
func clip(s string) string {
	if len(s) > maxMessage {
		s = s[:maxMessage]
		for len(s) > 0 && !utf8.ValidString(s[len(s)-min(len(s), utf8.UTFMax):]) {
			s = s[:len(s)-1]
		}
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

var (
	responseFields = []string{"id", "result", "error", "jsonrpc"}
	errorFields    = []string{"code", "message"}
)

// envelope is one response; result is a part of the input.
type envelope struct {
	id     []byte
	result []byte
	err    *Error
}

func (d *decoder) envelope() (e envelope, err error) {
	var version []byte
	err = d.record("response", responseFields, 0, func(k int) (err error) {
		switch k {
		case 0:
			e.id, err = d.raw()
		case 1:
			e.result, err = d.raw()
		case 2:
			err = optional(d, &e.err, d.rpcError)
		case 3:
			if d.peek() != '"' {
				return d.fail("the version is a string")
			}
			version, err = d.str()
		}
		return err
	})
	switch {
	case err != nil:
	case string(version) != "2.0":
		err = d.fail("version %.10q, want 2.0", version)
	case e.err == nil && e.result == nil:
		err = d.fail("neither result nor error")
	case e.err != nil && e.result != nil && string(e.result) != "null":
		err = d.fail("both result and error")
	}
	return e, err
}

func (d *decoder) rpcError() (e Error, err error) {
	e.Kind = KindRPC
	return e, d.record("error", errorFields, 2, func(k int) error {
		if k == 0 {
			s, err := d.number()
			if err != nil {
				return err
			}
			if e.Code, err = strconv.ParseInt(string(s), 10, 64); err != nil {
				return d.fail("error code %.30q", s)
			}
			return nil
		}
		if null, err := d.null(); null || err != nil {
			return err
		}
		if d.peek() != '"' {
			return d.fail("a message is a string")
		}
		s, err := d.str()
		e.Message = clip(string(s))
		return err
	})
}

// ErrID is a response to another request; test with errors.Is. It is an ErrMalformed as well.
var ErrID = fmt.Errorf("%w: the response is to another request", ErrMalformed)

// ParseResponse opens the envelope. The result is as the node wrote it, and a part of the input. A node's error is an *Error.
func ParseResponse(body []byte, id uint64) (result []byte, err error) {
	var e envelope
	err = parse(body, func(d *decoder) error {
		e, err = d.envelope()
		return err
	})
	if err != nil {
		return nil, err
	}
	// A node that could not read a request does not know its id (JSON-RPC 2.0, section 5).
	if string(e.id) != strconv.FormatUint(id, 10) && !(e.err != nil && string(e.id) == "null") {
		return nil, fmt.Errorf("%w: id %.30q, want %d", ErrID, e.id, id)
	}
	if e.err != nil {
		return nil, e.err
	}
	return e.result, nil
}

// Read makes the answer of what came with a status in response to q.Request(id).
func (q Query) Read(status int, body []byte, id uint64) Answer {
	result, err := ParseResponse(body, id)
	var node *Error
	switch {
	case errors.As(err, &node):
		return Answer{Err: node} // some nodes send errors with status 400 or 500
	case status < 200 || status > 299:
		return notRPC(status, body, nil)
	case err != nil:
		return notRPC(status, body, err)
	}
	return q.canonical(status, result)
}

func (q Query) canonical(status int, result []byte) Answer {
	out, err := q.Canonical(result)
	if err != nil {
		return notRPC(status, result, err)
	}
	return Answer{Result: out}
}

func notRPC(status int, body []byte, err error) Answer {
	message := string(body[:min(len(body), maxMessage/2)])
	if err != nil {
		message = err.Error() + ": " + message
	}
	return Answer{Err: &Error{Kind: KindHTTP, Status: uint16(min(max(status, 0), 999)), Message: clip(message)}}
}

// ReadBatch makes the answers of what came in response to Batch(queries, id), in the order of the queries, whatever order the node chose.
func ReadBatch(queries []Query, status int, body []byte, id uint64) []Answer {
	out := make([]Answer, len(queries))
	seen := make([]bool, len(queries))
	err := parse(body, func(d *decoder) error {
		if d.peek() != '[' { // an error that concerns the batch as a whole
			e, err := d.envelope()
			if err != nil {
				return err
			}
			if e.err == nil {
				return d.fail("one result for a batch")
			}
			return e.err
		}
		return d.array(len(queries), func() error {
			e, err := d.envelope()
			if err != nil {
				return err
			}
			n, err := strconv.ParseUint(string(e.id), 10, 64)
			if err != nil || n < id || n-id >= uint64(len(queries)) || seen[n-id] {
				return fmt.Errorf("%w: id %.30q in a batch", ErrID, e.id)
			}
			n -= id
			if seen[n] = true; e.err != nil {
				out[n].Err = e.err
			} else {
				out[n] = queries[n].canonical(status, e.result)
			}
			return nil
		})
	})
	if err == nil && slices.Contains(seen, false) {
		err = fmt.Errorf("%w: a batch of %d with an answer missing", ErrMalformed, len(queries))
	}
	if err == nil && (status < 200 || status > 299) {
		err = fmt.Errorf("%w: a batch with this status", ErrMalformed)
	}
	if err != nil {
		failed := notRPC(status, body, err)
		var node *Error
		if errors.As(err, &node) {
			failed.Err = node
		}
		for i := range out {
			out[i] = failed
		}
	}
	return out
}

// Canonical is a result of the query in the form in which results are compared. Results of methods that this package knows are parsed and written again,
// so that a spelling, a field that only some nodes have, or an order cannot make two honest nodes differ; others have their keys sorted.
func (q Query) Canonical(result []byte) ([]byte, error) {
	switch q.Method {
	case MethodChainID, MethodBlockNumber, MethodTransactionCount:
		v, err := ParseUint(result)
		return EncodeUint(v), err
	case MethodBalance, MethodGasPrice:
		v, err := ParseQuantity(result)
		return EncodeQuantity(&v), err
	case MethodCall, MethodCode:
		v, err := ParseData(result)
		return EncodeData(v), err
	case MethodSendRaw:
		h, err := ParseHash(result)
		if want, ok := q.SentHash(); err == nil && ok && h != want {
			err = fmt.Errorf("%w: the node says that %s was sent, but it is %s", ErrMalformed, h, want)
		}
		return EncodeData(h[:]), err
	case MethodGetLogs:
		logs, err := ParseLogs(result)
		slices.SortStableFunc(logs, func(a, b Log) int {
			if a.BlockNumber != b.BlockNumber {
				return compare(a.BlockNumber, b.BlockNumber)
			}
			return compare(a.Index, b.Index)
		})
		return EncodeLogs(logs), err
	case MethodBlockByNumber, MethodBlockByHash:
		if !q.OnlyHashes() {
			break
		}
		b, err := ParseBlock(result)
		return EncodeBlock(b), err
	case MethodReceipt:
		r, err := ParseReceipt(result)
		return EncodeReceipt(r), err
	case MethodTransaction:
		t, err := ParseTransaction(result)
		return EncodeTransaction(t), err
	case MethodBlockReceipts:
		list, ok, err := ParseReceipts(result)
		if !ok {
			return []byte("null"), err
		}
		return EncodeReceipts(list), err
	case MethodFeeHistory:
		h, err := ParseFeeHistory(result)
		return EncodeFeeHistory(&h), err
	case MethodProof:
		p, err := ParseProof(result)
		return EncodeProof(&p), err
	}
	return Canonical(result)
}

func compare(a, b uint64) int {
	if a < b {
		return -1
	}
	if a > b {
		return 1
	}
	return 0
}

// SentHash is the hash of the transaction that a SendRaw query hands over.
func (q Query) SentHash() (h eth.Hash, ok bool) {
	if q.Method != MethodSendRaw {
		return h, false
	}
	var raw []byte
	err := parse(q.Params, func(d *decoder) error {
		return d.array(1, func() (err error) {
			raw, err = d.hexBytes(maxData)
			return err
		})
	})
	if err != nil || raw == nil {
		return h, false
	}
	return eth.Keccak256(raw), true
}
